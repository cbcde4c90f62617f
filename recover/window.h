/* SPDX-License-Identifier: MIT */
/*
 * One open segment and whole, checked batches out of it, for readers: unlike
 * recovery they meet segments that are being written or retired meanwhile.
 */
#ifndef DWAL_RECOVER_WINDOW_H
#define DWAL_RECOVER_WINDOW_H

#include "../format/batch.h"
#include "../format/error.h"
#include "feed.h"

struct dwal__window {
    struct dwal__feed feed;
    char name[DWAL__NAME_SIZE];         /* of the open segment */
    struct dwal__segment_header header; /* of the open segment, checked */
};

/* A batch in the window, checked; valid until the next call that reads. */
struct dwal__window_batch {
    const uint8_t *bytes;
    struct dwal__batch_header header;
    struct dwal__batch_summary summary;
    uint64_t end; /* offset behind the batch, padding included */
};

/* What a batch must say of the one before it. */
struct dwal__expected {
    bool link_known; /* false: @link is not compared */
    uint32_t link;
    bool lsn_known; /* false: @first_lsn is not compared */
    uint64_t first_lsn;
};

void dwal__window_init(struct dwal__window *window, struct dwal__disk *disk,
                       int dir);
void dwal__window_release(struct dwal__window *window);

/*
 * Opens segment @number, and closes the one before; nothing to do if it is open
 * already. @uuid may be NULL: any will do. DWAL_OK, DWAL_ENOENT (no such file, or it was renamed while it was
 * looked at), DWAL_ECORRUPT (not well-formed, SPEC 4.2), DWAL_EVERSION,
 * DWAL_EIO, DWAL_ENOMEM. On failure no segment is open.
 */
int dwal__window_open(struct dwal__window *window, uint64_t number,
                      const struct dwal__uuid *uuid, struct dwal_error *error);
void dwal__window_close(struct dwal__window *window);

/* Gives the memory to @to, which has none: it may have another segment open. */
void dwal__window_hand_over(struct dwal__window *window,
                            struct dwal__window *to);

/* The caller reads on to @until, see dwal__feed_expect. */
void dwal__window_expect(struct dwal__window *window, uint64_t until,
                         bool certain);

/* The caller looks here and there, see dwal__feed_sparse. */
void dwal__window_sparse(struct dwal__window *window);

/* Brings @size bytes into memory in one read, for the calls that follow. They
 * must lie inside the segment. DWAL_OK, DWAL_EIO, DWAL_ENOMEM. */
int dwal__window_bring(struct dwal__window *window, uint64_t offset,
                       uint64_t size, struct dwal_error *error);

/* Drops what is in memory from @offset on: the file may have changed there. */
void dwal__window_forget(struct dwal__window *window, uint64_t offset);

/*
 * Looks for a batch header at @offset, a block boundary inside the segment.
 * Sets
 * *@fault as dwal__batch_header_decode does, to SHORT if the file was cut off.
 * DWAL_OK (also with a fault), DWAL_EIO, DWAL_ENOMEM.
 */
int dwal__window_header(struct dwal__window *window, uint64_t offset,
                        struct dwal__batch_header *header,
                        enum dwal__fault *fault, struct dwal_error *error);

/* The same for a whole batch. With a fault in @where nothing of @batch may be
 * used but its header, and that only if *@readable, which may be NULL; and its
 * start, if the summary has one and @where is in no record or a later one. The
 * summary is not touched where the batch is not looked at beyond its header. */
int dwal__window_batch(struct dwal__window *window, uint64_t offset,
                       const struct dwal__expected *expected,
                       struct dwal__window_batch *batch,
                       struct dwal__batch_fault *where, bool *readable,
                       struct dwal_error *error);

/* 1 if the open segment is none any more: its file was renamed, or is used
 * again (SPEC 12). 0 if it still is. Otherwise DWAL_EIO, DWAL_ENOMEM. */
int dwal__window_retired(struct dwal__window *window, struct dwal_error *error);

/* The first readable header at a block boundary from @from to before @until.
 * Sets *@found. DWAL_OK, DWAL_EIO, DWAL_ENOMEM. */
int dwal__window_search(struct dwal__window *window, uint64_t from,
                        uint64_t until, bool *found,
                        struct dwal__batch_header *header,
                        struct dwal_error *error);

#endif
