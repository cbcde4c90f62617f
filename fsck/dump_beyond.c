/* SPDX-License-Identifier: MIT */
/*
 * Where a log is corrupt, recovery ends it before the damage. With
 * --skip-damage what is behind is shown all the same: every whole batch, in the
 * order of the files, that ends at or below the last position that a watermark
 * proves. Three rules keep it truthful: no batch is taken that is not valid by
 * itself, LSNs only grow, and each LSN that is left out is told.
 */
#include <inttypes.h>
#include <string.h>

#include "cli.h"
#include "dump.h"

struct beyond {
    struct dwal__walk *walk;
    const struct dwal__recovery *recovery;
    struct dwal__window window;
    struct dwal__position begin; /* where the reader stopped */
    struct dwal__position hole;  /* the first place that was not whole, since
                                 * the last record; segment 0: none */
};

/* ---- holes ---- */

static void place_bad(struct beyond *beyond, uint64_t segment,
                      uint64_t offset) {
    if (beyond->hole.segment == 0)
        beyond->hole = (struct dwal__position){segment, offset};
}

/* The records before @lsn were not found. */
static void hole_tell(struct beyond *beyond, uint64_t lsn) {
    struct dwal__walk *walk = beyond->walk;
    uint64_t end_lsn = walk->dump->options->end_lsn;
    struct dwal__reader_damage damage = {
        .place = beyond->hole,
        .lost_from = walk->next_lsn,
        .lost_to = lsn - 1 > end_lsn ? end_lsn : lsn - 1};
    char name[DWAL__NAME_SIZE], text[160], place[80] = "";
    if (damage.lost_from > damage.lost_to)
        return;
    dwal__segment_name(damage.place.segment, name);
    if (damage.place.segment != 0)
        snprintf(place, sizeof place, "%s: offset %" PRIu64 ": ", name,
                 damage.place.offset);
    if (damage.lost_from == damage.lost_to)
        snprintf(text, sizeof text, "%sLSN %" PRIu64 " cannot be read", place,
                 damage.lost_from);
    else
        snprintf(text, sizeof text,
                 "%sLSNs %" PRIu64 " to %" PRIu64 " cannot be read", place,
                 damage.lost_from, damage.lost_to);
    dwal__walk_hole(walk, &damage, text);
    walk->next_lsn = lsn;
}

/* ---- batches ---- */

/* The last LSN that segment @index may show: later segments that begin lower
 * cut it off. */
static uint64_t kept_lsn(const struct beyond *beyond, size_t index) {
    const struct dwal__recovery *recovery = beyond->recovery;
    uint64_t kept = recovery->watermark.lsn;
    for (size_t i = index + 1; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *later = &recovery->segments[i];
        if (later->number > recovery->watermark.position.segment)
            break;
        if (later->started && later->first_lsn - 1 < kept)
            kept = later->first_lsn - 1;
    }
    return kept;
}

static void batch_show(struct beyond *beyond,
                       const struct dwal__window_batch *batch, uint64_t kept) {
    struct dwal__walk *walk = beyond->walk;
    struct dwal__reader_item item = {.segment = batch->header.segment,
                                     .batch_offset = batch->header.offset,
                                     .batch = batch->header};
    size_t at = DWAL__BATCH_HEADER_SIZE;
    for (uint32_t i = 0; i < batch->header.record_count && !walk->done; i++) {
        struct dwal__record *record = &item.record;
        dwal__record_load(batch->bytes + at, record);
        item.offset = batch->header.offset + at;
        item.batch_index = i;
        at += dwal__record_room(record->size);
        if (record->lsn > kept)
            return;
        if (record->lsn == 0 || record->lsn < walk->next_lsn)
            continue;
        if (record->lsn > walk->next_lsn)
            hole_tell(beyond, record->lsn);
        beyond->hole.segment = 0;
        dwal__walk_take(walk, &item);
    }
}

