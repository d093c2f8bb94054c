# cython: auto_pickle=False, autotestdict=False
"""The hot lane: a native thread that answers requests it has been told the answers to, without the interpreter (docs/architecture.md)."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

import os

cimport cython

cdef extern from "hotlane_impl.h" nogil:
    enum:
        RS_HEAD_MAX
        RS_PEER_MAX
        RS_ANSWER_MAX

    ctypedef struct rs_returned:
        rs_returned *next
        uint64_t loan
        size_t received
        size_t unsent
        char bytes[0]

    ctypedef struct rs_counted:
        uint64_t tag
        uint64_t requests
        uint64_t ns
        uint64_t sent

    ctypedef struct rs_record:
        uint64_t tag
        uint64_t number
        int64_t at_us
        int64_t ns
        int64_t sent
        char peer[64]

    ctypedef struct rs_parts:
        const char *before
        const char *between
        const char *after
        size_t before_length
        size_t between_length
        size_t after_length

    ctypedef struct rs_hotlane:
        pass

    rs_hotlane *rs_hotlane_open(int word_fd, int64_t word_offset, const char *prefix, int keep_records)
    int rs_hotlane_fileno(rs_hotlane *lane)
    void rs_hotlane_forget(rs_hotlane *lane, uint64_t commit)
    int rs_hotlane_remember(rs_hotlane *lane, const uint8_t *digest, const rs_parts *parts, int64_t until_us, uint64_t tag)
    int64_t rs_hotlane_lend(rs_hotlane *lane, int fd, const char *peer)
    int rs_hotlane_take(rs_hotlane *lane, uint64_t loan)
    int64_t rs_hotlane_last(rs_hotlane *lane, uint64_t loan)
    rs_returned *rs_hotlane_drain(rs_hotlane *lane)
    size_t rs_hotlane_count(rs_hotlane *lane, rs_counted *out, size_t room)
    size_t rs_hotlane_records(rs_hotlane *lane, rs_record *out, size_t room)
    void rs_hotlane_close(rs_hotlane *lane)
    void rs_hotlane_free(rs_hotlane *lane)

cdef enum:
    DIGEST = 32
    ROOM = 64


@cython.final
cdef class HotLane:
    """Answers requests on connections that are lent to it, and gives back each connection on which something else arrives.

    A request is known by the BLAKE3 of its head, up to and with the blank line. Its answer is good until its time, and for as long as the
    eight bytes at ``word_offset`` of the file ``word_fd`` (which other processes change) equal the commit of the last :meth:`forget`; the
    file is mapped, and may be closed. ``prefix`` begins the id of each request that is answered, a number in hexadecimal ends it; with ``keep_records``
    each is told by :meth:`records`. Every method may be called from any thread. Raises ValueError for a setting out of range, OSError if
    the thread cannot be started.
    """

    cdef rs_hotlane *lane

    def __cinit__(self, int word_fd, int64_t word_offset, bytes prefix, *, bint keep_records=False):
        if b"\0" in prefix or len(prefix) > 63 or word_offset < 0 or word_offset % 8 or word_offset > 4088:
            raise ValueError("a prefix has at most 63 bytes, and the word lies in the first page")
        self.lane = rs_hotlane_open(word_fd, word_offset, prefix, keep_records)
        if self.lane is NULL:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.lane is not NULL:
            with nogil:
                rs_hotlane_free(self.lane)

    def fileno(self) -> int:
        """The eventfd that is readable while connections or records wait to be taken."""
        return rs_hotlane_fileno(self.lane)

    def forget(self, uint64_t commit) -> None:
        """Forgets every answer; the next ones are of this commit."""
        with nogil:
            rs_hotlane_forget(self.lane, commit)

    def remember(self, bytes digest, bytes before, bytes between, bytes after, int64_t until, uint64_t tag) -> bool:
        """Keeps an answer until a Unix time in microseconds; False when it cannot: too long, too many, or another commit by now.

        A request's id is sent between the first two parts, the date between the last two. Raises ValueError for a digest that is none.
        """
        if len(digest) != DIGEST:
            raise ValueError("a digest has 32 bytes")
        cdef rs_parts parts
        parts.before, parts.before_length = before, len(before)
        parts.between, parts.between_length = between, len(between)
        parts.after, parts.after_length = after, len(after)
        cdef const uint8_t *name = <const uint8_t *><const char *>digest
        cdef int kept
        with nogil:
            kept = rs_hotlane_remember(self.lane, name, &parts, until, tag)
        if kept < 0:
            raise MemoryError()
        return kept == 1

    def lend(self, int fd, bytes peer) -> int:
        """Lends a connected socket, and answers a number for the loan.

        Until it is taken or given back nobody else may read from it or write to it, nor close it; nothing may be waiting to be sent. Raises
        OSError if it cannot be watched or the lane is closed.
        """
        cdef const char *name = peer
        cdef int64_t loan
        with nogil:
            loan = rs_hotlane_lend(self.lane, fd, name)
        if loan < 0:
            raise OSError(-loan, os.strerror(-loan))
        return loan

    def take(self, uint64_t loan) -> bool:
        """Takes a connection back; False when it has been given back."""
        cdef int taken
        with nogil:
            taken = rs_hotlane_take(self.lane, loan)
        return taken == 1

    def last_answer(self, uint64_t loan) -> float:
        """When a connection was last answered, or lent, on the monotonic clock in seconds; 0.0 when the loan is over."""
        cdef int64_t last
        with nogil:
            last = rs_hotlane_last(self.lane, loan)
        return last / 1e9

    def returned(self) -> list:
        """The connections given back since the last call, oldest first: (loan, bytes that arrived, bytes still to be sent before)."""
        cdef rs_returned *found
        cdef rs_returned *first
        with nogil:
            first = rs_hotlane_drain(self.lane)
        rows = []
        try:
            while first is not NULL:
                rows.append((
                    first.loan,
                    PyBytes_FromStringAndSize(first.bytes, first.received),
                    PyBytes_FromStringAndSize(first.bytes + first.received, first.unsent),
                ))
                found, first = first, first.next
                free(found)
        finally:
            while first is not NULL:
                found, first = first, first.next
                free(found)
        return rows

    def counts(self) -> list:
        """What was answered since the last call: (tag, requests, nanoseconds, bytes)."""
        cdef rs_counted found[ROOM]
        cdef size_t count, i
        rows = []
        while True:
            with nogil:
                count = rs_hotlane_count(self.lane, found, ROOM)
            for i in range(count):
                rows.append((found[i].tag, found[i].requests, found[i].ns, found[i].sent))
            if count < ROOM:
                return rows

    def records(self) -> list:
        """The requests answered since the last call: (tag, number, Unix time in microseconds, nanoseconds, bytes, peer)."""
        cdef rs_record found[ROOM]
        cdef size_t count, i
        rows = []
        while True:
            with nogil:
                count = rs_hotlane_records(self.lane, found, ROOM)
            for i in range(count):
                rows.append((found[i].tag, found[i].number, found[i].at_us, found[i].ns, found[i].sent, <bytes>found[i].peer))
            if count < ROOM:
                return rows

    def close(self) -> None:
        """Ends the thread and gives every connection back. A second call does nothing."""
        with nogil:
            rs_hotlane_close(self.lane)
