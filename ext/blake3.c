#include "blake3.h"

#include <string.h>

#include "cpu.h"

enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8, KEYED_HASH = 16 };

static const uint32_t INITIAL[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

/* A leaf or a parent: up to 1 KiB, hashed block by block into a 32-byte chaining value. */
typedef struct {
    const uint8_t *data;
    uint8_t *out;
    uint64_t counter;
    uint32_t length;
    uint8_t flags; /* on every block */
    uint8_t first; /* on the first block too */
    uint8_t last;  /* on the last block too */
} blake3_node;

typedef struct {
    uint32_t words[8];
    uint8_t flags;
} blake3_key;

#define ROUND(r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15) \
    MIX(0, 4, 8, 12, m[r0], m[r1]);                                                 \
    MIX(1, 5, 9, 13, m[r2], m[r3]);                                                 \
    MIX(2, 6, 10, 14, m[r4], m[r5]);                                                \
    MIX(3, 7, 11, 15, m[r6], m[r7]);                                                \
    MIX(0, 5, 10, 15, m[r8], m[r9]);                                                \
    MIX(1, 6, 11, 12, m[r10], m[r11]);                                              \
    MIX(2, 7, 8, 13, m[r12], m[r13]);                                               \
    MIX(3, 4, 9, 14, m[r14], m[r15]);

/* The message permutation (2 6 3 10 7 0 4 13 1 11 12 5 9 14 15 8) applied once more in each round. */
#define ROUNDS                                                      \
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)     \
    ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)     \
    ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1)     \
    ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6)     \
    ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4)     \
    ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7)     \
    ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13)

static inline uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

#define MIX(a, b, c, d, x, y)             \
    do {                                  \
        v[a] = v[a] + v[b] + (x);         \
        v[d] = rotate(v[d] ^ v[a], 16);   \
        v[c] += v[d];                     \
        v[b] = rotate(v[b] ^ v[c], 12);   \
        v[a] = v[a] + v[b] + (y);         \
        v[d] = rotate(v[d] ^ v[a], 8);    \
        v[c] += v[d];                     \
        v[b] = rotate(v[b] ^ v[c], 7);    \
    } while (0)

static void hash_node(const blake3_node *node, const uint32_t key[8]) {
    uint32_t cv[8];
    uint32_t left = node->length;
    const uint8_t *data = node->data;
    uint8_t first = node->first;
    memcpy(cv, key, 32);
    for (;;) {
        uint32_t m[16] = {0}, v[16];
        uint32_t take = left < 64 ? left : 64;
        if (take) memcpy(m, data, take);
        left -= take;
        data += take;
        memcpy(v, cv, 32);
        memcpy(v + 8, INITIAL, 16);
        v[12] = (uint32_t)node->counter;
        v[13] = (uint32_t)(node->counter >> 32);
        v[14] = take;
        v[15] = (uint32_t)(node->flags | first | (left ? 0 : node->last));
        ROUNDS
        for (int i = 0; i < 8; i++) cv[i] = v[i] ^ v[8 + i];
        first = 0;
        if (!left) break;
    }
    memcpy(node->out, cv, 32);
}

#undef MIX

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(type, a, b, ...) ((type)__builtin_shufflevector(a, b, __VA_ARGS__))
#endif
#endif
#ifndef SHUFFLE
#define SHUFFLE(type, a, b, ...) (__builtin_shuffle(a, b, (type){__VA_ARGS__}))
#endif

#if defined(__x86_64__) || defined(__aarch64__)
#define LANES 4
#define TARGET
#define NAME(x) x##_base4
#ifdef __aarch64__
#define ROTATES 2
#else
#define ROTATES 0
#endif
#include "blake3_lanes.h"
#endif

#ifdef __x86_64__
#define LANES 4
#define TARGET __attribute__((target("avx2")))
#define NAME(x) x##_avx2_4
#define ROTATES 2
#include "blake3_lanes.h"

#define LANES 8
#define TARGET __attribute__((target("avx2")))
#define NAME(x) x##_avx2_8
#define ROTATES 2
#include "blake3_lanes.h"

#define TARGET_AVX512 __attribute__((target("avx512f,avx512vl,avx512bw")))
#define LANES 4
#define TARGET TARGET_AVX512
#define NAME(x) x##_avx512_4
#define ROTATES 1
#include "blake3_lanes.h"

