/* SPDX-License-Identifier: MIT */
/*
 * From one batch to the next. The invariant: a batch is opened for delivery
 * only after all of it, its link to the one before, and its fit to the segment
 * that follows were checked, and called damaged only after it was read again
 * from a segment that still is one.
 */
#include <stdio.h>

#include "../format/bytes.h"
#include "reader_parts.h"

/* ---- damage ---- */

/* Where the records that can be read again begin: sets *@lsn to the first of
 * them in @segment behind @offset, to last_lsn + 1 if there is none. */
static int damage_end(struct dwal__reader *reader,
                      const struct dwal__lineage_segment *segment,
                      uint64_t offset, struct dwal__batch_header *header,
                      uint64_t *lsn, struct dwal_error *error) {
    uint64_t block_size = segment->header.block_size;
    *lsn = segment->last_lsn + 1;
    for (offset += block_size; offset < segment->end;
         offset = header->offset + block_size) {
        bool found;
        int code = dwal__window_search(reader->window, offset, segment->end,
                                       &found, header, error);
        if (code != DWAL_OK || !found)
            return code;
        if (header->first_lsn < reader->place.expected.first_lsn ||
            header->first_lsn > *lsn)
            continue; /* readable, but not of the run */
        *lsn = header->first_lsn;
        return DWAL_OK;
    }
    return DWAL_OK;
}

static int damage_report(struct dwal__reader *reader,
                         const struct dwal__batch_fault *where,
                         uint64_t lost_to, struct dwal_error *error) {
    struct dwal__reader_damage *damage = &reader->damage;
    uint64_t offset = reader->place.offset;
    uint64_t first_lsn = reader->bound.first_lsn;
    damage->place.segment = reader->place.segment;
    damage->place.offset = where->offset;
    damage->lost_from = reader->place.expected.first_lsn;
    if (damage->lost_from < first_lsn)
        damage->lost_from = first_lsn;
    damage->lost_to = lost_to;
    damage->passable = lost_to < reader->bound.mark.lsn ||
                       reader->bound.mode != DWAL__BOUND_RECOVERED;
    damage->stated = false;
    char record[64] = "", lost[96];
    if (where->in_record)
        snprintf(record, sizeof record, ", in record %u at offset %llu",
                 where->record, (unsigned long long)(where->offset));
    if (damage->lost_from > lost_to)
        snprintf(lost, sizeof lost, "it holds system records only");
    else if (damage->lost_from == lost_to)
        snprintf(lost, sizeof lost, "LSN %llu cannot be read",
                 (unsigned long long)(lost_to));
    else
        snprintf(lost, sizeof lost, "LSNs %llu to %llu cannot be read",
                 (unsigned long long)(damage->lost_from),
                 (unsigned long long)(lost_to));
    return dwal__error_set_at(
        error, DWAL_ECORRUPT, 0, reader->place.segment, where->offset,
        "%s: the batch at offset %llu is damaged: %s%s; %s; run walfsck",
        reader->window->name, (unsigned long long)(offset),
        dwal__fault_text(where->fault), record, lost);
}

/* The batch at the place is damaged for good. A reader that is on its way to a
 * later record goes on behind the damage; for others this is the end. */
static int batch_damaged(struct dwal__reader *reader,
                         const struct dwal__lineage_segment *segment,
                         const struct dwal__batch_fault *where,
                         bool header_good, struct dwal_error *error) {
    struct dwal__reader_place *place = &reader->place;
    if (where->fault == DWAL__FAULT_VERSION)
        return dwal__error_set_at(
            error, DWAL_EVERSION, 0, place->segment, where->offset,
            "%s: offset %llu: %s; use a newer dwal", reader->window->name,
            (unsigned long long)(where->offset),
            dwal__fault_text(where->fault));
    struct dwal__batch_header header;
    uint64_t next_lsn = 0;
    reader->behind = *place;
    if (header_good) {
        const struct dwal__batch_header *own = &reader->batch.header;
        next_lsn = own->first_lsn + own->lsn_count;
        dwal__reader_place_pass(
            reader, &reader->behind, own,
            place->offset +
                dwal__align_up(own->size, segment->header.block_size));
    } else {
        int code = damage_end(reader, segment, place->offset, &header,
                              &next_lsn, error);
        if (code != DWAL_OK)
            return code;
        bool found = next_lsn <= segment->last_lsn;
        reader->behind.offset = found ? header.offset : segment->end;
        reader->behind.expected.link_known = false;
        reader->behind.expected.first_lsn = next_lsn;
        if (next_lsn <= reader->wanted) {
            *place = reader->behind;
            return DWAL_OK;
        }
    }
    if (next_lsn > segment->last_lsn + 1)
        next_lsn = segment->last_lsn + 1;
    return damage_report(reader, where, next_lsn - 1, error);
}

