/* SPDX-License-Identifier: MIT */
/*
 * The functions of struct raft_io that libraft calls, and their order: made by
 * dwal_raft_init, opened by init, filled by load, closed by close, freed by
 * dwal_raft_close. What is not about entries, term and vote goes to the inner
 * backend.
 *
 * Invariant of closing: the callback comes after every other one, when no
 * handle, no work and no log is left.
 */
#include "store.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct dwal_raft__store *store_of(struct raft_io *io) {
    return io->impl;
}

/* ---- term and vote ---- */

int dwal_raft__vote_set(struct dwal_raft__store *store,
                        struct dwal_raft__vote vote, const char *what) {
    uint8_t bytes[DWAL_RAFT__VOTE_SIZE];
    struct dwal_error error;
    if (store->failed != 0)
        return dwal_raft__problem_final(store, store->failed);
    if (vote.term == 0)
        return dwal_raft__problem_tell(store->io, RAFT_INVALID,
                                       "%s: there is no term 0", what);
    int rv = dwal_raft__log_take(store);
    if (rv != 0)
        return rv;
    dwal_raft__vote_encode(&vote, bytes);
    if (dwal_meta_set(store->log, bytes, sizeof bytes, &error) != DWAL_OK)
        return dwal_raft__problem_log(store, what, &error);
    store->vote = vote;
    return 0;
}

static int io_set_term(struct raft_io *io, raft_term term) {
    struct dwal_raft__vote vote = {.term = term, .voted_for = 0};
    return dwal_raft__vote_set(store_of(io), vote, "set term");
}

static int io_set_vote(struct raft_io *io, raft_id server_id) {
    struct dwal_raft__vote vote = store_of(io)->vote;
    vote.voted_for = server_id;
    return dwal_raft__vote_set(store_of(io), vote, "set vote");
}

static int vote_read(struct dwal_raft__store *store) {
    uint8_t bytes[DWAL_META_SIZE_MAX];
    struct dwal_error error;
    size_t size = 0;
    if (dwal_meta_get(store->log, bytes, sizeof bytes, &size, &error) !=
        DWAL_OK)
        return dwal_raft__problem_log(store, "read term and vote", &error);
    const char *wrong = dwal_raft__vote_decode(bytes, size, &store->vote);
    if (wrong != NULL)
        return dwal_raft__problem_tell(store->io, RAFT_MALFORMED,
                                       "log %s: %s; is it a raft node's?",
                                       store->log_path, wrong);
    return 0;
}

/* ---- init ---- */

static int log_open(struct dwal_raft__store *store, bool is_new) {
    struct dwal_error error;
    store->options.create = is_new ? DWAL_CREATE_IF_ABSENT : DWAL_CREATE_NEVER;
    if (dwal_open(store->log_path, &store->options, &store->log, &error) !=
        DWAL_OK) {
        store->log = NULL;
        return dwal_raft__problem_log(store, "open", &error);
    }
    int rv = vote_read(store);
    if (rv == 0 && is_new)
        rv = dwal_raft__directory_seal(store);
    return rv;
}

int dwal_raft__log_take(struct dwal_raft__store *store) {
    if (store->log != NULL)
        return 0;
    int rv = log_open(store, false);
    if (rv != 0)
        dwal_raft__log_release(store);
    return rv;
}

void dwal_raft__log_release(struct dwal_raft__store *store) {
    if (store->log != NULL)
        dwal_close(store->log, NULL);
    store->log = NULL;
}

static int io_init(struct raft_io *io, raft_id id, const char *address) {
    struct dwal_raft__store *store = store_of(io);
    bool is_new;
    int rv = dwal_raft__directory_prepare(store, &is_new);
    if (rv == 0)
        rv = log_open(store, is_new);
    if (rv == 0) {
        /* Last: it leaves handles in the loop that only close takes out. */
        rv = store->inner.init(&store->inner, id, address);
        if (rv != 0)
            dwal_raft__problem_inner(store, "init", rv);
    }
    if (rv != 0)
        dwal_raft__log_release(store);
    return rv;
}

/* ---- what the inner backend does ---- */

static void tick_forward(struct raft_io *inner) {
    struct dwal_raft__store *store = inner->data;
    store->tick(store->io);
}

