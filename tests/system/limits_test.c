/* SPDX-License-Identifier: MIT */
/*
 * The library at its limits: a disk that hangs under producers, deadlines, a
 * thousand threads, signals, forks, second writers, arguments that are NULL.
 * Each has one outcome, the one that dwal.h promises.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/disk.h"
#include "src/log.h"
#include "tests/support/check.h"
#include "tests/support/fakeaio.h"
#include "tests/support/simaio.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define MIB (UINT64_C(1) << 20)

static struct dwal_options options_small(int submit) {
    struct dwal_options options = log_options(MIB);
    options.submit = submit;
    return options;
}

static struct dwal *fake_open(const char *path,
                              const struct dwal_options *options) {
    return log_open_on(fakeaio_new(), path, options);
}

/* ---- backpressure ---- */

/* Resident bytes of this process. */
static uint64_t resident(void) {
    unsigned long long pages = 0, total;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu %llu", &total, &pages), 2);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct producer {
    pthread_t thread;
    struct dwal *log;
    _Atomic bool *stop;
    uint64_t accepted, refused;
    int code; /* what ended it, if not stop */
};

/* Appends as fast as it can, through every door there is. */
static void *producer_main(void *argument) {
    struct producer *producer = argument;
    static const uint8_t bytes[1000];
    struct dwal_record records[3];
    for (int i = 0; i < 3; i++)
        records[i] = (struct dwal_record){.data = bytes, .size = sizeof bytes};
    for (unsigned i = 0; !atomic_load(producer->stop); i++) {
        int code = i % 2 == 0 ? dwal_append(producer->log, records, NULL, NULL)
                              : dwal_append_batch(producer->log, records, 3,
                                                  NULL, NULL);
        if (code == DWAL_OK)
            producer->accepted += i % 2 == 0 ? 1 : 3;
        else if (code == DWAL_EAGAIN)
            producer->refused++;
        else {
            producer->code = code;
            break;
        }
    }
    return NULL;
}

/* DWAL_HANG_MS: how long the disk hangs, 1000 unless set. The memory that the
 * queue may take is full within a few milliseconds of it. */
static int64_t hang_ms(void) {
    const char *text = getenv("DWAL_HANG_MS");
    return text != NULL ? atoll(text) : 1000;
}

/* Producers against a disk that does not answer: what they are refused costs
 * nothing, and all that was accepted is written when it answers again. */
static void backpressure(const char *path, uint64_t bytes_max,
                         uint32_t records_max, int append_timeout_ms) {
    struct dwal_error error;
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.segment_size = 16 * MIB;
    options.queue_bytes_max = bytes_max;
    options.queue_records_max = records_max;
    options.append_timeout_ms = append_timeout_ms;
    struct dwal *log = fake_open(path, &options);
    uint64_t lsn;
    while (log_commit(log, &lsn, &error) == DWAL_EAGAIN)
        sched_yield(); /* the first one waits for a segment */
    struct producer producers[8];
    _Atomic bool stop = false;
    uint64_t before = resident(), most = before;
    fakeaio_hold();
    for (int i = 0; i < 8; i++) {
        producers[i] = (struct producer){.log = log, .stop = &stop};
        pthread_create(&producers[i].thread, NULL, producer_main,
                       &producers[i]);
    }
    int64_t until = dwal__now_ns() + hang_ms() * DWAL__NS_PER_MS;
    while (dwal__now_ns() < until) {
        uint64_t now = resident();
        most = now > most ? now : most;
        dwal__sleep_ns(DWAL__NS_PER_MS);
    }
    /* Closing comes first, so that nothing is accepted that is not counted. */
    atomic_store(&stop, true);
    uint64_t accepted = 0, refused = 0;
    for (int i = 0; i < 8; i++) {
        pthread_join(producers[i].thread, NULL);
        assert_int_equal(producers[i].code, DWAL_OK);
        accepted += producers[i].accepted;
        refused += producers[i].refused;
    }
    assert_true(refused > 0);
    assert_true(accepted > 0 && accepted <= records_max);
    assert_true(accepted * 1032 <= bytes_max);
    /* The queue, stacks of eight threads and what they touch of the heap. */
    uint64_t limit = bytes_max + 2 * MIB;
    print_message("%d s: %llu records accepted, %llu times refused; "
                  "%llu KiB more, %llu allowed\n",
                  (int)(hang_ms() / 1000), (unsigned long long)accepted,
                  (unsigned long long)refused,
                  (unsigned long long)((most - before) / 1024),
                  (unsigned long long)(limit / 1024));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(most - before <= limit);
#endif
    fakeaio_release();
    assert_int_equal(dwal_wait(log, lsn + accepted, -1, &error), DWAL_OK);
    assert_int_equal(dwal_wait(log, lsn + accepted + 1, 0, &error),
                     DWAL_EINVAL);
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
}

