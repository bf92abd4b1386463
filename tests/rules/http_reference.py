"""`python -m tests.rules.http_reference`: writes docs/reference/http.md from the API's own description of itself."""

from collections.abc import Iterator
from typing import Any

from api import create_app
from api.auth import MAY, Action
from api.openapi import describe
from cio_tasks.settings import Settings
from tests.rules import tree

PAGE = tree.ROOT / "docs" / "reference" / "http.md"
PREFACE = """\
# HTTP

Every route as the API describes it in `GET /openapi.json`; a test compares this page with that document, and
`python -m tests.rules.http_reference` writes it anew.

- JSON in camelCase, times in ISO 8601 with `Z`. A body or a parameter that is not listed is refused, not ignored.
- `Authorization: Bearer <token>`, with a token of `CIO_API_TOKENS`. What a role may do: {roles}.
- An error is `application/problem+json` with `type`, `title`, `status`, `detail`, `code`, `requestId`; with 422 also
  `errors`, a list of `field` and `message`. Give the request id to whoever reads the logs.
- Every protected route may also answer 401 (no valid token), 403 (the role), 429 (too many requests; see `Retry-After`)
  and 503 (the database is away; see `Retry-After`); one with a body 400, 408, 413, 415 and 422, one with parameters 400
  and 422.
- `Idempotency-Key` (1 to 255 printable ASCII characters) where it is listed: the same key and body again get the first
  answer for a day, another body gets 409.
"""
COMMON = {"400", "401", "403", "408", "413", "415", "422", "429", "503", "default"}


def write_page() -> str:
    """Return the page for the routes as they are."""
    settings = Settings.from_env({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    app = create_app(settings)
    with app.app_context():
        document = describe(app)
    roles = "; ".join(f"`{role}` {', '.join(sorted(actions))}" for role, actions in MAY.items())
    routes = [
        (path, method, operation)
        for path, methods in sorted(document["paths"].items())
        for method, operation in sorted(methods.items())
    ]
    parts = [PREFACE.format(roles=roles)]
    parts += ["\n".join(describe_route(document, *route)) for route in routes]
    parts += ["\n".join(describe_shapes(document))]
    return "\n".join(parts) + "\n"


def describe_route(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one route."""
    yield f"## `{method.upper()} {path}`\n"
    yield f"{operation['summary']} {access(operation)}\n"
    inputs = [*parameters(operation), *fields(document, operation.get("requestBody"))]
    if inputs:
        yield "| takes | in | what |"
        yield "|---|---|---|"
        yield from inputs
        yield ""
    yield "| answers | with |"
    yield "|---|---|"
    for status, answer in operation["responses"].items():
        if status not in COMMON or is_own(status, answer):
            yield f"| {status} | {shape(document, answer)} |"
    yield ""


def describe_shapes(document: dict[str, Any]) -> Iterator[str]:
    """Yield the fields of every object that the routes take or answer with."""
    yield "## Shapes\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        if "properties" in schema:
            yield f"**{name}**: {described_fields(schema)}\n"


def described_fields(schema: dict[str, Any]) -> str:
    return "; ".join(f"`{name}` {kind(one)}" for name, one in schema["properties"].items()) + "."


def access(operation: dict[str, Any]) -> str:
    """Return who may call it."""
    action = operation.get("x-action")
    if action is None:
        return "Open to everybody."
    return f"For {', '.join(f'`{role}`' for role, actions in MAY.items() if Action(action) in actions)}."


def is_own(status: str, answer: dict[str, Any]) -> bool:
    """Tell whether an answer is more than the problem that every route may have."""
    return status != "default" and "application/problem+json" not in answer["content"]


def parameters(operation: dict[str, Any]) -> Iterator[str]:
    for one in operation["parameters"]:
        yield f"| `{one['name']}` | {one['in']} | {described(kind(one['schema']), one)} |"


def fields(document: dict[str, Any], body: dict[str, Any] | None) -> Iterator[str]:
    if body is None:
        return
    for media_type, content in body["content"].items():
        schema = resolved(document, content["schema"])
        required = schema.get("required", ())
        for name, one in schema.get("properties", {}).items():
            must = "" if name in required else "optional, "
            yield f"| `{name}` | body | {must}{described(kind(one), one)} |"
        if "properties" not in schema:
            yield f"| the body | body | {media_type} |"


def described(what: str, schema: dict[str, Any]) -> str:
    return f"{what}. {schema['description']}" if "description" in schema else what


def shape(document: dict[str, Any], answer: dict[str, Any]) -> str:
    """Return the fields of an answer, or what it is."""
    media_type, content = next(iter(answer["content"].items()))
    if media_type == "application/problem+json":
        return f"a problem: {answer['description'].lower()}"
    names = resolved(document, content["schema"]).get("properties", {})
    return ", ".join(f"`{name}`" for name in names) or media_type


def kind(schema: dict[str, Any]) -> str:
    """Return a schema in a few words."""
    if "anyOf" in schema:
        return " or ".join(kind(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "items" in schema:
        return f"list of {kind(schema['items'])}"
    named = schema.get("$ref", "").rpartition("/")[2] or schema.get("format") or schema.get("type", "anything")
    bounds = [
        f"{word} {schema[name]}"
        for name, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("maxLength", "up to"),
        )
        if name in schema
    ]
    default = [f"default {schema['default']}"] if schema.get("default") is not None else []
    return ", ".join([" ".join([str(named), *bounds]), *default])


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(write_page(), encoding="utf-8")
