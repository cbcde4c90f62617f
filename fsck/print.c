/* SPDX-License-Identifier: MIT */
/*
 * What walfsck says while it looks: how far it is, how it is with the log, and
 * what is wrong, where, and what to do about it. Written for somebody who is
 * woken at night. What it says of repairs, of a salvage and at the end is in
 * print_repair.c, print_salvage.c and print_summary.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "print_parts.h"

#define PROGRESS_NS UINT64_C(1000000000)

/* ---- progress ---- */

/* Never set back, as the wall clock may be. */
static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A line for the reader of -C FD. */
static void progress_write(const struct dwal__check_settings *settings,
                           uint64_t done, uint64_t total) {
    if (settings->progress_fd < 0)
        return;
    uint64_t percent = total > 0 ? done * 100 / total : 100;
    dprintf(settings->progress_fd, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
            percent, done, total);
}

void dwal__print_progress_end(const struct dwal__check *check) {
    uint64_t bytes = check->recovery.bytes_read;
    progress_write(check->settings, bytes, bytes);
}

void dwal__print_progress(struct dwal__check *check, uint64_t done,
                          uint64_t total) {
    const struct dwal__check_settings *settings = check->settings;
    uint64_t now = monotonic_ns();
    dwal__cli_progress_update(done, total);
    if (check->progress_ns != 0 && now - check->progress_ns < PROGRESS_NS)
        return;
    check->progress_ns = now;
    progress_write(settings, done, total);
    if (settings->json) {
        struct dwal__json json;
        dwal__json_begin(&json, stdout, "progress");
        dwal__json_u64(&json, "done", done);
        dwal__json_u64(&json, "total", total);
        dwal__json_end(&json);
        fflush(stdout);
    }
}

/* ---- the verdict and the problems ---- */

static enum dwal__cli_style verdict_style(enum dwal__verdict verdict) {
    switch (verdict) {
    case DWAL__VERDICT_CLEAN:
        return DWAL__STYLE_GREEN;
    case DWAL__VERDICT_TORN:
        return DWAL__STYLE_YELLOW;
    default:
        return DWAL__STYLE_RED;
    }
}

/* "LSNs 3 to 15 are durable", "no records, the next is LSN 16". */
static void records_text(const struct dwal__recovery *recovery,
                         char text[DWAL__RANGE_TEXT_SIZE]) {
    uint64_t first = recovery->first_lsn, last = recovery->durable_lsn;
    if (first > last)
        snprintf(text, DWAL__RANGE_TEXT_SIZE,
                 "no records, the next is LSN %" PRIu64, last + 1);
    else if (first == last)
        snprintf(text, DWAL__RANGE_TEXT_SIZE, "LSN %" PRIu64 " is durable",
                 first);
    else
        snprintf(text, DWAL__RANGE_TEXT_SIZE,
                 "LSNs %" PRIu64 " to %" PRIu64 " are durable", first, last);
}

/* ", LSNs 12 to 14 are <what>", or nothing. */
static void more_text(bool present, uint64_t from, uint64_t to,
                      const char *what, char *text, size_t size) {
    char range[DWAL__RANGE_TEXT_SIZE];
    text[0] = '\0';
    if (!present)
        return;
    dwal__range_text(from, to, range);
    if (range[0] == '\0')
        snprintf(text, size, ", metadata or trims are %s", what);
    else
        snprintf(text, size, ", %s %s %s", range, from == to ? "is" : "are",
                 what);
}

/* What has become of the records behind damage. */
static const char *lost_word(const struct dwal__check *check) {
    switch (dwal__print_mends(check)) {
    case DWAL__MENDS_ALL:
        return "behind damage that walfsck -y mends";
    case DWAL__MENDS_SOME:
        return "lost, or behind damage that walfsck -y mends";
    case DWAL__MENDS_NOTHING:
        break;
    }
    return "lost";
}

void dwal__print_verdict(const struct dwal__check *check) {
    const struct dwal__recovery *recovery = &check->recovery;
    const char *verdict = dwal__verdict_name(recovery->verdict);
    char records[DWAL__RANGE_TEXT_SIZE], undecidable[128], lost[192];
    if (check->settings->json)
        return;
    enum dwal__cli_style style = verdict_style(recovery->verdict);
    if (!dwal__recovery_settled(recovery)) {
        dwal__print_line(style, "%s: %s", check->settings->path, verdict);
    } else {
        records_text(recovery, records);
        more_text(recovery->undecidable, recovery->undecidable_from,
                  recovery->undecidable_to, "undecidable", undecidable,
                  sizeof undecidable);
        more_text(dwal__print_lost(recovery), recovery->lost_from,
                  recovery->lost_to, lost_word(check), lost, sizeof lost);
        uint64_t stated = dwal__check_stated(recovery);
        char holes[64] = "";
        if (stated > 0)
            snprintf(holes, sizeof holes, " but for %" PRIu64 " that are lost",
                     stated);
        dwal__print_line(style, "%s: %s: %s%s%s%s", check->settings->path,
                         verdict, records, holes, undecidable, lost);
    }
    dwal__print_line(DWAL__STYLE_PLAIN, "    %s", recovery->decision->text);
}

