/* SPDX-License-Identifier: MIT */
/*
 * The library when the disk does not do what it should: who is told what, and
 * what the log is afterwards. Each test is named for the failure of another
 * log that it would notice.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "recover/disk.h"
#include "src/log.h"
#include "tests/support/check.h"
#include "tests/support/fakeaio.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

static struct dwal_options options_small(int submit, int sync) {
    struct dwal_options options = log_options(256 << 10);
    options.submit = submit;
    options.sync = sync;
    return options;
}

static struct dwal *fake_open(const char *path,
                              const struct dwal_options *options) {
    return log_open_on(fakeaio_new(), path, options);
}

static void append(struct dwal *log, uint64_t expected) {
    struct dwal_record record = {.data = "payload", .size = 7};
    uint64_t lsn;
    struct dwal_error error;
    if (dwal_append(log, &record, &lsn, &error) != DWAL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(lsn, expected);
}

/* Everything a failed log says, then what a new open finds. */
static void failed_check(struct dwal *log, const char *path,
                         const struct dwal_options *options, uint64_t durable,
                         uint64_t at_most) {
    struct dwal_error error;
    uint64_t lsn = 99;
    assert_int_equal(dwal_durable_lsn(log), durable);
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_EFAILED);
    assert_int_equal(lsn, 99);
    assert_int_equal(dwal_rotate(log, &error), DWAL_EFAILED);
    assert_int_equal(dwal_trim(log, durable, &error), DWAL_EFAILED);
    if (durable > 0)
        assert_int_equal(dwal_wait(log, durable, 0, &error), DWAL_OK);
    assert_int_equal(dwal_durable_lsn(log), durable);
    assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
    log = fake_open(path, options);
    assert_true(dwal_durable_lsn(log) >= durable);
    assert_true(dwal_durable_lsn(log) <= at_most);
    uint64_t next = dwal_durable_lsn(log) + 1;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    assert_int_equal(lsn, next);
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
}

/* ---- one write ---- */

struct write_fault {
    const char *what;
    long long result;
    bool drop;
};

static void write_faults(const char *path, int submit, int sync) {
    static const struct write_fault faults[] = {
        {"EIO, nothing written", -EIO, true},
        {"EIO, all written", -EIO, false},
        {"ENOSPC", -ENOSPC, true},
        {"EINVAL", -EINVAL, true},
        {"short", 512, true},
        {"zero length", 0, true},
        {"EINTR", -EINTR, true},
        {"too long", 1 << 20, false},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char dir[4200];
        struct dwal_error error;
        uint64_t lsn;
        snprintf(dir, sizeof dir, "%s/%zu", path, i);
        struct dwal_options options = options_small(submit, sync);
        struct dwal *log = fake_open(dir, &options);
        for (uint64_t at = 1; at <= 3; at++)
            assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
        if (faults[i].drop)
            fakeaio_drop(FAKEAIO_WRITE, 1, faults[i].result);
        else
            fakeaio_fail(FAKEAIO_WRITE, 1, faults[i].result);
        check_that(log_commit(log, &lsn, &error) == DWAL_EFAILED, "%s",
                   faults[i].what);
        assert_int_equal(lsn, 4);
        assert_non_null(strstr(error.text, "offset"));
        assert_int_equal(dwal_wait(log, 4, 0, &error), DWAL_EFAILED);
        assert_int_equal(dwal_wait(log, 5, 0, &error), DWAL_EINVAL);
        failed_check(log, dir, &options, 3, 4);
    }
}

static void test_write_faults_caller(void **state) {
    write_faults(*state, DWAL_SUBMIT_CALLER, DWAL_SYNC_DSYNC);
}

static void test_write_faults_thread(void **state) {
    write_faults(*state, DWAL_SUBMIT_THREAD, DWAL_SYNC_FDSYNC);
}

/* A sync that fails once is final: it is not tried again, and not believed. */
static void test_sync_failed_is_not_retried(void **state) {
    for (int submit = 0; submit <= 1; submit++) {
        char dir[4200];
        struct dwal_error error;
        uint64_t lsn;
        snprintf(dir, sizeof dir, "%s/%d", (const char *)*state, submit);
        struct dwal_options options = options_small(submit, DWAL_SYNC_FDSYNC);
        struct dwal *log = fake_open(dir, &options);
        assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
        assert_int_equal(fakeaio_counts().syncs_with_unreaped_writes, 0);
        unsigned before = fakeaio_counts().syncs;
        fakeaio_fail(FAKEAIO_SYNC, 1, -EIO);
        assert_int_equal(log_commit(log, &lsn, &error), DWAL_EFAILED);
        assert_int_equal(dwal_wait(log, 2, -1, &error), DWAL_EFAILED);
        assert_int_equal(fakeaio_counts().syncs, before + 1);
        failed_check(log, dir, &options, 1, 2);
    }
}

