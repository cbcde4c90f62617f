/* SPDX-License-Identifier: MIT */
/*
 * Where every byte of the format lies (SPEC 4 to 6), and its limits (SPEC 9).
 *
 * The structs hold only byte arrays. They exist for offsetof() and for the
 * assertions below; nothing is ever cast to them.
 */
#ifndef DWAL_FORMAT_LAYOUT_H
#define DWAL_FORMAT_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define DWAL__FORMAT_VERSION 1

#define DWAL__UUID_SIZE 16
#define DWAL__METADATA_SIZE_MAX 1024

#define DWAL__BLOCK_SIZE_MIN 512u
#define DWAL__BLOCK_SIZE_MAX 65536u
#define DWAL__SEGMENT_BLOCKS_MIN 16u
#define DWAL__SEGMENT_SIZE_MAX (UINT64_C(1) << 40)
#define DWAL__RECORD_ALIGNMENT 8u
#define DWAL__BATCH_RECORDS_MAX 131071u
#define DWAL__LSN_MAX (UINT64_MAX >> 1)
#define DWAL__NUMBER_MAX (UINT64_MAX >> 1) /* of a segment */

/* SPEC 4.2: the segment header, at offset 0, padded with zeros to a block. */
struct dwal__segment_header_bytes {
    uint8_t magic[8];
    uint8_t crc[4]; /* over version … reserved */
    uint8_t version[2];
    uint8_t header_size[2];
    uint8_t features_incompatible[4];
    uint8_t features_read_only[4];
    uint8_t features_compatible[4];
    uint8_t block_size[4];
    uint8_t uuid[16];
    uint8_t number[8];
    uint8_t previous[8];
    uint8_t epoch[8];
    uint8_t salt[8];
    uint8_t segment_size[8];
    uint8_t created_ns[8];
    uint8_t reserved[32];
};

