/* SPDX-License-Identifier: MIT */
/*
 * Cursors that wait for what is to come: told by the log in this process, or
 * looking again and again where another one writes it. The invariant: whoever
 * sleeps has looked after he said that he would, or after the last sleep.
 */
#include "../recover/pause.h"
#include "cursor.h"

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
        code = dwal__cursor_next(cursor, record, deadline, error);
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
        int code = dwal__cursor_next(cursor, record, deadline, error);
        if (code != DWAL_END)
            return code;
        if (late)
            return wait_over(cursor, error);
        pause_sleep(dwal__pause_next(&pause), deadline);
        struct dwal__view *view;
        if (dwal__cursor_view(cursor, &view) != 0 || view == NULL)
            continue;
        dwal__view_release(view);
        code = dwal__cursor_switch(cursor, error);
        return code == DWAL_OK ? DWAL_END : code;
    }
}

int dwal_cursor_next_wait(struct dwal_cursor *cursor,
                          struct dwal_record *record, int timeout_ms,
                          struct dwal_error *error) {
    int code = dwal__cursor_check_record(cursor, record, error);
    if (code != DWAL_OK)
        return code;
    if (timeout_ms == 0) {
        code = dwal__cursor_next(cursor, record, DWAL__NEVER, error);
        return code == DWAL_END ? wait_over(cursor, error) : code;
    }
    int64_t deadline = dwal__deadline(dwal__now_ns(), timeout_ms);
    /* Without counting oneself among those who wait, if possible. */
    code = dwal__cursor_next(cursor, record, deadline, error);
    while (code == DWAL_END)
        code = cursor->view != NULL
                   ? inside_wait(cursor, record, deadline, error)
                   : outside_wait(cursor, record, deadline, error);
    return code;
}
