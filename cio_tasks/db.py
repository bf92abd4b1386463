"""The database: engine, sessions, and how constraints are named.

Sessions are opened by their owners (a task, a request, a command) and handed down; nothing below them commits.
"""

from typing import Final

from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

Sessions = sessionmaker[Session]

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

CONNECT_SECONDS: Final = 3
STATEMENT_TIMEOUT: Final = "30s"
IDLE_IN_TRANSACTION_TIMEOUT: Final = "60s"


class Base(DeclarativeBase):
    """The parent of every model."""

    metadata = MetaData(naming_convention=NAMING)


def make_engine(url: str, *, pool_size: int = 10, application: str = "ciosync") -> Engine:
    """Return an engine whose connections fail within seconds rather than hang.

    A dropped connection is noticed before use; a call waits at most a second for a free one.
    """
    options = (
        f"-c statement_timeout={STATEMENT_TIMEOUT} "
        f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT} -c timezone=UTC"
    )
    return create_engine(
        url,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=1.0,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": application,
            "options": options,
            "keepalives_idle": 30,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
        },
    )


def make_sessions(engine: Engine) -> Sessions:
    """Return a factory of sessions; objects stay readable after the commit."""
    return sessionmaker(engine, expire_on_commit=False)
