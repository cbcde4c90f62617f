/* SPDX-License-Identifier: MIT */
/*
 * Reading ahead of who reads a file in order: a few threads keep reads in
 * flight, so that the disk never waits for checksums. The threads live only as
 * long as there is something to read ahead.
 *
 * Bounds: DWAL__AHEAD_READS threads, DWAL__AHEAD_MEMORY bytes.
 */
#ifndef DWAL_RECOVER_AHEAD_H
#define DWAL_RECOVER_AHEAD_H

#include "disk.h"

#define DWAL__AHEAD_READS 4u /* in flight at once */
#define DWAL__AHEAD_CHUNK ((size_t)1 << 20)
#define DWAL__AHEAD_CHUNKS 8u /* in memory at once */
/* The longest stretch that can be had in one piece. */
#define DWAL__AHEAD_STRETCH ((size_t)4 << 20)
#define DWAL__AHEAD_MEMORY                                                     \
    (DWAL__AHEAD_STRETCH + DWAL__AHEAD_CHUNKS * DWAL__AHEAD_CHUNK)

struct dwal__ahead;

/* What to read: [from, until) of an open file, in reads that begin and end at
 * multiples of @unit; @from is one, and inside the file. */
struct dwal__ahead_range {
    struct dwal__disk *disk; /* whose ops say parallel_reads */
    int handle;              /* stays open until dwal__ahead_stop */
    uint32_t unit;
    uint64_t from;
    uint64_t until;
};

/* Memory for it, aligned to @unit; NULL if there is none. */
struct dwal__ahead *dwal__ahead_new(uint32_t unit);
void dwal__ahead_free(struct dwal__ahead *ahead);

/* Begins. False if no thread could be started. Must be stopped. */
bool dwal__ahead_start(struct dwal__ahead *ahead,
                       const struct dwal__ahead_range *range);
/* Waits for the reads that are in flight, and forgets everything. */
void dwal__ahead_stop(struct dwal__ahead *ahead);
bool dwal__ahead_running(const struct dwal__ahead *ahead);

/* True if these bytes can be asked for: they lie in the range, not before those
 * asked for last, and are few enough. */
bool dwal__ahead_covers(const struct dwal__ahead *ahead, uint64_t offset,
                        size_t size);

/*
 * Waits for them. Sets *@bytes, valid until the next call, and *@arrived to how
 * many bytes were read that no call told of before. False if a read of them
 * failed or came short: which one, and why, is for the caller to find out.
 */
bool dwal__ahead_get(struct dwal__ahead *ahead, uint64_t offset, size_t size,
                     uint8_t **bytes, uint64_t *arrived);

#endif
