/* SPDX-License-Identifier: MIT */
/*
 * The progress bar. Seen only by a person who waits: on a terminal, after a
 * second, redrawn ten times a second at most, and never left on the screen
 * under anything else.
 */
#include "cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FIRST_NS UINT64_C(1000000000)
#define INTERVAL_NS UINT64_C(100000000)

static struct {
    const char *what; /* NULL: no work under way */
    uint64_t begin_ns;
    uint64_t next_ns; /* not to be drawn before */
    bool drawn;       /* on the screen now */
    bool disabled;
} bar;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned dwal__cli_columns(FILE *stream, unsigned otherwise) {
    struct winsize window;
    if (ioctl(fileno(stream), TIOCGWINSZ, &window) != 0 || window.ws_col == 0)
        return otherwise;
    return window.ws_col;
}

static bool terminal_usable(void) {
    const char *name = getenv("TERM");
    return isatty(STDERR_FILENO) && name != NULL && strcmp(name, "dumb") != 0;
}

void dwal__cli_progress_begin(const char *what) {
    dwal__cli_progress_erase();
    bar.what = !bar.disabled && terminal_usable() ? what : NULL;
    bar.begin_ns = now_ns();
    bar.next_ns = bar.begin_ns + FIRST_NS;
}

/* "0:07", "1:02:03". */
static void duration_text(uint64_t seconds, char *text, size_t size) {
    uint64_t hours = seconds / 3600;
    unsigned minutes = (unsigned)(seconds / 60 % 60);
    unsigned rest = (unsigned)(seconds % 60);
    if (hours > 0)
        snprintf(text, size, "%" PRIu64 ":%02u:%02u", hours, minutes, rest);
    else
        snprintf(text, size, "%u:%02u", minutes, rest);
}

static void bar_draw(uint64_t done, uint64_t total, uint64_t elapsed_ns) {
    char done_text[DWAL__SIZE_TEXT], total_text[DWAL__SIZE_TEXT];
    char rate_text[DWAL__SIZE_TEXT], left_text[24], line[160];
    double rate = (double)done * 1e9 / (double)elapsed_ns;
    dwal__cli_size_text(done, done_text);
    dwal__cli_size_text(total, total_text);
    dwal__cli_size_text((uint64_t)rate, rate_text);
    snprintf(left_text, sizeof left_text, "?");
    if (rate > 0)
        duration_text((uint64_t)((double)(total - done) / rate), left_text,
                      sizeof left_text);
    snprintf(line, sizeof line, "%s: %s %3.0f%%  %s of %s  %s/s  %s left",
             dwal__cli_program(), bar.what,
             total == 0 ? 100.0 : (double)done * 100 / (double)total, done_text,
             total_text, rate_text, left_text);
    /* One column short of the edge, so that no terminal wraps. */
    fprintf(stderr, "\r%.*s\033[K",
            (int)dwal__cli_columns(stderr, sizeof line) - 1, line);
    fflush(stderr);
    bar.drawn = true;
}

void dwal__cli_progress_update(uint64_t done, uint64_t total) {
    if (bar.what == NULL)
        return;
    uint64_t now = now_ns();
    if (now < bar.next_ns)
        return;
    bar.next_ns = now + INTERVAL_NS;
    if (total < done) /* an estimate that was too low */
        total = done;
    bar_draw(done, total, now - bar.begin_ns);
}

void dwal__cli_progress_erase(void) {
    if (!bar.drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar.drawn = false;
}

void dwal__cli_progress_end(void) {
    dwal__cli_progress_erase();
    bar.what = NULL;
}

void dwal__cli_progress_disable(void) {
    dwal__cli_progress_end();
    bar.disabled = true;
}
