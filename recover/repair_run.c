/* SPDX-License-Identifier: MIT */
/*
 * Running a repair, step by step. Each function leaves its step done and
 * durable, or the bytes in a state from which the same step, planned and run
 * again, ends the same (repair.h); whatever a step finds done already, it
 * leaves as it is.
 */
#include "repair.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"

#define CHUNK_SIZE ((size_t)1 << 20)
#define BATCH(field) offsetof(struct dwal__batch_header_bytes, field)

/* For @result, a negative errno. */
static int step_failed(struct dwal_error *error, int result,
                       const struct dwal__repair_step *step, uint64_t offset,
                       const char *what) {
    return dwal__error_set_at(
        error, result == -ENOSPC ? DWAL_ENOSPC : DWAL_EIO, -result,
        step->segment, offset,
        "repair, not finished (run it again once this is put right): %s %s",
        what, step->name);
}

/* ---- the flag file ---- */

static const char flag_text[] =
    "walfsck -y is changing this log, or was interrupted doing so. While this "
    "file\nis here nothing opens the log. Run walfsck -y again, or go back "
    "with walfsck\n--undo-apply and the undo file that it named.\n";

/* A flag that is there already, even an empty one, is as good: its name is
 * what counts. */
int dwal__repair_flag(struct dwal__disk *disk, int dir) {
    int handle = disk->ops->open(disk, dir, DWAL__REPAIR_FLAG_NAME,
                                 DWAL__OPEN_WRITE | DWAL__OPEN_CREATE);
    if (handle == -EEXIST)
        return disk->ops->dir_sync(disk, dir);
    if (handle < 0)
        return handle;
    ssize_t moved =
        disk->ops->write(disk, handle, flag_text, sizeof flag_text - 1, 0);
    int result = moved < 0 ? (int)moved : disk->ops->sync(disk, handle);
    disk->ops->close(disk, handle);
    return result < 0 ? result : disk->ops->dir_sync(disk, dir);
}

int dwal__repair_unflag(struct dwal__disk *disk, int dir) {
    int result = disk->ops->unlink(disk, dir, DWAL__REPAIR_FLAG_NAME);
    if (result < 0 && result != -ENOENT)
        return result;
    return disk->ops->dir_sync(disk, dir);
}

/* ---- files that are made ---- */

/* The batch with the one record that a reset is, at @bytes. */
static size_t reset_encode(const struct dwal__repair_step *step, uint32_t link,
                           uint8_t *bytes) {
    const struct dwal__segment_header *segment = &step->header;
    uint8_t payload[DWAL__START_SIZE_MAX];
    struct dwal__start start = {.previous_lsn = step->reset_lsn,
                                .flags = DWAL__START_RESET,
                                .trim_lsn = step->reset_lsn};
    struct dwal__record record = {.data = payload, .type = DWAL__SYSTEM_START};
    record.size = dwal__start_encode(&start, payload);
    uint32_t crc = dwal__record_encode(&record, segment->salt,
                                       bytes + DWAL__BATCH_HEADER_SIZE);
    struct dwal__batch_header batch = {.segment = segment->number,
                                       .salt = segment->salt,
                                       .offset = segment->block_size,
                                       .size = DWAL__BATCH_HEADER_SIZE +
                                               dwal__record_room(record.size),
                                       .first_lsn = step->reset_lsn + 1,
                                       .record_count = 1,
                                       .digest = dwal__digest(0, &crc, 1),
                                       .link = link,
                                       .sealed_ns = segment->created_ns};
    dwal__batch_header_encode(&batch, bytes);
    return dwal__align_up(batch.size, segment->block_size);
}

size_t dwal__repair_content(const struct dwal__repair_step *step,
                            uint8_t bytes[DWAL__REPAIR_CONTENT_SIZE_MAX]) {
    assert(step->action == DWAL__REPAIR_MAKE);
    memset(bytes, 0, DWAL__REPAIR_CONTENT_SIZE_MAX);
    if (step->segment == 0) {
        dwal__lock_encode(&step->header.uuid, bytes);
        return DWAL__LOCK_SIZE;
    }
    uint32_t link = dwal__segment_header_encode(&step->header, bytes);
    size_t size = step->header.block_size;
    if (step->reset)
        size += reset_encode(step, link, bytes + size);
    return size;
}

