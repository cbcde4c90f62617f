/* SPDX-License-Identifier: MIT */
/*
 * The disk that a target's tool gets, and the allocator: both look at what is
 * asked of them (guard.h). Linked with --wrap, so that our own code meets them
 * and nobody else does.
 */
#include "guard.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/segment.h"

/* The largest buffers that do not depend on the input: those of the readers, a
 * few of them for each; and what a record of the input may cost. */
#define FIXED_MAX ((size_t)20 << 20)
#define PER_BYTE 16

#define HANDLES_MAX 64
#define NAME_SIZE 256

void guard_fail(const char *condition, const char *file, int line) {
    fprintf(stderr, "%s:%d: %s\n", file, line, condition);
    abort();
}

static struct {
    struct dwal__disk disk; /* first: operations get a pointer to it */
    struct dwal__disk *below;
    size_t allocation_max; /* SIZE_MAX: no target runs */
    bool write_allowed;
    /* Guards all below, and the memdisk. */
    pthread_mutex_t lock;
    struct {
        bool open, writes, locked;
        char name[NAME_SIZE];
    } handles[HANDLES_MAX];
    int open_handles;
} guard = {.allocation_max = SIZE_MAX, .lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what may be written ---- */

static bool ends_with(const char *name, const char *end) {
    size_t length = strlen(name), size = strlen(end);
    return length >= size && strcmp(name + length - size, end) == 0;
}

/* The names that a log's files have, and those that a repair gives. */
static bool name_ours(const char *name) {
    if (strchr(name, '/') != NULL || strlen(name) >= NAME_SIZE)
        return false;
    return strcmp(name, DWAL__LOCK_NAME) == 0 || ends_with(name, ".wal") ||
           ends_with(name, ".spare") || strstr(name, ".lost") != NULL ||
           strncmp(name, "walfsck", 7) == 0;
}

static void change_check(const char *name) {
    fuzz_check(guard.write_allowed);
    fuzz_check(name_ours(name));
}

static void handle_check(int handle) {
    fuzz_check(handle >= 0 && handle < HANDLES_MAX);
    fuzz_check(guard.handles[handle].open);
}

/* ---- the operations ---- */

#define LOCKED(type, call)                                                     \
    pthread_mutex_lock(&guard.lock);                                           \
    type result = call;                                                        \
    pthread_mutex_unlock(&guard.lock);                                         \
    return result

static int guard_opened(int handle, const char *name, bool writes) {
    if (handle < 0)
        return handle;
    fuzz_check(handle < HANDLES_MAX);
    guard.handles[handle].open = true;
    guard.handles[handle].writes = writes;
    guard.handles[handle].locked = false;
    snprintf(guard.handles[handle].name, NAME_SIZE, "%s", name);
    guard.open_handles++;
    return handle;
}

static int guard_dir_make(struct dwal__disk *disk, const char *path) {
    (void)disk;
    fuzz_check(guard.write_allowed);
    return guard.below->ops->dir_make(guard.below, path);
}

static int guard_dir_open(struct dwal__disk *disk, const char *path) {
    (void)disk;
    LOCKED(int, guard_opened(guard.below->ops->dir_open(guard.below, path), "",
                             false));
}

static int guard_dir_list(struct dwal__disk *disk, int dir,
                          int (*each)(void *argument, const char *name),
                          void *argument) {
    (void)disk;
    handle_check(dir);
    /* Not locked: @each may open files. Names do not change meanwhile. */
    return guard.below->ops->dir_list(guard.below, dir, each, argument);
}

static int guard_dir_sync(struct dwal__disk *disk, int dir) {
    (void)disk;
    handle_check(dir);
    LOCKED(int, guard.below->ops->dir_sync(guard.below, dir));
}

static int guard_rename(struct dwal__disk *disk, int dir, const char *from,
                        const char *to) {
    (void)disk;
    change_check(from);
    change_check(to);
    LOCKED(int, guard.below->ops->rename(guard.below, dir, from, to));
}

static int guard_unlink(struct dwal__disk *disk, int dir, const char *name) {
    (void)disk;
    change_check(name);
    LOCKED(int, guard.below->ops->unlink(guard.below, dir, name));
}

static int guard_open(struct dwal__disk *disk, int dir, const char *name,
                      int flags) {
    (void)disk;
    fuzz_check(strchr(name, '/') == NULL);
    if ((flags & DWAL__OPEN_CREATE) != 0)
        change_check(name);
    LOCKED(int,
           guard_opened(guard.below->ops->open(guard.below, dir, name, flags),
                        name, (flags & DWAL__OPEN_WRITE) != 0));
}

static int guard_close(struct dwal__disk *disk, int handle) {
    (void)disk;
    pthread_mutex_lock(&guard.lock);
    handle_check(handle);
    guard.handles[handle].open = false;
    guard.handles[handle].locked = false;
    guard.open_handles--;
    int result = guard.below->ops->close(guard.below, handle);
    pthread_mutex_unlock(&guard.lock);
    return result;
}

static int guard_size(struct dwal__disk *disk, int handle, uint64_t *size) {
    (void)disk;
    handle_check(handle);
    LOCKED(int, guard.below->ops->size(guard.below, handle, size));
}

/* Each name is a file of its own. */
static int guard_identity(struct dwal__disk *disk, int handle, uint64_t *device,
                          uint64_t *inode) {
    (void)disk;
    handle_check(handle);
    *device = 1;
    *inode = 5381;
    for (const char *at = guard.handles[handle].name; *at != '\0'; at++)
        *inode = *inode * 33 + (unsigned char)*at;
    return 0;
}

static int guard_alignment(struct dwal__disk *disk, int handle,
                           struct dwal__disk_alignment *alignment) {
    (void)disk;
    handle_check(handle);
    LOCKED(int, guard.below->ops->alignment(guard.below, handle, alignment));
}

static ssize_t guard_read(struct dwal__disk *disk, int handle, void *bytes,
                          size_t size, uint64_t offset) {
    (void)disk;
    handle_check(handle);
    LOCKED(ssize_t,
           guard.below->ops->read(guard.below, handle, bytes, size, offset));
}

static ssize_t guard_write(struct dwal__disk *disk, int handle,
                           const void *bytes, size_t size, uint64_t offset) {
    (void)disk;
    handle_check(handle);
    fuzz_check(guard.handles[handle].writes);
    change_check(guard.handles[handle].name);
    fuzz_check(offset <= (uint64_t)1 << 24 && size <= (size_t)1 << 24);
    LOCKED(ssize_t,
           guard.below->ops->write(guard.below, handle, bytes, size, offset));
}

static int guard_allocate(struct dwal__disk *disk, int handle, uint64_t size) {
    (void)disk;
    handle_check(handle);
    fuzz_check(guard.handles[handle].writes);
    fuzz_check(size <= (uint64_t)1 << 24);
    LOCKED(int, guard.below->ops->allocate(guard.below, handle, size));
}

static int guard_written_until(struct dwal__disk *disk, int handle,
                               uint64_t *offset) {
    (void)disk;
    handle_check(handle);
    LOCKED(int, guard.below->ops->written_until(guard.below, handle, offset));
}

static int guard_sync(struct dwal__disk *disk, int handle) {
    (void)disk;
    handle_check(handle);
    LOCKED(int, guard.below->ops->sync(guard.below, handle));
}

static int guard_lock(struct dwal__disk *disk, int handle,
                      enum dwal__lock_kind kind) {
    (void)disk;
    (void)kind;
    handle_check(handle);
    guard.handles[handle].locked = true;
    return 0;
}

/* Another handle of the same name has the lock: no file that is locked gets
 * another name but LOCK, and then the one who has it goes on with a new one. */
static int guard_lock_held(struct dwal__disk *disk, int handle) {
    (void)disk;
    handle_check(handle);
    for (int i = 0; i < HANDLES_MAX; i++)
        if (i != handle && guard.handles[i].open && guard.handles[i].locked &&
            strcmp(guard.handles[i].name, guard.handles[handle].name) == 0)
            return 1;
    return 0;
}

static void guard_lock_holder(struct dwal__disk *disk, int dir,
                              const char *name, char *text, size_t size) {
    (void)disk;
    guard.below->ops->lock_holder(guard.below, dir, name, text, size);
}

static const struct dwal__disk_ops guard_ops = {
    .dir_make = guard_dir_make,
    .dir_open = guard_dir_open,
    .dir_list = guard_dir_list,
    .dir_sync = guard_dir_sync,
    .rename = guard_rename,
    .unlink = guard_unlink,
    .open = guard_open,
    .close = guard_close,
    .size = guard_size,
    .identity = guard_identity,
    .alignment = guard_alignment,
    .read = guard_read,
    .write = guard_write,
    .allocate = guard_allocate,
    .written_until = guard_written_until,
    .sync = guard_sync,
    .lock = guard_lock,
    .lock_held = guard_lock_held,
    .lock_holder = guard_lock_holder,
};

/* ---- for the targets ---- */

void guard_begin(struct memdisk *memdisk, size_t input) {
    guard.disk.ops = &guard_ops;
    guard.below = memdisk != NULL ? memdisk_disk(memdisk) : NULL;
    guard.allocation_max = FIXED_MAX + PER_BYTE * input;
    guard.write_allowed = false;
}

struct dwal__disk *guard_disk(void) {
    fuzz_check(guard.below != NULL);
    return &guard.disk;
}

void guard_end(void) {
    guard.allocation_max = SIZE_MAX;
    fuzz_check(guard.open_handles == 0);
    guard.below = NULL;
}

void guard_write_allow(bool allowed) {
    guard.write_allowed = allowed;
}

/* ---- in place of others ---- */

struct dwal__disk *__wrap_dwal__disk_kernel(void);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
int __real_posix_memalign(void **result, size_t alignment, size_t size);
int __wrap_posix_memalign(void **result, size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

/* The tools ask for the kernel; no target touches the real disk. */
struct dwal__disk *__wrap_dwal__disk_kernel(void) {
    return guard_disk();
}

void *__wrap_malloc(size_t size) {
    fuzz_check(size <= guard.allocation_max);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    fuzz_check(size == 0 || count <= guard.allocation_max / size);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    fuzz_check(size <= guard.allocation_max);
    return __real_realloc(old, size);
}

int __wrap_posix_memalign(void **result, size_t alignment, size_t size) {
    fuzz_check(size <= guard.allocation_max);
    return __real_posix_memalign(result, alignment, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    fuzz_check(size <= guard.allocation_max);
    return __real_aligned_alloc(alignment, size);
}
