"""The door of `/socket.io/`: who may knock, and what every answer carries.

Engine.IO answers by itself, before Flask hears of a request. So its refusals are turned into problems here, its answers get
the headers of all others, and the origin is checked here, without the headers that its own check gives to browsers.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from werkzeug.exceptions import BadRequest, Forbidden, MethodNotAllowed, default_exceptions

from api.envelope import envelope
from api.errors import answer_error
from api.live.clients import SESSION, Clients, Session

PATH: Final = "/socket.io/"
METHODS: Final = ("GET", "POST")
HANDSHAKE: Final = ("HTTP_HOST", "HTTP_SEC_WEBSOCKET_KEY", "HTTP_SEC_WEBSOCKET_VERSION")
Headers = list[tuple[str, str]]


class Door:
    """WSGI middleware before the one of Flask-SocketIO."""

    def __init__(self, app: Flask, inner: WSGIApplication, clients: Clients) -> None:
        self._app = app
        self._inner = inner
        self._clients = clients

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request, to `/socket.io/` or to any other address."""
        if not environ.get("PATH_INFO", "").startswith(PATH):
            return self._inner(environ, start_response)
        try:
            _check(environ)
            with self._clients.request():
                return self._serve(environ, start_response)
        except StopIteration:  # gunicorn's sign that a websocket has ended, and that there is nothing to answer
            raise
        except Exception as error:  # noqa: BLE001 - what the libraries make of nonsense; gunicorn would show its page
            return self._refuse(error, environ, start_response)

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        session = self._session_of(environ)
        answer = _Answer(self._envelope(environ), start_response)
        with self._wait(session, environ):
            return answer.unless_refused(self._inner({**environ, SESSION: session}, answer))

    def _wait(self, session: Session | None, environ: WSGIEnvironment) -> AbstractContextManager[None]:
        """Return what bounds a request that may hold its thread for long."""
        if session is not None and _is_websocket(environ):
            return self._clients.websocket(session, environ.get("gunicorn.socket"))
        if session is not None and environ["REQUEST_METHOD"] == "GET":
            return self._clients.poll(session)
        return nullcontext()

    def _session_of(self, environ: WSGIEnvironment) -> Session | None:
        """Return the session that a request belongs to, a new one for the first, and None for one that is unknown."""
        session_ids = parse_qs(environ.get("QUERY_STRING", "")).get("sid")
        return self._clients.find(session_ids[0]) if session_ids else self._clients.open()

    def _envelope(self, environ: WSGIEnvironment) -> Headers:
        with self._app.request_context(environ):
            return list(envelope().items())

    def _refuse(self, error: Exception, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._app.request_context(environ):
            response = self._app.process_response(answer_error(error))
        return response(environ, start_response)


class _Answer:
    """Takes the place of `start_response`: puts the headers of all answers on, and holds a refusal back."""

    def __init__(self, envelope: Headers, start_response: StartResponse) -> None:
        self._envelope = envelope
        self._start_response = start_response
        self._refused: int | None = None

    def __call__(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        code = int(status.partition(" ")[0])
        if code >= HTTPStatus.BAD_REQUEST:
            self._refused = code
            return lambda _body: None
        return self._start_response(status, headers + self._envelope, exc_info)

    def unless_refused(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return the body, or raise the problem that the refusal is."""
        if self._refused is not None:
            raise default_exceptions[self._refused]
        return body


def _check(environ: WSGIEnvironment) -> None:
    if environ["REQUEST_METHOD"] not in METHODS:
        raise MethodNotAllowed(valid_methods=METHODS)
    if is_foreign(environ):
        raise Forbidden
    if _is_websocket(environ) and not _is_whole_handshake(environ):
        raise BadRequest
    if "j" in parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True):
        raise BadRequest  # an answer as a script, which pages of other origins could read


def _is_websocket(environ: WSGIEnvironment) -> bool:
    return bool(environ.get("HTTP_UPGRADE", "").lower() == "websocket")


def _is_whole_handshake(environ: WSGIEnvironment) -> bool:
    """Return whether all is there that the libraries take for granted."""
    connection = {word.strip() for word in environ.get("HTTP_CONNECTION", "").lower().split(",")}
    return "upgrade" in connection and all(environ.get(name) for name in HANDSHAKE)


def is_foreign(environ: WSGIEnvironment) -> bool:
    """Return whether a page of another origin sends this. What is no browser sends no origin.

    A page of ours that came over TLS may ask in plain, as far as this process sees, since a proxy takes the TLS off; the
    reverse is a foreigner. What a header says of another host is not believed: anybody can send it.
    """
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return False
    try:
        scheme, host = urlsplit(origin)[:2]
    except ValueError:
        return True
    schemes = ("https",) if environ["wsgi.url_scheme"] == "https" else ("http", "https")
    return scheme not in schemes or not host or host.lower() != environ.get("HTTP_HOST", "").lower()
