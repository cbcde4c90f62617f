/* SPDX-License-Identifier: MIT */
/*
 * Writing an undo file. Its invariant: a file under the wanted name is whole
 * and durable, or it is not there. It is written under a temporary name, its
 * header last, synced, renamed, and the folder synced.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "../format/crc.h"
#include "undo.h"

/* The file as it grows. */
struct saver {
    const struct dwal__undo_place *place;
    const struct dwal__repair_options *options;
    struct dwal_error *error;
    int code; /* why file_each stopped */
    char temporary[32];
    int handle;
    struct dwal__undo_header header;
    uint8_t *entry; /* DWAL__UNDO_ENTRY_MAX bytes */
    uint8_t *data;  /* DWAL__UNDO_DATA_MAX bytes */
};

static int save_failed(struct saver *saver, int result, const char *what,
                       const char *name) {
    int code = result == -ENOSPC || result == -EDQUOT ? DWAL_ENOSPC
               : result == -ENOMEM                    ? DWAL_ENOMEM
                                                      : DWAL_EIO;
    return dwal__error_set(
        saver->error, code, -result,
        "save what the repair overwrites, nothing changed "
        "yet%s: %s %s",
        code == DWAL_ENOSPC ? " (name another place with --undo FILE)" : "",
        what, name);
}

static int entry_add(struct saver *saver,
                     const struct dwal__undo_entry *entry) {
    struct dwal__disk *disk = saver->place->disk;
    uint8_t sum[4];
    dwal__put32(sum, dwal__undo_entry_encode(entry, saver->entry));
    size_t room = dwal__undo_entry_room(entry);
    ssize_t moved = disk->ops->write(disk, saver->handle, saver->entry, room,
                                     saver->header.size);
    if (moved < 0)
        return save_failed(saver, (int)moved, "write", saver->place->name);
    saver->header.digest = dwal__crc32(saver->header.digest, sum, sizeof sum);
    saver->header.size += room;
    saver->header.entry_count++;
    return 0;
}

static struct dwal__undo_entry entry_of(enum dwal__undo_kind kind,
                                        const char *name) {
    struct dwal__undo_entry entry;
    memset(&entry, 0, sizeof entry);
    entry.kind = kind;
    snprintf(entry.name, sizeof entry.name, "%s", name);
    return entry;
}

/* ---- the directory ---- */

/* Every file whose coming or going shows that the log has gone on. */
static int file_each(void *argument, const char *name) {
    struct saver *saver = argument;
    uint64_t number;
    enum dwal__name_kind kind = dwal__name_parse(name, &number);
    if (strcmp(name, DWAL__REPAIR_FLAG_NAME) == 0) {
        saver->header.flags |= DWAL__UNDO_FLAGGED;
        return 0;
    }
    if (kind != DWAL__NAME_LOCK && kind != DWAL__NAME_SEGMENT &&
        kind != DWAL__NAME_BAD)
        return 0;
    struct dwal__undo_identity identity;
    int result = dwal__undo_identify(saver->place->disk, saver->place->log_dir,
                                     name, &identity);
    if (result < 0) {
        saver->code = save_failed(saver, result, "read", name);
        return 1;
    }
    struct dwal__undo_entry entry = entry_of(DWAL__UNDO_FILE, name);
    entry.segment = kind == DWAL__NAME_SEGMENT ? number : 0;
    entry.offset = identity.size;
    entry.sum = identity.sum;
    saver->code = entry_add(saver, &entry);
    return saver->code != 0 ? 1 : 0;
}

static int files_save(struct saver *saver) {
    struct dwal__disk *disk = saver->place->disk;
    int result =
        disk->ops->dir_list(disk, saver->place->log_dir, file_each, saver);
    if (result < 0)
        return save_failed(saver, result, "list", "the directory");
    return saver->code;
}

/* ---- tails ---- */

/* One entry for the bytes [@offset, @offset + @size), which are in
 * saver->data. */
