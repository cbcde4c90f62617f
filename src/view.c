/* SPDX-License-Identifier: MIT */
/*
 * What is durable, for readers in the writer's own process: one view a log, and
 * the list of logs that are open, by the identity of LOCK.
 *
 * And in which process we are: a child of fork() has copies of the handles, but
 * neither the threads nor the I/O behind them.
 *
 * Invariant: a view outlives its log as long as a cursor refers to it, and
 * then says what was last durable.
 */
#include <limits.h>
#include <stdlib.h>

#include "log.h"

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dwal__view *registry; /* registry_lock */

/* ---- fork ---- */

_Atomic uint32_t dwal__forks;

/* In the child: its parent's logs are another process's. Whoever held the lock
 * does not exist here. */
static void child_begins(void) {
    atomic_fetch_add(&dwal__forks, 1);
    registry = NULL;
    pthread_mutex_init(&registry_lock, NULL);
}

static void forks_register(void) {
    pthread_atfork(NULL, NULL, child_begins);
}

void dwal__forks_watch(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, forks_register);
}

/* ---- views ---- */

struct dwal__view *dwal__view_new(uint64_t device, uint64_t inode) {
    struct dwal__view *view = calloc(1, sizeof *view);
    if (view == NULL)
        return NULL;
    view->lock_device = device;
    view->lock_inode = inode;
    pthread_mutex_init(&view->lock, NULL);
    atomic_store(&view->references, 1);
    return view;
}

void dwal__view_register(struct dwal__view *view) {
    pthread_mutex_lock(&registry_lock);
    view->next = registry;
    registry = view;
    pthread_mutex_unlock(&registry_lock);
}

void dwal__view_release(struct dwal__view *view) {
    if (atomic_fetch_sub(&view->references, 1) != 1)
        return;
    pthread_mutex_destroy(&view->lock);
    free(view);
}

void dwal__view_close(struct dwal__view *view) {
    pthread_mutex_lock(&registry_lock);
    for (struct dwal__view **at = &registry; *at != NULL; at = &(*at)->next)
        if (*at == view) {
            *at = view->next;
            break;
        }
    pthread_mutex_unlock(&registry_lock);
    atomic_store(&view->closed, true);
    dwal__view_tell(view);
}

struct dwal__view *dwal__view_find(uint64_t device, uint64_t inode) {
    pthread_mutex_lock(&registry_lock);
    struct dwal__view *view = registry;
    while (view != NULL &&
           (view->lock_device != device || view->lock_inode != inode))
        view = view->next;
    if (view != NULL)
        atomic_fetch_add(&view->references, 1);
    pthread_mutex_unlock(&registry_lock);
    return view;
}

void dwal__view_write(struct dwal__view *view,
                      const struct dwal__watermark *durable) {
    pthread_mutex_lock(&view->lock);
    view->durable = *durable;
    pthread_mutex_unlock(&view->lock);
}

void dwal__view_trim(struct dwal__view *view, uint64_t first_lsn) {
    pthread_mutex_lock(&view->lock);
    view->first_lsn = first_lsn;
    pthread_mutex_unlock(&view->lock);
}

void dwal__view_read(void *argument, struct dwal__watermark *durable,
                     uint64_t *first_lsn) {
    struct dwal__view *view = argument;
    pthread_mutex_lock(&view->lock);
    *durable = view->durable;
    *first_lsn = view->first_lsn;
    pthread_mutex_unlock(&view->lock);
}

void dwal__view_fail(struct dwal__view *view) {
    atomic_store(&view->failed, true);
    dwal__view_tell(view);
}

/* ---- waiting ---- */

/* As batches wake their waiters ("durable" in log.h): here the view has
 * changed, then news, and then the waiters are looked at; who waits counts
 * himself, loads news, looks at the view, and sleeps on the news that he
 * loaded. All of it is sequentially consistent, so one sees the other. */
void dwal__view_tell(struct dwal__view *view) {
    atomic_fetch_add(&view->news, 1);
    if (atomic_load(&view->waiters) > 0)
        dwal__futex_wake(&view->news, INT_MAX);
}

void dwal__view_wait_begin(struct dwal__view *view) {
    atomic_fetch_add(&view->references, 1);
    atomic_fetch_add(&view->waiters, 1);
}

void dwal__view_wait_end(struct dwal__view *view) {
    atomic_fetch_sub(&view->waiters, 1);
    dwal__view_release(view);
}

uint32_t dwal__view_news(struct dwal__view *view) {
    return atomic_load(&view->news);
}

void dwal__view_wait(struct dwal__view *view, uint32_t news, int64_t deadline) {
    dwal__futex_wait(&view->news, news, deadline);
}
