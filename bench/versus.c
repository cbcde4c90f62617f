/* SPDX-License-Identifier: MIT */
/*
 * A shared machine is not the same from one minute to the next. So log and fio
 * take turns, each round the other one first, and what counts is the ratio of
 * the medians.
 */
#include "versus.h"

#include <math.h>
#include <stdlib.h>

#include "../fsck/cli.h"
#include "dwal.h"
#include "fio.h"
#include "report.h"

struct round {
    struct dwal__figures log;
    struct dwal__fio_result fio;
};

/* What is compared, and with what of fio's. */
struct comparison {
    const char *name;
    bool time;       /* us; otherwise a rate: more is better */
    size_t log, fio; /* offsets in struct round */
};

#define LOG(name) offsetof(struct round, log.name)
#define FIO(name) offsetof(struct round, fio.name)

/* A commit, or a record at random, is compared with an I/O, appending by payload, and reading by what
 * had to be read for the records. */
static const struct comparison commit_rows[] = {
    {"p50", true, LOG(p50), FIO(p50)},
    {"p99", true, LOG(p99), FIO(p99)},
    {"p99.9", true, LOG(p999), FIO(p999)},
    {"records or I/Os a second", false, LOG(records_per_s), FIO(ios_per_s)},
};
static const struct comparison append_rows[] = {
    {"payload bytes a second", false, LOG(payload_bytes_per_s),
     FIO(bytes_per_s)},
};
static const struct comparison reading_rows[] = {
    {"bytes of records a second", false, LOG(record_bytes_per_s),
     FIO(bytes_per_s)},
};

