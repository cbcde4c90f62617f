/* SPDX-License-Identifier: MIT */
/*
 * libaio. Keeps one rule: what the caller learns is what the kernel said, with
 * EINTR as the only thing dealt with here.
 */
#include "aio.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

static int kernel_setup(struct dwal__aio *aio, unsigned depth) {
    memset(&aio->context, 0, sizeof aio->context);
    return io_setup((int)depth, &aio->context);
}

static int kernel_submit(struct dwal__aio *aio, long count,
                         struct iocb **iocbs) {
    int taken;
    do
        taken = io_submit(aio->context, count, iocbs);
    while (taken == -EINTR);
    return taken;
}

static int kernel_reap(struct dwal__aio *aio, long max, struct io_event *events,
                       int64_t timeout_ns) {
    struct timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                               .tv_nsec = timeout_ns % 1000000000};
    int count = io_getevents(aio->context, 1, max, events,
                             timeout_ns < 0 ? NULL : &timeout);
    return count == -EINTR ? 0 : count;
}

static void kernel_destroy(struct dwal__aio *aio) {
    io_destroy(aio->context);
}

const struct dwal__aio_ops dwal__aio_kernel = {
    .setup = kernel_setup,
    .submit = kernel_submit,
    .reap = kernel_reap,
    .destroy = kernel_destroy,
};

void dwal__aio_prepare_write(struct iocb *iocb, int handle, void *bytes,
                             uint64_t size, uint64_t offset, bool dsync,
                             void *data) {
    io_prep_pwrite(iocb, handle, bytes, size, (long long)offset);
    iocb->aio_rw_flags = dsync ? RWF_DSYNC : 0;
    iocb->data = data;
}

void dwal__aio_prepare_sync(struct iocb *iocb, int handle, void *data) {
    io_prep_fdsync(iocb, handle);
    iocb->data = data;
}

void dwal__aio_signal(struct iocb *iocb, int fd) {
    io_set_eventfd(iocb, fd);
}

bool dwal__aio_signals(const struct iocb *iocb) {
    return (iocb->u.c.flags & (1u << 0)) != 0; /* IOCB_FLAG_RESFD */
}
