"""The one place where an error becomes an exit code and three lines: what is wrong, why, and what to do.

No line holds a value of a row, a secret or an address: of a database's error only the class is shown.
"""

import json
import re
import sys
import traceback
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, Never

import click

from cio_tasks.cli.output import say
from cio_tasks.errors import CioTasksError
from cio_tasks.redaction import redact


class Exit(IntEnum):
    """What a script can tell a run by (the contract, `CLI`)."""

    OK = 0
    NO = 1
    USAGE = 2
    CONFIGURATION = 3
    UNAUTHORIZED = 4
    REFUSED = 5
    TRY_AGAIN = 6
    NOT_FOUND = 7
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as it is told."""

    code: str
    exit: Exit
    message: str
    cause: str
    hint: str
    request_id: str | None = None
    """Of the request that failed, when it was one; ours, as Customer.io sends none."""

    @property
    def retryable(self) -> bool:
        """Whether the same command may succeed later."""
        return self.exit is Exit.TRY_AGAIN


class CommandFailed(Exception):
    """A command ends with a fault that it knows better than the table does."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Kind:
    """What a class of errors becomes. Without `message`, the error's own text is ours and is shown."""

    code: str
    exit: Exit
    message: str | None = None
    hint: str = "the command's help: -h"


LONGEST: Final = 2_000
"""Characters of a line: settings name all their faults at once."""
DATABASE_DOWN: Final = Kind(
    "database.unavailable",
    Exit.TRY_AGAIN,
    "the database cannot be reached, or broke off",
    "is it running, and is DATABASE_URL right? ciosync config show; then run the command again",
)
REDIS_DOWN: Final = Kind(
    "redis.unavailable",
    Exit.TRY_AGAIN,
    "Redis cannot be reached, or broke off",
    "is it running, and is REDIS_URL right? ciosync config show; then run the command again",
)
KINDS: Final = {
    "cio_tasks.errors.ConfigurationError": Kind(
        "config.invalid", Exit.CONFIGURATION, hint="what is set, and where: ciosync config show --origin"
    ),
    "cio_tasks.errors.NotFound": Kind("not_found", Exit.NOT_FOUND, hint="look at the id again"),
    "cio_tasks.errors.Conflict": Kind("conflict", Exit.REFUSED),
    "cio_tasks.errors.PayloadError": Kind("payload.refused", Exit.REFUSED),
    "cio_tasks.errors.StateInUse": Kind("state.in_use", Exit.TRY_AGAIN, hint="stop the other process first"),
    "cio_tasks.errors.ExtraMissing": Kind("extra.missing", Exit.CONFIGURATION, hint='pip install "ciosync[local]"'),
    "cio_tasks.errors.EmbeddedError": Kind("embedded.failed", Exit.TRY_AGAIN, hint="run the command again"),
    "cio_tasks.errors.CioTasksError": Kind("failed", Exit.NO),
    "sqlalchemy.exc.ProgrammingError": Kind(
        "database.schema",
        Exit.CONFIGURATION,
        "the database does not have the tables that this release needs",
        "ciosync db check, then ciosync db upgrade",
    ),
    "alembic.util.exc.CommandError": Kind(
        "database.schema",
        Exit.CONFIGURATION,
        "the schema of the database is not one that this release knows",
        "was it migrated by a newer release? ciosync db current, ciosync version",
    ),
    "sqlalchemy.exc.OperationalError": DATABASE_DOWN,
    "sqlalchemy.exc.InterfaceError": DATABASE_DOWN,
    "sqlalchemy.exc.InternalError": DATABASE_DOWN,
    "sqlalchemy.exc.TimeoutError": DATABASE_DOWN,
    "psycopg2.OperationalError": DATABASE_DOWN,
    "psycopg2.InterfaceError": DATABASE_DOWN,
    "redis.exceptions.RedisError": REDIS_DOWN,
    "kombu.exceptions.OperationalError": REDIS_DOWN,
    "cio_tasks.queries.InvalidCursor": Kind(
        "cursor.invalid", Exit.USAGE, "this is not the cursor of a page of this list"
    ),
    "cio_tasks.intake.records.JsonArray": Kind(
        "file.json_array", Exit.USAGE, hint="jq -c '.[]' FILE | ciosync signups submit -"
    ),
    "cio_tasks.intake.records.WrongHeader": Kind(
        "file.header", Exit.USAGE, hint="the columns, or JSON lines instead: ciosync signups submit -h"
    ),
    "requests.exceptions.RequestException": Kind(
        "http.failed", Exit.TRY_AGAIN, "a request did not get the answer that it needed", "run the command again"
    ),
    "builtins.OSError": Kind("system", Exit.TRY_AGAIN, "the operating system refused", "mend the cause and run again"),
    "builtins.Exception": Kind(
        "internal", Exit.NO, "something went wrong inside ciosync", "where: run it again with --debug"
    ),
}
"""By the full name of the class, so that nothing needs to be imported; the nearest ancestor counts."""


