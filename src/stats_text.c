/* SPDX-License-Identifier: MIT */
/*
 * Stats as text: Prometheus' exposition format 0.0.4, and HdrHistogram's table
 * of percentiles. Texts are made in one pass into the caller's buffer, whether
 * or not they fit: so the size needed is always known.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

#define NS_PER_S UINT64_C(1000000000)

/* Bounds of Prometheus' buckets: two for each power of two, at borders of ours,
 * from 1 us to 34 s; every file of them is an exact sum of our buckets. */
#define BOUND_SHIFT_MIN 10
#define BOUND_SHIFT_MAX 35

/* The last percentile that is shown before 100. */
#define PERCENT_MAX 99.9999999

/* ---- a text that grows ---- */

struct text {
    char *buffer;
    size_t size;
    size_t used; /* without the NUL; perhaps more than size */
};

static void add(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct text *text, const char *format, ...) {
    size_t left = text->used < text->size ? text->size - text->used : 0;
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(left > 0 ? text->buffer + text->used : NULL, left,
                          format, arguments);
    va_end(arguments);
    if (added > 0)
        text->used += (size_t)added;
}

/* DWAL_OK if it fitted, or nobody wanted it to. */
static int text_end(const struct text *text, size_t *needed,
                    struct dwal_error *error) {
    if (needed != NULL)
        *needed = text->used + 1;
    if (text->size == 0 || text->used < text->size)
        return DWAL_OK;
    return dwal__error_set(error, DWAL_EINVAL, 0,
                           "a buffer of %zu bytes for stats; %zu are needed",
                           text->size, text->used + 1);
}

/* ---- Prometheus ---- */

enum kind { COUNTER, GAUGE, SECONDS /* a gauge of ns */ };

/* A row for each number of struct dwal_stats; rows of one name follow each
 * other. */
struct metric {
    const char *name;
    const char *label; /* one more, or NULL */
    enum kind kind;
    size_t offset;
    const char *help;
};

#define AT(field) offsetof(struct dwal_stats, field)

