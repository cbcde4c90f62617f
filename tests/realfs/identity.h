/* SPDX-License-Identifier: MIT */
/*
 * Records that say who they are: the identity is the beginning of the payload,
 * and everything else of the record follows from it. So who reads one can tell
 * whether it is unchanged, and whose it is, without any list.
 */
#ifndef DWAL_TESTS_REALFS_IDENTITY_H
#define DWAL_TESTS_REALFS_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "src/dwal.h"

#define IDENTITY_PAYLOAD_MAX 40000u
#define IDENTITY_THREADS_MAX 64u
#define IDENTITY_LIVES_MAX 64u
#define IDENTITY_BATCH_MAX 16u

struct identity {
    uint64_t salt; /* of the recording: its seed */
    uint32_t life; /* which run of the workload in it */
    uint32_t thread;
    uint64_t number; /* of the thread's record, from 0 */
    uint32_t index;  /* in its dwal_append_batch, … */
    uint32_t count;  /* … which has so many */
};

/* A number that looks random and follows from @value. */
uint64_t identity_mix(uint64_t value);

/* Fills @record; the payload, IDENTITY_PAYLOAD_MAX at most, goes to @bytes. */
void identity_record(const struct identity *identity,
                     struct dwal_record *record, uint8_t *bytes);

/* False if @record is not exactly what identity_record made. @scratch has
 * IDENTITY_PAYLOAD_MAX bytes. */
bool identity_read(const struct dwal_record *record, struct identity *identity,
                   uint8_t *scratch);

#endif
