/* SPDX-License-Identifier: MIT */
/*
 * The wrappers. Each asks fault_due() what becomes of its call; what is
 * common to many functions is in the macro WRAP.
 */
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <libaio.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "aiosignal.h"

#define LATE_NS 30000000
#define EVENTS_MAX 128

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sweep_plan plan;
    pthread_t caller;
    bool armed;
    bool struck;
    bool released;
    unsigned calls;
    struct io_event events[EVENTS_MAX];
    int64_t due_ns[EVENTS_MAX]; /* INT64_MAX: never */
    unsigned event_count;
} sweep = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic long blocks, descriptors;

const char *sweep_function_text(enum sweep_function function) {
    static const char *const texts[] = {
#define SWEEP_X(name, text) text,
        SWEEP_FUNCTIONS(SWEEP_X)
#undef SWEEP_X
    };
    return texts[function];
}

const char *sweep_outcome_text(enum sweep_outcome outcome) {
    static const char *const texts[] = {
#define SWEEP_X(name, value, text) text,
        SWEEP_OUTCOMES(SWEEP_X)
#undef SWEEP_X
    };
    return texts[outcome];
}

static int outcome_errno(enum sweep_outcome outcome) {
    static const int values[] = {
#define SWEEP_X(name, value, text) value,
        SWEEP_OUTCOMES(SWEEP_X)
#undef SWEEP_X
    };
    return values[outcome];
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void sweep_arm(const struct sweep_plan *plan) {
    pthread_mutex_lock(&sweep.lock);
    static bool initialised;
    if (!initialised) {
        pthread_condattr_t monotonic;
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&sweep.changed, &monotonic);
        initialised = true;
    }
    sweep.plan = *plan;
    sweep.caller = pthread_self();
    sweep.armed = plan->nth > 0;
    sweep.struck = false;
    sweep.released = false;
    sweep.calls = 0;
    pthread_mutex_unlock(&sweep.lock);
}

bool sweep_struck(void) {
    pthread_mutex_lock(&sweep.lock);
    bool struck = sweep.struck;
    pthread_mutex_unlock(&sweep.lock);
    return struck;
}

bool sweep_disarm(void) {
    pthread_mutex_lock(&sweep.lock);
    sweep.armed = false;
    bool struck = sweep.struck;
    pthread_mutex_unlock(&sweep.lock);
    return struck;
}

void sweep_release(void) {
    pthread_mutex_lock(&sweep.lock);
    sweep.released = true;
    for (unsigned i = 0; i < sweep.event_count; i++)
        sweep.due_ns[i] = 0;
    pthread_cond_broadcast(&sweep.changed);
    pthread_mutex_unlock(&sweep.lock);
}

struct sweep_held sweep_held(void) {
    return (struct sweep_held){atomic_load(&blocks), atomic_load(&descriptors)};
}

/* ---- what becomes of a call ---- */

/* lock held. -1: nothing. */
static int fault_look(enum sweep_function function) {
    if (!sweep.armed || sweep.plan.function != function)
        return -1;
    sweep.calls++;
    if (sweep.calls != sweep.plan.nth &&
        !(sweep.plan.from_on && sweep.calls > sweep.plan.nth))
        return -1;
    sweep.struck = true;
    return (int)sweep.plan.outcome;
}

static void sleep_real(int64_t ns) {
    int64_t until = now_ns() + ns;
    struct timespec at = {until / 1000000000, until % 1000000000};
    pthread_mutex_lock(&sweep.lock);
    while (now_ns() < until)
        pthread_cond_timedwait(&sweep.changed, &sweep.lock, &at);
    pthread_mutex_unlock(&sweep.lock);
}

/* The outcome of this call, -1: as ever. One that is late has been waited for,
 * and then is as ever. */
