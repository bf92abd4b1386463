"""The handshake and the certificate of one server, with the trust that the client has."""

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

IGNORE_DATES: Final = ssl.VerifyFlags(0x200000)
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for."""
PROBLEMS: Final = {
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    18: "certificate_self_signed",
    19: "certificate_self_signed",
    20: "certificate_untrusted",
    62: "certificate_wrong_name",
    64: "certificate_wrong_name",
}
"""By OpenSSL's X509_V_ERR numbers."""
PLAIN_SPEECH: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server shows of itself."""

    not_after: datetime
    issuer: str
    names: tuple[str, ...]

    def days_left(self, now: datetime) -> int:
        """Return the whole days until it ends; negative once it has."""
        return (self.not_after - now).days


@dataclass(frozen=True, slots=True)
class Handshake:
    """How the handshake went. `problem` is a stable word for why it failed; the certificate may be known all the same."""

    version: str | None = None
    cipher: str | None = None
    certificate: Certificate | None = None
    problem: str | None = None


def shake_hands(host: str, address: str, port: int, *, authorities: str | None, timeout: timedelta) -> Handshake:
    """Speak TLS with `address` as `host`, say nothing more, and return what was agreed and shown.

    `authorities` is a file or folder of certificates to trust instead of the usual ones. Each step takes at most
    `timeout`.
    """
    try:
        with (
            _connect(address, port, timeout) as plain,
            _trusting(authorities).wrap_socket(plain, server_hostname=host) as tls,
        ):
            cipher = tls.cipher()
            return Handshake(tls.version(), cipher[0] if cipher else None, _read(tls.getpeercert()))
    except ssl.SSLCertVerificationError as error:
        problem = PROBLEMS.get(error.verify_code, "certificate_untrusted")
        return Handshake(certificate=_read_untrusted(host, address, port, timeout), problem=problem)
    except (ssl.SSLError, OSError) as error:
        return Handshake(problem=_name(error))


def _connect(address: str, port: int, timeout: timedelta) -> socket.socket:
    return socket.create_connection((address, port), timeout.total_seconds())


def _trusting(authorities: str | None) -> ssl.SSLContext:
    context = create_urllib3_context()
    path = authorities or DEFAULT_CA_BUNDLE_PATH
    context.load_verify_locations(**{"capath" if Path(path).is_dir() else "cafile": path})
    return context


def _name(error: OSError) -> str:
    match error:
        case TimeoutError():
            return "tls_timeout"
        case ssl.SSLEOFError() | ConnectionError():
            return "tls_reset"
        case ssl.SSLError(reason=reason) if reason in PLAIN_SPEECH:
            return "tls_not_spoken"
    return "tls_failed"


def _read_untrusted(host: str, address: str, port: int, timeout: timedelta) -> Certificate | None:
    """Return the certificate that was not trusted, for its dates, or None when it is not to be had again.

    It is fetched by itself, over a connection on which nothing is said. `ssl` reads only what it has verified, so one
    more handshake trusts this single certificate and nobody else, whatever its name and dates. Nothing is said there
    either: no credentials ever meet a server that cannot prove who it is.
    """
    only = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    only.check_hostname = False
    only.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN | IGNORE_DATES
    try:
        only.load_verify_locations(cadata=ssl.get_server_certificate((host, port), timeout=timeout.total_seconds()))
        with _connect(address, port, timeout) as plain, only.wrap_socket(plain, server_hostname=host) as tls:
            return _read(tls.getpeercert())
    except OSError:
        return None


def _read(shown: dict[str, Any] | None) -> Certificate | None:
    """Return a certificate as `ssl` gives it: times as text, names as nested pairs."""
    if not shown or "notAfter" not in shown:
        return None
    not_after = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
    names = tuple(str(value) for _, value in shown.get("subjectAltName", ()))
    return Certificate(not_after, _issuer(shown.get("issuer", ())), names)


def _issuer(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Return who issued a certificate, as organisation and common name."""
    named = dict(pair for part in parts for pair in part)
    words = [named[kind] for kind in ("organizationName", "commonName") if kind in named]
    return ", ".join(dict.fromkeys(words)) or "unnamed"
