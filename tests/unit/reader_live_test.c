/* SPDX-License-Identifier: MIT */
/*
 * Reading a log while it is written (SPEC 12): by another process, by this one,
 * and across the coming and going of writers. The writer is the test itself,
 * which does to the bytes in memory what a writer does to a disk, in any order.
 */
#include "format/bytes.h"
#include "tests/support/reading.h"

#define BLOCK 512u
#define SEGMENT (256 * BLOCK)

struct fixture {
    struct logbuild log;
    struct logbuild_segment *one, *two;
    uint64_t trim_lsn; /* the newest, for starts */
    struct reading reading;
};

/* Segment 1 with its start and LSNs 1 to 3; 2 is prepared. A writer has it. */
static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    logbuild_init(&f->log, BLOCK, SEGMENT);
    f->one = logbuild_segment(&f->log, 1, 0);
    f->two = logbuild_segment(&f->log, 2, 1);
    logbuild_start(&f->log, f->one, NULL);
    logbuild_records(&f->log, f->one, 3, 40);
    reading_init(&f->reading, &f->log);
    f->reading.held = true;
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

/* A rotation: the next segment is prepared, and @segment gets its start. */
static void rotate(struct fixture *f, struct logbuild_segment *from,
                   struct logbuild_segment *to, uint64_t next) {
    struct dwal__start start = logbuild_after(from);
    start.trim_lsn = f->trim_lsn;
    logbuild_segment(&f->log, next, to->header.number);
    logbuild_start(&f->log, to, &start);
}

/* Takes @size bytes at @offset off the disk, and puts them there later: a write
 * that is on its way. */
struct pending {
    uint8_t bytes[8 * BLOCK];
    uint8_t *place;
    size_t size;
};

static void pending_take(struct pending *pending,
                         struct logbuild_segment *segment, uint64_t offset,
                         size_t size) {
    assert_true(size <= sizeof pending->bytes);
    pending->place = segment->bytes + offset;
    pending->size = size;
    memcpy(pending->bytes, pending->place, size);
    memset(pending->place, 0, size);
}

static void pending_put(struct pending *pending) {
    memcpy(pending->place, pending->bytes, pending->size);
}

static void pending_batch(struct pending *pending,
                          struct logbuild_segment *segment, unsigned index) {
    const struct logbuild_batch *batch = &segment->batches[index];
    pending_take(pending, segment, batch->offset,
                 (size_t)(batch->end - batch->offset));
}

/* ---- another process writes ---- */

/* A batch is shown once a watermark proves it, which the next one brings. */
static void proof(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    reading_all(reading, 1, 0, DWAL_END);
    assert_true(dwal__reader_live(reading->reader));
    assert_null(dwal__reader_recovery(reading->reader));
    logbuild_records(&f->log, f->one, 2, 100); /* 4, 5 prove 1 to 3 */
    reading_expect(reading, 1, 3);
    reading_expect_code(reading, DWAL_END);
    logbuild_mark(&f->log, f->one);
    reading_expect(reading, 4, 5);
    reading_expect_code(reading, DWAL_END);
    for (uint64_t lsn = 6; lsn < 40; lsn++) {
        logbuild_records(&f->log, f->one, 1, 10);
        reading_expect(reading, lsn - 1, lsn > 6 ? lsn - 1 : 0);
        reading_expect_code(reading, DWAL_END);
    }
}

/* Writes that arrive in any order, and in pieces, are never damage. */
static void on_its_way(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    struct pending head, body, next;
    logbuild_records(&f->log, f->one, 2, 700); /* 4, 5 */
    logbuild_records(&f->log, f->one, 1, 10);  /* 6 */
    struct dwal__watermark proven = {3, {1, f->one->batches[2].offset}};
    /* Both on their way: the second says only what was proven before. */
    f->log.maker.header.watermark = proven;
    batch_seal(&f->log.maker);
    f->one->link = f->log.maker.header.crc;
    pending_take(&head, f->one, f->one->batches[2].offset, BLOCK);
    pending_take(&body, f->one, f->one->batches[2].offset + BLOCK, 2 * BLOCK);
    pending_batch(&next, f->one, 3);
    reading_all(reading, 1, 0, DWAL_END);
    pending_put(&next);
    reading_expect(reading, 1, 3);
    reading_expect_code(reading, DWAL_END);
    pending_put(&body);
    reading_expect_code(reading, DWAL_END);
    pending_put(&head);
    reading_expect_code(reading, DWAL_END);
    logbuild_mark(&f->log, f->one);
    reading_expect(reading, 4, 6);
    reading_expect_code(reading, DWAL_END);
}

