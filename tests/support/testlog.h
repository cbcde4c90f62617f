/* SPDX-License-Identifier: MIT */
/* Small logs for tests, opened and closed without a failure. */
#ifndef DWAL_TESTS_TESTLOG_H
#define DWAL_TESTS_TESTLOG_H

#include "src/log.h"

/* Made if it is absent; a queue of 1 MiB, and no marks, so that nothing is
 * written that the test did not ask for. */
struct dwal_options log_options(uint64_t segment_size);

/* These fail the test, with the message, if that cannot be done. */
struct dwal *log_open(const char *path, const struct dwal_options *options);
struct dwal *log_open_on(const struct dwal__aio *aio, const char *path,
                         const struct dwal_options *options);
void log_close(struct dwal *log);
void log_done(int code, const struct dwal_error *error);

/* Seven bytes, by dwal_commit. */
int log_commit(struct dwal *log, uint64_t *lsn, struct dwal_error *error);

#endif
