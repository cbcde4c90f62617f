/* SPDX-License-Identifier: MIT */
/*
 * Repair and undo, on a disk in memory that can stop at any operation and
 * forget what was not synced. For each scene: the repair leads to a clean log
 * that still has all that was kept; stopped at every operation, as by a kill
 * and as by a loss of power, the log is never worse than before, and the same
 * repair run again ends with the same bytes; the undo files give back the very
 * bytes and names of before, also when they are stopped at every operation.
 */
#include "tests/support/check.h"
#include "tests/support/logdisk.h"
#include "tests/support/memdisk.h"

#include "format/bytes.h"
#include "fsck/undo.h"
#include "recover/repair.h"

#define BLOCK 512u
#define SEGMENT (32 * BLOCK)

/* ---- running it ---- */

static int recover_code(struct memdisk *memdisk,
                        struct dwal__recovery *recovery,
                        struct dwal_error *error) {
    struct dwal__recover_options options = {.disk = memdisk_disk(memdisk),
                                            .verify_bytes = UINT64_MAX};
    return dwal__recover(&options, recovery, error);
}

static void recover(struct memdisk *memdisk, struct dwal__recovery *recovery) {
    struct dwal_error error;
    if (recover_code(memdisk, recovery, &error) != 0)
        fail_msg("recover: %s", error.text);
}

/* The row that recovery comes to. */
static void check_row(struct memdisk *memdisk, const char *scene,
                      const char *row, uint64_t durable_lsn) {
    struct dwal__recovery recovery;
    recover(memdisk, &recovery);
    if (strcmp(recovery.decision->name, row) != 0 ||
        recovery.durable_lsn != durable_lsn)
        fail_msg("%s: row %s, durable %llu; expected %s, %llu", scene,
                 recovery.decision->name,
                 (unsigned long long)recovery.durable_lsn, row,
                 (unsigned long long)durable_lsn);
    dwal__recovery_release(&recovery);
}

/* What repairs may mend (enum dwal__mend); the scene says. */
static unsigned mend;

static struct dwal__repair_options options_for(struct memdisk *memdisk,
                                               int *lock) {
    return (struct dwal__repair_options){.disk = memdisk_disk(memdisk),
                                         .lock = lock,
                                         .uuid = {{1, 2, 3}},
                                         .salts = {0xAAAA, 0xBBBB},
                                         .mend = mend,
                                         .now_ns = 1735689600000000000u};
}

static void undo_name(unsigned index, char name[32]) {
    snprintf(name, 32, "walfsck-test-%u.undo", index);
}

/* Plan, save, run, as walfsck does; stops at operation @stop. The undo file
 * gets the first free number. Returns the code of the first that failed. */
static int repair(struct memdisk *memdisk, uint64_t stop,
                  enum dwal__repair_kind *kind) {
    struct dwal__recovery recovery;
    struct dwal__repair_plan plan = {0};
    struct dwal_error error;
    int lock = -1;
    struct dwal__repair_options options = options_for(memdisk, &lock);
    recover(memdisk, &recovery);
    int code = dwal__repair_plan_make(&options, &recovery, &plan, &error);
    assert_int_equal(code, 0);
    if (kind != NULL)
        *kind = plan.kind;
    char name[32];
    size_t size;
    unsigned index = 0;
    do
        undo_name(index++, name);
    while (memdisk_bytes(memdisk, name, &size) != NULL);
    struct dwal__undo_place place = {.disk = options.disk, .name = name};
    uint64_t undo_size;
    memdisk_stop_at(memdisk, stop);
    if (plan.step_count > 0)
        code = dwal__undo_save(&place, &options, &plan, &undo_size, &error);
    if (code == 0)
        code = dwal__repair_run(&options, &plan, &error);
    if (code != 0 && stop == UINT64_MAX)
        fail_msg("repair: %s", error.text);
    dwal__repair_plan_release(&plan);
    dwal__recovery_release(&recovery);
    return code;
}

static int undo_apply(struct memdisk *memdisk, unsigned index,
                      struct dwal_error *error) {
    char name[32];
    undo_name(index, name);
    struct dwal__undo_place place = {.disk = memdisk_disk(memdisk),
                                     .name = name};
    struct dwal__undo_done done;
    return dwal__undo_apply(&place, NULL, NULL, &done, error);
}

