/* SPDX-License-Identifier: MIT */
/*
 * What walfsck says, for a person or as JSON (settings->json), one object a
 * line. The report goes to standard output; errors of the tool itself go to
 * standard error, and in JSON to both.
 */
#ifndef DWAL_FSCK_PRINT_H
#define DWAL_FSCK_PRINT_H

#include "../recover/salvage.h"
#include "check.h"
#include "undo.h"

/* Bytes read, of an estimate; to the bar, the file descriptor, JSON. */
void dwal__print_progress(struct dwal__check *check, uint64_t done,
                          uint64_t total);

/* All has been read: the last line for the file descriptor. */
void dwal__print_progress_end(const struct dwal__check *check);

/* The line that says how it is with the log. */
void dwal__print_verdict(const struct dwal__check *check);

/* One problem. True if it may be repaired as far as the settings go. */
bool dwal__print_problem(const struct dwal__check *check,
                         const struct dwal__check_problem *problem);

/* What a repair gives up and changes; @done: it is about to, not only would. */
void dwal__print_plan(const struct dwal__check *check,
                      const struct dwal__repair_plan *plan, bool done);

/* Where that was saved, and the command that puts it back. */
void dwal__print_undo(const struct dwal__check *check, const char *path,
                      uint64_t size);

void dwal__print_step(const struct dwal__check *check,
                      const struct dwal__repair_step *step);

/* How the run ended. */
struct dwal__print_result {
    int status;                 /* exit code */
    bool repaired;              /* something was changed */
    uint64_t problems;          /* notes not counted: found at first … */
    uint64_t left;              /* … and left */
    enum dwal__verdict verdict; /* found at first */
    const char *undo;           /* the undo file, NULL if none was made */
};

/* The last lines: what to do next; in JSON the summary. */
void dwal__print_summary(const struct dwal__check *check,
                         const struct dwal__print_result *result);

/* The same for --undo-apply. */
void dwal__print_undone(const struct dwal__check *check,
                        const struct dwal__undo_done *done);

/* What is whole, and what is lost. */
void dwal__print_salvage(const struct dwal__check *check,
                         const struct dwal__salvage *salvage);

/* The new log is there; or would be. */
void dwal__print_salvaged(const struct dwal__check *check,
                          const struct dwal__salvage *salvage);

/* Nothing of what --rebuild-header asks for can be done. */
void dwal__print_not_rebuilt(const struct dwal__check *check);

/* The tool could not do its work, or was cancelled. Returns @status. */
int dwal__print_error(const struct dwal__check_settings *settings,
                      const struct dwal_error *error, int status);

#endif
