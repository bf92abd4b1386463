import pytest

from cio_tasks import errors
from cio_tasks.errors import CioTasksError, ConfigurationError, Conflict, NotFound

CLASSES = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, CioTasksError)]


@pytest.mark.parametrize("error", CLASSES)
def test_docstring_is_the_message_unless_there_is_a_better_one(error: type[CioTasksError]) -> None:
    assert str(error()) == error.__doc__
    assert str(error("the job runs")) == "the job runs"


@pytest.mark.parametrize("error", CLASSES)
def test_one_except_catches_them_all(error: type[CioTasksError]) -> None:
    with pytest.raises(CioTasksError):
        raise error


def test_facts_are_carried_beside_the_text() -> None:
    error = Conflict("the job is being delivered", job_id="1", status="processing")

    assert error.facts == {"job_id": "1", "status": "processing"}
    assert str(error) == "the job is being delivered"


def test_hint_says_what_to_do_next() -> None:
    assert ConfigurationError("REDIS_URL is not set", hint="set REDIS_URL").hint == "set REDIS_URL"
    assert NotFound().hint is None
