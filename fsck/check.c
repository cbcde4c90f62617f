/* SPDX-License-Identifier: MIT */
/*
 * Opening, locking and recovering a log for walfsck. Its invariant: recovery
 * runs only while nobody can write to the log; checking one that is being
 * written would report damage that is none.
 */
#include "check.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "print.h"

uint64_t dwal__clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the lock ---- */

static int lock_busy(struct dwal__check *check, struct dwal_error *error) {
    char holder[128];
    check->disk->ops->lock_holder(check->disk, check->dir, DWAL__LOCK_NAME,
                                  holder, sizeof holder);
    return dwal__error_set(error, DWAL_EBUSY, 0,
                           "%s/%s: the log is in use by %s; try again once it "
                           "is closed",
                           check->settings->path, DWAL__LOCK_NAME,
                           holder[0] != '\0' ? holder : "another process");
}

static int lock_failed(struct dwal__check *check, int result, const char *what,
                       struct dwal_error *error) {
    return dwal__error_set(error, DWAL_EIO, -result, "%s/%s: %s",
                           check->settings->path, DWAL__LOCK_NAME, what);
}

/* Without LOCK no writer can open the log, but one may be creating it. */
static int lock_directory(struct dwal__check *check, struct dwal_error *error) {
    struct dwal__disk *disk = check->disk;
    int result = disk->ops->lock(disk, check->dir, DWAL__LOCK_DIR);
    if (result == -EAGAIN)
        return dwal__error_set(error, DWAL_EBUSY, 0,
                               "%s: another process is creating or repairing "
                               "a log here",
                               check->settings->path);
    check->locked = result == 0;
    return result == 0 ? DWAL_OK : lock_failed(check, result, "lock", error);
}

/* LOCK can only be read, so it cannot be locked; that nobody else holds it must
 * do. What cannot be opened at all is for recovery to report. */
static int lock_look(struct dwal__check *check, struct dwal_error *error) {
    struct dwal__disk *disk = check->disk;
    int handle =
        disk->ops->open(disk, check->dir, DWAL__LOCK_NAME, DWAL__OPEN_READ);
    if (handle < 0)
        return DWAL_OK;
    int held = disk->ops->lock_held(disk, handle);
    disk->ops->close(disk, handle);
    if (held == 1)
        return lock_busy(check, error);
    return held < 0 ? lock_failed(check, held, "look at the lock", error)
                    : DWAL_OK;
}

/* True if what was locked is still the file of that name: a repair may have
 * replaced it meanwhile. Another handle of it sees our lock. */
static bool lock_current(struct dwal__check *check) {
    struct dwal__disk *disk = check->disk;
    int handle =
        disk->ops->open(disk, check->dir, DWAL__LOCK_NAME, DWAL__OPEN_READ);
    if (handle < 0)
        return false;
    int held = disk->ops->lock_held(disk, handle);
    disk->ops->close(disk, handle);
    return held == 1;
}

static int lock_take(struct dwal__check *check, struct dwal_error *error) {
    struct dwal__disk *disk = check->disk;
    int handle =
        disk->ops->open(disk, check->dir, DWAL__LOCK_NAME, DWAL__OPEN_WRITE);
    if (handle == -ENOENT)
        return lock_directory(check, error);
    if (handle < 0)
        return lock_look(check, error);
    int result = disk->ops->lock(disk, handle, DWAL__LOCK_FILE);
    if (result == 0 && !lock_current(check))
        result = -EAGAIN;
    if (result < 0) {
        disk->ops->close(disk, handle);
        return result == -EAGAIN ? lock_busy(check, error)
                                 : lock_failed(check, result, "lock", error);
    }
    check->lock = handle;
    check->locked = true;
    return DWAL_OK;
}

int dwal__check_open(struct dwal__check *check,
                     const struct dwal__check_settings *settings,
                     struct dwal__disk *disk, struct dwal_error *error) {
    memset(check, 0, sizeof *check);
    check->settings = settings;
    check->disk = disk;
    check->lock = -1;
    check->dir = disk->ops->dir_open(disk, settings->path);
    if (check->dir < 0)
        return dwal__error_set(error,
                               check->dir == -ENOENT ? DWAL_ENOENT : DWAL_EIO,
                               -check->dir, "%s", settings->path);
    return lock_take(check, error);
}

/* ---- recovery ---- */

/* Keeps the finding, whose name is on loan. */
static void problem_add(struct dwal__check *check,
                        const struct dwal__problem *row,
                        const struct dwal__finding *finding) {
    if (check->problem_count == check->problem_capacity) {
        size_t capacity = check->problem_capacity * 2 + 16;
        void *problems =
            realloc(check->problems, capacity * sizeof check->problems[0]);
        if (problems == NULL) {
            check->out_of_memory = true;
            return;
        }
        check->problems = problems;
        check->problem_capacity = capacity;
    }
    struct dwal__check_problem *problem =
        &check->problems[check->problem_count++];
    problem->finding = *finding;
    problem->row = row;
    problem->name[0] = '\0';
    if (finding->name != NULL)
        snprintf(problem->name, sizeof problem->name, "%s", finding->name);
    check->counts[row->severity]++;
}

static void finding_take(void *argument, const struct dwal__finding *finding) {
    problem_add(argument, dwal__problem_of(finding), finding);
}

