/* SPDX-License-Identifier: MIT */
/*
 * Whole batches, SPEC 5.1, 5.3 and 6: the header's fields at their limits, each
 * rule broken alone, records of every size around the edges of words and
 * blocks, leftovers of an older use under a new header, and flipped bits.
 */
#include "tests/support/check.h"

#include "format/batch.h"
#include "format/bytes.h"
#include "format/crc.h"
#include "tests/support/batch_maker.h"

#define BLOCK 512u
#define SEGMENT_SIZE (64 * BLOCK)
#define BATCH(field) offsetof(struct dwal__batch_header_bytes, field)

static const struct dwal__segment_header segment = {
    .block_size = BLOCK,
    .number = 0x0102030405060708,
    .epoch = 1,
    .salt = 0x1112131415161718,
    .segment_size = SEGMENT_SIZE,
};
/* Of the batch under test; not that of a segment's first batch. */
#define OFFSET (2 * BLOCK)

static uint8_t buffer[SEGMENT_SIZE];

/* What a batch is checked for, in the reader's order. */
static enum dwal__fault batch_check_at(const uint8_t *bytes, uint64_t offset,
                                       struct dwal__batch_summary *summary,
                                       struct dwal__batch_fault *where) {
    struct dwal__batch_header header;
    enum dwal__fault fault =
        dwal__batch_header_decode(bytes, BLOCK, &segment, offset, &header);
    if (fault != DWAL__FAULT_NONE)
        return fault;
    return dwal__batch_check(bytes, &header, BLOCK, summary, where);
}

static enum dwal__fault batch_check(const uint8_t *bytes) {
    struct dwal__batch_summary summary;
    return batch_check_at(bytes, OFFSET, &summary, NULL);
}

static void record_add(struct batch_maker *maker, const char *text) {
    struct dwal__record record = {.data = (const uint8_t *)text,
                                  .size = (uint32_t)strlen(text)};
    batch_add(maker, record);
}

/* Three records and their header, 304 bytes, in one block. */
static struct batch_maker batch_sample(void) {
    struct batch_maker maker;
    batch_begin(&maker, buffer, sizeof buffer, &segment, OFFSET, 41);
    maker.header.watermark = (struct dwal__watermark){
        .lsn = 40, .position = {segment.number, OFFSET}};
    maker.header.link = 0x21222324;
    maker.header.sealed_ns = 0x3132333435363738;
    record_add(&maker, "one");
    record_add(&maker, "twenty-two");
    record_add(&maker, "a third one that is longer, fifty-two bytes in all..");
    return maker;
}

static void header_reseal(uint8_t *bytes) {
    dwal__put32(bytes + BATCH(crc),
                dwal__crc32(0, bytes + BATCH(segment),
                            DWAL__BATCH_HEADER_SIZE - BATCH(segment)));
}

static enum dwal__fault header_decode(const uint8_t *bytes,
                                      struct dwal__batch_header *header) {
    return dwal__batch_header_decode(bytes, BLOCK, &segment, OFFSET, header);
}

/* ---- the header, SPEC 5.1 ---- */

static void test_header_layout(void **state) {
    (void)state;
    struct dwal__batch_header h = {
        .segment = 0x1112131415161718,
        .salt = 0x2122232425262728,
        .offset = 0x3132333435363738,
        .size = 0x4142434445464748,
        .first_lsn = 0x5152535455565758,
        .record_count = 0x61626364,
        .lsn_count = 0x71727374,
        .watermark = {0x8182838485868788,
                      {0x9192939495969798, 0xA1A2A3A4A5A6A7A8}},
        .digest = 0xB1B2B3B4,
        .link = 0xC1C2C3C4,
        .sealed_ns = 0xD1D2D3D4D5D6D7D8};
    uint8_t bytes[DWAL__BATCH_HEADER_SIZE];
    memset(bytes, 0xEE, sizeof bytes);
    uint32_t crc = dwal__batch_header_encode(&h, bytes);
    static const uint8_t expected[DWAL__BATCH_HEADER_SIZE] = {
        0xD7, 0x42, 0x41, 0x54, 0,    0,    0,    0,    0x18, 0x17, 0x16, 0x15,
        0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
        0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, 0x48, 0x47, 0x46, 0x45,
        0x44, 0x43, 0x42, 0x41, 0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,
        0x64, 0x63, 0x62, 0x61, 0x74, 0x73, 0x72, 0x71, 0x88, 0x87, 0x86, 0x85,
        0x84, 0x83, 0x82, 0x81, 0x98, 0x97, 0x96, 0x95, 0x94, 0x93, 0x92, 0x91,
        0xA8, 0xA7, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, 0xB4, 0xB3, 0xB2, 0xB1,
        0xC4, 0xC3, 0xC2, 0xC1, 0xD8, 0xD7, 0xD6, 0xD5, 0xD4, 0xD3, 0xD2, 0xD1};
    assert_memory_equal(bytes, expected, 4);
    assert_memory_equal(bytes + 8, expected + 8, sizeof expected - 8);
    assert_int_equal(dwal__get32(bytes + 4), crc);
    assert_int_equal(crc, dwal__crc32(0, bytes + 8, 120));
}

