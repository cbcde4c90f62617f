/* SPDX-License-Identifier: MIT */
/*
 * A small log, the same on every machine: fixed UUID, salts and times. Its
 * files lie in v1/ and are annotated in SPEC 13.
 */
#ifndef DWAL_TESTS_GOLDEN_IMAGE_H
#define DWAL_TESTS_GOLDEN_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define GOLDEN_BLOCK_SIZE 512
#define GOLDEN_SEGMENT_SIZE (16 * GOLDEN_BLOCK_SIZE)
#define GOLDEN_FILES 3

struct golden_file {
    const char *name;
    size_t size;
    uint8_t bytes[GOLDEN_SEGMENT_SIZE];
};

/* Fills LOCK, the segment with the records, and its empty successor. */
void golden_image_make(struct golden_file files[GOLDEN_FILES]);

#endif
