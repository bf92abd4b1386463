"""The running API against its own description: no answer is a fault of ours, and each is one that the description names."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from pydantic import SecretStr
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api import create_app
from cio_tasks.settings import Role, Settings

AnyOperation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FEW = 2
"""For routes that ask others and take seconds."""
EXAMPLES = 15
"""For each route, role and kind of input: 15 that keep to the description and 15 that break it."""


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The API of somebody who receives webhooks: without a secret a 503 is the right answer to each."""
    changes = {"api_rate_limit": 100_000, "customerio_webhook_secret": SecretStr("x" * 32)}
    app = create_app(settings.model_copy(update=changes))
    yield app
    app.extensions["database"].close()


def operations(app: Flask) -> list[AnyOperation]:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


def try_out(operation: AnyOperation, mode: GenerationMode, headers: dict[str, str]) -> None:
    @hypothesis_settings(
        max_examples=FEW if "/diagnostics/" in operation.path else EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: AnyCase) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # a route without any input cannot be given a wrong one
        call()


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("role", [*Role, None])
def test_no_answer_is_a_surprise(role: Role | None, mode: GenerationMode, app: Flask) -> None:
    headers = {} if role is None else {"Authorization": f"Bearer {role}-token"}
    for operation in operations(app):
        try_out(operation, mode, headers)