static int data_save(struct saver *saver, uint64_t offset, size_t size) {
    struct dwal__undo_entry entry = entry_of(DWAL__UNDO_DATA, "");
    entry.offset = offset;
    entry.data = saver->data;
    entry.data_size = (uint32_t)size;
    return entry_add(saver, &entry);
}

/* What stands in the range, but for zeros. The first sector always: it will
 * hold the mark for a while. */
static int range_save(struct saver *saver, int handle,
                      const struct dwal__repair_step *step) {
    struct dwal__disk *disk = saver->place->disk;
    const struct dwal__repair_options *options = saver->options;
    for (uint64_t at = step->from; at < step->to;) {
        if (options->cancelled != NULL && options->cancelled(options->argument))
            return dwal__error_set(saver->error, DWAL_EAGAIN, 0,
                                   "cancelled; nothing was changed");
        size_t some = step->to - at < DWAL__UNDO_DATA_MAX
                          ? (size_t)(step->to - at)
                          : DWAL__UNDO_DATA_MAX;
        ssize_t moved = disk->ops->read(disk, handle, saver->data, some, at);
        if (moved != (ssize_t)some)
            return save_failed(saver, moved < 0 ? (int)moved : -EIO, "read",
                               step->name);
        bool needed =
            at == step->from || dwal__zero_run(saver->data, some) < some;
        int code = needed ? data_save(saver, at, some) : 0;
        if (code != 0)
            return code;
        at += some;
    }
    return 0;
}

static int tail_save(struct saver *saver,
                     const struct dwal__repair_step *step) {
    struct dwal__disk *disk = saver->place->disk;
    struct dwal__undo_entry entry = entry_of(DWAL__UNDO_TAIL, step->name);
    entry.segment = step->segment;
    entry.offset = step->from;
    entry.to = step->to;
    entry.salt = step->header.salt;
    int code = entry_add(saver, &entry);
    if (code != 0)
        return code;
    int handle = disk->ops->open(disk, saver->place->log_dir, step->name,
                                 DWAL__OPEN_READ);
    if (handle < 0)
        return save_failed(saver, handle, "open", step->name);
    code = range_save(saver, handle, step);
    disk->ops->close(disk, handle);
    return code;
}

/* ---- patches ---- */

static int patch_save(struct saver *saver,
                      const struct dwal__repair_step *step) {
    struct dwal__undo_entry entry = entry_of(DWAL__UNDO_PATCH, step->name);
    entry.segment = step->segment;
    entry.offset = step->from;
    entry.to = step->to;
    entry.data = step->data;
    entry.data_size = (uint32_t)(2 * step->bytes);
    if (step->from == 0)
        entry.sum = dwal__crc32(0, step->data + step->bytes, DWAL__SECTOR_SIZE);
    return entry_add(saver, &entry);
}

/* ---- the steps ---- */

static int step_save(struct saver *saver,
                     const struct dwal__repair_step *step) {
    struct dwal__undo_entry entry;
    uint8_t content[DWAL__REPAIR_CONTENT_SIZE_MAX];
    switch (step->action) {
    case DWAL__REPAIR_MOVE:
        entry = entry_of(DWAL__UNDO_MOVED, step->name);
        memcpy(entry.target, step->target, sizeof entry.target);
        entry.segment = step->segment;
        return entry_add(saver, &entry);
    case DWAL__REPAIR_MAKE:
        entry = entry_of(DWAL__UNDO_MADE, step->name);
        entry.segment = step->segment;
        entry.offset = step->bytes;
        entry.sum_size = (uint32_t)dwal__repair_content(step, content);
        entry.sum = dwal__crc32(0, content, entry.sum_size);
        return entry_add(saver, &entry);
    case DWAL__REPAIR_WIPE:
        return tail_save(saver, step);
    case DWAL__REPAIR_PATCH:
        return patch_save(saver, step);
    case DWAL__REPAIR_FLAG:
    case DWAL__REPAIR_UNFLAG:
        break;
    }
    return 0;
}

