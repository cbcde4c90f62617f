/* SPDX-License-Identifier: MIT */
/*
 * The library on real files: what goes in comes out, with its LSN, its type,
 * its bytes; on an open log, a closed one and a reopened one; at every size
 * around the edges of blocks, batches and segments.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/reader.h"
#include "src/log.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define SEGMENT (64u << 10)

static struct dwal_options options_small(int create) {
    struct dwal_options options = log_options(SEGMENT);
    options.create = create;
    return options;
}

/* Bytes of record @lsn that nobody could guess. */
static void payload_make(uint8_t *bytes, uint32_t size, uint64_t lsn) {
    uint64_t state = lsn * 1000003 + size;
    check_fill(&state, bytes, size);
}

static struct dwal_record record_make(uint8_t *bytes, uint32_t size,
                                      uint64_t lsn) {
    payload_make(bytes, size, lsn);
    return (struct dwal_record){.data = bytes,
                                .size = size,
                                .type = (uint16_t)(lsn * 7),
                                .flags = (uint16_t)(lsn * 13),
                                .tenant = (uint32_t)lsn * 17,
                                .shard = (uint32_t)lsn * 19};
}

static void commit(struct dwal *log, uint64_t lsn, uint32_t size) {
    uint8_t *bytes = malloc(size + 1);
    struct dwal_record record = record_make(bytes, size, lsn);
    struct dwal_error error;
    uint64_t got = 0;
    if (dwal_commit(log, &record, &got, &error) != DWAL_OK)
        fail_msg("commit %llu: %s", (unsigned long long)lsn, error.text);
    assert_int_equal(got, lsn);
    assert_true(dwal_durable_lsn(log) >= lsn);
    free(bytes);
}

/* Reads @path from @first to the end: LSNs @first … @last with sizes[lsn]. */
static void verify(const char *path, uint64_t first, uint64_t last,
                   const uint32_t *sizes) {
    struct dwal_cursor *cursor;
    struct dwal_error error;
    struct dwal_record got;
    if (dwal_cursor_open(path, NULL, &cursor, &error) != DWAL_OK)
        fail_msg("%s", error.text);
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        if (dwal_cursor_next(cursor, &got, &error) != DWAL_OK)
            fail_msg("LSN %llu: %s", (unsigned long long)lsn, error.text);
        uint8_t *bytes = malloc(sizes[lsn] + 1);
        struct dwal_record expected = record_make(bytes, sizes[lsn], lsn);
        assert_int_equal(got.lsn, lsn);
        assert_int_equal(got.size, expected.size);
        assert_int_equal(got.type, expected.type);
        assert_int_equal(got.flags, expected.flags);
        assert_int_equal(got.tenant, expected.tenant);
        assert_int_equal(got.shard, expected.shard);
        assert_memory_equal(got.data, bytes, got.size);
        free(bytes);
    }
    assert_int_equal(dwal_cursor_next(cursor, &got, &error), DWAL_END);
    dwal_cursor_close(cursor);
}

/* ---- opening ---- */

static void test_open_modes(void **state) {
    const char *path = *state;
    struct dwal_error error;
    struct dwal *log, *second;
    struct dwal_options options = options_small(DWAL_CREATE_NEVER);
    assert_int_equal(dwal_open(path, &options, &log, &error), DWAL_ENOENT);
    assert_int_equal(tempdir_count(path, ""), 2); /* . and .. */
    char orphan[4096];
    snprintf(orphan, sizeof orphan, "%s/none/log", path);
    options.create = DWAL_CREATE_IF_ABSENT;
    assert_int_equal(dwal_open(orphan, &options, &log, &error), DWAL_ENOENT);
    options.create = DWAL_CREATE_NEW;
    error = (struct dwal_error){.text = "untouched"};
    assert_int_equal(dwal_open(path, &options, &log, &error), DWAL_OK);
    assert_string_equal(error.text, "untouched"); /* filled by failures only */
    assert_int_equal(dwal_open(path, &options, &second, &error), DWAL_EBUSY);
    assert_non_null(strstr(error.text, "locked by process"));
    log_close(log);
    assert_int_equal(dwal_open(path, &options, &log, &error), DWAL_EEXIST);
    options.create = DWAL_CREATE_IF_ABSENT;
    log_close(log_open(path, &options));
}

