/* SPDX-License-Identifier: MIT */
/*
 * A peer under the load of walbench --mode commit, with the same jobs, clock,
 * histogram and report. The program is named for its engine.
 */
#include "peer.h"

#include <limits.h>
#include <stdlib.h>

#include "../../fsck/cli.h"
#include "../device.h"
#include "../report.h"
#include "../scratch.h"

static void result_tell(const struct dwal__bench_options *options,
                        const struct dwal__device *device,
                        const struct dwal__result *result) {
    if (!options->json) {
        dwal__report_print(options, result);
        return;
    }
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "walbench");
    dwal__report_head_json(options, dwal__peer.name, dwal__peer_version(),
                           device, &json);
    dwal__report_json(options, result, &json);
    dwal__json_end(&json);
}

/* Returns an exit status. */
static int measure(const struct dwal__bench_options *options,
                   const char *folder) {
    struct dwal__device device;
    struct dwal__result *result = malloc(sizeof *result);
    if (result == NULL) {
        dwal__cli_error("no memory for a result");
        return DWAL__EXIT_ERROR;
    }
    int status = DWAL__EXIT_ERROR;
    dwal__device_look(&device, folder);
    if (!options->json)
        dwal__report_head(options, dwal__peer.name, dwal__peer_version(),
                          &device);
    if (dwal__load_run(options, &dwal__peer, folder, result)) {
        result_tell(options, &device, result);
        status = result->cancelled ? DWAL__EXIT_CANCELLED : DWAL__EXIT_CLEAN;
    }
    free(result);
    return status;
}

int main(int argc, char **argv) {
    struct dwal__bench_options options;
    char folder[PATH_MAX], program[64];
    int status;
    snprintf(program, sizeof program, "peer-%s", dwal__peer.name);
    dwal__cli_begin(program, argv);
    if (!dwal__bench_options_parse(argc, argv, true, &options, &status))
        return dwal__cli_end(status);
    if (!dwal__scratch_make(options.path, folder))
        return dwal__cli_end(DWAL__EXIT_ERROR);
    status = measure(&options, folder);
    if (!dwal__scratch_remove(folder))
        status |= DWAL__EXIT_ERROR;
    return dwal__cli_end(status);
}
