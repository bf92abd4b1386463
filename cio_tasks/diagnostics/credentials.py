"""Do the credentials work, and if not, which mistake is it? Only reads: `GET /api/v1/accounts/region` writes nothing.

One call when they work, and one more for the App API's key when there is one. When they are refused, the other region is
asked, and once more with the two credentials swapped: both look alike, so nothing but the answer can tell.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from cio_tasks.customerio.calls import Call
from cio_tasks.customerio.client import REGION_PATH
from cio_tasks.customerio.replies import read_reply
from cio_tasks.customerio.transport import Auth, Bearer, Reply, Transport
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.requests import USER_AGENT, Exchange, make, prepare, read_document, track_auth
from cio_tasks.findings import Finding, Severity, worst_first
from cio_tasks.outcomes import REDIRECTED, UNAUTHORIZED, Delivered, Outcome, Rejected
from cio_tasks.settings import TRACK_URLS, Settings

WORKSPACES_PATH: Final = "/v1/workspaces"
"""The cheapest read of the App API that needs a key (AppOAS, listWorkspaces)."""
REGION_CALL: Final = Call("GET", REGION_PATH)
OTHER: Final = {"us": "eu", "eu": "us"}
LONGEST_TRACK_CREDENTIAL: Final = 24
"""Track ids and keys have 20 characters; an App API key is longer. Seen, not documented: it makes a hint, no verdict."""


@dataclass(frozen=True, slots=True)
class CredentialsReport:
    """What was found out. `region` and `workspace` are the account's own words, None when it did not answer."""

    exchange: Exchange
    region: str | None = None
    workspace: int | None = None
    app: Outcome | None = None
    findings: list[Finding] = field(default_factory=list)

    def shown(self, settings: Settings, mask: Mask) -> dict[str, Any]:
        """Return the shape for scripts, masked."""
        secret = settings.customerio_site_id
        return {
            **self.exchange.shown(mask, site_id=None if secret is None else secret.get_secret_value()),
            "region": {"configured": settings.customerio_region, "account": self.region},
            "workspaceId": self.workspace,
            "appApi": None if self.app is None else {"accepted": isinstance(self.app, Delivered)},
            "issues": [finding.as_issue for finding in self.findings],
        }


def prepare_region(settings: Settings, *, timeout: timedelta) -> Exchange:
    """Return the request that asks for the account's region, not yet sent."""
    return prepare(_transport(settings.track_url, track_auth(settings), timeout), REGION_CALL)


def check_credentials(settings: Settings, *, timeout: timedelta, other_url: str | None = None) -> CredentialsReport:
    """Ask for the account's region and say what is wrong when the answer is not the one hoped for.

    `other_url` is where the other region is asked; by default Customer.io's own, and nowhere when the settings name an
    address of somebody else's, which must not make us send credentials elsewhere.
    """
    transport = _transport(settings.track_url, track_auth(settings), timeout)
    exchange = make(transport, prepare(transport, REGION_CALL), timeout=timeout)
    document = read_document(exchange.reply) if exchange.reply else None
    account = document if isinstance(document, dict) and isinstance(exchange.outcome, Delivered) else {}
    region, workspace = _text(account.get("region")), account.get("environment_id")
    findings = [*_region_findings(settings, exchange, region)]
    if isinstance(exchange.outcome, Rejected) and exchange.outcome.code == UNAUTHORIZED:
        findings += [*_mistakes(settings, timeout, other_url or other_track_url(settings)), *_shape_findings(settings)]
    app = _ask_app_api(settings, timeout)
    findings += _app_findings(app)
    workspace = workspace if isinstance(workspace, int) else None
    return CredentialsReport(exchange, region, workspace, app, worst_first(findings))


def other_track_url(settings: Settings) -> str | None:
    """Return the Track API's address in the other region, or None when the one in use is not Customer.io's own."""
    region = next((region for region, url in TRACK_URLS.items() if url == settings.track_url), None)
    return None if region is None else TRACK_URLS[OTHER[region]]


def _transport(url: str, auth: Auth, timeout: timedelta) -> Transport:
    return Transport(url, auth=auth, total=timeout, user_agent=USER_AGENT)


# --- the region -------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _region_findings(settings: Settings, exchange: Exchange, region: str | None) -> Iterator[Finding]:
    match exchange.outcome:
        case Delivered() if region not in TRACK_URLS:
            yield _high(
                "not_customerio",
                "the answer names no region, so it is not Customer.io's",
                "check CUSTOMERIO_TRACK_URL, and what stands between: ciosync network",
            )
        case Delivered() if region != settings.customerio_region:
            yield _high(
                "region_mismatch",
                f"the account lives in {region}, CUSTOMERIO_REGION says {settings.customerio_region}: "
                "data takes a detour, and the App API refuses its key",
                f"set CUSTOMERIO_REGION={region}",
            )
        case Rejected(code=code) if code == REDIRECTED and exchange.reply:
            yield _redirect_finding(settings, exchange.reply)


