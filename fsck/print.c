/* SPDX-License-Identifier: MIT */
/*
 * Everything that walfsck says. Written for somebody who is woken at night:
 * first how it is with the log, then what is wrong, where, and what to do about
 * it, last the next step. All text that comes from a disk or a command line is
 * escaped on its way to a terminal.
 */
#include "print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "json.h"

#define PROGRESS_NS UINT64_C(1000000000)

/* ---- text ---- */

/* A line on standard output, its control characters escaped. */
__attribute__((format(printf, 2, 3))) static void
line(enum dwal__cli_style style, const char *format, ...) {
    char text[8192];
    char shown[4 * sizeof text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dwal__cli_message_escape(text, shown);
    dwal__cli_progress_erase();
    printf("%s%s%s\n", dwal__cli_style(stdout, style), shown,
           dwal__cli_style(stdout, DWAL__STYLE_PLAIN));
}

/* @path as a word for a shell; in quotes if it needs some. */
#define WORD_SIZE 4200
static void word_text(const char *path, char word[WORD_SIZE]) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_./+:@%,=-";
    if (path[0] != '\0' && strspn(path, plain) == strlen(path)) {
        snprintf(word, WORD_SIZE, "%s", path);
        return;
    }
    size_t used = 0;
    word[used++] = '\'';
    for (; *path != '\0' && used < WORD_SIZE - 6; path++) {
        if (*path == '\'') {
            memcpy(word + used, "'\\''", 4);
            used += 4;
        } else {
            word[used++] = *path;
        }
    }
    word[used++] = '\'';
    word[used] = '\0';
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

/* True if the verdict is that acknowledged data is gone, and which. */
static bool records_lost(const struct dwal__recovery *recovery) {
    return dwal__recovery_settled(recovery) &&
           (recovery->facts.bits & DWAL__FACT_EVIDENCE_BEYOND) != 0;
}

static void place_text(const struct dwal__finding *finding, char *text,
                       size_t size) {
    const char *name = finding->name != NULL ? finding->name : "the directory";
    if (finding->segment != 0)
        snprintf(text, size, "%s, offset %" PRIu64, name, finding->offset);
    else
        snprintf(text, size, "%s", name);
}

/* ---- JSON ---- */

/* null, or an object; open above: "to" is null. */
static void json_range(struct dwal__json *json, const char *name, bool present,
                       uint64_t from, uint64_t to) {
    if (!present || from > to) {
        dwal__json_null(json, name);
        return;
    }
    dwal__json_object_open(json, name);
    dwal__json_u64(json, "from", from);
    if (to == UINT64_MAX)
        dwal__json_null(json, "to");
    else
        dwal__json_u64(json, "to", to);
    dwal__json_object_close(json);
}

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

void dwal__print_verdict(const struct dwal__check *check) {
    const struct dwal__recovery *recovery = &check->recovery;
    const char *verdict = dwal__verdict_name(recovery->verdict);
    char records[DWAL__RANGE_TEXT_SIZE], undecidable[128], lost[128];
    if (check->settings->json)
        return;
    enum dwal__cli_style style = verdict_style(recovery->verdict);
    if (!dwal__recovery_settled(recovery)) {
        line(style, "%s: %s", check->settings->path, verdict);
    } else {
        records_text(recovery, records);
        more_text(recovery->undecidable, recovery->undecidable_from,
                  recovery->undecidable_to, "undecidable", undecidable,
                  sizeof undecidable);
        more_text(records_lost(recovery), recovery->lost_from,
                  recovery->lost_to, "lost", lost, sizeof lost);
        uint64_t stated = dwal__check_stated(recovery);
        char holes[64] = "";
        if (stated > 0)
            snprintf(holes, sizeof holes, " but for %" PRIu64 " that are lost",
                     stated);
        line(style, "%s: %s: %s%s%s%s", check->settings->path, verdict, records,
             holes, undecidable, lost);
    }
    line(DWAL__STYLE_PLAIN, "    %s", recovery->decision->text);
}

static void problem_json(const struct dwal__check_problem *problem,
                         const char *text) {
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
    json_range(&json, "lsns", true, finding->lsn_from, finding->lsn_to);
    dwal__json_string(&json, "text", text);
    dwal__json_string(&json, "remedy", row->remedy);
    dwal__json_string(&json, "repair",
                      row->permit == DWAL__PERMIT_NEVER
                          ? NULL
                          : dwal__permit_name(row->permit));
    dwal__json_string(&json, "spec", row->section);
    dwal__json_end(&json);
}

bool dwal__print_problem(const struct dwal__check *check,
                         const struct dwal__check_problem *problem) {
    const struct dwal__problem *row = problem->row;
    bool note = row->severity == DWAL__SEVERITY_NOTE;
    bool hole = row == &dwal__problems[DWAL__PROBLEM_LOST_STATED];
    char text[DWAL__PROBLEM_TEXT_SIZE];
    dwal__problem_text(row, &problem->finding, text);
    if (check->settings->json) {
        problem_json(problem, text);
    } else if (!note || hole || check->settings->verbose) {
        char place[320];
        place_text(&problem->finding, place, sizeof place);
        line(row->severity == DWAL__SEVERITY_TORN || note ? DWAL__STYLE_BOLD
                                                          : DWAL__STYLE_RED,
             "%s %u (%s): %s",
             note                                   ? "note"
             : row->severity == DWAL__SEVERITY_TORN ? "problem"
                                                    : "damage",
             row->number, row->name, place);
        line(DWAL__STYLE_PLAIN, "    %s", text);
        if (!note || hole)
            line(DWAL__STYLE_PLAIN, "    remedy: %s", row->remedy);
    }
    return dwal__check_permits(check, row);
}

/* ---- repairing ---- */

static const char *kind_name(enum dwal__repair_kind kind) {
    return kind == DWAL__REPAIR_TAIL   ? "tail"
           : kind == DWAL__REPAIR_MEND ? "mend"
                                       : "cut";
}

static void plan_json(const struct dwal__repair_plan *plan, bool done) {
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "plan");
    dwal__json_bool(&json, "done", done);
    dwal__json_string(&json, "repair", kind_name(plan->kind));
    json_range(&json, "lsns", true, plan->lost_from, plan->lost_to);
    dwal__json_u64(&json, "records", plan->lost_records);
    dwal__json_u64(&json, "wiped_bytes", plan->wiped_bytes);
    dwal__json_u64(&json, "moved_files", plan->moved_files);
    dwal__json_u64(&json, "moved_bytes", plan->moved_bytes);
    dwal__json_u64(&json, "mended", plan->patches);
    dwal__json_end(&json);
}

