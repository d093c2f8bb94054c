#define _GNU_SOURCE
#include "hotlane_impl.h"

#include "blake3.h"
#include "hotlane_answers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, IN = 64 << 10, OUT = 256 << 10, DATE = 29, NUMBER = 17, PAGE = 4096 };

typedef struct {
    uint32_t serial; /* of the loan; 0 when there is none */
    int64_t last;    /* ns */
    char peer[RS_PEER_MAX];
} connection;

struct rs_hotlane {
    /* Whoever waits for `lock` holds `turn`, which the thread passes through too: or it would let go of the lock and have it back
     * before anybody woke. */
    pthread_mutex_t turn, lock;
    pthread_t thread;
    int started, closing, epoll, wake, event;
    uint64_t *page;
    const _Atomic uint64_t *word;
    uint64_t commit, number;
    rs_answers answers;
    connection *connections;
    size_t room;
    uint32_t serial;
    rs_returned *first, **last;
    rs_record *records;
    size_t recorded;
    char prefix[64];
    size_t prefix_length;
    time_t second;
    char date[DATE + 1];
    char in[IN], out[OUT];
};

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void enter(rs_hotlane *l) {
    pthread_mutex_lock(&l->turn);
    pthread_mutex_lock(&l->lock);
    pthread_mutex_unlock(&l->turn);
}

static void leave(rs_hotlane *l) { pthread_mutex_unlock(&l->lock); }

static void ring(int fd) {
    uint64_t one = 1;
    if (write(fd, &one, sizeof one) < 0) return;
}

static uint64_t loan_of(uint32_t serial, int fd) { return (uint64_t)serial << 32 | (uint32_t)fd; }

/* The connection of a loan that still stands, or NULL. */
static connection *lent(rs_hotlane *l, uint64_t loan) {
    size_t fd = (uint32_t)loan;
    if (fd >= l->room || l->connections[fd].serial != loan >> 32 || loan >> 32 == 0) return NULL;
    return &l->connections[fd];
}

/* Ends a loan, and passes on what has arrived and what is still to be sent. */
static void give_back(
    rs_hotlane *l, uint64_t loan, const char *data, size_t length, const char *unsent, size_t unsent_length) {
    connection *c = lent(l, loan);
    if (c == NULL) return;
    int fd = (int)(uint32_t)loan;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
    c->serial = 0;
    rs_returned *r = malloc(sizeof *r + length + unsent_length);
    if (r == NULL) {
        /* What it sent cannot be kept, so the connection must not go on as if it had been answered. */
        shutdown(fd, SHUT_RDWR);
        r = malloc(sizeof *r);
        if (r == NULL) return;
        length = unsent_length = 0;
    }
    *r = (rs_returned){.loan = loan, .received = length, .unsent = unsent_length};
    if (length) memcpy(r->bytes, data, length);
    if (unsent_length) memcpy(r->bytes + length, unsent, unsent_length);
    *l->last = r;
    l->last = &r->next;
    ring(l->event);
}

static void tell_date(rs_hotlane *l, time_t now) {
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm t;
    char text[96];
    if (now == l->second) return;
    gmtime_r(&now, &t);
    snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * t.tm_wday, t.tm_mday,
             months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    memcpy(l->date, text, DATE);
    l->second = now;
}

static size_t number_text(uint64_t number, char *out) {
    char text[NUMBER];
    size_t at = NUMBER;
    do text[--at] = "0123456789abcdef"[number & 15];
    while (number >>= 4);
    memcpy(out, text + at, NUMBER - at);
    return NUMBER - at;
}

static size_t put(char *out, size_t at, const char *data, size_t length) {
    memcpy(out + at, data, length);
    return at + length;
}

/* Writes an answer to `out`; its length. */
static size_t write_answer(rs_hotlane *l, const rs_answer *a, char *out) {
    const char *bytes = a->bytes;
    size_t at = put(out, 0, bytes, a->before);
    at = put(out, at, l->prefix, l->prefix_length);
    at += number_text(++l->number, out + at);
    at = put(out, at, bytes + a->before, a->between);
    at = put(out, at, l->date, DATE);
    return put(out, at, bytes + a->before + a->between, a->after);
}

/* The answer to the head that `data` begins with, whose length goes to `*head`; NULL when there is none. */
static rs_answer *answer_to(rs_hotlane *l, const char *data, size_t length, int64_t now_us, size_t *head) {
    static const char start[] = "GET /api/";
    if (length < sizeof start || memcmp(data, start, sizeof start - 1) != 0) return NULL;
    const char *end = memmem(data, length < RS_HEAD_MAX ? length : RS_HEAD_MAX, "\r\n\r\n", 4);
    if (end == NULL) return NULL;
    *head = (size_t)(end - data) + 4;
    uint8_t digest[32];
    blake3_hash(NULL, (const uint8_t *)data, *head, digest);
    rs_answer *a = rs_answers_find(&l->answers, digest);
    return a && a->until_us > now_us ? a : NULL;
}

