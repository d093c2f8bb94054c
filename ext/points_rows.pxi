# A batch from rows: each row is flattened, its values sorted by kind, and written into the frame of its keys and kinds.

cdef enum:
    # Nested deeper, what is logged is not metrics.
    MAX_NESTING = 32
    # Frames that are tried, last used first, before a row's keys are sorted to look for its frame.
    RECENT = 4


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
