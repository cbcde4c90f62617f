/* SPDX-License-Identifier: MIT */
#include "tempdir.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

void tempdir_use_memory(void) {
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
}

static int entry_remove(const char *path, const struct stat *status, int type,
                        struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

int tempdir_remove(const char *path) {
    return nftw(path, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Open for writing as long as the directory is in use and the test there. */
static int in_use = -1;

/* A process that outlives the test, however that ends, and then removes what
 * its teardown did not. Neither the test nor who runs it waits for it: it is
 * nobody's child, and holds none of their descriptors. */
static bool keeper_start(const char *path) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        if (fork() != 0)
            _exit(0);
        char byte;
        setsid();
        dup2(ends[0], 0);
        close_range(1, ~0u, 0);
        (void)!read(0, &byte, 1);
        tempdir_remove(path);
        _exit(0);
    }
    close(ends[0]);
    in_use = ends[1];
    return child > 0 && waitpid(child, NULL, 0) == child;
}

int tempdir_setup(void **state) {
    const char *base = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/dwal-test-XXXXXX",
             base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL || !keeper_start(path))
        return -1;
    *state = strdup(path);
    return 0;
}

int tempdir_teardown(void **state) {
    int result = tempdir_remove(*state);
    close(in_use);
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
