/* SPDX-License-Identifier: MIT */
/*
 * Who decides what a crash leaves: at random, or every possibility in turn.
 */
#ifndef DWAL_TESTS_CRASH_SIMCRASH_H
#define DWAL_TESTS_CRASH_SIMCRASH_H

#include "simdisk.h"

/* Seeded. A bias makes it prefer the oldest or the newest of what it chooses
 * from, since extremes break more than averages; it may drift on the way. */
struct chooser_random {
    struct chooser chooser; /* first */
    uint64_t state;
    unsigned bias; /* of 16: how often an extreme … */
    bool newest;   /* … which one */
    bool drifts;
};

void chooser_random_init(struct chooser_random *chooser, uint64_t seed);

/*
 * An odometer: the first crash gets all zeros, each one after chooser_next the
 * following combination, until chooser_next says that there is none. The
 * choices that are asked for may depend on those made before.
 */
#define CHOOSER_DIGITS_MAX 256
struct chooser_all {
    struct chooser chooser; /* first */
    unsigned digits[CHOOSER_DIGITS_MAX];
    unsigned radix[CHOOSER_DIGITS_MAX];
    int count; /* digits that were asked for */
    int used;
    bool overflow; /* more were: those got the newest */
};

void chooser_all_init(struct chooser_all *chooser);
bool chooser_next(struct chooser_all *chooser);

#endif
