/* SPDX-License-Identifier: MIT */
/*
 * Where states are mounted: memory under a loop device, in a mount namespace
 * of its own. When the process ends, however it ends, the mount, the device and
 * the memory are gone.
 */
#ifndef DWAL_TESTS_REALFS_STAGE_H
#define DWAL_TESTS_REALFS_STAGE_H

#include "image.h"

struct stage {
    const char *filesystem;
    struct image_target target;
    uint64_t size;
    int loop; /* descriptor of the device; it goes away with the last one */
    char device[32];
    char mountpoint[64];
};

/* 0, or -errno with *@step naming what failed. */
int stage_make(struct stage *stage, const char *filesystem, uint64_t size,
               uint32_t sector_size, const char **step);
void stage_free(struct stage *stage);

/* 0 or -errno. */
int stage_mount(const struct stage *stage);
int stage_unmount(const struct stage *stage);

#endif
