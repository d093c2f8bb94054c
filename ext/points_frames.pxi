# How a frame and a batch are laid out, from columns of 8-byte numbers and packed objects.

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
