"""Plain Python versions of the column kernels."""

import operator
import struct

OPERATORS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)


def words(flags):
    """The words of a bitmap."""
    return [
        sum(1 << at for at, flag in enumerate(flags[first : first + 64]) if flag)
        for first in range(0, len(flags), 64)
    ]


def number_key(value):
    """The order key of a number: IEEE bits made to ascend (ext/columns_impl.h)."""
    if value != value:
        return 2**64 - 3
    (bits,) = struct.unpack("<Q", struct.pack("<d", value + 0.0))
    return ~bits & 2**64 - 1 if bits >> 63 else bits | 1 << 63


def key(source, row):
    """The key of a row in a source."""
    kind, data, valid, table, descending, _ = source
    if kind == 0:
        return data[row]
    if valid is not None and not valid[row]:
        return 2**64 - 1
    if kind == 1:
        found = number_key(data[row])
    elif kind == 2:
        found = table[data[row]] if data[row] < len(table) else 2**64 - 2
    else:
        found = 0xFFF0000000000001 + 2 * data[row] + 1
    return 0xFFF8000000000000 - found if descending and found <= 0xFFF8000000000000 else found


def top(mask, sources, bound, count):
    """The first rows of a mask."""
    keyed = [([key(source, row) for source in sources], -row, row) for row, flag in enumerate(mask) if flag]
    if bound >= 0:
        cursor = [source[5] for source in sources]
        keyed = [each for each in keyed if each[0] > cursor or (each[0] == cursor and each[2] < bound)]
    return [row for _, _, row in sorted(keyed)[:count]]


def group_numbers(mask, codes, values, groups):
    """Count, least, greatest and sum of each group; None for least and greatest of no value."""
    held = [
        [v for m, c, v in zip(mask, codes, values, strict=True) if m and c == g and v == v]
        for g in range(groups)
    ]
    return [(len(each), min(each, default=None), max(each, default=None), sum(each)) for each in held]


def find(entries, needle, fold):
    """Which entries have a needle in them."""
    return [needle in (entry.lower() if fold else entry) for entry in entries]
