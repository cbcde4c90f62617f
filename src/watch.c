/* SPDX-License-Identifier: MIT */
/*
 * Operations whose thread may be stuck in the kernel: a submission on a frozen
 * filesystem, a file that the keeper makes. Who does them cannot keep their
 * deadline, so everybody who sleeps does it for them, and looks here before.
 * An event loop sleeps elsewhere: for a log whose event descriptor was asked
 * for, the watcher does it, a thread that does nothing else.
 *
 * Invariants: as long as somebody waits in a call of the log, or for its event
 * descriptor, an operation is told about once when it is older than slow_io_ms,
 * and the log fails when it is older than io_timeout_ms. The watcher sleeps
 * without a deadline while nothing is under way [no timer].
 */
#include <errno.h>
#include <limits.h>

#include "log.h"

void dwal__watch_begin(struct dwal__watched *watched, const char *what,
                       int64_t now) {
    atomic_store_explicit(&watched->what, what, memory_order_relaxed);
    atomic_store_explicit(&watched->told, false, memory_order_relaxed);
    /* Last, and before the caller looks who sleeps ("idle" in log.h). */
    atomic_store(&watched->since_ns, now);
}

void dwal__watch_end(struct dwal__watched *watched) {
    atomic_store(&watched->since_ns, 0);
}

void dwal__slow_tell(struct dwal *log, const char *what, int64_t age) {
    atomic_fetch_add_explicit(&log->meters->slow_io, 1, memory_order_relaxed);
    dwal__tell(log, DWAL_LOG_WARNING,
               "%s: %s is under way for %lld ms; the log fails at %d ms",
               log->path, what, (long long)(age / DWAL__NS_PER_MS),
               log->options.io_timeout_ms);
}

int64_t dwal__watch_one(struct dwal *log, struct dwal__watched *watched,
                        int64_t now) {
    int64_t timeout = log->options.io_timeout_ms * DWAL__NS_PER_MS;
    int64_t slow = log->options.slow_io_ms * DWAL__NS_PER_MS;
    int64_t since = atomic_load(&watched->since_ns);
    const char *what =
        atomic_load_explicit(&watched->what, memory_order_relaxed);
    if (since == 0 || atomic_load(&log->failed))
        return DWAL__NEVER;
    if (now - since >= timeout) {
        dwal__fail(log, ETIMEDOUT, 0, 0, "%s did not end within %d ms", what,
                   log->options.io_timeout_ms);
        return DWAL__NEVER;
    }
    if (slow == 0 || atomic_load(&watched->told))
        return since + timeout;
    if (now - since < slow)
        return slow < timeout ? since + slow : since + timeout;
    if (!atomic_exchange(&watched->told, true))
        dwal__slow_tell(log, what, now - since);
    return since + timeout;
}

/* How long an event loop may leave its operations alone. */
static int64_t loop_patience(const struct dwal *log) {
    int64_t half = log->options.io_timeout_ms * DWAL__NS_PER_MS / 2;
    int64_t slow = log->options.slow_io_ms * DWAL__NS_PER_MS;
    return slow > 0 && slow < half ? slow : half;
}

/* What a loop has to see to, its operation in flight since @since, or what it
 * has not submitted: if it does not come, the thread does, which then finds out
 * whether it is the loop that is late, or the operation. When to look again. */
static int64_t loop_check(struct dwal *log, int64_t since, int64_t now) {
    int64_t timeout = log->options.io_timeout_ms * DWAL__NS_PER_MS;
    int64_t patience = loop_patience(log);
    if (atomic_load(&log->in_flight_told) == 0)
        since = atomic_load(&log->deferred_ns);
    if (since == 0)
        return now + timeout;
    if (now - since < patience)
        return since + patience;
    if (atomic_load(&log->role) == 0)
        dwal__committer_kick(log);
    return now + patience;
}

/* The oldest operation in flight: its holder tells about it while it waits for
 * events, but may be stuck in the next submission. */
