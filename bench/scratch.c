/* SPDX-License-Identifier: MIT */
/*
 * Folders for a while. Removing never follows a symbolic link and never leaves
 * the filesystem.
 */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../fsck/cli.h"

bool dwal__scratch_make(const char *parent, char path[PATH_MAX]) {
    int size = snprintf(path, PATH_MAX, "%s/walbench-XXXXXX", parent);
    /* Room for the names of files in it. */
    if (size < 0 || size >= PATH_MAX - 128) {
        dwal__cli_error("%s: the path is too long", parent);
        return false;
    }
    if (mkdtemp(path) == NULL) {
        dwal__cli_error("%s: cannot make a folder in it: %s", parent,
                        strerror(errno));
        return false;
    }
    return true;
}

static int entry_remove(const char *path, const struct stat *stat, int type,
                        struct FTW *place) {
    (void)stat;
    (void)type;
    (void)place;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

bool dwal__scratch_remove(const char *path) {
    if (nftw(path, entry_remove, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 ||
        errno == ENOENT)
        return true;
    dwal__cli_error("%s: cannot remove it: %s", path, strerror(errno));
    return false;
}

static int entry_uncache(const char *path, const struct stat *stat, int type,
                         struct FTW *place) {
    (void)stat;
    (void)place;
    if (type != FTW_F)
        return 0;
    int handle = open(path, O_RDONLY | O_CLOEXEC);
    if (handle >= 0) {
        posix_fadvise(handle, 0, 0, POSIX_FADV_DONTNEED);
        close(handle);
    }
    return 0;
}

void dwal__scratch_uncache(const char *path) {
    nftw(path, entry_uncache, 16, FTW_PHYS | FTW_MOUNT);
}
