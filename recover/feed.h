/* SPDX-License-Identifier: MIT */
/*
 * A file, read forward: large aligned direct reads, and from them any stretch
 * of bytes in one piece. Where the caller says how far it is going to read,
 * and the disk permits, several reads are kept in flight (ahead.h).
 *
 * Memory: what was asked for in one piece or 1 MiB, whichever is more, and
 * DWAL__AHEAD_MEMORY once something was read ahead.
 */
#ifndef DWAL_RECOVER_FEED_H
#define DWAL_RECOVER_FEED_H

#include "ahead.h"
#include "disk.h"

struct dwal__feed {
    /* Set by dwal__feed_init. */
    struct dwal__disk *disk;
    int dir;
    /* Called after each read; a non-zero return makes dwal__feed_get fail
     * with -ECANCELED. May be NULL. */
    int (*moved)(void *argument, uint64_t bytes);
    void *argument;

    /* The open file. */
    int handle; /* -1: none */
    bool direct;
    const char *name;
    uint64_t file_size;
    uint32_t unit;       /* reads begin and end at its multiples */
    uint64_t until;      /* what the caller expects to read; 0: no idea */
    uint64_t bad_offset; /* where the last dwal__feed_get failed */

    /* What is in memory. The buffer is kept from file to file. */
    uint8_t *buffer;
    size_t capacity;
    uint64_t start; /* offset in the file */
    size_t filled;
    size_t ahead; /* bytes that the next read brings, at least */

    /* More reads in flight; NULL until first used. */
    struct dwal__ahead *reads;
    bool reads_off; /* not in this file any more */
};

void dwal__feed_init(struct dwal__feed *feed, struct dwal__disk *disk, int dir);

/* Opens @name, which must stay valid until the close. 0 or a negative errno.
 * O_DIRECT where it is supported, else through the page cache. */
int dwal__feed_open(struct dwal__feed *feed, const char *name);

/* The caller is going to read on to @until: @certain, or only if nothing comes
 * between. Nothing beyond is read without need. Holds until the file is closed
 * or something else is said. */
void dwal__feed_expect(struct dwal__feed *feed, uint64_t until, bool certain);

/* The caller looks here and there: from now on no more is read than what is
 * asked for in one piece. Until something is expected with certainty, or
 * forgotten, or another file opened. */
void dwal__feed_sparse(struct dwal__feed *feed);

/*
 * Sets *@bytes to @size bytes of the file from @offset on, valid until the next
 * call. They must lie inside feed->file_size. 0; -EIO if the file has become
 * shorter, -ENOMEM, -ECANCELED or what the read said. Then feed->bad_offset is
 * the first place that cannot be read: no large read hides it, and none that
 * failed for bytes which nobody asked for is told.
 */
int dwal__feed_get(struct dwal__feed *feed, uint64_t offset, size_t size,
                   uint8_t **bytes);

/* Drops what is in memory from @offset on: the file may have changed there. */
void dwal__feed_forget(struct dwal__feed *feed, uint64_t offset);

/* Gives the memory to @to, which has none; what was in it is forgotten. */
void dwal__feed_hand_over(struct dwal__feed *feed, struct dwal__feed *to);

/* Closes the file, if one is open. */
void dwal__feed_close(struct dwal__feed *feed);

/* Frees the memory too. */
void dwal__feed_release(struct dwal__feed *feed);

#endif