/* All undo files, the newest first. */
static void undo_all(struct memdisk *memdisk, const char *scene) {
    for (unsigned index = 8; index-- > 0;) {
        char name[32];
        size_t size;
        struct dwal_error error;
        undo_name(index, name);
        if (memdisk_bytes(memdisk, name, &size) != NULL &&
            undo_apply(memdisk, index, &error) != 0)
            fail_msg("%s: undo %u: %s", scene, index, error.text);
    }
}

static bool ends_with(const char *name, const char *end) {
    size_t length = strlen(name), size = strlen(end);
    return length >= size && strcmp(name + length - size, end) == 0;
}

/* What a repair leaves beside the log. */
static bool beside(const char *name) {
    return ends_with(name, ".undo") || ends_with(name, ".tmp");
}

static void check_same(struct memdisk *a, struct memdisk *b, const char *scene,
                       const char *what, uint64_t stop) {
    const char *name = memdisk_difference(a, b, beside);
    if (name != NULL)
        fail_msg("%s, stopped at %llu: %s: %s differs", scene,
                 (unsigned long long)stop, what, name);
}

/* ---- scenes ---- */

struct scene {
    const char *name;
    void (*build)(struct logbuild *log, struct memdisk *memdisk);
    const char *row; /* before */
    enum dwal__repair_kind kind;
    const char *row_after;
    uint64_t durable_lsn; /* before and after; a reset: after */
    bool reset;           /* before there was none */
    unsigned mend;        /* enum dwal__mend */
    uint64_t before_lsn;  /* if something is mended: durable before */
};

/* Two segments: 1 with LSNs 1 to 10, 2 with 11 to 15 in three batches; 3 is
 * prepared. The example of SPEC 7.9. */
static struct logbuild_segment *one, *two, *three;

static void example(struct logbuild *log) {
    one = logbuild_segment(log, 1, 0);
    two = logbuild_segment(log, 2, 1);
    three = logbuild_segment(log, 3, 2);
    logbuild_start(log, one, NULL);
    logbuild_records(log, one, 10, 40);
    struct dwal__start start = logbuild_after(one);
    logbuild_start(log, two, &start);
    logbuild_records(log, two, 1, 100);
    logbuild_records(log, two, 3, 600);
    logbuild_records(log, two, 1, 1000);
}

/* The sector at @offset of @segment never reached the disk. */
static void sector_lose(struct logbuild_segment *segment, uint64_t offset) {
    memset(segment->bytes + offset, 0, DWAL__SECTOR_SIZE);
}

static void torn_last(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    sector_lose(two, logbuild_last(two)->offset + 512);
}

/* The header is lost: what stands at the end is no batch any more. */
static void torn_header(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    check_fill(&log->random, two->bytes + logbuild_last(two)->offset, 512);
}

/* Two batches in flight, the first torn, the second whole. */
static void torn_first(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    const struct logbuild_batch *last = logbuild_last(two);
    struct dwal__watermark durable = {15, {2, last->end}};
    logbuild_records(log, two, 2, 1500);
    logbuild_begin(log, two);
    logbuild_random_record(log, 300);
    log->maker.header.watermark = durable;
    logbuild_seal(log);
    sector_lose(two, last->end + 1024);
}

/* The batch at the end would be whole if zeros were written over its second
 * half first: its payload is zeros, but for one bit. */
static void torn_zeros(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    uint8_t zeros[3000] = {0};
    example(log);
    logbuild_begin(log, two);
    logbuild_record(log, zeros, sizeof zeros);
    const struct logbuild_batch *last = logbuild_seal(log);
    check_fill(&log->random, two->bytes + last->offset + 1024, 700);
}

/* In a file that is used again, over what its older use left. */
static void torn_recycled(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    one = logbuild_segment(log, 1, 0);
    two = logbuild_segment(log, 2, 1);
    three = logbuild_segment(log, 3, 2);
    logbuild_start(log, three, NULL);
    while (three->tail < SEGMENT - 1024)
        logbuild_records(log, three, 2, 100);
    logbuild_recycle(log, three, 3, 2);
    logbuild_start(log, two, NULL);
    logbuild_records(log, two, 1, 100);
    struct dwal__start start = logbuild_after(two);
    logbuild_segment(log, 4, 3);
    logbuild_start(log, three, &start);
    logbuild_records(log, three, 3, 600);
    logbuild_begin(log, three);
    for (int i = 0; i < 4; i++)
        logbuild_random_record(log, 400);
    log->maker.header.watermark.position = (struct dwal__position){0};
    uint64_t offset = logbuild_seal(log)->offset;
    sector_lose(three, offset + 512);
}

