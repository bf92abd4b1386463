"""Databases of a running server, made and dropped by tests."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor
from sqlalchemy import make_url


def create_database(server_url: str, name: str, *, template: str | None = None) -> str:
    """Make the database `name`, a copy of `template` if given (nobody may be connected to that), and return its URL.

    Raises:
        psycopg2.errors.DuplicateDatabase: it is there already.
        psycopg2.errors.ObjectInUse: somebody is connected to the template.
    """
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template is not None:
        statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    with _maintenance(server_url) as database:
        database.execute(statement)
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(server_url: str, name: str) -> None:
    """Drop the database `name` if it exists, disconnecting whoever uses it."""
    with _maintenance(server_url) as database:
        database.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _maintenance(server_url: str) -> Iterator[cursor]:
    url = make_url(server_url).set(drivername="postgresql")
    with closing(psycopg2.connect(url.render_as_string(hide_password=False))) as connection:
        connection.autocommit = True
        with connection.cursor() as opened:
            yield opened