/* Writes and syncs the whole file under its temporary name. */
static int temporary_write(const struct dwal__repair_options *options,
                           int handle, const struct dwal__repair_step *step) {
    struct dwal__disk *disk = options->disk;
    uint8_t bytes[DWAL__REPAIR_CONTENT_SIZE_MAX];
    size_t size = dwal__repair_content(step, bytes);
    int result = disk->ops->allocate(disk, handle, step->bytes);
    if (result < 0)
        return result;
    ssize_t moved = disk->ops->write(disk, handle, bytes, size, 0);
    if (moved < 0)
        return (int)moved;
    if (options->made != NULL)
        result = options->made(options->argument, DWAL__REPAIR_TEMPORARY_NAME);
    return result < 0 ? result : disk->ops->sync(disk, handle);
}

/* The new LOCK is locked before it has its name, so that nobody is between. */
static int lock_take_over(const struct dwal__repair_options *options,
                          int handle) {
    struct dwal__disk *disk = options->disk;
    int result = disk->ops->lock(disk, handle, DWAL__LOCK_FILE);
    if (result < 0)
        return result;
    if (*options->lock >= 0)
        disk->ops->close(disk, *options->lock);
    *options->lock = handle;
    return 0;
}

/* As SPEC 11.1 wants it: written, synced, renamed, the directory synced. */
static int step_make(const struct dwal__repair_options *options,
                     const struct dwal__repair_step *step,
                     struct dwal_error *error) {
    struct dwal__disk *disk = options->disk;
    int dir = options->dir;
    int result = disk->ops->unlink(disk, dir, DWAL__REPAIR_TEMPORARY_NAME);
    if (result < 0 && result != -ENOENT)
        return step_failed(error, result, step, 0, "make");
    int handle = disk->ops->open(disk, dir, DWAL__REPAIR_TEMPORARY_NAME,
                                 DWAL__OPEN_WRITE | DWAL__OPEN_CREATE);
    if (handle < 0)
        return step_failed(error, handle, step, 0, "make");
    result = temporary_write(options, handle, step);
    bool is_lock = step->segment == 0;
    if (result == 0 && is_lock)
        result = lock_take_over(options, handle);
    if (!(result == 0 && is_lock))
        disk->ops->close(disk, handle);
    if (result == 0)
        result = disk->ops->rename(disk, dir, DWAL__REPAIR_TEMPORARY_NAME,
                                   step->name);
    if (result == 0)
        result = disk->ops->dir_sync(disk, dir);
    return result < 0 ? step_failed(error, result, step, 0, "make") : 0;
}

static int step_move(const struct dwal__repair_options *options,
                     const struct dwal__repair_step *step,
                     struct dwal_error *error) {
    struct dwal__disk *disk = options->disk;
    int result =
        disk->ops->rename(disk, options->dir, step->name, step->target);
    if (result == 0)
        result = disk->ops->dir_sync(disk, options->dir);
    return result < 0 ? step_failed(error, result, step, 0, "move aside") : 0;
}

/* ---- tails ---- */

void dwal__repair_mark(const struct dwal__segment_header *segment,
                       uint64_t from, uint64_t to,
                       uint8_t sector[DWAL__SECTOR_SIZE]) {
    memset(sector, 0, DWAL__SECTOR_SIZE);
    dwal__put64(sector + BATCH(segment), segment->number);
    dwal__put64(sector + BATCH(salt), segment->salt);
    dwal__put64(sector + BATCH(offset), from);
    dwal__put64(sector + BATCH(size), to - from);
}

/* Zeros over the range behind the mark; what is zero already is not written.
 * @chunk has CHUNK_SIZE bytes. 0 or a negative errno, of what happened at
 * *@at. */
static int wipe_rest(struct dwal__disk *disk, int handle,
                     const struct dwal__repair_step *step, uint8_t *chunk,
                     uint64_t *at) {
    for (*at = step->from + DWAL__SECTOR_SIZE; *at < step->to;) {
        size_t some =
            step->to - *at < CHUNK_SIZE ? (size_t)(step->to - *at) : CHUNK_SIZE;
        ssize_t moved = disk->ops->read(disk, handle, chunk, some, *at);
        if (moved < 0)
            return (int)moved;
        if (moved != (ssize_t)some)
            return -EIO;
        if (dwal__zero_run(chunk, some) < some) {
            memset(chunk, 0, some);
            moved = disk->ops->write(disk, handle, chunk, some, *at);
            if (moved < 0)
                return (int)moved;
        }
        *at += some;
    }
    return disk->ops->sync(disk, handle);
}

