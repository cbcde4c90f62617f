/* SPDX-License-Identifier: MIT */
/*
 * What logs cost that nobody uses: opens many, commits once to each, lets them
 * come to rest, and looks for a while.
 *
 * A thread that makes a system call, or returns from one, has run; so if none
 * of the logs' threads was switched to or from in that time, there was none.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../fsck/cli.h"
#include "../fsck/json.h"
#include "dwal.h"
#include "scratch.h"
#include "usage.h"

#define SEGMENT_SIZE (UINT64_C(64) << 10)

/* ---- looking ---- */

/* The number behind @name in a file of /proc; 0 if it is not there. */
static unsigned long proc_number(const char *path, const char *name) {
    char line[256];
    unsigned long number = 0;
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return 0;
    while (fgets(line, sizeof line, stream) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            number = strtoul(line + strlen(name), NULL, 10);
    fclose(stream);
    return number;
}

static uint64_t memory_now(void) {
    return UINT64_C(1024) * proc_number("/proc/self/status", "VmRSS:");
}

/* Context switches of all threads but this one, ever. */
static uint64_t switches_of_others(unsigned *threads) {
    uint64_t sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    *threads = 0;
    if (tasks == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300];
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == gettid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        sum += proc_number(path, "voluntary_ctxt_switches:") +
               proc_number(path, "nonvoluntary_ctxt_switches:");
        ++*threads;
    }
    closedir(tasks);
    return sum;
}

/* ---- the logs ---- */

static struct dwal *log_open(const char *folder, unsigned index) {
    struct dwal_options options;
    struct dwal_error error;
    struct dwal *log;
    char path[PATH_MAX + 16];
    dwal_options_init(&options);
    options.create = DWAL_CREATE_NEW;
    options.segment_size = SEGMENT_SIZE;
    snprintf(path, sizeof path, "%s/log-%u", folder, index);
    if (dwal_open(path, &options, &log, &error) == DWAL_OK)
        return log;
    dwal__cli_error("%s", error.text);
    return NULL;
}

static bool log_use(struct dwal *log) {
    struct dwal_record record = {.data = "idle", .size = 4};
    struct dwal_error error;
    if (dwal_commit(log, &record, NULL, &error) == DWAL_OK)
        return true;
    dwal__cli_error("%s", error.text);
    return false;
}

/* Until no thread has run for a second: marks are written, files prepared. */
static void rest_wait(void) {
    unsigned threads;
    uint64_t before = switches_of_others(&threads), now;
    while (!dwal__cli_cancelled() && sleep(1) == 0 &&
           (now = switches_of_others(&threads)) != before)
        before = now;
}

struct found {
    uint64_t memory_start, memory_open, memory_used;
    unsigned threads;
    uint64_t switches;
};

static bool measure(const char *folder, struct dwal **logs, unsigned count,
                    unsigned seconds, struct found *found) {
    unsigned opened = 0;
    bool good = true;
    found->memory_start = memory_now();
    for (; opened < count && good; opened++)
        good = (logs[opened] = log_open(folder, opened)) != NULL;
    found->memory_open = memory_now();
    for (unsigned i = 0; i < count && good; i++)
        good = log_use(logs[i]);
    if (good) {
        rest_wait();
        found->memory_used = memory_now();
        uint64_t before = switches_of_others(&found->threads);
        sleep(seconds);
        found->switches = switches_of_others(&found->threads) - before;
    }
    for (unsigned i = 0; i < opened; i++)
        if (logs[i] != NULL)
            dwal_close(logs[i], NULL);
    return good && !dwal__cli_cancelled();
}

static void print(unsigned count, unsigned seconds, const struct found *found) {
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "bench-idle");
    dwal__json_u64(&json, "logs", count);
    dwal__json_u64(&json, "seconds", seconds);
    dwal__json_u64(&json, "threads", found->threads);
    dwal__json_u64(&json, "context_switches", found->switches);
    dwal__json_u64(&json, "memory_bytes_opened",
                   (found->memory_open - found->memory_start) / count);
    dwal__json_u64(&json, "memory_bytes_used",
                   (found->memory_used - found->memory_start) / count);
    dwal__json_end(&json);
}

int main(int argc, char **argv) {
    char folder[PATH_MAX];
    uint64_t count, seconds;
    struct found found = {0};
    dwal__cli_begin("bench-idle", argv);
    if (argc != 4) {
        dwal__cli_usage("LOGS SECONDS DIR; nothing else");
        return dwal__cli_end(DWAL__EXIT_USAGE);
    }
    if (!dwal__cli_number("LOGS", argv[1], 1, 10000, &count) ||
        !dwal__cli_number("SECONDS", argv[2], 1, 3600, &seconds))
        return dwal__cli_end(DWAL__EXIT_USAGE);
    struct dwal **logs = calloc(count, sizeof(struct dwal *));
    if (logs == NULL || !dwal__scratch_make(argv[3], folder)) {
        free(logs);
        return dwal__cli_end(DWAL__EXIT_ERROR);
    }
    bool good =
        measure(folder, logs, (unsigned)count, (unsigned)seconds, &found);
    good = dwal__scratch_remove(folder) && good;
    free(logs);
    if (good)
        print((unsigned)count, (unsigned)seconds, &found);
    return dwal__cli_end(good ? DWAL__EXIT_CLEAN : DWAL__EXIT_ERROR);
}
