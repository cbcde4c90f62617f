/* SPDX-License-Identifier: MIT */
/*
 * The command line: one row an option, from which parsing, limits and --help
 * are made. Invariant: an option that has no meaning for what is asked is
 * refused, never ignored.
 */
#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../fsck/cli.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define TIB (MIB * MIB)

/* More than a queue takes, so that the log's own limit is what bounds. */
#define IODEPTH_DEFAULT (UINT64_C(1) << 20)
#define RUNTIME_DEFAULT 5.0
#define READ_SIZE_DEFAULT (256 * MIB)

const char *const dwal__bench_mode_names[] = {
    "commit", "append", "scan", "load", "get", "recover", NULL};
static const char *const by_names[] = {"index", "seek", NULL};
const char *const dwal__bench_preset_names[] = {"latency", "balanced",
                                                "throughput", NULL};
const char *const dwal__bench_sync_names[] = {"auto", "dsync", "fdsync", NULL};
static const char *const gather_names[] = {"auto", "off", NULL};
static const char *const wait_names[] = {"auto", "sleep", NULL};
static const char *const versus_names[] = {"fio", NULL};

enum kind {
    KIND_UNSIGNED, /* unsigned */
    KIND_NUMBER,   /* uint64_t */
    KIND_SIZE,     /* uint64_t, with a unit */
    KIND_SIZE32,   /* uint32_t, with a unit */
    KIND_REAL,     /* double, above 0 */
    KIND_CHOICE,   /* int, an index of names */
    KIND_FLAG      /* bool */
};

/* The modes in which an option means something. */
#define IN(mode) (1u << DWAL__BENCH_##mode)
#define WRITING (IN(COMMIT) | IN(APPEND))
#define READING (IN(SCAN) | IN(LOAD) | IN(GET) | IN(RECOVER))

struct row {
    const char *name;
    const char *argument;
    const char *help; /* lines */
    enum kind kind;
    size_t at; /* in struct dwal__bench_options */
    uint64_t min, max;
    const char *const *names;
    unsigned modes;
    bool peer; /* a peer knows it, too */
};

#define FIELD(name) offsetof(struct dwal__bench_options, name)

/* clang-format off */
static const struct row rows[] = {
    {"mode", "MODE",
     "commit: append a record, wait until it is durable;\n"
     "append: do not wait; scan: read a log; load: in bulk;\n"
     "get: read records at random; recover: open one; commit",
     KIND_CHOICE, FIELD(mode), 0, 0, dwal__bench_mode_names,
     WRITING | READING, false},
    {"numjobs", "N", "threads that do so, 1 to 1024; 1",
     KIND_UNSIGNED, FIELD(numjobs), 1, 1024, NULL, WRITING, true},
    {"bs", "SIZE", "payload of a record; 512",
     KIND_SIZE32, FIELD(bs), 0, 16 * MIB, NULL, WRITING | READING, true},
    {"iodepth", "N",
     "append: records that a job has outstanding before it\n"
     "waits; 1048576, which leaves the limit to the log",
     KIND_NUMBER, FIELD(iodepth), 1, 1 << 22, NULL, IN(APPEND), false},
    {"runtime", "SECONDS",
     "measure for so long; 5, or, with --size, no limit",
     KIND_REAL, FIELD(runtime), 0, 86400, NULL, WRITING | READING, true},
    {"size", "SIZE",
     "stop after so many bytes of payload; of scan, load, get\n"
     "and recover: that the log has, 256M",
     KIND_SIZE, FIELD(size), 1, TIB, NULL, WRITING | READING, true},
    {"ramp_time", "SECONDS", "run for so long before measuring",
     KIND_REAL, FIELD(ramp_time), 0, 86400, NULL, WRITING, true},
    {"rate", "N",
     "open loop: N records a second over all jobs, whether or\n"
     "not the log keeps up. Latency counts from when a record\n"
     "was due, so that a stall is not hidden by jobs that wait",
     KIND_REAL, FIELD(rate), 0, 1000000000, NULL, WRITING, true},
    {"preset", "NAME", "latency, balanced, throughput; balanced",
     KIND_CHOICE, FIELD(preset), 0, 0, dwal__bench_preset_names,
     WRITING | READING, false},
    {"sync", "HOW",
     "auto, dsync (with each write), fdsync (after them); auto",
     KIND_CHOICE, FIELD(sync), 0, 0, dwal__bench_sync_names, WRITING | READING,
     false},
    {"gather", "HOW",
     "auto: wait for the jobs that a flush released, if that\n"
     "pays; off; auto",
     KIND_CHOICE, FIELD(gather), 0, 0, gather_names, IN(COMMIT), false},
    {"wait", "HOW",
     "auto: let other jobs run before sleeping, if that pays;\n"
     "sleep; auto",
     KIND_CHOICE, FIELD(wait), 0, 0, wait_names, IN(COMMIT), false},
    {"flush-us", "N",
     "batches do not go to the disk, but to a simulated one\n"
     "whose flushes take N us, one after another",
     KIND_UNSIGNED, FIELD(flush_us), 1, 1000000, NULL, IN(COMMIT), false},
    {"segment-size", "SIZE", "bytes of a segment file; 64M",
     KIND_SIZE, FIELD(segment_size), 64 * KIB, TIB, NULL, WRITING | READING,
     false},
    {"trim", "SIZE",
     "trim as it goes, and keep the newest SIZE to 2 SIZE of\n"
     "payload, so that segments are used again",
     KIND_SIZE, FIELD(trim), 1, TIB, NULL, WRITING, false},
    {"warmup", "SIZE",
     "first append and trim so much, so that there are\n"
     "segments to use again when measuring begins",
     KIND_SIZE, FIELD(warmup), 1, TIB, NULL, WRITING, false},
    {"logs", "N", "logs in this process; jobs take turns on them; 1",
     KIND_UNSIGNED, FIELD(logs), 1, 65536, NULL, WRITING, false},
    {"verify", "SIZE",
     "let recovery check the newest SIZE at least; everything",
     KIND_SIZE, FIELD(verify), 0, TIB, NULL, IN(RECOVER), false},
    {"batch", "SIZE",
     "let batches of the log that is read be of this size, or\n"
     "of one record; the preset's",
     KIND_SIZE, FIELD(batch), 4 * KIB, 1024 * MIB, NULL, READING, false},
    {"by", "HOW",
     "index (dwal_cursor_get), seek (a seek for each); index",
     KIND_CHOICE, FIELD(by), 0, 0, by_names, IN(GET), false},
    {"vs", "fio",
     "in turn with fio and the matching pattern on the same\n"
     "filesystem, and the ratio of the medians",
     KIND_CHOICE, FIELD(versus_fio), 0, 0, versus_names, WRITING | READING,
     false},
    {"rounds", "N", "of --vs: so many turns; 3",
     KIND_UNSIGNED, FIELD(rounds), 1, 1000, NULL, WRITING | READING, false},
    {"json", NULL, "print one JSON object instead",
     KIND_FLAG, FIELD(json), 0, 0, NULL, WRITING | READING, true},
};
#define ROWS (sizeof rows / sizeof rows[0])

