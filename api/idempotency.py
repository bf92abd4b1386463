"""`Idempotency-Key`: the same request again gets the first answer, and is not done again."""

import hashlib
import re
from collections.abc import Callable
from typing import Final

from flask import Response, request
from pydantic import BaseModel
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from api.auth import caller
from api.errors import InvalidInput
from api.operations import answer_json, to_json
from api.sessions import transaction
from cio_tasks.errors import Conflict
from cio_tasks.models import IdempotencyKey

HEADER: Final = "Idempotency-Key"
KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")

Work = Callable[[Session], tuple[BaseModel, int]]


def once(body: BaseModel, work: Work) -> Response:
    """Do `work` in one transaction and answer with its model and status, or as the first time under the same key.

    A key belongs to the caller's token. What `work` raises leaves the key unused.

    Raises:
        InvalidInput: when the key is not 1 to 255 printable ASCII characters.
        Conflict: when the key was used for another request.
    """
    key = _read_key()
    with transaction() as session:
        if key is None:
            model, status = work(session)
            return answer_json(to_json(model), status)
        return _once(session, key, _hash_of(body), work)


def _once(session: Session, key: str, request_hash: str, work: Work) -> Response:
    if not _take(session, key, request_hash):
        return _repeat(session, key, request_hash)
    model, status = work(session)
    content = to_json(model)
    session.execute(update(IdempotencyKey).where(*_is(key)).values(status=status, answer=content))
    return answer_json(content, status)


def _take(session: Session, key: str, request_hash: str) -> bool:
    """Insert the key, which waits for a transaction that is inserting it; return whether it was free."""
    taken = session.scalar(
        insert(IdempotencyKey)
        .values(actor=caller().name, key=key, request_hash=request_hash, status=0, answer={})
        .on_conflict_do_nothing()
        .returning(IdempotencyKey.key)
    )
    return taken is not None


def _repeat(session: Session, key: str, request_hash: str) -> Response:
    first = session.scalar(select(IdempotencyKey).where(*_is(key)))
    if first is None:
        raise Conflict("This idempotency key has just expired. Send the request again.")
    if first.request_hash != request_hash:
        raise Conflict("This idempotency key was used for another request.")
    return answer_json(first.answer, first.status)


def _is(key: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (IdempotencyKey.actor == caller().name, IdempotencyKey.key == key)


def _read_key() -> str | None:
    key = request.headers.get(HEADER)
    if key is not None and not KEY.fullmatch(key):
        raise InvalidInput.of(HEADER, "must be 1 to 255 printable ASCII characters")
    return key


def _hash_of(body: BaseModel) -> str:
    """Return the hash of what is asked: the route with its ids, and the body as it was understood."""
    asked = f"{request.method} {request.path}\n{body.model_dump_json(by_alias=True)}"
    return hashlib.sha256(asked.encode()).hexdigest()
