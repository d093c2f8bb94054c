/* XXH3, 64 bits (Cyan4973/xxHash, doc/xxhash_spec.md), with the default secret and any seed. */
#ifndef RUNSTONE_XXH3_H
#define RUNSTONE_XXH3_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

uint64_t xxh3_64(const uint8_t *data, size_t length, uint64_t seed);

#pragma GCC visibility pop

#endif
