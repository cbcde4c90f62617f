/* SPDX-License-Identifier: MIT */
/*
 * What callers do themselves: check, reserve, copy, checksum, wait. Between
 * the reservation and dwal__place_filled nothing here can fail or block, since
 * the batch cannot be written before.
 */
#include <errno.h>
#include <limits.h>

#include "../format/bytes.h"
#include "log.h"

/* ---- waiting ---- */

void dwal__caller_enter(struct dwal *log) {
    atomic_fetch_add(&log->callers, 1);
}

/* The last step on the log, unless dwal_close left its freeing to us: it may be
 * gone right behind the subtraction, so all that matters is in that one word. A
 * wake-up for nobody is harmless. */
void dwal__caller_leave(struct dwal *log) {
    uint32_t before = atomic_fetch_sub(&log->callers, 1);
    if ((before & DWAL__CALLERS_COUNT) != 1)
        return;
    if ((before & DWAL__CALLERS_ORPHANED) != 0)
        dwal__unreference(log);
    else if ((before & DWAL__CALLERS_AWAITED) != 0)
        dwal__futex_wake(&log->callers, INT_MAX);
}

/* How long it took until the last sleeper of @batch ran: one look at the clock
 * a batch. */
static void wake_measure(struct dwal *log, struct dwal__batch *batch) {
    int64_t ns = dwal__now_ns() -
                 atomic_load_explicit(&batch->reaped_ns, memory_order_relaxed);
    /* Who woke up very late finds the time of a later batch here. */
    dwal__histogram_add_shared(&log->meters->wake, ns > 0 ? (uint64_t)ns : 0);
}

/* Sleeps in @batch once; the order of the first three steps is the waiter's
 * half of "durable" in log.h. */
static void batch_sleep(struct dwal *log, struct dwal__batch *batch,
                        uint64_t sequence, int64_t deadline) {
    bool slept = false;
    atomic_fetch_add(&batch->waiters, 1);
    uint32_t seen = atomic_load(&batch->wake);
    bool leaderless = log->options.submit == DWAL_SUBMIT_CALLER &&
                      atomic_load(&log->role) == 0;
    if (atomic_load(&log->completed) <= sequence && !leaderless &&
        !atomic_load(&log->failed)) {
        int64_t guard = dwal__watch(log, dwal__now_ns());
        dwal__futex_wait(&batch->wake, seen,
                         guard < deadline ? guard : deadline);
        slept = true;
    }
    bool last = atomic_fetch_sub(&batch->waiters, 1) == 1;
    if (slept && last && atomic_load(&log->completed) > sequence)
        wake_measure(log, batch);
}

/* Who leaves may be the one whom the role's last holder woke to take it: seen
 * in the batch after its deadline, or, very late, in the descriptor's next
 * batch. Counted out before, so that from here on nobody else is misled. */
static void sleeper_leave(struct dwal *log, uint64_t sequence, bool timed_out) {
    if (log->options.submit == DWAL_SUBMIT_CALLER &&
        (timed_out ||
         atomic_load(&log->sealed) >= sequence + DWAL__BATCH_COUNT))
        dwal__role_decline(log);
}

int dwal__wait_sequence(struct dwal *log, struct dwal__batch *batch,
                        uint64_t sequence, int64_t deadline,
                        struct dwal_error *error) {
    bool slept = false;
    for (;;) {
        bool failed = atomic_load(&log->failed);
        if (atomic_load(&log->completed) > sequence) {
            if (slept)
                sleeper_leave(log, sequence, false);
            return DWAL_OK;
        }
        if (failed)
            return dwal__failure_report(log, error);
        int64_t now = deadline == DWAL__NEVER ? 0 : dwal__now_ns();
        if (now >= deadline) {
            /* Who only polls notices a log that hangs, too. */
            dwal__watch(log, now);
            if (slept)
                sleeper_leave(log, sequence, true);
            return dwal__error_set(error, DWAL_ETIMEDOUT, 0,
                                   "%s: not durable yet", log->path);
        }
        if (log->options.submit == DWAL_SUBMIT_CALLER && dwal__role_take(log)) {
            dwal__commit_run(log, sequence + 1, deadline);
            dwal__role_release(log);
        } else if (!dwal__gather_yield(log, batch, sequence)) {
            batch_sleep(log, batch, sequence, deadline);
            slept = true;
        }
    }
}

