/* SPDX-License-Identifier: MIT */
/*
 * One segment: is it well-formed (SPEC 4.2), where does its run end (7.2), what
 * stands there (7.4), and what do it and everything behind it prove (7.3)?
 *
 * All functions open the file in @feed, which must have none open, and close
 * it again. They return 0 or a negative errno; -ECANCELED if the feed's hook
 * wished so. *@offset is set to where a read failed.
 */
#ifndef DWAL_RECOVER_SCAN_H
#define DWAL_RECOVER_SCAN_H

#include "feed.h"
#include "recover.h"

/*
 * Reads the header of segment->number, and the start. Fills all members of
 * @segment up to first_watermark; started before the rest of the first batch
 * was looked at. Not well-formed is no error: then *@kind
 * says which rule is broken. @uuid may be NULL: any will do.
 */
int dwal__segment_load(struct dwal__feed *feed,
                       struct dwal__found_segment *segment,
                       const struct dwal__uuid *uuid,
                       enum dwal__finding_kind *kind, uint64_t *offset);

/* What is known before a segment is scanned. */
struct dwal__scan {
    /* The started segments whose starts name this one, ascending by
     * start.previous_end: their fits is found out in passing. */
    struct dwal__found_segment *const *names;
    size_t name_count;
    /* To the last block, also where the evidence lies in a higher segment
     * anyway. */
    bool whole;
    /* SPEC 7.3: who made it wrote a close elsewhere, and nothing here. */
    bool unwritten;
};

/*
 * Scans a well-formed segment to the end of its run and, where that can tell
 * anything, to its last block: fills all members from scanned to left_over_lsn,
 * and started and those beside it once more. Raises @evidence to the largest
 * watermark found.
 */
int dwal__segment_scan(struct dwal__feed *feed,
                       struct dwal__found_segment *segment,
                       const struct dwal__scan *scan,
                       struct dwal__watermark *evidence, uint64_t *offset);

/* Sets *@found if any block of a well-formed segment shows a batch of this use:
 * readable, newer or damaged (SPEC 7.1). */
int dwal__segment_trace(struct dwal__feed *feed,
                        const struct dwal__found_segment *segment, bool *found,
                        uint64_t *offset);

/* Sets @evidence to @other where that says more. */
void dwal__watermark_raise(struct dwal__watermark *evidence,
                           const struct dwal__watermark *other);

/* True if @fault is what SPEC 7.4 calls damaged. */
bool dwal__head_damaged(enum dwal__fault fault);

#endif
