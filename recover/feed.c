/* SPDX-License-Identifier: MIT */
/*
 * Reading a file forward. Owns the buffer and the open handle. Invariants: the
 * buffer holds [start, start + filled) of the open file; start, and filled
 * unless it ends with the file, are multiples of the unit that direct I/O
 * wants; and reads are in flight only while the file is open.
 *
 * Two ways to get bytes: the buffer, for who looks here and there, and ahead.c,
 * for who reads on and on. A read ahead that fails is not told: the buffer's
 * own reads find out what is wrong, and exactly where.
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

/* The first read after something was forgotten: who reads at the end of a log
 * that is being written wants little at a time. */
#define AHEAD_AGAIN ((size_t)64 << 10)

/* With less than this to come, threads are not worth their start. */
#define READS_WORTH ((uint64_t)4 << 20)

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

static void reads_stop(struct dwal__feed *feed) {
    if (feed->reads != NULL && dwal__ahead_running(feed->reads))
        dwal__ahead_stop(feed->reads);
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
    feed->until = 0;
    feed->bad_offset = 0;
    feed->ahead = AHEAD_FIRST;
    feed->reads_off = false;
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

/* What statx told, or what was guessed, may be wrong: EINVAL leads to the page
 * cache. */
static ssize_t file_read(struct dwal__feed *feed, uint8_t *to, size_t size,
                         uint64_t offset) {
    const struct dwal__disk_ops *ops = feed->disk->ops;
    ssize_t got = ops->read(feed->disk, feed->handle, to, size, offset);
    if (got != -EINVAL || !feed->direct)
        return got;
    int error = buffered_open(feed);
    if (error != 0)
        return error;
    return ops->read(feed->disk, feed->handle, to, size, offset);
}

/* A large read failed: brings at least @need bytes into memory, unit by unit,
 * or finds out which one is to blame. The reads that follow are small, so that
 * a disk that takes long to say no is not asked too often. */
static int units_fill(struct dwal__feed *feed, size_t need) {
    feed->ahead = feed->unit;
    while (feed->filled < need) {
        uint64_t offset = feed->start + feed->filled;
        ssize_t got =
            file_read(feed, feed->buffer + feed->filled, feed->unit, offset);
        if (got < 0) {
            feed->bad_offset = offset;
            return (int)got;
        }
        feed->filled += (size_t)got;
        if ((size_t)got < feed->unit)
            break;
    }
    return 0;
}

static int moved_tell(struct dwal__feed *feed, uint64_t bytes) {
    bool stop = feed->moved != NULL && feed->moved(feed->argument, bytes) != 0;
    return stop ? -ECANCELED : 0;
}

/* Reads behind what is in memory, up to @want bytes in all, at least @need. */
static int buffer_fill(struct dwal__feed *feed, size_t need, size_t want) {
    size_t before = feed->filled;
    if (before % feed->unit != 0)
        return -EIO; /* the file ended here the last time it was read */
    ssize_t got = file_read(feed, feed->buffer + before, want - before,
                            feed->start + before);
    int error = 0;
    if (got < 0)
        error = units_fill(feed, need);
    else
        feed->filled += (size_t)got;
    if (error == 0)
        error = moved_tell(feed, feed->filled - before);
    return error;
}

/* Brings @size bytes from @offset on into memory, and more behind them. */
static int buffer_move(struct dwal__feed *feed, uint64_t offset, size_t size) {
    uint64_t base = offset & ~(uint64_t)(feed->unit - 1);
    size_t need = size + (size_t)(offset - base);
    uint64_t end = feed->file_size;
    if (feed->until >= offset + size && feed->until < end)
        end = feed->until;
    uint64_t rest = dwal__align_up(end - base, feed->unit);
    uint64_t want = need > feed->ahead ? need : feed->ahead;
    want = dwal__align_up(want < rest ? want : rest, feed->unit);
    if (feed->ahead < AHEAD_MAX)
        feed->ahead *= 2;
    feed->bad_offset = offset;
    buffer_shift(feed, base);
    int error = capacity_raise(feed, (size_t)want);
    if (error == 0)
        error = buffer_fill(feed, need, (size_t)want);
    if (error == 0 && feed->filled < need)
        error = -EIO;
    if (error != 0)
        feed->filled = 0;
    return error;
}

/* ---- more reads in flight ---- */

static bool reads_start(struct dwal__feed *feed, uint64_t offset) {
    if (feed->reads == NULL)
        feed->reads = dwal__ahead_new(UNIT_MAX);
    struct dwal__ahead_range range = {.disk = feed->disk,
                                      .handle = feed->handle,
                                      .unit = feed->unit,
                                      .from =
                                          offset & ~(uint64_t)(feed->unit - 1),
                                      .until = feed->until};
    feed->reads_off =
        feed->reads == NULL || !dwal__ahead_start(feed->reads, &range);
    feed->filled = 0;
    return !feed->reads_off;
}

/* True if these bytes are to be had from reads in flight; starts and stops
 * them. Only for who has shown, or said, that it reads on and on. */
static bool reads_wanted(struct dwal__feed *feed, uint64_t offset,
                         size_t size) {
    if (feed->reads != NULL && dwal__ahead_running(feed->reads)) {
        if (dwal__ahead_covers(feed->reads, offset, size))
            return true;
        reads_stop(feed);
    }
    /* The disk works on the pieces of a larger read at once by itself. */
    if (size > DWAL__AHEAD_STRETCH)
        feed->reads_off = true;
    return !feed->reads_off && feed->disk->ops->parallel_reads &&
           feed->ahead >= AHEAD_MAX && feed->until <= feed->file_size &&
           feed->until >= offset + size &&
           feed->until - offset >= READS_WORTH && reads_start(feed, offset);
}

/* True if that decided: *@error is 0, and *@bytes set, or it is not. */
static bool reads_get(struct dwal__feed *feed, uint64_t offset, size_t size,
                      uint8_t **bytes, int *error) {
    uint64_t arrived;
    uint8_t *found;
    if (!reads_wanted(feed, offset, size))
        return false;
    if (!dwal__ahead_get(feed->reads, offset, size, &found, &arrived)) {
        reads_stop(feed);
        feed->reads_off = true;
        return false;
    }
    *error = arrived > 0 ? moved_tell(feed, arrived) : 0;
    if (*error == 0)
        *bytes = found;
    return true;
}

void dwal__feed_expect(struct dwal__feed *feed, uint64_t until, bool certain) {
    feed->until = until;
    if (certain)
        feed->ahead = AHEAD_MAX;
}

void dwal__feed_sparse(struct dwal__feed *feed) {
    feed->ahead = 0; /* which stays 0 when it is doubled */
    feed->until = 0;
}

/* ---- the interface ---- */

int dwal__feed_get(struct dwal__feed *feed, uint64_t offset, size_t size,
                   uint8_t **bytes) {
    assert(offset <= feed->file_size && size <= feed->file_size - offset);
    bool held = offset >= feed->start && offset - feed->start <= feed->filled &&
                size <= feed->filled - (offset - feed->start);
    int error = 0;
    if (!held && reads_get(feed, offset, size, bytes, &error))
        return error;
    if (!held)
        error = buffer_move(feed, offset, size);
    if (error == 0)
        *bytes = feed->buffer + (offset - feed->start);
    return error;
}

void dwal__feed_forget(struct dwal__feed *feed, uint64_t offset) {
    reads_stop(feed);
    uint64_t kept = offset > feed->start ? offset - feed->start : 0;
    if (kept < feed->filled)
        feed->filled = (size_t)(kept - kept % feed->unit);
    feed->ahead = AHEAD_AGAIN;
}

void dwal__feed_hand_over(struct dwal__feed *feed, struct dwal__feed *to) {
    assert(to->buffer == NULL && to->reads == NULL);
    reads_stop(feed);
    to->buffer = feed->buffer;
    to->capacity = feed->capacity;
    to->reads = feed->reads;
    feed->buffer = NULL;
    feed->reads = NULL;
    feed->capacity = 0;
    feed->filled = to->filled = 0;
    if (to->handle >= 0 && (uintptr_t)to->buffer % to->unit != 0)
        buffer_drop(to); /* made for another device */
}

void dwal__feed_close(struct dwal__feed *feed) {
    reads_stop(feed);
    if (feed->handle >= 0)
        feed->disk->ops->close(feed->disk, feed->handle);
    feed->handle = -1;
}

void dwal__feed_release(struct dwal__feed *feed) {
    dwal__feed_close(feed);
    buffer_drop(feed);
    dwal__ahead_free(feed->reads);
    feed->reads = NULL;
}
