/* SPDX-License-Identifier: MIT */
/*
 * Batches in memory. The header's size, counts and digest always agree with the
 * records that were added, so that a sealed batch is valid.
 */
#include "batch_maker.h"

#include <assert.h>
#include <string.h>

#include "format/bytes.h"

void batch_begin(struct batch_maker *maker, uint8_t *bytes, size_t capacity,
                 const struct dwal__segment_header *segment, uint64_t offset,
                 uint64_t first_lsn) {
    *maker = (struct batch_maker){.bytes = bytes,
                                  .capacity = capacity,
                                  .block_size = segment->block_size,
                                  .header = {.segment = segment->number,
                                             .salt = segment->salt,
                                             .offset = offset,
                                             .size = DWAL__BATCH_HEADER_SIZE,
                                             .first_lsn = first_lsn}};
    assert(capacity >= DWAL__BATCH_HEADER_SIZE);
}

void batch_add_raw(struct batch_maker *maker,
                   const struct dwal__record *record) {
    struct dwal__batch_header *header = &maker->header;
    assert(dwal__record_room(record->size) <= maker->capacity - header->size);
    uint32_t crc =
        dwal__record_encode(record, header->salt, maker->bytes + header->size);
    header->digest = dwal__digest(header->digest, &crc, 1);
    header->size += dwal__record_room(record->size);
    header->record_count++;
    if (record->lsn != 0)
        header->lsn_count++;
}

void batch_add(struct batch_maker *maker, struct dwal__record record) {
    record.lsn = maker->header.first_lsn + maker->header.lsn_count;
    batch_add_raw(maker, &record);
}

void batch_add_system(struct batch_maker *maker, uint16_t type,
                      const void *data, uint32_t size) {
    struct dwal__record record = {.type = type, .data = data, .size = size};
    batch_add_raw(maker, &record);
}

size_t batch_seal(struct batch_maker *maker) {
    struct dwal__batch_header *header = &maker->header;
    size_t padded = dwal__align_up(header->size, maker->block_size);
    assert(padded <= maker->capacity);
    memset(maker->bytes + header->size, 0, padded - header->size);
    header->crc = dwal__batch_header_encode(header, maker->bytes);
    return padded;
}
