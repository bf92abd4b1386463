"""Reading JSON as it must be: UTF-8, every number a Decimal, no NaN, no infinity, no name twice in an object."""

import json
from decimal import Decimal
from typing import Any, NoReturn

from cio_tasks.errors import CioTasksError


class Unreadable(CioTasksError):
    """This is not a JSON document in UTF-8."""


def parse_json(document: bytes | str) -> Any:
    """Return what `document` says.

    Raises:
        Unreadable: when it is not one JSON document in UTF-8, is nested too deep, or names something twice. The message
            holds nothing of it.
    """
    try:
        return json.loads(
            document if isinstance(document, str) else document.decode(),
            parse_float=Decimal,
            parse_int=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8") from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Unreadable(error.args[0] if type(error) is _OwnReasonError else "is not JSON") from None


class _OwnReasonError(ValueError):
    """A reason of our own."""


def _refuse_constant(name: str) -> NoReturn:
    raise _OwnReasonError(f"holds {name}, which is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise _OwnReasonError("names a field twice")
    return named
