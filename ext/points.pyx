# cython: auto_pickle=False, autotestdict=False
"""The points batch: metric points as they travel, are logged and arrive at a store (docs/format/points.md).

Reading trusts nothing: every function that takes a batch checks all of it first. Arguments and ownership are here, the
bounds are in points_format.c.
"""

from operator import index

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItem, PyDict_Next, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_GET_ITEM
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_DecodeUTF8
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

cdef extern from "points_format.h" nogil:
    const int POINTS_HEADER, POINTS_FRAME_HEADER, POINTS_COLUMN_HEADER, POINTS_VERSION
    const int POINTS_MAX_NAME, POINTS_MAX_ROWS, POINTS_MAX_KEYS
    const int POINTS_FLOAT, POINTS_INT, POINTS_OBJECT
    const int AXIS_PLAIN, AXIS_STRIDE, AXIS_OFFSETS
    const int POINTS_NO_MEMORY
    ctypedef struct points_axis:
        uint8_t mode
        size_t at
    ctypedef struct points_frame:
        uint32_t rows
        uint32_t keys
        size_t first_column
        points_axis steps
        points_axis times
    ctypedef struct points_column:
        size_t name
        uint32_t name_length
        uint8_t kind
        size_t data
        size_t length
    ctypedef struct points_batch:
        points_frame* frames
        points_column* columns
        size_t frame_count
        size_t column_count
        size_t at
    uint32_t points_u32(const uint8_t* p)
    int64_t points_i64(const uint8_t* p)
    double points_f64(const uint8_t* p)
    size_t points_padded(size_t length)
    int64_t points_axis_value(const uint8_t* data, const points_axis* axis, size_t row)
    size_t points_axis_size(uint8_t mode, size_t rows)
    int64_t points_float_order(double value)
    int points_msgpack(const uint8_t* p, size_t length)
    int points_parse(const uint8_t* data, size_t length, points_batch* batch)
    void points_free(points_batch* batch)

FLOAT = POINTS_FLOAT
INT = POINTS_INT
OBJECT = POINTS_OBJECT
MAX_NAME = POINTS_MAX_NAME
MAX_ROWS = POINTS_MAX_ROWS
MAX_KEYS = POINTS_MAX_KEYS

cdef tuple WRONG = (
    "",
    "no memory to read the batch",
    "the batch is cut off",
    "this is not a points batch of a version that is known here",
    "a length field is wrong",
    f"a frame has 1 to {POINTS_MAX_ROWS} rows",
    f"a frame has 1 to {POINTS_MAX_KEYS} keys",
    "a reserved field is not zero",
    "the form of a step or time column is unknown",
    "a step or time is beyond 64 bits",
    f"a key is 1 to {POINTS_MAX_NAME} bytes of UTF-8 without NUL",
    "the kind of a column is unknown",
    "a column is not as long as its frame has rows",
    "padding is not zero",
    "the offsets of a column of objects do not rise to its end",
    "an object is not one MessagePack value",
    "there are bytes after the end",
)

cdef enum:
    RELEASE_GIL_FROM = 4096
    # Nested deeper, what is logged is not metrics.
    MAX_NESTING = 32
    # Frames that are tried, last used first, before a row's keys are sorted to look for its frame.
    RECENT = 4

cdef object _pack_object = None
cdef object _unpack_object = None


cdef class _Batch:
    """A checked batch: holds the buffer and the places of its frames and columns."""

    cdef Py_buffer held
    cdef points_batch batch
    cdef const uint8_t* data
    cdef bint has_buffer

    def __cinit__(self, source):
        cdef int error
        cdef size_t length
        PyObject_GetBuffer(source, &self.held, PyBUF_SIMPLE)
        self.has_buffer = True
        self.data = <const uint8_t*>self.held.buf
        length = <size_t>self.held.len
        if length >= RELEASE_GIL_FROM:
            with nogil:
                error = points_parse(self.data, length, &self.batch)
        else:
            error = points_parse(self.data, length, &self.batch)
        if error == POINTS_NO_MEMORY:
            raise MemoryError(WRONG[error])
        if error:
            raise ValueError(f"points batch: {WRONG[error]} (at byte {self.batch.at} of {length})")

    def __dealloc__(self):
        points_free(&self.batch)
        if self.has_buffer:
            PyBuffer_Release(&self.held)

    cdef str name(self, points_column* column):
        return PyUnicode_DecodeUTF8(<const char*>self.data + column.name, column.name_length, NULL)


cdef tuple _axis(points_axis* axis):
    return (axis.mode, axis.at)


def check(batch, /):
    """The frames of a points batch, every byte of which has been checked; ValueError says what is wrong and where.

    A frame is ``(rows, steps, times, columns)``: ``steps`` and ``times`` are ``(mode, offset)`` of the numbers, and a column is
    ``(name, kind, offset, length)`` of its data.
    """
    cdef _Batch read = _Batch(batch)
    cdef points_frame* frame
    cdef points_column* column
    cdef size_t i, k
    cdef list frames = [], columns
    for i in range(read.batch.frame_count):
        frame = &read.batch.frames[i]
        columns = []
        for k in range(frame.keys):
            column = &read.batch.columns[frame.first_column + k]
            columns.append((read.name(column), column.kind, column.data, column.length))
        frames.append((frame.rows, _axis(&frame.steps), _axis(&frame.times), columns))
    return frames


