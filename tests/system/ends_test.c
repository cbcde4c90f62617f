/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a log, and what it carries along, on real files: cuts, resets,
 * metadata; while it is appended to, read, reopened and killed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/log.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define SEGMENT (64u << 10)

static struct dwal *small_open(const char *path) {
    struct dwal_options options = log_options(SEGMENT);
    return log_open(path, &options);
}

/* A record that says which LSN it was made for, and which writing of it. */
static void commit(struct dwal *log, uint64_t lsn, uint32_t writing) {
    struct dwal_error error;
    uint64_t got = 0;
    struct dwal_record record = {
        .data = &lsn, .size = sizeof lsn, .tenant = writing};
    log_done(dwal_commit(log, &record, &got, &error), &error);
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
    log_done(dwal_meta_set(log, bytes, size, &error), &error);
}

static void meta_expect(struct dwal *log, size_t size, uint64_t seed) {
    uint8_t expected[DWAL_META_SIZE_MAX], bytes[DWAL_META_SIZE_MAX];
    struct dwal_error error;
    size_t used = 77;
    blob_make(expected, size, seed);
    log_done(dwal_meta_get(log, bytes, sizeof bytes, &used, &error), &error);
    assert_int_equal(used, size);
    assert_memory_equal(bytes, expected, size);
}

static void test_meta(void **state) {
    uint8_t bytes[DWAL_META_SIZE_MAX + 1] = {0};
    struct dwal_error error;
    size_t used = 77;
    struct dwal *log = small_open(*state);
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
    log = small_open(*state);
    meta_expect(log, DWAL_META_SIZE_MAX, 2);
    log_done(dwal_meta_set(log, NULL, 0, &error), &error);
    meta_expect(log, 0, 0);
    log_close(log);
    log = small_open(*state);
    meta_expect(log, 0, 0);
    log_close(log);
}

/* Through segment changes, of which each start carries it, while the segments
 * with its record go. */
static void test_meta_stays(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    meta_set(log, 500, 3);
    for (uint64_t lsn = 1; lsn <= 40; lsn++) {
        commit(log, lsn, 1);
        if (lsn % 8 == 0)
            log_done(dwal_rotate(log, &error), &error);
        if (lsn == 20)
            meta_set(log, 1000, 4);
    }
    log_done(dwal_trim(log, 40, &error), &error);
    meta_expect(log, 1000, 4);
    log_close(log);
    log = small_open(*state);
    meta_expect(log, 1000, 4);
    commit(log, 41, 1);
    log_close(log);
    log = small_open(*state);
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
    struct dwal *log = small_open(*state);
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
    log = small_open(*state);
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

/* ---- cuts and resets ---- */

static void cut(struct dwal *log, uint64_t lsn) {
    struct dwal_error error;
    log_done(dwal_cut(log, lsn, &error), &error);
    assert_int_equal(dwal_durable_lsn(log), lsn);
}

static struct dwal_cursor *cursor_open(const char *path, uint64_t lsn) {
    struct dwal_cursor_options options;
    struct dwal_cursor *cursor;
    struct dwal_error error;
    dwal_cursor_options_init(&options);
    options.start_lsn = lsn;
    log_done(dwal_cursor_open(path, &options, &cursor, &error), &error);
    return cursor;
}

/* The next records are @first to @last, of this @writing; then comes @code. */
static void cursor_expect(struct dwal_cursor *cursor, uint64_t first,
                          uint64_t last, uint32_t writing, int code) {
    struct dwal_error error;
    struct dwal_record record;
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        log_done(dwal_cursor_next(cursor, &record, &error), &error);
        assert_int_equal(record.lsn, lsn);
        assert_int_equal(record.tenant, writing);
        assert_memory_equal(record.data, &lsn, sizeof lsn);
    }
    if (code != DWAL_OK)
        assert_int_equal(dwal_cursor_next(cursor, &record, &error), code);
}

/* All of the log: up to @kept of the first writing, up to @last of the second.
 */
