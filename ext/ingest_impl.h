/* One pass over a stream of bytes: Xet chunk boundaries, each chunk's BLAKE3 and xxh3-64, the SHA-256 and on request
 * the MD5 of all of it, and the Xet file hash. The stream may be cut into updates anywhere.
 *
 * A record is CHUNK_RECORD bytes: the keyed BLAKE3 (32), xxh3-64 with seed 0 (u64, little-endian), length (u32). */
#ifndef RUNSTONE_INGEST_IMPL_H
#define RUNSTONE_INGEST_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "gear.h"
#include "xet.h"

#pragma GCC visibility push(hidden)

#define CHUNK_RECORD 44u
/* The unfinished chunk, the up to 63 bytes before it that are not hashed yet, and room to step over its end by more
 * than one block, so that the work can always go on in the caller's buffer afterwards. */
#define CARRY_SIZE (CHUNK_MAX + 128u)

typedef struct {
    uint64_t size;    /* bytes taken */
    uint64_t start;   /* where the unfinished chunk begins */
    uint64_t scanned; /* bytes that SHA-256, MD5 and the gear hash have taken: whole blocks */
    uint64_t gear;
    uint32_t sha256[8];
    uint32_t md5[4];
    int with_md5;
    int busy; /* an update is running; see ingest_enter */
    int finished;
    uint8_t *carry; /* the bytes from min(start, scanned) to size; NULL until something is carried */
    size_t carried;
    xet_tree tree;
    uint8_t sha256_digest[32], md5_digest[16], xet_digest[32];
} ingest;

/* Records that an update made; `data` is the caller's to free. */
typedef struct {
    uint8_t *data;
    size_t count, room;
} ingest_records;

void ingest_init(ingest *in, int with_md5);
/* `to` is uninitialised memory; -1 when there is no memory for the carried bytes. */
int ingest_copy(ingest *to, const ingest *from);
void ingest_free(ingest *in);

/* Claim the object for one call, with 0, or -1 when another thread is inside. */
int ingest_enter(ingest *in);
void ingest_leave(ingest *in);

/* -1 when memory ran out: the object is then unusable. */
int ingest_update(ingest *in, const uint8_t *data, size_t length, ingest_records *records);
int ingest_finish(ingest *in, ingest_records *records);

#pragma GCC visibility pop

#endif
