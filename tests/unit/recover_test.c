/* SPDX-License-Identifier: MIT */
/*
 * Recovery on built logs: every row of SPEC 7.7 by an image, the example of
 * SPEC 7.9, and what SPEC 7 says about cuts, trims, dead segments, recycled
 * files, missing files and disks that fail.
 */
#include <errno.h>

#include "format/bytes.h"
#include "format/crc.h"
#include "tests/support/recovered.h"
#include "tests/support/tempdir.h"

#define BLOCK 512u
#define SEGMENT (16 * BLOCK)
#define ANY UINT64_MAX

static int setup(void **state) {
    return recovered_setup(state, BLOCK, SEGMENT);
}

/* Zeroes the last sector of a batch: a torn write. */
static void tear(struct logbuild_segment *segment,
                 const struct logbuild_batch *batch) {
    uint64_t last = (batch->offset + batch->size - 1) / BLOCK * BLOCK;
    assert_true(last > batch->offset);
    memset(segment->bytes + last, 0, BLOCK);
}

/* Overwrites what a batch's watermark says, of the batch just sealed. */
static void watermark_set(struct logbuild *log, uint64_t lsn, uint64_t segment,
                          uint64_t offset) {
    log->maker.header.watermark =
        (struct dwal__watermark){lsn, {segment, offset}};
}

/* Segment 1 with a start and LSNs 1 to 3 in one batch of two blocks; segment 2
 * prepared behind it. */
static struct logbuild_segment *small_log(struct logbuild *log) {
    struct logbuild_segment *one = logbuild_segment(log, 1, 0);
    logbuild_segment(log, 2, 1);
    logbuild_start(log, one, NULL);
    logbuild_records(log, one, 3, 150);
    return one;
}

static void check_undecidable(const struct recovered *result, uint64_t from,
                              uint64_t to) {
    assert_true(result->recovery.undecidable);
    assert_int_equal(result->recovery.undecidable_from, from);
    assert_int_equal(result->recovery.undecidable_to, to);
}

static void check_error(const struct recovered *result, int code,
                        const char *part) {
    assert_int_equal(result->error.code, code);
    if (strstr(result->error.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", result->error.text, part);
    assert_null(strchr(result->error.text, '\n'));
}

/* ---- the rows ---- */

static void test_no_log(void **state) {
    struct recovered_fixture *f = *state;
    f->log.lock_present = false;
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_ENOENT);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    image.others[0] = "0000000000000001.spare";
    image.others[1] = "README";
    recovered_run(&f->result, &image, 0, true);
    assert_int_equal(f->result.code, DWAL_ENOENT);
    assert_null(f->result.recovery.spares);
}

static void test_interrupted_creation(void **state) {
    struct recovered_fixture *f = *state;
    f->log.lock_present = false;
    logbuild_segment(&f->log, 1, 0);
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_ENOENT);
    struct logbuild_segment *two = logbuild_segment(&f->log, 2, 1);
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_ENOENT);
    /* Bytes of an older use, or of nobody, do not make it a log … */
    memset(two->bytes + 3 * BLOCK, 0xA5, BLOCK);
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_ENOENT);
    /* … damage does: what is taken for an interrupted creation is lost. */
    two->bytes[100] ^= 1;
    recovered_log(&f->result, &f->log);
    recovered_check(&f->result, "bad-structure", 0);
}

static void test_lost_lock(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    f->log.lock_present = false;
    recovered_all(&f->result, &f->log, "bad-structure", 3);
    assert_int_equal(f->result.kinds[DWAL__FINDING_LOCK_MISSING], 1);
    check_error(&f->result, DWAL_ECORRUPT, "LOCK: missing");
    /* Neither does a header that is only a trace of one. */
    memset(one->bytes + BLOCK, 0, SEGMENT - BLOCK);
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_ENOENT);
    logbuild_begin(&f->log, one);
    logbuild_random_record(&f->log, 10);
    logbuild_seal(&f->log);
    one->bytes[one->batches[one->batch_count - 1].offset] ^= 0x40;
    recovered_all(&f->result, &f->log, "bad-structure", 0);
}

static void test_lost_files(void **state) {
    struct recovered_fixture *f = *state;
    recovered_all(&f->result, &f->log, "lost-files", 0);
    assert_int_equal(f->result.kinds[DWAL__FINDING_SEGMENTS_LOST], 1);
    check_error(&f->result, DWAL_ECORRUPT, "lost all its segments");
}

static void test_empty(void **state) {
    struct recovered_fixture *f = *state;
    logbuild_segment(&f->log, 1, 0);
    logbuild_segment(&f->log, 2, 1);
    recovered_all(&f->result, &f->log, "empty", 0);
    assert_int_equal(f->result.recovery.first_lsn, 1);
    assert_int_equal(f->result.recovery.end.segment, 0);
    assert_int_equal(f->result.recovery.number_max, 2);
}

static void test_clean(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    recovered_all(&f->result, &f->log, "clean", 3);
    const struct dwal__recovery *r = &f->result.recovery;
    assert_int_equal(r->first_lsn, 1);
    assert_int_equal(r->end.segment, 1);
    assert_int_equal(r->end.offset, one->tail);
    assert_int_equal(r->end_link, one->link);
    assert_int_equal(r->epoch_max, 1);
    assert_int_equal(r->watermark.lsn, 0);
    assert_int_equal(r->watermark.position.offset, 2 * BLOCK);
    assert_false(r->undecidable);
    assert_true(r->segments[0].live && !r->segments[1].live);
    assert_int_equal(r->segments[0].run_batches, 2);
    assert_int_equal(r->segments[0].run_records, 3);
    assert_int_equal(r->segments[0].end_fault, DWAL__FAULT_ZERO);
    assert_int_equal(f->result.finding_count, 1);
    assert_int_equal(f->result.kinds[DWAL__FINDING_SEGMENT_UNUSED], 1);
}

static void test_closed(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    logbuild_close(&f->log, one);
    recovered_all(&f->result, &f->log, "closed", 3);
    /* A record behind it: not closed any more. */
    logbuild_records(&f->log, one, 1, 10);
    recovered_all(&f->result, &f->log, "clean", 4);
}

/* Evidence a block behind the run of @segment, which it is no part of. */
static void evidence_place(struct logbuild *log,
                           struct logbuild_segment *segment) {
    segment->tail += BLOCK;
    logbuild_begin(log, segment);
    logbuild_random_record(log, 10);
    log->maker.header.watermark.position =
        (struct dwal__position){segment->header.number, segment->tail};
    logbuild_seal(log);
}

/* [close-last] What no writer writes is not looked for. */
static void test_behind_close(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    struct logbuild_segment *two = f->log.segments[1];
    logbuild_close(&f->log, one);
    uint8_t *behind = one->bytes + one->tail;
    evidence_place(&f->log, one);
    two->next_lsn = one->next_lsn;
    evidence_place(&f->log, two);
    recovered_all(&f->result, &f->log, "closed", 3);
    /* Only if the close speaks for the end of the run … */
    behind[0] = 0xD7;
    memcpy(behind + 16, one->bytes + BLOCK + 16, 8);
    recovered_all(&f->result, &f->log, "lost-records", 3);
    memset(behind, 0, BLOCK);
    two->bytes[BLOCK + 1] = 1;
    recovered_all(&f->result, &f->log, "closed", 3);
    memcpy(two->bytes + BLOCK + 16, &two->header.salt, 8);
    recovered_all(&f->result, &f->log, "lost-records", 3);
    memset(two->bytes + BLOCK, 0, BLOCK);
    /* … and for the segment, which may be of a later open. */
    two->header.epoch++;
    logbuild_header(two);
    recovered_all(&f->result, &f->log, "lost-records", 3);
}

