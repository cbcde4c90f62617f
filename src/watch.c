/* SPDX-License-Identifier: MIT */
/*
 * Operations whose thread may be stuck in the kernel: a submission on a frozen
 * filesystem, a file that the keeper makes. Who does them cannot keep their
 * deadline, so everybody who sleeps does it for them, and looks here before.
 *
 * Invariant: as long as somebody waits in a call of the log, an operation is
 * told about once when it is older than slow_io_ms, and the log fails when it
 * is older than io_timeout_ms.
 */
#include <errno.h>

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

/* The oldest operation in flight: its holder tells about it while it waits for
 * events, but may be stuck in the next submission. */
static int64_t flight_check(struct dwal *log, int64_t now) {
    int64_t timeout = log->options.io_timeout_ms * DWAL__NS_PER_MS;
    int64_t since = atomic_load(&log->io_since_ns);
    if (since == 0)
        return now + timeout;
    if (now - since >= timeout)
        dwal__fail(log, ETIMEDOUT, 0, 0, "an I/O did not end within %d ms",
                   log->options.io_timeout_ms);
    return since + timeout;
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
