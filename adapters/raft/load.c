/* SPDX-License-Identifier: MIT */
/*
 * What a node starts from: the snapshot, which the inner backend reads, and the
 * log, brought in step with each other; before that, bootstrap and recover.
 *
 *   the log                                  means
 *   begins at 1, no snapshot                 nothing was trimmed
 *   holds the snapshot's last entry, with
 *   its term, or begins right behind it      a snapshot of the node's own
 *   ends before the snapshot's last entry,
 *   or has it with a lower term              an install that a crash broke off
 *                                            before the reset, done now
 *   begins behind it with a gap, or has it
 *   with a higher term                       entries are gone: RAFT_CORRUPT
 *
 * Invariant: what load returns is dense, from start_index on, and each entry of a
 * term that the node has seen.
 */
#include "store.h"

#include <string.h>

/* Entries that share a piece of memory, which libraft frees with the last. */
#define BATCH_SIZE ((size_t)256 << 10)

static int corrupt(struct dwal_raft__store *store, const char *what) {
    return dwal_raft__problem_tell(
        store->io, RAFT_CORRUPT,
        "log %s, entries %llu to %llu: run walfsck on it; %s", store->log_path,
        (unsigned long long)dwal_first_lsn(store->log),
        (unsigned long long)dwal_durable_lsn(store->log), what);
}

static bool log_is_empty(struct dwal_raft__store *store) {
    return dwal_durable_lsn(store->log) < dwal_first_lsn(store->log);
}

/* ---- single entries ---- */

static int cursor_open(struct dwal_raft__store *store, raft_index index,
                       struct dwal_cursor **cursor) {
    struct dwal_cursor_options options;
    struct dwal_error error;
    dwal_cursor_options_init(&options);
    options.start_lsn = index;
    if (dwal_cursor_open(store->log_path, &options, cursor, &error) != DWAL_OK)
        return dwal_raft__problem_log(store, "load", &error);
    return 0;
}

/* Type and term of the entry that @record is, which has to be the one with
 * @index. */
static int entry_check(struct dwal_raft__store *store,
                       const struct dwal_record *record, raft_index index,
                       struct raft_entry *entry) {
    if (record->lsn != index)
        return corrupt(store, "an entry is missing");
    const char *wrong = dwal_raft__entry_decode(record, &store->vote, entry);
    if (wrong != NULL)
        return dwal_raft__problem_tell(
            store->io, RAFT_CORRUPT,
            "log %s: entry %llu: %s; is it another node's?", store->log_path,
            index, wrong);
    return 0;
}

static int entry_peek(struct dwal_raft__store *store, raft_index index,
                      struct raft_entry *entry) {
    struct dwal_cursor *cursor;
    struct dwal_record record;
    struct dwal_error error;
    int rv = cursor_open(store, index, &cursor);
    if (rv != 0)
        return rv;
    rv = dwal_cursor_next(cursor, &record, &error) == DWAL_OK
             ? entry_check(store, &record, index, entry)
             : dwal_raft__problem_log(store, "load", &error);
    dwal_cursor_close(cursor);
    return rv;
}

/* ---- snapshot and log in step ---- */

static int snapshot_load(struct dwal_raft__store *store,
                         struct raft_snapshot **snapshot) {
    raft_term term = 0;
    raft_id voted_for = 0;
    raft_index start_index = 0;
    struct raft_entry *entries = NULL;
    size_t count = 0;
    *snapshot = NULL;
    store->inner.errmsg[0] = '\0';
    int rv = store->inner.load(&store->inner, &term, &voted_for, snapshot,
                               &start_index, &entries, &count);
    if (rv != 0)
        return dwal_raft__problem_inner(store, "load snapshot", rv);
    if (term == 0 && count == 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || entries[i].batch != entries[i - 1].batch)
            raft_free(entries[i].batch);
    raft_free(entries);
    dwal_raft__snapshot_free(*snapshot);
    *snapshot = NULL;
    return dwal_raft__problem_tell(
        store->io, RAFT_CORRUPT,
        "directory %s/snapshots has entries of libraft's own backend, which "
        "are not read here",
        store->dir);
}

