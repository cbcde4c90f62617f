/* SPDX-License-Identifier: MIT */
/*
 * The log in an event loop: each outcome once, in order and true; no wake-up
 * lost and none too many; whatever happens to the disk, the loop learns of it.
 *
 * A wake-up that does not come within DWAL_WAKE_MS, a minute unless set, is
 * lost: that is far above what one takes on a busy machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/fakeaio.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define MIB (UINT64_C(1) << 20)

static int wake_ms(void) {
    const char *text = getenv("DWAL_WAKE_MS");
    return text != NULL ? atoi(text) : 60000;
}

/* ---- what is written to the descriptor ---- */

static _Atomic unsigned signals;

int __real_eventfd_write(int fd, eventfd_t value);
int __wrap_eventfd_write(int fd, eventfd_t value);
int __wrap_eventfd_write(int fd, eventfd_t value) {
    atomic_fetch_add(&signals, 1);
    return __real_eventfd_write(fd, value);
}

/* ---- what is read from it ---- */

/* Called once, with the log, behind the next reading. */
static void (*behind_reading)(struct dwal *log);
static struct dwal *read_log;

int __real_eventfd_read(int fd, eventfd_t *value);
int __wrap_eventfd_read(int fd, eventfd_t *value);
int __wrap_eventfd_read(int fd, eventfd_t *value) {
    int result = __real_eventfd_read(fd, value);
    void (*call)(struct dwal * log) = behind_reading;
    if (call != NULL) {
        behind_reading = NULL;
        call(read_log);
    }
    return result;
}

/* ---- logs and loops ---- */

static struct dwal_options options_small(int submit) {
    struct dwal_options options = log_options(MIB);
    options.submit = submit;
    return options;
}

static int event_fd(struct dwal *log) {
    struct dwal_error error;
    int fd = -1;
    log_done(dwal_event_fd(log, &fd, &error), &error);
    return fd;
}

static bool readable(int fd, int wait_ms) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    int got;
    do
        got = poll(&one, 1, wait_ms);
    while (got < 0 && errno == EINTR);
    return got == 1 && (one.revents & POLLIN) != 0;
}

static void wake_expect(int fd) {
    if (!readable(fd, wake_ms()))
        fail_msg("no wake-up");
}

static size_t reap(struct dwal *log, struct dwal_completion *done,
                   size_t room) {
    size_t count = 99;
    assert_int_equal(dwal_reap(log, done, room, &count, NULL), DWAL_OK);
    assert_true(count <= room);
    return count;
}

/* Appends @count records of @size bytes; where there is no room, waits for it
 * as a loop does. Completions that come meanwhile are not looked at. */
static int append_once(struct dwal *log, size_t count, uint32_t size,
                       uintptr_t context, uint64_t *lsn,
                       struct dwal_error *error) {
    static const uint8_t bytes[4096];
    struct dwal_record records[8];
    for (size_t i = 0; i < count; i++)
        records[i] = (struct dwal_record){.data = bytes, .size = size};
    return dwal_append_async(log, records, count, (void *)context, lsn, error);
}

static uint64_t append(struct dwal *log, uintptr_t context) {
    struct dwal_error error;
    uint64_t lsn = 0;
    int code;
    while ((code = append_once(log, 1, 8, context, &lsn, &error)) ==
           DWAL_EAGAIN) {
        wake_expect(event_fd(log));
        assert_int_equal(reap(log, NULL, 0), 0);
    }
    log_done(code, &error);
    return lsn;
}

/* Waits for @count completions, whose contexts go on from @context. */
static void reap_expect(struct dwal *log, size_t count, uintptr_t context,
                        int code) {
    struct dwal_completion done[16];
    int fd = event_fd(log);
    while (count > 0) {
        wake_expect(fd);
        size_t got = reap(log, done, count < 16 ? count : 16);
        for (size_t i = 0; i < got; i++) {
            assert_int_equal(done[i].context, context++);
            assert_int_equal(done[i].code, code);
        }
        count -= got;
    }
}

/* Nothing is to be reaped, and the descriptor comes to rest: it may still tell
 * of a segment that was made ready, but not over and over. */
static void rest_expect(struct dwal *log, int fd) {
    struct dwal_completion done;
    do
        assert_int_equal(reap(log, &done, 1), 0);
    while (readable(fd, 0));
}

