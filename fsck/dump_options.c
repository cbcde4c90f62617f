/* SPDX-License-Identifier: MIT */
/*
 * waldump's command line. Nothing is accepted and then ignored: what does not
 * go together is refused.
 */
#include "dump.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "../format/segment.h"
#include "cli.h"

static const char help[] =
    "Usage: waldump [OPTION]... DIR [SEGMENT]...\n"
    "Show the records of the dwal log in DIR, or only those of the SEGMENTs,\n"
    "which are numbers (7, 0x1f) or file names. Reads and never writes; works\n"
    "while a writer has the log, and then stops behind the last record that "
    "is\n"
    "known to be durable.\n"
    "\n"
    "What to show:\n"
    "      --batches        a line for each batch\n"
    "      --segments       a line for each segment file\n"
    "  -z, --stats          counts and sizes, by type of record\n"
    "  -q, --quiet          nothing: only read and check\n"
    "      --system         system records, too\n"
    "\n"
    "Which records:\n"
    "  -s, --start=LSN      from this one on\n"
    "  -e, --end=LSN        up to this one\n"
    "  -n, --limit=N        N records (or batches) at most\n"
    "      --type=N --tenant=N --shard=N\n"
    "                       only those that have it\n"
    "\n"
    "How:\n"
    "      --json           an object a line, payloads in base64\n"
    "      --raw            the payloads, one right behind the other\n"
    "      --lines          with --raw: a newline behind each\n"
    "      --hex            payloads as hexadecimal dumps\n"
    "      --color=WHEN     auto, always or never\n"
    "      --help, --version\n"
    "\n"
    "Exit code: 0 the end was reached (a torn tail is told on standard "
    "error),\n"
    "4 damage on the way (the place and the lost LSNs are told), 8 it could "
    "not\n"
    "be read or written, 16 wrong usage, 32 interrupted.\n"
    "\n"
    "Examples:\n"
    "  waldump /var/lib/x/log                    a table for people\n"
    "  waldump --raw --lines -s 1000 LOG         payloads from LSN 1000 on\n"
    "  waldump --json --tenant=7 LOG | jq .lsn   for programs\n"
    "  waldump -q LOG && echo good               is all of it readable?\n"
    "  waldump --batches LOG 0x2a                one segment, batch by batch\n";

enum {
    OPTION_BATCHES = 256,
    OPTION_SEGMENTS,
    OPTION_SYSTEM,
    OPTION_TYPE,
    OPTION_TENANT,
    OPTION_SHARD,
    OPTION_JSON,
    OPTION_RAW,
    OPTION_LINES,
    OPTION_HEX,
    OPTION_COLOR,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"batches", no_argument, NULL, OPTION_BATCHES},
    {"segments", no_argument, NULL, OPTION_SEGMENTS},
    {"stats", no_argument, NULL, 'z'},
    {"quiet", no_argument, NULL, 'q'},
    {"system", no_argument, NULL, OPTION_SYSTEM},
    {"start", required_argument, NULL, 's'},
    {"end", required_argument, NULL, 'e'},
    {"limit", required_argument, NULL, 'n'},
    {"type", required_argument, NULL, OPTION_TYPE},
    {"tenant", required_argument, NULL, OPTION_TENANT},
    {"shard", required_argument, NULL, OPTION_SHARD},
    {"json", no_argument, NULL, OPTION_JSON},
    {"raw", no_argument, NULL, OPTION_RAW},
    {"lines", no_argument, NULL, OPTION_LINES},
    {"hex", no_argument, NULL, OPTION_HEX},
    {"color", required_argument, NULL, OPTION_COLOR},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0}};

/* ---- one option ---- */

/* Two that choose between the same things cannot both be meant. */
static bool what_set(struct dwal__dump_options *options,
                     enum dwal__dump_what what) {
    if (options->what != DWAL__DUMP_RECORDS && options->what != what) {
        dwal__cli_usage("only one of --batches, --segments, --stats, --quiet "
                        "can be shown");
        return false;
    }
    options->what = what;
    return true;
}

static bool form_set(struct dwal__dump_options *options,
                     enum dwal__dump_form form) {
    if (options->form != DWAL__DUMP_TABLE && options->form != form) {
        dwal__cli_usage("only one of --json, --raw, --hex is possible");
        return false;
    }
    options->form = form;
    return true;
}

static bool lsn_read(const char *name, uint64_t *lsn) {
    return dwal__cli_number(name, optarg, 1, DWAL__LSN_MAX, lsn);
}

static bool filter_read(const char *name, uint64_t max, bool *filter,
                        uint64_t *value) {
    *filter = dwal__cli_number(name, optarg, 0, max, value);
    return *filter;
}

static bool filter_take(struct dwal__dump_options *options, int option) {
    uint64_t value = 0;
    bool good;
    if (option == OPTION_TYPE) {
        good = filter_read("--type", UINT16_MAX, &options->filter_type, &value);
        options->type = (uint16_t)value;
    } else if (option == OPTION_TENANT) {
        good = filter_read("--tenant", UINT32_MAX, &options->filter_tenant,
                           &value);
        options->tenant = (uint32_t)value;
    } else {
        good =
            filter_read("--shard", UINT32_MAX, &options->filter_shard, &value);
        options->shard = (uint32_t)value;
    }
    return good;
}

