"""Series: points in blocks, made from arrivals."""

from __future__ import annotations

from runstone.storage.tables.table import Record, derived_table


class SeriesBlock(Record, frozen=True):
    """Points of one stream and key in order of step, time and value, in columns; ``kinds`` is empty when all are floats."""

    count: int
    steps: bytes
    times: bytes
    floats: bytes = b""
    ints: bytes = b""
    lengths: bytes = b""
    objects: bytes = b""
    kinds: bytes = b""


class SeriesCells(Record, frozen=True):
    """A table of cells: summaries of stretches of points, as whole numbers and as floats."""

    cells: int
    terms: int
    ints: bytes
    floats: bytes


class BlockEntry(Record, frozen=True):
    """Where a block begins and ends, its times, its points, and how many of its group's cells and terms of sums are its own."""

    first_step: int
    first_time: int
    last_step: int
    last_time: int
    min_time: int
    max_time: int
    count: int
    cells: int
    terms: int


class SeriesGroup(Record, frozen=True):
    """Consecutive blocks with their coarse cells."""

    blocks: tuple[BlockEntry, ...]
    cells: SeriesCells


class Compacted(Record, frozen=True):
    """Arrivals of a stream before log entry ``seq`` are in blocks.

    While ``upto`` is greater, those before it are being written, and are there up to but without ``key``, ``step`` and ``time``.
    """

    seq: int = 0
    upto: int = 0
    key: int = 0
    step: int = -(1 << 63)
    time: int = -(1 << 63)


class Swept(Record, frozen=True):
    """All arrivals before log entry ``seq`` are compacted; ``drops`` counts how often that was taken back, for a dropped stream."""

    seq: int = 0
    drops: int = 0


SERIES_BLOCKS = derived_table(96, "series_blocks", "stream:u64 key:u32 step:u64 time:u64", SeriesBlock)
SERIES_CELLS = derived_table(97, "series_cells", "stream:u64 key:u32 step:u64 time:u64", SeriesCells)
SERIES_GROUPS = derived_table(98, "series_groups", "stream:u64 key:u32 step:u64 time:u64", SeriesGroup)
SERIES_COMPACTED = derived_table(99, "series_compacted", "stream:u64", Compacted)
SERIES_SWEPT = derived_table(100, "series_swept", "zero:u8", Swept)
