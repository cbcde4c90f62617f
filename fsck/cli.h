/* SPDX-License-Identifier: MIT */
/*
 * What the tools share: exit codes, messages, colours, numbers on the command
 * line, the progress bar, cancelling, and text that is safe for a terminal.
 *
 *     int main(int argc, char **argv) {
 *         dwal__cli_begin("waldump", argv);
 *         ...
 *         return dwal__cli_end(status);
 *     }
 *
 * Process-wide state, one thread. Whatever comes from a disk, file names
 * included, goes to a terminal only through a message or dwal__cli_escape.
 */
#ifndef DWAL_FSCK_CLI_H
#define DWAL_FSCK_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bits, as those of e2fsck. */
enum dwal__exit {
    DWAL__EXIT_CLEAN = 0,
    DWAL__EXIT_REPAIRED = 1,
    DWAL__EXIT_DAMAGED = 4,   /* damage was left */
    DWAL__EXIT_ERROR = 8,     /* the tool could not do its work */
    DWAL__EXIT_USAGE = 16,    /* wrong command line */
    DWAL__EXIT_CANCELLED = 32 /* by a signal */
};

/*
 * First thing in main. Sets the name that starts each message (argv[0] too, for
 * getopt's), the locale, a large buffer for standard output, and the signals:
 * SIGINT, SIGTERM and SIGHUP set dwal__cli_cancelled once, a second one ends
 * the process; SIGPIPE and SIGXFSZ are ignored, so that a closed pipe and a
 * limit on the size of files are write errors. A standard stream that is closed
 * stays of no use: no file of a log gets its descriptor.
 */
void dwal__cli_begin(const char *program, char **argv);

/*
 * Last thing in main: erases the progress bar, flushes standard output, returns
 * the exit code. That is @status, with DWAL__EXIT_ERROR set if standard output
 * was not written whole; this is told, but for a pipe whose reader has left.
 */
int dwal__cli_end(int status);

/* False as soon as standard output cannot be written: a loop that prints may
 * end then. */
bool dwal__cli_output_good(void);

/* The reader of standard output has left, although nothing was written: ends
 * the tool as a write would. */
void dwal__cli_output_lost(void);

/* True once a signal asked to stop. */
bool dwal__cli_cancelled(void);

/* A descriptor that is readable once that is so, for poll(): whichever thread
 * took the signal, the one that waits is woken. -1 if there is none. */
int dwal__cli_cancel_fd(void);

/* From now on a signal does not break off a write that waits for its reader:
 * what was begun comes out whole, and a second signal ends the process. */
void dwal__cli_signals_patient(void);

/* ---- colours ---- */

enum dwal__cli_style {
    DWAL__STYLE_PLAIN, /* ends any other */
    DWAL__STYLE_BOLD,
    DWAL__STYLE_DIM,
    DWAL__STYLE_RED,
    DWAL__STYLE_GREEN,
    DWAL__STYLE_YELLOW
};

/* "auto", "always" or "never"; otherwise tells so and returns false. "auto",
 * the default: on a terminal, unless NO_COLOR is set or TERM is "dumb". */
bool dwal__cli_color_set(const char *text);

/* The escape sequence that switches @style on for @stream, or "". */
const char *dwal__cli_style(FILE *stream, enum dwal__cli_style style);

/* ---- messages, on standard error ---- */

/*
 * "waldump: …" and a newline; errors red, warnings yellow. Control characters
 * in the finished text are escaped. Erases the progress bar and flushes
 * standard output before.
 */
void dwal__cli_error(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
void dwal__cli_warning(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
void dwal__cli_note(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* The same as an error (nothing, if @format is NULL), with a line that points
 * to --help. Returns DWAL__EXIT_USAGE. */
int dwal__cli_usage(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* "waldump (dwal) 0.1.0, CRC-32 by zlib" on standard output. */
void dwal__cli_version(void);

/* ---- the command line ---- */

/* A number in decimal, or in hexadecimal after 0x. Out of @min … @max or no
 * number: tells so, naming @option, and returns false. */
bool dwal__cli_number(const char *option, const char *text, uint64_t min,
                      uint64_t max, uint64_t *value);

/* The same with a unit: K, M, G, T (powers of 1024), each also as KiB or KB… */
bool dwal__cli_size(const char *option, const char *text, uint64_t min,
                    uint64_t max, uint64_t *value);

/* One of @names, which end with NULL; the value is its index. */
bool dwal__cli_choice(const char *option, const char *text,
                      const char *const *names, int *value);

/* ---- text ---- */

/*
 * Writes @size untrusted bytes as text that no terminal obeys and that fits
 * into @columns columns: printable characters of the locale as they are, a
 * backslash doubled, others as \n \r \t or \xHH; what does not fit ends in
 * "…" ("..." where the locale has none). @out holds @columns * 4 + 1 bytes at
 * least. Returns the columns used.
 */
size_t dwal__cli_escape(const void *bytes, size_t size, size_t columns,
                        char *out);

/* True for characters that drive a terminal, or reorder or hide others: DEL,
 * the C1 controls, direction marks, what has no width. */
bool dwal__cli_misleading(uint32_t character);

/* Escapes the control characters of @text, which is our own otherwise. @out
 * holds 4 bytes for each of @text, its zero included. */
void dwal__cli_message_escape(const char *text, char *out);

/* "512 B", "64 MiB", "1.5 GiB". */
#define DWAL__SIZE_TEXT 16
void dwal__cli_size_text(uint64_t size, char text[DWAL__SIZE_TEXT]);

/* "2024-05-01T12:34:56.123456Z", or "-" for 0. */
#define DWAL__TIME_TEXT 32
void dwal__cli_time_text(uint64_t ns, char text[DWAL__TIME_TEXT]);

/* The name given to dwal__cli_begin. */
const char *dwal__cli_program(void);

/* Columns of the terminal behind @stream, @otherwise if there is none. */
unsigned dwal__cli_columns(FILE *stream, unsigned otherwise);

/* ---- progress ---- */

/*
 * A bar on standard error, if that is a terminal, once the work has taken a
 * second: "waldump: reading  45%  1.2 GiB of 2.6 GiB  512 MiB/s  0:03 left".
 * Begin sets the clock; update may be called as often as it is cheap for the
 * caller (it draws ten times a second at most); end erases it.
 */
void dwal__cli_progress_begin(const char *what);
void dwal__cli_progress_update(uint64_t done, uint64_t total);
void dwal__cli_progress_end(void);

/* Off for good, for output that scrolls on the same terminal. */
void dwal__cli_progress_disable(void);

/* Takes the bar off the screen until the next update, for output to a terminal
 * that is no message. */
void dwal__cli_progress_erase(void);

#endif
