/* SPDX-License-Identifier: MIT */
/*
 * Finding what is whole. The invariant: pieces ascend by LSN without overlap,
 * and each holds only what its checksums prove.
 */
#include "salvage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "rebuild.h"
#include "source.h"

#define PROGRESS_BYTES ((uint64_t)4 << 20)
#define RECORD(field) offsetof(struct dwal__record_header_bytes, field)

/* Bytes under checksums of records that then were none, for each byte of the
 * file: more is no accident, and would take for ever. */
#define TRIES_MAX 64

/* What finding carries along. */
struct finder {
    const struct dwal__salvage_options *options;
    const struct dwal__recovery *recovery;
    struct dwal__salvage *salvage;
    struct dwal_error *error;
    struct dwal__source file; /* of the source that is being scanned */
    size_t source;
    bool started;      /* its start is readable … */
    uint64_t previous; /* … and names this segment */
    uint64_t expected; /* the lowest LSN that a record in it may have */
    uint64_t tries;    /* bytes that may still be checked in vain */
    uint64_t known;    /* the largest LSN that was given … */
    size_t known_by;   /* … as this source says */
    uint64_t trim_proven;
    uint64_t trim_claimed;
    struct dwal__watermark evidence;
    uint64_t done, total, reported;
};

static int no_memory(struct finder *finder) {
    return dwal__error_set(finder->error, DWAL_ENOMEM, 0,
                           "salvage: out of memory");
}

static struct dwal__salvage_source *source_of(struct finder *finder) {
    return &finder->salvage->sources[finder->source];
}

/* ---- pieces ---- */

/* True if all between @top and the segment that is being scanned is known: the
 * one is what the other names as its predecessor, or that one has a start. */
static bool start_sure(const struct finder *finder,
                       const struct dwal__salvage_piece *top) {
    const struct dwal__salvage *salvage = finder->salvage;
    for (size_t i = 0; finder->started && i < finder->source; i++) {
        const struct dwal__salvage_source *source = &salvage->sources[i];
        if (source->header.number == finder->previous)
            return source->started || i == top->source;
    }
    return false;
}

/* What lower segments hold from @lsn on was given up when the one that is being
 * scanned began to give these LSNs. Where a start between is unreadable, that
 * may have begun lower: then a stretch that reaches so far is left out
 * whole. */
static void pieces_hide(struct finder *finder, uint64_t lsn) {
    struct dwal__salvage *salvage = finder->salvage;
    while (salvage->piece_count > 0) {
        struct dwal__salvage_piece *top =
            &salvage->pieces[salvage->piece_count - 1];
        if (top->source == finder->source || top->last_lsn < lsn)
            return;
        bool below = top->first_lsn < lsn;
        if (below && start_sure(finder, top)) {
            top->last_lsn = lsn - 1;
            return;
        }
        if (below)
            salvage->left_out += lsn - top->first_lsn;
        salvage->piece_count--;
    }
}

static bool piece_follows(const struct dwal__salvage_piece *top,
                          const struct dwal__salvage_piece *piece,
                          uint64_t sure_end) {
    return top->source == piece->source && top->batches == piece->batches &&
           top->end == piece->offset && top->end != sure_end &&
           top->last_lsn + 1 == piece->first_lsn;
}

static int piece_add(struct finder *finder,
                     const struct dwal__salvage_piece *piece) {
    struct dwal__salvage *salvage = finder->salvage;
    pieces_hide(finder, piece->first_lsn);
    if (salvage->piece_count > 0) {
        struct dwal__salvage_piece *top =
            &salvage->pieces[salvage->piece_count - 1];
        if (piece->first_lsn <= top->last_lsn)
            return 0; /* not in order: of no use */
        if (piece_follows(top, piece, source_of(finder)->sure_end)) {
            top->last_lsn = piece->last_lsn;
            top->end = piece->end;
            return 0;
        }
    }
    if (salvage->piece_count == salvage->piece_capacity) {
        size_t capacity = salvage->piece_capacity * 2 + 64;
        void *grown =
            realloc(salvage->pieces, capacity * sizeof salvage->pieces[0]);
        if (grown == NULL)
            return no_memory(finder);
        salvage->pieces = grown;
        salvage->piece_capacity = capacity;
    }
    salvage->pieces[salvage->piece_count++] = *piece;
    return 0;
}

/* The largest LSN given: the latest segment knows, since a higher one may have
 * been given before a crash or a cut, and not again. */
static void known_raise(struct finder *finder, uint64_t first_lsn,
                        uint64_t count) {
    uint64_t last = first_lsn - 1 + count;
    if (finder->source > finder->known_by || last > finder->known)
        finder->known = last;
    finder->known_by = finder->source;
}

