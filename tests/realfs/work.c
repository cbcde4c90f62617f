/* SPDX-License-Identifier: MIT */
/*
 * The workload that is recorded: one life of a process with many threads that
 * append, wait, trim and rotate in a log on the disk that logs its writes.
 *
 * Whatever it was promised it tells that disk as marks, each with the number of
 * entries that the disk's log had at the moment of the promise, read right
 * after the call came back:
 *
 *     opened AT                               dwal_open returned 0
 *     ack AT LSN COUNT LIFE THREAD NUMBER     COUNT records from LSN on are
 *                                             durable: those of that thread
 *     durable AT LSN                          dwal_durable_lsn said so
 *     asked AT LSN                            a trim below LSN begins
 *     trimmed AT LSN                          … and is durable
 *     closed AT                               dwal_close returned 0
 *
 * What an open finds counts as acknowledged from then on. All that differs
 * between lives follows from --seed and --life.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "identity.h"
#include "writelog.h"

#define KEEP_RECORDS 300 /* a trim leaves about so many */

struct caller {
    pthread_t thread;
    uint32_t index;
    uint64_t random;
    uint64_t number; /* of its next record */
    uint8_t *bytes;  /* IDENTITY_BATCH_MAX payloads */
    int code;        /* what ended it; DWAL_OK if nothing did */
    double longest_ms;
};

#define DRAWN UINT64_MAX /* an option that follows from seed and life */

static struct {
    const char *dir;
    uint64_t seed;
    uint64_t life;
    uint64_t threads;
    uint64_t records;
    uint64_t io_timeout_ms; /* 0: the default */
    uint64_t sync;          /* enum dwal_sync, or DRAWN */
    uint64_t submit;        /* enum dwal_submit, or DRAWN */
    bool abrupt, faults, probe;
    int fifo;
    const struct writelog_super *counter;
} work = {
    .threads = 4, .records = 1000, .sync = DRAWN, .submit = DRAWN, .fifo = -1};

static struct dwal *the_log;
static _Atomic int64_t records_left;
static _Atomic uint64_t acked_count;

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static uint64_t draw(uint64_t *state) {
    return identity_mix((*state)++);
}

/* ---- marks ---- */

static uint64_t moment(void) {
    return work.counter != NULL ? writelog_counter_read(work.counter) : 0;
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format,
                                                       ...) {
    char line[256];
    if (work.fifo < 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    /* Shorter than PIPE_BUF, so whole. */
    if (write(work.fifo, line, (size_t)size) != size) {
        perror("realfs_work: FIFO");
        _exit(1);
    }
}

static void ack_tell(uint64_t at, uint64_t lsn, const struct identity *identity,
                     uint32_t count) {
    acked_count += count;
    tell("mark ack %" PRIu64 " %" PRIu64 " %u %u %u %" PRIu64 "\n", at, lsn,
         count, identity->life, identity->thread, identity->number);
}

static void fail(const char *what, const struct dwal_error *error) {
    fprintf(stderr, "realfs_work: %s: %s\n", what, error->text);
    exit(1);
}

/* ---- callers ---- */

static struct identity caller_identity(const struct caller *caller) {
    return (struct identity){.salt = work.seed,
                             .life = (uint32_t)work.life,
                             .thread = caller->index,
                             .number = caller->number,
                             .count = 1};
}

static int commit_one(struct caller *caller, struct dwal_error *error) {
    struct identity identity = caller_identity(caller);
    struct dwal_record record;
    uint64_t lsn;
    identity_record(&identity, &record, caller->bytes);
    int code = dwal_commit(the_log, &record, &lsn, error);
    uint64_t at = moment();
    if (code != DWAL_OK)
        return code;
    caller->number++;
    ack_tell(at, lsn, &identity, 1);
    return DWAL_OK;
}

/* Appends some, waits for the last: that covers all of them. */
static int append_some(struct caller *caller, struct dwal_error *error) {
    struct identity identities[IDENTITY_BATCH_MAX];
    uint64_t lsns[IDENTITY_BATCH_MAX];
    uint32_t count = 1 + (uint32_t)(draw(&caller->random) % IDENTITY_BATCH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct dwal_record record;
        identities[i] = caller_identity(caller);
        identity_record(&identities[i], &record, caller->bytes);
        int code = dwal_append(the_log, &record, &lsns[i], error);
        if (code != DWAL_OK)
            return code;
        caller->number++;
    }
    int code = dwal_wait(the_log, lsns[count - 1], -1, error);
    uint64_t at = moment();
    for (uint32_t i = 0; code == DWAL_OK && i < count; i++)
        ack_tell(at, lsns[i], &identities[i], 1);
    return code;
}

/* All or nothing. Few, so that they fit into the smallest segment. */
static int append_together(struct caller *caller, struct dwal_error *error) {
    struct dwal_record records[4];
    struct identity first = caller_identity(caller);
    uint32_t count = 2 + (uint32_t)(draw(&caller->random) % 3);
    uint64_t lsn, size = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct identity identity = first;
        identity.number += i;
        identity.index = i;
        identity.count = count;
        identity_record(&identity, &records[i],
                        caller->bytes + (size_t)i * IDENTITY_PAYLOAD_MAX);
        size += records[i].size + 40;
    }
    if (size > dwal_record_size_max(the_log))
        return commit_one(caller, error);
    int code = dwal_append_batch(the_log, records, count, &lsn, error);
    if (code != DWAL_OK)
        return code;
    caller->number += count;
    code = dwal_wait(the_log, lsn + count - 1, -1, error);
    uint64_t at = moment();
    if (code == DWAL_OK)
        ack_tell(at, lsn, &first, count);
    return code;
}

