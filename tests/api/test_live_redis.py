"""Live events while Redis comes and goes: nothing but events is lost, and few words are made about it."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cio_tasks.embedded import EmbeddedValkey
from tests.eventually import eventually
from tests.listening import Listener, Teller
from tests.serving import Served, serve


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def served(broker: EmbeddedValkey, tmp_path: Path) -> Iterator[Served]:
    with serve(tmp_path / "api", broker.url) as served:
        yield served


@pytest.fixture
def listener(served: Served) -> Iterator[Listener]:
    listener = Listener(served.url)
    yield listener
    listener.leave()


def test_events_flow_again_when_redis_is_back(broker: EmbeddedValkey, served: Served, listener: Listener) -> None:
    tell = Teller(broker.url)
    listener.connect().attune(tell)
    broker.stop()
    eventually(lambda: "live_events_interrupted" in served.log)
    assert served.is_alive_within(1)
    broker.start()
    listener.attune(tell)
    assert listener.client.connected
    assert [served.log.count(f"live_events_{word}") for word in ("interrupted", "resumed")] == [1, 1]


def test_the_api_starts_and_lets_clients_in_without_redis(
    broker: EmbeddedValkey, served: Served, listener: Listener
) -> None:
    broker.stop()
    served.process.restart()
    eventually(served.answers)
    listener.connect()
    broker.start()
    listener.attune(Teller(broker.url))


def test_an_outage_makes_few_words(broker: EmbeddedValkey, served: Served, listener: Listener) -> None:
    listener.connect().attune(Teller(broker.url))
    before = len(served.log.splitlines())
    broker.stop()
    eventually(lambda: "live_events_interrupted" in served.log)
    later = Listener(served.url).connect()
    later.leave()
    eventually(lambda: served.log.count("live_client_left") == 1)
    assert len(served.log.splitlines()) - before <= 5


def test_a_redis_that_hangs_is_left(broker: EmbeddedValkey, served: Served, listener: Listener) -> None:
    listener.connect().attune(Teller(broker.url))
    server = psutil.Process(broker.facts.pid)
    server.suspend()
    try:
        eventually(lambda: "live_events_interrupted" in served.log)
        assert served.is_alive_within(1)
    finally:
        server.resume()
    listener.attune(Teller(broker.url), seconds=20)


def test_a_server_that_is_told_to_stop_waits_for_no_client(served: Served, listener: Listener) -> None:
    listener.connect(transports=["websocket"])
    polling = Listener(served.url).connect(transports=["polling"])
    guest = served.open_websocket()
    served.process.terminate()
    assert served.process.returncode == 0
    polling.leave()
    guest.close()
