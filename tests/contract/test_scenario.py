import time

import pytest
import requests
from pydantic import ValidationError

from cio_tasks.fake import FakeCustomerIO, Scenario
from tests.contract.track import ULID, Track, event, identify


def codes(track: Track, times: int) -> list[int]:
    return [track.region().status_code for _ in range(times)]


def test_error_rate_of_one_fails_everything(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=500)

    assert codes(track, 3) == [500, 500, 500]
    assert fake.ledger.count_by_fault() == {"error_rate:500": 3}


def test_rates_repeat_with_the_seed(fake: FakeCustomerIO, track: Track) -> None:
    runs = []
    for seed in (7, 7, 8):
        fake.scenario = Scenario(seed=seed, error_rate=0.5)
        runs.append(codes(track, 20))

    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {200, 503}


def test_reset_before_rate_applies_nothing(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(reset_before_rate=1)

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        track.batch(identify("u1"))
    assert fake.people.count() == 0


def test_reset_after_rate_applies_what_is_good(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(reset_after_rate=1)

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        track.batch(identify("u1"), event("u1", id=ULID), event("u1", name=""))
    assert (fake.people.count(), fake.people.count_events()) == (1, 1)
    assert fake.ledger.entries()[0]["answer"]["fault"] == "reset_after"


def test_outage_lasts_until_it_is_cleared(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(outage="503")
    during = codes(track, 3)
    fake.scenario = Scenario()

    assert (during, codes(track, 1)) == ([503, 503, 503], [200])


def test_outage_comes_before_the_question_of_credentials(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="503")

    assert Track(fake.url, ("other", "key")).region().status_code == 503


def test_outage_ends_by_itself_after_its_seconds(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(outage="503", outage_seconds=30)
    during = codes(track, 1)
    fake.scenario = Scenario(outage="503", outage_seconds=0)

    assert (during, codes(track, 1)) == ([503], [200])


@pytest.mark.parametrize(("outage", "message"), [("reset", "reset by peer"), ("refuse", "without response")])
def test_outage_can_close_the_connection(fake: FakeCustomerIO, track: Track, outage: str, message: str) -> None:
    fake.scenario = Scenario.model_validate({"outage": outage})

    with pytest.raises(requests.ConnectionError, match=message):
        track.region()


def test_outage_can_hang(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(outage="hang")

    with pytest.raises(requests.ReadTimeout):
        track.region(timeout=0.1)
    assert fake.ledger.count_by_status() == {"none": 1}


def test_latency_delays_every_answer(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(latency_seconds=0.1)
    started = time.monotonic()

    assert codes(track, 1) == [200]
    assert time.monotonic() - started >= 0.1


@pytest.mark.parametrize("text", ["0", "120", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9", "soon", ""])
def test_retry_after_is_sent_as_it_stands(fake: FakeCustomerIO, track: Track, text: str) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=429, retry_after=text)

    assert track.region().headers["retry-after"] == text


def test_retry_after_can_be_absent(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=429, retry_after=None)

    assert "retry-after" not in track.region().headers


@pytest.mark.parametrize(("form", "body"), [("text", "Too Many Requests"), ("empty", "")])
def test_429_can_have_no_json(fake: FakeCustomerIO, track: Track, form: str, body: str) -> None:
    fake.scenario = Scenario.model_validate({"error_rate": 1, "error_status": 429, "rate_limit_body": form})

    assert track.region().text == body


def test_5xx_can_be_a_page(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=502, html_5xx=True)
    answer = track.region()

    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_json_can_be_cut_off(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(truncated_json=True)
    answer = track.batch(identify("u1"))

    assert (answer.status_code, answer.content, fake.people.count()) == (200, b"{", 1)
    assert fake.ledger.count_by_fault() == {"truncated_json": 1}


def test_body_can_be_longer_than_anybody_wants(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(padding_bytes=100_000)
    answer = track.batch(identify("u1"))

    assert (len(answer.content), answer.json()) == (100_003, {})


def test_drip_sends_head_and_body_byte_by_byte(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(drip_seconds_per_byte=0.0005)
    started = time.monotonic()
    answer = track.batch(identify("u1"))

    assert (answer.status_code, answer.content, answer.headers["status"]) == (200, b"{}\n", "200 OK")
    assert time.monotonic() - started >= 0.1


def test_success_can_carry_the_errors_of_a_207(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(body_error_200=True)
    answer = track.batch(identify("u1"), event("u1", name=""))

    assert answer.status_code == 200
    assert [error["batch_index"] for error in answer.json()["errors"]] == [1]
    assert fake.people.count() == 1


def test_success_with_errors_refuses_the_first_item_when_none_is_bad(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(body_error_200=True)
    answer = track.batch(identify("u1"), identify("u2"))

    assert [error["batch_index"] for error in answer.json()["errors"]] == [0]
    assert (fake.people.find("u1"), fake.people.count()) == (None, 1)


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ("number", {"batch_index": 1}),
        ("string", {"batch_index": "1"}),
        ("out_of_range", {"batch_index": 1_000_001}),
        ("missing", {}),
    ],
)
def test_207_can_name_its_items_wrongly(
    fake: FakeCustomerIO, track: Track, form: str, named: dict[str, object]
) -> None:
    fake.scenario = Scenario.model_validate({"batch_index_as": form})
    (error,) = track.batch(identify("u1"), event("u1", name="")).json()["errors"]

    assert {key: error[key] for key in error if key == "batch_index"} == named


def test_any_credentials_can_be_accepted(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(accept_any_credentials=True)

    assert Track(fake.url, None).region().status_code == 200


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_points_at_the_same_path_elsewhere(fake: FakeCustomerIO, track: Track, status: int) -> None:
    fake.scenario = Scenario.model_validate({"redirect_to": "https://example.com", "redirect_status": status})
    answer = track.identify("a b")

    assert (answer.status_code, answer.headers["location"]) == (status, "https://example.com/api/v1/customers/a%20b")
    assert fake.people.count() == 0


def test_wrong_region_can_be_proxied(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(wrong_region="proxy")

    assert track.identify("u1").status_code == 200
    assert (track.region().json()["region"], fake.people.count()) == ("eu", 1)


def test_wrong_region_can_be_redirected_to_the_other_host(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(wrong_region="redirect")
    answer = track.batch(identify("u1"))

    assert (answer.status_code, answer.headers["location"]) == (301, "https://track-eu.customer.io/api/v2/batch")


def test_wrong_region_can_look_like_wrong_credentials(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(wrong_region="unauthorized")

    assert track.region().status_code == 401
    assert fake.ledger.count_by_fault() == {"wrong_region:unauthorized": 1}


@pytest.mark.parametrize("knobs", [{"error_rate": 2}, {"outage": "flood"}, {"retry_after": "1\r\nx: y"}, {"rain": 1}])
def test_scenario_refuses_what_it_does_not_know(knobs: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Scenario.model_validate(knobs)
