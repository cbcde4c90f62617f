/* SPDX-License-Identifier: MIT */
/*
 * Counts and sizes: of the whole, by type, by tenant and by shard, and how the
 * sizes of records and of batches are spread.
 */
#include <inttypes.h>

#include "cli.h"
#include "dump.h"
#include "dump_tally.h"
#include "json.h"

/* A table for people ends after so many rows; --json has them all. */
#define ROWS_MAX 20u
#define BAR_COLUMNS 40u

static struct {
    struct dwal__tallies types, tenants, shards;
    struct dwal__sizes record_sizes, batch_sizes;
    uint64_t count, bytes; /* of application records */
    uint64_t system_count;
    uint32_t size_min, size_max;
    uint64_t first_lsn, last_lsn;
    uint64_t batches, batch_bytes;
    uint64_t segments;
    uint64_t sealed_first, sealed_last;
    struct dwal__position batch;
    bool failed; /* told; what was counted is incomplete */
} stats;

/* ---- counting ---- */

static void batch_count(const struct dwal__reader_item *item) {
    struct dwal__position place = {item->segment, item->batch_offset};
    if (dwal__position_compare(place, stats.batch) == 0)
        return;
    if (place.segment != stats.batch.segment)
        stats.segments++;
    stats.batch = place;
    stats.batches++;
    stats.batch_bytes += item->batch.size;
    dwal__sizes_add(&stats.batch_sizes, item->batch.size);
    if (stats.sealed_first == 0)
        stats.sealed_first = item->batch.sealed_ns;
    stats.sealed_last = item->batch.sealed_ns;
}

static bool stats_item(const struct dwal__dump_options *options,
                       const struct dwal__reader_item *item) {
    const struct dwal__record *record = &item->record;
    batch_count(item);
    if (record->lsn == 0) {
        stats.system_count++;
        return false;
    }
    if (stats.count == 0) {
        stats.first_lsn = record->lsn;
        stats.size_min = record->size;
    }
    stats.last_lsn = record->lsn;
    if (record->size < stats.size_min)
        stats.size_min = record->size;
    if (record->size > stats.size_max)
        stats.size_max = record->size;
    stats.count++;
    stats.bytes += record->size;
    dwal__sizes_add(&stats.record_sizes, record->size);
    if (!dwal__tallies_add(&stats.types, record->type, record->size) ||
        !dwal__tallies_add(&stats.tenants, record->tenant, record->size) ||
        !dwal__tallies_add(&stats.shards, record->shard, record->size)) {
        dwal__cli_error("%s: no memory to count all tenants and shards; choose "
                        "with --tenant or --shard",
                        options->path);
        stats.failed = true;
    }
    return true;
}

static bool stats_failed(void) {
    return stats.failed;
}

/* ---- JSON ---- */

static void json_tallies(struct dwal__json *json, const char *name,
                         const char *key, struct dwal__tallies *tallies) {
    dwal__tallies_sort(tallies, false);
    dwal__json_array_open(json, name);
    for (size_t i = 0; i < tallies->used; i++) {
        const struct dwal__tally *tally = &tallies->slots[i];
        dwal__json_object_open(json, NULL);
        dwal__json_u64(json, key, tally->key);
        dwal__json_u64(json, "records", tally->count);
        dwal__json_u64(json, "payload_bytes", tally->bytes);
        dwal__json_object_close(json);
    }
    dwal__json_array_close(json);
}

static void json_sizes(struct dwal__json *json, const char *name,
                       const struct dwal__sizes *sizes) {
    dwal__json_array_open(json, name);
    for (unsigned i = 0; i < DWAL__SIZES_BUCKETS; i++) {
        if (sizes->counts[i] == 0)
            continue;
        dwal__json_object_open(json, NULL);
        dwal__json_u64(json, "from", dwal__sizes_from(i));
        dwal__json_u64(json, "to", dwal__sizes_to(i));
        dwal__json_u64(json, "count", sizes->counts[i]);
        dwal__json_object_close(json);
    }
    dwal__json_array_close(json);
}

static void json_stats(void) {
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "stats");
    dwal__json_u64(&json, "records", stats.count);
    dwal__json_u64(&json, "payload_bytes", stats.bytes);
    dwal__json_u64(&json, "size_min", stats.size_min);
    dwal__json_u64(&json, "size_max", stats.size_max);
    dwal__json_u64(&json, "system_records", stats.system_count);
    dwal__json_u64(&json, "first_lsn", stats.first_lsn);
    dwal__json_u64(&json, "last_lsn", stats.last_lsn);
    dwal__json_u64(&json, "batches", stats.batches);
    dwal__json_u64(&json, "batch_bytes", stats.batch_bytes);
    dwal__json_u64(&json, "segments", stats.segments);
    dwal__json_u64(&json, "sealed_first_ns", stats.sealed_first);
    dwal__json_u64(&json, "sealed_last_ns", stats.sealed_last);
    json_tallies(&json, "types", "type", &stats.types);
    json_tallies(&json, "tenants", "tenant", &stats.tenants);
    json_tallies(&json, "shards", "shard", &stats.shards);
    json_sizes(&json, "record_sizes", &stats.record_sizes);
    json_sizes(&json, "batch_sizes", &stats.batch_sizes);
    dwal__json_end(&json);
}

