/* SPDX-License-Identifier: MIT */
/*
 * Clocks, futexes, events, memory and random numbers: what the library asks of
 * the kernel besides files (recover/disk.h) and batches (aio.h).
 */
#ifndef DWAL_SRC_SYS_H
#define DWAL_SRC_SYS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DWAL__NS_PER_MS INT64_C(1000000)
#define DWAL__NS_PER_S INT64_C(1000000000)

/* A point of CLOCK_MONOTONIC in ns that is never reached. */
#define DWAL__NEVER INT64_MAX

int64_t dwal__now_ns(void);   /* CLOCK_MONOTONIC */
uint64_t dwal__wall_ns(void); /* since 1970 */

/* The point @ms from @now; DWAL__NEVER for a negative @ms. */
int64_t dwal__deadline(int64_t now, int64_t ms);

/* Sleeps while *@word == @expected, until woken or @deadline. Comes back for
 * any reason; the caller looks again. Returns false after the deadline. */
bool dwal__futex_wait(_Atomic uint32_t *word, uint32_t expected,
                      int64_t deadline);
/* Wakes @count sleepers at most. */
void dwal__futex_wake(_Atomic uint32_t *word, int count);

/* A descriptor that is readable from set to clear; or -errno. */
int dwal__event_make(void);
void dwal__event_set(int fd); /* one that is not readable */
void dwal__event_clear(int fd);
void dwal__event_close(int fd);

void dwal__sleep_ns(int64_t ns);

/* The processor that runs this, or 0; it may be another one at once. */
unsigned dwal__processor(void);

/* 0 or -errno. */
int dwal__random(void *bytes, size_t size);

/* Zeroed pages that take memory only once they are touched; NULL: none. */
void *dwal__pages_map(size_t size);
/* Asks for huge pages in a mapping. */
void dwal__pages_huge(void *pages, size_t size);
void dwal__pages_unmap(void *pages, size_t size);

#endif
