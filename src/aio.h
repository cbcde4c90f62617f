/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous I/O for batches: libaio behind a table of four operations, so
 * that a simulated disk can take its place. The only file in src/ besides
 * sys.c that makes system calls.
 *
 * Facts that the callers rely on: an error of one operation is told in its
 * event and nowhere else; a sync is not ordered behind writes in flight; memory
 * under I/O belongs to the kernel until the event was reaped.
 */
#ifndef DWAL_SRC_AIO_H
#define DWAL_SRC_AIO_H

#include <libaio.h>
#include <stdbool.h>
#include <stdint.h>

struct dwal__aio;

struct dwal__aio_ops {
    /* 0 or -errno. */
    int (*setup)(struct dwal__aio *aio, unsigned depth);
    /* How many were taken, from the first on, or -errno. EINTR is retried. */
    int (*submit)(struct dwal__aio *aio, long count, struct iocb **iocbs);
    /* Waits for at least one event for @timeout_ns at most (negative: without
     * limit). How many, 0 after the timeout, or -errno. A signal counts as a
     * timeout that came early. */
    int (*reap)(struct dwal__aio *aio, long max, struct io_event *events,
                int64_t timeout_ns);
    /* Blocks until nothing is in flight. */
    void (*destroy)(struct dwal__aio *aio);
};

struct dwal__aio {
    const struct dwal__aio_ops *ops;
    io_context_t context;
    void *simulation; /* for a table that is not the kernel's */
};

extern const struct dwal__aio_ops dwal__aio_kernel;

/* Prepares @iocb as a write of @size bytes, durable by itself if @dsync. */
void dwal__aio_prepare_write(struct iocb *iocb, int handle, void *bytes,
                             uint64_t size, uint64_t offset, bool dsync,
                             void *data);

/* Prepares @iocb as an fdatasync of the writes reaped so far. */
void dwal__aio_prepare_sync(struct iocb *iocb, int handle, void *data);

/* Has the kernel write to the eventfd @fd when the prepared @iocb is done. */
void dwal__aio_signal(struct iocb *iocb, int fd);
/* Whether it will, or did. */
bool dwal__aio_signals(const struct iocb *iocb);

#endif
