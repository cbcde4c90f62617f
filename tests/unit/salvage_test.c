/* SPDX-License-Identifier: MIT */
/*
 * Salvage, from one disk in memory to another: all that is whole is in the new
 * log with its LSN and everything else, each hole is told by the log itself and
 * nothing else is; stopped at every operation, by a kill or a loss of power,
 * what is there is opened by nothing, and the salvage run again ends with the
 * same bytes. The damaged log is never written to.
 */
#include "tests/support/check.h"
#include "tests/support/logdisk.h"
#include "tests/support/memdisk.h"

#include "recover/reader.h"
#include "recover/salvage.h"

#define BLOCK 512u
#define SEGMENT (32 * BLOCK)
#define LSN_MAX 64u
#define HOLES_MAX 8u

/* ---- logs ---- */

/* Segment 1 with LSNs 1 to 10, segment 2 with 11 to 15 in three batches, 3 with
 * 16 to 20 in one and a mark; 4 is prepared. */
static struct logbuild_segment *one, *two, *three;

static void example(struct logbuild *log) {
    one = logbuild_segment(log, 1, 0);
    two = logbuild_segment(log, 2, 1);
    three = logbuild_segment(log, 3, 2);
    logbuild_segment(log, 4, 3);
    logbuild_start(log, one, NULL);
    logbuild_records(log, one, 10, 40);
    struct dwal__start start = logbuild_after(one);
    logbuild_start(log, two, &start);
    logbuild_records(log, two, 1, 100);
    logbuild_records(log, two, 3, 600);
    logbuild_records(log, two, 1, 1000);
    start = logbuild_after(two);
    start.metadata = (const uint8_t *)"vote 7";
    start.metadata_size = 6;
    logbuild_start(log, three, &start);
    logbuild_records(log, three, 5, 300);
    logbuild_mark(log, three);
}

/* What each record is, before there is any damage; LSNs that are given again
 * in segments from @first on, as these have them. */
struct truth {
    struct dwal__record records[LSN_MAX];
    uint8_t *data[LSN_MAX];
};

static void truth_take(struct truth *truth, const struct logbuild *log,
                       unsigned first) {
    for (unsigned i = first; i < log->segment_count; i++) {
        const struct logbuild_segment *segment = log->segments[i];
        for (unsigned j = 0; j < segment->batch_count; j++) {
            const struct logbuild_batch *batch = &segment->batches[j];
            uint64_t at = batch->offset + DWAL__BATCH_HEADER_SIZE;
            while (at < batch->offset + batch->size) {
                struct dwal__record record;
                dwal__record_load(segment->bytes + at, &record);
                at += dwal__record_room(record.size);
                if (record.lsn == 0)
                    continue;
                assert_true(record.lsn < LSN_MAX);
                truth->records[record.lsn] = record;
                free(truth->data[record.lsn]);
                truth->data[record.lsn] = malloc(record.size + 1);
                memcpy(truth->data[record.lsn], record.data, record.size);
            }
        }
    }
}

static void truth_free(struct truth *truth) {
    for (size_t i = 0; i < LSN_MAX; i++)
        free(truth->data[i]);
}

/* ---- damage ---- */

static void nothing(struct logbuild *log) {
    (void)log;
}

static void sector_lose(struct logbuild_segment *segment, uint64_t offset) {
    memset(segment->bytes + offset, 0, 512);
}

static void lose_middle(struct logbuild *log) {
    (void)log;
    sector_lose(two, two->batches[2].offset + 512);
}

static void lose_header(struct logbuild *log) {
    (void)log;
    sector_lose(two, two->batches[2].offset);
}

static void lose_last(struct logbuild *log) {
    (void)log;
    for (uint64_t at = three->batches[1].offset; at < three->batches[1].end;
         at += 512)
        sector_lose(three, at);
}

static void lose_start(struct logbuild *log) {
    (void)log;
    sector_lose(two, BLOCK);
}

static void lose_segment(struct logbuild *log) {
    (void)log;
    two->present = false;
}

static void lose_first(struct logbuild *log) {
    (void)log;
    one->present = false;
}

static void lose_head(struct logbuild *log) {
    check_fill(&log->random, two->bytes, 512);
    log->lock_present = false;
}

static void lose_tail_of_file(struct logbuild *log) {
    (void)log;
    three->size = three->batches[1].offset + 900;
}

