/* SPDX-License-Identifier: MIT */
/*
 * struct dwal__disk_ops on a simulated disk. Each operation takes effect at one
 * point of the run, and a sync covers what had ended when it began; time
 * passes, and others act, before and after.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched.h"
#include "simdisk.h"
#include "siminner.h"
#include "tests/support/check.h"

static struct simdisk *of(struct dwal__disk *disk) {
    return (struct simdisk *)disk;
}

/* Lets time pass and ends the operation: with @result, unless a fault
 * struck. */
static int64_t outcome(struct simdisk *sim, const struct sim_fault *fault,
                       uint64_t number, int64_t result) {
    if (sched_inside())
        sched_sleep(sim_latency(sim) / 4);
    return sim_end(sim, number, fault != NULL ? fault->result : result);
}

/* True if the operation is done, whatever it then says. */
static bool acts(const struct sim_fault *fault) {
    return fault == NULL || fault->effect != SIM_NOTHING_DONE;
}

/* ---- handles ---- */

static int handle_new(struct simdisk *sim, int kind, int inode, int flags) {
    for (int i = 0; i < SIM_HANDLES_MAX; i++) {
        if (sim->handles[i].kind != SIM_FREE)
            continue;
        sim->handles[i].kind = kind;
        sim->handles[i].inode = inode;
        sim->handles[i].flags = flags;
        return i;
    }
    return -EMFILE;
}

/* NULL, and a complaint, if it is no open file. */
static struct sim_inode *file_of(struct simdisk *sim, int handle) {
    if (handle >= 0 && handle < SIM_HANDLES_MAX &&
        sim->handles[handle].kind == SIM_FILE)
        return sim->inodes[sim->handles[handle].inode];
    sim_complain(sim, "%s: file handle %d is not open", sched_name(), handle);
    return NULL;
}

static const char *name_of(struct simdisk *sim, int handle) {
    if (file_of(sim, handle) == NULL)
        return "(closed)";
    return sim_inode_name(sim, sim->handles[handle].inode);
}

static bool is_directory(struct simdisk *sim, int dir) {
    if (dir >= 0 && dir < SIM_HANDLES_MAX &&
        (sim->handles[dir].kind == SIM_DIRECTORY ||
         sim->handles[dir].kind == SIM_PARENT))
        return true;
    sim_complain(sim, "%s: directory handle %d is not open", sched_name(), dir);
    return false;
}

static int sim_close(struct dwal__disk *disk, int handle) {
    struct simdisk *sim = of(disk);
    if (handle < 0 || handle >= SIM_HANDLES_MAX ||
        sim->handles[handle].kind == SIM_FREE) {
        sim_complain(sim, "%s: closes handle %d, which is not open",
                     sched_name(), handle);
        return -EBADF;
    }
    struct sim_handle *closed = &sim->handles[handle];
    if (closed->kind == SIM_FILE &&
        sim->inodes[closed->inode]->locked_by == handle) {
        sim->inodes[closed->inode]->locked_by = -1;
        sim->claimed_lsn = 0;
    }
    if (closed->kind == SIM_DIRECTORY && sim->dir_locked_by == handle)
        sim->dir_locked_by = -1;
    closed->kind = SIM_FREE;
    return 0;
}

/* ---- directories ---- */

static int sim_dir_make(struct dwal__disk *disk, const char *path) {
    struct simdisk *sim = of(disk);
    uint64_t number = sim_begin(sim, SIM_DIR_MAKE, path, 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_DIR_MAKE, number);
    bool there = sim->made;
    if (acts(fault))
        sim->made = true;
    return (int)outcome(sim, fault, number, there ? -EEXIST : 0);
}

static int sim_dir_open(struct dwal__disk *disk, const char *path) {
    struct simdisk *sim = of(disk);
    bool parent = strcmp(path, SIM_PATH) != 0;
    uint64_t number = sim_begin(sim, SIM_DIR_OPEN, path, 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_DIR_OPEN, number);
    if (fault != NULL)
        return (int)outcome(sim, fault, number, 0);
    int result =
        parent || sim->made
            ? handle_new(sim, parent ? SIM_PARENT : SIM_DIRECTORY, -1, 0)
            : -ENOENT;
    return (int)outcome(sim, NULL, number, result);
}

