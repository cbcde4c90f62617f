/* SPDX-License-Identifier: MIT */
/*
 * An event loop that does the log's work (DWAL_SUBMIT_CALLER and an event
 * descriptor), as src/events.c and src/committer.c do it, beside everybody else
 * who may have the role: a caller that waits, the log's thread, and somebody who
 * appends and goes away. The kernel puts a completion where it can be reaped, and
 * some time later writes to the descriptor, if it was asked to. Memory is
 * sequentially consistent here, as all the atomics of this protocol are.
 *
 * Shown, over all interleavings: every record becomes durable, and the loop
 * learns of each of its own, without the help of a deadline (otherwise init waits
 * for ever, a deadlock); nothing is told as durable that is not; one holder of
 * the role at a time.
 *
 * Left out: failures and the ring (events.pml), several batches in flight, and
 * more than one sleeping caller (handover.pml).
 *
 * handover_test.py runs it without the caller that waits, and again with one step
 * changed at a time (MUTANT 1 to 5), when it must find an error. With the caller
 * (-DCALLER=1) the states are more than some minutes reach.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#ifndef LOOP_RECORDS
#define LOOP_RECORDS 2
#endif
/* Who else is there. */
#ifndef PLAIN
#define PLAIN 1
#endif
#ifndef CALLER
#define CALLER 0
#endif
#define RECORDS (LOOP_RECORDS + PLAIN + CALLER)

byte role;
byte holders; /* ghost: who believes to have it */
/* Records are numbered as they are appended; those below … are … */
byte appended, submitted, completed;
bool in_flight, told, event_ready;
bool deferred;
byte due; /* writes of the kernel to the descriptor that are to come */
bool readable = true, armed, turned_away;
byte place[LOOP_RECORDS]; /* numbers of the loop's records */
byte sent, reaped;

bool thread_idle, thread_woken;
byte wake, sleepers;
bool caller_asleep, caller_permit;
bool plain_done = (PLAIN == 0), caller_done = (CALLER == 0);

#define work_left (appended != completed)
#if MUTANT == 4 /* a loop always comes */
#define loop_comes true
#else
#define loop_comes ((in_flight && told) || deferred)
#endif

inline signal() { atomic { armed = false; readable = true; } }

inline notify() {
    if
    :: atomic { armed -> armed = false; readable = true; }
    :: else -> skip;
    fi
}

/* Sets taken. */
inline role_take() {
    atomic {
        taken = (role == 0);
        if
        :: taken -> role = 1; holders++; assert(holders == 1);
        :: else -> skip;
        fi
    }
}

inline role_give() {
    atomic { holders--; role = 0; }
#if MUTANT != 1 /* who was turned away is forgotten */
    if
    :: atomic { turned_away -> turned_away = false; }
        signal();
    :: else -> skip;
    fi
#endif
}

inline kick() {
    if
    :: atomic { thread_idle -> thread_idle = false; thread_woken = true; }
    :: else -> skip;
    fi
}

inline sleeper_wake() {
    atomic {
        wake++;
        if
        :: caller_asleep -> caller_permit = true;
        :: else -> skip;
        fi
    }
}

inline role_release() {
    role_give();
    if
    :: work_left ->
        if
        :: sleepers > 0 ->
            sleeper_wake();
        :: else ->
            if
            :: loop_comes -> skip;
            :: else -> kick();
            fi
        fi
    :: else -> skip;
    fi
}

/* ---- with the role ---- */

inline submit(tell) {
    if
    :: !in_flight && submitted < appended ->
        atomic {
            submitted = appended;
            told = tell;
            event_ready = false;
            in_flight = true;
        }
    :: else -> skip;
    fi
}

/* Sets moved. */
inline publish() {
    moved = false;
    if
    :: in_flight && event_ready ->
        in_flight = false;
        completed = submitted;
        sleeper_wake();
        notify();
        moved = true;
    :: else -> skip;
    fi
}

/* As a caller, or the thread: until @target is durable. */
inline commit_run(target, tell) {
    do
    :: completed >= target -> break;
    :: else ->
        submit(tell);
        if
        :: !in_flight -> break;
        :: else -> skip;
        fi;
        event_ready; /* io_getevents */
        publish();
    od
}

