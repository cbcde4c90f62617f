/* SPDX-License-Identifier: MIT */
/* The histogram: never lower than the truth, never more than a bucket higher,
 * and nothing lost where many add. */
#include <pthread.h>

#include "src/histogram.h"
#include "tests/support/check.h"

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
    assert_int_equal(dwal__histogram_count(&histogram), 100);
    assert_int_equal(histogram.max, 100);
    assert_int_equal(dwal__histogram_percentile(&histogram, 75), 75);
    assert_true(dwal__histogram_mean(&histogram) == 50.5);
}

/* A bucket begins where the one before it ends, and holds what ends in it. */
static void buckets_follow(void **state) {
    (void)state;
    for (unsigned i = 0; i < DWAL__HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t upper = dwal__histogram_bucket_upper(i);
        assert_true(i == 0 || upper > dwal__histogram_bucket_upper(i - 1));
        dwal__histogram_add(&histogram, upper);
        assert_int_equal(dwal__histogram_bucket(&histogram, i), 1);
        dwal__histogram_add(&histogram, upper + 1);
        assert_int_equal(dwal__histogram_bucket(&histogram, i + 1), 1);
        clear(NULL);
    }
    assert_true(dwal__histogram_bucket_upper(DWAL__HISTOGRAM_BUCKETS - 1) ==
                UINT64_MAX);
}

#define ADDERS 4
#define ADDED 20000

static void *adder(void *argument) {
    uint64_t first = *(uint64_t *)argument;
    for (uint64_t i = 0; i < ADDED; i++)
        dwal__histogram_add_shared(&histogram, first + i % 100);
    return NULL;
}

static void many_add(void **state) {
    (void)state;
    pthread_t threads[ADDERS];
    uint64_t first[ADDERS];
    for (uint64_t i = 0; i < ADDERS; i++) {
        first[i] = i * 100;
        assert_int_equal(pthread_create(&threads[i], NULL, adder, &first[i]),
                         0);
    }
    for (uint64_t i = 0; i < ADDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(dwal__histogram_count(&histogram), ADDERS * ADDED);
    assert_int_equal(dwal__histogram_bucket(&histogram, 0), ADDED / 100);
    assert_int_equal(histogram.max, ADDERS * 100 - 1);
    assert_true(dwal__histogram_mean(&histogram) ==
                (double)(ADDERS * 100 - 1) / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(small_values_are_exact, clear),
        cmocka_unit_test_setup(larger_values_are_close, clear),
        cmocka_unit_test_setup(the_largest_is_the_maximum, clear),
        cmocka_unit_test_setup(percentiles_count, clear),
        cmocka_unit_test_setup(none_is_zero, clear),
        cmocka_unit_test_setup(merging_adds, clear),
        cmocka_unit_test_setup(buckets_follow, clear),
        cmocka_unit_test_setup(many_add, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
