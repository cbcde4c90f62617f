/* SPDX-License-Identifier: MIT */
/*
 * The hand-over of the committer's role, the wake-ups, and the latch, as
 * src/append.c and src/committer.c do them with DWAL_SUBMIT_CALLER: callers
 * that append one record and wait, the log's thread, and a disk that ends each
 * write well or badly. Memory is sequentially consistent here, as all the
 * atomics of this protocol are.
 *
 * Shown, over all interleavings: nobody is left asleep (no deadlock: an end
 * state with a caller in it is invalid); who is told "durable" is; nothing
 * becomes durable after the failure is latched; one holder of the role at a
 * time; batches are submitted in order, each once.
 *
 * The first caller has a deadline and may give up whenever it sleeps, also when
 * it has just been woken to lead; what it leaves behind has to become durable
 * all the same, without anybody else coming along.
 *
 * The model leaves out what does not take part: bytes, segments, gathering,
 * yields, several writes in flight, and the I/O deadline: a wait that only that
 * would end counts as a hang here.
 *
 * handover_test.py runs it, and again with one step left out at a time (MUTANT
 * 1 to 7), when it must find an error. Two callers are looked at in seconds;
 * DWAL_MODEL_CALLERS=3 takes minutes, and gigabytes of memory.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#ifndef CALLERS
#define CALLERS 2
#endif
#define BATCHES 4 /* more than can be opened */

byte role;               /* 1: taken */
byte holders;            /* ghost: who believes to have it */
byte opened_records;     /* in the open batch */
byte sealed, submitted, completed; /* sequences below are … */
byte in_flight;
bool event_ready, event_bad;
bool failed;
bool bad[BATCHES];       /* ghost: its write did not succeed */
byte wake[BATCHES];      /* futex words */
byte waiters[BATCHES];
byte asleep[BATCHES];    /* in the kernel */
byte permits[BATCHES];   /* sleepers that were woken and have not run yet */
bool thread_idle, work_word, thread_asleep;
byte returned;

#define work_left (sealed != completed || opened_records > 0)

/* ---- futexes: compare and sleep in one step, as the kernel does ---- */

inline futex_wait(b, seen) {
    atomic {
        if
        :: wake[b] == seen -> asleep[b]++;
        :: else -> goto futex_done;
        fi
    }
    if
    :: atomic { permits[b] > 0 -> permits[b]--; asleep[b]--; }
    :: atomic { impatient -> /* the wake-up may have been for it */
        asleep[b]--;
        if
        :: permits[b] > asleep[b] -> permits[b] = asleep[b];
        :: else -> skip;
        fi;
        timed_out = true; }
    fi;
futex_done:
    skip;
}

inline futex_wake_all(b) { atomic { permits[b] = asleep[b]; } }
inline futex_wake_one(b) {
    atomic {
        if
        :: permits[b] < asleep[b] -> permits[b]++;
        :: else -> skip;
        fi
    }
}

inline kick() {
    atomic {
        if
        :: thread_idle -> thread_idle = false; work_word = true;
        :: else -> skip;
        fi
    }
}

/* ---- failing ---- */

inline fail() {
    byte fb = 0;
    failed = true;
    do
    :: fb < BATCHES -> wake[fb]++; futex_wake_all(fb); fb++;
    :: else -> break;
    od;
    fb = 0;
    kick();
}

/* ---- with the role ---- */

inline commit_run(until) {
    do
    :: failed || completed >= until -> break;
    :: else ->
        /* batches_submit: with nothing in flight the open batch is sealed. */
        if
        :: in_flight == 0 && submitted == sealed && opened_records > 0 ->
            atomic { opened_records = 0; sealed++; }
        :: else -> skip;
        fi;
        if
        :: in_flight == 0 && submitted < sealed ->
            atomic { submitted++; in_flight = 1;
                     assert(submitted == completed + 1); }
        :: else -> skip;
        fi;
        if
        :: in_flight == 0 -> break;
        :: else -> skip;
        fi;
        /* events_reap */
        atomic { event_ready -> event_ready = false; in_flight = 0; }
        if
        :: event_bad ->
            if
#if MUTANT == 1 /* a failed write is published all the same */
            :: true -> publish();
#else
            :: true -> fail();
#endif
            fi;
        :: else -> publish();
        fi;
    od;
}

