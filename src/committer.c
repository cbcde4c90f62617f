/* SPDX-License-Identifier: MIT */
/*
 * The committer: finishes sealed batches, submits them, reaps completions and
 * publishes the durable prefix. All of it is done by whoever holds the role: a
 * caller that waits (DWAL_SUBMIT_CALLER), or the log's thread.
 *
 * Invariants:
 *   - batches are finished and submitted in order, each once [write-once];
 *   - durable_lsn moves only in prefix_publish, only over batches whose write,
 *     and whose sync where that is separate, were reaped without an error
 *     [durable-prefix]; a sync counts only for writes reaped before it was
 *     submitted, and only one is in flight;
 *   - once failed is set, nothing is published any more [latch]: prefix_publish
 *     looks at it before every batch;
 *   - a descriptor is free, and its memory with it, only after the kernel
 *     gave the buffer back [late-io].
 *
 * Natural batching: an open batch is sealed when nothing is in flight, so while
 * one is, the next one fills. Full batches are submitted behind it.
 *
 * An event loop does the same without waiting for anything: dwal__commit_submit
 * and dwal__commit_poll ("loop" in log.h).
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../format/bytes.h"
#include "log.h"

#define STUCK_LOOK_NS (10 * DWAL__NS_PER_MS)

/* ---- failing ---- */

static void everybody_wake(struct dwal *log) {
    for (unsigned i = 0; i < DWAL__BATCH_COUNT; i++) {
        struct dwal__batch *batch = &log->batches[i];
        atomic_fetch_add(&batch->wake, 1);
        dwal__futex_wake(&batch->wake, INT_MAX);
    }
    atomic_fetch_add(&log->work, 1);
    dwal__futex_wake(&log->work, INT_MAX);
    dwal__events_notify(log);
    pthread_mutex_lock(&log->place_lock);
    dwal__place_wake_all(log);
    pthread_mutex_unlock(&log->place_lock);
    dwal__files_failed(log);
    if (log->view != NULL)
        dwal__view_fail(log->view);
}

void dwal__fail(struct dwal *log, int os_errno, uint64_t segment,
                uint64_t offset, const char *format, ...) {
    char what[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&log->fail_lock);
    bool first = !atomic_load(&log->failed);
    if (first) {
        dwal__error_set_at(&log->failure, DWAL_EFAILED, os_errno, segment,
                           offset,
                           "%s: %s; the log has failed, close it and open it "
                           "again to find what is durable",
                           log->path, what);
        /* Before any waiter is woken: who wakes must see it. */
        atomic_store(&log->failed, true);
    }
    pthread_mutex_unlock(&log->fail_lock);
    if (!first)
        return;
    /* First who waits: the callback may write to the disk that hangs. */
    everybody_wake(log);
    dwal__tell(log, DWAL_LOG_WARNING, "%s", log->failure.text);
}

int dwal__failure_report(struct dwal *log, struct dwal_error *error) {
    pthread_mutex_lock(&log->fail_lock);
    if (error != NULL)
        *error = log->failure;
    pthread_mutex_unlock(&log->fail_lock);
    return DWAL_EFAILED;
}

/* ---- finishing ---- */

/* SPEC 6.1: written only now, when the last batch of the segment before has
 * its final header, whose CRC the start names. */
static void start_write(struct dwal *log, struct dwal__batch *batch) {
    uint8_t payload[DWAL__START_SIZE_MAX];
    struct dwal__start start = {
        .previous_segment = batch->previous.segment,
        .previous_end = batch->previous.offset,
        .previous_lsn = batch->first_lsn - 1,
        .previous_link = batch->cut.flags != 0          ? batch->cut.link
                         : batch->previous.segment == 0 ? 0
                                                        : log->link,
        .flags = batch->cut.flags,
        .trim_lsn = batch->trim_lsn,
        .metadata = batch->bytes + DWAL__START_METADATA_OFFSET,
        .metadata_size = batch->start_metadata};
    struct dwal__record record = {.data = payload,
                                  .size = dwal__start_encode(&start, payload),
                                  .type = DWAL__SYSTEM_START};
    dwal__place_filled(
        batch, 0,
        dwal__record_encode(&record, batch->salt,
                            batch->bytes + DWAL__BATCH_HEADER_SIZE));
}

