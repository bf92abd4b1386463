"""The App API's answers about campaigns and segments."""

from collections.abc import Sequence

from cio_tasks.fake.app_asks import Ask, Refused, Routes, page
from cio_tasks.fake.app_messages import list_messages
from cio_tasks.fake.app_metrics import metrics
from cio_tasks.fake.app_people import email_of, identifiers_of
from cio_tasks.fake.identifiers import Identifier
from cio_tasks.fake.operations import JsonObject
from cio_tasks.fake.person import Person
from cio_tasks.fake.workspace import Campaign, Segment

ACTIONS_PER_PAGE = 10


def list_campaigns(ask: Ask) -> JsonObject:
    """Answer `GET /v1/campaigns`: all of them, without pages (source: AppOAS)."""
    return {"campaigns": [_campaign(one) for one in ask.workspace.campaigns.values()]}


def show_campaign(ask: Ask) -> JsonObject:
    """Answer `GET /v1/campaigns/{id}`."""
    return {"campaign": _campaign(campaign(ask))}


def list_actions(ask: Ask) -> JsonObject:
    """Answer `GET /v1/campaigns/{id}/actions`: ten a page; the ids are strings (source: Airbyte-src)."""
    found = campaign(ask)
    actions = [
        {
            "id": str(found.action_id(position)),
            "campaign_id": found.id,
            "deduplicate_id": f"{found.action_id(position)}:{found.updated}",
            "name": f"{found.name} {position + 1}",
            "type": type_,
            "sending_state": "automatic",
            "created": found.created,
            "updated": found.updated,
        }
        for position, type_ in enumerate(found.actions)
    ]
    part, following = page(ask, actions, default=ACTIONS_PER_PAGE, most=ACTIONS_PER_PAGE)
    return {"actions": part, **following}


def show_metrics(ask: Ask) -> JsonObject:
    """Answer `GET /v1/campaigns/{id}/metrics`."""
    found = campaign(ask)
    return metrics(ask, [one for one in ask.workspace.messages if one.campaign_id == found.id])


def list_sent(ask: Ask) -> JsonObject:
    """Answer `GET /v1/campaigns/{id}/messages`: newest first."""
    found = campaign(ask)
    return list_messages(ask, [one for one in ask.workspace.messages if one.campaign_id == found.id], months=12)


def list_segments(ask: Ask) -> JsonObject:
    """Answer `GET /v1/segments`: all of them, without pages."""
    return {"segments": [_segment(one) for one in ask.workspace.segments.values()]}


def show_segment(ask: Ask) -> JsonObject:
    """Answer `GET /v1/segments/{id}`."""
    return {"segment": _segment(segment(ask))}


def count_customers(ask: Ask) -> JsonObject:
    """Answer `GET /v1/segments/{id}/customer_count`."""
    found = segment(ask)
    return {"segment_id": found.id, "count": len(_members(ask, found)) if found.count is None else found.count}


def list_members(ask: Ask) -> JsonObject:
    """Answer `GET /v1/segments/{id}/membership`; `ids` holds an empty text for who has no id (source: AppOAS)."""
    found = segment(ask)
    part, following = page(ask, _members(ask, found), default=1000, most=30_000)
    return {"segment_id": found.id, **_identified(part), **following}


def search(ask: Ask) -> JsonObject:
    """Answer `POST /v1/customers`: a filter of segments and attributes, joined by and, or, not (source: AppOAS)."""
    condition = ask.document().get("filter")
    found = [person for person in ask.people.list_people() if _meets(ask, person, condition)]
    part, following = page(ask, found, default=50, most=1000)
    return {**_identified(part), **following}


ROUTES: Routes = {
    ("POST", "/v1/customers"): search,
    ("GET", "/v1/campaigns"): list_campaigns,
    ("GET", "/v1/campaigns/{campaign}"): show_campaign,
    ("GET", "/v1/campaigns/{campaign}/actions"): list_actions,
    ("GET", "/v1/campaigns/{campaign}/metrics"): show_metrics,
    ("GET", "/v1/campaigns/{campaign}/messages"): list_sent,
    ("GET", "/v1/segments"): list_segments,
    ("GET", "/v1/segments/{segment}"): show_segment,
    ("GET", "/v1/segments/{segment}/customer_count"): count_customers,
    ("GET", "/v1/segments/{segment}/membership"): list_members,
}


def campaign(ask: Ask) -> Campaign:
    """Return the campaign that the path names. Raises Refused: 400 for no number, 404 when there is none."""
    number = ask.number_in_path("campaign")
    found = ask.workspace.campaigns.get(number)
    if found is None:
        raise Refused(404, f"campaign with id {number} does not exist")
    return found


def segment(ask: Ask) -> Segment:
    """Return the segment that the path names. Raises Refused: 400 for no number, 404 when there is none."""
    number = ask.number_in_path("segment")
    found = ask.workspace.segments.get(number)
    if found is None:
        raise Refused(404, f"segment with id {number} does not exist")
    return found


def _campaign(campaign: Campaign) -> JsonObject:
    never_started = campaign.state == "draft"
    started = campaign.first_started if campaign.first_started is not None else campaign.created
    actions = [{"id": campaign.action_id(n), "type": type_} for n, type_ in enumerate(campaign.actions)]
    shown: JsonObject = {
        **campaign.model_dump(include={"id", "name", "description", "type", "created", "updated", "state"}),
        "deduplicate_id": f"{campaign.id}:{campaign.updated}",
        "active": campaign.active,
        "actions": actions,
        "first_started": 0 if never_started else started,
        "tags": list(campaign.tags),
        "filter_segment_ids": list(campaign.filter_segment_ids),
        "msg_templates": [one for one in actions if one["type"] == "email"],
    }
    if campaign.type == "event":
        shown["event_name"] = campaign.event_name
    if campaign.type == "segment":
        shown["trigger_segment_ids"] = list(campaign.trigger_segment_ids)
    return shown


def _segment(segment: Segment) -> JsonObject:
    shown = segment.model_dump(exclude={"count", "tags"})
    tags = list(segment.tags)
    return {
        **shown,
        "deduplicate_id": f"{segment.id}:{segment.updated_at}",
        "tags": tags,
        "created_at": segment.updated_at,
    }


def _members(ask: Ask, segment: Segment) -> list[Person]:
    names = (Identifier("cio_id", cio_id) for cio_id in ask.workspace.members.get(segment.id, ()))
    return [person for person in map(ask.people.find_by_name, names) if person]


def _identified(people: Sequence[Person]) -> JsonObject:
    return {
        "identifiers": [identifiers_of(person) for person in people],
        "ids": [person.identifiers.get("id") or "" for person in people],
    }


def _meets(ask: Ask, person: Person, condition: object) -> bool:
    """Raises Refused for a filter that is none of these."""
    match condition:
        case {"and": list(parts)}:
            return all(_meets(ask, person, part) for part in parts)
        case {"or": list(parts)}:
            return any(_meets(ask, person, part) for part in parts)
        case {"not": part}:
            return not _meets(ask, person, part)
        case {"segment": {"id": int(number)}}:
            return person.cio_id in ask.workspace.members.get(number, ())
        case {"attribute": {"field": str(field), "operator": "exists"}}:
            return field in person.attributes
        case {"attribute": {"field": str(field), "operator": "eq", "value": value}}:
            held = email_of(person) if field == "email" else person.attributes.get(field)
            return held is not None and str(held) == str(value)
    raise Refused(400, "the filter is malformed")
