/* SPDX-License-Identifier: MIT */
/*
 * SPEC 7.8 [flipped-bit]: every single bit of a batch, padding included, is
 * found at exactly its place; a sector that is missing, stale or torn, and two
 * flipped bits, are never called one.
 */
#include "tests/support/batch_maker.h"
#include "tests/support/check.h"

#include "format/bytes.h"
#include "format/flip.h"

#define BLOCK 512u
#define SECTOR 512u
#define LINK 0x1234567u

static struct dwal__segment_header segment = {.block_size = BLOCK,
                                              .segment_size = 64 * BLOCK,
                                              .number = 9,
                                              .previous = 8,
                                              .epoch = 3,
                                              .salt = 0x8877665544332211u};

struct sample {
    uint8_t bytes[64 * BLOCK];
    size_t size; /* with the padding */
    struct dwal__flip_place place;
};

static void sample_begin(struct sample *sample, struct batch_maker *maker,
                         uint64_t offset, uint64_t first_lsn) {
    memset(sample, 0, sizeof *sample);
    sample->place = (struct dwal__flip_place){.segment = &segment,
                                              .offset = offset,
                                              .link = LINK,
                                              .first_lsn = first_lsn};
    batch_begin(maker, sample->bytes, sizeof sample->bytes, &segment, offset,
                first_lsn);
    maker->header.link = LINK;
    maker->header.watermark =
        (struct dwal__watermark){first_lsn - 1, {9, offset - BLOCK}};
}

/* Records of sizes around the alignment, one that crosses sectors, one of
 * zeros but for a single bit, and a system record. */
static void sample_make(struct sample *sample) {
    static uint8_t payload[700];
    static uint8_t zeros[3 * SECTOR];
    uint64_t seed = 7;
    check_fill(&seed, payload, sizeof payload);
    zeros[SECTOR + SECTOR / 2] = 0x10;
    struct batch_maker maker;
    sample_begin(sample, &maker, 4 * BLOCK, 100);
    uint32_t sizes[] = {0, 1, 7, 8, 9, 64, sizeof payload};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        batch_add(&maker, (struct dwal__record){.data = payload,
                                                .size = sizes[i],
                                                .type = 3,
                                                .flags = 1,
                                                .tenant = 77,
                                                .shard = 5});
    batch_add_system(&maker, DWAL__SYSTEM_MARK, NULL, 0);
    batch_add(&maker,
              (struct dwal__record){.data = zeros, .size = sizeof zeros});
    batch_add(&maker, (struct dwal__record){.data = payload, .size = 33});
    sample->size = batch_seal(&maker);
}

/* The first batch of a segment: its LSN is known only from the start in it. */
static void sample_make_first(struct sample *sample) {
    struct dwal__start start = {.previous_segment = 8,
                                .previous_end = 1024,
                                .previous_lsn = 41,
                                .previous_link = 99,
                                .metadata = (const uint8_t *)"vote",
                                .metadata_size = 4};
    uint8_t bytes[DWAL__START_SIZE_MAX];
    uint32_t size = dwal__start_encode(&start, bytes);
    struct batch_maker maker;
    sample_begin(sample, &maker, BLOCK, 42);
    sample->place.first_lsn = 0;
    batch_add_system(&maker, DWAL__SYSTEM_START, bytes, size);
    batch_add(&maker, (struct dwal__record){.data = (const uint8_t *)"hello",
                                            .size = 5});
    sample->size = batch_seal(&maker);
}

static bool sample_find(struct sample *sample, struct dwal__flip *flip) {
    uint64_t extent = dwal__flip_extent(sample->bytes, &sample->place);
    if (extent == 0)
        return false;
    assert_int_equal(extent, sample->size);
    return dwal__flip_find(sample->bytes, &sample->place, flip);
}

