/* SPDX-License-Identifier: MIT */
/*
 * The segments of a log in order, as a reader follows them: walked back along
 * the starts (SPEC 7.5) from a known end to the segment that holds the first
 * record. Recovery finds that end out; here it is given, and the log may be
 * written, trimmed and cut meanwhile.
 */
#ifndef DWAL_RECOVER_LINEAGE_H
#define DWAL_RECOVER_LINEAGE_H

#include "window.h"

struct dwal__lineage_segment {
    struct dwal__segment_header header;
    struct dwal__start start; /* metadata is NULL */
    uint64_t first_lsn;       /* that its start goes on with */
    uint64_t found_lsn;       /* of its first batch; what lies between is lost,
                               * and the start says so */
    uint64_t end;             /* offset behind its last kept batch */
    uint64_t last_lsn;        /* the last LSN that is kept */
};

struct dwal__lineage {
    struct dwal__lineage_segment *segments; /* ascending */
    size_t count;
};

/*
 * Rebuilds @lineage to end at @end and to reach down to @first_lsn, or to where
 * the log was reset. What was
 * known of a segment is used again, since numbers are not. @window is used to
 * read, and left open on any segment.
 *
 * DWAL_OK, DWAL_ENOENT (a segment is not there: trimmed meanwhile, or lost),
 * DWAL_ECORRUPT, DWAL_EVERSION, DWAL_EIO, DWAL_ENOMEM. On failure it holds the
 * upper part, down to where it breaks.
 */
int dwal__lineage_build(struct dwal__lineage *lineage,
                        struct dwal__window *window,
                        const struct dwal__uuid *uuid,
                        const struct dwal__watermark *end, uint64_t first_lsn,
                        struct dwal_error *error);

/* Forgets everything and frees it. */
void dwal__lineage_clear(struct dwal__lineage *lineage);

/* The index of the last segment whose number is at most @number, or of the
 * first whose last LSN is at least @lsn; lineage->count if there is none. */
size_t dwal__lineage_by_number(const struct dwal__lineage *lineage,
                               uint64_t number);
size_t dwal__lineage_by_lsn(const struct dwal__lineage *lineage, uint64_t lsn);

#endif
