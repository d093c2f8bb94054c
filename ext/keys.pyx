# cython: auto_pickle=False, autotestdict=False
"""Packing the parts of an index key: `runstone.storage.keys` says how they lie, and packs what is refused here."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy

cdef extern from "Python.h":
    bint PyLong_CheckExact(object)
    bint PyUnicode_CheckExact(object)
    # Declared to raise nothing: an error is looked for in the value, and cleared.
    unsigned long long PyLong_AsUnsignedLongLong(object) noexcept
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t* size) noexcept
    void* PyErr_Occurred() noexcept

cdef enum:
    MAX_KEY = 511
    MAX_PARTS = 8
    TEXT = 0


cdef class Packer:
    """Packs whole keys of one layout: a call takes the parts and answers their bytes.

    `sizes` has a byte for each part: 1, 2, 4 or 8 for an unsigned number, big-endian; 16 or 32 for that many raw bytes; 0 for
    text, UTF-8, with a NUL behind it unless it is the last part. ValueError for other sizes and for more than 8 parts. Parts
    that are no such key, or not of the exact types int, bytes and str, are handed on to `otherwise(*parts)`.
    """

    cdef uint8_t sizes[MAX_PARTS]
    cdef Py_ssize_t count
    cdef object otherwise

    def __init__(self, bytes sizes not None, otherwise, /):
        cdef Py_ssize_t i
        self.otherwise = otherwise
        self.count = PyBytes_GET_SIZE(sizes)
        if self.count > MAX_PARTS:
            self.count = 0
            raise ValueError(f"a key has at most {MAX_PARTS} parts, not {len(sizes)}")
        for i in range(self.count):
            self.sizes[i] = <uint8_t>PyBytes_AS_STRING(sizes)[i]
            if self.sizes[i] not in (TEXT, 1, 2, 4, 8, 16, 32):
                raise ValueError(f"a part of a key has no size of {self.sizes[i]}")

    def __call__(self, *parts):
        cdef uint8_t key[MAX_KEY]
        cdef Py_ssize_t used
        if len(parts) == self.count:
            used = self._pack(parts, key)
            if used >= 0:
                return PyBytes_FromStringAndSize(<const char*>key, used)
        return self.otherwise(*parts)

    cdef Py_ssize_t _pack(self, tuple parts, uint8_t* key):
        """The bytes of `key` that were used, or -1."""
        cdef Py_ssize_t i, taken, used = 0
        for i in range(self.count):
            if self.sizes[i] == TEXT:
                taken = _put_text(parts[i], key + used, MAX_KEY - used, i < self.count - 1)
            elif used + self.sizes[i] > MAX_KEY:
                return -1
            elif self.sizes[i] <= 8:
                taken = _put_number(parts[i], key + used, self.sizes[i])
            else:
                taken = _put_raw(parts[i], key + used, self.sizes[i])
            if taken < 0:
                return -1
            used += taken
        return used


cdef inline Py_ssize_t _put_number(object part, uint8_t* out, int size) noexcept:
    cdef unsigned long long value
    cdef int i
    if not PyLong_CheckExact(part):
        return -1
    value = PyLong_AsUnsignedLongLong(part)
    if value == <unsigned long long>-1 and PyErr_Occurred() is not NULL:
        PyErr_Clear()
        return -1
    if size < 8 and value >> (8 * size):
        return -1
    for i in range(size):
        out[size - 1 - i] = <uint8_t>(value >> (8 * i))
    return size


cdef inline Py_ssize_t _put_raw(object part, uint8_t* out, Py_ssize_t size) noexcept:
    if not PyBytes_CheckExact(part) or PyBytes_GET_SIZE(part) != size:
        return -1
    memcpy(out, PyBytes_AS_STRING(part), <size_t>size)
    return size


cdef inline Py_ssize_t _put_text(object part, uint8_t* out, Py_ssize_t room, bint ended) noexcept:
    cdef const char* text
    cdef Py_ssize_t size
    if not PyUnicode_CheckExact(part):
        return -1
    text = PyUnicode_AsUTF8AndSize(part, &size)
    if text is NULL:
        PyErr_Clear()
        return -1
    if size + ended > room or memchr(text, 0, <size_t>size) is not NULL:
        return -1
    memcpy(out, text, <size_t>size)
    if ended:
        out[size] = 0
    return size + ended
