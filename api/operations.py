"""What a route takes and answers, declared once: the body is read by it and `/openapi.json` is made from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

from flask import Response, json
from pydantic import BaseModel

from api.bodies import read_body
from api.parameters import read_query

OPERATION: Final = "ciosync_operation"
View = Callable[..., Response]


@dataclass(frozen=True, slots=True)
class Operation:
    """The declaration of one route: its answers by status, and the problems beside those that every route may have."""

    summary: str
    answers: Mapping[int, type[BaseModel]]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()
    repeatable: bool = False
    """Whether the route honours an `Idempotency-Key`."""


def operation(
    summary: str,
    *,
    answers: Mapping[int, type[BaseModel]],
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    problems: tuple[int, ...] = (),
    repeatable: bool = False,
) -> Callable[[View], View]:
    """Declare a route. With `body` or `query`, the view gets that part of the request as that model, by that name."""
    declaration = Operation(summary, answers, body, query, problems, repeatable)

    def declare(view: View) -> View:
        @wraps(view)
        def reading(**arguments: Any) -> Response:
            if query is not None:
                arguments["query"] = read_query(query)
            if body is not None:
                arguments["body"] = read_body(body)
            return view(**arguments)

        setattr(reading, OPERATION, declaration)
        return reading

    return declare


def operation_of(view: Callable[..., Any]) -> Operation | None:
    """Return what a route declared, or None."""
    declared: Operation | None = getattr(view, OPERATION, None)
    return declared


def answer(model: BaseModel, status: int = 200) -> Response:
    """Return `model` as JSON."""
    return answer_json(to_json(model), status)


def to_json(model: BaseModel) -> dict[str, Any]:
    """Return `model` as what JSON knows."""
    return model.model_dump(mode="json", by_alias=True)


def answer_json(content: Mapping[str, Any], status: int) -> Response:
    """Return what JSON knows as JSON. Names are sorted, so the same content is the same bytes."""
    return Response(json.dumps(content), status, content_type="application/json")
