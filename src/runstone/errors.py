"""Every error that runstone raises, one class per fact.

::

    RunstoneError
    ├── Missing               404  the thing that was named does not exist
    │   └── UnknownPath       404  no route has this path
    ├── Denied                403  the principal may not do this
    │   ├── Gated             403  the files are given only to those whom the owners let in
    │   ├── Unauthenticated   401  no principal: the key is absent, unknown, expired or revoked
    │   └── CrossOrigin       403  a page of another origin made a browser send this
    ├── Conflict              409  the state is not the one the caller expected
    │   ├── Exists            409  the name is taken
    │   ├── AliasMoved        412  an alias's compare-and-set lost
    │   └── OffsetMismatch    409  an upload part does not continue where the upload stands
    ├── Gone                  410  it existed, and was deleted or has expired
    ├── Corrupt               500  stored bytes fail their check; they are never served
    │   └── Quarantined       409  the version holds damaged bytes and is withdrawn
    ├── Invalid               422  the request can never succeed as it stands
    │   ├── Malformed         400  the bytes of the request do not parse
    │   │   ├── MethodNotAllowed   405  the path is known, and not by this method
    │   │   ├── NotAcceptable      406  the answer has no form that the client accepts
    │   │   ├── RequestTimeout     408  the request did not arrive in time
    │   │   ├── UnsupportedMedia   415  the body is in a form that is not read here
    │   │   ├── ExpectationFailed  417  an Expect field that is not 100-continue
    │   │   └── Misdirected        421  the Host field names a host that is not answered for
    │   ├── DigestMismatch    422  received bytes are not the announced ones
    │   └── TooLarge          413  a limit was passed; the message names the limit
    │       ├── AddressTooLong     414  the request line is over the limit
    │       └── HeaderTooLarge     431  the header, or one of its fields, is over the limit
    ├── RangeUnsatisfiable    416  the range asked for lies outside the file
    └── TryAgain              503  a passing condition; the same request may succeed later
        ├── Overloaded        429  too many requests
        │   └── TooManyFailures    429  too many wrong API keys from one address
        ├── Busy              503  the process answers as many requests or connections as it may
        ├── StorageFull       507  no room on the disk; reads go on
        ├── StorageFailed     503  the disk reported an I/O error; the store refuses writes until it is reopened
        └── Unreachable       503  the server could not be reached, broke off, or stalled (raised by clients)
            └── Broken        503  what the server sent is not an answer that this client can read

A class is what a caller can act on, ``code`` is its stable name on the wire, ``status`` its HTTP status.
A message names the thing and what to do about it.
"""

from __future__ import annotations

from typing import Any, ClassVar


class RunstoneError(Exception):
    """The root of every error that runstone raises on purpose.

    ``details`` are JSON values that a program may want beside the message.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Missing(RunstoneError):
    """The thing that was named does not exist, or may not be seen by this principal."""

    code, status, title = "missing", 404, "Not found"


class UnknownPath(Missing):
    """No route has this path."""

    code, title = "unknown_path", "Unknown path"


class Denied(RunstoneError):
    """The principal is known and may not do this."""

    code, status, title = "denied", 403, "Forbidden"


class Gated(Denied):
    """The collection's files are given to those only whom its owners let in."""

    code, title = "gated", "Gated"


class Unauthenticated(Denied):
    """There is no principal: the key is absent, unknown, expired or revoked."""

    code, status, title = "unauthenticated", 401, "Unauthenticated"


class CrossOrigin(Denied):
    """A page of another origin made a browser send this."""

    code, title = "cross_origin", "Cross-origin request"


class Conflict(RunstoneError):
    """The state is not the one the caller expected; read it again and decide."""

    code, status, title = "conflict", 409, "Conflict"


class Exists(Conflict):
    """The name is taken."""

    code, title = "exists", "Already exists"


class AliasMoved(Conflict):
    """An alias's compare-and-set lost: it no longer points at the expected version."""

    code, status, title = "alias_moved", 412, "Alias has moved"


class OffsetMismatch(Conflict):
    """A part does not continue where the upload stands; ``details["offset"]`` says where it does."""

    code, title = "offset_mismatch", "Upload offset mismatch"


