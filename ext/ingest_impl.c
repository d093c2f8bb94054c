#include "ingest_impl.h"

#include <stdlib.h>
#include <string.h>

#include "blake3.h"
#include "md5.h"
#include "sha256.h"
#include "xxh3.h"

#define BLOCK 64u
#define BLOCKS_PER_SCAN 64u
/* Chunks are hashed together, to fill the lanes of BLAKE3, while what they are made of is still in the L2 cache. */
#define PENDING_BYTES (192u * 1024u)
#define PENDING_MAX (PENDING_BYTES / CHUNK_MIN + 2)
/* Bytes copied behind a carried chunk in one step: less is more calls, more is bytes copied past its end. */
#define CARRY_STEP (16u * 1024u)

/* The stretch of the stream that is at hand: bytes [base, end) at `bytes`. */
typedef struct {
    const uint8_t *bytes;
    uint64_t base, end;
} window;

typedef struct {
    ingest *in;
    window view;
    ingest_records *records;
    blake3_job pending[PENDING_MAX];
    uint32_t count;
    size_t bytes;
} pass;

static const uint8_t *at(const window *view, uint64_t offset) { return view->bytes + (offset - view->base); }

static int flush(pass *p) {
    ingest_records *records = p->records;
    if (!p->count) return 0;
    if (records->count + p->count > records->room) {
        size_t room = 2 * records->room + p->count;
        uint8_t *grown = realloc(records->data, room * CHUNK_RECORD);
        if (!grown) return -1;
        records->data = grown;
        records->room = room;
    }
    uint8_t *first = records->data + records->count * CHUNK_RECORD;
    for (uint32_t i = 0; i < p->count; i++) p->pending[i].out = first + i * CHUNK_RECORD;
    blake3_hash_many(XET_DATA_KEY, p->pending, p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        const blake3_job *job = &p->pending[i];
        uint64_t check = xxh3_64(job->data, job->length, 0);
        uint32_t length = (uint32_t)job->length;
        memcpy(job->out + 32, &check, 8);
        memcpy(job->out + 40, &length, 4);
        xet_tree_add(&p->in->tree, job->out, length);
    }
    records->count += p->count;
    p->count = 0;
    p->bytes = 0;
    return 0;
}

static int cut(pass *p, uint64_t end) {
    ingest *in = p->in;
    size_t length = (size_t)(end - in->start);
    p->pending[p->count++] = (blake3_job){.data = at(&p->view, in->start), .length = length};
    p->bytes += length;
    in->start = end;
    return p->bytes >= PENDING_BYTES ? flush(p) : 0;
}

/* Cut at 128 KiB as often as the bytes up to `end` ask for it. */
static int cut_full(pass *p, uint64_t end) {
    while (end >= p->in->start + CHUNK_MAX)
        if (cut(p, p->in->start + CHUNK_MAX)) return -1;
    return 0;
}

/* Look at each byte of [from, to), at most one block, for the end of a chunk. Bytes looked at twice do no harm: a
 * chunk does not end twice in 8 KiB. */
static int cut_within(pass *p, uint64_t from, uint64_t to) {
    const ingest *in = p->in;
    uint64_t hash = 0;
    if (to < in->start + CHUNK_MIN) return 0;
    const uint8_t *byte = at(&p->view, from - GEAR_WINDOW), *first = at(&p->view, from);
    while (byte < first) hash = hash * 2 + gear_table[*byte++];
    for (uint64_t end = from + 1; end <= to; end++) {
        hash = hash * 2 + gear_table[*byte++];
        if (hash >= GEAR_LIMIT || end < in->start + CHUNK_MIN) continue;
        if (cut_full(p, end)) return -1;
        if (end >= in->start + CHUNK_MIN && cut(p, end)) return -1;
    }
    return 0;
}

/* Take `count` blocks from `in->scanned`; bit i of the answer: a chunk may end in block i. The gear hash sleeps through
 * the first bytes of a chunk, where no cut may be, and wakes a whole window before the first place where one may. */
static uint64_t scan(ingest *in, const uint8_t *data, unsigned count) {
    uint64_t wake = (in->start + CHUNK_MIN - GEAR_WINDOW) / BLOCK * BLOCK;
    unsigned asleep = 0;
    uint64_t found = 0;
    if (in->with_md5) md5_blocks(in->md5, data, count);
    if (wake > in->scanned) {
        uint64_t blocks = (wake - in->scanned) / BLOCK;
        asleep = blocks < count ? (unsigned)blocks : count;
        sha256_blocks(in->sha256, data, asleep);
    }
    if (asleep < count)
        found = sha256_gear_blocks(in->sha256, &in->gear, data + asleep * BLOCK, count - asleep) << asleep;
    in->scanned += (uint64_t)count * BLOCK;
    return found;
}

