"""The way to a server, by real servers that fail at one step of it."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cio_tasks.customerio.pace import Pace
from cio_tasks.diagnostics.network import measure
from cio_tasks.diagnostics.rate_limit import PROBE_PERSON, probe_limit, probe_size, read_window
from cio_tasks.diagnostics.target_report import TargetReport
from cio_tasks.diagnostics.targets import Name, list_targets
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.settings import Settings
from tests.integration.test_client_network import Peer, http, says
from tests.integration.test_client_tls import FOR_ANOTHER, FOR_THIS_HOST, serve

SITE_ID, API_KEY = "SECRETCANARY-site", "SECRETCANARY-key"
pytestmark = pytest.mark.timeout(60)


def settings_for(url: str, **more: str) -> Settings:
    own = {"CUSTOMERIO_SITE_ID": SITE_ID, "CUSTOMERIO_API_KEY": API_KEY, "CUSTOMERIO_TRACK_URL": url}
    return Settings.from_env({**own, **more})


def look(url: str, name: Name = "track", *, count: int = 2, timeout: float = 2, **more: str) -> TargetReport:
    settings = settings_for(url, CUSTOMERIO_APP_URL=url, CUSTOMERIO_STATUS_URL=url, **more)
    (report,) = measure(list_targets(settings, (name,)), count=count, timeout=timedelta(seconds=timeout))
    return report


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# --- a server that is well --------------------------------------------------------------------------------------------


@pytest.mark.row("O1", "O2", "O4")
def test_server_that_is_well_has_all_its_times(fake: FakeCustomerIO) -> None:
    told = look(fake.url, count=3).shown()

    assert (told["verdict"], told["issues"], told["host"], told["addresses"]) == ("ok", [], "127.0.0.1", ["127.0.0.1"])
    assert told["tls"] is None
    assert min(told["dnsMs"], told["tcpMs"]) >= 0
    assert told["http"].keys() >= {"method", "path", "status", "ttfbMs", "totalMs", "reused"}
    assert (told["http"]["status"], told["http"]["rounds"], told["http"]["answered"]) == (200, 3, 3)
    assert 0 < told["http"]["ttfbMs"] <= told["http"]["totalMs"] <= told["http"]["worstMs"]


@pytest.mark.row("O4", "Q6")
def test_each_round_opens_a_connection_and_the_first_is_used_twice() -> None:
    with Peer(says(http(b'{"region":"us"}'))) as peer:
        report = look(peer.url, count=3)

        assert (len(peer.requests), peer.connections) == (4, 3 + 1)
    assert report.is_reused
    assert not any(reply.timings and reply.timings.reused for reply in report.rounds)


def test_nothing_is_written(fake: FakeCustomerIO) -> None:
    look(fake.url)

    assert {entry["method"] for entry in fake.ledger.entries()} == {"GET"}
    assert fake.people.count() == 0


@pytest.mark.row("Q6")
def test_connection_that_is_closed_after_each_answer_is_noted() -> None:
    with Peer(says(http(b"{}", "Connection: close"), then_close=True)) as peer:
        report = look(peer.url)

    assert not report.is_reused
    assert [finding.code for finding in report.findings] == ["no_reuse"]
    assert report.verdict == "ok"


@pytest.mark.parametrize("name", ["track", "app", "status"])
def test_every_address_of_the_settings_is_a_target(fake: FakeCustomerIO, name: Name) -> None:
    report = look(fake.url, name)

    assert report.target.name == name
    assert report.answered


def test_server_that_asks_for_credentials_is_well_for_one_who_has_none(fake: FakeCustomerIO) -> None:
    (report,) = measure(
        list_targets(Settings.from_env({"CUSTOMERIO_TRACK_URL": fake.url}), ("track",)),
        count=1,
        timeout=timedelta(seconds=2),
    )

    assert ([reply.status for reply in report.rounds], report.verdict) == ([401], "ok")


def test_status_page_asks_nobody_for_credentials() -> None:
    with Peer(says(http(b"{}", status="401 Unauthorized"))) as peer:
        assert look(peer.url, "app").verdict == "ok"
        assert look(peer.url, "status").verdict == "http_401"


def test_without_names_every_target_is_measured_and_only_the_needed_ones_fail(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    settings = settings_for(url, CUSTOMERIO_APP_URL=url, CUSTOMERIO_STATUS_URL=url)
    reports = measure(list_targets(settings), count=1, timeout=timedelta(seconds=2))

    severities = [(report.target.name, report.findings[0].severity.value) for report in reports]
    assert severities == [("track", "high"), ("app", "medium"), ("status", "medium")]


# --- name and connection ----------------------------------------------------------------------------------------------


@pytest.mark.row("O1")
@pytest.mark.parametrize("host", ["customerio.invalid", "x" * 70 + ".example", "exa..mple"])
def test_name_that_does_not_exist_ends_there(host: str) -> None:
    report = look(f"http://{host}")

    assert (report.verdict, report.addresses, report.connections, report.rounds) == ("dns_failed", [], {}, [])
    assert "CUSTOMERIO_TRACK_URL" in report.findings[0].next


@pytest.mark.row("O2")
def test_refused_connection_ends_there(closed_port: int) -> None:
    report = look(f"http://127.0.0.1:{closed_port}")

    assert (report.verdict, report.connections) == ("connection_refused", {"127.0.0.1": "connection_refused"})
    assert report.shown()["tcpMs"] is None


@pytest.mark.row("O2")
def test_connection_that_nobody_takes_ends_in_time() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        report = look(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.3)
        for one in waiting:
            one.close()

    assert report.verdict == "connection_timeout"


def test_way_through_a_proxy_is_told_and_its_steps_are_not_measured(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:SECRETCANARY@127.0.0.1:{closed_port}")
    report = look("http://track.customerio.invalid")

    assert (report.via_proxy, report.dns, report.connections) == (True, None, {})
    assert [finding.code for finding in report.findings] == ["connection_refused", "via_proxy"]
    assert "SECRETCANARY" not in str(report.shown())


# --- TLS --------------------------------------------------------------------------------------------------------------


def sign(folder: Path, *, name: str = FOR_THIS_HOST, days: int = 60) -> Path:
    """Make a certificate, signed by itself, that ends in so many days, and put its key into the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, request, certificate = folder / "key.pem", folder / "request.pem", folder / "certificate.pem"
    asked = f"req -new -newkey rsa:2048 -nodes -subj /O=Tests/CN=ciosync -addext {name} -keyout {key} -out {request}"
    signed = f"x509 -req -copy_extensions copy -days {days} -in {request} -signkey {key} -out {certificate}"
    for arguments in (asked, signed):
        subprocess.run([openssl, *arguments.split()], check=True, capture_output=True)
    certificate.write_bytes(key.read_bytes() + certificate.read_bytes())
    return certificate


