/* SPDX-License-Identifier: MIT */
/*
 * A disk of images. A handle is 0 for LOCK and 1 + the index of the segment for
 * the others, and HANDLE_DIRECT more if it was opened so. Writing is refused:
 * recovery must not try.
 */
#include "imagedisk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HANDLE_DIRECT 1000

static struct imagedisk *image_of(struct dwal__disk *disk) {
    return (struct imagedisk *)disk;
}

static int failure(const struct imagedisk *image,
                   enum imagedisk_operation operation, const char *name) {
    if (image->fail != operation)
        return 0;
    if (image->fail_name[0] != '\0' && strcmp(image->fail_name, name) != 0)
        return 0;
    return image->fail_error;
}

static const char *handle_name(const struct imagedisk *image, int handle) {
    handle %= HANDLE_DIRECT;
    return handle == 0 ? DWAL__LOCK_NAME
                       : image->log->segments[handle - 1]->name;
}

static int image_dir_list(struct dwal__disk *disk, int dir,
                          int (*each)(void *argument, const char *name),
                          void *argument) {
    (void)dir;
    struct imagedisk *image = image_of(disk);
    int result = failure(image, IMAGEDISK_LIST, "");
    if (result == 0 && image->log->lock_present)
        result = each(argument, DWAL__LOCK_NAME);
    for (unsigned i = 0; result == 0 && i < image->log->segment_count; i++)
        if (image->log->segments[i]->present)
            result = each(argument, image->log->segments[i]->name);
    for (int i = 0; result == 0 && i < IMAGEDISK_OTHERS_MAX; i++)
        if (image->others[i] != NULL)
            result = each(argument, image->others[i]);
    return result;
}

static void sync_note(struct imagedisk *image, const char *name) {
    if (image->syncs < sizeof image->synced / sizeof image->synced[0])
        snprintf(image->synced[image->syncs], sizeof image->synced[0], "%s",
                 name);
    image->syncs++;
}

static int image_dir_sync(struct dwal__disk *disk, int dir) {
    (void)dir;
    struct imagedisk *image = image_of(disk);
    sync_note(image, ".");
    return failure(image, IMAGEDISK_DIR_SYNC, "");
}

static int image_open(struct dwal__disk *disk, int dir, const char *name,
                      int flags) {
    (void)dir;
    struct imagedisk *image = image_of(disk);
    int result = failure(image, IMAGEDISK_OPEN, name);
    if (result != 0)
        return result;
    if ((flags & (DWAL__OPEN_WRITE | DWAL__OPEN_CREATE)) != 0)
        return -EROFS;
    if ((flags & DWAL__OPEN_DIRECT) != 0 && image->direct_refused)
        return -EINVAL;
    result = -ENOENT;
    if (image->log->lock_present && strcmp(name, DWAL__LOCK_NAME) == 0)
        result = 0;
    for (unsigned i = 0; i < image->log->segment_count; i++)
        if (image->log->segments[i]->present &&
            strcmp(image->log->segments[i]->name, name) == 0)
            result = (int)i + 1;
    if (result < 0)
        return result;
    image->open_handles++;
    return (flags & DWAL__OPEN_DIRECT) != 0 ? result + HANDLE_DIRECT : result;
}

static int image_close(struct dwal__disk *disk, int handle) {
    (void)handle;
    image_of(disk)->open_handles--;
    return 0;
}

static uint64_t image_bytes(const struct imagedisk *image, int handle,
                            const uint8_t **bytes) {
    const struct logbuild *log = image->log;
    handle %= HANDLE_DIRECT;
    *bytes = handle == 0 ? log->lock : log->segments[handle - 1]->bytes;
    return handle == 0 ? log->lock_size : log->segments[handle - 1]->size;
}

static int image_size(struct dwal__disk *disk, int handle, uint64_t *size) {
    struct imagedisk *image = image_of(disk);
    const uint8_t *bytes;
    *size = image_bytes(image, handle, &bytes);
    if (image->sizes++ >= image->sizes_true)
        *size = 0;
    return 0;
}

static int image_alignment(struct dwal__disk *disk, int handle,
                           struct dwal__disk_alignment *alignment) {
    (void)disk;
    (void)handle;
    *alignment = (struct dwal__disk_alignment){512, 512, true};
    return 0;
}

static ssize_t image_read(struct dwal__disk *disk, int handle, void *to,
                          size_t size, uint64_t offset) {
    struct imagedisk *image = image_of(disk);
    const uint8_t *bytes;
    uint64_t file_size = image_bytes(image, handle, &bytes);
    int result = failure(image, IMAGEDISK_READ, handle_name(image, handle));
    bool touched =
        image->fail_offset == UINT64_MAX ||
        (image->fail_offset >= offset && image->fail_offset - offset < size);
    if (result != 0 && touched)
        return result;
    if (handle >= HANDLE_DIRECT && image->direct_read_refused)
        return -EINVAL;
    if (file_size > image->read_end)
        file_size = image->read_end;
    if (offset >= file_size)
        return 0;
    if (size > file_size - offset)
        size = file_size - offset;
    memcpy(to, bytes + offset, size);
    image->reads++;
    image->scanned += size;
    return (ssize_t)size;
}

static int image_sync(struct dwal__disk *disk, int handle) {
    struct imagedisk *image = image_of(disk);
    sync_note(image, handle_name(image, handle));
    return failure(image, IMAGEDISK_SYNC, handle_name(image, handle));
}

static const struct dwal__disk_ops image_ops = {
    .dir_list = image_dir_list,
    .dir_sync = image_dir_sync,
    .open = image_open,
    .close = image_close,
    .size = image_size,
    .alignment = image_alignment,
    .read = image_read,
    .sync = image_sync,
};

void imagedisk_init(struct imagedisk *image, const struct logbuild *log) {
    *image = (struct imagedisk){.disk = {&image_ops},
                                .log = log,
                                .fail_offset = UINT64_MAX,
                                .read_end = UINT64_MAX,
                                .sizes_true = UINT64_MAX};
}
