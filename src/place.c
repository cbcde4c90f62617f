/* SPDX-License-Identifier: MIT */
/*
 * Where records get their places: the staging arena, the open batch, and the
 * border between segments.
 *
 * Invariants:
 *   - a successful CAS on batch.state reserves bytes, record index and LSN in
 *     one step, so LSN order is byte order, and no LSN is given without room;
 *   - a batch is opened at the place, in the segment, that the seal of the one
 *     before it fixed: batches are dense on disk [write-once];
 *   - a segment is entered only when the one that follows it is on disk under
 *     its name [successor-first];
 *   - at most one batch is open; it changes under place_lock only.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "../format/bytes.h"
#include "log.h"

/* ---- the state word ---- */

#define STATE_SEALED (UINT64_C(1) << 63)
#define STATE_ROOM_SHIFT 34
#define STATE_RECORDS_SHIFT 17
#define STATE_FIELD ((UINT64_C(1) << 17) - 1)
#define STATE_ROOM_MASK ((UINT64_C(1) << 29) - 1)

/* Looks at a slot that is empty: so many times, then so many times letting
 * others run, then with sleeps. */
#define COPY_SPINS 64
#define COPY_YIELDS 16
#define COPY_SLEEP_MIN_NS 2000
#define COPY_SLEEP_MAX_NS DWAL__NS_PER_MS

static uint64_t state_make(uint64_t room, uint32_t records, uint32_t lsns) {
    return room / DWAL__RECORD_ALIGNMENT << STATE_ROOM_SHIFT |
           (uint64_t)records << STATE_RECORDS_SHIFT | lsns;
}

static uint64_t state_room(uint64_t state) {
    return (state >> STATE_ROOM_SHIFT & STATE_ROOM_MASK) *
           DWAL__RECORD_ALIGNMENT;
}

static uint32_t state_records(uint64_t state) {
    return (uint32_t)(state >> STATE_RECORDS_SHIFT & STATE_FIELD);
}

static uint32_t state_lsns(uint64_t state) {
    return (uint32_t)(state & STATE_FIELD);
}

static uint32_t need_lsns(const struct dwal__need *need) {
    return need->kind == DWAL__NEED_RECORDS ? need->records : 0;
}

/* Bytes, header included, and records that are taken at @state. Room and
 * record_room change only while the batch is not open. */
static uint64_t batch_used(struct dwal__batch *batch, uint64_t state) {
    return DWAL__BATCH_HEADER_SIZE +
           atomic_load_explicit(&batch->room, memory_order_relaxed) -
           state_room(state);
}

static uint32_t batch_records(struct dwal__batch *batch, uint64_t state) {
    return atomic_load_explicit(&batch->record_room, memory_order_relaxed) -
           state_records(state);
}

static void place_set(struct dwal__place *place, struct dwal__batch *batch,
                      uint64_t state_before) {
    place->batch = batch;
    place->sequence = batch->sequence;
    place->offset = batch_used(batch, state_before);
    place->index = batch_records(batch, state_before);
    place->lsn = batch->first_lsn + state_lsns(state_before);
}

/* The one atomic step. Acquire pairs with the release of state in batch_open:
 * after it, the batch's fields are those of the opening that we reserved in,
 * and stay so until we have filled our place. Sequentially consistent because
 * "idle" (log.h) looks at the thread's flag after it. */
static bool batch_reserve(struct dwal__batch *batch,
                          const struct dwal__need *need,
                          struct dwal__place *place) {
    uint64_t state = atomic_load_explicit(&batch->state, memory_order_acquire);
    uint64_t next;
    do {
        if ((state & STATE_SEALED) != 0 || state_room(state) < need->room ||
            state_records(state) < need->records)
            return false;
        next =
            state - state_make(need->room, need->records, 0) + need_lsns(need);
    } while (!atomic_compare_exchange_weak(&batch->state, &state, next));
    place_set(place, batch, state);
    return true;
}

/* ---- filling ---- */

/* A slot a record instead of a counter of the batch: producers on several
 * processors then have one contended step less, and a plain store does. */
void dwal__place_filled(struct dwal__batch *batch, uint32_t index,
                        uint32_t crc) {
    /* Release: the record's bytes before it; pairs with the acquire in
     * dwal__place_complete. */
    atomic_store_explicit(&batch->slots[index], DWAL__FILLED | crc,
                          memory_order_release);
}

/* The caller is in the middle of a copy, or lost its processor there. It wakes
 * nobody, so we look again, ever more seldom. */
