/* SHA-256 (FIPS 180-4), with the processor's instructions where it has them. */
#ifndef RUNSTONE_SHA256_H
#define RUNSTONE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

void sha256_init(uint32_t state[8]);
void sha256_blocks(uint32_t state[8], const uint8_t *data, size_t count);
/* The last `length` % 64 bytes are in `tail`; `state` has taken all before them. */
void sha256_finish(uint32_t state[8], const uint8_t *tail, uint64_t length, uint8_t out[32]);
void sha256_hash(const uint8_t *data, size_t length, uint8_t out[32]);

/* sha256_blocks and gear_blocks over the same `count` <= 64 blocks. SHA-256 waits on itself for most of its cycles;
 * where it has instructions of its own the gear hash runs in those cycles and costs next to nothing. */
uint64_t sha256_gear_blocks(uint32_t state[8], uint64_t *gear, const uint8_t *data, unsigned count);

#pragma GCC visibility pop

#endif
