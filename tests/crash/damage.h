/* SPDX-License-Identifier: MIT */
/*
 * Damage at rest (SPEC 1): one bit, sector or file that was synced is not what
 * it was. What recovery must make of it depends on what is left to prove it.
 */
#ifndef DWAL_TESTS_CRASH_DAMAGE_H
#define DWAL_TESTS_CRASH_DAMAGE_H

#include "oracle.h"
#include "simdisk.h"

enum damage_kind {
    DAMAGE_FLIP,        /* one bit */
    DAMAGE_LOST,        /* a sector was never written */
    DAMAGE_STALE,       /* … has what it had before */
    DAMAGE_MISDIRECTED, /* … has what belongs elsewhere */
    DAMAGE_UNREADABLE,  /* … cannot be read */
    DAMAGE_BLOCK,       /* a block of 4096 bytes was never written */
    DAMAGE_TRUNCATED,   /* a file is shorter */
    DAMAGE_FILE,        /* a file is gone */
    DAMAGE_NEWEST,      /* … and so are all with larger names */
    DAMAGE_WRITE,       /* a batch was never written */
    DAMAGE_ELSEWHERE,   /* … but over something else */
    DAMAGE_KINDS
};

struct damage {
    enum damage_kind kind;
    char name[SIM_NAME_SIZE];
    uint64_t offset; /* of the sector */
    unsigned bit;    /* in the sector */
};

/* Damages @sim, all of which is durable, at random. False if that changed
 * nothing. */
bool damage_do(struct simdisk *sim, uint64_t *random, struct damage *damage);

void damage_describe(const struct damage *damage, char text[128]);

/* The largest watermark in any batch header that can be read: what is proven
 * to have been durable (SPEC 7.3), found without recovery. */
struct dwal__watermark damage_evidence(const struct simdisk *sim);

/* @found is what recovery makes of a damaged log that was promised to be as
 * @oracle says. False, and why, if a loss is silent. Counts in *@unproven what
 * is missing, not reported, and cannot be proven. */
bool damage_check(const struct damage *damage, const struct oracle *oracle,
                  const struct oracle_found *found,
                  const struct dwal__watermark *evidence, uint64_t *unproven,
                  char text[ORACLE_TEXT_SIZE]);

#endif