static int sim_dir_list(struct dwal__disk *disk, int dir,
                        int (*each)(void *argument, const char *name),
                        void *argument) {
    struct simdisk *sim = of(disk);
    uint64_t number = sim_begin(sim, SIM_DIR_LIST, SIM_PATH, 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_DIR_LIST, number);
    if (!is_directory(sim, dir))
        return -EBADF;
    if (fault != NULL && fault->effect == SIM_NOTHING_DONE)
        return (int)outcome(sim, fault, number, 0);
    /* A copy: @each may change the directory, and so may others. */
    struct sim_directory *listed = malloc(sizeof *listed);
    assert(listed != NULL);
    *listed = sim->now;
    int result = 0;
    for (int i = 0; i < listed->count && result == 0; i++)
        result = each(argument, listed->entries[i].name);
    free(listed);
    return (int)outcome(sim, fault, number, result);
}

/* Durable is what was done before it began, not what is done meanwhile. */
static int sim_dir_sync(struct dwal__disk *disk, int dir) {
    struct simdisk *sim = of(disk);
    if (!is_directory(sim, dir))
        return -EBADF;
    bool parent = sim->handles[dir].kind == SIM_PARENT;
    uint64_t number =
        sim_begin(sim, SIM_DIR_SYNC, parent ? "/" : SIM_PATH, 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_DIR_SYNC, number);
    int covered = parent ? 0 : sim->pending_count;
    bool made = sim->made;
    int64_t result = outcome(sim, fault, number, 0);
    if (!acts(fault))
        return (int)result;
    sim->effects++;
    if (parent)
        sim->made_stable = made;
    /* Another sync may have been faster. */
    if (covered > sim->pending_count)
        covered = sim->pending_count;
    for (int i = 0; i < covered; i++)
        sim_directory_apply(&sim->stable, &sim->pending[i]);
    sim->pending_count -= covered;
    memmove(sim->pending, sim->pending + covered,
            (size_t)sim->pending_count * sizeof *sim->pending);
    return (int)result;
}

/* A name ends in .wal: the rules for segments hold for the file from now on. */
static bool is_segment(const char *name) {
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".wal") == 0;
}

static int sim_rename(struct dwal__disk *disk, int dir, const char *from,
                      const char *to) {
    struct simdisk *sim = of(disk);
    if (!is_directory(sim, dir))
        return -EBADF;
    uint64_t number = sim_begin(sim, SIM_RENAME, from, 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_RENAME, number);
    struct sim_inode *inode = simdisk_file(sim, from);
    if (inode != NULL && acts(fault)) {
        sim_directory_do(sim, from, to, -1);
        inode->foreign = false;
        for (size_t i = 0; i < inode->cell_count; i++)
            inode->cells[i].batch = false;
    }
    return (int)outcome(sim, fault, number, inode != NULL ? 0 : -ENOENT);
}

static int sim_unlink(struct dwal__disk *disk, int dir, const char *name) {
    struct simdisk *sim = of(disk);
    if (!is_directory(sim, dir))
        return -EBADF;
    uint64_t number = sim_begin(sim, SIM_UNLINK, name, 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_UNLINK, number);
    bool there = sim_entry_find(&sim->now, name) != NULL;
    if (there && acts(fault))
        sim_directory_do(sim, name, "", -1);
    return (int)outcome(sim, fault, number, there ? 0 : -ENOENT);
}

/* ---- files ---- */

/* Opens or creates: a handle or a negative errno. */
static int file_open(struct simdisk *sim, const char *name, int flags) {
    struct sim_entry *entry = sim_entry_find(&sim->now, name);
    bool create = (flags & DWAL__OPEN_CREATE) != 0;
    if (create && entry != NULL)
        return -EEXIST;
    if (!create && entry == NULL)
        return -ENOENT;
    if ((flags & DWAL__OPEN_DIRECT) != 0 && sim->alignment == 0)
        return -EINVAL;
    int inode = create ? sim_inode_new(sim) : entry->inode;
    if (create)
        sim_directory_do(sim, name, "", inode);
    return handle_new(sim, SIM_FILE, inode, flags);
}

