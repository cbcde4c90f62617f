/* SPDX-License-Identifier: MIT */
/*
 * What the kernel does when an operation is done whose iocb asks for it: it
 * writes to an eventfd. For those who play the kernel.
 */
#ifndef DWAL_TESTS_AIOSIGNAL_H
#define DWAL_TESTS_AIOSIGNAL_H

#include <unistd.h>

#include "../../src/aio.h"

static inline void aio_signal(const struct iocb *iocb) {
    static const uint64_t one = 1;
    /* A descriptor that is closed meanwhile is told of nothing. */
    if (dwal__aio_signals(iocb) &&
        write((int)iocb->u.c.resfd, &one, sizeof one) != sizeof one)
        return;
}

#endif
