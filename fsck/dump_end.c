/* SPDX-License-Identifier: MIT */
/*
 * What is said when reading ends, and the exit code that goes with it.
 */
#include <inttypes.h>

#include "cli.h"
#include "dump.h"

/* SPEC 7.8, at the end of the log. */
static bool flipped(const struct dwal__dump *dump,
                    const struct dwal__recovery *recovery) {
    const struct dwal__found_segment *found =
        dwal__dump_found_segment(dump, recovery->end.segment);
    return found != NULL && found->flipped;
}

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
        dwal__cli_warning(
            "%s: torn behind LSN %" PRIu64 " (%s, offset %" PRIu64 "): %s; %s",
            path, recovery->durable_lsn, name, recovery->end.offset, range,
            flipped(dump, recovery)
                ? "it had been whole, and one bit has flipped "
                  "since: see walfsck"
                : "walfsck -p removes the torn tail");
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

bool dwal__dump_torn_tell(struct dwal__dump *dump) {
    const struct dwal__recovery *recovery = dwal__reader_recovery(dump->reader);
    if (recovery == NULL || recovery->verdict != DWAL__VERDICT_TORN)
        return false;
    if (!dump->torn_told ||
        dwal__position_compare(dump->torn, recovery->end) != 0)
        torn_tell(dump, recovery);
    dump->torn_told = true;
    dump->torn = recovery->end;
    return true;
}

static void end_tell(struct dwal__dump *dump) {
    if (!dwal__dump_torn_tell(dump) && dwal__reader_live(dump->reader) &&
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
            dwal__cli_note("to go on behind the damage: --skip-damage, or "
                           "--start=%" PRIu64,
                           damage->lost_to + 1);
    }
    return DWAL__EXIT_DAMAGED;
}
