"""`ciosync dev`: the same processes as the demo, with your `.env`, restarted when the code changes."""

import threading
from pathlib import Path
from typing import Final

import click

import cio_tasks
from cio_tasks import events
from cio_tasks.cli import board
from cio_tasks.cli.stack import local_stack
from cio_tasks.processes import exit_on
from cio_tasks.settings import read_dotenv, set_values

DEFAULT_STATE: Final = Path(".state/dev")


@click.command(epilog="Examples:  ciosync dev   ·   ciosync dev --env-file staging.env")
@click.option("--env-file", type=click.Path(dir_okay=False, path_type=Path), default=Path(".env"), show_default=True)
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_STATE, show_default=True)
def dev(*, env_file: Path, state_dir: Path) -> None:
    """Run all processes for development, until Ctrl-C.

    Settings come from the environment, then from the env file. What they do not name is started: Postgres, Valkey, a
    stand-in Customer.io. The database is kept between runs. Worker, beat and API start again when a Python file changes.
    """
    console = board.make_console()
    events.listen(board.process_teller(console))
    own = {**read_dotenv(env_file), **set_values()}
    with (
        exit_on(),
        local_stack(state_dir, own, fresh=False, tell=board.teller(console), reload=("--reload",)) as stack,
    ):
        package = Path(cio_tasks.__file__).parent
        worker, beat, _api = stack.own_processes
        stack.supervisor.watch([package], [worker, beat])
        board.print_addresses(console, stack)
        threading.Event().wait()
