#include "hotlane_answers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t slot_of(const uint8_t digest[32]) {
    uint64_t first;
    memcpy(&first, digest, sizeof first);
    return first % RS_SLOTS;
}

rs_answer *rs_answers_find(const rs_answers *t, const uint8_t digest[32]) {
    for (size_t i = slot_of(digest); t->slots[i]; i = (i + 1) % RS_SLOTS) {
        if (memcmp(t->slots[i]->digest, digest, 32) == 0) return t->slots[i];
    }
    return NULL;
}

int rs_answers_add(rs_answers *t, const uint8_t digest[32], const rs_parts *p, int64_t until_us, uint64_t tag) {
    size_t length = p->before_length + p->between_length + p->after_length;
    if (t->used >= RS_ANSWERS || length + 256 > RS_ANSWER_MAX) return 0;
    size_t i = slot_of(digest);
    while (t->slots[i] && memcmp(t->slots[i]->digest, digest, 32) != 0) i = (i + 1) % RS_SLOTS;
    /* One that is there has another time at most: it is replaced, once what it counted has been told. */
    rs_answer *old = t->slots[i];
    if (old && old->counted.requests) return 0;
    rs_answer *a = malloc(sizeof *a + length);
    if (a == NULL) return -ENOMEM;
    memcpy(a->digest, digest, 32);
    a->until_us = until_us;
    a->counted = (rs_counted){.tag = tag};
    a->next_counted = NULL;
    a->before = (uint32_t)p->before_length;
    a->between = (uint32_t)p->between_length;
    a->after = (uint32_t)p->after_length;
    memcpy(a->bytes, p->before, p->before_length);
    memcpy(a->bytes + a->before, p->between, p->between_length);
    memcpy(a->bytes + a->before + a->between, p->after, p->after_length);
    t->slots[i] = a;
    if (old) free(old);
    else t->used++;
    return 1;
}

void rs_answers_count(rs_answers *t, rs_answer *a, uint64_t ns, uint64_t sent) {
    if (a->counted.requests == 0) {
        a->next_counted = t->counted;
        t->counted = a;
    }
    a->counted.requests++;
    a->counted.ns += ns;
    a->counted.sent += sent;
}

size_t rs_answers_told(rs_answers *t, rs_counted *out, size_t room) {
    size_t count = 0;
    while (count < room && t->kept_used) out[count++] = t->kept[--t->kept_used];
    while (count < room && t->counted) {
        rs_answer *a = t->counted;
        out[count++] = a->counted;
        a->counted.requests = a->counted.ns = a->counted.sent = 0;
        t->counted = a->next_counted;
    }
    return count;
}

/* Keeps what an answer counted beyond its end. Without memory for it the count is lost, the answer is not. */
static void keep(rs_answers *t, const rs_counted *counted) {
    if (t->kept_used == t->kept_room) {
        size_t room = t->kept_room ? 2 * t->kept_room : 64;
        rs_counted *grown = realloc(t->kept, room * sizeof *grown);
        if (grown == NULL) return;
        t->kept = grown;
        t->kept_room = room;
    }
    t->kept[t->kept_used++] = *counted;
}

void rs_answers_clear(rs_answers *t) {
    for (rs_answer *a = t->counted; a; a = a->next_counted) keep(t, &a->counted);
    t->counted = NULL;
    if (t->used == 0) return;
    for (size_t i = 0; i < RS_SLOTS; i++) {
        free(t->slots[i]);
        t->slots[i] = NULL;
    }
    t->used = 0;
}
