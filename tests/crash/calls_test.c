/* SPDX-License-Identifier: MIT */
/*
 * Calls that meet: two callers who rotate, and a close while an append waits
 * for room. A few threads, and all the ways in which they may take turns that
 * a thousand seeds give.
 */
#include <inttypes.h>
#include <unistd.h>

#include "run.h"
#include "tests/support/check.h"

#define SCHEDULES (1000u / check_share())
#define CLOSES (2 * SCHEDULES)
#define MS INT64_C(1000000)

/* One log on one disk, and what its callers saw. */
struct meeting {
    struct simdisk *sim;
    struct dwal_options options;
    struct dwal *log;
    void (*scene)(struct meeting *meeting);
    uint64_t segment;      /* in use before */
    unsigned acknowledged; /* records, or rotations */
    bool wrote;            /* before the close began */
    bool given[64];        /* LSNs */
    bool refused;          /* a call */
    bool waited;           /* somebody, when the close began */
    bool closing;
    char failure[128];
};

static void failed(struct meeting *meeting, const char *what, int code,
                   const struct dwal_error *error) {
    if (meeting->failure[0] == '\0')
        snprintf(meeting->failure, sizeof meeting->failure, "%s: %d, %.80s",
                 what, code, code == DWAL_OK ? "" : error->text);
}

static int meeting_open(struct meeting *meeting, struct dwal_error *error) {
    struct dwal__aio aio = simdisk_aio(meeting->sim);
    return dwal__open_on(&meeting->sim->disk, &aio, SIM_PATH, &meeting->options,
                         &meeting->log, error);
}

/* The log is there already, so that the first append waits for a segment. */
static void *meeting_main(void *argument) {
    struct meeting *meeting = argument;
    struct dwal_error error;
    int code = meeting_open(meeting, &error);
    if (code == DWAL_OK)
        code = dwal_close(meeting->log, &error);
    if (code == DWAL_OK)
        code = meeting_open(meeting, &error);
    if (code != DWAL_OK)
        failed(meeting, "create and open", code, &error);
    else
        meeting->scene(meeting);
    return NULL;
}

/* Plays @scene with one seed; fails the test if anything went wrong. */
static void meeting_hold(struct meeting *meeting, uint64_t seed) {
    run.seed = seed;
    run.states++;
    alarm(60);
    meeting->sim = simdisk_new(seed);
    sched_begin(seed);
    sched_spawn("main", meeting_main, meeting);
    enum sched_end end = sched_run();
    if (end != SCHED_DONE)
        snprintf(meeting->failure, sizeof meeting->failure,
                 "it does not come to an end");
    if (meeting->sim->complaint[0] == '\0' && meeting->failure[0] == '\0')
        return;
    print_error("again with DWAL_SEED=%" PRIu64 "\n%s\n", seed,
                meeting->sim->complaint);
    fail_msg("%s", meeting->failure);
}

static void options_make(struct dwal_options *options, uint64_t seed) {
    dwal_options_init(options);
    options->create = DWAL_CREATE_IF_ABSENT;
    options->block_size = 4096;
    options->segment_size = UINT64_C(16) * 4096;
    options->queue_bytes_max = 1 << 20;
    options->submit = (int)(seed % 2);
    options->sync = 1 + (int)(seed / 2 % 2);
}

/* ---- two rotate ---- */

static void *rotate_main(void *argument) {
    struct meeting *meeting = argument;
    struct dwal *log = meeting->log;
    struct dwal_error error;
    int code = dwal_rotate(log, &error);
    /* The segment in use has a record, so whoever asks gets the next one; and
     * nobody but those who ask begins one. */
    if (code != DWAL_OK)
        failed(meeting, "rotate", code, &error);
    else if (log->view->durable.position.segment != meeting->segment + 1)
        failed(meeting, "rotated, but the next segment is not durable", 0,
               NULL);
    else
        meeting->acknowledged++;
    return NULL;
}

static void rotations_scene(struct meeting *meeting) {
    struct dwal_record record = {.data = "one", .size = 3};
    struct dwal_error error;
    int callers[3];
    int code = dwal_commit(meeting->log, &record, NULL, &error);
    if (code != DWAL_OK)
        failed(meeting, "commit", code, &error);
    meeting->segment = meeting->log->segment->header.number;
    for (unsigned i = 0; i < 3; i++)
        callers[i] = sched_spawn("caller", rotate_main, meeting);
    for (unsigned i = 0; i < 3; i++)
        sched_join(callers[i]);
    code = dwal_close(meeting->log, &error);
    if (code != DWAL_OK)
        failed(meeting, "close", code, &error);
}

