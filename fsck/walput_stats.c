/* SPDX-License-Identifier: MIT */
/*
 * The stats of the library, for people and as JSON. They go to standard error,
 * because standard output is for acknowledgements.
 */
#include "walput_stats.h"

#include <inttypes.h>
#include <stddef.h>

#include "cli.h"
#include "json.h"

static const char *const stages[DWAL_LATENCY_COUNT] = {
    "place", "gather", "write", "sync", "wake", "commit"};
static const char *const methods[] = {"undecided", "dsync", "fdsync"};

/* ---- JSON ---- */

#define FIELD(name)                                                            \
    { #name, offsetof(struct dwal_stats, name) }

static const struct field {
    const char *name;
    size_t offset;
} fields[] = {
    FIELD(first_lsn),
    FIELD(durable_lsn),
    FIELD(next_lsn),
    FIELD(watermark_lsn),
    FIELD(epoch),
    FIELD(records_appended),
    FIELD(records_durable),
    FIELD(records_system),
    FIELD(batches),
    FIELD(syncs),
    FIELD(record_bytes),
    FIELD(written_bytes),
    FIELD(zero_bytes),
    FIELD(appends_waited),
    FIELD(appends_refused),
    FIELD(slow_io),
    FIELD(closed_natural),
    FIELD(closed_gathered),
    FIELD(closed_gather_timeout),
    FIELD(closed_large),
    FIELD(closed_full),
    FIELD(closed_segment),
    FIELD(closed_system),
    FIELD(segments_entered),
    FIELD(segments_made),
    FIELD(segments_recycled),
    FIELD(segments_retired),
    FIELD(queue_records_peak),
    FIELD(queue_bytes_peak),
    FIELD(segments_live),
    FIELD(segments_prepared),
    FIELD(spares),
    FIELD(dsync_ns),
    FIELD(fdsync_ns),
    FIELD(flush_ns),
    FIELD(gathering),
    FIELD(yielding),
    FIELD(failed),
};

static void json_print(const struct dwal_stats *stats,
                       const struct dwal_latency *latencies) {
    struct dwal__json json;
    dwal__json_begin(&json, stderr, "stats");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        dwal__json_u64(
            &json, fields[i].name,
            *(const uint64_t *)((const char *)stats + fields[i].offset));
    dwal__json_string(&json, "sync_method", methods[stats->sync_method]);
    dwal__json_object_open(&json, "latency_ns");
    for (int i = 0; i < DWAL_LATENCY_COUNT; i++) {
        const struct dwal_latency *latency = &latencies[i];
        dwal__json_object_open(&json, stages[i]);
        dwal__json_u64(&json, "count", latency->count);
        dwal__json_u64(&json, "sum", latency->sum_ns);
        dwal__json_u64(&json, "p50", latency->p50_ns);
        dwal__json_u64(&json, "p90", latency->p90_ns);
        dwal__json_u64(&json, "p99", latency->p99_ns);
        dwal__json_u64(&json, "p99.9", latency->p999_ns);
        dwal__json_u64(&json, "max", latency->max_ns);
        dwal__json_object_close(&json);
    }
    dwal__json_object_close(&json);
    dwal__json_end(&json);
}

/* ---- for people ---- */

static void closed_print(const struct dwal_stats *stats) {
    const struct {
        const char *why;
        uint64_t count;
    } rows[] = {
        {"natural", stats->closed_natural},
        {"all gathered", stats->closed_gathered},
        {"not all gathered", stats->closed_gather_timeout},
        {"large", stats->closed_large},
        {"full", stats->closed_full},
        {"segment", stats->closed_segment},
        {"system", stats->closed_system},
    };
    const char *before = "; closed: ";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].count == 0)
            continue;
        fprintf(stderr, "%s%" PRIu64 " %s", before, rows[i].count, rows[i].why);
        before = ", ";
    }
    fputc('\n', stderr);
}

static void text_print(const struct dwal_stats *stats,
                       const struct dwal_latency *latencies) {
    char some[DWAL__SIZE_TEXT], more[DWAL__SIZE_TEXT];
    fprintf(stderr, "batches   %" PRIu64, stats->batches);
    closed_print(stats);
    dwal__cli_size_text(stats->written_bytes, some);
    dwal__cli_size_text(stats->record_bytes, more);
    fprintf(stderr, "written   %s for %s of records", some, more);
    dwal__cli_size_text(stats->zero_bytes, some);
    fprintf(stderr, "; %s of zeros ahead\n", some);
    dwal__cli_size_text(stats->queue_bytes_peak, some);
    fprintf(stderr,
            "queue     %" PRIu64 " records, %s at most; %" PRIu64
            " appends waited, %" PRIu64 " were refused\n",
            stats->queue_records_peak, some, stats->appends_waited,
            stats->appends_refused);
    fprintf(stderr,
            "segments  %" PRIu64 " live, %" PRIu64 " prepared, %" PRIu64
            " spare; %" PRIu64 " used, %" PRIu64 " let go\n",
            stats->segments_live, stats->segments_prepared, stats->spares,
            stats->segments_entered, stats->segments_retired);
    fprintf(stderr, "sync      %s; %" PRIu64 " slow operations\n",
            methods[stats->sync_method], stats->slow_io);
    fprintf(stderr, "%-8s %10s %10s %10s %10s %10s %10s\n", "us", "count",
            "p50", "p90", "p99", "p99.9", "max");
    for (int i = 0; i < DWAL_LATENCY_COUNT; i++) {
        const struct dwal_latency *latency = &latencies[i];
        if (latency->count == 0)
            continue;
        fprintf(stderr,
                "%-8s %10" PRIu64 " %10.1f %10.1f %10.1f %10.1f %10.1f\n",
                stages[i], latency->count, (double)latency->p50_ns / 1e3,
                (double)latency->p90_ns / 1e3, (double)latency->p99_ns / 1e3,
                (double)latency->p999_ns / 1e3, (double)latency->max_ns / 1e3);
    }
}

void dwal__put_stats_print(struct dwal *log, enum dwal__put_stats how) {
    struct dwal_stats stats = {.size = sizeof stats};
    struct dwal_latency latencies[DWAL_LATENCY_COUNT];
    struct dwal_error error;
    int code = dwal_stats_get(log, &stats, &error);
    for (int i = 0; i < DWAL_LATENCY_COUNT && code == DWAL_OK; i++)
        code = dwal_stats_latency(log, i, &latencies[i], &error);
    if (code != DWAL_OK)
        dwal__cli_warning("%s", error.text);
    else if (how == DWAL__PUT_STATS_JSON)
        json_print(&stats, latencies);
    else
        text_print(&stats, latencies);
}
