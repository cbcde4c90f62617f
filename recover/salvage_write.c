/* SPDX-License-Identifier: MIT */
/*
 * Writing what was found into a new log. The invariant: from its first file to
 * its last, the directory holds the flag file, so that nothing opens it; and a
 * segment has its name only when it is whole and durable (SPEC 11.1).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "repair.h"
#include "salvage.h"
#include "source.h"

/* Single records are put together into batches of about this size. */
#define BATCH_SIZE ((uint64_t)256 << 10)
#define PROGRESS_BYTES ((uint64_t)4 << 20)

struct writer {
    const struct dwal__salvage_options *options;
    const struct dwal__recovery *recovery;
    const struct dwal__salvage *salvage;
    struct dwal_error *error;
    struct dwal__source file; /* of the damaged log */
    size_t source;            /* that is open; SIZE_MAX: none */
    uint64_t done, reported;

    uint32_t block_size;
    uint64_t segment_size;
    struct dwal__segment_header segment; /* number 0: none yet */
    int handle;                          /* of its file; -1: none is open */
    uint64_t tail;                       /* where the next batch goes */
    uint32_t link;
    uint64_t next_lsn;
    struct dwal__start start; /* of the next segment */

    struct dwal__batch_header batch; /* record_count 0: none begun */
    uint8_t *bytes;                  /* of the batch */
    size_t capacity;
};

static int target_failed(struct writer *writer, int result, const char *what,
                         const char *name) {
    int code = result == -ENOSPC || result == -EDQUOT ? DWAL_ENOSPC
               : result == -ENOMEM                    ? DWAL_ENOMEM
                                                      : DWAL_EIO;
    return dwal__error_set(writer->error, code, -result,
                           "salvage, not finished (run it again once this is "
                           "put right): %s %s",
                           what, name);
}

static int changed(struct writer *writer, uint64_t number, uint64_t offset) {
    return dwal__error_set_at(writer->error, DWAL_EIO, 0, number, offset,
                              "salvage: what was whole in %016llx.wal at "
                              "offset %llu is not any more",
                              (unsigned long long)number,
                              (unsigned long long)offset);
}

/* ---- batches ---- */

static int bytes_room(struct writer *writer, uint64_t size) {
    if (size <= writer->capacity)
        return 0;
    uint64_t capacity =
        size > 2 * writer->capacity ? size : 2 * writer->capacity;
    void *grown = realloc(writer->bytes, capacity);
    if (grown == NULL)
        return target_failed(writer, -ENOMEM, "allocate", "a batch");
    writer->bytes = grown;
    writer->capacity = capacity;
    return 0;
}

static int batch_begin(struct writer *writer) {
    struct dwal__position here = {writer->segment.number, writer->tail};
    struct dwal__watermark mark = {writer->next_lsn - 1, here};
    if (writer->tail == writer->block_size)
        mark = (struct dwal__watermark){
            writer->start.previous_lsn,
            {writer->start.previous_segment, writer->start.previous_end}};
    writer->batch =
        (struct dwal__batch_header){.segment = here.segment,
                                    .salt = writer->segment.salt,
                                    .offset = here.offset,
                                    .size = DWAL__BATCH_HEADER_SIZE,
                                    .first_lsn = writer->next_lsn,
                                    .watermark = mark,
                                    .link = writer->link,
                                    .sealed_ns = writer->options->now_ns};
    return bytes_room(writer, DWAL__BATCH_HEADER_SIZE);
}

static int batch_add(struct writer *writer, const struct dwal__record *record) {
    struct dwal__batch_header *batch = &writer->batch;
    size_t room = dwal__record_room(record->size);
    int code = bytes_room(writer, batch->size + room);
    if (code != 0)
        return code;
    uint32_t crc = dwal__record_encode(record, writer->segment.salt,
                                       writer->bytes + batch->size);
    batch->digest = dwal__digest(batch->digest, &crc, 1);
    batch->size += room;
    batch->record_count++;
    if (record->lsn != 0) {
        assert(record->lsn == writer->next_lsn);
        batch->lsn_count++;
        writer->next_lsn++;
    }
    return 0;
}

/* Writes the batch that was begun, if it holds anything. */
static int batch_seal(struct writer *writer) {
    struct dwal__batch_header *batch = &writer->batch;
    if (batch->record_count == 0)
        return 0;
    struct dwal__disk *disk = writer->options->target_disk;
    uint64_t padded = dwal__align_up(batch->size, writer->block_size);
    assert(padded <= writer->segment.segment_size - writer->tail);
    int code = bytes_room(writer, padded);
    if (code != 0)
        return code;
    memset(writer->bytes + batch->size, 0, padded - batch->size);
    writer->link = dwal__batch_header_encode(batch, writer->bytes);
    ssize_t moved = disk->ops->write(disk, writer->handle, writer->bytes,
                                     (size_t)padded, batch->offset);
    if (moved < 0)
        return target_failed(writer, (int)moved, "write", "a segment");
    writer->tail += padded;
    batch->record_count = 0;
    return 0;
}

