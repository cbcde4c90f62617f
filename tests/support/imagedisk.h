/* SPDX-License-Identifier: MIT */
/*
 * A log in memory (logbuild.h) as a disk to read from, and one that fails when
 * it is told to. Thousands of recoveries a second; what the bytes are may be
 * changed between them.
 */
#ifndef DWAL_TESTS_IMAGEDISK_H
#define DWAL_TESTS_IMAGEDISK_H

#include "logbuild.h"

enum imagedisk_operation {
    IMAGEDISK_NONE,
    IMAGEDISK_LIST,
    IMAGEDISK_DIR_SYNC,
    IMAGEDISK_OPEN,
    IMAGEDISK_READ,
    IMAGEDISK_SYNC
};

#define IMAGEDISK_OTHERS_MAX 4

struct imagedisk {
    struct dwal__disk disk; /* first: the operations cast to imagedisk */
    const struct logbuild *log;
    const char *others[IMAGEDISK_OTHERS_MAX]; /* more names in the directory */

    /* The operation that fails, on the file of this name ("" any), and only if
     * a read touches this offset (UINT64_MAX: any). */
    enum imagedisk_operation fail;
    char fail_name[64];
    uint64_t fail_offset;
    int fail_error;           /* negative errno */
    bool direct_refused;      /* O_DIRECT is, at open */
    bool direct_read_refused; /* and this way only when it is used */
    uint64_t read_end; /* files end here when they are read, whatever their size
                        * was a moment ago; UINT64_MAX: they do not */

    uint64_t sizes_true; /* so often the size is told as it is, then as none */
    uint64_t sizes;
    uint64_t reads;
    uint64_t syncs;
    char synced[16][64]; /* names, in order; the first of them */
    uint64_t scanned;    /* bytes read */
    int open_handles;    /* to find leaks */
};

void imagedisk_init(struct imagedisk *image, const struct logbuild *log);

#endif
