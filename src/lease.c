/* SPDX-License-Identifier: MIT */
/*
 * Leases: how a reader, in this process or another, holds back trims.
 *
 * All of it is locks, and nothing is written: the byte of LOCK at offset n
 * stands for LSN n (SPEC 4.4). A lease is a shared lock on the byte of its LSN;
 * a trim takes an exclusive lock on the bytes of all records that it lets go
 * (it "claims" them) before it is appended. Either fails at once if the other
 * is there, and the kernel decides who was first, so nobody waits for anybody:
 * a reader that is stopped holds back trims, not the writer. A reader that is
 * killed has no locks; a writer that is killed has none either, so what it
 * claimed and did not trim can be had again. There is nothing in the file that
 * could be damaged, and nothing that takes space.
 *
 * Invariants: no record that is trimmed had a lease on itself or on one before
 * it, unless a reset emptied the log; while no trim is under way, exactly what
 * is trimmed is claimed, as far as this writer has trimmed it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../recover/reader.h"
#include "log.h"

/* So often a claim meets another lease, taken just now below the last. */
#define CLAIM_TRIES 16
/* So often the first record is trimmed while a lease on it is taken. */
#define FIRST_TRIES 64
/* More are not counted. */
#define COUNT_MAX 64u

/* ---- the writer's side ---- */

/* The lowest lease within @range: 1, and sets *@lsn; 0 if there is none, or
 * -errno. The kernel tells any of them, so we ask again below it: each time
 * there is one lease less to be told. */
static int lowest_find(struct dwal *log, const struct dwal__disk_range *range,
                       uint64_t *lsn) {
    struct dwal__disk_range left = *range, held;
    int found = 0;
    for (;;) {
        int result = log->disk->ops->range_held(
            log->disk, log->lock_handle, DWAL__RANGE_EXCLUSIVE, &left, &held);
        if (result <= 0)
            return result < 0 ? result : found;
        found = 1;
        *lsn = held.first > range->first ? held.first : range->first;
        if (*lsn == range->first)
            return found;
        left.last = *lsn - 1;
    }
}

/* Claims what is below *@lsn, and lowers that to what leases allow; not below
 * @first. 0 or -errno. */
static int claim_try(struct dwal *log, uint64_t first, uint64_t *lsn) {
    for (int tries = 0; tries<CLAIM_TRIES && * lsn> first; tries++) {
        struct dwal__disk_range range = {first, *lsn - 1};
        int result = log->disk->ops->range_lock(log->disk, log->lock_handle,
                                                DWAL__RANGE_EXCLUSIVE, &range);
        if (result != -EAGAIN)
            return result;
        result = lowest_find(log, &range, lsn);
        if (result < 0)
            return result;
    }
    if (*lsn > first)
        *lsn = first; /* readers come and go: the next trim */
    return 0;
}

int dwal__lease_claim(struct dwal *log, uint64_t lsn, uint64_t *granted,
                      struct dwal_error *error) {
    uint64_t first = atomic_load(&log->first_lsn);
    pthread_mutex_lock(&log->lease_lock);
    int failed = claim_try(log, first, &lsn);
    if (failed == 0 && lsn > first)
        log->claims++;
    pthread_mutex_unlock(&log->lease_lock);
    if (failed < 0)
        return dwal__error_set(error, DWAL_EIO, -failed,
                               "%s/%s: look for leases", log->path,
                               DWAL__LOCK_NAME);
    *granted = lsn > first ? lsn : 0;
    return DWAL_OK;
}

void dwal__lease_claimed(struct dwal *log, bool refused) {
    pthread_mutex_lock(&log->lease_lock);
    log->claims--;
    log->claims_return |= refused;
    /* Another trim may have claimed the same bytes, and rely on them. */
    if (log->claims == 0 && log->claims_return) {
        pthread_mutex_lock(&log->place_lock);
        struct dwal__disk_range range = {log->trim_lsn + 1, DWAL__LSN_MAX};
        pthread_mutex_unlock(&log->place_lock);
        log->disk->ops->range_lock(log->disk, log->lock_handle,
                                   DWAL__RANGE_NONE, &range);
        log->claims_return = false;
    }
    pthread_mutex_unlock(&log->lease_lock);
}

