/* SPDX-License-Identifier: MIT */
/*
 * Scanning one segment. Two invariants: a batch counts as part of the run only
 * after every rule of SPEC 5.3 was checked on the bytes as they were read; and
 * evidence is taken from every header that is readable, whatever became of the
 * rest of its batch.
 */
#include "scan.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "../format/flip.h"

/* The walk along a segment: where the next batch should stand, and what it
 * should follow. */
struct run {
    struct dwal__feed *feed;
    struct dwal__found_segment *segment;
    uint64_t offset;
    uint32_t link;
    uint64_t next_lsn; /* 0: what the start in the first batch says */
};

/* What stands there. */
struct look {
    enum dwal__fault fault; /* of the header */
    struct dwal__batch_header header;
    struct dwal__batch_fault
        where; /* of the batch, if the header is readable */
    struct dwal__batch_summary summary;
    uint64_t size; /* with the padding */
};

static struct run run_begin(struct dwal__feed *feed,
                            struct dwal__found_segment *segment) {
    return (struct run){.feed = feed,
                        .segment = segment,
                        .offset = segment->header.block_size,
                        .link = segment->header.crc};
}

static bool look_valid(const struct look *look) {
    return look->fault == DWAL__FAULT_NONE &&
           look->where.fault == DWAL__FAULT_NONE;
}

/* The rules of SPEC 5.3 that need to know what came before. */
static enum dwal__fault place_check(const struct run *run,
                                    const struct dwal__batch_header *header) {
    if (header->link != run->link)
        return DWAL__FAULT_LINK;
    if (run->next_lsn != 0 && header->first_lsn != run->next_lsn)
        return DWAL__FAULT_LSN;
    return DWAL__FAULT_NONE;
}

/* The batch whose header was just found readable. */
static int batch_look(const struct run *run, struct look *look) {
    uint32_t block_size = run->segment->header.block_size;
    look->size = dwal__align_up(look->header.size, block_size);
    look->where.offset = run->offset;
    look->where.fault = place_check(run, &look->header);
    if (look->where.fault != DWAL__FAULT_NONE)
        return 0;
    uint8_t *bytes;
    int error =
        dwal__feed_get(run->feed, run->offset, (size_t)look->size, &bytes);
    if (error != 0)
        return error;
    look->where.fault = dwal__batch_check(bytes, &look->header, block_size,
                                          &look->summary, &look->where);
    bool checked = look->where.fault == DWAL__FAULT_NONE ||
                   look->where.fault == DWAL__FAULT_VERSION;
    if (checked && run->next_lsn == 0 &&
        !dwal__start_fits(&look->summary.start, look->header.first_lsn))
        look->where = (struct dwal__batch_fault){.fault = DWAL__FAULT_LSN,
                                                 .offset = run->offset};
    return 0;
}

static int header_look(const struct run *run, struct look *look) {
    const struct dwal__segment_header *header = &run->segment->header;
    memset(look, 0, sizeof *look);
    look->fault = DWAL__FAULT_SHORT;
    if (run->offset == header->segment_size)
        return 0;
    uint8_t *block;
    int error =
        dwal__feed_get(run->feed, run->offset, header->block_size, &block);
    if (error == 0)
        look->fault = dwal__batch_header_decode(
            block, header->block_size, header, run->offset, &look->header);
    return error;
}

static int run_look(const struct run *run, struct look *look) {
    int error = header_look(run, look);
    if (error != 0 || look->fault != DWAL__FAULT_NONE)
        return error;
    return batch_look(run, look);
}

static void run_advance(struct run *run, const struct look *look) {
    run->offset += look->size;
    run->link = look->header.crc;
    run->next_lsn = look->header.first_lsn + look->header.lsn_count;
}

/* ---- the header and the first batch ---- */

static void first_batch_take(struct dwal__found_segment *segment,
                             const struct look *look) {
    segment->started = look_valid(look);
    if (!segment->started)
        return;
    segment->start = look->summary.start;
    segment->start.metadata = NULL;
    segment->first_lsn = dwal__start_first_lsn(&segment->start);
    segment->found_lsn = look->header.first_lsn;
    segment->first_watermark = look->header.watermark;
    segment->first_sealed_ns = look->header.sealed_ns;
}

/* The largest start record, and the batch header before it. */
#define START_END                                                              \
    (DWAL__BATCH_HEADER_SIZE + DWAL__RECORD_HEADER_SIZE + DWAL__START_SIZE_MAX)

/* Of the first batch the header and the start, each of which has a CRC. A batch
 * may be long, and the log has many segments: the rest is read by who scans the
 * segment, or relies on what it holds. */
