/* SPDX-License-Identifier: MIT */
/*
 * Segment headers, file names and the LOCK text, SPEC 4: each encoder against
 * its decoder, every field at its limits, and each rule broken alone.
 */
#include "tests/support/check.h"

#include "format/bytes.h"
#include "format/crc.h"
#include "format/segment.h"

#define BLOCK 512
#define AT(field) offsetof(struct dwal__segment_header_bytes, field)

/* No two fields alike, so that a swap shows. */
static struct dwal__segment_header header_sample(void) {
    return (struct dwal__segment_header){
        .features_read_only = 0x11121314,
        .features_compatible = 0x21222324,
        .block_size = BLOCK,
        .uuid = {{0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A,
                  0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x40}},
        .number = 0x4142434445464748,
        .previous = 0x4142434445464740,
        .epoch = 0x5152535455565758,
        .salt = 0x6162636465666768,
        .segment_size = 0x10000,
        .created_ns = 0x7172737475767778,
    };
}

/* Makes the CRC right again after a change of the bytes. */
static void header_reseal(uint8_t *block) {
    dwal__put32(block + AT(crc),
                dwal__crc32(0, block + AT(version),
                            DWAL__SEGMENT_HEADER_SIZE - AT(version)));
}

static void check_round_trip(const char *what,
                             struct dwal__segment_header header) {
    uint8_t *block = malloc(header.block_size);
    assert_non_null(block);
    memset(block, 0xEE, header.block_size);
    header.crc = dwal__segment_header_encode(&header, block);
    struct dwal__segment_header found;
    memset(&found, 0xEE, sizeof found);
    check_fault(
        what,
        dwal__segment_header_decode(block, DWAL__SEGMENT_HEADER_SIZE, &found),
        DWAL__FAULT_NONE);
    check_that(found.features_incompatible == header.features_incompatible &&
                   found.features_read_only == header.features_read_only &&
                   found.features_compatible == header.features_compatible &&
                   found.block_size == header.block_size &&
                   memcmp(&found.uuid, &header.uuid, sizeof found.uuid) == 0 &&
                   found.number == header.number &&
                   found.previous == header.previous &&
                   found.epoch == header.epoch && found.salt == header.salt &&
                   found.segment_size == header.segment_size &&
                   found.created_ns == header.created_ns &&
                   found.crc == header.crc,
               "%s", what);
    check_that(dwal__segment_padding_check(block, &found), "%s", what);
    free(block);
}

static void test_round_trip_at_the_limits(void **state) {
    (void)state;
    struct dwal__segment_header h = header_sample();
    check_round_trip("sample", h);
    h.segment_size = 16 * BLOCK;
    check_round_trip("smallest segment", h);
    h.segment_size = UINT64_C(1) << 40;
    check_round_trip("largest segment of the smallest blocks", h);
    h.block_size = 65536;
    check_round_trip("largest of both", h);
    h.segment_size = 16 * 65536;
    check_round_trip("smallest segment of the largest blocks", h);
    h = header_sample();
    h.number = 1, h.previous = 0, h.epoch = 1, h.salt = 0, h.created_ns = 0;
    check_round_trip("all at their least", h);
    h.number = INT64_MAX, h.previous = INT64_MAX - 1, h.epoch = UINT64_MAX;
    h.salt = UINT64_MAX, h.created_ns = UINT64_MAX;
    h.features_read_only = UINT32_MAX, h.features_compatible = UINT32_MAX;
    check_round_trip("all at their most", h);
}

/* SPEC 4.2, the table: where each field lies, byte by byte. */
static void test_layout(void **state) {
    (void)state;
    struct dwal__segment_header h = header_sample();
    uint8_t block[BLOCK];
    dwal__segment_header_encode(&h, block);
    static const uint8_t expected[DWAL__SEGMENT_HEADER_SIZE] = {
        0x89, 0x44, 0x57, 0x41, 0x4C, 0x0D, 0x0A, 0x1A, 0,    0,    0,    0,
        1,    0,    128,  0,    0,    0,    0,    0,    0x14, 0x13, 0x12, 0x11,
        0x24, 0x23, 0x22, 0x21, 0,    2,    0,    0,    0x31, 0x32, 0x33, 0x34,
        0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x40,
        0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41, 0x40, 0x47, 0x46, 0x45,
        0x44, 0x43, 0x42, 0x41, 0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,
        0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61, 0,    0,    1,    0,
        0,    0,    0,    0,    0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x71};
    assert_memory_equal(block, expected, 8);
    assert_memory_equal(block + 12, expected + 12, sizeof expected - 12);
    assert_int_equal(dwal__get32(block + 8), dwal__crc32(0, block + 12, 116));
}

