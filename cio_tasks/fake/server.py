"""Starts and stops the stand-in: in a thread for tests, or in the foreground until a signal."""

import asyncio
import contextlib
import signal
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from cio_tasks.fake.account import Account, Region
from cio_tasks.fake.app_api import AppAPI
from cio_tasks.fake.histories import Histories, PersonHistory
from cio_tasks.fake.ledger import Ledger
from cio_tasks.fake.people import People
from cio_tasks.fake.routes import application
from cio_tasks.fake.scenario import Scenario, Weather
from cio_tasks.fake.track import TrackAPI
from cio_tasks.fake.webhook_sender import WebhookSender
from cio_tasks.fake.workspace import Campaign, Segment, Topic

GRACE_SECONDS = 0.2
"""How long answers under way may take when the server stops; hanging requests are then cut."""
STOP_POLL_SECONDS = 0.1


class FakeCustomerIO:
    """A stand-in Customer.io on a port of its own, run by a daemon thread inside a `with` block.

    Track API, App API and status page have the same address. `port` 0 takes a free one; with an `ssl_context` it speaks
    https; `histories` are there from the start, and again after each `reset`. Making one raises OSError when the ledger
    file cannot be opened.
    """

    def __init__(
        self,
        *,
        site_id: str = "site",
        api_key: str = "key",
        app_api_key: str = "app-key",
        host: str = "127.0.0.1",
        port: int = 0,
        region: Region = "us",
        ledger_path: Path | str | None = None,
        scenario: Scenario | None = None,
        ssl_context: ssl.SSLContext | None = None,
        histories: Histories | None = None,
    ) -> None:
        self._credentials = (site_id, api_key)
        self._app_api_key = app_api_key
        self._first_scenario = scenario or Scenario()
        self._first_histories = histories or Histories()
        self._address = (host, port)
        self._ssl_context = ssl_context
        ledger = Ledger(Path(ledger_path) if ledger_path is not None else None)
        account = Account(site_id, api_key, region, app_api_key)
        self._track = TrackAPI(account, Weather(self._first_scenario), ledger)
        self._app_side = AppAPI(self._track)
        self._app_side.put(self._first_histories)
        self.webhooks = WebhookSender()
        """Who gets reporting webhooks, what is to happen, and what became of it."""
        self._ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, name="fake-customerio", daemon=True)

    def start(self) -> Self:
        """Listen, in a daemon thread; an instance starts once. Raises OSError when the port is taken."""
        self._thread.start()
        self._ready.result()
        return self

    def stop(self) -> None:
        """Cut those who hang, stop listening and join the thread; what was recorded stays readable."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Scheme, host and port, without a path; known once the server listens."""
        return self._ready.result()

    @property
    def ledger(self) -> Ledger:
        """Everything that was asked so far."""
        return self._track.ledger

    @property
    def people(self) -> People:
        """The people and events as they are now."""
        return self._track.people

    @property
    def scenario(self) -> Scenario:
        """The scenario in force; assign another to change the weather from the next request on."""
        return self._track.weather.scenario

    @scenario.setter
    def scenario(self, scenario: Scenario) -> None:
        self._track.weather.change(scenario)

    def rotate(self, *, site_id: str, api_key: str) -> None:
        """Accept only these credentials from the next request on."""
        self._track.account.rotate(site_id, api_key)

    def rotate_app(self, app_api_key: str) -> None:
        """Accept only this App API key from the next request on."""
        self._track.account.rotate_app(app_api_key)

    def remember(self, *things: PersonHistory | Segment | Campaign | Topic) -> None:
        """Put in people with what they have behind them, segments, campaigns and topics; the same id replaces."""
        self._app_side.put(
            Histories(
                people=tuple(one for one in things if isinstance(one, PersonHistory)),
                segments=tuple(one for one in things if isinstance(one, Segment)),
                campaigns=tuple(one for one in things if isinstance(one, Campaign)),
                topics=tuple(one for one in things if isinstance(one, Topic)),
            )
        )

    def reset(self) -> None:
        """Forget people, events, webhooks and the ledger; scenario and credentials are those of the start again."""
        self._track.clear()
        self._app_side.clear()
        self.webhooks.clear()
        self._track.weather.change(self._first_scenario)
        self._track.account.rotate(*self._credentials)
        self._track.account.rotate_app(self._app_api_key)
        self._app_side.put(self._first_histories)

    def run(self, on_ready: Callable[[str], None], stop: threading.Event | None = None) -> None:
        """Serve in this thread until `stop` is set or, in the main thread, until SIGINT or SIGTERM.

        Raises OSError when the port is taken.
        """
        try:
            asyncio.run(self._serve(on_ready, stop))
        finally:
            self._track.ledger.close()

    def _run(self) -> None:
        try:
            self.run(self._ready.set_result)
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self, on_ready: Callable[[str], None], stop: threading.Event | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._loop.add_signal_handler(number, self._stopping.set)
        async with self._listening() as url, self.webhooks.sending():
            on_ready(url)
            await (_either(self._stopping, stop) if stop else self._stopping.wait())

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[str]:
        app = application(self._track, self._app_side, self.webhooks, self.reset)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=GRACE_SECONDS, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._address, ssl_context=self._ssl_context, backlog=1024).start()
            host, port, *_ = runner.addresses[0]
            yield f"{'https' if self._ssl_context else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            await runner.cleanup()


async def _either(stopping: asyncio.Event, stop: threading.Event) -> None:
    while not (stopping.is_set() or stop.is_set()):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), STOP_POLL_SECONDS)


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    site_id: str = "site",
    api_key: str = "key",
    app_api_key: str = "app-key",
    ledger_path: Path | str | None = None,
    region: Region = "us",
    scenario: Scenario | None = None,
    ssl_context: ssl.SSLContext | None = None,
    histories: Histories | None = None,
    on_ready: Callable[[str], None] = lambda _url: None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM (heard only in the main thread), or until `stop` is set.

    `on_ready` gets the URL once the port listens. Raises OSError when the port is taken or the
    ledger file cannot be opened.
    """
    fake = FakeCustomerIO(
        site_id=site_id,
        api_key=api_key,
        app_api_key=app_api_key,
        host=host,
        port=port,
        region=region,
        ledger_path=ledger_path,
        scenario=scenario,
        ssl_context=ssl_context,
        histories=histories,
    )
    fake.run(on_ready, stop)
