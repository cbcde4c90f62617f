/* SPDX-License-Identifier: MIT */
/*
 * Batches and records, to and from bytes (SPEC 5 and 6). Two invariants: no
 * length is used before a checksum over it was right, and every byte of a
 * batch, padding included, is covered by some check.
 */
#include "batch.h"

#include <assert.h>

#include "bytes.h"
#include "crc.h"

#define BATCH(field) offsetof(struct dwal__batch_header_bytes, field)
#define RECORD(field) offsetof(struct dwal__record_header_bytes, field)
#define START(field) offsetof(struct dwal__start_bytes, field)

#define RESET_LOST (DWAL__START_RESET | DWAL__START_LOST)
#define START_FLAGS (DWAL__START_CUT | RESET_LOST)

static const uint8_t batch_magic[4] = {0xD7, 'B', 'A', 'T'};

/* ---- records, SPEC 5.2 ---- */

uint32_t dwal__record_encode(const struct dwal__record *record, uint64_t salt,
                             uint8_t *bytes) {
    dwal__put32(bytes + RECORD(size), record->size);
    dwal__put64(bytes + RECORD(lsn), record->lsn);
    dwal__put16(bytes + RECORD(type), record->type);
    dwal__put16(bytes + RECORD(flags), record->flags);
    dwal__put32(bytes + RECORD(tenant), record->tenant);
    dwal__put32(bytes + RECORD(shard), record->shard);
    dwal__put32(bytes + RECORD(salt), (uint32_t)salt);
    uint8_t *payload = bytes + DWAL__RECORD_HEADER_SIZE;
    if (record->size > 0)
        memcpy(payload, record->data, record->size);
    size_t room = dwal__record_room(record->size);
    memset(payload + record->size, 0,
           room - DWAL__RECORD_HEADER_SIZE - record->size);
    /* Of the copy, not of the caller's bytes: what is written is what the
     * checksum says, even if the caller changes them meanwhile. */
    uint32_t crc =
        dwal__crc32(0, bytes + RECORD(size),
                    DWAL__RECORD_HEADER_SIZE - RECORD(size) + record->size);
    dwal__put32(bytes + RECORD(crc), crc);
    return crc;
}

void dwal__record_load(const uint8_t *bytes, struct dwal__record *record) {
    record->crc = dwal__get32(bytes + RECORD(crc));
    record->size = dwal__get32(bytes + RECORD(size));
    record->lsn = dwal__get64(bytes + RECORD(lsn));
    record->type = dwal__get16(bytes + RECORD(type));
    record->flags = dwal__get16(bytes + RECORD(flags));
    record->tenant = dwal__get32(bytes + RECORD(tenant));
    record->shard = dwal__get32(bytes + RECORD(shard));
    record->data = bytes + DWAL__RECORD_HEADER_SIZE;
}

/* SPEC 5.2 [record-valid]. The size is trusted only once the CRC over it is
 * right; until then it is merely kept within @size. */
enum dwal__fault dwal__record_decode(const uint8_t *bytes, size_t size,
                                     uint64_t salt, struct dwal__record *record,
                                     size_t *room) {
    if (size < DWAL__RECORD_HEADER_SIZE)
        return DWAL__FAULT_RECORD_SIZE;
    uint32_t payload_size = dwal__get32(bytes + RECORD(size));
    if (dwal__record_room(payload_size) > size)
        return DWAL__FAULT_RECORD_SIZE;
    uint32_t crc =
        dwal__crc32(0, bytes + RECORD(size),
                    DWAL__RECORD_HEADER_SIZE - RECORD(size) + payload_size);
    if (crc != dwal__get32(bytes + RECORD(crc)))
        return DWAL__FAULT_RECORD_CRC;
    if (dwal__get32(bytes + RECORD(salt)) != (uint32_t)salt)
        return DWAL__FAULT_RECORD_SALT;
    dwal__record_load(bytes, record);
    size_t used = DWAL__RECORD_HEADER_SIZE + payload_size;
    size_t padding = dwal__record_room(payload_size) - used;
    if (dwal__zero_run(bytes + used, padding) != padding)
        return DWAL__FAULT_PADDING;
    *room = used + padding;
    return DWAL__FAULT_NONE;
}

