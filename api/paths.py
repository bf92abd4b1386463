"""Reading the ids in paths."""

import re
from typing import Final
from uuid import UUID

from cio_tasks.errors import NotFound

CANONICAL_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def parse_id(text: str) -> UUID:
    """Return the id of a path. What cannot be one is as unknown as one that does not exist.

    Raises:
        NotFound: when `text` is not a UUID as we write them.
    """
    if not CANONICAL_UUID.fullmatch(text):
        raise NotFound
    return UUID(text)
