"""The Celery app: `celery -A cio_tasks.celery_app worker`. Its settings are read when it is first used, not on import."""

import sys
from collections.abc import Iterable, Sequence
from queue import Empty
from typing import Any, Final, cast

import redis
from celery import Celery, signals
from celery.app.amqp import AMQP
from kombu.connection import Connection as KombuConnection
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import Transport as RedisTransport

from cio_tasks import logs
from cio_tasks.celeryconfig import QUEUE, celery_settings
from cio_tasks.consumption import Consumption, Watchdog, end_process
from cio_tasks.envelopes import read_envelope
from cio_tasks.errors import CioTasksError
from cio_tasks.settings import Settings

RECONNECT_EVERY: Final = 2.0
"""Seconds between two looks for a lost broker. Celery's own steps grow to 32 s, and no setting reaches them."""


consumption: Final = Consumption()


class Channel(RedisChannel):
    """A channel on which nothing that is found in the queue can end the worker."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (ValueError, RecursionError):  # Celery takes for granted that the queue holds JSON
            consumption.refuse("not_json")
        except self.ResponseError as error:
            self._remove_if_no_queue(error, self.active_queues)
        raise Empty

    def _size(self, queue: str) -> int:
        try:
            return int(super()._size(queue))
        except self.ResponseError as error:
            self._remove_if_no_queue(error, [queue])
            return 0

    def _remove_if_no_queue(self, error: Exception, queues: Iterable[str]) -> None:
        """Remove what has the name of one of our queues and is none: nobody could consume or publish otherwise."""
        if "WRONGTYPE" not in str(error):
            raise error
        with self.conn_or_acquire() as client:
            for key in [self._q_for_pri(queue, priority) for queue in queues for priority in self.priority_steps]:
                if client.type(key) not in {b"list", b"none"}:
                    client.delete(key)
        consumption.refuse("wrong_type")


class Transport(RedisTransport):
    """A transport that hands on only messages as we write them, and counts what it hands on."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if queue != QUEUE:
            super()._deliver(message, queue)
            return
        envelope = read_envelope(message, app.tasks)
        if envelope is None:
            consumption.refuse("malformed")
        else:
            consumption.take()
            super()._deliver(envelope, queue)


class Connection(KombuConnection):
    """A connection that looks for its broker at a steady pace, so that a worker consumes soon after Redis is back."""

    def get_transport_cls(self) -> type[RedisTransport]:
        """Return our transport; Celery's other ones (`memory://`) are of no use to us."""
        return Transport

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Connect, trying again every `RECONNECT_EVERY` seconds."""
        steady = {"interval_start": RECONNECT_EVERY, "interval_step": 0, "interval_max": RECONNECT_EVERY}
        return super().ensure_connection(*args, **{**kwargs, **steady})


class Broker(AMQP):
    """Celery's part that makes connections, making ours."""

    Connection = Connection


app = Celery("cio_tasks", amqp="cio_tasks.celery_app:Broker")


def _settings() -> dict[str, Any]:
    """Read the environment. A fault ends the process in three lines, since a worker without settings can do nothing."""
    try:
        settings = Settings.from_env()
        settings.require_stores()
        return celery_settings(settings)
    except CioTasksError as error:
        hint = error.hint or "see .env.example"
        sys.stderr.write(f"error: Celery cannot start, its configuration is at fault\ncause: {error}\nhint: {hint}\n")
        raise SystemExit(3) from None


app.add_defaults(_settings)


@signals.setup_logging.connect
def _set_up_logging(loglevel: int, **_: Any) -> None:
    """Log as every other process does."""
    settings = Settings.from_env()
    logs.configure(settings, level=loglevel)
    logs.warn_about_mock(settings)


@signals.task_prerun.connect
def _begin_task(task_id: str, args: Sequence[str], **_: Any) -> None:
    logs.begin_task(task_id, args)


@signals.task_postrun.connect
def _end_task(**_: Any) -> None:
    logs.end_task()


@signals.worker_init.connect
def _watch_consumption(**_: Any) -> None:
    """Notice when this worker has stopped consuming."""
    bounds = {"socket_timeout": 2, "socket_connect_timeout": 2}
    client = redis.Redis.from_url(Settings.from_env().required_redis_url(), **bounds)
    Watchdog(consumption, lambda: cast("int", client.llen(QUEUE)), end_process).start()
