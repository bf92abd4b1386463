from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from cio_tasks import gate
from cio_tasks.db import Sessions
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.gate import Reason
from cio_tasks.models import AuditEntry, Gate
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.concurrency.together import crowd, together
from tests.eventually import eventually
from tests.factories import Factory

SECOND = timedelta(seconds=1)


def close(sessions: Sessions, reason: Reason, wait: timedelta) -> bool:
    with sessions.begin() as session:
        return gate.close(session, reason, wait=wait, note="for a test")


@pytest.mark.parametrize("reasons", [[Reason.OUTAGE], [Reason.OUTAGE, Reason.RATE_LIMIT]])
def test_of_twenty_threads_exactly_one_may_probe(sessions: Sessions, reasons: list[Reason]) -> None:
    for reason in reasons:
        close(sessions, reason, -SECOND)

    def work(_: int) -> list[Reason]:
        with sessions.begin() as session:
            return gate.begin_probe(session)

    for _ in range(20):
        won = [found for found in together(20, work) if found]
        assert [sorted(found) for found in won] == [sorted(reasons)]
        with sessions.begin() as session:
            session.execute(update(Gate).values(probing_until=None))


def test_of_twenty_workers_one_asks_customerio(runtime: Runtime, fake: FakeCustomerIO) -> None:
    crowd(runtime.sessions, 30)
    fake.scenario = Scenario(outage="503")
    close(runtime.sessions, Reason.OUTAGE, -SECOND)
    together(20, lambda _: process_due(runtime, limit=100))

    assert [len(entry["operations"]) for entry in fake.ledger.entries()] == [2, 0]  # a job, and the region


def test_closings_at_the_same_time_leave_the_longest_and_are_told_once(sessions: Sessions, make: Factory) -> None:
    opened = together(20, lambda number: close(sessions, Reason.RATE_LIMIT, (number + 1) * SECOND))
    with sessions() as session:
        left = session.scalar(select(Gate.closed_until - func.now()))

    assert left is not None
    assert round(left.total_seconds()) == 20
    assert (opened.count(True), len(make.all(AuditEntry, action="gate_closed"))) == (1, 1)


def test_a_probe_does_not_open_what_was_closed_anew_while_it_ran(
    runtime: Runtime, fake: FakeCustomerIO, sessions: Sessions
) -> None:
    """A delivery that was under way meets a 429 while the probe is still waiting for its own answer."""
    crowd(sessions, 1)
    close(sessions, Reason.RATE_LIMIT, -SECOND)
    fake.scenario = Scenario(latency_seconds=0.3)

    def work(number: int) -> None:
        if number == 0:
            process_due(runtime, limit=1)
        else:
            eventually(fake.ledger.count, every=0.005)
            close(sessions, Reason.RATE_LIMIT, 600 * SECOND)

    together(2, work)
    with sessions() as session:
        assert [row.reason for row in gate.list_closed(session)] == ["rate_limit"]
