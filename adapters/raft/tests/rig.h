/* SPDX-License-Identifier: MIT */
/*
 * A raft_io under test: a loop, a transport, and what has to be done to come from
 * one start of a node to the next. Entries carry numbers, so that what is loaded
 * can be compared with what was asked for.
 */
#ifndef DWAL_RAFT_TESTS_RIG_H
#define DWAL_RAFT_TESTS_RIG_H

#include "../dwal_raft.h"

struct rig {
    const char *dir;
    struct uv_loop_s loop;
    struct raft_uv_transport transport;
    struct raft_io io;
    bool closed;
    unsigned callbacks; /* so far, of all requests */
    /* What load gave. */
    raft_term term;
    raft_id voted_for;
    struct raft_snapshot *snapshot;
    raft_index start_index;
    struct raft_entry *entries;
    size_t count;
};

/* One append that is under way or done. */
struct rig_append {
    struct raft_io_append request;
    struct rig *rig;
    struct raft_entry *entries;
    unsigned count;
    bool done;
    int status;
    unsigned order; /* of its callback among all */
};

struct rig_put {
    struct raft_io_snapshot_put request;
    struct rig *rig;
    struct raft_snapshot snapshot;
    struct raft_buffer buffer;
    bool done;
    int status;
    unsigned order;
};

/* For the next rig_init: space_wait_ms; a minute unless it is set. */
extern unsigned rig_space_wait_ms;

/* Small segments and queues, and no writes of the log's own. */
void rig_options(struct dwal_options *options);

/* dwal_raft_init and io->init, which must succeed. @log NULL: rig_options. */
void rig_init(struct rig *rig, const char *dir, const struct dwal_options *log);
/* The same, but the codes of the two are returned, the first that is not 0. */
int rig_try_init(struct rig *rig, const char *dir,
                 const struct dwal_options *log);
/* io->load. What it gives is freed by rig_close. */
int rig_try_load(struct rig *rig);
void rig_load(struct rig *rig);
/* rig_init, rig_load; @term, if not 0, is set where there is none. */
void rig_start(struct rig *rig, const char *dir, raft_term term);
/* io->close, and all that follows. */
void rig_close(struct rig *rig);
/* io->close alone. */
void rig_close_begin(struct rig *rig);
/* Without io->close. */
void rig_drop(struct rig *rig);

/* One round of the loop. */
void rig_turn(struct rig *rig);
/* Rounds until @done. */
void rig_until(struct rig *rig, const bool *done);

/* Entries of @size bytes that carry first, first + 1 …, of @term. The return of
 * io->append is *@rv, or must be 0 if that is NULL. */
struct rig_append *rig_append(struct rig *rig, raft_term term, unsigned count,
                              size_t size, uint64_t first, int *rv);
/* Until its callback came, with 0. Frees it. */
void rig_append_wait(struct rig_append *append);
void rig_append_free(struct rig_append *append);

/* io->snapshot_put of one of @term that carries @index; must be accepted. */
struct rig_put *rig_put(struct rig *rig, raft_term term, raft_index index,
                        unsigned trailing);
void rig_put_free(struct rig_put *put);
/* Until its callback came, with 0. Frees it. */
void rig_put_wait(struct rig_put *put);

/* What was loaded begins at @start and carries @numbers. */
void rig_expect(const struct rig *rig, raft_index start, size_t count,
                const uint64_t *numbers);
/* rig_close, rig_start, rig_expect. */
void rig_restart_expect(struct rig *rig, raft_index start, size_t count,
                        const uint64_t *numbers);
uint64_t rig_number(const struct raft_entry *entry);

/* Flips one bit in the middle of the @size bytes that the entry with @number
 * consists of, in the one file of @dir whose name ends with @suffix and that has
 * them. */
void rig_flip(const char *dir, const char *suffix, uint64_t number,
              size_t size);

/* A configuration of servers 1 … @servers; closed by its caller. */
void rig_configuration(struct raft_configuration *configuration,
                       unsigned servers);

#endif
