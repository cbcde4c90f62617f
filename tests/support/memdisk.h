/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory behind struct dwal__disk, with one directory, that forgets
 * what was not synced.
 *
 * It can stop at the n-th operation that changes something: that one is carried
 * out in part and fails, and all later ones fail. Then memdisk_kill leaves what
 * a killed process leaves, and memdisk_crash what a machine does that lost its
 * power: of the sectors written since the sync of their file, and of the
 * directory operations since the sync of the directory, any subset is there.
 */
#ifndef DWAL_TESTS_MEMDISK_H
#define DWAL_TESTS_MEMDISK_H

#include "recover/disk.h"

struct memdisk;

struct memdisk *memdisk_new(void);
void memdisk_free(struct memdisk *memdisk);

/* The operations on it; any directory that is opened is the one. */
struct dwal__disk *memdisk_disk(struct memdisk *memdisk);

/* A copy with the same files, all of them durable. */
struct memdisk *memdisk_copy(const struct memdisk *memdisk);

/* Puts a durable file there, or replaces it. */
void memdisk_put(struct memdisk *memdisk, const char *name, const void *bytes,
                 size_t size);
/* Takes one away, durably; it need not exist. */
void memdisk_remove(struct memdisk *memdisk, const char *name);
/* Its bytes, to be looked at or changed durably; NULL if there is none. */
uint8_t *memdisk_bytes(struct memdisk *memdisk, const char *name, size_t *size);

/* The name of file @index, NULL behind the last; in the order of the names. */
const char *memdisk_name(struct memdisk *memdisk, size_t index);

/* Stop at operation @count from now, 0 the next; UINT64_MAX: never. */
void memdisk_stop_at(struct memdisk *memdisk, uint64_t count);
/* The operations since memdisk_stop_at. */
uint64_t memdisk_operations(const struct memdisk *memdisk);
bool memdisk_stopped(const struct memdisk *memdisk);

/* End of the process, or of the machine; then the disk works again and all that
 * is left is durable. */
void memdisk_kill(struct memdisk *memdisk);
void memdisk_crash(struct memdisk *memdisk, uint64_t *random);

/* NULL if both have the same files with the same bytes, but for those whose
 * names @ignore accepts; else the name of one that differs. */
const char *memdisk_difference(struct memdisk *a, struct memdisk *b,
                               bool (*ignore)(const char *name));

#endif
