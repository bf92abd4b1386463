"""Failpoints: named places where a test kills, stops or delays this very process. Unless armed they do nothing.

They are armed once, when a process starts, from `CIO_FAILPOINTS`, which production refuses.
"""

import os
import random
import re
import signal
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cio_tasks.errors import CioTasksError


class Failpoint(StrEnum):
    """The places, in the order in which a signup passes them."""

    WEB_BEFORE_COMMIT = "web.before_commit"
    """Signup and job are written and not committed."""
    WEB_AFTER_COMMIT = "web.after_commit"
    """They are committed, and no worker was woken."""
    WEB_WHILE_PUBLISHING = "web.while_publishing"
    """Redis answered, and the message is not sent."""
    SWEEP_BEFORE_CLAIM = "sweep.before_claim"
    """A sweep is about to claim what is due."""
    SWEEP_AFTER_DELIVERY = "sweep.after_delivery"
    """A sweep has delivered and recorded one lot, and goes on."""
    WORKER_BEFORE_CLAIM = "worker.before_claim"
    """A message arrived, and its job is not claimed."""
    WORKER_CLAIM_UNANSWERED = "worker.claim_unanswered"
    """The claim is committed, and the worker does not know it yet."""
    WORKER_AFTER_CLAIM = "worker.after_claim"
    """The payload is built, and nothing is sent."""
    WORKER_WHILE_SENDING = "worker.while_sending"
    """The request is half written."""
    WORKER_BEFORE_RECORD = "worker.before_record"
    """Customer.io has answered, and nothing is recorded."""
    WORKER_RECORD_UNANSWERED = "worker.record_unanswered"
    """The outcome is committed, and the worker has told nobody."""
    WORKER_AFTER_RECORD = "worker.after_record"
    """All is recorded and told, and the task is not over."""
    WORKER_BEFORE_LIVE_EVENT = "worker.before_live_event"
    """The outcome of one job is about to be told to the listeners."""
    WORKER_BEFORE_RETRY_MESSAGE = "worker.before_retry_message"
    """The retry is on the row, and its message is not sent."""
    REAPER_BEFORE_UPDATE = "reaper.before_update"
    """Stuck jobs are about to be taken back."""
    REAPER_BEFORE_COMMIT = "reaper.before_commit"
    """A lot of them is taken back and not committed."""
    ADMIN_AFTER_COMMIT = "admin.after_commit"
    """A manual retry is committed, and no worker was woken."""
    WEBHOOK_BEFORE_INSERT = "webhook.before_insert"
    """The signature is good, and nothing is stored."""
    WEBHOOK_BEFORE_ANSWER = "webhook.before_answer"
    """The event is stored, and the sender does not know it."""
    BEAT_AFTER_TICK = "beat.after_tick"
    """A tick is sent, and the schedule is not saved."""
    MIGRATION_BETWEEN_STEPS = "migration.between_steps"
    """One step of a migration is done, and the next is not."""
    DEAD_LETTER_BEFORE_COMMIT = "dead_letter.before_commit"
    """Job and dead letter are written and not committed."""


class Action(StrEnum):
    """What happens to the process that comes by."""

    KILL = "kill"
    """SIGKILL: nothing is cleaned up."""
    STOP = "stop"
    """SIGSTOP: it hangs until somebody sends SIGCONT."""
    RAISE = "raise"
    """`FailpointReached` is raised."""
    EXIT = "exit"
    """The process ends at once with code 70, without handlers."""
    SLEEP = "sleep"
    """It waits for the milliseconds given."""


class FailpointReached(CioTasksError):
    """A failpoint was armed to raise here."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one entry of a specification asks for.

    `nth` counts the hits of this process from 1; `probability` is drawn at each hit; `needs_token` lets it happen only
    to the process that takes the file `<point>.<action>` out of the folder, so once for each file, whoever comes first.
    """

    point: Failpoint
    action: Action
    milliseconds: int = 0
    nth: int | None = None
    probability: float | None = None
    needs_token: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """A specification that was understood. In `folder`, if there is one, lie the tokens and the notes of what fired."""

    plans: tuple[Plan, ...]
    seed: int = 0
    folder: Path | None = None


EXIT_CODE: Final = 70
FIRED: Final = "fired.log"
ENTRY: Final = re.compile(
    r"(?P<point>[a-z_.]+)=(?P<action>[a-z]+)(?:\((?P<ms>\d{1,6})\))?"
    r"(?:@(?P<nth>[1-9]\d{0,8}))?(?:%(?P<p>0?\.\d+|[01]))?(?P<token>!token)?"
)


