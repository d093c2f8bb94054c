"""What a whole trace used and cost, from its spans: a span that tells it for all below it is not counted twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Node = tuple[str, str, Mapping[str, Any] | None]


def total(nodes: Iterable[Node], keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """The sums by key over (span, parent, what it tells), without those whose ancestor tells it too; empty when none tells anything.

    ``keys`` are always among the sums, those of ``optional`` only where a span has them.
    """
    rows = list(nodes)
    known = {span for span, _, _ in rows}
    below: defaultdict[str, list[Node]] = defaultdict(list)
    waiting: list[tuple[Node, bool]] = []
    for node in rows:
        if node[1] in known:
            below[node[1]].append(node)
        else:
            waiting.append((node, False))
    sums: dict[str, Any] = {}
    while waiting:
        (span, _, told), covered = waiting.pop()
        if told is not None and not covered:
            for key in keys:
                sums[key] = sums.get(key, 0) + _number(told.get(key))
            for key in optional:
                if key in told:
                    sums[key] = sums.get(key, 0) + _number(told[key])
        waiting.extend((node, covered or told is not None) for node in below.pop(span, ()))
    return sums


def _number(value: Any) -> int | float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