static void test_options_limits(void **state) {
    struct dwal_error error;
    struct dwal *log;
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    options.segment_size = SEGMENT + 512;
    assert_int_equal(dwal_open(*state, &options, &log, &error), DWAL_EINVAL);
    assert_non_null(strstr(error.text, "segment_size"));
    options = options_small(DWAL_CREATE_NEW);
    options.in_flight_max = 0;
    assert_int_equal(dwal_open(*state, &options, &log, &error), DWAL_EINVAL);
    assert_non_null(strstr(error.text, "in_flight_max"));
    options = options_small(DWAL_CREATE_NEW);
    options.size--;
    assert_int_equal(dwal_open(*state, &options, &log, &error), DWAL_EINVAL);
    assert_int_equal(dwal_options_preset(&options, 3), DWAL_EINVAL);
}

/* [new-epoch]: opening and closing an existing log changes no byte. */
static void test_open_changes_nothing(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    commit(log, 1, 100);
    log_close(log);
    unsigned long before = tempdir_digest(*state);
    options.create = DWAL_CREATE_NEVER;
    log_close(log_open(*state, &options));
    log = log_open(*state, &options);
    assert_int_equal(dwal_durable_lsn(log), 1);
    assert_int_equal(dwal_wait(log, 1, 0, NULL), DWAL_OK);
    assert_int_equal(dwal_wait(log, 2, 0, NULL), DWAL_EINVAL);
    log_close(log);
    assert_int_equal(tempdir_digest(*state), before);
}

/* SPEC 8: who does not know a read-only-compatible feature reads, but does not
 * write. */
static void test_newer_feature(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    commit(log, 1, 100);
    log_close(log);
    char name[4200];
    uint8_t block[4096];
    snprintf(name, sizeof name, "%s/0000000000000002.wal",
             (const char *)*state);
    FILE *file = fopen(name, "r+b");
    struct dwal__segment_header header;
    assert_true(file != NULL && fread(block, sizeof block, 1, file) == 1);
    assert_int_equal(dwal__segment_header_decode(block, sizeof block, &header),
                     DWAL__FAULT_NONE);
    header.features_read_only = 4;
    dwal__segment_header_encode(&header, block);
    assert_true(fseek(file, 0, SEEK_SET) == 0 &&
                fwrite(block, sizeof block, 1, file) == 1 && fclose(file) == 0);
    struct dwal_error error;
    options.create = DWAL_CREATE_NEVER;
    assert_int_equal(dwal_open(*state, &options, &log, &error), DWAL_EVERSION);
    assert_non_null(strstr(error.text, "00000004"));
    static const uint32_t sizes[] = {0, 100};
    verify(*state, 1, 1, sizes);
}

/* ---- round trips ---- */

/* Every size around the edges, small and large, over many segments. */
static void test_sizes(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    static uint32_t sizes[4096];
    uint32_t max = dwal_record_size_max(log);
    uint64_t lsn = 0;
    static const uint32_t edges[] = {0, 8, 3936, 4096, 8032, 32768};
    for (size_t e = 0; e < sizeof edges / sizeof edges[0]; e++)
        for (uint32_t size = edges[e] < 20 ? 0 : edges[e] - 20;
             size <= edges[e] + 20; size++)
            sizes[++lsn] = size;
    for (uint32_t size = max - 20; size <= max; size++)
        sizes[++lsn] = size;
    for (uint64_t at = 1; at <= lsn; at++)
        commit(log, at, sizes[at]);
    verify(*state, 1, lsn, sizes);
    log_close(log);
    verify(*state, 1, lsn, sizes);
    options.create = DWAL_CREATE_NEVER;
    log = log_open(*state, &options);
    assert_int_equal(dwal_durable_lsn(log), lsn);
    sizes[lsn + 1] = 5;
    commit(log, lsn + 1, 5);
    verify(*state, 1, lsn + 1, sizes);
    log_close(log);
}

