/* SPDX-License-Identifier: MIT */
/*
 * waldump on a whole directory in memory, with any of its forms: it changes
 * nothing, and ends.
 */
#include <stdio.h>

#include "folder.h"
#include "fsck/cli.h"
#include "guard.h"
#include "mains.h"
#include "target.h"
#include "tool.h"

/* What the choice of an input chooses: words, and a segment. */
static const struct {
    const char *words[3];
    const char *segment;
} forms[] = {
    {{"--json"}, NULL},
    {{"--json", "--system"}, NULL},
    {{"--system"}, NULL},
    {{"--batches"}, NULL},
    {{"--batches", "--json"}, NULL},
    {{"--segments"}, NULL},
    {{"--segments", "--json"}, NULL},
    {{"--stats"}, NULL},
    {{"--stats", "--json"}, NULL},
    {{"--hex"}, NULL},
    {{"--raw"}, NULL},
    {{"--quiet"}, NULL},
    {{"--start=7", "--end=11"}, NULL},
    {{"--system"}, "2"},
    {{"--type=1", "--limit=3"}, NULL},
    {{"--start=9223372036854775807"}, NULL},
    {{"--skip-damage", "--system"}, NULL},
    {{"--skip-damage", "--json"}, NULL},
    {{"--map"}, NULL},
    {{"--map", "--cell=512"}, NULL},
    {{"--extract=8", "-o-"}, NULL},
};
#define FORMS (sizeof forms / sizeof forms[0])

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    tool_begin();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct folder folder;
    folder_read(&folder, bytes, size);
    struct memdisk *disk = folder_disk(&folder), *before = memdisk_copy(disk);
    size_t form = folder.choice % FORMS;
    const char *words[8] = {"waldump"};
    int count = 1;
    for (int i = 0; i < 3 && forms[form].words[i] != NULL; i++)
        words[count++] = forms[form].words[i];
    words[count++] = TOOL_LOG;
    words[count] = forms[form].segment;
    guard_begin(disk, folder.size);
    tool_run(waldump_main, words);
    guard_end();
    fuzz_check(memdisk_difference(disk, before, NULL) == NULL);
    memdisk_free(disk);
    memdisk_free(before);
    folder_release(&folder);
    return 0;
}
