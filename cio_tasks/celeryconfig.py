"""Celery's settings. It only rings the bell: no result backend, JSON, and one id as the only argument of a message.

The reasons are in `docs/decisions/0002-celery.md`.
"""

from datetime import timedelta
from typing import Any, Final

from cio_tasks.settings import Settings

QUEUE: Final = "cio"
PROCESS_EVERY: Final = timedelta(seconds=10)
RESET_EVERY: Final = timedelta(seconds=5)
"""A dying worker may take such a tick with it: the next is still in time to keep what `docs/guarantees.md` promises."""
RESET_KEPT: Final = timedelta(seconds=60)
"""How long it may wait behind other messages: next to nothing when nothing is stuck, it must not fall to a backlog."""
WATCH_EVERY: Final = timedelta(seconds=30)
PRUNE_EVERY: Final = timedelta(hours=1)
TICK_EVERY: Final = timedelta(seconds=10)
SHORTEST_TICK: Final = timedelta(seconds=0.5)
SHORTEST_KEPT: Final = timedelta(seconds=5)


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return the configuration of the Celery app."""
    return {
        "broker_url": settings.required_redis_url(),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": 7200,
            "socket_timeout": 5,
            "socket_connect_timeout": 1,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "unacked_restore_limit": 200,
        },
        "broker_connection_timeout": 1,
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_default_queue": QUEUE,
        "task_acks_late": False,
        "task_publish_retry": False,
        "task_publish_retry_policy": {"max_retries": 0},
        "task_send_sent_event": False,
        "worker_pool": "threads",
        "worker_concurrency": 16,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 0,
        "worker_enable_prefetch_count_reduction": False,
        "worker_send_task_events": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "beat_scheduler": "celery.beat:Scheduler",
        "beat_schedule": beat_schedule(settings),
        "imports": ["cio_tasks.tasks"],
        "timezone": "UTC",
    }


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what beat repeats (rows D4, I1, I3, I4). One that waited longer than its interval, or `kept`, is dropped."""
    return {
        "process-due": _entry("cio_tasks.process_due", settings.scaled(PROCESS_EVERY)),
        "reset-stuck": _entry("cio_tasks.reset_stuck", settings.scaled(RESET_EVERY), kept=RESET_KEPT),
        "watch-alerts": _entry("cio_tasks.watch_alerts", settings.scaled(WATCH_EVERY)),
        "prune": _entry("cio_tasks.prune", settings.scaled(PRUNE_EVERY)),
        "tick": _entry("cio_tasks.tick", settings.scaled(TICK_EVERY)),
    }


def _entry(task: str, every: timedelta, *, kept: timedelta = SHORTEST_KEPT) -> dict[str, Any]:
    interval = max(every, SHORTEST_TICK)
    return {"task": task, "schedule": interval, "options": {"expires": max(interval, kept).total_seconds()}}
