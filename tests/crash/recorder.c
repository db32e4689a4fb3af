/* What a process writes to one file and when it syncs it, in order: loaded with LD_PRELOAD.
 *
 * RECORDER_FILE names the file (compared by its end), RECORDER_LOG the log. Each record of the log is
 *     u8 kind, u8 durable, u16 0, u32 length, u64 offset, then `length` bytes
 * in native byte order. Kinds: 1 write (durable: through a descriptor with O_SYNC or O_DSYNC), 2 sync,
 * 3 truncate (to offset), 4 mark (offset is the number given to `recorder_mark`). A record is written when the call
 * has returned, under one lock, so that the log has the order of what had happened.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static unsigned char watched[DESCRIPTORS]; /* 1: the file, 2: through a descriptor that syncs */

struct record {
    uint8_t kind, durable;
    uint16_t zero;
    uint32_t length;
    uint64_t offset;
};

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

static void put(const void *data, size_t length) {
    const char *next = data;
    while (length) {
        ssize_t written = REAL(write)(log_fd, next, length);
        if (written <= 0)
            abort(); /* a log with a hole would prove anything */
        next += written;
        length -= (size_t)written;
    }
}

static void note(uint8_t kind, uint8_t durable, uint64_t offset, const void *data, size_t length) {
    struct record record = {kind, durable, 0, (uint32_t)length, offset};
    pthread_mutex_lock(&lock);
    if (log_fd < 0) {
        const char *path = getenv("RECORDER_LOG");
        log_fd = path ? REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
        if (log_fd < 0)
            abort();
    }
    put(&record, sizeof record);
    put(data, length);
    pthread_mutex_unlock(&lock);
}

static int is_watched(int fd) { return fd >= 0 && fd < DESCRIPTORS && watched[fd]; }

static int opened(int fd, const char *path, int flags) {
    const char *wanted = getenv("RECORDER_FILE");
    if (fd < 0 || fd >= DESCRIPTORS)
        return fd;
    size_t have = strlen(path), want = wanted ? strlen(wanted) : 0;
    watched[fd] = 0;
    if (want && have >= want && !strcmp(path + have - want, wanted))
        watched[fd] = flags & (O_SYNC | O_DSYNC) ? 2 : 1;
    return fd;
}

#define MODE(flags)                                 \
    mode_t mode = 0;                                \
    if ((flags) & (O_CREAT | O_TMPFILE)) {          \
        va_list rest;                               \
        va_start(rest, flags);                      \
        mode = (mode_t)va_arg(rest, int);           \
        va_end(rest);                               \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return opened(REAL(open)(path, flags, mode), path, flags);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opened(REAL(open64)(path, flags, mode), path, flags);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return opened(REAL(openat)(folder, path, flags, mode), path, flags);
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return opened(REAL(openat64)(folder, path, flags, mode), path, flags);
}

int close(int fd) {
    if (is_watched(fd))
        watched[fd] = 0;
    return REAL(close)(fd);
}

static ssize_t wrote(int fd, const void *data, ssize_t length, off64_t offset) {
    if (length > 0 && is_watched(fd))
        note(1, watched[fd] == 2, (uint64_t)offset, data, (size_t)length);
    return length;
}

static ssize_t wrote_vector(int fd, const struct iovec *pieces, int count, ssize_t length, off64_t offset) {
    ssize_t left = length;
    for (int i = 0; i < count && left > 0; i++) {
        ssize_t part = (ssize_t)pieces[i].iov_len < left ? (ssize_t)pieces[i].iov_len : left;
        wrote(fd, pieces[i].iov_base, part, offset);
        offset += part;
        left -= part;
    }
    return length;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return wrote(fd, data, REAL(pwrite)(fd, data, length, offset), offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return wrote(fd, data, REAL(pwrite64)(fd, data, length, offset), offset);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset) {
    return wrote_vector(fd, pieces, count, REAL(pwritev)(fd, pieces, count, offset), offset);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset) {
    return wrote_vector(fd, pieces, count, REAL(pwritev64)(fd, pieces, count, offset), offset);
}

ssize_t write(int fd, const void *data, size_t length) {
    off64_t offset = is_watched(fd) ? lseek64(fd, 0, SEEK_CUR) : 0;
    return wrote(fd, data, REAL(write)(fd, data, length), offset);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    off64_t offset = is_watched(fd) ? lseek64(fd, 0, SEEK_CUR) : 0;
    return wrote_vector(fd, pieces, count, REAL(writev)(fd, pieces, count), offset);
}

static int synced(int fd, int result) {
    if (!result && is_watched(fd))
        note(2, 1, 0, "", 0);
    return result;
}

int fdatasync(int fd) { return synced(fd, REAL(fdatasync)(fd)); }

int fsync(int fd) { return synced(fd, REAL(fsync)(fd)); }

int ftruncate(int fd, off_t length) {
    int result = REAL(ftruncate)(fd, length);
    if (!result && is_watched(fd))
        note(3, 0, (uint64_t)length, "", 0);
    return result;
}

int ftruncate64(int fd, off64_t length) {
    int result = REAL(ftruncate64)(fd, length);
    if (!result && is_watched(fd))
        note(3, 0, (uint64_t)length, "", 0);
    return result;
}

void recorder_mark(uint64_t number) { note(4, 0, number, "", 0); }
