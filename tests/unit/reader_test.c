/* SPDX-License-Identifier: MIT */
/*
 * Reading a log that nobody writes: what is shown, what is hidden, and what is
 * said where something is missing.
 */
#include "tests/support/reading.h"

#define BLOCK 512u
#define SEGMENT (32 * BLOCK)

struct fixture {
    struct logbuild log;
    struct logbuild_segment *one, *two, *three;
    struct reading reading;
};

/*
 * Segment 1: start, 1 to 3, 4 to 5, 6. Segment 2: start, 7, 8 to 11. Segment 3
 * follows, unused.
 */
static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct logbuild *log = &f->log;
    logbuild_init(log, BLOCK, SEGMENT);
    f->one = logbuild_segment(log, 1, 0);
    f->two = logbuild_segment(log, 2, 1);
    f->three = logbuild_segment(log, 3, 2);
    logbuild_start(log, f->one, NULL);
    logbuild_records(log, f->one, 3, 40);
    logbuild_records(log, f->one, 2, 700);
    logbuild_records(log, f->one, 1, 0);
    struct dwal__start start = logbuild_after(f->one);
    logbuild_start(log, f->two, &start);
    logbuild_records(log, f->two, 1, 5);
    logbuild_records(log, f->two, 4, 300);
    reading_init(&f->reading, log);
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

static void whole(void **state) {
    struct fixture *f = *state;
    reading_all(&f->reading, 1, 11, DWAL_END);
    assert_false(dwal__reader_live(f->reading.reader));
    const struct dwal__recovery *recovery =
        dwal__reader_recovery(f->reading.reader);
    assert_int_equal(recovery->verdict, DWAL__VERDICT_CLEAN);
    assert_int_equal(recovery->durable_lsn, 11);
    assert_int_equal(dwal__reader_first_lsn(f->reading.reader), 1);
    assert_int_equal(dwal__reader_end(f->reading.reader)->lsn, 11);
    assert_int_equal(dwal__reader_lineage(f->reading.reader)->count, 2);
}

static void system_records(void **state) {
    struct fixture *f = *state;
    logbuild_mark(&f->log, f->two);
    logbuild_close(&f->log, f->two);
    f->reading.system = true;
    assert_int_equal(reading_open(&f->reading, 0), DWAL_OK);
    reading_expect_system(&f->reading, DWAL__SYSTEM_START);
    reading_expect(&f->reading, 1, 6);
    reading_expect_system(&f->reading, DWAL__SYSTEM_START);
    reading_expect(&f->reading, 7, 11);
    reading_expect_system(&f->reading, DWAL__SYSTEM_MARK);
    reading_expect_system(&f->reading, DWAL__SYSTEM_CLOSE);
    reading_expect_code(&f->reading, DWAL_END);
    /* Those right before the wanted record come along. */
    assert_int_equal(reading_open(&f->reading, 7), DWAL_OK);
    reading_expect_system(&f->reading, DWAL__SYSTEM_START);
    reading_expect(&f->reading, 7, 7);
    assert_int_equal(reading_open(&f->reading, 8), DWAL_OK);
    assert_int_equal(reading_next(&f->reading), DWAL_OK);
    assert_int_equal(f->reading.item.record.lsn, 8);
}

static void every_start(void **state) {
    struct fixture *f = *state;
    for (uint64_t lsn = 1; lsn <= 13; lsn++) {
        assert_int_equal(reading_open(&f->reading, lsn), DWAL_OK);
        reading_expect(&f->reading, lsn, 11);
        reading_expect_code(&f->reading, DWAL_END);
    }
    for (uint64_t lsn = 13; lsn >= 1; lsn--) {
        assert_int_equal(
            dwal__reader_seek(f->reading.reader, lsn, &f->reading.error),
            DWAL_OK);
        reading_expect(&f->reading, lsn, 11);
        reading_expect_code(&f->reading, DWAL_END);
    }
    assert_int_equal(dwal__reader_seek(f->reading.reader, 0, NULL), DWAL_OK);
    reading_expect(&f->reading, 1, 11);
}

static void no_log(void **state) {
    struct fixture *f = *state;
    f->log.lock_present = false;
    f->log.segment_count = 0;
    assert_int_equal(reading_open(&f->reading, 0), DWAL_ENOENT);
    f->log.lock_present = true;
    assert_int_equal(reading_open(&f->reading, 0), DWAL_ECORRUPT);
    f->log.segment_count = 3;
    f->log.lock[20] ^= 1;
    assert_int_equal(reading_open(&f->reading, 0), DWAL_ECORRUPT);
}

