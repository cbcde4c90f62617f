/* SPDX-License-Identifier: MIT */
/*
 * What walput is asked to do, as the command line says it.
 */
#ifndef DWAL_FSCK_WALPUT_H
#define DWAL_FSCK_WALPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "dwal.h"

enum dwal__put_stats {
    DWAL__PUT_STATS_NONE,
    DWAL__PUT_STATS_TEXT,
    DWAL__PUT_STATS_JSON
};

struct dwal__put_settings {
    const char *path;
    struct dwal_options options;
    struct dwal_record record; /* type, flags, tenant, shard */
    bool framed;
    bool ack;
    bool verbose;
    bool quiet;
    enum dwal__put_stats stats; /* to print at the end */
    unsigned threads;           /* that append */
    uint64_t keep; /* trim all but so many records; 0: trim nothing */
};

/* Reads the command line. Returns true if there is work to do; otherwise
 * everything is said and *@status is the exit code. */
bool dwal__put_settings_read(struct dwal__put_settings *settings, int argc,
                             char **argv, int *status);

#endif