static void log_expect(const char *path, uint64_t first, uint64_t kept,
                       uint64_t last) {
    struct dwal_cursor *cursor = cursor_open(path, 0);
    cursor_expect(cursor, first, kept, 1, DWAL_OK);
    cursor_expect(cursor, kept + 1, last, 2, DWAL_END);
    dwal_cursor_close(cursor);
}

static void commit_many(struct dwal *log, uint64_t first, uint64_t last,
                        uint32_t writing) {
    for (uint64_t lsn = first; lsn <= last; lsn++)
        commit(log, lsn, writing);
}

/* @count records in one batch. */
static void commit_batch(struct dwal *log, uint64_t first, uint64_t count) {
    struct dwal_record records[16];
    uint64_t lsns[16], got;
    struct dwal_error error;
    for (uint64_t i = 0; i < count; i++) {
        lsns[i] = first + i;
        records[i] = (struct dwal_record){
            .data = &lsns[i], .size = sizeof lsns[i], .tenant = 1};
    }
    log_done(dwal_append_batch(log, records, count, &got, &error), &error);
    assert_int_equal(got, first);
    log_done(dwal_wait(log, first + count - 1, -1, &error), &error);
}

/* In the middle of a batch, at its end, at a segment's; reopened or not. */
static void test_cut(void **state) {
    static const uint64_t places[] = {29, 24, 23, 20, 16, 10, 9, 1, 0};
    struct dwal_error error;
    for (unsigned reopen = 0; reopen < 4; reopen++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%u", (char *)*state, reopen);
        struct dwal *log = small_open(path);
        commit_many(log, 1, 8, 1);
        log_done(dwal_rotate(log, &error), &error);
        commit_batch(log, 9, 8); /* 9 to 16 */
        log_done(dwal_rotate(log, &error), &error);
        commit_batch(log, 17, 14); /* 17 to 30 */
        meta_set(log, 100, 9);
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            if ((reopen & 1) != 0) {
                log_close(log);
                log = small_open(path);
            }
            cut(log, places[i]);
            assert_int_equal(dwal_wait(log, places[i] + 1, 0, NULL), DWAL_ECUT);
            log_expect(path, 1, places[i], places[i]);
            if ((reopen & 2) != 0) {
                log_close(log);
                log = small_open(path);
            }
            assert_int_equal(dwal_durable_lsn(log), places[i]);
            meta_expect(log, 100, 9);
            commit_many(log, places[i] + 1, places[i] + 3, 2);
            log_expect(path, 1, places[i], places[i] + 3);
        }
        log_close(log);
        log_expect(path, 1, 0, 3);
    }
}

static void test_cut_limits(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    log_done(dwal_cut(log, 0, &error), &error);
    assert_int_equal(dwal_cut(log, 1, &error), DWAL_EINVAL);
    commit_many(log, 1, 20, 1);
    assert_int_equal(dwal_cut(log, 21, &error), DWAL_EINVAL);
    assert_int_equal(dwal_cut(log, UINT64_MAX, &error), DWAL_EINVAL);
    log_done(dwal_cut(log, 20, &error), &error); /* nothing */
    log_done(dwal_trim(log, 11, &error), &error);
    assert_int_equal(dwal_cut(log, 9, &error), DWAL_EINVAL);
    assert_int_equal(dwal_reset(log, 10, &error), DWAL_EINVAL);
    assert_int_equal(dwal_reset(log, 0, &error), DWAL_EINVAL);
    assert_int_equal(dwal_reset(log, UINT64_MAX, &error), DWAL_EINVAL);
    cut(log, 15);
    assert_int_equal(dwal_cut(log, 17, &error), DWAL_ECUT);
    assert_int_equal(dwal_trim(log, 17, &error), DWAL_EINVAL);
    cut(log, 10); /* all that is not trimmed */
    assert_int_equal(dwal_first_lsn(log), 11);
    log_expect(*state, 11, 10, 10);
    commit_many(log, 11, 12, 2);
    log_close(log);
    log_expect(*state, 11, 10, 12);
}

