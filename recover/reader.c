/* SPDX-License-Identifier: MIT */
/*
 * The reader: along the lineage to the bound, batch by batch, and record by
 * record inside a batch. Invariants: nothing beyond bound.mark is delivered,
 * and a place is left only for the one right behind it, or by a seek.
 */
#include "reader.h"

#include <assert.h>
#include <stdlib.h>

#include "reader_parts.h"

/* ---- batches ---- */

/* Goes one step on from the place: into the next segment, over a batch, or
 * beyond what was the end. Opens a batch, or is called again. */
static int place_step(struct dwal__reader *reader, struct dwal_error *error) {
    const struct dwal__lineage_segment *segment =
        dwal__reader_segment(reader, reader->place.segment);
    bool inside = segment != NULL && reader->place.offset < segment->end;
    const struct dwal__lineage_segment *next =
        segment != NULL ? dwal__reader_segment_next(reader, segment) : NULL;
    int code;
    if (!inside && next != NULL) {
        reader->place = dwal__reader_place_first(next);
        reader->onward = true;
        return DWAL_OK;
    }
    if (!inside) {
        code = dwal__bound_advance(&reader->bound, error);
        if (code == DWAL_ECORRUPT)
            dwal__reader_end_damaged(reader, error);
        return code;
    }
    code = dwal__reader_window_open(reader, segment->header.number, error);
    if (code == DWAL_OK)
        return dwal__reader_step(reader, segment, error);
    if (code == DWAL_ENOENT)
        return dwal__reader_place_lost(reader, error);
    if (code == DWAL_ECORRUPT)
        dwal__reader_segment_damaged(reader, segment);
    return code;
}

/* Goes on to the next batch that has something to deliver. */
static int batch_next(struct dwal__reader *reader, struct dwal_error *error) {
    int code = DWAL_OK;
    reader->behind = (struct dwal__reader_place){0};
    reader->damage = (struct dwal__reader_damage){0};
    while (code == DWAL_OK && !reader->open) {
        if (!dwal__reader_current(reader))
            code = dwal__reader_refresh(reader, error);
        if (code == DWAL_OK && reader->lineage_new)
            code = dwal__reader_place_restore(reader, error);
        if (code != DWAL_OK)
            return code;
        reader->lineage_new = false;
        code = place_step(reader, error);
    }
    return code;
}

/* ---- records ---- */

/* Goes on behind @record of the open batch. */
static void record_pass(struct dwal__reader *reader,
                        const struct dwal__record *record) {
    reader->record_at += dwal__record_room(record->size);
    reader->record_index++;
    if (record->lsn != 0)
        reader->record_lsn = record->lsn + 1;
}

static bool record_hidden(const struct dwal__reader *reader,
                          const struct dwal__record *record) {
    if (record->lsn != 0)
        return record->lsn < reader->wanted;
    return !reader->system || reader->record_lsn < reader->wanted;
}

/* The next record of the open batch that is to be shown; closes the batch and
 * returns false if there is none. */
static bool record_find(struct dwal__reader *reader,
                        struct dwal__reader_item *item) {
    const struct dwal__window_batch *batch = &reader->batch;
    struct dwal__record *record = &item->record;
    while (reader->record_index < batch->header.record_count) {
        dwal__record_load(batch->bytes + reader->record_at, record);
        if (record->lsn > reader->keep_lsn)
            break; /* cut off, and all behind it in this batch with it */
        if (!record_hidden(reader, record)) {
            item->segment = batch->header.segment;
            item->batch_offset = batch->header.offset;
            item->offset = batch->header.offset + reader->record_at;
            item->batch = batch->header;
            item->batch_index = reader->record_index;
            return true;
        }
        record_pass(reader, record);
    }
    reader->open = false;
    return false;
}

/* ---- the interface ---- */

int dwal__reader_peek(struct dwal__reader *reader,
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
    while (!reader->open || !record_find(reader, &next)) {
        int code = batch_next(reader, error);
        if (code != DWAL_OK)
            return code;
    }
    *item = next;
    return DWAL_OK;
}

void dwal__reader_take(struct dwal__reader *reader,
                       const struct dwal__reader_item *item) {
    const struct dwal__record *record = &item->record;
    assert(reader->open && item->batch_index == reader->record_index);
    record_pass(reader, record);
    if (record->lsn != 0) {
        reader->shown = record->lsn;
        reader->wanted = record->lsn + 1;
    }
}

