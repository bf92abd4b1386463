"""`python -m cio_tasks` is `ciosync`."""

from cio_tasks.cli import main

main()
