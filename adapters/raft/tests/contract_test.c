/* SPDX-License-Identifier: MIT */
/*
 * What libraft demands of a raft_io while a node runs, case by case: appends,
 * truncations, snapshots, closing; what may be asked for in the middle of what;
 * which callback comes when, and that none comes from inside a call. After each
 * the node is started again and has to find what it was told it has.
 */
#include "rig.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

/* How many, and which. */
#define NUMBERS(...)                                                           \
    sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]) {       \
        __VA_ARGS__                                                            \
    }

static void truncate_at(struct rig *rig, raft_index index) {
    unsigned before = rig->callbacks;
    if (rig->io.truncate(&rig->io, index) != 0)
        fail_msg("truncate: %s", rig->io.errmsg);
    assert_int_equal(rig->callbacks, before);
}

/* ---- append ---- */

static void test_append(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    rig_append_wait(rig_append(&rig, 1, 1, 64, 1, NULL));
    rig_append_wait(rig_append(&rig, 1, 3, 100, 2, NULL));
    rig_restart_expect(&rig, 1, NUMBERS(1, 2, 3, 4));
    assert_int_equal(rig.term, 1);
    rig_append_wait(rig_append(&rig, 1, 1, 8, 5, NULL));
    rig_restart_expect(&rig, 1, NUMBERS(1, 2, 3, 4, 5));
    rig_close(&rig);
}

/* Callbacks come in the order of requests, each once. */
static void test_append_order(void **state) {
    enum { REQUESTS = 300 };
    struct rig_append *appends[REQUESTS];
    struct rig rig;
    rig_start(&rig, *state, 1);
    for (unsigned i = 0; i < REQUESTS; i++)
        appends[i] = rig_append(&rig, 1, 1 + i % 5, 40 + i, 1000 * i, NULL);
    for (unsigned i = 0; i < REQUESTS; i++) {
        rig_until(&rig, &appends[i]->done);
        assert_int_equal(appends[i]->order, i + 1);
        assert_int_equal(appends[i]->status, 0);
    }
    assert_int_equal(rig.callbacks, REQUESTS);
    rig_close(&rig);
    rig_start(&rig, *state, 0);
    size_t at = 0;
    for (unsigned i = 0; i < REQUESTS; i++) {
        for (unsigned j = 0; j < appends[i]->count; j++, at++) {
            assert_int_equal(rig_number(&rig.entries[at]), 1000 * i + j);
            assert_int_equal(rig.entries[at].buf.len, 40 + i);
        }
        rig_append_free(appends[i]);
    }
    assert_int_equal(rig.count, at);
    rig_close(&rig);
}

/* More than the log takes at once: the request waits, and none is refused. */
static void test_append_backpressure(void **state) {
    enum { REQUESTS = 200, SIZE = 20000 }; /* 4 MB through 1 MiB */
    struct rig_append *appends[REQUESTS];
    struct rig rig;
    rig_start(&rig, *state, 1);
    for (unsigned i = 0; i < REQUESTS; i++)
        appends[i] = rig_append(&rig, 1, 1, SIZE, i, NULL);
    for (unsigned i = 0; i < REQUESTS; i++) {
        rig_until(&rig, &appends[i]->done);
        assert_int_equal(appends[i]->order, i + 1);
        rig_append_wait(appends[i]);
    }
    rig_close(&rig);
    rig_start(&rig, *state, 0);
    assert_int_equal(rig.count, REQUESTS);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(rig_number(&rig.entries[i]), i);
    rig_close(&rig);
}

/* One request of many entries is split, and answered once, at its end. */
static void test_append_many(void **state) {
    enum { ENTRIES = 5000 };
    struct rig rig;
    rig_start(&rig, *state, 1);
    struct rig_append *many = rig_append(&rig, 1, ENTRIES, 300, 1, NULL);
    struct rig_append *one = rig_append(&rig, 1, 1, 0, 0, NULL);
    rig_until(&rig, &many->done);
    assert_int_equal(dwal_durable_lsn(dwal_raft_log(&rig.io)) >= ENTRIES, 1);
    rig_append_wait(many);
    rig_append_wait(one);
    rig_close(&rig);
    rig_start(&rig, *state, 0);
    assert_int_equal(rig.count, ENTRIES + 1);
    for (unsigned i = 0; i < ENTRIES; i++)
        assert_int_equal(rig_number(&rig.entries[i]), i + 1);
    assert_int_equal(rig.entries[ENTRIES].buf.len, 0);
    rig_close(&rig);
}

