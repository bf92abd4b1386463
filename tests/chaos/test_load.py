"""The client against a server that answers as it is told."""

import json
import random
from pathlib import Path

import pytest

from tests.chaos.answering import Api
from tests.chaos.evidence import Request
from tests.chaos.load import DOOMED, Load, Pace, Person, bet_slip, outcome_of

ONE = Pace(signups=1, seed=1, per_second=1000, threads=1)


def submit(api: Api, tmp_path: Path, *statuses: int, pace: Pace = ONE) -> list[Request]:
    """Run a load and return its requests of the kind signup."""
    api.statuses = list(statuses)
    load = Load([f"http://127.0.0.1:{api.server_port}"], "token", pace, tmp_path / "log.jsonl")
    load.enough()
    load.run()
    return [request for request in load.requests if request.kind == "signup"]


@pytest.mark.parametrize(
    ("statuses", "outcome", "tries"),
    [((201,), "accepted", 1), ((200,), "accepted", 1), ((422,), "refused", 1), ((409,), "refused", 1)],
)
def test_an_answer_decides(api: Api, tmp_path: Path, statuses: tuple[int, ...], outcome: str, tries: int) -> None:
    (request,) = submit(api, tmp_path, *statuses)
    assert (request.outcome, request.tries) == (outcome, tries)


@pytest.mark.parametrize("first", [0, 500, 503, 429])
def test_what_is_unknown_is_asked_again_with_the_same_key(api: Api, tmp_path: Path, first: int) -> None:
    (request,) = submit(api, tmp_path, first, 200)
    assert (request.outcome, request.tries) == ("accepted", 2)
    assert api.asked[0] == api.asked[1]


def test_what_stays_unknown_is_called_so(api: Api, tmp_path: Path) -> None:
    assert [outcome_of(status) for status in (None, 500, 503, 429, 408)] == ["unknown"] * 5


def test_every_request_is_written_down(api: Api, tmp_path: Path) -> None:
    requests = submit(api, tmp_path, 201, pace=Pace(signups=20, seed=1, per_second=1000))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(requests) == 20
    assert {line["key"] for line in lines} >= {request.key for request in requests}
    assert len({request.external_id for request in requests}) == 20


def test_the_same_seed_makes_the_same_people_and_slips() -> None:
    pace = Pace(signups=1, seed=4, per_second=1)
    people = [Person.of(number, pace) for number in range(1, 500)]
    assert people == [Person.of(number, pace) for number in range(1, 500)]
    assert bet_slip(random.Random("4:1")) == bet_slip(random.Random("4:1"))
    assert {person.trouble for person in people} == {None, DOOMED, "503x1", "429x1", "500x2", "resetafter", "reset"}


def test_without_trouble_only_the_doomed_fail() -> None:
    pace = Pace(signups=1, seed=4, per_second=1, trouble=False)
    assert {Person.of(number, pace).trouble for number in range(1, 500)} == {None, DOOMED}
