/* SPDX-License-Identifier: MIT */
/*
 * A job of --mode append: it appends without waiting, as long as no more than
 * iodepth of its records are outstanding.
 *
 * Looking at the clock costs as much as appending a small record. So in a
 * closed loop the records are taken in groups of 16 KiB of payload, but at
 * least four groups in an iodepth and 1024 records at most. A group's latency
 * runs from before its first append until the job finds that its last record is
 * durable, which it looks for after every group: it is what a client would see
 * that does the same, and never shorter than the truth. In an open loop every
 * record is a group, and the job looks every 50 us while it waits for the next
 * one to be due.
 */
#include <stdlib.h>

#include "engine_dwal.h"

#define GROUP_BYTES 16384u
#define GROUP_RECORDS_MAX 1024u

struct group {
    int64_t start;
    uint64_t lsn;   /* of its last record */
    uint64_t count; /* records of the job up to that one */
};

/* Outstanding groups, oldest first, in a ring. */
struct appender {
    struct dwal__job *job;
    struct dwal__bench_log *log;
    uint64_t size; /* records to a group */
    struct group *groups;
    uint64_t room;
    uint64_t head, tail; /* taken from and put to, ever */
    uint64_t completed;  /* records */
};

static const struct group *oldest(const struct appender *appender) {
    return &appender->groups[appender->head % appender->room];
}

/* Takes off the groups that are durable. True if others are left. */
static bool groups_settle(void *argument) {
    struct appender *appender = argument;
    uint64_t durable = dwal_durable_lsn(appender->log->log);
    uint64_t before = appender->completed;
    for (; appender->head < appender->tail; appender->head++) {
        const struct group *group = oldest(appender);
        if (group->lsn > durable)
            break;
        if (appender->completed == before)
            appender->job->now = dwal__bench_now_ns();
        dwal__job_latency(appender->job, group->start);
        appender->completed = group->count;
    }
    if (appender->completed != before) {
        dwal__job_completed(appender->job, appender->completed);
        dwal__trimmer_look(&appender->log->trimmer);
    }
    return appender->head < appender->tail;
}

/* False: the log failed, which was told. */
static bool oldest_await(struct appender *appender) {
    struct dwal_error error;
    if (dwal_wait(appender->log->log, oldest(appender)->lsn, -1, &error) !=
        DWAL_OK) {
        dwal__job_fail(appender->job, "%s", error.text);
        return false;
    }
    groups_settle(appender);
    return true;
}

/* Appends one record, for as long as it takes. */
static bool record_append(struct appender *appender, uint64_t *lsn) {
    struct dwal__job *job = appender->job;
    struct dwal_record record = {.data = job->bytes, .size = job->options->bs};
    struct dwal_error error;
    int code;
    do
        code = dwal_append(appender->log->log, &record, lsn, &error);
    while (code == DWAL_EAGAIN && !dwal__job_stopped(job));
    if (code == DWAL_OK)
        job->begun++;
    else if (code != DWAL_EAGAIN)
        dwal__job_fail(job, "%s", error.text);
    return code == DWAL_OK;
}

/* Appends the records of one group. False: enough, or it failed. */
static bool group_append(struct appender *appender) {
    struct dwal__job *job = appender->job;
    struct group group;
    bool good;
    if (job->options->rate == 0)
        job->now = dwal__bench_now_ns();
    if (!dwal__job_next(job, &group.start, groups_settle, appender))
        return false;
    uint64_t before = job->begun;
    uint64_t until = before + appender->size;
    do
        good = record_append(appender, &group.lsn);
    while (good && job->begun < until && job->begun < job->quota);
    group.count = job->begun;
    if (group.count > before)
        appender->groups[appender->tail++ % appender->room] = group;
    return good;
}

static void groups_run(struct appender *appender) {
    struct dwal__job *job = appender->job;
    uint64_t limit = job->options->iodepth - appender->size;
    bool good = true;
    while (good && group_append(appender)) {
        groups_settle(appender);
        while (good && job->begun - appender->completed > limit)
            good = oldest_await(appender);
    }
    while (appender->head < appender->tail && oldest_await(appender))
        continue;
}

/* Records in a group. */
static uint64_t group_size(const struct dwal__bench_options *options) {
    uint64_t size = GROUP_BYTES / (options->bs + 1);
    if (size > GROUP_RECORDS_MAX)
        size = GROUP_RECORDS_MAX;
    if (size > options->iodepth / 4)
        size = options->iodepth / 4;
    return size == 0 || options->rate > 0 ? 1 : size;
}

void dwal__bench_append(void *state, struct dwal__job *job) {
    struct appender appender = {.job = job,
                                .log = dwal__bench_job_log(state, job),
                                .size = group_size(job->options)};
    appender.room = job->options->iodepth / appender.size + 1;
    appender.groups = calloc(appender.room, sizeof *appender.groups);
    if (appender.groups == NULL)
        dwal__job_fail(job, "no memory for an iodepth of %llu",
                       (unsigned long long)job->options->iodepth);
    else
        groups_run(&appender);
    free(appender.groups);
}
