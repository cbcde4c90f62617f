/* SPDX-License-Identifier: MIT */
/*
 * The kernel's asynchronous I/O with faults: a table for dwal__open_on that
 * passes operations on and changes what is asked for. One at a time; the
 * functions may be called from any thread while the log runs.
 */
#ifndef DWAL_TESTS_FAKEAIO_H
#define DWAL_TESTS_FAKEAIO_H

#include "../../src/aio.h"

/* What to count by. */
enum fakeaio_operation { FAKEAIO_WRITE, FAKEAIO_SYNC };

struct fakeaio_counts {
    unsigned writes;
    unsigned syncs;
    uint64_t bytes;
    unsigned in_flight_most;
    unsigned syncs_with_unreaped_writes; /* must stay 0 for writes covered */
};

/* A fresh one; no faults. */
const struct dwal__aio *fakeaio_new(void);

/* The @nth (from 1, counted from now) write or sync is done, but reported with
 * @result; a negative errno or a byte count. */
void fakeaio_fail(enum fakeaio_operation operation, unsigned nth,
                  long long result);
/* The @nth write or sync is not done at all, and its event is @result. */
void fakeaio_drop(enum fakeaio_operation operation, unsigned nth,
                  long long result);
/* io_submit number @nth from now returns @result and takes nothing. */
void fakeaio_fail_submit(unsigned nth, int result);
/* Calls @hook in the submitting thread, after the next operation was taken. */
void fakeaio_after_submit(void (*hook)(void *argument), void *argument);
/* Events are kept back until fakeaio_release. */
void fakeaio_hold(void);
void fakeaio_release(void);
/* Blocks until @count operations are kept back. */
void fakeaio_wait_held(unsigned count);

struct fakeaio_counts fakeaio_counts(void);

#endif
