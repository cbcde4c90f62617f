/* SPDX-License-Identifier: MIT */
/*
 * The node's directory: "log", "snapshots", and the guard, a file in the place
 * where libraft's own backend has its term and which it refuses to read.
 *
 * Invariant: a directory with the guard has a log. So one that lost its log is
 * told from a new one, and neither backend ever starts as an empty node on what
 * the other has written.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GUARD_NEW "guard.new"

static int failed(struct dwal_raft__store *store, const char *what) {
    int code = errno == ENOENT                       ? RAFT_NOTFOUND
               : errno == ENOTDIR || errno == EACCES ? RAFT_INVALID
               : errno == ENOSPC || errno == EDQUOT  ? RAFT_NOSPACE
               : errno == ENOMEM                     ? RAFT_NOMEM
                                                     : RAFT_IOERR;
    return dwal_raft__problem_tell(store->io, code, "directory %s: %s: %s",
                                   store->dir, what, strerror(errno));
}

static int directory_open(struct dwal_raft__store *store, int *handle) {
    *handle = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *handle >= 0 ? 0 : failed(store, "open");
}

/* Names that only libraft's own backend gives here: open-…, <first>-<last>,
 * snapshot-…, metadata2. */
static bool name_is_foreign(const char *name) {
    static const char digits[] = "0123456789";
    size_t first = strspn(name, digits);
    return strncmp(name, "open-", 5) == 0 ||
           strncmp(name, "snapshot-", 9) == 0 ||
           strcmp(name, "metadata2") == 0 ||
           (first > 0 && name[first] == '-' &&
            strspn(name + first + 1, digits) > 0);
}

static int foreign_refuse(struct dwal_raft__store *store) {
    int handle;
    int rv = directory_open(store, &handle);
    if (rv != 0)
        return rv;
    DIR *listing = fdopendir(handle);
    if (listing == NULL) {
        rv = failed(store, "list");
        close(handle);
        return rv;
    }
    const struct dirent *entry;
    while (rv == 0 && (errno = 0, entry = readdir(listing)) != NULL)
        if (name_is_foreign(entry->d_name))
            rv = dwal_raft__problem_tell(
                store->io, RAFT_INVALID,
                "directory %s: %s was written by libraft's own backend, and is "
                "not read here; join anew with an empty directory",
                store->dir, entry->d_name);
    if (rv == 0 && errno != 0)
        rv = failed(store, "list");
    closedir(listing);
    return rv;
}

/* Whether the guard is there; some other file in its place is refused. */
static int guard_look(struct dwal_raft__store *store, int directory,
                      bool *there) {
    uint8_t bytes[DWAL_RAFT__GUARD_SIZE + 1];
    int file = openat(directory, DWAL_RAFT__GUARD_NAME, O_RDONLY | O_CLOEXEC);
    *there = file >= 0;
    if (file < 0)
        return errno == ENOENT ? 0 : failed(store, DWAL_RAFT__GUARD_NAME);
    ssize_t got = read(file, bytes, sizeof bytes);
    close(file);
    if (got == DWAL_RAFT__GUARD_SIZE &&
        memcmp(bytes, dwal_raft__guard, DWAL_RAFT__GUARD_SIZE) == 0)
        return 0;
    return dwal_raft__problem_tell(
        store->io, RAFT_INVALID,
        "directory %s: %s is not of libdwal-raft, or of a newer one; join anew "
        "with an empty directory",
        store->dir, DWAL_RAFT__GUARD_NAME);
}

int dwal_raft__directory_prepare(struct dwal_raft__store *store, bool *is_new) {
    int handle;
    bool sealed = false;
    int rv = foreign_refuse(store);
    if (rv != 0)
        return rv;
    rv = directory_open(store, &handle);
    if (rv != 0)
        return rv;
    rv = guard_look(store, handle, &sealed);
    if (rv == 0 && mkdirat(handle, "snapshots", 0777) != 0 && errno != EEXIST)
        rv = failed(store, "make snapshots");
    if (rv == 0 && fsync(handle) != 0)
        rv = failed(store, "sync");
    close(handle);
    *is_new = !sealed;
    return rv;
}

/* The guard under another name, durable but for that. */
static bool guard_write(int directory) {
    int file = openat(directory, GUARD_NEW,
                      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0)
        return false;
    ssize_t done = write(file, dwal_raft__guard, DWAL_RAFT__GUARD_SIZE);
    if (done >= 0 && done != DWAL_RAFT__GUARD_SIZE)
        errno = ENOSPC;
    bool written = done == DWAL_RAFT__GUARD_SIZE && fsync(file) == 0;
    int error = errno;
    close(file);
    errno = error;
    return written;
}

int dwal_raft__directory_seal(struct dwal_raft__store *store) {
    int handle;
    int rv = directory_open(store, &handle);
    if (rv != 0)
        return rv;
    if (!guard_write(handle) ||
        renameat(handle, GUARD_NEW, handle, DWAL_RAFT__GUARD_NAME) != 0 ||
        fsync(handle) != 0)
        rv = failed(store, "write " DWAL_RAFT__GUARD_NAME);
    close(handle);
    return rv;
}
