/* SPDX-License-Identifier: MIT */
/*
 * Counting for --stats: sums by a 32-bit key, and histograms by powers of two.
 */
#ifndef DWAL_FSCK_DUMP_TALLY_H
#define DWAL_FSCK_DUMP_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dwal__tally {
    uint32_t key;
    uint64_t count; /* 0: the slot is free */
    uint64_t bytes;
};

/* A hash table. Zero-initialise; free with dwal__tallies_release. */
struct dwal__tallies {
    struct dwal__tally *slots;
    size_t capacity; /* a power of two */
    size_t used;
};

/* One more record of @size bytes under @key. False: no memory; nothing was
 * counted. */
bool dwal__tallies_add(struct dwal__tallies *tallies, uint32_t key,
                       uint64_t size);

/* Makes slots[0] to slots[used - 1] the tallies in order: by key, or, if
 * @by_bytes, the largest first. Nothing may be added afterwards. */
void dwal__tallies_sort(struct dwal__tallies *tallies, bool by_bytes);

void dwal__tallies_release(struct dwal__tallies *tallies);

/* Bucket 0 counts zeros, bucket i values from 2^(i-1) to 2^i - 1. */
#define DWAL__SIZES_BUCKETS 65
struct dwal__sizes {
    uint64_t counts[DWAL__SIZES_BUCKETS];
};

void dwal__sizes_add(struct dwal__sizes *sizes, uint64_t value);
uint64_t dwal__sizes_from(unsigned bucket);
uint64_t dwal__sizes_to(unsigned bucket);

#endif
