"""``runstone runs``: the runs of a project, as a table, or as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstone.cli import output, sheet, text
from runstone.cli.command import Command
from runstone.cli.session import Session
from runstone.types import RunInfo

if TYPE_CHECKING:
    from runstone.cli.session import Store

PAGE = 1000
_ALWAYS = ("name", "state", "started", "duration", "steps")


@click.command("runs", cls=Command)
@click.argument("project")
@click.option("--filter", "condition", default="", metavar="TEXT", help="Only runs that fulfil a condition.")
@click.option("--order", default="", metavar="TEXT", help="By which fields, each with asc or desc.")
@click.option("-n", "--limit", default=100, metavar="N", help="At most N runs; 0 is all.")
@click.option(
    "--field", "fields", multiple=True, metavar="FIELD", help="Show this field too, or write only such ones."
)
@click.option("--deleted", is_flag=True, help="Show deleted runs too.")
@sheet.options
@click.pass_obj
def runs_command(
    session: Session,
    project: str,
    condition: str,
    order: str,
    limit: int,
    fields: tuple[str, ...],
    deleted: bool,
    form: str | None,
    file: Path | None,
) -> None:
    """List the runs of a project.

    Newest first unless --order says otherwise. A condition is such as "config.lr < 0.01 and summary.loss < 0.5", an order such as
    "summary.loss, created desc"; docs/cli.md says all.
    """
    form = sheet.chosen(form, file)
    with session.open() as store:
        if form != "table":
            pieces = store.export_runs(
                project, form, condition, order=order, fields=fields, limit=limit, deleted=deleted
            )
            sheet.write(session, pieces, file)
            return
        found = listed(store, project, condition, order, limit, deleted)
        note_unknown(session, store, project, found, condition, order)
    session.answer(found, lambda: table(found, fields, condition, order))


def listed(
    store: Store, project: str, condition: str, order: str, limit: int, deleted: bool
) -> list[RunInfo]:
    """The runs that are asked for, from as many pages as it takes; 0 is no limit."""
    found: list[RunInfo] = []
    after = ""
    while not limit or len(found) < limit:
        wanted = min(limit - len(found), PAGE) if limit else PAGE
        page = store.runs(project, condition, order=order, after=after, limit=wanted, deleted=deleted)
        found += page.items
        after = page.next
        if not after:
            break
    return found


def note_unknown(
    session: Session, store: Store, project: str, found: list[RunInfo], condition: str, order: str
) -> None:
    """Says beside the answer which fields that were asked about no run of the project has: most likely a slip."""
    if session.json:
        return
    rows = [row_of(run) for run in found]
    for field in _asked(condition, order):
        if not any(row.get(field) is not None for row in rows) and not _is_field(store, project, field):
            near = _near(store, project, field)
            output.note(f"no run of {project} has the field {field}" + (f"; there is {near}" if near else ""))


def _is_field(store: Store, project: str, field: str) -> bool:
    from runstone.domain.queries.attributes import LINEAGE, RUN

    if field in RUN or field in LINEAGE or field == "deleted":
        return True
    there = store.run_fields(project, prefix=field, limit=1)
    return bool(there) and there[0].field.removeprefix(field)[:1] in ("", ".", ":")


def _near(store: Store, project: str, field: str) -> str:
    """The field that somebody may have meant: as other tools call it, or spelled nearly so."""
    root, _, rest = field.partition(".")
    renamed = {"metrics": "summary", "summary_metrics": "summary", "params": "config", "attributes": ""}
    if root in renamed:
        other = f"{renamed[root]}.{rest}".removeprefix(".")
        if _is_field(store, project, other):
            return other
    import difflib

    there = [each.field for each in store.run_fields(project, limit=PAGE)]
    ends = [name for name in there if name.endswith(f".{field}")]
    return next(iter(ends or difflib.get_close_matches(field, there, 1)), "")


def row_of(run: RunInfo) -> dict[str, Any]:
    """A run as flat fields, named as filters name them."""
    row: dict[str, Any] = {
        "id": run.name,
        "name": run.display_name or run.name,
        "state": run.state,
        "created": run.created,
        "started": run.started,
        "ended": run.finished or None,
        "duration": max(run.finished - run.started, 0) / 1e6 if run.finished else None,
        "user": run.by,
        "group": run.group,
        "job_type": run.job_type,
        "sweep": run.sweep,
        "notes": run.notes,
        "parent": run.parent,
        "steps": run.step + 1,
        "points": run.points,
    }
    row |= {f"tags.{tag}": value for tag, value in run.tags.items()}
    for root, values in (("config", run.config), ("summary", run.summary)):
        _flatten(row, root, values)
    return row


def _flatten(row: dict[str, Any], path: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict) and value and "_type" not in value:
            _flatten(row, f"{path}.{name}", value)
        else:
            row[f"{path}.{name}"] = value


def table(runs: list[RunInfo], fields: tuple[str, ...], condition: str, order: str) -> list[str]:
    """Lines of a table of runs, with the fields that were asked about."""
    if not runs:
        return []
    shown = [*_ALWAYS, *(field for field in fields or _asked(condition, order) if field not in _ALWAYS)]
    rows = [row_of(run) for run in runs]
    head = [field.upper() if field in _ALWAYS else field for field in shown]
    right = [place for place, field in enumerate(shown) if field in ("duration", "steps") or place > 4]
    return text.table(head, [[cell(field, row.get(field)) for field in shown] for row in rows], right)


def _asked(condition: str, order: str) -> list[str]:
    """The fields that were asked about: whoever orders by a metric wants to see it."""
    from runstone.domain.queries import text as language
    from runstone.query import fields_of

    ordered = [each.field for each in language.orders(order, None)]
    return list(dict.fromkeys([*ordered, *sorted(fields_of(language.condition(condition, None)))]))


def cell(field: str, value: Any) -> str:
    """A value of a field in a table."""
    if value is None:
        return "-"
    if field in ("created", "started", "ended"):
        return text.moment(value)
    if field == "duration":
        return f"{value:.0f} s"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else output.encode(value)
