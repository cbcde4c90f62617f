/* SPDX-License-Identifier: MIT */
/*
 * Reading what meters.h counts. Invariant: no lock but place_lock is taken, and
 * that is never held across a system call, so that a log that hangs can be
 * asked why.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

int dwal_failure(struct dwal *log, struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK || !atomic_load(&log->failed))
        return code;
    return dwal__failure_report(log, error);
}

/* ---- numbers ---- */

/* What AUTO measured is constant once there is a segment; place_lock held. */
static void sync_read(struct dwal *log, struct dwal_stats *stats) {
    const struct dwal__sync_cost *cost = &log->sync_cost;
    stats->sync_method = DWAL_SYNC_AUTO;
    stats->sync_why = DWAL_SYNC_WHY_UNDECIDED;
    bool asked = log->options.sync != DWAL_SYNC_AUTO;
    if (!asked && log->segment == NULL && log->prepared_count == 0)
        return;
    stats->sync_method = log->dsync ? DWAL_SYNC_DSYNC : DWAL_SYNC_FDSYNC;
    bool measured = !asked && cost->fdsync_ns != 0;
    if (measured) {
        stats->fdsync_ns = (uint64_t)cost->fdsync_ns;
        if (cost->dsync_ns != INT64_MAX)
            stats->dsync_ns = (uint64_t)cost->dsync_ns;
    }
    if (asked)
        stats->sync_why = DWAL_SYNC_WHY_ASKED;
    else if (!measured)
        stats->sync_why = DWAL_SYNC_WHY_UNKNOWN;
    else if (cost->volatile_cache == 0 && log->dsync)
        stats->sync_why = DWAL_SYNC_WHY_NO_CACHE;
    else
        stats->sync_why = DWAL_SYNC_WHY_MEASURED;
}

/* What place_lock guards, as of one moment. */
static void place_read(struct dwal *log, struct dwal_stats *stats) {
    pthread_mutex_lock(&log->place_lock);
    stats->next_lsn = dwal__place_next_lsn(log);
    struct dwal__queue queue = dwal__place_queue(log);
    stats->queue_records = queue.records;
    stats->queue_bytes = queue.bytes;
    stats->segments_prepared = log->prepared_count;
    if (log->segment != NULL)
        stats->segments_live++;
    for (struct dwal__segment *at = log->left; at != NULL; at = at->next)
        stats->segments_live++;
    /* In the batches that were closed, and in the open one. Not differences of
     * LSNs, since a cut takes those back. */
    uint64_t sealed = dwal__meter_get(&log->meters->lsns_sealed);
    stats->records_appended = sealed + stats->next_lsn - log->next_lsn;
    stats->records_system = atomic_load(&log->records_sealed) - sealed;
    sync_read(log, stats);
    pthread_mutex_unlock(&log->place_lock);
}

/* Before the keeper started, it is what recovery found. */
static void files_read(struct dwal *log, struct dwal_stats *stats) {
    const struct dwal__recovery *found = &log->recovery;
    if (atomic_load(&log->phase) == DWAL__PHASE_ACTIVE) {
        stats->segments_live += dwal__meter_get(&log->meters->live);
        stats->spares = dwal__meter_get(&log->meters->spares);
        return;
    }
    for (size_t i = 0; i < found->segment_count; i++)
        stats->segments_live += found->segments[i].live;
    stats->spares = dwal__meter_get(&log->meters->spares);
    if (stats->spares == 0)
        stats->spares = found->spare_count;
}

static void closed_read(const struct dwal__meters *meters,
                        struct dwal_stats *stats) {
    const _Atomic uint64_t *sealed = meters->sealed;
    stats->closed_natural = dwal__meter_get(&sealed[DWAL__SEAL_NATURAL]);
    stats->closed_gathered = dwal__meter_get(&sealed[DWAL__SEAL_GATHERED]);
    stats->closed_gather_timeout =
        dwal__meter_get(&sealed[DWAL__SEAL_GATHER_TIMEOUT]);
    stats->closed_large = dwal__meter_get(&sealed[DWAL__SEAL_LARGE]);
    stats->closed_full = dwal__meter_get(&sealed[DWAL__SEAL_FULL]);
    stats->closed_segment = dwal__meter_get(&sealed[DWAL__SEAL_SEGMENT]);
    stats->closed_system = dwal__meter_get(&sealed[DWAL__SEAL_SYSTEM]);
}

static void meters_read(struct dwal *log, struct dwal_stats *stats) {
    struct dwal__meters *meters = log->meters;
    stats->syncs = dwal__meter_get(&meters->syncs);
    stats->record_bytes = dwal__meter_get(&meters->record_bytes);
    stats->records_durable = dwal__meter_get(&meters->lsns_completed);
    stats->zero_bytes = dwal__meter_get(&meters->zero_bytes);
    stats->appends_waited = dwal__meter_get(&meters->places_waited);
    stats->appends_refused = dwal__meter_get(&meters->places_refused);
    stats->slow_io = dwal__meter_get(&meters->slow_io);
    stats->segments_entered = dwal__meter_get(&meters->segments_entered);
    stats->segments_made = dwal__meter_get(&meters->segments_made);
    stats->segments_recycled = dwal__meter_get(&meters->segments_recycled);
    stats->segments_retired = dwal__meter_get(&meters->segments_retired);
    stats->queue_records_peak = dwal__meter_get(&meters->queue_records_peak);
    stats->queue_bytes_peak = dwal__meter_get(&meters->queue_bytes_peak);
    if (stats->queue_records_peak < stats->queue_records)
        stats->queue_records_peak = stats->queue_records;
    if (stats->queue_bytes_peak < stats->queue_bytes)
        stats->queue_bytes_peak = stats->queue_bytes;
    stats->watermark_lsn = atomic_load(&log->batches_written) == 0
                               ? log->recovery.watermark.lsn
                               : dwal__meter_get(&meters->watermark_lsn);
}

