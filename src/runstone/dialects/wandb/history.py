"""History and system metrics: from the SDK's lines to rows of points, and back.

Nested maps become keys with dots, as W&B shows them; a map with ``_type`` (a media object) stays one value. Metrics of the machine are the
keys below ``system/``, a line a step, so that charts find them beside the rest.
"""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import wire
from runstone.domain.runs import points, rows
from runstone.domain.runs.delivery import Row
from runstone.errors import Invalid

SYSTEM = "system/"
HISTORY = "history"
EVENTS = "events"
#: What a history line calls its step and its time.
FIELDS = ("_step", "_timestamp")
_LIMIT = 1 << 63


def is_system(key: str) -> bool:
    """Whether a key is a metric of the machine."""
    return key.startswith(SYSTEM)


def encoded(kind: str, lines: list[str], first: int, now: int, refused: dict[int, str]) -> bytes:
    """Lines from number ``first`` on as a batch of points. Of those that cannot be stored ``refused`` tells why, by their numbers."""
    make = _MAKERS[kind]

    def other(line: str, place: int) -> Row | str:
        try:
            return make(line, first + place, now)
        except Invalid as error:
            return error.message

    batch, wrong = points.encode_lines(lines, first, now, FIELDS if kind == HISTORY else None, other)
    refused.update((first + place, f"{kind} line {first + place}: {why:.300}") for place, why in wrong)
    return batch


def history_row(line: str, number: int, now: int) -> Row:
    """A history line that is not plain, as a row; raises :class:`Invalid`."""
    found = _object(line)
    step = found.pop("_step", number)
    if isinstance(step, float) and step.is_integer():
        step = int(step)
    if not isinstance(step, int) or isinstance(step, bool):
        raise Invalid(f"_step must be a whole number, not {step!r:.100}")
    values: dict[str, Any] = {}
    flatten(values, "", found)
    return step, _time(found, now), values


def event_row(line: str, number: int, now: int) -> Row:
    """A line of system metrics as a row."""
    found = _object(line)
    values = {SYSTEM + key.removeprefix("system."): _sized(value) for key, value in found.items()}
    return number, _time(found, now), values


def flatten(found: dict[str, Any], path: str, value: dict[str, Any]) -> None:
    """Adds a map's values under their names, those of maps in it with dots."""
    for name, item in value.items():
        if type(item) is float:  # nearly all of them are
            found[path + name if path else name] = item
        elif isinstance(item, dict) and item and "_type" not in item:
            flatten(found, f"{path}{name}.", item)
        else:
            found[path + name] = _sized(item)


def _object(line: str) -> dict[str, Any]:
    found = wire.document(line, "a line")
    assert found is not None
    return found


def _time(found: dict[str, Any], now: int) -> int:
    stamp = found.get("_timestamp")
    there = isinstance(stamp, int | float) and not isinstance(stamp, bool) and 0 <= stamp < 1e10
    return round(float(stamp) * 1e6) if there and stamp is not None else now


def _sized(value: Any) -> Any:
    # Whole numbers beyond 64 bits are kept as what JSON readers elsewhere take them for.
    if isinstance(value, int) and not -_LIMIT <= value < _LIMIT:
        return float(value)
    return value


_MAKERS = {HISTORY: history_row, EVENTS: event_row}


def read(call: Call, run: str, low: int = 0, high: int = rows.END) -> list[dict[str, Any]]:
    """History lines, by step."""
    found = rows.read(call.store, call.ctx, run, low=low, high=high, wanted=lambda key: not is_system(key))
    return [{**values, "_step": step} for step, _, values in found]


def read_events(call: Call, run: str, low: int = 0) -> list[dict[str, Any]]:
    """Lines of system metrics."""
    found = rows.read(call.store, call.ctx, run, low=low, wanted=is_system)
    return [{system_name(key): value for key, value in values.items()} for _, _, values in found]


def system_name(key: str) -> str:
    """The SDK's name of a key below ``system/``."""
    name = key.removeprefix(SYSTEM)
    return name if name.startswith("_") else f"system.{name}"


def sampled(lines: list[Any], samples: int | None) -> list[Any]:
    """At most ``samples`` lines, evenly spaced, the first and last among them: always the same ones."""
    if samples is None or len(lines) <= samples:
        return lines
    if samples < 2:
        return lines[: max(samples, 0)]
    last = len(lines) - 1
    return [lines[index * last // (samples - 1)] for index in range(samples)]


def by_spec(call: Call, run: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines that have all of a spec's ``keys``, and those keys of them; ``samples``, ``minStep`` and ``maxStep`` (inclusive)."""
    keys = [str(key) for key in spec.get("keys") or ()]
    if not keys and "samples" not in spec:
        return []
    low, high = spec.get("minStep"), spec.get("maxStep")
    found = read(call, run, 0 if low is None else int(low), rows.END if high is None else int(high) + 1)
    kept = [{key: line[key] for key in keys} for line in found if all(key in line for key in keys)]
    return sampled(kept if keys else found, spec.get("samples"))