/* Not waited for: batches of many records, and pages of the ring again. */
static void test_append_many(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    enum { COUNT = 20000 };
    static uint32_t sizes[COUNT + 1];
    static uint8_t bytes[2048];
    uint64_t random = check_seed(1);
    for (uint64_t lsn = 1; lsn <= COUNT; lsn++) {
        sizes[lsn] = (uint32_t)(check_random(&random) % 600);
        struct dwal_record record = record_make(bytes, sizes[lsn], lsn);
        uint64_t got;
        assert_int_equal(dwal_append(log, &record, &got, NULL), DWAL_OK);
        assert_int_equal(got, lsn);
    }
    assert_int_equal(dwal_wait(log, COUNT, -1, NULL), DWAL_OK);
    verify(*state, 1, COUNT, sizes);
    log_close(log);
    verify(*state, 1, COUNT, sizes);
}

static void test_too_large(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    uint32_t max = dwal_record_size_max(log);
    uint8_t *bytes = calloc(1, max + 1);
    struct dwal_record record = {.data = bytes, .size = max + 1};
    uint64_t lsn = 77;
    struct dwal_error error;
    assert_int_equal(dwal_commit(log, &record, &lsn, &error), DWAL_EINVAL);
    assert_int_equal(lsn, 77);
    record.size = max;
    assert_int_equal(dwal_commit(log, &record, &lsn, &error), DWAL_OK);
    assert_int_equal(lsn, 1);
    struct dwal_record two[2] = {record, record};
    assert_int_equal(dwal_append_batch(log, two, 2, &lsn, &error), DWAL_EINVAL);
    assert_int_equal(dwal_append_batch(log, two, 0, &lsn, &error), DWAL_EINVAL);
    free(bytes);
    log_close(log);
}

static void test_no_record(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    struct dwal_record record = {.data = NULL, .size = 1};
    uint64_t lsn = 77;
    struct dwal_error error;
    assert_int_equal(dwal_append(log, NULL, &lsn, &error), DWAL_EINVAL);
    assert_non_null(strstr(error.text, "no record: NULL"));
    assert_int_equal(dwal_append(log, &record, &lsn, &error), DWAL_EINVAL);
    assert_non_null(strstr(error.text, "data is NULL"));
    record.size = dwal_record_size_max(log) + 1;
    record.data = &record; /* refused before it is read */
    assert_int_equal(dwal_append(log, &record, &lsn, &error), DWAL_EINVAL);
    assert_non_null(strstr(error.text, "raise segment_size"));
    assert_int_equal(lsn, 77);
    record = (struct dwal_record){.data = NULL, .size = 0};
    assert_int_equal(dwal_append(log, &record, &lsn, &error), DWAL_OK);
    assert_int_equal(lsn, 1);
    log_close(log);
}

static void test_default_takes_16_mib(void **state) {
    struct dwal_options options;
    dwal_options_init(&options);
    options.create = DWAL_CREATE_NEW;
    for (int preset = DWAL_PRESET_LATENCY; preset <= DWAL_PRESET_THROUGHPUT;
         preset++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d", (const char *)*state, preset);
        dwal_options_preset(&options, preset);
        struct dwal *log = log_open(path, &options);
        assert_true(dwal_record_size_max(log) >= 16u << 20);
        commit(log, 1, 16u << 20);
        commit(log, 2, 3);
        uint32_t sizes[] = {0, 16u << 20, 3};
        verify(path, 1, 2, sizes);
        log_close(log);
        verify(path, 1, 2, sizes);
    }
}