static void empty_log(void **state) {
    struct fixture *f = *state;
    struct reading reading;
    struct logbuild log;
    (void)f;
    logbuild_init(&log, BLOCK, SEGMENT);
    struct logbuild_segment *one = logbuild_segment(&log, 1, 0);
    logbuild_segment(&log, 2, 1);
    reading_init(&reading, &log);
    reading_all(&reading, 1, 0, DWAL_END);
    logbuild_start(&log, one, NULL);
    reading_all(&reading, 1, 0, DWAL_END);
    reading_close(&reading);
    logbuild_free(&log);
}

/* A trim in the last segment: what it covers is hidden, at once. */
static void trimmed(void **state) {
    struct fixture *f = *state;
    logbuild_begin(&f->log, f->two);
    logbuild_trim(&f->log, 4);
    logbuild_seal(&f->log);
    reading_all(&f->reading, 5, 11, DWAL_END);
    assert_int_equal(reading_open(&f->reading, 4), DWAL_ETRIMMED);
    assert_int_equal(reading_open(&f->reading, 5), DWAL_OK);
    assert_int_equal(dwal__reader_seek(f->reading.reader, 4, &f->reading.error),
                     DWAL_ETRIMMED);
    reading_expect(&f->reading, 5, 11); /* it stayed where it was */
    /* With all of segment 1 trimmed, its file may be gone. */
    logbuild_begin(&f->log, f->two);
    logbuild_trim(&f->log, 9);
    logbuild_seal(&f->log);
    f->one->present = false;
    reading_all(&f->reading, 10, 11, DWAL_END);
    logbuild_begin(&f->log, f->two);
    logbuild_trim(&f->log, 11);
    logbuild_seal(&f->log);
    reading_all(&f->reading, 12, 11, DWAL_END);
}

/* A cut inside a batch: the records behind the last kept LSN are hidden, those
 * of the batch included, and the system records that follow them there. */
static void cut_suffix(void **state) {
    struct fixture *f = *state;
    const struct logbuild_batch *batch = &f->two->batches[2];
    assert_int_equal(batch->first_lsn, 8);
    struct dwal__start start = {.previous_segment = 2,
                                .previous_end = batch->end,
                                .previous_lsn = 9,
                                .previous_link = batch->crc,
                                .flags = DWAL__START_CUT};
    logbuild_mark(&f->log, f->two); /* dropped, too */
    logbuild_segment(&f->log, 4, 3);
    logbuild_start(&f->log, f->three, &start);
    logbuild_records(&f->log, f->three, 2, 33);
    f->reading.system = true;
    assert_int_equal(reading_open(&f->reading, 7), DWAL_OK);
    reading_expect_system(&f->reading, DWAL__SYSTEM_START);
    reading_expect(&f->reading, 7, 9);
    assert_int_equal(f->reading.item.segment, 2);
    reading_expect_system(&f->reading, DWAL__SYSTEM_START);
    reading_expect(&f->reading, 10, 11);
    assert_int_equal(f->reading.item.segment, 3);
    reading_expect_code(&f->reading, DWAL_END);
    f->reading.system = false;
    for (uint64_t lsn = 8; lsn <= 11; lsn++) {
        assert_int_equal(reading_open(&f->reading, lsn), DWAL_OK);
        reading_expect(&f->reading, lsn, 11);
        reading_expect_code(&f->reading, DWAL_END);
    }
}

/* The last batch lost a block: torn, and the end of the log lies before it. */
static void torn_tail(void **state) {
    struct fixture *f = *state;
    const struct logbuild_batch *last = logbuild_last(f->two);
    memset(f->two->bytes + last->offset + BLOCK, 0, BLOCK);
    reading_all(&f->reading, 1, 7, DWAL_END);
    const struct dwal__recovery *recovery =
        dwal__reader_recovery(f->reading.reader);
    assert_int_equal(recovery->verdict, DWAL__VERDICT_TORN);
    assert_true(recovery->undecidable);
    assert_int_equal(recovery->undecidable_from, 8);
    assert_int_equal(recovery->undecidable_to, 11);
}

