# cython: auto_pickle=False, autotestdict=False
"""Digests of whole buffers, verification of chunks, the Xet tree, and the checksummed values of the index.

Arguments and ownership are here, the arithmetic is in the C files beside this one.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "cpu.h" nogil:
    int cpu_best_level()
    int cpu_force_level(int level)

cdef extern from "blake3.h" nogil:
    ctypedef struct blake3_job:
        const uint8_t* data
        size_t length
        uint8_t* out
    void blake3_hash(const uint8_t* key, const uint8_t* data, size_t length, uint8_t* out)
    void blake3_hash_many(const uint8_t* key, const blake3_job* jobs, size_t count)

cdef extern from "sha256.h" nogil:
    void sha256_hash(const uint8_t* data, size_t length, uint8_t* out)

cdef extern from "md5.h" nogil:
    void md5_hash(const uint8_t* data, size_t length, uint8_t* out)

cdef extern from "xxh3.h" nogil:
    uint64_t c_xxh3_64 "xxh3_64"(const uint8_t* data, size_t length, uint64_t seed)

cdef extern from "ingest_impl.h" nogil:
    const size_t CHUNK_RECORD

cdef extern from "xet.h" nogil:
    const uint8_t XET_DATA_KEY[32]
    ctypedef struct xet_tree:
        pass
    void xet_tree_init(xet_tree* tree)
    void xet_tree_add(xet_tree* tree, const uint8_t* hash, uint64_t size)
    void xet_tree_root(xet_tree* tree, uint8_t* out)
    void c_xet_file_hash "xet_file_hash"(const uint8_t* root, int empty, uint8_t* out)
    void c_xet_hex "xet_hex"(const uint8_t* hash, char* out)

cdef extern from "multiset.h" nogil:
    void multiset_add(uint64_t* state, const uint8_t* digest)
    void multiset_remove(uint64_t* state, const uint8_t* digest)

cdef enum:
    # Below this many bytes a hash is over before another thread could have used the GIL.
    RELEASE_GIL_FROM = 2048
    # Key and body up to this length are joined on the stack.
    JOINED_INLINE = 2048
    JOBS = 64
    CHECKSUM = 8


cdef bytes _blake3(const uint8_t* key, object data):
    cdef Py_buffer view
    cdef uint8_t out[32]
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    if view.len < RELEASE_GIL_FROM:
        blake3_hash(key, <const uint8_t*>view.buf, <size_t>view.len, out)
    else:
        with nogil:
            blake3_hash(key, <const uint8_t*>view.buf, <size_t>view.len, out)
    PyBuffer_Release(&view)
    return out[:32]


def blake3(data, /):
    """The BLAKE3 of `data`, 32 bytes (the BLAKE3 paper, 2021)."""
    return _blake3(NULL, data)


def blake3_keyed(key, data, /):
    """The keyed BLAKE3 of `data`, 32 bytes; `key` is 32 bytes, else ValueError."""
    cdef Py_buffer view
    cdef uint8_t words[32]
    PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
    try:
        if view.len != 32:
            raise ValueError(f"a BLAKE3 key has 32 bytes, not {view.len}")
        memcpy(words, view.buf, 32)
    finally:
        PyBuffer_Release(&view)
    return _blake3(words, data)


def chunk_hash(data, /):
    """The hash of `data` as one Xet chunk, 32 raw bytes: BLAKE3 keyed with Xet's data key (ext/xet.h)."""
    return _blake3(XET_DATA_KEY, data)


def sha256(data, /):
    """The SHA-256 of `data`, 32 bytes (FIPS 180-4)."""
    cdef Py_buffer view
    cdef uint8_t out[32]
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    if view.len < RELEASE_GIL_FROM:
        sha256_hash(<const uint8_t*>view.buf, <size_t>view.len, out)
    else:
        with nogil:
            sha256_hash(<const uint8_t*>view.buf, <size_t>view.len, out)
    PyBuffer_Release(&view)
    return out[:32]


