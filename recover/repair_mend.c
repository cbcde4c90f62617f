/* SPDX-License-Identifier: MIT */
/*
 * What checksums prove: bits that have flipped, and headers. Finds them one
 * after the other, by recovering the log as it would be with those that were
 * found before. The invariant: a patch is kept only if it brings back something
 * of the log, and its bytes differ from what is there in nothing else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "planner.h"
#include "rebuild.h"

/* Recoveries at most: a log that needs more flips than that has another
 * disease. */
#define ROUNDS_MAX 64
#define CRC_VALUES ((uint64_t)1 << 32)

static int no_memory(struct dwal__mending *mending) {
    return dwal__error_set(mending->error, DWAL_ENOMEM, 0,
                           "plan the repair: out of memory");
}

static int read_failed(struct dwal__mending *mending, int result,
                       const char *name) {
    if (result == -ENOMEM)
        return no_memory(mending);
    return dwal__error_set(mending->error, DWAL_EIO, -result,
                           "plan the repair: read %s", name);
}

/* ---- patches ---- */

/* A patch of [@from, @from + @size) of segment @number, whose bytes are now
 * @before; NULL: out of memory. What it will be is @before, too, for now. */
static struct dwal__repair_step *patch_add(struct dwal__mending *mending,
                                           uint64_t number, uint64_t from,
                                           const uint8_t *before, size_t size) {
    if (mending->count == mending->capacity) {
        size_t capacity = mending->capacity * 2 + 8;
        void *grown =
            realloc(mending->patches, capacity * sizeof mending->patches[0]);
        if (grown == NULL)
            return NULL;
        mending->patches = grown;
        mending->capacity = capacity;
    }
    uint8_t *data = malloc(2 * size);
    if (data == NULL)
        return NULL;
    memcpy(data, before, size);
    memcpy(data + size, before, size);
    struct dwal__repair_step *patch = &mending->patches[mending->count++];
    *patch = (struct dwal__repair_step){.action = DWAL__REPAIR_PATCH,
                                        .segment = number,
                                        .bytes = size,
                                        .from = from,
                                        .to = from + size,
                                        .data = data};
    dwal__segment_name(number, patch->name);
    return patch;
}

static void patch_drop(struct dwal__mending *mending, size_t index) {
    free(mending->patches[index].data);
    mending->count--;
    memmove(&mending->patches[index], &mending->patches[index + 1],
            (mending->count - index) * sizeof mending->patches[0]);
}

/* Shows all patches, and none else. */
static int patches_show(struct dwal__mending *mending) {
    dwal__overlay_clear(mending->overlay);
    for (size_t i = 0; i < mending->count; i++) {
        const struct dwal__repair_step *patch = &mending->patches[i];
        if (!dwal__overlay_patch(mending->overlay, patch->name, patch->from,
                                 patch->data + patch->bytes,
                                 (size_t)patch->bytes))
            return no_memory(mending);
    }
    return 0;
}

/* ---- bits ---- */

/* How many values of the checksum that covers byte @offset one flipped bit can
 * explain, in the batch at @batch_offset that is valid with the patch. */
static int bits_covered(struct dwal__source *file,
                        const struct dwal__segment_header *segment,
                        uint64_t batch_offset, uint64_t offset,
                        uint64_t *bits) {
    const uint8_t *bytes;
    struct dwal__batch_header header;
    *bits = 8 * DWAL__BATCH_HEADER_SIZE;
    int error =
        dwal__source_get(file, batch_offset, DWAL__BATCH_HEADER_SIZE, &bytes);
    if (error != 0 || offset < batch_offset + DWAL__BATCH_HEADER_SIZE ||
        dwal__batch_header_decode(bytes, DWAL__BATCH_HEADER_SIZE, segment,
                                  batch_offset, &header) != DWAL__FAULT_NONE)
        return error;
    *bits = 1; /* padding: no checksum, but all else of it is zero */
    uint64_t at = batch_offset + DWAL__BATCH_HEADER_SIZE;
    uint64_t end = batch_offset + header.size;
    while (at < end && at <= offset) {
        error = dwal__source_get(file, at, DWAL__RECORD_HEADER_SIZE, &bytes);
        if (error != 0)
            return error;
        uint32_t size = dwal__get32(bytes + 4);
        if (offset < at + DWAL__RECORD_HEADER_SIZE + size)
            *bits = 8 * (DWAL__RECORD_HEADER_SIZE + (uint64_t)size);
        at += dwal__record_room(size);
    }
    return 0;
}