uint32_t dwal__digest(uint32_t digest, const uint32_t *crcs, size_t count) {
    uint8_t bytes[256];
    while (count > 0) {
        size_t some = count < sizeof bytes / 4 ? count : sizeof bytes / 4;
        for (size_t i = 0; i < some; i++)
            dwal__put32(bytes + 4 * i, crcs[i]);
        digest = dwal__crc32(digest, bytes, 4 * some);
        crcs += some;
        count -= some;
    }
    return digest;
}

/* ---- the batch header, SPEC 5.1 ---- */

uint32_t dwal__batch_header_encode(const struct dwal__batch_header *header,
                                   uint8_t *bytes) {
    assert(header->record_count >= 1);
    assert(header->size % DWAL__RECORD_ALIGNMENT == 0);
    memset(bytes, 0, DWAL__BATCH_HEADER_SIZE);
    memcpy(bytes + BATCH(magic), batch_magic, sizeof batch_magic);
    dwal__put64(bytes + BATCH(segment), header->segment);
    dwal__put64(bytes + BATCH(salt), header->salt);
    dwal__put64(bytes + BATCH(offset), header->offset);
    dwal__put64(bytes + BATCH(size), header->size);
    dwal__put64(bytes + BATCH(first_lsn), header->first_lsn);
    dwal__put32(bytes + BATCH(record_count), header->record_count);
    dwal__put32(bytes + BATCH(lsn_count), header->lsn_count);
    dwal__put64(bytes + BATCH(watermark_lsn), header->watermark.lsn);
    dwal__put64(bytes + BATCH(watermark_segment),
                header->watermark.position.segment);
    dwal__put64(bytes + BATCH(watermark_offset),
                header->watermark.position.offset);
    dwal__put32(bytes + BATCH(digest), header->digest);
    dwal__put32(bytes + BATCH(link), header->link);
    dwal__put64(bytes + BATCH(sealed_ns), header->sealed_ns);
    uint32_t crc = dwal__crc32(0, bytes + BATCH(segment),
                               DWAL__BATCH_HEADER_SIZE - BATCH(segment));
    dwal__put32(bytes + BATCH(crc), crc);
    return crc;
}

static void batch_header_load(const uint8_t *bytes,
                              struct dwal__batch_header *header) {
    header->segment = dwal__get64(bytes + BATCH(segment));
    header->salt = dwal__get64(bytes + BATCH(salt));
    header->offset = dwal__get64(bytes + BATCH(offset));
    header->size = dwal__get64(bytes + BATCH(size));
    header->first_lsn = dwal__get64(bytes + BATCH(first_lsn));
    header->record_count = dwal__get32(bytes + BATCH(record_count));
    header->lsn_count = dwal__get32(bytes + BATCH(lsn_count));
    header->watermark.lsn = dwal__get64(bytes + BATCH(watermark_lsn));
    header->watermark.position.segment =
        dwal__get64(bytes + BATCH(watermark_segment));
    header->watermark.position.offset =
        dwal__get64(bytes + BATCH(watermark_offset));
    header->digest = dwal__get32(bytes + BATCH(digest));
    header->link = dwal__get32(bytes + BATCH(link));
    header->sealed_ns = dwal__get64(bytes + BATCH(sealed_ns));
    header->crc = dwal__get32(bytes + BATCH(crc));
}

/* SPEC 5.1 [batch-header-fields]: what no writer writes otherwise. */
static bool batch_header_fields_valid(const struct dwal__batch_header *h,
                                      const struct dwal__segment_header *s) {
    struct dwal__position own = {h->segment, h->offset};
    return h->size >= DWAL__BATCH_HEADER_SIZE + DWAL__RECORD_HEADER_SIZE &&
           h->size % DWAL__RECORD_ALIGNMENT == 0 &&
           h->size <= s->segment_size - h->offset && h->record_count >= 1 &&
           h->record_count <= DWAL__BATCH_RECORDS_MAX &&
           h->record_count <= (h->size - DWAL__BATCH_HEADER_SIZE) /
                                  DWAL__RECORD_HEADER_SIZE &&
           h->lsn_count <= h->record_count && h->first_lsn >= 1 &&
           h->first_lsn <= DWAL__LSN_MAX &&
           h->lsn_count <= DWAL__LSN_MAX - h->first_lsn + 1 &&
           h->watermark.lsn < h->first_lsn &&
           dwal__position_compare(h->watermark.position, own) <= 0;
}

