# cython: auto_pickle=False, autotestdict=False
"""Codecs for the columns of series blocks: whole numbers and doubles, every bit kept (docs/format/series.md).

The arithmetic is in codecs_impl.c. A column's first byte is its form; the encoder takes the shortest.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc

cdef extern from "codecs_impl.h" nogil:
    const int CODEC_MAX_COUNT
    size_t codec_room(size_t count)
    size_t codec_encode_ints(const int64_t* values, size_t count, uint8_t* out, int64_t* scratch)
    size_t codec_encode_floats(const double* values, size_t count, uint8_t* out, int64_t* scratch)
    int codec_decode_ints(const uint8_t* data, size_t length, int64_t* out, size_t count)
    int codec_decode_floats(const uint8_t* data, size_t length, double* out, size_t count)


cdef bytes _encode(object values, bint floats):
    cdef Py_buffer held
    cdef uint8_t* out = NULL
    cdef int64_t* scratch = NULL
    cdef size_t count, size
    PyObject_GetBuffer(values, &held, PyBUF_SIMPLE)
    try:
        count = <size_t>held.len // 8
        if held.len % 8 or count > CODEC_MAX_COUNT:
            raise ValueError(f"a column is at most {CODEC_MAX_COUNT} numbers of 8 bytes, not {held.len} bytes")
        out = <uint8_t*>malloc(codec_room(count))
        scratch = <int64_t*>malloc(16 * count + 16)
        if out is NULL or scratch is NULL:
            raise MemoryError("no memory to encode a column")
        with nogil:
            if floats:
                size = codec_encode_floats(<const double*>held.buf, count, out, scratch)
            else:
                size = codec_encode_ints(<const int64_t*>held.buf, count, out, scratch)
        return PyBytes_FromStringAndSize(<const char*>out, <Py_ssize_t>size)
    finally:
        free(out)
        free(scratch)
        PyBuffer_Release(&held)


cdef int _decode(object data, object out, bint floats) except -1:
    cdef Py_buffer held, target
    cdef int good
    PyObject_GetBuffer(data, &held, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(out, &target, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            if target.len % 8 or target.len // 8 > CODEC_MAX_COUNT:
                raise ValueError(f"a column is at most {CODEC_MAX_COUNT} numbers of 8 bytes, not {target.len} bytes")
            with nogil:
                if floats:
                    good = codec_decode_floats(<const uint8_t*>held.buf, <size_t>held.len, <double*>target.buf,
                                               <size_t>target.len // 8)
                else:
                    good = codec_decode_ints(<const uint8_t*>held.buf, <size_t>held.len, <int64_t*>target.buf,
                                             <size_t>target.len // 8)
            if not good:
                raise ValueError(f"{held.len} bytes are not a column of {target.len // 8} numbers")
        finally:
            PyBuffer_Release(&target)
    finally:
        PyBuffer_Release(&held)
    return 0


def encode_ints(values, /):
    """The shortest form of a buffer of int64 numbers; ValueError when it holds over 2**24, or no whole number of them."""
    return _encode(values, False)


def decode_ints(data, out, /):
    """Fills ``out``, a writable buffer of as many int64 as were encoded; ValueError for any other bytes."""
    _decode(data, out, False)


def encode_floats(values, /):
    """The shortest form of a buffer of float64 numbers that gives back every bit; ValueError as `encode_ints`."""
    return _encode(values, True)


def decode_floats(data, out, /):
    """Fills ``out``, a writable buffer of as many float64 as were encoded; ValueError for any other bytes."""
    _decode(data, out, True)
