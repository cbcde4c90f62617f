/* SPDX-License-Identifier: MIT */
/* What the files of the simulated disk share: simdisk.c (the state), simops.c
 * (operations), simqueue.c (asynchronous ones), simcrash.c (crashes). */
#ifndef DWAL_TESTS_CRASH_SIMINNER_H
#define DWAL_TESTS_CRASH_SIMINNER_H

#include "simdisk.h"

/* NULL for zeros. */
struct sim_sector *sim_sector_new(const uint8_t *bytes, size_t size);
struct sim_sector *sim_sector_share(struct sim_sector *sector);
void sim_sector_drop(struct sim_sector *sector);
bool sim_sector_same(const struct sim_sector *a, const struct sim_sector *b);

/* Its index. */
int sim_inode_new(struct simdisk *sim);
void sim_inode_free(struct sim_inode *inode);
void sim_inode_resize(struct sim_inode *inode, uint64_t size);
/* What was written up to @stamp, and the size @size, is durable. */
void sim_inode_sync(struct sim_inode *inode, uint64_t stamp, uint64_t size);
const char *sim_inode_name(const struct simdisk *sim, int inode);

/* What is read from it now. */
struct sim_sector *sim_cell_now(const struct sim_cell *cell);
/* @content, whose reference it takes, is written; or is durable at once. */
void sim_cell_write(struct sim_cell *cell, struct sim_sector *content,
                    uint64_t stamp);
void sim_cell_settle(struct sim_cell *cell, struct sim_sector *content);

struct sim_entry *sim_entry_find(const struct sim_directory *directory,
                                 const char *name);
void sim_directory_apply(struct sim_directory *directory,
                         const struct sim_pending *operation);
/* Done now, durable with the next sync of the directory. */
void sim_directory_do(struct simdisk *sim, const char *from, const char *to,
                      int inode);

/* Sector @index of a write reaches the disk. */
void sim_flight_land(struct simdisk *sim, struct sim_flight *flight,
                     uint32_t index);
void sim_flight_free(struct sim_flight *flight);

/* Begins an operation; anybody else may come before it. Returns its number. */
uint64_t sim_begin(struct simdisk *sim, enum sim_operation operation,
                   const char *name, uint64_t offset, uint64_t size);
/* What strikes the operation, NULL: nothing. */
const struct sim_fault *
sim_struck(struct simdisk *sim, enum sim_operation operation, uint64_t number);
/* When it is over. */
int64_t sim_fault_end(const struct sim_fault *fault);
/* Notes the result, and returns it. */
int64_t sim_end(struct simdisk *sim, uint64_t number, int64_t result);
/* Time that an operation takes. */
int64_t sim_latency(struct simdisk *sim);
void sim_complain(struct simdisk *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

extern const struct dwal__disk_ops sim_disk_ops;

#endif