def count(batch, /):
    """(rows, points, least step, greatest step) of a batch, checked as by `check`; steps are 0 when there are no rows."""
    cdef _Batch read = _Batch(batch)
    cdef points_frame* frame
    cdef size_t i, row
    cdef uint64_t rows = 0, points = 0
    cdef int64_t low = INT64_MAX, high = INT64_MIN, step
    with nogil:
        for i in range(read.batch.frame_count):
            frame = &read.batch.frames[i]
            rows += frame.rows
            points += <uint64_t>frame.rows * frame.keys
            for row in range(frame.rows):
                step = points_axis_value(read.data, &frame.steps, row)
                low = min(low, step)
                high = max(high, step)
    if rows == 0:
        low = high = 0
    return rows, points, low, high


# Summaries

ctypedef struct place:
    int64_t step
    int64_t time
    int64_t order
    const uint8_t* at
    size_t length

ctypedef struct totals:
    uint64_t count
    uint64_t nans
    uint64_t counted
    double low
    double high
    double sum
    int64_t int_low
    int64_t int_high
    place first
    place last
    int64_t min_step
    int64_t max_step


cdef bint _before(const place* a, const place* b) noexcept nogil:
    """Whether `a` comes before `b` in the order of (step, time, value)."""
    cdef int found
    if a.step != b.step:
        return a.step < b.step
    if a.time != b.time:
        return a.time < b.time
    if a.length == 8 and b.length == 8 and a.order != b.order:
        return a.order < b.order
    if a.at is NULL or b.at is NULL:
        return False
    found = memcmp(a.at, b.at, min(a.length, b.length))
    return found < 0 or (found == 0 and a.length < b.length)


cdef void _add_floats(totals* t, const uint8_t* p, const int64_t* steps, const int64_t* times, size_t rows) noexcept nogil:
    cdef size_t i
    cdef double value
    cdef place here
    here.at, here.length = NULL, 8
    for i in range(rows):
        value = points_f64(p + 8 * i)
        if value != value:
            t.nans += 1
        else:
            if t.counted == 0 or value < t.low:
                t.low = value
            if t.counted == 0 or value > t.high:
                t.high = value
            t.sum += value
            t.counted += 1
        here.step, here.time, here.order = steps[i], times[i], points_float_order(value)
        _place(t, &here, i)


cdef void _add_ints(totals* t, const uint8_t* p, const int64_t* steps, const int64_t* times, size_t rows) noexcept nogil:
    cdef size_t i
    cdef int64_t value
    cdef place here
    here.at, here.length = NULL, 8
    for i in range(rows):
        value = points_i64(p + 8 * i)
        if t.counted == 0 or value < t.int_low:
            t.int_low = value
        if t.counted == 0 or value > t.int_high:
            t.int_high = value
        t.sum += <double>value
        t.counted += 1
        here.step, here.time, here.order = steps[i], times[i], value
        _place(t, &here, i)


cdef void _add_objects(totals* t, const uint8_t* p, const int64_t* steps, const int64_t* times, size_t rows) noexcept nogil:
    cdef size_t i
    cdef place here
    cdef const uint8_t* bytes = p + 4 * (rows + 1)
    here.order = 0
    for i in range(rows):
        here.at = bytes + points_u32(p + 4 * i)
        here.length = points_u32(p + 4 * (i + 1)) - points_u32(p + 4 * i)
        here.step, here.time = steps[i], times[i]
        _place(t, &here, i)


cdef inline void _place(totals* t, const place* here, size_t i) noexcept nogil:
    if t.count == 0:
        t.first = t.last = here[0]
        t.min_step = t.max_step = here.step
    else:
        if _before(here, &t.first):
            t.first = here[0]
        if not _before(here, &t.last):
            t.last = here[0]
        t.min_step = min(t.min_step, here.step)
        t.max_step = max(t.max_step, here.step)
    t.count += 1


cdef class _Totals:
    cdef totals t
    cdef str name
    cdef int kind


cdef object _value(int kind, const place* p):
    cdef int64_t bits
    cdef double value
    if kind == POINTS_OBJECT:
        return _decode_object(PyBytes_FromStringAndSize(<const char*>p.at, <Py_ssize_t>p.length))
    if kind == POINTS_INT:
        return p.order
    bits = p.order ^ <int64_t>((<uint64_t>(p.order >> 63)) >> 1)
    memcpy(&value, &bits, 8)
    return value


cdef object _summary(_Totals s):
    cdef object low = None, high = None, total = None
    if s.kind != POINTS_OBJECT and s.t.counted:
        low = s.t.low if s.kind == POINTS_FLOAT else s.t.int_low
        high = s.t.high if s.kind == POINTS_FLOAT else s.t.int_high
        total = s.t.sum
    return (
        s.name, s.kind, s.t.count, s.t.nans, low, high, total,
        (s.t.first.step, s.t.first.time, _value(s.kind, &s.t.first)),
        (s.t.last.step, s.t.last.time, _value(s.kind, &s.t.last)),
        s.t.min_step, s.t.max_step,
    )


cdef int _expand(_Batch read, points_frame* frame, int64_t* steps) except -1:
    """Steps, then times, of a frame as plain numbers."""
    cdef size_t row
    with nogil:
        for row in range(frame.rows):
            steps[row] = points_axis_value(read.data, &frame.steps, row)
            steps[frame.rows + row] = points_axis_value(read.data, &frame.times, row)
    return 0


cdef void _add_column(totals* t, int kind, const uint8_t* p, const int64_t* steps, size_t rows) noexcept nogil:
    if kind == POINTS_FLOAT:
        _add_floats(t, p, steps, steps + rows, rows)
    elif kind == POINTS_INT:
        _add_ints(t, p, steps, steps + rows, rows)
    else:
        _add_objects(t, p, steps, steps + rows, rows)


