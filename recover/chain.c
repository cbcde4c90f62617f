/* SPDX-License-Identifier: MIT */
/*
 * The walk back from a segment to the trim point. The invariant: a segment is
 * called live only if every step below it was proven, by a scan of the
 * predecessor or by a watermark beyond the predecessor's end. Each step goes to
 * a lower number, so that every walk ends.
 */
#include "chain.h"

#include <assert.h>

struct dwal__found_segment *
dwal__segment_find(struct dwal__found_segment *segments, size_t count,
                   uint64_t number) {
    while (count > 0) {
        size_t half = count / 2;
        if (segments[half].number == number)
            return &segments[half];
        if (segments[half].number < number) {
            segments += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return NULL;
}

/* The predecessor that the start of @segment names, if SPEC 7.5 permits it at
 * all; NULL if not. */
static struct dwal__found_segment *
predecessor(const struct dwal__chain *chain,
            const struct dwal__found_segment *segment) {
    uint64_t number = segment->start.previous_segment;
    if (number >= segment->number)
        return NULL;
    struct dwal__found_segment *found =
        dwal__segment_find(chain->segments, chain->segment_count, number);
    return found != NULL && found->well_formed && found->started ? found : NULL;
}

/* True if it is durable, and so was valid once, all that @segment's start names
 * of @before. What can be told without reading it is told all the same. */
static bool step_proven(const struct dwal__chain *chain,
                        const struct dwal__found_segment *before,
                        const struct dwal__found_segment *segment) {
    const struct dwal__start *start = &segment->start;
    const struct dwal__segment_header *header = &before->header;
    struct dwal__position end = {before->number, start->previous_end};
    return !before->scanned &&
           dwal__position_compare(end, chain->evidence->position) <= 0 &&
           start->previous_end % header->block_size == 0 &&
           start->previous_end > header->block_size &&
           start->previous_end <= header->segment_size &&
           start->previous_lsn >= before->first_lsn - 1;
}

/* One step back from @segment. Sets *@before, to NULL if the step fails. */
static int step_back(const struct dwal__chain *chain,
                     const struct dwal__found_segment *segment,
                     struct dwal__found_segment **before) {
    *before = predecessor(chain, segment);
    if (*before == NULL || step_proven(chain, *before, segment))
        return DWAL_OK;
    int code = DWAL_OK;
    if (!(*before)->scanned)
        code = chain->scan(chain->argument, *before);
    if (code == DWAL_OK && !(segment->fits_known && segment->fits))
        *before = NULL;
    return code;
}

/* True in *@live if the log may end with the run of @last. */
static int walk_back(const struct dwal__chain *chain,
                     struct dwal__found_segment *last, bool *live) {
    *live = false;
    if (!last->scanned) {
        int code = chain->scan(chain->argument, last);
        if (code != DWAL_OK)
            return code;
    }
    if (!last->started || last->trim_lsn > last->run_lsn)
        return DWAL_OK;
    struct dwal__found_segment *segment = last;
    while (segment->first_lsn > last->trim_lsn + 1) {
        struct dwal__found_segment *before;
        int code = step_back(chain, segment, &before);
        if (code != DWAL_OK || before == NULL)
            return code;
        segment = before;
    }
    *live = true;
    return DWAL_OK;
}

/* The same way once more, now that it is known to lead somewhere. */
static void live_mark(const struct dwal__chain *chain,
                      struct dwal__found_segment *last) {
    struct dwal__found_segment *segment = last;
    last->live_end = last->run_end;
    last->live_lsn = last->run_lsn;
    segment->live = true;
    while (segment->first_lsn > last->trim_lsn + 1) {
        struct dwal__found_segment *before = predecessor(chain, segment);
        assert(before != NULL);
        before->live = true;
        before->live_end = segment->start.previous_end;
        before->live_lsn = segment->start.previous_lsn;
        segment = before;
    }
}

int dwal__chain_find(const struct dwal__chain *chain,
                     struct dwal__found_segment **end) {
    for (size_t i = 0; i < chain->segment_count; i++)
        chain->segments[i].live = false;
    for (size_t i = chain->segment_count; i-- > 0;) {
        struct dwal__found_segment *segment = &chain->segments[i];
        if (!segment->well_formed || !segment->started)
            continue;
        bool live;
        int code = walk_back(chain, segment, &live);
        if (code != DWAL_OK)
            return code;
        if (live) {
            live_mark(chain, segment);
            *end = segment;
            return DWAL_OK;
        }
    }
    *end = NULL;
    return DWAL_OK;
}
