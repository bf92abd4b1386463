"""Exceptions as `application/problem+json`: one table says which is what.

An answer holds our own words and a request id; never a trace, a statement, or anything that the sender sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from flask import Flask, Response, json
from psycopg2 import errors
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from werkzeug import exceptions as http

from api.envelope import request_id
from api.schemas import Problem
from cio_tasks import logs
from cio_tasks.errors import CioTasksError, Conflict, NotFound
from cio_tasks.intake import FieldFault, Unreadable

RETRY_AFTER_SECONDS: Final = 2
MEDIA_TYPE: Final = "application/problem+json"
KEPT_HEADERS: Final = ("Allow", "Retry-After", "WWW-Authenticate")

log: Final = structlog.stdlib.get_logger("api")


class InvalidInput(CioTasksError):
    """Some fields are not as they must be."""

    def __init__(self, faults: Sequence[FieldFault]) -> None:
        super().__init__()
        self.faults = tuple(faults)

    @classmethod
    def of(cls, field: str, message: str) -> "InvalidInput":
        """Return the error that one field is at fault."""
        return cls([FieldFault(field, message)])


class SignatureRefused(CioTasksError):
    """A webhook is not signed as Customer.io signs, or not lately."""


class NoWebhookSecret(CioTasksError):
    """Without `CUSTOMERIO_WEBHOOK_SECRET` no webhook can be told from a forged one."""


class DatabaseSilent(CioTasksError):
    """The database has not answered in the time that there was."""


class Busy(CioTasksError):
    """As many diagnostics run already as may run at a time."""


class Unanswered(CioTasksError):
    """Customer.io did not answer what was asked."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an exception becomes. Without `detail`, the exception's own text is ours and is shown."""

    status: HTTPStatus
    code: str
    detail: str | None = None


NOT_MIGRATED: Final = (errors.UndefinedTable, errors.UndefinedColumn)
"""The schema is older than this release: a deployment is under way, and the same call will do later."""

UNAVAILABLE: Final = Kind(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "The database cannot be reached. Try again.")
BUSY: Final = Kind(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "As many as this process serves are connected. Try again.")
NOT_FOUND: Final = Kind(HTTPStatus.NOT_FOUND, "not_found", "There is nothing here.")
UNEXPECTED: Final = Kind(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal_error",
    "Something went wrong here. The log has it under the request id.",
)

KINDS: Final[dict[type[Exception], Kind]] = {
    Unreadable: Kind(HTTPStatus.BAD_REQUEST, "malformed_json"),
    InvalidInput: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input"),
    NotFound: NOT_FOUND,
    Busy: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "As many diagnostics run already as may. Try again."),
    Unanswered: Kind(HTTPStatus.FAILED_DEPENDENCY, "unanswered"),
    Conflict: Kind(HTTPStatus.CONFLICT, "conflict"),
    OperationalError: UNAVAILABLE,
    NoConnectionFree: UNAVAILABLE,
    DatabaseSilent: UNAVAILABLE,
    SignatureRefused: Kind(HTTPStatus.UNAUTHORIZED, "bad_signature", "The signature is missing, wrong or not recent."),
    NoWebhookSecret: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "no_webhook_secret", "Webhooks are not taken here: no secret is configured."
    ),
    http.BadRequest: Kind(HTTPStatus.BAD_REQUEST, "bad_request", "The request cannot be understood."),
    http.Unauthorized: Kind(HTTPStatus.UNAUTHORIZED, "unauthorized", "A valid token is needed: Authorization: Bearer."),
    http.Forbidden: Kind(HTTPStatus.FORBIDDEN, "forbidden", "The role of this token does not allow this."),
    http.NotFound: NOT_FOUND,
    http.MethodNotAllowed: Kind(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "See the Allow header."),
    http.RequestTimeout: Kind(HTTPStatus.REQUEST_TIMEOUT, "timeout", "The body did not arrive in time."),
    http.RequestEntityTooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The body is too large."),
    http.UnsupportedMediaType: Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be application/json in UTF-8."
    ),
    http.TooManyRequests: Kind(
        HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "Too many requests. See the Retry-After header."
    ),
    http.ServiceUnavailable: BUSY,
    Exception: UNEXPECTED,
}


def answer_errors(app: Flask) -> None:
    """Make every exception of `app` a problem."""
    app.register_error_handler(Exception, answer_error)


def answer_error(error: Exception) -> Response:
    """Return the problem that `error` is, and log what the sender could not help."""
    kind = kind_of(error)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR and kind is not BUSY:
        log.error("request_failed", code=kind.code, **logs.describe(error))
    problem = Problem(
        type="about:blank",
        title=kind.status.phrase,
        status=kind.status,
        detail=kind.detail or str(error),
        code=kind.code,
        request_id=request_id(),
        errors=error.faults if isinstance(error, InvalidInput) else None,
    )
    content = json.dumps(problem.model_dump(mode="json", by_alias=True, exclude_none=True))
    return Response(content, kind.status, _headers(error, kind), content_type=MEDIA_TYPE)


def kind_of(error: Exception) -> Kind:
    """Return what the table says of the nearest class of `error`."""
    if isinstance(error, DBAPIError) and (error.connection_invalidated or isinstance(error.orig, NOT_MIGRATED)):
        return UNAVAILABLE
    listed = next(KINDS[ancestor] for ancestor in type(error).__mro__ if ancestor in KINDS)
    if listed is UNEXPECTED and isinstance(error, http.HTTPException):
        return _unlisted(error)
    return listed


def _unlisted(error: http.HTTPException) -> Kind:
    """Return an HTTP error that Flask or its server raised and the table does not name."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    return Kind(status, status.name.lower(), "The request was refused.")


def _headers(error: Exception, kind: Kind) -> dict[str, str]:
    if kind is UNAVAILABLE:
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if isinstance(error, http.HTTPException):
        return {name: value for name, value in error.get_headers() if name in KEPT_HEADERS}
    return {}
