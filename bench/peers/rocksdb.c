/* SPDX-License-Identifier: MIT */
/*
 * RocksDB's write-ahead log, as its C API gives it: a put with sync, which
 * returns when the record is in the log and on disk, and whose write groups
 * share a sync. The memtable is larger than what a run writes, so nothing is
 * flushed or compacted meanwhile. Keys are those of an application that only
 * adds: job and number, 12 bytes beside the payload.
 */
#include <limits.h>
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

#include "../../fsck/cli.h"
#include "peer.h"

#define MEMTABLE_SIZE ((size_t)16 << 30)

struct database {
    rocksdb_t *handle;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write;
};

static bool database_close(void *state) {
    struct database *database = state;
    if (database->handle != NULL)
        rocksdb_close(database->handle);
    rocksdb_writeoptions_destroy(database->write);
    rocksdb_options_destroy(database->options);
    free(database);
    return true;
}

static bool database_open(const struct dwal__bench_options *options,
                          const char *path, void **state) {
    struct database *database = calloc(1, sizeof *database);
    char *failed = NULL;
    (void)options;
    if (database == NULL) {
        dwal__cli_error("no memory for a database");
        return false;
    }
    database->options = rocksdb_options_create();
    database->write = rocksdb_writeoptions_create();
    rocksdb_options_set_create_if_missing(database->options, 1);
    rocksdb_options_set_write_buffer_size(database->options, MEMTABLE_SIZE);
    rocksdb_options_set_disable_auto_compactions(database->options, 1);
    rocksdb_options_set_compression(database->options, rocksdb_no_compression);
    rocksdb_writeoptions_set_sync(database->write, 1);
    database->handle = rocksdb_open(database->options, path, &failed);
    if (failed == NULL) {
        *state = database;
        return true;
    }
    dwal__cli_error("%s: %s", path, failed);
    rocksdb_free(failed);
    database_close(database);
    return false;
}

static bool record_commit(void *state, struct dwal__job *job) {
    struct database *database = state;
    char key[12];
    char *failed = NULL;
    memcpy(key, &job->index, 4);
    memcpy(key + 4, &job->begun, 8);
    rocksdb_put(database->handle, database->write, key, sizeof key,
                (const char *)job->bytes, job->options->bs, &failed);
    if (failed == NULL)
        return true;
    dwal__job_fail(job, "put: %s", failed);
    rocksdb_free(failed);
    return false;
}

/* Its C API does not tell it; CMake found out. */
const char *dwal__peer_version(void) {
    return PEER_ROCKSDB_VERSION;
}

const struct dwal__engine dwal__peer = {
    .name = "rocksdb",
    .open = database_open,
    .commit = record_commit,
    .close = database_close,
};
