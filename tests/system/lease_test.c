/* SPDX-License-Identifier: MIT */
/*
 * Leases, on real files: held in this process, in others that are stopped and
 * killed, with and without a writer; against trims, cuts and resets; and under
 * load, where no record from a lease on may be missing until the lease moves.
 *
 * Started with --hold or --read it is the other process.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/log.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define SEGMENT (64u << 10)

/* ---- a log ---- */

static _Atomic unsigned notices;

static void told(void *argument, int level, const char *text) {
    (void)argument, (void)level;
    if (strstr(text, "a lease holds back a trim") != NULL)
        atomic_fetch_add(&notices, 1);
}

static struct dwal *small_open(const char *path) {
    struct dwal_options options = log_options(SEGMENT);
    options.log = told;
    return log_open(path, &options);
}

/* Records up to @last; each its LSN, in a segment of its own if @apart. */
static void fill(struct dwal *log, uint64_t last, bool apart) {
    struct dwal_error error;
    for (uint64_t lsn = dwal_durable_lsn(log) + 1; lsn <= last; lsn++) {
        struct dwal_record record = {.data = &lsn, .size = sizeof lsn};
        uint64_t got;
        log_done(dwal_commit(log, &record, &got, &error), &error);
        assert_int_equal(got, lsn);
        if (apart)
            log_done(dwal_rotate(log, &error), &error);
    }
}

static void trim(struct dwal *log, uint64_t lsn, uint64_t first) {
    struct dwal_error error;
    log_done(dwal_trim(log, lsn, &error), &error);
    assert_int_equal(dwal_first_lsn(log), first);
}

/* All records from @first to @last are there. */
static void readable(const char *path, uint64_t first, uint64_t last) {
    struct dwal_cursor_options options;
    struct dwal_cursor *cursor;
    struct dwal_record record;
    struct dwal_error error;
    dwal_cursor_options_init(&options);
    options.start_lsn = first;
    log_done(dwal_cursor_open(path, &options, &cursor, &error), &error);
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        log_done(dwal_cursor_next(cursor, &record, &error), &error);
        assert_int_equal(record.lsn, lsn);
    }
    dwal_cursor_close(cursor);
}

static struct dwal_lease *lease_open(const char *path, uint64_t lsn,
                                     uint64_t expected) {
    struct dwal_lease *lease;
    struct dwal_error error;
    log_done(dwal_lease_open(path, lsn, &lease, &error), &error);
    assert_int_equal(dwal_lease_lsn(lease), expected);
    return lease;
}

static void lease_refused(const char *path, uint64_t lsn, int code) {
    struct dwal_lease *lease = NULL;
    struct dwal_error error;
    assert_int_equal(dwal_lease_open(path, lsn, &lease, &error), code);
    assert_null(lease);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, path));
}

static void stats_expect(struct dwal *log, uint64_t leases, uint64_t lowest,
                         uint64_t wanted) {
    struct dwal_stats stats = {.size = sizeof stats};
    log_done(dwal_stats_get(log, &stats, NULL), NULL);
    assert_int_equal(stats.leases, leases);
    assert_int_equal(stats.lease_lsn, lowest);
    assert_int_equal(stats.trim_wanted_lsn, wanted);
}

/* ---- another process ---- */

struct other {
    pid_t pid;
    int in, out; /* ours */
};

static int numbers_write(int fd, int64_t number) {
    return write(fd, &number, sizeof number) == sizeof number ? 0 : 1;
}

/* Numbers in: where to move the lease. Numbers out: where it is, or a code. */
static int hold_main(const char *path, uint64_t lsn) {
    static struct dwal_lease *lease; /* not closed, and no leak */
    int code = dwal_lease_open(path, lsn, &lease, NULL);
    if (code != DWAL_OK)
        return numbers_write(1, code);
    int64_t number = (int64_t)dwal_lease_lsn(lease);
    do {
        if (numbers_write(1, number) != 0)
            return 1;
        if (read(0, &number, sizeof number) != sizeof number)
            return 0; /* without dwal_lease_close */
        code = dwal_lease_move(lease, (uint64_t)number, NULL);
        number = code == DWAL_OK ? (int64_t)dwal_lease_lsn(lease) : code;
    } while (true);
}

