/* SPDX-License-Identifier: MIT */
/*
 * walfsck: checks a log, and repairs it as far as it is told to.
 *
 * What is wrong is found out by recovery, the same code that opens a log. Here
 * is only the course of a run: look, say, repair if that is permitted for
 * everything that was found, look again.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "cli.h"
#include "fix.h"
#include "print.h"
#include "rescue.h"

static const char help[] =
    "usage: walfsck [-n | -p | -y] [OPTION]... DIR\n"
    "       walfsck --salvage NEWDIR [OPTION]... DIR\n"
    "       walfsck --undo-apply FILE DIR\n"
    "\n"
    "Checks the log in DIR: the files, every batch and every record. Without "
    "-p\n"
    "and -y it only looks and changes no byte. The log must not be open.\n"
    "\n"
    "  -n                 only look (the default)\n"
    "  -p                 remove a torn tail, which is what a crash leaves, "
    "and\n"
    "                     nothing else; records in it may have been "
    "acknowledged\n"
    "  -y                 make the log usable whatever is wrong: put back "
    "what\n"
    "                     checksums prove, a flipped bit or a header, end the "
    "log\n"
    "                     before other damage, and give up what lies behind\n"
    "      --rebuild-header  make damaged segment headers anew that the\n"
    "                     segment's batches prove in number, salt and sizes;\n"
    "                     alone, or with -y\n"
    "      --salvage NEWDIR  make a new log in NEWDIR of every record that is\n"
    "                     still whole, with its LSN; what is lost is named, "
    "here\n"
    "                     and in the new log. Nothing is changed in DIR; with\n"
    "                     -n, nothing is made\n"
    "      --strict       exit 4 for a torn tail that is left, too\n"
    "      --require LSN  exit 4 if the log ends before LSN, which somebody "
    "knows\n"
    "                     to have been acknowledged; nothing is repaired then\n"
    "      --undo FILE    save what a repair overwrites in FILE instead of in "
    "DIR\n"
    "      --undo-apply FILE  put back what was saved in FILE\n"
    "  -j N               check N segments at once, 1 to 64; what is found is\n"
    "                     the same\n"
    "      --json         one object a line, one a second about the progress; "
    "the\n"
    "                     last is of the kind \"summary\", or \"error\" if the "
    "work\n"
    "                     could not be done\n"
    "  -v, --verbose      notes, too: files that are no part of the log\n"
    "  -C FD              lines \"PERCENT DONE TOTAL\" to this file "
    "descriptor\n"
    "      --color=WHEN   auto, always or never\n"
    "      --help, --version\n"
    "\n"
    "What would be lost is said before anything is done. What is overwritten "
    "is saved\n"
    "and synced before, and the command that puts it back is printed. A "
    "repair or a\n"
    "salvage that was interrupted is finished by running it again.\n"
    "\n"
    "exit status, a sum of:\n"
    "   0  the log is in order, or its tail is torn, which needs no repair\n"
    "   1  something was repaired\n"
    "   4  damage was found and left\n"
    "   8  the work could not be done: no log, in use, not readable, no space\n"
    "  16  wrong command line\n"
    "  32  cancelled by a signal\n"
    "\n"
    "examples:\n"
    "  walfsck /var/lib/x/log            # how is it?\n"
    "  walfsck -p /var/lib/x/log         # after a crash, from a script\n"
    "  walfsck --require 1042 /var/lib/x/log && echo nothing lost\n"
    "  walfsck --salvage /backup/x.log /var/lib/x/log    # what is left of it\n"
    "  walfsck -y --undo /backup/x.undo /var/lib/x/log   # the last resort\n"
    "  walfsck --undo-apply /backup/x.undo /var/lib/x/log\n";

/* ---- the course of a run ---- */

static int code_status(int code) {
    return code == DWAL_EAGAIN ? DWAL__EXIT_CANCELLED : DWAL__EXIT_ERROR;
}

