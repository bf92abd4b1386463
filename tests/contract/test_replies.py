import pytest

from cio_tasks.fake import FakeCustomerIO, Scenario
from tests.contract.track import Track, event, identify


def test_success_is_an_empty_object_and_a_newline(track: Track) -> None:
    answers = [track.identify("u1", plan="free"), track.event("u1"), track.delete("u1"), track.batch(identify())]

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"{}\n")] * 4
    assert {answer.headers["content-length"] for answer in answers} == {"3"}


def test_success_has_the_headers_seen_live(track: Track) -> None:
    headers = track.identify("u1").headers

    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-store, must-revalidate, max-age=0"
    assert headers["status"] == "200 OK"


def test_success_says_nothing_about_rates(track: Track) -> None:
    headers = track.batch(identify()).headers

    assert not [name for name in headers if "rate" in name.lower() or name.lower() == "retry-after"]


def test_region_names_url_region_and_environment(track: Track) -> None:
    answer = track.region()

    assert answer.json() == {"url": "https://track.customer.io", "region": "us", "environment_id": 123456}


def test_v1_refusal_is_a_list_of_messages(track: Track) -> None:
    answer = track.event("u1", name=" ")

    assert answer.status_code == 400
    assert answer.json() == {"meta": {"errors": ["event name must be present"]}}


def test_v1_refusal_can_be_one_message(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(v1_error_shape="error")

    assert track.event("u1", name="").json() == {"meta": {"error": "event name must be present"}}


def test_v1_merge_with_two_identifiers_on_a_side_is_refused_with_one_message(track: Track) -> None:
    answer = track.call(
        "POST", "/api/v1/merge_customers", {"primary": {"id": "a", "email": "a@b.c"}, "secondary": {"id": "b"}}
    )

    assert answer.status_code == 400
    assert answer.json() == {"meta": {"error": "primary must have exactly one of id, email, phone, cio_id"}}


def test_entity_refusal_has_reason_field_and_message_without_index(track: Track) -> None:
    answer = track.entity(event(name=""))

    assert answer.status_code == 400
    assert answer.json() == {
        "errors": [{"reason": "required", "field": "name", "message": "event name must be present"}]
    }


def test_batch_with_one_bad_item_answers_207_and_applies_the_others(fake: FakeCustomerIO, track: Track) -> None:
    answer = track.batch(identify("a", n=1), event("a", name=""), identify("c", n=3))

    assert answer.status_code == 207
    assert answer.json()["errors"] == [
        {"batch_index": 1, "reason": "required", "field": "name", "message": "event name must be present"}
    ]
    assert [fake.people.find(person) is not None for person in "ac"] == [True, True]
    assert fake.people.list_events() == []


def test_item_with_two_faults_is_named_twice(track: Track) -> None:
    answer = track.batch(identify("a"), identify("b", one="x" * 1001, two="x" * 1001))

    errors = answer.json()["errors"]
    assert [(error["batch_index"], error["field"]) for error in errors] == [
        (1, "attributes.one"),
        (1, "attributes.two"),
    ]


def test_batch_of_bad_items_only_is_a_207_too(track: Track) -> None:
    answer = track.batch("no object", {"type": "person"}, {"type": "ship", "action": "sink"})

    assert answer.status_code == 207
    assert [error["batch_index"] for error in answer.json()["errors"]] == [0, 1, 2]


@pytest.mark.parametrize("part", ["type", "action", "identifiers", "attributes"])
@pytest.mark.parametrize("wrong", [[], [{}], 5, "?"])
def test_operation_with_a_part_of_the_wrong_kind_is_refused(track: Track, part: str, wrong: object) -> None:
    assert track.batch({**identify(), part: wrong}).status_code == 207


@pytest.mark.parametrize(("depth", "status"), [(198, 200), (199, 400), (1_000, 400), (100_000, 400)])
def test_nesting_is_read_up_to_200_levels(track: Track, depth: int, status: int) -> None:
    nested = b"[" * depth + b"]" * depth
    answer = track.call("POST", "/api/v1/customers/u1/events", raw=b'{"name":"x","data":{"n":%s}}' % nested)

    assert answer.status_code == status


def test_brackets_in_text_are_no_nesting(track: Track) -> None:
    assert track.batch(identify("u1", note='\\"[{' * 240), *[identify()] * 200).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"batch": {}}', b'{"batch": []}', b"\xff", b"[" * 100_000])
def test_batch_that_is_no_list_is_refused_as_a_whole(track: Track, body: bytes) -> None:
    answer = track.call("POST", "/api/v2/batch", raw=body)

    assert answer.status_code == 400
    assert set(answer.json()["errors"][0]) == {"reason", "field", "message"}


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("path", ["/api/v1/customers/u1", "/api/v2/entity", "/api/v2/batch"])
def test_numbers_that_json_does_not_have_are_refused(track: Track, path: str, token: str) -> None:
    answer = track.call("PUT" if "v1" in path else "POST", path, raw=b'{"amount": %s}' % token.encode())

    assert answer.status_code == 400
    assert b"valid JSON" in answer.content


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_event_data_must_be_a_hash(track: Track, data: object) -> None:
    assert track.event("u1", data=data).json() == {"meta": {"errors": ["event data must be a hash"]}}


def test_wrong_credentials_are_refused_in_json(fake: FakeCustomerIO, track: Track) -> None:
    answer = Track(fake.url, ("site", "wrong")).identify("u1")

    assert (answer.status_code, answer.json()) == (401, {"meta": {"error": "Unauthorized request"}})
    assert fake.people.find("u1") is None


def test_wrong_credentials_can_be_refused_in_plain_text(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(unauthorized_as="text")

    answer = Track(fake.url, ("other", "key")).region()

    assert (answer.status_code, answer.text) == (401, "Unauthorized request")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic /w==", "Bearer c2l0ZTprZXk=", "Basic c2l0ZQ=="])
def test_malformed_credentials_are_refused(fake: FakeCustomerIO, header: str) -> None:
    answer = Track(fake.url, None).call("GET", "/api/v1/accounts/region", headers={"Authorization": header})

    assert answer.status_code == 401


def test_rotated_credentials_replace_the_old_ones_at_once(fake: FakeCustomerIO, track: Track) -> None:
    fake.rotate(site_id="site", api_key="new")

    assert track.region().status_code == 401
    assert Track(fake.url, ("site", "new")).region().status_code == 200


def test_unknown_track_path_is_404_and_in_the_ledger(fake: FakeCustomerIO, track: Track) -> None:
    assert track.call("POST", "/api/v3/batch").status_code == 404
    assert track.call("GET", "/api/v2/batch").status_code == 404
    assert fake.ledger.count() == 2
