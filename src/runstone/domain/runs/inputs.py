"""What runs read and make beside versions: datasets that lie anywhere, known by name and digest, and models by the names that clients know.

The first to name a dataset in a project describes it, and the first use of it by a run labels that use: what comes again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from runstone.domain import limits
from runstone.domain.context import Context
from runstone.domain.runs import finding
from runstone.domain.runs.applying import mark, require
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing, TooLarge
from runstone.storage.commands import Command, Remains, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import (
    DATASET_NAMES,
    DATASET_RUNS,
    DATASETS,
    PROJECTS,
    RUN_DATASETS,
    RUN_MODELS,
)
from runstone.storage.tables import Dataset as Dataset

MAX_INPUTS = 1000
MAX_NAME = 2000
MAX_SOURCE = 256 << 10
MAX_PROFILE = 64 << 20
MAX_LABELS = 100


class Used(msgspec.Struct, frozen=True, array_like=True):
    """A dataset that a run reads, and the labels of that use."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class ModelUse(msgspec.Struct, frozen=True, array_like=True):
    """A model that a run reads, or (``output``) makes at a step."""

    model: str
    output: bool = False
    step: int = 0


class NoteInputs(Command, frozen=True, kw_only=True):
    """Notes what a run reads and makes. ``places`` is where each dataset stood among those that came, of which some are erased."""

    run: int
    datasets: tuple[Used, ...] = ()
    models: tuple[ModelUse, ...] = ()
    places: tuple[int, ...] = ()

    def erased(self, remains: Remains) -> NoteInputs:
        """What describes datasets that other runs read too."""
        kept = {
            place: replace(used, labels={})
            for place, used in self.placed()
            if remains.view.get(DATASETS, (remains.seq + 1) << 16 | place) is not None
        }
        return NoteInputs(actor="", run=self.run, datasets=tuple(kept.values()), places=tuple(kept))

    def placed(self) -> Iterable[tuple[int, Used]]:
        """The datasets with their places."""
        return zip(self.places or range(len(self.datasets)), self.datasets, strict=True)


class DescribeDataset(Command, frozen=True, kw_only=True):
    """Describes a dataset of a project that no run has named yet; ``labels`` mean nothing."""

    project: int
    dataset: Used


class Uses(NamedTuple):
    """What a run reads and makes, as noted."""

    datasets: list[tuple[Dataset, dict[str, str]]]
    models: list[ModelUse]


@applies(153, "note_inputs", NoteInputs)
def _note_inputs(state: State, at: Stamp, command: NoteInputs) -> None:
    run = require(state, command.run)
    held = sum(1 for _ in state.scan(RUN_DATASETS, run.id))
    if held + len(command.datasets) > 100 * MAX_INPUTS:
        raise TooLarge(f"run {run.name} would read over {100 * MAX_INPUTS} datasets, which is the limit")
    for place, used in command.placed():
        dataset = state.get(DATASET_NAMES, run.project, used.digest, used.name)
        if dataset is None:
            dataset = _described(state, at, run.project, used, place)
        if state.get(RUN_DATASETS, run.id, dataset) is None:
            state.put(RUN_DATASETS, run.id, dataset, used.labels)
            state.put(DATASET_RUNS, dataset, run.id, 1)
    for use in command.models:
        state.put(RUN_MODELS, run.id, int(use.output), use.model, use.step, 1)
    mark(state, at, run)
    state.touch(run.id, at.seq, 153)


@applies(154, "describe_dataset", DescribeDataset)
def _describe_dataset(state: State, at: Stamp, command: DescribeDataset) -> None:
    if state.get(PROJECTS, command.project) is None:
        raise Missing("the project does not exist any more")
    used = command.dataset
    if state.get(DATASET_NAMES, command.project, used.digest, used.name) is None:
        _described(state, at, command.project, used, 0)
        state.touch(command.project, at.seq, 154)


def _described(state: State, at: Stamp, project: int, used: Used, place: int) -> int:
    """Keeps a new dataset; its id. Several may come with one entry of the log: they are told apart by their place in it."""
    made = at.id << 16 | place
    described = Dataset(
        made,
        project,
        used.name,
        used.digest,
        at.time,
        used.source_type,
        used.source,
        used.schema,
        used.profile,
    )
    state.put(DATASETS, made, described)
    state.put(DATASET_NAMES, project, used.digest, used.name, made)
    return made


def describe(store: Store, ctx: Context, project: str, dataset: Used) -> None:
    """Describes a dataset of a project that the principal may write, before any run reads it; one that is there stays as it is."""
    with store.index.read() as view:
        held = finding.project(store, view, ctx, project, "write").project
    command = DescribeDataset(
        actor=ctx.principal.name, reason=ctx.reason, project=held.id, dataset=checked(dataset)
    )
    store.submit(ctx, command)


