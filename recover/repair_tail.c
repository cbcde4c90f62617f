/* SPDX-License-Identifier: MIT */
/*
 * What is left over behind the live end (SPEC 7.6), and the plan to wipe it.
 * The invariant: a range is planned if and only if it would make the verdict
 * torn, so a repair that was interrupted is planned again to its end.
 */
#include <assert.h>
#include <string.h>

#include "../format/bytes.h"
#include "planner.h"

static_assert(DWAL__PLAN_CHUNK_SIZE % DWAL__BLOCK_SIZE_MAX == 0,
              "chunks of whole blocks");

/* What is left over in one segment from @from on. */
struct tail {
    const struct dwal__segment_header *header;
    uint64_t from;
    bool witnessed; /* a foreign head is none of the log's: SPEC 7.6 */
    bool found;
    uint64_t to; /* the end of the last batch whose header is readable */
    uint64_t records;
};

/* True if what stands at the first block of a tail makes it torn. */
static bool head_bad(const struct tail *tail, enum dwal__fault fault) {
    switch (fault) {
    case DWAL__FAULT_ZERO:
    case DWAL__FAULT_STALE:
        return false;
    case DWAL__FAULT_FOREIGN:
        return !tail->witnessed;
    default:
        return true;
    }
}

/* The end of the range that was being wiped when a repair was interrupted: if
 * @block begins with the mark that says it, else 0. */
static uint64_t mark_end(const struct tail *tail, const uint8_t *block) {
    const struct dwal__segment_header *segment = tail->header;
    uint64_t size =
        dwal__get64(block + offsetof(struct dwal__batch_header_bytes, size));
    if (size > segment->segment_size - tail->from ||
        size % segment->block_size != 0)
        return 0;
    uint8_t mark[DWAL__SECTOR_SIZE];
    dwal__repair_mark(segment, tail->from, tail->from + size, mark);
    return memcmp(block, mark, sizeof mark) == 0 ? tail->from + size : 0;
}

/* One block at @offset into @tail. */
static void tail_block(struct tail *tail, const uint8_t *block,
                       uint64_t offset) {
    const struct dwal__segment_header *segment = tail->header;
    struct dwal__batch_header batch;
    enum dwal__fault fault = dwal__batch_header_decode(
        block, segment->block_size, segment, offset, &batch);
    uint64_t end = offset + segment->block_size;
    if (fault == DWAL__FAULT_NONE || fault == DWAL__FAULT_VERSION) {
        end = offset + dwal__align_up(batch.size, segment->block_size);
        tail->records += batch.lsn_count;
    } else if (offset != tail->from || !head_bad(tail, fault)) {
        return;
    } else if (mark_end(tail, block) > end) {
        end = mark_end(tail, block);
    }
    tail->found = true;
    if (end > tail->to)
        tail->to = end;
}

/* Looks at every block of @handle from tail->from on. */
static int tail_read(struct dwal__planner *planner, int handle,
                     const char *name, struct tail *tail) {
    struct dwal__disk *disk = planner->options->disk;
    uint64_t size = tail->header->segment_size;
    uint32_t block_size = tail->header->block_size;
    for (uint64_t at = tail->from; at < size;) {
        if (dwal__plan_cancelled(planner))
            return dwal__error_set(planner->error, DWAL_EAGAIN, 0,
                                   "plan the repair: cancelled");
        size_t some = size - at < DWAL__PLAN_CHUNK_SIZE ? (size_t)(size - at)
                                                        : DWAL__PLAN_CHUNK_SIZE;
        ssize_t moved = disk->ops->read(disk, handle, planner->chunk, some, at);
        if (moved != (ssize_t)some)
            return dwal__error_set_at(
                planner->error, DWAL_EIO, moved < 0 ? (int)-moved : 0,
                tail->header->number, at, "plan the repair: read %s%s", name,
                moved < 0 ? "" : ": it ends too early");
        for (size_t in = 0; in < some; in += block_size)
            tail_block(tail, planner->chunk + in, at + in);
        at += some;
    }
    return 0;
}

/* Fills @tail for @segment, which is well-formed. */
static int tail_scan(struct dwal__planner *planner,
                     const struct dwal__found_segment *segment,
                     struct tail *tail) {
    struct dwal__disk *disk = planner->options->disk;
    const struct dwal__recovery *recovery = planner->recovery;
    bool end = segment->number == recovery->end.segment;
    *tail = (struct tail){.header = &segment->header,
                          .from = end ? recovery->end.offset
                                      : segment->header.block_size};
    const struct dwal__found_segment *last = dwal__plan_end(recovery);
    tail->witnessed = last != NULL && last->run_witness && last->run_covered;
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(segment->number, name);
    int handle =
        disk->ops->open(disk, planner->options->dir, name, DWAL__OPEN_READ);
    if (handle < 0)
        return dwal__error_set_at(planner->error, DWAL_EIO, -handle,
                                  segment->number, 0,
                                  "plan the repair: open %s", name);
    int result = tail_read(planner, handle, name, tail);
    disk->ops->close(disk, handle);
    return result;
}

int dwal__plan_tail(struct dwal__planner *planner,
                    const struct dwal__found_segment *segment) {
    struct tail tail;
    int code = tail_scan(planner, segment, &tail);
    if (code != 0 || !tail.found)
        return code;
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(segment->number, name);
    struct dwal__repair_step *step =
        dwal__plan_add(planner, DWAL__REPAIR_WIPE, name);
    if (step == NULL)
        return DWAL_ENOMEM;
    step->segment = segment->number;
    step->header = segment->header;
    step->from = tail.from;
    step->to = tail.to;
    step->bytes = tail.to - tail.from;
    planner->plan->lost_records += tail.records;
    planner->plan->wiped_bytes += step->bytes;
    return 0;
}

int dwal__plan_tail_empty(struct dwal__planner *planner,
                          const struct dwal__found_segment *segment,
                          bool *empty) {
    struct tail tail;
    int code = tail_scan(planner, segment, &tail);
    *empty = code == 0 && !tail.found;
    return code;
}

int dwal__plan_tails(struct dwal__planner *planner) {
    const struct dwal__recovery *recovery = planner->recovery;
    struct dwal__repair_plan *plan = planner->plan;
    plan->kind = DWAL__REPAIR_TAIL;
    plan->lost_from = recovery->undecidable ? recovery->undecidable_from : 1;
    plan->lost_to = recovery->undecidable ? recovery->undecidable_to : 0;
    for (size_t i = recovery->segment_count; i-- > 0;) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->number < recovery->end.segment)
            break;
        int code = dwal__plan_tail(planner, segment);
        if (code != 0)
            return code;
    }
    return 0;
}