int dwal_wait(struct dwal *log, uint64_t lsn, int timeout_ms,
              struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    if (lsn != 0 && lsn <= atomic_load(&log->durable_lsn))
        return DWAL_OK;
    int64_t deadline = timeout_ms < 0
                           ? DWAL__NEVER
                           : dwal__deadline(dwal__now_ns(), timeout_ms);
    dwal__caller_enter(log);
    struct dwal__batch *batch;
    uint64_t sequence;
    code = dwal__place_find(log, lsn, &batch, &sequence);
    if (code == DWAL_ECUT)
        code = dwal__error_set(error, code, 0,
                               "%s: LSN %llu was cut off, and not given again",
                               log->path, (unsigned long long)lsn);
    else if (code != DWAL_OK)
        code = dwal__error_set(error, code, 0,
                               "%s: LSN %llu was never given; the next one is "
                               "larger than all that dwal_append returned",
                               log->path, (unsigned long long)lsn);
    else if (batch != NULL) {
        if (timeout_ms != 0) /* who only looks will not be released */
            dwal__gather_arrived(log, batch);
        code = dwal__wait_sequence(log, batch, sequence, deadline, error);
    }
    dwal__caller_leave(log);
    return code;
}

/* ---- appending ---- */

int dwal__ready(struct dwal *log, struct dwal_error *error) {
    if (atomic_load_explicit(&log->failed, memory_order_relaxed))
        return dwal__failure_report(log, error);
    if (atomic_load_explicit(&log->closing, memory_order_relaxed))
        return dwal__error_set(error, DWAL_ECLOSED, 0,
                               "%s: the log is being closed", log->path);
    if (atomic_load_explicit(&log->phase, memory_order_acquire) !=
        DWAL__PHASE_ACTIVE)
        return dwal__activate(log, error);
    return DWAL_OK;
}

/* Bytes of all records in a batch; 0 if they are not acceptable. */
static uint64_t records_room(const struct dwal *log,
                             const struct dwal_record *records, size_t count,
                             struct dwal_error *error) {
    uint64_t room = 0;
    if (records == NULL) {
        dwal__error_set(error, DWAL_EINVAL, 0, "%s: no record: NULL",
                        log->path);
        return 0;
    }
    if (count == 0 || count > DWAL__APPEND_BATCH_MAX ||
        count > log->options.queue_records_max) {
        dwal__error_set(error, DWAL_EINVAL, 0,
                        "%s: a batch of %zu records; 1 to %u are possible, "
                        "and no more than queue_records_max",
                        log->path, count, DWAL__APPEND_BATCH_MAX);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (records[i].data == NULL && records[i].size > 0) {
            dwal__error_set(error, DWAL_EINVAL, 0,
                            "%s: record %zu of %zu: data is NULL, size %u",
                            log->path, i + 1, count, records[i].size);
            return 0;
        }
        room += dwal__record_room(records[i].size);
        if (records[i].size <= log->record_size_max &&
            room <= log->batch_size_max)
            continue;
        dwal__error_set(error, DWAL_EINVAL, 0,
                        "%s: record %zu of %zu with %u bytes; at most %u "
                        "bytes together: raise segment_size or "
                        "queue_bytes_max",
                        log->path, i + 1, count, records[i].size,
                        log->record_size_max);
        return 0;
    }
    return room;
}

int dwal__records_need(const struct dwal *log,
                       const struct dwal_record *records, size_t count,
                       struct dwal__need *need, struct dwal_error *error) {
    uint64_t room = records_room(log, records, count, error);
    if (room == 0)
        return DWAL_EINVAL;
    *need = (struct dwal__need){
        .kind = DWAL__NEED_RECORDS, .room = room, .records = (uint32_t)count};
    return DWAL_OK;
}

/* Copies and checksums outside every lock, in parallel with other callers. */
void dwal__records_write(const struct dwal__place *place,
                         const struct dwal_record *records, size_t count) {
    struct dwal__batch *batch = place->batch;
    uint8_t *at = batch->bytes + place->offset;
    for (size_t i = 0; i < count; i++) {
        struct dwal__record record = {.lsn = place->lsn + i,
                                      .data = records[i].data,
                                      .size = records[i].size,
                                      .type = records[i].type,
                                      .flags = records[i].flags,
                                      .tenant = records[i].tenant,
                                      .shard = records[i].shard};
        dwal__place_filled(batch, place->index + (uint32_t)i,
                           dwal__record_encode(&record, batch->salt, at));
        at += dwal__record_room(records[i].size);
    }
}

/* Finds a place. Who does not block on the way is not counted as a caller:
 * counting is a step on a cache line that all producers would share, and what
 * dwal_close has to let out is only who waits. */
static int place_take(struct dwal *log, const struct dwal__need *need,
                      struct dwal__place *place, bool *counted,
                      struct dwal_error *error) {
    if (atomic_load_explicit(&log->phase, memory_order_acquire) ==
        DWAL__PHASE_ACTIVE) {
        int code = dwal__ready(log, error);
        if (code != DWAL_OK || dwal__place_reserve_open(log, need, place))
            return code;
    }
    if (!*counted)
        dwal__caller_enter(log);
    *counted = true;
    int code = dwal__ready(log, error);
    return code == DWAL_OK ? dwal__place_reserve(log, need, place, error)
                           : code;
}

