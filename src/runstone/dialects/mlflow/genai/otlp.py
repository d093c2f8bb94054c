"""OTLP trace exports (opentelemetry.io/docs/specs/otlp), protobuf or JSON, as plain objects.

A span is a dict: ``trace_id``, ``span_id``, ``parent_span_id`` (bytes), ``name``, ``start_time_unix_nano``, ``end_time_unix_nano``,
``attributes`` (values by key, decoded), ``events``, ``links``, ``status`` (``code``, ``message``) and ``resource``, the attributes of what sent it.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from runstone.dialects.mlflow.genai.protobuf import BOOLEAN, BYTES, FIXED, REAL, TEXT, WHOLE, Field, Reader
from runstone.errors import Malformed, TooLarge

#: Bytes of a body once it is decompressed, and spans of one body.
MAX_BODY = 64 << 20
MAX_SPANS = 100_000
MAX_DEPTH = 64

_VALUE: dict[int, Field] = {
    1: Field("string", TEXT),
    2: Field("bool", BOOLEAN),
    3: Field("int", WHOLE),
    4: Field("double", REAL),
    7: Field("bytes", BYTES),
}
_PAIR = {1: Field("key", TEXT), 2: Field("value", table=_VALUE)}
_VALUE[5] = Field("array", table={1: Field("values", table=_VALUE, repeated=True)})
_VALUE[6] = Field("map", table={1: Field("values", table=_PAIR, repeated=True)})
_ATTRIBUTES = Field("attributes", table=_PAIR, repeated=True)
_EVENT = {1: Field("time_unix_nano", FIXED), 2: Field("name", TEXT), 3: _ATTRIBUTES}
_LINK = {1: Field("trace_id", BYTES), 2: Field("span_id", BYTES), 4: _ATTRIBUTES}
_SPAN = {
    1: Field("trace_id", BYTES),
    2: Field("span_id", BYTES),
    4: Field("parent_span_id", BYTES),
    5: Field("name", TEXT),
    7: Field("start_time_unix_nano", FIXED),
    8: Field("end_time_unix_nano", FIXED),
    9: _ATTRIBUTES,
    11: Field("events", table=_EVENT, repeated=True),
    13: Field("links", table=_LINK, repeated=True),
    15: Field("status", table={2: Field("message", TEXT), 3: Field("code", WHOLE)}),
}
_REQUEST = {
    1: Field(
        "resource_spans",
        table={
            1: Field("resource", table={1: _ATTRIBUTES}),
            2: Field("scope_spans", table={2: Field("spans", table=_SPAN, repeated=True)}, repeated=True),
        },
        repeated=True,
    )
}
_CODES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


def decompressed(body: bytes, encoding: str) -> bytes:
    """A body without its Content-Encoding; raises :class:`Malformed`, or :class:`TooLarge` for one that unpacks to too much."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise Malformed(f"Unsupported Content-Encoding: {encoding}")
    # Deflate is a zlib stream, but some send it without its header.
    for wbits in (31,) if encoding == "gzip" else (15, -15):
        try:
            return _inflated(body, wbits)
        except zlib.error:
            continue
    raise Malformed(f"Failed to decompress {encoding} payload")


def _inflated(body: bytes, wbits: int) -> bytes:
    found, left = [], MAX_BODY
    while body:  # gzip allows several members, one after the other
        unpacker = zlib.decompressobj(wbits)
        found.append(unpacker.decompress(body, left + 1))
        left -= len(found[-1])
        if left < 0:
            raise TooLarge(f"the body unpacks to more than {MAX_BODY} bytes; send fewer spans at once")
        if not unpacker.eof:
            raise zlib.error("it ends early")
        body = unpacker.unused_data if wbits == 31 else b""
    return b"".join(found)


def spans_of_protobuf(body: bytes) -> list[dict[str, Any]] | None:
    """The spans of a protobuf body; None when it has no ResourceSpans at all."""
    found = Reader(body).message(_REQUEST)
    if "resource_spans" not in found:
        return None
    return _limited(
        span | {"resource": _by_key(group.get("resource", {}).get("attributes", ()))}
        for group in found["resource_spans"]
        for scope in group.get("scope_spans", ())
        for span in scope.get("spans", ())
    )