/* ---- segments ---- */

/* Bytes that the rest of a run of dense LSNs takes at most, from piece @index
 * on. */
static uint64_t rest_size(const struct writer *writer, size_t index) {
    const struct dwal__salvage *salvage = writer->salvage;
    uint64_t size = 0;
    for (size_t i = index; i < salvage->piece_count; i++) {
        const struct dwal__salvage_piece *piece = &salvage->pieces[i];
        if (i > index && piece->first_lsn != piece[-1].last_lsn + 1)
            break;
        uint64_t length = piece->end - piece->offset;
        uint64_t batches = piece->batches ? 0 : 1 + length / BATCH_SIZE;
        size +=
            length + batches * (DWAL__BATCH_HEADER_SIZE + writer->block_size);
    }
    return size;
}

/* The size of a segment that has room for a start, a batch of @needed bytes and
 * a close, and for @rest where that is within what is usual. */
static uint64_t segment_size(const struct writer *writer, uint64_t needed,
                             uint64_t rest) {
    uint32_t block_size = writer->block_size;
    uint64_t fixed = block_size + block_size +
                     dwal__align_up(DWAL__BATCH_HEADER_SIZE +
                                        dwal__record_room(DWAL__START_SIZE_MAX),
                                    block_size);
    uint64_t size = fixed + dwal__align_up(rest, block_size);
    if (size > writer->segment_size)
        size = writer->segment_size;
    if (size < fixed + needed)
        size = fixed + needed;
    if (size < DWAL__SEGMENT_BLOCKS_MIN * block_size)
        size = (uint64_t)DWAL__SEGMENT_BLOCKS_MIN * block_size;
    return size;
}

/* A file of @size under the temporary name, with @segment as its header. */
static int segment_make(struct writer *writer, uint64_t size) {
    struct dwal__disk *disk = writer->options->target_disk;
    int dir = writer->options->target_dir;
    struct dwal__segment_header *segment = &writer->segment;
    uint64_t epoch = writer->recovery->epoch_max;
    *segment = (struct dwal__segment_header){
        .block_size = writer->block_size,
        .uuid = writer->options->uuid,
        .number = segment->number + 1,
        .previous = segment->number,
        .epoch = epoch < UINT64_MAX ? epoch + 1 : epoch,
        .salt = writer->options->random(writer->options->argument) | 1,
        .segment_size = size,
        .created_ns = writer->options->now_ns};
    int code = bytes_room(writer, writer->block_size);
    if (code != 0)
        return code;
    writer->link = dwal__segment_header_encode(segment, writer->bytes);
    writer->tail = writer->block_size;
    int result = disk->ops->unlink(disk, dir, DWAL__REPAIR_TEMPORARY_NAME);
    if (result < 0 && result != -ENOENT)
        return target_failed(writer, result, "replace",
                             DWAL__REPAIR_TEMPORARY_NAME);
    writer->handle = disk->ops->open(disk, dir, DWAL__REPAIR_TEMPORARY_NAME,
                                     DWAL__OPEN_WRITE | DWAL__OPEN_CREATE);
    if (writer->handle < 0)
        return target_failed(writer, writer->handle, "make", "a segment");
    result = disk->ops->allocate(disk, writer->handle, size);
    if (result == 0) {
        ssize_t moved = disk->ops->write(disk, writer->handle, writer->bytes,
                                         writer->block_size, 0);
        result = moved < 0 ? (int)moved : 0;
    }
    return result < 0 ? target_failed(writer, result, "make", "a segment") : 0;
}

/* Syncs the open file, and gives it the name @name. */
static int file_finish(struct writer *writer, const char *name) {
    const struct dwal__salvage_options *options = writer->options;
    struct dwal__disk *disk = options->target_disk;
    int result = 0;
    if (options->made != NULL)
        result = options->made(options->argument, DWAL__REPAIR_TEMPORARY_NAME);
    if (result == 0)
        result = disk->ops->sync(disk, writer->handle);
    disk->ops->close(disk, writer->handle);
    writer->handle = -1;
    if (result == 0)
        result = disk->ops->rename(disk, options->target_dir,
                                   DWAL__REPAIR_TEMPORARY_NAME, name);
    if (result == 0)
        result = disk->ops->dir_sync(disk, options->target_dir);
    return result < 0 ? target_failed(writer, result, "finish", name) : 0;
}

