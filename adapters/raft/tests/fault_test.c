/* SPDX-License-Identifier: MIT */
/*
 * What a node is told when its disk fails, hangs, is full, or gives back other
 * bytes: an error, once for each request and in their order, and the same to
 * everything afterwards; at the next start, all that was acknowledged or a reason
 * why not.
 */
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"
#include "src/log.h"
#include "tests/support/check.h"
#include "tests/support/fakeaio.h"
#include "tests/support/smallfs.h"
#include "tests/support/tempdir.h"

/* The adapter opens its log on a disk that can be told to fail. */
static bool fake;

int __wrap_dwal_open(const char *path, const struct dwal_options *options,
                     struct dwal **log, struct dwal_error *error);

int __wrap_dwal_open(const char *path, const struct dwal_options *options,
                     struct dwal **log, struct dwal_error *error) {
    struct dwal__aio kernel = {.ops = &dwal__aio_kernel};
    return dwal__open_on(dwal__disk_kernel(), fake ? fakeaio_new() : &kernel,
                         path, options, log, error);
}

static void start_fake(struct rig *rig, const char *dir) {
    fake = true;
    rig_start(rig, dir, 1);
    rig_append_wait(rig_append(rig, 1, 1, 8, 1, NULL));
    fake = false;
}

/* Everything is refused, with @text. */
static void refuses_all(struct rig *rig, int code, const char *text) {
    struct raft_io_snapshot_put put;
    struct raft_snapshot snapshot = {.index = 1, .term = 1};
    struct raft_io *io = &rig->io;
    int rv;
    for (int i = 0; i < 2; i++) {
        rig_append_free(rig_append(rig, 1, 1, 8, 9, &rv));
        assert_int_equal(rv, code);
        check_that(strstr(io->errmsg, text) != NULL, "%s", io->errmsg);
        assert_int_equal(io->truncate(io, 1), code);
        check_that(strstr(io->errmsg, text) != NULL, "%s", io->errmsg);
        assert_int_equal(io->set_term(io, 2), code);
        assert_int_equal(io->set_vote(io, 2), code);
        assert_int_equal(io->snapshot_put(io, 1, &put, &snapshot, NULL), code);
        assert_int_equal(io->snapshot_put(io, 0, &put, &snapshot, NULL), code);
        check_that(strstr(io->errmsg, text) != NULL, "%s", io->errmsg);
    }
}

/* A write fails: all that is under way is told so, in its order. */
static void test_write_fails(void **state) {
    struct rig_append *appends[6];
    struct rig rig;
    start_fake(&rig, *state);
    fakeaio_drop(FAKEAIO_WRITE, 1, -EIO);
    fakeaio_hold();
    for (unsigned i = 0; i < 6; i++) {
        appends[i] = rig_append(&rig, 1, 1, 8, 2 + i, NULL);
        if (i == 2)
            assert_int_equal(rig.io.truncate(&rig.io, 3), 0);
    }
    struct rig_put *put = rig_put(&rig, 1, 50, 0);
    fakeaio_release();
    for (unsigned i = 0; i < 6; i++) {
        rig_until(&rig, &appends[i]->done);
        assert_int_equal(appends[i]->status, RAFT_IOERR);
        assert_int_equal(appends[i]->order, 2 + i);
        rig_append_free(appends[i]);
    }
    rig_until(&rig, &put->done);
    assert_int_equal(put->status, RAFT_IOERR);
    rig_put_free(put);
    refuses_all(&rig, RAFT_IOERR, "start the node again");
    rig_restart_expect(&rig, 1, 1, (uint64_t[]){1});
    rig_append_wait(rig_append(&rig, 1, 1, 8, 2, NULL));
    rig_restart_expect(&rig, 1, 2, (uint64_t[]){1, 2});
    rig_close(&rig);
}

/* The term cannot be written: it is the old one, and the io has failed. */
static void test_vote_fails(void **state) {
    struct rig rig;
    start_fake(&rig, *state);
    fakeaio_drop(FAKEAIO_WRITE, 1, -EIO);
    assert_int_equal(rig.io.set_term(&rig.io, 2), RAFT_IOERR);
    assert_non_null(strstr(rig.io.errmsg, "set term"));
    refuses_all(&rig, RAFT_IOERR, "start the node again");
    rig_restart_expect(&rig, 1, 1, (uint64_t[]){1});
    assert_int_equal(rig.term, 1);
    rig_close(&rig);
}

