import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from cio_tasks.fake import FakeCustomerIO, Scenario, serve
from tests.contract.track import Track, event, identify

STANDALONE = (
    "from cio_tasks.fake import serve; serve(on_ready=lambda url: print(url, flush=True), ledger_path={path!r})"
)


def test_two_of_them_run_side_by_side() -> None:
    with FakeCustomerIO() as one, FakeCustomerIO(region="eu") as other:
        Track(one.url).identify("u1")

        assert (one.people.count(), other.people.count()) == (1, 0)
        assert Track(other.url).region().json()["region"] == "eu"


def test_state_is_still_readable_after_it_stopped() -> None:
    with FakeCustomerIO() as fake:
        Track(fake.url).identify("u1")

    assert (fake.people.count(), fake.ledger.count()) == (1, 1)
    with pytest.raises(requests.ConnectionError):
        Track(fake.url).region()


def test_stopping_does_not_wait_for_those_who_hang() -> None:
    with FakeCustomerIO(scenario=Scenario(outage="hang")) as fake, ThreadPoolExecutor() as threads:
        track = Track(fake.url)
        waiting = threads.submit(Track(fake.url).region)
        assert any(track.control("GET", "summary")["requests"] for _ in range(1000))
        started = time.monotonic()
        fake.stop()

        assert time.monotonic() - started < 30
        assert isinstance(waiting.exception(), requests.ConnectionError)


def test_taken_port_is_told_to_the_one_who_starts_it(fake: FakeCustomerIO) -> None:
    port = int(fake.url.rsplit(":", 1)[1])

    with pytest.raises(OSError, match="address already in use"), FakeCustomerIO(port=port):
        pass


def test_impossible_port_is_told_too() -> None:
    with pytest.raises(OverflowError), FakeCustomerIO(port=70_000):
        pass


def test_client_that_leaves_in_the_middle_of_a_request_leaves_no_trace(fake: FakeCustomerIO, track: Track) -> None:
    host, port = fake.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /api/v2/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

    assert track.region().status_code == 200
    assert fake.ledger.count() == 1


def test_concurrent_clients_are_all_served_and_numbered(fake: FakeCustomerIO) -> None:
    def send(client: int) -> None:
        track = Track(fake.url)
        for n in range(20):
            track.batch(identify(f"u{client}-{n}"), event(f"u{client}-{n}"))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, range(8)))
    numbers = [entry["seq"] for entry in fake.ledger.entries()]
    assert (fake.people.count(), fake.people.count_events()) == (160, 160)
    assert numbers == list(range(numbers[0], numbers[0] + 160))


def test_serve_ends_when_it_is_told_to() -> None:
    url: Future[str] = Future()
    stop = threading.Event()
    thread = threading.Thread(target=serve, kwargs={"on_ready": url.set_result, "stop": stop, "api_key": "k"})
    thread.start()
    answer = Track(url.result(5), ("site", "k")).region()
    stop.set()
    thread.join(5)

    assert (answer.status_code, thread.is_alive()) == (200, False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    program = STANDALONE.format(path=str(tmp_path / "ledger.jsonl"))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        answer = Track(process.stdout.readline().strip()).identify("u1")
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)

    assert (answer.status_code, process.returncode, errors) == (200, 0, "")
    assert len((tmp_path / "ledger.jsonl").read_text(encoding="utf-8").splitlines()) == 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path / "certificate.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *request.split(), "-keyout", str(path), "-out", str(tmp_path / "public.pem")],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (tmp_path / "public.pem").read_bytes())
    return path


def test_tls_serves_and_resets_as_well(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FakeCustomerIO(ssl_context=context) as fake:
        track = Track(fake.url, verify=str(certificate))
        answer = track.identify("u1")
        fake.scenario = Scenario(outage="reset")

        assert (fake.url[:8], answer.status_code) == ("https://", 200)
        with pytest.raises(requests.ConnectionError):
            track.region()
