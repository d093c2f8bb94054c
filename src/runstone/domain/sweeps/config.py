"""What a sweep's configuration may hold, in the shape that the wandb SDK documents, and what it means.

``{"method", "metric": {"name", "goal"}, "parameters": {name: {...}}, "early_terminate": {...}, "run_cap", "program", "command"}``.
A parameter is ``{"value"}``, ``{"values", "probabilities"}``, ``{"distribution", "min", "max", "mu", "sigma", "q"}``, or a group
``{"parameters"}``. Parameters of groups are named by paths.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from runstone.domain.sweeps.spaces import DISTRIBUTIONS, Choice, Dimension, Parameter, Range
from runstone.errors import Invalid

METHODS = ("grid", "random", "bayes", "custom")
#: What a configuration may say beside; it is kept, and means nothing to the server.
KNOWN = frozenset({
    "method", "metric", "parameters", "early_terminate", "run_cap", "program", "command", "name", "description", "project", "entity",
    "controller", "imageuri", "job", "scheduler", "settings",
})  # fmt: skip
MAX_PARAMETERS = 1000
MAX_VALUES = 100_000
Path = tuple[str, ...]


class Metric(msgspec.Struct, frozen=True):
    """What a sweep makes small or great."""

    name: str
    maximize: bool = False


class Stopping(msgspec.Struct, frozen=True):
    """Hyperband: after each of ``bands`` values of the metric, only the best ``1/eta`` of the runs go on."""

    bands: tuple[int, ...]
    eta: float


class Plan(msgspec.Struct, frozen=True):
    """A checked configuration."""

    method: Literal["grid", "random", "bayes", "custom"]
    space: dict[Path, Parameter]
    metric: Metric | None = None
    stopping: Stopping | None = None
    cap: int = 0

    def expected(self) -> int | None:
        """How many runs there will be; None for no end."""
        count = None
        if self.method == "grid":
            count = math.prod(len(each.values) for each in self.space.values() if isinstance(each, Choice))
        return min(each for each in (count, self.cap) if each) if count or self.cap else None


def plan(config: dict[str, Any]) -> Plan:
    """What a configuration means; raises :class:`Invalid` that names the part that is wrong."""
    method = config.get("method")
    if method not in METHODS:
        raise Invalid(f"method must be one of {', '.join(METHODS)}, not {method!r:.80}")
    if "controller" in config and (config["controller"] or {}).get("type") == "local":
        raise Invalid(
            "controller: a local controller is not supported here; leave it out, and the server chooses"
        )
    space = _space(config.get("parameters"), method == "grid")
    metric = _metric(config.get("metric"))
    if method == "bayes" and metric is None:
        raise Invalid("metric: a bayes sweep needs the name of the metric that it makes small or great")
    stopping = _stopping(config.get("early_terminate"))
    if stopping is not None and metric is None:
        raise Invalid("metric: early_terminate needs the name of the metric that runs are compared by")
    cap = config.get("run_cap") or 0
    if not _whole(cap) or cap < 0:
        raise Invalid(f"run_cap must be a whole number above 0, not {cap!r:.80}")
    return Plan(method, space, metric, stopping, cap)


def warnings(config: dict[str, Any]) -> list[str]:
    """What a configuration says that has no meaning here."""
    return [
        f"{key!r} is not a part of a sweep's configuration that is known here"
        for key in config
        if key not in KNOWN
    ]


def nested(found: dict[Path, Any]) -> dict[str, Any]:
    """Values by path as a map in which groups are maps."""
    made: dict[str, Any] = {}
    for path, value in found.items():
        place = made
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return made


def flat(space: dict[Path, Parameter], params: dict[str, Any]) -> dict[Path, Any]:
    """The values by path of those parameters that a map has."""
    found: dict[Path, Any] = {}
    for path in space:
        value: Any = params
        for part in path:
            value = value.get(part, _NONE) if isinstance(value, dict) else _NONE
        if value is not _NONE:
            found[path] = value
    return found


_NONE: Any = object()


def _space(given: Any, countable: bool) -> dict[Path, Parameter]:
    if not isinstance(given, dict) or not given:
        raise Invalid("parameters must be a map of at least one parameter")
    found: dict[Path, Parameter] = {}
    waiting: list[tuple[Path, Any]] = [((str(name),), each) for name, each in given.items()]
    while waiting:
        path, each = waiting.pop(0)
        if not isinstance(each, dict):
            raise Invalid(f"{_shown(path)} must be a map such as {{value: 1}}, not {each!r:.80}")
        if "parameters" in each:
            inner = each["parameters"]
            if not isinstance(inner, dict) or not inner or len(path) > 16:
                raise Invalid(f"{_shown(path)}.parameters must be a map of at least one parameter")
            waiting += [((*path, str(name)), below) for name, below in inner.items()]
        else:
            found[path] = _parameter(path, each, countable)
        if len(found) + len(waiting) > MAX_PARAMETERS:
            raise Invalid(f"more than {MAX_PARAMETERS} parameters are over the limit")
    return found


def _parameter(path: Path, each: dict[str, Any], countable: bool) -> Parameter:
    if "value" in each:
        return Choice((each["value"],))
    if "values" in each:
        return _choice(path, each)
    dimension = _dimension(path, each)
    if not countable:
        return dimension
    values = dimension.counted(MAX_VALUES)
    if values is None:
        raise Invalid(f"{_shown(path)}: a grid needs values, or whole numbers from min to max, or a step q")
    return Choice(values)


def _choice(path: Path, each: dict[str, Any]) -> Choice:
    values, odds = each["values"], each.get("probabilities")
    if not isinstance(values, list) or not 0 < len(values) <= MAX_VALUES:
        raise Invalid(f"{_shown(path)}.values must be a list of 1 to {MAX_VALUES} values")
    if odds is None:
        return Choice(tuple(values))
    if (
        not isinstance(odds, list)
        or len(odds) != len(values)
        or not all(_number(each) and each >= 0 for each in odds)
    ):
        raise Invalid(f"{_shown(path)}.probabilities must be a list of {len(values)} numbers")
    if not sum(odds) > 0:
        raise Invalid(f"{_shown(path)}.probabilities must not all be 0")
    return Choice(tuple(values), tuple(float(each) for each in odds))


def _dimension(path: Path, each: dict[str, Any]) -> Dimension:
    low, high = each.get("min"), each.get("max")
    kind = each.get("distribution")
    if kind is None and low is not None and high is not None:
        kind = "int_uniform" if _whole(low) and _whole(high) else "uniform"
    if kind not in DISTRIBUTIONS:
        raise Invalid(
            f"{_shown(path)}: distribution must be one of {', '.join(DISTRIBUTIONS)}, not {kind!r:.80}"
        )
    for name in DISTRIBUTIONS[kind].needs:
        if not _number(each.get(name)):
            raise Invalid(f"{_shown(path)}: {kind} needs the number {name}, and has {each.get(name)!r:.80}")
    numbers = {
        name: each[name] for name in ("min", "max", "mu", "sigma", "a", "b", "q") if _number(each.get(name))
    }
    try:
        return Range.of(kind, numbers)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{_shown(path)}: {error}") from None


def _metric(given: Any) -> Metric | None:
    if given is None:
        return None
    if not isinstance(given, dict) or not isinstance(given.get("name"), str) or not given["name"]:
        raise Invalid("metric must be a map with the name of a metric")
    goal = given.get("goal", "minimize")
    if goal not in ("minimize", "maximize"):
        raise Invalid(f"metric.goal must be minimize or maximize, not {goal!r:.80}")
    return Metric(given["name"], goal == "maximize")


def _stopping(given: Any) -> Stopping | None:
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("type", "hyperband") != "hyperband":
        raise Invalid("early_terminate must be a map whose type is hyperband")
    eta, least, most = given.get("eta", 3), given.get("min_iter", 0), given.get("max_iter", 0)
    if not _number(eta) or eta <= 1:
        raise Invalid(f"early_terminate.eta must be a number above 1, not {eta!r:.80}")
    if _whole(least) and least > 0:
        bands = [round(least * eta**power) for power in range(24) if least * eta**power < 1 << 40]
        return Stopping(tuple(sorted(set(bands))), float(eta))
    brackets = given.get("s", 1)
    if not (_whole(most) and most > 0 and _whole(brackets) and 0 < brackets <= 64):
        raise Invalid("early_terminate needs min_iter, or max_iter and s, as whole numbers above 0")
    bands = [round(most / eta**power) for power in range(1, brackets + 1)]
    return Stopping(tuple(sorted({band for band in bands if band > 0})), float(eta))


def _shown(path: Path) -> str:
    return f"parameter {'.'.join(path)!r:.200}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