static void test_batch(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    static uint8_t bytes[100][64];
    struct dwal_record records[100];
    static uint32_t sizes[1001];
    uint64_t first;
    for (uint64_t base = 1; base <= 901; base += 100) {
        for (unsigned i = 0; i < 100; i++) {
            sizes[base + i] = i % 64;
            records[i] = record_make(bytes[i], i % 64, base + i);
        }
        assert_int_equal(dwal_append_batch(log, records, 100, &first, NULL),
                         DWAL_OK);
        assert_int_equal(first, base);
    }
    assert_int_equal(dwal_wait(log, 1000, -1, NULL), DWAL_OK);
    log_close(log);
    verify(*state, 1, 1000, sizes);
}

/* ---- segments ---- */

static void test_rotate_and_trim(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    static uint32_t sizes[64];
    uint64_t lsn = 0;
    for (unsigned segment = 0; segment < 6; segment++) {
        for (unsigned i = 0; i < 5; i++) {
            sizes[++lsn] = 1000 + i;
            commit(log, lsn, sizes[lsn]);
        }
        assert_int_equal(dwal_rotate(log, NULL), DWAL_OK);
        /* Nothing is in the new one: a second call has nothing to do. */
        unsigned files = tempdir_count(*state, ".wal");
        assert_int_equal(dwal_rotate(log, NULL), DWAL_OK);
        assert_true(tempdir_count(*state, ".wal") <= files + 1);
    }
    assert_true(tempdir_count(*state, ".wal") >= 7);
    assert_int_equal(dwal_trim(log, 32, NULL), DWAL_EINVAL);
    assert_int_equal(dwal_trim(log, 18, NULL), DWAL_OK);
    assert_int_equal(dwal_first_lsn(log), 18);
    /* LSNs 1 to 15 were three segments: 1, 2, and behind the two spares 5. */
    static const unsigned numbers[] = {1, 2, 5, 6};
    char name[4200];
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/%016x.wal", (const char *)*state,
                 numbers[i]);
        assert_int_equal(access(name, F_OK) == 0, i == 3);
    }
    verify(*state, 18, 30, sizes);
    struct dwal_cursor_options at = {.size = sizeof at, .start_lsn = 17};
    struct dwal_cursor *cursor;
    assert_int_equal(dwal_cursor_open(*state, &at, &cursor, NULL),
                     DWAL_ETRIMMED);
    log_close(log);
    verify(*state, 18, 30, sizes);
    options.create = DWAL_CREATE_NEVER;
    log = log_open(*state, &options);
    assert_int_equal(dwal_first_lsn(log), 18);
    assert_int_equal(dwal_durable_lsn(log), 30);
    sizes[31] = 7;
    commit(log, 31, 7);
    verify(*state, 18, 31, sizes);
    /* Everything, and files do not pile up. */
    assert_int_equal(dwal_trim(log, 32, NULL), DWAL_OK);
    assert_int_equal(dwal_rotate(log, NULL), DWAL_OK);
    verify(*state, 32, 31, sizes);
    log_close(log);
    assert_true(tempdir_count(*state, ".wal") <= 5);
    /* The reserve, and what is used from one trim to the next. */
    assert_true(tempdir_count(*state, ".spare") <= 2 + 4);
}

/* [retire] A reader of a live log whose every record was trimmed, and which
 * went on in a new segment, finds nothing, and nothing wrong: each file that is
 * gone is explained by a watermark on disk. */
