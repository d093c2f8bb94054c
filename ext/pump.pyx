# cython: auto_pickle=False, autotestdict=False
"""The stream pump: native threads that send files to sockets without the interpreter (docs/architecture.md)."""

from libc.errno cimport errno
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import os

cimport cython

cdef extern from "pump_impl.h" nogil:
    enum:
        RS_DONE
        RS_HANGUP
        RS_STALLED
        RS_SHORT_FILE
        RS_CANCELLED

    ctypedef struct rs_segment:
        int fd
        int64_t offset
        int64_t length

    ctypedef struct rs_pump_config:
        int lanes
        int loaders
        int64_t stall_ns
        int64_t stall_bytes
        int64_t quantum

    ctypedef struct rs_pump_stats:
        int64_t active
        int64_t waiting
        int64_t loading
        int64_t sent
        int64_t loaded
        int64_t done
        int64_t hung_up
        int64_t stalled
        int64_t short_file
        int64_t cancelled
        int64_t failed

    ctypedef struct rs_completion:
        int64_t job
        int64_t status
        int64_t sent

    ctypedef struct rs_pump:
        pass

    rs_pump *rs_pump_open(const rs_pump_config *config)
    int rs_pump_fileno(rs_pump *pump)
    int64_t rs_pump_submit(rs_pump *pump, int socket, rs_segment *segments, size_t count, char *memory)
    int rs_pump_cancel(rs_pump *pump, int64_t job)
    size_t rs_pump_drain(rs_pump *pump, rs_completion *out, size_t room)
    void rs_pump_read_stats(rs_pump *pump, rs_pump_stats *stats)
    void rs_pump_close(rs_pump *pump)
    void rs_pump_free(rs_pump *pump)

DONE = RS_DONE
HANGUP = RS_HANGUP
STALLED = RS_STALLED
SHORT_FILE = RS_SHORT_FILE
CANCELLED = RS_CANCELLED

cdef enum:
    DRAIN_ROOM = 64


@cython.final
cdef class Pump:
    """Sends lists of segments to sockets from native threads, and reports each job's end through an eventfd.

    ``lanes`` threads send, ``loaders`` threads wait for disks. A job whose peer acknowledges fewer than ``stall_bytes`` in
    ``stall_seconds`` ends as STALLED; a job sends at most ``quantum`` bytes before the next one has its turn.
    Every method may be called from any thread. Raises ValueError for a setting out of range, OSError if no thread can be started.
    """

    cdef rs_pump *pump

    def __cinit__(self, *, double stall_seconds=30.0, int64_t stall_bytes=65536, int64_t quantum=2 << 20,
                  int lanes=2, int loaders=2):
        if not 0.001 <= stall_seconds <= 1e6:
            raise ValueError("stall_seconds must lie between 0.001 and 1e6")
        if stall_bytes < 1 or quantum < 1:
            raise ValueError("stall_bytes and quantum must be positive")
        if not (1 <= lanes <= 16 and 1 <= loaders <= 16):
            raise ValueError("lanes and loaders must lie between 1 and 16")
        cdef rs_pump_config config
        config.lanes = lanes
        config.loaders = loaders
        config.stall_ns = <int64_t>(stall_seconds * 1e9)
        config.stall_bytes = stall_bytes
        config.quantum = quantum
        self.pump = rs_pump_open(&config)
        if self.pump is NULL:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.pump is not NULL:
            with nogil:
                rs_pump_free(self.pump)

    def fileno(self) -> int:
        """The eventfd that is readable while completions wait; -1 once the pump is closed."""
        return rs_pump_fileno(self.pump)

    def submit(self, int sock_fd, segments) -> int:
        """Starts sending and answers the job's number.

        A segment is bytes, or (file descriptor, offset, length). The socket is duplicated and made non-blocking; bytes are
        copied; files must stay open until the job's completion has been drained. Nobody else may write to the socket meanwhile.
        Raises ValueError for a segment that cannot be, OSError if the socket cannot be duplicated or the pump is closed.
        """
        cdef list parts = list(segments)
        cdef size_t count = len(parts)
        cdef size_t size = 0, filled = 0, used = 0
        cdef rs_segment *rows = NULL
        cdef char *memory = NULL
        cdef int64_t job = 0
        cdef bytes data
        for part in parts:
            if isinstance(part, bytes):
                size += len(<bytes>part)
        rows = <rs_segment *>malloc((count + 1) * sizeof(rs_segment))
        memory = <char *>malloc(size + 1)
        try:
            if rows is NULL or memory is NULL:
                raise MemoryError()
            for part in parts:
                if isinstance(part, bytes):
                    data = <bytes>part
                    memcpy(memory + filled, <const char *>data, len(data))
                    used = append(rows, used, -1, filled, len(data))
                    filled += len(data)
                else:
                    fd, offset, length = part
                    if not (0 <= fd < 1 << 31 and offset >= 0 and length >= 0 and offset + length < 1 << 63):
                        raise ValueError(f"not a segment: {part!r}")
                    used = append(rows, used, fd, offset, length)
            with nogil:
                job = rs_pump_submit(self.pump, sock_fd, rows, used, memory)
            if job < 0:
                raise OSError(-job, os.strerror(-job))
        except:
            free(rows)
            free(memory)
            raise
        return job

    def cancel(self, int64_t job) -> bool:
        """Shuts the job's connection down; True when the job was still active. Its completion says CANCELLED."""
        cdef int was_active
        with nogil:
            was_active = rs_pump_cancel(self.pump, job)
        return was_active != 0

    def drain(self) -> list:
        """The jobs that ended since the last call, oldest first: (job, status, bytes sent). Never waits.

        A status is DONE, HANGUP, STALLED, SHORT_FILE, CANCELLED, or the negative errno of a failed system call.
        """
        cdef rs_completion found[DRAIN_ROOM]
        cdef size_t count, i
        ended = []
        while True:
            with nogil:
                count = rs_pump_drain(self.pump, found, DRAIN_ROOM)
            for i in range(count):
                ended.append((found[i].job, found[i].status, found[i].sent))
            if count < DRAIN_ROOM:
                return ended

    def stats(self) -> dict:
        """Gauges (active, waiting, loading: jobs) and counters (sent, loaded: bytes; the others: jobs by how they ended)."""
        cdef rs_pump_stats found
        rs_pump_read_stats(self.pump, &found)
        return found

    def close(self) -> None:
        """Cancels every job and ends the threads; completions can still be drained. A second call does nothing."""
        with nogil:
            rs_pump_close(self.pump)


cdef size_t append(rs_segment *rows, size_t used, int fd, int64_t offset, int64_t length) noexcept:
    """Adds a segment, or lets the last one grow when this one continues it: neighbouring chunks are sent as one."""
    if used and rows[used - 1].fd == fd and rows[used - 1].offset + rows[used - 1].length == offset:
        rows[used - 1].length += length
        return used
    rows[used].fd = fd
    rows[used].offset = offset
    rows[used].length = length
    return used + 1