Secure = Callable[..., Any]


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Secure:
    """Return what serves a certificate that this machine trusts."""

    @contextmanager
    def serving(**options: Any) -> Iterator[FakeCustomerIO]:
        certificate = sign(tmp_path, **options)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with serve(certificate) as fake:
            yield fake

    return serving


@pytest.mark.row("O3")
def test_trusted_certificate_shows_its_dates_and_the_connection_its_version(secure: Secure) -> None:
    with secure() as fake:
        told = look(fake.url).shown()

    assert told["verdict"] == "ok"
    assert told["tls"].keys() >= {"version", "notAfter", "daysLeft", "issuer"}
    assert (told["tls"]["version"], told["tls"]["issuer"]) == ("TLSv1.3", "Tests, ciosync")
    assert (told["tls"]["daysLeft"], told["tls"]["names"]) == (59, ["127.0.0.1"])
    assert told["http"]["status"] == 200


@pytest.mark.row("O3")
@pytest.mark.parametrize(("days", "found"), [(13, ["certificate_expires_soon"]), (15, [])])
def test_certificate_that_ends_soon_is_told_beforehand(secure: Secure, days: int, found: list[str]) -> None:
    with secure(days=days) as fake:
        assert [finding.code for finding in look(fake.url).findings] == found


@pytest.mark.row("O3")
@pytest.mark.parametrize(
    ("options", "verdict"),
    [({"days": -1}, "certificate_expired"), ({"name": FOR_ANOTHER}, "certificate_wrong_name")],
    ids=["expired", "another's"],
)
def test_bad_certificate_still_shows_its_dates_and_nothing_is_asked(
    secure: Secure, options: dict[str, Any], verdict: str
) -> None:
    with secure(**options) as fake:
        told = look(fake.url).shown()

        assert fake.ledger.count() == 0
    assert (told["verdict"], told["http"]) == (verdict, None)
    assert told["tls"]["daysLeft"] == (-2 if "days" in options else 59)


