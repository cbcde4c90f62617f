/* SPDX-License-Identifier: MIT */
/*
 * What a log carries along from end to end, on real files: the metadata.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/log.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#define SEGMENT (64u << 10)

static struct dwal_options options_small(void) {
    struct dwal_options options;
    dwal_options_init(&options);
    options.create = DWAL_CREATE_IF_ABSENT;
    options.segment_size = SEGMENT;
    options.queue_bytes_max = 1 << 20;
    options.mark_delay_ms = 0;
    return options;
}

static struct dwal *log_open(const char *path) {
    struct dwal *log;
    struct dwal_error error;
    struct dwal_options options = options_small();
    if (dwal_open(path, &options, &log, &error) != DWAL_OK)
        fail_msg("%s", error.text);
    return log;
}

static void log_close(struct dwal *log) {
    struct dwal_error error;
    if (dwal_close(log, &error) != DWAL_OK)
        fail_msg("%s", error.text);
}

static void done(int code, const struct dwal_error *error) {
    if (code != DWAL_OK)
        fail_msg("%d: %s", code, error->text);
}

/* A record that says which LSN it was made for, and which writing of it. */
static void commit(struct dwal *log, uint64_t lsn, uint32_t writing) {
    struct dwal_error error;
    uint64_t got = 0;
    struct dwal_record record = {
        .data = &lsn, .size = sizeof lsn, .tenant = writing};
    done(dwal_commit(log, &record, &got, &error), &error);
    assert_int_equal(got, lsn);
}

/* ---- metadata ---- */

static void blob_make(uint8_t *bytes, size_t size, uint64_t seed) {
    check_fill(&seed, bytes, size);
}

static void meta_set(struct dwal *log, size_t size, uint64_t seed) {
    uint8_t bytes[DWAL_META_SIZE_MAX];
    struct dwal_error error;
    blob_make(bytes, size, seed);
    done(dwal_meta_set(log, bytes, size, &error), &error);
}

static void meta_expect(struct dwal *log, size_t size, uint64_t seed) {
    uint8_t expected[DWAL_META_SIZE_MAX], bytes[DWAL_META_SIZE_MAX];
    struct dwal_error error;
    size_t used = 77;
    blob_make(expected, size, seed);
    done(dwal_meta_get(log, bytes, sizeof bytes, &used, &error), &error);
    assert_int_equal(used, size);
    assert_memory_equal(bytes, expected, size);
}

static void test_meta(void **state) {
    uint8_t bytes[DWAL_META_SIZE_MAX + 1] = {0};
    struct dwal_error error;
    size_t used = 77;
    struct dwal *log = log_open(*state);
    meta_expect(log, 0, 0);
    assert_int_equal(dwal_meta_set(log, bytes, sizeof bytes, &error),
                     DWAL_EINVAL);
    assert_int_equal(dwal_meta_set(log, NULL, 1, &error), DWAL_EINVAL);
    meta_set(log, 16, 1);
    meta_expect(log, 16, 1);
    bytes[0] = 0x55;
    assert_int_equal(dwal_meta_get(log, bytes, 15, &used, &error), DWAL_EINVAL);
    assert_int_equal(used, 16);
    assert_int_equal(bytes[0], 0x55);
    assert_int_equal(dwal_meta_get(log, NULL, 0, &used, NULL), DWAL_EINVAL);
    assert_int_equal(dwal_meta_get(log, bytes, 16, NULL, &error), DWAL_OK);
    meta_set(log, DWAL_META_SIZE_MAX, 2);
    meta_expect(log, DWAL_META_SIZE_MAX, 2);
    assert_int_equal(dwal_durable_lsn(log), 0); /* it has no LSN */
    log_close(log);
    log = log_open(*state);
    meta_expect(log, DWAL_META_SIZE_MAX, 2);
    done(dwal_meta_set(log, NULL, 0, &error), &error);
    meta_expect(log, 0, 0);
    log_close(log);
    log = log_open(*state);
    meta_expect(log, 0, 0);
    log_close(log);
}

/* Through segment changes, of which each start carries it, while the segments
 * with its record go. */
static void test_meta_stays(void **state) {
    struct dwal_error error;
    struct dwal *log = log_open(*state);
    meta_set(log, 500, 3);
    for (uint64_t lsn = 1; lsn <= 40; lsn++) {
        commit(log, lsn, 1);
        if (lsn % 8 == 0)
            done(dwal_rotate(log, &error), &error);
        if (lsn == 20)
            meta_set(log, 1000, 4);
    }
    done(dwal_trim(log, 40, &error), &error);
    meta_expect(log, 1000, 4);
    log_close(log);
    log = log_open(*state);
    meta_expect(log, 1000, 4);
    commit(log, 41, 1);
    log_close(log);
    log = log_open(*state);
    meta_expect(log, 1000, 4);
    assert_int_equal(dwal_first_lsn(log), 40);
    log_close(log);
}

struct setter {
    struct dwal *log;
    uint64_t number;
};

/* Sizes that change, so that a start in the same batch never has that of the
 * record behind it. */
static void *setter_main(void *argument) {
    static char refused[] = "a blob was refused", fixed[] = "no rotation";
    const struct setter *setter = argument;
    for (uint64_t i = 0; i < 60; i++) {
        struct dwal_error error;
        uint8_t bytes[DWAL_META_SIZE_MAX];
        size_t size = 8 + (setter->number * 131 + i * 17) % 1000;
        uint64_t seed = setter->number * 1000 + i;
        memset(bytes, 0, sizeof bytes);
        blob_make(bytes + 8, size - 8, seed);
        memcpy(bytes, &seed, 8);
        if (dwal_meta_set(setter->log, bytes, size, &error) != DWAL_OK)
            return refused;
        if (i % 7 == 0 && dwal_rotate(setter->log, &error) != DWAL_OK)
            return fixed;
    }
    return NULL;
}

/* From several threads at once: one of the last ones stays, whole. */
static void test_meta_threads(void **state) {
    struct dwal *log = log_open(*state);
    struct setter setters[4];
    pthread_t threads[4];
    for (uint64_t i = 0; i < 4; i++) {
        setters[i] = (struct setter){log, i};
        pthread_create(&threads[i], NULL, setter_main, &setters[i]);
    }
    for (int i = 0; i < 4; i++) {
        void *failure;
        pthread_join(threads[i], &failure);
        assert_null(failure);
    }
    uint8_t before[DWAL_META_SIZE_MAX], bytes[DWAL_META_SIZE_MAX];
    size_t size, size_again;
    assert_int_equal(dwal_meta_get(log, before, sizeof before, &size, NULL), 0);
    log_close(log);
    log = log_open(*state);
    assert_int_equal(dwal_meta_get(log, bytes, sizeof bytes, &size_again, NULL),
                     0);
    log_close(log);
    assert_int_equal(size_again, size);
    assert_memory_equal(before, bytes, size);
    uint64_t seed;
    memcpy(&seed, bytes, 8);
    assert_int_equal(seed % 1000, 59);
    blob_make(before + 8, size - 8, seed);
    assert_memory_equal(before, bytes, size);
}

#define TEMPDIR_TEST(name)                                                     \
    cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEMPDIR_TEST(test_meta),
        TEMPDIR_TEST(test_meta_stays),
        TEMPDIR_TEST(test_meta_threads),
    };
    return cmocka_run_group_tests_name("ends_test", tests, NULL, NULL);
}
