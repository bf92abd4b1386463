"""Reading a query string as a model: every parameter known, given once, and spelled as it must be."""

import re
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

from flask import request
from pydantic import BaseModel, BeforeValidator, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError
from werkzeug.exceptions import BadRequest

from api.errors import InvalidInput
from cio_tasks.intake import list_faults
from cio_tasks.intake.fields import Clean

MOST_PARAMETERS: Final = 50
PLAIN_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,9}")

Parameters = TypeVar("Parameters", bound=BaseModel)


def read_query(model: type[Parameters]) -> Parameters:
    """Return the query string of the current request as `model`.

    Raises:
        BadRequest: when it is not UTF-8, or has very many parameters.
        InvalidInput: naming each parameter that is unknown, given twice, or not as it must be.
    """
    given = _read_pairs()
    names = [name for name, _ in given]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput.of(name if name in _known(model) else "?", "must be given only once")
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise InvalidInput(list_faults(error)) from None


def _read_pairs() -> list[tuple[str, str]]:
    """Decode the bytes ourselves: Werkzeug turns what is not UTF-8 into another text without a word."""
    try:
        query = request.query_string.decode("ascii")
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise BadRequest from None


def _known(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def _to_int(value: Any) -> Any:
    """Take plain digits only: `int` would also take signs, blanks, underscores and the digits of other scripts."""
    if isinstance(value, int):
        return value
    if not (isinstance(value, str) and PLAIN_DIGITS.fullmatch(value)):
        raise PydanticCustomError("whole_number", "must be a whole number")
    return int(value)


DIGITS: Final = BeforeValidator(_to_int)
SearchText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), Clean]
