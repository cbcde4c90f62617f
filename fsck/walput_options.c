/* SPDX-License-Identifier: MIT */
/*
 * walput's command line. What the library checks itself, the options of the log
 * among them, is left to it.
 */
#include "walput.h"

#include <assert.h>
#include <getopt.h>
#include <string.h>

#include "cli.h"

#define THREADS_MAX 1024

enum option_code {
    OPTION_ACK = 256,
    OPTION_FRAMED,
    OPTION_TYPE,
    OPTION_FLAGS,
    OPTION_TENANT,
    OPTION_SHARD,
    OPTION_KEEP,
    OPTION_CREATE,
    OPTION_PRESET,
    OPTION_SEGMENT_SIZE,
    OPTION_RETAIN_BYTES,
    OPTION_BLOCK_SIZE,
    OPTION_SYNC,
    OPTION_DIRECT,
    OPTION_STATS,
    OPTION_COLOR,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"ack", no_argument, NULL, OPTION_ACK},
    {"framed", no_argument, NULL, OPTION_FRAMED},
    {"threads", required_argument, NULL, 't'},
    {"type", required_argument, NULL, OPTION_TYPE},
    {"flags", required_argument, NULL, OPTION_FLAGS},
    {"tenant", required_argument, NULL, OPTION_TENANT},
    {"shard", required_argument, NULL, OPTION_SHARD},
    {"keep", required_argument, NULL, OPTION_KEEP},
    {"create", required_argument, NULL, OPTION_CREATE},
    {"preset", required_argument, NULL, OPTION_PRESET},
    {"segment-size", required_argument, NULL, OPTION_SEGMENT_SIZE},
    {"retain-bytes", required_argument, NULL, OPTION_RETAIN_BYTES},
    {"block-size", required_argument, NULL, OPTION_BLOCK_SIZE},
    {"sync", required_argument, NULL, OPTION_SYNC},
    {"direct", required_argument, NULL, OPTION_DIRECT},
    {"stats", optional_argument, NULL, OPTION_STATS},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"color", required_argument, NULL, OPTION_COLOR},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0}};

/* clang-format off */
static const char help[] =
"Usage: walput [OPTION]... DIR\n"
"Append standard input to the write-ahead log in DIR, a record a line.\n"
"\n"
"  -t, --threads N      append from N threads, 1 to 1024; 1. LSNs follow the\n"
"                       order of the input all the same\n"
"      --ack            print each record's LSN on a line of its own, once the\n"
"                       record is durable, before a thread reads its next one\n"
"      --framed         records are blobs: length (32 bits, little-endian), bytes\n"
"      --type N         give the records this type, 0 to 65535; 0\n"
"      --flags N        ... these flags, 0 to 65535; 0\n"
"      --tenant N       ... this tenant id, 32 bits; 0\n"
"      --shard N        ... this shard id, 32 bits; 0\n"
"      --keep N         trim as it goes, and at the end: the newest N records\n"
"                       stay; files are used again by whole segments\n"
"\n"
"      --create WHEN    make the log: never, if-absent (the default), or new,\n"
"                       which fails if there is one. The directory must be\n"
"                       absent or empty\n"
"      --preset NAME    latency, balanced (the default), throughput\n"
"      --segment-size SIZE  bytes of a new segment file; 64M\n"
"      --retain-bytes SIZE  trim whole segments, the oldest first, so that those\n"
"                       that are full take no more than this\n"
"      --block-size SIZE    bytes of a block; what the disk wants\n"
"      --sync HOW       auto, dsync (with each write), fdsync (after them)\n"
"      --direct HOW     O_DIRECT: required, preferred (the default), off\n"
"\n"
"  -q, --quiet          no report, no progress bar\n"
"  -v, --verbose        report also when standard error is no terminal\n"
"      --stats[=json]   at the end: what the log did, on standard error\n"
"      --color WHEN     auto, always, never\n"
"      --help, --version\n"
"\n"
"A line is appended without its newline; it may be empty and may hold any other\n"
"byte. Of acknowledgements, only lines with their newline count.\n"
"\n"
"Exit status: 0 all records are durable, 8 something failed (the message tells\n"
"what is durable), 16 wrong usage, 32 stopped by a signal; what was appended\n"
"until then is durable.\n";
/* clang-format on */

/* In the order of the enums of dwal.h, whose values start at 0. */
static const char *const create_names[] = {"never", "if-absent", "new", NULL};
static const char *const preset_names[] = {"latency", "balanced", "throughput",
                                           NULL};
static const char *const sync_names[] = {"auto", "dsync", "fdsync", NULL};
static const char *const stats_names[] = {"json", NULL};
static const char *const direct_names[] = {"required", "preferred", "off",
                                           NULL};
