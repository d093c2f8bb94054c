/* What the pump needs to know of the page cache. */
#ifndef RUNSTONE_PUMP_CACHE_H
#define RUNSTONE_PUMP_CACHE_H

#include <stdint.h>

/* 1 when length > 0 bytes at offset can be sent without waiting for a disk, as far as the kernel can tell.
 * Never waits itself. A page whose read has begun and not ended counts as cached, unless `thorough`, which
 * costs several times as much. */
int rs_is_cached(int fd, int64_t offset, int64_t length, int thorough);

/* Reads the bytes into the page cache, waiting for the disk; answers how many there were before the end of
 * the file, or -errno. */
int64_t rs_load(int fd, int64_t offset, int64_t length);

#endif