static void test_backpressure_bytes(void **state) {
    backpressure(*state, 4 * MIB, 1u << 20, 0);
}

static void test_backpressure_records(void **state) {
    backpressure(*state, 64 * MIB, 500, 1);
}

/* ---- deadlines ---- */

struct waiter {
    pthread_t thread;
    struct dwal *log;
    uint64_t lsn; /* 0: commits; otherwise waits for it */
    int code;
    int64_t ended_ns;
    struct dwal_error error;
};

static void *waiter_main(void *argument) {
    struct waiter *waiter = argument;
    waiter->code =
        waiter->lsn == 0
            ? log_commit(waiter->log, &waiter->lsn, &waiter->error)
            : dwal_wait(waiter->log, waiter->lsn, -1, &waiter->error);
    waiter->ended_ns = dwal__now_ns();
    return NULL;
}

struct story {
    _Atomic unsigned slow, late;
    _Atomic int64_t slow_ns;
};

static void told(void *argument, int level, const char *text) {
    struct story *story = argument;
    (void)level;
    if (strstr(text, "is under way for") != NULL) {
        atomic_store(&story->slow_ns, dwal__now_ns());
        atomic_fetch_add(&story->slow, 1);
    } else if (strstr(text, "did not end") != NULL)
        atomic_fetch_add(&story->late, 1);
}

/* Every kind of waiter comes back within 100 ms of the deadline. A machine that
 * is busy with other things may be late itself: one of three tries counts. */
static bool deadline_kept(const char *path, int submit) {
    struct story story = {0};
    struct dwal_error error;
    struct dwal_options options = options_small(submit);
    options.io_timeout_ms = 300;
    options.slow_io_ms = 100;
    options.log = told;
    options.log_argument = &story;
    struct dwal *log = fake_open(path, &options);
    uint64_t lsn;
    if (log_commit(log, &lsn, &error) != DWAL_OK)
        fail_msg("%s", error.text);
    fakeaio_hold();
    int64_t begin = dwal__now_ns();
    struct waiter waiters[6] = {0};
    for (int i = 0; i < 6; i++) {
        if (i % 2 == 1) {
            struct dwal_record record = {.data = "payload", .size = 7};
            assert_int_equal(dwal_append(log, &record, &waiters[i].lsn, &error),
                             DWAL_OK);
        }
        waiters[i].log = log;
        pthread_create(&waiters[i].thread, NULL, waiter_main, &waiters[i]);
    }
    bool kept = true;
    for (int i = 0; i < 6; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].code, DWAL_EFAILED);
        assert_int_equal(waiters[i].error.os_errno, ETIMEDOUT);
        kept &= waiters[i].ended_ns - begin <= 400 * DWAL__NS_PER_MS;
        assert_true(waiters[i].ended_ns - begin >= 300 * DWAL__NS_PER_MS);
    }
    /* Told while it was under way, once each; then the failure, once. */
    assert_true(atomic_load(&story.slow) >= 1);
    assert_true(atomic_load(&story.slow_ns) - begin >= 100 * DWAL__NS_PER_MS);
    assert_int_equal(atomic_load(&story.late), 1);
    int64_t refused = dwal__now_ns();
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_EFAILED);
    kept &= dwal__now_ns() - refused < 100 * DWAL__NS_PER_MS;
    int64_t closed = dwal__now_ns();
    assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
    kept &= dwal__now_ns() - closed < 600 * DWAL__NS_PER_MS;
    assert_non_null(strstr(error.text, "left on its way"));
    struct dwal *second;
    assert_int_equal(dwal_open(path, &options, &second, &error), DWAL_EBUSY);
    fakeaio_release();
    while (dwal_open(path, &options, &second, &error) != DWAL_OK)
        sched_yield();
    assert_int_equal(dwal_close(second, &error), DWAL_OK);
    return kept;
}