/* The tail crosses into the next segment, which was begun, and into one more,
 * whose first header is damaged. */
static void torn_across(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    struct logbuild_segment *four = logbuild_segment(log, 4, 3);
    logbuild_segment(log, 5, 4);
    struct dwal__start start = logbuild_after(two);
    struct dwal__watermark durable = {14, {2, logbuild_last(two)->offset}};
    logbuild_begin(log, three);
    logbuild_start_record(log, &start);
    log->maker.header.watermark = durable;
    logbuild_seal(log);
    logbuild_begin(log, three);
    logbuild_random_record(log, 900);
    log->maker.header.watermark = durable;
    logbuild_seal(log);
    start = logbuild_after(three);
    logbuild_begin(log, four);
    logbuild_start_record(log, &start);
    log->maker.header.watermark = durable;
    logbuild_seal(log);
    four->bytes[BLOCK + 9] ^= 1;
    sector_lose(two, logbuild_last(two)->offset + 512);
}

static void torn_creation(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    one = logbuild_segment(log, 1, 0);
    logbuild_segment(log, 2, 1);
    logbuild_begin(log, one);
    logbuild_start_record(log, &(struct dwal__start){0});
    logbuild_random_record(log, 700);
    logbuild_seal(log);
    sector_lose(one, BLOCK + 512);
}

static void torn_flipped(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    two->bytes[logbuild_last(two)->offset + 700] ^= 4;
}

static void lost_middle(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    sector_lose(two, two->batches[2].offset + 512);
}

/* Damage in the first of many. */
static void lost_early(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    struct logbuild_segment *before = two, *next = three;
    for (uint64_t number = 3; number <= 6; number++) {
        struct dwal__start start = logbuild_after(before);
        logbuild_start(log, next, &start);
        logbuild_records(log, next, 4, 300);
        logbuild_mark(log, next);
        before = next;
        next = logbuild_segment(log, number + 1, number);
    }
    one->bytes[one->batches[1].offset + 60] ^= 1;
}

static void lost_segment(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    lost_early(log, memdisk);
    one->bytes[one->batches[1].offset + 60] ^= 1;
    two->present = false;
}

static void lost_prepared(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    two->present = false;
    logbuild_segment(log, 4, 1);
}

static void lost_successor(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    three->present = false;
}

/* A successor is there, but a spare has a higher number. */
static void lost_with_spare(struct logbuild *log, struct memdisk *memdisk) {
    lost_middle(log, memdisk);
    memdisk_put(memdisk, "00000000000000ff.spare", "x", 1);
}

/* Nothing is left but that LSNs were given: the start of a trimmed log. */
static void lost_all(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    lost_early(log, memdisk);
    one->bytes[BLOCK + 20] ^= 1;
}

static void lost_files(struct logbuild *log, struct memdisk *memdisk) {
    (void)log;
    memdisk_put(memdisk, "0000000000000009.wal.lost", "x", 1);
}

static void lock_missing(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    log->lock_present = false;
}

static void lock_bad(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    log->lock[20] ^= 1;
}

/* LOCK says nothing, and no segment does. */
static void lock_alone(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    log->lock[20] ^= 1;
}

static void name_bad(struct logbuild *log, struct memdisk *memdisk) {
    example(log);
    memdisk_put(memdisk, "copy.wal", "x", 1);
    memdisk_put(memdisk, "copy.wal.lost", "y", 1);
}

static void header_bad(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    lost_early(log, memdisk);
    one->bytes[one->batches[1].offset + 60] ^= 1;
    three->bytes[50] ^= 1;
}

static void header_bad_first(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    one->bytes[50] ^= 1;
}

static void names_swapped(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    dwal__segment_name(3, two->name);
    dwal__segment_name(2, three->name);
}

static void file_short(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    three->size -= BLOCK;
}

/* A segment of another log, above all. */
static void uuid_other(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    log->uuid.bytes[3] ^= 1;
    logbuild_segment(log, 9, 3);
}

/* Names that leave no room for a suffix, and differ only at their ends. */
static void names_long(struct logbuild *log, struct memdisk *memdisk) {
    char name[256];
    example(log);
    memset(name, 'x', 251);
    memcpy(name + 251, ".wal", 5);
    for (char last = 'a'; last <= 'c'; last++) {
        name[250] = last;
        memdisk_put(memdisk, name, &last, 1);
    }
}

