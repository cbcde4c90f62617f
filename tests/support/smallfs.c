/* SPDX-License-Identifier: MIT */
/*
 * mkfs and mount by their commands, since mount(8) knows how to get a loop
 * device that goes away by itself. The image has no name once it is mounted.
 */
#include "smallfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static bool skip(const char *why) {
    printf("skipped: %s: %s\n", why, strerror(errno));
    return false;
}

static bool namespace_enter(void) {
    static bool entered;
    if (entered)
        return true;
    if (geteuid() != 0) {
        errno = EPERM;
        return skip("mounting needs root");
    }
    if (unshare(CLONE_NEWNS) == -1)
        return skip("a mount namespace");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
        return skip("private mounts");
    entered = true;
    return true;
}

static bool ext4_mount(unsigned mib, const char *path) {
    char command[16384], image[4200];
    const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(image, sizeof image, "%s/dwal-image-%d", memory, (int)getpid());
    snprintf(command, sizeof command,
             "truncate -s %uM %s && mkfs.ext4 -q -F %s && mount -o loop %s %s",
             mib, image, image, image, path);
    int status = system(command);
    unlink(image);
    if (status == 0)
        return true;
    errno = ENOTSUP;
    return skip("mkfs.ext4 or a loop device");
}

bool smallfs_mount(enum smallfs_kind kind, unsigned mib, char *path) {
    if (!namespace_enter())
        return false;
    const char *base = getenv("TMPDIR");
    snprintf(path, 4096, "%s/dwal-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL)
        return skip("a directory to mount on");
    char options[64];
    snprintf(options, sizeof options, "size=%um", mib);
    if (kind == SMALLFS_EXT4 && ext4_mount(mib, path))
        return true;
    if (kind == SMALLFS_TMPFS) {
        if (mount("dwal-test", path, "tmpfs", 0, options) == 0)
            return true;
        skip("a tmpfs");
    }
    rmdir(path);
    return false;
}

void smallfs_unmount(const char *path) {
    /* Lazily: a thread that was left may still be on its way out of it. */
    umount2(path, MNT_DETACH);
    rmdir(path);
}

void smallfs_fill(const char *path, uint64_t bytes) {
    static char zeros[65536];
    char name[4200];
    snprintf(name, sizeof name, "%s/ballast", path);
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    for (size_t size = sizeof zeros; size > 0 && bytes > 0;) {
        ssize_t written = write(fd, zeros, size < bytes ? size : bytes);
        if (written > 0)
            bytes -= (uint64_t)written;
        else if (errno != EINTR)
            size /= 2;
    }
    fsync(fd);
    close(fd);
}

void smallfs_unfill(const char *path) {
    char name[4200];
    snprintf(name, sizeof name, "%s/ballast", path);
    unlink(name);
    sync(); /* ext4 gives blocks back when the journal commits */
}

/* ---- freezing ---- */

static pid_t watchdog;
static int watchdog_pipe;

/* Thaws when the pipe closes, or after a time. */
static void watchdog_main(int directory, int pipe_read, unsigned seconds_max) {
    struct pollfd ended = {.fd = pipe_read, .events = POLLIN};
    prctl(PR_SET_NAME, "thaw");
    poll(&ended, 1, (int)seconds_max * 1000);
    _exit(ioctl(directory, FITHAW, 0) == 0 ? 0 : 1);
}

bool smallfs_freeze(const char *path, unsigned seconds_max) {
    int pipes[2];
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory == -1 || pipe2(pipes, O_CLOEXEC) == -1)
        return skip("the watchdog");
    watchdog = fork();
    if (watchdog == 0) {
        close(pipes[1]);
        watchdog_main(directory, pipes[0], seconds_max);
    }
    close(pipes[0]);
    watchdog_pipe = pipes[1];
    bool frozen = watchdog > 0 && ioctl(directory, FIFREEZE, 0) == 0;
    close(directory);
    if (frozen)
        return true;
    skip("FIFREEZE");
    smallfs_thaw();
    return false;
}

void smallfs_thaw(void) {
    close(watchdog_pipe);
    while (watchdog > 0 && waitpid(watchdog, NULL, 0) == -1 && errno == EINTR)
        ;
    watchdog = 0;
}
