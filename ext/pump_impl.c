#define _GNU_SOURCE
#include "pump_impl.h"
#include "pump_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_LANES 16
#define MAX_LOADERS 16
#define BUCKETS 1024
#define EVENTS 64
/* Sending through a pipe of ours costs a third less than sendfile, whose own takes 64 KiB at a time, and a
 * file in many segments then costs little more than a plain one. A pipe may have to wait with its job for the
 * peer: then the lane takes another. */
#define PIPE_BYTES (1 << 20)
#define PIPES 8
/* What a loader fetches for a job before the next job has its turn, and what it asks the disk to begin on
 * beyond that. */
#define LOAD_WINDOW (2 << 20)
#define LOAD_AHEAD (4 << 20)
/* How long after a load a page may still be on its way from the disk. */
#define LOAD_ECHO_NS 1000000000
#define SMALL_JOB (256 << 10)
#define NS_PER_MS 1000000

enum state {
    READY,   /* on its lane's ready list, or about to be */
    WAITING, /* for EPOLLOUT */
    LOADING  /* owned by a loader, which writes `status`, `warm` and `next` only */
};

typedef struct lane lane;
typedef struct job job;

struct job {
    int64_t id;
    int socket;
    rs_segment *segments;
    char *memory;
    size_t count, at;       /* at: the segment being sent */
    int64_t position;       /* within that segment */
    int64_t piped;          /* bytes from there on that are in the pipe */
    int64_t warm;           /* bytes after those that were found or brought into the page cache */
    int64_t sent, total;
    int64_t deadline, mark; /* by the deadline the peer must have acknowledged stall_bytes more than mark */
    int64_t status;
    enum state state;
    char watched;
    struct pipe *pipe; /* only while piped > 0 */
    atomic_bool cancelled;
    lane *lane;
    job *older, *newer; /* the lane's jobs, by deadline */
    job *next;          /* in the one queue the job is in: inbox, ready, cold or completed */
    job *chained;       /* in the table, under the pump's lock */
};

typedef struct {
    job *head, *tail;
} queue;

typedef struct pipe {
    int in, out; /* -1 while closed */
    job *owner;
} pipe_pair;

struct lane {
    rs_pump *pump;
    pthread_t thread;
    int epoll, wake;
    pthread_mutex_t lock;
    queue inbox;        /* under lock: new jobs, and those back from a loader */
    atomic_bool look;   /* a job of this lane was cancelled */
    atomic_int load;    /* jobs that have not ended; grows under the pump's lock only */
    queue ready;
    job *oldest, *newest;
    pipe_pair pipes[PIPES];
    int next_pipe;
};

struct rs_pump {
    rs_pump_config config;
    int event;
    int lanes_started, loaders_started;
    lane lanes[MAX_LANES];
    pthread_t loaders[MAX_LOADERS];

    pthread_mutex_t lock; /* the table, completions, and these */
    job *table[BUCKETS];
    queue completed;
    int64_t last_id;
    unsigned turn;
    atomic_bool closing; /* set under lock */

    pthread_mutex_t close_lock;
    int closed;

    pthread_mutex_t cold_lock;
    pthread_cond_t cold_ready;
    queue cold;
    int loaders_stop;

    _Atomic int64_t last_load;
    _Atomic int64_t waiting, loading, sent, loaded, ended[RS_CANCELLED + 1], failed;
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void push(queue *q, job *j) {
    j->next = NULL;
    if (q->tail) q->tail->next = j;
    else q->head = j;
    q->tail = j;
}

static job *pop(queue *q) {
    job *j = q->head;
    if (j && !(q->head = j->next)) q->tail = NULL;
    return j;
}

/* Neither can fail in a way that matters: a full counter is readable, an empty one was read by somebody
 * else. */
static void raise_event(int fd) {
    uint64_t one = 1;
    if (write(fd, &one, sizeof one) < 0) return;
}

static void clear_event(int fd) {
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0) return;
}

static void hand_to_lane(job *j) {
    lane *l = j->lane;
    pthread_mutex_lock(&l->lock);
    push(&l->inbox, j);
    /* Under the lock: once the lane has the job, it may end it, and itself, and this descriptor. */
    raise_event(l->wake);
    pthread_mutex_unlock(&l->lock);
}

static void link_newest(lane *l, job *j) {
    j->older = l->newest;
    j->newer = NULL;
    if (l->newest) l->newest->newer = j;
    else l->oldest = j;
    l->newest = j;
}

static void unlink_job(lane *l, job *j) {
    if (j->older) j->older->newer = j->newer;
    else l->oldest = j->newer;
    if (j->newer) j->newer->older = j->older;
    else l->newest = j->older;
}