/* Nothing can be numbered above this. */
static void number_last(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    lost_successor(log, memdisk);
    logbuild_segment(log, UINT64_MAX, 3);
}

/* LOCK is bad, a segment's header too, and a record. */
static void much_bad(struct logbuild *log, struct memdisk *memdisk) {
    lost_early(log, memdisk);
    log->lock[20] ^= 1;
    three->bytes[50] ^= 1;
    memdisk_put(memdisk, ".wal", "x", 1);
}

/* ---- scenes that can be mended ---- */

#define MEND (DWAL__MEND_BITS | DWAL__MEND_HEADERS)
#define MEND_ALL (MEND | DWAL__MEND_FORGED)

/* One bit in a batch that had been acknowledged. */
static void flip_record(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    two->bytes[two->batches[1].offset + 200] ^= 0x20;
}

static void flip_header(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    two->bytes[two->batches[2].offset + 41] ^= 1;
}

/* Two in one sector, in batches one behind the other, and one in another
 * segment. */
static void flip_several(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    two->bytes[two->batches[1].offset + 30] ^= 1;
    two->bytes[two->batches[2].offset + 300] ^= 2;
    two->bytes[two->batches[2].offset + 3] ^= 0;
    one->bytes[one->batches[1].offset + 450] ^= 4;
}

/* A bit that can be put back, and behind it a tail that is torn. */
static void flip_and_torn(struct logbuild *log, struct memdisk *memdisk) {
    torn_first(log, memdisk);
    two->bytes[two->batches[2].offset + 300] ^= 2;
}

/* … and damage that cannot be mended. */
static void flip_and_lost(struct logbuild *log, struct memdisk *memdisk) {
    lost_early(log, memdisk);
    one->bytes[one->batches[1].offset + 60] ^= 1;
    one->bytes[one->batches[1].offset + 200] ^= 1;
    sector_lose(two, two->batches[2].offset + 512);
}

static void header_bit(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    one->bytes[70] ^= 0x10;
}

/* Only checksums say what the header had been: of the fields that no batch
 * tells, those are left that matter. */
static void header_bytes(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    memset(two->bytes, 0, 20);
    memset(two->bytes + 72, 0x5A, 8);
}

/* Nothing is left of it. */
static void header_gone(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    check_fill(&log->random, two->bytes, 512);
}

static void header_padding(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    two->bytes[400] = 9;
}

/* The prepared segment has no batch that could prove anything. */
static void header_unused(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    check_fill(&log->random, three->bytes, 512);
}

/* LOCK, too, and a bit. */
static void header_and_more(struct logbuild *log, struct memdisk *memdisk) {
    (void)memdisk;
    example(log);
    log->lock[20] ^= 1;
    one->bytes[70] ^= 0x10;
    two->bytes[two->batches[1].offset + 200] ^= 0x20;
}

