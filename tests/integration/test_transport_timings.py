"""Where the time of a call went, by real servers that are slow in one place."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from requests import PreparedRequest

from cio_tasks.customerio.timings import Timings
from cio_tasks.customerio.transport import REQUEST_ID_HEADER, Anonymous, Auth, Bearer, Reply, Transport
from cio_tasks.fake import FakeCustomerIO, Scenario
from tests.integration.test_client_tls import make_certificate, serve

CREDENTIALS = ("SECRETCANARY-site", "SECRETCANARY-key")
REGION = "/api/v1/accounts/region"
NONE = timedelta(0)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCustomerIO]:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serve(certificate) as fake:
        yield fake


def transport(url: str, *, total: float = 5, auth: Auth = CREDENTIALS) -> Transport:
    return Transport(url, auth=auth, total=timedelta(seconds=total), user_agent="ciosync tests")


def timings(reply: Reply) -> Timings:
    assert reply.timings is not None
    return reply.timings


@pytest.mark.row("O4")
def test_parts_of_a_fresh_call_are_told_and_come_to_its_whole(fake: FakeCustomerIO) -> None:
    reply = transport(fake.url).send("GET", REGION)
    parts = timings(reply)

    assert None not in {parts.dns, parts.connect, parts.first_byte, parts.waiting, parts.body}
    assert parts.tls is None
    assert not parts.reused
    assert reply.elapsed == parts.total
    whole = sum((part for part in (parts.dns, parts.connect, parts.waiting, parts.body) if part), NONE)
    assert abs(whole - parts.total) < timedelta(milliseconds=1)


@pytest.mark.row("O4")
def test_call_over_a_kept_connection_opens_none(fake: FakeCustomerIO) -> None:
    client = transport(fake.url)
    client.send("GET", REGION)
    parts = timings(client.send("GET", REGION))

    assert parts.reused
    assert (parts.dns, parts.connect, parts.tls) == (None, None, None)
    assert parts.waiting == parts.first_byte


def test_closed_transport_opens_a_new_connection(fake: FakeCustomerIO) -> None:
    client = transport(fake.url)
    client.send("GET", REGION)
    client.close()

    assert not timings(client.send("GET", REGION)).reused


@pytest.mark.row("O3")
def test_handshake_has_a_time_of_its_own(secure: FakeCustomerIO) -> None:
    parts = timings(transport(secure.url).send("GET", REGION))

    assert parts.tls is not None
    assert parts.tls > NONE


@pytest.mark.row("O4")
def test_slow_answer_is_waiting_and_nothing_else(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(latency_seconds=0.3)
    parts = timings(transport(fake.url).send("GET", REGION))

    assert parts.waiting is not None
    assert parts.waiting >= timedelta(seconds=0.3)
    assert parts.total - parts.waiting < timedelta(seconds=0.25)


def test_refused_connection_was_resolved_and_not_connected(closed_port: int) -> None:
    parts = timings(transport(f"http://127.0.0.1:{closed_port}").send("GET", REGION))

    assert parts.dns is not None
    assert (parts.connect, parts.first_byte, parts.body, parts.reused) == (None, None, None, False)
    assert parts.total > NONE


def test_name_that_does_not_exist_was_not_even_resolved() -> None:
    assert timings(transport("http://customerio.invalid").send("GET", REGION)).dns is None


def test_handshake_that_fails_has_no_time(fake: FakeCustomerIO) -> None:
    parts = timings(transport(fake.url.replace("http:", "https:")).send("GET", REGION))

    assert parts.connect is not None
    assert parts.tls is None


def test_name_with_several_addresses_is_resolved_once(fake: FakeCustomerIO) -> None:
    """The stand-in listens on one of the addresses of this machine's own name; the others are tried too."""
    parts = timings(transport(fake.url.replace("127.0.0.1", "localhost")).send("GET", REGION))

    assert parts.dns is not None
    assert parts.connect is not None


def test_call_that_runs_out_of_time_tells_how_far_it_came(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="hang")
    reply = transport(fake.url, total=0.3).send("GET", REGION)

    assert reply.failure == "timeout"
    assert timings(reply).connect is not None
    assert timings(reply).first_byte is None


# --- the request as it is sent ----------------------------------------------------------------------------------------


def test_prepared_request_is_the_one_that_is_sent(fake: FakeCustomerIO) -> None:
    client = transport(fake.url)
    request = client.prepare("PUT", "/api/v1/customers/u%2F1", b'{"plan":"pro"}')
    reply = client.perform(request)
    (entry,) = fake.ledger.entries()

    assert (entry["method"], entry["path"], entry["bytes"]) == ("PUT", "/api/v1/customers/u%2F1", 14)
    assert reply.request_id == request.headers[REQUEST_ID_HEADER]


def test_every_request_has_an_id_of_its_own(fake: FakeCustomerIO) -> None:
    client = transport(fake.url)

    assert client.send("GET", REGION).request_id != client.send("GET", REGION).request_id


def test_preparing_sends_nothing(fake: FakeCustomerIO) -> None:
    transport(fake.url).prepare("GET", REGION)

    assert fake.ledger.count() == 0


@pytest.mark.parametrize(("auth", "header"), [(Bearer("app-key"), "Bearer app-key"), (Anonymous(), None)])
def test_credentials_are_those_asked_for(
    auth: Auth, header: str | None, fake: FakeCustomerIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login SECRETCANARY password SECRETCANARY\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    request: PreparedRequest = transport(fake.url, auth=auth).prepare("GET", REGION)

    assert request.headers.get("Authorization") == header


@pytest.mark.parametrize("url", ["http://[::1", "http://", "nonsense"])
def test_impossible_address_is_an_error_when_prepared_and_a_value_when_sent(url: str) -> None:
    with pytest.raises(ValueError):
        transport(url).prepare("GET", REGION)

    assert transport(url).send("GET", REGION).failure == "connection_failed"
