#include "codecs_impl.h"

#include <math.h>
#include <string.h>

enum { MAX_EXPONENT = 18, SAMPLES = 64, HEAD = 16 };

/* Powers of ten up to 10^22 are exact doubles. */
static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

size_t codec_room(size_t count) { return 64 + 8 * count + (count / CODEC_RUN + 1) * 24 + count / 16 * 12; }

static int width_of(uint64_t range) { return range ? 64 - __builtin_clzll(range) : 0; }

static uint8_t* put_varint(uint8_t* p, int64_t value) {
    uint64_t left = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    while (left >= 0x80) {
        *p++ = (uint8_t)(left | 0x80);
        left >>= 7;
    }
    *p++ = (uint8_t)left;
    return p;
}

static const uint8_t* get_varint(const uint8_t* p, const uint8_t* end, int64_t* value) {
    uint64_t found = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (p == end) return NULL;
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1) return NULL;
        found |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = (int64_t)(found >> 1 ^ (~(found & 1) + 1));
            return p;
        }
    }
    return NULL;
}

/* One run: width, least value, then each value's distance from it in `width` bits, lowest bit first. */
static uint8_t* put_run(uint8_t* p, const int64_t* values, size_t count) {
    int64_t low = values[0], high = values[0];
    for (size_t i = 1; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    int width = width_of((uint64_t)high - (uint64_t)low);
    /* Up to 56 bits a number lies within one 8-byte load; wider ones take 8 bytes. */
    if (width > 56) width = 64;
    *p++ = (uint8_t)width;
    p = put_varint(p, low);
    uint64_t word = 0;
    int filled = 0;
    for (size_t i = 0; i < count && width; i++) {
        uint64_t bits = (uint64_t)values[i] - (uint64_t)low;
        word |= bits << filled;
        filled += width;
        if (filled >= 64) {
            memcpy(p, &word, 8);
            p += 8;
            filled -= 64;
            word = filled ? bits >> (width - filled) : 0;
        }
    }
    size_t rest = ((size_t)filled + 7) / 8;
    memcpy(p, &word, rest);
    return p + rest;
}

static const uint8_t* get_run(const uint8_t* p, const uint8_t* end, int64_t* out, size_t count) {
    uint8_t local[CODEC_RUN * 8 + 8];
    int64_t low;
    if (p == end) return NULL;
    unsigned width = *p++;
    if (width > 56 && width != 64) return NULL;
    p = get_varint(p, end, &low);
    if (!p) return NULL;
    size_t size = (count * width + 7) / 8;
    if (size > (size_t)(end - p)) return NULL;
    if (width == 0) {
        for (size_t i = 0; i < count; i++) out[i] = low;
        return p;
    }
    if (width == 64) {
        for (size_t i = 0; i < count; i++) {
            uint64_t word;
            memcpy(&word, p + 8 * i, 8);
            out[i] = (int64_t)(word + (uint64_t)low);
        }
        return p + size;
    }
    const uint8_t* from = p;
    if ((size_t)(end - p) < size + 8) { /* the last loads would reach past the end */
        memcpy(local, p, size);
        memset(local + size, 0, 8);
        from = local;
    }
    uint64_t mask = ((uint64_t)1 << width) - 1;
    for (size_t i = 0, bit = 0; i < count; i++, bit += width) {
        uint64_t word;
        memcpy(&word, from + (bit >> 3), 8);
        out[i] = (int64_t)((word >> (bit & 7) & mask) + (uint64_t)low);
    }
    return p + size;
}

static uint8_t* put_runs(uint8_t* p, const int64_t* values, size_t count) {
    for (size_t at = 0; at < count; at += CODEC_RUN)
        p = put_run(p, values + at, count - at < CODEC_RUN ? count - at : CODEC_RUN);
    return p;
}

static int get_runs(const uint8_t* p, const uint8_t* end, int64_t* out, size_t count) {
    for (size_t at = 0; at < count; at += CODEC_RUN) {
        p = get_run(p, end, out + at, count - at < CODEC_RUN ? count - at : CODEC_RUN);
        if (!p) return 0;
    }
    return p == end;
}

/* Bytes that the runs of `values` will take, without the least values: what decides between forms. */
static size_t cost_of(const int64_t* values, size_t count) {
    size_t bits = 0;
    for (size_t at = 0; at < count; at += CODEC_RUN) {
        size_t take = count - at < CODEC_RUN ? count - at : CODEC_RUN;
        int64_t low = values[at], high = values[at];
        for (size_t i = 1; i < take; i++) {
            int64_t v = values[at + i];
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        bits += (size_t)width_of((uint64_t)high - (uint64_t)low) * take;
        bits += 8 * (1 + (size_t)(width_of((uint64_t)low << 1 ^ (uint64_t)(low >> 63)) + 6) / 7);
    }
    return bits / 8;
}

static void differences(const int64_t* values, size_t count, int64_t* out) {
    for (size_t i = 1; i < count; i++) out[i - 1] = (int64_t)((uint64_t)values[i] - (uint64_t)values[i - 1]);
}

/* The runs of `values` or of their differences, whichever is shorter; says which. `deltas` is room for count numbers. */
static uint8_t* put_best(uint8_t* p, const int64_t* values, size_t count, int64_t* deltas, int* is_delta) {
    differences(values, count, deltas);
    *is_delta = cost_of(deltas, count - 1) + 8 < cost_of(values, count);
    if (!*is_delta) return put_runs(p, values, count);
    memcpy(p, values, 8);
    return put_runs(p + 8, deltas, count - 1);
}

static int get_best(const uint8_t* p, const uint8_t* end, int64_t* out, size_t count, int is_delta) {
    if (!is_delta) return get_runs(p, end, out, count);
    if (end - p < 8) return 0;
    memcpy(out, p, 8);
    if (!get_runs(p + 8, end, out + 1, count - 1)) return 0;
    uint64_t sum = (uint64_t)out[0];
    for (size_t i = 1; i < count; i++) {
        sum += (uint64_t)out[i];
        out[i] = (int64_t)sum;
    }
    return 1;
}

size_t codec_encode_ints(const int64_t* values, size_t count, uint8_t* out, int64_t* scratch) {
    if (count == 0) return 0;
    uint64_t stride = count > 1 ? (uint64_t)values[1] - (uint64_t)values[0] : 0;
    size_t same = 1;
    while (same < count && (uint64_t)values[same] - (uint64_t)values[same - 1] == stride) same++;
    if (same == count) {
        out[0] = INT_STRIDE;
        memcpy(out + 1, values, 8);
        return (size_t)(put_varint(out + 9, (int64_t)stride) - out);
    }
    int is_delta;
    uint8_t* end = put_best(out + 1, values, count, scratch, &is_delta);
    if ((size_t)(end - out) > 8 * count) {
        out[0] = INT_PLAIN;
        memcpy(out + 1, values, 8 * count);
        return 1 + 8 * count;
    }
    out[0] = is_delta ? INT_DELTA : INT_PACKED;
    return (size_t)(end - out);
}

int codec_decode_ints(const uint8_t* data, size_t length, int64_t* out, size_t count) {
    if (count == 0 || length == 0) return count == 0 && length == 0;
    const uint8_t *p = data + 1, *end = data + length;
    if (data[0] == INT_PLAIN) {
        if ((size_t)(end - p) != 8 * count) return 0;
        memcpy(out, p, 8 * count);
        return 1;
    }
    if (data[0] == INT_STRIDE) {
        int64_t base, stride;
        if (end - p < 8 || get_varint(p + 8, end, &stride) != end) return 0;
        memcpy(&base, p, 8);
        for (size_t i = 0; i < count; i++) out[i] = (int64_t)((uint64_t)base + (uint64_t)stride * i);
        return 1;
    }
    return data[0] <= INT_DELTA && get_best(p, end, out, count, data[0] == INT_DELTA);
}

static int same_bits(double a, double b) { return memcmp(&a, &b, 8) == 0; }

/* The whole number that stands for `value` at 10^exponent; 0 when none gives the very same bits back. */
static inline int to_decimal(double value, int exponent, int64_t* out) {
    double scaled = value * POWERS[exponent];
    if (!(scaled > -9007199254740992.0 && scaled < 9007199254740992.0)) return 0;
    int64_t whole = llrint(scaled);
    *out = whole;
    return same_bits((double)whole / POWERS[exponent], value);
}

/* The exponent at which most of a sample are whole numbers, or -1. */
static int find_exponent(const double* values, size_t count) {
    size_t step = count / SAMPLES + 1, sampled = (count + step - 1) / step;
    for (int exponent = 0; exponent <= MAX_EXPONENT; exponent++) {
        size_t fit = 0;
        int64_t whole;
        for (size_t i = 0; i < count; i += step) fit += (size_t)to_decimal(values[i], exponent, &whole);
        if (fit * 16 >= sampled * 15) return exponent;
    }
    return -1;
}

/* exponent u8, exceptions u32, their places u32 each, their doubles, then the runs. 0: not a column of decimals. */
static size_t encode_decimals(const double* values, size_t count, uint8_t* out, int64_t* scratch) {
    int exponent = find_exponent(values, count);
    if (exponent < 0) return 0;
    int64_t* wholes = scratch;
    uint32_t exceptions = 0, limit = (uint32_t)(count / 16);
    uint8_t* p = out + 6;
    int64_t before = 0;
    for (size_t i = 0; i < count; i++) {
        if (to_decimal(values[i], exponent, &wholes[i])) {
            before = wholes[i];
            continue;
        }
        if (++exceptions > limit) return 0;
        uint32_t place = (uint32_t)i;
        memcpy(p, &place, 4);
        memcpy(p + 4, &values[i], 8);
        p += 12;
        wholes[i] = before;
    }
    out[1] = (uint8_t)exponent;
    memcpy(out + 2, &exceptions, 4);
    int is_delta;
    p = put_best(p, wholes, count, scratch + count, &is_delta);
    out[0] = is_delta ? FLOAT_DECIMAL_DELTA : FLOAT_DECIMAL;
    return (size_t)(p - out);
}

static int decode_decimals(const uint8_t* p, const uint8_t* end, double* out, size_t count, int is_delta) {
    uint32_t exceptions;
    if (end - p < 5 || p[0] > MAX_EXPONENT) return 0;
    double power = POWERS[p[0]];
    memcpy(&exceptions, p + 1, 4);
    p += 5;
    if (exceptions > count || (size_t)(end - p) < 12 * (size_t)exceptions) return 0;
    const uint8_t* patches = p;
    if (!get_best(p + 12 * (size_t)exceptions, end, (int64_t*)out, count, is_delta)) return 0;
    for (size_t i = 0; i < count; i++) {
        int64_t whole;
        memcpy(&whole, &out[i], 8);
        out[i] = (double)whole / power;
    }
    for (uint32_t i = 0; i < exceptions; i++) {
        uint32_t place;
        memcpy(&place, patches + 12 * (size_t)i, 4);
        if (place >= count) return 0;
        memcpy(&out[place], patches + 12 * (size_t)i + 4, 8);
    }
    return 1;
}

/* shift u8, then the runs of the doubles' magnitudes, shifted right by their common zero bits, with the sign folded in:
 * a float32 that was widened has 29 such bits, and neighbours of a smooth series differ little as whole numbers. */
static size_t encode_bits(const double* values, size_t count, uint8_t* out, int64_t* scratch) {
    uint64_t any = 0, bits;
    const uint64_t magnitude = ~(uint64_t)0 >> 1;
    for (size_t i = 0; i < count; i++) {
        memcpy(&bits, &values[i], 8);
        any |= bits & magnitude;
    }
    int shift = any ? __builtin_ctzll(any) : 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(&bits, &values[i], 8);
        uint64_t folded = (bits & magnitude) >> shift;
        scratch[i] = (int64_t)(bits >> 63 ? ~folded : folded);
    }
    int is_delta;
    out[1] = (uint8_t)shift;
    uint8_t* p = put_best(out + 2, scratch, count, scratch + count, &is_delta);
    out[0] = is_delta ? FLOAT_BITS_DELTA : FLOAT_BITS;
    return (size_t)(p - out);
}

static int decode_bits(const uint8_t* p, const uint8_t* end, double* out, size_t count, int is_delta) {
    if (end == p || p[0] > 62) return 0;
    int shift = p[0];
    if (!get_best(p + 1, end, (int64_t*)out, count, is_delta)) return 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t folded, sign;
        memcpy(&folded, &out[i], 8);
        sign = folded >> 63;
        uint64_t bits = ((sign ? ~folded : folded) << shift) | sign << 63;
        memcpy(&out[i], &bits, 8);
    }
    return 1;
}

