/* SPDX-License-Identifier: MIT */
/*
 * Planning a repair, from the inside: what repair.c, repair_mend.c,
 * repair_tail.c, repair_lsn.c and repair_cut.c share.
 */
#ifndef DWAL_RECOVER_PLANNER_H
#define DWAL_RECOVER_PLANNER_H

#include "overlay.h"
#include "repair.h"

#define DWAL__PLAN_CHUNK_SIZE ((size_t)1 << 20)

/* What planning carries along. */
struct dwal__planner {
    const struct dwal__repair_options *options;
    const struct dwal__recovery *recovery;
    struct dwal__repair_plan *plan;
    struct dwal_error *error;
    size_t step_capacity;
    uint8_t *chunk; /* DWAL__PLAN_CHUNK_SIZE bytes */

    /* From the directory. */
    char **names; /* sorted; all but LOCK and the spares */
    size_t name_count;
    size_t name_capacity;
    uint64_t number_max; /* of any segment, spare or moved segment */
    uint64_t number_top; /* the same without spares */
    bool lock_exists;
    bool lock_valid;
};

/* ---- repair.c ---- */

/* A new last step, zeroed; NULL when there is no memory. */
struct dwal__repair_step *dwal__plan_add(struct dwal__planner *planner,
                                         enum dwal__repair_action action,
                                         const char *name);

/* True if the directory has a file of this name. */
bool dwal__plan_name_taken(const struct dwal__planner *planner,
                           const char *name);

/* The segment that holds the live end, NULL if none does. */
const struct dwal__found_segment *
dwal__plan_end(const struct dwal__recovery *recovery);

bool dwal__plan_cancelled(const struct dwal__planner *planner);

/* Fills the error, returns DWAL_ENOMEM. */
int dwal__plan_no_memory(const struct dwal__planner *planner);

/* ---- repair_tail.c ---- */

/* Plans to wipe what is left over in @segment, if anything is. */
int dwal__plan_tail(struct dwal__planner *planner,
                    const struct dwal__found_segment *segment);

/* Sets *@empty if nothing is left over in @segment. */
int dwal__plan_tail_empty(struct dwal__planner *planner,
                          const struct dwal__found_segment *segment,
                          bool *empty);

/* All of a TAIL. */
int dwal__plan_tails(struct dwal__planner *planner);

/* ---- repair_lsn.c ---- */

/* Sets *@lsn to the largest LSN that the log is known to have given.
 * planner->plan->uuid is chosen. */
int dwal__plan_lsn_known(struct dwal__planner *planner, uint64_t *lsn);

/* ---- repair_cut.c ---- */

/* True if @segment is well-formed, once LOCK names the log. */
bool dwal__plan_segment_ours(const struct dwal__planner *planner,
                             const struct dwal__found_segment *segment);

/* Sets planner->plan->uuid: what LOCK says if it is valid, else what the
 * segments do, else options->uuid. */
void dwal__plan_uuid(struct dwal__planner *planner);

/* All of a CUT. */
int dwal__plan_cut(struct dwal__planner *planner);

/* ---- repair_mend.c ---- */

/* What can be mended, and how the log will be then. Free with
 * dwal__mending_release. */
struct dwal__mending {
    const struct dwal__repair_options *options;
    struct dwal__uuid uuid; /* of the log, or that it will get */
    struct dwal_error *error;
    struct dwal__overlay *overlay; /* shows the patches */
    bool recovered;
    struct dwal__recovery recovery; /* over the overlay */
    struct dwal__repair_step *patches;
    size_t count;
    size_t capacity;
};

/* Fills @mending. Without patches neither overlay nor recovery mean
 * anything. */
int dwal__mending_find(const struct dwal__repair_options *options,
                       const struct dwal__recovery *recovery,
                       const struct dwal__uuid *uuid,
                       struct dwal__mending *mending, struct dwal_error *error);

/* Puts the patches in front of the steps of @plan, but behind its flag, and
 * leaves none in @mending. */
int dwal__mending_take(struct dwal__mending *mending,
                       struct dwal__repair_plan *plan);

void dwal__mending_release(struct dwal__mending *mending);

#endif
