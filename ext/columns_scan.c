/* Scans that make bitmaps. */
#include "columns_impl.h"

#include <string.h>

#include "cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,bmi,popcnt")))
#endif

#define INLINE static inline __attribute__((always_inline))

/* 64 bytes of 0 or 1 to 64 bits: the product moves bit 8i of a word to bit 56 + i. */
INLINE uint64_t pack(const uint8_t* flags) {
    uint64_t bits = 0, eight;
    for (int i = 0; i < 8; i++) {
        memcpy(&eight, flags + 8 * i, 8);
        bits |= ((eight * UINT64_C(0x0102040810204080)) >> 56) << (8 * i);
    }
    return bits;
}

/* Fills `out` from an expression over row `i` of a block of up to 64. The full blocks have a constant bound, so that compilers
 * turn them into vectors. */
#define BLOCKS(expression)                                       \
    uint8_t flags[64];                                           \
    size_t block = 0;                                            \
    for (; (block + 1) * 64 <= n; block++) {                     \
        for (size_t j = 0; j < 64; j++) {                        \
            size_t i = block * 64 + j;                           \
            flags[j] = (expression);                             \
        }                                                        \
        out[block] = pack(flags);                                \
    }                                                            \
    if (block * 64 < n) {                                        \
        memset(flags, 0, sizeof flags);                          \
        for (size_t i = block * 64; i < n; i++) flags[i % 64] = (expression); \
        out[block] = pack(flags);                                \
    }

#define COMPARE(name, op) \
    INLINE void name(const double* v, size_t n, double x, uint64_t* out) { BLOCKS(v[i] op x) }
COMPARE(compare_eq, ==)
COMPARE(compare_ne, !=)
COMPARE(compare_lt, <)
COMPARE(compare_le, <=)
COMPARE(compare_gt, >)
COMPARE(compare_ge, >=)

INLINE void compare_any(const double* v, size_t n, int op, double x, uint64_t* out) {
    switch (op) {
    case COMPARE_EQ: compare_eq(v, n, x, out); break;
    case COMPARE_NE: compare_ne(v, n, x, out); break;
    case COMPARE_LT: compare_lt(v, n, x, out); break;
    case COMPARE_LE: compare_le(v, n, x, out); break;
    case COMPARE_GT: compare_gt(v, n, x, out); break;
    default: compare_ge(v, n, x, out);
    }
}

/* low <= c < high by one unsigned comparison. */
#define RANGE(name, type) \
    INLINE void name(const type* c, size_t n, type low, type span, uint64_t* out) { BLOCKS((type)(c[i] - low) <= span) }
RANGE(range_1, uint8_t)
RANGE(range_2, uint16_t)
RANGE(range_4, uint32_t)

INLINE void range_any(const void* codes, int width, size_t n, uint64_t low, uint64_t span, uint64_t* out) {
    if (width == 1)
        range_1(codes, n, (uint8_t)low, (uint8_t)span, out);
    else if (width == 2)
        range_2(codes, n, (uint16_t)low, (uint16_t)span, out);
    else
        range_4(codes, n, (uint32_t)low, (uint32_t)span, out);
}

#if defined(__x86_64__)
AVX2 static void compare_avx2(const double* v, size_t n, int op, double x, uint64_t* out) { compare_any(v, n, op, x, out); }
AVX2 static void range_avx2(const void* codes, int width, size_t n, uint64_t low, uint64_t span, uint64_t* out) {
    range_any(codes, width, n, low, span, out);
}
#endif

void columns_compare(const double* values, size_t n, int op, double x, uint64_t* out) {
#if defined(__x86_64__)
    if (cpu_level() >= LEVEL_AVX2) {
        compare_avx2(values, n, op, x, out);
        return;
    }
#endif
    compare_any(values, n, op, x, out);
}

void columns_in_range(const void* codes, int width, size_t n, uint64_t low, uint64_t high, uint64_t* out) {
    const uint64_t most = width == 4 ? UINT32_MAX : (UINT64_C(1) << (8 * width)) - 1;
    if (high > most + 1) high = most + 1;
    if (low >= high) {
        memset(out, 0, WORDS(n) * 8);
        return;
    }
#if defined(__x86_64__)
    if (cpu_level() >= LEVEL_AVX2) {
        range_avx2(codes, width, n, low, high - low - 1, out);
        return;
    }
#endif
    range_any(codes, width, n, low, high - low - 1, out);
}

