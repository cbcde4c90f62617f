/* SPDX-License-Identifier: MIT */
/*
 * Trimming behind the writers. The jobs only look at two numbers; the thread
 * sleeps until one of them finds that it is time, so that it adds no wake-ups
 * of its own to what is measured.
 */
#include <errno.h>
#include <string.h>

#include "../fsck/cli.h"
#include "engine_dwal.h"

/* Keeps the newest records and sets the next limit. */
static bool trim(struct dwal__trimmer *trimmer) {
    uint64_t durable = dwal_durable_lsn(trimmer->log);
    struct dwal_error error;
    if (durable > trimmer->keep &&
        dwal_trim(trimmer->log, durable - trimmer->keep + 1, &error) !=
            DWAL_OK) {
        dwal__cli_error("trim: %s", error.text);
        return false;
    }
    trimmer->next = durable + trimmer->keep;
    return true;
}

static void *trimmer_main(void *argument) {
    struct dwal__trimmer *trimmer = argument;
    for (;;) {
        while (sem_wait(&trimmer->wanted) != 0)
            continue;
        if (trimmer->stop)
            return NULL;
        if (!trim(trimmer)) {
            trimmer->failed = true;
            return NULL;
        }
        trimmer->asked = false;
    }
}

void dwal__trimmer_look(struct dwal__trimmer *trimmer) {
    if (trimmer->keep == 0 ||
        dwal_durable_lsn(trimmer->log) <
            atomic_load_explicit(&trimmer->next, memory_order_relaxed))
        return;
    if (!atomic_exchange(&trimmer->asked, true))
        sem_post(&trimmer->wanted);
}

bool dwal__trimmer_start(struct dwal__trimmer *trimmer, struct dwal *log,
                         uint64_t keep) {
    trimmer->log = log;
    trimmer->next = dwal_durable_lsn(log) + 2 * keep;
    sem_init(&trimmer->wanted, 0, 0);
    int failed = pthread_create(&trimmer->thread, NULL, trimmer_main, trimmer);
    if (failed != 0) {
        sem_destroy(&trimmer->wanted);
        dwal__cli_error("cannot start a thread: %s", strerror(failed));
        return false;
    }
    trimmer->keep = keep;
    return true;
}

bool dwal__trimmer_stop(struct dwal__trimmer *trimmer) {
    if (trimmer->keep == 0)
        return true;
    trimmer->stop = true;
    sem_post(&trimmer->wanted);
    pthread_join(trimmer->thread, NULL);
    sem_destroy(&trimmer->wanted);
    return !trimmer->failed;
}