static void lose_all(struct logbuild *log) {
    (void)log;
    for (struct logbuild_segment *segment = one;;
         segment = segment == one ? two : three) {
        for (uint64_t at = BLOCK; at < segment->tail; at += 512)
            if (segment != three || at != three->batches[2].offset)
                sector_lose(segment, at);
        if (segment == three)
            return;
    }
}

/* Trimmed up to 12, and then damaged behind that. */
static void trimmed(struct logbuild *log) {
    logbuild_begin(log, three);
    logbuild_trim(log, 12);
    logbuild_seal(log);
    logbuild_mark(log, three);
    one->present = false;
    sector_lose(three, three->batches[1].offset + 1024);
}

/* A crash left LSNs 16 to 20 torn; a new epoch has given 16 again. */
static void given_again(struct logbuild *log) {
    sector_lose(three, three->batches[1].offset + 512);
    log->epoch = 2;
    struct logbuild_segment *five = logbuild_segment(log, 5, 3);
    logbuild_segment(log, 6, 5);
    struct dwal__start start = {.previous_segment = 3,
                                .previous_end = three->batches[0].end,
                                .previous_lsn = 15,
                                .previous_link = three->batches[0].crc};
    logbuild_start(log, five, &start);
    logbuild_records(log, five, 1, 80);
    logbuild_mark(log, five);
}

struct scene {
    const char *name;
    void (*damage)(struct logbuild *log);
    uint64_t first_lsn;
    uint64_t last_lsn;
    uint64_t holes[2 * HOLES_MAX]; /* from, to, …; 0 ends */
};

static const struct scene scenes[] = {
    {"nothing", nothing, 1, 20, {0}},
    {"middle", lose_middle, 1, 20, {12, 13}},
    {"header", lose_header, 1, 20, {12, 12}},
    {"last", lose_last, 1, 20, {16, 20}},
    {"start", lose_start, 1, 20, {0}},
    {"segment", lose_segment, 1, 20, {11, 15}},
    {"first", lose_first, 1, 20, {1, 10}},
    {"head and LOCK", lose_head, 1, 20, {0}},
    {"file cut off", lose_tail_of_file, 1, 20, {18, 20}},
    {"all", lose_all, 1, 20, {1, 20}},
    {"trimmed", trimmed, 13, 20, {18, 20}},
    {"given again", given_again, 1, 16, {0}},
};
#define SCENE_COUNT (sizeof scenes / sizeof scenes[0])

static struct memdisk *scene_disk(const struct scene *scene,
                                  struct truth *truth) {
    struct logbuild log;
    struct memdisk *memdisk = memdisk_new();
    logbuild_init(&log, BLOCK, SEGMENT);
    example(&log);
    memset(truth, 0, sizeof *truth);
    truth_take(truth, &log, 0);
    unsigned count = log.segment_count;
    scene->damage(&log);
    truth_take(truth, &log, count);
    logdisk_put(&log, memdisk);
    logbuild_free(&log);
    return memdisk;
}

/* ---- running it ---- */

static uint64_t salt_next(void *argument) {
    return check_random(argument);
}

/* Salvages @from into @to; stops at operation @stop of @to. */
static int salvage(struct memdisk *from, struct memdisk *to, uint64_t stop,
                   struct dwal__salvage *found, struct dwal_error *error) {
    uint64_t random = 7;
    struct dwal__recovery recovery;
    struct dwal__recover_options recover = {.disk = memdisk_disk(from),
                                            .verify_bytes = UINT64_MAX};
    assert_int_equal(dwal__recover(&recover, &recovery, error), 0);
    struct dwal__salvage_options options = {.disk = memdisk_disk(from),
                                            .target_disk = memdisk_disk(to),
                                            .uuid = {{9, 8, 7}},
                                            .now_ns = 1735689600000000000u,
                                            .argument = &random,
                                            .random = salt_next};
    int code = dwal__salvage_find(&options, &recovery, found, error);
    memdisk_stop_at(to, stop);
    if (code == 0)
        code = dwal__salvage_write(&options, &recovery, found, error);
    dwal__recovery_release(&recovery);
    return code;
}

static void salvage_all(const char *scene, struct memdisk *from,
                        struct memdisk *to, struct dwal__salvage *found) {
    struct dwal_error error;
    if (salvage(from, to, UINT64_MAX, found, &error) != 0)
        fail_msg("%s: %s", scene, error.text);
}

