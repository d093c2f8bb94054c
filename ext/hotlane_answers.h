/* The answers of the hot lane, by digest: a hash table that is only ever emptied as a whole. */
#ifndef RUNSTONE_HOTLANE_ANSWERS_H
#define RUNSTONE_HOTLANE_ANSWERS_H

#include "hotlane_impl.h"

#pragma GCC visibility push(hidden)

enum { RS_SLOTS = 16384, RS_ANSWERS = RS_SLOTS / 2 };

typedef struct rs_answer {
    uint8_t digest[32];
    int64_t until_us;
    rs_counted counted;
    struct rs_answer *next_counted; /* of those that have been asked for since they were last told */
    uint32_t before, between, after;
    char bytes[];
} rs_answer;

typedef struct {
    rs_answer *slots[RS_SLOTS];
    size_t used;
    rs_answer *counted;
    rs_counted *kept; /* of answers that are gone */
    size_t kept_used, kept_room;
} rs_answers;

rs_answer *rs_answers_find(const rs_answers *t, const uint8_t digest[32]);
int rs_answers_add(rs_answers *t, const uint8_t digest[32], const rs_parts *p, int64_t until_us, uint64_t tag);
void rs_answers_count(rs_answers *t, rs_answer *a, uint64_t ns, uint64_t sent);
size_t rs_answers_told(rs_answers *t, rs_counted *out, size_t room);
void rs_answers_clear(rs_answers *t);

#pragma GCC visibility pop

#endif