/* What was dropped is retired, the highest first; what was kept is not. */
static void test_cut_files(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    for (uint64_t lsn = 1; lsn <= 30; lsn++) {
        commit(log, lsn, 1);
        log_done(dwal_rotate(log, &error), &error);
    }
    assert_true(tempdir_count(*state, ".wal") > 30);
    cut(log, 3);
    /* Those of 1, 2 and 3; that of the cut; two prepared ones. */
    assert_true(tempdir_count(*state, ".wal") <= 6);
    commit_many(log, 4, 6, 2);
    log_done(dwal_rotate(log, &error), &error);
    log_expect(*state, 1, 3, 6);
    log_done(dwal_trim(log, 4, &error), &error);
    assert_true(tempdir_count(*state, ".wal") <= 4);
    log_close(log);
    log_expect(*state, 4, 3, 6);
}

static void test_reset(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    log_done(dwal_reset(log, 5, &error), &error); /* of an empty log */
    assert_int_equal(dwal_first_lsn(log), 5);
    assert_int_equal(dwal_durable_lsn(log), 4);
    commit_many(log, 5, 20, 1);
    meta_set(log, 33, 1);
    log_done(dwal_reset(log, 8, &error), &error); /* back */
    log_expect(*state, 8, 7, 7);
    commit_many(log, 8, 9, 2);
    log_expect(*state, 8, 7, 9);
    log_done(dwal_reset(log, 1000, &error), &error); /* and far on */
    assert_true(tempdir_count(*state, ".wal") <= 3);
    log_close(log);
    log = small_open(*state);
    assert_int_equal(dwal_first_lsn(log), 1000);
    assert_int_equal(dwal_durable_lsn(log), 999);
    meta_expect(log, 33, 1);
    commit(log, 1000, 2);
    log_done(dwal_reset(log, 1001, &error), &error);
    log_expect(*state, 1001, 1000, 1000);
    log_close(log);
    log = small_open(*state);
    log_done(dwal_reset(log, (UINT64_MAX >> 1) - 1, &error), &error);
    assert_int_equal(dwal_durable_lsn(log), (UINT64_MAX >> 1) - 2);
    log_close(log);
    log = small_open(*state);
    assert_int_equal(dwal_first_lsn(log), (UINT64_MAX >> 1) - 1);
    log_close(log);
}

/* A cursor in this process. */
static void test_cursor_told(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    commit_many(log, 1, 5, 1);
    struct dwal_cursor *shown = cursor_open(*state, 0);
    struct dwal_cursor *before = cursor_open(*state, 0);
    cursor_expect(before, 1, 5, 1, DWAL_END);
    commit_many(log, 6, 10, 1);
    cursor_expect(shown, 1, 10, 1, DWAL_END);
    cut(log, 5);
    cursor_expect(shown, 1, 0, 1, DWAL_ECUT);
    cursor_expect(before, 1, 0, 1, DWAL_END);
    commit_many(log, 6, 12, 2);
    cursor_expect(shown, 1, 0, 1, DWAL_ECUT);
    cursor_expect(before, 6, 12, 2, DWAL_END);
    log_done(dwal_cursor_seek(shown, 6, &error), &error);
    cursor_expect(shown, 6, 12, 2, DWAL_END);
    log_done(dwal_reset(log, 9, &error), &error);
    commit_many(log, 9, 20, 3);
    cursor_expect(shown, 1, 0, 1, DWAL_ECUT);
    log_done(dwal_cursor_seek(shown, 0, &error), &error);
    cursor_expect(shown, 9, 20, 3, DWAL_END);
    log_done(dwal_reset(log, 21, &error), &error);
    commit(log, 21, 3);
    cursor_expect(shown, 21, 21, 3, DWAL_END); /* it has missed nothing */
    log_done(dwal_reset(log, 30, &error), &error);
    cursor_expect(shown, 1, 0, 1, DWAL_ETRIMMED);
    cut(log, 29);
    dwal_cursor_close(shown);
    dwal_cursor_close(before);
    log_close(log);
}