/* The patch of this sector, NULL if there is none yet. */
static struct dwal__repair_step *patch_find(struct dwal__mending *mending,
                                            uint64_t number, uint64_t sector) {
    for (size_t i = 0; i < mending->count; i++)
        if (mending->patches[i].segment == number &&
            mending->patches[i].from == sector &&
            mending->patches[i].bit_count > 0)
            return &mending->patches[i];
    return NULL;
}

/* Puts back the bit that recovery found in @segment. */
static int bit_mend(struct dwal__mending *mending,
                    const struct dwal__found_segment *segment,
                    struct dwal__source *file) {
    uint64_t in = segment->flipped_offset % DWAL__SECTOR_SIZE;
    uint64_t sector = segment->flipped_offset - in;
    const uint8_t *bytes;
    int error = dwal__source_get(file, sector, DWAL__SECTOR_SIZE, &bytes);
    if (error != 0)
        return no_memory(mending);
    struct dwal__repair_step *patch =
        patch_find(mending, segment->number, sector);
    if (patch == NULL)
        patch = patch_add(mending, segment->number, sector, bytes,
                          DWAL__SECTOR_SIZE);
    if (patch == NULL)
        return no_memory(mending);
    patch->data[patch->bytes + in] ^= (uint8_t)(1u << segment->flipped_bit);
    if (patch->bit_count++ == 0) {
        patch->bit_offset = segment->flipped_offset;
        patch->bit = segment->flipped_bit;
    }
    return patches_show(mending);
}

/* Sets the odds of the patch that was just shown, and takes it back if they are
 * bad. */
static int bit_judge(struct dwal__mending *mending,
                     const struct dwal__found_segment *segment,
                     struct dwal__source *file, bool *kept) {
    uint64_t in = segment->flipped_offset % DWAL__SECTOR_SIZE;
    struct dwal__repair_step *patch =
        patch_find(mending, segment->number, segment->flipped_offset - in);
    uint64_t bits;
    if (bits_covered(file, &segment->header, segment->run_end,
                     segment->flipped_offset, &bits) != 0)
        return no_memory(mending);
    uint64_t odds = CRC_VALUES / bits;
    *kept = odds >= DWAL__MEND_ODDS_MIN;
    if (odds > UINT32_MAX)
        odds = UINT32_MAX;
    if (*kept && (patch->odds == 0 || odds < patch->odds))
        patch->odds = (uint32_t)odds;
    if (*kept)
        return 0;
    patch->data[patch->bytes + in] ^= (uint8_t)(1u << segment->flipped_bit);
    if (--patch->bit_count == 0)
        patch_drop(mending, (size_t)(patch - mending->patches));
    return patches_show(mending);
}

static int segment_bit_mend(struct dwal__mending *mending,
                            const struct dwal__found_segment *segment,
                            bool *found) {
    struct dwal__disk *disk = dwal__overlay_disk(mending->overlay);
    struct dwal__source file = {.handle = -1};
    char name[DWAL__NAME_SIZE];
    bool kept = false;
    dwal__segment_name(segment->number, name);
    int result = dwal__source_open(&file, disk, mending->options->dir, name);
    int code = result < 0 ? read_failed(mending, result, name)
                          : bit_mend(mending, segment, &file);
    if (code == 0) { /* opened again: what was read is without the patch */
        result = dwal__source_open(&file, disk, mending->options->dir, name);
        code = result < 0 ? read_failed(mending, result, name)
                          : bit_judge(mending, segment, &file, &kept);
    }
    dwal__source_release(&file);
    *found |= kept;
    return code;
}

