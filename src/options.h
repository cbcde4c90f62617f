/* SPDX-License-Identifier: MIT */
#ifndef DWAL_SRC_OPTIONS_H
#define DWAL_SRC_OPTIONS_H

#include "dwal.h"

#define DWAL__IN_FLIGHT_MAX 32

/* DWAL_OK, or DWAL_EINVAL with the field's name in @error. */
int dwal__options_check(const struct dwal_options *options,
                        struct dwal_error *error);

#endif
