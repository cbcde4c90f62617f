/* SPDX-License-Identifier: MIT */
/*
 * What a node starts from: its directory, bootstrap and recover, and each state
 * that a log and a snapshot can be in, those that a crash or damage leave
 * included. What is whole is loaded, what is broken off is ended, what
 * contradicts itself is refused with a text that says where and what to do.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

static const char *in(const char *dir, const char *name) {
    static char path[4200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void file_make(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void init_refused(const char *dir, int code, const char *text) {
    struct rig rig;
    int rv = rig_try_init(&rig, dir, NULL);
    check_that(rv == code && strstr(rig.io.errmsg, text) != NULL, "%s: %d: %s",
               dir, rv, rig.io.errmsg);
    rig_drop(&rig);
}

static void load_refused(struct rig *rig, int code, const char *text) {
    int rv = rig_try_load(rig);
    check_that(rv == code && strstr(rig->io.errmsg, text) != NULL, "%d: %s", rv,
               rig->io.errmsg);
    assert_null(rig->entries); /* left alone */
    assert_null(rig->snapshot);
    rig_close(rig);
}

/* The log of a node that does not run. */
static struct dwal *log_open(const char *dir) {
    struct dwal_options options;
    struct dwal_error error;
    struct dwal *log;
    rig_options(&options);
    if (dwal_open(in(dir, "log"), &options, &log, &error) != DWAL_OK)
        fail_msg("%s", error.text);
    return log;
}

static void log_append(const char *dir, struct dwal_record record) {
    struct dwal *log = log_open(dir);
    assert_int_equal(dwal_commit(log, &record, NULL, NULL), DWAL_OK);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

/* A node of @count entries, the last of them @term's. */
static void node_make(const char *dir, raft_term term, unsigned count) {
    struct rig rig;
    rig_start(&rig, dir, term);
    if (count > 0)
        rig_append_wait(rig_append(&rig, term, count, 8, 1, NULL));
    rig_close(&rig);
}

/* ---- the directory ---- */

static void test_directory(void **state) {
    static const char *const foreign[] = {"metadata1", "metadata2", "open-1",
                                          "snapshot-1-2-3.meta",
                                          "0000000000000001-0000000000000150"};
    init_refused(in(*state, "nothing"), RAFT_NOTFOUND, "open");
    file_make(in(*state, "file"), "", 0);
    init_refused(in(*state, "file"), RAFT_INVALID, "Not a directory");
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        char dir[4096];
        snprintf(dir, sizeof dir, "%s/%zu", (char *)*state, i);
        assert_int_equal(mkdir(dir, 0777), 0);
        file_make(in(dir, foreign[i]), "\1\0\0\0", 4);
        init_refused(dir, RAFT_INVALID, foreign[i]);
        assert_int_equal(access(in(dir, "log"), F_OK), -1);
    }
    assert_int_equal(mkdir(in(*state, "mine"), 0777), 0);
    file_make(in(*state, "mine/notes-2026"), "", 0); /* not ours, let be */
    char mine[4200];
    strcpy(mine, in(*state, "mine"));
    node_make(mine, 1, 1);
}

/* libraft's own backend does not start as an empty node in ours. */
static void test_directory_guards(void **state) {
    struct rig rig = {.dir = *state};
    node_make(*state, 1, 3);
    assert_int_equal(uv_loop_init(&rig.loop), 0);
    assert_int_equal(raft_uv_tcp_init(&rig.transport, &rig.loop), 0);
    assert_int_equal(raft_uv_init(&rig.io, &rig.loop, *state, &rig.transport),
                     0);
    assert_int_equal(rig.io.init(&rig.io, 1, "127.0.0.1:9001"), RAFT_MALFORMED);
    raft_uv_close(&rig.io);
    raft_uv_tcp_close(&rig.transport);
    uv_loop_close(&rig.loop);
    rig_start(&rig, *state, 0);
    assert_int_equal(rig.count, 3);
    rig_close(&rig);
}