static const char modes_help[] =
"\n"
"commit and append write a new log; scan, load, get and recover write one of\n"
"--size first. scan, load and recover drop it from the page cache before each\n"
"pass, and measure whole passes: the latency of scan and load is that of reading\n"
"the log, of recover that of opening it.\n"
"With --vs fio: commit against overwrites of 4 KiB, one at a time a job; append\n"
"against 1 MiB, four at a time, overwriting with --trim, otherwise into\n"
"preallocated space, all with RWF_DSYNC; scan, load and recover against direct\n"
"reads of 1 MiB, eight at a time; get against random direct reads of a payload,\n"
"4 KiB at least, one at a time.\n";

static const char common_help[] =
"\n"
"All files are made in a new folder in DIR, which is removed. Sizes may end in\n"
"K, M, G or T.\n"
"\n"
"Exit status: 0 measured, 8 something failed, 16 wrong usage, 32 stopped by a\n"
"signal; what was measured until then is printed.\n";
/* clang-format on */

static void help_print(const char *program, bool peer) {
    printf("Usage: %s [OPTION]... DIR\n"
           "Measure a write-ahead log on the filesystem that DIR is on.\n\n",
           program);
    for (size_t i = 0; i < ROWS; i++) {
        if (peer && !rows[i].peer)
            continue;
        char head[40];
        snprintf(head, sizeof head, "--%s%s%s", rows[i].name,
                 rows[i].argument != NULL ? " " : "",
                 rows[i].argument != NULL ? rows[i].argument : "");
        const char *line = rows[i].help;
        while (line != NULL) {
            const char *end = strchr(line, '\n');
            int size = end != NULL ? (int)(end - line) : (int)strlen(line);
            printf("  %-20s%.*s\n", head, size, line);
            head[0] = '\0';
            line = end != NULL ? end + 1 : NULL;
        }
    }
    printf("  --help, --version\n%s%s", peer ? "" : modes_help, common_help);
}

/* ---- values ---- */

static bool real_parse(const char *option, const char *text, double max,
                       double *value) {
    char *end;
    double real = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(real) || real <= 0 ||
        real > max) {
        dwal__cli_usage("%s: '%s' is not a number above 0, up to %.0f", option,
                        text, max);
        return false;
    }
    *value = real;
    return true;
}