/* ---- what the log says is lost ---- */

/* At the first batch of a segment whose start says that LSNs before it are
 * lost (SPEC 6.1). Who wants one of them is told so, and may pass; who does not
 * goes on with the first that is there. */
static int hole_check(struct dwal__reader *reader,
                      const struct dwal__lineage_segment *segment,
                      struct dwal_error *error) {
    struct dwal__reader_place *place = &reader->place;
    uint64_t found_lsn = segment->found_lsn;
    if (place->offset != segment->header.block_size ||
        place->expected.first_lsn >= found_lsn)
        return DWAL_OK;
    struct dwal__reader_place behind = *place;
    behind.expected.first_lsn = found_lsn;
    if (reader->wanted >= found_lsn) {
        *place = behind;
        return DWAL_OK;
    }
    uint64_t from = place->expected.first_lsn;
    if (from < reader->bound.first_lsn)
        from = reader->bound.first_lsn;
    reader->behind = behind;
    reader->damage =
        (struct dwal__reader_damage){.place = {place->segment, place->offset},
                                     .lost_from = from,
                                     .lost_to = found_lsn - 1,
                                     .passable = true,
                                     .stated = true};
    return dwal__error_set_at(
        error, DWAL_ECORRUPT, 0, place->segment, place->offset,
        "%s: LSNs %llu to %llu are lost: the log was salvaged without them; go "
        "on with LSN %llu",
        reader->window->name, (unsigned long long)from,
        (unsigned long long)(found_lsn - 1), (unsigned long long)found_lsn);
}

/* ---- batches ---- */

/* What SPEC 7.5 wants of a batch beyond its own validity: it ends inside what
 * is kept, and the last one is that which the next start names. */
static enum dwal__fault batch_fit(const struct dwal__reader *reader,
                                  const struct dwal__lineage_segment *segment,
                                  const struct dwal__batch_header *header,
                                  uint64_t end) {
    const struct dwal__lineage_segment *next =
        dwal__reader_segment_next(reader, segment);
    if (end > segment->end)
        return DWAL__FAULT_PLACE;
    if (end < segment->end || next == NULL)
        return DWAL__FAULT_NONE;
    uint64_t behind = header->first_lsn + header->lsn_count;
    uint64_t kept = next->start.previous_lsn;
    if (header->crc != next->start.previous_link)
        return DWAL__FAULT_LINK;
    bool cut = (next->start.flags & DWAL__START_CUT) != 0;
    bool fits = cut ? kept + 1 >= header->first_lsn && kept < behind
                    : kept + 1 == behind;
    return fits ? DWAL__FAULT_NONE : DWAL__FAULT_LSN;
}

/* On the way to the wanted record: passes a batch by that lies wholly before
 * it, by its header alone. Sets *@passed. */
static int batch_pass(struct dwal__reader *reader,
                      const struct dwal__lineage_segment *segment, bool *passed,
                      struct dwal_error *error) {
    struct dwal__reader_place *place = &reader->place;
    const struct dwal__expected *expected = &place->expected;
    struct dwal__batch_header header;
    enum dwal__fault fault;
    *passed = false;
    if (expected->first_lsn >= reader->wanted)
        return DWAL_OK;
    int code = dwal__window_header(reader->window, place->offset, &header,
                                   &fault, error);
    if (code != DWAL_OK || fault != DWAL__FAULT_NONE ||
        (expected->link_known && header.link != expected->link) ||
        header.first_lsn != expected->first_lsn)
        return code;
    uint64_t behind = header.first_lsn + header.lsn_count;
    uint64_t end =
        place->offset + dwal__align_up(header.size, segment->header.block_size);
    /* System records right before the wanted one are wanted, too. */
    if (behind > reader->wanted ||
        (behind == reader->wanted && reader->system) ||
        batch_fit(reader, segment, &header, end) != DWAL__FAULT_NONE)
        return DWAL_OK;
    dwal__reader_place_pass(reader, place, &header, end);
    *passed = true;
    return DWAL_OK;
}

