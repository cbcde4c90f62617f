/* SPDX-License-Identifier: MIT */
/*
 * Adaptive gathering. When a flush ends, the callers that it released mostly
 * come back with their next record within microseconds. Sealing at once would
 * leave them for the flush after this one: with n callers, half of them ride
 * each flush. Waiting for them, a little, puts all of them on every flush.
 *
 * The wait is bounded by a quarter of the measured flush, ends as soon as as
 * many callers are there as are expected, and never happens for a lone caller.
 * Whether it pays is measured: where the callers take longer to come back than
 * the flush takes, two cohorts in turns are better. It costs no timer when it
 * is short, and one futex sleep when it is long.
 *
 * Invariant: gathering only delays a seal; it decides nothing about durability.
 * All state belongs to the role, but for the target that arriving callers look
 * at.
 */
#include <limits.h>
#include <sched.h>

#include "log.h"

/* A flush counts with this share in the average. */
#define FLUSH_SHARE 8
/* Batches of a short try, and those that go the better way after it. */
#define TRY_BATCHES 32
#define KEEP_BATCHES 1024
/* Waiting is kept if it is not clearly worse: it also spares writes. */
#define PAYS 1.03
/* Of the flush, how long to wait at most. */
#define WAIT_SHARE 4
/* Below this a sleep costs more than it saves. */
#define SLEEP_MIN_NS 100000

void dwal__gather_measured(struct dwal *log, int64_t flush_ns) {
    int64_t average =
        atomic_load_explicit(&log->flush_ns, memory_order_relaxed);
    if (average == 0)
        average = flush_ns;
    atomic_store_explicit(&log->flush_ns,
                          average + (flush_ns - average) / FLUSH_SHARE,
                          memory_order_relaxed);
}

static uint32_t committers(struct dwal__batch *batch) {
    return batch == NULL ? 0 : atomic_load(&batch->committers);
}

void dwal__gather_published(struct dwal *log, struct dwal__batch *batch) {
    log->gather.released += committers(batch);
    /* Those who wait already, and those who will most likely be back. */
    log->gather.expected =
        log->gather.released + committers(atomic_load(&log->open));
}

void dwal__gather_arrived(struct dwal *log, struct dwal__batch *batch) {
    uint32_t arrived = atomic_fetch_add(&batch->committers, 1) + 1;
    /* Sequentially consistent, as in gather_sleep: we count ourselves, then
     * look for a target; it sets the target, then counts. */
    uint32_t target = atomic_load(&log->gather_target);
    if (target == 0 || arrived < target)
        return;
    if (atomic_exchange(&log->gather_target, 0) != 0)
        dwal__futex_wake(&log->gather_target, INT_MAX);
}

/* Sleeps until @target callers are there or @deadline. */
static void gather_sleep(struct dwal *log, struct dwal__batch *batch,
                         uint32_t target, int64_t deadline) {
    atomic_store(&log->gather_target, target);
    if (committers(batch) < target)
        dwal__futex_wait(&log->gather_target, target, deadline);
    atomic_store(&log->gather_target, 0);
}

/* Waits for @target callers in @batch; how many there are in the end. */
static uint32_t cohort_wait(struct dwal *log, struct dwal__batch *batch,
                            uint32_t target) {
    int64_t now = dwal__now_ns();
    int64_t flush = atomic_load_explicit(&log->flush_ns, memory_order_relaxed);
    int64_t deadline = now + flush / WAIT_SHARE;
    uint32_t got = committers(batch);
    while (now < deadline && got < target && !atomic_load(&log->failed) &&
           atomic_load(&log->open) == batch) {
        if (deadline - now >= SLEEP_MIN_NS)
            gather_sleep(log, batch, target, deadline);
        else
            sched_yield();
        got = committers(batch);
        now = dwal__now_ns();
    }
    return got;
}

/* Whether waiting pays is tried out: a few batches with, a few without, then
 * many the better way, and so on. */
static bool way_choose(struct dwal__gather *gather, uint32_t arrived,
                       int64_t now) {
    gather->records += arrived;
    if (gather->batches > 0) {
        gather->batches--;
        return gather->waiting;
    }
    if (gather->since_ns != 0 && now > gather->since_ns)
        gather->rate[gather->waiting] =
            (double)gather->records / (double)(now - gather->since_ns);
    bool better = gather->rate[true] * PAYS >= gather->rate[false];
    bool tried = gather->rate[!gather->waiting] != 0;
    /* After the better way, a short try of the other one; it forgets its rate,
     * so that it is measured anew, and the better way follows again. */
    if (gather->kept || !tried) {
        gather->waiting = !gather->waiting;
        gather->batches = TRY_BATCHES;
        gather->kept = false;
    } else {
        gather->waiting = better;
        gather->batches = KEEP_BATCHES;
        gather->kept = true;
    }
    gather->records = 0;
    gather->since_ns = now;
    return gather->waiting;
}

void dwal__gather_wait(struct dwal *log) {
    struct dwal__gather *gather = &log->gather;
    struct dwal__batch *batch = atomic_load(&log->open);
    uint32_t target = gather->expected;
    uint32_t before = committers(batch);
    gather->expected = gather->released = 0;
    if (log->options.gather == DWAL_GATHER_OFF || before == 0 || target < 2)
        return;
    if (way_choose(gather, before, dwal__now_ns()) && before < target)
        cohort_wait(log, batch, target);
}