def summaries(batch, /):
    """One summary for each key and kind of value in a batch, in order of appearance.

    ``(name, kind, count, nan_count, min, max, sum, first, last, min_step, max_step)``: ``first`` and ``last`` are the least and
    greatest ``(step, time, value)``, where floats compare in the IEEE 754 total order and objects by their bytes. NaNs are left out
    of min, max and sum, which are None without a number; the sum is in doubles, in the batch's order, so that it is the
    same wherever it is computed. ValueError as `check`.
    """
    cdef _Batch read = _Batch(batch)
    cdef points_frame* frame
    cdef points_column* column
    cdef int64_t* steps = NULL
    cdef int64_t* grown
    cdef size_t i, k, room = 0
    cdef dict found = {}
    cdef _Totals s
    try:
        for i in range(read.batch.frame_count):
            frame = &read.batch.frames[i]
            if frame.rows > room:
                grown = <int64_t*>realloc(steps, <size_t>frame.rows * 16)
                if grown is NULL:
                    raise MemoryError("no memory to summarise a batch")
                steps, room = grown, frame.rows
            _expand(read, frame, steps)
            for k in range(frame.keys):
                column = &read.batch.columns[frame.first_column + k]
                name = read.name(column)
                s = found.get((name, column.kind))
                if s is None:
                    s = found[(name, column.kind)] = _Totals.__new__(_Totals)
                    s.name, s.kind = name, column.kind
                with nogil:
                    _add_column(&s.t, column.kind, read.data + column.data, steps, frame.rows)
    finally:
        free(steps)
    return [_summary(s) for s in found.values()]


# Decoding

cdef object _decode_object(bytes packed):
    global _unpack_object
    if _unpack_object is None:
        import msgspec

        _unpack_object = msgspec.msgpack.Decoder().decode
    return _unpack_object(packed)


cdef object _decode_axis(_Batch read, object source, points_axis* axis, size_t rows, object numpy):
    if axis.mode == AXIS_PLAIN:
        return numpy.frombuffer(source, numpy.dtype("<i8"), rows, axis.at)
    base = points_i64(read.data + axis.at)
    if axis.mode == AXIS_STRIDE:
        return base + points_i64(read.data + axis.at + 8) * numpy.arange(rows, dtype=numpy.int64)
    return base + numpy.frombuffer(source, numpy.dtype("<u4"), rows, axis.at + 8).astype(numpy.int64)


def decode(batch, /):
    """The frames of a batch as numpy arrays: a list of ``(steps, times, columns)``, a column being ``(name, kind, values)``.


    Steps, times and ints are int64, floats float64; objects are ``(offsets, bytes)``: row i is the MessagePack value
    ``bytes[offsets[i]:offsets[i + 1]]``. Arrays share the memory of ``batch`` where the format allows. ValueError as `check`.
    """
    import numpy

    cdef _Batch read = _Batch(batch)
    cdef points_frame* frame
    cdef points_column* column
    cdef size_t i, k, table
    cdef list frames = [], columns
    view = memoryview(batch).cast("B")
    for i in range(read.batch.frame_count):
        frame = &read.batch.frames[i]
        columns = []
        for k in range(frame.keys):
            column = &read.batch.columns[frame.first_column + k]
            if column.kind == POINTS_OBJECT:
                table = 4 * (<size_t>frame.rows + 1)
                values = (
                    numpy.frombuffer(view, numpy.dtype("<u4"), frame.rows + 1, column.data),
                    view[column.data + table : column.data + column.length],
                )
            else:
                kind = numpy.dtype("<f8" if column.kind == POINTS_FLOAT else "<i8")
                values = numpy.frombuffer(view, kind, frame.rows, column.data)
            columns.append((read.name(column), column.kind, values))
        frames.append((
            _decode_axis(read, view, &frame.steps, frame.rows, numpy),
            _decode_axis(read, view, &frame.times, frame.rows, numpy),
            columns,
        ))
    return frames


@cython.final
cdef class _Gathered:
    """The points of one key as they gather: steps, times, the values' 64 bits and their kinds, and the objects."""

    cdef int64_t* numbers[3]
    cdef uint8_t* kinds
    cdef size_t count, room
    cdef list objects

    def __cinit__(self):
        self.objects = []

    def __dealloc__(self):
        free(self.numbers[0])
        free(self.numbers[1])
        free(self.numbers[2])
        free(self.kinds)

    cdef int reserve(self, size_t more) except -1:
        cdef size_t room = max(self.count + more, 2 * self.room)
        cdef void* grown
        cdef int i
        if self.count + more <= self.room:
            return 0
        for i in range(3):
            grown = realloc(self.numbers[i], room * 8)
            if grown is NULL:
                raise MemoryError("no memory to gather points")
            self.numbers[i] = <int64_t*>grown
        grown = realloc(self.kinds, room)
        if grown is NULL:
            raise MemoryError("no memory to gather points")
        self.kinds = <uint8_t*>grown
        self.room = room
        return 0

    cdef int add(self, const uint8_t* p, points_column* column, const int64_t* steps, size_t rows) except -1:
        cdef size_t i
        cdef int64_t* bits
        self.reserve(rows)
        memcpy(self.numbers[0] + self.count, steps, 8 * rows)
        memcpy(self.numbers[1] + self.count, steps + rows, 8 * rows)
        memset(self.kinds + self.count, column.kind, rows)
        bits = self.numbers[2] + self.count
        if column.kind != POINTS_OBJECT:
            memcpy(bits, p, 8 * rows)
        else:
            for i in range(rows):
                bits[i] = <int64_t>len(self.objects)
                self.objects.append(PyBytes_FromStringAndSize(
                    <const char*>p + 4 * (rows + 1) + points_u32(p + 4 * i),
                    <Py_ssize_t>(points_u32(p + 4 * (i + 1)) - points_u32(p + 4 * i)),
                ))
        self.count += rows
        return 0

    cdef tuple columns(self):
        cdef Py_ssize_t size = <Py_ssize_t>self.count
        return (
            PyBytes_FromStringAndSize(<const char*>self.numbers[0], 8 * size),
            PyBytes_FromStringAndSize(<const char*>self.numbers[1], 8 * size),
            PyBytes_FromStringAndSize(<const char*>self.kinds, size),
            PyBytes_FromStringAndSize(<const char*>self.numbers[2], 8 * size),
            self.objects,
        )


