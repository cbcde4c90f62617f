/* SPDX-License-Identifier: MIT */
/* A directory of one test, removed with all that is in it, also when the test
 * is killed. */
#ifndef DWAL_TESTS_TEMPDIR_H
#define DWAL_TESTS_TEMPDIR_H

#include <stddef.h>

/* From now on in memory, where there is a place for that: for tests whose disk
 * has deadlines of its own, which a busy one would not keep. */
void tempdir_use_memory(void);

/* cmocka setup and teardown: *state is the path. */
int tempdir_setup(void **state);
int tempdir_teardown(void **state);

/* @path with all that is in it; 0, or -1. */
int tempdir_remove(const char *path);

/* Files in @path whose names end with @suffix. */
unsigned tempdir_count(const char *path, const char *suffix);

/* A checksum over all names and bytes in @path. */
unsigned long tempdir_digest(const char *path);

#endif
