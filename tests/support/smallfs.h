/* SPDX-License-Identifier: MIT */
/*
 * A filesystem of a few MiB for one test program, in a mount namespace of its
 * own: whatever ends the program takes it along. As root only.
 */
#ifndef DWAL_TESTS_SMALLFS_H
#define DWAL_TESTS_SMALLFS_H

#include <stdbool.h>
#include <stdint.h>

enum smallfs_kind { SMALLFS_TMPFS, SMALLFS_EXT4 };

/* Mounts one of @mib MiB, and copies its path to @path (4096 bytes). False: it
 * cannot be had, and why was printed, for a skip. */
bool smallfs_mount(enum smallfs_kind kind, unsigned mib, char *path);
void smallfs_unmount(const char *path);

/* Takes @bytes of the space that is left (UINT64_MAX: all) into a file of its
 * own, which grows. */
void smallfs_fill(const char *path, uint64_t bytes);
void smallfs_unfill(const char *path);

/* Freezes it: whoever writes stays in the kernel until smallfs_thaw, or until
 * this process ends, or for @seconds_max. False: it cannot be. */
bool smallfs_freeze(const char *path, unsigned seconds_max);
void smallfs_thaw(void);

#endif
