/* SPDX-License-Identifier: MIT */
/*
 * Two processes tail a log with cursors while a third writes it at full speed,
 * from several threads, with segment changes, trims, and files that are used
 * again. Each must show every record once, in order and unchanged, and none
 * before the writer knew that it is durable; also when the writer is killed.
 *
 * DWAL_TAIL_SECONDS: how long it is written, 1 unless set.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/dwal.h"
#include "src/sys.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define TAILS 2
#define THREADS 3
#define SEGMENT_SIZE (1 << 20)
#define SIZE_MAX_ 1500u
/* A tail that is further behind is waited for, so that nothing is trimmed that
 * it has not seen; what all have seen is trimmed when it is so much. */
#define LAG_MAX 60000u
#define TRIM_STEP 5000u
#define KILLS 3

/* Between the processes. */
struct shared {
    _Atomic uint64_t seen[TAILS]; /* the last LSN that was shown */
    _Atomic uint64_t end;         /* the last one of all; 0: not known yet */
    char failures[TAILS][512];
};

static struct shared *shared_make(void) {
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    return shared;
}

/* ---- payloads: who wrote it, the how many-th of his, and what follows ---- */

struct head {
    uint64_t thread;
    uint64_t count;
};

static uint32_t payload_make(uint64_t thread, uint64_t count, uint8_t *bytes) {
    struct head head = {.thread = thread, .count = count};
    uint64_t state = count * THREADS + thread;
    uint32_t size =
        (uint32_t)sizeof head + (uint32_t)(check_random(&state) % SIZE_MAX_);
    uint8_t first = (uint8_t)check_random(&state);
    memcpy(bytes, &head, sizeof head);
    for (uint32_t i = sizeof head; i < size; i++)
        bytes[i] = (uint8_t)(first + i * 7);
    return size;
}

/* ---- a tail: a process of its own ---- */

struct tail {
    struct shared *shared;
    unsigned index;
    uint64_t lsn;             /* the last one shown */
    uint64_t counts[THREADS]; /* of what each thread wrote */
};

static bool tail_failed(struct tail *tail, const char *what,
                        const struct dwal_error *error) {
    snprintf(tail->shared->failures[tail->index], 512, "behind LSN %llu: %s%s",
             (unsigned long long)tail->lsn, what,
             error != NULL ? error->text : "");
    return false;
}

static bool tail_take(struct tail *tail, const struct dwal_record *record) {
    uint8_t wanted[sizeof(struct head) + SIZE_MAX_];
    struct head head;
    if (record->lsn != tail->lsn + 1)
        return tail_failed(tail, "another LSN", NULL);
    if (record->size < sizeof head)
        return tail_failed(tail, "too short", NULL);
    memcpy(&head, record->data, sizeof head);
    if (head.thread >= THREADS || head.count != tail->counts[head.thread] + 1)
        return tail_failed(tail, "out of order", NULL);
    if (record->size != payload_make(head.thread, head.count, wanted) ||
        memcmp(record->data, wanted, record->size) != 0)
        return tail_failed(tail, "other bytes", NULL);
    tail->counts[head.thread]++;
    tail->lsn = record->lsn;
    atomic_store(&tail->shared->seen[tail->index], record->lsn);
    return true;
}

/* Until the last record, which somebody says some time. */
static bool tail_follow(struct tail *tail, struct dwal_cursor *cursor) {
    struct shared *shared = tail->shared;
    struct dwal_record record;
    struct dwal_error error;
    for (;;) {
        uint64_t end = atomic_load(&shared->end);
        if (end != 0 && tail->lsn == end)
            return true;
        int code = dwal_cursor_next_wait(cursor, &record, 20, &error);
        if (code == DWAL_ETIMEDOUT)
            continue;
        if (code != DWAL_OK)
            return tail_failed(tail, "", &error);
        if (!tail_take(tail, &record))
            return false;
    }
}

static int tail_main(struct shared *shared, unsigned index, const char *path) {
    struct tail tail = {.shared = shared, .index = index};
    struct dwal_cursor *cursor;
    struct dwal_error error;
    if (dwal_cursor_open(path, NULL, &cursor, &error) != DWAL_OK) {
        tail_failed(&tail, "open: ", &error);
        return 1;
    }
    bool good = tail_follow(&tail, cursor);
    dwal_cursor_close(cursor);
    return !good;
}

static pid_t tail_start(struct shared *shared, unsigned index,
                        const char *path) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(tail_main(shared, index, path));
    return child;
}

/* ---- the writer ---- */

struct writer {
    struct dwal *log;
    struct shared *shared;
    int64_t until; /* CLOCK_MONOTONIC */
    pthread_t threads[THREADS];
    _Atomic bool failed;
};

struct thread {
    struct writer *writer;
    uint32_t index;
};

static uint64_t seen_least(const struct shared *shared) {
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < TAILS; i++) {
        uint64_t seen = atomic_load(&shared->seen[i]);
        least = seen < least ? seen : least;
    }
    return least;
}

static bool tails_good(const struct shared *shared) {
    for (unsigned i = 0; i < TAILS; i++)
        if (shared->failures[i][0] != '\0')
            return false;
    return true;
}

static void *thread_main(void *argument) {
    struct thread *thread = argument;
    struct writer *writer = thread->writer;
    static _Thread_local uint8_t bytes[sizeof(struct head) + SIZE_MAX_];
    for (uint64_t count = 1; dwal__now_ns() < writer->until; count++) {
        struct dwal_record record = {.data = bytes};
        struct dwal_error error;
        uint64_t lsn;
        record.size = payload_make(thread->index, count, bytes);
        if (dwal_append(writer->log, &record, &lsn, &error) != DWAL_OK) {
            print_error("append: %s\n", error.text);
            atomic_store(&writer->failed, true);
            break;
        }
        while (lsn > seen_least(writer->shared) + LAG_MAX &&
               tails_good(writer->shared) && dwal__now_ns() < writer->until)
            sched_yield();
    }
    return NULL;
}

