"""``runstone gc`` and ``runstone scrub``: keeping a store well."""

from __future__ import annotations

from typing import Any

import click

from runstone.cli import exits, output, text
from runstone.cli.command import Command, duration
from runstone.cli.progress import Progress
from runstone.cli.session import Session
from runstone.types import DamageInfo


@click.command("gc", cls=Command)
@click.option(
    "--grace",
    callback=duration,
    default="24h",
    metavar="DURATION",
    help="How long bytes must have been unreferenced before they are freed (24h).",
)
@click.pass_obj
def gc_command(session: Session, grace: float) -> None:
    """Free the bytes that nothing refers to.

    Deletes expired versions, marks what nothing refers to any more, and frees what was marked at least the grace period ago: so bytes
    are freed by the second run. Safe at any time, beside uploads and downloads.
    """
    with session.open() as store:
        report = store.gc(grace_seconds=grace)
    session.answer(report, lambda: _reported(report))
    for failure in report.get("failures", ()):
        output.note(f"runstone: {failure}")


@click.command("scrub", cls=Command)
@click.option(
    "--deep", is_flag=True, help="Check the cryptographic hash of every chunk, not only its checksum."
)
@click.pass_context
def scrub_command(ctx: click.Context, deep: bool) -> None:
    """Read every stored byte and withdraw damage.

    Versions with damaged bytes are quarantined, and aliases go back to their last good version; versions whose bytes verify again are
    released. Ends with exit code 6 while anything is damaged.
    """
    session = ctx.ensure_object(Session)
    with session.open() as store, Progress("scrubbing") as progress:
        report = store.scrub(deep=deep, progress=progress)
        damages = store.damages()
    session.answer({"report": report, "damages": damages}, lambda: [*_reported(report), *_damaged(damages)])
    if damages or report.get("index"):
        ctx.exit(exits.CORRUPT)


def _reported(report: dict[str, Any]) -> list[str]:
    """The numbers of a report, sizes readable and what is nothing left out."""
    values = []
    for name, value in report.items():
        if isinstance(value, bool) or not isinstance(value, int) or not value:
            continue
        values.append((name.replace("_", " "), text.size(value) if name.startswith("bytes") else str(value)))
    return text.pairs(values) or ["nothing to do"]


def _damaged(damages: list[DamageInfo]) -> list[str]:
    lines = []
    for damage in damages:
        lines.append(
            f"DAMAGED: {text.count(damage.length, 'byte')} at {damage.offset} of blob {damage.sha256}, "
            f"in pack {damage.pack} at {damage.pack_offset}"
        )
        lines += [f"  withdrawn  {version}" for version in damage.versions]
        lines += [f"  affected   {consumer}" for consumer in damage.consumers]
    return [text.printable(line) for line in lines]
