"""A TCP proxy that breaks connections on demand, in front of Postgres, Redis or Customer.io. Loopback only, bounded."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cio_tasks.processes import free_port

HOST: Final = "127.0.0.1"
CHUNK: Final = 65_536
MOST_CONNECTIONS: Final = 512
NO_LINGER: Final = struct.pack("ii", 1, 0)
SWITCH_SECONDS: Final = 5.0

Target = tuple[str, int] | Path
"""Host and port, or the path of a unix socket."""


class Mode(StrEnum):
    """What becomes of the connections."""

    PASS = "pass"
    REFUSE = "refuse"
    """Nobody listens, and what was open is reset."""
    BLACKHOLE = "blackhole"
    """Everything is accepted and swallowed, also on what was open. Afterwards those connections are reset."""
    RESET = "reset"
    """New and open connections are reset."""
    HALF_CLOSE = "half_close"
    """After the first bytes of an answer the client is told that no more will come."""
    DELAY = "delay"
    """Each piece of an answer waits for `seconds`."""
    TRICKLE = "trickle"
    """Answers come at `bytes_per_second`."""
    CUT_ANSWER = "cut_answer"
    """A connection is reset once `after_bytes` of answers have passed."""
    CUT_REQUEST = "cut_request"
    """A connection is reset once `after_bytes` of requests have passed."""
    CUT_ON_PATTERN = "cut_on_pattern"
    """A request with `pattern` is carried out, and the connection is reset before its answer: did it happen?"""
    CORRUPT = "corrupt"
    """The bit pattern of one byte, the one at `after_bytes` of a connection's answers, is turned round."""
    LIMIT = "limit"
    """More than `connections` at once are reset."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to misbehave. With `times`, it heals by itself after it has struck so often (cuts and corruption)."""

    mode: Mode = Mode.PASS
    seconds: float = 0.0
    bytes_per_second: int = 1
    after_bytes: int = 0
    pattern: bytes = b""
    connections: int = 0
    times: int | None = None


HEALTHY: Final = Fault()


class FaultProxy:
    """A proxy on a loopback port of its own, run by a thread of its own within a `with` block."""

    def __init__(self, target: Target, *, name: str = "proxy") -> None:
        self.name = name
        self.port = free_port()
        self.accepted = 0
        self.struck = 0
        self._target = target
        self._fault = HEALTHY
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name=f"proxy-{name}", daemon=True)

    @property
    def fault(self) -> Fault:
        """What is in force now."""
        return self._fault

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._pairs)

    def use(self, fault: Fault) -> None:
        """Misbehave like this from now on; returns when it is in force."""
        self._call(self._switch(fault))

    def heal(self) -> None:
        """Pass everything on again."""
        self.use(HEALTHY)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result(SWITCH_SECONDS)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SWITCH_SECONDS)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(SWITCH_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
        except OSError as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        self._loop.run_forever()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=256)

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _switch(self, fault: Fault) -> None:
        self._fault = fault
        everybody = fault.mode in {Mode.REFUSE, Mode.RESET}
        for pair in list(self._pairs):
            if everybody or (pair.swallowed and fault.mode is not Mode.BLACKHOLE):
                pair.abort()
        await (self._deafen() if fault.mode is Mode.REFUSE else self._listen())

    async def _stop(self) -> None:
        await self._deafen()
        for pair in list(self._pairs):
            pair.abort()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._is_refused():
            abort(writer)
            return
        pair = _Pair(self, writer)
        self._pairs.add(pair)
        try:
            await pair.run(reader, self._target)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            pair.abort()
            self._pairs.discard(pair)

    def _is_refused(self) -> bool:
        crowded = self._fault.mode is Mode.LIMIT and self.connections >= self._fault.connections
        return crowded or self._fault.mode is Mode.RESET or self.connections >= MOST_CONNECTIONS

    def strike(self) -> None:
        """Count that the fault has struck, and heal when that was the last time."""
        self.struck += 1
        if self._fault.times is not None:
            left = self._fault.times - 1
            self._fault = HEALTHY if left <= 0 else replace(self._fault, times=left)


class _Pair:
    """A client and the server it talks to."""

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamWriter) -> None:
        self.swallowed = False
        self._proxy = proxy
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self._asked = 0
        self._answered = 0
        self._tail = b""
        self._cut_next = False
        self._over = asyncio.Event()

    async def run(self, requests: asyncio.StreamReader, target: Target) -> None:
        """Carry bytes both ways until either side ends or a fault does."""
        answers, self._server = await connect(target)
        ways = [
            asyncio.ensure_future(self._carry_requests(requests, self._server)),
            asyncio.ensure_future(self._carry_answers(answers)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def abort(self) -> None:
        """Reset both sides."""
        self._over.set()
        abort(self._client)
        if self._server is not None:
            self._server.close()

    async def _carry_requests(self, requests: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await requests.read(CHUNK):
            fault = self._proxy.fault
            if fault.mode is Mode.BLACKHOLE:
                self.swallowed = True
                continue
            if fault.mode is Mode.CUT_ON_PATTERN and fault.pattern in self._tail + data:
                self._cut_next = True
            self._tail = data[-len(fault.pattern) :] if fault.pattern else b""
            if fault.mode is Mode.CUT_REQUEST and self._asked + len(data) > fault.after_bytes:
                server.write(data[: max(fault.after_bytes - self._asked, 0)])
                await server.drain()
                self._proxy.strike()
                return
            self._asked += len(data)
            server.write(data)
            await server.drain()

    async def _carry_answers(self, answers: asyncio.StreamReader) -> None:
        while data := await answers.read(CHUNK):
            if self._cut_next:
                self._proxy.strike()
                return
            if not await self._pass_on(data, self._proxy.fault):
                return
            self._answered += len(data)

    async def _pass_on(self, data: bytes, fault: Fault) -> bool:
        """Hand an answer to the client as the fault wants it; return whether the connection goes on."""
        match fault.mode:
            case Mode.BLACKHOLE:
                self.swallowed = True
                return True
            case Mode.DELAY:
                await self._wait(fault.seconds)
            case Mode.TRICKLE:
                return await self._trickle(data, fault.bytes_per_second)
            case Mode.CUT_ANSWER if self._answered + len(data) > fault.after_bytes:
                await self._send(data[: max(fault.after_bytes - self._answered, 0)])
                self._proxy.strike()
                return False
            case Mode.CORRUPT if 0 <= fault.after_bytes - self._answered < len(data):
                place = fault.after_bytes - self._answered
                data = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
                self._proxy.strike()
            case Mode.HALF_CLOSE:
                await self._send(data)
                self._client.write_eof()
                self._proxy.strike()
                await self._over.wait()
                return False
        await self._send(data)
        return True

    async def _trickle(self, data: bytes, bytes_per_second: int) -> bool:
        for place in range(len(data)):
            if self._proxy.fault.mode is not Mode.TRICKLE:
                await self._send(data[place:])
                return True
            await self._send(data[place : place + 1])
            await self._wait(1 / bytes_per_second)
        return True

    async def _send(self, data: bytes) -> None:
        self._client.write(data)
        await self._client.drain()

    async def _wait(self, seconds: float) -> None:
        """Wait, or end at once when the connection does."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


async def connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to what the proxy stands in front of."""
    if isinstance(target, Path):
        return await asyncio.open_unix_connection(str(target))
    return await asyncio.open_connection(*target)


def abort(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    writer.transport.abort()
