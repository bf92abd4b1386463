"""What was found out about one campaign: what Customer.io says of it, and what we do for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cio_tasks.customerio.app_answers import Failure, Listing
from cio_tasks.customerio.app_campaigns import Campaign, Metrics, Segment
from cio_tasks.customerio.app_people import Message
from cio_tasks.diagnostics.customerio_side import NOT_ASKED
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.person_report import PersonReport, got, shown_issues, with_prefix
from cio_tasks.diagnostics.telling import iso
from cio_tasks.diagnostics.trigger_history import TriggerHistory
from cio_tasks.findings import Finding

COUNTED: Final = ("sent", "delivered", "opened", "bounced", "failed", "undeliverable", "suppressed", "spammed")
"""The metrics that are told, of the last seven days."""


@dataclass(frozen=True, slots=True)
class Audience:
    """A segment of a campaign and how many are in it; each a failure when it could not be read."""

    segment: Segment | Failure
    count: int | Failure


@dataclass(slots=True)
class CampaignReport:
    """A campaign at `at`, with the findings, worst first. Holds personal data; `as_json` shows what a mask lets through."""

    at: datetime
    campaign: Campaign
    audiences: Mapping[int, Audience]
    messages: Listing[Message] | Failure
    metrics: Metrics | Failure
    history: TriggerHistory | Failure = NOT_ASKED
    person: PersonReport | None = field(default=None, repr=False)
    findings: list[Finding] = field(default_factory=list)

    @property
    def segment_id(self) -> int | None:
        """The segment that decides first who is in it, or None when all may be."""
        return next(iter(self.campaign.segment_ids), None)

    @property
    def estimated_size(self) -> int | None:
        """At most how many people can be in it; None when no segment says, or the counts cannot be read.

        Of several segments it may be any or all that one must be in, so the largest of them counts.
        """
        limits = (self._largest(self.campaign.trigger_segment_ids), self._largest(self.campaign.filter_segment_ids))
        return min((size for size in limits if size is not None), default=None)

    def _largest(self, segment_ids: tuple[int, ...]) -> int | None:
        counts = [self._count(number) for number in segment_ids]
        known = [count for count in counts if count is not None]
        return max(known) if known and len(known) == len(counts) else None

    def _count(self, segment_id: int) -> int | None:
        audience = self.audiences.get(segment_id)
        return None if audience is None else got(audience.count)

    @property
    def unavailable(self) -> list[tuple[str, Failure]]:
        """The parts that could not be read, and why."""
        parts: dict[str, object] = {"recentSends": self.messages, "metrics": self.metrics, "sync": self.history}
        for number, audience in self.audiences.items():
            parts[f"segment {number}"] = audience.segment
            parts[f"segment {number} count"] = audience.count
        missing = [(part, why) for part, why in parts.items() if isinstance(why, Failure) and why != NOT_ASKED]
        of_person = [] if self.person is None else [(f"user {part}", why) for part, why in self.person.unavailable]
        return [*missing, *of_person]

    def as_json(self, mask: Mask) -> dict[str, Any]:
        """Return it in the shape that scripts rely on; what could not be had is null."""
        return {
            "campaignId": self.campaign.id,
            "name": mask.text(self.campaign.name),
            "status": self.campaign.state,
            "active": self.campaign.active,
            "trigger": {"type": self.campaign.type, "conditions": self._conditions(mask), "history": self._history()},
            "audience": {
                "segmentId": self.segment_id,
                "estimatedSize": self.estimated_size,
                "segments": [_shown_audience(number, one, mask) for number, one in self.audiences.items()],
            },
            "recentSends": self._recent_sends(mask),
            "metrics7Days": None if isinstance(self.metrics, Failure) else _totals(self.metrics),
            "user": None if self.person is None else self._shown_person(self.person, mask),
            "issues": shown_issues(self.findings, mask),
            "unavailable": [
                {"part": part, "reason": mask.text(why.detail), "code": why.code} for part, why in self.unavailable
            ],
        }

    def _conditions(self, mask: Mask) -> dict[str, Any]:
        name = self.campaign.event_name
        return {
            "event": None if name is None else mask.text(name),
            "triggerSegmentIds": list(self.campaign.trigger_segment_ids),
            "filterSegmentIds": list(self.campaign.filter_segment_ids),
        }

    def _history(self) -> dict[str, Any] | None:
        history = got(self.history)
        return None if history is None else history.as_json()

    def _recent_sends(self, mask: Mask) -> list[dict[str, Any]] | None:
        if isinstance(self.messages, Failure):
            return None
        return [
            {
                "userId": mask.text(one.to.id or with_prefix(one.to)),
                "timestamp": iso(one.reached.get("sent") or one.created_at),
                "status": one.state,
            }
            for one in self.messages.items
        ]

    def _shown_person(self, person: PersonReport, mask: Mask) -> dict[str, Any]:
        segments = got(person.customerio.segments)
        return {
            "userId": mask.text(person.user_id),
            "exists": person.customerio.exists,
            "segmentIds": None if segments is None else [one.id for one in segments],
            "received": None if person.emails is None else len(self.sent_to(person)),
        }

    def sent_to(self, person: PersonReport) -> list[Message]:
        """Return the messages of this campaign that were made for somebody."""
        listing = got(person.customerio.messages)
        return [one for one in listing.items if one.campaign_id == self.campaign.id] if listing else []


def _totals(metrics: Metrics) -> dict[str, int]:
    return {name: metrics.total(name) for name in COUNTED}


def _shown_audience(number: int, audience: Audience, mask: Mask) -> dict[str, Any]:
    segment = got(audience.segment)
    return {
        "id": number,
        "name": None if segment is None else mask.text(segment.name),
        "state": None if segment is None else segment.state,
        "count": got(audience.count),
    }