static int start_look(const struct run *run, struct look *look) {
    int error = header_look(run, look);
    if (error != 0 || look->fault != DWAL__FAULT_NONE)
        return error;
    uint64_t size =
        look->header.size < START_END ? look->header.size : (uint64_t)START_END;
    uint8_t *bytes;
    struct dwal__record record;
    size_t room;
    look->where.offset = run->offset;
    error = dwal__feed_get(run->feed, run->offset, (size_t)size, &bytes);
    if (error != 0)
        return error;
    enum dwal__fault fault = place_check(run, &look->header);
    if (fault == DWAL__FAULT_NONE)
        fault = dwal__record_decode(bytes + DWAL__BATCH_HEADER_SIZE,
                                    (size_t)size - DWAL__BATCH_HEADER_SIZE,
                                    look->header.salt, &record, &room);
    if (fault == DWAL__FAULT_NONE &&
        (record.lsn != 0 || record.type != DWAL__SYSTEM_START))
        fault = DWAL__FAULT_FIELD;
    if (fault == DWAL__FAULT_NONE)
        fault =
            dwal__start_decode(record.data, record.size, &look->summary.start);
    if (fault == DWAL__FAULT_NONE &&
        !dwal__start_fits(&look->summary.start, look->header.first_lsn))
        fault = DWAL__FAULT_LSN;
    look->where.fault = fault;
    return 0;
}

/* SPEC 4.2 [header-valid], what is not in the header's own bytes. */
static enum dwal__fault header_check(const struct dwal__found_segment *segment,
                                     const struct dwal__uuid *uuid,
                                     enum dwal__finding_kind *kind) {
    const struct dwal__segment_header *header = &segment->header;
    *kind = DWAL__FINDING_HEADER_NUMBER;
    if (header->number != segment->number)
        return DWAL__FAULT_PLACE;
    *kind = DWAL__FINDING_HEADER_UUID;
    if (uuid != NULL && memcmp(uuid, &header->uuid, sizeof *uuid) != 0)
        return DWAL__FAULT_PLACE;
    *kind = DWAL__FINDING_FILE_SIZE; /* [size-exact] */
    if (segment->file_size < header->segment_size)
        return DWAL__FAULT_SHORT;
    if (segment->file_size > header->segment_size)
        return DWAL__FAULT_FIELD;
    return DWAL__FAULT_NONE;
}

static int header_load(struct dwal__feed *feed,
                       struct dwal__found_segment *segment,
                       const struct dwal__uuid *uuid,
                       enum dwal__finding_kind *kind) {
    struct dwal__segment_header *header = &segment->header;
    *kind = DWAL__FINDING_HEADER_BAD;
    segment->file_size = feed->file_size;
    segment->fault = DWAL__FAULT_SHORT;
    if (feed->file_size < DWAL__SEGMENT_HEADER_SIZE)
        return 0;
    uint8_t *bytes;
    int error = dwal__feed_get(feed, 0, DWAL__SEGMENT_HEADER_SIZE, &bytes);
    if (error != 0)
        return error;
    segment->fault =
        dwal__segment_header_decode(bytes, DWAL__SEGMENT_HEADER_SIZE, header);
    if (segment->fault == DWAL__FAULT_NONE)
        segment->fault = header_check(segment, uuid, kind);
    if (segment->fault != DWAL__FAULT_NONE)
        return 0;
    error = dwal__feed_get(feed, 0, header->block_size, &bytes);
    if (error != 0)
        return error;
    *kind = DWAL__FINDING_HEADER_BAD;
    if (!dwal__segment_padding_check(bytes, header))
        segment->fault = DWAL__FAULT_PADDING;
    segment->well_formed = segment->fault == DWAL__FAULT_NONE;
    return 0;
}

int dwal__segment_load(struct dwal__feed *feed,
                       struct dwal__found_segment *segment,
                       const struct dwal__uuid *uuid,
                       enum dwal__finding_kind *kind, uint64_t *offset) {
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(segment->number, name);
    int error = dwal__feed_open(feed, name);
    if (error == 0)
        error = header_load(feed, segment, uuid, kind);
    if (error == 0 && segment->well_formed) {
        struct run run = run_begin(feed, segment);
        struct look look;
        error = start_look(&run, &look);
        if (error == 0)
            first_batch_take(segment, &look);
    }
    *offset = feed->bad_offset;
    dwal__feed_close(feed);
    return error;
}

/* ---- the run ---- */

void dwal__watermark_raise(struct dwal__watermark *evidence,
                           const struct dwal__watermark *other) {
    int order = dwal__position_compare(other->position, evidence->position);
    if (order > 0 || (order == 0 && other->lsn > evidence->lsn))
        *evidence = *other;
}

/* The blob of a start or of a metadata record. An empty one is the same as
 * none: a start cannot tell them apart (SPEC 6.1). */
