/* SPDX-License-Identifier: MIT */
/*
 * Records, SPEC 5.2, and the payload of a start, SPEC 6.1: encoders against
 * decoders, fields at their limits, each rule broken alone, no read behind the
 * bytes that were given.
 */
#include "tests/support/check.h"

#include "format/batch.h"
#include "format/bytes.h"
#include "format/crc.h"

#define RECORD(field) offsetof(struct dwal__record_header_bytes, field)
#define START(field) offsetof(struct dwal__start_bytes, field)
#define SALT UINT64_C(0x8182838485868788)

static const uint8_t payload[] = "thirteen byte";
#define PAYLOAD_SIZE 13u
#define ROOM 48u /* 32 + 13, up to a multiple of 8 */

static struct dwal__record record_sample(void) {
    return (struct dwal__record){.lsn = 0x1112131415161718,
                                 .data = payload,
                                 .size = PAYLOAD_SIZE,
                                 .type = 0x2122,
                                 .flags = 0x3132,
                                 .tenant = 0x41424344,
                                 .shard = 0x51525354};
}

static void record_reseal(uint8_t *bytes, uint32_t size) {
    dwal__put32(bytes + RECORD(crc),
                dwal__crc32(0, bytes + RECORD(size), 28 + size));
}

/* On the heap and of its exact size, so that ASan sees a read behind it. */
static enum dwal__fault record_decode(const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct dwal__record record;
    size_t room;
    enum dwal__fault fault =
        dwal__record_decode(copy, size, SALT, &record, &room);
    free(copy);
    return fault;
}

static void test_layout(void **state) {
    (void)state;
    struct dwal__record record = record_sample();
    uint8_t bytes[ROOM + 1];
    memset(bytes, 0xEE, sizeof bytes);
    uint32_t crc = dwal__record_encode(&record, SALT, bytes);
    static const uint8_t expected[ROOM - 4] = {
        13,   0,    0,    0,    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12,
        0x11, 0x22, 0x21, 0x32, 0x31, 0x44, 0x43, 0x42, 0x41, 0x54, 0x53,
        0x52, 0x51, 0x88, 0x87, 0x86, 0x85, 't',  'h',  'i',  'r',  't',
        'e',  'e',  'n',  ' ',  'b',  'y',  't',  'e',  0,    0,    0};
    assert_memory_equal(bytes + 4, expected, sizeof expected);
    assert_int_equal(bytes[ROOM], 0xEE);
    assert_int_equal(dwal__get32(bytes), crc);
    assert_int_equal(crc, dwal__crc32(0, bytes + 4, 28 + PAYLOAD_SIZE));
}

static void check_round_trip(struct dwal__record record) {
    size_t room = dwal__record_room(record.size);
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    memset(bytes, 0xEE, room);
    record.crc = dwal__record_encode(&record, SALT, bytes);
    struct dwal__record found[2];
    size_t found_room = 0;
    check_fault("round trip",
                dwal__record_decode(bytes, room, SALT, &found[0], &found_room),
                DWAL__FAULT_NONE);
    assert_int_equal(found_room, room);
    dwal__record_load(bytes, &found[1]);
    for (int i = 0; i < 2; i++) {
        check_that(found[i].lsn == record.lsn && found[i].size == record.size &&
                       found[i].type == record.type &&
                       found[i].flags == record.flags &&
                       found[i].tenant == record.tenant &&
                       found[i].shard == record.shard &&
                       found[i].crc == record.crc,
                   "%u bytes", record.size);
        assert_ptr_equal(found[i].data, bytes + DWAL__RECORD_HEADER_SIZE);
        if (record.size > 0)
            assert_memory_equal(found[i].data, record.data, record.size);
    }
    for (size_t i = DWAL__RECORD_HEADER_SIZE + record.size; i < room; i++)
        assert_int_equal(bytes[i], 0);
    free(bytes);
}

static void test_round_trip_of_every_size(void **state) {
    (void)state;
    static uint8_t data[65536 + 9];
    uint64_t random = check_seed(1);
    check_fill(&random, data, sizeof data);
    struct dwal__record record = record_sample();
    record.data = data;
    for (record.size = 0; record.size <= 1200; record.size++)
        check_round_trip(record);
    for (record.size = 4096 - 40; record.size <= 4096 + 8; record.size++)
        check_round_trip(record);
    for (record.size = 65536 - 40; record.size <= 65536 + 8; record.size++)
        check_round_trip(record);
}

static void test_round_trip_at_the_limits(void **state) {
    (void)state;
    struct dwal__record least = {.data = NULL};
    check_round_trip(least);
    struct dwal__record most = record_sample();
    most.lsn = DWAL__LSN_MAX;
    most.type = UINT16_MAX, most.flags = UINT16_MAX;
    most.tenant = UINT32_MAX, most.shard = UINT32_MAX;
    check_round_trip(most);
}

static void test_room(void **state) {
    (void)state;
    assert_int_equal(dwal__record_room(0), 32);
    assert_int_equal(dwal__record_room(1), 40);
    assert_int_equal(dwal__record_room(8), 40);
    assert_int_equal(dwal__record_room(9), 48);
    assert_true(dwal__record_room(UINT32_MAX) ==
                UINT64_C(0x100000000) + 32); /* and does not wrap */
}

