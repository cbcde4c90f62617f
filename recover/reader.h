/* SPDX-License-Identifier: MIT */
/*
 * Reading the records of a log in LSN order: what cursors and waldump stand on.
 *
 * Three ways to know where the durable part ends (SPEC 7 and 12): the log's own
 * process says it (options.durable); another process has the log: watermarks
 * that were read; nobody has it: recovery, after a sync of what it read. The
 * last two turn into each other as writers come and go.
 *
 * A batch is checked wholly before anything of it is shown. Whatever lies
 * before the durable end and is not valid is damage; what is being written
 * behind it never is. One thread at a time.
 */
#ifndef DWAL_RECOVER_READER_H
#define DWAL_RECOVER_READER_H

#include "lineage.h"
#include "places.h"
#include "recover.h"

struct dwal__reader;

struct dwal__reader_options {
    struct dwal__disk *disk;
    int dir;            /* handle; stays the caller's */
    uint64_t start_lsn; /* 0: the first that is there */
    bool system;        /* deliver system records too, in their place */
    /* For a log that is open in this process: what is durable now, and the trim
     * point + 1. Any time, from the reader's thread. @first_lsn must be raised
     * before a file is retired. NULL: find out. */
    void (*durable)(void *argument, struct dwal__watermark *watermark,
                    uint64_t *first_lsn);
    void *durable_argument;
    struct dwal__recover_hooks hooks; /* for each recovery */
    /* Not NULL: only dwal__reader_get will be called, which uses this index. */
    struct dwal__places *places;
};

struct dwal__reader_item {
    struct dwal__record record; /* data valid until the next call */
    uint64_t segment;
    uint64_t offset;       /* of the record's header */
    uint64_t batch_offset; /* of its batch's header */
    struct dwal__batch_header batch;
    uint32_t batch_index; /* of this record in it, from 0 */
};

/* What stands in the way, after DWAL_ECORRUPT. */
struct dwal__reader_damage {
    struct dwal__position place;
    /* Records that cannot be read; from > to when only system records, or
     * nothing that is known, are concerned. */
    uint64_t lost_from;
    uint64_t lost_to;
    bool passable; /* a seek behind lost_to finds more records */
    bool stated;   /* nothing is damaged: the log itself says that they are
                    * lost (SPEC 6.1), since it was salvaged without them */
};

/* DWAL_OK, DWAL_ENOENT, DWAL_EIO, DWAL_EVERSION, DWAL_ENOMEM, DWAL_ETRIMMED,
 * DWAL_ECORRUPT (no beginning can be found), DWAL_EAGAIN (cancelled by the
 * progress hook). */
int dwal__reader_open(const struct dwal__reader_options *options,
                      struct dwal__reader **reader, struct dwal_error *error);

/*
 * DWAL_OK, DWAL_END (a later call may find more), DWAL_EIO, DWAL_EVERSION,
 * DWAL_ENOMEM, DWAL_EAGAIN. DWAL_ECORRUPT: the next record is damaged or gone;
 * the place is in @error and in dwal__reader_damage, and the reader stays where
 * it is. DWAL_ETRIMMED (the next record is gone), DWAL_ECUT (what was shown
 * is): only a seek goes on.
 */
int dwal__reader_next(struct dwal__reader *reader,
                      struct dwal__reader_item *item, struct dwal_error *error);

/* The same in two steps: looks at the next item, as often as one likes; and goes
 * on behind the one that was looked at, without a look at anything else
 * between. */
int dwal__reader_peek(struct dwal__reader *reader,
                      struct dwal__reader_item *item, struct dwal_error *error);
void dwal__reader_take(struct dwal__reader *reader,
                       const struct dwal__reader_item *item);

/*
 * The record with @lsn, of a reader that was opened with an index; one read of
 * the disk where the index knows the place, and a few where it does not. A cut
 * that was acknowledged before the call is taken into account: so, where another
 * process has the log, it looks first whether a new segment has begun.
 *
 * DWAL_OK; DWAL_END: not durable yet, as far as is known; DWAL_ECUT: it was
 * known to be durable, was cut off, and not given again; DWAL_ETRIMMED;
 * DWAL_ECORRUPT: it is damaged; and the other codes of dwal__reader_next.
 */
int dwal__reader_get(struct dwal__reader *reader, uint64_t lsn,
                     struct dwal__reader_item *item, struct dwal_error *error);

/* What the reader passes by is put down in @places from now on. */
void dwal__reader_teach(struct dwal__reader *reader,
                        struct dwal__places *places);

/* The next record is then that with @lsn (0: the first that is there), or the
 * first system record behind the one before it. @lsn may lie behind the end.
 * Damage before it is passed by. DWAL_OK; on DWAL_ETRIMMED, DWAL_ECORRUPT,
 * DWAL_EIO, DWAL_EVERSION, DWAL_ENOMEM the reader stays where it was. */
int dwal__reader_seek(struct dwal__reader *reader, uint64_t lsn,
                      struct dwal_error *error);

/* After DWAL_ECORRUPT from dwal__reader_next: goes on behind the damage, system
 * records included. DWAL_OK; DWAL_ECORRUPT if nothing behind it can be read,
 * and the codes of dwal__reader_seek. */
int dwal__reader_pass(struct dwal__reader *reader, struct dwal_error *error);

/* The next item is then the first of segment @number, or what follows it.
 * DWAL_OK, or DWAL_EINVAL if the lineage does not have it. */
int dwal__reader_seek_segment(struct dwal__reader *reader, uint64_t number,
                              struct dwal_error *error);

/* The log was closed in this process, or opened: from now on options.durable is
 * @durable (NULL: find out). The place stays, and what is found there is told
 * as for any reader that looks again. The codes of dwal__reader_open; on failure
 * nothing has changed. */
int dwal__reader_switch(struct dwal__reader *reader,
                        void (*durable)(void *argument,
                                        struct dwal__watermark *watermark,
                                        uint64_t *first_lsn),
                        void *argument, struct dwal_error *error);

void dwal__reader_close(struct dwal__reader *reader);

/* True as long as another process has the log, as far as the reader noticed. */
bool dwal__reader_live(const struct dwal__reader *reader);

/* What the latest recovery said; NULL as long as the log is live, and if
 * options.durable was given. Valid until the next call that reads. */
const struct dwal__recovery *
dwal__reader_recovery(const struct dwal__reader *reader);

/* What a reader will be told at the end of what recovery found, without reading
 * up to there: DWAL_END, DWAL_ECORRUPT or DWAL_EIO. DWAL_END as long as
 * dwal__reader_recovery is NULL. */
int dwal__reader_verdict(struct dwal__reader *reader, struct dwal_error *error);

/* The LSN that the next record has at least. */
uint64_t dwal__reader_wanted(const struct dwal__reader *reader);

/* The first LSN that is not trimmed, and the durable end, as far as known. */
uint64_t dwal__reader_first_lsn(const struct dwal__reader *reader);
const struct dwal__watermark *
dwal__reader_end(const struct dwal__reader *reader);

/* The segments of the log, from the first record to the durable end. Valid
 * until the next call that reads. */
const struct dwal__lineage *
dwal__reader_lineage(const struct dwal__reader *reader);

/* After DWAL_ECORRUPT; otherwise meaningless. */
const struct dwal__reader_damage *
dwal__reader_damage(const struct dwal__reader *reader);

#endif