static void test_append_size(void **state) {
    struct rig rig;
    int rv;
    rig_start(&rig, *state, 1);
    uint32_t size_max = dwal_record_size_max(dwal_raft_log(&rig.io));
    rig_append_wait(rig_append(&rig, 1, 1, size_max, 1, NULL));
    rig_append_free(rig_append(&rig, 1, 1, (size_t)size_max + 1, 2, &rv));
    assert_int_equal(rv, RAFT_TOOBIG);
    assert_non_null(strstr(rig.io.errmsg, "entry 2"));
    rig_append_wait(rig_append(&rig, 1, 3, size_max, 2, NULL));
    rig_append_wait(rig_append(&rig, 1, 3, size_max / 2, 5, NULL));
    rig_restart_expect(&rig, 1, NUMBERS(1, 2, 3, 4, 5, 6, 7));
    assert_int_equal(rig.entries[0].buf.len, size_max);
    rig_close(&rig);
}

/* Nothing is written that load would refuse. */
static void test_append_refused(void **state) {
    struct rig rig;
    int rv;
    rig_start(&rig, *state, 5);
    rig_append_free(rig_append(&rig, 0, 1, 8, 1, &rv));
    assert_int_equal(rv, RAFT_INVALID);
    rig_append_free(rig_append(&rig, 6, 1, 8, 1, &rv));
    assert_int_equal(rv, RAFT_INVALID);
    assert_non_null(strstr(rig.io.errmsg, "above the current one"));
    struct raft_entry entry = {.term = 1, .type = 4};
    struct raft_io_append request = {0};
    assert_int_equal(rig.io.append(&rig.io, &request, &entry, 1, NULL),
                     RAFT_INVALID);
    assert_int_equal(rig.io.append(&rig.io, &request, &entry, 0, NULL),
                     RAFT_INVALID);
    rig_append_wait(rig_append(&rig, 5, 1, 8, 1, NULL));
    rig_restart_expect(&rig, 1, NUMBERS(1));
    rig_close(&rig);
}

static void test_append_terms_and_types(void **state) {
    struct rig rig;
    raft_term high = (raft_term)7 << 32 | 9;
    char byte = 'x';
    struct raft_buffer buffer = {.base = &byte, .len = 1};
    struct raft_entry entries[] = {
        {.term = 1, .type = RAFT_CHANGE, .buf = buffer},
        {.term = high, .type = RAFT_BARRIER, .buf = buffer},
        {.term = 1, .type = RAFT_COMMAND, .buf = buffer}};
    rig_start(&rig, *state, high);
    struct rig_append append = {.rig = &rig};
    append.request.data = &append;
    struct rig_append *first = rig_append(&rig, 1, 1, 8, 1, NULL);
    raft_io_append_cb callback = first->request.cb;
    assert_int_equal(
        rig.io.append(&rig.io, &append.request, entries, 3, callback), 0);
    rig_until(&rig, &append.done);
    rig_append_wait(first);
    rig_close(&rig);
    rig_start(&rig, *state, 0);
    assert_int_equal(rig.count, 4);
    assert_int_equal(rig.term, high);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rig.entries[i + 1].term, entries[i].term);
        assert_int_equal(rig.entries[i + 1].type, entries[i].type);
    }
    rig_close(&rig);
}

/* ---- truncate ---- */

/* The cases of libraft's own tests. */
static void test_truncate(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    rig_append_wait(rig_append(&rig, 1, 3, 8, 1, NULL));
    truncate_at(&rig, 1); /* everything */
    rig_append_wait(rig_append(&rig, 1, 1, 8, 4, NULL));
    rig_restart_expect(&rig, 1, NUMBERS(4));
    rig_append_wait(rig_append(&rig, 1, 2, 8, 5, NULL));
    truncate_at(&rig, 3); /* the last */
    rig_append_wait(rig_append(&rig, 1, 1, 8, 7, NULL));
    rig_restart_expect(&rig, 1, NUMBERS(4, 5, 7));
    truncate_at(&rig, 2); /* and nothing behind it */
    rig_append_wait(rig_append(&rig, 1, 1, 8, 8, NULL));
    truncate_at(&rig, 2);
    truncate_at(&rig, 1);
    rig_append_wait(rig_append(&rig, 1, 2, 8, 9, NULL));
    rig_restart_expect(&rig, 1, NUMBERS(9, 10));
    assert_int_equal(rig.io.truncate(&rig.io, 0), RAFT_INVALID);
    assert_int_equal(rig.io.truncate(&rig.io, 3), RAFT_INVALID);
    rig_close(&rig);
}