static void check_clean(const char *scene, struct memdisk *memdisk,
                        uint64_t first_lsn, uint64_t last_lsn) {
    struct dwal__recovery recovery;
    struct dwal_error error;
    struct dwal__recover_options options = {.disk = memdisk_disk(memdisk),
                                            .verify_bytes = UINT64_MAX};
    if (dwal__recover(&options, &recovery, &error) != 0)
        fail_msg("%s: %s", scene, error.text);
    check_that(recovery.verdict == DWAL__VERDICT_CLEAN &&
                   recovery.first_lsn == first_lsn &&
                   recovery.durable_lsn == last_lsn,
               "%s: %s, %llu to %llu", scene, recovery.decision->name,
               (unsigned long long)recovery.first_lsn,
               (unsigned long long)recovery.durable_lsn);
    dwal__recovery_release(&recovery);
}

/* The hole of @scene that begins with @lsn; 0: none does. */
static uint64_t hole_end(const struct scene *scene, uint64_t lsn) {
    for (size_t i = 0; i + 1 < 2 * HOLES_MAX && scene->holes[i] != 0; i += 2)
        if (scene->holes[i] == lsn)
            return scene->holes[i + 1];
    return 0;
}

static void check_record(const char *scene, const struct truth *truth,
                         const struct dwal__record *record, uint64_t lsn) {
    const struct dwal__record *true_one = &truth->records[lsn];
    check_that(record->lsn == lsn && record->size == true_one->size &&
                   record->type == true_one->type &&
                   record->flags == true_one->flags &&
                   record->tenant == true_one->tenant &&
                   record->shard == true_one->shard &&
                   memcmp(record->data, truth->data[lsn], record->size) == 0,
               "%s: LSN %llu", scene, (unsigned long long)lsn);
}

/* Reads the new log from its first LSN to its end: the records, and each hole
 * where it is, told as such. */
static void check_read(const struct scene *scene, struct memdisk *memdisk,
                       const struct truth *truth) {
    struct dwal__reader_options options = {.disk = memdisk_disk(memdisk)};
    struct dwal__reader *reader;
    struct dwal__reader_item item;
    struct dwal_error error;
    if (dwal__reader_open(&options, &reader, &error) != 0)
        fail_msg("%s: %s", scene->name, error.text);
    for (uint64_t lsn = scene->first_lsn; lsn <= scene->last_lsn; lsn++) {
        uint64_t end = hole_end(scene, lsn);
        int code = dwal__reader_next(reader, &item, &error);
        if (end == 0) {
            check_that(code == 0, "%s: LSN %llu: %s", scene->name,
                       (unsigned long long)lsn, error.text);
            check_record(scene->name, truth, &item.record, lsn);
            continue;
        }
        const struct dwal__reader_damage *damage = dwal__reader_damage(reader);
        check_that(code == DWAL_ECORRUPT && damage->stated &&
                       damage->passable && damage->lost_from == lsn &&
                       damage->lost_to == end,
                   "%s: hole at %llu", scene->name, (unsigned long long)lsn);
        assert_int_equal(dwal__reader_pass(reader, &error), 0);
        lsn = end;
    }
    assert_int_equal(dwal__reader_next(reader, &item, &error), DWAL_END);
    dwal__reader_close(reader);
}

/* Each hole, and nothing else, was named before anything was made. */
static void check_named(const struct scene *scene,
                        const struct dwal__salvage *found) {
    uint64_t lost = 0, expected = 0;
    for (size_t i = 0; i < found->hole_count; i++)
        lost += found->holes[i].to - found->holes[i].from + 1;
    for (size_t i = 0; scene->holes[i] != 0; i += 2)
        expected += scene->holes[i + 1] - scene->holes[i] + 1;
    uint64_t all = scene->last_lsn - scene->first_lsn + 1;
    check_that(found->lost == lost && lost == expected &&
                   found->records == all - lost,
               "%s: %llu lost, %llu whole", scene->name,
               (unsigned long long)lost, (unsigned long long)found->records);
}

/* ---- the tests ---- */

static void salvage_keeps_what_is_whole(void **state) {
    (void)state;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        const struct scene *scene = &scenes[i];
        struct truth truth;
        struct dwal__salvage found;
        struct memdisk *from = scene_disk(scene, &truth);
        struct memdisk *before = memdisk_copy(from);
        struct memdisk *to = memdisk_new();
        salvage_all(scene->name, from, to, &found);
        check_named(scene, &found);
        check_clean(scene->name, to, scene->first_lsn, scene->last_lsn);
        check_read(scene, to, &truth);
        assert_null(memdisk_difference(before, from, NULL));
        dwal__salvage_release(&found);
        memdisk_free(to);
        memdisk_free(before);
        memdisk_free(from);
        truth_free(&truth);
    }
}

