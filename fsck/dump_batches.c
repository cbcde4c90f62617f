/* SPDX-License-Identifier: MIT */
/*
 * A row for each batch that has an item in the walk.
 */
#include <inttypes.h>

#include "cli.h"
#include "dump.h"
#include "json.h"

static struct {
    struct dwal__dump_widths widths;
    struct dwal__position last; /* the batch of the last row */
    bool titled;
} batches;

static void batches_begin(const struct dwal__dump_options *options,
                          struct dwal__dump_widths widths) {
    (void)options;
    batches.widths = widths;
}

static void table_row(const struct dwal__batch_header *batch) {
    int lsn = batches.widths.lsn > 5 ? batches.widths.lsn : 5;
    char first[24] = "-", last[24] = "-", time[DWAL__TIME_TEXT];
    if (!batches.titled)
        printf("%s%*s %*s %8s %*s %*s %7s  %-27s  %s%s\n",
               dwal__cli_style(stdout, DWAL__STYLE_BOLD),
               batches.widths.segment, "SEGMENT", batches.widths.offset,
               "OFFSET", "SIZE", lsn, "FIRST", lsn, "LAST", "RECORDS", "SEALED",
               "DURABLE THEN (LSN, SEGMENT, OFFSET)",
               dwal__cli_style(stdout, DWAL__STYLE_PLAIN));
    batches.titled = true;
    if (batch->lsn_count > 0) {
        snprintf(first, sizeof first, "%" PRIu64, batch->first_lsn);
        snprintf(last, sizeof last, "%" PRIu64,
                 batch->first_lsn + batch->lsn_count - 1);
    }
    dwal__cli_time_text(batch->sealed_ns, time);
    printf("%*" PRIu64 " %*" PRIu64 " %8" PRIu64 " %*s %*s %7" PRIu32
           "  %-27s  %" PRIu64 ", %" PRIu64 ", %" PRIu64 "\n",
           batches.widths.segment, batch->segment, batches.widths.offset,
           batch->offset, batch->size, lsn, first, lsn, last,
           batch->record_count, time, batch->watermark.lsn,
           batch->watermark.position.segment, batch->watermark.position.offset);
}

static void json_row(const struct dwal__batch_header *batch) {
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "batch");
    dwal__json_u64(&json, "segment", batch->segment);
    dwal__json_u64(&json, "offset", batch->offset);
    dwal__json_u64(&json, "size", batch->size);
    dwal__json_u64(&json, "first_lsn", batch->first_lsn);
    dwal__json_u64(&json, "lsn_count", batch->lsn_count);
    dwal__json_u64(&json, "record_count", batch->record_count);
    dwal__json_u64(&json, "sealed_ns", batch->sealed_ns);
    dwal__json_u64(&json, "digest", batch->digest);
    dwal__json_u64(&json, "crc", batch->crc);
    dwal__json_u64(&json, "link", batch->link);
    dwal__json_object_open(&json, "watermark");
    dwal__json_u64(&json, "lsn", batch->watermark.lsn);
    dwal__json_u64(&json, "segment", batch->watermark.position.segment);
    dwal__json_u64(&json, "offset", batch->watermark.position.offset);
    dwal__json_object_close(&json);
    dwal__json_end(&json);
}

static bool batches_item(const struct dwal__dump_options *options,
                         const struct dwal__reader_item *item) {
    struct dwal__position place = {item->segment, item->batch_offset};
    if (dwal__position_compare(place, batches.last) == 0)
        return false;
    batches.last = place;
    if (options->form == DWAL__DUMP_JSON)
        json_row(&item->batch);
    else
        table_row(&item->batch);
    return true;
}

const struct dwal__dump_printer dwal__dump_batches = {.begin = batches_begin,
                                                      .item = batches_item};
