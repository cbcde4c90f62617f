/* SPDX-License-Identifier: MIT */
#include "crc.h"

#if defined(DWAL_HAVE_ISAL)
#include <isa-l/crc.h>
#elif defined(DWAL_HAVE_LIBDEFLATE)
#include <libdeflate.h>
#else
#include <zlib.h>
#endif

uint32_t dwal__crc32(uint32_t crc, const void *data, size_t size) {
#if defined(DWAL_HAVE_ISAL)
    return crc32_gzip_refl(crc, data, size);
#elif defined(DWAL_HAVE_LIBDEFLATE)
    return libdeflate_crc32(crc, data, size);
#else
    return (uint32_t)crc32_z(crc, data, size);
#endif
}

const char *dwal__crc32_library(void) {
#if defined(DWAL_HAVE_ISAL)
    return "ISA-L";
#elif defined(DWAL_HAVE_LIBDEFLATE)
    return "libdeflate";
#else
    return "zlib";
#endif
}

bool dwal__crc32_self_test(void) {
    uint8_t ramp[300];
    for (size_t i = 0; i < sizeof ramp; i++)
        ramp[i] = (uint8_t)i;
    uint32_t split = dwal__crc32(dwal__crc32(0, ramp, 37), ramp + 37, 263);
    return dwal__crc32(0, "123456789", 9) == 0xCBF43926u &&
           dwal__crc32(0, ramp, 256) == 0x29058C73u &&
           split == dwal__crc32(0, ramp, 300);
}
