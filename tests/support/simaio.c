/* SPDX-License-Identifier: MIT */
/*
 * A device that is only a clock: a write ends flush_ns after it began, and
 * begins when the one before it has ended.
 */
#include "simaio.h"

#include <assert.h>
#include <pthread.h>
#include <time.h>

#define QUEUE_MAX 64

static struct {
    pthread_mutex_t lock;
    int64_t flush_ns;
    struct {
        struct iocb *iocb;
        int64_t done_ns;
    } queue[QUEUE_MAX];
    uint64_t first, last; /* of the queue; last is free */
    int64_t busy_until;
} device = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int device_setup(struct dwal__aio *aio, unsigned depth) {
    (void)aio;
    (void)depth;
    return 0;
}

static int device_submit(struct dwal__aio *aio, long count,
                         struct iocb **iocbs) {
    (void)aio;
    pthread_mutex_lock(&device.lock);
    int64_t begin = now_ns();
    for (long i = 0; i < count; i++) {
        assert(device.last - device.first < QUEUE_MAX);
        if (begin < device.busy_until)
            begin = device.busy_until;
        device.busy_until = begin + device.flush_ns;
        device.queue[device.last % QUEUE_MAX].iocb = iocbs[i];
        device.queue[device.last++ % QUEUE_MAX].done_ns = device.busy_until;
    }
    pthread_mutex_unlock(&device.lock);
    return (int)count;
}

static int device_reap(struct dwal__aio *aio, long max, struct io_event *events,
                       int64_t timeout_ns) {
    (void)aio;
    pthread_mutex_lock(&device.lock);
    int64_t now = now_ns();
    int64_t until = timeout_ns < 0 ? INT64_MAX : now + timeout_ns;
    if (device.first != device.last &&
        device.queue[device.first % QUEUE_MAX].done_ns < until)
        until = device.queue[device.first % QUEUE_MAX].done_ns;
    pthread_mutex_unlock(&device.lock);
    struct timespec at = {.tv_sec = until / 1000000000,
                          .tv_nsec = until % 1000000000};
    if (until > now)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    now = now_ns();
    int taken = 0;
    pthread_mutex_lock(&device.lock);
    for (; taken < max && device.first != device.last &&
           device.queue[device.first % QUEUE_MAX].done_ns <= now;
         device.first++, taken++) {
        struct iocb *iocb = device.queue[device.first % QUEUE_MAX].iocb;
        events[taken] = (struct io_event){
            .data = iocb->data, .obj = iocb, .res = iocb->u.c.nbytes};
    }
    pthread_mutex_unlock(&device.lock);
    return taken;
}

static void device_destroy(struct dwal__aio *aio) {
    (void)aio;
}

static const struct dwal__aio_ops device_ops = {
    .setup = device_setup,
    .submit = device_submit,
    .reap = device_reap,
    .destroy = device_destroy,
};

const struct dwal__aio *simaio_new(int64_t flush_ns) {
    static const struct dwal__aio aio = {.ops = &device_ops};
    pthread_mutex_lock(&device.lock);
    assert(device.first == device.last);
    device.flush_ns = flush_ns;
    device.first = device.last = 0;
    device.busy_until = 0;
    pthread_mutex_unlock(&device.lock);
    return &aio;
}

uint64_t simaio_writes(void) {
    pthread_mutex_lock(&device.lock);
    uint64_t writes = device.last;
    pthread_mutex_unlock(&device.lock);
    return writes;
}
