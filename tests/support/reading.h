/* SPDX-License-Identifier: MIT */
/*
 * A reader on a built log in memory, that may be live: reading.held says
 * whether a writer has it. What the reader delivers is compared with the bytes
 * that were built.
 */
#ifndef DWAL_TESTS_READING_H
#define DWAL_TESTS_READING_H

#include "check.h"
#include "imagedisk.h"
#include "recover/reader.h"

struct reading {
    struct imagedisk image; /* first: its disk is what is read */
    struct dwal__disk_ops ops;
    const struct dwal__disk_ops *image_ops; /* what they stand on */
    bool held;
    uint64_t operations; /* on the disk, so far */
    uint64_t fail_at;    /* this one of them fails with EIO; UINT64_MAX: none */
    bool inside;         /* the reader gets reading_durable */
    struct dwal__watermark durable;
    uint64_t first_lsn;
    bool system;
    struct dwal__reader *reader;
    struct dwal__reader_item item; /* the latest */
    struct dwal_error error;
};

void reading_init(struct reading *reading, const struct logbuild *log);

/* Opens a reader at @lsn, closing the one before. The code of the open. */
int reading_open(struct reading *reading, uint64_t lsn);

/* Closes it, and fails if a handle was left open. */
void reading_close(struct reading *reading);

/* The next item, compared with the log's bytes; the code. */
int reading_next(struct reading *reading);

/* Fails unless the next records are @from to @to, system records apart. */
void reading_expect(struct reading *reading, uint64_t from, uint64_t to);

/* Fails unless the next item is a system record of @type. */
void reading_expect_system(struct reading *reading, uint16_t type);

/* Fails unless there is no next record, for this reason, asked twice. */
void reading_expect_code(struct reading *reading, int code);

/* Opens at the first, expects @from to @to and then @code. */
void reading_all(struct reading *reading, uint64_t from, uint64_t to, int code);

/* The damage that was reported last. */
void reading_expect_damage(const struct reading *reading, uint64_t segment,
                           uint64_t offset, uint64_t lost_from,
                           uint64_t lost_to);

#endif
