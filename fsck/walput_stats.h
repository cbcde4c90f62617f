/* SPDX-License-Identifier: MIT */
/* What walput --stats prints. */
#ifndef DWAL_FSCK_WALPUT_STATS_H
#define DWAL_FSCK_WALPUT_STATS_H

#include "dwal.h"
#include "walput.h"

/* Prints the stats of @log on standard error, for people, or as a line of JSON
 * whose names are those of struct dwal_stats. */
void dwal__put_stats_print(struct dwal *log, enum dwal__put_stats how);

#endif