/* Completes the header and the padding. False: the copies did not end. */
static bool batch_finish(struct dwal *log, struct dwal__batch *batch) {
    int64_t deadline =
        dwal__deadline(dwal__now_ns(), log->options.io_timeout_ms);
    if (!dwal__place_complete(batch, deadline))
        return false;
    if (batch->starts) {
        start_write(log, batch);
        log->link = batch->segment->header.crc;
    }
    memset(batch->bytes + batch->size, 0, batch->padded - batch->size);
    struct dwal__batch_header header = {
        .segment = batch->segment->header.number,
        .salt = batch->salt,
        .offset = batch->offset,
        .size = batch->size,
        .first_lsn = batch->first_lsn,
        .record_count = batch->records,
        .lsn_count = batch->lsns,
        .watermark = batch->cut.flags != 0 ? batch->cut.kept : log->durable,
        .digest = dwal__place_digest(batch),
        .link = log->link,
        .sealed_ns = dwal__wall_ns()};
    assert(header.watermark.lsn < header.first_lsn);
    /* A mark that was sealed while a batch before it is in flight proves less
     * than all: one more has to follow. */
    struct dwal__position place = {header.segment, header.offset};
    if (dwal__position_compare(header.watermark.position, place) != 0)
        batch->witness = false;
    batch->watermark = header.watermark;
    log->link = dwal__batch_header_encode(&header, batch->bytes);
    return true;
}

/* ---- submitting ---- */

/* Hands one operation to the kernel. io_since_ns is set before, so that others
 * keep the deadline even if this call does not return. */
static bool operation_submit(struct dwal *log, struct iocb *iocb, int64_t now,
                             struct dwal__batch *batch) {
    if (atomic_load(&log->in_flight) == 0) {
        atomic_store(&log->io_since_ns, now);
        atomic_store(&log->io_is_sync, iocb == &log->sync_iocb);
    }
    atomic_fetch_add(&log->in_flight, 1);
    bool told = log->tells_loop;
    if (told) {
        atomic_fetch_add(&log->in_flight_told, 1);
        dwal__aio_signal(iocb, atomic_load(&log->events.kernel_fd));
    }
    int64_t deadline = dwal__deadline(now, log->options.io_timeout_ms);
    int taken;
    dwal__watch_begin(&log->submission, "submitting an I/O", now);
    /* EAGAIN: the kernel is short of requests; nothing was submitted, so
     * trying again is not retrying a write. */
    while ((taken = log->aio.ops->submit(&log->aio, 1, &iocb)) == -EAGAIN &&
           dwal__now_ns() < deadline)
        dwal__sleep_ns(DWAL__NS_PER_MS / 10);
    dwal__watch_end(&log->submission);
    if (taken == 1)
        return true;
    atomic_fetch_sub(&log->in_flight_told, told ? 1 : 0);
    atomic_fetch_sub(&log->in_flight, 1);
    dwal__fail(log, taken < 0 ? -taken : EIO, batch->segment->header.number,
               batch->offset, "segment %llu: submit at offset %llu",
               (unsigned long long)batch->segment->header.number,
               (unsigned long long)batch->offset);
    return false;
}

static bool batch_submit(struct dwal *log) {
    uint64_t sequence = atomic_load(&log->submitted);
    struct dwal__batch *batch = &log->batches[sequence % DWAL__BATCH_COUNT];
    assert(batch->sequence == sequence && batch->stage == DWAL__STAGE_FREE);
    if (!batch_finish(log, batch)) {
        if (!atomic_load(&log->failed))
            dwal__fail(log, ETIMEDOUT, batch->segment->header.number,
                       batch->offset, "a caller did not finish its copy");
        return false;
    }
    dwal__aio_prepare_write(&batch->iocb, batch->segment->handle, batch->bytes,
                            batch->padded, batch->offset, log->dsync, batch);
    batch->stage = DWAL__STAGE_WRITING;
    batch->slow_told = false;
    batch->submitted_ns = dwal__now_ns();
    /* Counted as submitted even if submitting fails: the log has failed then,
     * and nobody may touch the batch again. */
    atomic_store(&log->submitted, sequence + 1);
    return operation_submit(log, &batch->iocb, batch->submitted_ns, batch);
}

