/* SPDX-License-Identifier: MIT */
/*
 * Repair of what crashes and damage left, with crashes inside of the repair:
 * whatever is left then is not taken for a log that is in order, unless it is
 * the repaired one, and repairing it again ends with the same bytes. What was
 * kept is what had been submitted, and another life goes on from there. And
 * whatever is left, the undo file gives back what was there before; without one
 * nothing was changed.
 */
#include <inttypes.h>

#include "damage.h"
#include "fsck/undo.h"
#include "run.h"
#include "tests/support/check.h"

#define MOMENTS_MAX 64u

/* A repair, and the moments in it at which it might be interrupted. */
struct repair {
    uint64_t random;
    struct simdisk *moments[MOMENTS_MAX];
    unsigned count;
    uint64_t effects;
    enum dwal__repair_kind kind;
    int code;
    struct dwal_error error;
};

static void moment_note(void *argument, struct simdisk *sim) {
    struct repair *repair = argument;
    if (sim->effects == repair->effects)
        return;
    repair->effects = sim->effects;
    /* Beyond the limit, any of them as likely as any other. */
    unsigned at = repair->count;
    if (at == MOMENTS_MAX)
        at = (unsigned)(check_random(&repair->random) % (2 * MOMENTS_MAX));
    if (at >= MOMENTS_MAX)
        return;
    if (at < repair->count)
        simdisk_free(repair->moments[at]);
    else
        repair->count++;
    repair->moments[at] = simdisk_clone(sim);
}

static void moments_free(struct repair *repair) {
    while (repair->count > 0)
        simdisk_free(repair->moments[--repair->count]);
}

/* ---- undo files ---- */

#define UNDOS_MAX 2u

static const char *const undo_names[UNDOS_MAX] = {"repair-1.undo",
                                                  "repair-2.undo"};

/* In the log's own directory, as walfsck does it. */
static int undo_save(const struct dwal__repair_options *options,
                     const struct dwal__repair_plan *plan,
                     struct dwal_error *error) {
    struct dwal__undo_place place = {
        .disk = options->disk, .log_dir = options->dir, .dir = options->dir};
    uint64_t size;
    int code = DWAL_EEXIST;
    for (unsigned i = 0; i < UNDOS_MAX && code == DWAL_EEXIST; i++) {
        place.name = undo_names[i];
        code = dwal__undo_save(&place, options, plan, &size, error);
    }
    return code;
}

/* Takes back all repairs, the last one first. */
static int undo_all(struct simdisk *sim, struct dwal_error *error) {
    const struct dwal__disk_ops *ops = sim->disk.ops;
    int dir = ops->dir_open(&sim->disk, SIM_PATH);
    struct dwal__undo_place place = {
        .disk = &sim->disk, .log_dir = dir, .dir = dir};
    int code = DWAL_OK;
    sim->repairing = true;
    for (unsigned i = UNDOS_MAX; i-- > 0 && code == DWAL_OK;) {
        struct dwal__undo_done done;
        place.name = undo_names[i];
        if (simdisk_file(sim, place.name) != NULL)
            code = dwal__undo_apply(&place, NULL, NULL, &done, error);
    }
    sim->repairing = false;
    ops->close(&sim->disk, dir);
    return code;
}

/* Without files that are not the log's. */
static struct simdisk *log_alone(const struct simdisk *sim) {
    static const char *const others[] = {".undo", ".tmp"};
    struct simdisk *alone = simdisk_clone(sim);
    for (int i = alone->now.count; i-- > 0;) {
        char name[SIM_NAME_SIZE];
        memcpy(name, alone->now.entries[i].name, sizeof name);
        const char *end = strrchr(name, '.');
        for (unsigned j = 0; end != NULL && j < 2; j++)
            if (strcmp(end, others[j]) == 0)
                simdisk_remove(alone, name);
    }
    return alone;
}

/* NULL, or a file of the log that is not the same. */
static const char *log_difference(const struct simdisk *a,
                                  const struct simdisk *b) {
    static char different[SIM_NAME_SIZE];
    struct simdisk *left = log_alone(a), *right = log_alone(b);
    const char *name = simdisk_difference(left, right);
    if (name != NULL)
        snprintf(different, sizeof different, "%s", name);
    simdisk_free(left);
    simdisk_free(right);
    return name != NULL ? different : NULL;
}

