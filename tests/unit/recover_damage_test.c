/* SPDX-License-Identifier: MIT */
/*
 * Recovery against every cut and every flipped bit of small logs. What should
 * come out is computed here from SPEC 7 and from where the batches were put,
 * not by the code under test.
 */
#include "tests/support/recovered.h"

#include "format/bytes.h"

#define BLOCK 512u
#define SEGMENT (24 * BLOCK)

static int setup(void **state) {
    return recovered_setup(state, BLOCK, SEGMENT);
}

/* Batches of all kinds behind a start. Each is sealed when all before it was
 * durable, but for the ones that say otherwise. */
static void batches_add(struct logbuild *log,
                        struct logbuild_segment *segment) {
    logbuild_records(log, segment, 1, 0);
    logbuild_records(log, segment, 3, 200);
    logbuild_mark(log, segment);
    logbuild_begin(log, segment);
    logbuild_random_record(log, 30);
    logbuild_system(log, DWAL__SYSTEM_METADATA, "vote", 4);
    logbuild_random_record(log, 700);
    logbuild_seal(log);
    logbuild_records(log, segment, 2, 301);
}

/* Segments 1 and 2 with batches, 3 prepared. The last batch of 2 is witnessed
 * by nothing, or by a mark. */
static void two_segments(struct logbuild *log, bool mark) {
    struct logbuild_segment *one = logbuild_segment(log, 1, 0);
    struct logbuild_segment *two = logbuild_segment(log, 2, 1);
    logbuild_segment(log, 3, 2);
    logbuild_start(log, one, NULL);
    batches_add(log, one);
    struct dwal__start start = logbuild_after(one);
    logbuild_start(log, two, &start);
    batches_add(log, two);
    if (mark)
        logbuild_mark(log, two);
}

/* ---- cuts ---- */

/* What an older use of the file left: batches of a log of the same shape. */
static void stale_fill(struct recovered_fixture *f, uint8_t *bytes) {
    struct logbuild old;
    logbuild_init(&old, BLOCK, SEGMENT);
    old.random = 99;
    struct logbuild_segment *segment = logbuild_segment(&old, 77, 0);
    logbuild_start(&old, segment, NULL);
    while (segment->tail < SEGMENT)
        logbuild_records(&old, segment, 1, 20);
    memcpy(bytes, segment->bytes, SEGMENT);
    logbuild_free(&old);
    (void)f;
}

/* The batch of @segment that holds byte @offset; its index. */
static unsigned batch_at(const struct logbuild_segment *segment,
                         uint64_t offset) {
    unsigned i = 0;
    while (segment->batches[i].end <= offset)
        i++;
    return i;
}

/*
 * The row of SPEC 7.7 when @segment, of which @whole is how it was, ends in
 * @batch and holds @rest behind a cut.
 */
static const char *row_after_cut(const struct logbuild_segment *segment,
                                 unsigned batch, const uint8_t *whole,
                                 const uint8_t *rest) {
    const struct logbuild_batch *b = &segment->batches[batch];
    const uint8_t *now = segment->bytes + b->offset;
    const uint8_t *was = whole + b->offset;
    if (memcmp(now, was, b->end - b->offset) == 0) {
        assert_int_equal(batch + 1, segment->batch_count);
        return "clean"; /* only zeros were cut off */
    }
    if (memcmp(now, was, 128) == 0)
        return "torn";
    /* Nothing here, or a whole header of the older use. */
    if (memcmp(now, rest + b->offset, 128) == 0)
        return "clean";
    bool trace = memcmp(now + 16, was + 16, 8) == 0 ||
                 (memcmp(now + 8, was + 8, 8) == 0 &&
                  memcmp(now + 24, was + 24, 8) == 0);
    bool witnessed = batch == 4; /* right behind the mark */
    return trace || !witnessed ? "torn-open" : "clean";
}