/* Submits what the rules of natural batching allow. */
static void batches_submit(struct dwal *log) {
    while (!atomic_load(&log->failed)) {
        uint64_t submitted = atomic_load(&log->submitted);
        uint64_t under_way = submitted - atomic_load(&log->completed);
        if (under_way >= log->options.in_flight_max)
            return;
        /* Acquire, with the release in batch_seal. */
        if (submitted == atomic_load(&log->sealed)) {
            uint64_t pending = dwal__place_pending(log);
            bool large = pending >= log->options.batch_bytes_max / 2;
            if (pending == 0 || (under_way > 0 && !large))
                return;
            enum dwal__seal_why why = under_way > 0  ? DWAL__SEAL_LARGE
                                      : log->is_loop ? DWAL__SEAL_NATURAL
                                                     : dwal__gather_wait(log);
            if (!dwal__place_seal(log, why) &&
                submitted == atomic_load(&log->sealed))
                return;
        }
        if (!batch_submit(log))
            return;
    }
}

/* fdsync: one sync over all writes of the oldest file that were reaped. */
static void sync_submit(struct dwal *log) {
    if (log->dsync || log->syncing || atomic_load(&log->failed))
        return;
    struct dwal__batch *oldest = NULL;
    uint64_t submitted = atomic_load(&log->submitted);
    for (uint64_t at = atomic_load(&log->completed); at < submitted; at++) {
        struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        if (batch->stage != DWAL__STAGE_WRITTEN)
            continue;
        if (oldest == NULL)
            oldest = batch;
        if (batch->segment == oldest->segment)
            batch->stage = DWAL__STAGE_SYNCING;
    }
    if (oldest == NULL)
        return;
    dwal__aio_prepare_sync(&log->sync_iocb, oldest->segment->handle, NULL);
    log->syncing = true;
    log->sync_slow_told = false;
    log->sync_submitted_ns = dwal__now_ns();
    dwal__meter_add(&log->meters->syncs, 1);
    operation_submit(log, &log->sync_iocb, log->sync_submitted_ns, oldest);
}

/* ---- reaping ---- */

/* Any other count than what was asked for, zero included, leaves unknown bytes
 * on disk. */
static void write_done(struct dwal *log, struct dwal__batch *batch,
                       int64_t result) {
    batch->result = result;
    if (result != (int64_t)batch->padded)
        batch->stage = DWAL__STAGE_FAILED;
    else
        batch->stage = log->dsync ? DWAL__STAGE_DURABLE : DWAL__STAGE_WRITTEN;
    if (batch->stage != DWAL__STAGE_FAILED)
        dwal__histogram_add(&log->meters->write,
                            (uint64_t)(log->reaped_ns - batch->submitted_ns));
}

static void sync_done(struct dwal *log, int64_t result) {
    log->syncing = false;
    if (result == 0)
        dwal__histogram_add(
            &log->meters->sync,
            (uint64_t)(log->reaped_ns - log->sync_submitted_ns));
    uint64_t submitted = atomic_load(&log->submitted);
    for (uint64_t at = atomic_load(&log->completed); at < submitted; at++) {
        struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        if (batch->stage != DWAL__STAGE_SYNCING)
            continue;
        batch->result = result;
        batch->stage = result == 0 ? DWAL__STAGE_DURABLE : DWAL__STAGE_FAILED;
    }
}

/* Latches the first failure behind the durable prefix. Called after
 * prefix_publish, so that who is known to be durable is told so. */
static void failure_latch(struct dwal *log) {
    uint64_t submitted = atomic_load(&log->submitted);
    for (uint64_t at = atomic_load(&log->completed); at < submitted; at++) {
        const struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        if (batch->stage != DWAL__STAGE_FAILED)
            continue;
        int64_t result = batch->result;
        uint64_t segment = batch->segment->header.number;
        dwal__fail(log, result < 0 ? (int)-result : EIO, segment, batch->offset,
                   "segment %llu, offset %llu: %lld of %llu bytes written",
                   (unsigned long long)segment,
                   (unsigned long long)batch->offset,
                   (long long)(result < 0 ? 0 : result),
                   (unsigned long long)batch->padded);
        return;
    }
}

/* When the oldest operation in flight was submitted; 0: none. */
static int64_t oldest_submission(struct dwal *log) {
    int64_t oldest = log->syncing ? log->sync_submitted_ns : 0;
    uint64_t submitted = atomic_load(&log->submitted);
    for (uint64_t at = atomic_load(&log->completed); at < submitted; at++) {
        struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        if (batch->stage == DWAL__STAGE_WRITING &&
            (oldest == 0 || batch->submitted_ns < oldest))
            oldest = batch->submitted_ns;
    }
    return oldest;
}

