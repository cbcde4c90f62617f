/* SPDX-License-Identifier: MIT */
/*
 * What is on a disk at any position of its log of writes. Position p: the
 * entries before p have happened.
 *
 * A power cut leaves everything that a flush covered, and of the rest whatever
 * it likes, sector by sector. The image keeps the two apart.
 */
#ifndef DWAL_TESTS_REALFS_IMAGE_H
#define DWAL_TESTS_REALFS_IMAGE_H

#include "writelog.h"

#define IMAGE_PAGE 4096u

enum image_way {
    IMAGE_PREFIX,  /* all that was written before the cut is there */
    IMAGE_FLUSHED, /* nothing but what was flushed */
    IMAGE_RANDOM   /* any sectors of the unflushed writes, drawn */
};
extern const char *const image_way_names[3];

struct image {
    const struct writelog_view *view;
    uint64_t size;
    size_t position;
    bool pages_whole; /* tear no page but those of the log's own writes */
    uint8_t *flushed; /* @size bytes */
    uint8_t *present; /* a byte a page of @flushed: it is not all zero */
    size_t *pending;  /* entries that no flush covered yet, in order */
    size_t pending_count;
    size_t pending_max;
};

/* Where a state is put together. */
struct image_target {
    uint8_t *bytes; /* as many as the image has; memory of @fd */
    int fd;         /* a memfd or a file on tmpfs */
};

/* 0 or -errno. */
int image_make(struct image *image, const struct writelog_view *view,
               uint64_t size, bool pages_whole);
void image_free(struct image *image);

/* Moves on to @position, which is not before the present one. */
void image_advance(struct image *image, size_t position);

/* Makes @target, whatever is in it, the disk after a crash at the present
 * position. @draw is used for IMAGE_RANDOM only. 0 or -errno. */
int image_compose(const struct image *image, enum image_way way, uint64_t draw,
                  const struct image_target *target);

#endif
