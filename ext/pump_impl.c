#define _GNU_SOURCE
#include "pump_impl.h"
#include "pump_job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

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
    if (error == 0) error = pthread_create(&l->thread, NULL, rs_lane_main, l);
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
        error = pthread_create(&p->loaders[p->loaders_started], NULL, rs_loader_main, p);
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
        /* Signals are for the interpreter's threads; and splice knows no MSG_NOSIGNAL, so SIGPIPE must
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
            for (int k = 0; k < PIPES; k++) rs_close_pipe(&l->pipes[k]);
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
