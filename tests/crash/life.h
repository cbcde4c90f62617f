/* SPDX-License-Identifier: MIT */
/*
 * One life of a process that has the log: a random workload of several callers
 * on a simulated disk, from dwal_open to dwal_close, with snapshots on the way
 * of the disk and of what had been acknowledged.
 */
#ifndef DWAL_TESTS_CRASH_LIFE_H
#define DWAL_TESTS_CRASH_LIFE_H

#include "oracle.h"
#include "sched.h"
#include "simdisk.h"
#include "src/log.h"

#define LIFE_SNAPSHOTS_MAX 4096

/* What to do. */
struct life_plan {
    uint64_t seed;
    struct dwal_options options;
    uint32_t alignment; /* of the device; 0: it refuses O_DIRECT */
    unsigned callers;   /* 1 to ORACLE_CALLERS_MAX */
    unsigned calls;     /* of each */
    unsigned trims, rotations, batches, metas, cuts; /* in 64 calls */
    unsigned size_classes;                           /* of payloads */
    unsigned readers;                                /* that look on */
    unsigned leases;                                 /* taken by another */
    bool rests;              /* before the end, long enough for a mark */
    bool hasty;              /* closes while calls wait */
    bool repairs;            /* with walfsck's repair, before the open */
    bool errors;             /* are to be expected: a fault */
    bool full;               /* the disk may be: refusals, but no failures */
    bool slow;               /* the disk may be: neither */
    unsigned snapshot_share; /* one where so many could be taken; 0: none */
};

/* A seeded plan, without errors. */
void life_plan_init(struct life_plan *plan, uint64_t seed);

/* Before an operation. */
struct life_snapshot {
    struct simdisk *sim;
    struct oracle oracle;
    uint64_t operation;
};

struct life {
    struct life_plan plan;
    struct simdisk *sim;
    struct oracle oracle;
    struct oracle_found *past; /* what the open should find */
    struct life_snapshot *snapshots;
    unsigned snapshot_count;
    int open_code;
    int close_code;
    char failure[ORACLE_TEXT_SIZE]; /* empty: none */

    /* Of the run: */
    uint64_t random;
    struct dwal *log;   /* while it is open */
    uint64_t given_lsn; /* the largest */
    bool closing;       /* dwal_close has begun */
    bool meta_busy;     /* metadata is being set */
    unsigned inside;    /* callers in the middle of a call */
    bool gate;          /* one of them wants to be alone: to cut the log */
    unsigned leases;    /* taken so far */
    uint64_t *ids[ORACLE_CUTS_MAX]; /* of the oracle, before and after cuts */
    unsigned ids_count;
    uint64_t effects; /* at the last snapshot … */
    uint64_t acked;
    uint64_t opened_changes;
};

/* Runs @plan on @sim, which stays the caller's; @oracle is its past, @found
 * what there is to be found. What goes wrong is in life->failure. */
void life_run(struct life *life, const struct life_plan *plan,
              struct simdisk *sim, const struct oracle *oracle,
              struct oracle_found *found);
/* Frees the snapshots. */
void life_release(struct life *life);

/* One line about it. */
void life_describe(const struct life_plan *plan, char text[ORACLE_TEXT_SIZE]);

#endif