int dwal__lease_begin(struct dwal *log, struct dwal_error *error) {
    struct dwal__disk_range range = {1, log->trim_lsn};
    if (log->trim_lsn == 0)
        return DWAL_OK;
    int failed = log->disk->ops->range_lock(log->disk, log->lock_handle,
                                            DWAL__RANGE_EXCLUSIVE, &range);
    /* A lease from before a reset: its reader will be told by its cursor. */
    if (failed == 0 || failed == -EAGAIN)
        return DWAL_OK;
    return dwal__error_set(error, DWAL_EIO, -failed, "%s/%s: lock", log->path,
                           DWAL__LOCK_NAME);
}

/* How many leases are in @range, as far as @left more are to be counted: the
 * depth is no more than that, either. */
static unsigned leases_count(struct dwal *log,
                             const struct dwal__disk_range *range,
                             unsigned left) {
    struct dwal__disk_range held;
    if (left == 0 || range->first > range->last ||
        log->disk->ops->range_held(log->disk, log->lock_handle,
                                   DWAL__RANGE_EXCLUSIVE, range, &held) != 1)
        return 0;
    unsigned count = 1;
    if (held.first > range->first) {
        struct dwal__disk_range below = {range->first, held.first - 1};
        count += leases_count(log, &below, left - count);
    }
    if (held.last < range->last) {
        struct dwal__disk_range above = {held.last + 1, range->last};
        count += leases_count(log, &above, left - count);
    }
    return count;
}

void dwal__lease_stats(struct dwal *log, uint64_t *count, uint64_t *lowest) {
    struct dwal__disk_range range = {atomic_load(&log->first_lsn),
                                     DWAL__LSN_MAX};
    *count = *lowest = 0;
    if (lowest_find(log, &range, lowest) == 1)
        *count = leases_count(log, &range, COUNT_MAX);
}

/* ---- the reader's side ---- */

struct dwal_lease {
    struct dwal__disk *disk;
    char *path;
    int dir;
    int handle; /* of LOCK, its own: locks belong to it */
    uint64_t lsn;
    uint32_t forks; /* dwal__forks at open */
};

static int lease_failed(const struct dwal_lease *lease, int failed,
                        const char *what, struct dwal_error *error) {
    int code = failed == -ENOLCK || failed == -ENOMEM ? DWAL_ENOMEM : DWAL_EIO;
    return dwal__error_set(error, code, -failed, "lease on %s: %s", lease->path,
                           what);
}

static int lease_trimmed(const struct dwal_lease *lease, uint64_t lsn,
                         struct dwal_error *error) {
    return dwal__error_set(
        error, DWAL_ETRIMMED, 0,
        "lease on %s: LSN %llu was trimmed, or is just being "
        "trimmed",
        lease->path, (unsigned long long)lsn);
}

/* Locks the byte of @lsn: 0, -EAGAIN (a trim has it) or -errno. */
static int lsn_lock(struct dwal_lease *lease, uint64_t lsn,
                    enum dwal__range_kind kind) {
    struct dwal__disk_range range = {lsn, lsn};
    return lease->disk->ops->range_lock(lease->disk, lease->handle, kind,
                                        &range);
}

/* The first LSN that is there, as far as can be seen from outside: a trim that
 * is not proven yet is missing, but then its writer has claimed it. */
static int first_find(struct dwal_lease *lease, uint64_t *first_lsn,
                      struct dwal_error *error) {
    struct dwal__reader_options options = {.disk = lease->disk,
                                           .dir = lease->dir};
    struct dwal__reader *reader;
    int code = dwal__reader_open(&options, &reader, error);
    if (code != DWAL_OK)
        return dwal__error_step(error, code, "lease on %s", lease->path);
    *first_lsn = dwal__reader_first_lsn(reader);
    dwal__reader_close(reader);
    return DWAL_OK;
}

/* A lease on exactly @lsn. First the lock, then the look: whoever trims after
 * the look meets the lock. */
static int lease_exact(struct dwal_lease *lease, uint64_t lsn,
                       struct dwal_error *error) {
    uint64_t first_lsn = 0;
    int failed = lsn_lock(lease, lsn, DWAL__RANGE_SHARED);
    if (failed == -EAGAIN)
        return lease_trimmed(lease, lsn, error);
    if (failed < 0)
        return lease_failed(lease, failed, "lock", error);
    int code = first_find(lease, &first_lsn, error);
    if (code == DWAL_OK && first_lsn > lsn)
        code = lease_trimmed(lease, lsn, error);
    if (code != DWAL_OK)
        lsn_lock(lease, lsn, DWAL__RANGE_NONE);
    else
        lease->lsn = lsn;
    return code;
}

