# cython: auto_pickle=False, autotestdict=False
"""Scans, order, groups and text search over the columns of a table of rows.

A bitmap is an array of u64 words; bit ``i % 64`` of word ``i // 64`` is row ``i``, and bits behind the last row are zero. Codes are
u8, u16 or u32. Every function takes contiguous arrays, writes only into the arrays that it is given to write into, and raises
ValueError when a length does not fit or the data point outside. Arguments are here, the arithmetic is in the C files beside this one.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "cpu.h" nogil:
    int cpu_best_level()
    int cpu_force_level(int level)

cdef extern from "columns_impl.h" nogil:
    const int SOURCE_KEYS, SOURCE_NUMBERS, SOURCE_TABLE, SOURCE_TEXT
    ctypedef struct key_source:
        int kind
        int descending
        int width
        const void* data
        const uint64_t* valid
        const uint64_t* table
        uint64_t entries
        uint64_t cursor
    uint64_t columns_number_key(double value)
    void columns_compare(const double* values, size_t n, int op, double x, uint64_t* out)
    void columns_in_range(const void* codes, int width, size_t n, uint64_t low, uint64_t high, uint64_t* out)
    void columns_in_set(const void* codes, int width, size_t n, const uint64_t* accepted, uint64_t entries, uint64_t* out)
    int columns_scatter(const uint32_t* positions, size_t n, const uint64_t* bits, size_t rows, uint64_t* out)
    uint64_t columns_count(const uint64_t* words, size_t n)
    uint64_t columns_count_and(const uint64_t* one, const uint64_t* other, size_t n)
    size_t columns_positions(const uint64_t* words, size_t n, uint32_t* out, size_t room)
    size_t columns_top(const uint64_t* mask, size_t rows, const key_source* sources, int count, int64_t bound, size_t k,
                       uint64_t* keys, uint32_t* out)
    uint64_t columns_key_at(const key_source* source, size_t row)
    int columns_group_count(const uint64_t* mask, size_t rows, const uint32_t* codes, uint64_t groups, int64_t* counts)
    int columns_group_numbers(const uint64_t* mask, size_t rows, const uint32_t* codes, uint64_t groups, const double* values,
                              int64_t* counts, double* least, double* greatest, double* sums)
    int columns_find(const uint8_t* pool, size_t size, const int64_t* offsets64, const int32_t* offsets32, size_t entries,
                     const uint8_t* needle, size_t length, int fold, uint64_t* out)

cdef enum:
    # Sources of one order. An order by more fields is refused above.
    SOURCES = 64

ctypedef const void* const_pointer


cdef inline const_pointer _at(const uint64_t[::1] words) noexcept:
    return &words[0] if words.shape[0] else NULL


cdef int _need(Py_ssize_t have, Py_ssize_t rows, str what) except -1:
    if have != (rows + 63) // 64:
        raise ValueError(f"{what} for {rows} rows has {(rows + 63) // 64} words, not {have}")
    return 0


cdef class _Codes:
    """A held buffer of codes."""

    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, codes):
        PyObject_GetBuffer(codes, &self.view, PyBUF_C_CONTIGUOUS)
        self.held = True
        if self.view.ndim != 1 or self.view.itemsize not in (1, 2, 4):
            raise ValueError(f"codes have 1, 2 or 4 bytes, not {self.view.itemsize}")

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cdef Py_ssize_t count(self) noexcept:
        return self.view.len // self.view.itemsize


def compare(const double[::1] values, int op, double x, uint64_t[::1] out, /):
    """The bitmap of `values[i] op x`, as IEEE 754 compares; `op` is 0 ... 5 for =, !=, <, <=, >, >=."""
    cdef size_t n = <size_t>values.shape[0]
    if not 0 <= op <= 5:
        raise ValueError(f"there is no comparison {op}")
    _need(out.shape[0], values.shape[0], "a bitmap")
    if n:
        with nogil:
            columns_compare(&values[0], n, op, x, &out[0])


def in_range(codes, uint64_t low, uint64_t high, uint64_t[::1] out, /):
    """The bitmap of `low <= codes[i] < high`."""
    cdef _Codes held = _Codes(codes)
    cdef size_t n = <size_t>held.count()
    _need(out.shape[0], held.count(), "a bitmap")
    if n:
        with nogil:
            columns_in_range(held.view.buf, <int>held.view.itemsize, n, low, high, &out[0])


def in_set(codes, const uint64_t[::1] accepted, uint64_t[::1] out, /):
    """The bitmap of `bit codes[i] of accepted is set`; a code beyond its end is not accepted."""
    cdef _Codes held = _Codes(codes)
    cdef size_t n = <size_t>held.count()
    cdef const_pointer bits = _at(accepted)
    _need(out.shape[0], held.count(), "a bitmap")
    if n:
        with nogil:
            columns_in_set(held.view.buf, <int>held.view.itemsize, n, <const uint64_t*>bits, 64 * <uint64_t>accepted.shape[0],
                           &out[0])


def scatter(const uint32_t[::1] positions, const uint64_t[::1] bits, Py_ssize_t rows, uint64_t[::1] out, /):
    """The bitmap over `rows` rows in which row `positions[i]` has bit `i` of `bits`, and all others have none."""
    cdef int wrong = 0
    _need(bits.shape[0], positions.shape[0], "a bitmap")
    _need(out.shape[0], rows, "a bitmap")
    if rows and positions.shape[0]:
        with nogil:
            wrong = columns_scatter(&positions[0], <size_t>positions.shape[0], &bits[0], <size_t>rows, &out[0])
    elif rows:
        out[:] = 0
    if wrong:
        raise ValueError(f"a position lies outside of {rows} rows")


def count(const uint64_t[::1] words, /):
    """How many bits are set."""
    cdef uint64_t total = 0
    if words.shape[0]:
        with nogil:
            total = columns_count(&words[0], <size_t>words.shape[0])
    return total


def count_and(const uint64_t[::1] one, const uint64_t[::1] other, /):
    """How many bits are set in both bitmaps."""
    cdef uint64_t total = 0
    if one.shape[0] != other.shape[0]:
        raise ValueError(f"the bitmaps have {one.shape[0]} and {other.shape[0]} words")
    if one.shape[0]:
        with nogil:
            total = columns_count_and(&one[0], &other[0], <size_t>one.shape[0])
    return total


def positions(const uint64_t[::1] words, uint32_t[::1] out, /):
    """Writes the positions of the set bits, ascending, as far as `out` has room; how many were written."""
    cdef size_t found = 0
    if words.shape[0] > 1 << 26:
        raise ValueError("a bitmap has at most 2^32 bits")
    if words.shape[0] and out.shape[0]:
        with nogil:
            found = columns_positions(&words[0], <size_t>words.shape[0], &out[0], <size_t>out.shape[0])
    return found


def number_keys(const double[::1] values, uint64_t[::1] out, /):
    """The ascending order key of each number (see `top`)."""
    cdef Py_ssize_t i
    if values.shape[0] != out.shape[0]:
        raise ValueError(f"{values.shape[0]} numbers have as many keys, not {out.shape[0]}")
    with nogil:
        for i in range(values.shape[0]):
            out[i] = columns_number_key(values[i])


cdef class _Sources:
    """The sources of an order, with everything they point to held."""

    cdef key_source sources[SOURCES]
    cdef Py_buffer data[SOURCES]
    cdef list kept
    cdef int count, held

    def __cinit__(self, Py_ssize_t rows, list sources):
        cdef const uint64_t[::1] valid, table
        cdef key_source* source
        cdef bint wide
        if len(sources) > SOURCES:
            raise ValueError(f"an order has at most {SOURCES} sources, not {len(sources)}")
        self.kept = []
        for kind, data, present, entries, descending, cursor in list(sources):
            source = &self.sources[self.count]
            PyObject_GetBuffer(data, &self.data[self.held], PyBUF_C_CONTIGUOUS)
            self.held += 1
            source.kind, source.descending, source.cursor = <int>kind, bool(descending), cursor
            source.data, source.width = self.data[self.held - 1].buf, <int>self.data[self.held - 1].itemsize
            if not SOURCE_KEYS <= source.kind <= SOURCE_TEXT:
                raise ValueError(f"there is no order source {kind}")
            wide = source.kind == SOURCE_KEYS or source.kind == SOURCE_NUMBERS
            if (source.width != 8) if wide else (source.width not in (1, 2, 4)):
                raise ValueError(f"order source {kind} does not have {source.width} bytes a row")
            if self.data[self.held - 1].len != rows * source.width:
                raise ValueError(f"an order source for {rows} rows has {self.data[self.held - 1].len // source.width}")
            source.valid, source.table, source.entries = NULL, NULL, 0
            if present is not None:
                valid = present
                _need(valid.shape[0], rows, "a bitmap")
                self.kept.append(valid)
                source.valid = <const uint64_t*>_at(valid)
            if entries is not None:
                table = entries
                self.kept.append(table)
                source.table, source.entries = <const uint64_t*>_at(table), <uint64_t>table.shape[0]
            self.count += 1

    def __dealloc__(self):
        for i in range(self.held):
            PyBuffer_Release(&self.data[i])


def top(const uint64_t[::1] mask, Py_ssize_t rows, list sources, Py_ssize_t bound, uint32_t[::1] out, /):
    """Writes the first rows of `mask` in an order, as many as `out` has room for; how many were written.

    A source is `(kind, data, valid, table, descending, cursor)`: kind 0 has u64 keys, 1 f64 numbers, 2 codes with a table of the
    ascending key of each, 3 codes that are ranks of text. `valid` is a bitmap or None (all); a row without a value has the greatest
    key. Keys are those of ext/columns_impl.h. Rows with equal keys come by descending position. With `bound` >= 0 only rows behind
    the sources' `cursor`s count: of those that equal them all, the ones whose position is below `bound`.
    """
    cdef _Sources held = _Sources(rows, sources)
    cdef size_t k = <size_t>min(out.shape[0], rows), found = 0
    cdef uint64_t* keys
    if rows >= 1 << 32:
        raise ValueError("at most 2^32 rows can be put in order at once")
    _need(mask.shape[0], rows, "a bitmap")
    if not k:
        return 0
    keys = <uint64_t*>PyMem_Malloc(8 * k)
    if keys is NULL:
        raise MemoryError("no memory to put rows in order")
    try:
        with nogil:
            found = columns_top(&mask[0], <size_t>rows, held.sources, held.count, bound, k, keys, &out[0])
    finally:
        PyMem_Free(keys)
    return found


def keys_at(Py_ssize_t rows, tuple source, const uint32_t[::1] at, uint64_t[::1] out, /):
    """Writes the key of each row of `at` in one source (see `top`)."""
    cdef _Sources held = _Sources(rows, [source])
    cdef Py_ssize_t i
    cdef bint wrong = False
    if at.shape[0] != out.shape[0]:
        raise ValueError(f"{at.shape[0]} rows have as many keys, not {out.shape[0]}")
    with nogil:
        for i in range(at.shape[0]):
            if at[i] >= rows:
                wrong = True
                break
            out[i] = columns_key_at(held.sources, at[i])
    if wrong:
        raise ValueError(f"a position lies outside of {rows} rows")


def group_count(const uint64_t[::1] mask, const uint32_t[::1] codes, int64_t[::1] counts, /):
    """Adds to `counts[codes[i]]` one for each row `i` of `mask`."""
    cdef int wrong = 0
    _need(mask.shape[0], codes.shape[0], "a bitmap")
    if codes.shape[0]:
        if not counts.shape[0]:
            raise ValueError("there are rows, but no groups")
        with nogil:
            wrong = columns_group_count(&mask[0], <size_t>codes.shape[0], &codes[0], <uint64_t>counts.shape[0], &counts[0])
    if wrong:
        raise ValueError(f"a code lies outside of {counts.shape[0]} groups")


def group_numbers(const uint64_t[::1] mask, const uint32_t[::1] codes, const double[::1] values, int64_t[::1] counts,
                  double[::1] least, double[::1] greatest, double[::1] sums, /):
    """Adds the values of the rows of `mask` to their groups, NaN left out; `least` and `greatest` mean nothing where the count is 0."""
    cdef int wrong = 0
    cdef Py_ssize_t groups = counts.shape[0]
    _need(mask.shape[0], codes.shape[0], "a bitmap")
    if not codes.shape[0] == values.shape[0]:
        raise ValueError(f"{codes.shape[0]} rows have as many values, not {values.shape[0]}")
    if not groups == least.shape[0] == greatest.shape[0] == sums.shape[0]:
        raise ValueError("the figures of groups have one length")
    if codes.shape[0]:
        if not groups:
            raise ValueError("there are rows, but no groups")
        with nogil:
            wrong = columns_group_numbers(&mask[0], <size_t>codes.shape[0], &codes[0], <uint64_t>groups, &values[0],
                                          &counts[0], &least[0], &greatest[0], &sums[0])
    if wrong:
        raise ValueError(f"a code lies outside of {groups} groups")


def find(const uint8_t[::1] pool, offsets, const uint8_t[::1] needle, bint fold, uint64_t[::1] out, /):
    """The bitmap of the entries `pool[offsets[e]:offsets[e + 1]]` that have `needle` in them; offsets are i32 or i64 and start at 0.

    With `fold`, ASCII letters match either case, `needle` must be in lower case, and entries too many may be named, rather than to
    search for long: whether the answer is exact is what is returned.
    """
    cdef Py_buffer view
    cdef Py_ssize_t entries
    cdef int answer = 1, width
    PyObject_GetBuffer(offsets, &view, PyBUF_C_CONTIGUOUS)
    try:
        width = <int>view.itemsize
        if width not in (4, 8) or view.ndim != 1 or view.len < width:
            raise ValueError("offsets are 4 or 8 bytes each, one more than entries")
        entries = view.len // width - 1
        _need(out.shape[0], entries, "a bitmap")
        if entries:
            with nogil:
                answer = columns_find(&pool[0] if pool.shape[0] else NULL, <size_t>pool.shape[0],
                                      <const int64_t*>view.buf if width == 8 else NULL,
                                      <const int32_t*>view.buf if width == 4 else NULL, <size_t>entries,
                                      &needle[0] if needle.shape[0] else NULL, <size_t>needle.shape[0], fold, &out[0])
    finally:
        PyBuffer_Release(&view)
    if answer < 0:
        raise ValueError("the offsets of a pool do not ascend within it")
    return answer == 1


def _levels():
    """Numbers of the instruction-set levels of this processor, slowest first (ext/cpu.h)."""
    return list(range(cpu_best_level() + 1))


def _force_level(int level, /):
    """Run this module's kernels at one of `_levels()`, for tests; ValueError for any other."""
    if cpu_force_level(level):
        raise ValueError(f"this processor does not have kernel level {level}")