/* Of a segment that is proven, only the start is read at open. */
static void test_start_alone(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *segment = NULL;
    struct logbuild log;
    logbuild_init(&log, BLOCK, 256 * BLOCK);
    for (uint64_t number = 1; number <= 3; number++) {
        struct dwal__start start = logbuild_after(segment);
        segment = logbuild_segment(&log, number, number - 1);
        logbuild_begin(&log, segment);
        logbuild_start_record(&log, &start);
        logbuild_random_record(&log, 100 * BLOCK);
        logbuild_seal(&log);
    }
    logbuild_segment(&log, 4, 3);
    logbuild_close(&log, segment);
    recovered_all(&f->result, &log, "closed", 3);
    struct imagedisk image;
    imagedisk_init(&image, &log);
    image.fail = IMAGEDISK_READ;
    image.fail_error = -EIO;
    image.fail_offset = 64 * BLOCK;
    strcpy(image.fail_name, "0000000000000001.wal");
    recovered_run(&f->result, &image, 0, true);
    recovered_check(&f->result, "closed", 3);
    recovered_run(&f->result, &image, ANY, true);
    assert_int_equal(f->result.recovery.verdict, DWAL__VERDICT_UNREADABLE);
    assert_false(dwal__recovery_settled(&f->result.recovery));
    assert_int_equal(f->result.error.offset, 64 * BLOCK);
    logbuild_free(&log);
}

/* An open after a close reads the log and no more. */
static void test_close_reads(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    recovered_run(&f->result, &image, 0, false);
    uint64_t open = image.scanned;
    logbuild_close(&f->log, one);
    imagedisk_init(&image, &f->log);
    recovered_run(&f->result, &image, 0, false);
    recovered_check(&f->result, "closed", 3);
    assert_in_range(image.scanned, 0, open);
}

static void test_torn(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    const struct logbuild_batch *batch = logbuild_records(&f->log, one, 2, 400);
    tear(one, batch);
    recovered_all(&f->result, &f->log, "torn", 3);
    check_undecidable(&f->result, 4, 5);
    const struct dwal__finding *torn =
        recovered_finding(&f->result, DWAL__FINDING_TAIL_TORN);
    assert_int_equal(torn->segment, 1);
    assert_int_equal(torn->offset, batch->offset);
    assert_int_equal(torn->lsn_from, 4);
    assert_int_equal(torn->lsn_to, 5);
    assert_int_equal(f->result.kinds[DWAL__FINDING_TAIL_FLIPPED], 0);
}

/* With several in flight, a valid batch may stand behind a torn one: it is
 * part of the tail, and only its header counts. */
static void test_torn_with_valid_behind(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    const struct logbuild_batch *four = logbuild_records(&f->log, one, 2, 400);
    logbuild_begin(&f->log, one);
    logbuild_random_record(&f->log, 10);
    watermark_set(&f->log, 3, 1, four->offset);
    logbuild_seal(&f->log);
    tear(one, four);
    recovered_all(&f->result, &f->log, "torn", 3);
    check_undecidable(&f->result, 4, 6);
}

static void test_torn_open(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    uint8_t *head = one->bytes + one->tail;
    head[77] = 5; /* nobody's bytes where a batch may have been acknowledged */
    recovered_all(&f->result, &f->log, "torn-open", 3);
    check_undecidable(&f->result, 4, UINT64_MAX);
    assert_int_equal(f->result.kinds[DWAL__FINDING_TAIL_BAD_HEAD], 1);
    head[77] = 0;
    const struct logbuild_batch *batch = logbuild_records(&f->log, one, 2, 400);
    memset(one->bytes + batch->offset + 32, 0, BLOCK - 32);
    recovered_all(&f->result, &f->log, "torn-open", 3);
    check_undecidable(&f->result, 4, UINT64_MAX);
}

/* SPEC 7.6: a mark that covers all makes a foreign head clean, not a damaged
 * one; a mark that does not cover, neither. */
static void test_mark_and_head(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    const struct logbuild_batch *mark = logbuild_mark(&f->log, one);
    uint8_t *head = one->bytes + one->tail;
    head[77] = 5;
    recovered_all(&f->result, &f->log, "clean", 3);
    memcpy(head + 16, one->bytes + mark->offset + 16, 8); /* the salt */
    recovered_all(&f->result, &f->log, "torn-open", 3);
    memset(head, 0, BLOCK);
    head[77] = 5;
    watermark_set(&f->log, 3, 1, mark->offset - BLOCK);
    batch_seal(&f->log.maker);
    recovered_all(&f->result, &f->log, "torn-open", 3);
}

/* The head of a prepared segment is one, too. */
static void test_head_of_successor(void **state) {
    struct recovered_fixture *f = *state;
    small_log(&f->log);
    struct logbuild_segment *two = f->log.segments[1];
    two->bytes[BLOCK + 8] = 1;
    recovered_all(&f->result, &f->log, "torn-open", 3);
    two->bytes[BLOCK + 8] = 0;
    two->bytes[2 * BLOCK + 8] = 1; /* any other block is none */
    recovered_all(&f->result, &f->log, "clean", 3);
}

static void test_lost_records(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    const struct logbuild_batch *batch = logbuild_records(&f->log, one, 2, 400);
    logbuild_mark(&f->log, one);
    tear(one, batch);
    recovered_all(&f->result, &f->log, "lost-records", 3);
    assert_int_equal(f->result.recovery.lost_from, 4);
    assert_int_equal(f->result.recovery.lost_to, 5);
    const struct dwal__finding *bad =
        recovered_finding(&f->result, DWAL__FINDING_BATCH_BAD);
    assert_int_equal(bad->segment, 1);
    assert_int_equal(bad->fault, DWAL__FAULT_RECORD_CRC);
    assert_int_equal(bad->lsn_from, 4);
    assert_int_equal(bad->lsn_to, 5);
    assert_int_equal(f->result.kinds[DWAL__FINDING_EVIDENCE_BEYOND], 1);
    check_error(&f->result, DWAL_ECORRUPT,
                "segment 1 (0000000000000001.wal), offset ");
    check_error(&f->result, DWAL_ECORRUPT,
                "record checksum mismatch; acknowledged records 4 to 5 are "
                "gone or cannot be reached; run walfsck");
}

/* A vote in a system record is acknowledged as well. */
static void test_lost_metadata(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    logbuild_begin(&f->log, one);
    logbuild_system(&f->log, DWAL__SYSTEM_METADATA, "vote", 4);
    const struct logbuild_batch *batch = logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 3);
    assert_true(f->result.recovery.metadata_present);
    assert_int_equal(f->result.recovery.metadata_size, 4);
    assert_memory_equal(f->result.recovery.metadata, "vote", 4);
    logbuild_mark(&f->log, one);
    one->bytes[batch->offset + DWAL__BATCH_HEADER_SIZE + 33] ^= 2;
    recovered_all(&f->result, &f->log, "lost-records", 3);
    assert_true(f->result.recovery.lost_from > f->result.recovery.lost_to);
    check_error(&f->result, DWAL_ECORRUPT, "metadata or trims are gone");
    assert_int_equal(
        recovered_finding(&f->result, DWAL__FINDING_TAIL_FLIPPED)->offset,
        batch->offset + DWAL__BATCH_HEADER_SIZE + 33);
    f->log.lock[3] ^= 1; /* nothing was computed: nothing of it is told */
    recovered_all(&f->result, &f->log, "bad-structure", 3);
    assert_int_equal(f->result.kinds[DWAL__FINDING_TAIL_FLIPPED], 0);
}