static int trim_some(struct caller *caller, struct dwal_error *error) {
    uint64_t durable = dwal_durable_lsn(the_log);
    uint64_t keep = draw(&caller->random) % KEEP_RECORDS;
    if (durable <= keep)
        return DWAL_OK;
    uint64_t lsn = durable - keep + 1;
    tell("mark asked %" PRIu64 " %" PRIu64 "\n", moment(), lsn);
    int code = dwal_trim(the_log, lsn, error);
    uint64_t at = moment();
    if (code == DWAL_OK)
        tell("mark trimmed %" PRIu64 " %" PRIu64 "\n", at, lsn);
    return code;
}

static int caller_step(struct caller *caller, struct dwal_error *error) {
    uint64_t choice = draw(&caller->random) % 64;
    if (choice == 0)
        return dwal_rotate(the_log, error);
    if (choice <= 2)
        return trim_some(caller, error);
    if (choice <= 4) {
        uint64_t lsn = dwal_durable_lsn(the_log);
        tell("mark durable %" PRIu64 " %" PRIu64 "\n", moment(), lsn);
        return DWAL_OK;
    }
    if (choice <= 12)
        return append_together(caller, error);
    if (choice <= 22)
        return append_some(caller, error);
    return commit_one(caller, error);
}

static void *caller_run(void *argument) {
    struct caller *caller = argument;
    struct dwal_error error;
    while (caller->code == DWAL_OK) {
        uint64_t before = caller->number;
        double begin = now_ms();
        caller->code = caller_step(caller, &error);
        double took = now_ms() - begin;
        if (took > caller->longest_ms)
            caller->longest_ms = took;
        int64_t made = (int64_t)(caller->number - before);
        if (caller->code == DWAL_OK &&
            atomic_fetch_sub(&records_left, made) <= made)
            break;
    }
    if (caller->code != DWAL_OK && !work.faults)
        fail("a call failed", &error);
    if (work.abrupt && caller->code == DWAL_OK)
        raise(SIGKILL); /* the others are in the middle of something */
    return NULL;
}

/* ---- the life ---- */

static void options_draw(struct dwal_options *options) {
    static const uint64_t sizes[] = {128 << 10, 192 << 10, 256 << 10,
                                     512 << 10};
    uint64_t random = identity_mix(work.seed) ^ work.life;
    dwal_options_init(options);
    dwal_options_preset(options, (int)(draw(&random) % 3));
    options->create = DWAL_CREATE_IF_ABSENT;
    options->segment_size = sizes[draw(&random) % 4];
    uint64_t sync = draw(&random) % 2;
    options->sync = sync == 0 ? DWAL_SYNC_DSYNC : DWAL_SYNC_FDSYNC;
    if (work.sync != DRAWN)
        options->sync = (int)work.sync;
    if (work.submit != DRAWN)
        options->submit = (int)work.submit;
    if (draw(&random) % 4 == 0)
        options->direct = DWAL_DIRECT_OFF;
    /* Small ones are full soon, so that several are under way at once. */
    if (draw(&random) % 2 == 0)
        options->batch_bytes_max = UINT64_C(4096) << draw(&random) % 4;
    options->mark_delay_ms = (int)(draw(&random) % 10);
    options->verify_bytes = UINT64_MAX;
    if (work.io_timeout_ms != 0)
        options->io_timeout_ms = (int)work.io_timeout_ms;
}

/* What the open found stays: reads all of it, and tells. */
static void past_tell(void) {
    struct dwal_cursor *cursor;
    struct dwal_error error;
    struct dwal_record record;
    uint8_t *scratch = malloc(IDENTITY_PAYLOAD_MAX);
    uint64_t at = moment();
    tell("mark opened %" PRIu64 "\n", at);
    int code = dwal_cursor_open(work.dir, NULL, &cursor, &error);
    if (code != DWAL_OK || scratch == NULL)
        fail("read what is there", &error);
    while ((code = dwal_cursor_next(cursor, &record, &error)) == DWAL_OK) {
        struct identity identity;
        if (!identity_read(&record, &identity, scratch) ||
            identity.life >= work.life) {
            fprintf(stderr, "realfs_work: LSN %" PRIu64 " is not ours\n",
                    record.lsn);
            exit(1);
        }
        ack_tell(at, record.lsn, &identity, 1);
    }
    if (code != DWAL_END)
        fail("read what is there", &error);
    acked_count = 0;
    dwal_cursor_close(cursor);
    free(scratch);
}