int dwal__reader_next(struct dwal__reader *reader,
                      struct dwal__reader_item *item,
                      struct dwal_error *error) {
    int code = dwal__reader_peek(reader, item, error);
    if (code == DWAL_OK)
        dwal__reader_take(reader, item);
    return code;
}

static void reader_set(struct dwal__reader *reader,
                       const struct dwal__reader_place *place,
                       uint64_t wanted) {
    reader->place = *place;
    reader->wanted = wanted;
    reader->from_first = false;
    reader->onward = false;
    reader->shown = 0;
    reader->open = false;
    reader->lineage_new = false;
    reader->stuck.code = DWAL_OK;
}

int dwal__reader_place_set(struct dwal__reader *reader, uint64_t lsn,
                           struct dwal_error *error) {
    uint64_t first_lsn = reader->bound.first_lsn;
    uint64_t wanted = lsn != 0 ? lsn : first_lsn;
    if (wanted < first_lsn)
        return dwal__error_set(
            error, DWAL_ETRIMMED, 0,
            "LSN %llu was trimmed; the log begins with LSN %llu",
            (unsigned long long)(lsn), (unsigned long long)(first_lsn));
    struct dwal__reader_place place;
    int code = dwal__reader_place_find(reader, wanted, &place, error);
    if (code != DWAL_OK)
        return code;
    reader_set(reader, &place, wanted);
    reader->from_first = lsn == 0;
    return DWAL_OK;
}

int dwal__reader_pass(struct dwal__reader *reader, struct dwal_error *error) {
    struct dwal__reader_place behind = reader->behind;
    uint64_t next_lsn = reader->damage.lost_to + 1;
    if (behind.segment == 0 && reader->damage.passable)
        return dwal__reader_seek(reader, next_lsn, error);
    if (behind.segment == 0)
        return dwal__error_set(error, DWAL_ECORRUPT, 0,
                               "nothing behind the damage can be reached");
    reader->place = behind;
    reader->behind = (struct dwal__reader_place){0};
    if (reader->wanted < next_lsn)
        reader->wanted = next_lsn;
    return DWAL_OK;
}

int dwal__reader_seek_segment(struct dwal__reader *reader, uint64_t number,
                              struct dwal_error *error) {
    const struct dwal__lineage_segment *segment =
        dwal__reader_segment(reader, number);
    uint64_t first_lsn = reader->bound.first_lsn;
    if (segment == NULL)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "segment %llu is not part of the log",
                               (unsigned long long)(number));
    struct dwal__reader_place place = dwal__reader_place_first(segment);
    reader->guessed = false;
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
        code = dwal__reader_refresh(reader, error);
    return code == DWAL_OK ? dwal__reader_place_set(reader, lsn, error) : code;
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
    opened->places = options->places;
    opened->sparse = options->places != NULL;
    opened->window_count = opened->sparse ? DWAL__READER_WINDOWS : 1;
    opened->windows = calloc(opened->window_count, sizeof opened->windows[0]);
    if (opened->windows == NULL) {
        free(opened);
        return dwal__error_set(error, DWAL_ENOMEM, 0, "no memory for a reader");
    }
    for (size_t i = 0; i < opened->window_count; i++)
        dwal__window_init(&opened->windows[i], options->disk, options->dir);
    opened->window = opened->windows;
    int code = dwal__bound_open(&opened->bound, options, error);
    if (code == DWAL_OK)
        code = dwal__reader_refresh(opened, error);
    if (code == DWAL_OK && !opened->sparse)
        code = dwal__reader_place_set(opened, options->start_lsn, error);
    if (code != DWAL_OK) {
        dwal__reader_close(opened);
        return code;
    }
    *reader = opened;
    return DWAL_OK;
}

int dwal__reader_switch(struct dwal__reader *reader,
                        void (*durable)(void *, struct dwal__watermark *,
                                        uint64_t *),
                        void *argument, struct dwal_error *error) {
    struct dwal_error local;
    return dwal__bound_switch(&reader->bound, durable, argument,
                              error != NULL ? error : &local);
}

void dwal__reader_close(struct dwal__reader *reader) {
    if (reader == NULL)
        return;
    dwal__lineage_clear(&reader->lineage);
    for (size_t i = 0; i < reader->window_count; i++)
        dwal__window_release(&reader->windows[i]);
    free(reader->windows);
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
        dwal__reader_end_damaged(reader, &bound->end_error);
    if (error != NULL)
        *error = bound->end_error;
    return bound->end_code;
}

uint64_t dwal__reader_wanted(const struct dwal__reader *reader) {
    return reader->wanted;
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
