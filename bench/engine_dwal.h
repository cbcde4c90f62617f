/* SPDX-License-Identifier: MIT */
/* The library under test, as its users have it: dwal.h and nothing behind it,
 * but for --flush-us. */
#ifndef DWAL_BENCH_ENGINE_DWAL_H
#define DWAL_BENCH_ENGINE_DWAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "dwal.h"
#include "load.h"

/* Trims behind the writers, from a thread of its own, because a trim waits
 * until it is durable. */
struct dwal__trimmer {
    struct dwal *log;
    uint64_t keep; /* records; 0: there is no thread */
    pthread_t thread;
    sem_t wanted;
    _Atomic uint64_t next; /* LSN: once it is durable, trim */
    atomic_bool asked;     /* wanted was posted and not yet served */
    atomic_bool stop;
    atomic_bool failed;
};

struct dwal__bench_log {
    struct dwal *log;
    struct dwal__trimmer trimmer;
};

struct dwal__bench_logs {
    unsigned count;
    struct dwal__bench_log *logs;
};

extern const struct dwal__engine dwal__engine_dwal;

/* Fills @log_options from what was asked for. */
void dwal__bench_log_options(const struct dwal__bench_options *options,
                             struct dwal_options *log_options);

/* Appends @bytes of payload in records of options->bs, and waits for them.
 * False: told. */
bool dwal__bench_log_fill(struct dwal *log,
                          const struct dwal__bench_options *options,
                          uint64_t bytes, uint64_t *last_lsn);

/* The log that the job works on. */
struct dwal__bench_log *dwal__bench_job_log(void *state,
                                            const struct dwal__job *job);

/* trimmer.c. Starts the thread; false: told. */
bool dwal__trimmer_start(struct dwal__trimmer *trimmer, struct dwal *log,
                         uint64_t keep);
/* Asks for a trim if it is time; costs two loads. */
void dwal__trimmer_look(struct dwal__trimmer *trimmer);
/* Ends the thread; false: a trim failed, which was told. */
bool dwal__trimmer_stop(struct dwal__trimmer *trimmer);

/* append.c: the append function of the engine. */
void dwal__bench_append(void *state, struct dwal__job *job);

#endif
