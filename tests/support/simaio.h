/* SPDX-License-Identifier: MIT */
/*
 * A simulated device for dwal__open_on: each write takes the same time, one
 * after another, as flushes of a disk with a volatile cache do. Nothing is
 * stored. For measuring what the committer makes of a device of known speed,
 * whatever the machine's own disk does.
 */
#ifndef DWAL_TESTS_SIMAIO_H
#define DWAL_TESTS_SIMAIO_H

#include "../../src/aio.h"

/* A device whose writes take @flush_ns each. One at a time in a process. */
const struct dwal__aio *simaio_new(int64_t flush_ns);

/* Writes so far. */
uint64_t simaio_writes(void);

#endif
