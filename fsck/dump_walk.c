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

struct walk {
    struct dwal__dump *dump;
    const struct dwal__dump_printer *printer;
    struct progress progress;
    uint64_t rows;
    bool done; /* everything that was asked for was shown */
};

static bool record_matches(const struct dwal__dump_options *options,
                           const struct dwal__record *record) {
    return (!options->filter_type || record->type == options->type) &&
           (!options->filter_tenant || record->tenant == options->tenant) &&
           (!options->filter_shard || record->shard == options->shard);
}

/* Where a live log was trimmed faster than it could be read, the dump goes on
 * with what is there. */
static int trimmed_pass(struct walk *walk, const struct dwal_error *error,
                        struct dwal_error *failure) {
    dwal__cli_warning("%s: while it was read: %s", walk->dump->options->path,
                      error->text);
    return dwal__reader_seek(walk->dump->reader, 0, failure);
}

/* Takes one item; sets walk->done at the last one that is wanted. */
static void item_take(struct walk *walk, const struct dwal__reader_item *item) {
    const struct dwal__dump_options *options = walk->dump->options;
    const struct dwal__record *record = &item->record;
    if (item->batch_index == 0)
        progress_update(&walk->progress, walk->dump, item);
    bool beyond = record->lsn > options->end_lsn;
    if (!beyond && record_matches(options, record) &&
        walk->printer->item(options, item))
        walk->rows++;
    walk->done = record->lsn >= options->end_lsn ||
                 walk->rows >= options->limit || !dwal__cli_output_good();
}

/* To the end of the log, or of segment @number unless that is 0. */
static int items_walk(struct walk *walk, uint64_t number,
                      struct dwal_error *error) {
    struct dwal__reader *reader = walk->dump->reader;
    while (!walk->done) {
        struct dwal__reader_item item;
        int code = dwal__reader_next(reader, &item, error);
        if (dwal__cli_cancelled())
            return DWAL_EAGAIN;
        if (code == DWAL_ETRIMMED && number == 0) {
            struct dwal_error trimmed = *error;
            code = trimmed_pass(walk, &trimmed, error);
            if (code == DWAL_OK)
                continue;
        }
        if (code != DWAL_OK)
            return code;
        if (number != 0 && item.segment > number)
            return DWAL_OK;
        if (number == 0 || item.segment == number)
            item_take(walk, &item);
    }
    return DWAL_OK;
}

/* The part of segment @number that is wanted. */
static int segment_walk(struct walk *walk, uint64_t number,
                        struct dwal_error *error) {
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
    return code == DWAL_OK ? items_walk(walk, number, error) : code;
}

static int digits(uint64_t value, int least) {
    int count = 1;
    for (; value >= 10; value /= 10)
        count++;
    return count > least ? count : least;
}