class Gone(RunstoneError):
    """It existed, and was deleted or has expired."""

    code, status, title = "gone", 410, "Gone"


class Corrupt(RunstoneError):
    """Stored bytes fail their check. They are never served."""

    code, status, title = "corrupt", 500, "Corrupt data"


class Quarantined(Corrupt):
    """The version holds damaged bytes and has been withdrawn."""

    code, status, title = "quarantined", 409, "Version is quarantined"


class Invalid(RunstoneError):
    """The request can never succeed as it stands."""

    code, status, title = "invalid", 422, "Invalid"


class Malformed(Invalid):
    """The bytes of the request do not parse."""

    code, status, title = "malformed", 400, "Malformed request"


class MethodNotAllowed(Malformed):
    """The path is known, and not by this method; ``details["allow"]`` are those it has."""

    code, status, title = "method_not_allowed", 405, "Method not allowed"


class NotAcceptable(Malformed):
    """The answer has no form that the client accepts."""

    code, status, title = "not_acceptable", 406, "Not acceptable"


class RequestTimeout(Malformed):
    """The request did not arrive in time."""

    code, status, title = "request_timeout", 408, "Request timeout"


class UnsupportedMedia(Malformed):
    """The body is in a form that is not read here."""

    code, status, title = "unsupported_media", 415, "Unsupported media type"


class ExpectationFailed(Malformed):
    """An Expect field that is not ``100-continue``."""

    code, status, title = "expectation_failed", 417, "Expectation failed"


class Misdirected(Malformed):
    """The Host field names a host that this server does not answer for."""

    code, status, title = "misdirected", 421, "Misdirected request"


class DigestMismatch(Invalid):
    """The bytes received are not the ones that were announced."""

    code, title = "digest_mismatch", "Digest mismatch"


class TooLarge(Invalid):
    """A limit was passed; the message names the limit."""

    code, status, title = "too_large", 413, "Too large"


class AddressTooLong(TooLarge):
    """The request line is over the limit."""

    code, status, title = "address_too_long", 414, "Address too long"


class HeaderTooLarge(TooLarge):
    """The header, or one of its fields, is over the limit."""

    code, status, title = "header_too_large", 431, "Request header fields too large"


class RangeUnsatisfiable(RunstoneError):
    """The range asked for lies outside the file."""

    code, status, title = "range_unsatisfiable", 416, "Range not satisfiable"


class TryAgain(RunstoneError):
    """A passing condition; the same request may succeed after ``retry_after`` seconds."""

    code, status, title = "try_again", 503, "Try again"
    retry_after: ClassVar[int] = 1


class Overloaded(TryAgain):
    """Too many requests from one principal."""

    code, status, title = "overloaded", 429, "Too many requests"


class TooManyFailures(Overloaded):
    """Too many wrong API keys came from one address; no other is looked at for ``details["retry_after"]`` seconds."""

    code, title = "too_many_failures", "Too many wrong API keys"


class Busy(TryAgain):
    """This process answers as many requests or connections as it may."""

    code, title = "busy", "Server is busy"


class StorageFull(TryAgain):
    """There is no room on the disk for this write; reads go on."""

    code, status, title = "storage_full", 507, "Insufficient storage"
    retry_after = 30


class StorageFailed(TryAgain):
    """The disk reported an I/O error; the store refuses writes until it is reopened."""

    code, title = "storage_failed", "Storage failed"
    retry_after = 30


class Unreachable(TryAgain):
    """The server could not be reached, or broke off, or stalled."""

    code, title = "unreachable", "Server unreachable"


class Broken(Unreachable):
    """What the server sent is not an answer that this client can read."""

    code, title = "broken_answer", "Answer cannot be read"


def by_code() -> dict[str, type[RunstoneError]]:
    """Every error class by its wire code, for clients that raise what a server answered."""
    found: dict[str, type[RunstoneError]] = {}
    queue: list[type[RunstoneError]] = [RunstoneError]
    while queue:
        cls = queue.pop()
        found[cls.code] = cls
        queue.extend(cls.__subclasses__())
    return found