/* Cuts segment 2 before @cut; the rest becomes what @rest holds. */
static void check_cut(struct recovered_fixture *f, uint64_t cut,
                      const uint8_t *rest, const uint8_t *whole) {
    struct logbuild_segment *two = f->log.segments[1];
    memcpy(two->bytes, whole, cut);
    memcpy(two->bytes + cut, rest + cut, SEGMENT - cut);
    unsigned batch = batch_at(two, cut);
    const struct logbuild_batch *b = &two->batches[batch];
    bool all = memcmp(two->bytes + b->offset, whole + b->offset,
                      b->end - b->offset) == 0;
    unsigned count = batch;
    if (all) { /* a cut in the padding takes nothing */
        count++;
        batch += batch + 1 < two->batch_count;
    }
    b = &two->batches[batch];
    const char *row = row_after_cut(two, batch, whole, rest);
    uint64_t durable = count > 0 ? two->batches[count - 1].last_lsn
                                 : two->batches[0].first_lsn - 1;
    recovered_log(&f->result, &f->log);
    const struct dwal__recovery *r = &f->result.recovery;
    check_that(f->result.code == DWAL_OK, "cut %llu", (unsigned long long)cut);
    check_that(strcmp(r->decision->name, row) == 0, "cut %llu: %s, not %s",
               (unsigned long long)cut, r->decision->name, row);
    check_that(r->durable_lsn == durable, "cut %llu: %llu, not %llu",
               (unsigned long long)cut, (unsigned long long)r->durable_lsn,
               (unsigned long long)durable);
    uint64_t last = strcmp(row, "torn-open") == 0 ? UINT64_MAX
                    : strcmp(row, "torn") == 0    ? b->last_lsn
                                                  : 0;
    bool undecidable = last > durable;
    check_that(r->undecidable == undecidable, "cut %llu",
               (unsigned long long)cut);
    if (undecidable) {
        assert_int_equal(r->undecidable_from, durable + 1);
        assert_int_equal(r->undecidable_to, last);
    }
}

static void check_cuts(struct recovered_fixture *f, const uint8_t *rest) {
    two_segments(&f->log, false);
    struct logbuild_segment *two = f->log.segments[1];
    uint8_t whole[SEGMENT];
    memcpy(whole, two->bytes, SEGMENT);
    for (uint64_t cut = BLOCK; cut < two->tail; cut += BLOCK)
        check_cut(f, cut, rest, whole);
    /* Every byte, of every batch: the last one alone would be too easy. */
    for (uint64_t cut = BLOCK; cut < two->tail; cut += check_share())
        check_cut(f, cut, rest, whole);
}

static void test_cuts_to_zeros(void **state) {
    static const uint8_t zeros[SEGMENT];
    check_cuts(*state, zeros);
}

static void test_cuts_to_stale(void **state) {
    static uint8_t stale[SEGMENT];
    stale_fill(*state, stale);
    check_cuts(*state, stale);
}

/* A cut of the segment before is a loss: the one behind names its end, and has
 * a watermark beyond. */
static void test_cuts_below(void **state) {
    struct recovered_fixture *f = *state;
    two_segments(&f->log, false);
    struct logbuild_segment *one = f->log.segments[0];
    struct logbuild_segment *two = f->log.segments[1];
    uint64_t lost_to = logbuild_last(two)->first_lsn - 1; /* W */
    uint8_t whole[SEGMENT];
    memcpy(whole, one->bytes, SEGMENT);
    for (uint64_t cut = BLOCK; cut < one->tail; cut += 8 * check_share()) {
        memcpy(one->bytes, whole, cut);
        memset(one->bytes + cut, 0, SEGMENT - cut);
        unsigned batch = batch_at(one, cut);
        const struct logbuild_batch *b = &one->batches[batch];
        if (memcmp(one->bytes, whole, one->tail) == 0)
            continue; /* in the padding of the last */
        if (memcmp(one->bytes + b->offset, whole + b->offset,
                   b->end - b->offset) == 0)
            batch++;
        uint64_t durable = batch > 0 ? one->batches[batch - 1].last_lsn : 0;
        recovered_log(&f->result, &f->log);
        recovered_check(&f->result, "lost-records", durable);
        assert_int_equal(f->result.recovery.lost_from, durable + 1);
        assert_int_equal(f->result.recovery.lost_to, lost_to);
        const struct dwal__finding *bad =
            recovered_finding(&f->result, DWAL__FINDING_BATCH_BAD);
        assert_int_equal(bad->segment, 1);
        assert_in_range(bad->offset, one->batches[batch].offset,
                        one->batches[batch].end);
    }
}