static bool slot_wait(_Atomic uint64_t *slot, int64_t deadline) {
    for (int64_t tries = 0; atomic_load(slot) == 0; tries++) {
        if (tries < COPY_SPINS)
            continue;
        if (tries < COPY_SPINS + COPY_YIELDS) {
            sched_yield();
            continue;
        }
        if (dwal__now_ns() >= deadline)
            return false;
        int64_t ns = COPY_SLEEP_MIN_NS * (tries - COPY_SPINS);
        dwal__sleep_ns(ns < COPY_SLEEP_MAX_NS ? ns : COPY_SLEEP_MAX_NS);
    }
    return true;
}

bool dwal__place_complete(struct dwal__batch *batch, int64_t deadline) {
    /* The start is the finisher's own. */
    for (uint32_t i = batch->starts ? 1 : 0; i < batch->records; i++)
        if (atomic_load_explicit(&batch->slots[i], memory_order_acquire) == 0 &&
            !slot_wait(&batch->slots[i], deadline))
            return false;
    return true;
}

uint32_t dwal__place_digest(struct dwal__batch *batch) {
    uint32_t crcs[128];
    uint32_t digest = 0;
    for (uint32_t done = 0; done < batch->records;) {
        uint32_t some = batch->records - done;
        if (some > sizeof crcs / sizeof crcs[0])
            some = sizeof crcs / sizeof crcs[0];
        for (uint32_t i = 0; i < some; i++) {
            _Atomic uint64_t *slot = &batch->slots[done + i];
            crcs[i] =
                (uint32_t)atomic_load_explicit(slot, memory_order_relaxed);
            /* For the next opening; pairs with its release of state. */
            atomic_store_explicit(slot, 0, memory_order_relaxed);
        }
        digest = dwal__digest(digest, crcs, some);
        done += some;
    }
    return digest;
}

/* ---- sealing; place_lock held ---- */

/* Takes the open batch away from callers. False if it held nothing: then it
 * never was. */
static bool batch_seal(struct dwal *log, enum dwal__seal_why why) {
    struct dwal__batch *batch =
        atomic_load_explicit(&log->open, memory_order_relaxed);
    if (batch == NULL)
        return false;
    atomic_store_explicit(&log->open, NULL, memory_order_relaxed);
    uint64_t state = atomic_fetch_or(&batch->state, STATE_SEALED);
    batch->records = batch_records(batch, state);
    batch->lsns = state_lsns(state);
    if (batch->records == 0) {
        log->opened = batch->sequence;
        return false;
    }
    batch->size = batch_used(batch, state);
    batch->padded = dwal__align_up(batch->size, log->block_size);
    assert(batch->padded <= batch->arena_taken);
    batch->arena_taken = batch->padded;
    batch->witness = batch->records == batch->witnesses;
    log->next_lsn = batch->first_lsn + batch->lsns;
    log->segment_offset = batch->offset + batch->padded;
    log->segment_used |=
        batch->records > batch->witnesses + (batch->starts ? 1u : 0u);
    log->end = (struct dwal__position){batch->segment->header.number,
                                       log->segment_offset};
    log->records_sealed += batch->records;
    dwal__meter_add(&log->meters->lsns_sealed, batch->lsns);
    log->bytes_sealed += batch->padded;
    dwal__meter_add(
        &log->meters->sealed[batch->lsns == 0 ? DWAL__SEAL_SYSTEM : why], 1);
    /* Release: all of the above before the committer looks at the batch. */
    atomic_store(&log->sealed, batch->sequence + 1);
    return true;
}

/* ---- opening; place_lock held ---- */

/* Where the arena is free from @start on: how many bytes. 0 if a batch that is
 * not completed lies over it. */
static uint64_t arena_free(struct dwal *log, uint64_t completed,
                           uint64_t start) {
    uint64_t end = log->arena_size;
    for (uint64_t at = completed; at < log->opened; at++) {
        struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        uint64_t from = (uint64_t)(batch->bytes - log->arena);
        uint64_t to = from + batch->arena_taken;
        if (from <= start && start < to)
            return 0;
        if (from > start && from < end)
            end = from;
    }
    return end - start;
}

/* A contiguous piece of the arena, @min to @wanted bytes: the lowest that is
 * large enough, so that a few warm pages serve while little is in flight. A
 * piece begins where the arena or a batch ends, so few places are looked at. */
