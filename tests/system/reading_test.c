/* SPDX-License-Identifier: MIT */
/*
 * Reading in bulk: every range, every size of buffer, the order of records and
 * of what stands in their way.
 */
#include <fcntl.h>
#include <unistd.h>

#include "format/layout.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define SIZE_LARGEST 3000u
#define BLOCK 4096u

/* The payload of the @version-th record that had this LSN. */
static uint32_t payload_make(uint64_t lsn, unsigned version, uint8_t *bytes) {
    uint64_t state = lsn * 16 + version;
    uint32_t size = (uint32_t)(check_random(&state) % SIZE_LARGEST);
    if (lsn % 7 == 0)
        size = 0;
    check_fill(&state, bytes, size);
    return size;
}

/* Records up to @last, the next ones, in batches of up to five. */
static void append(struct dwal *log, uint64_t last, unsigned version) {
    static uint8_t bytes[5][SIZE_LARGEST];
    struct dwal_record records[5];
    struct dwal_error error;
    uint64_t lsn = dwal_durable_lsn(log) + 1;
    while (lsn <= last) {
        size_t count = 0;
        for (; count < 1 + lsn % 5 && lsn + count <= last; count++)
            records[count] = (struct dwal_record){
                .data = bytes[count],
                .size = payload_make(lsn + count, version, bytes[count]),
                .type = (uint16_t)((lsn + count) % 3),
                .flags = (uint16_t)(lsn + count),
                .tenant = (uint32_t)(lsn + count) * 3,
                .shard = (uint32_t)(lsn + count) * 5};
        uint64_t first;
        log_done(dwal_append_batch(log, records, count, &first, &error),
                 &error);
        assert_int_equal(first, lsn);
        lsn += count;
        log_done(dwal_wait(log, lsn - 1, -1, &error), &error);
    }
}

static void record_check(const struct dwal_record *record, uint64_t lsn,
                         unsigned version) {
    static uint8_t bytes[SIZE_LARGEST];
    assert_int_equal(record->lsn, lsn);
    assert_int_equal(record->size, payload_make(lsn, version, bytes));
    if (record->size > 0)
        assert_memory_equal(record->data, bytes, record->size);
    assert_int_equal(record->type, lsn % 3);
    assert_int_equal(record->flags, (uint16_t)lsn);
    assert_int_equal(record->tenant, lsn * 3);
    assert_int_equal(record->shard, lsn * 5);
}

static struct dwal *small_open(const char *path) {
    struct dwal_options options = log_options(64 << 10);
    options.block_size = BLOCK;
    return log_open(path, &options);
}

static struct dwal_cursor *
cursor_open(const char *path, const struct dwal_cursor_options *options) {
    struct dwal_cursor *cursor;
    struct dwal_error error;
    log_done(dwal_cursor_open(path, options, &cursor, &error), &error);
    return cursor;
}

/* ---- bulk ---- */

struct bulk {
    struct dwal_cursor *cursor;
    uint8_t buffer[64 << 10];
    size_t size;
    struct dwal_record records[64];
    size_t room, count, needed;
    struct dwal_error error;
};

static int bulk_load(struct bulk *bulk, uint64_t last) {
    return dwal_cursor_load(bulk->cursor, last, bulk->buffer, bulk->size,
                            bulk->records, bulk->room, &bulk->count,
                            &bulk->needed, &bulk->error);
}

/* Where they are put, and what they are; the LSN behind the last one. */
static uint64_t bulk_check(const struct bulk *bulk, uint64_t lsn) {
    size_t at = 0;
    assert_in_range(bulk->count, 1, bulk->room);
    for (size_t i = 0; i < bulk->count; i++) {
        const struct dwal_record *record = &bulk->records[i];
        record_check(record, lsn + i, 0);
        if (record->size > 0)
            assert_ptr_equal(record->data, bulk->buffer + at);
        at = (at + record->size + 7) / 8 * 8;
    }
    return lsn + bulk->count;
}

#define LAST 200

