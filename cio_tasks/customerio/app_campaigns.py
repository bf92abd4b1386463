"""What the App API tells of campaigns, segments and the workspace itself, as small frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cio_tasks.customerio.app_values import as_list, as_number, as_numbers, as_object, as_text, as_time


@dataclass(frozen=True, slots=True)
class Action:
    """A step of a campaign; its id is a text at Customer.io, although the reference says a number (Airbyte's records)."""

    id: str
    type: str


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign. `event_name` or `trigger_segment_ids` is what starts it, depending on `type` (AppOAS)."""

    id: int
    name: str
    type: str | None
    state: str | None
    active: bool
    event_name: str | None = None
    trigger_segment_ids: tuple[int, ...] = ()
    filter_segment_ids: tuple[int, ...] = ()
    actions: tuple[Action, ...] = ()
    tags: tuple[str, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    first_started_at: datetime | None = None
    """None when it was never started; Customer.io writes 0."""

    @property
    def segment_ids(self) -> tuple[int, ...]:
        """Every segment that decides who is in it, those of the trigger first, none twice."""
        return tuple(dict.fromkeys((*self.trigger_segment_ids, *self.filter_segment_ids)))

    @classmethod
    def read(cls, document: object) -> Self | None:
        """Return the campaign, or None when it has no id."""
        held = as_object(document)
        id_ = as_number(held.get("id"))
        if id_ is None:
            return None
        state = as_text(held.get("state"))
        actions = (as_object(one) for one in as_list(held.get("actions")))
        return cls(
            id=id_,
            name=as_text(held.get("name")) or "",
            type=as_text(held.get("type")),
            state=state,
            active=held.get("active", state == "running") is True,
            event_name=as_text(held.get("event_name")),
            trigger_segment_ids=as_numbers(held.get("trigger_segment_ids")),
            filter_segment_ids=as_numbers(held.get("filter_segment_ids")),
            actions=tuple(Action(as_text(one.get("id")) or "", as_text(one.get("type")) or "") for one in actions),
            tags=tuple(filter(None, map(as_text, as_list(held.get("tags"))))),
            created_at=as_time(held.get("created")),
            updated_at=as_time(held.get("updated")),
            first_started_at=as_time(held.get("first_started")),
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment; its members are current only when `state` is `finished` (AppOAS)."""

    id: int
    name: str
    description: str = ""
    type: str | None = None
    state: str | None = None
    progress: int | None = None

    @classmethod
    def read(cls, document: object) -> Self | None:
        """Return the segment, or None when it has no id."""
        held = as_object(document)
        id_ = as_number(held.get("id"))
        if id_ is None:
            return None
        name, description = as_text(held.get("name")) or "", as_text(held.get("description")) or ""
        kind, state = as_text(held.get("type")), as_text(held.get("state"))
        return cls(id_, name, description, kind, state, as_number(held.get("progress")))


@dataclass(frozen=True, slots=True)
class Metrics:
    """A campaign's counts, one list for each metric, oldest period first. Opens by machines are among `opened`."""

    series: Mapping[str, tuple[int, ...]]

    def total(self, metric: str) -> int:
        """Return the sum over all periods, 0 for a metric that was not told."""
        return sum(self.series.get(metric, ()))


@dataclass(frozen=True, slots=True)
class WorkspaceInfo:
    """A workspace that the key sees; its counts may be two hours old (AppOAS, listWorkspaces)."""

    id: int
    name: str
    people: int | None = None
    messages_sent: int | None = None

    @classmethod
    def read(cls, document: object) -> Self | None:
        """Return the workspace, or None when it has no id."""
        held = as_object(document)
        id_ = as_number(held.get("id"))
        if id_ is None:
            return None
        return cls(
            id_, as_text(held.get("name")) or "", as_number(held.get("people")), as_number(held.get("messages_sent"))
        )
