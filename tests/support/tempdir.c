/* SPDX-License-Identifier: MIT */
#include "tempdir.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

void tempdir_use_memory(void) {
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
}

int tempdir_setup(void **state) {
    const char *base = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/dwal-test-XXXXXX",
             base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL)
        return -1;
    *state = strdup(path);
    return 0;
}

static int entry_remove(const char *path, const struct stat *status, int type,
                        struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

int tempdir_teardown(void **state) {
    int result = nftw(*state, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return result;
}

unsigned tempdir_count(const char *path, const char *suffix) {
    unsigned count = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (length >= strlen(suffix) &&
            strcmp(entry->d_name + length - strlen(suffix), suffix) == 0)
            count++;
    }
    closedir(dir);
    return count;
}

static unsigned long file_digest(const char *path) {
    unsigned char bytes[65536];
    unsigned long digest = crc32(0, NULL, 0);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, file)) > 0;)
        digest = crc32(digest, bytes, (unsigned)got);
    fclose(file);
    return digest;
}

unsigned long tempdir_digest(const char *path) {
    unsigned long sum = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char file[8192];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        unsigned long name = crc32(0, (const unsigned char *)entry->d_name,
                                   (unsigned)strlen(entry->d_name));
        /* A sum, since directories have no order. */
        sum += name * 31 + file_digest(file);
    }
    closedir(dir);
    return sum;
}