static void close_failed(struct dwal *log) {
    struct dwal_error error;
    assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
}

/* ---- one loop ---- */

static void test_order(void **state) {
    for (int submit = 0; submit <= 1; submit++) {
        struct dwal_options options = options_small(submit);
        struct dwal *log = log_open(*state, &options);
        int fd = event_fd(log);
        struct dwal_completion done[4];
        struct dwal_error error;
        uintptr_t sent = 0, got = 0;
        uint64_t lsn, first = dwal_durable_lsn(log) + 1, next = first;
        while (got < 2000) {
            while (sent < 2000 && sent - got < 64 &&
                   append_once(log, 1 + sent % 3, 100, sent, &lsn, &error) ==
                       DWAL_OK) {
                assert_int_equal(lsn, next);
                next += 1 + sent % 3;
                sent++;
            }
            wake_expect(fd);
            for (size_t i = 0, count = reap(log, done, 4); i < count; i++) {
                assert_int_equal(done[i].context, got);
                assert_int_equal(done[i].code, DWAL_OK);
                assert_int_equal(done[i].lsn, first);
                assert_int_equal(done[i].count, 1 + got % 3);
                first += done[i].count;
                assert_true(dwal_durable_lsn(log) >= first - 1);
                got++;
            }
        }
        log_close(log);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
    }
}

/* Without a descriptor, by looking. */
static void test_polling(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open(*state, &options);
    struct dwal_completion done[4];
    struct dwal_error error;
    atomic_store(&signals, 0);
    for (uintptr_t i = 0; i < 100; i++) {
        while (append_once(log, 1, 8, i, NULL, &error) == DWAL_EAGAIN)
            sched_yield();
        while (reap(log, done, 4) == 0)
            sched_yield();
        assert_int_equal(done[0].lsn, i + 1);
        assert_int_equal(done[0].context, i);
    }
    assert_int_equal(atomic_load(&signals), 0);
    log_close(log);
}

static void test_arguments(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options);
    struct dwal_completion done;
    struct dwal_error error;
    size_t count = 7;
    int fd = -7;
    assert_int_equal(dwal_event_fd(NULL, &fd, &error), DWAL_EINVAL);
    assert_int_equal(dwal_event_fd(log, NULL, &error), DWAL_EINVAL);
    assert_int_equal(dwal_reap(NULL, &done, 1, &count, &error), DWAL_EINVAL);
    assert_int_equal(dwal_reap(log, NULL, 1, &count, &error), DWAL_EINVAL);
    assert_int_equal(dwal_reap(log, &done, 1, NULL, &error), DWAL_EINVAL);
    assert_int_equal(dwal_append_async(NULL, NULL, 1, NULL, NULL, &error),
                     DWAL_EINVAL);
    assert_int_equal(dwal_append_async(log, NULL, 1, NULL, NULL, NULL),
                     DWAL_EINVAL);
    struct dwal_record record = {.data = "x", .size = 1};
    assert_int_equal(dwal_append_async(log, &record, 0, NULL, NULL, &error),
                     DWAL_EINVAL);
    record.size = UINT32_MAX;
    assert_int_equal(dwal_append_async(log, &record, 1, NULL, NULL, &error),
                     DWAL_EINVAL);
    assert_int_equal(count, 7);
    assert_int_equal(fd, -7);
    /* Nothing of it is outstanding, and nothing was begun. */
    assert_int_equal(dwal_reap(log, NULL, 0, &count, &error), DWAL_OK);
    assert_int_equal(count, 0);
    fd = event_fd(log);
    assert_int_equal(event_fd(log), fd);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true(readable(fd, 0)); /* at first */
    assert_int_equal(reap(log, &done, 1), 0);
    assert_false(readable(fd, 0));
    log_close(log);
}

/* One write in a cycle however many batches; none if nobody asked. */
static void test_signals(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options);
    struct dwal_completion done[16];
    struct dwal_record record = {.data = "x", .size = 1};
    atomic_store(&signals, 0);
    assert_int_equal(dwal_commit(log, &record, NULL, NULL), DWAL_OK);
    assert_int_equal(atomic_load(&signals), 0);
    int fd = event_fd(log);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 5; i++)
            assert_int_equal(dwal_commit(log, &record, NULL, NULL), DWAL_OK);
        wake_expect(fd);
        assert_int_equal(reap(log, done, 16), 0);
    }
    assert_in_range(atomic_load(&signals), 50, 51); /* one at first */
    log_close(log);
}

