/* SPDX-License-Identifier: MIT */
/*
 * Every crash of small logs: at every operation of a short life, each
 * combination of what may have reached the disk. Where there are too many of
 * them, which is told, a part is looked at, at random.
 */
#include <inttypes.h>

#include "run.h"
#include "tests/support/check.h"

#define COMBINATIONS_MAX 1024u

static uint64_t sampled; /* snapshots with more combinations than that */
static uint64_t trimmed; /* lives that have let records go */
static bool retains;     /* by retention above all */

static void snapshot_enumerate(const struct life *life,
                               const struct life_snapshot *snapshot) {
    struct chooser_all chooser;
    chooser_all_init(&chooser);
    unsigned count = 0;
    do {
        struct simdisk *cut =
            simdisk_power_cut(snapshot->sim, &chooser.chooser);
        run_check(life, snapshot, cut);
        simdisk_free(cut);
    } while (++count < COMBINATIONS_MAX && chooser_next(&chooser));
    if (count < COMBINATIONS_MAX && !chooser.overflow)
        return;
    sampled++;
    for (uint64_t i = 0; i < COMBINATIONS_MAX; i++) {
        struct chooser_random random;
        chooser_random_init(&random, i);
        struct simdisk *cut = simdisk_power_cut(snapshot->sim, &random.chooser);
        run_check(life, snapshot, cut);
        simdisk_free(cut);
    }
}

/* Many short segments, of which the older ones go. */
static void retain(struct life_plan *plan) {
    plan->calls = 10;
    plan->rotations = 40;
    plan->trims = plan->metas = plan->cuts = 2;
    plan->options.retain_bytes = plan->options.segment_size;
}

/* One or two callers and small records: few sectors are written that were not
 * zeros before, and will not be. Leaves in @sim, @oracle and @past what one of
 * the crashes left. */
static void small_life(uint64_t seed, struct simdisk **sim,
                       struct oracle *oracle, struct oracle_found *past) {
    struct life_plan plan;
    struct life life;
    life_plan_init(&plan, seed);
    plan.callers = 1 + (unsigned)(seed % 2);
    plan.calls = 6;
    plan.size_classes = 2;
    plan.readers = 0;
    plan.trims = plan.rotations = 12;
    plan.metas = plan.cuts = 8;
    plan.snapshot_share = 1;
    if (retains)
        retain(&plan);
    run_life(&life, &plan, *sim, oracle, past);
    if (life.oracle.acked_first > oracle->acked_first)
        trimmed++;
    for (unsigned i = 0; i < life.snapshot_count; i++)
        snapshot_enumerate(&life, &life.snapshots[i]);
    const struct life_snapshot *last =
        &life.snapshots[seed / 2 % life.snapshot_count];
    struct chooser_random chooser;
    chooser_random_init(&chooser, seed);
    struct simdisk *cut = simdisk_power_cut(last->sim, &chooser.chooser);
    struct oracle next = last->oracle;
    *past = *run_check(&life, last, cut);
    oracle_next(&next, past, true, calloc(ORACLE_LSN_MAX, sizeof(uint64_t)));
    life_release(&life);
    run_disk_free(*sim, oracle);
    *sim = cut;
    *oracle = next;
}

/* Three of them, the second and the third where a crash left the one before. */
static void small_lives(uint64_t seed) {
    static struct oracle_found past;
    struct oracle oracle;
    uint64_t random = seed;
    run.seed = seed;
    struct simdisk *sim = run_disk(seed, &oracle, &past);
    for (run.depth = 0; run.depth < 3; run.depth++)
        small_life(check_random(&random), &sim, &oracle, &past);
    run.depth = 0;
    run_disk_free(sim, &oracle);
}

static void lives(uint64_t states) {
    uint64_t wanted = run_states_wanted(states);
    uint64_t seed = check_seed(1);
    run_begin();
    sampled = 0;
    while (run.states < wanted)
        small_lives(seed++);
    run_summary();
    print_message("at %" PRIu64 " moments there were too many combinations; "
                  "%" PRIu64 " lives trimmed\n",
                  sampled, trimmed);
}

static void test_small(void **state) {
    (void)state;
    retains = false;
    lives(50000);
}

static void test_small_retention(void **state) {
    (void)state;
    retains = true;
    trimmed = 0;
    lives(10000);
    assert_true(trimmed > 0 || run.states < 1000);
}

int main(void) {
    run_watch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_small_retention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
