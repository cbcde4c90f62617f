/* SPDX-License-Identifier: MIT */
/*
 * Reading a file forward. Owns the buffer and the open handle. Two invariants:
 * the buffer holds [start, start + filled) of the open file; start, and filled
 * unless it ends with the file, are multiples of the unit that direct I/O
 * wants.
 */
#include "feed.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"

/* The first read of a file is small, since often only its headers are wanted;
 * each further one is twice as long, up to a length that no disk minds. */
#define AHEAD_FIRST ((size_t)16 << 10)
#define AHEAD_MAX ((size_t)1 << 20)

/* A device that wants more than the larger one is read through the cache. */
#define UNIT_MIN 4096u
#define UNIT_MAX 65536u

static_assert(sizeof(size_t) == 8,
              "dwal is for 64-bit machines: a batch may be larger than 4 GiB");

void dwal__feed_init(struct dwal__feed *feed, struct dwal__disk *disk,
                     int dir) {
    *feed = (struct dwal__feed){.disk = disk, .dir = dir, .handle = -1};
}

/* True if direct reads in units of ours will do; sets the unit, which is right
 * for offsets, sizes and memory alike. */
static bool direct_unit(struct dwal__feed *feed) {
    struct dwal__disk_alignment alignment;
    const struct dwal__disk_ops *ops = feed->disk->ops;
    if (ops->alignment(feed->disk, feed->handle, &alignment) != 0)
        return false;
    uint32_t unit = alignment.offset > alignment.memory ? alignment.offset
                                                        : alignment.memory;
    if (alignment.offset == 0 || unit > UNIT_MAX ||
        !dwal__is_power_of_two(unit))
        return false;
    feed->unit = unit > UNIT_MIN ? unit : UNIT_MIN;
    return true;
}

static int buffered_open(struct dwal__feed *feed) {
    const struct dwal__disk_ops *ops = feed->disk->ops;
    dwal__feed_close(feed);
    feed->direct = false;
    feed->unit = UNIT_MIN;
    feed->handle =
        ops->open(feed->disk, feed->dir, feed->name, DWAL__OPEN_READ);
    return feed->handle < 0 ? feed->handle : 0;
}

static void buffer_drop(struct dwal__feed *feed) {
    free(feed->buffer);
    feed->buffer = NULL;
    feed->capacity = 0;
    feed->filled = 0;
}

int dwal__feed_open(struct dwal__feed *feed, const char *name) {
    assert(feed->handle < 0);
    const struct dwal__disk_ops *ops = feed->disk->ops;
    feed->name = name;
    feed->start = 0;
    feed->filled = 0;
    feed->ahead = AHEAD_FIRST;
    feed->direct = true;
    feed->handle = ops->open(feed->disk, feed->dir, name,
                             DWAL__OPEN_READ | DWAL__OPEN_DIRECT);
    int error = feed->handle < 0 ? feed->handle : 0;
    if (error == -EINVAL || (error == 0 && !direct_unit(feed)))
        error = buffered_open(feed);
    if (error == 0)
        error = ops->size(feed->disk, feed->handle, &feed->file_size);
    if (error != 0)
        dwal__feed_close(feed);
    else if ((uintptr_t)feed->buffer % feed->unit != 0)
        buffer_drop(feed); /* made for another device */
    return error;
}

/* Room for @size bytes; what is in memory is kept. */
static int capacity_raise(struct dwal__feed *feed, size_t size) {
    if (size <= feed->capacity)
        return 0;
    uint8_t *buffer = dwal__buffer_allocate(size, feed->unit);
    if (buffer == NULL)
        return -ENOMEM;
    if (feed->filled > 0)
        memcpy(buffer, feed->buffer, feed->filled);
    free(feed->buffer);
    feed->buffer = buffer;
    feed->capacity = size;
    return 0;
}

/* Moves the beginning to @base, keeping what is already in memory. */
static void buffer_shift(struct dwal__feed *feed, uint64_t base) {
    size_t kept = 0;
    if (base >= feed->start && base - feed->start < feed->filled) {
        size_t gone = (size_t)(base - feed->start);
        kept = feed->filled - gone;
        memmove(feed->buffer, feed->buffer + gone, kept);
    }
    feed->start = base;
    feed->filled = kept;
}

/* Reads behind what is in memory, up to @size bytes in all. What statx told, or
 * what was guessed, may be wrong: EINVAL leads to the page cache. */
static int buffer_fill(struct dwal__feed *feed, size_t size) {
    const struct dwal__disk_ops *ops = feed->disk->ops;
    if (feed->filled % feed->unit != 0)
        return -EIO; /* the file ended here the last time it was read */
    uint8_t *to = feed->buffer + feed->filled;
    size_t more = size - feed->filled;
    uint64_t from = feed->start + feed->filled;
    ssize_t got = ops->read(feed->disk, feed->handle, to, more, from);
    if (got == -EINVAL && feed->direct) {
        int error = buffered_open(feed);
        if (error != 0)
            return error;
        got = ops->read(feed->disk, feed->handle, to, more, from);
    }
    if (got < 0)
        return (int)got;
    feed->filled += (size_t)got;
    if (feed->moved != NULL && feed->moved(feed->argument, (uint64_t)got) != 0)
        return -ECANCELED;
    return 0;
}

/* Brings @size bytes from @offset on into memory, and more behind them. */
static int buffer_move(struct dwal__feed *feed, uint64_t offset, size_t size) {
    uint64_t base = offset & ~(uint64_t)(feed->unit - 1);
    size_t need = size + (size_t)(offset - base);
    uint64_t rest = dwal__align_up(feed->file_size - base, feed->unit);
    uint64_t want = need > feed->ahead ? need : feed->ahead;
    want = dwal__align_up(want < rest ? want : rest, feed->unit);
    if (feed->ahead < AHEAD_MAX)
        feed->ahead *= 2;
    buffer_shift(feed, base);
    int error = capacity_raise(feed, (size_t)want);
    if (error == 0)
        error = buffer_fill(feed, (size_t)want);
    if (error == 0 && feed->filled < need)
        error = -EIO;
    if (error != 0)
        feed->filled = 0;
    return error;
}

int dwal__feed_get(struct dwal__feed *feed, uint64_t offset, size_t size,
                   uint8_t **bytes) {
    assert(offset <= feed->file_size && size <= feed->file_size - offset);
    bool held = offset >= feed->start && offset - feed->start <= feed->filled &&
                size <= feed->filled - (offset - feed->start);
    int error = held ? 0 : buffer_move(feed, offset, size);
    if (error == 0)
        *bytes = feed->buffer + (offset - feed->start);
    return error;
}

void dwal__feed_close(struct dwal__feed *feed) {
    if (feed->handle >= 0)
        feed->disk->ops->close(feed->disk, feed->handle);
    feed->handle = -1;
}

void dwal__feed_release(struct dwal__feed *feed) {
    dwal__feed_close(feed);
    buffer_drop(feed);
}
