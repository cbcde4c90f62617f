/* SPDX-License-Identifier: MIT */
/*
 * Threads and time of a simulated process. The library's threads run as
 * coroutines of one real thread, one at a time; who runs next, and what the
 * clock says, is decided by a seeded generator. So a run depends on nothing but
 * its seed, and "all of them sleep for ever" is seen instead of waited for.
 *
 * The library itself is not changed: the linker puts the functions of sched.c
 * in the place of those of libpthread and src/sys.c that it calls (--wrap, see
 * tests/CMakeLists.txt). A coroutine is switched only inside of them and inside
 * of disk operations, so this finds wrong orders of steps, not data races;
 * those are ThreadSanitizer's.
 */
#ifndef DWAL_TESTS_CRASH_SCHED_H
#define DWAL_TESTS_CRASH_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sched_end {
    SCHED_DONE,     /* every coroutine returned */
    SCHED_DEADLOCK, /* all sleep, none with a deadline */
    SCHED_LIVELOCK  /* too many steps */
};

/* A new world, with the clock at one second. Coroutines of an old one that had
 * not ended are forgotten. */
void sched_begin(uint64_t seed);

/* Adds a coroutine; @name must stay valid. Returns its number. */
int sched_spawn(const char *name, void *(*body)(void *argument),
                void *argument);

/* Runs them until all have ended or none can go on. Not from a coroutine. */
enum sched_end sched_run(void);

/* For the message after a run that did not end: who sleeps, and on what. */
void sched_describe(char *text, unsigned size);

/* True in a coroutine. Outside, the functions below do nothing. */
bool sched_inside(void);
const char *sched_name(void);

/* Somebody else may run now. */
void sched_point(void);

/* Sleeps on @channel until sched_wake or @deadline (INT64_MAX: never). False
 * after the deadline. May come back for no reason. */
bool sched_block(const void *channel, int64_t deadline);
void sched_wake(const void *channel, int count);
/* True if a coroutine sleeps, or was woken and did not run since, on a channel
 * in the @size bytes at @memory. */
bool sched_sleeps_in(const void *memory, size_t size);
/* Waits for the end of coroutine @number. */
void sched_join(int number);
void sched_sleep(int64_t ns);

/* The virtual clock. Asking it takes time, and others may run meanwhile; but
 * not when only looking at it. */
int64_t sched_now(void);
int64_t sched_clock(void);

/* How often somebody did something, so far. */
unsigned sched_steps(void);

/* The world's generator. */
uint64_t sched_random(void);

#endif
