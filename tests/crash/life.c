/* SPDX-License-Identifier: MIT */
/*
 * The workload; see the header. Callers, readers and whoever opens and closes
 * are coroutines beside the library's own. All notes of acknowledgements are
 * made at once, so that a snapshot knows at least what the callers knew, and
 * what dwal_durable_lsn said.
 */
#include "life.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recover/repair.h"
#include "siminner.h"
#include "tests/support/check.h"

#define MS INT64_C(1000000)
/* No call takes longer on a disk that works, if it is not slow: virtual
 * time. */
#define HEALTHY_NS (2000 * MS)

struct caller {
    struct life *life;
    unsigned number;
    uint64_t random;
    bool stopped; /* the log does not take any more */
    uint8_t *bytes;
};

static void life_fail(struct life *life, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void life_fail(struct life *life, const char *format, ...) {
    if (life->failure[0] != '\0')
        return; /* the first one tells the most */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(life->failure, sizeof life->failure, format, arguments);
    va_end(arguments);
}

static unsigned draw(uint64_t *random, unsigned count) {
    return (unsigned)(check_random(random) % count);
}

/* ---- plans ---- */

/* On sectors of 512 bytes and of 4096, and where there is no O_DIRECT. */
static void options_draw(struct life_plan *plan, uint64_t *random) {
    static const uint32_t alignments[] = {512, 512, 4096, 4096, 0};
    struct dwal_options *o = &plan->options;
    static const uint64_t batch_sizes[] = {4096, 4096, 16384, 1 << 20};
    static const uint32_t flights[] = {1, 2, 4, 8};
    static const uint32_t queues[] = {1u << 18, 1u << 18, 16, 3};
    dwal_options_init(o);
    o->create = DWAL_CREATE_IF_ABSENT;
    plan->alignment = alignments[draw(random, 5)];
    o->block_size = draw(random, 4) == 0 ? 8192 : 4096;
    o->segment_size =
        o->block_size * (DWAL__SEGMENT_BLOCKS_MIN + draw(random, 8));
    o->submit = (int)draw(random, 2);
    o->sync = 1 + (int)draw(random, 2);
    o->gather = (int)draw(random, 2);
    o->direct = draw(random, 4) == 0 ? DWAL_DIRECT_OFF : DWAL_DIRECT_PREFERRED;
    o->queue_bytes_max = 1 << 20;
    o->queue_records_max = queues[draw(random, 4)];
    o->batch_bytes_max = batch_sizes[draw(random, 4)];
    o->in_flight_max = flights[draw(random, 4)];
    o->mark_delay_ms = draw(random, 3) == 0 ? 0 : 200;
    o->segment_age_max_ms = draw(random, 4) == 0 ? 1 : 0;
    o->verify_bytes = draw(random, 2) == 0 ? 0 : 256u << 20;
}

void life_plan_init(struct life_plan *plan, uint64_t seed) {
    uint64_t random = seed;
    *plan = (struct life_plan){.seed = seed};
    options_draw(plan, &random);
    plan->callers = 1 + draw(&random, 4);
    plan->calls = 4 + draw(&random, 24);
    plan->trims = draw(&random, 3) == 0 ? 0 : 1 + draw(&random, 8);
    plan->rotations = draw(&random, 3) == 0 ? 0 : 1 + draw(&random, 8);
    plan->batches = draw(&random, 16);
    plan->metas = draw(&random, 2) == 0 ? 0 : 1 + draw(&random, 8);
    plan->size_classes = 1 + draw(&random, ORACLE_SIZE_CLASSES);
    plan->readers = draw(&random, 4) == 0 ? 1 + draw(&random, 2) : 0;
    plan->rests = draw(&random, 2) == 0;
    plan->repairs = draw(&random, 4) == 0;
    plan->hasty = draw(&random, 8) == 0;
    plan->snapshot_share = 2;
    plan->cuts = draw(&random, 2) == 0 ? 0 : 1 + draw(&random, 8);
    plan->leases = draw(&random, 4) == 0 ? 2 + draw(&random, 8) : 0;
    if (draw(&random, 3) == 0)
        plan->options.retain_bytes =
            plan->options.segment_size * (1 + draw(&random, 4));
    if (draw(&random, 4) == 0)
        plan->options.retain_ms = 1 + draw(&random, 400);
}

void life_describe(const struct life_plan *plan, char text[ORACLE_TEXT_SIZE]) {
    const struct dwal_options *o = &plan->options;
    snprintf(
        text, ORACLE_TEXT_SIZE,
        "seed %" PRIu64 ": %u callers x %u calls, sizes %u, in 64 calls "
        "%u trims, %u rotations, %u batches, %u metadata, %u cuts; %u "
        "readers, %u leases%s%s%s; retained %" PRIu64 " bytes, %" PRIu64 " ms; "
        "submit %d, "
        "sync %d, gather %d, direct %d, segment %" PRIu64 ", block %u, "
        "batch %" PRIu64 ", in flight %u, queue %u, mark %d ms; sectors %u",
        plan->seed, plan->callers, plan->calls, plan->size_classes, plan->trims,
        plan->rotations, plan->batches, plan->metas, plan->cuts, plan->readers,
        plan->leases, plan->rests ? ", rests" : "",
        plan->repairs ? ", repairs" : "", plan->hasty ? ", hasty" : "",
        o->retain_bytes, o->retain_ms, o->submit, o->sync, o->gather, o->direct,
        o->segment_size, o->block_size, o->batch_bytes_max, o->in_flight_max,
        o->queue_records_max, o->mark_delay_ms, plan->alignment);
}

/* ---- notes ---- */

static void lsn_acked(struct life *life, uint64_t lsn) {
    if (lsn > life->oracle.acked_lsn)
        life->oracle.acked_lsn = lsn;
}

/* What the log itself says is durable. */
static void durable_note(struct life *life) {
    struct dwal *log = life->log;
    if (log == NULL)
        return;
    lsn_acked(life, dwal_durable_lsn(log));
    if (dwal_first_lsn(log) > life->oracle.acked_first)
        life->oracle.acked_first = dwal_first_lsn(log);
    if (life->sim->lease_lsn != 0 && dwal_first_lsn(log) > life->sim->lease_lsn)
        life_fail(life, "trimmed below %" PRIu64 ", with a lease on %" PRIu64,
                  dwal_first_lsn(log), life->sim->lease_lsn);
    /* By retention, which nobody asked. */
    if (log->trim_wanted > life->oracle.asked_first)
        life->oracle.asked_first = log->trim_wanted;
    if (log->trim_wanted > log->next_lsn)
        life_fail(life, "records that were never given are to be trimmed");
    /* Without its lock, where somebody else could run. */
    const struct dwal__watermark *durable = &log->view->durable;
    lsn_acked(life, durable->lsn);
    if (dwal__position_compare(durable->position, life->oracle.acked_end) > 0)
        life->oracle.acked_end = durable->position;
}

/* From now on LSNs behind the cut may be given again: the first @count of them
 * stay. Snapshots of what was before keep the old ones. */
static void ids_fork(struct life *life, uint64_t count) {
    uint64_t *ids = calloc(ORACLE_LSN_MAX, sizeof *ids);
    memcpy(ids, life->oracle.ids, count * sizeof *ids);
    life->ids[life->ids_count++] = ids;
    life->oracle.ids = ids;
}

/* What distinguishes two moments for the oracle. */
static uint64_t acked_stamp(const struct oracle *oracle) {
    return oracle->acked_lsn * 31 + oracle->acked_end.offset * 7 +
           oracle->acked_end.segment * 65537 + oracle->acked_first +
           oracle->acked_meta * 127 + oracle->cut_count * 8191u +
           oracle->created + 2u * oracle->closed;
}

static void snapshot_take(struct life *life) {
    if (life->snapshot_count == LIFE_SNAPSHOTS_MAX)
        return;
    struct life_snapshot *snapshot = &life->snapshots[life->snapshot_count++];
    snapshot->sim = simdisk_clone(life->sim);
    snapshot->oracle = life->oracle;
    snapshot->operation = life->sim->operations;
}

/* The simulated disk calls this before each operation. */
static void operation_before(void *argument, struct simdisk *sim) {
    struct life *life = argument;
    durable_note(life);
    uint64_t acked = acked_stamp(&life->oracle);
    if (life->plan.snapshot_share == 0 ||
        (sim->effects == life->effects && acked == life->acked) ||
        draw(&life->random, life->plan.snapshot_share) != 0)
        return;
    life->effects = sim->effects;
    life->acked = acked;
    snapshot_take(life);
}

/* ---- callers ---- */

/* A log that failed refuses everything, at once, and stays as it is. */
static void failed_check(struct caller *caller) {
    struct dwal *log = caller->life->log;
    struct dwal_record record = {.data = "", .size = 0};
    uint64_t durable = dwal_durable_lsn(log);
    int64_t begin = sched_now();
    if (dwal_append(log, &record, NULL, NULL) != DWAL_EFAILED ||
        dwal_rotate(log, NULL) != DWAL_EFAILED ||
        dwal_trim(log, durable, NULL) != DWAL_EFAILED ||
        dwal_durable_lsn(log) != durable)
        life_fail(caller->life, "a log that failed is used on");
    if (durable > 0 && dwal_wait(log, durable, -1, NULL) != DWAL_OK)
        life_fail(caller->life, "what was durable is not any more");
    if (sched_now() - begin > MS)
        life_fail(caller->life, "a log that failed takes its time");
}

/* Space returns after a refusal: the log must go on by itself. */
static void room_make(struct caller *caller) {
    if (draw(&caller->random, 2) == 0)
        caller->life->sim->capacity += 128 << 10;
}

/* A call begins, now, unless dwal_close has begun. */
static bool call_begin(struct caller *caller, int64_t *begin) {
    *begin = sched_clock();
    return !caller->life->closing;
}

/* The result of a call that began at @begin. True if it did what it should. */
static bool call_done(struct caller *caller, const char *what, int code,
                      int64_t begin, const struct dwal_error *error) {
    struct life *life = caller->life;
    int64_t took = sched_clock() - begin;
    const struct dwal_options *o = &life->plan.options;
    int64_t limit = life->plan.errors || life->plan.full || life->plan.slow
                        ? (o->io_timeout_ms + o->append_timeout_ms + 100) * MS
                        : HEALTHY_NS;
    /* A trim is a commit, and then what becomes of it: a mark, and files. */
    if (strcmp(what, "dwal_trim") == 0)
        limit *= 2;
    /* A cut waits for files, is two commits, and then waits for files. It reads
     * too, for which no deadline can be kept. */
    if (strcmp(what, "dwal_cut") == 0)
        limit = life->plan.errors || life->plan.slow ? INT64_MAX : limit * 4;
    if (took > limit)
        life_fail(life, "%s took %" PRId64 " ms", what, took / MS);
    durable_note(life);
    if (code == DWAL_OK)
        return true;
    if (code == DWAL_ECLOSED && life->closing) {
        caller->stopped = true;
        return false;
    }
    bool refused = code == DWAL_EAGAIN || code == DWAL_ENOSPC;
    bool expected = refused ? life->plan.errors || life->plan.full
                            : life->plan.errors &&
                                  (code == DWAL_EFAILED || code == DWAL_ENOMEM);
    if (!expected)
        life_fail(life, "%s: %d, %s", what, code, error->text);
    if (refused && life->plan.full)
        room_make(caller);
    if (code == DWAL_EFAILED && !life->closing)
        failed_check(caller);
    caller->stopped |= !refused;
    return false;
}

static void lsns_given(struct caller *caller, const uint64_t *ids,
                       unsigned count, uint64_t lsn) {
    struct life *life = caller->life;
    for (unsigned i = 0; i < count; i++) {
        if (lsn + i >= ORACLE_LSN_MAX || life->oracle.ids[lsn + i] != 0) {
            life_fail(life, "LSN %" PRIu64 " was given before", lsn + i);
            return;
        }
        life->oracle.ids[lsn + i] = ids[i];
    }
    if (lsn + count - 1 > life->given_lsn)
        life->given_lsn = lsn + count - 1;
}

static unsigned records_make(struct caller *caller, unsigned count,
                             uint64_t *ids, struct dwal_record *records) {
    struct life *life = caller->life;
    unsigned *calls = &life->oracle.calls[life->oracle.life][caller->number];
    struct oracle_id id = {.life = life->oracle.life,
                           .caller = caller->number,
                           .call = ++*calls,
                           .count = count,
                           .size_class =
                               draw(&caller->random, life->plan.size_classes)};
    uint8_t *at = caller->bytes;
    for (unsigned i = 0; i < count; i++) {
        id.index = i;
        ids[i] = oracle_id_pack(&id);
        oracle_record(ids[i], &records[i], at);
        /* A batch has to fit into a segment. */
        if (at - caller->bytes + records[i].size > 40000 && i > 0)
            return 0;
        at += records[i].size;
    }
    return count;
}

#define BATCH_MAX 4u

static void wait_some(struct caller *caller, uint64_t lsn) {
    static const int timeouts[] = {-1, -1, 0, 1};
    struct life *life = caller->life;
    struct dwal_error error;
    int timeout = timeouts[draw(&caller->random, 4)];
    int64_t begin;
    if (!call_begin(caller, &begin))
        return;
    int code = dwal_wait(life->log, lsn, timeout, &error);
    if (code == DWAL_ETIMEDOUT && timeout >= 0)
        return;
    if (!call_done(caller, "dwal_wait", code, begin, &error))
        return;
    lsn_acked(life, lsn);
    if (!life->closing && dwal_durable_lsn(life->log) < lsn)
        life_fail(life, "waited for %" PRIu64 ", durable is less", lsn);
}

static void append_some(struct caller *caller, unsigned count) {
    struct life *life = caller->life;
    uint64_t ids[BATCH_MAX];
    struct dwal_record records[BATCH_MAX];
    struct dwal_error error;
    uint64_t lsn = 0;
    if (count > life->plan.options.queue_records_max)
        count = life->plan.options.queue_records_max;
    if (records_make(caller, count, ids, records) == 0)
        return;
    bool commits = count == 1 && draw(&caller->random, 2) == 0;
    int64_t begin;
    if (!call_begin(caller, &begin))
        return;
    int code = commits
                   ? dwal_commit(life->log, &records[0], &lsn, &error)
                   : dwal_append_batch(life->log, records, count, &lsn, &error);
    if (code == DWAL_OK || lsn != 0)
        lsns_given(caller, ids, count, lsn);
    if (!call_done(caller, "append", code, begin, &error))
        return;
    if (commits)
        lsn_acked(life, lsn);
    else if (draw(&caller->random, 2) == 0)
        wait_some(caller, lsn + count - 1);
}

static void meta_some(struct caller *caller) {
    struct life *life = caller->life;
    struct dwal_error error;
    uint8_t bytes[DWAL_META_SIZE_MAX];
    int64_t begin;
    if (life->meta_busy || !call_begin(caller, &begin))
        return;
    uint64_t number = ++life->oracle.asked_meta;
    life->meta_busy = true;
    int code =
        dwal_meta_set(life->log, bytes, oracle_meta(number, bytes), &error);
    life->meta_busy = false;
    if (call_done(caller, "dwal_meta_set", code, begin, &error))
        life->oracle.acked_meta = number;
}

static void trim_some(struct caller *caller) {
    struct life *life = caller->life;
    struct dwal_error error;
    uint64_t first = dwal_first_lsn(life->log);
    uint64_t last = dwal_durable_lsn(life->log) + 1;
    uint64_t lsn = first + check_random(&caller->random) % (last - first + 1);
    if (lsn > life->oracle.asked_first)
        life->oracle.asked_first = lsn;
    int64_t begin;
    if (!call_begin(caller, &begin))
        return;
    unsigned leases = life->leases;
    bool held = life->sim->lease_lsn != 0;
    int code = dwal_trim(life->log, lsn, &error);
    if (!call_done(caller, "dwal_trim", code, begin, &error))
        return;
    if (held || leases != life->leases)
        return; /* as far as it went: durable_note */
    if (!life->closing && dwal_first_lsn(life->log) < lsn)
        life_fail(life, "trimmed below %" PRIu64 ", first is less", lsn);
    if (lsn > life->oracle.acked_first)
        life->oracle.acked_first = lsn;
}

/* Whoever begins a new segment, it is durable on return: or the one in use, if
 * somebody else has just begun it. */
static void rotate_once(struct caller *caller) {
    struct life *life = caller->life;
    struct dwal_error error;
    int64_t begin;
    if (!call_begin(caller, &begin))
        return;
    const struct dwal__segment *segment = life->log->segment;
    uint64_t number = segment == NULL ? 1 : segment->header.number;
    int code = dwal_rotate(life->log, &error);
    if (!call_done(caller, "dwal_rotate", code, begin, &error))
        return;
    if (!life->closing && life->log->view->durable.position.segment < number)
        life_fail(life,
                  "rotated, but the start of segment %" PRIu64
                  " is not durable",
                  number);
    if (life->plan.callers == 1 && !life->closing &&
        life->log->view->durable.position.segment !=
            life->log->segment->header.number)
        life_fail(life, "rotated, but the new segment is not durable");
}

/* Where to cut, or to what to reset: anywhere in the log, or a little on. */
static bool cut_draw(struct caller *caller) {
    struct oracle *oracle = &caller->life->oracle;
    uint64_t first = dwal_first_lsn(caller->life->log);
    uint64_t last = caller->life->given_lsn;
    if (last < dwal_durable_lsn(caller->life->log))
        last = dwal_durable_lsn(caller->life->log);
    bool resets = draw(&caller->random, 3) == 0;
    uint64_t above = last + 1 - first + (resets ? 4 : 0);
    oracle->cut_lsn = first - 1 + check_random(&caller->random) % (above + 1);
    oracle->cut_first = resets ? oracle->cut_lsn + 1 : first;
    if (oracle->cut_first > oracle->asked_first)
        oracle->asked_first = oracle->cut_first;
    oracle->cuts[oracle->cut_count++] = oracle->cut_lsn;
    return resets;
}

/* Alone: who appends meanwhile could not tell before from after. What was
 * appended without waiting is still on its way. */
static void cut_alone(struct caller *caller) {
    struct life *life = caller->life;
    struct dwal_error error;
    int64_t begin;
    if (!call_begin(caller, &begin))
        return;
    bool resets = cut_draw(caller);
    if (resets) /* it does not ask them */
        life->sim->lease_lsn = 0;
    life->oracle.cutting = true;
    int code = resets ? dwal_reset(life->log, life->oracle.cut_first, &error)
                      : dwal_cut(life->log, life->oracle.cut_lsn, &error);
    if (code != DWAL_OK && code != DWAL_EFAILED)
        life->oracle.cutting = false; /* nothing was dropped */
    if (code == DWAL_EIO && life->plan.errors)
        return;
    /* Retention was there first. */
    if (code == DWAL_EINVAL &&
        (life->closing || life->log->trim_lsn > life->oracle.cut_lsn))
        return;
    if (!call_done(caller, "dwal_cut", code, begin, &error))
        return;
    oracle_cut(&life->oracle);
    life->given_lsn = life->oracle.cut_lsn;
    ids_fork(life, resets ? 0 : life->oracle.cut_lsn + 1);
    if (!life->closing &&
        (dwal_durable_lsn(life->log) != life->oracle.acked_lsn ||
         dwal_first_lsn(life->log) != life->oracle.acked_first))
        life_fail(life, "cut, but the log ends elsewhere");
}

static void cut_some(struct caller *caller) {
    struct life *life = caller->life;
    if (life->gate || life->oracle.cut_count == ORACLE_CUTS_MAX ||
        life->ids_count == ORACLE_CUTS_MAX)
        return;
    life->gate = true;
    while (life->inside > 1)
        sched_sleep(MS / 10);
    cut_alone(caller);
    life->gate = false;
}

static void *caller_main(void *argument) {
    struct caller *caller = argument;
    struct life *life = caller->life;
    const struct life_plan *plan = &life->plan;
    caller->bytes = malloc(BATCH_MAX * ORACLE_PAYLOAD_MAX);
    for (unsigned i = 0; i < plan->calls && !caller->stopped && !life->closing;
         i++) {
        unsigned what = draw(&caller->random, 64);
        while (life->gate)
            sched_sleep(MS / 10);
        life->inside++;
        if (what < plan->trims)
            trim_some(caller);
        else if (what < plan->trims + plan->rotations)
            rotate_once(caller);
        else if (what < plan->trims + plan->rotations + plan->metas)
            meta_some(caller);
        else if (what >= 64 - plan->cuts)
            cut_some(caller);
        else if (what <
                 plan->trims + plan->rotations + plan->metas + plan->batches)
            append_some(caller, 2 + draw(&caller->random, BATCH_MAX - 1));
        else
            append_some(caller, 1);
        life->inside--;
        if (draw(&caller->random, 16) == 0)
            sched_sleep(MS * draw(&caller->random, 300));
    }
    free(caller->bytes);
    return NULL;
}

/* ---- readers ---- */

/* Everything from where it stands to the end for now. False: no use to go
 * on. */
static bool reader_step(struct life *life, struct dwal__reader *reader) {
    static uint8_t bytes[ORACLE_PAYLOAD_MAX];
    struct dwal__reader_item item;
    struct dwal_error error;
    int code;
    while ((code = dwal__reader_next(reader, &item, &error)) == DWAL_OK) {
        const struct dwal__record *record = &item.record;
        uint64_t id = (uint64_t)record->tenant << 32 | record->shard;
        struct dwal_record made;
        oracle_record(id, &made, bytes);
        if (made.size != record->size ||
            (made.size > 0 && memcmp(bytes, record->data, made.size) != 0))
            life_fail(life, "a reader shows LSN %" PRIu64 " changed",
                      record->lsn);
        if (life->plan.cuts > 0)
            continue; /* it may know an end that was cut off since */
        durable_note(life);
        if (life->log != NULL && record->lsn > life->oracle.acked_lsn)
            life_fail(life,
                      "a reader shows LSN %" PRIu64 " before it is "
                      "durable",
                      record->lsn);
        lsn_acked(life, record->lsn);
    }
    if (code == DWAL_ETRIMMED || code == DWAL_ECUT)
        code = dwal__reader_seek(reader, 0, &error);
    else if (code == DWAL_END)
        return true;
    if (code != DWAL_OK && code != DWAL_ETRIMMED)
        life_fail(life, "a reader: %d, %s", code, error.text);
    return code == DWAL_OK;
}

/* A record by its LSN: it must be the one that has it now, also where another
 * had it before a cut; and what is durable and not trimmed must be there. */
static void get_once(struct life *life, struct dwal__reader *getter,
                     bool inside) {
    const uint64_t *ids = life->oracle.ids;
    bool gate = life->gate;
    struct dwal__reader_item item;
    struct dwal_error error;
    if (life->log == NULL || dwal_durable_lsn(life->log) == 0)
        return;
    uint64_t durable_lsn = dwal_durable_lsn(life->log);
    uint64_t lsn = 1 + draw(&life->random, (unsigned)durable_lsn + 2);
    int code = dwal__reader_get(getter, lsn, &item, &error);
    if (gate || life->gate || ids != life->oracle.ids)
        return; /* the log was cut meanwhile */
    bool gone = code == DWAL_ETRIMMED || code == DWAL_ECUT || code == DWAL_END;
    if (code != DWAL_OK && !gone)
        life_fail(life, "get LSN %" PRIu64 ": %d, %s", lsn, code, error.text);
    if (gone && inside && lsn <= durable_lsn && life->log != NULL &&
        lsn >= dwal_first_lsn(life->log))
        life_fail(life, "get LSN %" PRIu64 ", which is there: %s", lsn,
                  error.text);
    if (code != DWAL_OK || lsn >= ORACLE_LSN_MAX || ids[lsn] == 0)
        return;
    const struct dwal__record *record = &item.record;
    if (ids[lsn] != ((uint64_t)record->tenant << 32 | record->shard))
        life_fail(life, "get LSN %" PRIu64 ": it is another record", lsn);
}

/* The same by an index, which outlives cuts and trims. */
static struct dwal__reader *getter_open(struct life *life,
                                        struct dwal__reader_options options,
                                        struct dwal__places **places) {
    struct dwal__reader *getter = NULL;
    struct dwal_error error;
    options.places = *places = dwal__places_new();
    int code = dwal__reader_open(&options, &getter, &error);
    if (code != DWAL_OK)
        life_fail(life, "open a getter: %d, %s", code, error.text);
    return getter;
}

static void reader_watch(struct life *life, bool inside, unsigned rounds) {
    struct dwal__view *view = life->log->view;
    atomic_fetch_add(&view->references, 1);
    int dir = life->sim->disk.ops->dir_open(&life->sim->disk, SIM_PATH);
    struct dwal__reader_options options = {.disk = &life->sim->disk,
                                           .dir = dir};
    if (inside) {
        options.durable = dwal__view_read;
        options.durable_argument = view;
    }
    struct dwal__reader *reader;
    struct dwal__places *places;
    struct dwal_error error;
    int code = dwal__reader_open(&options, &reader, &error);
    if (code != DWAL_OK)
        life_fail(life, "open a reader: %d, %s", code, error.text);
    struct dwal__reader *getter = getter_open(life, options, &places);
    for (unsigned i = 0; code == DWAL_OK && i < rounds; i++) {
        bool more = reader_step(life, reader);
        for (unsigned j = 0; j < 3 && getter != NULL; j++)
            get_once(life, getter, inside);
        if (!more)
            break;
        sched_sleep(MS / 4);
    }
    if (code == DWAL_OK)
        dwal__reader_close(reader);
    dwal__reader_close(getter);
    dwal__places_free(places);
    life->sim->disk.ops->close(&life->sim->disk, dir);
    dwal__view_release(view);
}

/* In this process, and in another one. */
static void *reader_main(void *argument) {
    struct life *life = argument;
    bool inside = draw(&life->random, 2) == 0;
    reader_watch(life, inside, 4 + draw(&life->random, 8));
    return NULL;
}

/* ---- leases ---- */

/* Where no trim is under way, and not always at the first. */
static void *lease_main(void *argument) {
    struct life *life = argument;
    struct simdisk *sim = life->sim;
    for (unsigned i = 0; i < life->plan.leases && !life->closing; i++) {
        uint64_t first = dwal_first_lsn(life->log);
        if (first <= sim->claimed_lsn)
            first = sim->claimed_lsn + 1;
        if (!life->gate) {
            sim->lease_lsn = first + draw(&life->random, 4);
            life->leases++;
        }
        sched_sleep(MS / 4 * (int64_t)draw(&life->random, 40));
        sim->lease_lsn = 0;
        sched_sleep(MS / 4 * (int64_t)draw(&life->random, 4));
    }
    return NULL;
}

/* ---- walfsck -p, before the life begins ---- */

static void tail_repair(struct life *life, int dir) {
    struct dwal__recover_options recover = {.disk = &life->sim->disk,
                                            .dir = dir,
                                            .sync = true,
                                            .verify_bytes = UINT64_MAX};
    struct dwal__recovery recovery = {0};
    struct dwal_error error;
    if (dwal__recover(&recover, &recovery, &error) != DWAL_OK)
        return;
    int lock = -1;
    struct dwal__repair_options options = {
        .disk = &life->sim->disk, .dir = dir, .lock = &lock, .salts = {1, 2}};
    struct dwal__repair_plan plan = {0};
    int code = dwal__repair_plan_make(&options, &recovery, &plan, &error);
    if (code == DWAL_OK && plan.kind == DWAL__REPAIR_CUT)
        life_fail(life, "a crash needs to be repaired by a cut");
    if (code == DWAL_OK && plan.kind == DWAL__REPAIR_TAIL)
        code = dwal__repair_run(&options, &plan, &error);
    if (code != DWAL_OK && !life->plan.errors)
        life_fail(life, "repair: %d, %s", code, error.text);
    dwal__repair_plan_release(&plan);
    dwal__recovery_release(&recovery);
    code = dwal__recover(&recover, &recovery, &error);
    if (code == DWAL_OK && recovery.verdict != DWAL__VERDICT_CLEAN &&
        !life->plan.errors)
        life_fail(life, "repaired, but %s", recovery.decision->name);
    dwal__recovery_release(&recovery);
}

static void life_repair(struct life *life) {
    const struct dwal__disk_ops *ops = life->sim->disk.ops;
    int dir = ops->dir_open(&life->sim->disk, SIM_PATH);
    if (dir < 0)
        return;
    life->sim->repairing = true;
    tail_repair(life, dir);
    life->sim->repairing = false;
    ops->close(&life->sim->disk, dir);
}

/* ---- open, work, close ---- */

static bool life_open(struct life *life) {
    struct dwal_error error;
    struct dwal__aio aio = simdisk_aio(life->sim);
    bool created = life->oracle.created;
    uint64_t changes = life->sim->changes;
    struct dwal *log;
    life->open_code = dwal__open_on(&life->sim->disk, &aio, SIM_PATH,
                                    &life->plan.options, &log, &error);
    if (created && life->sim->changes != changes)
        life_fail(life, "opening changed the disk");
    if (life->open_code != DWAL_OK) {
        if (!life->plan.errors)
            life_fail(life, "open: %d, %s", life->open_code, error.text);
        return false;
    }
    life->log = log;
    life->oracle.created = true;
    if (life->past->code == DWAL_OK &&
        (dwal_durable_lsn(log) != life->past->durable_lsn ||
         dwal_first_lsn(log) != life->past->first_lsn))
        life_fail(life,
                  "opened with %" PRIu64 " to %" PRIu64 ", found were %" PRIu64
                  " to %" PRIu64,
                  dwal_first_lsn(log), dwal_durable_lsn(log),
                  life->past->first_lsn, life->past->durable_lsn);
    if (life->oracle.cutting) { /* what was found is synced by now */
        life->oracle.cutting = false;
        life->oracle.acked_lsn = dwal_durable_lsn(log);
        ids_fork(life, ORACLE_LSN_MAX);
    }
    uint8_t meta[DWAL_META_SIZE_MAX];
    size_t size = 0;
    dwal_meta_get(log, meta, sizeof meta, &size, NULL);
    if (life->past->code == DWAL_OK &&
        oracle_meta_number(meta, size) != life->past->meta)
        life_fail(life, "opened with other metadata than was found");
    durable_note(life);
    return true;
}

/* Longer than until a mark is due, and one more if that began a segment
 * [mark-once]. */
static void life_rest(struct life *life) {
    sched_sleep(3 * 250 * MS);
    durable_note(life);
    life->oracle.rested = life->plan.options.mark_delay_ms > 0 &&
                          !life->plan.errors && !life->plan.full &&
                          atomic_load(&life->log->sealed) > 0;
    if (life->plan.snapshot_share > 0)
        snapshot_take(life);
    life->oracle.rested = false;
    /* An idle log does nothing: an hour of it is our own sleep. */
    unsigned steps = sched_steps();
    sched_sleep(3600 * 1000 * MS);
    if (!life->plan.errors && sched_steps() > steps + 4)
        life_fail(life, "an idle log does something: %u steps in an hour",
                  sched_steps() - steps);
}

static void life_close(struct life *life) {
    struct dwal_error error;
    struct dwal *log = life->log;
    durable_note(life);
    life->closing = true;
    bool wrote = atomic_load(&log->sealed) > 0 || dwal__place_pending(log) > 0;
    life->log = NULL;
    int64_t begin = sched_clock();
    life->close_code = dwal_close(log, &error);
    const struct dwal_options *o = &life->plan.options;
    if (sched_clock() - begin > (o->io_timeout_ms + 2100) * MS)
        life_fail(life, "dwal_close took %" PRId64 " ms",
                  (sched_clock() - begin) / MS);
    if (life->close_code == DWAL_OK && sched_sleeps_in(log, sizeof *log))
        life_fail(life, "a call sleeps in a log that is gone");
    if (life->close_code == DWAL_OK)
        life->oracle.closed = wrote && !life->plan.errors && !life->plan.full &&
                              !life->plan.hasty;
    else if (!life->plan.errors)
        life_fail(life, "close: %d, %s", life->close_code, error.text);
}

#define LATE_NS (20000 * MS)

/* Under I/O that may still come, nobody opens the log. */
static void busy_check(struct life *life) {
    struct dwal__aio aio = simdisk_aio(life->sim);
    struct dwal *log;
    if (dwal__open_on(&life->sim->disk, &aio, SIM_PATH, &life->plan.options,
                      &log, NULL) != DWAL_OK)
        return;
    if (life->sim->flight_count > 0) /* still */
        life_fail(life, "opened under late I/O");
    dwal_close(log, NULL);
}

/* Nobody holds anything any more: not the lock, and no other handle. */
static void handles_check(struct life *life) {
    const struct sim_fault *fault = life->sim->fault;
    /* If events cannot be had, the log never learns that its I/O ended. */
    if (fault != NULL && fault->operation == SIM_REAP && fault->struck)
        return;
    for (unsigned i = 0; i < SIM_HANDLES_MAX; i++)
        if (life->sim->handles[i].kind != SIM_FREE)
            life_fail(life, "handle %u is left open, of %s", i,
                      sim_inode_name(life->sim, life->sim->handles[i].inode));
}

/* What comes late comes now; what never ends does so at last. */
static void end_wait(struct life *life) {
    if (life->sim->flight_count > 0)
        busy_check(life);
    sched_sleep(LATE_NS);
    if (life->sim->flight_count > 0)
        busy_check(life);
    simdisk_release(life->sim);
    sched_sleep(LATE_NS);
    handles_check(life);
}

static void *life_main(void *argument) {
    static const char *const names[] = {"caller 0", "caller 1", "caller 2",
                                        "caller 3", "caller 4", "caller 5",
                                        "caller 6", "caller 7"};
    struct life *life = argument;
    struct caller callers[ORACLE_CALLERS_MAX];
    int numbers[ORACLE_CALLERS_MAX + 3];
    unsigned count = 0;
    if (life->plan.repairs && life->oracle.created)
        life_repair(life);
    if (!life_open(life)) {
        end_wait(life);
        return NULL;
    }
    for (unsigned i = 0; i < life->plan.callers; i++) {
        callers[i] = (struct caller){
            .life = life, .number = i, .random = check_random(&life->random)};
        numbers[count++] = sched_spawn(names[i], caller_main, &callers[i]);
    }
    for (unsigned i = 0; i < life->plan.readers; i++)
        numbers[count++] = sched_spawn("reader", reader_main, life);
    if (life->plan.leases > 0)
        numbers[count++] = sched_spawn("lease", lease_main, life);
    unsigned inside = life->plan.hasty ? life->plan.callers : 0;
    while (count > inside)
        sched_join(numbers[--count]);
    if (inside > 0) /* calls are under way, whatever they wait for */
        sched_sleep(draw(&life->random, 2000) * (MS / 1000));
    else if (life->plan.rests)
        life_rest(life);
    life_close(life);
    while (count > 0)
        sched_join(numbers[--count]);
    if (life->close_code == DWAL_OK) /* then all that was appended is durable */
        lsn_acked(life, life->given_lsn);
    end_wait(life);
    return NULL;
}

static void end_check(struct life *life, enum sched_end end) {
    if (end != SCHED_DONE) {
        char text[256];
        sched_describe(text, sizeof text);
        life_fail(life, "%s:\n%s",
                  end == SCHED_DEADLOCK ? "everybody sleeps for ever"
                                        : "it does not come to an end",
                  text);
    }
    if (life->sim->complaint[0] != '\0')
        life_fail(life, "%s", life->sim->complaint);
}

void life_run(struct life *life, const struct life_plan *plan,
              struct simdisk *sim, const struct oracle *oracle,
              struct oracle_found *found) {
    *life = (struct life){.plan = *plan,
                          .sim = sim,
                          .oracle = *oracle,
                          .past = found,
                          .random = plan->seed};
    life->snapshots = calloc(LIFE_SNAPSHOTS_MAX, sizeof *life->snapshots);
    sim->alignment = plan->alignment;
    sim->before = operation_before;
    sim->argument = life;
    sched_begin(plan->seed);
    sched_spawn("main", life_main, life);
    end_check(life, sched_run());
    sim->before = NULL;
    if (life->plan.snapshot_share > 0)
        snapshot_take(life); /* of the end */
}

void life_release(struct life *life) {
    for (unsigned i = 0; i < life->snapshot_count; i++)
        simdisk_free(life->snapshots[i].sim);
    free(life->snapshots);
    for (unsigned i = 0; i < life->ids_count; i++)
        free(life->ids[i]);
    life->ids_count = 0;
    life->snapshots = NULL;
    life->snapshot_count = 0;
}
