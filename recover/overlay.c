/* SPDX-License-Identifier: MIT */
/*
 * The disk below, with patches laid over what is read. Files are open through
 * handles of the disk below; which name each has is remembered here, under a
 * mutex, since files are read by several threads.
 */
#include "overlay.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct patch {
    char *name;
    uint64_t offset;
    size_t size;
    uint8_t *bytes;
};

struct opened {
    int handle;
    char *name;
};

struct dwal__overlay {
    struct dwal__disk disk; /* first: operations get a pointer to it */
    struct dwal__disk_ops ops;
    struct dwal__disk *below;
    struct patch *patches; /* changed only while nothing is open */
    size_t patch_count;
    pthread_mutex_t mutex; /* guards what follows; a leaf in the lock order */
    struct opened *opened;
    size_t opened_count;
    size_t opened_capacity;
};

static struct dwal__overlay *of(struct dwal__disk *disk) {
    return (struct dwal__overlay *)disk;
}

/* ---- which handle is which file ---- */

static int handle_note(struct dwal__overlay *overlay, int handle,
                       const char *name) {
    int result = -ENOMEM;
    char *copy = strdup(name);
    pthread_mutex_lock(&overlay->mutex);
    if (overlay->opened_count == overlay->opened_capacity) {
        size_t capacity = overlay->opened_capacity * 2 + 16;
        void *grown =
            realloc(overlay->opened, capacity * sizeof overlay->opened[0]);
        if (grown != NULL) {
            overlay->opened = grown;
            overlay->opened_capacity = capacity;
        }
    }
    if (copy != NULL && overlay->opened_count < overlay->opened_capacity) {
        overlay->opened[overlay->opened_count++] =
            (struct opened){handle, copy};
        copy = NULL;
        result = 0;
    }
    pthread_mutex_unlock(&overlay->mutex);
    free(copy);
    return result;
}

static void handle_forget(struct dwal__overlay *overlay, int handle) {
    pthread_mutex_lock(&overlay->mutex);
    for (size_t i = 0; i < overlay->opened_count; i++) {
        if (overlay->opened[i].handle != handle)
            continue;
        free(overlay->opened[i].name);
        overlay->opened[i] = overlay->opened[--overlay->opened_count];
        break;
    }
    pthread_mutex_unlock(&overlay->mutex);
}

/* Lays over @bytes, [offset, offset + size) of @name, what @patch has of it. */
static void patch_apply(const struct patch *patch, uint8_t *bytes,
                        uint64_t offset, size_t size) {
    uint64_t from = patch->offset > offset ? patch->offset : offset;
    uint64_t patch_end = patch->offset + patch->size;
    uint64_t end = offset + size < patch_end ? offset + size : patch_end;
    if (from < end)
        memcpy(bytes + (from - offset), patch->bytes + (from - patch->offset),
               (size_t)(end - from));
}

static void patches_apply(struct dwal__overlay *overlay, int handle,
                          uint8_t *bytes, uint64_t offset, size_t size) {
    pthread_mutex_lock(&overlay->mutex);
    const char *name = "";
    for (size_t i = 0; i < overlay->opened_count; i++)
        if (overlay->opened[i].handle == handle)
            name = overlay->opened[i].name;
    for (size_t i = 0; i < overlay->patch_count; i++)
        if (strcmp(overlay->patches[i].name, name) == 0)
            patch_apply(&overlay->patches[i], bytes, offset, size);
    pthread_mutex_unlock(&overlay->mutex);
}

/* ---- the operations ---- */

static int over_dir_list(struct dwal__disk *disk, int dir,
                         int (*each)(void *argument, const char *name),
                         void *argument) {
    struct dwal__disk *below = of(disk)->below;
    return below->ops->dir_list(below, dir, each, argument);
}

static int over_close(struct dwal__disk *disk, int handle) {
    struct dwal__disk *below = of(disk)->below;
    handle_forget(of(disk), handle);
    return below->ops->close(below, handle);
}

static int over_open(struct dwal__disk *disk, int dir, const char *name,
                     int flags) {
    struct dwal__disk *below = of(disk)->below;
    if ((flags & (DWAL__OPEN_WRITE | DWAL__OPEN_CREATE)) != 0)
        return -EROFS;
    int handle = below->ops->open(below, dir, name, flags);
    int result = handle < 0 ? handle : handle_note(of(disk), handle, name);
    if (handle >= 0 && result < 0)
        below->ops->close(below, handle);
    return result < 0 ? result : handle;
}

static int over_size(struct dwal__disk *disk, int handle, uint64_t *size) {
    struct dwal__disk *below = of(disk)->below;
    return below->ops->size(below, handle, size);
}

static int over_identity(struct dwal__disk *disk, int handle, uint64_t *device,
                         uint64_t *inode) {
    struct dwal__disk *below = of(disk)->below;
    return below->ops->identity(below, handle, device, inode);
}

static int over_alignment(struct dwal__disk *disk, int handle,
                          struct dwal__disk_alignment *alignment) {
    struct dwal__disk *below = of(disk)->below;
    return below->ops->alignment(below, handle, alignment);
}

static ssize_t over_read(struct dwal__disk *disk, int handle, void *bytes,
                         size_t size, uint64_t offset) {
    struct dwal__disk *below = of(disk)->below;
    ssize_t moved = below->ops->read(below, handle, bytes, size, offset);
    if (moved > 0)
        patches_apply(of(disk), handle, bytes, offset, (size_t)moved);
    return moved;
}

/* ---- the overlay ---- */

struct dwal__overlay *dwal__overlay_new(struct dwal__disk *below) {
    struct dwal__overlay *overlay = calloc(1, sizeof *overlay);
    if (overlay == NULL)
        return NULL;
    pthread_mutex_init(&overlay->mutex, NULL);
    overlay->below = below;
    overlay->ops =
        (struct dwal__disk_ops){.dir_list = over_dir_list,
                                .open = over_open,
                                .close = over_close,
                                .size = over_size,
                                .identity = over_identity,
                                .alignment = over_alignment,
                                .parallel_reads = below->ops->parallel_reads,
                                .read = over_read};
    overlay->disk.ops = &overlay->ops;
    return overlay;
}

void dwal__overlay_free(struct dwal__overlay *overlay) {
    if (overlay == NULL)
        return;
    dwal__overlay_clear(overlay);
    free(overlay->patches);
    free(overlay->opened);
    pthread_mutex_destroy(&overlay->mutex);
    free(overlay);
}

struct dwal__disk *dwal__overlay_disk(struct dwal__overlay *overlay) {
    return &overlay->disk;
}

bool dwal__overlay_patch(struct dwal__overlay *overlay, const char *name,
                         uint64_t offset, const void *bytes, size_t size) {
    size_t count = overlay->patch_count;
    void *grown =
        realloc(overlay->patches, (count + 1) * sizeof overlay->patches[0]);
    if (grown == NULL)
        return false;
    overlay->patches = grown;
    struct patch patch = {strdup(name), offset, size, malloc(size)};
    if (patch.name == NULL || patch.bytes == NULL) {
        free(patch.name);
        free(patch.bytes);
        return false;
    }
    memcpy(patch.bytes, bytes, size);
    overlay->patches[overlay->patch_count++] = patch;
    return true;
}

void dwal__overlay_clear(struct dwal__overlay *overlay) {
    for (size_t i = 0; i < overlay->patch_count; i++) {
        free(overlay->patches[i].name);
        free(overlay->patches[i].bytes);
    }
    overlay->patch_count = 0;
}
