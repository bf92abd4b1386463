"""What Customer.io does to everybody, and to single people: as the stand-in's scenario, and as the twin's answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cio_tasks.fake import Scenario
from cio_tasks.outcomes import Delivered, ErrorType, Rejected, RetryLater
from tests.stateful.scheduler import Answer

NO_ANSWER: Final = RetryLater(ErrorType.NETWORK, "connection_reset", "no answer")


@dataclass(frozen=True)
class Weather:
    """A scenario of the stand-in, and the answer that a delivery gets in it. None: on the merits of the person."""

    name: str
    scenario: Scenario
    answer: Answer | None = None

    @property
    def region(self) -> bool:
        """Whether the account's region answers well."""
        return self.scenario == Scenario()

    def answer_to(self, person: str) -> Answer:
        """Return what the delivery of this kind of person gets."""
        if self.answer is None:
            return PEOPLE[person]
        merits = PEOPLE[person]
        if self.answer is LOST:  # what the answer would have been is decided first
            return merits if person == "+503x999" else Answer("lost", NO_ANSWER, taken=merits.taken)
        return self.answer


def _refusal(status: int) -> Answer:
    return Answer(str(status), Rejected(f"http_{status}", "refused", status))


def _all(status: int) -> Scenario:
    return Scenario(error_rate=1, error_status=status, retry_after="60")


PEOPLE: Final = {
    "": Answer("ok", Delivered(200), taken=True),
    "+badattr": Answer("207", Rejected("item_invalid", "refused", 207)),
    "+503x999": Answer("503", RetryLater(ErrorType.SERVER_ERROR, "http_503", "down", 503)),
}
LOST: Final = Answer("lost", NO_ANSWER, taken=True)
LIMITED: Final = Answer("429", RetryLater(ErrorType.RATE_LIMIT, "http_429", "slow", 429, timedelta(seconds=60)))
FAIR: Final = Weather("fair", Scenario())
REFUSING: Final = Weather("400", _all(400), _refusal(400))
WEATHERS: Final[Sequence[Weather]] = (
    FAIR,
    Weather("503", Scenario(outage="503"), PEOPLE["+503x999"]),
    Weather("reset", Scenario(outage="reset"), Answer("reset", NO_ANSWER)),
    Weather("answers lost", Scenario(reset_after_rate=1), LOST),
    Weather("429", _all(429), LIMITED),
    Weather("401", _all(401), _refusal(401)),
    REFUSING,
)
