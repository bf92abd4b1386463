"""What the tables have in common: how times are stored, and conditions that hold a column to an enum."""

from typing import Final

from sqlalchemy import DateTime

from cio_tasks.outcomes import ErrorType
from cio_tasks.states import JobStatus, Phase

Timestamp: Final = DateTime(timezone=True)


def one_of(column: str, words: type[JobStatus | Phase | ErrorType], *, optional: bool = False) -> str:
    """Return the SQL condition that `column` holds one of the words of an enum."""
    listed = ", ".join(f"'{word}'" for word in words)
    return f"{column} IN ({listed})" + (f" OR {column} IS NULL" if optional else "")
