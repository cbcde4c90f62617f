/* SPDX-License-Identifier: MIT */
/*
 * Batches and the records in them (SPEC 5), system records (SPEC 6).
 */
#ifndef DWAL_FORMAT_BATCH_H
#define DWAL_FORMAT_BATCH_H

#include "segment.h"

/* What was durable when a batch was sealed: the last LSN, and the end of the
 * last batch, of the contiguous durable prefix. {0, {0, 0}} is nothing. */
struct dwal__watermark {
    uint64_t lsn;
    struct dwal__position position;
};

struct dwal__batch_header {
    uint64_t segment;
    uint64_t salt;
    uint64_t offset; /* of this header in its segment, bytes */
    uint64_t size;   /* header and records, without the padding, bytes */
    uint64_t first_lsn;    /* of its first application record, or the next */
    uint32_t record_count; /* system records included */
    uint32_t lsn_count;    /* application records */
    struct dwal__watermark watermark;
    uint32_t digest;    /* CRC-32 over the CRCs of its records, in order */
    uint32_t link;      /* CRC of the header before: batch's or segment's */
    uint64_t sealed_ns; /* wall clock, since 1970; informative */
    uint32_t crc;       /* decoder only: what the next batch links to */
};

/* A record in memory. @data points into the bytes that were decoded. */
struct dwal__record {
    uint64_t lsn; /* 0: a system record */
    const uint8_t *data;
    uint32_t size;
    uint16_t type;
    uint16_t flags;
    uint32_t tenant;
    uint32_t shard;
    uint32_t crc;
};

/* SPEC 6: system record types. The high bit: who does not know it, refuses. */
enum dwal__system_type {
    DWAL__SYSTEM_START = 0x8001,
    DWAL__SYSTEM_TRIM = 0x8002,
    DWAL__SYSTEM_METADATA = 0x8003,
    DWAL__SYSTEM_MARK = 0x0004,
    DWAL__SYSTEM_CLOSE = 0x0005
};
#define DWAL__TYPE_INCOMPATIBLE 0x8000u

#define DWAL__START_CUT 1u   /* the start drops records behind previous_lsn */
#define DWAL__START_RESET 2u /* the log begins anew here, at trim_lsn + 1 */
#define DWAL__START_LOST 4u  /* what lies before the first batch's LSN is lost */

/* SPEC 6.1: what a segment's first record says. */
struct dwal__start {
    uint64_t previous_segment; /* 0: none */
    uint64_t previous_end;     /* where its last kept batch ends, padded */
    uint64_t previous_lsn;     /* the last LSN that is kept */
    uint32_t previous_link;    /* CRC of its last kept batch's header */
    uint32_t flags;            /* DWAL__START_… */
    uint64_t trim_lsn;         /* records up to here are no longer needed */
    const uint8_t *metadata;   /* NULL: none was ever set */
    uint32_t metadata_size;
};

/* What the system records of one batch say. */
struct dwal__batch_summary {
    bool started;            /* the first record is a start; @start is set */
    struct dwal__start start;
    uint64_t trim_lsn;       /* largest one set here, 0: none */
    const uint8_t *metadata; /* latest one set here, NULL: none */
    uint32_t metadata_size;
    bool witness; /* only marks and closes: nobody waits for it */
    bool closed;  /* the last record is a close */
};

/* Where and why a batch is not valid. */
struct dwal__batch_fault {
    enum dwal__fault fault;
    uint64_t offset;   /* in the segment */
    uint32_t record;   /* index, when in_record */
    bool in_record;
};

/* Bytes that a record of @size payload bytes takes in a batch. */
static inline uint64_t dwal__record_room(uint32_t size) {
    return ((uint64_t)size + DWAL__RECORD_HEADER_SIZE +
            (DWAL__RECORD_ALIGNMENT - 1)) &
           ~(uint64_t)(DWAL__RECORD_ALIGNMENT - 1);
}

/*
 * Writes header, payload and zero padding: dwal__record_room(record->size)
 * bytes at @bytes. record->crc is ignored. Returns the record's CRC.
 */
uint32_t dwal__record_encode(const struct dwal__record *record, uint64_t salt,
                             uint8_t *bytes);

/*
 * Reads and checks the record at @bytes, of which @size may be looked at.
 * Sets *@room to what it takes. SPEC 5.2 [record-valid].
 */
enum dwal__fault dwal__record_decode(const uint8_t *bytes, size_t size,
                                     uint64_t salt, struct dwal__record *record,
                                     size_t *room);

/* Reads a record of a batch that was already checked: no check again. */
void dwal__record_load(const uint8_t *bytes, struct dwal__record *record);

/* Continues a digest over the CRCs of @count more records, in order. */
uint32_t dwal__digest(uint32_t digest, const uint32_t *crcs, size_t count);

/* Writes DWAL__BATCH_HEADER_SIZE bytes, returns the header's CRC, which is the
 * next batch's link. */
uint32_t dwal__batch_header_encode(const struct dwal__batch_header *header,
                                   uint8_t *bytes);

/*
 * Reads the header of a batch that should stand at @offset of @segment.
 *
 * NONE: readable, SPEC 5.1 [batch-header-valid]. VERSION: as NONE, but with
 * flags that this dwal does not know. ZERO: @size bytes, all zero. STALE: a
 * header of an older use. FOREIGN: nothing points to a batch of this use here.
 * Anything else: a batch of this use was here, and it is damaged.
 * @size is what may be looked at, a whole block for a meaningful ZERO.
 */
enum dwal__fault
dwal__batch_header_decode(const uint8_t *bytes, size_t size,
                          const struct dwal__segment_header *segment,
                          uint64_t offset, struct dwal__batch_header *header);

/*
 * Checks all that lies behind a readable header: records, LSNs, digest, system
 * records, padding (SPEC 5.3 [batch-valid], but for the link). @bytes holds
 * the batch with its padding to @block_size. On NONE fills @summary, whose
 * pointers point into @bytes. VERSION: all is right, but a system record is of
 * a type that this dwal must know and does not. @where may be NULL.
 */
enum dwal__fault dwal__batch_check(const uint8_t *bytes,
                                   const struct dwal__batch_header *header,
                                   uint32_t block_size,
                                   struct dwal__batch_summary *summary,
                                   struct dwal__batch_fault *where);

/* Writes a start's payload to @bytes (DWAL__START_SIZE_MAX at most), returns
 * its size. */
uint32_t dwal__start_encode(const struct dwal__start *start, uint8_t *bytes);

/* The payload of a start; FIELD when SPEC 6.1 is not kept. */
enum dwal__fault dwal__start_decode(const uint8_t *bytes, size_t size,
                                    struct dwal__start *start);

/* The LSN that the segment with @start goes on with (SPEC 7.2): what lies below
 * it is in the segments before. */
uint64_t dwal__start_first_lsn(const struct dwal__start *start);

/* True if the first batch of the segment with @start may have @first_lsn: the
 * same, or a larger one if the start says that those between are lost. */
bool dwal__start_fits(const struct dwal__start *start, uint64_t first_lsn);

/* "start", "trim", … or NULL for a type that this dwal does not know. */
const char *dwal__system_type_name(uint16_t type);

#endif
