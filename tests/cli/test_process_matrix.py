"""Every troubleshooting command in every kind of trouble, as a process: how it ends, what it says, what it keeps back."""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import make_url

from cio_tasks import webhook_events
from cio_tasks.cli.faults import Exit
from cio_tasks.customerio.webhooks import read_event
from cio_tasks.fake import (
    AppScenario,
    Campaign,
    FakeCustomerIO,
    PastActivity,
    PastMessage,
    PersonHistory,
    Scenario,
    Segment,
    StatusScenario,
)
from tests.checking import nobody
from tests.cli.canaries import leaks
from tests.cli.conftest import Answer, CommandLine
from tests.factories import Factory
from tests.integration.buried import bury
from tests.receiver import Receiver

SITE_ID, API_KEY, APP_KEY = "SITE+site-canary/0123", "TRACK+track-canary/0123", "APPS+app-canary/0123456789abcdef"
WEBHOOK_KEY, PASSWORD, WRONG_KEY = "HOOK+hook-canary/0123", "PASS+pass-canary/word", "WRONG+wrong-canary/0123"
TOKEN = "OPS+ops-canary/0123456789abcdef0123456789"
SECRETS = (SITE_ID, API_KEY, APP_KEY, WEBHOOK_KEY, PASSWORD, WRONG_KEY, TOKEN)
KNOWN, STRANGER = "ada.canary@example.com", "eve.canary@example.org"
HOUR = timedelta(hours=1)
SILENT = (Exit.OK, Exit.NO)
"""How a run may end without an error: what it found is its answer."""
AT_ONCE = 4
"""So many processes run side by side: most of their time they wait."""

BODY = json.dumps({"event_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "object_type": "email", "metric": "opened"}).encode()
STAMP = str(int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()))
SIGNATURE = hmac.new(WEBHOOK_KEY.encode(), f"v0:{STAMP}:".encode() + BODY, hashlib.sha256).hexdigest()
SIGNED = ("--body", "body.json", "--timestamp", STAMP, "--signature", SIGNATURE)
ANSWERS = [part for row in range(1, 6) for part in ("--answer", f"J{row}=mail to {KNOWN}")]

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "doctor": ("doctor", "--only", "config,database,redis,gate,customerio,webhook", "--timeout", "{seconds}"),
    "network": ("network", "--count", "1", "--timeout", "{seconds}"),
    "identify": ("debug", "identify", KNOWN, "-a", f"email={KNOWN}", "--timeout", "{seconds}"),
    "track": ("debug", "track", KNOWN, "bought", "-d", f"to={KNOWN}", "--api", "v2", "--timeout", "{seconds}"),
    "auth": ("debug", "auth", "--timeout", "{seconds}"),
    "campaign": ("debug", "campaign", "17", "--user", KNOWN, "--within", "{budget}"),
    "customer": ("investigate", KNOWN, "--within", "{budget}"),
    "stranger": ("investigate", STRANGER, "--within", "{budget}"),
    "verify": ("webhook", "verify", *SIGNED),
    "send": ("webhook", "send", "--body", "body.json", "--to", "{receiver}"),
    "severity": ("incident", "severity", "--explain", "--timeout", "{seconds}"),
    "runbook P1": ("incident", "runbook", "P1", "--timeout", "{seconds}"),
    "runbook P3": ("incident", "runbook", "P3", "--timeout", "{seconds}"),
    "sheet": ("incident", "sheet", *ANSWERS, "--timeout", "{seconds}"),
}
"""What is typed. The times are long where everybody answers, so that a busy machine changes no ending."""


@dataclass(frozen=True)
class Trouble:
    """A kind of trouble: the weather, what the environment has instead, and how the commands that it concerns end."""

    endings: Mapping[str, int]
    scenario: Scenario = field(default_factory=Scenario)
    environment: Mapping[str, str] = field(default_factory=dict)
    stopped: bool = False
    receiver: int | str = 200
    seconds: float = 15
    budget: float = 20


def ends(**names: str) -> dict[str, int]:
    """Return how commands end, by code: `ends(with_0="severity runbook_P1", with_6="auth")`."""
    return {
        name.replace("_", " "): int(code.removeprefix("with_"))
        for code, listed in names.items()
        for name in listed.split()
    }