static bool arena_find(struct dwal *log, uint64_t min, uint64_t wanted,
                       uint64_t *start, uint64_t *size) {
    uint64_t completed = atomic_load(&log->completed);
    uint64_t best = 0, lowest = 0;
    for (uint64_t at = completed; at <= log->opened; at++) {
        /* One more round than batches: the beginning of the arena. */
        struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        uint64_t from =
            at == log->opened
                ? 0
                : (uint64_t)(batch->bytes - log->arena) + batch->arena_taken;
        if (from >= log->arena_size)
            continue;
        uint64_t found = arena_free(log, completed, from);
        if (found > wanted)
            found = wanted;
        if (found < min || found < best || (found == best && from > lowest))
            continue;
        best = found;
        lowest = from;
    }
    *start = lowest;
    *size = best;
    return best > 0;
}

/* Enters the next prepared segment. */
static void segment_enter(struct dwal *log) {
    assert(log->prepared_count == DWAL__PREPARED_MAX);
    if (log->segment != NULL) {
        log->segment->last_sequence = log->opened;
        log->segment->last_lsn = log->next_lsn - 1;
        log->segment->left_ns = dwal__wall_ns();
        log->segment->next = log->left;
        log->left = log->segment;
    }
    dwal__meter_add(&log->meters->segments_entered, 1);
    log->segment = log->prepared[0];
    log->prepared[0] = log->prepared[1];
    log->prepared_count--;
    log->segment_offset = log->block_size;
    log->segment_used = false;
    log->rotate = false;
    int64_t deadline = DWAL__NEVER;
    if (log->options.segment_age_max_ms > 0)
        deadline = dwal__deadline(dwal__now_ns(),
                                  (int64_t)log->options.segment_age_max_ms);
    atomic_store(&log->segment_deadline, deadline);
    dwal__files_want(log);
}

/* Room and records that a start takes. */
static uint64_t start_room(const struct dwal *log) {
    return dwal__record_room(DWAL__START_SIZE + log->metadata.size);
}

/* What the batch to be opened gets. */
struct opening {
    bool fresh;        /* in a new segment */
    uint64_t room_min; /* bytes of records that it must hold */
    uint64_t arena_start;
    uint64_t arena_size;
    uint32_t record_room;
};

/* Finds all that an opening needs, or says what to wait for: 0, or EAGAIN (the
 * arena, records, descriptors), ENOSPC (a segment). */
static int opening_plan(struct dwal *log, const struct dwal__need *need,
                        struct opening *plan) {
    uint64_t completed = atomic_load(&log->completed);
    if (log->opened - completed >= DWAL__BATCH_COUNT)
        return EAGAIN;
    uint64_t padded =
        dwal__align_up(DWAL__BATCH_HEADER_SIZE + need->room, log->block_size);
    uint64_t left = log->segment == NULL ? 0
                                         : log->segment->header.segment_size -
                                               log->segment_offset;
    plan->fresh = log->rotate || need->kind == DWAL__NEED_SEGMENT ||
                  need->kind == DWAL__NEED_CUT || left < padded;
    plan->room_min = need->room;
    if (plan->fresh) {
        if (log->prepared_count < DWAL__PREPARED_MAX ||
            log->prepared[0]->filling)
            return ENOSPC;
        plan->room_min += start_room(log);
        padded = dwal__align_up(DWAL__BATCH_HEADER_SIZE + plan->room_min,
                                log->block_size);
        left = log->prepared[0]->header.segment_size - log->block_size;
        assert(padded <= left);
    }
    uint64_t outstanding =
        log->records_sealed - atomic_load(&log->records_completed);
    uint64_t records = log->options.queue_records_max > outstanding
                           ? log->options.queue_records_max - outstanding
                           : 0;
    /* The limit is for what callers queue; a start or a mark adds one. */
    if (need->kind != DWAL__NEED_RECORDS)
        records++;
    if (records < need->records)
        return EAGAIN;
    if (plan->fresh)
        records++;
    plan->record_room =
        records < DWAL__BATCH_ROOM ? (uint32_t)records : DWAL__BATCH_ROOM;
    if (need->cut != NULL)
        plan->record_room = 1; /* nothing but the start, or the mark */
    uint64_t wanted =
        log->options.batch_bytes_max / log->block_size * log->block_size;
    if (wanted < padded)
        wanted = padded;
    if (wanted > left)
        wanted = left;
    return arena_find(log, padded, wanted, &plan->arena_start,
                      &plan->arena_size)
               ? 0
               : EAGAIN;
}

