"""Errors as mlflow's clients read them: ``{"error_code", "message"}`` with mlflow's own status for each code."""

from __future__ import annotations

import msgspec

from runstone.dialects.routing import JSON, Raw
from runstone.errors import (
    Busy,
    Conflict,
    Corrupt,
    Denied,
    Exists,
    Gone,
    Invalid,
    Malformed,
    MethodNotAllowed,
    Misdirected,
    Missing,
    Overloaded,
    RunstoneError,
    StorageFull,
    TryAgain,
    Unauthenticated,
    UnknownPath,
)

INVALID = "INVALID_PARAMETER_VALUE"
BAD_REQUEST = "BAD_REQUEST"
MISSING = "RESOURCE_DOES_NOT_EXIST"
EXISTS = "RESOURCE_ALREADY_EXISTS"
INVALID_STATE = "INVALID_STATE"
NOT_IMPLEMENTED = "NOT_IMPLEMENTED"
_STATUS = {
    INVALID: 400,
    BAD_REQUEST: 400,
    EXISTS: 400,
    MISSING: 404,
    INVALID_STATE: 500,
    NOT_IMPLEMENTED: 501,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "INTERNAL_ERROR": 500,
}
#: The first class that an error is one of decides. What cannot succeed when it is sent again is never a 5xx, which clients retry for minutes.
_CODES: tuple[tuple[type[RunstoneError], str], ...] = (
    (Unauthenticated, "UNAUTHENTICATED"),
    (Denied, "PERMISSION_DENIED"),
    (Missing, MISSING),
    (Gone, MISSING),
    (Exists, EXISTS),
    (StorageFull, "TEMPORARILY_UNAVAILABLE"),
    (Overloaded, "REQUEST_LIMIT_EXCEEDED"),
    (Busy, "TEMPORARILY_UNAVAILABLE"),
    (TryAgain, "TEMPORARILY_UNAVAILABLE"),
    (Corrupt, "DATA_LOSS"),
    (Conflict, INVALID),
    (Misdirected, "PERMISSION_DENIED"),
    (Malformed, BAD_REQUEST),
    (Invalid, INVALID),
)
_CLASSES: dict[str, type[RunstoneError]] = {MISSING: Missing, EXISTS: Exists}


def refusal(code: str, message: str) -> RunstoneError:
    """An error with one of mlflow's codes, to be raised."""
    return _CLASSES.get(code, Invalid)(message, error_code=code)


def invalid(message: str) -> RunstoneError:
    """INVALID_PARAMETER_VALUE, to be raised."""
    return refusal(INVALID, message)


def missing(message: str) -> RunstoneError:
    """RESOURCE_DOES_NOT_EXIST, to be raised."""
    return refusal(MISSING, message)


def problem(error: RunstoneError, request_id: str) -> Raw:
    """An error as mlflow's clients read it.

    An unknown route is told in HTML, as the genuine server does: clients that find no JSON there fall back to older routes.
    """
    if isinstance(error, UnknownPath):
        return Raw(b"<!doctype html><title>404 Not Found</title><h1>Not Found</h1>\n", "text/html", 404)
    if isinstance(error, MethodNotAllowed):
        return Raw(b"<!doctype html><title>405 Method Not Allowed</title>\n", "text/html", 405)
    code = error.details.get("error_code") or next(
        (code for kind, code in _CODES if isinstance(error, kind)), "INTERNAL_ERROR"
    )
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Basic realm="mlflow"'
    if isinstance(error, TryAgain):
        headers["Retry-After"] = str(error.details.get("retry_after", error.retry_after))
    content = msgspec.json.encode({"error_code": code, "message": error.message})
    return Raw(content, JSON, _STATUS.get(code, 500), headers)