def md5(data, /):
    """The MD5 of `data`, 16 bytes (RFC 1321): for formats that ask for it, never as an identity."""
    cdef Py_buffer view
    cdef uint8_t out[16]
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    if view.len < RELEASE_GIL_FROM:
        md5_hash(<const uint8_t*>view.buf, <size_t>view.len, out)
    else:
        with nogil:
            md5_hash(<const uint8_t*>view.buf, <size_t>view.len, out)
    PyBuffer_Release(&view)
    return out[:16]


def xxh3_64(data, uint64_t seed=0, /):
    """The 64-bit XXH3 of `data` (Cyan4973/xxHash, doc/xxhash_spec.md); OverflowError when `seed` is not a u64."""
    cdef Py_buffer view
    cdef uint64_t value
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    if view.len < RELEASE_GIL_FROM:
        value = c_xxh3_64(<const uint8_t*>view.buf, <size_t>view.len, seed)
    else:
        with nogil:
            value = c_xxh3_64(<const uint8_t*>view.buf, <size_t>view.len, seed)
    PyBuffer_Release(&view)
    return value


cdef inline uint32_t _length_in(const uint8_t* record) noexcept nogil:
    cdef uint32_t length
    memcpy(&length, record + 40, 4)
    return length


cdef int _check_records(Py_buffer* records) except -1:
    if records.len % <Py_ssize_t>CHUNK_RECORD:
        raise ValueError(f"chunk records have {CHUNK_RECORD} bytes each: {records.len} bytes are no whole number of them")
    return 0


