/* SPDX-License-Identifier: MIT */
/*
 * The parts of waldump: the options, the walk over the log, and what prints.
 */
#ifndef DWAL_FSCK_DUMP_H
#define DWAL_FSCK_DUMP_H

#include "../recover/reader.h"

enum dwal__dump_what {
    DWAL__DUMP_RECORDS,
    DWAL__DUMP_BATCHES,
    DWAL__DUMP_SEGMENTS,
    DWAL__DUMP_STATS,
    DWAL__DUMP_NOTHING /* only reads and checks */
};

enum dwal__dump_form {
    DWAL__DUMP_TABLE,
    DWAL__DUMP_JSON,
    DWAL__DUMP_RAW,
    DWAL__DUMP_HEX
};

struct dwal__dump_options {
    const char *path;
    enum dwal__dump_what what;
    enum dwal__dump_form form;
    bool lines;         /* raw: a newline behind each payload */
    bool system;        /* system records, too */
    uint64_t start_lsn; /* 0: the first that is there */
    uint64_t end_lsn;   /* the last one to show; UINT64_MAX: no limit */
    uint64_t limit;     /* of rows; UINT64_MAX: none */
    bool filter_type, filter_tenant, filter_shard;
    uint16_t type;
    uint32_t tenant;
    uint32_t shard;
    uint64_t *segments;   /* only these, ascending, each once; … */
    size_t segment_count; /* … 0: all */
};

/* Reads the command line. Returns true if there is work to do; otherwise
 * everything is said and *@status is the exit code. segments is freed by the
 * caller. */
bool dwal__dump_options_read(struct dwal__dump_options *options, int argc,
                             char **argv, int *status);

/* True if segment @number is wanted. */
bool dwal__dump_segment_wanted(const struct dwal__dump_options *options,
                               uint64_t number);

/* Widths of columns, wide enough for what is there now. */
struct dwal__dump_widths {
    int lsn;
    int segment;
    int offset;
};

/* What takes the items of a walk. Begin is called once, before the first item,
 * end once, after the last one, whatever ended the walk. */
struct dwal__dump_printer {
    void (*begin)(const struct dwal__dump_options *options,
                  struct dwal__dump_widths widths);
    /* True if it made a row, for the limit. */
    bool (*item)(const struct dwal__dump_options *options,
                 const struct dwal__reader_item *item);
    void (*end)(const struct dwal__dump_options *options);
};

/* dump_records.c, dump_batches.c, dump_stats.c. One log a process. */
const struct dwal__dump_printer *dwal__dump_records(enum dwal__dump_form form);
extern const struct dwal__dump_printer dwal__dump_batches;
extern const struct dwal__dump_printer dwal__dump_stats;

/* The log as it was opened. */
struct dwal__dump {
    const struct dwal__dump_options *options;
    struct dwal__disk *disk;
    int dir;
    struct dwal__reader *reader; /* NULL: it could not be opened */
    uint64_t *numbers;           /* of all segment files, ascending */
    size_t number_count;
};

/* dump_segments.c: segment @number of the log, NULL if it is none of it; and
 * what it is: "live", "trimmed", "dead", "unused", "ahead", "unknown". */
const struct dwal__lineage_segment *
dwal__dump_lineage_segment(const struct dwal__dump *dump, uint64_t number);
const char *dwal__dump_segment_state(const struct dwal__dump *dump,
                                     uint64_t number);

/* dump_walk.c: prints what is wanted of the records. Exit code. */
int dwal__dump_walk(struct dwal__dump *dump);

/* dump_segments.c: one row a segment file. Exit code; what is wrong with the
 * log as a whole is told by the caller. */
int dwal__dump_segments(struct dwal__dump *dump);

/* Tells why reading ended with @code, in as far as it is worth it. Exit code. */
int dwal__dump_conclude(struct dwal__dump *dump, int code,
                        const struct dwal_error *error);

#endif
