/* SPDX-License-Identifier: MIT */
/*
 * The log that everybody writes first: a mutex, a condition variable, a buffer,
 * pwrite and fdatasync. Who finds nobody writing writes for all who came until
 * then; the others wait for the broadcast. The file is written with zeros
 * before, and begun again when it is full, so that no commit extends it: in
 * this it is as fast as such a log can be. It has no checksums, no batches that
 * are valid only whole, and cannot be recovered.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../fsck/cli.h"
#include "peer.h"

#define FILE_SIZE ((off_t)256 << 20)

struct buffer {
    uint8_t *bytes;
    size_t size;
};

struct log {
    int handle;
    size_t room; /* of each buffer: one record of every job */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by lock, but for the buffer that is being written. */
    struct buffer buffers[2];
    unsigned filling;           /* index */
    uint64_t appended, durable; /* records */
    off_t end;
    bool writing;
    bool failed;
};

/* Writes all of it; the lock is not held. */
static bool buffer_write(struct log *log, const struct buffer *buffer,
                         off_t offset) {
    size_t at = 0;
    while (at < buffer->size) {
        ssize_t count = pwrite(log->handle, buffer->bytes + at,
                               buffer->size - at, offset + (off_t)at);
        if (count < 0 && errno != EINTR)
            return false;
        if (count > 0)
            at += (size_t)count;
    }
    return fdatasync(log->handle) == 0;
}

/* Writes for all who came. Takes and gives back the lock in the middle. */
static void lead(struct log *log) {
    struct buffer *buffer = &log->buffers[log->filling];
    uint64_t until = log->appended;
    if ((off_t)buffer->size > FILE_SIZE - log->end)
        log->end = 0;
    off_t offset = log->end;
    log->end += (off_t)buffer->size;
    log->filling ^= 1;
    log->writing = true;
    pthread_mutex_unlock(&log->lock);
    bool good = buffer_write(log, buffer, offset);
    pthread_mutex_lock(&log->lock);
    buffer->size = 0;
    log->writing = false;
    if (good)
        log->durable = until;
    else
        log->failed = true;
    pthread_cond_broadcast(&log->changed);
}

static bool record_commit(void *state, struct dwal__job *job) {
    struct log *log = state;
    pthread_mutex_lock(&log->lock);
    struct buffer *buffer = &log->buffers[log->filling];
    /* Fits: a job has one record here at most. */
    memcpy(buffer->bytes + buffer->size, job->bytes, job->options->bs);
    buffer->size += job->options->bs;
    uint64_t record = ++log->appended;
    while (log->durable < record && !log->failed)
        if (log->writing)
            pthread_cond_wait(&log->changed, &log->lock);
        else
            lead(log);
    bool good = log->durable >= record;
    pthread_mutex_unlock(&log->lock);
    if (!good)
        dwal__job_fail(job, "write or fdatasync failed");
    return good;
}

/* Page by page, or the page cache keeps the file in large pieces, each of which
 * a later fdatasync has to search for what changed. */
static bool file_fill(int handle) {
    size_t size = 4096;
    uint8_t *zeros = calloc(1, size);
    if (zeros == NULL)
        return false;
    bool good = true;
    for (off_t at = 0; at < FILE_SIZE && good; at += (off_t)size)
        good = pwrite(handle, zeros, size, at) == (ssize_t)size;
    free(zeros);
    return good && fsync(handle) == 0;
}

static bool log_close(void *state) {
    struct log *log = state;
    close(log->handle);
    free(log->buffers[0].bytes);
    free(log->buffers[1].bytes);
    pthread_cond_destroy(&log->changed);
    pthread_mutex_destroy(&log->lock);
    free(log);
    return true;
}

static bool log_open(const struct dwal__bench_options *options,
                     const char *path, void **state) {
    struct log *log = calloc(1, sizeof *log);
    char name[PATH_MAX + 16];
    if (log == NULL) {
        dwal__cli_error("no memory for a log");
        return false;
    }
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->changed, NULL);
    log->room = (size_t)options->bs * options->numjobs;
    log->buffers[0].bytes = malloc(log->room + 1);
    log->buffers[1].bytes = malloc(log->room + 1);
    snprintf(name, sizeof name, "%s/log", path);
    log->handle = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (log->handle >= 0 && log->buffers[0].bytes != NULL &&
        log->buffers[1].bytes != NULL && (off_t)log->room <= FILE_SIZE &&
        file_fill(log->handle)) {
        *state = log;
        return true;
    }
    dwal__cli_error("%s: cannot make a file of 256 MiB, or buffers for all "
                    "jobs: %s",
                    name, strerror(errno));
    log_close(log);
    return false;
}

const char *dwal__peer_version(void) {
    return "(pwrite and fdatasync)";
}

const struct dwal__engine dwal__peer = {
    .name = "mutex",
    .open = log_open,
    .commit = record_commit,
    .close = log_close,
};
