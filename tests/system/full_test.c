/* SPDX-License-Identifier: MIT */
/*
 * The log on a filesystem that is full, or frozen. Needs root, for mounting;
 * says so where it cannot run.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/dwal.h"
#include "tests/support/check.h"
#include "tests/support/smallfs.h"
#include "tests/support/testlog.h"

static char mounted[4096];
static char log_path[4200];
static const char *walfsck;

static void told(void *argument, int level, const char *text) {
    (void)level;
    if (strstr(text, "is under way for") != NULL)
        atomic_fetch_add((_Atomic unsigned *)argument, 1);
}

/* ---- a full disk ---- */

#define RECORD_SIZE 3000u

static int commit(struct dwal *log, uint64_t *lsn, struct dwal_error *error) {
    static uint8_t bytes[RECORD_SIZE];
    uint64_t next = dwal_durable_lsn(log) + 1;
    memcpy(bytes, &next, sizeof next);
    struct dwal_record record = {.data = bytes, .size = sizeof bytes};
    return dwal_commit(log, &record, lsn, error);
}

/* Commits until there is no space: how many. Each refusal leaves no trace. */
static uint64_t until_full(struct dwal *log) {
    struct dwal_error error;
    uint64_t done = 0, lsn;
    int code;
    while ((code = commit(log, &lsn, &error)) == DWAL_OK)
        done++;
    uint64_t durable = dwal_durable_lsn(log);
    for (int i = 0; i < 3; i++) {
        if (code != DWAL_ENOSPC)
            fail_msg("%d: %s", code, error.text);
        assert_non_null(strstr(error.text, "trim, or free space"));
        lsn = 99;
        code = commit(log, &lsn, &error);
        assert_int_equal(lsn, 99);
    }
    assert_int_equal(dwal_durable_lsn(log), durable);
    code = dwal_wait(log, durable + 1, 0, &error);
    assert_true(code == DWAL_EINVAL || code == DWAL_ECUT);
    return done;
}

/* Everything that is not trimmed can be read. */
static void all_read(struct dwal *log) {
    struct dwal_cursor *cursor;
    struct dwal_record record;
    struct dwal_error error;
    uint64_t expected = dwal_first_lsn(log);
    assert_int_equal(dwal_cursor_open(log_path, NULL, &cursor, &error),
                     DWAL_OK);
    while (dwal_cursor_next(cursor, &record, &error) == DWAL_OK) {
        uint64_t number;
        assert_int_equal(record.size, RECORD_SIZE);
        memcpy(&number, record.data, sizeof number);
        assert_int_equal(number, expected);
        assert_int_equal(record.lsn, expected++);
    }
    assert_int_equal(error.code, DWAL_END);
    assert_int_equal(expected, dwal_durable_lsn(log) + 1);
    dwal_cursor_close(cursor);
}

static void checked(void) {
    char command[9000];
    snprintf(command, sizeof command, "%s %s >&2", walfsck, log_path);
    int status = system(command);
    check_that(WIFEXITED(status) && WEXITSTATUS(status) == 0, "walfsck: %d",
               status);
}

/* Lets the oldest tenths of the log go, as many as it takes to free a segment:
 * fewer are refused. */
static void trim_some(struct dwal *log) {
    struct dwal_error error;
    uint64_t first = dwal_first_lsn(log), next = dwal_durable_lsn(log) + 1;
    for (uint64_t tenths = 3; tenths <= 10; tenths++) {
        int code = dwal_trim(log, first + (next - first) * tenths / 10, &error);
        if (code == DWAL_OK)
            return;
        if (code != DWAL_ENOSPC)
            break;
    }
    fail_msg("%s", error.text);
}

