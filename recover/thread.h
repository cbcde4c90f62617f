/* SPDX-License-Identifier: MIT */
/*
 * Threads of the library in an application's process: they get none of its
 * signals, and take little of its memory.
 */
#ifndef DWAL_RECOVER_THREAD_H
#define DWAL_RECOVER_THREAD_H

#include <pthread.h>

/* pthread_create of @body(@argument), with all signals blocked and a small
 * stack. Returns 0 or an errno, and then no thread was started. */
int dwal__thread_start(pthread_t *thread, void *(*body)(void *),
                       void *argument);

#endif