/* While appends are under way: those before it end first, with their own
 * result; those behind it go where it left the log. */
static void test_truncate_pending(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    struct rig_append *before = rig_append(&rig, 1, 3, 8, 1, NULL);
    truncate_at(&rig, 2);
    struct rig_append *behind = rig_append(&rig, 1, 2, 8, 4, NULL);
    truncate_at(&rig, 3);
    struct rig_append *last = rig_append(&rig, 1, 1, 8, 6, NULL);
    rig_until(&rig, &last->done);
    assert_int_equal(before->order, 1);
    assert_int_equal(behind->order, 2);
    assert_int_equal(last->order, 3);
    rig_append_wait(before);
    rig_append_wait(behind);
    rig_append_wait(last);
    rig_restart_expect(&rig, 1, NUMBERS(1, 4, 6));
    rig_close(&rig);
}

/* What waits is canceled when the io is closed, what the log has is not. */
static void test_truncate_closing(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    struct rig_append *before = rig_append(&rig, 1, 3, 8, 1, NULL);
    truncate_at(&rig, 2);
    struct rig_append *behind = rig_append(&rig, 1, 2, 8, 4, NULL);
    truncate_at(&rig, 3);
    rig_close_begin(&rig);
    assert_false(behind->done);
    int rv;
    rig_append_free(rig_append(&rig, 1, 1, 8, 9, &rv));
    assert_int_equal(rv, RAFT_CANCELED);
    assert_int_equal(rig.io.truncate(&rig.io, 1), RAFT_CANCELED);
    rig_until(&rig, &rig.closed);
    assert_true(before->done && behind->done);
    assert_int_equal(before->order, 1);
    assert_int_equal(before->status, 0);
    assert_int_equal(behind->status, RAFT_CANCELED);
    rig_append_free(before);
    rig_append_free(behind);
    rig_restart_expect(&rig, 1, NUMBERS(1, 2, 3));
    rig_close(&rig);
}

/* ---- snapshots ---- */

static void on_got(struct raft_io_snapshot_get *request,
                   struct raft_snapshot *snapshot, int status) {
    assert_int_equal(status, 0);
    *(struct raft_snapshot **)request->data = snapshot;
}

static void snapshot_expect(struct raft_snapshot *snapshot, raft_term term,
                            raft_index index) {
    raft_index content;
    assert_non_null(snapshot);
    assert_int_equal(snapshot->term, term);
    assert_int_equal(snapshot->index, index);
    assert_int_equal(snapshot->configuration.n, 3);
    assert_int_equal(snapshot->n_bufs, 1);
    assert_int_equal(snapshot->bufs[0].len, sizeof content);
    memcpy(&content, snapshot->bufs[0].base, sizeof content);
    assert_int_equal(content, index);
}

static void test_snapshot_get(void **state) {
    struct rig rig;
    struct raft_snapshot *got = NULL;
    struct raft_io_snapshot_get request = {.data = &got};
    rig_start(&rig, *state, 1);
    rig_append_wait(rig_append(&rig, 1, 3, 8, 1, NULL));
    rig_put_wait(rig_put(&rig, 1, 2, 10));
    assert_int_equal(rig.io.snapshot_get(&rig.io, &request, on_got), 0);
    while (got == NULL)
        rig_turn(&rig);
    snapshot_expect(got, 1, 2);
    raft_configuration_close(&got->configuration);
    raft_free(got->bufs[0].base);
    raft_free(got->bufs);
    raft_free(got);
    rig_close(&rig);
}