static const struct scene scenes[] = {
    {"torn last", torn_last, "torn", DWAL__REPAIR_TAIL, "clean", 14, false, 0,
     0},
    {"torn header", torn_header, "torn-open", DWAL__REPAIR_TAIL, "clean", 14,
     false, 0, 0},
    {"torn first", torn_first, "torn", DWAL__REPAIR_TAIL, "clean", 15, false, 0,
     0},
    {"torn zeros", torn_zeros, "torn", DWAL__REPAIR_TAIL, "clean", 15, false, 0,
     0},
    {"torn recycled", torn_recycled, "torn", DWAL__REPAIR_TAIL, "clean", 4,
     false, 0, 0},
    {"torn across", torn_across, "torn-open", DWAL__REPAIR_TAIL, "clean", 14,
     false, 0, 0},
    {"torn creation", torn_creation, "torn", DWAL__REPAIR_TAIL, "empty", 0,
     false, 0, 0},
    {"torn flipped", torn_flipped, "torn", DWAL__REPAIR_TAIL, "clean", 14,
     false, 0, 0},
    {"lost middle", lost_middle, "lost-records", DWAL__REPAIR_CUT, "clean", 11,
     false, 0, 0},
    {"lost early", lost_early, "lost-records", DWAL__REPAIR_CUT, "clean", 0,
     false, 0, 0},
    {"lost segment", lost_segment, "lost-records", DWAL__REPAIR_CUT, "clean",
     10, false, 0, 0},
    {"lost prepared", lost_prepared, "missing-segment", DWAL__REPAIR_CUT,
     "clean", 10, false, 0, 0},
    {"lost successor", lost_successor, "missing-successor", DWAL__REPAIR_CUT,
     "clean", 15, false, 0, 0},
    {"lost, with a spare", lost_with_spare, "lost-records", DWAL__REPAIR_CUT,
     "clean", 11, false, 0, 0},
    {"lost all", lost_all, "lost-records", DWAL__REPAIR_CUT, "clean", 31, true,
     0, 0},
    {"lost files", lost_files, "lost-files", DWAL__REPAIR_CUT, "empty", 0,
     false, 0, 0},
    {"LOCK missing", lock_missing, "bad-structure", DWAL__REPAIR_CUT, "clean",
     15, false, 0, 0},
    {"LOCK bad", lock_bad, "bad-structure", DWAL__REPAIR_CUT, "clean", 15,
     false, 0, 0},
    {"LOCK alone", lock_alone, "bad-structure", DWAL__REPAIR_CUT, "empty", 0,
     false, 0, 0},
    {"name bad", name_bad, "bad-structure", DWAL__REPAIR_CUT, "clean", 15,
     false, 0, 0},
    {"header bad", header_bad, "bad-structure", DWAL__REPAIR_CUT, "clean", 15,
     false, 0, 0},
    {"header bad first", header_bad_first, "bad-structure", DWAL__REPAIR_CUT,
     "clean", 15, true, 0, 0},
    {"names swapped", names_swapped, "bad-structure", DWAL__REPAIR_CUT, "clean",
     10, false, 0, 0},
    {"file short", file_short, "bad-structure", DWAL__REPAIR_CUT, "clean", 15,
     false, 0, 0},
    {"UUID of another", uuid_other, "bad-structure", DWAL__REPAIR_CUT, "clean",
     15, false, 0, 0},
    {"names long", names_long, "bad-structure", DWAL__REPAIR_CUT, "clean", 15,
     false, 0, 0},
    {"number last", number_last, "bad-structure", DWAL__REPAIR_CUT, "clean", 15,
     false, 0, 0},
    {"much bad", much_bad, "bad-structure", DWAL__REPAIR_CUT, "clean", 0, false,
     0, 0},
    {"mend torn flipped", torn_flipped, "torn", DWAL__REPAIR_MEND, "clean", 15,
     false, MEND, 14},
    {"flip record", flip_record, "lost-records", DWAL__REPAIR_MEND, "clean", 15,
     false, MEND, 10},
    {"flip header", flip_header, "lost-records", DWAL__REPAIR_MEND, "clean", 15,
     false, MEND, 11},
    {"flip several", flip_several, "lost-records", DWAL__REPAIR_MEND, "clean",
     15, false, MEND, 0},
    {"flip and torn", flip_and_torn, "lost-records", DWAL__REPAIR_TAIL, "clean",
     15, false, MEND, 11},
    {"flip and lost", flip_and_lost, "lost-records", DWAL__REPAIR_CUT, "clean",
     11, false, MEND, 0},
    {"header bit", header_bit, "bad-structure", DWAL__REPAIR_MEND, "clean", 15,
     false, MEND, 0},
    {"header bytes", header_bytes, "bad-structure", DWAL__REPAIR_MEND, "clean",
     15, false, MEND, 10},
    {"header gone", header_gone, "bad-structure", DWAL__REPAIR_MEND, "clean",
     15, false, MEND_ALL, 10},
    {"header gone, cut", header_gone, "bad-structure", DWAL__REPAIR_CUT,
     "clean", 10, false, MEND, 10},
    {"header padding", header_padding, "bad-structure", DWAL__REPAIR_MEND,
     "clean", 15, false, MEND, 10},
    {"header unused", header_unused, "bad-structure", DWAL__REPAIR_CUT, "clean",
     15, false, MEND_ALL, 15},
    {"header and more", header_and_more, "bad-structure", DWAL__REPAIR_CUT,
     "clean", 15, false, MEND_ALL, 0},
};
#define SCENE_COUNT (sizeof scenes / sizeof scenes[0])

static struct memdisk *scene_disk(const struct scene *scene) {
    struct logbuild log;
    mend = scene->mend;
    struct memdisk *memdisk = memdisk_new();
    logbuild_init(&log, BLOCK, SEGMENT);
    scene->build(&log, memdisk);
    logdisk_put(&log, memdisk);
    logbuild_free(&log);
    return memdisk;
}

/* ---- the tests ---- */

/* Fails unless every live segment of @before is the same in @after, up to the
 * live end. */