/* walfsck's own problem: the log does not reach as far as it has to. */
static void required_check(struct dwal__check *check) {
    const struct dwal__check_settings *settings = check->settings;
    if (!settings->require ||
        check->recovery.durable_lsn >= settings->require_lsn)
        return;
    struct dwal__finding finding = {.kind = DWAL__FINDING_COUNT,
                                    .segment = check->recovery.end.segment,
                                    .offset = check->recovery.end.offset,
                                    .lsn_from = check->recovery.durable_lsn + 1,
                                    .lsn_to = settings->require_lsn};
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(finding.segment, name);
    if (finding.segment != 0)
        finding.name = name;
    problem_add(check, &dwal__problems[DWAL__PROBLEM_REQUIRED_MISSING],
                &finding);
}

/* The LSNs before the first batch of @segment that are no record's. */
static bool stated_range(const struct dwal__recovery *recovery,
                         const struct dwal__found_segment *segment,
                         uint64_t *from, uint64_t *to) {
    if (!segment->live || !segment->started)
        return false;
    *from = segment->first_lsn > recovery->first_lsn ? segment->first_lsn
                                                     : recovery->first_lsn;
    *to = segment->found_lsn - 1;
    return *from <= *to;
}

uint64_t dwal__check_stated(const struct dwal__recovery *recovery) {
    uint64_t count = 0, from, to;
    for (size_t i = 0; i < recovery->segment_count; i++)
        if (stated_range(recovery, &recovery->segments[i], &from, &to))
            count += to - from + 1;
    return count;
}

/* The holes of a log that was salvaged. */
static void stated_note(struct dwal__check *check) {
    const struct dwal__recovery *recovery = &check->recovery;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        char name[DWAL__NAME_SIZE];
        struct dwal__finding finding = {.kind = DWAL__FINDING_COUNT,
                                        .name = name,
                                        .segment = segment->number,
                                        .offset = segment->header.block_size};
        dwal__segment_name(segment->number, name);
        if (stated_range(recovery, segment, &finding.lsn_from, &finding.lsn_to))
            problem_add(check, &dwal__problems[DWAL__PROBLEM_LOST_STATED],
                        &finding);
    }
}

/* The names moved when the array grew. */
static void names_point(struct dwal__check *check) {
    for (size_t i = 0; i < check->problem_count; i++) {
        struct dwal__check_problem *problem = &check->problems[i];
        bool named = problem->finding.name != NULL;
        problem->finding.name = named ? problem->name : NULL;
    }
}

static int progress(void *argument, uint64_t done, uint64_t total) {
    struct dwal__check *check = argument;
    dwal__print_progress(check, done, total);
    return dwal__cli_cancelled() ? 1 : 0;
}

int dwal__check_run(struct dwal__check *check, struct dwal_error *error) {
    if (check->recovered)
        dwal__recovery_release(&check->recovery);
    check->recovered = false;
    check->problem_count = 0;
    memset(check->counts, 0, sizeof check->counts);
    struct dwal__recover_options options = {.disk = check->disk,
                                            .dir = check->dir,
                                            .sync = check->locked,
                                            .verify_bytes = UINT64_MAX,
                                            .threads = check->settings->threads,
                                            .hooks = {.argument = check,
                                                      .progress = progress,
                                                      .finding = finding_take}};
    dwal__cli_progress_begin("checking");
    int code = dwal__recover(&options, &check->recovery, error);
    dwal__cli_progress_end();
    if (code == DWAL_OK && check->out_of_memory) {
        dwal__recovery_release(&check->recovery);
        code = dwal__error_set(error, DWAL_ENOMEM, 0, "out of memory");
    }
    if (code != DWAL_OK)
        return dwal__error_step(error, code, "%s", check->settings->path);
    check->recovered = true;
    dwal__print_progress_end(check);
    if (dwal__recovery_settled(&check->recovery))
        stated_note(check);
    required_check(check);
    names_point(check);
    return DWAL_OK;
}

bool dwal__check_permits(const struct dwal__check *check,
                         const struct dwal__problem *row) {
    if (row->severity == DWAL__SEVERITY_NOTE)
        return true;
    switch (row->permit) {
    case DWAL__PERMIT_NEVER:
        return false;
    case DWAL__PERMIT_PREEN:
        return check->settings->permit != DWAL__PERMIT_NEVER ||
               check->settings->rebuild;
    case DWAL__PERMIT_YES:
        return check->settings->permit == DWAL__PERMIT_YES ||
               check->settings->rebuild;
    }
    return false;
}

int dwal__check_status(const struct dwal__check *check) {
    enum dwal__verdict verdict = check->recovery.verdict;
    bool torn =
        verdict == DWAL__VERDICT_TORN || check->counts[DWAL__SEVERITY_TORN] > 0;
    bool damaged =
        (verdict != DWAL__VERDICT_CLEAN && verdict != DWAL__VERDICT_TORN) ||
        check->counts[DWAL__SEVERITY_DAMAGE] > 0 ||
        check->counts[DWAL__SEVERITY_FATAL] > 0;
    return damaged || (torn && check->settings->strict) ? DWAL__EXIT_DAMAGED
                                                        : DWAL__EXIT_CLEAN;
}

void dwal__check_close(struct dwal__check *check) {
    if (check->recovered)
        dwal__recovery_release(&check->recovery);
    free(check->problems);
    if (check->lock >= 0)
        check->disk->ops->close(check->disk, check->lock);
    if (check->dir >= 0)
        check->disk->ops->close(check->disk, check->dir);
}
