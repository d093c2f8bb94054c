"""The Parquet files of a bundle: points and console lines, written and read in pieces, so that memory stays flat."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from runstone._native import points
from runstone.errors import Invalid
from runstone.types import ConsoleLine

#: Rows of a row group, and of a file.
GROUP_ROWS = 128 << 10
FILE_ROWS = 4 << 20
#: Bytes of objects or text after which a row group is written all the same.
GROUP_BYTES = 32 << 20
#: What a reader takes: other writers may make larger groups than ours, but none that fills the memory.
MAX_GROUP_ROWS = 1 << 20
MAX_GROUP_BYTES = 512 << 20
KINDS = ("float", "int", "object")
_RAW = msgspec.Raw


def arrow() -> Any:
    """pyarrow with its Parquet module; raises :class:`Invalid` where it is not installed."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise Invalid("Parquet needs pyarrow, which is not installed: pip install 'runstone[sql]'") from None
    return pyarrow


def _schemas() -> dict[str, Any]:
    pa = arrow()
    name = pa.dictionary(pa.int32(), pa.string())
    return {
        "points": pa.schema(
            [
                pa.field("run", name, nullable=False),
                pa.field("key", name, nullable=False),
                pa.field("step", pa.int64(), nullable=False),
                pa.field("time", pa.int64(), nullable=False),
                pa.field("kind", name, nullable=False),
                pa.field("float", pa.float64()),
                pa.field("int", pa.int64()),
                pa.field("object", pa.binary()),
            ]
        ),
        "lines": pa.schema(
            [
                pa.field("run", name, nullable=False),
                pa.field("number", pa.int64(), nullable=False),
                pa.field("time", pa.int64(), nullable=False),
                pa.field("stream", name, nullable=False),
                pa.field("level", name, nullable=False),
                pa.field("text", pa.string(), nullable=False),
            ]
        ),
    }


class _Names:
    """Texts that repeat, as numbers into a list that grows."""

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self.numbers = array("i")

    def add(self, name: str, times: int = 1) -> None:
        number = self._numbers.setdefault(name, len(self._numbers))
        self.numbers.extend(array("i", [number]) * times)

    def column(self, pa: Any) -> Any:
        numbers = pa.Array.from_buffers(
            pa.int32(), len(self.numbers), [None, pa.py_buffer(self.numbers.tobytes())]
        )
        return pa.DictionaryArray.from_arrays(numbers, pa.array(list(self._numbers), pa.string()))


class _Writer:
    """Files ``<folder>/part-00000.parquet`` … of one schema. Use as a context manager."""

    def __init__(self, root: Path, folder: str) -> None:
        self._pa = arrow()
        self._schema = _schemas()[folder]
        self._root, self._folder = root, folder
        self._writer: Any = None
        self._in_file = self._bytes = 0
        self.paths: list[str] = []
        self.rows = 0
        self._clear()

    def __enter__(self) -> Any:
        (self._root / self._folder).mkdir()
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if exc[0] is None:
                self._flush()
        finally:
            self._end_file()

    def _clear(self) -> None:
        raise NotImplementedError

    def _columns(self) -> list[Any]:
        raise NotImplementedError

    def _pending(self) -> int:
        raise NotImplementedError

    def _flush_if_full(self) -> None:
        if self._pending() >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        rows = self._pending()
        if not rows:
            return
        if self._writer is None:
            path = f"{self._folder}/part-{len(self.paths):05d}.parquet"
            self.paths.append(path)
            self._writer = self._pa.parquet.ParquetWriter(
                self._root / path, self._schema, compression="zstd", store_schema=True
            )
        batch = self._pa.RecordBatch.from_arrays(self._columns(), schema=self._schema)
        self._writer.write_batch(batch, row_group_size=max(rows, 1))
        self.rows += rows
        self._in_file += rows
        self._bytes = 0
        self._clear()
        if self._in_file >= FILE_ROWS:
            self._end_file()

    def _end_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._in_file = None, 0

    def _numbers(self, values: Any, kind: Any) -> Any:
        return self._pa.Array.from_buffers(kind, len(values), [None, self._pa.py_buffer(values.tobytes())])