/* The last batch but one is damaged, and the last proves that it was whole. */
static void lost_at_the_end(void **state) {
    struct fixture *f = *state;
    f->two->bytes[f->two->batches[1].offset + 140] ^= 1;
    reading_all(&f->reading, 1, 6, DWAL_ECORRUPT);
    const struct dwal__reader_damage *damage =
        dwal__reader_damage(f->reading.reader);
    assert_int_equal(damage->place.segment, 2);
    assert_int_equal(damage->lost_from, 7);
    assert_int_equal(damage->lost_to, 7);
    assert_int_equal(reading_open(&f->reading, 3), DWAL_OK);
    reading_expect(&f->reading, 3, 6);
    reading_expect_code(&f->reading, DWAL_ECORRUPT);
    assert_int_equal(reading_open(&f->reading, 9), DWAL_OK);
    reading_expect_code(&f->reading, DWAL_ECORRUPT);
}

/* Damage in a segment that recovery need not look at: found when it is read,
 * and passed by who wants what lies behind it. */
static void damage_in_the_middle(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    const struct logbuild_batch *batch = &f->one->batches[2]; /* 4 to 5 */
    f->one->bytes[batch->offset + 1000] ^= 0x10;
    reading_all(reading, 1, 3, DWAL_ECORRUPT);
    reading_expect_damage(reading, 1, batch->offset + 128 + 736, 4, 5);
    assert_int_equal(reading->error.segment, 1);
    assert_non_null(strstr(reading->error.text, "0000000000000001.wal"));
    assert_non_null(strstr(reading->error.text, "LSNs 4 to 5"));
    assert_true(dwal__reader_damage(reading->reader)->passable);
    for (uint64_t lsn = 4; lsn <= 5; lsn++) {
        assert_int_equal(
            dwal__reader_seek(reading->reader, lsn, &reading->error), DWAL_OK);
        reading_expect_code(reading, DWAL_ECORRUPT);
    }
    assert_int_equal(dwal__reader_seek(reading->reader, 6, &reading->error),
                     DWAL_OK);
    reading_expect(reading, 6, 11);
    reading_expect_code(reading, DWAL_END);
}

/* The same, when not even the header of the batch can be read. */
static void damaged_header_in_the_middle(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    const struct logbuild_batch *batch = &f->one->batches[1]; /* 1 to 3 */
    f->one->bytes[batch->offset + 40] ^= 0x10;
    reading_all(reading, 1, 0, DWAL_ECORRUPT);
    reading_expect_damage(reading, 1, batch->offset, 1, 3);
    assert_int_equal(reading_open(reading, 2), DWAL_OK);
    reading_expect_code(reading, DWAL_ECORRUPT);
    for (uint64_t lsn = 4; lsn <= 7; lsn++) {
        assert_int_equal(reading_open(reading, lsn), DWAL_OK);
        reading_expect(reading, lsn, 11);
        reading_expect_code(reading, DWAL_END);
    }
    /* All of the rest of the segment. */
    f->one->bytes[f->one->batches[2].offset + 40] ^= 0x10;
    f->one->bytes[f->one->batches[3].offset + 40] ^= 0x10;
    reading_all(reading, 1, 0, DWAL_ECORRUPT);
    reading_expect_damage(reading, 1, batch->offset, 1, 6);
    assert_int_equal(reading_open(reading, 7), DWAL_OK);
    reading_expect(reading, 7, 11);
}

/* Passing the damage: batch by batch, whatever is damaged, in order. */
static void damage_passed(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    struct dwal__reader **reader = &reading->reader;
    f->one->bytes[f->one->batches[1].offset + 130] ^= 0x10; /* 1 to 3 */
    f->one->bytes[f->one->batches[3].offset + 40] ^= 0x10;  /* 6, header */
    reading_all(reading, 1, 0, DWAL_ECORRUPT);
    assert_int_equal(dwal__reader_pass(*reader, &reading->error), DWAL_OK);
    reading_expect(reading, 4, 5);
    reading_expect_code(reading, DWAL_ECORRUPT);
    reading_expect_damage(reading, 1, f->one->batches[3].offset, 6, 6);
    assert_int_equal(dwal__reader_pass(*reader, &reading->error), DWAL_OK);
    reading_expect(reading, 7, 11);
    reading_expect_code(reading, DWAL_END);
    f->one->bytes[20] ^= 1; /* the whole segment; there is no way to reach it */
    assert_int_equal(reading_open(reading, 0), DWAL_ECORRUPT);
}

