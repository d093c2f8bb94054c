#include "frames_impl.h"

#include <string.h>

#define FOOTER "XETBLOB"
#define FOOTER_SIZE 7

#define LZ4_MAGIC 0x184D2204u
#define FLG_VERSION 0xC0u
#define FLG_VERSION_1 0x40u
#define FLG_INDEPENDENT 0x20u
#define FLG_BLOCK_CHECKSUM 0x10u
#define FLG_CONTENT_SIZE 0x08u
#define FLG_CONTENT_CHECKSUM 0x04u
#define FLG_DICTIONARY 0x01u
#define BLOCK_STORED 0x80000000u
#define MIN_MATCH 4u

static uint32_t u24(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16; }

static uint32_t u32(const uint8_t *p) { return u24(p) | (uint32_t)p[3] << 24; }

static int header_problem(const uint8_t *frame) {
    uint32_t stored = u24(frame + 1), length = u24(frame + 5);
    if (frame[0] != 0) return FRAMES_VERSION;
    if (frame[4] > 2) return FRAMES_SCHEME;
    if (length == 0 || length > FRAME_MAX_CHUNK) return FRAMES_LENGTH;
    if (stored > FRAME_MAX_STORED || (frame[4] == 0 && stored != length)) return FRAMES_STORED;
    return FRAMES_FINE;
}

size_t frame_size(const uint8_t *frame) { return FRAME_HEADER + u24(frame + 1); }

frames_extent frames_walk(const uint8_t *data, size_t length, size_t room) {
    frames_extent found = {0, 0, 0, 0, FRAMES_FINE};
    while (length - found.consumed >= FRAME_HEADER) {
        const uint8_t *frame = data + found.consumed;
        if (memcmp(frame, FOOTER, FOOTER_SIZE) == 0) {
            found.ended = 1;
            break;
        }
        found.problem = header_problem(frame);
        if (found.problem || length - found.consumed < frame_size(frame)) break;
        if (found.total + u24(frame + 5) > room) break;
        found.count++;
        found.total += u24(frame + 5);
        found.consumed += frame_size(frame);
    }
    return found;
}

/* Adds the bytes of 255 and the one after them that a length of 15 goes on in; 0 where the input ends. */
static int long_length(const uint8_t **in, const uint8_t *end, size_t *length) {
    uint8_t byte;
    do {
        if (*in == end || *length > FRAME_MAX_CHUNK) return 0;
        byte = *(*in)++;
        *length += byte;
    } while (byte == 255);
    return 1;
}

/* Copies by 16 bytes, writing up to 15 more than asked for. */
static void copy_wide(uint8_t *to, const uint8_t *from, size_t length) {
    for (size_t at = 0; at < length; at += 16) memcpy(to + at, from + at, 16);
}

static void copy_match(uint8_t *to, size_t offset, size_t length) {
    const uint8_t *from = to - offset;
    if (offset >= 16) {
        copy_wide(to, from, length);
    } else if (offset == 1) {
        memset(to, *from, length);
    } else if (offset >= 8) {
        for (size_t at = 0; at < length; at += 8) memcpy(to + at, from + at, 8);
    } else {
        for (size_t at = 0; at < length; at++) to[at] = from[at];
    }
}

/* Decodes a block to `out`, up to `end`, behind which there are FRAME_SLACK bytes; matches may begin at `low`.
 * Where the output ends, or NULL. */
