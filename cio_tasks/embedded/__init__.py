"""A real PostgreSQL and a real Valkey from wheels, for `demo`, `dev` and the tests, without Docker."""

from cio_tasks.embedded.databases import create_database, drop_database
from cio_tasks.embedded.postgres import EmbeddedPostgres, embedded_postgres
from cio_tasks.embedded.server import EmbeddedServer
from cio_tasks.embedded.valkey import EmbeddedValkey, embedded_valkey
from cio_tasks.errors import EmbeddedError, StateInUse

__all__ = [
    "EmbeddedError",
    "EmbeddedPostgres",
    "EmbeddedServer",
    "EmbeddedValkey",
    "StateInUse",
    "create_database",
    "drop_database",
    "embedded_postgres",
    "embedded_valkey",
]