/* True if the damaged header at @bytes shows that it was one of this use: the
 * salt, or both number and offset, are what they should be. One flipped bit
 * leaves at least one of the two. SPEC 7.4 [trace]. */
static bool batch_header_trace(const uint8_t *bytes,
                               const struct dwal__segment_header *segment,
                               uint64_t offset) {
    return dwal__get64(bytes + BATCH(salt)) == segment->salt ||
           (dwal__get64(bytes + BATCH(segment)) == segment->number &&
            dwal__get64(bytes + BATCH(offset)) == offset);
}

enum dwal__fault
dwal__batch_header_decode(const uint8_t *bytes, size_t size,
                          const struct dwal__segment_header *segment,
                          uint64_t offset, struct dwal__batch_header *header) {
    if (size < DWAL__BATCH_HEADER_SIZE)
        return DWAL__FAULT_SHORT;
    bool magic = memcmp(bytes, batch_magic, sizeof batch_magic) == 0;
    uint32_t crc = 0;
    if (magic)
        crc = dwal__crc32(0, bytes + BATCH(segment),
                          DWAL__BATCH_HEADER_SIZE - BATCH(segment));
    if (!magic || crc != dwal__get32(bytes + BATCH(crc))) {
        if (dwal__zero_run(bytes, size) == size)
            return DWAL__FAULT_ZERO;
        if (!batch_header_trace(bytes, segment, offset))
            return DWAL__FAULT_FOREIGN;
        return magic ? DWAL__FAULT_CRC : DWAL__FAULT_MAGIC;
    }
    batch_header_load(bytes, header);
    if (header->salt != segment->salt)
        return DWAL__FAULT_STALE;
    if (header->segment != segment->number || header->offset != offset)
        return DWAL__FAULT_PLACE;
    if (dwal__zero_run(bytes + BATCH(reserved), 28) != 28)
        return DWAL__FAULT_RESERVED;
    if (!batch_header_fields_valid(header, segment))
        return DWAL__FAULT_FIELD;
    /* Last: newer is only what is right in every other respect. */
    if (dwal__get32(bytes + BATCH(flags)) != 0)
        return DWAL__FAULT_VERSION;
    return DWAL__FAULT_NONE;
}

/* ---- system records, SPEC 6 ---- */

uint32_t dwal__start_encode(const struct dwal__start *start, uint8_t *bytes) {
    assert(start->metadata_size <= DWAL__METADATA_SIZE_MAX);
    memset(bytes, 0, DWAL__START_SIZE);
    dwal__put64(bytes + START(previous_segment), start->previous_segment);
    dwal__put64(bytes + START(previous_end), start->previous_end);
    dwal__put64(bytes + START(previous_lsn), start->previous_lsn);
    dwal__put32(bytes + START(previous_link), start->previous_link);
    dwal__put32(bytes + START(flags), start->flags);
    dwal__put64(bytes + START(trim_lsn), start->trim_lsn);
    dwal__put32(bytes + START(metadata_size), start->metadata_size);
    if (start->metadata_size > 0)
        memcpy(bytes + DWAL__START_SIZE, start->metadata, start->metadata_size);
    return DWAL__START_SIZE + start->metadata_size;
}