/* False: a message was printed. */
static bool option_take(struct dwal__dump_options *options, int option) {
    switch (option) {
    case OPTION_BATCHES:
        return what_set(options, DWAL__DUMP_BATCHES);
    case OPTION_SEGMENTS:
        return what_set(options, DWAL__DUMP_SEGMENTS);
    case 'z':
        return what_set(options, DWAL__DUMP_STATS);
    case 'q':
        return what_set(options, DWAL__DUMP_NOTHING);
    case OPTION_SYSTEM:
        options->system = true;
        return true;
    case 's':
        return lsn_read("--start", &options->start_lsn);
    case 'e':
        return lsn_read("--end", &options->end_lsn);
    case 'n':
        return dwal__cli_number("--limit", optarg, 0, UINT64_MAX,
                                &options->limit);
    case OPTION_TYPE:
    case OPTION_TENANT:
    case OPTION_SHARD:
        return filter_take(options, option);
    case OPTION_JSON:
        return form_set(options, DWAL__DUMP_JSON);
    case OPTION_RAW:
        return form_set(options, DWAL__DUMP_RAW);
    case OPTION_LINES:
        options->lines = true;
        return true;
    case OPTION_HEX:
        return form_set(options, DWAL__DUMP_HEX);
    case OPTION_COLOR:
        return dwal__cli_color_set(optarg);
    default: /* getopt said what is wrong */
        dwal__cli_usage(NULL);
        return false;
    }
}

/* ---- all together ---- */

static bool filtered(const struct dwal__dump_options *options) {
    return options->filter_type || options->filter_tenant ||
           options->filter_shard;
}

/* What is wrong with the combination, or NULL. */
static const char *conflict(const struct dwal__dump_options *options) {
    bool records = options->what == DWAL__DUMP_RECORDS;
    bool limited = options->limit != UINT64_MAX;
    bool ranged = options->start_lsn != 0 || options->end_lsn != UINT64_MAX;
    if (options->lines && options->form != DWAL__DUMP_RAW)
        return "--lines is for --raw";
    if (!records &&
        (options->form == DWAL__DUMP_RAW || options->form == DWAL__DUMP_HEX))
        return "--raw and --hex are for records";
    if (options->what == DWAL__DUMP_NOTHING &&
        options->form != DWAL__DUMP_TABLE)
        return "--quiet shows nothing, so --json means nothing";
    if (options->what == DWAL__DUMP_SEGMENTS &&
        (limited || ranged || filtered(options)))
        return "--segments shows whole files: no --start, --end, --limit, "
               "--type, --tenant, --shard";
    if (options->system && !records)
        return "--system is for records; --batches and --stats count system "
               "records by themselves";
    if (options->system && options->form == DWAL__DUMP_RAW)
        return "--raw shows what applications wrote: no --system";
    if (options->system && filtered(options))
        return "system records have no type, tenant or shard of an "
               "application: --system cannot be filtered";
    if (options->start_lsn > options->end_lsn)
        return "--start lies behind --end";
    return NULL;
}

static int number_compare(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* A number, or a file name, with or without directories before it. */
static bool segment_read(const char *text, uint64_t *number) {
    const char *slash = strrchr(text, '/');
    const char *name = slash != NULL ? slash + 1 : text;
    if (dwal__name_parse(name, number) == DWAL__NAME_SEGMENT)
        return true;
    return dwal__cli_number("SEGMENT", text, 1, UINT64_MAX, number);
}

static bool segments_read(struct dwal__dump_options *options, char **arguments,
                          size_t count) {
    if (count == 0)
        return true;
    options->segments = calloc(count, sizeof options->segments[0]);
    if (options->segments == NULL) {
        dwal__cli_error("no memory for %zu arguments", count);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!segment_read(arguments[i], &options->segments[i]))
            return false;
    qsort(options->segments, count, sizeof options->segments[0],
          number_compare);
    for (size_t i = 0; i < count; i++) {
        size_t kept = options->segment_count;
        if (kept == 0 || options->segments[kept - 1] != options->segments[i])
            options->segments[options->segment_count++] = options->segments[i];
    }
    return true;
}

bool dwal__dump_segment_wanted(const struct dwal__dump_options *options,
                               uint64_t number) {
    return options->segment_count == 0 ||
           bsearch(&number, options->segments, options->segment_count,
                   sizeof options->segments[0], number_compare) != NULL;
}

bool dwal__dump_options_read(struct dwal__dump_options *options, int argc,
                             char **argv, int *status) {
    *options =
        (struct dwal__dump_options){.end_lsn = UINT64_MAX, .limit = UINT64_MAX};
    *status = DWAL__EXIT_USAGE;
    for (int option; (option = getopt_long(argc, argv, "s:e:n:zq", long_options,
                                           NULL)) != -1;) {
        if (option == OPTION_HELP || option == OPTION_VERSION) {
            if (option == OPTION_HELP)
                fputs(help, stdout);
            else
                dwal__cli_version();
            *status = DWAL__EXIT_CLEAN;
            return false;
        }
        if (!option_take(options, option))
            return false;
    }
    const char *problem = conflict(options);
    if (problem != NULL) {
        dwal__cli_usage("%s", problem);
        return false;
    }
    if (optind == argc) {
        dwal__cli_usage("which log? DIR is missing");
        return false;
    }
    options->path = argv[optind];
    return segments_read(options, argv + optind + 1,
                         (size_t)(argc - optind - 1));
}