static int64_t flight_check(struct dwal *log, int64_t now) {
    int64_t timeout = log->options.io_timeout_ms * DWAL__NS_PER_MS;
    int64_t since = atomic_load(&log->io_since_ns);
    int64_t next = loop_check(log, since, now);
    if (since == 0)
        return next;
    if (now - since >= timeout)
        dwal__fail(log, ETIMEDOUT, 0, 0, "an I/O did not end within %d ms",
                   log->options.io_timeout_ms);
    return since + timeout < next ? since + timeout : next;
}

int64_t dwal__watch(struct dwal *log, int64_t now) {
    int64_t next = flight_check(log, now);
    int64_t submission = dwal__watch_one(log, &log->submission, now);
    int64_t file_work = dwal__watch_one(log, &log->file_work, now);
    if (submission < next)
        next = submission;
    /* What begins after this look, perhaps in the only thread that is awake. */
    if (log->options.slow_io_ms > 0) {
        int64_t soon = dwal__deadline(now, log->options.slow_io_ms);
        next = soon < next ? soon : next;
    }
    return file_work < next ? file_work : next;
}

/* ---- the watcher ---- */

static bool under_way(struct dwal *log) {
    return !atomic_load(&log->failed) &&
           (atomic_load(&log->sealed) != atomic_load(&log->completed) ||
            dwal__place_pending(log) != 0 ||
            atomic_load(&log->file_work.since_ns) != 0);
}

/* Sleeps until its next look, or, if nothing is under way, until it is kicked.
 * What begins while it has a look ahead needs no kick: see dwal__watch. */
static void watcher_sleep(struct dwal *log) {
    struct dwal__watcher *watcher = &log->watcher;
    uint32_t seen = atomic_load(&watcher->work);
    int64_t look = DWAL__NEVER;
    if (!under_way(log)) {
        atomic_store(&log->watcher_idle, true);
        /* Then look again: "idle" in log.h. */
        if (under_way(log))
            atomic_store(&log->watcher_idle, false);
    }
    if (!atomic_load(&log->watcher_idle))
        look = dwal__watch(log, dwal__now_ns());
    if (!atomic_load(&watcher->stop))
        dwal__futex_wait(&watcher->work, seen, look);
    atomic_store(&log->watcher_idle, false);
}

static void *watcher_main(void *argument) {
    struct dwal *log = argument;
    while (!atomic_load(&log->watcher.stop))
        watcher_sleep(log);
    dwal__thread_exit(log, &log->watcher.exited);
    return NULL;
}

void dwal__watcher_kick(struct dwal *log) {
    if (!atomic_load(&log->watcher_idle) ||
        !atomic_exchange(&log->watcher_idle, false))
        return;
    atomic_fetch_add(&log->watcher.work, 1);
    dwal__futex_wake(&log->watcher.work, 1);
}

int dwal__watcher_start(struct dwal *log, struct dwal_error *error) {
    struct dwal__watcher *watcher = &log->watcher;
    if (watcher->started)
        return DWAL_OK;
    atomic_store(&watcher->stop, false);
    atomic_store(&watcher->exited, 0);
    atomic_fetch_add(&log->references, 1);
    int failed = dwal__thread_start(&watcher->thread, watcher_main, log);
    if (failed != 0) {
        atomic_fetch_sub(&log->references, 1);
        return dwal__error_set(error, DWAL_ENOMEM, failed,
                               "%s: start the watcher's thread", log->path);
    }
    watcher->started = true;
    return DWAL_OK;
}

bool dwal__watcher_stop(struct dwal *log, int64_t deadline) {
    struct dwal__watcher *watcher = &log->watcher;
    if (!watcher->started)
        return true;
    watcher->started = false;
    atomic_store(&watcher->stop, true);
    atomic_fetch_add(&watcher->work, 1);
    dwal__futex_wake(&watcher->work, INT_MAX);
    return dwal__thread_join(watcher->thread, &watcher->exited, deadline);
}
