/* SPDX-License-Identifier: MIT */
/*
 * The problem table, and what is said about one case of a problem. Each finding
 * of recovery has a row of the same name: a kind without one does not compile.
 */
#include "problem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../recover/repair.h"

const struct dwal__problem dwal__problems[DWAL__PROBLEM_COUNT] = {
#define PROBLEM(number, id, name, severity, repair, section, text, remedy)     \
    [DWAL__PROBLEM_##id] = {number,                                            \
                            name,                                              \
                            DWAL__SEVERITY_##severity,                         \
                            DWAL__PERMIT_##repair,                             \
                            section,                                           \
                            text,                                              \
                            remedy},
#include "problem.def"
#undef PROBLEM
};

static const enum dwal__problem_id finding_problems[DWAL__FINDING_COUNT] = {
#define DWAL__X(name) [DWAL__FINDING_##name] = DWAL__PROBLEM_##name,
    DWAL__FINDING_LIST(DWAL__X)
#undef DWAL__X
};

/* True for the names that repairs give to what they leave behind: "….lost",
 * "….lost2", "walfsck-….undo". */
static bool repair_left(const char *name) {
    static const char undo[] = ".undo";
    size_t length = strlen(name);
    if (strncmp(name, "walfsck-", 8) == 0 && length > sizeof undo &&
        strcmp(name + length - (sizeof undo - 1), undo) == 0)
        return true;
    const char *lost = strstr(name, DWAL__REPAIR_LOST_SUFFIX);
    if (lost == NULL)
        return false;
    lost += sizeof DWAL__REPAIR_LOST_SUFFIX - 1;
    return strspn(lost, "0123456789") == strlen(lost);
}

const struct dwal__problem *
dwal__problem_of(const struct dwal__finding *finding) {
    enum dwal__problem_id id = finding_problems[finding->kind];
    if (finding->kind == DWAL__FINDING_NAME_BAD && finding->name != NULL &&
        strcmp(finding->name, DWAL__REPAIR_FLAG_NAME) == 0)
        id = DWAL__PROBLEM_REPAIR_UNFINISHED;
    if (finding->kind == DWAL__FINDING_OTHER_FILE && finding->name != NULL &&
        repair_left(finding->name))
        id = DWAL__PROBLEM_REPAIR_LEFT;
    return &dwal__problems[id];
}

const char *dwal__severity_name(enum dwal__severity severity) {
    switch (severity) {
    case DWAL__SEVERITY_NOTE:
        return "note";
    case DWAL__SEVERITY_TORN:
        return "torn";
    case DWAL__SEVERITY_DAMAGE:
        return "damage";
    case DWAL__SEVERITY_FATAL:
        return "fatal";
    }
    return "?";
}

const char *dwal__permit_name(enum dwal__permit permit) {
    switch (permit) {
    case DWAL__PERMIT_NEVER:
        return "-";
    case DWAL__PERMIT_PREEN:
        return "-p";
    case DWAL__PERMIT_YES:
        return "-y";
    }
    return "?";
}

void dwal__range_text(uint64_t from, uint64_t to,
                      char text[DWAL__RANGE_TEXT_SIZE]) {
    text[0] = '\0';
    if (from == to)
        snprintf(text, DWAL__RANGE_TEXT_SIZE, "LSN %" PRIu64, from);
    else if (to == UINT64_MAX)
        snprintf(text, DWAL__RANGE_TEXT_SIZE, "LSNs from %" PRIu64 " on", from);
    else if (from < to)
        snprintf(text, DWAL__RANGE_TEXT_SIZE, "LSNs %" PRIu64 " to %" PRIu64,
                 from, to);
}

/* What only findings of this kind have to add. */
static void kind_text(const struct dwal__finding *finding, char *text,
                      size_t size) {
    char name[DWAL__NAME_SIZE];
    text[0] = '\0';
    switch (finding->kind) {
    case DWAL__FINDING_HEADER_NUMBER:
    case DWAL__FINDING_SEGMENT_MISSING:
    case DWAL__FINDING_CHAIN_BROKEN:
        dwal__segment_name(finding->other, name);
        snprintf(text, size, ": %s", name);
        break;
    case DWAL__FINDING_TAIL_FLIPPED:
        snprintf(text, size, ": bit %" PRIu64 " of this byte", finding->other);
        break;
    default:
        if (finding->os_errno == ELOOP)
            snprintf(text, size,
                     ": it is a symbolic link, which is never "
                     "followed; put the file itself here");
        else if (finding->os_errno == EINVAL)
            snprintf(text, size, ": it is no regular file");
        else if (finding->os_errno != 0)
            snprintf(text, size, ": %s", strerror(finding->os_errno));
        else if (finding->fault != DWAL__FAULT_NONE)
            snprintf(text, size, ": %s", dwal__fault_text(finding->fault));
        break;
    }
}

void dwal__problem_text(const struct dwal__problem *problem,
                        const struct dwal__finding *finding,
                        char text[DWAL__PROBLEM_TEXT_SIZE]) {
    char kind[160];
    char range[DWAL__RANGE_TEXT_SIZE];
    kind_text(finding, kind, sizeof kind);
    dwal__range_text(finding->lsn_from, finding->lsn_to, range);
    snprintf(text, DWAL__PROBLEM_TEXT_SIZE, "%s%s%s%s", problem->text, kind,
             range[0] != '\0' ? "; " : "", range);
}
