/* SPDX-License-Identifier: MIT */
/*
 * Every call that the library makes into libc, libaio and the kernel, with a
 * fault in one of them: a plan names a function, which of its calls, and what
 * becomes of it. Linked with -Wl,--wrap for each name in tests/CMakeLists.txt.
 *
 * Asynchronous I/O is carried out at submission and its events are kept, so
 * that an event can be late, wrong, or never come. Memory, mappings and
 * descriptors that the wrapped code holds are counted all the time.
 */
#ifndef DWAL_TESTS_SWEEP_H
#define DWAL_TESTS_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, what SPEC calls the operation) */
#define SWEEP_FUNCTIONS(X)                                                     \
    X(WRITE_EVENT, "batch: write")                                             \
    X(SYNC_EVENT, "batch: sync")                                               \
    X(SUBMIT, "batch: submit")                                                 \
    X(REAP, "batch: reap")                                                     \
    X(SETUP, "first append: io_setup")                                         \
    X(THREAD, "first append: a thread")                                        \
    X(PWRITE, "file: write")                                                   \
    X(PWRITEV, "file: measure syncs")                                          \
    X(FDATASYNC, "file: sync")                                                 \
    X(FALLOCATE, "file: allocate")                                             \
    X(LSEEK, "file: find holes")                                               \
    X(OPENAT, "file: open, create")                                            \
    X(FSTAT, "file: status")                                                   \
    X(STATX, "file: alignment")                                                \
    X(PREAD, "file: read")                                                     \
    X(FCNTL, "file: lock, flags")                                              \
    X(CLOSE, "file: close")                                                    \
    X(RENAMEAT, "directory: rename")                                           \
    X(UNLINKAT, "directory: remove")                                           \
    X(FSYNC, "directory: sync")                                                \
    X(OPEN, "directory: open")                                                 \
    X(MKDIR, "directory: create")                                              \
    X(FLOCK, "directory: lock")                                                \
    X(FDOPENDIR, "directory: list")                                            \
    X(READDIR, "directory: read")                                              \
    X(MALLOC, "memory: malloc")                                                \
    X(CALLOC, "memory: calloc")                                                \
    X(REALLOC, "memory: realloc")                                              \
    X(STRDUP, "memory: strdup")                                                \
    X(ALIGNED_ALLOC, "memory: aligned_alloc")                                  \
    X(MEMALIGN, "memory: posix_memalign")                                      \
    X(EVENTFD, "event loop: eventfd")                                          \
    X(MMAP, "memory: map")                                                     \
    X(GETRANDOM, "random numbers")                                             \
    X(FUTEX, "wait: futex")                                                    \
    X(SLEEP, "wait: sleep")

enum sweep_function {
#define SWEEP_X(name, text) SWEEP_##name,
    SWEEP_FUNCTIONS(SWEEP_X)
#undef SWEEP_X
        SWEEP_FUNCTION_COUNT
};

/* X(name, errno or 0, text) */
#define SWEEP_OUTCOMES(X)                                                      \
    X(EIO, EIO, "EIO")                                                         \
    X(EIO_DONE, EIO, "EIO although done")                                      \
    X(ENOSPC, ENOSPC, "ENOSPC")                                                \
    X(EDQUOT, EDQUOT, "EDQUOT")                                                \
    X(EROFS, EROFS, "EROFS")                                                   \
    X(EFBIG, EFBIG, "EFBIG")                                                   \
    X(EINTR, EINTR, "EINTR")                                                   \
    X(EAGAIN, EAGAIN, "EAGAIN")                                                \
    X(EINVAL, EINVAL, "EINVAL")                                                \
    X(ENOMEM, ENOMEM, "ENOMEM")                                                \
    X(EMFILE, EMFILE, "EMFILE")                                                \
    X(EACCES, EACCES, "EACCES")                                                \
    X(EOPNOTSUPP, EOPNOTSUPP, "EOPNOTSUPP")                                    \
    X(SHORT, 0, "short")                                                       \
    X(ZERO, 0, "zero-length")                                                  \
    X(LATE, 0, "late")                                                         \
    X(NEVER, 0, "never")

enum sweep_outcome {
#define SWEEP_X(name, value, text) SWEEP_##name##_,
    SWEEP_OUTCOMES(SWEEP_X)
#undef SWEEP_X
        SWEEP_OUTCOME_COUNT
};

struct sweep_plan {
    enum sweep_function function;
    enum sweep_outcome outcome;
    unsigned nth; /* from 1; 0: no fault */
    bool from_on; /* the nth and all that follow */
};

const char *sweep_function_text(enum sweep_function function);
const char *sweep_outcome_text(enum sweep_outcome outcome);

/* Starts counting. What never comes back does so after sweep_release; in the
 * thread that calls this it is only late. */
void sweep_arm(const struct sweep_plan *plan);
/* No faults from now on; true if the planned one has struck. */
bool sweep_disarm(void);
bool sweep_struck(void);
/* Lets go what never came back. */
void sweep_release(void);

/* What the wrapped code holds now. */
struct sweep_held {
    long blocks; /* of the heap, and mappings */
    long descriptors;
};

struct sweep_held sweep_held(void);

#endif
