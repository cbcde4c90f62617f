/* SPDX-License-Identifier: MIT */
/*
 * Places of a reader in a log that may grow, be trimmed and be cut. The
 * invariant: a place is never moved silently over records that the reader has
 * not seen, nor back over those that it has.
 */
#include <stdio.h>
#include <string.h>

#include "reader_parts.h"

/* A segment of the lineage may be retired between two looks; so often in a row
 * only if it is missing. */
#define LINEAGE_TRIES 8

/* A place so near before the wanted one is walked from, header by header. */
#define NEAR_BYTES ((uint64_t)256 << 10)

/* So far behind a middle a header is looked for. Where batches are longer, the
 * walk takes long steps anyway. */
#define PROBE_BYTES ((uint64_t)1 << 20)

/* ---- the lineage ---- */

const struct dwal__lineage_segment *
dwal__reader_segment(const struct dwal__reader *reader, uint64_t number) {
    const struct dwal__lineage *lineage = &reader->lineage;
    size_t index = dwal__lineage_by_number(lineage, number);
    if (index == lineage->count ||
        lineage->segments[index].header.number != number)
        return NULL;
    return &lineage->segments[index];
}

const struct dwal__lineage_segment *
dwal__reader_segment_next(const struct dwal__reader *reader,
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

/* The segment that the lowest one names is not there, and was not trimmed. */
static int lineage_missing(struct dwal__reader *reader) {
    struct dwal_error *why = &reader->lineage_error;
    if (reader->lineage.count == 0)
        return why->code = DWAL_ECORRUPT;
    const struct dwal__lineage_segment *lowest = reader->lineage.segments;
    uint64_t missing = lowest->start.previous_segment;
    return dwal__error_set_at(why, DWAL_ECORRUPT, 0, missing, 0,
                              "%016llx.wal is missing, and %016llx.wal follows "
                              "it; run walfsck",
                              (unsigned long long)missing,
                              (unsigned long long)lowest->header.number);
}

/* Says what is lost with the part of the log that cannot be reached. */
static void lineage_error_finish(struct dwal__reader *reader) {
    struct dwal_error *why = &reader->lineage_error;
    size_t used = strlen(why->text);
    if (why->code == DWAL_OK)
        return;
    snprintf(why->text + used, sizeof why->text - used,
             "; LSNs %llu to %llu cannot be reached",
             (unsigned long long)reader->bound.first_lsn,
             (unsigned long long)(reader->lineage.segments[0].first_lsn - 1));
}

/* A log that was reset begins with the segment that says so. */
static void reset_take(struct dwal__reader *reader) {
    const struct dwal__lineage_segment *lowest = reader->lineage.segments;
    if (reader->lineage_error.code == DWAL_OK && reader->lineage.count > 0 &&
        (lowest->start.flags & DWAL__START_RESET) != 0 &&
        lowest->first_lsn > reader->bound.first_lsn)
        reader->bound.first_lsn = lowest->first_lsn;
}

/* Builds it for the bound; or for a newer one, where segments vanish. */
static int lineage_build(struct dwal__reader *reader,
                         struct dwal_error *error) {
    struct dwal__bound *bound = &reader->bound;
    struct dwal_error *why = &reader->lineage_error;
    for (int i = 0; i < LINEAGE_TRIES; i++) {
        why->code =
            dwal__lineage_build(&reader->lineage, &bound->window, &bound->uuid,
                                &bound->mark, bound->first_lsn, why);
        reset_take(reader);
        if (why->code != DWAL_ENOENT)
            return DWAL_OK;
        bool trimmed;
        int code = lineage_trimmed(reader, &trimmed, error);
        if (code == DWAL_OK && trimmed) {
            why->code = DWAL_OK;
            return DWAL_OK;
        }
        if (code == DWAL_OK)
            code = dwal__bound_survey(bound, error);
        if (code != DWAL_OK) {
            dwal__lineage_clear(&reader->lineage); /* begin again */
            return code;
        }
    }
    lineage_missing(reader);
    return DWAL_OK;
}

bool dwal__reader_current(const struct dwal__reader *reader) {
    const struct dwal__lineage *lineage = &reader->lineage;
    struct dwal__position end = {0, 0};
    if (lineage->count > 0) {
        const struct dwal__lineage_segment *last =
            &lineage->segments[lineage->count - 1];
        end = (struct dwal__position){last->header.number, last->end};
    }
    return dwal__position_compare(end, reader->bound.mark.position) == 0;
}

int dwal__reader_refresh(struct dwal__reader *reader,
                         struct dwal_error *error) {
    const struct dwal_error *why = &reader->lineage_error;
    if (lineage_extend(reader))
        return DWAL_OK;
    reader->lineage_new = true;
    int code = lineage_build(reader, error);
    if (code != DWAL_OK)
        return code;
    if (why->code != DWAL_OK &&
        (reader->lineage.count == 0 || why->code == DWAL_ENOMEM)) {
        dwal__reader_lineage_damaged(reader);
        *error = *why;
        return why->code;
    }
    lineage_error_finish(reader);
    return DWAL_OK;
}

/* ---- places ---- */

struct dwal__reader_place
dwal__reader_place_first(const struct dwal__lineage_segment *segment) {
    return (struct dwal__reader_place){
        .segment = segment->header.number,
        .offset = segment->header.block_size,
        .expected = {.link_known = true,
                     .link = segment->header.crc,
                     .lsn_known = true,
                     .first_lsn = segment->first_lsn}};
}

/* Looks behind @middle for a batch of the segment's run. Only a header: what it
 * says was true when it was sealed (SPEC 5.1). False also if it cannot be. */
static bool place_probe(struct dwal__reader *reader,
                        const struct dwal__lineage_segment *segment,
                        uint64_t middle, uint64_t until,
                        const struct dwal__reader_place *low,
                        struct dwal__batch_header *header) {
    bool found;
    if (until - middle > PROBE_BYTES)
        until = middle + PROBE_BYTES;
    dwal__window_forget(&reader->window, 0); /* and read little again */
    return dwal__window_search(&reader->window, middle, until, &found, header,
                               NULL) == DWAL_OK &&
           found && header->first_lsn >= low->expected.first_lsn &&
           header->first_lsn <= segment->last_lsn + 1;
}

/* Moves @place from the beginning of @segment on towards @lsn, by halving. It
 * is a guess, and what stands in the way of a better one does not matter: if
 * the walk from here meets anything wrong, it is made from the beginning. */
static void place_near(struct dwal__reader *reader,
                       const struct dwal__lineage_segment *segment,
                       uint64_t lsn, struct dwal__reader_place *place) {
    uint64_t block_size = segment->header.block_size;
    uint64_t high = segment->end;
    if (lsn <= segment->found_lsn || high - place->offset <= NEAR_BYTES ||
        dwal__window_open(&reader->window, place->segment, &reader->bound.uuid,
                          NULL) != DWAL_OK)
        return;
    while (high - place->offset > NEAR_BYTES) {
        uint64_t half = (high - place->offset) / 2;
        uint64_t middle = place->offset + (half - half % block_size);
        struct dwal__batch_header header;
        if (!place_probe(reader, segment, middle, high, place, &header))
            break;
        if (header.first_lsn <= lsn) {
            place->offset = header.offset;
            place->expected.link_known = false;
            place->expected.first_lsn = header.first_lsn;
            reader->guessed = true;
        } else {
            high = middle; /* there is no header between it and this one */
        }
    }
    dwal__window_forget(&reader->window, 0);
}

/* System records that stand right before the wanted one may be in an earlier
 * segment. */
int dwal__reader_place_find(struct dwal__reader *reader, uint64_t lsn,
                            struct dwal__reader_place *place,
                            struct dwal_error *error) {
    const struct dwal__lineage *lineage = &reader->lineage;
    if (reader->lineage_error.code != DWAL_OK &&
        (lineage->count == 0 || lsn < lineage->segments[0].first_lsn)) {
        dwal__reader_lineage_damaged(reader);
        *error = reader->lineage_error;
        return error->code;
    }
    uint64_t from = reader->system ? lsn - 1 : lsn;
    size_t index = dwal__lineage_by_lsn(lineage, from);
    if (index == lineage->count && index > 0)
        index--; /* behind the end */
    reader->guessed = false;
    *place = (struct dwal__reader_place){0};
    if (lineage->count > 0) {
        *place = dwal__reader_place_first(&lineage->segments[index]);
        place_near(reader, &lineage->segments[index], from, place);
    }
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

/* Is the place still in the log, and if not, where are its records now? */
int dwal__reader_place_restore(struct dwal__reader *reader,
                               struct dwal_error *error) {
    struct dwal__reader_place *place = &reader->place;
    const struct dwal__bound *bound = &reader->bound;
    const struct dwal__lineage *lineage = &reader->lineage;
    if (reader->from_first && reader->shown == 0)
        reader->wanted = bound->first_lsn;
    if (reader->wanted < bound->first_lsn)
        return place_trimmed(reader, error);
    const struct dwal__lineage_segment *segment =
        dwal__reader_segment(reader, place->segment);
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
    /* Nothing of what it was in is left: was all of that before the log? */
    if (index == lineage->count && index > 0 &&
        reader->shown >= lineage->segments[0].first_lsn)
        return place_cut(reader, lineage->segments[0].first_lsn - 1, error);
    return dwal__reader_place_find(reader, reader->wanted, place, error);
}

int dwal__reader_place_lost(struct dwal__reader *reader,
                            struct dwal_error *error) {
    dwal__window_close(&reader->window);
    dwal__lineage_clear(&reader->lineage);
    return dwal__bound_survey(&reader->bound, error);
}
