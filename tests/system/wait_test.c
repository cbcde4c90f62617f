/* SPDX-License-Identifier: MIT */
/*
 * Cursors that wait for what is to come, in the writer's process: woken by
 * commits, cuts, failures and closes, and by nothing else before the deadline.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/fakeaio.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

/* What is expected to happen takes no longer, on any machine: DWAL_WAKE_MS, a
 * minute unless set. */
#define LONG_MS (long_ms())

static int long_ms(void) {
    const char *text = getenv("DWAL_WAKE_MS");
    return text != NULL ? atoi(text) : 60000;
}

static struct dwal *small_open(const char *path) {
    struct dwal_options options = log_options(1 << 20);
    return log_open(path, &options);
}

static void commits(struct dwal *log, unsigned count) {
    struct dwal_error error;
    for (unsigned i = 0; i < count; i++)
        log_done(log_commit(log, NULL, &error), &error);
}

static struct dwal_cursor *cursor_open(const char *path) {
    struct dwal_cursor *cursor;
    struct dwal_error error;
    log_done(dwal_cursor_open(path, NULL, &cursor, &error), &error);
    return cursor;
}

static void shows(struct dwal_cursor *cursor, uint64_t from, uint64_t to) {
    struct dwal_record record;
    struct dwal_error error;
    for (uint64_t lsn = from; lsn <= to; lsn++) {
        log_done(dwal_cursor_next_wait(cursor, &record, LONG_MS, &error),
                 &error);
        assert_int_equal(record.lsn, lsn);
    }
}

/* ---- a thread that waits ---- */

struct waiter {
    struct dwal_cursor *cursor;
    int timeout_ms;
    pthread_t thread;
    int code;
    struct dwal_record record;
    struct dwal_error error;
};

static void *waiter_main(void *argument) {
    struct waiter *waiter = argument;
    waiter->code = dwal_cursor_next_wait(waiter->cursor, &waiter->record,
                                         waiter->timeout_ms, &waiter->error);
    return NULL;
}

/* Returns when it sleeps, or is about to, in the view of @log. */
static void waiter_start(struct waiter *waiter, struct dwal *log,
                         int timeout_ms) {
    uint32_t others = atomic_load(&log->view->waiters);
    waiter->timeout_ms = timeout_ms;
    assert_int_equal(pthread_create(&waiter->thread, NULL, waiter_main, waiter),
                     0);
    while (atomic_load(&log->view->waiters) == others)
        sched_yield();
}

static void waiter_expect(struct waiter *waiter, int code) {
    pthread_join(waiter->thread, NULL);
    if (waiter->code != code)
        fail_msg("%d, not %d: %s", waiter->code, code, waiter->error.text);
}

/* ---- tests ---- */

static void test_commits(void **state) {
    struct dwal *log = small_open(*state);
    struct waiter waiters[3];
    for (int i = 0; i < 3; i++)
        waiters[i].cursor = cursor_open(*state);
    for (uint64_t lsn = 1; lsn <= 50; lsn++) {
        for (int i = 0; i < 3; i++)
            waiter_start(&waiters[i], log, lsn > 40 ? -1 : LONG_MS);
        commits(log, 1);
        for (int i = 0; i < 3; i++) {
            waiter_expect(&waiters[i], DWAL_OK);
            assert_int_equal(waiters[i].record.lsn, lsn);
        }
    }
    for (int i = 0; i < 3; i++)
        dwal_cursor_close(waiters[i].cursor);
    assert_int_equal(atomic_load(&log->view->waiters), 0);
    log_close(log);
}

static void test_deadline(void **state) {
    struct dwal *log = small_open(*state);
    struct dwal_cursor *cursor = cursor_open(*state);
    struct dwal_record record = {.lsn = 77};
    struct dwal_error error;
    assert_int_equal(dwal_cursor_next_wait(cursor, &record, 0, &error),
                     DWAL_ETIMEDOUT);
    int64_t start = dwal__now_ns();
    assert_int_equal(dwal_cursor_next_wait(cursor, &record, 30, &error),
                     DWAL_ETIMEDOUT);
    assert_true(dwal__now_ns() - start >= 30 * DWAL__NS_PER_MS);
    assert_int_equal(record.lsn, 77);
    commits(log, 2);
    shows(cursor, 1, 1);
    assert_int_equal(dwal_cursor_next_wait(cursor, &record, 0, &error),
                     DWAL_OK);
    assert_int_equal(record.lsn, 2);
    assert_int_equal(dwal_cursor_next_wait(cursor, NULL, 0, &error),
                     DWAL_EINVAL);
    assert_int_equal(dwal_cursor_next_wait(NULL, &record, 0, &error),
                     DWAL_EINVAL);
    dwal_cursor_close(cursor);
    log_close(log);
}