enum dwal__fault dwal__start_decode(const uint8_t *bytes, size_t size,
                                    struct dwal__start *start) {
    if (size < DWAL__START_SIZE || size > DWAL__START_SIZE_MAX)
        return DWAL__FAULT_FIELD;
    start->previous_segment = dwal__get64(bytes + START(previous_segment));
    start->previous_end = dwal__get64(bytes + START(previous_end));
    start->previous_lsn = dwal__get64(bytes + START(previous_lsn));
    start->previous_link = dwal__get32(bytes + START(previous_link));
    start->flags = dwal__get32(bytes + START(flags));
    start->trim_lsn = dwal__get64(bytes + START(trim_lsn));
    start->metadata_size = dwal__get32(bytes + START(metadata_size));
    start->metadata = start->metadata_size > 0 ? bytes + DWAL__START_SIZE : NULL;
    bool none = start->previous_segment == 0;
    if (start->metadata_size != size - DWAL__START_SIZE ||
        dwal__get32(bytes + START(reserved)) != 0 ||
        (start->flags & ~START_FLAGS) != 0 ||
        (start->flags & RESET_LOST) == RESET_LOST ||
        start->previous_lsn > DWAL__LSN_MAX || start->trim_lsn > DWAL__LSN_MAX)
        return DWAL__FAULT_FIELD;
    if (none != (start->previous_end == 0) ||
        (none && start->previous_link != 0))
        return DWAL__FAULT_FIELD;
    return DWAL__FAULT_NONE;
}

uint64_t dwal__start_first_lsn(const struct dwal__start *start) {
    bool reset = (start->flags & DWAL__START_RESET) != 0;
    return (reset ? start->trim_lsn : start->previous_lsn) + 1;
}

bool dwal__start_fits(const struct dwal__start *start, uint64_t first_lsn) {
    uint64_t expected = dwal__start_first_lsn(start);
    return (start->flags & DWAL__START_LOST) != 0 ? first_lsn > expected
                                                  : first_lsn == expected;
}

const char *dwal__system_type_name(uint16_t type) {
    switch (type) {
    case DWAL__SYSTEM_START:
        return "start";
    case DWAL__SYSTEM_TRIM:
        return "trim";
    case DWAL__SYSTEM_METADATA:
        return "metadata";
    case DWAL__SYSTEM_MARK:
        return "mark";
    case DWAL__SYSTEM_CLOSE:
        return "close";
    default:
        return NULL;
    }
}

/* One system record into the summary. SPEC 6, [system-valid]. */
static enum dwal__fault summary_add(struct dwal__batch_summary *summary,
                                    const struct dwal__record *record,
                                    bool first_of_segment) {
    if (record->tenant != 0 || record->shard != 0 || record->flags != 0)
        return DWAL__FAULT_FIELD;
    if (first_of_segment != (record->type == DWAL__SYSTEM_START))
        return DWAL__FAULT_FIELD;
    summary->closed = record->type == DWAL__SYSTEM_CLOSE;
    switch (record->type) {
    case DWAL__SYSTEM_START:
        summary->started = true;
        summary->witness = false;
        return dwal__start_decode(record->data, record->size, &summary->start);
    case DWAL__SYSTEM_TRIM: {
        summary->witness = false;
        if (record->size != DWAL__TRIM_SIZE)
            return DWAL__FAULT_FIELD;
        uint64_t trim_lsn = dwal__get64(record->data);
        if (trim_lsn > DWAL__LSN_MAX)
            return DWAL__FAULT_FIELD;
        if (trim_lsn > summary->trim_lsn)
            summary->trim_lsn = trim_lsn;
        return DWAL__FAULT_NONE;
    }
    case DWAL__SYSTEM_METADATA:
        summary->witness = false;
        if (record->size > DWAL__METADATA_SIZE_MAX)
            return DWAL__FAULT_FIELD;
        summary->metadata = record->data;
        summary->metadata_size = record->size;
        return DWAL__FAULT_NONE;
    case DWAL__SYSTEM_MARK:
    case DWAL__SYSTEM_CLOSE:
        return record->size == 0 ? DWAL__FAULT_NONE : DWAL__FAULT_FIELD;
    default:
        summary->witness = false;
        return (record->type & DWAL__TYPE_INCOMPATIBLE) != 0
                   ? DWAL__FAULT_VERSION
                   : DWAL__FAULT_NONE;
    }
}

