/* SPDX-License-Identifier: MIT */
/*
 * Retention, on real files: by size, by age, across opens, held by leases,
 * beside cuts, and while a log is closed or has failed.
 */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "src/log.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define SEGMENT (64u << 10)
#define HOUR_MS (3600u * 1000u)

/* ---- which segments ---- */

#define NS_PER_MS UINT64_C(1000000)
#define NOW (UINT64_C(1000000) * NS_PER_MS)

/* Three segments of 100 bytes, left 50, 30 and 10 ms ago; one without records
 * behind the second. */
static const struct dwal__known left[] = {
    {1, 10, 100, NOW - 50 * NS_PER_MS},
    {2, 20, 100, NOW - 30 * NS_PER_MS},
    {3, 20, 100, NOW - 30 * NS_PER_MS},
    {4, 30, 100, NOW - 10 * NS_PER_MS},
};

static void test_point(void **state) {
    static const struct {
        uint64_t bytes, ms, now_ns, point;
    } rows[] = {
        {0, 0, NOW, 0},
        {400, 0, NOW, 0},
        {399, 0, NOW, 11},
        {300, 0, NOW, 11},
        {299, 0, NOW, 21},
        {199, 0, NOW, 21},
        {99, 0, NOW, 31},
        {0, 51, NOW, 0},
        {0, 50, NOW, 11},
        {0, 31, NOW, 11},
        {0, 30, NOW, 21},
        {0, 10, NOW, 31},
        {0, 1, NOW, 31},
        {0, 11, NOW + NS_PER_MS, 31},
        {0, 1, NOW - 60 * NS_PER_MS, 0}, /* the clock was set back */
        {0, 1, NOW - 49 * NS_PER_MS, 11},
        {250, 50, NOW, 21},
        {350, 30, NOW, 21},
        {UINT64_MAX, INT64_MAX / 1000000, NOW, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dwal_options options = {.retain_bytes = rows[i].bytes,
                                       .retain_ms = rows[i].ms};
        uint64_t point =
            dwal__retention_point(&options, left, 4, rows[i].now_ns);
        check_that(point == rows[i].point, "row %zu: %llu", i,
                   (unsigned long long)point);
    }
    struct dwal_options options = {.retain_bytes = 1, .retain_ms = 1};
    assert_int_equal(dwal__retention_point(&options, NULL, 0, NOW), 0);
}

static void refused(const struct dwal_options *options, const char *text) {
    struct dwal *log;
    struct dwal_error error;
    assert_int_equal(dwal_open("/nowhere", options, &log, &error), DWAL_EINVAL);
    check_that(strstr(error.text, text) != NULL, "%s", error.text);
}

static void test_options(void **state) {
    struct dwal_options options;
    (void)state;
    dwal_options_init(&options);
    assert_int_equal(options.retain_bytes, 0);
    assert_int_equal(options.retain_ms, 0);
    options.retain_bytes = options.segment_size - 1;
    refused(&options, "option retain_bytes is 67108863");
    options.retain_bytes = 0;
    options.retain_ms = UINT64_MAX;
    refused(&options, "option retain_ms is");
}

/* ---- a log ---- */

static struct dwal *retaining(const char *path, uint64_t bytes, uint64_t ms) {
    struct dwal_options options = log_options(SEGMENT);
    options.retain_bytes = bytes;
    options.retain_ms = ms;
    return log_open(path, &options);
}

/* One record, in a segment of its own. */
static void commit_apart(struct dwal *log) {
    struct dwal_error error;
    log_done(log_commit(log, NULL, &error), &error);
    log_done(dwal_rotate(log, &error), &error);
}

/* Records of their own segments, until the log begins with @first or later, or
 * there are @more of them. */
static void commit_until(struct dwal *log, uint64_t first, unsigned more) {
    for (unsigned i = 0; i < more && dwal_first_lsn(log) < first; i++)
        commit_apart(log);
}

static void readable(const char *path, uint64_t first, uint64_t last) {
    struct dwal_cursor *cursor;
    struct dwal_record record;
    struct dwal_error error;
    struct dwal_cursor_options options;
    dwal_cursor_options_init(&options);
    options.start_lsn = first;
    log_done(dwal_cursor_open(path, &options, &cursor, &error), &error);
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        log_done(dwal_cursor_next(cursor, &record, &error), &error);
        assert_int_equal(record.lsn, lsn);
    }
    assert_int_equal(dwal_cursor_next(cursor, &record, &error), DWAL_END);
    dwal_cursor_close(cursor);
}

