/* SPDX-License-Identifier: MIT */
/*
 * The decoders of format/, on one segment: its header, what stands at each
 * block, the batches, their records and starts. What a decoder takes for valid
 * has to be what an encoder would have made.
 */
#include <stdlib.h>
#include <string.h>

#include "format/batch.h"
#include "format/bytes.h"
#include "format/crc.h"
#include "format/flip.h"
#include "guard.h"
#include "target.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    return 0;
}

static void inside_check(const uint8_t *part, size_t size, const uint8_t *whole,
                         size_t whole_size) {
    if (part == NULL || size == 0)
        return;
    fuzz_check(part >= whole && part <= whole + whole_size);
    fuzz_check(size <= (size_t)(whole + whole_size - part));
}

/* A start that is valid is encoded to the same bytes. */
static void start_check(const uint8_t *bytes, size_t size) {
    struct dwal__start start;
    uint8_t again[DWAL__START_SIZE_MAX];
    if (dwal__start_decode(bytes, size, &start) != DWAL__FAULT_NONE)
        return;
    inside_check(start.metadata, start.metadata_size, bytes, size);
    fuzz_check(start.trim_lsn <= DWAL__LSN_MAX);
    fuzz_check(start.previous_lsn <= DWAL__LSN_MAX);
    fuzz_check((start.previous_segment == 0) == (start.previous_end == 0));
    fuzz_check(dwal__start_first_lsn(&start) >= 1);
    fuzz_check(dwal__start_encode(&start, again) == size);
    fuzz_check(memcmp(again, bytes, size) == 0);
}

/* Each record of a batch that was found to be valid; the same by the decoder
 * that checks and by the one that does not. */
static void records_check(const uint8_t *batch,
                          const struct dwal__batch_header *header,
                          uint64_t salt) {
    size_t at = DWAL__BATCH_HEADER_SIZE;
    uint64_t lsn = header->first_lsn;
    uint32_t digest = 0;
    for (uint32_t i = 0; i < header->record_count; i++) {
        struct dwal__record record, loaded;
        size_t room = 0;
        fuzz_check(at < header->size);
        fuzz_check(dwal__record_decode(batch + at, header->size - at, salt,
                                       &record, &room) == DWAL__FAULT_NONE);
        fuzz_check(room == dwal__record_room(record.size));
        inside_check(record.data, record.size, batch, header->size);
        dwal__record_load(batch + at, &loaded);
        fuzz_check(loaded.lsn == record.lsn && loaded.size == record.size &&
                   loaded.data == record.data && loaded.crc == record.crc);
        if (record.lsn != 0)
            fuzz_check(record.lsn == lsn++);
        else
            start_check(record.data, record.size);
        digest = dwal__digest(digest, &record.crc, 1);
        at += room;
    }
    fuzz_check(at == header->size);
    fuzz_check(lsn - header->first_lsn == header->lsn_count);
    fuzz_check(digest == header->digest);
}

/* A batch with a readable header that lies wholly inside what there is. */
static void batch_check(const uint8_t *batch,
                        const struct dwal__batch_header *header,
                        const struct dwal__segment_header *segment) {
    struct dwal__batch_summary summary;
    struct dwal__batch_fault where;
    memset(&where, 0, sizeof where);
    size_t padded = (size_t)dwal__align_up(header->size, segment->block_size);
    enum dwal__fault fault =
        dwal__batch_check(batch, header, segment->block_size, &summary, &where);
    if (fault != DWAL__FAULT_NONE) {
        fuzz_check(where.fault == fault || fault == DWAL__FAULT_VERSION);
        return;
    }
    records_check(batch, header, segment->salt);
    fuzz_check(dwal__zero_run(batch + header->size, padded - header->size) ==
               padded - header->size);
    inside_check(summary.metadata, summary.metadata_size, batch, padded);
    fuzz_check(summary.trim_lsn <= DWAL__LSN_MAX);
}

/* What stands at one block, of which @size bytes are there. */
static void block_check(const uint8_t *bytes, size_t size,
                        const struct dwal__segment_header *segment,
                        uint64_t offset) {
    struct dwal__batch_header header;
    size_t look = size < segment->block_size ? size : segment->block_size;
    enum dwal__fault fault =
        dwal__batch_header_decode(bytes, look, segment, offset, &header);
    if (fault == DWAL__FAULT_ZERO)
        fuzz_check(dwal__zero_run(bytes, look) == look);
    if (fault != DWAL__FAULT_NONE)
        return;
    uint8_t again[DWAL__BATCH_HEADER_SIZE];
    fuzz_check(dwal__batch_header_encode(&header, again) == header.crc);
    fuzz_check(memcmp(again, bytes, sizeof again) == 0);
    fuzz_check(header.size <= segment->segment_size - offset);
    fuzz_check(header.watermark.lsn < header.first_lsn);
    if (dwal__align_up(header.size, segment->block_size) <= size)
        batch_check(bytes, &header, segment);
}

/* The rest, on any bytes. */
static void others_check(const uint8_t *bytes, size_t size) {
    struct dwal__record record;
    struct dwal__uuid uuid;
    size_t room = 0;
    if (dwal__record_decode(bytes, size, size, &record, &room) ==
        DWAL__FAULT_NONE)
        fuzz_check(room <= size);
    start_check(bytes, size);
    if (dwal__lock_decode(bytes, size, &uuid) == DWAL__FAULT_NONE) {
        uint8_t again[DWAL__LOCK_SIZE];
        dwal__lock_encode(&uuid, again);
        fuzz_check(size == DWAL__LOCK_SIZE && memcmp(again, bytes, size) == 0);
    }
    char name[64] = "";
    uint64_t number;
    memcpy(name, bytes, size < sizeof name - 1 ? size : sizeof name - 1);
    if (dwal__name_parse(name, &number) == DWAL__NAME_SEGMENT) {
        char again[DWAL__NAME_SIZE];
        dwal__segment_name(number, again);
        fuzz_check(strcmp(again, name) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct dwal__segment_header segment;
    guard_begin(NULL, size);
    others_check(bytes, size);
    enum dwal__fault fault = dwal__segment_header_decode(bytes, size, &segment);
    if (fault == DWAL__FAULT_NONE) {
        uint8_t *block = malloc(segment.block_size);
        fuzz_check(block != NULL);
        dwal__segment_header_encode(&segment, block);
        fuzz_check(memcmp(block, bytes, DWAL__SEGMENT_HEADER_SIZE) == 0);
        free(block);
        if (size >= segment.block_size)
            dwal__segment_padding_check(bytes, &segment);
        uint64_t end =
            size < segment.segment_size ? size : segment.segment_size;
        for (uint64_t at = segment.block_size;
             at < end && end - at >= DWAL__BATCH_HEADER_SIZE;
             at += segment.block_size)
            block_check(bytes + at, (size_t)(end - at), &segment, at);
    }
    guard_end();
    return 0;
}