class PointsWriter(_Writer):
    """Writes frames of points, a row for each point."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "points")

    def _clear(self) -> None:
        self._runs, self._keys, self._kinds = _Names(), _Names(), _Names(KINDS)
        self._steps, self._times = array("q"), array("q")
        self._floats, self._ints = array("d"), array("q")
        self._objects: list[bytes | None] = []

    def _pending(self) -> int:
        return len(self._steps)

    def _columns(self) -> list[Any]:
        pa = self._pa
        kinds = self._kinds.column(pa)
        floats, ints = self._numbers(self._floats, pa.float64()), self._numbers(self._ints, pa.int64())
        is_float, is_int = (pa.compute.equal(kinds.indices, number) for number in (points.FLOAT, points.INT))
        return [
            self._runs.column(pa),
            self._keys.column(pa),
            self._numbers(self._steps, pa.int64()),
            self._numbers(self._times, pa.int64()),
            kinds,
            pa.compute.if_else(is_float, floats, pa.scalar(None, pa.float64())),
            pa.compute.if_else(is_int, ints, pa.scalar(None, pa.int64())),
            pa.array(self._objects, pa.binary()),
        ]

    def add(self, run: str, frame: Any, objects: Any) -> int:
        """Adds a frame of a run; how many points. ``objects`` makes a list of bytes of an object column."""
        steps, times, columns = frame
        rows = len(steps)
        step_bytes, time_bytes = steps.astype("<i8").tobytes(), times.astype("<i8").tobytes()
        for name, kind, values in columns:
            self._runs.add(run, rows)
            self._keys.add(name, rows)
            self._kinds.add(KINDS[kind], rows)
            self._steps.frombytes(step_bytes)
            self._times.frombytes(time_bytes)
            packed: list[bytes] | list[None] = objects(values) if kind == points.OBJECT else [None] * rows
            self._objects += packed
            self._bytes += sum(map(len, packed)) if kind == points.OBJECT else 0  # type: ignore[arg-type]
            for into, own in ((self._floats, points.FLOAT), (self._ints, points.INT)):
                into.frombytes(values.tobytes() if kind == own else bytes(8 * rows))
            self._flush_if_full()
        return rows * len(columns)


class LinesWriter(_Writer):
    """Writes console lines."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "lines")

    def _clear(self) -> None:
        self._runs, self._streams, self._levels = _Names(), _Names(), _Names()
        self._places, self._times = array("q"), array("q")
        self._texts: list[str] = []

    def _pending(self) -> int:
        return len(self._texts)

    def _columns(self) -> list[Any]:
        pa = self._pa
        return [
            self._runs.column(pa),
            self._numbers(self._places, pa.int64()),
            self._numbers(self._times, pa.int64()),
            self._streams.column(pa),
            self._levels.column(pa),
            pa.array(self._texts, pa.string()),
        ]

    def add(self, run: str, line: ConsoleLine) -> None:
        """Adds a line of a run."""
        self._runs.add(run)
        self._streams.add(line.stream)
        self._levels.add(line.level)
        self._places.append(line.number)
        self._times.append(line.time)
        self._texts.append(line.text)
        self._bytes += len(line.text)
        self._flush_if_full()


def _groups(path: Path, folder: str) -> Iterator[Any]:
    """The row groups of a file as record batches; raises :class:`Invalid` for what is not a file of a bundle."""
    pa, schema = arrow(), _schemas()[folder]
    try:
        with pa.parquet.ParquetFile(path) as file:
            if file.schema_arrow.names != schema.names:
                raise Invalid(f"{path.name} has not the columns of a bundle's {folder}")
            for number in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(number)
                if group.num_rows > MAX_GROUP_ROWS or group.total_byte_size > MAX_GROUP_BYTES:
                    raise Invalid(
                        f"row group {number} of {path.name} is over the limit of {MAX_GROUP_ROWS} rows or {MAX_GROUP_BYTES} bytes"
                    )
                table = file.read_row_group(number, use_threads=False).cast(schema)
                table.validate(full=True)
                for column, field in zip(table.columns, schema, strict=True):
                    if column.null_count and not field.nullable:
                        raise Invalid(f"{path.name} has no {field.name} in some rows of row group {number}")
                yield from table.unify_dictionaries().combine_chunks().to_batches()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Invalid(f"{path.name} is not a Parquet file of a bundle: {error}") from None


