# The points of many batches, by key.

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