inline publish() {
    if
    :: !failed ->
        atomic { assert(!failed); completed++; }
        wake[completed - 1]++;
#if MUTANT != 2 /* nobody is woken */
        if
        :: waiters[completed - 1] > 0 -> futex_wake_all(completed - 1);
        :: else -> skip;
        fi;
#endif
    :: else -> skip;
    fi;
}

inline role_take(got) {
    atomic {
        got = (role == 0);
        role = 1;
        if
        :: got -> holders++; assert(holders == 1);
        :: else -> skip;
        fi
    }
}

inline role_drop() { atomic { holders--; role = 0; } }

/* waiter_wake, or the thread if nobody sleeps. */
inline work_hand_on() {
    rb = completed;
    do
    :: rb <= sealed && waiters[rb] == 0 -> rb++;
    :: rb <= sealed && waiters[rb] > 0 ->
        wake[rb]++;
        futex_wake_one(rb);
        break;
    :: rb > sealed -> kick(); break;
    od;
    rb = 0;
}

inline role_decline() {
    if
    :: role == 0 && !failed && work_left -> work_hand_on();
    :: else -> skip;
    fi;
}

inline role_release() {
    role_drop();
    if
    :: failed ->
        if
        :: in_flight > 0 -> kick();
        :: else -> skip;
        fi;
    :: !failed && work_left ->
#if MUTANT != 3 /* the work is left to nobody */
        work_hand_on();
#else
        skip;
#endif
    :: else -> skip;
    fi;
}

/* ---- processes ---- */

proctype caller(bool impatient) {
    byte mine, seen, rb;
    bool got, saw_failed, leaderless, timed_out;
    /* One step reserves a place in the open batch. */
    atomic {
        mine = sealed;
        opened_records++;
    }
    do
    :: true ->
        saw_failed = failed;
        if
        :: completed > mine -> break;
        :: else -> skip;
        fi;
        if
        :: saw_failed -> goto out;
        :: else -> skip;
        fi;
        if
        :: timed_out ->
#if MUTANT != 7 /* who gives up keeps the wake-up to himself */
            role_decline();
#endif
            goto out;
        :: else -> skip;
        fi;
        role_take(got);
        if
        :: got ->
            commit_run(mine + 1);
            role_release();
        :: else ->
            /* batch_sleep */
            waiters[mine]++;
            seen = wake[mine];
#if MUTANT == 4 /* sleeps without looking whether somebody leads */
            leaderless = false;
#else
            leaderless = (role == 0);
#endif
            if
#if MUTANT == 5 /* … or whether it is durable by now */
            :: !leaderless && !failed ->
#else
            :: completed <= mine && !leaderless && !failed ->
#endif
                futex_wait(mine, seen);
            :: else -> skip;
            fi;
            waiters[mine]--;
        fi;
    od;
    assert(completed > mine && !bad[mine]);
out:
    returned++;
}

/* Runs while nobody waits, and takes late buffers back after a failure. */
proctype log_thread() {
    bool got;
    bool busy;
    byte rb;
end:
    do
    :: true ->
        role_take(got);
        if
        :: got && failed ->
            if
            :: in_flight > 0 ->
                atomic { event_ready -> event_ready = false; in_flight = 0; }
            :: else -> skip;
            fi;
            role_drop();
        :: got && !failed -> commit_run(BATCHES); role_drop();
        :: else -> skip;
        fi;
        work_word = false;
        thread_idle = true;
        /* Then look again: Dekker with who makes work. */
#if MUTANT == 6 /* … or not */
        busy = false;
#else
        busy = (role == 0) && ((!failed && work_left) ||
                               (failed && in_flight > 0));
#endif
        if
        :: !busy ->
endsleep:   atomic { work_word -> work_word = false; }
        :: else -> skip;
        fi;
        thread_idle = false;
    od;
}

proctype disk() {
end:
    do
    :: atomic { in_flight == 1 && !event_ready ->
        event_ready = true;
        if
        :: event_bad = false;
        :: event_bad = true; bad[submitted - 1] = true;
        fi; }
    od;
}

init {
    atomic {
        byte i;
        for (i : 1 .. CALLERS) { run caller(i == 1); }
        run log_thread();
        run disk();
    }
    /* Stuck here: a caller does not come back. */
    returned == CALLERS;
    /* … or what was appended is left lying. */
    failed || !work_left;
}
