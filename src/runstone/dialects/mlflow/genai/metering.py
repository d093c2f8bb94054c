"""``POST traces/metrics``: figures over an experiment's traces, their spans and their assessments."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple, cast

from runstone.dialects.mlflow import wire
from runstone.dialects.mlflow.genai import asking
from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.queries.mlflow_clauses import clauses, unquoted
from runstone.domain.traces import metering
from runstone.domain.traces.grammar import Clause
from runstone.domain.traces.metering import Question, View

MAX_RESULTS = 1000
MAX_FILTERS = 50
_VIEWS = ("METRIC_VIEW_TYPE_UNSPECIFIED", "TRACES", "SPANS", "ASSESSMENTS")
_KINDS = ("AGGREGATION_TYPE_UNSPECIFIED", "COUNT", "SUM", "AVG", "PERCENTILE", "MIN", "MAX")
_RANGES = {"AVG", "MIN", "MAX", "PERCENTILE"}
_ALL = {"SUM", *_RANGES}
_TRACE, _MODEL = {"trace_name"}, {"span_model_name", "span_model_provider"}
#: The figures of each view: how they may be aggregated, and by what.
_FIGURES: dict[str, dict[str, tuple[set[str], set[str]]]] = {
    "TRACES": {
        "trace_count": ({"COUNT"}, {"trace_name", "trace_status"}),
        "session_count": ({"COUNT"}, set()),
        "latency": (_RANGES, _TRACE),
        "input_tokens": (_ALL, _TRACE),
        "output_tokens": (_ALL, _TRACE),
        "total_tokens": (_ALL, _TRACE),
        "cache_read_input_tokens": (_ALL, _TRACE),
        "cache_creation_input_tokens": (_ALL, _TRACE),
    },
    "SPANS": {
        "span_count": ({"COUNT"}, {"span_name", "span_type", "span_status", *_MODEL}),
        "latency": (_RANGES, {"span_name", "span_status"}),
        "input_cost": (_ALL, _MODEL),
        "output_cost": (_ALL, _MODEL),
        "total_cost": (_ALL, _MODEL),
    },
    "ASSESSMENTS": {
        "assessment_count": ({"COUNT"}, {"assessment_name", "assessment_value"}),
        "assessment_value": (_RANGES, {"assessment_name"}),
    },
}
#: What a filter may name, by view, and whether a key follows.
_FILTERED = {
    "trace": {"status": False, "tag": True, "metadata": True},
    "span": {"name": False, "status": False, "type": False},
    "assessment": {"name": False, "type": False},
}


class _Aggregation(NamedTuple):
    kind: str
    percent: float | None

    @property
    def label(self) -> str:
        return self.kind if self.percent is None or self.kind != "PERCENTILE" else f"P{self.percent}"


def metrics(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces/metrics``."""
    view = _member(fields["view_type"], _VIEWS, "view_type")
    figure = wire.text(fields, "metric_name")
    if figure not in _FIGURES[view]:
        raise invalid(f"metric_name must be one of {list(_FIGURES[view])}, got '{figure}'")
    aggregations = [_aggregation(each) for each in fields["aggregations"]]
    if not aggregations:
        raise invalid("aggregations must name at least one")
    dimensions = wire.strings(fields, "dimensions")
    _require(view, figure, aggregations, dimensions)
    interval = wire.whole(fields, "time_interval_seconds")
    start, end = (
        wire.whole(fields, name) if name in fields else None for name in ("start_time_ms", "end_time_ms")
    )
    if interval and (start is None or end is None):
        raise invalid("start_time_ms and end_time_ms are required if time_interval_seconds is set")
    if interval < 0:
        raise invalid(wire.invalid_value("time_interval_seconds", interval))
    traces, parts = _filters(view, wire.strings(fields, "filters"))
    asked = Question(cast("View", view), figure, dimensions, traces, parts, interval, start, end)
    projects = asking.projects(call, wire.strings(fields, "experiment_ids"))
    found = metering.groups(call.store, call.ctx, projects, asked)
    limit = wire.whole(fields, "max_results", MAX_RESULTS)
    names = ["time_bucket"] * bool(interval) + dimensions
    points = [
        {"metric_name": figure, "dimensions": _shown(names, key), "values": values}
        for key, held in found[: max(0, limit)]
        if (values := _values(aggregations, held))
    ]
    return (
        {"data_points": [{name: part for name, part in each.items() if part} for each in points]}
        if points
        else {}
    )


def _values(aggregations: list[_Aggregation], held: list[Any]) -> dict[str, float]:
    found = {}
    for each in aggregations:
        if each.kind == "PERCENTILE" and held:
            found[each.label] = float(metering.percentile(held, each.percent or 0.0))
        elif each.kind != "PERCENTILE" and (held or each.kind == "COUNT"):
            found[each.label] = metering.AGGREGATIONS[each.kind](held)
    return found


