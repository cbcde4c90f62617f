/* SPDX-License-Identifier: MIT */
/*
 * The reader: batch by batch along the lineage, record by record inside a
 * batch. Invariants: nothing of a batch is delivered before all of it, and its
 * link to the one before, was checked; nothing beyond bound.mark is delivered;
 * a place is left only for the one right behind it, or by a seek.
 */
#include "reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "bound.h"

/* A segment of the lineage may be retired between two looks; so often in a row
 * only if it is missing. */
#define LINEAGE_TRIES 8

/* Where the next batch stands. */
struct place {
    uint64_t segment; /* number; 0: the log has no batch yet */
    uint64_t offset;
    struct dwal__expected expected; /* of the batch there */
};

struct dwal__reader {
    struct dwal__bound bound;
    struct dwal__lineage lineage;
    struct dwal_error lineage_error; /* code 0, or why it reaches not down */
    bool lineage_new;                /* @place was not looked up in it yet */
    struct dwal__window window;      /* on the segment of @place */
    bool system;

    struct place place;
    uint64_t wanted;         /* the next LSN to deliver */
    uint64_t shown;          /* the last delivered since the seek; 0: none */
    bool from_first;         /* sought the first one, whichever it is */
    struct dwal_error stuck; /* code 0, or what is said until a seek */
    struct dwal__reader_damage damage;

    /* The batch that is being delivered. */
    bool open;
    struct dwal__window_batch batch;
    uint64_t keep_lsn; /* what comes behind it in this batch is hidden */
    size_t record_at;  /* where the next record begins in the batch */
    uint32_t record_index;
    uint64_t record_lsn; /* that of the next application record */
};

/* ---- the lineage ---- */

static const struct dwal__lineage_segment *
segment_at(const struct dwal__reader *reader, uint64_t number) {
    const struct dwal__lineage *lineage = &reader->lineage;
    size_t index = dwal__lineage_by_number(lineage, number);
    if (index == lineage->count ||
        lineage->segments[index].header.number != number)
        return NULL;
    return &lineage->segments[index];
}

/* The segment behind @segment, NULL if the log ends in this one. */
static const struct dwal__lineage_segment *
segment_next(const struct dwal__reader *reader,
             const struct dwal__lineage_segment *segment) {
    const struct dwal__lineage *lineage = &reader->lineage;
    size_t index = (size_t)(segment - lineage->segments) + 1;
    return index < lineage->count ? &lineage->segments[index] : NULL;
}

/* The common case: the end moved on in the last segment. */
static bool lineage_extend(struct dwal__reader *reader) {
    struct dwal__lineage *lineage = &reader->lineage;
    const struct dwal__watermark *mark = &reader->bound.mark;
    if (lineage->count == 0 || reader->lineage_error.code != DWAL_OK)
        return false;
    struct dwal__lineage_segment *last = &lineage->segments[lineage->count - 1];
    if (last->header.number != mark->position.segment ||
        last->end > mark->position.offset || last->last_lsn > mark->lsn)
        return false;
    last->end = mark->position.offset;
    last->last_lsn = mark->lsn;
    return true;
}

/* In a live log a segment may be gone although no watermark proves yet the trim
 * that it went with: then the log begins behind it. */
static int lineage_trimmed(struct dwal__reader *reader, bool *trimmed,
                           struct dwal_error *error) {
    *trimmed = false;
    if (reader->bound.mode != DWAL__BOUND_LIVE || reader->lineage.count == 0)
        return DWAL_OK;
    const struct dwal__lineage_segment *lowest = reader->lineage.segments;
    uint64_t seen;
    int code = dwal__bound_trim_seen(&reader->bound, &seen, error);
    if (code == DWAL_OK && lowest->start.previous_lsn <= seen) {
        reader->bound.first_lsn = lowest->first_lsn;
        *trimmed = true;
    }
    return code;
}

/*
 * Brings the lineage up to the bound. A part of it that cannot be read stays
 * for those who want it: lineage_error. DWAL_OK, or the codes of a survey, or
 * what is wrong with the end itself.
 */