def spans_of_json(body: bytes) -> list[dict[str, Any]] | None:
    """The spans of a JSON body; None when it has no ResourceSpans at all."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise Malformed("the body is not JSON") from None
    groups = _list(_object(found), "resourceSpans")
    if not groups:
        return None
    return _limited(
        _span_of_json(span) | {"resource": _by_key(_pairs_of_json(_object(_object(group).get("resource"))))}
        for group in groups
        for scope in _list(_object(group), "scopeSpans")
        for span in _list(_object(scope), "spans")
    )


def _limited(spans: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for span in spans:
        found.append(span)
        if len(found) > MAX_SPANS:
            raise TooLarge(f"the body has more than {MAX_SPANS} spans; send them in parts")
    return found


def attributes(holder: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span, event or link: values by key."""
    return _by_key(holder.get("attributes", ()))


def _by_key(pairs: Any) -> dict[str, Any]:
    return {pair.get("key", ""): value_of(pair.get("value", {})) for pair in pairs}


def value_of(held: dict[str, Any], depth: int = 0) -> Any:
    """What an AnyValue holds; None for nothing."""
    if depth > MAX_DEPTH:
        raise TooLarge(f"a value is nested deeper than {MAX_DEPTH} levels")
    for kind, value in held.items():
        if kind == "array":
            return [value_of(each, depth + 1) for each in value.get("values", ())]
        if kind == "map":
            return {
                each.get("key", ""): value_of(each.get("value", {}), depth + 1)
                for each in value.get("values", ())
            }
        return value
    return None


def _span_of_json(source: Any) -> dict[str, Any]:
    span = _object(source)
    status = _object(span.get("status"))
    code = status.get("code", 0)
    return {
        "trace_id": _hex(span.get("traceId")),
        "span_id": _hex(span.get("spanId")),
        "parent_span_id": _hex(span.get("parentSpanId")),
        "name": _text(span.get("name", "")),
        "start_time_unix_nano": _whole(span.get("startTimeUnixNano", 0)),
        "end_time_unix_nano": _whole(span.get("endTimeUnixNano", 0)),
        "attributes": _pairs_of_json(span),
        "events": [
            {
                "time_unix_nano": _whole(event.get("timeUnixNano", 0)),
                "name": _text(event.get("name", "")),
                "attributes": _pairs_of_json(event),
            }
            for event in map(_object, _list(span, "events"))
        ],
        "links": [
            {
                "trace_id": _hex(link.get("traceId")),
                "span_id": _hex(link.get("spanId")),
                "attributes": _pairs_of_json(link),
            }
            for link in map(_object, _list(span, "links"))
        ],
        "status": {
            "code": _CODES.get(code, 0) if isinstance(code, str) else _whole(code),
            "message": _text(status.get("message", "")),
        },
    }


def _pairs_of_json(holder: dict[str, Any]) -> list[dict[str, Any]]:
    pairs = map(_object, _list(holder, "attributes"))
    return [{"key": _text(pair.get("key", "")), "value": _value_of_json(pair.get("value"))} for pair in pairs]


def _value_of_json(source: Any, depth: int = 0) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise TooLarge(f"a value is nested deeper than {MAX_DEPTH} levels")
    for kind, value in _object(source).items():
        if kind == "stringValue":
            return {"string": _text(value)}
        if kind == "boolValue":
            return {"bool": bool(value)}
        if kind == "intValue":
            return {"int": _whole(value)}
        if kind == "doubleValue":
            return {"double": _real(value)}
        if kind == "bytesValue":
            return {"bytes": _base64(value)}
        if kind == "arrayValue":
            return {
                "array": {
                    "values": [_value_of_json(each, depth + 1) for each in _list(_object(value), "values")]
                }
            }
        if kind == "kvlistValue":
            pairs = map(_object, _list(_object(value), "values"))
            values = [
                {"key": _text(pair.get("key", "")), "value": _value_of_json(pair.get("value"), depth + 1)}
                for pair in pairs
            ]
            return {"map": {"values": values}}
    return {}


def _object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed("an object was expected")
    return value


def _list(holder: dict[str, Any], name: str) -> list[Any]:
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(f"{name} must be a list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Malformed("a text was expected")
    return value


def _whole(value: Any) -> int:
    try:
        number = int(value) if not isinstance(value, float) or value.is_integer() else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, bool) or not -(1 << 63) <= number < 1 << 64:
        raise Malformed("a whole number was expected")
    return number


def _real(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise Malformed("a number was expected") from None


def _hex(value: Any) -> bytes:
    try:
        return bytes.fromhex(_text(value or ""))
    except ValueError:
        raise Malformed("an id is not hexadecimal") from None


def _base64(value: Any) -> bytes:
    try:
        return base64.b64decode(
            _text(value or ""), altchars=b"-_" if "-" in (value or "") or "_" in (value or "") else None
        )
    except (binascii.Error, ValueError):
        raise Malformed("a value is not base64") from None