static int records_append(struct dwal *log, const struct dwal_record *records,
                          size_t count, struct dwal__place *place,
                          bool *counted, struct dwal_error *error) {
    struct dwal__need need;
    int code = dwal__records_need(log, records, count, &need, error);
    return code == DWAL_OK ? place_take(log, &need, place, counted, error)
                           : code;
}

int dwal_append_batch(struct dwal *log, const struct dwal_record *records,
                      size_t count, uint64_t *first_lsn,
                      struct dwal_error *error) {
    struct dwal__place place;
    bool counted = false;
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    code = records_append(log, records, count, &place, &counted, error);
    if (code == DWAL_OK) {
        dwal__records_write(&place, records, count);
        if (first_lsn != NULL)
            *first_lsn = place.lsn;
        dwal__committer_kick(log);
    }
    if (counted)
        dwal__caller_leave(log);
    return code;
}

int dwal_append(struct dwal *log, const struct dwal_record *record,
                uint64_t *lsn, struct dwal_error *error) {
    return dwal_append_batch(log, record, 1, lsn, error);
}

int dwal_commit(struct dwal *log, const struct dwal_record *record,
                uint64_t *lsn, struct dwal_error *error) {
    struct dwal__place place;
    bool counted = true;
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    int64_t begin = dwal__now_ns();
    dwal__caller_enter(log);
    code = records_append(log, record, 1, &place, &counted, error);
    if (code == DWAL_OK) {
        dwal__gather_arrived(log, place.batch);
        dwal__records_write(&place, record, 1);
        if (lsn != NULL)
            *lsn = place.lsn;
        if (log->options.submit != DWAL_SUBMIT_CALLER)
            dwal__committer_kick(log);
        code = dwal__wait_sequence(log, place.batch, place.sequence,
                                   DWAL__NEVER, error);
    }
    if (code == DWAL_OK)
        dwal__histogram_add_shared(
            &log->meters->commit[dwal__processor() % DWAL__COMMIT_SHARDS],
            (uint64_t)(dwal__now_ns() - begin));
    dwal__caller_leave(log);
    return code;
}

uint64_t dwal_durable_lsn(const struct dwal *log) {
    return log == NULL
               ? 0
               : atomic_load_explicit(&log->durable_lsn, memory_order_acquire);
}

uint64_t dwal_first_lsn(const struct dwal *log) {
    return log == NULL
               ? 0
               : atomic_load_explicit(&log->first_lsn, memory_order_acquire);
}

uint32_t dwal_record_size_max(const struct dwal *log) {
    return log == NULL ? 0 : log->record_size_max;
}

/* ---- system records ---- */

void dwal__place_write_system(const struct dwal__place *place,
                              const struct dwal__need *need) {
    struct dwal__batch *batch = place->batch;
    uint8_t trim[DWAL__TRIM_SIZE];
    struct dwal__record record = {.type = need->type};
    if (need->type == DWAL__SYSTEM_TRIM) {
        dwal__put64(trim, need->trim_lsn);
        record.data = trim;
        record.size = sizeof trim;
    } else if (need->type == DWAL__SYSTEM_METADATA) {
        record.data = need->metadata->bytes;
        record.size = need->metadata->size;
    }
    dwal__place_filled(batch, place->index,
                       dwal__record_encode(&record, batch->salt,
                                           batch->bytes + place->offset));
}

int dwal__commit_system(struct dwal *log, const struct dwal__need *need,
                        struct dwal_error *error) {
    struct dwal__place place;
    int code = dwal__place_reserve(log, need, &place, error);
    if (code != DWAL_OK)
        return code;
    dwal__place_write_system(&place, need);
    dwal__committer_kick(log);
    return dwal__wait_sequence(log, place.batch, place.sequence, DWAL__NEVER,
                               error);
}

int dwal_rotate(struct dwal *log, struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    dwal__caller_enter(log);
    code = dwal__ready(log, error);
    struct dwal__need need = {.kind = DWAL__NEED_SEGMENT};
    struct dwal__place place;
    if (code == DWAL_OK)
        code = dwal__place_reserve(log, &need, &place, error);
    if (code == DWAL_OK && place.batch != NULL) {
        dwal__committer_kick(log);
        code = dwal__wait_sequence(log, place.batch, place.sequence,
                                   DWAL__NEVER, error);
    }
    dwal__caller_leave(log);
    return code;
}
