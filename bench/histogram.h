/* SPDX-License-Identifier: MIT */
/*
 * A log-linear histogram of durations: every power of two is split into equal
 * buckets, so that what is read back is never lower than what went in, and at
 * most 0.8 % higher. Fixed size; adding is a shift and an increment. One thread
 * each; merge them afterwards.
 */
#ifndef DWAL_BENCH_HISTOGRAM_H
#define DWAL_BENCH_HISTOGRAM_H

#include <stdint.h>

/* 2^SPLIT buckets for each power of two. */
#define DWAL__HISTOGRAM_SPLIT 7
/* Nanoseconds from 2^MAX on, 73 minutes, share the last bucket. */
#define DWAL__HISTOGRAM_MAX 42
#define DWAL__HISTOGRAM_BUCKETS                                                \
    ((DWAL__HISTOGRAM_MAX - DWAL__HISTOGRAM_SPLIT + 1) << DWAL__HISTOGRAM_SPLIT)

/* Zero-initialise. */
struct dwal__histogram {
    uint64_t count;
    uint64_t max; /* ns, exact */
    double sum;   /* ns */
    uint64_t buckets[DWAL__HISTOGRAM_BUCKETS];
};

void dwal__histogram_add(struct dwal__histogram *histogram, uint64_t ns);

void dwal__histogram_merge(struct dwal__histogram *into,
                           const struct dwal__histogram *from);

/* The duration in ns that @percent of all do not exceed: the upper end of its
 * bucket, or the maximum if that is lower. 0 if there are none. */
uint64_t dwal__histogram_percentile(const struct dwal__histogram *histogram,
                                    double percent);

/* In ns; 0 if there are none. */
double dwal__histogram_mean(const struct dwal__histogram *histogram);

#endif
