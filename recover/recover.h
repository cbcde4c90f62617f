/* SPDX-License-Identifier: MIT */
/*
 * Recovery: from a directory to a verdict (SPEC 7). It changes nothing on
 * disk. dwal_open, cursors, walfsck and waldump all run this code, so they
 * cannot disagree.
 */
#ifndef DWAL_RECOVER_RECOVER_H
#define DWAL_RECOVER_RECOVER_H

#include "../format/batch.h"
#include "../format/error.h"
#include "decide.h"
#include "disk.h"

/* One .wal file, as it was found. */
struct dwal__found_segment {
    uint64_t number;        /* from the name */
    uint64_t file_size;     /* bytes */
    bool well_formed;       /* @header may be used */
    enum dwal__fault fault; /* why it is not */
    struct dwal__segment_header header;

    bool started; /* the first batch is valid; @start etc. are set. Until the
                   * segment is scanned, only the start was looked at */
    struct dwal__start start; /* metadata pointer is NULL: see @metadata */
    uint64_t first_lsn;       /* that the start goes on with */
    uint64_t found_lsn; /* of the first batch; what lies between is lost, and
                         * the start says so (SPEC 6.1) */
    struct dwal__watermark first_watermark; /* what the first batch says … */
    uint64_t first_sealed_ns;               /* … and when it was sealed */
    bool fits_known; /* the predecessor that the start names was scanned … */
    bool fits;       /* … and the start fits a batch of its run (SPEC 7.5) */

    bool scanned;      /* the run and what is behind it were looked at */
    uint64_t run_end;  /* offset behind the run's last batch */
    uint64_t run_lsn;  /* last LSN of the run */
    uint32_t run_link; /* CRC of the run's last batch header */
    uint64_t run_batches;
    uint64_t run_records; /* application records */
    bool run_witness;     /* last batch: only marks and closes … */
    bool run_covered;     /* … and its watermark is its own place */
    bool run_closed;      /* last batch ends with a close */
    uint64_t trim_lsn;    /* the largest trim point in the run */
    uint8_t *metadata;    /* the latest blob in the run; NULL: none */
    uint32_t metadata_size;
    enum dwal__fault end_fault; /* what stands at run_end; NONE if the batch's
                                 * header is readable: then see @end_batch.
                                 * SHORT if the run fills the file */
    struct dwal__batch_fault end_batch;
    bool end_newer;            /* it takes a newer dwal to tell (SPEC 8) */
    bool flipped;              /* SPEC 7.8 */
    uint64_t flipped_offset;   /* byte in the segment */
    unsigned flipped_bit;      /* 0 to 7 */
    bool left_over;            /* a readable (or newer) header stands at the
                                 * run's end or behind it */
    uint64_t left_over_offset; /* the first of them */
    uint64_t left_over_lsn;    /* the largest last LSN in them */

    bool live;         /* part of the log */
    uint64_t live_end; /* offset behind its last kept batch */
    uint64_t live_lsn; /* last LSN that is kept */
};

/* Everything recovery knows. Zero-initialise; free with
 * dwal__recovery_release. */
struct dwal__recovery {
    enum dwal__verdict verdict;
    const struct dwal__decision *decision; /* the row of decide.c */
    struct dwal__facts facts;

    struct dwal__uuid uuid;
    uint64_t first_lsn;
    uint64_t durable_lsn;
    struct dwal__position end; /* the live end; {0, 0}: none */
    uint32_t end_link;
    uint64_t trim_lsn;
    bool metadata_present;
    uint32_t metadata_size;
    uint8_t metadata[DWAL__METADATA_SIZE_MAX];
    struct dwal__watermark watermark; /* W, the largest evidence */

    bool undecidable; /* a range is undecidable … */
    uint64_t undecidable_from;
    uint64_t undecidable_to; /* UINT64_MAX: open above */
    uint64_t lost_from;      /* lost-records: … */
    uint64_t lost_to; /* … these; from > to when only system records are */
    uint64_t missing; /* missing-segment: its number */
    struct dwal__position damage; /* where it is, for messages */

    uint64_t epoch_max;  /* largest epoch in any header */
    uint64_t number_max; /* largest number of any .wal or .spare */

    struct dwal__found_segment *segments; /* ascending */
    size_t segment_count;
    uint64_t *spares; /* numbers, ascending */
    size_t spare_count;
    uint64_t bytes_read;
};

/* What recovery tells while it works. All may be NULL. */
struct dwal__recover_hooks {
    void *argument;
    /* Bytes read so far and in all, an estimate; called every few MiB. A
     * non-zero return cancels: dwal__recover returns DWAL_EAGAIN. */
    int (*progress)(void *argument, uint64_t done, uint64_t total);
    /* One thing that is not as SPEC wants it. @fault and the place say what;
     * called in the order of the passes. */
    void (*finding)(void *argument, const struct dwal__finding *finding);
};

#define DWAL__RECOVER_THREADS_MAX 64u

struct dwal__recover_options {
    struct dwal__disk *disk;
    int dir;               /* handle from disk->ops->dir_open */
    bool sync;             /* SPEC 7: make durable what is read (needs no write
                           * permission); readers of a live log do not */
    uint64_t verify_bytes; /* read at least the newest so many bytes of the
                            * live log; UINT64_MAX: everything */
    /* Threads that scan segments, where all of the log is verified; 0 and 1:
     * none but the caller's. What is found does not depend on them. */
    unsigned threads; /* DWAL__RECOVER_THREADS_MAX at most */
    struct dwal__recover_hooks hooks;
};

/*
 * Recovers the log in @options->dir.
 *
 * Returns 0 with any verdict, also corrupt and unreadable; then
 * @recovery is filled as far as it could be, and for a verdict other than
 * clean and torn @error (may be NULL) tells what, where and what to do.
 * Otherwise @recovery is empty and the return is:
 *   DWAL_ENOENT   there is no log (also: its creation was interrupted)
 *   DWAL_EVERSION a newer dwal is needed (SPEC 8)
 *   DWAL_ENOMEM
 *   DWAL_EAGAIN   cancelled by the progress hook
 */
int dwal__recover(const struct dwal__recover_options *options,
                  struct dwal__recovery *recovery, struct dwal_error *error);

void dwal__recovery_release(struct dwal__recovery *recovery);

/* True if the files were in order, so that the verdict stands on what they
 * hold. If not (SPEC 7.7, the rows above lost-records), nothing is to be told
 * as first_lsn, durable_lsn and the rest: they are what could be reached, for
 * repairs. */
bool dwal__recovery_settled(const struct dwal__recovery *recovery);

/* DWAL_OK for clean and torn, otherwise the code a writer refuses with. */
int dwal__recovery_code(const struct dwal__recovery *recovery);

#endif
