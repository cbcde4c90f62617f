/* SPDX-License-Identifier: MIT */
/*
 * What walfsck says of repairs: what one gives up and changes, where that is
 * saved, each step, and what was put back.
 */
#include <inttypes.h>
#include <stdio.h>

#include "print_parts.h"

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
    dwal__print_range(&json, "lsns", true, plan->lost_from, plan->lost_to);
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
        dwal__print_line(DWAL__STYLE_PLAIN, "    mend: %s", text);
        told++;
    }
    if (told < plan->patches)
        dwal__print_line(DWAL__STYLE_PLAIN, "    mend: %" PRIu64 " more places",
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
            dwal__print_line(
                DWAL__STYLE_PLAIN,
                "    make %s, for the log %s, as its segments name it",
                step->name, uuid);
        else
            dwal__print_line(
                DWAL__STYLE_PLAIN, "    make %s, an empty segment%s",
                step->name, step->reset ? " in which the log begins anew" : "");
    }
}

static void plan_lost(const struct dwal__repair_plan *plan) {
    char range[DWAL__RANGE_TEXT_SIZE];
    bool tail = plan->kind == DWAL__REPAIR_TAIL;
    dwal__range_text(plan->lost_from, plan->lost_to, range);
    if (plan->kind == DWAL__REPAIR_CUT && !plan->kept)
        dwal__print_line(DWAL__STYLE_PLAIN,
                         "    keep no record; the next is LSN %" PRIu64,
                         plan->lost_to + 1);
    if (range[0] != '\0')
        dwal__print_line(
            DWAL__STYLE_PLAIN, "    lose %s, %s; %" PRIu64 " records are seen",
            range,
            tail ? "of which no log can tell whether they were acknowledged"
                 : "which were acknowledged or may have been",
            plan->lost_records);
    else
        dwal__print_line(DWAL__STYLE_PLAIN, "    lose no record");
}

void dwal__print_plan(const struct dwal__check *check,
                      const struct dwal__repair_plan *plan, bool done) {
    char moved[DWAL__SIZE_TEXT];
    if (check->settings->json) {
        plan_json(plan, done);
        return;
    }
    bool damage = check->counts[DWAL__SEVERITY_DAMAGE] > 0;
    dwal__print_line(DWAL__STYLE_BOLD, "%s:",
                     done ? "the repair is going to"
                     : damage || plan->kind != DWAL__REPAIR_TAIL
                         ? "walfsck -y would"
                         : "walfsck -p would");
    plan_lost(plan);
    plan_patches(plan);
    if (plan->wiped_bytes > 0)
        dwal__print_line(DWAL__STYLE_PLAIN,
                         "    overwrite %" PRIu64
                         " bytes behind the end of the log with "
                         "zeros",
                         plan->wiped_bytes);
    dwal__cli_size_text(plan->moved_bytes, moved);
    if (plan->moved_files > 0)
        dwal__print_line(DWAL__STYLE_PLAIN,
                         "    move %" PRIu64
                         " files (%s) aside, to names that end in %s",
                         plan->moved_files, moved, DWAL__REPAIR_LOST_SUFFIX);
    plan_made(plan);
}

void dwal__print_undo(const struct dwal__check *check, const char *path,
                      uint64_t size) {
    char file[DWAL__PRINT_WORD_SIZE], directory[DWAL__PRINT_WORD_SIZE];
    char command[2 * DWAL__PRINT_WORD_SIZE + 64];
    char size_text[DWAL__SIZE_TEXT];
    dwal__print_word(path, file);
    dwal__print_word(check->settings->path, directory);
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
    dwal__print_line(
        DWAL__STYLE_PLAIN,
        "saved in %s (%s), on stable storage; this puts everything back:", path,
        size_text);
    dwal__print_line(DWAL__STYLE_BOLD, "    %s", command);
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
        dwal__print_line(DWAL__STYLE_PLAIN, "repair: %s becomes %s", step->name,
                         step->target);
        break;
    case DWAL__REPAIR_MAKE:
        dwal__print_line(DWAL__STYLE_PLAIN, "repair: %s is made%s", step->name,
                         step->reset ? "; the log begins anew in it" : "");
        break;
    case DWAL__REPAIR_WIPE:
        dwal__print_line(DWAL__STYLE_PLAIN,
                         "repair: %s: zeros from offset %" PRIu64
                         " to %" PRIu64,
                         step->name, step->from, step->to);
        break;
    case DWAL__REPAIR_PATCH:
        patch_text(step, text, sizeof text);
        dwal__print_line(DWAL__STYLE_PLAIN, "repair: %s", text);
        break;
    case DWAL__REPAIR_FLAG:
    case DWAL__REPAIR_UNFLAG:
        break;
    }
}

void dwal__print_not_rebuilt(const struct dwal__check *check) {
    if (!check->settings->json)
        dwal__print_line(
            DWAL__STYLE_BOLD,
            "no header can be made anew: none is damaged, or no whole first "
            "batch says what it was; walfsck --salvage saves the records");
}

void dwal__print_undone(const struct dwal__check *check,
                        const struct dwal__undo_done *done) {
    if (!check->settings->json) {
        char path[DWAL__PRINT_WORD_SIZE];
        char bytes[DWAL__SIZE_TEXT];
        dwal__print_word(check->settings->path, path);
        dwal__cli_size_text(done->bytes_restored, bytes);
        dwal__print_line(
            DWAL__STYLE_PLAIN,
            "%s: as it was before the repair: %s put back, %" PRIu64
            " files renamed, %" PRIu64 " removed",
            check->settings->path, bytes, done->files_renamed,
            done->files_removed);
        dwal__print_line(DWAL__STYLE_BOLD,
                         "next: walfsck %s tells again what is wrong with it",
                         path);
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
