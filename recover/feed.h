/* SPDX-License-Identifier: MIT */
/*
 * A file, read forward: large aligned direct reads, and from them any stretch
 * of bytes in one piece. Whoever wants to read ahead, in a second thread or
 * through libaio, does so behind dwal__feed_get.
 */
#ifndef DWAL_RECOVER_FEED_H
#define DWAL_RECOVER_FEED_H

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
    uint32_t unit; /* reads begin and end at its multiples */

    /* What is in memory. The buffer is kept from file to file. */
    uint8_t *buffer;
    size_t capacity;
    uint64_t start; /* offset in the file */
    size_t filled;
    size_t ahead; /* bytes that the next read brings, at least */
};

void dwal__feed_init(struct dwal__feed *feed, struct dwal__disk *disk, int dir);

/* Opens @name, which must stay valid until the close. 0 or a negative errno.
 * O_DIRECT where it is supported, else through the page cache. */
int dwal__feed_open(struct dwal__feed *feed, const char *name);

/*
 * Sets *@bytes to @size bytes of the file from @offset on, valid until the next
 * call. They must lie inside feed->file_size. 0; -EIO if the file has become
 * shorter, -ENOMEM, -ECANCELED or what the read said.
 */
int dwal__feed_get(struct dwal__feed *feed, uint64_t offset, size_t size,
                   uint8_t **bytes);

/* Closes the file, if one is open. */
void dwal__feed_close(struct dwal__feed *feed);

/* Frees the buffer too. */
void dwal__feed_release(struct dwal__feed *feed);

#endif