static int lineage_refresh(struct dwal__reader *reader,
                           struct dwal_error *error) {
    struct dwal__bound *bound = &reader->bound;
    struct dwal_error *why = &reader->lineage_error;
    if (lineage_extend(reader))
        return DWAL_OK;
    reader->lineage_new = true;
    int code = DWAL_ENOENT;
    for (int i = 0; code == DWAL_ENOENT && i < LINEAGE_TRIES; i++) {
        code =
            dwal__lineage_build(&reader->lineage, &bound->window, &bound->uuid,
                                &bound->mark, bound->first_lsn, why);
        if (code != DWAL_ENOENT)
            break;
        bool trimmed;
        int found = lineage_trimmed(reader, &trimmed, error);
        if (found == DWAL_OK && trimmed)
            code = DWAL_OK;
        else if (found == DWAL_OK)
            found = dwal__bound_survey(bound, error);
        if (found != DWAL_OK)
            return found;
    }
    if (code == DWAL_ENOENT)
        code = why->code = DWAL_ECORRUPT; /* not trimmed, so it is missing */
    if (code == DWAL_OK)
        why->code = DWAL_OK;
    if (code == DWAL_OK || (reader->lineage.count > 0 && code != DWAL_ENOMEM))
        return DWAL_OK;
    *error = *why;
    return code;
}

/* ---- places ---- */

static struct place place_first(const struct dwal__lineage_segment *segment) {
    return (struct place){.segment = segment->header.number,
                          .offset = segment->header.block_size,
                          .expected = {.link_known = true,
                                       .link = segment->header.crc,
                                       .lsn_known = true,
                                       .first_lsn = segment->first_lsn}};
}

/* The place from which @lsn is reached. System records that stand right before
 * it may be in an earlier segment. */
static int place_find(const struct dwal__reader *reader, uint64_t lsn,
                      struct place *place, struct dwal_error *error) {
    const struct dwal__lineage *lineage = &reader->lineage;
    if (reader->lineage_error.code != DWAL_OK &&
        (lineage->count == 0 || lsn < lineage->segments[0].first_lsn)) {
        *error = reader->lineage_error;
        return error->code;
    }
    size_t index =
        dwal__lineage_by_lsn(lineage, reader->system ? lsn - 1 : lsn);
    if (index == lineage->count && index > 0)
        index--; /* behind the end */
    if (lineage->count == 0)
        *place = (struct place){0};
    else
        *place = place_first(&lineage->segments[index]);
    return DWAL_OK;
}

static int place_trimmed(struct dwal__reader *reader,
                         struct dwal_error *error) {
    dwal__error_set(&reader->stuck, DWAL_ETRIMMED, 0,
                    "LSN %llu was trimmed; the log begins with LSN %llu",
                    (unsigned long long)reader->wanted,
                    (unsigned long long)reader->bound.first_lsn);
    *error = reader->stuck;
    return error->code;
}

static int place_cut(struct dwal__reader *reader, uint64_t last_lsn,
                     struct dwal_error *error) {
    dwal__error_set(&reader->stuck, DWAL_ECUT, 0,
                    "the log was cut behind LSN %llu; LSN %llu had been read",
                    (unsigned long long)last_lsn,
                    (unsigned long long)reader->shown);
    *error = reader->stuck;
    return error->code;
}

/* The lineage has changed: is the place still in the log, and if not, where do
 * its records stand now? */
static int place_restore(struct dwal__reader *reader,
                         struct dwal_error *error) {
    struct place *place = &reader->place;
    const struct dwal__bound *bound = &reader->bound;
    const struct dwal__lineage *lineage = &reader->lineage;
    if (reader->from_first && reader->shown == 0)
        reader->wanted = bound->first_lsn;
    if (reader->wanted < bound->first_lsn)
        return place_trimmed(reader, error);
    const struct dwal__lineage_segment *segment =
        segment_at(reader, place->segment);
    if (segment != NULL && place->offset <= segment->end &&
        reader->shown <= segment->last_lsn)
        return DWAL_OK;
    struct dwal__position here = {place->segment, place->offset};
    if (bound->mode == DWAL__BOUND_RECOVERED && bound->end_code != DWAL_END &&
        dwal__position_compare(here, bound->mark.position) > 0) {
        *error = bound->end_error; /* lost since it was shown */
        return bound->end_code;
    }
    size_t index = dwal__lineage_by_number(lineage, place->segment);
    if (index < lineage->count &&
        reader->shown > lineage->segments[index].last_lsn)
        return place_cut(reader, lineage->segments[index].last_lsn, error);
    return place_find(reader, reader->wanted, place, error);
}

/* The file of a segment of the lineage is gone: look afresh. */
static int place_lost(struct dwal__reader *reader, struct dwal_error *error) {
    dwal__window_close(&reader->window);
    dwal__lineage_clear(&reader->lineage);
    int code = dwal__bound_survey(&reader->bound, error);
    return code == DWAL_OK ? lineage_refresh(reader, error) : code;
}

/* ---- damage ---- */