static void test_live_reader_after_trim(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    for (uint64_t round = 0; round < 5; round++) {
        for (uint64_t i = 1; i <= 3; i++)
            commit(log, 3 * round + i, 10);
        assert_int_equal(dwal_trim(log, 3 * round + 4, NULL), DWAL_OK);
        assert_int_equal(dwal_rotate(log, NULL), DWAL_OK);
        struct dwal__disk *disk = dwal__disk_kernel();
        struct dwal__reader_options look = {
            .disk = disk, .dir = disk->ops->dir_open(disk, *state)};
        struct dwal__reader *reader;
        struct dwal__reader_item item;
        struct dwal_error error;
        if (dwal__reader_open(&look, &reader, &error) != DWAL_OK)
            fail_msg("%s", error.text);
        assert_true(dwal__reader_live(reader));
        int code = dwal__reader_next(reader, &item, &error);
        check_that(code == DWAL_END, "round %llu: %s",
                   (unsigned long long)round, error.text);
        dwal__reader_close(reader);
        disk->ops->close(disk, look.dir);
    }
    log_close(log);
}

/* A trimmed log runs on a bounded number of files. */
static void test_recycling(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    static uint32_t sizes[2001];
    for (uint64_t lsn = 1; lsn <= 2000; lsn++) {
        sizes[lsn] = (uint32_t)(lsn % 3000);
        commit(log, lsn, sizes[lsn]);
        if (lsn % 50 == 0)
            assert_int_equal(dwal_trim(log, lsn - 20, NULL), DWAL_OK);
        if (lsn % 500 == 0)
            verify(*state, lsn - 20, lsn, sizes);
    }
    assert_true(tempdir_count(*state, ".wal") <= 10);
    /* The reserve, and what is used from one trim to the next. */
    assert_true(tempdir_count(*state, ".spare") <= 2 + 4);
    log_close(log);
    verify(*state, 1980, 2000, sizes);
}

static void test_reopen_often(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_IF_ABSENT);
    static uint32_t sizes[101];
    for (uint64_t lsn = 1; lsn <= 100; lsn++) {
        struct dwal *log = log_open(*state, &options);
        assert_int_equal(dwal_durable_lsn(log), lsn - 1);
        sizes[lsn] = (uint32_t)lsn * 10;
        commit(log, lsn, sizes[lsn]);
        log_close(log);
    }
    verify(*state, 1, 100, sizes);
    /* What each of the opens prepared was retired by the next one. */
    assert_true(tempdir_count(*state, ".wal") > 100);
    assert_true(tempdir_count(*state, ".wal") <= 100 + DWAL__PREPARED_MAX);
    /* The reserve, and what is used from one trim to the next. */
    assert_true(tempdir_count(*state, ".spare") <= 2 + 4);
}

static void test_age(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    options.segment_age_max_ms = 1;
    struct dwal *log = log_open(*state, &options);
    static uint32_t sizes[41];
    for (uint64_t lsn = 1; lsn <= 40; lsn++) {
        sizes[lsn] = 10;
        commit(log, lsn, 10);
        int64_t until = dwal__now_ns() + 2 * DWAL__NS_PER_MS;
        while (dwal__now_ns() < until) /* the age itself, not a handshake */
            ;
    }
    log_close(log);
    assert_true(tempdir_count(*state, ".wal") >= 40);
    verify(*state, 1, 40, sizes);
}

/* ---- threads ---- */

struct worker {
    struct dwal *log;
    pthread_t thread;
    unsigned id;
    uint64_t lsns[400];
};

enum { WORKERS = 8 };

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    for (unsigned i = 0; i < 400; i++) {
        uint8_t payload[300];
        uint32_t size = 8 + (worker->id * 37 + i) % 280;
        memset(payload, (int)(worker->id + i), sizeof payload);
        memcpy(payload, &worker->id, 4);
        memcpy(payload + 4, &i, 4);
        struct dwal_record record = {
            .data = payload, .size = size, .tenant = worker->id, .shard = i};
        struct dwal_error error;
        int code = dwal_commit(worker->log, &record, &worker->lsns[i], &error);
        if (code != DWAL_OK)
            print_error("%s\n", error.text);
        if (code != DWAL_OK || dwal_durable_lsn(worker->log) < worker->lsns[i])
            worker->lsns[i] = 0;
    }
    return NULL;
}

