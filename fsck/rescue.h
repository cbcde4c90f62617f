/* SPDX-License-Identifier: MIT */
/*
 * walfsck --salvage: says what is whole and what is not, and makes a new log of
 * what is (recover/salvage.h).
 */
#ifndef DWAL_FSCK_RESCUE_H
#define DWAL_FSCK_RESCUE_H

#include "check.h"

/* True if a new log may have this path: no file of a log has such a name. */
bool dwal__rescue_path_valid(const char *path);

/*
 * Salvages the log that check->recovery describes into settings->salvage, or,
 * if settings->dry, only says what would be. The new log is checked before it
 * is said to be one. DWAL_OK, or a code of dwal__salvage_find and
 * dwal__salvage_write; DWAL_EIO also if the directory cannot be made or what
 * was made is not in order.
 */
int dwal__rescue_run(struct dwal__check *check, struct dwal_error *error);

#endif
