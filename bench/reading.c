/* SPDX-License-Identifier: MIT */
/*
 * Passes over a log that was closed cleanly, or records of it at random. The
 * clock runs only inside a pass: not while the log is written, dropped from the
 * page cache, or closed again.
 */
#include "reading.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "../fsck/cli.h"
#include "engine_dwal.h"
#include "scratch.h"

static bool log_write(const struct dwal__bench_options *options,
                      const char *path, uint64_t *last_lsn) {
    struct dwal_options log_options;
    struct dwal_error error;
    struct dwal *log;
    dwal__bench_log_options(options, &log_options);
    if (options->batch != 0)
        log_options.batch_bytes_max = options->batch;
    if (dwal_open(path, &log_options, &log, &error) != DWAL_OK) {
        dwal__cli_error("%s", error.text);
        return false;
    }
    bool good = dwal__bench_log_fill(log, options, options->size, last_lsn);
    if (dwal_close(log, &error) != DWAL_OK) {
        dwal__cli_error("%s", error.text);
        good = false;
    }
    return good;
}

/* One pass: how many records, and how long it took. */
struct pass {
    uint64_t records;
    int64_t ns;
};

static bool pass_scan(const char *path, struct pass *pass) {
    struct dwal_record record;
    struct dwal_cursor *cursor;
    struct dwal_error error;
    int64_t start = dwal__bench_now_ns();
    int code = dwal_cursor_open(path, NULL, &cursor, &error);
    if (code == DWAL_OK) {
        while (!dwal__cli_cancelled() &&
               (code = dwal_cursor_next(cursor, &record, &error)) == DWAL_OK)
            pass->records++;
        pass->ns = dwal__bench_now_ns() - start;
        dwal_cursor_close(cursor);
    }
    if (code == DWAL_OK || code == DWAL_END)
        return true;
    dwal__cli_error("%s", error.text);
    return false;
}

/* In pieces that the processor's cache holds. */
#define LOAD_BYTES ((size_t)1 << 20)
#define LOAD_RECORDS 4096

static bool pass_load(const char *path, struct pass *pass) {
    static struct dwal_record records[LOAD_RECORDS];
    static _Alignas(8) uint8_t buffer[LOAD_BYTES];
    struct dwal_cursor *cursor;
    struct dwal_error error;
    size_t count;
    int64_t start = dwal__bench_now_ns();
    int code = dwal_cursor_open(path, NULL, &cursor, &error);
    if (code == DWAL_OK) {
        while (!dwal__cli_cancelled() &&
               (code = dwal_cursor_load(cursor, UINT64_MAX, buffer,
                                        sizeof buffer, records, LOAD_RECORDS,
                                        &count, NULL, &error)) == DWAL_OK)
            pass->records += count;
        pass->ns = dwal__bench_now_ns() - start;
        dwal_cursor_close(cursor);
    }
    if (code == DWAL_OK || code == DWAL_END)
        return true;
    dwal__cli_error("%s", error.text);
    return false;
}

static bool pass_recover(const struct dwal__bench_options *options,
                         const char *path, uint64_t last_lsn,
                         struct pass *pass) {
    struct dwal_options log_options;
    struct dwal_error error;
    struct dwal *log;
    dwal__bench_log_options(options, &log_options);
    log_options.create = DWAL_CREATE_NEVER;
    log_options.verify_bytes = options->verify;
    int64_t start = dwal__bench_now_ns();
    if (dwal_open(path, &log_options, &log, &error) != DWAL_OK) {
        dwal__cli_error("%s", error.text);
        return false;
    }
    pass->ns = dwal__bench_now_ns() - start;
    pass->records = last_lsn;
    if (options->verify / options->bs < pass->records)
        pass->records = options->verify / options->bs;
    bool good = dwal_durable_lsn(log) == last_lsn;
    if (!good)
        dwal__cli_error("%s: recovery found %" PRIu64 " records of %" PRIu64,
                        path, dwal_durable_lsn(log), last_lsn);
    return dwal_close(log, NULL) == DWAL_OK && good;
}

