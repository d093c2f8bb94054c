"""Conditions on what a run logs: a value or an average over a bound, a change, a value far from what came before.

A condition is looked at with each value that arrives, and holds anew when it did not hold with the value before: so a metric that stays
over its bound sets an automation off once.
"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from runstone.errors import Invalid

MAX_WINDOW = 10_000
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le,
}  # fmt: skip
_AGGREGATE: dict[str, Callable[[Sequence[float]], float]] = {
    "MAX": max,
    "MIN": min,
    "AVERAGE": statistics.fmean,
}


class Threshold(msgspec.Struct, frozen=True):
    """The value, or an aggregate of the last ``window`` of them, compared with a bound."""

    name: str
    compare: str
    bound: float
    aggregate: str = ""
    window: int = 1

    def holds(self, values: Sequence[float]) -> bool:
        """Whether it holds for the values so far, of which the last is the newest."""
        found = _summary(values, self.aggregate, self.window)
        return found is not None and _COMPARE[self.compare](found, self.bound)


class Change(msgspec.Struct, frozen=True):
    """The aggregate of the last ``window`` values against that of the ``prior`` ones before them, by a difference or a share."""

    name: str
    amount: float
    direction: str = "ANY"
    relative: bool = False
    aggregate: str = ""
    window: int = 1
    prior: int = 1

    def holds(self, values: Sequence[float]) -> bool:
        """Whether it holds for the values so far, of which the last is the newest."""
        window = self.window if self.aggregate else 1
        now = _summary(values, self.aggregate, self.window)
        before = _summary(values[:-window], self.aggregate, self.prior)
        if now is None or before is None:
            return False
        difference = now - before
        if self.relative:
            if before == 0:
                return False
            difference /= abs(before)
        return _directed(difference, self.amount, self.direction, strict=False)


class Outlier(msgspec.Struct, frozen=True):
    """The value's distance from the mean of the ``window`` values before it, in standard deviations."""

    name: str
    bound: float
    direction: str = "ANY"
    window: int = 30

    def holds(self, values: Sequence[float]) -> bool:
        """Whether it holds for the values so far, of which the last is the newest."""
        before = values[-self.window - 1 : -1]
        if len(before) < 2:
            return False
        spread = statistics.stdev(before)
        if spread == 0:
            return False
        return _directed(
            (values[-1] - statistics.fmean(before)) / spread, self.bound, self.direction, strict=True
        )


Condition = Threshold | Change | Outlier


def span(condition: Condition) -> int:
    """How many values it looks at."""
    return condition.window + (condition.prior if isinstance(condition, Change) else 1)


def begins(condition: Condition, before: Sequence[float], new: Sequence[float]) -> float | None:
    """The first of the new values with which the condition holds anew; None if there is none."""
    values = [*before, *new]
    first = len(before)
    held = bool(before) and condition.holds(before)
    for at in range(first, len(values)):
        now = condition.holds(values[max(0, at + 1 - span(condition)) : at + 1])
        if now and not held:
            return values[at]
        held = now
    return None


def read(event: str, document: Any) -> Condition:
    """The condition of an event's ``run_metric_filter``; raises :class:`Invalid`."""
    kind = {
        "RUN_METRIC": "threshold_filter",
        "RUN_METRIC_CHANGE": "change_filter",
        "RUN_METRIC_ZSCORE": "zscore_filter",
    }[event]
    given = document.get(kind) if isinstance(document, dict) else None
    if not isinstance(given, dict) or not isinstance(given.get("name"), str) or not given["name"]:
        raise Invalid(f"run_metric_filter must have a {kind} with the name of a metric")
    aggregate = given.get("agg_op") or ""
    if aggregate and aggregate not in _AGGREGATE:
        raise Invalid(f"agg_op must be one of {', '.join(_AGGREGATE)}, not {aggregate!r:.100}")
    if event == "RUN_METRIC":
        if given.get("cmp_op") not in _COMPARE:
            raise Invalid(f"cmp_op must be one of {', '.join(_COMPARE)}, not {given.get('cmp_op')!r:.100}")
        return Threshold(
            given["name"],
            given["cmp_op"],
            _number(given, "threshold"),
            aggregate,
            _window(given, "window_size", 1),
        )
    direction = given.get("change_dir") or "ANY"
    if direction not in ("INCREASE", "DECREASE", "ANY"):
        raise Invalid(f"change_dir must be INCREASE, DECREASE or ANY, not {direction!r:.100}")
    if event == "RUN_METRIC_ZSCORE":
        return Outlier(
            given["name"], _number(given, "threshold", 3.0), direction, _window(given, "window_size", 30)
        )
    if given.get("change_type") not in ("ABSOLUTE", "RELATIVE"):
        raise Invalid(f"change_type must be ABSOLUTE or RELATIVE, not {given.get('change_type')!r:.100}")
    window = _window(given, "current_window_size", 1)
    prior = _window(given, "prior_window_size", window)
    return Change(
        given["name"],
        _number(given, "change_amount"),
        direction,
        given["change_type"] == "RELATIVE",
        aggregate,
        window,
        prior,
    )


def _summary(values: Sequence[float], aggregate: str, window: int) -> float | None:
    if not values:
        return None
    if not aggregate:
        return values[-1]
    return _AGGREGATE[aggregate](values[-window:]) if len(values) >= window else None


def _directed(found: float, amount: float, direction: str, *, strict: bool) -> bool:
    up = found > amount if strict else found >= amount
    down = -found > amount if strict else -found >= amount
    return {"INCREASE": up, "DECREASE": down, "ANY": up or down}[direction]


def _number(given: dict[str, Any], name: str, default: float | None = None) -> float:
    value = given.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise Invalid(f"{name} must be a number, not {value!r:.100}")
    return float(value)


def _window(given: dict[str, Any], name: str, default: int) -> int:
    value = given.get(name) or default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_WINDOW:
        raise Invalid(f"{name} must be a whole number from 1 to {MAX_WINDOW}, not {value!r:.100}")
    return value
