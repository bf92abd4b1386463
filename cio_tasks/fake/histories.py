"""What people have behind them, put into the stand-in as a whole: activities, messages, segments, campaigns.

Every time is given as an age, counted back from the moment the histories are put in.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from cio_tasks.fake.activities import ulid
from cio_tasks.fake.identifiers import Identifier, identifier
from cio_tasks.fake.operations import JsonObject, operation_from
from cio_tasks.fake.people import People
from cio_tasks.fake.workspace import (
    Campaign,
    Message,
    MessageType,
    Segment,
    Suppression,
    SuppressionList,
    Thing,
    Topic,
    Workspace,
)

MOST: Final = 10_000
METRIC_SPACING: Final = 10
"""Seconds between two states of one message."""
COUNTED: Final = frozenset({"human_opened", "prefetch_opened", "human_clicked", "prefetch_clicked"})
"""Metrics whose values are counts, not times (source: AppOAS, listMessages)."""

Age = Annotated[timedelta, Field(ge=timedelta(0))]
Count = Annotated[int, Field(ge=1, le=MOST)]


class Past(Thing):
    """Something that happened `ago`, and `count - 1` times before that, `every` so often."""

    ago: Age = timedelta(0)
    count: Count = 1
    every: Age = timedelta(minutes=1)

    def times(self, now: float) -> Iterator[float]:
        """Yield the unix seconds at which it happened, the latest first."""
        return (now - (self.ago + number * self.every).total_seconds() for number in range(self.count))


class PastActivity(Past):
    """An entry of any type in a person's list of activities."""

    type: str = "event"
    name: str | None = None
    data: Mapping[str, Any] = {}


class PastMessage(Past):
    """A message that reached the states in `metrics`, ten seconds apart from its creation on.

    `recipient` None is the person's address. Each state also appears among the person's activities.
    """

    type: MessageType = "email"
    subject: str = "Hello"
    metrics: tuple[str, ...] = ("sent", "delivered")
    recipient: str | None = None
    failure_message: str | None = None
    campaign_id: int | None = None
    newsletter_id: int | None = None


class PersonHistory(Thing):
    """One person; whoever had the same id or e-mail before is forgotten."""

    id: str | None = None
    email: str | None = None
    attributes: Mapping[str, Any] = {}
    unsubscribed: bool = False
    created_ago: Age | None = None
    """None: when the attributes were set."""
    identified_ago: Age = timedelta(0)
    segments: tuple[int, ...] = ()
    activities: tuple[PastActivity, ...] = ()
    messages: tuple[PastMessage, ...] = ()
    provider_suppression: SuppressionList | None = None
    """The e-mail provider's list that the address is on: the person exists, and messages are dropped."""
    suppressed: bool = False
    """Suppressed in Customer.io itself: the profile is gone, and later calls about this person are ignored."""

    @model_validator(mode="after")
    def _check_named(self) -> "PersonHistory":
        if self.id is None and self.email is None:
            raise ValueError("a person needs an id or an email")
        return self

    @property
    def name(self) -> Identifier:
        """The identifier under which the person is put in."""
        found = identifier("id", self.id) or identifier("email", self.email)
        if found is None:
            raise ValueError("neither id nor email is an identifier")
        return found


class Histories(Thing):
    """What `PUT /_fake/histories` takes."""

    segments: tuple[Segment, ...] = ()
    campaigns: tuple[Campaign, ...] = ()
    topics: tuple[Topic, ...] = ()
    people: tuple[PersonHistory, ...] = ()


def put(histories: Histories, people: People, workspace: Workspace, now: float) -> None:
    """Put it all in, at `now` in unix seconds; what has the same id is replaced."""
    with workspace.lock:
        workspace.segments |= {one.id: one for one in histories.segments}
        workspace.campaigns |= {one.id: one for one in histories.campaigns}
        workspace.topics |= {one.id: one for one in histories.topics}
        for person in histories.people:
            _put_person(person, people, workspace, now)