static void batch_place(struct dwal *log, struct dwal__batch *batch,
                        const struct opening *plan) {
    batch->bytes = log->arena + plan->arena_start;
    batch->arena_taken = plan->arena_size;
    atomic_store_explicit(&batch->room,
                          plan->arena_size - DWAL__BATCH_HEADER_SIZE,
                          memory_order_relaxed);
    atomic_store_explicit(&batch->record_room, plan->record_room,
                          memory_order_relaxed);
    batch->first_lsn = log->next_lsn;
    batch->sequence = log->opened;
    batch->segment = log->segment;
    batch->salt = log->segment->header.salt;
    batch->offset = log->segment_offset;
    batch->starts = plan->fresh;
    batch->witnesses = 0;
    batch->trim_lsn = plan->fresh ? log->trim_lsn : 0;
    batch->cut.flags = 0;
    batch->metadata_offset = 0;
    batch->start_metadata = 0;
    /* As it is now: a newer one may follow the start in the same batch. */
    if (plan->fresh && log->metadata.size > 0) {
        batch->start_metadata = log->metadata.size;
        memcpy(batch->bytes + DWAL__START_METADATA_OFFSET, log->metadata.bytes,
               log->metadata.size);
    }
}

/*
 * Opens a batch in which @need already has its place, so that nobody can take
 * it away. 0, or what to wait for, see opening_plan.
 */
static int batch_open(struct dwal *log, const struct dwal__need *need,
                      struct dwal__place *place) {
    struct opening plan;
    int wait = opening_plan(log, need, &plan);
    if (wait != 0)
        return wait;
    struct dwal__position end = log->end;
    if (plan.fresh)
        segment_enter(log);
    struct dwal__batch *batch = &log->batches[log->opened % DWAL__BATCH_COUNT];
    assert(batch->stage == DWAL__STAGE_FREE);
    batch_place(log, batch, &plan);
    batch->previous = end;
    atomic_store_explicit(&batch->committers, 0, memory_order_relaxed);
    uint64_t state = state_make(batch->room, batch->record_room, 0);
    if (plan.fresh)
        state -= state_make(start_room(log), 1, 0);
    if (place != NULL)
        place_set(place, batch, state);
    state = state - state_make(need->room, need->records, 0) + need_lsns(need);
    log->opened++;
    /* Release: the fields above, before anybody can reserve. */
    atomic_store_explicit(&batch->state, state, memory_order_release);
    atomic_store(&log->open, batch);
    return 0;
}

/* A batch for whoever comes next, where the segment in use has room. */
static void batch_open_ahead(struct dwal *log) {
    static const struct dwal__need nothing = {.kind = DWAL__NEED_RECORDS};
    if (log->queue_head == NULL && !log->rotate && !log->shut &&
        !log->cutting && log->segment != NULL &&
        log->segment_offset < log->segment->header.segment_size)
        batch_open(log, &nothing, NULL);
}

bool dwal__place_seal(struct dwal *log, enum dwal__seal_why why) {
    pthread_mutex_lock(&log->place_lock);
    bool sealed = batch_seal(log, why);
    if (atomic_load_explicit(&log->open, memory_order_relaxed) == NULL)
        batch_open_ahead(log);
    pthread_mutex_unlock(&log->place_lock);
    return sealed;
}

uint64_t dwal__place_pending(struct dwal *log) {
    struct dwal__batch *batch = atomic_load(&log->open);
    if (batch == NULL)
        return 0;
    uint64_t state = atomic_load(&batch->state);
    if ((state & STATE_SEALED) != 0)
        return 0;
    /* The fields may be those of another opening by now: still only a hint. */
    if (batch_records(batch, state) == 0)
        return 0;
    return batch_used(batch, state);
}

struct dwal__queue dwal__place_queue(struct dwal *log) {
    /* Before the open batch, or one that is closed meanwhile counts twice. */
    struct dwal__queue queue = {atomic_load(&log->records_sealed),
                                atomic_load(&log->bytes_sealed)};
    struct dwal__batch *batch = atomic_load(&log->open);
    uint64_t state = batch == NULL ? STATE_SEALED : atomic_load(&batch->state);
    /* Without place_lock an empty batch may be opened anew between the looks:
     * then more seems to be left than it had. */
    bool same =
        (state & STATE_SEALED) == 0 &&
        state_records(state) <
            atomic_load_explicit(&batch->record_room, memory_order_relaxed) &&
        state_room(state) <=
            atomic_load_explicit(&batch->room, memory_order_relaxed);
    if (same) {
        queue.records += batch_records(batch, state);
        queue.bytes += batch_used(batch, state);
    }
    queue.records -= atomic_load(&log->records_completed);
    queue.bytes -= atomic_load(&log->bytes_written);
    return queue;
}

/* ---- waiting for a place ---- */

/* A caller in the queue, on its own stack. */
struct dwal__queued {
    const struct dwal__need *need;
    struct dwal__queued *next;
    struct dwal__queued *previous;
    pthread_cond_t turn; /* with place_lock: look again */
};

