/* SPDX-License-Identifier: MIT */
/*
 * The format of README.md, both ways. Little-endian, byte by byte. A value is
 * written only if it would be accepted when it is read.
 */
#include "layout.h"

#include <string.h>

#define VOTE_MAGIC UINT32_C(0x46525744) /* "DWRF" */
#define VOTE_VERSION 1

const uint8_t dwal_raft__guard[DWAL_RAFT__GUARD_SIZE] = {
    'd', 'w', 'a', 'l', 'r', 'a', 'f', 't', /* where libraft has its version */
    1,                                      /* the version of this directory */
};

static void put(uint8_t *at, unsigned size, uint64_t value) {
    for (unsigned i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, unsigned size) {
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void dwal_raft__vote_encode(const struct dwal_raft__vote *vote,
                            uint8_t bytes[DWAL_RAFT__VOTE_SIZE]) {
    put(bytes, 4, VOTE_MAGIC);
    put(bytes + 4, 4, VOTE_VERSION);
    put(bytes + 8, 8, vote->term);
    put(bytes + 16, 8, vote->voted_for);
}

const char *dwal_raft__vote_decode(const uint8_t *bytes, size_t size,
                                   struct dwal_raft__vote *vote) {
    struct dwal_raft__vote read = {0};
    if (size != 0) {
        if (size < 8 || get(bytes, 4) != VOTE_MAGIC)
            return "the metadata is not a term and a vote";
        if (get(bytes + 4, 4) != VOTE_VERSION || size != DWAL_RAFT__VOTE_SIZE)
            return "the metadata has a version that is not known here";
        read.term = get(bytes + 8, 8);
        read.voted_for = get(bytes + 16, 8);
        if (read.term == 0)
            return "the metadata has term 0";
    }
    *vote = read;
    return NULL;
}

void dwal_raft__entry_encode(const struct raft_entry *entry,
                             struct dwal_record *record) {
    *record = (struct dwal_record){
        .data = entry->buf.base,
        .size = (uint32_t)entry->buf.len,
        .type = entry->type,
        .tenant = (uint32_t)entry->term,
        .shard = (uint32_t)((uint64_t)entry->term >> 32),
    };
}

const char *dwal_raft__entry_check(const struct raft_entry *entry,
                                   const struct dwal_raft__vote *vote) {
    if (entry->type < RAFT_COMMAND || entry->type > RAFT_CHANGE)
        return "its type is not one of libraft 0.15";
    if (entry->term == 0)
        return "its term is 0";
    if (entry->term > vote->term)
        return "its term is above the current one";
    return NULL;
}

const char *dwal_raft__entry_decode(const struct dwal_record *record,
                                    const struct dwal_raft__vote *vote,
                                    struct raft_entry *entry) {
    if (record->flags != 0)
        return "it has flags, which are not known here";
    entry->type = record->type;
    entry->term = (raft_term)record->shard << 32 | record->tenant;
    return dwal_raft__entry_check(entry, vote);
}