def gather(batches, resolve, /):
    """The points of many batches by key: ``{id: (steps, times, kinds, bits, objects)}``, in the order of the batches.

    ``resolve(name)`` is asked once for each name and answers the id of a key, or None to leave it out. Steps, times and bits are
    little-endian 64-bit columns as bytes, kinds one byte each; the bits are a float's, an int, or for the n-th object n, whose MessagePack is
    ``objects[n]``. ValueError as `check`, for the first batch that is not one.
    """
    cdef dict ids = {}, found = {}
    cdef _Batch read
    cdef points_frame* frame
    cdef points_column* column
    cdef _Gathered into
    cdef int64_t* steps = NULL
    cdef int64_t* grown
    cdef size_t i, k, room = 0
    cdef bint expanded
    try:
        for batch in batches:
            read = _Batch(batch)
            for i in range(read.batch.frame_count):
                frame = &read.batch.frames[i]
                expanded = False
                for k in range(frame.keys):
                    column = &read.batch.columns[frame.first_column + k]
                    name = read.name(column)
                    if name in ids:
                        number = ids[name]
                    else:
                        number = ids[name] = resolve(name)
                    if number is None:
                        continue
                    if not expanded:
                        if frame.rows > room:
                            grown = <int64_t*>realloc(steps, <size_t>frame.rows * 16)
                            if grown is NULL:
                                raise MemoryError("no memory to gather points")
                            steps, room = grown, frame.rows
                        _expand(read, frame, steps)
                        expanded = True
                    into = found.get(number)
                    if into is None:
                        into = found[number] = _Gathered.__new__(_Gathered)
                    into.add(read.data + column.data, column, steps, frame.rows)
    finally:
        free(steps)
    return {number: (<_Gathered>into).columns() for number, into in found.items()}


cdef list _column_values(_Batch read, points_column* column, size_t rows):
    cdef const uint8_t* p = read.data + column.data
    cdef const char* bytes = <const char*>p + 4 * (rows + 1)
    cdef size_t i
    if column.kind == POINTS_FLOAT:
        return [points_f64(p + 8 * i) for i in range(rows)]
    if column.kind == POINTS_INT:
        return [points_i64(p + 8 * i) for i in range(rows)]
    return [
        _decode_object(PyBytes_FromStringAndSize(
            bytes + points_u32(p + 4 * i), <Py_ssize_t>(points_u32(p + 4 * (i + 1)) - points_u32(p + 4 * i))
        ))
        for i in range(rows)
    ]


def decode_rows(batch, /):
    """The rows of a batch, frame by frame: a list of ``(step, time, {name: value})``. ValueError as `check`.

    A key that a frame names twice has its last value.
    """
    cdef _Batch read = _Batch(batch)
    cdef points_frame* frame
    cdef points_column* column
    cdef size_t i, k, row
    cdef list rows = [], frame_rows, values
    for i in range(read.batch.frame_count):
        frame = &read.batch.frames[i]
        frame_rows = [
            (points_axis_value(read.data, &frame.steps, row), points_axis_value(read.data, &frame.times, row), {})
            for row in range(frame.rows)
        ]
        for k in range(frame.keys):
            column = &read.batch.columns[frame.first_column + k]
            name = read.name(column)
            values = _column_values(read, column, frame.rows)
            for row in range(frame.rows):
                (<dict>(<tuple>frame_rows[row])[2])[name] = values[row]
        rows += frame_rows
    return rows


# Encoding

cdef void _put_u32(uint8_t* p, uint32_t value) noexcept nogil:
    memcpy(p, &value, 4)


cdef uint8_t _choose_axis(const int64_t* values, size_t rows, int64_t* base, int64_t* stride) noexcept nogil:
    """The shortest form for a step or time column, with its base and stride."""
    cdef size_t i
    cdef int64_t low = values[0], high = values[0]
    cdef uint64_t step = 0
    cdef bint regular = True
    if rows > 1:
        step = <uint64_t>values[1] - <uint64_t>values[0]
    for i in range(1, rows):
        # A difference that went beyond 64 bits has the wrong sign.
        regular = (
            regular
            and <uint64_t>values[i] - <uint64_t>values[i - 1] == step
            and (values[i] < values[i - 1]) == (<int64_t>step < 0)
        )
        low = min(low, values[i])
        high = max(high, values[i])
    base[0], stride[0] = values[0], <int64_t>step
    if regular and rows > 1:
        return AXIS_STRIDE
    base[0] = low
    return AXIS_OFFSETS if rows > 1 and <uint64_t>high - <uint64_t>low < (<uint64_t>1 << 32) else AXIS_PLAIN


