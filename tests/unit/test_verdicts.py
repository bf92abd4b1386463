"""What measurements mean, where no server could be made to show them."""

from datetime import timedelta
from typing import Any

import pytest

from cio_tasks.customerio.timings import Timings
from cio_tasks.customerio.transport import Anonymous, Reply
from cio_tasks.diagnostics.target_report import TargetReport
from cio_tasks.diagnostics.targets import Target
from cio_tasks.diagnostics.verdicts import judge

TARGET = Target("track", "CUSTOMERIO_TRACK_URL", "https://track.customer.io", "/", Anonymous(), is_needed=True)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def reply(total: float, **parts: float) -> Reply:
    shares: dict[str, Any] = {name: seconds(part) for name, part in parts.items()}
    timings = Timings(seconds(total), first_byte=shares.pop("first_byte", seconds(total)), **shares)
    return Reply("id", seconds(total), 200, {}, b'{"region":"us"}', timings=timings)


def judged(*rounds: Reply, connections: dict[str, timedelta | str] | None = None) -> TargetReport:
    return judge(TargetReport(TARGET, rounds=[*rounds], connections=connections or {"192.0.2.1": seconds(0.01)}))


@pytest.mark.row("Q6")
@pytest.mark.parametrize(
    ("parts", "said", "helps"),
    [
        ({"dns": 1.0, "connect": 0.1, "tls": 0.1}, "for the name", "name server"),
        ({"dns": 0.1, "connect": 0.5, "tls": 0.5}, "for the connection", "keep connections"),
        ({"dns": 0.1, "connect": 0.1, "tls": 0.1}, "for the answer", "status page"),
        ({"dns": 0.1, "connect": 0.1, "first_byte": 0.3}, "for the body", "the line is slow"),
    ],
)
def test_high_latency_names_the_part_that_takes_longest(parts: dict[str, float], said: str, helps: str) -> None:
    report = judged(reply(1.3, **parts))

    assert report.verdict == "high_latency"
    assert said in report.findings[0].message
    assert helps in report.findings[0].next


@pytest.mark.row("Q6")
@pytest.mark.parametrize(("totals", "verdict"), [((0.1, 5, 0.1), "ok"), ((0.1, 5, 5), "high_latency"), ((1.0,), "ok")])
def test_median_decides_what_is_slow(totals: tuple[float, ...], verdict: str) -> None:
    report = judged(*map(reply, totals))

    assert report.verdict == verdict
    assert report.worst == seconds(max(totals))


@pytest.mark.row("O2")
@pytest.mark.parametrize(
    ("problem", "severity"), [("connection_refused", "low"), ("unreachable", "low"), ("connection_timeout", "medium")]
)
def test_one_address_of_several_that_takes_no_connection(problem: str, severity: str) -> None:
    report = judged(reply(0.1), connections={"2001:db8::1": problem, "192.0.2.1": seconds(0.01)})

    assert [(one.severity.value, one.code) for one in report.findings] == [(severity, "some_addresses_fail")]
    assert report.shown()["tcpMs"] == 10


def test_median_of_an_even_number_is_between_the_middle_two() -> None:
    assert judged(*map(reply, (0.1, 0.2, 0.3, 0.4))).median == seconds(0.25)
