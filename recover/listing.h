/* SPDX-License-Identifier: MIT */
/*
 * What a log's directory holds, by name (SPEC 4.1).
 */
#ifndef DWAL_RECOVER_LISTING_H
#define DWAL_RECOVER_LISTING_H

#include "disk.h"

/* Everything is ascending, and nothing twice. */
struct dwal__listing {
    bool lock;          /* there is a LOCK … */
    bool lock_valid;    /* … and it is valid; set by who reads it */
    uint64_t *segments; /* numbers of "<n>.wal" */
    size_t segment_count;
    size_t segment_room; /* allocated; as the others below, for listing.c */
    uint64_t *spares;    /* numbers of "<n>.spare" */
    size_t spare_count;
    size_t spare_room;
    char **bad_names; /* other names that end in .wal, [name-valid] */
    size_t bad_count;
    size_t bad_room;
    char **other_names; /* not ours */
    size_t other_count;
    size_t other_room;
};

/* Fills @listing; release it in any case. 0, -ENOMEM, or the errno (negative)
 * of the disk. */
int dwal__listing_read(struct dwal__listing *listing, struct dwal__disk *disk,
                       int dir);

void dwal__listing_release(struct dwal__listing *listing);

#endif