static void note(rs_hotlane *l, const connection *c, const rs_answer *a, int64_t now_us, int64_t ns, size_t sent) {
    rs_record *r = &l->records[l->recorded++];
    *r = (rs_record){a->counted.tag, l->number, now_us, ns, (int64_t)sent, {0}};
    memcpy(r->peer, c->peer, RS_PEER_MAX);
    if (l->recorded == 1) ring(l->event);
}

/* Sends what is in `out`; how much of it was taken, or -1 when the connection is broken. */
static ssize_t send_some(int fd, const char *out, size_t length) {
    ssize_t sent = send(fd, out, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

/* Answers what has arrived on a connection, for as long as there are answers to it; the rest goes back. */
static void serve(rs_hotlane *l, uint64_t loan) {
    connection *c = lent(l, loan);
    if (c == NULL) return;
    int fd = (int)(uint32_t)loan;
    ssize_t got = recv(fd, l->in, IN, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        give_back(l, loan, NULL, 0, NULL, 0);
        return;
    }
    int64_t began = clock_ns(CLOCK_MONOTONIC), now_us = clock_ns(CLOCK_REALTIME) / 1000;
    size_t at = 0, filled = 0, length = (size_t)got, head = 0;
    tell_date(l, (time_t)(now_us / 1000000));
    /* After the request has been read: whoever moved an alias was answered before anybody could ask because of it. */
    int current = atomic_load_explicit(l->word, memory_order_acquire) == l->commit;
    while (current && at < length) {
        rs_answer *a = answer_to(l, l->in + at, length - at, now_us, &head);
        if (a == NULL || (l->records && l->recorded == RS_RECORDS)) break;
        size_t needed = (size_t)a->before + a->between + a->after + l->prefix_length + NUMBER + DATE;
        if (filled + needed > OUT) {
            ssize_t sent = send_some(fd, l->out, filled);
            if (sent != (ssize_t)filled) {
                if (sent < 0) give_back(l, loan, NULL, 0, NULL, 0);
                else give_back(l, loan, l->in + at, length - at, l->out + sent, filled - (size_t)sent);
                return;
            }
            filled = 0;
        }
        size_t size = write_answer(l, a, l->out + filled);
        filled += size;
        at += head;
        int64_t now = clock_ns(CLOCK_MONOTONIC);
        rs_answers_count(&l->answers, a, (uint64_t)(now - began), size);
        if (l->records) note(l, c, a, now_us, now - began, size);
        began = now;
    }
    c->last = began;
    ssize_t sent = filled ? send_some(fd, l->out, filled) : 0;
    if (sent < 0) give_back(l, loan, NULL, 0, NULL, 0);
    else if (at < length || (size_t)sent < filled)
        give_back(l, loan, l->in + at, length - at, l->out + sent, filled - (size_t)sent);
}

static void *lane_main(void *argument) {
    rs_hotlane *l = argument;
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(l->epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == 0) return NULL;
            enter(l);
            serve(l, events[i].data.u64);
            leave(l);
        }
        if (count < 0 && errno != EINTR) return NULL;
    }
}

static int map_word(rs_hotlane *l, int fd, int64_t offset) {
    if (offset < 0 || offset % 8 || offset > PAGE - 8) return EINVAL;
    void *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) return errno;
    l->page = page;
    l->word = (const _Atomic uint64_t *)((const char *)page + offset);
    return 0;
}

static int start(rs_hotlane *l, int word_fd, int64_t word_offset, int keep_records) {
    int error = map_word(l, word_fd, word_offset);
    if (error) return error;
    if (keep_records && (l->records = malloc(RS_RECORDS * sizeof *l->records)) == NULL) return ENOMEM;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
    if (l->epoll < 0 || l->wake < 0 || l->event < 0) return errno;
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &event) != 0) return errno;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&l->thread, NULL, lane_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return error;
    pthread_setname_np(l->thread, "hot-lane");
    l->started = 1;
    return 0;
}

rs_hotlane *rs_hotlane_open(int word_fd, int64_t word_offset, const char *prefix, int keep_records) {
    rs_hotlane *l = calloc(1, sizeof *l);
    if (l == NULL) return NULL;
    l->epoll = l->wake = l->event = -1;
    l->last = &l->first;
    l->second = -1;
    pthread_mutex_init(&l->turn, NULL);
    pthread_mutex_init(&l->lock, NULL);
    l->prefix_length = strlen(prefix);
    int error = l->prefix_length < sizeof l->prefix ? 0 : EINVAL;
    if (error == 0) memcpy(l->prefix, prefix, l->prefix_length);
    if (error == 0) error = start(l, word_fd, word_offset, keep_records);
    if (error == 0) return l;
    rs_hotlane_free(l);
    errno = error;
    return NULL;
}

