/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/check.h"

struct run run;

/* ---- telling ---- */

static void dump(const struct simdisk *sim) {
    const char *folder = getenv("TMPDIR");
    char path[256];
    snprintf(path, sizeof path, "%s/dwal-crash-%d-%" PRIu64,
             folder != NULL ? folder : "/tmp", (int)getpid(), run.states);
    if (simdisk_dump(sim, path))
        fprintf(stderr, "the log as it was left: %s\n", path);
}

static void where(void) {
    fprintf(stderr, "again: DWAL_SEED=%" PRIu64 " %s%s\n", run.seed, run.only,
            program_invocation_name);
    for (unsigned i = 0; i <= run.depth; i++) {
        char plan[ORACLE_TEXT_SIZE];
        life_describe(&run.plans[i], plan);
        fprintf(stderr, "life %u: %s\n", i, plan);
    }
    if (run.what[0] != '\0')
        fprintf(stderr, "%s\n", run.what);
}

void run_report(const struct life *life, uint64_t operation,
                const struct simdisk *left, const char *text) {
    fprintf(stderr, "\n%s\n", text);
    where();
    const char *trace = getenv("DWAL_CRASH_TRACE");
    simdisk_trace_print(life->sim, operation,
                        trace != NULL ? (unsigned)atoi(trace) : 100);
    if (getenv("DWAL_CRASH_STOP") != NULL)
        _exit(1); /* without a dump, and without the tests behind */
    if (left != NULL)
        dump(left);
    fail_msg("%s", text);
    abort();
}

/* A failed assertion of the library, or a test that hangs. */
static void on_signal(int number) {
    fprintf(stderr, "\nsignal %d\n", number);
    where();
    signal(number, SIG_DFL);
    raise(number);
}

void run_watch(void) {
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);
    signal(SIGSEGV, on_signal);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void run_begin(void) {
    memset(&run, 0, sizeof run);
    run.begin = now();
}

void run_summary(void) {
    alarm(0);
    double took = now() - run.begin;
    print_message("%" PRIu64 " states of %" PRIu64 " lives (%" PRIu64
                  " operations) in %.1f s, %.0f a second: %" PRIu64
                  " clean, %" PRIu64 " torn, %" PRIu64 " corrupt, %" PRIu64
                  " unreadable, %" PRIu64 " no log\n",
                  run.states, run.lives, run.operations, took,
                  (double)run.states / took, run.verdicts[DWAL__VERDICT_CLEAN],
                  run.verdicts[DWAL__VERDICT_TORN],
                  run.verdicts[DWAL__VERDICT_CORRUPT],
                  run.verdicts[DWAL__VERDICT_UNREADABLE],
                  run.verdicts[DWAL__VERDICT_NONE]);
}

uint64_t run_states_wanted(uint64_t fallback) {
    const char *text = getenv("DWAL_CRASH_STATES");
    return text != NULL ? strtoull(text, NULL, 0) : fallback / check_share();
}

/* ---- doing ---- */

struct simdisk *run_disk(uint64_t seed, struct oracle *oracle,
                         struct oracle_found *past) {
    *oracle = (struct oracle){.acked_first = 1, .asked_first = 1};
    oracle->ids = calloc(ORACLE_LSN_MAX, sizeof *oracle->ids);
    memset(past, 0, sizeof *past);
    past->code = DWAL_ENOENT;
    return simdisk_new(seed);
}

void run_disk_free(struct simdisk *sim, struct oracle *oracle) {
    simdisk_free(sim);
    free(oracle->ids);
}

void run_life(struct life *life, const struct life_plan *plan,
              struct simdisk *sim, const struct oracle *oracle,
              struct oracle_found *past) {
    alarm(60);
    run.lives++;
    run.plans[run.depth] = *plan;
    if (sim->trace == NULL)
        simdisk_trace_keep(sim);
    life_run(life, plan, sim, oracle, past);
    run.operations += sim->operations;
    if (life->failure[0] != '\0')
        run_report(life, sim->operations, sim, life->failure);
}

const struct oracle_found *run_check(const struct life *life,
                                     const struct life_snapshot *snapshot,
                                     struct simdisk *left) {
    static struct oracle_found found; /* large */
    char text[ORACLE_TEXT_SIZE];
    oracle_look(left, run.states % 4 == 0, &found);
    run.states++;
    run.verdicts[found.code == DWAL_OK ? found.verdict : DWAL__VERDICT_NONE]++;
    if (!oracle_check(&snapshot->oracle, &found, text))
        run_report(life, snapshot->operation, left, text);
    return &found;
}
