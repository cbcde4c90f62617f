/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory; see the header. An inode has its bytes as a reader sees
 * them, and as they are on the platter; the directory likewise. What differs is
 * told sector by sector, and operation by operation.
 */
#include "memdisk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define ENTRIES_MAX 128
#define HANDLES_MAX 32
#define PENDING_MAX 256
#define NAME_SIZE 256

struct inode {
    uint8_t *now;
    size_t size;
    uint8_t *stable;
    size_t stable_size;
    unsigned links; /* of entries and handles, now and stable */
};

struct entry {
    char name[NAME_SIZE];
    struct inode *inode;
};

struct directory {
    struct entry entries[ENTRIES_MAX];
    size_t count;
};

/* A directory operation that is not synced: @from gets the name @to (unlink:
 * empty), or @inode is made as @from. */
struct pending {
    char from[NAME_SIZE];
    char to[NAME_SIZE];
    struct inode *inode;
};

struct memdisk {
    struct dwal__disk disk; /* first: operations get a pointer to it */
    struct directory now;
    struct directory stable;
    struct pending pending[PENDING_MAX];
    size_t pending_count;
    struct {
        struct inode *inode; /* NULL: free */
        bool directory;
    } handles[HANDLES_MAX];
    uint64_t operations;
    uint64_t stop_at;
    bool stopped;
};

static struct memdisk *of(struct dwal__disk *disk) {
    return (struct memdisk *)disk;
}

static uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void *grown(void *bytes, size_t from, size_t to) {
    uint8_t *result = realloc(bytes, to > 0 ? to : 1);
    assert(result != NULL);
    if (to > from)
        memset(result + from, 0, to - from);
    return result;
}

/* ---- inodes and directories ---- */

static struct inode *inode_new(void) {
    struct inode *inode = calloc(1, sizeof *inode);
    assert(inode != NULL);
    return inode;
}

static void inode_unlink(struct inode *inode) {
    assert(inode->links > 0);
    if (--inode->links > 0)
        return;
    free(inode->now);
    free(inode->stable);
    free(inode);
}

static void inode_resize(struct inode *inode, size_t size) {
    inode->now = grown(inode->now, inode->size, size);
    inode->size = size;
}

static void inode_sync(struct inode *inode) {
    inode->stable = grown(inode->stable, inode->stable_size, inode->size);
    inode->stable_size = inode->size;
    if (inode->size > 0)
        memcpy(inode->stable, inode->now, inode->size);
}

/* What is on the platter becomes what is read. */
static void inode_forget(struct inode *inode) {
    inode->now = grown(inode->now, inode->size, inode->stable_size);
    inode->size = inode->stable_size;
    if (inode->size > 0)
        memcpy(inode->now, inode->stable, inode->size);
}

/* Any of the sectors that differ, and perhaps the new size. */
static void inode_crash(struct inode *inode, uint64_t *random) {
    if (inode->size != inode->stable_size && random_next(random) % 2 == 0) {
        inode->stable = grown(inode->stable, inode->stable_size, inode->size);
        inode->stable_size = inode->size;
    }
    for (size_t at = 0; at < inode->stable_size && at < inode->size;
         at += SECTOR) {
        size_t some = inode->stable_size - at;
        if (some > inode->size - at)
            some = inode->size - at;
        if (some > SECTOR)
            some = SECTOR;
        if (random_next(random) % 2 == 0)
            memcpy(inode->stable + at, inode->now + at, some);
    }
    inode_forget(inode);
}

static struct entry *entry_find(struct directory *directory, const char *name) {
    for (size_t i = 0; i < directory->count; i++)
        if (strcmp(directory->entries[i].name, name) == 0)
            return &directory->entries[i];
    return NULL;
}

static void entry_remove(struct directory *directory, const char *name) {
    struct entry *entry = entry_find(directory, name);
    if (entry == NULL)
        return;
    struct inode *inode = entry->inode;
    size_t behind = directory->count - 1 - (size_t)(entry - directory->entries);
    memmove(entry, entry + 1, behind * sizeof *entry);
    directory->count--;
    inode_unlink(inode);
}

/* In the order of the names. */
static void entry_add(struct directory *directory, const char *name,
                      struct inode *inode) {
    inode->links++;
    entry_remove(directory, name);
    assert(directory->count < ENTRIES_MAX && strlen(name) < NAME_SIZE);
    size_t at = 0;
    while (at < directory->count &&
           strcmp(directory->entries[at].name, name) < 0)
        at++;
    struct entry *entry = &directory->entries[at];
    memmove(entry + 1, entry, (directory->count - at) * sizeof *entry);
    strcpy(entry->name, name);
    entry->inode = inode;
    directory->count++;
}

