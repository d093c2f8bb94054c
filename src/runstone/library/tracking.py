"""The half of the embedded library that tracks runs. A run is named ``namespace/project/run``.

:class:`runstone.client.tracking.RemoteTracking` has the same methods over HTTP.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runstone import domain
from runstone.library.calls import Calls
from runstone.types import (
    ConsoleLine,
    Event,
    FieldInfo,
    FileEntry,
    GroupPage,
    KeyStats,
    RowPage,
    RunInfo,
    RunPage,
    SeriesPage,
    SeriesPicture,
)

if TYPE_CHECKING:
    import pyarrow

    from runstone.client.runs.run import Run
    from runstone.domain.content import StoredFile

#: Seconds between two looks at whether anything was committed.
LOOK = 0.05


class Tracking(Calls):
    """Runs of a store opened in-process."""

    def create_run(
        self,
        name: str,
        *,
        resume: str = "never",
        display_name: str = "",
        group: str = "",
        job_type: str = "",
        sweep: str = "",
        notes: str = "",
        tags: Iterable[str] | Mapping[str, str] = (),
        config: Mapping[str, Any] | None = None,
        goals: Mapping[str, str] | None = None,
        info: Mapping[str, Any] | None = None,
        started: int = 0,
        fork: str = "",
        step: int = 0,
    ) -> RunInfo:
        """Makes a run, and its project on first use; with ``resume`` (``allow``, ``must``) goes on with one that is there.

        With ``fork`` (a run of the project) its history up to ``step`` (exclusive) is the run's too; nothing is copied.
        """
        return domain.runs.lifecycle.create(
            self.store, self.ctx, name, resume=resume, display_name=display_name, group=group, job_type=job_type,
            sweep=sweep, notes=notes, tags=tags, config=config, goals=goals, info=info, started=started, fork=fork,
            step=step,
        )  # fmt: skip

    def run(
        self,
        project: str,
        name: str = "",
        *,
        resume: Literal["never", "allow", "must"] = "allow",
        display_name: str = "",
        group: str = "",
        job_type: str = "",
        sweep: str = "",
        notes: str = "",
        tags: Iterable[str] = (),
        config: Mapping[str, Any] | None = None,
        goals: Mapping[str, str] | None = None,
        rank: int = 0,
        durable: bool = False,
        system: float = 15.0,
        spool: str | os.PathLike[str] | None = None,
    ) -> Run:
        """A run to log to, new or (by ``name``) taken up again: ``with store.run("project") as run: run.log({"loss": 0.1})``.

        What :meth:`Run.log` returned from survives the process, and is delivered by a thread; see :class:`runstone.client.runs.run.Run`.
        With ``durable`` it waits until the store has the point. ``rank`` is the process's in a distributed run: only 0 ends the run.
        ``system`` is the seconds between two samples of the machine (keys ``system/…``), 0 for none.
        """
        from runstone.client.runs.sink import new_spec
        from runstone.library import logged

        place = domain.names.parse_project(self.ctx, project)
        spec = new_spec(
            place.namespace, place.project, name, resume=resume, name=display_name, group=group, job_type=job_type,
            sweep=sweep, notes=notes, tags=tuple(tags), config=dict(config or {}), goals=dict(goals or {}), rank=rank,
        )  # fmt: skip
        return logged.begin(self.store, self.ctx, spec, durable=durable, system=system, spool=spool)

    def get_run(self, name: str, *, deleted: bool = False) -> RunInfo:
        """A run by name; a deleted one only if asked for."""
        return domain.runs.lifecycle.get(self.store, self.ctx, name, deleted=deleted)

    def events(self, project: str, *, after: int | None = None) -> Generator[Event, None, None]:
        """What happens in a project from now on, or after a log entry, as it happens; an iterator without end, to be closed."""
        place = domain.events.head(self.store) if after is None else after
        domain.projects.get(self.store, self.ctx, project)
        return self._events(project, place)

    def _events(self, project: str, place: int) -> Generator[Event, None, None]:
        while True:
            commit = self.store.index.last_commit()
            found, last = domain.events.since(self.store, self.ctx, project, place)
            yield from found
            if last == place:
                while self.store.index.last_commit() == commit:
                    time.sleep(LOOK)
            place = last

    def update_run(
        self,
        name: str,
        *,
        display_name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        sweep: str | None = None,
        notes: str | None = None,
        tags: Iterable[str] | Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        summary: Mapping[str, Any] | None = None,
        goals: Mapping[str, str] | None = None,
        info: Mapping[str, Any] | None = None,
        started: int | None = None,
        remove: Iterable[str] = (),
    ) -> RunInfo:
        """Changes a run. Maps are merged by their top-level names; ``remove`` names what is taken away (``config.lr``, ``tags.old``)."""
        return domain.runs.lifecycle.update(
            self.store, self.ctx, name, display_name=display_name, group=group, job_type=job_type, sweep=sweep,
            notes=notes, tags=tags, config=config, summary=summary, goals=goals, info=info, started=started,
            remove=tuple(remove),
        )  # fmt: skip

    def finish_run(self, name: str, state: str = "finished", *, finished: int = 0) -> RunInfo:
        """Puts a run into a state: ``finished``, ``failed``, ``killed`` …; ``finished`` is when it ended, by default now."""
        return domain.runs.lifecycle.set_state(self.store, self.ctx, name, state, finished=finished)

    def heartbeat(self, name: str) -> None:
        """Says that a run is alive, where it has nothing else to say."""
        domain.runs.liveness.heartbeat(self.store, self.ctx, name)

    def rewind_run(self, name: str, step: int) -> RunInfo:
        """Takes a run back to a step (exclusive); nothing is destroyed."""
        return domain.runs.lifecycle.rewind(self.store, self.ctx, name, step)

    def undo_rewind(self, name: str) -> RunInfo:
        """Brings back what the latest rewind set aside, and sets aside what was logged since."""
        return domain.runs.lifecycle.undo_rewind(self.store, self.ctx, name)

    def delete_run(self, name: str) -> None:
        """Marks a run as deleted; :meth:`restore_run` takes that back until it is purged."""
        domain.runs.lifecycle.delete(self.store, self.ctx, name)

    def restore_run(self, name: str) -> RunInfo:
        """Takes a deletion back."""
        return domain.runs.lifecycle.restore(self.store, self.ctx, name)

    def purge_run(self, name: str) -> None:
        """Removes a deleted run for good."""
        domain.runs.lifecycle.purge(self.store, self.ctx, name)

    def log_rows(self, name: str, rows: Iterable[tuple[int, int, Mapping[str, Any]]]) -> int:
        """Adds rows of (step, time in microseconds, values by key) to a run, durably; how many points they are."""
        found = [(step, time, dict(values)) for step, time, values in rows]
        return domain.runs.points.log_rows(self.store, self.ctx, name, found).points

    def log_batch(self, name: str, batch: bytes) -> int:
        """Adds a batch of columns (``docs/format/points.md``) to a run, durably; how many points it holds."""
        return domain.runs.points.log(self.store, self.ctx, name, batch).points

    def run_stats(self, name: str, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[KeyStats]:
        """The statistics of a run's keys by name; no point is read."""
        return domain.runs.points.statistics(
            self.store, self.ctx, name, prefix=prefix, after=after, limit=limit
        )

    def run_keys(self, project: str, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
        """The keys that a project's runs have logged, by name."""
        return domain.runs.points.key_names(
            self.store, self.ctx, project, prefix=prefix, after=after, limit=limit
        )

    def runs(
        self,
        project: str,
        filter: Any = "",
        *,
        order: Any = "",
        limit: int = 100,
        after: str = "",
        total: bool = False,
        deleted: bool = False,
    ) -> RunPage:
        """Runs of a project that fit a filter (``docs/queries.md``), in an order; newest first where none is given.

        A filter is a text (``summary.loss < 0.1 and config.opt = "adam"``) or a MongoDB-style document.
        """
        return domain.runs.questions.ask(
            self.store,
            self.ctx,
            project,
            filter=filter,
            order=order,
            limit=limit,
            after=after,
            total=total,
            deleted=deleted,
        )

    def export_runs(
        self,
        project: str,
        form: str = "jsonl",
        filter: Any = "",
        *,
        order: Any = "",
        fields: Iterable[str] = (),
        limit: int = 0,
        deleted: bool = False,
    ) -> Iterator[bytes]:
        """Runs that fit a filter, all of them or ``limit``, as a file in pieces: ``jsonl``, ``csv``, ``parquet`` or ``arrow``.

        A row has the run's fields, named as filters name them, but the statistics of keys; or only ``fields``.
        """
        from runstone.domain.queries import sheets
        from runstone.domain.runs import exporting

        wanted = tuple(fields)
        rows = exporting.runs(
            self.store,
            self.ctx,
            project,
            filter=filter,
            order=order,
            fields=wanted,
            limit=limit,
            deleted=deleted,
        )
        return sheets.written(rows, form, wanted)

    def group_runs(
        self,
        project: str,
        by: Iterable[str],
        figures: Iterable[str] = ("count()",),
        *,
        filter: Any = "",
        order: Any = "",
        limit: int = 1000,
    ) -> GroupPage:
        """Runs grouped by fields, with figures of each group: ``count()``, ``mean(summary.loss)``, ``min``, ``max``, ``sum``."""
        return domain.runs.questions.group(
            self.store, self.ctx, project, by, figures, filter=filter, order=order, limit=limit
        )

    def run_fields(
        self, project: str, *, prefix: str = "", contains: str = "", after: str = "", limit: int = 1000
    ) -> list[FieldInfo]:
        """The fields that runs of a project have, by name, with how many runs have each.

        Of ``contains`` every word is in their names, behind ``config.``, ``summary.`` or ``tags.``, in whatever case.
        """
        found: list[FieldInfo] = []
        while True:
            piece, after = domain.runs.fieldnames.listed(
                self.store,
                self.ctx,
                project,
                prefix=prefix,
                contains=contains,
                after=after,
                limit=limit - len(found),
            )
            found += piece
            if not after or len(found) >= limit:
                return found

    def sql(
        self, project: str, statement: str, *, seconds: float = 10.0, max_rows: int = 1_000_000
    ) -> pyarrow.Table:
        """What a read-only SQL statement selects from a project: ``runs``, ``series``, ``versions``, ``aliases``, ``lineage``, ``log``.

        Needs ``runstone[sql]``. Columns of ``runs`` are named as in filters: ``"summary.loss"``, ``"config.lr"``.
        """
        from runstone.domain.queries import tables

        return tables.select(self.store, self.ctx, project, statement, seconds=seconds, max_rows=max_rows)

    def series(
        self,
        name: str,
        key: str,
        *,
        low: int | None = None,
        high: int | None = None,
        by: Literal["step", "time"] = "step",
        after: str = "",
        limit: int = 100_000,
    ) -> SeriesPage:
        """The exact points of a run's key with ``low <= step < high`` (or time); ``after`` is the ``next`` of the page before."""
        return domain.runs.series.read(
            self.store, self.ctx, name, key, low=low, high=high, by=by, after=after, limit=limit
        )

    def rows(
        self,
        name: str,
        keys: Iterable[str] = (),
        *,
        low: int | None = None,
        high: int | None = None,
        after: int | None = None,
        limit: int = 1000,
    ) -> RowPage:
        """What a run logged step by step: of each step the last value of each key, or of the ``keys`` asked for."""
        return domain.runs.series.rows(
            self.store, self.ctx, name, keys, low=low, high=high, after=after, limit=limit
        )

    def pictures(
        self,
        runs: Iterable[str],
        keys: Iterable[str],
        *,
        low: int | None = None,
        high: int | None = None,
        by: Literal["step", "time"] = "step",
        buckets: int = 1000,
    ) -> list[SeriesPicture]:
        """Keys of runs in at most ``buckets`` buckets each (count, min, max, last, mean), exact at any zoom."""
        return domain.runs.series.picture(
            self.store, self.ctx, runs, keys, low=low, high=high, by=by, buckets=buckets
        )

    def log_lines(
        self,
        name: str,
        lines: Iterable[tuple[int, str, str, str]],
        *,
        first: int | None = None,
        writer: str = "",
    ) -> int:
        """Adds console lines (time, stream such as ``stdout``, level, text), from line ``first`` on or after the last; the first's number.

        Lines that were there are rewritten, as a progress bar does. With a ``writer`` (a stream of one process) ``first`` counts that
        writer's own lines.
        """
        return domain.runs.console.log(self.store, self.ctx, name, lines, first=first, writer=writer)

    def lines(
        self, name: str, *, start: int = 0, limit: int = 1000, search: str = "", stream: str = ""
    ) -> list[ConsoleLine]:
        """A run's console lines from a number on, those that hold ``search`` (any case) and are of ``stream``."""
        return domain.runs.console.read(
            self.store, self.ctx, name, start=start, limit=limit, search=search, stream=stream
        )

    def last_lines(self, name: str, limit: int = 100) -> list[ConsoleLine]:
        """A run's last console lines."""
        return domain.runs.console.tail(self.store, self.ctx, name, limit)

    def save_run_files(
        self, name: str, source: str | os.PathLike[str] | None = None, *, files: Iterable[FileEntry] = ()
    ) -> list[FileEntry]:
        """Gives a run the files of a folder (or a file), and ``files`` that need no upload; one of the same path is replaced."""
        entries = list(files)
        if source is not None:
            found = domain.content.found_in_folder(Path(source))
            namespace = domain.names.parse(self.ctx, name).namespace
            entries += domain.content.put_files(self.store, self.ctx, namespace, found)
        return domain.runs.files.put(self.store, self.ctx, name, entries)

    def run_files(
        self, name: str, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[FileEntry]:
        """A run's files by path."""
        return domain.runs.files.listed(self.store, self.ctx, name, prefix=prefix, after=after, limit=limit)

    def open_run_file(self, name: str, path: str) -> StoredFile:
        """A file of a run, to read, to read in part, or to map."""
        return domain.runs.files.open_file(self.store, self.ctx, name, path)

    def remove_run_file(self, name: str, path: str) -> None:
        """Takes a file of a run away."""
        domain.runs.files.remove(self.store, self.ctx, name, [path])