/* ---- batches ---- */

static void metadata_take(struct finder *finder, const uint8_t *bytes,
                          uint32_t size) {
    finder->salvage->metadata_size = size;
    if (size > 0)
        memcpy(finder->salvage->metadata, bytes, size);
}

/* What a batch that ends at @end says. A start, which names the newest trim
 * point, takes back what was trimmed in what it drops. */
static void trim_take(struct finder *finder, uint64_t lsn, uint64_t end,
                      bool start) {
    struct dwal__position here = {source_of(finder)->header.number, end};
    const struct dwal__recovery *recovery = finder->recovery;
    bool proven =
        dwal__position_compare(here, recovery->end) <= 0 ||
        dwal__position_compare(here, recovery->watermark.position) <= 0;
    uint64_t *trim = proven ? &finder->trim_proven : &finder->trim_claimed;
    if (lsn > *trim || (start && proven))
        *trim = lsn;
}

static int batch_take(struct finder *finder,
                      const struct dwal__batch_header *header,
                      const struct dwal__batch_summary *summary, uint64_t end) {
    const struct dwal__start *start = &summary->start;
    if (summary->started) {
        pieces_hide(finder, dwal__start_first_lsn(start));
        trim_take(finder, start->trim_lsn, end, true);
        metadata_take(finder, start->metadata, start->metadata_size);
    }
    trim_take(finder, summary->trim_lsn, end, false);
    if (summary->metadata != NULL)
        metadata_take(finder, summary->metadata, summary->metadata_size);
    struct dwal__salvage *salvage = finder->salvage;
    if (header->lsn_count == 0) { /* no reason to begin a new piece behind it */
        struct dwal__salvage_piece *top =
            salvage->piece_count > 0
                ? &salvage->pieces[salvage->piece_count - 1]
                : NULL;
        if (top != NULL && top->source == finder->source && top->batches &&
            top->end == header->offset &&
            top->end != source_of(finder)->sure_end)
            top->end = end;
        return 0;
    }
    struct dwal__salvage_piece piece = {.first_lsn = header->first_lsn,
                                        .last_lsn = header->first_lsn +
                                                    header->lsn_count - 1,
                                        .source = finder->source,
                                        .offset = header->offset,
                                        .end = end,
                                        .batches = true};
    return piece_add(finder, &piece);
}

/* What a header says that is readable, whatever became of its batch. */
static void header_take(struct finder *finder,
                        const struct dwal__batch_header *header) {
    const struct dwal__watermark *mark = &header->watermark;
    if (dwal__position_compare(mark->position, finder->evidence.position) >= 0)
        finder->evidence = *mark;
    struct dwal__salvage *salvage = finder->salvage;
    for (size_t i = 0; i <= finder->source; i++) {
        struct dwal__salvage_source *source = &salvage->sources[i];
        if (source->header.number == mark->position.segment &&
            source->header.epoch == source_of(finder)->header.epoch &&
            source->sure_end < mark->position.offset)
            source->sure_end = mark->position.offset;
    }
    known_raise(finder, header->first_lsn, header->lsn_count);
    pieces_hide(finder, header->first_lsn);
    if (header->first_lsn > finder->expected)
        finder->expected = header->first_lsn;
}

/* The batch at *@at, whose header is readable; *@at moves behind it, or behind
 * its header if it is not valid. */
static int batch_look(struct finder *finder,
                      const struct dwal__batch_header *header, uint64_t *at) {
    uint32_t block_size = source_of(finder)->header.block_size;
    uint64_t padded = dwal__align_up(header->size, block_size);
    header_take(finder, header);
    if (padded <= finder->file.size - *at) {
        const uint8_t *bytes;
        struct dwal__batch_summary summary;
        if (dwal__source_get(&finder->file, *at, (size_t)padded, &bytes) != 0)
            return no_memory(finder);
        if (dwal__batch_check(bytes, header, block_size, &summary, NULL) ==
            DWAL__FAULT_NONE) {
            *at += padded;
            finder->expected = header->first_lsn + header->lsn_count;
            return batch_take(finder, header, &summary, *at);
        }
    }
    *at += DWAL__BATCH_HEADER_SIZE;
    return 0;
}

/* ---- single records ---- */

/* Is there a record at @at that may belong here? Looks at what costs nothing
 * first. Sets *@room to what it takes, 0 if there is none. */