CLICKS_WORDS: Final = (
    (re.compile(r"is not a valid integer(?: range)?\b"), "is not a whole number"),
    (re.compile(r"is not a valid float(?: range)?\b"), "is not a number"),
    (re.compile(r"is not in the range ([^\s<>]+)<=x<=([^\s<>]+?)(?=\.?$)"), r"must be from \1 to \2"),
    (re.compile(r"is not in the range x>=([^\s<>]+?)(?=\.?$)"), r"must be at least \1"),
    (re.compile(r"^Got unexpected extra arguments? \((.*)\)$"), r"there is no place for \1"),
)


def end(error: BaseException, *, as_json: bool, debug: bool) -> Never:
    """Tell `error` on stderr and exit with its code."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        sys.exit(Exit.INTERRUPTED)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        say(error.format_message(), err=True)
        sys.exit(Exit.USAGE)
    fault = fault_of(error)
    if debug:
        say(_trace(error), err=True)
    say(_as_json(fault) if as_json else _as_lines(fault), err=True)
    sys.exit(fault.exit)


def fault_of(error: BaseException) -> Fault:
    """Return what is told of `error`."""
    if isinstance(error, CommandFailed):
        return error.fault
    if isinstance(error, click.ClickException):
        return _usage_fault(error)
    kind = next(KINDS[name] for name in map(_name, type(error).__mro__) if name in KINDS)
    hint = error.hint if isinstance(error, CioTasksError) else None
    return _clean(Fault(kind.code, kind.exit, kind.message or str(error), _cause(error), hint or kind.hint))


def _usage_fault(error: click.ClickException) -> Fault:
    ctx = getattr(error, "ctx", None)
    usage = ctx.get_usage().replace("Usage:", "usage:") if ctx else "the arguments"
    path = ctx.command_path if ctx else "ciosync"
    return _clean(Fault("usage", Exit.USAGE, _in_our_words(error.format_message()), usage, f"{path} -h"))


def _in_our_words(message: str) -> str:
    """Return what click says of an argument as the other errors are told: without its mathematics and its full stop."""
    for pattern, words in CLICKS_WORDS:
        message = pattern.sub(words, message)
    return (message[:1].lower() + message[1:]).removesuffix(".")


def _clean(fault: Fault) -> Fault:
    def clean(text: str) -> str:
        return redact(text, limit=LONGEST)

    return replace(fault, message=clean(fault.message), cause=clean(fault.cause), hint=clean(fault.hint))


def _cause(error: BaseException) -> str:
    """Return why: for an error of ours what its class says, else its class and the code that came with it."""
    if isinstance(error, CioTasksError):
        meaning = (type(error).__doc__ or "").partition("\n")[0]
        return meaning if meaning != str(error) else _name(type(error))
    origin = getattr(error, "orig", None)
    names = [_name(type(error)), *([_name(type(origin))] if origin is not None else [])]
    code = getattr(origin if origin is not None else error, "pgcode", None)
    reason = error.strerror if isinstance(error, OSError) else None
    return " from ".join(names) + (f", SQLSTATE {code}" if code else "") + (f": {reason}" if reason else "")


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _as_lines(fault: Fault) -> str:
    return f"error: {fault.message}\ncause: {fault.cause}\nhint:  {fault.hint}"


def _as_json(fault: Fault) -> str:
    told = {"code": fault.code, "message": fault.message, "cause": fault.cause, "hint": fault.hint}
    return json.dumps({"error": {**told, "retryable": fault.retryable, "requestId": fault.request_id}})


def _trace(error: BaseException) -> str:
    """Return where `error` was raised, and by what; the texts of errors may hold the values of a row."""
    parts = []
    cause = error.__cause__ if isinstance(error, CommandFailed) else error
    while cause is not None:
        frames = "".join(traceback.format_tb(cause.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{_name(type(cause))}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n\n".join(reversed(parts))
