/* SPDX-License-Identifier: MIT */
/*
 * The error table (sweep.def, SPEC 16), proved: a life of a log is lived again
 * and again, and each time another call of another function comes to another
 * end. After each life: what was acknowledged is there, what was refused is
 * not, nothing was acknowledged after a failure, everybody came back in time,
 * no memory, mapping or descriptor is left, each error says where, and the
 * next life can go on.
 *
 * DWAL_SWEEP=all strikes every call; otherwise those that take long (late,
 * never) are thinned out. DWAL_SWEEP_ONLY="file: write" is for one function.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "src/dwal.h"
#include "tests/support/check.h"
#include "tests/support/sweep.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define ATTEMPTS_MAX 64
#define IO_TIMEOUT_MS 60
#define RUN_SECONDS_MAX 30

/* ---- the table ---- */

enum effect {
    NOTHING, /* every call succeeds, as if nothing had happened */
    REFUSES, /* some calls are refused, and the log goes on */
    FAILS,   /* the log has failed */
    HELD     /* … and keeps the lock until what never ended does */
};

struct row {
    enum sweep_function function;
    uint32_t outcomes;
    enum effect effect;
    uint32_t open_codes;
    uint32_t call_codes;
};

#define O(name) | 1u << SWEEP_##name##_
#define C(name) | 1u << -DWAL_##name
#define NONE | 0u
#define ROW(function, outcomes, effect, open_codes, call_codes)                \
    {SWEEP_##function, 0u outcomes, effect, 0u open_codes, 0u call_codes},

static const struct row rows[] = {
#include "sweep.def"
};

#undef ROW
#undef NONE
#undef C
#undef O

#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* ---- what was tried ---- */

enum standing { REFUSED, UNKNOWN, ACKNOWLEDGED, DROPPED };

/* One call that carries records: those with the ids from @id on. */
struct attempt {
    uint32_t id;
    uint32_t count;
    uint64_t lsn; /* 0: it got none */
    uint32_t size;
    enum standing standing;
};

struct life {
    const struct row *row;
    struct sweep_plan plan;
    const char *path;
    int submit, sync;
    struct attempt attempts[ATTEMPTS_MAX];
    unsigned attempt_count;
    uint32_t ids;
    uint64_t trimmed;      /* records below it may be gone */
    uint64_t meta_asked;   /* number of the metadata that was last set … */
    uint64_t meta_done;    /* … and acknowledged */
    bool failed;           /* a call of this session said DWAL_EFAILED */
    bool left;             /* dwal_close said that I/O was left */
    _Atomic unsigned told; /* slow operations, by the log callback */
};

static char now_running[256]; /* for the watchdog */

static void watchdog(int number) {
    (void)number;
    static const char text[] = "hangs: ";
    (void)!write(2, text, sizeof text - 1);
    (void)!write(2, now_running, strlen(now_running));
    (void)!write(2, "\n", 1);
    abort();
}

#define life_check(life, condition, ...)                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            print_error("%s:\n  ", now_running);                               \
            print_error(__VA_ARGS__);                                          \
            print_error("\n");                                                 \
            fail_msg("%s", #condition);                                        \
        }                                                                      \
    } while (0)

static bool slow_outcome(enum sweep_outcome outcome) {
    return outcome == SWEEP_LATE_ || outcome == SWEEP_NEVER_;
}

static void told(void *argument, int level, const char *text) {
    struct life *life = argument;
    (void)level;
    if (strstr(text, " for ") != NULL && strstr(text, " ms") != NULL)
        atomic_fetch_add(&life->told, 1);
}

static struct dwal_options options_make(struct life *life) {
    struct dwal_options options = log_options(64 << 10);
    options.submit = life->submit;
    options.sync = life->sync;
    options.log = told;
    options.log_argument = life;
    if (slow_outcome(life->plan.outcome))
        options.slow_io_ms = 5;
    if (life->plan.outcome == SWEEP_NEVER_)
        options.io_timeout_ms = IO_TIMEOUT_MS;
    return options;
}

/* ---- what a call may say ---- */

