/* SPDX-License-Identifier: MIT */
/*
 * walput: appends standard input to a log, a record a line. A client of the
 * public library like any other: it includes dwal.h and nothing behind it.
 *
 * Records get their LSNs in the order of the input, whatever the number of
 * threads, because reading a record and appending it happen under one lock. So
 * record i of the input has the LSN first + i - 1, and a walput that was killed
 * leaves a beginning of its input. What takes time, waiting for the disk, is
 * done outside of the lock by all threads at once.
 *
 * An acknowledgement is one line, one write(2), after the record is durable. A
 * kill may cut the last line short on some kinds of files: without its newline
 * it does not count.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "walput.h"
#include "walput_input.h"
#include "walput_stats.h"

/* The work that the threads share. */
struct put {
    const struct dwal__put_settings *settings;
    struct dwal *log;
    int stop_fd; /* eventfd, readable once no more is to be read */
    int done_fd; /* eventfd, counts threads that ended */
    atomic_bool stopped;

    /* Guards input, first_lsn, last_lsn, bytes: reading and appending. Taken
     * before none of the others. */
    pthread_mutex_t input_lock;
    struct dwal__input input;
    uint64_t first_lsn, last_lsn; /* appended; 0: none */
    uint64_t bytes;               /* of the records that were appended */

    pthread_mutex_t trim_lock;  /* held by who trims */
    _Atomic uint64_t trim_next; /* not to be trimmed before this LSN */

    pthread_mutex_t ack_lock; /* guards standard output */

    pthread_mutex_t error_lock; /* guards error: the first one */
    char error[DWAL_ERROR_TEXT_SIZE + 64];
};

/* The library may report from its own thread while main draws the bar. */
static pthread_mutex_t screen_lock = PTHREAD_MUTEX_INITIALIZER;

static void log_report(void *argument, int level, const char *text) {
    const struct dwal__put_settings *settings = argument;
    pthread_mutex_lock(&screen_lock);
    if (level == DWAL_LOG_WARNING)
        dwal__cli_warning("%s", text);
    else if (settings->verbose)
        dwal__cli_note("%s", text);
    pthread_mutex_unlock(&screen_lock);
}

/* ---- the threads ---- */