static void test_header_round_trip(void **state) {
    (void)state;
    struct batch_maker maker = batch_sample();
    batch_seal(&maker);
    const struct dwal__batch_header *h = &maker.header;
    struct dwal__batch_header found;
    check_fault("sample", header_decode(buffer, &found), DWAL__FAULT_NONE);
    assert_true(found.segment == h->segment && found.salt == h->salt);
    assert_true(found.offset == h->offset && found.size == h->size);
    assert_true(found.first_lsn == h->first_lsn);
    assert_int_equal(found.record_count, 3);
    assert_int_equal(found.lsn_count, 3);
    assert_true(found.watermark.lsn == 40);
    assert_int_equal(
        dwal__position_compare(found.watermark.position, h->watermark.position),
        0);
    assert_int_equal(found.digest, h->digest);
    assert_int_equal(found.link, h->link);
    assert_true(found.sealed_ns == h->sealed_ns);
    assert_int_equal(found.crc, h->crc);
}

/* One field changed, the CRC made right again. */
static const struct rule {
    const char *what;
    size_t offset;
    unsigned size; /* of the field: 1, 2, 4 or 8 */
    uint64_t value;
    enum dwal__fault fault;
} rules[] = {
    {"salt", BATCH(salt), 8, 0x1112131415161719, DWAL__FAULT_STALE},
    {"segment", BATCH(segment), 8, 0x0102030405060709, DWAL__FAULT_PLACE},
    {"offset, next block", BATCH(offset), 8, OFFSET + BLOCK, DWAL__FAULT_PLACE},
    {"offset 0", BATCH(offset), 8, 0, DWAL__FAULT_PLACE},
    {"flag 1", BATCH(flags), 4, 1, DWAL__FAULT_VERSION},
    {"flag 2^31", BATCH(flags), 4, 0x80000000, DWAL__FAULT_VERSION},
    {"reserved, first", BATCH(reserved), 1, 1, DWAL__FAULT_RESERVED},
    {"reserved, last", BATCH(reserved) + 27, 1, 0x80, DWAL__FAULT_RESERVED},
    {"size 0", BATCH(size), 8, 0, DWAL__FAULT_FIELD},
    {"size 152", BATCH(size), 8, 152, DWAL__FAULT_FIELD},
    {"no multiple of 8", BATCH(size), 8, 300, DWAL__FAULT_FIELD},
    {"to the segment's end", BATCH(size), 8, SEGMENT_SIZE - OFFSET,
     DWAL__FAULT_NONE},
    {"beyond the segment", BATCH(size), 8, SEGMENT_SIZE - OFFSET + 8,
     DWAL__FAULT_FIELD},
    {"size that wraps", BATCH(size), 8, UINT64_MAX - 7, DWAL__FAULT_FIELD},
    {"no records", BATCH(record_count), 4, 0, DWAL__FAULT_FIELD},
    {"as many records as may be", BATCH(record_count), 4, 5, DWAL__FAULT_NONE},
    {"more records than fit", BATCH(record_count), 4, 6, DWAL__FAULT_FIELD},
    {"2^32 - 1 records", BATCH(record_count), 4, UINT32_MAX, DWAL__FAULT_FIELD},
    {"no application records", BATCH(lsn_count), 4, 0, DWAL__FAULT_NONE},
    {"more LSNs than records", BATCH(lsn_count), 4, 4, DWAL__FAULT_FIELD},
    {"first LSN 0", BATCH(first_lsn), 8, 0, DWAL__FAULT_FIELD},
    {"first LSN is the watermark's", BATCH(first_lsn), 8, 40,
     DWAL__FAULT_FIELD},
    {"last LSN 2^63 - 1", BATCH(first_lsn), 8, DWAL__LSN_MAX - 2,
     DWAL__FAULT_NONE},
    {"last LSN 2^63", BATCH(first_lsn), 8, DWAL__LSN_MAX - 1,
     DWAL__FAULT_FIELD},
    {"first LSN 2^63", BATCH(first_lsn), 8, UINT64_C(1) << 63,
     DWAL__FAULT_FIELD},
    {"watermark 0", BATCH(watermark_lsn), 8, 0, DWAL__FAULT_NONE},
    {"watermark above", BATCH(watermark_lsn), 8, 41, DWAL__FAULT_FIELD},
    {"watermark 2^64 - 1", BATCH(watermark_lsn), 8, UINT64_MAX,
     DWAL__FAULT_FIELD},
    {"watermark behind itself", BATCH(watermark_offset), 8, OFFSET + 1,
     DWAL__FAULT_FIELD},
    {"watermark in a later segment", BATCH(watermark_segment), 8,
     0x0102030405060709, DWAL__FAULT_FIELD},
    {"watermark in an earlier segment", BATCH(watermark_segment), 8,
     0x0102030405060707, DWAL__FAULT_NONE},
    {"any link", BATCH(link), 4, 0, DWAL__FAULT_NONE},
    {"any time", BATCH(sealed_ns), 8, UINT64_MAX, DWAL__FAULT_NONE},
};

