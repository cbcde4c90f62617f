/* SPDX-License-Identifier: MIT */
/*
 * The state of a simulated disk: sectors, files, directory. Sectors are shared
 * between clones and never changed once they are made, so that a clone costs
 * little. Files are referred to by index, and freed by a sweep when the table
 * is full.
 */
#include "simdisk.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched.h"
#include "siminner.h"
#include "tests/support/check.h"

static void *zeroed(size_t count, size_t size) {
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- sectors ---- */

struct sim_sector *sim_sector_new(const uint8_t *bytes, size_t size) {
    static const uint8_t zeros[SIM_SECTOR];
    assert(size <= SIM_SECTOR);
    if (memcmp(bytes, zeros, size) == 0)
        return NULL;
    struct sim_sector *sector = zeroed(1, sizeof *sector);
    sector->references = 1;
    memcpy(sector->bytes, bytes, size);
    return sector;
}

struct sim_sector *sim_sector_share(struct sim_sector *sector) {
    if (sector != NULL)
        sector->references++;
    return sector;
}

void sim_sector_drop(struct sim_sector *sector) {
    if (sector != NULL && --sector->references == 0)
        free(sector);
}

bool sim_sector_same(const struct sim_sector *a, const struct sim_sector *b) {
    return a == b || (a != NULL && b != NULL &&
                      memcmp(a->bytes, b->bytes, SIM_SECTOR) == 0);
}

/* ---- cells ---- */

struct sim_sector *sim_cell_now(const struct sim_cell *cell) {
    return cell->newest != NULL ? cell->newest->content : cell->stable;
}

static void versions_drop(struct sim_version *version) {
    while (version != NULL) {
        struct sim_version *older = version->older;
        sim_sector_drop(version->content);
        free(version);
        version = older;
    }
}

/* What is written again unchanged is no other version. */
void sim_cell_write(struct sim_cell *cell, struct sim_sector *content,
                    uint64_t stamp) {
    cell->written = true;
    if (sim_sector_same(sim_cell_now(cell), content)) {
        sim_sector_drop(content);
        return;
    }
    struct sim_version *version = zeroed(1, sizeof *version);
    *version = (struct sim_version){
        .older = cell->newest, .content = content, .stamp = stamp};
    cell->newest = version;
}

/* Takes the reference to @content. */
static void cell_stabilise(struct sim_cell *cell, struct sim_sector *content) {
    if (sim_sector_same(cell->stable, content)) {
        sim_sector_drop(content);
        return;
    }
    sim_sector_drop(cell->before);
    cell->before = cell->stable;
    cell->stable = content;
}

void sim_cell_settle(struct sim_cell *cell, struct sim_sector *content) {
    cell->written = true;
    versions_drop(cell->newest);
    cell->newest = NULL;
    cell_stabilise(cell, content);
}

static void cell_sync(struct sim_cell *cell, uint64_t stamp) {
    struct sim_version **at = &cell->newest;
    while (*at != NULL && (*at)->stamp > stamp)
        at = &(*at)->older;
    if (*at == NULL)
        return;
    cell_stabilise(cell, sim_sector_share((*at)->content));
    versions_drop(*at);
    *at = NULL;
}

static void cell_clone(struct sim_cell *to, const struct sim_cell *from) {
    *to = *from;
    sim_sector_share(to->stable);
    sim_sector_share(to->before);
    struct sim_version **end = &to->newest;
    for (const struct sim_version *at = from->newest; at != NULL;
         at = at->older) {
        *end = zeroed(1, sizeof **end);
        **end = *at;
        sim_sector_share((*end)->content);
        end = &(*end)->older;
    }
    *end = NULL;
}

static void cell_free(struct sim_cell *cell) {
    versions_drop(cell->newest);
    sim_sector_drop(cell->stable);
    sim_sector_drop(cell->before);
}

/* ---- inodes ---- */

void sim_inode_free(struct sim_inode *inode) {
    for (size_t i = 0; i < inode->cell_count; i++)
        cell_free(&inode->cells[i]);
    free(inode->cells);
    free(inode);
}

static struct sim_inode *inode_clone(const struct sim_inode *inode) {
    struct sim_inode *clone = zeroed(1, sizeof *clone);
    *clone = *inode;
    clone->locked_by = -1;
    clone->cells = zeroed(inode->cell_count, sizeof *clone->cells);
    for (size_t i = 0; i < inode->cell_count; i++)
        cell_clone(&clone->cells[i], &inode->cells[i]);
    return clone;
}

static void mark(const struct simdisk *sim, int inode) {
    if (inode >= 0)
        sim->inodes[inode]->marked = true;
}

/* Marks all that a name, now or after a crash, or I/O refers to. */
static void inodes_mark(const struct simdisk *sim, bool handles) {
    for (int i = 0; i < SIM_INODES_MAX; i++)
        if (sim->inodes[i] != NULL)
            sim->inodes[i]->marked = false;
    for (int i = 0; i < sim->now.count; i++)
        mark(sim, sim->now.entries[i].inode);
    for (int i = 0; i < sim->stable.count; i++)
        mark(sim, sim->stable.entries[i].inode);
    for (int i = 0; i < sim->pending_count; i++)
        mark(sim, sim->pending[i].inode);
    for (int i = 0; i < sim->flight_count; i++)
        mark(sim, sim->flights[i]->inode);
    for (int i = 0; handles && i < SIM_HANDLES_MAX; i++)
        if (sim->handles[i].kind == SIM_FILE)
            mark(sim, sim->handles[i].inode);
}

static void inodes_sweep(struct simdisk *sim) {
    inodes_mark(sim, true);
    for (int i = 0; i < SIM_INODES_MAX; i++) {
        if (sim->inodes[i] == NULL || sim->inodes[i]->marked)
            continue;
        sim_inode_free(sim->inodes[i]);
        sim->inodes[i] = NULL;
    }
}

static int inode_slot(const struct simdisk *sim) {
    for (int i = 0; i < SIM_INODES_MAX; i++)
        if (sim->inodes[i] == NULL)
            return i;
    return -1;
}

int sim_inode_new(struct simdisk *sim) {
    static uint64_t ids;
    int slot = inode_slot(sim);
    if (slot < 0) {
        inodes_sweep(sim);
        slot = inode_slot(sim);
    }
    assert(slot >= 0);
    struct sim_inode *inode = zeroed(1, sizeof *inode);
    inode->id = ++ids;
    inode->locked_by = -1;
    sim->inodes[slot] = inode;
    return slot;
}

void sim_inode_resize(struct sim_inode *inode, uint64_t size) {
    size_t count = (size_t)((size + SIM_SECTOR - 1) / SIM_SECTOR);
    if (count > inode->cell_count) {
        inode->cells = realloc(inode->cells, count * sizeof *inode->cells);
        if (inode->cells == NULL)
            abort();
        memset(inode->cells + inode->cell_count, 0,
               (count - inode->cell_count) * sizeof *inode->cells);
        inode->cell_count = count;
    }
    if (size > inode->size)
        inode->size = size;
}

void sim_inode_sync(struct sim_inode *inode, uint64_t stamp, uint64_t size) {
    for (size_t i = 0; i < inode->cell_count; i++)
        if (inode->cells[i].newest != NULL)
            cell_sync(&inode->cells[i], stamp);
    if (size > inode->stable_size)
        inode->stable_size = size;
}

const char *sim_inode_name(const struct simdisk *sim, int inode) {
    for (int i = 0; i < sim->now.count; i++)
        if (sim->now.entries[i].inode == inode)
            return sim->now.entries[i].name;
    return "(no name)";
}

/* ---- the directory ---- */

struct sim_entry *sim_entry_find(const struct sim_directory *directory,
                                 const char *name) {
    for (int i = 0; i < directory->count; i++)
        if (strcmp(directory->entries[i].name, name) == 0)
            return (struct sim_entry *)&directory->entries[i];
    return NULL;
}

static void entry_remove(struct sim_directory *directory, const char *name) {
    struct sim_entry *entry = sim_entry_find(directory, name);
    if (entry == NULL)
        return;
    int behind = directory->count - 1 - (int)(entry - directory->entries);
    memmove(entry, entry + 1, (size_t)behind * sizeof *entry);
    directory->count--;
}

static void entry_add(struct sim_directory *directory, const char *name,
                      int inode) {
    entry_remove(directory, name);
    assert(directory->count < SIM_ENTRIES_MAX && strlen(name) < SIM_NAME_SIZE);
    int at = 0;
    while (at < directory->count &&
           strcmp(directory->entries[at].name, name) < 0)
        at++;
    struct sim_entry *entry = &directory->entries[at];
    memmove(entry + 1, entry, (size_t)(directory->count - at) * sizeof *entry);
    memset(entry->name, 0, sizeof entry->name);
    strcpy(entry->name, name);
    entry->inode = inode;
    directory->count++;
}

void sim_directory_apply(struct sim_directory *directory,
                         const struct sim_pending *operation) {
    if (operation->inode >= 0) {
        entry_add(directory, operation->from, operation->inode);
        return;
    }
    struct sim_entry *entry = sim_entry_find(directory, operation->from);
    if (entry == NULL)
        return;
    int inode = entry->inode;
    entry_remove(directory, operation->from);
    if (operation->to[0] != '\0')
        entry_add(directory, operation->to, inode);
}

void sim_directory_do(struct simdisk *sim, const char *from, const char *to,
                      int inode) {
    int last = sim->pending_count - 1;
    if (last >= SIM_PENDING_MAX / 2 && inode < 0 && to[0] == '\0' &&
        sim->pending[last].inode >= 0 &&
        strcmp(sim->pending[last].from, from) == 0) {
        /* Made and removed, as each append on a full disk may do, for the n-th
         * time: a crash that leaves it has been there before. */
        entry_remove(&sim->now, from);
        sim->pending_count--;
        return;
    }
    assert(sim->pending_count < SIM_PENDING_MAX);
    struct sim_pending *operation = &sim->pending[sim->pending_count++];
    memset(operation, 0, sizeof *operation);
    strcpy(operation->from, from);
    strcpy(operation->to, to);
    operation->inode = inode;
    sim_directory_apply(&sim->now, operation);
}

/* ---- the disk ---- */

struct simdisk *simdisk_new(uint64_t seed) {
    struct simdisk *sim = zeroed(1, sizeof *sim);
    sim->disk.ops = &sim_disk_ops;
    sim->dir_locked_by = -1;
    sim->random = seed;
    sim->alignment = 512;
    sim->capacity = UINT64_MAX;
    sim->latency_ns = 50000;
    return sim;
}

void simdisk_free(struct simdisk *sim) {
    for (int i = 0; i < SIM_INODES_MAX; i++)
        if (sim->inodes[i] != NULL)
            sim_inode_free(sim->inodes[i]);
    for (int i = 0; i < sim->flight_count; i++)
        sim_flight_free(sim->flights[i]);
    free(sim->trace);
    free(sim);
}

static struct sim_flight *flight_clone(const struct sim_flight *flight) {
    struct sim_flight *clone = zeroed(1, sizeof *clone);
    *clone = *flight;
    clone->content = zeroed(flight->sectors, sizeof *clone->content);
    clone->landed = zeroed(flight->sectors, sizeof *clone->landed);
    for (uint32_t i = 0; i < flight->sectors; i++)
        clone->content[i] = sim_sector_share(flight->content[i]);
    if (flight->sectors > 0)
        memcpy(clone->landed, flight->landed,
               flight->sectors * sizeof *clone->landed);
    return clone;
}

struct simdisk *simdisk_clone(const struct simdisk *sim) {
    struct simdisk *clone = simdisk_new(sim->random);
    clone->made = sim->made;
    clone->made_stable = sim->made_stable;
    clone->now = sim->now;
    clone->stable = sim->stable;
    clone->pending_count = sim->pending_count;
    memcpy(clone->pending, sim->pending,
           (size_t)sim->pending_count * sizeof *sim->pending);
    inodes_mark(sim, false);
    for (int i = 0; i < SIM_INODES_MAX; i++)
        if (sim->inodes[i] != NULL && sim->inodes[i]->marked)
            clone->inodes[i] = inode_clone(sim->inodes[i]);
    clone->flight_count = sim->flight_count;
    for (int i = 0; i < sim->flight_count; i++)
        clone->flights[i] = flight_clone(sim->flights[i]);
    clone->alignment = sim->alignment;
    clone->capacity = sim->capacity;
    clone->latency_ns = sim->latency_ns;
    return clone;
}

/* ---- files, from outside ---- */

struct sim_inode *simdisk_file(const struct simdisk *sim, const char *name) {
    struct sim_entry *entry = sim_entry_find(&sim->now, name);
    return entry != NULL ? sim->inodes[entry->inode] : NULL;
}

struct sim_sector *simdisk_sector(const struct sim_inode *inode, size_t index) {
    assert(index < inode->cell_count);
    return sim_cell_now(&inode->cells[index]);
}

void simdisk_put_sector(struct sim_inode *inode, size_t index,
                        const uint8_t *bytes) {
    assert(index < inode->cell_count);
    sim_cell_settle(&inode->cells[index], sim_sector_new(bytes, SIM_SECTOR));
}

void simdisk_remove(struct simdisk *sim, const char *name) {
    entry_remove(&sim->now, name);
    entry_remove(&sim->stable, name);
}

void simdisk_read_file(const struct sim_inode *inode, uint8_t *bytes) {
    memset(bytes, 0, (size_t)inode->size);
    for (size_t i = 0; i < inode->cell_count; i++) {
        const struct sim_sector *sector = sim_cell_now(&inode->cells[i]);
        uint64_t at = (uint64_t)i * SIM_SECTOR;
        if (sector == NULL || at >= inode->size)
            continue;
        uint64_t some =
            inode->size - at < SIM_SECTOR ? inode->size - at : SIM_SECTOR;
        memcpy(bytes + at, sector->bytes, (size_t)some);
    }
}

static bool file_same(const struct sim_inode *a, const struct sim_inode *b) {
    if (a->size != b->size)
        return false;
    for (size_t i = 0; i < a->cell_count && i < b->cell_count; i++)
        if (!sim_sector_same(sim_cell_now(&a->cells[i]),
                             sim_cell_now(&b->cells[i])))
            return false;
    return true;
}

const char *simdisk_difference(const struct simdisk *a,
                               const struct simdisk *b) {
    for (int i = 0; i < a->now.count || i < b->now.count; i++) {
        if (i >= a->now.count)
            return b->now.entries[i].name;
        const char *name = a->now.entries[i].name;
        if (i >= b->now.count || strcmp(name, b->now.entries[i].name) != 0 ||
            !file_same(simdisk_file(a, name), simdisk_file(b, name)))
            return name;
    }
    return NULL;
}

/* ---- operations, in general ---- */

static bool changes(enum sim_operation operation) {
    return operation == SIM_DIR_MAKE || operation == SIM_RENAME ||
           operation == SIM_UNLINK || operation == SIM_WRITE ||
           operation == SIM_ALLOCATE || operation == SIM_SUBMIT_WRITE;
}

static void trace_note(struct simdisk *sim, enum sim_operation operation,
                       const char *name, uint64_t offset, uint64_t size) {
    if (sim->operations == sim->trace_room) {
        sim->trace_room *= 2;
        sim->trace = realloc(sim->trace, sim->trace_room * sizeof *sim->trace);
        if (sim->trace == NULL)
            abort();
    }
    struct sim_trace *trace = &sim->trace[sim->operations];
    *trace = (struct sim_trace){.operation = operation,
                                .who = sched_name(),
                                .offset = offset,
                                .size = size,
                                .time_ns = sched_clock(),
                                .result = INT64_MIN};
    snprintf(trace->name, sizeof trace->name, "%s", name);
}

void simdisk_trace_keep(struct simdisk *sim) {
    assert(sim->trace == NULL);
    sim->operations = 0;
    sim->trace_room = 1024;
    sim->trace = zeroed(sim->trace_room, sizeof *sim->trace);
}

uint64_t sim_begin(struct simdisk *sim, enum sim_operation operation,
                   const char *name, uint64_t offset, uint64_t size) {
    sched_point();
    if (sim->before != NULL)
        sim->before(sim->argument, sim);
    if (sim->trace != NULL)
        trace_note(sim, operation, name, offset, size);
    if (changes(operation)) {
        sim->changes++;
        sim->effects++;
    }
    return sim->operations++;
}

static void strike(struct sim_fault *fault, enum sim_operation operation) {
    if (!fault->struck)
        fault->struck_ns = sched_clock();
    fault->struck = true;
    fault->operation = operation;
}

int64_t sim_fault_end(const struct sim_fault *fault) {
    return fault->back_ns == 0 ? INT64_MAX : fault->struck_ns + fault->back_ns;
}

/* The operation is done, late. */
static void block(struct simdisk *sim, struct sim_fault *fault,
                  enum sim_operation operation) {
    strike(fault, operation);
    int64_t end = sim_fault_end(fault);
    while (!sim->released && sched_clock() < end)
        sched_block(&sim->released, end);
}

static bool strikes(const struct sim_fault *fault, enum sim_operation operation,
                    uint64_t number) {
    if (number == fault->at)
        return true;
    if (!fault->struck || !fault->forever ||
        sched_clock() >= sim_fault_end(fault))
        return false;
    return fault->operation == operation || fault->when == SIM_STILL;
}

/* Calls that return, whatever the disk does, do not. */
static bool needs_disk(enum sim_operation operation) {
    return operation != SIM_SUBMIT_WRITE && operation != SIM_SUBMIT_SYNC &&
           operation != SIM_REAP && operation != SIM_SETUP;
}

const struct sim_fault *
sim_struck(struct simdisk *sim, enum sim_operation operation, uint64_t number) {
    struct sim_fault *fault = sim->fault;
    if (fault == NULL || !strikes(fault, operation, number))
        return NULL;
    const char *who = sched_name();
    /* Callers that are blocked in the kernel are no business of the log's. */
    bool ours = strcmp(who, "committer") == 0 || strcmp(who, "keeper") == 0;
    if (fault->when == SIM_BLOCKED && !ours)
        return NULL;
    if (fault->when == SIM_BLOCKED ||
        (fault->when == SIM_STILL && needs_disk(operation))) {
        block(sim, fault, operation);
        return NULL;
    }
    strike(fault, operation);
    bool waits = operation == SIM_REAP || operation == SIM_SETUP;
    return fault->when == SIM_STILL && waits ? NULL : fault;
}

int64_t sim_end(struct simdisk *sim, uint64_t number, int64_t result) {
    if (sim->trace != NULL)
        sim->trace[number].result = result;
    return result;
}

/* Mostly around the usual, now and then much longer. */
int64_t sim_latency(struct simdisk *sim) {
    uint64_t random = check_random(&sim->random);
    int64_t usual =
        sim->latency_ns / 2 + (int64_t)(random >> 8) % (sim->latency_ns + 1);
    return (random & 31) == 0 ? 20 * usual : usual;
}

void sim_complain(struct simdisk *sim, const char *format, ...) {
    if (sim->complaint[0] != '\0')
        return; /* the first one tells the most */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->complaint, sizeof sim->complaint, format, arguments);
    va_end(arguments);
}
