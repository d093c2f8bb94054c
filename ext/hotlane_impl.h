/* The hot lane: one thread that answers, on connections lent to it, the requests whose answers it was told.
 *
 * A request is known by the BLAKE3 of its whole head, because a head holds a key, which is kept nowhere. An answer
 * counts for as long as the watched word (the number of the store's last commit, in memory that all processes
 * share) is what it was when the answer was made, and until its own time has come. Everything else that arrives is
 * given back, with the connection, byte for byte. */
#ifndef RUNSTONE_HOTLANE_IMPL_H
#define RUNSTONE_HOTLANE_IMPL_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum {
    RS_HEAD_MAX = 4096,         /* longest head that is looked up */
    RS_PEER_MAX = 64,           /* longest address of a peer, with its end */
    RS_ANSWER_MAX = 128 << 10,  /* longest answer */
    RS_RECORDS = 4096           /* requests that may wait for the log */
};

/* A connection that is given back: what it sent and nobody has looked at, and what it must still be sent, which
 * goes first. */
typedef struct rs_returned {
    struct rs_returned *next;
    uint64_t loan;
    size_t received, unsent;
    char bytes[]; /* received, then unsent */
} rs_returned;

/* What was answered with one answer since it was last told. */
typedef struct {
    uint64_t tag, requests, ns, sent;
} rs_counted;

/* One request, for the log. */
typedef struct {
    uint64_t tag, number;
    int64_t at_us, ns, sent;
    char peer[RS_PEER_MAX];
} rs_record;

/* The three parts of an answer: the request's id comes between the first two, the date between the last two. */
typedef struct {
    const char *before, *between, *after;
    size_t before_length, between_length, after_length;
} rs_parts;

typedef struct rs_hotlane rs_hotlane;

/* Starts the thread. `word` is a descriptor and an offset of eight bytes that change with each commit; `prefix`
 * (under 64 bytes) begins the id of each request; with `keep_records` each request is noted for the log. NULL with errno set on
 * failure; free the result with rs_hotlane_free. */
rs_hotlane *rs_hotlane_open(int word_fd, int64_t word_offset, const char *prefix, int keep_records);

/* The eventfd that is readable while connections or records wait to be taken. */
int rs_hotlane_fileno(rs_hotlane *l);

/* Forgets all answers; those that follow are of `commit`. What they counted is added to what drain tells. */
void rs_hotlane_forget(rs_hotlane *l, uint64_t commit);

/* Keeps a copy of an answer until `until_us` (Unix time). 1 when it is kept, 0 when the word is not the commit of the last
 * forget, or there are too many, -ENOMEM. */
int rs_hotlane_remember(
    rs_hotlane *l, const uint8_t digest[32], const rs_parts *parts, int64_t until_us, uint64_t tag);

/* Lends a socket, which nobody else may read or write until it is taken or given back, nor close before. A number > 0
 * for the loan, or -errno. */
int64_t rs_hotlane_lend(rs_hotlane *l, int fd, const char *peer);

/* Takes a connection back, if the loan still stands: 1, and the time of its last answer (monotonic, ns). 0 when it has
 * been given back. */
int rs_hotlane_take(rs_hotlane *l, uint64_t loan);

/* When a connection was last answered (monotonic, ns), or lent; 0 when the loan is over. */
int64_t rs_hotlane_last(rs_hotlane *l, uint64_t loan);

/* The connections that were given back, oldest first; the caller frees each. Clears the eventfd. */
rs_returned *rs_hotlane_drain(rs_hotlane *l);

/* Moves up to room counts or records out. */
size_t rs_hotlane_count(rs_hotlane *l, rs_counted *out, size_t room);
size_t rs_hotlane_records(rs_hotlane *l, rs_record *out, size_t room);

/* Ends the thread; every connection still lent is given back. A second call does nothing. */
void rs_hotlane_close(rs_hotlane *l);

void rs_hotlane_free(rs_hotlane *l);

#pragma GCC visibility pop

#endif
