"""``runstone query``: a question about the runs of a project, in any of the languages, with groups and counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from runstone.cli import runs, sheet, text
from runstone.cli.command import Command
from runstone.cli.session import Session
from runstone.query import And, Condition

LANGUAGES = ("text", "mongo", "mlflow")


@click.command("query", cls=Command)
@click.argument("project")
@click.argument("question", default="")
@click.option(
    "--language", type=click.Choice(LANGUAGES), help="What it is asked in; JSON is mongo, and else text."
)
@click.option("--order", default="", metavar="TEXT", help="By which fields, in the same language.")
@click.option("--group", "by", multiple=True, metavar="FIELD", help="Group by this field.")
@click.option(
    "--figure",
    "figures",
    multiple=True,
    metavar="TEXT",
    help='Of each group: "count()", "mean(summary.loss)".',
)
@click.option("--count", is_flag=True, help="Only how many runs there are.")
@click.option("-n", "--limit", default=100, metavar="N", help="At most N runs or groups; 0 is all runs.")
@click.option(
    "--field", "fields", multiple=True, metavar="FIELD", help="Show this field too, or write only such ones."
)
@click.option("--deleted", is_flag=True, help="Ask about deleted runs too.")
@sheet.options
@click.pass_obj
def query_command(
    session: Session,
    project: str,
    question: str,
    language: str | None,
    order: str,
    by: tuple[str, ...],
    figures: tuple[str, ...],
    count: bool,
    limit: int,
    fields: tuple[str, ...],
    deleted: bool,
    form: str | None,
    file: Path | None,
) -> None:
    """Ask about the runs of a project.

    QUESTION is filter text ('summary.loss < 0.5 and config.opt = "adam"'), a MongoDB-style document as wandb takes it
    ('{"summary_metrics.loss": {"$lt": 0.5}}'), or mlflow's ("metrics.loss < 0.5"); docs/queries.md says all.
    """
    condition, order = _asked(
        question, order, language or ("mongo" if question.lstrip()[:1] == "{" else "text")
    )
    form = sheet.chosen(form, file)
    if by or figures:
        if count or fields or deleted:
            raise click.UsageError("--group and --figure take neither --count nor --field nor --deleted.")
        _groups(session, project, condition, order, by, figures or ("count()",), limit, form, file)
        return
    with session.open() as store:
        if count:
            total = store.runs(project, condition, limit=1, total=True, deleted=deleted).total
            session.answer({"count": total}, lambda: [str(total)])
            return
        if form != "table":
            pieces = store.export_runs(
                project, form, condition, order=order, fields=fields, limit=limit, deleted=deleted
            )
            sheet.write(session, pieces, file)
            return
        found = runs.listed(store, project, condition, order, limit, deleted)
        runs.note_unknown(session, store, project, found, condition, order)
    session.answer(found, lambda: runs.table(found, fields, condition, order))


def _groups(
    session: Session,
    project: str,
    condition: str,
    order: str,
    by: tuple[str, ...],
    figures: tuple[str, ...],
    limit: int,
    form: str,
    file: Path | None,
) -> None:
    from runstone.domain.queries import sheets

    with session.open() as store:
        found = store.group_runs(project, by, figures, filter=condition, order=order, limit=limit or 100_000)
    names = (*found.by, *found.figures)
    rows = [dict(zip(names, (*each.key, *each.figures), strict=True)) for each in found.items]
    if form != "table":
        sheet.write(session, sheets.written(rows, form, names), file)
        return
    session.answer(rows, lambda: _table(names, rows, len(found.by)))


def _table(names: tuple[str, ...], rows: list[dict[str, Any]], keys: int) -> list[str]:
    cells = [[runs.cell(name, value) for name, value in row.items()] for row in rows]
    return text.table(list(names), cells, range(keys, len(names)))


def _asked(question: str, order: str, language: str) -> tuple[str, str]:
    """A question and an order in any language as filter text."""
    if language == "text":
        return question, order
    from runstone.domain.queries import mlflow, mongo, text_printer

    if language == "mlflow":
        orders = mlflow.orders([each.strip() for each in order.split(",")] if order else [])
        return _line(mlflow.condition(question)), text_printer.orders_text(orders) if order else ""
    try:
        document = json.loads(question or "{}")
    except ValueError as error:
        raise click.UsageError(f"The question is not JSON: {error}.") from None
    return _line(mongo.condition(document)), text_printer.orders_text(mongo.orders(order)) if order else ""


def _line(condition: Condition) -> str:
    from runstone.domain.queries import text_printer

    return "" if condition == And(()) else text_printer.condition_text(condition)
