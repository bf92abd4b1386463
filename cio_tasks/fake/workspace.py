"""What a workspace holds besides its people: segments, campaigns, messages, topics, lists of suppressed addresses."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SuppressionList = Literal["bounces", "spam_reports", "blocks", "invalid_emails"]
MessageType = Literal["email", "webhook", "twilio", "slack", "push", "in_app"]
Positive = Annotated[int, Field(gt=0)]


class Thing(BaseModel):
    """Something of the workspace that can be put into it. Unknown names are refused with ValidationError."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Segment(Thing):
    """A segment; `count` replaces the number of its members, for audiences too large to make up."""

    id: Positive
    name: str
    description: str = ""
    type: Literal["dynamic", "manual"] = "dynamic"
    state: Literal["events", "build", "events_queued", "build_queued", "finished"] = "finished"
    progress: Annotated[int, Field(ge=0, le=100)] | None = None
    tags: tuple[str, ...] = ()
    count: Annotated[int, Field(ge=0)] | None = None
    updated_at: int = 1_700_000_000
    """Unix seconds, as is everything of this kind."""


class Campaign(Thing):
    """A campaign; which of `event_name` and `trigger_segment_ids` counts depends on its `type`."""

    id: Positive
    name: str
    description: str = ""
    type: Literal["segment", "event", "form", "date", "relationship", "object", "webhook"] = "event"
    state: Literal["running", "draft", "stopped"] = "running"
    event_name: str | None = None
    trigger_segment_ids: tuple[int, ...] = ()
    filter_segment_ids: tuple[int, ...] = ()
    actions: tuple[MessageType, ...] = ("email",)
    tags: tuple[str, ...] = ()
    created: int = 1_700_000_000
    updated: int = 1_700_000_000
    first_started: int | None = None
    """None: when it was created, or never (0) for a draft."""

    @property
    def active(self) -> bool:
        """Whether it can still send."""
        return self.state == "running"

    def action_id(self, position: int) -> int:
        """Return the id of the action at `position`, from 0."""
        return self.id * 100 + position


class Topic(Thing):
    """A subscription topic."""

    id: Positive
    name: str
    description: str = ""
    subscribed_by_default: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One delivery to one person; `metrics` are unix seconds, except for counts such as `human_opened`."""

    id: str
    cio_id: str
    type: MessageType
    recipient: str | None
    subject: str
    created: int
    metrics: Mapping[str, int]
    failure_message: str | None = None
    campaign_id: int | None = None
    action_id: int | None = None
    newsletter_id: int | None = None


@dataclass(frozen=True, slots=True)
class Suppression:
    """One address on one of the e-mail provider's lists; `created` is unix seconds."""

    email: str
    created: int
    reason: str
    status: str = "550"


@dataclass
class Workspace:
    """The whole; hold `lock` while reading or changing it."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    segments: dict[int, Segment] = field(default_factory=dict)
    members: dict[int, list[str]] = field(default_factory=dict)
    """The `cio_id`s of the people in each segment."""
    campaigns: dict[int, Campaign] = field(default_factory=dict)
    topics: dict[int, Topic] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    suppressed: dict[SuppressionList, dict[str, Suppression]] = field(default_factory=dict)
    """By list, then by lower-case address."""

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            for held in (self.segments, self.members, self.campaigns, self.topics, self.messages, self.suppressed):
                held.clear()