/* Only the head of the queue can go on, so only it is woken: with a thousand
 * callers in it, waking all of them each time is what they would wait for. */
void dwal__place_wake_head(struct dwal *log) {
    if (log->queue_head != NULL)
        pthread_cond_broadcast(&log->queue_head->turn);
    else if (log->refused)
        dwal__events_notify(log);
    log->refused &= log->queue_head != NULL;
}

void dwal__place_wake_all(struct dwal *log) {
    for (struct dwal__queued *at = log->queue_head; at != NULL; at = at->next)
        pthread_cond_broadcast(&at->turn);
}

static void turn_init(pthread_cond_t *turn) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(turn, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void queue_join(struct dwal *log, struct dwal__queued *self) {
    self->next = NULL;
    self->previous = log->queue_tail;
    if (log->queue_tail != NULL)
        log->queue_tail->next = self;
    else
        log->queue_head = self;
    log->queue_tail = self;
}

static void queue_leave(struct dwal *log, struct dwal__queued *self) {
    if (self->previous != NULL)
        self->previous->next = self->next;
    else
        log->queue_head = self->next;
    if (self->next != NULL)
        self->next->previous = self->previous;
    else
        log->queue_tail = self->previous;
    dwal__place_wake_head(log);
}

/* Notes what a system record changes, in the same step as its reservation. */
static void system_noted(struct dwal *log, const struct dwal__need *need,
                         const struct dwal__place *place) {
    struct dwal__batch *batch = place->batch;
    if (need->type == DWAL__SYSTEM_TRIM) {
        if (need->trim_lsn > log->trim_lsn)
            log->trim_lsn = need->trim_lsn;
        batch->trim_lsn = log->trim_lsn;
    } else if (need->type == DWAL__SYSTEM_METADATA) {
        log->metadata = *need->metadata;
        batch->metadata_offset = place->offset + DWAL__RECORD_HEADER_SIZE;
        batch->metadata_size = need->metadata->size;
    } else if (need->type == DWAL__SYSTEM_MARK ||
               need->type == DWAL__SYSTEM_CLOSE) {
        batch->witnesses++;
    }
    if (need->type == DWAL__SYSTEM_CLOSE) {
        batch_seal(log, DWAL__SEAL_SYSTEM);
        log->shut = true;
    }
}

/* True if a new segment would be no different from the one in use. */
static bool segment_is_new(struct dwal *log) {
    struct dwal__batch *batch =
        atomic_load_explicit(&log->open, memory_order_relaxed);
    if (log->segment == NULL || log->segment_used)
        return false;
    if (batch == NULL)
        return true;
    uint64_t state = atomic_load(&batch->state);
    uint32_t records = batch_records(batch, state);
    return records <= batch->witnesses + (batch->starts ? 1u : 0u);
}

/* The batch with the start of the segment in use; NULL once it is durable. */
static struct dwal__batch *start_pending(struct dwal *log) {
    for (uint64_t at = atomic_load(&log->completed); at < log->opened; at++) {
        struct dwal__batch *batch = &log->batches[at % DWAL__BATCH_COUNT];
        if (batch->starts && batch->segment == log->segment)
            return batch;
    }
    return NULL;
}

/* Begins the segment that cuts the log, once nothing is under way. 0, what to
 * wait for, or ECANCELED: a trim reaches beyond it meanwhile. */
static int cut_try(struct dwal *log, const struct dwal__need *need,
                   struct dwal__place *place) {
    const struct dwal__cut *cut = need->cut;
    batch_seal(log, DWAL__SEAL_SEGMENT);
    if (cut->lsn <= log->trim_lsn)
        return ECANCELED;
    if (atomic_load(&log->completed) != log->opened)
        return EAGAIN;
    int wait = batch_open(log, need, place);
    if (wait != 0)
        return wait;
    /* Nobody can reserve in it: the start is all that it has room for. */
    struct dwal__batch *batch = place->batch;
    if (batch->first_lsn - 1 > log->cut_lsn)
        log->cut_lsn = batch->first_lsn - 1;
    batch->first_lsn = cut->lsn;
    batch->previous = cut->kept.position;
    batch->cut = *cut;
    if (cut->flags == DWAL__START_RESET)
        batch->trim_lsn = log->trim_lsn = cut->lsn - 1;
    if (log->trim_wanted > cut->lsn)
        log->trim_wanted = cut->lsn;
    log->cuts++;
    log->cutting = true;
    batch_seal(log, DWAL__SEAL_SEGMENT);
    return 0;
}

/* One try, at the head of the queue. 0, what to wait for, or ECANCELED: what is
 * asked for means nothing any more. */
static int place_try(struct dwal *log, const struct dwal__need *need,
                     struct dwal__place *place) {
    struct dwal__batch *batch =
        atomic_load_explicit(&log->open, memory_order_relaxed);
    if (log->cutting && need->cut == NULL)
        return EAGAIN;
    if (need->kind == DWAL__NEED_CUT)
        return cut_try(log, need, place);
    if (need->kind == DWAL__NEED_SEGMENT && segment_is_new(log)) {
        place->batch = start_pending(log);
        if (place->batch != NULL)
            place->sequence = place->batch->sequence;
        return 0;
    }
    /* A point that was in the log until a cut. */
    if (need->trim_lsn >= log->next_lsn ||
        (need->remembered && need->trim_lsn >= log->trim_wanted))
        return ECANCELED;
    int wait = 0;
    bool rotates = need->kind == DWAL__NEED_SEGMENT || log->rotate;
    if (rotates || batch == NULL || !batch_reserve(batch, need, place)) {
        batch_seal(log, rotates ? DWAL__SEAL_SEGMENT : DWAL__SEAL_FULL);
        wait = batch_open(log, need, place);
    }
    if (wait == 0 && need->kind == DWAL__NEED_SYSTEM)
        system_noted(log, need, place);
    return wait;
}

/* Sleeps until it is @self's turn to look; place_lock held. False after the
 * deadline. */
static bool turn_wait(struct dwal *log, struct dwal__queued *self,
                      int64_t deadline) {
    struct timespec until = {.tv_sec = deadline / DWAL__NS_PER_S,
                             .tv_nsec = deadline % DWAL__NS_PER_S};
    return pthread_cond_timedwait(&self->turn, &log->place_lock, &until) == 0;
}

void dwal__place_room_changed(struct dwal *log) {
    /* Pairs with the increment in place_queue: either it sees the change that
     * was made before this call, or we see the sleeper. */
    if (atomic_load(&log->room_waiters) == 0)
        return;
    pthread_mutex_lock(&log->place_lock);
    dwal__place_wake_head(log);
    pthread_mutex_unlock(&log->place_lock);
}

static bool is_descriptors(int error) {
    return error == EMFILE || error == ENFILE;
}

bool dwal__place_trim_waits(struct dwal *log, uint64_t *trim_lsn) {
    const struct dwal__queued *head = log->queue_head;
    if (head != NULL && head->need->kind == DWAL__NEED_CUT) {
        *trim_lsn = UINT64_MAX;
        return head->need->cut->kept.position.segment < log->end.segment;
    }
    if (head == NULL || head->need->kind != DWAL__NEED_SYSTEM)
        return false;
    *trim_lsn = head->need->type == DWAL__SYSTEM_TRIM ? head->need->trim_lsn
                                                      : head->need->settles_lsn;
    return *trim_lsn != 0;
}

/* @waited_ms: how long it waited, for the text. */
static int refused(struct dwal *log, const struct dwal__need *need, int wait,
                   int waited_ms, struct dwal_error *error) {
    if (wait == ECANCELED)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: not in the log any more, since a cut or a "
                               "trim that was made at the same time",
                               log->path);
    if (wait == ENOSPC && log->prepare_errno != 0 && need->trim_lsn != 0)
        return dwal__error_set(error, DWAL_ENOSPC, log->prepare_errno,
                               "%s: no room for a trim that would free no "
                               "segment; trim more, or free space",
                               log->path);
    if (wait == ENOSPC && log->prepare_errno != 0)
        return dwal__error_set(error, DWAL_ENOSPC, log->prepare_errno,
                               "%s: no next segment can be made; %s: the log "
                               "goes on by itself",
                               log->path,
                               is_descriptors(log->prepare_errno)
                                   ? "close files, or raise the limit on them"
                                   : "trim, or free space");
    if (wait == EAGAIN && need->kind == DWAL__NEED_CUT)
        return dwal__error_set(error, DWAL_EAGAIN, 0,
                               "%s: what was appended did not become durable "
                               "within %d ms; nothing was dropped",
                               log->path, log->options.io_timeout_ms);
    return dwal__error_set(error, DWAL_EAGAIN, 0,
                           "%s: %s within %d ms; no LSN was given", log->path,
                           wait == ENOSPC ? "no next segment was ready"
                                          : "the staging buffers stayed full",
                           waited_ms);
}

