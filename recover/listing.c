/* SPDX-License-Identifier: MIT */
/*
 * Reading a directory. The invariant: numbers are compared as numbers, never as
 * text, and a listing of the same files is the same whatever order the
 * filesystem tells them in.
 */
#include "listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../format/segment.h"

/* What the functions below return to the disk's listing: 0, or this. It must
 * not look like an errno, which the disk itself may return. */
#define NO_MEMORY 1

/* Room for one more of @size bytes in *@array, a pointer to a pointer. */
static int array_grow(void *array, size_t *room, size_t count, size_t size) {
    if (count < *room)
        return 0;
    void *old;
    memcpy(&old, array, sizeof old);
    size_t more = *room == 0 ? 16 : 2 * *room;
    void *grown = realloc(old, more * size);
    if (grown == NULL)
        return NO_MEMORY;
    memcpy(array, &grown, sizeof grown);
    *room = more;
    return 0;
}

static int number_add(uint64_t **numbers, size_t *count, size_t *room,
                      uint64_t number) {
    int result = array_grow(numbers, room, *count, sizeof **numbers);
    if (result == 0)
        (*numbers)[(*count)++] = number;
    return result;
}

static int name_add(char ***names, size_t *count, size_t *room,
                    const char *name) {
    int result = array_grow(names, room, *count, sizeof **names);
    if (result != 0)
        return result;
    (*names)[*count] = strdup(name);
    if ((*names)[*count] == NULL)
        return NO_MEMORY;
    ++*count;
    return 0;
}

static int entry_take(void *argument, const char *name) {
    struct dwal__listing *l = argument;
    uint64_t number;
    switch (dwal__name_parse(name, &number)) {
    case DWAL__NAME_LOCK:
        l->lock = true;
        return 0;
    case DWAL__NAME_SEGMENT:
        return number_add(&l->segments, &l->segment_count, &l->segment_room,
                          number);
    case DWAL__NAME_SPARE:
        return number_add(&l->spares, &l->spare_count, &l->spare_room, number);
    case DWAL__NAME_BAD:
        return name_add(&l->bad_names, &l->bad_count, &l->bad_room, name);
    case DWAL__NAME_OTHER:
        break;
    }
    return name_add(&l->other_names, &l->other_count, &l->other_room, name);
}

static int number_order(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int name_order(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A name may be listed twice while files are renamed. */
static void numbers_sort(uint64_t *numbers, size_t *count) {
    if (*count == 0)
        return;
    qsort(numbers, *count, sizeof *numbers, number_order);
    size_t kept = 1;
    for (size_t i = 1; i < *count; i++)
        if (numbers[i] != numbers[kept - 1])
            numbers[kept++] = numbers[i];
    *count = kept;
}

static void names_sort(char **names, size_t *count) {
    if (*count == 0)
        return;
    qsort(names, *count, sizeof *names, name_order);
    size_t kept = 1;
    for (size_t i = 1; i < *count; i++)
        if (strcmp(names[i], names[kept - 1]) != 0)
            names[kept++] = names[i];
        else
            free(names[i]);
    *count = kept;
}

int dwal__listing_read(struct dwal__listing *listing, struct dwal__disk *disk,
                       int dir) {
    memset(listing, 0, sizeof *listing);
    int result = disk->ops->dir_list(disk, dir, entry_take, listing);
    if (result != 0)
        return result == NO_MEMORY ? -ENOMEM : result;
    numbers_sort(listing->segments, &listing->segment_count);
    numbers_sort(listing->spares, &listing->spare_count);
    names_sort(listing->bad_names, &listing->bad_count);
    names_sort(listing->other_names, &listing->other_count);
    return 0;
}

static void names_release(char **names, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

void dwal__listing_release(struct dwal__listing *listing) {
    free(listing->segments);
    free(listing->spares);
    names_release(listing->bad_names, listing->bad_count);
    names_release(listing->other_names, listing->other_count);
    memset(listing, 0, sizeof *listing);
}