/* Everything whole in the open segment, from @offset up to @until. */
static int segment_show(struct beyond *beyond, uint64_t offset, uint64_t until,
                        uint64_t kept, struct dwal_error *error) {
    static const struct dwal__expected anything = {0};
    struct dwal__window *window = &beyond->window;
    uint32_t block_size = window->header.block_size;
    uint64_t number = window->header.number;
    while (offset < until && !beyond->walk->done) {
        struct dwal__window_batch batch;
        struct dwal__batch_fault where;
        int code = dwal__window_batch(window, offset, &anything, &batch, &where,
                                      NULL, error);
        if (code != DWAL_OK)
            return code;
        if (dwal__cli_cancelled())
            return DWAL_EAGAIN;
        if (where.fault == DWAL__FAULT_NONE && batch.end <= until) {
            batch_show(beyond, &batch, kept);
            offset = batch.end;
        } else {
            place_bad(beyond, number, offset);
            offset += block_size;
        }
    }
    return DWAL_OK;
}

/* ---- segments ---- */

static int found_show(struct beyond *beyond, size_t index,
                      struct dwal_error *error) {
    const struct dwal__recovery *recovery = beyond->recovery;
    const struct dwal__found_segment *found = &recovery->segments[index];
    const struct dwal__position *end = &beyond->begin;
    const struct dwal__position *mark = &recovery->watermark.position;
    if (found->number < end->segment || found->number > mark->segment)
        return DWAL_OK;
    if (!found->well_formed) {
        place_bad(beyond, found->number, 0);
        return DWAL_OK;
    }
    int code = dwal__window_open(&beyond->window, found->number,
                                 &found->header.uuid, error);
    if (code != DWAL_OK)
        return code;
    uint64_t offset = found->header.block_size;
    uint64_t until = found->header.segment_size;
    if (found->number == end->segment)
        offset = end->offset;
    if (found->number == mark->segment && mark->offset < until)
        until = mark->offset;
    return segment_show(beyond, offset, until, kept_lsn(beyond, index), error);
}

/* The first LSN that is wanted, where the reader showed nothing: what was
 * trimmed, as far as the starts know, is not. */
static uint64_t first_wanted(const struct beyond *beyond) {
    const struct dwal__recovery *recovery = beyond->recovery;
    uint64_t first_lsn = recovery->first_lsn > 0 ? recovery->first_lsn : 1;
    if (beyond->begin.segment != 0)
        first_lsn = recovery->durable_lsn + 1;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *found = &recovery->segments[i];
        if (found->started &&
            found->number <= recovery->watermark.position.segment &&
            found->start.trim_lsn >= first_lsn)
            first_lsn = found->start.trim_lsn + 1;
    }
    uint64_t start_lsn = beyond->walk->dump->options->start_lsn;
    return start_lsn > first_lsn ? start_lsn : first_lsn;
}

static int recovery_show(struct beyond *beyond, struct dwal_error *error) {
    struct dwal__walk *walk = beyond->walk;
    const struct dwal__recovery *recovery = beyond->recovery;
    int code = DWAL_OK;
    if (walk->dump->reader != NULL)
        beyond->begin = recovery->end;
    if (walk->next_lsn == 0)
        walk->next_lsn = first_wanted(beyond);
    for (size_t i = 0; i < recovery->segment_count && code == DWAL_OK; i++)
        if (!walk->done)
            code = found_show(beyond, i, error);
    if (code == DWAL_OK && !walk->done)
        hole_tell(beyond, recovery->watermark.lsn + 1);
    return code;
}

/* Without a reader there is nothing that recovered yet. */
int dwal__walk_beyond(struct dwal__walk *walk, struct dwal_error *error) {
    struct dwal__dump *dump = walk->dump;
    struct beyond beyond = {.walk = walk};
    struct dwal__recovery own = {0};
    int code = DWAL_OK;
    if (dump->reader != NULL)
        beyond.recovery = dwal__reader_recovery(dump->reader);
    if (beyond.recovery == NULL) {
        struct dwal__recover_options options = {
            .disk = dump->disk, .dir = dump->dir, .sync = true};
        code = dwal__recover(&options, &own, error);
        beyond.recovery = &own;
    }
    dwal__window_init(&beyond.window, dump->disk, dump->dir);
    if (code == DWAL_OK)
        code = recovery_show(&beyond, error);
    dwal__window_release(&beyond.window);
    dwal__recovery_release(&own);
    return code;
}
