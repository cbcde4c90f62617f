/* SPDX-License-Identifier: MIT */
/*
 * Cursors: recover/reader.h for the public, with filters. In the writer's own
 * process the log's view says what is durable; once that log is closed, the
 * cursor looks at the directory like anybody else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../recover/reader.h"
#include "log.h"

struct dwal_cursor {
    struct dwal_cursor_options options;
    struct dwal__disk *disk;
    struct dwal__reader *reader;
    struct dwal__view *view; /* NULL: the log is not open in this process */
    uint64_t next_lsn;       /* where the cursor stands; 0: at the first */
    int dir;
    char *path;
    uint32_t forks; /* dwal__forks at open */
};

void dwal_cursor_options_init(struct dwal_cursor_options *options) {
    if (options == NULL)
        return;
    memset(options, 0, sizeof *options);
    options->size = sizeof *options;
}

/* The view of the log in this directory, if this process has it open; NULL, if
 * not. 0 or -errno: not to know it would mean to show less than is durable. */
static int view_look(struct dwal_cursor *cursor, struct dwal__view **view) {
    const struct dwal__disk_ops *ops = cursor->disk->ops;
    *view = NULL;
    int handle =
        ops->open(cursor->disk, cursor->dir, DWAL__LOCK_NAME, DWAL__OPEN_READ);
    if (handle == -ENOENT)
        return 0;
    if (handle < 0)
        return handle;
    uint64_t device, inode;
    int failed = ops->identity(cursor->disk, handle, &device, &inode);
    if (failed == 0)
        *view = dwal__view_find(device, inode);
    ops->close(cursor->disk, handle);
    return failed;
}

/* (Re)opens the reader at the cursor's place. */
static int reader_open(struct dwal_cursor *cursor, struct dwal_error *error) {
    struct dwal__view *view;
    int failed = view_look(cursor, &view);
    if (failed < 0)
        return dwal__error_set(error, DWAL_EIO, -failed,
                               "open cursor on %s: %s", cursor->path,
                               DWAL__LOCK_NAME);
    struct dwal__reader_options options = {.disk = cursor->disk,
                                           .dir = cursor->dir,
                                           .start_lsn = cursor->next_lsn};
    if (view != NULL) {
        options.durable = dwal__view_read;
        options.durable_argument = view;
    }
    struct dwal__reader *reader;
    int code = dwal__reader_open(&options, &reader, error);
    if (code != DWAL_OK) {
        if (view != NULL)
            dwal__view_release(view);
        return dwal__error_step(error, code, "open cursor on %s", cursor->path);
    }
    if (cursor->reader != NULL)
        dwal__reader_close(cursor->reader);
    if (cursor->view != NULL)
        dwal__view_release(cursor->view);
    cursor->reader = reader;
    cursor->view = view;
    return DWAL_OK;
}

static int cursor_open(struct dwal_cursor *cursor, struct dwal_error *error) {
    cursor->dir = cursor->disk->ops->dir_open(cursor->disk, cursor->path);
    if (cursor->dir < 0)
        return dwal__error_set(
            error, cursor->dir == -ENOENT ? DWAL_ENOENT : DWAL_EIO,
            -cursor->dir, "%s: open the directory", cursor->path);
    return reader_open(cursor, error);
}

int dwal_cursor_open(const char *path,
                     const struct dwal_cursor_options *options,
                     struct dwal_cursor **cursor, struct dwal_error *error) {
    struct dwal_cursor_options defaults;
    if (options == NULL) {
        dwal_cursor_options_init(&defaults);
        options = &defaults;
    }
    if (path == NULL || cursor == NULL || options->size != sizeof *options)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "dwal_cursor_open: no path, no cursor, or "
                               "options without dwal_cursor_options_init");
    struct dwal_cursor *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "%s", path);
    opened->options = *options;
    opened->next_lsn = options->start_lsn;
    opened->disk = dwal__disk_kernel();
    opened->dir = -1;
    dwal__forks_watch();
    opened->forks = atomic_load(&dwal__forks);
    opened->path = strdup(path);
    int code = opened->path == NULL
                   ? dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "%s", path)
                   : cursor_open(opened, error);
    if (code != DWAL_OK) {
        dwal_cursor_close(opened);
        return code;
    }
    *cursor = opened;
    return DWAL_OK;
}

static bool record_matches(const struct dwal_cursor_options *options,
                           const struct dwal__record *record) {
    return (!options->filter_type || record->type == options->type) &&
           (!options->filter_tenant || record->tenant == options->tenant) &&
           (!options->filter_shard || record->shard == options->shard);
}

static int cursor_check(const struct dwal_cursor *cursor,
                        struct dwal_error *error) {
    if (cursor == NULL)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "no cursor: NULL; open one with "
                               "dwal_cursor_open");
    if (cursor->forks != atomic_load(&dwal__forks))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: a cursor that a parent of this process "
                               "opened; open one here",
                               cursor->path);
    return DWAL_OK;
}

int dwal_cursor_next(struct dwal_cursor *cursor, struct dwal_record *record,
                     struct dwal_error *error) {
    int checked = cursor_check(cursor, error);
    if (checked != DWAL_OK)
        return checked;
    if (record == NULL)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: nowhere to put a record: NULL",
                               cursor->path);
    struct dwal__reader_item item;
    for (;;) {
        /* Read before the end was found, so that nothing is between. */
        bool closed =
            cursor->view != NULL && atomic_load(&cursor->view->closed);
        int code = dwal__reader_next(cursor->reader, &item, error);
        if (code == DWAL_END && closed) {
            code = reader_open(cursor, error);
            if (code == DWAL_OK)
                continue;
            return code;
        }
        if (code == DWAL_END)
            return code;
        if (code != DWAL_OK)
            return dwal__error_step(error, code, "%s", cursor->path);
        cursor->next_lsn = item.record.lsn + 1;
        if (record_matches(&cursor->options, &item.record))
            break;
    }
    *record = (struct dwal_record){.lsn = item.record.lsn,
                                   .data = item.record.data,
                                   .size = item.record.size,
                                   .type = item.record.type,
                                   .flags = item.record.flags,
                                   .tenant = item.record.tenant,
                                   .shard = item.record.shard};
    return DWAL_OK;
}

int dwal_cursor_seek(struct dwal_cursor *cursor, uint64_t lsn,
                     struct dwal_error *error) {
    int code = cursor_check(cursor, error);
    if (code != DWAL_OK)
        return code;
    code = dwal__reader_seek(cursor->reader, lsn, error);
    if (code != DWAL_OK)
        return dwal__error_step(error, code, "%s", cursor->path);
    cursor->next_lsn = lsn;
    return DWAL_OK;
}

void dwal_cursor_close(struct dwal_cursor *cursor) {
    if (cursor == NULL)
        return;
    /* In a child of fork() the reader may have threads that do not exist here,
     * and locks that they held: it is left as it is. */
    bool ours = cursor->forks == atomic_load(&dwal__forks);
    if (cursor->reader != NULL && ours)
        dwal__reader_close(cursor->reader);
    if (cursor->view != NULL && ours)
        dwal__view_release(cursor->view);
    if (cursor->dir >= 0)
        cursor->disk->ops->close(cursor->disk, cursor->dir);
    free(cursor->path);
    free(cursor);
}
