/* SPDX-License-Identifier: MIT */
/*
 * The histogram. Invariants: a duration is counted in one bucket and nowhere
 * else, and the upper end of its bucket is at least the duration. All atomics
 * are relaxed: no figure says anything about another.
 */
#include "histogram.h"

#define SPLIT DWAL__HISTOGRAM_SPLIT

static uint64_t load(const _Atomic uint64_t *figure) {
    return atomic_load_explicit(figure, memory_order_relaxed);
}

/* Only one thread stores. */
static void plus(_Atomic uint64_t *figure, uint64_t more) {
    atomic_store_explicit(figure, load(figure) + more, memory_order_relaxed);
}

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

uint64_t dwal__histogram_bucket_upper(unsigned index) {
    unsigned row = index >> SPLIT;
    if (row < 2)
        return index;
    if (index == DWAL__HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    unsigned shift = row - 1;
    uint64_t head = index - ((uint64_t)shift << SPLIT);
    return ((head + 1) << shift) - 1;
}

uint64_t dwal__histogram_bucket(const struct dwal__histogram *histogram,
                                unsigned index) {
    return load(&histogram->buckets[index]);
}

void dwal__histogram_add(struct dwal__histogram *histogram, uint64_t ns) {
    plus(&histogram->buckets[bucket_index(ns)], 1);
    plus(&histogram->sum, ns);
    if (ns > load(&histogram->max))
        atomic_store_explicit(&histogram->max, ns, memory_order_relaxed);
}

void dwal__histogram_add_shared(struct dwal__histogram *histogram,
                                uint64_t ns) {
    atomic_fetch_add_explicit(&histogram->buckets[bucket_index(ns)], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, ns, memory_order_relaxed);
    uint64_t max = load(&histogram->max);
    while (ns > max && !atomic_compare_exchange_weak_explicit(
                           &histogram->max, &max, ns, memory_order_relaxed,
                           memory_order_relaxed))
        continue;
}

void dwal__histogram_merge(struct dwal__histogram *into,
                           const struct dwal__histogram *from) {
    for (unsigned i = 0; i < DWAL__HISTOGRAM_BUCKETS; i++) {
        uint64_t count = load(&from->buckets[i]);
        if (count != 0)
            plus(&into->buckets[i], count);
    }
    /* After the buckets: never behind them. */
    plus(&into->sum, load(&from->sum));
    if (load(&from->max) > load(&into->max))
        atomic_store_explicit(&into->max, load(&from->max),
                              memory_order_relaxed);
}

uint64_t dwal__histogram_count(const struct dwal__histogram *histogram) {
    uint64_t count = 0;
    for (unsigned i = 0; i < DWAL__HISTOGRAM_BUCKETS; i++)
        count += load(&histogram->buckets[i]);
    return count;
}

uint64_t dwal__histogram_percentile(const struct dwal__histogram *histogram,
                                    double percent) {
    double share = (double)dwal__histogram_count(histogram) * percent / 100;
    uint64_t max = load(&histogram->max);
    uint64_t rank = (uint64_t)share;
    if ((double)rank < share)
        rank++;
    uint64_t seen = 0;
    for (unsigned i = 0; i < DWAL__HISTOGRAM_BUCKETS - 1; i++) {
        seen += load(&histogram->buckets[i]);
        if (seen >= rank && seen > 0) {
            uint64_t upper = dwal__histogram_bucket_upper(i);
            return upper < max ? upper : max;
        }
    }
    return max;
}

double dwal__histogram_mean(const struct dwal__histogram *histogram) {
    uint64_t count = dwal__histogram_count(histogram);
    return count == 0 ? 0 : (double)load(&histogram->sum) / (double)count;
}
