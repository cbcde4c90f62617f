/* SPDX-License-Identifier: MIT */
/*
 * Repair: from a verdict that is not clean to a log that is. A repair is
 * planned first, from what recovery found and without changing anything: a
 * list of steps, from which a caller tells what would be lost and saves what
 * would be overwritten (fsck/undo.h). Then it is run, each step durable before
 * the next begins. What is kept, the log up to the live end E, is never
 * written to.
 *
 * TAIL, for the verdict torn. What is left over behind E (SPEC 7.6), in E's
 * segment and in those above, is overwritten with zeros in place; no file
 * comes, goes or changes its name, so that E's segment keeps its successor and
 * no header is left that names a missing file. Dead segments that are empty
 * then are retired by the next writer (SPEC 11.7). In a segment the range runs
 * from E (or from behind the header) to the end of the last batch whose header
 * is readable; what lies behind that is no trace of a batch, or an older use
 * of the file, and cannot become one.
 *
 * CUT, for the verdict corrupt. The log is to end at E, whatever stands behind
 * it. E's tail is overwritten as above. Every file that is not well-formed or
 * lies above E is moved aside whole, to "<name>.lost", a name that is not the
 * log's; except an empty segment that already follows E's and is above all
 * others. If there is none, an empty one is made, numbered above everything
 * that was ever seen, moved files included. A LOCK that is missing or bad is
 * written anew, with the UUID that the segments carry. If nothing at all can
 * be kept (E is (0, 0)) but some LSN is known to have been given, a segment is
 * made first whose start is a *reset* (SPEC 6.1) behind the largest known
 * LSN, so that no LSN is ever given twice.
 *
 * Before either, what checksums prove can be MENDED, if options.mend asks for
 * it: one bit at the end of a run that makes the batch there valid again (SPEC
 * 7.8), and a segment header that its batches prove (rebuild.h). Nothing is
 * lost by that. TAIL and CUT then are planned for the log as it is with these
 * patches, over a disk that shows them (overlay.h); a patch in a segment that
 * would be no part of the log even so is not made. A damage of many bits looks
 * like one flipped bit once in so many times: 2^32 over the bits that one
 * checksum covers. Bits that would be put back wrongly more often than once in
 * DWAL__MEND_ODDS_MIN times are not.
 *
 * Interrupted at any write, and run again, a repair ends with the same bytes.
 * Why:
 *
 *  - A plan depends on nothing but the bytes on the disk, and a step that was
 *    done wholly is not planned again.
 *  - A range to be wiped first gets a *mark* over its first sector: the
 *    segment, salt and offset of a batch header, as its size that of the range,
 *    and otherwise zeros. That is "damaged" (SPEC 7.4), hence a bad head, hence
 *    torn, neither clean nor corrupt, whatever else is already gone; and a
 *    second run reads the same range from it. It also sees to it that no half
 *    of the wiping completes the batch that stood there (a batch may end in
 *    zeros that a stray bit had spoilt), so E does not move. Then comes
 *    everything else, last the mark; a sync behind each of the three.
 *  - Removing bytes behind E removes evidence and adds none: W does not grow, E
 *    stays, torn never becomes corrupt.
 *  - CUT passes through states that would have other verdicts, even clean ones
 *    with half of the work undone. Therefore it begins by making a file named
 *    as SPEC 4.1 forbids, "walfsck-repair.wal", and ends by removing it. While
 *    it is there the verdict is corrupt, no writer opens the log, and a second
 *    run plans a CUT again. The reset comes before anything is moved, for what
 *    it says is learnt from the files that are moved; and where E's start is a
 *    reset, the segments below it, all dead, are moved too, as they would have
 *    been before it was there. The numbers of moved files are still seen in
 *    their names.
 */
#ifndef DWAL_RECOVER_REPAIR_H
#define DWAL_RECOVER_REPAIR_H

#include "recover.h"

/* The file that is there while a CUT is under way. */
#define DWAL__REPAIR_FLAG_NAME "walfsck-repair.wal"
/* A file that is being made, before it gets its name. */
#define DWAL__REPAIR_TEMPORARY_NAME "walfsck.tmp"
/* What files that are moved aside get behind their names. */
#define DWAL__REPAIR_LOST_SUFFIX ".lost"

#define DWAL__REPAIR_NAME_SIZE 256
#define DWAL__SECTOR_SIZE 512u

/* The segments that a repair makes are small: the next writer takes one of its
 * own (SPEC 11.5). */
#define DWAL__REPAIR_BLOCK_SIZE 4096u
#define DWAL__REPAIR_SEGMENT_SIZE                                              \
    (DWAL__REPAIR_BLOCK_SIZE * DWAL__SEGMENT_BLOCKS_MIN)

enum dwal__repair_kind {
    DWAL__REPAIR_NOTHING, /* the verdict asks for none, or allows none */
    DWAL__REPAIR_TAIL,
    DWAL__REPAIR_CUT,
    DWAL__REPAIR_MEND /* patches, and nothing else is needed */
};

/* What a repair may mend: a sum. */
enum dwal__mend {
    DWAL__MEND_BITS = 1,
    DWAL__MEND_HEADERS = 2, /* those of which every field is proven */
    DWAL__MEND_FORGED = 4,  /* those, too, whose time, epoch and predecessor
                             * are not */
    DWAL__MEND_ONLY = 8     /* no TAIL and no CUT */
};
#define DWAL__MEND_ODDS_MIN 4096u