static void test_deadline(void **state) {
    for (int submit = 0; submit <= 1; submit++) {
        /* Others may have the processor at the wrong moment, not each time. */
        bool kept = false;
        for (int i = 0; i < 20 && !kept; i++)
            kept = deadline_kept(*state, submit);
        assert_true(kept);
    }
}

/* Who only appends, and looks at times, learns it as well. */
static void test_deadline_noticed_by_polling(void **state) {
    struct dwal_error error;
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.io_timeout_ms = 100;
    struct dwal *log = fake_open(*state, &options);
    uint64_t lsn;
    int code;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    fakeaio_hold();
    struct dwal_record record = {.data = "payload", .size = 7};
    assert_int_equal(dwal_append(log, &record, &lsn, &error), DWAL_OK);
    while ((code = dwal_wait(log, lsn, 0, &error)) == DWAL_ETIMEDOUT)
        sched_yield();
    assert_int_equal(code, DWAL_EFAILED);
    fakeaio_release();
    assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
}

/* ---- a caller that is stuck in the kernel ---- */

static _Atomic bool gate_shut, gate_reached;
static struct dwal__aio gated;
static struct dwal__aio_ops gated_ops;

/* A frozen filesystem: io_submit does not return. */
static int gated_submit(struct dwal__aio *aio, long count,
                        struct iocb **iocbs) {
    while (atomic_load(&gate_shut)) {
        atomic_store(&gate_reached, true);
        dwal__sleep_ns(DWAL__NS_PER_MS);
    }
    return dwal__aio_kernel.submit(aio, count, iocbs);
}

/* Once: a log that a test left behind may still use the table. */
static void gated_begin(void) {
    if (gated.ops != NULL)
        return;
    gated_ops = dwal__aio_kernel;
    gated_ops.submit = gated_submit;
    gated.ops = &gated_ops;
}

/* In every preset all who can come back do, and dwal_close as well; the caller
 * in the kernel comes back when the kernel lets it. */
static void test_submission_hangs(void **state) {
    gated_begin();
    for (int submit = 0; submit <= 1; submit++) {
        struct dwal_error error;
        struct dwal_options options = options_small(submit);
        options.io_timeout_ms = 500;
        struct dwal *log;
        assert_int_equal(dwal__open_on(dwal__disk_kernel(), &gated, *state,
                                       &options, &log, &error),
                         DWAL_OK);
        uint64_t lsn;
        if (log_commit(log, &lsn, &error) != DWAL_OK)
            fail_msg("%s", error.text);
        atomic_store(&gate_reached, false);
        atomic_store(&gate_shut, true);
        struct waiter stuck = {.log = log}, other = {.log = log};
        pthread_create(&stuck.thread, NULL, waiter_main, &stuck);
        while (!atomic_load(&gate_reached))
            sched_yield();
        pthread_create(&other.thread, NULL, waiter_main, &other);
        pthread_join(other.thread, NULL);
        assert_int_equal(other.code, DWAL_EFAILED);
        if (submit == DWAL_SUBMIT_THREAD) {
            pthread_join(stuck.thread, NULL);
            assert_int_equal(stuck.code, DWAL_EFAILED);
        }
        assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
        assert_non_null(strstr(error.text, "left on its way"));
        assert_int_equal(dwal_open(*state, &options, &log, &error), DWAL_EBUSY);
        atomic_store(&gate_shut, false);
        if (submit == DWAL_SUBMIT_CALLER) {
            pthread_join(stuck.thread, NULL);
            assert_int_equal(stuck.code, DWAL_EFAILED);
        }
        while (dwal_open(*state, &options, &log, &error) != DWAL_OK)
            sched_yield();
        assert_int_equal(dwal_close(log, &error), DWAL_OK);
    }
}

static void told_submitting(void *argument, int level, const char *text) {
    _Atomic bool *told_of = argument;
    (void)level;
    if (strstr(text, "submitting an I/O is under way") != NULL)
        atomic_store(told_of, true);
}

/* The only caller went to sleep before the submission began that hangs: it is
 * told about all the same, while it is under way. */
