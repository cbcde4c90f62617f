/* SPDX-License-Identifier: MIT */
/*
 * Builds logs of any shape in memory, segment by segment and batch by batch,
 * with the encoders of format/, and writes them to a directory or shows them as
 * a disk. What it builds is valid unless the test says otherwise; the bytes
 * are the test's to damage.
 *
 *     struct logbuild log;
 *     logbuild_init(&log, 512, 16 * 512);
 *     struct logbuild_segment *one = logbuild_segment(&log, 1, 0);
 *     logbuild_segment(&log, 2, 1);              // a prepared successor
 *     logbuild_start(&log, one, NULL);           // the first batch: its start
 *     logbuild_records(&log, one, 3, 40);        // one batch, LSNs 1 to 3
 *     logbuild_mark(&log, one);
 *     logbuild_write(&log, "/tmp/x");
 *     logbuild_free(&log);
 *
 * or, for a batch that is none of the usual ones:
 *
 *     logbuild_begin(&log, one);
 *     logbuild_record(&log, "a", 1);
 *     logbuild_trim(&log, 2);
 *     log.maker.header.watermark = …;
 *     logbuild_seal(&log);
 */
#ifndef DWAL_TESTS_LOGBUILD_H
#define DWAL_TESTS_LOGBUILD_H

#include "batch_maker.h"
#include "recover/disk.h"

#define LOGBUILD_SEGMENTS_MAX 32
#define LOGBUILD_BATCHES_MAX 256

/* One sealed batch: where it is, and what there is before and after it. */
struct logbuild_batch {
    uint64_t offset;
    uint64_t size; /* without the padding */
    uint64_t end;  /* behind the padding */
    uint64_t first_lsn;
    uint64_t last_lsn;
    uint32_t crc;
};

struct logbuild_segment {
    struct dwal__segment_header header;
    char name[64];  /* of the file; may be changed */
    bool present;   /* may be cleared: the file is gone */
    uint8_t *bytes; /* header.segment_size of them, the header included */
    uint64_t size;  /* of the file; may be lowered */
    uint64_t tail;  /* where the next batch will stand */
    uint32_t link;  /* what it will follow */
    uint64_t next_lsn;
    struct logbuild_batch batches[LOGBUILD_BATCHES_MAX];
    unsigned batch_count;
};

struct logbuild {
    uint32_t block_size; /* of segments added from now on */
    uint64_t segment_size;
    uint64_t epoch;
    struct dwal__uuid uuid;
    uint64_t random; /* state, for salts and payloads */
    bool lock_present;
    uint8_t lock[DWAL__LOCK_SIZE + 8];
    size_t lock_size;
    struct logbuild_segment *segments[LOGBUILD_SEGMENTS_MAX]; /* any order */
    unsigned segment_count;

    /* The batch that is being built. */
    struct batch_maker maker;
    struct logbuild_segment *segment;
};

/* A log with its LOCK and no segments. The seed of salts and payloads is fixed,
 * so a log is the same in every run. */
void logbuild_init(struct logbuild *log, uint32_t block_size,
                   uint64_t segment_size);
void logbuild_free(struct logbuild *log);

/* Adds a segment: a header, and zeros. */
struct logbuild_segment *logbuild_segment(struct logbuild *log, uint64_t number,
                                          uint64_t previous);

/* Turns @old into @number: a new header and salt, over what the old use left.
 * The batches that it remembers are forgotten. */
void logbuild_recycle(struct logbuild *log, struct logbuild_segment *old,
                      uint64_t number, uint64_t previous);

/* Encodes segment->header again, after a change of it. */
void logbuild_header(struct logbuild_segment *segment);

/* The start of what follows the last batch of @before (NULL: of nothing). */
struct dwal__start logbuild_after(const struct logbuild_segment *before);

/* The first batch of @segment: the start alone. NULL: after nothing. Its
 * watermark is the end of @start's predecessor. */
void logbuild_start(struct logbuild *log, struct logbuild_segment *segment,
                    const struct dwal__start *start);

/* Begins a batch behind the last. Its watermark is its own place: all before it
 * was durable. */
void logbuild_begin(struct logbuild *log, struct logbuild_segment *segment);
void logbuild_record(struct logbuild *log, const void *data, uint32_t size);
void logbuild_random_record(struct logbuild *log, uint32_t size);
void logbuild_system(struct logbuild *log, uint16_t type, const void *data,
                     uint32_t size);
void logbuild_start_record(struct logbuild *log,
                           const struct dwal__start *start);
void logbuild_trim(struct logbuild *log, uint64_t lsn);
/* Writes the batch; it stays readable in log->maker. Returns it. */
const struct logbuild_batch *logbuild_seal(struct logbuild *log);

/* Whole batches. */
const struct logbuild_batch *logbuild_records(struct logbuild *log,
                                              struct logbuild_segment *segment,
                                              uint32_t count, uint32_t size);
const struct logbuild_batch *logbuild_mark(struct logbuild *log,
                                           struct logbuild_segment *segment);
const struct logbuild_batch *logbuild_close(struct logbuild *log,
                                            struct logbuild_segment *segment);

/* The last batch of @segment. */
const struct logbuild_batch *
logbuild_last(const struct logbuild_segment *segment);

/* Makes the directory, if it is not there, and writes all files into it. */
void logbuild_write(const struct logbuild *log, const char *path);

/* Removes every file in @path, then @path. */
void logbuild_remove(const char *path);

#endif
