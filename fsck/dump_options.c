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

enum {
    OPTION_BATCHES = 256,
    OPTION_SEGMENTS,
    OPTION_MAP,
    OPTION_CELL,
    OPTION_EXTRACT,
    OPTION_FORCE,
    OPTION_SYSTEM,
    OPTION_SKIP_DAMAGE,
    OPTION_TYPE,
    OPTION_TENANT,
    OPTION_SHARD,
    OPTION_JSON,
    OPTION_RAW,
    OPTION_LINES,
    OPTION_HEX,
    OPTION_DECODER,
    OPTION_DECODER_TIMEOUT,
    OPTION_COLOR,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"batches", no_argument, NULL, OPTION_BATCHES},
    {"segments", no_argument, NULL, OPTION_SEGMENTS},
    {"stats", no_argument, NULL, 'z'},
    {"map", no_argument, NULL, OPTION_MAP},
    {"cell", required_argument, NULL, OPTION_CELL},
    {"extract", required_argument, NULL, OPTION_EXTRACT},
    {"output", required_argument, NULL, 'o'},
    {"force", no_argument, NULL, OPTION_FORCE},
    {"quiet", no_argument, NULL, 'q'},
    {"system", no_argument, NULL, OPTION_SYSTEM},
    {"start", required_argument, NULL, 's'},
    {"end", required_argument, NULL, 'e'},
    {"limit", required_argument, NULL, 'n'},
    {"follow", no_argument, NULL, 'f'},
    {"skip-damage", no_argument, NULL, OPTION_SKIP_DAMAGE},
    {"type", required_argument, NULL, OPTION_TYPE},
    {"tenant", required_argument, NULL, OPTION_TENANT},
    {"shard", required_argument, NULL, OPTION_SHARD},
    {"json", no_argument, NULL, OPTION_JSON},
    {"raw", no_argument, NULL, OPTION_RAW},
    {"lines", no_argument, NULL, OPTION_LINES},
    {"hex", no_argument, NULL, OPTION_HEX},
    {"decoder", required_argument, NULL, OPTION_DECODER},
    {"decoder-timeout", required_argument, NULL, OPTION_DECODER_TIMEOUT},
    {"color", required_argument, NULL, OPTION_COLOR},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0}};

/* ---- one option ---- */

