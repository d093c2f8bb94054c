/* BLAKE3 (the hash of "BLAKE3: one function, fast everywhere", 2021), 32-byte output, plain and keyed.
 *
 * Written around one shape, a batch of nodes: leaves of up to 1 KiB and parents of one block are the same work in
 * different lanes of a vector, so the leaves of many short inputs fill the lanes as well as those of one long input. */
#ifndef RUNSTONE_BLAKE3_H
#define RUNSTONE_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define BLAKE3_LEAF 1024u
/* Longest input of a batch whose leaves are gathered with those of its neighbours; longer ones go alone. */
#define BLAKE3_JOB_MAX (128u * BLAKE3_LEAF)

typedef struct {
    const uint8_t *data;
    size_t length;
    uint8_t *out; /* 32 bytes */
} blake3_job;

/* One hash; `key` is 32 bytes, or NULL for the plain hash. */
void blake3_hash(const uint8_t *key, const uint8_t *data, size_t length, uint8_t out[32]);
/* Many hashes with one key. Inputs may overlap, outputs may not. */
void blake3_hash_many(const uint8_t *key, const blake3_job *jobs, size_t count);

#pragma GCC visibility pop

#endif
