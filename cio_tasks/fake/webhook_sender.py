"""Reporting webhooks: the endpoints of the workspace, what waits for each, and the tasks that send it."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypedDict

import aiohttp

from cio_tasks.fake.operations import JsonObject
from cio_tasks.fake.webhook_payloads import Addressee, Message
from cio_tasks.fake.webhook_post import post, stopped
from cio_tasks.fake.webhook_queue import Delivery, DeliveryRecord, EndpointSettings, Queue

Cause = Literal["on_identify", "on_event"]


class EndpointRecord(TypedDict):
    """One endpoint and how its deliveries stand; the secret is left out."""

    url: str
    queued: int
    retrying: int
    delivered: int
    expired: int


class WebhookSender:
    """Sends events to every endpoint that there is when they happen. Its methods may be called from any thread.

    Endpoints do not wait for each other; within one, an event that is not delivered holds up those behind it (source:
    HookOAS, timeouts and failures). What was reported stays readable when the sender has stopped.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._queues: dict[str, Queue] = {}
        self._numbered = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[Queue, _Task] = {}

    def add(self, *, url: str, secret: str, **options: Any) -> None:
        """Send to this address from now on; `options` are the other fields of `EndpointSettings`.

        Raises ValidationError for one that does not exist or cannot be.
        """
        self.configure(EndpointSettings.model_validate({"url": url, "secret": secret, **options}))

    def configure(self, settings: EndpointSettings) -> None:
        """Add an endpoint; one with this address keeps its deliveries and is served by the new settings from now on."""
        with self._lock:
            queue = self._queues.setdefault(settings.url, Queue(settings))
            queue.settings = settings
            self._ring()

    def clear(self) -> None:
        """Forget all endpoints and their deliveries; what is on its way is cut off."""
        with self._lock:
            self._queues = {}
            self._ring()

    def send(
        self, *metrics: str, object_type: str = "email", person: Addressee | None = None, data: JsonObject | None = None
    ) -> list[str]:
        """Let one message to one person have these events, in this order, and return their ids.

        Raises ValueError when a metric is not documented for the object type.
        """
        events = _events(Message(object_type=object_type, person=person or Addressee()), metrics, data)
        self.send_events(events)
        return [event["event_id"] for event in events]

    def send_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Send these events as they are, known or not."""
        with self._lock:
            for event in events:
                self._queue(self._queues.values(), _body(event), event)
            self._ring()

    def send_raw(self, body: bytes) -> None:
        """Send this body as it stands, well signed: what no Customer.io would send, for a receiver to survive."""
        with self._lock:
            self._queue(self._queues.values(), body, {})
            self._ring()

    def reacts(self) -> bool:
        """Tell whether any endpoint wants to hear of what operations cause."""
        with self._lock:
            return any(queue.settings.on_identify or queue.settings.on_event for queue in self._queues.values())

    def react(self, cause: Cause, person: Addressee, trigger_event_id: str | None) -> None:
        """Let each endpoint hear of the message that, by its settings, this has caused."""
        with self._lock:
            for queue in self._queues.values():
                message = Message(person=person, trigger_event_id=trigger_event_id)
                for event in _events(message, getattr(queue.settings, cause)):
                    self._queue([queue], _body(event), event)
            self._ring()

    def endpoints(self) -> list[EndpointRecord]:
        """Return the endpoints and how many of their deliveries are where."""
        with self._lock:
            return [_endpoint_record(queue) for queue in self._queues.values()]

    def deliveries(self, since: int = 0) -> list[DeliveryRecord]:
        """Return the deliveries with a number above `since`, in the order in which their events happened."""
        with self._lock:
            records = [record for queue in self._queues.values() for record in queue.records(since)]
        return sorted(records, key=lambda record: record["seq"])

    def _queue(
        self, queues: Iterable[Queue], body: bytes, event: Mapping[str, Any], *, duplicate: bool = False
    ) -> None:
        for queue in queues:
            self._numbered += 1
            queue.add(Delivery(self._numbered, body, event, duplicate))

    # --- sending, in the loop of the server ---------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send while the body runs. What is on its way at the end is cut off and recorded as `stopped`."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            with self._lock:
                self._loop, self._session = asyncio.get_running_loop(), session
                self._match_tasks()
            try:
                yield
            finally:
                with self._lock:
                    self._loop = None
                    tasks, self._tasks = self._tasks, {}
                await _end(tasks.values())

    def _ring(self) -> None:
        """Make the loop look again. While there is none nothing is lost: it looks when it begins."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._match_tasks)

    def _match_tasks(self) -> None:
        """Keep a task for every endpoint and for none that is gone, and wake them all."""
        with self._lock:
            if self._loop is None:
                return
            queues = set(self._queues.values())
            for queue in queues - self._tasks.keys():
                bell = asyncio.Event()
                self._tasks[queue] = _Task(self._loop.create_task(self._serve(queue, bell)), bell)
            for queue in self._tasks.keys() - queues:
                self._tasks.pop(queue).task.cancel()
            for task in self._tasks.values():
                task.bell.set()

    async def _serve(self, queue: Queue, bell: asyncio.Event) -> None:
        """Send what waits for one endpoint, one after the other, for ever."""
        while True:
            bell.clear()
            with self._lock:
                delivery = queue.head()
                wait = queue.next_try_at(delivery) - time.time() if delivery else None
            if delivery is not None and wait is not None and wait <= 0:
                await self._try(queue, delivery)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), wait)

    async def _try(self, queue: Queue, delivery: Delivery) -> None:
        with self._lock:
            settings, at, timestamp = queue.settings, time.time(), queue.begin(delivery)
        try:
            attempt = await post(self._session, settings, delivery.body, at=at, timestamp=timestamp)
        except asyncio.CancelledError:
            with self._lock:
                queue.record(delivery, stopped(at=at, timestamp=timestamp))
            raise
        with self._lock:
            if queue.record(delivery, attempt):
                self._queue([queue], delivery.body, delivery.event, duplicate=True)


class _Task(NamedTuple):
    """The task of one endpoint, and the bell that wakes it."""

    task: asyncio.Task[None]
    bell: asyncio.Event


async def _end(tasks: Iterable[_Task]) -> None:
    """Cancel the tasks and wait for their last words; one that had failed by itself is told."""
    for one in tasks:
        one.task.cancel()
    for ended in await asyncio.gather(*(one.task for one in tasks), return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


def _events(message: Message, metrics: Iterable[str], data: JsonObject | None = None) -> list[JsonObject]:
    now = time.time()
    return [message.event(metric, at=now, data=data) for metric in metrics]


def _body(event: Mapping[str, Any]) -> bytes:
    """Return an event as it is sent: compact, with its letters as they are."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def _endpoint_record(queue: Queue) -> EndpointRecord:
    return {
        "url": queue.settings.url,
        "queued": queue.count("queued"),
        "retrying": queue.count("retrying"),
        "delivered": queue.count("delivered"),
        "expired": queue.count("expired"),
    }