/* A zero where a proven batch was: also if it came to be proven only while the
 * reader waited for it, and if it is far ahead. */
static void damage(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    for (int i = 0; i < 20; i++)
        logbuild_records(&f->log, f->one, 1, 10); /* 4 to 23 */
    struct logbuild_batch *batch = &f->one->batches[6];
    assert_int_equal(batch->first_lsn, 8);
    uint8_t *flip = f->one->bytes + batch->offset + 50;
    *flip ^= 4;
    reading_all(reading, 1, 7, DWAL_ECORRUPT);
    reading_expect_damage(reading, 1, batch->offset, 8, 8);
    assert_int_equal(dwal__reader_seek(reading->reader, 9, NULL), DWAL_OK);
    reading_expect(reading, 9, 22);
    reading_expect_code(reading, DWAL_END);
    *flip ^= 4;
    reading_all(reading, 1, 22, DWAL_END);
    /* The batch that is awaited, with the next proof right behind it. */
    const struct logbuild_batch *last =
        logbuild_records(&f->log, f->one, 1, 10);
    f->one->bytes[last->offset + 50] ^= 4;
    reading_expect(reading, 23, 22);
    reading_expect_code(reading, DWAL_END);
    logbuild_mark(&f->log, f->one);
    reading_expect(reading, 23, 23);
    reading_expect_code(reading, DWAL_ECORRUPT);
    reading_expect_damage(reading, 1, last->offset, 24, 24);
}

/* A reader that has waited for long, so that it rarely looks at everything, and
 * a batch of which nothing can be read but that others follow it. */
static void long_damage(void **state) {
    (void)state;
    struct logbuild log;
    struct reading reading;
    logbuild_init(&log, BLOCK, 8u << 20);
    struct logbuild_segment *one = logbuild_segment(&log, 1, 0);
    logbuild_segment(&log, 2, 1);
    logbuild_start(&log, one, NULL);
    logbuild_records(&log, one, 1, 10);
    logbuild_mark(&log, one);
    reading_init(&reading, &log);
    reading.held = true;
    assert_int_equal(reading_open(&reading, 0), DWAL_OK);
    reading_expect(&reading, 1, 1);
    for (int i = 0; i < 1100; i++)
        assert_int_equal(reading_next(&reading), DWAL_END);
    const struct logbuild_batch *bad = logbuild_records(&log, one, 1, 5 << 20);
    logbuild_mark(&log, one);
    one->bytes[bad->offset + 1] ^= 1;
    int looks = 1, code;
    uint64_t before = reading.image.scanned;
    while ((code = reading_next(&reading)) == DWAL_END)
        looks++;
    assert_int_equal(code, DWAL_ECORRUPT);
    reading_expect_damage(&reading, 1, bad->offset, 2, 2);
    assert_in_range(looks, 2, 40);
    assert_in_range(reading.image.scanned - before, 0, 24u << 20);
    reading_close(&reading);
    logbuild_free(&log);
}

/* A reader that opens the log finds damage in its newest segment, although the
 * watermarks before it end there. */
static void damage_at_open(void **state) {
    struct fixture *f = *state;
    logbuild_records(&f->log, f->one, 1, 10); /* 4 */
    logbuild_records(&f->log, f->one, 1, 10); /* 5 */
    memset(f->one->bytes + f->one->batches[2].offset, 0, BLOCK);
    logbuild_mark(&f->log, f->one);
    reading_all(&f->reading, 1, 3, DWAL_ECORRUPT);
    reading_expect_damage(&f->reading, 1, f->one->batches[2].offset, 4, 4);
}

/* The header of the segment that comes next is damaged: nobody writes that. */
static void damaged_successor(void **state) {
    struct fixture *f = *state;
    logbuild_mark(&f->log, f->one);
    f->two->bytes[100] ^= 1;
    reading_all(&f->reading, 1, 3, DWAL_ECORRUPT);
    assert_int_equal(f->reading.error.segment, 2);
    f->two->bytes[100] ^= 1;
    reading_expect_code(&f->reading, DWAL_END);
}

