/* SPDX-License-Identifier: MIT */
/*
 * walfsck's repair: plans it, says what it gives up, saves that, runs it.
 */
#ifndef DWAL_FSCK_FIX_H
#define DWAL_FSCK_FIX_H

#include "check.h"
#include "print.h"

#define DWAL__FIX_PATH_SIZE 4352

/* True if an undo file may have this path: its name must be none that a log
 * may have. */
bool dwal__fix_path_valid(const char *path);

/* A repair that was planned, and why it could not be. */
struct dwal__fix {
    struct dwal__repair_options options;
    struct dwal__repair_plan plan;
    int code; /* of dwal__repair_plan_make */
    struct dwal_error error;
};

/*
 * Plans the repair of what check->recovery describes: the one that the settings
 * permit, or, where they permit none, that of -y. Until dwal__fix_release
 * check->plan is that plan, if it is one for all of the log.
 */
void dwal__fix_plan(struct dwal__check *check, struct dwal__fix *fix);
void dwal__fix_release(struct dwal__check *check, struct dwal__fix *fix);

/* Says what a repair would do; nothing if none can be planned. */
void dwal__fix_preview(struct dwal__check *check, const struct dwal__fix *fix);

/*
 * Does what was planned. The caller has made sure that it is
 * permitted. Sets @undo to the path of the undo file, "" if none was needed;
 * then nothing was changed.
 * DWAL_OK, or a code of dwal__repair_plan_make, dwal__undo_save,
 * dwal__repair_run; DWAL_EIO: the folder of the undo file cannot be opened.
 */
int dwal__fix_run(struct dwal__check *check, struct dwal__fix *fix,
                  char undo[DWAL__FIX_PATH_SIZE], struct dwal_error *error);

/* Gives back what settings->undo_apply saved. As dwal__undo_apply. */
int dwal__fix_undo(struct dwal__check *check, struct dwal__undo_done *done,
                   struct dwal_error *error);

#endif