/* What there is no room for stays, and the descriptor says so. */
static void test_room(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options);
    int fd = event_fd(log);
    struct dwal_completion done[3];
    for (uintptr_t i = 0; i < 8; i++)
        append(log, i);
    assert_int_equal(dwal_wait(log, 8, -1, NULL), DWAL_OK);
    for (uintptr_t i = 0; i < 8; i += 2) {
        wake_expect(fd);
        assert_int_equal(reap(log, NULL, 0), 0);
        assert_true(readable(fd, 0));
        assert_int_equal(reap(log, done, 2), 2);
        assert_int_equal(done[0].context, i);
        assert_int_equal(done[1].context, i + 1);
    }
    rest_expect(log, fd);
    log_close(log);
}

/* ---- several threads ---- */

#define APPENDERS 4
#define APPENDS 400

struct appender {
    pthread_t thread;
    struct dwal *log;
    uintptr_t number;
    _Atomic uint64_t *lsns; /* by context */
};

static void *appender_main(void *argument) {
    struct appender *appender = argument;
    for (uintptr_t i = 0; i < APPENDS; i++) {
        uintptr_t context = appender->number * APPENDS + i;
        struct dwal_error error;
        uint64_t lsn;
        int code;
        while ((code = append_once(appender->log, 1, 60, context, &lsn,
                                   &error)) == DWAL_EAGAIN)
            sched_yield();
        atomic_store(&appender->lsns[context],
                     code == DWAL_OK ? lsn : UINT64_MAX);
    }
    return NULL;
}

struct reaper {
    pthread_t thread;
    struct dwal *log;
    _Atomic unsigned *left;
    _Atomic bool *disordered;
    _Atomic uint64_t *reaped; /* by context: its LSN */
};

/* Each of them sees its own part of the completions in order. */
static void *reaper_main(void *argument) {
    struct reaper *reaper = argument;
    int fd = event_fd(reaper->log);
    struct dwal_completion done[8];
    uint64_t last = 0;
    while (atomic_load(reaper->left) > 0) {
        readable(fd, 20); /* the other one may have taken the last */
        size_t count = reap(reaper->log, done, 8);
        for (size_t i = 0; i < count; i++) {
            uintptr_t context = (uintptr_t)done[i].context;
            uint64_t none = 0;
            if (done[i].lsn <= last || done[i].code != DWAL_OK ||
                !atomic_compare_exchange_strong(&reaper->reaped[context], &none,
                                                done[i].lsn))
                atomic_store(reaper->disordered, true);
            last = done[i].lsn;
        }
        atomic_fetch_sub(reaper->left, (unsigned)count);
    }
    return NULL;
}

static void threads(const char *path, int submit, int reapers) {
    static _Atomic uint64_t lsns[APPENDERS * APPENDS],
        reaped[APPENDERS * APPENDS];
    memset(lsns, 0, sizeof lsns);
    memset(reaped, 0, sizeof reaped);
    struct dwal_options options = options_small(submit);
    struct dwal *log = log_open(path, &options);
    struct appender appenders[APPENDERS];
    struct reaper takers[2];
    _Atomic unsigned left = APPENDERS * APPENDS;
    _Atomic bool disordered = false;
    for (int i = 0; i < reapers; i++) {
        takers[i] = (struct reaper){.log = log,
                                    .left = &left,
                                    .disordered = &disordered,
                                    .reaped = reaped};
        pthread_create(&takers[i].thread, NULL, reaper_main, &takers[i]);
    }
    for (uintptr_t i = 0; i < APPENDERS; i++) {
        appenders[i] = (struct appender){.log = log, .number = i, .lsns = lsns};
        pthread_create(&appenders[i].thread, NULL, appender_main,
                       &appenders[i]);
    }
    for (int i = 0; i < APPENDERS; i++)
        pthread_join(appenders[i].thread, NULL);
    for (int i = 0; i < reapers; i++)
        pthread_join(takers[i].thread, NULL);
    assert_false(atomic_load(&disordered));
    for (int i = 0; i < APPENDERS * APPENDS; i++)
        assert_int_equal(atomic_load(&lsns[i]), atomic_load(&reaped[i]));
    log_close(log);
}

