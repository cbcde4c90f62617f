/* SPDX-License-Identifier: MIT */
/*
 * The log on a disk that loses its power, again and again. Random lives of the
 * production code on a simulated disk; crashes all along, with what they leave
 * chosen at random; what is found is compared with what was promised; from
 * some crashes on another life begins, four deep.
 *
 * DWAL_CRASH_STATES says how many states to look at, DWAL_SEED where to begin.
 * A failure prints the seed that leads to it at once.
 */
#include "run.h"
#include "tests/support/check.h"

#define CUTS 2u     /* of each snapshot, and the worst one */
#define CHILDREN 2u /* lives that go on from one */

/* A state to go on from. */
struct child {
    struct simdisk *sim;
    struct oracle oracle;
    struct oracle_found found;
};

static void child_set(struct child *child, struct simdisk *left,
                      const struct oracle *oracle,
                      const struct oracle_found *found) {
    if (child->sim != NULL)
        simdisk_free(child->sim);
    child->sim = simdisk_clone(left);
    child->oracle = *oracle;
    child->found = *found;
}

/* A kill, after which somebody looks: what he finds, and syncs, is there after
 * a power cut too. The next life finds what is volatile as it was left. */
static void snapshot_kill(const struct life *life,
                          const struct life_snapshot *snapshot,
                          uint64_t *random, struct child *child) {
    struct simdisk *killed = simdisk_kill(snapshot->sim);
    struct simdisk *looked = simdisk_clone(killed);
    const struct oracle_found *found = run_check(life, snapshot, looked);
    if (child != NULL)
        child_set(child, killed, &snapshot->oracle, found);
    struct life_snapshot seen = *snapshot;
    if (found->code == DWAL_OK) {
        seen.oracle.acked_lsn = found->durable_lsn;
        seen.oracle.acked_end = found->end;
        seen.oracle.acked_meta = found->meta;
        seen.oracle.cutting = false;
        seen.oracle.created = true;
    }
    struct chooser_random chooser;
    chooser_random_init(&chooser, check_random(random));
    struct simdisk *cut = simdisk_power_cut(looked, &chooser.chooser);
    run_check(life, &seen, cut);
    simdisk_free(cut);
    simdisk_free(looked);
    simdisk_free(killed);
}

/* Nothing is left but what had to be. */
static void snapshot_worst(const struct life *life,
                           const struct life_snapshot *snapshot) {
    struct chooser_all oldest;
    chooser_all_init(&oldest);
    struct simdisk *cut = simdisk_power_cut(snapshot->sim, &oldest.chooser);
    run_check(life, snapshot, cut);
    simdisk_free(cut);
}

/* Crashes at one snapshot; one of them gets to be @child, unless it is NULL. */
static void snapshot_crash(const struct life *life,
                           const struct life_snapshot *snapshot,
                           uint64_t *random, struct child *child) {
    bool kill = check_random(random) % 4 == 0;
    snapshot_worst(life, snapshot);
    for (unsigned i = 0; i < CUTS; i++) {
        struct chooser_random chooser;
        chooser_random_init(&chooser, check_random(random));
        struct simdisk *cut =
            simdisk_power_cut(snapshot->sim, &chooser.chooser);
        const struct oracle_found *found = run_check(life, snapshot, cut);
        if (child != NULL && i == 0)
            child_set(child, cut, &snapshot->oracle, found);
        simdisk_free(cut);
    }
    if (kill)
        snapshot_kill(life, snapshot, random, child);
}

static void life_crash(const struct life *life, uint64_t *random,
                       struct child *children) {
    unsigned chosen[CHILDREN];
    for (unsigned i = 0; i < CHILDREN; i++)
        chosen[i] = (unsigned)(check_random(random) % life->snapshot_count);
    for (unsigned at = 0; at < life->snapshot_count; at++) {
        struct child *child = NULL;
        for (unsigned i = 0; i < CHILDREN && children != NULL; i++)
            if (chosen[i] == at)
                child = &children[i];
        snapshot_crash(life, &life->snapshots[at], random, child);
    }
}

static void explore(struct simdisk *sim, const struct oracle *oracle,
                    struct oracle_found *past, uint64_t seed, unsigned depth);

static void child_explore(struct child *child, uint64_t seed, unsigned depth) {
    uint64_t *ids = malloc(ORACLE_LSN_MAX * sizeof *ids);
    oracle_next(&child->oracle, &child->found, !simdisk_unsynced(child->sim),
                ids);
    explore(child->sim, &child->oracle, &child->found, seed, depth);
    simdisk_free(child->sim);
    free(ids);
}

static void explore(struct simdisk *sim, const struct oracle *oracle,
                    struct oracle_found *past, uint64_t seed, unsigned depth) {
    uint64_t random = seed;
    struct life_plan plan;
    life_plan_init(&plan, check_random(&random));
    run.depth = depth;
    struct life life;
    run_life(&life, &plan, sim, oracle, past);
    struct child *children = calloc(CHILDREN, sizeof *children);
    life_crash(&life, &random, depth + 1 < RUN_DEPTH_MAX ? children : NULL);
    life_release(&life);
    for (unsigned i = 0; i < CHILDREN; i++)
        if (children[i].sim != NULL)
            child_explore(&children[i], check_random(&random), depth + 1);
    free(children);
}

/* The same seed gives the same life, to the last operation. */
static void test_replay(void **state) {
    (void)state;
    uint64_t seed = check_seed(1);
    struct oracle_found *past = malloc(sizeof *past);
    run_begin();
    for (uint64_t i = 0; i < 4; i++) {
        struct oracle oracle[2];
        struct simdisk *sim[2];
        struct life_plan plan;
        life_plan_init(&plan, seed + i);
        for (unsigned again = 0; again < 2; again++) {
            struct life life;
            sim[again] = run_disk(seed, &oracle[again], past);
            run_life(&life, &plan, sim[again], &oracle[again], past);
            life_release(&life);
        }
        assert_int_equal(sim[0]->operations, sim[1]->operations);
        for (uint64_t at = 0; at < sim[0]->operations; at++)
            assert_memory_equal(&sim[0]->trace[at], &sim[1]->trace[at],
                                sizeof(struct sim_trace));
        assert_null(simdisk_difference(sim[0], sim[1]));
        for (unsigned again = 0; again < 2; again++)
            run_disk_free(sim[again], &oracle[again]);
    }
    free(past);
}

static void test_crashes(void **state) {
    (void)state;
    struct oracle_found *past = malloc(sizeof *past);
    uint64_t wanted = run_states_wanted(100000);
    uint64_t seed = check_seed(1);
    run_begin();
    while (run.states < wanted) {
        struct oracle oracle;
        run.seed = seed++;
        struct simdisk *sim = run_disk(run.seed, &oracle, past);
        explore(sim, &oracle, past, run.seed, 0);
        run_disk_free(sim, &oracle);
    }
    run_summary();
    free(past);
}

int main(void) {
    run_watch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