/* One on the first that is there: what is claimed is as good as gone. */
static int lease_first(struct dwal_lease *lease, struct dwal_error *error) {
    int code = DWAL_ETRIMMED;
    for (int tries = 0; code == DWAL_ETRIMMED && tries < FIRST_TRIES; tries++) {
        uint64_t first_lsn = 0;
        code = first_find(lease, &first_lsn, error);
        if (code != DWAL_OK)
            break;
        struct dwal__disk_range range = {first_lsn, first_lsn}, held;
        int claimed = lease->disk->ops->range_held(
            lease->disk, lease->handle, DWAL__RANGE_SHARED, &range, &held);
        if (claimed < 0)
            return lease_failed(lease, claimed, "look for trims", error);
        if (claimed == 1 && held.last < DWAL__LSN_MAX)
            first_lsn = held.last + 1;
        code = lease_exact(lease, first_lsn, error);
    }
    return code;
}

static int lease_open(struct dwal_lease *lease, uint64_t lsn,
                      struct dwal_error *error) {
    const struct dwal__disk_ops *ops = lease->disk->ops;
    lease->dir = ops->dir_open(lease->disk, lease->path);
    if (lease->dir < 0)
        return dwal__error_set(
            error, lease->dir == -ENOENT ? DWAL_ENOENT : DWAL_EIO, -lease->dir,
            "%s: open the directory", lease->path);
    lease->handle =
        ops->open(lease->disk, lease->dir, DWAL__LOCK_NAME, DWAL__OPEN_READ);
    if (lease->handle == -ENOENT)
        return dwal__error_set(error, DWAL_ENOENT, 0,
                               "lease on %s: no log here; look at the path",
                               lease->path);
    if (lease->handle < 0)
        return lease_failed(lease, lease->handle, "open " DWAL__LOCK_NAME,
                            error);
    return lsn == 0 ? lease_first(lease, error)
                    : lease_exact(lease, lsn, error);
}

int dwal_lease_open(const char *path, uint64_t lsn, struct dwal_lease **lease,
                    struct dwal_error *error) {
    if (path == NULL || lease == NULL || lsn > DWAL__LSN_MAX)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "dwal_lease_open: no path, no lease, or an LSN "
                               "of 2^63 or more");
    struct dwal_lease *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "lease on %s", path);
    opened->disk = dwal__disk_kernel();
    opened->dir = opened->handle = -1;
    dwal__forks_watch();
    opened->forks = atomic_load(&dwal__forks);
    opened->path = strdup(path);
    int code =
        opened->path == NULL
            ? dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "lease on %s", path)
            : lease_open(opened, lsn, error);
    if (code != DWAL_OK) {
        dwal_lease_close(opened);
        return code;
    }
    *lease = opened;
    return DWAL_OK;
}

/* The new place is had before the old one is let go. */
int dwal_lease_move(struct dwal_lease *lease, uint64_t lsn,
                    struct dwal_error *error) {
    if (lease == NULL)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "no lease: NULL; take one with dwal_lease_open");
    if (lease->forks != atomic_load(&dwal__forks))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "lease on %s: a parent of this process has it; "
                               "take one here",
                               lease->path);
    if (lsn < lease->lsn || lsn > DWAL__LSN_MAX)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "lease on %s: move it from LSN %llu to %llu; it "
                               "only goes forward, below 2^63",
                               lease->path, (unsigned long long)lease->lsn,
                               (unsigned long long)lsn);
    if (lsn == lease->lsn)
        return DWAL_OK;
    int failed = lsn_lock(lease, lsn, DWAL__RANGE_SHARED);
    if (failed == -EAGAIN)
        return lease_trimmed(lease, lsn, error);
    if (failed < 0)
        return lease_failed(lease, failed, "lock", error);
    lsn_lock(lease, lease->lsn, DWAL__RANGE_NONE);
    lease->lsn = lsn;
    return DWAL_OK;
}

uint64_t dwal_lease_lsn(const struct dwal_lease *lease) {
    return lease == NULL ? 0 : lease->lsn;
}

void dwal_lease_close(struct dwal_lease *lease) {
    if (lease == NULL)
        return;
    const struct dwal__disk_ops *ops = lease->disk->ops;
    if (lease->handle >= 0) {
        /* Whatever children have inherited it; but in a child it is still the
         * parent's. */
        if (lease->forks == atomic_load(&dwal__forks))
            ops->lock(lease->disk, lease->handle, DWAL__LOCK_NONE);
        ops->close(lease->disk, lease->handle);
    }
    if (lease->dir >= 0)
        ops->close(lease->disk, lease->dir);
    free(lease->path);
    free(lease);
}
