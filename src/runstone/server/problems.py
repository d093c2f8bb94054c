"""Errors that only HTTP knows, beside those of :mod:`runstone.errors`."""

from __future__ import annotations

from runstone.errors import Denied, Malformed, Missing, TooLarge, TryAgain


class UnknownPath(Missing):
    """No route has this path."""

    code, title = "unknown_path", "Unknown path"


class MethodNotAllowed(Malformed):
    """The path is known, and not by this method; ``details["allow"]`` are those it has."""

    code, status, title = "method_not_allowed", 405, "Method not allowed"


class NotAcceptable(Malformed):
    """The answer has no form that the client accepts."""

    code, status, title = "not_acceptable", 406, "Not acceptable"


class RequestTimeout(Malformed):
    """The request did not arrive in time."""

    code, status, title = "request_timeout", 408, "Request timeout"


class AddressTooLong(TooLarge):
    """The request line is over the limit."""

    code, status, title = "address_too_long", 414, "Address too long"


class UnsupportedMedia(Malformed):
    """The body is in a form that is not read here."""

    code, status, title = "unsupported_media", 415, "Unsupported media type"


class ExpectationFailed(Malformed):
    """An Expect field that is not ``100-continue``."""

    code, status, title = "expectation_failed", 417, "Expectation failed"


class Misdirected(Malformed):
    """The Host field names a host that this server does not answer for."""

    code, status, title = "misdirected", 421, "Misdirected request"


class HeaderTooLarge(TooLarge):
    """The header, or one of its fields, is over the limit."""

    code, status, title = "header_too_large", 431, "Request header fields too large"


class CrossOrigin(Denied):
    """A page of another origin made a browser send this."""

    code, title = "cross_origin", "Cross-origin request"


class Busy(TryAgain):
    """This process answers as many requests or connections as it may."""

    code, title = "busy", "Server is busy"
