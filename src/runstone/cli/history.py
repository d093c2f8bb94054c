"""``runstone history``: what happened to an alias, a version, a collection or a project, by the log."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import click

from runstone.cli import names, output, text
from runstone.cli.command import Command
from runstone.cli.session import Session
from runstone.types import AliasStep, LogRecord

#: What the table shows in columns of its own, and numbers and digests that mean something only inside the store.
_UNTOLD = frozenset(
    {
        "actor",
        "reason",
        "namespace",
        "project",
        "collection",
        "manifest",
        "metadata",
        "digest",
        "info",
        "batch",
        "past",
    }
)
_LONGEST = 60


@click.command("history", cls=Command)
@click.argument("name")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="At most the first N changes.")
@click.pass_obj
def history_command(session: Session, name: str, limit: int | None) -> None:
    """List every change of an alias or object.

    Of collection@alias: each version that the alias pointed at, from when on, by whom and why. Of anything else, such as
    run:namespace/project/run: its changes as the log has them; --json shows them whole.
    """
    collection, alias = names.alias_in(name)
    with session.open() as store:
        if alias:
            steps = list(islice(names.alias_steps(store, collection, alias), limit))
            session.answer(steps, lambda: steps_table(steps))
        else:
            records = list(islice(names.changes(store, name), limit))
            session.answer(records, lambda: _records_table(records))


def steps_table(steps: Sequence[AliasStep]) -> list[str]:
    """The steps of an alias for people."""
    rows = [
        (
            str(step.seq),
            text.moment(step.time),
            f"v{step.version}" if step.version else "removed",
            f"v{step.previous}" if step.previous else "-",
            step.by,
            step.reason,
        )
        for step in steps
    ]
    return text.table(("ENTRY", "TIME", "VERSION", "BEFORE", "BY", "REASON"), rows, (0,))


def _records_table(records: Sequence[LogRecord]) -> list[str]:
    rows = [
        (str(record.seq), text.moment(record.time), record.kind, record.actor, _told(record))
        for record in records
    ]
    return text.table(("ENTRY", "TIME", "CHANGE", "BY", "WHAT"), rows, (0,))


def _told(record: LogRecord) -> str:
    """What a command says, in a few words, its reason first."""
    if not isinstance(record.command, dict):
        return "(erased)" if record.command is None else ""
    values = {
        name: value
        for name, value in record.command.items()
        if name not in _UNTOLD and isinstance(value, str | int | dict | list) and value not in ("", {}, [])
    }
    words = " ".join(f"{name}={output.encode(value)}" for name, value in values.items())
    reason = record.command.get("reason")
    told = "; ".join(part for part in (reason, words) if part)
    return told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"
