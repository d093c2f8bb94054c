/* The points batch (docs/format/points.md): finding frames and columns in bytes that nobody has vouched for. */
#ifndef RUNSTONE_POINTS_FORMAT_H
#define RUNSTONE_POINTS_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    POINTS_HEADER = 16,
    POINTS_FRAME_HEADER = 16,
    POINTS_COLUMN_HEADER = 8,
    POINTS_VERSION = 1,
    POINTS_MAX_NAME = 400,
    POINTS_MAX_ROWS = 1 << 24,
    POINTS_MAX_KEYS = 1 << 16,
    POINTS_MAX_DEPTH = 64,
};

enum points_kind { POINTS_FLOAT = 0, POINTS_INT = 1, POINTS_OBJECT = 2 };
enum points_axis_mode { AXIS_PLAIN = 0, AXIS_STRIDE = 1, AXIS_OFFSETS = 2 };

enum points_error {
    POINTS_OK = 0,
    POINTS_NO_MEMORY,
    POINTS_CUT_OFF,
    POINTS_MAGIC,
    POINTS_LENGTH,
    POINTS_ROWS,
    POINTS_KEYS,
    POINTS_RESERVED,
    POINTS_AXIS,
    POINTS_AXIS_OVERFLOW,
    POINTS_NAME,
    POINTS_KIND,
    POINTS_COLUMN,
    POINTS_PADDING,
    POINTS_OFFSETS,
    POINTS_OBJECT_VALUE,
    POINTS_TRAILING,
};

typedef struct {
    uint8_t mode;
    size_t at; /* of the first number of the column's data */
} points_axis;

typedef struct {
    uint32_t rows;
    uint32_t keys;
    size_t first_column; /* its index in points_batch.columns */
    points_axis steps, times;
} points_frame;

typedef struct {
    size_t name;
    uint32_t name_length;
    uint8_t kind;
    size_t data;
    size_t length;
} points_column;

typedef struct {
    points_frame* frames;
    points_column* columns;
    size_t frame_count, column_count, column_room;
    size_t at; /* where an error was found */
} points_batch;

static inline uint16_t points_u16(const uint8_t* p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t points_u32(const uint8_t* p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline int64_t points_i64(const uint8_t* p) { int64_t v; memcpy(&v, p, 8); return v; }
static inline double points_f64(const uint8_t* p) { double v; memcpy(&v, p, 8); return v; }

static inline size_t points_padded(size_t length) { return (length + 7) & ~(size_t)7; }

/* The number in a row of a step or time column; the column has been checked, so nothing overflows. */
static inline int64_t points_axis_value(const uint8_t* data, const points_axis* axis, size_t row) {
    const uint8_t* p = data + axis->at;
    if (axis->mode == AXIS_PLAIN) return points_i64(p + 8 * row);
    if (axis->mode == AXIS_STRIDE) return (int64_t)((uint64_t)points_i64(p) + (uint64_t)points_i64(p + 8) * row);
    return (int64_t)((uint64_t)points_i64(p) + points_u32(p + 8 + 4 * row));
}

/* Bytes of a step or time column, with padding. */
static inline size_t points_axis_size(uint8_t mode, size_t rows) {
    if (mode == AXIS_PLAIN) return 8 * rows;
    return mode == AXIS_STRIDE ? 16 : 8 + points_padded(4 * rows);
}

/* The position of a double in the IEEE 754 total order, as a signed number: -NaN < -inf < ... < -0 < +0 < ... < NaN. */
static inline int64_t points_float_order(double value) {
    int64_t bits;
    memcpy(&bits, &value, 8);
    return bits ^ (int64_t)((uint64_t)(bits >> 63) >> 1);
}

int points_utf8(const uint8_t* p, size_t length, int refuse_nul);
int points_msgpack(const uint8_t* p, size_t length);
int points_parse(const uint8_t* data, size_t length, points_batch* batch);
void points_free(points_batch* batch);

#endif
