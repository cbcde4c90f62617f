/* SPDX-License-Identifier: MIT */
/*
 * Coroutines, a virtual clock, and the library's primitives on top of them; see
 * the header. Everything is static: there is one world at a time.
 */
#include "sched.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/support/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBERS 1
#endif
#endif
#ifdef FIBERS
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define COROUTINES_MAX 32
#define STACK_SIZE ((size_t)512 << 10)
#define STEPS_MAX 4000000u
#define NEVER INT64_MAX

enum coroutine_state { ENDED, READY, BLOCKED };

struct coroutine {
    const char *name;
    void *(*body)(void *argument);
    void *argument;
    ucontext_t context;
    void *stack;
    void *fake_stack; /* AddressSanitizer's */
    enum coroutine_state state;
    const void *channel;
    int64_t deadline;
    bool woken;
    unsigned weight; /* how often it is chosen, against others */
};

/* A mutex that is held; the channel of who wants it is its address. */
struct held {
    const void *mutex;
    int owner;
};

static struct {
    struct coroutine coroutines[COROUTINES_MAX];
    int count;
    int current; /* -1: outside */
    ucontext_t outside;
    void *outside_fake;
    const void *outside_stack;
    size_t outside_size;
    struct held held[COROUTINES_MAX];
    int held_count;
    int64_t clock;
    uint64_t random;
    unsigned switch_share; /* a point switches once in so many */
    unsigned steps;
    unsigned threads; /* of the library */
    enum sched_end end;
} world = {.current = -1};

/* ---- switching ---- */

static void *stack_new(void) {
    void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(stack != MAP_FAILED);
    mprotect(stack, 4096, PROT_NONE); /* an overflow is seen */
    return stack;
}

static void switch_finish(void *fake) {
    (void)fake;
#ifdef FIBERS
    const void *stack;
    size_t size;
    __sanitizer_finish_switch_fiber(fake, &stack, &size);
    if (world.outside_stack == NULL) { /* the first comes from outside */
        world.outside_stack = stack;
        world.outside_size = size;
    }
#endif
}

/* From the one that runs to @next; -1: outside. */
static void switch_to(int next) {
    int before = world.current;
    if (next == before)
        return;
    ucontext_t *from =
        before < 0 ? &world.outside : &world.coroutines[before].context;
    ucontext_t *to =
        next < 0 ? &world.outside : &world.coroutines[next].context;
    void **fake =
        before < 0 ? &world.outside_fake : &world.coroutines[before].fake_stack;
    world.current = next;
#ifdef FIBERS
    bool ended = before >= 0 && world.coroutines[before].state == ENDED;
    __sanitizer_start_switch_fiber(ended ? NULL : fake,
                                   next < 0 ? world.outside_stack
                                            : world.coroutines[next].stack,
                                   next < 0 ? world.outside_size : STACK_SIZE);
#endif
    swapcontext(from, to);
    switch_finish(*fake);
}

static bool can_run(const struct coroutine *coroutine) {
    return coroutine->state == READY ||
           (coroutine->state == BLOCKED && coroutine->deadline <= world.clock);
}

/* Moves the clock to the first deadline of those that sleep; false: none has
 * one. */
static bool clock_skip(void) {
    int64_t first = NEVER;
    for (int i = 0; i < world.count; i++)
        if (world.coroutines[i].state == BLOCKED &&
            world.coroutines[i].deadline < first)
            first = world.coroutines[i].deadline;
    if (first == NEVER)
        return false;
    if (first > world.clock)
        world.clock = first;
    return true;
}

/* One of those that can run, by weight; -1: none. @except: only if it is the
 * only one. */
static int coroutine_choose(int except) {
    unsigned sum = 0;
    for (int i = 0; i < world.count; i++)
        if (i != except && can_run(&world.coroutines[i]))
            sum += world.coroutines[i].weight;
    if (sum == 0)
        return except >= 0 && can_run(&world.coroutines[except]) ? except : -1;
    unsigned at = (unsigned)(check_random(&world.random) % sum);
    for (int i = 0; i < world.count; i++) {
        if (i == except || !can_run(&world.coroutines[i]))
            continue;
        if (at < world.coroutines[i].weight)
            return i;
        at -= world.coroutines[i].weight;
    }
    return -1;
}

static bool all_ended(void) {
    for (int i = 0; i < world.count; i++)
        if (world.coroutines[i].state != ENDED)
            return false;
    return true;
}

