"""What of a call may be shown: personal data only when asked for, secrets never."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from cio_tasks.redaction import (
    AUTHORIZATION,
    CREDENTIALS_IN_URL,
    SHORTEST_HIDDEN,
    mask_email,
    mask_secret,
    redact,
)

SHOWN_BODY: Final = 64_000
HIDDEN: Final = "••••"
MASKED: Final = "•••"
NOT_HIDDEN: Final = re.compile(r"[^•]+")
ENCODED_ADDRESS: Final = re.compile(r"(?i)[^\s/\"'<>?&=•]+%40[^\s/\"'<>?&=]+")
SECRET_NAME: Final = re.compile(r"(?i)password|passwd|secret|token|api_?key|authorization|credential|cookie")
NAME: Final = re.compile(r"(?i)(^|_)((first|last|given|family|full|middle|sur)_?)?name$")
PERSONAL: Final = re.compile(r"(?i)email|phone|mobile|birth|street|address|postcode|zip_?code|passport|iban")
ENVELOPE: Final = frozenset({"data", "attributes"})
"""Names beside which others are the API's: the `name` of an event is nobody's."""


@dataclass(frozen=True, slots=True)
class Mask:
    """How one person may see calls: `secrets` are hidden, and personal data too unless it is to be revealed."""

    secrets: tuple[str, ...]
    reveal: bool = False

    def text(self, text: str, *, limit: int = SHOWN_BODY) -> str:
        """Return one line of text; a revealed one is as it was but for the secrets."""
        if self.reveal:
            return self._without_secrets(text)
        return redact(ENCODED_ADDRESS.sub(f"{MASKED}%40{MASKED}", text), *self.secrets, limit=limit)

    def value(self, value: Any, name: str = "") -> Any:
        """Return a JSON value in the same shape, with what is in it masked by what it is called and how it looks."""
        if isinstance(value, dict):
            is_envelope = not ENVELOPE.isdisjoint(value)
            return {self.text(key): self.value(inner, "" if is_envelope else key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner, name) for inner in value]
        if isinstance(value, bool) or value is None:
            return value
        if SECRET_NAME.search(name):
            return HIDDEN
        if not self.reveal and name and (NAME.search(name) or PERSONAL.search(name)) and "@" not in str(value):
            return _mask_personal(str(value), name)
        return self.text(value) if isinstance(value, str) else value

    def url(self, url: str, person: str | None = None) -> str:
        """Return an address, with the person whom its path may name masked like any text."""
        if person is None or self.reveal:
            return self.text(url)
        before, encoded, after = url.partition(f"/{quote(person, safe='')}")
        if not encoded:
            return self.text(url)
        shown = mask_email(person) if "@" in person else self.text(person)
        return f"{self.text(before)}/{NOT_HIDDEN.sub(lambda part: quote(part.group(), safe='@'), shown)}{after}"

    def headers(self, headers: Mapping[str, str], *, site_id: str | None) -> dict[str, str]:
        """Return headers with the credentials masked, by names in lower case."""
        shown = {name.lower(): str(self.value(value, name)) for name, value in headers.items()}
        if site_id and "authorization" in shown:
            shown["authorization"] = f"Basic {mask_secret(site_id)}:{HIDDEN}"
        return shown

    def _without_secrets(self, text: str) -> str:
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= SHORTEST_HIDDEN:
                text = text.replace(secret, HIDDEN)
        return AUTHORIZATION.sub(rf"\1 {HIDDEN}", CREDENTIALS_IN_URL.sub(f"{HIDDEN}@", text))


def _mask_personal(value: str, name: str) -> str:
    """Keep an initial of a name, the last two characters of a number, and nothing of the rest."""
    if NAME.search(name):
        return f"{value[:1]}."
    return f"{MASKED}{value[-2:]}" if re.search(r"(?i)phone|mobile", name) else MASKED
