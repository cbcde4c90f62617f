/* SPDX-License-Identifier: MIT */
/*
 * Makes batches in memory, record by record, with the encoders of format/.
 * What it makes is valid; tests that want damage change the bytes afterwards.
 */
#ifndef DWAL_TESTS_BATCH_MAKER_H
#define DWAL_TESTS_BATCH_MAKER_H

#include "format/batch.h"

struct batch_maker {
    uint8_t *bytes; /* the caller's */
    size_t capacity;
    uint32_t block_size;
    struct dwal__batch_header header; /* may be changed until the seal */
};

/* Begins a batch at @offset of @segment in @bytes. */
void batch_begin(struct batch_maker *maker, uint8_t *bytes, size_t capacity,
                 const struct dwal__segment_header *segment, uint64_t offset,
                 uint64_t first_lsn);

/* Adds an application record: the next LSN is filled in. */
void batch_add(struct batch_maker *maker, struct dwal__record record);

/* Adds a system record of @type. */
void batch_add_system(struct batch_maker *maker, uint16_t type,
                      const void *data, uint32_t size);

/* Adds @record as it stands, LSN and all: for what no writer writes. */
void batch_add_raw(struct batch_maker *maker,
                   const struct dwal__record *record);

/* Writes header and padding, returns the size with the padding. The link of
 * the next batch is then maker->header.crc. */
size_t batch_seal(struct batch_maker *maker);

#endif
