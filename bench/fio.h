/* SPDX-License-Identifier: MIT */
/* fio, run with the pattern that the log's own is compared with. */
#ifndef DWAL_BENCH_FIO_H
#define DWAL_BENCH_FIO_H

#include <stdbool.h>

#include "options.h"

struct dwal__fio_result {
    double ios_per_s;
    double bytes_per_s;
    double p50, p90, p99, p999, p9999, max; /* us; submission and completion */
};

/* What fio does for these options, in words. */
const char *dwal__fio_pattern(const struct dwal__bench_options *options);

/* Lays out the files in folder @path that all runs read or overwrite, if there
 * are any. False: told, also if there is no fio. */
bool dwal__fio_prepare(const struct dwal__bench_options *options,
                       const char *path);

/* One run. False: told, or a signal came. */
bool dwal__fio_run(const struct dwal__bench_options *options, const char *path,
                   struct dwal__fio_result *result);

#endif
