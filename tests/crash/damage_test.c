/* SPDX-License-Identifier: MIT */
/*
 * Damage at rest on top of crashes: no loss below a watermark is silent, and
 * one flipped bit never is, wherever it lies.
 */
#include <inttypes.h>

#include "damage.h"
#include "run.h"
#include "tests/support/check.h"

#define DAMAGES 6u /* of each crash */

static uint64_t unproven; /* silent, and nothing could prove it */

static void damage_one(const struct life *life,
                       const struct life_snapshot *snapshot,
                       const struct simdisk *cut, uint64_t *random) {
    static struct oracle_found found;
    struct simdisk *damaged = simdisk_clone(cut);
    struct damage damage;
    char text[ORACLE_TEXT_SIZE];
    if (damage_do(damaged, random, &damage)) {
        struct dwal__watermark evidence = damage_evidence(damaged);
        damage_describe(&damage, run.what);
        oracle_look(damaged, run.states % 2 == 0, &found);
        run.states++;
        run.verdicts[found.code == DWAL_OK ? found.verdict
                                           : DWAL__VERDICT_NONE]++;
        if (!damage_check(&damage, &snapshot->oracle, &found, &evidence,
                          &unproven, text))
            run_report(life, snapshot->operation, damaged, text);
        run.what[0] = '\0';
    }
    simdisk_free(damaged);
}

static void snapshot_damage(const struct life *life,
                            const struct life_snapshot *snapshot,
                            uint64_t *random) {
    struct chooser_random chooser;
    chooser_random_init(&chooser, check_random(random));
    struct simdisk *cut = simdisk_power_cut(snapshot->sim, &chooser.chooser);
    for (unsigned i = 0; i < DAMAGES; i++)
        damage_one(life, snapshot, cut, random);
    simdisk_free(cut);
}

/* Two lives, so that there are dead segments and recycled files too. */
static void damage_lives(uint64_t seed) {
    static struct oracle_found past;
    struct oracle oracle;
    uint64_t random = seed;
    run.seed = seed;
    struct simdisk *sim = run_disk(seed, &oracle, &past);
    for (run.depth = 0; run.depth < 2; run.depth++) {
        struct life_plan plan;
        struct life life;
        life_plan_init(&plan, check_random(&random));
        plan.cuts = 0; /* damage may bring back what was cut off */
        plan.snapshot_share = 8;
        run_life(&life, &plan, sim, &oracle, &past);
        for (unsigned i = 0; i < life.snapshot_count; i++)
            snapshot_damage(&life, &life.snapshots[i], &random);
        const struct life_snapshot *last =
            &life.snapshots[check_random(&random) % life.snapshot_count];
        struct chooser_random chooser;
        chooser_random_init(&chooser, check_random(&random));
        struct simdisk *cut = simdisk_power_cut(last->sim, &chooser.chooser);
        past = *run_check(&life, last, cut);
        uint64_t *ids = malloc(ORACLE_LSN_MAX * sizeof *ids);
        struct oracle next = last->oracle;
        oracle_next(&next, &past, true, ids);
        life_release(&life);
        run_disk_free(sim, &oracle);
        sim = cut;
        oracle = next;
    }
    run_disk_free(sim, &oracle);
    run.depth = 0;
}

static void test_damage(void **state) {
    (void)state;
    uint64_t wanted = run_states_wanted(30000);
    uint64_t seed = check_seed(1);
    run_begin();
    unproven = 0;
    while (run.states < wanted)
        damage_lives(seed++);
    run_summary();
    print_message("%" PRIu64 " lost the last acknowledged batch without a "
                  "trace\n",
                  unproven);
}

int main(void) {
    run_watch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