/* A log that is gone is not one that was never there. */
static void test_directory_loses_log(void **state) {
    char command[4300];
    node_make(*state, 1, 3);
    snprintf(command, sizeof command, "rm -r %s", in(*state, "log"));
    assert_int_equal(system(command), 0);
    init_refused(*state, RAFT_CORRUPT, "the log is gone");
}

static void test_directory_busy(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    init_refused(*state, RAFT_BUSY, "is locked by");
    rig_close(&rig);
    node_make(*state, 1, 1);
}

static void test_options(void **state) {
    struct rig rig = {.dir = *state};
    struct dwal_raft_options options;
    struct dwal_options log;
    assert_int_equal(uv_loop_init(&rig.loop), 0);
    assert_int_equal(raft_uv_tcp_init(&rig.transport, &rig.loop), 0);
    for (int i = 0; i < 3; i++) {
        dwal_raft_options_init(&options);
        dwal_options_init(&log);
        if (i == 0)
            options.size--;
        else if (i == 1)
            options.inner_init = raft_uv_init;
        else
            log.size--;
        options.log = &log;
        rig.io.data = &log;
        assert_int_equal(dwal_raft_init_with(&rig.io, &rig.loop, *state,
                                             &rig.transport, &options),
                         RAFT_INVALID);
        assert_non_null(strstr(rig.io.errmsg, "options"));
        assert_ptr_equal(rig.io.data, &log);
        dwal_raft_close(&rig.io);
    }
    char path[5000];
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(dwal_raft_init(&rig.io, &rig.loop, path, &rig.transport),
                     RAFT_NAMETOOLONG);
    raft_uv_tcp_close(&rig.transport);
    uv_loop_close(&rig.loop);
    dwal_options_init(&log);
    log.segment_size = 1;
    assert_int_equal(rig_try_init(&rig, *state, &log), RAFT_INVALID);
    assert_non_null(strstr(rig.io.errmsg, "segment_size"));
    rig_drop(&rig);
}

/* ---- bootstrap and recover ---- */

static void bootstrap_refused(struct rig *rig) {
    struct raft_configuration configuration;
    rig_configuration(&configuration, 1);
    assert_int_equal(rig->io.bootstrap(&rig->io, &configuration),
                     RAFT_CANTBOOTSTRAP);
    assert_non_null(strstr(rig->io.errmsg, "term"));
    raft_configuration_close(&configuration);
}

static void bootstrap(struct rig *rig, unsigned servers) {
    struct raft_configuration configuration;
    rig_configuration(&configuration, servers);
    if (rig->io.bootstrap(&rig->io, &configuration) != 0)
        fail_msg("%s", rig->io.errmsg);
    raft_configuration_close(&configuration);
}

static void configuration_expect(const struct raft_entry *entry, raft_term term,
                                 unsigned servers) {
    struct raft_configuration configuration;
    struct raft_buffer buffer;
    assert_int_equal(entry->type, RAFT_CHANGE);
    assert_int_equal(entry->term, term);
    rig_configuration(&configuration, servers);
    assert_int_equal(raft_configuration_encode(&configuration, &buffer), 0);
    assert_int_equal(entry->buf.len, buffer.len);
    /* Without the padding, which libraft leaves as it finds it. */
    assert_memory_equal(entry->buf.base, buffer.base, 9 + servers * 24);
    raft_free(buffer.base);
    raft_configuration_close(&configuration);
}

static void test_bootstrap(void **state) {
    struct rig rig;
    rig_init(&rig, *state, NULL);
    bootstrap(&rig, 3);
    bootstrap_refused(&rig);
    rig_load(&rig); /* as raft_start does, on the same io */
    assert_int_equal(rig.term, 1);
    assert_int_equal(rig.voted_for, 0);
    assert_int_equal(rig.start_index, 1);
    assert_int_equal(rig.count, 1);
    configuration_expect(&rig.entries[0], 1, 3);
    rig_append_wait(rig_append(&rig, 1, 1, 8, 2, NULL));
    rig_close(&rig);
    rig_init(&rig, *state, NULL);
    bootstrap_refused(&rig);
    rig_close(&rig);
}