size_t codec_encode_floats(const double* values, size_t count, uint8_t* out, int64_t* scratch) {
    if (count == 0) return 0;
    size_t same = 1;
    while (same < count && same_bits(values[same], values[0])) same++;
    if (same == count) {
        out[0] = FLOAT_CONSTANT;
        memcpy(out + 1, values, 8);
        return 9;
    }
    size_t size = encode_decimals(values, count, out, scratch);
    if (size && size < 4 * count) return size;
    size_t packed = encode_bits(values, count, out, scratch);
    /* Both may be long: the decimals are encoded again when they were the shorter. */
    if (size && size < packed) packed = encode_decimals(values, count, out, scratch);
    if (packed <= 8 * count) return packed;
    out[0] = FLOAT_PLAIN;
    memcpy(out + 1, values, 8 * count);
    return 1 + 8 * count;
}

int codec_decode_floats(const uint8_t* data, size_t length, double* out, size_t count) {
    if (count == 0 || length == 0) return count == 0 && length == 0;
    const uint8_t *p = data + 1, *end = data + length;
    switch (data[0]) {
        case FLOAT_PLAIN:
            if ((size_t)(end - p) != 8 * count) return 0;
            memcpy(out, p, 8 * count);
            return 1;
        case FLOAT_CONSTANT:
            if (end - p != 8) return 0;
            for (size_t i = 0; i < count; i++) memcpy(&out[i], p, 8);
            return 1;
        case FLOAT_DECIMAL:
        case FLOAT_DECIMAL_DELTA:
            return decode_decimals(p, end, out, count, data[0] == FLOAT_DECIMAL_DELTA);
        case FLOAT_BITS:
        case FLOAT_BITS_DELTA:
            return decode_bits(p, end, out, count, data[0] == FLOAT_BITS_DELTA);
        default:
            return 0;
    }
}
