"""`python -m benchmarks.broker_loss`: how soon a worker that holds a retry delivers again after its broker was killed."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from rich.console import Console
from rich.table import Table

from cio_tasks.cli.stack import Stack, local_stack
from cio_tasks.embedded import EmbeddedValkey
from cio_tasks.settings import Role

DOWN_SECONDS = (0, 0, 0, 3, 3, 3, 10, 10, 10)
GIVE_UP_SECONDS = 60


def main() -> None:
    """Kill the broker again and again, and print the time from its return to the delivery of a fresh signup."""
    table = Table("broker away", "delivered after", "worker", box=None, padding=(0, 2))
    with TemporaryDirectory(prefix="ciosync-bench-") as folder, EmbeddedValkey(Path(folder) / "broker") as broker:
        own = {"REDIS_URL": broker.url}
        with local_stack(Path(folder) / "system", own, fresh=True, tell=lambda *_: None) as stack:
            worker = stack.own_processes[0]
            for number, down in enumerate(DOWN_SECONDS):
                seconds = lose_broker(stack, broker, number, down)
                state = "same process" if worker.restarts == 0 else f"restarted {worker.restarts} times"
                table.add_row(f"{down} s", f"{seconds:.1f} s", state)
    Console(width=100).print(table)


def lose_broker(stack: Stack, broker: EmbeddedValkey, number: int, down: float) -> float:
    """Let the worker hold a countdown, take the broker away for `down` seconds, and return the seconds until a delivery."""
    held = submit(stack, f"held{number}+500x1@example.com")
    while not attempts(stack, held):
        time.sleep(0.05)
    broker.kill()
    time.sleep(down)
    broker.start()
    began = time.monotonic()
    fresh = submit(stack, f"fresh{number}@example.com")
    while not show(stack, fresh)["customerioSynced"] and time.monotonic() - began < GIVE_UP_SECONDS:
        time.sleep(0.05)
    return time.monotonic() - began


def submit(stack: Stack, email: str) -> str:
    """Submit a signup and return its id."""
    body = {"customer": {"email": email, "firstName": "Ada", "lastName": "Lovelace"}, "operatorId": "op"}
    headers = {"Authorization": f"Bearer {stack.tokens[Role.APP]}"}
    answer = requests.post(f"{stack.api_url}/api/v1/signups", json=body, headers=headers, timeout=10)
    return str(answer.json()["id"])


def show(stack: Stack, signup_id: str) -> dict[str, object]:
    """Return a signup as the API shows it."""
    headers = {"Authorization": f"Bearer {stack.tokens[Role.ADMIN]}"}
    answer: dict[str, object] = requests.get(
        f"{stack.api_url}/api/v1/signups/{signup_id}", headers=headers, timeout=10
    ).json()
    return answer


def attempts(stack: Stack, signup_id: str) -> list[object]:
    """Return the attempts of a signup's jobs."""
    jobs = show(stack, signup_id)["syncJobs"]
    assert isinstance(jobs, list)
    return [attempt for job in jobs for attempt in job["attempts"]]


if __name__ == "__main__":
    main()
