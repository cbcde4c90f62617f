/* SPDX-License-Identifier: MIT */
/*
 * The log of a disk's writes, in the format of dm-log-writes, so that its tools
 * read it too. Sector 0: magic, version, number of entries, sector size. Then
 * the entries: a sector of header (for a mark, with its text), then the data.
 *
 * The number of entries is raised last and in shared memory: who has mapped the
 * file sees at any time how many are there. That is how a writer of marks tells
 * the moment at which it was acknowledged.
 */
#ifndef DWAL_TESTS_REALFS_WRITELOG_H
#define DWAL_TESTS_REALFS_WRITELOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum writelog_flags {
    WRITELOG_FLUSH = 1,
    WRITELOG_FUA = 2,
    WRITELOG_DISCARD = 4, /* reads as zeros from then on */
    WRITELOG_MARK = 8
};

/* The largest text of a mark in the smallest sector. */
#define WRITELOG_TEXT_MAX 479

struct writelog_super;

struct writelog {
    int fd;
    uint32_t sector_size; /* bytes */
    uint64_t end;         /* where the next entry goes */
    struct writelog_super *super;
};

struct writelog_entry {
    uint64_t offset; /* on the disk, bytes */
    uint64_t size;   /* bytes; 0 for flushes and marks */
    uint64_t flags;
    const uint8_t *data; /* @size bytes; NULL for discards */
    const char *text;    /* of a mark, not terminated … */
    size_t text_size;
};

/* A log read whole. */
struct writelog_view {
    uint32_t sector_size;
    size_t count;
    struct writelog_entry *entries;
    uint64_t end; /* behind the last entry */
    void *map;
    size_t map_size;
};

/* All return 0 or -errno; -EINVAL for a file that is no such log. */
int writelog_create(struct writelog *log, const char *path,
                    uint32_t sector_size);
/* Goes on behind the last entry. */
int writelog_open(struct writelog *log, const char *path);
/* Not thread-safe. @entry->text for marks, @entry->data for writes. */
int writelog_append(struct writelog *log, const struct writelog_entry *entry);
void writelog_close(struct writelog *log);

int writelog_view_open(struct writelog_view *view, const char *path);
void writelog_view_close(struct writelog_view *view);

/* For writers of marks: maps the number of entries of a log that grows. NULL
 * with errno. Read it with writelog_counter_read. */
struct writelog_super *writelog_counter_map(const char *path);
uint64_t writelog_counter_read(const struct writelog_super *super);

#endif