static int fault_due(enum sweep_function function) {
    int saved = errno;
    pthread_mutex_lock(&sweep.lock);
    int outcome = fault_look(function);
    bool caller = pthread_equal(sweep.caller, pthread_self());
    if (outcome == SWEEP_NEVER_ && !caller)
        while (!sweep.released)
            pthread_cond_wait(&sweep.changed, &sweep.lock);
    pthread_mutex_unlock(&sweep.lock);
    if (outcome == SWEEP_LATE_ || (outcome == SWEEP_NEVER_ && caller))
        sleep_real(LATE_NS);
    errno = saved;
    return outcome == SWEEP_LATE_ || outcome == SWEEP_NEVER_ ? -1 : outcome;
}

/* A function that returns @failed and sets errno when it fails. */
#define WRAP(FUNCTION, type, name, failed, parameters, arguments)              \
    type __real_##name parameters;                                             \
    type __wrap_##name parameters;                                             \
    type __wrap_##name parameters {                                            \
        int outcome = fault_due(SWEEP_##FUNCTION);                             \
        if (outcome < 0)                                                       \
            return __real_##name arguments;                                    \
        if (outcome == SWEEP_EIO_DONE_)                                        \
            __real_##name arguments;                                           \
        errno = outcome_errno((enum sweep_outcome)outcome);                    \
        return failed;                                                         \
    }

WRAP(FDATASYNC, int, fdatasync, -1, (int fd), (fd))
WRAP(FSYNC, int, fsync, -1, (int fd), (fd))
WRAP(FALLOCATE, int, fallocate64, -1,
     (int fd, int mode, off_t offset, off_t size), (fd, mode, offset, size))
WRAP(LSEEK, off_t, lseek64, -1, (int fd, off_t offset, int whence),
     (fd, offset, whence))
WRAP(FSTAT, int, fstat64, -1, (int fd, struct stat *status), (fd, status))
WRAP(STATX, int, statx, -1,
     (int fd, const char *path, int flags, unsigned mask, struct statx *status),
     (fd, path, flags, mask, status))
WRAP(RENAMEAT, int, renameat, -1,
     (int from_dir, const char *from, int to_dir, const char *to),
     (from_dir, from, to_dir, to))
WRAP(UNLINKAT, int, unlinkat, -1, (int dir, const char *name, int flags),
     (dir, name, flags))
WRAP(MKDIR, int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
WRAP(FLOCK, int, flock, -1, (int fd, int operation), (fd, operation))

/* ---- reads and writes ---- */

ssize_t __real_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset) {
    int outcome = fault_due(SWEEP_PREAD);
    if (outcome == SWEEP_SHORT_ && size > 512)
        size = 512;
    else if (outcome >= 0 && outcome != SWEEP_SHORT_) {
        errno = outcome_errno((enum sweep_outcome)outcome);
        return outcome == SWEEP_ZERO_ ? 0 : -1;
    }
    return __real_pread64(fd, bytes, size, offset);
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset) {
    int outcome = fault_due(SWEEP_PWRITE);
    if (outcome == SWEEP_SHORT_ && size > 512)
        size = 512;
    else if (outcome >= 0 && outcome != SWEEP_SHORT_) {
        if (outcome == SWEEP_EIO_DONE_)
            __real_pwrite64(fd, bytes, size, offset);
        errno = outcome_errno((enum sweep_outcome)outcome);
        return outcome == SWEEP_ZERO_ ? 0 : -1;
    }
    return __real_pwrite64(fd, bytes, size, offset);
}

ssize_t __real_pwritev64v2(int fd, const struct iovec *pieces, int count,
                           off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *pieces, int count,
                           off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *pieces, int count,
                           off_t offset, int flags) {
    int outcome = fault_due(SWEEP_PWRITEV);
    if (outcome == SWEEP_SHORT_)
        return 512;
    if (outcome >= 0) {
        if (outcome == SWEEP_EIO_DONE_)
            __real_pwritev64v2(fd, pieces, count, offset, flags);
        errno = outcome_errno((enum sweep_outcome)outcome);
        return outcome == SWEEP_ZERO_ ? 0 : -1;
    }
    return __real_pwritev64v2(fd, pieces, count, offset, flags);
}

