/* SPDX-License-Identifier: MIT */
/*
 * The range is cut into chunks; chunk n belongs into slot n % CHUNKS of a ring.
 * Invariants: a slot is read into only while its chunk is claimed, and claimed
 * only after the reader let go of the chunk before in that slot; the reader
 * looks only at chunks that have landed. So no byte has two owners.
 *
 *     released <= what is asked for < landed … claimed <= released + CHUNKS
 *
 * What is asked for has to be in one piece. Where it goes beyond the last slot,
 * the part there is copied to right before the first one: that is what the
 * stretch in front of the ring is for.
 */
#include "ahead.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "thread.h"

#define PENDING ((ssize_t)-1)

struct dwal__ahead {
    struct dwal__ahead_range range;
    uint64_t chunks; /* of the range */
    uint64_t asked;  /* the offset asked for last */
    uint64_t told;   /* chunks below were whole, and told of */
    pthread_t threads[DWAL__AHEAD_READS];
    unsigned thread_count; /* 0: not running */
    uint8_t *memory;
    uint8_t *ring; /* in memory, behind the stretch */

    pthread_mutex_t lock; /* of what follows; a leaf */
    pthread_cond_t landed;
    pthread_cond_t room;
    uint64_t claimed;  /* chunks below are being read, or were */
    uint64_t released; /* chunks below are not needed any more */
    bool stop;
    ssize_t got[DWAL__AHEAD_CHUNKS]; /* bytes, or PENDING */
};

struct dwal__ahead *dwal__ahead_new(uint32_t unit) {
    struct dwal__ahead *ahead = calloc(1, sizeof *ahead);
    if (ahead == NULL)
        return NULL;
    ahead->memory = dwal__buffer_allocate(DWAL__AHEAD_MEMORY, unit);
    if (ahead->memory == NULL) {
        free(ahead);
        return NULL;
    }
    ahead->ring = ahead->memory + DWAL__AHEAD_STRETCH;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->landed, NULL);
    pthread_cond_init(&ahead->room, NULL);
    return ahead;
}

void dwal__ahead_free(struct dwal__ahead *ahead) {
    if (ahead == NULL)
        return;
    assert(ahead->thread_count == 0);
    pthread_cond_destroy(&ahead->room);
    pthread_cond_destroy(&ahead->landed);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead->memory);
    free(ahead);
}

/* ---- the threads ---- */

static uint64_t chunk_offset(const struct dwal__ahead *ahead, uint64_t chunk) {
    return ahead->range.from + chunk * DWAL__AHEAD_CHUNK;
}

/* Bytes of a chunk that are in the range. */
static size_t chunk_size(const struct dwal__ahead *ahead, uint64_t chunk) {
    uint64_t rest = ahead->range.until - chunk_offset(ahead, chunk);
    return rest < DWAL__AHEAD_CHUNK ? (size_t)rest : DWAL__AHEAD_CHUNK;
}

/* False when there is nothing more to read. lock is held. */
static bool chunk_claim(struct dwal__ahead *ahead, uint64_t *chunk) {
    while (!ahead->stop && ahead->claimed < ahead->chunks &&
           ahead->claimed == ahead->released + DWAL__AHEAD_CHUNKS)
        pthread_cond_wait(&ahead->room, &ahead->lock);
    if (ahead->stop || ahead->claimed == ahead->chunks)
        return false;
    *chunk = ahead->claimed++;
    ahead->got[*chunk % DWAL__AHEAD_CHUNKS] = PENDING;
    return true;
}