/* A crash between the entry and the term: nothing was bootstrapped. */
static void test_bootstrap_broken_off(void **state) {
    struct rig rig;
    node_make(*state, 0, 0);
    for (int i = 0; i < 2; i++) {
        log_append(*state, (struct dwal_record){.data = "c",
                                                .size = 1,
                                                .type = RAFT_CHANGE,
                                                .tenant = 1});
        rig_init(&rig, *state, NULL);
        if (i == 0) {
            rig_load(&rig);
            assert_int_equal(rig.count, 0);
            assert_int_equal(rig.start_index, 1);
            rig_close(&rig);
            continue;
        }
        bootstrap(&rig, 2);
        rig_load(&rig);
        assert_int_equal(rig.count, 1);
        configuration_expect(&rig.entries[0], 1, 2);
        rig_close(&rig);
    }
}

/* Entries without a term are none of a bootstrap. */
static void test_term_missing(void **state) {
    struct rig rig;
    node_make(*state, 0, 0);
    log_append(*state, (struct dwal_record){.type = RAFT_COMMAND, .tenant = 1});
    rig_init(&rig, *state, NULL);
    load_refused(&rig, RAFT_CORRUPT, "the current term is missing");
    log_append(*state, (struct dwal_record){.type = RAFT_CHANGE, .tenant = 1});
    rig_init(&rig, *state, NULL);
    load_refused(&rig, RAFT_CORRUPT, "the current term is missing");
}

static void recover(struct rig *rig, unsigned servers) {
    struct raft_configuration configuration;
    rig_configuration(&configuration, servers);
    if (rig->io.recover(&rig->io, &configuration) != 0)
        fail_msg("%s", rig->io.errmsg);
    raft_configuration_close(&configuration);
}

static void test_recover(void **state) {
    struct rig rig;
    node_make(*state, 7, 3);
    rig_init(&rig, *state, NULL);
    recover(&rig, 2);
    rig_load(&rig);
    assert_int_equal(rig.count, 4);
    configuration_expect(&rig.entries[3], 7, 2); /* the term before it */
    rig_append_wait(rig_append(&rig, 7, 1, 8, 5, NULL));
    rig_put_wait(rig_put(&rig, 7, 5, 1));
    rig_put_wait(rig_put(&rig, 7, 20, 0));
    rig_close(&rig);
    rig_init(&rig, *state, NULL); /* behind a snapshot alone */
    recover(&rig, 1);
    rig_load(&rig);
    assert_int_equal(rig.start_index, 21);
    assert_int_equal(rig.count, 1);
    configuration_expect(&rig.entries[0], 7, 1);
    rig_close(&rig);
}

static void test_recover_empty(void **state) {
    struct rig rig;
    rig_init(&rig, *state, NULL);
    recover(&rig, 3);
    rig_load(&rig);
    assert_int_equal(rig.term, 1);
    assert_int_equal(rig.count, 1);
    configuration_expect(&rig.entries[0], 1, 3);
    rig_close(&rig);
}

/* A program may give up a node after a recover, or after a start that failed,
 * without closing it: dqlite does. The next one in this process is not kept out. */
static void test_given_up(void **state) {
    struct rig given_up[2], rig;
    node_make(*state, 7, 3);
    rig_init(&given_up[0], *state, NULL);
    recover(&given_up[0], 2);
    assert_null(dwal_raft_log(&given_up[0].io));
    rig_init(&rig, *state, NULL);
    rig_load(&rig);
    assert_int_equal(rig.count, 4);
    assert_int_equal(rig.term, 7);
    rig_close(&rig);

    log_append(*state, (struct dwal_record){.type = 99, .tenant = 7});
    rig_init(&given_up[1], *state, NULL);
    assert_int_equal(given_up[1].io.load(&given_up[1].io, &rig.term,
                                         &rig.voted_for, &rig.snapshot,
                                         &rig.start_index, &rig.entries,
                                         &rig.count),
                     RAFT_CORRUPT);
    rig_init(&rig, *state, NULL);
    load_refused(&rig, RAFT_CORRUPT, "entry 5");
    rig_drop(&given_up[0]);
    rig_drop(&given_up[1]);
}