/* ---- SPEC 7.9 ---- */

struct example {
    struct logbuild_segment *one, *two;
    const struct logbuild_batch *eleven, *fourteen, *fifteen;
};

static struct example example_make(struct logbuild *log) {
    struct example e;
    e.one = logbuild_segment(log, 1, 0);
    e.two = logbuild_segment(log, 2, 1);
    logbuild_segment(log, 3, 2);
    logbuild_start(log, e.one, NULL);
    logbuild_records(log, e.one, 10, 20);
    struct dwal__start start = logbuild_after(e.one);
    logbuild_start(log, e.two, &start);
    e.eleven = logbuild_records(log, e.two, 1, 20);
    e.fourteen = logbuild_records(log, e.two, 3, 400);
    e.fifteen = logbuild_records(log, e.two, 1, 600);
    return e;
}

static void test_example(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    recovered_all(&f->result, &f->log, "clean", 15);
    assert_int_equal(f->result.recovery.watermark.lsn, 14);
    assert_int_equal(f->result.recovery.watermark.position.offset,
                     e.fourteen->end);
    assert_true(f->result.recovery.segments[0].live);
    assert_int_equal(f->result.recovery.segments[0].live_lsn, 10);
    assert_int_equal(f->result.recovery.segments[0].live_end, e.one->tail);
}

static void test_example_middle_torn(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    tear(e.two, e.fourteen);
    recovered_all(&f->result, &f->log, "lost-records", 11);
    assert_int_equal(f->result.recovery.end.offset, e.eleven->end);
    assert_int_equal(f->result.recovery.lost_from, 12);
    assert_int_equal(f->result.recovery.lost_to, 14);
    memset(e.two->bytes + e.fourteen->offset, 0,
           e.fourteen->end - e.fourteen->offset);
    recovered_all(&f->result, &f->log, "lost-records", 11);
    check_error(&f->result, DWAL_ECORRUPT,
                "zeros where a batch had been; acknowledged records 12 to 14");
}

static void test_example_last_torn(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    tear(e.two, e.fifteen);
    recovered_all(&f->result, &f->log, "torn", 14);
    check_undecidable(&f->result, 15, 15);
}

static void test_example_successor_missing(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    f->log.segments[2]->present = false;
    recovered_all(&f->result, &f->log, "missing-successor", 15);
    check_error(&f->result, DWAL_ECORRUPT, "records from 16 on may be gone");
    assert_int_equal(
        recovered_finding(&f->result, DWAL__FINDING_SUCCESSOR_MISSING)->segment,
        2);
}

static void test_example_segment_missing(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    f->log.segments[1]->present = false;
    recovered_all(&f->result, &f->log, "missing-segment", 10);
    assert_int_equal(f->result.recovery.missing, 2);
    const struct dwal__finding *missing =
        recovered_finding(&f->result, DWAL__FINDING_SEGMENT_MISSING);
    assert_int_equal(missing->segment, 2);
    assert_int_equal(missing->other, 3);
    check_error(&f->result, DWAL_ECORRUPT, "segment 2 (0000000000000002.wal)");
}

/* The lowest of a walk is missing: what is there is not reachable. */
static void test_first_segment_missing(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    f->log.segments[0]->present = false;
    recovered_all(&f->result, &f->log, "lost-records", 0);
    assert_int_equal(f->result.recovery.lost_from, 1);
    assert_int_equal(f->result.recovery.lost_to, 14);
    assert_int_equal(f->result.kinds[DWAL__FINDING_SEGMENT_MISSING], 1);
}

/* ---- structure ---- */

static void check_structure(struct recovered_fixture *f,
                            enum dwal__finding_kind kind, const char *text) {
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_OK);
    assert_string_equal(f->result.recovery.decision->name, "bad-structure");
    assert_int_equal(f->result.kinds[kind], 1);
    check_error(&f->result, DWAL_ECORRUPT, text);
}

static void test_lock_damaged(void **state) {
    struct recovered_fixture *f = *state;
    small_log(&f->log);
    for (unsigned i = 0; i < DWAL__LOCK_SIZE; i++) {
        f->log.lock[i] ^= 1;
        check_structure(f, DWAL__FINDING_LOCK_BAD, "LOCK: damaged");
        f->log.lock[i] ^= 1;
    }
    f->log.lock_size = DWAL__LOCK_SIZE - 1;
    check_structure(f, DWAL__FINDING_LOCK_BAD, "LOCK: damaged");
    f->log.lock_size = 0;
    check_structure(f, DWAL__FINDING_LOCK_BAD, "LOCK: damaged");
    f->log.lock_size = DWAL__LOCK_SIZE + 1;
    check_structure(f, DWAL__FINDING_LOCK_BAD, "LOCK: damaged");
    f->log.lock_size = DWAL__LOCK_SIZE;
    recovered_all(&f->result, &f->log, "clean", 3);
}

static void test_file_size(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    static const uint64_t sizes[] = {0,     1,         127,        128,
                                     BLOCK, 2 * BLOCK, SEGMENT - 1};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        one->size = sizes[i];
        check_structure(f,
                        sizes[i] < 128 ? DWAL__FINDING_HEADER_BAD
                                       : DWAL__FINDING_FILE_SIZE,
                        "segment 1 (0000000000000001.wal): ");
    }
    one->bytes = realloc(one->bytes, SEGMENT + 1);
    one->size = SEGMENT + 1;
    check_structure(f, DWAL__FINDING_FILE_SIZE, "longer than its header says");
    f->log.segments[1]->size = 0;
    one->size = SEGMENT;
    check_structure(f, DWAL__FINDING_HEADER_BAD, "segment 2 ");
}

static void test_swapped(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    char name[64];
    strcpy(name, f->log.segments[0]->name);
    strcpy(f->log.segments[0]->name, f->log.segments[1]->name);
    strcpy(f->log.segments[1]->name, name);
    recovered_log(&f->result, &f->log);
    assert_string_equal(f->result.recovery.decision->name, "bad-structure");
    assert_int_equal(f->result.kinds[DWAL__FINDING_HEADER_NUMBER], 2);
    assert_int_equal(
        recovered_finding(&f->result, DWAL__FINDING_HEADER_NUMBER)->other, 2);
    check_error(&f->result, DWAL_ECORRUPT, "its header is that of another");
}

static void test_renamed(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    dwal__segment_name(9, f->log.segments[1]->name);
    check_structure(f, DWAL__FINDING_HEADER_NUMBER, "segment 9 ");
    strcpy(f->log.segments[1]->name, "0000000000000002.WAL"); /* not ours */
    recovered_all(&f->result, &f->log, "missing-segment", 10);
    assert_int_equal(f->result.kinds[DWAL__FINDING_OTHER_FILE], 1);
    strcpy(f->log.segments[1]->name, "copy\nof 2.wal");
    check_structure(f, DWAL__FINDING_NAME_BAD,
                    "copy?of 2.wal: its name is no segment number");
    strcpy(f->log.segments[1]->name, "0000000000000002.spare");
    recovered_all(&f->result, &f->log, "missing-segment", 10);
    assert_int_equal(f->result.recovery.spare_count, 1);
    assert_int_equal(f->result.recovery.spares[0], 2);
}