static void check_kept(struct memdisk *before, struct memdisk *after,
                       const char *scene) {
    struct dwal__recovery recovery;
    recover(before, &recovery);
    for (size_t i = 0; i < recovery.segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery.segments[i];
        char name[DWAL__NAME_SIZE];
        size_t size, size_after = 0;
        dwal__segment_name(segment->number, name);
        const uint8_t *bytes = memdisk_bytes(before, name, &size);
        const uint8_t *bytes_after = memdisk_bytes(after, name, &size_after);
        if (segment->live &&
            (size != size_after ||
             memcmp(bytes, bytes_after, segment->live_end) != 0))
            fail_msg("%s: %s, which is kept, has changed", scene, name);
    }
    dwal__recovery_release(&recovery);
}

/* SPEC 2: no two writers' batches have the same epoch; the repair that begins
 * the log anew is one. */
static void check_epoch(struct memdisk *before, struct memdisk *after) {
    struct dwal__recovery was, now;
    recover(before, &was);
    recover(after, &now);
    unsigned live = 0;
    for (size_t i = 0; i < now.segment_count; i++)
        if (now.segments[i].live) {
            assert_true(now.segments[i].header.epoch > was.epoch_max);
            live++;
        }
    assert_int_equal(live, 1);
    dwal__recovery_release(&was);
    dwal__recovery_release(&now);
}

static void repair_makes_clean(void **state) {
    (void)state;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        const struct scene *scene = &scenes[i];
        struct memdisk *before = scene_disk(scene);
        struct memdisk *after = memdisk_copy(before);
        enum dwal__repair_kind kind;
        check_row(before, scene->name, scene->row,
                  scene->reset       ? 0
                  : scene->mend != 0 ? scene->before_lsn
                                     : scene->durable_lsn);
        assert_int_equal(repair(after, UINT64_MAX, &kind), 0);
        assert_int_equal(kind, scene->kind);
        check_row(after, scene->name, scene->row_after, scene->durable_lsn);
        check_kept(before, after, scene->name);
        if (scene->reset)
            check_epoch(before, after);
        memdisk_free(before);
        memdisk_free(after);
    }
}

static void undo_gives_back(void **state) {
    (void)state;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        struct memdisk *before = scene_disk(&scenes[i]);
        struct memdisk *after = memdisk_copy(before);
        repair(after, UINT64_MAX, NULL);
        undo_all(after, scenes[i].name);
        check_same(before, after, scenes[i].name, "after the undo", 0);
        undo_all(after, scenes[i].name);
        check_same(before, after, scenes[i].name, "after a second undo", 0);
        memdisk_free(before);
        memdisk_free(after);
    }
}

/* How the machine ends: 0 a kill, else a loss of power. */
static void end(struct memdisk *memdisk, unsigned how, uint64_t *random) {
    if (how == 0)
        memdisk_kill(memdisk);
    else
        memdisk_crash(memdisk, random);
}
#define ENDS 4

/* A torn log is torn, or clean at last, whenever it is stopped; a corrupt one
 * is corrupt or clean; the live end does not move. */
static void check_between(struct memdisk *memdisk, const struct scene *scene,
                          uint64_t stop) {
    struct dwal__recovery recovery;
    recover(memdisk, &recovery);
    bool cut = scene->kind == DWAL__REPAIR_CUT;
    bool mended = scene->mend != 0;
    bool fine =
        recovery.verdict == DWAL__VERDICT_CLEAN || mended ||
        recovery.verdict == (cut ? DWAL__VERDICT_CORRUPT : DWAL__VERDICT_TORN);
    bool place = recovery.durable_lsn == scene->durable_lsn ||
                 (scene->reset && recovery.durable_lsn == 0);
    /* What is mended one after the other lets the log end in between; it is in
     * order only at last. */
    if (mended && recovery.verdict != DWAL__VERDICT_CLEAN)
        place = recovery.durable_lsn >= scene->before_lsn &&
                recovery.durable_lsn <= scene->durable_lsn;
    if (!fine || !place)
        fail_msg("%s, stopped at %llu: %s, durable %llu", scene->name,
                 (unsigned long long)stop, recovery.decision->name,
                 (unsigned long long)recovery.durable_lsn);
    dwal__recovery_release(&recovery);
}

/* For each scene, and each way to stop its repair at each operation: @check
 * with the disk before, after all of it, and as the stop left it. */
typedef void stop_check(const struct scene *scene, struct memdisk *before,
                        struct memdisk *after, struct memdisk *stopped,
                        uint64_t stop);

