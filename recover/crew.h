/* SPDX-License-Identifier: MIT */
/*
 * Several threads that scan segments, one each, before recovery asks for them.
 * What they find is taken in recovery's own order, so that nothing that it says
 * depends on how many they were.
 */
#ifndef DWAL_RECOVER_CREW_H
#define DWAL_RECOVER_CREW_H

#include "scan.h"

/* One segment to be scanned: as dwal__segment_scan. */
struct dwal__crew_job {
    const struct dwal__found_segment *segment; /* not changed */
    struct dwal__scan scan;                    /* nor are the names in it */

    /* What was found. */
    bool taken; /* by recovery; else @found is freed with the crew */
    int error;
    uint64_t offset;
    uint64_t bytes_read;
    struct dwal__found_segment found;
    struct dwal__watermark evidence;
    bool *fits; /* of scan.names */
};

struct dwal__crew {
    struct dwal__disk *disk;
    int dir;
    unsigned threads;
    /* Called with the bytes of each read, by one thread at a time; non-zero:
     * all stop. */
    int (*moved)(void *argument, uint64_t bytes);
    void *argument;
    struct dwal__crew_job *jobs; /* done from the first to the last */
    size_t count;
};

/* Runs all jobs and returns. Each has its own result; 0, or -ENOMEM if not all
 * could be run. */
int dwal__crew_run(struct dwal__crew *crew);

/* Frees the jobs, and what was found and not taken. */
void dwal__crew_release(struct dwal__crew *crew);

#endif
