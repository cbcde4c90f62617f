/* SPDX-License-Identifier: MIT */
/*
 * How the fuzzers get at mutate.c: libFuzzer by two functions of a target,
 * AFL++ by a shared library that has three (AFL_CUSTOM_MUTATOR_LIBRARY). With
 * FUZZ_SEGMENT the inputs are segments, otherwise folders.
 */
#include "mutate.h"

#include <stdlib.h>
#include <string.h>

#ifdef FUZZ_SEGMENT
#define MUTATE mutate_segment
#else
#define MUTATE mutate_folder
#endif

#ifndef FUZZ_AFL

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max,
                               unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max,
                               unsigned seed) {
    return MUTATE(bytes, size, max, seed, LLVMFuzzerMutate);
}

#ifndef FUZZ_SEGMENT
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size,
                                 const uint8_t *two, size_t two_size,
                                 uint8_t *out, size_t max, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size,
                                 const uint8_t *two, size_t two_size,
                                 uint8_t *out, size_t max, unsigned seed) {
    return mutate_cross(one, one_size, two, two_size, out, max, seed);
}
#endif

#else /* AFL++ */

struct mutator {
    uint64_t seed;
    uint8_t *bytes;
    size_t size;
};

#define EXPORT __attribute__((visibility("default")))

EXPORT void *afl_custom_init(void *afl, unsigned seed);
EXPORT size_t afl_custom_fuzz(void *data, uint8_t *input, size_t size,
                              uint8_t **out, uint8_t *add, size_t add_size,
                              size_t max);
EXPORT void afl_custom_deinit(void *data);

void *afl_custom_init(void *afl, unsigned seed) {
    (void)afl;
    struct mutator *mutator = calloc(1, sizeof *mutator);
    if (mutator != NULL)
        mutator->seed = seed;
    return mutator;
}

size_t afl_custom_fuzz(void *data, uint8_t *input, size_t size, uint8_t **out,
                       uint8_t *add, size_t add_size, size_t max) {
    struct mutator *mutator = data;
    *out = input;
    if (mutator->size < max) {
        uint8_t *grown = realloc(mutator->bytes, max);
        if (grown == NULL)
            return size;
        mutator->bytes = grown;
        mutator->size = max;
    }
    mutator->seed++;
    *out = mutator->bytes;
#ifndef FUZZ_SEGMENT
    if (add != NULL && mutator->seed % 8 == 0)
        return mutate_cross(input, size, add, add_size, mutator->bytes, max,
                            mutator->seed);
#else
    (void)add, (void)add_size;
#endif
    size = size < max ? size : max;
    memcpy(mutator->bytes, input, size);
    return MUTATE(mutator->bytes, size, max, mutator->seed, NULL);
}

void afl_custom_deinit(void *data) {
    struct mutator *mutator = data;
    free(mutator->bytes);
    free(mutator);
}

#endif
