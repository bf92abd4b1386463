from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from cio_tasks.db import make_engine


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine with a connection for every thread."""
    engine = make_engine(database_url, pool_size=40)
    yield engine
    engine.dispose()
