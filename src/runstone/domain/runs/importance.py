"""Which fields of the config go with a metric, over the runs of a project."""

from __future__ import annotations

from typing import Any

from runstone.domain import limits
from runstone.domain.context import Context
from runstone.domain.runs import exporting, fieldnames
from runstone.domain.store import Store
from runstone.errors import Invalid
from runstone.types import Importances

#: The latest runs that fit are looked at, and those of their fields that most runs have.
MAX_RUNS = 10_000
MAX_FIELDS = 200
MAX_TARGET = 1024


def importance(
    store: Store, ctx: Context, project: str, target: str, *, filter: Any = "", limit: int = MAX_RUNS
) -> Importances:
    """How the fields of the config go with ``target`` (``summary.loss``, ``summary.acc:max``), the most important first.

    Fields that are the same in all runs are left out, and so are texts that nearly every run has to itself. The same runs always get the
    same answer. Raises :class:`Invalid` for a target that is itself of the config.
    """
    limits.text(target, "target", MAX_TARGET)
    if not target or target.startswith("config."):
        raise Invalid(f"the target is a metric such as summary.loss, not {target!r:.200}")
    known = fieldnames.frequent(store, ctx, project, prefix="config.", limit=1000)
    # What clients keep there for themselves is nobody's parameter.
    names = [each.field for each in known if not each.field.startswith("config._")][:MAX_FIELDS]
    fields = (target, *names)
    rows = exporting.runs(
        store, ctx, project, filter=filter, order="created desc", fields=fields, limit=min(limit, MAX_RUNS)
    )
    from runstone.domain.analysis import parameters

    return parameters.measured(ctx, target, rows, names)
