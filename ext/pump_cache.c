#define _GNU_SOURCE
#include "pump_cache.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The number of cachestat(2) on every architecture; older C libraries have no name for it. */
#define CACHESTAT 451

/* One page in this many bytes is probed where pages cannot be counted: a disk read brings in at least as
 * much at a time. */
#define SAMPLE (64 << 10)
#define SCRATCH (64 << 10)

/* Whether all the pages are there; -1 where the kernel (before 6.5), a sandbox or the file's owner does
 * not let us ask. */
static int all_pages(int fd, int64_t offset, int64_t length) {
    static _Atomic int64_t known;
    struct { uint64_t offset, length; } range = {(uint64_t)offset, (uint64_t)length};
    struct { uint64_t cached, dirty, writeback, evicted, recently_evicted; } found;
    int64_t page = atomic_load_explicit(&known, memory_order_relaxed);
    if (page == 0) atomic_store_explicit(&known, page = sysconf(_SC_PAGESIZE), memory_order_relaxed);
    if (syscall(CACHESTAT, fd, &range, &found, 0) != 0) return -1;
    return found.cached >= (uint64_t)((offset + length - 1) / page - offset / page + 1);
}

/* Whether a read of sampled bytes would not wait. The end of the file is for the sender to meet, so it
 * counts as present. */
static int sample_pages(int fd, int64_t offset, int64_t length) {
    int64_t last = offset + length - 1;
    for (int64_t at = offset;; at += SAMPLE) {
        char byte;
        struct iovec one = {&byte, 1};
        if (at > last) at = last;
        ssize_t n = preadv2(fd, &one, 1, at, RWF_NOWAIT);
        /* EAGAIN; or EOPNOTSUPP: a file system that cannot say is taken for a slow one. */
        if (n < 0) return 0;
        if (n == 0 || at == last) return 1;
    }
}

int rs_is_cached(int fd, int64_t offset, int64_t length, int thorough) {
    int counted = all_pages(fd, offset, length);
    if (counted == 0 || (counted == 1 && !thorough)) return counted;
    return sample_pages(fd, offset, length);
}

int64_t rs_load(int fd, int64_t offset, int64_t length) {
    char scratch[SCRATCH];
    int64_t got = 0;
    while (got < length) {
        size_t want = length - got < SCRATCH ? (size_t)(length - got) : SCRATCH;
        ssize_t n = pread(fd, scratch, want, offset + got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        got += n;
    }
    return got;
}
