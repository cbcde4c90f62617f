/* SPDX-License-Identifier: MIT */
/*
 * The segment header and the names of files (SPEC 4).
 */
#ifndef DWAL_FORMAT_SEGMENT_H
#define DWAL_FORMAT_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "layout.h"

/* A place in the log: behind a batch, or {0, 0} for "nothing". Compared by
 * segment first. */
struct dwal__position {
    uint64_t segment;
    uint64_t offset;
};

struct dwal__uuid {
    uint8_t bytes[DWAL__UUID_SIZE];
};

struct dwal__segment_header {
    uint32_t features_incompatible;
    uint32_t features_read_only;
    uint32_t features_compatible;
    uint32_t block_size; /* bytes, a power of two */
    struct dwal__uuid uuid;
    uint64_t number;   /* from 1 */
    uint64_t previous; /* the segment that this one follows, 0 for none */
    uint64_t epoch;    /* from 1 */
    uint64_t salt;     /* random, new for each use of a file */
    uint64_t segment_size; /* bytes, a multiple of block_size */
    uint64_t created_ns;   /* wall clock, since 1970 */
    uint32_t crc;          /* decoder only: also the link of the first batch */
};

/* <0, 0 or >0 as @a lies before, at or behind @b. */
int dwal__position_compare(struct dwal__position a, struct dwal__position b);

/* Fills a whole block of header->block_size bytes; returns the header's CRC. */
uint32_t dwal__segment_header_encode(const struct dwal__segment_header *header,
                                     uint8_t *block);

/*
 * Reads the first DWAL__SEGMENT_HEADER_SIZE bytes. @size is what there is.
 * FAULT_VERSION comes with the header filled, so that the message can tell
 * which bits are unknown; the read-only-compatible bits are left to the caller.
 * The padding behind it is checked by dwal__segment_padding_check.
 */
enum dwal__fault
dwal__segment_header_decode(const uint8_t *bytes, size_t size,
                            struct dwal__segment_header *header);

/* True if the rest of the header's block is zero. */
bool dwal__segment_padding_check(const uint8_t *block,
                                 const struct dwal__segment_header *header);

/* True if both may be used together by a segment header (SPEC 9). */
bool dwal__segment_sizes_valid(uint64_t block_size, uint64_t segment_size);

/* SPEC 4.1: "%016x.wal" and "%016x.spare". */
#define DWAL__NAME_SIZE 24
void dwal__segment_name(uint64_t number, char name[DWAL__NAME_SIZE]);
void dwal__spare_name(uint64_t number, char name[DWAL__NAME_SIZE]);

enum dwal__name_kind {
    DWAL__NAME_OTHER,   /* not ours */
    DWAL__NAME_SEGMENT, /* a segment; the number is set */
    DWAL__NAME_SPARE,   /* a spare; the number is set */
    DWAL__NAME_LOCK,
    DWAL__NAME_BAD /* ends in .wal but is no number of 16 hex digits, or is 0 */
};
enum dwal__name_kind dwal__name_parse(const char *name, uint64_t *number);

/* SPEC 4.3: the LOCK file, one line of text. */
#define DWAL__LOCK_NAME "LOCK"
#define DWAL__LOCK_SIZE 58u
#define DWAL__UUID_TEXT_SIZE 37
void dwal__uuid_text(const struct dwal__uuid *uuid,
                     char text[DWAL__UUID_TEXT_SIZE]);
void dwal__lock_encode(const struct dwal__uuid *uuid,
                       uint8_t bytes[DWAL__LOCK_SIZE]);
enum dwal__fault dwal__lock_decode(const uint8_t *bytes, size_t size,
                                   struct dwal__uuid *uuid);

#endif
