/* SPDX-License-Identifier: MIT */
/*
 * Where the durable part of a log ends, and how a reader knows (SPEC 7 and 12).
 *
 *   inside     the log is open in this process: it says so
 *   live       another process has it: the largest watermark that was read
 *   recovered  nobody has it: recovery, which synced what it read
 *
 * The last two turn into each other as writers come and go.
 */
#ifndef DWAL_RECOVER_BOUND_H
#define DWAL_RECOVER_BOUND_H

#include "reader.h"
#include "window.h"

enum dwal__bound_mode {
    DWAL__BOUND_INSIDE,
    DWAL__BOUND_LIVE,
    DWAL__BOUND_RECOVERED
};

struct dwal__bound {
    struct dwal__disk *disk;
    int dir;  /* the caller's */
    int lock; /* LOCK, open for looking at; -1: there is none */
    struct dwal__uuid uuid;
    void (*durable)(void *argument, struct dwal__watermark *watermark,
                    uint64_t *first_lsn);
    void *durable_argument;
    struct dwal__recover_hooks hooks;

    enum dwal__bound_mode mode;
    struct dwal__watermark mark; /* all up to here is durable and kept */
    uint64_t first_lsn;          /* the trim point + 1, as far as known */
    struct dwal__window window;  /* for looking around */

    /* recovered: what was found, and what a reader is told at the end. */
    struct dwal__recovery recovery;
    int end_code;
    struct dwal_error end_error;

    /* The directory's largest segment number when it was last looked at. */
    uint64_t number_max;
    /* live: the highest segment that had a batch when the log was surveyed. What
     * is new stands there or higher; what is lower was sealed before, and may
     * have been cut off. */
    uint64_t floor;
    /* live: how often the end was reached with nothing new, and how far behind
     * it proof was looked for meanwhile. */
    uint64_t idle_looks;
    struct dwal__position swept;
};

/* Finds out how the log stands. dwal__bound_release in every case. The codes
 * of dwal__reader_open. */
int dwal__bound_open(struct dwal__bound *bound,
                     const struct dwal__reader_options *options,
                     struct dwal_error *error);
void dwal__bound_release(struct dwal__bound *bound);

/* From now on @durable is who knows the end; NULL: find out. The codes of
 * dwal__bound_survey; on failure nothing has changed. */
int dwal__bound_switch(struct dwal__bound *bound,
                       void (*durable)(void *, struct dwal__watermark *,
                                       uint64_t *),
                       void *argument, struct dwal_error *error);

/* Finds out afresh: after a segment was not where it should be. */
int dwal__bound_survey(struct dwal__bound *bound, struct dwal_error *error);

/*
 * Called by a reader that stands at the end: DWAL_OK if bound->mark or
 * bound->mode is another one now, DWAL_END if there is nothing new. Otherwise
 * what is wrong behind the end.
 */
int dwal__bound_advance(struct dwal__bound *bound, struct dwal_error *error);

/*
 * For a reader that goes back: a cut that was acknowledged before the call is
 * known afterwards, and what was known to be durable then still is. DWAL_OK, or
 * why that cannot be said.
 */
int dwal__bound_verify(struct dwal__bound *bound, struct dwal_error *error);

/* live: sets *@lsn to the largest trim point in any valid batch, also where no
 * watermark proves it yet: up to there segments may be gone. */
int dwal__bound_trim_seen(struct dwal__bound *bound, uint64_t *lsn,
                          struct dwal_error *error);

#endif
