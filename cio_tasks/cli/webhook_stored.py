"""The stored webhooks, as `ciosync webhook send` reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cio_tasks.cli.config import load_settings
from cio_tasks.db import make_engine
from cio_tasks.errors import NotFound
from cio_tasks.models import WebhookEvent


def read(key: str) -> bytes:
    """Return the body of a stored webhook.

    Raises:
        NotFound: when none has this id, ours or the sender's.
    """
    with _session() as session:
        body = session.scalar(select(WebhookEvent.body).where(_is_named(key)))
    if body is None:
        raise NotFound("no stored webhook has this id", hint="our id or the event's own, as webhook listen shows it")
    return body


def _is_named(key: str) -> ColumnElement[bool]:
    try:
        return WebhookEvent.id == UUID(key)
    except ValueError:
        return WebhookEvent.event_id == key


@contextmanager
def _session() -> Iterator[Session]:
    engine = make_engine(load_settings().required_database_url(), pool_size=1, application="ciosync webhook")
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()