/* A truncation fails: what waits behind it is told so. */
static void test_truncate_fails(void **state) {
    struct rig rig;
    start_fake(&rig, *state);
    rig_append_wait(rig_append(&rig, 1, 3, 8, 2, NULL));
    fakeaio_drop(FAKEAIO_WRITE, 1, -EIO);
    assert_int_equal(rig.io.truncate(&rig.io, 2), 0);
    struct rig_append *behind = rig_append(&rig, 1, 1, 8, 9, NULL);
    rig_until(&rig, &behind->done);
    assert_int_equal(behind->status, RAFT_IOERR);
    rig_append_free(behind);
    refuses_all(&rig, RAFT_IOERR, "start the node again");
    rig_close(&rig);
    rig_start(&rig, *state, 0); /* as before, or as after */
    assert_true(rig.count == 4 || rig.count == 1);
    rig_close(&rig);
}

/* The inner backend cannot store a snapshot. One of the node's own is no more
 * than that; without one that was to be installed nothing goes on. */
static void test_snapshot_fails(void **state) {
    char path[4200];
    struct rig rig;
    rig_start(&rig, *state, 1);
    rig_append_wait(rig_append(&rig, 1, 3, 8, 1, NULL));
    snprintf(path, sizeof path, "%s/snapshots", (char *)*state);
    assert_int_equal(rmdir(path), 0);
    struct rig_put *put = rig_put(&rig, 1, 2, 1);
    rig_until(&rig, &put->done);
    assert_int_not_equal(put->status, 0);
    assert_non_null(strstr(rig.io.errmsg, "put snapshot"));
    rig_put_free(put);
    assert_int_equal(dwal_first_lsn(dwal_raft_log(&rig.io)), 1);
    rig_append_wait(rig_append(&rig, 1, 1, 8, 4, NULL));
    put = rig_put(&rig, 1, 10, 0);
    struct rig_append *behind = rig_append(&rig, 1, 1, 8, 11, NULL);
    rig_until(&rig, &behind->done);
    assert_int_not_equal(put->status, 0);
    assert_int_equal(behind->status, put->status);
    refuses_all(&rig, put->status, "install");
    rig_put_free(put);
    rig_append_free(behind);
    rig_restart_expect(&rig, 1, 4, (uint64_t[]){1, 2, 3, 4});
    rig_close(&rig);
}

/* Closed while the disk takes its time: the close waits for it. */
static void test_slow_close(void **state) {
    struct rig rig;
    start_fake(&rig, *state);
    fakeaio_hold();
    struct rig_append *append = rig_append(&rig, 1, 1, 8, 2, NULL);
    fakeaio_wait_held(1);
    rig_close_begin(&rig);
    for (int i = 0; i < 20; i++)
        uv_run(&rig.loop, UV_RUN_NOWAIT);
    assert_false(rig.closed);
    assert_false(append->done);
    fakeaio_release();
    rig_append_wait(append);
    rig_restart_expect(&rig, 1, 2, (uint64_t[]){1, 2});
    rig_close(&rig);
}

static int work_none(struct raft_io_async_work *request) {
    (void)request;
    return 0;
}

static void on_work(struct raft_io_async_work *request, int status) {
    assert_int_equal(status, 0);
    *(bool *)request->data = true;
}

/* What replaces all entries waits until those before it are answered, even if it
 * could begin: what libuv's pool, of one thread, was given after it, is done. */
static void test_install_waits(void **state) {
    char snapshots[4200];
    bool worked = false;
    struct raft_io_async_work work = {.data = &worked, .work = work_none};
    struct rig rig;
    start_fake(&rig, *state);
    snprintf(snapshots, sizeof snapshots, "%s/snapshots", (char *)*state);
    fakeaio_hold();
    struct rig_append *append = rig_append(&rig, 1, 1, 8, 2, NULL);
    struct rig_put *put = rig_put(&rig, 1, 50, 0);
    fakeaio_wait_held(1);
    for (int i = 0; i < 20; i++)
        uv_run(&rig.loop, UV_RUN_NOWAIT);
    assert_int_equal(rig.io.async_work(&rig.io, &work, on_work), 0);
    rig_until(&rig, &worked);
    assert_int_equal(tempdir_count(snapshots, ".meta"), 0);
    fakeaio_release();
    rig_until(&rig, &put->done);
    assert_int_equal(append->order, 2);
    assert_int_equal(put->order, 3);
    rig_append_wait(append);
    rig_put_wait(put);
    rig_restart_expect(&rig, 51, 0, NULL);
    rig_close(&rig);
}