static void callers_run(struct caller *callers) {
    for (uint32_t i = 0; i < work.threads; i++) {
        callers[i] = (struct caller){
            .index = i,
            .random = identity_mix(work.seed ^ identity_mix(work.life)) + i * 7,
            .bytes = malloc((size_t)IDENTITY_BATCH_MAX * IDENTITY_PAYLOAD_MAX)};
        if (callers[i].bytes == NULL ||
            pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]) !=
                0) {
            perror("realfs_work: start a thread");
            exit(1);
        }
    }
    for (uint32_t i = 0; i < work.threads; i++) {
        pthread_join(callers[i].thread, NULL);
        free(callers[i].bytes);
    }
}

static void result_print(const struct caller *callers, int closed,
                         double close_ms, const char *close_text) {
    double longest = 0;
    int code = DWAL_OK;
    for (uint32_t i = 0; i < work.threads; i++) {
        if (callers[i].longest_ms > longest)
            longest = callers[i].longest_ms;
        if (callers[i].code != DWAL_OK &&
            (code == DWAL_OK || callers[i].code == DWAL_EFAILED))
            code = callers[i].code;
    }
    printf("{\"acked\": %" PRIu64 ", \"code\": %d, \"failed\": %s, "
           "\"longest_ms\": %.1f, \"close\": %d, \"close_ms\": %.1f, "
           "\"text\": \"%s\"}\n",
           acked_count, code, code == DWAL_EFAILED ? "true" : "false", longest,
           closed, close_ms, close_text);
    fflush(stdout);
}

static int life_run(void) {
    struct dwal_options options;
    struct dwal_error error = {0};
    struct caller callers[IDENTITY_THREADS_MAX];
    options_draw(&options);
    int code = dwal_open(work.dir, &options, &the_log, &error);
    if (work.probe) {
        printf("{\"open\": %d, \"busy\": %s, \"text\": \"%s\"}\n", code,
               code == DWAL_EBUSY ? "true" : "false",
               code == DWAL_OK ? "" : error.text);
        return 0;
    }
    if (code != DWAL_OK)
        fail("open", &error);
    past_tell();
    records_left = (int64_t)work.records;
    callers_run(callers);
    double begin = now_ms();
    error.text[0] = '\0';
    int closed = dwal_close(the_log, &error);
    if (closed == DWAL_OK)
        tell("mark closed %" PRIu64 "\n", moment());
    else if (!work.faults)
        fail("close", &error);
    result_print(callers, closed, now_ms() - begin,
                 closed == DWAL_OK ? "" : error.text);
    return 0;
}

static void marks_open(const char *log, const char *fifo) {
    if (log == NULL || fifo == NULL)
        return;
    work.counter = writelog_counter_map(log);
    work.fifo = open(fifo, O_WRONLY | O_CLOEXEC);
    if (work.counter == NULL || work.fifo < 0) {
        perror("realfs_work: the disk's log");
        exit(1);
    }
}

static int usage(void) {
    fputs("usage: realfs_work --dir DIR [--log LOG --fifo FIFO] [--seed N] "
          "[--life N]\n"
          "  [--threads N] [--records N] [--sync 1|2] [--submit 0|1] "
          "[--io-timeout MS]\n"
          "  [--abrupt: ends by SIGKILL | --faults: may fail | --probe: only "
          "opens]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv) {
    const char *log = NULL, *fifo = NULL;
    const struct argument arguments[] = {
        {.name = "--dir", .text = &work.dir},
        {.name = "--log", .text = &log},
        {.name = "--fifo", .text = &fifo},
        {.name = "--seed", .number = &work.seed},
        {.name = "--life", .number = &work.life},
        {.name = "--threads", .number = &work.threads},
        {.name = "--records", .number = &work.records},
        {.name = "--sync", .number = &work.sync},
        {.name = "--submit", .number = &work.submit},
        {.name = "--io-timeout", .number = &work.io_timeout_ms},
        {.name = "--abrupt", .flag = &work.abrupt},
        {.name = "--faults", .flag = &work.faults},
        {.name = "--probe", .flag = &work.probe},
        {0}};
    (void)argc;
    if (!arguments_parse(argv, arguments) || work.dir == NULL ||
        work.threads == 0 || work.threads > IDENTITY_THREADS_MAX ||
        work.life >= IDENTITY_LIVES_MAX)
        return usage();
    marks_open(log, fifo);
    return life_run();
}
