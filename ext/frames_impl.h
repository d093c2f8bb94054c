/* Frames of a Xet xorb (huggingface/xet-core, xet_core_structures/src/xorb_object: xorb_chunk_format.rs,
 * compression_scheme.rs, byte_grouping/bg4.rs), and LZ4 (lz4/lz4, doc/lz4_Frame_format.md, doc/lz4_Block_format.md).
 *
 * A frame is a chunk behind 8 bytes: version 0, stored length (u24, little-endian), scheme, length (u24). Schemes: 0 as it
 * is; 1 one LZ4 frame; 2 the same over the bytes in four groups, those at 0, 4, 8, …, then those at 1, 5, 9, …, and so on.
 *
 * The checksums inside LZ4 are not looked at: whoever unframes a chunk compares its BLAKE3. */
#ifndef RUNSTONE_FRAMES_IMPL_H
#define RUNSTONE_FRAMES_IMPL_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define FRAME_HEADER 8u
#define FRAME_MAX_CHUNK (128u << 10)
/* What the reference implementation accepts: data that LZ4 made longer. */
#define FRAME_MAX_STORED (2 * FRAME_MAX_CHUNK)
/* What an LZ4 decoder may write past the end of what it decodes. */
#define FRAME_SLACK 64u
#define FRAME_SCRATCH (FRAME_MAX_CHUNK + FRAME_SLACK)

enum frames_problem {
    FRAMES_FINE = 0,
    FRAMES_VERSION,
    FRAMES_SCHEME,
    FRAMES_LENGTH,
    FRAMES_STORED,
    FRAMES_LZ4,
};

typedef struct {
    size_t count, consumed, total; /* whole frames, their bytes, the bytes of their chunks */
    int ended;                     /* what follows is the footer that some clients send */
    int problem;                   /* of the frame at `consumed` */
} frames_extent;

/* Finds the whole frames at the start of `data` whose chunks have at most `room` bytes together. */
frames_extent frames_walk(const uint8_t *data, size_t length, size_t room);
/* Decodes the frame at `frame`, which frames_walk has counted, into `out`; `scratch` has FRAME_SCRATCH bytes.
 * The length of the chunk, or 0 when the frame does not decode to as many bytes as its header says. */
size_t frame_decode(const uint8_t *frame, uint8_t *scratch, uint8_t *out);
/* The bytes of a frame, header and all. */
size_t frame_size(const uint8_t *frame);

#pragma GCC visibility pop

#endif