static void *thread_main(void *argument) {
    struct dwal__ahead *ahead = argument;
    const struct dwal__ahead_range *range = &ahead->range;
    uint64_t chunk;
    pthread_mutex_lock(&ahead->lock);
    while (chunk_claim(ahead, &chunk)) {
        pthread_mutex_unlock(&ahead->lock);
        unsigned slot = chunk % DWAL__AHEAD_CHUNKS;
        ssize_t got = range->disk->ops->read(
            range->disk, range->handle, ahead->ring + slot * DWAL__AHEAD_CHUNK,
            dwal__align_up(chunk_size(ahead, chunk), range->unit),
            chunk_offset(ahead, chunk));
        pthread_mutex_lock(&ahead->lock);
        ahead->got[slot] = got < 0 ? 0 : got; /* either way not whole */
        pthread_cond_signal(&ahead->landed);
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

bool dwal__ahead_start(struct dwal__ahead *ahead,
                       const struct dwal__ahead_range *range) {
    assert(ahead->thread_count == 0 && range->from % range->unit == 0);
    assert(range->from < range->until && range->disk->ops->parallel_reads);
    uint64_t size = range->until - range->from;
    ahead->range = *range;
    ahead->chunks = (size + DWAL__AHEAD_CHUNK - 1) / DWAL__AHEAD_CHUNK;
    ahead->asked = range->from;
    ahead->told = 0;
    ahead->claimed = 0;
    ahead->released = 0;
    ahead->stop = false;
    while (ahead->thread_count < DWAL__AHEAD_READS &&
           ahead->thread_count < ahead->chunks &&
           dwal__thread_start(&ahead->threads[ahead->thread_count], thread_main,
                              ahead) == 0)
        ahead->thread_count++;
    return ahead->thread_count > 0;
}

void dwal__ahead_stop(struct dwal__ahead *ahead) {
    pthread_mutex_lock(&ahead->lock);
    ahead->stop = true;
    pthread_cond_broadcast(&ahead->room);
    pthread_mutex_unlock(&ahead->lock);
    while (ahead->thread_count > 0)
        pthread_join(ahead->threads[--ahead->thread_count], NULL);
}

bool dwal__ahead_running(const struct dwal__ahead *ahead) {
    return ahead->thread_count > 0;
}

/* ---- the reader ---- */

bool dwal__ahead_covers(const struct dwal__ahead *ahead, uint64_t offset,
                        size_t size) {
    return offset >= ahead->asked && offset <= ahead->range.until &&
           size <= ahead->range.until - offset && size <= DWAL__AHEAD_STRETCH;
}

static void chunk_wait(struct dwal__ahead *ahead, uint64_t chunk) {
    while (chunk >= ahead->claimed ||
           ahead->got[chunk % DWAL__AHEAD_CHUNKS] == PENDING)
        pthread_cond_wait(&ahead->landed, &ahead->lock);
}

/* Lets go of the chunks before @first. Those that are passed over may still be
 * on their way: their slots are free only then. lock is held. */
static void chunks_release(struct dwal__ahead *ahead, uint64_t first) {
    for (uint64_t chunk = ahead->released;
         chunk < first && chunk < ahead->claimed; chunk++)
        chunk_wait(ahead, chunk);
    ahead->released = first;
    if (ahead->claimed < first)
        ahead->claimed = first;
    if (ahead->told < first)
        ahead->told = first;
    pthread_cond_broadcast(&ahead->room);
}

/* Waits until chunks @first to @last have landed, and lets go of those before.
 * True if all of them are whole. */
static bool chunks_wait(struct dwal__ahead *ahead, uint64_t first,
                        uint64_t last) {
    bool whole = true;
    if (first == ahead->released && last < ahead->told)
        return true; /* none but the reader changes these two */
    pthread_mutex_lock(&ahead->lock);
    if (ahead->released < first)
        chunks_release(ahead, first);
    for (uint64_t chunk = first; chunk <= last; chunk++) {
        chunk_wait(ahead, chunk);
        whole = whole && (size_t)ahead->got[chunk % DWAL__AHEAD_CHUNKS] >=
                             chunk_size(ahead, chunk);
    }
    pthread_mutex_unlock(&ahead->lock);
    return whole;
}

/* Memory of @size bytes from @offset on, all of which have landed. */
static uint8_t *stretch_join(struct dwal__ahead *ahead, uint64_t offset,
                             size_t size) {
    const size_t ring_size = DWAL__AHEAD_CHUNKS * DWAL__AHEAD_CHUNK;
    size_t at = (size_t)((offset - ahead->range.from) % ring_size);
    size_t tail = ring_size - at;
    if (size <= tail)
        return ahead->ring + at;
    return memcpy(ahead->ring - tail, ahead->ring + at, tail);
}

bool dwal__ahead_get(struct dwal__ahead *ahead, uint64_t offset, size_t size,
                     uint8_t **bytes, uint64_t *arrived) {
    assert(ahead->thread_count > 0 && size > 0);
    assert(dwal__ahead_covers(ahead, offset, size));
    uint64_t from = ahead->range.from;
    uint64_t first = (offset - from) / DWAL__AHEAD_CHUNK;
    uint64_t last = (offset + size - 1 - from) / DWAL__AHEAD_CHUNK;
    ahead->asked = offset;
    if (!chunks_wait(ahead, first, last))
        return false;
    *arrived = 0;
    for (; ahead->told <= last; ahead->told++)
        *arrived += chunk_size(ahead, ahead->told);
    *bytes = stretch_join(ahead, offset, size);
    return true;
}