static void slow_tell(struct dwal *log, const char *what, int64_t age,
                      bool *told) {
    *told = true;
    dwal__slow_tell(log, what, age);
}

/* Reports what is slow, fails at the deadline; returns when to look again:
 * never DWAL__NEVER, since another thread may latch a failure meanwhile, and
 * whoever waits for events may be a caller, who must come back. */
static int64_t ages_check(struct dwal *log, int64_t now) {
    int64_t timeout = log->options.io_timeout_ms * DWAL__NS_PER_MS;
    int64_t slow = log->options.slow_io_ms * DWAL__NS_PER_MS;
    int64_t oldest = oldest_submission(log);
    if (oldest == 0)
        return now + timeout;
    if (now - oldest >= timeout) {
        dwal__fail(log, ETIMEDOUT, 0, 0, "an I/O did not end within %d ms",
                   log->options.io_timeout_ms);
        return now;
    }
    int64_t next = dwal__watch_one(log, &log->file_work, now);
    if (oldest + timeout < next)
        next = oldest + timeout;
    if (slow == 0)
        return next;
    if (log->syncing && !log->sync_slow_told) {
        if (now - log->sync_submitted_ns >= slow)
            slow_tell(log, "a sync", now - log->sync_submitted_ns,
                      &log->sync_slow_told);
        else if (log->sync_submitted_ns + slow < next)
            next = log->sync_submitted_ns + slow;
    }
    uint64_t submitted = atomic_load(&log->submitted);
    for (uint64_t at = atomic_load(&log->completed); at < submitted; at++) {
        struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        if (batch->stage != DWAL__STAGE_WRITING || batch->slow_told)
            continue;
        if (now - batch->submitted_ns >= slow)
            slow_tell(log, "a write", now - batch->submitted_ns,
                      &batch->slow_told);
        else if (batch->submitted_ns + slow < next)
            next = batch->submitted_ns + slow;
    }
    return next;
}

/* Reaps what there is, waiting for one event until @until; perhaps none came.
 * False: it cannot be waited for. */
static bool events_reap(struct dwal *log, int64_t until) {
    struct io_event events[DWAL__IN_FLIGHT_MAX + 1];
    int64_t now = dwal__now_ns();
    int64_t timeout = until == DWAL__NEVER ? -1 : until > now ? until - now : 0;
    int count =
        log->aio.ops->reap(&log->aio, DWAL__IN_FLIGHT_MAX + 1, events, timeout);
    if (count < 0) {
        dwal__fail(log, -count, 0, 0, "waiting for I/O");
        return false;
    }
    log->reaped_ns = dwal__now_ns();
    uint32_t told = 0;
    for (int i = 0; i < count; i++) {
        int64_t result = (int64_t)events[i].res;
        struct dwal__batch *batch = events[i].data;
        told += dwal__aio_signals(events[i].obj) ? 1 : 0;
        if (batch != NULL)
            write_done(log, batch, result);
        else
            sync_done(log, result);
    }
    if (count > 0) {
        atomic_fetch_sub(&log->in_flight_told, told);
        atomic_fetch_sub(&log->in_flight, (uint32_t)count);
        atomic_store(&log->io_is_sync, log->syncing);
        atomic_store(&log->io_since_ns, oldest_submission(log));
    }
    return true;
}

/* ---- publishing ---- */

/* What a start or a trim lets go is retired only when a later batch is durable
 * whose watermark covers it: so whoever finds a file gone, finds on disk why
 * [retire]. */
static void batch_retires(struct dwal *log, const struct dwal__batch *batch) {
    struct dwal__retirable *waiting = &log->retirable;
    if (waiting->end.segment != 0 &&
        dwal__position_compare(batch->watermark.position, waiting->end) >= 0) {
        dwal__files_retire(log, waiting);
        *waiting = (struct dwal__retirable){0};
    }
    if (!batch->starts && batch->trim_lsn == 0)
        return;
    waiting->end = log->durable.position;
    waiting->start |= batch->starts;
    if (batch->cut.flags != 0) {
        waiting->cut = batch->cut;
        waiting->cut_segment = batch->segment->header.number;
    }
    if (batch->trim_lsn == 0)
        return;
    waiting->before = batch->segment->header.number;
    waiting->trim_lsn = batch->trim_lsn;
    atomic_store(&log->first_lsn, batch->trim_lsn + 1);
    dwal__view_trim(log->view, batch->trim_lsn + 1);
}

