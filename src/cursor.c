/* SPDX-License-Identifier: MIT */
/*
 * Cursors: recover/reader.h for the public, with filters. In the writer's own
 * process the log's view says what is durable, and wakes who waits for more;
 * once that log is closed, the cursor looks at the directory like anybody else.
 * The place of a cursor outlives that change: it never passes a record by
 * without having shown it, or having said why not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"

void dwal_cursor_options_init(struct dwal_cursor_options *options) {
    if (options == NULL)
        return;
    memset(options, 0, sizeof *options);
    options->size = sizeof *options;
}

/* Not to know it would mean to show less than is durable: so it may fail. */
int dwal__cursor_view(struct dwal_cursor *cursor, struct dwal__view **view) {
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

int dwal__cursor_told(const struct dwal_cursor *cursor, int code,
                      struct dwal_error *error) {
    return code == DWAL_OK ? code
                           : dwal__error_step(error, code, "%s", cursor->path);
}

int dwal__cursor_switch(struct dwal_cursor *cursor, struct dwal_error *error) {
    struct dwal__view *view;
    int failed = dwal__cursor_view(cursor, &view);
    if (failed < 0)
        return dwal__error_set(error, DWAL_EIO, -failed, "%s: %s", cursor->path,
                               DWAL__LOCK_NAME);
    int code = dwal__reader_switch(
        cursor->reader, view != NULL ? dwal__view_read : NULL, view, error);
    struct dwal__view *old = code == DWAL_OK ? cursor->view : view;
    if (code == DWAL_OK) {
        cursor->view = view;
        dwal__reader_close(cursor->getter); /* opened anew when it is needed */
        cursor->getter = NULL;
    }
    if (old != NULL)
        dwal__view_release(old);
    return dwal__cursor_told(cursor, code, error);
}

int dwal__cursor_reader(struct dwal_cursor *cursor,
                        struct dwal__reader_options *options,
                        struct dwal__reader **reader,
                        struct dwal_error *error) {
    options->disk = cursor->disk;
    options->dir = cursor->dir;
    if (cursor->view != NULL) {
        options->durable = dwal__view_read;
        options->durable_argument = cursor->view;
    }
    int code = dwal__reader_open(options, reader, error);
    return code == DWAL_OK ? code
                           : dwal__error_step(error, code, "open cursor on %s",
                                              cursor->path);
}

static int cursor_open(struct dwal_cursor *cursor, struct dwal_error *error) {
    cursor->dir = cursor->disk->ops->dir_open(cursor->disk, cursor->path);
    if (cursor->dir < 0)
        return dwal__error_set(
            error, cursor->dir == -ENOENT ? DWAL_ENOENT : DWAL_EIO,
            -cursor->dir, "%s: open the directory", cursor->path);
    int failed = dwal__cursor_view(cursor, &cursor->view);
    if (failed < 0)
        return dwal__error_set(error, DWAL_EIO, -failed,
                               "open cursor on %s: %s", cursor->path,
                               DWAL__LOCK_NAME);
    struct dwal__reader_options options = {.start_lsn =
                                               cursor->options.start_lsn};
    return dwal__cursor_reader(cursor, &options, &cursor->reader, error);
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

bool dwal__cursor_matches(const struct dwal_cursor *cursor,
                          const struct dwal__record *record) {
    const struct dwal_cursor_options *options = &cursor->options;
    return (!options->filter_type || record->type == options->type) &&
           (!options->filter_tenant || record->tenant == options->tenant) &&
           (!options->filter_shard || record->shard == options->shard);
}

int dwal__cursor_check(const struct dwal_cursor *cursor,
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

/* The log in this process that tells the cursor what is durable says nothing
 * more. */
static bool view_closed(const struct dwal_cursor *cursor) {
    return cursor->view != NULL && atomic_load(&cursor->view->closed);
}

int dwal__cursor_follow(struct dwal_cursor *cursor, struct dwal_error *error) {
    return view_closed(cursor) ? dwal__cursor_switch(cursor, error) : DWAL_OK;
}

int dwal__cursor_peek(struct dwal_cursor *cursor,
                      struct dwal__reader_item *item,
                      struct dwal_error *error) {
    for (;;) {
        /* Read before the end was found, so that nothing is between. */
        bool over = view_closed(cursor);
        int code = dwal__reader_peek(cursor->reader, item, error);
        if (code == DWAL_END && !over)
            return code;
        /* What that log knew of may be gone from the disk since. */
        if (code == DWAL_OK || !view_closed(cursor))
            return dwal__cursor_told(cursor, code, error);
        code = dwal__cursor_switch(cursor, error);
        if (code != DWAL_OK)
            return code;
    }
}

struct dwal_record dwal__cursor_record(const struct dwal__record *record,
                                       const void *data) {
    return (struct dwal_record){.lsn = record->lsn,
                                .data = data,
                                .size = record->size,
                                .type = record->type,
                                .flags = record->flags,
                                .tenant = record->tenant,
                                .shard = record->shard};
}

int dwal__cursor_next(struct dwal_cursor *cursor, struct dwal_record *record,
                      int64_t deadline, struct dwal_error *error) {
    struct dwal__reader_item item;
    for (;;) {
        int code = dwal__cursor_peek(cursor, &item, error);
        if (code != DWAL_OK)
            return code;
        dwal__reader_take(cursor->reader, &item);
        if (dwal__cursor_matches(cursor, &item.record))
            break;
        if (deadline != DWAL__NEVER && dwal__now_ns() >= deadline)
            return dwal__error_set(error, DWAL_ETIMEDOUT, 0,
                                   "%s: nothing up to LSN %llu matches, and "
                                   "time is over; call again to go on",
                                   cursor->path,
                                   (unsigned long long)item.record.lsn);
    }
    *record = dwal__cursor_record(&item.record, item.record.data);
    return DWAL_OK;
}

int dwal__cursor_check_record(const struct dwal_cursor *cursor,
                              const struct dwal_record *record,
                              struct dwal_error *error) {
    int code = dwal__cursor_check(cursor, error);
    if (code == DWAL_OK && record == NULL)
        code =
            dwal__error_set(error, DWAL_EINVAL, 0,
                            "%s: nowhere to put a record: NULL", cursor->path);
    return code;
}

int dwal_cursor_next(struct dwal_cursor *cursor, struct dwal_record *record,
                     struct dwal_error *error) {
    int code = dwal__cursor_check_record(cursor, record, error);
    return code == DWAL_OK
               ? dwal__cursor_next(cursor, record, DWAL__NEVER, error)
               : code;
}

int dwal_cursor_seek(struct dwal_cursor *cursor, uint64_t lsn,
                     struct dwal_error *error) {
    int code = dwal__cursor_check(cursor, error);
    if (code == DWAL_OK)
        code = dwal__cursor_follow(cursor, error);
    if (code != DWAL_OK)
        return code;
    code = dwal__reader_seek(cursor->reader, lsn, error);
    return dwal__cursor_told(cursor, code, error);
}

void dwal_cursor_close(struct dwal_cursor *cursor) {
    if (cursor == NULL)
        return;
    /* In a child of fork() the reader may have threads that do not exist here,
     * and locks that they held: it is left as it is. */
    bool ours = cursor->forks == atomic_load(&dwal__forks);
    if (ours) {
        dwal__reader_close(cursor->reader);
        dwal__reader_close(cursor->getter);
        dwal__places_free(cursor->places);
    }
    if (cursor->view != NULL && ours)
        dwal__view_release(cursor->view);
    if (cursor->dir >= 0)
        cursor->disk->ops->close(cursor->disk, cursor->dir);
    free(cursor->path);
    free(cursor);
}