static void test_submission_slow_for_one_caller(void **state) {
    _Atomic bool told_of = false;
    struct dwal_error error;
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.io_timeout_ms = 10000;
    options.slow_io_ms = 20;
    options.log = told_submitting;
    options.log_argument = &told_of;
    gated_begin();
    struct dwal *log;
    assert_int_equal(dwal__open_on(dwal__disk_kernel(), &gated, *state,
                                   &options, &log, &error),
                     DWAL_OK);
    uint64_t lsn;
    assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
    atomic_store(&gate_shut, true);
    struct waiter caller = {.log = log};
    pthread_create(&caller.thread, NULL, waiter_main, &caller);
    while (!atomic_load(&told_of) && !atomic_load(&log->failed))
        sched_yield();
    atomic_store(&gate_shut, false);
    pthread_join(caller.thread, NULL);
    assert_true(atomic_load(&told_of));
    assert_int_equal(caller.code, DWAL_OK);
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
}

/* ---- a leader that is not there any more ---- */

#define HANDOVER_ROUNDS 200
#define HANDOVER_FLUSH_NS (2 * DWAL__NS_PER_MS)

struct leader {
    struct dwal *log;
    pthread_t thread;
    _Atomic int begun, ended;
};

static void *leader_main(void *argument) {
    struct leader *leader = argument;
    for (int i = 0; i < HANDOVER_ROUNDS; i++) {
        while (atomic_load(&leader->begun) <= i)
            sched_yield();
        uint64_t lsn;
        if (log_commit(leader->log, &lsn, NULL) == DWAL_OK)
            atomic_store(&leader->ended, i + 1);
    }
    return NULL;
}

/* A caller leads for as long as its flush takes, another waits for the next
 * one, and its deadline comes at about the moment when it would have to take
 * over. Whatever comes first, its record becomes durable without anybody's
 * doing. */
static void test_handover_to_who_leaves(void **state) {
    struct dwal_error error;
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct leader leader = {0};
    if (dwal__open_on(dwal__disk_kernel(), simaio_new(HANDOVER_FLUSH_NS),
                      *state, &options, &leader.log, &error) != DWAL_OK)
        fail_msg("%s", error.text);
    pthread_create(&leader.thread, NULL, leader_main, &leader);
    for (int i = 0; i < HANDOVER_ROUNDS; i++) {
        int64_t begin = dwal__now_ns();
        atomic_store(&leader.begun, i + 1);
        while (atomic_load(&leader.log->in_flight) == 0 &&
               atomic_load(&leader.ended) <= i)
            sched_yield();
        /* So that 1 ms later the flush has just ended, or is about to. */
        int64_t pause = HANDOVER_FLUSH_NS - DWAL__NS_PER_MS +
                        (i % 25 - 12) * (DWAL__NS_PER_MS / 200);
        while (dwal__now_ns() - begin < pause)
            continue;
        struct dwal_record record = {.data = "payload", .size = 7};
        uint64_t lsn;
        assert_int_equal(dwal_append(leader.log, &record, &lsn, &error),
                         DWAL_OK);
        dwal_wait(leader.log, lsn, 1, &error);
        /* Its I/O timeout would be the end of it, or the test's. */
        while (dwal_durable_lsn(leader.log) < lsn)
            sched_yield();
        while (atomic_load(&leader.ended) <= i)
            sched_yield();
    }
    pthread_join(leader.thread, NULL);
    assert_int_equal(dwal_close(leader.log, &error), DWAL_OK);
}

/* ---- many threads, many signals ---- */

struct crowd {
    struct dwal *log;
    _Atomic uint64_t largest;
    _Atomic unsigned wrong;
};

static void *crowd_main(void *argument) {
    struct crowd *crowd = argument;
    struct dwal_error error;
    for (int i = 0; i < 5; i++) {
        uint64_t lsn;
        if (log_commit(crowd->log, &lsn, &error) != DWAL_OK ||
            lsn > dwal_durable_lsn(crowd->log))
            atomic_fetch_add(&crowd->wrong, 1);
    }
    return NULL;
}