static void error_check(struct life *life, int code,
                        const struct dwal_error *error) {
    size_t size = strnlen(error->text, sizeof error->text);
    life_check(life, error->code == code, "code %d, error.code %d: %s", code,
               error->code, error->text);
    life_check(life,
               size > 0 && size < sizeof error->text &&
                   strchr(error->text, '\n') == NULL,
               "no line: %s", error->text);
    life_check(life, strstr(error->text, life->path) != NULL, "no place: %s",
               error->text);
    if (code == DWAL_EFAILED)
        life_check(life,
                   strstr(error->text, "open it") != NULL ||
                       strstr(error->text, "until it ends") != NULL,
                   "no remedy: %s", error->text);
    if (code == DWAL_ENOSPC)
        life_check(life,
                   strstr(error->text, "free") != NULL ||
                       strstr(error->text, "limit") != NULL,
                   "no remedy: %s", error->text);
}

static bool allowed(uint32_t codes, int code) {
    return (codes >> -code & 1) != 0;
}

/* Judges one call after dwal_open. */
static void call_check(struct life *life, const char *call, int code,
                       const struct dwal_error *error) {
    if (code == DWAL_OK) {
        life_check(life, !life->failed, "%s succeeds after a failure", call);
        return;
    }
    life_check(life, allowed(life->row->call_codes, code), "%s says %d: %s",
               call, code, error->text);
    error_check(life, code, error);
    if (life->failed)
        life_check(life, code == DWAL_EFAILED, "%s after a failure: %d", call,
                   code);
    if (code == DWAL_EFAILED)
        life->failed = true;
}

/* ---- calls ---- */

static uint8_t payload_byte(uint32_t id, uint32_t at) {
    return (uint8_t)(id * 131 + at * 7 + (at >> 8));
}

static void payload_fill(uint8_t *bytes, uint32_t id, uint32_t size) {
    memcpy(bytes, &id, sizeof id);
    for (uint32_t i = sizeof id; i < size; i++)
        bytes[i] = payload_byte(id, i);
}

static struct attempt *attempt_new(struct life *life, uint32_t count,
                                   uint32_t size) {
    struct attempt *attempt = &life->attempts[life->attempt_count++];
    assert_true(life->attempt_count <= ATTEMPTS_MAX);
    *attempt =
        (struct attempt){.id = life->ids + 1, .count = count, .size = size};
    life->ids += count;
    return attempt;
}

static void step_commit(struct life *life, struct dwal *log, uint32_t size) {
    static uint8_t bytes[32 << 10];
    struct dwal_error error;
    struct attempt *attempt = attempt_new(life, 1, size);
    payload_fill(bytes, attempt->id, size);
    struct dwal_record record = {.data = bytes, .size = size, .type = 5};
    int code = dwal_commit(log, &record, &attempt->lsn, &error);
    call_check(life, "dwal_commit", code, &error);
    if (code == DWAL_OK)
        attempt->standing = ACKNOWLEDGED;
    else if (code == DWAL_EFAILED && attempt->lsn != 0)
        attempt->standing = UNKNOWN;
    else
        life_check(life, attempt->lsn == 0, "refused, but has an LSN");
}

/* Three records that belong together, waited for in a call of its own. */
static void step_batch(struct life *life, struct dwal *log) {
    uint8_t bytes[3][100];
    struct dwal_record records[3];
    struct dwal_error error;
    struct attempt *attempt = attempt_new(life, 3, sizeof bytes[0]);
    for (uint32_t i = 0; i < 3; i++) {
        payload_fill(bytes[i], attempt->id + i, sizeof bytes[i]);
        records[i] = (struct dwal_record){
            .data = bytes[i], .size = sizeof bytes[i], .type = 5};
    }
    int code = dwal_append_batch(log, records, 3, &attempt->lsn, &error);
    call_check(life, "dwal_append_batch", code, &error);
    if (code != DWAL_OK)
        return;
    attempt->standing = UNKNOWN;
    code = dwal_wait(log, attempt->lsn + 2, -1, &error);
    call_check(life, "dwal_wait", code, &error);
    if (code == DWAL_OK)
        attempt->standing = ACKNOWLEDGED;
}

/* Two records, as an event loop appends them. Without a descriptor there is no
 * loop. */