cdef int _check_lengths(Py_buffer* data, Py_buffer* records) except -1:
    cdef const uint8_t* record = <const uint8_t*>records.buf
    cdef uint64_t total = 0
    cdef Py_ssize_t i
    _check_records(records)
    for i in range(records.len // <Py_ssize_t>CHUNK_RECORD):
        total += _length_in(record + i * CHUNK_RECORD)
    if total != <uint64_t>data.len:
        raise ValueError(f"the chunk records are for {total} bytes, the data have {data.len}")
    return 0


cdef Py_ssize_t _first_wrong_hash(const uint8_t* data, const uint8_t* records, Py_ssize_t count) noexcept nogil:
    cdef blake3_job jobs[JOBS]
    cdef uint8_t out[JOBS][32]
    cdef Py_ssize_t first = 0, i, take
    while first < count:
        take = min(count - first, <Py_ssize_t>JOBS)
        for i in range(take):
            jobs[i].data = data
            jobs[i].length = _length_in(records + (first + i) * CHUNK_RECORD)
            jobs[i].out = out[i]
            data += jobs[i].length
        blake3_hash_many(XET_DATA_KEY, jobs, <size_t>take)
        for i in range(take):
            if memcmp(out[i], records + (first + i) * CHUNK_RECORD, 32):
                return first + i
        first += take
    return -1


cdef Py_ssize_t _first_wrong_check(const uint8_t* data, const uint8_t* records, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t length
    cdef uint64_t check
    for i in range(count):
        length = _length_in(records + i * CHUNK_RECORD)
        check = c_xxh3_64(data, length, 0)
        if memcmp(&check, records + i * CHUNK_RECORD + 32, 8):
            return i
        data += length
    return -1


def verify_chunks(data, records, /):
    """The index of the first chunk of `data` whose BLAKE3 is not the one in `records`, or -1.

    `data` is the chunks back to back, `records` their packed records (44 bytes each, see `ingest.Ingest`); ValueError
    when those are cut off or their lengths do not add up to that of `data`.
    """
    cdef Py_buffer held, packed
    cdef Py_ssize_t wrong
    PyObject_GetBuffer(data, &held, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(records, &packed, PyBUF_SIMPLE)
        try:
            _check_lengths(&held, &packed)
            with nogil:
                wrong = _first_wrong_hash(<const uint8_t*>held.buf, <const uint8_t*>packed.buf,
                                          packed.len // <Py_ssize_t>CHUNK_RECORD)
        finally:
            PyBuffer_Release(&packed)
    finally:
        PyBuffer_Release(&held)
    return wrong


def check_chunks(data, records, /):
    """As `verify_chunks`, by the xxh3-64 of each chunk: finds rot, proves nothing against an attacker, and is fast."""
    cdef Py_buffer held, packed
    cdef Py_ssize_t wrong
    PyObject_GetBuffer(data, &held, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(records, &packed, PyBUF_SIMPLE)
        try:
            _check_lengths(&held, &packed)
            with nogil:
                wrong = _first_wrong_check(<const uint8_t*>held.buf, <const uint8_t*>packed.buf,
                                           packed.len // <Py_ssize_t>CHUNK_RECORD)
        finally:
            PyBuffer_Release(&packed)
    finally:
        PyBuffer_Release(&held)
    return wrong


cdef bytes _xet_root(object records, bint of_file):
    cdef Py_buffer packed
    cdef xet_tree tree
    cdef uint8_t root[32]
    cdef uint8_t out[32]
    cdef const uint8_t* record
    cdef Py_ssize_t i, count
    PyObject_GetBuffer(records, &packed, PyBUF_SIMPLE)
    try:
        _check_records(&packed)
        record = <const uint8_t*>packed.buf
        count = packed.len // <Py_ssize_t>CHUNK_RECORD
        with nogil:
            xet_tree_init(&tree)
            for i in range(count):
                xet_tree_add(&tree, record + i * CHUNK_RECORD, _length_in(record + i * CHUNK_RECORD))
            xet_tree_root(&tree, root)
            c_xet_file_hash(root, count == 0, out)
    finally:
        PyBuffer_Release(&packed)
    return out[:32] if of_file else root[:32]


def xet_file_hash(records, /):
    """The Xet hash (32 raw bytes) of the file made of the chunks in `records`, 44 bytes each; else ValueError."""
    return _xet_root(records, True)


def xet_xorb_hash(records, /):
    """The Xet hash (32 raw bytes) of the xorb made of the chunks in `records`: the file hash before its last step."""
    return _xet_root(records, False)


def xet_hex(hash, /):
    """A hash as Xet prints it, 64 characters: each 8 bytes as a little-endian number; ValueError unless 32 bytes."""
    cdef Py_buffer view
    cdef char text[64]
    PyObject_GetBuffer(hash, &view, PyBUF_SIMPLE)
    try:
        if view.len != 32:
            raise ValueError(f"a Xet hash has 32 bytes, not {view.len}")
        c_xet_hex(<const uint8_t*>view.buf, text)
    finally:
        PyBuffer_Release(&view)
    return text[:64].decode("ascii")


def parse_xet_hex(str text not None, /):
    """The 32 raw bytes of a hash printed by `xet_hex`, in either case; ValueError for anything else."""
    cdef bytes swapped
    # fromhex skips white space, so the length alone does not say that there are 64 digits.
    if len(text) != 64 or not text.isalnum() or not text.isascii():
        raise ValueError("a Xet hash is printed as 64 hexadecimal digits")
    swapped = bytes.fromhex(text)
    return swapped[7::-1] + swapped[15:7:-1] + swapped[23:15:-1] + swapped[31:23:-1]


cdef int _fold_each(uint64_t* state, object values, bint remove) except -1:
    """Hash `values` in batches, which fills the lanes of BLAKE3, and add or take away each digest."""
    cdef blake3_job jobs[JOBS]
    cdef uint8_t out[JOBS][32]
    # A tuple of our own: it holds the values even if the caller's list changes under us.
    cdef tuple held = tuple(values)
    cdef Py_ssize_t first = 0, i, take
    while first < len(held):
        take = min(len(held) - first, <Py_ssize_t>JOBS)
        for i in range(take):
            value = held[first + i]
            if not isinstance(value, bytes):
                raise TypeError(f"fold takes bytes, not {type(value).__name__}")
            jobs[i].data = <const uint8_t*>PyBytes_AS_STRING(value)
            jobs[i].length = <size_t>PyBytes_GET_SIZE(value)
            jobs[i].out = out[i]
        blake3_hash_many(NULL, jobs, <size_t>take)
        for i in range(take):
            if remove:
                multiset_remove(state, out[i])
            else:
                multiset_add(state, out[i])
        first += take
    return 0


def fold(bytes state not None, add, remove, /):
    """A multiset hash after more members: `state` + the BLAKE3 of each `add` - that of each `remove`, mod 2**256.

    `state` is 32 bytes, a little-endian number, else ValueError; the members are bytes. The order of members makes no
    difference. Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing" (1997), AdHash; at 256 bits it is
    meant to compare states that we made ourselves, not states that an attacker may choose.
    """
    cdef uint64_t words[4]
    if PyBytes_GET_SIZE(state) != 32:
        raise ValueError(f"a multiset hash has 32 bytes, not {PyBytes_GET_SIZE(state)}")
    memcpy(words, PyBytes_AS_STRING(state), 32)
    _fold_each(words, add, False)
    _fold_each(words, remove, True)
    return PyBytes_FromStringAndSize(<const char*>words, 32)


cdef int _checksum(uint64_t seed, const void* key, size_t key_length, const void* body, size_t body_length,
                   uint64_t* out) except -1:
    """xxh3-64 over key and body, which have to lie together for it."""
    cdef uint8_t inline_joined[JOINED_INLINE]
    cdef uint8_t* joined = inline_joined
    if key_length + body_length > JOINED_INLINE:
        joined = <uint8_t*>PyMem_Malloc(key_length + body_length)
        if joined is NULL:
            raise MemoryError("no memory to check a value")
    memcpy(joined, key, key_length)
    memcpy(joined + key_length, body, body_length)
    out[0] = c_xxh3_64(joined, key_length + body_length, seed)
    if joined is not inline_joined:
        PyMem_Free(joined)
    return 0


def seal(uint64_t seed, bytes key not None, bytes body not None, /):
    """`body` behind its checksum, as the index stores it: 8 bytes little-endian, xxh3-64 with `seed` over key + body.

    OverflowError when `seed` is not a u64.
    """
    cdef uint64_t checksum
    cdef Py_ssize_t length = PyBytes_GET_SIZE(body)
    cdef bytes stored
    _checksum(seed, PyBytes_AS_STRING(key), <size_t>PyBytes_GET_SIZE(key), PyBytes_AS_STRING(body), <size_t>length,
              &checksum)
    stored = PyBytes_FromStringAndSize(NULL, CHECKSUM + length)
    memcpy(PyBytes_AS_STRING(stored), &checksum, CHECKSUM)
    memcpy(PyBytes_AS_STRING(stored) + CHECKSUM, PyBytes_AS_STRING(body), <size_t>length)
    return stored


def seal_rows(uint64_t seed, rows not None, /):
    """`seal` for many rows, one after the other: (key, stored value) for each (key, body)."""
    return _sealed(seed, iter(rows))


def _sealed(uint64_t seed, rows):
    # One pair at a time: a list of a batch's pairs would be ten thousand objects for the cycle collector to walk over.
    for key, body in rows:
        yield key, seal(seed, key, body)


cdef int _join_row(unsigned int table, bytes key, bytes body, uint8_t* joined) except -1:
    cdef size_t key_length = <size_t>PyBytes_GET_SIZE(key)
    joined[0], joined[1] = <uint8_t>(table >> 8), <uint8_t>(table & 255)
    joined[2], joined[3] = <uint8_t>(key_length >> 8), <uint8_t>(key_length & 255)
    memcpy(joined + 4, PyBytes_AS_STRING(key), key_length)
    memcpy(joined + 4 + key_length, PyBytes_AS_STRING(body), <size_t>PyBytes_GET_SIZE(body))
    return 0


cdef int _fold_batch(uint64_t* state, unsigned int table, list rows, Py_ssize_t first, Py_ssize_t count, bint remove) except -1:
    """Hash up to JOBS rows, laid out one after the other, together: that fills the lanes of BLAKE3."""
    cdef blake3_job jobs[JOBS]
    cdef uint8_t out[JOBS][32]
    cdef uint8_t* joined
    cdef size_t total = 0
    cdef Py_ssize_t i
    cdef bytes key, body
    for i in range(count):
        key, body = rows[first + i]
        jobs[i].length = 4 + <size_t>PyBytes_GET_SIZE(key) + <size_t>PyBytes_GET_SIZE(body)
        total += jobs[i].length
    joined = <uint8_t*>PyMem_Malloc(total)
    if joined is NULL:
        raise MemoryError("no memory to hash rows")
    try:
        total = 0
        for i in range(count):
            key, body = rows[first + i]
            _join_row(table, key, body, joined + total)
            jobs[i].data, jobs[i].out = joined + total, out[i]
            total += jobs[i].length
        blake3_hash_many(NULL, jobs, <size_t>count)
    finally:
        PyMem_Free(joined)
    for i in range(count):
        if remove:
            multiset_remove(state, out[i])
        else:
            multiset_add(state, out[i])
    return 0


cdef int _fold_rows(uint64_t* state, unsigned int table, list rows, bint remove) except -1:
    cdef Py_ssize_t first
    # A list of our own, for the caller's could change between the two passes over it.
    cdef list held = list(rows)
    for first in range(0, len(held), JOBS):
        _fold_batch(state, table, held, first, min(<Py_ssize_t>JOBS, len(held) - first), remove)
    return 0


def fold_rows(bytes state not None, unsigned short table, list add not None, list remove not None, /):
    """`fold` over rows of a table, each (key, body): a member is the table's number and the key's length, both u16
    big-endian, then key and body. Keys are shorter than 65,536 bytes.
    """
    cdef uint64_t words[4]
    if PyBytes_GET_SIZE(state) != 32:
        raise ValueError(f"a multiset hash has 32 bytes, not {PyBytes_GET_SIZE(state)}")
    memcpy(words, PyBytes_AS_STRING(state), 32)
    _fold_rows(words, table, add, False)
    _fold_rows(words, table, remove, True)
    return PyBytes_FromStringAndSize(<const char*>words, 32)


def unseal(uint64_t seed, key, stored, /):
    """The body of a value made by `seal`; ValueError when it is shorter than 8 bytes or its checksum differs."""
    cdef Py_buffer key_view, view
    cdef uint64_t checksum
    cdef const char* body
    cdef size_t length
    PyObject_GetBuffer(key, &key_view, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(stored, &view, PyBUF_SIMPLE)
        try:
            if view.len < CHECKSUM:
                raise ValueError(f"a stored value has {CHECKSUM} bytes or more, not {view.len}")
            body = <const char*>view.buf + CHECKSUM
            length = <size_t>view.len - CHECKSUM
            _checksum(seed, key_view.buf, <size_t>key_view.len, body, length, &checksum)
            if memcmp(&checksum, view.buf, CHECKSUM):
                raise ValueError("the checksum of a stored value differs: it is damaged or belongs to another key")
            return PyBytes_FromStringAndSize(body, <Py_ssize_t>length)
        finally:
            PyBuffer_Release(&view)
    finally:
        PyBuffer_Release(&key_view)


def _levels():
    """Numbers of the instruction-set levels of this processor, slowest first (ext/cpu.h)."""
    return list(range(cpu_best_level() + 1))


def _force_level(int level, /):
    """Run this module's kernels at one of `_levels()`, for tests; ValueError for any other."""
    if cpu_force_level(level):
        raise ValueError(f"this processor does not have kernel level {level}")
