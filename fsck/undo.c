/* SPDX-License-Identifier: MIT */
/*
 * Undo files to and from bytes; undo.h has the tables. Nothing is used before
 * the CRC over it was right, and a name that would lead out of the log's
 * directory is damage.
 */
#include "undo.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "../format/bytes.h"
#include "../format/crc.h"

static const uint8_t undo_magic[8] = {0x89, 'D',  'W',  'U',
                                      'N',  '\r', '\n', 0x1A};

#define IDENTITY_SIZE 512u

void dwal__undo_header_encode(const struct dwal__undo_header *header,
                              uint8_t bytes[DWAL__UNDO_HEADER_SIZE]) {
    memset(bytes, 0, DWAL__UNDO_HEADER_SIZE);
    memcpy(bytes, undo_magic, sizeof undo_magic);
    dwal__put16(bytes + 12, DWAL__UNDO_VERSION);
    dwal__put16(bytes + 14, DWAL__UNDO_HEADER_SIZE);
    memcpy(bytes + 16, header->uuid.bytes, DWAL__UUID_SIZE);
    dwal__put64(bytes + 32, header->size);
    dwal__put64(bytes + 40, header->entry_count);
    dwal__put64(bytes + 48, header->created_ns);
    dwal__put32(bytes + 56, header->digest);
    dwal__put32(bytes + 60, header->flags);
    dwal__put32(bytes + 8,
                dwal__crc32(0, bytes + 12, DWAL__UNDO_HEADER_SIZE - 12));
}

int dwal__undo_header_decode(const uint8_t bytes[DWAL__UNDO_HEADER_SIZE],
                             struct dwal__undo_header *header) {
    if (memcmp(bytes, undo_magic, sizeof undo_magic) != 0 ||
        dwal__get32(bytes + 8) !=
            dwal__crc32(0, bytes + 12, DWAL__UNDO_HEADER_SIZE - 12))
        return DWAL_EINVAL;
    if (dwal__get16(bytes + 12) != DWAL__UNDO_VERSION ||
        (dwal__get32(bytes + 60) & ~(DWAL__UNDO_CUT | DWAL__UNDO_FLAGGED)) != 0)
        return DWAL_EVERSION;
    if (dwal__get16(bytes + 14) != DWAL__UNDO_HEADER_SIZE ||
        dwal__zero_run(bytes + 64, 64) != 64)
        return DWAL_EINVAL;
    memcpy(header->uuid.bytes, bytes + 16, DWAL__UUID_SIZE);
    header->size = dwal__get64(bytes + 32);
    header->entry_count = dwal__get64(bytes + 40);
    header->created_ns = dwal__get64(bytes + 48);
    header->digest = dwal__get32(bytes + 56);
    header->flags = dwal__get32(bytes + 60);
    return DWAL_OK;
}

size_t dwal__undo_entry_room(const struct dwal__undo_entry *entry) {
    size_t size = DWAL__UNDO_ENTRY_SIZE + strlen(entry->name) +
                  strlen(entry->target) + entry->data_size;
    return dwal__align_up(size, 8);
}

uint32_t dwal__undo_entry_encode(const struct dwal__undo_entry *entry,
                                 uint8_t *bytes) {
    size_t name_size = strlen(entry->name);
    size_t target_size = strlen(entry->target);
    size_t room = dwal__undo_entry_room(entry);
    assert(entry->data_size <= DWAL__UNDO_DATA_MAX);
    assert(room <= DWAL__UNDO_ENTRY_MAX);
    memset(bytes, 0, room);
    dwal__put16(bytes + 4, (uint16_t)entry->kind);
    dwal__put16(bytes + 6, (uint16_t)name_size);
    dwal__put16(bytes + 8, (uint16_t)target_size);
    dwal__put32(bytes + 12, entry->data_size);
    dwal__put64(bytes + 16, entry->segment);
    dwal__put64(bytes + 24, entry->offset);
    dwal__put64(bytes + 32, entry->to);
    dwal__put64(bytes + 40, entry->salt);
    dwal__put32(bytes + 48, entry->sum);
    dwal__put32(bytes + 52, entry->sum_size);
    uint8_t *at = bytes + DWAL__UNDO_ENTRY_SIZE;
    memcpy(at, entry->name, name_size);
    at += name_size;
    memcpy(at, entry->target, target_size);
    at += target_size;
    if (entry->data_size > 0)
        memcpy(at, entry->data, entry->data_size);
    uint32_t crc = dwal__crc32(0, bytes + 4, room - 4);
    dwal__put32(bytes, crc);
    return crc;
}