static void step_async(struct life *life, struct dwal *log) {
    uint8_t bytes[2][300];
    struct dwal_record records[2];
    struct dwal_completion done;
    struct dwal_error error;
    struct pollfd loop = {.events = POLLIN};
    size_t count = 0;
    int code = dwal_event_fd(log, &loop.fd, &error);
    if (code != DWAL_OK) { /* otherwise it is there also after a failure */
        call_check(life, "dwal_event_fd", code, &error);
        return;
    }
    struct attempt *attempt = attempt_new(life, 2, sizeof bytes[0]);
    for (uint32_t i = 0; i < 2; i++) {
        payload_fill(bytes[i], attempt->id + i, sizeof bytes[i]);
        records[i] = (struct dwal_record){
            .data = bytes[i], .size = sizeof bytes[i], .type = 5};
    }
    while ((code = dwal_append_async(log, records, 2, attempt, &attempt->lsn,
                                     &error)) == DWAL_EAGAIN) {
        poll(&loop, 1, -1);
        dwal_reap(log, &done, 1, &count, NULL);
    }
    call_check(life, "dwal_append_async", code, &error);
    if (code != DWAL_OK)
        return;
    attempt->standing = UNKNOWN;
    while (count == 0) {
        poll(&loop, 1, -1);
        assert_int_equal(dwal_reap(log, &done, 1, &count, NULL), DWAL_OK);
    }
    assert_true(done.context == attempt && done.lsn == attempt->lsn &&
                done.count == 2);
    if (done.code != DWAL_OK)
        assert_int_equal(dwal_failure(log, &error), DWAL_EFAILED);
    call_check(life, "dwal_reap", done.code, &error);
    if (done.code == DWAL_OK)
        attempt->standing = ACKNOWLEDGED;
}

static void step_rotate(struct life *life, struct dwal *log) {
    struct dwal_error error;
    int code = dwal_rotate(log, &error);
    call_check(life, "dwal_rotate", code, &error);
}

static void step_trim(struct life *life, struct dwal *log, uint64_t lsn) {
    struct dwal_error error;
    if (lsn > dwal_durable_lsn(log) + 1)
        lsn = dwal_durable_lsn(log) + 1;
    if (lsn > life->trimmed)
        life->trimmed = lsn; /* also if the outcome is unknown */
    int code = dwal_trim(log, lsn, &error);
    call_check(life, "dwal_trim", code, &error);
}

static void step_meta(struct life *life, struct dwal *log) {
    struct dwal_error error;
    uint64_t number = ++life->meta_asked;
    int code = dwal_meta_set(log, &number, sizeof number, &error);
    call_check(life, "dwal_meta_set", code, &error);
    if (code == DWAL_OK)
        life->meta_done = number;
}

/* True if a cut was refused as other calls are not: it reads where to, as a
 * cursor does, and waits for what is under way, as long as an I/O may take. */
static bool cut_refused(struct life *life, int code,
                        const struct dwal_error *error) {
    bool unread = (code == DWAL_EIO || code == DWAL_ENOMEM) && !life->failed &&
                  life->row->open_codes != 0;
    bool late = code == DWAL_EAGAIN && life->plan.outcome == SWEEP_NEVER_;
    if (unread || late)
        error_check(life, code, error);
    return unread || late;
}

/* Drops the record of the last attempt, if that made one. */
static void step_cut(struct life *life, struct dwal *log) {
    struct dwal_error error;
    struct attempt *last = &life->attempts[life->attempt_count - 1];
    if (last->standing != ACKNOWLEDGED)
        return;
    int code = dwal_cut(log, last->lsn - 1, &error);
    if (cut_refused(life, code, &error))
        return;
    call_check(life, "dwal_cut", code, &error);
    if (code == DWAL_OK)
        last->standing = DROPPED;
    else if (code == DWAL_EFAILED)
        last->standing = UNKNOWN;
}

static void step_reset(struct life *life, struct dwal *log) {
    struct dwal_error error;
    uint64_t lsn = dwal_durable_lsn(log) + 10;
    if (lsn > life->trimmed)
        life->trimmed = lsn; /* also if the outcome is unknown */
    int code = dwal_reset(log, lsn, &error);
    if (cut_refused(life, code, &error))
        return;
    call_check(life, "dwal_reset", code, &error);
    if (code == DWAL_OK)
        life_check(life, dwal_first_lsn(log) == lsn, "reset to another LSN");
}

