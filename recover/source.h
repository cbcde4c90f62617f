/* SPDX-License-Identifier: MIT */
/*
 * A damaged file, read as far as it can be: what the disk refuses to read is
 * zeros, and counted. For salvage and for rebuilding a header; recovery never
 * takes a read error for anything else (feed.h).
 */
#ifndef DWAL_RECOVER_SOURCE_H
#define DWAL_RECOVER_SOURCE_H

#include "disk.h"

struct dwal__source {
    struct dwal__disk *disk;
    int handle; /* -1: none */
    uint64_t size;
    uint64_t unreadable; /* bytes that were taken for zeros */

    /* What is in memory. The buffer is kept from file to file. */
    uint8_t *buffer;
    size_t capacity;
    uint64_t start;
    size_t filled;
};

/* Opens @name in @dir and closes what was open. 0 or a negative errno. */
int dwal__source_open(struct dwal__source *source, struct dwal__disk *disk,
                      int dir, const char *name);

/* Sets *@bytes to @size bytes from @offset on, valid until the next call. They
 * must lie inside source->size. 0 or -ENOMEM. */
int dwal__source_get(struct dwal__source *source, uint64_t offset, size_t size,
                     const uint8_t **bytes);

/* Closes the file and frees the buffer. */
void dwal__source_release(struct dwal__source *source);

#endif
