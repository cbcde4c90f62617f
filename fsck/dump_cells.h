/* SPDX-License-Identifier: MIT */
/*
 * The picture that --map draws: what stands in each stretch of a file goes in,
 * in order; cells, one a block range, come out on standard output, or ranges
 * with --json.
 */
#ifndef DWAL_FSCK_DUMP_CELLS_H
#define DWAL_FSCK_DUMP_CELLS_H

#include <stdbool.h>
#include <stdint.h>

#include "json.h"

enum dwal__cell {
    DWAL__CELL_HEADER,
    DWAL__CELL_BATCH,
    DWAL__CELL_PADDING, /* behind a batch, to its block's end */
    DWAL__CELL_TRIMMED, /* whole batches that are no longer needed */
    DWAL__CELL_HIDDEN,  /* whole batches that the log does not reach */
    DWAL__CELL_FREE,    /* zeros */
    DWAL__CELL_STALE,   /* left by an older use of the file */
    DWAL__CELL_TORN,    /* behind the end of the log: torn, or being written */
    DWAL__CELL_DAMAGED,
    DWAL__CELL_COUNT
};

struct dwal__cells {
    /* Set by the caller. */
    bool json;
    bool live;          /* somebody is writing the log */
    uint64_t cell_size; /* wished for; 0: so that a segment fills a row */

    /* All segments so far. */
    uint64_t totals[DWAL__CELL_COUNT]; /* bytes */
    uint64_t cell_min, cell_max;       /* sizes that were used */

    /* The segment that is being drawn. */
    struct dwal__json object;
    uint64_t size;  /* of the file */
    uint64_t cell;  /* bytes of a cell */
    unsigned width; /* cells in a row */
    unsigned column;
    uint64_t sums[DWAL__CELL_COUNT]; /* bytes */
    uint64_t at;                      /* what went in ends here */
    uint64_t bytes[DWAL__CELL_COUNT]; /* in the cell that is not full */
    uint64_t range_from;              /* json: the range that is not ended */
    enum dwal__cell range_kind;
};

/* Begins the picture of a file of @size bytes. */
void dwal__cells_begin(struct dwal__cells *cells, uint64_t number,
                       const char *state, uint64_t size, uint32_t block_size);
/* The next @size bytes are of this kind. */
void dwal__cells_add(struct dwal__cells *cells, enum dwal__cell kind,
                     uint64_t size);
/* @remark, or NULL, stands behind the last cell. */
void dwal__cells_end(struct dwal__cells *cells, const char *remark);

/* Instead of all three: a file that cannot be drawn, and why. */
void dwal__cells_none(const struct dwal__cells *cells, uint64_t number,
                      const char *state, const char *why);

/* Explains what was used. */
void dwal__cells_legend(const struct dwal__cells *cells);

#endif
