"""Puts a plan on the wire: an answer, a slow one, a broken one, or none."""

import asyncio
import http.client
import socket
import struct
from dataclasses import dataclass
from typing import Self

from aiohttp import web

from cio_tasks.fake.app_scenario import AppScenario
from cio_tasks.fake.plans import Ending, Plan
from cio_tasks.fake.replies import JSON_TYPE, Reply
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.status_page import StatusScenario

NO_LINGER = struct.pack("ii", 1, 0)
"""`SO_LINGER` on with zero seconds: closing the socket then sends RST instead of FIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How answers are put on the wire, whatever they say."""

    latency_seconds: float
    hang_seconds: float
    slow_seconds: float = 0
    drip_seconds_per_byte: float = 0
    truncated_json: bool = False
    padding_bytes: int = 0

    @classmethod
    def of_track(cls, scenario: Scenario) -> Self:
        """Return how the Track API answers."""
        return cls(
            latency_seconds=scenario.latency_seconds,
            hang_seconds=scenario.hang_seconds,
            slow_seconds=scenario.slow_seconds,
            drip_seconds_per_byte=scenario.drip_seconds_per_byte,
            truncated_json=scenario.truncated_json,
            padding_bytes=scenario.padding_bytes,
        )

    @classmethod
    def of_app(cls, scenario: AppScenario) -> Self:
        """Return how the App API answers."""
        return cls(
            latency_seconds=scenario.latency_seconds,
            hang_seconds=scenario.hang_seconds,
            drip_seconds_per_byte=scenario.drip_seconds_per_byte,
            truncated_json=scenario.truncated_json,
            padding_bytes=scenario.padding_bytes,
        )

    @classmethod
    def of_status_page(cls, scenario: StatusScenario) -> Self:
        """Return how the status page answers."""
        return cls(latency_seconds=scenario.latency_seconds, hang_seconds=scenario.hang_seconds)


async def send(request: web.Request, plan: Plan, manner: Manner) -> web.StreamResponse:
    """End the exchange as planned.

    Where the connection was closed instead, the response returned here goes nowhere. The handler is cancelled
    when the client leaves first, so a hang lasts no longer than somebody waits.
    """
    await _pause(manner.latency_seconds + (manner.slow_seconds if plan.slow else 0))
    reply = _blemished(plan.reply, manner)
    match plan.ending:
        case Ending.RESET:
            _reset(request)
        case Ending.REFUSE:
            _close(request)
        case Ending.HANG:
            await asyncio.sleep(manner.hang_seconds)
            _close(request)
        case Ending.ANSWER if manner.drip_seconds_per_byte:
            await _drip(request, reply, manner.drip_seconds_per_byte)
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


async def _pause(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def _blemished(reply: Reply, manner: Manner) -> Reply:
    body = reply.body
    if manner.truncated_json and reply.headers["content-type"] == JSON_TYPE:
        body = body[: len(body) // 2]
    return Reply(reply.status, body + b" " * manner.padding_bytes, reply.headers)


def _reset(request: web.Request) -> None:
    if request.transport:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        request.transport.abort()


def _close(request: web.Request) -> None:
    if request.transport:
        request.transport.close()


async def _drip(request: web.Request, reply: Reply, seconds_per_byte: float) -> None:
    """Write head and body one byte at a time, then close."""
    for byte in _raw(reply):
        if request.transport is None or request.transport.is_closing():
            return
        request.transport.write(bytes([byte]))
        await asyncio.sleep(seconds_per_byte)
    _close(request)


def _raw(reply: Reply) -> bytes:
    headers = {**reply.headers, "content-length": str(len(reply.body)), "connection": "close"}
    head = [
        f"HTTP/1.1 {reply.status} {http.client.responses.get(reply.status, 'Unknown')}",
        *(f"{name}: {text}" for name, text in headers.items()),
    ]
    return "\r\n".join([*head, "", ""]).encode() + reply.body
