"""The id that lets Customer.io drop a repeated event.

Customer.io ignores an event whose `id`, a ULID, it has seen before (Track API, events: `id`). The time inside the ULID
is not used, so an id derived from our own row serves: every attempt of the same event carries the same one.
"""

import hashlib
from typing import Final
from uuid import UUID

from cio_tasks.states import Phase

CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID_LENGTH: Final = 26


def event_id(*, signup_id: UUID, phase: Phase, event: str, version: int) -> str:
    """Return the ULID-shaped id of an event: a pure function of signup, phase, the event's name and the version.

    `version` counts the confirmed corrections of the payload, so that a correction is a new event.
    """
    key = f"ciosync:{signup_id}:{phase}:{event}:{version}".encode()
    number = int.from_bytes(hashlib.sha256(key).digest()[:16], "big")
    return "".join(CROCKFORD[(number >> shift) & 31] for shift in range(5 * (ULID_LENGTH - 1), -1, -5))
