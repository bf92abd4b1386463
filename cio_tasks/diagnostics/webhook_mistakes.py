"""The mistakes that people make when they sign or check a webhook, each as what it does to the bytes."""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")


class Mistake(NamedTuple):
    """One way to go wrong. `told` completes the sentence "the signature fits with"; `advice` is what to do about it."""

    code: str
    told: str
    advice: str


Way = tuple[Mistake | None, T]
"""A value, and the mistake that leads to it; None is the right way."""

RAW_ADVICE: Final = "sign and check the raw bytes of the request, before anything parses them"
SCHEME_ADVICE: Final = "the signed text is v0:<timestamp>:<body>"

# --- what is put before the body --------------------------------------------------------------------------------------

Scheme = Callable[[bytes, bytes], bytes]


def _scheme(code: str, told: str) -> Mistake:
    return Mistake(code, told, SCHEME_ADVICE)


SCHEMES: Final[tuple[Way[Scheme], ...]] = (
    (None, lambda stamp, body: b"v0:" + stamp + b":" + body),
    (_scheme("no_version", "<timestamp>:<body> signed, without v0:"), lambda stamp, body: stamp + b":" + body),
    (_scheme("dot", "<timestamp>.<body> signed, as Stripe does"), lambda stamp, body: stamp + b"." + body),
    (_scheme("body_only", "the body alone signed, without v0:<timestamp>:"), lambda _stamp, body: body),
    (_scheme("dots", "v0.<timestamp>.<body> signed"), lambda stamp, body: b"v0." + stamp + b"." + body),
    (_scheme("no_timestamp", "v0:<body> signed, without the timestamp"), lambda _stamp, body: b"v0:" + body),
    (_scheme("no_separators", "<timestamp><body> signed, with nothing between"), lambda stamp, body: stamp + body),
    (_scheme("v1", "v1: signed for v0:"), lambda stamp, body: b"v1:" + stamp + b":" + body),
    (_scheme("reversed", "v0:<body>:<timestamp> signed"), lambda stamp, body: b"v0:" + body + b":" + stamp),
)
"""How timestamp and body are put together."""

# --- what became of the body ------------------------------------------------------------------------------------------

BOM: Final = b"\xef\xbb\xbf"


def bodies(body: bytes) -> list[Way[bytes]]:
    """Return the body and what else may have been taken for it, each once."""
    return _distinct([(None, body), *_ends(body), *_encodings(body), *_not_bodies(body), *_rewritings(body)])


def _ends(body: bytes) -> Iterator[Way[bytes]]:
    """What editors, `echo` and `git` do to a file."""
    save = "save the body without touching it: an editor or `echo` adds what was not signed"
    yield Mistake("extra_newline", "the last newline of the body left out", save), re.sub(rb"\r?\n\Z", b"", body)
    yield Mistake("missing_newline", "a newline added to the body", save), body + b"\n"
    yield Mistake("missing_crlf", "CRLF added to the body", save), body + b"\r\n"
    yield Mistake("extra_whitespace", "the whitespace around the body left out", save), body.strip()
    yield Mistake("crlf", "LF for every CRLF of the body", save), body.replace(b"\r\n", b"\n")
    bare = body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield Mistake("lf", "CRLF for every LF of the body", save), bare


def _encodings(body: bytes) -> Iterator[Way[bytes]]:
    keep = "treat the body as bytes: it needs no decoding before it is checked"
    yield Mistake("bom", "the byte order mark of the body left out", keep), body.removeprefix(BOM)
    yield Mistake("missing_bom", "a byte order mark before the body", keep), BOM + body
    mojibake = body.decode("latin-1").encode()
    yield Mistake("latin_1", "the body read as Latin-1 and written as UTF-8", keep), mojibake
    try:
        repaired = body.decode().encode("latin-1")
    except UnicodeError:
        return
    yield Mistake("from_latin_1", "the body written as Latin-1", keep), repaired


def _not_bodies(body: bytes) -> Iterator[Way[bytes]]:
    """What a language makes of a body that is no text, or was read already."""
    yield Mistake("empty_body", "an empty body, as when a parser or a middleware has read it already", RAW_ADVICE), b""
    printed = repr(body).encode()
    yield Mistake("python_bytes", "the body as Python prints bytes, b'…'", RAW_ADVICE), printed
    yield Mistake("js_object", "[object Object] for the body", RAW_ADVICE), b"[object Object]"


def _rewritings(body: bytes) -> Iterator[Way[bytes]]:
    """The body as JSON that was parsed and written again."""
    try:
        document = json.loads(body.decode("utf-8-sig"))
        yield from [(_rewritten(code, how), write(document).encode()) for code, how, write in WRITERS]
    except (ValueError, RecursionError):
        return


