/* SPDX-License-Identifier: MIT */
/*
 * getrusage and /proc/self/io. Nothing is estimated: what the kernel does not
 * tell is marked as not known.
 */
#include "usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

int64_t dwal__bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The value of "name: value" in /proc/self/io. */
static bool io_read(const char *name, uint64_t *value) {
    FILE *stream = fopen("/proc/self/io", "re");
    char line[128];
    bool found = false;
    if (stream == NULL)
        return false;
    size_t size = strlen(name);
    while (!found && fgets(line, sizeof line, stream) != NULL)
        found = strncmp(line, name, size) == 0 &&
                sscanf(line + size, ": %" SCNu64, value) == 1;
    fclose(stream);
    return found;
}

static double microseconds(const struct timeval *time) {
    return (double)time->tv_sec * 1e6 + (double)time->tv_usec;
}

void dwal__usage_look(struct dwal__usage *usage) {
    struct rusage now;
    memset(usage, 0, sizeof *usage);
    getrusage(RUSAGE_SELF, &now);
    usage->user_us = microseconds(&now.ru_utime);
    usage->system_us = microseconds(&now.ru_stime);
    usage->voluntary = (uint64_t)now.ru_nvcsw;
    usage->involuntary = (uint64_t)now.ru_nivcsw;
    usage->memory_bytes = (uint64_t)now.ru_maxrss * 1024;
    usage->written_known = io_read("write_bytes", &usage->written_bytes);
    usage->read_calls_known = io_read("syscr", &usage->read_calls);
}

void dwal__usage_since(struct dwal__usage *usage,
                       const struct dwal__usage *before) {
    usage->user_us -= before->user_us;
    usage->system_us -= before->system_us;
    usage->voluntary -= before->voluntary;
    usage->involuntary -= before->involuntary;
    usage->written_known = usage->written_known && before->written_known;
    usage->written_bytes -= before->written_bytes;
    usage->read_calls_known =
        usage->read_calls_known && before->read_calls_known;
    usage->read_calls -= before->read_calls;
}

void dwal__usage_add(struct dwal__usage *usage,
                     const struct dwal__usage *part) {
    usage->user_us += part->user_us;
    usage->system_us += part->system_us;
    usage->voluntary += part->voluntary;
    usage->involuntary += part->involuntary;
    usage->written_known = part->written_known;
    usage->written_bytes += part->written_bytes;
    usage->read_calls_known = part->read_calls_known;
    usage->read_calls += part->read_calls;
    if (part->memory_bytes > usage->memory_bytes)
        usage->memory_bytes = part->memory_bytes;
}