static void crowd_run(const char *path, int submit, int count) {
    struct dwal_error error;
    struct dwal_options options = options_small(submit);
    /* A machine may be slow; this is not about deadlines. */
    options.append_timeout_ms = 240000;
    options.io_timeout_ms = 240000;
    struct crowd crowd = {.log = log_open(path, &options)};
    uint64_t before = dwal_durable_lsn(crowd.log);
    pthread_t *threads = calloc((size_t)count, sizeof *threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    for (int i = 0; i < count; i++)
        assert_int_equal(
            pthread_create(&threads[i], &attributes, crowd_main, &crowd), 0);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_attr_destroy(&attributes);
    free(threads);
    assert_int_equal(atomic_load(&crowd.wrong), 0);
    assert_int_equal(dwal_durable_lsn(crowd.log),
                     before + 5u * (unsigned)count);
    assert_int_equal(dwal_close(crowd.log, &error), DWAL_OK);
}

static void test_thousand_threads(void **state) {
    crowd_run(*state, DWAL_SUBMIT_THREAD, 1000);
    crowd_run(*state, DWAL_SUBMIT_CALLER, 1000);
}

static _Atomic unsigned signals;

static void signal_count(int number) {
    (void)number;
    atomic_fetch_add(&signals, 1);
}

struct rain {
    pthread_t thread;
    _Atomic bool stop;
};

/* To the process: the kernel gives each to some thread that takes it. */
static void *rain_main(void *argument) {
    struct rain *rain = argument;
    sigset_t mine;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &mine, NULL);
    while (!atomic_load(&rain->stop)) {
        kill(getpid(), SIGUSR1);
        dwal__sleep_ns(DWAL__NS_PER_MS / 20);
    }
    return NULL;
}

static void test_signals(void **state) {
    struct sigaction action = {.sa_handler = signal_count}; /* no SA_RESTART */
    struct sigaction before;
    sigaction(SIGUSR1, &action, &before);
    struct rain rain = {.stop = false};
    pthread_create(&rain.thread, NULL, rain_main, &rain);
    unsigned seen = atomic_load(&signals);
    for (int round = 0; round < 50 || atomic_load(&signals) < seen + 100;
         round++)
        crowd_run(*state, round % 2, 8); /* open, commit, close */
    atomic_store(&rain.stop, true);
    pthread_join(rain.thread, NULL);
    sigaction(SIGUSR1, &before, NULL);
}

/* ---- processes ---- */

/* Runs @body in a child; its exit code, or -1. */
static int in_child(int (*body)(struct dwal *log, const char *path),
                    struct dwal *log, const char *path) {
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        _exit(body(log, path));
    }
    int status;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The line of what is not as it should be, so that the parent can say it. */
#define CHILD_CHECK(condition)                                                 \
    do {                                                                       \
        if (!(condition))                                                      \
            return __LINE__ & 0xFF;                                            \
    } while (0)

static int child_uses(struct dwal *log, const char *path) {
    struct dwal_error error;
    uint64_t lsn = 99;
    CHILD_CHECK(log_commit(log, &lsn, &error) == DWAL_EINVAL && lsn == 99);
    CHILD_CHECK(strstr(error.text, path) != NULL);
    CHILD_CHECK(dwal_wait(log, 1, -1, &error) == DWAL_EINVAL);
    CHILD_CHECK(dwal_rotate(log, &error) == DWAL_EINVAL);
    CHILD_CHECK(dwal_trim(log, 1, &error) == DWAL_EINVAL);
    /* A log and a cursor of its own: as in any other process. */
    struct dwal *mine;
    CHILD_CHECK(dwal_open(path, NULL, &mine, &error) == DWAL_EBUSY);
    struct dwal_cursor *cursor;
    struct dwal_record record;
    CHILD_CHECK(dwal_cursor_open(path, NULL, &cursor, &error) == DWAL_OK);
    CHILD_CHECK(dwal_cursor_next(cursor, &record, &error) == DWAL_OK);
    CHILD_CHECK(record.lsn == 1);
    dwal_cursor_close(cursor);
    /* Its close is no close of the parent's. */
    CHILD_CHECK(dwal_close(log, &error) == DWAL_EINVAL);
    CHILD_CHECK(dwal_open(path, NULL, &mine, &error) == DWAL_EBUSY);
    return 0;
}

static int child_opens(struct dwal *log, const char *path) {
    (void)log;
    struct dwal *mine;
    struct dwal_error error;
    CHILD_CHECK(dwal_open(path, NULL, &mine, &error) == DWAL_OK);
    CHILD_CHECK(dwal_close(mine, &error) == DWAL_OK);
    return 0;
}

static void test_fork(void **state) {
    struct dwal_error error;
    for (int submit = 0; submit <= 1; submit++) {
        struct dwal_options options = options_small(submit);
        struct dwal *log = log_open(*state, &options);
        uint64_t lsn;
        for (int i = 0; i < 3; i++)
            assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
        assert_int_equal(in_child(child_uses, log, *state), 0);
        assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
        assert_int_equal(dwal_close(log, &error), DWAL_OK);
    }
}

static struct dwal_cursor *inherited;