/* All that is there, which a lease keeps there meanwhile. */
static void readable_now(struct dwal *log, const char *path) {
    struct dwal_lease *lease;
    struct dwal_error error;
    log_done(dwal_lease_open(path, 0, &lease, &error), &error);
    readable(path, dwal_lease_lsn(lease), dwal_durable_lsn(log));
    dwal_lease_close(lease);
}

static uint64_t live(struct dwal *log) {
    struct dwal_stats stats = {.size = sizeof stats};
    log_done(dwal_stats_get(log, &stats, NULL), NULL);
    return stats.segments_live;
}

/* Size: files stay few, the newest that fit are always there. */
static void test_bytes(void **state) {
    struct dwal *log = retaining(*state, 4 * SEGMENT, 0);
    for (unsigned i = 0; i < 200; i++) {
        commit_apart(log);
        uint64_t last = dwal_durable_lsn(log);
        /* One segment for each record: those of the newest four stay. */
        assert_true(dwal_first_lsn(log) + 3 <= last || last < 4);
    }
    commit_until(log, 190, 2000);
    uint64_t first = dwal_first_lsn(log);
    assert_true(first >= 190);
    readable_now(log, *state);
    assert_true(tempdir_count(*state, ".wal") < 200);
    log_close(log);
    log = retaining(*state, 4 * SEGMENT, 0);
    assert_true(dwal_first_lsn(log) >= first);
    readable_now(log, *state);
    log_close(log);
}

/* A log that others filled: the first append is enough. */
static void test_bytes_reopened(void **state) {
    struct dwal_error error;
    struct dwal *log = retaining(*state, 0, 0);
    for (unsigned i = 0; i < 50; i++)
        commit_apart(log);
    log_close(log);
    unsigned files = tempdir_count(*state, ".wal");
    assert_true(files >= 50);
    log = retaining(*state, 10 * SEGMENT, 0);
    assert_int_equal(dwal_first_lsn(log), 1); /* opening changes nothing */
    assert_int_equal(tempdir_count(*state, ".wal"), files);
    log_done(log_commit(log, NULL, &error), &error);
    while (dwal_first_lsn(log) == 1)
        sched_yield();
    /* The last of the 51 segments that were left has no record. */
    assert_int_equal(dwal_first_lsn(log), 42);
    readable_now(log, *state);
    commit_until(log, 44, 10);
    log_close(log);
    assert_true(tempdir_count(*state, ".wal") < 30);
}

/* Age: across opens, by the times on the disk. */
static void test_age(void **state) {
    struct dwal_error error;
    struct dwal *log = retaining(*state, 0, HOUR_MS);
    for (unsigned i = 0; i < 20; i++)
        commit_apart(log);
    log_close(log);
    log = retaining(*state, 0, HOUR_MS);
    for (unsigned i = 0; i < 20; i++)
        commit_apart(log);
    assert_int_equal(dwal_first_lsn(log), 1); /* all of it is young */
    log_close(log);
    readable(*state, 1, 40);
    /* Each of them was left longer ago than this takes to begin. */
    log = retaining(*state, 0, 1);
    log_done(log_commit(log, NULL, &error), &error);
    while (dwal_first_lsn(log) < 20)
        sched_yield();
    assert_true(dwal_first_lsn(log) <= 41);
    commit_until(log, 42, 2000); /* and those of this open get old, too */
    assert_true(dwal_first_lsn(log) >= 42);
    log_close(log);
}

/* ---- with others ---- */

