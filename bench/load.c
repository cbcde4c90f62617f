/* SPDX-License-Identifier: MIT */
/*
 * The jobs and their clock. The main thread sleeps, takes what is counted when
 * measuring begins and ends, and only then stops the jobs: so the rate is that
 * of a log under full load, and how late the main thread wakes up does not
 * matter. Jobs finish the record that they are at, and its latency counts, so
 * that a stall at the end shows.
 */
#include "load.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "../fsck/cli.h"

#define NS_PER_S 1000000000
#define POLL_NS 50000
#define TICK_NS (NS_PER_S / 10)
#define NEVER INT64_MAX

struct dwal__load {
    const struct dwal__bench_options *options;
    const struct dwal__engine *engine;
    void *state;
    uint8_t *bytes;
    struct dwal__job *jobs;
    unsigned started; /* jobs that have a thread */

    /* Guards begin_ns until it is set; the jobs wait for that. */
    pthread_mutex_t gate_lock;
    pthread_cond_t gate;
    bool open;
    /* Constant once the gate is open. */
    int64_t begin_ns;
    int64_t measure_ns; /* records that begin earlier do not count */
    int64_t end_ns;     /* NEVER: when --size is reached */

    atomic_bool stop;
    atomic_bool failed;
    atomic_uint running;
    sem_t finished; /* posted by the last job */
};

/* ---- for the jobs ---- */