/* ---- a whole batch, SPEC 5.3 ---- */

/* The walk over a batch's records. */
struct batch_walk {
    const uint8_t *bytes;
    const struct dwal__batch_header *header;
    struct dwal__batch_summary *summary;
    size_t at;
    uint32_t index;
    uint32_t lsns;
    uint32_t digest;
    uint32_t crcs[64];
    size_t crc_count;
    struct dwal__batch_fault newer; /* fault VERSION: if all else is right */
};

static void walk_digest(struct batch_walk *walk) {
    walk->digest = dwal__digest(walk->digest, walk->crcs, walk->crc_count);
    walk->crc_count = 0;
}

static enum dwal__fault walk_record(struct batch_walk *walk,
                                    bool first_of_segment) {
    struct dwal__record record;
    size_t room;
    const struct dwal__batch_header *header = walk->header;
    enum dwal__fault fault =
        dwal__record_decode(walk->bytes + walk->at, header->size - walk->at,
                            header->salt, &record, &room);
    if (fault != DWAL__FAULT_NONE)
        return fault;
    if (record.lsn == 0) {
        fault = summary_add(walk->summary, &record, first_of_segment);
        if (fault == DWAL__FAULT_VERSION &&
            walk->newer.fault == DWAL__FAULT_NONE)
            walk->newer =
                (struct dwal__batch_fault){.fault = fault,
                                           .offset = header->offset + walk->at,
                                           .record = walk->index,
                                           .in_record = true};
        else if (fault != DWAL__FAULT_NONE && fault != DWAL__FAULT_VERSION)
            return fault;
    } else {
        if (first_of_segment)
            return DWAL__FAULT_FIELD;
        if (record.lsn != header->first_lsn + walk->lsns)
            return DWAL__FAULT_LSN;
        walk->lsns++;
        walk->summary->witness = false;
        walk->summary->closed = false;
    }
    if (walk->crc_count == sizeof walk->crcs / sizeof walk->crcs[0])
        walk_digest(walk);
    walk->crcs[walk->crc_count++] = record.crc;
    walk->at += room;
    walk->index++;
    return DWAL__FAULT_NONE;
}

static enum dwal__fault walk_end(struct batch_walk *walk, uint32_t block_size) {
    const struct dwal__batch_header *header = walk->header;
    if (walk->at != header->size || walk->lsns != header->lsn_count)
        return DWAL__FAULT_COUNT;
    walk_digest(walk);
    if (walk->digest != header->digest)
        return DWAL__FAULT_DIGEST;
    size_t padded = dwal__align_up(header->size, block_size);
    size_t zeros =
        dwal__zero_run(walk->bytes + walk->at, padded - header->size);
    walk->at += zeros;
    return walk->at == padded ? DWAL__FAULT_NONE : DWAL__FAULT_PADDING;
}

enum dwal__fault dwal__batch_check(const uint8_t *bytes,
                                   const struct dwal__batch_header *header,
                                   uint32_t block_size,
                                   struct dwal__batch_summary *summary,
                                   struct dwal__batch_fault *where) {
    struct batch_walk walk = {.bytes = bytes,
                              .header = header,
                              .summary = summary,
                              .at = DWAL__BATCH_HEADER_SIZE};
    memset(summary, 0, sizeof *summary);
    summary->witness = true;
    enum dwal__fault fault = DWAL__FAULT_NONE;
    while (fault == DWAL__FAULT_NONE && walk.index < header->record_count)
        fault = walk_record(&walk,
                            walk.index == 0 && header->offset == block_size);
    bool in_record = fault != DWAL__FAULT_NONE;
    if (!in_record)
        fault = walk_end(&walk, block_size);
    struct dwal__batch_fault found = {.fault = fault,
                                      .offset = header->offset + walk.at,
                                      .record = walk.index,
                                      .in_record = in_record};
    if (fault == DWAL__FAULT_NONE)
        found = walk.newer;
    if (found.fault != DWAL__FAULT_NONE && where != NULL)
        *where = found;
    return found.fault;
}