/* What a patch brings back, and how sure that is. */
static void patch_text(const struct dwal__repair_step *step, char *text,
                       size_t size) {
    if (step->bit_count == 0)
        snprintf(text, size, "the header of %s is made anew: %s", step->name,
                 step->proven ? "checksums prove each field of it"
                              : "its batches prove number, salt and sizes, but "
                                "not the time of its creation, its epoch and "
                                "the number before it");
    else if (step->odds == UINT32_MAX)
        snprintf(text, size,
                 "bit %u of the byte at offset %" PRIu64
                 " of %s is put back: it is the only one that is set in what "
                 "has to be zeros",
                 step->bit, step->bit_offset, step->name);
    else
        snprintf(text, size,
                 "%u bit%s of %s, the first bit %u of the byte at offset "
                 "%" PRIu64 ", %s put back: then every checksum is right; "
                 "damage of many bits looks like that once in %" PRIu32
                 " times",
                 step->bit_count, step->bit_count == 1 ? "" : "s", step->name,
                 step->bit, step->bit_offset,
                 step->bit_count == 1 ? "is" : "are", step->odds);
}

#define PATCHES_TOLD 16

static void plan_patches(const struct dwal__repair_plan *plan) {
    char text[512];
    uint64_t told = 0;
    for (size_t i = 0; i < plan->step_count && told < PATCHES_TOLD; i++) {
        if (plan->steps[i].action != DWAL__REPAIR_PATCH)
            continue;
        patch_text(&plan->steps[i], text, sizeof text);
        line(DWAL__STYLE_PLAIN, "    mend: %s", text);
        told++;
    }
    if (told < plan->patches)
        line(DWAL__STYLE_PLAIN, "    mend: %" PRIu64 " more places",
             plan->patches - told);
}