ssize_t __real_getrandom(void *bytes, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags) {
    int outcome = fault_due(SWEEP_GETRANDOM);
    if (outcome == SWEEP_SHORT_)
        size = 1;
    else if (outcome >= 0) {
        errno = outcome_errno((enum sweep_outcome)outcome);
        return -1;
    }
    return __real_getrandom(bytes, size, flags);
}

/* ---- descriptors ---- */

static int opened(int fd) {
    if (fd >= 0)
        atomic_fetch_add(&descriptors, 1);
    return fd;
}

int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode) {
    int outcome = fault_due(SWEEP_OPEN);
    if (outcome < 0)
        return opened(__real_open64(path, flags, mode));
    errno = outcome_errno((enum sweep_outcome)outcome);
    return -1;
}

int __real_openat64(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dir, const char *name, int flags, mode_t mode) {
    int outcome = fault_due(SWEEP_OPENAT);
    if (outcome < 0)
        return opened(__real_openat64(dir, name, flags, mode));
    errno = outcome_errno((enum sweep_outcome)outcome);
    return -1;
}

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags) {
    int outcome = fault_due(SWEEP_EVENTFD);
    if (outcome < 0)
        return opened(__real_eventfd(value, flags));
    errno = outcome_errno((enum sweep_outcome)outcome);
    return -1;
}

int __real_fcntl64(int fd, int command, void *argument);
int __wrap_fcntl64(int fd, int command, void *argument);
int __wrap_fcntl64(int fd, int command, void *argument) {
    int outcome = fault_due(SWEEP_FCNTL);
    if (outcome < 0)
        return __real_fcntl64(fd, command, argument);
    errno = outcome_errno((enum sweep_outcome)outcome);
    return -1;
}

/* Linux closes the descriptor whatever it says. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
    int outcome = fault_due(SWEEP_CLOSE);
    int result = __real_close(fd);
    if (result == 0)
        atomic_fetch_sub(&descriptors, 1);
    if (outcome < 0)
        return result;
    errno = outcome_errno((enum sweep_outcome)outcome);
    return -1;
}

DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd) {
    int outcome = fault_due(SWEEP_FDOPENDIR);
    if (outcome < 0)
        return __real_fdopendir(fd);
    errno = outcome_errno((enum sweep_outcome)outcome);
    return NULL;
}

struct dirent64 *__real_readdir64(DIR *stream);
struct dirent64 *__wrap_readdir64(DIR *stream);
struct dirent64 *__wrap_readdir64(DIR *stream) {
    int outcome = fault_due(SWEEP_READDIR);
    if (outcome < 0)
        return __real_readdir64(stream);
    errno = outcome_errno((enum sweep_outcome)outcome);
    return NULL;
}

int __real_closedir(DIR *stream);
int __wrap_closedir(DIR *stream);
int __wrap_closedir(DIR *stream) {
    atomic_fetch_sub(&descriptors, 1); /* the one given to fdopendir */
    return __real_closedir(stream);
}

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
DIR *__wrap_opendir(const char *path) {
    DIR *stream = __real_opendir(path);
    if (stream != NULL)
        atomic_fetch_add(&descriptors, 1);
    return stream;
}

/* ---- memory ---- */

#define WRAP_MEMORY(FUNCTION, name, parameters, arguments)                     \
    void *__real_##name parameters;                                            \
    void *__wrap_##name parameters;                                            \
    void *__wrap_##name parameters {                                           \
        if (fault_due(SWEEP_##FUNCTION) >= 0) {                                \
            errno = ENOMEM;                                                    \
            return NULL;                                                       \
        }                                                                      \
        void *block = __real_##name arguments;                                 \
        if (block != NULL)                                                     \
            atomic_fetch_add(&blocks, 1);                                      \
        return block;                                                          \
    }

