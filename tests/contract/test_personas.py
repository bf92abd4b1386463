import time

import pytest
import requests

from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.fake.personas import Persona, personas_of
from tests.contract.track import ULID, Track, event, identify


def statuses(track: Track, email: str, times: int) -> list[int]:
    return [track.identify("u1", email=email).status_code for _ in range(times)]


@pytest.mark.parametrize(
    ("address", "faults"),
    [
        ("ann@example.com", []),
        ("ann+429@example.com", [("429", 1)]),
        ("Ann+RESETAFTERx2@Example.com", [("resetafter", 2)]),
        ("ann+500x3+timeout@example.com", [("500", 3), ("timeout", 1)]),
        ("ann+badattr@example.com", [("badattr", None)]),
        ("ann+413@example.com", [("413", None)]),
        ("ann+403x2@example.com", [("403", 2)]),
        ("ann+1+x2+200+429x@example.com", []),
        ("429@500.com", []),
    ],
)
def test_faults_are_read_from_the_address(address: str, faults: list[tuple[str, int | None]]) -> None:
    assert personas_of(address) == tuple(Persona(address.lower(), *fault) for fault in faults)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("429x2", [429, 429, 200]),
        ("500x3", [500, 500, 500, 200]),
        ("502x1", [502, 200, 200]),
        ("503x2", [503, 503, 200]),
        ("504", [504, 200]),
        ("500x1+429x2", [500, 429, 429, 200]),
        ("403", [403, 403, 403]),
        ("400", [400, 400, 400]),
        ("413", [413, 413, 413]),
        ("badattr", [400, 400, 400]),
        ("badattrx1", [400, 200]),
    ],
)
def test_address_decides_how_its_first_requests_fail(track: Track, tag: str, expected: list[int]) -> None:
    assert statuses(track, f"ann+{tag}@example.com", len(expected)) == expected


def test_nothing_is_applied_by_a_failed_request(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(identify("u1", email="ann+500@example.com"), identify("u2"))

    assert fake.people.count() == 0
    assert fake.ledger.entries()[0]["answer"]["fault"] == "persona:500"


def test_429_carries_the_retry_after_of_the_scenario(fake: FakeCustomerIO, track: Track) -> None:
    answer = track.identify("u1", email="ann+429@example.com")

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_timeout_hangs_until_the_client_leaves(fake: FakeCustomerIO, track: Track) -> None:
    operation = identify("u1", email="ann+timeout@example.com")

    with pytest.raises(requests.ReadTimeout):
        track.batch(operation, timeout=0.1)
    assert fake.people.count() == 0
    assert track.batch(operation).status_code == 200


def test_timeout_ends_by_closing_when_the_client_is_patient(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(hang_seconds=0.05)

    with pytest.raises(requests.ConnectionError):
        track.identify("u1", email="ann+timeoutx2@example.com")


def test_reset_applies_nothing(fake: FakeCustomerIO, track: Track) -> None:
    for _ in range(2):
        with pytest.raises(requests.ConnectionError, match="reset by peer"):
            track.identify("u1", email="ann+resetx2@example.com")

    assert fake.people.count() == 0
    assert track.identify("u1", email="ann+resetx2@example.com").status_code == 200
    assert [entry["answer"]["status"] for entry in fake.ledger.entries()] == [None, None, 200]


def test_reset_after_applies_so_that_a_retry_is_a_duplicate(fake: FakeCustomerIO, track: Track) -> None:
    operations = [identify("u1", email="ann+resetafter@example.com"), event("u1", id=ULID)]

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        track.batch(*operations)
    assert (fake.people.count(), fake.people.count_events()) == (1, 1)
    assert track.batch(*operations).status_code == 200
    assert (fake.people.count_events(), fake.people.count_duplicates_dropped()) == (1, 1)


def test_slow_answers_late_and_successfully_once(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(slow_seconds=0.1)
    started = time.monotonic()
    codes = statuses(track, "ann+slow@example.com", 3)

    assert (codes, fake.ledger.count_by_fault()) == ([200, 200, 200], {"persona:slow": 1})
    assert time.monotonic() - started >= 0.1


def test_later_phase_without_an_email_is_known_by_its_id(track: Track) -> None:
    track.batch(identify("u1", email="ann+badattr@example.com"))

    assert track.batch(identify("u2"), identify("u1", plan="free")).json()["errors"][0]["batch_index"] == 1
    assert track.event("u1").status_code == 400


def test_count_runs_over_all_phases(track: Track) -> None:
    email = "ann+500x3@example.com"

    initial = [track.batch(identify("u1", email=email), event("u1", id=ULID)).status_code for _ in range(2)]
    enriched = [track.batch(identify("u1", bet=5)).status_code for _ in range(2)]
    assert (initial, enriched) == ([500, 500], [500, 200])


def test_count_belongs_to_the_address_not_to_the_id(track: Track) -> None:
    first = track.identify("u1", email="ann+500@example.com").status_code

    assert (first, track.identify("u2", email="ANN+500@example.com").status_code) == (500, 200)


def test_person_is_known_by_an_email_in_the_path(track: Track) -> None:
    codes = [track.identify("ann+500@example.com").status_code for _ in range(2)]

    assert codes == [500, 200]


def test_person_is_known_by_cio_id(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(personas=False)
    track.identify("u1", email="ann+500@example.com")
    found = fake.people.find("u1")
    fake.scenario = Scenario()

    assert found is not None
    assert track.identify(f"cio_{found['cio_id']}", plan="free").status_code == 500


def test_badattr_names_its_items_and_lets_the_others_pass(fake: FakeCustomerIO, track: Track) -> None:
    answer = track.batch(identify("a"), identify("b", email="b+badattr@example.com"), event("b"), identify("c"))

    assert answer.status_code == 207
    assert [error["batch_index"] for error in answer.json()["errors"]] == [1, 2]
    assert answer.json()["errors"][0]["message"] == "value for attribute 'badattr' cannot be longer than 1000 bytes"
    assert (fake.people.count(), fake.ledger.entries()[0]["answer"]["fault"]) == (2, "persona:badattr")


@pytest.mark.parametrize("status", [400, 403, 413])
def test_permanent_fault_fails_the_whole_batch_until_it_is_alone(track: Track, status: int) -> None:
    good, bad = identify("a"), identify("b", email=f"b+{status}@example.com")

    assert track.batch(good, bad).status_code == status
    assert [track.batch(good).status_code, track.batch(bad).status_code] == [200, status]


def test_permanent_fault_spends_nothing_of_the_transient_ones(track: Track) -> None:
    slow, bad = identify("a", email="a+500@example.com"), identify("b", email="b+413@example.com")

    assert track.batch(slow, bad).status_code == 413
    assert [track.batch(slow).status_code, track.batch(slow).status_code] == [500, 200]


def test_people_of_one_batch_spend_their_faults_together(track: Track) -> None:
    batch = [identify(tag, email=f"{tag}@example.com") for tag in ("a+429x2", "b+500x3", "c+502", "d+503x2")]

    assert [track.batch(*batch).status_code for _ in range(4)] == [429, 429, 500, 200]


def test_personas_can_be_switched_off(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(personas=False)

    assert statuses(track, "ann+413@example.com", 1) == [200]


def test_request_that_fails_anyway_spends_no_persona(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(outage="503")
    track.identify("u1", email="ann+429@example.com")
    fake.scenario = Scenario()

    assert track.identify("u1", plan="free").status_code == 429
