/* SPDX-License-Identifier: MIT */
/*
 * The program of --decoder: started once, by the shell, in a process group of
 * its own. It reads a line for each record, the object that --json prints (so
 * the payload is in base64, and the type is there), and answers each with a
 * line of text. Lines go back and forth one at a time. An answer too much,
 * none, or an endless one is an error that ends the dump; so is one that takes
 * longer than its deadline. A line too much may come so late that it passes for
 * the answer to the next record: then the one behind it is too much, at the
 * latest at the end, so no dump with shifted answers ends well.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "dump.h"
#include "json.h"

#define ANSWER_MAX ((size_t)1024 * 1024)
/* How long it may take to leave, once its input has ended. */
#define LEAVE_MS 2000

extern char **environ;

static struct {
    const struct dwal__dump_options *options;
    pid_t pid; /* 0: not running */
    int to, from;
    bool failed;   /* told */
    char *answer;  /* ANSWER_MAX bytes */
    size_t filled; /* of answer */
} decoder = {.to = -1, .from = -1};

static bool decoder_fail(const struct dwal__record *record, const char *what) {
    if (record != NULL && record->lsn != 0)
        dwal__cli_error("--decoder: LSN %" PRIu64 ": %s", record->lsn, what);
    else
        dwal__cli_error("--decoder: %s", what);
    decoder.failed = true;
    return false;
}

bool dwal__decoder_failed(void) {
    return decoder.failed;
}

/* ---- start ---- */

/* Ours ignore SIGPIPE and SIGXFSZ; it gets what programs expect. */
static int attributes_set(posix_spawnattr_t *attributes) {
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGXFSZ);
    int failed = posix_spawnattr_setsigdefault(attributes, &defaults);
    if (failed == 0)
        failed = posix_spawnattr_setpgroup(attributes, 0);
    if (failed == 0)
        failed = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return failed;
}

/* Returns an errno. @in and @out are its standard input and output. */
static int decoder_spawn(const char *command, int in, int out) {
    char shell[] = "sh", option[] = "-c", *text = strdup(command);
    char *arguments[] = {shell, option, text, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    if (text == NULL)
        return ENOMEM;
    int failed = posix_spawn_file_actions_init(&files);
    if (failed != 0)
        goto text;
    failed = posix_spawnattr_init(&attributes);
    if (failed != 0)
        goto files;
    failed = attributes_set(&attributes);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (failed == 0)
        failed = posix_spawn(&decoder.pid, "/bin/sh", &files, &attributes,
                             arguments, environ);
    posix_spawnattr_destroy(&attributes);
files:
    posix_spawn_file_actions_destroy(&files);
text:
    free(text);
    return failed;
}

void dwal__decoder_begin(const struct dwal__dump_options *options) {
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    decoder.options = options;
    decoder.answer = malloc(ANSWER_MAX);
    int failed = decoder.answer == NULL ? ENOMEM : 0;
    if (failed == 0 &&
        (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0))
        failed = errno;
    if (failed == 0)
        failed = decoder_spawn(options->decoder, in[0], out[1]);
    if (in[0] >= 0)
        close(in[0]);
    if (out[1] >= 0)
        close(out[1]);
    decoder.to = in[1];
    decoder.from = out[0];
    if (failed != 0) {
        decoder.pid = 0;
        decoder_fail(NULL, strerror(failed));
        return;
    }
    fcntl(decoder.to, F_SETFL, O_NONBLOCK);
    fcntl(decoder.from, F_SETFL, O_NONBLOCK);
}

/* ---- one line each way ---- */

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until it can be written to (if @writing) or read from. False, and told:
 * the deadline passed, or a signal came. */
static bool pipes_wait(const struct dwal__record *record, bool writing,
                       int64_t deadline) {
    struct pollfd fds[2] = {
        {.fd = decoder.from, .events = POLLIN},
        {.fd = writing ? decoder.to : -1, .events = POLLOUT}};
    int64_t left = deadline - now_ms();
    int ready = left > 0 ? poll(fds, 2, (int)left) : 0;
    char text[160];
    if (dwal__cli_cancelled()) {
        decoder.failed = true; /* a signal needs no explanation */
        return false;
    }
    if (ready > 0 || (ready < 0 && errno == EINTR))
        return true;
    if (ready < 0)
        return decoder_fail(record, strerror(errno));
    snprintf(text, sizeof text,
             "no answer within %" PRIu64 " s (--decoder-timeout); it must "
             "write a line for each, and not keep it in a buffer (stdbuf -oL, "
             "jq --unbuffered)",
             decoder.options->decoder_timeout_s);
    return decoder_fail(record, text);
}

/* Takes what it has written. False, and told, if it has closed its output. */
static bool answer_read(const struct dwal__record *record) {
    if (decoder.filled == ANSWER_MAX)
        return decoder_fail(record, "its answer is longer than 1 MiB");
    ssize_t count = read(decoder.from, decoder.answer + decoder.filled,
                         ANSWER_MAX - decoder.filled);
    if (count > 0)
        decoder.filled += (size_t)count;
    if (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)))
        return true;
    return decoder_fail(record, count < 0 ? strerror(errno)
                                          : "it ended without an answer");
}