static void event_signal(int fd) {
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void put_stop(struct put *put) {
    put->stopped = true;
    event_signal(put->stop_fd);
}

/* Keeps the first failure, which is the cause of those that follow. */
static void put_fail(struct put *put, const char *step, const char *text) {
    pthread_mutex_lock(&put->error_lock);
    if (put->error[0] == '\0')
        snprintf(put->error, sizeof put->error, "%s%s", step, text);
    pthread_mutex_unlock(&put->error_lock);
    put_stop(put);
}

/* Appends the blob, for as long as it takes: buffers that stay full mean a
 * slow disk, and a disk that stands still fails the log by itself. Caller holds
 * input_lock. */
static bool blob_append(struct put *put, const struct dwal__blob *blob,
                        uint64_t *lsn) {
    struct dwal_record record = put->settings->record;
    struct dwal_error error;
    record.data = blob->bytes;
    record.size = blob->size;
    int code;
    do
        code = dwal_append(put->log, &record, lsn, &error);
    while (code == DWAL_EAGAIN && !put->stopped);
    if (code == DWAL_OK) {
        if (put->first_lsn == 0)
            put->first_lsn = *lsn;
        put->last_lsn = *lsn;
        put->bytes += blob->size;
        return true;
    }
    if (code != DWAL_EAGAIN)
        put_fail(put, "", error.text);
    return false;
}

/* Reads the next record and appends it, in one step. False: no more. */
static bool record_move(struct put *put, struct dwal__blob *blob,
                        uint64_t *lsn) {
    bool moved = false;
    pthread_mutex_lock(&put->input_lock);
    if (!put->stopped)
        switch (dwal__input_next(&put->input, blob)) {
        case DWAL__INPUT_RECORD:
            moved = blob_append(put, blob, lsn);
            break;
        case DWAL__INPUT_ERROR:
            put_fail(put, "", put->input.error);
            break;
        case DWAL__INPUT_END:
        case DWAL__INPUT_STOPPED:
            break;
        }
    pthread_mutex_unlock(&put->input_lock);
    return moved;
}

/* One line, whole, in one write unless the kernel takes less. */
static bool ack_write(struct put *put, uint64_t lsn) {
    char line[24];
    size_t size = (size_t)snprintf(line, sizeof line, "%" PRIu64 "\n", lsn);
    size_t at = 0;
    int failed = 0;
    pthread_mutex_lock(&put->ack_lock);
    while (at < size && failed == 0) {
        ssize_t count = write(STDOUT_FILENO, line + at, size - at);
        if (count >= 0)
            at += (size_t)count;
        else if (errno != EINTR)
            failed = errno;
    }
    pthread_mutex_unlock(&put->ack_lock);
    if (failed != 0)
        put_fail(put, "cannot write standard output: ", strerror(failed));
    return failed == 0;
}

static bool record_acknowledge(struct put *put, uint64_t lsn) {
    struct dwal_error error;
    if (dwal_wait(put->log, lsn, -1, &error) != DWAL_OK) {
        put_fail(put, "", error.text);
        return false;
    }
    return ack_write(put, lsn);
}

/* With --keep: trims what is older than so many records, an eighth of them at a
 * time; one thread does, the others go on. False: it failed. */
static bool records_trim(struct put *put, uint64_t lsn) {
    uint64_t keep = put->settings->keep;
    if (keep == 0 || lsn < put->trim_next ||
        pthread_mutex_trylock(&put->trim_lock) != 0)
        return true;
    struct dwal_error error;
    int code = DWAL_OK;
    uint64_t durable = dwal_durable_lsn(put->log);
    if (durable > keep) {
        put->trim_next = lsn + keep / 8 + 1;
        code = dwal_trim(put->log, durable - keep + 1, &error);
    }
    pthread_mutex_unlock(&put->trim_lock);
    if (code != DWAL_OK)
        put_fail(put, "", error.text);
    return code == DWAL_OK;
}

static void *thread_run(void *argument) {
    struct put *put = argument;
    struct dwal__blob blob = {0};
    uint64_t lsn;
    while (record_move(put, &blob, &lsn))
        if ((put->settings->ack && !record_acknowledge(put, lsn)) ||
            !records_trim(put, lsn))
            break;
    free(blob.bytes);
    event_signal(put->done_fd);
    return NULL;
}

/* ---- the main thread while the others work ---- */

/* The size of standard input, 0 if it is no file. */
static uint64_t input_size(void) {
    struct stat stat;
    if (fstat(STDIN_FILENO, &stat) != 0 || !S_ISREG(stat.st_mode))
        return 0;
    off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
    return at >= 0 && at < stat.st_size ? (uint64_t)(stat.st_size - at) : 0;
}

/* Waits for @running threads; signals are let in only here, so that none is
 * missed between looking and waiting. */
static void threads_await(struct put *put, unsigned running,
                          const sigset_t *signals) {
    uint64_t total = put->settings->quiet ? 0 : input_size();
    struct timespec tick = {.tv_nsec = 100 * 1000 * 1000};
    bool bar = total > 0 && isatty(STDERR_FILENO);
    if (bar)
        dwal__cli_progress_begin("appending");
    while (running > 0) {
        struct pollfd done = {.fd = put->done_fd, .events = POLLIN};
        if (dwal__cli_cancelled() && !put->stopped)
            put_stop(put);
        ppoll(&done, 1, bar ? &tick : NULL, signals);
        uint64_t count;
        if ((done.revents & POLLIN) != 0 &&
            read(put->done_fd, &count, sizeof count) == sizeof count)
            running -= (unsigned)count;
        if (bar) {
            pthread_mutex_lock(&screen_lock);
            dwal__cli_progress_update(put->input.bytes, total);
            pthread_mutex_unlock(&screen_lock);
        }
    }
    dwal__cli_progress_end();
}

/* Runs the threads, with the signals that cancel blocked in all of them. */
static void threads_run(struct put *put) {
    pthread_t *threads = calloc(put->settings->threads, sizeof *threads);
    if (threads == NULL) {
        put_fail(put, "", "no memory for threads");
        return;
    }
    sigset_t cancelling, before;
    sigemptyset(&cancelling);
    sigaddset(&cancelling, SIGINT);
    sigaddset(&cancelling, SIGTERM);
    sigaddset(&cancelling, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &cancelling, &before);
    unsigned count = 0;
    while (count < put->settings->threads) {
        int failed = pthread_create(&threads[count], NULL, thread_run, put);
        if (failed != 0) {
            put_fail(put, "cannot start a thread: ", strerror(failed));
            break;
        }
        count++;
    }
    threads_await(put, count, &before);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(threads);
}

/* ---- one log, from open to close ---- */

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Tells what came of it; @durable is the last LSN that is known to be so. */
static void result_report(const struct put *put, uint64_t durable,
                          double seconds) {
    const struct dwal__put_settings *settings = put->settings;
    uint64_t count =
        put->first_lsn == 0 ? 0 : put->last_lsn - put->first_lsn + 1;
    if (durable < put->last_lsn) {
        dwal__cli_error("records up to LSN %" PRIu64 " are durable; %" PRIu64
                        " to %" PRIu64 " may or may not be: walfsck tells",
                        durable, durable + 1, put->last_lsn);
        return;
    }
    bool failed = put->error[0] != '\0';
    if (settings->quiet ||
        (!settings->verbose && !failed && !isatty(STDERR_FILENO)))
        return;
    char size[DWAL__SIZE_TEXT], rate[DWAL__SIZE_TEXT];
    uint64_t bytes = put->bytes;
    dwal__cli_size_text(bytes, size);
    dwal__cli_size_text((uint64_t)((double)bytes / seconds), rate);
    if (count == 0)
        dwal__cli_note("no records were appended");
    else
        dwal__cli_note("%" PRIu64 " records, %s, LSN %" PRIu64 " to %" PRIu64
                       ", durable in %.2f s (%s/s)",
                       count, size, put->first_lsn, put->last_lsn, seconds,
                       rate);
}

/* Once all is durable, or nothing more will be. */
static void stats_print(const struct put *put) {
    if (put->last_lsn != 0)
        dwal_wait(put->log, put->last_lsn, -1, NULL);
    dwal__put_stats_print(put->log, put->settings->stats);
}

/* With --keep, when all is appended: no more than those stay. */
static void rest_trim(struct put *put) {
    uint64_t keep = put->settings->keep;
    struct dwal_error error;
    if (keep == 0 || put->error[0] != '\0' || put->last_lsn <= keep)
        return;
    if (dwal_wait(put->log, put->last_lsn, -1, &error) != DWAL_OK ||
        dwal_trim(put->log, put->last_lsn - keep + 1, &error) != DWAL_OK)
        put_fail(put, "", error.text);
}

/* Appends all of the input to the open log, and closes it. */
static int put_run(struct put *put) {
    double begin = seconds_now();
    threads_run(put);
    rest_trim(put);
    if (put->settings->stats != DWAL__PUT_STATS_NONE)
        stats_print(put);
    uint64_t durable = dwal_durable_lsn(put->log);
    struct dwal_error error;
    if (dwal_close(put->log, &error) == DWAL_OK)
        durable = put->last_lsn;
    else
        put_fail(put, "", error.text);
    double seconds = seconds_now() - begin;
    if (put->error[0] != '\0')
        dwal__cli_error("%s", put->error);
    result_report(put, durable, seconds > 1e-6 ? seconds : 1e-6);
    if (put->error[0] != '\0')
        return DWAL__EXIT_ERROR;
    return dwal__cli_cancelled() ? DWAL__EXIT_CANCELLED : DWAL__EXIT_CLEAN;
}

/* True for what a log, or a creation of one that was interrupted, may hold, and
 * for what a filesystem puts into its root. */
static bool name_expected(const char *name) {
    static const char *const names[] = {".",        "..",         "LOCK",
                                        "LOCK.new", "LOCK.probe", "lost+found"};
    static const char *const endings[] = {".wal", ".spare"};
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t ending = strlen(endings[i]);
        if (size > ending && strcmp(name + size - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

/* A log wants a directory of its own: somebody's home or project, given by
 * mistake, is not filled with segments. What is wrong with the directory itself
 * dwal_open tells. */
static bool directory_check(const struct dwal__put_settings *settings) {
    char found[256] = "";
    bool log = settings->options.create == DWAL_CREATE_NEVER;
    DIR *dir = log ? NULL : opendir(settings->path);
    if (dir == NULL)
        return true;
    for (struct dirent *entry; !log && (entry = readdir(dir)) != NULL;) {
        log = strcmp(entry->d_name, "LOCK") == 0;
        if (!name_expected(entry->d_name))
            snprintf(found, sizeof found, "%s", entry->d_name);
    }
    closedir(dir);
    if (log || found[0] == '\0')
        return true;
    dwal__cli_error("%s: no log is here, and the directory is not empty (%s): "
                    "name one of its own, such as %s/log",
                    settings->path, found, settings->path);
    return false;
}

static int settings_run(const struct dwal__put_settings *settings) {
    struct put put = {.settings = settings};
    struct dwal_error error;
    int status = DWAL__EXIT_ERROR;
    bool absent = access(settings->path, F_OK) != 0;
    if (!directory_check(settings))
        return status;
    pthread_mutex_init(&put.input_lock, NULL);
    pthread_mutex_init(&put.trim_lock, NULL);
    pthread_mutex_init(&put.ack_lock, NULL);
    pthread_mutex_init(&put.error_lock, NULL);
    put.stop_fd = eventfd(0, EFD_CLOEXEC);
    put.done_fd = eventfd(0, EFD_CLOEXEC);
    if (put.stop_fd < 0 || put.done_fd < 0) {
        dwal__cli_error("eventfd: %s", strerror(errno));
        goto fds;
    }
    if (dwal_open(settings->path, &settings->options, &put.log, &error) !=
        DWAL_OK) {
        dwal__cli_error("%s", error.text);
        if (error.code == DWAL_EINVAL) /* an option that cannot be */
            status = DWAL__EXIT_USAGE;
        if (absent) /* what could not become a log is not left, if empty */
            rmdir(settings->path);
        goto fds;
    }
    if (!dwal__input_begin(&put.input, STDIN_FILENO, put.stop_fd,
                           settings->framed, dwal_record_size_max(put.log))) {
        dwal__cli_error("no memory");
        dwal_close(put.log, NULL);
        goto fds;
    }
    status = put_run(&put);
    dwal__input_release(&put.input);
fds:
    if (put.stop_fd >= 0)
        close(put.stop_fd);
    if (put.done_fd >= 0)
        close(put.done_fd);
    return status;
}

int main(int argc, char **argv) {
    struct dwal__put_settings settings = {.threads = 1};
    int status;
    dwal__cli_begin("walput", argv);
    dwal_options_init(&settings.options);
    settings.options.create = DWAL_CREATE_IF_ABSENT;
    settings.options.log = log_report;
    settings.options.log_argument = &settings;
    if (dwal__put_settings_read(&settings, argc, argv, &status))
        status = settings_run(&settings);
    return dwal__cli_end(status);
}