/* What is made: LOCK, or a segment behind the end. */
static void plan_made(const struct dwal__repair_plan *plan) {
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct dwal__repair_step *step = &plan->steps[i];
        char uuid[DWAL__UUID_TEXT_SIZE];
        dwal__uuid_text(&plan->uuid, uuid);
        if (step->action != DWAL__REPAIR_MAKE)
            continue;
        if (step->segment == 0)
            line(DWAL__STYLE_PLAIN,
                 "    make %s, for the log %s, as its segments name it",
                 step->name, uuid);
        else
            line(DWAL__STYLE_PLAIN, "    make %s, an empty segment%s",
                 step->name,
                 step->reset ? " in which the log begins anew" : "");
    }
}

static void plan_lost(const struct dwal__repair_plan *plan) {
    char range[DWAL__RANGE_TEXT_SIZE];
    bool tail = plan->kind == DWAL__REPAIR_TAIL;
    dwal__range_text(plan->lost_from, plan->lost_to, range);
    if (plan->kind == DWAL__REPAIR_CUT && !plan->kept)
        line(DWAL__STYLE_PLAIN, "    keep no record; the next is LSN %" PRIu64,
             plan->lost_to + 1);
    if (range[0] != '\0')
        line(DWAL__STYLE_PLAIN, "    lose %s, %s; %" PRIu64 " records are seen",
             range,
             tail ? "of which no log can tell whether they were acknowledged"
                  : "which were acknowledged or may have been",
             plan->lost_records);
    else
        line(DWAL__STYLE_PLAIN, "    lose no record");
}

void dwal__print_plan(const struct dwal__check *check,
                      const struct dwal__repair_plan *plan, bool done) {
    char moved[DWAL__SIZE_TEXT];
    if (check->settings->json) {
        plan_json(plan, done);
        return;
    }
    bool damage = check->counts[DWAL__SEVERITY_DAMAGE] > 0;
    line(DWAL__STYLE_BOLD, "%s:",
         done                                        ? "the repair is going to"
         : damage || plan->kind != DWAL__REPAIR_TAIL ? "walfsck -y would"
                                                     : "walfsck -p would");
    plan_lost(plan);
    plan_patches(plan);
    if (plan->wiped_bytes > 0)
        line(DWAL__STYLE_PLAIN,
             "    overwrite %" PRIu64 " bytes behind the end of the log with "
             "zeros",
             plan->wiped_bytes);
    dwal__cli_size_text(plan->moved_bytes, moved);
    if (plan->moved_files > 0)
        line(DWAL__STYLE_PLAIN,
             "    move %" PRIu64 " files (%s) aside, to names that end in %s",
             plan->moved_files, moved, DWAL__REPAIR_LOST_SUFFIX);
    plan_made(plan);
}

void dwal__print_undo(const struct dwal__check *check, const char *path,
                      uint64_t size) {
    char file[WORD_SIZE], directory[WORD_SIZE];
    char command[2 * WORD_SIZE + 64];
    char size_text[DWAL__SIZE_TEXT];
    word_text(path, file);
    word_text(check->settings->path, directory);
    snprintf(command, sizeof command, "walfsck --undo-apply %s %s", file,
             directory);
    dwal__cli_size_text(size, size_text);
    if (check->settings->json) {
        struct dwal__json json;
        dwal__json_begin(&json, stdout, "undo");
        dwal__json_string(&json, "file", path);
        dwal__json_u64(&json, "size", size);
        dwal__json_string(&json, "command", command);
        dwal__json_end(&json);
        fflush(stdout);
        return;
    }
    line(DWAL__STYLE_PLAIN,
         "saved in %s (%s), on stable storage; this puts everything back:",
         path, size_text);
    line(DWAL__STYLE_BOLD, "    %s", command);
    fflush(stdout);
}

static const char *action_name(enum dwal__repair_action action) {
    switch (action) {
    case DWAL__REPAIR_FLAG:
        return "flag";
    case DWAL__REPAIR_MOVE:
        return "move";
    case DWAL__REPAIR_MAKE:
        return "make";
    case DWAL__REPAIR_WIPE:
        return "wipe";
    case DWAL__REPAIR_PATCH:
        return "mend";
    case DWAL__REPAIR_UNFLAG:
        return "unflag";
    }
    return "?";
}

