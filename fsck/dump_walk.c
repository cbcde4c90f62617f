/* SPDX-License-Identifier: MIT */
/*
 * The walk: from the first record that is wanted to the last, through the
 * filters, to the printer; and what is said when it ends. The exit code never
 * says "clean" when something that was asked for could not be shown.
 */
#include <inttypes.h>
#include <unistd.h>

#include "cli.h"
#include "dump.h"

/* ---- progress ---- */

struct progress {
    uint64_t segment; /* the one that is being read */
    uint64_t before;  /* bytes of those that were read */
    uint64_t total;
};

/* A row on the terminal says more than a bar, and would be mixed up with it. */
static bool progress_wanted(const struct dwal__dump_options *options) {
    return !isatty(STDOUT_FILENO) || options->what == DWAL__DUMP_NOTHING ||
           options->what == DWAL__DUMP_STATS;
}

static void progress_update(struct progress *progress,
                            const struct dwal__dump *dump,
                            const struct dwal__reader_item *item) {
    const struct dwal__lineage *lineage = dwal__reader_lineage(dump->reader);
    if (item->segment != progress->segment) {
        progress->segment = item->segment;
        progress->before = 0;
        progress->total = 0;
        for (size_t i = 0; i < lineage->count; i++) {
            const struct dwal__lineage_segment *segment = &lineage->segments[i];
            uint64_t number = segment->header.number;
            if (!dwal__dump_segment_wanted(dump->options, number))
                continue;
            progress->total += segment->end;
            if (number < item->segment)
                progress->before += segment->end;
        }
    }
    dwal__cli_progress_update(progress->before + item->batch_offset,
                              progress->total);
}

/* ---- the walk ---- */

static bool record_matches(const struct dwal__dump_options *options,
                           const struct dwal__record *record) {
    return (!options->filter_type || record->type == options->type) &&
           (!options->filter_tenant || record->tenant == options->tenant) &&
           (!options->filter_shard || record->shard == options->shard);
}

void dwal__walk_take(struct dwal__walk *walk,
                     const struct dwal__reader_item *item) {
    const struct dwal__dump_options *options = walk->dump->options;
    const struct dwal__dump_printer *printer = walk->printer;
    const struct dwal__record *record = &item->record;
    bool beyond = record->lsn > options->end_lsn;
    walk->segment = item->segment;
    if (record->lsn != 0) {
        if (walk->next_lsn != 0 && record->lsn > walk->next_lsn && !beyond)
            dwal__walk_trimmed(walk, record->lsn);
        walk->next_lsn = record->lsn + 1;
    }
    if (!beyond && record_matches(options, record) &&
        printer->item(options, item))
        walk->rows++;
    walk->done = record->lsn >= options->end_lsn ||
                 walk->rows >= options->limit || !dwal__cli_output_good() ||
                 (printer->failed != NULL && printer->failed());
}

/* A live log was trimmed faster than it could be read: the walk goes on with
 * what is there. */
static int trimmed_pass(struct dwal__walk *walk, struct dwal_error *error) {
    struct dwal__reader *reader = walk->dump->reader;
    int code = dwal__reader_seek(reader, 0, error);
    if (code != DWAL_OK)
        return code;
    uint64_t first_lsn = dwal__reader_first_lsn(reader);
    if (walk->next_lsn != 0 && first_lsn > walk->next_lsn)
        dwal__walk_trimmed(walk, first_lsn);
    return DWAL_OK;
}

/* A follower has shown records that are no part of the log any more: goes on
 * behind the last one that is. That is what the first cut behind the segment
 * of the last item says. */
static int cut_pass(struct dwal__walk *walk, struct dwal_error *error) {
    struct dwal__reader *reader = walk->dump->reader;
    const struct dwal__lineage *lineage = dwal__reader_lineage(reader);
    for (size_t i = 0; i < lineage->count; i++) {
        const struct dwal__lineage_segment *segment = &lineage->segments[i];
        uint64_t kept = segment->start.previous_lsn;
        if (segment->header.number <= walk->segment ||
            (segment->start.flags & DWAL__START_CUT) == 0 ||
            kept + 1 >= walk->next_lsn)
            continue;
        int code = dwal__reader_seek(reader, kept + 1, error);
        if (code == DWAL_OK)
            dwal__walk_cut(walk, kept);
        return code;
    }
    return DWAL_ECUT;
}

/* The log is corrupt, as @why says: shows what is whole behind that. */
static int beyond_pass(struct dwal__walk *walk, const struct dwal_error *why,
                       struct dwal_error *error) {
    dwal__cli_error("%s: %s", walk->dump->options->path, why->text);
    walk->damaged = true;
    int code = dwal__walk_beyond(walk, error);
    walk->done = true;
    return code;
}

