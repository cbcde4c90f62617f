/* SPDX-License-Identifier: MIT */
/*
 * The histogram. Invariant: @count is the sum of all buckets, and bucket_upper
 * of a value's bucket is at least the value, but in the last one.
 */
#include "histogram.h"

#define SPLIT DWAL__HISTOGRAM_SPLIT

/* Values below 2 * 2^SPLIT have a bucket each; above, the power of two selects
 * a row and the SPLIT bits behind the leading one the place in it. */
static unsigned bucket_index(uint64_t ns) {
    if (ns >> SPLIT == 0)
        return (unsigned)ns;
    if (ns >> DWAL__HISTOGRAM_MAX != 0)
        return DWAL__HISTOGRAM_BUCKETS - 1;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - SPLIT;
    return (shift << SPLIT) + (unsigned)(ns >> shift);
}

/* The largest value in it. */
static uint64_t bucket_upper(unsigned index) {
    unsigned row = index >> SPLIT;
    if (row < 2)
        return index;
    unsigned shift = row - 1;
    uint64_t head = index - ((uint64_t)shift << SPLIT);
    return ((head + 1) << shift) - 1;
}

void dwal__histogram_add(struct dwal__histogram *histogram, uint64_t ns) {
    histogram->buckets[bucket_index(ns)]++;
    histogram->count++;
    histogram->sum += (double)ns;
    if (ns > histogram->max)
        histogram->max = ns;
}

void dwal__histogram_merge(struct dwal__histogram *into,
                           const struct dwal__histogram *from) {
    for (unsigned i = 0; i < DWAL__HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t dwal__histogram_percentile(const struct dwal__histogram *histogram,
                                    double percent) {
    double share = (double)histogram->count * percent / 100;
    uint64_t rank = (uint64_t)share;
    if ((double)rank < share)
        rank++;
    uint64_t seen = 0;
    for (unsigned i = 0; i < DWAL__HISTOGRAM_BUCKETS - 1; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0) {
            uint64_t upper = bucket_upper(i);
            return upper < histogram->max ? upper : histogram->max;
        }
    }
    return histogram->max;
}

double dwal__histogram_mean(const struct dwal__histogram *histogram) {
    return histogram->count == 0 ? 0
                                 : histogram->sum / (double)histogram->count;
}
