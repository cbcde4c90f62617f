/* SPDX-License-Identifier: MIT */
/*
 * Jobs: threads that append records to a log for a while, and what they see.
 * The log is behind a table of functions, so that the library and its peers
 * run under the same load, clock and histogram.
 *
 * Closed loop: a job begins a record when it has finished the one before, and
 * its latency is measured from there. Open loop (--rate): record i of job j is
 * due at the beginning + (i * jobs + j) / rate, and its latency is measured
 * from then, however late the job comes to it; what was due and not even begun
 * at the end counts with the time that it had waited by then.
 */
#ifndef DWAL_BENCH_LOAD_H
#define DWAL_BENCH_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "result.h"

struct dwal__job;

/* A log under test. Functions that return bool tell what is wrong themselves,
 * those of jobs through dwal__job_fail. */
struct dwal__engine {
    const char *name;
    /* Makes an empty log in folder @path. */
    bool (*open)(const struct dwal__bench_options *options, const char *path,
                 void **state);
    /* Appends the job's record and waits until it is durable. */
    bool (*commit)(void *state, struct dwal__job *job);
    /* All of a job of --mode append; NULL: it cannot. */
    void (*append)(void *state, struct dwal__job *job);
    /* What was submitted so far; NULL: not known. */
    void (*iocount)(struct dwal__iocount *count);
    /* What it says of itself before it is closed; NULL: nothing. */
    void (*facts)(void *state, struct dwal__log_facts *facts);
    bool (*close)(void *state);
};

struct dwal__load;

struct dwal__job {
    struct dwal__load *load;
    const struct dwal__bench_options *options;
    unsigned index;
    const uint8_t *bytes; /* options->bs, that do not compress */
    uint64_t quota;       /* records to begin at most */
    uint64_t begun;       /* records */
    int64_t now;          /* ns, the last time it was looked at */
    struct dwal__histogram latency;
    /* Records known to be durable. A line of its own: main reads it. */
    _Alignas(64) _Atomic uint64_t completed;
};

/*
 * Waits until the next record is due and says when it is to have begun. False:
 * no more. While it waits it calls @poll (NULL: nothing) every 50 us for as
 * long as that says that something is outstanding.
 */
bool dwal__job_next(struct dwal__job *job, int64_t *start,
                    bool (*poll)(void *argument), void *argument);

/* True if a closed loop may begin another record. */
bool dwal__job_more(const struct dwal__job *job);

/* True once the time is over: do not try again. */
bool dwal__job_stopped(const struct dwal__job *job);

/* Notes that a record that began at @start is durable at job->now. */
void dwal__job_latency(struct dwal__job *job, int64_t start);

/* Says how many of the job's records are durable. */
void dwal__job_completed(struct dwal__job *job, uint64_t completed);

/* Tells what went wrong, if nothing did before, and stops all jobs. */
void dwal__job_fail(struct dwal__job *job, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Opens a log in folder @path, runs the jobs, closes it. False: told; then
 * *@result is not to be used. */
bool dwal__load_run(const struct dwal__bench_options *options,
                    const struct dwal__engine *engine, const char *path,
                    struct dwal__result *result);

#endif
