"""A list that comes in pages: read until it ends, or until as much was read as was asked for, or the time is over."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Generic, TypeVar

from cio_tasks.customerio.app_answers import Document, Failure, Listing
from cio_tasks.customerio.app_values import as_list

EMPTY_PAGES: Final = 2
"""After so many empty pages in a row the list has ended, although there is a token for more (tap-customerio)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Generic[T]):
    """What to read of a list: the entries under `key` as `read` makes them, each `identity` once.

    At most `limit` entries, in pages of at most `page_size`, and no new page once `within` is over.
    """

    key: str
    read: Callable[[object], T | None]
    identity: Callable[[T], str | None]
    limit: int
    page_size: int
    within: timedelta


@dataclass
class _Progress(Generic[T]):
    items: list[T] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    unreadable: int = 0
    requests: int = 0
    empty_pages: int = 0

    def listing(self, left_out: str | None) -> Listing[T]:
        return Listing(tuple(self.items), left_out, self.unreadable, self.requests)


def read_pages(
    ask: Callable[[dict[str, str | int]], Document | Failure],
    wanted: Wanted[T],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Listing[T] | Failure:
    """Return what there is of the list. A page that fails ends it, and is a failure of the whole only if it is the first.

    `ask` gets `limit` and `start` (AppOAS: `next` of a page is `start` of the one after it).
    """
    until = clock() + wanted.within.total_seconds()
    progress: _Progress[T] = _Progress()
    token = ""
    while True:
        document = _ask_page(ask, {"limit": wanted.page_size, **({"start": token} if token else {})}, until, clock)
        if isinstance(document, Failure):
            return progress.listing(document.trouble.value) if progress.requests else document
        whole = _take(progress, as_list(document.get(wanted.key)), wanted)
        following = document.get("next")
        token = following if isinstance(following, str) else ""
        left_out = _reason_to_stop(progress, wanted, token, whole=whole, late=clock() >= until)
        if left_out is not None or not _goes_on(progress, token):
            return progress.listing(left_out)
        progress.tokens.add(token)


def _ask_page(
    ask: Callable[[dict[str, str | int]], Document | Failure],
    page: dict[str, str | int],
    until: float,
    clock: Callable[[], float],
) -> Document | Failure:
    """Ask for a page, and wait as a 429 asks for if that ends in time: others share the ten requests a second."""
    while True:
        document = ask(page)
        wait = document.retry_after if isinstance(document, Failure) else None
        if wait is None or clock() + wait.total_seconds() >= until:
            return document
        time.sleep(wait.total_seconds())


def _take(progress: _Progress[T], entries: list[object], wanted: Wanted[T]) -> bool:
    """Add the entries of one page, and return whether there was room for all of them."""
    progress.requests += 1
    progress.empty_pages = 0 if entries else progress.empty_pages + 1
    for item in _new_items(progress, entries, wanted):
        if len(progress.items) == wanted.limit:
            return False
        progress.items.append(item)
    return True


def _new_items(progress: _Progress[T], entries: list[object], wanted: Wanted[T]) -> Iterator[T]:
    for entry in entries:
        item = wanted.read(entry)
        if item is None:
            progress.unreadable += 1
            continue
        identity = wanted.identity(item)
        if not identity or identity not in progress.seen:
            progress.seen.add(identity or "")
            yield item


def _reason_to_stop(progress: _Progress[T], wanted: Wanted[T], token: str, *, whole: bool, late: bool) -> str | None:
    """Return why the rest of the list is left out, or None when it goes on or has ended."""
    if not whole or (len(progress.items) == wanted.limit and _goes_on(progress, token)):
        return "limit"
    if token and token in progress.tokens:
        return "loop"
    return "time" if late and _goes_on(progress, token) else None


def _goes_on(progress: _Progress[T], token: str) -> bool:
    return bool(token) and progress.empty_pages < EMPTY_PAGES
