# cython: auto_pickle=False, autotestdict=False
"""The points batch: metric points as they travel, are logged and arrive at a store (docs/format/points.md).

Reading trusts nothing: every function that takes a batch checks all of it first. Arguments and ownership are in the included
files, one for each noun, so that all is one extension and no inner loop calls another; the bounds are in points_format.c.
"""

from operator import index

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItem, PyDict_Next, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_GET_ITEM
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_CheckExact, PyUnicode_DecodeUTF8
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

cdef extern from "points_format.h" nogil:
    const int POINTS_HEADER, POINTS_FRAME_HEADER, POINTS_COLUMN_HEADER, POINTS_VERSION
    const int POINTS_MAX_NAME, POINTS_MAX_ROWS, POINTS_MAX_KEYS
    const int POINTS_FLOAT, POINTS_INT, POINTS_OBJECT
    const int AXIS_PLAIN, AXIS_STRIDE, AXIS_OFFSETS
    const int POINTS_NO_MEMORY
    ctypedef struct points_axis:
        uint8_t mode
        size_t at
    ctypedef struct points_frame:
        uint32_t rows
        uint32_t keys
        size_t first_column
        points_axis steps
        points_axis times
    ctypedef struct points_column:
        size_t name
        uint32_t name_length
        uint8_t kind
        size_t data
        size_t length
    ctypedef struct points_batch:
        points_frame* frames
        points_column* columns
        size_t frame_count
        size_t column_count
        size_t at
    uint32_t points_u32(const uint8_t* p)
    int64_t points_i64(const uint8_t* p)
    double points_f64(const uint8_t* p)
    size_t points_padded(size_t length)
    int64_t points_axis_value(const uint8_t* data, const points_axis* axis, size_t row)
    size_t points_axis_size(uint8_t mode, size_t rows)
    int64_t points_float_order(double value)
    int points_msgpack(const uint8_t* p, size_t length)
    int points_parse(const uint8_t* data, size_t length, points_batch* batch)
    void points_free(points_batch* batch)

FLOAT = POINTS_FLOAT
INT = POINTS_INT
OBJECT = POINTS_OBJECT
MAX_NAME = POINTS_MAX_NAME
MAX_ROWS = POINTS_MAX_ROWS
MAX_KEYS = POINTS_MAX_KEYS

include "points_batch.pxi"
include "points_summaries.pxi"
include "points_objects.pxi"
include "points_decoding.pxi"
include "points_gathering.pxi"
include "points_frames.pxi"
include "points_rows.pxi"
include "points_entries.pxi"
include "points_lines.pxi"
include "points_columns.pxi"