static void test_threads(void **state) {
    char path[4200];
    for (int submit = 0; submit <= 1; submit++)
        for (int reapers = 1; reapers <= 2; reapers++) {
            snprintf(path, sizeof path, "%s/%d%d", (const char *)*state, submit,
                     reapers);
            threads(path, submit, reapers);
        }
}

/* One append, one wake-up: with nothing else going on, a lost one is noticed.
 * Room for one, so that each second reap signals for itself. */
static void test_no_wake_up_lost(void **state) {
    for (int submit = 0; submit <= 1; submit++) {
        struct dwal_options options = options_small(submit);
        struct dwal *log = log_open(*state, &options);
        for (uintptr_t i = 0; i < 1500; i++) {
            append(log, 2 * i);
            append(log, 2 * i + 1);
            reap_expect(log, 2, 2 * i, DWAL_OK);
        }
        log_close(log);
    }
}

/* ---- a loop that does the log's work ---- */

/* Nobody else publishes: then nobody writes to the descriptor but the kernel. */
static void test_alone(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    options.mark_delay_ms = 0;
    for (int sync = DWAL_SYNC_DSYNC; sync <= DWAL_SYNC_FDSYNC; sync++) {
        options.sync = sync;
        struct dwal *log = log_open(*state, &options);
        event_fd(log);
        append(log, 0);
        reap_expect(log, 1, 0, DWAL_OK);
        atomic_store(&signals, 0);
        for (uintptr_t i = 0; i < 50; i++) {
            append(log, i);
            reap_expect(log, 1, i, DWAL_OK);
        }
        /* The keeper tells of segments; the log's thread would of each round. */
        assert_in_range(atomic_load(&signals), 0, 25);
        log_close(log);
    }
}

/* A loop that does not come for a long time is not a disk that hangs. */
static void test_loop_is_late(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    options.io_timeout_ms = wake_ms();
    options.slow_io_ms = 20;
    struct dwal *log = log_open(*state, &options);
    int fd = event_fd(log);
    uint64_t lsn = append(log, 1);
    while (dwal_durable_lsn(log) < lsn)
        sched_yield(); /* the thread comes instead */
    wake_expect(fd);
    reap_expect(log, 1, 1, DWAL_OK);
    /* … and one that was woken, may gather, and never submits. */
    append(log, 2);
    append(log, 3);
    append(log, 4);
    reap_expect(log, 3, 2, DWAL_OK);
    lsn = append(log, 5);
    while (dwal_durable_lsn(log) < lsn)
        sched_yield();
    reap_expect(log, 1, 5, DWAL_OK);
    assert_int_equal(dwal_failure(log, NULL), DWAL_OK);
    log_close(log);
}

/* In a log whose loop, that has the work in hand, is left alone for this long. */
static struct dwal_options options_patient(void) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    options.io_timeout_ms = 4 * wake_ms();
    options.slow_io_ms = 0;
    options.append_timeout_ms = wake_ms();
    options.mark_delay_ms = 0;
    return options;
}

/* Publishes what is held, and returns when nobody has it in hand any more. */
static void held_finish(struct dwal *log) {
    uint64_t sealed = atomic_load(&log->sealed);
    fakeaio_release();
    while (atomic_load(&log->completed) < sealed)
        sched_yield();
    while (atomic_load(&log->role) != 0) /* the wake-up comes before that */
        sched_yield();
}

/* A record becomes durable while the loop reads the descriptor: too early for a
 * wake-up, so the loop has to look behind that. */
static void test_while_reading(void **state) {
    struct dwal_options options = options_patient();
    options.submit = DWAL_SUBMIT_THREAD;
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    struct dwal_completion done[4];
    int fd = event_fd(log);
    append(log, 0);
    reap_expect(log, 1, 0, DWAL_OK);
    rest_expect(log, fd);
    append(log, 1);
    wake_expect(fd); /* it stays readable */
    fakeaio_hold();
    append(log, 2);
    fakeaio_wait_held(1);
    read_log = log;
    behind_reading = held_finish;
    assert_int_equal(reap(log, done, 4), 2);
    assert_int_equal(done[1].context, 2);
    assert_null(behind_reading);
    log_close(log);
}

/* The loop's own thread waits for room, while nobody but the loop would go on
 * with what is in flight. */
