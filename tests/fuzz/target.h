/* SPDX-License-Identifier: MIT */
/*
 * What each target has: the two functions that libFuzzer, AFL++ and replay.c
 * call.
 */
#ifndef DWAL_TESTS_FUZZ_TARGET_H
#define DWAL_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* Once, before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
/* One input. Comes back, or aborts. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
