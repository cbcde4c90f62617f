/* SPDX-License-Identifier: MIT */
/*
 * Follows a log of writes, and puts states together. What is flushed lies in
 * one piece of memory; the unflushed writes stay entries until a flush covers
 * them, so that every state can leave out others of them.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "identity.h"

const char *const image_way_names[3] = {"prefix", "flushed", "random"};

/* Filesystems rely on their superblock being written whole or not at all, ext4
 * and btrfs beyond a sector; so it is. These are the pages of that of ext4 and
 * xfs, and of that of btrfs. */
static const uint64_t superblocks[] = {0, 64 << 10};

/* How a batch and a segment begin. */
static const uint8_t batch_magic[] = {0xd7, 'B', 'A', 'T'};
static const uint8_t segment_magic[] = {0x89, 'D', 'W', 'A', 'L'};

int image_make(struct image *image, const struct writelog_view *view,
               uint64_t size, bool pages_whole) {
    *image =
        (struct image){.view = view, .size = size, .pages_whole = pages_whole};
    image->flushed = mmap(NULL, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    image->present = calloc(size / IMAGE_PAGE, 1);
    image->pending_max = view->count + 1;
    image->pending = calloc(image->pending_max, sizeof *image->pending);
    if (image->flushed != MAP_FAILED && image->present != NULL &&
        image->pending != NULL)
        return 0;
    image_free(image);
    return -ENOMEM;
}

void image_free(struct image *image) {
    if (image->flushed != MAP_FAILED)
        munmap(image->flushed, image->size);
    free(image->present);
    free(image->pending);
}

static bool all_zero(const uint8_t *bytes, size_t size) {
    return size == 0 ||
           (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* Pages that hold nothing but zeros stay absent: filesystems write many. */
static void flushed_write(struct image *image, uint64_t offset,
                          const uint8_t *data, uint64_t size) {
    while (size > 0) {
        uint64_t page = offset / IMAGE_PAGE;
        uint64_t part = IMAGE_PAGE - offset % IMAGE_PAGE;
        if (part > size)
            part = size;
        bool zeros = data == NULL || all_zero(data, part);
        if (zeros && image->present[page])
            memset(image->flushed + offset, 0, part);
        if (!zeros) {
            image->present[page] = 1;
            memcpy(image->flushed + offset, data, part);
        }
        if (data != NULL)
            data += part;
        offset += part;
        size -= part;
    }
}

static void pending_flush(struct image *image) {
    for (size_t i = 0; i < image->pending_count; i++) {
        const struct writelog_entry *entry =
            &image->view->entries[image->pending[i]];
        flushed_write(image, entry->offset, entry->data, entry->size);
    }
    image->pending_count = 0;
}

/* ---- which sectors of an unflushed write are there ---- */

enum tear {
    WHOLE_OR_NOT,
    ANY_SECTORS,
    FIRST_SECTORS,
    LAST_SECTORS,
    ALL_BUT_ONE,
    TEARS
};

static bool begins_with(const struct writelog_entry *entry,
                        const uint8_t *magic, size_t size) {
    return entry->data != NULL && entry->size >= size &&
           memcmp(entry->data, magic, size) == 0;
}

/* The log relies on no page being written whole, and its writes never are. */
static bool page_whole(const struct image *image,
                       const struct writelog_entry *entry, uint64_t page) {
    for (size_t i = 0; i < sizeof superblocks / sizeof *superblocks; i++)
        if (page == superblocks[i])
            return true;
    return image->pages_whole &&
           !begins_with(entry, batch_magic, sizeof batch_magic) &&
           !begins_with(entry, segment_magic, sizeof segment_magic);
}

/* The sector of @entry whose fate that with @index shares: its own, or where a
 * page is whole, the first there. */
static uint64_t sector_leader(const struct image *image,
                              const struct writelog_entry *entry,
                              uint64_t index) {
    uint64_t sector = image->view->sector_size;
    uint64_t page = (entry->offset + index * sector) / IMAGE_PAGE * IMAGE_PAGE;
    if (!page_whole(image, entry, page))
        return index;
    return page > entry->offset ? (page - entry->offset) / sector : 0;
}

static bool sector_kept(enum tear tear, uint64_t random, uint64_t index,
                        uint64_t count) {
    switch (tear) {
    case ANY_SECTORS:
        return (identity_mix(random ^ index) & 1) != 0;
    case FIRST_SECTORS:
        return index < random % (count + 1);
    case LAST_SECTORS:
        return index >= random % (count + 1);
    case ALL_BUT_ONE:
        return index != random % count;
    default:
        return (random >> 32 & 1) != 0;
    }
}

/* ---- moving on ---- */

void image_advance(struct image *image, size_t position) {
    for (; image->position < position; image->position++) {
        const struct writelog_entry *entry =
            &image->view->entries[image->position];
        if ((entry->flags & WRITELOG_FLUSH) != 0)
            pending_flush(image);
        if (entry->size > 0 && entry->offset <= image->size &&
            entry->size <= image->size - entry->offset) {
            if ((entry->flags & WRITELOG_FUA) != 0)
                flushed_write(image, entry->offset, entry->data, entry->size);
            else
                image->pending[image->pending_count++] = image->position;
        }
    }
}

/* ---- states ---- */

/* Takes away what an earlier state, or a mount of it, left where the image has
 * nothing. */
static int target_clear(const struct image *image,
                        const struct image_target *target) {
    off_t at = 0;
    while ((at = lseek(target->fd, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(target->fd, at, SEEK_HOLE);
        while (at < end) {
            off_t begin = at;
            while (at < end && !image->present[at / IMAGE_PAGE])
                at += IMAGE_PAGE;
            if (at > begin &&
                fallocate(target->fd,
                          FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin,
                          at - begin) != 0)
                return -errno;
            while (at < end && image->present[at / IMAGE_PAGE])
                at += IMAGE_PAGE;
        }
    }
    return errno == ENXIO ? 0 : -errno;
}

static void target_put(const struct image_target *target,
                       const struct writelog_entry *entry, uint64_t from,
                       uint64_t size) {
    uint8_t *bytes = target->bytes + entry->offset + from;
    if (entry->data != NULL)
        memcpy(bytes, entry->data + from, size);
    else
        memset(bytes, 0, size);
}

/* What is left of the unflushed writes. */
static void pending_tear(const struct image *image, uint64_t draw,
                         const struct image_target *target) {
    uint64_t sector = image->view->sector_size;
    for (size_t i = 0; i < image->pending_count; i++) {
        const struct writelog_entry *entry =
            &image->view->entries[image->pending[i]];
        uint64_t random = identity_mix(draw ^ identity_mix(i + 1));
        /* Half of the states treat all writes alike, half each its own way. */
        enum tear tear = (enum tear)((draw & 1) != 0 ? draw / 2 % TEARS
                                                     : random / 2 % TEARS);
        uint64_t count = entry->size / sector;
        random = identity_mix(random);
        for (uint64_t s = 0; s < count; s++)
            if (sector_kept(tear, random, sector_leader(image, entry, s),
                            count))
                target_put(target, entry, s * sector, sector);
    }
}

int image_compose(const struct image *image, enum image_way way, uint64_t draw,
                  const struct image_target *target) {
    int result = target_clear(image, target);
    if (result != 0)
        return result;
    for (uint64_t page = 0; page < image->size / IMAGE_PAGE; page++) {
        uint64_t at = page * IMAGE_PAGE;
        if (image->present[page] &&
            memcmp(target->bytes + at, image->flushed + at, IMAGE_PAGE) != 0)
            memcpy(target->bytes + at, image->flushed + at, IMAGE_PAGE);
    }
    if (way == IMAGE_RANDOM)
        pending_tear(image, draw, target);
    for (size_t i = 0; way == IMAGE_PREFIX && i < image->pending_count; i++) {
        const struct writelog_entry *entry =
            &image->view->entries[image->pending[i]];
        target_put(target, entry, 0, entry->size);
    }
    return 0;
}