/* Fails unless what is in @left can be turned into what was there @before. */
static void undo_check(const struct life *life, const struct simdisk *left,
                       const struct simdisk *before) {
    struct dwal_error error;
    struct simdisk *undone = simdisk_clone(left);
    if (undo_all(undone, &error) != DWAL_OK)
        run_report(life, 0, left, error.text);
    const char *name = log_difference(undone, before);
    if (name != NULL) {
        snprintf(run.what, sizeof run.what, "%s differs", name);
        run_report(life, 0, left, "undone, and not as it was before");
    }
    simdisk_free(undone);
}

/* ---- repairs ---- */

/* As walfsck -y does it, which accepts every loss. */
static void repair_plan_run(struct simdisk *sim, int dir, int *lock,
                            struct repair *repair) {
    struct dwal__recover_options recover = {.disk = &sim->disk,
                                            .dir = dir,
                                            .sync = true,
                                            .verify_bytes = UINT64_MAX};
    struct dwal__recovery recovery = {0};
    struct dwal__repair_options options = {.disk = &sim->disk,
                                           .dir = dir,
                                           .lock = lock,
                                           .uuid = {"0123456789abcdef"},
                                           .salts = {0x1111, 0x2222}};
    struct dwal__repair_plan plan = {0};
    repair->code = dwal__recover(&recover, &recovery, &repair->error);
    if (repair->code != DWAL_OK)
        return;
    repair->code =
        dwal__repair_plan_make(&options, &recovery, &plan, &repair->error);
    repair->kind = plan.kind;
    if (repair->code == DWAL_OK && plan.step_count > 0)
        repair->code = undo_save(&options, &plan, &repair->error);
    if (repair->code == DWAL_OK && plan.step_count > 0)
        repair->code = dwal__repair_run(&options, &plan, &repair->error);
    dwal__repair_plan_release(&plan);
    dwal__recovery_release(&recovery);
}

static void repair_run(struct simdisk *sim, struct repair *repair) {
    const struct dwal__disk_ops *ops = sim->disk.ops;
    int dir = ops->dir_open(&sim->disk, SIM_PATH);
    int lock = ops->open(&sim->disk, dir, DWAL__LOCK_NAME, DWAL__OPEN_WRITE);
    sim->repairing = true;
    repair->effects = sim->effects;
    sim->before = repair->count == 0 ? moment_note : NULL;
    sim->argument = repair;
    repair_plan_run(sim, dir, &lock, repair);
    sim->before = NULL;
    sim->repairing = false;
    if (lock >= 0)
        ops->close(&sim->disk, lock);
    ops->close(&sim->disk, dir);
}

/* Fails unless the repaired log is in order, and holds what it should. */
static void repaired_check(const struct life *life,
                           const struct life_snapshot *snapshot,
                           struct simdisk *sim, const struct repair *repair,
                           const struct oracle_found *before,
                           struct oracle_found *after) {
    char text[ORACLE_TEXT_SIZE];
    if (repair->code != DWAL_OK)
        run_report(life, 0, sim, repair->error.text);
    if (sim->complaint[0] != '\0')
        run_report(life, 0, sim, sim->complaint);
    oracle_look(sim, true, after);
    run.states++;
    if (after->code != DWAL_OK || after->verdict != DWAL__VERDICT_CLEAN ||
        after->read_code != DWAL_END || after->read_lsn != after->durable_lsn)
        run_report(life, 0, sim, "repaired, and not in order");
    if (after->durable_lsn < before->durable_lsn)
        run_report(life, 0, sim, "the repair took more than it had to");
    if (!oracle_check_records(&snapshot->oracle, after, text))
        run_report(life, 0, sim, text);
}

/* Interrupted at one moment. */
static void interrupted_check(const struct life *life,
                              const struct simdisk *moment, uint64_t seed,
                              const struct simdisk *before,
                              const struct simdisk *repaired,
                              const struct oracle_found *after) {
    static struct oracle_found found;
    struct chooser_random chooser;
    chooser_random_init(&chooser, seed);
    /* Half a mark may be taken for something foreign behind a witness: in order
     * as well, but not the same bytes. SPEC 1 has whole sectors. */
    chooser.chooser.tears = false;
    struct simdisk *cut = seed % 8 == 0
                              ? simdisk_kill(moment)
                              : simdisk_power_cut(moment, &chooser.chooser);
    struct simdisk *looked = simdisk_clone(cut);
    oracle_look(looked, true, &found);
    simdisk_free(looked);
    run.states++;
    if (found.code == DWAL_OK && found.verdict == DWAL__VERDICT_CLEAN &&
        (found.durable_lsn != after->durable_lsn ||
         found.first_lsn != after->first_lsn))
        run_report(life, 0, cut, "half repaired, and taken for a whole log");
    undo_check(life, cut, before);
    struct repair again = {.count = 1}; /* no moments */
    repair_run(cut, &again);
    const char *name = log_difference(cut, repaired);
    if (again.code != DWAL_OK)
        run_report(life, 0, cut, again.error.text);
    if (name != NULL) {
        snprintf(run.what, sizeof run.what, "%s differs", name);
        run_report(life, 0, cut, "repaired in two steps, and not the same");
    }
    undo_check(life, cut, before);
    simdisk_free(cut);
}

