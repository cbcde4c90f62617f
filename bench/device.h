/* SPDX-License-Identifier: MIT */
/*
 * What a measurement ran on: the filesystem and the disk below it, as the
 * kernel describes them.
 */
#ifndef DWAL_BENCH_DEVICE_H
#define DWAL_BENCH_DEVICE_H

#include <stdint.h>

#include "../fsck/json.h"

struct dwal__device {
    char filesystem[32]; /* "" where it is not known; so below */
    char disk[64];       /* the block device's name */
    /* For O_DIRECT, by statx; 0: the filesystem does not say. */
    uint32_t offset_alignment;
    uint32_t memory_alignment;
    char write_cache[32]; /* "write back" or "write through" */
    int fua;              /* 1, 0, or -1: not known; so below */
    int rotational;
    int logical_block;
    int physical_block;
    char kernel[96];
    int cpus;
};

/* Looks at the filesystem of folder @path, which gets a file for a moment. */
void dwal__device_look(struct dwal__device *device, const char *path);

/* A line of text, and a member "device". */
void dwal__device_print(const struct dwal__device *device);
void dwal__device_json(const struct dwal__device *device,
                       struct dwal__json *json);

#endif
