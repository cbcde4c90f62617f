/* SPDX-License-Identifier: MIT */
/* Each peer is one file that defines its engine; peer.c is the program. */
#ifndef DWAL_BENCH_PEER_H
#define DWAL_BENCH_PEER_H

#include "../load.h"

extern const struct dwal__engine dwal__peer;

const char *dwal__peer_version(void);

#endif