/* What comes before load takes the log again. */
static void test_recover_goes_on(void **state) {
    struct rig rig;
    node_make(*state, 7, 3);
    rig_init(&rig, *state, NULL);
    recover(&rig, 2);
    assert_int_equal(rig.io.set_term(&rig.io, 8), 0);
    assert_int_equal(rig.io.set_vote(&rig.io, 2), 0);
    recover(&rig, 3);
    rig_load(&rig);
    assert_int_equal(rig.count, 5);
    assert_int_equal(rig.term, 8);
    assert_int_equal(rig.voted_for, 2);
    configuration_expect(&rig.entries[4], 7, 3);
    rig_close(&rig);
}

/* ---- term and vote ---- */

static void test_vote(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 0);
    assert_int_equal(rig.term, 0);
    assert_int_equal(rig.io.set_term(&rig.io, 0), RAFT_INVALID);
    assert_int_equal(rig.io.set_vote(&rig.io, 3), RAFT_INVALID);
    raft_term high = (raft_term)5 << 40;
    for (raft_term term = high; term < high + 3; term++) {
        assert_int_equal(rig.io.set_term(&rig.io, term), 0);
        assert_int_equal(rig.io.set_vote(&rig.io, term + 9), 0);
    }
    rig_restart_expect(&rig, 1, 0, NULL);
    assert_int_equal(rig.term, high + 2);
    assert_int_equal(rig.voted_for, high + 11);
    assert_int_equal(rig.io.set_term(&rig.io, high + 3), 0); /* clears it */
    rig_append_wait(rig_append(&rig, 1, 1, 8, 1, NULL));
    rig_restart_expect(&rig, 1, 1, (uint64_t[]){1});
    assert_int_equal(rig.term, high + 3);
    assert_int_equal(rig.voted_for, 0);
    rig_close(&rig);
}

/* Beside appends and through cuts and resets, in the order of the calls. */
static void test_vote_between(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    for (raft_term term = 2; term < 7; term++) {
        raft_index next = 10 * term;
        struct rig_put *put = rig_put(&rig, 1, next - 1, 0);
        struct rig_append *append =
            rig_append(&rig, term - 1, 4, 8, next, NULL);
        assert_int_equal(rig.io.truncate(&rig.io, next + 1), 0);
        assert_int_equal(rig.io.set_term(&rig.io, term), 0);
        assert_int_equal(rig.io.set_vote(&rig.io, term), 0);
        rig_put_wait(put);
        rig_append_wait(append);
        struct rig_append *last = rig_append(&rig, term, 1, 8, 7, NULL);
        rig_append_wait(last);
        rig_restart_expect(&rig, next, 2, (uint64_t[]){next, 7});
        assert_int_equal(rig.term, term);
        assert_int_equal(rig.voted_for, term);
    }
    rig_close(&rig);
}

/* Sets term after term, votes in it, and tells each through @pipe. */
static void vote_child(const char *dir, int pipe) {
    struct rig rig;
    alarm(60);
    rig_start(&rig, dir, 0);
    for (raft_term term = rig.term + 1;; term++) {
        uint64_t told[2] = {term, 0};
        if (rig.io.set_term(&rig.io, term) != 0 ||
            write(pipe, told, sizeof told) != sizeof told)
            _exit(1);
        told[1] = term % 5 + 1;
        if (rig.io.set_vote(&rig.io, told[1]) != 0 ||
            write(pipe, told, sizeof told) != sizeof told)
            _exit(1);
    }
}