static int segment_end(struct writer *writer) {
    char name[DWAL__NAME_SIZE];
    int code = batch_seal(writer);
    if (code != 0 || writer->handle < 0)
        return code;
    writer->start.previous_segment = writer->segment.number;
    writer->start.previous_end = writer->tail;
    writer->start.previous_lsn = writer->next_lsn - 1;
    writer->start.previous_link = writer->link;
    dwal__segment_name(writer->segment.number, name);
    return file_finish(writer, name);
}

/* The next segment, which goes on with @lsn; what lies between that and the
 * last one is lost. */
static int segment_begin(struct writer *writer, uint64_t lsn, uint64_t needed,
                         uint64_t rest) {
    uint8_t payload[DWAL__START_SIZE_MAX];
    struct dwal__start *start = &writer->start;
    int code = segment_end(writer);
    if (code == 0)
        code = segment_make(writer, segment_size(writer, needed, rest));
    if (code != 0)
        return code;
    start->flags = lsn > start->previous_lsn + 1 ? DWAL__START_LOST : 0;
    start->metadata = writer->salvage->metadata;
    start->metadata_size = writer->salvage->metadata_size;
    writer->next_lsn = lsn;
    struct dwal__record record = {.data = payload, .type = DWAL__SYSTEM_START};
    record.size = dwal__start_encode(start, payload);
    code = batch_begin(writer);
    if (code == 0)
        code = batch_add(writer, &record);
    return code == 0 ? batch_seal(writer) : code;
}

/* Sees to it that a batch of @needed bytes, padding included, and a close fit
 * behind the tail. */
static int room_make(struct writer *writer, uint64_t needed, size_t index) {
    uint64_t left = writer->segment.segment_size - writer->tail;
    if (left >= writer->block_size && left - writer->block_size >= needed)
        return 0;
    return segment_begin(writer, writer->next_lsn, needed,
                         rest_size(writer, index));
}

/* ---- pieces ---- */

static int progress_check(struct writer *writer, uint64_t bytes) {
    const struct dwal__salvage_options *options = writer->options;
    writer->done += bytes;
    if (writer->done - writer->reported < PROGRESS_BYTES)
        return 0;
    writer->reported = writer->done;
    if (options->progress != NULL)
        options->progress(options->argument, writer->done,
                          writer->salvage->bytes);
    if (options->cancelled != NULL && options->cancelled(options->argument))
        return dwal__error_set(writer->error, DWAL_EAGAIN, 0,
                               "salvage: cancelled; run it again to begin "
                               "anew, or remove what it made");
    return 0;
}

/* One whole batch of @piece at *@at: its application records, as one batch. */
static int batch_copy(struct writer *writer, size_t index, uint64_t *at) {
    const struct dwal__salvage_piece *piece = &writer->salvage->pieces[index];
    const struct dwal__salvage_source *source =
        &writer->salvage->sources[piece->source];
    uint32_t block_size = source->header.block_size;
    const uint8_t *bytes = NULL;
    struct dwal__batch_header header;
    struct dwal__batch_summary summary;
    uint64_t left = piece->end - *at;
    bool good = left >= block_size &&
                dwal__source_get(&writer->file, *at, block_size, &bytes) == 0 &&
                dwal__batch_header_decode(bytes, block_size, &source->header,
                                          *at, &header) == DWAL__FAULT_NONE;
    uint64_t padded = good ? dwal__align_up(header.size, block_size) : 0;
    good = good && padded <= left &&
           dwal__source_get(&writer->file, *at, (size_t)padded, &bytes) == 0 &&
           dwal__batch_check(bytes, &header, block_size, &summary, NULL) ==
               DWAL__FAULT_NONE;
    if (!good)
        return changed(writer, source->number, *at);
    *at += padded;
    int code = room_make(
        writer, dwal__align_up(header.size, writer->block_size), index);
    if (code == 0)
        code = batch_begin(writer);
    size_t in = DWAL__BATCH_HEADER_SIZE;
    for (uint32_t i = 0; code == 0 && i < header.record_count; i++) {
        struct dwal__record record;
        dwal__record_load(bytes + in, &record);
        in += dwal__record_room(record.size);
        if (record.lsn >= piece->first_lsn && record.lsn <= piece->last_lsn)
            code = batch_add(writer, &record);
    }
    if (code == 0)
        code = batch_seal(writer);
    return code == 0 ? progress_check(writer, padded) : code;
}

