/* SPDX-License-Identifier: MIT */
/*
 * What walfsck does around a salvage. Its invariant: nothing is made before it
 * was said which records will be missing, and a log that was made is called one
 * only after recovery found in it all that was found whole.
 */
#include "rescue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../recover/salvage.h"
#include "cli.h"
#include "fix.h"
#include "print.h"

static bool cancelled(void *argument) {
    (void)argument;
    return dwal__cli_cancelled();
}

static void progress(void *argument, uint64_t done, uint64_t total) {
    dwal__print_progress(argument, done, total);
}

/* ---- what is made ---- */

/* A random number; the clock's, where there are none, is as good for a salt. */
static uint64_t random_number(void *argument) {
    uint64_t number;
    (void)argument;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        number = dwal__clock_ns();
    return number;
}

static void path_join(char path[DWAL__FIX_PATH_SIZE], const char *directory,
                      const char *name) {
    snprintf(path, DWAL__FIX_PATH_SIZE, "%s/%s", directory, name);
}

/* The new log belongs to whom the damaged one belongs. */
static int owner_give(const struct dwal__check *check, const char *name,
                      mode_t mask) {
    struct stat model;
    char path[DWAL__FIX_PATH_SIZE];
    path_join(path, check->settings->salvage, name);
    if (stat(check->settings->path, &model) != 0)
        return 0;
    if (geteuid() == 0 && lchown(path, model.st_uid, model.st_gid) != 0)
        return -errno;
    return chmod(path, model.st_mode & mask) == 0 ? 0 : -errno;
}

static int made(void *argument, const char *name) {
    return owner_give(argument, name, 0666);
}

/* Makes the directory, if it is not there, and opens it. */
static int target_open(struct dwal__check *check, int *dir,
                       struct dwal_error *error) {
    struct dwal__disk *disk = check->disk;
    const char *path = check->settings->salvage;
    int result = disk->ops->dir_make(disk, path);
    bool new = result == 0;
    if (result == -EEXIST)
        result = 0;
    if (result == 0)
        result = *dir = disk->ops->dir_open(disk, path);
    if (result >= 0 && new)
        result = owner_give(check, ".", 0777);
    return result < 0 ? dwal__error_set(error, DWAL_EIO, -result,
                                        "salvage: make %s", path)
                      : DWAL_OK;
}

/* The name of the new directory, too, is to last. */
static int parent_sync(struct dwal__check *check, struct dwal_error *error) {
    struct dwal__disk *disk = check->disk;
    char path[DWAL__FIX_PATH_SIZE];
    path_join(path, check->settings->salvage, "..");
    int result = disk->ops->dir_open(disk, path);
    if (result >= 0) {
        int dir = result;
        result = disk->ops->dir_sync(disk, dir);
        disk->ops->close(disk, dir);
    }
    return result < 0 ? dwal__error_set(error, DWAL_EIO, -result,
                                        "salvage: sync %s", path)
                      : DWAL_OK;
}

/* Reads the new log as anybody would. */
static int target_check(struct dwal__check *check,
                        const struct dwal__salvage_options *options,
                        const struct dwal__salvage *salvage,
                        struct dwal_error *error) {
    struct dwal__recover_options recover = {.disk = options->target_disk,
                                            .dir = options->target_dir,
                                            .verify_bytes = UINT64_MAX};
    struct dwal__recovery recovery;
    int code = dwal__recover(&recover, &recovery, error);
    if (code != DWAL_OK)
        return code;
    uint64_t records = 0;
    for (size_t i = 0; i < recovery.segment_count; i++)
        records += recovery.segments[i].run_records;
    if (recovery.verdict != DWAL__VERDICT_CLEAN ||
        records != salvage->records ||
        recovery.durable_lsn != salvage->last_lsn ||
        recovery.trim_lsn != salvage->trim_lsn)
        code = dwal__error_set(error, DWAL_EIO, 0,
                               "salvage: what was made in %s is not as it "
                               "should be; remove it, check that disk, and try "
                               "again",
                               check->settings->salvage);
    dwal__recovery_release(&recovery);
    return code;
}

/* ---- the whole ---- */

bool dwal__rescue_path_valid(const char *path) {
    return dwal__fix_path_valid(path);
}

static int target_write(struct dwal__check *check,
                        struct dwal__salvage_options *options,
                        const struct dwal__salvage *salvage,
                        struct dwal_error *error) {
    int code = target_open(check, &options->target_dir, error);
    dwal__cli_progress_begin("copying");
    if (code == DWAL_OK)
        code = dwal__salvage_write(options, &check->recovery, salvage, error);
    dwal__cli_progress_end();
    if (code == DWAL_OK)
        code = parent_sync(check, error);
    if (code == DWAL_OK)
        code = target_check(check, options, salvage, error);
    if (options->target_dir >= 0)
        check->disk->ops->close(check->disk, options->target_dir);
    return code;
}

int dwal__rescue_run(struct dwal__check *check, struct dwal_error *error) {
    const struct dwal__check_settings *settings = check->settings;
    struct dwal__salvage salvage;
    struct dwal__salvage_options options = {.disk = check->disk,
                                            .dir = check->dir,
                                            .target_disk = check->disk,
                                            .target_dir = -1,
                                            .now_ns = dwal__clock_ns(),
                                            .argument = check,
                                            .random = random_number,
                                            .cancelled = cancelled,
                                            .progress = progress,
                                            .made = made};
    if (getrandom(&options.uuid, sizeof options.uuid, 0) !=
        (ssize_t)sizeof options.uuid)
        return dwal__error_set(error, DWAL_EIO, errno, "random numbers");
    /* A random UUID, as RFC 9562 marks one. */
    options.uuid.bytes[6] = (uint8_t)((options.uuid.bytes[6] & 0x0F) | 0x40);
    options.uuid.bytes[8] = (uint8_t)((options.uuid.bytes[8] & 0x3F) | 0x80);
    dwal__cli_progress_begin("looking for what is whole");
    int code = dwal__salvage_find(&options, &check->recovery, &salvage, error);
    dwal__cli_progress_end();
    if (code != DWAL_OK)
        return code;
    dwal__print_salvage(check, &salvage);
    if (!settings->dry)
        code = target_write(check, &options, &salvage, error);
    if (code == DWAL_OK)
        dwal__print_salvaged(check, &salvage);
    dwal__salvage_release(&salvage);
    return code;
}
