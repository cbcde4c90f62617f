/* SPDX-License-Identifier: MIT */
/*
 * A log-linear histogram of durations: every power of two is split into equal
 * buckets, so that what is read back is never lower than what went in, and at
 * most 0.8 % higher. Fixed size, of which only the pages that are used take
 * memory, if it is made of fresh ones (dwal__pages_map).
 *
 * Lock-free: any thread may read while others add. A reader then sees each
 * duration once or not yet; count and percentiles agree with each other, while
 * the sum and the maximum may be ahead of them.
 */
#ifndef DWAL_SRC_HISTOGRAM_H
#define DWAL_SRC_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

/* 2^SPLIT buckets for each power of two. */
#define DWAL__HISTOGRAM_SPLIT 7
/* Nanoseconds from 2^MAX on, 73 minutes, share the last bucket. */
#define DWAL__HISTOGRAM_MAX 42
#define DWAL__HISTOGRAM_BUCKETS                                                \
    ((DWAL__HISTOGRAM_MAX - DWAL__HISTOGRAM_SPLIT + 1) << DWAL__HISTOGRAM_SPLIT)

/* Zero-initialise. */
struct dwal__histogram {
    _Atomic uint64_t max; /* ns, exact */
    _Atomic uint64_t sum; /* ns */
    _Atomic uint64_t buckets[DWAL__HISTOGRAM_BUCKETS];
};

/* Adds one duration. One thread at a time. */
void dwal__histogram_add(struct dwal__histogram *histogram, uint64_t ns);
/* The same from any thread at any time, for atomic steps instead of plain
 * ones. */
void dwal__histogram_add_shared(struct dwal__histogram *histogram, uint64_t ns);

/* Adds what @from holds. One thread at a time for @into. */
void dwal__histogram_merge(struct dwal__histogram *into,
                           const struct dwal__histogram *from);

/* How many durations were added. */
uint64_t dwal__histogram_count(const struct dwal__histogram *histogram);

/* The duration in ns that @percent of all do not exceed: the upper end of its
 * bucket, or the maximum if that is lower. 0 if there are none. */
uint64_t dwal__histogram_percentile(const struct dwal__histogram *histogram,
                                    double percent);

/* In ns; 0 if there are none. */
double dwal__histogram_mean(const struct dwal__histogram *histogram);

/* The durations in bucket @index, and the largest one that belongs there; the
 * last bucket has no upper end: UINT64_MAX. */
uint64_t dwal__histogram_bucket(const struct dwal__histogram *histogram,
                                unsigned index);
uint64_t dwal__histogram_bucket_upper(unsigned index);

#endif
