/* An LD_PRELOAD library that makes chosen system calls fail for files under one directory.
 *
 * RUNSTONE_FAULTS_DIRECTORY  the directory, absolute, symbolic links resolved
 * RUNSTONE_FAULTS_CONTROL    the control file: the rules in it and the counters, mapped by every process and by the test
 *
 * Control file, native 64-bit words: the magic, then for each kind of call (in the order of enum kind)
 * rule, turn, tripped, seen, injected. A rule is one word, so that it changes as a whole while other threads read it:
 *
 *   bits 0..31 k; 32..47 errno; 48 every k-th call (else exactly the k-th); 49 short write first; 50 sticky; 63 armed
 *
 * The library calls what the dynamic linker finds behind it. It does not see a raw syscall, io_uring, a static
 * binary, the ioctls (FICLONE), or libc calling itself (stdio, mkstemp). A page stored through a shared mapping fails
 * at its msync.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x32746c7561667372)
#define EVERY (UINT64_C(1) << 48)
#define SHORT (UINT64_C(1) << 49)
#define STICKY (UINT64_C(1) << 50)
#define ARMED (UINT64_C(1) << 63)

enum kind { WRITE, SYNC, NAME, CREATE, UNLINK, KINDS };

struct control {
    uint64_t magic;
    struct {
        _Atomic uint64_t rule, turn, tripped, seen, injected;
    } of[KINDS];
};

static struct control *control;
static char directory[PATH_MAX];
static size_t directory_length;

__attribute__((constructor)) static void start(void) {
    const char *under = getenv("RUNSTONE_FAULTS_DIRECTORY");
    const char *path = getenv("RUNSTONE_FAULTS_CONTROL");
    if (!under || !path || strlen(under) >= sizeof directory) return;
    int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    int fd = real_open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    struct control *map = mmap(NULL, sizeof *map, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED || map->magic != MAGIC) return;
    strcpy(directory, under);
    directory_length = strlen(directory);
    control = map;
}

static bool inside(const char *path) {
    return strncmp(path, directory, directory_length) == 0 &&
           (path[directory_length] == '/' || path[directory_length] == 0 ||
            strcmp(path + directory_length, " (deleted)") == 0);
}

static bool fd_inside(int fd) {
    if (!control || fd < 0) return false;
    int saved = errno;
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length < 0) return false;
    path[length] = 0;
    return inside(path);
}

/* The name itself counts, not what a symbolic link at its end points to; the directories before it are resolved. */
static bool name_inside(int at, const char *name) {
    if (!control) return false;
    if (!*name) return fd_inside(at);
    int saved = errno;
    char path[PATH_MAX], parent[PATH_MAX], real[PATH_MAX];
    int used = 0;
    bool found = false;
    if (*name != '/' && at != AT_FDCWD) used = snprintf(path, sizeof path, "/proc/self/fd/%d/", at);
    if (snprintf(path + used, sizeof path - used, "%s", name) >= (int)sizeof path - used) goto out;
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--) path[n - 1] = 0;
    char *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;
    if (!*last || !strcmp(last, ".") || !strcmp(last, "..")) {
        found = realpath(path, real) && inside(real);
        goto out;
    }
    strcpy(parent, slash ? path : ".");
    if (slash) parent[slash == path ? 1 : slash - path] = 0;
    if (!realpath(parent, real)) goto out;
    size_t length = strlen(real);
    if (length + 1 + strlen(last) >= sizeof real) goto out;
    if (length > 1) real[length++] = '/';
    strcpy(real + length, last);
    found = inside(real);
out:
    errno = saved;
    return found;
}

static bool mapping_inside(const void *address) {
    if (!control) return false;
    int saved = errno;
    char line[PATH_MAX + 128];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        uintptr_t from, to;
        int path = 0;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &from, &to, &path) != 2) continue;
        if ((uintptr_t)address < from || (uintptr_t)address >= to) continue;
        line[strcspn(line, "\n")] = 0;
        found = path && inside(line + path);
        break;
    }
    if (maps) fclose(maps);
    errno = saved;
    return found;
}