static int sim_open(struct dwal__disk *disk, int dir, const char *name,
                    int flags) {
    struct simdisk *sim = of(disk);
    if (!is_directory(sim, dir))
        return -EBADF;
    uint64_t number = sim_begin(sim, SIM_OPEN, name, 0, (uint64_t)flags);
    const struct sim_fault *fault = sim_struck(sim, SIM_OPEN, number);
    bool create = (flags & DWAL__OPEN_CREATE) != 0;
    sim->changes += create;
    sim->effects += create;
    int result = 0;
    if (fault == NULL)
        result = file_open(sim, name, flags);
    else if (create && acts(fault)) /* made, but not opened */
        sim_close(disk, file_open(sim, name, flags));
    return (int)outcome(sim, fault, number, result);
}

static int sim_size(struct dwal__disk *disk, int handle, uint64_t *size) {
    struct simdisk *sim = of(disk);
    uint64_t number = sim_begin(sim, SIM_SIZE, name_of(sim, handle), 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_SIZE, number);
    struct sim_inode *inode = file_of(sim, handle);
    if (inode == NULL)
        return -EBADF;
    if (fault == NULL)
        *size = inode->size;
    return (int)outcome(sim, fault, number, 0);
}

static int sim_identity(struct dwal__disk *disk, int handle, uint64_t *device,
                        uint64_t *inode) {
    struct sim_inode *file = file_of(of(disk), handle);
    if (file == NULL)
        return -EBADF;
    *device = 1;
    *inode = file->id;
    return 0;
}

static int sim_alignment(struct dwal__disk *disk, int handle,
                         struct dwal__disk_alignment *alignment) {
    struct simdisk *sim = of(disk);
    uint64_t number = sim_begin(sim, SIM_ALIGNMENT, name_of(sim, handle), 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_ALIGNMENT, number);
    if (fault == NULL)
        *alignment = (struct dwal__disk_alignment){
            .memory = sim->alignment, .offset = sim->alignment, .known = true};
    return (int)outcome(sim, fault, number, 0);
}

/* Direct I/O as the device wants it. */
static bool aligned(struct simdisk *sim, int handle, const void *bytes,
                    size_t size, uint64_t offset) {
    if ((sim->handles[handle].flags & DWAL__OPEN_DIRECT) == 0)
        return true;
    return ((uintptr_t)bytes | size | offset) % sim->alignment == 0;
}

/* Writes in flight may arrive while others look. */
static void flights_drift(struct simdisk *sim, int inode) {
    for (int i = 0; i < sim->flight_count; i++) {
        struct sim_flight *flight = sim->flights[i];
        if (flight->inode != inode || check_random(&sim->random) % 2 == 0)
            continue;
        for (uint32_t at = 0; at < flight->sectors; at++)
            if (check_random(&sim->random) % 4 == 0)
                sim_flight_land(sim, flight, at);
    }
}

static ssize_t file_read(const struct sim_inode *inode, uint8_t *bytes,
                         size_t size, uint64_t offset) {
    if (offset >= inode->size)
        return 0;
    if (size > inode->size - offset)
        size = (size_t)(inode->size - offset);
    for (size_t done = 0; done < size;) {
        uint64_t at = offset + done;
        size_t inside = (size_t)(at % SIM_SECTOR);
        size_t some = SIM_SECTOR - inside;
        if (some > size - done)
            some = size - done;
        const struct sim_cell *cell = &inode->cells[at / SIM_SECTOR];
        const struct sim_sector *sector = sim_cell_now(cell);
        if (cell->unreadable)
            return -EIO;
        if (sector != NULL)
            memcpy(bytes + done, sector->bytes + inside, some);
        else
            memset(bytes + done, 0, some);
        done += some;
    }
    return (ssize_t)size;
}

static ssize_t sim_read(struct dwal__disk *disk, int handle, void *bytes,
                        size_t size, uint64_t offset) {
    struct simdisk *sim = of(disk);
    uint64_t number =
        sim_begin(sim, SIM_READ, name_of(sim, handle), offset, size);
    const struct sim_fault *fault = sim_struck(sim, SIM_READ, number);
    struct sim_inode *inode = file_of(sim, handle);
    if (inode == NULL || !aligned(sim, handle, bytes, size, offset))
        return -EINVAL;
    if (fault != NULL)
        return (ssize_t)outcome(sim, fault, number, 0);
    flights_drift(sim, sim->handles[handle].inode);
    return (ssize_t)outcome(sim, NULL, number,
                            file_read(inode, bytes, size, offset));
}