/* How a caller came out of the queue; @slept_ns: -1 if it did not sleep. */
static void place_measure(struct dwal *log, int code, int64_t slept_ns) {
    struct dwal__meters *meters = log->meters;
    if (code == DWAL_EAGAIN || code == DWAL_ENOSPC)
        dwal__meter_add(&meters->places_refused, 1);
    if (code != DWAL_OK || slept_ns < 0)
        return;
    dwal__meter_add(&meters->places_waited, 1);
    dwal__histogram_add(&meters->place, (uint64_t)slept_ns);
}

/* Waits in line; place_lock held. */
static int place_queue(struct dwal *log, const struct dwal__need *need,
                       struct dwal__place *place, struct dwal_error *error) {
    int64_t begin = dwal__now_ns();
    int64_t deadline = dwal__deadline(begin, log->options.append_timeout_ms);
    if (need->deadline != 0 && need->deadline < deadline)
        deadline = need->deadline;
    /* It waits for what is under way, not for room. */
    if (need->kind == DWAL__NEED_CUT)
        deadline = dwal__deadline(begin, log->options.io_timeout_ms);
    struct dwal__queued self = {.need = need};
    turn_init(&self.turn);
    queue_join(log, &self);
    atomic_fetch_add(&log->room_waiters, 1);
    uint64_t asked = 0;
    /* Where a loop does the work, this may be its thread: the other one takes
     * over (loop_comes), and is told so. */
    uint64_t kicked = atomic_load(&log->events.kernel_fd) >= 0
                          ? UINT64_MAX
                          : atomic_load(&log->sealed);
    int wait = EAGAIN;
    int code = DWAL_OK;
    bool slept = false;
    for (;;) {
        /* Nobody else may be there to notice that what we wait for hangs. */
        pthread_mutex_unlock(&log->place_lock);
        int64_t look = dwal__watch(log, dwal__now_ns());
        pthread_mutex_lock(&log->place_lock);
        if (atomic_load(&log->failed)) {
            code = DWAL_EFAILED;
            break;
        }
        if (log->shut) {
            code = DWAL_ECLOSED;
            break;
        }
        if (log->queue_head == &self &&
            (wait = place_try(log, need, place)) == 0)
            break;
        if (wait == ENOSPC && asked == 0) {
            dwal__files_want(log);
            asked = log->prepare_wanted;
            if (need->trim_lsn == 0 && need->settles_lsn == 0)
                log->space_asks++;
        }
        bool no_space = wait == ENOSPC && log->prepare_tried >= asked &&
                        log->prepare_errno != 0;
        if (atomic_load(&log->sealed) != kicked) {
            /* What was sealed on the way is written while we sleep. */
            kicked = atomic_load(&log->sealed);
            pthread_mutex_unlock(&log->place_lock);
            dwal__committer_kick(log);
            pthread_mutex_lock(&log->place_lock);
            continue;
        }
        slept |= !no_space;
        if (no_space || wait == ECANCELED ||
            (!turn_wait(log, &self, look < deadline ? look : deadline) &&
             dwal__now_ns() >= deadline)) {
            code =
                refused(log, need, wait, log->options.append_timeout_ms, error);
            break;
        }
    }
    atomic_fetch_sub(&log->room_waiters, 1);
    queue_leave(log, &self);
    pthread_cond_destroy(&self.turn);
    place_measure(log, code, slept ? dwal__now_ns() - begin : -1);
    return code;
}

