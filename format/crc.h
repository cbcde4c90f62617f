/* SPDX-License-Identifier: MIT */
/*
 * CRC-32 as zlib computes it (SPEC 3.2): polynomial 0x04C11DB7 reflected,
 * initial value and final xor 0xFFFFFFFF, check value CBF43926. Which library
 * computes it is decided here and nowhere else; all give the same values.
 */
#ifndef DWAL_FORMAT_CRC_H
#define DWAL_FORMAT_CRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Continues @crc (0 to begin) over @size bytes. Any thread. */
uint32_t dwal__crc32(uint32_t crc, const void *data, size_t size);

/* "ISA-L", "libdeflate" or "zlib". */
const char *dwal__crc32_library(void);

/* The known answers of SPEC 3.2; false means that the library is broken. */
bool dwal__crc32_self_test(void);

#endif
