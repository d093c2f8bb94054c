#include "md5.h"

#include <string.h>

#define CHOOSE_D(b, c, d) (d ^ (b & (c ^ d)))
/* Two terms without a common bit, added: c's term does not wait for b, which is the last step's result. */
#define CHOOSE_C(b, c, d) ((c & ~d) + (b & d))
#define PARITY(b, c, d) (b ^ (c ^ d))
#define MIXED(b, c, d) (c ^ (b | ~d))
#define STEP(f, a, b, c, d, word, shift, constant)    \
    a += w[word] + constant + f(b, c, d);             \
    a = (a << shift | a >> (32 - shift)) + b;

void md5_init(uint32_t state[4]) {
    static const uint32_t initial[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    memcpy(state, initial, sizeof initial);
}

void md5_blocks(uint32_t state[4], const uint8_t *data, size_t count) {
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (; count; count--, data += 64) {
        const uint32_t a0 = a, b0 = b, c0 = c, d0 = d;
        uint32_t w[16];
        memcpy(w, data, 64);
        STEP(CHOOSE_D, a, b, c, d, 0, 7, 0xd76aa478) STEP(CHOOSE_D, d, a, b, c, 1, 12, 0xe8c7b756)
        STEP(CHOOSE_D, c, d, a, b, 2, 17, 0x242070db) STEP(CHOOSE_D, b, c, d, a, 3, 22, 0xc1bdceee)
        STEP(CHOOSE_D, a, b, c, d, 4, 7, 0xf57c0faf) STEP(CHOOSE_D, d, a, b, c, 5, 12, 0x4787c62a)
        STEP(CHOOSE_D, c, d, a, b, 6, 17, 0xa8304613) STEP(CHOOSE_D, b, c, d, a, 7, 22, 0xfd469501)
        STEP(CHOOSE_D, a, b, c, d, 8, 7, 0x698098d8) STEP(CHOOSE_D, d, a, b, c, 9, 12, 0x8b44f7af)
        STEP(CHOOSE_D, c, d, a, b, 10, 17, 0xffff5bb1) STEP(CHOOSE_D, b, c, d, a, 11, 22, 0x895cd7be)
        STEP(CHOOSE_D, a, b, c, d, 12, 7, 0x6b901122) STEP(CHOOSE_D, d, a, b, c, 13, 12, 0xfd987193)
        STEP(CHOOSE_D, c, d, a, b, 14, 17, 0xa679438e) STEP(CHOOSE_D, b, c, d, a, 15, 22, 0x49b40821)
        STEP(CHOOSE_C, a, b, c, d, 1, 5, 0xf61e2562) STEP(CHOOSE_C, d, a, b, c, 6, 9, 0xc040b340)
        STEP(CHOOSE_C, c, d, a, b, 11, 14, 0x265e5a51) STEP(CHOOSE_C, b, c, d, a, 0, 20, 0xe9b6c7aa)
        STEP(CHOOSE_C, a, b, c, d, 5, 5, 0xd62f105d) STEP(CHOOSE_C, d, a, b, c, 10, 9, 0x02441453)
        STEP(CHOOSE_C, c, d, a, b, 15, 14, 0xd8a1e681) STEP(CHOOSE_C, b, c, d, a, 4, 20, 0xe7d3fbc8)
        STEP(CHOOSE_C, a, b, c, d, 9, 5, 0x21e1cde6) STEP(CHOOSE_C, d, a, b, c, 14, 9, 0xc33707d6)
        STEP(CHOOSE_C, c, d, a, b, 3, 14, 0xf4d50d87) STEP(CHOOSE_C, b, c, d, a, 8, 20, 0x455a14ed)
        STEP(CHOOSE_C, a, b, c, d, 13, 5, 0xa9e3e905) STEP(CHOOSE_C, d, a, b, c, 2, 9, 0xfcefa3f8)
        STEP(CHOOSE_C, c, d, a, b, 7, 14, 0x676f02d9) STEP(CHOOSE_C, b, c, d, a, 12, 20, 0x8d2a4c8a)
        STEP(PARITY, a, b, c, d, 5, 4, 0xfffa3942) STEP(PARITY, d, a, b, c, 8, 11, 0x8771f681)
        STEP(PARITY, c, d, a, b, 11, 16, 0x6d9d6122) STEP(PARITY, b, c, d, a, 14, 23, 0xfde5380c)
        STEP(PARITY, a, b, c, d, 1, 4, 0xa4beea44) STEP(PARITY, d, a, b, c, 4, 11, 0x4bdecfa9)
        STEP(PARITY, c, d, a, b, 7, 16, 0xf6bb4b60) STEP(PARITY, b, c, d, a, 10, 23, 0xbebfbc70)
        STEP(PARITY, a, b, c, d, 13, 4, 0x289b7ec6) STEP(PARITY, d, a, b, c, 0, 11, 0xeaa127fa)
        STEP(PARITY, c, d, a, b, 3, 16, 0xd4ef3085) STEP(PARITY, b, c, d, a, 6, 23, 0x04881d05)
        STEP(PARITY, a, b, c, d, 9, 4, 0xd9d4d039) STEP(PARITY, d, a, b, c, 12, 11, 0xe6db99e5)
        STEP(PARITY, c, d, a, b, 15, 16, 0x1fa27cf8) STEP(PARITY, b, c, d, a, 2, 23, 0xc4ac5665)
        STEP(MIXED, a, b, c, d, 0, 6, 0xf4292244) STEP(MIXED, d, a, b, c, 7, 10, 0x432aff97)
        STEP(MIXED, c, d, a, b, 14, 15, 0xab9423a7) STEP(MIXED, b, c, d, a, 5, 21, 0xfc93a039)
        STEP(MIXED, a, b, c, d, 12, 6, 0x655b59c3) STEP(MIXED, d, a, b, c, 3, 10, 0x8f0ccc92)
        STEP(MIXED, c, d, a, b, 10, 15, 0xffeff47d) STEP(MIXED, b, c, d, a, 1, 21, 0x85845dd1)
        STEP(MIXED, a, b, c, d, 8, 6, 0x6fa87e4f) STEP(MIXED, d, a, b, c, 15, 10, 0xfe2ce6e0)
        STEP(MIXED, c, d, a, b, 6, 15, 0xa3014314) STEP(MIXED, b, c, d, a, 13, 21, 0x4e0811a1)
        STEP(MIXED, a, b, c, d, 4, 6, 0xf7537e82) STEP(MIXED, d, a, b, c, 11, 10, 0xbd3af235)
        STEP(MIXED, c, d, a, b, 2, 15, 0x2ad7d2bb) STEP(MIXED, b, c, d, a, 9, 21, 0xeb86d391)
        a += a0;
        b += b0;
        c += c0;
        d += d0;
    }
    state[0] = a;
    state[1] = b;
    state[2] = c;
    state[3] = d;
}

void md5_finish(uint32_t state[4], const uint8_t *tail, uint64_t length, uint8_t out[16]) {
    uint8_t last[128] = {0};
    size_t left = length % 64, padded = left < 56 ? 64 : 128;
    uint64_t bits = length * 8;
    if (left) memcpy(last, tail, left);
    last[left] = 0x80;
    memcpy(last + padded - 8, &bits, 8);
    md5_blocks(state, last, padded / 64);
    memcpy(out, state, 16);
}

void md5_hash(const uint8_t *data, size_t length, uint8_t out[16]) {
    uint32_t state[4];
    md5_init(state);
    md5_blocks(state, data, length / 64);
    md5_finish(state, data + length / 64 * 64, length, out);
}