/* For columns with these titles: LSN, SEGMENT, OFFSET. */
static struct dwal__dump_widths widths_of(const struct dwal__dump *dump) {
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

static const struct dwal__dump_printer printer_nothing = {NULL, nothing_item,
                                                          NULL};

static const struct dwal__dump_printer *
printer_of(const struct dwal__dump_options *options) {
    switch (options->what) {
    case DWAL__DUMP_BATCHES:
        return &dwal__dump_batches;
    case DWAL__DUMP_STATS:
        return &dwal__dump_stats;
    case DWAL__DUMP_NOTHING:
        return &printer_nothing;
    case DWAL__DUMP_RECORDS:
    case DWAL__DUMP_SEGMENTS:
        break;
    }
    return dwal__dump_records(options->form);
}

int dwal__dump_walk(struct dwal__dump *dump) {
    const struct dwal__dump_options *options = dump->options;
    struct walk walk = {.dump = dump,
                        .printer = printer_of(options),
                        .done = options->limit == 0};
    struct dwal_error error;
    int code = DWAL_OK;
    if (!progress_wanted(options))
        dwal__cli_progress_disable();
    dwal__cli_progress_begin("reading");
    if (walk.printer->begin != NULL)
        walk.printer->begin(options, widths_of(dump));
    if (options->segment_count == 0)
        code = items_walk(&walk, 0, &error);
    /* Those behind the end of the log are only named. */
    bool ended = false;
    for (size_t i = 0; i < options->segment_count && code == DWAL_OK; i++) {
        code = segment_walk(&walk, options->segments[i], &error);
        ended |= code == DWAL_END;
        code = code == DWAL_END ? DWAL_OK : code;
    }
    if (code == DWAL_OK && ended)
        code = DWAL_END;
    dwal__cli_progress_end();
    if (walk.printer->end != NULL)
        walk.printer->end(options);
    return dwal__dump_conclude(dump, code, &error);
}

/* ---- the end ---- */

static void torn_tell(const struct dwal__dump *dump,
                      const struct dwal__recovery *recovery) {
    const char *path = dump->options->path;
    char name[DWAL__NAME_SIZE], range[128] = "no record is concerned";
    dwal__segment_name(recovery->end.segment, name);
    if (recovery->undecidable &&
        recovery->undecidable_to == recovery->undecidable_from)
        snprintf(range, sizeof range,
                 "record %" PRIu64 " may or may not have been acknowledged",
                 recovery->undecidable_from);
    else if (recovery->undecidable && recovery->undecidable_to == UINT64_MAX)
        snprintf(range, sizeof range,
                 "records from LSN %" PRIu64 " on may have been acknowledged",
                 recovery->undecidable_from);
    else if (recovery->undecidable)
        snprintf(range, sizeof range,
                 "records %" PRIu64 " to %" PRIu64
                 " may or may not have been acknowledged",
                 recovery->undecidable_from, recovery->undecidable_to);
    if (recovery->end.segment == 0)
        dwal__cli_warning("%s: torn before its first record: %s", path, range);
    else
        dwal__cli_warning("%s: torn behind LSN %" PRIu64 " (%s, offset %" PRIu64
                          "): %s; walfsck -p removes the torn tail",
                          path, recovery->durable_lsn, name,
                          recovery->end.offset, range);
}

static void live_tell(const struct dwal__dump *dump) {
    char holder[128];
    dump->disk->ops->lock_holder(dump->disk, dump->dir, DWAL__LOCK_NAME, holder,
                                 sizeof holder);
    dwal__cli_note("%s: %s is writing it; LSN %" PRIu64
                   " is the last that is known to be durable",
                   dump->options->path,
                   holder[0] != '\0' ? holder : "another process",
                   dwal__reader_end(dump->reader)->lsn);
}

static void end_tell(const struct dwal__dump *dump) {
    const struct dwal__recovery *recovery = dwal__reader_recovery(dump->reader);
    if (recovery != NULL && recovery->verdict == DWAL__VERDICT_TORN)
        torn_tell(dump, recovery);
    else if (dwal__reader_live(dump->reader) &&
             dump->options->what != DWAL__DUMP_NOTHING)
        live_tell(dump);
}

int dwal__dump_conclude(struct dwal__dump *dump, int code,
                        const struct dwal_error *error) {
    const char *path = dump->options->path;
    if (code == DWAL_OK)
        return DWAL__EXIT_CLEAN;
    if (code == DWAL_END) {
        end_tell(dump);
        return DWAL__EXIT_CLEAN;
    }
    if (code == DWAL_EAGAIN)
        return DWAL__EXIT_CANCELLED;
    dwal__cli_error("%s: %s", path, error->text);
    if (code == DWAL_ETRIMMED && dump->reader == NULL)
        dwal__cli_note("without --start the dump begins with the first record "
                       "that is there");
    if (code != DWAL_ECORRUPT)
        return DWAL__EXIT_ERROR;
    if (dump->reader != NULL) {
        const struct dwal__reader_damage *damage =
            dwal__reader_damage(dump->reader);
        if (damage->passable && damage->lost_to < dump->options->end_lsn)
            dwal__cli_note("to go on behind the damage: --start=%" PRIu64,
                           damage->lost_to + 1);
    }
    return DWAL__EXIT_DAMAGED;
}
