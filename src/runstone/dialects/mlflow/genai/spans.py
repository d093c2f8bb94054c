"""Spans: from OTLP to what is kept (mlflow's JSON of a span), and from there to the JSON of OTLP's protobuf that clients get."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from runstone.dialects.mlflow import validation
from runstone.dialects.mlflow.genai import conventions, otlp, previews
from runstone.dialects.mlflow.genai.conventions import INPUTS, OUTPUTS, TYPE
from runstone.dialects.mlflow.genai.texts import clean, figures, loads
from runstone.domain.traces.spans import CACHED_TOKENS, COSTS, TOKENS, Span, Told
from runstone.errors import RunstoneError

REQUEST_ID = "mlflow.traceRequestId"
STORED_HERE = {"mlflow.trace.spansLocation": "TRACKING_STORE"}
TAG_PREFIX, NAME_TAG, USER = "mlflow.traceTag.", "mlflow.traceName", "mlflow.trace.user"
MAX_SESSION, MAX_TITLE, MAX_MODEL = 250, 4096, 500
_STATES = {1: "OK", 2: "ERROR"}
_CODES = {"OK": "STATUS_CODE_OK", "ERROR": "STATUS_CODE_ERROR", "UNSET": "STATUS_CODE_UNSET"}
#: Programs whose name is told on the root of their traces.
_SERVICES = {"claude-code", "codex_cli_rs", "codex_vscode", "gemini-cli", "qwen-code"}


def trace_name(trace_id: bytes) -> str:
    """mlflow's id of a trace, by OpenTelemetry's."""
    return f"tr-{int.from_bytes(trace_id):032x}"


def told(spans: Iterable[dict[str, Any]], location: str) -> list[Told]:
    """Spans of an OTLP request by trace, with what they tell of it; ``location`` is where files of an experiment's traces lie."""
    by_trace: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        if not span.get("trace_id") or not span.get("span_id"):
            raise ValueError("a span needs a trace_id and a span_id")
        by_trace.setdefault(trace_name(span["trace_id"]), []).append(span)
    return [_told(name, held, f"{location}/{name}/artifacts") for name, held in by_trace.items()]


def _told(name: str, spans: list[dict[str, Any]], location: str) -> Told:
    found: dict[str, Any] = {"tags": _resource_tags(spans)}
    kept = []
    for span in spans:
        attributes = _attributes(span, name)
        _note(found, span, attributes)
        kept.append(_kept(span, attributes))
    first_tags = {"mlflow.artifactLocation": location}
    return Told(name, kept, first_tags=first_tags, **found | {"tags": found["tags"] | STORED_HERE})


def _attributes(span: dict[str, Any], name: str) -> dict[str, str]:
    """A span's attributes as JSON texts; what was JSON already is not quoted once more."""
    found = {key: _once(_dumps(value)) for key, value in otlp.attributes(span).items()}
    found[REQUEST_ID] = json.dumps(name)
    service = span["resource"].get("service.name")
    if not span.get("parent_span_id") and isinstance(service, str) and service in _SERVICES:
        found["service.name"] = json.dumps(service)
    conventions.translate(found, _events(span))
    return found


def _events(span: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": event.get("name", ""),
            "time_unix_nano": event.get("time_unix_nano", 0),
            "attributes": otlp.attributes(event),
        }
        for event in span.get("events", ())
    ]


def _once(text: str) -> str:
    inner = loads(text) if text.startswith('"') else None
    if isinstance(inner, str) and inner[:1] in _BEGINS:
        try:
            return inner if isinstance(json.loads(inner), str | dict | list) else text
        except (ValueError, RecursionError):
            pass
    return text


_BEGINS = {'"', "{", "[", " ", "\t", "\n", "\r"}