/* A snapshot of the node's own trims to what is to stay before it. */
static void test_snapshot_trims(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 2);
    for (uint64_t i = 0; i < 10; i++)
        rig_append_wait(rig_append(&rig, 2, 1, 8, i + 1, NULL));
    rig_put_wait(rig_put(&rig, 2, 4, 100)); /* fewer than are to stay */
    assert_int_equal(dwal_first_lsn(dwal_raft_log(&rig.io)), 1);
    rig_put_wait(rig_put(&rig, 2, 8, 3));
    assert_int_equal(dwal_first_lsn(dwal_raft_log(&rig.io)), 6);
    rig_restart_expect(&rig, 6, NUMBERS(6, 7, 8, 9, 10));
    snapshot_expect(rig.snapshot, 2, 8);
    rig_append_wait(rig_append(&rig, 2, 1, 8, 11, NULL));
    rig_put_wait(rig_put(&rig, 2, 11, 1)); /* of all that is there */
    rig_restart_expect(&rig, 11, NUMBERS(11));
    snapshot_expect(rig.snapshot, 2, 11);
    rig_append_wait(rig_append(&rig, 2, 2, 8, 12, NULL));
    truncate_at(&rig, 12); /* the first behind the snapshot */
    rig_append_wait(rig_append(&rig, 2, 1, 8, 20, NULL));
    rig_restart_expect(&rig, 11, NUMBERS(11, 20));
    rig_close(&rig);
}

/* One that a leader sent takes the place of everything. */
static void test_install(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    rig_put_wait(rig_put(&rig, 1, 1, 0)); /* into an empty log */
    rig_put_wait(rig_put(&rig, 1, 3, 0));
    rig_put_wait(rig_put(&rig, 1, 1337, 0));
    rig_append_wait(rig_append(&rig, 1, 2, 8, 1338, NULL));
    rig_restart_expect(&rig, 1338, NUMBERS(1338, 1339));
    snapshot_expect(rig.snapshot, 1, 1337);
    rig_put_wait(
        rig_put(&rig, 1, 1338, 0)); /* in the middle of what is there */
    rig_append_wait(rig_append(&rig, 1, 1, 8, 7, NULL));
    rig_restart_expect(&rig, 1339, NUMBERS(7));
    snapshot_expect(rig.snapshot, 1, 1338);
    struct rig_put *put = rig_put(&rig, 1, 1339, 0);
    rig_put_wait(put);
    rig_restart_expect(&rig, 1340, 0, NULL);
    /* Below what is gone. */
    struct raft_io_snapshot_put request = {0};
    struct raft_snapshot low = {.index = 1000, .term = 1};
    assert_int_equal(rig.io.snapshot_put(&rig.io, 0, &request, &low, NULL),
                     RAFT_INVALID);
    rig_close(&rig);
}

/* Appends before, meanwhile and behind: each goes where it belongs. */
static void test_install_pending(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    struct rig_append *before = rig_append(&rig, 1, 4, 8, 1, NULL);
    struct rig_put *put = rig_put(&rig, 1, 100, 0);
    struct rig_append *behind = rig_append(&rig, 1, 2, 8, 101, NULL);
    truncate_at(&rig, 102);
    struct rig_put *again = rig_put(&rig, 1, 200, 0);
    struct rig_append *last = rig_append(&rig, 1, 1, 8, 201, NULL);
    rig_until(&rig, &last->done);
    assert_int_equal(before->order, 1);
    assert_int_equal(put->order, 2);
    assert_int_equal(behind->order, 3);
    assert_int_equal(again->order, 4);
    rig_append_wait(before);
    rig_put_wait(put);
    rig_append_wait(behind);
    rig_put_wait(again);
    rig_append_wait(last);
    rig_restart_expect(&rig, 201, NUMBERS(201));
    snapshot_expect(rig.snapshot, 1, 200);
    rig_close(&rig);
}