/* Where LOCK is bad there may be segments of two logs: only those of ours. */
static int bits_mend(struct dwal__mending *mending,
                     const struct dwal__recovery *recovery, bool *found) {
    int code = 0;
    for (size_t i = 0; code == 0 && i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->scanned && segment->flipped &&
            memcmp(&segment->header.uuid, &mending->uuid,
                   sizeof mending->uuid) == 0 &&
            segment->number >= recovery->end.segment)
            code = segment_bit_mend(mending, segment, found);
    }
    return code;
}

/* ---- headers ---- */

/* The patch that makes the first block of @segment what @rebuilt says. */
static int header_patch(struct dwal__mending *mending,
                        const struct dwal__found_segment *segment,
                        const struct dwal__rebuilt *rebuilt,
                        struct dwal__source *file) {
    uint32_t size = rebuilt->header.block_size;
    const uint8_t *bytes;
    uint8_t *block = malloc(size);
    if (block == NULL || dwal__source_get(file, 0, size, &bytes) != 0) {
        free(block);
        return no_memory(mending);
    }
    dwal__segment_header_encode(&rebuilt->header, block);
    uint32_t from = 0, to = size;
    while (from < to &&
           memcmp(bytes + from, block + from, DWAL__SECTOR_SIZE) == 0)
        from += DWAL__SECTOR_SIZE;
    while (to > from &&
           memcmp(bytes + to - DWAL__SECTOR_SIZE,
                  block + to - DWAL__SECTOR_SIZE, DWAL__SECTOR_SIZE) == 0)
        to -= DWAL__SECTOR_SIZE;
    struct dwal__repair_step *patch =
        patch_add(mending, segment->number, from, bytes + from, to - from);
    if (patch != NULL) {
        memcpy(patch->data + patch->bytes, block + from, to - from);
        patch->proven = rebuilt->proven;
    }
    free(block);
    return patch != NULL ? 0 : no_memory(mending);
}

static int header_mend(struct dwal__mending *mending,
                       const struct dwal__recovery *recovery,
                       const struct dwal__found_segment *segment, bool *found) {
    struct dwal__disk *disk = mending->options->disk;
    int dir = mending->options->dir;
    char name[DWAL__NAME_SIZE];
    struct dwal__rebuilt rebuilt;
    dwal__segment_name(segment->number, name);
    int result = dwal__header_rebuild(disk, dir, recovery, segment,
                                      &mending->uuid, &rebuilt);
    if (result < 0)
        return read_failed(mending, result, name);
    unsigned needed = rebuilt.proven ? DWAL__MEND_HEADERS : DWAL__MEND_FORGED;
    if (!rebuilt.found || (mending->options->mend & needed) == 0)
        return 0;
    struct dwal__source file = {.handle = -1};
    result = dwal__source_open(&file, disk, dir, name);
    int code = result < 0 ? read_failed(mending, result, name)
                          : header_patch(mending, segment, &rebuilt, &file);
    dwal__source_release(&file);
    *found |= code == 0;
    return code;
}

/* A header whose CRC is right is as somebody wrote it, and stays. */
static bool header_damaged(const struct dwal__found_segment *segment) {
    return !segment->well_formed && (segment->fault == DWAL__FAULT_MAGIC ||
                                     segment->fault == DWAL__FAULT_CRC ||
                                     segment->fault == DWAL__FAULT_PADDING);
}

static int headers_mend(struct dwal__mending *mending,
                        const struct dwal__recovery *recovery, bool *found) {
    int code = 0;
    for (size_t i = 0; code == 0 && i < recovery->segment_count; i++)
        if (header_damaged(&recovery->segments[i]))
            code =
                header_mend(mending, recovery, &recovery->segments[i], found);
    return code == 0 ? patches_show(mending) : code;
}

/* ---- the log with the patches ---- */

static int progress(void *argument, uint64_t done, uint64_t total) {
    const struct dwal__repair_options *options = argument;
    if (options->progress != NULL)
        options->progress(options->argument, done, total);
    return options->cancelled != NULL && options->cancelled(options->argument);
}

