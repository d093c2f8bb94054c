"""Errors as container tools read them (distribution-spec, Error Codes)."""

from __future__ import annotations

import msgspec

from runstone.dialects.routing import JSON, Raw
from runstone.errors import Denied, MethodNotAllowed, Missing, RunstoneError, TryAgain, Unauthenticated

#: Details of an error that this dialect uses: its code here, and the challenge to whoever gave no key.
CODE, CHALLENGE = "oci_code", "oci_challenge"
NAME, MANIFEST, BLOB = "NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN"
VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}


def problem(error: RunstoneError, request_id: str) -> Raw:
    """An error as a registry answers it."""
    headers = {**VERSION, "X-Request-Id": request_id}
    if CHALLENGE in error.details:
        headers["WWW-Authenticate"] = error.details[CHALLENGE]
    if isinstance(error, TryAgain):
        headers["Retry-After"] = str(error.details.get("retry_after", error.retry_after))
    content = {"errors": [{"code": _code(error), "message": error.message, "detail": {"code": error.code}}]}
    return Raw(msgspec.json.encode(content), JSON, error.status, headers)


def _code(error: RunstoneError) -> str:
    if CODE in error.details:
        return str(error.details[CODE])
    if isinstance(error, Unauthenticated):
        return "UNAUTHORIZED"
    if isinstance(error, Denied):
        return "DENIED"
    if isinstance(error, Missing):
        return NAME
    if isinstance(error, TryAgain):
        return "TOOMANYREQUESTS"
    return "UNSUPPORTED" if isinstance(error, MethodNotAllowed) or error.status < 500 else "UNKNOWN"
