"""A run as a GraphQL object."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import history, runfiles, wire
from runstone.dialects.wandb.artifactfields import RunArtifacts
from runstone.domain.runs import console, delivery, files, finding, points, rows
from runstone.types import ConsoleLine, RunInfo

#: What the SDK keeps for itself in a config; it is no parameter of the run.
INTERNAL = "_wandb"


class RunNode(RunArtifacts):
    """A run. ``counts_lines`` is false in the answer to an upsert: there a count would move the SDK's history by so much."""

    read_only = False

    def __init__(self, call: Call, info: RunInfo, counts_lines: bool = True) -> None:
        self._call, self._info, self._counts_lines = call, info, counts_lines
        self.id, self._number = wire.make_id("Run", info.id), info.id
        self.name, self.display_name, self.state = info.name, info.display_name or info.name, info.state
        self.notes, self.description = info.notes, info.info.get("description")
        self.tags = list(info.tags)
        self.group, self.job_type = info.group or None, info.job_type or None
        self.sweep_name = info.sweep or None
        self.stopped = self.should_stop = bool(info.info.get("stopped"))
        self.running, self.failed = info.state == "running", info.state in ("failed", "crashed", "killed")
        self.exitcode = {"finished": 0, "failed": 1}.get(info.state)
        self.commit, self.host = info.info.get("commit"), info.info.get("host")
        self.created_at, self.heartbeat_at = wire.time_text(info.created), wire.time_text(info.updated)

    def project_id(self) -> int:
        """The number of the project."""
        with self._call.store.index.read() as view:
            found = finding.by_id(view, self._info.id)
        return found.project.id if found else 0

    def project(self) -> Any:
        """The project it lies in."""
        from runstone.dialects.wandb.projects import project

        return project(self._call, self._info.project, self._info.namespace)

    def user(self) -> Any:
        """Who made it."""
        from runstone.dialects.wandb.people import UserNode

        return UserNode(self._call, self._info.by)

    def config(self) -> str:
        """The config in the SDK's form, each value under ``value``."""
        found = {key: {"value": value, "desc": None} for key, value in self._info.config.items()}
        own = self._info.info.get(INTERNAL)
        return wire.written(found | ({INTERNAL: {"value": own, "desc": None}} if own is not None else {}))

    def wandb_config(self, keys: list[str] | None = None) -> str:
        """The SDK's own part of the config; ``t`` says to it that the run has begun."""
        own = {"t": {}, **(self._info.info.get(INTERNAL) or {})}
        return wire.written({key: own[key] for key in keys or own if key in own})

    def summary_metrics(self, keys: list[str] | None = None) -> str:
        """The summary. A key with dots stands in the map that the SDK sent, where it sent one."""
        found = self._info.summary
        shown = {
            key: value
            for key, value in found.items()
            if not history.is_system(key) and not ("." in key and _reaches(found, key))
        }
        return wire.written({key: shown[key] for key in keys if key in shown} if keys else shown)

    def system_metrics(self) -> str:
        """The latest metrics of the machine."""
        found = {key: value for key, value in self._info.summary.items() if history.is_system(key)}
        return wire.written({history.system_name(key): value for key, value in found.items()})

    def history_keys(self) -> dict[str, Any]:
        """What was logged, and up to which step."""
        found = [
            stat
            for stat in points.statistics(self._call.store, self._call.ctx, self._info.path, limit=100_000)
            if not history.is_system(stat.key)
        ]
        keys = {
            stat.key: {"typeCounts": [{"type": "number", "count": stat.points}], "previousValue": stat.last}
            for stat in found
        }
        return {"lastStep": max((stat.step for stat in found), default=-1), "keys": keys, "sets": []}

    def history_line_count(self) -> int | None:
        """How many history lines were taken in."""
        return self._delivered(history.HISTORY) if self._counts_lines else None

    def events_line_count(self) -> int:
        """How many lines of system metrics were taken in."""
        return self._delivered(history.EVENTS)

    def log_line_count(self) -> int:
        """How many lines the console has."""
        return self._info.lines

    def _delivered(self, writer: str) -> int:
        return delivery.delivered(self._call.store, self._call.ctx, self._info.path, writer)

    def history_tail(self) -> str:
        """The last history line, as a list of one."""
        last = self.history_keys()["lastStep"]
        found = history.read(self._call, self._info.path, low=max(last, 0))
        return wire.written([wire.written(line) for line in found[-1:]])

    def events_tail(self) -> str:
        """The last line of system metrics, as a list of one."""
        low = max(self.events_line_count() - 1, 0)
        found = history.read_events(self._call, self._info.path, low)
        return wire.written([wire.written(line) for line in found[-1:]])

    def history(
        self, min_step: int | None = None, max_step: int | None = None, samples: int | None = None
    ) -> list[str]:
        """History lines of ``min_step`` to ``max_step`` (exclusive), at most ``samples``."""
        high = rows.END if max_step is None else max_step
        found = history.read(self._call, self._info.path, min_step or 0, high)
        return [wire.written(line) for line in history.sampled(found, samples)]

    def events(self, samples: int | None = None) -> list[str]:
        """Lines of system metrics, at most ``samples``."""
        found = history.read_events(self._call, self._info.path)
        return [wire.written(line) for line in history.sampled(found, samples)]

    def sampled_history(self, specs: list[str]) -> list[list[dict[str, Any]]]:
        """The lines that each spec asks for."""
        return [
            history.by_spec(self._call, self._info.path, wire.document(spec, "a spec") or {})
            for spec in specs
        ]

    def parquet_history(self, live_keys: list[str] | None = None) -> dict[str, Any]:
        """Nothing: the SDK then reads history by page, and whole."""
        return {"parquetUrls": [], "liveData": []}

    def log_lines(
        self,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        use_improved_pagination: bool | None = None,
    ) -> dict[str, Any]:
        """Console lines: the ``last``, or ``first`` from just past a cursor."""
        store, ctx, run = self._call.store, self._call.ctx, self._info.path
        if last is not None:
            found, start = console.tail(store, ctx, run, min(last, 10_000)), self._info.lines
        else:
            start = int(after) if after and after.isdigit() else 0
            found = console.read(store, ctx, run, start=start, limit=min(first or 1000, 10_000))
        end = found[-1].number + 1 if found else start
        more = {"endCursor": str(end), "hasNextPage": last is None and end < self._info.lines}
        return {"edges": [{"node": _line(line)} for line in found], "pageInfo": more}

    def file_count(self) -> int:
        """How many files it has."""
        return len(files.listed(self._call.store, self._call.ctx, self._info.path, limit=1_000_000))

    def files(
        self,
        names: list[str] | None = None,
        after: str | None = None,
        first: int | None = None,
        pattern: str | None = None,
    ) -> dict[str, Any]:
        """Its files: those of some names, or like a pattern of SQL, by page."""
        return runfiles.page(self._call, self._info, names, after, first, pattern)


def _line(line: ConsoleLine) -> dict[str, Any]:
    level = line.level or ("error" if line.stream == "stderr" else "info")
    stamp = wire.time_text(line.time)
    return {"number": line.number, "timestamp": stamp, "level": level, "label": None, "line": line.text}


def _reaches(found: dict[str, Any], key: str) -> bool:
    value: Any = found
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True