static unsigned long long to_ull(uint64_t value) {
    return value;
}

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
        int code = dwal__window_search(&reader->window, offset, segment->end,
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
    char record[64] = "", lost[96];
    if (where->in_record)
        snprintf(record, sizeof record, ", in record %u at offset %llu",
                 where->record, to_ull(where->offset));
    if (damage->lost_from > lost_to)
        snprintf(lost, sizeof lost, "it holds system records only");
    else if (damage->lost_from == lost_to)
        snprintf(lost, sizeof lost, "LSN %llu cannot be read", to_ull(lost_to));
    else
        snprintf(lost, sizeof lost, "LSNs %llu to %llu cannot be read",
                 to_ull(damage->lost_from), to_ull(lost_to));
    return dwal__error_set_at(
        error, DWAL_ECORRUPT, 0, reader->place.segment, where->offset,
        "%s: the batch at offset %llu is damaged: %s%s; %s; run walfsck",
        reader->window.name, to_ull(offset), dwal__fault_text(where->fault),
        record, lost);
}

/* The batch at the place is damaged for good. A reader that is on its way to a
 * later record goes on behind the damage; for others this is the end. */
static int batch_damaged(struct dwal__reader *reader,
                         const struct dwal__lineage_segment *segment,
                         const struct dwal__batch_fault *where,
                         bool header_good, struct dwal_error *error) {
    struct place *place = &reader->place;
    if (where->fault == DWAL__FAULT_VERSION)
        return dwal__error_set_at(
            error, DWAL_EVERSION, 0, place->segment, where->offset,
            "%s: offset %llu: %s; use a newer dwal", reader->window.name,
            to_ull(where->offset), dwal__fault_text(where->fault));
    struct dwal__batch_header header;
    uint64_t next_lsn = 0;
    if (header_good) {
        const struct dwal__batch_header *own = &reader->batch.header;
        next_lsn = own->first_lsn + own->lsn_count;
    } else {
        int code = damage_end(reader, segment, place->offset, &header,
                              &next_lsn, error);
        if (code != DWAL_OK)
            return code;
        if (next_lsn <= reader->wanted) {
            bool found = next_lsn <= segment->last_lsn;
            place->offset = found ? header.offset : segment->end;
            place->expected.link_known = false;
            place->expected.first_lsn = next_lsn;
            return DWAL_OK;
        }
    }
    if (next_lsn > segment->last_lsn + 1)
        next_lsn = segment->last_lsn + 1;
    return damage_report(reader, where, next_lsn - 1, error);
}

/* ---- batches ---- */

/* What SPEC 7.5 wants of a batch beyond its own validity: it ends inside what
 * is kept, and the last one is that which the next start names. */
