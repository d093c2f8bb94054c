"""The filter text of a query tree: what :mod:`runstone.domain.queries.text` reads back as the same tree."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from runstone.domain.queries import attributes
from runstone.query import And, Compare, Condition, Exists, Ids, In, IsNull, Match, Not, Or, Order, Scalar

#: A field that needs no quotes (unless it is one of the words): it may hold ``. : / - @ $ %`` within.
BARE = r"[^\W\d]\w*(?:[.:/@$%-]+\w+)*"
WORDS = frozenset(
    {
        "and",
        "or",
        "not",
        "in",
        "is",
        "null",
        "exists",
        "contains",
        "like",
        "ilike",
        "true",
        "false",
        "text",
        "all",
        "any",
        "rows",
        "asc",
        "desc",
        "nan",
        "inf",
    }
)

_BARE = re.compile(BARE)
_HOW = {"contains": "contains", "regex": "~", "like": "like", "ilike": "ilike"}


def condition_text(condition: Condition) -> str:
    """One line that means a condition."""
    return _text(condition, inside=False)


def orders_text(orders: Iterable[Order]) -> str:
    """One line that means some orders."""
    return ", ".join(field_text(each.field) + (" desc" if each.descending else "") for each in orders)


def field_text(field: str, literal: bool = False) -> str:
    """A field's name, quoted if it must be; ``literal`` quotes it whole."""
    if _BARE.fullmatch(field) and field.lower() not in WORDS and not literal:
        return field
    root, dot, rest = field.partition(".")
    if dot and rest and root in attributes.ROOTS and not literal:
        return f"{root}.`{rest.replace('`', '``')}`"
    return f"`{field.replace('`', '``')}`"


def value_text(value: Scalar) -> str:
    """A value as it is written: text in double quotes, on one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return repr(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _text(condition: Condition, *, inside: bool) -> str:
    """The text of a condition, in parentheses if it is ``inside`` another and made of several."""
    if isinstance(condition, (And, Or)):
        several = isinstance(condition, And)
        if not condition.of:
            return "true" if several else "false"
        if len(condition.of) == 1:
            return f"{'all' if several else 'any'}({_text(condition.of[0], inside=False)})"
        joined = (" and " if several else " or ").join(_text(each, inside=True) for each in condition.of)
        return f"({joined})" if inside else joined
    if isinstance(condition, Not):
        return _negated(condition.of)
    if isinstance(condition, Ids):
        return f"rows({', '.join(map(str, condition.ids))})"
    return _test(condition, "")


def _negated(condition: Condition) -> str:
    if isinstance(condition, (In, IsNull)) or (
        isinstance(condition, Match) and condition.how in ("like", "ilike")
    ):
        return _test(condition, "not ")
    return f"not {_text(condition, inside=True)}"


def _test(condition: Compare | In | Match | Exists | IsNull, turned: str) -> str:
    field = field_text(condition.field)
    if isinstance(condition, Exists):
        return f"{field} exists"
    if isinstance(condition, IsNull):
        return f"{field} is {turned}null"
    if isinstance(condition, Match):
        what = f"text({field})" if condition.text else field
        return f"{what} {turned}{_HOW[condition.how]} {value_text(condition.pattern)}"
    values = (condition.value,) if isinstance(condition, Compare) else condition.values
    if attributes.RUN.get(field) == "time" and any(isinstance(each, str) for each in values):
        field = field_text(field, literal=True)
    what = f"text({field})" if condition.text else field
    if isinstance(condition, Compare):
        return f"{what} {condition.op} {value_text(condition.value)}"
    return f"{what} {turned}in ({', '.join(map(value_text, values))})"