/* clang-format off */
static const struct metric metrics[] = {
    {"dwal_first_lsn", NULL, GAUGE, AT(first_lsn), "The first LSN that is not trimmed."},
    {"dwal_durable_lsn", NULL, GAUGE, AT(durable_lsn), "The last LSN of the durable prefix."},
    {"dwal_next_lsn", NULL, GAUGE, AT(next_lsn), "The LSN that the next record gets."},
    {"dwal_watermark_lsn", NULL, GAUGE, AT(watermark_lsn), "The last LSN that the disk proves to be durable."},
    {"dwal_epoch", NULL, GAUGE, AT(epoch), "Opens of the log that wrote."},
    {"dwal_records_appended_total", NULL, COUNTER, AT(records_appended), "Records that got an LSN."},
    {"dwal_records_durable_total", NULL, COUNTER, AT(records_durable), "Records that became durable."},
    {"dwal_records_system_total", NULL, COUNTER, AT(records_system), "Records of the log's own: starts, trims, marks, a close."},
    {"dwal_batches_total", NULL, COUNTER, AT(batches), "Batches that became durable, each one write."},
    {"dwal_syncs_total", NULL, COUNTER, AT(syncs), "Syncs beside the writes."},
    {"dwal_record_bytes_total", NULL, COUNTER, AT(record_bytes), "Bytes of durable records with their headers."},
    {"dwal_written_bytes_total", NULL, COUNTER, AT(written_bytes), "Bytes of durable batches with headers and padding."},
    {"dwal_zero_bytes_total", NULL, COUNTER, AT(zero_bytes), "Bytes of zeros written ahead of need."},
    {"dwal_appends_waited_total", NULL, COUNTER, AT(appends_waited), "Appends that waited for a place and got one."},
    {"dwal_appends_refused_total", NULL, COUNTER, AT(appends_refused), "Appends that were refused for want of room."},
    {"dwal_slow_io_total", NULL, COUNTER, AT(slow_io), "Operations that were told to be slow."},
    {"dwal_batches_closed_total", "why=\"natural\"", COUNTER, AT(closed_natural), "Batches by what closed them."},
    {"dwal_batches_closed_total", "why=\"gathered\"", COUNTER, AT(closed_gathered), NULL},
    {"dwal_batches_closed_total", "why=\"gather_timeout\"", COUNTER, AT(closed_gather_timeout), NULL},
    {"dwal_batches_closed_total", "why=\"large\"", COUNTER, AT(closed_large), NULL},
    {"dwal_batches_closed_total", "why=\"full\"", COUNTER, AT(closed_full), NULL},
    {"dwal_batches_closed_total", "why=\"segment\"", COUNTER, AT(closed_segment), NULL},
    {"dwal_batches_closed_total", "why=\"system\"", COUNTER, AT(closed_system), NULL},
    {"dwal_segments_entered_total", NULL, COUNTER, AT(segments_entered), "Segments that batches were written to."},
    {"dwal_segments_made_total", NULL, COUNTER, AT(segments_made), "Segments that were prepared."},
    {"dwal_segments_recycled_total", NULL, COUNTER, AT(segments_recycled), "Segments that were prepared out of a spare file."},
    {"dwal_segments_retired_total", NULL, COUNTER, AT(segments_retired), "Segments that were trimmed or dead, and let go."},
    {"dwal_queue_records", NULL, GAUGE, AT(queue_records), "Records that are appended and not durable."},
    {"dwal_queue_bytes", NULL, GAUGE, AT(queue_bytes), "Bytes that are appended and not durable."},
    {"dwal_queue_records_peak", NULL, GAUGE, AT(queue_records_peak), "The most records in the queue so far."},
    {"dwal_queue_bytes_peak", NULL, GAUGE, AT(queue_bytes_peak), "The most bytes in the queue so far."},
    {"dwal_queue_records_max", NULL, GAUGE, AT(queue_records_max), "The limit on records in the queue."},
    {"dwal_queue_bytes_max", NULL, GAUGE, AT(queue_bytes_max), "The limit on bytes in the queue."},
    {"dwal_appends_waiting", NULL, GAUGE, AT(appends_waiting), "Appends that wait for a place."},
    {"dwal_in_flight", NULL, GAUGE, AT(in_flight), "Operations in flight."},
    {"dwal_segments", "state=\"live\"", GAUGE, AT(segments_live), "Segment files."},
    {"dwal_segments", "state=\"prepared\"", GAUGE, AT(segments_prepared), NULL},
    {"dwal_segments", "state=\"spare\"", GAUGE, AT(spares), NULL},
    {"dwal_sync_measured_seconds", "method=\"dsync\"", SECONDS, AT(dsync_ns), "What one small write took at the first append; 0: not measured."},
    {"dwal_sync_measured_seconds", "method=\"fdsync\"", SECONDS, AT(fdsync_ns), NULL},
    {"dwal_flush_seconds", NULL, SECONDS, AT(flush_ns), "Moving average from submission to durability."},
    {"dwal_gathering", NULL, GAUGE, AT(gathering), "1: batches wait for callers."},
    {"dwal_yielding", NULL, GAUGE, AT(yielding), "1: callers yield before they sleep."},
    {"dwal_oldest_io_age_seconds", NULL, SECONDS, AT(oldest_io_ns), "Age of the oldest operation in flight."},
    {"dwal_failed", NULL, GAUGE, AT(failed), "1: the log has failed."},
    {"dwal_leases", NULL, GAUGE, AT(leases), "LSNs that readers hold leases on, 64 at most."},
    {"dwal_lease_lsn", NULL, GAUGE, AT(lease_lsn), "The lowest of them; 0: none."},
    {"dwal_trim_wanted_lsn", NULL, GAUGE, AT(trim_wanted_lsn), "Records below it go once leases allow; 0: none are held back."},
};

static const struct { const char *name, *help; } stages[] = {
    [DWAL_LATENCY_PLACE] = {"dwal_place_wait_seconds", "Waits of appends for a place."},
    [DWAL_LATENCY_GATHER] = {"dwal_gather_seconds", "Waits of batches for callers."},
    [DWAL_LATENCY_WRITE] = {"dwal_write_seconds", "Writes, from submission to completion."},
    [DWAL_LATENCY_SYNC] = {"dwal_sync_seconds", "Syncs beside the writes."},
    [DWAL_LATENCY_WAKE] = {"dwal_wake_seconds", "From completion until the last sleeper of a batch ran."},
    [DWAL_LATENCY_COMMIT] = {"dwal_commit_seconds", "Calls of dwal_commit that succeeded."},
};
/* clang-format on */

/* One log of those that are shown. */
struct shown {
    struct dwal *log;
    struct dwal_stats stats;
};

