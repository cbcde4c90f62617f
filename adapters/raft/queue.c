/* SPDX-License-Identifier: MIT */
/*
 * Appends, truncations and installed snapshots, in the order in which libraft
 * asked for them.
 *
 * An append goes to the log at once, which takes a copy, and is answered when the
 * log's event fd tells that it is durable. A truncation waits until all appends
 * before it are answered, then runs in libuv's pool; so does an install. What
 * comes behind one of these, or behind an append for which there was no room,
 * waits in a list.
 *
 * Invariant: the LSN of an entry is its index. libraft does not say the index of
 * what it appends, so no request may be dropped while a later one is taken: one
 * that fails after it was accepted is the end of this io. What can be refused
 * without that is refused before it is accepted.
 */
#include "store.h"

#include <assert.h>

/* How soon a full disk is tried again. */
#define FULL_PAUSE_MS 20
/* Completions in one round; the loop comes back for more. */
#define REAP_MAX 128

/* ---- the list ---- */

static struct dwal_raft__step *step_push(struct dwal_raft__store *store,
                                         struct dwal_raft__step from) {
    struct dwal_raft__step *step = raft_malloc(sizeof *step);
    if (step == NULL)
        return NULL;
    *step = from;
    step->next = NULL;
    *store->tail = step;
    store->tail = &step->next;
    store->waiting++;
    return step;
}

/* Takes out the head. */
static struct dwal_raft__step step_pop(struct dwal_raft__store *store) {
    struct dwal_raft__step *head = store->head;
    struct dwal_raft__step step = *head;
    store->head = head->next;
    if (store->head == NULL)
        store->tail = &store->head;
    store->waiting--;
    store->full_since_ms = 0;
    raft_free(head);
    return step;
}

/* Takes out the head and answers it. */
static void step_end(struct dwal_raft__store *store, int status) {
    struct dwal_raft__step step = step_pop(store);
    if (step.kind == DWAL_RAFT__APPEND)
        step.request->cb(step.request, status);
    else if (step.kind == DWAL_RAFT__INSTALL)
        dwal_raft__snapshot_end(step.put, status);
}

static void on_timer(uv_timer_t *timer) {
    struct dwal_raft__store *store = timer->data;
    dwal_raft__queue_run(store);
    dwal_raft__close_step(store);
}

/* Has the loop look at the head, which nothing else may lead to. */
static void run_later(struct dwal_raft__store *store, uint64_t delay_ms) {
    uv_timer_start(&store->timer, on_timer, delay_ms, 0);
}

/* What was accepted cannot be done: the end. Whoever waits is told by
 * dwal_raft__queue_run. */
static void fail(struct dwal_raft__store *store, const char *what,
                 const struct dwal_error *error) {
    dwal_raft__problem_final(store, dwal_raft__problem_log(store, what, error));
}

/* ---- appends ---- */

/* As many of @step's entries as fit into one batch, at least one. */
static unsigned part_fill(struct dwal_raft__store *store,
                          const struct dwal_raft__step *step) {
    uint64_t room = dwal_record_size_max(store->log);
    unsigned count = 0;
    /* dwal_append_batch counts 40 bytes a record beside its payload. */
    while (count < step->count && count < DWAL_RAFT__PART_MAX &&
           (count == 0 ||
            (room >= 40 && step->entries[count].buf.len <= room - 40))) {
        uint64_t size = step->entries[count].buf.len + 40;
        room -= size < room ? size : room;
        dwal_raft__entry_encode(&step->entries[count], &store->records[count]);
        count++;
    }
    return count;
}

/* Gives @step's entries to the log as far as it takes them, and moves @step on.
 * Returns a code of the log. */
static int append_submit(struct dwal_raft__store *store,
                         struct dwal_raft__step *step,
                         struct dwal_error *error) {
    while (step->count > 0) {
        uint64_t lsn;
        unsigned count = part_fill(store, step);
        bool last = count == step->count;
        int code = dwal_append_async(store->log, store->records, count,
                                     last ? step->request : NULL, &lsn, error);
        if (code != DWAL_OK)
            return code;
        /* Nobody else appends, and a cut is over before this begins. */
        assert(lsn == step->index);
        store->outstanding++;
        step->index += count;
        step->entries += count;
        step->count -= count;
    }
    return DWAL_OK;
}

/* Whether the log would take each of the entries, and load give them back. */
static int entries_check(struct dwal_raft__store *store,
                         const struct raft_entry entries[], unsigned count) {
    uint32_t size_max = dwal_record_size_max(store->log);
    for (unsigned i = 0; i < count; i++) {
        const char *wrong = dwal_raft__entry_check(&entries[i], &store->vote);
        if (wrong != NULL)
            return dwal_raft__problem_tell(store->io, RAFT_INVALID,
                                           "append: entry %llu: %s",
                                           store->next_index + i, wrong);
        if (entries[i].buf.len > size_max)
            return dwal_raft__problem_tell(
                store->io, RAFT_TOOBIG,
                "append: entry %llu has %zu bytes, the log takes %u: larger "
                "segments take more (struct dwal_options)",
                store->next_index + i, entries[i].buf.len, size_max);
    }
    return 0;
}

