# What a batch has of each key: counts, extremes, sums, first and last.

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
