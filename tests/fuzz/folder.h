/* SPDX-License-Identifier: MIT */
/*
 * The input of the targets that take a whole log: a directory, as bytes.
 *
 *     offset size
 *          0    1  a choice: which options the tool gets
 *
 * then files, until the input ends:
 *
 *          0    1  size of the name, n
 *          1    n  name
 *      n + 1    4  size of the file, little-endian
 *      n + 5    4  size of what follows, c; the rest of the file is zeros
 *      n + 9    c  the beginning of the file
 *
 * Any bytes are an input: sizes that are too large are cut down, what is left
 * over is ignored, a name that cannot be one is passed over, and of two files
 * of one name the later one counts.
 */
#ifndef DWAL_TESTS_FUZZ_FOLDER_H
#define DWAL_TESTS_FUZZ_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "tests/support/memdisk.h"

#define FOLDER_FILES_MAX 24
#define FOLDER_NAME_MAX 40
#define FOLDER_FILE_MAX ((size_t)128 << 10)
#define FOLDER_SIZE_MAX ((size_t)512 << 10) /* of all files */

struct folder_file {
    char name[FOLDER_NAME_MAX + 1];
    uint8_t *bytes; /* folder_read's own copy */
    size_t size;
};

struct folder {
    uint8_t choice;
    struct folder_file files[FOLDER_FILES_MAX];
    size_t count;
    size_t size; /* of all files */
};

/* Takes @bytes apart. Free with folder_release. */
void folder_read(struct folder *folder, const uint8_t *bytes, size_t size);
void folder_release(struct folder *folder);

/* Puts it together again: into @bytes, at most @max of them, whole files only.
 * Returns how many they are. */
size_t folder_write(const struct folder *folder, uint8_t *bytes, size_t max);

/* The file of this name, or NULL. */
struct folder_file *folder_find(struct folder *folder, const char *name);

/* A file of @size zeros; NULL if there is no room for it. */
struct folder_file *folder_add(struct folder *folder, const char *name,
                               size_t size);
void folder_remove(struct folder *folder, size_t index);

/* All files, durable. */
struct memdisk *folder_disk(const struct folder *folder);

#endif
