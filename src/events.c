/* SPDX-License-Identifier: MIT */
/*
 * The log for event loops: a descriptor that becomes readable, appends that
 * never wait, and their outcomes, which the loop fetches.
 *
 * What was appended here and not reaped is kept in a ring, in the order of the
 * reservations: a place is reserved, and noted, under one lock; copying comes
 * after it. Whether an entry is durable is told by the sequence of its batch,
 * not by its LSN, which a cut may give again.
 *
 * Invariants:
 *   - each entry comes out once, in order; none as durable behind one that came
 *     out as failed;
 *   - armed and the descriptor agree: armed means that nobody but the kernel has
 *     written to it, and that the next event will; both change under signal_lock
 *     only;
 *   - no wake-up is lost ("armed" in log.h), and between two reaps the
 *     descriptor is written to once, by whoever finds it armed.
 *
 * With DWAL_SUBMIT_CALLER the loop does the work of the log, too: an append
 * submits, the kernel writes to the descriptor when that is done, and dwal_reap
 * publishes it, and submits what has come meanwhile. No other thread has to run
 * for a commit. What is appended otherwise, or waited for, is done as always, by
 * whoever has the role; "loop" in log.h says why nothing is left undone.
 *
 * Nobody calls an application's function here, and no lock of this file is held
 * while something is waited for.
 */
#include <errno.h>

#include "log.h"

static size_t ring_size(void) {
    return DWAL_COMPLETIONS_MAX * sizeof(struct dwal__outstanding);
}

void dwal__events_init(struct dwal *log) {
    pthread_mutex_init(&log->events.lock, NULL);
    pthread_mutex_init(&log->events.signal_lock, NULL);
    log->events.fd = -1;
    atomic_store(&log->events.kernel_fd, -1);
}

void dwal__events_free(struct dwal *log) {
    dwal__pages_unmap(log->events.ring, ring_size());
    pthread_mutex_destroy(&log->events.lock);
    pthread_mutex_destroy(&log->events.signal_lock);
}

/* ---- the descriptor ---- */

void dwal__events_notify(struct dwal *log) {
    struct dwal__events *events = &log->events;
    if (!atomic_load(&events->armed))
        return;
    pthread_mutex_lock(&events->signal_lock);
    if (atomic_load(&events->armed)) {
        atomic_store(&events->armed, false);
        dwal__event_set(events->fd);
    }
    pthread_mutex_unlock(&events->signal_lock);
}

/* From now on the next event is signalled; what was before, the caller looks
 * for himself. If it is armed already, there is nothing to be read. */
static void events_arm(struct dwal__events *events) {
    if (atomic_load(&events->armed))
        return;
    pthread_mutex_lock(&events->signal_lock);
    if (events->fd >= 0) {
        dwal__event_clear(events->fd);
        atomic_store(&events->armed, true);
    }
    pthread_mutex_unlock(&events->signal_lock);
}

void dwal__events_role_free(struct dwal *log) {
    struct dwal__events *events = &log->events;
    if (!atomic_load(&events->turned_away) ||
        !atomic_exchange(&events->turned_away, false))
        return;
    pthread_mutex_lock(&events->signal_lock);
    atomic_store(&events->armed, false);
    if (events->fd >= 0)
        dwal__event_set(events->fd);
    pthread_mutex_unlock(&events->signal_lock);
}

/* The loop's share of the work, and then as events_arm. What the kernel writes
 * behind the clearing stays there: its operation may not have been done yet when
 * we looked. */
static void loop_work(struct dwal *log) {
    struct dwal__events *events = &log->events;
    pthread_mutex_lock(&events->signal_lock);
    if (events->fd >= 0)
        dwal__event_clear(events->fd);
    atomic_store(&events->armed, false); /* we look ourselves */
    pthread_mutex_unlock(&events->signal_lock);
    /* First: "loop" in log.h. */
    atomic_store(&events->turned_away, true);
    bool again = dwal__commit_poll(log);
    pthread_mutex_lock(&events->signal_lock);
    if (again && events->fd >= 0)
        dwal__event_set(events->fd);
    atomic_store(&events->armed, !again && events->fd >= 0);
    pthread_mutex_unlock(&events->signal_lock);
}

static bool loop_works(struct dwal *log) {
    return atomic_load_explicit(&log->events.kernel_fd, memory_order_relaxed) >=
           0;
}

/* Sees to what was appended. In the loop's own thread that may get stuck in the
 * kernel, so it is counted as a caller. */