static struct other other_start(const char *what, const char *path,
                                uint64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    int in[2], out[2];
    struct other other;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    other.pid = fork();
    assert_true(other.pid >= 0);
    if (other.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl("/proc/self/exe", "lease_test", what, path, text, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    other.in = out[0];
    other.out = in[1];
    return other;
}

static int64_t other_says(const struct other *other) {
    int64_t number = 0;
    assert_int_equal(read(other->in, &number, sizeof number), sizeof number);
    return number;
}

static struct other holder(const char *path, uint64_t lsn) {
    return other_start("--hold", path, lsn);
}

/* What it ended with: the exit code, or 128 and the signal. */
static int other_end(const struct other *other) {
    int status;
    close(other->out);
    assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
    close(other->in);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int other_kill(const struct other *other) {
    kill(other->pid, SIGKILL);
    return other_end(other);
}

/* ---- what a lease is ---- */

static void test_arguments(void **state) {
    const char *path = *state;
    char lower[4096];
    struct dwal_lease *lease = NULL;
    struct dwal_error error;
    snprintf(lower, sizeof lower, "%s/none", path);
    assert_int_equal(dwal_lease_open(NULL, 1, &lease, &error), DWAL_EINVAL);
    assert_int_equal(dwal_lease_open(path, 1, NULL, &error), DWAL_EINVAL);
    assert_int_equal(dwal_lease_open(path, UINT64_MAX, &lease, NULL),
                     DWAL_EINVAL);
    assert_int_equal(dwal_lease_move(NULL, 1, &error), DWAL_EINVAL);
    assert_int_equal(dwal_lease_lsn(NULL), 0);
    dwal_lease_close(NULL);
    lease_refused(lower, 1, DWAL_ENOENT);
    lease_refused(path, 0, DWAL_ENOENT); /* a directory without a log */
    snprintf(lower, sizeof lower, "%s/LOCK", path);
    mkdir(lower, 0777);
    lease_refused(path, 1, DWAL_EIO);
    rmdir(lower);
    struct dwal *log = small_open(path);
    lease = lease_open(path, 0, 1); /* of an empty log */
    fill(log, 20, false);
    log_done(dwal_lease_move(lease, 1, &error), &error);
    log_done(dwal_lease_move(lease, 7, &error), &error);
    assert_int_equal(dwal_lease_move(lease, 6, &error), DWAL_EINVAL);
    assert_int_equal(dwal_lease_move(lease, UINT64_MAX, &error), DWAL_EINVAL);
    assert_int_equal(dwal_lease_lsn(lease), 7);
    log_done(dwal_lease_move(lease, 1000, &error), &error); /* to come */
    trim(log, 15, 15);
    stats_expect(log, 1, 1000, 0);
    dwal_lease_close(lease);
    lease = lease_open(path, INT64_MAX, INT64_MAX);
    stats_expect(log, 1, INT64_MAX, 0);
    dwal_lease_close(lease);
    lease_refused(path, 14, DWAL_ETRIMMED);
    dwal_lease_close(lease_open(path, 0, 15));
    dwal_lease_close(lease_open(path, 15, 15));
    log_close(log);
}

/* A trim goes as far as the lowest lease; what is left is told once, and done
 * by the next trim. */
static void test_holds(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    fill(log, 30, true);
    atomic_store(&notices, 0);
    struct dwal_lease *low = lease_open(*state, 10, 10);
    struct dwal_lease *same = lease_open(*state, 10, 10);
    struct dwal_lease *high = lease_open(*state, 20, 20);
    trim(log, 5, 5);
    assert_int_equal(atomic_load(&notices), 0);
    trim(log, 25, 10);
    trim(log, 25, 10);
    assert_int_equal(atomic_load(&notices), 1);
    stats_expect(log, 2, 10, 25);
    readable(*state, 10, 30);
    dwal_lease_close(low); /* of two at one place */
    trim(log, 25, 10);
    dwal_lease_close(same);
    stats_expect(log, 1, 20, 25);
    /* Less than is wanted, and not held: unless the log's own thread, started by
     * the first trim that was held, has come so late that it got further. */
    log_done(dwal_trim(log, 12, &error), &error);
    assert_true(dwal_first_lsn(log) == 12 || dwal_first_lsn(log) == 20);
    stats_expect(log, 1, 20, 25);
    trim(log, 25, 20);
    log_done(dwal_lease_move(high, 22, &error), &error);
    trim(log, 25, 22);
    dwal_lease_close(high);
    trim(log, 25, 25);
    stats_expect(log, 0, 0, 0);
    lease_refused(*state, 24, DWAL_ETRIMMED);
    readable(*state, 25, 30);
    high = lease_open(*state, 0, 25);
    trim(log, 31, 25);
    assert_int_equal(atomic_load(&notices), 2); /* another time */
    dwal_lease_close(high);
    log_close(log);
}

/* Or when a segment is left, without another trim. */
static void test_rest_is_done(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    fill(log, 10, true);
    struct dwal_lease *lease = lease_open(*state, 3, 3);
    trim(log, 8, 3);
    fill(log, 12, true);
    assert_int_equal(dwal_first_lsn(log), 3);
    log_done(dwal_lease_move(lease, 6, &error), &error);
    for (uint64_t last = 13; dwal_first_lsn(log) < 6 && last < 2000; last++)
        fill(log, last, true);
    assert_int_equal(dwal_first_lsn(log), 6);
    dwal_lease_close(lease);
    uint64_t from = dwal_durable_lsn(log);
    for (uint64_t last = from + 1;
         dwal_first_lsn(log) < 8 && last < from + 2000; last++)
        fill(log, last, true);
    assert_int_equal(dwal_first_lsn(log), 8); /* no more than was asked for */
    log_close(log);
}

/* What a trim claimed and did not get is given back, once no other trim may
 * rely on it. */
static void test_refused_trim(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    uint64_t granted;
    fill(log, 30, false);
    trim(log, 5, 5);
    log_done(dwal__lease_claim(log, 20, &granted, &error), &error);
    assert_int_equal(granted, 20);
    lease_refused(*state, 19, DWAL_ETRIMMED);
    dwal_lease_close(lease_open(*state, 0, 20)); /* as good as trimmed */
    log_done(dwal__lease_claim(log, 25, &granted, &error), &error);
    dwal__lease_claimed(log, true);
    lease_refused(*state, 19, DWAL_ETRIMMED);
    dwal__lease_claimed(log, false);
    struct dwal_lease *lease = lease_open(*state, 0, 5);
    trim(log, 25, 5);
    dwal_lease_close(lease);
    log_close(log);
}

/* ---- other processes ---- */

static void test_processes(void **state) {
    struct dwal *log = small_open(*state);
    fill(log, 30, true);
    struct other low = holder(*state, 10), high = holder(*state, 20);
    assert_int_equal(other_says(&low), 10);
    assert_int_equal(other_says(&high), 20);
    trim(log, 25, 10);
    stats_expect(log, 2, 10, 25);
    assert_int_equal(numbers_write(low.out, 15), 0);
    assert_int_equal(other_says(&low), 15);
    trim(log, 25, 15);
    /* One that is stopped stops trims, and nothing else. */
    kill(low.pid, SIGSTOP);
    fill(log, 40, true);
    trim(log, 25, 15);
    readable(*state, 15, 40);
    /* One that is killed gives back what it had, stopped or not. */
    assert_int_equal(other_kill(&low), 128 + SIGKILL);
    trim(log, 25, 20);
    assert_int_equal(other_end(&high), 0); /* and so does one that ends */
    trim(log, 25, 25);
    struct other late = holder(*state, 24);
    assert_int_equal(other_says(&late), DWAL_ETRIMMED);
    assert_int_equal(other_end(&late), 0);
    late = holder(*state, 0);
    assert_int_equal(other_says(&late), 25);
    assert_int_equal(other_end(&late), 0);
    log_close(log);
}

/* In a child a lease is its parent's: it can neither move nor end it, and does
 * not keep it. */
static void test_fork(void **state) {
    struct dwal *log = small_open(*state);
    fill(log, 20, false);
    struct dwal_lease *lease = lease_open(*state, 5, 5);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(ends[1]);
        int code = dwal_lease_move(lease, 7, NULL);
        dwal_lease_close(lease);
        while (read(ends[0], &byte, 1) == 1)
            ;
        _exit(code == DWAL_EINVAL ? 0 : 1);
    }
    close(ends[0]);
    trim(log, 10, 5);
    dwal_lease_close(lease);
    trim(log, 10, 10); /* the child is still there, with a copy */
    int status;
    close(ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    log_close(log);
}

/* Who may only read the log takes a lease as well. */
static void test_read_only(void **state) {
    if (geteuid() != 0)
        skip();
    struct dwal *log = small_open(*state);
    fill(log, 20, false);
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(chmod(*state, 0555), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct dwal_lease *lease;
        if (setgid(65534) != 0 || setuid(65534) != 0 ||
            access(*state, W_OK) == 0 ||
            dwal_lease_open(*state, 5, &lease, NULL) != DWAL_OK ||
            write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    trim(log, 10, 5);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ends[0]);
    trim(log, 10, 10);
    log_close(log);
}

/* A lease from a time without a writer, and a log that was opened again. */
static void test_no_writer(void **state) {
    struct dwal *log = small_open(*state);
    fill(log, 20, true);
    trim(log, 8, 8);
    log_close(log);
    lease_refused(*state, 7, DWAL_ETRIMMED);
    struct dwal_lease *first = lease_open(*state, 0, 8);
    struct dwal_lease *lease = lease_open(*state, 12, 12);
    dwal_lease_close(first);
    log = small_open(*state);
    lease_refused(*state, 7, DWAL_ETRIMMED);
    trim(log, 18, 12);
    log_close(log);
    log = small_open(*state); /* does not remember what was wanted */
    stats_expect(log, 1, 12, 0);
    fill(log, 25, true);
    readable(*state, 12, 25);
    dwal_lease_close(lease);
    trim(log, 18, 18);
    log_close(log);
}

/* A writer that dies between the claim and the trim. */
static void test_writer_killed(void **state) {
    struct dwal *log = small_open(*state);
    fill(log, 20, false);
    log_close(log);
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct dwal_options options = log_options(SEGMENT);
        uint64_t granted;
        if (dwal_open(*state, &options, &log, NULL) != DWAL_OK ||
            dwal__lease_claim(log, 15, &granted, NULL) != DWAL_OK ||
            write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    lease_refused(*state, 10, DWAL_ETRIMMED);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ends[0]);
    close(ends[1]);
    struct dwal_lease *lease = lease_open(*state, 10, 10);
    log = small_open(*state);
    trim(log, 15, 10);
    dwal_lease_close(lease);
    log_close(log);
}

/* Locks are not part of a log: a copy has none. */
static void test_copy(void **state) {
    char command[9000], path[4096], copy[4096];
    snprintf(path, sizeof path, "%s/log", (char *)*state);
    snprintf(copy, sizeof copy, "%s/copy", (char *)*state);
    struct dwal *log = small_open(path);
    fill(log, 20, false);
    log_close(log);
    struct dwal_lease *lease = lease_open(path, 10, 10);
    snprintf(command, sizeof command, "cp -a %s %s", path, copy);
    assert_int_equal(system(command), 0);
    log = small_open(copy);
    trim(log, 15, 15);
    log_close(log);
    dwal_lease_close(lease);
}

/* ---- cuts and resets ---- */

/* A cut takes back what was wanted of the records that it drops, and does not
 * ask leases. */
static void test_cut(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    fill(log, 30, true);
    struct dwal_lease *lease = lease_open(*state, 5, 5);
    struct dwal_lease *above = lease_open(*state, 25, 25);
    trim(log, 20, 5);
    stats_expect(log, 2, 5, 20);
    log_done(dwal_cut(log, 9, &error), &error);
    stats_expect(log, 2, 5, 10);
    fill(log, 40, true); /* 10 to 40, anew */
    dwal_lease_close(lease);
    for (uint64_t last = 41; dwal_first_lsn(log) < 10 && last < 2000; last++)
        fill(log, last, true);
    assert_int_equal(dwal_first_lsn(log), 10); /* and not 20 */
    trim(log, 30, 25);
    dwal_lease_close(above);
    log_close(log);
}

static void test_reset(void **state) {
    struct dwal_error error;
    struct dwal *log = small_open(*state);
    fill(log, 30, true);
    struct dwal_lease *lease = lease_open(*state, 5, 5);
    trim(log, 20, 5);
    log_done(dwal_reset(log, 100, &error), &error);
    stats_expect(log, 0, 0, 0); /* it holds nothing that is there */
    fill(log, 120, true);
    trim(log, 110, 110);
    assert_int_equal(dwal_lease_move(lease, 105, &error), DWAL_ETRIMMED);
    assert_int_equal(dwal_lease_lsn(lease), 5);
    log_done(dwal_lease_move(lease, 115, &error), &error);
    trim(log, 119, 115);
    readable(*state, 115, 120);
    dwal_lease_close(lease);
    log_close(log);
}

/* ---- at once ---- */

#define THREADS 4
#define LEASES 400

struct crowd {
    const char *path;
    struct dwal *log;
    _Atomic unsigned busy, seeds;
    _Atomic uint64_t taken;
    uint64_t seed;
};

/* While a lease is held the log begins at or before it, whatever is trimmed. */
static void *crowd_main(void *argument) {
    static char behind[] = "trimmed behind a lease", failed[] = "no lease";
    struct crowd *crowd = argument;
    uint64_t random = crowd->seed + atomic_fetch_add(&crowd->seeds, 1);
    char *result = NULL;
    for (int i = 0; i < LEASES && result == NULL; i++) {
        struct dwal_lease *lease;
        uint64_t lsn = dwal_first_lsn(crowd->log) + check_random(&random) % 3;
        int code =
            dwal_lease_open(crowd->path, i % 8 == 0 ? 0 : lsn, &lease, NULL);
        if (code == DWAL_ETRIMMED)
            continue;
        if (code != DWAL_OK) {
            result = failed;
            break;
        }
        atomic_fetch_add(&crowd->taken, 1);
        for (int moves = 0; moves < 3; moves++) {
            for (int looks = 0; looks < 50; looks++)
                if (dwal_first_lsn(crowd->log) > dwal_lease_lsn(lease))
                    result = behind;
            if (dwal_lease_move(lease, dwal_lease_lsn(lease) + 1, NULL) != 0)
                result = failed;
        }
        dwal_lease_close(lease);
    }
    atomic_fetch_sub(&crowd->busy, 1);
    return result;
}

static void test_threads(void **state) {
    struct crowd crowd = {
        .path = *state, .busy = THREADS, .seed = check_seed(1)};
    pthread_t threads[THREADS];
    crowd.log = small_open(*state);
    fill(crowd.log, 10, false);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, crowd_main, &crowd);
    struct dwal_error error;
    do {
        uint64_t next = dwal_durable_lsn(crowd.log) + 1;
        /* The more there is, the longer it takes to look where it begins. */
        if (next - dwal_first_lsn(crowd.log) < 50)
            fill(crowd.log, next + 1, next % 16 == 0);
        log_done(dwal_trim(crowd.log, next - 4, &error), &error);
    } while (atomic_load(&crowd.busy) > 0);
    for (int i = 0; i < THREADS; i++) {
        void *failure;
        pthread_join(threads[i], &failure);
        check_that(failure == NULL, "%s", (char *)failure);
    }
    assert_true(atomic_load(&crowd.taken) > 0);
    trim(crowd.log, dwal_durable_lsn(crowd.log) + 1,
         dwal_durable_lsn(crowd.log) + 1);
    log_close(crowd.log);
}

#define READERS 2
#define READER_ROUNDS 200
/* As far as the slowest lease may be behind the writer. */
#define BEHIND_MAX 2000

/* Another process: takes leases at random, and reads from there, again and
 * again; what it has seen once stays until it moves on. 0, or what is wrong. */
static int reader_round(const char *path, uint64_t *random, uint64_t *seen) {
    struct dwal_lease *lease;
    struct dwal_cursor *cursor;
    struct dwal_record record;
    struct dwal_cursor_options options;
    struct dwal_error error;
    uint64_t at = *seen > 0 && check_random(random) % 2 == 0 ? *seen : 0;
    int code = dwal_lease_open(path, at, &lease, &error);
    if (code == DWAL_ETRIMMED) /* meanwhile */
        code = dwal_lease_open(path, 0, &lease, &error);
    if (code != DWAL_OK)
        return fprintf(stderr, "lease: %s\n", error.text);
    dwal_cursor_options_init(&options);
    options.start_lsn = dwal_lease_lsn(lease);
    code = dwal_cursor_open(path, &options, &cursor, &error);
    for (unsigned i = 0; code == DWAL_OK && i < 8; i++) {
        uint64_t next = dwal_lease_lsn(lease);
        code = dwal_cursor_seek(cursor, next, &error);
        unsigned count = (unsigned)(check_random(random) % 200);
        while (code == DWAL_OK && count-- > 0 &&
               (code = dwal_cursor_next(cursor, &record, &error)) == DWAL_OK) {
            uint64_t lsn;
            memcpy(&lsn, record.data, sizeof lsn);
            if (record.lsn != next || lsn != next)
                return fprintf(stderr, "LSN %llu instead of %llu\n",
                               (unsigned long long)record.lsn,
                               (unsigned long long)next);
            *seen = next++;
        }
        if (code == DWAL_END)
            code = DWAL_OK;
        if (code == DWAL_OK && i % 2 == 1)
            code = dwal_lease_move(
                lease, dwal_lease_lsn(lease) + check_random(random) % 50,
                &error);
    }
    if (code != DWAL_OK)
        return fprintf(stderr, "%d: %s\n", code, error.text);
    dwal_cursor_close(cursor);
    dwal_lease_close(lease);
    return 0;
}

static int read_main(const char *path, uint64_t seed) {
    uint64_t random = seed, seen = 0;
    for (int i = 0; i < READER_ROUNDS; i++)
        if (reader_round(path, &random, &seen) != 0)
            return 1;
    return 0;
}

/* A writer at full speed, which trims nearly all that it has written. */
static void test_readers(void **state) {
    struct dwal *log = small_open(*state);
    struct other readers[READERS];
    struct dwal_error error;
    uint64_t seed = check_seed(1), rounds = 0;
    fill(log, 10, false);
    for (unsigned i = 0; i < READERS; i++)
        readers[i] = other_start("--read", *state, seed * 1000 + i);
    for (unsigned left = READERS; left > 0; rounds++) {
        uint64_t last = dwal_durable_lsn(log), lsn = last;
        uint64_t more = last - dwal_first_lsn(log) < BEHIND_MAX ? 100 : 0;
        for (uint64_t next = last + 1; next <= last + more; next++) {
            uint64_t bytes[32] = {next};
            struct dwal_record record = {.data = bytes, .size = sizeof bytes};
            log_done(dwal_append(log, &record, &lsn, &error), &error);
            assert_int_equal(lsn, next);
        }
        log_done(dwal_wait(log, lsn, -1, &error), &error);
        log_done(dwal_trim(log, lsn > 60 ? lsn - 60 : 1, &error), &error);
        siginfo_t ended = {0};
        waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT);
        for (unsigned i = 0; i < READERS; i++)
            if (ended.si_pid == readers[i].pid && ended.si_pid != 0) {
                assert_int_equal(other_end(&readers[i]), 0);
                left--;
            }
    }
    print_message("%llu records written, the log begins with %llu\n",
                  (unsigned long long)dwal_durable_lsn(log),
                  (unsigned long long)dwal_first_lsn(log));
    assert_true(tempdir_count(*state, ".wal") < 40);
    log_close(log);
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--hold") == 0)
        return hold_main(argv[2], strtoull(argv[3], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "--read") == 0)
        return read_main(argv[2], strtoull(argv[3], NULL, 10));
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(test_##name, tempdir_setup,                \
                                    tempdir_teardown)
    tempdir_use_memory();
    const struct CMUnitTest tests[] = {
        TEST(arguments),    TEST(holds),     TEST(rest_is_done),
        TEST(refused_trim), TEST(processes), TEST(fork),
        TEST(read_only),    TEST(no_writer), TEST(writer_killed),
        TEST(copy),         TEST(cut),       TEST(reset),
        TEST(threads),      TEST(readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
