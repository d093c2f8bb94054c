"""``runstone lineage``: where a version came from, and where it went."""

from __future__ import annotations

from typing import Literal

import click

from runstone.cli import text
from runstone.cli.command import Command, Group
from runstone.cli.session import Session
from runstone.types import LineageGraph, LineageNode

Direction = Literal["upstream", "downstream", "both"]
RELATIONS = ("used_by", "produced", "derived_to", "fetched_by", "invoked_by")


@click.group("lineage", cls=Group, default="show")
def lineage_command() -> None:
    """Show what a version came from and went into.

    'runstone lineage NAME' is short for 'runstone lineage show NAME'. An end is a version's name, or run:NAME, consumer:NAME or
    external:NAME.
    """


@lineage_command.command("show", cls=Command)
@click.argument("name")
@click.option(
    "--upstream/--downstream", default=None, help="Only what it came from, or only what came of it."
)
@click.option(
    "--depth", type=click.IntRange(1, 1000), default=100, metavar="N", help="At most N edges away (100)."
)
@click.pass_obj
def lineage_show(session: Session, name: str, upstream: bool | None, depth: int) -> None:
    """Show everything upstream, downstream or both."""
    direction: Direction = "both" if upstream is None else "upstream" if upstream else "downstream"
    with session.open() as store:
        graph = store.lineage(name, direction=direction, depth=depth)
    session.answer(graph, lambda: _edges(graph))


def _edges(graph: LineageGraph) -> list[str]:
    ends = {node.id: _end(node) for node in graph.nodes}
    rows = [
        (
            ends.get(edge.source, "?"),
            edge.relation,
            ends.get(edge.target, "?"),
            text.moment(edge.time),
            edge.by,
            str(edge.count),
        )
        for edge in graph.edges
    ]
    lines = text.table(("SOURCE", "RELATION", "TARGET", "SINCE", "BY", "COUNT"), rows, (5,))
    return [*lines, "there is more: the limit cut it"] if graph.truncated else lines


def _end(node: LineageNode) -> str:
    return node.name if node.kind == "version" else f"{node.kind}:{node.name}"


@lineage_command.command("add", cls=Command)
@click.argument("source")
@click.argument("relation", type=click.Choice(RELATIONS))
@click.argument("target")
@click.pass_obj
def lineage_add(session: Session, source: str, relation: str, target: str) -> None:
    """Add an edge: SOURCE was there first, and TARGET came of it or used it."""
    with session.open() as store:
        store.link(source, relation, target)
    edge = {"source": source, "relation": relation, "target": target}
    session.answer(edge, lambda: [text.printable(f"{source} -{relation}-> {target}")])
