/* SPDX-License-Identifier: MIT */
/* --vs fio: turns of the log and of fio on the same filesystem. */
#ifndef DWAL_BENCH_VERSUS_H
#define DWAL_BENCH_VERSUS_H

#include "device.h"
#include "options.h"
#include "result.h"

/* Measures once, in a new folder in @path, which is removed. False: told. */
bool dwal__bench_measure(const struct dwal__bench_options *options,
                         const char *path, struct dwal__result *result);

/* Makes the turns and prints them. Returns an exit status. */
int dwal__versus_run(const struct dwal__bench_options *options,
                     const char *path, const struct dwal__device *device);

#endif
