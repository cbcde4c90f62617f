/* SPDX-License-Identifier: MIT */
/*
 * Reading in bulk: every range, every size of buffer, the order of records and
 * of what stands in their way. And single records, in this process, in another
 * one, and with nobody there, while the log is cut, trimmed and damaged.
 */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/layout.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define SIZE_LARGEST 3000u
#define BLOCK 4096u
/* Large enough that places in it are looked for, not walked to. */
#define SEGMENT_SIZE (256u << 10)

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
    }
    log_done(dwal_wait(log, last, -1, &error), &error);
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

/* ---- reads of the disk ---- */

static _Atomic unsigned reads;

ssize_t __real_pread64(int handle, void *bytes, size_t size, off64_t offset);
ssize_t __wrap_pread64(int handle, void *bytes, size_t size, off64_t offset);

ssize_t __wrap_pread64(int handle, void *bytes, size_t size, off64_t offset) {
    atomic_fetch_add(&reads, 1);
    return __real_pread64(handle, bytes, size, offset);
}

static struct dwal *small_open(const char *path) {
    struct dwal_options options = log_options(SEGMENT_SIZE);
    options.block_size = BLOCK;
    options.batch_bytes_max = 2 * BLOCK; /* many of them */
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

#define LAST 600

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
    static uint8_t file[SEGMENT_SIZE], bytes[SIZE_LARGEST];
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
    struct dwal *log = small_open(*state);
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

/* ---- single records ---- */

/* Fails unless this is what dwal_cursor_get says of @lsn. */
static void get_expect(struct dwal_cursor *cursor, uint64_t lsn,
                       unsigned version, int code) {
    struct dwal_record record = {.lsn = 77};
    struct dwal_error error;
    int got = dwal_cursor_get(cursor, lsn, &record, &error);
    check_that(got == code, "LSN %llu: %d, not %d: %s", (unsigned long long)lsn,
               got, code, got == DWAL_OK ? "" : error.text);
    if (code == DWAL_OK)
        record_check(&record, lsn, version);
    else
        assert_int_equal(record.lsn, 77);
}

/* In this process, and with nobody there. */
static void test_get_all(void **state) {
    struct dwal *log = small_open(*state);
    append(log, LAST, 0);
    struct dwal_cursor *cursor = cursor_open(*state, NULL);
    uint64_t seed = check_seed(2);
    for (int closed = 0; closed <= 1; closed++) {
        for (uint64_t lsn = LAST; lsn > 0; lsn--)
            get_expect(cursor, lsn, 0, DWAL_OK);
        for (int i = 0; i < 300; i++)
            get_expect(cursor, 1 + check_random(&seed) % LAST, 0, DWAL_OK);
        get_expect(cursor, 0, 0, DWAL_EINVAL);
        get_expect(cursor, LAST + 1, 0, DWAL_END);
        get_expect(cursor, UINT64_MAX, 0, DWAL_END);
        if (closed == 0)
            log_close(log);
    }
    dwal_cursor_close(cursor);
}

/* The place of the cursor, and what it has read, are no matter of it. */
static void test_get_between(void **state) {
    struct dwal *log = small_open(*state);
    append(log, LAST, 0);
    struct dwal_cursor *cursor = cursor_open(*state, NULL);
    struct dwal_error error;
    uint64_t seed = check_seed(3);
    for (uint64_t lsn = 1; lsn <= LAST; lsn++) {
        struct dwal_record record;
        get_expect(cursor, 1 + check_random(&seed) % LAST, 0, DWAL_OK);
        log_done(dwal_cursor_next(cursor, &record, &error), &error);
        record_check(&record, lsn, 0);
    }
    dwal_cursor_close(cursor);
    log_close(log);
}

/* An LSN that is given again is the new record, in what was indexed before. */
static void test_get_cut(void **state) {
    struct dwal *log = small_open(*state);
    struct dwal_cursor *cursor = cursor_open(*state, NULL);
    struct dwal_error error;
    append(log, LAST, 0);
    for (uint64_t lsn = 1; lsn <= LAST; lsn++)
        get_expect(cursor, lsn, 0, DWAL_OK);
    unsigned version = 0;
    for (uint64_t kept = LAST - 10; kept > 100; kept -= 97) {
        log_done(dwal_cut(log, kept, &error), &error);
        get_expect(cursor, kept, 0, DWAL_OK);
        get_expect(cursor, kept + 1, 0, DWAL_ECUT);
        get_expect(cursor, LAST + 1, 0, DWAL_END);
        append(log, LAST - 1, ++version);
        for (uint64_t lsn = 1; lsn < LAST; lsn++)
            get_expect(cursor, lsn, lsn <= kept ? 0 : version, DWAL_OK);
        get_expect(cursor, LAST, 0, DWAL_ECUT);
        append(log, LAST, version);
        get_expect(cursor, LAST, version, DWAL_OK);
    }
    log_done(dwal_reset(log, 150, &error), &error);
    get_expect(cursor, 149, 0, DWAL_ETRIMMED);
    get_expect(cursor, 150, 0, DWAL_ECUT);
    append(log, 160, 9);
    get_expect(cursor, 150, 9, DWAL_OK);
    dwal_cursor_close(cursor);
    log_close(log);
}

/* Segments are trimmed and their files used again. */
static void test_get_trimmed(void **state) {
    struct dwal *log = small_open(*state);
    struct dwal_cursor *cursor = cursor_open(*state, NULL);
    struct dwal_error error;
    for (uint64_t round = 1; round <= 20; round++) {
        append(log, 100 * round, 0);
        for (uint64_t lsn = 100 * round - 50; lsn <= 100 * round; lsn++)
            get_expect(cursor, lsn, 0, DWAL_OK);
        log_done(dwal_trim(log, 100 * round - 60, &error), &error);
        get_expect(cursor, 100 * round - 61, 0, DWAL_ETRIMMED);
        get_expect(cursor, 100 * round - 60, 0, DWAL_OK);
    }
    struct dwal_stats stats = {.size = sizeof stats};
    log_done(dwal_stats_get(log, &stats, &error), &error);
    assert_true(stats.segments_recycled > 0);
    dwal_cursor_close(cursor);
    log_close(log);
}

/* What is damaged is said of itself, and of nothing else, again and again. */
static void test_get_damage(void **state) {
    struct dwal *log = small_open(*state);
    for (uint64_t lsn = 1; lsn <= 12; lsn++)
        append(log, lsn, 0); /* a batch each */
    struct dwal_cursor *cursor = cursor_open(*state, NULL);
    for (uint64_t lsn = 1; lsn <= 12; lsn++)
        get_expect(cursor, lsn, 0, DWAL_OK);
    payload_damage(*state, 1, 6);
    dwal_cursor_close(cursor);
    cursor = cursor_open(*state, NULL);
    for (int round = 0; round < 3; round++)
        for (uint64_t lsn = 1; lsn <= 12; lsn++)
            get_expect(cursor, lsn, 0, lsn == 6 ? DWAL_ECORRUPT : DWAL_OK);
    dwal_cursor_close(cursor);
    log_close(log);
}

/* How many reads of the disk it takes. */
static void test_get_reads(void **state) {
    struct dwal *log = small_open(*state);
    append(log, 5 * LAST, 0);
    struct dwal_cursor *cursor = cursor_open(*state, NULL);
    get_expect(cursor, 1, 0, DWAL_OK);
    uint64_t seed = check_seed(4);
    unsigned before = atomic_load(&reads);
    for (int i = 0; i < 200; i++)
        get_expect(cursor, 1 + check_random(&seed) % (5 * LAST), 0, DWAL_OK);
    unsigned cold = atomic_load(&reads) - before;
    for (uint64_t lsn = 1; lsn <= 5 * LAST; lsn++)
        get_expect(cursor, lsn, 0, DWAL_OK);
    before = atomic_load(&reads);
    for (int i = 0; i < 200; i++)
        get_expect(cursor, 1 + check_random(&seed) % (5 * LAST), 0, DWAL_OK);
    unsigned warm = atomic_load(&reads) - before;
    print_message("%.2f reads a get at first, %.2f with the index\n",
                  cold / 200.0, warm / 200.0);
    assert_in_range(cold, 200, 200 * 4);
    assert_in_range(warm, 150, 200);
    dwal_cursor_close(cursor);
    log_close(log);
}

/* ---- another process ---- */

struct command {
    enum { GET, STOP } what;
    uint64_t lsn;
    unsigned version;
    int code;
};

/* A process that gets what it is told to, and answers with a byte. */
struct getter {
    pid_t child;
    int to, from;
};

static int getter_main(const char *path, int from, int to) {
    struct dwal_cursor *cursor;
    struct command command;
    struct dwal_error error;
    static uint8_t bytes[SIZE_LARGEST];
    if (dwal_cursor_open(path, NULL, &cursor, &error) != DWAL_OK)
        return 1;
    while (read(from, &command, sizeof command) == sizeof command &&
           command.what == GET) {
        struct dwal_record record = {0};
        int code = dwal_cursor_get(cursor, command.lsn, &record, &error);
        uint32_t size = payload_make(command.lsn, command.version, bytes);
        bool good = code == command.code &&
                    (code != DWAL_OK ||
                     (record.lsn == command.lsn && record.size == size &&
                      (size == 0 || memcmp(record.data, bytes, size) == 0)));
        if (!good)
            fprintf(stderr, "LSN %llu: %d, not %d: %s\n",
                    (unsigned long long)command.lsn, code, command.code,
                    code == DWAL_OK ? "wrong" : error.text);
        if (write(to, &good, sizeof good) != sizeof good)
            return 1;
    }
    dwal_cursor_close(cursor);
    return 0;
}

static struct getter getter_start(const char *path) {
    int there[2], back[2];
    assert_int_equal(pipe(there), 0);
    assert_int_equal(pipe(back), 0);
    struct getter getter = {.child = fork(), .to = there[1], .from = back[0]};
    assert_true(getter.child >= 0);
    if (getter.child == 0) {
        close(there[1]);
        close(back[0]);
        _exit(getter_main(path, there[0], back[1]));
    }
    close(there[0]);
    close(back[1]);
    return getter;
}

static void getter_expect(struct getter *getter, uint64_t lsn, unsigned version,
                          int code) {
    struct command command = {GET, lsn, version, code};
    bool good;
    assert_int_equal(write(getter->to, &command, sizeof command),
                     sizeof command);
    assert_int_equal(read(getter->from, &good, sizeof good), sizeof good);
    check_that(good, "LSN %llu", (unsigned long long)lsn);
}

static void getter_stop(struct getter *getter) {
    int status;
    close(getter->to);
    close(getter->from);
    assert_int_equal(waitpid(getter->child, &status, 0), getter->child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A cut that this process was told of is known in the other one at once. */
static void test_get_elsewhere(void **state) {
    log_close(small_open(*state));
    struct getter getter = getter_start(*state);
    struct dwal *log = small_open(*state);
    struct dwal_error error;
    append(log, LAST, 0);
    append(log, LAST + 1, 0); /* whose header proves the others */
    for (uint64_t lsn = LAST; lsn > 0; lsn -= 5)
        getter_expect(&getter, lsn, 0, DWAL_OK);
    unsigned version = 0;
    uint64_t kept;
    for (kept = LAST - 10; kept > 100; kept -= 97) {
        log_done(dwal_cut(log, kept, &error), &error);
        getter_expect(&getter, kept, 0, DWAL_OK);
        getter_expect(&getter, kept + 1, 0, DWAL_ECUT);
        append(log, LAST, ++version);
        append(log, LAST + 1, version);
        for (uint64_t lsn = LAST; lsn > 0; lsn -= 5)
            getter_expect(&getter, lsn, lsn <= kept ? 0 : version, DWAL_OK);
    }
    log_done(dwal_trim(log, 100, &error), &error);
    append(log, LAST + 300, version);
    append(log, LAST + 301, version);
    getter_expect(&getter, LAST + 300, version, DWAL_OK);
    log_close(log);
    getter_expect(&getter, 99, 0, DWAL_ETRIMMED);
    getter_expect(&getter, 100, 0, DWAL_OK);
    log = small_open(*state);
    log_done(dwal_cut(log, 100, &error), &error);
    log_close(log);
    getter_expect(&getter, 101, version, DWAL_ECUT);
    getter_stop(&getter);
}

#define TEMPDIR_TEST(test)                                                     \
    cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEMPDIR_TEST(test_ranges),          TEMPDIR_TEST(test_small_buffer),
        TEMPDIR_TEST(test_filters),         TEMPDIR_TEST(test_damage),
        TEMPDIR_TEST(test_cut_and_trimmed), TEMPDIR_TEST(test_get_all),
        TEMPDIR_TEST(test_get_between),     TEMPDIR_TEST(test_get_cut),
        TEMPDIR_TEST(test_get_trimmed),     TEMPDIR_TEST(test_get_damage),
        TEMPDIR_TEST(test_get_reads),       TEMPDIR_TEST(test_get_elsewhere),
    };
    return cmocka_run_group_tests_name("reading", tests, NULL, NULL);
}