/* Tries the log at once if nothing waits. *@rest is what it did not take. */
static int append_begin(struct dwal_raft__store *store,
                        struct dwal_raft__step *rest) {
    struct dwal_error error;
    if (store->head != NULL) {
        if (store->waiting < DWAL_RAFT__QUEUE_MAX)
            return 0;
        return dwal_raft__problem_tell(store->io, RAFT_TOOMANY,
                                       "append: %u requests wait",
                                       store->waiting);
    }
    int code = append_submit(store, rest, &error);
    /* A full disk: kept, as if it had found others waiting. Refused, it would
     * put libraft out of service until the node is started again. */
    if (code == DWAL_OK || code == DWAL_EAGAIN || code == DWAL_ENOSPC)
        return 0;
    if (code == DWAL_EFAILED)
        fail(store, "append", &error);
    return dwal_raft__problem_log(store, "append", &error);
}

int dwal_raft__append(struct raft_io *io, struct raft_io_append *request,
                      const struct raft_entry entries[], unsigned count,
                      raft_io_append_cb callback) {
    struct dwal_raft__store *store = io->impl;
    struct dwal_raft__step rest = {.kind = DWAL_RAFT__APPEND,
                                   .index = store->next_index,
                                   .request = request,
                                   .entries = entries,
                                   .count = count};
    if (store->closing || !store->loaded || count == 0)
        return dwal_raft__problem_tell(
            io, store->closing ? RAFT_CANCELED : RAFT_INVALID, "append: %s",
            store->closing ? "closing" : "nothing, or no load");
    if (store->failed != 0)
        return dwal_raft__problem_final(store, store->failed);
    int rv = entries_check(store, entries, count);
    if (rv == 0) {
        request->cb = callback;
        rv = append_begin(store, &rest);
    }
    if (rv != 0)
        return rv;
    if (rest.count > 0) {
        if (step_push(store, rest) == NULL) {
            rv = dwal_raft__problem_tell(io, RAFT_NOMEM,
                                         "append: out of memory");
            /* Entries that the log has cannot be taken back. */
            return rest.count == count ? rv
                                       : dwal_raft__problem_final(store, rv);
        }
        run_later(store, 0); /* the log tells of room; of space nobody does */
    }
    store->next_index += count;
    return 0;
}

static void completion_take(struct dwal_raft__store *store,
                            const struct dwal_completion *done) {
    struct raft_io_append *request = done->context;
    struct dwal_error error;
    store->outstanding--;
    if (done->code != DWAL_OK && store->failed == 0) {
        error.code = done->code;
        if (dwal_failure(store->log, &error) == DWAL_OK)
            error.text[0] = '\0';
        fail(store, "append", &error);
    }
    if (request != NULL)
        request->cb(request, done->code == DWAL_OK
                                 ? 0
                                 : dwal_raft__problem_final(store, RAFT_IOERR));
}

static void on_event(uv_poll_t *poll, int status, int events) {
    struct dwal_raft__store *store = poll->data;
    struct dwal_completion done[REAP_MAX];
    struct dwal_error error;
    size_t count = 0;
    (void)status;
    (void)events;
    dwal_reap(store->log, done, REAP_MAX, &count, &error);
    for (size_t i = 0; i < count; i++)
        completion_take(store, &done[i]);
    if (count == 0 && store->failed == 0 &&
        dwal_failure(store->log, &error) != DWAL_OK)
        fail(store, "write", &error);
    dwal_raft__queue_run(store);
    dwal_raft__close_step(store);
}

/* ---- the steps ---- */

/* The disk is full: the head is tried again, for a while. */
static void full_wait(struct dwal_raft__store *store, const char *what,
                      const struct dwal_error *error) {
    uint64_t now = uv_hrtime() / 1000000;
    if (store->full_since_ms == 0)
        store->full_since_ms = now;
    if (now - store->full_since_ms >= store->space_wait_ms)
        fail(store, what, error);
    else
        run_later(store, FULL_PAUSE_MS);
}

static void step_work(uv_work_t *work) {
    struct dwal_raft__store *store = work->data;
    const struct dwal_raft__step *step = store->head;
    store->code = step->kind == DWAL_RAFT__TRUNCATE
                      ? dwal_cut(store->log, step->index - 1, &store->error)
                      : dwal_reset(store->log, step->index, &store->error);
}

static void on_step_worked(uv_work_t *work, int status) {
    struct dwal_raft__store *store = work->data;
    const char *what =
        store->head->kind == DWAL_RAFT__TRUNCATE ? "truncate" : "install";
    assert(status == 0); /* nobody cancels it */
    (void)status;
    store->busy = false;
    if (store->code == DWAL_OK)
        step_end(store, 0);
    else if (store->code == DWAL_ENOSPC)
        full_wait(store, what, &store->error);
    else
        fail(store, what, &store->error);
    /* A full disk is not tried again at once. */
    if (store->code != DWAL_ENOSPC || store->failed != 0)
        dwal_raft__queue_run(store);
    dwal_raft__close_step(store);
}

