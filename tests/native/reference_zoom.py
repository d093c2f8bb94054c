"""Buckets in plain Python: every point looked at, sums by math.fsum."""

import math
from typing import Any

from tests.native.reference_points import float_order

#: (step, time, value) of a numeric point.
Point = tuple[int, int, float]


def bucket(points: list[Point]) -> tuple[Any, ...]:
    """(count, nans, low, high, last, mean) of the points of one bucket, in any order."""
    numbers = [value for _, _, value in points if not math.isnan(value)]
    last = max(points, key=lambda p: (p[0], p[1], float_order(p[2])))[2] if points else math.nan
    nans = len(points) - len(numbers)
    if not numbers:
        return len(points), nans, math.nan, math.nan, last, math.nan
    low, high = min(numbers) + 0.0, max(numbers) + 0.0
    if math.inf in numbers or -math.inf in numbers:
        mean = sum(value for value in numbers if math.isinf(value))
    else:
        try:
            mean = math.fsum(numbers) / len(numbers)
        except OverflowError:
            mean = math.copysign(math.inf, sum(value / 2**64 for value in numbers))
    return len(points), nans, low, high, last, mean


def buckets(
    points: list[Point], start: int, width: int, count: int, low: int, high: int, by_time: bool
) -> list[tuple[Any, ...]]:
    inside: list[list[Point]] = [[] for _ in range(count)]
    for point in points:
        if low <= point[by_time] <= high:
            inside[(point[by_time] - start) // width].append(point)
    return [bucket(found) for found in inside]
