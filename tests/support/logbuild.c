/* SPDX-License-Identifier: MIT */
/*
 * Logs in memory. The invariant: tail, link and next_lsn of a segment always
 * say what a valid next batch has to be.
 */
#include "logbuild.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "format/bytes.h"

void logbuild_init(struct logbuild *log, uint32_t block_size,
                   uint64_t segment_size) {
    memset(log, 0, sizeof *log);
    assert(dwal__segment_sizes_valid(block_size, segment_size));
    log->block_size = block_size;
    log->segment_size = segment_size;
    log->epoch = 1;
    log->random = 1;
    check_fill(&log->random, log->uuid.bytes, sizeof log->uuid.bytes);
    dwal__lock_encode(&log->uuid, log->lock);
    log->lock_size = DWAL__LOCK_SIZE;
    log->lock_present = true;
}

void logbuild_free(struct logbuild *log) {
    for (unsigned i = 0; i < log->segment_count; i++) {
        free(log->segments[i]->bytes);
        free(log->segments[i]);
    }
    memset(log, 0, sizeof *log);
}

void logbuild_header(struct logbuild_segment *segment) {
    segment->header.crc =
        dwal__segment_header_encode(&segment->header, segment->bytes);
    if (segment->batch_count == 0)
        segment->link = segment->header.crc;
}

static void segment_set(struct logbuild *log, struct logbuild_segment *segment,
                        uint64_t number, uint64_t previous) {
    segment->header =
        (struct dwal__segment_header){.block_size = log->block_size,
                                      .uuid = log->uuid,
                                      .number = number,
                                      .previous = previous,
                                      .epoch = log->epoch,
                                      .salt = check_random(&log->random),
                                      .segment_size = log->segment_size};
    dwal__segment_name(number, segment->name);
    segment->present = true;
    segment->size = log->segment_size;
    segment->tail = log->block_size;
    segment->batch_count = 0;
    segment->next_lsn = 0;
    logbuild_header(segment);
}

struct logbuild_segment *logbuild_segment(struct logbuild *log, uint64_t number,
                                          uint64_t previous) {
    assert(log->segment_count < LOGBUILD_SEGMENTS_MAX);
    struct logbuild_segment *segment = calloc(1, sizeof *segment);
    assert(segment != NULL);
    segment->bytes = calloc(1, log->segment_size);
    assert(segment->bytes != NULL);
    segment_set(log, segment, number, previous);
    log->segments[log->segment_count++] = segment;
    return segment;
}

void logbuild_recycle(struct logbuild *log, struct logbuild_segment *old,
                      uint64_t number, uint64_t previous) {
    assert(old->header.segment_size == log->segment_size);
    segment_set(log, old, number, previous);
}

const struct logbuild_batch *
logbuild_last(const struct logbuild_segment *segment) {
    assert(segment->batch_count > 0);
    return &segment->batches[segment->batch_count - 1];
}

struct dwal__start logbuild_after(const struct logbuild_segment *before) {
    if (before == NULL)
        return (struct dwal__start){0};
    const struct logbuild_batch *last = logbuild_last(before);
    return (struct dwal__start){.previous_segment = before->header.number,
                                .previous_end = last->end,
                                .previous_lsn = last->last_lsn,
                                .previous_link = last->crc};
}

void logbuild_begin(struct logbuild *log, struct logbuild_segment *segment) {
    log->segment = segment;
    batch_begin(&log->maker, segment->bytes + segment->tail,
                segment->header.segment_size - segment->tail, &segment->header,
                segment->tail, segment->next_lsn);
    log->maker.header.link = segment->link;
    if (segment->batch_count > 0)
        log->maker.header.watermark = (struct dwal__watermark){
            segment->next_lsn - 1, {segment->header.number, segment->tail}};
}

void logbuild_system(struct logbuild *log, uint16_t type, const void *data,
                     uint32_t size) {
    batch_add_system(&log->maker, type, data, size);
}

