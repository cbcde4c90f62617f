/* SPDX-License-Identifier: MIT */
/*
 * Undo files: what a repair overwrites, renames and makes, saved before it
 * begins, so that walfsck --undo-apply can give back the very same bytes and
 * names.
 *
 * The file is little-endian. A header of 128 bytes:
 *
 *     offset size
 *          0    8  magic: 89 44 57 55 4E 0D 0A 1A
 *          8    4  CRC of bytes 12 to 127
 *         12    2  version, 1
 *         14    2  size of this header, 128
 *         16   16  UUID of the log
 *         32    8  size of the whole file
 *         40    8  number of entries
 *         48    8  when it was made, ns since 1970
 *         56    4  CRC over the CRC fields of the entries, in order
 *         60    4  flags: 1 the repair was a CUT; 2 its flag file had been
 *                  there before (recover/repair.h)
 *         64   64  reserved, zero
 *
 * then the entries, each 64 bytes, a name, a target, data, and zeros up to a
 * multiple of 8:
 *
 *          0    4  CRC of bytes 4 to the end of the entry
 *          4    2  kind
 *          6    2  size of the name
 *          8    2  size of the target
 *         10    2  reserved, zero
 *         12    4  size of the data
 *         16    8  segment number, 0 for none
 *         24    8  FILE, MADE: size of the file. TAIL, PATCH: where the range
 *                  begins. DATA: offset in the file
 *         32    8  TAIL, PATCH: where the range ends
 *         40    8  TAIL: salt of the segment
 *         48    4  FILE: CRC of the first 512 bytes of the file, or of all.
 *                  MADE: CRC of the bytes before its zeros. PATCH at offset 0:
 *                  CRC of the first 512 bytes of the file with the patch
 *         52    4  MADE: how many those are
 *         56    8  reserved, zero
 *
 *     kind
 *        1  FILE   LOCK and each .wal file that was there before the repair
 *        2  MOVED  name was renamed to target
 *        3  MADE   name was made
 *        4  TAIL   a range of name was overwritten with zeros …
 *        5  DATA   … where this stood; the rest of it was zero before, too
 *        6  PATCH  a range of name was changed: from the first half of the data
 *                  to the second
 *
 * The header is written last, so a file that was not finished is none. Names
 * have no "/" and are never followed out of the log's directory.
 */
#ifndef DWAL_FSCK_UNDO_H
#define DWAL_FSCK_UNDO_H

#include "../recover/repair.h"

/* An undo file: where it is, and the log it belongs to. */
struct dwal__undo_place {
    struct dwal__disk *disk;
    int log_dir; /* handle */
    int dir;     /* handle, of the folder that holds the undo file */
    const char *name;
};

/*
 * Saves what @plan is about to change. On return the file is durable, its name
 * too; *@size is its size. @place->name must not be there yet. Fails without
 * leaving a file: DWAL_EEXIST, DWAL_EIO, DWAL_ENOSPC, DWAL_ENOMEM, DWAL_EAGAIN
 * (cancelled).
 */
int dwal__undo_save(const struct dwal__undo_place *place,
                    const struct dwal__repair_options *options,
                    const struct dwal__repair_plan *plan, uint64_t *size,
                    struct dwal_error *error);

/* What an application did. */
struct dwal__undo_done {
    uint64_t files_renamed;
    uint64_t files_removed;
    uint64_t bytes_restored;
};

/*
 * Gives back what the repair changed. The caller holds the log's lock. Verifies
 * all of the undo file and of what it would change before it changes anything.
 * Interrupted and run again, it ends the same.
 *
 * Returns 0, or DWAL_ENOENT, DWAL_EINVAL (no undo file, or damaged),
 * DWAL_EVERSION, DWAL_ECORRUPT (the log is not as the repair left it: it has
 * gone on, or it is another), DWAL_EIO, DWAL_ENOMEM, DWAL_EAGAIN (cancelled
 * before anything was changed). @cancelled may be NULL.
 */
int dwal__undo_apply(const struct dwal__undo_place *place,
                     bool (*cancelled)(void *argument), void *argument,
                     struct dwal__undo_done *done, struct dwal_error *error);

/* ---- shared by undo_save.c and undo_apply.c ---- */

#define DWAL__UNDO_VERSION 1
#define DWAL__UNDO_HEADER_SIZE 128u
#define DWAL__UNDO_ENTRY_SIZE 64u
#define DWAL__UNDO_DATA_MAX (256u << 10)
#define DWAL__UNDO_CUT 1u
#define DWAL__UNDO_FLAGGED 2u

enum dwal__undo_kind {
    DWAL__UNDO_FILE = 1,
    DWAL__UNDO_MOVED,
    DWAL__UNDO_MADE,
    DWAL__UNDO_TAIL,
    DWAL__UNDO_DATA,
    DWAL__UNDO_PATCH
};

struct dwal__undo_header {
    struct dwal__uuid uuid;
    uint64_t size;
    uint64_t entry_count;
    uint64_t created_ns;
    uint32_t digest;
    uint32_t flags;
};

struct dwal__undo_entry {
    enum dwal__undo_kind kind;
    char name[DWAL__REPAIR_NAME_SIZE];
    char target[DWAL__REPAIR_NAME_SIZE];
    const uint8_t *data; /* into the bytes that were decoded */
    uint32_t data_size;
    uint64_t segment;
    uint64_t offset; /* or size */
    uint64_t to;
    uint64_t salt;
    uint32_t sum;
    uint32_t sum_size;
};

void dwal__undo_header_encode(const struct dwal__undo_header *header,
                              uint8_t bytes[DWAL__UNDO_HEADER_SIZE]);
/* Fills @header. DWAL_OK, DWAL_EINVAL, DWAL_EVERSION. */
int dwal__undo_header_decode(const uint8_t bytes[DWAL__UNDO_HEADER_SIZE],
                             struct dwal__undo_header *header);

/* Bytes that @entry takes; no more than DWAL__UNDO_ENTRY_MAX. */
size_t dwal__undo_entry_room(const struct dwal__undo_entry *entry);
#define DWAL__UNDO_ENTRY_MAX                                                   \
    (DWAL__UNDO_ENTRY_SIZE + 2 * DWAL__REPAIR_NAME_SIZE +                      \
     DWAL__UNDO_DATA_MAX + 8u)
/* Writes it to @bytes, returns its CRC. */
uint32_t dwal__undo_entry_encode(const struct dwal__undo_entry *entry,
                                 uint8_t *bytes);
/* Reads it from @bytes, of which @size may be looked at. Sets *@room to what it
 * takes and *@crc to its CRC. False: it is damaged. */
bool dwal__undo_entry_decode(const uint8_t *bytes, size_t size,
                             struct dwal__undo_entry *entry, size_t *room,
                             uint32_t *crc);

/* What tells a file from another of its name: size and CRC of the beginning. */
struct dwal__undo_identity {
    bool present;
    uint64_t size;
    uint32_t sum;
};

/* 0 or a negative errno; a file that is not there is no error, and what is no
 * file has the largest size. */
int dwal__undo_identify(struct dwal__disk *disk, int dir, const char *name,
                        struct dwal__undo_identity *identity);

#endif