/* It hangs: the deadline of the log is that of the request. */
static void test_hang(void **state) {
    struct dwal_options options;
    struct rig rig;
    rig_options(&options);
    options.io_timeout_ms = 300;
    fake = true;
    rig_init(&rig, *state, &options);
    fake = false;
    rig_load(&rig);
    assert_int_equal(rig.io.set_term(&rig.io, 1), 0);
    fakeaio_hold();
    struct rig_append *append = rig_append(&rig, 1, 1, 8, 1, NULL);
    rig_until(&rig, &append->done);
    assert_int_equal(append->status, RAFT_IOERR);
    rig_append_free(append);
    refuses_all(&rig, RAFT_IOERR, "start the node again");
    fakeaio_release();
    rig_close(&rig);
}

/* ---- a full disk ---- */

static void turns(struct rig *rig, unsigned count) {
    while (count-- > 0)
        rig_turn(rig);
}

static void test_full(void **state) {
    char mounted[4096], dir[4200];
    struct rig rig;
    (void)state;
    if (!smallfs_mount(SMALLFS_TMPFS, 6, mounted))
        skip();
    snprintf(dir, sizeof dir, "%s/node", mounted);
    assert_int_equal(mkdir(dir, 0777), 0);
    rig_start(&rig, dir, 1);
    rig_append_wait(rig_append(&rig, 1, 1, 8, 1, NULL));
    smallfs_fill(mounted, UINT64_MAX);

    /* More than there is space for: accepted, in order, the later ones not done.
     * What is prepared takes at most the four segments that are there. */
    enum { COUNT = 400 };
    struct rig_append *appends[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        appends[i] = rig_append(&rig, 1, 1, 3000, 2 + i, NULL);
    turns(&rig, 50);
    unsigned done = 0;
    while (done < COUNT && appends[done]->done)
        done++;
    for (unsigned i = done; i < COUNT; i++)
        assert_false(appends[i]->done);
    check_that(done < COUNT, "%u", done);

    /* A term is one commit like any other. */
    int rv = rig.io.set_term(&rig.io, 2);
    assert_true(rv == 0 || rv == RAFT_NOSPACE);

    /* A truncation behind them waits, too, and what is appended behind that. */
    assert_int_equal(rig.io.truncate(&rig.io, COUNT + 1), 0);
    struct rig_append *behind = rig_append(&rig, 1, 1, 3000, 77, NULL);
    turns(&rig, 3);
    assert_false(behind->done);
    smallfs_unfill(mounted);
    for (unsigned i = 0; i < COUNT; i++)
        rig_append_wait(appends[i]);
    rig_append_wait(behind);
    rig_append_wait(rig_append(&rig, 1, 1, 3000, 78, NULL));
    rig_close(&rig);
    rig_start(&rig, dir, 0);
    assert_int_equal(rig.count, COUNT + 2);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(rig_number(&rig.entries[i]), i + 1);
    assert_int_equal(rig_number(&rig.entries[COUNT]), 77);
    assert_int_equal(rig_number(&rig.entries[COUNT + 1]), 78);
    rig_close(&rig);
    smallfs_unmount(mounted);
}

/* For ever: then the io fails with it, and says so to all. */
static void test_full_for_ever(void **state) {
    char mounted[4096], dir[4200];
    struct rig rig;
    (void)state;
    if (!smallfs_mount(SMALLFS_TMPFS, 6, mounted))
        skip();
    snprintf(dir, sizeof dir, "%s/node", mounted);
    assert_int_equal(mkdir(dir, 0777), 0);
    rig_space_wait_ms = 300;
    rig_start(&rig, dir, 1);
    rig_space_wait_ms = 60000;
    rig_append_wait(rig_append(&rig, 1, 1, 8, 1, NULL));
    smallfs_fill(mounted, UINT64_MAX);
    /* More than there is space for, accepted while they wait for another. */
    assert_int_equal(rig.io.truncate(&rig.io, 1), 0);
    struct rig_append *appends[400];
    unsigned accepted = 0, durable = 0;
    int rv = 0;
    while (accepted < 400) {
        struct rig_append *append =
            rig_append(&rig, 1, 1, 9000, 1 + accepted, &rv);
        if (rv != 0) {
            rig_append_free(append);
            break;
        }
        appends[accepted++] = append;
    }
    for (unsigned i = 0; i < accepted; i++) {
        rig_until(&rig, &appends[i]->done);
        if (appends[i]->status == 0)
            assert_int_equal(durable++, i); /* none behind a refused one */
        else
            assert_int_equal(appends[i]->status, RAFT_NOSPACE);
        rig_append_free(appends[i]);
    }
    print_message("%u accepted, %u durable\n", accepted, durable);
    assert_true(durable < accepted);
    refuses_all(&rig, RAFT_NOSPACE, "free some space");
    smallfs_unfill(mounted);
    rig_close(&rig);
    rig_start(&rig, dir, 0);
    assert_int_equal(rig.count, durable);
    rig_append_wait(rig_append(&rig, 1, 1, 8, 5, NULL));
    rig_close(&rig);
    smallfs_unmount(mounted);
}

/* ---- other bytes ---- */

/* Twenty acknowledged entries by a process that then dies, without a close. */
static void dead_node_make(const char *dir) {
    pid_t child = fork();
    if (child == 0) {
        struct rig rig;
        alarm(60);
        rig_start(&rig, dir, 1);
        for (unsigned i = 1; i <= 20; i++)
            rig_append_wait(rig_append(&rig, 1, 1, 100, i, NULL));
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* The last batch before the crash is torn: the node goes on before it. */
static void test_torn_tail(void **state) {
    char log[4200];
    struct rig rig;
    dead_node_make(*state);
    snprintf(log, sizeof log, "%s/log", (char *)*state);
    rig_flip(log, ".wal", 20, 100);
    uint64_t numbers[20];
    for (uint64_t i = 0; i < 20; i++)
        numbers[i] = i + 1;
    rig_start(&rig, *state, 0);
    rig_expect(&rig, 1, 19, numbers);
    rig_append_wait(rig_append(&rig, 1, 1, 8, 20, NULL));
    rig_restart_expect(&rig, 1, 20, numbers);
    rig_close(&rig);
}

/* Any other one is damage, also where nothing says so but its own checksum. */
static void test_flip(void **state) {
    char log[4200];
    dead_node_make(*state);
    snprintf(log, sizeof log, "%s/log", (char *)*state);
    for (uint64_t number = 1; number < 20; number += 6) {
        struct rig rig;
        rig_flip(log, ".wal", number, 100);
        int rv = rig_try_init(&rig, *state, NULL);
        if (rv == 0)
            rv = rig_try_load(&rig);
        check_that(rv == RAFT_CORRUPT &&
                       strstr(rig.io.errmsg, "walfsck") != NULL &&
                       strstr(rig.io.errmsg, log) != NULL,
                   "%d: %s", rv, rig.io.errmsg);
        if (number == 1)
            print_message("%s\n", rig.io.errmsg);
        if (dwal_raft_log(&rig.io) != NULL)
            rig_close(&rig);
        else
            rig_drop(&rig);
        /* The bit back: the text is found with it, so by hand. */
        char command[9000];
        snprintf(command, sizeof command, "rm -r %s/*", (char *)*state);
        assert_int_equal(system(command), 0);
        dead_node_make(*state);
    }
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(test_##name, tempdir_setup,                \
                                    tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(write_fails),    TEST(vote_fails),    TEST(truncate_fails),
        TEST(snapshot_fails), TEST(slow_close),    TEST(hang),
        TEST(install_waits),  TEST(torn_tail),     TEST(flip),
        TEST(full),           TEST(full_for_ever),
    };
    tempdir_use_memory();
    setenv("UV_THREADPOOL_SIZE", "1", 1); /* for test_install_waits */
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
