/* SPDX-License-Identifier: MIT */
/*
 * What the crash tests share: the run that is under way, for messages, and the
 * check of one state. A failure is told with the seed that leads to it, the
 * lives on the way, the last operations and a dump of the files.
 */
#ifndef DWAL_TESTS_CRASH_RUN_H
#define DWAL_TESTS_CRASH_RUN_H

#include "life.h"
#include "simcrash.h"

#define RUN_DEPTH_MAX 4u

struct run {
    uint64_t seed;   /* leads here at once, as DWAL_SEED */
    uint64_t states; /* looked at */
    uint64_t lives;
    uint64_t operations;
    uint64_t verdicts[8];
    unsigned depth;
    struct life_plan plans[RUN_DEPTH_MAX]; /* of the lives on the way */
    char what[256]; /* else, that a message should tell */
    char only[64];  /* more that leads here: "NAME=value " */
    double begin;
};

extern struct run run;

/* Catches what ends the process, to tell where it was. */
void run_watch(void);

/* Begins a test; run_summary prints what it did. */
void run_begin(void);
void run_summary(void);

/* DWAL_CRASH_STATES, or @fallback; less of it with AddressSanitizer. */
uint64_t run_states_wanted(uint64_t fallback);

/* A new disk without a log, and what is known of it. */
struct simdisk *run_disk(uint64_t seed, struct oracle *oracle,
                         struct oracle_found *past);
void run_disk_free(struct simdisk *sim, struct oracle *oracle);

/* A life; fails the test if anything in it went wrong. life_release later. */
void run_life(struct life *life, const struct life_plan *plan,
              struct simdisk *sim, const struct oracle *oracle,
              struct oracle_found *past);

/* Looks at @left, which is @snapshot of @life after a crash, and judges. */
const struct oracle_found *run_check(const struct life *life,
                                     const struct life_snapshot *snapshot,
                                     struct simdisk *left);

/* Fails the test. @operation and @left may be 0 and NULL. */
void run_report(const struct life *life, uint64_t operation,
                const struct simdisk *left, const char *text)
    __attribute__((noreturn));

#endif
