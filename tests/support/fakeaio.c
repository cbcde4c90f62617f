/* SPDX-License-Identifier: MIT */
/*
 * Faults for asynchronous I/O. Operations are done at once, with pwritev2 and
 * fdatasync; their events wait in a queue that reap empties, unless it is held.
 */
#include "fakeaio.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "aiosignal.h"

#define EVENTS_MAX 256

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct io_event events[EVENTS_MAX];
    unsigned count;
    bool held;
    struct fault {
        unsigned in; /* 0: none; 1: the next one */
        bool drop;
        long long result;
    } faults[2];
    unsigned submit_in;
    int submit_result;
    void (*hook)(void *argument);
    void *hook_argument;
    unsigned unreaped_writes;
    struct fakeaio_counts counts;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int fake_setup(struct dwal__aio *aio, unsigned depth) {
    (void)aio;
    assert(depth <= EVENTS_MAX);
    return 0;
}

/* True if the fault strikes now. */
static bool fault_due(struct fault *fault) {
    return fault->in > 0 && --fault->in == 0;
}

static long long operation_do(struct iocb *iocb) {
    if (iocb->aio_lio_opcode == IO_CMD_FDSYNC) {
        fake.counts.syncs++;
        if (fake.unreaped_writes > 0)
            fake.counts.syncs_with_unreaped_writes++;
        bool due = fault_due(&fake.faults[FAKEAIO_SYNC]);
        long long result = 0;
        if (!due || !fake.faults[FAKEAIO_SYNC].drop)
            result = fdatasync(iocb->aio_fildes) == 0 ? 0 : -errno;
        return due ? fake.faults[FAKEAIO_SYNC].result : result;
    }
    assert(iocb->aio_lio_opcode == IO_CMD_PWRITE);
    fake.counts.writes++;
    fake.counts.bytes += iocb->u.c.nbytes;
    fake.unreaped_writes++;
    struct iovec part = {iocb->u.c.buf, iocb->u.c.nbytes};
    bool due = fault_due(&fake.faults[FAKEAIO_WRITE]);
    long long result = 0;
    if (!due || !fake.faults[FAKEAIO_WRITE].drop) {
        result = pwritev2(iocb->aio_fildes, &part, 1, iocb->u.c.offset,
                          iocb->aio_rw_flags);
        if (result < 0)
            result = -errno;
    }
    return due ? fake.faults[FAKEAIO_WRITE].result : result;
}

static int fake_submit(struct dwal__aio *aio, long count, struct iocb **iocbs) {
    (void)aio;
    pthread_mutex_lock(&fake.lock);
    if (fake.submit_in > 0 && --fake.submit_in == 0) {
        pthread_mutex_unlock(&fake.lock);
        return fake.submit_result;
    }
    for (long i = 0; i < count; i++) {
        assert(fake.count < EVENTS_MAX);
        fake.events[fake.count++] =
            (struct io_event){.data = iocbs[i]->data,
                              .obj = iocbs[i],
                              .res = (unsigned long)operation_do(iocbs[i])};
        if (fake.count > fake.counts.in_flight_most)
            fake.counts.in_flight_most = fake.count;
        if (!fake.held)
            aio_signal(iocbs[i]);
    }
    pthread_cond_broadcast(&fake.changed);
    void (*hook)(void *) = fake.hook;
    fake.hook = NULL;
    pthread_mutex_unlock(&fake.lock);
    if (hook != NULL)
        hook(fake.hook_argument);
    return (int)count;
}

static int fake_reap(struct dwal__aio *aio, long max, struct io_event *events,
                     int64_t timeout_ns) {
    (void)aio;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ns >= 0) {
        until.tv_sec += timeout_ns / 1000000000;
        until.tv_nsec += timeout_ns % 1000000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
    }
    pthread_mutex_lock(&fake.lock);
    int error = 0;
    while (error == 0 && (fake.held || fake.count == 0)) {
        if (timeout_ns < 0)
            pthread_cond_wait(&fake.changed, &fake.lock);
        else
            error = pthread_cond_timedwait(&fake.changed, &fake.lock, &until);
    }
    int taken = 0;
    if (!fake.held) {
        taken = fake.count < max ? (int)fake.count : (int)max;
        memcpy(events, fake.events, (size_t)taken * sizeof *events);
        fake.count -= (unsigned)taken;
        memmove(fake.events, fake.events + taken,
                fake.count * sizeof *fake.events);
        for (int i = 0; i < taken; i++)
            if (events[i].obj->aio_lio_opcode == IO_CMD_PWRITE)
                fake.unreaped_writes--;
    }
    pthread_mutex_unlock(&fake.lock);
    return taken;
}

static void fake_destroy(struct dwal__aio *aio) {
    (void)aio;
    pthread_mutex_lock(&fake.lock);
    assert(fake.count == 0);
    pthread_mutex_unlock(&fake.lock);
}

static const struct dwal__aio_ops fake_ops = {
    .setup = fake_setup,
    .submit = fake_submit,
    .reap = fake_reap,
    .destroy = fake_destroy,
};

const struct dwal__aio *fakeaio_new(void) {
    static const struct dwal__aio aio = {.ops = &fake_ops};
    static bool initialised;
    pthread_mutex_lock(&fake.lock);
    if (!initialised) {
        pthread_condattr_t monotonic;
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&fake.changed, &monotonic);
        initialised = true;
    }
    assert(fake.count == 0);
    fake.held = false;
    memset(fake.faults, 0, sizeof fake.faults);
    fake.submit_in = 0;
    fake.unreaped_writes = 0;
    memset(&fake.counts, 0, sizeof fake.counts);
    pthread_mutex_unlock(&fake.lock);
    return &aio;
}

static void fault_set(enum fakeaio_operation operation, unsigned nth, bool drop,
                      long long result) {
    pthread_mutex_lock(&fake.lock);
    fake.faults[operation] = (struct fault){nth, drop, result};
    pthread_mutex_unlock(&fake.lock);
}

void fakeaio_fail(enum fakeaio_operation operation, unsigned nth,
                  long long result) {
    fault_set(operation, nth, false, result);
}

void fakeaio_drop(enum fakeaio_operation operation, unsigned nth,
                  long long result) {
    fault_set(operation, nth, true, result);
}

void fakeaio_fail_submit(unsigned nth, int result) {
    pthread_mutex_lock(&fake.lock);
    fake.submit_in = nth;
    fake.submit_result = result;
    pthread_mutex_unlock(&fake.lock);
}

void fakeaio_after_submit(void (*hook)(void *argument), void *argument) {
    pthread_mutex_lock(&fake.lock);
    fake.hook_argument = argument;
    fake.hook = hook;
    pthread_mutex_unlock(&fake.lock);
}

void fakeaio_hold(void) {
    pthread_mutex_lock(&fake.lock);
    fake.held = true;
    pthread_mutex_unlock(&fake.lock);
}

void fakeaio_release(void) {
    pthread_mutex_lock(&fake.lock);
    fake.held = false;
    for (unsigned i = 0; i < fake.count; i++)
        aio_signal(fake.events[i].obj);
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

void fakeaio_wait_held(unsigned count) {
    pthread_mutex_lock(&fake.lock);
    while (fake.count < count)
        pthread_cond_wait(&fake.changed, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
}

struct fakeaio_counts fakeaio_counts(void) {
    pthread_mutex_lock(&fake.lock);
    struct fakeaio_counts counts = fake.counts;
    pthread_mutex_unlock(&fake.lock);
    return counts;
}
