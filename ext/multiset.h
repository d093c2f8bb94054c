/* A 256-bit sum of digests: an unsigned little-endian number in four 64-bit words, modulo 2^256. */
#ifndef RUNSTONE_MULTISET_H
#define RUNSTONE_MULTISET_H

#include <stdint.h>
#include <string.h>

static inline void multiset_add(uint64_t state[4], const uint8_t digest[32]) {
    unsigned __int128 carry = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t word;
        memcpy(&word, digest + 8 * i, 8);
        carry += (unsigned __int128)state[i] + word;
        state[i] = (uint64_t)carry;
        carry >>= 64;
    }
}

static inline void multiset_remove(uint64_t state[4], const uint8_t digest[32]) {
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t word;
        memcpy(&word, digest + 8 * i, 8);
        unsigned __int128 taken = (unsigned __int128)word + borrow;
        borrow = state[i] < taken;
        state[i] -= (uint64_t)taken;
    }
}

#endif
