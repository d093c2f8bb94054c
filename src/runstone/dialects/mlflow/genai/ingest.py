"""``POST /v1/traces``: spans by OpenTelemetry's protocol (OTLP over HTTP), from mlflow's SDK and from any other."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from runstone.dialects.mlflow import ids
from runstone.dialects.mlflow.genai import infos, otlp, spans
from runstone.dialects.routing import JSON, Call, Pairs, Raw, Route
from runstone.domain.traces import recording
from runstone.domain.traces import spans as stored
from runstone.errors import Malformed, RunstoneError, TooLarge

PROTOBUF = "application/x-protobuf"
EXPERIMENT, RUN = "X-MLflow-Experiment-Id", "X-MLflow-Run-Id"
#: Bytes of a body as it comes.
MAX_BODY = 32 << 20
_log = logging.getLogger(__name__)


async def export(call: Call) -> Raw:
    """Answers ``POST /v1/traces``."""
    if EXPERIMENT not in call.headers:
        missing = {
            "type": "missing",
            "loc": ["header", EXPERIMENT.lower()],
            "msg": "Field required",
            "input": None,
        }
        return _told(422, [missing])
    media = call.headers.get("Content-Type", "").partition(";")[0].strip()
    if media not in (PROTOBUF, JSON):
        given = call.headers.get("Content-Type")
        return _told(400, f"Invalid Content-Type: {given}. Expected: {PROTOBUF} or {JSON}")
    pieces, size = [], 0
    assert call.content is not None
    async for piece in call.content:
        size += len(piece)
        if size > MAX_BODY:
            raise TooLarge(f"the body has over {MAX_BODY} bytes, the limit here; send fewer spans at once")
        pieces.append(piece)
    answer: Raw = await call.services.in_thread(_export, call, b"".join(pieces), media)
    return answer


def _export(call: Call, body: bytes, media: str) -> Raw:
    try:
        plain = otlp.decompressed(body, call.headers.get("Content-Encoding", "").lower())
    except Malformed as error:
        return _told(400, error.message)
    try:
        found = otlp.spans_of_json(plain) if media == JSON else otlp.spans_of_protobuf(plain)
    except Malformed:
        return _told(400, "Invalid OpenTelemetry format")
    if found is None:
        return _told(400, "Invalid OpenTelemetry format - no spans found")
    try:
        if found:
            _keep(call, found)
    except _Unconvertible:
        return _told(422, "Cannot convert OpenTelemetry span to MLflow span")
    # An ExportTraceServiceResponse without fields is no bytes at all.
    return Raw(b"", PROTOBUF)


def _keep(call: Call, found: list[dict[str, Any]]) -> None:
    project = ids.experiment(call, call.headers[EXPERIMENT])
    try:
        told = spans.told(found, infos.location(call, project))
    except (ValueError, OverflowError):
        raise _Unconvertible from None
    stored.log(call.store, call.ctx, project.info.path, told)
    run = call.headers.get(RUN)
    ended = {spans.trace_name(span["trace_id"]) for span in found if not span.get("parent_span_id")}
    if run and ended:
        try:
            ids.run(call, run)
            recording.link(call.store, call.ctx, sorted(ended), runs=(run,))
        except RunstoneError as error:
            # The spans are kept: a client that is told of an error would send them again.
            _log.warning("traces cannot be linked to run %.80s: %s", run, error.message)


class _Unconvertible(Exception):  # becomes a 422 of its own
    """A span has no ids, or ids that are too long."""


def _told(status: int, detail: Any) -> Raw:
    return Raw(msgspec.json.encode({"detail": detail}), JSON, status)


ROUTES = (
    Route(
        "POST",
        "/v1/traces",
        export,
        "Takes spans in (OTLP).",
        query=Pairs,
        media_type=PROTOBUF,
        streams=True,
        encoded=True,
    ),
)
