/* SPDX-License-Identifier: MIT */
/*
 * Crashes. After a power cut a file has, in each sector, what was durable or
 * any version that was written since, a write in flight included, or, from some
 * choosers, the beginning of one and the end of another; a directory
 * has any subset of its unsynced operations, in which the operations on each
 * name are a prefix of those that were made. A rename is never half done.
 */
#include "simcrash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "siminner.h"
#include "tests/support/check.h"

/* ---- choosers ---- */

static void bias_draw(struct chooser_random *chooser) {
    static const unsigned biases[] = {0, 0, 8, 14, 15, 16};
    uint64_t drawn = check_random(&chooser->state);
    chooser->bias = biases[drawn % (sizeof biases / sizeof biases[0])];
    chooser->newest = (drawn >> 8) % 2 != 0;
}

static unsigned random_choose(struct chooser *chooser, unsigned count) {
    struct chooser_random *random = (struct chooser_random *)chooser;
    uint64_t drawn = check_random(&random->state);
    if ((drawn >> 40) % 16 == 0 && random->drifts)
        bias_draw(random);
    if (drawn % 16 < random->bias)
        return random->newest ? count - 1 : 0;
    return (unsigned)((drawn >> 8) % count);
}

void chooser_random_init(struct chooser_random *chooser, uint64_t seed) {
    *chooser =
        (struct chooser_random){.chooser.choose = random_choose, .state = seed};
    bias_draw(chooser);
    chooser->drifts = check_random(&chooser->state) % 2 == 0;
    chooser->chooser.tears = check_random(&chooser->state) % 4 == 0;
}

static unsigned all_choose(struct chooser *chooser, unsigned count) {
    struct chooser_all *all = (struct chooser_all *)chooser;
    if (all->used == CHOOSER_DIGITS_MAX) {
        all->overflow = true;
        return count - 1;
    }
    if (all->used == all->count) {
        all->digits[all->count] = 0;
        all->radix[all->count++] = count;
    }
    assert(all->radix[all->used] == count);
    return all->digits[all->used++];
}

void chooser_all_init(struct chooser_all *chooser) {
    *chooser = (struct chooser_all){.chooser.choose = all_choose};
}

bool chooser_next(struct chooser_all *chooser) {
    /* Digits behind the one that moves are asked for anew. */
    while (chooser->count > 0) {
        int last = chooser->count - 1;
        if (chooser->digits[last] + 1 < chooser->radix[last]) {
            chooser->digits[last]++;
            chooser->used = 0;
            return true;
        }
        chooser->count--;
    }
    chooser->used = 0;
    return false;
}

static unsigned choose(struct chooser *chooser, unsigned count) {
    return count > 1 ? chooser->choose(chooser, count) : 0;
}

/* ---- a power cut ---- */

/* The directory operations that made it. */
static void directory_cut(struct simdisk *cut, struct chooser *chooser) {
    struct sim_directory left = cut->stable;
    bool lost[SIM_PENDING_MAX] = {false};
    for (int i = 0; i < cut->pending_count; i++) {
        const struct sim_pending *operation = &cut->pending[i];
        /* Behind one on the same name that is lost, this one is too. */
        for (int j = 0; j < i; j++) {
            const struct sim_pending *before = &cut->pending[j];
            bool same = strcmp(before->from, operation->from) == 0 ||
                        strcmp(before->from, operation->to) == 0 ||
                        (before->to[0] != '\0' &&
                         (strcmp(before->to, operation->from) == 0 ||
                          strcmp(before->to, operation->to) == 0));
            lost[i] |= lost[j] && same;
        }
        if (!lost[i])
            lost[i] = choose(chooser, 2) == 0;
        if (!lost[i])
            sim_directory_apply(&left, operation);
    }
    cut->now = cut->stable = left;
    cut->pending_count = 0;
}

#define CANDIDATES_MAX 64

/* Adds @content unless it is there; the last one counts as the newest. */
static void candidate_add(struct sim_sector **candidates, unsigned *count,
                          struct sim_sector *content) {
    for (unsigned i = 0; i < *count; i++)
        if (sim_sector_same(candidates[i], content))
            return;
    assert(*count < CANDIDATES_MAX);
    candidates[(*count)++] = content;
}

static void versions_add(struct sim_sector **candidates, unsigned *count,
                         const struct sim_version *newest) {
    if (newest == NULL)
        return;
    versions_add(candidates, count, newest->older);
    candidate_add(candidates, count, newest->content);
}

