/* SPDX-License-Identifier: MIT */
/* Makes the loop device and the mount point, mounts and unmounts. */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOP_TRIES 64

/* Somebody else may take the device that was free a moment ago. */
static int loop_make(struct stage *stage, uint32_t sector_size) {
    struct loop_config config = {.fd = (uint32_t)stage->target.fd,
                                 .block_size = sector_size,
                                 .info.lo_flags = LO_FLAGS_AUTOCLEAR};
    memcpy(config.info.lo_file_name, "dwal-realfs", sizeof "dwal-realfs");
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return -errno;
    int error = EBUSY;
    for (int i = 0; i < LOOP_TRIES && error == EBUSY; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        snprintf(stage->device, sizeof stage->device, "/dev/loop%d", number);
        stage->loop = open(stage->device, O_RDWR | O_CLOEXEC);
        error = stage->loop < 0 ? errno : 0;
        if (error == 0 && ioctl(stage->loop, LOOP_CONFIGURE, &config) != 0) {
            error = errno;
            close(stage->loop);
        }
    }
    close(control);
    return -error;
}

static int memory_make(struct stage *stage) {
    stage->target.fd = memfd_create("dwal-realfs", MFD_CLOEXEC);
    if (stage->target.fd < 0 ||
        ftruncate(stage->target.fd, (off_t)stage->size) != 0)
        return -errno;
    stage->target.bytes = mmap(NULL, stage->size, PROT_READ | PROT_WRITE,
                               MAP_SHARED, stage->target.fd, 0);
    return stage->target.bytes == MAP_FAILED ? -errno : 0;
}

/* On a tmpfs over /mnt that only this process sees, so nothing is left over,
 * not even a directory. */
static int mountpoint_make(struct stage *stage) {
    snprintf(stage->mountpoint, sizeof stage->mountpoint, "/mnt/state");
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("dwal-realfs", "/mnt", "tmpfs", 0, "size=1m") != 0 ||
        mkdir(stage->mountpoint, 0755) != 0)
        return -errno;
    return 0;
}

int stage_make(struct stage *stage, const char *filesystem, uint64_t size,
               uint32_t sector_size, const char **step) {
    *stage = (struct stage){.filesystem = filesystem, .size = size, .loop = -1};
    *step = "a mount namespace";
    int result = mountpoint_make(stage);
    if (result == 0) {
        *step = "memory for the image";
        result = memory_make(stage);
    }
    if (result == 0) {
        *step = "a loop device";
        result = loop_make(stage, sector_size);
    }
    return result;
}

void stage_free(struct stage *stage) {
    close(stage->loop);
    munmap(stage->target.bytes, stage->size);
    close(stage->target.fd);
}

int stage_mount(const struct stage *stage) {
    /* What the device's own cache holds is of another state. */
    if (ioctl(stage->loop, BLKFLSBUF, 0) != 0)
        return -errno;
    const char *options = "";
    if (strcmp(stage->filesystem, "xfs") == 0)
        options = "nouuid"; /* other processes have images of the same name */
    return mount(stage->device, stage->mountpoint, stage->filesystem, 0,
                 options) == 0
               ? 0
               : -errno;
}

int stage_unmount(const struct stage *stage) {
    return umount2(stage->mountpoint, 0) == 0 ? 0 : -errno;
}
