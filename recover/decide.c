/* SPDX-License-Identifier: MIT */
/*
 * The decision table of SPEC 7.7, and nothing else decides. SPEC reads it from
 * the top, the first row that holds; here each row also names what the rows
 * above it want absent, so that exactly one row holds for every combination of
 * facts and their order means nothing. A row of SPEC that is an "or" is several
 * rows of one name.
 */
#include "decide.h"

#include <assert.h>
#include <stddef.h>

#define READ_ERROR DWAL__FACT_READ_ERROR
#define LOCK DWAL__FACT_LOCK
#define SEGMENTS DWAL__FACT_SEGMENTS
#define HEADERS DWAL__FACT_HEADERS
#define BAD_STRUCTURE DWAL__FACT_BAD_STRUCTURE
#define LIVE_END DWAL__FACT_LIVE_END
#define BEYOND DWAL__FACT_EVIDENCE_BEYOND
#define MISSING DWAL__FACT_MISSING_SEGMENT
#define SUCCESSOR DWAL__FACT_SUCCESSOR
#define BAD_HEAD DWAL__FACT_BAD_HEAD
#define LEFT_OVER DWAL__FACT_LEFT_OVER
#define CLOSED DWAL__FACT_CLOSED

/* A row holds when the facts of @present are there and those of @absent are
 * not; the others do not matter. */
#define WHEN(present, absent) .mask = (present) | (absent), .value = (present)

/* The files are in order: what LOCK and the segments hold can be looked at. */
#define FILES (LOCK | SEGMENTS)
#define NO_FAULT (READ_ERROR | BAD_STRUCTURE)
/* Nothing acknowledged is missing. With a live end there is a successor. */
#define NO_LOSS (NO_FAULT | BEYOND | MISSING)
#define ALIVE (FILES | LIVE_END | SUCCESSOR)

#define NO_LOG_TEXT "there is no log here"
#define NO_LOG_REMEDY "look at the path"
#define STRUCTURE_TEXT "a file of the log is missing, damaged or not its own"
#define STRUCTURE_REMEDY                                                       \
    "run walfsck; put the file back from a copy if there is one"
#define LOST_REMEDY "run walfsck; restore the log from a replica or a backup"
#define TORN_TEXT                                                              \
    "the last writes before a crash did not all reach the disk; records in "   \
    "them may or may not have been acknowledged"
#define TORN_REMEDY                                                            \
    "open the log to go on, or run walfsck -p to remove the torn tail for "    \
    "good"

const struct dwal__decision dwal__decisions[] = {
    {"unreadable", WHEN(READ_ERROR, 0), DWAL__VERDICT_UNREADABLE,
     "something could not be read, so nothing is known about the log",
     "check the disk and the permissions, then try again"},

    {"no-log", WHEN(0, READ_ERROR | LOCK | SEGMENTS), DWAL__VERDICT_NONE,
     NO_LOG_TEXT, NO_LOG_REMEDY},

    {"interrupted-creation", WHEN(SEGMENTS, NO_FAULT | LOCK | HEADERS),
     DWAL__VERDICT_NONE,
     "the creation of a log was interrupted here; it never held a record",
     "create it again"},

    {"bad-structure", WHEN(LOCK | BAD_STRUCTURE, READ_ERROR),
     DWAL__VERDICT_CORRUPT, STRUCTURE_TEXT, STRUCTURE_REMEDY},
    {"bad-structure", WHEN(SEGMENTS | BAD_STRUCTURE, READ_ERROR | LOCK),
     DWAL__VERDICT_CORRUPT, STRUCTURE_TEXT, STRUCTURE_REMEDY},
    {"bad-structure", WHEN(SEGMENTS | HEADERS, NO_FAULT | LOCK),
     DWAL__VERDICT_CORRUPT, STRUCTURE_TEXT, STRUCTURE_REMEDY},

    {"lost-files", WHEN(LOCK, NO_FAULT | SEGMENTS), DWAL__VERDICT_CORRUPT,
     "the log has lost all its segments", LOST_REMEDY},

    {"lost-records", WHEN(FILES | BEYOND, NO_FAULT), DWAL__VERDICT_CORRUPT,
     "acknowledged records are gone or cannot be reached", LOST_REMEDY},

    {"missing-segment", WHEN(FILES | MISSING, NO_FAULT | BEYOND),
     DWAL__VERDICT_CORRUPT, "a segment that others name is missing",
     LOST_REMEDY},

    {"missing-successor", WHEN(FILES | LIVE_END, NO_LOSS | SUCCESSOR),
     DWAL__VERDICT_CORRUPT,
     "the segment behind the log's last one is missing, and with it records "
     "that may have been acknowledged",
     LOST_REMEDY},

    {"torn-open", WHEN(ALIVE | BAD_HEAD, NO_LOSS), DWAL__VERDICT_TORN,
     TORN_TEXT, TORN_REMEDY},
    {"torn-open", WHEN(FILES | BAD_HEAD, NO_LOSS | LIVE_END),
     DWAL__VERDICT_TORN, TORN_TEXT, TORN_REMEDY},

    {"torn", WHEN(ALIVE | LEFT_OVER, NO_LOSS | BAD_HEAD), DWAL__VERDICT_TORN,
     TORN_TEXT, TORN_REMEDY},
    {"torn", WHEN(FILES | LEFT_OVER, NO_LOSS | LIVE_END | BAD_HEAD),
     DWAL__VERDICT_TORN, TORN_TEXT, TORN_REMEDY},

    {"empty", WHEN(FILES, NO_LOSS | LIVE_END | BAD_HEAD | LEFT_OVER),
     DWAL__VERDICT_CLEAN, "the log is in order and has no records", "none"},

    {"closed", WHEN(ALIVE | CLOSED, NO_LOSS | BAD_HEAD | LEFT_OVER),
     DWAL__VERDICT_CLEAN, "the log is in order and was closed", "none"},

    {"clean", WHEN(ALIVE, NO_LOSS | BAD_HEAD | LEFT_OVER | CLOSED),
     DWAL__VERDICT_CLEAN, "the log is in order", "none"},
};

const unsigned dwal__decision_count =
    sizeof dwal__decisions / sizeof dwal__decisions[0];

const struct dwal__decision *dwal__decide(struct dwal__facts facts) {
    const struct dwal__decision *found = NULL;
    for (unsigned i = 0; i < dwal__decision_count; i++) {
        const struct dwal__decision *row = &dwal__decisions[i];
        if ((facts.bits & row->mask) != row->value)
            continue;
        assert(found == NULL);
        found = row;
    }
    assert(found != NULL);
    return found;
}

const char *dwal__verdict_name(enum dwal__verdict verdict) {
    switch (verdict) {
    case DWAL__VERDICT_NONE:
        return "none";
    case DWAL__VERDICT_CLEAN:
        return "clean";
    case DWAL__VERDICT_TORN:
        return "torn";
    case DWAL__VERDICT_CORRUPT:
        return "corrupt";
    case DWAL__VERDICT_UNREADABLE:
        return "unreadable";
    }
    return "?";
}
