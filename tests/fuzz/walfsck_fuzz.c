/* SPDX-License-Identifier: MIT */
/*
 * walfsck on a whole directory in memory: checking changes nothing; -p and -y
 * change files of the log alone; what -y repaired is in order for a second
 * check; --undo-apply gives back the same bytes.
 */
#include <stdio.h>
#include <string.h>

#include "folder.h"
#include "fsck/cli.h"
#include "guard.h"
#include "mains.h"
#include "recover/repair.h"
#include "target.h"
#include "tool.h"

#define UNDO "walfsck-fuzz.undo"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    tool_begin();
    return 0;
}

static int walfsck(const char *one, const char *two, const char *three) {
    const char *words[8] = {"walfsck"};
    int count = 1;
    if (one != NULL)
        words[count++] = one;
    if (two != NULL)
        words[count++] = two;
    if (three != NULL)
        words[count++] = three;
    words[count] = TOOL_LOG;
    return tool_run(walfsck_main, words);
}

static bool ignored(const char *name) {
    return strcmp(name, UNDO) == 0;
}

/* A flag file that was there before comes back with a text of its own, and the
 * temporary name is the repair's own. */
static bool ignored_undone(const char *name) {
    return ignored(name) || strcmp(name, DWAL__REPAIR_FLAG_NAME) == 0 ||
           strcmp(name, DWAL__REPAIR_TEMPORARY_NAME) == 0;
}

/* The files that are no log's are what they were. */
static void others_check(const struct folder *folder, struct memdisk *disk) {
    for (size_t i = 0; i < folder->count; i++) {
        const struct folder_file *file = &folder->files[i];
        uint64_t number;
        size_t size = 0;
        if (dwal__name_parse(file->name, &number) != DWAL__NAME_OTHER ||
            strcmp(file->name, DWAL__REPAIR_TEMPORARY_NAME) == 0 ||
            ignored(file->name))
            continue;
        const uint8_t *bytes = memdisk_bytes(disk, file->name, &size);
        fuzz_check(bytes != NULL && size == file->size);
        fuzz_check(size == 0 || memcmp(bytes, file->bytes, size) == 0);
    }
}

/* Behind a repair that ended with @status. Headers are all that
 * --rebuild-header sees to: a torn tail may be left, and damage that it
 * told. */
static void second_check(const struct folder *folder, int status) {
    if (folder->choice / 2 % 4 < 3)
        fuzz_check(walfsck("--strict", NULL, NULL) == DWAL__EXIT_CLEAN);
    else
        fuzz_check(walfsck(NULL, NULL, NULL) == DWAL__EXIT_CLEAN ||
                   (status & DWAL__EXIT_DAMAGED) != 0);
}

static void repair_check(const struct folder *folder, struct memdisk *disk,
                         struct memdisk *before) {
    static const char *const repairs[] = {"-p", "-y", "-y", "--rebuild-header"};
    bool json = folder->choice & 1;
    guard_write_allow(true);
    int status = walfsck(repairs[folder->choice / 2 % 4],
                         json ? "--json" : "-v", "--undo=" TOOL_LOG "/" UNDO);
    bool changed = memdisk_difference(before, disk, ignored) != NULL;
    fuzz_check(changed == ((status & DWAL__EXIT_REPAIRED) != 0) ||
               (status & DWAL__EXIT_ERROR) != 0);
    others_check(folder, disk);
    size_t size;
    bool saved = memdisk_bytes(disk, UNDO, &size) != NULL;
    guard_write_allow(false);
    if ((status & DWAL__EXIT_REPAIRED) != 0)
        second_check(folder, status);
    fuzz_check(saved || !changed);
    if (!saved || (status & DWAL__EXIT_ERROR) != 0)
        return;
    guard_write_allow(true);
    fuzz_check(walfsck("--undo-apply=" TOOL_LOG "/" UNDO, NULL, NULL) ==
               DWAL__EXIT_CLEAN);
    guard_write_allow(false);
    fuzz_check(memdisk_difference(before, disk, ignored_undone) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct folder folder;
    folder_read(&folder, bytes, size);
    struct folder_file *undo = folder_find(&folder, UNDO);
    if (undo != NULL)
        folder_remove(&folder, (size_t)(undo - folder.files));
    struct memdisk *disk = folder_disk(&folder), *before = memdisk_copy(disk);
    guard_begin(disk, folder.size);
    walfsck(folder.choice & 1 ? "--json" : "-v", "-n", NULL);
    fuzz_check(memdisk_difference(disk, before, NULL) == NULL);
    repair_check(&folder, disk, before);
    guard_end();
    memdisk_free(disk);
    memdisk_free(before);
    folder_release(&folder);
    return 0;
}