/* The whole of a file's rest gone, so that its size is wrong. */
static void test_truncations(void **state) {
    struct recovered_fixture *f = *state;
    two_segments(&f->log, true);
    for (unsigned i = 0; i < 3; i++) {
        for (uint64_t size = 0; size < SEGMENT; size += 100) {
            f->log.segments[i]->size = size;
            recovered_log(&f->result, &f->log);
            assert_int_equal(f->result.code, DWAL_OK);
            assert_string_equal(f->result.recovery.decision->name,
                                "bad-structure");
            assert_false(dwal__recovery_settled(&f->result.recovery));
        }
        f->log.segments[i]->size = SEGMENT;
    }
}

/* ---- flips ---- */

/* @bit of segment @index flipped. @evidence is W of the log as it was. */
static void check_flip(struct recovered_fixture *f, unsigned index,
                       uint64_t bit, const struct dwal__recovery *was) {
    struct logbuild_segment *segment = f->log.segments[index];
    uint64_t offset = bit / 8;
    segment->bytes[offset] ^= (uint8_t)(1u << bit % 8);
    struct dwal__position place = {segment->header.number, offset};
    recovered_log(&f->result, &f->log);
    const struct dwal__recovery *r = &f->result.recovery;
#define CHECK(condition)                                                       \
    check_that(condition, "segment %u, offset %llu, bit %llu: %s", index + 1,  \
               (unsigned long long)offset, (unsigned long long)bit % 8,        \
               r->decision->name)
    if (f->result.code == DWAL_EVERSION) {
        /* A flip cannot pass a checksum, so it cannot ask for a newer dwal. */
        fail_msg("segment %u, offset %llu: newer", index + 1,
                 (unsigned long long)offset);
    }
    assert_int_equal(f->result.code, DWAL_OK);
    CHECK(r->verdict != DWAL__VERDICT_CLEAN);
    bool header = offset < BLOCK;
    bool witnessed = dwal__position_compare(place, was->watermark.position) < 0;
    if (header) {
        CHECK(strcmp(r->decision->name, "bad-structure") == 0);
        CHECK(f->result.kinds[DWAL__FINDING_HEADER_BAD] == 1);
    } else if (witnessed) {
        CHECK(strcmp(r->decision->name, "lost-records") == 0);
        CHECK(r->damage.segment == place.segment);
    } else {
        CHECK(r->verdict == DWAL__VERDICT_TORN);
    }
    if (!header) {
        const struct dwal__found_segment *found = &r->segments[index];
        bool alone = dwal__zero_run(segment->bytes + offset / 512 * 512, 512) ==
                     512; /* its sector holds nothing else any more */
        CHECK(found->flipped == !alone);
        CHECK(alone || found->flipped_offset == offset);
        CHECK(alone || found->flipped_bit == bit % 8);
        CHECK(f->result.kinds[DWAL__FINDING_TAIL_FLIPPED] == !alone);
    }
    /* Without reading all, less may be seen, but never fewer records. */
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    recovered_run(&f->result, &image, 0, false);
    CHECK(r->verdict != DWAL__VERDICT_CLEAN ||
          r->durable_lsn == was->durable_lsn);
#undef CHECK
    segment->bytes[offset] ^= (uint8_t)(1u << bit % 8);
}

