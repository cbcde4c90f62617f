/* SPDX-License-Identifier: MIT */
/*
 * The kernel behind struct dwal__disk_ops: the only file of recover/ that makes
 * system calls. A handle is a file descriptor. Keeps two invariants: what an
 * operation reports is exactly what the kernel did (EINTR and short counts are
 * dealt with here, an error is never taken for the end of a file), and an
 * operation that fails leaves nothing behind.
 */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The value of @call, once it is not interrupted. */
#define RETRY(call)                                                            \
    __extension__({                                                            \
        __typeof__(call) retry_result;                                         \
        do                                                                     \
            retry_result = (call);                                             \
        while (retry_result == -1 && errno == EINTR);                          \
        retry_result;                                                          \
    })

/* 0 or a negative errno for a call that returned @result. */
static int result_of(int result) {
    return result == -1 ? -errno : 0;
}

/* ---- directories ---- */

static int kernel_dir_make(struct dwal__disk *disk, const char *path) {
    (void)disk;
    return result_of(RETRY(mkdir(path, 0777)));
}

static int kernel_dir_open(struct dwal__disk *disk, const char *path) {
    (void)disk;
    int fd = RETRY(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return fd == -1 ? -errno : fd;
}

/* Calls @each for the entries of @stream; readdir tells its errors only by a
 * changed errno. */
static int dir_walk(DIR *stream, int (*each)(void *argument, const char *name),
                    void *argument) {
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (entry == NULL)
            return -errno;
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        int result = each(argument, name);
        if (result != 0)
            return result;
    }
}

/* Through a descriptor of its own: the read position of @dir belongs to whoever
 * shares the handle. */
static int kernel_dir_list(struct dwal__disk *disk, int dir,
                           int (*each)(void *argument, const char *name),
                           void *argument) {
    (void)disk;
    int fd = RETRY(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd == -1)
        return -errno;
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int error = -errno;
        close(fd);
        return error;
    }
    int result = dir_walk(stream, each, argument);
    closedir(stream);
    return result;
}

static int kernel_dir_sync(struct dwal__disk *disk, int dir) {
    (void)disk;
    return result_of(RETRY(fsync(dir)));
}

static int kernel_rename(struct dwal__disk *disk, int dir, const char *from,
                         const char *to) {
    (void)disk;
    return result_of(RETRY(renameat(dir, from, dir, to)));
}

static int kernel_unlink(struct dwal__disk *disk, int dir, const char *name) {
    (void)disk;
    return result_of(RETRY(unlinkat(dir, name, 0)));
}

/* ---- files ---- */

/* A file that exists. O_NONBLOCK lets the open of a FIFO come back, so that it
 * can be refused; on a regular file it means nothing, and is taken off. */