static void test_loop_waits(void **state) {
    struct dwal_options options = options_patient();
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    struct dwal_record record = {.data = "x", .size = 1};
    struct dwal_error error;
    int fd = event_fd(log);
    append(log, 0);
    reap_expect(log, 1, 0, DWAL_OK);
    for (int round = 0; round < 20; round++) {
        uint64_t lsn = append(log, 1);
        int64_t begin = dwal__now_ns();
        log_done(dwal_cut(log, lsn - 1, &error), &error);
        assert_true(dwal__now_ns() - begin < wake_ms() * DWAL__NS_PER_MS);
        reap_expect(log, 1, 1, DWAL_OK);
        uintptr_t sent = 0;
        while (append_once(log, 1, 4000, sent, NULL, &error) == DWAL_OK)
            sent++;
        log_done(dwal_append(log, &record, NULL, &error), &error);
        reap_expect(log, sent, 0, DWAL_OK);
        rest_expect(log, fd);
    }
    log_close(log);
}

struct committing {
    struct dwal *log;
    int64_t ns; /* how long it took */
};

static void *committing_main(void *argument) {
    struct committing *committing = argument;
    struct dwal_record record = {.data = "waits", .size = 5};
    int64_t begin = dwal__now_ns();
    assert_int_equal(dwal_commit(committing->log, &record, NULL, NULL),
                     DWAL_OK);
    committing->ns = dwal__now_ns() - begin;
    return NULL;
}

/* Who waits for his record does so no longer because a loop was woken that does
 * not come: behind a batch of the log's thread, too. */
static void test_loop_stays_away(void **state) {
    struct dwal_options options = options_patient();
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    struct dwal_record record = {.data = "x", .size = 1};
    event_fd(log);
    append(log, 0);
    reap_expect(log, 1, 0, DWAL_OK);
    for (int round = 0; round < 20; round++) {
        struct committing committing = {.log = log};
        for (uintptr_t i = 1; i <= 3; i++)
            append(log, i);
        reap_expect(log, 3, 1, DWAL_OK);
        assert_true(atomic_load(&log->deferred_ns) != 0); /* it is to come */
        fakeaio_hold();
        assert_int_equal(dwal_append(log, &record, NULL, NULL), DWAL_OK);
        while (atomic_load(&log->role) == 0) /* it may sleep for the loop */
            dwal__committer_kick(log);
        fakeaio_wait_held(1); /* by the thread */
        uint64_t next = atomic_load(&log->sealed);
        struct dwal__batch *batch = &log->batches[next % DWAL__BATCH_COUNT];
        pthread_t thread;
        pthread_create(&thread, NULL, committing_main, &committing);
        while (atomic_load(&batch->waiters) == 0)
            sched_yield();
        fakeaio_release();
        pthread_join(thread, NULL);
        assert_true(committing.ns < wake_ms() * DWAL__NS_PER_MS);
        rest_expect(log, event_fd(log));
    }
    log_close(log);
}

#define CLIENTS 16
#define ROUNDS 50

/* Whose answers come together, whose next records go together. */
static void test_gathers(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    options.mark_delay_ms = 0;
    options.sync = DWAL_SYNC_DSYNC;
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    event_fd(log);
    uintptr_t sent = 0, got = 0;
    append(log, sent++);
    reap_expect(log, 1, got++, DWAL_OK);
    unsigned before = fakeaio_counts().writes;
    while (got < CLIENTS * ROUNDS) {
        while (sent < got + CLIENTS)
            append(log, sent++);
        struct dwal_completion done[CLIENTS];
        wake_expect(event_fd(log));
        got += reap(log, done, CLIENTS);
    }
    /* The first is alone, the others are one; from then on all are. */
    assert_in_range(fakeaio_counts().writes - before, ROUNDS, ROUNDS + 3);
    log_close(log);
}

struct mixed {
    pthread_t thread;
    struct dwal *log;
    bool waits; /* dwal_commit, or else dwal_append */
    _Atomic bool *stop;
};

static void *mixed_main(void *argument) {
    struct mixed *mixed = argument;
    struct dwal_record record = {.data = "other", .size = 5};
    while (!atomic_load(mixed->stop)) {
        if (mixed->waits)
            dwal_commit(mixed->log, &record, NULL, NULL);
        else
            dwal_append(mixed->log, &record, NULL, NULL);
        sched_yield();
    }
    return NULL;
}

