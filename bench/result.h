/* SPDX-License-Identifier: MIT */
/* What one measurement found. */
#ifndef DWAL_BENCH_RESULT_H
#define DWAL_BENCH_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "../src/histogram.h"
#include "iocount.h"
#include "usage.h"

/* How a log synced its batches. */
struct dwal__log_facts {
    const char *sync;  /* NULL: not known */
    uint64_t dsync_ns; /* what sync = auto measured; 0: it did not */
    uint64_t fdsync_ns;
};

/* Zero-initialise. */
struct dwal__result {
    double seconds;   /* measured */
    uint64_t records; /* that became durable, or were read, in that time */
    /* Of the records that began in that time, or a sample of them; with
     * --mode scan and recover, of whole passes. */
    struct dwal__histogram latency;
    uint64_t not_begun; /* open loop: due, and not even begun at the end */
    uint64_t passes;    /* scan, recover */
    struct dwal__usage usage;
    bool io_known; /* counted at io_submit */
    struct dwal__iocount io;
    struct dwal__log_facts facts;
    bool cancelled; /* a signal ended it early */
};

#endif
