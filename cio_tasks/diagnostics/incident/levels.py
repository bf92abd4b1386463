"""The four severities, the worst first, and the limits that decide between them."""

from datetime import timedelta
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """How severe an incident is; `none` when no rule is met."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"
    NONE = "none"

    @property
    def meaning(self) -> str:
        """What it means, in a few words."""
        return MEANINGS[self]

    def reaches(self, level: "Level") -> bool:
        """Tell whether this is as bad as `level`, or worse."""
        order = list(Level)
        return order.index(self) <= order.index(level)


MEANINGS: Final = {
    Level.P1: "Outage",
    Level.P2: "High error rate",
    Level.P3: "Delivery trouble",
    Level.P4: "Webhook trouble",
    Level.NONE: "No incident",
}

WINDOW: Final = timedelta(minutes=5)
"""What the error rate is taken over: short enough to see a change, long enough for a rate."""
PICTURED: Final = timedelta(minutes=15)
"""How far back the picture of the error rate goes."""
FEWEST_ATTEMPTS: Final = 20
"""Of fewer attempts one bad payload would be 5 %, which is no rate; the gate's rule for outages asks for as many."""
ERROR_RATE: Final = 0.05
"""Above this share of failed attempts it is P2."""
OUTAGE_RATE: Final = 0.95
"""From here on nothing gets through, whatever else is said: P1."""
OVERDUE: Final = timedelta(minutes=10)
"""A job that could run is taken within seconds; one that waits this long finds nobody. The alert `oldest_due` agrees."""

MAIL_WINDOW: Final = timedelta(hours=24)
"""Bounces come minutes to hours after the sending, so a day is the least that holds both."""
FEWEST_MAILS: Final = 50
FEWEST_COMPLAINTS: Final = 2
"""One complaint is a person, two are a sign: 0.1 % cannot be told from one among a few hundred."""
BOUNCE_RATE: Final = 0.05
"""From here on mail providers put a sender under review (Amazon SES, reputation metrics)."""
COMPLAINT_RATE: Final = 0.001
"""Gmail's and Yahoo's rule for bulk senders is to stay below it; Amazon SES puts a sender under review from here on."""

WEBHOOK_WINDOW: Final = timedelta(hours=24)
STALE_AFTER: Final = timedelta(hours=24)
"""While mail is sent every day, a day without any report is a break. Customer.io tries for 7 days, an hour apart."""
NEVER_AFTER: Final = timedelta(hours=1)
"""So long after the first delivery a report could have come."""
ODD_SHARE: Final = 0.05
DUPLICATE_SHARE: Final = 0.1
"""Customer.io repeats what was not answered within 4 s; above this share it is our answers that are slow."""

RECENT: Final = timedelta(hours=2)
"""A deployment within this time is worth suspecting."""
LATE_LETTERS: Final = timedelta(hours=1)