/* Writes @sector at @offset and syncs. */
static int sector_write(struct dwal__disk *disk, int handle,
                        const uint8_t *sector, uint64_t offset) {
    ssize_t moved =
        disk->ops->write(disk, handle, sector, DWAL__SECTOR_SIZE, offset);
    return moved < 0 ? (int)moved : disk->ops->sync(disk, handle);
}

/* The mark, the rest, zeros over the mark. */
static int wipe(struct dwal__disk *disk, int handle,
                const struct dwal__repair_step *step, uint8_t *chunk,
                uint64_t *at) {
    uint8_t sector[DWAL__SECTOR_SIZE];
    *at = step->from;
    dwal__repair_mark(&step->header, step->from, step->to, sector);
    int result = sector_write(disk, handle, sector, step->from);
    if (result == 0)
        result = wipe_rest(disk, handle, step, chunk, at);
    if (result != 0)
        return result;
    *at = step->from;
    memset(sector, 0, sizeof sector);
    return sector_write(disk, handle, sector, step->from);
}

static int step_wipe(const struct dwal__repair_options *options,
                     const struct dwal__repair_step *step,
                     struct dwal_error *error) {
    struct dwal__disk *disk = options->disk;
    uint8_t *chunk = malloc(CHUNK_SIZE);
    if (chunk == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, 0,
                               "repair: out of memory; nothing was changed "
                               "in %s",
                               step->name);
    uint64_t at = step->from;
    int handle =
        disk->ops->open(disk, options->dir, step->name, DWAL__OPEN_WRITE);
    int result = handle;
    if (handle >= 0) {
        result = wipe(disk, handle, step, chunk, &at);
        disk->ops->close(disk, handle);
    }
    free(chunk);
    return result < 0 ? step_failed(error, result, step, at,
                                    "write zeros over the tail of")
                      : 0;
}

/* ---- patches ---- */

/* One write; each sector of it is as it was or as it will be. */
static int step_patch(const struct dwal__repair_options *options,
                      const struct dwal__repair_step *step,
                      struct dwal_error *error) {
    struct dwal__disk *disk = options->disk;
    int handle =
        disk->ops->open(disk, options->dir, step->name, DWAL__OPEN_WRITE);
    int result = handle;
    if (handle >= 0) {
        ssize_t moved = disk->ops->write(disk, handle, step->data + step->bytes,
                                         (size_t)step->bytes, step->from);
        result = moved < 0 ? (int)moved : disk->ops->sync(disk, handle);
        disk->ops->close(disk, handle);
    }
    return result < 0 ? step_failed(error, result, step, step->from, "mend")
                      : 0;
}

/* ---- the steps ---- */

static int step_run(const struct dwal__repair_options *options,
                    const struct dwal__repair_step *step,
                    struct dwal_error *error) {
    struct dwal__disk *disk = options->disk;
    int result;
    switch (step->action) {
    case DWAL__REPAIR_FLAG:
        result = dwal__repair_flag(disk, options->dir);
        return result < 0 ? step_failed(error, result, step, 0, "make") : 0;
    case DWAL__REPAIR_MOVE:
        return step_move(options, step, error);
    case DWAL__REPAIR_MAKE:
        return step_make(options, step, error);
    case DWAL__REPAIR_WIPE:
        return step_wipe(options, step, error);
    case DWAL__REPAIR_PATCH:
        return step_patch(options, step, error);
    case DWAL__REPAIR_UNFLAG:
        result = dwal__repair_unflag(disk, options->dir);
        return result < 0 ? step_failed(error, result, step, 0, "remove") : 0;
    }
    return 0;
}

int dwal__repair_run(const struct dwal__repair_options *options,
                     const struct dwal__repair_plan *plan,
                     struct dwal_error *error) {
    for (size_t i = 0; i < plan->step_count; i++) {
        if (options->cancelled != NULL && options->cancelled(options->argument))
            return dwal__error_set(error, DWAL_EAGAIN, 0,
                                   "repair: cancelled after %zu of %zu steps; "
                                   "run it again to finish",
                                   i, plan->step_count);
        if (options->step != NULL)
            options->step(options->argument, &plan->steps[i]);
        int code = step_run(options, &plan->steps[i], error);
        if (code != 0)
            return code;
    }
    return 0;
}
