/* SPDX-License-Identifier: MIT */
#include "testlog.h"

#include "recover/disk.h"
#include "tests/support/check.h"

struct dwal_options log_options(uint64_t segment_size) {
    struct dwal_options options;
    dwal_options_init(&options);
    options.create = DWAL_CREATE_IF_ABSENT;
    options.segment_size = segment_size;
    options.queue_bytes_max = 1 << 20;
    options.mark_delay_ms = 0;
    return options;
}

void log_done(int code, const struct dwal_error *error) {
    if (code != DWAL_OK)
        fail_msg("%d: %s", code, error->text);
}

struct dwal *log_open(const char *path, const struct dwal_options *options) {
    struct dwal *log;
    struct dwal_error error;
    log_done(dwal_open(path, options, &log, &error), &error);
    return log;
}

struct dwal *log_open_on(const struct dwal__aio *aio, const char *path,
                         const struct dwal_options *options) {
    struct dwal *log;
    struct dwal_error error;
    log_done(
        dwal__open_on(dwal__disk_kernel(), aio, path, options, &log, &error),
        &error);
    return log;
}

void log_close(struct dwal *log) {
    struct dwal_error error;
    log_done(dwal_close(log, &error), &error);
}

int log_commit(struct dwal *log, uint64_t *lsn, struct dwal_error *error) {
    struct dwal_record record = {.data = "payload", .size = 7};
    return dwal_commit(log, &record, lsn, error);
}