/* One rule of [header-valid] broken, the CRC made right again. */
static const struct rule {
    const char *what;
    size_t offset;
    unsigned size; /* of the field: 1, 2, 4 or 8 */
    uint64_t value;
    enum dwal__fault fault;
} rules[] = {
    {"magic, first byte", AT(magic), 1, 0x88, DWAL__FAULT_MAGIC},
    {"magic, line end", AT(magic) + 5, 1, 0x0A, DWAL__FAULT_MAGIC},
    {"version 0", AT(version), 2, 0, DWAL__FAULT_VERSION},
    {"version 2", AT(version), 2, 2, DWAL__FAULT_VERSION},
    {"version 65535", AT(version), 2, 65535, DWAL__FAULT_VERSION},
    {"incompatible 1", AT(features_incompatible), 4, 1, DWAL__FAULT_VERSION},
    {"incompatible 2^31", AT(features_incompatible), 4, 0x80000000,
     DWAL__FAULT_VERSION},
    {"read-only bit", AT(features_read_only), 4, 1, DWAL__FAULT_NONE},
    {"compatible bit", AT(features_compatible), 4, 1, DWAL__FAULT_NONE},
    {"header size 127", AT(header_size), 2, 127, DWAL__FAULT_FIELD},
    {"header size 129", AT(header_size), 2, 129, DWAL__FAULT_FIELD},
    {"block size 0", AT(block_size), 4, 0, DWAL__FAULT_FIELD},
    {"block size 256", AT(block_size), 4, 256, DWAL__FAULT_FIELD},
    {"block size 513", AT(block_size), 4, 513, DWAL__FAULT_FIELD},
    {"block size 768", AT(block_size), 4, 768, DWAL__FAULT_FIELD},
    {"block size 131072", AT(block_size), 4, 131072, DWAL__FAULT_FIELD},
    {"segment size 0", AT(segment_size), 8, 0, DWAL__FAULT_FIELD},
    {"segment of 15 blocks", AT(segment_size), 8, 15 * BLOCK,
     DWAL__FAULT_FIELD},
    {"segment of no whole blocks", AT(segment_size), 8, 0x10001,
     DWAL__FAULT_FIELD},
    {"segment above 2^40", AT(segment_size), 8, (UINT64_C(1) << 40) + BLOCK,
     DWAL__FAULT_FIELD},
    {"segment of nearly 2^64", AT(segment_size), 8, UINT64_MAX - BLOCK + 1,
     DWAL__FAULT_FIELD},
    {"number 0", AT(number), 8, 0, DWAL__FAULT_FIELD},
    {"number is previous", AT(number), 8, 0x4142434445464740,
     DWAL__FAULT_FIELD},
    {"number below previous", AT(number), 8, 1, DWAL__FAULT_FIELD},
    {"number 2^63", AT(number), 8, UINT64_C(1) << 63, DWAL__FAULT_FIELD},
    {"epoch 0", AT(epoch), 8, 0, DWAL__FAULT_FIELD},
    {"reserved, first", AT(reserved), 1, 1, DWAL__FAULT_RESERVED},
    {"reserved, last", AT(reserved) + 31, 1, 0x80, DWAL__FAULT_RESERVED},
};

static void put(uint8_t *bytes, unsigned size, uint64_t value) {
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

static void test_each_rule(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *rule = &rules[i];
        struct dwal__segment_header h = header_sample(), found;
        uint8_t block[BLOCK];
        dwal__segment_header_encode(&h, block);
        put(block + rule->offset, rule->size, rule->value);
        /* The CRC comes before all fields: nothing is believed without it. */
        if (rule->offset >= AT(version))
            check_fault(rule->what,
                        dwal__segment_header_decode(block, BLOCK, &found),
                        DWAL__FAULT_CRC);
        header_reseal(block);
        check_fault(rule->what,
                    dwal__segment_header_decode(block, BLOCK, &found),
                    rule->fault);
    }
}

/* A reader has to say which bits it does not know. */
static void test_newer_is_told(void **state) {
    (void)state;
    struct dwal__segment_header h = header_sample(), found = {0};
    h.features_incompatible = 0x40;
    uint8_t block[BLOCK];
    dwal__segment_header_encode(&h, block);
    assert_int_equal(dwal__segment_header_decode(block, BLOCK, &found),
                     DWAL__FAULT_VERSION);
    assert_int_equal(found.features_incompatible, 0x40);
    assert_true(found.number == h.number);
}

