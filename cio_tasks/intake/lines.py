"""The lines of a file, one at a time and in little memory, whatever is in it."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

LONGEST_LINE: Final = 64_000
"""Bytes; no line that keeps the rules comes near."""
BUFFER: Final = LONGEST_LINE + 2
"""Enough for the longest line and its end."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number from 1, its text without the end, and what makes it unreadable, if anything does."""

    number: int
    text: str
    fault: str | None
    is_cut_off: bool
    """The file ends without an end of this line."""
    read: int
    """Bytes of the file read so far, this line included."""


def read_lines(file: IO[bytes]) -> Iterator[Line]:
    """Yield the lines of `file` that are not blank; LF and CRLF end a line, and a byte-order mark is dropped.

    Of a line longer than 64,000 bytes nothing is kept but the fault.
    """
    number = read = 0
    while raw := file.readline(BUFFER):
        number += 1
        is_ended = raw.endswith(b"\n")
        rest = 0 if is_ended or len(raw) < BUFFER else _skip_line(file)
        read += len(raw) + rest
        content = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        content = content.removesuffix(b"\n").removesuffix(b"\r")
        if content.strip():
            text, fault = _decode(content)
            yield Line(number, text, fault, is_cut_off=not is_ended and not rest, read=read)


def _skip_line(file: IO[bytes]) -> int:
    """Read to the end of the line, and return how many bytes that took."""
    skipped = 0
    while piece := file.readline(BUFFER):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _decode(content: bytes) -> tuple[str, str | None]:
    """Return the text of a line, or why there is none."""
    if len(content) > LONGEST_LINE:
        return "", f"is longer than {LONGEST_LINE} bytes"
    if b"\0" in content:
        return "", "holds a NUL byte"
    try:
        return content.decode(), None
    except UnicodeDecodeError:
        return "", "is not UTF-8"