static int child_closes(struct dwal *log, const char *path) {
    struct dwal_record record;
    struct dwal_error error;
    (void)path;
    CHILD_CHECK(dwal_cursor_next(inherited, &record, &error) == DWAL_EINVAL);
    CHILD_CHECK(dwal_cursor_seek(inherited, 1, &error) == DWAL_EINVAL);
    dwal_cursor_close(inherited);
    /* The second time there is nothing left to give back. */
    int before = open("/dev/null", O_RDONLY);
    CHILD_CHECK(dwal_close(log, &error) == DWAL_EINVAL);
    int reused = open("/dev/null", O_RDONLY);
    CHILD_CHECK(dwal_close(log, &error) == DWAL_EINVAL);
    CHILD_CHECK(fcntl(before, F_GETFD) != -1 && fcntl(reused, F_GETFD) != -1);
    return 0;
}

/* The parent's cursor has reads in flight, by threads that a child does not
 * have: it can be closed there all the same. */
static void test_fork_while_reading(void **state) {
    struct dwal_error error;
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.segment_size = 32 * MIB;
    options.queue_bytes_max = 32 * MIB;
    struct dwal *log = log_open(*state, &options);
    static uint8_t bytes[256 << 10];
    struct dwal_record record = {.data = bytes, .size = sizeof bytes};
    uint64_t lsn;
    for (int i = 0; i < 100; i++)
        assert_int_equal(dwal_append(log, &record, &lsn, &error), DWAL_OK);
    assert_int_equal(dwal_wait(log, lsn, -1, &error), DWAL_OK);
    for (int i = 10; i < 60; i += 10) {
        assert_int_equal(dwal_cursor_open(*state, NULL, &inherited, &error),
                         DWAL_OK);
        for (int j = 0; j < i; j++)
            assert_int_equal(dwal_cursor_next(inherited, &record, &error),
                             DWAL_OK);
        assert_int_equal(in_child(child_closes, log, *state), 0);
        dwal_cursor_close(inherited);
    }
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
}

/* A child that lives on does not keep the log that its parent closed; one that
 * outlives its parent does, until it ends. */
