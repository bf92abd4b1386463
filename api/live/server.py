"""The Socket.IO server: who is let in, and what they hear."""

from functools import partial
from typing import Any, Final

import structlog
from flask import Flask, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO, join_room
from werkzeug.exceptions import Forbidden, HTTPException

from api.auth import Action, Caller, identify
from api.errors import kind_of
from api.live.clients import SESSION, Clients, Session
from api.live.door import Door
from api.live.engine import LONGEST_MESSAGE, bound
from api.live.quiet import quiet_logger
from api.live.relay import Relay
from cio_tasks.settings import Settings

LISTENERS: Final = "listeners"
"""The room of those who were let in. Everybody else is in the namespace too, from before they say who they are."""
PING_SECONDS: Final = 15
PONG_SECONDS: Final = 10

log: Final = structlog.stdlib.get_logger("api")


def serve_live(app: Flask, settings: Settings) -> None:
    """Serve Socket.IO clients of `app`; nothing is connected and no thread started before the first of them."""
    socketio = _make_server(app)
    clients = Clients(socketio.server)
    socketio.on_event("connect", partial(_come, clients, _make_relay(socketio, settings)))
    socketio.on_event("disconnect", _leave)
    app.wsgi_app = Door(app, app.wsgi_app, clients)  # type: ignore[method-assign]
    app.extensions["live_clients"] = clients


def _make_server(app: Flask) -> SocketIO:
    quiet = quiet_logger()
    socketio = SocketIO(
        app,
        async_mode="threading",
        manage_session=False,
        cors_allowed_origins=[],  # the door checks origins, and no answer gets a header of CORS
        max_http_buffer_size=LONGEST_MESSAGE,
        ping_interval=PING_SECONDS,
        ping_timeout=PONG_SECONDS,
        async_handlers=False,  # or every word of a client would start a thread
        http_compression=False,
        logger=quiet,
        engineio_logger=quiet,
    )
    bound(socketio.server.eio)
    return socketio


def _make_relay(socketio: SocketIO, settings: Settings) -> Relay | None:
    if settings.redis_url is None:
        return None

    def tell(event: str, payload: dict[str, Any]) -> None:
        socketio.emit(event, payload, to=LISTENERS)

    return Relay(settings.redis_url.get_secret_value(), tell)


def _come(clients: Clients, relay: Relay | None, auth: Any) -> None:
    session: Session = request.environ[SESSION]
    try:
        _admit(clients, session, auth)
    except HTTPException as error:
        session.end_soon()
        raise _refusal(error) from None
    join_room(LISTENERS)
    if relay is not None:
        relay.start()


def _admit(clients: Clients, session: Session, auth: Any) -> None:
    """Let a client in who may read. Each session may ask once.

    Raises:
        Unauthorized, Forbidden, TooManyRequests, ServiceUnavailable: when it is not let in.
    """
    if session.has_asked:
        raise Forbidden
    session.has_asked = True
    caller = _identify(auth)
    if not caller.may(Action.READ):
        raise Forbidden
    clients.admit(session, caller)
    log.info("live_client_came", caller=caller.name)


def _identify(auth: Any) -> Caller:
    token = auth.get("token") if isinstance(auth, dict) else None
    return identify(token.encode(errors="replace") if isinstance(token, str) else b"")


def _refusal(error: HTTPException) -> Refused:
    kind = kind_of(error)
    log.info("live_client_refused", code=kind.code)
    return Refused(kind.detail, {"status": kind.status, "code": kind.code})


def _leave(_reason: str) -> None:
    session: Session = request.environ[SESSION]
    session.end_soon()
    log.info("live_client_left", caller=session.caller.name if session.caller else None)