/* What a salvage made is a log, also to a salvage: holes stay holes. */
static void salvage_of_a_salvage(void **state) {
    (void)state;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        const struct scene *scene = &scenes[i];
        struct truth truth;
        struct dwal__salvage found;
        struct memdisk *from = scene_disk(scene, &truth);
        struct memdisk *to = memdisk_new(), *again = memdisk_new();
        salvage_all(scene->name, from, to, &found);
        dwal__salvage_release(&found);
        salvage_all(scene->name, to, again, &found);
        check_named(scene, &found);
        check_clean(scene->name, again, scene->first_lsn, scene->last_lsn);
        check_read(scene, again, &truth);
        dwal__salvage_release(&found);
        memdisk_free(again);
        memdisk_free(to);
        memdisk_free(from);
        truth_free(&truth);
    }
}

/* Nothing takes what is unfinished for a log. */
static void check_unfinished(const char *scene, struct memdisk *memdisk,
                             uint64_t stop) {
    struct dwal__recovery recovery;
    struct dwal__recover_options options = {.disk = memdisk_disk(memdisk),
                                            .verify_bytes = UINT64_MAX};
    int code = dwal__recover(&options, &recovery, NULL);
    check_that(code == DWAL_ENOENT ||
                   (code == 0 && recovery.verdict != DWAL__VERDICT_TORN &&
                    recovery.verdict != DWAL__VERDICT_NONE),
               "%s, stopped at %llu", scene, (unsigned long long)stop);
    if (code == 0 && recovery.verdict == DWAL__VERDICT_CLEAN)
        check_that(memdisk_bytes(memdisk, DWAL__LOCK_NAME, &(size_t){0}) !=
                       NULL,
                   "%s, stopped at %llu", scene, (unsigned long long)stop);
    if (code == 0)
        dwal__recovery_release(&recovery);
}

#define ENDS 3 /* a kill, and losses of power */

static void salvage_goes_on(void **state) {
    (void)state;
    uint64_t random = check_seed(1);
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        const struct scene *scene = &scenes[i];
        struct truth truth;
        struct dwal__salvage found;
        struct dwal_error error;
        struct memdisk *from = scene_disk(scene, &truth);
        struct memdisk *to = memdisk_new();
        salvage_all(scene->name, from, to, &found);
        dwal__salvage_release(&found);
        uint64_t operations = memdisk_operations(to);
        for (uint64_t stop = 0; stop < ENDS * operations; stop++) {
            struct memdisk *again = memdisk_new();
            assert_int_not_equal(
                salvage(from, again, stop / ENDS, &found, &error), 0);
            dwal__salvage_release(&found);
            if (stop % ENDS == 0)
                memdisk_kill(again);
            else
                memdisk_crash(again, &random);
            check_unfinished(scene->name, again, stop);
            /* All was there but for the last sync: nothing to be done. */
            bool whole = memdisk_difference(again, to, NULL) == NULL;
            if (!whole)
                salvage_all(scene->name, from, again, &found);
            const char *name = memdisk_difference(again, to, NULL);
            check_that(name == NULL, "%s, stopped at %llu: %s differs",
                       scene->name, (unsigned long long)stop, name);
            if (!whole)
                dwal__salvage_release(&found);
            memdisk_free(again);
        }
        memdisk_free(to);
        memdisk_free(from);
        truth_free(&truth);
    }
}

/* Neither a log nor anything else is overwritten. */
static void salvage_refuses_a_full_directory(void **state) {
    (void)state;
    static const char *const names[] = {"notes", "LOCK", "x.wal",
                                        "0000000000000001.wal"};
    struct truth truth;
    struct dwal__salvage found;
    struct dwal_error error;
    struct memdisk *from = scene_disk(&scenes[1], &truth);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct memdisk *to = memdisk_new();
        memdisk_put(to, names[i], "x", 1);
        struct memdisk *before = memdisk_copy(to);
        assert_int_equal(salvage(from, to, UINT64_MAX, &found, &error),
                         DWAL_EEXIST);
        assert_null(memdisk_difference(before, to, NULL));
        dwal__salvage_release(&found);
        memdisk_free(before);
        memdisk_free(to);
    }
    memdisk_free(from);
    truth_free(&truth);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(salvage_keeps_what_is_whole),
        cmocka_unit_test(salvage_of_a_salvage),
        cmocka_unit_test(salvage_goes_on),
        cmocka_unit_test(salvage_refuses_a_full_directory),
    };
    return cmocka_run_group_tests_name("salvage", tests, NULL, NULL);
}
