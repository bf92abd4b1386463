"""The workspace's credentials and region."""

import base64
import binascii
import hmac
from typing import Literal

Region = Literal["us", "eu"]

TRACK_URLS: dict[Region, str] = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
OTHER: dict[Region, Region] = {"us": "eu", "eu": "us"}
ENVIRONMENT_ID = 123456


class Account:
    """One workspace with one pair of Track credentials, which may be rotated while the server runs."""

    def __init__(self, site_id: str, api_key: str, region: Region = "us") -> None:
        self.region = region
        self.rotate(site_id, api_key)

    def rotate(self, site_id: str, api_key: str) -> None:
        """Accept only these credentials from the next request on."""
        self._credentials = f"{site_id}:{api_key}"

    def accepts(self, authorization: str | None) -> bool:
        """Tell whether an `Authorization` header holds the credentials (Basic, site id and key; source: TrackOAS)."""
        given = _decoded(authorization)
        return given is not None and hmac.compare_digest(given.encode(), self._credentials.encode())


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
