/* SPDX-License-Identifier: MIT */
/*
 * Bytes and values: what a raft entry, and a term with a vote, are in a dwal log
 * (README.md, "Format"). Nothing that is read is trusted.
 */
#ifndef DWAL_RAFT_LAYOUT_H
#define DWAL_RAFT_LAYOUT_H

#include <stdbool.h>

#include "dwal_raft.h"

/* The log's metadata. */
struct dwal_raft__vote {
    raft_term term;
    raft_id voted_for; /* 0: nobody */
};

#define DWAL_RAFT__VOTE_SIZE 24

void dwal_raft__vote_encode(const struct dwal_raft__vote *vote,
                            uint8_t bytes[DWAL_RAFT__VOTE_SIZE]);

/* A log without metadata, @size 0, is one without a term. Returns NULL, or what
 * is wrong. */
const char *dwal_raft__vote_decode(const uint8_t *bytes, size_t size,
                                   struct dwal_raft__vote *vote);

/* Fills @record, which then points into @entry's buffer. */
void dwal_raft__entry_encode(const struct raft_entry *entry,
                             struct dwal_record *record);

/* Type and term of the entry that @record is, which stands for one of a log with
 * @vote; buffers are the caller's. Returns NULL, or what is wrong. */
const char *dwal_raft__entry_decode(const struct dwal_record *record,
                                    const struct dwal_raft__vote *vote,
                                    struct raft_entry *entry);

/* Whether an entry of this type and term may stand in a log with @vote: NULL, or
 * what is wrong. */
const char *dwal_raft__entry_check(const struct raft_entry *entry,
                                   const struct dwal_raft__vote *vote);

/* The file that keeps libraft's own backend out: in its place, and of its size,
 * but of a format that it does not know. */
#define DWAL_RAFT__GUARD_NAME "metadata1"
#define DWAL_RAFT__GUARD_SIZE 32
extern const uint8_t dwal_raft__guard[DWAL_RAFT__GUARD_SIZE];

#endif
