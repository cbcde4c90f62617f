/* SPDX-License-Identifier: MIT */
/*
 * waldump: shows a log, also one that is being written, and never changes it.
 * Here the log is opened; dump_*.c do the rest.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "dump.h"

/* ---- what there is ---- */

static int number_take(void *argument, const char *name) {
    struct dwal__dump *dump = argument;
    uint64_t number;
    if (dwal__name_parse(name, &number) != DWAL__NAME_SEGMENT)
        return 0;
    /* One more than a power of two: the array doubles. */
    size_t count = dump->number_count;
    if ((count & (count - 1)) == 0) {
        size_t capacity = count > 0 ? 2 * count : 1;
        uint64_t *grown =
            realloc(dump->numbers, capacity * sizeof dump->numbers[0]);
        if (grown == NULL)
            return -ENOMEM;
        dump->numbers = grown;
    }
    dump->numbers[dump->number_count++] = number;
    return 0;
}

static int number_compare(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static int directory_read(struct dwal__dump *dump) {
    const char *path = dump->options->path;
    dump->dir = dump->disk->ops->dir_open(dump->disk, path);
    int result = dump->dir;
    if (result >= 0)
        result =
            dump->disk->ops->dir_list(dump->disk, dump->dir, number_take, dump);
    if (result < 0) {
        dwal__cli_error("%s: %s", path, strerror(-result));
        return DWAL__EXIT_ERROR;
    }
    if (dump->number_count > 0)
        qsort(dump->numbers, dump->number_count, sizeof dump->numbers[0],
              number_compare);
    return DWAL__EXIT_CLEAN;
}

/* Each segment that was named must be there. */
static int segments_check(const struct dwal__dump *dump) {
    const struct dwal__dump_options *options = dump->options;
    for (size_t i = 0; i < options->segment_count; i++) {
        uint64_t number = options->segments[i];
        char name[DWAL__NAME_SIZE];
        if (dump->number_count > 0 &&
            bsearch(&number, dump->numbers, dump->number_count,
                    sizeof dump->numbers[0], number_compare) != NULL)
            continue;
        dwal__segment_name(number, name);
        dwal__cli_error("%s: there is no segment %" PRIu64 " (%s)",
                        options->path, number, name);
        return DWAL__EXIT_ERROR;
    }
    return DWAL__EXIT_CLEAN;
}

/* ---- the log ---- */

static int recovering(void *argument, uint64_t done, uint64_t total) {
    (void)argument;
    dwal__cli_progress_update(done, total);
    return dwal__cli_cancelled();
}

static int reader_open(struct dwal__dump *dump, uint64_t start_lsn,
                       struct dwal_error *error) {
    const struct dwal__dump_options *options = dump->options;
    bool filtered =
        options->filter_type || options->filter_tenant || options->filter_shard;
    bool counted = options->what == DWAL__DUMP_BATCHES ||
                   options->what == DWAL__DUMP_STATS;
    struct dwal__reader_options how = {.disk = dump->disk,
                                       .dir = dump->dir,
                                       .start_lsn = start_lsn,
                                       .system = options->system ||
                                                 (counted && !filtered),
                                       .hooks = {.progress = recovering}};
    dwal__cli_progress_begin("looking for the end");
    int code = dwal__reader_open(&how, &dump->reader, error);
    dwal__cli_progress_end();
    return code;
}

static int log_dump(struct dwal__dump *dump) {
    const struct dwal__dump_options *options = dump->options;
    struct dwal_error error;
    int code = reader_open(dump, options->start_lsn, &error);
    if (code == DWAL_ETRIMMED && options->follow)
        code = reader_open(dump, 0, &error); /* the walk tells it */
    if (options->what == DWAL__DUMP_SEGMENTS ||
        options->what == DWAL__DUMP_MAP) {
        int status = options->what == DWAL__DUMP_MAP
                         ? dwal__dump_map(dump)
                         : dwal__dump_segments(dump);
        if (code == DWAL_OK) /* what is wrong with the log is at its end */
            code = dwal__reader_verdict(dump->reader, &error);
        return status | dwal__dump_conclude(dump, code, &error);
    }
    bool skip = code == DWAL_ECORRUPT && options->skip_damage;
    return code == DWAL_OK || skip ? dwal__dump_walk(dump, code, &error)
                                   : dwal__dump_conclude(dump, code, &error);
}

static int dump_run(const struct dwal__dump_options *options) {
    struct dwal__dump dump = {
        .options = options, .disk = dwal__disk_kernel(), .dir = -1};
    int status = directory_read(&dump);
    if (status == DWAL__EXIT_CLEAN)
        status = segments_check(&dump);
    if (status == DWAL__EXIT_CLEAN)
        status = log_dump(&dump);
    dwal__reader_close(dump.reader);
    if (dump.dir >= 0)
        dump.disk->ops->close(dump.disk, dump.dir);
    free(dump.numbers);
    return status;
}

int main(int argc, char **argv) {
    struct dwal__dump_options options;
    int status;
    dwal__cli_begin("waldump", argv);
    if (dwal__dump_options_read(&options, argc, argv, &status))
        status = dump_run(&options);
    free(options.segments);
    return dwal__cli_end(status);
}