/* [record-valid]: it lies wholly inside, padding included. */
static void test_must_fit(void **state) {
    (void)state;
    struct dwal__record record = record_sample();
    uint8_t bytes[ROOM];
    dwal__record_encode(&record, SALT, bytes);
    for (size_t size = 0; size < ROOM; size++)
        check_that(record_decode(bytes, size) == DWAL__FAULT_RECORD_SIZE,
                   "%zu of %u bytes", size, ROOM);
    check_fault("all of it", record_decode(bytes, ROOM), DWAL__FAULT_NONE);
    /* Also with a CRC that is right: no length leads out of the batch. */
    static const uint32_t sizes[] = {17, 0x7FFFFFFF, 0xFFFFFFE0, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        dwal__put32(bytes + RECORD(size), sizes[i]);
        record_reseal(bytes, PAYLOAD_SIZE);
        check_fault("too large", record_decode(bytes, ROOM),
                    DWAL__FAULT_RECORD_SIZE);
    }
}

static void test_salt(void **state) {
    (void)state;
    struct dwal__record record = record_sample();
    uint8_t bytes[ROOM];
    for (int bit = 0; bit < 32; bit++) {
        dwal__record_encode(&record, SALT ^ UINT64_C(1) << bit, bytes);
        check_fault("other salt", record_decode(bytes, ROOM),
                    DWAL__FAULT_RECORD_SALT);
    }
    /* The record holds the low half; the batch header has all of it. */
    dwal__record_encode(&record, SALT ^ UINT64_C(1) << 32, bytes);
    check_fault("low half alike", record_decode(bytes, ROOM), DWAL__FAULT_NONE);
}

static void test_padding(void **state) {
    (void)state;
    struct dwal__record record = record_sample();
    uint8_t bytes[ROOM];
    for (size_t i = DWAL__RECORD_HEADER_SIZE + PAYLOAD_SIZE; i < ROOM; i++) {
        dwal__record_encode(&record, SALT, bytes);
        bytes[i] = 1;
        check_fault("padding", record_decode(bytes, ROOM), DWAL__FAULT_PADDING);
    }
}