static void test_foreign_uuid(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    one->header.uuid.bytes[3] ^= 1;
    dwal__segment_header_encode(&one->header, one->bytes);
    check_structure(f, DWAL__FINDING_HEADER_UUID, "belongs to another log");
}

static void test_newer(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    struct logbuild_segment *two = f->log.segments[1];
    two->header.features_compatible = 0x80;
    two->header.features_read_only = 0x40; /* a writer looks at these */
    logbuild_header(two);
    recovered_all(&f->result, &f->log, "clean", 3);
    two->header.features_incompatible = 0x10;
    logbuild_header(two);
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_EVERSION);
    check_error(&f->result, DWAL_EVERSION, "incompatible features 0x10");
    two->header.features_incompatible = 0;
    logbuild_header(two);
    /* An unknown record with the high bit, even behind a close. */
    logbuild_close(&f->log, one);
    logbuild_begin(&f->log, one);
    logbuild_system(&f->log, 0x8077, "?", 1);
    logbuild_seal(&f->log);
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_EVERSION);
    check_error(&f->result, DWAL_EVERSION, "segment 1 ");
}

static void test_unknown_compatible_record(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    logbuild_begin(&f->log, one);
    logbuild_system(&f->log, 0x0077, "?", 1);
    logbuild_random_record(&f->log, 1);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 4);
}

static void batch_flag(struct logbuild_segment *segment, uint64_t offset) {
    uint8_t *bytes = segment->bytes + offset;
    bytes[96] = 1;
    dwal__put32(bytes + 4, dwal__crc32(0, bytes + 8, 120));
}

/* A batch with flags at the end of a run: newer. Behind it: left over, and no
 * evidence. */
static void test_batch_flags(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    const struct logbuild_batch *batch = logbuild_records(&f->log, one, 1, 10);
    batch_flag(one, batch->offset);
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_EVERSION);
    assert_null(f->result.recovery.segments);
    check_error(&f->result, DWAL_EVERSION, "segment 1 ");
    f->log.lock_present = false; /* what is damaged is not newer */
    recovered_log(&f->result, &f->log);
    recovered_check(&f->result, "bad-structure", 3);
    f->log.lock_present = true;
    memset(one->bytes + batch->offset, 0, BLOCK);
    batch_flag(one, logbuild_records(&f->log, one, 1, 10)->offset);
    recovered_all(&f->result, &f->log, "torn", 3);
    check_undecidable(&f->result, 4, 5);
    assert_int_equal(f->result.recovery.watermark.position.offset, 2 * BLOCK);
}

/* [newer] A batch that is torn asks for nothing. */
static void test_newer_torn(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    logbuild_begin(&f->log, one);
    logbuild_system(&f->log, 0x8077, "?", 1);
    logbuild_random_record(&f->log, 900);
    const struct logbuild_batch *batch = logbuild_seal(&f->log);
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.code, DWAL_EVERSION);
    tear(one, batch);
    recovered_all(&f->result, &f->log, "torn", 3);
    check_undecidable(&f->result, 4, 4);
}

/* ---- cuts, trims, dead segments ---- */

/* Segment 2 cuts the log of segment 1 after LSN 4, in the middle of a batch. */
static void test_cut(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    struct logbuild_segment *two = f->log.segments[1];
    logbuild_segment(&f->log, 3, 2);
    logbuild_records(&f->log, one, 3, 30);
    struct dwal__start start = logbuild_after(one);
    logbuild_records(&f->log, one, 4, 30); /* hidden altogether */
    logbuild_mark(&f->log, one);
    start.flags = DWAL__START_CUT;
    start.previous_lsn = 4;
    logbuild_start(&f->log, two, &start);
    recovered_all(&f->result, &f->log, "clean", 4);
    assert_int_equal(f->result.recovery.segments[0].live_lsn, 4);
    assert_int_equal(f->result.recovery.segments[0].live_end,
                     start.previous_end);
    logbuild_records(&f->log, two, 2, 30);
    recovered_all(&f->result, &f->log, "clean", 6);
    assert_int_equal(f->result.recovery.first_lsn, 1);
}

/* An acknowledged cut is not undone by a bad block in what it dropped, and a
 * cut that is damaged is not taken for one that never was. */
static void test_cut_damaged(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    struct logbuild_segment *two = f->log.segments[1];
    logbuild_segment(&f->log, 3, 2);
    struct dwal__start start = logbuild_after(one);
    const struct logbuild_batch *hidden =
        logbuild_records(&f->log, one, 4, 300);
    logbuild_mark(&f->log, one);
    start.flags = DWAL__START_CUT;
    start.previous_lsn = 2;
    logbuild_start(&f->log, two, &start);
    logbuild_mark(&f->log, two);
    tear(one, hidden);
    recovered_all(&f->result, &f->log, "clean", 2);
    two->bytes[2 * BLOCK - 1] ^= 1; /* the padding of the start's batch */
    recovered_all(&f->result, &f->log, "lost-records", 3);
    assert_int_equal(f->result.kinds[DWAL__FINDING_BATCH_BAD], 1);
    assert_int_equal(
        recovered_finding(&f->result, DWAL__FINDING_BATCH_BAD)->segment, 2);
}

/* A cut must name an LSN of the batch at the named end. */
static void test_cut_bounds(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    struct logbuild_segment *two = f->log.segments[1];
    logbuild_segment(&f->log, 3, 2);
    logbuild_records(&f->log, one, 3, 30); /* 4 to 6 */
    struct dwal__start start = logbuild_after(one);
    for (uint64_t lsn = 1; lsn <= 8; lsn++) {
        start.flags = DWAL__START_CUT;
        start.previous_lsn = lsn;
        logbuild_recycle(&f->log, two, 2, 1);
        memset(two->bytes + BLOCK, 0, SEGMENT - BLOCK);
        logbuild_begin(&f->log, two);
        logbuild_start_record(&f->log, &start);
        watermark_set(&f->log, 0, 0, 0);
        logbuild_seal(&f->log);
        bool fits = lsn >= 3 && lsn <= 6;
        recovered_all(&f->result, &f->log, fits ? "clean" : "torn",
                      fits ? lsn : 6);
    }
    start.flags = 0; /* without the flag only the last will do */
    start.previous_lsn = 5;
    logbuild_recycle(&f->log, two, 2, 1);
    logbuild_start(&f->log, two, &start);
    recovered_log(&f->result, &f->log);
    assert_int_equal(f->result.recovery.durable_lsn, 6);
}

static void test_start_must_fit(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    struct dwal__start right = logbuild_after(e.one);
    for (int i = 0; i < 5; i++) {
        struct dwal__start start = right;
        start.previous_end += i == 0 ? BLOCK : i == 1 ? (uint64_t)0 - BLOCK : 0;
        start.previous_link ^= i == 2;
        start.previous_lsn -= i == 3;
        start.previous_segment += i == 4;
        logbuild_recycle(&f->log, e.two, 2, 1);
        logbuild_begin(&f->log, e.two);
        logbuild_start_record(&f->log, &start);
        watermark_set(&f->log, 0, 0, 0);
        logbuild_seal(&f->log);
        logbuild_begin(&f->log, e.two);
        logbuild_random_record(&f->log, 5);
        watermark_set(&f->log, 0, 0, 0);
        logbuild_seal(&f->log);
        recovered_all(&f->result, &f->log, "torn", 10);
        assert_int_equal(f->result.kinds[DWAL__FINDING_SEGMENT_DEAD], 1);
    }
}

