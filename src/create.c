/* SPDX-License-Identifier: MIT */
/*
 * Creating a log, so that a crash in the middle leaves either a log or nothing
 * that recovery takes for one [create-order]: the segments first, LOCK last,
 * each synced before the next, all under a lock of the directory itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

struct leftovers {
    char names[64][DWAL__NAME_SIZE];
    size_t count;
};

static int leftover_note(void *argument, const char *name) {
    struct leftovers *leftovers = argument;
    uint64_t number;
    enum dwal__name_kind kind = dwal__name_parse(name, &number);
    if (kind != DWAL__NAME_SEGMENT && kind != DWAL__NAME_SPARE)
        return 0;
    memcpy(leftovers->names[leftovers->count], name, strlen(name) + 1);
    return ++leftovers->count == sizeof leftovers->names / DWAL__NAME_SIZE;
}

/* Removes what an interrupted creation left: recovery has just said that it
 * holds nothing. */
static int leftovers_remove(struct dwal *log, struct dwal_error *error) {
    const struct dwal__disk_ops *ops = log->disk->ops;
    struct leftovers leftovers;
    int failed;
    do {
        leftovers.count = 0;
        failed = ops->dir_list(log->disk, log->dir, leftover_note, &leftovers);
        for (size_t i = 0; i < leftovers.count && failed >= 0; i++)
            failed = ops->unlink(log->disk, log->dir, leftovers.names[i]);
    } while (failed >= 0 && leftovers.count > 0);
    if (failed >= 0)
        failed = ops->dir_sync(log->disk, log->dir);
    if (failed < 0)
        return dwal__error_set(error, DWAL_EIO, -failed,
                               "%s: remove an interrupted creation", log->path);
    return DWAL_OK;
}

/* The entry of the log's directory in its parent. */
static int parent_sync(struct dwal *log, struct dwal_error *error) {
    const struct dwal__disk_ops *ops = log->disk->ops;
    size_t size = strlen(log->path) + sizeof "/..";
    char *parent = malloc(size);
    if (parent == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "%s", log->path);
    snprintf(parent, size, "%s/..", log->path);
    int handle = ops->dir_open(log->disk, parent);
    int failed = handle < 0 ? handle : ops->dir_sync(log->disk, handle);
    if (handle >= 0)
        ops->close(log->disk, handle);
    free(parent);
    if (failed < 0)
        return dwal__error_set(error, DWAL_EIO, -failed,
                               "%s: sync the directory above", log->path);
    return DWAL_OK;
}

int dwal__creation_refused(struct dwal *log, int failed, const char *name,
                           struct dwal_error *error) {
    const char *slash = name[0] == '\0' ? "" : "/";
    if (failed == -ENOSPC || failed == -EDQUOT || failed == -EFBIG)
        return dwal__error_set(error, DWAL_ENOSPC, -failed,
                               "create %s%s%s: free some space, or raise the "
                               "limit",
                               log->path, slash, name);
    return dwal__error_set(error, DWAL_EIO, -failed, "create %s%s%s", log->path,
                           slash, name);
}

/* LOCK, last of all [create-order]: under another name, synced, renamed. */
static int lock_make(struct dwal *log) {
    static const char making[] = DWAL__LOCK_NAME ".new";
    const struct dwal__disk_ops *ops = log->disk->ops;
    uint8_t line[DWAL__LOCK_SIZE];
    dwal__lock_encode(&log->uuid, line);
    int error = ops->unlink(log->disk, log->dir, making);
    if (error < 0 && error != -ENOENT)
        return error;
    int handle = ops->open(log->disk, log->dir, making,
                           DWAL__OPEN_WRITE | DWAL__OPEN_CREATE);
    if (handle < 0)
        return handle;
    ssize_t written = ops->write(log->disk, handle, line, DWAL__LOCK_SIZE, 0);
    if (written == DWAL__LOCK_SIZE)
        error = ops->sync(log->disk, handle);
    else
        error = written < 0 ? (int)written : -EIO;
    ops->close(log->disk, handle);
    if (error == 0)
        error = ops->rename(log->disk, log->dir, making, DWAL__LOCK_NAME);
    return error == 0 ? ops->dir_sync(log->disk, log->dir) : error;
}

