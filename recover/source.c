/* SPDX-License-Identifier: MIT */
/*
 * Reading a file around the places where it cannot be read. The invariant: the
 * buffer holds [start, start + filled) of the file, zeros where a read failed.
 */
#include "source.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD ((size_t)1 << 20)
#define PIECE ((size_t)4096) /* what is given up at once */

int dwal__source_open(struct dwal__source *source, struct dwal__disk *disk,
                      int dir, const char *name) {
    if (source->handle >= 0 && source->disk != NULL)
        source->disk->ops->close(source->disk, source->handle);
    source->disk = disk;
    source->filled = 0;
    source->unreadable = 0;
    source->handle = disk->ops->open(disk, dir, name, DWAL__OPEN_READ);
    if (source->handle < 0)
        return source->handle;
    int error = disk->ops->size(disk, source->handle, &source->size);
    if (error != 0) {
        disk->ops->close(disk, source->handle);
        source->handle = -1;
    }
    return error;
}

/* One read; what is missing of it is zeros. False: the disk refused. */
static bool piece_read(struct dwal__source *source, uint8_t *to, size_t size,
                       uint64_t offset) {
    struct dwal__disk *disk = source->disk;
    ssize_t moved = disk->ops->read(disk, source->handle, to, size, offset);
    size_t got = moved > 0 ? (size_t)moved : 0;
    memset(to + got, 0, size - got);
    return moved >= 0;
}

static void buffer_fill(struct dwal__source *source, size_t size) {
    uint8_t *to = source->buffer;
    source->filled = size;
    if (piece_read(source, to, size, source->start))
        return;
    for (size_t at = 0; at < size; at += PIECE) {
        size_t some = size - at < PIECE ? size - at : PIECE;
        if (!piece_read(source, to + at, some, source->start + at))
            source->unreadable += some;
    }
}

int dwal__source_get(struct dwal__source *source, uint64_t offset, size_t size,
                     const uint8_t **bytes) {
    assert(offset <= source->size && size <= source->size - offset);
    bool held = offset >= source->start &&
                offset - source->start <= source->filled &&
                size <= source->filled - (offset - source->start);
    if (!held) {
        uint64_t start = offset & ~(uint64_t)(PIECE - 1);
        size_t want = (size_t)(offset - start) + size;
        uint64_t rest = source->size - start;
        if (want < AHEAD)
            want = rest < AHEAD ? (size_t)rest : AHEAD;
        if (want > source->capacity) {
            void *grown = realloc(source->buffer, want);
            if (grown == NULL)
                return -ENOMEM;
            source->buffer = grown;
            source->capacity = want;
        }
        source->start = start;
        buffer_fill(source, want);
    }
    *bytes = source->buffer + (offset - source->start);
    return 0;
}

void dwal__source_release(struct dwal__source *source) {
    if (source->handle >= 0 && source->disk != NULL)
        source->disk->ops->close(source->disk, source->handle);
    free(source->buffer);
    *source = (struct dwal__source){.handle = -1};
}