static void sleep_until(int64_t ns) {
    struct timespec until = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int64_t lower(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* When record @index of the job is due. */
static int64_t due_ns(const struct dwal__job *job, uint64_t index) {
    const struct dwal__bench_options *options = job->options;
    double place = (double)index * options->numjobs + job->index;
    return job->load->begin_ns + (int64_t)(place * NS_PER_S / options->rate);
}

bool dwal__job_stopped(const struct dwal__job *job) {
    return atomic_load_explicit(&job->load->stop, memory_order_relaxed);
}

bool dwal__job_more(const struct dwal__job *job) {
    return job->begun < job->quota && !dwal__job_stopped(job);
}

/* The open loop's next. */
static bool due_await(struct dwal__job *job, int64_t *start,
                      bool (*poll)(void *argument), void *argument) {
    int64_t due = due_ns(job, job->begun);
    if (due >= job->load->end_ns)
        return false;
    while ((job->now = dwal__bench_now_ns()) < due) {
        if (dwal__job_stopped(job))
            return false;
        bool outstanding = poll != NULL && poll(argument);
        sleep_until(lower(due, job->now + (outstanding ? POLL_NS : TICK_NS)));
    }
    *start = due;
    return true;
}

bool dwal__job_next(struct dwal__job *job, int64_t *start,
                    bool (*poll)(void *argument), void *argument) {
    if (!dwal__job_more(job))
        return false;
    if (job->options->rate > 0)
        return due_await(job, start, poll, argument);
    *start = job->now;
    return true;
}

void dwal__job_latency(struct dwal__job *job, int64_t start) {
    if (start >= job->load->measure_ns)
        dwal__histogram_add(&job->latency, (uint64_t)(job->now - start));
}

/* Relaxed: main wants the number and nothing that was written before it. */
void dwal__job_completed(struct dwal__job *job, uint64_t completed) {
    atomic_store_explicit(&job->completed, completed, memory_order_relaxed);
}

void dwal__job_fail(struct dwal__job *job, const char *format, ...) {
    if (!atomic_exchange(&job->load->failed, true)) {
        char text[1024];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        dwal__cli_error("%s", text);
    }
    job->load->stop = true;
}

/* ---- a job ---- */

static void commits_run(struct dwal__load *load, struct dwal__job *job) {
    int64_t start;
    while (dwal__job_next(job, &start, NULL, NULL)) {
        job->begun++;
        if (!load->engine->commit(load->state, job))
            return;
        job->now = dwal__bench_now_ns();
        dwal__job_latency(job, start);
        dwal__job_completed(job, job->begun);
    }
}

static void *job_main(void *argument) {
    struct dwal__job *job = argument;
    struct dwal__load *load = job->load;
    pthread_mutex_lock(&load->gate_lock);
    while (!load->open)
        pthread_cond_wait(&load->gate, &load->gate_lock);
    pthread_mutex_unlock(&load->gate_lock);
    /* Records are due to the nanosecond, not within the usual 50 us. */
    if (job->options->rate > 0)
        prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    job->now = dwal__bench_now_ns();
    if (job->options->mode == DWAL__BENCH_APPEND)
        load->engine->append(load->state, job);
    else
        commits_run(load, job);
    /* Release, and acquired by the others that come here: the last one posts
     * for all of them. */
    if (atomic_fetch_sub(&load->running, 1) == 1)
        sem_post(&load->finished);
    return NULL;
}

/* ---- the main thread ---- */

/* What is counted at one moment. */
struct look {
    int64_t ns;
    uint64_t completed;
    struct dwal__usage usage;
    struct dwal__iocount io;
};

static void look_take(const struct dwal__load *load, struct look *look) {
    memset(look, 0, sizeof *look);
    look->ns = dwal__bench_now_ns();
    for (unsigned i = 0; i < load->started; i++)
        look->completed += atomic_load_explicit(&load->jobs[i].completed,
                                                memory_order_relaxed);
    dwal__usage_look(&look->usage);
    if (load->engine->iocount != NULL)
        load->engine->iocount(&look->io);
}

/* Sleeps until @until; false: all jobs have finished, or one failed, or a
 * signal came. */
static bool time_pass(struct dwal__load *load, int64_t until) {
    for (;;) {
        int64_t now = dwal__bench_now_ns();
        if (dwal__cli_cancelled() || load->failed)
            return false;
        if (now >= until)
            return true;
        int64_t next = lower(until, now + TICK_NS);
        struct timespec time = {.tv_sec = next / NS_PER_S,
                                .tv_nsec = next % NS_PER_S};
        if (sem_clockwait(&load->finished, CLOCK_MONOTONIC, &time) == 0)
            return false;
    }
}

static void result_fill(struct dwal__load *load, const struct look *from,
                        const struct look *to, struct dwal__result *result) {
    result->seconds = (double)(to->ns - from->ns) / NS_PER_S;
    result->records = to->completed - from->completed;
    result->usage = to->usage;
    dwal__usage_since(&result->usage, &from->usage);
    result->io.writes = to->io.writes - from->io.writes;
    result->io.write_bytes = to->io.write_bytes - from->io.write_bytes;
    result->io.syncs = to->io.syncs - from->io.syncs;
    result->io_known = to->io.writes != 0;
    for (unsigned i = 0; i < load->started; i++) {
        struct dwal__job *job = &load->jobs[i];
        dwal__histogram_merge(&result->latency, &job->latency);
        if (load->options->rate == 0)
            continue;
        int64_t end = lower(to->ns, load->end_ns);
        for (uint64_t at = job->begun; at < job->quota; at++) {
            int64_t due = due_ns(job, at);
            if (due >= end)
                break;
            if (due < load->measure_ns)
                continue;
            dwal__histogram_add(&result->latency, (uint64_t)(end - due));
            result->not_begun++;
        }
    }
}

/* Opens the gate, sleeps through ramp and run, stops the jobs. */
static void jobs_time(struct dwal__load *load, struct look *from,
                      struct look *to) {
    const struct dwal__bench_options *options = load->options;
    pthread_mutex_lock(&load->gate_lock);
    load->begin_ns = dwal__bench_now_ns();
    load->measure_ns =
        load->begin_ns + (int64_t)(options->ramp_time * NS_PER_S);
    load->end_ns =
        options->runtime > 0
            ? load->measure_ns + (int64_t)(options->runtime * NS_PER_S)
            : NEVER;
    load->open = true;
    pthread_cond_broadcast(&load->gate);
    pthread_mutex_unlock(&load->gate_lock);
    bool ramped = time_pass(load, load->measure_ns);
    look_take(load, from);
    if (ramped)
        time_pass(load, load->end_ns);
    look_take(load, to);
    load->stop = true;
}

static bool jobs_run(struct dwal__load *load, struct dwal__result *result) {
    unsigned count = load->options->numjobs;
    pthread_t *threads = calloc(count, sizeof *threads);
    if (threads == NULL) {
        dwal__cli_error("no memory for threads");
        return false;
    }
    load->running = count;
    for (; load->started < count; load->started++) {
        int failed = pthread_create(&threads[load->started], NULL, job_main,
                                    &load->jobs[load->started]);
        if (failed != 0) {
            dwal__cli_error("cannot start thread %u: %s", load->started + 1,
                            strerror(failed));
            load->failed = load->stop = true;
            break;
        }
    }
    struct look from, to;
    jobs_time(load, &from, &to);
    for (unsigned i = 0; i < load->started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    if (load->failed)
        return false;
    result_fill(load, &from, &to, result);
    result->cancelled = dwal__cli_cancelled();
    if (result->records == 0 && !result->cancelled)
        dwal__cli_warning("no record became durable in the time that was "
                          "measured; give it more --runtime, or --size");
    return true;
}

/* ---- preparing ---- */

/* Bytes that no disk or engine can compress away. */
static void bytes_fill(uint8_t *bytes, size_t size) {
    uint64_t state = UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 32);
    }
}

/* The records of all jobs are those of --size, rounded up. */
static uint64_t job_quota(const struct dwal__bench_options *options,
                          unsigned index) {
    if (options->size == 0)
        return UINT64_MAX;
    uint64_t records = options->size / options->bs +
                       (options->size % options->bs != 0 ? 1 : 0);
    return records / options->numjobs +
           (index < records % options->numjobs ? 1 : 0);
}

static bool jobs_make(struct dwal__load *load) {
    const struct dwal__bench_options *options = load->options;
    size_t size = options->numjobs * sizeof *load->jobs;
    load->bytes = malloc(options->bs + 1);
    load->jobs = aligned_alloc(_Alignof(struct dwal__job), size);
    if (load->bytes == NULL || load->jobs == NULL) {
        dwal__cli_error("no memory for %u jobs", options->numjobs);
        return false;
    }
    bytes_fill(load->bytes, options->bs);
    memset(load->jobs, 0, size);
    for (unsigned i = 0; i < options->numjobs; i++) {
        struct dwal__job *job = &load->jobs[i];
        job->load = load;
        job->options = options;
        job->index = i;
        job->bytes = load->bytes;
        job->quota = job_quota(options, i);
    }
    return true;
}

bool dwal__load_run(const struct dwal__bench_options *options,
                    const struct dwal__engine *engine, const char *path,
                    struct dwal__result *result) {
    struct dwal__load load = {.options = options, .engine = engine};
    bool good = false;
    memset(result, 0, sizeof *result);
    pthread_mutex_init(&load.gate_lock, NULL);
    pthread_cond_init(&load.gate, NULL);
    sem_init(&load.finished, 0, 0);
    if (jobs_make(&load) && engine->open(options, path, &load.state)) {
        good = jobs_run(&load, result);
        if (engine->facts != NULL)
            engine->facts(load.state, &result->facts);
        good = engine->close(load.state) && good;
    }
    free(load.jobs);
    free(load.bytes);
    sem_destroy(&load.finished);
    pthread_cond_destroy(&load.gate);
    pthread_mutex_destroy(&load.gate_lock);
    return good;
}
