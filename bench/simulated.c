/* SPDX-License-Identifier: MIT */
/*
 * The one place in bench/ that goes behind dwal.h: what the committer makes of
 * a device of known speed, whatever the machine's own disk does.
 */
#include "simulated.h"

#include "../src/log.h"
#include "../tests/support/simaio.h"

int dwal__bench_open_simulated(const char *path, unsigned flush_us,
                               const struct dwal_options *options,
                               struct dwal **log, struct dwal_error *error) {
    return dwal__open_on(dwal__disk_kernel(), simaio_new(flush_us * 1000ll),
                         path, options, log, error);
}
