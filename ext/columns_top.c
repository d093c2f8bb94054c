/* The first rows of an order: one pass with a heap of the best so far. */
#include "columns_impl.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

uint64_t columns_number_key(double value) {
    uint64_t bits;
    if (value != value) return KEY_NAN;
    if (value == 0) value = 0; /* -0.0 and 0.0 are one number */
    memcpy(&bits, &value, 8);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

INLINE uint64_t code_at(const key_source* source, size_t row) {
    if (source->width == 1) return ((const uint8_t*)source->data)[row];
    if (source->width == 2) return ((const uint16_t*)source->data)[row];
    return ((const uint32_t*)source->data)[row];
}

INLINE uint64_t key_at(const key_source* source, size_t row) {
    uint64_t key, code;
    if (source->kind == SOURCE_KEYS) return ((const uint64_t*)source->data)[row];
    if (source->valid && !(source->valid[row / 64] >> (row % 64) & 1)) return KEY_MISSING;
    switch (source->kind) {
    case SOURCE_NUMBERS:
        key = columns_number_key(((const double*)source->data)[row]);
        break;
    case SOURCE_TABLE:
        code = code_at(source, row);
        key = code < source->entries ? source->table[code] : KEY_OTHER;
        break;
    default:
        key = KEY_TEXT + 2 * code_at(source, row) + 1;
    }
    return source->descending && key <= KEY_LAST ? KEY_LAST - key : key;
}

uint64_t columns_key_at(const key_source* source, size_t row) { return key_at(source, row); }

/* Whether row `a` comes before row `b`; `first` are their keys in the first source. */
INLINE int before(const key_source* sources, int count, uint64_t first_a, uint32_t a, uint64_t first_b, uint32_t b) {
    if (first_a != first_b) return first_a < first_b;
    for (int i = 1; i < count; i++) {
        const uint64_t key_a = key_at(sources + i, a), key_b = key_at(sources + i, b);
        if (key_a != key_b) return key_a < key_b;
    }
    return a > b;
}

INLINE int behind_cursor(const key_source* sources, int count, uint64_t first, uint32_t row, int64_t bound) {
    for (int i = 0; i < count; i++) {
        const uint64_t key = i ? key_at(sources + i, row) : first;
        if (key != sources[i].cursor) return key > sources[i].cursor;
    }
    return (int64_t)row < bound;
}

/* A heap with the last row of the order on top. The first keys lie beside the rows in `keys`, which is not null. */
static void sift(const key_source* sources, int count, uint64_t* keys, uint32_t* rows, size_t size, size_t at) {
    const uint64_t key = keys[at];
    const uint32_t row = rows[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= size) break;
        if (child + 1 < size && before(sources, count, keys[child], rows[child], keys[child + 1], rows[child + 1])) child++;
        if (!before(sources, count, key, row, keys[child], rows[child])) break;
        keys[at] = keys[child], rows[at] = rows[child];
        at = child;
    }
    keys[at] = key, rows[at] = row;
}

/* Words a block, and the step from a block to the next: an order that is the rows' own, or its opposite, would replace the whole heap
 * again and again; in blocks that jump about it is replaced a logarithmic number of times. */
enum { BLOCK = 8 };

static size_t stride_for(size_t blocks) {
    size_t stride = blocks * 618 / 1000 | 1;
    for (;; stride += 2) {
        size_t a = stride, b = blocks;
        while (b) {
            const size_t rest = a % b;
            a = b, b = rest;
        }
        if (a == 1) return stride;
    }
}