/* Counts one call and says which errno it shall fail with, or 0; *halve: it shall write half instead, if it can. */
static int fault(enum kind kind, bool *halve) {
    uint64_t rule = atomic_load(&control->of[kind].rule);
    atomic_fetch_add(&control->of[kind].seen, 1);
    *halve = false;
    if (!(rule & ARMED)) return 0;
    if (!(rule & STICKY) || !atomic_load(&control->of[kind].tripped)) {
        uint64_t turn = atomic_fetch_add(&control->of[kind].turn, 1) + 1, k = rule & UINT32_MAX;
        if (rule & EVERY ? turn % k != 0 : turn != k) return 0;
        atomic_store(&control->of[kind].tripped, 1);
        *halve = rule & SHORT;
    }
    atomic_fetch_add(&control->of[kind].injected, 1);
    return rule >> 32 & UINT16_MAX;
}

static bool fails(enum kind kind, bool matches) {
    bool halve;
    int error = matches ? fault(kind, &halve) : 0;
    if (error) errno = error;
    return error;
}

/* The bytes a write may still write: all, the first half, or none (errno is set). A half of one byte is none. */
static ssize_t allowed(int fd, size_t length) {
    bool halve;
    int error = fd_inside(fd) ? fault(WRITE, &halve) : 0;
    if (!error) return length;
    if (halve && length > 1) return length / 2;
    errno = error;
    return -1;
}

/* Cuts a vector to its first `bytes`; the copy has at most IOV_MAX parts, as the kernel demands of the original. */
static int cut(const struct iovec *from, int parts, struct iovec *to, size_t bytes) {
    int n = 0;
    while (n < parts && bytes) {
        to[n] = from[n];
        if (to[n].iov_len > bytes) to[n].iov_len = bytes;
        bytes -= to[n++].iov_len;
    }
    return n;
}

static size_t total(const struct iovec *parts, int n) {
    size_t sum = 0;
    for (int i = 0; i < n; i++) sum += parts[i].iov_len;
    return sum;
}

#define REAL(name) \
    static __typeof__(&name) _Atomic cached; \
    __typeof__(&name) real = atomic_load(&cached); \
    if (!real) atomic_store(&cached, real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)); \
    if (!real) return errno = ENOSYS, -1;

ssize_t write(int fd, const void *data, size_t length) {
    REAL(write)
    ssize_t n = allowed(fd, length);
    return n < 0 ? n : real(fd, data, n);
}

