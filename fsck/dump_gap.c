/* SPDX-License-Identifier: MIT */
/*
 * What a walk does not show, and why: in words on standard error, and with
 * --json as an object in its place among the records. No LSN that is wanted is
 * left out without one or the other.
 */
#include <inttypes.h>
#include <string.h>

#include "cli.h"
#include "dump.h"
#include "json.h"

/* "LSN 7", "LSNs 7 to 9". */
static void range_text(char *text, size_t size, uint64_t from, uint64_t to) {
    if (from == to)
        snprintf(text, size, "LSN %" PRIu64, from);
    else
        snprintf(text, size, "LSNs %" PRIu64 " to %" PRIu64, from, to);
}

static bool json_wanted(const struct dwal__walk *walk) {
    return walk->dump->options->form == DWAL__DUMP_JSON;
}

static void json_begin(struct dwal__json *json, const char *why) {
    dwal__json_begin(json, stdout, "gap");
    dwal__json_string(json, "why", why);
}

static void json_range(struct dwal__json *json, uint64_t from, uint64_t to) {
    if (from > to)
        return;
    dwal__json_u64(json, "first_lsn", from);
    dwal__json_u64(json, "last_lsn", to);
}

void dwal__walk_trimmed(struct dwal__walk *walk, uint64_t lsn) {
    uint64_t from = walk->next_lsn;
    char range[64];
    walk->next_lsn = lsn;
    range_text(range, sizeof range, from, lsn - 1);
    dwal__cli_warning("%s: %s %s trimmed before %s could be read; going on "
                      "with LSN %" PRIu64,
                      walk->dump->options->path, range,
                      from == lsn - 1 ? "was" : "were",
                      from == lsn - 1 ? "it" : "they", lsn);
    if (!json_wanted(walk))
        return;
    struct dwal__json json;
    json_begin(&json, "trimmed");
    json_range(&json, from, lsn - 1);
    dwal__json_end(&json);
}

void dwal__walk_cut(struct dwal__walk *walk, uint64_t last_lsn) {
    uint64_t shown = walk->next_lsn - 1;
    char range[64];
    walk->next_lsn = last_lsn + 1;
    range_text(range, sizeof range, last_lsn + 1, shown);
    dwal__cli_warning("%s: the log was cut behind LSN %" PRIu64
                      "; %s, shown before, %s no part of it any more",
                      walk->dump->options->path, last_lsn, range,
                      shown == last_lsn + 1 ? "is" : "are");
    if (!json_wanted(walk))
        return;
    struct dwal__json json;
    json_begin(&json, "cut");
    json_range(&json, last_lsn + 1, shown);
    dwal__json_end(&json);
}

void dwal__walk_hole(struct dwal__walk *walk,
                     const struct dwal__reader_damage *damage,
                     const char *text) {
    char name[DWAL__NAME_SIZE];
    if (damage->stated)
        dwal__cli_warning("%s: %s", walk->dump->options->path, text);
    else
        dwal__cli_error("%s: %s", walk->dump->options->path, text);
    walk->damaged |= !damage->stated;
    if (walk->next_lsn <= damage->lost_to)
        walk->next_lsn = damage->lost_to + 1;
    if (!json_wanted(walk))
        return;
    struct dwal__json json;
    json_begin(&json, damage->stated ? "lost" : "damaged");
    json_range(&json, damage->lost_from, damage->lost_to);
    if (damage->place.segment != 0) {
        dwal__segment_name(damage->place.segment, name);
        dwal__json_u64(&json, "segment", damage->place.segment);
        dwal__json_string(&json, "file", name);
        dwal__json_u64(&json, "offset", damage->place.offset);
    }
    dwal__json_string(&json, "text", text);
    dwal__json_end(&json);
}
