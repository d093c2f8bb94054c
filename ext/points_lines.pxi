# A batch from lines of JSON.

cdef extern from "points_lines.h" nogil:
    const int LINES_PLAIN, LINES_NO_MEMORY
    ctypedef struct lines_name:
        size_t at
        uint32_t length
    ctypedef struct lines_frame:
        uint32_t width
        size_t rows
        uint32_t* names
        uint8_t* kinds
        uint64_t* cells
        int64_t* steps
        int64_t* times
    ctypedef struct lines_reader:
        lines_name* names
        lines_frame* frames
        size_t frame_count
        uint8_t* texts
        const char* step_name
        const char* time_name
        size_t step_length
        size_t time_length
        uint64_t seed
    int lines_read(lines_reader* reader, const char* text, size_t length, int64_t step, int64_t time)
    void lines_free(lines_reader* reader)


@cython.final
cdef class _Lines:
    """Where lines lie, which of them have been taken, and the reader that took them."""

    cdef lines_reader reader
    cdef const char** texts
    cdef Py_ssize_t* lengths
    cdef uint8_t* other
    cdef Py_ssize_t count
    cdef bytes step, time

    def __cinit__(self, Py_ssize_t count, bytes step, bytes time):
        self.count = count
        self.texts = <const char**>malloc(max(count, 1) * sizeof(char*))
        self.lengths = <Py_ssize_t*>malloc(max(count, 1) * sizeof(Py_ssize_t))
        self.other = <uint8_t*>malloc(max(count, 1))
        if self.texts is NULL or self.lengths is NULL or self.other is NULL:
            raise MemoryError("no memory for lines")
        self.step, self.time = step, time
        self.reader.seed = <uint64_t>hash(b"the seed of lines")  # of this process
        self.reader.step_name, self.reader.step_length = PyBytes_AS_STRING(step), <size_t>PyBytes_GET_SIZE(step)
        self.reader.time_name, self.reader.time_length = PyBytes_AS_STRING(time), <size_t>PyBytes_GET_SIZE(time)

    def __dealloc__(self):
        lines_free(&self.reader)
        free(self.texts)
        free(self.lengths)
        free(self.other)

    cdef int read(self, list lines, int64_t first, int64_t now) except -1:
        cdef Py_ssize_t i
        cdef int outcome = LINES_PLAIN
        for i in range(self.count):
            try:
                self.texts[i] = PyUnicode_AsUTF8AndSize(lines[i], &self.lengths[i])
            except UnicodeEncodeError:  # half a surrogate pair: not plain
                self.texts[i], self.lengths[i] = b"", 0
        with nogil:
            for i in range(self.count):
                outcome = lines_read(&self.reader, self.texts[i], <size_t>self.lengths[i], first + i, now)
                self.other[i] = outcome != LINES_PLAIN
                if outcome == LINES_NO_MEMORY:
                    break
        if outcome == LINES_NO_MEMORY:
            raise MemoryError("no memory for lines")
        return 0

    cdef bytes frame(self, lines_frame* frame):
        cdef bytes data
        cdef uint64_t* out
        cdef lines_name* name
        cdef list columns = []
        cdef size_t place, row
        if frame.rows > <size_t>POINTS_MAX_ROWS:
            raise ValueError(f"over {POINTS_MAX_ROWS} rows in one batch; split it")
        for place in range(frame.width):
            name = &self.reader.names[frame.names[place]]
            data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(8 * frame.rows))
            out = <uint64_t*>PyBytes_AS_STRING(data)
            for row in range(frame.rows):
                out[row] = frame.cells[row * frame.width + place]
            encoded = PyBytes_FromStringAndSize(<const char*>self.reader.texts + name.at, <Py_ssize_t>name.length)
            columns.append((encoded, frame.kinds[place], data))
        return _frame(frame.steps, frame.times, frame.rows, columns)


def encode_lines(list lines not None, int64_t first, int64_t now, fields, other, /):
    """A points batch of lines of JSON that are a row each, and the lines of which it has none: ``(batch, [(place, why)])``.

    Plain are objects of floats, ints of 64 bits, bare NaN and infinities, and of objects of those that have something and no ``_type``: their
    keys are joined with dots. ``fields`` are what an object calls its step, an int that is no value of its own, and its time, in seconds from 0 to
    10¹⁰, which is one; a line without is at the step ``first`` plus its place, or the time ``now`` in microseconds. Any other line, and any
    at all when ``fields`` is None, is given to ``other(line, place)``, which answers its row as `encode_rows` takes it, or text that says why there is
    none. A row without values is left out. ValueError for a line that is not text.
    """
    cdef list refused = [], frames = []
    cdef dict builders = {}
    cdef _Builder builder
    cdef _Lines read = None
    cdef int64_t step, time
    cdef Py_ssize_t i
    cdef size_t frame
    if not all([PyUnicode_CheckExact(line) for line in lines]):
        raise ValueError("a line is text")
    if fields is not None:
        step_name, time_name = fields
        read = _Lines(len(lines), _name_bytes(step_name), _name_bytes(time_name))
        read.read(lines, first, now)
        frames = [read.frame(&read.reader.frames[frame]) for frame in range(read.reader.frame_count)]
    for i in range(len(lines)):
        if read is not None and not read.other[i]:
            continue
        row = other(lines[i], i)
        if isinstance(row, str):
            refused.append((i, row))
            continue
        try:
            step, time, values = row
            if not isinstance(values, dict):
                raise TypeError(f"a row is (step, time, dict), not {row!r:.100}")
            builder = _take_row(values, builders)
        except (TypeError, ValueError, OverflowError) as error:
            refused.append((i, str(error)))
            continue
        if builder is not None:
            builder.seal(step, time)
    return _join(frames + [(<_Builder>each).frame() for each in builders.values()]), refused