static void work_begin(struct dwal_raft__store *store) {
    store->busy = true;
    store->work.data = store;
    int rv =
        uv_queue_work(store->loop, &store->work, step_work, on_step_worked);
    assert(rv == 0); /* it fails for want of a function alone */
    (void)rv;
}

void dwal_raft__queue_stored(struct dwal_raft__store *store, int code) {
    if (code == 0) {
        store->head->put->stored = true;
        work_begin(store);
        return;
    }
    store->busy = false;
    /* libraft has forgotten its entries already: they cannot be kept in step
     * with it. */
    dwal_raft__problem_inner(store, "install", code);
    dwal_raft__problem_final(store, code);
    dwal_raft__queue_run(store);
    dwal_raft__close_step(store);
}

/* A truncation or an install: what came before has to be answered first. */
static void exclusive_begin(struct dwal_raft__store *store) {
    struct dwal_raft__step *head = store->head;
    if (head->kind == DWAL_RAFT__TRUNCATE || head->put->stored) {
        work_begin(store);
        return;
    }
    store->busy = true;
    int rv = dwal_raft__snapshot_store(head->put, 0);
    if (rv != 0)
        dwal_raft__queue_stored(store, rv);
}

/* True: it was taken, and the next one may go on. */
static bool append_go_on(struct dwal_raft__store *store) {
    struct dwal_error error;
    int code = append_submit(store, store->head, &error);
    if (code == DWAL_OK) {
        step_pop(store);
        return true;
    }
    if (code == DWAL_ENOSPC)
        full_wait(store, "append", &error);
    else if (code != DWAL_EAGAIN)
        fail(store, "append", &error);
    return false;
}

void dwal_raft__queue_run(struct dwal_raft__store *store) {
    while (store->head != NULL && !store->busy && store->failed == 0 &&
           !store->closing) {
        if (store->head->kind == DWAL_RAFT__APPEND) {
            if (!append_go_on(store))
                break;
        } else if (store->outstanding == 0) {
            exclusive_begin(store);
        } else {
            break;
        }
    }
    /* In their order: behind those that the log has. */
    while (store->failed != 0 && store->head != NULL && !store->busy &&
           store->outstanding == 0)
        step_end(store, dwal_raft__problem_final(store, store->failed));
}

int dwal_raft__truncate(struct raft_io *io, raft_index index) {
    struct dwal_raft__store *store = io->impl;
    if (store->closing)
        return dwal_raft__problem_tell(io, RAFT_CANCELED, "truncate: closing");
    if (store->failed != 0)
        return dwal_raft__problem_final(store, store->failed);
    if (!store->loaded || index == 0 || index >= store->next_index)
        return dwal_raft__problem_tell(io, RAFT_INVALID,
                                       "truncate: no entry %llu", index);
    struct dwal_raft__step step = {.kind = DWAL_RAFT__TRUNCATE, .index = index};
    if (step_push(store, step) == NULL)
        return dwal_raft__problem_tell(io, RAFT_NOMEM,
                                       "truncate: out of memory");
    store->next_index = index;
    run_later(store, 0);
    return 0;
}

int dwal_raft__queue_install(struct dwal_raft__store *store,
                             struct dwal_raft__put *put) {
    struct dwal_raft__step step = {.kind = DWAL_RAFT__INSTALL,
                                   .index = put->snapshot->index + 1,
                                   .put = put};
    if (step_push(store, step) == NULL)
        return dwal_raft__problem_tell(store->io, RAFT_NOMEM,
                                       "install: out of memory");
    store->next_index = step.index;
    run_later(store, 0);
    return 0;
}

/* ---- its beginning and its end ---- */

int dwal_raft__queue_open(struct dwal_raft__store *store,
                          raft_index next_index) {
    struct dwal_error error;
    int fd;
    if (dwal_event_fd(store->log, &fd, &error) != DWAL_OK)
        return dwal_raft__problem_log(store, "load", &error);
    int rv = uv_poll_init(store->loop, &store->poll, fd);
    if (rv != 0)
        return dwal_raft__problem_tell(
            store->io, RAFT_IOERR, "load: watch the log: %s", uv_strerror(rv));
    rv = uv_timer_init(store->loop, &store->timer);
    assert(rv == 0); /* it does not fail */
    store->poll.data = store->timer.data = store;
    store->handles_open = 2;
    store->next_index = next_index;
    store->loaded = true;
    rv = uv_poll_start(&store->poll, UV_READABLE, on_event);
    if (rv != 0)
        return dwal_raft__problem_tell(
            store->io, RAFT_IOERR, "load: watch the log: %s", uv_strerror(rv));
    return 0;
}

bool dwal_raft__queue_cancel(struct dwal_raft__store *store) {
    if (store->busy || store->outstanding > 0)
        return false;
    while (store->head != NULL) {
        dwal_raft__problem_tell(store->io, RAFT_CANCELED, "closing");
        step_end(store, RAFT_CANCELED);
    }
    return true;
}
