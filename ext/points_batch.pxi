# A checked batch, and what is told of one: its frames, its rows and points, its steps.

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


cdef int _expand(_Batch read, points_frame* frame, int64_t* steps) except -1:
    """Steps, then times, of a frame as plain numbers."""
    cdef size_t row
    with nogil:
        for row in range(frame.rows):
            steps[row] = points_axis_value(read.data, &frame.steps, row)
            steps[frame.rows + row] = points_axis_value(read.data, &frame.times, row)
    return 0