static void test_ranges(void **state) {
    struct dwal *log = small_open(*state);
    append(log, LAST, 0);
    static struct bulk bulk;
    bulk.cursor = cursor_open(*state, NULL);
    uint64_t seed = check_seed(1);
    for (int closed = 0; closed <= 1; closed++) {
        for (int round = 0; round < 200; round++) {
            uint64_t lsn = 1 + check_random(&seed) % LAST;
            uint64_t last = lsn + check_random(&seed) % LAST;
            bulk.size = SIZE_LARGEST + check_random(&seed) % 50000;
            bulk.room = 1 + check_random(&seed) % 64;
            log_done(dwal_cursor_seek(bulk.cursor, lsn, &bulk.error),
                     &bulk.error);
            uint64_t until = last < LAST ? last : LAST;
            while (lsn <= until) {
                log_done(bulk_load(&bulk, last), &bulk.error);
                lsn = bulk_check(&bulk, lsn);
            }
            assert_int_equal(lsn, until + 1);
            bulk.count = 77;
            int code = bulk_load(&bulk, last);
            assert_int_equal(code, last <= LAST ? DWAL_OK : DWAL_END);
            assert_int_equal(bulk.count, last <= LAST ? 0 : 77);
        }
        if (closed == 0)
            log_close(log);
    }
    dwal_cursor_close(bulk.cursor);
}

/* What does not fit is said, and left where it is. */
static void test_small_buffer(void **state) {
    struct dwal *log = small_open(*state);
    append(log, 20, 0);
    static struct bulk bulk;
    bulk.cursor = cursor_open(*state, NULL);
    bulk.room = 64;
    for (uint64_t lsn = 1; lsn <= 20;) {
        bulk.size = 0;
        int code = bulk_load(&bulk, UINT64_MAX);
        if (code == DWAL_EINVAL) {
            static uint8_t bytes[SIZE_LARGEST];
            assert_int_equal(bulk.needed, payload_make(lsn, 0, bytes));
            bulk.size = bulk.needed - 1;
            assert_int_equal(bulk_load(&bulk, UINT64_MAX), DWAL_EINVAL);
            bulk.size = bulk.needed;
            code = bulk_load(&bulk, UINT64_MAX);
        }
        log_done(code, &bulk.error);
        lsn = bulk_check(&bulk, lsn);
    }
    /* Nowhere at all. */
    struct dwal_record record;
    size_t count = 5;
    log_done(dwal_cursor_seek(bulk.cursor, 7, NULL), NULL);
    assert_int_equal(dwal_cursor_load(bulk.cursor, 7, NULL, 0, &record, 1,
                                      &count, NULL, NULL),
                     DWAL_OK); /* it is empty */
    assert_true(count == 1 && record.lsn == 7 && record.size == 0);
    assert_int_equal(dwal_cursor_load(bulk.cursor, 9, NULL, 8, &record, 1,
                                      &count, NULL, NULL),
                     DWAL_EINVAL);
    assert_int_equal(dwal_cursor_load(bulk.cursor, 9, bulk.buffer, 8, &record,
                                      0, &count, NULL, NULL),
                     DWAL_EINVAL);
    assert_int_equal(count, 1);
    dwal_cursor_close(bulk.cursor);
    log_close(log);
}

static void test_filters(void **state) {
    struct dwal *log = small_open(*state);
    append(log, LAST, 0);
    struct dwal_cursor_options options;
    dwal_cursor_options_init(&options);
    options.filter_type = 1;
    options.type = 2;
    static struct bulk bulk;
    bulk.cursor = cursor_open(*state, &options);
    bulk.size = sizeof bulk.buffer;
    bulk.room = 5;
    uint64_t lsn = 2;
    int code;
    while ((code = bulk_load(&bulk, LAST - 20)) == DWAL_OK && bulk.count > 0)
        for (size_t i = 0; i < bulk.count; i++, lsn += 3)
            record_check(&bulk.records[i], lsn, 0);
    log_done(code, &bulk.error);
    assert_true(lsn > LAST - 20 && lsn <= LAST - 20 + 3);
    /* Records one by one go on where the range ended. */
    struct dwal_record record;
    log_done(dwal_cursor_next(bulk.cursor, &record, &bulk.error), &bulk.error);
    record_check(&record, lsn, 0);
    dwal_cursor_close(bulk.cursor);
    log_close(log);
}