/* A trim goes as far as a lease allows, or is refused. */
static void step_lease(struct life *life, struct dwal *log) {
    struct dwal_lease *lease = NULL;
    struct dwal_error error;
    uint64_t last = dwal_durable_lsn(log);
    int code = dwal_lease_open(life->path, last, &lease, &error);
    if (code == DWAL_OK) {
        step_trim(life, log, last + 1);
        life_check(life, dwal_first_lsn(log) <= dwal_lease_lsn(lease),
                   "trimmed below a lease");
        code = dwal_lease_move(lease, last + 1, &error);
    }
    dwal_lease_close(lease);
    /* A lock that was refused once is one that a trim has. */
    if (code == DWAL_OK ||
        (code == DWAL_ETRIMMED && life->plan.function == SWEEP_FCNTL))
        return;
    life_check(life, code == DWAL_EIO || code == DWAL_ENOMEM,
               "the lease says %d: %s", code, error.text);
    life_check(life, life->row->open_codes != 0, "the lease says %d: %s", code,
               error.text);
    error_check(life, code, &error);
}

/* The attempt that made the record with @id. */
static const struct attempt *attempt_of(struct life *life, uint32_t id) {
    for (unsigned i = 0; i < life->attempt_count; i++) {
        const struct attempt *attempt = &life->attempts[i];
        if (id >= attempt->id && id - attempt->id < attempt->count)
            return attempt;
    }
    return NULL;
}

static void record_check(struct life *life, const struct dwal_record *record) {
    uint32_t id = 0;
    memcpy(&id, record->data, sizeof id);
    const struct attempt *attempt = attempt_of(life, id);
    life_check(life, attempt != NULL, "LSN %llu was never tried",
               (unsigned long long)record->lsn);
    life_check(life,
               attempt->standing != REFUSED && attempt->standing != DROPPED,
               "LSN %llu was refused or cut off, and is there",
               (unsigned long long)record->lsn);
    life_check(life,
               record->lsn == attempt->lsn + (id - attempt->id) &&
                   record->size == attempt->size && record->type == 5,
               "LSN %llu is not what was tried",
               (unsigned long long)record->lsn);
    const uint8_t *bytes = record->data;
    for (uint32_t i = sizeof id; i < record->size; i++)
        life_check(life, bytes[i] == payload_byte(id, i), "LSN %llu is changed",
                   (unsigned long long)record->lsn);
}

/* Reads all that is there: what cannot be read is an error, and never damage or
 * an early end. */
static void step_read(struct life *life, struct dwal *log) {
    struct dwal_cursor *cursor = NULL;
    struct dwal_record record;
    struct dwal_error error;
    uint64_t last = dwal_durable_lsn(log), seen = 0;
    int code = dwal_cursor_open(life->path, NULL, &cursor, &error);
    while (code == DWAL_OK &&
           (code = dwal_cursor_next(cursor, &record, &error)) == DWAL_OK) {
        record_check(life, &record);
        seen = record.lsn;
    }
    dwal_cursor_close(cursor);
    if (code == DWAL_END) {
        life_check(life, seen >= last, "the cursor ends at %llu, not %llu",
                   (unsigned long long)seen, (unsigned long long)last);
        /* What had an unknown outcome may have become durable since; readers
         * are told a moment before dwal_durable_lsn is. */
        while (dwal_durable_lsn(log) < seen)
            sched_yield();
        return;
    }
    life_check(life, code == DWAL_EIO || code == DWAL_ENOMEM,
               "the cursor says %d: %s", code, error.text);
    life_check(life, life->row->open_codes != 0, "the cursor says %d: %s", code,
               error.text);
    error_check(life, code, &error);
}

static bool life_open(struct life *life, struct dwal **log) {
    struct dwal_options options = options_make(life);
    struct dwal_error error;
    *log = NULL;
    life->failed = false;
    int code = dwal_open(life->path, &options, log, &error);
    if (code == DWAL_OK)
        return true;
    life_check(life, *log == NULL, "dwal_open failed, but set the log");
    life_check(life, allowed(life->row->open_codes, code),
               "dwal_open says %d: %s", code, error.text);
    error_check(life, code, &error);
    return false;
}

