/* SPDX-License-Identifier: MIT */
/*
 * A folder of our own for all files of a run, removed at its end, also when the
 * run was stopped by a signal.
 */
#ifndef DWAL_BENCH_SCRATCH_H
#define DWAL_BENCH_SCRATCH_H

#include <limits.h>
#include <stdbool.h>

/* Makes a new folder in @parent and fills @path. False: told why not. */
bool dwal__scratch_make(const char *parent, char path[PATH_MAX]);

/* Removes @path, a file or a folder with all that is in it. False: told. */
bool dwal__scratch_remove(const char *path);

/* Drops the files in folder @path from the page cache, as far as they are
 * clean. */
void dwal__scratch_uncache(const char *path);

#endif
