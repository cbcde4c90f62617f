/* SPDX-License-Identifier: MIT */
/*
 * The watermark in what is on disk advances, whatever the options are: without
 * it damage could not be told from a torn tail. Every combination of those that
 * a batch passes on its way: after each commit the bytes on disk say that all
 * before it was durable; a mark, or the close, says it of the last one too.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "recover/recover.h"
#include "src/dwal.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

/* The combinations: how many values each option has, in the order of
 * options_choose. */
static const int values[] = {
    3, /* preset */
    3, /* sync */
    2, /* submit */
    2, /* gather */
    2, /* mark_delay_ms: none, 1 */
    2, /* direct: preferred, off */
    2, /* in_flight_max: the preset's, 1 */
    2, /* batch_bytes_max and queue_records_max: the preset's, the least */
};
#define COUNT (3 * 3 * 2 * 2 * 2 * 2 * 2 * 2)
#define THREADS 16

static void options_choose(int combination, struct dwal_options *options,
                           char text[200]) {
    int v[8];
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        v[i] = combination % values[i];
        combination /= values[i];
    }
    dwal_options_init(options);
    dwal_options_preset(options, v[0]);
    options->create = DWAL_CREATE_NEW;
    options->segment_size = 128 << 10;
    options->sync = v[1];
    options->submit = v[2];
    options->gather = v[3];
    options->mark_delay_ms = v[4];
    options->direct = v[5] == 0 ? DWAL_DIRECT_PREFERRED : DWAL_DIRECT_OFF;
    if (v[6] == 1)
        options->in_flight_max = 1;
    if (v[7] == 1) {
        options->batch_bytes_max = 4096;
        options->queue_records_max = 2;
    }
    snprintf(text, 200,
             "preset %d, sync %d, submit %d, gather %d, mark_delay_ms %d, "
             "direct %d, in_flight_max %u, queue_records_max %u",
             v[0], options->sync, options->submit, options->gather,
             options->mark_delay_ms, options->direct, options->in_flight_max,
             options->queue_records_max);
}

/* One combination; fails outside of the main thread, too. */
struct log {
    char path[4300];
    char text[200];
    struct dwal *log;
    uint64_t last; /* the last LSN that was committed */
};

#define must(condition, log, ...)                                              \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s: %s: ", (log)->text, #condition);              \
            fprintf(stderr, __VA_ARGS__);                                      \
            fputc('\n', stderr);                                               \
            abort();                                                           \
        }                                                                      \
    } while (0)

/* What the bytes on disk say; the writer may go on meanwhile. */
static uint64_t watermark_read(const struct log *log, const char **row) {
    struct dwal__disk *disk = dwal__disk_kernel();
    struct dwal__recovery recovery;
    struct dwal_error error;
    memset(&recovery, 0, sizeof recovery);
    int dir = disk->ops->dir_open(disk, log->path);
    must(dir >= 0, log, "%d", dir);
    struct dwal__recover_options options = {
        .disk = disk, .dir = dir, .verify_bytes = UINT64_MAX};
    int code = dwal__recover(&options, &recovery, &error);
    must(code == DWAL_OK, log, "%s", error.text);
    uint64_t lsn = recovery.watermark.lsn;
    *row = recovery.decision->name;
    dwal__recovery_release(&recovery);
    disk->ops->close(disk, dir);
    return lsn;
}

static void watermark_expect(const struct log *log, uint64_t least) {
    const char *row;
    uint64_t lsn = watermark_read(log, &row);
    must(lsn >= least, log, "%" PRIu64 " of %" PRIu64 " are told durable (%s)",
         lsn, least, row);
}

static void commit(struct log *log) {
    struct dwal_record record = {.data = "watermark", .size = 9};
    struct dwal_error error;
    int code = dwal_commit(log->log, &record, &log->last, &error);
    must(code == DWAL_OK, log, "%s", error.text);
    watermark_expect(log, log->last - 1);
}

/* Several in flight, then one behind them. */
static void commit_many(struct log *log) {
    static const char bytes[3000];
    struct dwal_record record = {.data = bytes, .size = sizeof bytes};
    struct dwal_error error;
    for (int i = 0; i < 12; i++) {
        int code = dwal_append(log->log, &record, &log->last, &error);
        must(code == DWAL_OK, log, "%s", error.text);
    }
    int code = dwal_wait(log->log, log->last, -1, &error);
    must(code == DWAL_OK, log, "%s", error.text);
    commit(log);
}

/* The mark comes by itself: some time after the last commit, but how long that
 * takes on a busy machine nobody knows. */
static void mark_wait(const struct log *log) {
    const char *row;
    for (int i = 0; watermark_read(log, &row) < log->last; i++) {
        must(i < 20000, log, "no mark for LSN %" PRIu64, log->last);
        usleep(1000);
    }
}

static void combination_test(const char *directory, int combination) {
    struct log log;
    struct dwal_options options;
    struct dwal_error error;
    const char *row;
    options_choose(combination, &options, log.text);
    snprintf(log.path, sizeof log.path, "%s/%d", directory, combination);
    int code = dwal_open(log.path, &options, &log.log, &error);
    must(code == DWAL_OK, &log, "%s", error.text);
    commit(&log);
    commit(&log);
    commit_many(&log);
    code = dwal_rotate(log.log, &error);
    must(code == DWAL_OK, &log, "%s", error.text);
    watermark_expect(&log, log.last);
    commit(&log);
    commit_many(&log);
    if (options.mark_delay_ms > 0)
        mark_wait(&log);
    code = dwal_close(log.log, &error);
    must(code == DWAL_OK, &log, "%s", error.text);
    uint64_t lsn = watermark_read(&log, &row);
    must(lsn == log.last, &log, "%" PRIu64, lsn);
    must(strcmp(row, "closed") == 0, &log, "%s", row);
    struct dwal__disk *disk = dwal__disk_kernel();
    int dir = disk->ops->dir_open(disk, log.path);
    char name[DWAL__NAME_SIZE];
    for (uint64_t number = 1; number < 16; number++) {
        dwal__segment_name(number, name);
        disk->ops->unlink(disk, dir, name);
    }
    disk->ops->close(disk, dir);
}

struct work {
    const char *directory;
    atomic_int next;
};

static void *combinations_work(void *argument) {
    struct work *work = argument;
    int combination;
    while ((combination = work->next++) < COUNT)
        combination_test(work->directory, combination);
    return NULL;
}

static void test_every_combination(void **state) {
    struct work work = {.directory = *state};
    pthread_t threads[THREADS];
    int count = 1;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        count *= values[i];
    assert_int_equal(count, COUNT);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, combinations_work, &work), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        test_every_combination, tempdir_setup, tempdir_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