static void test_submit_refused(void **state) {
    struct dwal_error error;
    uint64_t lsn;
    struct dwal_options options =
        options_small(DWAL_SUBMIT_THREAD, DWAL_SYNC_DSYNC);
    struct dwal *log = fake_open(*state, &options);
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    /* Short of requests: tried again, nothing had been submitted. */
    fakeaio_fail_submit(1, -EAGAIN);
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    fakeaio_fail_submit(1, -EBADF);
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_EFAILED);
    failed_check(log, *state, &options, 2, 3);
}

/* ---- several batches ---- */

/* Each waiter gets its own batch's result, not its neighbour's. */
static void test_each_batch_its_own_result(void **state) {
    struct dwal_error error;
    struct dwal_options options =
        options_small(DWAL_SUBMIT_THREAD, DWAL_SYNC_DSYNC);
    struct dwal *log = fake_open(*state, &options);
    uint64_t lsn;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    fakeaio_hold();
    append(log, 2); /* goes out alone … */
    fakeaio_wait_held(1);
    append(log, 3); /* … and these wait behind it */
    append(log, 4);
    assert_int_equal(dwal_wait(log, 2, 0, &error), DWAL_ETIMEDOUT);
    assert_int_equal(dwal_wait(log, 4, 0, &error), DWAL_ETIMEDOUT);
    fakeaio_drop(FAKEAIO_WRITE, 1, -EIO);
    fakeaio_release();
    assert_int_equal(dwal_wait(log, 4, -1, &error), DWAL_EFAILED);
    assert_int_equal(dwal_wait(log, 3, -1, &error), DWAL_EFAILED);
    assert_int_equal(dwal_wait(log, 2, -1, &error), DWAL_OK);
    failed_check(log, *state, &options, 2, 2);
}

/* durable_lsn is a prefix: what completes behind a hole does not count. */
static void test_prefix_stops_at_a_hole(void **state) {
    struct dwal_error error;
    struct dwal_options options =
        options_small(DWAL_SUBMIT_THREAD, DWAL_SYNC_DSYNC);
    options.batch_bytes_max = 4096;
    struct dwal *log = fake_open(*state, &options);
    uint64_t lsn;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    fakeaio_hold();
    append(log, 2);
    fakeaio_wait_held(1);
    static uint8_t large[3000];
    struct dwal_record record = {.data = large, .size = sizeof large};
    fakeaio_drop(FAKEAIO_WRITE, 1, -EIO);
    /* Three that are full at once, so they go out without waiting. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(dwal_append(log, &record, &lsn, &error), DWAL_OK);
    fakeaio_release();
    assert_int_equal(dwal_wait(log, 2, -1, &error), DWAL_OK);
    assert_int_equal(dwal_wait(log, 5, -1, &error), DWAL_EFAILED);
    assert_int_equal(dwal_wait(log, 3, -1, &error), DWAL_EFAILED);
    assert_int_equal(dwal_durable_lsn(log), 2);
    assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
    /* What lies behind the hole is not brought back. */
    log = fake_open(*state, &options);
    assert_int_equal(dwal_durable_lsn(log), 2);
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
}

/* ---- hangs ---- */

struct waiter {
    struct dwal *log;
    pthread_t thread;
    int code;
    struct dwal_error error;
};

static void *waiter_main(void *argument) {
    struct waiter *waiter = argument;
    uint64_t lsn;
    waiter->code = log_commit(waiter->log, &lsn, &waiter->error);
    return NULL;
}

/* An I/O that does not end: everybody comes back, the lock stays until it does
 * end, and then the log can be opened again. */
static void hang(const char *path, int submit) {
    struct dwal_error error;
    struct dwal_options options = options_small(submit, DWAL_SYNC_DSYNC);
    options.io_timeout_ms = 100;
    options.slow_io_ms = 20;
    struct dwal *log = fake_open(path, &options);
    uint64_t lsn;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    fakeaio_hold();
    struct waiter waiters[4];
    for (int i = 0; i < 4; i++) {
        waiters[i].log = log;
        pthread_create(&waiters[i].thread, NULL, waiter_main, &waiters[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].code, DWAL_EFAILED);
        assert_int_equal(waiters[i].error.os_errno, ETIMEDOUT);
    }
    assert_int_equal(dwal_durable_lsn(log), 1);
    assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
    assert_non_null(strstr(error.text, "left on its way"));
    struct dwal *second;
    struct dwal__aio aio = {.ops = &dwal__aio_kernel};
    assert_int_equal(dwal__open_on(dwal__disk_kernel(), &aio, path, &options,
                                   &second, &error),
                     DWAL_EBUSY);
    fakeaio_release();
    int code;
    while ((code = dwal__open_on(dwal__disk_kernel(), &aio, path, &options,
                                 &second, &error)) == DWAL_EBUSY)
        sched_yield();
    assert_int_equal(code, DWAL_OK);
    assert_true(dwal_durable_lsn(second) >= 1);
    assert_int_equal(dwal_close(second, &error), DWAL_OK);
}

