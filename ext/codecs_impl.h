/* Column codecs for series blocks (docs/format/series.md): integers in small bit-packed runs, doubles as scaled decimals or as their bits. */
#ifndef RUNSTONE_CODECS_IMPL_H
#define RUNSTONE_CODECS_IMPL_H

#include <stddef.h>
#include <stdint.h>

enum { CODEC_RUN = 128, CODEC_MAX_COUNT = 1 << 24 };

enum int_form { INT_PLAIN = 0, INT_STRIDE = 1, INT_PACKED = 2, INT_DELTA = 3 };
enum float_form {
    FLOAT_PLAIN = 0,
    FLOAT_CONSTANT = 1,
    FLOAT_DECIMAL = 2,
    FLOAT_DECIMAL_DELTA = 3,
    FLOAT_BITS = 4,
    FLOAT_BITS_DELTA = 5,
};

/* Room that an encoder may use for a column of `count` numbers. */
size_t codec_room(size_t count);

/* Both write into `out` of codec_room bytes, with `scratch` of 2 * count numbers, and return the bytes used. */
size_t codec_encode_ints(const int64_t* values, size_t count, uint8_t* out, int64_t* scratch);
size_t codec_encode_floats(const double* values, size_t count, uint8_t* out, int64_t* scratch);

/* Both return 1 when the `length` bytes were a column of exactly `count` numbers, else 0. */
int codec_decode_ints(const uint8_t* data, size_t length, int64_t* out, size_t count);
int codec_decode_floats(const uint8_t* data, size_t length, double* out, size_t count);

#endif
