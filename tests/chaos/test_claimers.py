"""A few thousand claims by as many claimers as the full proof has, and logs in which something is wrong."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tests.chaos.claimers import Crowd, prove
from tests.chaos.holdings import CLEANUP, FAULTS, find_faults, make_log, read_figures
from tests.chaos.proofs import Proof, quantile
from tests.factories import Factory

JOB, OTHER = UUID(int=1), UUID(int=2)
Turn = tuple[UUID, int, str, str]
TAKEN, ENDED = (JOB, 1, "a", "taken"), (JOB, 1, "a", "ended")
NEXT: list[Turn] = [(JOB, 2, "b", "taken"), (JOB, 2, "b", "ended")]


def write(engine: Engine, *turns: Turn) -> None:
    """Make the log and write these turns into it, one after the other."""
    make_log(engine)
    statement = text("INSERT INTO claim_log (job_id, token, claimer, event) VALUES (:job, :token, :claimer, :event)")
    with engine.begin() as connection:
        for turn in turns:
            connection.execute(statement, dict(zip(("job", "token", "claimer", "event"), turn, strict=True)))


def kinds(engine: Engine) -> set[str]:
    return {fault.partition(":")[0] for fault in find_faults(engine)}


@pytest.mark.timeout(300)
def test_of_sixty_four_claimers_no_two_ever_hold_the_same_job(database_url: str) -> None:
    proof = prove(database_url, Crowd(claims=3_000, processes=2, minutes=4))
    assert proof.holds, proof.page()


# --- what the log shows when something is wrong -----------------------------------------------------------------------


def test_a_log_of_turns_is_good(engine: Engine) -> None:
    write(engine, TAKEN, (OTHER, 1, "b", "taken"), (JOB, 1, CLEANUP, "ended"), *NEXT, (OTHER, 1, "b", "ended"))
    figures = read_figures(engine)
    assert not kinds(engine)
    assert (figures["claims"], figures["taken back by the cleanup"], figures["highest token of a job"]) == (3, 1, 2)
    assert (figures["most jobs held at once"], figures["most claimers holding at once"]) == (2, 2)


@pytest.mark.parametrize(
    ("turns", "fault"),
    [
        ([TAKEN, NEXT[0], ENDED, NEXT[1]], "claimed while another held it"),
        ([TAKEN, ENDED, (JOB, 1, "b", "taken"), (JOB, 1, "b", "ended")], "claimed under a token that is not the next"),
        ([TAKEN, ENDED, (JOB, 3, "b", "taken"), (JOB, 3, "b", "ended")], "claimed under a token that is not the next"),
        ([TAKEN, ENDED, ENDED], "recorded by somebody who did not hold it"),
        ([TAKEN, (JOB, 1, CLEANUP, "ended"), ENDED], "recorded by somebody who did not hold it"),
        ([TAKEN, (JOB, 1, "b", "ended")], "recorded by somebody who did not hold it"),
        ([TAKEN, NEXT[0], ENDED, NEXT[1]], "held twice by the clock of the database"),
    ],
    ids=["held twice", "token again", "token left out", "ended twice", "too late", "by another", "by the clock"],
)
def test_a_wrong_turn_is_seen(engine: Engine, turns: Sequence[Turn], fault: str) -> None:
    write(engine, *turns)
    assert fault in kinds(engine)
    assert fault in FAULTS


@pytest.mark.parametrize("columns", [{"claim_token": 2}, {"claim_token": 1, "status": "processing"}])
def test_a_job_that_says_otherwise_is_seen(engine: Engine, make: Factory, columns: dict[str, object]) -> None:
    job = make.job(make.signup())
    make.set(job.id, **columns)
    write(engine, (job.id, 1, "a", "taken"), (job.id, 1, "a", "ended"))
    assert kinds(engine) == {"another token than claims, or still held"}


def test_the_log_only_grows(engine: Engine) -> None:
    write(engine, (uuid4(), 1, "a", "taken"))
    with pytest.raises(DBAPIError, match="only ever added to"), engine.begin() as connection:
        connection.execute(text("DELETE FROM claim_log"))


# --- the page ---------------------------------------------------------------------------------------------------------


def test_a_proof_with_faults_does_not_hold_and_says_so() -> None:
    page = Proof(claim="All is well", figures={"jobs": 1234, "seconds": 0.5}, faults=["one was lost"]).page()
    assert "All is well: DOES NOT HOLD, 1 faults" in page
    assert "| jobs | 1,234 |" in page
    assert "| seconds | 0.50 |" in page
    assert "- one was lost" in page


def test_a_proof_without_faults_holds() -> None:
    assert Proof(claim="All is well", figures={}).page().startswith("# All is well: holds")


def test_quantiles_are_values_that_occurred() -> None:
    assert [quantile([3, 1, 2, 4], share) for share in (0.0, 0.5, 0.99, 1)] == [1, 2, 4, 4]
    assert quantile([], 0.5) == 0.0