static void test_fork_and_lock(void **state) {
    struct dwal_error error;
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options);
    assert_int_equal(log_commit(log, NULL, &error), DWAL_OK);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(pipes[1]);
        _exit((int)read(pipes[0], &byte, 1));
    }
    close(pipes[0]);
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
    assert_int_equal(in_child(child_opens, NULL, *state), 0);
    close(pipes[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int child_leaves_a_child(struct dwal *log, const char *path) {
    (void)log;
    struct dwal_error error;
    struct dwal *mine;
    CHILD_CHECK(dwal_open(path, NULL, &mine, &error) == DWAL_OK);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        (void)!read(0, &byte, 1); /* until the test closes its end */
        _exit(0);
    }
    return 0; /* dies without dwal_close */
}

static void test_orphan_keeps_the_lock(void **state) {
    struct dwal_error error;
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options);
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
    int pipes[2], input = dup(0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    dup2(pipes[0], 0);
    fcntl(pipes[1], F_SETFD, FD_CLOEXEC);
    /* The grandchild must not keep the writing end itself. */
    pid_t pid = fork();
    if (pid == 0) {
        close(pipes[1]);
        _exit(child_leaves_a_child(NULL, *state));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(dwal_open(*state, &options, &log, &error), DWAL_EBUSY);
    close(pipes[1]);
    dup2(input, 0);
    close(input);
    close(pipes[0]);
    while (dwal_open(*state, &options, &log, &error) == DWAL_EBUSY)
        sched_yield();
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
}

/* Two writers, in one process: the lock is the open file's. */
static void test_two_writers(void **state) {
    struct dwal_error error;
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options), *second = NULL;
    assert_int_equal(dwal_open(*state, &options, &second, &error), DWAL_EBUSY);
    assert_null(second);
    assert_non_null(strstr(error.text, *state));
    assert_int_equal(log_commit(log, NULL, &error), DWAL_OK);
    assert_int_equal(dwal_close(log, &error), DWAL_OK);
}

/* ---- closing while others wait ---- */

static void test_close_while_waiting(void **state) {
    struct dwal_error error;
    for (int submit = 0; submit <= 1; submit++) {
        struct dwal_options options = options_small(submit);
        struct dwal *log = fake_open(*state, &options);
        uint64_t lsn;
        assert_int_equal(log_commit(log, &lsn, &error), DWAL_OK);
        fakeaio_hold();
        struct waiter waiters[4] = {0};
        for (int i = 0; i < 4; i++) {
            waiters[i].log = log;
            pthread_create(&waiters[i].thread, NULL, waiter_main, &waiters[i]);
        }
        while (atomic_load(&log->callers) < 4)
            sched_yield();
        struct waiter closer = {.log = log};
        fakeaio_wait_held(1);
        fakeaio_release();
        closer.code = dwal_close(log, &error);
        for (int i = 0; i < 4; i++) {
            pthread_join(waiters[i].thread, NULL);
            assert_true(waiters[i].code == DWAL_OK ||
                        waiters[i].code == DWAL_ECLOSED);
        }
        assert_int_equal(closer.code, DWAL_OK);
    }
}

/* ---- arguments ---- */

static void test_null(void **state) {
    struct dwal_error error;
    struct dwal_record record = {.data = "payload", .size = 7};
    uint64_t lsn = 99;
    dwal_options_init(NULL);
    dwal_cursor_options_init(NULL);
    assert_int_equal(dwal_options_preset(NULL, 0), DWAL_EINVAL);
    assert_int_equal(dwal_open(NULL, NULL, NULL, &error), DWAL_EINVAL);
    assert_int_equal(dwal_open(*state, NULL, NULL, NULL), DWAL_EINVAL);
    assert_int_equal(dwal_append(NULL, &record, &lsn, &error), DWAL_EINVAL);
    assert_int_equal(dwal_append_batch(NULL, &record, 1, &lsn, NULL),
                     DWAL_EINVAL);
    assert_int_equal(dwal_commit(NULL, &record, &lsn, &error), DWAL_EINVAL);
    assert_int_equal(dwal_wait(NULL, 1, 0, &error), DWAL_EINVAL);
    assert_int_equal(dwal_rotate(NULL, &error), DWAL_EINVAL);
    assert_int_equal(dwal_trim(NULL, 1, &error), DWAL_EINVAL);
    assert_int_equal(lsn, 99);
    assert_int_equal(dwal_durable_lsn(NULL), 0);
    assert_int_equal(dwal_first_lsn(NULL), 0);
    assert_int_equal(dwal_record_size_max(NULL), 0);
    assert_int_equal(dwal_close(NULL, &error), DWAL_OK);
    assert_int_equal(dwal_cursor_open(NULL, NULL, NULL, &error), DWAL_EINVAL);
    assert_int_equal(dwal_cursor_next(NULL, &record, &error), DWAL_EINVAL);
    assert_int_equal(dwal_cursor_seek(NULL, 1, &error), DWAL_EINVAL);
    dwal_cursor_close(NULL);
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options);
    assert_int_equal(dwal_append(log, NULL, &lsn, &error), DWAL_EINVAL);
    assert_int_equal(dwal_append(log, &record, NULL, NULL), DWAL_OK);
    /* An LSN that was never given is refused at once, not waited for. */
    assert_int_equal(dwal_wait(log, 0, -1, &error), DWAL_EINVAL);
    assert_int_equal(dwal_wait(log, 2, -1, &error), DWAL_EINVAL);
    assert_int_equal(dwal_wait(log, UINT64_MAX, -1, &error), DWAL_EINVAL);
    assert_int_equal(dwal_wait(log, 1, -1, NULL), DWAL_OK);
    struct dwal_cursor *cursor;
    assert_int_equal(dwal_cursor_open(*state, NULL, &cursor, NULL), DWAL_OK);
    assert_int_equal(dwal_cursor_next(cursor, NULL, &error), DWAL_EINVAL);
    assert_int_equal(dwal_cursor_next(cursor, &record, &error), DWAL_OK);
    dwal_cursor_close(cursor);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void) {
    tempdir_use_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_backpressure_bytes),
        TEST(test_backpressure_records),
        TEST(test_deadline),
        TEST(test_deadline_noticed_by_polling),
        TEST(test_submission_hangs),
        TEST(test_submission_slow_for_one_caller),
        TEST(test_handover_to_who_leaves),
        TEST(test_thousand_threads),
        TEST(test_signals),
        TEST(test_fork),
        TEST(test_fork_while_reading),
        TEST(test_fork_and_lock),
        TEST(test_orphan_keeps_the_lock),
        TEST(test_two_writers),
        TEST(test_close_while_waiting),
        TEST(test_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