static int record_look(struct finder *finder, uint64_t at,
                       struct dwal__record *record, size_t *room) {
    uint64_t left = finder->file.size - at;
    uint64_t salt = source_of(finder)->header.salt;
    const uint8_t *bytes;
    *room = 0;
    if (left < DWAL__RECORD_HEADER_SIZE)
        return 0;
    if (dwal__source_get(&finder->file, at, DWAL__RECORD_HEADER_SIZE, &bytes) !=
        0)
        return no_memory(finder);
    dwal__record_load(bytes, record);
    uint64_t needed = dwal__record_room(record->size);
    if (dwal__get32(bytes + RECORD(salt)) != (uint32_t)salt || needed > left ||
        needed > finder->tries || record->lsn > DWAL__LSN_MAX ||
        (record->lsn != 0 && record->lsn < finder->expected))
        return 0;
    if (dwal__source_get(&finder->file, at, (size_t)needed, &bytes) != 0)
        return no_memory(finder);
    size_t found;
    if (dwal__record_decode(bytes, (size_t)needed, salt, record, &found) ==
        DWAL__FAULT_NONE)
        *room = found;
    else
        finder->tries -= needed;
    return 0;
}

/* The record at *@at, which is moved behind it; if there is none, by the
 * alignment of records. */
static int record_take(struct finder *finder, uint64_t *at) {
    struct dwal__record record;
    size_t room;
    int code = record_look(finder, *at, &record, &room);
    if (code != 0)
        return code;
    struct dwal__salvage_piece piece = {.first_lsn = record.lsn,
                                        .last_lsn = record.lsn,
                                        .source = finder->source,
                                        .offset = *at,
                                        .end = *at + room};
    *at += room != 0 ? room : DWAL__RECORD_ALIGNMENT;
    if (room == 0)
        return 0;
    if (record.lsn == 0) {
        if (record.type == DWAL__SYSTEM_METADATA &&
            record.size <= DWAL__METADATA_SIZE_MAX)
            metadata_take(finder, record.data, record.size);
        return 0;
    }
    finder->expected = record.lsn + 1;
    known_raise(finder, record.lsn, 1);
    return piece_add(finder, &piece);
}

/* ---- files ---- */

static int progress_check(struct finder *finder, uint64_t at) {
    const struct dwal__salvage_options *options = finder->options;
    uint64_t done = finder->done + at;
    if (done - finder->reported < PROGRESS_BYTES)
        return 0;
    finder->reported = done;
    if (options->progress != NULL)
        options->progress(options->argument, done, finder->total);
    if (options->cancelled != NULL && options->cancelled(options->argument))
        return dwal__error_set(finder->error, DWAL_EAGAIN, 0,
                               "salvage: cancelled; nothing was made");
    return 0;
}

/* What stands at *@at, a block boundary: a batch, or nothing, or what may have
 * whole records in it. */
static int block_take(struct finder *finder, uint64_t *at) {
    const struct dwal__segment_header *segment = &source_of(finder)->header;
    uint64_t left = finder->file.size - *at;
    size_t size =
        left < segment->block_size ? (size_t)left : segment->block_size;
    const uint8_t *bytes;
    struct dwal__batch_header header;
    int code = progress_check(finder, *at);
    if (code != 0)
        return code;
    if (dwal__source_get(&finder->file, *at, size, &bytes) != 0)
        return no_memory(finder);
    if (dwal__batch_header_decode(bytes, size, segment, *at, &header) ==
        DWAL__FAULT_NONE)
        return batch_look(finder, &header, at);
    if (dwal__zero_run(bytes, size) == size) {
        *at += size;
        return 0;
    }
    return record_take(finder, at);
}

static int source_scan(struct finder *finder) {
    struct dwal__salvage_source *source = source_of(finder);
    uint32_t block_size = source->header.block_size;
    finder->expected = 1;
    finder->tries = finder->file.size * TRIES_MAX;
    for (uint64_t at = block_size; at < finder->file.size;) {
        int code = at % block_size == 0 ? block_take(finder, &at)
                                        : record_take(finder, &at);
        if (code != 0)
            return code;
    }
    finder->salvage->unreadable_bytes += finder->file.unreadable;
    finder->done += finder->file.size;
    return 0;
}

