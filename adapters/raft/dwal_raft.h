/* SPDX-License-Identifier: MIT */
/*
 * libdwal-raft: the storage of libraft 0.15 on a dwal log.
 *
 * A raft_io that keeps entries, term and vote in a log of dwal, and leaves
 * connections, ticks and the files of snapshots to libraft's own libuv backend.
 * It takes the place of raft_uv_init:
 *
 *     struct raft_uv_transport transport;
 *     raft_uv_tcp_init(&transport, &loop);
 *     struct raft_io io;
 *     if (dwal_raft_init(&io, &loop, "/var/lib/x", &transport) != 0)
 *         die(io.errmsg);
 *     if (raft_init(&raft, &io, &fsm, id, address) != 0)
 *         die(raft_errmsg(&raft));
 *     …                                           raft_close, and in its callback:
 *     dwal_raft_close(&io);
 *
 * The directory has a log in "log", the snapshots in "snapshots", and a file
 * "metadata1" that makes libraft's own backend refuse it, as this one refuses a
 * directory that libraft's own backend has written to. adapters/raft/README.md
 * has the format.
 *
 * Durability. A callback of append says 0 when all its entries are durable;
 * set_term and set_vote return 0 when what they set is. What truncate drops is
 * gone before anything that is appended behind it is written.
 *
 * Threads. Everything happens on the thread of the loop, callbacks included; none
 * is called from inside the function that takes the request. Cuts, trims and
 * closing run in libuv's pool, the log has threads of its own. By default the
 * loop submits and reaps the log's writes (DWAL_SUBMIT_CALLER): a submission that
 * the kernel does not return from (a frozen filesystem) holds it up until it
 * ends; options.log chooses otherwise. set_term and
 * set_vote block for one commit, as they do in libraft.
 *
 * Errors. What a function returns is told in io->errmsg: the place, the cause,
 * the remedy.
 *   RAFT_CORRUPT   the log is damaged, or contradicts the snapshot: nothing is
 *                  dropped. Run walfsck
 *   RAFT_NOSPACE   the disk is full. append keeps its request until there is
 *                  space, for options.space_wait_ms; then as RAFT_IOERR.
 *                  set_term and set_vote return it at once, with nothing changed
 *   RAFT_TOOBIG    an entry is larger than dwal_record_size_max
 *   RAFT_IOERR     a write failed. Final: every request that is under way and
 *                  every later one ends so, until the node is started again
 *   RAFT_CANCELED  the io is being closed
 *   RAFT_INVALID, RAFT_NOMEM, RAFT_NOTFOUND, RAFT_NAMETOOLONG, RAFT_TOOMANY,
 *   RAFT_MALFORMED (written by something newer), RAFT_BUSY (another process has
 *   the log), RAFT_CANTBOOTSTRAP
 */
#ifndef DWAL_RAFT_H
#define DWAL_RAFT_H

#include <raft.h>
#include <raft/uv.h>

#include "dwal.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Fill with dwal_raft_options_init, then change what should differ. */
struct dwal_raft_options {
    size_t size; /* of this struct; set by dwal_raft_options_init */

    /* How the log is made and written; NULL: the defaults, but that opening
     * checks only what it needs, since load reads everything anyway. Copied;
     * whether the log is created is the adapter's to say. */
    const struct dwal_options *log;

    /* How long requests are kept while the disk is full, in milliseconds, before
     * the io fails with RAFT_NOSPACE; 600,000. At most 65,536 wait. */
    unsigned space_wait_ms;

    /* The backend for connections, ticks and snapshots; NULL: raft_uv_init and
     * raft_uv_close. Whoever replaces these two by functions that call this
     * library names the true ones here. Both or none. */
    int (*inner_init)(struct raft_io *io, struct uv_loop_s *loop,
                      const char *dir, struct raft_uv_transport *transport);
    void (*inner_close)(struct raft_io *io);
};

/* The defaults. */
void dwal_raft_options_init(struct dwal_raft_options *options);

/*
 * Fill @io, but for io->data, which stays. @dir exists and is the node's own; it
 * is copied. Nothing is opened before io->init, which raft_init calls. @loop and
 * @transport outlive the io.
 *
 * Returns 0, or, with a text in io->errmsg:
 *   RAFT_NAMETOOLONG  @dir
 *   RAFT_NOMEM
 *   and what the inner backend returns
 */
int dwal_raft_init(struct raft_io *io, struct uv_loop_s *loop, const char *dir,
                   struct raft_uv_transport *transport);

/* The same with @options (NULL: the defaults), which are copied. RAFT_INVALID: an
 * option cannot be; those of the log are looked at by io->init. */
int dwal_raft_init_with(struct raft_io *io, struct uv_loop_s *loop,
                        const char *dir, struct raft_uv_transport *transport,
                        const struct dwal_raft_options *options);

/*
 * Release what dwal_raft_init took, after the callback of io->close, or without
 * one if io->load was never called. Does nothing if dwal_raft_init failed. Closes
 * the log if io->close has not done it, and then may wait for the disk.
 */
void dwal_raft_close(struct raft_io *io);

/* The inner backend, for raft_uv_set_connect_retry_delay,
 * raft_uv_set_snapshot_compression and raft_uv_set_tracer, which must not be
 * given @io. Its sizes of segments and blocks have no effect. */
struct raft_io *dwal_raft_inner(struct raft_io *io);

/* The log, for dwal_stats_get and the like; NULL before io->init, between
 * io->recover and io->load, and after io->close. Whoever appends to it or cuts it
 * destroys the node. */
struct dwal *dwal_raft_log(struct raft_io *io);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