static void batch_open(struct dwal__reader *reader,
                       const struct dwal__lineage_segment *segment) {
    const struct dwal__window_batch *batch = &reader->batch;
    const struct dwal__batch_summary *summary = &batch->summary;
    reader->open = true;
    reader->guessed = false;
    reader->keep_lsn = segment->last_lsn;
    reader->record_at = DWAL__BATCH_HEADER_SIZE;
    reader->record_index = 0;
    reader->record_lsn = batch->header.first_lsn;
    dwal__reader_place_pass(reader, &reader->place, &batch->header, batch->end);
    if (reader->bound.mode == DWAL__BOUND_LIVE &&
        summary->trim_lsn >= reader->bound.first_lsn)
        reader->bound.first_lsn = summary->trim_lsn + 1;
}

/*
 * Takes the batch at the place: passes it by, or opens it for delivery. What is
 * not valid is read again before it is called damaged, and the segment is asked
 * whether it is still one, after each read: what is in memory may be older than
 * the proof of the end, and the file may be used again (SPEC 12).
 */
int dwal__reader_step(struct dwal__reader *reader,
                      const struct dwal__lineage_segment *segment,
                      struct dwal_error *error) {
    struct dwal__window *window = reader->window;
    struct dwal__window_batch *batch = &reader->batch;
    struct dwal__batch_fault where;
    bool header_good = false;
    int code = hole_check(reader, segment, error);
    if (code != DWAL_OK)
        return code;
    if (reader->sparse && reader->guessed)
        dwal__window_sparse(window);
    else
        dwal__window_expect(window, segment->end, reader->onward);
    for (int attempt = 0; attempt < 2; attempt++) {
        bool passed;
        code = batch_pass(reader, segment, &passed, error);
        if (code != DWAL_OK || passed)
            return code;
        code = dwal__window_batch(window, reader->place.offset,
                                  &reader->place.expected, batch, &where,
                                  &header_good, error);
        if (code != DWAL_OK)
            return code;
        header_good &=
            where.fault != DWAL__FAULT_LINK && where.fault != DWAL__FAULT_LSN;
        if (where.fault == DWAL__FAULT_NONE)
            where.fault =
                batch_fit(reader, segment, &batch->header, batch->end);
        if (where.fault == DWAL__FAULT_NONE) {
            batch_open(reader, segment);
            return DWAL_OK;
        }
        int retired = dwal__window_retired(window, error);
        if (retired != 0)
            return retired == 1 ? dwal__reader_place_lost(reader, error)
                                : retired;
    }
    if (reader->guessed) {
        reader->guessed = false;
        reader->place = dwal__reader_place_first(segment);
        return DWAL_OK;
    }
    return batch_damaged(reader, segment, &where, header_good, error);
}

/* ---- damage elsewhere ---- */

void dwal__reader_segment_damaged(struct dwal__reader *reader,
                                  const struct dwal__lineage_segment *segment) {
    struct dwal__reader_damage *damage = &reader->damage;
    damage->place = (struct dwal__position){reader->place.segment, 0};
    damage->lost_from = reader->place.expected.first_lsn;
    damage->lost_to = segment->last_lsn;
    damage->stated = false;
    reader->behind = reader->place;
    reader->behind.offset = segment->end;
    damage->passable = segment->last_lsn < reader->bound.mark.lsn ||
                       reader->bound.mode != DWAL__BOUND_RECOVERED;
}

void dwal__reader_end_damaged(struct dwal__reader *reader,
                              const struct dwal_error *error) {
    const struct dwal__bound *bound = &reader->bound;
    struct dwal__reader_damage *damage = &reader->damage;
    *damage = (struct dwal__reader_damage){
        .place = {error->segment, error->offset}, .lost_from = 1};
    if (bound->mode == DWAL__BOUND_RECOVERED) {
        damage->place = bound->recovery.damage;
        damage->lost_from = bound->recovery.lost_from;
        damage->lost_to = bound->recovery.lost_to;
    }
}

void dwal__reader_lineage_damaged(struct dwal__reader *reader) {
    const struct dwal_error *why = &reader->lineage_error;
    struct dwal__reader_damage *damage = &reader->damage;
    *damage = (struct dwal__reader_damage){.place = {why->segment, why->offset},
                                           .lost_from = 1};
    if (reader->lineage.count == 0)
        return;
    damage->lost_from = reader->bound.first_lsn;
    damage->lost_to = reader->lineage.segments[0].first_lsn - 1;
    damage->passable = true;
}
