/* Kernels over columns: bitmaps (bit i of word i / 64 is row i, as in Arrow), order keys, groups, pools of text.
 *
 * Every length is the caller's to have checked; an index that comes out of the data (a code, a position, an offset) is
 * checked here, for it lies in a file. Bits of an output behind the last row are zero. */
#ifndef RUNSTONE_COLUMNS_IMPL_H
#define RUNSTONE_COLUMNS_IMPL_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum { COMPARE_EQ, COMPARE_NE, COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE };

#define WORDS(n) (((n) + 63) / 64)

/* Order keys: a u64 whose order is the order of rows, smallest first.
 * false 0, true 1, then numbers (no f64 that is not a NaN maps below 2^52 - 1 or above 0xFFF0...0), then text by its rank;
 * descending turns this range over, within itself. What has no order stays behind it in both directions. */
#define KEY_TEXT UINT64_C(0xFFF0000000000001)
#define KEY_LAST UINT64_C(0xFFF8000000000000)
#define KEY_NAN (UINT64_MAX - 2)
#define KEY_OTHER (UINT64_MAX - 1)
#define KEY_MISSING UINT64_MAX

typedef struct {
    enum { SOURCE_KEYS, SOURCE_NUMBERS, SOURCE_TABLE, SOURCE_TEXT } kind;
    int descending;
    int width;             /* of codes: 1, 2 or 4 bytes */
    const void* data;      /* u64 keys, f64 values, or codes: one a row */
    const uint64_t* valid; /* rows that have a value, or NULL: all have */
    const uint64_t* table; /* SOURCE_TABLE: the (ascending) key of each code */
    uint64_t entries;      /* of the table */
    uint64_t cursor;       /* where the page before ended, if there was one */
} key_source;

uint64_t columns_number_key(double value);

/* values[i] op x, as IEEE 754 has it. */
void columns_compare(const double* values, size_t n, int op, double x, uint64_t* out);
/* low <= codes[i] < high */
void columns_in_range(const void* codes, int width, size_t n, uint64_t low, uint64_t high, uint64_t* out);
/* Whether bit codes[i] of `set`, which has `entries` bits, is set; a code beyond it is not in the set. */
void columns_in_set(const void* codes, int width, size_t n, const uint64_t* set, uint64_t entries, uint64_t* out);
/* Bit positions[i] of `out` (rows bits, zeroed here) becomes bit i of `bits`; -1 when a position is not below `rows`. */
int columns_scatter(const uint32_t* positions, size_t n, const uint64_t* bits, size_t rows, uint64_t* out);
uint64_t columns_count(const uint64_t* words, size_t n);
uint64_t columns_count_and(const uint64_t* one, const uint64_t* other, size_t n);
/* The positions of the set bits, up to `room` of them; how many. */
size_t columns_positions(const uint64_t* words, size_t n, uint32_t* out, size_t room);
/* The `k` first rows of `mask` in the order of the sources, ties by the greater position; with `bound` >= 0 only those behind the
 * cursor (equal to it in every source and below position `bound`, or later). `keys` and `out` have room for k; `keys` is left with the rows' keys in the first source. How many there are. */
size_t columns_top(const uint64_t* mask, size_t rows, const key_source* sources, int count, int64_t bound, size_t k, uint64_t* keys,
                   uint32_t* out);
/* The key of one row, for the caller that merges. */
uint64_t columns_key_at(const key_source* source, size_t row);
/* counts[g] rows of `mask` whose code is g; a code that is not below `groups` fails with -1. */
int columns_group_count(const uint64_t* mask, size_t rows, const uint32_t* codes, uint64_t groups, int64_t* counts);
/* The same for the values of valid rows that are no NaN, with their least, greatest and sum. */
int columns_group_numbers(const uint64_t* mask, size_t rows, const uint32_t* codes, uint64_t groups, const double* values,
                          int64_t* counts, double* least, double* greatest, double* sums);
/* Bit e of `out` (zeroed here) is set when entry e (pool[offsets[e] .. offsets[e + 1]]) has `needle` in it. With `fold`, ASCII letters
 * match either case, the needle is in lower case, and the answer may have entries too many. 1 when the answer is exact, 0 when it is
 * not, -1 when the offsets do not ascend within the pool. */
int columns_find(const uint8_t* pool, size_t size, const int64_t* offsets64, const int32_t* offsets32, size_t entries,
                 const uint8_t* needle, size_t length, int fold, uint64_t* out);

#pragma GCC visibility pop

#endif
