# cython: auto_pickle=False, autotestdict=False
"""Summaries of stretches of a series (cells), and how cells and points add up to the buckets of a picture.

Sums are exact (exactsum.h), so what a bucket says depends on its points alone: not on how they were cut into cells, nor on the
order in which cells were added.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.math cimport INFINITY, NAN, isinf
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cdef extern from "exactsum.h" nogil:
    ctypedef struct exact_sum:
        uint64_t positive[34]
        uint64_t negative[34]
    void exact_add(exact_sum* sum, double value)
    double exact_round(const exact_sum* sum)
    int exact_terms(const exact_sum* sum, double* out, int room)

cdef extern from "points_format.h" nogil:
    int64_t points_float_order(double value)

#: The int64 columns of a table of cells, in order.
INT_COLUMNS = ("rows", "min_step", "max_step", "min_time", "max_time", "last_time", "count", "nans", "terms")
#: The float64 columns, in order; the terms of the sums follow them, one cell's after the other's.
FLOAT_COLUMNS = ("low", "high", "last")

cdef enum:
    ROWS = 0
    MIN_STEP = 1
    MAX_STEP = 2
    MIN_TIME = 3
    MAX_TIME = 4
    LAST_TIME = 5
    COUNT = 6
    NANS = 7
    TERMS = 8
    INTS = 9
    LOW = 0
    HIGH = 1
    LAST = 2
    FLOATS = 3
    # A sum has 2,176 bits and a term takes 53 of them.
    MAX_TERMS = 48


@cython.final
cdef class _Held:
    """A buffer of 8-byte numbers, held while this lives."""

    cdef Py_buffer view
    cdef bint has_buffer
    cdef size_t count

    def __cinit__(self, source, Py_ssize_t expected=-1, Py_ssize_t size=8, bint writable=False):
        PyObject_GetBuffer(source, &self.view, PyBUF_SIMPLE | (PyBUF_WRITABLE if writable else 0))
        self.has_buffer = True
        if self.view.len % size:
            raise ValueError(f"a column has {self.view.len} bytes: not a multiple of {size}")
        self.count = <size_t>(self.view.len // size)
        if expected >= 0 and self.count != <size_t>expected:
            raise ValueError(f"a column has {self.count} numbers where {expected} belong")

    def __dealloc__(self):
        if self.has_buffer:
            PyBuffer_Release(&self.view)


cdef void _start(int64_t* ints, double* floats, size_t cells, size_t cell, int64_t time) noexcept nogil:
    cdef int i
    for i in range(INTS):
        ints[i * cells + cell] = 0
    for i in range(FLOATS):
        floats[i * cells + cell] = 0.0
    ints[MIN_TIME * cells + cell] = ints[MAX_TIME * cells + cell] = time


cdef inline bint _cut(const int64_t* steps, const int64_t* times, size_t i, int step_shift, int time_shift) noexcept nogil:
    return (
        i == 0
        or (steps[i] >> step_shift) != (steps[i - 1] >> step_shift)
        or (time_shift < 64 and (times[i] >> time_shift) != (times[i - 1] >> time_shift))
    )


cdef void _fill_cell(
    const int64_t* steps, const int64_t* times, const double* values, const uint8_t* numeric, size_t begin, size_t end,
    int64_t* ints, double* floats, size_t cells, size_t cell, exact_sum* total,
) noexcept nogil:
    cdef size_t i, last = begin
    cdef int64_t count = 0, nans = 0
    cdef double low = 0, high = 0, value
    ints[ROWS * cells + cell] = <int64_t>(end - begin)
    for i in range(begin, end):
        if not numeric[i]:
            continue
        value = values[i]
        if count == 0:
            ints[MIN_STEP * cells + cell] = steps[i]
            ints[MIN_TIME * cells + cell] = ints[MAX_TIME * cells + cell] = times[i]
        ints[MAX_STEP * cells + cell] = steps[i]
        ints[MIN_TIME * cells + cell] = min(ints[MIN_TIME * cells + cell], times[i])
        ints[MAX_TIME * cells + cell] = max(ints[MAX_TIME * cells + cell], times[i])
        if (
            count == 0
            or steps[i] != steps[last]
            or times[i] != times[last]
            or points_float_order(value) >= points_float_order(values[last])
        ):
            last = i
        if value != value:
            nans += 1
        else:
            if count == nans or value < low:
                low = value
            if count == nans or value > high:
                high = value
            if not isinf(value):
                exact_add(total, value)
        count += 1
    if count:
        ints[LAST_TIME * cells + cell] = times[last]
        floats[LAST * cells + cell] = values[last]
    ints[COUNT * cells + cell], ints[NANS * cells + cell] = count, nans
    floats[LOW * cells + cell], floats[HIGH * cells + cell] = low, high


def cells(steps, times, values, numeric, int step_shift, int time_shift, /):
    """The cells of points in order of step: ``(ints, floats)``, the columns of a table as little-endian bytes, see `INT_COLUMNS`.

    A cell is a longest stretch of points with equal ``step >> step_shift`` and ``time >> time_shift``; shifts are 0 to 63, and a
    ``time_shift`` of 64 does not look at times. ``steps`` and ``times`` are int64, ``values`` float64, ``numeric`` one byte each: points
    whose byte is 0 count as rows only. A cell's sum is without rounding the sum of its ``terms``, infinities left out.
    """
    cdef _Held s = _Held(steps)
    cdef Py_ssize_t count = <Py_ssize_t>s.count
    cdef _Held t = _Held(times, count), v = _Held(values, count), k = _Held(numeric, count, 1)
    cdef const int64_t* step = <const int64_t*>s.view.buf
    cdef const int64_t* time = <const int64_t*>t.view.buf
    cdef const double* value = <const double*>v.view.buf
    cdef const uint8_t* flag = <const uint8_t*>k.view.buf
    cdef int64_t* ints = NULL
    cdef double* floats = NULL
    cdef exact_sum* total = NULL
    cdef size_t made = 0, cell = 0, begin = 0, i, used = 0
    cdef size_t terms
    if not 0 <= step_shift < 64 or not 0 <= time_shift <= 64:
        raise ValueError("a shift is 0 to 63 bits")
    for i in range(<size_t>count):
        made += _cut(step, time, i, step_shift, time_shift)
    try:
        ints = <int64_t*>calloc(made * INTS + 1, 8)
        floats = <double*>calloc(made * (FLOATS + MAX_TERMS) + 1, 8)
        total = <exact_sum*>calloc(1, sizeof(exact_sum))
        if ints is NULL or floats is NULL or total is NULL:
            raise MemoryError("no memory for a table of cells")
        with nogil:
            used = FLOATS * made
            for i in range(1, <size_t>count + 1):
                if i == <size_t>count or _cut(step, time, i, step_shift, time_shift):
                    memset(total, 0, sizeof(exact_sum))
                    _start(ints, floats, made, cell, time[begin])
                    _fill_cell(step, time, value, flag, begin, i, ints, floats, made, cell, total)
                    terms = <size_t>exact_terms(total, floats + used, MAX_TERMS)
                    ints[TERMS * made + cell] = <int64_t>terms
                    used += terms
                    begin = i
                    cell += 1
        return (
            PyBytes_FromStringAndSize(<const char*>ints, <Py_ssize_t>(made * INTS * 8)),
            PyBytes_FromStringAndSize(<const char*>floats, <Py_ssize_t>(used * 8)),
        )
    finally:
        free(ints)
        free(floats)
        free(total)


ctypedef struct bucket:
    int64_t count
    int64_t nans
    double low
    double high
    int64_t last_step
    int64_t last_time
    double last
    exact_sum total


cdef inline void _set_last(bucket* b, int64_t step, int64_t time, double value) noexcept nogil:
    if b.count == 0 or step > b.last_step or (
        step == b.last_step
        and (
            time > b.last_time
            or (time == b.last_time and points_float_order(value) >= points_float_order(b.last))
        )
    ):
        b.last_step, b.last_time, b.last = step, time, value


@cython.final
cdef class Buckets:
    """``count`` buckets of ``width`` from ``start`` on, of which only ``low <= x <= high`` counts; x is a step or a time.

    ValueError unless there are 1 to 2**20 buckets, ``width`` is at least 1 and the range lies within the buckets.
    """

    cdef bucket* buckets
    cdef size_t size
    cdef int64_t start, low, high
    cdef uint64_t width
    cdef bint by_time
    #: The greatest step that counts, whatever the axis: where a fork left a stream.
    cdef public int64_t last_step

    def __cinit__(self, int64_t start, uint64_t width, Py_ssize_t count, int64_t low, int64_t high, bint by_time):
        if not 0 < count <= 1 << 20 or width == 0:
            raise ValueError("there are 1 to 2**20 buckets, of a width of 1 or more")
        if low < start or high < low or (<uint64_t>high - <uint64_t>start) // width >= <uint64_t>count:
            raise ValueError("the range does not lie within the buckets")
        self.start, self.width, self.size, self.low, self.high, self.by_time = start, width, <size_t>count, low, high, by_time
        self.last_step = INT64_MAX
        self.buckets = <bucket*>calloc(<size_t>count, sizeof(bucket))
        if self.buckets is NULL:
            raise MemoryError("no memory for buckets")

    def __dealloc__(self):
        free(self.buckets)

    cdef void _add(self, const int64_t* steps, const int64_t* times, const double* values, const uint8_t* numeric,
                   size_t count) noexcept nogil:
        cdef const int64_t* axis = times if self.by_time else steps
        cdef bucket* b = self.buckets
        cdef size_t i
        # The part of the current bucket that counts, to save a division a point.
        cdef int64_t from_ = 1, to = 0
        cdef double value
        for i in range(count):
            if not numeric[i] or axis[i] < self.low or axis[i] > self.high or steps[i] > self.last_step:
                continue
            if axis[i] < from_ or axis[i] > to:
                b = self._bucket_of(axis[i], &from_, &to)
            value = values[i]
            _set_last(b, steps[i], times[i], value)
            if value != value:
                b.nans += 1
            else:
                if b.count == b.nans or value < b.low:
                    b.low = value
                if b.count == b.nans or value > b.high:
                    b.high = value
                if not isinf(value):
                    exact_add(&b.total, value)
            b.count += 1

    cdef bucket* _bucket_of(self, int64_t x, int64_t* from_, int64_t* to) noexcept nogil:
        cdef uint64_t place = (<uint64_t>x - <uint64_t>self.start) // self.width
        cdef uint64_t begin = <uint64_t>self.start + place * self.width
        from_[0] = <int64_t>begin
        # The last bucket may end beyond 64 bits.
        if self.width - 1 > <uint64_t>self.high - begin:
            to[0] = self.high
        else:
            to[0] = <int64_t>(begin + self.width - 1)
        return &self.buckets[place]

    def add_points(self, steps, times, values, numeric, /):
        """Adds the numeric points within the range, which come in any order; arguments as of `cells`."""
        cdef _Held s = _Held(steps)
        cdef Py_ssize_t count = <Py_ssize_t>s.count
        cdef _Held t = _Held(times, count), v = _Held(values, count), k = _Held(numeric, count, 1)
        with nogil:
            self._add(<const int64_t*>s.view.buf, <const int64_t*>t.view.buf, <const double*>v.view.buf,
                      <const uint8_t*>k.view.buf, s.count)

    cdef int _add_cell(self, const int64_t* ints, const double* floats, const double* terms, size_t cells,
                       size_t cell) noexcept nogil:
        """1 when the cell lies within one bucket and was added, or is of no concern; 0 when its points are needed."""
        cdef int64_t count = ints[COUNT * cells + cell], nans = ints[NANS * cells + cell]
        cdef int64_t low = ints[(MIN_TIME if self.by_time else MIN_STEP) * cells + cell]
        cdef int64_t high = ints[(MAX_TIME if self.by_time else MAX_STEP) * cells + cell]
        cdef int64_t from_ = 0, to = 0, i
        cdef double value
        cdef bucket* b
        if count == 0 or high < self.low or low > self.high or ints[MIN_STEP * cells + cell] > self.last_step:
            return 1
        if low < self.low or high > self.high or ints[MAX_STEP * cells + cell] > self.last_step:
            return 0
        b = self._bucket_of(low, &from_, &to)
        if high > to:
            return 0
        _set_last(b, ints[MAX_STEP * cells + cell], ints[LAST_TIME * cells + cell], floats[LAST * cells + cell])
        if count > nans:
            value = floats[LOW * cells + cell]
            if b.count == b.nans or value < b.low:
                b.low = value
            value = floats[HIGH * cells + cell]
            if b.count == b.nans or value > b.high:
                b.high = value
            for i in range(ints[TERMS * cells + cell]):
                exact_add(&b.total, terms[i])
        b.count += count
        b.nans += nans
        return 1

    def add_cells(self, ints, floats, only, /):
        """Adds the cells of a table that lie within one bucket each; the others are listed: their points are needed.

        ``only`` is None, or ``(first, last)`` rows: cells with no row in it are left out. The answer is a list of
        ``(first row, row after the last)``. ValueError when the columns do not fit together.
        """
        cdef _Held i64 = _Held(ints)
        cdef _Held f64 = _Held(floats)
        cdef const int64_t* whole = <const int64_t*>i64.view.buf
        cdef const double* real = <const double*>f64.view.buf
        cdef size_t count = i64.count // INTS, cell, at = FLOATS * count
        cdef int64_t row = 0, first = 0, last = -1, rows, terms
        cdef list needed = []
        if i64.count % INTS or f64.count < at:
            raise ValueError("these are not the columns of a table of cells")
        if only is not None:
            first, last = only
        for cell in range(count):
            rows, terms = whole[ROWS * count + cell], whole[TERMS * count + cell]
            if rows < 0 or rows > (1 << 40) or terms < 0 or <uint64_t>terms > f64.count - at:
                raise ValueError("these are not the columns of a table of cells")
            if only is None or (row < last and row + rows > first):
                if not self._add_cell(whole, real, real + at, count, cell):
                    needed.append((row, row + rows))
            at += <size_t>terms
            row += rows
        return needed

    def columns(self):
        """(count, nans, low, high, last, mean) of each bucket, as little-endian int64 and float64 bytes; NaN where there is none.

        The mean is the sum, rounded once, divided by the numbers that are not NaN.
        """
        cdef list out = [PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(8 * self.size)) for _ in range(6)]
        cdef int64_t* counts = <int64_t*><char*>out[0]
        cdef int64_t* nans = <int64_t*><char*>out[1]
        cdef double* low = <double*><char*>out[2]
        cdef double* high = <double*><char*>out[3]
        cdef double* last = <double*><char*>out[4]
        cdef double* mean = <double*><char*>out[5]
        cdef size_t i
        cdef bucket* b
        for i in range(self.size):
            b = &self.buckets[i]
            counts[i], nans[i] = b.count, b.nans
            low[i] = high[i] = mean[i] = NAN
            last[i] = b.last if b.count else NAN
            if b.count == b.nans:
                continue
            # Which zero came first says nothing.
            low[i], high[i] = b.low + 0.0, b.high + 0.0
            if isinf(b.low) or isinf(b.high):
                # With both infinities among the numbers the mean is not one.
                mean[i] = b.low + b.high if isinf(b.low) and isinf(b.high) else (b.low if isinf(b.low) else b.high)
            else:
                mean[i] = exact_round(&b.total) / <double>(b.count - b.nans)
        return tuple(out)
