/* SPDX-License-Identifier: MIT */
/*
 * A sparse index into the segments of a log: where batches begin, and with
 * which LSN. Learned as batches are passed by or come upon; never complete, and
 * nothing depends on it but time.
 *
 * Why an entry stays true. The number of a segment is never given twice, and
 * no block below the durable end is written again while a file has that number
 * (SPEC 2, 11.2, 11.7). So what once was "in segment n the batch with first LSN
 * l begins at offset o" is so for ever. What a cut drops, or the use of a file
 * for another segment, does not make it false: it makes it a fact about
 * something that the log does not hold any more. What the log holds the lineage
 * knows: which segments, up to which offset, and which LSNs are in which of
 * them. So it is asked first, in every case: an LSN that was cut off and given
 * again is looked for in the segment that has it now, and entries at or behind
 * the end that the lineage knows of a segment are not used. The batch at an
 * entry's place is then checked like any other, salt, number and offset
 * included; if it is not there, the segment is walked from its beginning.
 *
 * Memory: an entry is 16 bytes, and there are DWAL__PLACES_MAX at most: 1 MiB,
 * 2 MiB with what lists have in reserve, 6 MiB in a log of as many segments. No
 * entry is nearer to the one before it than a spacing, 16 KiB at first; when all
 * are taken the spacing is doubled, and those that are too near are dropped.
 */
#ifndef DWAL_RECOVER_PLACES_H
#define DWAL_RECOVER_PLACES_H

#include "lineage.h"

#define DWAL__PLACES_MAX 65536u
#define DWAL__PLACES_SPACING ((uint64_t)16 << 10)

struct dwal__places;

/* A batch: where it begins, and its LSNs. */
struct dwal__places_entry {
    uint64_t first_lsn;
    uint32_t lsn_count;
    uint32_t blocks; /* its offset, in units of DWAL__BLOCK_SIZE_MIN */
};

struct dwal__places_entry
dwal__places_entry(const struct dwal__batch_header *header);
uint64_t dwal__places_offset(const struct dwal__places_entry *entry);

/* NULL: no memory. */
struct dwal__places *dwal__places_new(void);
void dwal__places_free(struct dwal__places *places);

/* A batch of segment @number. Kept if none is near, and if there is memory. */
void dwal__places_learn(struct dwal__places *places, uint64_t number,
                        struct dwal__places_entry entry);

/* Sets *@low to the last entry of segment @number with a first LSN of at most
 * @lsn, and *@high to the first one with a larger one, both before @end; each
 * stays as it is if there is none. */
void dwal__places_find(const struct dwal__places *places, uint64_t number,
                       uint64_t end, uint64_t lsn,
                       struct dwal__places_entry *low,
                       struct dwal__places_entry *high);

/* Drops what is known of segments that @lineage does not have. */
void dwal__places_keep(struct dwal__places *places,
                       const struct dwal__lineage *lineage);

/* How many entries there are, and how near they may be. */
size_t dwal__places_count(const struct dwal__places *places);
uint64_t dwal__places_spacing(const struct dwal__places *places);

#endif
