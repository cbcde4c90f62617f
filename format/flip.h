/* SPDX-License-Identifier: MIT */
/*
 * Telling a flipped bit from a torn write (SPEC 7.8): does changing exactly one
 * bit make the batch that should stand at a place valid? If so, and the bit's
 * sector holds anything at all, the batch had been written whole.
 */
#ifndef DWAL_FORMAT_FLIP_H
#define DWAL_FORMAT_FLIP_H

#include "batch.h"

/* Where a batch should stand, and what it should follow. */
struct dwal__flip_place {
    const struct dwal__segment_header *segment;
    uint64_t offset;    /* in the segment; a block boundary inside it */
    uint32_t link;      /* CRC of the header before */
    uint64_t first_lsn; /* 0: what the start in it says, a first batch */
};

struct dwal__flip {
    uint64_t offset; /* of the byte, in the segment */
    unsigned bit;    /* 0 (value 1) to 7 (value 128) */
};

/*
 * How many bytes from the place on dwal__flip_find wants to see: the batch with
 * its padding; 0 if no single bit of the header explains what is wrong with it,
 * so that there is nothing to find. @block is the block at the place.
 */
uint64_t dwal__flip_extent(const uint8_t *block,
                           const struct dwal__flip_place *place);

/*
 * True, and sets *@flip, if one flipped bit is what makes the batch at @bytes
 * invalid. @bytes holds what dwal__flip_extent asked for; single bits of it are
 * changed while this runs, and put back. The time is linear in the size of the
 * batch, at most some 40 times that of checking it.
 */
bool dwal__flip_find(uint8_t *bytes, const struct dwal__flip_place *place,
                     struct dwal__flip *flip);

#endif
