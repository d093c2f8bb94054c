"""The values that a parameter may have, and how they are counted and drawn.

The distributions are those that the wandb SDK documents: ``log_uniform`` has its bounds as exponents of e, ``log_uniform_values`` as
values; the ``inv_`` forms are even in the logarithm of 1/x, which is the same thing; the ``q_`` forms are rounded to multiples of ``q``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec


class Choice(msgspec.Struct, frozen=True):
    """One of some values, equally often or by ``odds``."""

    values: tuple[Any, ...]
    odds: tuple[float, ...] = ()

    def draw(self, chance: random.Random) -> Any:
        """A value by chance."""
        return chance.choices(self.values, self.odds or None)[0]


class Range(msgspec.Struct, frozen=True):
    """Numbers of a distribution: ``low`` to ``high``, or around ``center``; ``step`` is what values are multiples of, or 0."""

    kind: str
    low: float = 0.0
    high: float = 1.0
    center: float = 0.0
    spread: float = 1.0
    step: float = 0.0

    @classmethod
    def of(cls, kind: str, numbers: dict[str, Any]) -> Range:
        """The distribution of a name, of its numbers; raises ValueError for numbers that it cannot have."""
        low, high = numbers.get("min", 0.0), numbers.get("max", 1.0)
        if kind in ("beta", "q_beta"):
            low, high = numbers["a"], numbers["b"]
            if low <= 0 or high <= 0:
                raise ValueError("a and b must be above 0")
        elif low > high:
            raise ValueError(f"min is {low} and max {high}")
        shape = DISTRIBUTIONS[kind]
        if shape.logarithmic and "values" not in kind and "uniform" in kind:
            signed = (-high, -low) if kind.startswith("inv_") else (low, high)
            low, high = math.exp(signed[0]), math.exp(signed[1])
        if shape.logarithmic and "uniform" in kind and low <= 0:
            raise ValueError(f"min must be above 0, not {low}")
        sigma, step = numbers.get("sigma", 1.0), numbers.get("q", 1.0 if shape.stepped else 0.0)
        if sigma <= 0 or (shape.stepped and step <= 0):
            raise ValueError("sigma and q must be above 0")
        return cls(kind, low, high, numbers.get("mu", 0.0), sigma, step if shape.stepped else 0.0)

    @property
    def whole(self) -> bool:
        """Whether values are whole numbers."""
        return self.kind == "int_uniform"

    def draw(self, chance: random.Random) -> Any:
        """A value by chance."""
        if self.whole:
            return chance.randint(math.ceil(self.low), math.floor(self.high))
        return self.rounded(DISTRIBUTIONS[self.kind].draw(self, chance))

    def rounded(self, value: float) -> Any:
        """The nearest value that it may have."""
        if not self.step:
            return value
        near = round(value / self.step) * self.step
        return int(near) if float(self.step).is_integer() else near

    def counted(self, limit: int) -> tuple[Any, ...] | None:
        """All values, when they can be counted and are not over ``limit``."""
        if self.whole:
            low, high = math.ceil(self.low), math.floor(self.high)
            return tuple(range(low, high + 1)) if 0 <= high - low < limit else None
        if self.kind != "q_uniform" or (self.high - self.low) / self.step >= limit:
            return None
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        return tuple(self.rounded(number * self.step) for number in range(first, last + 1)) or None

    def bounds(self) -> tuple[float, float]:
        """Where nearly all of its values lie: four spreads about the center of what has no ends."""
        if "normal" not in self.kind:
            return (0.0, 1.0) if "beta" in self.kind else (self.low, self.high)
        low, high = self.center - 4 * self.spread, self.center + 4 * self.spread
        return (math.exp(low), math.exp(high)) if DISTRIBUTIONS[self.kind].logarithmic else (low, high)


#: A parameter that is a range of numbers.
Dimension = Range
Parameter = Choice | Range


class Shape(NamedTuple):
    """A distribution: the numbers that it needs, how it is drawn, and whether it is even in the logarithm and has steps."""

    needs: tuple[str, ...]
    draw: Callable[[Range, random.Random], float]
    logarithmic: bool = False
    stepped: bool = False


def _uniform(each: Range, chance: random.Random) -> float:
    return chance.uniform(each.low, each.high)


def _log_uniform(each: Range, chance: random.Random) -> float:
    return min(max(math.exp(chance.uniform(math.log(each.low), math.log(each.high))), each.low), each.high)


def _normal(each: Range, chance: random.Random) -> float:
    return chance.normalvariate(each.center, each.spread)


def _log_normal(each: Range, chance: random.Random) -> float:
    return chance.lognormvariate(each.center, each.spread)


def _beta(each: Range, chance: random.Random) -> float:
    return chance.betavariate(each.low, each.high)


_ENDS = ("min", "max")
DISTRIBUTIONS: dict[str, Shape] = {
    "int_uniform": Shape(_ENDS, _uniform),
    "uniform": Shape(_ENDS, _uniform),
    "q_uniform": Shape(_ENDS, _uniform, stepped=True),
    "log_uniform": Shape(_ENDS, _log_uniform, logarithmic=True),
    "q_log_uniform": Shape(_ENDS, _log_uniform, logarithmic=True, stepped=True),
    "inv_log_uniform": Shape(_ENDS, _log_uniform, logarithmic=True),
    "log_uniform_values": Shape(_ENDS, _log_uniform, logarithmic=True),
    "q_log_uniform_values": Shape(_ENDS, _log_uniform, logarithmic=True, stepped=True),
    "inv_log_uniform_values": Shape(_ENDS, _log_uniform, logarithmic=True),
    "normal": Shape(("mu", "sigma"), _normal),
    "q_normal": Shape(("mu", "sigma"), _normal, stepped=True),
    "log_normal": Shape(("mu", "sigma"), _log_normal, logarithmic=True),
    "q_log_normal": Shape(("mu", "sigma"), _log_normal, logarithmic=True, stepped=True),
    "beta": Shape(("a", "b"), _beta),
    "q_beta": Shape(("a", "b"), _beta, stepped=True),
}


def grid_point(choices: list[tuple[Any, ...]], number: int) -> list[Any] | None:
    """The values of place ``number`` of a grid, the last parameter the fastest; None past the end."""
    found: list[Any] = []
    for values in reversed(choices):
        number, at = divmod(number, len(values))
        found.append(values[at])
    return found[::-1] if number == 0 else None
