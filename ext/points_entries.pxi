# Entries: dictionaries of one point each, as clients send them.

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
