/* SPDX-License-Identifier: MIT */
/*
 * Scanning in parallel. The invariant: a thread changes nothing but its own
 * job; the segments that the names point to are copied for it.
 */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "thread.h"

/* What the threads share. */
struct shared {
    struct dwal__crew *crew;
    pthread_mutex_t mutex; /* guards what follows; a leaf in the lock order */
    size_t next;           /* job that nobody has yet */
    bool stopped;
};

/* One thread's own. */
struct worker {
    struct shared *shared;
    struct dwal__crew_job *job; /* under way */
};

static int worker_moved(void *argument, uint64_t bytes) {
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    struct dwal__crew *crew = shared->crew;
    worker->job->bytes_read += bytes;
    pthread_mutex_lock(&shared->mutex);
    if (!shared->stopped && crew->moved != NULL)
        shared->stopped = crew->moved(crew->argument, bytes) != 0;
    int stop = shared->stopped;
    pthread_mutex_unlock(&shared->mutex);
    return stop;
}

/* Copies of the segments that name this one: what a scan finds out about them
 * is kept apart until recovery takes it. */
static int job_run(struct dwal__feed *feed, struct dwal__crew_job *job) {
    size_t count = job->scan.name_count;
    struct dwal__found_segment *copies = calloc(count + 1, sizeof *copies);
    struct dwal__found_segment **names = calloc(count + 1, sizeof *names);
    job->fits = calloc(count + 1, sizeof *job->fits);
    job->found = *job->segment;
    int error = -ENOMEM;
    if (copies != NULL && names != NULL && job->fits != NULL) {
        for (size_t i = 0; i < count; i++) {
            copies[i] = *job->scan.names[i];
            names[i] = &copies[i];
        }
        struct dwal__scan scan = job->scan;
        scan.names = names;
        error = dwal__segment_scan(feed, &job->found, &scan, &job->evidence,
                                   &job->offset);
        for (size_t i = 0; i < count; i++)
            job->fits[i] = copies[i].fits;
    }
    free(copies);
    free(names);
    return error;
}

static struct dwal__crew_job *job_next(struct shared *shared) {
    struct dwal__crew_job *job = NULL;
    pthread_mutex_lock(&shared->mutex);
    if (shared->next < shared->crew->count)
        job = &shared->crew->jobs[shared->next++];
    pthread_mutex_unlock(&shared->mutex);
    return job;
}

static void *worker_main(void *argument) {
    struct shared *shared = argument;
    struct worker worker = {.shared = shared};
    struct dwal__feed feed;
    dwal__feed_init(&feed, shared->crew->disk, shared->crew->dir);
    feed.moved = worker_moved;
    feed.argument = &worker;
    while ((worker.job = job_next(shared)) != NULL)
        worker.job->error = job_run(&feed, worker.job);
    dwal__feed_release(&feed);
    return NULL;
}

/* A thread that cannot be had is done without: the caller works, too. */
int dwal__crew_run(struct dwal__crew *crew) {
    struct shared shared = {.crew = crew, .mutex = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[DWAL__RECOVER_THREADS_MAX];
    unsigned count = 0;
    while (count + 1 < crew->threads && count < DWAL__RECOVER_THREADS_MAX &&
           count + 1 < crew->count &&
           dwal__thread_start(&threads[count], worker_main, &shared) == 0)
        count++;
    worker_main(&shared);
    while (count > 0)
        pthread_join(threads[--count], NULL);
    for (size_t i = 0; i < crew->count; i++)
        if (crew->jobs[i].error == -ENOMEM)
            return -ENOMEM;
    return 0;
}

void dwal__crew_release(struct dwal__crew *crew) {
    for (size_t i = 0; i < crew->count; i++) {
        struct dwal__crew_job *job = &crew->jobs[i];
        if (!job->taken)
            free(job->found.metadata);
        free(job->fits);
    }
    free(crew->jobs);
    memset(crew, 0, sizeof *crew);
}
