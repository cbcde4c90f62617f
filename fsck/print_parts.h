/* SPDX-License-Identifier: MIT */
/* What the files that print walfsck's report share (print.h). */
#ifndef DWAL_FSCK_PRINT_PARTS_H
#define DWAL_FSCK_PRINT_PARTS_H

#include "cli.h"
#include "json.h"
#include "print.h"

/* A line on standard output, its control characters escaped. */
void dwal__print_line(enum dwal__cli_style style, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* @path as a word for a shell; in quotes if it needs some. */
#define DWAL__PRINT_WORD_SIZE 4200
void dwal__print_word(const char *path, char word[DWAL__PRINT_WORD_SIZE]);

/* True if the verdict is that acknowledged data is gone, and which. */
bool dwal__print_lost(const struct dwal__recovery *recovery);

/* What the repair that is planned brings back of what is damaged: by patches
 * alone and all of it, or a part, or nothing. */
enum dwal__print_mends {
    DWAL__MENDS_NOTHING,
    DWAL__MENDS_SOME,
    DWAL__MENDS_ALL
};
enum dwal__print_mends dwal__print_mends(const struct dwal__check *check);

/* null, or an object; open above: "to" is null. */
void dwal__print_range(struct dwal__json *json, const char *name, bool present,
                       uint64_t from, uint64_t to);

#endif