/* An install that was not begun is canceled; one that was, ends. */
static void test_install_closing(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    struct rig_append *before = rig_append(&rig, 1, 4, 8, 1, NULL);
    struct rig_put *put = rig_put(&rig, 1, 100, 0);
    rig_close_begin(&rig);
    rig_until(&rig, &rig.closed);
    assert_int_equal(before->status, 0);
    assert_int_equal(put->status, RAFT_CANCELED);
    rig_append_free(before);
    rig_put_free(put);
    rig_restart_expect(&rig, 1, NUMBERS(1, 2, 3, 4));

    put = rig_put(&rig, 1, 100, 0);
    rig_turn(&rig); /* begins it */
    rig_close_begin(&rig);
    rig_until(&rig, &rig.closed);
    assert_int_equal(put->status, 0);
    rig_put_free(put);
    rig_restart_expect(&rig, 101, 0, NULL);
    rig_close(&rig);
}

/* A snapshot of the node's own does not hold up appends, nor closing it. */
static void test_snapshot_meanwhile(void **state) {
    struct rig rig;
    rig_start(&rig, *state, 1);
    rig_append_wait(rig_append(&rig, 1, 10, 8, 1, NULL));
    struct rig_put *put = rig_put(&rig, 1, 10, 2);
    struct rig_append *appends[50];
    for (unsigned i = 0; i < 50; i++)
        appends[i] = rig_append(&rig, 1, 1, 8, 11 + i, NULL);
    rig_close_begin(&rig);
    rig_until(&rig, &rig.closed);
    assert_true(put->done);
    assert_int_equal(put->status, 0);
    rig_put_free(put);
    for (unsigned i = 0; i < 50; i++)
        rig_append_wait(appends[i]);
    rig_close(&rig);
    rig_start(&rig, *state, 0);
    assert_int_equal(rig.start_index, 9);
    assert_int_equal(rig.start_index + rig.count, 61);
    snapshot_expect(rig.snapshot, 1, 10);
    rig_close(&rig);
}

/* ---- closing, and what the inner backend does ---- */

static void test_close_in_flight(void **state) {
    struct rig_append *appends[100];
    struct rig rig;
    rig_start(&rig, *state, 1);
    for (unsigned i = 0; i < 100; i++)
        appends[i] = rig_append(&rig, 1, 1, 20000, i, NULL);
    rig_close_begin(&rig);
    rig_until(&rig, &rig.closed);
    unsigned durable = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_true(appends[i]->done); /* all before the io's own */
        assert_int_equal(appends[i]->order, i + 1);
        if (appends[i]->status == 0)
            assert_int_equal(durable++, i); /* none behind a canceled one */
        else
            assert_int_equal(appends[i]->status, RAFT_CANCELED);
        rig_append_free(appends[i]);
    }
    assert_int_not_equal(durable, 0);
    rig_close(&rig);
    rig_start(&rig, *state, 0);
    assert_int_equal(rig.count, durable);
    rig_close(&rig);
}

/* At every stage, also where libraft gives up in the middle. */
static void test_close_stages(void **state) {
    struct rig rig;
    struct dwal_raft_options options;
    dwal_raft_options_init(&options);
    rig = (struct rig){.dir = *state};
    assert_int_equal(uv_loop_init(&rig.loop), 0);
    assert_int_equal(raft_uv_tcp_init(&rig.transport, &rig.loop), 0);
    assert_int_equal(dwal_raft_init(&rig.io, &rig.loop, *state, &rig.transport),
                     0);
    assert_null(dwal_raft_log(&rig.io));
    rig_close(&rig); /* before init */
    rig_init(&rig, *state, NULL);
    assert_non_null(dwal_raft_log(&rig.io));
    rig_close(&rig); /* before load */
    rig_init(&rig, *state, NULL);
    rig_drop(&rig); /* before load, without io->close */
    rig_init(&rig, *state, NULL);
    rig_load(&rig);
    rig_close(&rig);
    struct raft_io never = {0};
    dwal_raft_close(&never);
}

static void on_tick(struct raft_io *io) {
    struct rig *rig = io->data;
    assert_ptr_equal(io, &rig->io); /* not the inner one */
    rig->callbacks++;
}

static void on_message(struct raft_io *io, struct raft_message *message) {
    (void)io;
    (void)message;
}

static int work_do(struct raft_io_async_work *request) {
    (void)request;
    return 42;
}

static void on_work(struct raft_io_async_work *request, int status) {
    *(int *)request->data = status;
}

