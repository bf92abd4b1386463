"""Clients of the App API for the tests, and settings that lead to the stand-in."""

from datetime import timedelta
from typing import TypeVar

from cio_tasks.customerio.app_answers import Failure
from cio_tasks.customerio.app_api import AppAPI, AppPace
from cio_tasks.customerio.reads import ReadTransport
from cio_tasks.customerio.transport import Bearer
from cio_tasks.fake import AppScenario, FakeCustomerIO, Scenario

KEY = "app-key"
FREE = Scenario(app=AppScenario(rate_limit=100_000))

T = TypeVar("T")


def connect(url: str, *, key: str = KEY, seconds: float = 5, pace: AppPace | None = None) -> AppAPI:
    """Return a client that waits for nobody, unless it is given a pace."""
    transport = ReadTransport(url, auth=Bearer(key), total=timedelta(seconds=seconds), user_agent="ciosync tests")
    return AppAPI(transport, pace or AppPace(redis_url=None, per_second=100_000))


def got(answer: T | Failure) -> T:
    """Return what was read; fail when it was not."""
    assert not isinstance(answer, Failure), answer
    return answer


def failed(answer: object) -> Failure:
    """Return why nothing was read; fail when something was."""
    assert isinstance(answer, Failure), answer
    return answer


def set_app(fake: FakeCustomerIO, **knobs: object) -> None:
    """Change the weather of the App API, which otherwise has no limit."""
    fake.scenario = Scenario(app=AppScenario.model_validate({"rate_limit": 100_000, **knobs}))