static void directory_clear(struct directory *directory) {
    while (directory->count > 0)
        entry_remove(directory, directory->entries[0].name);
}

static void directory_copy(struct directory *to, struct directory *from) {
    directory_clear(to);
    for (size_t i = 0; i < from->count; i++)
        entry_add(to, from->entries[i].name, from->entries[i].inode);
}

static void operation_apply(struct directory *directory,
                            const struct pending *operation) {
    if (operation->inode != NULL) {
        if (entry_find(directory, operation->from) == NULL)
            entry_add(directory, operation->from, operation->inode);
        return;
    }
    struct entry *entry = entry_find(directory, operation->from);
    if (entry == NULL)
        return;
    if (operation->to[0] != '\0')
        entry_add(directory, operation->to, entry->inode);
    entry_remove(directory, operation->from);
}

static void pending_clear(struct memdisk *memdisk) {
    for (size_t i = 0; i < memdisk->pending_count; i++)
        if (memdisk->pending[i].inode != NULL)
            inode_unlink(memdisk->pending[i].inode);
    memdisk->pending_count = 0;
}

static void operation_do(struct memdisk *memdisk, const char *from,
                         const char *to, struct inode *inode) {
    assert(memdisk->pending_count < PENDING_MAX);
    struct pending *operation = &memdisk->pending[memdisk->pending_count++];
    memset(operation, 0, sizeof *operation);
    strcpy(operation->from, from);
    strcpy(operation->to, to);
    operation->inode = inode;
    if (inode != NULL)
        inode->links++;
    operation_apply(&memdisk->now, operation);
}

/* ---- stopping ---- */

/* Counts a changing operation: 0 to carry it out, 1 if it is the one to stop
 * in, -EIO behind it. */
static int operation_begin(struct memdisk *memdisk) {
    if (memdisk->stopped)
        return -EIO;
    memdisk->stopped = memdisk->operations == memdisk->stop_at;
    memdisk->operations++;
    return memdisk->stopped ? 1 : 0;
}

static int result_of(int stop) {
    return stop == 0 ? 0 : -EIO;
}

/* ---- the operations ---- */

static int handle_new(struct memdisk *memdisk, struct inode *inode,
                      bool directory) {
    for (int i = 0; i < HANDLES_MAX; i++) {
        if (memdisk->handles[i].inode != NULL || memdisk->handles[i].directory)
            continue;
        memdisk->handles[i].inode = inode;
        memdisk->handles[i].directory = directory;
        if (inode != NULL)
            inode->links++;
        return i;
    }
    return -EMFILE;
}

static struct inode *inode_of(struct dwal__disk *disk, int handle) {
    assert(handle >= 0 && handle < HANDLES_MAX);
    assert(of(disk)->handles[handle].inode != NULL);
    return of(disk)->handles[handle].inode;
}

static int mem_dir_make(struct dwal__disk *disk, const char *path) {
    (void)disk, (void)path;
    return -EEXIST;
}

static int mem_dir_open(struct dwal__disk *disk, const char *path) {
    (void)path;
    return handle_new(of(disk), NULL, true);
}

static int mem_dir_list(struct dwal__disk *disk, int dir,
                        int (*each)(void *argument, const char *name),
                        void *argument) {
    (void)dir;
    struct directory *directory = &of(disk)->now;
    int result = 0;
    for (size_t i = 0; result == 0 && i < directory->count; i++)
        result = each(argument, directory->entries[i].name);
    return result;
}

static int mem_dir_sync(struct dwal__disk *disk, int dir) {
    (void)dir;
    struct memdisk *memdisk = of(disk);
    int stop = operation_begin(memdisk);
    if (stop != 0)
        return -EIO;
    directory_copy(&memdisk->stable, &memdisk->now);
    pending_clear(memdisk);
    return 0;
}

static int mem_rename(struct dwal__disk *disk, int dir, const char *from,
                      const char *to) {
    (void)dir;
    if (entry_find(&of(disk)->now, from) == NULL)
        return -ENOENT;
    int stop = operation_begin(of(disk));
    if (stop >= 0)
        operation_do(of(disk), from, to, NULL);
    return result_of(stop);
}