static void check_flips(struct recovered_fixture *f, bool mark) {
    two_segments(&f->log, mark);
    struct recovered sound = {0};
    recovered_log(&sound, &f->log);
    recovered_check(&sound, "clean", 16);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t used = f->log.segments[i]->tail;
        for (uint64_t bit = 0; bit < 8 * used; bit += check_share())
            check_flip(f, i, bit, &sound.recovery);
    }
    recovered_release(&sound);
}

static void test_flips(void **state) {
    check_flips(*state, false);
}

static void test_flips_before_mark(void **state) {
    check_flips(*state, true);
}

static void test_flips_of_lock(void **state) {
    struct recovered_fixture *f = *state;
    two_segments(&f->log, true);
    for (unsigned bit = 0; bit < 8 * DWAL__LOCK_SIZE; bit++) {
        f->log.lock[bit / 8] ^= (uint8_t)(1u << bit % 8);
        recovered_log(&f->result, &f->log);
        assert_string_equal(f->result.recovery.decision->name, "bad-structure");
        f->log.lock[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- sectors ---- */

/* Every sector of the used part lost, or filled with older bytes. */
static void check_sectors(struct recovered_fixture *f, const uint8_t *rest) {
    two_segments(&f->log, true);
    struct recovered sound = {0};
    recovered_log(&sound, &f->log);
    for (unsigned i = 0; i < 2; i++) {
        struct logbuild_segment *segment = f->log.segments[i];
        for (uint64_t at = BLOCK; at < segment->tail; at += 512) {
            uint8_t kept[512];
            memcpy(kept, segment->bytes + at, 512);
            memcpy(segment->bytes + at, rest + at, 512);
            recovered_log(&f->result, &f->log);
            const struct dwal__recovery *r = &f->result.recovery;
            struct dwal__position place = {segment->header.number, at};
            bool witnessed = dwal__position_compare(
                                 place, sound.recovery.watermark.position) < 0;
            check_that(r->verdict == (witnessed ? DWAL__VERDICT_CORRUPT
                                                : DWAL__VERDICT_CLEAN),
                       "segment %u, offset %llu: %s", i + 1,
                       (unsigned long long)at, r->decision->name);
            assert_int_equal(r->segments[i].flipped, false);
            assert_true(witnessed ||
                        r->durable_lsn == sound.recovery.durable_lsn);
            memcpy(segment->bytes + at, kept, 512);
        }
    }
    recovered_release(&sound);
}

/* Only the mark itself may be lost unseen: nobody waited for it. */
static void test_sectors_zero(void **state) {
    static const uint8_t zeros[SEGMENT];
    check_sectors(*state, zeros);
}

static void test_sectors_stale(void **state) {
    static uint8_t stale[SEGMENT];
    stale_fill(*state, stale);
    check_sectors(*state, stale);
}

/* ---- files ---- */

/* Every file but one that is prepared is missed when it is gone. */
static void test_files_deleted(void **state) {
    struct recovered_fixture *f = *state;
    static const char *const rows[] = {"lost-records", "missing-segment",
                                       "missing-successor"};
    two_segments(&f->log, true);
    for (unsigned i = 0; i < 3; i++) {
        f->log.segments[i]->present = false;
        recovered_log(&f->result, &f->log);
        assert_string_equal(f->result.recovery.decision->name, rows[i]);
        f->log.segments[i]->present = true;
    }
    for (unsigned i = 0; i < 2; i++) { /* the highest two, or all three */
        f->log.segments[2]->present = false;
        f->log.segments[1]->present = false;
        f->log.segments[0]->present = i == 0;
        recovered_log(&f->result, &f->log);
        assert_string_equal(f->result.recovery.decision->name,
                            i == 0 ? "missing-successor" : "lost-files");
    }
}

int main(void) {
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(test_##name, setup, recovered_teardown)
    const struct CMUnitTest tests[] = {
        TEST(cuts_to_zeros), TEST(cuts_to_stale), TEST(cuts_below),
        TEST(truncations),   TEST(flips),         TEST(flips_before_mark),
        TEST(flips_of_lock), TEST(sectors_zero),  TEST(sectors_stale),
        TEST(files_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
