/* SPDX-License-Identifier: MIT */
/*
 * Compares a log, as recovery and a cursor find it, with what it had promised.
 */
#ifndef DWAL_TESTS_REALFS_VERIFY_H
#define DWAL_TESTS_REALFS_VERIFY_H

#include "promise.h"

#define VERIFY_TEXT_SIZE 600

struct verify_found {
    bool present;    /* there is a log */
    const char *row; /* of the decision table; "" if not present */
    bool torn;
    uint64_t first_lsn, durable_lsn;
};

/*
 * Recovers the log in @dir, reads all of it, and checks: the verdict is not
 * worse than torn; LSNs are dense; every acknowledged record is there and what
 * it was, unless a trim was asked for; each record is one that a caller
 * submitted, once, in that caller's order; what was appended together is whole.
 * False, with the reason in @text, if anything of that is not so.
 */
bool verify_log(const char *dir, const struct promises *promises,
                struct verify_found *found, char text[VERIFY_TEXT_SIZE]);

/*
 * Goes on with it as its application would: opens it, appends, rotates, trims
 * nothing, closes, and reads all of it again.
 */
bool verify_go_on(const char *dir, const struct promises *promises,
                  const struct verify_found *found,
                  char text[VERIFY_TEXT_SIZE]);

#endif
