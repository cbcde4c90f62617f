/* SPDX-License-Identifier: MIT */
/*
 * How a tool of dwal begins, ends, and speaks: signals, standard output's
 * errors, colours, messages, numbers. Keeps two rules: a tool never reports
 * success for output that did not get out, and no byte of a message that came
 * from elsewhere drives the terminal.
 */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../format/crc.h"

static const char *program_name = "dwal";
static volatile sig_atomic_t cancelled;
static volatile sig_atomic_t cancel_fd = -1; /* eventfd; see cli.h */
static enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } color_mode;
static bool color_allowed;     /* by the environment, for COLOR_AUTO */
static bool color_terminal[2]; /* standard output, standard error */
static int output_errno;       /* of the first write that failed */

/* ---- beginning and end ---- */

/* A standard stream that the caller closed would be given to the next file that
 * is opened: a message could end up in LOCK, and input be awaited from a file
 * of our own. So each gets a descriptor whose use fails, as that of a closed
 * one does: nothing can be read from standard input, nothing written to the
 * others. */
static void streams_occupy(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        int mode = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (open("/dev/null", mode) != fd)
            _exit(DWAL__EXIT_ERROR); /* nowhere to tell it */
    }
}

/* Makes cancel_fd readable, in a signal handler too. */
static void cancel_tell(void) {
    uint64_t one = 1;
    int before = errno;
    if (cancel_fd >= 0 && write(cancel_fd, &one, sizeof one) < 0)
        errno = before; /* it is readable already */
}

static void cancel(int number) {
    (void)number;
    cancelled = 1;
    cancel_tell();
}

/* Without SA_RESTART, so that a write into a pager that sleeps comes back; with
 * SA_RESETHAND, so that a second signal ends a tool that hangs on a disk. */
static void signals_set(int flags) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = cancel,
                               .sa_flags = SA_RESETHAND | flags};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction before;
        /* One that nohup or a shell had ignored stays so. */
        if (sigaction(numbers[i], NULL, &before) == 0 &&
            before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

void dwal__cli_begin(const char *program, char **argv) {
    static char output_buffer[256 * 1024];
    program_name = program;
    argv[0] = (char *)program;
    streams_occupy();
    setlocale(LC_CTYPE, "");
    signals_set(0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    setvbuf(stdout, output_buffer, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF,
            sizeof output_buffer);
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    color_allowed = (no_color == NULL || no_color[0] == '\0') &&
                    terminal != NULL && strcmp(terminal, "dumb") != 0;
    color_terminal[0] = isatty(STDOUT_FILENO) != 0;
    color_terminal[1] = isatty(STDERR_FILENO) != 0;
}

/* Writes what is buffered. The errno of the write that set the error flag is
 * long gone, so a flush, which writes again, finds out. */
static void output_flush(void) {
    errno = 0;
    bool bad = fflush(stdout) != 0;
    if (output_errno == 0 && (bad || ferror(stdout)))
        output_errno = errno != 0 ? errno : EIO;
}

bool dwal__cli_output_good(void) {
    if (output_errno == 0 && ferror_unlocked(stdout))
        output_flush();
    return output_errno == 0;
}

int dwal__cli_end(int status) {
    dwal__cli_progress_end();
    output_flush();
    if (output_errno == 0)
        return status;
    /* Interrupted by the signal that cancelled: that is what is told. */
    if (cancelled)
        return status | DWAL__EXIT_CANCELLED;
    if (output_errno != EPIPE)
        dwal__cli_error("cannot write standard output: %s",
                        strerror(output_errno));
    return status | DWAL__EXIT_ERROR;
}

void dwal__cli_output_lost(void) {
    if (output_errno == 0)
        output_errno = EPIPE;
}

bool dwal__cli_cancelled(void) {
    return cancelled != 0;
}

int dwal__cli_cancel_fd(void) {
    if (cancel_fd < 0)
        cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cancelled) /* perhaps before there was a descriptor */
        cancel_tell();
    return cancel_fd;
}

void dwal__cli_signals_patient(void) {
    if (!cancelled) /* the first one has passed */
        signals_set(SA_RESTART);
}

/* ---- colours ---- */

bool dwal__cli_color_set(const char *text) {
    if (strcmp(text, "auto") == 0)
        color_mode = COLOR_AUTO;
    else if (strcmp(text, "always") == 0)
        color_mode = COLOR_ALWAYS;
    else if (strcmp(text, "never") == 0)
        color_mode = COLOR_NEVER;
    else {
        dwal__cli_usage("--color: '%s' is none of auto, always, never", text);
        return false;
    }
    return true;
}

const char *dwal__cli_style(FILE *stream, enum dwal__cli_style style) {
    static const char *const sequences[] = {
        [DWAL__STYLE_PLAIN] = "\033[0m",  [DWAL__STYLE_BOLD] = "\033[1m",
        [DWAL__STYLE_DIM] = "\033[2m",    [DWAL__STYLE_RED] = "\033[1;31m",
        [DWAL__STYLE_GREEN] = "\033[32m", [DWAL__STYLE_YELLOW] = "\033[33m"};
    bool terminal = color_terminal[stream == stderr];
    bool on = color_mode == COLOR_ALWAYS ||
              (color_mode == COLOR_AUTO && color_allowed && terminal);
    return on ? sequences[style] : "";
}

/* ---- messages ---- */

__attribute__((format(printf, 2, 0))) static void
message(enum dwal__cli_style style, const char *format, va_list arguments) {
    char text[2048];
    char shown[4 * sizeof text];
    vsnprintf(text, sizeof text, format, arguments);
    dwal__cli_message_escape(text, shown);
    dwal__cli_progress_erase();
    output_flush();
    fprintf(stderr, "%s%s:%s %s\n", dwal__cli_style(stderr, style),
            program_name, dwal__cli_style(stderr, DWAL__STYLE_PLAIN), shown);
}

void dwal__cli_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message(DWAL__STYLE_RED, format, arguments);
    va_end(arguments);
}