static void test_hang_caller(void **state) {
    hang(*state, DWAL_SUBMIT_CALLER);
}

static void test_hang_thread(void **state) {
    hang(*state, DWAL_SUBMIT_THREAD);
}

static void fail_now(void *log) {
    dwal__fail(log, EIO, 0, 0, "another thread found a failure");
}

/* The failure is latched by somebody else while a caller leads: between its
 * submission and its wait for the event, which does not come. */
static void test_failed_while_leading(void **state) {
    struct dwal_error error;
    struct dwal_options options =
        options_small(DWAL_SUBMIT_CALLER, DWAL_SYNC_DSYNC);
    struct dwal *log = fake_open(*state, &options);
    uint64_t lsn;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    fakeaio_hold();
    fakeaio_after_submit(fail_now, log);
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_EFAILED);
    fakeaio_release();
    failed_check(log, *state, &options, 1, 2);
}

/* A wait with a limit of its own comes back, also when it leads, and somebody
 * else goes on. */
static void test_wait_times_out(void **state) {
    for (int submit = 0; submit <= 1; submit++) {
        char dir[4200];
        struct dwal_error error;
        uint64_t lsn;
        snprintf(dir, sizeof dir, "%s/%d", (const char *)*state, submit);
        struct dwal_options options = options_small(submit, DWAL_SYNC_DSYNC);
        struct dwal *log = fake_open(dir, &options);
        assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
        fakeaio_hold();
        append(log, 2);
        assert_int_equal(dwal_wait(log, 2, 30, &error), DWAL_ETIMEDOUT);
        fakeaio_release();
        assert_int_equal(dwal_wait(log, 2, -1, &error), DWAL_OK);
        assert_int_equal(dwal_close(log, &error), DWAL_OK);
    }
}

/* ---- limits ---- */

/* The queue is bounded in bytes and in records, and goes on by itself. */
static void test_backpressure(void **state) {
    struct dwal_error error;
    static uint8_t bytes[1000];
    for (int by_records = 0; by_records <= 1; by_records++) {
        char dir[4200];
        snprintf(dir, sizeof dir, "%s/%d", (const char *)*state, by_records);
        struct dwal_options options =
            options_small(DWAL_SUBMIT_THREAD, DWAL_SYNC_DSYNC);
        options.segment_size = 8 << 20;
        options.append_timeout_ms = 0;
        if (by_records)
            options.queue_records_max = 100;
        struct dwal *log = fake_open(dir, &options);
        uint64_t lsn;
        /* The first needs a segment: no limit for that one. */
        while (log_commit(log, &lsn, &error) == DWAL_EAGAIN)
            sched_yield();
        fakeaio_hold();
        struct dwal_record record = {.data = bytes, .size = sizeof bytes};
        uint64_t accepted = 0;
        int code;
        while ((code = dwal_append(log, &record, &lsn, &error)) == DWAL_OK)
            accepted++;
        assert_int_equal(code, DWAL_EAGAIN);
        if (by_records)
            assert_true(accepted <= 100 && accepted >= 90);
        else
            assert_true(accepted < 1048 && accepted > 500);
        assert_int_equal(lsn, 1 + accepted);
        fakeaio_release();
        assert_int_equal(dwal_wait(log, lsn, -1, &error), DWAL_OK);
        assert_int_equal(dwal_append(log, &record, &lsn, &error), DWAL_OK);
        assert_int_equal(lsn, 2 + accepted);
        assert_int_equal(dwal_close(log, &error), DWAL_OK);
    }
}

/* Natural batching: what comes while a write is in flight is one write. */
static void test_followers_share_a_write(void **state) {
    struct dwal_error error;
    struct dwal_options options =
        options_small(DWAL_SUBMIT_THREAD, DWAL_SYNC_DSYNC);
    struct dwal *log = fake_open(*state, &options);
    uint64_t lsn;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    fakeaio_hold();
    append(log, 2);
    fakeaio_wait_held(1);
    unsigned before = fakeaio_counts().writes;
    for (uint64_t at = 3; at <= 102; at++)
        append(log, at);
    fakeaio_release();
    assert_int_equal(dwal_wait(log, 102, -1, &error), DWAL_OK);
    assert_int_equal(fakeaio_counts().writes, before + 1);
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
}

