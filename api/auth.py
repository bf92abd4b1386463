"""Who calls, and what they may do. A route that declares nothing is open to nobody."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from flask import Flask, current_app, g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from api.limits import count_request, count_wrong_token
from cio_tasks.settings import ApiToken, Role, Settings


class Action(StrEnum):
    """What a route does, as far as permission goes."""

    SUBMIT = "submit"
    """Submit signups and confirm extractions."""

    READ = "read"
    """See signups, jobs and counts."""

    REVEAL = "reveal"
    """See personal data unmasked where reading is allowed."""

    OPERATE = "operate"
    """Retry, process, clean up, move the gate."""


MAY: Final[dict[Role, frozenset[Action]]] = {
    Role.APP: frozenset({Action.SUBMIT}),
    Role.VIEWER: frozenset({Action.READ}),
    Role.OPERATOR: frozenset({Action.READ, Action.REVEAL, Action.OPERATE}),
    Role.ADMIN: frozenset(Action),
}


View = TypeVar("View", bound=Callable[..., Any])

ACTION: Final = "ciosync_action"
PUBLIC: Final = "public"


def requires(action: Action) -> Callable[[View], View]:
    """Declare what a route does; only roles that may do it get in."""
    return _declare(action)


def public(view: View) -> View:
    """Declare that a route is open to everybody."""
    return _declare(PUBLIC)(view)


def _declare(action: str) -> Callable[[View], View]:
    def declare(view: View) -> View:
        setattr(view, ACTION, action)
        return view

    return declare


def declared_action(view: Callable[..., Any]) -> str | None:
    """Return what a route declared: an `Action`, `PUBLIC`, or None when it declared nothing."""
    declared: str | None = getattr(view, ACTION, None)
    return declared


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a token."""

    name: str
    role: Role

    def may(self, action: Action) -> bool:
        """Return whether the role allows `action`."""
        return action in MAY[self.role]


class Tokens:
    """The tokens of the settings, kept as digests."""

    def __init__(self, settings: Settings) -> None:
        self._known = [(Caller(token.name, token.role), _digest_of(token)) for token in settings.api_tokens]

    def find_caller(self, presented: bytes) -> Caller | None:
        """Return who holds this token, or None. Takes the same time whichever token it is, or none."""
        digest = hashlib.sha256(presented).digest()
        matches = [caller for caller, known in self._known if hmac.compare_digest(known, digest)]
        return matches[0] if matches else None


def _digest_of(token: ApiToken) -> bytes:
    return hashlib.sha256(token.token.get_secret_value().encode()).digest()


def require_tokens(app: Flask, settings: Settings) -> None:
    """Let nobody into a route of `app` whose action their role does not allow."""
    app.extensions["tokens"] = Tokens(settings)
    app.before_request(_guard)


def caller() -> Caller:
    """Return who made the current request. Only for routes that are not public."""
    found: Caller = g.caller
    return found


def _guard() -> None:
    """Refuse before anything of the body is read. What a role may not do counts as a request too."""
    if request.endpoint is None:
        return
    action = declared_action(current_app.view_functions[request.endpoint])
    if action == PUBLIC:
        return
    g.caller = identify(_presented_token())
    count_request(g.caller.name, g.caller.role)
    if action is None or not g.caller.may(Action(action)):
        raise Forbidden


def _presented_token() -> bytes:
    # Not `request.authorization`: it takes a token with an equals sign inside for a list of parameters.
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip().encode("latin-1", "replace") if scheme.lower() == "bearer" else b""


def identify(presented: bytes) -> Caller:
    """Return who holds this token.

    Raises:
        Unauthorized: when nobody does.
        TooManyRequests: when nobody does, and the address of the current request has sent too many such tokens.
    """
    found: Caller | None = current_app.extensions["tokens"].find_caller(presented)
    if found is not None:
        return found
    if presented:
        count_wrong_token()
    raise Unauthorized(www_authenticate=WWWAuthenticate("bearer"))
