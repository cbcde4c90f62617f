/* SPDX-License-Identifier: MIT */
/*
 * Runs fio as a child and reads its JSON. What is overwritten was written
 * before, block by block, so that fio has what a log on prepared segments has;
 * what is only preallocated is a new file for each run, and the run ends when
 * it is full.
 */
#include "fio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fsck/cli.h"
#include "scratch.h"

#define MIB (UINT64_C(1) << 20)
#define COMMIT_SIZE (64 * MIB)
#define APPEND_SIZE (1024 * MIB)
/* More than a disk takes in a second, for files that must not become full. */
#define GROW_BYTES_PER_S (4096 * MIB)

extern char **environ;

/* ---- running it ---- */

#define WORDS_MAX 32

/* A command line in the making. */
struct words {
    int count;
    char *word[WORDS_MAX + 1]; /* allocated */
};

__attribute__((format(printf, 2, 3))) static void
word_add(struct words *words, const char *format, ...) {
    char *word = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (words->count < WORDS_MAX && vasprintf(&word, format, arguments) > 0)
        words->word[words->count++] = word;
    va_end(arguments);
}

static void words_release(struct words *words) {
    for (int i = 0; i < words->count; i++)
        free(words->word[i]);
}

/* Waits for the child; a signal that asks this process to stop is passed on
 * to it. */
static bool child_await(pid_t child) {
    int status;
    bool told = false;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return false;
        if (dwal__cli_cancelled() && !told) {
            kill(child, SIGINT);
            told = true;
        }
    }
    if (dwal__cli_cancelled())
        return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFEXITED(status))
        dwal__cli_error("fio failed with exit status %d", WEXITSTATUS(status));
    else
        dwal__cli_error("fio was ended by signal %d", WTERMSIG(status));
    return false;
}

/* Its standard output is not wanted: the report goes to a file. */
static bool words_run(struct words *words) {
    posix_spawn_file_actions_t actions;
    pid_t child;
    words->word[words->count] = NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
                                     O_WRONLY, 0);
    int failed =
        posix_spawnp(&child, "fio", &actions, NULL, words->word, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed == 0)
        return child_await(child);
    dwal__cli_error("cannot run fio: %s; is it installed?", strerror(failed));
    return false;
}

/* ---- its patterns ---- */

static bool grows(const struct dwal__bench_options *options) {
    return options->mode == DWAL__BENCH_APPEND && options->trim == 0;
}

const char *dwal__fio_pattern(const struct dwal__bench_options *options) {
    switch (options->mode) {
    case DWAL__BENCH_COMMIT:
        return "4 KiB RWF_DSYNC overwrites, one at a time a job";
    case DWAL__BENCH_APPEND:
        return options->trim != 0
                   ? "1 MiB RWF_DSYNC overwrites, 4 at a time"
                   : "1 MiB RWF_DSYNC writes into preallocated space, 4 at a "
                     "time";
    case DWAL__BENCH_GET:
        return "random direct reads of a payload, one at a time";
    default:
        return "1 MiB direct reads, 8 at a time";
    }
}

static unsigned jobs_of(const struct dwal__bench_options *options) {
    return options->mode == DWAL__BENCH_COMMIT ? options->numjobs : 1;
}

/* Bytes of each file. */
static uint64_t size_of(const struct dwal__bench_options *options,
                        const char *path) {
    struct statvfs space;
    if (options->mode == DWAL__BENCH_COMMIT)
        return COMMIT_SIZE;
    if (options->mode != DWAL__BENCH_APPEND)
        return (options->size + MIB - 1) / MIB * MIB;
    if (!grows(options))
        return APPEND_SIZE;
    double wanted =
        (options->runtime + options->ramp_time) * (double)GROW_BYTES_PER_S;
    if (statvfs(path, &space) == 0) {
        double room = (double)space.f_bavail * (double)space.f_frsize / 2;
        if (wanted > room)
            wanted = room;
    }
    uint64_t size = (uint64_t)wanted / MIB * MIB;
    return size < MIB ? MIB : size;
}

static void words_common(struct words *words,
                         const struct dwal__bench_options *options,
                         const char *path) {
    word_add(words, "fio");
    word_add(words, "--name=fio");
    word_add(words, "--directory=%s", path);
    word_add(words, "--numjobs=%u", jobs_of(options));
    word_add(words, "--size=%" PRIu64, size_of(options, path));
    word_add(words, "--ioengine=libaio");
    word_add(words, "--direct=1");
    word_add(words, "--thread");
}

bool dwal__fio_prepare(const struct dwal__bench_options *options,
                       const char *path) {
    if (grows(options))
        return true;
    struct words words = {0};
    words_common(&words, options, path);
    word_add(&words, "--rw=write");
    word_add(&words, "--bs=1M");
    word_add(&words, "--iodepth=4");
    word_add(&words, "--end_fsync=1");
    bool good = words_run(&words);
    words_release(&words);
    return good;
}

