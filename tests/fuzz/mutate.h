/* SPDX-License-Identifier: MIT */
/*
 * Changing inputs so that they get past the checksums: what a field, a block or
 * a file is changed to is at random, and then CRCs, digests and links are made
 * right again, mostly. One engine for libFuzzer and AFL++.
 */
#ifndef DWAL_TESTS_FUZZ_MUTATE_H
#define DWAL_TESTS_FUZZ_MUTATE_H

#include "folder.h"

/* Changes a few of @size bytes, of which there may be @max, at random. Returns
 * the new size. */
typedef size_t mutate_bytes(uint8_t *bytes, size_t size, size_t max);

/* An input of the targets that take a folder. @bytes: what libFuzzer has for
 * plain bytes, or NULL for our own. */
size_t mutate_folder(uint8_t *input, size_t size, size_t max, uint64_t seed,
                     mutate_bytes *bytes);

/* Parts of both: the files of one in the other. */
size_t mutate_cross(const uint8_t *one, size_t one_size, const uint8_t *two,
                    size_t two_size, uint8_t *out, size_t max, uint64_t seed);

/* An input that is one segment file, for the decoders. */
size_t mutate_segment(uint8_t *input, size_t size, size_t max, uint64_t seed,
                      mutate_bytes *bytes);

/* Makes the checksums of a segment file right, as far as its sizes tell where
 * they are. */
void mutate_seal(uint8_t *bytes, size_t size);

#endif
