/* SPDX-License-Identifier: MIT */
/*
 * The decision table of SPEC 7.7: observed facts → one named row → verdict.
 */
#ifndef DWAL_RECOVER_DECIDE_H
#define DWAL_RECOVER_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "../format/fault.h"

enum dwal__verdict {
    DWAL__VERDICT_NONE, /* there is no log */
    DWAL__VERDICT_CLEAN,
    DWAL__VERDICT_TORN,
    DWAL__VERDICT_CORRUPT,
    DWAL__VERDICT_UNREADABLE
};

/* The facts, a bit each. */
enum dwal__fact {
    DWAL__FACT_READ_ERROR = 1u << 0,      /* something could not be read */
    DWAL__FACT_LOCK = 1u << 1,            /* LOCK exists, valid or not */
    DWAL__FACT_SEGMENTS = 1u << 2,        /* there are .wal files */
    DWAL__FACT_HEADERS = 1u << 3,         /* some block shows a batch: it is
                                           * readable, newer or damaged. Looked
                                           * for only where LOCK is missing */
    DWAL__FACT_BAD_STRUCTURE = 1u << 4,   /* LOCK or a segment is not as 7.1
                                           * wants it (missing LOCK: no) */
    DWAL__FACT_LIVE_END = 1u << 5,        /* E is not (0, 0) */
    DWAL__FACT_EVIDENCE_BEYOND = 1u << 6, /* W > E */
    DWAL__FACT_MISSING_SEGMENT = 1u << 7,
    DWAL__FACT_SUCCESSOR = 1u << 8,       /* a header names E's segment */
    DWAL__FACT_BAD_HEAD = 1u << 9,        /* SPEC 7.6 */
    DWAL__FACT_LEFT_OVER = 1u << 10,      /* SPEC 7.6 */
    DWAL__FACT_CLOSED = 1u << 11,         /* the run ends with a close */
    DWAL__FACT_COUNT = 12
};

struct dwal__facts {
    uint32_t bits;
};

/* One row: holds if (bits & mask) == value. The rows exclude each other and
 * cover every combination; a test walks all of them. */
struct dwal__decision {
    const char *name; /* as in SPEC 7.7 */
    uint32_t mask;
    uint32_t value;
    enum dwal__verdict verdict;
    const char *text;   /* what it means, for a person */
    const char *remedy; /* what to do */
};

extern const struct dwal__decision dwal__decisions[];
extern const unsigned dwal__decision_count;

/* The one row for @facts; never NULL. */
const struct dwal__decision *dwal__decide(struct dwal__facts facts);

/* "clean", "torn", "corrupt", "unreadable", "none". */
const char *dwal__verdict_name(enum dwal__verdict verdict);

/* X(name): the kinds of findings that recovery reports (SPEC 7). The order is
 * the order of the passes. */
#define DWAL__FINDING_LIST(X)                                                 \
    X(LOCK_MISSING)       /* segments, but no LOCK */                         \
    X(LOCK_BAD)           /* LOCK is not valid */                             \
    X(NAME_BAD)           /* a .wal file whose name is no number */           \
    X(FILE_UNREADABLE)    /* open, stat or read failed: os_errno */           \
    X(HEADER_BAD)         /* a segment header is not well-formed: fault */    \
    X(HEADER_NUMBER)      /* the header's number is not the name's */         \
    X(HEADER_UUID)        /* the header's UUID is not LOCK's */               \
    X(FILE_SIZE)          /* the file's size is not the header's */           \
    X(SEGMENTS_LOST)      /* LOCK without segments */                         \
    X(SEGMENT_MISSING)    /* a header names one that does not exist */        \
    X(SUCCESSOR_MISSING)  /* nothing follows the live end's segment */        \
    X(CHAIN_BROKEN)       /* a start does not fit its predecessor */          \
    X(BATCH_BAD)          /* in the live log, at or below W: damage */        \
    X(EVIDENCE_BEYOND)    /* a watermark lies beyond the live end */          \
    X(TAIL_TORN)          /* what is left over behind the live end */         \
    X(TAIL_BAD_HEAD)      /* a bad head behind the live end */                \
    X(TAIL_FLIPPED)       /* SPEC 7.8 */                                      \
    X(SEGMENT_DEAD)       /* started, but not part of the log: a note */      \
    X(SEGMENT_UNUSED)     /* prepared by an earlier open: a note */           \
    X(SPARE)              /* a spare file: a note */                          \
    X(OTHER_FILE)         /* a name that is not ours: a note */

enum dwal__finding_kind {
#define DWAL__X(name) DWAL__FINDING_##name,
    DWAL__FINDING_LIST(DWAL__X)
#undef DWAL__X
    DWAL__FINDING_COUNT
};

struct dwal__finding {
    enum dwal__finding_kind kind;
    const char *name;        /* the file, or NULL for the directory */
    uint64_t segment;        /* 0: none */
    uint64_t offset;         /* bytes in the segment */
    enum dwal__fault fault;  /* NONE: not applicable */
    int os_errno;
    uint64_t lsn_from;       /* the LSNs concerned; from > to: none */
    uint64_t lsn_to;         /* UINT64_MAX: open above */
    uint64_t other;          /* another segment number, or a bit (FLIPPED) */
};

#endif