#define PWRITE(name, offset_t) \
    ssize_t name(int fd, const void *data, size_t length, offset_t at) { \
        REAL(name) \
        ssize_t n = allowed(fd, length); \
        return n < 0 ? n : real(fd, data, n, at); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define VECTORED(name, parameters, ...) \
    ssize_t name parameters { \
        REAL(name) \
        if (count < 0 || count > IOV_MAX) return real(fd, parts, count, ##__VA_ARGS__); \
        size_t length = total(parts, count); \
        ssize_t n = allowed(fd, length); \
        if (n < 0) return n; \
        if ((size_t)n == length) return real(fd, parts, count, ##__VA_ARGS__); \
        struct iovec shorter[IOV_MAX]; \
        count = cut(parts, count, shorter, n); \
        parts = shorter; \
        return real(fd, parts, count, ##__VA_ARGS__); \
    }
VECTORED(writev, (int fd, const struct iovec *parts, int count))
VECTORED(pwritev, (int fd, const struct iovec *parts, int count, off_t at), at)
VECTORED(pwritev64, (int fd, const struct iovec *parts, int count, off64_t at), at)
VECTORED(pwritev2, (int fd, const struct iovec *parts, int count, off_t at, int flags), at, flags)
VECTORED(pwritev64v2, (int fd, const struct iovec *parts, int count, off64_t at, int flags), at, flags)

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
    REAL(copy_file_range)
    ssize_t n = allowed(out, length);
    return n < 0 ? n : real(in, in_at, out, out_at, n, flags);
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
    REAL(splice)
    ssize_t n = allowed(out, length);
    return n < 0 ? n : real(in, in_at, out, out_at, n, flags);
}

#define SENDFILE(name, offset_t) \
    ssize_t name(int out, int in, offset_t *at, size_t length) { \
        REAL(name) \
        ssize_t n = allowed(out, length); \
        return n < 0 ? n : real(out, in, at, n); \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

#define CALL(name, parameters, kind, matches, ...) \
    int name parameters { \
        REAL(name) \
        return fails(kind, matches) ? -1 : real(__VA_ARGS__); \
    }
CALL(ftruncate, (int fd, off_t length), WRITE, fd_inside(fd), fd, length)
CALL(ftruncate64, (int fd, off64_t length), WRITE, fd_inside(fd), fd, length)
CALL(truncate, (const char *path, off_t length), WRITE, name_inside(AT_FDCWD, path), path, length)
CALL(truncate64, (const char *path, off64_t length), WRITE, name_inside(AT_FDCWD, path), path, length)
CALL(fallocate, (int fd, int mode, off_t at, off_t length), WRITE, fd_inside(fd), fd, mode, at, length)
CALL(fallocate64, (int fd, int mode, off64_t at, off64_t length), WRITE, fd_inside(fd), fd, mode, at, length)

/* These two return the error and leave errno alone. */
#define RESERVE(name, offset_t) \
    int name(int fd, offset_t at, offset_t length) { \
        REAL(name) \
        int saved = errno, error = fails(WRITE, fd_inside(fd)) ? errno : 0; \
        errno = saved; \
        return error ? error : real(fd, at, length); \
    }
RESERVE(posix_fallocate, off_t)
RESERVE(posix_fallocate64, off64_t)

CALL(fsync, (int fd), SYNC, fd_inside(fd), fd)
CALL(fdatasync, (int fd), SYNC, fd_inside(fd), fd)
CALL(syncfs, (int fd), SYNC, fd_inside(fd), fd)
CALL(sync_file_range, (int fd, off64_t at, off64_t length, unsigned flags), SYNC, fd_inside(fd), fd, at, length, flags)
CALL(msync, (void *at, size_t length, int flags), SYNC, mapping_inside(at), at, length, flags)

CALL(rename, (const char *from, const char *to), NAME,
     name_inside(AT_FDCWD, from) || name_inside(AT_FDCWD, to), from, to)
CALL(renameat, (int from_at, const char *from, int to_at, const char *to), NAME,
     name_inside(from_at, from) || name_inside(to_at, to), from_at, from, to_at, to)
CALL(renameat2, (int from_at, const char *from, int to_at, const char *to, unsigned flags), NAME,
     name_inside(from_at, from) || name_inside(to_at, to), from_at, from, to_at, to, flags)
CALL(link, (const char *from, const char *to), NAME, name_inside(AT_FDCWD, to), from, to)
CALL(linkat, (int from_at, const char *from, int to_at, const char *to, int flags), NAME,
     name_inside(to_at, to), from_at, from, to_at, to, flags)
CALL(symlink, (const char *target, const char *to), NAME, name_inside(AT_FDCWD, to), target, to)
CALL(symlinkat, (const char *target, int at, const char *to), NAME, name_inside(at, to), target, at, to)

CALL(unlink, (const char *path), UNLINK, name_inside(AT_FDCWD, path), path)
CALL(unlinkat, (int at, const char *path, int flags), UNLINK, name_inside(at, path), at, path, flags)
CALL(rmdir, (const char *path), UNLINK, name_inside(AT_FDCWD, path), path)

CALL(mkdir, (const char *path, mode_t mode), CREATE, name_inside(AT_FDCWD, path), path, mode)
CALL(mkdirat, (int at, const char *path, mode_t mode), CREATE, name_inside(at, path), at, path, mode)
CALL(creat, (const char *path, mode_t mode), CREATE, name_inside(AT_FDCWD, path), path, mode)
CALL(creat64, (const char *path, mode_t mode), CREATE, name_inside(AT_FDCWD, path), path, mode)

static bool creates(int flags) { return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE; }

#define OPEN(name, parameters, at, ...) \
    int name parameters { \
        REAL(name) \
        mode_t mode = 0; \
        if (creates(flags)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
            if (fails(CREATE, name_inside(at, path))) return -1; \
        } \
        return real(__VA_ARGS__, mode); \
    }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD, path, flags)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, path, flags)
OPEN(openat, (int at, const char *path, int flags, ...), at, at, path, flags)
OPEN(openat64, (int at, const char *path, int flags, ...), at, at, path, flags)