/* Bytes that have left the send buffer because the peer acknowledged them: what counts as progress. Bytes
 * accepted into the buffer do not, since it takes megabytes at once from a peer that reads nothing, and then
 * none for minutes from a slow one. */
static int64_t acknowledged(const job *j) {
    int queued = 0;
    if (ioctl(j->socket, SIOCOUTQ, &queued) != 0) queued = 0;
    return j->sent - queued;
}

static void start_interval(lane *l, job *j, int64_t now) {
    j->mark = acknowledged(j);
    j->deadline = now + l->pump->config.stall_ns;
    link_newest(l, j);
}

static void close_pipe(pipe_pair *pipe) {
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
static void give_up_pipe(job *j) {
    if (j->pipe == NULL) return;
    if (j->piped > 0) close_pipe(j->pipe);
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
        give_up_pipe(found->owner);
    }
    int error = found->in < 0 ? open_pipe(found) : 0;
    if (error) return error;
    found->owner = j;
    j->pipe = found;
    return 0;
}

static void forget(job *j) {
    rs_pump *p = j->lane->pump;
    job **link = &p->table[j->id % BUCKETS];
    while (*link != j) link = &(*link)->chained;
    *link = j->chained;
}

static void end(lane *l, job *j, int64_t status) {
    rs_pump *p = l->pump;
    if (j->state == WAITING) p->waiting--;
    unlink_job(l, j);
    /* The description lives on in the caller's descriptor, and an epoll watches descriptions: closing
     * would not end it. */
    if (j->watched) epoll_ctl(l->epoll, EPOLL_CTL_DEL, j->socket, NULL);
    give_up_pipe(j);

    /* Out of the table first, so that a cancel never shuts down a descriptor that has been given to
     * somebody else. */
    pthread_mutex_lock(&p->lock);
    forget(j);
    if (j->cancelled) status = RS_CANCELLED;
    pthread_mutex_unlock(&p->lock);

    if (status != RS_DONE) {
        /* A reset, not a close: the peer must not take what it got for the whole, and the kernel need not
         * keep what it did not. */
        struct linger reset = {1, 0};
        setsockopt(j->socket, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(j->socket);
    free(j->segments);
    free(j->memory);
    j->status = status;
    if (status >= 0) p->ended[status]++;
    else p->failed++;

    l->load--;
    pthread_mutex_lock(&p->lock);
    int first = p->completed.head == NULL;
    push(&p->completed, j); /* a drain may free it from here on */
    pthread_mutex_unlock(&p->lock);
    if (first) raise_event(p->event);
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

static void await_room(lane *l, job *j) {
    if (!j->watched) {
        /* Level-triggered: whatever cut a send short, the next wait looks at the socket again, so no
         * wake-up can be lost. No EPOLLRDHUP: a peer that has finished its requests may still be reading. */
        struct epoll_event event = {.events = EPOLLOUT, .data.ptr = j};
        if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, j->socket, &event) != 0) {
            end(l, j, -errno);
            return;
        }
        j->watched = 1;
    }
    j->state = WAITING;
    l->pump->waiting++;
}

static void await_load(lane *l, job *j) {
    rs_pump *p = l->pump;
    j->state = LOADING;
    p->loading++;
    pthread_mutex_lock(&p->cold_lock);
    push(&p->cold, j);
    pthread_cond_signal(&p->cold_ready);
    pthread_mutex_unlock(&p->cold_lock);
}

enum outcome { AGAIN, NO_ROOM, NOT_LOADED, OVER };

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
 * in the page cache. When there is nothing to fill it with, answers why not, with status set if it is OVER;
 * else AGAIN. */
static enum outcome fill_pipe(rs_pump *p, job *j, int64_t most) {
    int64_t position = j->position;
    for (size_t i = j->at; i < j->count && j->piped < most; i++, position = 0) {
        const rs_segment *s = &j->segments[i];
        if (s->fd < 0 && s->length > 0) break;
        while (position < s->length && j->piped < most) {
            if (j->warm == 0 && !find_warm(p, j, s, position)) return j->piped ? AGAIN : NOT_LOADED;
            int64_t want = s->length - position;
            if (want > most - j->piped) want = most - j->piped;
            if (want > j->warm) want = j->warm;
            off_t from = s->offset + position;
            ssize_t n = splice(s->fd, &from, j->pipe->in, NULL, (size_t)want, SPLICE_F_NONBLOCK);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0 && j->piped > 0) return AGAIN; /* full; or met again when the pipe is empty */
            if (n <= 0) {
                j->status = n == 0 ? RS_SHORT_FILE : -errno;
                return OVER;
            }
            position += n, j->piped += n, j->warm -= n;
        }
    }
    return AGAIN;
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

/* Sends at most a quantum; OVER leaves the reason in status. */
static enum outcome take_turn(lane *l, job *j) {
    rs_pump *p = l->pump;
    int64_t budget = p->config.quantum;
    if (j->cancelled) j->status = RS_CANCELLED;
    if (j->status) return OVER;
    while (j->at < j->count) {
        const rs_segment *s = &j->segments[j->at];
        int64_t want = s->length - j->position;
        if (want == 0) {
            j->at++, j->position = 0;
            continue;
        }
        if (budget <= 0 && j->piped == 0) return AGAIN;
        if (s->fd >= 0 && j->piped == 0) {
            if ((j->status = take_pipe(l, j))) return OVER;
            enum outcome filled = fill_pipe(p, j, budget);
            if (filled != AGAIN) {
                give_up_pipe(j);
                return filled;
            }
        }
        if (s->fd >= 0) want = j->piped;
        ssize_t n = s->fd < 0 ? send_bytes(j, want) : send_piped(j);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return NO_ROOM;
        if (n <= 0) {
            /* Nothing comes out of a full pipe when its pages have been cut off the file. */
            j->status = n == 0 ? RS_SHORT_FILE : meaning_of(errno);
            return OVER;
        }
        move_on(j, n);
        budget -= n, p->sent += n;
        if (n < want) return NO_ROOM;
    }
    return OVER;
}

static void advance(lane *l, job *j) {
    switch (take_turn(l, j)) {
    case AGAIN: push(&l->ready, j); break;
    case NO_ROOM: await_room(l, j); break;
    case NOT_LOADED: await_load(l, j); break;
    case OVER: end(l, j, j->status); break;
    }
}

/* Takes in new jobs and those whose pages have been loaded; ends those that were cancelled, if they are
 * this lane's to end. */
static void collect(lane *l) {
    rs_pump *p = l->pump;
    pthread_mutex_lock(&l->lock);
    queue taken = l->inbox;
    l->inbox = (queue){NULL, NULL};
    pthread_mutex_unlock(&l->lock);
    for (job *j; (j = pop(&taken));) {
        if (j->state == LOADING) p->loading--;
        else start_interval(l, j, now_ns());
        j->state = READY;
        push(&l->ready, j);
    }
    if (!atomic_exchange(&l->look, 0)) return;
    for (job *j = l->oldest, *newer; j; j = newer) {
        newer = j->newer;
        if (p->closing) j->cancelled = 1;
        if (j->cancelled && j->state == WAITING) end(l, j, RS_CANCELLED);
    }
}

static void take_events(lane *l) {
    struct epoll_event events[EVENTS];
    int timeout = -1;
    if (l->ready.head) timeout = 0;
    else if (l->oldest) {
        int64_t left = l->oldest->deadline - now_ns();
        timeout = left <= 0 ? 0 : left / NS_PER_MS >= 60000 ? 60000 : (int)(left / NS_PER_MS) + 1;
    }
    int n = epoll_wait(l->epoll, events, EVENTS, timeout);
    for (int i = 0; i < n; i++) {
        job *j = events[i].data.ptr;
        if (j == NULL) clear_event(l->wake);
        else if (j->state == WAITING) {
            j->state = READY;
            l->pump->waiting--;
            push(&l->ready, j);
        } else if (j->state == LOADING) {
            /* Else the level-triggered event would keep the lane spinning until the disk has answered. */
            epoll_ctl(l->epoll, EPOLL_CTL_DEL, j->socket, NULL);
            j->watched = 0;
        }
    }
}

static void end_stalled(lane *l) {
    if (l->oldest == NULL) return;
    int64_t now = now_ns();
    for (job *j; (j = l->oldest) && j->deadline <= now;) {
        if (j->state == WAITING && acknowledged(j) - j->mark < l->pump->config.stall_bytes) {
            end(l, j, RS_STALLED);
        } else {
            unlink_job(l, j);
            start_interval(l, j, now);
        }
    }
}

static void *lane_main(void *argument) {
    lane *l = argument;
    for (;;) {
        if (l->pump->closing) l->look = 1;
        collect(l);
        if (l->pump->closing && l->load == 0) return NULL;
        take_events(l);
        end_stalled(l);
        job *last = l->ready.tail;
        for (job *j; last && (j = pop(&l->ready));) {
            int was_last = j == last;
            advance(l, j);
            if (was_last) break;
        }
    }
}

/* Brings in the next LOAD_WINDOW bytes of the job's files, however many segments that takes. */
static void load_window(rs_pump *p, job *j) {
    int64_t hinted = 0, loaded = 0, position = j->position;
    for (size_t i = j->at; i < j->count && hinted < LOAD_WINDOW + LOAD_AHEAD; i++, position = 0) {
        const rs_segment *s = &j->segments[i];
        if (s->fd < 0) continue;
        int64_t length = s->length - position, most = LOAD_WINDOW + LOAD_AHEAD - hinted;
        if (length > most) length = most;
        readahead(s->fd, s->offset + position, (size_t)length); /* a hint: the read below reports what fails */
        hinted += length;
    }
    position = j->position;
    for (size_t i = j->at; i < j->count && loaded < LOAD_WINDOW; i++, position = 0) {
        const rs_segment *s = &j->segments[i];
        if (s->fd < 0) continue;
        int64_t length = s->length - position;
        if (length > LOAD_WINDOW - loaded) length = LOAD_WINDOW - loaded;
        int64_t got = rs_load(s->fd, s->offset + position, length);
        /* An error of a later segment is met again when that segment is the next to be sent. */
        if (got < 0 && loaded == 0) j->status = got;
        if (got < 0) break;
        loaded += length;
        p->loaded += got;
        if (got < length) break;
    }
    j->warm = loaded;
}

static void *loader_main(void *argument) {
    rs_pump *p = argument;
    for (;;) {
        pthread_mutex_lock(&p->cold_lock);
        while (p->cold.head == NULL && !p->loaders_stop) pthread_cond_wait(&p->cold_ready, &p->cold_lock);
        job *j = pop(&p->cold);
        pthread_mutex_unlock(&p->cold_lock);
        if (j == NULL) return NULL;
        if (!p->closing && !j->cancelled) {
            p->last_load = now_ns();
            load_window(p, j);
            p->last_load = now_ns();
        }
        hand_to_lane(j);
    }
}

static int start_lane(rs_pump *p, lane *l) {
    l->pump = p;
    for (int i = 0; i < PIPES; i++) l->pipes[i] = (pipe_pair){-1, -1, NULL};
    pthread_mutex_init(&l->lock, NULL);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int error = 0;
    if (l->epoll < 0 || l->wake < 0) error = errno;
    else if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &event) != 0) error = errno;
    if (error == 0) error = pthread_create(&l->thread, NULL, lane_main, l);
    if (error == 0) {
        pthread_setname_np(l->thread, "pump-lane");
        p->lanes_started++;
        return 0;
    }
    if (l->epoll >= 0) close(l->epoll);
    if (l->wake >= 0) close(l->wake);
    return error;
}

