"""`ciosync db`: the schema of the database."""

import click

from cio_tasks import schema
from cio_tasks.cli.config import load_settings
from cio_tasks.cli.faults import Exit
from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.tree import Tree
from cio_tasks.db import make_engine


@click.group(cls=Tree, epilog=examples("ciosync db upgrade", "ciosync db check"))
def db() -> None:
    """Bring the database of DATABASE_URL to this release's schema, or tell which schema it has."""


@db.command(epilog=examples("ciosync db upgrade", "ciosync db upgrade --dry-run", "ciosync db upgrade --json"))
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@answers
@pass_output
def upgrade(output: Output, *, dry_run: bool) -> None:
    """Apply the migrations that are missing. Safe to run from many places at once."""
    url = load_settings().required_database_url()
    before, newest = _current(url), schema.newest_version()
    after = before if dry_run else schema.upgrade(url)
    output.result({"before": before, "current": after, "newest": newest, "dryRun": dry_run})


@db.command(epilog=examples("ciosync db current", "ciosync db current --json"))
@answers
@pass_output
def current(output: Output) -> None:
    """Print the version of the schema; nothing was applied yet when there is none."""
    output.result({"current": _current(load_settings().required_database_url())})


@db.command(epilog=examples("ciosync db check", "ciosync db check || ciosync db upgrade"))
@answers
@pass_output
@click.pass_context
def check(ctx: click.Context, output: Output) -> None:
    """Tell whether the schema is the newest; exit with 1 when it is not."""
    version, newest = _current(load_settings().required_database_url()), schema.newest_version()
    output.result({"current": version, "newest": newest, "ok": version == newest})
    if version != newest:
        output.note("hint:  ciosync db upgrade")
        ctx.exit(Exit.NO)


def _current(url: str) -> str | None:
    engine = make_engine(url, pool_size=1, application="ciosync db")
    try:
        with engine.connect() as connection:
            return schema.current_version(connection)
    finally:
        engine.dispose()
