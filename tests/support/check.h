/* SPDX-License-Identifier: MIT */
/*
 * What every test file begins with: cmocka with the headers that it needs, and
 * checks that name the row of a table when they fail. A seeded generator, whose
 * seed is printed and can be given back in DWAL_SEED.
 */
#ifndef DWAL_TESTS_CHECK_H
#define DWAL_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/fault.h"
#include "random.h"

/* Fails, naming @what, unless @got is @expected. */
static inline void check_fault(const char *what, enum dwal__fault got,
                               enum dwal__fault expected) {
    if (got != expected)
        fail_msg("%s: got \"%s\", expected \"%s\"", what, dwal__fault_text(got),
                 dwal__fault_text(expected));
}

/* Like assert_true, and says for which case of a loop it failed. */
#define check_that(condition, ...)                                             \
    do {                                                                       \
        if (!(condition)) {                                                    \
            print_error("for " __VA_ARGS__);                                   \
            print_error("\n");                                                 \
            fail_msg("%s", #condition);                                        \
        }                                                                      \
    } while (0)

/* The seed of this run: DWAL_SEED, or @fallback. Printed, for a replay. */
static inline uint64_t check_seed(uint64_t fallback) {
    const char *text = getenv("DWAL_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : fallback;
    print_message("DWAL_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Of the cases of a long test, look at one in so many: all, but for builds with
 * AddressSanitizer, which finds its faults in fewer and takes longer for each.
 * (Odd, so that steps of it come to every bit of a byte.) */
static inline unsigned check_share(void) {
#ifdef __SANITIZE_ADDRESS__
    return 7;
#else
    return 1;
#endif
}

static inline void check_fill(uint64_t *state, void *bytes, size_t size) {
    uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)check_random(state);
}

#endif
