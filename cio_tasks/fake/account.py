"""The workspace's credentials, one pair for the Track API and one key for the App API, and its region."""

import base64
import binascii
import hmac
from typing import Literal

Region = Literal["us", "eu"]

TRACK_URLS: dict[Region, str] = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
APP_URLS: dict[Region, str] = {"us": "https://api.customer.io", "eu": "https://api-eu.customer.io"}
OTHER: dict[Region, Region] = {"us": "eu", "eu": "us"}
ENVIRONMENT_ID = 123456


class Account:
    """One workspace; its credentials may be rotated while the server runs, and none opens the other API's door."""

    def __init__(self, site_id: str, api_key: str, region: Region = "us", app_api_key: str = "app-key") -> None:
        self.region = region
        self.rotate(site_id, api_key)
        self.rotate_app(app_api_key)

    def rotate(self, site_id: str, api_key: str) -> None:
        """Accept only these credentials from the next request on."""
        self._credentials = f"{site_id}:{api_key}"

    def accepts(self, authorization: str | None) -> bool:
        """Tell whether an `Authorization` header holds the credentials (Basic, site id and key; source: TrackOAS)."""
        given = _decoded(authorization)
        return given is not None and hmac.compare_digest(given.encode(), self._credentials.encode())

    def rotate_app(self, app_api_key: str) -> None:
        """Accept only this App API key from the next request on."""
        self._app_api_key = app_api_key

    def accepts_app(self, authorization: str | None) -> bool:
        """Tell whether an `Authorization` header holds the App API key (Bearer; source: AppOAS)."""
        scheme, _, key = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(key.encode(), self._app_api_key.encode())


def user_of(authorization: str | None) -> str | None:
    """Return the user of a Basic `Authorization` header, right or wrong, or None."""
    given = _decoded(authorization)
    return None if given is None else given.partition(":")[0]


def _decoded(authorization: str | None) -> str | None:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def region_document(region: Region) -> dict[str, str | int]:
    """Return the body of `GET /api/v1/accounts/region`: exactly these three fields (source: TrackOAS, getRegion)."""
    return {"url": TRACK_URLS[region], "region": region, "environment_id": ENVIRONMENT_ID}