WRAP_MEMORY(MALLOC, malloc, (size_t size), (size))
WRAP_MEMORY(CALLOC, calloc, (size_t count, size_t size), (count, size))
WRAP_MEMORY(STRDUP, strdup, (const char *text), (text))
WRAP_MEMORY(ALIGNED_ALLOC, aligned_alloc, (size_t alignment, size_t size),
            (alignment, size))

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size) {
    if (fault_due(SWEEP_REALLOC) >= 0) {
        errno = ENOMEM;
        return NULL;
    }
    bool fresh = block == NULL;
    block = __real_realloc(block, size);
    if (fresh && block != NULL)
        atomic_fetch_add(&blocks, 1);
    return block;
}

int __real_posix_memalign(void **block, size_t alignment, size_t size);
int __wrap_posix_memalign(void **block, size_t alignment, size_t size);
int __wrap_posix_memalign(void **block, size_t alignment, size_t size) {
    if (fault_due(SWEEP_MEMALIGN) >= 0)
        return ENOMEM;
    int result = __real_posix_memalign(block, alignment, size);
    if (result == 0)
        atomic_fetch_add(&blocks, 1);
    return result;
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block) {
    if (block != NULL)
        atomic_fetch_sub(&blocks, 1);
    __real_free(block);
}

void *__real_mmap64(void *at, size_t size, int protection, int flags, int fd,
                    off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd,
                    off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd,
                    off_t offset) {
    if (fault_due(SWEEP_MMAP) >= 0) {
        errno = ENOMEM;
        return (void *)-1;
    }
    void *pages = __real_mmap64(at, size, protection, flags, fd, offset);
    if (pages != (void *)-1)
        atomic_fetch_add(&blocks, 1);
    return pages;
}

int __real_munmap(void *pages, size_t size);
int __wrap_munmap(void *pages, size_t size);
int __wrap_munmap(void *pages, size_t size) {
    atomic_fetch_sub(&blocks, 1);
    return __real_munmap(pages, size);
}

/* ---- threads and waiting ---- */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument) {
    int outcome = fault_due(SWEEP_THREAD);
    if (outcome >= 0)
        return outcome_errno((enum sweep_outcome)outcome);
    return __real_pthread_create(thread, attributes, body, argument);
}