static void receive_forward(struct raft_io *inner,
                            struct raft_message *message) {
    struct dwal_raft__store *store = inner->data;
    store->receive(store->io, message);
}

/* The result of the inner backend, with its text if that is one. */
static int inner_result(struct raft_io *io, const char *what, int rv) {
    return rv == 0 ? 0 : dwal_raft__problem_inner(store_of(io), what, rv);
}

static int io_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick,
                    raft_io_recv_cb receive) {
    struct dwal_raft__store *store = store_of(io);
    store->tick = tick;
    store->receive = receive;
    return inner_result(io, "start",
                        store->inner.start(&store->inner, msecs, tick_forward,
                                           receive_forward));
}

static int io_send(struct raft_io *io, struct raft_io_send *request,
                   const struct raft_message *message, raft_io_send_cb cb) {
    struct raft_io *inner = &store_of(io)->inner;
    return inner_result(io, "send", inner->send(inner, request, message, cb));
}

static int io_snapshot_get(struct raft_io *io,
                           struct raft_io_snapshot_get *request,
                           raft_io_snapshot_get_cb cb) {
    struct raft_io *inner = &store_of(io)->inner;
    return inner_result(io, "get snapshot",
                        inner->snapshot_get(inner, request, cb));
}

static int io_async_work(struct raft_io *io, struct raft_io_async_work *request,
                         raft_io_async_work_cb cb) {
    struct raft_io *inner = &store_of(io)->inner;
    return inner_result(io, "work", inner->async_work(inner, request, cb));
}

static raft_time io_time(struct raft_io *io) {
    struct raft_io *inner = &store_of(io)->inner;
    return inner->time(inner);
}

static int io_random(struct raft_io *io, int min, int max) {
    struct raft_io *inner = &store_of(io)->inner;
    return inner->random(inner, min, max);
}

/* ---- close ---- */

static void on_inner_closed(struct raft_io *inner) {
    struct dwal_raft__store *store = inner->data;
    store->inner_closed = true;
    dwal_raft__close_step(store);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct dwal_raft__store *store = handle->data;
    store->handles_open--;
    dwal_raft__close_step(store);
}

static void log_close(uv_work_t *work) {
    struct dwal_raft__store *store = work->data;
    /* What it would tell, every request has been told. */
    dwal_close(store->log, NULL);
}

static void on_log_closed(uv_work_t *work, int status) {
    struct dwal_raft__store *store = work->data;
    assert(status == 0); /* nobody cancels it */
    (void)status;
    store->works--;
    store->log = NULL;
    dwal_raft__close_step(store);
}

void dwal_raft__close_step(struct dwal_raft__store *store) {
    if (!store->closing || !dwal_raft__queue_cancel(store) ||
        store->works > 0 || !store->inner_closed)
        return;
    if (!store->handles_closing && store->handles_open > 0) {
        store->handles_closing = true;
        uv_close((uv_handle_t *)&store->poll, on_handle_closed);
        uv_close((uv_handle_t *)&store->timer, on_handle_closed);
    }
    if (store->handles_open > 0)
        return;
    if (store->log != NULL) {
        /* Only now: the loop has let go of the log's descriptor. */
        store->works++;
        store->close_work.data = store;
        int rv = uv_queue_work(store->loop, &store->close_work, log_close,
                               on_log_closed);
        assert(rv == 0); /* it fails for want of a function alone */
        (void)rv;
        return;
    }
    store->closing = false;
    if (store->close_callback != NULL)
        store->close_callback(store->io);
}

static void io_close(struct raft_io *io, raft_io_close_cb callback) {
    struct dwal_raft__store *store = store_of(io);
    store->close_callback = callback;
    store->closing = true;
    /* Connections and ticks end at once; its callback may come at once, too. */
    store->inner.close(&store->inner, on_inner_closed);
}

/* ---- making and freeing ---- */

void dwal_raft_options_init(struct dwal_raft_options *options) {
    if (options != NULL)
        *options = (struct dwal_raft_options){.size = sizeof *options,
                                              .space_wait_ms = 600000};
}

