/* SPDX-License-Identifier: MIT */
/*
 * The wrapped io_submit. Counters are relaxed: they order nothing, and a look
 * while I/O is on its way is one of many that are right.
 */
#include "iocount.h"

#include <libaio.h>
#include <stdatomic.h>

static _Atomic uint64_t writes, write_bytes, syncs;

int __real_io_submit(io_context_t context, long count, struct iocb **iocbs);
int __wrap_io_submit(io_context_t context, long count, struct iocb **iocbs);

static void add(_Atomic uint64_t *counter, uint64_t value) {
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

/* An iocb belongs to whoever reaps it as soon as it was submitted, so it is
 * looked at before. What the kernel did not take is submitted, and counted,
 * again: take it back. */
static void tally(const struct iocb *iocb, uint64_t sign) {
    if (iocb->aio_lio_opcode == IO_CMD_PWRITE) {
        add(&writes, sign);
        add(&write_bytes, sign * iocb->u.c.nbytes);
    } else if (iocb->aio_lio_opcode == IO_CMD_FDSYNC) {
        add(&syncs, sign);
    }
}

int __wrap_io_submit(io_context_t context, long count, struct iocb **iocbs) {
    for (long i = 0; i < count; i++)
        tally(iocbs[i], 1);
    int taken = __real_io_submit(context, count, iocbs);
    for (long i = taken < 0 ? 0 : taken; i < count; i++)
        tally(iocbs[i], UINT64_MAX);
    return taken;
}

static uint64_t get(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void dwal__iocount_look(struct dwal__iocount *count) {
    count->writes = get(&writes);
    count->write_bytes = get(&write_bytes);
    count->syncs = get(&syncs);
}
