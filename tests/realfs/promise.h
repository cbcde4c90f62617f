/* SPDX-License-Identifier: MIT */
/*
 * What a log had promised at a position of its disk's log of writes: the marks
 * of work.c, sorted by the moment that each one names.
 */
#ifndef DWAL_TESTS_REALFS_PROMISE_H
#define DWAL_TESTS_REALFS_PROMISE_H

#include "identity.h"
#include "writelog.h"

struct promise; /* one mark */

/* Who has an LSN, as far as it was acknowledged. */
struct promise_record {
    bool known;
    uint32_t life;
    uint32_t thread;
    uint64_t number;
};

struct promises {
    struct promise *marks;
    size_t count;
    size_t next;                    /* the first that is not yet given */
    struct promise_record *records; /* by LSN */
    uint64_t lsn_max;               /* largest LSN in any mark */

    bool opened;      /* so there is a log */
    bool closed;      /* and nothing was written since */
    uint64_t durable; /* the largest LSN acknowledged */
    uint64_t asked;   /* the first LSN may be up to this … */
    uint64_t trimmed; /* … and must be this at least */
    uint64_t acked;   /* records acknowledged so far */
};

/* 0, -ENOMEM, or -EINVAL for a mark that cannot be understood. */
int promises_load(struct promises *promises, const struct writelog_view *view);
void promises_free(struct promises *promises);

/* Counts what was promised until the log had @position entries. */
void promises_advance(struct promises *promises, uint64_t position);

/* Appends marks to @log that promise the same from its beginning. */
int promises_carry(const struct promises *promises, struct writelog *log);

#endif