/* What could not be made a log gives its space back, as far as it can: the next
 * creation takes what is left for an interrupted one. Not once LOCK may have
 * its name: then it is a log. */
static void creation_undo(struct dwal *log) {
    const struct dwal__disk_ops *ops = log->disk->ops;
    int handle =
        ops->open(log->disk, log->dir, DWAL__LOCK_NAME, DWAL__OPEN_READ);
    if (handle >= 0)
        ops->close(log->disk, handle);
    if (handle == -ENOENT)
        leftovers_remove(log, NULL);
}

/* What is there holds nothing: removes it and makes the log. */
static int create_now(struct dwal *log, struct dwal_error *error) {
    static const char probe[] = DWAL__LOCK_NAME ".probe";
    const struct dwal__disk_ops *ops = log->disk->ops;
    ops->unlink(log->disk, log->dir, probe);
    int code = leftovers_remove(log, error);
    if (code == DWAL_OK)
        code = dwal__device_probe(log, probe,
                                  DWAL__OPEN_WRITE | DWAL__OPEN_CREATE, error);
    ops->unlink(log->disk, log->dir, probe);
    if (code != DWAL_OK)
        return code;
    log->epoch = 1;
    code = dwal__files_create(log, error);
    /* Before LOCK: who finds LOCK relies on the directory being there to stay,
     * also if we are killed right behind its rename. */
    if (code == DWAL_OK)
        code = parent_sync(log, error);
    if (code == DWAL_OK) {
        int failed = lock_make(log);
        if (failed < 0)
            code = dwal__creation_refused(log, failed, DWAL__LOCK_NAME, error);
    }
    if (code == DWAL_OK)
        return dwal__lock_take(log, error);
    creation_undo(log);
    return code;
}

/* DWAL_OK if there is no log, nor anything that looks like the rest of one. */
static int nothing_check(struct dwal *log, struct dwal_error *error) {
    struct dwal__recover_options options = {.disk = log->disk, .dir = log->dir};
    struct dwal__recovery found = {0};
    int code = dwal__recover(&options, &found, error);
    if (code == DWAL_ENOENT)
        return DWAL_OK;
    if (code != DWAL_OK)
        return dwal__error_step(error, code, "open log %s", log->path);
    /* Segments with data but no LOCK: not ours to overwrite. */
    code = dwal__recovery_code(&found);
    dwal__recovery_release(&found);
    if (code != DWAL_OK)
        return dwal__error_step(error, code, "open log %s", log->path);
    return dwal__error_set(error, DWAL_ECORRUPT, 0, "%s: segments without %s",
                           log->path, DWAL__LOCK_NAME);
}

/* Under the lock of the directory: two creators make one log. */
static int create_locked(struct dwal *log, struct dwal_error *error) {
    int code = dwal__lock_take(log, error);
    if (code == DWAL_OK && log->options.create == DWAL_CREATE_NEW)
        return dwal__error_set(error, DWAL_EEXIST, 0,
                               "%s: a log is already here", log->path);
    if (code != DWAL_ENOENT) /* made by somebody who was faster, or an error */
        return code;
    code = nothing_check(log, error);
    return code == DWAL_OK ? create_now(log, error) : code;
}

int dwal__log_create(struct dwal *log, struct dwal_error *error) {
    const struct dwal__disk_ops *ops = log->disk->ops;
    /* A descriptor of its own, so that the lock ends with it. */
    int dir = ops->dir_open(log->disk, log->path);
    int locked = dir < 0 ? dir : ops->lock(log->disk, dir, DWAL__LOCK_DIR);
    int code;
    if (locked == 0)
        code = create_locked(log, error);
    else if (locked == -EAGAIN)
        code = dwal__error_set(error, DWAL_EBUSY, 0,
                               "%s: somebody else is creating it", log->path);
    else
        code = dwal__error_set(error, DWAL_EIO, -locked,
                               "%s: lock the directory", log->path);
    if (dir >= 0)
        ops->close(log->disk, dir);
    return code;
}