static int mem_unlink(struct dwal__disk *disk, int dir, const char *name) {
    (void)dir;
    if (entry_find(&of(disk)->now, name) == NULL)
        return -ENOENT;
    int stop = operation_begin(of(disk));
    if (stop >= 0)
        operation_do(of(disk), name, "", NULL);
    return result_of(stop);
}

static int mem_create(struct memdisk *memdisk, const char *name) {
    if (entry_find(&memdisk->now, name) != NULL)
        return -EEXIST;
    int stop = operation_begin(memdisk);
    if (stop >= 0) {
        struct inode *inode = inode_new();
        operation_do(memdisk, name, "", inode);
    }
    return result_of(stop);
}

static int mem_open(struct dwal__disk *disk, int dir, const char *name,
                    int flags) {
    (void)dir;
    if ((flags & DWAL__OPEN_DIRECT) != 0)
        return -EINVAL;
    if ((flags & DWAL__OPEN_CREATE) != 0) {
        int result = mem_create(of(disk), name);
        if (result < 0)
            return result;
    }
    struct entry *entry = entry_find(&of(disk)->now, name);
    return entry != NULL ? handle_new(of(disk), entry->inode, false) : -ENOENT;
}

static int mem_close(struct dwal__disk *disk, int handle) {
    struct memdisk *memdisk = of(disk);
    if (memdisk->handles[handle].inode != NULL)
        inode_unlink(memdisk->handles[handle].inode);
    memdisk->handles[handle].inode = NULL;
    memdisk->handles[handle].directory = false;
    return 0;
}

static int mem_size(struct dwal__disk *disk, int handle, uint64_t *size) {
    *size = inode_of(disk, handle)->size;
    return 0;
}

static int mem_alignment(struct dwal__disk *disk, int handle,
                         struct dwal__disk_alignment *alignment) {
    (void)disk, (void)handle;
    *alignment = (struct dwal__disk_alignment){0};
    return 0;
}

static ssize_t mem_read(struct dwal__disk *disk, int handle, void *bytes,
                        size_t size, uint64_t offset) {
    struct inode *inode = inode_of(disk, handle);
    if (offset >= inode->size)
        return 0;
    size_t some = inode->size - (size_t)offset;
    if (some > size)
        some = size;
    if (some > 0)
        memcpy(bytes, inode->now + offset, some);
    return (ssize_t)some;
}

static ssize_t mem_write(struct dwal__disk *disk, int handle, const void *bytes,
                         size_t size, uint64_t offset) {
    struct inode *inode = inode_of(disk, handle);
    int stop = operation_begin(of(disk));
    if (stop < 0)
        return -EIO;
    /* A process that is killed in a write leaves some of it. */
    size_t some = stop == 0 ? size : size / 2 / SECTOR * SECTOR;
    if (offset + some > inode->size)
        inode_resize(inode, (size_t)offset + some);
    if (some > 0)
        memcpy(inode->now + offset, bytes, some);
    return stop == 0 ? (ssize_t)size : -EIO;
}

static int mem_allocate(struct dwal__disk *disk, int handle, uint64_t size) {
    struct inode *inode = inode_of(disk, handle);
    int stop = operation_begin(of(disk));
    if (stop >= 0 && size > inode->size)
        inode_resize(inode, (size_t)size);
    return result_of(stop);
}

static int mem_written_until(struct dwal__disk *disk, int handle,
                             uint64_t *offset) {
    return mem_size(disk, handle, offset);
}

static int mem_sync(struct dwal__disk *disk, int handle) {
    int stop = operation_begin(of(disk));
    if (stop == 0)
        inode_sync(inode_of(disk, handle));
    return result_of(stop);
}

static int mem_lock(struct dwal__disk *disk, int handle,
                    enum dwal__lock_kind kind) {
    (void)disk, (void)handle, (void)kind;
    return 0;
}

static int mem_lock_held(struct dwal__disk *disk, int handle) {
    (void)disk, (void)handle;
    return 0;
}

static void mem_lock_holder(struct dwal__disk *disk, int dir, const char *name,
                            char *text, size_t size) {
    (void)disk, (void)dir, (void)name;
    if (size > 0)
        text[0] = '\0';
}

static const struct dwal__disk_ops mem_ops = {
    .dir_make = mem_dir_make,
    .dir_open = mem_dir_open,
    .dir_list = mem_dir_list,
    .dir_sync = mem_dir_sync,
    .rename = mem_rename,
    .unlink = mem_unlink,
    .open = mem_open,
    .close = mem_close,
    .size = mem_size,
    .alignment = mem_alignment,
    .read = mem_read,
    .write = mem_write,
    .allocate = mem_allocate,
    .written_until = mem_written_until,
    .sync = mem_sync,
    .lock = mem_lock,
    .lock_held = mem_lock_held,
    .lock_holder = mem_lock_holder,
};