static int entries_save(struct saver *saver,
                        const struct dwal__repair_plan *plan) {
    int code = files_save(saver);
    for (size_t i = 0; code == 0 && i < plan->step_count; i++)
        code = step_save(saver, &plan->steps[i]);
    return code;
}

/* The header, and everything made durable under the name that is wanted. */
static int file_finish(struct saver *saver) {
    struct dwal__disk *disk = saver->place->disk;
    uint8_t bytes[DWAL__UNDO_HEADER_SIZE];
    dwal__undo_header_encode(&saver->header, bytes);
    ssize_t moved =
        disk->ops->write(disk, saver->handle, bytes, sizeof bytes, 0);
    int result = moved < 0 ? (int)moved : disk->ops->sync(disk, saver->handle);
    if (result == 0)
        result = disk->ops->rename(disk, saver->place->dir, saver->temporary,
                                   saver->place->name);
    if (result == 0) {
        result = disk->ops->dir_sync(disk, saver->place->dir);
        if (result < 0)
            disk->ops->unlink(disk, saver->place->dir, saver->place->name);
    }
    return result < 0 ? save_failed(saver, result, "finish", saver->place->name)
                      : 0;
}

/* Opens the temporary file; one that a run before left behind is removed. */
static int file_begin(struct saver *saver) {
    const struct dwal__undo_place *place = saver->place;
    struct dwal__disk *disk = place->disk;
    struct dwal__undo_identity identity;
    int result = dwal__undo_identify(disk, place->dir, place->name, &identity);
    if (result < 0)
        return save_failed(saver, result, "open", place->name);
    if (identity.present)
        return dwal__error_set(saver->error, DWAL_EEXIST, 0,
                               "save what the repair overwrites: %s exists "
                               "already, perhaps from an earlier repair; keep "
                               "it, and name another with --undo FILE",
                               place->name);
    char uuid[DWAL__UUID_TEXT_SIZE];
    dwal__uuid_text(&saver->header.uuid, uuid);
    snprintf(saver->temporary, sizeof saver->temporary, "walfsck-%.8s.undo.tmp",
             uuid);
    result = disk->ops->unlink(disk, place->dir, saver->temporary);
    if (result < 0 && result != -ENOENT)
        return save_failed(saver, result, "replace", saver->temporary);
    saver->handle = disk->ops->open(disk, place->dir, saver->temporary,
                                    DWAL__OPEN_WRITE | DWAL__OPEN_CREATE);
    if (saver->handle < 0)
        return save_failed(saver, saver->handle, "make", saver->temporary);
    return 0;
}

int dwal__undo_save(const struct dwal__undo_place *place,
                    const struct dwal__repair_options *options,
                    const struct dwal__repair_plan *plan, uint64_t *size,
                    struct dwal_error *error) {
    struct dwal__disk *disk = place->disk;
    struct saver saver = {.place = place,
                          .options = options,
                          .error = error,
                          .handle = -1,
                          .entry = malloc(DWAL__UNDO_ENTRY_MAX),
                          .data = malloc(DWAL__UNDO_DATA_MAX)};
    saver.header = (struct dwal__undo_header){
        .uuid = plan->uuid,
        .size = DWAL__UNDO_HEADER_SIZE,
        .created_ns = options->now_ns,
        .flags = plan->kind == DWAL__REPAIR_CUT ? DWAL__UNDO_CUT : 0};
    int code = saver.entry != NULL && saver.data != NULL
                   ? file_begin(&saver)
                   : save_failed(&saver, -ENOMEM, "allocate for", place->name);
    if (code == 0) {
        code = entries_save(&saver, plan);
        if (code == 0)
            code = file_finish(&saver);
        disk->ops->close(disk, saver.handle);
        if (code != 0)
            disk->ops->unlink(disk, place->dir, saver.temporary);
    }
    if (code == 0)
        *size = saver.header.size;
    free(saver.entry);
    free(saver.data);
    return code;
}
