/* SPDX-License-Identifier: MIT */
/*
 * A row for each segment file: what its header says, and what it is to the log.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../recover/feed.h"
#include "cli.h"
#include "dump.h"
#include "json.h"

const struct dwal__found_segment *
dwal__dump_found_segment(const struct dwal__dump *dump, uint64_t number) {
    const struct dwal__recovery *recovery =
        dump->reader != NULL ? dwal__reader_recovery(dump->reader) : NULL;
    for (size_t i = 0; recovery != NULL && i < recovery->segment_count; i++)
        if (recovery->segments[i].number == number)
            return &recovery->segments[i];
    return NULL;
}

const struct dwal__lineage_segment *
dwal__dump_lineage_segment(const struct dwal__dump *dump, uint64_t number) {
    if (dump->reader == NULL)
        return NULL;
    const struct dwal__lineage *lineage = dwal__reader_lineage(dump->reader);
    size_t index = dwal__lineage_by_number(lineage, number);
    if (index == lineage->count ||
        lineage->segments[index].header.number != number)
        return NULL;
    return &lineage->segments[index];
}

const char *dwal__dump_segment_state(const struct dwal__dump *dump,
                                     uint64_t number) {
    if (dump->reader == NULL)
        return "unknown";
    if (dwal__dump_lineage_segment(dump, number) != NULL)
        return "live";
    const struct dwal__lineage *lineage = dwal__reader_lineage(dump->reader);
    uint64_t end = dwal__reader_end(dump->reader)->position.segment;
    if (lineage->count > 0 && number < lineage->segments[0].header.number)
        return "trimmed";
    const struct dwal__found_segment *found =
        dwal__dump_found_segment(dump, number);
    if (found != NULL)
        return found->started ? "dead" : "unused";
    return number < end ? "dead" : "ahead"; /* of the log, in a live one */
}

/* ---- one file ---- */

struct row {
    const char *state;
    char name[DWAL__NAME_SIZE];
    struct dwal__segment_header header;
    enum dwal__fault fault;                   /* of the header */
    const struct dwal__lineage_segment *live; /* NULL: no part of the log */
};

/* DWAL_ENOENT: it is gone since it was listed. */
static int row_read(const struct dwal__dump *dump, struct dwal__feed *feed,
                    uint64_t number, struct row *row) {
    uint8_t *bytes;
    memset(row, 0, sizeof *row);
    dwal__segment_name(number, row->name);
    row->state = dwal__dump_segment_state(dump, number);
    row->live = dwal__dump_lineage_segment(dump, number);
    row->fault = DWAL__FAULT_SHORT;
    int result = dwal__feed_open(feed, row->name);
    if (result == 0 && feed->file_size >= DWAL__SEGMENT_HEADER_SIZE) {
        result = dwal__feed_get(feed, 0, DWAL__SEGMENT_HEADER_SIZE, &bytes);
        if (result == 0)
            row->fault = dwal__segment_header_decode(
                bytes, DWAL__SEGMENT_HEADER_SIZE, &row->header);
    }
    dwal__feed_close(feed);
    if (result < 0 && result != -ENOENT)
        dwal__cli_error("%s: %s: %s", dump->options->path, row->name,
                        strerror(-result));
    return result == 0 ? DWAL_OK : result == -ENOENT ? DWAL_ENOENT : DWAL_EIO;
}

static void table_title(void) {
    printf("%s%16s %-8s %6s %8s %12s %12s %12s %12s %6s  %s%s\n",
           dwal__cli_style(stdout, DWAL__STYLE_BOLD), "SEGMENT", "STATE",
           "EPOCH", "FOLLOWS", "FIRST LSN", "LAST LSN", "END", "SIZE", "BLOCK",
           "CREATED", dwal__cli_style(stdout, DWAL__STYLE_PLAIN));
}

static void table_row(const struct row *row, uint64_t number) {
    const struct dwal__segment_header *header = &row->header;
    char first[24] = "-", last[24] = "-", end[24] = "-", time[DWAL__TIME_TEXT];
    if (row->fault != DWAL__FAULT_NONE) {
        printf("%16" PRIu64 " %-8s %s\n", number, "damaged",
               dwal__fault_text(row->fault));
        return;
    }
    if (row->live != NULL) {
        snprintf(end, sizeof end, "%" PRIu64, row->live->end);
        if (row->live->last_lsn >= row->live->first_lsn) {
            snprintf(first, sizeof first, "%" PRIu64, row->live->first_lsn);
            snprintf(last, sizeof last, "%" PRIu64, row->live->last_lsn);
        }
    }
    dwal__cli_time_text(header->created_ns, time);
    printf("%16" PRIu64 " %-8s %6" PRIu64 " %8" PRIu64
           " %12s %12s %12s %12" PRIu64 " %6" PRIu32 "  %s\n",
           number, row->state, header->epoch, header->previous, first, last,
           end, header->segment_size, header->block_size, time);
}

static void json_row(const struct row *row, uint64_t number) {
    const struct dwal__segment_header *header = &row->header;
    struct dwal__json json;
    bool good = row->fault == DWAL__FAULT_NONE;
    dwal__json_begin(&json, stdout, "segment");
    dwal__json_u64(&json, "segment", number);
    dwal__json_string(&json, "file", row->name);
    dwal__json_string(&json, "state", good ? row->state : "damaged");
    if (!good) {
        dwal__json_string(&json, "fault", dwal__fault_text(row->fault));
        dwal__json_end(&json);
        return;
    }
    dwal__json_u64(&json, "epoch", header->epoch);
    dwal__json_u64(&json, "previous", header->previous);
    if (row->live != NULL) {
        dwal__json_u64(&json, "first_lsn", row->live->first_lsn);
        dwal__json_u64(&json, "last_lsn", row->live->last_lsn);
        dwal__json_u64(&json, "end", row->live->end);
    }
    dwal__json_u64(&json, "size", header->segment_size);
    dwal__json_u64(&json, "block_size", header->block_size);
    dwal__json_u64(&json, "created_ns", header->created_ns);
    dwal__json_end(&json);
}

int dwal__dump_segments(struct dwal__dump *dump) {
    struct dwal__feed feed;
    int status = DWAL__EXIT_CLEAN;
    bool titled = dump->options->form == DWAL__DUMP_JSON;
    dwal__feed_init(&feed, dump->disk, dump->dir);
    for (size_t i = 0; i < dump->number_count && dwal__cli_output_good(); i++) {
        uint64_t number = dump->numbers[i];
        struct row row;
        if (!dwal__dump_segment_wanted(dump->options, number))
            continue;
        int code = row_read(dump, &feed, number, &row);
        if (code == DWAL_EIO)
            status = DWAL__EXIT_ERROR;
        if (code != DWAL_OK)
            continue;
        if (!titled)
            table_title();
        titled = true;
        if (dump->options->form == DWAL__DUMP_JSON)
            json_row(&row, number);
        else
            table_row(&row, number);
    }
    dwal__feed_release(&feed);
    return status;
}
