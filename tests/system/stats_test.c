/* SPDX-License-Identifier: MIT */
/*
 * Stats: counts that are exact where the log does what it is told, times on
 * devices of known speed, and texts that others can parse. Nothing depends on
 * how fast the machine is: times are compared with each other, or with what
 * cannot be undercut.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/log.h"
#include "tests/support/check.h"
#include "tests/support/fakeaio.h"
#include "tests/support/simaio.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define KIB UINT64_C(1024)
#define BLOCK 4096u
#define PAYLOAD 100u
#define RECORD (32u + 104u) /* with its header and padding */

static struct dwal_options options_small(int submit) {
    struct dwal_options options = log_options(256 * KIB);
    options.submit = submit;
    options.sync = DWAL_SYNC_DSYNC;
    return options;
}

static const uint8_t payload[64 * KIB];

static int append(struct dwal *log, uint32_t size, uint64_t *lsn) {
    struct dwal_record record = {.data = payload, .size = size};
    return dwal_append(log, &record, lsn, NULL);
}

static void commit(struct dwal *log) {
    struct dwal_record record = {.data = payload, .size = PAYLOAD};
    struct dwal_error error;
    if (dwal_commit(log, &record, NULL, &error) != DWAL_OK)
        fail_msg("%s", error.text);
}

static struct dwal_stats stats_of(struct dwal *log) {
    struct dwal_stats stats = {.size = sizeof stats};
    struct dwal_error error;
    if (dwal_stats_get(log, &stats, &error) != DWAL_OK)
        fail_msg("%s", error.text);
    return stats;
}

static struct dwal_latency latency_of(struct dwal *log, int stage) {
    struct dwal_latency latency;
    assert_int_equal(dwal_stats_latency(log, stage, &latency, NULL), DWAL_OK);
    return latency;
}

static uint64_t closed_of(const struct dwal_stats *stats) {
    return stats->closed_natural + stats->closed_gathered +
           stats->closed_gather_timeout + stats->closed_large +
           stats->closed_full + stats->closed_segment + stats->closed_system;
}

/* ---- counts ---- */