/* The segment in use is older than it should get: leave it, unless it has no
 * records yet. Only appends look at the age [no timer]. */
static void segment_expire(struct dwal *log, int64_t now) {
    bool sealed = false;
    pthread_mutex_lock(&log->place_lock);
    if (now >= atomic_load(&log->segment_deadline)) {
        if (!segment_is_new(log)) {
            log->rotate = true;
            sealed = batch_seal(log, DWAL__SEAL_SEGMENT);
            atomic_store(&log->segment_deadline, DWAL__NEVER);
        } else {
            atomic_store(
                &log->segment_deadline,
                dwal__deadline(now, (int64_t)log->options.segment_age_max_ms));
        }
    }
    pthread_mutex_unlock(&log->place_lock);
    /* The thread may have looked in the middle of that, and sleep: it would
     * until an append gets its place in the new segment. */
    if (sealed)
        dwal__committer_kick(log);
}

bool dwal__place_reserve_open(struct dwal *log, const struct dwal__need *need,
                              struct dwal__place *place) {
    int64_t deadline =
        atomic_load_explicit(&log->segment_deadline, memory_order_relaxed);
    if (deadline != DWAL__NEVER) {
        int64_t now = dwal__now_ns();
        if (now >= deadline)
            segment_expire(log, now);
    }
    struct dwal__batch *batch =
        atomic_load_explicit(&log->open, memory_order_acquire);
    return batch != NULL && batch_reserve(batch, need, place);
}

