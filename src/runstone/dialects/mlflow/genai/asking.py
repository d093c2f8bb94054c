"""Searches for traces as clients ask for them: where, which, in what order, and from which on."""

from __future__ import annotations

import math
from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.traces import grammar
from runstone.domain.traces.finding import Found
from runstone.domain.traces.searching import Search
from runstone.errors import Missing

MAX_RESULTS, USUAL_RESULTS = 500, 100
SEARCH = {"filter": (STRING,), "max_results": (INTEGER,), "order_by": (ARRAY,), "page_token": (STRING,)}
_HINT = " See the API docs for more information about request parameters."


def projects(call: Call, experiments: list[str]) -> list[int]:
    """The numbers of the projects of some experiments; those that are not there are passed over."""
    found = []
    for text in experiments:
        try:
            found.append(ids.experiment(call, text).id)
        except Missing:
            continue
    return found


def page(call: Call, experiments: list[str], fields: dict[str, Any]) -> tuple[list[Found], str]:
    """The traces of a page, and the token of the next one."""
    limit = wire.whole(fields, "max_results", USUAL_RESULTS)
    if limit > MAX_RESULTS:
        shown = wire.invalid_value(
            "max_results",
            fields["max_results"],
            f" Hint: Value was of type '{type(fields['max_results']).__name__}'.",
        )
        raise invalid(shown + _HINT)
    if limit < 1:
        raise invalid(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer"
        )
    offset = wire.page_offset(fields)
    orders = grammar.orders(wire.strings(fields, "order_by"))
    clauses = grammar.parse(wire.text(fields, "filter"))
    found = Search(call.store, call.ctx, projects(call, experiments), clauses).page(orders, offset, limit)
    return found, wire.page_token(offset + limit) if len(found) == limit else ""


def correlation(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces/calculate-filter-correlation``: how much two filters find the same traces (NPMI)."""
    among = projects(call, wire.strings(fields, "experiment_ids"))
    base = grammar.parse(wire.text(fields, "base_filter"))
    first, second = (grammar.parse(wire.text(fields, name)) for name in ("filter_string1", "filter_string2"))
    counts = [
        Search(call.store, call.ctx, among, [*base, *more]).count()
        for more in ([], first, second, [*first, *second])
    ]
    total, one, two, both = counts
    told = {"npmi": npmi(both, one, two, total), "npmi_smoothed": npmi(both, one, two, total, smoothing=0.5)}
    return {
        **{name: value for name, value in told.items() if not math.isnan(value)},
        "filter1_count": one,
        "filter2_count": two,
        "joint_count": both,
        "total_count": total,
    }


def npmi(both: int, first: int, second: int, total: int, smoothing: float = 0.0) -> float:
    """Normalised pointwise mutual information (Bouma 2009): -1 never together, 0 independent, 1 always; NaN when one never is."""
    if not first or not second:
        return math.nan
    table = [both, first - both, second - both, total - first - second + both]
    if min(table) < 0:
        return math.nan
    if not both and not smoothing:
        return -1.0
    if not any(table[1:]):
        return 1.0
    n11, n10, n01, n00 = (count + smoothing for count in table)
    whole = math.log(n11 + n10 + n01 + n00)
    told = (math.log(n11) + whole) - (math.log(n11 + n10) + math.log(n11 + n01))
    return max(-1.0, min(1.0, told / -(math.log(n11) - whole)))


ROUTES = (
    *wire.routes(
        "POST",
        "traces/calculate-filter-correlation",
        correlation,
        "How much two filters find the same traces.",
        {
            "experiment_ids": (ARRAY, REQUIRED),
            "filter_string1": (STRING, REQUIRED),
            "filter_string2": (STRING, REQUIRED),
            "base_filter": (STRING,),
        },
        version="3.0",
    ),
)
