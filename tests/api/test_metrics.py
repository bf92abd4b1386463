import subprocess
import sys
from collections.abc import Iterator

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from api import create_app
from api.metrics import ADDED_UP
from cio_tasks import counters
from cio_tasks.db import Sessions
from cio_tasks.models import RowCount
from cio_tasks.settings import Settings
from cio_tasks.stats import FEW
from tests.api.callers import NOT_LISTENING, SIGNUPS, Caller
from tests.eventually import eventually
from tests.factories import Factory
from tests.integration.counting import begin_at_nought, flush

LENGTHEN = text("""
    INSERT INTO customerio_row_counts (counted, status, sync_phase, change)
    SELECT 'job', 'pending', 'initial', CASE n % 2 WHEN 0 THEN 1 ELSE -1 END FROM generate_series(1, :rows) n
""")

SERVED = """
import os, sys
from api import create_app
from cio_tasks import counters
from cio_tasks.settings import Settings

app = create_app(Settings.from_env({"DATABASE_URL": sys.argv[1]}))
counters.add("webhooks", "the last words")
"""


@pytest.fixture(autouse=True)
def _counting(sessions: Sessions) -> Iterator[None]:
    begin_at_nought(sessions)
    yield
    flush(sessions)


def stored(sessions: Sessions) -> counters.Counts:
    with sessions() as session:
        return counters.read(session)


def test_a_viewer_sees_the_metrics_as_prometheus_reads_them(viewer: Caller, make: Factory) -> None:
    make.signup()
    reply = viewer.get("/metrics")
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    [jobs] = [one for one in text_string_to_metric_families(reply.data.decode()) if one.name == "ciosync_jobs"]
    assert {"phase": "initial", "status": "pending"} in [one.labels for one in jobs.samples if one.value == 1]


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong", 401), ("app-token", 403), ("admin-token", 200)])
def test_only_those_who_may_read_see_the_metrics(app: Flask, token: str | None, status: int) -> None:
    assert Caller(app, token).get("/metrics").status_code == status


def test_what_this_process_counted_is_shown_at_once(viewer: Caller, sessions: Sessions) -> None:
    counters.add("webhooks", "stored", n=2)
    assert b'ciosync_webhooks_total{result="stored"} 2.0' in viewer.get("/metrics").data
    assert stored(sessions) == {("webhooks", "stored"): 2}


def test_without_a_database_there_are_no_metrics_and_nothing_is_lost(settings: Settings, sessions: Sessions) -> None:
    counters.add("webhooks", "stored")
    nowhere = SecretStr(f"postgresql+psycopg2://{NOT_LISTENING}/d")
    caller = Caller(create_app(settings.model_copy(update={"database_url": nowhere})), "viewer-token")
    reply = caller.get("/metrics")
    assert (reply.status_code, reply.json["code"]) == (503, "unavailable")
    flush(sessions)
    assert stored(sessions) == {("webhooks", "stored"): 1}


def test_counts_are_added_up_after_a_request_every_few_seconds(anybody: Caller, sessions: Sessions) -> None:
    for receipt in ("stored", "duplicate"):
        counters.add("webhooks", receipt)
        anybody.get("/healthz")
    assert stored(sessions) == {("webhooks", "stored"): 1}

    def ask_and_read() -> counters.Counts:
        anybody.get("/healthz")
        return stored(sessions)

    eventually(ask_and_read, lambda counted: len(counted) == 2, every=0.5)


def test_an_answer_does_not_wait_for_the_counts(settings: Settings, silent_port: int) -> None:
    silent = SecretStr(f"postgresql+psycopg2://u@127.0.0.1:{silent_port}/d")
    app = create_app(settings.model_copy(update={"database_url": silent}))
    counters.add("webhooks", "stored")
    with capture_logs() as before:
        response = app.test_client().get("/healthz")
    with capture_logs() as after:
        response.close()
    assert [[line["event"] for line in lines] for lines in (before, after)] == [["request"], ["counts_not_flushed"]]


def lengthen_counts(sessions: Sessions, rows: int) -> None:
    """Let the counts of jobs have so many rows more, which all in all say that there are none."""
    with sessions.begin() as session:
        session.execute(LENGTHEN, {"rows": rows})


def length_of_counts(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(RowCount)) or 0


def test_the_counts_of_jobs_are_kept_short_once_an_answer_has_left(
    app: Flask, viewer: Caller, make: Factory, sessions: Sessions
) -> None:
    make.signup()
    lengthen_counts(sessions, 2 * FEW)
    response = app.test_client().get("/healthz")
    assert length_of_counts(sessions) > FEW
    response.close()
    assert length_of_counts(sessions) < 10
    assert viewer.get(f"{SIGNUPS}/customerio/stats").json["pending"] == 1


def test_a_flush_adds_up_no_more_rows_than_it_may(anybody: Caller, sessions: Sessions) -> None:
    lengthen_counts(sessions, ADDED_UP + 500)
    anybody.get("/healthz")
    assert 500 <= length_of_counts(sessions) < 510


def test_a_process_that_ends_adds_its_last_counts(database_url: str, sessions: Sessions) -> None:
    subprocess.run([sys.executable, "-c", SERVED, database_url], check=True, timeout=60)
    assert stored(sessions) == {("webhooks", "the last words"): 1}