/* Writes the line and reads the answer, which may begin before the line has
 * ended. On true the answer and its newline are all that is buffered. */
static bool lines_exchange(const struct dwal__record *record, const char *line,
                           size_t size) {
    int64_t deadline =
        now_ms() + (int64_t)decoder.options->decoder_timeout_s * 1000;
    size_t written = 0;
    const char *newline = NULL;
    while (newline == NULL) {
        if (written < size) {
            ssize_t count = write(decoder.to, line + written, size - written);
            if (count > 0)
                written += (size_t)count;
            else if (count < 0 && errno == EPIPE)
                written = size; /* what it said before it left, if anything */
            else if (count < 0 && errno != EAGAIN && errno != EINTR)
                return decoder_fail(record, strerror(errno));
        }
        if (!pipes_wait(record, written < size, deadline) ||
            !answer_read(record))
            return false;
        newline = memchr(decoder.answer, '\n', decoder.filled);
    }
    if (newline != decoder.answer + decoder.filled - 1)
        return decoder_fail(record, "it answered with more than one line");
    return true;
}

const char *dwal__decoder_answer(const struct dwal__reader_item *item,
                                 size_t *size) {
    const struct dwal__record *record = &item->record;
    struct dwal__json json;
    char *line = NULL;
    size_t line_size = 0;
    if (decoder.failed || !answer_read(record))
        return NULL;
    if (decoder.filled > 0) {
        decoder_fail(record, "it wrote a line that nobody had asked for");
        return NULL;
    }
    FILE *memory = open_memstream(&line, &line_size);
    if (memory != NULL) {
        dwal__record_json(&json, memory, item);
        dwal__json_end(&json);
    }
    if (memory == NULL || fclose(memory) != 0) {
        decoder_fail(record, "no memory");
        free(line);
        return NULL;
    }
    bool good = lines_exchange(record, line, line_size);
    free(line);
    *size = good ? decoder.filled - 1 : 0;
    decoder.filled = 0;
    return good ? decoder.answer : NULL;
}

/* ---- end ---- */

/* Waits for it to leave; kills it and all that it started if it does not. */
static int decoder_reap(void) {
    int64_t deadline = now_ms() + (decoder.failed ? 0 : LEAVE_MS);
    struct pollfd end = {.fd = decoder.from};
    struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    int status;
    /* Its output closes as it ends; what is left is a matter of moments. */
    while (!decoder.failed && now_ms() < deadline) {
        if (waitpid(decoder.pid, &status, WNOHANG) == decoder.pid)
            return status;
        if (poll(&end, 1, (int)(deadline - now_ms())) > 0)
            nanosleep(&moment, NULL);
    }
    if (!decoder.failed && !dwal__cli_cancelled())
        decoder_fail(NULL, "it does not leave when its input ends");
    kill(-decoder.pid, SIGKILL);
    while (waitpid(decoder.pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return 0; /* it was told what is wrong */
}

static void status_check(int status) {
    char text[64];
    if (decoder.failed || dwal__cli_cancelled())
        return;
    if (read(decoder.from, text, 1) == 1)
        decoder_fail(NULL, "it wrote a line that nobody had asked for");
    if (decoder.failed || status == 0)
        return;
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "it was ended by signal %d",
                 WTERMSIG(status));
    else
        snprintf(text, sizeof text, "it exited with status %d",
                 WEXITSTATUS(status));
    decoder_fail(NULL, text);
}

int dwal__decoder_end(void) {
    if (decoder.to >= 0)
        close(decoder.to);
    if (decoder.pid != 0)
        status_check(decoder_reap());
    if (decoder.from >= 0)
        close(decoder.from);
    free(decoder.answer);
    return decoder.failed && !dwal__cli_cancelled() ? DWAL__EXIT_ERROR
                                                    : DWAL__EXIT_CLEAN;
}
