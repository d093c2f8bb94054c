"""Series of runs: exact points, rows and pictures of them, and the compaction behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from runstone._native import points
from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.queries import sheets
from runstone.domain.runs import finding, keys
from runstone.domain.runs.finding import Found
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage.index import View
from runstone.storage.tables import ARRIVED, RUNS, SERIES_COMPACTED, STREAM_FORKS, STREAMS, Run
from runstone.types import RowPage, SeriesPage, SeriesPicture

if TYPE_CHECKING:
    import pyarrow

    from runstone.storage.series.points import Points
    from runstone.storage.series.reading import Span
    from runstone.storage.series.series import Series

AXES = ("step", "time")
MAX_PAGE = 1_000_000
MAX_ROWS = 100_000
MAX_BUCKETS = 10_000
#: The most series that are drawn at once.
MAX_PICTURES = 1000


def of(store: Store) -> Series:
    """The series of a store; loads numpy on first use."""
    return store.part("series", _make)


def _make(store: Store) -> Series:
    from runstone.storage.series.series import Series

    return Series(store.index, _key_ids)


def _key_ids(view: View, stream: int, names: Iterable[str]) -> Mapping[str, int]:
    run = _user_of(view, stream)
    return keys.find(view, run.project, names) if run else {}


def _user_of(view: View, stream: int) -> Run | None:
    """The run that a stream is of or, when that was purged, one that was forked from it and has its history: in the same project."""
    owner = view.get(STREAMS, stream)
    run = view.get(RUNS, owner) if owner is not None else None
    if run is None:
        forks = (view.get(RUNS, fork) for (_, fork), _ in view.scan(STREAM_FORKS, stream))
        run = next((fork for fork in forks if fork is not None), None)
    return run


def read(
    store: Store,
    ctx: Context,
    name: str,
    key: str,
    *,
    low: int | None = None,
    high: int | None = None,
    by: str = "step",
    after: str = "",
    limit: int = 100_000,
) -> SeriesPage:
    """The exact points of a run's key with ``low <= step < high`` (or time), by step, time and value; ``after`` is a page's ``next``.

    A page has ``limit`` points, and some more where points share a step and a time.
    """
    page, cursor = _page(store, ctx, name, key, low, high, by, after, limit)
    return SeriesPage(
        key=key, steps=page.steps.tolist(), times=page.times.tolist(), values=page.values(), next=cursor
    )


def batch(
    store: Store,
    ctx: Context,
    name: str,
    key: str,
    *,
    low: int | None = None,
    high: int | None = None,
    by: str = "step",
    after: str = "",
    limit: int = 100_000,
) -> tuple[bytes, str]:
    """:func:`read`, as a batch of points (``docs/format/points.md``; of none, no bytes), and the page's ``next``."""
    page, cursor = _page(store, ctx, name, key, low, high, by, after, limit)
    if not len(page):
        return b"", cursor
    values = _column(page)
    if values is None:
        return points.encode_rows([(step, time, {key: value}) for step, time, value in page.rows()]), cursor
    return points.encode_columns(page.steps.data, page.times.data, {key: values}), cursor


def arrow(
    store: Store,
    ctx: Context,
    name: str,
    key: str,
    *,
    low: int | None = None,
    high: int | None = None,
    by: str = "step",
    after: str = "",
    limit: int = 100_000,
) -> tuple[pyarrow.Table, str]:
    """:func:`read`, as a table of Arrow with the columns step, time and value, and the page's ``next``.

    The values are doubles or whole numbers where all are, and else text, in which objects are JSON.
    """
    pa = sheets.arrow()
    page, cursor = _page(store, ctx, name, key, low, high, by, after, limit)
    values = _column(page)
    if values is None:
        values = [sheets.text_of(value) for value in page.values()]
    return pa.table({"step": page.steps, "time": page.times, "value": values}), cursor


def _column(page: Points) -> Any:
    """The values as an array of one type; None where they are not all doubles, or all whole numbers."""
    if not page.kinds.any():
        return page.floats()
    return page.bits if (page.kinds == points.INT).all() else None


def _page(
    store: Store,
    ctx: Context,
    name: str,
    key: str,
    low: int | None,
    high: int | None,
    by: str,
    after: str,
    limit: int,
) -> tuple[Points, str]:
    _check_axis(by)
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid(f"limit must be 1 to {MAX_PAGE}, not {limit}")
    found, numbers = asked(store, ctx, name, [key])
    page = of(store).points(
        spans(found),
        numbers[key],
        low=low,
        high=high,
        by_time=by == "time",
        after=_position(after),
        limit=limit,
    )
    return page, ",".join(map(str, page.last())) if len(page) >= limit else ""


