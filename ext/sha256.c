#include "sha256.h"

#include <string.h>

#include "cpu.h"
#include "gear.h"

static const uint32_t K[64] __attribute__((aligned(64))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void portable_blocks(uint32_t state[8], const uint8_t *data, size_t count) {
    for (; count; count--, data += 64) {
        uint32_t w[64], s[8];
        for (int i = 0; i < 16; i++) {
            uint32_t word;
            memcpy(&word, data + 4 * i, 4);
            w[i] = __builtin_bswap32(word);
        }
        for (int i = 16; i < 64; i++) {
            uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
                   (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
        }
        memcpy(s, state, 32);
        for (int i = 0; i < 64; i++) {
            uint32_t t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
                          ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
            uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
                          ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            memmove(s + 1, s, 28);
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++) state[i] += s[i];
    }
}

/* The 16 groups of four rounds, each with a hook for work that shares the cycles. */
#define GROUPS(GROUP, HOOK)                                                                     \
    GROUP(0) HOOK(0) GROUP(1) HOOK(1) GROUP(2) HOOK(2) GROUP(3) HOOK(3) GROUP(4) HOOK(4)        \
    GROUP(5) HOOK(5) GROUP(6) HOOK(6) GROUP(7) HOOK(7) GROUP(8) HOOK(8) GROUP(9) HOOK(9)        \
    GROUP(10) HOOK(10) GROUP(11) HOOK(11) GROUP(12) HOOK(12) GROUP(13) HOOK(13) GROUP(14)       \
    HOOK(14) GROUP(15) HOOK(15)
#define NO_HOOK(g)
#define GEAR_BYTE(k) GEAR_STEP(hash, data[k], found |= UINT64_C(1) << i;);
#define GEAR_HOOK(g) GEAR_BYTE(4 * (g)) GEAR_BYTE(4 * (g) + 1) GEAR_BYTE(4 * (g) + 2) GEAR_BYTE(4 * (g) + 3)

#if defined(__x86_64__)
#include <immintrin.h>
#define HARDWARE 1
#define TARGET __attribute__((target("sha,sse4.1,ssse3")))

#define BEGIN                                                                                             \
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);                          \
    __m128i low = _mm_loadu_si128((const __m128i *)state), high = _mm_loadu_si128((const __m128i *)(state + 4)); \
    low = _mm_shuffle_epi32(low, 0xB1);                                                                   \
    high = _mm_shuffle_epi32(high, 0x1B);                                                                 \
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xF0);

#define END                                                              \
    low = _mm_shuffle_epi32(abef, 0x1B);                                 \
    high = _mm_shuffle_epi32(cdgh, 0xB1);                                \
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xF0)); \
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));

#define BLOCK_BEGIN                          \
    const __m128i abef0 = abef, cdgh0 = cdgh; \
    __m128i w[4];
#define BLOCK_END                         \
    abef = _mm_add_epi32(abef, abef0);    \
    cdgh = _mm_add_epi32(cdgh, cdgh0);

#define ROUNDS4(g)                                                                                          \
    if ((g) < 4)                                                                                            \
        w[(g) & 3] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * ((g) & 3))), swap);     \
    else                                                                                                    \
        w[(g) & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w[(g) & 3], w[((g) + 1) & 3]), \
                                                        _mm_alignr_epi8(w[((g) + 3) & 3], w[((g) + 2) & 3], 4)), \
                                          w[((g) + 3) & 3]);                                                \
    {                                                                                                       \
        __m128i t = _mm_add_epi32(w[(g) & 3], _mm_load_si128((const __m128i *)(K + 4 * (g))));              \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, t);                                                        \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(t, 0x0E));                               \
    }

#elif defined(__aarch64__) && (!defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_SHA2))
/* Older clang hides these intrinsics unless the whole file is compiled for them. */
#include <arm_neon.h>
#define HARDWARE 1
#ifdef __clang__
#define TARGET __attribute__((target("sha2")))
#else
#define TARGET __attribute__((target("+crypto")))
#endif

#define BEGIN uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
#define END                  \
    vst1q_u32(state, abcd);  \
    vst1q_u32(state + 4, efgh);
#define BLOCK_BEGIN                              \
    const uint32x4_t abcd0 = abcd, efgh0 = efgh; \
    uint32x4_t w[4];
#define BLOCK_END                      \
    abcd = vaddq_u32(abcd, abcd0);     \
    efgh = vaddq_u32(efgh, efgh0);
#define ROUNDS4(g)                                                                                      \
    if ((g) < 4)                                                                                        \
        w[(g) & 3] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * ((g) & 3))));                 \
    else                                                                                                \
        w[(g) & 3] = vsha256su1q_u32(vsha256su0q_u32(w[(g) & 3], w[((g) + 1) & 3]), w[((g) + 2) & 3],   \
                                     w[((g) + 3) & 3]);                                                 \
    {                                                                                                   \
        uint32x4_t t = vaddq_u32(w[(g) & 3], vld1q_u32(K + 4 * (g))), before = abcd;                    \
        abcd = vsha256hq_u32(abcd, efgh, t);                                                            \
        efgh = vsha256h2q_u32(efgh, before, t);                                                         \
    }
#endif

#ifdef HARDWARE
TARGET static void hardware_blocks(uint32_t state[8], const uint8_t *data, size_t count) {
    BEGIN
    for (; count; count--, data += 64) {
        BLOCK_BEGIN
        GROUPS(ROUNDS4, NO_HOOK)
        BLOCK_END
    }
    END
}

TARGET static uint64_t hardware_gear_blocks(uint32_t state[8], uint64_t *gear, const uint8_t *data, unsigned count) {
    uint64_t hash = *gear, found = 0;
    BEGIN
    for (unsigned i = 0; i < count; i++, data += 64) {
        BLOCK_BEGIN
        GROUPS(ROUNDS4, GEAR_HOOK)
        BLOCK_END
    }
    END
    *gear = hash;
    return found;
}
#endif

void sha256_init(uint32_t state[8]) {
    static const uint32_t initial[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                        0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
    memcpy(state, initial, sizeof initial);
}

void sha256_blocks(uint32_t state[8], const uint8_t *data, size_t count) {
#ifdef HARDWARE
    if (cpu_has_sha256()) {
        hardware_blocks(state, data, count);
        return;
    }
#endif
    portable_blocks(state, data, count);
}

uint64_t sha256_gear_blocks(uint32_t state[8], uint64_t *gear, const uint8_t *data, unsigned count) {
#ifdef HARDWARE
    if (cpu_has_sha256()) return hardware_gear_blocks(state, gear, data, count);
#endif
    portable_blocks(state, data, count);
    return gear_blocks(gear, data, count);
}

void sha256_finish(uint32_t state[8], const uint8_t *tail, uint64_t length, uint8_t out[32]) {
    uint8_t last[128] = {0};
    size_t left = length % 64, padded = left < 56 ? 64 : 128;
    uint64_t bits = __builtin_bswap64(length * 8);
    if (left) memcpy(last, tail, left);
    last[left] = 0x80;
    memcpy(last + padded - 8, &bits, 8);
    sha256_blocks(state, last, padded / 64);
    for (int i = 0; i < 8; i++) {
        uint32_t word = __builtin_bswap32(state[i]);
        memcpy(out + 4 * i, &word, 4);
    }
}

void sha256_hash(const uint8_t *data, size_t length, uint8_t out[32]) {
    uint32_t state[8];
    sha256_init(state);
    sha256_blocks(state, data, length / 64);
    sha256_finish(state, data + length / 64 * 64, length, out);
}
