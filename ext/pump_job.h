/* What the parts of the pump share: jobs, queues, lanes. */
#ifndef RUNSTONE_PUMP_JOB_H
#define RUNSTONE_PUMP_JOB_H

#include "pump_impl.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define MAX_LANES 16
#define MAX_LOADERS 16
#define BUCKETS 1024
#define PIPES 8 /* of a lane */

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

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void push(queue *q, job *j) {
    j->next = NULL;
    if (q->tail) q->tail->next = j;
    else q->head = j;
    q->tail = j;
}

static inline job *pop(queue *q) {
    job *j = q->head;
    if (j && !(q->head = j->next)) q->tail = NULL;
    return j;
}

/* Neither can fail in a way that matters: a full counter is readable, an empty one was read by somebody
 * else. */
static inline void raise_event(int fd) {
    uint64_t one = 1;
    if (write(fd, &one, sizeof one) < 0) return;
}

static inline void clear_event(int fd) {
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0) return;
}

static inline void hand_to_lane(job *j) {
    lane *l = j->lane;
    pthread_mutex_lock(&l->lock);
    push(&l->inbox, j);
    /* Under the lock: once the lane has the job, it may end it, and itself, and this descriptor. */
    raise_event(l->wake);
    pthread_mutex_unlock(&l->lock);
}

/* What became of a job's turn: its quantum is used up, its peer's buffer is full, its next bytes are not in the
 * page cache, or it has ended, with the reason in status. */
enum rs_outcome { RS_AGAIN, RS_NO_ROOM, RS_NOT_LOADED, RS_OVER };

/* pump_send.c: sends at most a quantum. */
enum rs_outcome rs_take_turn(lane *l, job *j);

/* pump_send.c: leaves the job's pipe, if it has one, empty and free. What was in it has not been sent, and is
 * found again from `at` and `position`. */
void rs_give_up_pipe(job *j);
void rs_close_pipe(pipe_pair *pipe);

/* pump_lane.c and pump_load.c: the threads, of a lane and of a pump. */
void *rs_lane_main(void *argument);
void *rs_loader_main(void *argument);

#endif