static void batch_publish(struct dwal *log, struct dwal__batch *batch) {
    log->durable.lsn = batch->first_lsn + batch->lsns - 1;
    log->durable.position = (struct dwal__position){
        batch->segment->header.number, batch->offset + batch->padded};
    log->witnessed = batch->witness;
    /* First where the log begins: a reset's end means nothing without it. */
    batch_retires(log, batch);
    dwal__view_write(log->view, &log->durable);
    if (batch->metadata_offset != 0)
        dwal__metadata_publish(log, batch);
    dwal__gather_published(log, batch);
    dwal__gather_measured(log, log->reaped_ns - batch->submitted_ns);
    dwal__meter_add(&log->meters->record_bytes,
                    batch->size - DWAL__BATCH_HEADER_SIZE);
    dwal__meter_add(&log->meters->lsns_completed, batch->lsns);
    dwal__meter_set(&log->meters->watermark_lsn, batch->watermark.lsn);
    atomic_store_explicit(&batch->reaped_ns, log->reaped_ns,
                          memory_order_relaxed);
    batch->stage = DWAL__STAGE_FREE;
    atomic_fetch_add(&log->records_completed, batch->records);
    atomic_fetch_add_explicit(&log->batches_written, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&log->bytes_written, batch->padded,
                              memory_order_relaxed);
    /* Readers of durable_lsn may act on it at once. */
    atomic_store(&log->durable_lsn, log->durable.lsn);
    /* Release of the descriptor and its memory to batch_open. */
    atomic_store(&log->completed, batch->sequence + 1);
    /* Then the wake-up: "durable" in log.h. */
    atomic_fetch_add(&batch->wake, 1);
    if (atomic_load(&batch->waiters) > 0)
        dwal__futex_wake(&batch->wake, INT_MAX);
}

/* The queue is longest just before something leaves it. */
static void queue_measure(struct dwal *log) {
    struct dwal__meters *meters = log->meters;
    struct dwal__queue queue = dwal__place_queue(log);
    if (queue.records > dwal__meter_get(&meters->queue_records_peak))
        dwal__meter_set(&meters->queue_records_peak, queue.records);
    if (queue.bytes > dwal__meter_get(&meters->queue_bytes_peak))
        dwal__meter_set(&meters->queue_bytes_peak, queue.bytes);
}

/* Moves the durable prefix over what is done. */
static void prefix_publish(struct dwal *log) {
    bool moved = false;
    uint64_t at = atomic_load(&log->completed);
    while (at < atomic_load(&log->submitted) && !atomic_load(&log->failed)) {
        struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        if (batch->stage != DWAL__STAGE_DURABLE)
            break;
        if (!moved)
            queue_measure(log);
        batch_publish(log, batch);
        at++;
        moved = true;
    }
    if (moved) {
        dwal__view_tell(log->view);
        atomic_store(&log->commit_ns, log->reaped_ns);
        dwal__events_notify(log);
        dwal__place_room_changed(log);
    }
}

/* ---- the role ---- */

static bool work_left(struct dwal *log) {
    uint64_t completed = atomic_load(&log->completed);
    return atomic_load(&log->sealed) != completed ||
           dwal__place_pending(log) != 0;
}

bool dwal__role_take(struct dwal *log) {
    uint32_t free = 0;
    return atomic_compare_exchange_strong(&log->role, &free, 1);
}

/* Somebody who sleeps in a batch that is not durable, to take the role. */
static bool waiter_wake(struct dwal *log) {
    uint64_t last = atomic_load(&log->sealed);
    for (uint64_t at = atomic_load(&log->completed); at <= last; at++) {
        struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        if (atomic_load(&batch->waiters) == 0)
            continue;
        /* Changed first, so that who is about to sleep does not. */
        atomic_fetch_add(&batch->wake, 1);
        dwal__futex_wake(&batch->wake, 1);
        return true;
    }
    return false;
}

/* The kernel will wake an event loop, or has, whose dwal_reap goes on with the
 * work. Not if somebody waits for room: the loop's thread itself, perhaps. */
static bool loop_comes(struct dwal *log) {
    return (atomic_load(&log->in_flight_told) > 0 ||
            atomic_load(&log->deferred_ns) != 0) &&
           atomic_load(&log->room_waiters) == 0;
}