static void log_read(struct dwal *log, struct dwal_stats *stats) {
    stats->first_lsn = dwal_first_lsn(log);
    stats->epoch = log->epoch;
    stats->batches = atomic_load(&log->batches_written);
    stats->written_bytes = atomic_load(&log->bytes_written);
    stats->queue_records_max = log->options.queue_records_max;
    stats->queue_bytes_max = log->options.queue_bytes_max;
    stats->appends_waiting = atomic_load(&log->room_waiters);
    stats->in_flight = atomic_load(&log->in_flight);
    stats->flush_ns = (uint64_t)atomic_load(&log->flush_ns);
    stats->gathering = atomic_load(&log->meters->gathering);
    stats->yielding = atomic_load(&log->yields);
    stats->failed = atomic_load(&log->failed);
}

/* @since is 0 if there is none. */
static void io_read(struct dwal_stats *stats, int64_t now, int64_t since,
                    enum dwal_io io, const char *what) {
    if (since == 0)
        return;
    uint64_t age = now > since ? (uint64_t)(now - since) : 0;
    if (stats->oldest_io != DWAL_IO_NONE && age <= stats->oldest_io_ns)
        return;
    stats->oldest_io = io;
    stats->oldest_io_ns = age;
    stats->oldest_what = what;
}

static void oldest_read(struct dwal *log, struct dwal_stats *stats) {
    int64_t now = dwal__now_ns();
    /* A submission is in flight as well, and the one to be told of two. */
    io_read(stats, now, atomic_load(&log->submission.since_ns), DWAL_IO_SUBMIT,
            atomic_load(&log->submission.what));
    bool sync = atomic_load(&log->io_is_sync);
    io_read(stats, now, atomic_load(&log->io_since_ns),
            sync ? DWAL_IO_SYNC : DWAL_IO_WRITE, sync ? "a sync" : "a write");
    io_read(stats, now, atomic_load(&log->file_work.since_ns), DWAL_IO_FILE,
            atomic_load(&log->file_work.what));
}

int dwal_stats_get(struct dwal *log, struct dwal_stats *stats,
                   struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    if (stats == NULL || stats->size <= sizeof stats->size)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: stats is NULL, or stats->size not set to "
                               "sizeof *stats",
                               log->path);
    /* A caller that was built with an older header gets its part, one with a
     * newer header zeros behind what is known here. */
    size_t size = stats->size;
    struct dwal_stats all = {.size = size};
    all.durable_lsn = dwal_durable_lsn(log);
    files_read(log, &all);
    place_read(log, &all);
    log_read(log, &all);
    meters_read(log, &all);
    closed_read(log->meters, &all);
    oldest_read(log, &all);
    dwal__lease_stats(log, &all.leases, &all.lease_lsn);
    all.trim_wanted_lsn = dwal__retention_wanted(log);
    memset(stats, 0, size);
    memcpy(stats, &all, size < sizeof all ? size : sizeof all);
    return DWAL_OK;
}

/* ---- latencies ---- */

void dwal__stats_collect(struct dwal *log, int stage,
                         struct dwal__histogram *into) {
    struct dwal__meters *meters = log->meters;
    const struct dwal__histogram *const histograms[] = {
        [DWAL_LATENCY_PLACE] = &meters->place,
        [DWAL_LATENCY_GATHER] = &meters->gather,
        [DWAL_LATENCY_WRITE] = &meters->write,
        [DWAL_LATENCY_SYNC] = &meters->sync,
        [DWAL_LATENCY_WAKE] = &meters->wake,
    };
    memset(into, 0, sizeof *into);
    if (stage != DWAL_LATENCY_COMMIT)
        dwal__histogram_merge(into, histograms[stage]);
    for (unsigned i = 0;
         stage == DWAL_LATENCY_COMMIT && i < DWAL__COMMIT_SHARDS; i++)
        dwal__histogram_merge(into, &meters->commit[i]);
}

int dwal_stats_latency(struct dwal *log, int stage,
                       struct dwal_latency *latency, struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    if (stage < 0 || stage >= DWAL_LATENCY_COUNT || latency == NULL)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: no stage %d, or latency is NULL", log->path,
                               stage);
    struct dwal__histogram *histogram = malloc(sizeof *histogram);
    if (histogram == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "%s", log->path);
    dwal__stats_collect(log, stage, histogram);
    *latency = (struct dwal_latency){
        .count = dwal__histogram_count(histogram),
        .sum_ns = atomic_load(&histogram->sum),
        .p50_ns = dwal__histogram_percentile(histogram, 50),
        .p90_ns = dwal__histogram_percentile(histogram, 90),
        .p99_ns = dwal__histogram_percentile(histogram, 99),
        .p999_ns = dwal__histogram_percentile(histogram, 99.9),
        .max_ns = atomic_load(&histogram->max)};
    free(histogram);
    return DWAL_OK;
}
