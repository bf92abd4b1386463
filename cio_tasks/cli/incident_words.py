"""What the options of `ciosync incident` take: an answer by its row, and a time or an age."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

ROWS: Final = ("J1", "J2", "J3", "J4", "J5")
AGE: Final = re.compile(r"([0-9]{1,6})([smhdw])")
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST: Final = timedelta(days=3650)


class Answers(click.ParamType[tuple[str, str]]):
    """`J1=text`: the row, and the answer to its question."""

    name = "J1=TEXT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return the row and the answer."""
        if isinstance(value, tuple):
            return value
        row, separator, text = str(value).partition("=")
        if row.upper() not in ROWS or not separator or not text.strip():
            self.fail(f"must be J1=…, J2=…, J3=…, J4=… or J5=…, not {row[:20]!r}", param, ctx)
        return row.upper(), text.strip()


class Since(click.ParamType[datetime | timedelta]):
    """An age, such as `2h`, or a time in ISO 8601, in UTC unless it says otherwise."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime | timedelta:
        """Return the age or the time."""
        if isinstance(value, datetime | timedelta):
            return value
        age = AGE.fullmatch(str(value).strip())
        if age is not None:
            return self._checked(timedelta(**{UNITS[age[2]]: int(age[1])}), param, ctx)
        try:
            at = datetime.fromisoformat(str(value).strip())
        except ValueError:
            self.fail("must be an age such as 30m, 2h or 7d, or a time such as 2026-11-01T09:30:00Z", param, ctx)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        self._checked(datetime.now(UTC) - at, param, ctx)
        return at

    def _checked(self, age: timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if not timedelta(0) < age <= LONGEST:
            self.fail("must be in the past, and less than ten years ago", param, ctx)
        return age