static void check_every_bit(struct sample *sample) {
    uint8_t before[sizeof sample->bytes];
    for (uint64_t bit = 0; bit < 8 * sample->size; bit++) {
        sample->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memcpy(before, sample->bytes, sample->size);
        struct dwal__flip flip = {0};
        const uint8_t *sector = sample->bytes + bit / 8 / SECTOR * SECTOR;
        bool alone = dwal__zero_run(sector, SECTOR) == SECTOR;
        bool found = sample_find(sample, &flip);
        check_that(found == !alone, "bit %llu", (unsigned long long)bit);
        if (found) {
            assert_int_equal(flip.offset, sample->place.offset + bit / 8);
            assert_int_equal(flip.bit, bit % 8);
        }
        assert_memory_equal(sample->bytes, before, sample->size);
        sample->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_every_bit(void **state) {
    (void)state;
    static struct sample sample;
    sample_make(&sample);
    check_every_bit(&sample);
}

static void test_every_bit_of_a_first_batch(void **state) {
    (void)state;
    static struct sample sample;
    sample_make_first(&sample);
    check_every_bit(&sample);
}

static void test_valid_is_no_flip(void **state) {
    (void)state;
    static struct sample sample;
    struct dwal__flip flip;
    sample_make(&sample);
    assert_false(sample_find(&sample, &flip));
    sample.place.link++;
    assert_false(sample_find(&sample, &flip));
    sample.place.link--;
    sample.place.first_lsn++;
    assert_false(sample_find(&sample, &flip));
    memset(sample.bytes, 0, sizeof sample.bytes);
    assert_false(sample_find(&sample, &flip));
}

/* A flip explains nothing if the batch would still not follow the one
 * before. */
static void test_wrong_place(void **state) {
    (void)state;
    static struct sample sample;
    struct dwal__flip flip;
    for (int first = 0; first < 2; first++) {
        if (first)
            sample_make_first(&sample);
        else
            sample_make(&sample);
        for (int wrong = 0; wrong < 2; wrong++) {
            sample.place.link = LINK + (wrong == 0);
            sample.place.first_lsn = wrong == 1 ? 101 : first ? 0 : 100;
            for (uint64_t bit = 0; bit < 8 * sample.size; bit += 7) {
                sample.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
                check_that(!sample_find(&sample, &flip), "bit %llu",
                           (unsigned long long)bit);
                sample.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        }
    }
}

/* [flipped-bit] The sector whose only content is one bit: lost, not flipped. */
static void test_lost_sectors(void **state) {
    (void)state;
    static struct sample sample;
    struct dwal__flip flip;
    unsigned single = 0;
    sample_make(&sample);
    for (size_t at = 0; at < sample.size; at += SECTOR) {
        uint8_t kept[SECTOR];
        memcpy(kept, sample.bytes + at, SECTOR);
        unsigned bits = 0;
        for (size_t i = 0; i < SECTOR; i++)
            bits += (unsigned)__builtin_popcount(kept[i]);
        single += bits == 1;
        memset(sample.bytes + at, 0, SECTOR);
        assert_false(sample_find(&sample, &flip));
        uint64_t seed = at;
        check_fill(&seed, sample.bytes + at, SECTOR);
        assert_false(sample_find(&sample, &flip));
        memcpy(sample.bytes + at, kept, SECTOR);
    }
    assert_true(single >= 1); /* the case that the rule is for was there */
}

static void test_two_bits(void **state) {
    (void)state;
    static struct sample sample;
    struct dwal__flip flip;
    uint64_t seed = check_seed(11);
    sample_make(&sample);
    for (int i = 0; i < 4000; i++) {
        uint64_t a = check_random(&seed) % (8 * sample.size);
        uint64_t b = check_random(&seed) % (8 * sample.size);
        if (a == b)
            continue;
        sample.bytes[a / 8] ^= (uint8_t)(1u << a % 8);
        sample.bytes[b / 8] ^= (uint8_t)(1u << b % 8);
        check_that(!sample_find(&sample, &flip), "bits %llu, %llu",
                   (unsigned long long)a, (unsigned long long)b);
        sample.bytes[a / 8] ^= (uint8_t)(1u << a % 8);
        sample.bytes[b / 8] ^= (uint8_t)(1u << b % 8);
    }
}

/* A header that its checksum vouches for was meant as it is. */
static void test_meant_so(void **state) {
    (void)state;
    static struct sample sample;
    struct dwal__flip flip;
    struct batch_maker maker;
    sample_begin(&sample, &maker, 2 * BLOCK, 5);
    batch_add(&maker,
              (struct dwal__record){.data = (const uint8_t *)"x", .size = 1});
    maker.header.digest ^= 1;
    sample.size = batch_seal(&maker);
    assert_false(sample_find(&sample, &flip));
    maker.header.digest ^= 1;
    maker.header.salt ^= 1;
    sample.size = batch_seal(&maker);
    assert_false(sample_find(&sample, &flip));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_every_bit_of_a_first_batch),
        cmocka_unit_test(test_valid_is_no_flip),
        cmocka_unit_test(test_wrong_place),
        cmocka_unit_test(test_lost_sectors),
        cmocka_unit_test(test_two_bits),
        cmocka_unit_test(test_meant_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