/* Is the first batch of the source whole? */
static int start_look(struct finder *finder) {
    const struct dwal__segment_header *segment = &source_of(finder)->header;
    uint64_t at = segment->block_size;
    const uint8_t *bytes;
    struct dwal__batch_header header;
    struct dwal__batch_summary summary;
    finder->started = false;
    if (finder->file.size < at + DWAL__BATCH_HEADER_SIZE)
        return 0;
    if (dwal__source_get(&finder->file, at, DWAL__BATCH_HEADER_SIZE, &bytes) !=
        0)
        return no_memory(finder);
    if (dwal__batch_header_decode(bytes, DWAL__BATCH_HEADER_SIZE, segment, at,
                                  &header) != DWAL__FAULT_NONE)
        return 0;
    uint64_t padded = dwal__align_up(header.size, segment->block_size);
    if (padded > finder->file.size - at)
        return 0;
    if (dwal__source_get(&finder->file, at, (size_t)padded, &bytes) != 0)
        return no_memory(finder);
    finder->started = dwal__batch_check(bytes, &header, segment->block_size,
                                        &summary, NULL) == DWAL__FAULT_NONE &&
                      summary.started;
    if (finder->started)
        finder->previous = summary.start.previous_segment;
    source_of(finder)->started = finder->started;
    return 0;
}

/* Where a higher epoch begins and nobody knows what it dropped. */
static void unsure_drop(struct finder *finder) {
    struct dwal__salvage *salvage = finder->salvage;
    const struct dwal__salvage_source *sources = salvage->sources;
    while (!finder->started && salvage->piece_count > 0) {
        const struct dwal__salvage_piece *top =
            &salvage->pieces[salvage->piece_count - 1];
        const struct dwal__salvage_source *by = &sources[top->source];
        if (by->header.epoch >= source_of(finder)->header.epoch ||
            top->offset < by->sure_end)
            return;
        salvage->left_out += top->last_lsn - top->first_lsn + 1;
        salvage->piece_count--;
    }
}

/* ---- which files ---- */

/* How many segments have the header of a log with @uuid. Recovery has loaded
 * every header whose CRC was right. */
static size_t uuid_count(const struct dwal__recovery *recovery,
                         const struct dwal__uuid *uuid) {
    size_t count = 0;
    for (size_t i = 0; i < recovery->segment_count; i++)
        count +=
            recovery->segments[i].header.number != 0 &&
            memcmp(&recovery->segments[i].header.uuid, uuid, sizeof *uuid) == 0;
    return count;
}

/* LOCK's UUID, if any segment has it; else LOCK is bad, or another log's, and
 * the one counts that most segments have. */
static struct dwal__uuid uuid_choose(const struct dwal__recovery *recovery) {
    struct dwal__uuid best = recovery->uuid;
    size_t most = 0;
    if (uuid_count(recovery, &best) > 0)
        return best;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__segment_header *header =
            &recovery->segments[i].header;
        size_t count =
            header->number != 0 ? uuid_count(recovery, &header->uuid) : 0;
        if (count > most)
            best = header->uuid;
        most = count > most ? count : most;
    }
    return best;
}

/* The header of @segment as far as it can be used. False: a file of another
 * log, or one in which nothing can be found. */
static bool source_make(struct finder *finder,
                        const struct dwal__found_segment *segment,
                        const struct dwal__uuid *uuid,
                        struct dwal__salvage_source *source, int *error) {
    uint8_t block[DWAL__SEGMENT_HEADER_SIZE];
    const uint8_t *bytes;
    *error = 0;
    *source = (struct dwal__salvage_source){.number = segment->number};
    source->sure_end = segment->run_end;
    if (finder->file.size >= sizeof block) {
        *error = dwal__source_get(&finder->file, 0, sizeof block, &bytes);
        if (*error != 0)
            return false;
        if (dwal__segment_header_decode(bytes, sizeof block, &source->header) ==
            DWAL__FAULT_NONE) {
            bool ours = memcmp(&source->header.uuid, uuid, sizeof *uuid) == 0;
            finder->salvage->strangers += !ours;
            return ours;
        }
    }
    source->deduced = true;
    return dwal__header_deduce(&finder->file, segment->number, &source->header,
                               error);
}

/* By the number in the header; a file with that name before its copies. */
static int source_order(const void *a, const void *b) {
    const struct dwal__salvage_source *x = a, *y = b;
    uint64_t s = x->header.number, t = y->header.number;
    if (s != t)
        return s < t ? -1 : 1;
    return (y->number == t) - (x->number == s);
}

static int source_open(struct finder *finder, uint64_t number) {
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(number, name);
    return dwal__source_open(&finder->file, finder->options->disk,
                             finder->options->dir, name);
}

static int sources_find(struct finder *finder) {
    struct dwal__salvage *salvage = finder->salvage;
    const struct dwal__recovery *recovery = finder->recovery;
    struct dwal__uuid uuid = uuid_choose(recovery);
    salvage->sources =
        calloc(recovery->segment_count + 1, sizeof salvage->sources[0]);
    if (salvage->sources == NULL)
        return no_memory(finder);
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        struct dwal__salvage_source *next =
            &salvage->sources[salvage->source_count];
        int error = source_open(finder, segment->number);
        bool use =
            error == 0 && source_make(finder, segment, &uuid, next, &error);
        if (error == -ENOMEM)
            return no_memory(finder);
        salvage->unreadable_files += error != 0;
        finder->total += use ? finder->file.size : 0;
        salvage->source_count += use;
    }
    qsort(salvage->sources, salvage->source_count, sizeof salvage->sources[0],
          source_order);
    return 0;
}

