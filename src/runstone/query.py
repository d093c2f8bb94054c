"""Questions about rows: one tree for every language that asks.

A row is a flat mapping of field names to values. Names of a run's fields: attributes stand by themselves (``name``, ``state``,
``created``), the rest have a root: ``config.optimizer.lr``, ``summary.loss`` (the latest value), ``summary.loss:min`` (also ``:max``,
``:mean``, ``:count``, ``:step``, ``:best``), ``tags.baseline`` (a tag's text; empty for a mere label).
Values are ``None``, ``bool``, numbers, text, or anything else (lists, objects), which can only be found to exist.

What a missing value, null and NaN mean, in one place:

- A condition on a field that is missing or null is false, but for :class:`Exists` and :class:`IsNull`; :class:`Not` turns exactly that over.
- Types are never mixed: ``config.lr = "1"`` does not find the number 1, and ``true`` is not 1. :attr:`Compare.text` compares every scalar
  by its text instead (``True``, ``1``, ``0.1``, as Python prints them).
- ``=`` finds NaN by NaN and ``!=`` finds NaN by every number; ``<``, ``<=``, ``>``, ``>=`` never find NaN.
- An order puts false and true first, then numbers, then text (by code point); descending turns that over. In both directions NaN comes
  after all of these, then whatever has no order (lists, objects), then null and missing. Rows that tie come newest (greatest id) first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

Scalar = bool | int | float | str | None
Operator = Literal["=", "!=", "<", "<=", ">", ">="]
Function = Literal["count", "min", "max", "mean", "sum"]

#: The most rows a page may have, and the most groups an answer.
MAX_LIMIT = 100_000
#: How deep conditions may nest, and how many there may be.
MAX_DEPTH = 64
MAX_CONDITIONS = 1_000


class Node(msgspec.Struct, frozen=True, tag_field="node", tag=str.lower):
    """A condition."""


class And(Node, frozen=True):
    """All of some conditions; of none, true."""

    of: tuple[Condition, ...]


class Or(Node, frozen=True):
    """Any of some conditions; of none, false."""

    of: tuple[Condition, ...]


class Not(Node, frozen=True):
    """The opposite of a condition."""

    of: Condition


class Compare(Node, frozen=True):
    """A field against a value of its own type; with ``text``, against the text of any scalar."""

    field: str
    op: Operator
    value: Scalar
    text: bool = False


class In(Node, frozen=True):
    """A field that equals one of some values (of their own types; with ``text``, by its text)."""

    field: str
    values: tuple[Scalar, ...]
    text: bool = False


class Match(Node, frozen=True):
    """A text field that matches a pattern: a substring, an RE2 regular expression (found anywhere), or SQL's LIKE and ILIKE.

    With ``text``, numbers and booleans are matched by their text too.
    """

    field: str
    how: Literal["contains", "regex", "like", "ilike"]
    pattern: str
    text: bool = False


class Exists(Node, frozen=True):
    """A field that the row has, be it null."""

    field: str


class IsNull(Node, frozen=True):
    """A field that is missing or null."""

    field: str


class Ids(Node, frozen=True):
    """Rows by their ids: what a condition on lineage or names has been resolved to."""

    ids: tuple[int, ...]


Condition = And | Or | Not | Compare | In | Match | Exists | IsNull | Ids


class Order(msgspec.Struct, frozen=True):
    """A field to order by."""

    field: str
    descending: bool = False


class Aggregate(msgspec.Struct, frozen=True):
    """A function over the numbers of a field in a group (NaN left out; booleans are not numbers); ``count`` without a field counts rows."""

    function: Function
    field: str = ""

    @property
    def name(self) -> str:
        """How the answer names it: ``mean(summary.loss)``, ``count()``."""
        return f"{self.function}({self.field})"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question. With ``group``, rows are groups (``group`` fields, then ``aggregates``), and ``order`` may name either.

    ``after`` is the place of the last row of the page before; ``skip`` is how many rows behind it are passed over, ``limit`` how many are
    wanted after those; ``total`` asks how many there are.
    """

    filter: Condition = And(())
    order: tuple[Order, ...] = ()
    group: tuple[str, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    limit: int = 100
    after: str = ""
    skip: int = 0
    total: bool = False


def rewritten(condition: Condition, leaf: Callable[[Condition], Condition]) -> Condition:
    """A condition with each of its leaves (what joins no others) put through a function."""
    if isinstance(condition, And):
        return And(tuple(rewritten(each, leaf) for each in condition.of))
    if isinstance(condition, Or):
        return Or(tuple(rewritten(each, leaf) for each in condition.of))
    if isinstance(condition, Not):
        return Not(rewritten(condition.of, leaf))
    return leaf(condition)


def leaves(condition: Condition) -> Iterator[Condition]:
    """The conditions of a condition that join no others."""
    if isinstance(condition, (And, Or)):
        for each in condition.of:
            yield from leaves(each)
    elif isinstance(condition, Not):
        yield from leaves(condition.of)
    else:
        yield condition


def fields_of(condition: Condition) -> set[str]:
    """Every field that a condition looks at."""
    return {leaf.field for leaf in leaves(condition) if not isinstance(leaf, (And, Or, Not, Ids))}