static void rotation(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    reading_all(reading, 1, 0, DWAL_END);
    rotate(f, f->one, f->two, 3); /* the start's watermark is the end of 1 */
    reading_expect(reading, 1, 3);
    reading_expect_code(reading, DWAL_END);
    logbuild_records(&f->log, f->two, 4, 50); /* 4 to 7 */
    reading_expect_code(reading, DWAL_END);
    rotate(f, f->two, f->log.segments[2], 4);
    reading_expect(reading, 4, 7);
    reading_expect_code(reading, DWAL_END);
    assert_int_equal(dwal__reader_lineage(reading->reader)->count, 2);
    reading_all(reading, 1, 7, DWAL_END); /* and from nothing */
    logbuild_records(&f->log, f->log.segments[2], 1, 1);
    logbuild_mark(&f->log, f->log.segments[2]);
    reading_expect(reading, 8, 8);
    reading_expect_code(reading, DWAL_END);
}

/* A start that is on the disk and proven by nothing: the log goes on behind it
 * only once it is. */
static void start_on_its_way(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    struct pending start;
    logbuild_mark(&f->log, f->one);
    reading_all(reading, 1, 3, DWAL_END);
    rotate(f, f->one, f->two, 3);
    pending_batch(&start, f->two, 0);
    logbuild_records(&f->log, f->two, 1, 10);
    /* The batch behind the start arrives before it. */
    f->log.maker.header.watermark =
        (struct dwal__watermark){3, {1, f->one->tail}};
    batch_seal(&f->log.maker);
    f->two->link = f->log.maker.header.crc;
    reading_expect_code(reading, DWAL_END);
    pending_put(&start);
    reading_expect_code(reading, DWAL_END);
    logbuild_mark(&f->log, f->two);
    reading_expect(reading, 4, 4);
    reading_expect_code(reading, DWAL_END);
}

/* ---- trimming and recycling ---- */

static void trim(struct fixture *f, struct logbuild_segment *segment,
                 uint64_t lsn) {
    f->trim_lsn = lsn;
    logbuild_begin(&f->log, segment);
    logbuild_trim(&f->log, lsn);
    logbuild_seal(&f->log);
}

/* The file that is being read is renamed, then used again, and then written
 * over. What still stands there is shown or not; it is never damage. */
static void retired_while_read(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    logbuild_records(&f->log, f->one, 1, 100 * BLOCK); /* 4 */
    logbuild_records(&f->log, f->one, 1, 100 * BLOCK); /* 5 */
    rotate(f, f->one, f->two, 3);
    logbuild_records(&f->log, f->two, 1, 10); /* 6 */
    logbuild_mark(&f->log, f->two);
    assert_int_equal(reading_open(reading, 0), DWAL_OK);
    reading_expect(reading, 1, 3);
    trim(f, f->two, 5);
    logbuild_mark(&f->log, f->two);
    logbuild_recycle(&f->log, f->one, 4, 3);
    memset(f->one->bytes + BLOCK, 0x5A, SEGMENT - BLOCK);
    reading_expect_code(reading, DWAL_ETRIMMED);
    assert_int_equal(dwal__reader_seek(reading->reader, 5, &reading->error),
                     DWAL_ETRIMMED);
    reading_expect_code(reading, DWAL_ETRIMMED);
    assert_int_equal(dwal__reader_seek(reading->reader, 0, NULL), DWAL_OK);
    reading_expect(reading, 6, 6);
    reading_expect_code(reading, DWAL_END);
}

/* The same, when the trim lies behind the last watermark: the writer knows that
 * it is durable, and a reader has to take it from the missing file. */
static void retired_unproven(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    rotate(f, f->one, f->two, 3);
    logbuild_records(&f->log, f->two, 1, 10); /* 4 */
    logbuild_mark(&f->log, f->two);
    assert_int_equal(reading_open(reading, 0), DWAL_OK);
    trim(f, f->two, 3);
    f->one->present = false;
    memset(f->one->bytes, 0, BLOCK);
    f->one->bytes[f->one->batches[1].offset] = 0;
    reading_expect(reading, 4, 4); /* it began nowhere yet */
    reading_expect_code(reading, DWAL_END);
    reading_all(reading, 4, 4, DWAL_END);
    assert_int_equal(reading_open(reading, 3), DWAL_ETRIMMED);
}