/* Two that choose between the same things cannot both be meant. */
static bool what_set(struct dwal__dump_options *options,
                     enum dwal__dump_what what) {
    if (options->what != DWAL__DUMP_RECORDS && options->what != what) {
        dwal__cli_usage("only one of --batches, --segments, --stats, --map, "
                        "--extract, --quiet can be shown");
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

/* Not a word of these is about single records. */
static bool option_take_other(struct dwal__dump_options *options, int option) {
    switch (option) {
    case OPTION_CELL:
        return dwal__cli_size("--cell", optarg, DWAL__BLOCK_SIZE_MIN,
                              DWAL__SEGMENT_SIZE_MAX, &options->cell_size);
    case OPTION_EXTRACT:
        return what_set(options, DWAL__DUMP_EXTRACT) &&
               lsn_read("--extract", &options->extract_lsn);
    case 'o':
        options->output = optarg;
        return true;
    case OPTION_FORCE:
        options->force = true;
        return true;
    case OPTION_DECODER:
        options->decoder = optarg;
        return true;
    case OPTION_DECODER_TIMEOUT:
        return dwal__cli_number("--decoder-timeout", optarg, 1, 86400,
                                &options->decoder_timeout_s);
    case OPTION_COLOR:
        return dwal__cli_color_set(optarg);
    default: /* getopt said what is wrong */
        dwal__cli_usage(NULL);
        return false;
    }
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
    case OPTION_MAP:
        return what_set(options, DWAL__DUMP_MAP);
    case OPTION_SYSTEM:
        options->system = true;
        return true;
    case 'f':
        options->follow = true;
        return true;
    case OPTION_SKIP_DAMAGE:
        options->skip_damage = true;
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
    default:
        return option_take_other(options, option);
    }
}

/* ---- all together ---- */

static bool filtered(const struct dwal__dump_options *options) {
    return options->filter_type || options->filter_tenant ||
           options->filter_shard;
}

static bool ranged(const struct dwal__dump_options *options) {
    return options->start_lsn != 0 || options->end_lsn != UINT64_MAX ||
           options->limit != UINT64_MAX || filtered(options);
}

/* What goes with one thing to show only. */
static const char *what_conflict(const struct dwal__dump_options *options) {
    bool files =
        options->what == DWAL__DUMP_SEGMENTS || options->what == DWAL__DUMP_MAP;
    bool extract = options->what == DWAL__DUMP_EXTRACT;
    if (options->what == DWAL__DUMP_NOTHING &&
        options->form != DWAL__DUMP_TABLE)
        return "--quiet shows nothing, so --json means nothing";
    if (files && ranged(options))
        return "--segments and --map show whole files: no --start, --end, "
               "--limit, --type, --tenant, --shard";
    if (files && options->skip_damage)
        return "--segments and --map show damage as it is: no --skip-damage";
    if (options->cell_size != 0 && options->what != DWAL__DUMP_MAP)
        return "--cell is for --map";
    if (extract && options->output == NULL)
        return "--extract needs -o FILE; -o - is standard output";
    if (extract && (ranged(options) || options->form != DWAL__DUMP_TABLE ||
                    options->segment_count > 0))
        return "--extract takes one record as it is: no other choice of "
               "records, no --json";
    if (!extract && options->output != NULL)
        return "-o is for --extract";
    if (options->force && (!extract || strcmp(options->output, "-") == 0))
        return "--force is for --extract with -o FILE";
    return NULL;
}

/* How records are read and shown. */
static const char *how_conflict(const struct dwal__dump_options *options) {
    bool records = options->what == DWAL__DUMP_RECORDS;
    bool raw = options->form == DWAL__DUMP_RAW;
    bool hex = options->form == DWAL__DUMP_HEX;
    if (options->lines && !raw)
        return "--lines is for --raw";
    if (!records && (raw || hex))
        return "--raw and --hex are for records";
    if (options->decoder != NULL && (!records || raw || hex))
        return "--decoder is for records, as a table or with --json";
    if (options->decoder == NULL && options->decoder_timeout_s != 0)
        return "--decoder-timeout is for --decoder";
    if (options->system && !records)
        return "--system is for records; --batches and --stats count system "
               "records by themselves";
    if (options->system && raw)
        return "--raw shows what applications wrote: no --system";
    if (options->system && filtered(options))
        return "system records have no type, tenant or shard of an "
               "application: --system cannot be filtered";
    if (options->start_lsn > options->end_lsn)
        return "--start lies behind --end";
    if (options->follow && !records && options->what != DWAL__DUMP_BATCHES)
        return "--follow is for records and --batches";
    if (options->follow && options->segment_count > 0)
        return "--follow follows the log: no SEGMENT";
    if (options->skip_damage && options->segment_count > 0)
        return "--skip-damage reads the log as a whole: no SEGMENT; --start "
               "and --end choose";
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

/* What follows from the rest. */
static void options_complete(struct dwal__dump_options *options) {
    if (options->what == DWAL__DUMP_EXTRACT)
        options->start_lsn = options->end_lsn = options->extract_lsn;
    if (options->decoder_timeout_s == 0)
        options->decoder_timeout_s = 10;
}

bool dwal__dump_options_read(struct dwal__dump_options *options, int argc,
                             char **argv, int *status) {
    *options =
        (struct dwal__dump_options){.end_lsn = UINT64_MAX, .limit = UINT64_MAX};
    *status = DWAL__EXIT_USAGE;
    for (int option; (option = getopt_long(argc, argv, "s:e:n:zqfo:",
                                           long_options, NULL)) != -1;) {
        if (option == OPTION_HELP || option == OPTION_VERSION) {
            if (option == OPTION_HELP)
                fputs(dwal__dump_help, stdout);
            else
                dwal__cli_version();
            *status = DWAL__EXIT_CLEAN;
            return false;
        }
        if (!option_take(options, option))
            return false;
    }
    if (optind == argc) {
        dwal__cli_usage("which log? DIR is missing");
        return false;
    }
    options->path = argv[optind];
    if (options->path[0] == '\0') {
        dwal__cli_usage("which log? the name of DIR is empty");
        return false;
    }
    if (!segments_read(options, argv + optind + 1, (size_t)(argc - optind - 1)))
        return false;
    const char *problem = what_conflict(options);
    if (problem == NULL)
        problem = how_conflict(options);
    if (problem != NULL)
        dwal__cli_usage("%s", problem);
    else
        options_complete(options);
    return problem == NULL;
}
