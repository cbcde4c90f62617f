/* SPDX-License-Identifier: MIT */
/*
 * Planning a repair: which steps take the log to clean. repair.h has the rules
 * and why they are safe. Here is what a directory holds, and the plan as a
 * list; repair_tail.c and repair_cut.c fill it. Nothing in the three writes.
 * Their invariant: no step touches a live segment, but for what lies behind the
 * live end.
 */
#include "repair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "planner.h"
#include "report.h"

bool dwal__plan_cancelled(const struct dwal__planner *planner) {
    const struct dwal__repair_options *options = planner->options;
    return options->cancelled != NULL && options->cancelled(options->argument);
}

int dwal__plan_no_memory(const struct dwal__planner *planner) {
    return dwal__error_set(planner->error, DWAL_ENOMEM, 0,
                           "plan the repair: out of memory");
}

/* ---- the plan as a list ---- */

struct dwal__repair_step *dwal__plan_add(struct dwal__planner *planner,
                                         enum dwal__repair_action action,
                                         const char *name) {
    struct dwal__repair_plan *plan = planner->plan;
    if (plan->step_count == planner->step_capacity) {
        size_t capacity = planner->step_capacity * 2 + 16;
        void *steps = realloc(plan->steps, capacity * sizeof plan->steps[0]);
        if (steps == NULL) {
            dwal__plan_no_memory(planner);
            return NULL;
        }
        plan->steps = steps;
        planner->step_capacity = capacity;
    }
    struct dwal__repair_step *step = &plan->steps[plan->step_count++];
    memset(step, 0, sizeof *step);
    step->action = action;
    snprintf(step->name, sizeof step->name, "%s", name);
    return step;
}

void dwal__repair_plan_release(struct dwal__repair_plan *plan) {
    for (size_t i = 0; i < plan->step_count; i++)
        free(plan->steps[i].data);
    free(plan->steps);
    memset(plan, 0, sizeof *plan);
}

/* ---- what the directory holds ---- */

/* The number in "<16 digits>.wal.lost…", 0 if @name is none. */
static uint64_t lost_number(const char *name) {
    static const char middle[] = ".wal" DWAL__REPAIR_LOST_SUFFIX;
    if (strlen(name) < 16 || strncmp(name + 16, middle, strlen(middle)) != 0)
        return 0;
    char original[DWAL__NAME_SIZE];
    snprintf(original, sizeof original, "%.20s", name);
    uint64_t number = 0;
    bool segment = dwal__name_parse(original, &number) == DWAL__NAME_SEGMENT;
    return segment ? number : 0;
}

