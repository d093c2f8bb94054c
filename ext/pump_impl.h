/* The stream pump: native threads that send files to sockets while nobody holds the interpreter's lock.
 *
 * Lanes (threads with an epoll each) splice files into sockets; loaders (threads without one) read pages that
 * are not in the page cache, so that a disk read never stops a lane. A job belongs to exactly one of them at
 * any time. */
#ifndef RUNSTONE_PUMP_IMPL_H
#define RUNSTONE_PUMP_IMPL_H

#include <stddef.h>
#include <stdint.h>

/* How a job ended. Negative values are -errno of a failed system call that is none of these. */
enum {
    RS_DONE = 0,       /* every byte is in the socket's send buffer */
    RS_HANGUP = 1,     /* the peer reset the connection or stopped accepting for good */
    RS_STALLED = 2,    /* the peer acknowledged fewer than stall_bytes in stall_seconds */
    RS_SHORT_FILE = 3, /* a file ended before its segment did */
    RS_CANCELLED = 4   /* cancelled, or the pump was closed */
};

/* Bytes of a file, or of the job's own memory when fd is -1 (offset then counts from the start of that
 * memory). */
typedef struct {
    int fd;
    int64_t offset;
    int64_t length;
} rs_segment;

typedef struct {
    int lanes;
    int loaders;
    int64_t stall_ns;
    int64_t stall_bytes;
    int64_t quantum; /* bytes a job may send before the next job of its lane has its turn */
} rs_pump_config;

typedef struct {
    int64_t active;    /* jobs submitted and not ended */
    int64_t waiting;   /* of these, waiting for the peer to make room */
    int64_t loading;   /* of these, waiting for a disk read */
    int64_t sent;      /* bytes handed to sockets */
    int64_t loaded;    /* bytes that loaders had to fetch */
    int64_t done;
    int64_t hung_up;
    int64_t stalled;
    int64_t short_file;
    int64_t cancelled;
    int64_t failed;
} rs_pump_stats;

typedef struct {
    int64_t job;
    int64_t status;
    int64_t sent;
} rs_completion;

typedef struct rs_pump rs_pump;

/* Starts the threads. NULL with errno set on failure; free the result with rs_pump_free. */
rs_pump *rs_pump_open(const rs_pump_config *config);

/* The eventfd that is readable while completions wait; -1 after rs_pump_close. */
int rs_pump_fileno(rs_pump *pump);

/* Starts sending the segments to a duplicate of the socket; answers a job number > 0, or -errno. Takes
 * ownership of segments and memory (both from malloc) on success only. The files must stay open until the
 * job's completion has been drained; the socket need not. The socket becomes non-blocking. */
int64_t rs_pump_submit(rs_pump *pump, int socket, rs_segment *segments, size_t count, char *memory);

/* Shuts the job's duplicate, and with it the connection, down; 1 when the job was still active. Its
 * completion follows. */
int rs_pump_cancel(rs_pump *pump, int64_t job);

/* Moves up to room completions to out, oldest first. The eventfd stays readable while some are left. */
size_t rs_pump_drain(rs_pump *pump, rs_completion *out, size_t room);

void rs_pump_read_stats(rs_pump *pump, rs_pump_stats *stats);

/* Cancels every job, joins the threads and closes the eventfd. Completions can still be drained. May be
 * called again, and by several threads. */
void rs_pump_close(rs_pump *pump);

/* Closes if need be, and frees. No other call may be running or follow. */
void rs_pump_free(rs_pump *pump);

#endif