static void life_close(struct life *life, struct dwal *log) {
    struct dwal_error error;
    bool failed = life->failed;
    int code = dwal_close(log, &error);
    if (code == DWAL_OK) {
        life_check(life, !failed, "dwal_close succeeds after a failure");
        return;
    }
    life_check(life, code == DWAL_EFAILED && life->row->effect >= FAILS,
               "dwal_close says %d: %s", code, error.text);
    error_check(life, code, &error);
    if (strstr(error.text, "left on its way") != NULL)
        life->left = true;
}

/* ---- a life ---- */

static void session(struct life *life, bool first) {
    struct dwal *log;
    if (!life_open(life, &log))
        return;
    step_commit(life, log, 100);
    step_commit(life, log, 5000);
    step_batch(life, log);
    step_async(life, log);
    for (int i = 0; i < 4; i++)
        step_commit(life, log, 20000); /* beyond one segment */
    if (first) {
        step_rotate(life, log);
        step_commit(life, log, 9000);
    }
    if (!first)
        step_read(life, log);
    step_trim(life, log, first ? 4 : 12);
    step_rotate(life, log);
    step_commit(life, log, 4);
    if (!first) {
        step_meta(life, log);
        step_lease(life, log);
        step_commit(life, log, 9000);
        step_cut(life, log);
        step_commit(life, log, 40);
    }
    if (!first && life->plan.nth % 2 == 0) {
        step_reset(life, log);
        step_commit(life, log, 40);
    }
    life_close(life, log);
}

/* Reads the whole log, and marks the ids that are there. The last LSN. */
static uint64_t records_read(struct life *life, uint64_t first_lsn,
                             bool there[ATTEMPTS_MAX * 3]) {
    struct dwal_cursor *cursor;
    struct dwal_record record;
    struct dwal_error error;
    uint64_t lsn = first_lsn;
    int code = dwal_cursor_open(life->path, NULL, &cursor, &error);
    life_check(life, code == DWAL_OK, "%s", error.text);
    while ((code = dwal_cursor_next(cursor, &record, &error)) == DWAL_OK) {
        life_check(life, record.lsn == lsn, "LSN %llu instead of %llu",
                   (unsigned long long)record.lsn, (unsigned long long)lsn);
        record_check(life, &record);
        uint32_t id;
        memcpy(&id, record.data, sizeof id);
        there[id] = true;
        lsn++;
    }
    life_check(life, code == DWAL_END, "%s", error.text);
    dwal_cursor_close(cursor);
    return lsn - 1;
}

/* Without faults: what was promised is kept, and the log goes on. */
static void verify(struct life *life) {
    struct dwal_options options = options_make(life);
    struct dwal *log;
    struct dwal_error error;
    bool there[ATTEMPTS_MAX * 3] = {false};
    int code;
    options.io_timeout_ms = 10000;
    while ((code = dwal_open(life->path, &options, &log, &error)) ==
               DWAL_EBUSY &&
           life->left)
        sched_yield(); /* what came back at last lets the lock go */
    life_check(life, code == DWAL_OK, "reopen: %d %s", code, error.text);
    uint64_t first = dwal_first_lsn(log);
    life_check(life, first <= life->trimmed || first == 1,
               "trimmed below %llu, but only %llu was asked for",
               (unsigned long long)first, (unsigned long long)life->trimmed);
    uint64_t last = records_read(life, first, there);
    life_check(life, last == dwal_durable_lsn(log), "durable_lsn");
    for (unsigned i = 0; i < life->attempt_count; i++) {
        const struct attempt *attempt = &life->attempts[i];
        for (uint32_t k = 0; k < attempt->count; k++) {
            bool gone = attempt->lsn != 0 && attempt->lsn + k < first;
            life_check(life,
                       attempt->standing != ACKNOWLEDGED || gone ||
                           there[attempt->id + k],
                       "LSN %llu was acknowledged, and is gone",
                       (unsigned long long)(attempt->lsn + k));
            life_check(life,
                       gone || attempt->lsn < first ||
                           there[attempt->id + k] == there[attempt->id],
                       "half a batch");
        }
    }
    uint64_t number = 0;
    code = dwal_meta_get(log, &number, sizeof number, NULL, &error);
    life_check(life,
               code == DWAL_OK && number >= life->meta_done &&
                   number <= life->meta_asked,
               "the metadata is %llu", (unsigned long long)number);
    struct dwal_record record = {.data = "more", .size = 4};
    uint64_t lsn;
    code = dwal_commit(log, &record, &lsn, &error);
    life_check(life, code == DWAL_OK, "goes on: %s", error.text);
    life_check(life, lsn == last + 1, "goes on at %llu",
               (unsigned long long)lsn);
    code = dwal_close(log, &error);
    life_check(life, code == DWAL_OK, "close: %s", error.text);
}

