/* SPDX-License-Identifier: MIT */
/* How fast a device makes one small write durable, by which way. */
#ifndef DWAL_RECOVER_DISK_SYNC_H
#define DWAL_RECOVER_DISK_SYNC_H

#include "disk.h"

struct dwal__sync_cost {
    int volatile_cache; /* 1: the device has one, 0: none, -1: not known */
    int fua;            /* the same for writes that pass it by */
    /* Medians; 0: not measured. */
    int64_t dsync_ns;  /* a write with RWF_DSYNC; INT64_MAX: there is none */
    int64_t fdsync_ns; /* a write and an fdatasync */
};

/*
 * Writes @bytes to @offset again and again, for 20 ms at most on a disk that
 * takes less for one, and measures. Nothing that matters may be there.
 * 0 or -errno. Measures nothing on a simulated disk.
 */
int dwal__sync_measure(struct dwal__disk *disk, int handle, const void *bytes,
                       size_t size, uint64_t offset,
                       struct dwal__sync_cost *cost);

#endif
