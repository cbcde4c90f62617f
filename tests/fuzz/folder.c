/* SPDX-License-Identifier: MIT */
/*
 * A directory as bytes, and back. Its invariant: names differ, have no "/" and
 * no zero byte, and no limit of the header is passed.
 */
#include "folder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"

struct folder_file *folder_find(struct folder *folder, const char *name) {
    for (size_t i = 0; i < folder->count; i++)
        if (strcmp(folder->files[i].name, name) == 0)
            return &folder->files[i];
    return NULL;
}

void folder_remove(struct folder *folder, size_t index) {
    assert(index < folder->count);
    folder->size -= folder->files[index].size;
    free(folder->files[index].bytes);
    folder->count--;
    memmove(&folder->files[index], &folder->files[index + 1],
            (folder->count - index) * sizeof folder->files[0]);
}

struct folder_file *folder_add(struct folder *folder, const char *name,
                               size_t size) {
    struct folder_file *old = folder_find(folder, name);
    if (old != NULL)
        folder_remove(folder, (size_t)(old - folder->files));
    if (folder->count == FOLDER_FILES_MAX || size > FOLDER_FILE_MAX ||
        size > FOLDER_SIZE_MAX - folder->size)
        return NULL;
    struct folder_file *file = &folder->files[folder->count++];
    assert(strlen(name) <= FOLDER_NAME_MAX);
    strcpy(file->name, name);
    file->bytes = calloc(1, size > 0 ? size : 1);
    assert(file->bytes != NULL);
    file->size = size;
    folder->size += size;
    return file;
}

static bool name_valid(const uint8_t *name, size_t size) {
    if (size == 0 || size > FOLDER_NAME_MAX || memchr(name, '/', size) != NULL)
        return false;
    return memchr(name, 0, size) == NULL && name[0] != '.';
}

/* One file at the beginning of @bytes. Returns what it takes, 0 if the input
 * ends in it. */
static size_t file_read(struct folder *folder, const uint8_t *bytes,
                        size_t size) {
    size_t length = bytes[0];
    if (size < 9 || length > size - 9)
        return 0;
    const uint8_t *name = bytes + 1;
    size_t wanted = dwal__get32(name + length);
    size_t count = dwal__get32(name + length + 4);
    size_t room = size - 9 - length;
    count = count < room ? count : room;
    wanted = wanted < FOLDER_FILE_MAX ? wanted : FOLDER_FILE_MAX;
    size_t kept = count < wanted ? count : wanted;
    if (name_valid(name, length)) {
        char text[FOLDER_NAME_MAX + 1] = "";
        memcpy(text, name, length);
        struct folder_file *file = folder_add(folder, text, wanted);
        if (file != NULL && kept > 0)
            memcpy(file->bytes, name + length + 8, kept);
    }
    return 9 + length + count;
}

void folder_read(struct folder *folder, const uint8_t *bytes, size_t size) {
    memset(folder, 0, sizeof *folder);
    if (size > 0)
        folder->choice = bytes[0];
    for (size_t at = 1; at < size;) {
        size_t used = file_read(folder, bytes + at, size - at);
        if (used == 0)
            break;
        at += used;
    }
}

void folder_release(struct folder *folder) {
    while (folder->count > 0)
        folder_remove(folder, folder->count - 1);
}

size_t folder_write(const struct folder *folder, uint8_t *bytes, size_t max) {
    if (max == 0)
        return 0;
    bytes[0] = folder->choice;
    size_t used = 1;
    for (size_t i = 0; i < folder->count; i++) {
        const struct folder_file *file = &folder->files[i];
        size_t length = strlen(file->name), count = file->size;
        while (count > 0 && file->bytes[count - 1] == 0)
            count--;
        if (9 + length + count > max - used)
            continue;
        uint8_t *at = bytes + used;
        at[0] = (uint8_t)length;
        memcpy(at + 1, file->name, length);
        dwal__put32(at + 1 + length, (uint32_t)file->size);
        dwal__put32(at + 5 + length, (uint32_t)count);
        if (count > 0)
            memcpy(at + 9 + length, file->bytes, count);
        used += 9 + length + count;
    }
    return used;
}

struct memdisk *folder_disk(const struct folder *folder) {
    struct memdisk *memdisk = memdisk_new();
    for (size_t i = 0; i < folder->count; i++)
        memdisk_put(memdisk, folder->files[i].name, folder->files[i].bytes,
                    folder->files[i].size);
    return memdisk;
}
