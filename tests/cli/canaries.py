"""What no command may print: a secret in any spelling in which it could slip through, and an address that is whole."""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from tests.cli.conftest import Answer

SHOWN_ENDS = slice(4, -2)
"""A secret may be shown by its ends; what lies between them never."""
WHOLE_ADDRESS = re.compile(r"[\w.+-]+(?:@|%40|\\u0040|&#64;)[A-Za-z0-9-]+\.[A-Za-z]{2,}", re.ASCII)


def spellings(secret: str) -> set[str]:
    """Return the hidden part of a secret as text, for addresses, in hex, and in base64 wherever in a text it begins."""
    core = secret[SHOWN_ENDS]
    raw = core.encode()
    return {core, quote(core, safe=""), quote_plus(core), raw.hex(), raw.hex().upper(), *_in_base64(raw)}


def leaks(answer: Answer, *secrets: str) -> list[str]:
    """Return which secrets, and what that looks like an address, a run has printed."""
    told = answer.out + answer.err
    addresses = WHOLE_ADDRESS.findall(told)
    return addresses + [secret for secret in secrets if any(spelling in told for spelling in spellings(secret))]


def _in_base64(raw: bytes) -> Iterator[str]:
    """Yield the characters that stay the same whatever stands before and after: those of whole groups of three bytes."""
    for before in range(3):
        whole = (before + len(raw)) // 3 * 4
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + raw).decode()[4 if before else 0 : whole]