/* True if @row's remedy tells how much of the log a repair gives up. */
static bool remedy_gives_up(const struct dwal__problem *row) {
    static const enum dwal__problem_id ids[] = {
        DWAL__PROBLEM_HEADER_BAD,        DWAL__PROBLEM_SEGMENT_MISSING,
        DWAL__PROBLEM_SUCCESSOR_MISSING, DWAL__PROBLEM_CHAIN_BROKEN,
        DWAL__PROBLEM_BATCH_BAD,         DWAL__PROBLEM_EVIDENCE_BEYOND};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (row == &dwal__problems[ids[i]])
            return true;
    return false;
}

/* What to do about it. */
static const char *remedy_text(const struct dwal__check *check,
                               const struct dwal__problem *row) {
    enum dwal__print_mends mends = dwal__print_mends(check);
    if (mends == DWAL__MENDS_NOTHING || !remedy_gives_up(row))
        return row->remedy;
    return mends == DWAL__MENDS_ALL
               ? "walfsck -y mends what is damaged and loses no record; or put "
                 "the file back from a copy"
               : "put the file back from a copy; walfsck -y mends what "
                 "checksums prove, and gives up the rest";
}

static void problem_json(const struct dwal__check_problem *problem,
                         const char *text, const char *remedy) {
    const struct dwal__problem *row = problem->row;
    const struct dwal__finding *finding = &problem->finding;
    struct dwal__json json;
    dwal__json_begin(&json, stdout,
                     row->severity == DWAL__SEVERITY_NOTE ? "note" : "problem");
    dwal__json_u64(&json, "number", row->number);
    dwal__json_string(&json, "name", row->name);
    dwal__json_string(&json, "severity", dwal__severity_name(row->severity));
    dwal__json_string(&json, "file", finding->name);
    if (finding->segment != 0) {
        dwal__json_u64(&json, "segment", finding->segment);
        dwal__json_u64(&json, "offset", finding->offset);
    } else {
        dwal__json_null(&json, "segment");
        dwal__json_null(&json, "offset");
    }
    if (finding->kind == DWAL__FINDING_TAIL_FLIPPED)
        dwal__json_u64(&json, "bit", finding->other);
    dwal__print_range(&json, "lsns", true, finding->lsn_from, finding->lsn_to);
    dwal__json_string(&json, "text", text);
    dwal__json_string(&json, "remedy", remedy);
    dwal__json_string(&json, "repair",
                      row->permit == DWAL__PERMIT_NEVER
                          ? NULL
                          : dwal__permit_name(row->permit));
    dwal__json_string(&json, "spec", row->section);
    dwal__json_end(&json);
}

static void place_text(const struct dwal__finding *finding, char *text,
                       size_t size) {
    const char *name = finding->name != NULL ? finding->name : "the directory";
    if (finding->segment != 0)
        snprintf(text, size, "%s, offset %" PRIu64, name, finding->offset);
    else
        snprintf(text, size, "%s", name);
}

bool dwal__print_problem(const struct dwal__check *check,
                         const struct dwal__check_problem *problem) {
    const struct dwal__problem *row = problem->row;
    bool note = row->severity == DWAL__SEVERITY_NOTE;
    bool hole = row == &dwal__problems[DWAL__PROBLEM_LOST_STATED];
    char text[DWAL__PROBLEM_TEXT_SIZE];
    dwal__problem_text(row, &problem->finding, text);
    if (check->settings->json) {
        problem_json(problem, text, remedy_text(check, row));
    } else if (!note || hole || check->settings->verbose) {
        char place[320];
        place_text(&problem->finding, place, sizeof place);
        dwal__print_line(row->severity == DWAL__SEVERITY_TORN || note
                             ? DWAL__STYLE_BOLD
                             : DWAL__STYLE_RED,
                         "%s %u (%s): %s",
                         note                                   ? "note"
                         : row->severity == DWAL__SEVERITY_TORN ? "problem"
                                                                : "damage",
                         row->number, row->name, place);
        dwal__print_line(DWAL__STYLE_PLAIN, "    %s", text);
        if (!note || hole)
            dwal__print_line(DWAL__STYLE_PLAIN, "    remedy: %s",
                             remedy_text(check, row));
    }
    return dwal__check_permits(check, row);
}

/* ---- errors of the tool ---- */

int dwal__print_error(const struct dwal__check_settings *settings,
                      const struct dwal_error *error, int status) {
    dwal__cli_error("%s", error->text);
    if (!settings->json)
        return status;
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "error");
    dwal__json_u64(&json, "schema", 1);
    dwal__json_string(&json, "text", error->text);
    /* A tool has no staging buffers: here it means that it was cancelled. */
    dwal__json_string(&json, "reason",
                      error->code == DWAL_EAGAIN
                          ? "cancelled by a signal"
                          : dwal_error_text(error->code));
    dwal__json_u64(&json, "exit", (uint64_t)status);
    dwal__json_end(&json);
    return status;
}
