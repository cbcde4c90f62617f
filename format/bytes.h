/* SPDX-License-Identifier: MIT */
/*
 * Little-endian loads and stores (SPEC 3), and the two alignments the format
 * uses. Compilers turn each into a single move.
 */
#ifndef DWAL_FORMAT_BYTES_H
#define DWAL_FORMAT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t dwal__get16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t dwal__get32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline uint64_t dwal__get64(const uint8_t *p) {
    return (uint64_t)dwal__get32(p) | (uint64_t)dwal__get32(p + 4) << 32;
}

static inline void dwal__put16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void dwal__put32(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}

static inline void dwal__put64(uint8_t *p, uint64_t value) {
    dwal__put32(p, (uint32_t)value);
    dwal__put32(p + 4, (uint32_t)(value >> 32));
}

/* @size rounded up to a multiple of @alignment, a power of two. The caller
 * knows that @size is far below 2^64. */
static inline uint64_t dwal__align_up(uint64_t size, uint64_t alignment) {
    return (size + alignment - 1) & ~(alignment - 1);
}

static inline bool dwal__is_power_of_two(uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* The index of the first byte of @bytes that is not zero, or @size. */
size_t dwal__zero_run(const uint8_t *bytes, size_t size);

#endif
