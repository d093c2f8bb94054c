# cython: auto_pickle=False, autotestdict=False
"""One native pass over incoming bytes: chunk boundaries and every digest that a dialect needs.

Arguments and ownership are here, the arithmetic is in ingest_impl.c and below it.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free

cdef extern from "cpu.h" nogil:
    int cpu_best_level()
    int cpu_force_level(int level)

cdef extern from "gear.h" nogil:
    size_t gear_chunk_length(const uint8_t* data, size_t length)

cdef extern from "ingest_impl.h" nogil:
    const size_t CHUNK_RECORD_SIZE "CHUNK_RECORD"
    ctypedef struct ingest_state "ingest":
        uint64_t size
        int with_md5
        int finished
        uint8_t sha256_digest[32]
        uint8_t md5_digest[16]
        uint8_t xet_digest[32]
    ctypedef struct ingest_records:
        uint8_t* data
        size_t count
        size_t room
    void ingest_init(ingest_state* state, int with_md5)
    int ingest_copy(ingest_state* to, const ingest_state* origin)
    void ingest_free(ingest_state* state)
    int ingest_enter(ingest_state* state)
    void ingest_leave(ingest_state* state)
    int ingest_update(ingest_state* state, const uint8_t* data, size_t length, ingest_records* records)
    int ingest_finish(ingest_state* state, ingest_records* records)

CHUNK_RECORD = CHUNK_RECORD_SIZE


cdef bytes _packed(int failed, ingest_state* state, ingest_records* records):
    """The records as bytes; their memory is freed in any case."""
    try:
        if failed:
            # A chunk may be lost: no later call may give an answer that looks whole.
            state.finished = -1
            raise MemoryError("no memory for the records of an ingest pass")
        return PyBytes_FromStringAndSize(<char*>records.data, <Py_ssize_t>(records.count * CHUNK_RECORD_SIZE))
    finally:
        free(records.data)


@cython.final
cdef class Ingest:
    """The pass over one blob; not to be used by two threads at once (ValueError if it is).

    `update` and `finish` answer packed records of CHUNK_RECORD = 44 bytes for the chunks that they finished: keyed
    BLAKE3 (32 bytes, raw), xxh3-64 with seed 0 (u64, little-endian), length in bytes (u32, little-endian). Chunks are
    those of Hugging Face Xet (8 to 128 KiB, gear hash; see ext/gear.h and ext/xet.h for the sources). Where the bytes
    are cut into updates makes no difference.
    """

    cdef ingest_state state

    def __cinit__(self, *, bint md5=False):
        ingest_init(&self.state, md5)

    def __dealloc__(self):
        ingest_free(&self.state)

    cdef int _begin(self) except -1:
        if ingest_enter(&self.state):
            raise ValueError("this Ingest is in use by another thread")
        if self.state.finished:
            ingest_leave(&self.state)
            raise ValueError("this Ingest is finished")
        return 0

    def update(self, data, /):
        """Take the next bytes and return the packed records of the chunks that they finish.

        ValueError after `finish`; MemoryError when a buffer of at most 129 KiB or the records cannot be allocated, and
        the object is then of no more use.
        """
        cdef Py_buffer view
        cdef ingest_records records = ingest_records(NULL, 0, 0)
        cdef int failed
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self._begin()
            with nogil:
                failed = ingest_update(&self.state, <const uint8_t*>view.buf, <size_t>view.len, &records)
            try:
                return _packed(failed, &self.state, &records)
            finally:
                ingest_leave(&self.state)
        finally:
            PyBuffer_Release(&view)

    def finish(self):
        """End the stream and return the packed record of its last chunk, or b"" when there is none."""
        cdef ingest_records records = ingest_records(NULL, 0, 0)
        cdef int failed
        self._begin()
        with nogil:
            failed = ingest_finish(&self.state, &records)
        try:
            return _packed(failed, &self.state, &records)
        finally:
            ingest_leave(&self.state)

    cdef int _check_finished(self) except -1:
        if self.state.finished != 1:
            raise ValueError("this Ingest is not finished")
        return 0

    @property
    def size(self):
        """Bytes taken so far."""
        return self.state.size

    def sha256(self):
        """The SHA-256 of all bytes (32 bytes); ValueError before `finish`."""
        self._check_finished()
        return self.state.sha256_digest[:32]

    def md5(self):
        """The MD5 of all bytes (16 bytes), None unless asked for at construction; ValueError before `finish`."""
        self._check_finished()
        return self.state.md5_digest[:16] if self.state.with_md5 else None

    def xet_hash(self):
        """The Xet file hash (32 raw bytes; `digests.xet_hex` prints it as hf_xet does); ValueError before `finish`."""
        self._check_finished()
        return self.state.xet_digest[:32]

    def copy(self):
        """An independent Ingest in the same state, finished or not."""
        cdef Ingest other = Ingest.__new__(Ingest)
        cdef int failed
        if ingest_enter(&self.state):
            raise ValueError("this Ingest is in use by another thread")
        failed = ingest_copy(&other.state, &self.state)
        ingest_leave(&self.state)
        if failed:
            raise MemoryError("no memory to copy an ingest pass")
        return other


def chunk_lengths(data, /):
    """The lengths of the Xet chunks of `data`, in order and without hashing them."""
    cdef Py_buffer view
    cdef list lengths = []
    cdef size_t done = 0, total, length
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        total = <size_t>view.len
        while done < total:
            with nogil:
                length = gear_chunk_length(<const uint8_t*>view.buf + done, total - done)
            lengths.append(length)
            done += length
    finally:
        PyBuffer_Release(&view)
    return lengths


def _levels():
    """Numbers of the instruction-set levels of this processor, slowest first (ext/cpu.h)."""
    return list(range(cpu_best_level() + 1))


def _force_level(int level, /):
    """Run this module's kernels at one of `_levels()`, for tests; ValueError for any other."""
    if cpu_force_level(level):
        raise ValueError(f"this processor does not have kernel level {level}")