/* A file that is gone without a trim is damage, also in a live log. */
static void missing(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    rotate(f, f->one, f->two, 3);
    logbuild_records(&f->log, f->two, 1, 10); /* 4 */
    logbuild_mark(&f->log, f->two);
    f->one->present = false;
    assert_int_equal(reading_open(reading, 0), DWAL_ECORRUPT);
    assert_non_null(strstr(reading->error.text, "0000000000000001.wal"));
    assert_non_null(
        strstr(reading->error.text, "LSNs 1 to 3 cannot be reached"));
    assert_int_equal(reading_open(reading, 4), DWAL_OK);
    reading_expect(reading, 4, 4);
    assert_int_equal(dwal__reader_seek(reading->reader, 2, &reading->error),
                     DWAL_ECORRUPT);
    reading_expect_code(reading, DWAL_END);
}

/* Segments come from files that were used before: old batches are none. */
static void recycled_successor(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    rotate(f, f->one, f->two, 3);
    for (int i = 0; i < 10; i++)
        logbuild_records(&f->log, f->two, 1, 10); /* 4 to 13 */
    trim(f, f->two, 3);
    logbuild_mark(&f->log, f->two);
    logbuild_recycle(&f->log, f->one, 4, 3);
    reading_all(reading, 4, 13, DWAL_END);
    rotate(f, f->two, f->log.segments[2], 5);
    rotate(f, f->log.segments[2], f->one, 6); /* over the old batches */
    logbuild_records(&f->log, f->one, 1, 10);
    logbuild_mark(&f->log, f->one);
    reading_expect(reading, 14, 14);
    reading_expect_code(reading, DWAL_END);
    reading_all(reading, 4, 14, DWAL_END);
}

/* ---- cuts ---- */

/* Appends a cut behind the batch @index of @from to @to, and proves it. */
static void cut(struct fixture *f, struct logbuild_segment *from,
                unsigned index, uint64_t lsn, struct logbuild_segment *to) {
    const struct logbuild_batch *batch = &from->batches[index];
    struct dwal__start start = {.previous_segment = from->header.number,
                                .previous_end = batch->end,
                                .previous_lsn = lsn,
                                .previous_link = batch->crc,
                                .flags = DWAL__START_CUT};
    logbuild_segment(&f->log, to->header.number + 1, to->header.number);
    logbuild_start(&f->log, to, &start);
}

static void cut_while_read(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    logbuild_records(&f->log, f->one, 4, 10); /* 4 to 7 */
    logbuild_mark(&f->log, f->one);
    reading_all(reading, 1, 7, DWAL_END);
    cut(f, f->one, 2, 5, f->two);
    reading_expect_code(reading, DWAL_END); /* not acknowledged yet */
    logbuild_mark(&f->log, f->two);
    reading_expect_code(reading, DWAL_ECUT);
    assert_non_null(strstr(reading->error.text, "LSN 5"));
    logbuild_records(&f->log, f->two, 1, 10); /* 6 */
    logbuild_mark(&f->log, f->two);
    reading_expect_code(reading, DWAL_ECUT);
    assert_int_equal(dwal__reader_seek(reading->reader, 5, NULL), DWAL_OK);
    reading_expect(reading, 5, 6);
    assert_int_equal(reading->item.segment, 2);
    reading_expect_code(reading, DWAL_END);
}

/* Who has shown nothing of what was cut does not notice. */
static void cut_before_it_was_read(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    logbuild_records(&f->log, f->one, 4, 10); /* 4 to 7 */
    logbuild_mark(&f->log, f->one);
    assert_int_equal(reading_open(reading, 0), DWAL_OK);
    reading_expect(reading, 1, 3);
    cut(f, f->one, 2, 5, f->two);
    logbuild_records(&f->log, f->two, 1, 10); /* 6 */
    logbuild_mark(&f->log, f->two);
    reading_all(reading, 1, 6, DWAL_END);
}

/* ---- writers come and go ---- */

/* When the writer leaves, recovery shows what no watermark proved. */
static void writer_leaves(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    reading_all(reading, 1, 0, DWAL_END);
    logbuild_records(&f->log, f->one, 2, 30); /* 4 to 5 */
    reading_expect(reading, 1, 3);
    reading_expect_code(reading, DWAL_END);
    f->reading.held = false;
    reading_expect(reading, 4, 5);
    reading_expect_code(reading, DWAL_END);
    assert_false(dwal__reader_live(reading->reader));
    assert_non_null(dwal__reader_recovery(reading->reader));
}

static void writer_leaves_damage(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    logbuild_mark(&f->log, f->one);
    reading_all(reading, 1, 3, DWAL_END);
    f->two->present = false; /* proves that the log went on */
    f->reading.held = false;
    reading_expect_code(reading, DWAL_ECORRUPT);
}

