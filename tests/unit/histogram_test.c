/* SPDX-License-Identifier: MIT */
/* The histogram of the benchmarks: never lower than the truth, and never more
 * than a bucket higher. */
#include "tests/support/check.h"

#include "bench/histogram.h"

static struct dwal__histogram histogram, other;

static int clear(void **state) {
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    memset(&other, 0, sizeof other);
    return 0;
}

/* What one value reads back as, with a larger one beside it, so that it is not
 * the maximum that answers. */
static uint64_t read_back(uint64_t ns) {
    clear(NULL);
    dwal__histogram_add(&histogram, ns);
    dwal__histogram_add(&histogram, UINT64_C(1) << DWAL__HISTOGRAM_MAX);
    return dwal__histogram_percentile(&histogram, 50);
}

static void small_values_are_exact(void **state) {
    (void)state;
    for (uint64_t ns = 0; ns < 256; ns++)
        assert_int_equal(read_back(ns), ns);
}

/* At every border of a bucket and beside it. */
static void larger_values_are_close(void **state) {
    (void)state;
    for (unsigned shift = 1; shift + 8 <= DWAL__HISTOGRAM_MAX; shift++)
        for (uint64_t step = 128; step < 256; step++)
            for (int beside = -1; beside <= 1; beside++) {
                uint64_t ns = (step << shift) + (uint64_t)beside;
                uint64_t back = read_back(ns);
                assert_true(back >= ns);
                assert_true(back - ns <= ns / 128);
            }
}

static void the_largest_is_the_maximum(void **state) {
    (void)state;
    dwal__histogram_add(&histogram, 5);
    dwal__histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(dwal__histogram_percentile(&histogram, 99), UINT64_MAX);
    assert_int_equal(dwal__histogram_percentile(&histogram, 100), UINT64_MAX);
    assert_int_equal(dwal__histogram_percentile(&histogram, 50), 5);
}

static void percentiles_count(void **state) {
    (void)state;
    for (uint64_t ns = 1; ns <= 100; ns++)
        dwal__histogram_add(&histogram, ns);
    assert_int_equal(dwal__histogram_percentile(&histogram, 50), 50);
    assert_int_equal(dwal__histogram_percentile(&histogram, 90), 90);
    assert_int_equal(dwal__histogram_percentile(&histogram, 99), 99);
    assert_int_equal(dwal__histogram_percentile(&histogram, 99.01), 100);
    assert_int_equal(dwal__histogram_percentile(&histogram, 100), 100);
    assert_int_equal(dwal__histogram_percentile(&histogram, 0), 1);
    assert_true(dwal__histogram_mean(&histogram) == 50.5);
}

static void none_is_zero(void **state) {
    (void)state;
    assert_int_equal(dwal__histogram_percentile(&histogram, 50), 0);
    assert_true(dwal__histogram_mean(&histogram) == 0);
}

static void merging_adds(void **state) {
    (void)state;
    for (uint64_t ns = 1; ns <= 50; ns++)
        dwal__histogram_add(&histogram, ns);
    for (uint64_t ns = 51; ns <= 100; ns++)
        dwal__histogram_add(&other, ns);
    dwal__histogram_merge(&histogram, &other);
    assert_int_equal(histogram.count, 100);
    assert_int_equal(histogram.max, 100);
    assert_int_equal(dwal__histogram_percentile(&histogram, 75), 75);
    assert_true(dwal__histogram_mean(&histogram) == 50.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(small_values_are_exact, clear),
        cmocka_unit_test_setup(larger_values_are_close, clear),
        cmocka_unit_test_setup(the_largest_is_the_maximum, clear),
        cmocka_unit_test_setup(percentiles_count, clear),
        cmocka_unit_test_setup(none_is_zero, clear),
        cmocka_unit_test_setup(merging_adds, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
