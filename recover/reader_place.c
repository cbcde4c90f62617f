/* SPDX-License-Identifier: MIT */
/*
 * Places of a reader in a log that may grow, be trimmed and be cut. The
 * invariant: a place is never moved silently over records that the reader has
 * not seen, nor back over those that it has.
 */
#include <stdio.h>
#include <string.h>

#include "../format/bytes.h"
#include "reader_parts.h"

/* A segment of the lineage may be retired between two looks; so often in a row
 * only if it is missing. */
#define LINEAGE_TRIES 8

/* What one read brings that looks for a place. From so near before the wanted
 * batch its headers are walked. */
#define STRETCH_BYTES ((uint64_t)32 << 10)

/* So far behind an aim a header is looked for. Where batches are longer, the
 * walk takes long steps anyway. */
#define PROBE_BYTES ((uint64_t)1 << 20)

/* Every third one halves what is left of a segment. */
#define TRIES_MAX 128

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

/* Says which part of the log is not reached: it may be in order. */
static void lineage_error_finish(struct dwal__reader *reader) {
    struct dwal_error *why = &reader->lineage_error;
    size_t used = strlen(why->text);
    if (why->code == DWAL_OK)
        return;
    snprintf(why->text + used, sizeof why->text - used,
             "; LSNs %llu to %llu cannot be reached from behind it",
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

/* Closes files of segments that are no part of the log any more. */
static void windows_keep(struct dwal__reader *reader) {
    for (size_t i = 0; i < reader->window_count; i++) {
        struct dwal__window *window = &reader->windows[i];
        if (window->feed.handle >= 0 &&
            dwal__reader_segment(reader, window->header.number) == NULL)
            dwal__window_close(window);
    }
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
    if (reader->known_lsn < reader->bound.mark.lsn)
        reader->known_lsn = reader->bound.mark.lsn;
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
    if (reader->sparse) {
        dwal__places_keep(reader->places, &reader->lineage);
        windows_keep(reader);
    }
    return DWAL_OK;
}

/* ---- places ---- */

int dwal__reader_window_open(struct dwal__reader *reader, uint64_t number,
                             struct dwal_error *error) {
    struct dwal__window *window =
        &reader->windows[number % reader->window_count];
    if (window != reader->window)
        dwal__window_hand_over(reader->window, window);
    reader->window = window;
    return dwal__window_open(window, number, &reader->bound.uuid, error);
}

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

void dwal__reader_place_pass(struct dwal__reader *reader,
                             struct dwal__reader_place *place,
                             const struct dwal__batch_header *header,
                             uint64_t end) {
    if (reader->places != NULL)
        dwal__places_learn(reader->places, header->segment,
                           dwal__places_entry(header));
    place->offset = end;
    place->expected.link_known = true;
    place->expected.link = header->crc;
    place->expected.first_lsn = header->first_lsn + header->lsn_count;
}

/* ---- getting near in a segment ---- */

/* Where the batch with an LSN is: it is no earlier than the one at @low, and
 * before @high, where or behind which the batches begin with @high_lsn. */
struct bracket {
    struct dwal__reader_place low;
    uint64_t high;
    uint64_t high_lsn;
    uint64_t walk; /* from low to here a walk may lead to it; 0: look first */
};

static uint64_t stretch_end(uint64_t from, uint64_t high) {
    return high - from > STRETCH_BYTES ? from + STRETCH_BYTES : high;
}

/* What is known without reading. */
static struct bracket bracket_begin(const struct dwal__reader *reader,
                                    const struct dwal__lineage_segment *segment,
                                    const struct dwal__reader_place *first,
                                    uint64_t lsn) {
    struct bracket bracket = {
        .low = *first, .high = segment->end, .high_lsn = segment->last_lsn + 1};
    bracket.low.expected.first_lsn = segment->found_lsn;
    if (reader->places == NULL)
        return bracket;
    struct dwal__places_entry low = {0}, high = {0}; /* no batch is there */
    dwal__places_find(reader->places, segment->header.number, segment->end, lsn,
                      &low, &high);
    if (high.blocks != 0) {
        bracket.high = dwal__places_offset(&high);
        bracket.high_lsn = high.first_lsn;
    }
    if (low.blocks != 0) {
        bracket.low.offset = dwal__places_offset(&low);
        bracket.low.expected.first_lsn = low.first_lsn;
        bracket.low.expected.link_known =
            bracket.low.offset == first->offset && first->expected.link_known;
        if (lsn - low.first_lsn < low.lsn_count)
            bracket.walk = stretch_end(bracket.low.offset, bracket.high);
    }
    return bracket;
}

/* Where to look next: in the middle; or where @lsn stands if records are of one
 * size, and a little before that, so that it is in what is read there. The low
 * end itself: it is that near. */
static uint64_t bracket_aim(const struct bracket *bracket, uint64_t lsn,
                            uint32_t block_size, bool halve) {
    uint64_t gap = bracket->high - bracket->low.offset;
    uint64_t low_lsn = bracket->low.expected.first_lsn;
    uint64_t ahead = gap / 2;
    if (!halve && lsn < bracket->high_lsn) {
        ahead = (uint64_t)((double)gap * (double)(lsn - low_lsn) /
                           (double)(bracket->high_lsn - low_lsn));
        ahead = ahead > STRETCH_BYTES / 2 ? ahead - STRETCH_BYTES / 2 : 0;
        ahead = ahead < gap ? ahead : gap - 1;
    }
    return bracket->low.offset + (ahead - ahead % block_size);
}

/* Walks up from the low end, from header to header, up to bracket->walk.
 * True if that led to the batch with @lsn, or can lead no further: who takes
 * the batch there finds out why. */
static bool bracket_walk(struct dwal__reader *reader,
                         const struct dwal__lineage_segment *segment,
                         uint64_t lsn, struct bracket *bracket) {
    struct dwal__window *window = reader->window;
    struct dwal__reader_place *low = &bracket->low;
    const struct dwal__expected *expected = &low->expected;
    uint64_t until = bracket->walk;
    bracket->walk = 0;
    if (dwal__window_bring(window, low->offset, until - low->offset, NULL) !=
        DWAL_OK)
        return true;
    while (low->offset < until) {
        struct dwal__batch_header header;
        enum dwal__fault fault;
        if (dwal__window_header(window, low->offset, &header, &fault, NULL) !=
                DWAL_OK ||
            fault != DWAL__FAULT_NONE ||
            header.first_lsn != expected->first_lsn ||
            (expected->link_known && header.link != expected->link) ||
            header.first_lsn + header.lsn_count > lsn)
            return true;
        uint64_t end = low->offset +
                       dwal__align_up(header.size, segment->header.block_size);
        if (end >= bracket->high)
            return true;
        dwal__reader_place_pass(reader, low, &header, end);
    }
    return false;
}

/* The first readable header from @from to before @until, in reads that grow.
 * Sets *@read to where what is in memory ends. */
static bool header_find(struct dwal__reader *reader, uint64_t from,
                        uint64_t until, struct dwal__batch_header *header,
                        bool *found, uint64_t *read) {
    struct dwal__window *window = reader->window;
    *found = false;
    for (uint64_t size = STRETCH_BYTES; from < until && !*found; size *= 2) {
        if (size > until - from)
            size = until - from;
        if (dwal__window_bring(window, from, size, NULL) != DWAL_OK ||
            dwal__window_search(window, from, from + size, found, header,
                                NULL) != DWAL_OK)
            return false;
        from += size;
    }
    *read = from;
    return true;
}

/* Makes the bracket narrower by what stands at @aim or behind. Only a header is
 * looked at: what it says was true when it was sealed (SPEC 5.1). False: that
 * does not help. */
static bool bracket_probe(struct dwal__reader *reader,
                          const struct dwal__lineage_segment *segment,
                          uint64_t lsn, uint64_t aim, struct bracket *bracket) {
    struct dwal__batch_header header;
    bool found;
    uint64_t read, until = bracket->high;
    if (until - aim > PROBE_BYTES)
        until = aim + PROBE_BYTES;
    if (!header_find(reader, aim, until, &header, &found, &read) ||
        (!found && until < bracket->high))
        return false;
    if (found && (header.first_lsn < bracket->low.expected.first_lsn ||
                  header.first_lsn > segment->last_lsn + 1))
        return false;
    if (found && reader->places != NULL)
        dwal__places_learn(reader->places, header.segment,
                           dwal__places_entry(&header));
    if (found && header.first_lsn <= lsn) {
        bracket->low.offset = header.offset;
        bracket->low.expected.link_known = false;
        bracket->low.expected.first_lsn = header.first_lsn;
        bracket->walk = read;
        return true;
    }
    bracket->high = aim; /* there is no header between it and what was found */
    if (found)
        bracket->high_lsn = header.first_lsn;
    return true;
}

/* Moves @place from the beginning of @segment on towards @lsn: from what the
 * index knows, by estimates, and by halving now and then. It is a guess, and what
 * stands in the way of a better one does not matter: if the walk from here
 * meets anything wrong, it is made from the beginning. */
static void place_near(struct dwal__reader *reader,
                       const struct dwal__lineage_segment *segment,
                       uint64_t lsn, struct dwal__reader_place *place) {
    if (lsn <= segment->found_lsn ||
        segment->end - place->offset <= STRETCH_BYTES ||
        dwal__reader_window_open(reader, place->segment, NULL) != DWAL_OK)
        return;
    struct dwal__window *window = reader->window;
    dwal__window_forget(window, segment->end);
    dwal__window_sparse(window);
    struct bracket bracket = bracket_begin(reader, segment, place, lsn);
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        bool near = bracket.high - bracket.low.offset <= STRETCH_BYTES;
        uint64_t aim = bracket_aim(&bracket, lsn, segment->header.block_size,
                                   tries % 3 == 2);
        if (near || (bracket.walk == 0 && aim == bracket.low.offset))
            bracket.walk = stretch_end(bracket.low.offset, bracket.high);
        if (bracket.walk != 0) {
            if (bracket_walk(reader, segment, lsn, &bracket) || near)
                break;
        } else if (!bracket_probe(reader, segment, lsn, aim, &bracket)) {
            break;
        }
    }
    if (bracket.low.offset != place->offset) {
        *place = bracket.low;
        reader->guessed = true;
    }
    if (!reader->sparse)
        dwal__window_forget(window, segment->end); /* and read more at once */
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
    dwal__window_close(reader->window);
    dwal__lineage_clear(&reader->lineage);
    return dwal__bound_survey(&reader->bound, error);
}
