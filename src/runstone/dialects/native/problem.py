"""Errors as RFC 9457 problem details."""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.dialects.routing import Raw
from runstone.errors import RunstoneError, TryAgain, Unauthenticated

MEDIA_TYPE = "application/problem+json"


def problem(error: RunstoneError, request_id: str) -> Raw:
    """The problem document of an error; ``details`` are members beside the standard ones."""
    headers = {}
    if isinstance(error, TryAgain):
        headers["Retry-After"] = str(error.details.get("retry_after", error.retry_after))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="runstone", Basic realm="runstone", charset="UTF-8"'
    content = msgspec.json.encode(members(error, request_id), enc_hook=str)
    return Raw(content, MEDIA_TYPE, error.status, headers)


def members(error: RunstoneError, request_id: str) -> dict[str, Any]:
    """The members of a problem document."""
    standard = {
        "type": f"urn:runstone:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "instance": request_id,
    }
    return {**error.details, **standard}
