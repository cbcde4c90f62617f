/* SPDX-License-Identifier: MIT */
/*
 * Giving back what a repair changed. Its invariant: nothing is changed before
 * all of the undo file was found whole, and every file and every byte that it
 * speaks of was found to be as it was before the repair, as the repair left it,
 * or between the two. So it can be applied to a repair that was interrupted,
 * and after an application that was.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "../format/crc.h"
#include "undo.h"

/* What an application carries along. */
struct applier {
    const struct dwal__undo_place *place;
    struct dwal_error *error;
    bool (*cancelled)(void *argument);
    void *argument;
    struct dwal__undo_done *done;

    int handle; /* of the undo file */
    struct dwal__undo_header header;
    uint8_t *entry; /* DWAL__UNDO_ENTRY_MAX bytes */
    uint8_t *chunk; /* DWAL__UNDO_DATA_MAX bytes, of a segment */

    struct dwal__undo_entry *entries; /* all but DATA, in order */
    uint64_t *places; /* of the entry behind each, in the undo file; of a PATCH,
                       * of itself */
    size_t count;
    int code; /* why a listing of the directory stopped */
};

static int read_failed(struct applier *applier, int result, const char *what,
                       const char *name) {
    return dwal__error_set(applier->error,
                           result == -ENOMEM ? DWAL_ENOMEM : DWAL_EIO, -result,
                           "undo, nothing changed yet: %s %s", what, name);
}

static int write_failed(struct applier *applier, int result, const char *what,
                        const char *name) {
    return dwal__error_set(
        applier->error, result == -ENOSPC ? DWAL_ENOSPC : DWAL_EIO, -result,
        "undo, not finished (run it again once this is put right): %s %s", what,
        name);
}

static int file_damaged(struct applier *applier, uint64_t offset) {
    return dwal__error_set(applier->error, DWAL_EINVAL, 0,
                           "undo: %s is no undo file, or is damaged at offset "
                           "%llu; nothing was changed",
                           applier->place->name, (unsigned long long)offset);
}

static int log_differs(struct applier *applier, const char *name,
                       const char *what) {
    return dwal__error_set(
        applier->error, DWAL_ECORRUPT, 0,
        "undo: %s %s; the log has gone on since the repair, or there is a "
        "newer undo file that must be applied first; nothing was changed",
        name, what);
}

/* ---- the undo file ---- */

/* The entry at *@at, into applier->entry; moves *@at behind it. */
static int entry_read(struct applier *applier, uint64_t *at,
                      struct dwal__undo_entry *entry, uint32_t *crc) {
    struct dwal__disk *disk = applier->place->disk;
    uint64_t left = applier->header.size - *at;
    size_t some =
        left < DWAL__UNDO_ENTRY_MAX ? (size_t)left : DWAL__UNDO_ENTRY_MAX;
    ssize_t moved =
        disk->ops->read(disk, applier->handle, applier->entry, some, *at);
    if (moved < 0)
        return read_failed(applier, (int)moved, "read", applier->place->name);
    size_t room;
    if (!dwal__undo_entry_decode(applier->entry, (size_t)moved, entry, &room,
                                 crc))
        return file_damaged(applier, *at);
    *at += room;
    return 0;
}

/* True if a DATA entry lies in the range of the last TAIL. */
static bool data_fits(const struct applier *applier,
                      const struct dwal__undo_entry *data) {
    if (applier->count == 0)
        return false;
    const struct dwal__undo_entry *tail = &applier->entries[applier->count - 1];
    return tail->kind == DWAL__UNDO_TAIL && data->offset >= tail->offset &&
           data->offset < tail->to &&
           data->data_size <= tail->to - data->offset;
}

/* All entries: checked, and those kept that are no DATA. */
static int entries_read(struct applier *applier) {
    uint64_t at = DWAL__UNDO_HEADER_SIZE;
    uint32_t digest = 0;
    for (uint64_t i = 0; i < applier->header.entry_count; i++) {
        struct dwal__undo_entry entry;
        uint32_t crc;
        uint8_t sum[4];
        uint64_t place = at;
        int code = entry_read(applier, &at, &entry, &crc);
        if (code != 0)
            return code;
        dwal__put32(sum, crc);
        digest = dwal__crc32(digest, sum, sizeof sum);
        if (entry.kind != DWAL__UNDO_DATA) {
            entry.data = NULL;
            applier->entries[applier->count] = entry;
            applier->places[applier->count++] =
                entry.kind == DWAL__UNDO_PATCH ? place : at;
        } else if (!data_fits(applier, &entry)) {
            return file_damaged(applier, place);
        }
    }
    if (at != applier->header.size || digest != applier->header.digest)
        return file_damaged(applier, at);
    return 0;
}