/* While an I/O is on its way nobody else gets the log. */
static void left_check(struct life *life) {
    struct dwal_options options = options_make(life);
    struct dwal *log;
    struct dwal_error error;
    int code = dwal_open(life->path, &options, &log, &error);
    life_check(life, code == DWAL_EBUSY, "open while I/O is left: %d", code);
}

static void directory_remove(const char *path) {
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(path);
}

/* Waits for threads that close left to themselves. */
static void held_check(struct life *life, struct sweep_held before) {
    struct sweep_held now;
    while ((now = sweep_held()).blocks != before.blocks && life->left)
        sched_yield();
    life_check(life, now.blocks == before.blocks, "%ld blocks leaked",
               now.blocks - before.blocks);
    life_check(life, now.descriptors == before.descriptors,
               "%ld descriptors leaked", now.descriptors - before.descriptors);
}

/* True if the fault struck. */
static bool life_run(struct life *life) {
    snprintf(now_running, sizeof now_running, "%s, call %u%s: %s (%s, %s)",
             sweep_function_text(life->plan.function), life->plan.nth,
             life->plan.from_on ? " and on" : "",
             sweep_outcome_text(life->plan.outcome),
             life->submit == DWAL_SUBMIT_CALLER ? "caller" : "thread",
             life->sync == DWAL_SYNC_FDSYNC ? "fdsync" : "dsync");
    alarm(RUN_SECONDS_MAX);
    struct sweep_held before = sweep_held();
    sweep_arm(&life->plan);
    session(life, true);
    if (life->left)
        left_check(life);
    else
        session(life, false);
    bool struck = sweep_disarm();
    if (life->left && life->plan.outcome == SWEEP_NEVER_)
        sweep_release();
    verify(life);
    held_check(life, before);
    sweep_release();
    alarm(0);
    directory_remove(life->path);
    if (struck && life->plan.outcome == SWEEP_NEVER_ && life->left)
        life_check(life, atomic_load(&life->told) > 0,
                   "nobody was told that it is slow");
    return struck;
}

/* ---- the sweep ---- */

static bool all_calls(void) {
    const char *text = getenv("DWAL_SWEEP");
    return text != NULL && strcmp(text, "all") == 0;
}

/* The call to strike after @nth. */
static unsigned nth_next(unsigned nth, enum sweep_outcome outcome) {
    if (all_calls() || !slow_outcome(outcome))
        return nth + 1;
    return outcome == SWEEP_LATE_ ? nth + 1 + nth / 2 : 2 * nth + 1;
}

/* The way to sync in which @function is called at all. */
static int sync_of(enum sweep_function function, unsigned variant) {
    if (function == SWEEP_PWRITEV)
        return DWAL_SYNC_AUTO;
    return function == SWEEP_SYNC_EVENT || (variant & 2) != 0 ? DWAL_SYNC_FDSYNC
                                                              : DWAL_SYNC_DSYNC;
}

static unsigned row_sweep(const char *path, const struct row *row,
                          enum sweep_outcome outcome, bool from_on) {
    unsigned runs = 0;
    for (unsigned nth = 1;; nth = nth_next(nth, outcome)) {
        bool struck = false;
        unsigned modes = all_calls() ? 4 : 1;
        for (unsigned mode = 0; mode < modes; mode++) {
            unsigned variant = mode + nth + (unsigned)outcome;
            struct life life = {.row = row,
                                .plan = {row->function, outcome, nth, from_on},
                                .path = path,
                                .submit = variant & 1,
                                .sync = sync_of(row->function, variant)};
            struck |= life_run(&life);
            runs++;
        }
        if (!struck)
            return runs;
    }
}

/* A fault that stays: not where that would be an endless loop in the kernel
 * itself (EINTR), or the end of the test's own I/O. */