/* A damaged batch without records is passed, too, not met over and over. */
static void damaged_start_passed(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    logbuild_segment(&f->log, 4, 3);
    logbuild_mark(&f->log, f->two);
    struct dwal__start start = logbuild_after(f->two);
    logbuild_start(&f->log, f->three, &start);
    logbuild_records(&f->log, f->three, 1, 10);
    logbuild_mark(&f->log, f->three);
    const struct logbuild_batch *mark = logbuild_last(f->two);
    f->two->bytes[mark->offset + 130] ^= 1;
    for (int system = 0; system < 2; system++) {
        reading->system = system != 0;
        assert_int_equal(reading_open(reading, 8), DWAL_OK);
        reading_expect(reading, 8, 11);
        reading_expect_code(reading, DWAL_ECORRUPT);
        reading_expect_damage(reading, 2, mark->offset + 128, 12, 11);
        assert_int_equal(dwal__reader_pass(reading->reader, &reading->error),
                         DWAL_OK);
        reading_expect(reading, 12, 12);
    }
}

/* The first batch of a segment is large, and a record in it is damaged: its
 * start still leads to what lies before, which is read up to the damage; and
 * what lies behind can be had. Where the start itself is damaged recovery ends
 * the log before it. */
static void damage_behind_a_start(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    struct dwal__start start = logbuild_after(f->two);
    logbuild_segment(&f->log, 4, 3);
    logbuild_begin(&f->log, f->three);
    logbuild_start_record(&f->log, &start);
    logbuild_random_record(&f->log, 100);  /* 12 */
    logbuild_random_record(&f->log, 1000); /* 13 */
    const struct logbuild_batch *batch = logbuild_seal(&f->log);
    uint64_t at = batch->offset;
    logbuild_mark(&f->log, f->three);
    struct dwal__start after = logbuild_after(f->three);
    struct logbuild_segment *four = f->log.segments[3];
    logbuild_segment(&f->log, 5, 4);
    logbuild_start(&f->log, four, &after);
    logbuild_records(&f->log, four, 1, 10); /* 14 */
    logbuild_mark(&f->log, four);
    reading_all(reading, 1, 14, DWAL_END);
    f->three->bytes[at + 900] ^= 1;
    reading_all(reading, 1, 11, DWAL_ECORRUPT);
    assert_int_equal(dwal__reader_damage(reading->reader)->lost_from, 12);
    assert_int_equal(dwal__reader_damage(reading->reader)->lost_to, 13);
    assert_non_null(strstr(reading->error.text, "LSNs 12 to 13"));
    assert_int_equal(dwal__reader_pass(reading->reader, &reading->error),
                     DWAL_OK);
    reading_expect(reading, 14, 14);
    reading_expect_code(reading, DWAL_END);
    assert_int_equal(reading_open(reading, 14), DWAL_OK);
    reading_expect(reading, 14, 14);
    f->three->bytes[at + 128 + 50] ^= 1; /* the start: the log ends before it */
    reading_all(reading, 1, 11, DWAL_ECORRUPT);
}

/* The end that a start names is not the one that is there. */
static void wrong_end(void **state) {
    struct fixture *f = *state;
    struct dwal__start start = logbuild_after(f->two);
    start.previous_link ^= 1;
    logbuild_segment(&f->log, 4, 3);
    logbuild_start(&f->log, f->three, &start);
    logbuild_records(&f->log, f->three, 1, 10);
    logbuild_mark(&f->log, f->three);
    /* Recovery trusts what lies below a watermark; the reader looks. */
    reading_all(&f->reading, 1, 7, DWAL_ECORRUPT);
    reading_expect_damage(&f->reading, 2, f->two->batches[2].offset, 8, 11);
    assert_int_equal(reading_open(&f->reading, 12), DWAL_OK);
    reading_expect(&f->reading, 12, 12);
}

static void missing_segment(void **state) {
    struct fixture *f = *state;
    f->one->present = false;
    assert_int_equal(reading_open(&f->reading, 0), DWAL_ECORRUPT);
    f->one->present = true;
    f->three->present = false;
    reading_all(&f->reading, 1, 11, DWAL_ECORRUPT);
    f->three->present = true;
    f->two->present = false;
    reading_all(&f->reading, 1, 6, DWAL_ECORRUPT);
}