/* The beginning of one of them, and the end of another. */
static struct sim_sector *sector_torn(struct sim_sector **candidates,
                                      unsigned count, struct chooser *chooser) {
    static const uint8_t zeros[SIM_SECTOR];
    uint8_t bytes[SIM_SECTOR];
    const struct sim_sector *begin = candidates[choose(chooser, count)];
    const struct sim_sector *end = candidates[choose(chooser, count)];
    unsigned at = choose(chooser, SIM_SECTOR);
    memcpy(bytes, begin != NULL ? begin->bytes : zeros, at);
    memcpy(bytes + at, (end != NULL ? end->bytes : zeros) + at,
           SIM_SECTOR - at);
    return sim_sector_new(bytes, SIM_SECTOR);
}

/* What of @inode's sector @index is left. */
static void cell_cut(struct simdisk *cut, int inode, size_t index,
                     struct chooser *chooser) {
    struct sim_cell *cell = &cut->inodes[inode]->cells[index];
    struct sim_sector *candidates[CANDIDATES_MAX];
    unsigned count = 0;
    candidate_add(candidates, &count, cell->stable);
    versions_add(candidates, &count, cell->newest);
    for (int i = 0; i < cut->flight_count; i++) {
        const struct sim_flight *flight = cut->flights[i];
        uint64_t first = flight->offset / SIM_SECTOR;
        if (flight->inode == inode && !flight->sync && index >= first &&
            index - first < flight->sectors && !flight->landed[index - first])
            candidate_add(candidates, &count, flight->content[index - first]);
    }
    bool written = cell->written;
    struct sim_sector *left;
    if (count > 1 && chooser->tears && choose(chooser, 4) == 0)
        left = sector_torn(candidates, count, chooser);
    else
        left = sim_sector_share(candidates[choose(chooser, count)]);
    sim_cell_settle(cell, left);
    cell->written = written;
    cell->batch = false;
}

static void inode_cut(struct simdisk *cut, int index, struct chooser *chooser) {
    struct sim_inode *inode = cut->inodes[index];
    if (inode->size != inode->stable_size && choose(chooser, 2) == 0)
        inode->size = inode->stable_size;
    inode->stable_size = inode->size;
    inode->foreign = true;
    for (size_t i = 0; i < inode->cell_count; i++) {
        /* Behind the end there is nothing to choose from. */
        if ((uint64_t)i * SIM_SECTOR < inode->size)
            cell_cut(cut, index, i, chooser);
        else
            sim_cell_settle(&inode->cells[i], NULL);
    }
}

static void flights_clear(struct simdisk *sim) {
    while (sim->flight_count > 0)
        sim_flight_free(sim->flights[--sim->flight_count]);
}

static void everything_lose(struct simdisk *cut) {
    cut->now.count = cut->stable.count = cut->pending_count = 0;
    cut->made = false;
    flights_clear(cut);
}

struct simdisk *simdisk_power_cut(const struct simdisk *sim,
                                  struct chooser *chooser) {
    struct simdisk *cut = simdisk_clone(sim);
    if (cut->made != cut->made_stable && choose(chooser, 2) == 0) {
        everything_lose(cut);
        return cut;
    }
    cut->made_stable = cut->made;
    directory_cut(cut, chooser);
    for (int i = 0; i < cut->now.count; i++)
        inode_cut(cut, cut->now.entries[i].inode, chooser);
    flights_clear(cut);
    return cut;
}

/* ---- a kill ---- */

struct simdisk *simdisk_kill(const struct simdisk *sim) {
    struct simdisk *killed = simdisk_clone(sim);
    for (int i = 0; i < killed->flight_count; i++)
        for (uint32_t at = 0; at < killed->flights[i]->sectors; at++)
            sim_flight_land(killed, killed->flights[i], at);
    flights_clear(killed);
    for (int i = 0; i < SIM_INODES_MAX; i++) {
        struct sim_inode *inode = killed->inodes[i];
        if (inode == NULL)
            continue;
        inode->foreign = true;
        for (size_t at = 0; at < inode->cell_count; at++)
            inode->cells[at].batch = false;
    }
    return killed;
}

bool simdisk_unsynced(const struct simdisk *sim) {
    if (sim->pending_count > 0 || sim->flight_count > 0 ||
        sim->made != sim->made_stable)
        return true;
    for (int i = 0; i < sim->now.count; i++) {
        const struct sim_inode *inode = sim->inodes[sim->now.entries[i].inode];
        if (inode->size != inode->stable_size)
            return true;
        for (size_t at = 0; at < inode->cell_count; at++)
            if (inode->cells[at].newest != NULL)
                return true;
    }
    return false;
}
