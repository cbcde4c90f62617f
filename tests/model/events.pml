/* SPDX-License-Identifier: MIT */
/*
 * The descriptor of event loops, as src/events.c does it: an appender, the
 * committer, which publishes, somebody who may latch a failure at any moment,
 * and two loops that sleep until the descriptor is readable. Memory is
 * sequentially consistent here, as all the atomics of this protocol are.
 *
 * Shown, over all interleavings: every entry of the ring is reaped (no deadlock:
 * a loop that sleeps while something is to be told leaves init waiting for ever);
 * as durable only if it is; none as durable behind one that came out as failed;
 * the descriptor is written to only while it is not readable.
 *
 * Left out: blocking appends, the cut, and who was refused for want of room.
 *
 * handover_test.py runs it, and again with one step changed at a time (MUTANT
 * 1 to 6), when it must find an error.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#define APPENDS 3
#define LOOPS 2

byte appended, completed, reaped; /* entries below are … */
bool failed;
bool failure_told;
bool appended_all;
bool ring_lock, signal_lock;
bool armed;
bool readable = true; /* at first: nobody has looked */

inline lock(which) { atomic { !which -> which = true; } }

inline notify() {
    if
    :: armed ->
        lock(signal_lock);
        if
        :: armed -> armed = false; assert(!readable); readable = true;
        :: else -> skip;
        fi;
        signal_lock = false;
    :: else -> skip;
    fi
}

inline arm() {
    if
    :: !armed ->
        lock(signal_lock);
#if MUTANT == 1 /* armed first, then made unreadable */
        armed = true;
        signal_lock = false;
        readable = false;
#else
        readable = false;
        armed = true;
        signal_lock = false;
#endif
    :: else -> skip;
    fi
}

#define known (reaped < appended && \
               (failure_told || reaped < seen || saw_failed))

/* Room for one. */
inline take() {
    lock(ring_lock);
    saw_failed = failed;
    seen = completed;
    atomic { /* what follows is ring_lock's */
    if
    :: known ->
        if
#if MUTANT == 2 /* each entry is judged for itself */
        :: reaped < seen ->
#else
        :: reaped < seen && !failure_told ->
#endif
            assert(reaped < completed);
            assert(!failure_told);
        :: else -> failure_told = true;
        fi;
        reaped++;
    :: else -> skip;
    fi;
    more = known;
    ring_lock = false;
    }
}

proctype loop() {
    byte seen;
    bool saw_failed, more;
end:
    do
    :: readable ->
#if MUTANT == 3 /* looks, then arms */
        take();
        arm();
#else
        arm();
        take();
#endif
        if
#if MUTANT == 4 /* what there was no room for is left */
        :: false -> skip;
#else
        :: more -> notify();
#endif
        :: else -> skip;
        fi;
    od
}

proctype appender() {
    byte i;
    bool refused;
    for (i : 1 .. APPENDS) {
#if MUTANT == 5 /* looks for the failure, then takes the lock */
        refused = failed;
        lock(ring_lock);
#else
        lock(ring_lock);
        refused = failed;
#endif
        atomic {
            if
            :: !refused -> appended++;
            :: else -> skip;
            fi;
            ring_lock = false;
        }
    }
    appended_all = true;
}

/* What was published when the failure is latched stays so. */
proctype committer() {
    byte batch;
    do
    :: !failed && completed < appended ->
        batch = appended; /* of several entries, perhaps */
#if MUTANT == 6 /* signals, then publishes */
        notify();
        completed = batch;
#else
        completed = batch;
        notify();
#endif
    :: failed -> break;
    :: appended_all && completed == appended -> break;
    od
}

proctype failure() {
    if
    :: failed = true; notify();
    :: skip;
    fi
}

init {
    atomic {
        byte i;
        for (i : 1 .. LOOPS) { run loop(); }
        run appender();
        run committer();
        run failure();
    }
    /* Stuck here: something is never told. */
    appended_all && reaped == appended;
}
