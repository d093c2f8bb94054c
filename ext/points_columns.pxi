# A batch from columns: buffers of numbers, ranges, and lists of objects.

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
