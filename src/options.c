/* SPDX-License-Identifier: MIT */
/*
 * Options: defaults, presets, limits. Every field of struct dwal_options is
 * looked at here, so that none can be accepted and ignored.
 */
#include "options.h"

#include <string.h>

#include "../format/bytes.h"
#include "../format/error.h"
#include "../format/layout.h"

#define MIB (UINT64_C(1) << 20)
/* 292 years: what 64 bits of nanoseconds hold. */
#define RETAIN_MS_MAX ((uint64_t)INT64_MAX / 1000000)

/* What a preset sets together. Measured with bench/: waiting committers want
 * one write in flight and little memory in use, streams want large batches and
 * several of them. */
struct preset {
    int submit;
    uint64_t queue_bytes_max;
    uint32_t queue_records_max;
    uint64_t batch_bytes_max;
    uint32_t in_flight_max;
    int huge_pages;
};

static const struct preset presets[] = {
    [DWAL_PRESET_LATENCY] = {DWAL_SUBMIT_CALLER, 32 * MIB, 1u << 18, MIB / 4, 4,
                             0},
    [DWAL_PRESET_BALANCED] = {DWAL_SUBMIT_THREAD, 32 * MIB, 1u << 20, MIB, 4,
                              0},
    [DWAL_PRESET_THROUGHPUT] = {DWAL_SUBMIT_THREAD, 32 * MIB, 1u << 22, 2 * MIB,
                                8, 1},
};

int dwal_options_preset(struct dwal_options *options, int preset) {
    if (options == NULL || preset < 0 ||
        (size_t)preset >= sizeof presets / sizeof presets[0])
        return DWAL_EINVAL;
    const struct preset *p = &presets[preset];
    options->submit = p->submit;
    options->queue_bytes_max = p->queue_bytes_max;
    options->queue_records_max = p->queue_records_max;
    options->batch_bytes_max = p->batch_bytes_max;
    options->in_flight_max = p->in_flight_max;
    options->huge_pages = p->huge_pages;
    return DWAL_OK;
}

void dwal_options_init(struct dwal_options *options) {
    if (options == NULL)
        return;
    memset(options, 0, sizeof *options);
    options->size = sizeof *options;
    options->create = DWAL_CREATE_NEVER;
    options->segment_size = 64 * MIB;
    options->direct = DWAL_DIRECT_PREFERRED;
    options->sync = DWAL_SYNC_AUTO;
    options->append_timeout_ms = 10000;
    options->io_timeout_ms = 30000;
    options->slow_io_ms = 1000;
    options->mark_delay_ms = 200;
    options->verify_bytes = 256 * MIB;
    dwal_options_preset(options, DWAL_PRESET_BALANCED);
}

/* One limit of one field. */
struct limit {
    const char *name;
    uint64_t value;
    uint64_t min;
    uint64_t max;
};

static int limits_check(const struct dwal_options *o,
                        struct dwal_error *error) {
    const struct limit limits[] = {
        {"create", (uint64_t)o->create, DWAL_CREATE_NEVER, DWAL_CREATE_NEW},
        {"direct", (uint64_t)o->direct, DWAL_DIRECT_REQUIRED, DWAL_DIRECT_OFF},
        {"sync", (uint64_t)o->sync, DWAL_SYNC_AUTO, DWAL_SYNC_FDSYNC},
        {"submit", (uint64_t)o->submit, DWAL_SUBMIT_THREAD, DWAL_SUBMIT_CALLER},
        {"gather", (uint64_t)o->gather, DWAL_GATHER_AUTO, DWAL_GATHER_OFF},
        {"wait", (uint64_t)o->wait, DWAL_WAIT_AUTO, DWAL_WAIT_SLEEP},
        {"segment_size", o->segment_size, 64 << 10, DWAL__SEGMENT_SIZE_MAX},
        {"queue_bytes_max", o->queue_bytes_max, MIB, 1024 * MIB},
        {"queue_records_max", o->queue_records_max, 1, 1u << 30},
        {"batch_bytes_max", o->batch_bytes_max, 4096, 1024 * MIB},
        {"in_flight_max", o->in_flight_max, 1, DWAL__IN_FLIGHT_MAX},
        {"huge_pages", (uint64_t)o->huge_pages, 0, 1},
        {"append_timeout_ms", (uint64_t)o->append_timeout_ms, 0, INT32_MAX},
        {"io_timeout_ms", (uint64_t)o->io_timeout_ms, 1, INT32_MAX},
        {"slow_io_ms", (uint64_t)o->slow_io_ms, 0, INT32_MAX},
        {"mark_delay_ms", (uint64_t)o->mark_delay_ms, 0, INT32_MAX},
        {"retain_ms", o->retain_ms, 0, RETAIN_MS_MAX},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i].value < limits[i].min || limits[i].value > limits[i].max)
            return dwal__error_set(error, DWAL_EINVAL, 0,
                                   "option %s is %lld; use %llu to %llu",
                                   limits[i].name, (long long)limits[i].value,
                                   (unsigned long long)limits[i].min,
                                   (unsigned long long)limits[i].max);
    return DWAL_OK;
}

int dwal__options_check(const struct dwal_options *options,
                        struct dwal_error *error) {
    if (options->size != sizeof *options)
        return dwal__error_set(
            error, DWAL_EINVAL, 0,
            "options.size is %zu instead of %zu; call dwal_options_init, and "
            "build against the header of the library in use",
            options->size, sizeof *options);
    int code = limits_check(options, error);
    if (code != DWAL_OK)
        return code;
    if (options->retain_bytes != 0 &&
        options->retain_bytes < options->segment_size)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "option retain_bytes is %llu, less than "
                               "segment_size: nothing would be kept; use 0 or "
                               "%llu and more",
                               (unsigned long long)options->retain_bytes,
                               (unsigned long long)options->segment_size);
    uint64_t block = options->block_size;
    if (block != 0 && (!dwal__is_power_of_two(block) || block < 4096 ||
                       block > DWAL__BLOCK_SIZE_MAX))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "option block_size is %llu; use 0 or a power of "
                               "two from 4096 to 65536",
                               (unsigned long long)block);
    if (options->segment_size % (block == 0 ? 4096 : block) != 0)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "option segment_size is %llu, no multiple of "
                               "the block size",
                               (unsigned long long)options->segment_size);
    return DWAL_OK;
}