#define DWAL__AT(type, field, offset, size)                                   \
    static_assert(offsetof(struct type, field) == (offset) &&                 \
                      sizeof(((struct type *)0)->field) == (size),            \
                  #type "." #field " moved")

DWAL__AT(dwal__segment_header_bytes, magic, 0, 8);
DWAL__AT(dwal__segment_header_bytes, crc, 8, 4);
DWAL__AT(dwal__segment_header_bytes, version, 12, 2);
DWAL__AT(dwal__segment_header_bytes, header_size, 14, 2);
DWAL__AT(dwal__segment_header_bytes, features_incompatible, 16, 4);
DWAL__AT(dwal__segment_header_bytes, features_read_only, 20, 4);
DWAL__AT(dwal__segment_header_bytes, features_compatible, 24, 4);
DWAL__AT(dwal__segment_header_bytes, block_size, 28, 4);
DWAL__AT(dwal__segment_header_bytes, uuid, 32, 16);
DWAL__AT(dwal__segment_header_bytes, number, 48, 8);
DWAL__AT(dwal__segment_header_bytes, previous, 56, 8);
DWAL__AT(dwal__segment_header_bytes, epoch, 64, 8);
DWAL__AT(dwal__segment_header_bytes, salt, 72, 8);
DWAL__AT(dwal__segment_header_bytes, segment_size, 80, 8);
DWAL__AT(dwal__segment_header_bytes, created_ns, 88, 8);
DWAL__AT(dwal__segment_header_bytes, reserved, 96, 32);
#define DWAL__SEGMENT_HEADER_SIZE 128u
static_assert(sizeof(struct dwal__segment_header_bytes) ==
                  DWAL__SEGMENT_HEADER_SIZE,
              "segment header size");

/* SPEC 5.1: the batch header, at a block boundary; records follow. */
struct dwal__batch_header_bytes {
    uint8_t magic[4];
    uint8_t crc[4]; /* over segment … reserved */
    uint8_t segment[8];
    uint8_t salt[8];
    uint8_t offset[8];
    uint8_t size[8];
    uint8_t first_lsn[8];
    uint8_t record_count[4];
    uint8_t lsn_count[4];
    uint8_t watermark_lsn[8];
    uint8_t watermark_segment[8];
    uint8_t watermark_offset[8];
    uint8_t digest[4];
    uint8_t link[4];
    uint8_t sealed_ns[8];
    uint8_t flags[4];
    uint8_t reserved[28];
};

DWAL__AT(dwal__batch_header_bytes, magic, 0, 4);
DWAL__AT(dwal__batch_header_bytes, crc, 4, 4);
DWAL__AT(dwal__batch_header_bytes, segment, 8, 8);
DWAL__AT(dwal__batch_header_bytes, salt, 16, 8);
DWAL__AT(dwal__batch_header_bytes, offset, 24, 8);
DWAL__AT(dwal__batch_header_bytes, size, 32, 8);
DWAL__AT(dwal__batch_header_bytes, first_lsn, 40, 8);
DWAL__AT(dwal__batch_header_bytes, record_count, 48, 4);
DWAL__AT(dwal__batch_header_bytes, lsn_count, 52, 4);
DWAL__AT(dwal__batch_header_bytes, watermark_lsn, 56, 8);
DWAL__AT(dwal__batch_header_bytes, watermark_segment, 64, 8);
DWAL__AT(dwal__batch_header_bytes, watermark_offset, 72, 8);
DWAL__AT(dwal__batch_header_bytes, digest, 80, 4);
DWAL__AT(dwal__batch_header_bytes, link, 84, 4);
DWAL__AT(dwal__batch_header_bytes, sealed_ns, 88, 8);
DWAL__AT(dwal__batch_header_bytes, flags, 96, 4);
DWAL__AT(dwal__batch_header_bytes, reserved, 100, 28);
#define DWAL__BATCH_HEADER_SIZE 128u
static_assert(sizeof(struct dwal__batch_header_bytes) ==
                  DWAL__BATCH_HEADER_SIZE,
              "batch header size");

/* SPEC 5.2: the record header; the payload follows, then 0 to 7 zero bytes. */
struct dwal__record_header_bytes {
    uint8_t crc[4]; /* over size … salt, then the payload */
    uint8_t size[4];
    uint8_t lsn[8];
    uint8_t type[2];
    uint8_t flags[2];
    uint8_t tenant[4];
    uint8_t shard[4];
    uint8_t salt[4];
};

DWAL__AT(dwal__record_header_bytes, crc, 0, 4);
DWAL__AT(dwal__record_header_bytes, size, 4, 4);
DWAL__AT(dwal__record_header_bytes, lsn, 8, 8);
DWAL__AT(dwal__record_header_bytes, type, 16, 2);
DWAL__AT(dwal__record_header_bytes, flags, 18, 2);
DWAL__AT(dwal__record_header_bytes, tenant, 20, 4);
DWAL__AT(dwal__record_header_bytes, shard, 24, 4);
DWAL__AT(dwal__record_header_bytes, salt, 28, 4);
#define DWAL__RECORD_HEADER_SIZE 32u
static_assert(sizeof(struct dwal__record_header_bytes) ==
                  DWAL__RECORD_HEADER_SIZE,
              "record header size");

/* SPEC 6.1: the payload of a start record; the metadata blob follows. */
struct dwal__start_bytes {
    uint8_t previous_segment[8];
    uint8_t previous_end[8];
    uint8_t previous_lsn[8];
    uint8_t previous_link[4];
    uint8_t flags[4];
    uint8_t trim_lsn[8];
    uint8_t metadata_size[4];
    uint8_t reserved[4];
};

DWAL__AT(dwal__start_bytes, previous_segment, 0, 8);
DWAL__AT(dwal__start_bytes, previous_end, 8, 8);
DWAL__AT(dwal__start_bytes, previous_lsn, 16, 8);
DWAL__AT(dwal__start_bytes, previous_link, 24, 4);
DWAL__AT(dwal__start_bytes, flags, 28, 4);
DWAL__AT(dwal__start_bytes, trim_lsn, 32, 8);
DWAL__AT(dwal__start_bytes, metadata_size, 40, 4);
DWAL__AT(dwal__start_bytes, reserved, 44, 4);
#define DWAL__START_SIZE 48u
#define DWAL__START_SIZE_MAX (DWAL__START_SIZE + DWAL__METADATA_SIZE_MAX)
static_assert(sizeof(struct dwal__start_bytes) == DWAL__START_SIZE,
              "start size");

/* SPEC 6.2: the payload of a trim record. */
struct dwal__trim_bytes {
    uint8_t trim_lsn[8];
};
DWAL__AT(dwal__trim_bytes, trim_lsn, 0, 8);
#define DWAL__TRIM_SIZE 8u
static_assert(sizeof(struct dwal__trim_bytes) == DWAL__TRIM_SIZE, "trim size");

#endif