/* A pass from the disk, and what it used up. */
static bool pass_run(const struct dwal__bench_options *options,
                     const char *path, uint64_t last_lsn, struct pass *pass,
                     struct dwal__usage *used) {
    struct dwal__usage before;
    memset(pass, 0, sizeof *pass);
    dwal__scratch_uncache(path);
    dwal__usage_look(&before);
    bool good;
    if (options->mode == DWAL__BENCH_SCAN)
        good = pass_scan(path, pass);
    else if (options->mode == DWAL__BENCH_LOAD)
        good = pass_load(path, pass);
    else
        good = pass_recover(options, path, last_lsn, pass);
    dwal__usage_look(used);
    dwal__usage_since(used, &before);
    if (good && options->mode != DWAL__BENCH_RECOVER &&
        !dwal__cli_cancelled() && pass->records != last_lsn) {
        dwal__cli_error("%s: read %" PRIu64 " records of %" PRIu64, path,
                        pass->records, last_lsn);
        good = false;
    }
    return good;
}

/* ---- at random ---- */

static int record_get(const struct dwal__bench_options *options,
                      struct dwal_cursor *cursor, uint64_t lsn,
                      struct dwal_record *record, struct dwal_error *error) {
    if (options->by == DWAL__BENCH_BY_INDEX)
        return dwal_cursor_get(cursor, lsn, record, error);
    int code = dwal_cursor_seek(cursor, lsn, error);
    return code == DWAL_OK ? dwal_cursor_next(cursor, record, error) : code;
}

/* splitmix64: the same LSNs in each run. */
static uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Gets records until the time is over. */
static bool records_get(const struct dwal__bench_options *options,
                        struct dwal_cursor *cursor, uint64_t last_lsn,
                        struct dwal__result *result) {
    struct dwal_record record;
    struct dwal_error error;
    uint64_t random = 1;
    int64_t begin = dwal__bench_now_ns(), end = begin;
    int64_t until = begin + (int64_t)(options->runtime * 1e9);
    while (end < until && !dwal__cli_cancelled()) {
        int64_t start = end;
        uint64_t lsn = 1 + random_next(&random) % last_lsn;
        int code = record_get(options, cursor, lsn, &record, &error);
        end = dwal__bench_now_ns();
        if (code != DWAL_OK || record.lsn != lsn ||
            record.size != options->bs) {
            dwal__cli_error("LSN %" PRIu64 ": %s", lsn,
                            code != DWAL_OK ? error.text : "another record");
            return false;
        }
        dwal__histogram_add(&result->latency, (uint64_t)(end - start));
        result->records++;
    }
    result->seconds = (double)(end - begin) / 1e9;
    return true;
}

static bool get_run(const struct dwal__bench_options *options, const char *path,
                    uint64_t last_lsn, struct dwal__result *result) {
    struct dwal_cursor *cursor;
    struct dwal_error error;
    struct dwal__usage before;
    dwal__scratch_uncache(path);
    if (dwal_cursor_open(path, NULL, &cursor, &error) != DWAL_OK) {
        dwal__cli_error("%s", error.text);
        return false;
    }
    dwal__usage_look(&before);
    bool good = records_get(options, cursor, last_lsn, result);
    dwal__usage_look(&result->usage);
    dwal__usage_since(&result->usage, &before);
    dwal_cursor_close(cursor);
    result->cancelled = dwal__cli_cancelled();
    return good;
}

/* ---- all of it ---- */

bool dwal__reading_run(const struct dwal__bench_options *options,
                       const char *path, struct dwal__result *result) {
    char log[PATH_MAX + 16];
    uint64_t last_lsn = 0;
    memset(result, 0, sizeof *result);
    snprintf(log, sizeof log, "%s/log", path);
    if (!log_write(options, log, &last_lsn))
        return false;
    if (options->mode == DWAL__BENCH_GET)
        return get_run(options, log, last_lsn, result);
    int64_t total_ns = 0;
    do {
        struct dwal__usage used;
        struct pass pass;
        if (dwal__cli_cancelled())
            break;
        if (!pass_run(options, log, last_lsn, &pass, &used))
            return false;
        total_ns += pass.ns;
        result->records += pass.records;
        dwal__usage_add(&result->usage, &used);
        if (!dwal__cli_cancelled()) {
            dwal__histogram_add(&result->latency, (uint64_t)pass.ns);
            result->passes++;
        }
    } while ((double)total_ns / 1e9 < options->runtime);
    result->seconds = (double)total_ns / 1e9;
    result->cancelled = dwal__cli_cancelled();
    return true;
}
