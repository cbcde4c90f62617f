/* SPDX-License-Identifier: MIT */
/* A log whose files are real and whose batches go to a clock. */
#ifndef DWAL_BENCH_SIMULATED_H
#define DWAL_BENCH_SIMULATED_H

#include "dwal.h"

/* dwal_open on a device whose writes take @flush_us each, one after another.
 * One log at a time in a process; it cannot be opened again. */
int dwal__bench_open_simulated(const char *path, unsigned flush_us,
                               const struct dwal_options *options,
                               struct dwal **log, struct dwal_error *error);

#endif