static uint64_t problems_count(const struct dwal__check *check) {
    return check->counts[DWAL__SEVERITY_TORN] +
           check->counts[DWAL__SEVERITY_DAMAGE] +
           check->counts[DWAL__SEVERITY_FATAL];
}

static bool repairable(const struct dwal__check *check) {
    enum dwal__verdict verdict = check->recovery.verdict;
    return verdict == DWAL__VERDICT_TORN || verdict == DWAL__VERDICT_CORRUPT;
}

/* Recovers, and prints what came of it. Sets *@permitted to whether the
 * settings allow to repair all of it. With @fix, which is to be released, the
 * repair is planned first, so that what is said of damage knows what becomes of
 * it. */
static int look(struct dwal__check *check, struct dwal__fix *fix,
                bool *permitted, struct dwal_error *error) {
    int code = dwal__check_run(check, error);
    if (code != DWAL_OK)
        return code;
    if (fix != NULL && repairable(check) && check->settings->salvage == NULL)
        dwal__fix_plan(check, fix);
    dwal__print_verdict(check);
    *permitted = check->settings->permit != DWAL__PERMIT_NEVER ||
                 check->settings->rebuild;
    for (size_t i = 0; i < check->problem_count; i++)
        if (!dwal__print_problem(check, &check->problems[i]))
            *permitted = false;
    return DWAL_OK;
}

/* Repairs, and looks again. Returns the exit code so far; the error of a repair
 * that did not succeed is printed. */
static int repair(struct dwal__check *check, struct dwal__fix *fix,
                  struct dwal__print_result *result,
                  char undo[DWAL__FIX_PATH_SIZE]) {
    const struct dwal__check_settings *settings = check->settings;
    struct dwal_error error;
    bool permitted;
    if (!check->locked) {
        dwal__error_set(&error, DWAL_EIO, 0,
                        "%s/%s cannot be opened for writing, so the log can "
                        "neither be locked nor repaired",
                        settings->path, DWAL__LOCK_NAME);
        return dwal__print_error(settings, &error,
                                 DWAL__EXIT_ERROR | DWAL__EXIT_DAMAGED);
    }
    int code = dwal__fix_run(check, fix, undo, &error);
    result->repaired = code == DWAL_OK && undo[0] != '\0';
    if (code == DWAL_OK && !result->repaired) {
        dwal__print_not_rebuilt(check);
        return dwal__check_status(check);
    }
    check->plan = NULL; /* it was for what was there before */
    if (code == DWAL_OK)
        code = look(check, NULL, &permitted, &error);
    if (code != DWAL_OK)
        return dwal__print_error(settings, &error,
                                 code == DWAL_EAGAIN
                                     ? DWAL__EXIT_CANCELLED
                                     : DWAL__EXIT_ERROR | DWAL__EXIT_DAMAGED);
    result->undo = undo;
    return DWAL__EXIT_REPAIRED | dwal__check_status(check);
}

#define STATUS_FAILED (DWAL__EXIT_ERROR | DWAL__EXIT_CANCELLED)

static int check_log(struct dwal__check *check, struct dwal__fix *fix) {
    struct dwal_error error;
    bool permitted;
    char undo[DWAL__FIX_PATH_SIZE] = "";
    int code = look(check, fix, &permitted, &error);
    if (code != DWAL_OK)
        return dwal__print_error(check->settings, &error, code_status(code));
    struct dwal__print_result result = {.status = dwal__check_status(check),
                                        .problems = problems_count(check),
                                        .verdict = check->recovery.verdict};
    if (repairable(check) && permitted) {
        result.status = repair(check, fix, &result, undo);
        if ((result.status & STATUS_FAILED) != 0)
            return result.status;
    } else if (check->settings->salvage != NULL) {
        code = dwal__rescue_run(check, &error);
        if (code != DWAL_OK)
            return dwal__print_error(check->settings, &error,
                                     code_status(code));
    } else if (repairable(check)) {
        dwal__fix_preview(check, fix);
    }
    result.left = problems_count(check);
    dwal__print_summary(check, &result);
    return result.status;
}