/* Killed anywhere: what was told is there, or the one call after it. */
static void test_vote_killed(void **state) {
    uint64_t random = check_seed(1);
    for (int run = 0; run < 8; run++) {
        uint64_t last[2] = {0}, told[2];
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            close(pipes[0]);
            vote_child(*state, pipes[1]);
        }
        close(pipes[1]);
        uint64_t reads = 1 + check_random(&random) % 60;
        while (read(pipes[0], told, sizeof told) == sizeof told) {
            memcpy(last, told, sizeof last);
            if (--reads == 0)
                kill(child, SIGKILL);
        }
        close(pipes[0]);
        assert_int_not_equal(last[0], 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        struct rig rig;
        rig_start(&rig, *state, 0);
        bool as_told = rig.term == last[0] && rig.voted_for == last[1];
        bool one_more =
            last[1] == 0
                ? rig.term == last[0] && rig.voted_for == last[0] % 5 + 1
                : rig.term == last[0] + 1 && rig.voted_for == 0;
        check_that(as_told || one_more, "told %llu, %llu; loaded %llu, %llu",
                   (unsigned long long)last[0], (unsigned long long)last[1],
                   rig.term, rig.voted_for);
        rig_close(&rig);
    }
}

/* ---- log and snapshot ---- */

static void test_load_empty(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 0);
    assert_int_equal(rig.term, 0);
    assert_int_equal(rig.voted_for, 0);
    assert_null(rig.snapshot);
    rig_expect(&rig, 1, 0, NULL);
    rig_restart_expect(&rig, 1, 0, NULL);
    rig_close(&rig);
}

/* Many of all sizes, in pieces of memory that libraft can free: each entry lies
 * in its batch, and the entries of a batch are neighbours. */
static void test_load_batches(void **state) {
    enum { REQUESTS = 40 };
    struct rig rig;
    uint64_t random = check_seed(2);
    rig_start(&rig, *state, 1);
    for (unsigned i = 0; i < REQUESTS; i++)
        rig_append_wait(rig_append(
            &rig, 1, 25, check_random(&random) % (i == 7 ? 60000 : 3000),
            25 * i, NULL));
    rig_close(&rig);
    rig_start(&rig, *state, 0);
    assert_int_equal(rig.count, 25 * REQUESTS);
    size_t batches = 0;
    for (size_t i = 0; i < rig.count; i++) {
        const struct raft_entry *entry = &rig.entries[i];
        assert_true((uint8_t *)entry->buf.base >= (uint8_t *)entry->batch);
        assert_int_equal((uintptr_t)entry->buf.base % 8, 0);
        if (i == 0 || entry->batch != rig.entries[i - 1].batch)
            batches++;
        for (size_t j = i + 1; j < rig.count && j < i + 400; j++)
            if (rig.entries[j].batch == entry->batch)
                assert_ptr_equal(rig.entries[j - 1].batch, entry->batch);
    }
    assert_in_range(batches, 4, 60);
    rig_close(&rig);
}

/* An install that a crash broke off behind the snapshot: as libraft's backend
 * leaves it that stores one, beside a log that was not reset. */
static void snapshot_plant(const char *dir, raft_term term, raft_index index) {
    char other[4200], command[13000];
    struct rig rig;
    snprintf(other, sizeof other, "%s/other", dir);
    assert_int_equal(mkdir(other, 0777), 0);
    rig_start(&rig, other, term);
    rig_put_wait(rig_put(&rig, term, index, 0));
    rig_close(&rig);
    snprintf(command, sizeof command,
             "cp %s/snapshots/* %s/snapshots/ && rm -r %s", other, dir, other);
    assert_int_equal(system(command), 0);
}

static void test_install_broken_off(void **state) {
    struct rig rig;
    node_make(*state, 3, 5);
    snapshot_plant(*state, 3, 9); /* ends before it */
    rig_start(&rig, *state, 0);
    rig_expect(&rig, 10, 0, NULL);
    assert_int_equal(rig.snapshot->index, 9);
    rig_append_wait(rig_append(&rig, 3, 5, 8, 10, NULL));
    rig_restart_expect(&rig, 10, 5, (uint64_t[]){10, 11, 12, 13, 14});
    rig_close(&rig);
    snapshot_plant(*state, 3, 11); /* has it: a snapshot of its own */
    rig_start(&rig, *state, 0);
    rig_expect(&rig, 10, 5, (uint64_t[]){10, 11, 12, 13, 14});
    assert_int_equal(rig.io.set_term(&rig.io, 4), 0);
    rig_close(&rig);
    snapshot_plant(*state, 4, 12); /* has another in its place */
    rig_start(&rig, *state, 0);
    rig_expect(&rig, 13, 0, NULL);
    assert_int_equal(rig.term, 4);
    rig_append_wait(rig_append(&rig, 4, 1, 8, 13, NULL));
    rig_restart_expect(&rig, 13, 1, (uint64_t[]){13});
    rig_close(&rig);
}

