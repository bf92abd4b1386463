"""`/openapi.json`: made from what the routes declare, so that it cannot say anything else."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from flask import Blueprint, Flask, Response, current_app
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.routing import Rule

from api.auth import PUBLIC, declared_action, public
from api.errors import MEDIA_TYPE
from api.idempotency import HEADER
from api.operations import Operation, answer_json, operation_of
from api.schemas import Problem

REF: Final = "#/components/schemas/{model}"
PARAMETER: Final = re.compile(r"<(?:\w+:)?(\w+)>")
WITH_BODY: Final = (400, 408, 413, 415, 422)
WITH_QUERY: Final = (400, 422)
PROTECTED: Final = (401, 403, 429, 503)
SECURITY: Final = {"token": {"type": "http", "scheme": "bearer"}}
KEY: Final = {
    "name": HEADER,
    "in": "header",
    "description": "The same key and body again get the first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

documents: Final = Blueprint("documents", __name__)


@documents.get("/openapi.json")
@public
def openapi() -> Response:
    """Return the description of this API."""
    return answer_json(describe(current_app), 200)


def describe(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of every route of `app` that declares an operation."""
    declared = list(_declared(app))
    return {
        "openapi": "3.1.0",
        "info": {"title": "ciosync", "version": version("ciosync")},
        "paths": _paths(app, declared),
        "components": {"schemas": _schemas(operation for _, operation in declared), "securitySchemes": SECURITY},
    }


def _declared(app: Flask) -> Iterator[tuple[Rule, Operation]]:
    for rule in app.url_map.iter_rules():
        operation = operation_of(app.view_functions[rule.endpoint])
        if operation is not None:
            yield rule, operation


def _paths(app: Flask, declared: Iterable[tuple[Rule, Operation]]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for rule, operation in declared:
        action = declared_action(app.view_functions[rule.endpoint])
        path = paths.setdefault(PARAMETER.sub(r"{\1}", rule.rule), {})
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            path[method.lower()] = _describe(rule, operation, action)
    return paths


def _describe(rule: Rule, operation: Operation, action: str | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "summary": operation.summary,
        "parameters": list(_parameters(rule, operation)),
        "responses": _responses(operation, protected=action != PUBLIC),
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body)}
    if action != PUBLIC:
        described |= {"security": [{"token": []}], "x-action": action}
    return described


def _parameters(rule: Rule, operation: Operation) -> Iterator[dict[str, Any]]:
    for name in PARAMETER.findall(rule.rule):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    yield from _query_parameters(operation)
    if operation.repeatable:
        yield KEY


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.query is None:
        return
    model = operation.query.model_json_schema(by_alias=True)
    for name, declared in model["properties"].items():
        schema = _never_null(declared)
        described = {"description": schema.pop("description")} if "description" in schema else {}
        yield {
            "name": name,
            "in": "query",
            "required": name in model.get("required", ()),
            **described,
            "schema": schema,
        }


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter, which is left out instead of being null."""
    found = {name: value for name, value in schema.items() if name not in {"anyOf", "title"} and value is not None}
    for choice in schema.get("anyOf", ()):
        found |= {} if choice == {"type": "null"} else choice
    return found


def _responses(operation: Operation, *, protected: bool) -> dict[str, Any]:
    answers = {str(status): _response(status, _content(model)) for status, model in operation.answers.items()}
    content = {MEDIA_TYPE: {"schema": {"$ref": REF.format(model=Problem.__name__)}}}
    refused = {str(status): _response(status, content) for status in _problems(operation, protected=protected)}
    return answers | refused | {"default": {"description": "Any other problem", "content": content}}


def _problems(operation: Operation, *, protected: bool) -> list[int]:
    found = {*operation.problems, *(PROTECTED if protected else ())}
    found |= {*(WITH_BODY if operation.body else ()), *(WITH_QUERY if operation.query else ())}
    return sorted(found)


def _response(status: int, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase, "content": content}


def _content(model: type[BaseModel]) -> dict[str, Any]:
    media_type = getattr(model, "media_type", "application/json")
    return {media_type: {"schema": {"$ref": REF.format(model=model.__name__)}}}


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the schemas of all bodies and answers; models of one name would get long ones, so names are unique."""
    used: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for operation in operations:
        used |= {(model, "serialization"): None for model in operation.answers.values()}
        if operation.body is not None:
            used[operation.body, "validation"] = None
    _, schemas = models_json_schema(list(used), ref_template=REF)
    defined: dict[str, Any] = schemas["$defs"]
    return defined
