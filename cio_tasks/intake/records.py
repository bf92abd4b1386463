"""Lines become signups: JSON lines or CSV, judged by the same rules as the API's bodies."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any, Final, Literal

from pydantic import ValidationError

from cio_tasks.errors import CioTasksError
from cio_tasks.intake.bodies import ConfirmationIn, SignupIn
from cio_tasks.intake.documents import Unreadable, parse_json
from cio_tasks.intake.faults import FieldFault, list_faults
from cio_tasks.intake.fields import ExternalId
from cio_tasks.intake.lines import Line

Format = Literal["jsonl", "csv"]

CUSTOMER: Final = ("email", "firstName", "lastName", "phone")
SIGNUP: Final = ("externalId", "operatorId", "submittedAt")
NUMBERS: Final = ("betAmount", "confidence")
EXTRACTION: Final = ("betAmount", "teamBetOn", "odds", "confidence")
COLUMNS: Final = (*SIGNUP, *CUSTOMER, *EXTRACTION)
REQUIRED: Final = ("externalId", "operatorId", "email", "firstName", "lastName")
DELIMITERS: Final = ",;\t"
NUMBER: Final = re.compile(r"[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]{1,3})?")


class WrongHeader(CioTasksError):
    """The first line of the CSV file does not name its columns."""


class JsonArray(CioTasksError):
    """The file holds one JSON array, and one object a line is needed."""


class SignupLine(SignupIn):
    """A line of a file: a signup, whose own id makes it safe to bring again, and perhaps its confirmed bet slip."""

    external_id: ExternalId
    extraction: ConfirmationIn | None = None


@dataclass(frozen=True, slots=True)
class Good:
    """A line that keeps the rules."""

    line: int
    read: int
    """Bytes of the file read so far, this line included."""
    signup: SignupLine


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that does not, and why."""

    line: int
    read: int
    faults: Sequence[FieldFault]


Record = Good | Bad


def read_records(lines: Iterable[Line], form: Format | None = None) -> Iterator[Record]:
    """Yield the records of a file; without `form` the first line tells whether it is JSON lines or CSV.

    Raises:
        WrongHeader: the first line of a CSV file does not name the columns.
        JsonArray: the file is not of lines.
    """
    lines = iter(lines)
    first = next(lines, None)
    if first is None:
        return
    if form != "csv" and first.text.lstrip("\ufeff ").startswith("["):
        raise JsonArray
    looks_like_json = first.fault is not None or first.text.lstrip().startswith("{")
    form = form or ("jsonl" if looks_like_json else "csv")
    yield from _read_jsonl(chain([first], lines)) if form == "jsonl" else _read_csv(first, lines)


def _record(line: Line, parse: Callable[[str], Any]) -> Record:
    if line.fault is not None:
        return _bad(line, line.fault)
    try:
        return Good(line.number, line.read, SignupLine.model_validate(parse(line.text)))
    except ValidationError as error:
        return Bad(line.number, line.read, list_faults(error))
    except Unreadable as error:
        return _bad(line, "is cut off: the file ends within it" if line.is_cut_off else str(error))


def _bad(line: Line, message: str) -> Bad:
    return Bad(line.number, line.read, [FieldFault("line", message)])


# --- JSON lines -------------------------------------------------------------------------------------------------------


def _read_jsonl(lines: Iterable[Line]) -> Iterator[Record]:
    return (_record(line, parse_json) for line in lines)


# --- CSV --------------------------------------------------------------------------------------------------------------


def _read_csv(header: Line, lines: Iterable[Line]) -> Iterator[Record]:
    """Read a record a line: a quoted cell with a line break in it could hold nothing that the rules allow."""
    delimiter = max(DELIMITERS, key=header.text.count)
    columns = _columns(header, delimiter)

    def parse(text: str) -> dict[str, Any]:
        cells = _cells(text, delimiter)
        if len(cells) != len(columns):
            raise Unreadable(f"has {len(cells)} cells, the header has {len(columns)}")
        return _document(dict(zip(columns, cells, strict=True)))

    return (_flat(_record(line, parse)) for line in lines)


def _columns(header: Line, delimiter: str) -> list[str]:
    """Return the names of the columns. A name that is not known is not repeated: the line may be a person's data."""
    if header.fault is not None:
        raise WrongHeader(f"the first line {header.fault}")
    names = [name.strip() for name in _cells(header.text, delimiter)]
    for number, name in enumerate(names, 1):
        if name not in COLUMNS or name in names[: number - 1]:
            raise WrongHeader(f"column {number} of the header has no known name, or one that is there twice")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise WrongHeader(f"the header lacks {', '.join(missing)}")
    return names


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        raise Unreadable("is not CSV: look at its quotes") from None


def _document(cells: dict[str, str]) -> dict[str, Any]:
    """Return the cells as the object that a JSON line would be; an empty cell is absent."""
    filled = {name: cell for name, cell in cells.items() if cell.strip()}
    document: dict[str, Any] = {name: filled[name] for name in SIGNUP if name in filled}
    document["customer"] = {name: filled[name] for name in CUSTOMER if name in filled}
    extraction = {
        name: _number(filled[name]) if name in NUMBERS else filled[name] for name in EXTRACTION if name in filled
    }
    return {**document, "extraction": extraction} if extraction else document


def _number(cell: str) -> Decimal | str:
    """Return the number in a cell; anything else stays a text, which is then refused."""
    text = cell.strip()
    return Decimal(text) if NUMBER.fullmatch(text) else text


def _flat(record: Record) -> Record:
    """Name the columns, not the paths, of faults."""
    if isinstance(record, Good):
        return record
    return Bad(record.line, record.read, [FieldFault(f.field.rpartition(".")[2], f.message) for f in record.faults])
