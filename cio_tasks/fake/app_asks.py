"""A request to the App API and what may be read out of it, a page of a list, and the refusals."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from cio_tasks.fake.calls import Call
from cio_tasks.fake.identifiers import Identifier
from cio_tasks.fake.operations import JsonObject
from cio_tasks.fake.people import People
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.workspace import Workspace

MUST_BE_ENCODED = set("+@&")
"""Written plainly in a path or a query, they make the App API find nothing (source: AppOAS-0926)."""
NOBODY = Identifier("nobody", "")


class Refused(Exception):
    """The App API says no; `plain` is the other error shape, which only the subscription preferences use (AppOAS)."""

    def __init__(self, status: int, detail: str, *, plain: bool = False) -> None:
        self.status, self.detail, self.plain = status, detail, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request and the state that it is answered from."""

    call: Call
    people: People
    workspace: Workspace
    scenario: Scenario

    @property
    def query(self) -> Mapping[str, str]:
        """The query as it was meant; a value with a plain `+`, `@` or `&` in it matches nothing."""
        _, _, query = self.call.path.partition("?")
        plain = {part.partition("=")[0] for part in query.split("&") if MUST_BE_ENCODED & set(part)}
        return {name: "" if name in plain else text for name, text in parse_qsl(query, keep_blank_values=True)}

    def parameter(self, name: str) -> str:
        """Return a part of the path, decoded; one with a plain `+`, `@` or `&` in it matches nothing."""
        text = self.call.parameters[name]
        raw = self.call.path.partition("?")[0]
        return "" if MUST_BE_ENCODED & set(raw) else text

    def number(self, name: str, default: int | None = None, *, most: int | None = None) -> int | None:
        """Return a whole number >= 0 of the query. Raises Refused for anything else, and for more than `most`."""
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit()) or (most is not None and not 1 <= int(text) <= most):
            raise Refused(400, f"{name} is malformed")
        return int(text)

    def number_in_path(self, name: str) -> int:
        """Return a part of the path that must be a number. Raises Refused otherwise."""
        text = self.parameter(name)
        if not (text.isascii() and text.isdigit()):
            raise Refused(400, f"{name} is invalid")
        return int(text)

    def document(self) -> JsonObject:
        """Return the body. Raises Refused when it is no JSON object."""
        try:
            body = self.call.document()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(400, "the request body is malformed")
        return body

    def name(self) -> Identifier:
        """Return whom the path names: by `id_type`, by default the id. `cio_id` wants its prefix (AppOAS-0926).

        Raises Refused for a kind that the workspace does not identify people by (TrackOAS, `id_type`).
        """
        kind, value = self.query.get("id_type", "id"), self.parameter("identifier")
        if kind not in ({"id", "email", "cio_id"} if self.scenario.email_identifies else {"id", "cio_id"}):
            raise Refused(400, f"id_type {kind} is not an identifier of this workspace")
        if kind == "cio_id":
            return Identifier(kind, value.removeprefix("cio_")) if value.startswith("cio_") else NOBODY
        return Identifier(kind, value.lower() if kind == "email" else value)


Handler = Callable[[Ask], Mapping[str, Any] | None]
"""Returns the body of a 200, or None for a 204. Raises Refused."""
Routes = Mapping[tuple[str, str], Handler]


def page(ask: Ask, items: Sequence[Any], *, default: int, most: int) -> tuple[Sequence[Any], JsonObject]:
    """Return the part of a list that is asked for by `start` and `limit`, and `next` as the last page has it.

    Raises Refused for a limit above `most` and for a token that is none.
    """
    offset, limit = _offset(ask.query.get("start", "")), ask.number("limit", default, most=most) or default
    end = offset + limit
    following: JsonObject = {"next": _token(end)} if end < len(items) else _last(ask, offset, end)
    return items[offset:end], following


def _last(ask: Ask, offset: int, end: int) -> JsonObject:
    forms: dict[str, JsonObject] = {
        "empty": {"next": ""},
        "null": {"next": None},
        "missing": {},
        "live": {"next": _token(end)},
        "same": {"next": _token(offset)},
    }
    return forms[ask.scenario.app.last_page]


def _token(offset: int) -> str:
    return base64.b64encode(f"{offset}:".encode()).decode()


def _offset(token: str) -> int:
    try:
        return int(base64.b64decode(token, validate=True).decode().rstrip(":")) if token else 0
    except (binascii.Error, ValueError):
        raise Refused(400, "start is malformed") from None