static void test_each_header_rule(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *rule = &rules[i];
        struct batch_maker maker = batch_sample();
        batch_seal(&maker);
        struct dwal__batch_header found;
        for (unsigned at = 0; at < rule->size; at++)
            buffer[rule->offset + at] = (uint8_t)(rule->value >> 8 * at);
        check_fault(rule->what, header_decode(buffer, &found), DWAL__FAULT_CRC);
        header_reseal(buffer);
        check_fault(rule->what, header_decode(buffer, &found), rule->fault);
    }
}

static void test_record_count_max(void **state) {
    (void)state;
    struct dwal__segment_header large = segment;
    large.segment_size = UINT64_C(1) << 40;
    struct dwal__batch_header found;
    for (uint32_t more = 0; more <= 1; more++) {
        struct batch_maker maker = batch_sample();
        maker.header.record_count = DWAL__BATCH_RECORDS_MAX + more;
        maker.header.size =
            DWAL__BATCH_HEADER_SIZE + 32 * (uint64_t)(131071 + more);
        dwal__batch_header_encode(&maker.header, buffer);
        check_fault(
            more ? "one too many" : "the most",
            dwal__batch_header_decode(buffer, BLOCK, &large, OFFSET, &found),
            more ? DWAL__FAULT_FIELD : DWAL__FAULT_NONE);
    }
}

/* SPEC 7.4: what stands at a block that holds no readable header. */
static void test_traces(void **state) {
    (void)state;
    struct dwal__batch_header found;
    uint8_t block[BLOCK] = {0};
    check_fault("zeros", header_decode(block, &found), DWAL__FAULT_ZERO);
    block[BLOCK - 1] = 1;
    check_fault("zeros and a one", header_decode(block, &found),
                DWAL__FAULT_FOREIGN);
    memset(block, 0xA5, sizeof block);
    check_fault("anything", header_decode(block, &found), DWAL__FAULT_FOREIGN);
    dwal__put64(block + BATCH(salt), segment.salt);
    check_fault("the salt alone", header_decode(block, &found),
                DWAL__FAULT_MAGIC);
    dwal__put64(block + BATCH(salt), 7);
    dwal__put64(block + BATCH(segment), segment.number);
    check_fault("the segment alone", header_decode(block, &found),
                DWAL__FAULT_FOREIGN);
    dwal__put64(block + BATCH(offset), OFFSET);
    check_fault("segment and offset", header_decode(block, &found),
                DWAL__FAULT_MAGIC);
    dwal__put64(block + BATCH(segment), 7);
    check_fault("the offset alone", header_decode(block, &found),
                DWAL__FAULT_FOREIGN);
    memcpy(block,
           "\xD7"
           "BAT",
           4);
    check_fault("the magic alone", header_decode(block, &found),
                DWAL__FAULT_FOREIGN);
    dwal__put64(block + BATCH(salt), segment.salt);
    check_fault("magic and salt", header_decode(block, &found),
                DWAL__FAULT_CRC);
    check_fault("short",
                dwal__batch_header_decode(block, 127, &segment, OFFSET, &found),
                DWAL__FAULT_SHORT);
}

/* SPEC 7.4: one flipped bit in a header leaves damaged, never foreign, so that
 * bit rot is never taken for bytes of somebody else. */