static uint8_t *lz4_block(const uint8_t *in, size_t size, const uint8_t *low, uint8_t *out, const uint8_t *end) {
    const uint8_t *in_end = in + size;
    while (in < in_end) {
        uint8_t token = *in++;
        size_t literals = token >> 4, match = token & 15, offset;
        /* Most sequences are short, and lie far enough from every end to be copied without a look at it. */
        if (literals < 15 && match < 15 && in_end - in >= 18 && end - out >= 32) {
            memcpy(out, in, 16);
            offset = in[literals] | (size_t)in[literals + 1] << 8;
            if (offset >= 8 && offset <= (size_t)(out + literals - low)) {
                in += literals + 2;
                out += literals;
                memcpy(out, out - offset, 8);
                memcpy(out + 8, out + 8 - offset, 8);
                memcpy(out + 16, out + 16 - offset, 2);
                out += match + MIN_MATCH;
                continue;
            }
        }
        if (literals == 15 && !long_length(&in, in_end, &literals)) return NULL;
        if (literals > (size_t)(in_end - in) || literals > (size_t)(end - out)) return NULL;
        if ((size_t)(in_end - in) - literals >= 16)
            copy_wide(out, in, literals);
        else
            memcpy(out, in, literals);
        in += literals;
        out += literals;
        if (in == in_end) return out; /* the last sequence has no match */
        if (in_end - in < 2) return NULL;
        offset = in[0] | (size_t)in[1] << 8;
        in += 2;
        if (match == 15 && !long_length(&in, in_end, &match)) return NULL;
        match += MIN_MATCH;
        if (offset == 0 || offset > (size_t)(out - low) || match > (size_t)(end - out)) return NULL;
        copy_match(out, offset, match);
        out += match;
    }
    return NULL;
}

/* Decodes one LZ4 frame that must be all of `in`; how many bytes it has, or 0. */
static size_t lz4_frame(const uint8_t *in, size_t size, uint8_t *out, size_t length) {
    const uint8_t *in_end = in + size, *start = out, *end = out + length;
    uint8_t flags;
    size_t header, check;
    if (size < 7 || u32(in) != LZ4_MAGIC) return 0;
    flags = in[4];
    if ((flags & FLG_VERSION) != FLG_VERSION_1 || flags & FLG_DICTIONARY) return 0;
    header = 7 + (flags & FLG_CONTENT_SIZE ? 8 : 0);
    check = flags & FLG_BLOCK_CHECKSUM ? 4 : 0;
    if (size < header) return 0;
    in += header;
    for (;;) {
        uint32_t word, block;
        if (in_end - in < 4) return 0;
        word = u32(in);
        in += 4;
        if (word == 0) break;
        block = word & ~BLOCK_STORED;
        if ((size_t)(in_end - in) < block + check) return 0;
        if (word & BLOCK_STORED) {
            if (block > (size_t)(end - out)) return 0;
            memcpy(out, in, block);
            out += block;
        } else {
            out = lz4_block(in, block, flags & FLG_INDEPENDENT ? out : start, out, end);
            if (out == NULL) return 0;
        }
        in += block + check;
    }
    if (in_end - in != (flags & FLG_CONTENT_CHECKSUM ? 4 : 0)) return 0;
    return (size_t)(out - start);
}

static void regroup(const uint8_t *restrict groups, size_t length, uint8_t *restrict out) {
    size_t whole = length / 4, rest = length % 4;
    const uint8_t *g0 = groups, *g1 = g0 + whole + (rest > 0), *g2 = g1 + whole + (rest > 1), *g3 = g2 + whole + (rest > 2);
    for (size_t i = 0; i < whole; i++) {
        out[4 * i] = g0[i];
        out[4 * i + 1] = g1[i];
        out[4 * i + 2] = g2[i];
        out[4 * i + 3] = g3[i];
    }
    if (rest > 0) out[4 * whole] = g0[whole];
    if (rest > 1) out[4 * whole + 1] = g1[whole];
    if (rest > 2) out[4 * whole + 2] = g2[whole];
}

size_t frame_decode(const uint8_t *frame, uint8_t *scratch, uint8_t *out) {
    uint32_t stored = u24(frame + 1), length = u24(frame + 5);
    const uint8_t *in = frame + FRAME_HEADER;
    if (frame[4] == 0) {
        memcpy(out, in, length);
        return length;
    }
    if (lz4_frame(in, stored, scratch, length) != length) return 0;
    if (frame[4] == 1)
        memcpy(out, scratch, length);
    else
        regroup(scratch, length, out);
    return length;
}
