"""A deleted run removed for good: its rows, the points that no other run needs, and what the log says of it."""

from __future__ import annotations

from typing import Any

from runstone.domain.collections import domain_of
from runstone.domain.runs.applying import require
from runstone.domain.runs.streams import borrowed, ending_streams
from runstone.errors import Conflict
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import (
    ALERTS,
    ARRIVALS,
    ARRIVED,
    BLOB_VERSIONS,
    DATASET_NAMES,
    DATASET_RUNS,
    DATASETS,
    HISTORY,
    LAST_OBJECTS,
    LINES,
    RUN_CHANGES,
    RUN_DATASETS,
    RUN_FILES,
    RUN_MARKS,
    RUN_MODELS,
    RUN_NAMES,
    RUNS,
    STATS,
    STREAM_FORKS,
    STREAMS,
    WRITER_LINES,
    WRITER_ROWS,
    Dataset,
    Run,
    Table,
)


class PurgeRun(Command, frozen=True, kw_only=True):
    """Removes a deleted run for good, with its points, lines and files, and erases from the log what it said."""

    run: int


@applies(73, "purge_run", PurgeRun)
def _purge_run(state: State, at: Stamp, command: PurgeRun) -> None:
    run = require(state, command.run, deleted=True)
    if not run.deleted:
        raise Conflict(f"run {run.name} is not deleted; delete it first")
    doomed: list[tuple[Table[Any], tuple[Any, ...]]] = [(LINES, key) for key, _ in state.scan(LINES, run.id)]
    doomed += [(WRITER_LINES, key) for key, _ in state.scan(WRITER_LINES, run.id)]
    doomed += [(WRITER_ROWS, key) for key, _ in state.scan(WRITER_ROWS, run.id)]
    doomed += [(ALERTS, key) for key, _ in state.scan(ALERTS, run.id)]
    doomed += [(RUN_MODELS, key) for key, _ in state.scan(RUN_MODELS, run.id)]
    for (_, dataset), _ in state.scan(RUN_DATASETS, run.id):
        doomed += [(RUN_DATASETS, (run.id, dataset)), (DATASET_RUNS, (dataset, run.id))]
    orphaned = _orphaned(state, run)
    doomed += [(DATASETS, (dataset.id,)) for dataset in orphaned]
    doomed += [(DATASET_NAMES, (run.project, dataset.digest, dataset.name)) for dataset in orphaned]
    for seq in _said(state, run) | {dataset.entry for dataset in orphaned}:
        state.erase(seq, at.seq)
    doomed += _stream_rows(state, run)
    files = [entry for _, entry in state.scan(RUN_FILES, run.id)]
    for table, key in doomed:
        state.delete(table, *key)
    domain = domain_of(state, run.project)
    for entry in files:
        state.delete(RUN_FILES, run.id, entry.path)
        if not entry.url:
            state.delete(BLOB_VERSIONS, domain, entry.sha256, run.id)
    held = state.get(RUN_MARKS, run.id)
    if held is not None:
        state.delete(RUN_CHANGES, run.project, held.changed, run.id)
    state.put(RUN_CHANGES, run.project, at.seq, run.id, 1)
    state.delete(RUN_MARKS, run.id)
    state.delete(RUN_NAMES, run.project, run.name)
    state.delete(RUNS, run.id)
    state.touch(run.id, at.seq, 73)


def _orphaned(state: State, run: Run) -> list[Dataset]:
    """The datasets that this run was the last to read, but for those that were described for themselves."""
    found = []
    for (_, number), _ in state.scan(RUN_DATASETS, run.id):
        dataset = state.get(DATASETS, number)
        others = any(reader != run.id for (_, reader), _ in state.scan(DATASET_RUNS, number))
        if dataset is not None and not others and state.get(HISTORY, run.project, dataset.entry) is None:
            found.append(dataset)
    return found


def _stream_rows(state: State, run: Run) -> list[tuple[Table[Any], tuple[Any, ...]]]:
    """What goes with a purged run: its statistics, and the points of every stream that no other run's history needs."""
    found: list[tuple[Table[Any], tuple[Any, ...]]] = []
    summaries: tuple[Table[Any], ...] = (STATS, LAST_OBJECTS)
    for stream in run.streams:
        for table in summaries:
            found += [(table, key) for key, _ in state.scan(table, stream)]
    for stream in ending_streams(state, run):
        arrivals = [key for key, _ in state.scan(ARRIVALS, stream)]
        found += [(ARRIVALS, key) for key in arrivals]
        found += [(ARRIVED, (seq, stream)) for _, seq in arrivals]
        found.append((STREAMS, (stream,)))
    return found + [(STREAM_FORKS, (stream, run.id)) for stream in borrowed(run)]


def _said(state: State, run: Run) -> set[int]:
    """The log entries that say something of a run and of no other that stays."""
    said = {seq for (_, seq), _ in state.scan(HISTORY, run.id)}
    said |= {seq for (_, _, seq), _ in state.scan(LINES, run.id)}
    for stream in ending_streams(state, run):
        said |= {seq for (_, seq), _ in state.scan(ARRIVALS, stream)}
    return said
