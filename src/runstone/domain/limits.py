"""Explicit limits, in one place, and the checks of what clients send.

A limit that is passed is an error that names the limit and the value; nothing is cut short silently.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

import msgspec

from runstone.errors import Invalid, TooLarge

MAX_NAME = 128
MAX_ALIAS = 128
MAX_TAG = 128
MAX_TAGS = 64
MAX_DESCRIPTION = 256 << 10
MAX_REASON = 4096
MAX_METADATA = 1 << 20
MAX_DEPTH = 64
MAX_PATH = 1024
MAX_PATH_PART = 255
MAX_FILES = 250_000
MAX_URL = 4096
MAX_PAGE = 1000
MAX_FILE_SIZE = 1 << 44
MAX_TIME = 1 << 53
#: Seconds that bytes to which nothing refers are kept, unless another time is asked for.
DEFAULT_GRACE = 24 * 3600

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*\Z")
_SPACED_NAME = re.compile(r"[^\W_][\w .\-]*\Z")
_ALIAS = re.compile(r"[\w][\w .+\-/]*\Z")
_VERSION = re.compile(r"v?[0-9]+\Z")
_URL_SCHEMES = frozenset({"s3", "gs", "https", "http", "file"})
_RESERVED_PARTS = frozenset({".", "..", ".git"})


def name(text: Any, what: str) -> str:
    """A namespace, project or user name: letters, digits, ``_``, ``.`` and ``-``; the first a letter or digit."""
    _text(text, what, MAX_NAME)
    if not _NAME.match(text) or text.endswith(".git") or ".." in text:
        raise Invalid(
            f"{what} {text!r} is not a valid name: use letters, digits, '_', '.' and '-', "
            "begin with a letter or digit, and do not end in '.git' or contain '..'"
        )
    return str(text)


def collection_name(text: Any, what: str = "collection") -> str:
    """A collection's name, or type: like :func:`name`, and spaces and letters of any script."""
    _text(text, what, MAX_NAME)
    if not _SPACED_NAME.match(text) or text != text.strip() or ".." in text:
        raise Invalid(
            f"{what} {text!r} is not a valid name: use letters, digits, spaces, '_', '.' and '-', and begin with a letter or digit"
        )
    return str(text)


def alias(text: Any) -> str:
    """An alias; it may not look like a version number."""
    _text(text, "alias", MAX_ALIAS)
    if not _ALIAS.match(text) or text != text.strip() or ".." in text or "//" in text or text.endswith("/"):
        raise Invalid(f"alias {text!r} is not valid: use letters, digits, '_', '-', '.', '+', ' ' and '/'")
    if _VERSION.match(text):
        raise Invalid(f"alias {text!r} looks like a version number; choose another name")
    return str(text)


def tags(values: Any) -> tuple[str, ...]:
    """A sorted set of tags."""
    found = sorted({_text(value, "tag", MAX_TAG) for value in values})
    if len(found) > MAX_TAGS:
        raise TooLarge(f"{len(found)} tags are over the limit of {MAX_TAGS}")
    return tuple(found)


def text(value: Any, what: str, limit: int = MAX_DESCRIPTION) -> str:
    """Free text, possibly empty."""
    return _text(value, what, limit) if value else ""


def required_text(value: Any, what: str, limit: int) -> str:
    """Text that is not empty."""
    return _text(value, what, limit)


def _text(value: Any, what: str, limit: int) -> str:
    if not isinstance(value, str) or not value:
        raise Invalid(f"{what} must be text and not empty, not {value!r}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise Invalid(f"{what} is not valid Unicode: it holds a lone surrogate") from None
    if size > limit:
        raise TooLarge(f"{what} takes {size} bytes and the limit is {limit}")
    if "\0" in value:
        raise Invalid(f"{what} must not contain a NUL character")
    return value


def path(value: Any) -> str:
    """A file's path in a manifest: relative, ``/`` between parts, no part that could escape or hide.

    Kept exactly as given, except that it must be in Unicode's composed form, so that one name is one file everywhere.
    """
    _text(value, "path", MAX_PATH)
    parts = value.split("/")
    if value.startswith("/") or "\\" in value or ":" in parts[0]:
        raise Invalid(f"path {value!r} must be relative, with '/' between its parts")
    for part in parts:
        if not part or part.lower() in _RESERVED_PARTS or part != part.strip():
            raise Invalid(f"path {value!r} holds the part {part!r}, which is not allowed")
        if len(part.encode()) > MAX_PATH_PART:
            raise TooLarge(f"path {value!r} holds a part of over {MAX_PATH_PART} bytes")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise Invalid(f"path {value!r} holds a control character")
    if unicodedata.normalize("NFC", value) != value:
        raise Invalid(f"path {value!r} must be in Unicode normal form C")
    return str(value)


def url(value: Any) -> str:
    """The address of an external reference."""
    _text(value, "url", MAX_URL)
    scheme, separator, rest = value.partition("://")
    if scheme not in _URL_SCHEMES or not separator or not rest or any(c.isspace() for c in value):
        raise Invalid(f"url {value!r} must begin with one of {', '.join(sorted(_URL_SCHEMES))} and '://'")
    return str(value)


def size(value: Any, what: str) -> int:
    """A count of bytes."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_FILE_SIZE:
        raise Invalid(f"{what} must be between 0 and {MAX_FILE_SIZE} bytes, not {value!r}")
    return value


def moment(value: Any, what: str) -> int:
    """A time in microseconds since 1970, or 0."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_TIME:
        raise Invalid(f"{what} must be microseconds since 1970, not {value!r}")
    return value


def digest(value: Any) -> bytes:
    """A SHA-256 from 64 hexadecimal digits."""
    if isinstance(value, str) and len(value) == 64:
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise Invalid(f"{value!r} is not a SHA-256: it needs 64 hexadecimal digits")


def metadata(value: Any) -> bytes:
    """Any JSON value, as MessagePack; at most :data:`MAX_METADATA` bytes and :data:`MAX_DEPTH` levels.

    NaN and infinities are not JSON and are refused; integers must fit 64 bits.
    """
    json_value(value, "metadata")
    try:
        packed = msgspec.msgpack.encode(value)
    except (OverflowError, TypeError, ValueError, UnicodeEncodeError) as error:
        raise Invalid(f"metadata cannot be stored: {error}") from None
    if len(packed) > MAX_METADATA:
        raise TooLarge(f"metadata takes {len(packed)} bytes and the limit is {MAX_METADATA}")
    return packed


def json_value(value: Any, what: str, *, finite: bool = True, depth: int = 0) -> Any:
    """A JSON value as it came; with ``finite`` false, NaN and infinities are let through. Raises :class:`Invalid`."""
    if depth > MAX_DEPTH:
        raise TooLarge(f"{what} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise Invalid(f"{what} holds the key {key!r}, which is not text")
            json_value(item, what, finite=finite, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            json_value(item, what, finite=finite, depth=depth + 1)
    elif isinstance(value, float):
        if finite and not math.isfinite(value):
            raise Invalid(f"{what} holds {value}, which is not a JSON number")
    elif value is not None and not isinstance(value, str | int | bool):
        raise Invalid(f"{what} holds a {type(value).__name__}, which is not a JSON value")
    return value