static_assert(DWAL_CREATE_NEW == 2 && DWAL_PRESET_THROUGHPUT == 2 &&
                  DWAL_SYNC_FDSYNC == 2 && DWAL_DIRECT_OFF == 2,
              "names of options");

/* Options that say what the log shall be like. */
static bool log_option_parse(struct dwal_options *options, int code,
                             const char *text) {
    uint64_t number;
    int preset;
    switch (code) {
    case OPTION_CREATE:
        return dwal__cli_choice("--create", text, create_names,
                                &options->create);
    case OPTION_PRESET:
        return dwal__cli_choice("--preset", text, preset_names, &preset) &&
               dwal_options_preset(options, preset) == DWAL_OK;
    case OPTION_SEGMENT_SIZE:
        return dwal__cli_size("--segment-size", text, 65536, UINT64_C(1) << 40,
                              &options->segment_size);
    case OPTION_RETAIN_BYTES:
        return dwal__cli_size("--retain-bytes", text, 1, UINT64_C(1) << 62,
                              &options->retain_bytes);
    case OPTION_BLOCK_SIZE:
        if (!dwal__cli_size("--block-size", text, 4096, 65536, &number))
            return false;
        options->block_size = (uint32_t)number;
        return true;
    case OPTION_SYNC:
        return dwal__cli_choice("--sync", text, sync_names, &options->sync);
    case OPTION_DIRECT:
        return dwal__cli_choice("--direct", text, direct_names,
                                &options->direct);
    default:
        return false; /* getopt has told */
    }
}

static bool stats_parse(struct dwal__put_settings *settings, const char *text) {
    int json;
    settings->stats = DWAL__PUT_STATS_TEXT;
    if (text == NULL)
        return true;
    settings->stats = DWAL__PUT_STATS_JSON;
    return dwal__cli_choice("--stats", text, stats_names, &json);
}

static bool option_parse(struct dwal__put_settings *settings, int code,
                         const char *text) {
    uint64_t number;
    switch (code) {
    case OPTION_ACK:
        settings->ack = true;
        return true;
    case OPTION_FRAMED:
        settings->framed = true;
        return true;
    case 'q':
        settings->quiet = true;
        return true;
    case 'v':
        settings->verbose = true;
        return true;
    case OPTION_STATS:
        return stats_parse(settings, text);
    case OPTION_COLOR:
        return dwal__cli_color_set(text);
    case 't':
        if (!dwal__cli_number("--threads", text, 1, THREADS_MAX, &number))
            return false;
        settings->threads = (unsigned)number;
        return true;
    case OPTION_TYPE:
        if (!dwal__cli_number("--type", text, 0, UINT16_MAX, &number))
            return false;
        settings->record.type = (uint16_t)number;
        return true;
    case OPTION_FLAGS:
        if (!dwal__cli_number("--flags", text, 0, UINT16_MAX, &number))
            return false;
        settings->record.flags = (uint16_t)number;
        return true;
    case OPTION_TENANT:
        if (!dwal__cli_number("--tenant", text, 0, UINT32_MAX, &number))
            return false;
        settings->record.tenant = (uint32_t)number;
        return true;
    case OPTION_SHARD:
        if (!dwal__cli_number("--shard", text, 0, UINT32_MAX, &number))
            return false;
        settings->record.shard = (uint32_t)number;
        return true;
    case OPTION_KEEP:
        return dwal__cli_number("--keep", text, 1, UINT64_MAX / 2,
                                &settings->keep);
    default:
        return log_option_parse(&settings->options, code, text);
    }
}

bool dwal__put_settings_read(struct dwal__put_settings *settings, int argc,
                             char **argv, int *status) {
    *status = DWAL__EXIT_USAGE;
    for (;;) {
        int code = getopt_long(argc, argv, "t:qv", long_options, NULL);
        if (code == -1)
            break;
        if (code == OPTION_HELP || code == OPTION_VERSION) {
            if (code == OPTION_HELP)
                fputs(help, stdout);
            else
                dwal__cli_version();
            *status = DWAL__EXIT_CLEAN;
            return false;
        }
        if (!option_parse(settings, code, optarg)) {
            if (code == '?')
                dwal__cli_usage(NULL);
            return false;
        }
    }
    const char *problem = NULL;
    if (argc - optind != 1)
        problem =
            optind == argc ? "which directory?" : "one directory at a time";
    else if (argv[optind][0] == '\0')
        problem = "which directory? its name is empty";
    if (problem != NULL) {
        dwal__cli_usage("%s", problem);
        return false;
    }
    settings->path = argv[optind];
    return true;
}