/* A reader of a log at rest goes on with a new writer's segments, keeps what
 * recovery had proven, and sees the end again when that one leaves, too. */
static void writer_returns(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    reading->held = false;
    reading_all(reading, 1, 3, DWAL_END);
    reading->held = true;
    reading_expect_code(reading, DWAL_END);
    assert_true(dwal__reader_live(reading->reader));
    struct logbuild_segment *four = logbuild_segment(&f->log, 4, 1);
    logbuild_segment(&f->log, 5, 4);
    struct dwal__start start = logbuild_after(f->one);
    logbuild_start(&f->log, four, &start);
    f->two->present = false;                /* dead, and retired */
    logbuild_records(&f->log, four, 2, 30); /* 4 to 5 */
    reading_expect_code(reading, DWAL_END);
    logbuild_mark(&f->log, four);
    reading_expect(reading, 4, 5);
    reading_expect_code(reading, DWAL_END);
    logbuild_records(&f->log, four, 1, 30); /* 6 */
    logbuild_close(&f->log, four);
    reading->held = false;
    reading_expect(reading, 6, 6);
    reading_expect_code(reading, DWAL_END);
}

/* One that came and left between two calls. */
static void writer_was_there(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    reading->held = false;
    reading_all(reading, 1, 3, DWAL_END);
    struct logbuild_segment *four = logbuild_segment(&f->log, 4, 1);
    logbuild_segment(&f->log, 5, 4);
    struct dwal__start start = logbuild_after(f->one);
    logbuild_start(&f->log, four, &start);
    f->two->present = false;
    logbuild_records(&f->log, four, 2, 30); /* 4 to 5 */
    reading_expect(reading, 4, 5);
    reading_expect_code(reading, DWAL_END);
}

/* ---- a disk that fails once ---- */

/* Reads on to the end; an error in between must not cost anything. */
static void read_on(struct reading *reading, uint64_t *last) {
    while (reading->reader == NULL)
        if (reading_open(reading, 0) != DWAL_OK)
            assert_int_equal(reading->error.code, DWAL_EIO);
    for (;;) {
        int code = reading_next(reading);
        if (code == DWAL_EIO)
            continue;
        if (code == DWAL_END)
            return;
        if (code != DWAL_OK)
            fail_msg("operation %llu: %s", (unsigned long long)reading->fail_at,
                     reading->error.text);
        uint64_t lsn = reading->item.record.lsn;
        check_that(lsn == *last + 1, "operation %llu: LSN %llu behind %llu",
                   (unsigned long long)reading->fail_at,
                   (unsigned long long)lsn, (unsigned long long)*last);
        *last = lsn;
    }
}

/* Follows a log through rotation, trim and the end of its writer. */
static void life(struct fixture *f) {
    struct reading *reading = &f->reading;
    uint64_t last = 0;
    logbuild_mark(&f->log, f->one);
    read_on(reading, &last);
    rotate(f, f->one, f->two, 3);
    logbuild_records(&f->log, f->two, 2, 700); /* 4 to 5 */
    logbuild_mark(&f->log, f->two);
    read_on(reading, &last);
    trim(f, f->two, 3);
    logbuild_mark(&f->log, f->two);
    f->one->present = false;
    rotate(f, f->two, f->log.segments[2], 4);
    rotate(f, f->log.segments[2], f->log.segments[3], 5);
    logbuild_records(&f->log, f->log.segments[3], 2, 700); /* 6 to 7 */
    logbuild_mark(&f->log, f->log.segments[3]);
    read_on(reading, &last);
    assert_int_equal(last, 7);
    logbuild_records(&f->log, f->log.segments[3], 1, 10); /* 8 */
    reading->held = false;
    read_on(reading, &last);
    assert_int_equal(last, 8);
}

static void errors_in_between(void **state) {
    (void)state;
    bool failed = true;
    uint64_t count = 0;
    for (; failed; count++) {
        void *own;
        setup(&own);
        struct fixture *f = own;
        f->reading.fail_at = count;
        life(f);
        failed = f->reading.operations > count;
        teardown(&own);
    }
    assert_true(count > 50);
}

/* ---- this process writes ---- */