class Segment(NamedTuple):
    """Points of one run that follow each other and are of one key and kind; values as ``encode_columns`` takes them."""

    key: str
    kind: int
    steps: memoryview[Any]
    times: memoryview[Any]
    values: Any


def read_points(path: Path) -> Iterator[tuple[str, list[Segment], int]]:
    """The points of a file, each run's part of a row group at a time: (run, segments, points)."""
    for batch in _groups(path, "points"):
        runs, keys, kinds = (batch.column(place) for place in (0, 1, 4))
        names = runs.dictionary.to_pylist(), keys.dictionary.to_pylist(), kinds.dictionary.to_pylist()
        same = zip(runs.indices.to_pylist(), keys.indices.to_pylist(), kinds.indices.to_pylist(), strict=True)
        segments: list[Segment] = []
        at, run, count = 0, -1, 0
        for (run_number, key, kind), group in groupby(same):
            rows = sum(1 for _ in group)
            if run_number != run and segments:
                yield names[0][run], segments, count
                segments, count = [], 0
            run = run_number
            segments.append(_segment(path, batch.slice(at, rows), names[1][key], names[2][kind]))
            at, count = at + rows, count + rows
        if segments:
            yield names[0][run], segments, count


def _segment(path: Path, batch: Any, key: str, kind: str) -> Segment:
    if kind not in KINDS:
        raise Invalid(f"{path.name} has a point of {key!r:.80} of the unknown kind {kind!r:.40}")
    column = batch.column(("float", "int", "object").index(kind) + 5)
    if column.null_count:
        raise Invalid(f"{path.name} has a point of {key!r:.80} without a value")
    if kind == "object":
        values: Any = [_RAW(packed) for packed in column.to_pylist()]
    else:
        values = _numbers(column, "d" if kind == "float" else "q")
    return Segment(
        key, KINDS.index(kind), _numbers(batch.column(2), "q"), _numbers(batch.column(3), "q"), values
    )


def _numbers(column: Any, kind: Literal["d", "q"]) -> memoryview[Any]:
    data = memoryview(column.buffers()[1]).cast("B")
    start = 8 * column.offset
    found: memoryview[Any] = data[start : start + 8 * len(column)].cast(kind)
    return found


def batch_of(segments: list[Segment]) -> bytes:
    """Segments as one batch of points (``docs/format/points.md``); raises :class:`Invalid`.

    Neighbours with equal steps and times share a frame, as they did where they came from.
    """
    frames: list[tuple[Segment, dict[str, Any]]] = []
    for segment in segments:
        if frames:
            first, columns = frames[-1]
            if (
                segment.key not in columns
                and len(columns) < points.MAX_KEYS
                and first.steps == segment.steps
                and first.times == segment.times
            ):
                columns[segment.key] = segment.values
                continue
        frames.append((segment, {segment.key: segment.values}))
    try:
        packed = [points.encode_columns(first.steps, first.times, columns) for first, columns in frames]
    except (ValueError, TypeError, OverflowError) as error:
        raise Invalid(f"these points cannot be stored: {error}") from None
    return _joined(packed)


def _joined(batches: list[bytes]) -> bytes:
    """The frames of several batches as one."""
    count = sum(struct.unpack_from("<I", batch, 8)[0] for batch in batches)
    size = 16 + sum(len(batch) - 16 for batch in batches)
    return b"".join([struct.pack("<4sHHII", b"RSPB", 1, 0, count, size), *(batch[16:] for batch in batches)])


def read_lines(path: Path) -> Iterator[tuple[str, list[ConsoleLine]]]:
    """The lines of a file, each run's part of a row group at a time."""
    for batch in _groups(path, "lines"):
        rows = zip(*(batch.column(place).to_pylist() for place in range(6)), strict=True)
        for run, group in groupby(rows, key=lambda row: row[0]):
            yield (
                run,
                [
                    ConsoleLine(number=number, time=time, stream=stream, level=level, text=text)
                    for _, number, time, stream, level, text in group
                ],
            )
