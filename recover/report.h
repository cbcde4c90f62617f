/* SPDX-License-Identifier: MIT */
/*
 * What recovery has to say: findings for checkers, one line for everybody else.
 */
#ifndef DWAL_RECOVER_REPORT_H
#define DWAL_RECOVER_REPORT_H

#include "listing.h"
#include "recover.h"

/* The first thing that makes the structure bad or a file unreadable. */
struct dwal__report_first {
    bool set;
    struct dwal__finding finding; /* its name points to @name, or is NULL */
    char name[256];
};

/* Tells @finding to the hook, and keeps it in @first (may be NULL) if that has
 * none. */
void dwal__report_finding(const struct dwal__recover_hooks *hooks,
                          struct dwal__report_first *first,
                          const struct dwal__finding *finding);

/* All findings that need the decision, in the order of their kinds. Sets
 * recovery->damage to the place that matters most. */
void dwal__report_log(const struct dwal__recover_hooks *hooks,
                      struct dwal__recovery *recovery,
                      const struct dwal__listing *listing);

/* Fills @error for a verdict that refuses; returns the code. */
int dwal__report_error(const struct dwal__recovery *recovery,
                       const struct dwal__report_first *first,
                       struct dwal_error *error);

/* Fills @error for a segment that only a newer dwal understands (SPEC 8). */
int dwal__report_newer(const struct dwal__found_segment *segment,
                       struct dwal_error *error);

/* SPEC 7.6: is what stands at the end of @segment's run a bad head? Only for
 * the live end's segment and those above it. */
bool dwal__head_bad(const struct dwal__recovery *recovery,
                    const struct dwal__found_segment *segment);

#endif
