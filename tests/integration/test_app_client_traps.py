"""What the App API may do to its client: each trap comes back as a value, and nothing is asked twice."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis

from cio_tasks.customerio.app_answers import ANSWER_LIMIT, Listing, Trouble
from cio_tasks.customerio.app_api import WITHIN, AppAPI, AppPace
from cio_tasks.customerio.app_people import Activity, Who
from cio_tasks.customerio.pace import Pace
from cio_tasks.customerio.transport import BODY_LIMIT
from cio_tasks.fake import FakeCustomerIO, PastActivity, PastMessage, PersonHistory, Segment
from cio_tasks.settings import Settings
from tests.eventually import eventually
from tests.integration.app_client import FREE, connect, failed, got, set_app

U1 = Who("id", "u1")
SHORT = 0.5
JITTER = 0.3
"""Seconds by which a request may arrive late, and the ones after it not."""


@pytest.fixture
def api(fake: FakeCustomerIO) -> AppAPI:
    fake.scenario = FREE
    return connect(fake.url)


def give(fake: FakeCustomerIO, count: int, **fields: object) -> None:
    fake.remember(PersonHistory(id="u1", activities=(PastActivity.model_validate({"count": count, **fields}),)))


def read(api: AppAPI, *, limit: int = 1_000, within: timedelta = WITHIN) -> Listing[Activity]:
    return got(api.activities(U1, type_="event", limit=limit, within=within))


# --- why there is no answer -------------------------------------------------------------------------------------------


def test_without_a_key_nothing_is_asked(fake: FakeCustomerIO) -> None:
    api = AppAPI.from_settings(Settings.from_env({"CUSTOMERIO_APP_URL": fake.url}))

    assert failed(api.person(U1)).trouble == Trouble.NO_KEY
    assert failed(api.activities(U1)).detail == "CUSTOMERIO_APP_API_KEY is not set"
    assert fake.ledger.count() == 0


@pytest.mark.parametrize("key", ["wrong", "ключ", ""])
def test_refused_key_names_both_causes(fake: FakeCustomerIO, key: str) -> None:
    failure = failed(connect(fake.url, key=key).person(U1))

    assert (failure.trouble, failure.status) in {(Trouble.REFUSED, 401), (Trouble.UNREACHABLE, None)}
    assert key not in failure.detail or not key


@pytest.mark.parametrize(("behaviour", "status"), [("unauthorized", 401), ("redirect", 301)])
def test_wrong_region_is_a_refusal_and_is_not_followed(
    fake: FakeCustomerIO, api: AppAPI, behaviour: str, status: int
) -> None:
    set_app(fake, wrong_region=behaviour)
    failure = failed(api.workspaces())

    assert (failure.trouble, failure.status) == (Trouble.REFUSED, status)
    assert "CUSTOMERIO_REGION" in failure.detail
    assert fake.ledger.count() == 1


def test_nobody_is_not_found(api: AppAPI) -> None:
    assert (failed(api.person(U1)).trouble, failed(api.person(U1)).may_pass) == (Trouble.NOT_FOUND, False)
    assert failed(api.activities(U1)).trouble == Trouble.NOT_FOUND
    assert failed(api.campaign(5)).trouble == Trouble.NOT_FOUND


@pytest.mark.parametrize(("status", "trouble"), [(400, "bad_request"), (403, "refused"), (404, "not_found")])
def test_final_statuses(fake: FakeCustomerIO, api: AppAPI, status: int, trouble: str) -> None:
    set_app(fake, failing={"workspaces": status})

    assert (failed(api.workspaces()).trouble, failed(api.workspaces()).may_pass) == (trouble, False)


@pytest.mark.parametrize(
    ("status", "trouble"), [(408, "server_error"), (429, "rate_limited"), (500, "server_error"), (503, "server_error")]
)
def test_passing_statuses(fake: FakeCustomerIO, api: AppAPI, status: int, trouble: str) -> None:
    set_app(fake, failing={"workspaces": status})

    assert (failed(api.workspaces()).trouble, failed(api.workspaces()).may_pass) == (trouble, True)


def test_429_says_when_to_come_back_and_is_asked_once(fake: FakeCustomerIO, api: AppAPI) -> None:
    set_app(fake, rate_limit=0, retry_after="7")
    told = failed(api.workspaces())
    set_app(fake, rate_limit=0, retry_after=None)
    not_told = failed(api.workspaces())

    assert (told.retry_after, not_told.retry_after) == (timedelta(seconds=7), timedelta(seconds=5))
    assert fake.ledger.count() == 2


@pytest.mark.parametrize(
    ("outage", "code"), [("reset", "connection_reset"), ("refuse", "connection_reset"), ("hang", "timeout")]
)
def test_unreachable_is_named(fake: FakeCustomerIO, outage: str, code: str) -> None:
    set_app(fake, outage=outage)
    failure = failed(connect(fake.url, seconds=SHORT).workspaces())

    assert (failure.trouble, failure.status, failure.may_pass) == (Trouble.UNREACHABLE, None, True)
    assert failure.code in {code, "not_http"}


def test_slow_drip_ends_at_the_deadline(fake: FakeCustomerIO) -> None:
    set_app(fake, drip_seconds_per_byte=SHORT / 2)
    started = time.monotonic()
    failure = failed(connect(fake.url, seconds=SHORT).workspaces())

    assert (failure.code, time.monotonic() - started < 15) == ("timeout", True)


@pytest.mark.parametrize("knob", ["truncated_json", "not_json"])
def test_rubbish_is_unreadable(fake: FakeCustomerIO, api: AppAPI, knob: str) -> None:
    set_app(fake, **{knob: True})

    assert (failed(api.workspaces()).trouble, failed(api.workspaces()).code) == (Trouble.UNREADABLE, "not_customerio")


def test_large_answer_is_read_and_a_huge_one_is_not(fake: FakeCustomerIO, api: AppAPI) -> None:
    set_app(fake, padding_bytes=BODY_LIMIT)
    assert len(got(api.workspaces())) == 1
    set_app(fake, padding_bytes=ANSWER_LIMIT)

    assert failed(api.workspaces()).code == "too_large"


def test_four_hundred_segments_come_in_one_piece(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(*(Segment(id=number, name=f"Segment {number}") for number in range(1, 401)))

    assert len(got(api.segments())) == 400


@pytest.mark.parametrize("id_", ["", ".", "..", "\ud800"])
def test_identifier_that_fits_no_address_is_not_asked_for(fake: FakeCustomerIO, api: AppAPI, id_: str) -> None:
    assert failed(api.person(Who("id", id_))).code == "unaskable"
    assert fake.ledger.count() == 0


def test_failure_holds_neither_key_nor_person(fake: FakeCustomerIO) -> None:
    set_app(fake, failing={"attributes": 400})
    text = repr(connect(fake.url, key="SECRETCANARY").person(Who("email", "ann@example.com")))
    text += repr(connect(fake.url).person(Who("email", "ann@example.com")))

    assert not [word for word in ("SECRETCANARY", "ann", "app-key") if word in text]


def test_one_part_that_fails_leaves_the_others(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(PersonHistory(id="u1", email="ann@example.com"))
    set_app(fake, failing={"activities": 503, "search_suppression": 429})

    assert got(api.person(U1)).email == "ann@example.com"
    assert got(api.messages(U1)).items == ()
    assert failed(api.activities(U1)).trouble == Trouble.SERVER_ERROR
    assert failed(api.suppression("ann@example.com")).trouble == Trouble.RATE_LIMITED


# --- empty and odd ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["list", "null", "missing"])
def test_empty_collection_is_empty_in_every_form(fake: FakeCustomerIO, api: AppAPI, form: str) -> None:
    fake.remember(PersonHistory(id="u1"))
    set_app(fake, empty_as=form)

    assert [*got(api.find_by_email("bob@example.com")), *got(api.segments_of(U1)), *got(api.campaigns())] == []
    assert got(api.messages(U1)).items == ()
    assert got(api.person(U1)).devices == 0


@pytest.mark.parametrize("form", ["empty_list", "missing", "empty_object", "null"])
def test_clean_address_is_clean_in_every_form(fake: FakeCustomerIO, api: AppAPI, form: str) -> None:
    set_app(fake, clean_address=form)

    assert got(api.suppression("ann@example.com")).suppressed is False


def test_numbers_that_come_as_text_are_read(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(PersonHistory(id="u1", messages=(PastMessage(campaign_id=5),)))
    plain = got(api.messages(U1)).items
    set_app(fake, numbers_as_strings=True)

    assert got(api.messages(U1)).items == plain


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["empty", "null", "missing", "live"])
def test_list_ends_in_every_form(fake: FakeCustomerIO, api: AppAPI, form: str) -> None:
    give(fake, 250)
    set_app(fake, last_page=form)
    found = read(api)

    assert (len(found.items), found.left_out) == (250, None)
    assert len({activity.id for activity in found.items}) == 250
    assert found.requests == (5 if form == "live" else 3)


@pytest.mark.parametrize("count", [5, 250])
def test_pages_that_lead_nowhere_are_left_and_nothing_counts_twice(
    fake: FakeCustomerIO, api: AppAPI, count: int
) -> None:
    give(fake, count)
    set_app(fake, last_page="same")
    found = read(api)

    assert (len(found.items), found.left_out) == (count, "loop")
    assert fake.ledger.count() == found.requests <= 4


def test_no_more_is_read_than_was_asked_for(fake: FakeCustomerIO, api: AppAPI) -> None:
    give(fake, 250)
    found = read(api, limit=120)

    assert (len(found.items), found.left_out, fake.ledger.count()) == (120, "limit", 2)
    assert read(api, limit=250).left_out is None


def test_no_more_is_read_when_the_time_is_over(fake: FakeCustomerIO, api: AppAPI) -> None:
    give(fake, 250)
    found = read(api, within=timedelta(0))

    assert (len(found.items), found.left_out, found.requests) == (100, "time", 1)


def test_page_that_fails_leaves_what_was_read(fake: FakeCustomerIO, api: AppAPI) -> None:
    give(fake, 250)
    set_app(fake, rate_limit=2, retry_after="120")
    found = read(api)

    assert (len(found.items), found.left_out) == (200, "rate_limited")


def test_a_page_that_is_refused_for_a_moment_is_asked_for_again(fake: FakeCustomerIO, api: AppAPI) -> None:
    give(fake, 250)
    set_app(fake, rate_limit=2, retry_after="1")
    found = read(api)

    assert (len(found.items), found.left_out) == (250, None)


def test_ten_thousand_activities_are_read(fake: FakeCustomerIO, api: AppAPI) -> None:
    give(fake, 10_000, every=1)

    assert len(read(api, limit=20_000, within=timedelta(minutes=2)).items) == 10_000


# --- our own pace -----------------------------------------------------------------------------------------------------


def test_customerio_never_sees_more_than_ten_a_second(fake: FakeCustomerIO, redis_url: str) -> None:
    fake.scenario = FREE
    clients = [connect(fake.url, pace=AppPace(redis_url=redis_url)) for _ in range(2)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: clients[number % 2].workspaces(), range(25)))
    arrivals = sorted(entry["at"] for entry in fake.ledger.entries())

    assert fake.ledger.count_by_status() == {"200": 25}
    assert min(later - earlier for earlier, later in zip(arrivals, arrivals[10:], strict=False)) > 1 - JITTER


def test_pace_of_the_track_api_is_another(redis_url: str) -> None:
    track, app = Pace(10, redis_url=redis_url), AppPace(redis_url=redis_url)

    def turns_and_windows() -> int:
        assert track.wait_for_turn()
        assert app.wait_for_turn()
        with redis.Redis.from_url(redis_url) as client:
            return len(list(client.scan_iter()))

    eventually(turns_and_windows, lambda windows: windows == 2)  # each is forgotten after a second


def test_used_up_pace_is_a_failure_that_may_pass(fake: FakeCustomerIO) -> None:
    api = connect(fake.url, pace=AppPace(redis_url=None, per_second=1))
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: api.workspaces(), range(12)))
    spent = [answer for answer in answers if not isinstance(answer, tuple)]

    assert {(one.code, one.may_pass) for one in spent} == {("own_rate_limit", True)}
    assert fake.ledger.count() == 12 - len(spent)