def parse(spec: str) -> Orders:
    """Read a specification: entries with semicolons between them.

    An entry is `point=action`, then as needed `(milliseconds)` for sleep, `@3` for the third hit alone, `%0.01` for a
    probability, `!token` for once a token; or `seed=7`, or `dir=/a/folder`.

    Raises:
        ValueError: naming the entry that is wrong by its place.
    """
    options: dict[str, str] = {}
    plans: list[Plan] = []
    for number, entry in enumerate(filter(None, map(str.strip, spec.split(";"))), 1):
        name, _, value = entry.partition("=")
        if name in {"seed", "dir"}:
            options[name] = value
        else:
            plans.append(_plan(number, entry))
    if not options.get("seed", "0").isdecimal():
        raise ValueError("the seed is not a whole number")
    folder = Path(options["dir"]) if options.get("dir") else None
    if folder is None and any(plan.needs_token for plan in plans):
        raise ValueError("a token needs dir=, the folder where it lies")
    return Orders(tuple(plans), int(options.get("seed", "0")), folder)


def _plan(number: int, entry: str) -> Plan:
    found = ENTRY.fullmatch(entry)
    if found is None:
        raise ValueError(f"entry {number} is not point=action")
    if found["point"] not in set(Failpoint):
        raise ValueError(f"entry {number} names no failpoint")
    if found["action"] not in set(Action):
        raise ValueError(f"entry {number} has an unknown action; actions: {', '.join(Action)}")
    if (found["ms"] is None) == (found["action"] == Action.SLEEP):
        raise ValueError(f"entry {number}: sleep, and only sleep, takes milliseconds, as in sleep(250)")
    return Plan(
        Failpoint(found["point"]),
        Action(found["action"]),
        milliseconds=int(found["ms"] or 0),
        nth=int(found["nth"]) if found["nth"] else None,
        probability=float(found["p"]) if found["p"] else None,
        needs_token=found["token"] is not None,
    )


class _Armed:
    """A plan in force, with how often its place was passed."""

    def __init__(self, plan: Plan, orders: Orders) -> None:
        self._plan = plan
        self._folder = orders.folder
        self._lock = threading.Lock()
        self._hits = 0
        # With the process in it: drawn from the seed alone, a process that died at its first hit would always do so.
        self._random = random.Random(f"{orders.seed}:{plan.point}:{os.getpid()}")  # noqa: S311 - nothing secret

    def pass_by(self) -> None:
        """Count the hit, and act if the plan says so."""
        with self._lock:
            self._hits += 1
            chosen = self._is_chosen()
        if chosen and self._takes_token():
            self._note()
            _act(self._plan)

    def _is_chosen(self) -> bool:
        if self._plan.nth is not None and self._hits != self._plan.nth:
            return False
        return self._plan.probability is None or self._random.random() < self._plan.probability

    def _takes_token(self) -> bool:
        if not self._plan.needs_token or self._folder is None:
            return True
        try:
            (self._folder / token_name(self._plan.point, self._plan.action)).unlink()
        except FileNotFoundError:
            return False
        return True

    def _note(self) -> None:
        """Write down that it happens, in one piece, since another process may be writing too."""
        if self._folder is not None:
            line = f"{self._plan.point} {self._plan.action} {os.getpid()} {time.time():.3f}\n"
            with (self._folder / FIRED).open("ab", buffering=0) as notes:
                notes.write(line.encode())


def token_name(point: Failpoint, action: Action) -> str:
    """Return the name of the file that lets this action happen once at this place."""
    return f"{point}.{action}"


_armed: dict[str, list[_Armed]] = {}


def arm(spec: str | None) -> None:
    """Put a specification in force in this process; None disarms everything.

    Raises:
        ValueError: as `parse` does.
    """
    orders = parse(spec or "")
    fresh: dict[str, list[_Armed]] = defaultdict(list)
    for plan in orders.plans:
        fresh[plan.point].append(_Armed(plan, orders))
    _armed.clear()
    _armed.update(fresh)


def hit(name: str) -> None:
    """Pass the place called `name`. Without plans for it, this is a look into an empty dictionary."""
    if _armed:
        for armed in _armed.get(name, ()):
            armed.pass_by()


def _act(plan: Plan) -> None:
    match plan.action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Action.RAISE:
            raise FailpointReached(f"reached {plan.point}")
        case Action.EXIT:
            os._exit(EXIT_CODE)
        case Action.SLEEP:
            time.sleep(plan.milliseconds / 1000)
