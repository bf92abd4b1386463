"""Customer.io away for a while, and many workers at once: who asks meanwhile, and how fast they go on afterwards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from math import inf

import pytest

from cio_tasks import gate
from cio_tasks.customerio import CustomerIO
from cio_tasks.customerio.client import BATCH_PATH
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.gate import OUTAGE_CLOSED
from cio_tasks.models import AuditEntry, DeadLetter, SyncAttempt, SyncJob
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.concurrency.together import crowd
from tests.eventually import eventually
from tests.factories import Factory

WORKERS = 8
JOBS = 60
PER_SECOND = 20
SCALE = 0.06
JITTER_SECONDS = 0.5
"""How much later than its turn a request may arrive on a busy machine."""


@pytest.fixture
def runtimes(runtime: Runtime) -> list[Runtime]:
    """Workers with a client each, one job a request, and few requests a second for all of them together."""
    changes = {"batch_size": 1, "rate_limit": PER_SECOND, "time_scale": SCALE}
    settings = runtime.settings.model_copy(update=changes)
    clients = [CustomerIO.from_settings(settings) for _ in range(WORKERS)]
    return [
        Runtime(settings, runtime.sessions, client, f"worker {number}", runtime.stopping)
        for number, client in enumerate(clients)
    ]


@pytest.fixture
def working(runtimes: list[Runtime]) -> Iterator[None]:
    """All of them sweep, over and over, until the test has ended."""

    def work(runtime: Runtime) -> None:
        while not runtime.stopping.wait(0.02):
            process_due(runtime, limit=1000)

    with ThreadPoolExecutor(WORKERS) as pool:
        running = [pool.submit(work, runtime) for runtime in runtimes]
        yield
        runtimes[0].stopping.set()
    for one in running:
        one.result()


def audited(make: Factory, action: str) -> list[float]:
    """Return when this happened to the gate, in unix seconds."""
    return [entry.created_at.timestamp() for entry in make.all(AuditEntry, action=action)]


def failed_probes(make: Factory) -> int:
    return len(make.all(SyncAttempt, error_code=gate.PROBE_FAILED))


def asked(fake: FakeCustomerIO, since: float, until: float = inf) -> list[float]:
    """Return when deliveries arrived at Customer.io between two times."""
    entries = fake.ledger.entries()
    return [entry["at"] for entry in entries if entry["path"] == BATCH_PATH and since < entry["at"] < until]


def find_too_fast(times: list[float]) -> list[tuple[float, int]]:
    """Return the spans of time in which more requests arrived than our limit lets begin, and how many they were."""
    pairs = combinations(enumerate(times), 2)
    spans = [(last - first, after - before + 1) for (before, first), (after, last) in pairs]
    return [(span, count) for span, count in spans if count > PER_SECOND * (1 + JITTER_SECONDS + span)]


@pytest.mark.usefixtures("working")
def test_an_outage_is_asked_by_one_worker_at_a_time_and_drained_no_faster_than_our_limit(
    make: Factory, fake: FakeCustomerIO
) -> None:
    fake.scenario = Scenario(outage="503")
    crowd(make.sessions, JOBS)
    eventually(lambda: failed_probes(make), seconds=60)
    fake.scenario = Scenario()
    eventually(lambda: {job.status for job in make.all(SyncJob)} == {JobStatus.COMPLETED}, seconds=40)
    (closed,), (opened,), failed = audited(make, "gate_closed"), audited(make, "gate_opened"), failed_probes(make)

    assert OUTAGE_CLOSED.total_seconds() * SCALE * (2**failed - 1) < opened - closed, "more than one of them probed"
    assert len(asked(fake, closed, opened)) <= WORKERS + failed + 1, "what was not on its way was sent all the same"
    assert find_too_fast(asked(fake, opened)) == []
    assert (max(job.attempt_count for job in make.all(SyncJob)) <= 2, make.all(DeadLetter)) == (True, [])
