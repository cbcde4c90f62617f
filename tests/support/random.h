/* SPDX-License-Identifier: MIT */
/* The generator of every random test; what it gives follows from its seed. */
#ifndef DWAL_TESTS_RANDOM_H
#define DWAL_TESTS_RANDOM_H

#include <stdint.h>

/* splitmix64: small, good enough, the same everywhere. */
static inline uint64_t check_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

#endif