/* [mark-once]: a mark after the last commit, one, and then nothing more. */
static void test_mark_once(void **state) {
    struct dwal_error error;
    for (int submit = 0; submit <= 1; submit++) {
        char dir[4200];
        snprintf(dir, sizeof dir, "%s/%d", (const char *)*state, submit);
        struct dwal_options options = options_small(submit, DWAL_SYNC_DSYNC);
        options.mark_delay_ms = 1;
        struct dwal *log = fake_open(dir, &options);
        uint64_t lsn;
        for (unsigned round = 1; round <= 3; round++) {
            assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
            /* The mark is the write after the commit's; wait for it to be
             * durable, as seen in the log's view. */
            while (!atomic_load(&log->thread_idle) ||
                   atomic_load(&log->mark_armed) ||
                   atomic_load(&log->role) != 0 ||
                   fakeaio_counts().writes < 2 * round)
                sched_yield();
            assert_int_equal(fakeaio_counts().writes, 2 * round);
        }
        int64_t until = dwal__now_ns() + 20 * DWAL__NS_PER_MS;
        while (dwal__now_ns() < until) /* twenty times the delay */
            sched_yield();
        assert_int_equal(fakeaio_counts().writes, 6);
        assert_int_equal(dwal_close(log, &error), DWAL_OK);
        assert_int_equal(fakeaio_counts().writes, 7); /* the close */
    }
}

static struct dwal__disk_ops slow_ops;
static _Atomic int slow_syncs;

static int slow_dir_sync(struct dwal__disk *disk, int dir) {
    (void)disk;
    if (atomic_load(&slow_syncs) > 0) {
        atomic_fetch_sub(&slow_syncs, 1);
        dwal__sleep_ns(1500 * DWAL__NS_PER_MS); /* the slow disk itself */
    }
    return dwal__disk_kernel()->ops->dir_sync(dwal__disk_kernel(), dir);
}

/* A keeper that is in the middle of a slow sync is waited for: nothing was
 * left behind, and the close says so. */
static void test_close_waits_for_a_slow_sync(void **state) {
    struct dwal_error error;
    struct dwal_options options =
        options_small(DWAL_SUBMIT_THREAD, DWAL_SYNC_DSYNC);
    struct dwal__disk disk = {&slow_ops};
    struct dwal *log = fake_open(*state, &options);
    uint64_t lsn;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
    slow_ops = *dwal__disk_kernel()->ops;
    slow_ops.dir_sync = slow_dir_sync;
    assert_int_equal(
        dwal__open_on(&disk, fakeaio_new(), *state, &options, &log, &error),
        DWAL_OK);
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    /* The keeper is done: the next it does is for the rotation. */
    unsigned prepared;
    do {
        sched_yield();
        pthread_mutex_lock(&log->place_lock);
        prepared = log->prepared_count;
        pthread_mutex_unlock(&log->place_lock);
    } while (prepared < DWAL__PREPARED_MAX);
    assert_true(dwal__files_settle(log, DWAL__NEVER));
    atomic_store(&slow_syncs, 1);
    assert_int_equal(dwal_rotate(log, &error), DWAL_OK);
    while (atomic_load(&slow_syncs) > 0) /* it has begun */
        sched_yield();
    if (dwal_close(log, &error) != DWAL_OK)
        fail_msg("%s", error.text);
}

/* A copy under way when the log fails does not keep anybody. */
static void test_failed_log_refuses_at_once(void **state) {
    struct dwal_error error;
    struct dwal_options options =
        options_small(DWAL_SUBMIT_CALLER, DWAL_SYNC_DSYNC);
    struct dwal *log = fake_open(*state, &options);
    uint64_t lsn;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    fakeaio_drop(FAKEAIO_WRITE, 1, -EIO);
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_EFAILED);
    unsigned writes = fakeaio_counts().writes;
    for (int i = 0; i < 100; i++)
        assert_int_equal(log_commit(log, &lsn, &error), DWAL_EFAILED);
    assert_int_equal(fakeaio_counts().writes, writes);
    assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
    assert_int_equal(fakeaio_counts().writes, writes);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void) {
    tempdir_use_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_write_faults_caller),
        TEST(test_write_faults_thread),
        TEST(test_sync_failed_is_not_retried),
        TEST(test_submit_refused),
        TEST(test_each_batch_its_own_result),
        TEST(test_prefix_stops_at_a_hole),
        TEST(test_hang_caller),
        TEST(test_hang_thread),
        TEST(test_failed_while_leading),
        TEST(test_wait_times_out),
        TEST(test_backpressure),
        TEST(test_followers_share_a_write),
        TEST(test_mark_once),
        TEST(test_close_waits_for_a_slow_sync),
        TEST(test_failed_log_refuses_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
