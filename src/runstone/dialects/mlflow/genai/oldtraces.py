"""Traces by the older routes, which clients fall back to and some tools still call."""

from __future__ import annotations

import secrets
from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.genai import asking, infos
from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.traces import recording

_STATUSES = ("TRACE_STATUS_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS")


def start(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces``: a trace begins, and gets an id."""
    project = ids.active_experiment(call, wire.text(fields, "experiment_id"))
    name = secrets.token_hex(16)
    tags, metadata = dict(wire.pairs(fields, "tags")), dict(wire.pairs(fields, "request_metadata"))
    told = infos.described(tags, metadata)
    told["tags"] = told["tags"] | {infos.LOCATION_TAG: f"{infos.location(call, project)}/{name}/artifacts"}
    told |= {"time": wire.whole(fields, "timestamp_ms"), "state": "IN_PROGRESS", "final": False}
    found = recording.start(call.store, call.ctx, project.info.path, name, told)
    return {"trace_info": infos.shown_old(call, found)}


def end(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH traces/{trace}``: a trace is over."""
    found = infos.get(call, call.path["trace"])
    tags, metadata = dict(wire.pairs(fields, "tags")), dict(wire.pairs(fields, "request_metadata"))
    told = infos.described(tags, metadata)
    told |= {
        "time": found.trace.time,
        "duration": wire.whole(fields, "timestamp_ms") - found.trace.time,
        "state": _status(fields.get("status", 0)),
        "client_request": found.trace.client_request,
        "final": False,
    }
    project = f"{found.namespace.name}/{found.project.name}"
    return {
        "trace_info": infos.shown_old(
            call, recording.start(call.store, call.ctx, project, found.trace.name, told)
        )
    }


def info(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET traces/{trace}/info``."""
    return {"trace_info": infos.shown_old(call, infos.get(call, call.path["trace"]))}


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET traces``."""
    found, token = asking.page(call, wire.strings(fields, "experiment_ids"), fields)
    shown = [infos.shown_old(call, each) for each in found]
    return wire.without_empty((("traces", shown), ("next_page_token", token)))


def _status(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(_STATUSES):
        value = _STATUSES[value]
    if value not in _STATUSES:
        raise invalid(wire.invalid_value("status", value))
    return infos.STATES[0] if value == _STATUSES[0] else str(value)


_TOLD = {"timestamp_ms": (INTEGER,), "request_metadata": (ARRAY,), "tags": (ARRAY,)}
ROUTES = (
    *wire.routes("POST", "traces", start, "Begins a trace.", {"experiment_id": (STRING,), **_TOLD}),
    *wire.routes("PATCH", "traces/{trace}", end, "Ends a trace.", {**_TOLD, "status": (STRING,)}),
    *wire.routes("GET", "traces/{trace}/info", info, "A trace."),
    *wire.routes(
        "GET",
        "traces",
        search,
        "Traces that are asked for.",
        {
            "experiment_ids": (REQUIRED,),
            "filter": (STRING,),
            "max_results": (INTEGER,),
            "page_token": (STRING,),
        },
    ),
)
