/* SPDX-License-Identifier: MIT */
/*
 * The table grows with the number of different keys, each of which stands in a
 * record that was read; half of its slots stay free.
 */
#include "dump_tally.h"

#include <stdlib.h>

#define CAPACITY_MIN 64u

/* The slot of @key, or the free one where it belongs. Multiplying by an odd
 * constant spreads keys that differ in any bit over the high bits. */
static struct dwal__tally *slot_find(struct dwal__tally *slots, size_t capacity,
                                     uint32_t key) {
    uint64_t hash = (uint64_t)key * UINT64_C(0x9E3779B97F4A7C15);
    size_t index = (size_t)(hash >> 32) & (capacity - 1);
    while (slots[index].count != 0 && slots[index].key != key)
        index = (index + 1) & (capacity - 1);
    return &slots[index];
}

static bool tallies_grow(struct dwal__tallies *tallies) {
    size_t capacity =
        tallies->capacity > 0 ? 2 * tallies->capacity : CAPACITY_MIN;
    struct dwal__tally *slots = calloc(capacity, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < tallies->capacity; i++) {
        const struct dwal__tally *old = &tallies->slots[i];
        if (old->count != 0)
            *slot_find(slots, capacity, old->key) = *old;
    }
    free(tallies->slots);
    tallies->slots = slots;
    tallies->capacity = capacity;
    return true;
}

bool dwal__tallies_add(struct dwal__tallies *tallies, uint32_t key,
                       uint64_t size) {
    if (tallies->used >= tallies->capacity / 2 && !tallies_grow(tallies))
        return false;
    struct dwal__tally *slot =
        slot_find(tallies->slots, tallies->capacity, key);
    if (slot->count == 0) {
        slot->key = key;
        tallies->used++;
    }
    slot->count++;
    slot->bytes += size;
    return true;
}

static int key_compare(const void *a, const void *b) {
    const struct dwal__tally *left = a, *right = b;
    return left->key < right->key ? -1 : left->key > right->key;
}

static int bytes_compare(const void *a, const void *b) {
    const struct dwal__tally *left = a, *right = b;
    if (left->bytes != right->bytes)
        return left->bytes < right->bytes ? 1 : -1;
    return key_compare(a, b);
}

void dwal__tallies_sort(struct dwal__tallies *tallies, bool by_bytes) {
    size_t kept = 0;
    for (size_t i = 0; i < tallies->capacity; i++)
        if (tallies->slots[i].count != 0)
            tallies->slots[kept++] = tallies->slots[i];
    tallies->capacity = kept;
    if (kept > 0)
        qsort(tallies->slots, kept, sizeof tallies->slots[0],
              by_bytes ? bytes_compare : key_compare);
}

void dwal__tallies_release(struct dwal__tallies *tallies) {
    free(tallies->slots);
    *tallies = (struct dwal__tallies){0};
}

void dwal__sizes_add(struct dwal__sizes *sizes, uint64_t value) {
    unsigned bucket = value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
    sizes->counts[bucket]++;
}

uint64_t dwal__sizes_from(unsigned bucket) {
    return bucket == 0 ? 0 : UINT64_C(1) << (bucket - 1);
}

uint64_t dwal__sizes_to(unsigned bucket) {
    return bucket == 0 ? 0 : UINT64_MAX >> (64 - bucket);
}