@pytest.mark.row("O3")
def test_certificate_that_nobody_signed_is_not_trusted_and_shows_its_dates(tmp_path: Path) -> None:
    with serve(sign(tmp_path)) as fake:
        told = look(fake.url).shown()

        assert fake.ledger.count() == 0
    assert (told["verdict"], told["tls"]["issuer"], told["tls"]["daysLeft"]) == (
        "certificate_self_signed",
        "Tests, ciosync",
        59,
    )


@pytest.mark.row("O3")
def test_port_that_speaks_no_tls_is_told(fake: FakeCustomerIO) -> None:
    report = look(fake.url.replace("http:", "https:"))

    assert report.verdict == "tls_not_spoken"
    assert fake.ledger.count() == 0


@contextmanager
def refusing(answer: bytes) -> Iterator[str]:
    """Serve an address where every connection gets this answer to whatever it says first, and is closed."""

    def refuse() -> None:
        with suppress(OSError):
            while True:
                with server.accept()[0] as connection:
                    if connection.recv(4_096):
                        connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=refuse, daemon=True).start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.row("O3")
@pytest.mark.parametrize(
    ("answer", "verdict"), [(b"", "tls_reset"), (b"\x15\x03\x03\x00\x02\x02\x28", "tls_failed")], ids=["none", "alert"]
)
def test_handshake_that_is_broken_off_is_told(answer: bytes, verdict: str) -> None:
    with refusing(answer) as url:
        report = look(url)

    assert (report.verdict, report.rounds) == (verdict, [])


@pytest.mark.row("O3")
def test_handshake_that_never_ends_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        report = look(f"https://127.0.0.1:{server.getsockname()[1]}", timeout=0.3)

    assert report.verdict == "tls_timeout"


# --- the answer -------------------------------------------------------------------------------------------------------


@pytest.mark.row("O4", "Q2")
@pytest.mark.parametrize(
    ("scenario", "verdict"),
    [
        (Scenario(error_rate=1, error_status=429), "http_429"),
        (Scenario(error_rate=1, error_status=503), "http_503"),
        (Scenario(error_rate=1, error_status=404), "http_404"),
        (Scenario(redirect_to="https://track-eu.customer.io"), "redirected"),
        (Scenario(truncated_json=True), "not_customerio"),
        (Scenario(wrong_region="unauthorized"), "http_401"),
        (Scenario(outage="reset"), "connection_reset"),
        (Scenario(outage="hang"), "timeout"),
        (Scenario(drip_seconds_per_byte=0.05), "timeout"),
    ],
    ids=lambda value: str(value.model_dump(exclude_defaults=True)) if isinstance(value, Scenario) else str(value),
)
def test_answer_decides_the_verdict(fake: FakeCustomerIO, scenario: Scenario, verdict: str) -> None:
    fake.scenario = scenario
    report = look(fake.url, timeout=0.3)

    assert report.verdict == verdict
    assert report.findings[0].severity.value == "high"


