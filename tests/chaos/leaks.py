"""Canaries: secrets and personal data that must not be seen outside the columns that are made for them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import redis
from sqlalchemy import Engine, text

from tests.chaos.load import DOMAIN, LAST_NAME

PERSONAL: Final = {"an address": f"@{DOMAIN}", "a name": LAST_NAME}
TABLES: Final = (
    "audit_logs",
    "customerio_alerts",
    "customerio_counters",
    "customerio_dead_letters",
    "customerio_gate",
    "customerio_heartbeats",
    "customerio_row_counts",
    "customerio_sync_attempts",
    "idempotency_keys",
    "signup_customerio_sync_jobs",
)
"""All tables but those of people, signups and the webhooks as they came."""
MOST_KEYS: Final = 2_000
LONGEST_LINE: Final = 1_000_000


class Canaries:
    """What is looked for, and where it was found."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.found: set[tuple[str, str]] = set()
        """Place and name of what was seen there, never the value."""
        self.looked = 0
        """Characters that were read."""
        self._values = {**PERSONAL, **secrets}

    def look(self, place: str, content: str) -> None:
        """Look at one text."""
        self.looked += len(content)
        self.found |= {(place, name) for name, value in self._values.items() if value in content}

    def look_at_logs(self, folder: Path) -> None:
        """Look at the logs of our own processes; those of the stand-in Customer.io are its own."""
        for path in sorted(folder.glob("*.log*")):
            if not path.name.startswith("customerio"):
                with path.open(encoding="utf-8", errors="replace") as lines:
                    for piece in iter(lambda: lines.readline(LONGEST_LINE), ""):
                        self.look(path.name, piece)

    def look_at_redis(self, client: "redis.Redis") -> None:
        """Look at the keys of Redis and at what is in them."""
        for number, key in enumerate(client.scan_iter(count=500)):
            if number == MOST_KEYS:
                return
            for piece in (key, *_values_of(client, key)):
                self.look("redis", piece.decode(errors="replace") if isinstance(piece, bytes) else str(piece))

    def look_at_tables(self, engine: Engine) -> None:
        """Look at every row of the tables that have no place for people, and at the errors on the signups."""
        with engine.connect() as connection:
            for place, statement in _statements():
                for row in connection.execution_options(yield_per=1_000).execute(text(statement)):
                    self.look(place, str(row[0]))


def _statements() -> Iterator[tuple[str, str]]:
    yield from ((table, f"SELECT t::text FROM {table} t") for table in TABLES)
    yield "signups", "SELECT coalesce(customerio_sync_error, '') FROM signups"


def _values_of(client: Any, key: Any) -> Iterator[Any]:
    match client.type(key):
        case b"string":
            yield client.get(key) or b""
        case b"list":
            yield from client.lrange(key, 0, -1)
        case b"set":
            yield from client.smembers(key)
        case b"zset":
            yield from client.zrange(key, 0, -1)
        case b"hash":
            for field, value in client.hgetall(key).items():
                yield from (field, value)
