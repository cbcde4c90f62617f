/* SPDX-License-Identifier: MIT */
/*
 * What must be true of a log after a crash, known without looking at the log:
 * which records were submitted, which of them, which trims and which place in
 * the log were acknowledged. A record carries its identity in tenant and shard,
 * and everything else in it follows from that.
 */
#ifndef DWAL_TESTS_CRASH_ORACLE_H
#define DWAL_TESTS_CRASH_ORACLE_H

#include "recover/reader.h"
#include "simdisk.h"
#include "src/dwal.h"

#define ORACLE_LIVES_MAX 8
#define ORACLE_CALLERS_MAX 8
#define ORACLE_LSN_MAX 8192
#define ORACLE_PAYLOAD_MAX 40000u
#define ORACLE_SIZE_CLASSES 5
#define ORACLE_CUTS_MAX 64

/* One record: which one of @count of which call of which caller. */
struct oracle_id {
    unsigned life;
    unsigned caller;
    unsigned call; /* from 1 */
    unsigned index;
    unsigned count;
    unsigned size_class;
};

uint64_t oracle_id_pack(const struct oracle_id *id);
struct oracle_id oracle_id_unpack(uint64_t packed);

/* Fills @record; the payload, ORACLE_PAYLOAD_MAX at most, goes to @bytes. */
void oracle_record(uint64_t id, struct dwal_record *record, uint8_t *bytes);

/* Metadata @number, DWAL_META_SIZE_MAX bytes at most. Returns its size. */
uint32_t oracle_meta(uint64_t number, uint8_t *bytes);
/* The number of the metadata in these bytes; UINT64_MAX: they are none. */
uint64_t oracle_meta_number(const uint8_t *bytes, size_t size);

struct oracle {
    unsigned life;
    unsigned calls[ORACLE_LIVES_MAX][ORACLE_CALLERS_MAX]; /* begun */
    uint64_t *ids; /* by LSN, as far as append returned; shared */
    bool created;  /* an open returned 0, so there is a log */
    bool closed;   /* by the last life, with a close */
    bool rested;   /* nothing is under way, and a mark was due */
    uint64_t acked_lsn;
    struct dwal__position acked_end;
    uint64_t acked_first; /* trimmed below this */
    uint64_t asked_first; /* … or perhaps below this */
    /* A cut or a reset that was begun: the log may be as before, or end with
     * cut_lsn and begin with cut_first. */
    bool cutting;
    uint64_t cut_lsn;
    uint64_t cut_first;
    /* The last LSNs that were kept: batches may end there. */
    uint64_t cuts[ORACLE_CUTS_MAX];
    unsigned cut_count;
    /* Metadata, by number: never two at once are being set. */
    uint64_t acked_meta;
    uint64_t asked_meta;
};

/* What a log says when nobody has it open. */
struct oracle_found {
    int code; /* of recovery; the rest only if it is DWAL_OK */
    enum dwal__verdict verdict;
    const char *row;
    uint64_t first_lsn, durable_lsn;
    struct dwal__position end;
    struct dwal__watermark watermark;
    bool covered; /* the last batch says that all before it was durable */
    bool undecidable;
    uint64_t undecidable_from, undecidable_to;
    int read_code;       /* why reading ended */
    uint64_t read_first; /* the first that was to be read … */
    uint64_t read_lsn;   /* … and the last that was */
    uint64_t meta;       /* number of the metadata; 0: none */
    char text[DWAL_ERROR_TEXT_SIZE];
    char bad[256]; /* a record that is not what was submitted; or empty */
    uint64_t ids[ORACLE_LSN_MAX];
};

#define ORACLE_TEXT_SIZE 512

/* Recovers @sim and reads all of it; @thorough: with a recovery, before that,
 * which looks at everything. */
void oracle_look(struct simdisk *sim, bool thorough,
                 struct oracle_found *found);

/* The cut that was begun is acknowledged, or found to be made. */
void oracle_cut(struct oracle *oracle);

/* After crashes alone. False, and why, if a promise is broken. */
bool oracle_check(const struct oracle *oracle, const struct oracle_found *found,
                  char text[ORACLE_TEXT_SIZE]);

/* What was submitted, in order, whole: the part of oracle_check that holds
 * whatever happened to the disk. */
bool oracle_check_records(const struct oracle *oracle,
                          const struct oracle_found *found,
                          char text[ORACLE_TEXT_SIZE]);

/* Begins the next life, with what was @found as its past: @durable after a
 * power cut, or there by luck, after a kill. @ids is for it. */
void oracle_next(struct oracle *oracle, const struct oracle_found *found,
                 bool durable, uint64_t ids[ORACLE_LSN_MAX]);

#endif
