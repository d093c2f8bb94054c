"""The points batch in plain Python, straight from docs/format/points.md."""

import itertools
import json
import math
import struct
from typing import Any

import msgspec

FLOAT, INT, OBJECT = 0, 1, 2


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def axis(values: list[int]) -> tuple[int, bytes]:
    """The (mode, bytes) of a step or time column, in the shortest form."""
    strides = {after - before for before, after in itertools.pairwise(values)}
    if len(strides) == 1 and -(2**63) <= min(strides) < 2**63:
        return 1, struct.pack("<qq", values[0], strides.pop())
    low = min(values)
    if len(values) > 1 and max(values) - low < 2**32:
        return 2, struct.pack("<q", low) + padded(struct.pack(f"<{len(values)}I", *(v - low for v in values)))
    return 0, struct.pack(f"<{len(values)}q", *values)


def column(name: str, kind: int, values: list[Any]) -> bytes:
    if kind == OBJECT:
        packed = [msgspec.msgpack.encode(value) for value in values]
        ends = [sum(map(len, packed[:count])) for count in range(len(packed) + 1)]
        data = struct.pack(f"<{len(ends)}I", *ends) + b"".join(packed)
    else:
        data = struct.pack(f"<{len(values)}{'d' if kind == FLOAT else 'q'}", *values)
    header = struct.pack("<HBBI", len(name.encode()), kind, 0, len(data))
    return header + padded(name.encode()) + padded(data)


def frame(steps: list[int], times: list[int], columns: list[tuple[str, int, list[Any]]]) -> bytes:
    (step_mode, step_data), (time_mode, time_data) = axis(steps), axis(times)
    body = step_data + time_data + b"".join(column(*entry) for entry in columns)
    return struct.pack("<IIIBBH", 16 + len(body), len(steps), len(columns), step_mode, time_mode, 0) + body


def batch(frames: list[bytes]) -> bytes:
    body = b"".join(frames)
    return b"RSPB" + struct.pack("<HHII", 1, 0, len(frames), 16 + len(body)) + body


def kind_of(value: Any) -> int:
    if isinstance(value, float):
        return FLOAT
    return INT if type(value) is int and -(2**63) <= value < 2**63 else OBJECT


def as_logged(value: Any) -> Any:
    return str(value) if type(value) is int and not -(2**63) <= value < 2**64 else value


def flatten(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value and "_type" not in value:
            out |= flatten(value, f"{prefix}{name}.")
        else:
            out[prefix + name] = as_logged(value)
    return out


def line_row(
    line: str, step: int, now: int, fields: tuple[str, str]
) -> tuple[int, int, dict[str, Any]] | None:
    """The row of a plain line of JSON; None for any other."""
    twice = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        twice = twice or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    try:
        found = json.loads(line, object_pairs_hook=members)
    except ValueError:
        return None
    if not isinstance(found, dict) or twice:
        return None
    step = found.pop(fields[0], step)
    values = flatten(found)
    numbers = all(type(value) in (int, float) for value in values.values())
    if type(step) is not int or not numbers or len(values) < _leaves(found):
        return None
    time = found.get(fields[1])
    if isinstance(time, int | float) and 0 <= time < 1e10:
        now = round(float(time) * 1e6)
    return step, now, values


def _leaves(found: dict[str, Any]) -> int:
    return sum(
        _leaves(each) if isinstance(each, dict) and each and "_type" not in each else 1
        for each in found.values()
    )


def float_order(value: float) -> int:
    bits = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else bits ^ 0x7FFFFFFFFFFFFFFF


def value_order(kind: int, value: Any) -> Any:
    return float_order(value) if kind == FLOAT else value if kind == INT else msgspec.msgpack.encode(value)


def summaries(rows: list[tuple[int, int, dict[str, Any]]]) -> dict[tuple[str, int], tuple[Any, ...]]:
    """By (name, kind): count, NaNs, min, max, sum, first, last, least and greatest step, of rows that are flat."""
    points: dict[tuple[str, int], list[tuple[int, int, Any]]] = {}
    for step, time, row in rows:
        for name, value in row.items():
            points.setdefault((name, kind_of(value)), []).append((step, time, value))
    out = {}
    for (name, kind), found in points.items():
        numbers = [value for _, _, value in found if kind != OBJECT and not math.isnan(value)]
        total = None
        if numbers:
            total = 0.0
            for number in numbers:
                total += float(number)
        ordered = sorted(found, key=lambda p: (p[0], p[1], value_order(kind, p[2])))
        out[name, kind] = (
            len(found),
            0 if kind == OBJECT else len(found) - len(numbers),
            min(numbers, default=None),
            max(numbers, default=None),
            total,
            ordered[0],
            ordered[-1],
            ordered[0][0],
            ordered[-1][0],
        )
    return out
