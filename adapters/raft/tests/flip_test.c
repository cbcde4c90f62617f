/* SPDX-License-Identifier: MIT */
/*
 * The comparison: thousands of entries acknowledged, the process gone without a
 * close, one bit flipped in the middle of one entry of the middle; what does each
 * storage say when the node starts? This one has to refuse, and to say why.
 * libraft's own is only told of.
 */
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#define ENTRIES 3000u
#define SIZE 200u

static const struct backend {
    const char *name;
    int (*init)(struct raft_io *io, struct uv_loop_s *loop, const char *dir,
                struct raft_uv_transport *transport);
    void (*close)(struct raft_io *io);
    const char *files, *suffix; /* where the entries are */
} backends[] = {{"dwal-raft", dwal_raft_init, dwal_raft_close, "/log", ".wal"},
                {"libraft 0.15", raft_uv_init, raft_uv_close, "", ""}};

static int start(const struct backend *backend, struct rig *rig,
                 const char *dir) {
    *rig = (struct rig){.dir = dir};
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    assert_int_equal(raft_uv_tcp_init(&rig->transport, &rig->loop), 0);
    int rv = backend->init(&rig->io, &rig->loop, dir, &rig->transport);
    if (rv == 0)
        rv = rig->io.init(&rig->io, 1, "127.0.0.1:9001");
    if (rv == 0)
        rv = rig_try_load(rig);
    return rv;
}

/* Never returns. */
static void node_make(const struct backend *backend, const char *dir) {
    struct rig rig;
    alarm(60);
    if (start(backend, &rig, dir) != 0 || rig.io.set_term(&rig.io, 1) != 0)
        _exit(1);
    for (unsigned i = 1; i <= ENTRIES; i += 30)
        rig_append_wait(rig_append(&rig, 1, 30, SIZE, i, NULL));
    _exit(0);
}

/* What the node has after the flip, and what it says. */
static size_t node_load(const struct backend *backend, const char *dir,
                        int *rv) {
    struct rig rig;
    *rv = start(backend, &rig, dir);
    size_t count = rig.count;
    if (*rv == 0)
        print_message("%-12s starts without a word, with %zu of %u entries\n",
                      backend->name, count, ENTRIES);
    else
        print_message("%-12s refuses: %s: %s\n", backend->name,
                      raft_strerror(*rv), rig.io.errmsg);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || rig.entries[i].batch != rig.entries[i - 1].batch)
            raft_free(rig.entries[i].batch);
    raft_free(rig.entries);
    rig_close_begin(&rig);
    rig_until(&rig, &rig.closed);
    backend->close(&rig.io);
    raft_uv_tcp_close(&rig.transport);
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    uv_loop_close(&rig.loop);
    return count;
}

static void test_flip(void **state) {
    size_t counts[2];
    int rvs[2];
    for (unsigned i = 0; i < 2; i++) {
        char dir[4096], files[4200];
        snprintf(dir, sizeof dir, "%s/%u", (char *)*state, i);
        snprintf(files, sizeof files, "%s%s", dir, backends[i].files);
        assert_int_equal(mkdir(dir, 0777), 0);
        pid_t child = fork();
        if (child == 0)
            node_make(&backends[i], dir);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        rig_flip(files, backends[i].suffix, ENTRIES / 2, SIZE);
        counts[i] = node_load(&backends[i], dir, &rvs[i]);
    }
    assert_int_equal(rvs[0], RAFT_CORRUPT);
    assert_int_equal(counts[0], 0);
    (void)rvs[1]; /* whatever it does */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flip, tempdir_setup,
                                        tempdir_teardown),
    };
    return cmocka_run_group_tests_name("flip", tests, NULL, NULL);
}
