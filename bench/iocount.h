/* SPDX-License-Identifier: MIT */
/*
 * Counts what the library hands to io_submit. walbench is linked with
 * --wrap=io_submit, so the figures come from the call itself and not from what
 * the library says about itself.
 */
#ifndef DWAL_BENCH_IOCOUNT_H
#define DWAL_BENCH_IOCOUNT_H

#include <stdint.h>

struct dwal__iocount {
    uint64_t writes; /* each is a batch */
    uint64_t write_bytes;
    uint64_t syncs;
};

void dwal__iocount_look(struct dwal__iocount *count);

#endif