def _shown(names: list[str], key: tuple[Any, ...]) -> dict[str, str]:
    found = dict(zip(names, key, strict=True))
    if "time_bucket" in found:
        moment = datetime.datetime.fromtimestamp(found["time_bucket"] / 1000, tz=datetime.UTC)
        found["time_bucket"] = moment.isoformat()
    return found


def _aggregation(given: Any) -> _Aggregation:
    if not isinstance(given, dict):
        raise invalid(wire.invalid_value("aggregations", given))
    kind = _member(given.get("aggregation_type", 0), _KINDS, "aggregation_type")
    percent = (
        wire.real("percentile_value", given["percentile_value"]) if "percentile_value" in given else None
    )
    if kind == "PERCENTILE" and (percent is None or not 0 <= percent <= 100):
        raise invalid(f"Percentile value must be between 0 and 100, got {percent}")
    if kind != "PERCENTILE" and percent is not None:
        raise invalid(f"Percentile value is only allowed for PERCENTILE aggregation type, got {kind}")
    return _Aggregation(kind, percent)


def _require(view: str, figure: str, aggregations: list[_Aggregation], dimensions: list[str]) -> None:
    kinds, named = _FIGURES[view][figure]
    if wrong := {each.kind for each in aggregations} - kinds:
        raise invalid(
            f"Found invalid aggregation_type(s): {sorted(wrong)}. Supported aggregation types: {sorted(kinds)}"
        )
    if wrong := set(dimensions) - named:
        raise invalid(f"Found invalid dimension(s): {sorted(wrong)}. Supported dimensions: {sorted(named)}")


def _member(value: Any, names: tuple[str, ...], path: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < len(names):
        return names[value]
    if value in names[1:]:
        return str(value)
    raise invalid(wire.invalid_value(path, value))


def _filters(view: str, given: list[str]) -> tuple[list[Clause], list[tuple[str, str]]]:
    """The filters of traces, and those of their spans or assessments."""
    if len(given) > MAX_FILTERS:
        raise invalid(f"{len(given)} filters are over the limit of {MAX_FILTERS}")
    traces, parts = [], []
    for text in given:
        root, entity, key, value = _filter(text)
        if root == "trace":
            kind = "attribute" if entity == "status" else entity
            traces.append(Clause(kind, "status" if entity == "status" else key, "=", value))
        elif f"{root.upper()}S" != view:
            what = f"{root.upper()}S"
            raise invalid(f"Filtering by {root} is only supported for {what} view type, got {view}")
        else:
            parts.append(("kind" if (root, entity) == ("assessment", "type") else entity, value))
    return traces, parts


def _filter(text: str) -> tuple[str, str, str, str]:
    found = clauses(text, quoting=False)
    if len(found) != 1:
        raise invalid(f"Invalid filter: '{text}'. Expected one filter clause.")
    (clause,) = found
    root, entity, key = _identifier(clause.left.text)
    if clause.operator != "=":
        raise invalid(f"Invalid comparator: '{clause.operator}', only '=' operator is supported")
    if clause.value is None or clause.value.kind not in ("string", "symbol"):
        shown = clause.value.text if clause.value else None
        raise invalid(
            f"Expected a quoted string value for {entity} value (e.g. 'my-value'). Got value {shown}"
        )
    return root, entity, key, unquoted(clause.value.text)


def _identifier(source: str) -> tuple[str, str, str]:
    root, _, rest = source.partition(".")
    entity, dot, key = rest.partition(".")
    if not entity:
        raise invalid(
            f"Invalid identifier {source!r}. Columns should be specified as 'trace.<key>', 'span.<key>', 'assessment.<key>'."
        )
    root = unquoted(root, "`")
    if root not in _FILTERED:
        raise invalid(f"Invalid view type '{root}'. Valid values are dict_keys({list(_FILTERED)})")
    if entity not in _FILTERED[root]:
        raise invalid(
            f"Invalid entity '{entity}' specified for view type '{root}'. Valid entities are {list(_FILTERED[root])}"
        )
    if _FILTERED[root][entity] and not dot:
        raise invalid(f"Filtering by {entity} requires a key, e.g. '{root}.{entity}.<key> = <value>'")
    if dot and not _FILTERED[root][entity]:
        raise invalid(f"Filtering by {entity} does not require a key, use '{root}.{entity}' instead")
    return root, entity, unquoted(unquoted(key), "`")


ROUTES = (
    *wire.routes(
        "POST",
        "traces/metrics",
        metrics,
        "Figures over traces.",
        {
            "experiment_ids": (ARRAY, REQUIRED),
            "view_type": (REQUIRED,),
            "metric_name": (STRING, REQUIRED),
            "aggregations": (ARRAY, REQUIRED),
            "dimensions": (ARRAY,),
            "filters": (ARRAY,),
            "time_interval_seconds": (INTEGER,),
            "start_time_ms": (INTEGER,),
            "end_time_ms": (INTEGER,),
            "max_results": (INTEGER,),
        },
        version="3.0",
    ),
)