static enum dwal__fault batch_fit(const struct dwal__reader *reader,
                                  const struct dwal__lineage_segment *segment,
                                  const struct dwal__batch_header *header,
                                  uint64_t end) {
    const struct dwal__lineage_segment *next = segment_next(reader, segment);
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

static void place_pass(struct place *place,
                       const struct dwal__batch_header *header, uint64_t end) {
    place->offset = end;
    place->expected.link_known = true;
    place->expected.link = header->crc;
    place->expected.first_lsn = header->first_lsn + header->lsn_count;
}

/* On the way to the wanted record: passes a batch by that lies wholly before
 * it, by its header alone. Sets *@passed. */
static int batch_pass(struct dwal__reader *reader,
                      const struct dwal__lineage_segment *segment, bool *passed,
                      struct dwal_error *error) {
    struct place *place = &reader->place;
    const struct dwal__expected *expected = &place->expected;
    struct dwal__batch_header header;
    enum dwal__fault fault;
    *passed = false;
    if (expected->first_lsn >= reader->wanted)
        return DWAL_OK;
    int code = dwal__window_header(&reader->window, place->offset, &header,
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
    place_pass(place, &header, end);
    *passed = true;
    return DWAL_OK;
}

static void batch_open(struct dwal__reader *reader,
                       const struct dwal__lineage_segment *segment) {
    const struct dwal__window_batch *batch = &reader->batch;
    const struct dwal__batch_summary *summary = &batch->summary;
    reader->open = true;
    reader->keep_lsn = segment->last_lsn;
    reader->record_at = DWAL__BATCH_HEADER_SIZE;
    reader->record_index = 0;
    reader->record_lsn = batch->header.first_lsn;
    place_pass(&reader->place, &batch->header, batch->end);
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
static int batch_step(struct dwal__reader *reader,
                      const struct dwal__lineage_segment *segment,
                      struct dwal_error *error) {
    struct dwal__window *window = &reader->window;
    struct dwal__window_batch *batch = &reader->batch;
    struct dwal__batch_fault where;
    bool header_good = false;
    for (int attempt = 0; attempt < 2; attempt++) {
        bool passed;
        int code = batch_pass(reader, segment, &passed, error);
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
            return retired == 1 ? place_lost(reader, error) : retired;
    }
    return batch_damaged(reader, segment, &where, header_good, error);
}

/* The header of the segment at the place is damaged. */
static int segment_damaged(struct dwal__reader *reader,
                           const struct dwal__lineage_segment *segment) {
    struct dwal__reader_damage *damage = &reader->damage;
    damage->place = (struct dwal__position){reader->place.segment, 0};
    damage->lost_from = reader->place.expected.first_lsn;
    damage->lost_to = segment->last_lsn;
    damage->passable = segment->last_lsn < reader->bound.mark.lsn ||
                       reader->bound.mode != DWAL__BOUND_RECOVERED;
    return DWAL_ECORRUPT;
}

/* What lies behind the end is damaged. */
static void end_damaged(struct dwal__reader *reader,
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

/* The reader stands at the end: is there more? */
static int end_pass(struct dwal__reader *reader, struct dwal_error *error) {
    int code = dwal__bound_advance(&reader->bound, error);
    if (code == DWAL_OK)
        return lineage_refresh(reader, error);
    if (code == DWAL_ECORRUPT)
        end_damaged(reader, error);
    return code;
}

/* Goes on to the next batch that has something to deliver. */
static int batch_next(struct dwal__reader *reader, struct dwal_error *error) {
    while (!reader->open) {
        int code = DWAL_OK;
        if (reader->lineage_new)
            code = place_restore(reader, error);
        if (code != DWAL_OK)
            return code;
        reader->lineage_new = false;
        const struct dwal__lineage_segment *segment =
            segment_at(reader, reader->place.segment);
        const struct dwal__lineage_segment *next =
            segment != NULL ? segment_next(reader, segment) : NULL;
        if (segment == NULL ||
            (reader->place.offset >= segment->end && next == NULL)) {
            code = end_pass(reader, error);
        } else if (reader->place.offset >= segment->end) {
            reader->place = place_first(next);
        } else {
            code = dwal__window_open(&reader->window, segment->header.number,
                                     &reader->bound.uuid, error);
            if (code == DWAL_ECORRUPT)
                return segment_damaged(reader, segment);
            code = code == DWAL_OK       ? batch_step(reader, segment, error)
                   : code == DWAL_ENOENT ? place_lost(reader, error)
                                         : code;
        }
        if (code != DWAL_OK)
            return code;
    }
    return DWAL_OK;
}

/* ---- records ---- */

/* The next record of the open batch that is to be shown; closes the batch and
 * returns false if there is none. */
static bool record_next(struct dwal__reader *reader,
                        struct dwal__reader_item *item) {
    const struct dwal__window_batch *batch = &reader->batch;
    struct dwal__record *record = &item->record;
    while (reader->record_index < batch->header.record_count) {
        size_t at = reader->record_at;
        uint32_t index = reader->record_index++;
        dwal__record_load(batch->bytes + at, record);
        reader->record_at = at + dwal__record_room(record->size);
        if (record->lsn > reader->keep_lsn)
            break; /* cut off, and all behind it in this batch with it */
        bool application = record->lsn != 0;
        bool hidden = application ? record->lsn < reader->wanted
                                  : !reader->system ||
                                        reader->record_lsn < reader->wanted;
        if (application)
            reader->record_lsn = record->lsn + 1;
        if (hidden)
            continue;
        if (application) {
            reader->shown = record->lsn;
            reader->wanted = record->lsn + 1;
        }
        item->segment = batch->header.segment;
        item->batch_offset = batch->header.offset;
        item->offset = batch->header.offset + at;
        item->batch = batch->header;
        item->batch_index = index;
        return true;
    }
    reader->open = false;
    return false;
}

/* ---- the interface ---- */

int dwal__reader_next(struct dwal__reader *reader,
                      struct dwal__reader_item *item,
                      struct dwal_error *error) {
    struct dwal_error local;
    struct dwal__reader_item next;
    if (error == NULL)
        error = &local;
    if (reader->stuck.code != DWAL_OK) {
        *error = reader->stuck;
        return error->code;
    }
    while (!reader->open || !record_next(reader, &next)) {
        int code = batch_next(reader, error);
        if (code != DWAL_OK)
            return code;
    }
    *item = next;
    return DWAL_OK;
}

static void reader_set(struct dwal__reader *reader, const struct place *place,
                       uint64_t wanted) {
    reader->place = *place;
    reader->wanted = wanted;
    reader->from_first = false;
    reader->shown = 0;
    reader->open = false;
    reader->lineage_new = false;
    reader->stuck.code = DWAL_OK;
}

/* Sets the reader to @lsn in the lineage that it has. */
static int reader_place(struct dwal__reader *reader, uint64_t lsn,
                        struct dwal_error *error) {
    uint64_t first_lsn = reader->bound.first_lsn;
    uint64_t wanted = lsn != 0 ? lsn : first_lsn;
    if (wanted < first_lsn)
        return dwal__error_set(
            error, DWAL_ETRIMMED, 0,
            "LSN %llu was trimmed; the log begins with LSN %llu", to_ull(lsn),
            to_ull(first_lsn));
    struct place place;
    int code = place_find(reader, wanted, &place, error);
    if (code != DWAL_OK)
        return code;
    reader_set(reader, &place, wanted);
    reader->from_first = lsn == 0;
    return DWAL_OK;
}

int dwal__reader_seek_segment(struct dwal__reader *reader, uint64_t number,
                              struct dwal_error *error) {
    const struct dwal__lineage_segment *segment = segment_at(reader, number);
    uint64_t first_lsn = reader->bound.first_lsn;
    if (segment == NULL)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "segment %llu is not part of the log",
                               to_ull(number));
    struct place place = place_first(segment);
    reader_set(reader, &place,
               segment->first_lsn > first_lsn ? segment->first_lsn : first_lsn);
    return DWAL_OK;
}

int dwal__reader_seek(struct dwal__reader *reader, uint64_t lsn,
                      struct dwal_error *error) {
    struct dwal_error local;
    if (error == NULL)
        error = &local;
    int code = DWAL_OK;
    if (reader->bound.mode == DWAL__BOUND_INSIDE ||
        reader->stuck.code != DWAL_OK)
        code = dwal__bound_survey(&reader->bound, error);
    if (code == DWAL_OK)
        code = lineage_refresh(reader, error);
    return code == DWAL_OK ? reader_place(reader, lsn, error) : code;
}

int dwal__reader_open(const struct dwal__reader_options *options,
                      struct dwal__reader **reader, struct dwal_error *error) {
    struct dwal_error local;
    if (error == NULL)
        error = &local;
    struct dwal__reader *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, 0, "no memory for a reader");
    opened->system = options->system;
    dwal__window_init(&opened->window, options->disk, options->dir);
    int code = dwal__bound_open(&opened->bound, options, error);
    if (code == DWAL_OK)
        code = lineage_refresh(opened, error);
    if (code == DWAL_OK)
        code = reader_place(opened, options->start_lsn, error);
    if (code != DWAL_OK) {
        dwal__reader_close(opened);
        return code;
    }
    *reader = opened;
    return DWAL_OK;
}

void dwal__reader_close(struct dwal__reader *reader) {
    if (reader == NULL)
        return;
    dwal__lineage_clear(&reader->lineage);
    dwal__window_release(&reader->window);
    dwal__bound_release(&reader->bound);
    free(reader);
}

bool dwal__reader_live(const struct dwal__reader *reader) {
    return reader->bound.mode == DWAL__BOUND_LIVE;
}

const struct dwal__recovery *
dwal__reader_recovery(const struct dwal__reader *reader) {
    return reader->bound.mode == DWAL__BOUND_RECOVERED ? &reader->bound.recovery
                                                       : NULL;
}

int dwal__reader_verdict(struct dwal__reader *reader,
                         struct dwal_error *error) {
    const struct dwal__bound *bound = &reader->bound;
    if (bound->mode != DWAL__BOUND_RECOVERED)
        return dwal__error_set(error, DWAL_END, 0, "the log is open");
    if (bound->end_code == DWAL_ECORRUPT)
        end_damaged(reader, &bound->end_error);
    if (error != NULL)
        *error = bound->end_error;
    return bound->end_code;
}

uint64_t dwal__reader_first_lsn(const struct dwal__reader *reader) {
    return reader->bound.first_lsn;
}

const struct dwal__watermark *
dwal__reader_end(const struct dwal__reader *reader) {
    return &reader->bound.mark;
}

const struct dwal__lineage *
dwal__reader_lineage(const struct dwal__reader *reader) {
    return &reader->lineage;
}

const struct dwal__reader_damage *
dwal__reader_damage(const struct dwal__reader *reader) {
    return &reader->damage;
}
