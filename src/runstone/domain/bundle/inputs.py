"""What a bundle has of what runs read and make beside versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import asdict

from runstone.domain.bundle.parts import Known, Part, Taker, chunks
from runstone.domain.bundle.records import DatasetRecord, InputsRecord, ModelRecord, UseRecord
from runstone.domain.bundle.source import Source
from runstone.domain.runs import inputs
from runstone.domain.runs.inputs import MAX_INPUTS, ModelUse, Used
from runstone.errors import Invalid
from runstone.storage.tables import DATASET_NAMES, DATASETS, RUN_DATASETS, RUN_MODELS


def _datasets(source: Source) -> Iterator[DatasetRecord]:
    for _, number in source.view.scan(DATASET_NAMES, source.project.id):
        row = source.view.get(DATASETS, number)
        if row is not None:
            fields = asdict(row)
            del fields["id"], fields["project"]
            yield DatasetRecord(**fields)


def _check_datasets(known: Known) -> Callable[[DatasetRecord], None]:
    def check(record: DatasetRecord) -> None:
        if (record.name, record.digest) in known.datasets:
            raise Invalid(
                f"there are two datasets {record.name!r:.200} of digest {record.digest!r:.80} in the bundle"
            )
        inputs.checked(_used(record))
        known.datasets.add((record.name, record.digest))

    return check


def _make_datasets(taker: Taker, item: str, record: DatasetRecord) -> None:
    taker.once(item, inputs.describe, taker.name, _used(record))


def _used(record: DatasetRecord) -> Used:
    return Used(record.name, record.digest, record.source_type, record.source, record.schema, record.profile)


def _inputs(source: Source) -> Iterator[InputsRecord]:
    for run in source.runs():
        for some in chunks(_uses(source, run.id), MAX_INPUTS):
            yield InputsRecord(run=run.name, datasets=some, models=())
        for others in chunks(_models(source, run.id), MAX_INPUTS):
            yield InputsRecord(run=run.name, datasets=(), models=others)


def _uses(source: Source, run: int) -> Iterator[UseRecord]:
    """The datasets that a run reads, by digest and name, whatever their numbers are."""
    rows = [
        (row, labels)
        for (_, number), labels in source.view.scan(RUN_DATASETS, run)
        if (row := source.view.get(DATASETS, number)) is not None
    ]
    for row, labels in sorted(rows, key=lambda each: (each[0].digest, each[0].name)):
        yield UseRecord(name=row.name, digest=row.digest, labels=labels)


def _models(source: Source, run: int) -> Iterator[ModelRecord]:
    for (_, output, model, step), _ in source.view.scan(RUN_MODELS, run):
        yield ModelRecord(model=model, output=bool(output), step=step)


def _check_inputs(known: Known) -> Callable[[InputsRecord], None]:
    def check(record: InputsRecord) -> None:
        if record.run not in known.runs or max(len(record.datasets), len(record.models)) > MAX_INPUTS:
            raise Invalid(f"inputs are of no run, or too many: {record.run!r:.200}")
        for use in record.datasets:
            if (use.name, use.digest) not in known.datasets:
                raise Invalid(
                    f"run {record.run} reads {use.name!r:.200}, a dataset that the bundle does not have"
                )
            inputs.checked(Used(use.name, use.digest, labels=use.labels))
        for model in record.models:
            inputs.checked_model(ModelUse(model.model, model.output, model.step))

    return check


def _make_inputs(taker: Taker, item: str, record: InputsRecord) -> None:
    datasets = [Used(use.name, use.digest, labels=use.labels) for use in record.datasets]
    models = [ModelUse(each.model, each.output, each.step) for each in record.models]
    taker.once(item, inputs.note, f"{taker.name}/{record.run}", datasets, models)


PARTS = (
    Part("datasets", DatasetRecord, _datasets, _check_datasets, _make_datasets),
    Part("inputs", InputsRecord, _inputs, _check_inputs, _make_inputs),
)
