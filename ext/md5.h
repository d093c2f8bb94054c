/* MD5 (RFC 1321): for clients whose formats ask for it, never as an identity. */
#ifndef RUNSTONE_MD5_H
#define RUNSTONE_MD5_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

void md5_init(uint32_t state[4]);
void md5_blocks(uint32_t state[4], const uint8_t *data, size_t count);
/* The last `length` % 64 bytes are in `tail`; `state` has taken all before them. */
void md5_finish(uint32_t state[4], const uint8_t *tail, uint64_t length, uint8_t out[16]);
void md5_hash(const uint8_t *data, size_t length, uint8_t out[16]);

#pragma GCC visibility pop

#endif
