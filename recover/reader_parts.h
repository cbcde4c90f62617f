/* SPDX-License-Identifier: MIT */
/*
 * What the files of the reader share: reader_place.c finds places in the
 * lineage, reader_step.c takes the batch at a place, reader_get.c gets single
 * records, reader.c does the rest.
 */
#ifndef DWAL_RECOVER_READER_PARTS_H
#define DWAL_RECOVER_READER_PARTS_H

#include "bound.h"
#include "reader.h"

/* Where the next batch stands. */
struct dwal__reader_place {
    uint64_t segment; /* number; 0: the log has no batch yet */
    uint64_t offset;
    struct dwal__expected expected; /* of the batch there */
};

struct dwal__reader {
    struct dwal__bound bound;
    struct dwal__lineage lineage;
    struct dwal_error lineage_error; /* code 0, or why it reaches not down */
    bool lineage_new;                /* @place was not looked up in it yet */
    /* On the segment of @place: one of windows, which keep segments open. All
     * memory is the current one's. */
    struct dwal__window *window;
    struct dwal__window *windows;
    size_t window_count;
    bool system;
    struct dwal__places *places; /* the caller's, or NULL: learned and used */
    bool sparse;                 /* only dwal__reader_get is called */
    uint64_t known_lsn;          /* the largest that was ever known durable */

    struct dwal__reader_place place;
    bool guessed;    /* no batch was opened since @place was found by halving */
    uint64_t wanted; /* the next LSN to deliver */
    uint64_t shown;  /* the last delivered since the seek; 0: none */
    bool from_first; /* sought the first one, whichever it is */
    bool onward;     /* has read a segment to its end since the seek */
    struct dwal_error stuck; /* code 0, or what is said until a seek */
    struct dwal__reader_damage damage;
    /* Behind the damage that was met last; segment 0: not known. */
    struct dwal__reader_place behind;

    /* The batch that is being delivered. */
    bool open;
    struct dwal__window_batch batch;
    uint64_t keep_lsn; /* what comes behind it in this batch is hidden */
    size_t record_at;  /* where the next record begins in the batch */
    uint32_t record_index;
    uint64_t record_lsn; /* that of the next application record */
};

/* How many segments are kept open for single records. */
#define DWAL__READER_WINDOWS 32

/* ---- reader_place.c ---- */

/* Makes reader->window the one for segment @number, and opens that. The codes
 * of dwal__window_open. */
int dwal__reader_window_open(struct dwal__reader *reader, uint64_t number,
                             struct dwal_error *error);

/* Segment @number of the lineage, or the one behind @segment; NULL if there is
 * none. */
const struct dwal__lineage_segment *
dwal__reader_segment(const struct dwal__reader *reader, uint64_t number);
const struct dwal__lineage_segment *
dwal__reader_segment_next(const struct dwal__reader *reader,
                          const struct dwal__lineage_segment *segment);

/* True if the lineage ends where the bound is. */
bool dwal__reader_current(const struct dwal__reader *reader);

/* Makes it so. What is wrong with a lower part of it goes to lineage_error, for
 * those who want to read that part. DWAL_OK, the codes of dwal__bound_survey,
 * or what is wrong with the end itself. */
int dwal__reader_refresh(struct dwal__reader *reader, struct dwal_error *error);

/* The first batch of @segment. */
struct dwal__reader_place
dwal__reader_place_first(const struct dwal__lineage_segment *segment);

/* Moves @place over the batch with @header, which ends at @end. */
void dwal__reader_place_pass(struct dwal__reader *reader,
                             struct dwal__reader_place *place,
                             const struct dwal__batch_header *header,
                             uint64_t end);

/* The place from which @lsn is reached. DWAL_OK or lineage_error. */
int dwal__reader_place_find(struct dwal__reader *reader, uint64_t lsn,
                            struct dwal__reader_place *place,
                            struct dwal_error *error);

/* Looks reader->place up in a lineage that has changed. DWAL_OK, DWAL_ETRIMMED,
 * DWAL_ECUT, or what is wrong with the lineage. */
int dwal__reader_place_restore(struct dwal__reader *reader,
                               struct dwal_error *error);

/* The file of a segment of the lineage is gone: forgets it, and looks afresh. */
int dwal__reader_place_lost(struct dwal__reader *reader,
                            struct dwal_error *error);

/* ---- reader.c ---- */

/* Sets the reader to @lsn (0: the first) in the lineage that it has. DWAL_OK,
 * DWAL_ETRIMMED or lineage_error. */
int dwal__reader_place_set(struct dwal__reader *reader, uint64_t lsn,
                           struct dwal_error *error);

/* ---- reader_step.c ---- */

/* Takes the batch at the place, in @segment, whose file is open: passes it by,
 * or opens it for delivery. DWAL_OK, also if it has to be tried again in a
 * lineage that changed; otherwise the codes of dwal__reader_next. */
int dwal__reader_step(struct dwal__reader *reader,
                      const struct dwal__lineage_segment *segment,
                      struct dwal_error *error);

/* These note what dwal__reader_damage tells: the header of @segment, at the
 * place, is damaged; what @error says of the end of the log; and
 * lineage_error. */
void dwal__reader_segment_damaged(struct dwal__reader *reader,
                                  const struct dwal__lineage_segment *segment);
void dwal__reader_end_damaged(struct dwal__reader *reader,
                              const struct dwal_error *error);
void dwal__reader_lineage_damaged(struct dwal__reader *reader);

#endif
