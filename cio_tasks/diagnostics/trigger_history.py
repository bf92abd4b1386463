"""Whether the event that starts a campaign is one of ours, and whether we have sent it (rows M2, M3)."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final

from sqlalchemy.orm import Session

from cio_tasks import queries
from cio_tasks.customerio.app_answers import Failure
from cio_tasks.db import Sessions
from cio_tasks.diagnostics.own_side import ask_database
from cio_tasks.diagnostics.telling import DAY, iso
from cio_tasks.phases import EXTRACTION_CONFIRMED, SIGNUP_SUBMITTED
from cio_tasks.states import Phase

OUR_EVENTS: Final = {SIGNUP_SUBMITTED: Phase.INITIAL, EXTRACTION_CONFIRMED: Phase.ENRICHED}
WEEK: Final = 7 * DAY
TRIGGERS: Final = timedelta(hours=72)
"""An event older than this triggers no campaign, it only becomes history (TrackOAS, track)."""
COUNTED: Final = 10_000
ALIKE: Final = 0.85


@dataclass(frozen=True, slots=True)
class TriggerHistory:
    """What our deliveries say of one of our events; both counts end at 10,000."""

    phase: Phase
    last_delivered_at: datetime | None
    delivered_in_week: int
    too_old: int
    """Events that are still owed and happened more than 72 hours ago."""

    def as_json(self) -> dict[str, Any]:
        """Return it in camelCase."""
        return {
            "syncPhase": self.phase.value,
            "lastDeliveredAt": iso(self.last_delivered_at),
            "deliveredIn7Days": self.delivered_in_week,
            "owedOlderThan72h": self.too_old,
        }


def read_trigger_history(sessions: Sessions, phase: Phase) -> TriggerHistory | Failure:
    """Return what the database knows of the deliveries of a phase, or why it cannot be asked."""

    def read(session: Session) -> TriggerHistory:
        return TriggerHistory(
            phase,
            queries.find_last_delivered_at(session, phase),
            queries.count_delivered(session, phase, window=WEEK, at_most=COUNTED),
            queries.count_owed_since_before(session, phase, age=TRIGGERS, at_most=COUNTED),
        )

    return ask_database(sessions, read)


def meant(name: str) -> str | None:
    """Return the event of ours that a name differs from only in case or punctuation, or by a slip of the pen."""
    bare = {_bare(ours): ours for ours in OUR_EVENTS}
    close = get_close_matches(_bare(name), bare, n=1, cutoff=ALIKE)
    return bare[close[0]] if close else None


def is_same_but_for_spelling(name: str, ours: str) -> bool:
    """Tell whether two names have the same letters and digits in the same order."""
    return _bare(name) == _bare(ours)


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())
