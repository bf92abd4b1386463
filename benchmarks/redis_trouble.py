"""`python -m benchmarks.redis_trouble`: accepting signups over HTTP while Redis is refused, silent, slow or stopped."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import requests
from rich.console import Console
from rich.table import Table

from cio_tasks.cli.stack import Stack, local_stack
from cio_tasks.embedded import EmbeddedValkey
from cio_tasks.settings import Role
from tests.chaos.proxy import Fault, FaultProxy, Mode

SIGNUPS = 300
CALLERS = 4
TROUBLES = {
    "fine": Fault(),
    "refused": Fault(mode=Mode.REFUSE),
    "silent": Fault(mode=Mode.BLACKHOLE),
    "slow (1 s)": Fault(mode=Mode.DELAY, seconds=1.0),
    "slow (50 ms)": Fault(mode=Mode.DELAY, seconds=0.05),
    "reset": Fault(mode=Mode.RESET),
    "fine again": Fault(),
}
numbers = count()


@dataclass(frozen=True)
class Accepted:
    """How long the requests took, in milliseconds, and how many were refused."""

    milliseconds: list[float]
    refused: int

    def share(self, part: float) -> float:
        return statistics.quantiles(self.milliseconds, n=1000, method="inclusive")[round(part * 1000) - 1]


def main() -> None:
    """Accept signups under each trouble in one run, twice, and print how much longer that takes than without."""
    with (
        TemporaryDirectory(prefix="ciosync-bench-") as folder,
        EmbeddedValkey(Path(folder) / "broker") as broker,
        proxied(broker) as proxy,
        local_stack(Path(folder) / "system", environment(proxy), fresh=True, tell=lambda *_: None) as stack,
    ):
        accept(stack)
        for number in (1, 2):
            show(number, {name: measure(stack, proxy, trouble) for name, trouble in TROUBLES.items()})


def proxied(broker: EmbeddedValkey) -> FaultProxy:
    address = urlsplit(broker.url)
    return FaultProxy((address.hostname or "127.0.0.1", address.port or 6379))


def environment(proxy: FaultProxy) -> dict[str, str]:
    return {"REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0", "CIO_API_RATE_LIMIT": "100000"}


def measure(stack: Stack, proxy: FaultProxy, trouble: Fault) -> Accepted:
    proxy.use(trouble)
    try:
        return accept(stack)
    finally:
        proxy.heal()


def accept(stack: Stack) -> Accepted:
    """Submit signups from a few callers at once."""
    with ThreadPoolExecutor(CALLERS) as callers:
        parts = list(callers.map(lambda _: list(submit(stack)), range(CALLERS)))
    answers = [answer for part in parts for answer in part]
    return Accepted([took for took, _ in answers], sum(status != 201 for _, status in answers))


def submit(stack: Stack) -> Iterator[tuple[float, int]]:
    headers = {"Authorization": f"Bearer {stack.tokens[Role.APP]}"}
    with requests.Session() as session:
        for _ in range(SIGNUPS // CALLERS):
            customer = {"email": f"trouble{next(numbers)}@example.com", "firstName": "Ada", "lastName": "Lovelace"}
            started = time.monotonic()
            answer = session.post(
                f"{stack.api_url}/api/v1/signups",
                json={"customer": customer, "operatorId": "op"},
                headers=headers,
                timeout=30,
            )
            yield (time.monotonic() - started) * 1000, answer.status_code


def show(number: int, found: dict[str, Accepted]) -> None:
    table = Table("Redis", "median", "p99", "p99 over fine", "most", "refused", title=f"round {number}", box=None)
    fine = found["fine"].share(0.99)
    for name, accepted in found.items():
        figures = [accepted.share(0.5), accepted.share(0.99), accepted.share(0.99) - fine, max(accepted.milliseconds)]
        table.add_row(name, *(f"{figure:.0f} ms" for figure in figures), str(accepted.refused))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
