"""Messages as the App API lists them: a person's and a campaign's."""

from collections.abc import Iterable

from cio_tasks.fake.app_asks import Ask, page
from cio_tasks.fake.identifiers import Identifier
from cio_tasks.fake.operations import JsonObject
from cio_tasks.fake.workspace import Message

MONTH = 30.5 * 86_400


def list_messages(ask: Ask, found: Iterable[Message], *, months: int) -> JsonObject:
    """Return a page of messages, newest first: of the last six months, or of at most `months` up to `end_ts`.

    The times are those of creation (source: AppOAS).
    """
    end = ask.number("end_ts") or int(ask.call.at)
    start = ask.number("start_ts")
    earliest = end - 6 * MONTH if start is None else max(start, end - months * MONTH)
    shown = [one for one in found if earliest <= one.created <= end and _matches(ask, one)]
    shown.sort(key=lambda one: (one.created, one.id), reverse=True)
    part, following = page(ask, shown, default=50, most=1000)
    return {"messages": [message_document(ask, one) for one in part], **following}


def _matches(ask: Ask, message: Message) -> bool:
    wants_drafts = ask.query.get("drafts") == "true"
    is_draft = "drafted" in message.metrics and "sent" not in message.metrics
    type_, metric = ask.query.get("type"), ask.query.get("metric")
    return is_draft == wants_drafts and type_ in {None, message.type} and (metric is None or metric in message.metrics)


def message_document(ask: Ask, message: Message) -> JsonObject:
    """Return a message in the App API's shape: every possible parent is a key, only its own is filled (AppOAS)."""
    person = ask.people.find_by_name(Identifier("cio_id", message.cio_id))
    names = {kind: person.identifiers.get(kind) if person else None for kind in ("id", "email")}
    shown: JsonObject = {
        "id": message.id,
        "deduplicate_id": f"{message.id}:{max([message.created, *message.metrics.values()])}",
        "msg_template_id": message.campaign_id or 0,
        "action_id": message.action_id,
        "parent_action_id": None,
        "customer_id": names["id"],
        "customer_identifiers": {**names, "cio_id": message.cio_id},
        "recipient": message.recipient,
        "subject": message.subject,
        "metrics": dict(message.metrics),
        "created": message.created,
        "failure_message": message.failure_message,
        "newsletter_id": message.newsletter_id,
        "content_id": None,
        "campaign_id": message.campaign_id,
        "broadcast_id": None,
        "trigger_event_id": None,
        "type": message.type,
        "forgotten": False,
    }
    return _as_strings(shown) if ask.scenario.app.numbers_as_strings else shown


def _as_strings(shown: JsonObject) -> JsonObject:
    metrics = {name: str(value) for name, value in shown["metrics"].items()}
    numbers = {name: str(shown[name]) for name in ("action_id", "campaign_id", "created") if shown[name] is not None}
    return {**shown, **numbers, "metrics": metrics}
