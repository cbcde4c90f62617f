/* SPDX-License-Identifier: MIT */
/*
 * Reading the records of a log in LSN order: what cursors and waldump stand on.
 *
 * Three ways to know where the durable part ends (SPEC 7 and 12): the log's own
 * process says it (options.durable); another process has the log: watermarks
 * that were read; nobody has it: recovery, after a sync of what it read.
 */
#ifndef DWAL_RECOVER_READER_H
#define DWAL_RECOVER_READER_H

#include "recover.h"

struct dwal__reader;

struct dwal__reader_options {
    struct dwal__disk *disk;
    int dir;            /* handle; stays the caller's */
    uint64_t start_lsn; /* 0: the first that is there */
    bool system;        /* deliver system records too, in their place */
    /* For a log that is open in this process: what is durable now. Any time,
     * from the reader's thread. NULL: find out. */
    void (*durable)(void *argument, struct dwal__watermark *watermark,
                    uint64_t *first_lsn);
    void *durable_argument;
    struct dwal__recover_hooks hooks; /* for the recovery at open */
};

struct dwal__reader_item {
    struct dwal__record record; /* data valid until the next call */
    uint64_t segment;
    uint64_t offset;       /* of the record's header */
    uint64_t batch_offset; /* of its batch's header */
    struct dwal__batch_header batch;
    uint32_t batch_index;  /* of this record in it, from 0 */
};

/* DWAL_OK, DWAL_ENOENT, DWAL_EIO, DWAL_EVERSION, DWAL_ENOMEM, DWAL_ETRIMMED,
 * DWAL_ECORRUPT (no beginning can be found). */
int dwal__reader_open(const struct dwal__reader_options *options,
                      struct dwal__reader **reader, struct dwal_error *error);

/* DWAL_OK, DWAL_END, DWAL_ECORRUPT (the place is in @error; the reader stays
 * where it is), DWAL_ETRIMMED, DWAL_ECUT, DWAL_EIO, DWAL_EVERSION,
 * DWAL_ENOMEM. */
int dwal__reader_next(struct dwal__reader *reader,
                      struct dwal__reader_item *item,
                      struct dwal_error *error);

int dwal__reader_seek(struct dwal__reader *reader, uint64_t lsn,
                      struct dwal_error *error);

void dwal__reader_close(struct dwal__reader *reader);

/* True if another process had the log when the reader was opened. */
bool dwal__reader_live(const struct dwal__reader *reader);

/* What recovery said at open; NULL if the log was live or options.durable was
 * given. */
const struct dwal__recovery *
dwal__reader_recovery(const struct dwal__reader *reader);

#endif