static void test_short(void **state) {
    (void)state;
    struct dwal__segment_header h = header_sample(), found;
    uint8_t block[BLOCK];
    dwal__segment_header_encode(&h, block);
    assert_int_equal(dwal__segment_header_decode(block, 127, &found),
                     DWAL__FAULT_SHORT);
    assert_int_equal(dwal__segment_header_decode(block, 0, &found),
                     DWAL__FAULT_SHORT);
    assert_int_equal(dwal__segment_header_decode(block, 128, &found),
                     DWAL__FAULT_NONE);
}

/* [zero-reserved] and the CRC: no bit of the whole block goes unnoticed. */
static void test_every_flipped_bit(void **state) {
    (void)state;
    struct dwal__segment_header h = header_sample(), found;
    uint8_t block[BLOCK];
    dwal__segment_header_encode(&h, block);
    for (size_t bit = 0; bit < BLOCK * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bool valid = dwal__segment_header_decode(block, BLOCK, &found) ==
                         DWAL__FAULT_NONE &&
                     dwal__segment_padding_check(block, &found);
        check_that(!valid, "bit %zu of byte %zu", bit % 8, bit / 8);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(dwal__segment_header_decode(block, BLOCK, &found),
                     DWAL__FAULT_NONE);
}

static void test_positions(void **state) {
    (void)state;
    static const struct dwal__position ascending[] = {
        {0, 0},          {1, 0},          {1, 512},
        {1, UINT64_MAX}, {2, 0},          {2, 1},
        {UINT64_MAX, 0}, {UINT64_MAX, 7}, {UINT64_MAX, UINT64_MAX}};
    int count = sizeof ascending / sizeof ascending[0];
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++) {
            int order = dwal__position_compare(ascending[i], ascending[j]);
            check_that(i < j    ? order < 0
                       : i == j ? order == 0
                                : order > 0,
                       "%d and %d", i, j);
        }
}

/* ---- names, SPEC 4.1 ---- */

static const struct name {
    const char *text;
    enum dwal__name_kind kind;
    uint64_t number;
} names[] = {
    {"LOCK", DWAL__NAME_LOCK, 0},
    {"0000000000000001.wal", DWAL__NAME_SEGMENT, 1},
    {"0000000000000010.wal", DWAL__NAME_SEGMENT, 16},
    {"0123456789abcdef.wal", DWAL__NAME_SEGMENT, 0x0123456789ABCDEF},
    {"7fffffffffffffff.wal", DWAL__NAME_SEGMENT, INT64_MAX},
    {"8000000000000000.wal", DWAL__NAME_BAD, 0},
    {"0000000000000001.spare", DWAL__NAME_SPARE, 1},
    {"7fffffffffffffff.spare", DWAL__NAME_SPARE, INT64_MAX},
    {"8000000000000000.spare", DWAL__NAME_OTHER, 0},
    {"0000000000000000.wal", DWAL__NAME_BAD, 0},
    {".wal", DWAL__NAME_BAD, 0},
    {"1.wal", DWAL__NAME_BAD, 0},
    {"000000000000001.wal", DWAL__NAME_BAD, 0},
    {"00000000000000001.wal", DWAL__NAME_BAD, 0},
    {"0123456789ABCDEF.wal", DWAL__NAME_BAD, 0},
    {"000000000000000g.wal", DWAL__NAME_BAD, 0},
    {" 000000000000001.wal", DWAL__NAME_BAD, 0},
    {"-000000000000001.wal", DWAL__NAME_BAD, 0},
    {"0x00000000000001.wal", DWAL__NAME_BAD, 0},
    {"0000000000000001.spare.wal", DWAL__NAME_BAD, 0},
    {"0000000000000000.spare", DWAL__NAME_OTHER, 0},
    {"1.spare", DWAL__NAME_OTHER, 0},
    {"0000000000000001.wal.spare", DWAL__NAME_OTHER, 0},
    {"0000000000000001.WAL", DWAL__NAME_OTHER, 0},
    {"0000000000000001.wal~", DWAL__NAME_OTHER, 0},
    {"0000000000000001", DWAL__NAME_OTHER, 0},
    {"lock", DWAL__NAME_OTHER, 0},
    {"LOCK.new", DWAL__NAME_OTHER, 0},
    {"wal", DWAL__NAME_OTHER, 0},
    {"", DWAL__NAME_OTHER, 0},
    {"README", DWAL__NAME_OTHER, 0},
};

static void test_names(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint64_t number = 77;
        enum dwal__name_kind kind = dwal__name_parse(names[i].text, &number);
        check_that(kind == names[i].kind, "%s: kind %d", names[i].text, kind);
        bool numbered = kind == DWAL__NAME_SEGMENT || kind == DWAL__NAME_SPARE;
        check_that(number == (numbered ? names[i].number : 77), "%s",
                   names[i].text);
    }
}