/* Goes on behind damage, here or, where the reader knows no way on, without
 * it. */
static int damage_pass(struct dwal__walk *walk, struct dwal_error *error) {
    struct dwal__reader *reader = walk->dump->reader;
    struct dwal_error behind;
    struct dwal__reader_damage damage = *dwal__reader_damage(reader);
    if (damage.lost_from > walk->dump->options->end_lsn) {
        walk->done = true;
        return DWAL_OK;
    }
    int code = dwal__reader_pass(reader, &behind);
    if (code == DWAL_OK) {
        dwal__walk_hole(walk, &damage, error->text);
        return DWAL_OK;
    }
    if (code == DWAL_ECORRUPT && !dwal__reader_live(reader))
        return beyond_pass(walk, error, error);
    if (code != DWAL_ECORRUPT)
        *error = behind;
    return code;
}

/* At the end: waits for more, if it may be. */
static int end_wait(struct dwal__walk *walk, struct dwal__follow *follow) {
    struct dwal__dump *dump = walk->dump;
    if (!dump->options->follow)
        return DWAL_END;
    dwal__dump_torn_tell(dump);
    if (!dwal__follow_wait(follow, dump))
        walk->done = true;
    return DWAL_OK;
}

/* What reading ended with: gets over it, if that is wanted. DWAL_OK if so. */
static int obstacle_pass(struct dwal__walk *walk, struct dwal__follow *follow,
                         int code, struct dwal_error *error) {
    const struct dwal__dump_options *options = walk->dump->options;
    switch (code) {
    case DWAL_END:
        return end_wait(walk, follow);
    case DWAL_ETRIMMED:
        return trimmed_pass(walk, error);
    case DWAL_ECUT:
        return cut_pass(walk, error);
    case DWAL_ECORRUPT:
        /* What the log itself says is lost is no damage of it (SPEC 6.1). */
        return options->skip_damage ||
                       dwal__reader_damage(walk->dump->reader)->stated
                   ? damage_pass(walk, error)
                   : code;
    default:
        return code;
    }
}

/* To the end of the log, or for ever. */
static int items_walk(struct dwal__walk *walk, struct dwal__follow *follow,
                      struct dwal_error *error) {
    struct dwal__dump *dump = walk->dump;
    struct progress progress = {0};
    while (!walk->done) {
        struct dwal__reader_item item;
        int code = dwal__reader_next(dump->reader, &item, error);
        if (dwal__cli_cancelled())
            return dump->options->follow ? DWAL_OK : DWAL_EAGAIN;
        if (code != DWAL_OK) {
            code = obstacle_pass(walk, follow, code, error);
            if (code != DWAL_OK)
                return code;
            continue;
        }
        dwal__follow_moved(follow);
        if (item.batch_index == 0)
            progress_update(&progress, dump, &item);
        dwal__walk_take(walk, &item);
    }
    /* A printer that waits was interrupted, too. */
    return dwal__cli_cancelled() && !dump->options->follow ? DWAL_EAGAIN
                                                           : DWAL_OK;
}

/* ---- single segments ---- */

/* To the end of segment @number. */
static int segment_items_walk(struct dwal__walk *walk, uint64_t number,
                              struct progress *progress,
                              struct dwal_error *error) {
    while (!walk->done) {
        struct dwal__reader_item item;
        int code = dwal__reader_next(walk->dump->reader, &item, error);
        if (dwal__cli_cancelled())
            return DWAL_EAGAIN;
        if (code != DWAL_OK || item.segment > number)
            return code;
        if (item.batch_index == 0)
            progress_update(progress, walk->dump, &item);
        if (item.segment == number)
            dwal__walk_take(walk, &item);
    }
    return DWAL_OK;
}

/* The part of segment @number that is wanted. */
static int segment_walk(struct dwal__walk *walk, uint64_t number,
                        struct progress *progress, struct dwal_error *error) {
    struct dwal__dump *dump = walk->dump;
    uint64_t start_lsn = dump->options->start_lsn;
    const struct dwal__lineage_segment *segment =
        dwal__dump_lineage_segment(dump, number);
    if (segment == NULL) {
        char name[DWAL__NAME_SIZE];
        dwal__segment_name(number, name);
        dwal__cli_warning("%s: %s holds no records of the log: it is %s",
                          dump->options->path, name,
                          dwal__dump_segment_state(dump, number));
        return DWAL_OK;
    }
    if (start_lsn > segment->last_lsn)
        return DWAL_OK;
    int code = start_lsn > segment->first_lsn
                   ? dwal__reader_seek(dump->reader, start_lsn, error)
                   : dwal__reader_seek_segment(dump->reader, number, error);
    walk->next_lsn = 0;
    return code == DWAL_OK ? segment_items_walk(walk, number, progress, error)
                           : code;
}

