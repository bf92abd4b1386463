"""The `/_fake/webhooks` routes: who gets reporting webhooks, what is to happen, and what became of it."""

from typing import Annotated, Any, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cio_tasks.fake.ledger import LedgerOperation
from cio_tasks.fake.track import TrackAPI
from cio_tasks.fake.webhook_payloads import METRICS, Addressee
from cio_tasks.fake.webhook_queue import EndpointSettings
from cio_tasks.fake.webhook_sender import Cause, WebhookSender

MOST_AT_ONCE = 10_000


class Order(BaseModel):
    """Body of `POST /_fake/webhooks/send`: `count` messages, each with these events in this order; or one raw body."""

    model_config = ConfigDict(extra="forbid")

    object_type: str = "email"
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("sent",)
    person: str | None = None
    """An id, e-mail or `cio_…`. Somebody unknown to the workspace is named by what is given."""
    count: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 1
    data: dict[str, Any] = {}
    """Added to the data of each event, or in place of it."""
    raw: str | None = None
    """Sent as it stands, well signed, and nothing else of this order counts."""

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        unknown = [metric for metric in self.metrics if metric not in METRICS.get(self.object_type, ())]
        if unknown:
            raise ValueError(f"{self.object_type} has no metric {', '.join(unknown)}; send one by `raw`")
        return self


class WebhookControl:
    """The handlers, and what ties the webhooks to the Track API."""

    def __init__(self, sender: WebhookSender, track: TrackAPI) -> None:
        self._sender = sender
        self._track = track
        self._seen = 0

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to the application."""
        return [
            web.get("/_fake/webhooks", self.show),
            web.put("/_fake/webhooks", self.configure),
            web.delete("/_fake/webhooks", self.clear),
            web.post("/_fake/webhooks/send", self.send),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """Answer with the endpoints and with the deliveries after `since`, oldest first."""
        since = request.query.get("since") or "0"
        if not (since.isascii() and since.isdigit()):
            raise web.HTTPBadRequest(text="since must be a whole number\n")
        return web.json_response(
            {"endpoints": self._sender.endpoints(), "deliveries": self._sender.deliveries(int(since))}
        )

    async def configure(self, request: web.Request) -> web.Response:
        """Add an endpoint, or serve the one with this address differently. 400 names what is unknown or wrong."""
        self._sender.configure(EndpointSettings.model_validate_json(await request.read()))
        return web.json_response({"endpoints": self._sender.endpoints()})

    async def clear(self, _request: web.Request) -> web.Response:
        """Forget all endpoints and deliveries."""
        self._sender.clear()
        return web.json_response({"endpoints": []})

    async def send(self, request: web.Request) -> web.Response:
        """Let events happen, and answer with their ids. 409 when there is no endpoint to tell."""
        order = Order.model_validate_json(await request.read())
        if not self._sender.endpoints():
            message = "no endpoint is set: PUT /_fake/webhooks first"
            return web.json_response({"errors": [{"field": "url", "message": message}]}, status=409)
        return web.json_response({"queued": self._carry_out(order)})

    def react(self) -> None:
        """Let the operations that the ledger has taken since the last call cause what the endpoints' settings say.

        Only those that were applied, and to people with an e-mail address.
        """
        reacts = self._sender.reacts()
        for entry in self._track.ledger.entries(self._seen):
            self._seen = entry["seq"]
            for operation in entry["operations"] if reacts else ():
                self._react(operation)

    def _react(self, operation: LedgerOperation) -> None:
        cause = CAUSES.get(operation["action"]) if operation["applied"] and operation["type"] == "person" else None
        if cause is None or not operation["person"]:
            return
        kind, value = next(iter(operation["person"].items()))
        person = self._addressee(f"cio_{value}" if kind == "cio_id" else value)
        if person.email is not None:
            self._sender.react(cause, person, operation["event_id"])

    def _carry_out(self, order: Order) -> list[str]:
        if order.raw is not None:
            self._sender.send_raw(order.raw.encode("utf-8", "surrogatepass"))
            return []
        person = self._addressee(order.person) if order.person else Addressee()
        return [
            event_id
            for _ in range(order.count)
            for event_id in self._sender.send(
                *order.metrics, object_type=order.object_type, person=person, data=order.data
            )
        ]

    def _addressee(self, identifier: str) -> Addressee:
        found = self._track.people.find(identifier)
        if found is None:
            is_email = "@" in identifier
            return Addressee(id=None if is_email else identifier, email=identifier if is_email else None)
        return Addressee(id=found["id"], email=found["email"], phone=found["phone"], cio_id=found["cio_id"])


CAUSES: dict[str, Cause] = {"identify": "on_identify", "event": "on_event"}