/* In another process, while the log is open, by what its watermarks prove. The
 * parent says with a byte what it did; the child, that it has seen it. */
static void other_reads(const char *path, int from, int to) {
    char byte;
    struct dwal_cursor *cursor = cursor_open(path, 0);
    cursor_expect(cursor, 1, 9, 1, DWAL_END);
    write(to, "", 1);
    read(from, &byte, 1); /* cut behind 5, appended 6 to 12 and a mark */
    cursor_expect(cursor, 1, 0, 1, DWAL_ECUT);
    log_done(dwal_cursor_seek(cursor, 0, NULL), NULL);
    cursor_expect(cursor, 1, 5, 1, DWAL_OK);
    cursor_expect(cursor, 6, 11, 2, DWAL_END);
    write(to, "", 1);
    read(from, &byte, 1); /* reset to 8 */
    cursor_expect(cursor, 1, 0, 1, DWAL_ECUT);
    log_done(dwal_cursor_seek(cursor, 8, NULL), NULL);
    cursor_expect(cursor, 8, 9, 3, DWAL_END);
    write(to, "", 1);
    read(from, &byte, 1); /* reset to 50 */
    cursor_expect(cursor, 1, 0, 1, DWAL_ETRIMMED);
    dwal_cursor_close(cursor);
}

static void turn(int to, int from) {
    char byte;
    assert_int_equal(write(to, "", 1), 1);
    assert_int_equal(read(from, &byte, 1), 1);
}