LIMITED = AppScenario(rate_limit=0, retry_after="60")
HANGING = Scenario(outage="hang", app=AppScenario(outage="hang"), status_page=StatusScenario(outage="hang"))
BABBLING = Scenario(truncated_json=True, app=AppScenario(not_json=True), status_page=StatusScenario(not_json=True))
MOVED = Scenario(wrong_region="redirect", app=AppScenario(wrong_region="redirect"))
ELSEWHERE = Scenario(wrong_region="unauthorized", app=AppScenario(wrong_region="unauthorized"))
KEYS = ("CUSTOMERIO_SITE_ID", "CUSTOMERIO_API_KEY", "CUSTOMERIO_APP_API_KEY", "CUSTOMERIO_WEBHOOK_SECRET")
UNREACHABLE = ends(
    with_0="customer severity sheet",
    with_1="doctor runbook_P1",
    with_6="network identify track auth campaign stranger send",
)
TROUBLES: Mapping[str, Trouble] = {
    "none": Trouble({**dict.fromkeys(COMMANDS, 0), "stranger": 7}),
    "wrong credentials": Trouble(
        ends(
            with_0="customer severity",
            with_1="doctor runbook_P1 verify",
            with_4="network identify track auth campaign stranger send",
        ),
        environment=dict.fromkeys(KEYS, WRONG_KEY),
        receiver=401,
    ),
    "wrong region, redirected": Trouble(
        ends(with_0="customer", with_1="doctor", with_3="network identify track auth campaign stranger", with_5="send"),
        scenario=MOVED,
        receiver=301,
    ),
    "wrong region, refused": Trouble(
        ends(with_1="doctor", with_4="network auth campaign stranger"), scenario=ELSEWHERE
    ),
    "no App key": Trouble(
        ends(with_0="doctor auth customer runbook_P3", with_3="campaign stranger"),
        environment={"CUSTOMERIO_APP_API_KEY": ""},
    ),
    "stopped": Trouble(UNREACHABLE, stopped=True, receiver="reset"),
    "slow": Trouble(UNREACHABLE, scenario=HANGING, receiver="hang", seconds=2),
    "rate limited": Trouble(
        {**UNREACHABLE, "doctor": 0},
        scenario=Scenario(error_rate=1, error_status=429, retry_after="60", app=LIMITED),
        receiver=429,
    ),
    "rubbish": Trouble({**UNREACHABLE, "stranger": 7}, scenario=BABBLING, receiver="rubbish"),
    "database away": Trouble(
        ends(with_0="campaign customer severity runbook_P1 runbook_P3 sheet", with_1="doctor", with_6="stranger"),
        environment={"DATABASE_URL": f"postgresql://u:{quote(PASSWORD, safe='')}@127.0.0.1:{{closed}}/db"},
    ),
    "nothing set": Trouble(
        ends(with_0="network severity", with_1="doctor runbook_P1", with_3="track auth campaign customer verify send"),
        environment=dict.fromkeys(("DATABASE_URL", "REDIS_URL", "CIO_API_TOKENS", *KEYS), ""),
    ),
}
"""In `rubbish` a 404 of the App API is as readable as ever, so that a stranger stays one."""


@pytest.fixture
def fake() -> Iterator[FakeCustomerIO]:
    with FakeCustomerIO(site_id=SITE_ID, api_key=API_KEY, app_api_key=APP_KEY) as fake:
        fake.remember(
            Segment(id=7, name="Bettors"), Campaign(id=17, name=f"For {KNOWN}", event_name="signup_submitted")
        )
        yield fake


@pytest.fixture
def near(fake: FakeCustomerIO, make: Factory, database_url: str, redis_url: str) -> CommandLine:
    """Return `ciosync` with all that it needs, somebody to look for, and secrets in every setting that has one."""
    signup = make.signup(KNOWN)
    bury(make, signup, ago=HOUR, attempt_count=5, error_message=f"refused {KNOWN} with {TOKEN}")
    fake.remember(_history(str(signup.customer_id)))
    with make.sessions.begin() as session:
        report = {"event_id": "e1", "object_type": "email", "metric": "bounced", "data": {"recipient": KNOWN}}
        body = json.dumps({**report, "timestamp": 1_700_000_000}).encode()
        webhook_events.store(session, read_event(body), body=body, signed_at=datetime.now(UTC))
    Path("body.json").write_bytes(BODY)
    return CommandLine(
        {
            "DATABASE_URL": make_url(database_url).set(password=PASSWORD).render_as_string(hide_password=False),
            "REDIS_URL": redis_url,
            **dict.fromkeys(("CUSTOMERIO_TRACK_URL", "CUSTOMERIO_APP_URL", "CUSTOMERIO_STATUS_URL"), fake.url),
            "CUSTOMERIO_SITE_ID": SITE_ID,
            "CUSTOMERIO_API_KEY": API_KEY,
            "CUSTOMERIO_APP_API_KEY": APP_KEY,
            "CUSTOMERIO_WEBHOOK_SECRET": WEBHOOK_KEY,
            "CIO_API_TOKENS": f"ops:operator:{TOKEN}",
        }
    )


