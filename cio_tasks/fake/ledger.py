"""The book of all requests: written before each answer, so that it also knows what the client never heard."""

import hashlib
import json
import threading
from collections import Counter
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TypedDict

from cio_tasks.fake.calls import Call


class LedgerOperation(TypedDict):
    """One operation of a request; `applied` tells whether it changed anything, `why` why it did not."""

    type: str
    action: str
    person: dict[str, str] | None
    email: str | None
    name: str | None
    event_id: str | None
    timestamp: float | None
    attributes: dict[str, Any]
    applied: bool
    why: str | None


class LedgerAnswer(TypedDict):
    """The planned answer; `status` is None when the client gets none, `errors` are the refusals named in it."""

    status: int | None
    errors: list[dict[str, Any]]
    fault: str | None


class LedgerEntry(TypedDict):
    """One request; `at` is the arrival in unix seconds, `sha256` the digest of its body, `user` that of the Track API."""

    seq: int
    at: float
    method: str
    path: str
    user: str | None
    sha256: str
    bytes: int
    operations: list[LedgerOperation]
    answer: LedgerAnswer


def entry_of(call: Call, answer: LedgerAnswer, operations: list[LedgerOperation], user: str | None) -> LedgerEntry:
    """Return the entry of one request, which gets its number when it is appended."""
    return {
        "seq": 0,
        "at": call.at,
        "method": call.method,
        "path": call.path,
        "user": user,
        "sha256": hashlib.sha256(call.body).hexdigest(),
        "bytes": len(call.body),
        "operations": operations,
        "answer": answer,
    }


class Ledger:
    """Append-only; numbers start at 1 and never repeat, not even after `clear` or in a file used before."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._entries: list[LedgerEntry] = []
        self._by_status: Counter[str] = Counter()
        self._by_fault: Counter[str] = Counter()
        self._last = 0
        self._file: TextIOWrapper | None = None
        if path is not None:
            self._last = _count_lines(path)
            self._file = path.open("a", encoding="utf-8")

    def append(self, entry: LedgerEntry) -> None:
        """Number the entry, keep it, and write it to the file before returning.

        Raises OSError when the file cannot be written.
        """
        with self._lock:
            self._last += 1
            entry["seq"] = self._last
            self._entries.append(entry)
            self._count(entry["answer"])
            if self._file:
                self._file.write(json.dumps(entry, separators=(",", ":")) + "\n")
                self._file.flush()

    def entries(self, since: int = 0, limit: int | None = None) -> list[LedgerEntry]:
        """Return the entries with a number above `since`, oldest first, at most `limit`."""
        with self._lock:
            start = max(since - (self._last - len(self._entries)), 0)
            return self._entries[start : None if limit is None else start + limit]

    def count(self) -> int:
        """Return the number of entries in memory."""
        return len(self._entries)

    def count_by_status(self) -> dict[str, int]:
        """Return the number of requests per planned status; `none` is the requests left without an answer."""
        with self._lock:
            return dict(self._by_status)

    def count_by_fault(self) -> dict[str, int]:
        """Return the number of requests per injected fault."""
        with self._lock:
            return dict(self._by_fault)

    def clear(self) -> None:
        """Forget the entries in memory; the file stays as it is, and the numbers go on."""
        with self._lock:
            self._entries = []
            self._by_status.clear()
            self._by_fault.clear()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file:
            self._file.close()

    def _count(self, answer: LedgerAnswer) -> None:
        self._by_status["none" if answer["status"] is None else str(answer["status"])] += 1
        if answer["fault"]:
            self._by_fault[answer["fault"]] += 1


def _count_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as lines:
        return sum(1 for _ in lines)