/* The log is not open here: the same, without anybody who wakes. */
static void test_nobody_writes(void **state) {
    struct dwal_record record;
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    commits(log, 3);
    log_close(log);
    struct dwal_cursor *cursor = cursor_open(*state);
    shows(cursor, 1, 3);
    int64_t start = dwal__now_ns();
    assert_int_equal(dwal_cursor_next_wait(cursor, &record, 30, &error),
                     DWAL_ETIMEDOUT);
    assert_true(dwal__now_ns() - start >= 30 * DWAL__NS_PER_MS);
    dwal_cursor_close(cursor);
}

struct appender {
    struct dwal *log;
    _Atomic bool stop;
};

static void *appender_main(void *argument) {
    struct appender *appender = argument;
    struct dwal_record record = {.data = "x", .size = 1, .type = 1};
    struct dwal_error error;
    while (!atomic_load(&appender->stop))
        dwal_append(appender->log, &record, NULL, &error);
    return NULL;
}

/* Records come without end, and none matches: the deadline is kept. */
static void test_filtered(void **state) {
    struct appender appender = {.log = small_open(*state)};
    struct dwal_cursor_options options;
    struct dwal_cursor *cursor;
    struct dwal_record record;
    struct dwal_error error;
    pthread_t thread;
    dwal_cursor_options_init(&options);
    options.filter_type = 1;
    options.type = 2;
    log_done(dwal_cursor_open(*state, &options, &cursor, &error), &error);
    pthread_create(&thread, NULL, appender_main, &appender);
    for (int i = 0; i < 3; i++)
        assert_int_equal(dwal_cursor_next_wait(cursor, &record, 20, &error),
                         DWAL_ETIMEDOUT);
    atomic_store(&appender.stop, true);
    pthread_join(thread, NULL);
    struct dwal_record wanted = {.type = 2, .size = 0};
    uint64_t lsn;
    log_done(dwal_commit(appender.log, &wanted, &lsn, &error), &error);
    log_done(dwal_cursor_next_wait(cursor, &record, -1, &error), &error);
    assert_int_equal(record.lsn, lsn);
    dwal_cursor_close(cursor);
    log_close(appender.log);
}

static void test_cut(void **state) {
    struct dwal *log = small_open(*state);
    struct waiter shown = {.cursor = cursor_open(*state)};
    struct waiter before = {.cursor = cursor_open(*state)};
    struct dwal_error error;
    commits(log, 5);
    shows(before.cursor, 1, 5);
    commits(log, 5);
    shows(shown.cursor, 1, 10);
    waiter_start(&shown, log, LONG_MS);
    log_done(dwal_cut(log, 5, &error), &error);
    waiter_expect(&shown, DWAL_ECUT);
    waiter_start(&before, log, LONG_MS);
    commits(log, 1);
    waiter_expect(&before, DWAL_OK);
    assert_int_equal(before.record.lsn, 6);
    /* A reset to a higher LSN: what the cursor has not shown is gone. */
    waiter_start(&before, log, LONG_MS);
    log_done(dwal_reset(log, 100, &error), &error);
    commits(log, 1);
    waiter_expect(&before, DWAL_ETRIMMED);
    dwal_cursor_close(shown.cursor);
    dwal_cursor_close(before.cursor);
    log_close(log);
}

/* Who waits is told that it is in vain, after all that was durable. */
static void test_failure(void **state) {
    struct dwal_options options = log_options(1 << 20);
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    struct waiter waiter = {.cursor = cursor_open(*state)};
    struct dwal_error error;
    commits(log, 2);
    shows(waiter.cursor, 1, 1);
    fakeaio_fail(FAKEAIO_WRITE, 1, -EIO);
    assert_int_equal(log_commit(log, NULL, &error), DWAL_EFAILED);
    shows(waiter.cursor, 2, 2);
    assert_int_equal(
        dwal_cursor_next_wait(waiter.cursor, &waiter.record, LONG_MS, &error),
        DWAL_EFAILED);
    dwal_close(log, NULL);
    assert_int_equal(dwal_cursor_next(waiter.cursor, &waiter.record, &error),
                     DWAL_OK);
    /* While it waits. */
    log = log_open_on(fakeaio_new(), *state, &options);
    dwal_cursor_close(waiter.cursor);
    waiter.cursor = cursor_open(*state);
    shows(waiter.cursor, 1, 3);
    waiter_start(&waiter, log, -1);
    fakeaio_fail(FAKEAIO_WRITE, 1, -EIO);
    assert_int_equal(log_commit(log, NULL, &error), DWAL_EFAILED);
    waiter_expect(&waiter, DWAL_EFAILED);
    dwal_close(log, NULL);
    dwal_cursor_close(waiter.cursor);
}

