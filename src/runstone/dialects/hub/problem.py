"""Errors as the Hub's clients read them: ``X-Error-Code`` and ``X-Error-Message`` decide which exception they raise."""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.dialects.routing import JSON, Raw
from runstone.errors import Gated, Invalid, Missing, RunstoneError, TooLarge, TryAgain, Unauthenticated

#: Details of an error that this dialect puts into header fields.
CODE, COMMIT = "hub_code", "hub_commit"
REPO, REVISION, ENTRY = "RepoNotFound", "RevisionNotFound", "EntryNotFound"
GATED = "GatedRepo"
#: The text by which clients tell a wrong key from a repo that takes a key.
BAD_KEY = "Invalid credentials in Authorization header"
MAX_MESSAGE = 2000


def missing(code: str, message: str, commit: str = "") -> Missing:
    """What is missing, by the client's own code; ``commit`` lets it remember that a commit has no such file."""
    details = {CODE: code} | ({COMMIT: commit} if commit else {})
    return Missing(message, **details)


def problem(error: RunstoneError, request_id: str) -> Raw:
    """An error as the Hub answers it."""
    status, message = error.status, error.message
    if isinstance(error, Invalid) and not isinstance(error, TooLarge) and status == 422:
        # Clients show the reason of a 400 only.
        status = 400
    headers = {"X-Request-Id": request_id}
    code = error.details.get(CODE, "")
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="runstone"'
        if error.details.get("given", True):
            message = BAD_KEY
        else:
            code = REPO
    if isinstance(error, Gated):
        code = GATED
    if code:
        headers["X-Error-Code"] = code
    if COMMIT in error.details:
        headers["X-Repo-Commit"] = error.details[COMMIT]
    headers["X-Error-Message"] = _one_line(message)
    if isinstance(error, TryAgain):
        headers["Retry-After"] = str(error.details.get("retry_after", error.retry_after))
    content: dict[str, Any] = {"error": message, "code": error.code}
    if "url" in error.details:
        content["url"] = error.details["url"]
    return Raw(msgspec.json.encode(content), JSON, status, headers)


def _one_line(message: str) -> str:
    """A message as a header field can hold it."""
    plain = message.encode("ascii", "backslashreplace").decode()
    return "".join(character if character.isprintable() else " " for character in plain)[:MAX_MESSAGE]