static int log_reset(struct dwal_raft__store *store, raft_index next_index) {
    struct dwal_error error;
    if (dwal_reset(store->log, next_index, &error) != DWAL_OK)
        return dwal_raft__problem_log(store, "install snapshot", &error);
    return 0;
}

/* See the table at the top. */
static int log_align(struct dwal_raft__store *store,
                     const struct raft_snapshot *snapshot) {
    uint64_t first = dwal_first_lsn(store->log);
    struct raft_entry entry;
    if (snapshot == NULL)
        return first == 1 ? 0
                          : corrupt(store, "the snapshot before it is missing");
    if (snapshot->index + 1 < first)
        return corrupt(store, "it begins behind the newest snapshot");
    if (snapshot->index > dwal_durable_lsn(store->log))
        return log_reset(store, snapshot->index + 1);
    if (snapshot->index + 1 == first)
        return 0;
    int rv = entry_peek(store, snapshot->index, &entry);
    if (rv != 0)
        return rv;
    if (entry.term > snapshot->term)
        return corrupt(store, "it is newer than the snapshot that replaced it");
    return entry.term == snapshot->term ? 0
                                        : log_reset(store, snapshot->index + 1);
}

/* ---- bootstrap ---- */

/* Whether all that is there is what a bootstrap left that did not end: its entry,
 * but no term yet. */
static int bootstrap_is_broken_off(struct dwal_raft__store *store,
                                   bool *broken_off) {
    const struct dwal_raft__vote first_term = {.term = 1};
    *broken_off = false;
    if (store->vote.term != 0 || log_is_empty(store))
        return 0;
    if (dwal_first_lsn(store->log) != 1 || dwal_durable_lsn(store->log) != 1)
        return corrupt(store, "the current term is missing");
    struct raft_entry entry;
    store->vote = first_term;
    int rv = entry_peek(store, 1, &entry);
    store->vote.term = 0;
    if (rv == 0 && entry.type != RAFT_CHANGE)
        rv = corrupt(store, "the current term is missing");
    *broken_off = rv == 0;
    return rv;
}

/* Takes back what a bootstrap left that did not end. */
static int bootstrap_undo(struct dwal_raft__store *store) {
    bool broken_off;
    struct dwal_error error;
    int rv = bootstrap_is_broken_off(store, &broken_off);
    if (rv == 0 && broken_off && dwal_cut(store->log, 0, &error) != DWAL_OK)
        rv = dwal_raft__problem_log(store, "bootstrap", &error);
    return rv;
}

static int configuration_append(struct dwal_raft__store *store, raft_term term,
                                const struct raft_configuration *configuration,
                                const char *what) {
    struct raft_entry entry = {.term = term, .type = RAFT_CHANGE};
    struct dwal_record record;
    struct dwal_error error;
    int rv = raft_configuration_encode(configuration, &entry.buf);
    if (rv != 0)
        return dwal_raft__problem_tell(store->io, rv, "%s: %s", what,
                                       raft_strerror(rv));
    dwal_raft__entry_encode(&entry, &record);
    if (dwal_commit(store->log, &record, NULL, &error) != DWAL_OK)
        rv = dwal_raft__problem_log(store, what, &error);
    raft_free(entry.buf.base);
    return rv;
}

static int bootstrap(struct raft_io *io,
                     const struct raft_configuration *configuration) {
    struct dwal_raft__store *store = io->impl;
    const struct dwal_raft__vote first_term = {.term = 1};
    if (store->vote.term != 0)
        return dwal_raft__problem_tell(io, RAFT_CANTBOOTSTRAP,
                                       "bootstrap: log %s has term %llu",
                                       store->log_path, store->vote.term);
    int rv = bootstrap_undo(store);
    if (rv != 0)
        return rv;
    /* The term last: with it the bootstrap has been done. */
    rv = configuration_append(store, 1, configuration, "bootstrap");
    return rv != 0 ? rv : dwal_raft__vote_set(store, first_term, "bootstrap");
}

