/* SPDX-License-Identifier: MIT */
/*
 * What a raft_io of ours consists of, and what its files share.
 *
 *   io.c         the functions of struct raft_io; term and vote; closing
 *   queue.c      appends, truncations and installed snapshots, in their order
 *   snapshot.c   snapshots: stored by the inner backend, then trim or reset
 *   load.c       what a node starts from: load, bootstrap, recover
 *   directory.c  the node's directory
 *   layout.c     bytes
 *   problem.c    codes and texts
 *
 * Everything here belongs to the loop's thread, except that a work callback of
 * libuv's pool may use store->log and what it was given.
 */
#ifndef DWAL_RAFT_STORE_H
#define DWAL_RAFT_STORE_H

#include "layout.h"

/* Of one dwal_append_async; longer requests are split. */
#define DWAL_RAFT__PART_MAX 1024u
/* Requests that wait for their turn, not those that the log has taken. */
#define DWAL_RAFT__QUEUE_MAX 65536u

enum dwal_raft__step_kind {
    DWAL_RAFT__APPEND,
    DWAL_RAFT__TRUNCATE,
    DWAL_RAFT__INSTALL, /* a snapshot that replaces all entries */
};

struct dwal_raft__put;

/* A request that waits, or the one that keeps those behind it waiting. */
struct dwal_raft__step {
    struct dwal_raft__step *next;
    enum dwal_raft__step_kind kind;
    /* APPEND: of the first entry that was not given to the log yet. TRUNCATE:
     * the first that is dropped. INSTALL: the first behind the snapshot. */
    raft_index index;
    struct raft_io_append *request; /* APPEND */
    const struct raft_entry *entries;
    unsigned count;             /* that were not given to the log yet */
    struct dwal_raft__put *put; /* INSTALL */
};

/* One snapshot that is being put. */
struct dwal_raft__put {
    struct dwal_raft__store *store;
    struct raft_io_snapshot_put *request;
    const struct raft_snapshot *snapshot;
    struct raft_io_snapshot_put inner_request;
    uint64_t trim_lsn; /* the first that is kept; 0: an install */
    bool stored;       /* an install has to reset the log yet */
    uv_work_t work;    /* the trim */
    int code;          /* of dwal_trim */
    struct dwal_error error;
};

struct dwal_raft__store {
    struct raft_io *io;
    struct uv_loop_s *loop;
    struct raft_io inner;
    void (*inner_close)(struct raft_io *io);
    char *dir;      /* the node's */
    char *log_path; /* "log" in it */
    struct dwal_options options;
    unsigned space_wait_ms;
    raft_io_tick_cb tick;
    raft_io_recv_cb receive;

    struct dwal *log; /* from init to close, but see dwal_raft__log_take */
    struct dwal_raft__vote vote;

    /* queue.c; from load on. Invariant: what is appended gets next_index, and the
     * LSN of each entry is its index. */
    bool loaded;
    uv_poll_t poll; /* the log's event fd */
    uv_timer_t
        timer; /* runs the queue again: at once, or later on a full disk */
    raft_index next_index;
    struct dwal_raft__step *head, **tail;
    unsigned waiting;     /* steps from head on */
    unsigned outstanding; /* appends that the log has taken, not yet reaped */
    bool busy;            /* head is being worked on */
    uv_work_t work;       /* for head */
    int code;             /* that it ended with */
    struct dwal_error error;
    uint64_t
        full_since_ms; /* head waits for space since then; 0: it does not */
    int failed;        /* RAFT_…: nothing is accepted any more */
    char failed_text[RAFT_ERRMSG_BUF_SIZE];
    struct dwal_record records[DWAL_RAFT__PART_MAX];

    /* Closing. */
    bool closing;
    bool inner_closed;
    bool handles_closing;
    unsigned works;        /* trims and the closing of the log, in the pool */
    unsigned handles_open; /* poll and timer */
    uv_work_t close_work;
    raft_io_close_cb close_callback;
};

/* ---- problem.c ---- */