cdef uint8_t* _put_axis(uint8_t* p, uint8_t mode, const int64_t* values, size_t rows, int64_t base, int64_t stride) noexcept nogil:
    cdef size_t i
    if mode == AXIS_PLAIN:
        memcpy(p, values, 8 * rows)
    elif mode == AXIS_STRIDE:
        memcpy(p, &base, 8)
        memcpy(p + 8, &stride, 8)
    else:
        memcpy(p, &base, 8)
        for i in range(rows):
            _put_u32(p + 8 + 4 * i, <uint32_t>(<uint64_t>values[i] - <uint64_t>base))
    return p + points_axis_size(mode, rows)


cdef bytes _name_bytes(str name):
    cdef bytes encoded
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the key {name!r} is not valid text") from None
    if not 0 < PyBytes_GET_SIZE(encoded) <= POINTS_MAX_NAME or b"\0" in encoded:
        raise ValueError(f"a key is 1 to {POINTS_MAX_NAME} bytes of UTF-8 without NUL: {name[:80]!r}")
    return encoded


cdef bytes _frame(const int64_t* steps, const int64_t* times, size_t rows, list columns):
    """A frame: `columns` are (name bytes, kind, data bytes), the data as they will lie, without padding."""
    cdef int64_t bases[2]
    cdef int64_t strides[2]
    cdef uint8_t modes[2]
    cdef uint8_t* p
    cdef bytes name, data, frame
    cdef size_t size
    modes[0] = _choose_axis(steps, rows, &bases[0], &strides[0])
    modes[1] = _choose_axis(times, rows, &bases[1], &strides[1])
    size = POINTS_FRAME_HEADER + points_axis_size(modes[0], rows) + points_axis_size(modes[1], rows)
    for name, kind, data in columns:
        size += POINTS_COLUMN_HEADER + points_padded(PyBytes_GET_SIZE(name)) + points_padded(PyBytes_GET_SIZE(data))
    if size > 0xFFFFFFFF:
        raise ValueError("a frame would be over 4 GiB; split the batch")
    frame = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    p = <uint8_t*>PyBytes_AS_STRING(frame)
    memset(p, 0, size)
    _put_u32(p, <uint32_t>size)
    _put_u32(p + 4, <uint32_t>rows)
    _put_u32(p + 8, <uint32_t>len(columns))
    p[12], p[13] = modes[0], modes[1]
    p = _put_axis(p + POINTS_FRAME_HEADER, modes[0], steps, rows, bases[0], strides[0])
    p = _put_axis(p, modes[1], times, rows, bases[1], strides[1])
    for name, kind, data in columns:
        _put_u32(p, <uint32_t>PyBytes_GET_SIZE(name))
        p[2] = kind
        _put_u32(p + 4, <uint32_t>PyBytes_GET_SIZE(data))
        p += POINTS_COLUMN_HEADER
        memcpy(p, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        p += points_padded(PyBytes_GET_SIZE(name))
        memcpy(p, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        p += points_padded(PyBytes_GET_SIZE(data))
    return frame


cdef bytes _join(list frames):
    cdef bytes header = PyBytes_FromStringAndSize(NULL, POINTS_HEADER)
    cdef uint8_t* p = <uint8_t*>PyBytes_AS_STRING(header)
    cdef size_t size = POINTS_HEADER
    for frame in frames:
        size += <size_t>len(frame)
    if size > 0xFFFFFFFF:
        raise ValueError("a batch would be over 4 GiB; split it")
    memset(p, 0, POINTS_HEADER)
    memcpy(p, b"RSPB", 4)
    p[4] = POINTS_VERSION
    _put_u32(p + 8, <uint32_t>len(frames))
    _put_u32(p + 12, <uint32_t>size)
    return header + b"".join(frames)


cdef bytes _object_column(list packed):
    """Offsets, then the MessagePack values one after the other."""
    cdef bytes table = PyBytes_FromStringAndSize(NULL, 4 * (len(packed) + 1))
    cdef uint8_t* p = <uint8_t*>PyBytes_AS_STRING(table)
    cdef size_t at = 0
    _put_u32(p, 0)
    for value in packed:
        at += <size_t>len(value)
        if at > 0xFFFFFFFF:
            raise ValueError("a column of objects would be over 4 GiB; split the batch")
        p += 4
        _put_u32(p, <uint32_t>at)
    return table + b"".join(packed)


def _from_array(value):
    """What an array or scalar of another library is made of, for the MessagePack encoder."""
    for method in ("item", "tolist"):
        if hasattr(value, method):
            try:
                return getattr(value, method)()
            except (ValueError, RuntimeError, TypeError):
                continue
    raise TypeError(f"a {type(value).__name__} cannot be logged")


cdef bytes _pack(object value, str name):
    global _pack_object
    cdef bytes packed
    if _pack_object is None:
        import msgspec

        _pack_object = msgspec.msgpack.Encoder(enc_hook=_from_array).encode
    try:
        packed = _pack_object(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from None
    if not points_msgpack(<const uint8_t*>PyBytes_AS_STRING(packed), <size_t>PyBytes_GET_SIZE(packed)):
        raise ValueError(f"{name}: a {type(value).__name__} cannot be logged: no times, and maps have text keys")
    return packed


cdef tuple _classify(object value, str name):
    """(kind, value) as it is logged: a float, an int of 64 bits, or packed bytes."""
    cdef int overflow = 0
    cdef long long number
    if PyFloat_CheckExact(value):
        return POINTS_FLOAT, value
    if isinstance(value, float):
        return POINTS_FLOAT, float(value)
    if isinstance(value, bool) or value is None or isinstance(value, (str, bytes, list, tuple, dict)):
        return POINTS_OBJECT, _pack(value, name)
    if isinstance(value, int):
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if not overflow:
            return POINTS_INT, number
        # MessagePack ends at 64 bits; the digits are exact.
        return POINTS_OBJECT, _pack(value if 0 <= value < 1 << 64 else str(int(value)), name)
    if hasattr(value, "item"):
        try:
            single = value.item()
        except (ValueError, RuntimeError, TypeError):
            return POINTS_OBJECT, _pack(value, name)
        if type(single) is type(value):
            raise ValueError(f"{name}: a {type(value).__name__} cannot be logged")
        return _classify(single, name)
    for method in ("__index__", "__float__"):
        if hasattr(value, method):
            try:
                return _classify(getattr(value, method)(), name)
            except TypeError:
                continue
    return POINTS_OBJECT, _pack(value, name)


cdef int _flatten(dict row, str prefix, dict out, int depth) except -1:
    if depth > MAX_NESTING:
        raise ValueError(f"{prefix[:80]!r}: dictionaries are nested more than {MAX_NESTING} deep")
    for name, value in row.items():
        if not isinstance(name, str):
            raise ValueError(f"a key is text, not {type(name).__name__}: {name!r}")
        whole = prefix + name if prefix else str(name)
        if isinstance(value, dict) and value and "_type" not in value and all([isinstance(k, str) for k in value]):
            _flatten(dict(value), whole + ".", out, depth + 1)
        else:
            out[whole] = value
    return 0


@cython.final
cdef class _Builder:
    """Rows with one set of keys and kinds: cells of 8 bytes, row after row; a cell of an object is its place in a list."""

    cdef uint64_t* cells
    cdef int64_t* steps
    cdef int64_t* times
    cdef uint8_t* kinds
    cdef size_t rows, room, width
    cdef list names, encoded, objects
    cdef dict places

    def __cinit__(self, dict classified):
        cdef size_t place = 0
        self.width = <size_t>len(classified)
        if self.width > POINTS_MAX_KEYS:
            raise ValueError(f"a row has {self.width} keys and the limit is {POINTS_MAX_KEYS}")
        self.names, self.objects, self.places = list(classified), [], None
        self.encoded = [_name_bytes(name) for name in self.names]
        self.kinds = <uint8_t*>malloc(self.width)
        if self.kinds is NULL:
            raise MemoryError("no memory for a batch")
        for kind, _ in classified.values():
            self.kinds[place] = kind
            place += 1

    def __dealloc__(self):
        free(self.kinds)
        free(self.cells)
        free(self.steps)
        free(self.times)

    cdef int reserve(self) except -1:
        cdef size_t room
        cdef void* grown
        if self.rows < self.room:
            return 0
        if self.rows >= POINTS_MAX_ROWS:
            raise ValueError(f"over {POINTS_MAX_ROWS} rows in one batch; split it")
        room = 2 * self.room if self.room else 16
        grown = realloc(self.cells, room * self.width * 8)
        if grown is NULL:
            raise MemoryError("no memory for a batch")
        self.cells = <uint64_t*>grown
        grown = realloc(self.steps, room * 8)
        if grown is NULL:
            raise MemoryError("no memory for a batch")
        self.steps = <int64_t*>grown
        grown = realloc(self.times, room * 8)
        if grown is NULL:
            raise MemoryError("no memory for a batch")
        self.times = <int64_t*>grown
        self.room = room
        return 0

    cdef int take_plain(self, dict row) except -1:
        """Writes a row of exact floats and ints whose keys come in the builder's order; 0 when it is not one."""
        cdef PyObject* name = NULL
        cdef PyObject* value = NULL
        cdef PyObject* expected
        cdef Py_ssize_t position = 0
        cdef size_t place = 0
        cdef int overflow = 0
        cdef long long number
        cdef uint64_t* cell
        if <size_t>PyDict_Size(row) != self.width:
            return 0
        self.reserve()
        cell = self.cells + self.rows * self.width
        while PyDict_Next(row, &position, &name, &value):
            if place >= self.width:
                return 0
            expected = PyList_GET_ITEM(self.names, <Py_ssize_t>place)
            if name != expected and not (PyUnicode_CheckExact(<object>name) and <str>name == <str>expected):
                return 0
            if self.kinds[place] == POINTS_FLOAT and PyFloat_CheckExact(<object>value):
                (<double*>cell)[place] = PyFloat_AS_DOUBLE(<object>value)
            elif self.kinds[place] == POINTS_INT and PyLong_CheckExact(<object>value):
                number = PyLong_AsLongLongAndOverflow(<object>value, &overflow)
                if overflow:
                    return 0
                cell[place] = <uint64_t>number
            else:
                return 0
            place += 1
        return place == self.width

    cdef int take(self, dict row) except -1:
        """Writes a row of (kind, value) pairs by name."""
        cdef uint64_t* cell
        cdef double real
        cdef int64_t number
        cdef size_t place
        self.reserve()
        cell = self.cells + self.rows * self.width
        if self.places is None:
            self.places = {name: place for place, name in enumerate(self.names)}
        for name, (kind, value) in row.items():
            place = self.places[name]
            if kind == POINTS_FLOAT:
                real = value
                memcpy(cell + place, &real, 8)
            elif kind == POINTS_INT:
                number = value
                memcpy(cell + place, &number, 8)
            else:
                cell[place] = <uint64_t>len(self.objects)
                self.objects.append(value)
        return 0

    cdef void seal(self, int64_t step, int64_t time):
        self.steps[self.rows] = step
        self.times[self.rows] = time
        self.rows += 1

    cdef bytes column(self, size_t place):
        cdef bytes data
        cdef uint64_t* out
        cdef size_t row
        if self.kinds[place] == POINTS_OBJECT:
            return _object_column([self.objects[self.cells[row * self.width + place]] for row in range(self.rows)])
        data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(8 * self.rows))
        out = <uint64_t*>PyBytes_AS_STRING(data)
        for row in range(self.rows):
            out[row] = self.cells[row * self.width + place]
        return data

    cdef bytes frame(self):
        cdef size_t place
        columns = [(self.encoded[place], self.kinds[place], self.column(place)) for place in range(self.width)]
        return _frame(self.steps, self.times, self.rows, columns)


cdef _Builder _builder_of(dict classified, dict builders):
    signature = frozenset([(name, pair[0]) for name, pair in classified.items()])
    builder = builders.get(signature)
    if builder is None:
        builder = builders[signature] = _Builder(classified)
    return builder


cdef _Builder _take_row(dict row, dict builders):
    """Writes any row into the builder of its keys and kinds, which is returned; None for a row without keys."""
    cdef dict flat = {}
    cdef _Builder builder
    _flatten(row, "", flat, 0)
    if not flat:
        return None
    classified = {name: _classify(value, name) for name, value in flat.items()}
    builder = _builder_of(classified, builders)
    builder.take(classified)
    return builder


def encode_rows(list rows not None, /):
    """A points batch of rows ``(step, time in microseconds, {key: value})``; rows with the same keys and kinds share a frame.

    Floats, ints of 64 bits and what offers ``item()``, ``__index__`` or ``__float__`` (numpy, JAX and PyTorch scalars) are
    numbers; other ints, bools, text, None, lists and dictionaries are objects. A dictionary with text keys and no ``_type`` is
    flattened: ``{"a": {"b": 1}}`` is the key ``a.b``. A row without keys is left out. ValueError names what cannot be logged.
    """
    cdef dict builders = {}
    cdef list recent = []
    cdef _Builder builder
    cdef int64_t step, time
    cdef dict row
    cdef Py_ssize_t i
    for entry in rows:
        try:
            step_given, time_given, row = entry
            step = step_given if PyLong_CheckExact(step_given) else index(step_given)
            time = time_given if PyLong_CheckExact(time_given) else index(time_given)
            if row is None:
                raise TypeError("there is no dict")
        except (TypeError, OverflowError) as error:
            raise ValueError(f"a row is (step, time, dict) with a step and a time of 64 bits: {error}") from None
        builder = None
        for i in range(len(recent)):
            if (<_Builder>recent[i]).take_plain(row):
                builder = <_Builder>recent[i]
                break
        else:
            builder = _take_row(row, builders)
            if builder is None:
                continue
        builder.seal(step, time)
        if not recent or recent[0] is not builder:
            if builder in recent:
                recent.remove(builder)
            recent.insert(0, builder)
            del recent[RECENT:]
    return _join([(<_Builder>b).frame() for b in builders.values()])


cdef long long _whole(PyObject* found, long long low, long long high, bint* plain) except? -1:
    """An exact int within bounds; what is none is not plain."""
    cdef int overflow = 0
    cdef long long number = 0
    if not PyLong_CheckExact(<object>found):
        plain[0] = False
        return 0
    number = PyLong_AsLongLongAndOverflow(<object>found, &overflow)
    if overflow or number < low or number > high:
        plain[0] = False
    return number


def encode_entries(list entries not None, tuple fields not None, int64_t latest, int64_t scale, /):
    """A points batch of dictionaries that are a point each, and the keys in it; None as soon as one is not plain.

    ``fields`` are what a dictionary calls its key, value, time and step, and a field of which it must have nothing. Plain are a key of text,
    a value that is a float or int, a time from 0 to ``latest``, counted in ``scale`` microseconds, and a step of 64 bits, 0 when there is none.
    All values become floats. ValueError for a key that cannot be one.
    """
    key, value, time, step, without = fields
    cdef dict builders = {}
    cdef dict entry
    cdef PyObject* found
    cdef PyObject* name
    cdef _Builder builder
    cdef int64_t counted, moment
    cdef double real
    cdef bint plain = True
    if not 0 <= latest <= INT64_MAX // max(scale, 1):
        raise ValueError("the latest time is beyond 64 bits")
    for given in entries:
        if not PyDict_CheckExact(given):
            return None
        entry = <dict>given
        name = PyDict_GetItem(entry, key)
        if name is NULL or not PyUnicode_CheckExact(<object>name) or not <object>name:
            return None
        found = PyDict_GetItem(entry, value)
        if found is NULL:
            return None
        if PyFloat_CheckExact(<object>found):
            real = PyFloat_AS_DOUBLE(<object>found)
        elif PyLong_CheckExact(<object>found):
            try:
                real = float(<object>found)
            except OverflowError:
                return None
        else:
            return None
        found = PyDict_GetItem(entry, time)
        if found is NULL:
            return None
        moment = _whole(found, 0, latest, &plain)
        found = PyDict_GetItem(entry, step)
        counted = 0 if found is NULL else _whole(found, INT64_MIN, INT64_MAX, &plain)
        found = PyDict_GetItem(entry, without)
        if not plain or (found is not NULL and <object>found):
            return None
        builder = builders.get(<object>name)
        if builder is None:
            builder = builders[<object>name] = _Builder({<object>name: (POINTS_FLOAT, None)})
        builder.reserve()
        (<double*>builder.cells)[builder.rows] = real
        builder.seal(counted, moment * scale)
    return _join([(<_Builder>each).frame() for each in builders.values()]), list(builders)


ctypedef fused number:
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    uint32_t
    uint64_t
    float


cdef int _widen(const number* source, size_t count, uint8_t* out) except -1:
    cdef size_t i
    cdef int64_t whole
    cdef double real
    cdef bint wide = False
    with nogil:
        for i in range(count):
            if number is float:
                real = source[i]
                memcpy(out + 8 * i, &real, 8)
            else:
                if number is uint64_t:
                    wide = wide or source[i] > <uint64_t>INT64_MAX
                whole = <int64_t>source[i]
                memcpy(out + 8 * i, &whole, 8)
    if wide:
        raise ValueError("an unsigned number is beyond 63 bits; log it as an object")
    return 0


cdef bytes _numbers(object source, size_t rows, int* kind):
    """The numbers of a buffer as 8-byte ints or floats."""
    cdef Py_buffer held
    cdef bytes data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(8 * rows))
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(data)
    view = memoryview(source)
    if view.ndim != 1 or view.shape[0] != <Py_ssize_t>rows:
        raise ValueError(f"a column has {view.shape} values and there are {rows} rows")
    code = view.format.lstrip("@=<")
    if code not in ("b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "f", "d"):
        raise ValueError(f"a column of format {view.format!r} is neither whole nor real numbers")
    if rows == 0:
        kind[0] = POINTS_FLOAT if code in ("f", "d") else POINTS_INT
        return data
    flat = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    PyObject_GetBuffer(flat, &held, PyBUF_SIMPLE)
    try:
        kind[0] = POINTS_FLOAT if code in ("f", "d") else POINTS_INT
        if code in ("d", "q") or (code == "l" and view.itemsize == 8):
            memcpy(out, held.buf, 8 * rows)
        elif code == "f":
            _widen[float](<const float*>held.buf, rows, out)
        elif code == "b":
            _widen[int8_t](<const int8_t*>held.buf, rows, out)
        elif code == "B":
            _widen[uint8_t](<const uint8_t*>held.buf, rows, out)
        elif code == "h":
            _widen[int16_t](<const int16_t*>held.buf, rows, out)
        elif code == "H":
            _widen[uint16_t](<const uint16_t*>held.buf, rows, out)
        elif code == "i" or code == "l":
            _widen[int32_t](<const int32_t*>held.buf, rows, out)
        elif code == "I" or (code == "L" and view.itemsize == 4):
            _widen[uint32_t](<const uint32_t*>held.buf, rows, out)
        else:
            _widen[uint64_t](<const uint64_t*>held.buf, rows, out)
    finally:
        PyBuffer_Release(&held)
    return data


cdef bytes _range_numbers(object source, size_t rows):
    cdef bytes data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(8 * rows))
    cdef int64_t* out = <int64_t*>PyBytes_AS_STRING(data)
    cdef int64_t first, last, step
    cdef size_t i
    if len(source) != <Py_ssize_t>rows:
        raise ValueError("steps and times have one entry for each row")
    try:
        first, last, step = source[0], source[len(source) - 1], source.step if rows > 1 else 0
    except OverflowError:
        raise ValueError("a step or time is beyond 64 bits") from None
    for i in range(rows):
        out[i] = <int64_t>(<uint64_t>first + i * <uint64_t>step)
    return data


cdef bytes _axis_numbers(object source, size_t rows):
    cdef int kind = 0
    cdef bytes data
    if isinstance(source, range):
        return _range_numbers(source, rows)
    data = _numbers(source, rows, &kind)
    if kind != POINTS_INT:
        raise ValueError("steps and times are whole numbers")
    return data


def encode_columns(steps, times, columns, /):
    """A points batch of one frame from columns: no value passes through Python.

    ``steps`` and ``times`` (microseconds) are one-dimensional buffers of ints, or a ``range``; ``columns`` maps keys to
    one-dimensional buffers of ints or floats, or to lists of objects, all of the same length. ValueError when they do not fit.
    """
    cdef size_t rows = <size_t>len(steps)
    cdef bytes step_data, time_data, data
    cdef list laid = []
    cdef int kind = 0
    if rows == 0 or not columns:
        return _join([])
    if rows > POINTS_MAX_ROWS or <size_t>len(columns) > POINTS_MAX_KEYS:
        raise ValueError(f"a frame has at most {POINTS_MAX_ROWS} rows and {POINTS_MAX_KEYS} keys; split it")
    step_data, time_data = _axis_numbers(steps, rows), _axis_numbers(times, rows)
    for name, values in columns.items():
        if isinstance(values, list):
            if <size_t>len(values) != rows:
                raise ValueError(f"{name}: {len(values)} values for {rows} rows")
            laid.append((_name_bytes(name), POINTS_OBJECT, _object_column([_pack(value, name) for value in values])))
        else:
            data = _numbers(values, rows, &kind)
            laid.append((_name_bytes(name), kind, data))
    return _join([_frame(<const int64_t*>PyBytes_AS_STRING(step_data), <const int64_t*>PyBytes_AS_STRING(time_data), rows, laid)])