static void seconds(struct text *text, uint64_t ns) {
    add(text, "%llu.%09llu", (unsigned long long)(ns / NS_PER_S),
        (unsigned long long)(ns % NS_PER_S));
}

static void head(struct text *text, const char *name, const char *type,
                 const char *help) {
    add(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* name_suffix{path="…" — to be closed by the caller. */
static void series(struct text *text, const char *name, const char *suffix,
                   const char *path) {
    add(text, "%s%s{path=\"", name, suffix);
    for (; *path != '\0'; path++)
        if (*path == '\n')
            add(text, "\\n");
        else
            add(text, *path == '"' || *path == '\\' ? "\\%c" : "%c", *path);
    add(text, "\"");
}

static void metric_show(struct text *text, const struct metric *metric,
                        const struct shown *shown, size_t count) {
    if (metric->help != NULL)
        head(text, metric->name, metric->kind == COUNTER ? "counter" : "gauge",
             metric->help);
    for (size_t i = 0; i < count; i++) {
        uint64_t value =
            *(const uint64_t *)((const char *)&shown[i].stats + metric->offset);
        series(text, metric->name, "", shown[i].log->path);
        if (metric->label != NULL)
            add(text, ",%s", metric->label);
        add(text, "} ");
        if (metric->kind == SECONDS)
            seconds(text, value);
        else
            add(text, "%llu", (unsigned long long)value);
        add(text, "\n");
    }
}

static void info_show(struct text *text, const struct shown *shown,
                      size_t count) {
    static const char *const methods[] = {"undecided", "dsync", "fdsync"};
    static const char *const whys[] = {"undecided", "asked", "measured",
                                       "no_volatile_cache", "not_measured"};
    head(text, "dwal_info", "gauge", "How the log works; always 1.");
    for (size_t i = 0; i < count; i++) {
        series(text, "dwal_info", "", shown[i].log->path);
        add(text, ",version=\"%s\",sync=\"%s\",sync_why=\"%s\"} 1\n",
            DWAL_VERSION, methods[shown[i].stats.sync_method],
            whys[shown[i].stats.sync_why]);
    }
}

static void bucket_show(struct text *text, const char *name, const char *path,
                        uint64_t upper, uint64_t seen) {
    series(text, name, "_bucket", path);
    add(text, ",le=\"");
    seconds(text, upper);
    add(text, "\"} %llu\n", (unsigned long long)seen);
}

/* Adds up the buckets from *@index on that end at @upper or below. */
static uint64_t buckets_sum(const struct dwal__histogram *histogram,
                            unsigned *index, uint64_t upper) {
    uint64_t sum = 0;
    for (; *index < DWAL__HISTOGRAM_BUCKETS &&
           dwal__histogram_bucket_upper(*index) <= upper;
         ++*index)
        sum += dwal__histogram_bucket(histogram, *index);
    return sum;
}

static void histogram_show(struct text *text, const char *name,
                           const char *path,
                           const struct dwal__histogram *histogram) {
    unsigned index = 0;
    uint64_t seen = 0;
    for (unsigned shift = BOUND_SHIFT_MIN; shift < BOUND_SHIFT_MAX; shift++)
        for (unsigned half = 2; half <= 3; half++) {
            uint64_t upper = ((uint64_t)half << (shift - 1)) - 1;
            seen += buckets_sum(histogram, &index, upper);
            bucket_show(text, name, path, upper, seen);
        }
    seen += buckets_sum(histogram, &index, UINT64_MAX);
    series(text, name, "_bucket", path);
    add(text, ",le=\"+Inf\"} %llu\n", (unsigned long long)seen);
    series(text, name, "_sum", path);
    add(text, "} ");
    seconds(text, atomic_load(&histogram->sum));
    add(text, "\n");
    series(text, name, "_count", path);
    add(text, "} %llu\n", (unsigned long long)seen);
}

static void logs_show(struct text *text, const struct shown *shown,
                      size_t count, struct dwal__histogram *histogram) {
    info_show(text, shown, count);
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        /* Rows of one name are of one family, and follow each other. */
        metric_show(text, &metrics[i], shown, count);
    for (int stage = 0; stage < DWAL_LATENCY_COUNT; stage++) {
        head(text, stages[stage].name, "histogram", stages[stage].help);
        for (size_t i = 0; i < count; i++) {
            dwal__stats_collect(shown[i].log, stage, histogram);
            histogram_show(text, stages[stage].name, shown[i].log->path,
                           histogram);
        }
    }
}

int dwal_stats_prometheus_all(struct dwal *const *logs, size_t count,
                              char *buffer, size_t size, size_t *needed,
                              struct dwal_error *error) {
    if ((logs == NULL && count > 0) || (buffer == NULL && size > 0))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "no logs, or no buffer: NULL");
    struct dwal__histogram *histogram = malloc(sizeof *histogram);
    struct shown *shown = calloc(count + 1, sizeof *shown);
    struct text text = {.buffer = buffer, .size = size};
    int code = DWAL_OK;
    if (histogram == NULL || shown == NULL)
        code = dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "stats");
    for (size_t i = 0; code == DWAL_OK && i < count; i++) {
        shown[i].log = logs[i];
        shown[i].stats.size = sizeof shown[i].stats;
        code = dwal_stats_get(logs[i], &shown[i].stats, error);
    }
    if (code == DWAL_OK) {
        logs_show(&text, shown, count, histogram);
        code = text_end(&text, needed, error);
    }
    free(shown);
    free(histogram);
    return code;
}

int dwal_stats_prometheus(struct dwal *log, char *buffer, size_t size,
                          size_t *needed, struct dwal_error *error) {
    return dwal_stats_prometheus_all(&log, 1, buffer, size, needed, error);
}

/* ---- percentiles ---- */

/* In us, from the upper ends of the buckets. */
static double deviation(const struct dwal__histogram *histogram, double mean,
                        uint64_t count) {
    double sum = 0;
    for (unsigned i = 0; i < DWAL__HISTOGRAM_BUCKETS; i++) {
        uint64_t some = dwal__histogram_bucket(histogram, i);
        uint64_t upper = dwal__histogram_bucket_upper(i);
        if (upper > atomic_load(&histogram->max))
            upper = atomic_load(&histogram->max);
        double off = (double)upper / 1e3 - mean;
        sum += (double)some * off * off;
    }
    return count == 0 ? 0 : sqrt(sum / (double)count);
}

/* The percentile behind @percent: five for each halving of what is left. */
static double percent_next(double percent) {
    double half = 2;
    while (half <= 100 / (100 - percent))
        half *= 2;
    return percent + 100 / (5 * half);
}

static void percentiles_show(struct text *text,
                             const struct dwal__histogram *histogram) {
    uint64_t count = dwal__histogram_count(histogram);
    double max = (double)atomic_load(&histogram->max) / 1e3;
    double mean = dwal__histogram_mean(histogram) / 1e3;
    double percent = 0;
    uint64_t seen = 0;
    add(text, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
        "1/(1-Percentile)");
    for (unsigned i = 0; i < DWAL__HISTOGRAM_BUCKETS && seen < count; i++) {
        uint64_t some = dwal__histogram_bucket(histogram, i);
        double value = (double)dwal__histogram_bucket_upper(i) / 1e3;
        seen += some;
        while (some != 0 && percent <= PERCENT_MAX &&
               percent <= 100 * (double)seen / (double)count) {
            add(text, "%12.3f %.12f %10llu %14.2f\n", value < max ? value : max,
                percent / 100, (unsigned long long)seen, 100 / (100 - percent));
            percent = percent_next(percent);
            if (seen == count)
                break;
        }
    }
    if (count > 0)
        add(text, "%12.3f %.12f %10llu\n", max, 1.0, (unsigned long long)count);
    add(text, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean,
        deviation(histogram, mean, count));
    add(text, "#[Max     = %12.3f, Total count    = %12llu]\n", max,
        (unsigned long long)count);
    add(text, "#[Buckets = %12d, SubBuckets     = %12d]\n",
        DWAL__HISTOGRAM_MAX - DWAL__HISTOGRAM_SPLIT + 1,
        1 << DWAL__HISTOGRAM_SPLIT);
}

int dwal_stats_percentiles(struct dwal *log, int stage, char *buffer,
                           size_t size, size_t *needed,
                           struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    if (stage < 0 || stage >= DWAL_LATENCY_COUNT ||
        (buffer == NULL && size > 0))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: no stage %d, or no buffer: NULL", log->path,
                               stage);
    struct dwal__histogram *histogram = malloc(sizeof *histogram);
    if (histogram == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "%s", log->path);
    dwal__stats_collect(log, stage, histogram);
    struct text text = {.buffer = buffer, .size = size};
    percentiles_show(&text, histogram);
    free(histogram);
    return text_end(&text, needed, error);
}
