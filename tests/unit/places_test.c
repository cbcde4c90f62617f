/* SPDX-License-Identifier: MIT */
/* The index of places: what it finds, what it forgets, and its bounds. */
#include "recover/places.h"

#include "format/batch.h"
#include "tests/support/check.h"

#define KIB ((uint64_t)1 << 10)

static void learn(struct dwal__places *places, uint64_t number, uint64_t offset,
                  uint64_t lsn, uint32_t count) {
    struct dwal__batch_header header = {
        .first_lsn = lsn, .lsn_count = count, .offset = offset};
    dwal__places_learn(places, number, dwal__places_entry(&header));
}

/* Offsets; 0: there is none. */
static void expect(const struct dwal__places *places, uint64_t number,
                   uint64_t end, uint64_t lsn, uint64_t low_offset,
                   uint64_t high_offset) {
    struct dwal__places_entry low = {0}, high = {0};
    dwal__places_find(places, number, end, lsn, &low, &high);
    assert_int_equal(dwal__places_offset(&low), low_offset);
    assert_int_equal(dwal__places_offset(&high), high_offset);
}

static void test_find(void **state) {
    (void)state;
    struct dwal__places *places = dwal__places_new();
    expect(places, 5, 1 << 20, 10, 0, 0);
    learn(places, 5, 64 * KIB, 100, 10);
    learn(places, 5, 128 * KIB, 200, 10);
    learn(places, 7, 4 * KIB, 300, 10);
    expect(places, 5, 1 << 20, 99, 0, 64 * KIB);
    expect(places, 5, 1 << 20, 100, 64 * KIB, 128 * KIB);
    expect(places, 5, 1 << 20, 199, 64 * KIB, 128 * KIB);
    expect(places, 5, 1 << 20, 200, 128 * KIB, 0);
    expect(places, 6, 1 << 20, 200, 0, 0);
    /* Behind the end nothing is known, whatever was once. */
    expect(places, 5, 128 * KIB, 250, 64 * KIB, 0);
    expect(places, 5, 64 * KIB, 250, 0, 0);
    /* Too near, or against the order. */
    learn(places, 5, 64 * KIB + 8 * KIB, 110, 10);
    learn(places, 5, 128 * KIB - 8 * KIB, 190, 10);
    learn(places, 5, 96 * KIB, 99, 1);
    learn(places, 5, 96 * KIB, 201, 1);
    assert_int_equal(dwal__places_count(places), 3);
    learn(places, 5, 96 * KIB, 150, 10);
    expect(places, 5, 1 << 20, 199, 96 * KIB, 128 * KIB);
    dwal__places_free(places);
}

static void test_keep(void **state) {
    (void)state;
    struct dwal__places *places = dwal__places_new();
    struct dwal__lineage_segment segments[2] = {{.header.number = 2},
                                                {.header.number = 4}};
    struct dwal__lineage lineage = {segments, 2};
    for (uint64_t number = 1; number <= 5; number++)
        learn(places, number, 4 * KIB, 10 * number, 10);
    dwal__places_keep(places, &lineage);
    assert_int_equal(dwal__places_count(places), 2);
    expect(places, 2, 1 << 20, 20, 4 * KIB, 0);
    expect(places, 3, 1 << 20, 30, 0, 0);
    expect(places, 4, 1 << 20, 40, 4 * KIB, 0);
    lineage.count = 0;
    dwal__places_keep(places, &lineage);
    assert_int_equal(dwal__places_count(places), 0);
    dwal__places_free(places);
}

/* It grows no further, whatever comes, and stays of use. */
static void test_bound(void **state) {
    (void)state;
    struct dwal__places *places = dwal__places_new();
    uint64_t seed = check_seed(1);
    uint64_t size = 64 * KIB * KIB, step = 16 * KIB;
    for (unsigned i = 0; i < 4 * DWAL__PLACES_MAX; i++) {
        uint64_t number = 1 + check_random(&seed) % 64;
        uint64_t offset = check_random(&seed) % (size / step) * step;
        learn(places, number, offset, 1 + offset / 512, 1);
        assert_true(dwal__places_count(places) <= DWAL__PLACES_MAX);
    }
    assert_true(dwal__places_spacing(places) > DWAL__PLACES_SPACING);
    assert_true(dwal__places_count(places) > DWAL__PLACES_MAX / 4);
    for (uint64_t number = 1; number <= 64; number++) {
        struct dwal__places_entry low = {0}, high = {0};
        uint64_t lsn = 1 + size / 2 / 512;
        dwal__places_find(places, number, size, lsn, &low, &high);
        assert_true(low.first_lsn <= lsn && high.first_lsn > lsn);
        assert_true(dwal__places_offset(&high) - dwal__places_offset(&low) <
                    size / 64);
    }
    /* A small log again: as near as at first. */
    struct dwal__lineage_segment segment = {.header.number = 9};
    dwal__places_keep(places, &(struct dwal__lineage){&segment, 1});
    assert_int_equal(dwal__places_spacing(places), DWAL__PLACES_SPACING);
    dwal__places_free(places);
}

/* As many segments as entries: full, and no more than that. */
static void test_many_segments(void **state) {
    (void)state;
    struct dwal__places *places = dwal__places_new();
    for (uint64_t number = 1; number <= DWAL__PLACES_MAX + 100; number++)
        learn(places, number, 4 * KIB, number, 1);
    assert_int_equal(dwal__places_count(places), DWAL__PLACES_MAX);
    expect(places, DWAL__PLACES_MAX, 1 << 20, DWAL__PLACES_MAX, 4 * KIB, 0);
    expect(places, DWAL__PLACES_MAX + 1, 1 << 20, UINT64_MAX, 0, 0);
    dwal__places_free(places);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find), cmocka_unit_test(test_keep),
        cmocka_unit_test(test_bound), cmocka_unit_test(test_many_segments)};
    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
