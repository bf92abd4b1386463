"""Reading a JSON body as one of the models of `cio_tasks.intake`, which has the rules (decision 0003)."""

from typing import Final, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from api.errors import InvalidInput
from cio_tasks.intake import Unreadable, list_faults, parse_json

BODY_BYTES: Final = 64_000

Body = TypeVar("Body", bound=BaseModel)


def read_body(model: type[Body]) -> Body:
    """Return the body of the current request as `model`.

    Raises:
        UnsupportedMediaType: when it is not declared as plain JSON.
        RequestEntityTooLarge: when it has more than `BODY_BYTES`; the rest is not read.
        Unreadable: when it is not JSON.
        InvalidInput: naming each field at fault.
    """
    _check_content_type()
    try:
        return model.model_validate(parse_json(read_bytes()))
    except Unreadable as error:
        raise Unreadable(f"The body must be one JSON document in UTF-8; it {error}.") from None
    except ValidationError as error:
        raise InvalidInput(list_faults(error)) from None


def _check_content_type() -> None:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    only_charset = request.mimetype_params.keys() <= {"charset"}
    if request.mimetype != "application/json" or charset != "utf-8" or not only_charset:
        raise UnsupportedMediaType
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType


def read_bytes(most: int = BODY_BYTES) -> bytes:
    """Return the body as it came. Of a larger one a byte too many is read: Werkzeug cuts a chunked one without a word.

    Raises:
        RequestEntityTooLarge: when it has more than `most` bytes.
    """
    request.max_content_length = most + 1
    body = request.get_data(cache=False)
    if len(body) > most:
        raise RequestEntityTooLarge
    return body
