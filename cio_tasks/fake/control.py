"""The `/_fake` routes: read the ledger and the people, change the scenario. No credentials, and no ledger entry."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from cio_tasks.fake.app_api import AppAPI
from cio_tasks.fake.histories import Histories
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.track import TrackAPI

DEFAULT_LEDGER_LIMIT = 1_000
DEFAULT_EVENT_LIMIT = 100


class Credentials(BaseModel):
    """Body of `PUT /_fake/credentials`; without `app_api_key` the App API's key stays."""

    model_config = ConfigDict(extra="forbid")

    site_id: str
    api_key: str
    app_api_key: str | None = None


class Control:
    """The handlers; `restore` sets everything back to what it was at the start."""

    def __init__(self, track: TrackAPI, app_side: AppAPI, restore: Callable[[], None]) -> None:
        self._track = track
        self._app_side = app_side
        self._restore = restore

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to the application."""
        return [
            web.get("/_fake/health", self.health),
            web.get("/_fake/summary", self.summary),
            web.get("/_fake/ledger", self.ledger),
            web.get("/_fake/events", self.events),
            web.get("/_fake/people/{identifier}", self.person),
            web.get("/_fake/scenario", self.scenario),
            web.put("/_fake/scenario", self.change_scenario),
            web.put("/_fake/credentials", self.rotate),
            web.put("/_fake/histories", self.put_histories),
            web.post("/_fake/reset", self.reset),
            web.route("*", "/_fake/{tail:.*}", self.unknown),
        ]

    async def health(self, _request: web.Request) -> web.Response:
        """Answer that the server runs, and for which region."""
        return web.json_response({"status": "ok", "region": self._track.account.region})

    async def summary(self, _request: web.Request) -> web.Response:
        """Answer with the counts of everything."""
        return web.json_response(self._track.summary())

    async def ledger(self, request: web.Request) -> web.Response:
        """Answer with the entries after `since`; `next` is the number to pass as `since` next time."""
        since, limit = number(request, "since", 0), number(request, "limit", DEFAULT_LEDGER_LIMIT)
        entries = self._track.ledger.entries(since, limit)
        return web.json_response({"entries": entries, "next": entries[-1]["seq"] if entries else since})

    async def events(self, request: web.Request) -> web.Response:
        """Answer with the newest events, of one name if asked, in order of arrival."""
        limit = number(request, "limit", DEFAULT_EVENT_LIMIT)
        return web.json_response({"events": self._track.people.list_events(request.query.get("name") or None, limit)})

    async def person(self, request: web.Request) -> web.Response:
        """Answer with one person by id, e-mail or `cio_…`; 404 when there is none."""
        record = self._track.people.find(request.match_info["identifier"])
        return web.json_response(record) if record else problem(404, "identifier", "no such person")

    async def scenario(self, _request: web.Request) -> web.Response:
        """Answer with the scenario in force."""
        return web.json_response(self._track.weather.scenario.model_dump())

    async def change_scenario(self, request: web.Request) -> web.Response:
        """Put a whole scenario in force: knobs left out get their defaults. 400 names what is unknown or wrong."""
        self._track.weather.change(Scenario.model_validate_json(await request.read()))
        return web.json_response(self._track.weather.scenario.model_dump())

    async def rotate(self, request: web.Request) -> web.Response:
        """Accept only these credentials from now on."""
        given = Credentials.model_validate_json(await request.read())
        self._track.account.rotate(given.site_id, given.api_key)
        if given.app_api_key is not None:
            self._track.account.rotate_app(given.app_api_key)
        return web.json_response({"site_id": given.site_id})

    async def put_histories(self, request: web.Request) -> web.Response:
        """Put in people with what they have behind them, segments, campaigns and topics; the same id replaces."""
        given = Histories.model_validate_json(await request.read())
        self._app_side.put(given)
        counts = {name: len(getattr(given, name)) for name in Histories.model_fields}
        return web.json_response(counts)

    async def reset(self, _request: web.Request) -> web.Response:
        """Forget people, events, histories and ledger; scenario and credentials are those of the start again."""
        self._restore()
        return web.json_response({})

    async def unknown(self, _request: web.Request) -> web.Response:
        """Answer 404 for any other control route, so that it is not taken for a Track call."""
        return problem(404, "path", "no such control route")


@web.middleware
async def refuse_bad_input(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn what pydantic refuses into a 400 that names each field."""
    try:
        return await handler(request)
    except ValidationError as error:
        found = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
        return web.json_response({"errors": found}, status=400)


def number(request: web.Request, name: str, default: int) -> int:
    """Return a query parameter as a whole number >= 0, `default` when it is left out or empty.

    Raises HTTPBadRequest for anything else.
    """
    text = request.query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise web.HTTPBadRequest(text=f"{name} must be a whole number\n")
    return int(text)


def problem(status: int, field: str, message: str) -> web.Response:
    """Return an error in the shape all control routes use."""
    document: dict[str, Any] = {"errors": [{"field": field, "message": message}]}
    return web.json_response(document, status=status)
