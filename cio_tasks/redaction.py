"""What may be shown. Logs, stored error texts, the CLI, the API and the pages all use this one redactor (rule 11)."""

import re
from typing import Final

ADDRESS: Final = re.compile(r"[^\s@\"'<>(),;:\\\[\]•…][^\s@\"<>(),;:\\\[\]•…]{0,63}@[^\s\"'<>(),;:\\\[\]•…]+")
CREDENTIALS_IN_URL: Final = re.compile(r"(?<=://)[^/\s]+@")
AUTHORIZATION: Final = re.compile(r"(?i)\b(basic|bearer)(?:\s+(?:basic|bearer))*\s+[a-z0-9+/=._~-]{6,}")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
UNSHOWABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
SHORTEST_HIDDEN: Final = 4
"""A shorter value is in too many words to be hidden in a text."""
SHOWN_TEXT: Final = 500


def mask_email(email: str) -> str:
    """Return an e-mail address with only the first letters of both sides and the top domain: `a•••@ex•••.com`."""
    local, _, domain = email.rpartition("@")
    name, dot, top = domain.rpartition(".")
    return f"{local[:1]}•••@{(name or top)[:2]}•••{dot + top if name else ''}"


def mask_secret(secret: str) -> str:
    """Return a secret by its ends and length, `abcd…9f (40 chars)`; a short one not at all."""
    if len(secret) < 16:  # noqa: PLR2004 - six shown characters of fewer would give too much away
        return f"•••• ({len(secret)} chars)"
    return f"{secret[:4]}…{secret[-2:]} ({len(secret)} chars)"


def redact(text: str, *secrets: str, limit: int = SHOWN_TEXT) -> str:
    """Return `text` as one line of at most `limit` characters, without addresses, credentials or the given secrets.

    Redacting twice changes nothing more.
    """
    line = UNSHOWABLE.sub(" ", text).strip()
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_HIDDEN:
            line = line.replace(secret, "••••")
    line = CREDENTIALS_IN_URL.sub("••••@", line)
    line = AUTHORIZATION.sub(r"\1 ••••", line)
    line = ADDRESS.sub(lambda address: mask_email(address.group()), line)
    return line if len(line) <= limit else line[: limit - 1] + "…"