static void test_lease(void **state) {
    struct dwal_error error;
    struct dwal_lease *lease;
    struct dwal *log = retaining(*state, 2 * SEGMENT, 0);
    commit_apart(log);
    commit_until(log, 10, 2000);
    log_done(dwal_lease_open(*state, 0, &lease, &error), &error);
    uint64_t held = dwal_lease_lsn(lease);
    assert_true(held >= 10);
    for (unsigned i = 0; i < 50; i++)
        commit_apart(log);
    assert_true(dwal_first_lsn(log) <= held);
    readable(*state, dwal_first_lsn(log), dwal_durable_lsn(log));
    log_done(dwal_lease_move(lease, held + 20, &error), &error);
    commit_until(log, held + 20, 2000);
    assert_int_equal(dwal_first_lsn(log), held + 20);
    dwal_lease_close(lease);
    commit_until(log, held + 45, 2000);
    assert_true(dwal_first_lsn(log) >= held + 45);
    log_close(log);
}

/* Cuts beside it: what is given again is not taken for what it replaces. */
static void test_cuts(void **state) {
    struct dwal_error error;
    uint64_t random = check_seed(1), cuts = 0;
    struct dwal *log = retaining(*state, 3 * SEGMENT, 0);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 1 + check_random(&random) % 6; i++)
            commit_apart(log);
        uint64_t first = dwal_first_lsn(log), last = dwal_durable_lsn(log);
        uint64_t lsn = first - 1 + check_random(&random) % (last - first + 2);
        int code = dwal_cut(log, lsn, &error);
        if (code == DWAL_EINVAL) /* trimmed meanwhile */
            continue;
        log_done(code, &error);
        cuts++;
        /* One segment for each record: what was just written stays. */
        uint64_t kept = dwal_durable_lsn(log) + 1;
        commit_apart(log);
        commit_apart(log);
        commit_apart(log);
        check_that(dwal_first_lsn(log) <= kept, "round %u: %llu, not %llu",
                   round, (unsigned long long)dwal_first_lsn(log),
                   (unsigned long long)kept);
        readable_now(log, *state);
    }
    assert_true(cuts > 20);
    log_close(log);
}

/* ---- ends ---- */

/* Closed in the middle of it: a clean end all the same. */
static void test_close(void **state) {
    uint64_t first = 1, last = 0;
    for (unsigned round = 0; round < 40; round++) {
        struct dwal *log = retaining(*state, 2 * SEGMENT, 1);
        assert_int_equal(dwal_durable_lsn(log), last);
        assert_true(dwal_first_lsn(log) >= first);
        for (unsigned i = 0; i < round % 5; i++)
            commit_apart(log);
        first = dwal_first_lsn(log);
        last = dwal_durable_lsn(log);
        log_close(log);
    }
    assert_true(first > 1);
}

struct writer {
    struct dwal *log;
    pthread_t thread;
};

static void *writer_main(void *argument) {
    static char refused_text[] = "an append was refused";
    struct writer *writer = argument;
    static const uint8_t bytes[3000];
    struct dwal_record record = {.data = bytes, .size = sizeof bytes};
    for (unsigned i = 0; i < 400; i++)
        if (dwal_commit(writer->log, &record, NULL, NULL) != DWAL_OK)
            return refused_text;
    return NULL;
}

/* Several writers, and trims of the application's own beside it. */
static void test_threads(void **state) {
    struct writer writers[4];
    struct dwal *log = retaining(*state, 3 * SEGMENT, 0);
    for (unsigned i = 0; i < 4; i++) {
        writers[i].log = log;
        pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]);
    }
    uint64_t last;
    do {
        struct dwal_error error;
        last = dwal_durable_lsn(log);
        log_done(dwal_trim(log, last > 100 ? last - 100 : 1, &error), &error);
        assert_true(live(log) < 40);
    } while (last < 1500);
    for (unsigned i = 0; i < 4; i++) {
        void *failure;
        pthread_join(writers[i].thread, &failure);
        check_that(failure == NULL, "%s", (char *)failure);
    }
    assert_int_equal(dwal_durable_lsn(log), 1600);
    readable_now(log, *state);
    log_close(log);
}

int main(void) {
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(test_##name, tempdir_setup,                \
                                    tempdir_teardown)
    tempdir_use_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_point),
        cmocka_unit_test(test_options),
        TEST(bytes),
        TEST(bytes_reopened),
        TEST(age),
        TEST(lease),
        TEST(cuts),
        TEST(close),
        TEST(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