/* Keeps a copy of @name. False: out of memory. */
static bool names_add(struct dwal__planner *planner, const char *name) {
    if (planner->name_count == planner->name_capacity) {
        size_t capacity = planner->name_capacity * 2 + 64;
        void *names = realloc(planner->names, capacity * sizeof(char *));
        if (names == NULL)
            return false;
        planner->names = names;
        planner->name_capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return false;
    planner->names[planner->name_count++] = copy;
    return true;
}

/* No log comes this far by counting. A file that was given such a name must
 * not use up the numbers. */
#define NUMBER_MAX (UINT64_MAX >> 1)

static void number_note(struct dwal__planner *planner, uint64_t number,
                        bool spare) {
    if (number > NUMBER_MAX)
        return;
    if (number > planner->number_max)
        planner->number_max = number;
    if (number > planner->number_top && !spare)
        planner->number_top = number;
}

/* 1, which no errno is: out of memory. */
static int names_each(void *argument, const char *name) {
    struct dwal__planner *planner = argument;
    uint64_t number = 0;
    switch (dwal__name_parse(name, &number)) {
    case DWAL__NAME_LOCK:
        planner->lock_exists = true;
        return 0;
    case DWAL__NAME_SPARE:
        number_note(planner, number, true);
        return 0;
    case DWAL__NAME_SEGMENT:
        number_note(planner, number, false);
        break;
    case DWAL__NAME_BAD:
    case DWAL__NAME_OTHER:
        number_note(planner, lost_number(name), false);
        break;
    }
    return names_add(planner, name) ? 0 : 1;
}

static int names_compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lists the directory, in the order of the names: not that of the filesystem,
 * which may differ the next time. */
static int names_read(struct dwal__planner *planner) {
    struct dwal__disk *disk = planner->options->disk;
    int result =
        disk->ops->dir_list(disk, planner->options->dir, names_each, planner);
    if (result > 0)
        return dwal__plan_no_memory(planner);
    if (result < 0)
        return dwal__error_set(planner->error, DWAL_EIO, -result,
                               "plan the repair: list the directory");
    if (planner->name_count > 0)
        qsort(planner->names, planner->name_count, sizeof planner->names[0],
              names_compare);
    return 0;
}

bool dwal__plan_name_taken(const struct dwal__planner *planner,
                           const char *name) {
    return planner->name_count > 0 &&
           bsearch(&name, planner->names, planner->name_count,
                   sizeof planner->names[0], names_compare) != NULL;
}

/* Whether LOCK is as SPEC 4.3 wants it. */
static int lock_read(struct dwal__planner *planner) {
    struct dwal__disk *disk = planner->options->disk;
    if (!planner->lock_exists)
        return 0;
    int lock = disk->ops->open(disk, planner->options->dir, DWAL__LOCK_NAME,
                               DWAL__OPEN_READ);
    uint8_t bytes[DWAL__LOCK_SIZE + 1]; /* one more shows a file too long */
    ssize_t size = lock;
    if (lock >= 0) {
        size = disk->ops->read(disk, lock, bytes, sizeof bytes, 0);
        disk->ops->close(disk, lock);
    }
    if (size < 0)
        return dwal__error_set(planner->error, DWAL_EIO, (int)-size,
                               "plan the repair: read LOCK");
    struct dwal__uuid uuid;
    planner->lock_valid =
        dwal__lock_decode(bytes, (size_t)size, &uuid) == DWAL__FAULT_NONE;
    if (planner->lock_valid)
        planner->plan->uuid = uuid;
    return 0;
}

const struct dwal__found_segment *
dwal__plan_end(const struct dwal__recovery *recovery) {
    return dwal__segment_find(recovery->segments, recovery->segment_count,
                              recovery->end.segment);
}

/* ---- the plan ---- */

static int plan_any(struct dwal__planner *planner) {
    int code = names_read(planner);
    if (code == 0)
        code = lock_read(planner);
    if (code != 0)
        return code;
    /* What is of a newer dwal must not be cut by an older one (SPEC 8). */
    for (size_t i = 0; i < planner->recovery->segment_count; i++) {
        const struct dwal__found_segment *segment =
            &planner->recovery->segments[i];
        if (segment->scanned && segment->end_newer)
            return dwal__report_newer(segment, planner->error);
    }
    planner->plan->kept = planner->recovery->end.segment != 0;
    planner->plan->kept_lsn = planner->recovery->durable_lsn;
    switch (planner->recovery->verdict) {
    case DWAL__VERDICT_TORN:
        return dwal__plan_tails(planner);
    case DWAL__VERDICT_CORRUPT:
        return dwal__plan_cut(planner);
    case DWAL__VERDICT_NONE:
    case DWAL__VERDICT_CLEAN:
    case DWAL__VERDICT_UNREADABLE:
        break;
    }
    planner->plan->lost_from = 1;
    return 0;
}

static int plan_make(const struct dwal__repair_options *options,
                     const struct dwal__recovery *recovery,
                     struct dwal__repair_plan *plan, struct dwal_error *error) {
    struct dwal__planner planner = {.options = options,
                                    .recovery = recovery,
                                    .plan = plan,
                                    .error = error,
                                    .chunk = malloc(DWAL__PLAN_CHUNK_SIZE)};
    int code = planner.chunk != NULL ? plan_any(&planner)
                                     : dwal__plan_no_memory(&planner);
    for (size_t i = 0; i < planner.name_count; i++)
        free(planner.names[i]);
    free(planner.names);
    free(planner.chunk);
    return code;
}

/* The UUID of the log, once and for all: where LOCK is bad it follows from the
 * segments as they are now, and the new LOCK will say the same to a second run
 * that finds other segments. */
static int uuid_find(const struct dwal__repair_options *options,
                     const struct dwal__recovery *recovery,
                     struct dwal__repair_plan *plan, struct dwal_error *error) {
    struct dwal__planner planner = {
        .options = options,
        .recovery = recovery,
        .plan = plan,
        .error = error,
        .lock_exists = (recovery->facts.bits & DWAL__FACT_LOCK) != 0};
    int code = recovery->verdict == DWAL__VERDICT_TORN ||
                       recovery->verdict == DWAL__VERDICT_CORRUPT
                   ? lock_read(&planner)
                   : 0;
    if (code == 0)
        dwal__plan_uuid(&planner);
    return code;
}

int dwal__repair_plan_make(const struct dwal__repair_options *options,
                           const struct dwal__recovery *recovery,
                           struct dwal__repair_plan *plan,
                           struct dwal_error *error) {
    struct dwal__mending mending;
    struct dwal__repair_options over = *options;
    memset(plan, 0, sizeof *plan);
    plan->lost_from = 1;
    int code = uuid_find(options, recovery, plan, error);
    if (code != 0)
        return code;
    code = dwal__mending_find(options, recovery, &plan->uuid, &mending, error);
    if (code == 0 && mending.count > 0) {
        over.disk = dwal__overlay_disk(mending.overlay);
        recovery = &mending.recovery;
    }
    if (code == 0 && (options->mend & DWAL__MEND_ONLY) == 0)
        code = plan_make(&over, recovery, plan, error);
    if (code == 0)
        code = dwal__mending_take(&mending, plan);
    dwal__mending_release(&mending);
    if (code != 0)
        dwal__repair_plan_release(plan);
    return code;
}
