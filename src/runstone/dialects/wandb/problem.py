"""Errors as the SDK shows them, with a status that it does not take for something else.

A file stream ends for good at 409 and most of 4xx, and goes on after 429 and 503; an error of GraphQL that is the caller's own comes with
status 200, which is not tried again.
"""

from __future__ import annotations

import msgspec

from runstone.dialects.routing import JSON, Raw
from runstone.errors import Missing, RunstoneError, TryAgain, Unauthenticated


def lost(error: RunstoneError) -> Missing:
    """The error of a field that the SDK knows by the status of the whole answer alone."""
    return Missing(error.message, outright=True)


def is_outright(error: BaseException | None) -> bool:
    """Whether the error of a field becomes the status of the whole answer."""
    if isinstance(error, RunstoneError) and error.details.get("outright"):
        return True
    return isinstance(error, TryAgain | Unauthenticated)


def problem(error: RunstoneError) -> Raw:
    """``{"errors": [{"message"}]}``; what may pass says when to try again."""
    headers: dict[str, str] = {}
    status = error.status
    if isinstance(error, TryAgain):
        headers["Retry-After"] = str(error.details.get("retry_after", error.retry_after))
        status = 429 if status == 429 else 503
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Basic realm="runstone", charset="UTF-8"'
    return Raw(content(error), JSON, status, headers)


def content(error: RunstoneError) -> bytes:
    """The body of an error."""
    told = {"message": error.message, "extensions": {"code": error.code}}
    return msgspec.json.encode({"error": error.message, "errors": [told]})
