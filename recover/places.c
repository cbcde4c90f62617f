/* SPDX-License-Identifier: MIT */
/*
 * The index: a list of segments by number, and for each a list of entries by
 * offset, hence by LSN. Invariants: in a list, neighbours are at least the
 * spacing apart, and LSNs never fall; there are DWAL__PLACES_MAX entries at
 * most. An entry that contradicts its neighbours is not taken.
 */
#include "places.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct list {
    uint64_t number; /* of the segment */
    struct dwal__places_entry *entries;
    size_t count;
    size_t capacity;
};

struct dwal__places {
    struct list *lists;
    size_t count;
    size_t capacity;
    size_t entries; /* in all lists */
    uint64_t spacing;
};

struct dwal__places *dwal__places_new(void) {
    struct dwal__places *places = calloc(1, sizeof *places);
    if (places != NULL)
        places->spacing = DWAL__PLACES_SPACING;
    return places;
}

void dwal__places_free(struct dwal__places *places) {
    if (places == NULL)
        return;
    for (size_t i = 0; i < places->count; i++)
        free(places->lists[i].entries);
    free(places->lists);
    free(places);
}

size_t dwal__places_count(const struct dwal__places *places) {
    return places->entries;
}

uint64_t dwal__places_spacing(const struct dwal__places *places) {
    return places->spacing;
}

/* ---- entries ---- */

static_assert(DWAL__SEGMENT_SIZE_MAX / DWAL__BLOCK_SIZE_MIN <= UINT32_MAX,
              "an offset in blocks fits into 32 bits");

struct dwal__places_entry
dwal__places_entry(const struct dwal__batch_header *header) {
    return (struct dwal__places_entry){
        .first_lsn = header->first_lsn,
        .lsn_count = header->lsn_count,
        .blocks = (uint32_t)(header->offset / DWAL__BLOCK_SIZE_MIN)};
}

uint64_t dwal__places_offset(const struct dwal__places_entry *entry) {
    return (uint64_t)entry->blocks * DWAL__BLOCK_SIZE_MIN;
}

/* ---- lists ---- */

/* Makes room for one more behind @count elements of @size bytes. */
static bool array_grow(void **array, size_t *capacity, size_t count,
                       size_t size) {
    if (count < *capacity)
        return true;
    size_t grown = *capacity > 0 ? 2 * *capacity : 4;
    void *moved = realloc(*array, grown * size);
    if (moved == NULL)
        return false;
    *array = moved;
    *capacity = grown;
    return true;
}

/* The index of the first list with at least @number. */
static size_t list_index(const struct dwal__places *places, uint64_t number) {
    size_t low = 0, high = places->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (places->lists[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct list *list_find(const struct dwal__places *places,
                              uint64_t number) {
    size_t index = list_index(places, number);
    bool found = index < places->count && places->lists[index].number == number;
    return found ? &places->lists[index] : NULL;
}

static struct list *list_add(struct dwal__places *places, uint64_t number) {
    void *lists = places->lists;
    if (!array_grow(&lists, &places->capacity, places->count,
                    sizeof places->lists[0]))
        return NULL;
    places->lists = lists;
    size_t index = list_index(places, number);
    struct list *list = &places->lists[index];
    memmove(list + 1, list, (places->count - index) * sizeof *list);
    places->count++;
    *list = (struct list){.number = number};
    return list;
}

/* How many entries begin before @offset. */
static size_t entries_before(const struct list *list, uint64_t offset) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (dwal__places_offset(&list->entries[middle]) < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t distance(const struct dwal__places_entry *low,
                         const struct dwal__places_entry *high) {
    return dwal__places_offset(high) - dwal__places_offset(low);
}

/* ---- the bound ---- */

static void list_thin(struct list *list, uint64_t spacing) {
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 ||
            distance(&list->entries[kept - 1], &list->entries[i]) >= spacing)
            list->entries[kept++] = list->entries[i];
    list->count = kept;
}

/* Leaves about half of the entries; all of them where there are as many
 * segments: then the index is full, and stays so. */
static void places_thin(struct dwal__places *places) {
    if (places->spacing >= DWAL__SEGMENT_SIZE_MAX)
        return;
    places->spacing *= 2;
    places->entries = 0;
    for (size_t i = 0; i < places->count; i++) {
        list_thin(&places->lists[i], places->spacing);
        places->entries += places->lists[i].count;
    }
}

/* ---- the interface ---- */

void dwal__places_learn(struct dwal__places *places, uint64_t number,
                        struct dwal__places_entry entry) {
    struct list *list = list_find(places, number);
    size_t index =
        list != NULL ? entries_before(list, dwal__places_offset(&entry)) : 0;
    if (list != NULL && index > 0) {
        const struct dwal__places_entry *before = &list->entries[index - 1];
        if (distance(before, &entry) < places->spacing ||
            entry.first_lsn < before->first_lsn)
            return;
    }
    if (list != NULL && index < list->count) {
        const struct dwal__places_entry *behind = &list->entries[index];
        if (distance(&entry, behind) < places->spacing ||
            entry.first_lsn > behind->first_lsn)
            return;
    }
    if (places->entries == DWAL__PLACES_MAX) {
        places_thin(places); /* this one comes again */
        return;
    }
    if (list == NULL)
        list = list_add(places, number);
    void *entries = list != NULL ? list->entries : NULL;
    if (list == NULL || !array_grow(&entries, &list->capacity, list->count,
                                    sizeof list->entries[0]))
        return;
    list->entries = entries;
    struct dwal__places_entry *at = &list->entries[index];
    memmove(at + 1, at, (list->count - index) * sizeof *at);
    *at = entry;
    list->count++;
    places->entries++;
}

void dwal__places_find(const struct dwal__places *places, uint64_t number,
                       uint64_t end, uint64_t lsn,
                       struct dwal__places_entry *low,
                       struct dwal__places_entry *high) {
    const struct list *list = list_find(places, number);
    if (list == NULL)
        return;
    size_t count = entries_before(list, end);
    size_t from = 0, until = count;
    while (from < until) {
        size_t middle = from + (until - from) / 2;
        if (list->entries[middle].first_lsn <= lsn)
            from = middle + 1;
        else
            until = middle;
    }
    if (from > 0)
        *low = list->entries[from - 1];
    if (from < count)
        *high = list->entries[from];
}

void dwal__places_keep(struct dwal__places *places,
                       const struct dwal__lineage *lineage) {
    size_t kept = 0;
    for (size_t i = 0; i < places->count; i++) {
        struct list *list = &places->lists[i];
        size_t index = dwal__lineage_by_number(lineage, list->number);
        if (index < lineage->count &&
            lineage->segments[index].header.number == list->number) {
            places->lists[kept++] = *list;
            continue;
        }
        places->entries -= list->count;
        free(list->entries);
    }
    places->count = kept;
    /* A log that was large once: what is learned from now on may be denser. */
    while (places->spacing > DWAL__PLACES_SPACING &&
           places->entries < DWAL__PLACES_MAX / 4)
        places->spacing /= 2;
}