/* The bound is what the writer says, to the batch. */
static void inside(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    reading->inside = true;
    reading_all(reading, 1, 0, DWAL_END);
    for (int i = 0; i < 5; i++)
        logbuild_records(&f->log, f->one, 2, 300); /* 4 to 13 */
    rotate(f, f->one, f->two, 3);
    logbuild_records(&f->log, f->two, 2, 300); /* 14, 15 */
    uint64_t shown = 0;
    struct logbuild_segment *segments[] = {f->one, f->two};
    for (int i = 0; i < 2; i++)
        for (unsigned j = 0; j < segments[i]->batch_count; j++) {
            const struct logbuild_batch *batch = &segments[i]->batches[j];
            reading->durable = (struct dwal__watermark){
                batch->last_lsn, {segments[i]->header.number, batch->end}};
            reading_expect(reading, shown + 1, batch->last_lsn);
            reading_expect_code(reading, DWAL_END);
            shown = batch->last_lsn;
        }
    assert_int_equal(shown, 15);
    /* What was read ahead while it was on its way is read again. */
    struct pending pending;
    logbuild_records(&f->log, f->two, 1, 10);
    pending_batch(&pending, f->two, 2);
    reading_expect_code(reading, DWAL_END);
    pending_put(&pending);
    reading->durable = (struct dwal__watermark){16, {2, f->two->tail}};
    reading_expect(reading, 16, 16);
}

static void inside_trimmed(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    reading->inside = true;
    logbuild_records(&f->log, f->one, 1, 100 * BLOCK); /* 4 */
    logbuild_records(&f->log, f->one, 1, 100 * BLOCK); /* 5 */
    rotate(f, f->one, f->two, 3);
    logbuild_records(&f->log, f->two, 2, 300); /* 6, 7 */
    reading->durable = (struct dwal__watermark){7, {2, f->two->tail}};
    assert_int_equal(reading_open(reading, 0), DWAL_OK);
    reading_expect(reading, 1, 2);
    reading->first_lsn = 6;
    f->one->present = false;
    memset(f->one->bytes + f->one->batches[2].offset, 0, 200 * BLOCK);
    reading_expect(reading, 3, 3); /* of the batch that was checked */
    reading_expect_code(reading, DWAL_ETRIMMED);
    assert_int_equal(dwal__reader_seek(reading->reader, 5, NULL),
                     DWAL_ETRIMMED);
    assert_int_equal(dwal__reader_seek(reading->reader, 0, NULL), DWAL_OK);
    reading_expect(reading, 6, 7);
    assert_int_equal(reading_open(reading, 5), DWAL_ETRIMMED);
}

static void inside_cut(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    reading->inside = true;
    reading->durable = (struct dwal__watermark){3, {1, f->one->tail}};
    reading_all(reading, 1, 3, DWAL_END);
    cut(f, f->one, 1, 1, f->two);
    reading->durable = (struct dwal__watermark){1, {2, f->two->tail}};
    reading_expect_code(reading, DWAL_ECUT);
    assert_int_equal(dwal__reader_seek(reading->reader, 1, NULL), DWAL_OK);
    reading_expect(reading, 1, 1);
    reading_expect_code(reading, DWAL_END);
}

static void inside_damage(void **state) {
    struct fixture *f = *state;
    struct reading *reading = &f->reading;
    reading->inside = true;
    logbuild_records(&f->log, f->one, 1, 10); /* 4 */
    reading->durable = (struct dwal__watermark){4, {1, f->one->tail}};
    f->one->bytes[f->one->batches[1].offset + 130] ^= 1;
    reading_all(reading, 1, 0, DWAL_ECORRUPT);
    reading_expect_damage(reading, 1, f->one->batches[1].offset + 128, 1, 3);
    assert_int_equal(dwal__reader_seek(reading->reader, 4, NULL), DWAL_OK);
    reading_expect(reading, 4, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(proof),
        TEST(on_its_way),
        TEST(damage),
        TEST(long_damage),
        TEST(damage_at_open),
        TEST(damaged_successor),
        TEST(rotation),
        TEST(start_on_its_way),
        TEST(retired_while_read),
        TEST(retired_unproven),
        TEST(missing),
        TEST(recycled_successor),
        TEST(cut_while_read),
        TEST(cut_before_it_was_read),
        TEST(writer_leaves),
        TEST(writer_leaves_damage),
        TEST(writer_returns),
        TEST(writer_was_there),
        cmocka_unit_test(errors_in_between),
        TEST(inside),
        TEST(inside_trimmed),
        TEST(inside_cut),
        TEST(inside_damage),
    };
    return cmocka_run_group_tests_name("reader_live", tests, NULL, NULL);
}