def _note(found: dict[str, Any], span: dict[str, Any], attributes: dict[str, str]) -> None:
    """Notes what a span tells of its trace."""
    session = attributes.get("session.id") or attributes.get("gen_ai.conversation.id")
    if "session" not in found and session:
        found["session"] = validation.short(_unquoted(session), "Session ID", MAX_SESSION)
    if "metadata" not in found and (user := attributes.get("user.id")):
        found["metadata"] = {USER: _unquoted(user)}
    if span.get("parent_span_id"):
        return
    for name, key, role in (("request", INPUTS, "user"), ("response", OUTPUTS, "assistant")):
        if attributes.get(key):
            found[name] = previews.preview(attributes[key], role)
    for key, text in attributes.items():
        if key.startswith(TAG_PREFIX):
            _note_tag(found, key.removeprefix(TAG_PREFIX), str(_unquoted(text)))


def _note_tag(found: dict[str, Any], key: str, value: str) -> None:
    try:
        key, value = validation.trace_tag(key, value)
    except RunstoneError:
        return
    if key == NAME_TAG:
        found["title"] = validation.short(value, "Trace name", MAX_TITLE)
    else:
        found["tags"] = found["tags"] | {key: value}


def _resource_tags(spans: list[dict[str, Any]]) -> dict[str, str]:
    """What sent the spans, as tags; without what the SDK tells of itself, and what would pass for mlflow's own."""
    resource: dict[str, Any] = next((span["resource"] for span in spans if span["resource"]), {})
    found = {}
    for key, value in resource.items():
        if key.startswith(("telemetry.sdk.", "mlflow.")):
            continue
        try:
            name, text = validation.trace_tag(key, value if isinstance(value, str) else _dumps(value))
        except RunstoneError:
            continue
        found[name] = text
    return found


def _kept(span: dict[str, Any], attributes: dict[str, str]) -> Span:
    parent = span.get("parent_span_id") or b""
    parent_id = int.from_bytes(parent)
    state = _STATES.get(span.get("status", {}).get("code", 0), "UNSET")
    start, end = span.get("start_time_unix_nano", 0), span.get("end_time_unix_nano", 0)
    content = {
        "trace_id": _base64(span["trace_id"], 16),
        "span_id": _base64(span["span_id"], 8),
        "parent_span_id": _base64(parent, 8) if parent_id else None,
        "name": span.get("name", ""),
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "events": _events(span),
        "status": {"code": _CODES[state], "message": span.get("status", {}).get("message") or None},
        "attributes": attributes,
        "links": [
            {
                "trace_id": trace_name(link.get("trace_id", b"")),
                "span_id": f"{int.from_bytes(link.get('span_id', b'')):016x}",
                "attributes": otlp.attributes(link) or None,
            }
            for link in span.get("links", ())
        ],
    }
    kind = loads(attributes.get(TYPE))
    return Span(
        f"{int.from_bytes(span['span_id']):016x}",
        f"{parent_id:016x}" if parent_id else "",
        span.get("name", ""),
        clean(kind) if isinstance(kind, str) else None,
        state,
        start,
        end,
        _dumps(content),
        figures(attributes.get(conventions.USAGE), (*TOKENS, *CACHED_TOKENS)),
        figures(attributes.get(conventions.COST), COSTS),
        _dimension(attributes.get(conventions.MODEL)),
        _dimension(attributes.get(conventions.PROVIDER)),
    )


class _Event(msgspec.Struct, frozen=True):
    """An event as it is kept."""

    name: str
    time_unix_nano: int
    attributes: dict[str, Any] | None = None


class _Link(msgspec.Struct, frozen=True):
    """A link as it is kept; its ids are hexadecimal digits."""

    trace_id: Annotated[str, msgspec.Meta(pattern="^(tr-)?[0-9a-fA-F]*$")]
    span_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-fA-F]*$")]
    attributes: dict[str, Any] | None = None


class _Status(msgspec.Struct, frozen=True):
    """A status as it is kept."""

    code: Literal["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"] = "STATUS_CODE_UNSET"
    message: str | None = None


class _Kept(msgspec.Struct, frozen=True):
    """A span as it is kept: the JSON that :func:`_kept` writes. One that came with a bundle may be anything."""

    trace_id: str
    span_id: str
    name: str
    start_time_unix_nano: int
    end_time_unix_nano: int | None
    parent_span_id: str | None = None
    attributes: dict[str, str] = {}
    events: list[_Event] = []
    links: list[_Link] = []
    status: _Status = _Status()