/* Work that nobody has: for who sleeps in a batch, for a loop, or for the
 * thread. */
static void work_hand_on(struct dwal *log) {
    if ((log->options.submit != DWAL_SUBMIT_CALLER || !waiter_wake(log)) &&
        !loop_comes(log))
        dwal__committer_kick(log);
}

void dwal__role_decline(struct dwal *log) {
    if (atomic_load(&log->role) == 0 && !atomic_load(&log->failed) &&
        work_left(log))
        work_hand_on(log);
}

static void role_give(struct dwal *log) {
    atomic_store(&log->role, 0);
    dwal__events_role_free(log);
}

void dwal__role_release(struct dwal *log) {
    bool witnessed = log->witnessed;
    role_give(log);
    if (atomic_load(&log->failed)) {
        if (atomic_load(&log->in_flight) > 0)
            dwal__committer_kick(log);
        return;
    }
    if (work_left(log)) {
        work_hand_on(log);
    } else if (!witnessed && log->options.mark_delay_ms > 0 &&
               !atomic_exchange(&log->mark_armed, true)) {
        dwal__committer_kick(log);
    }
}

void dwal__commit_run(struct dwal *log, uint64_t until_completed,
                      int64_t deadline) {
    while (!atomic_load(&log->failed) &&
           atomic_load(&log->completed) < until_completed) {
        batches_submit(log);
        sync_submit(log);
        if (atomic_load(&log->in_flight) == 0)
            return; /* nothing to wait for: no work, or it failed */
        int64_t check = ages_check(log, dwal__now_ns());
        events_reap(log, check < deadline ? check : deadline);
        prefix_publish(log);
        failure_latch(log);
        if (dwal__now_ns() >= deadline)
            return;
    }
}

/* With the role. */
static void loop_submit(struct dwal *log) {
    atomic_store(&log->deferred_ns, 0);
    log->tells_loop = log->is_loop = true;
    batches_submit(log);
    sync_submit(log);
    log->tells_loop = log->is_loop = false;
}

void dwal__commit_submit(struct dwal *log) {
    dwal__watcher_kick(log);
    if (atomic_load(&log->deferred_ns) != 0 || !dwal__role_take(log))
        return;
    loop_submit(log);
    dwal__role_release(log);
}

/* With the role. True: submitting is left to the next time. */
static bool loop_poll(struct dwal *log) {
    uint64_t before = atomic_load(&log->completed);
    if (atomic_load(&log->in_flight) > 0)
        events_reap(log, 0);
    prefix_publish(log);
    failure_latch(log);
    /* A batch for the first to come, and one for all others: that would be two
     * flushes where one does. */
    if (atomic_load(&log->completed) != before && dwal__events_several(log)) {
        atomic_store(&log->deferred_ns, dwal__now_ns());
        return true;
    }
    loop_submit(log);
    return false;
}

bool dwal__commit_poll(struct dwal *log) {
    if (!dwal__role_take(log))
        return false;
    /* What others were turned away from is done now. */
    atomic_store(&log->events.turned_away, false);
    bool deferred = !atomic_load(&log->failed) && loop_poll(log);
    dwal__role_release(log);
    return deferred;
}

void dwal__committer_kick(struct dwal *log) {
    dwal__watcher_kick(log);
    /* "idle" in log.h. Whoever clears the flag does the waking. */
    if (!atomic_load(&log->thread_idle) ||
        !atomic_exchange(&log->thread_idle, false))
        return;
    atomic_fetch_add(&log->work, 1);
    dwal__futex_wake(&log->work, 1);
}

/* ---- the thread ---- */

/* After a failure: takes back every buffer, however late, publishes nothing. */
static void late_reap(struct dwal *log) {
    while (atomic_load(&log->in_flight) > 0) {
        if (events_reap(log, DWAL__NEVER))
            continue;
        /* Waiting itself failed: nothing can be learnt any more, so the
         * memory stays with the kernel for good. */
        atomic_store(&log->abandoned, true);
        return;
    }
}

/* When the mark is due; DWAL__NEVER: it is not. A log that is being closed gets
 * none, and nobody must be woken for it. */
static int64_t mark_deadline(struct dwal *log) {
    if (!atomic_load(&log->mark_armed) || atomic_load(&log->failed) ||
        atomic_load(&log->closing))
        return DWAL__NEVER;
    return dwal__deadline(atomic_load(&log->commit_ns),
                          log->options.mark_delay_ms);
}