/* Only futexes come this way; the kernel never interrupts a wake. */
long __real_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e,
                    long f) {
    if ((b & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET &&
        fault_due(SWEEP_FUTEX) >= 0) {
        errno = EINTR;
        return -1;
    }
    return __real_syscall(number, a, b, c, d, e, f);
}

int __real_clock_nanosleep(clockid_t clock, int flags,
                           const struct timespec *time, struct timespec *left);
int __wrap_clock_nanosleep(clockid_t clock, int flags,
                           const struct timespec *time, struct timespec *left);
int __wrap_clock_nanosleep(clockid_t clock, int flags,
                           const struct timespec *time, struct timespec *left) {
    return fault_due(SWEEP_SLEEP) >= 0
               ? EINTR
               : __real_clock_nanosleep(clock, flags, time, left);
}

/* ---- asynchronous I/O ---- */

int __wrap_io_setup(int depth, io_context_t *context);
int __wrap_io_setup(int depth, io_context_t *context) {
    (void)depth;
    int outcome = fault_due(SWEEP_SETUP);
    if (outcome >= 0)
        return -outcome_errno((enum sweep_outcome)outcome);
    static char here;
    *context = (io_context_t)(void *)&here;
    atomic_fetch_add(&blocks, 1);
    return 0;
}

int __wrap_io_destroy(io_context_t context);
int __wrap_io_destroy(io_context_t context) {
    (void)context;
    atomic_fetch_sub(&blocks, 1);
    return 0;
}

static long operation_do(struct iocb *iocb) {
    ssize_t result;
    if (iocb->aio_lio_opcode == IO_CMD_FDSYNC) {
        result = __real_fdatasync(iocb->aio_fildes);
    } else {
        struct iovec part = {iocb->u.c.buf, iocb->u.c.nbytes};
        result = __real_pwritev64v2(iocb->aio_fildes, &part, 1,
                                    iocb->u.c.offset, iocb->aio_rw_flags);
    }
    return result < 0 ? -errno : result;
}

/* Carries out @iocb as its outcome wants, and keeps the event. */
static void operation_begin(struct iocb *iocb) {
    bool sync = iocb->aio_lio_opcode == IO_CMD_FDSYNC;
    pthread_mutex_lock(&sweep.lock);
    int outcome = fault_look(sync ? SWEEP_SYNC_EVENT : SWEEP_WRITE_EVENT);
    long result;
    int64_t due = 0;
    switch (outcome) {
    case SWEEP_LATE_:
        due = now_ns() + LATE_NS;
        result = operation_do(iocb);
        break;
    case SWEEP_NEVER_:
        due = sweep.released ? 0 : INT64_MAX;
        result = operation_do(iocb);
        break;
    case SWEEP_SHORT_:
        result = 512;
        break;
    case SWEEP_ZERO_:
        result = 0;
        break;
    case -1:
        result = operation_do(iocb);
        break;
    default:
        if (outcome == SWEEP_EIO_DONE_)
            operation_do(iocb);
        result = -outcome_errno((enum sweep_outcome)outcome);
        break;
    }
    sweep.due_ns[sweep.event_count] = due;
    sweep.events[sweep.event_count++] = (struct io_event){
        .data = iocb->data, .obj = iocb, .res = (unsigned long)result};
    if (due == 0)
        aio_signal(iocb);
    pthread_cond_broadcast(&sweep.changed);
    pthread_mutex_unlock(&sweep.lock);
}

int __wrap_io_submit(io_context_t context, long count, struct iocb **iocbs);
int __wrap_io_submit(io_context_t context, long count, struct iocb **iocbs) {
    (void)context;
    int outcome = fault_due(SWEEP_SUBMIT);
    if (outcome == SWEEP_ZERO_)
        return 0;
    if (outcome >= 0)
        return -outcome_errno((enum sweep_outcome)outcome);
    for (long i = 0; i < count; i++)
        operation_begin(iocbs[i]);
    return (int)count;
}

/* lock held. Takes what is due; *next is when more will be. */
static int events_take(long max, struct io_event *events, int64_t *next) {
    int taken = 0;
    unsigned kept = 0;
    int64_t now = now_ns();
    *next = INT64_MAX;
    for (unsigned i = 0; i < sweep.event_count; i++) {
        if (sweep.due_ns[i] <= now && taken < max) {
            events[taken++] = sweep.events[i];
            continue;
        }
        if (sweep.due_ns[i] < *next)
            *next = sweep.due_ns[i];
        sweep.due_ns[kept] = sweep.due_ns[i];
        sweep.events[kept++] = sweep.events[i];
    }
    sweep.event_count = kept;
    return taken;
}

int __wrap_io_getevents(io_context_t context, long min, long max,
                        struct io_event *events, struct timespec *timeout);
int __wrap_io_getevents(io_context_t context, long min, long max,
                        struct io_event *events, struct timespec *timeout) {
    (void)context;
    (void)min;
    int outcome = fault_due(SWEEP_REAP);
    if (outcome >= 0)
        return -outcome_errno((enum sweep_outcome)outcome);
    int64_t deadline = timeout == NULL
                           ? INT64_MAX
                           : now_ns() + (int64_t)timeout->tv_sec * 1000000000 +
                                 timeout->tv_nsec;
    int taken;
    int64_t next;
    pthread_mutex_lock(&sweep.lock);
    while ((taken = events_take(max, events, &next)) == 0 &&
           now_ns() < deadline) {
        int64_t until = next < deadline ? next : deadline;
        struct timespec at = {until / 1000000000, until % 1000000000};
        if (until == INT64_MAX)
            pthread_cond_wait(&sweep.changed, &sweep.lock);
        else
            pthread_cond_timedwait(&sweep.changed, &sweep.lock, &at);
    }
    pthread_mutex_unlock(&sweep.lock);
    return taken;
}
