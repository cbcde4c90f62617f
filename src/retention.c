/* SPDX-License-Identifier: MIT */
/*
 * Trims that nobody asks for: by size, by age, and those that a lease held back
 * before.
 *
 * The keeper, who knows the segments that were left, says from which LSN on
 * records are to be kept; a thread of its own trims up to there, exactly as
 * dwal_trim does, with all that this may have to wait for. It looks once each
 * time that a segment was left and is durable, at the first append of an open,
 * and when there is no room for a segment, and sleeps without a timeout
 * otherwise: so an idle log does nothing, and keeps what it has. The thread is
 * there only while options.retain_… is set, or a lease has held back a trim.
 *
 * Invariants: only whole segments go, never the one in use, and only what is
 * durable; what a cut takes back is not trimmed afterwards, when its LSNs are
 * given again (log->trim_wanted, log->cuts).
 */
#include "log.h"

/* ---- what is to be kept ---- */

/* Older by the wall clock; one that was set back makes nothing old. */
static bool is_old(const struct dwal_options *options,
                   const struct dwal__known *left, uint64_t now_ns) {
    return options->retain_ms > 0 && now_ns > left->left_ns &&
           (now_ns - left->left_ns) / DWAL__NS_PER_MS >= options->retain_ms;
}

uint64_t dwal__retention_point(const struct dwal_options *options,
                               const struct dwal__known *left, size_t count,
                               uint64_t now_ns) {
    uint64_t bytes = 0, point = 0;
    for (size_t i = 0; i < count; i++)
        bytes += left[i].size;
    for (size_t i = 0; i < count; i++) {
        bool large = options->retain_bytes > 0 && bytes > options->retain_bytes;
        if (!large && !is_old(options, &left[i], now_ns))
            break;
        point = left[i].last_lsn + 1;
        bytes -= left[i].size;
    }
    return point;
}

void dwal__retention_look(struct dwal *log, const struct dwal__known *left,
                          size_t count, uint64_t cuts) {
    uint64_t point =
        dwal__retention_point(&log->options, left, count, dwal__wall_ns());
    pthread_mutex_lock(&log->place_lock);
    /* After a cut that the keeper has not heard of, @left is what was. */
    if (point > log->trim_wanted && cuts == log->cuts)
        log->trim_wanted = point;
    bool wanted = log->trim_wanted > atomic_load(&log->first_lsn);
    pthread_mutex_unlock(&log->place_lock);
    if (!wanted)
        return;
    atomic_fetch_add(&log->retention_wake, 1);
    dwal__futex_wake(&log->retention_wake, 1);
}

uint64_t dwal__retention_wanted(struct dwal *log) {
    pthread_mutex_lock(&log->place_lock);
    uint64_t wanted = log->trim_wanted;
    pthread_mutex_unlock(&log->place_lock);
    return wanted > atomic_load(&log->first_lsn) ? wanted : 0;
}

/* ---- the thread ---- */

/* What is refused for want of room, or taken back, is for the next look. */
static void retention_try(struct dwal *log) {
    struct dwal_error error;
    uint64_t wanted = dwal__retention_wanted(log);
    if (wanted == 0)
        return;
    dwal__caller_enter(log);
    int code = dwal__trim_run(log, wanted, true, &error);
    dwal__caller_leave(log);
    if (code == DWAL_EIO)
        dwal__tell(log, DWAL_LOG_WARNING, "retention: %s", error.text);
}

static void *retention_main(void *argument) {
    struct dwal *log = argument;
    for (;;) {
        /* Before stop is looked at, which is set before the wake-up. */
        uint32_t seen = atomic_load(&log->retention_wake);
        if (atomic_load(&log->retention_stop))
            break;
        retention_try(log);
        dwal__futex_wait(&log->retention_wake, seen, DWAL__NEVER);
    }
    dwal__thread_exit(log, &log->retention_exited);
    return NULL;
}

int dwal__retention_start(struct dwal *log) {
    if (log->retention_started)
        return 0;
    atomic_store(&log->retention_stop, false);
    atomic_store(&log->retention_exited, 0);
    atomic_fetch_add(&log->references, 1);
    int failed =
        dwal__thread_start(&log->retention_thread, retention_main, log);
    if (failed != 0)
        atomic_fetch_sub(&log->references, 1);
    log->retention_started = failed == 0;
    return failed;
}

/* Without the thread the next trim does what this one could not. */
void dwal__retention_need(struct dwal *log) {
    pthread_mutex_lock(&log->activate_lock);
    if (!atomic_load(&log->closing))
        dwal__retention_start(log);
    pthread_mutex_unlock(&log->activate_lock);
}

bool dwal__retention_stop(struct dwal *log, int64_t deadline) {
    if (!log->retention_started)
        return true;
    atomic_store(&log->retention_stop, true);
    atomic_fetch_add(&log->retention_wake, 1);
    dwal__futex_wake(&log->retention_wake, 1);
    log->retention_started = false;
    return dwal__thread_join(log->retention_thread, &log->retention_exited,
                             deadline);
}