/* Opens the file and reads its header. */
static int file_open(struct applier *applier) {
    const struct dwal__undo_place *place = applier->place;
    struct dwal__disk *disk = place->disk;
    uint8_t bytes[DWAL__UNDO_HEADER_SIZE];
    uint64_t size = 0;
    applier->handle =
        disk->ops->open(disk, place->dir, place->name, DWAL__OPEN_READ);
    if (applier->handle == -ENOENT)
        return dwal__error_set(applier->error, DWAL_ENOENT, ENOENT,
                               "undo: open %s", place->name);
    if (applier->handle < 0)
        return read_failed(applier, applier->handle, "open", place->name);
    ssize_t moved =
        disk->ops->read(disk, applier->handle, bytes, sizeof bytes, 0);
    int result = disk->ops->size(disk, applier->handle, &size);
    if (moved < 0 || result < 0)
        return read_failed(applier, moved < 0 ? (int)moved : result, "read",
                           place->name);
    int code = moved == (ssize_t)sizeof bytes
                   ? dwal__undo_header_decode(bytes, &applier->header)
                   : DWAL_EINVAL;
    if (code == DWAL_EVERSION)
        return dwal__error_set(applier->error, DWAL_EVERSION, 0,
                               "undo: %s was made by a newer walfsck",
                               place->name);
    if (code != 0 || applier->header.size != size ||
        applier->header.entry_count > size / DWAL__UNDO_ENTRY_SIZE)
        return file_damaged(applier, 0);
    return 0;
}

static int file_read(struct applier *applier) {
    int code = file_open(applier);
    if (code != 0)
        return code;
    size_t count = (size_t)applier->header.entry_count + 1;
    applier->entries = calloc(count, sizeof applier->entries[0]);
    applier->places = calloc(count, sizeof applier->places[0]);
    if (applier->entries == NULL || applier->places == NULL)
        return read_failed(applier, -ENOMEM, "allocate for",
                           applier->place->name);
    return entries_read(applier);
}

/* The entry of @kind for @name, NULL if there is none. */
static const struct dwal__undo_entry *entry_find(const struct applier *applier,
                                                 enum dwal__undo_kind kind,
                                                 const char *name) {
    for (size_t i = 0; i < applier->count; i++)
        if (applier->entries[i].kind == kind &&
            strcmp(applier->entries[i].name, name) == 0)
            return &applier->entries[i];
    return NULL;
}

/* ---- the log, before anything is changed ---- */

/* What a file is now. */
enum file_state {
    FILE_ABSENT,
    FILE_ORIGINAL, /* as it was before the repair, but for its patches */
    FILE_MADE,     /* as the repair made it */
    FILE_OTHER
};

/* True if @name, which is there, holds what the repair put there. */
static int made_check(struct applier *applier, const char *name,
                      const struct dwal__undo_entry *made, bool *equal) {
    struct dwal__disk *disk = applier->place->disk;
    int handle =
        disk->ops->open(disk, applier->place->log_dir, name, DWAL__OPEN_READ);
    if (handle < 0)
        return read_failed(applier, handle, "open", name);
    uint64_t size = 0;
    int result = disk->ops->size(disk, handle, &size);
    *equal = result == 0 && size == made->offset && size <= DWAL__UNDO_DATA_MAX;
    ssize_t moved = 0;
    if (*equal)
        moved = disk->ops->read(disk, handle, applier->chunk, (size_t)size, 0);
    disk->ops->close(disk, handle);
    if (result < 0 || moved < 0)
        return read_failed(applier, result < 0 ? result : (int)moved, "read",
                           name);
    if (!*equal || moved != (ssize_t)size)
        return 0;
    size_t rest = (size_t)size - made->sum_size;
    *equal = dwal__crc32(0, applier->chunk, made->sum_size) == made->sum &&
             dwal__zero_run(applier->chunk + made->sum_size, rest) == rest;
    return 0;
}