def _rewritten(code: str, how: str) -> Mistake:
    return Mistake(code, f"the JSON parsed and written again {how}", RAW_ADVICE)


def _writer(**options: Any) -> Callable[[Any], str]:
    return lambda document: json.dumps(document, **options)


COMPACT: Final = (",", ":")
WRITERS: Final[tuple[tuple[str, str, Callable[[Any], str]], ...]] = (
    ("compact", "compactly, as JSON.stringify does", _writer(separators=COMPACT, ensure_ascii=False)),
    ("compact_ascii", "compactly and in ASCII", _writer(separators=COMPACT)),
    ("spaced", "with spaces, as Python's json.dumps does", _writer()),
    ("spaced_utf8", "with spaces", _writer(ensure_ascii=False)),
    ("sorted", "compactly with its keys sorted", _writer(separators=COMPACT, sort_keys=True, ensure_ascii=False)),
    ("sorted_ascii", "compactly, in ASCII, with its keys sorted", _writer(separators=COMPACT, sort_keys=True)),
    ("sorted_spaced", "with spaces and its keys sorted", _writer(sort_keys=True)),
    ("indented_2", "indented by 2", _writer(indent=2, ensure_ascii=False)),
    ("indented_2_ascii", "indented by 2 and in ASCII", _writer(indent=2)),
    ("indented_4", "indented by 4", _writer(indent=4, ensure_ascii=False)),
    ("indented_4_ascii", "indented by 4 and in ASCII", _writer(indent=4)),
    ("jq", "as jq does", lambda document: json.dumps(document, indent=2, ensure_ascii=False) + "\n"),
    ("php", "as PHP's json_encode does", lambda document: _writer(separators=COMPACT)(document).replace("/", r"\/")),
    ("python_dict", "as Python prints a dictionary", str),
)

# --- what was taken for the secret ------------------------------------------------------------------------------------


def keys(secrets: Sequence[str], others: Mapping[str, str]) -> list[Way[bytes]]:
    """Return the secrets and what else may have been taken for one; `others` are credentials by their names."""
    ways: list[Way[bytes]] = [(None, secret.encode()) for secret in secrets]
    for secret in secrets:
        ways += [*_spoilt(secret), *_decoded(secret)]
    ways += [(_other(name), value.encode()) for name, value in others.items() if value]
    if len(secrets) > 1:
        whole = "both secrets, and the comma between them, taken for one"
        ways.append((Mistake("joined_secrets", whole, "split the setting at the comma"), ",".join(secrets).encode()))
    return _distinct([*ways, *_no_secrets()])


def _spoilt(secret: str) -> Iterator[Way[bytes]]:
    strip = "strip what you read from the file or the environment"
    for code, end in (("newline", "\n"), ("CRLF", "\r\n"), ("space", " ")):
        yield Mistake("secret_whitespace", f"a {code} after the secret", strip), f"{secret}{end}".encode()
    yield Mistake("secret_whitespace", "a space before the secret", strip), f" {secret}".encode()
    for quote in ('"', "'"):
        yield Mistake("secret_quoted", f"{quote} around the secret", strip), f"{quote}{secret}{quote}".encode()
        yield Mistake("secret_unquoted", f"the {quote} around the secret left out", strip), secret.strip(quote).encode()
    copy = "copy the signing key again, as it is"
    yield Mistake("secret_upper", "the secret in upper case", copy), secret.upper().encode()
    yield Mistake("secret_lower", "the secret in lower case", copy), secret.lower().encode()


def _decoded(secret: str) -> Iterator[Way[bytes]]:
    text = "the signing key is a text: use its characters as they are"
    for name, decode in (("hex", bytes.fromhex), ("base64", _from_base64)):
        try:
            yield Mistake(f"secret_{name}", f"the secret decoded from {name}", text), decode(secret)
        except ValueError:
            continue


def _other(name: str) -> Mistake:
    return Mistake(
        "other_secret",
        f"{name} for the secret",
        "the signing key stands on the page of the webhook, beside its address",
    )


def _no_secrets() -> Iterator[Way[bytes]]:
    unset = "the other side has no secret set; anybody can sign so"
    yield Mistake("empty_secret", "an empty secret", unset), b""
    for word in ("None", "undefined", "null"):
        yield Mistake("no_secret", f"the word {word} for the secret", unset), word.encode()


# --- what was taken for the timestamp ---------------------------------------------------------------------------------


