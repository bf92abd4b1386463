"""The way to Customer.io, step by step: name, connection, certificate, answer, and where the time goes (rows O1 to O4).

Everything here reads; what writes is in `rate_limit.py` and has to be asked for. Every step ends in time by itself, name
servers included, so the whole does too.
"""

import errno
import socket
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from urllib3.util.connection import allowed_gai_family

from cio_tasks.customerio.transport import Reply, Transport
from cio_tasks.diagnostics.bounded import start, within
from cio_tasks.diagnostics.requests import SPARE, USER_AGENT
from cio_tasks.diagnostics.target_report import TargetReport
from cio_tasks.diagnostics.targets import Target
from cio_tasks.diagnostics.tls import Handshake, shake_hands
from cio_tasks.diagnostics.verdicts import judge

MOST_ADDRESSES: Final = 8
GIVE_UP_AFTER: Final = 2
"""Rounds without an answer, one after the other, after which no more are tried."""
HANDSHAKES: Final = 4
"""What `shake_hands` may take, in timeouts: one handshake, and three more connections to read a bad certificate."""


def measure(targets: Sequence[Target], *, count: int, timeout: timedelta) -> list[TargetReport]:
    """Measure the targets side by side, each by `count` fresh connections, and return the judged reports in their order.

    `timeout` bounds every single step. Raises nothing for what the other side does.
    """
    running = [
        start(partial(_measure_one, target, count, timeout), name=f"network {target.name}") for target in targets
    ]
    return [judge(future.result()) for future in running]


def _measure_one(target: Target, count: int, timeout: timedelta) -> TargetReport:
    authorities, via_proxy = target.surroundings()
    report = TargetReport(target, via_proxy)
    if not via_proxy:
        _resolve(report, timeout)
        _connect(report, timeout)
        if target.is_https:
            _shake_hands(report, authorities, timeout)
    if via_proxy or (report.connected and not (report.handshake and report.handshake.problem)):
        _ask(report, count, timeout)
    return report


def _resolve(report: TargetReport, timeout: timedelta) -> None:
    host, port, family = report.target.host, report.target.port, allowed_gai_family()
    began = time.monotonic()
    try:
        found = within(timeout, partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM), name="resolve")
    except TimeoutError:
        report.dns_problem = "dns_timeout"
    except (OSError, UnicodeError):
        report.dns_problem = "dns_failed"
    else:
        report.addresses = [*dict.fromkeys(str(where[0]) for *_, where in found)][:MOST_ADDRESSES]
    report.dns = timedelta(seconds=time.monotonic() - began)


def _connect(report: TargetReport, timeout: timedelta) -> None:
    """Connect to every address at once: one that never answers makes calls slow now and then, and nothing shows it."""
    port = report.target.port
    running = {
        address: start(partial(_time_connection, address, port, timeout), name=f"connect {address}")
        for address in report.addresses
    }
    report.connections = {address: future.result() for address, future in running.items()}


def _time_connection(address: str, port: int, timeout: timedelta) -> timedelta | str:
    began = time.monotonic()
    try:
        socket.create_connection((address, port), timeout.total_seconds()).close()
    except TimeoutError:
        return "connection_timeout"
    except ConnectionRefusedError:
        return "connection_refused"
    except OSError as error:
        return "unreachable" if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH} else "connection_failed"
    return timedelta(seconds=time.monotonic() - began)


def _shake_hands(report: TargetReport, authorities: str | None, timeout: timedelta) -> None:
    if report.connected is None:
        return
    target, address = report.target, report.connected[0]

    def shake() -> Handshake:
        return shake_hands(target.host, address, target.port, authorities=authorities, timeout=timeout)

    try:
        report.handshake = within(HANDSHAKES * timeout, shake, name="tls")
    except TimeoutError:
        report.handshake = Handshake(problem="tls_timeout")


def _ask(report: TargetReport, count: int, timeout: timedelta) -> None:
    """Ask over fresh connections, the first of which is asked twice."""
    for number in range(count):
        replies = _one_round(report.target, timeout, questions=1 if number else 2)
        report.rounds.append(replies[0])
        report.again = report.again or (replies[1] if len(replies) > 1 else None)
        if len(report.rounds) >= GIVE_UP_AFTER and not any(one.status for one in report.rounds[-GIVE_UP_AFTER:]):
            return


def _one_round(target: Target, timeout: timedelta, *, questions: int) -> list[Reply]:
    transport = Transport(target.url, auth=target.auth, total=timeout, user_agent=USER_AGENT)

    def ask() -> list[Reply]:
        replies = [transport.send("GET", target.path) for _ in range(questions)]
        transport.close()
        return replies

    try:
        return within(questions * (timeout + SPARE), ask, name="ask")
    except TimeoutError:
        return [Reply("unsent", timeout, failure="timeout")]