void dwal__cli_warning(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message(DWAL__STYLE_YELLOW, format, arguments);
    va_end(arguments);
}

void dwal__cli_note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message(DWAL__STYLE_BOLD, format, arguments);
    va_end(arguments);
}

int dwal__cli_usage(const char *format, ...) {
    va_list arguments;
    if (format != NULL) {
        va_start(arguments, format);
        message(DWAL__STYLE_RED, format, arguments);
        va_end(arguments);
    }
    fprintf(stderr, "Try '%s --help'.\n", program_name);
    return DWAL__EXIT_USAGE;
}

void dwal__cli_version(void) {
    printf("%s (dwal) " DWAL_VERSION ", CRC-32 by %s\n", program_name,
           dwal__crc32_library());
}

const char *dwal__cli_program(void) {
    return program_name;
}

/* ---- the command line ---- */

/* A run of digits at *@text, in decimal or after 0x in hexadecimal; moves
 * *@text behind it. False: no digits, or too large. */
static bool digits_parse(const char **text, uint64_t *value) {
    const char *at = *text;
    bool hex = at[0] == '0' && (at[1] == 'x' || at[1] == 'X');
    if (hex)
        at += 2;
    if (hex ? !isxdigit((unsigned char)*at) : !isdigit((unsigned char)*at))
        return false; /* strtoull would take blanks and signs */
    char *end;
    errno = 0;
    *value = strtoull(at, &end, hex ? 16 : 10);
    *text = end;
    return errno == 0;
}

static bool range_check(const char *option, const char *text, uint64_t value,
                        uint64_t min, uint64_t max) {
    if (value >= min && value <= max)
        return true;
    dwal__cli_usage("%s: %s is not within %" PRIu64 " to %" PRIu64, option,
                    text, min, max);
    return false;
}

bool dwal__cli_number(const char *option, const char *text, uint64_t min,
                      uint64_t max, uint64_t *value) {
    const char *at = text;
    uint64_t number;
    if (!digits_parse(&at, &number) || *at != '\0') {
        dwal__cli_usage("%s: '%s' is not a number", option, text);
        return false;
    }
    if (!range_check(option, text, number, min, max))
        return false;
    *value = number;
    return true;
}

/* The shift of a unit, -1 if it is none: "", K, KB, KiB and so on. */
static int unit_shift(const char *unit) {
    static const char letters[] = "KMGT";
    if (unit[0] == '\0')
        return 0;
    const char *letter = strchr(letters, toupper((unsigned char)unit[0]));
    if (letter == NULL)
        return -1;
    const char *rest = unit + 1;
    if (*rest != '\0' && strcasecmp(rest, "B") != 0 &&
        strcasecmp(rest, "iB") != 0)
        return -1;
    return 10 * (int)(letter - letters + 1);
}

bool dwal__cli_size(const char *option, const char *text, uint64_t min,
                    uint64_t max, uint64_t *value) {
    const char *at = text;
    uint64_t number;
    bool good = digits_parse(&at, &number);
    int shift = good ? unit_shift(at) : -1;
    if (shift < 0 || number > UINT64_MAX >> shift) {
        dwal__cli_usage("%s: '%s' is not a size such as 4096, 64K or 1G",
                        option, text);
        return false;
    }
    if (!range_check(option, text, number << shift, min, max))
        return false;
    *value = number << shift;
    return true;
}

bool dwal__cli_choice(const char *option, const char *text,
                      const char *const *names, int *value) {
    for (int i = 0; names[i] != NULL; i++)
        if (strcmp(text, names[i]) == 0) {
            *value = i;
            return true;
        }
    dwal__cli_usage("%s: '%s' is not one of those that --help names", option,
                    text);
    return false;
}