static void append_submit(struct dwal *log) {
    if (!loop_works(log)) {
        dwal__committer_kick(log);
        return;
    }
    dwal__caller_enter(log);
    dwal__commit_submit(log);
    dwal__caller_leave(log);
}

void dwal__events_close(struct dwal *log) {
    struct dwal__events *events = &log->events;
    pthread_mutex_lock(&events->signal_lock);
    atomic_store(&events->armed, false);
    dwal__events_close_copy(log);
    pthread_mutex_unlock(&events->signal_lock);
}

void dwal__events_close_copy(struct dwal *log) {
    if (log->events.fd >= 0)
        dwal__event_close(log->events.fd);
    log->events.fd = -1; /* its number may be another file's soon */
}

bool dwal__events_wanted(struct dwal *log) {
    pthread_mutex_lock(&log->events.signal_lock);
    bool wanted = log->events.fd >= 0;
    pthread_mutex_unlock(&log->events.signal_lock);
    return wanted;
}

/* Readable at first, since nobody looked yet. activate_lock held. */
static int descriptor_make(struct dwal *log, struct dwal_error *error) {
    struct dwal__events *events = &log->events;
    if (atomic_load(&log->phase) == DWAL__PHASE_ACTIVE) {
        int code = dwal__watcher_start(log, error);
        if (code != DWAL_OK)
            return code;
    }
    int fd = dwal__event_make();
    if (fd < 0)
        return dwal__error_set(error, DWAL_ENOMEM, -fd,
                               "%s: make an eventfd; close files, or raise the "
                               "limit on them",
                               log->path);
    pthread_mutex_lock(&events->signal_lock);
    events->fd = fd;
    dwal__event_set(fd);
    pthread_mutex_unlock(&events->signal_lock);
    if (log->options.submit == DWAL_SUBMIT_CALLER)
        atomic_store(&events->kernel_fd, fd);
    return DWAL_OK;
}

/* ---- the ring; lock held ---- */

static int ring_ready(struct dwal *log, struct dwal_error *error) {
    struct dwal__events *events = &log->events;
    if (events->ring == NULL)
        events->ring = dwal__pages_map(ring_size());
    if (events->ring == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, errno,
                               "%s: map the ring of completions", log->path);
    if (events->count < DWAL_COMPLETIONS_MAX)
        return DWAL_OK;
    return dwal__error_set(error, DWAL_EAGAIN, 0,
                           "%s: %u completions are outstanding; reap them "
                           "first",
                           log->path, DWAL_COMPLETIONS_MAX);
}

static void ring_put(struct dwal__events *events,
                     const struct dwal__outstanding *entry) {
    /* From the beginning when it is empty: few warm pages serve. */
    if (events->count == 0)
        events->first = 0;
    events->ring[(events->first + events->count) % DWAL_COMPLETIONS_MAX] =
        *entry;
    events->count++;
}

/* What is known about the log, for some entries at once. */
struct outlook {
    bool failed;
    uint64_t completed;
};

/* In this order: nothing is published once failed is set, so what completed
 * says behind it is the end. */
static struct outlook outlook_now(struct dwal *log) {
    bool failed = atomic_load(&log->failed);
    return (struct outlook){failed, atomic_load(&log->completed)};
}

/* The code of the first entry; DWAL_ETIMEDOUT: not known yet, or there is
 * none. */
static int first_code(const struct dwal__events *events,
                      const struct outlook *outlook) {
    if (events->count == 0)
        return DWAL_ETIMEDOUT;
    /* The batch that was being published when the log failed may have become
     * durable behind our last look: then it is too late to say so. */
    if (events->failure_told)
        return DWAL_EFAILED;
    if (events->ring[events->first].sequence < outlook->completed)
        return DWAL_OK;
    return outlook->failed ? DWAL_EFAILED : DWAL_ETIMEDOUT;
}

bool dwal__events_several(struct dwal *log) {
    struct dwal__events *events = &log->events;
    pthread_mutex_lock(&events->lock);
    uint32_t second = (events->first + 1) % DWAL_COMPLETIONS_MAX;
    bool several = events->count > 1 &&
                   events->ring[second].sequence < atomic_load(&log->completed);
    pthread_mutex_unlock(&events->lock);
    return several;
}