static void test_every_flipped_bit(void **state) {
    (void)state;
    struct dwal__record record = record_sample();
    uint8_t bytes[ROOM];
    dwal__record_encode(&record, SALT, bytes);
    for (size_t bit = 0; bit < ROOM * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_that(record_decode(bytes, ROOM) != DWAL__FAULT_NONE,
                   "bit %zu of byte %zu", bit % 8, bit / 8);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_digest(void **state) {
    (void)state;
    uint32_t crcs[200];
    uint8_t bytes[800];
    uint64_t random = check_seed(2);
    for (size_t i = 0; i < 200; i++) {
        crcs[i] = (uint32_t)check_random(&random);
        dwal__put32(bytes + 4 * i, crcs[i]);
    }
    for (size_t count = 0; count <= 200; count++) {
        uint32_t expected = dwal__crc32(0, bytes, 4 * count);
        check_that(dwal__digest(0, crcs, count) == expected, "%zu", count);
        size_t split = count * 2 / 3;
        uint32_t digest = dwal__digest(0, crcs, split);
        digest = dwal__digest(digest, crcs + split, count - split);
        check_that(digest == expected, "%zu, split", count);
    }
}

/* ---- the start, SPEC 6.1 ---- */

static const uint8_t blob[DWAL__METADATA_SIZE_MAX] = {1, 2, 3};

static struct dwal__start start_sample(void) {
    return (struct dwal__start){.previous_segment = 0x1112131415161718,
                                .previous_end = 0x2122232425262728,
                                .previous_lsn = 0x3132333435363738,
                                .previous_link = 0x41424344,
                                .flags = DWAL__START_CUT,
                                .trim_lsn = 0x5152535455565758,
                                .metadata = blob,
                                .metadata_size = 5};
}

static enum dwal__fault start_decode(const uint8_t *bytes, size_t size,
                                     struct dwal__start *start) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    enum dwal__fault fault = dwal__start_decode(copy, size, start);
    free(copy);
    start->metadata = NULL;
    return fault;
}

static void check_start(struct dwal__start start) {
    uint8_t bytes[DWAL__START_SIZE_MAX + 1];
    memset(bytes, 0xEE, sizeof bytes);
    uint32_t size = dwal__start_encode(&start, bytes);
    assert_int_equal(size, DWAL__START_SIZE + start.metadata_size);
    assert_int_equal(bytes[size], 0xEE);
    struct dwal__start found;
    check_fault("start", dwal__start_decode(bytes, size, &found),
                DWAL__FAULT_NONE);
    assert_true(found.previous_segment == start.previous_segment);
    assert_true(found.previous_end == start.previous_end);
    assert_true(found.previous_lsn == start.previous_lsn);
    assert_int_equal(found.previous_link, start.previous_link);
    assert_int_equal(found.flags, start.flags);
    assert_true(found.trim_lsn == start.trim_lsn);
    assert_int_equal(found.metadata_size, start.metadata_size);
    if (start.metadata_size > 0)
        assert_memory_equal(found.metadata, start.metadata,
                            start.metadata_size);
}

static void test_start_round_trip(void **state) {
    (void)state;
    struct dwal__start start = start_sample();
    check_start(start);
    start.metadata_size = 0;
    check_start(start);
    start.metadata_size = DWAL__METADATA_SIZE_MAX;
    check_start(start);
    start.previous_segment = start.previous_end = UINT64_MAX;
    start.previous_lsn = start.trim_lsn = DWAL__LSN_MAX;
    start.previous_link = UINT32_MAX;
    start.flags = DWAL__START_CUT | DWAL__START_RESET;
    check_start(start);
    struct dwal__start least = {0};
    check_start(least);
}

/* SPEC 6.1, the table: where each field lies, byte by byte. */
static void test_start_layout(void **state) {
    (void)state;
    struct dwal__start start = start_sample();
    uint8_t bytes[DWAL__START_SIZE_MAX];
    dwal__start_encode(&start, bytes);
    static const uint8_t expected[] = {
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26,
        0x25, 0x24, 0x23, 0x22, 0x21, 0x38, 0x37, 0x36, 0x35, 0x34, 0x33,
        0x32, 0x31, 0x44, 0x43, 0x42, 0x41, 1,    0,    0,    0,    0x58,
        0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51, 5,    0,    0,    0,
        0,    0,    0,    0,    1,    2,    3,    0,    0};
    assert_memory_equal(bytes, expected, sizeof expected);
}

static const struct start_rule {
    const char *what;
    size_t offset;
    unsigned size;
    uint64_t value;
    enum dwal__fault fault;
} start_rules[] = {
    {"no predecessor, but an end", START(previous_segment), 8, 0,
     DWAL__FAULT_FIELD},
    {"a predecessor without an end", START(previous_end), 8, 0,
     DWAL__FAULT_FIELD},
    {"last LSN 2^63 - 1", START(previous_lsn), 8, DWAL__LSN_MAX,
     DWAL__FAULT_NONE},
    {"last LSN 2^63", START(previous_lsn), 8, UINT64_C(1) << 63,
     DWAL__FAULT_FIELD},
    {"trim point 2^63", START(trim_lsn), 8, UINT64_C(1) << 63,
     DWAL__FAULT_FIELD},
    {"flag 2", START(flags), 4, 2, DWAL__FAULT_NONE},
    {"flag 4", START(flags), 4, 4, DWAL__FAULT_NONE},
    {"flags 2 and 4", START(flags), 4, 6, DWAL__FAULT_FIELD},
    {"flag 8", START(flags), 4, 8, DWAL__FAULT_FIELD},
    {"flag 2^31", START(flags), 4, 0x80000001, DWAL__FAULT_FIELD},
    {"blob smaller than said", START(metadata_size), 4, 6, DWAL__FAULT_FIELD},
    {"blob larger than said", START(metadata_size), 4, 4, DWAL__FAULT_FIELD},
    {"blob of 2^32 - 1", START(metadata_size), 4, UINT32_MAX,
     DWAL__FAULT_FIELD},
    {"reserved, first", START(reserved), 1, 1, DWAL__FAULT_FIELD},
    {"reserved, last", START(reserved) + 3, 1, 0x80, DWAL__FAULT_FIELD},
};

static void test_start_rules(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof start_rules / sizeof start_rules[0]; i++) {
        const struct start_rule *rule = &start_rules[i];
        struct dwal__start start = start_sample(), found;
        uint8_t bytes[DWAL__START_SIZE_MAX];
        uint32_t size = dwal__start_encode(&start, bytes);
        for (unsigned at = 0; at < rule->size; at++)
            bytes[rule->offset + at] = (uint8_t)(rule->value >> 8 * at);
        check_fault(rule->what, start_decode(bytes, size, &found), rule->fault);
    }
    struct dwal__start start = {.previous_link = 1}, found;
    uint8_t bytes[DWAL__START_SIZE_MAX];
    dwal__start_encode(&start, bytes);
    check_fault("no predecessor, but a CRC",
                start_decode(bytes, DWAL__START_SIZE, &found),
                DWAL__FAULT_FIELD);
}

static void test_start_size(void **state) {
    (void)state;
    uint8_t bytes[DWAL__START_SIZE_MAX + 8] = {0};
    struct dwal__start found;
    for (uint32_t size = 0; size <= sizeof bytes; size++) {
        dwal__put32(bytes + START(metadata_size), size - DWAL__START_SIZE);
        bool valid = size >= DWAL__START_SIZE && size <= DWAL__START_SIZE_MAX;
        check_fault("size of a start", start_decode(bytes, size, &found),
                    valid ? DWAL__FAULT_NONE : DWAL__FAULT_FIELD);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_round_trip_of_every_size),
        cmocka_unit_test(test_round_trip_at_the_limits),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_must_fit),
        cmocka_unit_test(test_salt),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_start_round_trip),
        cmocka_unit_test(test_start_layout),
        cmocka_unit_test(test_start_rules),
        cmocka_unit_test(test_start_size),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
