/* SPDX-License-Identifier: MIT */
/*
 * Appends to a log of writes and reads one. Its invariant: whatever the count
 * in sector 0 covers is whole in the file.
 */
#include "writelog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x6a736677736872)
#define SUPER_MAP 4096

struct writelog_super {
    uint64_t magic;
    uint64_t version;
    _Atomic uint64_t count;
    uint32_t sector_size;
};

struct header {
    uint64_t sector;
    uint64_t sectors;
    uint64_t flags;
    uint64_t text_size;
};

static struct writelog_super *super_map(int fd, int protection) {
    void *map = mmap(NULL, SUPER_MAP, protection, MAP_SHARED, fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

static int whole_write(int fd, const void *bytes, size_t size, uint64_t at) {
    while (size > 0) {
        ssize_t moved = pwrite(fd, bytes, size, (off_t)at);
        if (moved < 0)
            return -errno;
        bytes = (const char *)bytes + moved;
        size -= (size_t)moved;
        at += (uint64_t)moved;
    }
    return 0;
}

int writelog_create(struct writelog *log, const char *path,
                    uint32_t sector_size) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    struct writelog_super *super = NULL;
    if (ftruncate(fd, SUPER_MAP) == 0)
        super = super_map(fd, PROT_READ | PROT_WRITE);
    if (super == NULL) {
        int error = errno;
        close(fd);
        return -error;
    }
    super->magic = MAGIC;
    super->version = 1;
    super->sector_size = sector_size;
    *log = (struct writelog){fd, sector_size, sector_size, super};
    return 0;
}

int writelog_open(struct writelog *log, const char *path) {
    struct writelog_view view;
    int result = writelog_view_open(&view, path);
    if (result != 0)
        return result;
    log->sector_size = view.sector_size;
    log->end = view.end;
    writelog_view_close(&view);
    log->fd = open(path, O_RDWR | O_CLOEXEC);
    if (log->fd < 0)
        return -errno;
    log->super = super_map(log->fd, PROT_READ | PROT_WRITE);
    if (log->super != NULL)
        return 0;
    result = -errno;
    close(log->fd);
    return result;
}

int writelog_append(struct writelog *log, const struct writelog_entry *entry) {
    uint64_t sector = log->sector_size;
    uint8_t head[4096] = {0};
    struct header header = {entry->offset / sector, entry->size / sector,
                            entry->flags, entry->text_size};
    if (entry->text_size > WRITELOG_TEXT_MAX || entry->offset % sector != 0 ||
        entry->size % sector != 0)
        return -EINVAL;
    memcpy(head, &header, sizeof header);
    if (entry->text_size > 0)
        memcpy(head + sizeof header, entry->text, entry->text_size);
    uint64_t data = entry->data != NULL ? entry->size : 0;
    int result = whole_write(log->fd, head, sector, log->end);
    if (result == 0 && data > 0)
        result = whole_write(log->fd, entry->data, data, log->end + sector);
    if (result != 0)
        return result;
    log->end += sector + data;
    /* Release: pairs with writelog_counter_read, whoever sees the count finds
     * the entry. Sequentially consistent is as good and shorter. */
    log->super->count++;
    return 0;
}

void writelog_close(struct writelog *log) {
    munmap(log->super, SUPER_MAP);
    close(log->fd);
}

/* Makes @entry of what lies at *@at, and moves *@at behind it. */
static int entry_parse(const struct writelog_view *view, uint64_t *at,
                       struct writelog_entry *entry) {
    uint64_t sector = view->sector_size;
    if (sector > view->map_size - *at)
        return -EINVAL;
    const uint8_t *place = (const uint8_t *)view->map + *at;
    struct header header;
    memcpy(&header, place, sizeof header);
    if (header.text_size > sector - sizeof header ||
        header.sectors > UINT32_MAX || header.sector > UINT64_MAX / sector)
        return -EINVAL;
    *entry = (struct writelog_entry){.offset = header.sector * sector,
                                     .size = header.sectors * sector,
                                     .flags = header.flags,
                                     .text_size = header.text_size};
    *at += sector;
    if ((header.flags & WRITELOG_MARK) != 0)
        entry->text = (const char *)place + sizeof header;
    if (entry->size == 0 || (header.flags & WRITELOG_DISCARD) != 0)
        return 0;
    if (entry->size > view->map_size - *at)
        return -EINVAL;
    entry->data = place + sector;
    *at += entry->size;
    return 0;
}

static int view_parse(struct writelog_view *view) {
    const struct writelog_super *super = view->map;
    if (view->map_size < 512 || super->magic != MAGIC || super->version != 1 ||
        (super->sector_size != 512 && super->sector_size != 4096))
        return -EINVAL;
    view->sector_size = super->sector_size;
    view->count = super->count;
    if (view->count > view->map_size / view->sector_size)
        return -EINVAL;
    view->entries = calloc(view->count + 1, sizeof *view->entries);
    if (view->entries == NULL)
        return -ENOMEM;
    uint64_t at = view->sector_size;
    for (size_t i = 0; i < view->count; i++) {
        int result = entry_parse(view, &at, &view->entries[i]);
        if (result != 0)
            return result;
    }
    view->end = at;
    return 0;
}

int writelog_view_open(struct writelog_view *view, const char *path) {
    *view = (struct writelog_view){.map = MAP_FAILED};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat status;
    int result = fstat(fd, &status) == 0 ? 0 : -errno;
    size_t size = result == 0 ? (size_t)status.st_size : 0;
    if (result == 0) {
        view->map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        result = view->map == MAP_FAILED ? -errno : 0;
    }
    close(fd);
    if (result != 0)
        return result;
    view->map_size = size;
    result = view_parse(view);
    if (result != 0)
        writelog_view_close(view);
    return result;
}

void writelog_view_close(struct writelog_view *view) {
    free(view->entries);
    munmap(view->map, view->map_size);
}

struct writelog_super *writelog_counter_map(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct writelog_super *super = super_map(fd, PROT_READ);
    close(fd);
    return super;
}

uint64_t writelog_counter_read(const struct writelog_super *super) {
    return super->count;
}
