/* SPDX-License-Identifier: MIT */
/* A built log as the files of a simulated disk. */
#ifndef DWAL_TESTS_LOGDISK_H
#define DWAL_TESTS_LOGDISK_H

#include "logbuild.h"
#include "memdisk.h"

static inline void logdisk_put(const struct logbuild *log,
                               struct memdisk *memdisk) {
    if (log->lock_present)
        memdisk_put(memdisk, DWAL__LOCK_NAME, log->lock, log->lock_size);
    for (unsigned i = 0; i < log->segment_count; i++) {
        const struct logbuild_segment *segment = log->segments[i];
        if (segment->present)
            memdisk_put(memdisk, segment->name, segment->bytes, segment->size);
    }
}

#endif
