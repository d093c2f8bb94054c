#define _GNU_SOURCE
#include "pump_cache.h"
#include "pump_job.h"

#include <fcntl.h>

/* What a loader fetches for a job before the next job has its turn, and what it asks the disk to begin on
 * beyond that. */
#define LOAD_WINDOW (2 << 20)
#define LOAD_AHEAD (4 << 20)

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

void *rs_loader_main(void *argument) {
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