/* Everybody's LSN is the one under which its own record is found. */
static void threads_check(const char *path, struct worker *workers) {
    struct dwal_cursor *cursor;
    struct dwal_record got;
    uint64_t seen = 0;
    assert_int_equal(dwal_cursor_open(path, NULL, &cursor, NULL), DWAL_OK);
    while (dwal_cursor_next(cursor, &got, NULL) == DWAL_OK) {
        assert_int_equal(got.lsn, ++seen);
        assert_true(got.tenant < WORKERS && got.shard < 400);
        assert_int_equal(workers[got.tenant].lsns[got.shard], got.lsn);
        assert_memory_equal(got.data, &got.tenant, 4);
        assert_memory_equal((const uint8_t *)got.data + 4, &got.shard, 4);
    }
    assert_int_equal(seen, WORKERS * 400);
    dwal_cursor_close(cursor);
}

static void threads_run(const char *path, int preset, int sync) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    dwal_options_preset(&options, preset);
    options.sync = sync;
    options.mark_delay_ms = 1;
    struct dwal *log = log_open(path, &options);
    static struct worker workers[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.log = log, .id = i};
        pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    threads_check(path, workers);
    log_close(log);
    threads_check(path, workers);
}

static void test_threads_caller(void **state) {
    threads_run(*state, DWAL_PRESET_LATENCY, DWAL_SYNC_DSYNC);
}

static void test_threads_thread(void **state) {
    threads_run(*state, DWAL_PRESET_BALANCED, DWAL_SYNC_AUTO);
}

static void test_threads_fdsync(void **state) {
    threads_run(*state, DWAL_PRESET_THROUGHPUT, DWAL_SYNC_FDSYNC);
}

/* A cursor that follows a writer in the same process sees every record, in
 * order, as soon as it is durable, through segments, trims and the close. */
static void test_follow(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    struct dwal_cursor *cursor;
    struct dwal_record got;
    assert_int_equal(dwal_cursor_open(*state, NULL, &cursor, NULL), DWAL_OK);
    for (uint64_t lsn = 1; lsn <= 300; lsn++) {
        assert_int_equal(dwal_cursor_next(cursor, &got, NULL), DWAL_END);
        commit(log, lsn, 900);
        struct dwal_error error;
        if (dwal_cursor_next(cursor, &got, &error) != DWAL_OK)
            fail_msg("%llu: %s", (unsigned long long)lsn, error.text);
        assert_int_equal(got.lsn, lsn);
        if (lsn % 100 == 0)
            assert_int_equal(dwal_trim(log, lsn - 5, NULL), DWAL_OK);
    }
    struct dwal_record record = {.data = "last", .size = 4};
    assert_int_equal(dwal_append(log, &record, NULL, NULL), DWAL_OK);
    log_close(log);
    assert_int_equal(dwal_cursor_next(cursor, &got, NULL), DWAL_OK);
    assert_int_equal(got.lsn, 301);
    assert_int_equal(dwal_cursor_next(cursor, &got, NULL), DWAL_END);
    /* And goes on with the next writer. */
    options.create = DWAL_CREATE_NEVER;
    log = log_open(*state, &options);
    commit(log, 302, 5);
    int code = dwal_cursor_next(cursor, &got, NULL);
    assert_true(code == DWAL_OK || code == DWAL_END);
    log_close(log);
    if (code == DWAL_END)
        assert_int_equal(dwal_cursor_next(cursor, &got, NULL), DWAL_OK);
    assert_int_equal(got.lsn, 302);
    dwal_cursor_close(cursor);
}