def _redirect_finding(settings: Settings, reply: Reply) -> Finding:
    host = urlsplit(reply.headers.get("location", "")).hostname
    region = next((region for region, url in TRACK_URLS.items() if urlsplit(url).hostname == host), None)
    if region is None or region == settings.customerio_region:
        message = "the answer is a redirect to another place, and calls do not follow"
        return _high("redirected", message, "check CUSTOMERIO_TRACK_URL: ciosync config show --origin")
    return _wrong_region(region, "it was redirected there")


def _wrong_region(region: str, because: str) -> Finding:
    message = f"the account lives in the other region, {region}: {because}"
    return _high("wrong_region", message, f"set CUSTOMERIO_REGION={region}")


# --- credentials that are refused -------------------------------------------------------------------------------------


def _mistakes(settings: Settings, timeout: timedelta, other_url: str | None) -> Iterator[Finding]:
    """Yield the mistake that explains a 401, found by asking again in another way; or where to look for it."""
    auth = track_auth(settings)
    if other_url is not None and _accepts(other_url, auth, timeout):
        yield _wrong_region(OTHER[settings.customerio_region], "there these credentials are accepted")
    elif isinstance(auth, tuple) and _accepts(settings.track_url, (auth[1], auth[0]), timeout):
        message = "CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY are swapped: the other way round they are accepted"
        yield _high("credentials_swapped", message, "swap the two values")
    else:
        asked = "in both regions" if other_url is not None else "here, and no other region was asked"
        message = f"the credentials are refused {asked}"
        yield _high("credentials_rejected", message, "copy both again from the workspace: Settings, API credentials")


def _accepts(url: str, auth: Auth, timeout: timedelta) -> bool:
    return isinstance(read_reply(_transport(url, auth, timeout).send("GET", REGION_PATH), size=0).outcome, Delivered)


def _shape_findings(settings: Settings) -> Iterator[Finding]:
    """Yield what the credentials look like that they should not; spaces at their ends are cut off when they are read."""
    site_id, api_key = _plain(settings.customerio_site_id), _plain(settings.customerio_api_key)
    for name, value in (("CUSTOMERIO_SITE_ID", site_id), ("CUSTOMERIO_API_KEY", api_key)):
        if value[:1] in {"'", '"'} or value[-1:] in {"'", '"'}:
            yield _medium(
                "quoted_credential", f"{name} has a quotation mark around it", "leave the quotation marks out"
            )
        if any(character.isspace() or not character.isprintable() for character in value):
            yield _medium("space_in_credential", f"{name} has a space or a line break in it", "copy it again")
        if len(value) > LONGEST_TRACK_CREDENTIAL:
            message = f"{name} has {len(value)} characters, like a key of the App API; the Track API's have 20"
            yield _medium("looks_like_app_key", message, "take the Track API's site id and key")
    if site_id and site_id == api_key:
        yield _medium("same_credential", "CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY are the same", "copy both again")
    if api_key and api_key == _plain(settings.customerio_app_api_key):
        message = "CUSTOMERIO_API_KEY and CUSTOMERIO_APP_API_KEY are the same, and are never"
        yield _medium("app_key_as_track_key", message, "take the Track API's key for CUSTOMERIO_API_KEY")


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


# --- the App API's key ------------------------------------------------------------------------------------------------


def _ask_app_api(settings: Settings, timeout: timedelta) -> Outcome | None:
    if settings.customerio_app_api_key is None:
        return None
    auth = Bearer(settings.customerio_app_api_key.get_secret_value())
    return read_reply(_transport(settings.app_url, auth, timeout).send("GET", WORKSPACES_PATH), size=0).outcome


def _app_findings(outcome: Outcome | None) -> Iterator[Finding]:
    match outcome:
        case None:
            message = "CUSTOMERIO_APP_API_KEY is not set: what needs the App API says so and leaves that out"
            yield Finding(Severity.LOW, "no_app_key", message, "set it to look up people, campaigns and suppression")
        case Delivered():
            return
        case Rejected(http_status=HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN):
            message = (
                f"the App API refuses CUSTOMERIO_APP_API_KEY ({outcome.http_status}), or is the one of another region"
            )
            yield _high(
                "app_key_rejected", message, "check the key, its scope and its allowed addresses, and the region"
            )
        case _:
            message = f"the App API did not answer as it should ({outcome.code})"
            yield _medium("app_api_unavailable", message, "ciosync network --host app")


def _high(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.HIGH, code, message, what_next)


def _medium(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.MEDIUM, code, message, what_next)
