"""The half of the remote twin that tracks runs: :class:`runstone.library.tracking.Tracking` over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from runstone import folders
from runstone.client.calls import API, Calls, NoneType
from runstone.client.http import MSGPACK, encoded
from runstone.client.listening import Listening
from runstone.client.names import Name
from runstone.client.origin import query, quote, quote_path
from runstone.client.runfiles import RemoteRunFile
from runstone.client.upload import Uploads
from runstone.errors import Invalid, Missing
from runstone.types import (
    ConsoleLine,
    FieldInfo,
    FileEntry,
    GroupPage,
    KeyStats,
    PageOf,
    RowPage,
    RunInfo,
    RunPage,
    SeriesPage,
    SeriesPicture,
)

if TYPE_CHECKING:
    import pyarrow

    from runstone.client.runs.run import Run

BATCH = "application/vnd.runstone.points"
ARROW = "application/vnd.apache.arrow.stream"
SHEETS = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": ARROW,
}


class _Taken(msgspec.Struct):
    points: int


class _Placed(msgspec.Struct):
    first: int


class RemoteTracking(Calls):
    """Runs of a server's store."""

    def _run_parts(self, name: str) -> Name:
        wrong = Invalid(f"{name!r:.200} is not the name of a run: use namespace/project/run")
        try:
            parsed = self._name(name)
        except Invalid:
            raise wrong from None
        if parsed.version:
            raise wrong
        return parsed

    def _run(self, name: str) -> str:
        parsed = self._run_parts(name)
        return f"{_runs_of(parsed)}/{quote(parsed.collection)}"

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
        parsed = self._run_parts(name)
        parent = self._run_parts(fork) if fork else None
        if parent and parent[:2] != parsed[:2]:
            raise Invalid(f"{parsed} must lie in the project of the run that it is forked from, {parent}")
        value = {
            "name": parsed.collection, "resume": resume, "display_name": display_name, "group": group,
            "job_type": job_type, "sweep": sweep, "notes": notes, "tags": _tags(tags), "config": config or {},
            "goals": goals or {}, "info": info or {}, "started": started,
            "fork": parent.collection if parent else "", "step": step,
        }  # fmt: skip
        return self._send("POST", _runs_of(parsed), RunInfo, value)

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
        from runstone.client.runs.outbox import Options
        from runstone.client.runs.remote import RemoteSink
        from runstone.client.runs.run import Run
        from runstone.client.runs.sink import new_spec

        namespace, part = self._project_parts(project)
        spec = new_spec(
            namespace, part, name, resume=resume, name=display_name, group=group, job_type=job_type, sweep=sweep,
            notes=notes, tags=tuple(tags), config=dict(config or {}), goals=dict(goals or {}), rank=rank,
        )  # fmt: skip
        options = Options(
            connect=lambda: RemoteSink(self._http.sibling()),
            destination=self.url,
            spool=Path(spool) if spool else None,
            durable=durable,
            system=system,
        )
        return Run(spec, options)

    def get_run(self, name: str, *, deleted: bool = False) -> RunInfo:
        """A run by name; a deleted one only if asked for."""
        return self._get(self._run(name) + query(deleted="true" if deleted else None), RunInfo)

    def events(self, project: str, *, after: int | None = None) -> Listening:
        """What happens in a project from now on, or after a log entry, as it happens; an iterator without end, to be closed.

        A connection that breaks is made again, and nothing that happened meanwhile is missed.
        """
        path = f"{API}/events/" + "/".join(quote(part) for part in self._project_parts(project))
        headers = {"Accept": "text/event-stream"}
        return Listening(
            lambda place: self._http.request("GET", path + query(after=place), headers=headers), after
        )

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
        value = {
            "display_name": display_name, "group": group, "job_type": job_type, "sweep": sweep, "notes": notes,
            "tags": None if tags is None else _tags(tags), "config": config, "summary": summary, "goals": goals,
            "info": info, "started": started, "remove": list(remove),
        }  # fmt: skip
        return self._send("PATCH", self._run(name), RunInfo, value)

    def finish_run(self, name: str, state: str = "finished", *, finished: int = 0) -> RunInfo:
        """Puts a run into a state: ``finished``, ``failed``, ``killed`` …; ``finished`` is when it ended, by default now."""
        return self._send(
            "POST", f"{self._run(name)}/finish", RunInfo, {"state": state, "finished": finished}
        )

    def heartbeat(self, name: str) -> None:
        """Says that a run is alive, where it has nothing else to say."""
        self._send("POST", f"{self._run(name)}/heartbeat", NoneType)

    def rewind_run(self, name: str, step: int) -> RunInfo:
        """Takes a run back to a step (exclusive); nothing is destroyed."""
        return self._send("POST", f"{self._run(name)}/rewind", RunInfo, {"step": step})

    def undo_rewind(self, name: str) -> RunInfo:
        """Brings back what the latest rewind set aside, and sets aside what was logged since."""
        return self._send("DELETE", f"{self._run(name)}/rewind", RunInfo)

    def delete_run(self, name: str) -> None:
        """Marks a run as deleted; :meth:`restore_run` takes that back until it is purged."""
        self._send("DELETE", self._run(name), NoneType)

    def restore_run(self, name: str) -> RunInfo:
        """Takes a deletion back."""
        return self._send("POST", f"{self._run(name)}/restore", RunInfo)

    def purge_run(self, name: str) -> None:
        """Removes a deleted run for good."""
        self._send("POST", f"{self._run(name)}/purge", NoneType)

    def log_rows(self, name: str, rows: Iterable[tuple[int, int, Mapping[str, Any]]]) -> int:
        """Adds rows of (step, time in microseconds, values by key) to a run, durably; how many points they are."""
        value = {"rows": [{"step": step, "time": time, "values": values} for step, time, values in rows]}
        return self._send("POST", f"{self._run(name)}/rows", _Taken, value).points

    def log_batch(self, name: str, batch: bytes) -> int:
        """Adds a batch of columns (``docs/format/points.md``) to a run, durably; how many points it holds."""
        headers = {"Content-Type": BATCH, "Accept": "application/msgpack"}
        response = self._http.request("POST", f"{self._run(name)}/points", headers=headers, body=batch)
        return self._http.decoded(response, _Taken).points

    def run_stats(self, name: str, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[KeyStats]:
        """The statistics of a run's keys by name; no point is read."""
        return self._list(
            f"{self._run(name)}/stats", KeyStats, limit, prefix=prefix or None, after=after or None
        )

    def run_keys(self, project: str, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
        """The keys that a project's runs have logged, by name."""
        path = f"{API}/keys/" + "/".join(quote(part) for part in self._project_parts(project))
        return self._list(path, str, limit, prefix=prefix or None, after=after or None)

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
        value = {
            "filter": filter, "order": order, "limit": limit, "after": after, "total": total, "deleted": deleted
        }  # fmt: skip
        return self._send("POST", f"{self._runs_in(project)}/query", RunPage, value)

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
        if form not in SHEETS:
            raise Invalid(f"a file of runs is {', '.join(SHEETS)}, not {form!r:.80}")
        value = {"filter": filter, "order": order, "fields": list(fields), "limit": limit, "deleted": deleted}
        headers = {"Content-Type": MSGPACK, "Accept": SHEETS[form]}
        path = f"{self._runs_in(project)}/export"
        response = self._http.request("POST", path, headers=headers, body=encoded(value))
        return self._http.pieces_of(response)

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
        value = {"by": list(by), "figures": list(figures), "filter": filter, "order": order, "limit": limit}
        return self._send("POST", f"{self._runs_in(project)}/group", GroupPage, value)

    def run_fields(
        self, project: str, *, prefix: str = "", contains: str = "", after: str = "", limit: int = 1000
    ) -> list[FieldInfo]:
        """The fields that runs of a project have, by name, with how many runs have each.

        Of ``contains`` every word is in their names, behind ``config.``, ``summary.`` or ``tags.``, in whatever case.
        """
        path = f"{self._runs_in(project)}/fields"
        asked = {"prefix": prefix or None, "contains": contains or None, "after": after or None}
        return self._list(path, FieldInfo, limit, **asked)

    def sql(
        self, project: str, statement: str, *, seconds: float = 10.0, max_rows: int = 1_000_000
    ) -> pyarrow.Table:
        """What a read-only SQL statement selects from a project: ``runs``, ``series``, ``versions``, ``aliases``, ``lineage``, ``log``.

        Needs ``runstone[sql]``. Columns of ``runs`` are named as in filters: ``"summary.loss"``, ``"config.lr"``.
        """
        import pyarrow

        path = f"{API}/sql/" + "/".join(quote(part) for part in self._project_parts(project))
        body = encoded({"sql": statement, "seconds": seconds, "max_rows": max_rows})
        headers = {"Content-Type": MSGPACK, "Accept": ARROW}
        content = self._http.body_of(self._http.request("POST", path, headers=headers, body=body))
        return pyarrow.ipc.open_stream(content).read_all()

    def _runs_in(self, project: str) -> str:
        return f"{API}/run-queries/" + "/".join(quote(part) for part in self._project_parts(project))

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
        asked = query(key=key, low=low, high=high, by=by, after=after or None, limit=limit)
        return self._get(f"{self._run(name)}/series{asked}", SeriesPage)

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
        value = {"keys": list(keys), "low": low, "high": high, "after": after, "limit": limit}
        return self._send("POST", f"{self._run(name)}/rows/query", RowPage, value)

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
        names = [str(self._run_parts(run)) for run in runs]
        value = {"runs": names, "keys": list(keys), "low": low, "high": high, "by": by, "buckets": buckets}
        page = self._send("POST", f"{API}/series/query", PageOf, value)
        return msgspec.convert(page.items, list[SeriesPicture])

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
        found = [
            {"time": time, "stream": stream, "level": level, "text": text}
            for time, stream, level, text in lines
        ]
        value = {"lines": found, "first": first, "writer": writer}
        return self._send("POST", f"{self._run(name)}/lines", _Placed, value).first

    def lines(
        self, name: str, *, start: int = 0, limit: int = 1000, search: str = "", stream: str = ""
    ) -> list[ConsoleLine]:
        """A run's console lines from a number on, those that hold ``search`` (any case) and are of ``stream``."""
        found: list[ConsoleLine] = []
        while len(found) < limit:
            asked = query(
                start=start, limit=min(limit - len(found), 1000), search=search or None, stream=stream or None
            )
            page = self._get(f"{self._run(name)}/lines{asked}", PageOf)
            found += msgspec.convert(page.items, list[ConsoleLine])
            if not page.next:
                break
            start = int(page.next)
        return found

    def last_lines(self, name: str, limit: int = 100) -> list[ConsoleLine]:
        """A run's last console lines."""
        page = self._get(f"{self._run(name)}/lines" + query(tail="true", limit=min(limit, 1000)), PageOf)
        return msgspec.convert(page.items, list[ConsoleLine])

    def save_run_files(
        self, name: str, source: str | os.PathLike[str] | None = None, *, files: Iterable[FileEntry] = ()
    ) -> list[FileEntry]:
        """Gives a run the files of a folder (or a file), and ``files`` that need no upload; one of the same path is replaced."""
        entries = list(files)
        if source is not None:
            found = folders.find(Path(source), str)
            http = self._http.sibling()
            try:
                uploads = Uploads(
                    http, self._run_parts(name).namespace, self._cache().directory / "uploads", None
                )
                entries += uploads.send(found)
            finally:
                http.close()
        page = self._send("PUT", f"{self._run(name)}/files", PageOf, {"files": entries})
        return msgspec.convert(page.items, list[FileEntry])

    def run_files(
        self, name: str, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[FileEntry]:
        """A run's files by path."""
        return self._list(
            f"{self._run(name)}/files", FileEntry, limit, prefix=prefix or None, after=after or None
        )

    def open_run_file(self, name: str, path: str) -> RemoteRunFile:
        """A file of a run, to read, to read in part, or to map."""
        found = [file for file in self.run_files(name, prefix=path, limit=1) if file.path == path]
        if not found:
            raise Missing(f"run {name} has no file {path!r}")
        return RemoteRunFile(self._http, f"{self._run(name)}/files/{quote_path(path)}", found[0])

    def remove_run_file(self, name: str, path: str) -> None:
        """Takes a file of a run away."""
        self._send("DELETE", f"{self._run(name)}/files/{quote_path(path)}", NoneType)


def _runs_of(name: Name) -> str:
    return f"{API}/runs/{quote(name.namespace)}/{quote(name.project)}"


def _tags(tags: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    return dict(tags) if isinstance(tags, Mapping) else dict.fromkeys(tags, "")