def stamps(timestamp: str, body: bytes) -> list[Way[bytes]]:
    """Return the timestamp and what else may have been signed for it."""
    header = "the timestamp to sign is the header's, as it came"
    ways: list[Way[bytes]] = [(None, _raw(timestamp))]
    for code, told, value in (
        ("stamp_whitespace", "the whitespace around the timestamp left out", timestamp.strip()),
        ("milliseconds", "the timestamp in seconds", _whole(timestamp, 1 / 1000)),
        ("signed_milliseconds", "the timestamp in milliseconds", _whole(timestamp, 1000)),
        ("fraction", "the fraction of the timestamp left out", _whole(timestamp, 1)),
        ("iso", "the timestamp in unix seconds", _from_iso(timestamp)),
        ("event_time", "the timestamp of the event for the header's", _event_time(body)),
    ):
        ways += [(Mistake(code, told, header), _raw(value))] if value else []
    return _distinct(ways)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _whole(text: str, factor: float) -> str | None:
    """Return a number of at most 20 characters, times `factor`, without what comes after the point."""
    plain = re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,5})?", text.strip(), re.ASCII)
    return str(int(float(plain[0]) * factor)) if plain else None


def _from_iso(text: str) -> str | None:
    try:
        return str(int(datetime.fromisoformat(text.strip()).timestamp()))
    except (ValueError, OverflowError):
        return None


def _event_time(body: bytes) -> str | None:
    found = re.search(rb'"timestamp"\s*:\s*([0-9]{1,15})\b', body)
    return found[1].decode() if found else None


# --- what was made of it ----------------------------------------------------------------------------------------------

Digest = Callable[[bytes, bytes], bytes]
HASHES: Final = {16: "MD5", 20: "SHA1", 28: "SHA224", 48: "SHA384", 64: "SHA512"}
"""Other hashes than SHA-256, by the number of their bytes."""
HASH_ADVICE: Final = "the signature is the lower-case hex of HMAC-SHA256, keyed with the secret"


def digests(length: int) -> tuple[list[Way[Digest]], list[Mistake]]:
    """Return what may have made a digest of so many bytes, and the mistake that its length alone gives away."""
    if length in HASHES:
        name = HASHES[length]
        return [(None, _hmac(name.lower()))], [Mistake("hash", f"{name} for the hash", HASH_ADVICE)]
    if length != hashlib.sha256().digest_size:
        return [], []
    plain = Mistake("no_hmac", "plain SHA-256 of secret and text, no HMAC", HASH_ADVICE)
    turned = Mistake("key_and_text", "secret and text exchanged in the HMAC", HASH_ADVICE)
    return [
        (None, _hmac("sha256")),
        (turned, lambda key, text: hmac.digest(text, key, "sha256")),
        (plain, lambda key, text: hashlib.sha256(key + text).digest()),
    ], []


def _hmac(name: str) -> Digest:
    return lambda key, text: hmac.digest(key, text, name)


# --- how the signature is written -------------------------------------------------------------------------------------

PREFIX: Final = re.compile(r"(?:v[01]|(?:hmac-?)?sha-?(?:1|256|512))[=:,]", re.IGNORECASE)


def undress(signature: str) -> tuple[bytes | None, list[Mistake]]:
    """Return the digest that a signature writes down, in whatever way, and the mistakes in how it is written."""
    plain, mistakes = signature.strip().strip("\"'"), []
    if plain != signature:
        mistakes.append(_written("signature_whitespace", "whitespace or quotes around the signature"))
    bare = PREFIX.sub("", plain, count=1) if PREFIX.match(plain) else plain
    if bare != plain:
        mistakes.append(_written("signature_prefix", "a prefix before the signature"))
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", bare):
        upper = [_written("upper_case", "the hex in upper case")] if bare != bare.lower() else []
        return bytes.fromhex(bare), mistakes + upper
    return _undress_base64(bare, mistakes)


def _undress_base64(text: str, mistakes: list[Mistake]) -> tuple[bytes | None, list[Mistake]]:
    try:
        digest = _from_base64(text)
    except ValueError:
        return None, mistakes
    if re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", digest):
        return bytes.fromhex(digest.decode()), [*mistakes, _written("base64_of_hex", "the hex put into base64")]
    return digest, [*mistakes, _written("base64", "base64 for the hex")]


def _written(code: str, told: str) -> Mistake:
    return Mistake(code, told, HASH_ADVICE)


def _from_base64(text: str) -> bytes:
    """Decode either alphabet, padded or not.

    Raises:
        ValueError: when it is neither.
    """
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError from error


def _distinct(ways: Iterable[Way[bytes]]) -> list[Way[bytes]]:
    """Keep the first of the ways that come to the same."""
    kept: dict[bytes, Mistake | None] = {}
    for mistake, value in ways:
        kept.setdefault(value, mistake)
    return [(mistake, value) for value, mistake in kept.items()]