static void stops_each(uint64_t seed, stop_check *check) {
    uint64_t random = check_seed(seed);
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        const struct scene *scene = &scenes[i];
        struct memdisk *before = scene_disk(scene);
        struct memdisk *after = memdisk_copy(before);
        repair(after, UINT64_MAX, NULL);
        uint64_t operations = memdisk_operations(after);
        for (uint64_t stop = 0; stop < ENDS * operations; stop++) {
            struct memdisk *stopped = memdisk_copy(before);
            assert_int_not_equal(repair(stopped, stop / ENDS, NULL), 0);
            assert_true(memdisk_stopped(stopped));
            end(stopped, stop % ENDS, &random);
            check(scene, before, after, stopped, stop);
            memdisk_free(stopped);
        }
        memdisk_free(before);
        memdisk_free(after);
    }
}

static void goes_on(const struct scene *scene, struct memdisk *before,
                    struct memdisk *after, struct memdisk *again,
                    uint64_t stop) {
    check_between(again, scene, stop);
    repair(again, UINT64_MAX, NULL);
    check_same(after, again, scene->name, "repaired again", stop);
    check_row(again, scene->name, scene->row_after, scene->durable_lsn);
    undo_all(again, scene->name);
    check_same(before, again, scene->name, "undone", stop);
}

static void repair_goes_on(void **state) {
    (void)state;
    stops_each(1, goes_on);
}

/* Without a second repair in between. */
static void undone(const struct scene *scene, struct memdisk *before,
                   struct memdisk *after, struct memdisk *stopped,
                   uint64_t stop) {
    (void)after;
    undo_all(stopped, scene->name);
    check_same(before, stopped, scene->name, "undone", stop);
}

static void undo_of_a_part(void **state) {
    (void)state;
    stops_each(2, undone);
}

static void undo_goes_on(void **state) {
    (void)state;
    uint64_t random = check_seed(3);
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        const struct scene *scene = &scenes[i];
        struct memdisk *before = scene_disk(scene);
        struct memdisk *after = memdisk_copy(before);
        struct dwal_error error;
        repair(after, UINT64_MAX, NULL);
        memdisk_kill(after);
        struct memdisk *undone = memdisk_copy(after);
        memdisk_stop_at(undone, UINT64_MAX);
        undo_all(undone, scene->name);
        uint64_t operations = memdisk_operations(undone);
        memdisk_free(undone);
        for (uint64_t stop = 0; stop < ENDS * operations; stop++) {
            struct memdisk *again = memdisk_copy(after);
            memdisk_stop_at(again, stop / ENDS);
            assert_int_not_equal(undo_apply(again, 0, &error), 0);
            end(again, stop % ENDS, &random);
            check_between(again, scene, stop);
            undo_all(again, scene->name);
            check_same(before, again, scene->name, "undone again", stop);
            memdisk_free(again);
        }
        memdisk_free(before);
        memdisk_free(after);
    }
}

/* ---- any damage ---- */

/* A file of the log, at random. */
static const char *any_file(struct memdisk *memdisk, uint64_t *random) {
    size_t count = 0;
    while (memdisk_name(memdisk, count) != NULL)
        count++;
    return count > 0 ? memdisk_name(memdisk, check_random(random) % count)
                     : NULL;
}

static void damage_bytes(uint8_t *bytes, size_t size, uint64_t *random) {
    /* More often where something is written: at the beginning. */
    size_t within = check_random(random) % 2 == 0 && size > 8192 ? 8192 : size;
    size_t at = check_random(random) % within;
    size_t sector = at / DWAL__SECTOR_SIZE * DWAL__SECTOR_SIZE;
    size_t other =
        check_random(random) % size / DWAL__SECTOR_SIZE * DWAL__SECTOR_SIZE;
    bool whole =
        sector + DWAL__SECTOR_SIZE <= size && other + DWAL__SECTOR_SIZE <= size;
    switch (whole ? check_random(random) % 5 : 0) {
    case 0:
    case 1:
        bytes[at] ^= (uint8_t)(1u << check_random(random) % 8);
        break;
    case 2:
        memset(bytes + sector, 0, DWAL__SECTOR_SIZE);
        break;
    case 3:
        check_fill(random, bytes + sector, DWAL__SECTOR_SIZE);
        break;
    case 4:
        memmove(bytes + sector, bytes + other, DWAL__SECTOR_SIZE);
        break;
    }
}