static bool row_parse(const struct row *row, const char *text,
                      struct dwal__bench_options *options) {
    char option[32];
    snprintf(option, sizeof option, "--%s", row->name);
    char *field = (char *)options + row->at;
    uint64_t number = 0;
    int choice = 0;
    switch (row->kind) {
    case KIND_UNSIGNED:
    case KIND_NUMBER:
        if (!dwal__cli_number(option, text, row->min, row->max, &number))
            return false;
        break;
    case KIND_SIZE:
    case KIND_SIZE32:
        if (!dwal__cli_size(option, text, row->min, row->max, &number))
            return false;
        break;
    case KIND_REAL:
        return real_parse(option, text, (double)row->max, (double *)field);
    case KIND_CHOICE:
        if (!dwal__cli_choice(option, text, row->names, &choice))
            return false;
        if (row->names == versus_names)
            *(bool *)field = true;
        else
            *(int *)field = choice;
        return true;
    case KIND_FLAG:
        *(bool *)field = true;
        return true;
    }
    if (row->kind == KIND_UNSIGNED)
        *(unsigned *)field = (unsigned)number;
    else if (row->kind == KIND_SIZE32)
        *(uint32_t *)field = (uint32_t)number;
    else
        *(uint64_t *)field = number;
    return true;
}

/* ---- what fits together ---- */

/* False, and told, if an option of those @given means nothing here. */
static bool given_check(const struct dwal__bench_options *options,
                        uint64_t given) {
    unsigned mode = 1u << options->mode;
    for (size_t i = 0; i < ROWS; i++)
        if ((given >> i & 1) != 0 && (rows[i].modes & mode) == 0) {
            dwal__cli_usage("--%s means nothing with --mode %s", rows[i].name,
                            dwal__bench_mode_names[options->mode]);
            return false;
        }
    if (options->rounds != 0 && !options->versus_fio) {
        dwal__cli_usage("--rounds belongs to --vs");
        return false;
    }
    if (options->versus_fio && (options->rate > 0 || options->logs > 1)) {
        dwal__cli_usage("--vs compares one log in a closed loop: no --rate, no "
                        "--logs");
        return false;
    }
    if (options->versus_fio && (mode & WRITING) != 0 && options->size != 0) {
        dwal__cli_usage("--vs compares rates over the same time: give it "
                        "--runtime, not --size");
        return false;
    }
    if (options->flush_us != 0 && (options->versus_fio || options->logs > 1)) {
        dwal__cli_usage("--flush-us simulates one device for one log: no --vs, "
                        "no --logs");
        return false;
    }
    if (options->bs == 0 &&
        (options->versus_fio || options->size != 0 || options->trim != 0 ||
         options->warmup != 0 || (mode & READING) != 0)) {
        dwal__cli_usage("--bs 0 is no payload, so nothing can be counted in "
                        "bytes of it");
        return false;
    }
    return true;
}

static void defaults_set(struct dwal__bench_options *options) {
    bool reading = (1u << options->mode & READING) != 0;
    if (options->mode == DWAL__BENCH_COMMIT)
        options->iodepth = 1;
    else if (options->iodepth == 0)
        options->iodepth = IODEPTH_DEFAULT;
    if (options->runtime == 0 && (options->size == 0 || reading))
        options->runtime = RUNTIME_DEFAULT;
    if (reading && options->size == 0)
        options->size = READ_SIZE_DEFAULT;
    if (options->rounds == 0)
        options->rounds = 3;
}

/* ---- the line ---- */

enum { CODE_HELP = 1000, CODE_VERSION };

/* The table as getopt wants it. */
static void long_options_fill(struct option *options, bool peer) {
    size_t count = 0;
    for (size_t i = 0; i < ROWS; i++)
        if (!peer || rows[i].peer)
            options[count++] = (struct option){
                rows[i].name,
                rows[i].argument != NULL ? required_argument : no_argument,
                NULL, (int)i};
    options[count++] = (struct option){"help", no_argument, NULL, CODE_HELP};
    options[count++] =
        (struct option){"version", no_argument, NULL, CODE_VERSION};
    options[count] = (struct option){NULL, 0, NULL, 0};
}

static bool words_parse(int argc, char **argv, bool peer,
                        struct dwal__bench_options *options, int *status) {
    struct option long_options[ROWS + 3];
    long_options_fill(long_options, peer);
    uint64_t given = 0;
    *status = DWAL__EXIT_USAGE;
    for (;;) {
        int code = getopt_long(argc, argv, "", long_options, NULL);
        if (code == -1)
            break;
        if (code == '?') {
            dwal__cli_usage(NULL);
            return false;
        }
        if (code == CODE_HELP || code == CODE_VERSION) {
            if (code == CODE_HELP)
                help_print(options->program, peer);
            else
                dwal__cli_version();
            *status = DWAL__EXIT_CLEAN;
            return false;
        }
        if (!row_parse(&rows[code], optarg, options))
            return false;
        given |= UINT64_C(1) << code;
    }
    if (argc - optind != 1) {
        dwal__cli_usage(optind == argc ? "in which directory?"
                                       : "one directory at a time");
        return false;
    }
    options->path = argv[optind];
    return given_check(options, given);
}

bool dwal__bench_options_parse(int argc, char **argv, bool peer,
                               struct dwal__bench_options *options,
                               int *status) {
    memset(options, 0, sizeof *options);
    options->program = argv[0];
    options->numjobs = options->logs = 1;
    options->bs = 512;
    options->preset = 1; /* balanced */
    options->verify = UINT64_MAX;
    if (!words_parse(argc, argv, peer, options, status))
        return false;
    defaults_set(options);
    return true;
}
