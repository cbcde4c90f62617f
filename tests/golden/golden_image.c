/* SPDX-License-Identifier: MIT */
/*
 * The golden log of format version 1. It holds every kind of record once:
 *
 *     0000  segment header
 *     0200  start, LSN 1, LSN 2
 *     0400  LSN 3 over a block's edge, metadata
 *     0800  trim point 1
 *     0A00  mark
 *     0C00  LSN 4, empty
 *     0E00  close
 *     1000  zeros, as they were written ahead
 *
 * Each batch was sealed after the one before was durable, so its watermark is
 * its own place. Recovery finds it clean, with the records 2 to 4.
 *
 * It is frozen: a version of the format that was released stays readable. What
 * a new version adds gets a folder of its own.
 */
#include "golden_image.h"

#include <assert.h>
#include <string.h>

#include "format/bytes.h"
#include "tests/support/batch_maker.h"

#define SECOND UINT64_C(1000000000)
#define CREATED_NS (UINT64_C(1735689600) * SECOND) /* 2025-01-01T00:00:00Z */

/* clang-format off */
#define UUID {{0x64, 0x77, 0x61, 0x6C, 0x20, 0x67, 0x40, 0x6F, \
               0x80, 0x64, 0x65, 0x6E, 0x20, 0x6C, 0x6F, 0x67}}
/* clang-format on */

static const struct dwal__segment_header segment = {
    .block_size = GOLDEN_BLOCK_SIZE,
    .uuid = UUID,
    .number = 1,
    .previous = 0,
    .epoch = 1,
    .salt = 0x0123456789ABCDEF,
    .segment_size = GOLDEN_SEGMENT_SIZE,
    .created_ns = CREATED_NS,
};

static const struct dwal__segment_header successor = {
    .block_size = GOLDEN_BLOCK_SIZE,
    .uuid = UUID,
    .number = 2,
    .previous = 1,
    .epoch = 1,
    .salt = 0xFEDCBA9876543210,
    .segment_size = GOLDEN_SEGMENT_SIZE,
    .created_ns = CREATED_NS + 1,
};

/* The segment while it grows. */
struct image {
    uint8_t *bytes;
    size_t end;
    uint64_t lsn; /* the next */
    uint32_t link;
    struct batch_maker batch;
};

static void image_batch_begin(struct image *image) {
    struct batch_maker *batch = &image->batch;
    batch_begin(batch, image->bytes + image->end,
                GOLDEN_SEGMENT_SIZE - image->end, &segment, image->end,
                image->lsn);
    batch->header.link = image->link;
    batch->header.sealed_ns =
        CREATED_NS + image->end / GOLDEN_BLOCK_SIZE * SECOND;
    if (image->end == GOLDEN_BLOCK_SIZE)
        return; /* nothing is durable before the first batch */
    batch->header.watermark = (struct dwal__watermark){
        .lsn = image->lsn - 1, .position = {segment.number, image->end}};
}

static void image_batch_seal(struct image *image) {
    image->end += batch_seal(&image->batch);
    image->link = image->batch.header.crc;
    image->lsn += image->batch.header.lsn_count;
}

static void image_first_batch(struct image *image) {
    image_batch_begin(image);
    uint8_t start[DWAL__START_SIZE_MAX];
    uint32_t size = dwal__start_encode(&(struct dwal__start){0}, start);
    batch_add_system(&image->batch, DWAL__SYSTEM_START, start, size);
    batch_add(&image->batch,
              (struct dwal__record){.data = (const uint8_t *)"first record",
                                    .size = 12,
                                    .type = 1,
                                    .tenant = 7,
                                    .shard = 3});
    batch_add(&image->batch,
              (struct dwal__record){.data = (const uint8_t *)"second",
                                    .size = 6,
                                    .type = 0x8002,
                                    .flags = 0x0100,
                                    .tenant = 0xFFFFFFFF,
                                    .shard = 0x00010000});
    image_batch_seal(image);
}

static void image_large_batch(struct image *image) {
    uint8_t payload[600];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7 + 1);
    image_batch_begin(image);
    batch_add(&image->batch,
              (struct dwal__record){.data = payload, .size = sizeof payload});
    batch_add_system(&image->batch, DWAL__SYSTEM_METADATA, "term 2, vote 1",
                     14);
    image_batch_seal(image);
}

static void image_system_batch(struct image *image, uint16_t type,
                               const void *data, uint32_t size) {
    image_batch_begin(image);
    batch_add_system(&image->batch, type, data, size);
    image_batch_seal(image);
}

static void image_fill(uint8_t *bytes) {
    struct image image = {.bytes = bytes,
                          .end = GOLDEN_BLOCK_SIZE,
                          .lsn = 1,
                          .link = dwal__segment_header_encode(&segment, bytes)};
    image_first_batch(&image);
    image_large_batch(&image);
    uint8_t trim[DWAL__TRIM_SIZE];
    dwal__put64(trim, 1);
    image_system_batch(&image, DWAL__SYSTEM_TRIM, trim, sizeof trim);
    image_system_batch(&image, DWAL__SYSTEM_MARK, NULL, 0);
    image_batch_begin(&image);
    batch_add(&image.batch, (struct dwal__record){.size = 0});
    image_batch_seal(&image);
    image_system_batch(&image, DWAL__SYSTEM_CLOSE, NULL, 0);
    assert(image.end == 0x1000);
}

void golden_image_make(struct golden_file files[GOLDEN_FILES]) {
    memset(files, 0, GOLDEN_FILES * sizeof files[0]);
    files[0].name = "LOCK";
    files[0].size = DWAL__LOCK_SIZE;
    dwal__lock_encode(&segment.uuid, files[0].bytes);
    files[1].name = "0000000000000001.wal";
    files[1].size = GOLDEN_SEGMENT_SIZE;
    image_fill(files[1].bytes);
    files[2].name = "0000000000000002.wal";
    files[2].size = GOLDEN_SEGMENT_SIZE;
    dwal__segment_header_encode(&successor, files[2].bytes);
}