static void words_measure(struct words *words,
                          const struct dwal__bench_options *options,
                          const char *path) {
    words_common(words, options, path);
    word_add(words, "--runtime=%.0fms", options->runtime * 1000);
    if (options->ramp_time > 0)
        word_add(words, "--ramp_time=%.0fms", options->ramp_time * 1000);
    if (grows(options))
        word_add(words, "--fallocate=posix");
    else
        word_add(words, "--time_based");
    if (options->mode == DWAL__BENCH_COMMIT) {
        word_add(words, "--bs=4k");
        word_add(words, "--iodepth=1");
    } else if (options->mode == DWAL__BENCH_GET) {
        word_add(words, "--bs=%u",
                 options->bs > 4096 ? (options->bs + 4095) / 4096 * 4096
                                    : 4096);
        word_add(words, "--iodepth=1");
    } else {
        word_add(words, "--bs=1M");
        word_add(words, "--iodepth=%d",
                 options->mode == DWAL__BENCH_APPEND ? 4 : 8);
    }
    if (options->mode == DWAL__BENCH_COMMIT ||
        options->mode == DWAL__BENCH_APPEND) {
        word_add(words, "--rw=write");
        word_add(words, "--sync=dsync");
        if (!grows(options))
            word_add(words, "--overwrite=1");
    } else {
        word_add(words, options->mode == DWAL__BENCH_GET ? "--rw=randread"
                                                         : "--rw=read");
    }
    word_add(words, "--group_reporting");
    word_add(words, "--lat_percentiles=1");
    word_add(words, "--clat_percentiles=0");
    word_add(words, "--percentile_list=50:90:99:99.9:99.99");
    word_add(words, "--output-format=json");
    word_add(words, "--output=%s/fio.json", path);
}

/* ---- its report ---- */

/* All of a file as a string; NULL: not there. */
static char *text_read(const char *path) {
    char *text = NULL;
    size_t room = 0;
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return NULL;
    /* JSON has no zero byte, so one "line" up to it is all. */
    if (getdelim(&text, &room, '\0', stream) < 0) {
        free(text);
        text = NULL;
    }
    fclose(stream);
    return text;
}

/* Goes on behind the next "name" and its colon, as values may be the same
 * word; NULL stays NULL. */
static const char *key_find(const char *at, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\"", name);
    while (at != NULL && (at = strstr(at, key)) != NULL) {
        at += strlen(key);
        at += strspn(at, " ");
        if (*at == ':')
            return at + 1;
    }
    return NULL;
}

static double number_at(const char *at, bool *good) {
    char *end;
    double value = at == NULL ? 0 : strtod(at, &end);
    if (at == NULL || end == at)
        *good = false;
    return value;
}

/* Keys are looked for one behind the other, in the order in which fio writes
 * them: those of one direction, then its latency, then the percentiles. */
static bool report_parse(const char *text, bool reads,
                         struct dwal__fio_result *result) {
    bool good = true;
    const char *group = key_find(text, reads ? "read" : "write");
    const char *bytes = key_find(group, "bw_bytes");
    result->bytes_per_s = number_at(bytes, &good);
    result->ios_per_s = number_at(key_find(bytes, "iops"), &good);
    const char *latency = key_find(bytes, "lat_ns");
    result->max = number_at(key_find(latency, "max"), &good) / 1e3;
    const char *list = key_find(latency, "percentile");
    const struct {
        const char *name;
        double *us;
    } rows[] = {{"50.000000", &result->p50},
                {"90.000000", &result->p90},
                {"99.000000", &result->p99},
                {"99.900000", &result->p999},
                {"99.990000", &result->p9999}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        *rows[i].us = number_at(key_find(list, rows[i].name), &good) / 1e3;
    return good && result->bytes_per_s > 0;
}

bool dwal__fio_run(const struct dwal__bench_options *options, const char *path,
                   struct dwal__fio_result *result) {
    struct words words = {0};
    char name[PATH_MAX + 16];
    words_measure(&words, options, path);
    bool good = words_run(&words);
    words_release(&words);
    snprintf(name, sizeof name, "%s/fio.json", path);
    if (good) {
        char *text = text_read(name);
        good = text != NULL &&
               report_parse(text, options->mode > DWAL__BENCH_APPEND, result);
        free(text);
        if (!good)
            dwal__cli_error("fio's report is not what was expected of it");
    }
    if (grows(options)) {
        snprintf(name, sizeof name, "%s/fio.0.0", path);
        good = dwal__scratch_remove(name) && good;
    }
    return good;
}