static void patch_json(struct dwal__json *json,
                       const struct dwal__repair_step *step) {
    dwal__json_string(json, "what", step->bit_count > 0 ? "bit" : "header");
    if (step->bit_count == 0) {
        dwal__json_bool(json, "proven", step->proven);
        return;
    }
    dwal__json_u64(json, "bits", step->bit_count);
    dwal__json_u64(json, "byte", step->bit_offset);
    dwal__json_u64(json, "bit", step->bit);
    dwal__json_u64(json, "odds", step->odds);
}

void dwal__print_step(const struct dwal__check *check,
                      const struct dwal__repair_step *step) {
    if (check->settings->json) {
        struct dwal__json json;
        dwal__json_begin(&json, stdout, "repair");
        dwal__json_string(&json, "action", action_name(step->action));
        dwal__json_string(&json, "file", step->name);
        if (step->action == DWAL__REPAIR_MOVE)
            dwal__json_string(&json, "to", step->target);
        if (step->action == DWAL__REPAIR_WIPE ||
            step->action == DWAL__REPAIR_PATCH)
            dwal__json_u64(&json, "offset", step->from);
        if (step->action == DWAL__REPAIR_PATCH)
            patch_json(&json, step);
        dwal__json_u64(&json, "bytes", step->bytes);
        dwal__json_end(&json);
        return;
    }
    char text[512];
    switch (step->action) {
    case DWAL__REPAIR_MOVE:
        line(DWAL__STYLE_PLAIN, "repair: %s becomes %s", step->name,
             step->target);
        break;
    case DWAL__REPAIR_MAKE:
        line(DWAL__STYLE_PLAIN, "repair: %s is made%s", step->name,
             step->reset ? "; the log begins anew in it" : "");
        break;
    case DWAL__REPAIR_WIPE:
        line(DWAL__STYLE_PLAIN,
             "repair: %s: zeros from offset %" PRIu64 " to %" PRIu64,
             step->name, step->from, step->to);
        break;
    case DWAL__REPAIR_PATCH:
        patch_text(step, text, sizeof text);
        line(DWAL__STYLE_PLAIN, "repair: %s", text);
        break;
    case DWAL__REPAIR_FLAG:
    case DWAL__REPAIR_UNFLAG:
        break;
    }
}

/* ---- salvage ---- */

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
    line(DWAL__STYLE_RED, "    %s: lost, and %s", range,
         hole->acknowledged ? "had been acknowledged"
                            : "may have been acknowledged or not");
}

static void salvage_text(const struct dwal__salvage *salvage) {
    char size[DWAL__SIZE_TEXT], range[DWAL__RANGE_TEXT_SIZE];
    dwal__cli_size_text(salvage->bytes, size);
    dwal__range_text(salvage->trim_lsn + 1, salvage->last_lsn, range);
    line(DWAL__STYLE_BOLD, "salvage: %" PRIu64 " records are whole (%s)%s%s",
         salvage->records, size, range[0] != '\0' ? ", of " : "", range);
    if (salvage->trim_lsn > 0)
        line(DWAL__STYLE_PLAIN, "    up to LSN %" PRIu64 " it was trimmed",
             salvage->trim_lsn);
    if (salvage->left_out > 0)
        line(DWAL__STYLE_PLAIN,
             "    %" PRIu64 " records that a crash may have given up, and LSNs "
             "that were given again, are left out",
             salvage->left_out);
    if (salvage->strangers > 0)
        line(DWAL__STYLE_PLAIN,
             "    %" PRIu64 " files of other logs, and copies, are left out",
             salvage->strangers);
    dwal__cli_size_text(salvage->unreadable_bytes, size);
    if (salvage->unreadable_bytes + salvage->unreadable_files > 0)
        line(DWAL__STYLE_RED,
             "    %" PRIu64 " files and %s in others cannot be read",
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
        line(DWAL__STYLE_PLAIN, "nothing is made, since -n was given");
        return;
    }
    line(DWAL__STYLE_GREEN,
         "%s: a log in order, with these %" PRIu64
         " records and their LSNs%s; nothing was changed in %s",
         check->settings->salvage, salvage->records,
         salvage->lost > 0 ? ", and the lost ones named" : "",
         check->settings->path);
}