static int file_open(int dir, const char *name, int flags) {
    int mode = (flags & DWAL__OPEN_WRITE) != 0 ? O_RDWR : O_RDONLY;
    int direct = (flags & DWAL__OPEN_DIRECT) != 0 ? O_DIRECT : 0;
    int fd = RETRY(
        openat(dir, name,
               mode | direct | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (fd == -1) /* a socket; a directory, opened for writing */
        return errno == ENXIO || errno == EISDIR ? -EINVAL : -errno;
    int error = 0;
    struct stat status;
    if (fstat(fd, &status) == -1)
        error = -errno;
    else if (!S_ISREG(status.st_mode))
        error = -EINVAL;
    else if (RETRY(fcntl(fd, F_SETFL, direct)) == -1)
        error = -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static int file_create(int dir, const char *name) {
    int fd = RETRY(openat(
        dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (fd == -1)
        return -errno;
    close(fd);
    return 0;
}

/* Created in a step of its own: open(2) may leave a new file behind when it
 * then refuses O_DIRECT, and would not tell. */
static int kernel_open(struct dwal__disk *disk, int dir, const char *name,
                       int flags) {
    (void)disk;
    bool create = (flags & DWAL__OPEN_CREATE) != 0;
    if (create) {
        int error = file_create(dir, name);
        if (error != 0)
            return error;
    }
    int fd = file_open(dir, name, flags);
    if (fd < 0 && create)
        unlinkat(dir, name, 0);
    return fd;
}

/* Linux closes the descriptor even when it says EINTR. */
static int kernel_close(struct dwal__disk *disk, int handle) {
    (void)disk;
    return close(handle) == -1 && errno != EINTR ? -errno : 0;
}

static int kernel_size(struct dwal__disk *disk, int handle, uint64_t *size) {
    (void)disk;
    struct stat status;
    if (fstat(handle, &status) == -1)
        return -errno;
    *size = (uint64_t)status.st_size;
    return 0;
}

static int kernel_identity(struct dwal__disk *disk, int handle,
                           uint64_t *device, uint64_t *inode) {
    (void)disk;
    struct stat status;
    if (fstat(handle, &status) == -1)
        return -errno;
    *device = (uint64_t)status.st_dev;
    *inode = (uint64_t)status.st_ino;
    return 0;
}

static int kernel_alignment(struct dwal__disk *disk, int handle,
                            struct dwal__disk_alignment *alignment) {
    (void)disk;
    struct dwal__disk_alignment guess = {4096, 4096, false};
#ifdef STATX_DIOALIGN
    struct statx status;
    if (RETRY(statx(handle, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status)) == -1)
        return -errno;
    if ((status.stx_mask & STATX_DIOALIGN) != 0)
        guess = (struct dwal__disk_alignment){
            status.stx_dio_mem_align, status.stx_dio_offset_align, true};
#else
    (void)handle;
#endif
    *alignment = guess;
    return 0;
}

/* One pread or pwrite at most this long: the kernel moves no more at once. */
#define MOVE_SIZE_MAX ((size_t)1 << 30)

/* True if @offset is at or behind the end of the file. A short direct read is
 * asked this instead of being continued: at an end that is not aligned the next
 * read would fail, although nothing is wrong. */
static int at_end(int handle, uint64_t offset) {
    struct stat status;
    if (fstat(handle, &status) == -1)
        return -errno;
    return offset >= (uint64_t)status.st_size;
}

static ssize_t kernel_read(struct dwal__disk *disk, int handle, void *bytes,
                           size_t size, uint64_t offset) {
    (void)disk;
    size_t done = 0;
    while (done < size) {
        size_t some = size - done < MOVE_SIZE_MAX ? size - done : MOVE_SIZE_MAX;
        ssize_t moved = RETRY(
            pread(handle, (char *)bytes + done, some, (off_t)(offset + done)));
        if (moved == -1)
            return -errno;
        if (moved == 0)
            break;
        done += (size_t)moved;
        if ((size_t)moved < some) {
            int end = at_end(handle, offset + done);
            if (end < 0)
                return end;
            if (end == 1)
                break;
        }
    }
    return (ssize_t)done;
}

static ssize_t kernel_write(struct dwal__disk *disk, int handle,
                            const void *bytes, size_t size, uint64_t offset) {
    (void)disk;
    size_t done = 0;
    while (done < size) {
        size_t some = size - done < MOVE_SIZE_MAX ? size - done : MOVE_SIZE_MAX;
        ssize_t moved = RETRY(pwrite(handle, (const char *)bytes + done, some,
                                     (off_t)(offset + done)));
        if (moved == 0)
            return -EIO;
        /* Behind a short direct write the rest may be misaligned: EINVAL would
         * then blame the caller. */
        if (moved == -1)
            return errno == EINVAL && done > 0 ? -EIO : -errno;
        done += (size_t)moved;
    }
    return (ssize_t)done;
}

/* A filesystem that cannot allocate: a longer file would be a hole, and a later
 * write into it could find the disk full. */
static int zeros_write(struct dwal__disk *disk, int handle, uint64_t size) {
    static const size_t chunk = 256 << 10;
    void *zeros = dwal__buffer_allocate(chunk, 4096);
    if (zeros == NULL)
        return -ENOMEM;
    memset(zeros, 0, chunk);
    ssize_t moved = 0;
    for (uint64_t at = 0; at < size && moved >= 0; at += chunk)
        moved =
            kernel_write(disk, handle, zeros,
                         size - at < chunk ? (size_t)(size - at) : chunk, at);
    free(zeros);
    return moved < 0 ? (int)moved : 0;
}

static int kernel_allocate(struct dwal__disk *disk, int handle, uint64_t size) {
    int result = RETRY(fallocate(handle, 0, 0, (off_t)size));
    if (result == -1 && errno == EOPNOTSUPP)
        return zeros_write(disk, handle, size);
    return result_of(result);
}

/* Extents that fallocate made and nobody wrote count as a hole on ext4, xfs and
 * btrfs. A filesystem that does not know holes says the size, or refuses: then
 * the answer is 0, nothing is known to be written. */
static int kernel_written_until(struct dwal__disk *disk, int handle,
                                uint64_t *offset) {
    (void)disk;
    off_t hole = RETRY(lseek(handle, 0, SEEK_HOLE));
    if (hole == -1 && errno != EINVAL && errno != ENXIO && errno != EOPNOTSUPP)
        return -errno;
    *offset = hole == -1 ? 0 : (uint64_t)hole;
    return 0;
}

static int kernel_sync(struct dwal__disk *disk, int handle) {
    (void)disk;
    return result_of(RETRY(fdatasync(handle)));
}

/* ---- locks ---- */

static int kernel_lock(struct dwal__disk *disk, int handle,
                       enum dwal__lock_kind kind) {
    (void)disk;
    int result;
    if (kind == DWAL__LOCK_DIR) {
        result = RETRY(flock(handle, LOCK_EX | LOCK_NB));
    } else {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        if (kind == DWAL__LOCK_NONE)
            lock = (struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET};
        result = RETRY(fcntl(handle, F_OFD_SETLK, &lock));
    }
    if (result == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

static int kernel_lock_held(struct dwal__disk *disk, int handle) {
    (void)disk;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    if (RETRY(fcntl(handle, F_OFD_GETLK, &lock)) == -1)
        return -errno;
    return lock.l_type != F_UNLCK;
}

static struct flock range_flock(enum dwal__range_kind kind,
                                const struct dwal__disk_range *range) {
    static const short types[] = {[DWAL__RANGE_SHARED] = F_RDLCK,
                                  [DWAL__RANGE_EXCLUSIVE] = F_WRLCK,
                                  [DWAL__RANGE_NONE] = F_UNLCK};
    /* A length of 0 means: without an end. It has 2^63 bytes, one more than
     * l_len can say. */
    bool all = range->first == 0 && range->last == INT64_MAX;
    return (struct flock){
        .l_type = types[kind],
        .l_whence = SEEK_SET,
        .l_start = (off_t)range->first,
        .l_len = all ? 0 : (off_t)(range->last - range->first + 1)};
}

static int kernel_range_lock(struct dwal__disk *disk, int handle,
                             enum dwal__range_kind kind,
                             const struct dwal__disk_range *range) {
    (void)disk;
    struct flock lock = range_flock(kind, range);
    if (RETRY(fcntl(handle, F_OFD_SETLK, &lock)) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

static int kernel_range_held(struct dwal__disk *disk, int handle,
                             enum dwal__range_kind kind,
                             const struct dwal__disk_range *range,
                             struct dwal__disk_range *held) {
    (void)disk;
    struct flock lock = range_flock(kind, range);
    if (RETRY(fcntl(handle, F_OFD_GETLK, &lock)) == -1)
        return -errno;
    if (lock.l_type == F_UNLCK)
        return 0;
    held->first = (uint64_t)lock.l_start;
    held->last = lock.l_len == 0
                     ? (uint64_t)INT64_MAX
                     : (uint64_t)lock.l_start + (uint64_t)lock.l_len - 1;
    return 1;
}

/* The whole of a small file of /proc as text; false if it is not readable. */
static bool proc_read(const char *path, char *text, size_t size) {
    int fd = RETRY(open(path, O_RDONLY | O_CLOEXEC));
    if (fd == -1)
        return false;
    size_t used = 0;
    ssize_t moved = 1;
    while (moved > 0 && used < size - 1) {
        moved = RETRY(read(fd, text + used, size - 1 - used));
        used += moved > 0 ? (size_t)moved : 0;
    }
    close(fd);
    text[used] = '\0';
    return moved >= 0;
}

/* True if the open file @fd of process @pid is @file and holds a write lock of
 * its own. The locks are looked at first: a stat through /proc may hang on a
 * filesystem that has nothing to do with us. */
static bool proc_fd_holds(const char *pid, const char *fd,
                          const struct stat *file) {
    char path[2 * NAME_MAX + 32];
    char text[4096];
    snprintf(path, sizeof path, "/proc/%s/fdinfo/%s", pid, fd);
    if (!proc_read(path, text, sizeof text))
        return false;
    const char *lock = strstr(text, "OFDLCK");
    if (lock == NULL || strstr(lock, "WRITE") == NULL)
        return false;
    snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, fd);
    struct stat status;
    return stat(path, &status) == 0 && status.st_dev == file->st_dev &&
           status.st_ino == file->st_ino;
}

static bool proc_holds(const char *pid, const struct stat *file) {
    char path[NAME_MAX + 32];
    snprintf(path, sizeof path, "/proc/%s/fdinfo", pid);
    DIR *fds = opendir(path);
    if (fds == NULL)
        return false;
    bool holds = false;
    struct dirent *entry;
    while (!holds && (entry = readdir(fds)) != NULL)
        holds =
            entry->d_name[0] != '.' && proc_fd_holds(pid, entry->d_name, file);
    closedir(fds);
    return holds;
}

/* "process 123 (name)". A name is the process's own choice, so only what is
 * harmless on a terminal is kept. */
static void proc_describe(const char *pid, char *text, size_t size) {
    char path[NAME_MAX + 32];
    char name[64];
    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    if (!proc_read(path, name, sizeof name))
        name[0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    for (char *c = name; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    snprintf(text, size, "process %s (%s)", pid, name);
}

/* The kernel tells no process for an open-file-description lock (-1), so the
 * one is looked for that has the file open with the lock on it. */
static void kernel_lock_holder(struct dwal__disk *disk, int dir,
                               const char *name, char *text, size_t size) {
    (void)disk;
    if (size > 0)
        text[0] = '\0';
    struct stat file;
    if (RETRY(fstatat(dir, name, &file, AT_SYMLINK_NOFOLLOW)) == -1)
        return;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return;
    bool found = false;
    struct dirent *entry;
    while (!found && (entry = readdir(proc)) != NULL) {
        const char *pid = entry->d_name;
        found =
            strspn(pid, "0123456789") == strlen(pid) && proc_holds(pid, &file);
        if (found)
            proc_describe(pid, text, size);
    }
    closedir(proc);
}

/* ---- the table ---- */

static const struct dwal__disk_ops kernel_ops = {
    .dir_make = kernel_dir_make,
    .dir_open = kernel_dir_open,
    .dir_list = kernel_dir_list,
    .dir_sync = kernel_dir_sync,
    .rename = kernel_rename,
    .unlink = kernel_unlink,
    .open = kernel_open,
    .close = kernel_close,
    .size = kernel_size,
    .identity = kernel_identity,
    .alignment = kernel_alignment,
    .parallel_reads = true,
    .read = kernel_read,
    .write = kernel_write,
    .allocate = kernel_allocate,
    .written_until = kernel_written_until,
    .sync = kernel_sync,
    .lock = kernel_lock,
    .lock_held = kernel_lock_held,
    .range_lock = kernel_range_lock,
    .range_held = kernel_range_held,
    .lock_holder = kernel_lock_holder,
};

struct dwal__disk *dwal__disk_kernel(void) {
    static struct dwal__disk kernel = {&kernel_ops};
    return &kernel;
}

void *dwal__buffer_allocate(size_t size, size_t alignment) {
    size_t unit = alignment > 4096 ? alignment : 4096;
    if (size == 0)
        size = unit;
    if (size > SIZE_MAX - unit)
        return NULL;
    void *buffer;
    size_t rounded = (size + unit - 1) / unit * unit;
    return posix_memalign(&buffer, unit, rounded) == 0 ? buffer : NULL;
}