#define LANES 8
#define TARGET TARGET_AVX512
#define NAME(x) x##_avx512_8
#define ROTATES 1
#include "blake3_lanes.h"

#define LANES 16
#define TARGET TARGET_AVX512
#define NAME(x) x##_avx512_16
#define ROTATES 1
#include "blake3_lanes.h"
#endif

typedef void (*hash_nodes_fn)(const blake3_node *nodes, unsigned count, const uint32_t key[8]);

/* The widest kernel first; a batch takes the narrowest that holds what is left of it. */
typedef struct {
    hash_nodes_fn by4, by8, by16;
} lane_kernels;

static lane_kernels kernels(void) {
    switch (cpu_level()) {
#ifdef __x86_64__
    case LEVEL_AVX512:
        return (lane_kernels){hash_nodes_avx512_4, hash_nodes_avx512_8, hash_nodes_avx512_16};
    case LEVEL_AVX2:
        return (lane_kernels){hash_nodes_avx2_4, hash_nodes_avx2_8, NULL};
#endif
#if defined(__x86_64__) || defined(__aarch64__)
    case LEVEL_BASE:
        return (lane_kernels){hash_nodes_base4, NULL, NULL};
#endif
    default:
        return (lane_kernels){NULL, NULL, NULL};
    }
}

static void hash_nodes(const blake3_node *nodes, size_t count, const uint32_t key[8]) {
    if (count == 1) {
        hash_node(nodes, key);
        return;
    }
    const lane_kernels run = kernels();
    while (count) {
        unsigned take;
        if (run.by16 && count > 8) {
            take = count < 16 ? (unsigned)count : 16;
            run.by16(nodes, take, key);
        } else if (run.by8 && count > 4) {
            take = count < 8 ? (unsigned)count : 8;
            run.by8(nodes, take, key);
        } else if (run.by4 && count > 1) {
            take = count < 4 ? (unsigned)count : 4;
            run.by4(nodes, take, key);
        } else {
            take = 1;
            hash_node(nodes, key);
        }
        nodes += take;
        count -= take;
    }
}

/* Leaves hashed in one go: enough for every lane, little enough for a small stack and a warm cache. */
#define BATCH_LEAVES 256u
#define BATCH_JOBS 64u

static uint32_t leaves_of(size_t length) {
    return length ? (uint32_t)((length + BLAKE3_LEAF - 1) / BLAKE3_LEAF) : 1u;
}

/* The chaining value of each job's whole tree, its leaves numbered from `counter`; `root` (ROOT or 0) goes on the top
 * node. At most BATCH_JOBS jobs with BATCH_LEAVES leaves in all. A level pairs neighbours and lets an odd one up
 * unchanged, which builds BLAKE3's left-full tree. */
static void hash_trees(const blake3_key *key, const blake3_job *jobs, size_t count, uint64_t counter, uint8_t root) {
    blake3_node nodes[BATCH_LEAVES];
    uint8_t values[2][BATCH_LEAVES][32];
    uint32_t width[BATCH_JOBS];
    size_t total = 0;
    uint32_t widest = 0;
    for (size_t j = 0; j < count; j++) {
        const blake3_job *job = &jobs[j];
        width[j] = leaves_of(job->length);
        if (width[j] > widest) widest = width[j];
        for (uint32_t i = 0; i < width[j]; i++, total++) {
            size_t at = (size_t)i * BLAKE3_LEAF;
            size_t left = job->length - at;
            nodes[total] = (blake3_node){
                .data = job->data + at,
                .out = width[j] == 1 ? job->out : values[0][total],
                .counter = counter + i,
                .length = left < BLAKE3_LEAF ? (uint32_t)left : BLAKE3_LEAF,
                .flags = key->flags,
                .first = CHUNK_START,
                .last = (uint8_t)(CHUNK_END | (width[j] == 1 ? root : 0)),
            };
        }
    }
    if (total) hash_nodes(nodes, total, key->words);

    for (int from = 0; widest > 1; from ^= 1) {
        size_t read = 0, written = 0, parents = 0;
        for (size_t j = 0; j < count; j++) {
            uint32_t pairs = width[j] / 2;
            for (uint32_t i = 0; i < pairs; i++) {
                int top = width[j] == 2;
                nodes[parents++] = (blake3_node){
                    .data = values[from][read + 2 * i],
                    .out = top ? jobs[j].out : values[from ^ 1][written + i],
                    .length = 64,
                    .flags = (uint8_t)(key->flags | PARENT),
                    .last = top ? root : 0,
                };
            }
            if (width[j] % 2 && width[j] > 1)
                memcpy(values[from ^ 1][written + pairs], values[from][read + 2 * pairs], 32);
            read += width[j];
            width[j] = width[j] > 1 ? pairs + width[j] % 2 : 1;
            written += width[j];
        }
        hash_nodes(nodes, parents, key->words);
        widest = widest / 2 + widest % 2;
    }
}

