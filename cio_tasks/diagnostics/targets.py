"""What the network is measured against: the addresses of the settings, each with a read that changes nothing there."""

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

import requests
from requests.utils import select_proxy

from cio_tasks.customerio.client import REGION_PATH
from cio_tasks.customerio.transport import Anonymous, Auth, Bearer
from cio_tasks.diagnostics.credentials import WORKSPACES_PATH
from cio_tasks.diagnostics.requests import track_auth
from cio_tasks.settings import Settings

Name = Literal["track", "app", "status"]
NAMES: Final[tuple[Name, ...]] = ("track", "app", "status")
STATUS_PATH: Final = "/api/v2/status.json"


@dataclass(frozen=True, slots=True)
class Target:
    """One server and the question that it is asked. Holds credentials.

    `is_needed` tells whether deliveries or what was asked for depend on it; `setting` names what decides the address.
    """

    name: Name
    setting: str
    url: str
    path: str
    auth: Auth
    is_needed: bool

    @property
    def host(self) -> str:
        """The name or the IP address of the server, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port of the server."""
        port = urlsplit(self.url).port
        return (443 if self.is_https else 80) if port is None else port

    @property
    def is_https(self) -> bool:
        """Whether TLS is spoken with it."""
        return urlsplit(self.url).scheme == "https"

    @property
    def expects_401(self) -> bool:
        """Whether the question needs credentials and has none: being refused is then all that can be hoped for."""
        return isinstance(self.auth, Anonymous) and self.name != "status"

    def surroundings(self) -> tuple[str | None, bool]:
        """Return which authorities the client trusts here (None: the usual ones), and whether it goes through a proxy.

        Both come from the environment, as `requests` reads it for every call.
        """
        with requests.Session() as session:
            merged = session.merge_environment_settings(self.url, {}, stream=False, verify=None, cert=None)
        verify = merged["verify"]
        return verify if isinstance(verify, str) else None, bool(select_proxy(self.url, merged["proxies"]))


def list_targets(settings: Settings, names: tuple[Name, ...] = ()) -> list[Target]:
    """Return the targets of these names, all of which are then needed; by default every one of the settings."""
    app_key = settings.customerio_app_api_key
    app_auth: Auth = Bearer(app_key.get_secret_value()) if app_key else Anonymous()
    status = settings.customerio_status_url.rstrip("/")
    every = (
        Target("track", "CUSTOMERIO_TRACK_URL", settings.track_url, REGION_PATH, track_auth(settings), is_needed=True),
        Target(
            "app", "CUSTOMERIO_APP_URL", settings.app_url, WORKSPACES_PATH, app_auth, is_needed=bool(names or app_key)
        ),
        Target("status", "CUSTOMERIO_STATUS_URL", status, STATUS_PATH, Anonymous(), is_needed=bool(names)),
    )
    return [target for target in every if not names or target.name in names]
