/* A disk that fails when it is told to: loaded with LD_PRELOAD.
 *
 * FAULTS_FILE names the file whose calls fail (compared by its end), FAULTS_CONTROL a file with what fails now:
 *     CALL ERRNO [meta]
 * CALL is write (every pwrite, pwritev, write, writev) or sync (fsync, fdatasync, msync), ERRNO a number. With `meta`,
 * only writes through a descriptor with O_SYNC or O_DSYNC fail, which is how LMDB writes its last page. While the
 * control file is empty or not there, nothing fails. It is looked at on every call.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

static int is_watched(int fd) {
    char link[32], path[4096];
    const char *wanted = getenv("FAULTS_FILE");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t have = wanted ? readlink(link, path, sizeof path) : -1;
    size_t want = wanted ? strlen(wanted) : 0;
    return have >= (ssize_t)want && want && !memcmp(path + have - want, wanted, want);
}

/* The errno that this call ends with; 0: it is done. */
static int fault(const char *call, int fd) {
    char told[64] = "", kind[16] = "", only[16] = "";
    int number = 0;
    if (!is_watched(fd))
        return 0;
    const char *control = getenv("FAULTS_CONTROL");
    int control_fd = control ? REAL(open)(control, O_RDONLY | O_CLOEXEC) : -1;
    if (control_fd < 0)
        return 0;
    ssize_t length = REAL(read)(control_fd, told, sizeof told - 1);
    REAL(close)(control_fd);
    if (length <= 0 || sscanf(told, "%15s %d %15s", kind, &number, only) < 2 || strcmp(kind, call))
        return 0;
    if (!strcmp(only, "meta") && !(fcntl(fd, F_GETFL) & (O_SYNC | O_DSYNC)))
        return 0;
    return number;
}

#define FAIL(call, fd)                                                                                                 \
    do {                                                                                                               \
        int number = fault(call, fd);                                                                                  \
        if (number) {                                                                                                  \
            errno = number;                                                                                            \
            return -1;                                                                                                 \
        }                                                                                                              \
    } while (0)

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    FAIL("write", fd);
    return REAL(pwrite)(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    FAIL("write", fd);
    return REAL(pwrite64)(fd, data, length, offset);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset) {
    FAIL("write", fd);
    return REAL(pwritev)(fd, pieces, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset) {
    FAIL("write", fd);
    return REAL(pwritev64)(fd, pieces, count, offset);
}

ssize_t write(int fd, const void *data, size_t length) {
    FAIL("write", fd);
    return REAL(write)(fd, data, length);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    FAIL("write", fd);
    return REAL(writev)(fd, pieces, count);
}

int fsync(int fd) {
    FAIL("sync", fd);
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    FAIL("sync", fd);
    return REAL(fdatasync)(fd);
}
