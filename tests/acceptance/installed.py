"""`python -m tests.acceptance.installed PYTHON`: run worker, beat and API of another installation, and see one through."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import requests

from cio_tasks.cli.stack import local_stack
from cio_tasks.settings import Role
from tests.eventually import eventually

CUSTOMER = {"email": "ada@example.com", "firstName": "Ada", "lastName": "Lovelace"}


def see_one_through(python: str) -> None:
    """Submit a signup to the processes that `python` runs, and wait until the stand-in Customer.io has its event."""
    with (
        TemporaryDirectory(prefix="ciosync-installed-") as folder,
        local_stack(
            Path(folder), {}, fresh=True, tell=lambda name, line: print(f"  {name}: {line}"), python=python
        ) as stack,
    ):
        answer = requests.post(
            f"{stack.api_url}/api/v1/signups",
            json={"customer": CUSTOMER, "operatorId": "op-1"},
            headers={"Authorization": f"Bearer {stack.tokens[Role.APP]}"},
            timeout=10,
        )
        answer.raise_for_status()
        signup_id = UUID(answer.json()["id"])
        eventually(lambda: _arrived(stack.fake_url or "", signup_id), seconds=60)
        print(f"  signup {signup_id} reached Customer.io")


def _arrived(fake_url: str, signup_id: UUID) -> bool:
    events = requests.get(f"{fake_url}/_fake/events", timeout=10).json()["events"]
    return any(event["attributes"]["signup_id"] == str(signup_id) for event in events)


if __name__ == "__main__":
    see_one_through(sys.argv[1])
