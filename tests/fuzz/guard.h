/* SPDX-License-Identifier: MIT */
/*
 * What no input may bring the code to do, whatever it holds: allocate more than
 * the input justifies, write to what is not the log's, touch the real disk. And
 * how a target ends when it finds such a thing: by abort.
 */
#ifndef DWAL_TESTS_FUZZ_GUARD_H
#define DWAL_TESTS_FUZZ_GUARD_H

#include "tests/support/memdisk.h"

/* Ends the process, naming the place, unless @condition holds. In every
 * build. */
#define fuzz_check(condition)                                                  \
    do {                                                                       \
        if (!(condition))                                                      \
            guard_fail(#condition, __FILE__, __LINE__);                        \
    } while (0)
void guard_fail(const char *condition, const char *file, int line)
    __attribute__((noreturn));

/* What a tool may see from now on as its disk: @memdisk behind a lock, with
 * locks of files, and with checks of each write. NULL: there is none, and
 * nobody may ask. @input is the size of all files: no single allocation may be
 * larger than that and the fixed buffers. */
void guard_begin(struct memdisk *memdisk, size_t input);

/* The disk of guard_begin. */
struct dwal__disk *guard_disk(void);

/* Ends it; fails if a handle was left open. */
void guard_end(void);

/* Writes are allowed, or not. */
void guard_write_allow(bool allowed);

#endif
