/* Sums of doubles without rounding: the same sum in whatever order and grouping the numbers come.
 *
 * Positive and negative numbers add up apart, as fixed-point numbers in units of 2^-1074, wide enough for 2^64 of the greatest double.
 * After R. M. Neal, "Fast Exact Summation Using Small and Large Superaccumulators" (2015), with plain carries.
 */
#ifndef RUNSTONE_EXACTSUM_H
#define RUNSTONE_EXACTSUM_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { EXACT_LIMBS = 34 };

typedef struct {
    uint64_t positive[EXACT_LIMBS], negative[EXACT_LIMBS];
} exact_sum;

/* Adds a finite double. */
static inline void exact_add(exact_sum* sum, double value) {
    uint64_t bits, mantissa;
    memcpy(&bits, &value, 8);
    unsigned exponent = (unsigned)(bits >> 52) & 0x7FF;
    mantissa = bits & (((uint64_t)1 << 52) - 1);
    if (exponent) {
        mantissa |= (uint64_t)1 << 52;
        exponent--;
    }
    uint64_t* limb = (bits >> 63 ? sum->negative : sum->positive) + (exponent >> 6);
    unsigned shift = exponent & 63;
    uint64_t low = mantissa << shift, high = shift ? mantissa >> (64 - shift) : 0;
    uint64_t carry = __builtin_add_overflow(limb[0], low, &limb[0]);
    /* high has at most 52 bits, so that adding the carry to it cannot overflow. */
    carry = __builtin_add_overflow(limb[1], high + carry, &limb[1]);
    for (int i = 2; carry; i++) carry = __builtin_add_overflow(limb[i], (uint64_t)1, &limb[i]);
}

/* |positive - negative| into `out`; whether the difference is negative. */
static inline int exact_difference(const exact_sum* sum, uint64_t out[EXACT_LIMBS]) {
    int at = EXACT_LIMBS - 1;
    while (at > 0 && sum->positive[at] == sum->negative[at]) at--;
    int negative = sum->positive[at] < sum->negative[at];
    const uint64_t* a = negative ? sum->negative : sum->positive;
    const uint64_t* b = negative ? sum->positive : sum->negative;
    uint64_t borrow = 0;
    for (int i = 0; i < EXACT_LIMBS; i++) {
        uint64_t first, rest;
        uint64_t under = __builtin_sub_overflow(a[i], b[i], &first);
        under |= __builtin_sub_overflow(first, borrow, &rest);
        out[i] = rest;
        borrow = under;
    }
    return negative;
}

/* A magnitude rounded to the nearest double, ties to even; infinity when it is beyond the greatest. */
static inline double exact_round_magnitude(const uint64_t limbs[EXACT_LIMBS]) {
    int top = EXACT_LIMBS - 1;
    while (top >= 0 && limbs[top] == 0) top--;
    if (top < 0) return 0.0;
    int highest = 64 * top + 63 - __builtin_clzll(limbs[top]);
    if (highest < 53) return ldexp((double)limbs[0], -1074);
    int lowest = highest - 52; /* of the 53 bits that are kept */
    int limb = lowest >> 6, shift = lowest & 63;
    uint64_t mantissa = limbs[limb] >> shift;
    if (shift && limb + 1 < EXACT_LIMBS) mantissa |= limbs[limb + 1] << (64 - shift);
    mantissa &= ((uint64_t)1 << 53) - 1;
    int half_at = lowest - 1;
    uint64_t half = limbs[half_at >> 6] >> (half_at & 63) & 1;
    uint64_t below = limbs[half_at >> 6] & (((uint64_t)1 << (half_at & 63)) - 1);
    for (int i = 0; i < half_at >> 6 && !below; i++) below |= limbs[i];
    if (half && (below || (mantissa & 1))) mantissa++;
    return ldexp((double)mantissa, lowest - 1074);
}

static inline double exact_round(const exact_sum* sum) {
    uint64_t limbs[EXACT_LIMBS];
    int negative = exact_difference(sum, limbs);
    double magnitude = exact_round_magnitude(limbs);
    return negative ? -magnitude : magnitude;
}

/* Finite doubles that add up to the sum without rounding, greatest first; how many (at most `room`), the rest is lost. */
static inline int exact_terms(const exact_sum* sum, double* out, int room) {
    exact_sum rest;
    memset(&rest, 0, sizeof rest);
    int negative = exact_difference(sum, rest.positive);
    int count = 0;
    while (count < room) {
        uint64_t limbs[EXACT_LIMBS];
        int under = exact_difference(&rest, limbs);
        double term = exact_round_magnitude(limbs);
        if (term == 0.0) break;
        if (isinf(term)) term = 1.7976931348623157e308;
        if (under) term = -term;
        out[count++] = negative ? -term : term;
        exact_add(&rest, -term);
    }
    return count;
}

#endif
