# cython: auto_pickle=False, autotestdict=False
"""Chunks out of the frames that they travel in between Xet clients and servers.

Arguments and ownership are here; the formats are in frames_impl.h.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "cpu.h" nogil:
    int cpu_best_level()
    int cpu_force_level(int level)

cdef extern from "blake3.h" nogil:
    ctypedef struct blake3_job:
        const uint8_t* data
        size_t length
        uint8_t* out
    void blake3_hash_many(const uint8_t* key, const blake3_job* jobs, size_t count)

cdef extern from "xxh3.h" nogil:
    uint64_t c_xxh3_64 "xxh3_64"(const uint8_t* data, size_t length, uint64_t seed)

cdef extern from "xet.h" nogil:
    const uint8_t XET_DATA_KEY[32]

cdef extern from "frames_impl.h" nogil:
    const size_t FRAME_SCRATCH
    ctypedef struct frames_extent:
        size_t count
        size_t consumed
        size_t total
        int ended
        int problem
    frames_extent frames_walk(const uint8_t* data, size_t length, size_t room)
    size_t frame_decode(const uint8_t* frame, uint8_t* scratch, uint8_t* out)
    size_t frame_size(const uint8_t* frame)

cdef enum:
    RECORD = 44
    JOBS = 16

_PROBLEMS = (
    "", "its version is not 0", "its compression is none that is known", "its chunk is empty or over 128 KiB",
    "its stored length cannot be right",
)


cdef Py_ssize_t _decode(const uint8_t* data, size_t count, uint8_t* scratch, uint8_t* out, uint8_t* records) noexcept nogil:
    """Decodes `count` frames and makes their records; the number of the first that does not decode, or -1."""
    cdef blake3_job jobs[JOBS]
    cdef size_t first = 0, i, take, length
    cdef uint32_t packed
    cdef uint64_t check
    cdef uint8_t* record
    while first < count:
        take = min(count - first, <size_t>JOBS)
        for i in range(take):
            record = records + (first + i) * RECORD
            length = frame_decode(data, scratch, out)
            if length == 0:
                return <Py_ssize_t>(first + i)
            jobs[i].data, jobs[i].length, jobs[i].out = out, length, record
            check = c_xxh3_64(out, length, 0)
            packed = <uint32_t>length
            memcpy(record + 32, &check, 8)
            memcpy(record + 40, &packed, 4)
            data += frame_size(data)
            out += length
        blake3_hash_many(XET_DATA_KEY, jobs, take)
        first += take
    return -1


def unframe(data, size_t room, /):
    """The chunks of the whole frames at the start of `data` that have at most `room` bytes together.

    Answers (bytes of the chunks back to back, their packed records of 44 bytes as `ingest.Ingest` makes them, bytes of
    `data` that were taken, whether the frames end there before a footer). ValueError for a frame that does not decode to
    what its header says; at most `room` bytes and 128 KiB are allocated for whatever `data` is.
    """
    cdef Py_buffer view
    cdef frames_extent found
    cdef uint8_t* scratch = NULL
    cdef Py_ssize_t wrong
    cdef bytes chunks, records
    cdef char* into
    cdef char* packed
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        with nogil:
            found = frames_walk(<const uint8_t*>view.buf, <size_t>view.len, room)
        if found.problem:
            raise ValueError(f"the frame at byte {found.consumed} is malformed: {_PROBLEMS[found.problem]}")
        chunks = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>found.total)
        records = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(found.count * RECORD))
        scratch = <uint8_t*>malloc(FRAME_SCRATCH)
        if scratch is NULL:
            raise MemoryError("no memory to decode frames")
        into, packed = PyBytes_AS_STRING(chunks), PyBytes_AS_STRING(records)
        with nogil:
            wrong = _decode(<const uint8_t*>view.buf, found.count, scratch, <uint8_t*>into, <uint8_t*>packed)
        if wrong >= 0:
            raise ValueError(f"frame {wrong} does not decode to the length that its header gives")
        return chunks, records, found.consumed, bool(found.ended)
    finally:
        free(scratch)
        PyBuffer_Release(&view)


def _levels():
    """Numbers of the instruction-set levels of this processor, slowest first (ext/cpu.h)."""
    return list(range(cpu_best_level() + 1))


def _force_level(int level, /):
    """Run this module's kernels at one of `_levels()`, for tests; ValueError for any other."""
    if cpu_force_level(level):
        raise ValueError(f"this processor does not have kernel level {level}")