/* The log is closed and opened while a cursor waits; it goes on, and is woken
 * again. */
static void test_close_and_open(void **state) {
    struct waiter waiter;
    struct dwal *log = small_open(*state);
    commits(log, 1);
    waiter.cursor = cursor_open(*state);
    shows(waiter.cursor, 1, 1);
    for (uint64_t lsn = 2; lsn < 6; lsn++) {
        waiter_start(&waiter, log, -1);
        log_close(log);
        log = small_open(*state);
        /* It has found the log that is open now. */
        while (atomic_load(&log->view->waiters) == 0)
            sched_yield();
        commits(log, 1);
        waiter_expect(&waiter, DWAL_OK);
        assert_int_equal(waiter.record.lsn, lsn);
    }
    log_close(log);
    dwal_cursor_close(waiter.cursor);
}

/* What was cut off between two openings of the log is not passed over. */
static void test_cut_between(void **state) {
    struct dwal_record record;
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    commits(log, 10);
    struct dwal_cursor *cursor = cursor_open(*state);
    shows(cursor, 1, 10);
    log_close(log);
    log = small_open(*state);
    log_done(dwal_cut(log, 5, &error), &error);
    commits(log, 8);
    log_close(log);
    assert_int_equal(dwal_cursor_next_wait(cursor, &record, LONG_MS, &error),
                     DWAL_ECUT);
    log_done(dwal_cursor_seek(cursor, 6, &error), &error);
    shows(cursor, 6, 13);
    dwal_cursor_close(cursor);
}

/* What was trimmed behind the back of a cursor whose log was closed, files and
 * all, is neither damage nor missing; and a seek knows where the log begins. */
static void test_trim_between(void **state) {
    struct dwal_record record;
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    struct dwal_cursor *cursors[2];
    for (int i = 0; i < 4; i++) {
        commits(log, 2);
        log_done(dwal_rotate(log, &error), &error);
    }
    for (int i = 0; i < 2; i++) {
        cursors[i] = cursor_open(*state);
        shows(cursors[i], 1, 1);
    }
    log_close(log);
    log = small_open(*state);
    commits(log, 1);
    log_done(dwal_trim(log, 7, &error), &error);
    log_done(dwal_cursor_seek(cursors[0], 0, &error), &error);
    shows(cursors[0], 7, 9);
    uint64_t next = 2;
    int code;
    while ((code = dwal_cursor_next(cursors[1], &record, &error)) == DWAL_OK)
        assert_int_equal(record.lsn, next++);
    if (code != DWAL_ETRIMMED)
        fail_msg("%d: %s", code, error.text);
    assert_true(next < 7);
    log_close(log);
    for (int i = 0; i < 2; i++)
        dwal_cursor_close(cursors[i]);
}

static void nothing(int number) {
    (void)number;
}

static void test_signals(void **state) {
    struct sigaction action = {.sa_handler = nothing}, before;
    struct dwal *log = small_open(*state);
    struct waiter waiter = {.cursor = cursor_open(*state)};
    sigaction(SIGUSR1, &action, &before);
    waiter_start(&waiter, log, LONG_MS);
    for (int i = 0; i < 100; i++) {
        pthread_kill(waiter.thread, SIGUSR1);
        sched_yield();
    }
    commits(log, 1);
    waiter_expect(&waiter, DWAL_OK);
    sigaction(SIGUSR1, &before, NULL);
    dwal_cursor_close(waiter.cursor);
    log_close(log);
}

static void test_fork(void **state) {
    struct dwal *log = small_open(*state);
    struct dwal_cursor *cursor = cursor_open(*state);
    struct dwal_record record;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(dwal_cursor_next_wait(cursor, &record, -1, NULL) != DWAL_EINVAL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    dwal_cursor_close(cursor);
    log_close(log);
}

#define TEMPDIR_TEST(test)                                                     \
    cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEMPDIR_TEST(test_commits),
        TEMPDIR_TEST(test_deadline),
        TEMPDIR_TEST(test_nobody_writes),
        TEMPDIR_TEST(test_filtered),
        TEMPDIR_TEST(test_cut),
        TEMPDIR_TEST(test_failure),
        TEMPDIR_TEST(test_close_and_open),
        TEMPDIR_TEST(test_cut_between),
        TEMPDIR_TEST(test_trim_between),
        TEMPDIR_TEST(test_signals),
        TEMPDIR_TEST(test_fork),
    };
    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
