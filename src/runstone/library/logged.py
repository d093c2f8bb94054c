"""Logging a run into a store that is open in this process: the sink that :meth:`runstone.library.Library.run` delivers to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from runstone import domain
from runstone.client.runs import orphans
from runstone.client.runs.orphans import Delivered
from runstone.client.runs.outbox import Options
from runstone.client.runs.records import Line, Operation, stretches
from runstone.client.runs.run import Run
from runstone.client.runs.sink import Changes, RunSpec, Sink
from runstone.client.runs.spool import Head
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import TryAgain

#: What the destination of a journal begins with that belongs to a data directory.
DIRECTORY = "directory:"


class EmbeddedSink:
    """Delivers to an open store, with each delivery's id as the id of its command."""

    def __init__(self, store: Store, ctx: Context) -> None:
        self._store, self._ctx = store, ctx
        self._pid = os.getpid()

    def _with(self, id: bytes) -> tuple[Store, Context]:
        if os.getpid() != self._pid:
            raise TryAgain(
                "the store is open in the parent process; what this child logs is delivered after its end"
            )
        return self._store, replace(self._ctx, command_id=id)

    def create(self, spec: RunSpec, id: bytes) -> None:
        """Makes or resumes the run."""
        domain.runs.lifecycle.create(
            *self._with(id), spec.path, resume=spec.resume, display_name=spec.name, group=spec.group,
            job_type=spec.job_type, sweep=spec.sweep, notes=spec.notes, tags=spec.tags, config=spec.config,
            goals=spec.goals, info=spec.details, started=spec.created,
        )  # fmt: skip

    def points(self, spec: RunSpec, batch: bytes, id: bytes) -> None:
        """Adds points."""
        domain.runs.points.log(*self._with(id), spec.path, batch)

    def update(self, spec: RunSpec, changes: Changes, id: bytes) -> None:
        """Changes the run."""
        patch: dict[str, Any] = changes.as_patch()
        patch["remove"] = tuple(patch["remove"])
        domain.runs.lifecycle.update(*self._with(id), spec.path, **patch)

    def lines(self, spec: RunSpec, lines: list[Line], id: bytes) -> None:
        """Adds console lines, or rewrites some; lines that were rewritten twice alike are as they are."""
        store, ctx = self._with(b"")
        for stretch in stretches(lines):
            domain.runs.console.log(
                store,
                ctx,
                spec.path,
                stretch,
                first=stretch[0].number,
                writer=f"{spec.process}:{stretch[0].stream}",
            )

    def operation(self, spec: RunSpec, operation: Operation, id: bytes) -> None:
        """Adds the lineage edge that the operation stands for."""
        domain.lineage.link(*self._with(id), *operation.as_edge(spec.path))

    def finish(self, spec: RunSpec, state: str, time: int, id: bytes) -> None:
        """Ends the run."""
        if spec.ends(state):
            domain.runs.lifecycle.set_state(*self._with(id), spec.path, state, finished=time)

    def beat(self, spec: RunSpec, time: int) -> None:
        """Notes that the run is alive."""
        domain.runs.liveness.heartbeat(*self._with(b""), spec.path)

    def close(self) -> None:
        """The store is not this sink's to close."""


def begin(store: Store, ctx: Context, spec: RunSpec, **options: Any) -> Run:
    """A run of an open store, ready to be logged to."""
    return Run(
        spec,
        Options(
            connect=lambda: EmbeddedSink(store, ctx),
            destination=f"{DIRECTORY}{store.path.resolve()}",
            spool=Path(options.pop("spool", None) or store.path / "spool"),
            **options,
        ),
    )


def deliver(spool: Path | None = None) -> list[Delivered]:
    """Delivers every journal of a spool whose process is gone, to servers and to data directories; what became of each."""
    opened: dict[str, Store] = {}

    def connect(head: Head) -> Sink:
        if not head.destination.startswith(DIRECTORY):
            from runstone.client.runs.remote import RemoteSink

            return RemoteSink.connect(head.destination)
        path = head.destination.removeprefix(DIRECTORY)
        if path not in opened:
            opened[path] = Store(Path(path), create=False)
        return EmbeddedSink(opened[path], Context())

    try:
        return orphans.deliver(spool, connect)
    finally:
        for store in opened.values():
            store.close()