enum dwal__repair_action {
    DWAL__REPAIR_FLAG,  /* make the flag file */
    DWAL__REPAIR_MOVE,  /* @name gets the name @target */
    DWAL__REPAIR_MAKE,  /* @name is made: LOCK, or a segment */
    DWAL__REPAIR_WIPE,  /* [@from, @to) of @name becomes zeros */
    DWAL__REPAIR_PATCH, /* … becomes @data */
    DWAL__REPAIR_UNFLAG /* remove the flag file */
};

struct dwal__repair_step {
    enum dwal__repair_action action;
    char name[DWAL__REPAIR_NAME_SIZE];
    char target[DWAL__REPAIR_NAME_SIZE]; /* MOVE */
    uint64_t segment; /* its number; 0: the file is no segment */
    uint64_t bytes;   /* MOVE, MAKE: of the file; WIPE, PATCH: of the range */
    /* WIPE: of the file; MAKE: to be written. LOCK: only the UUID counts. */
    struct dwal__segment_header header;
    uint64_t from; /* WIPE, a block boundary; PATCH, that of a sector */
    uint64_t to;
    /* PATCH: what stands there, and behind it what will, @bytes each. */
    uint8_t *data;
    unsigned bit_count;  /* of the bits put back; 0: a header */
    uint64_t bit_offset; /* of the first: its byte in the file … */
    unsigned bit;        /* … and which of it, 0 to 7 */
    uint32_t odds;       /* damage of many bits looks like it once in so many
                          * times */
    bool proven;         /* a header: every field is */
    /* MAKE: a start follows the header, a reset behind this LSN. */
    bool reset;
    uint64_t reset_lsn;
};

/* Zero-initialise; free with dwal__repair_plan_release. */
struct dwal__repair_plan {
    enum dwal__repair_kind kind;
    struct dwal__uuid uuid; /* of the log, or that it will get */
    struct dwal__repair_step *steps;
    size_t step_count;

    /* What is lost. */
    uint64_t lost_from;    /* LSNs; from > to: none that is known */
    uint64_t lost_to;      /* UINT64_MAX: open above */
    uint64_t lost_records; /* as far as headers tell */
    uint64_t patches;      /* PATCH steps */
    bool kept;             /* the log keeps its end; else it begins anew … */
    uint64_t kept_lsn;     /* … behind this */
    uint64_t wiped_bytes;
    uint64_t moved_files;
    uint64_t moved_bytes;
};

struct dwal__repair_options {
    struct dwal__disk *disk;
    int dir; /* handle, of the log */
    /* The caller's handle of LOCK, which holds the lock, or -1. A repair that
     * writes LOCK anew locks the new one, closes this and puts the new handle
     * here. */
    int *lock;
    struct dwal__uuid uuid; /* random: where no file tells the log's own */
    uint64_t salts[2];      /* random: for the segments that are made */
    uint64_t now_ns;        /* wall clock */
    unsigned mend;          /* enum dwal__mend */
    unsigned threads;       /* for the recoveries that mending takes */
    void *argument;
    /* Asked between steps and every few MiB; true: stop. May be NULL. */
    bool (*cancelled)(void *argument);
    /* Bytes that the recoveries have read that mending takes, each from 0, of
     * an estimate. May be NULL. */
    void (*progress)(void *argument, uint64_t done, uint64_t total);
    /* Told before a step is taken. May be NULL. */
    void (*step)(void *argument, const struct dwal__repair_step *step);
    /* A file of the log was made, and still has the temporary @name: for who
     * is to own it. May be NULL. 0 or a negative errno. */
    int (*made)(void *argument, const char *name);
};

/*
 * Plans the repair of the log that @recovery describes; it must be as
 * dwal__recover left it, verify_bytes UINT64_MAX. Changes nothing.
 *
 * Returns 0 and fills @plan. Otherwise @plan is empty: DWAL_EIO, DWAL_ENOMEM,
 * DWAL_EAGAIN (cancelled).
 */
int dwal__repair_plan_make(const struct dwal__repair_options *options,
                           const struct dwal__recovery *recovery,
                           struct dwal__repair_plan *plan,
                           struct dwal_error *error);

void dwal__repair_plan_release(struct dwal__repair_plan *plan);

/*
 * Runs @plan. The caller holds the log's lock. Whatever it returns, to plan and
 * run again is safe and ends the same.
 *
 * Returns 0, DWAL_EIO, DWAL_ENOSPC, DWAL_ENOMEM, DWAL_EAGAIN (cancelled between
 * two steps).
 */
int dwal__repair_run(const struct dwal__repair_options *options,
                     const struct dwal__repair_plan *plan,
                     struct dwal_error *error);

/*
 * The first bytes of the file that a MAKE step makes; the rest, up to
 * step->bytes, is zeros. Returns how many they are.
 */
#define DWAL__REPAIR_CONTENT_SIZE_MAX (2 * DWAL__REPAIR_BLOCK_SIZE)
size_t dwal__repair_content(const struct dwal__repair_step *step,
                            uint8_t bytes[DWAL__REPAIR_CONTENT_SIZE_MAX]);

/* The mark: what the first sector of the range [@from, @to) of a segment holds
 * while the range is wiped. */
void dwal__repair_mark(const struct dwal__segment_header *segment,
                       uint64_t from, uint64_t to,
                       uint8_t sector[DWAL__SECTOR_SIZE]);

/* Make the flag file, or remove it; both are durable on return, and neither
 * minds if it was so before. 0 or a negative errno. */
int dwal__repair_flag(struct dwal__disk *disk, int dir);
int dwal__repair_unflag(struct dwal__disk *disk, int dir);

#endif