static void read_errors(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    assert_int_equal(reading_open(reading, 0), DWAL_OK);
    reading->image.fail = IMAGEDISK_READ;
    reading->image.fail_error = -5;
    snprintf(reading->image.fail_name, sizeof reading->image.fail_name, "%s",
             f->two->name);
    reading_expect(reading, 1, 6);
    reading_expect_code(reading, DWAL_EIO);
    reading->image.fail = IMAGEDISK_NONE;
    reading_expect(reading, 7, 11); /* it had stayed there */
    reading->image.fail = IMAGEDISK_LIST;
    reading->image.fail_name[0] = '\0';
    reading_expect_code(reading, DWAL_EIO);
    assert_int_equal(reading_open(reading, 0), DWAL_EIO);
}

static void page_cache(void **state) {
    struct fixture *f = *state;
    f->reading.image.direct_refused = true;
    reading_all(&f->reading, 1, 11, DWAL_END);
}

/* A record of 16 MiB between small ones; each piece of it is looked at. */
static void huge_record(void **state) {
    (void)state;
    struct reading reading;
    struct logbuild log;
    logbuild_init(&log, 4096, 24 << 20);
    struct logbuild_segment *one = logbuild_segment(&log, 1, 0);
    struct logbuild_segment *two = logbuild_segment(&log, 2, 1);
    logbuild_segment(&log, 3, 2);
    logbuild_start(&log, one, NULL);
    logbuild_records(&log, one, 10, 100);
    logbuild_records(&log, one, 1, 16 << 20);
    logbuild_records(&log, one, 5, 9000);
    struct dwal__start start = logbuild_after(one);
    logbuild_start(&log, two, &start);
    logbuild_records(&log, two, 1, 1);
    logbuild_mark(&log, two);
    reading_init(&reading, &log);
    reading_all(&reading, 1, 17, DWAL_END);
    assert_int_equal(reading_open(&reading, 11), DWAL_OK);
    reading_expect(&reading, 11, 17);
    one->bytes[one->batches[2].end - 4096] ^= 1;
    reading_all(&reading, 1, 10, DWAL_ECORRUPT);
    reading_expect_damage(&reading, 1, one->batches[2].offset + 128, 11, 11);
    assert_int_equal(reading_open(&reading, 12), DWAL_OK);
    reading_expect(&reading, 12, 17);
    reading_close(&reading);
    logbuild_free(&log);
}

/* One bit, anywhere in what is used: whatever is shown is a prefix and right;
 * and where it ends early, that is said, or recovery calls it torn. */
static void flipped_bits(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    struct logbuild_segment *segments[] = {f->one, f->two};
    for (int i = 0; i < 2; i++) {
        for (uint64_t at = 0; at < segments[i]->tail; at++) {
            segments[i]->bytes[at] ^= (uint8_t)(1u << at % 8);
            int code = reading_open(reading, 0);
            uint64_t last = 0;
            while (code == DWAL_OK) {
                code = dwal__reader_next(reading->reader, &reading->item,
                                         &reading->error);
                if (code == DWAL_OK)
                    assert_int_equal(reading->item.record.lsn, ++last);
            }
            bool told = code == DWAL_ECORRUPT || code == DWAL_EVERSION;
            bool torn = code == DWAL_END && last >= 6 &&
                        dwal__reader_recovery(reading->reader)->verdict ==
                            DWAL__VERDICT_TORN;
            check_that(told || torn, "segment %d offset %llu: code %d", i + 1,
                       (unsigned long long)at, code);
            segments[i]->bytes[at] ^= (uint8_t)(1u << at % 8);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole, setup, teardown),
        cmocka_unit_test_setup_teardown(system_records, setup, teardown),
        cmocka_unit_test_setup_teardown(every_start, setup, teardown),
        cmocka_unit_test_setup_teardown(no_log, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_log, setup, teardown),
        cmocka_unit_test_setup_teardown(trimmed, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_suffix, setup, teardown),
        cmocka_unit_test_setup_teardown(torn_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_header_in_the_middle, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damage_passed, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_start_passed, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_behind_a_start, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_end, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(read_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(page_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(flipped_bits, setup, teardown),
        cmocka_unit_test(huge_record),
    };
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