static void crash_full(const struct dwal_options *options) {
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        struct dwal *log;
        if (dwal_open(log_path, options, &log, NULL) != DWAL_OK)
            _exit(1);
        uint64_t lsn;
        while (commit(log, &lsn, NULL) == DWAL_OK)
            ;
        _exit(0); /* without dwal_close */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void full(enum smallfs_kind kind, unsigned mib, uint64_t segment_size) {
    if (!smallfs_mount(kind, mib, mounted))
        skip();
    snprintf(log_path, sizeof log_path, "%s/log", mounted);
    struct dwal_options options;
    struct dwal_error error;
    dwal_options_init(&options);
    options.create = DWAL_CREATE_IF_ABSENT;
    options.segment_size = segment_size;
    smallfs_fill(mounted, 3 * segment_size);
    struct dwal *log = log_open(log_path, &options);
    assert_true(until_full(log) > 2 * segment_size / RECORD_SIZE);
    smallfs_fill(mounted, UINT64_MAX); /* others take the rest */
    all_read(log);

    /* A trim that frees nothing is refused, like an append; one that frees a
     * segment is not, and is enough to go on. */
    assert_int_equal(until_full(log), 0);
    trim_some(log);
    assert_true(until_full(log) > 0);
    all_read(log);

    /* A clean end, and a new beginning, with no space at all. */
    log_close(log);
    checked();
    smallfs_fill(mounted, UINT64_MAX);
    log = log_open(log_path, &options);
    all_read(log);
    uint64_t lsn;
    assert_int_equal(commit(log, &lsn, &error), DWAL_ENOSPC);
    assert_int_equal(dwal_trim(log, dwal_first_lsn(log) + 1, &error),
                     DWAL_ENOSPC);
    assert_non_null(strstr(error.text, "free no segment"));
    struct dwal_lease *lease; /* what was refused can still be had */
    log_done(dwal_lease_open(log_path, dwal_first_lsn(log), &lease, &error),
             &error);
    dwal_lease_close(lease);
    trim_some(log);
    assert_true(until_full(log) > 0);
    log_close(log);

    /* Crashes instead of clean ends, again and again. */
    for (int round = 0; round < 8; round++) {
        crash_full(&options);
        smallfs_fill(mounted, UINT64_MAX);
        log = log_open(log_path, &options);
        all_read(log);
        trim_some(log);
        assert_int_equal(commit(log, &lsn, &error), DWAL_OK);
        log_close(log);
        checked();
    }

    /* Space alone is enough, without a restart. */
    log = log_open(log_path, &options);
    until_full(log);
    smallfs_unfill(mounted);
    for (int i = 0; i < 20; i++)
        if (commit(log, &lsn, &error) != DWAL_OK)
            fail_msg("%s", error.text);
    all_read(log);
    log_close(log);
    checked();

    /* All of it may go. */
    smallfs_fill(mounted, UINT64_MAX);
    log = log_open(log_path, &options);
    assert_int_equal(dwal_trim(log, dwal_durable_lsn(log) + 1, &error),
                     DWAL_OK);
    assert_true(until_full(log) > segment_size / 2 / RECORD_SIZE);
    all_read(log);
    log_close(log);
    checked();
}

static void test_full_tmpfs(void **state) {
    (void)state;
    full(SMALLFS_TMPFS, 2, 64 << 10);
}

static void test_full_ext4(void **state) {
    (void)state;
    full(SMALLFS_EXT4, 16, 1 << 20);
}

/* ---- both ends of a log on a full disk ---- */

#define ENDS_SEGMENT (64u << 10)

/* A log on a filesystem that others have filled up. */
static struct dwal *full_open(struct dwal_options *options) {
    dwal_options_init(options);
    options->create = DWAL_CREATE_IF_ABSENT;
    options->segment_size = ENDS_SEGMENT;
    smallfs_fill(mounted, 12 * ENDS_SEGMENT);
    struct dwal *log = log_open(log_path, options);
    uint64_t lsn;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(commit(log, &lsn, NULL), DWAL_OK);
    smallfs_fill(mounted, UINT64_MAX);
    until_full(log);
    return log;
}

static bool ends_mount(void) {
    if (!smallfs_mount(SMALLFS_TMPFS, 2, mounted))
        return false;
    snprintf(log_path, sizeof log_path, "%s/log", mounted);
    return true;
}

/* Cuts and resets need a segment: where they drop one they may take it from the
 * reserve, in a log that is open and in one that was opened again. */
static void test_full_cut(void **state) {
    (void)state;
    struct dwal_options options;
    struct dwal_error error;
    if (!ends_mount())
        skip();
    struct dwal *log = full_open(&options);
    uint64_t last = dwal_durable_lsn(log), lsn;
    assert_int_equal(dwal_cut(log, last - 1, &error), DWAL_ENOSPC);
    assert_int_equal(dwal_durable_lsn(log), last);
    for (unsigned round = 0; round < 3; round++) {
        last = dwal_durable_lsn(log);
        log_done(dwal_cut(log, last - 30, &error), &error);
        assert_int_equal(dwal_durable_lsn(log), last - 30);
        all_read(log);
        assert_true(until_full(log) > 0); /* what it dropped is enough for */
        all_read(log);
        log_close(log);
        checked();
        smallfs_fill(mounted, UINT64_MAX);
        log = log_open(log_path, &options);
        all_read(log);
    }
    last = dwal_durable_lsn(log);
    log_done(dwal_reset(log, last + 100, &error), &error);
    assert_true(until_full(log) > 0);
    all_read(log);
    log_close(log);
    checked();
    log = log_open(log_path, &options);
    log_done(dwal_reset(log, dwal_durable_lsn(log) + 1, &error), &error);
    assert_int_equal(commit(log, &lsn, &error), DWAL_OK);
    log_close(log);
    checked();
}

/* True if there was no room for the next segment, once the keeper has tried. */
static bool next_refused(struct dwal *log) {
    for (;;) {
        pthread_mutex_lock(&log->place_lock);
        bool made = log->prepared_count == DWAL__PREPARED_MAX;
        bool refused = !made && log->prepare_errno == ENOSPC &&
                       log->prepare_tried == log->prepare_wanted;
        pthread_mutex_unlock(&log->place_lock);
        if (made || refused)
            return refused;
        sched_yield();
    }
}

/* The trim takes the last block that there is: the mark behind it, without which
 * no file goes, needs a segment of its own. */
static void test_full_last_block(void **state) {
    (void)state;
    struct dwal_options options;
    struct dwal_error error;
    uint64_t lsn;
    if (!ends_mount())
        skip();
    struct dwal *log = full_open(&options);
    options.mark_delay_ms = 0;
    log_close(log);
    log = log_open(log_path, &options);
    trim_some(log);
    bool last = false;
    for (unsigned i = 0; !last && i < 1000; i++) {
        assert_int_equal(commit(log, &lsn, &error), DWAL_OK);
        pthread_mutex_lock(&log->place_lock);
        last = log->segment_offset + log->block_size == ENDS_SEGMENT;
        pthread_mutex_unlock(&log->place_lock);
        last = last && next_refused(log);
    }
    assert_true(last);
    trim_some(log);
    assert_true(until_full(log) > 1);
    all_read(log);
    log_close(log);
    checked();
}

/* Appends on a full disk wait for what retention lets go: what is old, or what a
 * lease has held. Each is refused or durable, and in the end they go on. */
static void goes_on(struct dwal *log, uint64_t more) {
    struct dwal_error error;
    uint64_t lsn, last = dwal_durable_lsn(log);
    while (dwal_durable_lsn(log) < last + more)
        if (commit(log, &lsn, &error) != DWAL_OK && error.code != DWAL_ENOSPC)
            fail_msg("%s", error.text);
}

/* What is wanted and cannot be had is not tried again and again. */
static void rests(struct dwal *log) {
    uint64_t wanted[2];
    for (int i = 0; i < 2; i++) {
        const struct timespec pause = {.tv_nsec = 100000000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        pthread_mutex_lock(&log->place_lock);
        wanted[i] = log->prepare_wanted;
        pthread_mutex_unlock(&log->place_lock);
    }
    assert_int_equal(wanted[0], wanted[1]);
}

/* A trim that would free no segment, and waits for a lease. */
static void test_full_rests(void **state) {
    (void)state;
    struct dwal_options options;
    struct dwal_error error;
    struct dwal_lease *lease;
    if (!ends_mount())
        skip();
    struct dwal *log = full_open(&options);
    log_done(dwal_lease_open(log_path, 0, &lease, &error), &error);
    uint64_t lsn, first = dwal_first_lsn(log);
    log_done(dwal_trim(log, first + 1, &error), &error);
    assert_int_equal(dwal_first_lsn(log), first);
    dwal_lease_close(lease);
    assert_int_equal(commit(log, &lsn, &error), DWAL_ENOSPC);
    rests(log);
    assert_int_equal(dwal_first_lsn(log), first);
    trim_some(log);
    assert_int_equal(commit(log, &lsn, &error), DWAL_OK);
    log_close(log);
    checked();
}

static void test_full_retention(void **state) {
    (void)state;
    struct dwal_options options;
    struct dwal_error error;
    struct dwal_lease *lease;
    if (!ends_mount())
        skip();
    struct dwal *log = full_open(&options);
    log_close(log);
    smallfs_fill(mounted, UINT64_MAX);
    options.retain_bytes = 4 * ENDS_SEGMENT;
    log = log_open(log_path, &options);
    goes_on(log, 300);
    all_read(log);
    log_done(dwal_lease_open(log_path, 0, &lease, &error), &error);
    uint64_t held = dwal_lease_lsn(lease);
    smallfs_fill(mounted, UINT64_MAX);
    until_full(log); /* all that is there is held */
    assert_true(dwal_first_lsn(log) <= held);
    rests(log);
    log_done(dwal_lease_move(lease, dwal_durable_lsn(log), &error), &error);
    goes_on(log, 20); /* without another trim */
    dwal_lease_close(lease);
    goes_on(log, 100);
    all_read(log);
    log_close(log);
    checked();

    smallfs_fill(mounted, UINT64_MAX);
    options.retain_bytes = 0;
    options.retain_ms = 1;
    log = log_open(log_path, &options);
    goes_on(log, 100);
    all_read(log);
    log_close(log);
    checked();
}

/* No space for a log at all: nothing is left behind, and the text says how much
 * it takes. */
static void test_no_room_to_create(void **state) {
    (void)state;
    if (!smallfs_mount(SMALLFS_TMPFS, 1, mounted))
        skip();
    snprintf(log_path, sizeof log_path, "%s/log", mounted);
    struct dwal_options options;
    struct dwal_error error;
    struct dwal *log;
    dwal_options_init(&options);
    options.create = DWAL_CREATE_IF_ABSENT;
    options.segment_size = 320 << 10; /* three, not four */
    assert_int_equal(dwal_open(log_path, &options, &log, &error), DWAL_ENOSPC);
    assert_non_null(strstr(error.text, "no room for 4 files of 327680 bytes"));
    options.segment_size = 192 << 10;
    log = log_open(log_path, &options);
    uint64_t lsn;
    assert_int_equal(commit(log, &lsn, &error), DWAL_OK);
    log_close(log);
}

/* ---- a frozen filesystem ---- */

struct waiter {
    pthread_t thread;
    struct dwal *log;
    int code;
    struct dwal_error error;
    _Atomic bool back;
};

static void *waiter_main(void *argument) {
    struct waiter *waiter = argument;
    struct dwal_record record = {.data = "payload", .size = 7};
    waiter->code = dwal_commit(waiter->log, &record, NULL, &waiter->error);
    atomic_store(&waiter->back, true);
    return NULL;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The filesystem freezes under four callers. With a thread that submits, all of
 * them come back; without, all but the one that is in the kernel. dwal_close
 * always does. */
static void frozen(int preset) {
    if (!smallfs_mount(SMALLFS_EXT4, 16, mounted))
        skip();
    snprintf(log_path, sizeof log_path, "%s/log", mounted);
    _Atomic unsigned slow = 0;
    struct dwal_options options;
    struct dwal_error error;
    dwal_options_init(&options);
    dwal_options_preset(&options, preset);
    options.create = DWAL_CREATE_IF_ABSENT;
    options.segment_size = 1 << 20;
    options.io_timeout_ms = 500;
    options.slow_io_ms = 50;
    options.log = told;
    options.log_argument = &slow;
    struct dwal *log = log_open(log_path, &options);
    struct waiter waiters[4] = {0};
    struct dwal_record record = {.data = "payload", .size = 7};
    assert_int_equal(dwal_commit(log, &record, NULL, &error), DWAL_OK);
    int64_t begin = now_ms(); /* the keeper may be stuck before we are */
    if (!smallfs_freeze(mounted, 60)) {
        log_close(log);
        skip();
    }
    for (int i = 0; i < 4; i++) {
        waiters[i].log = log;
        pthread_create(&waiters[i].thread, NULL, waiter_main, &waiters[i]);
    }
    int stuck_allowed = options.submit == DWAL_SUBMIT_CALLER ? 1 : 0;
    int back = 0;
    while (back < 4 - stuck_allowed && now_ms() - begin < 20000) {
        sched_yield();
        back = 0;
        for (int i = 0; i < 4; i++)
            back += atomic_load(&waiters[i].back);
    }
    int64_t took = now_ms() - begin;
    assert_true(back >= 4 - stuck_allowed);
    assert_true(took < 20000);
    print_message("back after %lld ms, told %u times before\n", (long long)took,
                  atomic_load(&slow));
    int64_t closing = now_ms();
    assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
    assert_true(now_ms() - closing < 20000);
    assert_non_null(strstr(error.text, "left on its way"));
    struct dwal *second;
    assert_int_equal(dwal_open(log_path, &options, &second, &error),
                     DWAL_EBUSY);
    smallfs_thaw();
    for (int i = 0; i < 4; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].code, DWAL_EFAILED);
    }
    while (dwal_open(log_path, &options, &second, &error) == DWAL_EBUSY)
        sched_yield();
    assert_true(dwal_durable_lsn(second) >= 1);
    log_close(second);
}

static void test_frozen_latency(void **state) {
    (void)state;
    frozen(DWAL_PRESET_LATENCY);
}

static void test_frozen_balanced(void **state) {
    (void)state;
    frozen(DWAL_PRESET_BALANCED);
}

static void test_frozen_throughput(void **state) {
    (void)state;
    frozen(DWAL_PRESET_THROUGHPUT);
}

static int unmount(void **state) {
    (void)state;
    if (mounted[0] != '\0')
        smallfs_unmount(mounted);
    mounted[0] = '\0';
    return 0;
}

int main(int argc, char **argv) {
    walfsck = argc > 1 ? argv[1] : "walfsck";
    /* Skipped as a whole where nothing can be mounted. */
    if (!smallfs_mount(SMALLFS_TMPFS, 1, mounted))
        return 77;
    unmount(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_full_tmpfs, unmount),
        cmocka_unit_test_teardown(test_full_ext4, unmount),
        cmocka_unit_test_teardown(test_full_cut, unmount),
        cmocka_unit_test_teardown(test_full_last_block, unmount),
        cmocka_unit_test_teardown(test_full_rests, unmount),
        cmocka_unit_test_teardown(test_full_retention, unmount),
        cmocka_unit_test_teardown(test_no_room_to_create, unmount),
        cmocka_unit_test_teardown(test_frozen_latency, unmount),
        cmocka_unit_test_teardown(test_frozen_balanced, unmount),
        cmocka_unit_test_teardown(test_frozen_throughput, unmount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