int dwal_raft__bootstrap(struct raft_io *io,
                         const struct raft_configuration *configuration) {
    int rv = dwal_raft__log_take(io->impl);
    if (rv == 0)
        rv = bootstrap(io, configuration);
    if (rv != 0 && rv != RAFT_CANTBOOTSTRAP)
        dwal_raft__log_release(io->impl);
    return rv;
}

/* ---- recover ---- */

/* The term of the last entry or, without one, of the snapshot. */
static int last_term(struct dwal_raft__store *store,
                     const struct raft_snapshot *snapshot, raft_term *term) {
    struct raft_entry entry;
    *term = snapshot != NULL ? snapshot->term : 1;
    if (log_is_empty(store))
        return 0;
    int rv = entry_peek(store, dwal_durable_lsn(store->log), &entry);
    if (rv == 0)
        *term = entry.term;
    return rv;
}

static int recover(struct raft_io *io,
                   const struct raft_configuration *configuration) {
    struct dwal_raft__store *store = io->impl;
    struct raft_snapshot *snapshot;
    raft_term term = 0;
    int rv = snapshot_load(store, &snapshot);
    if (rv == 0)
        rv = bootstrap_undo(store);
    if (rv == 0)
        rv = log_align(store, snapshot);
    if (rv == 0)
        rv = last_term(store, snapshot, &term);
    dwal_raft__snapshot_free(snapshot);
    if (rv == 0 && store->vote.term == 0) {
        const struct dwal_raft__vote first_term = {.term = 1};
        rv = dwal_raft__vote_set(store, first_term, "recover");
    }
    return rv != 0
               ? rv
               : configuration_append(store, term, configuration, "recover");
}

int dwal_raft__recover(struct raft_io *io,
                       const struct raft_configuration *configuration) {
    int rv = dwal_raft__log_take(io->impl);
    if (rv == 0)
        rv = recover(io, configuration);
    dwal_raft__log_release(io->impl);
    return rv;
}

/* ---- load ---- */

struct entries {
    struct raft_entry *list;
    size_t count; /* read so far */
};

static void entries_free(struct entries *entries) {
    for (size_t i = 0; i < entries->count; i++)
        if (i == 0 || entries->list[i].batch != entries->list[i - 1].batch)
            raft_free(entries->list[i].batch);
    raft_free(entries->list);
}

/* The next records up to @last into a new piece of memory, which is as large as
 * one of them needs. */
static int batch_read(struct dwal_raft__store *store,
                      struct dwal_cursor *cursor, raft_index last,
                      uint8_t **batch, size_t *count) {
    struct dwal_error error;
    size_t size = BATCH_SIZE, needed = 0;
    int code;
    do {
        *batch = raft_malloc(size);
        if (*batch == NULL)
            return dwal_raft__problem_tell(store->io, RAFT_NOMEM,
                                           "load: out of memory");
        code = dwal_cursor_load(cursor, last, *batch, size, store->records,
                                DWAL_RAFT__PART_MAX, count, &needed, &error);
        if (code == DWAL_OK)
            return 0;
        raft_free(*batch);
        bool larger = code == DWAL_EINVAL && needed > size;
        size = needed;
        if (!larger)
            break;
    } while (true);
    return dwal_raft__problem_log(store, "load", &error);
}

/* Checks the entries that @count records are, and says how much of @batch their
 * payloads take. */
static int batch_check(struct dwal_raft__store *store, raft_index first,
                       const uint8_t *batch, size_t count,
                       struct raft_entry *list, size_t *used) {
    const struct dwal_record *records = store->records;
    *used = 1;
    for (size_t i = 0; i < count; i++) {
        int rv = entry_check(store, &records[i], first + i, &list[i]);
        if (rv != 0)
            return rv;
        if (records[i].size > 0)
            *used = (size_t)((const uint8_t *)records[i].data - batch) +
                    records[i].size;
    }
    return 0;
}

