/* SPDX-License-Identifier: MIT */
/*
 * Reading a file forward, with several reads in flight and without, on a disk
 * that may be read by several threads, checks what they ask for, and fails
 * where it is told to.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "recover/feed.h"
#include "tests/support/check.h"

#define MIB ((uint64_t)1 << 20)
#define FILE_SIZE (40 * MIB + 4096)
#define NEVER UINT64_MAX
#define BAD (11 * MIB + 512 * 1024) /* a block */

struct disk {
    struct dwal__disk disk; /* first: the operations cast */
    struct dwal__disk_ops ops;
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    int open;
    unsigned reads, inside, inside_most;
    unsigned meet;      /* reads wait for each other until so many are inside */
    uint64_t end_most;  /* the end of the read that went furthest */
    uint64_t file_end;  /* reads find the file to end here */
    uint64_t bad;       /* reads that touch this byte fail … */
    unsigned bad_times; /* … so often */
    bool direct_read_refused;
};

static struct disk *disk_of(struct dwal__disk *disk) {
    return (struct disk *)disk;
}

/* What stands at @offset, a multiple of 8. */
static uint64_t word_at(uint64_t offset) {
    return (offset + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

static int fake_open(struct dwal__disk *disk, int dir, const char *name,
                     int flags) {
    (void)dir;
    (void)name;
    disk_of(disk)->open++;
    return flags;
}

static int fake_close(struct dwal__disk *disk, int handle) {
    (void)handle;
    struct disk *d = disk_of(disk);
    pthread_mutex_lock(&d->lock);
    assert_int_equal(d->inside, 0); /* nothing is on its way */
    d->open--;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static int fake_size(struct dwal__disk *disk, int handle, uint64_t *size) {
    (void)disk;
    (void)handle;
    *size = FILE_SIZE;
    return 0;
}

static int fake_alignment(struct dwal__disk *disk, int handle,
                          struct dwal__disk_alignment *alignment) {
    (void)disk;
    (void)handle;
    *alignment = (struct dwal__disk_alignment){4096, 4096, true};
    return 0;
}

/* Waits for the others, but not for ever: then the test fails elsewhere. */
static void meet(struct disk *d) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_cond_broadcast(&d->arrived);
    while (d->inside_most < d->meet &&
           pthread_cond_timedwait(&d->arrived, &d->lock, &until) == 0)
        ;
}

static ssize_t fake_read(struct dwal__disk *disk, int handle, void *to,
                         size_t size, uint64_t offset) {
    struct disk *d = disk_of(disk);
    pthread_mutex_lock(&d->lock);
    assert_true(d->open == 1 && offset % 4096 == 0 && size % 4096 == 0 &&
                (uintptr_t)to % 4096 == 0);
    d->reads++;
    if (++d->inside > d->inside_most)
        d->inside_most = d->inside;
    if (offset + size > d->end_most)
        d->end_most = offset + size;
    bool fails = d->bad >= offset && d->bad - offset < size && d->bad_times > 0;
    if (fails)
        d->bad_times--;
    meet(d);
    bool direct = (handle & DWAL__OPEN_DIRECT) != 0 && d->direct_read_refused;
    uint64_t end = d->file_end;
    pthread_mutex_unlock(&d->lock);
    size_t done = 0;
    for (; !fails && done < size && offset + done < end; done += 8) {
        uint64_t word = word_at(offset + done);
        memcpy((uint8_t *)to + done, &word, 8);
    }
    pthread_mutex_lock(&d->lock);
    d->inside--;
    pthread_mutex_unlock(&d->lock);
    return direct ? -EINVAL : fails ? -EIO : (ssize_t)done;
}

struct fixture {
    struct disk disk;
    struct dwal__feed feed;
    uint64_t moved;
    uint64_t cancel_at;
};

static int moved(void *argument, uint64_t bytes) {
    struct fixture *f = argument;
    f->moved += bytes;
    return f->moved >= f->cancel_at;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    f->disk.ops = (struct dwal__disk_ops){.open = fake_open,
                                          .close = fake_close,
                                          .size = fake_size,
                                          .alignment = fake_alignment,
                                          .parallel_reads = true,
                                          .read = fake_read};
    f->disk.disk.ops = &f->disk.ops;
    pthread_mutex_init(&f->disk.lock, NULL);
    pthread_cond_init(&f->disk.arrived, NULL);
    f->disk.file_end = FILE_SIZE;
    f->disk.bad = NEVER;
    f->cancel_at = NEVER;
    dwal__feed_init(&f->feed, &f->disk.disk, 0);
    f->feed.moved = moved;
    f->feed.argument = f;
    assert_int_equal(dwal__feed_open(&f->feed, "file"), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    dwal__feed_release(&f->feed);
    assert_int_equal(f->disk.open, 0);
    pthread_cond_destroy(&f->disk.arrived);
    pthread_mutex_destroy(&f->disk.lock);
    free(f);
    return 0;
}

/* Gets them, and compares all of them if they are few, otherwise the ends. */
static void get(struct fixture *f, uint64_t offset, size_t size) {
    uint8_t *bytes;
    int error = dwal__feed_get(&f->feed, offset, size, &bytes);
    if (error != 0)
        fail_msg("%zu bytes at %llu: %d", size, (unsigned long long)offset,
                 error);
    size_t step = size > 65536 ? 4096 : 8;
    for (size_t at = 0; at + 8 <= size; at += step) {
        uint64_t word = word_at(offset + at);
        if (memcmp(bytes + at, &word, 8) != 0)
            fail_msg("%zu bytes at %llu: wrong from %zu on", size,
                     (unsigned long long)offset, at);
    }
}

static int get_fails(struct fixture *f, uint64_t offset, size_t size) {
    uint8_t *bytes = NULL;
    int error = dwal__feed_get(&f->feed, offset, size, &bytes);
    assert_true(error < 0);
    assert_null(bytes);
    return error;
}

/* Pieces of all lengths, one behind the other, each after its first block, as
 * batches are read. */
static void file_read(struct fixture *f, uint64_t until) {
    uint64_t random = 7;
    for (uint64_t offset = 4096; offset < until;) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t size = 512u << (random >> 60) % 13;
        size += (random >> 40) % 64 * 512;
        if (size > until - offset)
            size = until - offset;
        get(f, offset, 512);
        get(f, offset, (size_t)size);
        offset += size;
    }
}

static void all_of_it(void **state) {
    struct fixture *f = *state;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    file_read(f, FILE_SIZE);
    assert_true(f->moved >= FILE_SIZE - 4096 && f->moved <= FILE_SIZE);
}

/* All reads wait inside the disk until as many are there as there can be. */
static void in_flight(void **state) {
    struct fixture *f = *state;
    f->disk.meet = DWAL__AHEAD_READS;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    get(f, 4096, 4096);
    dwal__feed_forget(&f->feed, 0);
    assert_int_equal(f->disk.inside_most, DWAL__AHEAD_READS);
    assert_true(f->disk.end_most <=
                4096 + DWAL__AHEAD_CHUNKS * DWAL__AHEAD_CHUNK);
}

/* Who only looks here and there gets little; who goes on gets more. */
static void not_asked_for(void **state) {
    struct fixture *f = *state;
    dwal__feed_expect(&f->feed, FILE_SIZE, false);
    get(f, 0, 512);
    assert_int_equal(f->disk.reads, 1);
    assert_true(f->disk.end_most <= 65536);
    f->disk.meet = 2; /* from here on one alone would not come back */
    f->disk.inside_most = 2;
    file_read(f, 8 * MIB);
    assert_true(f->feed.reads != NULL);
}

static void one_at_a_time(void **state) {
    struct fixture *f = *state;
    f->disk.ops.parallel_reads = false;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    file_read(f, FILE_SIZE);
    assert_int_equal(f->disk.inside_most, 1);
}

/* What is behind the expected end may be being written. */
static void expected_end(void **state) {
    struct fixture *f = *state;
    for (int parallel = 0; parallel < 2; parallel++) {
        f->disk.ops.parallel_reads = parallel == 1;
        f->disk.end_most = 0;
        dwal__feed_expect(&f->feed, 9 * MIB + 512, true);
        file_read(f, 9 * MIB + 512);
        assert_true(f->disk.end_most <= 9 * MIB + 4096);
        dwal__feed_expect(&f->feed, 20 * MIB, true);
        for (uint64_t offset = 9 * MIB; offset < 20 * MIB; offset += 1024)
            get(f, offset, 1024);
        assert_true(f->disk.end_most <= 20 * MIB);
        get(f, 20 * MIB - 512, 4096); /* it is no limit */
    }
}

/* Long leaps and steps back, while reads are in flight. */
static void jumps(void **state) {
    struct fixture *f = *state;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    static const uint64_t places[] = {0,  5,  6,  19, 20, 38, 3,
                                      17, 16, 30, 39, 8,  8,  12};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        get(f, places[i] * MIB, 512);
        get(f, places[i] * MIB + 1024, 300000);
        dwal__feed_expect(&f->feed, FILE_SIZE, true);
        if (i % 5 == 4)
            dwal__feed_forget(&f->feed, places[i] * MIB);
    }
    get(f, 2 * MIB, DWAL__AHEAD_STRETCH + 512); /* in one piece all the same */
    get(f, 10 * MIB, 20 * MIB);
    dwal__feed_close(&f->feed);
    assert_int_equal(dwal__feed_open(&f->feed, "file"), 0);
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    file_read(f, 12 * MIB);
}

/* Everything before the bad block can be had, and it is named; also when it is
 * only ahead of what is asked for. */
static void bad_block(void **state) {
    struct fixture *f = *state;
    for (int parallel = 0; parallel < 2; parallel++) {
        f->disk.ops.parallel_reads = parallel == 1;
        f->disk.bad = BAD + 100;
        f->disk.bad_times = UINT32_MAX;
        dwal__feed_expect(&f->feed, FILE_SIZE, true);
        for (uint64_t at = 4096; at < BAD; at += 4096)
            get(f, at, 4096);
        assert_int_equal(get_fails(f, BAD - 4096, 65536), -EIO);
        assert_int_equal(f->feed.bad_offset, BAD);
        get(f, BAD + 4096, 65536);
        dwal__feed_close(&f->feed);
        assert_int_equal(dwal__feed_open(&f->feed, "file"), 0);
    }
    assert_true(f->disk.reads < 200); /* not each block by itself */
}

/* A read that fails once is done again. */
static void bad_once(void **state) {
    struct fixture *f = *state;
    f->disk.bad = 6 * MIB;
    f->disk.bad_times = 2;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    file_read(f, FILE_SIZE);
    assert_int_equal(f->disk.bad_times, 0);
}

/* The file has become shorter since it was opened. */
static void shorter(void **state) {
    struct fixture *f = *state;
    f->disk.file_end = 10 * MIB + 4096;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    file_read(f, 10 * MIB + 4096);
    assert_int_equal(get_fails(f, 10 * MIB + 4096, 512), -EIO);
}

static void direct_refused(void **state) {
    struct fixture *f = *state;
    f->disk.direct_read_refused = true;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    file_read(f, FILE_SIZE);
    assert_false(f->feed.direct);
}

static void cancelled(void **state) {
    struct fixture *f = *state;
    f->cancel_at = 3 * MIB;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    uint8_t *bytes;
    int error = 0;
    for (uint64_t at = 0; error == 0; at += 4096)
        error = dwal__feed_get(&f->feed, at, 4096, &bytes);
    assert_int_equal(error, -ECANCELED);
    assert_in_range(f->moved, 3 * MIB, 4 * MIB);
}

/* ---- without threads, without memory ---- */

static bool no_threads, no_small_stacks;
static unsigned masks_open; /* threads that would get a signal */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    masks_open += !sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGPROF);
    if (no_small_stacks && attributes != NULL)
        return EINVAL; /* as glibc, if thread-local variables do not fit */
    return no_threads
               ? EAGAIN
               : __real_pthread_create(thread, attributes, body, argument);
}

/* Where a small stack does not hold the thread-local variables of the
 * application, the thread gets one of the usual size. */
static void small_stacks_refused(void **state) {
    struct fixture *f = *state;
    no_small_stacks = true;
    masks_open = 0;
    f->disk.meet = DWAL__AHEAD_READS;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    file_read(f, FILE_SIZE);
    no_small_stacks = false;
    assert_int_equal(f->disk.inside_most, DWAL__AHEAD_READS);
    assert_int_equal(masks_open, 0);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM));
}

static void threads_refused(void **state) {
    struct fixture *f = *state;
    no_threads = true;
    dwal__feed_expect(&f->feed, FILE_SIZE, true);
    file_read(f, FILE_SIZE);
    no_threads = false;
    assert_int_equal(f->disk.inside_most, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(all_of_it),
        TEST(in_flight),
        TEST(not_asked_for),
        TEST(one_at_a_time),
        TEST(expected_end),
        TEST(jumps),
        TEST(bad_block),
        TEST(bad_once),
        TEST(shorter),
        TEST(direct_refused),
        TEST(cancelled),
        TEST(threads_refused),
        TEST(small_stacks_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