static int sources_scan(struct finder *finder) {
    struct dwal__salvage *salvage = finder->salvage;
    for (size_t i = 0; i < salvage->source_count; i++) {
        struct dwal__salvage_source *source = &salvage->sources[i];
        if (i > 0 && source->header.number == source[-1].header.number) {
            salvage->strangers++; /* a copy */
            continue;
        }
        finder->source = i;
        if (source_open(finder, source->number) != 0) {
            salvage->unreadable_files++;
            continue;
        }
        int code = start_look(finder);
        if (code != 0)
            return code;
        unsure_drop(finder);
        code = source_scan(finder);
        if (code != 0)
            return code;
    }
    return 0;
}

/* ---- what came of it ---- */

/* A trim that is proven, or of which nothing is left to contradict it. */
static void trim_apply(struct finder *finder) {
    struct dwal__salvage *salvage = finder->salvage;
    uint64_t trim = finder->trim_proven;
    if (trim < finder->recovery->trim_lsn)
        trim = finder->recovery->trim_lsn;
    size_t gone = 0;
    while (gone < salvage->piece_count &&
           salvage->pieces[gone].last_lsn <= trim)
        gone++;
    salvage->piece_count -= gone;
    if (salvage->piece_count > 0) {
        memmove(salvage->pieces, salvage->pieces + gone,
                salvage->piece_count * sizeof salvage->pieces[0]);
        if (salvage->pieces[0].first_lsn <= trim)
            salvage->pieces[0].first_lsn = trim + 1;
    }
    uint64_t first =
        salvage->piece_count > 0 ? salvage->pieces[0].first_lsn : UINT64_MAX;
    uint64_t claimed = finder->trim_claimed;
    if (claimed >= first)
        claimed = first - 1;
    salvage->trim_lsn = trim > claimed ? trim : claimed;
    salvage->last_lsn = finder->known;
    if (salvage->last_lsn < salvage->trim_lsn)
        salvage->last_lsn = salvage->trim_lsn;
}

/* One hole, in two where the watermark lies in it. */
static void hole_add(struct finder *finder, uint64_t from, uint64_t to) {
    struct dwal__salvage *salvage = finder->salvage;
    uint64_t proven = finder->evidence.lsn;
    while (from <= to) {
        bool acknowledged = from <= proven;
        uint64_t end = acknowledged && proven < to ? proven : to;
        salvage->holes[salvage->hole_count++] =
            (struct dwal__salvage_hole){from, end, acknowledged};
        salvage->lost += end - from + 1;
        from = end + 1;
    }
}

static int holes_find(struct finder *finder) {
    struct dwal__salvage *salvage = finder->salvage;
    uint64_t next = salvage->trim_lsn + 1;
    salvage->holes = calloc(salvage->piece_count + 3, sizeof salvage->holes[0]);
    if (salvage->holes == NULL)
        return no_memory(finder);
    for (size_t i = 0; i < salvage->piece_count; i++) {
        const struct dwal__salvage_piece *piece = &salvage->pieces[i];
        hole_add(finder, next, piece->first_lsn - 1);
        next = piece->last_lsn + 1;
        salvage->records += next - piece->first_lsn;
        salvage->bytes += piece->end - piece->offset;
    }
    hole_add(finder, next, salvage->last_lsn);
    return 0;
}

int dwal__salvage_find(const struct dwal__salvage_options *options,
                       const struct dwal__recovery *recovery,
                       struct dwal__salvage *salvage,
                       struct dwal_error *error) {
    struct finder finder = {.options = options,
                            .recovery = recovery,
                            .salvage = salvage,
                            .error = error,
                            .file = {.handle = -1}};
    memset(salvage, 0, sizeof *salvage);
    int code = sources_find(&finder);
    if (code == 0)
        code = sources_scan(&finder);
    if (code == 0) {
        trim_apply(&finder);
        code = holes_find(&finder);
    }
    dwal__source_release(&finder.file);
    if (code != 0)
        dwal__salvage_release(salvage);
    return code;
}

void dwal__salvage_release(struct dwal__salvage *salvage) {
    free(salvage->sources);
    free(salvage->pieces);
    free(salvage->holes);
    memset(salvage, 0, sizeof *salvage);
}
