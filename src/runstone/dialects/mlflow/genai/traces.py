"""Traces: told of, read with their spans, searched, tagged, linked and deleted."""

from __future__ import annotations

import json
from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.genai import asking, infos, judgements, spans
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.validation import trace_tag
from runstone.dialects.mlflow.wire import ARRAY, BOOLEAN, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.traces import recording, searching
from runstone.domain.traces import spans as stored
from runstone.domain.traces.finding import Found
from runstone.domain.traces.judging import Judgement
from runstone.errors import Missing

SIZES = "mlflow.trace.sizeStats"
MAX_LINKED = 100
#: Set by the server alone.
FIXED_TAGS = ("mlflow.trace.spansLocation", "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure")


def start(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces``."""
    given = fields["trace"]
    source = given.get("trace_info") if isinstance(given, dict) else None
    if not isinstance(source, dict):
        raise invalid(wire.invalid_value("trace", given))
    place = source.get("trace_location") or {}
    experiment = place.get("mlflow_experiment") or {} if isinstance(place, dict) else {}
    project = ids.active_experiment(call, wire.text(experiment, "experiment_id"))
    name = wire.text(source, "trace_id")
    told = infos.told(source, f"{infos.location(call, project)}/{name}/artifacts")
    judged = _judged(source.get("assessments"))
    found = recording.start(call.store, call.ctx, project.info.path, name, told, judged)
    return {"trace": {"trace_info": _info(call, found)}}


def _judged(given: Any) -> list[Judgement]:
    if given is not None and not isinstance(given, list):
        raise invalid(wire.invalid_value("assessments", given))
    return [judgements.taken(each) for each in given or ()]


def info(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET traces/{trace}``."""
    return {"trace": {"trace_info": _info(call, infos.get(call, call.path["trace"]))}}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET traces/get``: a trace with its spans, which must all have come unless ``allow_partial``."""
    name, partial = wire.text(fields, "trace_id"), wire.flag(fields, "allow_partial")
    found = infos.get(call, name, "Trace with ID {name} is not found.")
    held = _spans(call, found, partial=partial)
    if held is None:
        raise missing(f"Trace with ID {name} is not fully exported yet, please try again later.")
    return {"trace": _whole(call, found, held)}


def _spans(call: Call, found: Found, *, partial: bool = False) -> list[dict[str, Any]] | None:
    """A trace's spans; None when some, or all, have not come."""
    held = stored.read(call.store, found)
    if not partial and (not held or len(held) < _expected(found)):
        return None
    return [spans.shown(found.trace.name, span) for span in held]


def _expected(found: Found) -> int:
    try:
        count = json.loads(found.trace.metadata.get(SIZES, "{}")).get("num_spans", 0)
    except (ValueError, AttributeError, RecursionError):
        return 0
    return count if isinstance(count, int) else 0


def batch_get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET traces/batchGet``: those traces whose spans have all come."""
    answer = []
    for found in _several(call, fields):
        call.ctx.check_deadline()
        held = _spans(call, found)
        if held is not None:
            answer.append(_whole(call, found, held))
    return {"traces": answer} if answer else {}


def batch_infos(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces/batchGetInfos``."""
    found = searching.with_assessments(call.store, _several(call, fields))
    shown = [infos.shown(call, *each) for each in found]
    return {"trace_infos": shown} if shown else {}


def _several(call: Call, fields: dict[str, Any]) -> list[Found]:
    scope = None
    if "experiment_ids" in fields:
        scope = asking.projects(call, wire.strings(fields, "experiment_ids"))
    return recording.several(call.store, call.ctx, wire.strings(fields, "trace_ids"), scope)


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces/search``."""
    found, token = asking.page(call, _locations(fields["locations"]), fields)
    shown = [infos.shown(call, *each) for each in searching.with_assessments(call.store, found)]
    return wire.without_empty((("traces", shown), ("next_page_token", token)))


def _locations(given: Any) -> list[str]:
    if not isinstance(given, list):
        raise invalid(wire.invalid_value("locations", given))
    found = []
    for place in given:
        if not isinstance(place, dict):
            raise invalid(wire.invalid_value("locations", given))
        if isinstance(place.get("mlflow_experiment"), dict):
            found.append(wire.text(place["mlflow_experiment"], "experiment_id"))
    return found


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces/delete-traces``, of both versions."""
    named = wire.strings(fields, "request_ids")
    until = wire.whole(fields, "max_timestamp_millis") if "max_timestamp_millis" in fields else None
    limit = wire.whole(fields, "max_traces") if "max_traces" in fields else None
    if until is None and not named:
        raise invalid("Either `max_timestamp_millis` or `trace_ids` must be specified.")
    if until is not None and named:
        raise invalid("Only one of `max_timestamp_millis` and `trace_ids` can be specified.")
    if named and limit is not None:
        raise invalid("`max_traces` can't be specified if `trace_ids` is specified.")
    if limit is not None and limit <= 0:
        raise invalid(f"`max_traces` must be a positive integer, received {limit}.")
    try:
        project = ids.experiment(call, wire.text(fields, "experiment_id")).info.path
    except Missing:
        return {"traces_deleted": 0}
    deleted = recording.delete(call.store, call.ctx, project, named=named, until=until, limit=limit)
    return {"traces_deleted": deleted}


def set_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH traces/{trace}/tags``, of both versions."""
    key, value = wire.text(fields, "key"), wire.text(fields, "value")
    if key in FIXED_TAGS:
        raise invalid(f"Tag '{key}' is immutable and cannot be set on a trace.")
    key, value = trace_tag(key, value)
    name = call.path["trace"]
    infos.get(call, name)
    if key == infos.NAME_TAG:
        recording.tag(call.store, call.ctx, name, title=infos.described({key: value}, {})["title"])
    else:
        recording.tag(call.store, call.ctx, name, {key: value})
    return {}


def delete_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE traces/{trace}/tags``, of both versions."""
    name, key = call.path["trace"], wire.text(fields, "key")
    if key in FIXED_TAGS[:2]:
        raise invalid(f"Tag '{key}' is immutable and cannot be deleted on a trace.")
    found = infos.get(call, name)
    is_title = key == infos.NAME_TAG
    if (found.trace.title is None) if is_title else key not in found.trace.tags:
        raise missing(f"No trace tag with key '{key}' for trace with ID '{name}'")
    if is_title:
        recording.tag(call.store, call.ctx, name, title="")
    else:
        recording.tag(call.store, call.ctx, name, remove=(key,))
    return {}


def link_run(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces/link-to-run``; traces that are not there are passed over."""
    names = wire.strings(fields, "trace_ids")
    if len(names) > MAX_LINKED:
        raise invalid(
            f"Cannot link more than {MAX_LINKED} traces to a run in a single request. Provided {len(names)} traces."
        )
    if names:
        run = wire.text(fields, "run_id")
        ids.run(call, run)
        recording.link(call.store, call.ctx, names, runs=(run,))
    return {}


def link_prompts(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces/link-prompts``."""
    name = wire.text(fields, "trace_id")
    given = fields["prompt_versions"]
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise invalid(wire.invalid_value("prompt_versions", given))
    if given:
        infos.get(call, name)
        prompts = [f"{wire.text(each, 'name')}/{wire.whole(each, 'version')}" for each in given]
        recording.link(call.store, call.ctx, (name,), prompts=prompts)
    return {}


def _info(call: Call, found: Found) -> dict[str, Any]:
    return infos.shown(call, *searching.with_assessments(call.store, [found])[0])


def _whole(call: Call, found: Found, held: list[dict[str, Any]]) -> dict[str, Any]:
    shown = {"trace_info": _info(call, found)}
    return shown | ({"spans": held} if held else {})


_TAG = {"key": (STRING, REQUIRED)}
_DELETE = {
    "experiment_id": (STRING, REQUIRED),
    "max_timestamp_millis": (INTEGER,),
    "max_traces": (INTEGER,),
    "request_ids": (ARRAY,),
}
_BOTH = (
    ("POST", "traces/delete-traces", delete, "Deletes traces.", _DELETE),
    ("PATCH", "traces/{trace}/tags", set_tag, "Sets a tag.", {**_TAG, "value": (STRING,)}),
    ("DELETE", "traces/{trace}/tags", delete_tag, "Takes a tag away.", _TAG),
)
ROUTES = (
    *wire.routes(
        "POST",
        "traces/link-to-run",
        link_run,
        "Links traces to a run.",
        {"trace_ids": (ARRAY, REQUIRED), "run_id": (STRING, REQUIRED)},
    ),
    *wire.routes(
        "POST",
        "traces/link-prompts",
        link_prompts,
        "Links prompts to a trace.",
        {"trace_id": (STRING, REQUIRED), "prompt_versions": (ARRAY, REQUIRED)},
    ),
    *wire.routes("POST", "traces", start, "Tells of a trace.", {"trace": (REQUIRED,)}, version="3.0"),
    *wire.routes("GET", "traces/{trace}", info, "A trace.", version="3.0"),
    *wire.routes(
        "GET",
        "traces/get",
        get,
        "A trace with its spans.",
        {"trace_id": (STRING, REQUIRED), "allow_partial": (BOOLEAN,)},
        version="3.0",
    ),
    *wire.routes(
        "GET",
        "traces/batchGet",
        batch_get,
        "Traces with their spans.",
        {"trace_ids": (REQUIRED,)},
        version="3.0",
    ),
    *wire.routes(
        "POST",
        "traces/batchGetInfos",
        batch_infos,
        "Several traces.",
        {"trace_ids": (ARRAY, REQUIRED), "experiment_ids": (ARRAY,)},
        version="3.0",
    ),
    *wire.routes(
        "POST",
        "traces/search",
        search,
        "Traces that are asked for.",
        {"locations": (ARRAY, REQUIRED), **asking.SEARCH},
        version="3.0",
    ),
    *(route for each in _BOTH for version in ("2.0", "3.0") for route in wire.routes(*each, version=version)),
)