/* True if @sum is that of the head of @name with the patch it got. */
static bool head_patched(const struct applier *applier, const char *name,
                         uint32_t sum) {
    for (size_t i = 0; i < applier->count; i++) {
        const struct dwal__undo_entry *entry = &applier->entries[i];
        if (entry->kind == DWAL__UNDO_PATCH && entry->offset == 0 &&
            entry->sum == sum && strcmp(entry->name, name) == 0)
            return true;
    }
    return false;
}

/* What the file @name is; @original is the name it had before the repair. */
static int file_state(struct applier *applier, const char *name,
                      const char *original, enum file_state *state) {
    struct dwal__undo_identity identity;
    int result = dwal__undo_identify(applier->place->disk,
                                     applier->place->log_dir, name, &identity);
    if (result < 0)
        return read_failed(applier, result, "read", name);
    *state = FILE_ABSENT;
    if (!identity.present)
        return 0;
    *state = FILE_OTHER;
    const struct dwal__undo_entry *file =
        entry_find(applier, DWAL__UNDO_FILE, original);
    if (file != NULL && identity.size == file->offset &&
        (identity.sum == file->sum ||
         head_patched(applier, original, identity.sum))) {
        *state = FILE_ORIGINAL;
        return 0;
    }
    const struct dwal__undo_entry *made =
        entry_find(applier, DWAL__UNDO_MADE, name);
    bool equal = false;
    int code = made != NULL ? made_check(applier, name, made, &equal) : 0;
    if (code == 0 && equal)
        *state = FILE_MADE;
    return code;
}

/* One file that was there before: under its name, or under the other. */
static int file_check(struct applier *applier,
                      const struct dwal__undo_entry *file) {
    const struct dwal__undo_entry *moved =
        entry_find(applier, DWAL__UNDO_MOVED, file->name);
    enum file_state state, target = FILE_ABSENT;
    int code = file_state(applier, file->name, file->name, &state);
    if (code == 0 && moved != NULL)
        code = file_state(applier, moved->target, file->name, &target);
    if (code != 0)
        return code;
    bool here = state == FILE_ORIGINAL && target == FILE_ABSENT;
    bool aside =
        target == FILE_ORIGINAL && (state == FILE_ABSENT || state == FILE_MADE);
    return here || aside
               ? 0
               : log_differs(applier, file->name, "is gone or has changed");
}

/* One file that the repair made: there, or not yet, or no more. */
static int made_state_check(struct applier *applier,
                            const struct dwal__undo_entry *made) {
    enum file_state state;
    int code = file_state(applier, made->name, made->name, &state);
    if (code != 0)
        return code;
    return state == FILE_OTHER ? log_differs(applier, made->name,
                                             "is not as the repair made it")
                               : 0;
}

/* A file that looks like the log's and was not there before. */
static int stranger_each(void *argument, const char *name) {
    struct applier *applier = argument;
    uint64_t number;
    enum dwal__name_kind kind = dwal__name_parse(name, &number);
    if ((kind != DWAL__NAME_SEGMENT && kind != DWAL__NAME_BAD) ||
        strcmp(name, DWAL__REPAIR_FLAG_NAME) == 0 ||
        entry_find(applier, DWAL__UNDO_FILE, name) != NULL ||
        entry_find(applier, DWAL__UNDO_MADE, name) != NULL)
        return 0;
    applier->code = log_differs(applier, name, "is new");
    return 1;
}

/* ---- tails ---- */

/* True if every sector of @now, which begins at @at of a range, is as it was
 * (@then; NULL: zero), zero, or, at the beginning, the mark. */
static bool sectors_known(const struct dwal__undo_entry *tail,
                          const uint8_t *now, const uint8_t *then, size_t size,
                          uint64_t at) {
    struct dwal__segment_header segment = {.number = tail->segment,
                                           .salt = tail->salt};
    uint8_t mark[DWAL__SECTOR_SIZE];
    dwal__repair_mark(&segment, tail->offset, tail->to, mark);
    for (size_t in = 0; in < size; in += DWAL__SECTOR_SIZE) {
        const uint8_t *sector = now + in;
        if (dwal__zero_run(sector, DWAL__SECTOR_SIZE) == DWAL__SECTOR_SIZE)
            continue;
        if (then != NULL && memcmp(sector, then + in, DWAL__SECTOR_SIZE) == 0)
            continue;
        if (at + in == tail->offset && memcmp(sector, mark, sizeof mark) == 0)
            continue;
        return false;
    }
    return true;
}

