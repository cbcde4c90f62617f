/* SPDX-License-Identifier: MIT */
/*
 * The largest LSN that the log is known to have given. A repair tells by it
 * what it gives up, and one that keeps nothing lets the log begin behind it.
 * The invariant: no file of the log that a repair moves aside has a batch
 * header with a larger LSN, also where the header of the file is damaged and
 * recovery could not look into it.
 */
#include <errno.h>
#include <string.h>

#include "../format/bytes.h"
#include "planner.h"

#define BATCH(field) offsetof(struct dwal__batch_header_bytes, field)

static void lsn_raise(uint64_t *lsn, uint64_t other) {
    if (other > *lsn && other <= DWAL__LSN_MAX)
        *lsn = other;
}

/* The last LSN in the header of a batch that may stand in @bytes, at @offset of
 * its file; 0 if none does. Which segment the file is, and of what use, only
 * the batch itself can tell. */
static uint64_t header_lsn(const uint8_t *bytes, size_t size, uint64_t offset) {
    if (size < DWAL__BATCH_HEADER_SIZE)
        return 0;
    if (size > DWAL__BLOCK_SIZE_MIN)
        size = DWAL__BLOCK_SIZE_MIN;
    struct dwal__batch_header batch;
    struct dwal__segment_header segment = {
        .block_size = DWAL__BLOCK_SIZE_MIN,
        .number = dwal__get64(bytes + BATCH(segment)),
        .salt = dwal__get64(bytes + BATCH(salt)),
        .segment_size = DWAL__SEGMENT_SIZE_MAX};
    enum dwal__fault fault =
        dwal__batch_header_decode(bytes, size, &segment, offset, &batch);
    return fault == DWAL__FAULT_NONE ? batch.first_lsn + batch.lsn_count - 1
                                     : 0;
}

/* True if the file says itself that it is of another log. */
static bool file_foreign(const struct dwal__planner *planner,
                         const uint8_t *bytes, size_t size) {
    struct dwal__segment_header header;
    return dwal__segment_header_decode(bytes, size, &header) ==
               DWAL__FAULT_NONE &&
           memcmp(&header.uuid, &planner->plan->uuid, sizeof header.uuid) != 0;
}

/* Every block that the file may have, to its end. With @foreign also if it is
 * of another log. */
static int file_scan(struct dwal__planner *planner, int handle, bool foreign,
                     uint64_t *lsn) {
    struct dwal__disk *disk = planner->options->disk;
    const uint8_t *chunk = planner->chunk;
    for (uint64_t at = 0;; at += DWAL__PLAN_CHUNK_SIZE) {
        if (dwal__plan_cancelled(planner))
            return -ECANCELED;
        ssize_t size = disk->ops->read(disk, handle, planner->chunk,
                                       DWAL__PLAN_CHUNK_SIZE, at);
        if (size < 0)
            return (int)size;
        if (at == 0 && !foreign && file_foreign(planner, chunk, (size_t)size))
            return 0;
        for (size_t i = 0; i < (size_t)size; i += DWAL__BLOCK_SIZE_MIN)
            lsn_raise(lsn, header_lsn(chunk + i, (size_t)size - i, at + i));
        if ((size_t)size < DWAL__PLAN_CHUNK_SIZE)
            return 0;
    }
}

/* A segment that is not well-formed. */
static int file_look(struct dwal__planner *planner,
                     const struct dwal__found_segment *segment, bool foreign,
                     uint64_t *lsn) {
    struct dwal__disk *disk = planner->options->disk;
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(segment->number, name);
    int handle =
        disk->ops->open(disk, planner->options->dir, name, DWAL__OPEN_READ);
    int result = handle;
    if (handle >= 0) {
        result = file_scan(planner, handle, foreign, lsn);
        disk->ops->close(disk, handle);
    }
    if (result == -ECANCELED)
        return dwal__error_set(planner->error, DWAL_EAGAIN, 0,
                               "plan the repair: cancelled");
    return result >= 0 ? 0
                       : dwal__error_set(planner->error, DWAL_EIO, -result,
                                         "plan the repair: read %s", name);
}

/* True if no segment is of the log that LOCK names: then it may as well be LOCK
 * that is of another. */
static bool none_ours(const struct dwal__planner *planner) {
    const struct dwal__recovery *recovery = planner->recovery;
    for (size_t i = 0; i < recovery->segment_count; i++)
        if (dwal__plan_segment_ours(planner, &recovery->segments[i]))
            return false;
    return true;
}

int dwal__plan_lsn_known(struct dwal__planner *planner, uint64_t *lsn) {
    const struct dwal__recovery *recovery = planner->recovery;
    bool foreign = none_ours(planner);
    *lsn = recovery->durable_lsn;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        /* No watermark says more: it lies below the LSNs of its own batch. */
        if (dwal__plan_segment_ours(planner, segment)) {
            if (segment->started) {
                lsn_raise(lsn, segment->trim_lsn);
                lsn_raise(lsn, segment->run_lsn);
            }
            if (segment->left_over)
                lsn_raise(lsn, segment->left_over_lsn);
        } else if (!segment->well_formed) {
            int code = file_look(planner, segment, foreign, lsn);
            if (code != 0)
                return code;
        }
    }
    return 0;
}
