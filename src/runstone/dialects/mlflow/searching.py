"""mlflow's questions about runs, in the fields that the columns of runs have.

What the columns do not have, a text that mlflow makes of a run (its id for LIKE, the address of its artifacts), is left to a look at each run.
"""

from __future__ import annotations

from collections.abc import Sequence

from runstone.dialects.mlflow import ids
from runstone.dialects.routing import Call
from runstone.domain import described
from runstone.errors import Missing
from runstone.query import (
    And,
    Compare,
    Condition,
    Ids,
    In,
    Match,
    Not,
    Order,
    fields_of,
    leaves,
    rewritten,
)

#: mlflow's start is when a run began, and its user whom the client names.
_RENAMED = {"created": "started", "user": "user_id"}
_VIEWS = {"ACTIVE_ONLY": False, "DELETED_ONLY": True}


def by_columns(condition: Condition, orders: Sequence[Order]) -> bool:
    """Whether the columns of runs can answer."""
    if any(order.field == "artifact_uri" for order in orders) or "artifact_uri" in fields_of(condition):
        return False
    return not any(isinstance(leaf, Match) and leaf.field == "id" for leaf in leaves(condition))


def condition_of(call: Call, condition: Condition, view: str) -> Condition:
    """The condition on the fields of runs; ``view`` is which of the deleted and the others."""
    asked = [rewritten(condition, lambda leaf: _leaf(call, leaf)), Not(Compare("job_type", "=", ids.LOGGED))]
    if view in _VIEWS:
        asked.append(Compare("deleted", "=", _VIEWS[view]))
    return And(tuple(asked))


def orders_of(orders: Sequence[Order]) -> tuple[Order, ...]:
    """The orders by the fields of runs."""
    return tuple(Order(_RENAMED.get(each.field, each.field), each.descending) for each in orders)


def _leaf(call: Call, leaf: Condition) -> Condition:
    if isinstance(leaf, Compare) and leaf.field == "id":
        found = Ids(_numbers(call, (leaf.value,)))
        return found if leaf.op == "=" else Not(found)
    if isinstance(leaf, In) and leaf.field == "id":
        return Ids(_numbers(call, leaf.values))
    if isinstance(leaf, (Compare, In, Match)) and leaf.field in _RENAMED:
        return _renamed(leaf)
    return leaf


def _renamed(leaf: Compare | In | Match) -> Condition:
    field = _RENAMED[leaf.field]
    if isinstance(leaf, Compare):
        return Compare(field, leaf.op, leaf.value, leaf.text)
    if isinstance(leaf, In):
        return In(field, leaf.values, leaf.text)
    return Match(field, leaf.how, leaf.pattern, leaf.text)


def _numbers(call: Call, texts: Sequence[object]) -> tuple[int, ...]:
    """The numbers of the runs that mlflow knows by some ids."""
    found = []
    for text in texts:
        try:
            run = ids.run(call, str(text))
        except Missing:
            continue
        project = described.project(call.store, call.ctx, f"{run.namespace}/{run.project}")
        if ids.run_id(project.id, run.id, run.name) == text:
            found.append(run.id)
    return tuple(found)
