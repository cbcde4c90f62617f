/* SPDX-License-Identifier: MIT */
#include "sys.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * DWAL__NS_PER_S + now.tv_nsec;
}

int64_t dwal__now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t dwal__wall_ns(void) {
    int64_t now = clock_ns(CLOCK_REALTIME);
    return now < 0 ? 0 : (uint64_t)now;
}

int64_t dwal__deadline(int64_t now, int64_t ms) {
    if (ms < 0 || ms > (DWAL__NEVER - now) / DWAL__NS_PER_MS)
        return DWAL__NEVER;
    return now + ms * DWAL__NS_PER_MS;
}

bool dwal__futex_wait(_Atomic uint32_t *word, uint32_t expected,
                      int64_t deadline) {
    struct timespec until = {.tv_sec = deadline / DWAL__NS_PER_S,
                             .tv_nsec = deadline % DWAL__NS_PER_S};
    /* FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC. */
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                          deadline == DWAL__NEVER ? NULL : &until, NULL,
                          FUTEX_BITSET_MATCH_ANY);
    return !(result == -1 && errno == ETIMEDOUT);
}

void dwal__futex_wake(_Atomic uint32_t *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

int dwal__event_make(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void dwal__event_set(int fd) {
    /* It counts to 2^64 - 2. */
    int failed = eventfd_write(fd, 1);
    assert(failed == 0);
    (void)failed;
}

void dwal__event_clear(int fd) {
    eventfd_t ignored;
    /* There is nothing to be read if the application did that itself. */
    eventfd_read(fd, &ignored);
}

void dwal__event_close(int fd) {
    close(fd);
}

void dwal__sleep_ns(int64_t ns) {
    struct timespec duration = {.tv_sec = ns / DWAL__NS_PER_S,
                                .tv_nsec = ns % DWAL__NS_PER_S};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, NULL);
}

unsigned dwal__processor(void) {
    int processor = sched_getcpu();
    return processor < 0 ? 0 : (unsigned)processor;
}

int dwal__random(void *bytes, size_t size) {
    uint8_t *at = bytes;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

void *dwal__pages_map(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void dwal__pages_huge(void *pages, size_t size) {
    /* Refused by a kernel without them: then the pages stay small. */
    madvise(pages, size, MADV_HUGEPAGE);
}

void dwal__pages_unmap(void *pages, size_t size) {
    if (pages != NULL)
        munmap(pages, size);
}