static void test_names_round_trip(void **state) {
    (void)state;
    uint64_t random = check_seed(4);
    for (int i = 0; i < 1000; i++) {
        uint64_t number = check_random(&random) >> (1 + check_random(&random) % 63);
        if (number == 0)
            continue;
        char name[DWAL__NAME_SIZE];
        uint64_t found = 0;
        dwal__segment_name(number, name);
        assert_int_equal(dwal__name_parse(name, &found), DWAL__NAME_SEGMENT);
        assert_true(found == number);
        dwal__spare_name(number, name);
        assert_int_equal(dwal__name_parse(name, &found), DWAL__NAME_SPARE);
        assert_true(found == number);
    }
}

/* ---- LOCK, SPEC 4.3 ---- */

static const struct dwal__uuid lock_uuid = {{0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
                                             0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB,
                                             0xCC, 0xDD, 0xEE, 0xFF}};

/* On the heap and of its exact size, so that ASan sees a read behind it. */
static enum dwal__fault lock_decode(const void *bytes, size_t size,
                                    struct dwal__uuid *uuid) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    enum dwal__fault fault = dwal__lock_decode(copy, size, uuid);
    free(copy);
    return fault;
}

static void test_lock_round_trip(void **state) {
    (void)state;
    uint8_t bytes[DWAL__LOCK_SIZE];
    dwal__lock_encode(&lock_uuid, bytes);
    char expected[DWAL__LOCK_SIZE + 1];
    const char *text = "dwal lock 1 00112233-4455-6677-8899-aabbccddeeff ";
    snprintf(expected, sizeof expected, "%s%08x\n", text,
             dwal__crc32(0, text, strlen(text)));
    assert_int_equal(strlen(expected), DWAL__LOCK_SIZE);
    assert_memory_equal(bytes, expected, DWAL__LOCK_SIZE);
    struct dwal__uuid found;
    assert_int_equal(lock_decode(bytes, sizeof bytes, &found),
                     DWAL__FAULT_NONE);
    assert_memory_equal(&found, &lock_uuid, sizeof found);
    uint64_t random = check_seed(5);
    for (int i = 0; i < 200; i++) {
        struct dwal__uuid uuid;
        check_fill(&random, &uuid, sizeof uuid);
        dwal__lock_encode(&uuid, bytes);
        assert_int_equal(lock_decode(bytes, sizeof bytes, &found),
                         DWAL__FAULT_NONE);
        assert_memory_equal(&found, &uuid, sizeof found);
    }
}

static void test_lock_damaged(void **state) {
    (void)state;
    uint8_t bytes[DWAL__LOCK_SIZE + 1] = {0};
    struct dwal__uuid found = {{9}}, before = found;
    dwal__lock_encode(&lock_uuid, bytes);
    for (size_t size = 0; size <= DWAL__LOCK_SIZE + 1; size++)
        if (size != DWAL__LOCK_SIZE)
            check_fault("size", lock_decode(bytes, size, &found),
                        DWAL__FAULT_SHORT);
    for (size_t i = 0; i < DWAL__LOCK_SIZE; i++)
        for (unsigned value = 0; value < 256; value++) {
            uint8_t kept = bytes[i];
            if (value == kept)
                continue;
            bytes[i] = (uint8_t)value;
            check_that(lock_decode(bytes, DWAL__LOCK_SIZE, &found) !=
                           DWAL__FAULT_NONE,
                       "byte %zu = %02x", i, value);
            bytes[i] = kept;
        }
    /* A CRC that is right does not make another spelling right. */
    const char *upper = "dwal lock 1 00112233-4455-6677-8899-AABBCCDDEEFF ";
    char line[DWAL__LOCK_SIZE + 1];
    snprintf(line, sizeof line, "%s%08x\n", upper,
             dwal__crc32(0, upper, strlen(upper)));
    assert_int_not_equal(lock_decode(line, DWAL__LOCK_SIZE, &found),
                         DWAL__FAULT_NONE);
    /* Dashes everywhere must not lead the reader out of the line. */
    for (size_t i = 0; i < DWAL__LOCK_SIZE; i++)
        line[i] = "-aa"[i % 3];
    assert_int_not_equal(lock_decode(line, DWAL__LOCK_SIZE, &found),
                         DWAL__FAULT_NONE);
    assert_memory_equal(&found, &before, sizeof found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_at_the_limits),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_each_rule),
        cmocka_unit_test(test_newer_is_told),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_round_trip),
        cmocka_unit_test(test_lock_round_trip),
        cmocka_unit_test(test_lock_damaged),
    };
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
