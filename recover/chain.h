/* SPDX-License-Identifier: MIT */
/*
 * The live end of the log (SPEC 7.5), found by walking back along the starts.
 */
#ifndef DWAL_RECOVER_CHAIN_H
#define DWAL_RECOVER_CHAIN_H

#include "recover.h"

struct dwal__chain {
    struct dwal__found_segment *segments; /* ascending by number */
    size_t segment_count;
    /* The largest watermark of the segments scanned so far. SPEC 11: what ends
     * at or below it need not be scanned for a walk; what was scanned all the
     * same is judged by that. */
    const struct dwal__watermark *evidence;
    /* Scans one that is not scanned yet. A DWAL code; not DWAL_OK ends the
     * search. */
    int (*scan)(void *argument, struct dwal__found_segment *segment);
    void *argument;
};

/* Sets *@end to the segment that holds the live end, NULL if none does, and the
 * live members of all segments. Scans what it has to. DWAL_OK or what the scan
 * returned. */
int dwal__chain_find(const struct dwal__chain *chain,
                     struct dwal__found_segment **end);

/* The segment of this number, NULL if there is none. */
struct dwal__found_segment *
dwal__segment_find(struct dwal__found_segment *segments, size_t count,
                   uint64_t number);

#endif