/* One stretch of a range; @data is NULL where the undo file has nothing. */
typedef int stretch_function(struct applier *applier, int handle,
                             const struct dwal__undo_entry *tail,
                             uint64_t offset, size_t size, const uint8_t *data);

/* Calls @each for all stretches of the range of entry @index, in order. */
static int tail_walk(struct applier *applier, size_t index, int handle,
                     stretch_function *each) {
    const struct dwal__undo_entry *tail = &applier->entries[index];
    uint64_t at = applier->places[index]; /* in the undo file */
    struct dwal__undo_entry data = {.kind = DWAL__UNDO_FILE};
    uint32_t crc;
    int code = 0;
    bool more = at < applier->header.size;
    if (more)
        code = entry_read(applier, &at, &data, &crc);
    for (uint64_t offset = tail->offset; code == 0 && offset < tail->to;) {
        bool saved = more && data.kind == DWAL__UNDO_DATA;
        uint64_t until = saved ? data.offset : tail->to;
        if (until == offset) {
            code =
                each(applier, handle, tail, offset, data.data_size, data.data);
            offset += data.data_size;
            more = at < applier->header.size;
            if (code == 0 && more)
                code = entry_read(applier, &at, &data, &crc);
        } else if (until < offset) {
            code = file_damaged(applier, at);
        } else {
            uint64_t left = until - offset;
            size_t some =
                left < DWAL__UNDO_DATA_MAX ? (size_t)left : DWAL__UNDO_DATA_MAX;
            code = each(applier, handle, tail, offset, some, NULL);
            offset += some;
        }
    }
    return code;
}

static int stretch_check(struct applier *applier, int handle,
                         const struct dwal__undo_entry *tail, uint64_t offset,
                         size_t size, const uint8_t *data) {
    struct dwal__disk *disk = applier->place->disk;
    if (applier->cancelled != NULL && applier->cancelled(applier->argument))
        return dwal__error_set(applier->error, DWAL_EAGAIN, 0,
                               "cancelled; nothing was changed");
    ssize_t moved = disk->ops->read(disk, handle, applier->chunk, size, offset);
    if (moved < 0)
        return read_failed(applier, (int)moved, "read", tail->name);
    if (moved != (ssize_t)size ||
        !sectors_known(tail, applier->chunk, data, size, offset))
        return log_differs(applier, tail->name,
                           "has changed behind the end of the log");
    return 0;
}

static int stretch_restore(struct applier *applier, int handle,
                           const struct dwal__undo_entry *tail, uint64_t offset,
                           size_t size, const uint8_t *data) {
    struct dwal__disk *disk = applier->place->disk;
    if (data == NULL)
        return 0;
    size_t skip = offset == tail->offset ? DWAL__SECTOR_SIZE : 0;
    ssize_t moved = 0;
    if (size > skip)
        moved = disk->ops->write(disk, handle, data + skip, size - skip,
                                 offset + skip);
    if (moved < 0)
        return write_failed(applier, (int)moved, "write", tail->name);
    applier->done->bytes_restored += size;
    return 0;
}

/* The first sector, last: as long as it holds zeros, or the mark (repair.h),
 * the log ends in front of it, whatever is back already. */
static int stretch_finish(struct applier *applier, int handle,
                          const struct dwal__undo_entry *tail, uint64_t offset,
                          size_t size, const uint8_t *data) {
    struct dwal__disk *disk = applier->place->disk;
    (void)size;
    if (data == NULL || offset != tail->offset)
        return 0;
    ssize_t moved =
        disk->ops->write(disk, handle, data, DWAL__SECTOR_SIZE, offset);
    return moved < 0 ? write_failed(applier, (int)moved, "write", tail->name)
                     : 0;
}

static int tail_sync(struct applier *applier, int handle,
                     const struct dwal__undo_entry *tail) {
    struct dwal__disk *disk = applier->place->disk;
    int result = disk->ops->sync(disk, handle);
    return result < 0 ? write_failed(applier, result, "sync", tail->name) : 0;
}

