/* SPDX-License-Identifier: MIT */
/*
 * Berkeley DB's log, as its C API gives it: DB_ENV->log_put with DB_FLUSH,
 * which returns when the record is on disk and lets threads that come in the
 * meantime share a flush. Private to the process, no transactions, no
 * databases. Set up to be fast: log files as large as a segment of ours, filled
 * with zeros when they are begun (DB_LOG_ZERO, which gains a fifth and more),
 * and a log buffer that holds the records of all jobs, so that it is not
 * written early.
 */
#include <db.h>
#include <string.h>

#include "../../fsck/cli.h"
#include "peer.h"

#define FILE_SIZE (64u << 20)
#define BUFFER_SIZE (4u << 20)

static bool environment_open(const struct dwal__bench_options *options,
                             const char *path, void **state) {
    DB_ENV *environment;
    (void)options;
    int failed = db_env_create(&environment, 0);
    if (failed != 0) {
        dwal__cli_error("db_env_create: %s", db_strerror(failed));
        return false;
    }
    if ((failed = environment->set_lg_bsize(environment, BUFFER_SIZE)) == 0 &&
        (failed = environment->set_lg_max(environment, FILE_SIZE)) == 0)
        failed = environment->log_set_config(environment, DB_LOG_ZERO, 1);
    if (failed == 0)
        failed = environment->open(
            environment, path, DB_CREATE | DB_INIT_LOG | DB_PRIVATE | DB_THREAD,
            0600);
    if (failed == 0) {
        *state = environment;
        return true;
    }
    dwal__cli_error("%s: %s", path, db_strerror(failed));
    environment->close(environment, 0);
    return false;
}

static bool record_commit(void *state, struct dwal__job *job) {
    DB_ENV *environment = state;
    DB_LSN lsn;
    DBT record;
    memset(&record, 0, sizeof record);
    record.data = (void *)job->bytes;
    record.size = job->options->bs;
    int failed = environment->log_put(environment, &lsn, &record, DB_FLUSH);
    if (failed != 0)
        dwal__job_fail(job, "log_put: %s", db_strerror(failed));
    return failed == 0;
}

static bool environment_close(void *state) {
    DB_ENV *environment = state;
    int failed = environment->close(environment, 0);
    if (failed != 0)
        dwal__cli_error("close: %s", db_strerror(failed));
    return failed == 0;
}

const char *dwal__peer_version(void) {
    static char text[32];
    int major, minor, patch;
    db_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

const struct dwal__engine dwal__peer = {
    .name = "berkeleydb",
    .open = environment_open,
    .commit = record_commit,
    .close = environment_close,
};