static int double_compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Of the field at @offset in all rounds. */
static double median(const struct round *rounds, unsigned count, size_t offset,
                     double *sorted) {
    for (unsigned i = 0; i < count; i++)
        sorted[i] = *(const double *)((const char *)&rounds[i] + offset);
    qsort(sorted, count, sizeof *sorted, double_compare);
    return count % 2 != 0 ? sorted[count / 2]
                          : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static void value_text(const struct comparison *row, double value,
                       char text[DWAL__FIGURE_TEXT]) {
    if (row->time)
        dwal__report_time_text(value, text);
    else
        dwal__report_rate_text(value, text);
}

static void comparison_print(const struct comparison *row, double log,
                             double fio) {
    char ours[DWAL__FIGURE_TEXT], theirs[DWAL__FIGURE_TEXT];
    value_text(row, log, ours);
    value_text(row, fio, theirs);
    printf("%-26s %12s %12s   %.2f x\n", row->name, ours, theirs, log / fio);
}

static void comparison_json(const struct comparison *row, double log,
                            double fio, struct dwal__json *json) {
    dwal__json_object_open(json, NULL);
    dwal__json_string(json, "name", row->name);
    dwal__json_string(json, "unit", row->time ? "us" : "per second");
    dwal__json_double(json, "dwal", log);
    dwal__json_double(json, "fio", fio);
    dwal__json_double(json, "ratio", log / fio);
    dwal__json_object_close(json);
}

/* The medians of all rounds, in one form or the other. */
static bool medians_tell(const struct dwal__bench_options *options,
                         const struct round *rounds, unsigned count,
                         struct dwal__json *json) {
    const struct comparison *rows = reading_rows;
    size_t row_count = 1;
    if (options->mode == DWAL__BENCH_APPEND)
        rows = append_rows;
    if (options->mode == DWAL__BENCH_COMMIT ||
        options->mode == DWAL__BENCH_GET) {
        rows = commit_rows;
        row_count = sizeof commit_rows / sizeof commit_rows[0];
    }
    double *sorted = calloc(count, sizeof *sorted);
    if (sorted == NULL) {
        dwal__cli_error("no memory for %u rounds", count);
        return false;
    }
    if (json != NULL)
        dwal__json_array_open(json, "medians");
    else
        printf("%-26s %12s %12s   ratio\n", "", "dwal", "fio");
    for (size_t i = 0; i < row_count; i++) {
        double log = median(rounds, count, rows[i].log, sorted);
        double fio = median(rounds, count, rows[i].fio, sorted);
        if (json != NULL)
            comparison_json(&rows[i], log, fio, json);
        else
            comparison_print(&rows[i], log, fio);
    }
    if (json != NULL)
        dwal__json_array_close(json);
    free(sorted);
    return true;
}

static void fio_json(const struct dwal__fio_result *fio,
                     struct dwal__json *json) {
    dwal__json_object_open(json, "fio");
    dwal__json_double(json, "ios_per_s", fio->ios_per_s);
    dwal__json_double(json, "bytes_per_s", fio->bytes_per_s);
    dwal__json_object_open(json, "latency_us");
    dwal__json_double(json, "p50", fio->p50);
    dwal__json_double(json, "p90", fio->p90);
    dwal__json_double(json, "p99", fio->p99);
    dwal__json_double(json, "p99.9", fio->p999);
    dwal__json_double(json, "p99.99", fio->p9999);
    dwal__json_double(json, "max", fio->max);
    dwal__json_object_close(json);
    dwal__json_object_close(json);
}

/* One round. False: told, or stopped by a signal. */
static bool round_run(const struct dwal__bench_options *options,
                      const char *path, bool fio_first, struct round *round,
                      struct dwal__result *result) {
    if (fio_first && !dwal__fio_run(options, path, &round->fio))
        return false;
    if (!dwal__bench_measure(options, path, result) || result->cancelled)
        return false;
    if (result->records == 0)
        return false; /* a warning told */
    dwal__figures_fill(options, result, &round->log);
    return fio_first || dwal__fio_run(options, path, &round->fio);
}

/* As many rounds as come to an end; prints each as it does. */
static unsigned rounds_run(const struct dwal__bench_options *options,
                           const char *path, struct round *rounds,
                           struct dwal__json *json) {
    struct dwal__result *result = malloc(sizeof *result);
    unsigned count = 0;
    if (result == NULL)
        dwal__cli_error("no memory for a result");
    if (json != NULL)
        dwal__json_array_open(json, "rounds");
    for (; result != NULL && count < options->rounds; count++) {
        if (!round_run(options, path, count % 2 != 0, &rounds[count], result))
            break;
        if (json != NULL) {
            dwal__json_object_open(json, NULL);
            dwal__report_json(options, result, json);
            fio_json(&rounds[count].fio, json);
            dwal__json_object_close(json);
        }
    }
    if (json != NULL)
        dwal__json_array_close(json);
    free(result);
    return count;
}

int dwal__versus_run(const struct dwal__bench_options *options,
                     const char *path, const struct dwal__device *device) {
    struct dwal__json writer;
    struct dwal__json *json = options->json ? &writer : NULL;
    struct round *rounds = calloc(options->rounds, sizeof *rounds);
    int status = DWAL__EXIT_ERROR;
    if (rounds == NULL) {
        dwal__cli_error("no memory for %u rounds", options->rounds);
        return status;
    }
    if (!dwal__fio_prepare(options, path))
        goto out;
    if (json != NULL) {
        dwal__json_begin(json, stdout, "versus");
        dwal__report_head_json(options, "dwal", dwal_version(), device, json);
        dwal__json_string(json, "fio_pattern", dwal__fio_pattern(options));
    } else {
        dwal__report_head(options, "dwal", dwal_version(), device);
    }
    unsigned count = rounds_run(options, path, rounds, json);
    if (json == NULL)
        printf("medians of %u rounds; fio: %s\n", count,
               dwal__fio_pattern(options));
    if (count > 0 && medians_tell(options, rounds, count, json) &&
        count == options->rounds)
        status = DWAL__EXIT_CLEAN;
    if (json != NULL)
        dwal__json_end(json);
out:
    free(rounds);
    return dwal__cli_cancelled() ? DWAL__EXIT_CANCELLED : status;
}