static void test_inner(void **state) {
    struct rig rig;
    int status = 0;
    struct raft_io_async_work work = {.data = &status, .work = work_do};
    rig_start(&rig, *state, 1);
    rig.io.data = &rig;
    assert_int_equal(rig.io.start(&rig.io, 5, on_tick, on_message), 0);
    while (rig.callbacks < 3)
        rig_turn(&rig);
    assert_int_equal(rig.io.async_work(&rig.io, &work, on_work), 0);
    while (status == 0)
        rig_turn(&rig);
    assert_int_equal(status, 42);
    for (int i = 0; i < 100; i++) {
        int random = rig.io.random(&rig.io, 10, 20);
        assert_in_range(random, 10, 19);
    }
    assert_int_equal(rig.io.time(&rig.io), uv_now(&rig.loop));
    raft_uv_set_connect_retry_delay(dwal_raft_inner(&rig.io), 50);
    unsigned ticks = rig.callbacks;
    rig_close_begin(&rig);
    rig_until(&rig, &rig.closed);
    assert_int_equal(rig.callbacks, ticks); /* none any more */
    rig_close(&rig);
}

/* ---- everything mixed ---- */

#define STATES_MAX 64
#define ENTRIES_MAX 4096

/* What the log may hold after each request since all were answered. */
struct model {
    raft_index start, end; /* end: the next index */
    uint64_t numbers[ENTRIES_MAX];
};

struct mix {
    struct rig rig;
    const char *dir;
    uint64_t random, number;
    struct model *models; /* [STATES_MAX]; the last is what is asked for */
    unsigned steps;
    struct rig_append *appends[STATES_MAX];
    struct rig_put *puts[STATES_MAX];
    raft_index snapshot_index; /* newest that was put */
};

static uint64_t below(struct mix *mix, uint64_t limit) {
    return check_random(&mix->random) % limit;
}

static struct model *model_next(struct mix *mix) {
    struct model *now = &mix->models[mix->steps + 1];
    *now = mix->models[mix->steps];
    mix->steps++;
    mix->appends[mix->steps] = NULL;
    mix->puts[mix->steps] = NULL;
    return now;
}

static void mix_append(struct mix *mix) {
    unsigned count = 1 + (unsigned)below(mix, 6);
    size_t size = below(mix, 20) == 0 ? 9000 : 8 + below(mix, 200);
    struct model *model = model_next(mix);
    mix->appends[mix->steps] =
        rig_append(&mix->rig, 1, count, size, mix->number, NULL);
    for (unsigned i = 0; i < count; i++)
        model->numbers[model->end++ % ENTRIES_MAX] = mix->number++;
}

static void mix_truncate(struct mix *mix) {
    struct model *model = &mix->models[mix->steps];
    raft_index lowest = model->start > mix->snapshot_index + 1
                            ? model->start
                            : mix->snapshot_index + 1;
    if (lowest >= model->end)
        return;
    raft_index index = lowest + below(mix, model->end - lowest);
    model_next(mix)->end = index;
    truncate_at(&mix->rig, index);
}

static void mix_install(struct mix *mix) {
    struct model *model = &mix->models[mix->steps];
    raft_index index = model->end + below(mix, 5);
    model = model_next(mix);
    mix->puts[mix->steps] = rig_put(&mix->rig, 1, index, 0);
    model->start = model->end = index + 1;
    mix->snapshot_index = index;
}

/* Everything is answered, in the order of the requests. */
static void mix_drain(struct mix *mix) {
    unsigned order = 0;
    /* Nobody tells that a truncation is done, but who comes behind it. */
    if (mix->steps > 0 && mix->appends[mix->steps] == NULL &&
        mix->puts[mix->steps] == NULL)
        mix_append(mix);
    for (unsigned i = 1; i <= mix->steps; i++) {
        if (mix->appends[i] != NULL) {
            rig_until(&mix->rig, &mix->appends[i]->done);
            assert_true(mix->appends[i]->order > order);
            order = mix->appends[i]->order;
            rig_append_wait(mix->appends[i]);
        }
        if (mix->puts[i] != NULL) {
            rig_until(&mix->rig, &mix->puts[i]->done);
            assert_true(mix->puts[i]->order > order);
            order = mix->puts[i]->order;
            rig_put_wait(mix->puts[i]);
        }
    }
    mix->models[0] = mix->models[mix->steps];
    mix->steps = 0;
}

