/* SPDX-License-Identifier: MIT */
/*
 * Errors of the operations: each operation of a life fails once, in every way
 * that it can, and all that follows is checked: nothing is acknowledged that
 * is not there after a crash, every call comes back in time, and the next open
 * finds a log and goes on. Then the same for operations that never end, and
 * for a disk that is full.
 */
#include <errno.h>
#include <inttypes.h>

#include "run.h"
#include "tests/support/check.h"

/* Where a sweep begins, and what it does. */
struct scene {
    struct life_plan plan;
    struct simdisk *sim; /* cloned for each run */
    struct oracle oracle;
    struct oracle_found past;
};

/* ---- what can go wrong ---- */

struct way {
    const char *text;
    int64_t result;
    int effect;
    int when;
    bool forever;
    int64_t back_ns;
};

static const struct way ways_call[] = {
    {"EIO, nothing done", -EIO, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
    {"EIO, done", -EIO, SIM_ALL_DONE, SIM_AT_CALL, false, 0},
    {"ENOSPC", -ENOSPC, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
    {"EROFS from now on", -EROFS, SIM_NOTHING_DONE, SIM_AT_CALL, true, 0},
    {"ENOMEM", -ENOMEM, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
};

static const struct way ways_write[] = {
    {"EIO, nothing done", -EIO, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
    {"EIO, half done", -EIO, SIM_SOME_DONE, SIM_AT_CALL, false, 0},
    {"EIO, done", -EIO, SIM_ALL_DONE, SIM_AT_CALL, false, 0},
    {"ENOSPC, half done", -ENOSPC, SIM_SOME_DONE, SIM_AT_CALL, false, 0},
    {"EDQUOT from now on", -EDQUOT, SIM_NOTHING_DONE, SIM_AT_CALL, true, 0},
};

static const struct way ways_submit_write[] = {
    {"EIO at once", -EIO, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
    {"EAGAIN once", -EAGAIN, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
    {"EAGAIN from now on", -EAGAIN, SIM_NOTHING_DONE, SIM_AT_CALL, true, 0},
    {"none taken", 0, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
    {"EIO, nothing done", -EIO, SIM_NOTHING_DONE, SIM_AT_EVENT, false, 0},
    {"EIO, some done", -EIO, SIM_SOME_DONE, SIM_AT_EVENT, false, 0},
    {"EIO, done", -EIO, SIM_ALL_DONE, SIM_AT_EVENT, false, 0},
    {"ENOSPC", -ENOSPC, SIM_NOTHING_DONE, SIM_AT_EVENT, false, 0},
    {"EINTR", -EINTR, SIM_SOME_DONE, SIM_AT_EVENT, false, 0},
    {"short", 512, SIM_SOME_DONE, SIM_AT_EVENT, false, 0},
    {"none written", 0, SIM_NOTHING_DONE, SIM_AT_EVENT, false, 0},
    {"EIO from now on", -EIO, SIM_SOME_DONE, SIM_AT_EVENT, true, 0},
};

static const struct way ways_submit_sync[] = {
    {"EIO at once", -EIO, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
    {"EAGAIN once", -EAGAIN, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
    {"EIO, nothing done", -EIO, SIM_NOTHING_DONE, SIM_AT_EVENT, false, 0},
    {"EIO, done", -EIO, SIM_ALL_DONE, SIM_AT_EVENT, false, 0},
};

static const struct way ways_reap[] = {
    {"EIO", -EIO, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
    {"EINVAL from now on", -EINVAL, SIM_NOTHING_DONE, SIM_AT_CALL, true, 0},
    {"nothing yet", 0, SIM_NOTHING_DONE, SIM_AT_CALL, false, 0},
};

#define TEN_SECONDS INT64_C(10000000000)

/* The last three are for all operations. */
static const struct way ways_hang[] = {
    {"never ends", 0, SIM_ALL_DONE, SIM_NEVER, false, 0},
    {"none ends from now on", 0, SIM_ALL_DONE, SIM_NEVER, true, 0},
    {"ends in ten seconds", 0, SIM_ALL_DONE, SIM_NEVER, false, TEN_SECONDS},
    {"blocks", 0, SIM_ALL_DONE, SIM_BLOCKED, false, 0},
    {"blocks for ten seconds", 0, SIM_ALL_DONE, SIM_BLOCKED, false,
     TEN_SECONDS},
    {"the disk stands still for ten seconds", 0, SIM_ALL_DONE, SIM_STILL, true,
     TEN_SECONDS},
};

/* For a log that has more patience than that. */
static const struct way ways_slow[] = {
    {"ends in ten seconds", 0, SIM_ALL_DONE, SIM_NEVER, false, TEN_SECONDS},
    {"blocks for ten seconds", 0, SIM_ALL_DONE, SIM_BLOCKED, false,
     TEN_SECONDS},
    {"the disk stands still for ten seconds", 0, SIM_ALL_DONE, SIM_STILL, true,
     TEN_SECONDS},
};

#define WAYS(array, count)                                                     \
    (*(count) = sizeof(array) / sizeof((array)[0]), (array))

static const struct way *ways_of(enum sim_operation operation, size_t *count) {
    switch (operation) {
    case SIM_WRITE:
        return WAYS(ways_write, count);
    case SIM_SUBMIT_WRITE:
        return WAYS(ways_submit_write, count);
    case SIM_SUBMIT_SYNC:
        return WAYS(ways_submit_sync, count);
    case SIM_REAP:
        return WAYS(ways_reap, count);
    default:
        return WAYS(ways_call, count);
    }
}

static bool submits(enum sim_operation operation) {
    return operation == SIM_SUBMIT_WRITE || operation == SIM_SUBMIT_SYNC;
}

static const struct way *hangs_of(enum sim_operation operation, size_t *count) {
    const struct way *ways = WAYS(ways_hang, count);
    if (submits(operation))
        return ways;
    *count -= 3;
    return ways + 3;
}

static const struct way *slow_of(enum sim_operation operation, size_t *count) {
    const struct way *ways = WAYS(ways_slow, count);
    if (submits(operation))
        return ways;
    *count -= 1;
    return ways + 1;
}

/* ---- one run ---- */

/* The process ends here, or the machine: both times the next one finds what
 * was promised, and goes on. */
static void life_after(const struct life *life, uint64_t seed, bool power) {
    static struct oracle_found past;
    const struct life_snapshot *end =
        &life->snapshots[life->snapshot_count - 1];
    struct chooser_random chooser;
    chooser_random_init(&chooser, seed);
    struct simdisk *left = power ? simdisk_power_cut(end->sim, &chooser.chooser)
                                 : simdisk_kill(end->sim);
    left->capacity = UINT64_MAX;
    struct simdisk *looked = simdisk_clone(left);
    past = *run_check(life, end, looked);
    simdisk_free(looked);
    uint64_t *ids = malloc(ORACLE_LSN_MAX * sizeof *ids);
    struct oracle oracle = end->oracle;
    oracle_next(&oracle, &past, power, ids);
    struct life_plan plan;
    struct life next;
    life_plan_init(&plan, seed);
    plan.calls = 3;
    plan.repairs = false;
    plan.snapshot_share = 0;
    run.depth = 1;
    run_life(&next, &plan, left, &oracle, &past);
    run.depth = 0;
    life_release(&next);
    simdisk_free(left);
    free(ids);
}

/* A batch whose write or sync failed, or never ended, is the end of the log's
 * life, also if a later try would have been lucky [latch]. */
static void latch_check(const struct life *life,
                        const struct sim_fault *fault) {
    bool final = fault->when == SIM_AT_EVENT || fault->when == SIM_NEVER ||
                 fault->when == SIM_STILL;
    if (life->plan.slow && life->close_code != DWAL_OK)
        run_report(life, life->sim->operations, NULL,
                   "the disk was slow, and the log failed");
    if (fault->struck && submits(fault->operation) && final &&
        !life->plan.slow && life->close_code != DWAL_EFAILED)
        run_report(life, life->sim->operations, NULL,
                   "a batch failed, but the log did not");
}

/* @scene with @fault, crashes included. True if the fault struck. */
static bool scene_run(const struct scene *scene, struct sim_fault *fault,
                      uint64_t seed) {
    uint64_t random = seed;
    struct simdisk *sim = simdisk_clone(scene->sim);
    struct oracle oracle = scene->oracle;
    struct oracle_found *past = malloc(sizeof *past);
    *past = scene->past;
    oracle.ids = malloc(ORACLE_LSN_MAX * sizeof *oracle.ids);
    memcpy(oracle.ids, scene->oracle.ids, ORACLE_LSN_MAX * sizeof *oracle.ids);
    sim->fault = fault;
    struct life life;
    run_life(&life, &scene->plan, sim, &oracle, past);
    if (fault != NULL)
        latch_check(&life, fault);
    for (unsigned i = 0; i < life.snapshot_count; i++) {
        struct chooser_random chooser;
        chooser_random_init(&chooser, check_random(&random));
        struct simdisk *cut =
            simdisk_power_cut(life.snapshots[i].sim, &chooser.chooser);
        run_check(&life, &life.snapshots[i], cut);
        simdisk_free(cut);
    }
    life_after(&life, check_random(&random), false);
    life_after(&life, check_random(&random), true);
    life_release(&life);
    run_disk_free(sim, &oracle);
    free(past);
    return fault != NULL && fault->struck;
}

/* ---- sweeps ---- */

typedef const struct way *ways_for(enum sim_operation operation, size_t *count);

/* What DWAL_CRASH_ONLY picks out of a sweep: "scene:operation:way". */
static bool is_wanted(unsigned scene, uint64_t operation, size_t way) {
    const char *only = getenv("DWAL_CRASH_ONLY");
    char text[40];
    snprintf(text, sizeof text, "%u:%" PRIu64 ":%zu", scene, operation, way);
    snprintf(run.only, sizeof run.only, "DWAL_CRASH_ONLY=%s ", text);
    return only == NULL || strcmp(only, text) == 0;
}

/* Every operation of the scene, in every way. */
static void scene_sweep(const struct scene *scene, unsigned number,
                        ways_for *ways_find, unsigned share) {
    struct simdisk *sim = simdisk_clone(scene->sim);
    struct oracle oracle = scene->oracle;
    struct oracle_found *past = malloc(sizeof *past);
    struct life life;
    *past = scene->past;
    oracle.ids = calloc(ORACLE_LSN_MAX, sizeof *oracle.ids);
    run_life(&life, &scene->plan, sim, &oracle, past);
    uint64_t struck = 0, tried = 0;
    uint64_t operations = sim->operations;
    for (uint64_t at = scene->plan.seed % share; at < operations; at += share) {
        size_t count;
        const struct way *ways = ways_find(sim->trace[at].operation, &count);
        for (size_t i = 0; i < count; i++) {
            if (!is_wanted(number, at, i))
                continue;
            struct sim_fault fault = {.at = at,
                                      .forever = ways[i].forever,
                                      .result = ways[i].result,
                                      .effect = ways[i].effect,
                                      .when = ways[i].when,
                                      .back_ns = ways[i].back_ns};
            snprintf(run.what, sizeof run.what, "operation %" PRIu64 ": %s", at,
                     ways[i].text);
            struck += scene_run(scene, &fault, at * 31 + i);
            tried++;
        }
    }
    run.what[0] = run.only[0] = '\0';
    assert_true(struck >= tried / 16);
    life_release(&life);
    run_disk_free(sim, &oracle);
    free(past);
}

static void plan_make(struct life_plan *plan, uint64_t seed) {
    life_plan_init(plan, seed);
    plan->callers = 2;
    plan->calls = 5;
    plan->size_classes = 3;
    plan->trims = plan->rotations = 10;
    plan->readers = 0;
    plan->repairs = false;
    plan->rests = false;
    plan->errors = true;
    plan->snapshot_share = 16;
    plan->options.io_timeout_ms = 1000;
    plan->options.append_timeout_ms = 500;
    plan->options.submit = (int)(seed % 2);
    plan->options.sync = 1 + (int)(seed / 2 % 2);
}

/* Nothing there yet. */
static void scene_new(struct scene *scene, uint64_t seed) {
    plan_make(&scene->plan, seed);
    scene->sim = run_disk(seed, &scene->oracle, &scene->past);
}

/* A log that crashed in the middle. */
static void scene_crashed(struct scene *scene, uint64_t seed) {
    static struct oracle_found past;
    struct oracle oracle;
    struct life life;
    struct life_plan plan;
    struct simdisk *sim = run_disk(seed, &oracle, &past);
    /* Another one than the scene's, which would draw the same salts again. */
    life_plan_init(&plan, ~seed);
    plan.size_classes = 2;
    run_life(&life, &plan, sim, &oracle, &past);
    const struct life_snapshot *last =
        &life.snapshots[life.snapshot_count * 3 / 4];
    struct chooser_random chooser;
    chooser_random_init(&chooser, seed);
    scene->sim = simdisk_power_cut(last->sim, &chooser.chooser);
    scene->past = *run_check(&life, last, scene->sim);
    uint64_t *ids = malloc(ORACLE_LSN_MAX * sizeof *ids);
    scene->oracle = last->oracle;
    oracle_next(&scene->oracle, &scene->past, true, ids);
    life_release(&life);
    run_disk_free(sim, &oracle);
    plan_make(&scene->plan, seed);
}

/* A log with more patience than the disk needs: nothing may come of it. */
static void scene_patient(struct scene *scene) {
    scene->plan.errors = false;
    scene->plan.slow = true;
    scene->plan.options.io_timeout_ms = 30000;
    scene->plan.options.append_timeout_ms = 60000;
}

/* Four kinds of committing, each on a new log and on one that crashed. */
static void sweep(ways_for *ways_find, unsigned share) {
    uint64_t seed = check_seed(4);
    run_begin();
    for (uint64_t i = 0; i < 8; i++) {
        struct scene *scene = malloc(sizeof *scene);
        run.seed = seed;
        if (i < 4)
            scene_new(scene, seed + i);
        else
            scene_crashed(scene, seed + i);
        if (ways_find == slow_of)
            scene_patient(scene);
        scene_sweep(scene, (unsigned)i, ways_find, share);
        run_disk_free(scene->sim, &scene->oracle);
        free(scene);
    }
    run_summary();
}

static unsigned share_wanted(unsigned fallback) {
    const char *text = getenv("DWAL_CRASH_SHARE");
    return text != NULL ? (unsigned)strtoul(text, NULL, 0)
                        : fallback * check_share();
}

static void test_errors(void **state) {
    (void)state;
    sweep(ways_of, share_wanted(2));
}

static void test_hangs(void **state) {
    (void)state;
    sweep(hangs_of, share_wanted(2));
}

static void test_slow(void **state) {
    (void)state;
    sweep(slow_of, share_wanted(2));
}

/* ---- a full disk ---- */

static void test_full(void **state) {
    (void)state;
    uint64_t seed = check_seed(1);
    run_begin();
    uint64_t wanted = run_states_wanted(10000);
    for (uint64_t i = 0; run.states < wanted; i++) {
        struct scene *scene = malloc(sizeof *scene);
        run.seed = seed + i;
        scene_new(scene, seed + i);
        life_plan_init(&scene->plan, seed + i);
        scene->plan.full = true;
        scene->plan.readers = 0;
        scene->plan.options.append_timeout_ms = (int)(run.seed % 3) * 10;
        /* For two segments and the reserve at least, which creation needs. */
        scene->sim->capacity =
            scene->plan.options.segment_size * (4 + run.seed % 4) + 4096;
        scene_run(scene, NULL, seed + i);
        run_disk_free(scene->sim, &scene->oracle);
        free(scene);
    }
    run_summary();
}

int main(void) {
    run_watch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_hangs),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
