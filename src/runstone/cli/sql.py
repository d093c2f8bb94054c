"""``runstone sql``: a read-only SQL statement over a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from runstone.cli import output, sheet, text
from runstone.cli.command import Command
from runstone.cli.session import Session


@click.command("sql", cls=Command)
@click.argument("project")
@click.argument("statement")
@click.option("-n", "--limit", default=1000, metavar="N", type=click.IntRange(min=1), help="At most N rows.")
@click.option("--seconds", default=10.0, metavar="S", help="At most so long.")
@sheet.options
@click.pass_obj
def sql_command(
    session: Session,
    project: str,
    statement: str,
    limit: int,
    seconds: float,
    form: str | None,
    file: Path | None,
) -> None:
    """Select from a project with SQL.

    Tables: runs, series, versions, aliases, lineage and log. A column of runs is named as in filters: "summary.loss", "config.lr". A
    statement can only read. Needs runstone[sql].
    """
    form = sheet.chosen(form, file)
    with session.open() as store:
        found = store.sql(project, statement, seconds=seconds, max_rows=limit)
    if form != "table":
        from runstone.domain.queries import sheets

        sheet.write(session, sheets.of_table(found, form), file)
        return
    rows = found.to_pylist()
    session.answer(
        rows, lambda: text.table(found.column_names, [_cells(row) for row in rows]) if rows else []
    )


def _cells(row: dict[str, Any]) -> list[str]:
    return [_cell(value) for value in row.values()]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return text.printable(value) if isinstance(value, str) else output.encode(value)
