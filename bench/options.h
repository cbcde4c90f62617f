/* SPDX-License-Identifier: MIT */
/*
 * What walbench and the peers are asked to do, in fio's words where fio has
 * one. Both take their options from one table; a peer knows fewer of them, and
 * refuses the others instead of ignoring them.
 */
#ifndef DWAL_BENCH_OPTIONS_H
#define DWAL_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum dwal__bench_mode {
    DWAL__BENCH_COMMIT, /* append a record, wait until it is durable */
    DWAL__BENCH_APPEND, /* append without waiting, but for iodepth */
    DWAL__BENCH_SCAN,   /* read a whole log through a cursor */
    DWAL__BENCH_LOAD,   /* the same in bulk, into memory of its own */
    DWAL__BENCH_GET,    /* read records at random, one at a time */
    DWAL__BENCH_RECOVER /* open a log */
};

enum dwal__bench_by {
    DWAL__BENCH_BY_INDEX, /* dwal_cursor_get */
    DWAL__BENCH_BY_SEEK   /* dwal_cursor_seek and dwal_cursor_next */
};

struct dwal__bench_options {
    const char *program;
    const char *path; /* where the log is made, in a folder of its own */
    int mode;         /* enum dwal__bench_mode */
    unsigned numjobs;
    uint32_t bs;           /* payload bytes of a record */
    uint64_t iodepth;      /* records that a job may have outstanding */
    double runtime;        /* seconds; 0: until size */
    double ramp_time;      /* seconds before measuring */
    double rate;           /* records a second over all jobs; 0: closed loop */
    uint64_t size;         /* payload bytes; 0: until runtime */
    int preset;            /* enum dwal_preset */
    int sync;              /* enum dwal_sync */
    int gather;            /* enum dwal_gather */
    int wait;              /* enum dwal_wait_how */
    unsigned flush_us;     /* a simulated device; 0: the disk */
    uint64_t segment_size; /* 0: the library's default */
    uint64_t trim;         /* payload bytes to keep; 0: never trim */
    uint64_t warmup;       /* payload bytes to append and trim first */
    uint64_t verify;       /* of recover; UINT64_MAX: everything */
    uint64_t batch;        /* of the log that is read; 0: the preset's */
    int by;                /* of get: enum dwal__bench_by */
    unsigned logs;
    unsigned rounds; /* of --vs */
    bool versus_fio;
    bool json;
};

extern const char *const dwal__bench_mode_names[];
extern const char *const dwal__bench_preset_names[];
extern const char *const dwal__bench_sync_names[];

/*
 * Parses the command line. True: run with *@options. False: leave with
 * *@status; --help and --version were printed, or what is wrong.
 */
bool dwal__bench_options_parse(int argc, char **argv, bool peer,
                               struct dwal__bench_options *options,
                               int *status);

#endif