static void damage_file(struct memdisk *memdisk, const char *name,
                        uint64_t *random) {
    char to[DWAL__NAME_SIZE];
    size_t size, other_size;
    uint8_t *bytes = memdisk_bytes(memdisk, name, &size);
    const char *other = any_file(memdisk, random);
    uint8_t *other_bytes = memdisk_bytes(memdisk, other, &other_size);
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, bytes, size);
    switch (check_random(random) % 5) {
    case 0:
        memdisk_remove(memdisk, name);
        break;
    case 1:
        memdisk_put(memdisk, name, copy, check_random(random) % (size + 1));
        break;
    case 2:
        dwal__segment_name(1 + check_random(random) % 9, to);
        memdisk_put(memdisk, to, copy, size);
        break;
    case 3: /* swapped */
        if (other_size == size) {
            memcpy(bytes, other_bytes, size);
            memcpy(other_bytes, copy, size);
        }
        break;
    case 4:
        memdisk_put(memdisk, "some other name.wal", copy, size);
        break;
    }
    free(copy);
}

static struct memdisk *damaged_disk(uint64_t *random) {
    const struct scene *scene = &scenes[check_random(random) % SCENE_COUNT];
    struct memdisk *memdisk = scene_disk(scene);
    static const unsigned mends[] = {0, MEND, MEND_ALL};
    mend = mends[check_random(random) % 3];
    for (uint64_t i = check_random(random) % 4; i > 0; i--) {
        size_t size;
        const char *any = any_file(memdisk, random);
        char name[64] = "";
        if (any != NULL)
            snprintf(name, sizeof name, "%s", any);
        uint8_t *bytes = memdisk_bytes(memdisk, name, &size);
        if (bytes == NULL || size == 0)
            continue;
        if (check_random(random) % 3 == 0)
            damage_file(memdisk, name, random);
        else
            damage_bytes(bytes, size, random);
    }
    return memdisk;
}

/* The damaged log is repaired, also if that is stopped once, and given back. */
static void check_damaged(struct memdisk *before, const char *scene,
                          uint64_t *random) {
    struct dwal__recovery recovery;
    struct dwal_error error;
    if (recover_code(before, &recovery, &error) != 0)
        return; /* no log, or a newer one */
    uint64_t kept = recovery.durable_lsn;
    dwal__recovery_release(&recovery);
    struct memdisk *after = memdisk_copy(before);
    repair(after, UINT64_MAX, NULL);
    uint64_t operations = memdisk_operations(after);
    recover(after, &recovery);
    if (recovery.verdict != DWAL__VERDICT_CLEAN || recovery.durable_lsn < kept)
        fail_msg("%s: %s, %llu kept of %llu", scene, recovery.decision->name,
                 (unsigned long long)recovery.durable_lsn,
                 (unsigned long long)kept);
    dwal__recovery_release(&recovery);
    check_kept(before, after, scene);
    struct memdisk *again = memdisk_copy(before);
    if (operations > 0) {
        repair(again, check_random(random) % operations, NULL);
        end(again, (unsigned)(check_random(random) % ENDS), random);
        repair(again, UINT64_MAX, NULL);
    }
    check_same(after, again, scene, "repaired again", 0);
    undo_all(after, scene);
    check_same(before, after, scene, "undone", 0);
    undo_all(again, scene);
    check_same(before, again, scene, "undone again", 0);
    memdisk_free(after);
    memdisk_free(again);
}

static void repair_of_any_damage(void **state) {
    (void)state;
    uint64_t seed = check_seed(4);
    const char *text = getenv("DWAL_ROUNDS");
    uint64_t rounds =
        text != NULL ? strtoull(text, NULL, 0) : 2000 / check_share();
    for (uint64_t i = 0; i < rounds; i++) {
        /* The first round of DWAL_SEED + i is round i. */
        uint64_t random = seed + i;
        struct memdisk *memdisk = damaged_disk(&random);
        char scene[64];
        snprintf(scene, sizeof scene, "damaged, DWAL_SEED=%llu",
                 (unsigned long long)(seed + i));
        check_damaged(memdisk, scene, &random);
        memdisk_free(memdisk);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repair_makes_clean),
        cmocka_unit_test(undo_gives_back),
        cmocka_unit_test(repair_goes_on),
        cmocka_unit_test(undo_of_a_part),
        cmocka_unit_test(undo_goes_on),
        cmocka_unit_test(repair_of_any_damage),
    };
    return cmocka_run_group_tests_name("repair", tests, NULL, NULL);
}
