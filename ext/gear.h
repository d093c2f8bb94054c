/* The gear rolling hash: h = (h << 1) + table[byte], so that h depends on the last 64 bytes and on nothing before.
 *
 * Table: the default one of the gearhash crate (srijs/rust-gearhash, src/table.rs). Cut rule of a Xet chunk
 * (huggingface/xet-core, xet_data/src/deduplication/chunking.rs): a chunk ends after the first byte at which it is at
 * least 8 KiB long and the top 16 bits of h are zero, or at 128 KiB. That rule looks at no byte before
 * chunk start + 8 KiB - 64, so the hash may run on over a cut without being reset. */
#ifndef RUNSTONE_GEAR_H
#define RUNSTONE_GEAR_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define GEAR_WINDOW 64u
#define GEAR_LIMIT (UINT64_C(1) << 48) /* a cut may follow where h is below: its top 16 bits are zero */
#define CHUNK_MIN (8u * 1024u)
#define CHUNK_MAX (128u * 1024u)

extern const uint64_t gear_table[256];

/* Roll `*hash` over `count` <= 64 blocks of 64 bytes; bit i of the answer: the hash fell below GEAR_LIMIT in block i. */
uint64_t gear_blocks(uint64_t *hash, const uint8_t *data, unsigned count);

/* Length of the first chunk of `data`, at most `length`: a cut, or all of it when there is none. */
size_t gear_chunk_length(const uint8_t *data, size_t length);

#pragma GCC visibility pop

/* One byte into the hash `h`, with `hit` done where a cut may follow. A compare and a branch that is hardly ever taken
 * cost one operation a byte; keeping the least hash without branches costs two and took 1.4 times as long. */
#define GEAR_STEP(h, byte, hit)                          \
    do {                                                 \
        h = h * 2 + gear_table[byte];                    \
        if (__builtin_expect(h < GEAR_LIMIT, 0)) { hit } \
    } while (0)

#endif
