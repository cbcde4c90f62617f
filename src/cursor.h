/* SPDX-License-Identifier: MIT */
/*
 * What the files of the cursor share: cursor.c opens it, and reads record by
 * record; cursor_wait.c waits; cursor_load.c reads in bulk; cursor_get.c gets
 * single records.
 */
#ifndef DWAL_SRC_CURSOR_H
#define DWAL_SRC_CURSOR_H

#include "../recover/reader.h"
#include "log.h"

struct dwal_cursor {
    struct dwal_cursor_options options;
    struct dwal__disk *disk;
    struct dwal__reader *reader;
    struct dwal__view *view; /* NULL: the log is not open in this process */
    /* For single records; NULL until one is wanted. The getter knows the end of
     * the log by itself, so that the place of the cursor is no matter of it. */
    struct dwal__reader *getter;
    struct dwal__places *places; /* what both have learned */
    int dir;
    char *path;
    uint32_t forks; /* dwal__forks at open */
};

/* DWAL_OK if @cursor is one of this process, otherwise DWAL_EINVAL; the second
 * wants somewhere to put a record, too. */
int dwal__cursor_check(const struct dwal_cursor *cursor,
                       struct dwal_error *error);
int dwal__cursor_check_record(const struct dwal_cursor *cursor,
                              const struct dwal_record *record,
                              struct dwal_error *error);

/* The view of the log in this directory, if this process has it open; NULL, if
 * not. 0 or -errno. */
int dwal__cursor_view(struct dwal_cursor *cursor, struct dwal__view **view);

/* Finds out whether the log is open in this process, and looks accordingly from
 * now on. The place stays. */
int dwal__cursor_switch(struct dwal_cursor *cursor, struct dwal_error *error);

/* The same, if the log that it looked at was closed in this process. */
int dwal__cursor_follow(struct dwal_cursor *cursor, struct dwal_error *error);

/* Opens @reader by these options, to look as the cursor does. */
int dwal__cursor_reader(struct dwal_cursor *cursor,
                        struct dwal__reader_options *options,
                        struct dwal__reader **reader, struct dwal_error *error);

/* @code of the reader; names the log in what it said. */
int dwal__cursor_told(const struct dwal_cursor *cursor, int code,
                      struct dwal_error *error);

/* The next record, whichever it is: looks at it, for dwal__reader_take. */
int dwal__cursor_peek(struct dwal_cursor *cursor,
                      struct dwal__reader_item *item, struct dwal_error *error);

bool dwal__cursor_matches(const struct dwal_cursor *cursor,
                          const struct dwal__record *record);

/* What the caller gets of @record, with the payload at @data. */
struct dwal_record dwal__cursor_record(const struct dwal__record *record,
                                       const void *data);

/* The next record that matches. DWAL_ETIMEDOUT: @deadline passed while others
 * were passed by. Otherwise the codes of dwal_cursor_next. */
int dwal__cursor_next(struct dwal_cursor *cursor, struct dwal_record *record,
                      int64_t deadline, struct dwal_error *error);

#endif
