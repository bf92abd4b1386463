"""The App API's answers about people: who they are, what is known of them, what they did and what they were sent."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cio_tasks.fake.activities import Activity
from cio_tasks.fake.app_asks import Ask, Refused, Routes, page
from cio_tasks.fake.app_messages import list_messages
from cio_tasks.fake.identifiers import Identifier
from cio_tasks.fake.operations import JsonObject
from cio_tasks.fake.person import Person
from cio_tasks.fake.workspace import Topic

DAY = 86_400
MOST_IDS = 100
TRUE = (True, 1, "1")


def find_by_email(ask: Ask) -> JsonObject:
    """Answer `GET /v1/customers?email=`: 200 also when nobody is found (source: node-fx)."""
    email = ask.query.get("email")
    if email is None:
        raise Refused(400, "email is required")
    found = [one for one in ask.people.list_people() if email and str(email_of(one) or "").lower() == email.lower()]
    return {"results": [identifiers_of(person) for person in found]}


def attributes(ask: Ask) -> JsonObject:
    """Answer `GET /v1/customers/{id}/attributes`."""
    return {"customer": _customer(ask, person(ask))}


def attributes_of_many(ask: Ask) -> JsonObject:
    """Answer `POST /v1/customers/attributes`: at most 100 ids, the unknown left out (source: AppOAS)."""
    ids = ask.document().get("ids")
    if not isinstance(ids, list) or len(ids) > MOST_IDS:
        raise Refused(400, f"ids must be a list of at most {MOST_IDS}")
    found = filter(None, (ask.people.find_by_name(Identifier("id", str(one))) for one in ids))
    return {"customers": [{"customer": _customer(ask, one)} for one in found]}


def segments(ask: Ask) -> JsonObject:
    """Answer `GET /v1/customers/{id}/segments`."""
    mine, held = person(ask).cio_id, ask.workspace
    found = [segment for number, segment in held.segments.items() if mine in held.members.get(number, ())]
    return {"segments": [one.model_dump(include={"id", "name", "description"}) for one in found]}


def messages(ask: Ask) -> JsonObject:
    """Answer `GET /v1/customers/{id}/messages`: newest first."""
    mine = person(ask).cio_id
    return list_messages(ask, [one for one in ask.workspace.messages if one.cio_id == mine], months=6)


def activities(ask: Ask) -> JsonObject:
    """Answer `GET /v1/customers/{id}/activities`: newest first, no older than what is guaranteed."""
    return _activities(ask, _entries(person(ask)))


def workspace_activities(ask: Ask) -> JsonObject:
    """Answer `GET /v1/activities`: of everybody, or by `customer_id`; with `deleted`, also of those who are gone."""
    if "customer_id" in ask.query:
        kind = ask.query.get("id_type", "id")
        one = ask.people.find_by_name(Identifier(kind, ask.query["customer_id"].removeprefix("cio_")))
        people = [one] if one else []
    else:
        people = ask.people.list_people()
    found = [entry for one in people for entry in _entries(one)]
    if ask.query.get("deleted") == "true" or "customer_id" not in ask.query:
        found += [(_names(one.identifiers), one) for one in ask.people.list_activities_of_nobody()]
    return _activities(ask, found)


def subscription_preferences(ask: Ask) -> JsonObject:
    """Answer `GET /v1/customers/{id}/subscription_preferences`; its 400 has a shape of its own (source: AppOAS)."""
    try:
        found = person(ask)
    except Refused as refused:
        raise Refused(refused.status, refused.detail, plain=refused.status == 400) from None  # noqa: PLR2004
    return {
        "customer": {
            "id": found.identifiers.get("id"),
            "identifiers": identifiers_of(found),
            "topics": [_topic(topic, found) for topic in ask.workspace.topics.values()],
            "unsubscribed": is_unsubscribed(found),
            "header": {"title": "Manage your subscription preferences", "subtitle": "Choose what you want to hear of."},
        }
    }


ROUTES: Routes = {
    ("GET", "/v1/customers"): find_by_email,
    ("POST", "/v1/customers/attributes"): attributes_of_many,
    ("GET", "/v1/customers/{identifier}/attributes"): attributes,
    ("GET", "/v1/customers/{identifier}/segments"): segments,
    ("GET", "/v1/customers/{identifier}/messages"): messages,
    ("GET", "/v1/customers/{identifier}/activities"): activities,
    ("GET", "/v1/customers/{identifier}/subscription_preferences"): subscription_preferences,
    ("GET", "/v1/activities"): workspace_activities,
}


def person(ask: Ask) -> Person:
    """Return the person whom the path names. Raises Refused with 404 when there is none."""
    found = ask.people.find_by_name(ask.name())
    if found is None:
        raise Refused(404, "customer not found")
    return found


def email_of(person: Person) -> str | None:
    """Return the person's e-mail as it was sent, or None."""
    held = person.attributes.get("email") or person.identifiers.get("email")
    return None if held is None else str(held)