/* ---- who takes part ---- */

proctype kernel() {
end:
    do
    :: atomic { in_flight && !event_ready ->
        event_ready = true;
        if
        :: told -> due++;
        :: else -> skip;
        fi }
    :: atomic { due > 0 -> due--; readable = true; }
    od
}

inline loop_append() {
    atomic { place[sent] = appended; appended++; sent++; }
    if
    :: deferred -> skip;
    :: else ->
        role_take();
        if
        :: taken ->
            deferred = false;
            submit(true);
            role_release();
        :: else -> skip;
        fi
    fi
}

#define several                                                               \
    (sent - reaped > 1 && place[(reaped + 1) % LOOP_RECORDS] < completed)

inline loop_poll() {
    again = false;
    role_take();
    if
    :: taken ->
        turned_away = false;
        publish();
        if
        :: moved && several -> deferred = true; again = true;
        :: else -> deferred = false; submit(true);
        fi;
        role_release();
    :: else -> skip;
    fi
}

inline loop_reap() {
#if MUTANT == 5 /* looks, then makes it unreadable */
    skip;
#else
    atomic { readable = false; armed = false; }
#endif
#if MUTANT == 2 /* tries, then says that it was turned away */
    loop_poll();
    if
    :: !taken -> turned_away = true;
    :: else -> skip;
    fi;
#else
    turned_away = true;
    loop_poll();
#endif
#if MUTANT == 5
    atomic { readable = false; armed = false; }
#endif
    atomic {
#if MUTANT != 3 /* comes back when somebody else has news */
        if
        :: again -> readable = true;
        :: else -> skip;
        fi;
#endif
        armed = !again;
    }
    seen = completed;
    do
    :: reaped < sent && place[reaped] < seen ->
        assert(place[reaped] < completed);
        reaped++;
    :: else -> break;
    od
}

proctype loop() {
    bool taken, moved, again;
    byte seen;
end:
    do
    :: sent < LOOP_RECORDS -> loop_append();
    :: readable -> loop_reap();
    od
}

proctype plain() {
    appended++;
    kick();
    plain_done = true;
}

proctype caller() {
    bool taken, moved, leaderless;
    byte mine, seen;
    atomic { mine = appended; appended++; }
    do
    :: completed > mine -> break;
    :: else ->
        role_take();
        if
        :: taken ->
            commit_run(mine + 1, false);
            role_release();
        :: else ->
            sleepers++;
            seen = wake;
            leaderless = (role == 0);
            if
            :: completed <= mine && !leaderless ->
                /* Compares and sleeps in one step, as the kernel does. */
                atomic {
                    if
                    :: wake == seen -> caller_asleep = true;
                    :: else -> skip;
                    fi
                }
                if
                :: caller_asleep ->
                    atomic { caller_permit -> caller_permit = false;
                             caller_asleep = false; }
                :: else -> skip;
                fi
            :: else -> skip;
            fi;
            sleepers--;
        fi
    od;
    assert(completed > mine);
    caller_done = true;
}

proctype thread() {
    bool taken, moved;
    byte target;
    do
    ::
        role_take();
        if
        :: taken ->
            target = appended;
            commit_run(target, true);
            role_give();
            /* What it leaves to a loop, who slept meanwhile does not wait for. */
            if
            :: work_left && loop_comes && sleepers > 0 -> sleeper_wake();
            :: else -> skip;
            fi
        :: else -> skip;
        fi;
        atomic { thread_idle = true; thread_woken = false; }
        if
        :: role == 0 && work_left && !loop_comes -> thread_idle = false;
        :: else ->
end:
            thread_woken;
            thread_idle = false;
        fi
    od
}

init {
    atomic {
        run kernel();
        run loop();
        if
        :: PLAIN -> run plain();
        :: else -> skip;
        fi;
        if
        :: CALLER -> run caller();
        :: else -> skip;
        fi;
        run thread();
    }
    /* Stuck here: something is never told, or never done. */
    plain_done && caller_done && reaped == LOOP_RECORDS &&
        completed == RECORDS;
}