/* The name that the file of entry @index has now. */
static int name_now(struct applier *applier, const char *name,
                    const char **now) {
    const struct dwal__undo_entry *moved =
        entry_find(applier, DWAL__UNDO_MOVED, name);
    enum file_state state = FILE_ABSENT;
    int code =
        moved != NULL ? file_state(applier, moved->target, name, &state) : 0;
    *now = state == FILE_ORIGINAL ? moved->target : name;
    return code;
}

static int tail_open(struct applier *applier,
                     const struct dwal__undo_entry *tail, int flags,
                     int *handle) {
    struct dwal__disk *disk = applier->place->disk;
    const char *name;
    int code = name_now(applier, tail->name, &name);
    if (code != 0)
        return code;
    *handle = disk->ops->open(disk, applier->place->log_dir, name, flags);
    if (*handle >= 0)
        return 0;
    return flags == DWAL__OPEN_READ
               ? read_failed(applier, *handle, "open", tail->name)
               : write_failed(applier, *handle, "open", tail->name);
}

static int tail_check(struct applier *applier, size_t index) {
    struct dwal__disk *disk = applier->place->disk;
    int handle;
    int code =
        tail_open(applier, &applier->entries[index], DWAL__OPEN_READ, &handle);
    if (code != 0)
        return code;
    code = tail_walk(applier, index, handle, stretch_check);
    disk->ops->close(disk, handle);
    return code;
}

static int tail_restore(struct applier *applier, size_t index) {
    struct dwal__disk *disk = applier->place->disk;
    const struct dwal__undo_entry *tail = &applier->entries[index];
    int handle;
    int code = tail_open(applier, tail, DWAL__OPEN_WRITE, &handle);
    if (code != 0)
        return code;
    code = tail_walk(applier, index, handle, stretch_restore);
    if (code == 0)
        code = tail_sync(applier, handle, tail);
    if (code == 0)
        code = tail_walk(applier, index, handle, stretch_finish);
    if (code == 0)
        code = tail_sync(applier, handle, tail);
    disk->ops->close(disk, handle);
    return code;
}

/* ---- patches ---- */

/* Entry @index once more, with its data, into @patch. */
static int patch_read(struct applier *applier, size_t index,
                      struct dwal__undo_entry *patch) {
    uint64_t at = applier->places[index];
    uint32_t crc;
    return entry_read(applier, &at, patch, &crc);
}

/* Each sector is as it was, or as the repair made it. */
static int patch_check(struct applier *applier, size_t index) {
    struct dwal__disk *disk = applier->place->disk;
    struct dwal__undo_entry patch;
    int handle;
    int code = patch_read(applier, index, &patch);
    if (code == 0)
        code = tail_open(applier, &patch, DWAL__OPEN_READ, &handle);
    if (code != 0)
        return code;
    size_t size = patch.data_size / 2;
    ssize_t moved =
        disk->ops->read(disk, handle, applier->chunk, size, patch.offset);
    disk->ops->close(disk, handle);
    if (moved < 0)
        return read_failed(applier, (int)moved, "read", patch.name);
    bool known = moved == (ssize_t)size;
    for (size_t at = 0; known && at < size; at += DWAL__SECTOR_SIZE) {
        const uint8_t *now = applier->chunk + at;
        known = memcmp(now, patch.data + at, DWAL__SECTOR_SIZE) == 0 ||
                memcmp(now, patch.data + size + at, DWAL__SECTOR_SIZE) == 0;
    }
    return known ? 0
                 : log_differs(applier, patch.name,
                               "has changed where it was mended");
}

static int patch_restore(struct applier *applier, size_t index) {
    struct dwal__disk *disk = applier->place->disk;
    struct dwal__undo_entry patch;
    int handle;
    int code = patch_read(applier, index, &patch);
    if (code == 0)
        code = tail_open(applier, &patch, DWAL__OPEN_WRITE, &handle);
    if (code != 0)
        return code;
    size_t size = patch.data_size / 2;
    ssize_t moved =
        disk->ops->write(disk, handle, patch.data, size, patch.offset);
    code = moved < 0 ? write_failed(applier, (int)moved, "write", patch.name)
                     : tail_sync(applier, handle, &patch);
    disk->ops->close(disk, handle);
    if (code == 0)
        applier->done->bytes_restored += size;
    return code;
}

/* ---- all of it ---- */

