/* SPDX-License-Identifier: MIT */
/*
 * Reading one segment. Two invariants: nothing is read from a file before its
 * header was found in order; and memory for a batch is taken only after the
 * header that names its size was checked, which bounds it by the segment's.
 */
#include "window.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "../format/bytes.h"

void dwal__window_init(struct dwal__window *window, struct dwal__disk *disk,
                       int dir) {
    memset(window, 0, sizeof *window);
    dwal__feed_init(&window->feed, disk, dir);
}

void dwal__window_close(struct dwal__window *window) {
    dwal__feed_close(&window->feed);
}

void dwal__window_release(struct dwal__window *window) {
    dwal__feed_release(&window->feed);
}

void dwal__window_hand_over(struct dwal__window *window,
                            struct dwal__window *to) {
    dwal__feed_hand_over(&window->feed, &to->feed);
}

void dwal__window_expect(struct dwal__window *window, uint64_t until,
                         bool certain) {
    dwal__feed_expect(&window->feed, until, certain);
}

void dwal__window_sparse(struct dwal__window *window) {
    dwal__feed_sparse(&window->feed);
}

void dwal__window_forget(struct dwal__window *window, uint64_t offset) {
    dwal__feed_forget(&window->feed, offset);
}

/* Bytes of the open file. @fault becomes SHORT if it ends before them, although
 * it was long enough when it was opened. */
static int window_load(struct dwal__window *window, uint64_t offset,
                       uint64_t size, uint8_t **bytes, enum dwal__fault *fault,
                       struct dwal_error *error) {
    struct dwal__feed *feed = &window->feed;
    uint64_t file_size = 0;
    *fault = DWAL__FAULT_SHORT;
    if (offset > feed->file_size || size > feed->file_size - offset)
        return DWAL_OK;
    int result = dwal__feed_get(feed, offset, size, bytes);
    if (result == 0)
        *fault = DWAL__FAULT_NONE;
    if (result == 0 ||
        (result == -EIO &&
         feed->disk->ops->size(feed->disk, feed->handle, &file_size) == 0 &&
         file_size < feed->file_size))
        return DWAL_OK;
    if (result == -ENOMEM)
        return dwal__error_set_at(
            error, DWAL_ENOMEM, ENOMEM, window->header.number, offset,
            "%s: no memory for %llu bytes at offset %llu", window->name,
            (unsigned long long)size, (unsigned long long)offset);
    return dwal__error_set_at(error, DWAL_EIO, -result, window->header.number,
                              feed->bad_offset, "%s: read at offset %llu",
                              window->name,
                              (unsigned long long)feed->bad_offset);
}

int dwal__window_bring(struct dwal__window *window, uint64_t offset,
                       uint64_t size, struct dwal_error *error) {
    enum dwal__fault fault; /* whoever uses the bytes meets it again */
    uint8_t *bytes;
    return window_load(window, offset, size, &bytes, &fault, error);
}

/* ---- the segment header ---- */

/* Reads and checks the header into @header; the fault goes to *@fault. */
static int segment_check(struct dwal__window *window, uint64_t number,
                         const struct dwal__uuid *uuid,
                         struct dwal__segment_header *header,
                         enum dwal__fault *fault, struct dwal_error *error) {
    uint8_t *bytes;
    int code =
        window_load(window, 0, DWAL__SEGMENT_HEADER_SIZE, &bytes, fault, error);
    if (code != DWAL_OK || *fault != DWAL__FAULT_NONE)
        return code;
    *fault =
        dwal__segment_header_decode(bytes, DWAL__SEGMENT_HEADER_SIZE, header);
    if (*fault != DWAL__FAULT_NONE)
        return DWAL_OK;
    code = window_load(window, 0, header->block_size, &bytes, fault, error);
    if (code != DWAL_OK || *fault != DWAL__FAULT_NONE)
        return code;
    if (window->feed.file_size != header->segment_size)
        *fault = DWAL__FAULT_SHORT;
    else if (header->number != number ||
             (uuid != NULL && memcmp(&header->uuid, uuid, sizeof *uuid) != 0))
        *fault = DWAL__FAULT_PLACE;
    else if (!dwal__segment_padding_check(bytes, header))
        *fault = DWAL__FAULT_PADDING;
    return DWAL_OK;
}

/* 1 if the name of the open segment is still there, 0 if not. */
static int name_exists(struct dwal__window *window, struct dwal_error *error) {
    struct dwal__feed *feed = &window->feed;
    const struct dwal__disk_ops *ops = feed->disk->ops;
    int handle =
        ops->open(feed->disk, feed->dir, window->name, DWAL__OPEN_READ);
    if (handle == -ENOENT)
        return 0;
    if (handle < 0)
        return dwal__error_set_at(error, DWAL_EIO, -handle,
                                  window->header.number, 0, "%s: open",
                                  window->name);
    ops->close(feed->disk, handle);
    return 1;
}

/* A header that is not in order: of a file that was renamed since it was
 * opened, of a newer dwal, or damaged. */
