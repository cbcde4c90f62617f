/* SPDX-License-Identifier: MIT */
/* A measurement told to people, and as JSON. */
#ifndef DWAL_BENCH_REPORT_H
#define DWAL_BENCH_REPORT_H

#include "../fsck/json.h"
#include "device.h"
#include "options.h"
#include "result.h"

/* What a result means. NAN is what is not known or has no meaning. */
struct dwal__figures {
    double records_per_s;
    double payload_bytes_per_s;
    /* With the header and padding of each record, as they are on disk; without
     * those of batches. */
    double record_bytes_per_s;
    double p50, p90, p99, p999, p9999, max, mean; /* us */
    double cpu_us, user_us, system_us;            /* a record */
    double voluntary, involuntary;                /* switches a record */
    double batch_records;                         /* in a batch */
    double batch_bytes;   /* in batches, for a byte of payload */
    double written_bytes; /* by all of the process, for a byte of payload */
    double reads;         /* calls of the kernel that read, a record */
};

void dwal__figures_fill(const struct dwal__bench_options *options,
                        const struct dwal__result *result,
                        struct dwal__figures *figures);

/* The head: program, what was asked for, the engine, the device. */
void dwal__report_head(const struct dwal__bench_options *options,
                       const char *engine, const char *version,
                       const struct dwal__device *device);
void dwal__report_head_json(const struct dwal__bench_options *options,
                            const char *engine, const char *version,
                            const struct dwal__device *device,
                            struct dwal__json *json);

/* The figures, and members with them. */
void dwal__report_print(const struct dwal__bench_options *options,
                        const struct dwal__result *result);
void dwal__report_json(const struct dwal__bench_options *options,
                       const struct dwal__result *result,
                       struct dwal__json *json);

/* "47.8 us", "1.2 ms"; "12.3 k", "4.5 M". */
#define DWAL__FIGURE_TEXT 32
void dwal__report_time_text(double us, char text[DWAL__FIGURE_TEXT]);
void dwal__report_rate_text(double rate, char text[DWAL__FIGURE_TEXT]);

#endif