/* ---- for people ---- */

static double percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static uint64_t mean(uint64_t sum, uint64_t count) {
    return count == 0 ? 0 : sum / count;
}

static void table_title(const char *text) {
    printf("\n%s%s%s\n", dwal__cli_style(stdout, DWAL__STYLE_BOLD), text,
           dwal__cli_style(stdout, DWAL__STYLE_PLAIN));
}

/* The rows with the most bytes, in the order of their keys where they are few.
 */
static void table_tallies(const char *key, struct dwal__tallies *tallies) {
    bool many = tallies->used > ROWS_MAX;
    char title[80];
    dwal__tallies_sort(tallies, many);
    snprintf(title, sizeof title, "%10s %14s %6s %18s %6s %12s", key, "RECORDS",
             "%", "BYTES", "%", "MEAN SIZE");
    table_title(title);
    for (size_t i = 0; i < tallies->used && i < ROWS_MAX; i++) {
        const struct dwal__tally *tally = &tallies->slots[i];
        printf("%10" PRIu32 " %14" PRIu64 " %6.2f %18" PRIu64
               " %6.2f %12" PRIu64 "\n",
               tally->key, tally->count, percent(tally->count, stats.count),
               tally->bytes, percent(tally->bytes, stats.bytes),
               mean(tally->bytes, tally->count));
    }
    if (many)
        printf("%10s and %zu with fewer bytes; --json has them all\n", "",
               tallies->used - ROWS_MAX);
}

static void table_sizes(const char *what, const struct dwal__sizes *sizes) {
    static const char bar[] = "########################################";
    uint64_t largest = 0, all = 0;
    char title[80];
    for (unsigned i = 0; i < DWAL__SIZES_BUCKETS; i++) {
        all += sizes->counts[i];
        if (sizes->counts[i] > largest)
            largest = sizes->counts[i];
    }
    snprintf(title, sizeof title, "%25s %14s %6s", what, "COUNT", "%");
    table_title(title);
    for (unsigned i = 0; i < DWAL__SIZES_BUCKETS; i++) {
        uint64_t count = sizes->counts[i];
        if (count == 0)
            continue;
        int columns =
            (int)((double)count / (double)largest * BAR_COLUMNS + 0.5);
        printf("%10" PRIu64 " to %11" PRIu64 " %14" PRIu64 " %6.2f  %.*s\n",
               dwal__sizes_from(i), dwal__sizes_to(i), count,
               percent(count, all), columns, bar);
    }
}

static void table_stats(void) {
    char first[DWAL__TIME_TEXT], last[DWAL__TIME_TEXT], size[DWAL__SIZE_TEXT];
    dwal__cli_time_text(stats.sealed_first, first);
    dwal__cli_time_text(stats.sealed_last, last);
    dwal__cli_size_text(stats.bytes, size);
    printf("records         %" PRIu64 "\n", stats.count);
    if (stats.count > 0)
        printf("LSNs            %" PRIu64 " to %" PRIu64 "\n", stats.first_lsn,
               stats.last_lsn);
    printf("payload         %" PRIu64 " bytes (%s); %" PRIu32 " to %" PRIu32
           " a record, mean %" PRIu64 "\n",
           stats.bytes, size, stats.size_min, stats.size_max,
           mean(stats.bytes, stats.count));
    printf("system records  %" PRIu64 "\n", stats.system_count);
    printf(
        "batches         %" PRIu64 "; mean %" PRIu64 " bytes, %.1f records\n",
        stats.batches, mean(stats.batch_bytes, stats.batches),
        stats.batches == 0 ? 0.0 : (double)stats.count / (double)stats.batches);
    printf("segments        %" PRIu64 "\n", stats.segments);
    printf("sealed          %s to %s\n", first, last);
    if (stats.count > 0) {
        table_tallies("TYPE", &stats.types);
        table_tallies("TENANT", &stats.tenants);
        table_tallies("SHARD", &stats.shards);
        table_sizes("PAYLOAD BYTES OF A RECORD", &stats.record_sizes);
    }
    if (stats.batches > 0)
        table_sizes("BYTES OF A BATCH", &stats.batch_sizes);
}

static int stats_end(const struct dwal__dump_options *options) {
    if (options->form == DWAL__DUMP_JSON)
        json_stats();
    else
        table_stats();
    dwal__tallies_release(&stats.types);
    dwal__tallies_release(&stats.tenants);
    dwal__tallies_release(&stats.shards);
    return stats.failed ? DWAL__EXIT_ERROR : DWAL__EXIT_CLEAN;
}

const struct dwal__dump_printer dwal__dump_stats = {
    .item = stats_item, .failed = stats_failed, .end = stats_end};
