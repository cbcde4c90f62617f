/* SPDX-License-Identifier: MIT */
/*
 * walbench: how fast the log is, on this machine and this filesystem, and what
 * a commit costs. A client of the public library like any other.
 *
 * It measures and prints, and judges nothing. All files are made in a folder of
 * its own, which is removed also when a signal or an error ends the run.
 */
#include <stdlib.h>

#include "../fsck/cli.h"
#include "dwal.h"
#include "engine_dwal.h"
#include "reading.h"
#include "report.h"
#include "scratch.h"
#include "versus.h"

bool dwal__bench_measure(const struct dwal__bench_options *options,
                         const char *path, struct dwal__result *result) {
    char folder[PATH_MAX];
    if (!dwal__scratch_make(path, folder))
        return false;
    bool writes = options->mode == DWAL__BENCH_COMMIT ||
                  options->mode == DWAL__BENCH_APPEND;
    bool good =
        writes ? dwal__load_run(options, &dwal__engine_dwal, folder, result)
               : dwal__reading_run(options, folder, result);
    return dwal__scratch_remove(folder) && good;
}

/* Measures once and prints. Returns an exit status. */
static int once(const struct dwal__bench_options *options, const char *path,
                const struct dwal__device *device) {
    int status = DWAL__EXIT_ERROR;
    struct dwal__result *result = malloc(sizeof *result);
    if (result == NULL) {
        dwal__cli_error("no memory for a result");
        return status;
    }
    if (!options->json)
        dwal__report_head(options, "dwal", dwal_version(), device);
    if (dwal__bench_measure(options, path, result)) {
        status = result->cancelled ? DWAL__EXIT_CANCELLED : DWAL__EXIT_CLEAN;
        if (options->json) {
            struct dwal__json json;
            dwal__json_begin(&json, stdout, "walbench");
            dwal__report_head_json(options, "dwal", dwal_version(), device,
                                   &json);
            dwal__report_json(options, result, &json);
            dwal__json_end(&json);
        } else {
            dwal__report_print(options, result);
        }
    }
    free(result);
    return status;
}

int main(int argc, char **argv) {
    struct dwal__bench_options options;
    struct dwal__device device;
    char folder[PATH_MAX];
    int status;
    dwal__cli_begin("walbench", argv);
    if (!dwal__bench_options_parse(argc, argv, false, &options, &status))
        return dwal__cli_end(status);
    if (!dwal__scratch_make(options.path, folder))
        return dwal__cli_end(DWAL__EXIT_ERROR);
    dwal__device_look(&device, folder);
    status = options.versus_fio ? dwal__versus_run(&options, folder, &device)
                                : once(&options, folder, &device);
    if (!dwal__scratch_remove(folder))
        status |= DWAL__EXIT_ERROR;
    return dwal__cli_end(status);
}
