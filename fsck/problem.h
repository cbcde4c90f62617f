/* SPDX-License-Identifier: MIT */
/*
 * The problems that walfsck knows (problem.def, SPEC 10): what each is called,
 * how bad it is, and what may be done about it.
 */
#ifndef DWAL_FSCK_PROBLEM_H
#define DWAL_FSCK_PROBLEM_H

#include "../recover/recover.h"

enum dwal__problem_id {
#define PROBLEM(number, id, name, severity, repair, section, text, remedy)     \
    DWAL__PROBLEM_##id,
#include "problem.def"
#undef PROBLEM
    DWAL__PROBLEM_COUNT
};

enum dwal__severity {
    DWAL__SEVERITY_NOTE,
    DWAL__SEVERITY_TORN,
    DWAL__SEVERITY_DAMAGE,
    DWAL__SEVERITY_FATAL
};

/* What it takes to repair. */
enum dwal__permit {
    DWAL__PERMIT_NEVER, /* nothing does */
    DWAL__PERMIT_PREEN, /* -p, or -y */
    DWAL__PERMIT_YES    /* -y */
};

struct dwal__problem {
    unsigned number;
    const char *name; /* "lock-missing" */
    enum dwal__severity severity;
    enum dwal__permit permit;
    const char *section; /* of SPEC.md */
    const char *text;    /* what is wrong */
    const char *remedy;  /* what to do */
};

extern const struct dwal__problem dwal__problems[DWAL__PROBLEM_COUNT];

/* The row for what recovery found. */
const struct dwal__problem *
dwal__problem_of(const struct dwal__finding *finding);

/* "note", "torn", "damage", "fatal". */
const char *dwal__severity_name(enum dwal__severity severity);

/* What the permit is called: "-", "-p", "-y". */
const char *dwal__permit_name(enum dwal__permit permit);

/*
 * What is wrong, with what is known of this case:
 * "a batch that was durable is damaged: checksum mismatch; LSNs 12 to 14".
 */
#define DWAL__PROBLEM_TEXT_SIZE 512
void dwal__problem_text(const struct dwal__problem *problem,
                        const struct dwal__finding *finding,
                        char text[DWAL__PROBLEM_TEXT_SIZE]);

/* "LSN 7", "LSNs 7 to 9", "LSN 7 and all behind it"; "" if from > to. */
#define DWAL__RANGE_TEXT_SIZE 64
void dwal__range_text(uint64_t from, uint64_t to,
                      char text[DWAL__RANGE_TEXT_SIZE]);

#endif