def test_server_that_stays_silent_is_not_asked_for_ever(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="refuse")
    report = look(fake.url, count=100)

    assert len(report.rounds) == 2


def test_server_that_answers_now_and_then_is_unsteady() -> None:
    answers = [http(b"{}"), http(b"{}"), b"nonsense\r\n\r\n", http(b"{}"), http(b"{}")]
    with Peer(lambda connection, _: connection.sendall(answers.pop(0))) as peer:
        report = look(peer.url, count=4)

    assert (report.verdict, len(report.answered)) == ("unsteady", 3)


# --- our own rate limit -----------------------------------------------------------------------------------------------


@pytest.mark.row("O5")
def test_used_part_of_our_limit_is_read_without_using_any(settings: Settings, redis_url: str) -> None:
    pace = Pace(settings.rate_limit, redis_url=redis_url)
    for _ in range(20):
        pace.wait_for_turn()
    readings = [read_window(settings).used or 0 for _ in range(5)]

    assert 1 <= readings[0] <= 20
    assert readings == sorted(readings, reverse=True)


@pytest.mark.row("O5")
def test_limit_that_nobody_uses_is_unused(settings: Settings) -> None:
    window = read_window(settings)

    assert (window.limit, window.used, window.note) == (100, 0, None)


@pytest.mark.row("O5")
def test_without_redis_the_limit_is_told_and_its_use_unknown(closed_port: int) -> None:
    nowhere = read_window(settings_for("http://127.0.0.1"))
    away = read_window(settings_for("http://127.0.0.1", REDIS_URL=f"redis://:SECRETCANARY@127.0.0.1:{closed_port}/0"))

    assert (nowhere.limit, nowhere.used, away.limit, away.used) == (100, None, 100, None)
    assert (nowhere.note or "").startswith("REDIS_URL is not set")
    assert (away.note or "").startswith("Redis is away")


# --- customer.io's own rate limit -------------------------------------------------------------------------------------


@pytest.mark.row("O5")
def test_probe_makes_a_bounded_number_of_calls_that_create_nobody(fake: FakeCustomerIO) -> None:
    settings = settings_for(fake.url, CIO_RATE_LIMIT="30")
    probe = probe_limit(settings, timeout=timedelta(seconds=5))
    paths = {(entry["method"], entry["path"]) for entry in fake.ledger.entries()}

    assert (probe.requests, probe.statuses, probe.limited_after, fake.ledger.count()) == (30, {"200": 30}, None, 30)
    assert paths == {("PUT", f"/api/v1/customers/{PROBE_PERSON}")}
    assert fake.people.count() == 0


@pytest.mark.row("O5")
def test_probe_stops_at_the_first_refusal_and_tells_what_was_asked(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(error_rate=0.2, error_status=429, retry_after="7", seed=1)
    told = probe_limit(settings_for(fake.url), timeout=timedelta(seconds=5)).shown()

    assert 1 <= told["limitedAfter"] <= told["requests"] < 60
    assert told["retryAfter"] == 7
    assert fake.ledger.count() == told["requests"]


@pytest.mark.row("O5")
def test_probe_of_a_server_that_is_away_gives_up(closed_port: int) -> None:
    probe = probe_limit(settings_for(f"http://127.0.0.1:{closed_port}"), timeout=timedelta(seconds=1))

    assert probe.requests <= 16
    assert probe.statuses.keys() == {"connection_refused"}


@pytest.mark.parametrize(("rate", "size"), [("5", 5), ("1000", 200)])
def test_probe_is_never_larger_than_our_own_limit_or_two_hundred(rate: str, size: int) -> None:
    assert probe_size(settings_for("http://127.0.0.1", CIO_RATE_LIMIT=rate)) == size