/* Goes on after the repair. */
static void life_after(const struct life_snapshot *snapshot,
                       struct simdisk *repaired, struct oracle_found *after,
                       uint64_t seed) {
    struct oracle oracle = snapshot->oracle;
    struct life_plan plan;
    struct life life;
    uint64_t *ids = malloc(ORACLE_LSN_MAX * sizeof *ids);
    oracle_next(&oracle, after, true, ids);
    oracle.created = true;
    oracle.asked_first = after->first_lsn;
    life_plan_init(&plan, seed);
    plan.calls = 4;
    plan.readers = 0;
    plan.snapshot_share = 8;
    run.depth = 1;
    run_life(&life, &plan, repaired, &oracle, after);
    for (unsigned i = 0; i < life.snapshot_count; i++) {
        struct chooser_random chooser;
        chooser_random_init(&chooser, seed + i);
        struct simdisk *cut =
            simdisk_power_cut(life.snapshots[i].sim, &chooser.chooser);
        run_check(&life, &life.snapshots[i], cut);
        simdisk_free(cut);
    }
    run.depth = 0;
    life_release(&life);
    free(ids);
}

static void damaged_repair(const struct life *life,
                           const struct life_snapshot *snapshot,
                           struct simdisk *damaged, uint64_t *random) {
    static struct oracle_found before, after;
    struct simdisk *looked = simdisk_clone(damaged);
    oracle_look(looked, true, &before);
    simdisk_free(looked);
    if (before.code != DWAL_OK || before.verdict == DWAL__VERDICT_UNREADABLE)
        return;
    run.verdicts[before.verdict]++;
    struct repair repair = {.random = check_random(random)};
    struct simdisk *repaired = simdisk_clone(damaged);
    repair_run(repaired, &repair);
    repaired_check(life, snapshot, repaired, &repair, &before, &after);
    undo_check(life, repaired, damaged);
    for (unsigned i = 0; i < repair.count; i++)
        interrupted_check(life, repair.moments[i], check_random(random),
                          damaged, repaired, &after);
    if (check_random(random) % 4 == 0)
        life_after(snapshot, repaired, &after, check_random(random));
    moments_free(&repair);
    simdisk_free(repaired);
}

static void snapshot_repair(const struct life *life,
                            const struct life_snapshot *snapshot,
                            uint64_t *random) {
    struct chooser_random chooser;
    struct damage damage;
    chooser_random_init(&chooser, check_random(random));
    struct simdisk *cut = simdisk_power_cut(snapshot->sim, &chooser.chooser);
    damaged_repair(life, snapshot, cut, random); /* torn, perhaps */
    if (damage_do(cut, random, &damage)) {
        damage_describe(&damage, run.what);
        damaged_repair(life, snapshot, cut, random);
        run.what[0] = '\0';
    }
    simdisk_free(cut);
}

static void test_repair(void **state) {
    (void)state;
    static struct oracle_found past;
    uint64_t wanted = run_states_wanted(20000);
    uint64_t seed = check_seed(1);
    run_begin();
    while (run.states < wanted) {
        struct oracle oracle;
        struct life_plan plan;
        struct life life;
        run.seed = seed++;
        uint64_t random = run.seed;
        struct simdisk *sim = run_disk(run.seed, &oracle, &past);
        life_plan_init(&plan, check_random(&random));
        plan.cuts = 0; /* damage may bring back what was cut off */
        plan.snapshot_share = 16;
        run_life(&life, &plan, sim, &oracle, &past);
        for (unsigned i = 0; i < life.snapshot_count; i++)
            snapshot_repair(&life, &life.snapshots[i], &random);
        life_release(&life);
        run_disk_free(sim, &oracle);
    }
    run_summary();
}

int main(void) {
    run_watch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