/* The role goes from hand to hand between the loop, callers and the thread; the
 * loop still learns of each of its records. */
static void test_mixed(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open(*state, &options);
    _Atomic bool stop = false;
    struct mixed others[3];
    event_fd(log);
    append(log, 0);
    reap_expect(log, 1, 0, DWAL_OK);
    for (int i = 0; i < 3; i++) {
        others[i] = (struct mixed){.log = log, .waits = i > 0, .stop = &stop};
        pthread_create(&others[i].thread, NULL, mixed_main, &others[i]);
    }
    for (uintptr_t i = 0; i < 1000; i++) {
        append(log, 2 * i);
        append(log, 2 * i + 1);
        reap_expect(log, 2, 2 * i, DWAL_OK);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(others[i].thread, NULL);
    log_close(log);
}

/* ---- failures ---- */

/* The third write fails: what was before is durable, what is behind unknown,
 * each told once, and in order. */
static void failing(const char *path, int submit, bool late_fd) {
    struct dwal_options options = options_small(submit);
    struct dwal *log = log_open_on(fakeaio_new(), path, &options);
    struct dwal_completion done[8];
    struct dwal_error error;
    uint64_t base = append(log, 100);
    reap_expect(log, 1, 100, DWAL_OK);
    int fd = event_fd(log);
    fakeaio_hold();
    fakeaio_fail(FAKEAIO_WRITE, 2, -EIO);
    append(log, 0);
    fakeaio_wait_held(1); /* alone in its batch */
    append(log, 1);
    append(log, 2);
    fakeaio_release();
    wake_expect(fd);
    if (late_fd)
        while (dwal_failure(log, NULL) == DWAL_OK)
            sched_yield();
    size_t count = 0;
    while (count < 3) {
        wake_expect(fd);
        count += reap(log, done + count, 1);
    }
    for (uintptr_t i = 0; i < 3; i++) {
        assert_int_equal(done[i].context, i);
        assert_int_equal(done[i].lsn, base + 1 + i);
        assert_int_equal(done[i].code, i == 0 ? DWAL_OK : DWAL_EFAILED);
    }
    assert_int_equal(dwal_failure(log, &error), DWAL_EFAILED);
    assert_int_equal(error.os_errno, EIO);
    rest_expect(log, fd);
    assert_int_equal(append_once(log, 1, 8, 0, NULL, &error), DWAL_EFAILED);
    close_failed(log);
}

static void test_failure(void **state) {
    for (int i = 0; i < 4; i++)
        failing(*state, i % 2, i / 2 == 1);
}

/* A log that failed, or has news, before the descriptor was asked for. */
static void test_asked_late(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    struct dwal_completion done;
    struct dwal_error error;
    uint64_t lsn;
    while (append_once(log, 1, 8, 1, &lsn, &error) == DWAL_EAGAIN)
        sched_yield();
    assert_int_equal(dwal_wait(log, lsn, -1, NULL), DWAL_OK);
    int fd = event_fd(log);
    assert_true(readable(fd, 0));
    assert_int_equal(reap(log, &done, 1), 1);
    log_close(log);

    log = log_open_on(fakeaio_new(), *state, &options);
    fakeaio_fail(FAKEAIO_WRITE, 1, -EIO);
    struct dwal_record record = {.data = "x", .size = 1};
    assert_int_equal(dwal_commit(log, &record, NULL, NULL), DWAL_EFAILED);
    fd = event_fd(log);
    assert_true(readable(fd, 0));
    assert_int_equal(reap(log, &done, 1), 0);
    close_failed(log);
}

/* ---- a disk that hangs ---- */

/* The loop, which nobody wakes, learns of it by the deadline. */
static void hang_expect(struct dwal *log, uintptr_t context, int64_t begin) {
    struct dwal_error error;
    reap_expect(log, 1, context, DWAL_EFAILED);
    assert_true(dwal__now_ns() - begin >= 200 * DWAL__NS_PER_MS);
    assert_int_equal(dwal_failure(log, &error), DWAL_EFAILED);
    assert_int_equal(error.os_errno, ETIMEDOUT);
}

static void test_event_never_comes(void **state) {
    for (int submit = 0; submit <= 1; submit++) {
        struct dwal_options options = options_small(submit);
        options.io_timeout_ms = 200;
        struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
        append(log, 7);
        reap_expect(log, 1, 7, DWAL_OK);
        fakeaio_hold();
        int64_t begin = dwal__now_ns();
        append(log, 8);
        hang_expect(log, 8, begin);
        fakeaio_release();
        close_failed(log);
    }
}

static _Atomic bool gate_shut;
static struct dwal__aio gated;
static struct dwal__aio_ops gated_ops;

/* A frozen filesystem: io_submit does not return. */
static int gated_submit(struct dwal__aio *aio, long count,
                        struct iocb **iocbs) {
    while (atomic_load(&gate_shut))
        dwal__sleep_ns(DWAL__NS_PER_MS);
    return dwal__aio_kernel.submit(aio, count, iocbs);
}

static void *hanging_append(void *log) {
    append(log, 8);
    return NULL;
}

/* The log's thread is in the kernel, or the loop's own, while another one
 * listens. */
static void test_submission_hangs(void **state) {
    gated_ops = dwal__aio_kernel;
    gated_ops.submit = gated_submit;
    gated.ops = &gated_ops;
    for (int submit = 0; submit <= 1; submit++)
        for (int early = 0; early <= 1; early++) {
            struct dwal_options options = options_small(submit);
            options.io_timeout_ms = 200;
            options.mark_delay_ms = 0; /* it would hang before the append */
            struct dwal *log = log_open_on(&gated, *state, &options);
            struct dwal_error error;
            if (early) /* before the threads are there, or behind them */
                event_fd(log);
            while (append_once(log, 1, 8, 7, NULL, &error) == DWAL_EAGAIN)
                sched_yield();
            reap_expect(log, 1, 7, DWAL_OK);
            atomic_store(&gate_shut, true);
            int64_t begin = dwal__now_ns();
            pthread_t appender;
            pthread_create(&appender, NULL, hanging_append, log);
            hang_expect(log, 8, begin);
            assert_int_equal(dwal_close(log, &error), DWAL_EFAILED);
            assert_non_null(strstr(error.text, "left on its way"));
            atomic_store(&gate_shut, false);
            pthread_join(appender, NULL);
            while (dwal_open(*state, &options, &log, &error) != DWAL_OK)
                sched_yield();
            log_close(log);
        }
}

/* ---- full ---- */

static void test_queue_full(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.append_timeout_ms = wake_ms(); /* of no concern to it */
    struct dwal *log = log_open_on(fakeaio_new(), *state, &options);
    struct dwal_error error;
    append(log, 0);
    reap_expect(log, 1, 0, DWAL_OK);
    fakeaio_hold();
    uintptr_t sent = 0;
    int64_t begin = dwal__now_ns();
    int code;
    while ((code = append_once(log, 1, 4000, sent, NULL, &error)) == DWAL_OK)
        sent++;
    assert_int_equal(code, DWAL_EAGAIN);
    assert_true(dwal__now_ns() - begin < wake_ms() / 2 * DWAL__NS_PER_MS);
    assert_true(sent > 100 && sent < 300);
    fakeaio_release();
    reap_expect(log, sent, 0, DWAL_OK);
    append(log, 0);
    log_close(log);
}

static void test_ring_full(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    options.segment_size = 16 * MIB;
    struct dwal *log = log_open(*state, &options);
    int fd = event_fd(log);
    struct dwal_error error;
    for (uintptr_t i = 0; i < DWAL_COMPLETIONS_MAX; i++)
        append(log, i);
    assert_int_equal(append_once(log, 1, 8, 0, NULL, &error), DWAL_EAGAIN);
    assert_non_null(strstr(error.text, "reap them"));
    uint64_t last = DWAL_COMPLETIONS_MAX;
    assert_int_equal(dwal_wait(log, last, -1, NULL), DWAL_OK);
    assert_int_equal(dwal_wait(log, last + 1, 0, NULL), DWAL_EINVAL);
    reap_expect(log, 10, 0, DWAL_OK);
    for (uintptr_t i = 0; i < 10; i++) /* around the end */
        append(log, DWAL_COMPLETIONS_MAX + i);
    assert_int_equal(append_once(log, 1, 8, 0, NULL, &error), DWAL_EAGAIN);
    reap_expect(log, DWAL_COMPLETIONS_MAX, 10, DWAL_OK);
    rest_expect(log, fd);
    log_close(log);
}

/* No next segment can be made: said at once, and over once there is one. */
static void test_no_segment(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options);
    int fd = event_fd(log);
    struct dwal_completion done[16];
    struct dwal_error error;
    struct rlimit before, none;
    append(log, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    /* Below all numbers that are in use, or a segment that is left, and closed,
     * would make room for the next one. */
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int code;
    while ((code = append_once(log, 1, 4000, 0, NULL, &error)) == DWAL_OK ||
           code == DWAL_EAGAIN) {
        wake_expect(fd);
        reap(log, done, 16);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(code, DWAL_ENOSPC);
    assert_int_equal(error.os_errno, EMFILE);
    while ((code = append_once(log, 1, 4000, 0, NULL, &error)) != DWAL_OK) {
        assert_true(code == DWAL_ENOSPC || code == DWAL_EAGAIN);
        wake_expect(fd); /* it was tried once more */
        reap(log, done, 16);
    }
    log_close(log);
}

/* ---- the ends of the log, and of the handle ---- */

static void test_cut(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options);
    struct dwal_completion done[8];
    for (uintptr_t i = 0; i < 4; i++)
        append(log, i);
    assert_int_equal(dwal_cut(log, 2, NULL), DWAL_OK);
    assert_int_equal(append(log, 4), 3); /* once more */
    assert_int_equal(dwal_reset(log, 50, NULL), DWAL_OK);
    assert_int_equal(append(log, 5), 50);
    assert_int_equal(dwal_wait(log, 50, -1, NULL), DWAL_OK);
    static const uint64_t lsns[] = {1, 2, 3, 4, 3, 50};
    assert_int_equal(reap(log, done, 8), 6);
    for (uintptr_t i = 0; i < 6; i++) {
        assert_int_equal(done[i].context, i);
        assert_int_equal(done[i].lsn, lsns[i]);
        assert_int_equal(done[i].code, DWAL_OK);
    }
    log_close(log);
}

/* What was not reaped is durable all the same. */
static void test_close(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_CALLER);
    struct dwal *log = log_open(*state, &options);
    int fd = event_fd(log);
    for (uintptr_t i = 0; i < 20; i++)
        append(log, i);
    log_close(log);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    log = log_open(*state, &options);
    assert_int_equal(dwal_durable_lsn(log), 20);
    /* Asked for, and never used. */
    event_fd(log);
    log_close(log);
}