/* The second one finds a new segment in use, whose start is on its way. */
static void test_rotations(void **state) {
    (void)state;
    uint64_t seed = check_seed(1);
    run_begin();
    for (uint64_t i = 0; i < SCHEDULES; i++) {
        struct meeting meeting = {.scene = rotations_scene};
        options_make(&meeting.options, seed + i);
        meeting_hold(&meeting, seed + i);
        assert_int_equal(meeting.acknowledged, 3);
        simdisk_free(meeting.sim);
    }
    alarm(0);
}

/* ---- many commit ---- */

#define COMMITS 4u
#define COMMITTERS 4u
/* Of a call, on a disk that takes 50 us: virtual time. */
#define COMMIT_NS (50 * MS)

/* What is acknowledged is there if the power goes now, and all that need not
 * be on the disk is not. */
static void durable_check(struct meeting *meeting, uint64_t lsn) {
    /* Others look, too, while we do. */
    struct oracle_found *found = malloc(sizeof *found);
    struct chooser_all oldest;
    chooser_all_init(&oldest);
    struct simdisk *cut = simdisk_power_cut(meeting->sim, &oldest.chooser);
    oracle_look(cut, false, found);
    simdisk_free(cut);
    if (found->code != DWAL_OK || found->durable_lsn < lsn)
        failed(meeting, "acknowledged, and not durable", 0, NULL);
    free(found);
}

static void *commit_main(void *argument) {
    struct meeting *meeting = argument;
    static uint8_t bytes[20000];
    struct dwal_error error;
    uint64_t last = 0;
    for (unsigned i = 0; i < COMMITS; i++) {
        struct dwal_record record = {
            .data = bytes, .size = (uint32_t)(sched_random() % sizeof bytes)};
        uint64_t lsn = 0;
        int64_t begin = sched_clock();
        int code = dwal_commit(meeting->log, &record, &lsn, &error);
        if (code != DWAL_OK)
            failed(meeting, "commit", code, &error);
        else if (lsn <= last || lsn > COMMITS * COMMITTERS ||
                 meeting->given[lsn])
            failed(meeting, "an LSN that somebody else has", 0, NULL);
        else if (sched_clock() - begin > COMMIT_NS)
            failed(meeting, "a commit takes its time", 0, NULL);
        if (meeting->failure[0] != '\0')
            break;
        meeting->given[lsn] = true;
        meeting->acknowledged++;
        last = lsn;
        durable_check(meeting, lsn);
    }
    return NULL;
}

static void commits_scene(struct meeting *meeting) {
    struct dwal_error error;
    int callers[COMMITTERS];
    for (unsigned i = 0; i < COMMITTERS; i++)
        callers[i] = sched_spawn("caller", commit_main, meeting);
    for (unsigned i = 0; i < COMMITTERS; i++)
        sched_join(callers[i]);
    int code = dwal_close(meeting->log, &error);
    if (code != DWAL_OK)
        failed(meeting, "close", code, &error);
}

/* Leaders and followers, across segments; nothing but the commits themselves
 * keeps the log going. */
static void test_commits(void **state) {
    (void)state;
    uint64_t seed = check_seed(1);
    run_begin();
    for (uint64_t i = 0; i < SCHEDULES / 4; i++) {
        struct meeting meeting = {.scene = commits_scene};
        options_make(&meeting.options, seed + i);
        meeting.options.batch_bytes_max = 4096u << i / 4 % 4 * 2;
        meeting.options.in_flight_max = 4;
        meeting.options.mark_delay_ms = 0;
        meeting_hold(&meeting, seed + i);
        assert_int_equal(meeting.acknowledged, COMMITS * COMMITTERS);
        simdisk_free(meeting.sim);
    }
    alarm(0);
}

/* ---- a close, and an append that waits ---- */

