from collections.abc import Iterator

import pytest

from cio_tasks.fake import FakeCustomerIO
from tests.contract.app import App
from tests.contract.track import Track


@pytest.fixture(scope="session")
def running() -> Iterator[FakeCustomerIO]:
    with FakeCustomerIO(site_id="site", api_key="key") as fake:
        yield fake


@pytest.fixture
def fake(running: FakeCustomerIO) -> FakeCustomerIO:
    running.reset()
    return running


@pytest.fixture
def track(fake: FakeCustomerIO) -> Iterator[Track]:
    client = Track(fake.url)
    yield client
    client.close()


@pytest.fixture
def app(fake: FakeCustomerIO) -> Iterator[App]:
    client = App(fake.url)
    yield client
    client.close()