/* The first batch's LSN is the start's, not what its header says. */
static void test_first_lsn(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    struct dwal__start start = logbuild_after(e.one);
    for (int i = 0; i < 2; i++) { /* and an unknown type does not excuse it */
        logbuild_recycle(&f->log, e.two, 2, 1);
        logbuild_begin(&f->log, e.two);
        logbuild_start_record(&f->log, &start);
        f->log.maker.header.first_lsn++;
        watermark_set(&f->log, 0, 0, 0);
        if (i == 1)
            logbuild_system(&f->log, 0x8077, "?", 1);
        logbuild_seal(&f->log);
        recovered_all(&f->result, &f->log, "torn", 10);
        assert_int_equal(f->result.recovery.segments[1].end_batch.fault,
                         DWAL__FAULT_LSN);
        assert_false(f->result.recovery.segments[1].started);
    }
}

/* A start may name lower segments only, however well it fits a higher one. */
static void test_start_names_higher(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    struct logbuild_segment *three = f->log.segments[2];
    logbuild_segment(&f->log, 4, 3);
    struct dwal__start alone = {.previous_lsn = 4};
    logbuild_start(&f->log, three, &alone);
    logbuild_begin(&f->log, three);
    logbuild_random_record(&f->log, 9);
    watermark_set(&f->log, 0, 0, 0);
    logbuild_seal(&f->log);
    struct dwal__start start = logbuild_after(three);
    start.trim_lsn = 4;
    logbuild_recycle(&f->log, e.two, 2, 1);
    logbuild_begin(&f->log, e.two);
    logbuild_start_record(&f->log, &start);
    watermark_set(&f->log, 0, 0, 0);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "torn", 10);
    assert_int_equal(f->result.recovery.end.segment, 1);
}

static void test_trim(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    logbuild_begin(&f->log, e.two);
    logbuild_trim(&f->log, 9);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 15);
    assert_int_equal(f->result.recovery.trim_lsn, 9);
    assert_int_equal(f->result.recovery.first_lsn, 10);
    assert_true(f->result.recovery.segments[0].live);
    logbuild_begin(&f->log, e.two);
    logbuild_trim(&f->log, 10);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 15);
    assert_int_equal(f->result.recovery.first_lsn, 11);
    assert_false(f->result.recovery.segments[0].live);
    f->log.segments[0]->present = false; /* retired */
    recovered_all(&f->result, &f->log, "clean", 15);
    logbuild_begin(&f->log, e.two);
    logbuild_trim(&f->log, 3); /* lower: does nothing */
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 15);
    assert_int_equal(f->result.recovery.first_lsn, 11);
    logbuild_begin(&f->log, e.two);
    logbuild_trim(&f->log, 15);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 15);
    assert_int_equal(f->result.recovery.first_lsn, 16);
    logbuild_begin(&f->log, e.two);
    logbuild_trim(&f->log, 16); /* beyond its own run: no writer's */
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "lost-records", 0);
    check_error(&f->result, DWAL_ECORRUPT,
                "segment 1 (0000000000000001.wal): "
                "the file is missing");
    f->log.segments[0]->present = true;
    recovered_all(&f->result, &f->log, "lost-records", 10);
    check_error(&f->result, DWAL_ECORRUPT,
                "what follows cannot be reached; "
                "acknowledged records 11 to 15");
}

/* Trim point and metadata travel in starts. */
static void test_start_carries(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    struct logbuild_segment *three = f->log.segments[2];
    logbuild_segment(&f->log, 4, 3);
    struct dwal__start start = logbuild_after(e.two);
    start.trim_lsn = 12;
    start.metadata = (const uint8_t *)"term 5";
    start.metadata_size = 6;
    logbuild_start(&f->log, three, &start);
    f->log.segments[0]->present = false;
    recovered_all(&f->result, &f->log, "clean", 15);
    const struct dwal__recovery *r = &f->result.recovery;
    assert_int_equal(r->first_lsn, 13);
    assert_int_equal(r->metadata_size, 6);
    assert_memory_equal(r->metadata, "term 5", 6);
    assert_true(r->segments[0].number == 2 && r->segments[0].live);
    logbuild_begin(&f->log, three);
    logbuild_system(&f->log, DWAL__SYSTEM_METADATA, "6", 1);
    logbuild_system(&f->log, DWAL__SYSTEM_METADATA, "term 7", 6);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 15);
    assert_memory_equal(r->metadata, "term 7", 6);
    logbuild_begin(&f->log, three);
    logbuild_system(&f->log, DWAL__SYSTEM_METADATA, NULL, 0);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 15);
    assert_false(r->metadata_present);
}

static void test_reset(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *five = logbuild_segment(&f->log, 5, 0);
    logbuild_segment(&f->log, 6, 5);
    struct dwal__start start = {.flags = DWAL__START_RESET, .trim_lsn = 99};
    logbuild_start(&f->log, five, &start);
    recovered_all(&f->result, &f->log, "clean", 99);
    assert_int_equal(f->result.recovery.first_lsn, 100);
    logbuild_records(&f->log, five, 2, 9);
    recovered_all(&f->result, &f->log, "clean", 101);
}

/* A crash, a new epoch, another crash: segments in between are dead, and what
 * they say is no evidence against the live end. */
static void test_dead_segments(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    struct logbuild_segment *three = f->log.segments[2];
    logbuild_segment(&f->log, 4, 3);
    /* Segment 3 was begun before 15 was durable, and 15 was lost. */
    struct dwal__start start = logbuild_after(e.two);
    logbuild_begin(&f->log, three);
    logbuild_start_record(&f->log, &start);
    watermark_set(&f->log, 14, 2, e.fourteen->end);
    logbuild_seal(&f->log);
    logbuild_begin(&f->log, three);
    logbuild_random_record(&f->log, 10);
    watermark_set(&f->log, 14, 2, e.fourteen->end);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 16);
    tear(e.two, e.fifteen);
    recovered_all(&f->result, &f->log, "torn", 14);
    check_undecidable(&f->result, 15, 16);
    assert_int_equal(f->result.kinds[DWAL__FINDING_SEGMENT_DEAD], 1);
    assert_int_equal(f->result.kinds[DWAL__FINDING_TAIL_TORN], 2);
    /* The new epoch. */
    f->log.epoch = 2;
    struct logbuild_segment *five = logbuild_segment(&f->log, 5, 2);
    logbuild_segment(&f->log, 6, 5);
    struct dwal__start again = {.previous_segment = 2,
                                .previous_end = e.fourteen->end,
                                .previous_lsn = 14,
                                .previous_link = e.fourteen->crc};
    logbuild_start(&f->log, five, &again);
    logbuild_records(&f->log, five, 3, 10);
    recovered_all(&f->result, &f->log, "clean", 17);
    assert_int_equal(f->result.recovery.epoch_max, 2);
    assert_int_equal(f->result.recovery.end.segment, 5);
    assert_false(f->result.recovery.segments[2].live);
    /* Retired from the highest down; each step is a clean log. */
    f->log.segments[3]->present = false;
    recovered_all(&f->result, &f->log, "clean", 17);
    f->log.segments[2]->present = false;
    recovered_all(&f->result, &f->log, "clean", 17);
}