/* Appends a mark, if still nothing else is going on [mark-once]. */
static void mark_append(struct dwal *log) {
    atomic_store(&log->mark_armed, false);
    if (work_left(log) || atomic_load(&log->closing) || log->witnessed)
        return;
    struct dwal__need need = {.kind = DWAL__NEED_SYSTEM,
                              .room = dwal__record_room(0),
                              .records = 1,
                              .type = DWAL__SYSTEM_MARK};
    struct dwal__place place;
    if (dwal__place_reserve_now(log, &need, &place))
        dwal__place_write_system(&place, &need);
    else
        /* Without room there is no mark until the next commit; the tail stays
         * undecidable, and nobody wakes up to try again. */
        log->witnessed = true;
}

/* When to look for the mark. One that is due while a caller has the role, in a
 * long I/O perhaps, has to wait: nobody tells us when the role is free, so we
 * ask again, but not all the time. */
static int64_t mark_wait(struct dwal *log, bool role_free) {
    int64_t deadline = mark_deadline(log);
    if (role_free || deadline == DWAL__NEVER)
        return deadline;
    int64_t now = dwal__now_ns();
    return deadline > now ? deadline
                          : dwal__deadline(now, log->options.mark_delay_ms);
}

/* When to look again without being asked: for the mark, for what the keeper has
 * under way, and, once the log was left by dwal_close, for the role, which a
 * caller holds who is stuck in a submission. */
static int64_t thread_deadline(struct dwal *log, bool role_free) {
    int64_t deadline = mark_wait(log, role_free);
    if (atomic_load(&log->file_work.since_ns) != 0) {
        int64_t look = dwal__watch_one(log, &log->file_work, dwal__now_ns());
        deadline = look < deadline ? look : deadline;
    }
    if (atomic_load(&log->stop)) {
        int64_t look = dwal__now_ns() + STUCK_LOOK_NS;
        deadline = look < deadline ? look : deadline;
    }
    return deadline;
}

/* Sleeps until there is something to do. */
static void thread_sleep(struct dwal *log) {
    uint32_t seen = atomic_load(&log->work);
    atomic_store(&log->thread_idle, true);
    /* Then look again: "idle" in log.h. Work under a role that is taken is its
     * holder's, who looks at our flag when he gives it back. */
    bool role_free = atomic_load(&log->role) == 0;
    bool failed = atomic_load(&log->failed);
    bool work = !failed && work_left(log) && !loop_comes(log);
    bool drain = failed && atomic_load(&log->in_flight) > 0 &&
                 !atomic_load(&log->abandoned);
    bool busy = role_free && (work || drain);
    if (!busy && !(atomic_load(&log->stop) && role_free))
        dwal__futex_wait(&log->work, seen, thread_deadline(log, role_free));
    atomic_store(&log->thread_idle, false);
}

static void thread_work(struct dwal *log) {
    if (!dwal__role_take(log))
        return;
    if (atomic_load(&log->failed)) {
        if (!atomic_load(&log->abandoned))
            late_reap(log);
    } else {
        if (dwal__now_ns() >= mark_deadline(log))
            mark_append(log);
        /* No further than needed, where a loop goes on from there: it would find
         * the role taken, and append faster than we come to an end. */
        log->tells_loop = atomic_load(&log->events.kernel_fd) >= 0;
        dwal__commit_run(
            log, log->tells_loop ? atomic_load(&log->sealed) + 1 : UINT64_MAX,
            DWAL__NEVER);
        log->tells_loop = false;
        if (!log->witnessed && log->options.mark_delay_ms > 0)
            atomic_store(&log->mark_armed, true);
    }
    role_give(log);
    /* Where we leave it to a loop, who slept since we had the role need not wait
     * for that, too. */
    if (loop_comes(log) && !atomic_load(&log->failed) && work_left(log))
        work_hand_on(log);
}

void *dwal__committer_main(void *argument) {
    struct dwal *log = argument;
    while (!atomic_load(&log->stop) || (atomic_load(&log->in_flight) > 0 &&
                                        !atomic_load(&log->abandoned))) {
        thread_work(log);
        thread_sleep(log);
    }
    dwal__thread_exit(log, &log->thread_exited);
    return NULL;
}