/* ---- damage ---- */

/* Flips a byte of the payload of @lsn, the only one of its bytes in the file.
 * The name of the file is that with the number @segment. */
static void payload_damage(const char *path, uint64_t segment, uint64_t lsn) {
    static uint8_t file[64 << 10], bytes[SIZE_LARGEST];
    char name[4200];
    uint32_t size = payload_make(lsn, 0, bytes);
    assert_true(size > 16);
    snprintf(name, sizeof name, "%s/%016llx.wal", path,
             (unsigned long long)segment);
    int handle = open(name, O_RDWR);
    assert_true(handle >= 0);
    assert_int_equal(read(handle, file, sizeof file), sizeof file);
    uint8_t *found = memmem(file, sizeof file, bytes, size);
    assert_non_null(found);
    found[size / 2] ^= 1;
    assert_int_equal(pwrite(handle, found, size, found - file), size);
    close(handle);
}

/* Records before damage come first; then it is told, again and again. */
static void test_damage(void **state) {
    struct dwal_options options = log_options(64 << 10);
    struct dwal *log = log_open(*state, &options);
    for (uint64_t lsn = 1; lsn <= 10; lsn++)
        append(log, lsn, 0); /* a batch each */
    payload_damage(*state, 1, 6);
    static struct bulk bulk;
    bulk.cursor = cursor_open(*state, NULL);
    bulk.size = sizeof bulk.buffer;
    bulk.room = 64;
    log_done(bulk_load(&bulk, 10), &bulk.error);
    assert_int_equal(bulk_check(&bulk, 1), 6);
    bulk.count = 9;
    assert_int_equal(bulk_load(&bulk, 10), DWAL_ECORRUPT);
    assert_int_equal(bulk_load(&bulk, 10), DWAL_ECORRUPT);
    assert_int_equal(bulk.count, 9);
    log_done(dwal_cursor_seek(bulk.cursor, 7, &bulk.error), &bulk.error);
    log_done(bulk_load(&bulk, 10), &bulk.error);
    assert_int_equal(bulk_check(&bulk, 7), 11);
    dwal_cursor_close(bulk.cursor);
    log_close(log);
}

/* Cuts and trims, after what was there. */
static void test_cut_and_trimmed(void **state) {
    struct dwal *log = small_open(*state);
    append(log, 30, 0);
    static struct bulk bulk;
    bulk.cursor = cursor_open(*state, NULL);
    bulk.size = sizeof bulk.buffer;
    bulk.room = 64;
    log_done(bulk_load(&bulk, UINT64_MAX), &bulk.error);
    uint64_t lsn = bulk_check(&bulk, 1);
    while (lsn <= 30) {
        log_done(bulk_load(&bulk, UINT64_MAX), &bulk.error);
        lsn = bulk_check(&bulk, lsn);
    }
    log_done(dwal_cut(log, 12, &bulk.error), &bulk.error);
    assert_int_equal(bulk_load(&bulk, UINT64_MAX), DWAL_ECUT);
    append(log, 400, 0);
    assert_int_equal(bulk_load(&bulk, UINT64_MAX), DWAL_ECUT);
    log_done(dwal_cursor_seek(bulk.cursor, 13, &bulk.error), &bulk.error);
    log_done(dwal_trim(log, 300, &bulk.error), &bulk.error);
    int code = bulk_load(&bulk, UINT64_MAX);
    while (code == DWAL_OK)
        code = bulk_load(&bulk, UINT64_MAX);
    assert_int_equal(code, DWAL_ETRIMMED);
    dwal_cursor_close(bulk.cursor);
    log_close(log);
}

#define TEMPDIR_TEST(test)                                                     \
    cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEMPDIR_TEST(test_ranges),          TEMPDIR_TEST(test_small_buffer),
        TEMPDIR_TEST(test_filters),         TEMPDIR_TEST(test_damage),
        TEMPDIR_TEST(test_cut_and_trimmed),
    };
    return cmocka_run_group_tests_name("reading", tests, NULL, NULL);
}