static void mix_own_snapshot(struct mix *mix) {
    mix_drain(mix);
    struct model *model = &mix->models[0];
    if (model->end - 1 <= mix->snapshot_index)
        return;
    raft_index index = mix->snapshot_index + 1 +
                       below(mix, model->end - 1 - mix->snapshot_index);
    unsigned trailing = 1 + (unsigned)below(mix, 8);
    rig_put_wait(rig_put(&mix->rig, 1, index, trailing));
    mix->snapshot_index = index;
    if (index >= trailing && index - trailing + 1 > model->start)
        model->start = index - trailing + 1;
}

static bool model_matches(const struct mix *mix, const struct model *model) {
    const struct rig *rig = &mix->rig;
    if (rig->start_index != model->start ||
        rig->start_index + rig->count != model->end)
        return false;
    for (size_t i = 0; i < rig->count; i++)
        if (rig_number(&rig->entries[i]) !=
            model->numbers[(model->start + i) % ENTRIES_MAX])
            return false;
    return true;
}

/* Closes in the middle: what is found is what some request left behind, none
 * before the last that was answered with success. */
static void mix_restart(struct mix *mix) {
    unsigned least = 0, found = mix->steps + 1;
    rig_close_begin(&mix->rig);
    rig_until(&mix->rig, &mix->rig.closed);
    for (unsigned i = 1; i <= mix->steps; i++) {
        if (mix->appends[i] != NULL) {
            assert_true(mix->appends[i]->done);
            if (mix->appends[i]->status == 0)
                least = i;
            rig_append_free(mix->appends[i]);
        }
        if (mix->puts[i] != NULL) {
            assert_true(mix->puts[i]->done);
            if (mix->puts[i]->status == 0)
                least = i;
            rig_put_free(mix->puts[i]);
        }
    }
    rig_close(&mix->rig);
    rig_start(&mix->rig, mix->dir, 0);
    for (unsigned i = least; i <= mix->steps; i++)
        if (model_matches(mix, &mix->models[i]))
            found = i;
    check_that(found <= mix->steps, "start %llu, %zu entries, steps %u to %u",
               mix->rig.start_index, mix->rig.count, least, mix->steps);
    mix->models[0] = mix->models[found];
    mix->steps = 0;
    mix->snapshot_index =
        mix->rig.snapshot != NULL ? mix->rig.snapshot->index : 0;
}

static void test_mixed(void **state) {
    const char *text = getenv("DWAL_RAFT_MIXED_STEPS");
    unsigned rounds = text != NULL ? (unsigned)atoi(text) : 400;
    struct mix mix = {.dir = *state, .number = 1, .random = check_seed(1)};
    mix.models = calloc(STATES_MAX, sizeof *mix.models);
    mix.models[0].start = mix.models[0].end = 1;
    rig_start(&mix.rig, *state, 1);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t what = below(&mix, 100);
        if (what < 55)
            mix_append(&mix);
        else if (what < 70)
            mix_truncate(&mix);
        else if (what < 74)
            mix_install(&mix);
        else if (what < 78)
            mix_own_snapshot(&mix);
        else if (what < 95)
            uv_run(&mix.rig.loop, UV_RUN_NOWAIT);
        else
            mix_restart(&mix);
        struct model *model = &mix.models[mix.steps];
        if (mix.steps == STATES_MAX - 2 ||
            model->end - model->start > ENTRIES_MAX / 2)
            mix_drain(&mix);
    }
    mix_drain(&mix);
    mix_restart(&mix);
    rig_close(&mix.rig);
    free(mix.models);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(test_##name, tempdir_setup,                \
                                    tempdir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(append),
        TEST(append_order),
        TEST(append_backpressure),
        TEST(append_many),
        TEST(append_size),
        TEST(append_refused),
        TEST(append_terms_and_types),
        TEST(truncate),
        TEST(truncate_pending),
        TEST(truncate_closing),
        TEST(snapshot_get),
        TEST(snapshot_trims),
        TEST(install),
        TEST(install_pending),
        TEST(install_closing),
        TEST(snapshot_meanwhile),
        TEST(close_in_flight),
        TEST(close_stages),
        TEST(inner),
        TEST(mixed),
    };
    tempdir_use_memory();
    return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}