static int metadata_take(struct dwal__found_segment *segment,
                         const uint8_t *bytes, uint32_t size) {
    if (size > 0 && segment->metadata == NULL) {
        segment->metadata = malloc(DWAL__METADATA_SIZE_MAX);
        if (segment->metadata == NULL)
            return -ENOMEM;
    }
    if (size > 0)
        memcpy(segment->metadata, bytes, size);
    segment->metadata_size = size;
    return 0;
}

static int summary_take(struct dwal__found_segment *segment,
                        const struct dwal__batch_summary *summary) {
    int error = 0;
    if (summary->started) {
        segment->trim_lsn = summary->start.trim_lsn;
        error = metadata_take(segment, summary->start.metadata,
                              summary->start.metadata_size);
    }
    if (summary->trim_lsn > segment->trim_lsn)
        segment->trim_lsn = summary->trim_lsn;
    if (error == 0 && summary->metadata != NULL)
        error =
            metadata_take(segment, summary->metadata, summary->metadata_size);
    return error;
}

/* The next batch of the run. */
static int run_take(struct run *run, const struct look *look,
                    struct dwal__watermark *evidence) {
    struct dwal__found_segment *segment = run->segment;
    const struct dwal__batch_header *header = &look->header;
    if (segment->run_batches == 0)
        first_batch_take(segment, look);
    int error = summary_take(segment, &look->summary);
    if (error != 0)
        return error;
    dwal__watermark_raise(evidence, &header->watermark);
    struct dwal__position own = {header->segment, header->offset};
    segment->run_witness = look->summary.witness;
    segment->run_covered =
        dwal__position_compare(header->watermark.position, own) == 0;
    segment->run_closed = look->summary.closed;
    run_advance(run, look);
    segment->run_end = run->offset;
    segment->run_link = run->link;
    segment->run_lsn = run->next_lsn - 1;
    segment->run_batches++;
    segment->run_records += header->lsn_count;
    return 0;
}

/* SPEC 7.5: does the batch that was just taken fit the starts that name its
 * end? @names begins with those that were not asked yet. */
static void names_check(const struct run *run, const struct look *look,
                        struct dwal__found_segment *const **names,
                        struct dwal__found_segment *const *names_end) {
    uint64_t before = look->header.first_lsn - 1;
    uint64_t last = before + look->header.lsn_count;
    for (; *names < names_end; ++*names) {
        struct dwal__found_segment *follower = **names;
        const struct dwal__start *start = &follower->start;
        if (start->previous_end > run->offset)
            return;
        bool cut = (start->flags & DWAL__START_CUT) != 0;
        bool kept =
            cut ? before <= start->previous_lsn && start->previous_lsn <= last
                : start->previous_lsn == last;
        follower->fits = start->previous_end == run->offset &&
                         start->previous_link == look->header.crc && kept;
    }
}

/* What stands at the run's end, and whether one flipped bit explains it. */
static int run_end(const struct run *run, const struct look *look) {
    struct dwal__found_segment *segment = run->segment;
    segment->end_fault = look->fault;
    segment->end_batch = look->where;
    segment->end_newer = look->fault == DWAL__FAULT_VERSION ||
                         look->where.fault == DWAL__FAULT_VERSION;
    if (look->fault != DWAL__FAULT_NONE && look->fault != DWAL__FAULT_CRC &&
        look->fault != DWAL__FAULT_MAGIC)
        return 0;
    struct dwal__flip_place place = {.segment = &segment->header,
                                     .offset = run->offset,
                                     .link = run->link,
                                     .first_lsn = run->next_lsn};
    uint8_t *bytes;
    int error = dwal__feed_get(run->feed, run->offset,
                               segment->header.block_size, &bytes);
    uint64_t extent = error == 0 ? dwal__flip_extent(bytes, &place) : 0;
    if (extent == 0)
        return error;
    error = dwal__feed_get(run->feed, run->offset, (size_t)extent, &bytes);
    struct dwal__flip flip;
    if (error == 0 && dwal__flip_find(bytes, &place, &flip)) {
        segment->flipped = true;
        segment->flipped_offset = flip.offset;
        segment->flipped_bit = flip.bit;
    }
    return error;
}

/* ---- behind the run ---- */

/* SPEC 7.3: every block boundary from the run's end to that of the file. The
 * magic alone settles nearly all of them, so zeros cost next to nothing. */
