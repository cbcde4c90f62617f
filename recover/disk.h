/* SPDX-License-Identifier: MIT */
/*
 * The disk, as recovery, the tools and the library see it: one table of
 * operations. dwal__disk_kernel is the real one, and with disk_sync.h the only
 * place in recover/ that makes system calls; a simulated disk has the same
 * table.
 *
 * Every operation returns 0 (or a count, or a handle) or a negative errno.
 * Handles are small non-negative integers. Operations on different handles may
 * run in different threads.
 */
#ifndef DWAL_RECOVER_DISK_H
#define DWAL_RECOVER_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum dwal__open_flags {
    DWAL__OPEN_READ = 0,
    DWAL__OPEN_WRITE = 1,  /* read and write */
    DWAL__OPEN_CREATE = 2, /* must not exist yet */
    DWAL__OPEN_DIRECT = 4  /* O_DIRECT; -EINVAL where it is not supported */
};

enum dwal__lock_kind {
    DWAL__LOCK_FILE, /* F_OFD_SETLK write lock on byte 0 (SPEC 4.3) */
    DWAL__LOCK_DIR,  /* flock(LOCK_EX) on a directory, while creating */
    DWAL__LOCK_NONE  /* gives back all locks on a file before close does: also
                      * from a descriptor that a child of fork() inherited */
};

/* Locks on bytes of LOCK that stand for LSNs (SPEC 4.4). */
enum dwal__range_kind {
    DWAL__RANGE_SHARED,    /* F_RDLCK: a lease */
    DWAL__RANGE_EXCLUSIVE, /* F_WRLCK: a trim */
    DWAL__RANGE_NONE       /* gives back what this handle has there */
};

/* Both included; below 2^63. */
struct dwal__disk_range {
    uint64_t first;
    uint64_t last;
};

/* What direct I/O on a file wants: bytes; 0 where it is not supported. */
struct dwal__disk_alignment {
    uint32_t memory;
    uint32_t offset;
    bool known; /* false: the filesystem does not tell, these are a guess */
};

struct dwal__disk;

struct dwal__disk_ops {
    int (*dir_make)(struct dwal__disk *disk, const char *path);
    int (*dir_open)(struct dwal__disk *disk, const char *path);
    /* Calls @each for every name but . and .. until it returns non-zero, and
     * returns that. */
    int (*dir_list)(struct dwal__disk *disk, int dir,
                    int (*each)(void *argument, const char *name),
                    void *argument);
    int (*dir_sync)(struct dwal__disk *disk, int dir);
    int (*rename)(struct dwal__disk *disk, int dir, const char *from,
                  const char *to); /* replaces @to */
    int (*unlink)(struct dwal__disk *disk, int dir, const char *name);

    /* Regular files only (-EINVAL), symbolic links refused (-ELOOP). */
    int (*open)(struct dwal__disk *disk, int dir, const char *name, int flags);
    int (*close)(struct dwal__disk *disk, int handle);
    int (*size)(struct dwal__disk *disk, int handle, uint64_t *size);
    /* What tells this file from every other one that exists now. */
    int (*identity)(struct dwal__disk *disk, int handle, uint64_t *device,
                    uint64_t *inode);
    int (*alignment)(struct dwal__disk *disk, int handle,
                     struct dwal__disk_alignment *alignment);
    /* Several threads may read one handle at once. */
    bool parallel_reads;
    /* Whole or to the end of the file; EINTR and short counts are dealt with.
     * Returns the bytes moved. A write that moves fewer returns -EIO. */
    ssize_t (*read)(struct dwal__disk *disk, int handle, void *bytes,
                    size_t size, uint64_t offset);
    ssize_t (*write)(struct dwal__disk *disk, int handle, const void *bytes,
                     size_t size, uint64_t offset);
    /* Makes the file @size long with space for all of it. */
    int (*allocate)(struct dwal__disk *disk, int handle, uint64_t size);
    /* The first byte that is not backed by written data, or the size. */
    int (*written_until)(struct dwal__disk *disk, int handle, uint64_t *offset);
    int (*sync)(struct dwal__disk *disk, int handle); /* fdatasync */

    /* -EAGAIN when somebody else holds it. Released by close. */
    int (*lock)(struct dwal__disk *disk, int handle, enum dwal__lock_kind kind);
    /* 1 if somebody else holds the write lock, 0 if nobody. Takes nothing. */
    int (*lock_held)(struct dwal__disk *disk, int handle);
    /* Open-file-description locks on bytes, which the file need not have: all
     * of @range or nothing, at once; -EAGAIN when a lock of somebody else's is
     * in the way. A handle for reading is enough for SHARED. */
    int (*range_lock)(struct dwal__disk *disk, int handle,
                      enum dwal__range_kind kind,
                      const struct dwal__disk_range *range);
    /* 1 if somebody else's lock keeps @range from being locked so, and sets
     * @held to the bytes that one of them has; 0 if none does. */
    int (*range_held)(struct dwal__disk *disk, int handle,
                      enum dwal__range_kind kind,
                      const struct dwal__disk_range *range,
                      struct dwal__disk_range *held);
    /* Describes who holds it, "process 123 (name)", or "" if unknown. */
    void (*lock_holder)(struct dwal__disk *disk, int dir, const char *name,
                        char *text, size_t size);
};

struct dwal__disk {
    const struct dwal__disk_ops *ops;
};

/* The kernel. Static; any thread. */
struct dwal__disk *dwal__disk_kernel(void);

/* Memory for direct I/O: aligned to 4096 and to @alignment, size rounded up.
 * NULL when there is none. Freed with free(). */
void *dwal__buffer_allocate(size_t size, size_t alignment);

#endif