/* ---- for the tests ---- */

struct memdisk *memdisk_new(void) {
    struct memdisk *memdisk = calloc(1, sizeof *memdisk);
    assert(memdisk != NULL);
    memdisk->disk.ops = &mem_ops;
    memdisk->stop_at = UINT64_MAX;
    return memdisk;
}

static void handles_close(struct memdisk *memdisk) {
    for (int i = 0; i < HANDLES_MAX; i++)
        mem_close(&memdisk->disk, i);
}

void memdisk_free(struct memdisk *memdisk) {
    handles_close(memdisk);
    pending_clear(memdisk);
    directory_clear(&memdisk->now);
    directory_clear(&memdisk->stable);
    free(memdisk);
}

struct dwal__disk *memdisk_disk(struct memdisk *memdisk) {
    return &memdisk->disk;
}

void memdisk_put(struct memdisk *memdisk, const char *name, const void *bytes,
                 size_t size) {
    struct inode *inode = inode_new();
    inode_resize(inode, size);
    if (size > 0)
        memcpy(inode->now, bytes, size);
    inode_sync(inode);
    entry_add(&memdisk->now, name, inode);
    entry_add(&memdisk->stable, name, inode);
}

struct memdisk *memdisk_copy(const struct memdisk *memdisk) {
    struct memdisk *copy = memdisk_new();
    for (size_t i = 0; i < memdisk->now.count; i++) {
        const struct entry *entry = &memdisk->now.entries[i];
        memdisk_put(copy, entry->name, entry->inode->now, entry->inode->size);
    }
    return copy;
}

void memdisk_remove(struct memdisk *memdisk, const char *name) {
    entry_remove(&memdisk->now, name);
    entry_remove(&memdisk->stable, name);
}

uint8_t *memdisk_bytes(struct memdisk *memdisk, const char *name,
                       size_t *size) {
    struct entry *entry = entry_find(&memdisk->now, name);
    if (entry == NULL)
        return NULL;
    *size = entry->inode->size;
    return entry->inode->now;
}

const char *memdisk_name(struct memdisk *memdisk, size_t index) {
    return index < memdisk->now.count ? memdisk->now.entries[index].name : NULL;
}

void memdisk_stop_at(struct memdisk *memdisk, uint64_t count) {
    memdisk->operations = 0;
    memdisk->stop_at = count;
    memdisk->stopped = false;
}

uint64_t memdisk_operations(const struct memdisk *memdisk) {
    return memdisk->operations;
}

bool memdisk_stopped(const struct memdisk *memdisk) {
    return memdisk->stopped;
}

/* What is read now is all durable, and the disk works again. */
static void restart(struct memdisk *memdisk) {
    handles_close(memdisk);
    pending_clear(memdisk);
    directory_copy(&memdisk->stable, &memdisk->now);
    for (size_t i = 0; i < memdisk->now.count; i++)
        inode_sync(memdisk->now.entries[i].inode);
    memdisk_stop_at(memdisk, UINT64_MAX);
}

void memdisk_kill(struct memdisk *memdisk) {
    restart(memdisk);
}

void memdisk_crash(struct memdisk *memdisk, uint64_t *random) {
    handles_close(memdisk);
    for (size_t i = 0; i < memdisk->pending_count; i++)
        if (random_next(random) % 2 == 0)
            operation_apply(&memdisk->stable, &memdisk->pending[i]);
    directory_copy(&memdisk->now, &memdisk->stable);
    for (size_t i = 0; i < memdisk->now.count; i++)
        inode_crash(memdisk->now.entries[i].inode, random);
    restart(memdisk);
}

const char *memdisk_difference(struct memdisk *a, struct memdisk *b,
                               bool (*ignore)(const char *name)) {
    struct memdisk *sides[2] = {a, b};
    for (int side = 0; side < 2; side++) {
        struct directory *directory = &sides[side]->now;
        for (size_t i = 0; i < directory->count; i++) {
            struct entry *entry = &directory->entries[i];
            if (ignore != NULL && ignore(entry->name))
                continue;
            struct entry *other =
                entry_find(&sides[1 - side]->now, entry->name);
            if (other == NULL || other->inode->size != entry->inode->size ||
                memcmp(other->inode->now, entry->inode->now,
                       entry->inode->size) != 0)
                return entry->name;
        }
    }
    return NULL;
}