/* A file name of @size bytes into @name; false if it is none that may stand in
 * a directory, or may lead out of it. */
static bool name_load(const uint8_t *bytes, size_t size, char *name) {
    if (size >= DWAL__REPAIR_NAME_SIZE || memchr(bytes, '/', size) != NULL ||
        memchr(bytes, '\0', size) != NULL)
        return false;
    memcpy(name, bytes, size);
    name[size] = '\0';
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static void entry_load(const uint8_t *bytes, struct dwal__undo_entry *entry) {
    entry->kind = (enum dwal__undo_kind)dwal__get16(bytes + 4);
    entry->data_size = dwal__get32(bytes + 12);
    entry->segment = dwal__get64(bytes + 16);
    entry->offset = dwal__get64(bytes + 24);
    entry->to = dwal__get64(bytes + 32);
    entry->salt = dwal__get64(bytes + 40);
    entry->sum = dwal__get32(bytes + 48);
    entry->sum_size = dwal__get32(bytes + 52);
}

/* The rules that each kind has. */
static bool entry_valid(const struct dwal__undo_entry *entry) {
    bool named = entry->name[0] != '\0';
    switch (entry->kind) {
    case DWAL__UNDO_FILE:
        return named;
    case DWAL__UNDO_MOVED:
        return named && entry->target[0] != '\0';
    case DWAL__UNDO_MADE:
        return named && entry->sum_size <= DWAL__REPAIR_CONTENT_SIZE_MAX &&
               entry->sum_size <= entry->offset;
    case DWAL__UNDO_TAIL:
        return named && entry->offset < entry->to &&
               entry->to <= DWAL__SEGMENT_SIZE_MAX &&
               entry->offset % DWAL__SECTOR_SIZE == 0 &&
               entry->to % DWAL__SECTOR_SIZE == 0;
    case DWAL__UNDO_PATCH:
        return named && entry->offset < entry->to &&
               entry->offset % DWAL__SECTOR_SIZE == 0 &&
               entry->to % DWAL__SECTOR_SIZE == 0 &&
               entry->data_size % 2 == 0 &&
               entry->to - entry->offset == entry->data_size / 2;
    case DWAL__UNDO_DATA:
        return entry->data_size > 0 &&
               entry->data_size % DWAL__SECTOR_SIZE == 0 &&
               entry->offset % DWAL__SECTOR_SIZE == 0;
    }
    return false;
}

bool dwal__undo_entry_decode(const uint8_t *bytes, size_t size,
                             struct dwal__undo_entry *entry, size_t *room,
                             uint32_t *crc) {
    if (size < DWAL__UNDO_ENTRY_SIZE)
        return false;
    size_t name_size = dwal__get16(bytes + 6);
    size_t target_size = dwal__get16(bytes + 8);
    size_t data_size = dwal__get32(bytes + 12);
    if (name_size >= DWAL__REPAIR_NAME_SIZE ||
        target_size >= DWAL__REPAIR_NAME_SIZE ||
        data_size > DWAL__UNDO_DATA_MAX)
        return false;
    *room = dwal__align_up(
        DWAL__UNDO_ENTRY_SIZE + name_size + target_size + data_size, 8);
    *crc = dwal__get32(bytes);
    if (*room > size || *crc != dwal__crc32(0, bytes + 4, *room - 4))
        return false;
    entry_load(bytes, entry);
    const uint8_t *at = bytes + DWAL__UNDO_ENTRY_SIZE;
    entry->data = at + name_size + target_size;
    return name_load(at, name_size, entry->name) &&
           name_load(at + name_size, target_size, entry->target) &&
           entry_valid(entry);
}

int dwal__undo_identify(struct dwal__disk *disk, int dir, const char *name,
                        struct dwal__undo_identity *identity) {
    memset(identity, 0, sizeof *identity);
    int handle = disk->ops->open(disk, dir, name, DWAL__OPEN_READ);
    if (handle == -ENOENT)
        return 0;
    if (handle == -EINVAL || handle == -ELOOP) { /* a directory, a link … */
        identity->present = true;
        identity->size = UINT64_MAX;
        return 0;
    }
    if (handle < 0)
        return handle;
    uint8_t bytes[IDENTITY_SIZE];
    int result = disk->ops->size(disk, handle, &identity->size);
    if (result == 0) {
        ssize_t moved = disk->ops->read(disk, handle, bytes, sizeof bytes, 0);
        if (moved >= 0)
            identity->sum = dwal__crc32(0, bytes, (size_t)moved);
        else
            result = (int)moved;
    }
    disk->ops->close(disk, handle);
    identity->present = result == 0;
    return result;
}
