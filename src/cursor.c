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

#include "../recover/pause.h"
#include "../recover/reader.h"
#include "log.h"

struct dwal_cursor {
    struct dwal_cursor_options options;
    struct dwal__disk *disk;
    struct dwal__reader *reader;
    struct dwal__view *view; /* NULL: the log is not open in this process */
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

/* Names the log in what the reader says. */
static int path_step(const struct dwal_cursor *cursor, int code,
                     struct dwal_error *error) {
    return code == DWAL_OK ? code
                           : dwal__error_step(error, code, "%s", cursor->path);
}

/* Finds out whether the log is open in this process, and looks accordingly from
 * now on. The place stays. */
static int view_switch(struct dwal_cursor *cursor, struct dwal_error *error) {
    struct dwal__view *view;
    int failed = view_look(cursor, &view);
    if (failed < 0)
        return dwal__error_set(error, DWAL_EIO, -failed, "%s: %s", cursor->path,
                               DWAL__LOCK_NAME);
    int code = dwal__reader_switch(
        cursor->reader, view != NULL ? dwal__view_read : NULL, view, error);
    struct dwal__view *old = code == DWAL_OK ? cursor->view : view;
    if (code == DWAL_OK)
        cursor->view = view;
    if (old != NULL)
        dwal__view_release(old);
    return path_step(cursor, code, error);
}

static int reader_open(struct dwal_cursor *cursor, struct dwal_error *error) {
    int failed = view_look(cursor, &cursor->view);
    if (failed < 0)
        return dwal__error_set(error, DWAL_EIO, -failed,
                               "open cursor on %s: %s", cursor->path,
                               DWAL__LOCK_NAME);
    struct dwal__reader_options options = {.disk = cursor->disk,
                                           .dir = cursor->dir,
                                           .start_lsn =
                                               cursor->options.start_lsn};
    if (cursor->view != NULL) {
        options.durable = dwal__view_read;
        options.durable_argument = cursor->view;
    }
    int code = dwal__reader_open(&options, &cursor->reader, error);
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

/* The next record, whichever it is. */
static int item_next(struct dwal_cursor *cursor, struct dwal__reader_item *item,
                     struct dwal_error *error) {
    for (;;) {
        /* Read before the end was found, so that nothing is between. */
        bool closed =
            cursor->view != NULL && atomic_load(&cursor->view->closed);
        int code = dwal__reader_next(cursor->reader, item, error);
        if (code != DWAL_END)
            return path_step(cursor, code, error);
        if (!closed)
            return code;
        code = view_switch(cursor, error);
        if (code != DWAL_OK)
            return code;
    }
}

/* The next record that matches. DWAL_ETIMEDOUT: @deadline passed while others
 * were passed by. */
static int match_next(struct dwal_cursor *cursor, struct dwal_record *record,
                      int64_t deadline, struct dwal_error *error) {
    struct dwal__reader_item item;
    for (;;) {
        int code = item_next(cursor, &item, error);
        if (code != DWAL_OK)
            return code;
        if (record_matches(&cursor->options, &item.record))
            break;
        if (deadline != DWAL__NEVER && dwal__now_ns() >= deadline)
            return dwal__error_set(error, DWAL_ETIMEDOUT, 0,
                                   "%s: nothing up to LSN %llu matches, and "
                                   "time is over; call again to go on",
                                   cursor->path,
                                   (unsigned long long)item.record.lsn);
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

static int next_check(const struct dwal_cursor *cursor,
                      const struct dwal_record *record,
                      struct dwal_error *error) {
    int code = cursor_check(cursor, error);
    if (code == DWAL_OK && record == NULL)
        code =
            dwal__error_set(error, DWAL_EINVAL, 0,
                            "%s: nowhere to put a record: NULL", cursor->path);
    return code;
}

int dwal_cursor_next(struct dwal_cursor *cursor, struct dwal_record *record,
                     struct dwal_error *error) {
    int code = next_check(cursor, record, error);
    return code == DWAL_OK ? match_next(cursor, record, DWAL__NEVER, error)
                           : code;
}

/* ---- waiting ---- */

static int wait_over(const struct dwal_cursor *cursor,
                     struct dwal_error *error) {
    return dwal__error_set(error, DWAL_ETIMEDOUT, 0,
                           "%s: nothing new became durable in time",
                           cursor->path);
}

/* The log in this process tells when to look again. DWAL_END: it was closed,
 * and others write it, or nobody. */
static int inside_wait(struct dwal_cursor *cursor, struct dwal_record *record,
                       int64_t deadline, struct dwal_error *error) {
    struct dwal__view *view = cursor->view;
    int code;
    dwal__view_wait_begin(view);
    for (;;) {
        bool late = dwal__now_ns() >= deadline;
        bool failed = atomic_load(&view->failed);
        uint32_t news = dwal__view_news(view); /* before looking */
        code = match_next(cursor, record, deadline, error);
        if (code != DWAL_END || cursor->view != view)
            break;
        if (failed) {
            code = dwal__error_set(error, DWAL_EFAILED, 0,
                                   "%s: the log has failed, nothing more will "
                                   "become durable; close it and open it again",
                                   cursor->path);
            break;
        }
        if (late) {
            code = wait_over(cursor, error);
            break;
        }
        dwal__view_wait(view, news, deadline);
    }
    dwal__view_wait_end(view);
    return code;
}

/* Sleeps for @ms, or until @deadline. */
static void pause_sleep(int ms, int64_t deadline) {
    int64_t now = dwal__now_ns();
    int64_t until = dwal__deadline(now, ms);
    if (until > deadline)
        until = deadline;
    for (; now < until; now = dwal__now_ns())
        dwal__sleep_ns(until - now);
}

/* Another process writes the log, or nobody: looks again and again. DWAL_END:
 * this process has opened it. */
static int outside_wait(struct dwal_cursor *cursor, struct dwal_record *record,
                        int64_t deadline, struct dwal_error *error) {
    struct dwal__pause pause = {0};
    for (;;) {
        bool late = dwal__now_ns() >= deadline;
        int code = match_next(cursor, record, deadline, error);
        if (code != DWAL_END)
            return code;
        if (late)
            return wait_over(cursor, error);
        pause_sleep(dwal__pause_next(&pause), deadline);
        struct dwal__view *view;
        if (view_look(cursor, &view) != 0 || view == NULL)
            continue;
        dwal__view_release(view);
        code = view_switch(cursor, error);
        return code == DWAL_OK ? DWAL_END : code;
    }
}

int dwal_cursor_next_wait(struct dwal_cursor *cursor,
                          struct dwal_record *record, int timeout_ms,
                          struct dwal_error *error) {
    int code = next_check(cursor, record, error);
    if (code != DWAL_OK)
        return code;
    if (timeout_ms == 0) {
        code = match_next(cursor, record, DWAL__NEVER, error);
        return code == DWAL_END ? wait_over(cursor, error) : code;
    }
    int64_t deadline = dwal__deadline(dwal__now_ns(), timeout_ms);
    /* Without counting oneself among those who wait, if possible. */
    code = match_next(cursor, record, deadline, error);
    while (code == DWAL_END)
        code = cursor->view != NULL
                   ? inside_wait(cursor, record, deadline, error)
                   : outside_wait(cursor, record, deadline, error);
    return code;
}

/* ---- elsewhere ---- */

int dwal_cursor_seek(struct dwal_cursor *cursor, uint64_t lsn,
                     struct dwal_error *error) {
    int code = cursor_check(cursor, error);
    if (code != DWAL_OK)
        return code;
    code = dwal__reader_seek(cursor->reader, lsn, error);
    return path_step(cursor, code, error);
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