#define IN_SET(name, type)                                                                            \
    static void name(const type* c, size_t n, const uint64_t* set, uint64_t entries, uint64_t* out) { \
        for (size_t word = 0; word < WORDS(n); word++) {                                              \
            const size_t stop = word * 64 + 64 < n ? 64 : n - word * 64;                              \
            uint64_t bits = 0;                                                                        \
            for (size_t j = 0; j < stop; j++) {                                                       \
                const uint64_t code = c[word * 64 + j];                                               \
                const uint64_t in = code < entries ? set[code / 64] >> (code % 64) & 1 : 0;           \
                bits |= in << j;                                                                      \
            }                                                                                         \
            out[word] = bits;                                                                         \
        }                                                                                             \
    }
IN_SET(in_set_1, uint8_t)
IN_SET(in_set_2, uint16_t)
IN_SET(in_set_4, uint32_t)

void columns_in_set(const void* codes, int width, size_t n, const uint64_t* set, uint64_t entries, uint64_t* out) {
    if (width == 1)
        in_set_1(codes, n, set, entries, out);
    else if (width == 2)
        in_set_2(codes, n, set, entries, out);
    else
        in_set_4(codes, n, set, entries, out);
}

int columns_scatter(const uint32_t* positions, size_t n, const uint64_t* bits, size_t rows, uint64_t* out) {
    memset(out, 0, WORDS(rows) * 8);
    for (size_t word = 0; word < WORDS(n); word++) {
        for (uint64_t left = bits[word]; left; left &= left - 1) {
            const size_t i = word * 64 + (size_t)__builtin_ctzll(left);
            if (i >= n) break;
            const uint32_t at = positions[i];
            if (at >= rows) return -1;
            out[at / 64] |= UINT64_C(1) << (at % 64);
        }
    }
    return 0;
}

INLINE uint64_t count_any(const uint64_t* one, const uint64_t* other, size_t n) {
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) total += (uint64_t)__builtin_popcountll(other ? one[i] & other[i] : one[i]);
    return total;
}

#if defined(__x86_64__)
AVX2 static uint64_t count_avx2(const uint64_t* one, const uint64_t* other, size_t n) {
    return other ? count_any(one, other, n) : count_any(one, 0, n);
}
#endif

uint64_t columns_count_and(const uint64_t* one, const uint64_t* other, size_t n) {
#if defined(__x86_64__)
    if (cpu_level() >= LEVEL_AVX2) return count_avx2(one, other, n);
#endif
    return count_any(one, other, n);
}

uint64_t columns_count(const uint64_t* words, size_t n) { return columns_count_and(words, 0, n); }

size_t columns_positions(const uint64_t* words, size_t n, uint32_t* out, size_t room) {
    size_t found = 0;
    for (size_t word = 0; word < n; word++)
        for (uint64_t left = words[word]; left; left &= left - 1) {
            if (found == room) return found;
            out[found++] = (uint32_t)(word * 64 + (size_t)__builtin_ctzll(left));
        }
    return found;
}

int columns_group_count(const uint64_t* mask, size_t rows, const uint32_t* codes, uint64_t groups, int64_t* counts) {
    for (size_t word = 0; word < WORDS(rows); word++)
        for (uint64_t left = mask[word]; left; left &= left - 1) {
            const size_t row = word * 64 + (size_t)__builtin_ctzll(left);
            if (row >= rows) break;
            if (codes[row] >= groups) return -1;
            counts[codes[row]]++;
        }
    return 0;
}

int columns_group_numbers(const uint64_t* mask, size_t rows, const uint32_t* codes, uint64_t groups, const double* values,
                          int64_t* counts, double* least, double* greatest, double* sums) {
    for (size_t word = 0; word < WORDS(rows); word++)
        for (uint64_t left = mask[word]; left; left &= left - 1) {
            const size_t row = word * 64 + (size_t)__builtin_ctzll(left);
            if (row >= rows) break;
            const uint64_t group = codes[row];
            const double value = values[row];
            if (group >= groups) return -1;
            if (value != value) continue;
            if (!counts[group]++) {
                least[group] = greatest[group] = value;
            } else {
                if (value < least[group]) least[group] = value;
                if (value > greatest[group]) greatest[group] = value;
            }
            sums[group] += value;
        }
    return 0;
}