/* One record of @piece at *@at, into a batch with those before it. */
static int record_copy(struct writer *writer, size_t index, uint64_t *at) {
    const struct dwal__salvage_piece *piece = &writer->salvage->pieces[index];
    const struct dwal__salvage_source *source =
        &writer->salvage->sources[piece->source];
    const uint8_t *bytes = NULL;
    struct dwal__record record;
    uint64_t left = piece->end - *at;
    size_t room = 0;
    bool good = left >= DWAL__RECORD_HEADER_SIZE &&
                dwal__source_get(&writer->file, *at, DWAL__RECORD_HEADER_SIZE,
                                 &bytes) == 0;
    if (good)
        dwal__record_load(bytes, &record);
    uint64_t needed = good ? dwal__record_room(record.size) : 0;
    good = good && needed <= left &&
           dwal__source_get(&writer->file, *at, (size_t)needed, &bytes) == 0 &&
           dwal__record_decode(bytes, (size_t)needed, source->header.salt,
                               &record, &room) == DWAL__FAULT_NONE;
    if (!good)
        return changed(writer, source->number, *at);
    *at += room;
    if (record.lsn < piece->first_lsn || record.lsn > piece->last_lsn)
        return 0;
    struct dwal__batch_header *batch = &writer->batch;
    int code = 0;
    if (batch->record_count > 0 &&
        (batch->size + room > BATCH_SIZE ||
         batch->record_count == DWAL__BATCH_RECORDS_MAX))
        code = batch_seal(writer);
    if (code == 0 && batch->record_count == 0) {
        uint64_t rest = DWAL__BATCH_HEADER_SIZE + room;
        if (rest < BATCH_SIZE)
            rest = rest + left < BATCH_SIZE ? rest + left : BATCH_SIZE;
        code =
            room_make(writer, dwal__align_up(rest, writer->block_size), index);
        if (code == 0)
            code = batch_begin(writer);
    }
    if (code == 0)
        code = batch_add(writer, &record);
    return code == 0 ? progress_check(writer, room) : code;
}

static int piece_copy(struct writer *writer, size_t index) {
    const struct dwal__salvage_piece *piece = &writer->salvage->pieces[index];
    const struct dwal__salvage_source *source =
        &writer->salvage->sources[piece->source];
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(source->number, name);
    if (writer->source != piece->source) {
        int result = dwal__source_open(&writer->file, writer->options->disk,
                                       writer->options->dir, name);
        if (result < 0)
            return target_failed(writer, result, "open", name);
        writer->source = piece->source;
    }
    if (piece->end > writer->file.size)
        return changed(writer, source->number, writer->file.size);
    int code = 0;
    if (writer->handle < 0 || piece->first_lsn != writer->next_lsn)
        code = segment_begin(writer, piece->first_lsn, 0,
                             rest_size(writer, index));
    for (uint64_t at = piece->offset; code == 0 && at < piece->end;)
        code = piece->batches ? batch_copy(writer, index, &at)
                              : record_copy(writer, index, &at);
    return code == 0 ? batch_seal(writer) : code;
}

/* ---- the directory ---- */

/* What is in the target directory. */
struct target {
    struct writer *writer;
    bool flagged;
    bool others;
    char name[DWAL__NAME_SIZE]; /* a file that a salvage makes; "": none */
};

static int target_each(void *argument, const char *name) {
    struct target *target = argument;
    uint64_t number;
    enum dwal__name_kind kind = dwal__name_parse(name, &number);
    if (strcmp(name, DWAL__REPAIR_FLAG_NAME) == 0)
        target->flagged = true;
    else if (kind == DWAL__NAME_SEGMENT || kind == DWAL__NAME_LOCK ||
             strcmp(name, DWAL__REPAIR_TEMPORARY_NAME) == 0)
        snprintf(target->name, sizeof target->name, "%s", name);
    else
        target->others = true;
    return 0;
}

/* An empty directory with the flag; what an interrupted salvage made goes, one
 * file after the other. */
static int target_clear(struct writer *writer) {
    struct dwal__disk *disk = writer->options->target_disk;
    int dir = writer->options->target_dir;
    for (;;) {
        struct target target = {.writer = writer};
        int result = disk->ops->dir_list(disk, dir, target_each, &target);
        if (result < 0)
            return target_failed(writer, result, "list", "the new directory");
        if (target.others || (!target.flagged && target.name[0] != '\0'))
            return dwal__error_set(writer->error, DWAL_EEXIST, 0,
                                   "the directory for what is salvaged is not "
                                   "empty; name another one");
        result = dwal__repair_flag(disk, dir);
        if (result == 0 && target.name[0] == '\0')
            return 0;
        if (result == 0)
            result = disk->ops->unlink(disk, dir, target.name);
        if (result < 0)
            return target_failed(writer, result, "clear", "the new directory");
    }
}

