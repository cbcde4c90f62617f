/* SPDX-License-Identifier: MIT */
/*
 * Snapshots. The inner backend stores and reads their files; what is behind them
 * in the log is done here: a snapshot of the node's own trims the log, one that a
 * leader sent replaces all of it (queue.c runs that in its order).
 *
 * Invariant: the log loses nothing before the snapshot that stands for it is
 * durable. A crash in between is put right by load.
 */
#include "store.h"

#include <assert.h>

void dwal_raft__snapshot_free(struct raft_snapshot *snapshot) {
    if (snapshot == NULL)
        return;
    raft_configuration_close(&snapshot->configuration);
    for (unsigned i = 0; i < snapshot->n_bufs; i++)
        raft_free(snapshot->bufs[i].base);
    raft_free(snapshot->bufs);
    raft_free(snapshot);
}

void dwal_raft__snapshot_end(struct dwal_raft__put *put, int status) {
    struct raft_io_snapshot_put *request = put->request;
    raft_free(put);
    request->cb(request, status);
}

static void trim(uv_work_t *work) {
    struct dwal_raft__put *put = work->data;
    put->code = dwal_trim(put->store->log, put->trim_lsn, &put->error);
}

static void on_trimmed(uv_work_t *work, int status) {
    struct dwal_raft__put *put = work->data;
    struct dwal_raft__store *store = put->store;
    assert(status == 0);
    store->works--;
    if (put->code != DWAL_OK)
        status = dwal_raft__problem_log(store, "trim", &put->error);
    if (put->code == DWAL_EFAILED)
        status = dwal_raft__problem_final(store, status);
    dwal_raft__snapshot_end(put, status);
    dwal_raft__close_step(store);
}

/* The snapshot of the node's own is durable. */
static void trim_begin(struct dwal_raft__put *put) {
    struct dwal_raft__store *store = put->store;
    /* What is applied is durable; but nothing is trimmed on trust. */
    uint64_t lsn_max = dwal_durable_lsn(store->log) + 1;
    if (put->trim_lsn > lsn_max)
        put->trim_lsn = lsn_max;
    if (put->trim_lsn <= dwal_first_lsn(store->log)) {
        dwal_raft__snapshot_end(put, 0);
        return;
    }
    store->works++;
    put->work.data = put;
    int rv = uv_queue_work(store->loop, &put->work, trim, on_trimmed);
    assert(rv == 0); /* it fails for want of a function alone */
    (void)rv;
}

static void on_stored(struct raft_io_snapshot_put *inner_request, int status) {
    struct dwal_raft__put *put = inner_request->data;
    struct dwal_raft__store *store = put->store;
    if (put->trim_lsn == 0) {
        dwal_raft__queue_stored(store, status);
    } else if (status == 0) {
        trim_begin(put);
    } else {
        dwal_raft__problem_inner(store, "put snapshot", status);
        dwal_raft__snapshot_end(put, status);
    }
}

int dwal_raft__snapshot_store(struct dwal_raft__put *put, unsigned trailing) {
    struct raft_io *inner = &put->store->inner;
    put->inner_request.data = put;
    inner->errmsg[0] = '\0'; /* it does not tell of everything */
    return inner->snapshot_put(inner, trailing, &put->inner_request,
                               put->snapshot, on_stored);
}

static int put_begin(struct dwal_raft__store *store, unsigned trailing,
                     struct dwal_raft__put *put) {
    raft_index index = put->snapshot->index;
    if (trailing == 0)
        return dwal_raft__queue_install(store, put);
    put->trim_lsn = index > trailing ? index - trailing + 1 : 1;
    int rv = dwal_raft__snapshot_store(put, trailing);
    return rv == 0 ? 0 : dwal_raft__problem_inner(store, "put snapshot", rv);
}

int dwal_raft__snapshot_put(struct raft_io *io, unsigned trailing,
                            struct raft_io_snapshot_put *request,
                            const struct raft_snapshot *snapshot,
                            raft_io_snapshot_put_cb callback) {
    struct dwal_raft__store *store = io->impl;
    if (store->closing)
        return dwal_raft__problem_tell(io, RAFT_CANCELED,
                                       "put snapshot: closing");
    if (store->failed != 0)
        return dwal_raft__problem_final(store, store->failed);
    if (!store->loaded || snapshot->index + 1 < dwal_first_lsn(store->log))
        return dwal_raft__problem_tell(
            io, RAFT_INVALID, "put snapshot: its index %llu is trimmed already",
            snapshot->index);
    struct dwal_raft__put *put = raft_calloc(1, sizeof *put);
    if (put == NULL)
        return dwal_raft__problem_tell(io, RAFT_NOMEM,
                                       "put snapshot: out of memory");
    put->store = store;
    put->request = request;
    put->snapshot = snapshot;
    request->cb = callback;
    int rv = put_begin(store, trailing, put);
    if (rv != 0)
        raft_free(put);
    return rv;
}