/* A sector that is written in part keeps the rest, as through the page
 * cache. */
static void sectors_write(struct simdisk *sim, struct sim_inode *inode,
                          const uint8_t *bytes, size_t size, uint64_t offset) {
    for (size_t done = 0; done < size;) {
        uint8_t whole[SIM_SECTOR] = {0};
        uint64_t at = offset + done;
        size_t inside = (size_t)(at % SIM_SECTOR);
        size_t some = SIM_SECTOR - inside;
        if (some > size - done)
            some = size - done;
        struct sim_cell *cell = &inode->cells[at / SIM_SECTOR];
        const struct sim_sector *before = sim_cell_now(cell);
        if (cell->batch && !sim->repairing)
            sim_complain(sim, "%s: writes over a batch at %llu", sched_name(),
                         (unsigned long long)at);
        if (before != NULL)
            memcpy(whole, before->bytes, SIM_SECTOR);
        memcpy(whole + inside, bytes + done, some);
        sim_cell_write(cell, sim_sector_new(whole, SIM_SECTOR), inode->stamp);
        done += some;
    }
}

static ssize_t sim_write(struct dwal__disk *disk, int handle, const void *bytes,
                         size_t size, uint64_t offset) {
    struct simdisk *sim = of(disk);
    const char *name = name_of(sim, handle);
    uint64_t number = sim_begin(sim, SIM_WRITE, name, offset, size);
    const struct sim_fault *fault = sim_struck(sim, SIM_WRITE, number);
    struct sim_inode *inode = file_of(sim, handle);
    if (inode == NULL)
        return -EBADF;
    if (!aligned(sim, handle, bytes, size, offset)) {
        sim_complain(sim, "%s: misaligned write into %s: %zu bytes at %llu",
                     sched_name(), name, size, (unsigned long long)offset);
        return -EINVAL;
    }
    if (inode->foreign && is_segment(name) && !sim->repairing)
        sim_complain(sim, "%s: writes into %s of an earlier life", sched_name(),
                     name);
    /* Others go on between the call and what it does. */
    if (sched_inside() && check_random(&sim->random) % 4 == 0) {
        sched_sleep(sim_latency(sim));
        sim->effects++;
    }
    if (acts(fault)) {
        size_t some = size;
        if (fault != NULL && fault->effect == SIM_SOME_DONE)
            some = size / 2 / SIM_SECTOR * SIM_SECTOR;
        inode->stamp++;
        sim_inode_resize(inode, offset + some);
        sectors_write(sim, inode, bytes, some, offset);
    }
    return (ssize_t)outcome(sim, fault, number, (int64_t)size);
}

/* Bytes of all files that have names. */
static uint64_t used(const struct simdisk *sim) {
    uint64_t sum = 0;
    for (int i = 0; i < sim->now.count; i++)
        sum += sim->inodes[sim->now.entries[i].inode]->size;
    return sum;
}

static int sim_allocate(struct dwal__disk *disk, int handle, uint64_t size) {
    struct simdisk *sim = of(disk);
    uint64_t number =
        sim_begin(sim, SIM_ALLOCATE, name_of(sim, handle), 0, size);
    const struct sim_fault *fault = sim_struck(sim, SIM_ALLOCATE, number);
    struct sim_inode *inode = file_of(sim, handle);
    if (inode == NULL)
        return -EBADF;
    if (size > inode->size && used(sim) - inode->size + size > sim->capacity)
        return (int)outcome(sim, fault, number, -ENOSPC);
    if (acts(fault))
        sim_inode_resize(inode, size);
    return (int)outcome(sim, fault, number, 0);
}

static int sim_written_until(struct dwal__disk *disk, int handle,
                             uint64_t *offset) {
    struct simdisk *sim = of(disk);
    uint64_t number =
        sim_begin(sim, SIM_WRITTEN_UNTIL, name_of(sim, handle), 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_WRITTEN_UNTIL, number);
    struct sim_inode *inode = file_of(sim, handle);
    if (inode == NULL)
        return -EBADF;
    size_t at = 0;
    while (at < inode->cell_count && inode->cells[at].written)
        at++;
    if (fault == NULL)
        *offset = (uint64_t)at * SIM_SECTOR;
    return (int)outcome(sim, fault, number, 0);
}

