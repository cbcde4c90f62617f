/* SPDX-License-Identifier: MIT */
/*
 * One run of walfsck over one log: the directory, its lock, what recovery
 * found, and the problems that follow from it.
 */
#ifndef DWAL_FSCK_CHECK_H
#define DWAL_FSCK_CHECK_H

#include "problem.h"

/* What the command line says. */
struct dwal__check_settings {
    const char *path;
    enum dwal__permit permit; /* NEVER: only look */
    bool strict;              /* a torn tail that is left is damage */
    bool require;             /* the log must reach … */
    uint64_t require_lsn;     /* … this */
    const char *undo;         /* NULL: in the log's directory */
    const char *undo_apply;   /* not NULL: nothing but that */
    const char *salvage;      /* not NULL: where the new log is made … */
    bool dry;                 /* … or only would be: -n was given */
    bool rebuild;             /* headers that their batches prove */
    unsigned threads;         /* that scan at once, 1 at least */
    bool json;
    bool verbose;    /* notes too */
    int progress_fd; /* -1: none */
};

struct dwal__check_problem {
    const struct dwal__problem *row;
    struct dwal__finding finding;
    char name[256]; /* finding.name points here, or is NULL */
};

struct dwal__check {
    const struct dwal__check_settings *settings;
    struct dwal__disk *disk;
    int dir;
    int lock;    /* LOCK, or -1 */
    bool locked; /* nobody else can write to the log */

    bool recovered; /* @recovery and @problems are filled */
    struct dwal__recovery recovery;
    struct dwal__check_problem *problems;
    size_t problem_count;
    size_t problem_capacity;
    bool out_of_memory;                        /* a problem was not kept */
    uint64_t counts[DWAL__SEVERITY_FATAL + 1]; /* of the problems */
    /* What a repair of all that does, NULL: none, or not known (fix.h). */
    const struct dwal__repair_plan *plan;
    uint64_t progress_ns; /* of the last line */
};

/*
 * Opens the directory and locks the log.
 *
 * A file system that cannot be written to cannot be locked either; then
 * check->locked is false, and nobody holds the lock. DWAL_OK, DWAL_ENOENT,
 * DWAL_EBUSY (the text says who), DWAL_EIO. Whatever is returned,
 * dwal__check_close is due.
 */
int dwal__check_open(struct dwal__check *check,
                     const struct dwal__check_settings *settings,
                     struct dwal__disk *disk, struct dwal_error *error);

/* Runs recovery over all of the log, and makes problems of what it finds; those
 * of an earlier run are forgotten. As dwal__recover. */
int dwal__check_run(struct dwal__check *check, struct dwal_error *error);

/* How many LSNs of the log it says itself are lost (SPEC 6.1). */
uint64_t dwal__check_stated(const struct dwal__recovery *recovery);

/* True if settings->permit allows to repair @row. */
bool dwal__check_permits(const struct dwal__check *check,
                         const struct dwal__problem *row);

/* The exit code for what the last run found, without what a repair adds. */
int dwal__check_status(const struct dwal__check *check);

void dwal__check_close(struct dwal__check *check);

/* Nanoseconds since 1970. */
uint64_t dwal__clock_ns(void);

#endif