/* The start of the live end's segment is lost, and nothing proves that it was
 * acknowledged: the log ends before it. With proof it is corrupt. */
static void test_start_torn(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    logbuild_recycle(&f->log, e.two, 2, 1);
    memset(e.two->bytes + BLOCK, 0, SEGMENT - BLOCK);
    struct dwal__start start = logbuild_after(e.one);
    logbuild_start(&f->log, e.two, &start);
    e.two->bytes[BLOCK + 140] ^= 1;
    recovered_all(&f->result, &f->log, "torn", 10);
    assert_false(f->result.recovery.undecidable);
    assert_int_equal(f->result.kinds[DWAL__FINDING_TAIL_FLIPPED], 1);
    logbuild_mark(&f->log, e.two);
    recovered_all(&f->result, &f->log, "lost-records", 10);
}

/* ---- files that are used again ---- */

/* Everything of the older use is still there, at the same places and with the
 * same LSNs, and none of it counts. */
static void test_recycled(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    struct logbuild_segment *three = f->log.segments[2];
    logbuild_segment(&f->log, 4, 3);
    struct dwal__start start = logbuild_after(e.two);
    logbuild_start(&f->log, three, &start);
    logbuild_records(&f->log, three, 5, 90);
    logbuild_records(&f->log, three, 5, 90);
    recovered_all(&f->result, &f->log, "clean", 25);
    logbuild_recycle(&f->log, three, 3, 2);
    recovered_all(&f->result, &f->log, "clean", 15);
    assert_int_equal(f->result.recovery.segments[2].end_fault,
                     DWAL__FAULT_STALE);
    logbuild_start(&f->log, three, &start);
    recovered_all(&f->result, &f->log, "clean", 15);
    assert_int_equal(f->result.recovery.end.segment, 3);
    assert_int_equal(f->result.recovery.segments[2].end_fault,
                     DWAL__FAULT_STALE);
    assert_false(f->result.recovery.segments[2].left_over);
}

/* A new header before records of an older use of the file under the same salt,
 * good in every respect but that this header was made for others: the digest
 * tells. (With another salt the records themselves tell.) */
static void test_stale_records(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    uint8_t old[2 * BLOCK];
    uint64_t random = f->log.random;
    const struct logbuild_batch *batch = logbuild_records(&f->log, one, 1, 500);
    memcpy(old, one->bytes + batch->offset, sizeof old);
    one->batch_count--;
    one->tail = batch->offset;
    one->link = one->batches[one->batch_count - 1].crc;
    one->next_lsn = batch->first_lsn;
    assert_true(f->log.random != random); /* other payload this time */
    logbuild_records(&f->log, one, 1, 500);
    recovered_all(&f->result, &f->log, "clean", 4);
    memcpy(one->bytes + batch->offset + 128, old + 128, sizeof old - 128);
    recovered_all(&f->result, &f->log, "torn", 3);
    assert_int_equal(f->result.recovery.segments[0].end_batch.fault,
                     DWAL__FAULT_DIGEST);
}

static void test_stale_records_other_salt(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    uint8_t old[BLOCK];
    const struct logbuild_batch *batch = logbuild_records(&f->log, one, 1, 100);
    memcpy(old, one->bytes + batch->offset, sizeof old);
    uint64_t offset = batch->offset;
    logbuild_recycle(&f->log, one, 1, 0);
    memset(one->bytes + BLOCK, 0, SEGMENT - BLOCK);
    logbuild_start(&f->log, one, NULL);
    logbuild_records(&f->log, one, 3, 150);
    assert_int_equal(logbuild_records(&f->log, one, 1, 100)->offset, offset);
    memcpy(one->bytes + offset + 128, old + 128, sizeof old - 128);
    recovered_all(&f->result, &f->log, "torn", 3);
    assert_int_equal(f->result.recovery.segments[0].end_batch.fault,
                     DWAL__FAULT_RECORD_SALT);
}

/* A batch is in its place only with the right link, LSN, offset and number. */
static void test_wrong_place(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    struct logbuild_segment *two = f->log.segments[1];
    const struct logbuild_batch *batch = logbuild_records(&f->log, one, 1, 10);
    memcpy(one->bytes + batch->end, one->bytes + batch->offset, BLOCK);
    recovered_all(&f->result, &f->log, "torn-open", 4);
    assert_int_equal(f->result.recovery.segments[0].end_fault,
                     DWAL__FAULT_PLACE);
    memset(one->bytes + batch->end, 0, BLOCK);
    memcpy(two->bytes + BLOCK, one->bytes + BLOCK, BLOCK); /* salt of 1 */
    recovered_all(&f->result, &f->log, "clean", 4);
    memset(two->bytes + BLOCK, 0, BLOCK);
    logbuild_begin(&f->log, one);
    logbuild_random_record(&f->log, 10);
    f->log.maker.header.link ^= 1;
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "torn", 4);
    assert_int_equal(f->result.recovery.segments[0].end_batch.fault,
                     DWAL__FAULT_LINK);
    assert_false(f->result.recovery.segments[0].flipped);
}

static void test_lsn_gap(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    one->next_lsn++;
    logbuild_begin(&f->log, one);
    logbuild_random_record(&f->log, 10);
    watermark_set(&f->log, 0, 0, 0);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "torn", 3);
    assert_int_equal(f->result.recovery.segments[0].end_batch.fault,
                     DWAL__FAULT_LSN);
}

static void test_full_segment(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    while (one->tail < SEGMENT - BLOCK)
        logbuild_records(&f->log, one, 1, 10);
    recovered_all(&f->result, &f->log, "clean", one->next_lsn - 1);
    logbuild_records(&f->log, one, 2, 10);
    assert_int_equal(one->tail, SEGMENT);
    recovered_all(&f->result, &f->log, "clean", one->next_lsn - 1);
    assert_int_equal(f->result.recovery.end.offset, SEGMENT);
    assert_int_equal(f->result.recovery.segments[0].end_fault,
                     DWAL__FAULT_SHORT);
}

/* SPEC 9: the segments of one log may differ in both sizes. */
static void test_mixed_sizes(void **state) {
    struct recovered_fixture *f = *state;
    static const uint32_t blocks[] = {512, 65536, 4096, 1024};
    struct logbuild_segment *before = NULL;
    for (unsigned i = 0; i < 4; i++) {
        f->log.block_size = blocks[i];
        f->log.segment_size = 16 * blocks[i];
        struct logbuild_segment *segment = logbuild_segment(&f->log, i + 1, i);
        struct dwal__start start = logbuild_after(before);
        logbuild_start(&f->log, segment, &start);
        logbuild_records(&f->log, segment, 3, 2000);
        logbuild_mark(&f->log, segment);
        before = segment;
    }
    f->log.block_size = 4096;
    f->log.segment_size = 65536;
    logbuild_segment(&f->log, 5, 4);
    recovered_all(&f->result, &f->log, "clean", 12);
    /* A sector in the middle of a block of every size. */
    for (unsigned i = 0; i < 4; i++) {
        struct logbuild_segment *segment = f->log.segments[i];
        const struct logbuild_batch *batch = &segment->batches[1];
        uint8_t kept[512], *sector = segment->bytes + batch->offset + 1024;
        memcpy(kept, sector, 512);
        memset(sector, 0, 512);
        recovered_log(&f->result, &f->log);
        recovered_check(&f->result, "lost-records", 3 * i);
        const struct dwal__finding *bad =
            recovered_finding(&f->result, DWAL__FINDING_BATCH_BAD);
        assert_int_equal(bad->segment, i + 1);
        assert_int_equal(bad->lsn_to, 12);
        memcpy(sector, kept, 512);
        sector[77] ^= 0x20;
        recovered_log(&f->result, &f->log);
        recovered_check(&f->result, "lost-records", 3 * i);
        assert_int_equal(
            recovered_finding(&f->result, DWAL__FINDING_TAIL_FLIPPED)->offset,
            batch->offset + 1024 + 77);
        sector[77] ^= 0x20;
    }
}

