#define _GNU_SOURCE
#include "pump_job.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define EVENTS 64
#define NS_PER_MS 1000000

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
    rs_give_up_pipe(j);

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

static void advance(lane *l, job *j) {
    switch (rs_take_turn(l, j)) {
    case RS_AGAIN: push(&l->ready, j); break;
    case RS_NO_ROOM: await_room(l, j); break;
    case RS_NOT_LOADED: await_load(l, j); break;
    case RS_OVER: end(l, j, j->status); break;
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

void *rs_lane_main(void *argument) {
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
