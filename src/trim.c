/* SPDX-License-Identifier: MIT */
/*
 * Dropping the beginning of the log (SPEC 6, 11.7).
 *
 * A trim is a system record; it is made once that is durable, and its files go
 * once a later batch proves it. The invariants: nothing is trimmed that is not
 * durable, and nothing that a lease holds (lease.c). What a lease holds back is
 * remembered, as long as the log is open and no cut takes it back, and done
 * later: by the next trim, or by retention.c.
 */
#include "log.h"

/* A mark, so that the trim is below a watermark and its files may go; then the
 * keeper, who recycles them. On a full disk the trim may have taken the last
 * block of a segment: then the mark may take the reserve. Neither changes that
 * the trim is durable, so being late, or finding no room, is no error. */
static void trim_settle(struct dwal *log, uint64_t trim_lsn) {
    struct dwal__need mark = {.kind = DWAL__NEED_SYSTEM,
                              .room = dwal__record_room(0),
                              .records = 1,
                              .type = DWAL__SYSTEM_MARK,
                              .settles_lsn = trim_lsn};
    if (dwal__commit_system(log, &mark, NULL) == DWAL_OK)
        dwal__files_settle(
            log, dwal__deadline(dwal__now_ns(), log->options.io_timeout_ms));
}

/* Below @lsn was to be trimmed, @granted is what leases allow, 0: nothing. */
static void trim_held(struct dwal *log, uint64_t lsn, uint64_t granted) {
    pthread_mutex_lock(&log->place_lock);
    /* A cut that was made at the same time may have taken it back. */
    if (lsn > log->trim_wanted && lsn <= dwal__place_next_lsn(log))
        log->trim_wanted = lsn;
    pthread_mutex_unlock(&log->place_lock);
    if (granted == 0)
        granted = atomic_load(&log->first_lsn);
    if (!atomic_exchange(&log->held_told, true))
        dwal__tell(log, DWAL_LOG_NOTICE,
                   "%s: a lease holds back a trim (dwal_trim or retention) "
                   "below LSN %llu; the log begins with %llu until the "
                   "lease moves on",
                   log->path, (unsigned long long)lsn,
                   (unsigned long long)granted);
    dwal__retention_need(log);
}

int dwal__trim_run(struct dwal *log, uint64_t lsn, bool remembered,
                   struct dwal_error *error) {
    int code = dwal__ready(log, error);
    if (code != DWAL_OK)
        return code;
    if (lsn > atomic_load(&log->durable_lsn) + 1)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: trim below LSN %llu, but only %llu is "
                               "durable",
                               log->path, (unsigned long long)lsn,
                               (unsigned long long)dwal_durable_lsn(log));
    if (lsn <= atomic_load(&log->first_lsn))
        return DWAL_OK;
    uint64_t granted;
    code = dwal__lease_claim(log, lsn, &granted, error);
    if (code != DWAL_OK)
        return code;
    if (granted < lsn && lsn > atomic_load(&log->first_lsn))
        trim_held(log, lsn, granted);
    if (granted == 0)
        return DWAL_OK;
    struct dwal__need need = {.kind = DWAL__NEED_SYSTEM,
                              .room = dwal__record_room(DWAL__TRIM_SIZE),
                              .records = 1,
                              .type = DWAL__SYSTEM_TRIM,
                              .trim_lsn = granted - 1,
                              .remembered = remembered};
    code = dwal__commit_system(log, &need, error);
    dwal__lease_claimed(log, code != DWAL_OK);
    if (code != DWAL_OK)
        return code;
    if (dwal__retention_wanted(log) == 0)
        atomic_store(&log->held_told, false);
    trim_settle(log, granted - 1);
    return DWAL_OK;
}

int dwal_trim(struct dwal *log, uint64_t lsn, struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    dwal__caller_enter(log);
    code = dwal__trim_run(log, lsn, false, error);
    dwal__caller_leave(log);
    return code;
}