static void test_other_process_told(void **state) {
    struct dwal_error error;
    int down[2], up[2];
    char byte;
    assert_int_equal(pipe(down) | pipe(up), 0);
    struct dwal *log = small_open(*state);
    commit_many(log, 1, 10, 1);
    pid_t child = fork();
    if (child == 0) {
        other_reads(*state, down[0], up[1]);
        _exit(0);
    }
    assert_int_equal(read(up[0], &byte, 1), 1);
    cut(log, 5);
    commit_many(log, 6, 12, 2);
    turn(down[1], up[0]);
    log_done(dwal_reset(log, 8, &error), &error);
    commit_many(log, 8, 10, 3);
    turn(down[1], up[0]);
    log_done(dwal_reset(log, 50, &error), &error);
    assert_int_equal(write(down[1], "", 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    log_close(log);
    for (int i = 0; i < 2; i++) {
        close(down[i]);
        close(up[i]);
    }
}

/* ---- cuts among appends ---- */

#define APPENDERS 3
#define APPENDS 200u

struct appender {
    struct dwal *log;
    uint32_t number;
    _Atomic bool *cutting;  /* cuts are still being made */
    uint64_t lsns[APPENDS]; /* of what was committed when none were any more */
};

static void *appender_main(void *argument) {
    static char refused[] = "a commit was refused";
    struct appender *appender = argument;
    for (uint32_t i = 0; i < APPENDS;) {
        bool counts = !atomic_load(appender->cutting);
        uint64_t lsn;
        struct dwal_record record = {.data = &i,
                                     .size = sizeof i,
                                     .tenant = appender->number,
                                     .shard = i};
        if (dwal_commit(appender->log, &record, &lsn, NULL) != DWAL_OK)
            return refused;
        if (counts)
            appender->lsns[i++] = lsn;
    }
    return NULL;
}

static void cuts_make(struct dwal *log) {
    uint64_t random = 1;
    struct dwal_error error;
    for (unsigned i = 0; i < 60; i++) {
        uint64_t first = dwal_first_lsn(log), last = dwal_durable_lsn(log);
        uint64_t lsn = first + check_random(&random) % (last - first + 2) - 1;
        int code = i % 10 == 9   ? dwal_trim(log, lsn + 1, &error)
                   : i % 10 == 4 ? dwal_reset(log, lsn + 1, &error)
                                 : dwal_cut(log, lsn, &error);
        log_done(code, &error);
        uint64_t waited = dwal_durable_lsn(log) + 1;
        code = dwal_wait(log, waited, -1, &error);
        assert_true(code == DWAL_OK || code == DWAL_ECUT ||
                    code == DWAL_EINVAL);
    }
}

/* Dense to the end, and with all that was committed after the last cut. */
static void appended_expect(const char *path, const struct appender *appenders,
                            uint64_t first, uint64_t last) {
    struct dwal_cursor *cursor = cursor_open(path, 0);
    struct dwal_error error;
    struct dwal_record record;
    unsigned found = 0;
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        log_done(dwal_cursor_next(cursor, &record, &error), &error);
        assert_int_equal(record.lsn, lsn);
        found += appenders[record.tenant].lsns[record.shard] == lsn;
    }
    assert_int_equal(dwal_cursor_next(cursor, &record, &error), DWAL_END);
    dwal_cursor_close(cursor);
    assert_int_equal(found, APPENDERS * APPENDS);
}

static void cut_among_appends(const char *path, int submit) {
    struct dwal_options options = log_options(SEGMENT);
    struct dwal_error error;
    struct dwal *log;
    options.submit = submit;
    log_done(dwal_open(path, &options, &log, &error), &error);
    static struct appender appenders[APPENDERS];
    pthread_t threads[APPENDERS];
    _Atomic bool cutting = true;
    for (uint32_t i = 0; i < APPENDERS; i++) {
        appenders[i] =
            (struct appender){.log = log, .number = i, .cutting = &cutting};
        pthread_create(&threads[i], NULL, appender_main, &appenders[i]);
    }
    cuts_make(log);
    atomic_store(&cutting, false);
    for (int i = 0; i < APPENDERS; i++) {
        void *failure;
        pthread_join(threads[i], &failure);
        assert_null(failure);
    }
    uint64_t first = dwal_first_lsn(log), last = dwal_durable_lsn(log);
    appended_expect(path, appenders, first, last);
    log_close(log);
    appended_expect(path, appenders, first, last);
}

static void test_cut_among_appends(void **state) {
    char path[4096];
    snprintf(path, sizeof path, "%s/thread", (char *)*state);
    cut_among_appends(path, DWAL_SUBMIT_THREAD);
    snprintf(path, sizeof path, "%s/caller", (char *)*state);
    cut_among_appends(path, DWAL_SUBMIT_CALLER);
}

/* ---- a cut, and damage to its start ---- */

/* One bad block does not bring back what was dropped without a word: the mark
 * proves that there is a start (SPEC 11.6). */
static void test_cut_start_damaged(void **state) {
    pid_t child = fork();
    if (child == 0) {
        struct dwal *log = small_open(*state);
        commit_many(log, 1, 9, 1);
        cut(log, 5);
        _exit(0); /* no close */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    log_expect(*state, 1, 5, 5);
    /* The second segment that was prepared is the one that was cut into. */
    char path[4096];
    uint8_t byte;
    snprintf(path, sizeof path, "%s/0000000000000002.wal", (char *)*state);
    int file = open(path, O_RDWR);
    assert_int_equal(pread(file, &byte, 1, 4096 + 200), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(file, &byte, 1, 4096 + 200), 1);
    close(file);
    struct dwal_options options = log_options(SEGMENT);
    struct dwal *log;
    assert_int_equal(dwal_open(*state, &options, &log, NULL), DWAL_ECORRUPT);
}

/* ---- killed at every write ---- */

/* What a script of calls makes of a log. */
struct model {
    uint64_t first, last;
    uint32_t writing[64]; /* by LSN */
    uint64_t meta;        /* seed; 0: none */
};

enum step_kind { COMMIT, ROTATE, META, TRIM, CUT, RESET };

static const struct step {
    enum step_kind kind;
    uint64_t value;
} script[] = {
    {COMMIT, 6}, {META, 1},   {ROTATE, 0}, {COMMIT, 5}, {CUT, 8},
    {COMMIT, 4}, {META, 2},   {CUT, 4},    {TRIM, 3},   {COMMIT, 5},
    {ROTATE, 0}, {COMMIT, 2}, {TRIM, 7},   {CUT, 6},    {META, 3},
    {COMMIT, 3}, {RESET, 20}, {META, 4},   {COMMIT, 4}, {RESET, 21},
    {COMMIT, 2}, {CUT, 21},   {COMMIT, 1},
};
#define STEPS (sizeof script / sizeof script[0])

/* A COMMIT is of so many records, one by one, each a step. */
static void model_step(struct model *model, size_t index) {
    const struct step *step = &script[index];
    switch (step->kind) {
    case COMMIT:
        model->writing[++model->last] = (uint32_t)index;
        break;
    case META:
        model->meta = step->value;
        break;
    case TRIM:
        model->first = step->value;
        break;
    case CUT:
        model->last = step->value;
        break;
    case RESET:
        model->first = step->value;
        model->last = step->value - 1;
        break;
    case ROTATE:
        break;
    }
}

static int log_step(struct dwal *log, size_t index) {
    const struct step *step = &script[index];
    uint8_t bytes[DWAL_META_SIZE_MAX];
    struct dwal_record record = {.data = "x", .size = 1, .tenant = index};
    switch (step->kind) {
    case COMMIT:
        return dwal_commit(log, &record, NULL, NULL);
    case META:
        blob_make(bytes, 300, step->value);
        return dwal_meta_set(log, bytes, 300, NULL);
    case TRIM:
        return dwal_trim(log, step->value, NULL);
    case CUT:
        return dwal_cut(log, step->value, NULL);
    case RESET:
        return dwal_reset(log, step->value, NULL);
    case ROTATE:
        return dwal_rotate(log, NULL);
    }
    return DWAL_EINVAL;
}

/* How often a step is repeated. */
static uint64_t step_count(size_t index) {
    return script[index].kind == COMMIT ? script[index].value : 1;
}

/* Shared with the child that is killed. */
struct progress {
    _Atomic int64_t left;  /* operations before it dies */
    _Atomic uint64_t done; /* steps, repetitions counted */
    _Atomic bool finished;
};
static struct progress *progress;

static struct dwal__disk_ops dying_ops;
static struct dwal__aio_ops dying_aio_ops;

/* Dies before the operation, as by a SIGKILL: what was submitted goes on. */
static void operation_count(void) {
    if (atomic_fetch_sub(&progress->left, 1) == 0)
        _exit(9);
}

static int dying_submit(struct dwal__aio *aio, long count,
                        struct iocb **iocbs) {
    operation_count();
    return dwal__aio_kernel.submit(aio, count, iocbs);
}

static int dying_rename(struct dwal__disk *disk, int dir, const char *from,
                        const char *to) {
    operation_count();
    return dwal__disk_kernel()->ops->rename(disk, dir, from, to);
}

static int dying_unlink(struct dwal__disk *disk, int dir, const char *name) {
    operation_count();
    return dwal__disk_kernel()->ops->unlink(disk, dir, name);
}

static ssize_t dying_write(struct dwal__disk *disk, int handle,
                           const void *bytes, size_t size, uint64_t offset) {
    operation_count();
    return dwal__disk_kernel()->ops->write(disk, handle, bytes, size, offset);
}

static void dying_run(const char *path) {
    dying_ops = *dwal__disk_kernel()->ops;
    dying_ops.rename = dying_rename;
    dying_ops.unlink = dying_unlink;
    dying_ops.write = dying_write;
    dying_aio_ops = dwal__aio_kernel;
    dying_aio_ops.submit = dying_submit;
    static struct dwal__disk disk = {.ops = &dying_ops};
    struct dwal__aio aio = {.ops = &dying_aio_ops};
    struct dwal_options options = log_options(SEGMENT);
    options.sync = DWAL_SYNC_DSYNC; /* nothing to be measured */
    struct dwal *log;
    if (dwal__open_on(&disk, &aio, path, &options, &log, NULL) != DWAL_OK)
        _exit(1);
    for (size_t i = 0; i < STEPS; i++)
        for (uint64_t again = step_count(i); again > 0; again--) {
            if (log_step(log, i) != DWAL_OK)
                _exit(2);
            atomic_fetch_add(&progress->done, 1);
        }
    atomic_store(&progress->finished, true);
    _exit(dwal_close(log, NULL) == DWAL_OK ? 0 : 3);
}

/* True if the log is what @done steps make of it. */
static bool model_fits(const char *path, uint64_t done_steps) {
    struct model model = {.first = 1};
    for (size_t i = 0; i < STEPS; i++)
        for (uint64_t again = step_count(i); again > 0 && done_steps > 0;
             again--, done_steps--)
            model_step(&model, i);
    struct dwal *log = small_open(path);
    uint8_t bytes[DWAL_META_SIZE_MAX], expected[DWAL_META_SIZE_MAX];
    size_t size = 0;
    dwal_meta_get(log, bytes, sizeof bytes, &size, NULL);
    blob_make(expected, 300, model.meta);
    bool fits = dwal_first_lsn(log) == model.first &&
                dwal_durable_lsn(log) == model.last &&
                size == (model.meta == 0 ? 0 : 300) &&
                memcmp(bytes, expected, size) == 0;
    log_close(log);
    struct dwal_cursor *cursor = cursor_open(path, 0);
    struct dwal_record record;
    for (uint64_t lsn = model.first; fits && lsn <= model.last; lsn++)
        fits = dwal_cursor_next(cursor, &record, NULL) == DWAL_OK &&
               record.lsn == lsn && record.tenant == model.writing[lsn];
    fits = fits && dwal_cursor_next(cursor, &record, NULL) == DWAL_END;
    dwal_cursor_close(cursor);
    return fits;
}

/* A process that dies before its n-th write, rename or removal, for every n:
 * the log is as before the call that was under way, or as after it. */
static void test_killed_at_every_write(void **state) {
    struct dwal_options options = log_options(SEGMENT);
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(progress != MAP_FAILED);
    unsigned before = 0, after = 0;
    for (int64_t n = 0; !atomic_load(&progress->finished); n++) {
        char path[4096];
        struct dwal *log;
        snprintf(path, sizeof path, "%s/%03u", (char *)*state, (unsigned)n);
        assert_int_equal(dwal_open(path, &options, &log, NULL), DWAL_OK);
        log_close(log);
        atomic_store(&progress->left, n);
        atomic_store(&progress->done, 0);
        pid_t child = fork();
        if (child == 0)
            dying_run(path);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(status == 0 || WEXITSTATUS(status) == 9);
        uint64_t steps = atomic_load(&progress->done);
        if (model_fits(path, steps))
            before++;
        else if (model_fits(path, steps + 1))
            after++;
        else
            fail_msg("killed before operation %lld, behind step %llu: neither "
                     "as before nor as after; %s",
                     (long long)n, (unsigned long long)steps, path);
        tempdir_remove(path);
    }
    print_message("%u as before, %u as after\n", before, after);
    assert_true(before > 0 && after > 0);
    munmap(progress, sizeof *progress);
}

#define TEMPDIR_TEST(name)                                                     \
    cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEMPDIR_TEST(test_meta),
        TEMPDIR_TEST(test_meta_stays),
        TEMPDIR_TEST(test_meta_threads),
        TEMPDIR_TEST(test_cut),
        TEMPDIR_TEST(test_cut_limits),
        TEMPDIR_TEST(test_cut_files),
        TEMPDIR_TEST(test_reset),
        TEMPDIR_TEST(test_cursor_told),
        TEMPDIR_TEST(test_other_process_told),
        TEMPDIR_TEST(test_cut_among_appends),
        TEMPDIR_TEST(test_cut_start_damaged),
        TEMPDIR_TEST(test_killed_at_every_write),
    };
    return cmocka_run_group_tests_name("ends_test", tests, NULL, NULL);
}
