/* SPDX-License-Identifier: MIT */
/*
 * Salvage: every record of a damaged log that is still whole, into a new log,
 * each with its own LSN, type, flags, tenant and shard. The damaged log is only
 * read, whatever state it is in.
 *
 * LSNs are dense, and what is lost is lost: where records are missing, the new
 * log goes on in a new segment whose start says which LSNs are lost (SPEC 6.1,
 * *lost*). So it is a log in order, its readers are told of each hole, and what
 * was lost is never taken for what was trimmed.
 *
 * What counts as whole: a batch that is valid on its own (all of SPEC 5.3 but
 * for link and first LSN), and in other places each single record whose CRC and
 * salt are right. A batch that lost a part is therefore no longer atomic in the
 * new log; the hole beside what is left of it tells.
 *
 * An LSN can have been given more than once: what a crash left torn, or a cut
 * dropped, is given anew in a higher segment. So each batch header of a higher
 * segment hides what lower ones hold from its first LSN on; and where the start
 * of a higher epoch is unreadable, so that nobody knows what it dropped, that
 * of lower epochs which was neither in the run nor below a watermark is left
 * out.
 *
 * The new log is made under the flag file of recover/repair.h, which nothing
 * opens, and LOCK is made last. Interrupted and run again, what is there under
 * the flag is removed and made anew.
 */
#ifndef DWAL_RECOVER_SALVAGE_H
#define DWAL_RECOVER_SALVAGE_H

#include "recover.h"

/* A stretch of records with dense LSNs, in one piece of one file. */
struct dwal__salvage_piece {
    uint64_t first_lsn;
    uint64_t last_lsn;
    size_t source;   /* index into dwal__salvage.sources */
    uint64_t offset; /* of the first batch or record */
    uint64_t end;    /* behind the last */
    bool batches;    /* whole batches, one behind the other; else records */
};

/* LSNs whose records are not there. */
struct dwal__salvage_hole {
    uint64_t from;
    uint64_t to;
    bool acknowledged; /* a watermark says so; else it may have been */
};

struct dwal__salvage_source {
    uint64_t number; /* in the file's name */
    struct dwal__segment_header header;
    bool started;      /* its start is readable */
    bool deduced;      /* the header was damaged: only number, salt and sizes */
    uint64_t sure_end; /* up to here all is the log's (see above) */
};

/* What there is. Zero-initialise; free with dwal__salvage_release. */
struct dwal__salvage {
    struct dwal__salvage_source *sources; /* ascending by header.number */
    size_t source_count;
    struct dwal__salvage_piece *pieces; /* ascending */
    size_t piece_count;
    size_t piece_capacity;
    struct dwal__salvage_hole *holes; /* ascending */
    size_t hole_count;

    uint64_t trim_lsn; /* of the new log */
    uint64_t last_lsn; /* the largest that was given, as far as known */
    uint8_t metadata[DWAL__METADATA_SIZE_MAX];
    uint32_t metadata_size;

    uint64_t records;
    uint64_t bytes;     /* of the batches and records that hold them */
    uint64_t lost;      /* LSNs in the holes */
    uint64_t left_out;  /* records that may have been given up by a crash */
    uint64_t strangers; /* segment files of other logs, or copies */
    uint64_t unreadable_files;
    uint64_t unreadable_bytes;
};

struct dwal__salvage_options {
    struct dwal__disk *disk;
    int dir; /* handle, of the damaged log */
    struct dwal__disk *target_disk;
    int target_dir;         /* handle, of the new one */
    struct dwal__uuid uuid; /* random: of the new log */
    uint64_t now_ns;        /* wall clock */
    void *argument;
    uint64_t (*random)(void *argument); /* salts */
    /* Asked every few MiB; true: stop. May be NULL. */
    bool (*cancelled)(void *argument);
    /* Bytes of the damaged log that were looked at, or copied. May be NULL. */
    void (*progress)(void *argument, uint64_t done, uint64_t total);
    /* A file was made, and still has the temporary @name. May be NULL. */
    int (*made)(void *argument, const char *name);
};

/*
 * Finds out what there is in the log that @recovery describes, as dwal__recover
 * left it with any verdict. Changes nothing. 0, DWAL_ENOMEM, or DWAL_EAGAIN
 * (cancelled); then @salvage is empty.
 */
int dwal__salvage_find(const struct dwal__salvage_options *options,
                       const struct dwal__recovery *recovery,
                       struct dwal__salvage *salvage, struct dwal_error *error);

/*
 * Makes the new log of it in options->target_dir, which must be empty, or hold
 * what an interrupted salvage left. Returns 0, DWAL_EEXIST (it is not empty),
 * DWAL_EIO (also: the damaged log has changed meanwhile), DWAL_ENOSPC,
 * DWAL_ENOMEM, DWAL_EAGAIN. Unless it returns 0, nothing opens what is there.
 */
int dwal__salvage_write(const struct dwal__salvage_options *options,
                        const struct dwal__recovery *recovery,
                        const struct dwal__salvage *salvage,
                        struct dwal_error *error);

void dwal__salvage_release(struct dwal__salvage *salvage);

#endif
