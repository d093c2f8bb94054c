"""``runstone tail``: what a run says, as it says it, until it ends."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from runstone.cli import output, text
from runstone.cli.command import Command
from runstone.cli.session import Session
from runstone.types import ConsoleLine, Event, RunInfo

if TYPE_CHECKING:
    from runstone.cli.session import Store

PAGE = 1000
#: States in which a run has not ended yet.
GOING_ON = ("running", "pending", "preempting")
_WIDEST = 12


@click.command("tail", cls=Command)
@click.argument("name")
@click.option("-n", "--lines", "count", default=10, metavar="N", help="Begin with the last N console lines.")
@click.option("--no-follow", is_flag=True, help="Say what there is, and end.")
@click.option("--no-metrics", is_flag=True, help="Console lines only.")
@click.pass_obj
def tail_command(session: Session, name: str, count: int, no_follow: bool, no_metrics: bool) -> None:
    """Follow a run: its console lines and its latest metrics.

    Ends when the run does. With --json each line of the answer is a document of its own: {"line": ...}, {"summary": ...} or {"state": ...}.
    """
    with session.open() as store:
        teller = _Teller(store, name, as_json=session.json, metrics=not no_metrics)
        for told in teller.tell(max(count, 0), follow=not no_follow):
            sys.stdout.write(told + "\n")
            sys.stdout.flush()


class _Teller:
    """Says what is new of a run since it was last looked at."""

    def __init__(self, store: Store, name: str, *, as_json: bool, metrics: bool) -> None:
        self._store, self._name, self._json, self._metrics = store, name, as_json, metrics
        self._line = 0
        self._said = ""

    def tell(self, count: int, *, follow: bool) -> Iterator[str]:
        """What there is, then what comes, up to the end of the run."""
        run = self._store.get_run(self._name)
        self._name = run.path
        if follow and run.state in GOING_ON:
            # Listening begins before the first look, so that nothing falls between them.
            with contextlib.closing(self._store.events(f"{run.namespace}/{run.project}")) as events:
                run = self._store.get_run(run.path)
                yield from self._first(run, count)
                yield from self._follow(run, events)
            return
        yield from self._first(run, count)
        yield self._end(run)

    def _first(self, run: RunInfo, count: int) -> Iterator[str]:
        self._line = max(run.lines - count, 0)
        return self._new(run)

    def _follow(self, run: RunInfo, events: Iterator[Event]) -> Iterator[str]:
        while run.state in GOING_ON:
            if next(events).name == run.path:
                run = self._store.get_run(run.path)
                yield from self._new(run)
        yield self._end(run)

    def _end(self, run: RunInfo) -> str:
        return (
            self._document("state", run.state) if self._json else text.printable(f"{run.path} is {run.state}")
        )

    def _new(self, run: RunInfo) -> Iterator[str]:
        while self._line < run.lines:
            page = self._store.lines(run.path, start=self._line, limit=PAGE)
            if not page:
                break
            yield from map(self._line_of, page)
            self._line = page[-1].number + 1
        if self._metrics and run.points:
            said = self._document("summary", run.summary) if self._json else _metrics(run)
            if said and said != self._said:
                self._said = said
                yield said

    def _line_of(self, line: ConsoleLine) -> str:
        if self._json:
            return self._document("line", line)
        return text.printable(line.text)

    def _document(self, kind: str, value: Any) -> str:
        return output.encode({kind: value})


def _metrics(run: RunInfo) -> str:
    numbers = [
        f"{key} {value:.6g}"
        for key, value in run.summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    more = f"  and {len(numbers) - _WIDEST} more" if len(numbers) > _WIDEST else ""
    return text.printable(f"[step {run.step}]  {'  '.join(numbers[:_WIDEST])}{more}") if numbers else ""
