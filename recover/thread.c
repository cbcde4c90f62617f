/* SPDX-License-Identifier: MIT */
/*
 * How threads are started. The invariant: no signal of the application is
 * handled by one of them, not even between its start and its first instruction,
 * since a thread inherits the mask of who starts it.
 */
#include "thread.h"

#include <errno.h>
#include <signal.h>

/* Some times what any of ours needs: buffers are not on the stack. */
#define STACK_SIZE ((size_t)256 << 10)

/* A stack holds the application's thread-local variables, too: where those
 * leave no room in ours, pthread_create says EINVAL, and the application's own
 * default is taken, which it must have made large enough. */
static int start(pthread_t *thread, void *(*body)(void *), void *argument) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    error = pthread_create(thread, &attributes, body, argument);
    pthread_attr_destroy(&attributes);
    return error == EINVAL ? pthread_create(thread, NULL, body, argument)
                           : error;
}

int dwal__thread_start(pthread_t *thread, void *(*body)(void *),
                       void *argument) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = start(thread, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
