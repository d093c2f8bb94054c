"""Values on the wire: JSON, and MessagePack for who asks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, get_origin
from urllib.parse import unquote_to_bytes

import msgspec

from runstone.dialects.routing import JSON, MSGPACK, Pairs
from runstone.errors import Invalid, Malformed, NotAcceptable, TooLarge, UnsupportedMedia

PACKED_TYPES = frozenset({MSGPACK, "application/x-msgpack", "application/vnd.msgpack"})

encode_json = msgspec.json.Encoder().encode
encode_packed = msgspec.msgpack.Encoder().encode


@functools.lru_cache(1024)
def wants_packed(accept: str) -> bool:
    """Whether an Accept field asks for MessagePack rather than JSON; raises :class:`NotAcceptable` for neither."""
    best = {"json": 0.0, "packed": 0.0}
    exact = {"json": -1, "packed": -1}
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.lower().split(";"))
        weight, rank = _weight(parameters), _rank(media)
        for kind in (
            ["json"]
            if media == JSON
            else ["packed"]
            if media in PACKED_TYPES
            else ["json", "packed"] * (rank < 2)
        ):
            # What is named counts before what a wildcard covers (RFC 9110, 12.5.1).
            if rank > exact[kind]:
                exact[kind], best[kind] = rank, weight
    if not any(best.values()):
        raise NotAcceptable(f"the answer is {JSON} or {MSGPACK}; {accept!r:.200} takes neither")
    return best["packed"] > best["json"]


def _rank(media: str) -> int:
    return 0 if media == "*/*" else 1 if media == "application/*" else 2


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return max(0.0, min(1.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def is_packed(content_type: str) -> bool:
    """Whether a body is MessagePack rather than JSON; raises :class:`UnsupportedMedia` for anything else."""
    media = content_type.partition(";")[0].strip().lower()
    if media == JSON or (media.startswith("application/") and media.endswith("+json")):
        return False
    if media in PACKED_TYPES:
        return True
    raise UnsupportedMedia(
        f"the body must come with 'Content-Type: {JSON}' or '{MSGPACK}', not {content_type!r:.200}"
    )


def decode_body(content: bytes, packed: bool, wanted: Any) -> Any:
    """The body as the type that a route takes; raises :class:`Malformed`, :class:`Invalid` or :class:`TooLarge`."""
    try:
        return _decoder(wanted, packed)(content)
    except msgspec.ValidationError as error:
        raise Invalid(f"the body: {error}") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed(f"the body does not parse: {error}") from None
    except RecursionError:
        raise TooLarge("the body is nested too deeply") from None


@functools.lru_cache(1024)
def _decoder(wanted: Any, packed: bool) -> Callable[[bytes], Any]:
    return msgspec.msgpack.Decoder(wanted).decode if packed else msgspec.json.Decoder(wanted).decode


def decode_query(raw: str, wanted: Any) -> Any:
    """A query string as the type that a route takes; a parameter that is unknown is refused, and one that comes twice unless it is a tuple.

    A route that takes :data:`Pairs` gets all parameters as they came.
    """
    pairs = _pairs(raw)
    if wanted is Pairs:
        return pairs
    found: dict[str, Any] = {}
    repeated = _repeated(wanted) if wanted is not None else ()
    for key, value in pairs:
        if key in repeated:
            found.setdefault(key, []).append(value)
            continue
        if key in found:
            raise Invalid(f"the query parameter {key!r:.80} comes twice")
        found[key] = value
    if wanted is None:
        return found
    try:
        return msgspec.convert(found, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"the query: {error}") from None


@functools.lru_cache(1024)
def _repeated(wanted: Any) -> tuple[str, ...]:
    """The parameters that may come any number of times: the fields that are tuples."""
    fields = msgspec.structs.fields(wanted)
    return tuple(field.encode_name for field in fields if get_origin(field.type) is tuple)


def _pairs(raw: str) -> Pairs:
    parts = (part.partition("=") for part in raw.split("&") if part)
    return tuple((_unquoted(name), _unquoted(value)) for name, _, value in parts)


def _unquoted(text: str) -> str:
    if "%" not in text and "+" not in text and text.isascii():
        return text
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeError:
        raise Malformed("the query is not valid UTF-8 once it is decoded") from None