/* Entries out of the records in @batch, which becomes theirs. */
static void batch_take(struct dwal_raft__store *store, uint8_t *batch,
                       size_t used, size_t count, struct entries *entries) {
    /* Small entries leave most of it empty. */
    uint8_t *own = used <= BATCH_SIZE / 2 ? raft_malloc(used) : NULL;
    if (own != NULL)
        memcpy(own, batch, used);
    else
        own = batch;
    for (size_t i = 0; i < count; i++) {
        const struct dwal_record *record = &store->records[i];
        struct raft_entry *entry = &entries->list[entries->count++];
        ptrdiff_t offset =
            record->size == 0 ? 0 : (const uint8_t *)record->data - batch;
        entry->batch = own;
        entry->buf.base = own + offset;
        entry->buf.len = record->size;
    }
    if (own != batch)
        raft_free(batch);
}

static int batch_load(struct dwal_raft__store *store,
                      struct dwal_cursor *cursor, raft_index first,
                      raft_index last, struct entries *entries) {
    uint8_t *batch;
    size_t count = 0;
    int rv = batch_read(store, cursor, last, &batch, &count);
    if (rv != 0)
        return rv;
    size_t used = 1;
    rv = count == 0 ? corrupt(store, "an entry is missing")
                    : batch_check(store, first, batch, count,
                                  entries->list + entries->count, &used);
    if (rv != 0)
        raft_free(batch);
    else
        batch_take(store, batch, used, count, entries);
    return rv;
}

static int entries_load(struct dwal_raft__store *store,
                        struct entries *entries) {
    raft_index first = dwal_first_lsn(store->log);
    uint64_t total = dwal_durable_lsn(store->log) + 1 - first;
    struct dwal_cursor *cursor;
    *entries = (struct entries){0};
    if (total == 0)
        return 0;
    if (total <= SIZE_MAX / sizeof *entries->list)
        entries->list = raft_malloc((size_t)total * sizeof *entries->list);
    if (entries->list == NULL)
        return dwal_raft__problem_tell(store->io, RAFT_NOMEM,
                                       "load: out of memory");
    int rv = cursor_open(store, first, &cursor);
    if (rv == 0) {
        while (rv == 0 && entries->count < total)
            rv = batch_load(store, cursor, first + entries->count,
                            first + total - 1, entries);
        dwal_cursor_close(cursor);
    }
    if (rv != 0)
        entries_free(entries);
    return rv;
}

static int load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                struct raft_snapshot **snapshot, raft_index *start_index,
                struct raft_entry *entries[], size_t *n_entries) {
    struct dwal_raft__store *store = io->impl;
    struct raft_snapshot *newest;
    struct entries read;
    int rv = snapshot_load(store, &newest);
    if (rv != 0)
        return rv;
    rv = bootstrap_undo(store);
    if (rv == 0)
        rv = log_align(store, newest);
    if (rv == 0)
        rv = entries_load(store, &read);
    if (rv != 0)
        goto free_snapshot;
    rv = dwal_raft__queue_open(store, dwal_durable_lsn(store->log) + 1);
    if (rv != 0)
        goto free_entries;
    *term = store->vote.term;
    *voted_for = store->vote.voted_for;
    *snapshot = newest;
    *start_index = dwal_first_lsn(store->log);
    *entries = read.list;
    *n_entries = read.count;
    return 0;

free_entries:
    entries_free(&read);
free_snapshot:
    dwal_raft__snapshot_free(newest);
    return rv;
}

int dwal_raft__load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                    struct raft_snapshot **snapshot, raft_index *start_index,
                    struct raft_entry *entries[], size_t *n_entries) {
    int rv = dwal_raft__log_take(io->impl);
    if (rv == 0)
        rv = load(io, term, voted_for, snapshot, start_index, entries,
                  n_entries);
    if (rv != 0 && !((struct dwal_raft__store *)io->impl)->loaded)
        dwal_raft__log_release(io->impl);
    return rv;
}