/* ---- what is read, and in which order ---- */

/* File names are numbers, not text; and listings have any order. */
static void test_large_numbers(void **state) {
    struct recovered_fixture *f = *state;
    static const uint64_t numbers[] = {
        0x9, 0xA, 0x10, 0xFFFFFFFF, 0x100000000, INT64_MAX - 1, INT64_MAX};
    const unsigned count = sizeof numbers / sizeof numbers[0];
    struct logbuild_segment *before = NULL;
    for (unsigned i = 0; i < count; i++) {
        struct logbuild_segment *segment =
            logbuild_segment(&f->log, numbers[i], i > 0 ? numbers[i - 1] : 0);
        if (i == count - 1)
            break;
        struct dwal__start start = logbuild_after(before);
        logbuild_start(&f->log, segment, &start);
        logbuild_records(&f->log, segment, 2, 10);
        before = segment;
    }
    for (unsigned i = 0; i < count / 2; i++) { /* list them backwards */
        struct logbuild_segment *swapped = f->log.segments[i];
        f->log.segments[i] = f->log.segments[count - 1 - i];
        f->log.segments[count - 1 - i] = swapped;
    }
    recovered_all(&f->result, &f->log, "clean", 12);
    assert_int_equal(f->result.recovery.segment_count, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(f->result.recovery.segments[i].number, numbers[i]);
}

/* SPEC 11: what ends at or below W is not read at open, unless it is asked for;
 * damage there is found by who reads all. */
static void test_skip(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    const struct dwal__recovery *r = &f->result.recovery;
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    recovered_run(&f->result, &image, 0, false);
    assert_true(r->segments[0].live && !r->segments[0].scanned);
    assert_true(r->segments[1].scanned && r->segments[2].scanned);
    assert_int_equal(r->segments[0].live_end, e.one->tail);
    recovered_run(&f->result, &image, e.two->tail, false);
    assert_false(r->segments[0].scanned);
    recovered_run(&f->result, &image, e.two->tail + 1, false);
    assert_true(r->segments[0].scanned);
    tear(e.one, &e.one->batches[1]);
    recovered_run(&f->result, &image, 0, false);
    recovered_check(&f->result, "clean", 15);
    recovered_run(&f->result, &image, e.two->tail + 1, false);
    recovered_check(&f->result, "lost-records", 0);
    recovered_run(&f->result, &image, ANY, false);
    recovered_check(&f->result, "lost-records", 0);
    assert_int_equal(r->lost_from, 1);
    assert_int_equal(r->lost_to, 14);
    const struct dwal__finding *bad =
        recovered_finding(&f->result, DWAL__FINDING_BATCH_BAD);
    assert_int_equal(bad->segment, 1);
}

/* The start's own watermark covers its predecessor to the last byte. */
static void test_skip_exactly(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    struct logbuild_segment *two = f->log.segments[1];
    logbuild_segment(&f->log, 3, 2);
    struct dwal__start start = logbuild_after(one);
    logbuild_start(&f->log, two, &start);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    recovered_run(&f->result, &image, 0, false);
    recovered_check(&f->result, "clean", 3);
    assert_int_equal(f->result.recovery.watermark.position.offset, one->tail);
    assert_false(f->result.recovery.segments[0].scanned);
}

/* A predecessor whose end no watermark covers has to be read. */
static void test_no_skip_above_watermark(void **state) {
    struct recovered_fixture *f = *state;
    struct logbuild_segment *one = small_log(&f->log);
    struct logbuild_segment *two = f->log.segments[1];
    logbuild_segment(&f->log, 3, 2);
    const struct logbuild_batch *batch = logbuild_records(&f->log, one, 2, 400);
    struct dwal__start start = logbuild_after(one);
    logbuild_begin(&f->log, two);
    logbuild_start_record(&f->log, &start);
    watermark_set(&f->log, 3, 1, batch->offset);
    logbuild_seal(&f->log);
    recovered_all(&f->result, &f->log, "clean", 5);
    tear(one, batch);
    recovered_all(&f->result, &f->log, "torn", 3);
    check_undecidable(&f->result, 4, 5);
}

static void test_sync(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    recovered_run(&f->result, &image, 0, false);
    assert_int_equal(image.syncs, 0);
    recovered_run(&f->result, &image, 0, true);
    /* The start in 2 says that all before the end of 1 is durable. */
    assert_int_equal(image.syncs, 5);
    assert_string_equal(image.synced[0], ".");
    assert_string_equal(image.synced[1], "LOCK");
    assert_string_equal(image.synced[2], "0000000000000003.wal");
    assert_string_equal(image.synced[3], "0000000000000002.wal");
    assert_string_equal(image.synced[4], "0000000000000001.wal");
    struct dwal__start start = logbuild_after(e.two);
    logbuild_segment(&f->log, 4, 3);
    logbuild_start(&f->log, f->log.segments[2], &start);
    imagedisk_init(&image, &f->log);
    recovered_run(&f->result, &image, 0, true);
    assert_int_equal(image.syncs, 5); /* 1 not any more, but 4 */
    assert_string_equal(image.synced[2], "0000000000000004.wal");
    assert_string_equal(image.synced[4], "0000000000000002.wal");
}

/* ---- disks that fail ---- */

static void check_unreadable(struct recovered_fixture *f,
                             struct imagedisk *image, const char *text) {
    recovered_run(&f->result, image, ANY, true);
    recovered_check(&f->result, "unreadable", f->result.recovery.durable_lsn);
    assert_int_equal(dwal__recovery_code(&f->result.recovery), DWAL_EIO);
    assert_int_equal(f->result.error.os_errno, EIO);
    assert_true(f->result.kinds[DWAL__FINDING_FILE_UNREADABLE] >= 1);
    check_error(&f->result, DWAL_EIO, text);
    check_error(&f->result, DWAL_EIO, "Input/output error; check the disk");
}

/* [read-error] */
static void test_read_errors(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    image.fail_error = -EIO;
    image.fail = IMAGEDISK_LIST;
    check_unreadable(f, &image, "the directory: ");
    image.fail = IMAGEDISK_DIR_SYNC;
    check_unreadable(f, &image, "the directory: ");
    static const char *const names[] = {"LOCK", "0000000000000001.wal",
                                        "0000000000000002.wal",
                                        "0000000000000003.wal"};
    for (unsigned i = 0; i < 4; i++) {
        strcpy(image.fail_name, names[i]);
        for (int op = IMAGEDISK_OPEN; op <= IMAGEDISK_SYNC; op++) {
            image.fail = (enum imagedisk_operation)op;
            check_unreadable(f, &image, names[i]);
        }
        image.fail = IMAGEDISK_READ;
        for (uint64_t at = 0; i > 0 && at < SEGMENT; at += BLOCK) {
            image.fail_offset = at;
            check_unreadable(f, &image, names[i]);
        }
        image.fail_offset = UINT64_MAX;
    }
    image.fail = IMAGEDISK_OPEN; /* any file, and never "no log" */
    image.fail_name[0] = '\0';
    check_unreadable(f, &image, "LOCK: ");
}

/* A file that vanishes between listing and opening is no proof of anything. */
static void test_vanished(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    image.fail = IMAGEDISK_OPEN;
    image.fail_error = -ENOENT;
    strcpy(image.fail_name, "0000000000000002.wal");
    recovered_run(&f->result, &image, 0, false);
    assert_string_equal(f->result.recovery.decision->name, "unreadable");
}

/* A file that has become shorter since its size was asked for. */
static void test_shrinking(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    /* Of the last block only the header is looked at. */
    for (uint64_t end = 0; end < SEGMENT - BLOCK + 128; end += 50) {
        image.read_end = end;
        recovered_run(&f->result, &image, 0, false);
        check_that(f->result.code == DWAL_OK &&
                       f->result.recovery.verdict == DWAL__VERDICT_UNREADABLE,
                   "%llu bytes", (unsigned long long)end);
    }
}

/* The same, told by its size when it is opened once more. */
static void test_shrunk(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    recovered_run(&f->result, &image, ANY, false);
    recovered_check(&f->result, "clean", 15);
    uint64_t sizes = image.sizes;
    assert_int_equal(sizes, 6); /* each file is opened twice */
    for (uint64_t good = 0; good < sizes; good++) {
        imagedisk_init(&image, &f->log);
        image.sizes_true = good;
        recovered_run(&f->result, &image, ANY, false);
        assert_string_equal(f->result.recovery.decision->name,
                            good == 0 ? "bad-structure" : "unreadable");
    }
}

/* Names that are listed twice, as may happen while files are renamed. */
static void test_listed_twice(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    image.others[0] = "0000000000000002.wal";
    image.others[1] = "0000000000000001.wal";
    recovered_run(&f->result, &image, ANY, false);
    recovered_check(&f->result, "clean", 15);
    assert_int_equal(f->result.recovery.segment_count, 3);
}

/* A filesystem that takes O_DIRECT and then does not do it. */
static void test_direct_read_refused(void **state) {
    struct recovered_fixture *f = *state;
    example_make(&f->log);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    image.direct_read_refused = true;
    recovered_run(&f->result, &image, ANY, true);
    recovered_check(&f->result, "clean", 15);
}

static int progress_cancel(void *argument, uint64_t done, uint64_t total) {
    assert_true(done <= total);
    ++*(unsigned *)argument;
    return 1;
}

static int progress_count(void *argument, uint64_t done, uint64_t total) {
    progress_cancel(argument, done, total);
    return 0;
}

static void test_progress(void **state) {
    struct recovered_fixture *f = *state;
    f->log.segment_size = 16 << 20;
    struct logbuild_segment *one = logbuild_segment(&f->log, 1, 0);
    logbuild_segment(&f->log, 2, 1);
    logbuild_start(&f->log, one, NULL);
    struct imagedisk image;
    imagedisk_init(&image, &f->log);
    unsigned calls = 0;
    struct dwal__recover_options options = {
        .disk = &image.disk,
        .verify_bytes = ANY,
        .hooks = {.argument = &calls, .progress = progress_count}};
    struct dwal__recovery recovery;
    assert_int_equal(dwal__recover(&options, &recovery, NULL), DWAL_OK);
    assert_int_equal(recovery.verdict, DWAL__VERDICT_CLEAN);
    assert_in_range(calls, 6, 8);
    assert_true(recovery.bytes_read >= 32 << 20);
    assert_true(recovery.bytes_read < 33 << 20); /* nothing twice */
    dwal__recovery_release(&recovery);
    calls = 0;
    struct dwal_error error;
    options.hooks.progress = progress_cancel;
    assert_int_equal(dwal__recover(&options, &recovery, &error), DWAL_EAGAIN);
    assert_int_equal(calls, 1);
    assert_int_equal(image.open_handles, 0);
    assert_null(recovery.segments);
}

/* The same log on a real disk, through the kernel's table. */
static void test_real_directory(void **state) {
    struct recovered_fixture *f = *state;
    struct example e = example_make(&f->log);
    void *path;
    assert_int_equal(tempdir_setup(&path), 0);
    tear(e.two, e.fifteen);
    logbuild_write(&f->log, path);
    struct dwal__disk *disk = dwal__disk_kernel();
    int dir = disk->ops->dir_open(disk, path);
    assert_true(dir >= 0);
    struct dwal__recover_options options = {
        .disk = disk, .dir = dir, .sync = true, .verify_bytes = ANY};
    struct dwal__recovery recovery;
    assert_int_equal(dwal__recover(&options, &recovery, NULL), DWAL_OK);
    assert_string_equal(recovery.decision->name, "torn");
    assert_int_equal(recovery.durable_lsn, 14);
    assert_int_equal(recovery.undecidable_to, 15);
    dwal__recovery_release(&recovery);
    disk->ops->close(disk, dir);
    assert_int_equal(tempdir_teardown(&path), 0);
}

int main(void) {
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(test_##name, setup, recovered_teardown)
    const struct CMUnitTest tests[] = {
        TEST(no_log),
        TEST(interrupted_creation),
        TEST(lost_lock),
        TEST(lost_files),
        TEST(empty),
        TEST(clean),
        TEST(closed),
        TEST(behind_close),
        TEST(close_reads),
        TEST(start_alone),
        TEST(torn),
        TEST(torn_with_valid_behind),
        TEST(torn_open),
        TEST(mark_and_head),
        TEST(head_of_successor),
        TEST(lost_records),
        TEST(lost_metadata),
        TEST(example),
        TEST(example_middle_torn),
        TEST(example_last_torn),
        TEST(example_successor_missing),
        TEST(example_segment_missing),
        TEST(first_segment_missing),
        TEST(lock_damaged),
        TEST(file_size),
        TEST(swapped),
        TEST(renamed),
        TEST(foreign_uuid),
        TEST(newer),
        TEST(unknown_compatible_record),
        TEST(batch_flags),
        TEST(newer_torn),
        TEST(cut),
        TEST(cut_damaged),
        TEST(cut_bounds),
        TEST(start_must_fit),
        TEST(first_lsn),
        TEST(start_names_higher),
        TEST(trim),
        TEST(start_carries),
        TEST(reset),
        TEST(dead_segments),
        TEST(start_torn),
        TEST(recycled),
        TEST(stale_records),
        TEST(stale_records_other_salt),
        TEST(wrong_place),
        TEST(lsn_gap),
        TEST(full_segment),
        TEST(mixed_sizes),
        TEST(large_numbers),
        TEST(skip),
        TEST(skip_exactly),
        TEST(no_skip_above_watermark),
        TEST(sync),
        TEST(read_errors),
        TEST(vanished),
        TEST(shrinking),
        TEST(shrunk),
        TEST(listed_twice),
        TEST(direct_read_refused),
        TEST(progress),
        TEST(real_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
