/* SPDX-License-Identifier: MIT */
/*
 * What it costs a device to make one small write durable: what the kernel says
 * of its cache, and a measurement of both ways, in turns. The only file besides
 * disk.c here that makes system calls.
 */
#include "disk_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Turns of both ways, but no more once so much time is spent. */
#define ROUNDS 9
#define BUDGET_NS 20000000

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- what the kernel says ---- */

/* One line of the device's queue folder; a partition has none of its own. */
static bool queue_line(dev_t device, const char *name, char *text, int size) {
    static const char *const places[] = {"queue", "../queue"};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s/%s", major(device),
                 minor(device), places[i], name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0)
            continue;
        ssize_t got = read(file, text, (size_t)size - 1);
        close(file);
        text[got < 0 ? 0 : got] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return got > 0;
    }
    return false;
}

static void facts_look(int file, struct dwal__sync_cost *cost) {
    struct stat status;
    char text[32];
    if (fstat(file, &status) != 0)
        return;
    if (queue_line(status.st_dev, "write_cache", text, sizeof text))
        cost->volatile_cache = strcmp(text, "write back") == 0;
    if (queue_line(status.st_dev, "fua", text, sizeof text))
        cost->fua = strcmp(text, "1") == 0;
}

/* ---- measuring ---- */

/* 0, or -errno; anything but a whole write is an error. */
static int write_once(int file, const void *bytes, size_t size, uint64_t offset,
                      int flags) {
    struct iovec piece = {(void *)bytes, size};
    ssize_t written;
    do
        written = pwritev2(file, &piece, 1, (off_t)offset, flags);
    while (written < 0 && errno == EINTR);
    if (written == (ssize_t)size)
        return 0;
    return written < 0 ? -errno : -EIO;
}

static int dsync_once(int file, const void *bytes, size_t size,
                      uint64_t offset) {
    return write_once(file, bytes, size, offset, RWF_DSYNC);
}

static int fdsync_once(int file, const void *bytes, size_t size,
                       uint64_t offset) {
    int failed = write_once(file, bytes, size, offset, 0);
    if (failed == 0 && fdatasync(file) != 0)
        failed = -errno;
    return failed;
}

static int by_size(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int dwal__sync_measure(struct dwal__disk *disk, int handle, const void *bytes,
                       size_t size, uint64_t offset,
                       struct dwal__sync_cost *cost) {
    int64_t took[2][ROUNDS];
    int rounds = 0;
    *cost = (struct dwal__sync_cost){.volatile_cache = -1, .fua = -1};
    if (disk != dwal__disk_kernel())
        return 0;
    facts_look(handle, cost);
    /* The first writes may have to convert an extent. */
    int failed = fdsync_once(handle, bytes, size, offset);
    bool dsync = failed == 0;
    if (dsync &&
        (failed = dsync_once(handle, bytes, size, offset)) == -EOPNOTSUPP) {
        dsync = false; /* before Linux 4.7, or a filesystem without it */
        failed = 0;
    }
    int64_t begin = now_ns();
    while (failed == 0 && rounds < ROUNDS &&
           (rounds == 0 || now_ns() - begin < BUDGET_NS)) {
        int64_t at = now_ns();
        if (dsync)
            failed = dsync_once(handle, bytes, size, offset);
        int64_t middle = now_ns();
        if (failed == 0)
            failed = fdsync_once(handle, bytes, size, offset);
        took[0][rounds] = dsync ? middle - at : INT64_MAX;
        took[1][rounds] = now_ns() - middle;
        rounds++;
    }
    if (failed < 0)
        return failed;
    for (int i = 0; i < 2; i++)
        qsort(took[i], (size_t)rounds, sizeof took[i][0], by_size);
    cost->dsync_ns = took[0][rounds / 2];
    cost->fdsync_ns = took[1][rounds / 2];
    return 0;
}
