"""Writing a segment: lanes as they come, then the directory, then the header that makes it one."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from runstone.storage import filesystem
from runstone.storage.columns import layout
from runstone.storage.columns.bitmaps import Array
from runstone.storage.columns.lanes import Column


def file_name(segment: int) -> str:
    """The name of a segment's file."""
    return f"{segment:016x}.seg"


def write_segment(folder: Path, segment: int, ids: Array, columns: Iterable[tuple[bytes, Column]]) -> Path:
    """Writes a segment durably and answers its path; columns by ascending name, ``ids`` ascending.

    The file appears under its name only when it is whole and on disk.
    """
    path = folder / file_name(segment)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("xb", buffering=1 << 20) as file:
            _write(file, segment, ids, columns)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    filesystem.fsync_directory(folder)
    return path


class _Output:
    """A file with its length so far."""

    def __init__(self, file: object) -> None:
        self.write = file.write  # type: ignore[attr-defined]
        self.at = 0

    def put(self, data: object, size: int) -> None:
        self.write(data)
        self.at += size

    def align(self, to: int) -> None:
        self.put(bytes(-self.at % to), -self.at % to)


def _write(file: object, segment: int, ids: Array, columns: Iterable[tuple[bytes, Column]]) -> None:
    out = _Output(file)
    out.put(bytes(layout.HEADER_SIZE), layout.HEADER_SIZE)
    held = np.ascontiguousarray(ids, np.int64)
    ids_at = out.at
    out.put(held.data, held.nbytes)
    pages = _Pages()
    fields = 0
    for name, column in columns:
        records = []
        for kind, lane in layout.lanes_of(column):
            record, sections = layout.describe(kind, lane)
            body = b"".join(
                section.tobytes().ljust(layout.padded(section.nbytes), b"\0") for section in sections
            )
            out.align(layout.ALIGN)
            place = {"offset": out.at, "checksum": layout.checksum(body, segment, out.at)}
            records.append(layout.LaneRecord(**{**vars(record), **place}))
            out.put(body, len(body))
        pages.add(layout.pack_entry(name, column, records))
        fields += 1
    table = b""
    for count, page in pages.all():
        out.align(8)
        table += layout.PAGE.pack(out.at, len(page), count, layout.checksum(page, segment, out.at))
        out.put(page, len(page))
    out.align(8)
    table_at = out.at
    out.put(table, len(table))
    header = layout.HEADER.pack(
        layout.MAGIC,
        layout.VERSION,
        0,
        len(held),
        fields,
        len(table) // layout.PAGE.size,
        ids_at,
        layout.checksum(held.data, segment, ids_at),
        table_at,
        out.at,
    )
    file.seek(0)  # type: ignore[attr-defined]
    out.write(header + layout.CHECK.pack(layout.checksum(header, segment, 0)))


class _Pages:
    """Directory entries, gathered into pages."""

    def __init__(self) -> None:
        self._done: list[tuple[int, bytes]] = []
        self._entries: list[bytes] = []
        self._size = 0

    def add(self, entry: bytes) -> None:
        self._entries.append(entry)
        self._size += len(entry) + 4
        if self._size >= layout.PAGE_FILL:
            self._close()

    def _close(self) -> None:
        at, offsets = 4 * len(self._entries), []
        for entry in self._entries:
            offsets.append(at)
            at += len(entry)
        page = struct.pack(f"<{len(offsets)}I", *offsets) + b"".join(self._entries)
        self._done.append((len(offsets), page))
        self._entries, self._size = [], 0

    def all(self) -> list[tuple[int, bytes]]:
        if self._entries:
            self._close()
        return self._done
