#include "xxh3.h"

#include <string.h>

#include "cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define PRIME32_1 UINT64_C(0x9E3779B1)
#define PRIME32_2 UINT64_C(0x85EBCA77)
#define PRIME32_3 UINT64_C(0xC2B2AE3D)
#define PRIME64_1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME64_2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME64_3 UINT64_C(0x165667B19E3779F9)
#define PRIME64_4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME64_5 UINT64_C(0x27D4EB2F165667C5)
#define PRIME_MX1 UINT64_C(0x165667919E3779F9)
#define PRIME_MX2 UINT64_C(0x9FB21C651E98DF25)

#define SECRET_SIZE 192
#define STRIPE 64
#define STRIPES_PER_BLOCK ((SECRET_SIZE - STRIPE) / 8)

static const uint8_t default_secret[SECRET_SIZE] __attribute__((aligned(64))) = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

static inline uint64_t read64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint64_t read32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline uint64_t rotl(uint64_t x, int n) { return x << n | x >> (64 - n); }

static inline uint64_t fold_product(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t avalanche_xxh64(uint64_t h) {
    h = (h ^ h >> 33) * PRIME64_2;
    h = (h ^ h >> 29) * PRIME64_3;
    return h ^ h >> 32;
}

static inline uint64_t avalanche(uint64_t h) {
    h = (h ^ h >> 37) * PRIME_MX1;
    return h ^ h >> 32;
}

static inline uint64_t mix16(const uint8_t *data, const uint8_t *secret, uint64_t seed) {
    return fold_product(read64(data) ^ (read64(secret) + seed), read64(data + 8) ^ (read64(secret + 8) - seed));
}

static uint64_t hash_0_to_16(const uint8_t *data, size_t length, uint64_t seed) {
    const uint8_t *secret = default_secret;
    if (length > 8) {
        uint64_t low = read64(data) ^ ((read64(secret + 24) ^ read64(secret + 32)) + seed);
        uint64_t high = read64(data + length - 8) ^ ((read64(secret + 40) ^ read64(secret + 48)) - seed);
        return avalanche(length + __builtin_bswap64(low) + high + fold_product(low, high));
    }
    if (length >= 4) {
        uint64_t flipped = seed ^ (uint64_t)__builtin_bswap32((uint32_t)seed) << 32;
        uint64_t both = read32(data + length - 4) + (read32(data) << 32);
        uint64_t h = both ^ ((read64(secret + 8) ^ read64(secret + 16)) - flipped);
        h ^= rotl(h, 49) ^ rotl(h, 24);
        h *= PRIME_MX2;
        h ^= (h >> 35) + length;
        h *= PRIME_MX2;
        return h ^ h >> 28;
    }
    if (length) {
        uint64_t both = (uint64_t)data[0] << 16 | (uint64_t)data[length >> 1] << 24 | data[length - 1] |
                        (uint64_t)length << 8;
        return avalanche_xxh64(both ^ ((read32(secret) ^ read32(secret + 4)) + seed));
    }
    return avalanche_xxh64(seed ^ read64(secret + 56) ^ read64(secret + 64));
}

static uint64_t hash_17_to_128(const uint8_t *data, size_t length, uint64_t seed) {
    const uint8_t *secret = default_secret;
    uint64_t acc = length * PRIME64_1;
    for (size_t i = (length - 1) / 32 + 1; i-- > 0;) {
        acc += mix16(data + 16 * i, secret + 32 * i, seed);
        acc += mix16(data + length - 16 * (i + 1), secret + 32 * i + 16, seed);
    }
    return avalanche(acc);
}

static uint64_t hash_129_to_240(const uint8_t *data, size_t length, uint64_t seed) {
    const uint8_t *secret = default_secret;
    uint64_t acc = length * PRIME64_1;
    for (size_t i = 0; i < 8; i++) acc += mix16(data + 16 * i, secret + 16 * i, seed);
    acc = avalanche(acc);
    for (size_t i = 8; i < length / 16; i++) acc += mix16(data + 16 * i, secret + 16 * (i - 8) + 3, seed);
    acc += mix16(data + length - 16, secret + 136 - 17, seed);
    return avalanche(acc);
}

/* Stripes of 64 bytes into eight accumulators, the secret moving 8 bytes with each. */
typedef void (*accumulate_fn)(uint64_t acc[8], const uint8_t *data, const uint8_t *secret, size_t stripes);

static void accumulate_portable(uint64_t acc[8], const uint8_t *data, const uint8_t *secret, size_t stripes) {
    for (; stripes; stripes--, data += STRIPE, secret += 8) {
        for (int i = 0; i < 8; i++) {
            uint64_t value = read64(data + 8 * i), keyed = value ^ read64(secret + 8 * i);
            acc[i ^ 1] += value;
            acc[i] += (keyed & 0xFFFFFFFF) * (keyed >> 32);
        }
    }
}

#if defined(__x86_64__)
static void accumulate_sse2(uint64_t acc[8], const uint8_t *data, const uint8_t *secret, size_t stripes) {
    __m128i a[4];
    memcpy(a, acc, sizeof a);
    for (; stripes; stripes--, data += STRIPE, secret += 8) {
        for (int i = 0; i < 4; i++) {
            __m128i value = _mm_loadu_si128((const __m128i *)data + i);
            __m128i keyed = _mm_xor_si128(value, _mm_loadu_si128((const __m128i *)secret + i));
            __m128i product = _mm_mul_epu32(keyed, _mm_shuffle_epi32(keyed, 0x31));
            a[i] = _mm_add_epi64(product, _mm_add_epi64(a[i], _mm_shuffle_epi32(value, 0x4E)));
        }
    }
    memcpy(acc, a, sizeof a);
}

__attribute__((target("avx2"))) static void accumulate_avx2(uint64_t acc[8], const uint8_t *data,
                                                            const uint8_t *secret, size_t stripes) {
    __m256i a[2];
    memcpy(a, acc, sizeof a);
    for (; stripes; stripes--, data += STRIPE, secret += 8) {
        for (int i = 0; i < 2; i++) {
            __m256i value = _mm256_loadu_si256((const __m256i *)data + i);
            __m256i keyed = _mm256_xor_si256(value, _mm256_loadu_si256((const __m256i *)secret + i));
            __m256i product = _mm256_mul_epu32(keyed, _mm256_srli_epi64(keyed, 32));
            a[i] = _mm256_add_epi64(product, _mm256_add_epi64(a[i], _mm256_shuffle_epi32(value, 0x4E)));
        }
    }
    memcpy(acc, a, sizeof a);
}

__attribute__((target("avx512f"))) static void accumulate_avx512(uint64_t acc[8], const uint8_t *data,
                                                                 const uint8_t *secret, size_t stripes) {
    __m512i a;
    memcpy(&a, acc, sizeof a);
    for (; stripes; stripes--, data += STRIPE, secret += 8) {
        __m512i value = _mm512_loadu_si512(data);
        __m512i keyed = _mm512_xor_si512(value, _mm512_loadu_si512(secret));
        __m512i product = _mm512_mul_epu32(keyed, _mm512_srli_epi64(keyed, 32));
        a = _mm512_add_epi64(product, _mm512_add_epi64(a, _mm512_shuffle_epi32(value, (_MM_PERM_ENUM)0x4E)));
    }
    memcpy(acc, &a, sizeof a);
}
#elif defined(__aarch64__)
static void accumulate_neon(uint64_t acc[8], const uint8_t *data, const uint8_t *secret, size_t stripes) {
    uint64x2_t a[4];
    for (int i = 0; i < 4; i++) a[i] = vld1q_u64(acc + 2 * i);
    for (; stripes; stripes--, data += STRIPE, secret += 8) {
        for (int i = 0; i < 4; i++) {
            uint64x2_t value = vreinterpretq_u64_u8(vld1q_u8(data + 16 * i));
            uint64x2_t keyed = veorq_u64(value, vreinterpretq_u64_u8(vld1q_u8(secret + 16 * i)));
            a[i] = vaddq_u64(a[i], vextq_u64(value, value, 1));
            a[i] = vmlal_u32(a[i], vmovn_u64(keyed), vshrn_n_u64(keyed, 32));
        }
    }
    for (int i = 0; i < 4; i++) vst1q_u64(acc + 2 * i, a[i]);
}
#endif

static accumulate_fn accumulator(void) {
    switch (cpu_level()) {
#if defined(__x86_64__)
    case LEVEL_AVX512:
        return accumulate_avx512;
    case LEVEL_AVX2:
        return accumulate_avx2;
    case LEVEL_BASE:
        return accumulate_sse2;
#elif defined(__aarch64__)
    case LEVEL_BASE:
        return accumulate_neon;
#endif
    default:
        return accumulate_portable;
    }
}

static uint64_t hash_long(const uint8_t *data, size_t length, const uint8_t *secret) {
    const accumulate_fn accumulate = accumulator();
    uint64_t acc[8] __attribute__((aligned(64))) = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3,
                                                    PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
    const uint8_t *end = data + length;
    size_t stripes = (length - 1) / STRIPE; /* all but the last, which ends where the data end */
    for (; stripes >= STRIPES_PER_BLOCK; stripes -= STRIPES_PER_BLOCK, data += STRIPES_PER_BLOCK * STRIPE) {
        accumulate(acc, data, secret, STRIPES_PER_BLOCK);
        for (int i = 0; i < 8; i++)
            acc[i] = (acc[i] ^ acc[i] >> 47 ^ read64(secret + SECRET_SIZE - STRIPE + 8 * i)) * PRIME32_1;
    }
    accumulate(acc, data, secret, stripes);
    accumulate(acc, end - STRIPE, secret + SECRET_SIZE - STRIPE - 7, 1);

    uint64_t result = length * PRIME64_1;
    for (int i = 0; i < 8; i += 2)
        result += fold_product(acc[i] ^ read64(secret + 11 + 8 * i), acc[i + 1] ^ read64(secret + 19 + 8 * i));
    return avalanche(result);
}

uint64_t xxh3_64(const uint8_t *data, size_t length, uint64_t seed) {
    if (length <= 16) return hash_0_to_16(data, length, seed);
    if (length <= 128) return hash_17_to_128(data, length, seed);
    if (length <= 240) return hash_129_to_240(data, length, seed);
    if (!seed) return hash_long(data, length, default_secret);
    uint8_t secret[SECRET_SIZE] __attribute__((aligned(64)));
    for (size_t i = 0; i < SECRET_SIZE; i += 16) {
        uint64_t low = read64(default_secret + i) + seed, high = read64(default_secret + i + 8) - seed;
        memcpy(secret + i, &low, 8);
        memcpy(secret + i + 8, &high, 8);
    }
    return hash_long(data, length, secret);
}
