"""What a bundle has of work on runs: sweeps with the runs that they gave out, and alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from runstone.domain.bundle.parts import Known, Part, Taker, chunks
from runstone.domain.bundle.records import (
    AlertRecord,
    SweepRecord,
    SweepRunsRecord,
    SweptRun,
    plain,
    restored,
)
from runstone.domain.bundle.source import Source
from runstone.domain.runs import alerts, checks
from runstone.domain.sweeps import lifecycle, restoring
from runstone.domain.sweeps.commands import MAX_RUNS, STATES, GivenRun
from runstone.domain.sweeps.restoring import MAX_TOGETHER
from runstone.errors import Invalid
from runstone.storage.tables import ALERTS, SWEEP_NAMES, SWEEP_RUNS, SWEEP_WAITING, SWEEPS, Sweep

_decode = msgspec.msgpack.Decoder().decode


def _alerts(source: Source) -> Iterator[AlertRecord]:
    for run in source.runs():
        for _, row in source.view.scan(ALERTS, run.id):
            yield AlertRecord(run=run.name, **msgspec.structs.asdict(row))


def _check_alerts(known: Known) -> Callable[[AlertRecord], None]:
    found: dict[str, int] = {}

    def check(record: AlertRecord) -> None:
        found[record.run] = found.get(record.run, 0) + 1
        if record.run not in known.runs or found[record.run] > alerts.MAX_ALERTS:
            raise Invalid(f"an alert is of no run, or one too many: {record.run!r:.200}")
        alerts.check(record.title, record.text, record.severity, record.time)

    return check


def _make_alerts(taker: Taker, item: str, record: AlertRecord) -> None:
    taker.once(
        item,
        alerts.keep,
        f"{taker.name}/{record.run}",
        record.title,
        record.text,
        severity=record.severity,
        time=record.time,
        told=record.told,
    )


def _each(source: Source) -> Iterator[Sweep]:
    for _, number in source.view.scan(SWEEP_NAMES, source.project.id):
        row = source.view.get(SWEEPS, number)
        if row is not None:
            yield row


def _sweeps(source: Source) -> Iterator[SweepRecord]:
    for row in _each(source):
        yield SweepRecord(
            name=row.name,
            display_name=row.display_name,
            state=row.state,
            config=plain(_decode(row.config)),
            drawn=row.drawn,
            created=row.created,
            updated=row.updated,
            by=row.by,
        )


def _check_sweeps(known: Known) -> Callable[[SweepRecord], None]:
    def check(record: SweepRecord) -> None:
        if record.name in known.sweeps or record.state not in STATES:
            raise Invalid(f"sweep {record.name!r:.200} is there twice or is {record.state!r:.40}")
        restoring.checked(record.name, restored(record.config), record.display_name)
        restoring.checked_runs((), record.drawn)
        known.sweeps[record.name] = set()

    return check


def _make_sweeps(taker: Taker, item: str, record: SweepRecord) -> None:
    taker.once(item, restoring.create, taker.name, record.name, restored(record.config), record.display_name)
    name = f"{taker.name}/{record.name}"
    if record.drawn:
        taker.once(f"{item}/drawn", restoring.put_runs, name, (), held=0, drawn=record.drawn)
    if record.state != "pending":
        taker.once(f"{item}/state", lifecycle.update, name, state=record.state)


def _runs(source: Source) -> Iterator[SweepRunsRecord]:
    for sweep in _each(source):
        first = 0
        for some in chunks(_given(source, sweep), MAX_TOGETHER):
            yield SweepRunsRecord(sweep=sweep.name, first=first, runs=some)
            first += len(some)


def _given(source: Source, sweep: Sweep) -> Iterator[SweptRun]:
    for (_, number), row in source.view.scan(SWEEP_RUNS, sweep.id):
        yield SweptRun(
            run=row.run,
            params=plain(_decode(row.params)),
            prior=row.prior,
            waiting=source.view.get(SWEEP_WAITING, sweep.id, number) is not None,
            stopped=row.stopped,
        )


def _check_runs(known: Known) -> Callable[[SweepRunsRecord], None]:
    def check(record: SweepRunsRecord) -> None:
        held = known.sweeps.get(record.sweep)
        if held is None or record.first != len(held) or not record.runs:
            raise Invalid(
                f"runs of {record.sweep!r:.200} from {record.first} on are of no sweep, or out of order"
            )
        restoring.checked_runs(_restored(record))
        held.update(each.run for each in record.runs)
        if len(held) != record.first + len(record.runs) or len(held) > MAX_RUNS:
            raise Invalid(f"sweep {record.sweep} has a run twice, or over {MAX_RUNS} of them")

    return check


def _restored(record: SweepRunsRecord) -> list[GivenRun]:
    return [
        GivenRun(
            each.run,
            checks.document(restored(each.params), f"the parameters of run {each.run}"),
            each.stopped,
            each.prior,
            each.waiting,
        )
        for each in record.runs
    ]


def _make_runs(taker: Taker, item: str, record: SweepRunsRecord) -> None:
    name = f"{taker.name}/{record.sweep}"
    taker.once(item, restoring.put_runs, name, _restored(record), held=record.first)


PARTS = (
    Part("sweeps", SweepRecord, _sweeps, _check_sweeps, _make_sweeps),
    Part("sweep_runs", SweepRunsRecord, _runs, _check_runs, _make_runs),
    Part("alerts", AlertRecord, _alerts, _check_alerts, _make_alerts),
)