/* Lets another one run: whoever can, else whoever is due first. */
static void switch_away(int except) {
    int next = coroutine_choose(except);
    while (next < 0 && clock_skip())
        next = coroutine_choose(except);
    if (next < 0 && world.end == SCHED_DONE && !all_ended())
        world.end = SCHED_DEADLOCK;
    if (world.end != SCHED_DONE)
        next = -1; /* for good: the coroutines are left where they are */
    switch_to(next);
}

static void coroutine_main(void) {
    switch_finish(NULL);
    struct coroutine *self = &world.coroutines[world.current];
    self->body(self->argument);
    self->state = ENDED;
    sched_wake(self, COROUTINES_MAX);
    switch_away(-1);
    abort(); /* nobody switches to one that ended */
}

/* ---- the world ---- */

void sched_begin(uint64_t seed) {
    assert(world.current < 0);
    world.count = 0;
    world.held_count = 0;
    world.clock = 1000000000;
    world.random = seed;
    world.switch_share = 1u << check_random(&world.random) % 6;
    world.steps = 0;
    world.threads = 0;
    world.end = SCHED_DONE;
}

static void context_make(struct coroutine *coroutine) {
#ifdef FIBERS
    __asan_unpoison_memory_region((char *)coroutine->stack + 4096,
                                  STACK_SIZE - 4096);
#endif
    getcontext(&coroutine->context);
    coroutine->context.uc_stack.ss_sp = coroutine->stack;
    coroutine->context.uc_stack.ss_size = STACK_SIZE;
    coroutine->context.uc_link = NULL;
    makecontext(&coroutine->context, coroutine_main, 0);
}

int sched_spawn(const char *name, void *(*body)(void *argument),
                void *argument) {
    assert(world.count < COROUTINES_MAX);
    int number = world.count++;
    struct coroutine *coroutine = &world.coroutines[number];
    void *stack = coroutine->stack != NULL ? coroutine->stack : stack_new();
    *coroutine = (struct coroutine){
        .name = name,
        .body = body,
        .argument = argument,
        .stack = stack,
        .state = READY,
        .weight = 1u << check_random(&world.random) % 5,
    };
    context_make(coroutine);
    return number;
}

enum sched_end sched_run(void) {
    assert(world.current < 0);
    switch_away(-1);
    return world.end;
}

void sched_describe(char *text, unsigned size) {
    unsigned used = 0;
    text[0] = '\0';
    for (int i = 0; i < world.count && used < size; i++) {
        const struct coroutine *coroutine = &world.coroutines[i];
        if (coroutine->state == ENDED)
            continue;
        int more =
            snprintf(text + used, size - used, "%s: %s%s\n", coroutine->name,
                     coroutine->state == READY ? "can run" : "sleeps",
                     coroutine->deadline == NEVER && coroutine->state == BLOCKED
                         ? ", without a deadline"
                         : "");
        used += more > 0 ? (unsigned)more : 0;
    }
}

bool sched_inside(void) {
    return world.current >= 0;
}

const char *sched_name(void) {
    return world.current < 0 ? "-" : world.coroutines[world.current].name;
}

unsigned sched_steps(void) {
    return world.steps;
}

uint64_t sched_random(void) {
    return check_random(&world.random);
}

/* Time passes; a world that never ends is given up. */
static void step(int64_t ns) {
    world.clock += ns;
    if (++world.steps <= STEPS_MAX)
        return;
    world.end = SCHED_LIVELOCK;
    switch_away(-1);
}

void sched_point(void) {
    if (world.current < 0)
        return;
    step(50);
    if (check_random(&world.random) % world.switch_share == 0)
        switch_away(world.current);
}

bool sched_block(const void *channel, int64_t deadline) {
    assert(world.current >= 0);
    struct coroutine *self = &world.coroutines[world.current];
    self->state = BLOCKED;
    self->channel = channel;
    self->deadline = deadline;
    self->woken = false;
    step(50);
    switch_away(-1);
    self->state = READY;
    self->channel = NULL;
    return self->woken;
}

void sched_wake(const void *channel, int count) {
    /* From a random one on: who waits longest has no claim. */
    int first = world.count > 0
                    ? (int)(check_random(&world.random) % (unsigned)world.count)
                    : 0;
    for (int i = 0; i < world.count && count > 0; i++) {
        struct coroutine *coroutine =
            &world.coroutines[(first + i) % world.count];
        if (coroutine->state != BLOCKED || coroutine->channel != channel)
            continue;
        coroutine->state = READY;
        coroutine->woken = true;
        count--;
    }
}

