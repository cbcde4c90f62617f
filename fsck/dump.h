/* SPDX-License-Identifier: MIT */
/*
 * The parts of waldump: the options, the walk over the log, and what prints.
 */
#ifndef DWAL_FSCK_DUMP_H
#define DWAL_FSCK_DUMP_H

#include <stdio.h>

#include "../recover/pause.h"
#include "../recover/reader.h"

enum dwal__dump_what {
    DWAL__DUMP_RECORDS,
    DWAL__DUMP_BATCHES,
    DWAL__DUMP_SEGMENTS,
    DWAL__DUMP_STATS,
    DWAL__DUMP_MAP,
    DWAL__DUMP_EXTRACT, /* one payload, to a file */
    DWAL__DUMP_NOTHING  /* only reads and checks */
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
    bool follow;        /* wait at the end for more */
    bool skip_damage;   /* go on behind what cannot be read */
    bool system;        /* system records, too */
    uint64_t start_lsn; /* 0: the first that is there */
    uint64_t end_lsn;   /* the last one to show; UINT64_MAX: no limit */
    uint64_t limit;     /* of rows; UINT64_MAX: none */
    bool filter_type, filter_tenant, filter_shard;
    uint16_t type;
    uint32_t tenant;
    uint32_t shard;
    uint64_t *segments;         /* only these, ascending, each once; … */
    size_t segment_count;       /* … 0: all */
    uint64_t cell_size;         /* map: bytes of a cell; 0: one row a segment */
    uint64_t extract_lsn;       /* extract: the record, … */
    const char *output;         /* … and the file; "-": standard output */
    bool force;                 /* extract: replace it if it is there */
    const char *decoder;        /* a command; NULL: none */
    uint64_t decoder_timeout_s; /* for one answer */
};

extern const char dwal__dump_help[];

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

/* The log as it was opened. */
struct dwal__dump {
    const struct dwal__dump_options *options;
    struct dwal__disk *disk;
    int dir;
    struct dwal__reader *reader; /* NULL: it could not be opened */
    uint64_t *numbers;           /* of all segment files, ascending */
    size_t number_count;
    bool torn_told;             /* a torn tail was told … */
    struct dwal__position torn; /* … that of this end */
};

/* dump_segments.c: what recovery found out about segment @number, NULL without
 * a recovery; segment @number of the log, NULL if it is none of it; and
 * what it is: "live", "trimmed", "dead", "unused", "ahead", "unknown". */
const struct dwal__found_segment *
dwal__dump_found_segment(const struct dwal__dump *dump, uint64_t number);
const struct dwal__lineage_segment *
dwal__dump_lineage_segment(const struct dwal__dump *dump, uint64_t number);
const char *dwal__dump_segment_state(const struct dwal__dump *dump,
                                     uint64_t number);

/* What takes the items of a walk. Begin is called once, before the first item,
 * end once, after the last one, whatever ended the walk. What could not be done
 * is told by the printer, and its end says so in its exit code; once it has
 * failed no more items come. Each but item may be NULL. */
struct dwal__dump_printer {
    void (*begin)(const struct dwal__dump_options *options,
                  struct dwal__dump_widths widths);
    /* True if it made a row, for the limit. */
    bool (*item)(const struct dwal__dump_options *options,
                 const struct dwal__reader_item *item);
    bool (*failed)(void);
    int (*end)(const struct dwal__dump_options *options);
};

/* dump_records.c, dump_batches.c, dump_stats.c, dump_extract.c. One log a
 * process. */
const struct dwal__dump_printer *dwal__dump_records(enum dwal__dump_form form);
extern const struct dwal__dump_printer dwal__dump_batches;
extern const struct dwal__dump_printer dwal__dump_stats;
extern const struct dwal__dump_printer dwal__dump_extract;

/* One pass over what is wanted of the log. */
struct dwal__walk {
    struct dwal__dump *dump;
    const struct dwal__dump_printer *printer;
    uint64_t rows;
    uint64_t next_lsn; /* the one behind the last that was met; 0: any */
    uint64_t segment;  /* of the last item */
    bool damaged;      /* something that is wanted was passed by */
    bool done;         /* everything that was asked for was shown */
};

/* dump_walk.c: takes one item; sets walk->done at the last one that is wanted.
 */
void dwal__walk_take(struct dwal__walk *walk,
                     const struct dwal__reader_item *item);

/* dump_gap.c: tell on standard error, and in JSON, what is not shown, and put
 * walk->next_lsn behind it. */
void dwal__walk_trimmed(struct dwal__walk *walk, uint64_t lsn);
void dwal__walk_cut(struct dwal__walk *walk, uint64_t last_lsn);
/* @text says what is wrong at @damage->place. */
void dwal__walk_hole(struct dwal__walk *walk,
                     const struct dwal__reader_damage *damage,
                     const char *text);

/* dump_beyond.c: where the log is corrupt, and the reader goes no further:
 * shows what is whole up to the last LSN that is known to have been durable,
 * and tells the holes. DWAL_OK, or the code of what ended it. */
int dwal__walk_beyond(struct dwal__walk *walk, struct dwal_error *error);

/* dump_follow.c: waiting for more. */
struct dwal__follow {
    int notify; /* inotify; -1: there is none */
    struct dwal__pause pause;
};
void dwal__follow_begin(struct dwal__follow *follow,
                        const struct dwal__dump *dump);
/* Waits until it is worth it to look again, at most for a moment while somebody
 * writes the log. False: no more is wanted, by a signal, or since nobody reads
 * standard output any more. */
bool dwal__follow_wait(struct dwal__follow *follow,
                       const struct dwal__dump *dump);
/* There was something new. */
void dwal__follow_moved(struct dwal__follow *follow);
void dwal__follow_end(struct dwal__follow *follow);

/* dump_walk.c: prints what is wanted of the records. @code and @error are what
 * the opening of the reader came to: DWAL_OK, or DWAL_ECORRUPT where damage is
 * to be skipped. Exit code. */
int dwal__dump_walk(struct dwal__dump *dump, int code,
                    struct dwal_error *error);

/* dump_segments.c: one row a segment file. Exit code; what is wrong with the
 * log as a whole is told by the caller. */
int dwal__dump_segments(struct dwal__dump *dump);

/* dump_map.c: a picture of each segment file. Exit code, as above. */
int dwal__dump_map(struct dwal__dump *dump);

/* dump_decoder.c: the program of --decoder, once begun. The answer to @record,
 * of *@size bytes, valid until the next call; NULL: it failed, which was told.
 */
void dwal__decoder_begin(const struct dwal__dump_options *options);
const char *dwal__decoder_answer(const struct dwal__reader_item *item,
                                 size_t *size);
bool dwal__decoder_failed(void);
/* Ends it. Exit code. */
int dwal__decoder_end(void);

/* dump_records.c: a record as --json shows it, but for the end of the object.
 */
struct dwal__json;
void dwal__record_json(struct dwal__json *json, FILE *stream,
                       const struct dwal__reader_item *item);

/* dump_end.c: tells of a torn tail at which the reader stands, each one once.
 * False: there is none. */
bool dwal__dump_torn_tell(struct dwal__dump *dump);

/* Tells why reading ended with @code, in as far as it is worth it. Exit
 * code. */
int dwal__dump_conclude(struct dwal__dump *dump, int code,
                        const struct dwal_error *error);

#endif
