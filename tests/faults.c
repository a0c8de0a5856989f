/* Faults at the border to the system: preloaded into a trainer process, it counts the calls that
   change files below one folder (and writes to a redirected stream), and at the n-th of them kills
   the process or lets the call fail, as a crash or a full disk would. Not armed, it does nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LOG_ONLY, KILL_BEFORE, KILL_HALF, KILL_AFTER, FAIL_ONCE, FAIL_ON };

static char prefix[PATH_MAX];
static long target;
static int action, code, journal = -1;
static time_t skew;
static atomic_long calls;

/* Called once in a process that is to suffer. */
void faults_arm(const char *below, long n, int what, int error, const char *log) {
    snprintf(prefix, sizeof prefix, "%s", below);
    target = n, action = what, code = error;
    journal = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
}

void faults_skew(long seconds) { skew = seconds; }

static int ours(const char *path) {
    char whole[PATH_MAX];
    if (!prefix[0] || !path) return 0;
    if (path[0] != '/') { /* relative: the process runs in a folder of the test */
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%.2000s/%.2000s", here, path);
        path = whole;
    }
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

static const char *name_of(int fd, char *buffer) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    buffer[length > 0 ? length : 0] = 0;
    return buffer;
}

static void note(const char *word, const char *call, const char *path) {
    char line[PATH_MAX + 100];
    int length = snprintf(line, sizeof line, "%s %s %s\n", word, call, path);
    if (journal >= 0) syscall(SYS_write, journal, line, (size_t)length);
}

/* 0: go on. 1: fail with errno set. 2: do half, then die. 3: do it, then die. */
static int verdict(const char *call, const char *path) {
    long n = atomic_fetch_add(&calls, 1) + 1;
    int hit = n == target || (action == FAIL_ON && target && n >= target);
    note(hit && action ? "hit" : "saw", call, path);
    if (!hit) return 0;
    switch (action) {
    case KILL_BEFORE: raise(SIGKILL); return 0;
    case KILL_HALF: return 2;
    case KILL_AFTER: return 3;
    case FAIL_ONCE: case FAIL_ON: errno = code; return 1;
    default: return 0;
    }
}

#define REAL(type, name) static type (*real)(); if (!real) real = (type (*)())dlsym(RTLD_NEXT, name)
#define CHECK(call, path, failed, again)                      \
    int v = ours(path) ? verdict(call, path) : 0;             \
    if (v == 1) return failed;                                \
    if (v == 2) raise(SIGKILL);                               \
    long result = again;                                      \
    if (v == 3) raise(SIGKILL);                               \
    return result

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, "write");
    char buffer[PATH_MAX];
    int v = prefix[0] && ours(name_of(fd, buffer)) ? verdict("write", buffer) : 0;
    if (v == 1) {
        /* A disk that fills up takes what still fits. */
        if (action == FAIL_ON && count > 1) {
            syscall(SYS_write, fd, bytes, count / 2);
            errno = code;
        }
        return -1;
    }
    ssize_t result = real(fd, bytes, v == 2 ? count / 2 : count);
    if (v >= 2) raise(SIGKILL);
    return result;
}

int fsync(int fd) {
    REAL(int, "fsync");
    char buffer[PATH_MAX];
    CHECK("fsync", name_of(fd, buffer), -1, real(fd));
}

int rename(const char *from, const char *to) {
    REAL(int, "rename");
    CHECK("rename", to, -1, real(from, to));
}

int unlink(const char *path) {
    REAL(int, "unlink");
    CHECK("unlink", path, -1, real(path));
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir");
    CHECK("mkdir", path, -1, real(path, mode));
}

static int opens_to_write(int flags) { return flags & (O_WRONLY | O_RDWR | O_CREAT); }

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        REAL(int, #name);                                                 \
        va_list rest;                                                     \
        va_start(rest, flags);                                            \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;         \
        va_end(rest);                                                     \
        if (!opens_to_write(flags)) return real(path, flags, mode);       \
        CHECK("open", path, -1, real(path, flags, mode));                 \
    }
OPEN(open)
OPEN(open64)

int clock_gettime(clockid_t clock, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += skew;
    return (int)result;
}