def note(
    store: Store, ctx: Context, name: str, datasets: Iterable[Used] = (), models: Iterable[ModelUse] = ()
) -> None:
    """Notes datasets and models of a run that the principal may write, each once however often it is said."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, "write")
    first: dict[tuple[str, str], Used] = {}
    for used in datasets:
        first.setdefault((used.name, used.digest), checked(used))
    given = tuple(models)
    for use in given:
        checked_model(use)
    if len(first) > MAX_INPUTS or len(given) > MAX_INPUTS:
        raise TooLarge(f"a run is told of at most {MAX_INPUTS} datasets or models at a time")
    command = NoteInputs(
        actor=ctx.principal.name,
        reason=ctx.reason,
        run=found.run.id,
        datasets=tuple(first.values()),
        models=given,
    )
    store.submit(ctx, command)


def of(store: Store, ctx: Context, name: str) -> Uses:
    """What a run, also a deleted one, reads and makes."""
    with store.index.read() as view:
        run = finding.find(store, view, ctx, name, deleted=True).run
        return noted(view, run.id)


def used_in(
    store: Store, ctx: Context, project: str, limit: int = 1000
) -> list[tuple[Dataset, dict[str, str]]]:
    """The datasets of a project with the labels of each use, a pair once."""
    found: list[tuple[Dataset, dict[str, str]]] = []
    with store.index.read() as view:
        held = finding.project(store, view, ctx, project).project
        for _, dataset in view.scan(DATASET_NAMES, held.id):
            row = view.get(DATASETS, dataset)
            seen: list[dict[str, str]] = []
            for (_, run), _ in view.scan(DATASET_RUNS, dataset):
                labels = view.get(RUN_DATASETS, run, dataset) or {}
                if row is not None and labels not in seen:
                    seen.append(labels)
                    found.append((row, labels))
                if len(found) == limit:
                    return found
    return found


def readers(
    store: Store, ctx: Context, project: str, asked: Callable[[Dataset, Mapping[str, str]], bool]
) -> list[int]:
    """The ids of a project's runs that read a dataset, with such labels of its use, as is asked for."""
    found: dict[int, None] = {}
    with store.index.read() as view:
        held = finding.project(store, view, ctx, project).project
        for _, dataset in view.scan(DATASET_NAMES, held.id):
            row = view.get(DATASETS, dataset)
            if row is None:
                continue
            for (_, run), _ in view.scan(DATASET_RUNS, dataset):
                labels = view.get(RUN_DATASETS, run, dataset)
                if asked(row, labels or {}):
                    found[run] = None
    return list(found)


def noted(view: View, run: int) -> Uses:
    """What is noted of a run by its id; no policy is asked."""
    datasets = [
        (row, labels)
        for (_, dataset), labels in view.scan(RUN_DATASETS, run)
        if (row := view.get(DATASETS, dataset)) is not None
    ]
    models = [
        ModelUse(model, bool(output), step) for (_, output, model, step), _ in view.scan(RUN_MODELS, run)
    ]
    return Uses(datasets, models)


def checked(used: Used) -> Used:
    """A dataset and its use, none of it too long; raises :class:`Invalid` and :class:`TooLarge`."""
    limits.required_text(used.name, "dataset name", MAX_NAME)
    limits.required_text(used.digest, "dataset digest", MAX_NAME)
    DATASET_NAMES.key.pack(
        0, used.digest, used.name
    )  # which takes both only if they are not too long together
    limits.text(used.source_type, "dataset source type", MAX_NAME)
    limits.text(used.source, "dataset source", MAX_SOURCE)
    limits.text(used.schema, "dataset schema", MAX_PROFILE)
    limits.text(used.profile, "dataset profile", MAX_PROFILE)
    if len(used.labels) > MAX_LABELS:
        raise TooLarge(f"{len(used.labels)} labels of one use are over the limit of {MAX_LABELS}")
    for key, text in used.labels.items():
        limits.required_text(key, "label", MAX_NAME)
        limits.text(text, f"label {key}", MAX_SOURCE)
    return used


def checked_model(use: ModelUse) -> ModelUse:
    """The use of a model; raises :class:`Invalid` for a name or step that none can have."""
    limits.required_text(use.model, "model", MAX_NAME)
    RUN_MODELS.key.pack(0, 0, use.model, 0)  # which takes it only if it is not too long
    if not 0 <= use.step < 1 << 63:
        raise Invalid(
            f"the step that model {use.model:.80} was made at must be from 0 to 2⁶³ - 1, not {use.step}"
        )
    return use