int rs_hotlane_fileno(rs_hotlane *l) { return l->event; }

void rs_hotlane_forget(rs_hotlane *l, uint64_t commit) {
    enter(l);
    rs_answers_clear(&l->answers);
    l->commit = commit;
    leave(l);
}

int rs_hotlane_remember(
    rs_hotlane *l, const uint8_t digest[32], const rs_parts *parts, int64_t until_us, uint64_t tag) {
    int kept = 0;
    enter(l);
    if (atomic_load_explicit(l->word, memory_order_acquire) == l->commit)
        kept = rs_answers_add(&l->answers, digest, parts, until_us, tag);
    leave(l);
    return kept;
}

static int make_room(rs_hotlane *l, size_t fd) {
    if (fd < l->room) return 0;
    size_t room = l->room ? l->room : 64;
    while (room <= fd) room *= 2;
    connection *grown = realloc(l->connections, room * sizeof *grown);
    if (grown == NULL) return ENOMEM;
    memset(grown + l->room, 0, (room - l->room) * sizeof *grown);
    l->connections = grown;
    l->room = room;
    return 0;
}

int64_t rs_hotlane_lend(rs_hotlane *l, int fd, const char *peer) {
    if (fd < 0) return -EBADF;
    enter(l);
    int error = l->closing ? ESHUTDOWN : make_room(l, (size_t)fd);
    uint64_t loan = 0;
    if (error == 0) {
        connection *c = &l->connections[fd];
        /* Never 0, and never negative as a number. */
        l->serial = l->serial >= INT32_MAX - 1 ? 1 : l->serial + 1;
        loan = loan_of(l->serial, fd);
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = loan};
        if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) != 0) error = errno;
        else {
            c->serial = l->serial;
            c->last = clock_ns(CLOCK_MONOTONIC);
            snprintf(c->peer, RS_PEER_MAX, "%s", peer);
        }
    }
    leave(l);
    return error ? -error : (int64_t)loan;
}

int rs_hotlane_take(rs_hotlane *l, uint64_t loan) {
    enter(l);
    connection *c = lent(l, loan);
    if (c) {
        epoll_ctl(l->epoll, EPOLL_CTL_DEL, (int)(uint32_t)loan, NULL);
        c->serial = 0;
    }
    leave(l);
    return c != NULL;
}

int64_t rs_hotlane_last(rs_hotlane *l, uint64_t loan) {
    enter(l);
    connection *c = lent(l, loan);
    int64_t last = c ? c->last : 0;
    leave(l);
    return last;
}

rs_returned *rs_hotlane_drain(rs_hotlane *l) {
    enter(l);
    uint64_t count;
    if (read(l->event, &count, sizeof count) < 0) count = 0;
    rs_returned *first = l->first;
    l->first = NULL;
    l->last = &l->first;
    leave(l);
    return first;
}

size_t rs_hotlane_count(rs_hotlane *l, rs_counted *out, size_t room) {
    enter(l);
    size_t count = rs_answers_told(&l->answers, out, room);
    leave(l);
    return count;
}

size_t rs_hotlane_records(rs_hotlane *l, rs_record *out, size_t room) {
    enter(l);
    size_t count = l->recorded < room ? l->recorded : room;
    if (count) memcpy(out, l->records, count * sizeof *out);
    l->recorded -= count;
    if (l->recorded) {
        memmove(l->records, l->records + count, l->recorded * sizeof *out);
        ring(l->event);
    }
    leave(l);
    return count;
}

void rs_hotlane_close(rs_hotlane *l) {
    enter(l);
    int first = !l->closing;
    l->closing = 1;
    leave(l);
    if (!first || !l->started) return;
    ring(l->wake);
    pthread_join(l->thread, NULL);
    enter(l);
    for (size_t fd = 0; fd < l->room; fd++) {
        if (l->connections[fd].serial) give_back(l, loan_of(l->connections[fd].serial, (int)fd), NULL, 0, NULL, 0);
    }
    leave(l);
}

void rs_hotlane_free(rs_hotlane *l) {
    rs_hotlane_close(l);
    rs_answers_clear(&l->answers);
    free(l->answers.kept);
    for (rs_returned *r = l->first, *next; r; r = next) {
        next = r->next;
        free(r);
    }
    if (l->page) munmap(l->page, PAGE);
    if (l->epoll >= 0) close(l->epoll);
    if (l->wake >= 0) close(l->wake);
    if (l->event >= 0) close(l->event);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->turn);
    free(l->records);
    free(l->connections);
    free(l);
}