def _history(person: str) -> PersonHistory:
    return PersonHistory.model_validate(
        {
            "id": person,
            "email": KNOWN,
            "attributes": {"first_name": "Ada", "note": f"{KNOWN} {TOKEN}"},
            "segments": (7,),
            "activities": (PastActivity(name="bought", data={"to": KNOWN, "key": TOKEN}, ago=HOUR),),
            "messages": (
                PastMessage(metrics=("sent", "bounced"), failure_message=f"550 {KNOWN} unknown", ago=30 * HOUR),
                PastMessage(campaign_id=17, ago=HOUR),
            ),
        }
    )


@pytest.mark.row("K1", "K4", "L1", "M1", "N1", "O1", "P1.1", "P3.1", "Q2")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_command_ends_as_it_should_and_keeps_what_is_secret(
    near: CommandLine, fake: FakeCustomerIO, trouble: str
) -> None:
    given = TROUBLES[trouble]
    fake.scenario = given.scenario
    if given.stopped:
        fake.stop()
    amiss = [
        f"{' '.join((*typed[:2], flag))}: {fault}"
        for typed, flag, code, answer in run_all(near, given)
        for fault in faults_of(answer, code, is_json=bool(flag))
    ]
    assert not amiss, "\n".join(amiss)


Run = tuple[list[str], str, int, Answer]


def run_all(near: CommandLine, given: Trouble) -> Iterator[Run]:
    """Run what the trouble concerns, every other one for scripts: what was typed, and what came of it."""
    with nobody() as closed, Receiver(*[given.receiver] * 2) as receiver, ThreadPoolExecutor(AT_ONCE) as side_by_side:
        environment = {name: value.format(closed=closed) for name, value in given.environment.items()}
        cli = CommandLine({**near.environment, **environment})
        started = []
        for number, (name, code) in enumerate(given.endings.items(), [*TROUBLES.values()].index(given)):
            words = {"seconds": given.seconds, "budget": given.budget, "receiver": receiver.url}
            typed, flag = [word.format(**words) for word in COMMANDS[name]], ("", "--json")[number % 2]
            run = side_by_side.submit(cli.process, *typed, *([flag] if flag else []))
            started.append((typed, flag, code, run))
        yield from ((typed, flag, code, run.result()) for typed, flag, code, run in started)


def faults_of(answer: Answer, code: int, *, is_json: bool) -> Iterator[str]:
    """Yield what is wrong with how a run ended and with what it printed."""
    if answer.code != code:
        yield f"ended with {answer.code}, not with {code}: {answer.err[-500:]}"
    if "Traceback" in answer.out + answer.err:
        yield f"a traceback: {answer.err[-500:]}"
    yield from (f"printed {leak}" for leak in leaks(answer, *SECRETS))
    if is_json:
        yield from _faults_for_scripts(answer)
    elif answer.code not in SILENT and _error_lines(answer) != ["error:", "cause:", "hint:"]:
        yield f"no error of three lines: {answer.err}"


def _error_lines(answer: Answer) -> list[str]:
    return [line.split()[0] for line in answer.err.splitlines()[-3:] if len(line.split()) > 1]


def _faults_for_scripts(answer: Answer) -> Iterator[str]:
    """Yield what a script would stumble over: one object on stdout, and on stderr one error or nothing."""
    try:
        if answer.out and not isinstance(answer.json, dict):
            yield f"stdout is no object: {answer.out[:200]}"
        is_told = answer.code in SILENT and not answer.err
        if not is_told and not {"code", "message", "cause", "hint"} <= json.loads(answer.err)["error"].keys():
            yield f"stderr is no error: {answer.err[:500]}"
    except ValueError:
        yield f"no JSON: {answer.out[:200]} {answer.err[:500]}"