static int child_run(struct dwal *log, int fd) {
    struct dwal_completion done;
    struct dwal_error error;
    size_t count;
    int copy;
    if (dwal_event_fd(log, &copy, &error) != DWAL_EINVAL ||
        dwal_reap(log, &done, 1, &count, &error) != DWAL_EINVAL ||
        append_once(log, 1, 8, 0, NULL, &error) != DWAL_EINVAL ||
        dwal_close(log, &error) != DWAL_EINVAL || fcntl(fd, F_GETFD) != -1)
        return 1;
    return 0;
}

static void test_fork(void **state) {
    struct dwal_options options = options_small(DWAL_SUBMIT_THREAD);
    struct dwal *log = log_open(*state, &options);
    int fd = event_fd(log);
    append(log, 1);
    assert_int_equal(dwal_wait(log, 1, -1, NULL), DWAL_OK);
    pid_t child = fork();
    if (child == 0)
        _exit(child_run(log, fd));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    reap_expect(log, 1, 1, DWAL_OK);
    append(log, 2);
    reap_expect(log, 1, 2, DWAL_OK);
    log_close(log);
}

#define UNIT(test)                                                             \
    cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void) {
    tempdir_use_memory();
    const struct CMUnitTest tests[] = {
        UNIT(test_order),
        UNIT(test_polling),
        UNIT(test_arguments),
        UNIT(test_signals),
        UNIT(test_room),
        UNIT(test_threads),
        UNIT(test_no_wake_up_lost),
        UNIT(test_alone),
        UNIT(test_loop_is_late),
        UNIT(test_while_reading),
        UNIT(test_loop_waits),
        UNIT(test_loop_stays_away),
        UNIT(test_gathers),
        UNIT(test_mixed),
        UNIT(test_failure),
        UNIT(test_asked_late),
        UNIT(test_event_never_comes),
        UNIT(test_submission_hangs),
        UNIT(test_queue_full),
        UNIT(test_ring_full),
        UNIT(test_no_segment),
        UNIT(test_cut),
        UNIT(test_close),
        UNIT(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
