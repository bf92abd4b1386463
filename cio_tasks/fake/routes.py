"""Which path means what: the Track API, the control routes, and 404 for the rest."""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from cio_tasks.fake import track_v1, track_v2
from cio_tasks.fake.calls import Call, Reader
from cio_tasks.fake.control import Control, refuse_bad_input
from cio_tasks.fake.track import TrackAPI
from cio_tasks.fake.wire import send

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(track: TrackAPI, restore: Callable[[], None]) -> web.Application:
    """Return the aiohttp application; bodies of any size are read, so that the limits are ours to enforce."""
    app = web.Application(client_max_size=0, middlewares=[refuse_bad_input])
    app.add_routes(Control(track, restore).routes())
    for (method, path), reader in {**track_v1.READERS, **track_v2.READERS}.items():
        app.router.add_route(method, path, _handler(track, reader))
    app.router.add_route("GET", "/api/v1/accounts/region", _handler(track, track.read_region))
    app.router.add_route("*", "/{tail:.*}", _handler(track, track_v1.read_unknown))
    return app


def _handler(track: TrackAPI, reader: Reader) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        plan = track.answer(await _call(request), reader)
        return await send(request, plan, track.weather.scenario)

    return handle


async def _call(request: web.Request) -> Call:
    """A request counts as arrived when its body is complete; one cut short before that leaves no trace."""
    body = await request.read()
    return Call(
        at=time.time(),
        method=request.method,
        path=request.raw_path,
        parameters=request.match_info,
        authorization=request.headers.get("Authorization"),
        body=body,
    )