void logbuild_start_record(struct logbuild *log,
                           const struct dwal__start *start) {
    uint8_t bytes[DWAL__START_SIZE_MAX];
    struct dwal__batch_header *header = &log->maker.header;
    header->first_lsn = dwal__start_first_lsn(start);
    header->watermark = (struct dwal__watermark){
        start->previous_lsn, {start->previous_segment, start->previous_end}};
    logbuild_system(log, DWAL__SYSTEM_START, bytes,
                    dwal__start_encode(start, bytes));
}

void logbuild_record(struct logbuild *log, const void *data, uint32_t size) {
    batch_add(&log->maker,
              (struct dwal__record){.data = data, .size = size, .type = 1});
}

void logbuild_random_record(struct logbuild *log, uint32_t size) {
    uint8_t *bytes = malloc(size + 1);
    assert(bytes != NULL);
    check_fill(&log->random, bytes, size);
    logbuild_record(log, bytes, size);
    free(bytes);
}

void logbuild_trim(struct logbuild *log, uint64_t lsn) {
    uint8_t bytes[DWAL__TRIM_SIZE];
    dwal__put64(bytes, lsn);
    logbuild_system(log, DWAL__SYSTEM_TRIM, bytes, sizeof bytes);
}

const struct logbuild_batch *logbuild_seal(struct logbuild *log) {
    struct logbuild_segment *segment = log->segment;
    const struct dwal__batch_header *header = &log->maker.header;
    assert(segment->batch_count < LOGBUILD_BATCHES_MAX);
    struct logbuild_batch *batch = &segment->batches[segment->batch_count++];
    batch->offset = segment->tail;
    batch->end = segment->tail + batch_seal(&log->maker);
    batch->size = header->size;
    batch->first_lsn = header->first_lsn;
    batch->last_lsn = header->first_lsn + header->lsn_count - 1;
    batch->crc = header->crc;
    segment->tail = batch->end;
    segment->link = batch->crc;
    segment->next_lsn = batch->last_lsn + 1;
    return batch;
}

void logbuild_start(struct logbuild *log, struct logbuild_segment *segment,
                    const struct dwal__start *start) {
    struct dwal__start none = {0};
    logbuild_begin(log, segment);
    logbuild_start_record(log, start != NULL ? start : &none);
    logbuild_seal(log);
}

const struct logbuild_batch *logbuild_records(struct logbuild *log,
                                              struct logbuild_segment *segment,
                                              uint32_t count, uint32_t size) {
    logbuild_begin(log, segment);
    for (uint32_t i = 0; i < count; i++)
        logbuild_random_record(log, size);
    return logbuild_seal(log);
}

const struct logbuild_batch *logbuild_mark(struct logbuild *log,
                                           struct logbuild_segment *segment) {
    logbuild_begin(log, segment);
    logbuild_system(log, DWAL__SYSTEM_MARK, NULL, 0);
    return logbuild_seal(log);
}

const struct logbuild_batch *logbuild_close(struct logbuild *log,
                                            struct logbuild_segment *segment) {
    logbuild_begin(log, segment);
    logbuild_system(log, DWAL__SYSTEM_CLOSE, NULL, 0);
    return logbuild_seal(log);
}

/* ---- to a directory ---- */

static void file_write(const char *path, const char *name, const void *bytes,
                       size_t size) {
    char file[4096];
    snprintf(file, sizeof file, "%s/%s", path, name);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(close(fd), 0);
}

void logbuild_write(const struct logbuild *log, const char *path) {
    if (mkdir(path, 0777) != 0)
        assert_int_equal(errno, EEXIST);
    if (log->lock_present)
        file_write(path, DWAL__LOCK_NAME, log->lock, log->lock_size);
    for (unsigned i = 0; i < log->segment_count; i++) {
        const struct logbuild_segment *segment = log->segments[i];
        if (segment->present)
            file_write(path, segment->name, segment->bytes, segment->size);
    }
}

void logbuild_remove(const char *path) {
    char file[4096];
    DIR *stream = opendir(path);
    if (stream == NULL)
        return;
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlink(file);
    }
    closedir(stream);
    rmdir(path);
}
