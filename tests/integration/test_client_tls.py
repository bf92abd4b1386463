"""TLS: nothing is sent to a server that cannot prove who it is."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cio_tasks.customerio.replies import read_reply
from cio_tasks.customerio.transport import Reply, Transport
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.outcomes import Delivered, ErrorType, RetryLater

CREDENTIALS = ("SECRETCANARY-site", "SECRETCANARY-key")
BODY = b'{"batch":[]}'
FOR_THIS_HOST = "subjectAltName=IP:127.0.0.1"
FOR_ANOTHER = "subjectAltName=DNS:track.customer.io"


def make_certificate(folder: Path, name: str = FOR_THIS_HOST) -> Path:
    """Make a self-signed certificate with its key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ciosync-tests -addext"
    arguments = [openssl, *request.split(), name, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(arguments, check=True, capture_output=True)
    certificate.write_bytes(key.read_bytes() + certificate.read_bytes())
    return certificate


def serve(certificate: Path) -> FakeCustomerIO:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return FakeCustomerIO(site_id=CREDENTIALS[0], api_key=CREDENTIALS[1], ssl_context=context)


def summary(scenario: Scenario) -> str:
    return str(scenario.model_dump(exclude_defaults=True))


def send(url: str, total: float = 5) -> Reply:
    transport = Transport(url, auth=CREDENTIALS, total=timedelta(seconds=total), user_agent="ciosync tests")
    return transport.send("POST", "/api/v2/batch", BODY)


def assert_retried(reply: Reply, code: str) -> None:
    outcome = read_reply(reply, size=1).outcome

    assert isinstance(outcome, RetryLater)
    assert (outcome.error_type, outcome.code) == (ErrorType.NETWORK, code)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCustomerIO]:
    """A server whose certificate this machine trusts."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serve(certificate) as fake:
        yield fake


def test_server_with_a_trusted_certificate_is_spoken_to(trusted: FakeCustomerIO) -> None:
    reply = send(trusted.url)

    assert reply.status == 400
    assert trusted.ledger.entries()[0]["user"] == CREDENTIALS[0]


@pytest.mark.row("A6")
def test_self_signed_certificate_is_a_network_failure_and_nothing_is_sent(certificate: Path) -> None:
    with serve(certificate) as fake:
        assert_retried(send(fake.url), "tls")

        assert fake.ledger.count() == 0


@pytest.mark.row("A6")
def test_certificate_of_another_host_is_a_network_failure_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, FOR_ANOTHER)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serve(certificate) as fake:
        assert_retried(send(fake.url), "tls")

        assert fake.ledger.count() == 0


@pytest.mark.row("A6")
def test_tls_to_a_plain_port_is_a_network_failure(fake: FakeCustomerIO) -> None:
    assert_retried(send(fake.url.replace("http:", "https:")), "tls")
    assert fake.ledger.count() == 0


@pytest.mark.row("A6")
def test_plain_http_to_a_tls_port_is_a_network_failure(certificate: Path) -> None:
    with serve(certificate) as fake:
        reply = send(fake.url.replace("https:", "http:"))

    assert not isinstance(read_reply(reply, size=1).outcome, Delivered)
    assert fake.ledger.count() == 0


@pytest.mark.row("A6")
def test_connection_closed_in_the_handshake_is_a_network_failure() -> None:
    def hang_up() -> None:
        server.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up, daemon=True).start()
        outcome = read_reply(send(f"https://127.0.0.1:{server.getsockname()[1]}"), size=1).outcome

    assert isinstance(outcome, RetryLater)
    assert outcome.error_type == ErrorType.NETWORK
    assert outcome.code in {"tls", "connection_reset"}


@pytest.mark.row("A6")
def test_handshake_that_never_comes_is_given_up_after_two_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reply = send(f"https://127.0.0.1:{server.getsockname()[1]}")

    assert_retried(reply, "timeout")
    assert reply.elapsed.total_seconds() < 4


@pytest.mark.row("A6")
@pytest.mark.parametrize("scenario", [Scenario(outage="hang"), Scenario(drip_seconds_per_byte=0.02)], ids=summary)
def test_deadline_holds_over_tls_as_well(trusted: FakeCustomerIO, scenario: Scenario) -> None:
    trusted.scenario = scenario
    reply = send(trusted.url, total=0.5)

    assert_retried(reply, "timeout")
    assert reply.elapsed.total_seconds() < 2.5