/* ---- the end ---- */

void dwal__print_not_rebuilt(const struct dwal__check *check) {
    if (!check->settings->json)
        line(DWAL__STYLE_BOLD,
             "no header can be made anew: none is damaged, or no whole first "
             "batch says what it was; walfsck --salvage saves the records");
}

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
    char path[WORD_SIZE];
    word_text(check->settings->path, path);
    if (recovery->verdict == DWAL__VERDICT_UNREADABLE ||
        check->counts[DWAL__SEVERITY_FATAL] > 0)
        line(DWAL__STYLE_BOLD,
             "next: make the files readable, then run walfsck %s again", path);
    else if (only_required_missing(check))
        line(DWAL__STYLE_BOLD,
             "next: restore the missing records from a copy or a replica; the "
             "log itself needs no repair, and can be opened without them");
    else if (check->counts[DWAL__SEVERITY_DAMAGE] > 0 ||
             recovery->verdict == DWAL__VERDICT_CORRUPT)
        line(DWAL__STYLE_BOLD,
             "next: copy the directory, and restore what is lost from a "
             "replica or a backup; if there is none, %swalfsck --salvage "
             "NEWDIR %s saves every record that is whole, and walfsck -y %s "
             "makes the log usable as said above",
             problem_told(check, DWAL__PROBLEM_HEADER_BAD)
                 ? "try walfsck --rebuild-header; "
                 : "",
             path, path);
    else
        line(DWAL__STYLE_BOLD,
             "next: nothing has to be done: the next writer goes on behind "
             "LSN %" PRIu64 "; walfsck -p %s removes the torn tail for good",
             recovery->durable_lsn, path);
}

static void summary_text(const struct dwal__check *check,
                         const struct dwal__print_result *result) {
    if (!check->settings->verbose && check->counts[DWAL__SEVERITY_NOTE] > 0 &&
        result->left + result->problems == 0)
        line(DWAL__STYLE_PLAIN, "%" PRIu64 " segments, nothing wrong",
             (uint64_t)check->recovery.segment_count);
    if (check->settings->salvage != NULL && !check->settings->dry)
        line(DWAL__STYLE_BOLD,
             "next: walfsck, waldump and the library read %s; keep %s until "
             "nobody misses anything",
             check->settings->salvage, check->settings->path);
    else if (result->left > 0 || check->recovery.verdict != DWAL__VERDICT_CLEAN)
        next_left(check);
    else if (result->repaired)
        line(DWAL__STYLE_BOLD, "next: nothing has to be done: the log can be "
                               "opened");
    else
        line(DWAL__STYLE_PLAIN, "next: nothing has to be done");
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
    json_range(json, "undecidable", recovery->undecidable,
               recovery->undecidable_from, recovery->undecidable_to);
    json_range(json, "lost", records_lost(recovery), recovery->lost_from,
               recovery->lost_to);
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

void dwal__print_undone(const struct dwal__check *check,
                        const struct dwal__undo_done *done) {
    if (!check->settings->json) {
        char path[WORD_SIZE];
        char bytes[DWAL__SIZE_TEXT];
        word_text(check->settings->path, path);
        dwal__cli_size_text(done->bytes_restored, bytes);
        line(DWAL__STYLE_PLAIN,
             "%s: as it was before the repair: %s put back, %" PRIu64
             " files renamed, %" PRIu64 " removed",
             check->settings->path, bytes, done->files_renamed,
             done->files_removed);
        line(DWAL__STYLE_BOLD,
             "next: walfsck %s tells again what is wrong with it", path);
        return;
    }
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "summary");
    dwal__json_u64(&json, "schema", 1);
    dwal__json_string(&json, "undone", check->settings->undo_apply);
    dwal__json_u64(&json, "bytes", done->bytes_restored);
    dwal__json_u64(&json, "files_renamed", done->files_renamed);
    dwal__json_u64(&json, "files_removed", done->files_removed);
    dwal__json_u64(&json, "exit", DWAL__EXIT_CLEAN);
    dwal__json_end(&json);
}

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
