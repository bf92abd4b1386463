import pytest

from cio_tasks.fake import FakeCustomerIO, Scenario
from tests.contract.track import ULID, Track, event, identify


def test_control_asks_for_no_credentials(fake: FakeCustomerIO) -> None:
    answer = Track(fake.url, None).call("GET", "/_fake/health")

    assert answer.json() == {"status": "ok", "region": "us"}


def test_summary_counts_everything(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(identify("u1"), event("u1", id=ULID))
    track.batch(event("u1", id=ULID), event("u1", name=""))
    track.identify("u2", email="bob+500@example.com")

    assert track.control("GET", "summary") == {
        "requests": 3,
        "people": 1,
        "events": 1,
        "duplicates_dropped": 1,
        "by_status": {"200": 1, "207": 1, "500": 1},
        "by_fault": {"persona:500": 1},
    }


@pytest.mark.parametrize("identifier", ["u1", "ANN%2B1@example.com", "cio_000000000001"])
def test_person_is_shown_by_every_identifier(track: Track, identifier: str) -> None:
    track.batch(identify("u1", timestamp=7, email="Ann+1@example.com"), event("u1", timestamp=8))
    shown = track.control("GET", f"people/{identifier}")

    assert (shown["id"], shown["email"], shown["phone"]) == ("u1", "ann+1@example.com", None)
    assert (shown["attributes"], shown["stamps"]) == ({"email": "Ann+1@example.com"}, {"email": 7})
    assert [(one["name"], one["timestamp"]) for one in shown["events"]] == [("opened", 8)]


def test_unknown_person_is_404(track: Track) -> None:
    answer = track.call("GET", "/_fake/people/nobody")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "identifier")


def test_events_are_filtered_by_name_and_the_newest_are_kept(track: Track) -> None:
    track.batch(*(event("u1", name=name, timestamp=n) for n, name in enumerate(["a", "b", "a", "a"])))

    assert [one["timestamp"] for one in track.control("GET", "events?name=a&limit=2")["events"]] == [2, 3]
    assert len(track.control("GET", "events?name=&limit=")["events"]) == 4
    assert track.control("GET", "events?limit=0")["events"] == []


def test_scenario_is_put_in_force_over_http(fake: FakeCustomerIO, track: Track) -> None:
    shown = track.control("PUT", "scenario", {"outage": "503", "retry_after": None})

    assert fake.scenario == Scenario(outage="503", retry_after=None)
    assert shown == track.control("GET", "scenario") == fake.scenario.model_dump()
    assert track.region().status_code == 503


def test_scenario_replaces_the_one_before_as_a_whole(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(outage="503")
    track.control("PUT", "scenario", {"error_rate": 0.5})

    assert fake.scenario == Scenario(error_rate=0.5)


def test_unknown_and_wrong_knobs_are_named_and_nothing_changes(fake: FakeCustomerIO, track: Track) -> None:
    answer = track.call("PUT", "/_fake/scenario", {"rain": 1, "error_rate": 2, "seed": 3})

    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"rain", "error_rate"}
    assert fake.scenario == Scenario()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_scenario_must_be_an_object(track: Track, body: bytes) -> None:
    assert track.call("PUT", "/_fake/scenario", raw=body).status_code == 400


def test_credentials_are_rotated_over_http(fake: FakeCustomerIO, track: Track) -> None:
    track.control("PUT", "credentials", {"site_id": "site", "api_key": "new"})

    assert track.region().status_code == 401
    assert Track(fake.url, ("site", "new")).region().status_code == 200


def test_reset_brings_back_the_start(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("u1", email="ann+500@example.com")
    track.batch(identify("u1"), event("u1", id=ULID))
    fake.scenario = Scenario(outage="503")
    track.control("PUT", "credentials", {"site_id": "a", "api_key": "b"})
    track.control("POST", "reset")

    summary = track.control("GET", "summary")
    assert [summary[key] for key in ("requests", "people", "events")] == [0, 0, 0]
    assert (fake.scenario, track.region().status_code) == (Scenario(), 200)
    assert track.batch(event("u1", id=ULID)).status_code == 200
    assert fake.people.count_events() == 1


def test_reset_starts_the_counts_of_the_personas_again(fake: FakeCustomerIO, track: Track) -> None:
    codes = []
    for _ in range(2):
        codes.append(track.identify("u1", email="ann+500@example.com").status_code)
        fake.reset()

    assert codes == [500, 500]


def test_unknown_control_route_is_404(track: Track) -> None:
    assert track.call("GET", "/_fake/nowhere").status_code == 404
    assert track.call("DELETE", "/_fake/ledger").status_code == 404