static int behind_scan(struct run *run, struct dwal__watermark *evidence) {
    struct dwal__found_segment *segment = run->segment;
    const struct dwal__segment_header *header = &segment->header;
    for (; run->offset < header->segment_size;
         run->offset += header->block_size) {
        uint8_t *bytes;
        struct dwal__batch_header found;
        int error = dwal__feed_get(run->feed, run->offset,
                                   DWAL__BATCH_HEADER_SIZE, &bytes);
        if (error != 0)
            return error;
        enum dwal__fault fault = dwal__batch_header_decode(
            bytes, DWAL__BATCH_HEADER_SIZE, header, run->offset, &found);
        if (fault != DWAL__FAULT_NONE && fault != DWAL__FAULT_VERSION)
            continue;
        if (fault == DWAL__FAULT_NONE)
            dwal__watermark_raise(evidence, &found.watermark);
        if (!segment->left_over)
            segment->left_over_offset = run->offset;
        segment->left_over = true;
        uint64_t last = found.first_lsn - 1 + found.lsn_count;
        if (last > segment->left_over_lsn)
            segment->left_over_lsn = last;
    }
    return 0;
}

/* ---- all of a segment ---- */

/* Opens a segment that was loaded before. @name stays valid until the close. */
static int segment_open(struct dwal__feed *feed,
                        const struct dwal__found_segment *segment,
                        char name[DWAL__NAME_SIZE]) {
    dwal__segment_name(segment->number, name);
    int error = dwal__feed_open(feed, name);
    if (error == 0 && feed->file_size != segment->header.segment_size)
        error = -EIO; /* it has changed under us */
    if (error == 0)
        dwal__feed_expect(feed, feed->file_size, true);
    return error;
}

/* SPEC 7.3 [close-last]: behind a close nothing is ever written, nor in other
 * segments of its epoch. What stands at the run's end must not contradict. */
static bool nothing_behind(const struct run *run, const struct look *look,
                           bool unwritten) {
    const struct dwal__found_segment *segment = run->segment;
    bool over = segment->run_batches > 0 ? segment->run_closed : unwritten;
    return over && (look->fault == DWAL__FAULT_ZERO ||
                    look->fault == DWAL__FAULT_STALE ||
                    look->fault == DWAL__FAULT_FOREIGN);
}

static int segment_walk(struct run *run, const struct dwal__scan *scan,
                        struct dwal__watermark *evidence) {
    struct dwal__found_segment *const *names = scan->names;
    struct dwal__found_segment *const *names_end = names + scan->name_count;
    for (;;) {
        struct look look;
        int error = run_look(run, &look);
        if (error != 0)
            return error;
        if (!look_valid(&look)) {
            error = run_end(run, &look);
            /* SPEC 11, lemma: what is behind cannot raise it any more, and
             * with evidence beyond, the tail of this one decides nothing. */
            bool enough = nothing_behind(run, &look, scan->unwritten) ||
                          (!scan->whole &&
                           evidence->position.segment > run->segment->number);
            return error != 0 || enough ? error : behind_scan(run, evidence);
        }
        error = run_take(run, &look, evidence);
        if (error != 0)
            return error;
        names_check(run, &look, &names, names_end);
    }
}

int dwal__segment_scan(struct dwal__feed *feed,
                       struct dwal__found_segment *segment,
                       const struct dwal__scan *scan,
                       struct dwal__watermark *evidence, uint64_t *offset) {
    assert(segment->well_formed && !segment->scanned);
    struct run run = run_begin(feed, segment);
    segment->started = false;
    segment->run_end = run.offset;
    segment->run_link = run.link;
    char name[DWAL__NAME_SIZE];
    int error = segment_open(feed, segment, name);
    if (error == 0)
        error = segment_walk(&run, scan, evidence);
    dwal__feed_close(feed);
    *offset = feed->bad_offset;
    if (error != 0)
        return error;
    for (size_t i = 0; i < scan->name_count; i++)
        scan->names[i]->fits_known = true;
    segment->scanned = true;
    return 0;
}

int dwal__segment_trace(struct dwal__feed *feed,
                        const struct dwal__found_segment *segment, bool *found,
                        uint64_t *offset) {
    const struct dwal__segment_header *header = &segment->header;
    char name[DWAL__NAME_SIZE];
    uint64_t at = header->block_size;
    int error = segment_open(feed, segment, name);
    while (error == 0 && !*found && at < header->segment_size) {
        uint8_t *bytes;
        struct dwal__batch_header batch;
        error = dwal__feed_get(feed, at, header->block_size, &bytes);
        if (error != 0)
            break;
        enum dwal__fault fault = dwal__batch_header_decode(
            bytes, header->block_size, header, at, &batch);
        *found = fault == DWAL__FAULT_NONE || fault == DWAL__FAULT_VERSION ||
                 dwal__head_damaged(fault);
        at += header->block_size;
    }
    *offset = feed->bad_offset;
    dwal__feed_close(feed);
    return error;
}

bool dwal__head_damaged(enum dwal__fault fault) {
    return fault == DWAL__FAULT_MAGIC || fault == DWAL__FAULT_CRC ||
           fault == DWAL__FAULT_PLACE || fault == DWAL__FAULT_RESERVED ||
           fault == DWAL__FAULT_FIELD;
}
