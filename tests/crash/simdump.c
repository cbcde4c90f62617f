/* SPDX-License-Identifier: MIT */
/*
 * For people: a simulated disk as real files, so that walfsck and waldump can
 * look at it, and the trace of a run.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simdisk.h"

static bool file_dump(const struct sim_inode *inode, int dir,
                      const char *name) {
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    uint8_t *bytes = malloc((size_t)inode->size + 1);
    bool done = false;
    if (fd >= 0 && bytes != NULL) {
        simdisk_read_file(inode, bytes);
        done = write(fd, bytes, (size_t)inode->size) == (ssize_t)inode->size;
    }
    free(bytes);
    if (fd >= 0)
        done &= close(fd) == 0;
    return done;
}

bool simdisk_dump(const struct simdisk *sim, const char *path) {
    if (mkdir(path, 0777) != 0)
        return false;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = dir >= 0;
    for (int i = 0; i < sim->now.count && done; i++)
        done = file_dump(sim->inodes[sim->now.entries[i].inode], dir,
                         sim->now.entries[i].name);
    if (dir >= 0)
        close(dir);
    return done;
}

static const char *operation_name(enum sim_operation operation) {
    static const char *const names[SIM_OPERATION_COUNT] = {
        [SIM_DIR_MAKE] = "mkdir",
        [SIM_DIR_OPEN] = "opendir",
        [SIM_DIR_LIST] = "list",
        [SIM_DIR_SYNC] = "dirsync",
        [SIM_RENAME] = "rename",
        [SIM_UNLINK] = "unlink",
        [SIM_OPEN] = "open",
        [SIM_SIZE] = "size",
        [SIM_ALIGNMENT] = "alignment",
        [SIM_READ] = "read",
        [SIM_WRITE] = "write",
        [SIM_ALLOCATE] = "allocate",
        [SIM_WRITTEN_UNTIL] = "hole",
        [SIM_SYNC] = "sync",
        [SIM_LOCK] = "lock",
        [SIM_SETUP] = "aio setup",
        [SIM_SUBMIT_WRITE] = "aio write",
        [SIM_SUBMIT_SYNC] = "aio sync",
        [SIM_REAP] = "aio reap",
    };
    return names[operation];
}

void simdisk_trace_print(const struct simdisk *sim, uint64_t until,
                         unsigned count) {
    if (sim->trace == NULL)
        return;
    uint64_t from = until > count ? until - count : 0;
    for (uint64_t i = from; i < until && i < sim->operations; i++) {
        const struct sim_trace *trace = &sim->trace[i];
        char result[32] = "under way";
        if (trace->result != INT64_MIN)
            snprintf(result, sizeof result, "%" PRId64, trace->result);
        fprintf(stderr,
                "  %6" PRIu64 " %10.3f us %-9s %-9s %-24s %8" PRIu64
                " +%-7" PRIu64 " = %s\n",
                i, (double)trace->time_ns / 1e3, trace->who,
                operation_name(trace->operation), trace->name, trace->offset,
                trace->size, result);
    }
}