static void test_flipped_header_is_damaged(void **state) {
    (void)state;
    struct batch_maker maker = batch_sample();
    batch_seal(&maker);
    struct dwal__batch_header found;
    for (size_t bit = 0; bit < DWAL__BATCH_HEADER_SIZE * 8; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum dwal__fault fault = header_decode(buffer, &found);
        check_that(fault == DWAL__FAULT_MAGIC || fault == DWAL__FAULT_CRC,
                   "bit %zu of byte %zu: %s", bit % 8, bit / 8,
                   dwal__fault_text(fault));
        buffer[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- records in a batch, SPEC 5.3 ---- */

static void test_sample_is_valid(void **state) {
    (void)state;
    struct batch_maker maker = batch_sample();
    assert_int_equal(batch_seal(&maker), BLOCK);
    struct dwal__batch_summary summary;
    struct dwal__batch_fault where = {.record = 99};
    check_fault("sample", batch_check_at(buffer, OFFSET, &summary, &where),
                DWAL__FAULT_NONE);
    assert_int_equal(where.record, 99); /* untouched */
    assert_false(summary.started || summary.witness || summary.closed);
    assert_null(summary.metadata);
    assert_true(summary.trim_lsn == 0);
}

/* One record of each size, then two: all edges of words and blocks. */
static void test_every_size(void **state) {
    (void)state;
    static uint8_t data[4 * BLOCK];
    uint64_t random = check_seed(1);
    check_fill(&random, data, sizeof data);
    for (uint32_t size = 0; size <= 3 * BLOCK; size++)
        for (uint32_t tail = 0; tail <= 1; tail++) {
            struct batch_maker maker;
            memset(buffer, 0xEE, sizeof buffer);
            batch_begin(&maker, buffer, sizeof buffer, &segment, OFFSET, 1);
            batch_add(&maker,
                      (struct dwal__record){.data = data, .size = size});
            if (tail)
                batch_add(&maker, (struct dwal__record){.data = data,
                                                        .size = size % 9});
            size_t padded = batch_seal(&maker);
            assert_int_equal(padded % BLOCK, 0);
            assert_true(padded - maker.header.size < BLOCK);
            assert_int_equal(buffer[padded], 0xEE);
            check_that(batch_check(buffer) == DWAL__FAULT_NONE,
                       "%u bytes, %u more", size, tail);
        }
}

/* More records than the walk keeps CRCs of, around its multiples. */
static void test_many_records(void **state) {
    (void)state;
    for (uint32_t count = 1; count <= 300; count++) {
        struct batch_maker maker;
        batch_begin(&maker, buffer, sizeof buffer, &segment, OFFSET, 1000);
        for (uint32_t i = 0; i < count; i++)
            record_add(&maker, i % 3 ? "x" : "");
        batch_seal(&maker);
        check_that(batch_check(buffer) == DWAL__FAULT_NONE, "%u", count);
    }
}

/* Each rule of [batch-valid] broken alone. The header's CRC is right in all of
 * them: these are the faults that only the records show. */
static void test_each_batch_rule(void **state) {
    (void)state;
    static const struct {
        const char *what;
        int records, lsns; /* added to the header's counts */
        int64_t first_lsn; /* likewise */
        uint32_t digest;   /* xor */
        int64_t size;      /* likewise added */
        enum dwal__fault fault;
    } cases[] = {
        {"none", 0, 0, 0, 0, 0, DWAL__FAULT_NONE},
        {"a record more", 1, 0, 0, 0, 0, DWAL__FAULT_RECORD_SIZE},
        {"a record less", -1, -1, 0, 0, 0, DWAL__FAULT_COUNT},
        {"an LSN less", 0, -1, 0, 0, 0, DWAL__FAULT_COUNT},
        {"LSNs from elsewhere", 0, 0, 1, 0, 0, DWAL__FAULT_LSN},
        {"another digest", 0, 0, 0, 1, 0, DWAL__FAULT_DIGEST},
        {"a word more", 0, 0, 0, 0, 8, DWAL__FAULT_COUNT},
        {"a word less", 0, 0, 0, 0, -8, DWAL__FAULT_RECORD_SIZE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct batch_maker maker = batch_sample();
        batch_seal(&maker);
        struct dwal__batch_header *h = &maker.header;
        h->record_count += (uint32_t)cases[i].records;
        h->lsn_count += (uint32_t)cases[i].lsns;
        h->first_lsn += (uint64_t)cases[i].first_lsn;
        h->digest ^= cases[i].digest;
        h->size += (uint64_t)cases[i].size;
        dwal__batch_header_encode(h, buffer);
        check_fault(cases[i].what, batch_check(buffer), cases[i].fault);
    }
}

/* [lsn-dense]: the records' LSNs themselves. */
static void test_lsns_are_dense(void **state) {
    (void)state;
    static const struct {
        uint64_t lsns[3];
        enum dwal__fault fault;
    } cases[] = {
        {{10, 11, 12}, DWAL__FAULT_NONE}, {{10, 12, 13}, DWAL__FAULT_LSN},
        {{10, 10, 11}, DWAL__FAULT_LSN},  {{10, 12, 11}, DWAL__FAULT_LSN},
        {{9, 10, 11}, DWAL__FAULT_LSN},   {{11, 12, 13}, DWAL__FAULT_LSN},
        {{10, 11, 11}, DWAL__FAULT_LSN},  {{12, 11, 10}, DWAL__FAULT_LSN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct batch_maker maker;
        batch_begin(&maker, buffer, sizeof buffer, &segment, OFFSET, 10);
        for (int r = 0; r < 3; r++) {
            struct dwal__record record = {.lsn = cases[i].lsns[r]};
            batch_add_raw(&maker, &record);
        }
        batch_seal(&maker);
        check_fault("LSNs", batch_check(buffer), cases[i].fault);
    }
}

/* Where a fault is said to be. */
static void test_fault_place(void **state) {
    (void)state;
    struct batch_maker maker = batch_sample();
    batch_seal(&maker);
    struct dwal__batch_summary summary;
    struct dwal__batch_fault where;
    buffer[128 + 40 + 33] ^= 1; /* in the payload of the second record */
    check_fault("payload", batch_check_at(buffer, OFFSET, &summary, &where),
                DWAL__FAULT_RECORD_CRC);
    assert_int_equal(where.fault, DWAL__FAULT_RECORD_CRC);
    assert_true(where.in_record);
    assert_int_equal(where.record, 1);
    assert_true(where.offset == OFFSET + 128 + 40);
    buffer[128 + 40 + 33] ^= 1;
    buffer[500] = 1;
    check_fault("padding", batch_check_at(buffer, OFFSET, &summary, &where),
                DWAL__FAULT_PADDING);
    assert_false(where.in_record);
    assert_true(where.offset == OFFSET + 500);
}

static void test_block_padding(void **state) {
    (void)state;
    struct batch_maker maker = batch_sample();
    size_t padded = batch_seal(&maker);
    for (size_t i = maker.header.size; i < padded; i++) {
        buffer[i] = 0x80;
        check_fault("padding", batch_check(buffer), DWAL__FAULT_PADDING);
        buffer[i] = 0;
    }
    buffer[padded] = 0x80; /* the next block is not ours */
    check_fault("behind", batch_check(buffer), DWAL__FAULT_NONE);
}

/* ---- leftovers of an older use ---- */

/* The records of an older use of the file, with the LSNs that are expected and
 * good CRCs, under a new header whose own records never arrived: a torn write.
 * Salts that are alike in the low half leave only the digest to notice it. */
static void test_digest_catches_stale_records(void **state) {
    (void)state;
    struct dwal__segment_header older = segment;
    older.salt ^= UINT64_C(1) << 40;
    struct batch_maker stale, fresh;
    batch_begin(&stale, buffer, sizeof buffer, &older, OFFSET, 41);
    record_add(&stale, "old");
    record_add(&stale, "older");
    batch_seal(&stale);
    check_fault("older use", batch_check(buffer), DWAL__FAULT_STALE);

    static uint8_t other[BLOCK];
    batch_begin(&fresh, other, sizeof other, &segment, OFFSET, 41);
    record_add(&fresh, "new");
    record_add(&fresh, "newer");
    batch_seal(&fresh);
    assert_true(fresh.header.size == stale.header.size);
    check_fault("new use", batch_check(other), DWAL__FAULT_NONE);

    memcpy(buffer, other, DWAL__BATCH_HEADER_SIZE);
    check_fault("new header, old records", batch_check(buffer),
                DWAL__FAULT_DIGEST);
}

static void test_salt_catches_stale_records(void **state) {
    (void)state;
    struct dwal__segment_header older = segment;
    older.salt ^= 1;
    struct batch_maker maker;
    batch_begin(&maker, buffer, sizeof buffer, &older, OFFSET, 41);
    record_add(&maker, "old");
    batch_seal(&maker);
    /* Even under a header whose digest is theirs. */
    maker.header.salt = segment.salt;
    dwal__batch_header_encode(&maker.header, buffer);
    check_fault("old records", batch_check(buffer), DWAL__FAULT_RECORD_SALT);
}

/* ---- system records, SPEC 6 ---- */

#define FIRST BLOCK /* the offset of a segment's first batch */

static void start_add(struct batch_maker *maker) {
    static const uint8_t blob[] = "vote";
    struct dwal__start start = {.previous_segment = 4,
                                .previous_end = 2048,
                                .previous_lsn = 40,
                                .previous_link = 5,
                                .trim_lsn = 6,
                                .metadata = blob,
                                .metadata_size = 4};
    uint8_t bytes[DWAL__START_SIZE_MAX];
    uint32_t size = dwal__start_encode(&start, bytes);
    batch_add_system(maker, DWAL__SYSTEM_START, bytes, size);
}

static void test_start_stands_first(void **state) {
    (void)state;
    struct dwal__batch_summary summary;
    struct batch_maker maker;
    batch_begin(&maker, buffer, sizeof buffer, &segment, FIRST, 41);
    start_add(&maker);
    record_add(&maker, "x");
    batch_seal(&maker);
    check_fault("start", batch_check_at(buffer, FIRST, &summary, NULL),
                DWAL__FAULT_NONE);
    assert_true(summary.started);
    assert_false(summary.witness);
    assert_true(summary.start.previous_segment == 4);
    assert_true(summary.start.trim_lsn == 6);
    assert_int_equal(summary.start.metadata_size, 4);
    assert_memory_equal(summary.start.metadata, "vote", 4);

    batch_begin(&maker, buffer, sizeof buffer, &segment, FIRST, 41);
    record_add(&maker, "x");
    start_add(&maker);
    batch_seal(&maker);
    check_fault("an application record first",
                batch_check_at(buffer, FIRST, &summary, NULL),
                DWAL__FAULT_FIELD);
    batch_begin(&maker, buffer, sizeof buffer, &segment, FIRST, 41);
    batch_add_system(&maker, DWAL__SYSTEM_MARK, NULL, 0);
    batch_seal(&maker);
    check_fault("a mark first", batch_check_at(buffer, FIRST, &summary, NULL),
                DWAL__FAULT_FIELD);
    batch_begin(&maker, buffer, sizeof buffer, &segment, FIRST, 41);
    start_add(&maker);
    start_add(&maker);
    batch_seal(&maker);
    check_fault("two starts", batch_check_at(buffer, FIRST, &summary, NULL),
                DWAL__FAULT_FIELD);
    batch_begin(&maker, buffer, sizeof buffer, &segment, OFFSET, 41);
    start_add(&maker);
    batch_seal(&maker);
    check_fault("a start in a later batch", batch_check(buffer),
                DWAL__FAULT_FIELD);
}

/* One system record of each kind and size, alone in a batch. */
static void test_each_system_rule(void **state) {
    (void)state;
    static const uint8_t zeros[DWAL__METADATA_SIZE_MAX + 1];
    static const uint8_t top[8] = {0, 0, 0, 0, 0, 0, 0, 0x80};
    static const uint8_t below_top[8] = {0xFF, 0xFF, 0xFF, 0xFF,
                                         0xFF, 0xFF, 0xFF, 0x7F};
    static const struct {
        const char *what;
        struct dwal__record record;
        enum dwal__fault fault;
    } cases[] = {
        {"trim", {.type = 0x8002, .data = zeros, .size = 8}, 0},
        {"trim, most", {.type = 0x8002, .data = below_top, .size = 8}, 0},
        {"trim 2^63",
         {.type = 0x8002, .data = top, .size = 8},
         DWAL__FAULT_FIELD},
        {"trim of 7",
         {.type = 0x8002, .data = zeros, .size = 7},
         DWAL__FAULT_FIELD},
        {"trim of 9",
         {.type = 0x8002, .data = zeros, .size = 9},
         DWAL__FAULT_FIELD},
        {"metadata, empty", {.type = 0x8003}, 0},
        {"metadata, most", {.type = 0x8003, .data = zeros, .size = 1024}, 0},
        {"metadata, too large",
         {.type = 0x8003, .data = zeros, .size = 1025},
         DWAL__FAULT_FIELD},
        {"mark", {.type = 4}, 0},
        {"mark with payload",
         {.type = 4, .data = zeros, .size = 1},
         DWAL__FAULT_FIELD},
        {"close", {.type = 5}, 0},
        {"close with payload",
         {.type = 5, .data = zeros, .size = 1},
         DWAL__FAULT_FIELD},
        {"mark with flags", {.type = 4, .flags = 1}, DWAL__FAULT_FIELD},
        {"mark with tenant", {.type = 4, .tenant = 1}, DWAL__FAULT_FIELD},
        {"mark with shard", {.type = 4, .shard = 1}, DWAL__FAULT_FIELD},
        {"unknown", {.type = 6, .data = zeros, .size = 77}, 0},
        {"unknown 0", {.type = 0}, 0},
        {"unknown, must refuse", {.type = 0x8004}, DWAL__FAULT_VERSION},
        {"unknown, must refuse", {.type = 0xFFFF}, DWAL__FAULT_VERSION},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct batch_maker maker;
        batch_begin(&maker, buffer, sizeof buffer, &segment, OFFSET, 41);
        batch_add_raw(&maker, &cases[i].record);
        batch_seal(&maker);
        check_fault(cases[i].what, batch_check(buffer), cases[i].fault);
    }
}

static void test_summary(void **state) {
    (void)state;
    struct dwal__batch_summary summary;
    struct batch_maker maker;
    uint8_t trim[8];
    batch_begin(&maker, buffer, sizeof buffer, &segment, OFFSET, 41);
    dwal__put64(trim, 30);
    batch_add_system(&maker, DWAL__SYSTEM_TRIM, trim, 8);
    dwal__put64(trim, 20);
    batch_add_system(&maker, DWAL__SYSTEM_TRIM, trim, 8);
    batch_add_system(&maker, DWAL__SYSTEM_METADATA, "first", 5);
    batch_add_system(&maker, DWAL__SYSTEM_METADATA, "2nd", 3);
    batch_add_system(&maker, DWAL__SYSTEM_CLOSE, NULL, 0);
    batch_seal(&maker);
    check_fault("system records",
                batch_check_at(buffer, OFFSET, &summary, NULL),
                DWAL__FAULT_NONE);
    assert_true(summary.trim_lsn == 30);        /* the largest */
    assert_int_equal(summary.metadata_size, 3); /* the latest */
    assert_memory_equal(summary.metadata, "2nd", 3);
    assert_true(summary.closed);
    assert_false(summary.witness);
}

/* A witness holds marks and closes only; closed looks at the last record. */
static void test_witness(void **state) {
    (void)state;
    static const struct {
        const char *records; /* m mark, c close, t trim, u unknown, a record */
        bool witness, closed;
    } cases[] = {{"m", true, false},   {"c", true, true},
                 {"mc", true, true},   {"cm", true, false},
                 {"mt", false, false}, {"tc", false, true},
                 {"mu", false, false}, {"ac", false, true},
                 {"ca", false, false}, {"a", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct batch_maker maker;
        struct dwal__batch_summary summary;
        batch_begin(&maker, buffer, sizeof buffer, &segment, OFFSET, 41);
        for (const char *r = cases[i].records; *r != '\0'; r++)
            if (*r == 'a')
                record_add(&maker, "x");
            else if (*r == 't')
                batch_add_system(&maker, DWAL__SYSTEM_TRIM, "\1\0\0\0\0\0\0",
                                 8);
            else
                batch_add_system(&maker,
                                 *r == 'm'   ? DWAL__SYSTEM_MARK
                                 : *r == 'c' ? DWAL__SYSTEM_CLOSE
                                             : 0x0777,
                                 NULL, 0);
        batch_seal(&maker);
        check_fault(cases[i].records,
                    batch_check_at(buffer, OFFSET, &summary, NULL),
                    DWAL__FAULT_NONE);
        check_that(summary.witness == cases[i].witness &&
                       summary.closed == cases[i].closed,
                   "%s", cases[i].records);
    }
}

static void test_system_type_names(void **state) {
    (void)state;
    assert_string_equal(dwal__system_type_name(0x8001), "start");
    assert_string_equal(dwal__system_type_name(0x8002), "trim");
    assert_string_equal(dwal__system_type_name(0x8003), "metadata");
    assert_string_equal(dwal__system_type_name(0x0004), "mark");
    assert_string_equal(dwal__system_type_name(0x0005), "close");
    assert_null(dwal__system_type_name(0x0001));
    assert_null(dwal__system_type_name(0x8004));
}

/* ---- flipped bits ---- */

static void test_every_flipped_bit(void **state) {
    (void)state;
    struct batch_maker maker = batch_sample();
    size_t padded = batch_seal(&maker);
    for (size_t bit = 0; bit < padded * 8; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_that(batch_check(buffer) != DWAL__FAULT_NONE,
                   "bit %zu of byte %zu", bit % 8, bit / 8);
        buffer[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    check_fault("as it was", batch_check(buffer), DWAL__FAULT_NONE);
}

/* Bits of larger batches with random records, one at a time. The link is the
 * only field that needs the batch before to be checked, and the CRC covers it
 * too. */
static void test_random_flipped_bits(void **state) {
    (void)state;
    static uint8_t data[2000];
    uint64_t random = check_seed(7);
    check_fill(&random, data, sizeof data);
    for (int round = 0; round < 60; round++) {
        struct batch_maker maker;
        batch_begin(&maker, buffer, sizeof buffer, &segment, OFFSET, 41);
        uint32_t count = 1 + (uint32_t)(check_random(&random) % 10);
        for (uint32_t i = 0; i < count; i++)
            batch_add(&maker, (struct dwal__record){
                                  .data = data,
                                  .size = (uint32_t)(check_random(&random) %
                                                     sizeof data)});
        size_t padded = batch_seal(&maker);
        for (int flip = 0; flip < 200; flip++) {
            size_t bit = check_random(&random) % (padded * 8);
            buffer[bit / 8] ^= (uint8_t)(1u << bit % 8);
            check_that(batch_check(buffer) != DWAL__FAULT_NONE,
                       "round %d, bit %zu of byte %zu", round, bit % 8,
                       bit / 8);
            buffer[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

/* A torn write: any sectors of the batch still hold what was there before,
 * zeros or an older use. */
static void test_torn_sectors(void **state) {
    (void)state;
    static uint8_t whole[8 * BLOCK], before[8 * BLOCK];
    char text[380];
    memset(text, '.', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    uint64_t random = check_seed(8);
    for (int kind = 0; kind < 2; kind++) {
        struct batch_maker maker;
        memset(before, 0, sizeof before);
        if (kind == 1)
            check_fill(&random, before, sizeof before);
        batch_begin(&maker, whole, sizeof whole, &segment, OFFSET, 41);
        for (int i = 0; i < 7; i++)
            record_add(&maker, text);
        size_t sectors = batch_seal(&maker) / BLOCK;
        assert_in_range(sectors, 5, 8);
        for (unsigned set = 0; set < 1u << sectors; set++) {
            for (size_t i = 0; i < sectors; i++)
                memcpy(buffer + i * BLOCK,
                       (set >> i & 1 ? whole : before) + i * BLOCK, BLOCK);
            bool all = set == (1u << sectors) - 1;
            check_that((batch_check(buffer) == DWAL__FAULT_NONE) == all,
                       "sectors %x", set);
        }
    }
}

/* Records with right checksums and wrong everything else, under a header that
 * is right, in memory of the exact size: nothing is read behind it. */
static void test_hostile_records(void **state) {
    (void)state;
    uint64_t random = check_seed(9);
    for (int round = 0; round < 3000; round++) {
        struct batch_maker maker = batch_sample();
        struct dwal__batch_header *h = &maker.header;
        h->digest = 0;
        h->size = DWAL__BATCH_HEADER_SIZE + 32 +
                  8 * (check_random(&random) % (round % 300 + 1));
        uint64_t most = (h->size - DWAL__BATCH_HEADER_SIZE) / 32;
        h->record_count = 1 + (uint32_t)(check_random(&random) % most);
        h->lsn_count = (uint32_t)(check_random(&random) % h->record_count);
        size_t padded = dwal__align_up(h->size, BLOCK);
        uint8_t *bytes = calloc(1, padded);
        assert_non_null(bytes);
        size_t at = DWAL__BATCH_HEADER_SIZE;
        while (h->size - at >= DWAL__RECORD_HEADER_SIZE) {
            size_t left = h->size - at - DWAL__RECORD_HEADER_SIZE;
            struct dwal__record record = {
                .lsn = check_random(&random) % 3 ? 0 : 41,
                .type = (uint16_t)(check_random(&random) % 7 |
                                   (check_random(&random) % 2 << 15)),
                .data = buffer,
                .size = (uint32_t)(check_random(&random) % (left + 1))};
            if (dwal__record_room(record.size) > h->size - at)
                break;
            uint32_t crc =
                dwal__record_encode(&record, segment.salt, bytes + at);
            h->digest = dwal__digest(h->digest, &crc, 1);
            if (check_random(&random) % 8 == 0) /* any length at all */
                dwal__put32(bytes + at + 4, (uint32_t)check_random(&random));
            at += dwal__record_room(record.size);
        }
        dwal__batch_header_encode(h, bytes);
        struct dwal__batch_summary summary;
        struct dwal__batch_fault where = {.offset = OFFSET};
        batch_check_at(bytes, OFFSET, &summary, &where);
        assert_in_range(where.offset, OFFSET, OFFSET + padded);
        free(bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_layout),
        cmocka_unit_test(test_header_round_trip),
        cmocka_unit_test(test_each_header_rule),
        cmocka_unit_test(test_record_count_max),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_flipped_header_is_damaged),
        cmocka_unit_test(test_sample_is_valid),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_many_records),
        cmocka_unit_test(test_each_batch_rule),
        cmocka_unit_test(test_lsns_are_dense),
        cmocka_unit_test(test_fault_place),
        cmocka_unit_test(test_block_padding),
        cmocka_unit_test(test_digest_catches_stale_records),
        cmocka_unit_test(test_salt_catches_stale_records),
        cmocka_unit_test(test_start_stands_first),
        cmocka_unit_test(test_each_system_rule),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_witness),
        cmocka_unit_test(test_system_type_names),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_random_flipped_bits),
        cmocka_unit_test(test_torn_sectors),
        cmocka_unit_test(test_hostile_records),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