static void test_contradictions(void **state) {
    char command[8500];
    struct rig rig;
    node_make(*state, 3, 5);
    snapshot_plant(*state, 2, 4); /* the log is newer than what replaced it */
    rig_init(&rig, *state, NULL);
    load_refused(&rig, RAFT_CORRUPT, "it is newer than the snapshot");
    snprintf(command, sizeof command, "rm %s/snapshots/*", (char *)*state);
    assert_int_equal(system(command), 0);
    rig_start(&rig, *state, 0);
    rig_put_wait(rig_put(&rig, 3, 5, 1));
    rig_close(&rig);
    assert_int_equal(system(command), 0);
    rig_init(&rig, *state, NULL);
    load_refused(&rig, RAFT_CORRUPT, "the snapshot before it is missing");
    snapshot_plant(*state, 3, 2);
    rig_init(&rig, *state, NULL);
    load_refused(&rig, RAFT_CORRUPT, "it begins behind the newest snapshot");
}

/* Records that are no entries. */
static void test_foreign_records(void **state) {
    static const struct {
        struct dwal_record record;
        const char *text;
    } cases[] = {
        {{.type = 4, .tenant = 1}, "its type"},
        {{.type = 0, .tenant = 1}, "its type"},
        {{.type = RAFT_COMMAND}, "its term is 0"},
        {{.type = RAFT_COMMAND, .tenant = 4},
         "its term is above the current one"},
        {{.type = RAFT_COMMAND, .shard = 1},
         "its term is above the current one"},
        {{.type = RAFT_COMMAND, .tenant = 1, .flags = 1}, "it has flags"},
    };
    node_make(*state, 3, 2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        log_append(*state, cases[i].record);
        rig_init(&rig, *state, NULL);
        char text[100];
        snprintf(text, sizeof text, "entry 3: %s", cases[i].text);
        load_refused(&rig, RAFT_CORRUPT, text);
        struct dwal *log = log_open(*state);
        assert_int_equal(dwal_cut(log, 2, NULL), DWAL_OK);
        dwal_close(log, NULL);
    }
    node_make(*state, 3, 0);
}

static void test_foreign_metadata(void **state) {
    static const char *const blobs[] = {
        "DWRF\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", /* term 0 */
        "DWRF\2\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "DWRG\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"};
    node_make(*state, 3, 1);
    for (unsigned i = 0; i < 5; i++) {
        struct dwal *log = log_open(*state);
        size_t size = i < 3 ? 24 : i == 3 ? 23 : 1;
        const char *blob = blobs[i < 3 ? i : 0];
        assert_int_equal(dwal_meta_set(log, blob, size, NULL), DWAL_OK);
        dwal_close(log, NULL);
        init_refused(*state, RAFT_MALFORMED, "metadata");
    }
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(test_##name, tempdir_setup,                \
                                    tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(directory),
        TEST(directory_guards),
        TEST(directory_loses_log),
        TEST(directory_busy),
        TEST(options),
        TEST(bootstrap),
        TEST(bootstrap_broken_off),
        TEST(term_missing),
        TEST(recover),
        TEST(recover_empty),
        TEST(given_up),
        TEST(recover_goes_on),
        TEST(vote),
        TEST(vote_between),
        TEST(vote_killed),
        TEST(load_empty),
        TEST(load_batches),
        TEST(install_broken_off),
        TEST(contradictions),
        TEST(foreign_records),
        TEST(foreign_metadata),
    };
    tempdir_use_memory();
    return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
