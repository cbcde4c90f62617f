/* SPDX-License-Identifier: MIT */
/*
 * What walfsck says last: what a person does next, or the summary in JSON.
 */
#include <inttypes.h>
#include <stdio.h>

#include "print_parts.h"

/* Nothing is damaged, and yet --require asks for more than there is. */
static bool only_required_missing(const struct dwal__check *check) {
    if (check->recovery.verdict == DWAL__VERDICT_CORRUPT)
        return false;
    for (size_t i = 0; i < check->problem_count; i++)
        if (check->problems[i].row->severity == DWAL__SEVERITY_DAMAGE &&
            check->problems[i].row !=
                &dwal__problems[DWAL__PROBLEM_REQUIRED_MISSING])
            return false;
    return check->counts[DWAL__SEVERITY_DAMAGE] > 0;
}

static bool problem_told(const struct dwal__check *check,
                         enum dwal__problem_id id) {
    for (size_t i = 0; i < check->problem_count; i++)
        if (check->problems[i].row == &dwal__problems[id])
            return true;
    return false;
}

/* What a person does next, when damage or a torn tail is left. */
static void next_left(const struct dwal__check *check) {
    const struct dwal__recovery *recovery = &check->recovery;
    char path[DWAL__PRINT_WORD_SIZE];
    dwal__print_word(check->settings->path, path);
    if (recovery->verdict == DWAL__VERDICT_UNREADABLE ||
        check->counts[DWAL__SEVERITY_FATAL] > 0)
        dwal__print_line(
            DWAL__STYLE_BOLD,
            "next: make the files readable, then run walfsck %s again", path);
    else if (only_required_missing(check))
        dwal__print_line(
            DWAL__STYLE_BOLD,
            "next: restore the missing records from a copy or a replica; the "
            "log itself needs no repair, and can be opened without them");
    else if (dwal__print_mends(check) == DWAL__MENDS_ALL)
        dwal__print_line(
            DWAL__STYLE_BOLD,
            "next: copy the directory, then let walfsck -y %s mend it as said "
            "above, which loses no record",
            path);
    else if (check->counts[DWAL__SEVERITY_DAMAGE] > 0 ||
             recovery->verdict == DWAL__VERDICT_CORRUPT)
        dwal__print_line(
            DWAL__STYLE_BOLD,
            "next: copy the directory, and restore what is lost from a "
            "replica or a backup; if there is none, %swalfsck --salvage "
            "NEWDIR %s saves every record that is whole, and walfsck -y %s "
            "makes the log usable as said above",
            problem_told(check, DWAL__PROBLEM_HEADER_BAD)
                ? "try walfsck --rebuild-header; "
                : "",
            path, path);
    else
        dwal__print_line(
            DWAL__STYLE_BOLD,
            "next: nothing has to be done: the next writer goes on behind "
            "LSN %" PRIu64 "; walfsck -p %s removes the torn tail for good",
            recovery->durable_lsn, path);
}

static void summary_text(const struct dwal__check *check,
                         const struct dwal__print_result *result) {
    if (!check->settings->verbose && check->counts[DWAL__SEVERITY_NOTE] > 0 &&
        result->left + result->problems == 0)
        dwal__print_line(DWAL__STYLE_PLAIN,
                         "%" PRIu64 " segments, nothing wrong",
                         (uint64_t)check->recovery.segment_count);
    if (check->settings->salvage != NULL && !check->settings->dry)
        dwal__print_line(
            DWAL__STYLE_BOLD,
            "next: walfsck, waldump and the library read %s; keep %s until "
            "nobody misses anything",
            check->settings->salvage, check->settings->path);
    else if (result->left > 0 || check->recovery.verdict != DWAL__VERDICT_CLEAN)
        next_left(check);
    else if (result->repaired)
        dwal__print_line(DWAL__STYLE_BOLD,
                         "next: nothing has to be done: the log can be "
                         "opened");
    else
        dwal__print_line(DWAL__STYLE_PLAIN, "next: nothing has to be done");
}

/* Of the log: what recovery found at last. */
static void recovery_json(struct dwal__json *json,
                          const struct dwal__recovery *recovery) {
    bool settled = dwal__recovery_settled(recovery);
    uint64_t first = settled ? recovery->first_lsn : 0;
    uint64_t durable = settled ? recovery->durable_lsn : 0;
    uint64_t batches = 0, live = 0;
    for (size_t i = 0; i < recovery->segment_count; i++)
        if (recovery->segments[i].live) {
            live++;
            batches += recovery->segments[i].run_batches;
        }
    dwal__json_string(json, "verdict", dwal__verdict_name(recovery->verdict));
    dwal__json_string(json, "row", recovery->decision->name);
    dwal__json_u64(json, "first_lsn", first);
    dwal__json_u64(json, "durable_lsn", durable);
    dwal__print_range(json, "undecidable", recovery->undecidable,
                      recovery->undecidable_from, recovery->undecidable_to);
    dwal__print_range(json, "lost", dwal__print_lost(recovery),
                      recovery->lost_from, recovery->lost_to);
    dwal__json_u64(json, "segments", recovery->segment_count);
    dwal__json_u64(json, "live_segments", settled ? live : 0);
    dwal__json_u64(json, "batches", settled ? batches : 0);
    dwal__json_u64(json, "records",
                   settled && first <= durable
                       ? durable - first + 1 - dwal__check_stated(recovery)
                       : 0);
    dwal__json_u64(json, "stated_lost",
                   settled ? dwal__check_stated(recovery) : 0);
    uint64_t bytes = 0;
    for (size_t i = 0; i < recovery->segment_count; i++)
        bytes += recovery->segments[i].file_size;
    dwal__json_u64(json, "bytes", bytes);
    dwal__json_u64(json, "bytes_read", recovery->bytes_read);
}

void dwal__print_summary(const struct dwal__check *check,
                         const struct dwal__print_result *result) {
    if (!check->settings->json) {
        summary_text(check, result);
        return;
    }
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "summary");
    dwal__json_u64(&json, "schema", 1);
    recovery_json(&json, &check->recovery);
    dwal__json_string(&json, "verdict_before",
                      dwal__verdict_name(result->verdict));
    dwal__json_u64(&json, "problems", result->problems);
    dwal__json_u64(&json, "repaired", result->problems - result->left);
    dwal__json_u64(&json, "left", result->left);
    dwal__json_u64(&json, "notes", check->counts[DWAL__SEVERITY_NOTE]);
    dwal__json_string(&json, "undo", result->undo);
    dwal__json_u64(&json, "exit", (uint64_t)result->status);
    dwal__json_end(&json);
}