static int undo_log(struct dwal__check *check) {
    struct dwal__undo_done done;
    struct dwal_error error;
    int code = DWAL_EIO;
    if (check->locked)
        code = dwal__fix_undo(check, &done, &error);
    else
        dwal__error_set(&error, code, 0,
                        "%s: the log cannot be locked, so nothing is put back",
                        check->settings->path);
    if (code != DWAL_OK)
        return dwal__print_error(check->settings, &error, code_status(code));
    dwal__print_undone(check, &done);
    return DWAL__EXIT_CLEAN;
}

static int run(const struct dwal__check_settings *settings) {
    struct dwal__check check;
    struct dwal__fix fix = {.code = DWAL_OK};
    struct dwal_error error;
    int status;
    int code = dwal__check_open(&check, settings, dwal__disk_kernel(), &error);
    if (code != DWAL_OK)
        status = dwal__print_error(settings, &error, code_status(code));
    else if (settings->undo_apply != NULL)
        status = undo_log(&check);
    else
        status = check_log(&check, &fix);
    dwal__fix_release(&check, &fix);
    dwal__check_close(&check);
    return status;
}

/* ---- the command line ---- */

enum {
    OPTION_STRICT = 256,
    OPTION_REQUIRE,
    OPTION_UNDO,
    OPTION_UNDO_APPLY,
    OPTION_SALVAGE,
    OPTION_REBUILD,
    OPTION_JSON,
    OPTION_COLOR,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option options[] = {
    {"strict", no_argument, NULL, OPTION_STRICT},
    {"require", required_argument, NULL, OPTION_REQUIRE},
    {"undo", required_argument, NULL, OPTION_UNDO},
    {"undo-apply", required_argument, NULL, OPTION_UNDO_APPLY},
    {"salvage", required_argument, NULL, OPTION_SALVAGE},
    {"rebuild-header", no_argument, NULL, OPTION_REBUILD},
    {"json", no_argument, NULL, OPTION_JSON},
    {"verbose", no_argument, NULL, 'v'},
    {"color", required_argument, NULL, OPTION_COLOR},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0}};

/* -n, -p, -y: one of them at most. */
static bool mode_set(struct dwal__check_settings *settings, int *mode,
                     int option) {
    if (*mode != 0 && *mode != option) {
        dwal__cli_usage("-%c and -%c exclude each other", *mode, option);
        return false;
    }
    *mode = option;
    settings->dry = option == 'n';
    settings->permit = option == 'y'   ? DWAL__PERMIT_YES
                       : option == 'p' ? DWAL__PERMIT_PREEN
                                       : DWAL__PERMIT_NEVER;
    return true;
}

static bool progress_set(struct dwal__check_settings *settings,
                         const char *text) {
    uint64_t fd;
    if (!dwal__cli_number("-C", text, 0, 65535, &fd))
        return false;
    settings->progress_fd = (int)fd;
    if (fcntl(settings->progress_fd, F_GETFD) >= 0)
        return true;
    dwal__cli_usage("-C %d: %s", settings->progress_fd, strerror(errno));
    return false;
}

/* The path of an undo file, from optarg. */
static bool path_set(const char **path, const char *option) {
    *path = optarg;
    if (dwal__fix_path_valid(optarg))
        return true;
    dwal__cli_usage("%s: no undo file can be named '%s'", option, optarg);
    return false;
}

/* The path of the new log, from optarg. */
static bool salvage_set(struct dwal__check_settings *settings) {
    size_t length = strlen(optarg);
    while (length > 1 && optarg[length - 1] == '/')
        optarg[--length] = '\0'; /* as shells complete it */
    settings->salvage = optarg;
    if (dwal__rescue_path_valid(optarg))
        return true;
    dwal__cli_usage("--salvage: no new log can be named '%s'", optarg);
    return false;
}

static bool threads_set(struct dwal__check_settings *settings,
                        const char *text) {
    uint64_t threads;
    if (!dwal__cli_number("-j", text, 1, DWAL__RECOVER_THREADS_MAX, &threads))
        return false;
    settings->threads = (unsigned)threads;
    return true;
}

