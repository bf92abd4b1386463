"""A flood of forged webhooks and of replayed ones, and what came of it: `python -m tests.api.webhook_flood [COUNT]`."""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from flask import Flask
from sqlalchemy import text

from cio_tasks import logs
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.embedded import create_database, embedded_postgres
from cio_tasks.schema import upgrade
from cio_tasks.settings import Settings
from tests.api.webhook_sender import BODY, SECRET, SIGNATURE, TIMESTAMP, app_with, body_of, send, signed

THREADS = 8
VERSIONS = text("SELECT xmin::text, ctid::text, md5(w::text) FROM customerio_webhook_events w ORDER BY event_id")

Headers = dict[str, str]
Forge = Callable[[bytes], tuple[bytes, Headers]]

FORGERIES: tuple[Forge, ...] = (
    lambda body: (body, {}),
    lambda body: (body + b" ", signed(body)),
    lambda body: (body, signed(body, secret="another")),
    lambda body: (body, signed(body, secret="")),
    lambda body: (body, signed(body, age=60) | {TIMESTAMP: signed(body)[TIMESTAMP]}),
    lambda body: (body, signed(body) | {SIGNATURE: signed(body)[SIGNATURE].upper()}),
    lambda body: (body, signed(body) | {SIGNATURE: "\xff" * 64}),
    lambda body: (body, signed(body, timestamp="9" * 5_000)),
    lambda body: (body, signed(body, age=301 + 60)),
)


@dataclass(frozen=True)
class Figures:
    """What came of one flood."""

    sent: int
    statuses: dict[int, int]
    effects: int
    """Rows that were added, changed or written anew."""
    seconds: float
    p99_ms: float


def forged(count: int) -> Iterator[tuple[bytes, Headers]]:
    """Yield webhooks that Customer.io did not sign, or not lately, each with an event of its own."""
    for number, forge in enumerate(islice(cycle(FORGERIES), count)):
        yield forge(body_of(f"forged-{number}"))


def replayed(count: int) -> Iterator[tuple[bytes, Headers]]:
    """Yield one event over and over, as it was signed and signed anew."""
    once = signed(BODY)
    for number in range(count):
        yield BODY, once if number % 2 else signed(BODY, age=number % 200)


def flood(app: Flask, sessions: Sessions, webhooks: Iterator[tuple[bytes, Headers]]) -> Figures:
    """Send webhooks through the whole application, several at a time."""

    def timed(webhook: tuple[bytes, Headers]) -> tuple[int, float]:
        sent_at = time.monotonic()
        return send(app, *webhook).status_code, time.monotonic() - sent_at

    before, started = rows(sessions), time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(timed, webhooks))
    seconds, statuses = time.monotonic() - started, Counter(status for status, _ in answers)
    p99 = quantiles((taken for _, taken in answers), n=100)[-1]
    return Figures(len(answers), dict(statuses), len(rows(sessions) ^ before), round(seconds, 1), round(p99 * 1000, 1))


def rows(sessions: Sessions) -> set[tuple[str, str, str]]:
    """Return every version of every stored event."""
    with sessions() as session:
        return {(xmin, ctid, digest) for xmin, ctid, digest in session.execute(VERSIONS)}


def main(count: int) -> None:
    """Flood a receiver of our own and print the figures as JSON."""
    with TemporaryDirectory() as folder, embedded_postgres(Path(folder), durable=False) as server:
        url = create_database(server.url, "flood")
        upgrade(url)
        app = app_with(Settings.from_env({"DATABASE_URL": url}), SECRET)
        logs.configure(Settings.from_env({}), level=logging.CRITICAL)
        engine = make_engine(url)
        sessions = make_sessions(engine)
        assert send(app).status_code == 200
        for name, webhooks in (("forged", forged(count)), ("replayed", replayed(count))):
            sys.stdout.write(json.dumps({"flood": name, **asdict(flood(app, sessions, webhooks))}) + "\n")
        app.extensions["database"].close()
        engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