/* Those behind the end of the log are only named. */
static int segments_walk(struct dwal__walk *walk, struct dwal_error *error) {
    const struct dwal__dump_options *options = walk->dump->options;
    struct progress progress = {0};
    int code = DWAL_OK;
    bool ended = false;
    for (size_t i = 0; i < options->segment_count && code == DWAL_OK; i++) {
        code = segment_walk(walk, options->segments[i], &progress, error);
        ended |= code == DWAL_END;
        code = code == DWAL_END ? DWAL_OK : code;
    }
    return code == DWAL_OK && ended ? DWAL_END : code;
}

/* ---- all of it ---- */

static int digits(uint64_t value, int least) {
    int count = 1;
    for (; value >= 10; value /= 10)
        count++;
    return count > least ? count : least;
}

/* For columns with these titles: LSN, SEGMENT, OFFSET. */
static struct dwal__dump_widths widths_of(const struct dwal__dump *dump) {
    if (dump->reader == NULL)
        return (struct dwal__dump_widths){.lsn = 3, .segment = 7, .offset = 6};
    const struct dwal__lineage *lineage = dwal__reader_lineage(dump->reader);
    const struct dwal__watermark *end = dwal__reader_end(dump->reader);
    uint64_t offset = 0;
    for (size_t i = 0; i < lineage->count; i++)
        if (lineage->segments[i].end > offset)
            offset = lineage->segments[i].end;
    return (struct dwal__dump_widths){.lsn = digits(end->lsn, 3),
                                      .segment =
                                          digits(end->position.segment, 7),
                                      .offset = digits(offset, 6)};
}

static bool nothing_item(const struct dwal__dump_options *options,
                         const struct dwal__reader_item *item) {
    (void)options;
    (void)item;
    return true;
}

static const struct dwal__dump_printer printer_nothing = {.item = nothing_item};

static const struct dwal__dump_printer *
printer_of(const struct dwal__dump_options *options) {
    switch (options->what) {
    case DWAL__DUMP_BATCHES:
        return &dwal__dump_batches;
    case DWAL__DUMP_STATS:
        return &dwal__dump_stats;
    case DWAL__DUMP_EXTRACT:
        return &dwal__dump_extract;
    case DWAL__DUMP_NOTHING:
        return &printer_nothing;
    case DWAL__DUMP_RECORDS:
    case DWAL__DUMP_SEGMENTS:
    case DWAL__DUMP_MAP:
        break;
    }
    return dwal__dump_records(options->form);
}

static int log_walk(struct dwal__walk *walk, struct dwal_error *error) {
    const struct dwal__dump *dump = walk->dump;
    struct dwal__follow follow = {.notify = -1};
    if (dump->options->segment_count > 0)
        return segments_walk(walk, error);
    if (dump->options->follow)
        dwal__follow_begin(&follow, dump);
    uint64_t first_lsn = dwal__reader_first_lsn(dump->reader);
    if (walk->next_lsn != 0 && walk->next_lsn < first_lsn)
        dwal__walk_trimmed(walk, first_lsn);
    int code = items_walk(walk, &follow, error);
    dwal__follow_end(&follow);
    return code;
}

/* Nothing is known of a first record yet. */
static int corrupt_walk(struct dwal__walk *walk, struct dwal_error *error) {
    struct dwal_error why = *error;
    return beyond_pass(walk, &why, error);
}

int dwal__dump_walk(struct dwal__dump *dump, int code,
                    struct dwal_error *error) {
    const struct dwal__dump_options *options = dump->options;
    struct dwal__walk walk = {.dump = dump,
                              .printer = printer_of(options),
                              .next_lsn = options->start_lsn,
                              .done = options->limit == 0};
    if (!progress_wanted(options))
        dwal__cli_progress_disable();
    dwal__cli_progress_begin("reading");
    if (walk.printer->begin != NULL)
        walk.printer->begin(options, widths_of(dump));
    code =
        code == DWAL_OK ? log_walk(&walk, error) : corrupt_walk(&walk, error);
    dwal__cli_progress_end();
    int status = walk.damaged ? DWAL__EXIT_DAMAGED : DWAL__EXIT_CLEAN;
    if (walk.printer->end != NULL)
        status |= walk.printer->end(options);
    return status | dwal__dump_conclude(dump, code, error);
}
