/* SPDX-License-Identifier: MIT */
/* What walfsck says of a salvage: what is whole, and what is lost. */
#include <inttypes.h>
#include <stdio.h>

#include "print_parts.h"

static void hole_print(const struct dwal__check *check,
                       const struct dwal__salvage_hole *hole) {
    if (check->settings->json) {
        struct dwal__json json;
        dwal__json_begin(&json, stdout, "hole");
        dwal__json_u64(&json, "from", hole->from);
        dwal__json_u64(&json, "to", hole->to);
        dwal__json_bool(&json, "acknowledged", hole->acknowledged);
        dwal__json_end(&json);
        return;
    }
    char range[DWAL__RANGE_TEXT_SIZE];
    dwal__range_text(hole->from, hole->to, range);
    dwal__print_line(DWAL__STYLE_RED, "    %s: lost, and %s", range,
                     hole->acknowledged ? "had been acknowledged"
                                        : "may have been acknowledged or not");
}

static void salvage_text(const struct dwal__salvage *salvage) {
    char size[DWAL__SIZE_TEXT], range[DWAL__RANGE_TEXT_SIZE];
    dwal__cli_size_text(salvage->bytes, size);
    dwal__range_text(salvage->trim_lsn + 1, salvage->last_lsn, range);
    dwal__print_line(
        DWAL__STYLE_BOLD, "salvage: %" PRIu64 " records are whole (%s)%s%s",
        salvage->records, size, range[0] != '\0' ? ", of " : "", range);
    if (salvage->trim_lsn > 0)
        dwal__print_line(DWAL__STYLE_PLAIN,
                         "    up to LSN %" PRIu64 " it was trimmed",
                         salvage->trim_lsn);
    if (salvage->left_out > 0)
        dwal__print_line(DWAL__STYLE_PLAIN,
                         "    %" PRIu64
                         " records that a crash may have given up, and LSNs "
                         "that were given again, are left out",
                         salvage->left_out);
    if (salvage->strangers > 0)
        dwal__print_line(DWAL__STYLE_PLAIN,
                         "    %" PRIu64
                         " files of other logs, and copies, are left out",
                         salvage->strangers);
    dwal__cli_size_text(salvage->unreadable_bytes, size);
    if (salvage->unreadable_bytes + salvage->unreadable_files > 0)
        dwal__print_line(DWAL__STYLE_RED,
                         "    %" PRIu64
                         " files and %s in others cannot be read",
                         salvage->unreadable_files, size);
}

void dwal__print_salvage(const struct dwal__check *check,
                         const struct dwal__salvage *salvage) {
    if (!check->settings->json)
        salvage_text(salvage);
    for (size_t i = 0; i < salvage->hole_count; i++)
        hole_print(check, &salvage->holes[i]);
    fflush(stdout);
}

static void salvaged_json(const struct dwal__check *check,
                          const struct dwal__salvage *salvage) {
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "salvage");
    dwal__json_bool(&json, "done", !check->settings->dry);
    dwal__json_string(&json, "directory", check->settings->salvage);
    dwal__json_u64(&json, "first_lsn", salvage->trim_lsn + 1);
    dwal__json_u64(&json, "last_lsn", salvage->last_lsn);
    dwal__json_u64(&json, "records", salvage->records);
    dwal__json_u64(&json, "bytes", salvage->bytes);
    dwal__json_u64(&json, "holes", salvage->hole_count);
    dwal__json_u64(&json, "lost", salvage->lost);
    dwal__json_u64(&json, "left_out", salvage->left_out);
    dwal__json_u64(&json, "strangers", salvage->strangers);
    dwal__json_u64(&json, "unreadable_files", salvage->unreadable_files);
    dwal__json_u64(&json, "unreadable_bytes", salvage->unreadable_bytes);
    dwal__json_end(&json);
}

void dwal__print_salvaged(const struct dwal__check *check,
                          const struct dwal__salvage *salvage) {
    if (check->settings->json) {
        salvaged_json(check, salvage);
        return;
    }
    if (check->settings->dry) {
        dwal__print_line(DWAL__STYLE_PLAIN,
                         "nothing is made, since -n was given");
        return;
    }
    dwal__print_line(DWAL__STYLE_GREEN,
                     "%s: a log in order, with these %" PRIu64
                     " records and their LSNs%s; nothing was changed in %s",
                     check->settings->salvage, salvage->records,
                     salvage->lost > 0 ? ", and the lost ones named" : "",
                     check->settings->path);
}
