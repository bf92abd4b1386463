import hashlib
import json
from pathlib import Path

import pytest
import requests

from cio_tasks.fake import FakeCustomerIO, LedgerEntry, Scenario
from tests.contract.track import ULID, Track, event, identify


def last(fake: FakeCustomerIO) -> LedgerEntry:
    return fake.ledger.entries()[-1]


def test_entry_says_who_asked_what_and_when(fake: FakeCustomerIO, track: Track) -> None:
    answer = track.batch(identify("u1", plan="free"))

    entry = last(fake)
    sent = answer.request.body
    assert isinstance(sent, bytes)
    assert (entry["method"], entry["path"], entry["user"]) == ("POST", "/api/v2/batch", "site")
    assert (entry["sha256"], entry["bytes"]) == (hashlib.sha256(sent).hexdigest(), len(sent))
    assert entry["at"] > 1_700_000_000


def test_entry_lists_every_operation(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(identify("u1", timestamp=7, email="Ann@b.c"), event("u1", id=ULID, timestamp=8, attributes={"n": 1}))

    first, second = last(fake)["operations"]
    assert first == {
        "type": "person",
        "action": "identify",
        "person": {"id": "u1"},
        "email": "ann@b.c",
        "name": None,
        "event_id": None,
        "timestamp": 7,
        "attributes": {"email": "Ann@b.c"},
        "applied": True,
        "why": None,
    }
    assert (second["name"], second["event_id"], second["attributes"]) == ("opened", ULID, {"n": 1})


def test_v1_requests_are_listed_in_the_same_form(fake: FakeCustomerIO, track: Track) -> None:
    track.event("u1", id=ULID, timestamp=8, data={"n": 1})
    track.batch(event("u2", id=ULID, timestamp=8, attributes={"n": 1}))

    v1, v2 = (entry["operations"][0] for entry in fake.ledger.entries())
    ignored = {"person", "applied", "why"}
    assert {k: v for k, v in v1.items() if k not in ignored} == {k: v for k, v in v2.items() if k not in ignored}


def test_refused_item_is_not_applied_and_its_errors_are_kept(fake: FakeCustomerIO, track: Track) -> None:
    answer = track.batch(identify("a"), event("a", name=""))

    entry = last(fake)
    assert [(one["applied"], one["why"]) for one in entry["operations"]] == [(True, None), (False, "refused")]
    assert entry["answer"] == {"status": 207, "errors": answer.json()["errors"], "fault": None}


def test_dropped_duplicate_is_not_applied(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(event(id=ULID), event(id=ULID))

    assert [(one["applied"], one["why"]) for one in last(fake)["operations"]] == [(True, None), (False, "duplicate")]


def test_unauthorized_request_is_written_down_with_its_user(fake: FakeCustomerIO) -> None:
    Track(fake.url, ("stranger", "key")).identify("u1", plan="free")

    entry = last(fake)
    assert (entry["user"], entry["answer"]["status"]) == ("stranger", 401)
    assert [(one["applied"], one["why"]) for one in entry["operations"]] == [(False, "unauthorized")]


@pytest.mark.parametrize("outage", ["reset", "refuse"])
def test_entry_is_written_although_the_answer_never_comes(fake: FakeCustomerIO, track: Track, outage: str) -> None:
    fake.scenario = Scenario.model_validate({"outage": outage})

    with pytest.raises(requests.ConnectionError):
        track.batch(identify("u1"))
    assert last(fake)["answer"] == {"status": None, "errors": [], "fault": f"outage:{outage}"}
    assert last(fake)["operations"][0]["why"] == "fault"


def test_entry_is_written_before_the_answer_is_sent(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(latency_seconds=30)

    with pytest.raises(requests.ReadTimeout):
        track.call("POST", "/api/v2/batch", {"batch": [identify("u1")]}, timeout=0.1)
    assert last(fake)["operations"][0]["applied"] is True


def test_control_routes_are_not_in_the_ledger(fake: FakeCustomerIO, track: Track) -> None:
    for path in ("health", "summary", "ledger", "events", "scenario", "people/u1", "nowhere"):
        track.control("GET", path)

    assert fake.ledger.entries() == []


def test_ledger_is_paged_by_number(track: Track) -> None:
    for person in "abc":
        track.identify(person)
    first = track.control("GET", "ledger?limit=2")
    rest = track.control("GET", f"ledger?since={first['next']}")
    end = track.control("GET", f"ledger?since={rest['next']}")

    assert [entry["path"][-1] for entry in first["entries"] + rest["entries"]] == ["a", "b", "c"]
    assert (end["entries"], end["next"]) == ([], rest["next"])


@pytest.mark.parametrize("query", ["since=-1", "since=x", "limit=1.5", "limit=²"])
def test_page_must_be_given_in_whole_numbers(track: Track, query: str) -> None:
    assert track.call("GET", f"/_fake/ledger?{query}").status_code == 400


def test_file_holds_the_same_entries_one_per_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with FakeCustomerIO(ledger_path=path) as fake:
        track = Track(fake.url)
        track.identify("u1", name="Zoë \ud800")
        track.batch(identify("u2"))
        lines = path.read_text(encoding="utf-8").splitlines()

        assert [json.loads(line) for line in lines] == fake.ledger.entries()


def test_file_is_only_ever_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for _ in range(2):
        with FakeCustomerIO(ledger_path=path) as fake:
            Track(fake.url).identify("u1")
            fake.reset()
            Track(fake.url).identify("u1")

    numbers = [json.loads(line)["seq"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert numbers == [1, 2, 3, 4]
