/* SPDX-License-Identifier: MIT */
/* Reading a log, by a cursor or by recovery, as often as time allows. */
#ifndef DWAL_BENCH_READING_H
#define DWAL_BENCH_READING_H

#include "options.h"
#include "result.h"

/*
 * Writes a log in folder @path, then makes passes over it until the time is
 * over, at least one, each from the disk and not from the page cache. Only the
 * passes are measured. False: told.
 */
bool dwal__reading_run(const struct dwal__bench_options *options,
                       const char *path, struct dwal__result *result);

#endif