def rows(
    store: Store,
    ctx: Context,
    name: str,
    wanted: Iterable[str] = (),
    *,
    low: int | None = None,
    high: int | None = None,
    after: int | None = None,
    limit: int = 1000,
) -> RowPage:
    """What a run logged, step by step: of each step the last value of each key, or of the ``wanted`` ones."""
    if not 1 <= limit <= MAX_ROWS:
        raise Invalid(f"limit must be 1 to {MAX_ROWS}, not {limit}")
    found, numbers = asked(store, ctx, name, list(wanted))
    series = of(store)
    if not numbers:
        numbers = _readable(store, ctx, found, series.keys(spans(found)))
    names = {number: key for key, number in numbers.items()}
    page = series.rows(spans(found), list(names), low=low, high=high, after=after, limit=limit)
    return RowPage(
        rows=tuple(
            (step, time, {names[number]: value for number, value in values.items()})
            for step, time, values in page
        ),
        next=str(page[-1][0]) if len(page) == limit else "",
    )


def picture(
    store: Store,
    ctx: Context,
    names: Iterable[str],
    wanted: Iterable[str],
    *,
    low: int | None = None,
    high: int | None = None,
    by: str = "step",
    buckets: int = 1000,
) -> list[SeriesPicture]:
    """Keys of runs in at most ``buckets`` buckets each, the same however the points arrived; a run that lacks a key is left out."""
    runs, keyed = list(names), list(wanted)
    check_picture(len(runs) * len(keyed), by, buckets)
    drawn = []
    for name in runs:
        ctx.check_deadline()
        found, numbers = asked(store, ctx, name, keyed, missing_ok=True)
        for key, number in numbers.items():
            shown = of(store).downsample(
                spans(found), number, low=low, high=high, by_time=by == "time", buckets=buckets
            )
            if len(shown.start):
                columns = {column: getattr(shown, column).tolist() for column in SeriesPicture.columns()}
                drawn.append(SeriesPicture(run=str(found), key=key, **columns))
    return drawn


def check_picture(count: int, by: str, buckets: int) -> None:
    """Raises :class:`Invalid` when so many series cannot be drawn so."""
    _check_axis(by)
    if not 1 <= buckets <= MAX_BUCKETS:
        raise Invalid(f"buckets must be 1 to {MAX_BUCKETS}, not {buckets}")
    if count > MAX_PICTURES:
        raise Invalid(
            f"{count} series are over the limit of {MAX_PICTURES} at once; ask for fewer runs or keys"
        )


def compact(store: Store, *, everything: bool = False, steps: int = 1000) -> int:
    """Writes points that wait in the log into blocks, in at most ``steps`` short transactions; how much was done."""
    with store.index.read() as view:
        if (
            view.last_key(ARRIVED) is None
        ):  # a store without points has no need of what reads them: numpy is 30 MB
            return 0
    done = 0
    for _ in range(steps):
        work = of(store).compact(everything=everything)
        if not work:
            break
        done += work
    return done


def drop(store: Store, streams: Iterable[int]) -> None:
    """Deletes the blocks of streams; of points that are still in the log they are made again."""
    with store.index.read() as view:
        compacted = [stream for stream in streams if view.get(SERIES_COMPACTED, stream) is not None]
    for stream in compacted:
        of(store).drop(stream)


def spans(found: Found) -> list[Span]:
    """The streams that a run's history is read from, each up to a step."""
    return [(stream, None if until < 0 else until) for stream, until in found.run.spans]


def asked(
    store: Store, ctx: Context, name: str, wanted: list[str], *, missing_ok: bool = False
) -> tuple[Found, dict[str, int]]:
    """The run and the numbers of the keys that are wanted; one that the principal may not read is as missing as any."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name)
        hidden = fields.hidden_from(store, view, ctx, found)
        readable = [key for key in wanted if not fields.covers(hidden, f"summary.{key}")]
        numbers = keys.find(view, found.project.id, readable)
    if not missing_ok and (missing := [key for key in wanted if key not in numbers]):
        raise Missing(f"no run of {found.namespace.name}/{found.project.name} has logged {missing[0]!r}")
    return found, numbers


def _readable(store: Store, ctx: Context, found: Found, numbers: Iterable[int]) -> dict[str, int]:
    with store.index.read() as view:
        hidden = fields.hidden_from(store, view, ctx, found)
        named = {keys.names(store).of(view, found.project.id, number): number for number in numbers}
    return {key: number for key, number in named.items() if not fields.covers(hidden, f"summary.{key}")}


def _position(after: str) -> tuple[int, int] | None:
    if not after:
        return None
    step, _, time = after.partition(",")
    try:
        return int(step), int(time)
    except ValueError:
        raise Invalid(f"{after!r:.80} is not the 'next' of a page of points") from None


def _check_axis(by: str) -> None:
    if by not in AXES:
        raise Invalid(f"by must be step or time, not {by!r}")