def identifiers_of(person: Person) -> JsonObject:
    """Return the three identifiers, each None when it is not set (source: AppOAS)."""
    return {"email": email_of(person), "id": person.identifiers.get("id"), "cio_id": person.cio_id}


def is_unsubscribed(person: Person) -> bool:
    """Tell whether the attribute says so: true, 1, or "true" in any case (source: TrackOAS)."""
    value = person.attributes.get("unsubscribed")
    return value in TRUE or (isinstance(value, str) and value.lower() == "true")


def text(value: object) -> str:
    """Return an attribute as the App API shows every one: as a string (source: AppOAS)."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _customer(ask: Ask, person: Person) -> JsonObject:
    names = {name: value for name, value in identifiers_of(person).items() if value is not None}
    shown = {name: text(value) for name, value in {**names, **person.attributes}.items()}
    if ask.workspace.topics:
        chosen = {f"topic_{one.id}": _topic(one, person)["subscribed"] for one in ask.workspace.topics.values()}
        shown["_cio_subscription_preferences_computed"] = text({"topics": chosen})
    times = {name: int(person.stamps.get(name, person.created_at)) for name in shown}
    return {
        "id": person.identifiers.get("id"),
        "identifiers": identifiers_of(person),
        "attributes": shown,
        "timestamps": times,
        "unsubscribed": is_unsubscribed(person),
        "devices": [],
    }


def _topic(topic: Topic, person: Person) -> JsonObject:
    """A person's choice comes as an object, as that object in a string, or under a dotted name (source: TrackOAS)."""
    name = f"topic_{topic.id}"
    held = person.attributes.get("cio_subscription_preferences") or {}
    topics = (json.loads(held) if isinstance(held, str) else held).get("topics", {})
    chosen = person.attributes.get(f"cio_subscription_preferences.topics.{name}", topics.get(name))
    subscribed = topic.subscribed_by_default if chosen is None else bool(chosen)
    return {"id": topic.id, "name": topic.name, "description": topic.description, "subscribed": subscribed}


def _names(names: Mapping[str, str | None]) -> JsonObject:
    return {kind: names.get(kind) for kind in ("email", "id", "cio_id")}


def _entries(person: Person) -> list[tuple[JsonObject, Activity]]:
    names = identifiers_of(person)
    return [(names, one) for one in person.activities.entries]


def _activities(ask: Ask, found: Iterable[tuple[JsonObject, Activity]]) -> JsonObject:
    since = ask.call.at - ask.scenario.app.history_days * DAY
    type_, name = ask.query.get("type"), ask.query.get("name")
    shown = [(names, one) for names, one in found if one.timestamp >= since and one.matches(type_, name)]
    shown.sort(key=lambda pair: (pair[1].timestamp, pair[1].serial), reverse=True)
    part, following = page(ask, shown, default=10, most=100)
    return {"activities": [_activity(names, one) for names, one in part], **following}


def _activity(names: JsonObject, activity: Activity) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": activity.id,
        "type": activity.type,
        "name": activity.name,
        "timestamp": int(activity.timestamp),
        "customer_id": names["id"],
        "customer_identifiers": names,
        "data": dict(activity.data),
    }
    if activity.delivery_id:
        shown |= {"delivery_id": activity.delivery_id, "delivery_type": activity.delivery_type}
    return shown
