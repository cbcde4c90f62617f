/* SPDX-License-Identifier: MIT */
/*
 * Seeking in a large segment: to every record, without reading all that is
 * before it; and past what only looks like a batch.
 */
#include "format/bytes.h"
#include "tests/support/reading.h"

#define BLOCK 512u
#define SEGMENT (8u << 20)
#define BATCHES 200u
#define LOOKALIKE (1u << 20)

struct fixture {
    struct logbuild log;
    struct logbuild_segment *one, *two;
    struct reading reading;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    logbuild_init(&f->log, BLOCK, SEGMENT);
    f->one = logbuild_segment(&f->log, 1, 0);
    f->two = logbuild_segment(&f->log, 2, 1);
    logbuild_start(&f->log, f->one, NULL);
    reading_init(&f->reading, &f->log);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    reading_close(&f->reading);
    logbuild_free(&f->log);
    free(f);
    return 0;
}

/* Batches of one or two records, some long, with marks between. */
static void log_fill(struct fixture *f, unsigned batches) {
    for (unsigned i = 1; i <= batches; i++)
        if (i % 7 == 0)
            logbuild_mark(&f->log, f->one);
        else
            logbuild_records(&f->log, f->one, 1 + i % 2,
                             i % 5 == 0 ? 50000 : 14000);
}

/* The first item behind a seek to @lsn, with system records: the first record
 * behind LSN lsn − 1. */
static const struct logbuild_batch *batch_behind(const struct fixture *f,
                                                 uint64_t lsn) {
    const struct logbuild_batch *batch = f->one->batches;
    while (batch->last_lsn < lsn - 1)
        batch++;
    while (batch->last_lsn == lsn - 1 && batch + 1 <= logbuild_last(f->one) &&
           batch->first_lsn <= batch->last_lsn)
        batch++;
    return batch;
}

static void seek(struct fixture *f, uint64_t lsn) {
    assert_int_equal(
        dwal__reader_seek(f->reading.reader, lsn, &f->reading.error), DWAL_OK);
}

static void every_record(void **state) {
    struct fixture *f = *state;
    log_fill(f, BATCHES);
    uint64_t last = logbuild_last(f->one)->last_lsn;
    assert_int_equal(reading_open(&f->reading, 0), DWAL_OK);
    for (uint64_t i = 0; i < last; i++) {
        uint64_t lsn = 1 + i * 89 % last;
        seek(f, lsn);
        reading_expect(&f->reading, lsn, lsn < last ? lsn + 1 : lsn);
    }
    seek(f, last + 1);
    reading_expect_code(&f->reading, DWAL_END);
    assert_int_equal(reading_open(&f->reading, last / 2), DWAL_OK);
    reading_expect(&f->reading, last / 2, last);
    reading_expect_code(&f->reading, DWAL_END);
}

static void system_records(void **state) {
    struct fixture *f = *state;
    log_fill(f, BATCHES);
    uint64_t last = logbuild_last(f->one)->last_lsn;
    f->reading.system = true;
    assert_int_equal(reading_open(&f->reading, 0), DWAL_OK);
    for (uint64_t lsn = 2; lsn <= last; lsn++) {
        const struct logbuild_batch *batch = batch_behind(f, lsn);
        seek(f, lsn);
        assert_int_equal(reading_next(&f->reading), DWAL_OK);
        assert_int_equal(f->reading.item.batch_offset, batch->offset);
        bool mark = batch->first_lsn > batch->last_lsn;
        assert_int_equal(f->reading.item.record.lsn, mark ? 0 : lsn);
    }
}

/* What stands before the wanted record is not read. */
static void cost(void **state) {
    struct fixture *f = *state;
    log_fill(f, BATCHES);
    uint64_t last = logbuild_last(f->one)->last_lsn;
    assert_int_equal(reading_open(&f->reading, 0), DWAL_OK);
    for (uint64_t lsn = 2; lsn <= last; lsn += 37) {
        uint64_t before = f->reading.image.scanned;
        seek(f, lsn);
        reading_expect(&f->reading, lsn, lsn);
        assert_in_range(f->reading.image.scanned - before, 0, SEGMENT / 4);
    }
}

/* A record each block of which is a header for its place, of this use of the
 * file, with a low LSN: a walk that began at one of them would go wrong. */
static void lookalikes_add(struct fixture *f) {
    uint8_t *payload = calloc(1, LOOKALIKE);
    uint64_t at =
        f->one->tail + DWAL__BATCH_HEADER_SIZE + DWAL__RECORD_HEADER_SIZE;
    for (uint64_t offset = dwal__align_up(at, BLOCK);
         offset + DWAL__BATCH_HEADER_SIZE <= at + LOOKALIKE; offset += BLOCK) {
        struct dwal__batch_header header = {.segment = 1,
                                            .salt = f->one->header.salt,
                                            .offset = offset,
                                            .size = BLOCK,
                                            .first_lsn = 2,
                                            .record_count = 1,
                                            .lsn_count = 1};
        dwal__batch_header_encode(&header, payload + (offset - at));
    }
    logbuild_begin(&f->log, f->one);
    logbuild_record(&f->log, payload, LOOKALIKE);
    logbuild_seal(&f->log);
    free(payload);
}

static void lookalikes(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++) {
        log_fill(f, 6);
        lookalikes_add(f);
    }
    log_fill(f, 6);
    uint64_t last = logbuild_last(f->one)->last_lsn;
    assert_int_equal(reading_open(&f->reading, 0), DWAL_OK);
    for (uint64_t lsn = 1; lsn <= last; lsn++) {
        seek(f, lsn);
        reading_expect(&f->reading, lsn, last);
    }
}

/* Damage is told where it is met, and by whoever wants what it took. */
static void damage(void **state) {
    struct fixture *f = *state;
    log_fill(f, BATCHES);
    const struct logbuild_batch *bad = &f->one->batches[BATCHES / 2];
    uint64_t last = logbuild_last(f->one)->last_lsn;
    struct dwal__start start = logbuild_after(f->one);
    logbuild_segment(&f->log, 3, 2);
    logbuild_start(&f->log, f->two, &start);
    for (int header = 0; header < 2; header++) {
        f->one->bytes[bad->offset + (header ? 9 : 200)] ^= 1;
        assert_int_equal(reading_open(&f->reading, 0), DWAL_OK);
        for (uint64_t lsn = 1; lsn <= last; lsn++) {
            seek(f, lsn);
            if (lsn >= bad->first_lsn && lsn <= bad->last_lsn) {
                reading_expect_code(&f->reading, DWAL_ECORRUPT);
                reading_expect_damage(&f->reading, 1,
                                      bad->offset + (header ? 0 : 128),
                                      bad->first_lsn, bad->last_lsn);
            } else {
                reading_expect(&f->reading, lsn, lsn);
            }
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_record), TEST(system_records), TEST(cost),
        TEST(lookalikes),   TEST(damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