/* Sets @io's text to "@what: …" for a failure of the log and returns the code of
 * libraft for it. */
int dwal_raft__problem_log(struct dwal_raft__store *store, const char *what,
                           const struct dwal_error *error);
/* Sets @io's text and returns @code. */
int dwal_raft__problem_tell(struct raft_io *io, int code, const char *format,
                            ...) __attribute__((format(printf, 3, 4)));
/* The inner backend returned @code: passes its text on. */
int dwal_raft__problem_inner(struct dwal_raft__store *store, const char *what,
                             int code);
/* The io fails for good with @code and @io's present text, unless it has failed
 * before. Returns the code that it fails with, whose text is then @io's. */
int dwal_raft__problem_final(struct dwal_raft__store *store, int code);

/* ---- directory.c ---- */

/* Makes @dir ready for the inner backend. *@is_new: it was not sealed yet, so
 * there need not be a log. */
int dwal_raft__directory_prepare(struct dwal_raft__store *store, bool *is_new);
/* The log is there: from now on it must be. */
int dwal_raft__directory_seal(struct dwal_raft__store *store);

/* ---- load.c ---- */

int dwal_raft__load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                    struct raft_snapshot **snapshot, raft_index *start_index,
                    struct raft_entry *entries[], size_t *n_entries);
int dwal_raft__bootstrap(struct raft_io *io,
                         const struct raft_configuration *configuration);
int dwal_raft__recover(struct raft_io *io,
                       const struct raft_configuration *configuration);

/* Makes @vote durable, and then store->vote. */
int dwal_raft__vote_set(struct dwal_raft__store *store,
                        struct dwal_raft__vote vote, const char *what);

/* ---- queue.c ---- */

/* Begins to listen to the log, which goes on with @next_index. */
int dwal_raft__queue_open(struct dwal_raft__store *store,
                          raft_index next_index);
int dwal_raft__append(struct raft_io *io, struct raft_io_append *request,
                      const struct raft_entry entries[], unsigned count,
                      raft_io_append_cb callback);
int dwal_raft__truncate(struct raft_io *io, raft_index index);
/* Queues an install, behind which appends go on with @put's snapshot. */
int dwal_raft__queue_install(struct dwal_raft__store *store,
                             struct dwal_raft__put *put);
/* The install at the head stored its snapshot, with @code of libraft. */
void dwal_raft__queue_stored(struct dwal_raft__store *store, int code);
/* The next steps, as far as they can go. Calls callbacks: from the loop only. */
void dwal_raft__queue_run(struct dwal_raft__store *store);
/* Cancels what waits. False: something is under way that has to end before. */
bool dwal_raft__queue_cancel(struct dwal_raft__store *store);

/* ---- snapshot.c ---- */

int dwal_raft__snapshot_put(struct raft_io *io, unsigned trailing,
                            struct raft_io_snapshot_put *request,
                            const struct raft_snapshot *snapshot,
                            raft_io_snapshot_put_cb callback);
/* Begins to store the snapshot of an install. 0, or a code of libraft. */
int dwal_raft__snapshot_store(struct dwal_raft__put *put, unsigned trailing);
/* Ends @put: frees it and calls back. */
void dwal_raft__snapshot_end(struct dwal_raft__put *put, int status);
/* Frees one that load returned. */
void dwal_raft__snapshot_free(struct raft_snapshot *snapshot);

/* ---- io.c ---- */

/* The log is open from init on, let go of by a recover, and by a bootstrap or a
 * load that failed, and taken again by what comes next: a program that gives up a
 * node after one of these without closing it, as dqlite does after a recover,
 * must not keep the next one out. From a load that succeeded until close it is
 * held. take returns 0 or a code, with a text. */
int dwal_raft__log_take(struct dwal_raft__store *store);
void dwal_raft__log_release(struct dwal_raft__store *store);

/* Goes on closing, if that was asked for: after every event of ours. May free
 * what @store is in, so nothing may be done with it afterwards. */
void dwal_raft__close_step(struct dwal_raft__store *store);

#endif