static int options_take(struct dwal_raft__store *store,
                        const struct dwal_raft_options *options) {
    if (options->size != sizeof *options ||
        (options->inner_init == NULL) != (options->inner_close == NULL))
        return dwal_raft__problem_tell(store->io, RAFT_INVALID,
                                       "options: size, or one of inner_init "
                                       "and inner_close without the other");
    dwal_options_init(&store->options);
    store->options.submit = DWAL_SUBMIT_CALLER; /* the loop, that is */
    store->options.verify_bytes = 0;
    if (options->log != NULL) {
        if (options->log->size != sizeof store->options)
            return dwal_raft__problem_tell(store->io, RAFT_INVALID,
                                           "options: size of log's options");
        store->options = *options->log;
    }
    store->space_wait_ms = options->space_wait_ms;
    store->inner_close =
        options->inner_close != NULL ? options->inner_close : raft_uv_close;
    return 0;
}

/* "@dir/@name", from raft_malloc. */
static char *path_join(const char *dir, const char *name) {
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = raft_malloc(size);
    if (path != NULL)
        snprintf(path, size, "%s%s%s", dir, *name == '\0' ? "" : "/", name);
    return path;
}

static int inner_make(struct dwal_raft__store *store,
                      const struct dwal_raft_options *options,
                      struct raft_uv_transport *transport) {
    char *path = path_join(store->dir, "snapshots");
    if (path == NULL)
        return dwal_raft__problem_tell(store->io, RAFT_NOMEM, "out of memory");
    int rv = (options->inner_init != NULL ? options->inner_init : raft_uv_init)(
        &store->inner, store->loop, path, transport);
    raft_free(path);
    store->inner.data = store;
    return rv == 0 ? 0 : dwal_raft__problem_inner(store, "init", rv);
}

static void functions_set(struct raft_io *io, int version) {
    io->version = version;
    io->init = io_init;
    io->close = io_close;
    io->load = dwal_raft__load;
    io->start = io_start;
    io->bootstrap = dwal_raft__bootstrap;
    io->recover = dwal_raft__recover;
    io->set_term = io_set_term;
    io->set_vote = io_set_vote;
    io->send = io_send;
    io->append = dwal_raft__append;
    io->truncate = dwal_raft__truncate;
    io->snapshot_put = dwal_raft__snapshot_put;
    io->snapshot_get = io_snapshot_get;
    io->time = io_time;
    io->random = io_random;
    io->async_work = io_async_work;
}

static void store_free(struct dwal_raft__store *store) {
    raft_free(store->dir);
    raft_free(store->log_path);
    raft_free(store);
}

int dwal_raft_init_with(struct raft_io *io, struct uv_loop_s *loop,
                        const char *dir, struct raft_uv_transport *transport,
                        const struct dwal_raft_options *options) {
    struct dwal_raft_options defaults;
    dwal_raft_options_init(&defaults);
    if (options == NULL)
        options = &defaults;
    *io = (struct raft_io){.data = io->data};
    struct dwal_raft__store *store = raft_calloc(1, sizeof *store);
    if (store == NULL)
        return dwal_raft__problem_tell(io, RAFT_NOMEM, "out of memory");
    store->io = io;
    store->loop = loop;
    store->tail = &store->head;
    store->dir = path_join(dir, "");
    store->log_path = path_join(dir, "log");
    int rv = store->dir != NULL && store->log_path != NULL
                 ? options_take(store, options)
                 : dwal_raft__problem_tell(io, RAFT_NOMEM, "out of memory");
    if (rv == 0)
        rv = inner_make(store, options, transport);
    if (rv != 0) {
        store_free(store);
        return rv;
    }
    io->impl = store;
    functions_set(io, store->inner.version);
    return 0;
}

int dwal_raft_init(struct raft_io *io, struct uv_loop_s *loop, const char *dir,
                   struct raft_uv_transport *transport) {
    return dwal_raft_init_with(io, loop, dir, transport, NULL);
}

void dwal_raft_close(struct raft_io *io) {
    struct dwal_raft__store *store = store_of(io);
    if (store == NULL)
        return;
    assert(store->handles_open == 0); /* io->close has called back */
    dwal_raft__log_release(store);
    store->inner_close(&store->inner);
    store_free(store);
    io->impl = NULL;
}

struct raft_io *dwal_raft_inner(struct raft_io *io) {
    return &store_of(io)->inner;
}

struct dwal *dwal_raft_log(struct raft_io *io) {
    return store_of(io)->log;
}
