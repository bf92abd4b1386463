import pytest

from cio_tasks.fake import FakeCustomerIO, PersonRecord, Scenario
from tests.contract.track import ULID, Track, action, event, identify


def person(fake: FakeCustomerIO, identifier: str) -> PersonRecord:
    found = fake.people.find(identifier)
    assert found is not None
    return found


def test_identify_creates_and_then_updates(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("u1", plan="free", city="Oslo")
    track.batch(identify("u1", plan="paid"))

    assert person(fake, "u1")["attributes"] == {"plan": "paid", "city": "Oslo"}
    assert fake.people.count() == 1


def test_older_timestamp_does_not_overwrite_a_newer_attribute(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(identify("u1", timestamp=200, plan="paid"))
    track.batch(identify("u1", timestamp=100, plan="free", city="Oslo"))

    assert person(fake, "u1")["attributes"] == {"plan": "paid", "city": "Oslo"}
    assert person(fake, "u1")["stamps"] == {"plan": 200, "city": 100}


def test_v1_underscore_timestamp_orders_like_the_v2_one(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(identify("u1", timestamp=200, plan="paid"))
    track.identify("u1", plan="free", _timestamp=100)

    assert person(fake, "u1")["attributes"] == {"plan": "paid"}
    assert fake.ledger.entries()[-1]["operations"][0]["why"] == "stale"


@pytest.mark.parametrize("empty", ["", None])
def test_empty_value_clears_an_attribute(fake: FakeCustomerIO, track: Track, empty: str | None) -> None:
    track.identify("u1", plan="paid")
    track.identify("u1", plan=empty)

    assert person(fake, "u1")["attributes"] == {}


def test_update_only_creates_nobody(fake: FakeCustomerIO, track: Track) -> None:
    answer = track.identify("u1", plan="paid", _update=True)

    assert (answer.status_code, fake.people.find("u1")) == (200, None)


def test_email_identifies_in_any_case(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("u1", email="Ann@Example.com")
    track.identify("ANN@example.COM", plan="paid")

    assert person(fake, "u1")["attributes"] == {"email": "Ann@Example.com", "plan": "paid"}


def test_id_is_case_sensitive(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(identify("u1"), identify("U1"))

    assert fake.people.count() == 2


@pytest.mark.parametrize("identifier", ["a/b", "a b", "a+b", "ü", "a%2Fb", "100%", "a?b#c", "ann+1@example.com"])
def test_path_identifier_is_percent_decoded_once(fake: FakeCustomerIO, track: Track, identifier: str) -> None:
    track.identify(identifier, plan="free")

    assert person(fake, identifier)["email" if "@" in identifier else "id"] == identifier


def test_cio_id_has_a_prefix_in_v1_paths_only(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("u1", plan="free")
    cio_id = person(fake, "u1")["cio_id"]

    track.identify(f"cio_{cio_id}", city="Oslo")
    track.entity({**identify(plan="paid"), "identifiers": {"cio_id": cio_id}})

    assert person(fake, f"cio_{cio_id}")["attributes"] == {"plan": "paid", "city": "Oslo"}


def test_unknown_cio_id_is_dropped_with_success(fake: FakeCustomerIO, track: Track) -> None:
    assert track.identify("cio_ffff", plan="free").status_code == 200
    assert track.event("cio_ffff").status_code == 200
    assert (fake.people.count(), fake.people.count_events()) == (0, 0)


def test_new_id_with_a_known_email_becomes_that_person(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("ann@example.com", plan="free")
    track.identify("u1", email="ann@example.com")

    assert person(fake, "u1")["attributes"]["plan"] == "free"
    assert fake.people.count() == 1


def test_two_halves_of_a_person_are_merged_by_an_identify_that_names_both(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("ann@example.com", plan="free")
    track.identify("u1", city="Oslo")
    track.identify("u1", email="ann@example.com", plan="paid")

    attributes = {"plan": "paid", "city": "Oslo", "email": "ann@example.com"}
    assert (fake.people.count(), person(fake, "u1")["attributes"]) == (1, attributes)


def test_email_of_somebody_else_is_left_out_with_success(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(identify("u1", email="ann@example.com"))
    answer = track.batch(identify("u2", email="ann@example.com", plan="free"))

    assert (answer.status_code, person(fake, "ann@example.com")["id"]) == (200, "u1")
    assert person(fake, "u2")["attributes"] == {"plan": "free"}
    assert fake.ledger.entries()[-1]["operations"][0]["why"] == "identifier_conflict"


def test_deleted_person_comes_back_with_the_next_identify(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("u1", plan="free")
    track.delete("u1")
    gone = fake.people.find("u1")
    track.identify("u1", city="Oslo")

    assert (gone, person(fake, "u1")["attributes"]) == (None, {"city": "Oslo"})


def test_deleting_nobody_is_no_error(track: Track) -> None:
    assert track.delete("nobody").status_code == 200
    assert track.batch(action("delete", "nobody")).status_code == 200


def test_suppressed_person_is_deleted_and_ignored_under_every_identifier(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("u1", email="ann@example.com")
    track.customer("u1", "suppress")

    answers = [track.identify("u1", plan="free"), track.event("u1"), track.identify("Ann@example.com", plan="free")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert (fake.people.count(), fake.people.count_events()) == (0, 0)
    assert {entry["operations"][0]["why"] for entry in fake.ledger.entries()[2:]} == {"suppressed"}


def test_unsuppressing_frees_all_identifiers_but_brings_nothing_back(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("u1", email="ann@example.com", plan="free")
    track.batch(action("suppress"))
    track.batch(action("unsuppress"))
    track.identify("ann@example.com", city="Oslo")

    assert person(fake, "ann@example.com")["attributes"] == {"city": "Oslo"}


def test_suppress_and_unsuppress_take_an_empty_body(fake: FakeCustomerIO, track: Track) -> None:
    for verb in ("suppress", "unsuppress"):
        assert track.call("POST", f"/api/v1/customers/u1/{verb}", raw=b"").status_code == 200
    track.identify("u1")

    assert fake.people.count() == 1


def test_merge_keeps_the_primary_and_copies_what_it_lacks(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(identify("a", plan="free"), identify("b", plan="paid", city="Oslo"), event("b"))
    track.call("POST", "/api/v1/merge_customers", {"primary": {"id": "a"}, "secondary": {"id": "b"}})

    assert person(fake, "a")["attributes"] == {"plan": "free", "city": "Oslo"}
    assert len(person(fake, "a")["events"]) == 1
    assert fake.people.find("b") is None


def test_merge_with_a_missing_side_changes_nothing(fake: FakeCustomerIO, track: Track) -> None:
    track.identify("b", plan="paid")
    merge = {"type": "person", "action": "merge", "primary": {"id": "a"}, "secondary": {"id": "b"}}

    assert track.batch(merge).status_code == 200
    assert person(fake, "b")["attributes"] == {"plan": "paid"}


def test_event_name_loses_the_spaces_around_it(fake: FakeCustomerIO, track: Track) -> None:
    track.event("u1", name="  opened ")

    assert [one["name"] for one in person(fake, "u1")["events"]] == ["opened"]


def test_v1_data_and_v2_attributes_are_the_same_thing(fake: FakeCustomerIO, track: Track) -> None:
    track.event("u1", data={"plan": "free"}, timestamp=100)
    track.batch(event("u1", attributes={"plan": "free"}, timestamp=100))

    first, second = fake.people.list_events("opened")
    assert (first["attributes"], first["timestamp"]) == (second["attributes"], second["timestamp"])
    assert (first["attributes"], first["timestamp"]) == ({"plan": "free"}, 100)


def test_event_without_a_time_happens_when_it_is_received(fake: FakeCustomerIO, track: Track) -> None:
    track.event("u1")

    (one,) = fake.people.list_events()
    assert one["timestamp"] == one["received_at"] == fake.ledger.entries()[0]["at"]


def test_event_of_an_unknown_person_creates_them_unless_told_otherwise(fake: FakeCustomerIO, track: Track) -> None:
    track.event("u1")
    fake.scenario = Scenario(event_creates_person=False)
    track.event("u2")

    assert (fake.people.find("u1") is None, fake.people.find("u2")) == (False, None)


def test_anonymous_event_belongs_to_nobody(fake: FakeCustomerIO, track: Track) -> None:
    track.call("POST", "/api/v1/events", {"name": "invited", "data": {"recipient": "ann@example.com"}})
    track.batch({**event(name="seen"), "identifiers": {"anonymous_id": "x"}})

    assert [one["person"] for one in fake.people.list_events()] == [None, None]
    assert fake.people.count() == 0


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_page_and_screen_are_events_of_their_own_kind(fake: FakeCustomerIO, track: Track, kind: str) -> None:
    track.event("u1", type=kind)
    track.batch({**event(), "action": kind})

    assert [one["action"] for one in fake.people.list_events()] == [kind, kind]


def test_repeated_event_id_is_dropped_across_versions_and_people(fake: FakeCustomerIO, track: Track) -> None:
    answers = [track.event("u1", id=ULID), track.batch(event("u1", id=ULID)), track.entity(event("u2", id=ULID))]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert (fake.people.count_events(), fake.people.count_duplicates_dropped()) == (1, 2)


def test_events_without_an_id_are_never_duplicates(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(event(), event())

    assert fake.people.count_events() == 2


def test_refused_event_does_not_use_up_its_id(fake: FakeCustomerIO, track: Track) -> None:
    track.batch(event("u1", id=ULID, name=""))
    track.batch(event("u1", id=ULID))

    assert fake.people.count_events() == 1


@pytest.mark.parametrize(
    "wrong", ["no-ulid", "81HF0000000000000000000000", "01HF000000000000000000000U", ULID + "0", 5]
)
def test_event_id_must_be_a_ulid(track: Track, wrong: object) -> None:
    assert track.event("u1", id=wrong).status_code == 400
    assert track.batch(event(id=wrong)).json()["errors"][0]["field"] == "id"


def test_other_event_ids_can_be_accepted_and_still_dedupe(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(non_ulid_ids="accept")
    track.event("u1", id="order-7")
    track.event("u1", id="order-7")

    assert fake.people.count_events() == 1


@pytest.mark.parametrize("operation", [action("add_device"), {"type": "object", "action": "identify"}])
def test_what_is_not_modelled_is_accepted(fake: FakeCustomerIO, track: Track, operation: object) -> None:
    assert track.batch(operation).status_code == 200
    assert fake.ledger.entries()[0]["operations"][0]["why"] == "not_modelled"