bool sched_sleeps_in(const void *memory, size_t size) {
    for (int i = 0; i < world.count; i++) {
        const struct coroutine *coroutine = &world.coroutines[i];
        uintptr_t channel = (uintptr_t)coroutine->channel;
        if (coroutine->state != ENDED && channel >= (uintptr_t)memory &&
            channel - (uintptr_t)memory < size)
            return true;
    }
    return false;
}

void sched_join(int number) {
    struct coroutine *coroutine = &world.coroutines[number];
    while (coroutine->state != ENDED)
        sched_block(coroutine, NEVER);
}

int64_t sched_now(void) {
    sched_point();
    world.clock += 100;
    return world.clock;
}

int64_t sched_clock(void) {
    return world.clock;
}

void sched_sleep(int64_t ns) {
    static const char channel = 0;
    int64_t until = world.clock + ns;
    while (world.current >= 0 && world.clock < until)
        sched_block(&channel, until);
}

/* ---- in the place of libpthread ---- */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_detach(pthread_t thread);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition,
                                  pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);
int __wrap_sched_yield(void);

/* The library starts the committer's thread first, then the keeper's. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument) {
    (void)attributes;
    static const char *const names[] = {"committer", "keeper"};
    if (world.count == COROUTINES_MAX)
        return EAGAIN;
    *thread =
        (pthread_t)sched_spawn(names[world.threads++ % 2], body, argument);
    sched_point();
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result) {
    assert(result == NULL);
    (void)result;
    sched_join((int)thread);
    return 0;
}

int __wrap_pthread_detach(pthread_t thread) {
    (void)thread;
    return 0;
}

static struct held *held_find(const void *mutex) {
    for (int i = 0; i < world.held_count; i++)
        if (world.held[i].mutex == mutex)
            return &world.held[i];
    return NULL;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    sched_point();
    struct held *held;
    while ((held = held_find(mutex)) != NULL) {
        assert(world.current >= 0 && held->owner != world.current);
        sched_block(mutex, NEVER);
    }
    assert(world.held_count < COROUTINES_MAX);
    world.held[world.held_count++] =
        (struct held){.mutex = mutex, .owner = world.current};
    return 0;
}

static void mutex_release(pthread_mutex_t *mutex) {
    struct held *held = held_find(mutex);
    assert(held != NULL && held->owner == world.current);
    *held = world.held[--world.held_count];
    sched_wake(mutex, 1);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    mutex_release(mutex);
    sched_point();
    return 0;
}

/* The library's conditions go by CLOCK_MONOTONIC. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition,
                                  pthread_mutex_t *mutex,
                                  const struct timespec *until) {
    int64_t seconds = until->tv_sec;
    int64_t deadline = seconds > NEVER / 1000000000 - 1
                           ? NEVER
                           : seconds * 1000000000 + until->tv_nsec;
    mutex_release(mutex);
    bool woken = sched_block(condition, deadline);
    __wrap_pthread_mutex_lock(mutex);
    return woken ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition) {
    sched_wake(condition, COROUTINES_MAX);
    return 0;
}

int __wrap_sched_yield(void) {
    if (world.current >= 0) {
        step(200);
        switch_away(world.current);
    }
    return 0;
}

/* ---- in the place of src/sys.c ---- */

int64_t __wrap_dwal__now_ns(void);
uint64_t __wrap_dwal__wall_ns(void);
void __wrap_dwal__sleep_ns(int64_t ns);
int __wrap_dwal__random(void *bytes, size_t size);
bool __wrap_dwal__futex_wait(_Atomic uint32_t *word, uint32_t expected,
                             int64_t deadline);
void __wrap_dwal__futex_wake(_Atomic uint32_t *word, int count);

int64_t __wrap_dwal__now_ns(void) {
    return sched_now();
}

uint64_t __wrap_dwal__wall_ns(void) {
    return UINT64_C(1735689600000000000) + (uint64_t)world.clock;
}

void __wrap_dwal__sleep_ns(int64_t ns) {
    sched_sleep(ns);
}

int __wrap_dwal__random(void *bytes, size_t size) {
    check_fill(&world.random, bytes, size);
    return 0;
}

/* Looking at the word and falling asleep are one step, as in the kernel. */
bool __wrap_dwal__futex_wait(_Atomic uint32_t *word, uint32_t expected,
                             int64_t deadline) {
    sched_point();
    if (atomic_load(word) != expected || check_random(&world.random) % 64 == 0)
        return true;
    return sched_block(word, deadline);
}

void __wrap_dwal__futex_wake(_Atomic uint32_t *word, int count) {
    sched_wake(word, count);
    sched_point();
}
