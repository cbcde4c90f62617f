/* SPDX-License-Identifier: MIT */
/*
 * What callers that wait and the committer do with the time of a flush. Two
 * questions, which no rule answers for every disk, machine and load:
 *
 *   gather  When a flush ends, the callers that it released mostly come back
 *           with their next record within microseconds. Sealing at once leaves
 *           them for the flush after this one: with n callers, half of them
 *           ride each flush. Waiting for them, a little, puts all on every one.
 *   yield   A caller that sleeps has to be woken, and most of a commit's
 *           processor time is that. One that lets others run instead
 *           (sched_yield) takes part the moment it is released, but uses the
 *           processors for as long as it waits.
 *
 * So both are tried out: now and then the way in use and a rival take turns for
 * some batches, and the rival takes over if it carried clearly more records a
 * second. Yielding has to earn its processor time, gathering pays in writes.
 *
 * The wait is bounded by a quarter of the measured flush, ends as soon as as
 * many callers are there as are expected, and never happens for a lone caller.
 * Yielding ends after two flushes, and for some time after a yield that took
 * long: then somebody else wants the processors, in whole time slices.
 *
 * Invariant: nothing here decides about durability; a seal is delayed, or a
 * caller looks more often. State belongs to the role, but for what callers
 * read: gather_target, yields, flush_ns; and yield_slow, which they set.
 */
#include <limits.h>
#include <sched.h>

#include "log.h"

/* A flush counts with this share in the average. */
#define FLUSH_SHARE 8
/* Of the flush, how long to wait for callers at most. */
#define WAIT_SHARE 4
/* Below this a sleep costs more than it saves. */
#define SLEEP_MIN_NS 100000

/* Where flushes take longer, they are less noisy, and dearer to spend on the
 * worse way. */
#define LONG_FLUSH_NS (DWAL__NS_PER_MS * 2 / 5)
/* Between trials: few batches at first, then more and more. */
#define KEEP_BATCHES_MIN 64
#define KEEP_BATCHES_MAX 4096
/* Where flushes take longer, sleeping costs nothing in comparison. */
#define YIELD_FLUSH_MAX_NS (DWAL__NS_PER_MS / 2)
/* A yield that takes longer met a foreign load; then none for a while, twice as
 * long each time, unless there was none for long before. */
#define YIELD_SLOW_NS (DWAL__NS_PER_MS / 2)
#define YIELD_TRUST_NS (DWAL__NS_PER_S / 10)
#define YIELD_PAUSE_MIN_NS (10 * DWAL__NS_PER_MS)
#define YIELD_PAUSE_MAX_NS (10 * DWAL__NS_PER_S)

/* A trial: so many turns of both ways, of so many batches, the first of which
 * do not count. */
static const struct trial {
    unsigned turns, batches, uncounted;
} trial_many = {8, 20, 4}, trial_few = {4, 6, 2};

enum way { WAY_GATHER = 1, WAY_YIELD = 2, WAY_COUNT = 4 };

/* ---- measuring ---- */

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

/* ---- choosing ---- */

static const struct trial *trial_size(struct dwal *log) {
    return atomic_load_explicit(&log->flush_ns, memory_order_relaxed) >
                   LONG_FLUSH_NS
               ? &trial_few
               : &trial_many;
}

/* How many times the rate of @from a rival must have. */
static double price(unsigned from, unsigned to) {
    double factor = 1;
    if ((to & WAY_YIELD) != (from & WAY_YIELD))
        factor *= (to & WAY_YIELD) != 0 ? 1.15 : 0.93;
    if ((to & WAY_GATHER) != (from & WAY_GATHER))
        factor *= (to & WAY_GATHER) != 0 ? 0.99 : 1.03;
    return factor;
}

static bool way_possible(struct dwal *log, unsigned way, int64_t now) {
    const struct dwal__gather *gather = &log->gather;
    if ((way & WAY_GATHER) != 0 && log->options.gather == DWAL_GATHER_OFF)
        return false;
    return (way & WAY_YIELD) == 0 ||
           (log->options.wait == DWAL_WAIT_AUTO &&
            now >= gather->yield_after_ns &&
            atomic_load_explicit(&log->flush_ns, memory_order_relaxed) <=
                YIELD_FLUSH_MAX_NS);
}

/* The turn that begins now is @way's. */
static void turn_begin(struct dwal *log, unsigned way, unsigned batches) {
    struct dwal__gather *gather = &log->gather;
    gather->way = way;
    gather->batches = batches;
    gather->uncounted = trial_size(log)->uncounted;
    gather->since_ns = 0;
}

static void keep(struct dwal *log) {
    struct dwal__gather *gather = &log->gather;
    gather->turns = 0;
    turn_begin(log, gather->kept, gather->keep_batches);
    gather->keep_batches *= 2;
    if (gather->keep_batches > KEEP_BATCHES_MAX)
        gather->keep_batches = KEEP_BATCHES_MAX;
}

/* The trial with the next rival that is possible. */
static void trial_begin(struct dwal *log, int64_t now) {
    struct dwal__gather *gather = &log->gather;
    unsigned rival = gather->rival;
    for (unsigned i = 0; i < WAY_COUNT; i++) {
        rival = (rival + 1) % WAY_COUNT;
        if (rival != gather->kept && way_possible(log, rival, now))
            break;
    }
    if (rival == gather->kept || !way_possible(log, rival, now)) {
        keep(log);
        return;
    }
    gather->rival = rival;
    gather->turns = trial_size(log)->turns;
    for (int i = 0; i < 2; i++)
        gather->tried[i].records = gather->tried[i].ns = 0;
    turn_begin(log, rival, trial_size(log)->batches);
}

