"""mlflow's questions about logged models, in the fields that the columns of runs have.

What kind of model it is and which run made it are not in the columns: questions about those are left to a look at each model.
"""

from __future__ import annotations

from collections.abc import Sequence

from runstone.dialects.mlflow import artifacts
from runstone.dialects.routing import Call
from runstone.errors import Missing
from runstone.query import Compare, Condition, Ids, In, Not, Or, Order, fields_of, leaves, rewritten

#: The states of runs that are each status of a logged model; every other state is that of a model which is not ready yet.
_STATUSES = {"READY": ("finished",), "UPLOAD_FAILED": ("failed", "crashed", "killed")}
#: What the columns do not have of a logged model.
_APART = frozenset({"model_type", "run_id"})


def condition_of(call: Call, condition: Condition, orders: Sequence[Order]) -> Condition | None:
    """A condition on logged models in the fields of runs; None when the columns of runs cannot answer it in those orders."""
    if any(order.field in _APART | {"status"} for order in orders) or fields_of(condition) & _APART:
        return None
    for leaf in leaves(condition):
        field = getattr(leaf, "field", "")
        if field in ("id", "status") and not (isinstance(leaf, In) or _is_equality(leaf)):
            return None
    return rewritten(condition, lambda leaf: _of_model(call, leaf))


def _is_equality(leaf: Condition) -> bool:
    return isinstance(leaf, Compare) and leaf.op in ("=", "!=")


def _of_model(call: Call, leaf: Condition) -> Condition:
    if not isinstance(leaf, (Compare, In)) or leaf.field not in ("id", "status"):
        return leaf
    values = leaf.values if isinstance(leaf, In) else (leaf.value,)
    found: Condition
    if leaf.field == "id":
        found = Ids(tuple(number for value in values if (number := _model(call, str(value)))))
    else:
        found = Or(tuple(_in_status(str(value)) for value in values))
    return Not(found) if isinstance(leaf, Compare) and leaf.op == "!=" else found


def _model(call: Call, text: str) -> int:
    try:
        return artifacts.logged(call, text).id
    except Missing:
        return 0


def _in_status(text: str) -> Condition:
    if text == "PENDING":
        return Not(In("state", tuple(state for states in _STATUSES.values() for state in states)))
    return In("state", _STATUSES.get(text, ()))


def of_any_value(condition: Condition) -> Condition:
    """A condition in which what is said of a metric may be true of any of its values, of which the columns know the least, greatest and latest."""
    return rewritten(condition, _of_any)


def _of_any(leaf: Condition) -> Condition:
    if not isinstance(leaf, Compare) or not leaf.field.startswith("summary."):
        return leaf
    figures = {">": (":max",), ">=": (":max",), "<": (":min",), "<=": (":min",), "!=": (":min", ":max")}
    ends = figures.get(leaf.op, ("", ":min", ":max"))
    return Or(tuple(Compare(leaf.field + end, leaf.op, leaf.value, leaf.text) for end in ends))