/* Tells the two that are not told under place_lock. */
static int place_code(struct dwal *log, int code, struct dwal_error *error) {
    if (code == DWAL_EFAILED)
        return dwal__failure_report(log, error);
    if (code == DWAL_ECLOSED)
        return dwal__error_set(error, code, 0, "%s: the log is being closed",
                               log->path);
    return code;
}

int dwal__place_reserve(struct dwal *log, const struct dwal__need *need,
                        struct dwal__place *place, struct dwal_error *error) {
    pthread_mutex_lock(&log->place_lock);
    uint64_t sealed = atomic_load(&log->sealed);
    int code = place_queue(log, need, place, error);
    bool more = atomic_load(&log->sealed) != sealed;
    pthread_mutex_unlock(&log->place_lock);
    if (more)
        dwal__committer_kick(log);
    return place_code(log, code, error);
}

bool dwal__place_reserve_now(struct dwal *log, const struct dwal__need *need,
                             struct dwal__place *place) {
    pthread_mutex_lock(&log->place_lock);
    bool done = log->queue_head == NULL && !log->shut &&
                !atomic_load(&log->failed) && place_try(log, need, place) == 0;
    pthread_mutex_unlock(&log->place_lock);
    return done;
}

/* Why there was no place at once: as refused(). The keeper is asked each time,
 * and may find space where it found none before. */
static int try_refused(struct dwal *log, const struct dwal__need *need,
                       int wait, struct dwal_error *error) {
    int code = refused(log, need, wait, 0, error);
    log->refused = true;
    if (wait == ENOSPC)
        dwal__files_want(log);
    place_measure(log, code, -1);
    return code;
}

int dwal__place_reserve_try(struct dwal *log, const struct dwal__need *need,
                            struct dwal__place *place,
                            struct dwal_error *error) {
    int code = DWAL_OK;
    pthread_mutex_lock(&log->place_lock);
    if (atomic_load(&log->failed)) {
        code = DWAL_EFAILED;
    } else if (log->shut) {
        code = DWAL_ECLOSED;
    } else {
        /* Who waits in line comes first. */
        int wait =
            log->queue_head != NULL ? EAGAIN : place_try(log, need, place);
        if (wait != 0)
            code = try_refused(log, need, wait, error);
    }
    pthread_mutex_unlock(&log->place_lock);
    return place_code(log, code, error);
}

uint64_t dwal__place_next_lsn(struct dwal *log) {
    struct dwal__batch *open =
        atomic_load_explicit(&log->open, memory_order_relaxed);
    if (open == NULL)
        return log->next_lsn;
    return open->first_lsn + state_lsns(atomic_load(&open->state));
}

bool dwal__place_reserve_cut(struct dwal *log, const struct dwal__need *need,
                             struct dwal__place *place) {
    pthread_mutex_lock(&log->place_lock);
    bool done = !atomic_load(&log->failed);
    if (done) {
        int wait = place_try(log, need, place);
        assert(wait == 0);
        (void)wait;
        batch_seal(log, DWAL__SEAL_SEGMENT);
    }
    pthread_mutex_unlock(&log->place_lock);
    return done;
}

void dwal__place_cut_end(struct dwal *log) {
    pthread_mutex_lock(&log->place_lock);
    log->cutting = false;
    if (atomic_load_explicit(&log->open, memory_order_relaxed) == NULL)
        batch_open_ahead(log);
    dwal__place_wake_head(log);
    pthread_mutex_unlock(&log->place_lock);
}

int dwal__place_find(struct dwal *log, uint64_t lsn, struct dwal__batch **batch,
                     uint64_t *sequence) {
    pthread_mutex_lock(&log->place_lock);
    uint64_t next = dwal__place_next_lsn(log);
    int code = lsn <= log->cut_lsn ? DWAL_ECUT : DWAL_EINVAL;
    if (lsn == 0)
        code = DWAL_EINVAL;
    else if (lsn < next)
        code = DWAL_OK;
    uint64_t completed = atomic_load(&log->completed);
    *batch = NULL;
    for (uint64_t at = log->opened; code == DWAL_OK && at > completed;) {
        struct dwal__batch *candidate = &log->batches[--at % DWAL__BATCH_COUNT];
        if (candidate->first_lsn <= lsn) {
            *batch = candidate;
            *sequence = at;
            break;
        }
    }
    pthread_mutex_unlock(&log->place_lock);
    return code;
}