static void threads_start(struct writer *writer, struct thread *threads) {
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.writer = writer, .index = i};
        assert_int_equal(
            pthread_create(&writer->threads[i], NULL, thread_main, &threads[i]),
            0);
    }
}

/* What a tail shows is durable: looked at in this order, since both only grow.
 * Trims what all have seen. */
static void watch(struct writer *writer) {
    uint64_t trimmed = 0;
    while (dwal__now_ns() < writer->until && !atomic_load(&writer->failed) &&
           tails_good(writer->shared)) {
        for (unsigned i = 0; i < TAILS; i++) {
            uint64_t seen = atomic_load(&writer->shared->seen[i]);
            check_that(seen <= dwal_durable_lsn(writer->log),
                       "tail %u at LSN %llu", i, (unsigned long long)seen);
        }
        struct dwal_error error;
        uint64_t least = seen_least(writer->shared);
        if (least > trimmed + TRIM_STEP) {
            trimmed = least;
            log_done(dwal_trim(writer->log, least, &error), &error);
        }
        dwal__sleep_ns(DWAL__NS_PER_MS);
    }
}

static struct dwal *writer_open(const char *path) {
    struct dwal_options options = log_options(SEGMENT_SIZE);
    options.queue_bytes_max = 8 << 20;
    options.mark_delay_ms = 20;
    return log_open(path, &options);
}

/* ---- at full speed ---- */

static double seconds(void) {
    const char *text = getenv("DWAL_TAIL_SECONDS");
    return text != NULL ? strtod(text, NULL) : 1;
}

static void tails_wait(struct shared *shared, const pid_t *tails) {
    for (unsigned i = 0; i < TAILS; i++) {
        int status;
        assert_int_equal(waitpid(tails[i], &status, 0), tails[i]);
        check_that(WIFEXITED(status) && WEXITSTATUS(status) == 0, "tail %u: %s",
                   i, shared->failures[i]);
    }
}

static void test_full_speed(void **state) {
    struct shared *shared = shared_make();
    pid_t tails[TAILS];
    log_close(writer_open(*state));
    for (unsigned i = 0; i < TAILS; i++)
        tails[i] = tail_start(shared, i, *state);
    struct thread threads[THREADS];
    struct writer writer = {.shared = shared};
    writer.log = writer_open(*state);
    writer.until = dwal__now_ns() + (int64_t)(seconds() * 1e9);
    threads_start(&writer, threads);
    watch(&writer);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(writer.threads[i], NULL);
    assert_false(atomic_load(&writer.failed));
    struct dwal_stats stats = {.size = sizeof stats};
    struct dwal_error error;
    log_done(dwal_stats_get(writer.log, &stats, &error), &error);
    uint64_t end = stats.next_lsn - 1;
    log_done(dwal_wait(writer.log, end, -1, &error), &error);
    atomic_store(&shared->end, end);
    tails_wait(shared, tails);
    log_done(dwal_stats_get(writer.log, &stats, &error), &error);
    print_message("%llu records, %.1f MB, %llu segments, %llu of them "
                  "recycled; LSNs below %llu trimmed\n",
                  (unsigned long long)end, (double)stats.record_bytes / 1e6,
                  (unsigned long long)stats.segments_entered,
                  (unsigned long long)stats.segments_recycled,
                  (unsigned long long)stats.first_lsn);
    assert_true(stats.segments_entered > 4 && stats.segments_recycled > 0);
    log_close(writer.log);
    munmap(shared, sizeof *shared);
}

/* ---- killed ---- */

/* Writes until it is killed. */
static void writer_main(struct shared *shared, const char *path) {
    struct thread threads[THREADS];
    struct writer writer = {.shared = shared, .until = DWAL__NEVER};
    writer.log = writer_open(path);
    threads_start(&writer, threads);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(writer.threads[i], NULL);
    _exit(1);
}

/* What was shown is there afterwards, and what is there is shown. */
static void test_killed(void **state) {
    for (unsigned round = 0; round < KILLS; round++) {
        char path[4200];
        struct shared *shared = shared_make();
        pid_t tails[TAILS];
        int status;
        snprintf(path, sizeof path, "%s/%u", (const char *)*state, round);
        log_close(writer_open(path));
        for (unsigned i = 0; i < TAILS; i++)
            tails[i] = tail_start(shared, i, path);
        pid_t writer = fork();
        assert_true(writer >= 0);
        if (writer == 0)
            writer_main(shared, path);
        while (seen_least(shared) < 2000 * (round + 1) && tails_good(shared))
            dwal__sleep_ns(DWAL__NS_PER_MS);
        kill(writer, SIGKILL);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        assert_true(WIFSIGNALED(status));
        struct dwal *log = writer_open(path);
        uint64_t end = dwal_durable_lsn(log);
        for (unsigned i = 0; i < TAILS; i++)
            assert_in_range(atomic_load(&shared->seen[i]), 1, end);
        log_close(log);
        atomic_store(&shared->end, end);
        tails_wait(shared, tails);
        munmap(shared, sizeof *shared);
    }
}

#define TEMPDIR_TEST(test)                                                     \
    cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEMPDIR_TEST(test_full_speed),
                                       TEMPDIR_TEST(test_killed)};
    return cmocka_run_group_tests_name("tail", tests, NULL, NULL);
}
