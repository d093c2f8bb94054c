#define _GNU_SOURCE
#include "pump_cache.h"
#include "pump_job.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

/* Sending through a pipe of ours costs a third less than sendfile, whose own takes 64 KiB at a time, and a
 * file in many segments then costs little more than a plain one. A pipe may have to wait with its job for the
 * peer: then the lane takes another. */
#define PIPE_BYTES (1 << 20)
/* How long after a load a page may still be on its way from the disk. */
#define LOAD_ECHO_NS 1000000000
#define SMALL_JOB (256 << 10)

void rs_close_pipe(pipe_pair *pipe) {
    if (pipe->in >= 0) close(pipe->in), close(pipe->out);
    pipe->in = pipe->out = -1;
    pipe->owner = NULL;
}

static int open_pipe(pipe_pair *pipe) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -errno;
    /* Where this user may not have so much, it is a smaller one. */
    fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
    pipe->out = ends[0], pipe->in = ends[1];
    return 0;
}

/* Leaves the pipe empty and free. What was in it has not been sent, and is found again from `at` and
 * `position`. */
void rs_give_up_pipe(job *j) {
    if (j->pipe == NULL) return;
    if (j->piped > 0) rs_close_pipe(j->pipe);
    else j->pipe->owner = NULL;
    j->pipe = NULL;
    j->piped = j->warm = 0;
}

/* Finds the job an empty pipe: a free one, or that of a job that waits for its peer. */
static int take_pipe(lane *l, job *j) {
    pipe_pair *found = NULL;
    for (int i = 0; i < PIPES && found == NULL; i++) {
        if (l->pipes[i].owner == NULL) found = &l->pipes[i];
    }
    if (found == NULL) {
        found = &l->pipes[l->next_pipe++ % PIPES];
        rs_give_up_pipe(found->owner);
    }
    int error = found->in < 0 ? open_pipe(found) : 0;
    if (error) return error;
    found->owner = j;
    j->pipe = found;
    return 0;
}

static int find_warm(rs_pump *p, job *j, const rs_segment *s, int64_t position) {
    int64_t rest = s->length - position;
    if (rest > p->config.quantum) rest = p->config.quantum;
    /* Whoever hands over a small job may have tried to read it without waiting, which sets the disk to
     * work as well. */
    int thorough = j->total <= SMALL_JOB || (p->last_load && now_ns() - p->last_load < LOAD_ECHO_NS);
    if (rs_is_cached(s->fd, s->offset + position, rest, thorough)) j->warm = rest;
    return j->warm > 0;
}

/* Fills the empty pipe of the job with at most `most` bytes of the files that follow, as far as they are
 * in the page cache. When there is nothing to fill it with, answers why not, with status set if it is RS_OVER;
 * else RS_AGAIN. */
static enum rs_outcome fill_pipe(rs_pump *p, job *j, int64_t most) {
    int64_t position = j->position;
    for (size_t i = j->at; i < j->count && j->piped < most; i++, position = 0) {
        const rs_segment *s = &j->segments[i];
        if (s->fd < 0 && s->length > 0) break;
        while (position < s->length && j->piped < most) {
            if (j->warm == 0 && !find_warm(p, j, s, position)) return j->piped ? RS_AGAIN : RS_NOT_LOADED;
            int64_t want = s->length - position;
            if (want > most - j->piped) want = most - j->piped;
            if (want > j->warm) want = j->warm;
            off_t from = s->offset + position;
            ssize_t n = splice(s->fd, &from, j->pipe->in, NULL, (size_t)want, SPLICE_F_NONBLOCK);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0 && j->piped > 0) return RS_AGAIN; /* full; or met again when the pipe is empty */
            if (n <= 0) {
                j->status = n == 0 ? RS_SHORT_FILE : -errno;
                return RS_OVER;
            }
            position += n, j->piped += n, j->warm -= n;
        }
    }
    return RS_AGAIN;
}

static void move_on(job *j, int64_t n) {
    j->sent += n;
    while (n > 0) {
        int64_t rest = j->segments[j->at].length - j->position, step = n < rest ? n : rest;
        j->position += step, n -= step;
        if (j->position == j->segments[j->at].length) j->at++, j->position = 0;
    }
}

/* What is sent is marked as to be continued up to the job's last byte: header and content share packets,
 * and no packet is sent part-filled because a segment ends. */
static ssize_t send_bytes(job *j, int64_t want) {
    const rs_segment *s = &j->segments[j->at];
    int more = j->sent + want < j->total ? MSG_MORE : 0;
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL | more;
    return send(j->socket, j->memory + s->offset + j->position, (size_t)want, flags);
}

static ssize_t send_piped(job *j) {
    unsigned more = j->sent + j->piped < j->total ? SPLICE_F_MORE : 0;
    ssize_t n = splice(j->pipe->out, NULL, j->socket, NULL, (size_t)j->piped, SPLICE_F_NONBLOCK | more);
    if (n > 0 && (j->piped -= n) == 0) {
        j->pipe->owner = NULL;
        j->pipe = NULL;
    }
    return n;
}

static int64_t meaning_of(int error) {
    switch (error) {
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
        return RS_HANGUP;
    default:
        return -error;
    }
}

/* Sends at most a quantum; RS_OVER leaves the reason in status. */
enum rs_outcome rs_take_turn(lane *l, job *j) {
    rs_pump *p = l->pump;
    int64_t budget = p->config.quantum;
    if (j->cancelled) j->status = RS_CANCELLED;
    if (j->status) return RS_OVER;
    while (j->at < j->count) {
        const rs_segment *s = &j->segments[j->at];
        int64_t want = s->length - j->position;
        if (want == 0) {
            j->at++, j->position = 0;
            continue;
        }
        if (budget <= 0 && j->piped == 0) return RS_AGAIN;
        if (s->fd >= 0 && j->piped == 0) {
            if ((j->status = take_pipe(l, j))) return RS_OVER;
            enum rs_outcome filled = fill_pipe(p, j, budget);
            if (filled != RS_AGAIN) {
                rs_give_up_pipe(j);
                return filled;
            }
        }
        if (s->fd >= 0) want = j->piped;
        ssize_t n = s->fd < 0 ? send_bytes(j, want) : send_piped(j);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return RS_NO_ROOM;
        if (n <= 0) {
            /* Nothing comes out of a full pipe when its pages have been cut off the file. */
            j->status = n == 0 ? RS_SHORT_FILE : meaning_of(errno);
            return RS_OVER;
        }
        move_on(j, n);
        budget -= n, p->sent += n;
        if (n < want) return RS_NO_ROOM;
    }
    return RS_OVER;
}
