# A batch as arrays, and as rows.

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