static int recover_over(struct dwal__mending *mending) {
    struct dwal__recover_options options = {
        .disk = dwal__overlay_disk(mending->overlay),
        .dir = mending->options->dir,
        .verify_bytes = UINT64_MAX,
        .threads = mending->options->threads,
        .hooks = {.argument = (void *)(uintptr_t)mending->options,
                  .progress = progress}};
    if (mending->recovered)
        dwal__recovery_release(&mending->recovery);
    int code = dwal__recover(&options, &mending->recovery, mending->error);
    mending->recovered = code == 0;
    return code;
}

/* A bit outside of what the log will be is not put back: the segment is dead
 * even so, and will be moved aside or wiped. */
static bool patch_useful(const struct dwal__mending *mending,
                         const struct dwal__repair_step *patch) {
    const struct dwal__recovery *recovery = &mending->recovery;
    if (patch->bit_count == 0)
        return true;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->number == patch->segment)
            return segment->live && patch->bit_offset < segment->live_end;
    }
    return false;
}

static int useless_drop(struct dwal__mending *mending) {
    bool dropped = false;
    for (size_t i = mending->count; i-- > 0;)
        if (!patch_useful(mending, &mending->patches[i])) {
            patch_drop(mending, i);
            dropped = true;
        }
    if (!dropped)
        return 0;
    int code = patches_show(mending);
    return code == 0 && mending->count > 0 ? recover_over(mending) : code;
}

static int mend(struct dwal__mending *mending,
                const struct dwal__recovery *recovery) {
    unsigned what = mending->options->mend;
    bool found = false;
    int code = 0;
    if ((what & (DWAL__MEND_HEADERS | DWAL__MEND_FORGED)) != 0)
        code = headers_mend(mending, recovery, &found);
    if (code == 0 && found)
        code = recover_over(mending);
    for (unsigned round = 0; code == 0 && round < ROUNDS_MAX; round++) {
        found = false;
        if ((what & DWAL__MEND_BITS) != 0)
            code = bits_mend(mending,
                             mending->recovered ? &mending->recovery : recovery,
                             &found);
        if (code != 0 || !found)
            break;
        code = recover_over(mending);
    }
    return code == 0 && mending->count > 0 ? useless_drop(mending) : code;
}

int dwal__mending_find(const struct dwal__repair_options *options,
                       const struct dwal__recovery *recovery,
                       const struct dwal__uuid *uuid,
                       struct dwal__mending *mending,
                       struct dwal_error *error) {
    *mending = (struct dwal__mending){
        .options = options, .uuid = *uuid, .error = error};
    if (options->mend == 0 || (recovery->verdict != DWAL__VERDICT_TORN &&
                               recovery->verdict != DWAL__VERDICT_CORRUPT))
        return 0;
    mending->overlay = dwal__overlay_new(options->disk);
    if (mending->overlay == NULL)
        return no_memory(mending);
    int code = mend(mending, recovery);
    /* What is behind the patches takes a newer dwal: it stays as it is. */
    if (code == DWAL_EVERSION || code == DWAL_ENOENT) {
        while (mending->count > 0)
            patch_drop(mending, mending->count - 1);
        code = 0;
    }
    return code;
}

int dwal__mending_take(struct dwal__mending *mending,
                       struct dwal__repair_plan *plan) {
    size_t count = mending->count;
    if (count == 0)
        return 0;
    struct dwal__repair_step *steps =
        realloc(plan->steps, (plan->step_count + count) * sizeof steps[0]);
    if (steps == NULL)
        return no_memory(mending);
    size_t at = plan->kind == DWAL__REPAIR_CUT; /* the flag comes first */
    memmove(steps + at + count, steps + at,
            (plan->step_count - at) * sizeof steps[0]);
    memcpy(steps + at, mending->patches, count * sizeof steps[0]);
    plan->steps = steps;
    plan->step_count += count;
    plan->patches = count;
    mending->count = 0;
    if (plan->kind == DWAL__REPAIR_NOTHING)
        plan->kind = DWAL__REPAIR_MEND;
    return 0;
}

void dwal__mending_release(struct dwal__mending *mending) {
    while (mending->count > 0)
        patch_drop(mending, mending->count - 1);
    free(mending->patches);
    if (mending->recovered)
        dwal__recovery_release(&mending->recovery);
    dwal__overlay_free(mending->overlay);
}