/* One option. False: it is wrong, which has been told. */
static bool option_take(struct dwal__check_settings *settings, int *mode,
                        int option) {
    switch (option) {
    case 'n':
    case 'p':
    case 'y':
        return mode_set(settings, mode, option);
    case 'v':
        settings->verbose = true;
        return true;
    case 'C':
        return progress_set(settings, optarg);
    case 'j':
        return threads_set(settings, optarg);
    case OPTION_STRICT:
        settings->strict = true;
        return true;
    case OPTION_REQUIRE:
        settings->require = true;
        return dwal__cli_number("--require", optarg, 1, DWAL__LSN_MAX,
                                &settings->require_lsn);
    case OPTION_UNDO:
        return path_set(&settings->undo, "--undo");
    case OPTION_UNDO_APPLY:
        return path_set(&settings->undo_apply, "--undo-apply");
    case OPTION_SALVAGE:
        return salvage_set(settings);
    case OPTION_REBUILD:
        settings->rebuild = true;
        return true;
    case OPTION_JSON:
        settings->json = true;
        return true;
    case OPTION_COLOR:
        return dwal__cli_color_set(optarg);
    default:
        dwal__cli_usage(NULL);
        return false;
    }
}

/* What options do not fit together. */
static bool settings_valid(const struct dwal__check_settings *settings,
                           int mode) {
    bool repairs = settings->permit != DWAL__PERMIT_NEVER || settings->rebuild;
    if (settings->undo_apply != NULL &&
        (mode != 0 || settings->undo != NULL || settings->require ||
         settings->strict || settings->rebuild || settings->salvage != NULL))
        dwal__cli_usage("--undo-apply goes alone: no other repair");
    else if (settings->salvage != NULL && repairs)
        dwal__cli_usage("--salvage changes nothing in DIR, and goes with no "
                        "repair");
    else if (settings->rebuild && (mode == 'n' || mode == 'p'))
        dwal__cli_usage("--rebuild-header goes alone or with -y");
    else if (settings->undo != NULL && !repairs)
        dwal__cli_usage("--undo needs -p, -y or --rebuild-header");
    else
        return true;
    return false;
}

/* Fills @settings. Returns -1, or the exit code of a run that is over. */
static int settings_parse(struct dwal__check_settings *settings, int argc,
                          char **argv) {
    int mode = 0;
    int option;
    *settings = (struct dwal__check_settings){.progress_fd = -1, .threads = 1};
    while ((option = getopt_long(argc, argv, "npyvC:j:", options, NULL)) !=
           -1) {
        if (option == OPTION_HELP) {
            fputs(help, stdout);
            return DWAL__EXIT_CLEAN;
        }
        if (option == OPTION_VERSION) {
            dwal__cli_version();
            return DWAL__EXIT_CLEAN;
        }
        if (!option_take(settings, &mode, option))
            return DWAL__EXIT_USAGE;
    }
    if (!settings_valid(settings, mode))
        return DWAL__EXIT_USAGE;
    if (optind != argc - 1)
        return dwal__cli_usage(optind == argc ? "which directory?"
                                              : "one directory at a time");
    settings->path = argv[optind];
    if (settings->path[0] == '\0')
        return dwal__cli_usage("which directory? its name is empty");
    if (strlen(settings->path) >= DWAL__FIX_PATH_SIZE - 256 ||
        (settings->salvage != NULL &&
         strlen(settings->salvage) >= DWAL__FIX_PATH_SIZE - 256))
        return dwal__cli_usage("the path is too long");
    return -1;
}

int main(int argc, char **argv) {
    struct dwal__check_settings settings;
    dwal__cli_begin("walfsck", argv);
    /* Undo files hold what the log holds: nobody else reads them. */
    umask(077);
    int status = settings_parse(&settings, argc, argv);
    if (status < 0)
        status = run(&settings);
    return dwal__cli_end(status);
}