static void *append_main(void *argument) {
    struct meeting *meeting = argument;
    struct dwal_record record = {.data = "more", .size = 4};
    struct dwal_error error;
    if (meeting->closing) /* the handle must not be used any more */
        return NULL;
    int code = dwal_append(meeting->log, &record, NULL, &error);
    if (code == DWAL_OK)
        meeting->acknowledged++;
    else if (code != DWAL_ECLOSED)
        failed(meeting, "append", code, &error);
    return NULL;
}

/* Comes in time, or is refused; but nothing goes behind the close. */
static void *rotate_late_main(void *argument) {
    struct meeting *meeting = argument;
    struct dwal_error error;
    if (meeting->closing)
        return NULL;
    int code = dwal_rotate(meeting->log, &error);
    if (code == DWAL_ECLOSED)
        meeting->refused = true;
    else if (code != DWAL_OK)
        failed(meeting, "rotate", code, &error);
    return NULL;
}

/* Closes when @pause_ns have passed since the callers began. */
static void meeting_close(struct meeting *meeting, const int *callers,
                          unsigned count, int64_t pause_ns) {
    struct dwal *log = meeting->log;
    struct dwal_error error;
    sched_sleep(pause_ns);
    meeting->closing = true;
    meeting->waited = atomic_load(&log->room_waiters) > 0;
    meeting->wrote = atomic_load(&log->sealed) > 0;
    int code = dwal_close(log, &error);
    if (code != DWAL_OK)
        failed(meeting, "close", code, &error);
    else if (sched_sleeps_in(log, sizeof *log))
        failed(meeting, "a call sleeps in a log that is gone", 0, NULL);
    for (unsigned i = 0; i < count; i++)
        sched_join(callers[i]);
}

/* The log has no segment yet, the queue takes one record: whoever is not first
 * of all waits for room, and the first one too, when the close begins. */
static void close_appends_scene(struct meeting *meeting) {
    int callers[3];
    for (unsigned i = 0; i < 3; i++)
        callers[i] = sched_spawn("caller", append_main, meeting);
    meeting_close(meeting, callers, 3, (int64_t)(sched_random() % 8) * MS / 16);
}

/* All is durable, and somebody is about to ask for a new segment. */
static void close_rotation_scene(struct meeting *meeting) {
    struct dwal_record record = {.data = "first", .size = 5};
    struct dwal_error error;
    int code = dwal_commit(meeting->log, &record, NULL, &error);
    if (code == DWAL_OK)
        meeting->acknowledged++;
    else
        failed(meeting, "commit", code, &error);
    int caller = sched_spawn("caller", rotate_late_main, meeting);
    /* So that it often comes between the seal of the close and its end. */
    meeting_close(meeting, &caller, 1, (int64_t)(sched_random() % 16) * 5);
}

/* What an append returned 0 for is there after a close that returned 0. */
static void records_count(const struct meeting *meeting, uint64_t seed) {
    static struct oracle_found found;
    oracle_look(meeting->sim, true, &found);
    if (found.code != DWAL_OK || found.durable_lsn != meeting->acknowledged ||
        found.verdict != DWAL__VERDICT_CLEAN ||
        (meeting->wrote && strcmp(found.row, "closed") != 0)) {
        print_error("again with DWAL_SEED=%" PRIu64 "\n", seed);
        fail_msg("%u records were taken, %" PRIu64 " are there (%s)",
                 meeting->acknowledged, found.durable_lsn, found.row);
    }
}

static void test_close(void **state) {
    (void)state;
    uint64_t seed = check_seed(1);
    unsigned waited = 0, refused = 0;
    run_begin();
    for (uint64_t i = 0; i < CLOSES; i++) {
        struct meeting meeting = {.scene = i / 4 % 4 == 0
                                               ? close_appends_scene
                                               : close_rotation_scene};
        options_make(&meeting.options, seed + i);
        meeting.options.queue_records_max = 1;
        meeting.options.mark_delay_ms = 0;
        meeting_hold(&meeting, seed + i);
        records_count(&meeting, seed + i);
        simdisk_free(meeting.sim);
        waited += meeting.waited;
        refused += meeting.refused;
    }
    alarm(0);
    /* It did happen. */
    print_message("of %u closes %u found somebody waiting, %u refused one\n",
                  CLOSES, waited, refused);
    assert_true(waited > CLOSES / 16);
}

int main(void) {
    run_watch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotations),
        cmocka_unit_test(test_commits),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
