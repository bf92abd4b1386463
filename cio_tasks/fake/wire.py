"""Puts a plan on the wire: an answer, a slow one, a broken one, or none."""

import asyncio
import http.client
import socket
import struct

from aiohttp import web

from cio_tasks.fake.plans import Ending, Plan
from cio_tasks.fake.replies import JSON_TYPE, Reply
from cio_tasks.fake.scenario import Scenario

NO_LINGER = struct.pack("ii", 1, 0)
"""`SO_LINGER` on with zero seconds: closing the socket then sends RST instead of FIN."""


async def send(request: web.Request, plan: Plan, scenario: Scenario) -> web.StreamResponse:
    """End the exchange as planned.

    Where the connection was closed instead, the response returned here goes nowhere. The handler is cancelled
    when the client leaves first, so a hang lasts no longer than somebody waits.
    """
    await _pause(scenario.latency_seconds + (scenario.slow_seconds if plan.slow else 0))
    reply = _blemished(plan.reply, scenario)
    match plan.ending:
        case Ending.RESET:
            _reset(request)
        case Ending.REFUSE:
            _close(request)
        case Ending.HANG:
            await asyncio.sleep(scenario.hang_seconds)
            _close(request)
        case Ending.ANSWER if scenario.drip_seconds_per_byte:
            await _drip(request, reply, scenario.drip_seconds_per_byte)
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


async def _pause(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def _blemished(reply: Reply, scenario: Scenario) -> Reply:
    body = reply.body
    if scenario.truncated_json and reply.headers["content-type"] == JSON_TYPE:
        body = body[: len(body) // 2]
    return Reply(reply.status, body + b" " * scenario.padding_bytes, reply.headers)


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
