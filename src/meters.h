/* SPDX-License-Identifier: MIT */
/*
 * What a log counts and times for dwal_stats_get. Counting is done by who has
 * the batch, the segment or the lock in hand anyway, so an append pays nothing:
 * each figure has one writer at a time, named below, and any number of readers.
 * What callers count themselves, commits and wake-ups, is made of atomic steps.
 *
 * Lives in pages of its own that nobody touches before there is something to
 * count: a log that is only open takes no memory for it.
 */
#ifndef DWAL_SRC_METERS_H
#define DWAL_SRC_METERS_H

#include "histogram.h"

/* Why a batch was closed. */
enum dwal__seal_why {
    DWAL__SEAL_NATURAL,        /* nothing was in flight */
    DWAL__SEAL_GATHERED,       /* … and all callers waited for had come */
    DWAL__SEAL_GATHER_TIMEOUT, /* … or not all had */
    DWAL__SEAL_LARGE,          /* large enough to follow one in flight */
    DWAL__SEAL_FULL,           /* the next record did not fit */
    DWAL__SEAL_SEGMENT,        /* a new segment was asked for */
    DWAL__SEAL_SYSTEM,         /* no application record in it */
    DWAL__SEAL_COUNT
};

/* Commits are counted by processor, so that their callers do not fight for a
 * cache line. */
#define DWAL__COMMIT_SHARDS 8u

struct dwal__meters {
    /* place_lock */
    _Atomic uint64_t sealed[DWAL__SEAL_COUNT]; /* batches */
    _Atomic uint64_t lsns_sealed;              /* application records in them */
    _Atomic uint64_t places_waited, places_refused;
    _Atomic uint64_t segments_entered;

    /* role */
    _Alignas(64) _Atomic uint64_t record_bytes; /* in batches completed */
    _Atomic uint64_t lsns_completed;            /* likewise */
    _Atomic uint64_t syncs;
    _Atomic uint64_t watermark_lsn; /* of the last batch completed */
    _Atomic uint64_t gathering;     /* 1: batches wait for callers */
    _Atomic uint64_t queue_records_peak, queue_bytes_peak;

    /* the keeper */
    _Alignas(64) _Atomic uint64_t segments_made;
    _Atomic uint64_t segments_recycled; /* of them, out of a spare */
    _Atomic uint64_t segments_retired;
    _Atomic uint64_t zero_bytes;
    _Atomic uint64_t live, spares; /* now */

    /* anybody */
    _Alignas(64) _Atomic uint64_t slow_io;

    struct dwal__histogram place;                       /* place_lock */
    struct dwal__histogram gather;                      /* role */
    struct dwal__histogram write;                       /* role */
    struct dwal__histogram sync;                        /* role */
    struct dwal__histogram wake;                        /* anybody */
    struct dwal__histogram commit[DWAL__COMMIT_SHARDS]; /* anybody */
};

/* For the one writer of @figure. */
static inline void dwal__meter_set(_Atomic uint64_t *figure, uint64_t value) {
    atomic_store_explicit(figure, value, memory_order_relaxed);
}

static inline uint64_t dwal__meter_get(const _Atomic uint64_t *figure) {
    return atomic_load_explicit(figure, memory_order_relaxed);
}

static inline void dwal__meter_add(_Atomic uint64_t *figure, uint64_t more) {
    dwal__meter_set(figure, dwal__meter_get(figure) + more);
}

#endif