def _put_person(history: PersonHistory, people: People, workspace: Workspace, now: float) -> None:
    _forget(history, people, workspace, now)
    identified = now - history.identified_ago.total_seconds()
    created = identified if history.created_ago is None else now - history.created_ago.total_seconds()
    _apply(people, "identify", history.name, created)
    _apply(people, "identify", history.name, identified, _attributes(history))
    _put_activities(history, people, now)
    _put_messages(history, people, workspace, now)
    _put_membership(history, people, workspace)
    if history.provider_suppression and history.email:
        _suppress_address(workspace, history.provider_suppression, history.email, now)
    if history.suppressed:
        _apply(people, "suppress", history.name, now)


def _forget(history: PersonHistory, people: People, workspace: Workspace, now: float) -> None:
    _apply(people, "unsuppress", history.name, now)
    for name in filter(None, (identifier("id", history.id), identifier("email", history.email))):
        if person := people.find_by_name(name):
            workspace.messages = [one for one in workspace.messages if one.cio_id != person.cio_id]
            _apply(people, "delete", name, now)


def _apply(people: People, action: str, name: Identifier, at: float, attributes: JsonObject | None = None) -> None:
    """Carry out one operation as the Track API would, so that a history cannot hold what it could not have made."""
    item = {"type": "person", "action": action, "identifiers": dict([name]), "attributes": attributes or {}}
    people.apply(operation_from(item, ulid_required=False), at)


def _attributes(history: PersonHistory) -> JsonObject:
    email = {} if history.email is None else {"email": history.email}
    return {**email, **history.attributes, **({"unsubscribed": True} if history.unsubscribed else {})}


def _put_activities(history: PersonHistory, people: People, now: float) -> None:
    for past in history.activities:
        for at in past.times(now):
            people.note(history.name, past.type, at, name=past.name, data=past.data)


def _put_messages(history: PersonHistory, people: People, workspace: Workspace, now: float) -> None:
    person = people.find_by_name(history.name)
    if person is None:
        return
    for past in history.messages:
        for at in past.times(now):
            message = _message(past, history, person.cio_id, at, workspace)
            workspace.messages.append(message)
            _note_states(people, history.name, message)


def _message(past: PastMessage, history: PersonHistory, cio_id: str, at: float, workspace: Workspace) -> Message:
    campaign = workspace.campaigns.get(past.campaign_id or 0)
    return Message(
        id=f"dgO{ulid(at, len(workspace.messages))}=",
        cio_id=cio_id,
        type=past.type,
        recipient=past.recipient or history.email,
        subject=past.subject,
        created=int(at),
        metrics={
            name: 1 if name in COUNTED else int(at) + METRIC_SPACING * step
            for step, name in enumerate(past.metrics, start=1)
        },
        failure_message=past.failure_message,
        campaign_id=past.campaign_id,
        action_id=campaign.action_id(0) if campaign else None,
        newsletter_id=past.newsletter_id,
    )


def _note_states(people: People, name: Identifier, message: Message) -> None:
    """A message's states are activities too: `sent_email`, `bounced_email`, … (source: AppOAS)."""
    shown = {"delivery_id": message.id, "delivered": message.metrics.get("delivered"), "opened": None}
    for metric, at in message.metrics.items():
        if metric not in COUNTED:
            type_ = f"{metric}_{message.type}"
            people.note(name, type_, at, data=shown, delivery_id=message.id, delivery_type=message.type)


def _put_membership(history: PersonHistory, people: People, workspace: Workspace) -> None:
    person = people.find_by_name(history.name)
    if person is None:
        return
    for number in history.segments:
        members = workspace.members.setdefault(number, [])
        if person.cio_id not in members:
            members.append(person.cio_id)


def _suppress_address(workspace: Workspace, name: SuppressionList, email: str, now: float) -> None:
    reason = "Spam complaint" if name == "spam_reports" else "No such mailbox"
    workspace.suppressed.setdefault(name, {})[email.lower()] = Suppression(email, int(now), reason)
