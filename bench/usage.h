/* SPDX-License-Identifier: MIT */
/*
 * What the process has used up so far: CPU time, context switches, and bytes
 * that it caused to be written to disks. The difference of two looks is what a
 * measurement cost, the benchmark's own threads included.
 */
#ifndef DWAL_BENCH_USAGE_H
#define DWAL_BENCH_USAGE_H

#include <stdbool.h>
#include <stdint.h>

struct dwal__usage {
    double user_us;
    double system_us;
    uint64_t voluntary;   /* context switches: it waited */
    uint64_t involuntary; /* it was preempted */
    /* As the kernel accounts them, for writes through the page cache when they
     * are dirtied. Not known (false) without CONFIG_TASK_IO_ACCOUNTING, and 0
     * on filesystems without a disk. */
    bool written_known;
    uint64_t written_bytes;
    bool read_calls_known;
    uint64_t read_calls; /* system calls that read, by those that wait for it */
    uint64_t memory_bytes; /* resident, the most so far */
};

void dwal__usage_look(struct dwal__usage *usage);

/* @usage becomes what came since @before; memory_bytes stays. */
void dwal__usage_since(struct dwal__usage *usage,
                       const struct dwal__usage *before);

/* Adds what a part used up; memory_bytes becomes the larger one. */
void dwal__usage_add(struct dwal__usage *usage, const struct dwal__usage *part);

/* CLOCK_MONOTONIC. */
int64_t dwal__bench_now_ns(void);

#endif
