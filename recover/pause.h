/* SPDX-License-Identifier: MIT */
/*
 * How long who waits at the end of a log that another process writes rests
 * before he looks again: the kernel tells nobody of the blocks that a writer
 * fills. A moment at first, and longer the longer nothing comes, up to a bound.
 */
#ifndef DWAL_RECOVER_PAUSE_H
#define DWAL_RECOVER_PAUSE_H

/* A watermark may come no sooner than options.mark_delay_ms after the record,
 * 200 ms by default: no need to hurry more. */
#define DWAL__PAUSE_MS_MIN 5
#define DWAL__PAUSE_MS_MAX 200

struct dwal__pause {
    int next_ms; /* 0: the shortest */
};

/* Something came: the next pause is short again. */
static inline void dwal__pause_reset(struct dwal__pause *pause) {
    pause->next_ms = 0;
}

/* The next pause, in ms; the one after it is twice as long. */
static inline int dwal__pause_next(struct dwal__pause *pause) {
    int ms = pause->next_ms > 0 ? pause->next_ms : DWAL__PAUSE_MS_MIN;
    pause->next_ms = ms < DWAL__PAUSE_MS_MAX / 2 ? 2 * ms : DWAL__PAUSE_MS_MAX;
    return ms;
}

#endif