static int start_threads(rs_pump *p) {
    int error = 0;
    while (error == 0 && p->lanes_started < p->config.lanes) {
        error = start_lane(p, &p->lanes[p->lanes_started]);
    }
    while (error == 0 && p->loaders_started < p->config.loaders) {
        error = pthread_create(&p->loaders[p->loaders_started], NULL, loader_main, p);
        if (error == 0) pthread_setname_np(p->loaders[p->loaders_started++], "pump-loader");
    }
    return error;
}

rs_pump *rs_pump_open(const rs_pump_config *config) {
    rs_pump *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->config = *config;
    if (p->config.lanes > MAX_LANES) p->config.lanes = MAX_LANES;
    if (p->config.loaders > MAX_LOADERS) p->config.loaders = MAX_LOADERS;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->close_lock, NULL);
    pthread_mutex_init(&p->cold_lock, NULL);
    pthread_cond_init(&p->cold_ready, NULL);
    p->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = p->event < 0 ? errno : 0;
    if (error == 0) {
        /* Signals are for the interpreter's threads; and sendfile knows no MSG_NOSIGNAL, so SIGPIPE must
         * find them blocked. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = start_threads(p);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (error == 0) return p;
    rs_pump_free(p);
    errno = error;
    return NULL;
}

int rs_pump_fileno(rs_pump *p) {
    pthread_mutex_lock(&p->lock);
    int event = p->event;
    pthread_mutex_unlock(&p->lock);
    return event;
}

static lane *least_loaded(rs_pump *p) {
    unsigned lanes = (unsigned)p->config.lanes, first = p->turn++;
    lane *best = NULL;
    for (unsigned i = 0; i < lanes; i++) {
        lane *l = &p->lanes[(first + i) % lanes];
        if (best == NULL || l->load < best->load) best = l;
    }
    return best;
}

int64_t rs_pump_submit(rs_pump *p, int socket, rs_segment *segments, size_t count, char *memory) {
    int duplicate = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) return -errno;
    int flags = fcntl(duplicate, F_GETFL), error = 0;
    job *j = calloc(1, sizeof *j);
    if (j == NULL) error = ENOMEM;
    else if (flags < 0) error = errno;
    else if (!(flags & O_NONBLOCK) && fcntl(duplicate, F_SETFL, flags | O_NONBLOCK) != 0) error = errno;
    if (error) {
        free(j);
        close(duplicate);
        return -error;
    }
    j->socket = duplicate, j->segments = segments, j->count = count, j->memory = memory;
    for (size_t i = 0; i < count; i++) j->total += segments[i].length;

    pthread_mutex_lock(&p->lock);
    if (p->closing) {
        pthread_mutex_unlock(&p->lock);
        free(j);
        close(duplicate);
        return -ESHUTDOWN;
    }
    int64_t id = j->id = ++p->last_id;
    j->lane = least_loaded(p);
    j->lane->load++;
    j->chained = p->table[id % BUCKETS];
    p->table[id % BUCKETS] = j;
    pthread_mutex_unlock(&p->lock);
    hand_to_lane(j);
    return id;
}

int rs_pump_cancel(rs_pump *p, int64_t id) {
    int found = 0;
    pthread_mutex_lock(&p->lock);
    for (job *j = p->table[(uint64_t)id % BUCKETS]; j; j = j->chained) {
        if (j->id != id) continue;
        j->cancelled = 1;
        shutdown(j->socket, SHUT_RDWR);
        j->lane->look = 1;
        raise_event(j->lane->wake);
        found = 1;
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

size_t rs_pump_drain(rs_pump *p, rs_completion *out, size_t room) {
    queue taken = {NULL, NULL};
    size_t count = 0;
    pthread_mutex_lock(&p->lock);
    clear_event(p->event);
    for (job *j; count < room && (j = pop(&p->completed)); count++) {
        out[count] = (rs_completion){j->id, j->status, j->sent};
        push(&taken, j);
    }
    if (p->completed.head) raise_event(p->event);
    pthread_mutex_unlock(&p->lock);
    for (job *j; (j = pop(&taken));) free(j);
    return count;
}

void rs_pump_read_stats(rs_pump *p, rs_pump_stats *stats) {
    *stats = (rs_pump_stats){
        .waiting = p->waiting,
        .loading = p->loading,
        .sent = p->sent,
        .loaded = p->loaded,
        .done = p->ended[RS_DONE],
        .hung_up = p->ended[RS_HANGUP],
        .stalled = p->ended[RS_STALLED],
        .short_file = p->ended[RS_SHORT_FILE],
        .cancelled = p->ended[RS_CANCELLED],
        .failed = p->failed,
    };
    for (int i = 0; i < p->config.lanes; i++) stats->active += p->lanes[i].load;
}

void rs_pump_close(rs_pump *p) {
    pthread_mutex_lock(&p->close_lock);
    if (!p->closed) {
        pthread_mutex_lock(&p->lock);
        p->closing = 1;
        pthread_mutex_unlock(&p->lock);
        for (int i = 0; i < p->lanes_started; i++) raise_event(p->lanes[i].wake);
        for (int i = 0; i < p->lanes_started; i++) {
            lane *l = &p->lanes[i];
            pthread_join(l->thread, NULL);
            close(l->epoll);
            close(l->wake);
            for (int k = 0; k < PIPES; k++) close_pipe(&l->pipes[k]);
        }
        pthread_mutex_lock(&p->cold_lock);
        p->loaders_stop = 1;
        pthread_cond_broadcast(&p->cold_ready);
        pthread_mutex_unlock(&p->cold_lock);
        for (int i = 0; i < p->loaders_started; i++) pthread_join(p->loaders[i], NULL);
        pthread_mutex_lock(&p->lock);
        if (p->event >= 0) close(p->event);
        p->event = -1;
        pthread_mutex_unlock(&p->lock);
        p->closed = 1;
    }
    pthread_mutex_unlock(&p->close_lock);
}

void rs_pump_free(rs_pump *p) {
    rs_pump_close(p);
    for (int i = 0; i < p->lanes_started; i++) pthread_mutex_destroy(&p->lanes[i].lock);
    for (job *j; (j = pop(&p->completed));) free(j);
    pthread_cond_destroy(&p->cold_ready);
    pthread_mutex_destroy(&p->cold_lock);
    pthread_mutex_destroy(&p->close_lock);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
