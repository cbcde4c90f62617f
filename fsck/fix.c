/* SPDX-License-Identifier: MIT */
/*
 * What walfsck does around a repair (recover/repair.h). Its invariant: nothing
 * is changed before what it gives up was said, saved and synced.
 */
#include "fix.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static bool cancelled(void *argument) {
    (void)argument;
    return dwal__cli_cancelled();
}

static void progress(void *argument, uint64_t done, uint64_t total) {
    dwal__print_progress(argument, done, total);
}

static void step_tell(void *argument, const struct dwal__repair_step *step) {
    dwal__print_step(argument, step);
}

/* ---- files that are made ---- */

static void path_join(char path[DWAL__FIX_PATH_SIZE], const char *directory,
                      const char *name) {
    size_t length = strlen(directory);
    bool slash = length > 0 && directory[length - 1] == '/';
    snprintf(path, DWAL__FIX_PATH_SIZE, "%s%s%s", directory, slash ? "" : "/",
             name);
}

/* A file of the log that shows to whom the others belong. */
static bool model_find(const struct dwal__check *check, struct stat *model) {
    char path[DWAL__FIX_PATH_SIZE];
    char name[DWAL__NAME_SIZE];
    path_join(path, check->settings->path, DWAL__LOCK_NAME);
    if (lstat(path, model) == 0 && S_ISREG(model->st_mode))
        return true;
    for (size_t i = 0; i < check->recovery.segment_count; i++) {
        dwal__segment_name(check->recovery.segments[i].number, name);
        path_join(path, check->settings->path, name);
        if (lstat(path, model) == 0 && S_ISREG(model->st_mode))
            return true;
    }
    return false;
}

/* A log is often repaired by root and written by somebody else, who must be
 * able to open what was made here. */
static int made_give(void *argument, const char *name) {
    const struct dwal__check *check = argument;
    char path[DWAL__FIX_PATH_SIZE];
    struct stat model;
    path_join(path, check->settings->path, name);
    if (!model_find(check, &model))
        return 0;
    if (geteuid() == 0 && lchown(path, model.st_uid, model.st_gid) != 0)
        return -errno;
    return chmod(path, model.st_mode & 0777) == 0 ? 0 : -errno;
}

/* What may be mended: by -y, and by a preview of it, what is proven. Where
 * there is damage -p repairs nothing, and tells what -y would do. */
static unsigned mend_of(const struct dwal__check *check) {
    const struct dwal__check_settings *settings = check->settings;
    bool damaged = check->counts[DWAL__SEVERITY_DAMAGE] > 0;
    unsigned mend = 0;
    if (settings->rebuild)
        mend |= DWAL__MEND_HEADERS | DWAL__MEND_FORGED;
    if (settings->rebuild && settings->permit == DWAL__PERMIT_NEVER)
        return mend | DWAL__MEND_ONLY;
    if (damaged)
        mend |= DWAL__MEND_BITS | DWAL__MEND_HEADERS;
    return mend;
}

static int options_make(struct dwal__check *check,
                        struct dwal__repair_options *options,
                        struct dwal_error *error) {
    *options =
        (struct dwal__repair_options){.disk = check->disk,
                                      .dir = check->dir,
                                      .lock = &check->lock,
                                      .now_ns = dwal__clock_ns(),
                                      .mend = mend_of(check),
                                      .threads = check->settings->threads,
                                      .argument = check,
                                      .cancelled = cancelled,
                                      .progress = progress,
                                      .step = step_tell,
                                      .made = made_give};
    if (getrandom(&options->uuid, sizeof options->uuid, 0) !=
            (ssize_t)sizeof options->uuid ||
        getrandom(options->salts, sizeof options->salts, 0) !=
            (ssize_t)sizeof options->salts)
        return dwal__error_set(error, DWAL_EIO, errno, "random numbers");
    /* A random UUID, as RFC 9562 marks one. */
    options->uuid.bytes[6] = (uint8_t)((options->uuid.bytes[6] & 0x0F) | 0x40);
    options->uuid.bytes[8] = (uint8_t)((options->uuid.bytes[8] & 0x3F) | 0x80);
    return DWAL_OK;
}

/* ---- where the undo file goes ---- */

/* The directory and the name of @path. */
static void path_split(const char *path, char directory[DWAL__FIX_PATH_SIZE],
                       const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash != NULL ? slash + 1 : path;
    if (slash == NULL)
        snprintf(directory, DWAL__FIX_PATH_SIZE, ".");
    else if (slash == path)
        snprintf(directory, DWAL__FIX_PATH_SIZE, "/");
    else
        snprintf(directory, DWAL__FIX_PATH_SIZE, "%.*s", (int)(slash - path),
                 path);
}

bool dwal__fix_path_valid(const char *path) {
    char directory[DWAL__FIX_PATH_SIZE];
    const char *name;
    uint64_t number;
    if (strlen(path) >= sizeof directory)
        return false;
    path_split(path, directory, &name);
    return name[0] != '\0' && strlen(name) < DWAL__REPAIR_NAME_SIZE &&
           dwal__name_parse(name, &number) == DWAL__NAME_OTHER;
}