static int log_check(struct applier *applier) {
    struct dwal__disk *disk = applier->place->disk;
    int result = disk->ops->dir_list(disk, applier->place->log_dir,
                                     stranger_each, applier);
    if (result < 0)
        return read_failed(applier, result, "list", "the directory");
    int code = applier->code;
    for (size_t i = 0; code == 0 && i < applier->count; i++) {
        const struct dwal__undo_entry *entry = &applier->entries[i];
        if (entry->kind == DWAL__UNDO_FILE)
            code = file_check(applier, entry);
        else if (entry->kind == DWAL__UNDO_MADE)
            code = made_state_check(applier, entry);
        else if (entry->kind == DWAL__UNDO_TAIL)
            code = tail_check(applier, i);
        else if (entry->kind == DWAL__UNDO_PATCH)
            code = patch_check(applier, i);
    }
    return code;
}

static int made_remove(struct applier *applier,
                       const struct dwal__undo_entry *made) {
    struct dwal__disk *disk = applier->place->disk;
    enum file_state state;
    int code = file_state(applier, made->name, made->name, &state);
    if (code != 0 || state != FILE_MADE)
        return code;
    int result = disk->ops->unlink(disk, applier->place->log_dir, made->name);
    if (result == 0)
        result = disk->ops->dir_sync(disk, applier->place->log_dir);
    if (result < 0)
        return write_failed(applier, result, "remove", made->name);
    applier->done->files_removed++;
    return 0;
}

static int moved_restore(struct applier *applier,
                         const struct dwal__undo_entry *moved) {
    struct dwal__disk *disk = applier->place->disk;
    enum file_state state;
    int code = file_state(applier, moved->target, moved->name, &state);
    if (code != 0 || state != FILE_ORIGINAL)
        return code;
    int result = disk->ops->rename(disk, applier->place->log_dir, moved->target,
                                   moved->name);
    if (result == 0)
        result = disk->ops->dir_sync(disk, applier->place->log_dir);
    if (result < 0)
        return write_failed(applier, result, "rename", moved->target);
    applier->done->files_renamed++;
    return 0;
}

/* In the opposite order of the repair, and under its flag if it had one. */
static int log_restore(struct applier *applier) {
    const struct dwal__undo_place *place = applier->place;
    bool cut = (applier->header.flags & DWAL__UNDO_CUT) != 0;
    int code = 0;
    int result = cut ? dwal__repair_flag(place->disk, place->log_dir) : 0;
    if (result < 0)
        return write_failed(applier, result, "make", DWAL__REPAIR_FLAG_NAME);
    for (size_t i = applier->count; code == 0 && i-- > 0;) {
        const struct dwal__undo_entry *entry = &applier->entries[i];
        if (entry->kind == DWAL__UNDO_MADE)
            code = made_remove(applier, entry);
        else if (entry->kind == DWAL__UNDO_MOVED)
            code = moved_restore(applier, entry);
        else if (entry->kind == DWAL__UNDO_TAIL)
            code = tail_restore(applier, i);
        else if (entry->kind == DWAL__UNDO_PATCH)
            code = patch_restore(applier, i);
    }
    if (code != 0 || !cut || (applier->header.flags & DWAL__UNDO_FLAGGED) != 0)
        return code;
    result = dwal__repair_unflag(place->disk, place->log_dir);
    return result < 0
               ? write_failed(applier, result, "remove", DWAL__REPAIR_FLAG_NAME)
               : 0;
}

int dwal__undo_apply(const struct dwal__undo_place *place,
                     bool (*cancelled)(void *argument), void *argument,
                     struct dwal__undo_done *done, struct dwal_error *error) {
    struct dwal__disk *disk = place->disk;
    struct applier applier = {.place = place,
                              .error = error,
                              .cancelled = cancelled,
                              .argument = argument,
                              .done = done,
                              .handle = -1,
                              .entry = malloc(DWAL__UNDO_ENTRY_MAX),
                              .chunk = malloc(DWAL__UNDO_DATA_MAX)};
    memset(done, 0, sizeof *done);
    int code =
        applier.entry != NULL && applier.chunk != NULL
            ? file_read(&applier)
            : read_failed(&applier, -ENOMEM, "allocate for", place->name);
    if (code == 0)
        code = log_check(&applier);
    if (code == 0)
        code = log_restore(&applier);
    if (applier.handle >= 0)
        disk->ops->close(disk, applier.handle);
    free(applier.entries);
    free(applier.places);
    free(applier.entry);
    free(applier.chunk);
    return code;
}