static bool may_stay(const struct row *row, enum sweep_outcome outcome) {
    return outcome != SWEEP_EINTR_ && outcome != SWEEP_EAGAIN_ &&
           outcome != SWEEP_SHORT_ && outcome != SWEEP_LATE_ &&
           outcome != SWEEP_NEVER_ && row->function != SWEEP_REAP;
}

static void test_sweep(void **state) {
    static char path[4200];
    snprintf(path, sizeof path, "%s/log", (const char *)*state);
    unsigned runs = 0;
    const char *only = getenv("DWAL_SWEEP_ONLY");
    for (size_t i = 0; i < ROW_COUNT; i++)
        for (int outcome = 0; outcome < SWEEP_OUTCOME_COUNT; outcome++) {
            if ((rows[i].outcomes >> outcome & 1) == 0 ||
                (only != NULL &&
                 strcmp(only, sweep_function_text(rows[i].function)) != 0))
                continue;
            runs +=
                row_sweep(path, &rows[i], (enum sweep_outcome)outcome, false);
            if (may_stay(&rows[i], (enum sweep_outcome)outcome))
                runs += row_sweep(path, &rows[i], (enum sweep_outcome)outcome,
                                  true);
        }
    print_message("%u lives\n", runs);
}

/* ---- the table, for people ---- */

static const char *const effect_records[] = {
    [NOTHING] = "durable, as without it",
    [REFUSES] = "durable; what is refused has no LSN",
    [FAILS] = "unknown",
    [HELD] = "unknown",
};

static const char *const effect_log[] = {
    [NOTHING] = "goes on",
    [REFUSES] = "goes on by itself",
    [FAILS] = "has failed",
    [HELD] = "has failed after `io_timeout_ms`; `LOCK` is held until it ends",
};

static size_t codes_text(uint32_t codes, char *text, size_t size) {
    size_t used = 0;
    for (int code = 1; code < 32; code++) {
        static const char *const names[] = {
#define DWAL_X(name, value, text) [-(value)] = #name,
            DWAL_ERROR_LIST(DWAL_X)
#undef DWAL_X
        };
        if ((codes >> code & 1) != 0)
            used += (size_t)snprintf(text + used, size - used, "%s%s",
                                     used > 0 ? ", " : "", names[code] + 5);
    }
    if (used == 0)
        used = (size_t)snprintf(text, size, "-");
    return used;
}

/* The row as SPEC 16 has it. */
static void row_text(const struct row *row, char *text, size_t size) {
    char outcomes[300] = "", open_codes[100], call_codes[100];
    for (int outcome = 0; outcome < SWEEP_OUTCOME_COUNT; outcome++)
        if ((row->outcomes >> outcome & 1) != 0) {
            size_t used = strlen(outcomes);
            snprintf(outcomes + used, sizeof outcomes - used, "%s%s",
                     used > 0 ? ", " : "",
                     sweep_outcome_text((enum sweep_outcome)outcome));
        }
    codes_text(row->open_codes, open_codes, sizeof open_codes);
    codes_text(row->call_codes, call_codes, sizeof call_codes);
    snprintf(text, size, "| %s | %s | %s | %s | %s | %s |\n",
             sweep_function_text(row->function), outcomes,
             effect_records[row->effect], open_codes, call_codes,
             effect_log[row->effect]);
}

static const char *spec_path;

/* SPEC.md shows exactly this table. sweep_test --table prints it. */
static void test_table_in_spec(void **state) {
    (void)state;
    static char spec[1 << 20];
    char line[800];
    FILE *file = fopen(spec_path, "r");
    assert_non_null(file);
    spec[fread(spec, 1, sizeof spec - 1, file)] = '\0';
    fclose(file);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        row_text(&rows[i], line, sizeof line);
        if (strstr(spec, line) == NULL)
            fail_msg("not in %s: %s", spec_path, line);
    }
}

static int setup(void **state) {
    tempdir_use_memory();
    signal(SIGALRM, watchdog);
    return tempdir_setup(state);
}

int main(int argc, char **argv) {
    spec_path = argc > 1 ? argv[1] : "SPEC.md";
    if (strcmp(spec_path, "--table") == 0) {
        char line[800];
        for (size_t i = 0; i < ROW_COUNT; i++) {
            row_text(&rows[i], line, sizeof line);
            fputs(line, stdout);
        }
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_in_spec),
        cmocka_unit_test_setup_teardown(test_sweep, setup, tempdir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