/* A sync that fails may have synced anything; one that succeeds, all that had
 * been written when it began. */
static int sim_sync(struct dwal__disk *disk, int handle) {
    struct simdisk *sim = of(disk);
    uint64_t number = sim_begin(sim, SIM_SYNC, name_of(sim, handle), 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_SYNC, number);
    struct sim_inode *inode = file_of(sim, handle);
    if (inode == NULL)
        return -EBADF;
    uint64_t stamp = inode->stamp, size = inode->size;
    int64_t result = outcome(sim, fault, number, 0);
    if (acts(fault)) {
        sim_inode_sync(inode, stamp, size);
        sim->effects++;
    }
    return (int)result;
}

/* ---- locks ---- */

static int sim_lock(struct dwal__disk *disk, int handle,
                    enum dwal__lock_kind kind) {
    struct simdisk *sim = of(disk);
    if (kind == DWAL__LOCK_NONE) /* sim_close does it: there is no fork here */
        return 0;
    const char *name = kind == DWAL__LOCK_DIR ? SIM_PATH : name_of(sim, handle);
    uint64_t number = sim_begin(sim, SIM_LOCK, name, 0, 0);
    const struct sim_fault *fault = sim_struck(sim, SIM_LOCK, number);
    if (fault != NULL)
        return (int)outcome(sim, fault, number, 0);
    int *by = kind == DWAL__LOCK_DIR
                  ? &sim->dir_locked_by
                  : &sim->inodes[sim->handles[handle].inode]->locked_by;
    bool busy = *by >= 0 && *by != handle;
    if (!busy)
        *by = handle;
    return (int)outcome(sim, NULL, number, busy ? -EAGAIN : 0);
}

static int sim_lock_held(struct dwal__disk *disk, int handle) {
    const struct sim_inode *inode = file_of(of(disk), handle);
    sched_point();
    return inode != NULL && inode->locked_by >= 0 && inode->locked_by != handle;
}

/* Of ranges, only what a writer asks for; leases are a figure in the disk. */
static bool lease_in(const struct simdisk *sim,
                     const struct dwal__disk_range *range) {
    return sim->lease_lsn >= range->first && sim->lease_lsn <= range->last;
}

static int sim_range_lock(struct dwal__disk *disk, int handle,
                          enum dwal__range_kind kind,
                          const struct dwal__disk_range *range) {
    struct simdisk *sim = of(disk);
    (void)handle;
    sched_point();
    if (kind == DWAL__RANGE_NONE && range->first <= sim->claimed_lsn)
        sim->claimed_lsn = range->first - 1;
    if (kind != DWAL__RANGE_EXCLUSIVE)
        return 0;
    if (lease_in(sim, range))
        return -EAGAIN;
    if (range->last > sim->claimed_lsn)
        sim->claimed_lsn = range->last;
    return 0;
}

static int sim_range_held(struct dwal__disk *disk, int handle,
                          enum dwal__range_kind kind,
                          const struct dwal__disk_range *range,
                          struct dwal__disk_range *held) {
    (void)handle, (void)kind;
    sched_point();
    if (!lease_in(of(disk), range))
        return 0;
    *held = (struct dwal__disk_range){of(disk)->lease_lsn, of(disk)->lease_lsn};
    return 1;
}

static void sim_lock_holder(struct dwal__disk *disk, int dir, const char *name,
                            char *text, size_t size) {
    (void)disk, (void)dir, (void)name;
    snprintf(text, size, "the simulation");
}

const struct dwal__disk_ops sim_disk_ops = {
    .dir_make = sim_dir_make,
    .dir_open = sim_dir_open,
    .dir_list = sim_dir_list,
    .dir_sync = sim_dir_sync,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .open = sim_open,
    .close = sim_close,
    .size = sim_size,
    .identity = sim_identity,
    .alignment = sim_alignment,
    .read = sim_read,
    .write = sim_write,
    .allocate = sim_allocate,
    .written_until = sim_written_until,
    .sync = sim_sync,
    .lock = sim_lock,
    .lock_held = sim_lock_held,
    .range_lock = sim_range_lock,
    .range_held = sim_range_held,
    .lock_holder = sim_lock_holder,
};