static void test_commits(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    struct dwal_stats stats = stats_of(log);
    assert_int_equal(stats.next_lsn, 1);
    assert_int_equal(stats.segments_live, 0);
    assert_int_equal(stats.segments_prepared, 2);
    assert_int_equal(stats.spares, 2);
    assert_int_equal(stats.segments_made, 2);
    assert_int_equal(stats.batches, 0);
    for (int i = 0; i < 3; i++)
        commit(log);
    stats = stats_of(log);
    assert_int_equal(stats.first_lsn, 1);
    assert_int_equal(stats.durable_lsn, 3);
    assert_int_equal(stats.next_lsn, 4);
    assert_int_equal(stats.watermark_lsn, 2); /* what batch 3 says */
    assert_int_equal(stats.epoch, 1);
    assert_int_equal(stats.records_appended, 3);
    assert_int_equal(stats.records_durable, 3);
    assert_int_equal(stats.records_system, 1); /* the start */
    assert_int_equal(stats.batches, 3);
    assert_int_equal(stats.closed_natural, 3);
    assert_int_equal(closed_of(&stats), 3);
    assert_int_equal(stats.record_bytes,
                     3 * RECORD + dwal__record_room(DWAL__START_SIZE));
    assert_int_equal(stats.written_bytes, 3 * BLOCK);
    assert_int_equal(stats.segments_entered, 1);
    assert_int_equal(stats.segments_live, 1);
    assert_int_equal(stats.queue_records, 0);
    assert_int_equal(stats.queue_bytes, 0);
    assert_int_equal(stats.queue_records_peak, 2); /* start and record */
    assert_int_equal(stats.queue_bytes_peak, BLOCK);
    assert_int_equal(stats.queue_bytes_max, 1024 * KIB);
    assert_int_equal(stats.appends_waited, 0);
    assert_int_equal(stats.appends_refused, 0);
    assert_int_equal(stats.syncs, 0);
    assert_int_equal(stats.sync_method, DWAL_SYNC_DSYNC);
    assert_int_equal(stats.sync_why, DWAL_SYNC_WHY_ASKED);
    assert_int_equal(stats.in_flight, 0);
    assert_int_equal(stats.failed, 0);
    assert_int_equal(latency_of(log, DWAL_LATENCY_COMMIT).count, 3);
    assert_int_equal(latency_of(log, DWAL_LATENCY_WRITE).count, 3);
    assert_int_equal(latency_of(log, DWAL_LATENCY_SYNC).count, 0);
    assert_int_equal(latency_of(log, DWAL_LATENCY_PLACE).count, 0);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

/* Counters count what was done, whatever became of the LSNs. */
static void test_counts_outlive_cuts(void **state) {
    const struct dwal__aio kernel = {.ops = &dwal__aio_kernel};
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(&kernel, *state, &options);
    for (int i = 0; i < 5; i++)
        commit(log);
    assert_int_equal(dwal_cut(log, 2, NULL), DWAL_OK);
    struct dwal_stats stats = stats_of(log);
    assert_int_equal(stats.next_lsn, 3);
    assert_int_equal(stats.durable_lsn, 2);
    assert_int_equal(stats.watermark_lsn, 2);
    assert_int_equal(stats.records_appended, 5);
    assert_int_equal(stats.records_durable, 5);
    assert_int_equal(stats.records_system, 3); /* two starts and a mark */
    assert_int_equal(dwal_reset(log, 1000, NULL), DWAL_OK);
    commit(log);
    stats = stats_of(log);
    assert_int_equal(stats.next_lsn, 1001);
    assert_int_equal(stats.records_appended, 6);
    assert_int_equal(stats.records_durable, 6);
    assert_int_equal(stats.records_system, 5);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
    /* Recovered, then cut below what recovery had found. */
    log = log_open_on(&kernel, *state, &options);
    assert_int_equal(dwal_cut(log, 999, NULL), DWAL_OK);
    stats = stats_of(log);
    assert_int_equal(stats.watermark_lsn, 999);
    assert_int_equal(stats.records_appended, 0);
    assert_int_equal(stats.records_durable, 0);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

/* Counters begin anew with each open; LSNs go on. */
static void test_reopened(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    commit(log);
    commit(log);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
    log = log_open_on(fakeaio_new(), *state, &options);
    struct dwal_stats stats = stats_of(log);
    assert_int_equal(stats.records_appended, 0);
    assert_int_equal(stats.records_system, 0);
    assert_int_equal(stats.next_lsn, 3);
    assert_int_equal(stats.watermark_lsn, 2);
    assert_int_equal(stats.segments_live, 1);
    assert_int_equal(stats.zero_bytes, 0);
    commit(log);
    stats = stats_of(log);
    assert_int_equal(stats.records_appended, 1);
    assert_int_equal(stats.records_system, 1);
    assert_int_equal(stats.epoch, 2);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

static void test_queue(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    uint64_t lsn;
    fakeaio_hold();
    assert_int_equal(append(log, PAYLOAD, &lsn), DWAL_OK);
    fakeaio_wait_held(1);
    for (int i = 0; i < 9; i++)
        assert_int_equal(append(log, PAYLOAD, &lsn), DWAL_OK);
    struct dwal_stats stats;
    do /* the submission has to return, and what the keeper does to end */
        stats = stats_of(log);
    while (stats.oldest_io != DWAL_IO_WRITE);
    assert_int_equal(stats.queue_records, 11); /* a start among them */
    assert_int_equal(stats.queue_bytes,
                     BLOCK + DWAL__BATCH_HEADER_SIZE + 9 * RECORD);
    assert_int_equal(stats.in_flight, 1);
    assert_string_equal(stats.oldest_what, "a write");
    assert_int_equal(stats.records_appended, 10);
    assert_int_equal(stats.records_durable, 0);
    fakeaio_release();
    assert_int_equal(dwal_wait(log, lsn, -1, NULL), DWAL_OK);
    stats = stats_of(log);
    assert_int_equal(stats.queue_records, 0);
    assert_int_equal(stats.queue_bytes, 0);
    assert_int_equal(stats.queue_records_peak, 11);
    assert_int_equal(stats.queue_bytes_peak,
                     BLOCK + DWAL__BATCH_HEADER_SIZE + 9 * RECORD);
    assert_int_equal(stats.batches, 2);
    assert_int_equal(stats.closed_natural, 2);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

static void *rotate_main(void *log) {
    assert_int_equal(dwal_rotate(log, NULL), DWAL_OK);
    return NULL;
}

/* Full, large, a rotation: while the first write is held, each batch is closed
 * by what is done to it. */
static void test_closed(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.batch_bytes_max = 8 * BLOCK;
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    fakeaio_hold();
    uint64_t lsn;
    assert_int_equal(append(log, PAYLOAD, &lsn), DWAL_OK);
    fakeaio_wait_held(1);
    /* Three blocks and a bit, then six: they do not fit together. */
    assert_int_equal(append(log, 3 * BLOCK, &lsn), DWAL_OK);
    assert_int_equal(append(log, 6 * BLOCK, &lsn), DWAL_OK);
    fakeaio_wait_held(3); /* the second of them is large */
    assert_int_equal(append(log, PAYLOAD, &lsn), DWAL_OK);
    pthread_t rotating;
    assert_int_equal(pthread_create(&rotating, NULL, rotate_main, log), 0);
    while (stats_of(log).closed_segment == 0)
        sched_yield();
    fakeaio_release();
    pthread_join(rotating, NULL);
    struct dwal_stats stats = stats_of(log);
    assert_int_equal(stats.closed_natural, 1);
    assert_int_equal(stats.closed_full, 1);
    assert_int_equal(stats.closed_large, 1);
    assert_int_equal(stats.closed_segment, 1);
    assert_int_equal(stats.closed_system, 1); /* the new segment's start */
    assert_int_equal(stats.batches, 5);
    assert_int_equal(stats.segments_entered, 2);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

static void test_segments(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    for (int i = 0; i < 3; i++) {
        commit(log);
        assert_int_equal(dwal_rotate(log, NULL), DWAL_OK);
    }
    assert_int_equal(dwal_trim(log, 4, NULL), DWAL_OK);
    struct dwal_stats stats = stats_of(log);
    assert_int_equal(stats.segments_entered, 4);
    assert_int_equal(stats.segments_retired, 3);
    assert_int_equal(stats.first_lsn, 4);
    assert_true(stats.segments_recycled <= stats.segments_made);
    assert_true(stats.zero_bytes > 0);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

static void test_syncs(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    options.sync = DWAL_SYNC_FDSYNC;
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    for (int i = 0; i < 4; i++)
        commit(log);
    struct dwal_stats stats = stats_of(log);
    assert_int_equal(stats.syncs, 4);
    assert_int_equal(stats.sync_method, DWAL_SYNC_FDSYNC);
    assert_int_equal(fakeaio_counts().syncs, 4);
    assert_int_equal(latency_of(log, DWAL_LATENCY_SYNC).count, 4);
    assert_int_equal(latency_of(log, DWAL_LATENCY_WRITE).count, 4);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

/* What AUTO chose, and what it had measured. */
static void test_sync_auto(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    options.sync = DWAL_SYNC_AUTO;
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    struct dwal_stats stats = stats_of(log);
    assert_int_not_equal(stats.sync_method, DWAL_SYNC_AUTO);
    assert_true(stats.sync_why > DWAL_SYNC_WHY_ASKED);
    if (stats.sync_why == DWAL_SYNC_WHY_MEASURED)
        assert_true(stats.fdsync_ns > 0);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
    log = log_open_on(fakeaio_new(), *state, &options);
    stats = stats_of(log);
    assert_int_equal(stats.sync_method, DWAL_SYNC_AUTO);
    assert_int_equal(stats.sync_why, DWAL_SYNC_WHY_UNDECIDED);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

/* ---- waiting, slowness, failure ---- */

static void *append_main(void *log) {
    assert_int_equal(append(log, PAYLOAD, NULL), DWAL_OK);
    return NULL;
}

static void test_waiting(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.queue_records_max = 2;
    options.append_timeout_ms = 60000;
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    fakeaio_hold();
    uint64_t lsn;
    assert_int_equal(append(log, PAYLOAD, &lsn), DWAL_OK);
    fakeaio_wait_held(1); /* start and record: the queue is full */
    pthread_t waiting;
    assert_int_equal(pthread_create(&waiting, NULL, append_main, log), 0);
    while (stats_of(log).appends_waiting == 0)
        sched_yield();
    int64_t before = dwal__now_ns();
    dwal__sleep_ns(DWAL__NS_PER_MS);
    int64_t at_least = dwal__now_ns() - before;
    fakeaio_release();
    pthread_join(waiting, NULL);
    struct dwal_stats stats = stats_of(log);
    struct dwal_latency place = latency_of(log, DWAL_LATENCY_PLACE);
    assert_int_equal(stats.appends_waited, 1);
    assert_int_equal(stats.appends_waiting, 0);
    assert_int_equal(place.count, 1);
    assert_true(place.max_ns >= (uint64_t)at_least);
    assert_int_equal(place.p50_ns, place.max_ns);
    assert_int_equal(place.sum_ns, place.max_ns);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

static void test_refused(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.queue_records_max = 2;
    options.append_timeout_ms = 0;
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    fakeaio_hold();
    int code;
    while ((code = append(log, PAYLOAD, NULL)) != DWAL_OK)
        assert_int_equal(code, DWAL_EAGAIN);
    fakeaio_wait_held(1);
    uint64_t before = stats_of(log).appends_refused;
    assert_int_equal(append(log, PAYLOAD, NULL), DWAL_EAGAIN);
    assert_int_equal(stats_of(log).appends_refused, before + 1);
    assert_int_equal(stats_of(log).appends_waited, 0);
    fakeaio_release();
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

static void test_slow(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.slow_io_ms = 1;
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    fakeaio_hold();
    assert_int_equal(append(log, PAYLOAD, NULL), DWAL_OK);
    fakeaio_wait_held(1);
    /* What the keeper does may be slow as well, by chance. */
    struct dwal_stats stats;
    do
        stats = stats_of(log);
    while (stats.slow_io == 0 || stats.oldest_io != DWAL_IO_WRITE ||
           stats.oldest_io_ns < DWAL__NS_PER_MS);
    assert_string_equal(stats.oldest_what, "a write");
    fakeaio_release();
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

static void test_failed(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    struct dwal_error error = {.text = "untouched"};
    struct dwal_record record = {.data = payload, .size = PAYLOAD};
    commit(log);
    assert_int_equal(dwal_failure(log, &error), DWAL_OK);
    assert_string_equal(error.text, "untouched");
    fakeaio_fail(FAKEAIO_WRITE, 1, -EIO);
    assert_int_equal(dwal_commit(log, &record, NULL, NULL), DWAL_EFAILED);
    assert_int_equal(dwal_failure(log, &error), DWAL_EFAILED);
    assert_int_equal(error.os_errno, EIO);
    struct dwal_stats stats = stats_of(log);
    assert_int_equal(stats.failed, 1);
    assert_int_equal(stats.durable_lsn, 1);
    assert_int_equal(stats.records_appended, 2);
    assert_int_equal(stats.queue_records, 1);
    assert_int_equal(stats.batches, 1);
    assert_int_equal(latency_of(log, DWAL_LATENCY_WRITE).count, 1);
    assert_int_equal(latency_of(log, DWAL_LATENCY_COMMIT).count, 1);
    assert_int_equal(dwal_close(log, NULL), DWAL_EFAILED);
}

/* ---- times ---- */

#define FLUSH_NS (2 * DWAL__NS_PER_MS)

/* The device tells when it began and when it ended at the earliest; the rest is
 * between that and our own clock. */
static void test_times(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(simaio_new(FLUSH_NS), *state, &options);
    int64_t begin = dwal__now_ns();
    for (int i = 0; i < 10; i++)
        commit(log);
    uint64_t elapsed = (uint64_t)(dwal__now_ns() - begin);
    struct dwal_latency write = latency_of(log, DWAL_LATENCY_WRITE);
    struct dwal_latency whole = latency_of(log, DWAL_LATENCY_COMMIT);
    assert_int_equal(write.count, 10);
    assert_int_equal(whole.count, 10);
    /* The device's clock starts a little after ours. */
    assert_true(write.p50_ns >= FLUSH_NS);
    assert_true(write.sum_ns >= 10 * FLUSH_NS);
    assert_true(whole.sum_ns >= write.sum_ns);
    assert_true(whole.sum_ns <= elapsed);
    assert_true(whole.p50_ns <= whole.p90_ns && whole.p90_ns <= whole.p99_ns &&
                whole.p99_ns <= whole.p999_ns && whole.p999_ns <= whole.max_ns);
    assert_true(stats_of(log).flush_ns >= FLUSH_NS);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

#define CROWD 8
#define CROWD_COMMITS 40

static void *crowd_main(void *log) {
    for (int i = 0; i < CROWD_COMMITS; i++)
        commit(log);
    return NULL;
}

/* Many at once, with somebody who reads all the time: counters do not fall, and
 * in the end everything was counted once. */
static void test_crowd(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open_on(simaio_new(FLUSH_NS / 4), *state, &options);
    pthread_t threads[CROWD];
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, log), 0);
    struct dwal_stats stats, before = stats_of(log);
    do {
        stats = stats_of(log);
        assert_true(stats.next_lsn >= before.next_lsn);
        assert_true(stats.durable_lsn >= before.durable_lsn);
        assert_true(stats.durable_lsn < stats.next_lsn);
        assert_true(stats.batches >= before.batches);
        assert_true(closed_of(&stats) >= closed_of(&before));
        assert_true(stats.queue_records <= 2 * CROWD);
        assert_true(stats.queue_records_peak >= stats.queue_records);
        before = stats;
    } while (stats.durable_lsn < CROWD * CROWD_COMMITS);
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    stats = stats_of(log);
    assert_int_equal(latency_of(log, DWAL_LATENCY_COMMIT).count,
                     CROWD * CROWD_COMMITS);
    assert_int_equal(latency_of(log, DWAL_LATENCY_WRITE).count, stats.batches);
    assert_int_equal(closed_of(&stats), stats.batches);
    assert_true(latency_of(log, DWAL_LATENCY_GATHER).count >=
                stats.closed_gathered + stats.closed_gather_timeout);
    assert_true(latency_of(log, DWAL_LATENCY_WAKE).count <=
                CROWD * CROWD_COMMITS);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

/* ---- the struct ---- */

static void test_sizes(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    commit(log);
    struct dwal_stats stats;
    memset(&stats, 0xAA, sizeof stats);
    stats.size = offsetof(struct dwal_stats, next_lsn);
    assert_int_equal(dwal_stats_get(log, &stats, NULL), DWAL_OK);
    assert_int_equal(stats.size, offsetof(struct dwal_stats, next_lsn));
    assert_int_equal(stats.durable_lsn, 1);
    assert_int_equal(stats.next_lsn, UINT64_C(0xAAAAAAAAAAAAAAAA));
    struct {
        struct dwal_stats stats;
        uint64_t of_tomorrow;
    } newer = {.stats.size = sizeof newer, .of_tomorrow = 7};
    assert_int_equal(dwal_stats_get(log, &newer.stats, NULL), DWAL_OK);
    assert_int_equal(newer.stats.next_lsn, 2);
    assert_int_equal(newer.of_tomorrow, 0);
    stats.size = 0;
    assert_int_equal(dwal_stats_get(log, &stats, NULL), DWAL_EINVAL);
    assert_int_equal(dwal_stats_get(log, NULL, NULL), DWAL_EINVAL);
    struct dwal_latency latency;
    assert_int_equal(dwal_stats_latency(log, 6, &latency, NULL), DWAL_EINVAL);
    assert_int_equal(dwal_stats_latency(log, -1, &latency, NULL), DWAL_EINVAL);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
    stats.size = sizeof stats;
    assert_int_equal(dwal_stats_get(NULL, &stats, NULL), DWAL_EINVAL);
    assert_int_equal(dwal_failure(NULL, NULL), DWAL_EINVAL);
}

/* A log that is only open takes no memory for what it might count. */
static void test_idle(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    commit(log);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
    log = log_open_on(fakeaio_new(), *state, &options);
    unsigned char resident[(sizeof *log->meters + BLOCK - 1) / BLOCK];
    assert_int_equal(mincore(log->meters, sizeof *log->meters, resident), 0);
    for (size_t i = 0; i < sizeof resident; i++)
        assert_int_equal(resident[i] & 1, 0);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

/* ---- texts ---- */

/* The text of @log, made twice: to learn the size, and into just that. */
static char *prometheus_of(struct dwal *const *logs, size_t count) {
    size_t needed = 0, again = 0;
    assert_int_equal(
        dwal_stats_prometheus_all(logs, count, NULL, 0, &needed, NULL),
        DWAL_OK);
    char *text = malloc(needed);
    int code =
        dwal_stats_prometheus_all(logs, count, text, needed, &again, NULL);
    assert_int_equal(code, DWAL_OK);
    assert_int_equal(again, needed);
    assert_int_equal(strlen(text), needed - 1);
    return text;
}

/* What follows @key at the beginning of a line, as a number. */
static double sample(const char *text, const char *key) {
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, strlen(key)) == 0)
            return strtod(line + strlen(key), NULL);
    }
    fail_msg("no sample: %s", key);
    return 0;
}

/* Each sample belongs to the family whose TYPE was told last; buckets do not
 * fall, and the last of them is the count. */
static void exposition_check(const char *text) {
    char family[64] = "", type[16] = "";
    double bucket = 0;
    size_t families = 0;
    for (const char *line = text; *line != '\0';
         line = strchr(line, '\n') + 1) {
        char name[64], help[64];
        if (sscanf(line, "# HELP %63s", help) == 1)
            continue;
        if (sscanf(line, "# TYPE %63s %15s", name, type) == 2) {
            assert_string_equal(name, help);
            assert_string_not_equal(name, family);
            strcpy(family, name);
            families++;
            continue;
        }
        assert_int_equal(sscanf(line, "%63[a-z_]", name), 1);
        assert_int_equal(strncmp(name, family, strlen(family)), 0);
        const char *suffix = name + strlen(family);
        const char *end = strchr(line, '\n');
        double value = strtod(memrchr(line, ' ', (size_t)(end - line)), NULL);
        if (strcmp(suffix, "_bucket") == 0) {
            assert_true(value >= bucket ||
                        strstr(line, "le=\"0.000001023\"") != NULL);
            bucket = value;
        } else if (strcmp(suffix, "_count") == 0) {
            assert_true(value == bucket);
            bucket = 0;
        } else if (strcmp(suffix, "_sum") != 0) {
            assert_string_equal(suffix, "");
        }
    }
    assert_true(families > 40);
}

/* What Prometheus itself says of the text, where it is installed. */
static void promtool_check(const char *text) {
    if (system("command -v promtool > /dev/null") != 0) {
        print_message("promtool is not installed: parsed here alone\n");
        return;
    }
    FILE *pipe = popen("promtool check metrics", "w");
    assert_non_null(pipe);
    fputs(text, pipe);
    assert_int_equal(pclose(pipe), 0);
}

static void test_prometheus(void **state) {
    char path[512];
    snprintf(path, sizeof path, "%s/a \"b\\c\nd", (const char *)*state);
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(simaio_new(FLUSH_NS), path, &options);
    for (int i = 0; i < 3; i++)
        commit(log);
    char *text = prometheus_of(&log, 1);
    exposition_check(text);
    promtool_check(text);
    char key[700];
    snprintf(key, sizeof key, "{path=\"%s/a \\\"b\\\\c\\nd\"",
             (const char *)*state);
    char line[800];
    snprintf(line, sizeof line, "dwal_records_durable_total%s} ", key);
    assert_true(sample(text, line) == 3);
    snprintf(line, sizeof line, "dwal_batches_closed_total%s,why=\"natural\"} ",
             key);
    assert_true(sample(text, line) == 3);
    snprintf(line, sizeof line, "dwal_write_seconds_count%s} ", key);
    assert_true(sample(text, line) == 3);
    snprintf(line, sizeof line, "dwal_write_seconds_sum%s} ", key);
    assert_true(sample(text, line) >= 0.006);
    /* No write took less than the device does. */
    snprintf(line, sizeof line,
             "dwal_write_seconds_bucket%s,le=\"0.001572863\"} ", key);
    assert_true(sample(text, line) == 0);
    char few[64];
    size_t needed;
    assert_int_equal(dwal_stats_prometheus(log, few, sizeof few, &needed, NULL),
                     DWAL_EINVAL);
    assert_true(needed > sizeof few);
    free(text);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

static void test_prometheus_of_two(void **state) {
    char path[2][512];
    struct dwal *logs[2];
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    const struct dwal__aio *aio = fakeaio_new();
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%d", (const char *)*state, i);
        logs[i] = log_open_on(aio, path[i], &options);
    }
    commit(logs[1]);
    char *text = prometheus_of(logs, 2);
    exposition_check(text);
    promtool_check(text);
    char line[700];
    for (int i = 0; i < 2; i++) {
        snprintf(line, sizeof line, "dwal_durable_lsn{path=\"%s\"} ", path[i]);
        assert_true(sample(text, line) == i);
    }
    free(text);
    for (int i = 0; i < 2; i++)
        assert_int_equal(dwal_close(logs[i], NULL), DWAL_OK);
}

static void test_percentiles(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open_on(simaio_new(FLUSH_NS), *state, &options);
    char text[16384];
    int stage = DWAL_LATENCY_WRITE;
    assert_int_equal(
        dwal_stats_percentiles(log, stage, text, sizeof text, NULL, NULL),
        DWAL_OK);
    assert_non_null(strstr(text, "Total count    =            0]"));
    for (int i = 0; i < 7; i++)
        commit(log);
    assert_int_equal(
        dwal_stats_percentiles(log, stage, text, sizeof text, NULL, NULL),
        DWAL_OK);
    double value, percentile, last = 0, percent_last = -1;
    unsigned long long count = 0, rows = 0;
    char *line = strstr(text, "\n\n") + 2;
    for (; *line != '#'; line = strchr(line, '\n') + 1, rows++) {
        assert_int_equal(
            sscanf(line, "%lf %lf %llu", &value, &percentile, &count), 3);
        assert_true(value >= last && percentile > percent_last);
        assert_true(value >= FLUSH_NS / 1e3);
        last = value;
        percent_last = percentile;
    }
    assert_true(rows >= 2 && percentile == 1 && count == 7);
    assert_non_null(strstr(line, "Total count    =            7]"));
    size_t needed;
    assert_int_equal(
        dwal_stats_percentiles(log, stage, text, 10, &needed, NULL),
        DWAL_EINVAL);
    assert_true(needed > 10);
    assert_int_equal(
        dwal_stats_percentiles(log, 6, text, sizeof text, NULL, NULL),
        DWAL_EINVAL);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_commits),     TEST(test_counts_outlive_cuts),
        TEST(test_reopened),    TEST(test_queue),
        TEST(test_closed),      TEST(test_segments),
        TEST(test_syncs),       TEST(test_sync_auto),
        TEST(test_waiting),     TEST(test_refused),
        TEST(test_slow),        TEST(test_failed),
        TEST(test_times),       TEST(test_crowd),
        TEST(test_sizes),       TEST(test_idle),
        TEST(test_prometheus),  TEST(test_prometheus_of_two),
        TEST(test_percentiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