static void parent(const blake3_key *key, uint8_t pair[64], uint8_t root, uint8_t out[32]) {
    blake3_node node = {.data = pair, .out = out, .length = 64, .flags = (uint8_t)(key->flags | PARENT), .last = root};
    hash_node(&node, key->words);
}

/* Inputs longer than one subtree of 128 KiB: full subtrees are merged on a stack as a binary counter, and the last
 * subtree closes it from the right. */
static void hash_long(const blake3_key *key, const uint8_t *data, size_t length, uint8_t out[32]) {
    uint8_t stack[56][32], pair[64];
    size_t depth = 0;
    uint64_t done = 0;
    while (length > BLAKE3_JOB_MAX) {
        blake3_job job = {data, BLAKE3_JOB_MAX, pair + 32};
        hash_trees(key, &job, 1, done * (BLAKE3_JOB_MAX / BLAKE3_LEAF), 0);
        done++;
        for (uint64_t bits = done; !(bits & 1); bits >>= 1) {
            memcpy(pair, stack[--depth], 32);
            parent(key, pair, 0, pair + 32);
        }
        memcpy(stack[depth++], pair + 32, 32);
        data += BLAKE3_JOB_MAX;
        length -= BLAKE3_JOB_MAX;
    }
    blake3_job job = {data, length, pair + 32};
    hash_trees(key, &job, 1, done * (BLAKE3_JOB_MAX / BLAKE3_LEAF), 0);
    while (depth) {
        memcpy(pair, stack[--depth], 32);
        parent(key, pair, depth ? 0 : ROOT, pair + 32);
    }
    memcpy(out, pair + 32, 32);
}

static blake3_key load_key(const uint8_t *key) {
    blake3_key loaded = {.flags = 0};
    if (key) {
        memcpy(loaded.words, key, 32);
        loaded.flags = KEYED_HASH;
    } else {
        memcpy(loaded.words, INITIAL, 32);
    }
    return loaded;
}

static void hash_one(const blake3_key *key, const uint8_t *data, size_t length, uint8_t out[32]) {
    if (length > BLAKE3_JOB_MAX) {
        hash_long(key, data, length, out);
    } else if (length <= BLAKE3_LEAF) {
        blake3_node node = {.data = data, .out = out, .length = (uint32_t)length, .flags = key->flags,
                            .first = CHUNK_START, .last = CHUNK_END | ROOT};
        hash_node(&node, key->words);
    } else {
        blake3_job job = {data, length, out};
        hash_trees(key, &job, 1, 0, ROOT);
    }
}

void blake3_hash(const uint8_t *key, const uint8_t *data, size_t length, uint8_t out[32]) {
    const blake3_key loaded = load_key(key);
    hash_one(&loaded, data, length, out);
}

void blake3_hash_many(const uint8_t *key, const blake3_job *jobs, size_t count) {
    const blake3_key loaded = load_key(key);
    while (count) {
        size_t take = 0, leaves = 0;
        while (take < count && take < BATCH_JOBS && jobs[take].length <= BLAKE3_JOB_MAX &&
               leaves + leaves_of(jobs[take].length) <= BATCH_LEAVES)
            leaves += leaves_of(jobs[take++].length);
        if (take > 1) {
            hash_trees(&loaded, jobs, take, 0, ROOT);
        } else {
            take = 1;
            hash_one(&loaded, jobs->data, jobs->length, jobs->out);
        }
        jobs += take;
        count -= take;
    }
}