/* Takes up to @room entries out; *more: the next one is known, too. */
static size_t ring_take(struct dwal *log, struct dwal_completion *completions,
                        size_t room, bool *more) {
    struct dwal__events *events = &log->events;
    struct outlook outlook = outlook_now(log);
    size_t taken = 0;
    int code;
    while ((code = first_code(events, &outlook)) != DWAL_ETIMEDOUT &&
           taken < room) {
        const struct dwal__outstanding *entry = &events->ring[events->first];
        completions[taken++] =
            (struct dwal_completion){.lsn = entry->lsn,
                                     .count = entry->count,
                                     .code = code,
                                     .context = entry->context};
        events->failure_told |= code == DWAL_EFAILED;
        events->first = (events->first + 1) % DWAL_COMPLETIONS_MAX;
        events->count--;
    }
    *more = code != DWAL_ETIMEDOUT;
    return taken;
}

/* ---- appending ---- */

/* The checks of an append. Only the first one may wait, for the start of the
 * threads, and is counted then, as in place_take. */
static int append_ready(struct dwal *log, struct dwal_error *error) {
    bool first = atomic_load_explicit(&log->phase, memory_order_acquire) !=
                 DWAL__PHASE_ACTIVE;
    if (first)
        dwal__caller_enter(log);
    int code = dwal__ready(log, error);
    if (first)
        dwal__caller_leave(log);
    return code;
}

/* Reserves a place and notes it. Failed is looked at under the lock: either we
 * see it, or the failure's signal comes after our entry is there. */
static int place_note(struct dwal *log, const struct dwal__need *need,
                      void *context, struct dwal__place *place,
                      struct dwal_error *error) {
    struct dwal__events *events = &log->events;
    pthread_mutex_lock(&events->lock);
    int code = ring_ready(log, error);
    if (code == DWAL_OK && atomic_load(&log->failed))
        code = dwal__failure_report(log, error);
    if (code == DWAL_OK && !dwal__place_reserve_open(log, need, place))
        code = dwal__place_reserve_try(log, need, place, error);
    if (code == DWAL_OK)
        ring_put(events,
                 &(struct dwal__outstanding){.sequence = place->sequence,
                                             .lsn = place->lsn,
                                             .context = context,
                                             .count = need->records});
    pthread_mutex_unlock(&events->lock);
    return code;
}

int dwal_append_async(struct dwal *log, const struct dwal_record *records,
                      size_t count, void *context, uint64_t *first_lsn,
                      struct dwal_error *error) {
    struct dwal__need need;
    struct dwal__place place;
    int code = dwal__handle_check(log, error);
    if (code == DWAL_OK)
        code = dwal__records_need(log, records, count, &need, error);
    if (code == DWAL_OK)
        code = append_ready(log, error);
    if (code != DWAL_OK)
        return code;
    code = place_note(log, &need, context, &place, error);
    if (code == DWAL_OK) {
        dwal__records_write(&place, records, count);
        if (first_lsn != NULL)
            *first_lsn = place.lsn;
    }
    /* Also if it was refused: a batch may have been sealed on the way. */
    append_submit(log);
    return code;
}

/* ---- the loop ---- */

int dwal_event_fd(struct dwal *log, int *fd, struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    if (fd == NULL)
        return dwal__error_set(error, DWAL_EINVAL, 0, "%s: fd is NULL",
                               log->path);
    pthread_mutex_lock(&log->activate_lock);
    if (!dwal__events_wanted(log))
        code = descriptor_make(log, error);
    if (code == DWAL_OK)
        *fd = log->events.fd;
    pthread_mutex_unlock(&log->activate_lock);
    return code;
}

/* As for dwal_reap, all checked. */
static size_t completions_take(struct dwal *log,
                               struct dwal_completion *completions,
                               size_t room) {
    pthread_mutex_lock(&log->events.lock);
    bool more;
    size_t taken = ring_take(log, completions, room, &more);
    bool outstanding = log->events.count > 0;
    pthread_mutex_unlock(&log->events.lock);
    if (more)
        dwal__events_notify(log);
    else if (outstanding && taken == 0)
        /* Who only polls notices a log that hangs, too. */
        dwal__watch(log, dwal__now_ns());
    return taken;
}

int dwal_reap(struct dwal *log, struct dwal_completion *completions,
              size_t room, size_t *count, struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    if (count == NULL || (completions == NULL && room > 0))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: completions or count is NULL", log->path);
    if (loop_works(log) && atomic_load(&log->phase) == DWAL__PHASE_ACTIVE) {
        dwal__caller_enter(log); /* as in append_submit */
        loop_work(log);
        *count = completions_take(log, completions, room);
        dwal__caller_leave(log);
        return DWAL_OK;
    }
    events_arm(&log->events);
    *count = completions_take(log, completions, room);
    return DWAL_OK;
}