def shown(trace: str, span: Span) -> dict[str, Any]:
    """A kept span as the JSON of OTLP's protobuf, but for ids in base64 and numbers of 64 bits as numbers.

    Of one whose content is not as spans are kept here, what the store itself knows of it is told.
    """
    try:
        kept = msgspec.convert(json.loads(span.content), _Kept)
    except (ValueError, RecursionError):
        kept = _known(trace, span)
    found: dict[str, Any] = {"trace_id": kept.trace_id, "span_id": kept.span_id}
    attributes = {key: loads(text) for key, text in kept.attributes.items()}
    for key, value in (
        ("parent_span_id", kept.parent_span_id),
        ("name", clean(kept.name)),
        ("start_time_unix_nano", kept.start_time_unix_nano),
        ("end_time_unix_nano", kept.end_time_unix_nano),
        ("attributes", _pairs(attributes)),
        ("events", [_event(event) for event in kept.events]),
        ("links", [_link(link) for link in kept.links if _fits(link)]),
    ):
        if value:
            found[key] = value
    status = {}
    if kept.status.message:
        status["message"] = kept.status.message
    if kept.status.code != _CODES["UNSET"]:
        status["code"] = kept.status.code
    return found | {"status": status}


def _known(trace: str, span: Span) -> _Kept:
    return _Kept(
        trace_id=_digits(trace.removeprefix("tr-"), 16),
        span_id=_digits(span.id, 8),
        parent_span_id=_digits(span.parent, 8) if span.parent else None,
        name=span.name,
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes={TYPE: json.dumps(span.type)} if span.type else {},
        status=_Status(code=_CODES.get(span.status, _CODES["UNSET"])),  # type: ignore[arg-type]
    )


def _digits(text: str, size: int) -> str:
    """Hexadecimal digits as base64; zeros for what cannot be an id."""
    fits = re.fullmatch(r"[0-9a-fA-F]+", text) and len(text) <= 2 * size
    return _base64(bytes.fromhex(text.zfill(2 * size)) if fits else b"", size)


def _event(event: _Event) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if event.time_unix_nano:
        found["time_unix_nano"] = event.time_unix_nano
    if event.name:
        found["name"] = clean(event.name)
    if event.attributes:
        found["attributes"] = _pairs(event.attributes)
    return found


def _fits(link: _Link) -> bool:
    """Whether the ids of a link are no longer than OTLP's: some send longer ones."""
    return len(link.trace_id.removeprefix("tr-")) <= 32 and len(link.span_id) <= 16


def _link(link: _Link) -> dict[str, Any]:
    found: dict[str, Any] = {
        "trace_id": _digits(link.trace_id.removeprefix("tr-"), 16),
        "span_id": _digits(link.span_id, 8),
    }
    if link.attributes:
        found["attributes"] = _pairs(link.attributes)
    return found


def _pairs(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": clean(key)} if value is None else {"key": clean(key), "value": _any(value)}
        for key, value in values.items()
    ]


def _any(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, str):
        return {"string_value": clean(value)}
    if isinstance(value, int):
        return {"int_value": value} if -(1 << 63) <= value < 1 << 63 else {"string_value": str(value)}
    if isinstance(value, float):
        return {"double_value": value if value - value == 0 else _ODD.get(str(value))}
    if isinstance(value, list):
        return {"array_value": {"values": [_any(each) for each in value]} if value else {}}
    return {"kvlist_value": {"values": _pairs(value)} if value else {}}


#: Doubles that JSON has no number for.
_ODD = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _unquoted(text: str) -> str:
    inner = loads(text)
    return clean(inner) if isinstance(inner, str) else text


def _dimension(text: str | None) -> str | None:
    inner = loads(text)
    return clean(inner)[:MAX_MODEL] if isinstance(inner, str) else None


def _base64(held: bytes, size: int) -> str:
    return base64.b64encode(int.from_bytes(held).to_bytes(size)).decode()


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_written)


def _written(value: Any) -> str:
    return str(value)  # bytes, as mlflow's own server writes them
