from collections.abc import Iterator
from threading import Thread

import pytest

from tests.chaos.answering import Api


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as api:
        thread = Thread(target=api.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield api
        api.shutdown()