/* LOCK, last of the files: as SPEC 11.11 wants it. */
static int lock_make(struct writer *writer) {
    struct dwal__disk *disk = writer->options->target_disk;
    uint8_t bytes[DWAL__LOCK_SIZE];
    dwal__lock_encode(&writer->options->uuid, bytes);
    writer->handle = disk->ops->open(disk, writer->options->target_dir,
                                     DWAL__REPAIR_TEMPORARY_NAME,
                                     DWAL__OPEN_WRITE | DWAL__OPEN_CREATE);
    if (writer->handle < 0)
        return target_failed(writer, writer->handle, "make", DWAL__LOCK_NAME);
    ssize_t moved =
        disk->ops->write(disk, writer->handle, bytes, sizeof bytes, 0);
    if (moved < 0)
        return target_failed(writer, (int)moved, "write", DWAL__LOCK_NAME);
    return file_finish(writer, DWAL__LOCK_NAME);
}

/* ---- all of it ---- */

/* The block size that is the smallest of all, so that no batch grows; and the
 * largest segment size. */
static void sizes_choose(struct writer *writer) {
    const struct dwal__salvage *salvage = writer->salvage;
    for (size_t i = 0; i < salvage->source_count; i++) {
        const struct dwal__segment_header *header = &salvage->sources[i].header;
        if (writer->block_size == 0 || header->block_size < writer->block_size)
            writer->block_size = header->block_size;
        if (header->segment_size > writer->segment_size)
            writer->segment_size = header->segment_size;
    }
    if (writer->block_size == 0)
        writer->block_size = DWAL__REPAIR_BLOCK_SIZE;
    uint64_t least = (uint64_t)DWAL__SEGMENT_BLOCKS_MIN * writer->block_size;
    if (writer->segment_size < least)
        writer->segment_size = least;
    writer->segment_size -= writer->segment_size % writer->block_size;
}

/* Behind the last record: the hole at the end, a close, a prepared segment. */
static int end_write(struct writer *writer) {
    const struct dwal__salvage *salvage = writer->salvage;
    struct dwal__record close = {.type = DWAL__SYSTEM_CLOSE};
    int code = 0;
    bool hole = writer->next_lsn <= salvage->last_lsn;
    bool begun = writer->segment.number != 0;
    if (hole || (!begun && salvage->trim_lsn + salvage->metadata_size > 0))
        code = segment_begin(writer, salvage->last_lsn + 1, 0, 0);
    if (code == 0 && writer->handle >= 0) {
        code = batch_begin(writer);
        if (code == 0)
            code = batch_add(writer, &close);
    }
    if (code == 0)
        code = segment_end(writer);
    for (int i = writer->segment.number == 0 ? 0 : 1; code == 0 && i < 2; i++) {
        char name[DWAL__NAME_SIZE];
        code = segment_make(writer, segment_size(writer, 0, 0));
        dwal__segment_name(writer->segment.number, name);
        if (code == 0)
            code = file_finish(writer, name);
    }
    return code;
}

static int log_write(struct writer *writer) {
    const struct dwal__salvage *salvage = writer->salvage;
    struct dwal__disk *disk = writer->options->target_disk;
    int code = target_clear(writer);
    for (size_t i = 0; code == 0 && i < salvage->piece_count; i++)
        code = piece_copy(writer, i);
    if (code == 0)
        code = end_write(writer);
    if (code == 0)
        code = lock_make(writer);
    if (code != 0)
        return code;
    int result = dwal__repair_unflag(disk, writer->options->target_dir);
    return result < 0
               ? target_failed(writer, result, "remove", DWAL__REPAIR_FLAG_NAME)
               : 0;
}

int dwal__salvage_write(const struct dwal__salvage_options *options,
                        const struct dwal__recovery *recovery,
                        const struct dwal__salvage *salvage,
                        struct dwal_error *error) {
    struct dwal__disk *disk = options->target_disk;
    struct writer writer = {.options = options,
                            .recovery = recovery,
                            .salvage = salvage,
                            .error = error,
                            .file = {.handle = -1},
                            .source = SIZE_MAX,
                            .handle = -1,
                            .next_lsn = salvage->trim_lsn + 1,
                            .start = {.previous_lsn = salvage->trim_lsn,
                                      .trim_lsn = salvage->trim_lsn}};
    sizes_choose(&writer);
    int code = log_write(&writer);
    if (writer.handle >= 0)
        disk->ops->close(disk, writer.handle);
    dwal__source_release(&writer.file);
    free(writer.bytes);
    return code;
}