/* Everything for the bytes up to the end of the view; the chunks that it finishes lie wholly inside it. */
static int run(pass *p) {
    ingest *in = p->in;
    const uint64_t end = p->view.end;
    while (end - in->scanned >= BLOCK) {
        uint64_t whole = (end - in->scanned) / BLOCK, first = in->scanned;
        unsigned count = whole < BLOCKS_PER_SCAN ? (unsigned)whole : BLOCKS_PER_SCAN;
        uint64_t found = scan(in, at(&p->view, first), count);
        for (; found; found &= found - 1) {
            uint64_t block = first + BLOCK * (uint64_t)__builtin_ctzll(found);
            if (cut_within(p, block, block + BLOCK)) return -1;
        }
        if (cut_full(p, in->scanned)) return -1;
    }
    if (cut_within(p, in->scanned, end) || cut_full(p, end)) return -1;
    return flush(p);
}

static uint64_t needed_from(const ingest *in) { return in->start < in->scanned ? in->start : in->scanned; }

void ingest_init(ingest *in, int with_md5) {
    in->size = in->start = in->scanned = in->gear = 0;
    in->with_md5 = with_md5;
    in->busy = in->finished = 0;
    in->carry = NULL;
    in->carried = 0;
    sha256_init(in->sha256);
    md5_init(in->md5);
    xet_tree_init(&in->tree);
}

int ingest_copy(ingest *to, const ingest *from) {
    *to = *from;
    to->busy = 0;
    to->carry = NULL;
    if (!from->carry) return 0;
    to->carry = malloc(CARRY_SIZE);
    if (!to->carry) return -1;
    memcpy(to->carry, from->carry, from->carried);
    return 0;
}

void ingest_free(ingest *in) {
    free(in->carry);
    in->carry = NULL;
}

int ingest_enter(ingest *in) { return __atomic_exchange_n(&in->busy, 1, __ATOMIC_ACQUIRE) ? -1 : 0; }

void ingest_leave(ingest *in) { __atomic_store_n(&in->busy, 0, __ATOMIC_RELEASE); }

/* Go on with the carried bytes by copying new ones behind them until the chunk that they begin is finished; answers
 * how many new bytes are done with, or SIZE_MAX when memory ran out. */
static size_t run_carried(pass *p, const uint8_t *data, size_t length) {
    ingest *in = p->in;
    const uint64_t before = in->size, base = in->size - in->carried;
    size_t copied = 0;
    while (copied < length) {
        size_t take = length - copied, room = CARRY_SIZE - in->carried;
        if (take > room) take = room;
        if (take > CARRY_STEP) take = CARRY_STEP;
        memcpy(in->carry + in->carried, data + copied, take);
        in->carried += take;
        copied += take;
        p->view = (window){in->carry, base, before + copied};
        if (run(p)) return SIZE_MAX;
        if (in->start > before && in->scanned >= before && copied < length) {
            /* What is still needed lies in the new bytes: go on there. */
            in->carried = 0;
            return (size_t)(needed_from(in) - before);
        }
    }
    uint64_t from = needed_from(in);
    if (from > base) {
        in->carried -= (size_t)(from - base);
        memmove(in->carry, in->carry + (from - base), in->carried);
    }
    return length;
}

int ingest_update(ingest *in, const uint8_t *data, size_t length, ingest_records *records) {
    pass p = {.in = in, .records = records, .count = 0, .bytes = 0};
    const uint64_t end = in->size + length;
    size_t done = 0;
    if (!in->carry) {
        in->carry = malloc(CARRY_SIZE);
        if (!in->carry) return -1;
    }
    if (in->carried) done = run_carried(&p, data, length);
    if (done == SIZE_MAX) return -1;
    if (done < length) {
        p.view = (window){data + done, in->size + done, end};
        if (run(&p)) return -1;
        in->carried = (size_t)(end - needed_from(in));
        memcpy(in->carry, data + length - in->carried, in->carried);
    }
    in->size = end;
    return 0;
}

int ingest_finish(ingest *in, ingest_records *records) {
    pass p = {.in = in, .records = records, .count = 0, .bytes = 0};
    const uint64_t base = in->size - in->carried;
    const uint8_t *tail = NULL;
    uint8_t root[32];
    if (in->carry) {
        p.view = (window){in->carry, base, in->size};
        tail = at(&p.view, in->scanned);
    }
    if (in->size > in->start && (cut(&p, in->size) || flush(&p))) return -1;
    sha256_finish(in->sha256, tail, in->size, in->sha256_digest);
    if (in->with_md5) md5_finish(in->md5, tail, in->size, in->md5_digest);
    xet_tree_root(&in->tree, root);
    xet_file_hash(root, in->size == 0, in->xet_digest);
    in->finished = 1;
    ingest_free(in);
    in->carried = 0;
    return 0;
}
