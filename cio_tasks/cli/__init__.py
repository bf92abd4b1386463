"""The command line. `ciosync -h` and `ciosync version` load nothing that they do not need."""

from typing import Never

from cio_tasks.cli.tree import root


def main() -> Never:
    """Run `ciosync` with this process's arguments and exit with its code."""
    root.main(prog_name="ciosync")
