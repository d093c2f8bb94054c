"""Parquet, read by row groups; a cursor is how many rows came before. Needs ``runstone[sql]``."""

from __future__ import annotations

import io
from typing import Any

from runstone.domain.content import StoredFile
from runstone.domain.previews import place
from runstone.domain.previews.cells import WIDTH, cell
from runstone.errors import Invalid, TooLarge
from runstone.types import FilePreview

MAX_GROUP = 512 << 20
BATCH = 1000
#: Pages are decoded from pieces of this many bytes, so that a row group is never in memory as a whole.
BUFFER = 1 << 20


class _Stream(io.RawIOBase):
    """A stored file as a stream; every byte is verified before it is handed out."""

    def __init__(self, file: StoredFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._file.size if size < 0 else min(self._at + size, self._file.size)
        if self._at >= stop:
            return b""
        data = self._file.read(self._at, stop)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def preview(file: StoredFile, after: str, limit: int, column: int) -> FilePreview:
    """Up to ``limit`` rows."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise Invalid("previews of Parquet need pyarrow: pip install 'runstone[sql]'") from None
    try:
        found = parquet.ParquetFile(_Stream(file), buffer_size=BUFFER, pre_buffer=False)
        return _part(found, file, place(after), limit, column)
    except (pyarrow.ArrowException, OSError) as error:
        raise Invalid(
            f"{file.path} of {file.version} is no Parquet file that can be shown: {error}"
        ) from None


def _part(found: Any, file: StoredFile, first: int, limit: int, column: int) -> FilePreview:
    schema, metadata = found.schema_arrow, found.metadata
    shown = schema.names[column : column + WIDTH]
    rows: list[tuple[Any, ...]] = []
    begin = 0
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        if begin + count > first and len(rows) < limit:
            if metadata.row_group(group).total_byte_size > MAX_GROUP:
                raise TooLarge(f"a row group of {file.path} is over the limit of {MAX_GROUP} bytes")
            rows += _rows(found, group, shown, max(first - begin, 0), limit - len(rows))
        begin += count
    more = first + len(rows) < metadata.num_rows and rows
    return FilePreview(
        kind="table",
        columns=tuple((name, str(schema.field(column + place).type)) for place, name in enumerate(shown)),
        column=column,
        width=len(schema.names),
        rows=tuple(rows),
        total=metadata.num_rows,
        next=str(first + len(rows)) if more else "",
    )


def _rows(found: Any, group: int, names: list[str], skip: int, limit: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for batch in found.iter_batches(BATCH, row_groups=[group], columns=names):
        if skip >= batch.num_rows:
            skip -= batch.num_rows
            continue
        part = batch.slice(skip, limit - len(rows))
        skip = 0
        columns = [
            [cell(value) for value in part.column(place).to_pylist()] for place in range(part.num_columns)
        ]
        rows += zip(*columns, strict=True)
        if len(rows) == limit:
            break
    return rows