static int segment_refuse(struct dwal__window *window, enum dwal__fault fault,
                          struct dwal_error *error) {
    uint64_t number = window->header.number;
    int exists = name_exists(window, error);
    if (exists < 0)
        return exists;
    if (exists == 0)
        return dwal__error_set(error, DWAL_ENOENT, 0, "%s: it was retired",
                               window->name);
    if (fault == DWAL__FAULT_VERSION)
        return dwal__error_set_at(error, DWAL_EVERSION, 0, number, 0,
                                  "%s: %s; use a newer dwal", window->name,
                                  dwal__fault_text(fault));
    if (fault == DWAL__FAULT_SHORT)
        return dwal__error_set_at(
            error, DWAL_ECORRUPT, 0, number, 0,
            "%s: the file has not the size that its header names; run walfsck",
            window->name);
    return dwal__error_set_at(
        error, DWAL_ECORRUPT, 0, number, 0,
        "%s: the segment header at offset 0 is damaged: %s; run walfsck",
        window->name, dwal__fault_text(fault));
}

int dwal__window_open(struct dwal__window *window, uint64_t number,
                      const struct dwal__uuid *uuid, struct dwal_error *error) {
    if (window->feed.handle >= 0 && window->header.number == number)
        return DWAL_OK;
    dwal__window_close(window);
    dwal__segment_name(number, window->name);
    window->header.number = number; /* for messages, until it is known */
    int result = dwal__feed_open(&window->feed, window->name);
    if (result == -ENOENT)
        return dwal__error_set(error, DWAL_ENOENT, 0, "%s: no such file",
                               window->name);
    if (result < 0)
        return dwal__error_set_at(error, DWAL_EIO, -result, number, 0,
                                  "%s: open", window->name);
    struct dwal__segment_header header;
    enum dwal__fault fault;
    int code = segment_check(window, number, uuid, &header, &fault, error);
    if (code == DWAL_OK && fault != DWAL__FAULT_NONE)
        code = segment_refuse(window, fault, error);
    if (code != DWAL_OK) {
        dwal__window_close(window);
        return code;
    }
    window->header = header;
    return DWAL_OK;
}

/* SPEC 12: through the same descriptor, since the name may belong to another
 * file by now; and by name, since a retired file is renamed first and rewritten
 * later. Comes after the read that made the caller doubt: a file is renamed
 * before any of its blocks changes. */
int dwal__window_retired(struct dwal__window *window,
                         struct dwal_error *error) {
    struct dwal__segment_header now;
    enum dwal__fault fault;
    uint8_t *bytes;
    dwal__window_forget(window, 0);
    int code = window_load(window, 0, DWAL__SEGMENT_HEADER_SIZE, &bytes, &fault,
                           error);
    if (code != DWAL_OK)
        return code;
    if (fault == DWAL__FAULT_NONE)
        fault =
            dwal__segment_header_decode(bytes, DWAL__SEGMENT_HEADER_SIZE, &now);
    if (fault == DWAL__FAULT_NONE && (now.salt != window->header.salt ||
                                      now.number != window->header.number))
        return 1;
    int exists = name_exists(window, error);
    return exists < 0 ? exists : !exists;
}

/* ---- batches ---- */

int dwal__window_header(struct dwal__window *window, uint64_t offset,
                        struct dwal__batch_header *header,
                        enum dwal__fault *fault, struct dwal_error *error) {
    const struct dwal__segment_header *segment = &window->header;
    assert(offset % segment->block_size == 0);
    uint8_t *bytes;
    int code =
        window_load(window, offset, segment->block_size, &bytes, fault, error);
    if (code == DWAL_OK && *fault == DWAL__FAULT_NONE)
        *fault = dwal__batch_header_decode(bytes, segment->block_size, segment,
                                           offset, header);
    return code;
}

int dwal__window_batch(struct dwal__window *window, uint64_t offset,
                       const struct dwal__expected *expected,
                       struct dwal__window_batch *batch,
                       struct dwal__batch_fault *where, bool *readable,
                       struct dwal_error *error) {
    struct dwal__batch_header *header = &batch->header;
    uint32_t block_size = window->header.block_size;
    enum dwal__fault fault;
    int code = dwal__window_header(window, offset, header, &fault, error);
    *where = (struct dwal__batch_fault){.fault = fault, .offset = offset};
    if (readable != NULL)
        *readable = code == DWAL_OK && fault == DWAL__FAULT_NONE;
    if (code != DWAL_OK || fault != DWAL__FAULT_NONE)
        return code;
    if (expected->link_known && header->link != expected->link)
        where->fault = DWAL__FAULT_LINK;
    else if (expected->lsn_known && header->first_lsn != expected->first_lsn)
        where->fault = DWAL__FAULT_LSN;
    if (where->fault != DWAL__FAULT_NONE)
        return DWAL_OK;
    uint64_t size = dwal__align_up(header->size, block_size);
    uint8_t *bytes;
    code = window_load(window, offset, size, &bytes, &where->fault, error);
    if (code != DWAL_OK || where->fault != DWAL__FAULT_NONE)
        return code;
    batch->bytes = bytes;
    batch->end = offset + size;
    dwal__batch_check(bytes, header, block_size, &batch->summary, where);
    return DWAL_OK;
}

int dwal__window_search(struct dwal__window *window, uint64_t from,
                        uint64_t until, bool *found,
                        struct dwal__batch_header *header,
                        struct dwal_error *error) {
    *found = false;
    for (uint64_t offset = from; offset < until && !*found;
         offset += window->header.block_size) {
        enum dwal__fault fault;
        int code = dwal__window_header(window, offset, header, &fault, error);
        if (code != DWAL_OK)
            return code;
        *found = fault == DWAL__FAULT_NONE;
    }
    return DWAL_OK;
}