/* Opens the folder of the undo file @path and fills @place. */
static int place_open(struct dwal__check *check, const char *path,
                      struct dwal__undo_place *place,
                      struct dwal_error *error) {
    char directory[DWAL__FIX_PATH_SIZE];
    path_split(path, directory, &place->name);
    place->disk = check->disk;
    place->log_dir = check->dir;
    place->dir = check->disk->ops->dir_open(check->disk, directory);
    if (place->dir < 0)
        return dwal__error_set(error, DWAL_EIO, -place->dir,
                               "undo file %s: open %s", path, directory);
    return DWAL_OK;
}

/* "DIR/walfsck-<uuid8>-<time>.undo", from the second on with a number. */
static void undo_path(const struct dwal__check *check,
                      const struct dwal__repair_plan *plan, uint64_t now_ns,
                      unsigned index, char path[DWAL__FIX_PATH_SIZE]) {
    char uuid[DWAL__UUID_TEXT_SIZE], stamp[32], more[16] = "", name[96];
    time_t now = (time_t)(now_ns / 1000000000u);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    dwal__uuid_text(&plan->uuid, uuid);
    if (index > 1)
        snprintf(more, sizeof more, "-%u", index);
    snprintf(name, sizeof name, "walfsck-%.8s-%s%s.undo", uuid, stamp, more);
    path_join(path, check->settings->path, name);
}

static int undo_save_at(struct dwal__check *check,
                        const struct dwal__repair_options *options,
                        const struct dwal__repair_plan *plan, const char *path,
                        struct dwal_error *error) {
    struct dwal__undo_place place;
    uint64_t size;
    int code = place_open(check, path, &place, error);
    if (code != DWAL_OK)
        return code;
    code = dwal__undo_save(&place, options, plan, &size, error);
    check->disk->ops->close(check->disk, place.dir);
    if (code == DWAL_OK)
        dwal__print_undo(check, path, size);
    return code;
}

static int undo_save(struct dwal__check *check,
                     const struct dwal__repair_options *options,
                     const struct dwal__repair_plan *plan,
                     char path[DWAL__FIX_PATH_SIZE], struct dwal_error *error) {
    const char *wanted = check->settings->undo;
    if (wanted != NULL) {
        snprintf(path, DWAL__FIX_PATH_SIZE, "%s", wanted);
        return undo_save_at(check, options, plan, path, error);
    }
    int code = DWAL_EEXIST;
    for (unsigned index = 1; code == DWAL_EEXIST && index < 100; index++) {
        undo_path(check, plan, options->now_ns, index, path);
        code = undo_save_at(check, options, plan, path, error);
    }
    return code;
}

/* ---- the repair ---- */

void dwal__fix_plan(struct dwal__check *check, struct dwal__fix *fix) {
    const struct dwal__check_settings *settings = check->settings;
    memset(fix, 0, sizeof *fix);
    fix->code = options_make(check, &fix->options, &fix->error);
    if (fix->code == DWAL_OK)
        fix->code = dwal__repair_plan_make(&fix->options, &check->recovery,
                                           &fix->plan, &fix->error);
    bool whole = !settings->rebuild || settings->permit != DWAL__PERMIT_NEVER;
    if (fix->code == DWAL_OK && whole)
        check->plan = &fix->plan;
}

void dwal__fix_release(struct dwal__check *check, struct dwal__fix *fix) {
    check->plan = NULL;
    dwal__repair_plan_release(&fix->plan);
}

void dwal__fix_preview(struct dwal__check *check, const struct dwal__fix *fix) {
    if (fix->code == DWAL_OK && fix->plan.step_count > 0)
        dwal__print_plan(check, &fix->plan, false);
}

int dwal__fix_run(struct dwal__check *check, struct dwal__fix *fix,
                  char undo[DWAL__FIX_PATH_SIZE], struct dwal_error *error) {
    assert(check->locked);
    undo[0] = '\0';
    if (fix->code != DWAL_OK) {
        *error = fix->error;
        return fix->code;
    }
    if (fix->plan.step_count == 0)
        return DWAL_OK;
    dwal__print_plan(check, &fix->plan, true);
    int code = undo_save(check, &fix->options, &fix->plan, undo, error);
    if (code == DWAL_OK)
        return dwal__repair_run(&fix->options, &fix->plan, error);
    undo[0] = '\0';
    return code;
}

int dwal__fix_undo(struct dwal__check *check, struct dwal__undo_done *done,
                   struct dwal_error *error) {
    struct dwal__undo_place place;
    int code = place_open(check, check->settings->undo_apply, &place, error);
    if (code != DWAL_OK)
        return code;
    code = dwal__undo_apply(&place, cancelled, NULL, done, error);
    check->disk->ops->close(check->disk, place.dir);
    return code;
}