/* The number of an ascending key. */
static double key_number(uint64_t key) {
    const uint64_t bits = key >> 63 ? key & ~(UINT64_C(1) << 63) : ~key;
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

/* Rows of a block (of `n` rows from `first` on) that may come before the row on top of a full heap, whose first key is `worst`: what a
 * scan of the first source says, so that few rows are looked at one by one. Returns 0 when it can say nothing. */
static int may_enter(const key_source* source, uint64_t worst, size_t first, size_t n, uint64_t* out) {
    if (source->kind == SOURCE_KEYS || worst > KEY_LAST) return 0;
    const uint64_t key = source->descending ? KEY_LAST - worst : worst;
    if (source->kind == SOURCE_NUMBERS) {
        /* Keys of other types do not occur here, and no number lies beyond them. */
        if (key < columns_number_key(-__builtin_inf()) || key > columns_number_key(__builtin_inf())) return 0;
        columns_compare((const double*)source->data + first, n, source->descending ? COMPARE_GE : COMPARE_LE, key_number(key), out);
    } else {
        uint64_t code;
        if (source->kind == SOURCE_TEXT) {
            if (key <= KEY_TEXT) return 0;
            code = (key - KEY_TEXT - 1) / 2;
        } else {
            uint64_t low = 0, high = source->entries;
            /* NaN, the last of a table, has the greatest key. */
            while (low < high) {
                const uint64_t middle = low + (high - low) / 2;
                if (source->table[middle] < key)
                    low = middle + 1;
                else
                    high = middle;
            }
            code = low;
        }
        const uint8_t* codes = (const uint8_t*)source->data + first * (size_t)source->width;
        columns_in_range(codes, source->width, n, source->descending ? code : 0, source->descending ? UINT64_MAX : code + 1, out);
    }
    if (source->valid)
        for (size_t i = 0; i < WORDS(n); i++) out[i] &= source->valid[first / 64 + i];
    return 1;
}

/* The last rows of a mask below `bound`, when nothing else orders them. */
static size_t newest(const uint64_t* mask, size_t rows, int64_t bound, size_t k, uint32_t* out) {
    const size_t end = bound >= 0 && (size_t)bound < rows ? (size_t)bound : rows;
    size_t size = 0;
    for (size_t word = WORDS(end); word-- > 0;)
        for (uint64_t left = mask[word]; left;) {
            const int bit = 63 - __builtin_clzll(left);
            left &= ~(UINT64_C(1) << bit);
            if (word * 64 + (size_t)bit >= end) continue;
            out[size] = (uint32_t)(word * 64) + (uint32_t)bit;
            if (++size == k) return size;
        }
    return size;
}

size_t columns_top(const uint64_t* mask, size_t rows, const key_source* sources, int count, int64_t bound, size_t k, uint64_t* keys,
                   uint32_t* out) {
    const size_t words = WORDS(rows), blocks = (words + BLOCK - 1) / BLOCK;
    const size_t stride = blocks ? stride_for(blocks) : 1;
    size_t size = 0, block = 0;
    uint64_t entering[BLOCK];
    if (!k) return 0;
    if (!count) return newest(mask, rows, bound, k, out);
    for (size_t turn = 0; turn < blocks; turn++, block = (block + stride) % blocks) {
        const size_t stop = (block + 1) * BLOCK < words ? (block + 1) * BLOCK : words;
        const size_t first = block * BLOCK * 64, end = stop * 64 < rows ? stop * 64 : rows;
        const int pruned = size == k && may_enter(sources, keys[0], first, end - first, entering);
        for (size_t word = stop; word-- > block * BLOCK;)
            for (uint64_t left = pruned ? mask[word] & entering[word - block * BLOCK] : mask[word]; left;) {
                const int bit = 63 - __builtin_clzll(left);
                const uint32_t row = (uint32_t)(word * 64) + (uint32_t)bit;
                left &= ~(UINT64_C(1) << bit);
                if (row >= rows) continue;
                const uint64_t key = key_at(sources, row);
                if (size == k && (key > keys[0] || !before(sources, count, key, row, keys[0], out[0]))) continue;
                if (bound >= 0 && !behind_cursor(sources, count, key, row, bound)) continue;
                if (size < k) {
                    keys[size] = key, out[size] = row;
                    if (++size == k)
                        for (size_t i = k / 2; i-- > 0;) sift(sources, count, keys, out, k, i);
                } else {
                    keys[0] = key, out[0] = row;
                    sift(sources, count, keys, out, k, 0);
                }
            }
    }
    if (size < k)
        for (size_t i = size / 2; i-- > 0;) sift(sources, count, keys, out, size, i);
    for (size_t left = size; left > 1; left--) {
        const uint64_t key = keys[0];
        const uint32_t row = out[0];
        keys[0] = keys[left - 1], out[0] = out[left - 1];
        keys[left - 1] = key, out[left - 1] = row;
        sift(sources, count, keys, out, left - 1, 0);
    }
    return size;
}