static double rate(const struct dwal__gather_tried *tried) {
    return tried->ns > 0 ? (double)tried->records / (double)tried->ns : 0;
}

static void turn_end(struct dwal *log, int64_t now) {
    struct dwal__gather *gather = &log->gather;
    if (gather->turns == 0) {
        trial_begin(log, now);
        return;
    }
    struct dwal__gather_tried *tried =
        &gather->tried[gather->way == gather->rival];
    tried->records +=
        atomic_load(&log->records_completed) - gather->records_before;
    tried->ns += now - gather->since_ns;
    if (--gather->turns > 0) {
        turn_begin(log,
                   gather->way == gather->rival ? gather->kept : gather->rival,
                   trial_size(log)->batches);
        return;
    }
    if (rate(&gather->tried[true]) >
        rate(&gather->tried[false]) * price(gather->kept, gather->rival))
        gather->kept = gather->rival;
    keep(log);
}

/* Whether callers yield from now on. A slow yield ends it for a while, and the
 * trial, which it would spoil, as well; the way is kept. */
static void yields_set(struct dwal *log, int64_t now) {
    struct dwal__gather *gather = &log->gather;
    if (atomic_load_explicit(&log->yield_slow, memory_order_relaxed)) {
        atomic_store_explicit(&log->yield_slow, false, memory_order_relaxed);
        gather->yield_pause_ns *= 2;
        if (now - gather->yield_after_ns > YIELD_TRUST_NS)
            gather->yield_pause_ns = YIELD_PAUSE_MIN_NS;
        if (gather->yield_pause_ns > YIELD_PAUSE_MAX_NS)
            gather->yield_pause_ns = YIELD_PAUSE_MAX_NS;
        gather->yield_after_ns = now + gather->yield_pause_ns;
        if (gather->turns > 0)
            keep(log);
    }
    bool yields = (gather->way & WAY_YIELD) != 0 &&
                  way_possible(log, WAY_YIELD, now); /* also with this flush */
    if (yields != atomic_load_explicit(&log->yields, memory_order_relaxed))
        atomic_store_explicit(&log->yields, yields, memory_order_relaxed);
}

/* The way that the batch to be sealed goes, with so many callers. */
static unsigned way_choose(struct dwal *log, uint32_t cohort, int64_t now) {
    struct dwal__gather *gather = &log->gather;
    if (gather->keep_batches == 0) {
        gather->kept = log->options.gather == DWAL_GATHER_OFF ? 0 : WAY_GATHER;
        gather->keep_batches = KEEP_BATCHES_MIN;
        turn_begin(log, gather->kept, trial_size(log)->batches);
    }
    /* Another load: what was found out may not hold any more. */
    if (cohort > 4 * gather->cohort || cohort < gather->cohort / 4) {
        gather->cohort = cohort;
        gather->keep_batches = KEEP_BATCHES_MIN;
        if (gather->turns == 0 && gather->batches > KEEP_BATCHES_MIN)
            gather->batches = KEEP_BATCHES_MIN;
    }
    if (gather->batches == 0)
        turn_end(log, now);
    yields_set(log, now);
    gather->batches--;
    if (gather->uncounted > 0) {
        gather->uncounted--;
    } else if (gather->since_ns == 0) {
        gather->since_ns = now;
        gather->records_before = atomic_load(&log->records_completed);
    }
    return gather->way;
}

/* ---- gathering ---- */

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
    int64_t begin = dwal__now_ns();
    int64_t now = begin;
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
    dwal__histogram_add(&log->meters->gather, (uint64_t)(now - begin));
    return got;
}

enum dwal__seal_why dwal__gather_wait(struct dwal *log) {
    struct dwal__gather *gather = &log->gather;
    struct dwal__batch *batch = atomic_load(&log->open);
    uint32_t target = gather->expected;
    uint32_t before = committers(batch);
    gather->expected = gather->released = 0;
    if (before == 0 || target < 2)
        return DWAL__SEAL_NATURAL;
    unsigned way = way_choose(log, target, dwal__now_ns());
    dwal__meter_set(&log->meters->gathering, (way & WAY_GATHER) != 0);
    if ((way & WAY_GATHER) == 0 || before >= target)
        return DWAL__SEAL_NATURAL;
    return cohort_wait(log, batch, target) < target ? DWAL__SEAL_GATHER_TIMEOUT
                                                    : DWAL__SEAL_GATHERED;
}

/* ---- yielding ---- */

bool dwal__gather_yield(struct dwal *log, struct dwal__batch *batch,
                        uint64_t sequence) {
    if (!atomic_load_explicit(&log->yields, memory_order_relaxed) ||
        committers(batch) < 2)
        return false;
    int64_t now = dwal__now_ns();
    int64_t until =
        now + 2 * atomic_load_explicit(&log->flush_ns, memory_order_relaxed);
    while (now < until) {
        sched_yield();
        if (atomic_load(&log->completed) > sequence ||
            atomic_load(&log->failed))
            return true;
        int64_t before = now;
        now = dwal__now_ns();
        if (now - before > YIELD_SLOW_NS) {
            atomic_store_explicit(&log->yield_slow, true, memory_order_relaxed);
            atomic_store_explicit(&log->yields, false, memory_order_relaxed);
            return false;
        }
    }
    return false;
}
