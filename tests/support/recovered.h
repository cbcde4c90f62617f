/* SPDX-License-Identifier: MIT */
/*
 * Running recovery on a built log, and saying what should have come out.
 */
#ifndef DWAL_TESTS_RECOVERED_H
#define DWAL_TESTS_RECOVERED_H

#include "check.h"
#include "imagedisk.h"
#include "recover/recover.h"

#define RECOVERED_FINDINGS_MAX 128

struct recovered {
    int code;
    struct dwal__recovery recovery;
    struct dwal_error error;
    struct dwal__finding findings[RECOVERED_FINDINGS_MAX]; /* without names */
    unsigned finding_count;
    unsigned kinds[DWAL__FINDING_COUNT]; /* how many of each */
    bool free;                           /* recovery is to be released */
};

/* A log of segment files of @segment_size, and what became of it: *state. */
struct recovered_fixture {
    struct logbuild log;
    struct recovered result;
};

int recovered_setup(void **state, uint32_t block_size, uint64_t segment_size);
int recovered_teardown(void **state);

/* Recovers what @image shows, into @result (released first if it was used;
 * zero-initialise it). Fails the test if handles are left open. */
void recovered_run(struct recovered *result, struct imagedisk *image,
                   uint64_t verify_bytes, bool sync);

/* The same for a log without faults, everything verified. */
void recovered_log(struct recovered *result, const struct logbuild *log);

void recovered_release(struct recovered *result);

/* Fails unless recovery came to this row and this durable_lsn. */
void recovered_check(const struct recovered *result, const char *row,
                     uint64_t durable_lsn);

/* The first finding of @kind; fails if there is none. */
const struct dwal__finding *recovered_finding(const struct recovered *result,
                                              enum dwal__finding_kind kind);

/* recovered_log on @log with every verify_bytes that makes a difference, and
 * through the page cache: all must agree on row and durable_lsn. Leaves the
 * result of the full one in @result. */
void recovered_all(struct recovered *result, const struct logbuild *log,
                   const char *row, uint64_t durable_lsn);

#endif
