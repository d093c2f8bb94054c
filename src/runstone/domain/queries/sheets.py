"""Rows as files that other programs read: CSV, JSON Lines, Parquet, or an Arrow IPC stream, in pieces and in flat memory.

CSV, Parquet and Arrow must know every column before the first row, so rows wait in a file without a name until all are there.
"""

from __future__ import annotations

import csv
import io
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import msgspec

from runstone.errors import Invalid

if TYPE_CHECKING:
    import pyarrow

ARROW = "application/vnd.apache.arrow.stream"
#: Each form by its name, with its media type.
FORMS = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": ARROW,
}
PIECE = 256 << 10
#: Rows of a record batch or row group.
GROUP = 16 << 10
_LENGTH = struct.Struct("<I")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_json = msgspec.json.Encoder().encode
Row = Mapping[str, Any]


def form_of(accept: str) -> str:
    """The name of the first form whose media type is accepted by name; empty when none is."""
    return next((form for form, media in FORMS.items() if media in accept), "")


def written(rows: Iterable[Row], form: str, columns: Sequence[str] = ()) -> Iterator[bytes]:
    """Rows in a form, piece by piece; of all columns that rows have, in the order in which they first come, or of those named.

    A column has one type: whole numbers, numbers or truth values where all are, and else text, in which lists and objects are JSON. NaN and
    infinities are null in JSON and as Python prints them in CSV.
    """
    if form not in FORMS:
        raise Invalid(f"a file of rows is {', '.join(FORMS)}, not {form!r:.80}")
    return _written(rows, form, columns)


def _written(rows: Iterable[Row], form: str, columns: Sequence[str]) -> Iterator[bytes]:
    if form == "jsonl":
        yield from _pieces(_json(_chosen(row, columns)) + b"\n" for row in rows)
        return
    with tempfile.TemporaryFile() as file:
        held = _Held(file, rows)
        names = list(columns or held.kinds)
        if form == "csv":
            yield from _pieces(_csv(held, names))
        else:
            yield from _arrow_file(_batches(held, names), form)


def of_table(table: pyarrow.Table, form: str) -> Iterator[bytes]:
    """A table of Arrow in a form; Parquet and Arrow keep its types."""
    if form in ("parquet", "arrow"):
        return _arrow_file([table], form)
    rows = (row for batch in table.to_batches(GROUP) for row in batch.to_pylist())
    return written(rows, form, table.column_names)


def _chosen(row: Row, columns: Sequence[str]) -> Row:
    return {name: row.get(name) for name in columns} if columns else row


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


class _Held:
    """Rows in a file, and the kinds of values of each column."""

    def __init__(self, file: IO[bytes], rows: Iterable[Row]) -> None:
        self._file = file
        self.kinds: dict[str, set[type]] = {}
        for row in rows:
            packed = _pack(row)
            self._file.write(_LENGTH.pack(len(packed)) + packed)
            for name, value in row.items():
                kinds = self.kinds.setdefault(name, set())
                if value is not None:
                    kinds.add(type(value))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        while head := self._file.read(_LENGTH.size):
            yield _unpack(self._file.read(_LENGTH.unpack(head)[0]))


def _csv(held: _Held, names: list[str]) -> Iterator[bytes]:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(names)
    for row in held:
        writer.writerow([text_of(row.get(name)) for name in names])
        yield stream.getvalue().encode()
        stream.seek(0)
        stream.truncate()
    yield stream.getvalue().encode()


def text_of(value: Any) -> str:
    """A value in a column of text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    return value if isinstance(value, str) else _json(value).decode()


def _batches(held: _Held, names: list[str]) -> Iterator[pyarrow.Table]:
    """The rows as tables of one schema, at least one."""
    pa = arrow()
    kinds = {name: _kind(pa, held.kinds.get(name, set())) for name in names}
    schema = pa.schema(list(kinds.items()))
    group: list[dict[str, Any]] = []
    told = False
    for row in held:
        group.append(row)
        if len(group) == GROUP:
            yield _table(pa, schema, group)
            group, told = [], True
    if group or not told:
        yield _table(pa, schema, group)


def _kind(pa: Any, kinds: set[type]) -> Any:
    if kinds and kinds <= {int, float}:
        return pa.int64() if kinds == {int} else pa.float64()
    return pa.bool_() if kinds == {bool} else pa.string()


def _table(pa: Any, schema: Any, rows: list[dict[str, Any]]) -> pyarrow.Table:
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.type == pa.string():
            values = [None if value is None else text_of(value) for value in values]
        elif field.type == pa.float64():
            values = [None if value is None else float(value) for value in values]
        columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=schema)


def _arrow_file(tables: Iterable[pyarrow.Table], form: str) -> Iterator[bytes]:
    pa = arrow()
    with tempfile.TemporaryFile() as file:
        writer: Any = None
        for table in tables:
            if writer is None:
                made = pa.parquet.ParquetWriter if form == "parquet" else pa.ipc.new_stream
                writer = made(file, table.schema)
            writer.write_table(table)
        writer.close()
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def arrow() -> Any:
    """pyarrow with its Parquet module; raises :class:`Invalid` where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Invalid(
            "Parquet and Arrow need pyarrow, which is not installed: pip install 'runstone[sql]'"
        ) from None
    return pyarrow
