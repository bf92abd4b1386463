"""Which path means what: the Track API, the App API, the status page, the control routes, and 404 for the rest."""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from cio_tasks.fake import app_api, track_v1, track_v2
from cio_tasks.fake.app_api import AppAPI
from cio_tasks.fake.app_asks import Handler as AppHandler
from cio_tasks.fake.calls import Call, Reader
from cio_tasks.fake.control import Control, refuse_bad_input
from cio_tasks.fake.track import TrackAPI
from cio_tasks.fake.webhook_control import WebhookControl
from cio_tasks.fake.webhook_sender import WebhookSender
from cio_tasks.fake.wire import Manner, send

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(
    track: TrackAPI, app_side: AppAPI, sender: WebhookSender, restore: Callable[[], None]
) -> web.Application:
    """Return the aiohttp application; bodies of any size are read, so that the limits are ours to enforce."""
    app = web.Application(client_max_size=0, middlewares=[refuse_bad_input])
    webhooks = WebhookControl(sender, track)
    app.add_routes([*webhooks.routes(), *Control(track, app_side, restore).routes()])
    for (method, path), reader in {**track_v1.READERS, **track_v2.READERS}.items():
        app.router.add_route(method, path, _handler(track, reader, webhooks))
    app.router.add_route("GET", "/api/v1/accounts/region", _handler(track, track.read_region, webhooks))
    for (method, path), handler in app_api.ROUTES.items():
        app.router.add_route(method, path, _app_handler(app_side, path, handler))
    app.router.add_route("*", "/v1/{tail:.*}", _app_handler(app_side, "/v1", app_api.not_found))
    for document in ("status.json", "summary.json"):
        app.router.add_route("GET", f"/api/v2/{document}", _status_handler(app_side, document))
    app.router.add_route("*", "/{tail:.*}", _handler(track, track_v1.read_unknown, webhooks))
    return app


def _handler(track: TrackAPI, reader: Reader, webhooks: WebhookControl) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        plan = track.answer(await _call(request), reader)
        webhooks.react()
        return await send(request, plan, Manner.of_track(track.weather.scenario))

    return handle


def _app_handler(app_side: AppAPI, path: str, answer: AppHandler) -> Handler:
    kind = next(word for word in reversed(path.split("/")) if not word.startswith("{"))

    async def handle(request: web.Request) -> web.StreamResponse:
        plan = app_side.answer(await _call(request), kind, answer)
        return await send(request, plan, Manner.of_app(app_side.scenario.app))

    return handle


def _status_handler(app_side: AppAPI, document: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        plan = app_side.answer_status(await _call(request), document)
        return await send(request, plan, Manner.of_status_page(app_side.scenario.status_page))

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