static void test_cursor_filters(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    struct dwal *log = log_open(*state, &options);
    for (uint64_t lsn = 1; lsn <= 60; lsn++) {
        struct dwal_record record = {.type = (uint16_t)(lsn % 2),
                                     .tenant = (uint32_t)(lsn % 3),
                                     .shard = (uint32_t)(lsn % 5)};
        assert_int_equal(dwal_append(log, &record, NULL, NULL), DWAL_OK);
    }
    log_close(log);
    struct dwal_cursor_options filter;
    struct dwal_cursor *cursor;
    struct dwal_record got;
    dwal_cursor_options_init(&filter);
    filter.filter_type = filter.filter_tenant = filter.filter_shard = 1;
    filter.type = 1;
    filter.tenant = 2;
    filter.shard = 3;
    assert_int_equal(dwal_cursor_open(*state, &filter, &cursor, NULL), DWAL_OK);
    for (uint64_t lsn = 23; lsn <= 60; lsn += 30) {
        assert_int_equal(dwal_cursor_next(cursor, &got, NULL), DWAL_OK);
        assert_int_equal(got.lsn, lsn);
    }
    assert_int_equal(dwal_cursor_next(cursor, &got, NULL), DWAL_END);
    assert_int_equal(dwal_cursor_seek(cursor, 50, NULL), DWAL_OK);
    assert_int_equal(dwal_cursor_next(cursor, &got, NULL), DWAL_OK);
    assert_int_equal(got.lsn, 53);
    assert_int_equal(dwal_cursor_seek(cursor, 0, NULL), DWAL_OK);
    assert_int_equal(dwal_cursor_next(cursor, &got, NULL), DWAL_OK);
    assert_int_equal(got.lsn, 23);
    dwal_cursor_close(cursor);
}

/* ---- many logs, killed processes ---- */

static void test_many_logs(void **state) {
    enum { LOGS = 20 };
    struct dwal *logs[LOGS];
    struct dwal_options options = options_small(DWAL_CREATE_NEW);
    char path[4200];
    for (unsigned i = 0; i < LOGS; i++) {
        snprintf(path, sizeof path, "%s/%u", (const char *)*state, i);
        logs[i] = log_open(path, &options);
        commit(logs[i], 1, i);
    }
    for (unsigned i = 0; i < LOGS; i++) {
        commit(logs[i], 2, i + 1);
        log_close(logs[i]);
        uint32_t sizes[] = {0, i, i + 1};
        snprintf(path, sizeof path, "%s/%u", (const char *)*state, i);
        verify(path, 1, 2, sizes);
    }
}

/* What a process had committed when it died without a word is there. */
static void test_exit_without_close(void **state) {
    struct dwal_options options = options_small(DWAL_CREATE_IF_ABSENT);
    static uint32_t sizes[301];
    for (uint64_t lsn = 1; lsn <= 300; lsn++)
        sizes[lsn] = (uint32_t)lsn;
    for (uint64_t base = 0; base < 300; base += 30) {
        pid_t child = fork();
        if (child == 0) {
            struct dwal *log;
            if (dwal_open(*state, &options, &log, NULL) != DWAL_OK)
                _exit(1);
            for (uint64_t lsn = base + 1; lsn <= base + 30; lsn++) {
                uint8_t bytes[400];
                struct dwal_record record = record_make(bytes, sizes[lsn], lsn);
                uint64_t got;
                if (dwal_commit(log, &record, &got, NULL) != DWAL_OK ||
                    got != lsn)
                    _exit(2);
            }
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        verify(*state, 1, base + 30, sizes);
    }
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_open_modes),
        TEST(test_options_limits),
        TEST(test_open_changes_nothing),
        TEST(test_newer_feature),
        TEST(test_sizes),
        TEST(test_append_many),
        TEST(test_too_large),
        TEST(test_no_record),
        TEST(test_default_takes_16_mib),
        TEST(test_batch),
        TEST(test_rotate_and_trim),
        TEST(test_recycling),
        TEST(test_live_reader_after_trim),
        TEST(test_reopen_often),
        TEST(test_age),
        TEST(test_threads_caller),
        TEST(test_threads_thread),
        TEST(test_threads_fdsync),
        TEST(test_follow),
        TEST(test_cursor_filters),
        TEST(test_many_logs),
        TEST(test_exit_without_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
