/* SPDX-License-Identifier: MIT */
/*
 * Logs of the library under load: opened, warmed up, committed to, closed.
 */
#include "engine_dwal.h"

#include <limits.h>
#include <stdlib.h>

#include "../fsck/cli.h"
#include "simulated.h"

/* The library may report from any of its threads. */
static void log_report(void *argument, int level, const char *text) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    (void)argument;
    if (level != DWAL_LOG_WARNING)
        return;
    pthread_mutex_lock(&lock);
    dwal__cli_warning("%s", text);
    pthread_mutex_unlock(&lock);
}

void dwal__bench_log_options(const struct dwal__bench_options *options,
                             struct dwal_options *log_options) {
    dwal_options_init(log_options);
    dwal_options_preset(log_options, options->preset);
    log_options->create = DWAL_CREATE_NEW;
    log_options->sync = options->sync;
    log_options->gather = options->gather;
    log_options->wait = options->wait;
    if (options->segment_size != 0)
        log_options->segment_size = options->segment_size;
    log_options->log = log_report;
}

bool dwal__bench_log_fill(struct dwal *log,
                          const struct dwal__bench_options *options,
                          uint64_t bytes, uint64_t *last_lsn) {
    struct dwal_error error;
    struct dwal_record record = {.data = calloc(1, options->bs),
                                 .size = options->bs};
    int code = record.data == NULL ? DWAL_ENOMEM : DWAL_OK;
    for (uint64_t at = 0; at < bytes && code == DWAL_OK; at += options->bs) {
        do
            code = dwal_append(log, &record, last_lsn, &error);
        while (code == DWAL_EAGAIN && !dwal__cli_cancelled());
        if (dwal__cli_cancelled())
            break;
    }
    if (code == DWAL_OK)
        code = dwal_wait(log, *last_lsn, -1, &error);
    if (record.data == NULL)
        dwal__cli_error("no memory for a record");
    else if (code != DWAL_OK)
        dwal__cli_error("%s", error.text);
    free((void *)record.data);
    return code == DWAL_OK;
}

/* Fills segments and trims them, so that the log has files to use again. */
static bool log_warm(struct dwal *log,
                     const struct dwal__bench_options *options) {
    uint64_t last_lsn = 0;
    struct dwal_error error;
    if (!dwal__bench_log_fill(log, options, options->warmup, &last_lsn))
        return false;
    if (dwal_rotate(log, &error) == DWAL_OK &&
        dwal_trim(log, last_lsn + 1, &error) == DWAL_OK)
        return true;
    dwal__cli_error("%s", error.text);
    return false;
}

static bool log_open(struct dwal__bench_log *log,
                     const struct dwal__bench_options *options,
                     const char *path, unsigned index) {
    struct dwal_options log_options;
    struct dwal_error error;
    char name[PATH_MAX + 16];
    dwal__bench_log_options(options, &log_options);
    snprintf(name, sizeof name, "%s/log-%u", path, index);
    int code =
        options->flush_us == 0
            ? dwal_open(name, &log_options, &log->log, &error)
            : dwal__bench_open_simulated(name, options->flush_us, &log_options,
                                         &log->log, &error);
    if (code != DWAL_OK) {
        dwal__cli_error("%s", error.text);
        return false;
    }
    uint64_t keep = options->trim == 0 ? 0 : options->trim / options->bs + 1;
    if ((options->warmup == 0 || log_warm(log->log, options)) &&
        (keep == 0 || dwal__trimmer_start(&log->trimmer, log->log, keep)))
        return true;
    dwal_close(log->log, NULL);
    return false;
}

static bool logs_close(void *state) {
    struct dwal__bench_logs *logs = state;
    struct dwal_error error;
    bool good = true;
    for (unsigned i = 0; i < logs->count; i++) {
        good = dwal__trimmer_stop(&logs->logs[i].trimmer) && good;
        if (dwal_close(logs->logs[i].log, &error) != DWAL_OK) {
            dwal__cli_error("%s", error.text);
            good = false;
        }
    }
    free(logs->logs);
    free(logs);
    return good;
}

static bool logs_open(const struct dwal__bench_options *options,
                      const char *path, void **state) {
    struct dwal__bench_logs *logs = calloc(1, sizeof *logs);
    if (logs != NULL)
        logs->logs = calloc(options->logs, sizeof *logs->logs);
    if (logs == NULL || logs->logs == NULL) {
        free(logs);
        dwal__cli_error("no memory for %u logs", options->logs);
        return false;
    }
    for (; logs->count < options->logs; logs->count++)
        if (!log_open(&logs->logs[logs->count], options, path, logs->count)) {
            logs_close(logs);
            return false;
        }
    *state = logs;
    return true;
}

struct dwal__bench_log *dwal__bench_job_log(void *state,
                                            const struct dwal__job *job) {
    struct dwal__bench_logs *logs = state;
    return &logs->logs[job->index % logs->count];
}

/* DWAL_EAGAIN is a record that is not in the log: a client would try again, and
 * its latency goes on. */
static bool record_commit(void *state, struct dwal__job *job) {
    struct dwal__bench_log *log = dwal__bench_job_log(state, job);
    struct dwal_record record = {.data = job->bytes, .size = job->options->bs};
    struct dwal_error error;
    uint64_t lsn;
    int code;
    do
        code = dwal_commit(log->log, &record, &lsn, &error);
    while (code == DWAL_EAGAIN && !dwal__job_stopped(job));
    if (code == DWAL_OK)
        dwal__trimmer_look(&log->trimmer);
    else
        dwal__job_fail(job, "%s", error.text);
    return code == DWAL_OK;
}

/* Of the first log: all are on one filesystem. */
static void logs_facts(void *state, struct dwal__log_facts *facts) {
    struct dwal__bench_logs *logs = state;
    struct dwal_stats stats = {.size = sizeof stats};
    if (dwal_stats_get(logs->logs[0].log, &stats, NULL) != DWAL_OK ||
        stats.sync_method == DWAL_SYNC_AUTO)
        return;
    facts->sync = stats.sync_method == DWAL_SYNC_DSYNC ? "dsync" : "fdsync";
    facts->dsync_ns = stats.dsync_ns;
    facts->fdsync_ns = stats.fdsync_ns;
}

const struct dwal__engine dwal__engine_dwal = {
    .name = "dwal",
    .open = logs_open,
    .commit = record_commit,
    .append = dwal__bench_append,
    .iocount = dwal__iocount_look,
    .facts = logs_facts,
    .close = logs_close,
};
