"""`make bench`: prints a table, writes JSON."""

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks import accepting, delivery, reading
from benchmarks.measure import Comparison
from benchmarks.reading import Reading
from cio_tasks.embedded import create_database, embedded_postgres, embedded_valkey
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.runtime import Runtime
from cio_tasks.schema import upgrade
from cio_tasks.settings import Settings

RESULTS = Path("benchmarks/results")
FASTEST = {"CIO_RATE_LIMIT": "1000"}


def run_all() -> tuple[list[Comparison], list[Reading]]:
    """Start the servers and run every comparison."""
    with (
        TemporaryDirectory(prefix="ciosync-bench-") as folder,
        embedded_postgres(Path(folder)) as postgres,
        embedded_valkey(Path(folder)) as valkey,
        FakeCustomerIO(site_id="site", api_key="key") as fake,
    ):
        url = create_database(postgres.url, "bench")
        upgrade(url)
        environment = {
            "DATABASE_URL": url,
            "REDIS_URL": valkey.url,
            "CUSTOMERIO_SITE_ID": "site",
            "CUSTOMERIO_API_KEY": "key",
            "CUSTOMERIO_TRACK_URL": fake.url,
        }
        settings = Settings.from_env(environment | FASTEST)
        runtime = Runtime.from_settings(settings)
        found = [
            delivery.batches(runtime),
            accepting.with_job(runtime.sessions, settings),
            accepting.without_redis(runtime.sessions, settings),
        ]
        runtime.sessions.kw["bind"].dispose()
        return found, reading.compare_sizes(postgres.url)


def show(found: list[Comparison]) -> None:
    """Print the table."""
    table = Table("what", "ours", "instead", "ours /s", "instead /s", "ratio", box=None, padding=(0, 2))
    for one in found:
        rates = [f"{one.count / seconds:,.0f}" for seconds in (one.ours_seconds, one.theirs_seconds)]
        table.add_row(one.name, one.ours, one.theirs, *rates, f"{one.ratio:.2f} x")
    Console(width=120).print(table)


def main() -> None:
    """Run, print, and write the figures."""
    found, readings = run_all()
    show(found)
    reading.show(readings)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps([one.as_dict() for one in (*found, *readings)], indent=1) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
