/* SPDX-License-Identifier: MIT */
/*
 * Counts and sizes: of the whole, and by type. Memory for all possible types is
 * set aside once, so that nothing depends on what is read.
 */
#include <inttypes.h>

#include "cli.h"
#include "dump.h"
#include "json.h"

struct tally {
    uint64_t count;
    uint64_t bytes; /* of payloads */
};

static struct {
    struct tally types[UINT16_MAX + 1]; /* of applications */
    struct tally all;
    uint64_t system_count;
    uint32_t size_min, size_max;
    uint64_t first_lsn, last_lsn;
    uint64_t batches, batch_bytes;
    uint64_t segments;
    uint64_t sealed_first, sealed_last;
    struct dwal__position batch;
} stats;

static void batch_count(const struct dwal__reader_item *item) {
    struct dwal__position place = {item->segment, item->batch_offset};
    if (dwal__position_compare(place, stats.batch) == 0)
        return;
    if (place.segment != stats.batch.segment)
        stats.segments++;
    stats.batch = place;
    stats.batches++;
    stats.batch_bytes += item->batch.size;
    if (stats.sealed_first == 0)
        stats.sealed_first = item->batch.sealed_ns;
    stats.sealed_last = item->batch.sealed_ns;
}

static bool stats_item(const struct dwal__dump_options *options,
                       const struct dwal__reader_item *item) {
    (void)options;
    const struct dwal__record *record = &item->record;
    batch_count(item);
    if (record->lsn == 0) {
        stats.system_count++;
        return false;
    }
    if (stats.all.count == 0) {
        stats.first_lsn = record->lsn;
        stats.size_min = record->size;
    }
    stats.last_lsn = record->lsn;
    if (record->size < stats.size_min)
        stats.size_min = record->size;
    if (record->size > stats.size_max)
        stats.size_max = record->size;
    stats.all.count++;
    stats.all.bytes += record->size;
    stats.types[record->type].count++;
    stats.types[record->type].bytes += record->size;
    return true;
}

static void json_stats(void) {
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "stats");
    dwal__json_u64(&json, "records", stats.all.count);
    dwal__json_u64(&json, "payload_bytes", stats.all.bytes);
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
    dwal__json_array_open(&json, "types");
    for (unsigned type = 0; type <= UINT16_MAX; type++) {
        if (stats.types[type].count == 0)
            continue;
        dwal__json_object_open(&json, NULL);
        dwal__json_u64(&json, "type", type);
        dwal__json_u64(&json, "records", stats.types[type].count);
        dwal__json_u64(&json, "payload_bytes", stats.types[type].bytes);
        dwal__json_object_close(&json);
    }
    dwal__json_array_close(&json);
    dwal__json_end(&json);
}

static double percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static uint64_t mean(uint64_t sum, uint64_t count) {
    return count == 0 ? 0 : sum / count;
}

static void table_types(void) {
    if (stats.all.count == 0)
        return;
    printf("\n%s%8s %14s %6s %18s %6s %12s%s\n",
           dwal__cli_style(stdout, DWAL__STYLE_BOLD), "TYPE", "RECORDS", "%",
           "BYTES", "%", "MEAN SIZE",
           dwal__cli_style(stdout, DWAL__STYLE_PLAIN));
    for (unsigned type = 0; type <= UINT16_MAX; type++) {
        const struct tally *tally = &stats.types[type];
        if (tally->count == 0)
            continue;
        printf("%8u %14" PRIu64 " %6.2f %18" PRIu64 " %6.2f %12" PRIu64 "\n",
               type, tally->count, percent(tally->count, stats.all.count),
               tally->bytes, percent(tally->bytes, stats.all.bytes),
               mean(tally->bytes, tally->count));
    }
}

static void stats_end(const struct dwal__dump_options *options) {
    char first[DWAL__TIME_TEXT], last[DWAL__TIME_TEXT], size[DWAL__SIZE_TEXT];
    if (options->form == DWAL__DUMP_JSON) {
        json_stats();
        return;
    }
    dwal__cli_time_text(stats.sealed_first, first);
    dwal__cli_time_text(stats.sealed_last, last);
    dwal__cli_size_text(stats.all.bytes, size);
    printf("records         %" PRIu64 "\n", stats.all.count);
    if (stats.all.count > 0)
        printf("LSNs            %" PRIu64 " to %" PRIu64 "\n", stats.first_lsn,
               stats.last_lsn);
    printf("payload         %" PRIu64 " bytes (%s); %" PRIu32 " to %" PRIu32
           " a record, mean %" PRIu64 "\n",
           stats.all.bytes, size, stats.size_min, stats.size_max,
           mean(stats.all.bytes, stats.all.count));
    printf("system records  %" PRIu64 "\n", stats.system_count);
    printf(
        "batches         %" PRIu64 "; mean %" PRIu64 " bytes, %.1f records\n",
        stats.batches, mean(stats.batch_bytes, stats.batches),
        stats.batches == 0 ? 0.0
                           : (double)stats.all.count / (double)stats.batches);
    printf("segments        %" PRIu64 "\n", stats.segments);
    printf("sealed          %s to %s\n", first, last);
    table_types();
}

const struct dwal__dump_printer dwal__dump_stats = {NULL, stats_item,
                                                    stats_end};
