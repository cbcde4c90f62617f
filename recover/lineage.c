/* SPDX-License-Identifier: MIT */
/*
 * The walk back of SPEC 7.5 for readers. Keeps the invariant that neighbours
 * fit each other as far as starts can tell; that the last batch which a start
 * names is really there is checked by whoever reads up to it.
 */
#include "lineage.h"

#include <stdlib.h>
#include <string.h>

void dwal__lineage_clear(struct dwal__lineage *lineage) {
    free(lineage->segments);
    lineage->segments = NULL;
    lineage->count = 0;
}

/* How many segments have a number up to @number, or a last LSN below @lsn: both
 * rise along the log. */
static size_t count_below(const struct dwal__lineage *lineage, uint64_t number,
                          uint64_t lsn) {
    size_t low = 0, high = lineage->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct dwal__lineage_segment *segment =
            &lineage->segments[middle];
        if (segment->header.number <= number || segment->last_lsn < lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t dwal__lineage_by_number(const struct dwal__lineage *lineage,
                               uint64_t number) {
    size_t below = count_below(lineage, number, 0);
    return below > 0 ? below - 1 : lineage->count;
}

size_t dwal__lineage_by_lsn(const struct dwal__lineage *lineage, uint64_t lsn) {
    return count_below(lineage, 0, lsn);
}

/* ---- one segment ---- */

/* True if the start can be believed although the batch behind it is damaged: the
 * header is checked, the start is whole, with a checksum of its own that only
 * this use of the file has, and both agree. */
static bool start_whole(const struct dwal__window_batch *batch,
                        const struct dwal__batch_fault *where) {
    return where->fault != DWAL__FAULT_VERSION && batch->summary.started &&
           (!where->in_record || where->record > 0) &&
           dwal__start_fits(&batch->summary.start, batch->header.first_lsn);
}

/* No start, so what lies before this segment is not found. */
static int first_batch_refuse(const struct dwal__window *window,
                              const struct dwal__batch_fault *where,
                              struct dwal_error *error) {
    int code =
        where->fault == DWAL__FAULT_VERSION ? DWAL_EVERSION : DWAL_ECORRUPT;
    return dwal__error_set_at(
        error, code, 0, window->header.number, where->offset,
        "%s: the start of the segment is damaged at offset %llu: %s; run "
        "walfsck",
        window->name, (unsigned long long)where->offset,
        dwal__fault_text(where->fault));
}

/* The header and the start of the first batch. It lies before the end of the
 * log: so it is valid, or damaged, or the file is none of this log any more. It
 * is read twice before it is called damaged: what is in memory may be older
 * than the proof of the end. Damage behind the start is left to whoever reads
 * up to it. */
static int first_batch_read(struct dwal__window *window,
                            struct dwal__window_batch *batch,
                            struct dwal_error *error) {
    const struct dwal__segment_header *header = &window->header;
    struct dwal__expected expected = {.link_known = true, .link = header->crc};
    struct dwal__batch_fault where;
    for (int attempt = 0; attempt < 2; attempt++) {
        *batch = (struct dwal__window_batch){0};
        int code = dwal__window_batch(window, header->block_size, &expected,
                                      batch, &where, NULL, error);
        if (code != DWAL_OK)
            return code;
        if (where.fault == DWAL__FAULT_NONE &&
            !dwal__start_fits(&batch->summary.start, batch->header.first_lsn))
            where.fault = DWAL__FAULT_LSN;
        if (where.fault == DWAL__FAULT_NONE)
            return DWAL_OK;
        int retired = dwal__window_retired(window, error);
        if (retired < 0)
            return retired;
        if (retired == 1)
            return dwal__error_set(error, DWAL_ENOENT, 0, "%s: it was retired",
                                   window->name);
    }
    return start_whole(batch, &where)
               ? DWAL_OK
               : first_batch_refuse(window, &where, error);
}

static int segment_read(struct dwal__window *window,
                        const struct dwal__uuid *uuid, uint64_t number,
                        struct dwal__lineage_segment *segment,
                        struct dwal_error *error) {
    struct dwal__window_batch batch;
    int code = dwal__window_open(window, number, uuid, error);
    if (code == DWAL_OK)
        code = first_batch_read(window, &batch, error);
    if (code != DWAL_OK)
        return code;
    segment->header = window->header;
    segment->start = batch.summary.start;
    segment->start.metadata = NULL;
    segment->first_lsn = dwal__start_first_lsn(&segment->start);
    segment->found_lsn = batch.header.first_lsn;
    return DWAL_OK;
}

/* ---- the walk ---- */

/* The new lineage while it grows downwards. */
struct walk {
    const struct dwal__lineage *known; /* the old one */
    struct dwal__window *window;
    const struct dwal__uuid *uuid;
    struct dwal__lineage_segment *segments; /* descending */
    size_t count;
    size_t capacity;
};

static int walk_add(struct walk *walk,
                    const struct dwal__lineage_segment *segment,
                    struct dwal_error *error) {
    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity > 0 ? 2 * walk->capacity : 16;
        void *grown =
            realloc(walk->segments, capacity * sizeof walk->segments[0]);
        if (grown == NULL)
            return dwal__error_set(error, DWAL_ENOMEM, 0,
                                   "no memory for a list of %zu segments",
                                   capacity);
        walk->segments = grown;
        walk->capacity = capacity;
    }
    walk->segments[walk->count++] = *segment;
    return DWAL_OK;
}

/* What the segment above, or the end of the log, says of this one can be. */
static bool end_possible(const struct dwal__lineage_segment *segment) {
    uint64_t block_size = segment->header.block_size;
    return segment->end % block_size == 0 && segment->end > block_size &&
           segment->end <= segment->header.segment_size &&
           segment->last_lsn >= segment->first_lsn - 1;
}

/* Adds segment @number, of which all up to @end and @last_lsn is kept. */
static int walk_step(struct walk *walk, uint64_t number, uint64_t end,
                     uint64_t last_lsn, struct dwal_error *error) {
    const struct dwal__lineage *known = walk->known;
    struct dwal__lineage_segment segment;
    size_t index = dwal__lineage_by_number(known, number);
    if (index < known->count &&
        known->segments[index].header.number == number) {
        segment = known->segments[index];
    } else {
        int code =
            segment_read(walk->window, walk->uuid, number, &segment, error);
        if (code != DWAL_OK)
            return code;
    }
    segment.end = end;
    segment.last_lsn = last_lsn;
    if (!end_possible(&segment))
        return dwal__error_set_at(
            error, DWAL_ECORRUPT, 0, number, end,
            "%016llx.wal: what follows it names an impossible end, offset %llu "
            "and LSN %llu; run walfsck",
            (unsigned long long)number, (unsigned long long)end,
            (unsigned long long)last_lsn);
    return walk_add(walk, &segment, error);
}

static int walk_down(struct walk *walk, const struct dwal__watermark *end,
                     uint64_t first_lsn, struct dwal_error *error) {
    int code = walk_step(walk, end->position.segment, end->position.offset,
                         end->lsn, error);
    while (code == DWAL_OK) {
        const struct dwal__lineage_segment *lowest =
            &walk->segments[walk->count - 1];
        const struct dwal__start *start = &lowest->start;
        uint64_t number = lowest->header.number;
        if (lowest->first_lsn <= first_lsn ||
            (start->flags & DWAL__START_RESET) != 0)
            return DWAL_OK;
        if (start->previous_segment == 0 || start->previous_segment >= number)
            return dwal__error_set_at(
                error, DWAL_ECORRUPT, 0, number, lowest->header.block_size,
                "%016llx.wal begins with LSN %llu and names no segment before "
                "it, but the log begins with LSN %llu; run walfsck",
                (unsigned long long)number,
                (unsigned long long)lowest->first_lsn,
                (unsigned long long)first_lsn);
        code = walk_step(walk, start->previous_segment, start->previous_end,
                         start->previous_lsn, error);
    }
    return code;
}

int dwal__lineage_build(struct dwal__lineage *lineage,
                        struct dwal__window *window,
                        const struct dwal__uuid *uuid,
                        const struct dwal__watermark *end, uint64_t first_lsn,
                        struct dwal_error *error) {
    struct walk walk = {.known = lineage, .window = window, .uuid = uuid};
    int code = DWAL_OK;
    if (end->position.segment != 0)
        code = walk_down(&walk, end, first_lsn, error);
    for (size_t i = 0; i < walk.count / 2; i++) {
        struct dwal__lineage_segment upper = walk.segments[i];
        walk.segments[i] = walk.segments[walk.count - 1 - i];
        walk.segments[walk.count - 1 - i] = upper;
    }
    dwal__lineage_clear(lineage);
    lineage->segments = walk.segments;
    lineage->count = walk.count;
    return code;
}
