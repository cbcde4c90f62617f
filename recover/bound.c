/* SPDX-License-Identifier: MIT */
/*
 * Finding out where the durable part of a log ends. The invariant: bound->mark
 * is never put where it was not proven, by the writer's own word, by a
 * watermark in a readable batch header, or by a recovery during which nobody
 * had the log. So everything up to it must be valid, whatever is being written
 * behind it.
 */
#include "bound.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"

/* A look at what a writer appends goes so far beyond the first new proof. */
#define LOOK_BYTES ((uint64_t)4 * 1024 * 1024)

/* Behind what is not readable, this much is looked at every time. */
#define NEAR_BYTES ((uint64_t)128 * 1024)

/* And this much more, further and further behind, with each look. */
#define SWEEP_BYTES ((uint64_t)256 * 1024)

/* Writers that come and go while recovery reads make it begin again; this is
 * how often, before the log counts as busy. */
#define RECOVERIES_MAX 16

/* ---- the directory ---- */

struct number_list {
    uint64_t *numbers;
    size_t count;
    size_t capacity;
    uint64_t above; /* only numbers larger than this are listed */
    uint64_t max;   /* of all */
};

static int number_add(void *argument, const char *name) {
    struct number_list *list = argument;
    uint64_t number;
    if (dwal__name_parse(name, &number) != DWAL__NAME_SEGMENT)
        return 0;
    if (number > list->max)
        list->max = number;
    if (number <= list->above)
        return 0;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        uint64_t *grown =
            realloc(list->numbers, capacity * sizeof list->numbers[0]);
        if (grown == NULL)
            return -ENOMEM;
        list->numbers = grown;
        list->capacity = capacity;
    }
    list->numbers[list->count++] = number;
    return 0;
}

static int number_compare(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* The segments above list->above, ascending. The caller frees list->numbers,
 * also after a failure. */
static int numbers_list(const struct dwal__bound *bound,
                        struct number_list *list, struct dwal_error *error) {
    int result =
        bound->disk->ops->dir_list(bound->disk, bound->dir, number_add, list);
    if (result < 0)
        return dwal__error_set(error,
                               result == -ENOMEM ? DWAL_ENOMEM : DWAL_EIO,
                               -result, "list the directory");
    if (list->count > 0)
        qsort(list->numbers, list->count, sizeof list->numbers[0],
              number_compare);
    return DWAL_OK;
}

/* 1 if a writer has the log, 0 if not, or a DWAL code. */
static int lock_held(const struct dwal__bound *bound,
                     struct dwal_error *error) {
    if (bound->lock < 0)
        return 0;
    int held = bound->disk->ops->lock_held(bound->disk, bound->lock);
    if (held < 0)
        return dwal__error_set(error, DWAL_EIO, -held,
                               DWAL__LOCK_NAME ": who holds it");
    return held;
}

/* ---- recovered ---- */

/* What a reader is told at the end of what recovery found. */
static void recovered_end(struct dwal__bound *bound,
                          const struct dwal_error *error) {
    bound->end_code = dwal__recovery_code(&bound->recovery);
    if (bound->end_code == DWAL_OK)
        bound->end_code = dwal__error_set(
            &bound->end_error, DWAL_END, 0, "the log ends with LSN %llu",
            (unsigned long long)bound->recovery.durable_lsn);
    else
        bound->end_error = *error;
}

/* Recovers, and tells in *@moved if a writer was or is there meanwhile: then
 * what was found means nothing. Every writer that changes a log takes a new
 * number first (SPEC 11.5). */
static int recover_once(struct dwal__bound *bound, bool *moved,
                        struct dwal_error *error) {
    struct dwal__recover_options options = {.disk = bound->disk,
                                            .dir = bound->dir,
                                            .sync = true,
                                            .hooks = bound->hooks};
    struct number_list before = {.above = UINT64_MAX};
    struct number_list after = before;
    struct dwal_error why;
    int code = numbers_list(bound, &before, error);
    if (code != DWAL_OK)
        return code;
    dwal__recovery_release(&bound->recovery);
    memset(&bound->recovery, 0, sizeof bound->recovery);
    int outcome = dwal__recover(&options, &bound->recovery, &why);
    code = numbers_list(bound, &after, error);
    if (code != DWAL_OK)
        return code;
    int held = lock_held(bound, error);
    if (held < 0)
        return held;
    *moved = held == 1 || before.max != after.max;
    if (*moved)
        return DWAL_OK;
    if (outcome != DWAL_OK) {
        if (error != NULL)
            *error = why;
        return outcome;
    }
    recovered_end(bound, &why);
    /* After a read error the next call tries again. */
    bound->number_max = bound->end_code == DWAL_EIO ? UINT64_MAX : after.max;
    return DWAL_OK;
}

/* Without the LOCK that names the log no segment is known to be its own, and
 * recovery leaves the UUID zero. */
static bool log_named(const struct dwal__recovery *recovery) {
    static const struct dwal__uuid zero;
    return memcmp(&recovery->uuid, &zero, sizeof zero) != 0;
}

static int recovered_survey(struct dwal__bound *bound, bool *moved,
                            struct dwal_error *error) {
    const struct dwal__recovery *recovery = &bound->recovery;
    int code = recover_once(bound, moved, error);
    if (code != DWAL_OK || *moved)
        return code;
    /* Not even a beginning, or nothing that is certain. */
    if (bound->end_code == DWAL_EIO ||
        (bound->end_code != DWAL_END &&
         (recovery->end.segment == 0 || !log_named(recovery)))) {
        if (error != NULL)
            *error = bound->end_error;
        return bound->end_code;
    }
    bound->mode = DWAL__BOUND_RECOVERED;
    bound->uuid = recovery->uuid;
    bound->mark.lsn = recovery->durable_lsn;
    bound->mark.position = recovery->end;
    bound->first_lsn = recovery->first_lsn;
    return DWAL_OK;
}

/* ---- live: watermarks ---- */

static bool mark_raise(struct dwal__bound *bound,
                       const struct dwal__watermark *mark) {
    if (dwal__position_compare(mark->position, bound->mark.position) <= 0)
        return false;
    bound->mark = *mark;
    return true;
}

/* How to look for watermarks, and what came of it. */
struct look {
    bool thorough; /* behind damage: to the end of the segment */
    bool whole;    /* for all there are, not only for the first new one */
    bool raised;   /* the mark was */
    bool started;  /* the last segment has a batch */
};

/* Goes from header to header, from *@offset to the first that is not readable,
 * or until enough is proven. Sets *@fault to what stands at *@offset then. */
static int headers_walk(struct dwal__bound *bound, struct look *look,
                        uint64_t *offset, enum dwal__fault *fault,
                        struct dwal_error *error) {
    struct dwal__window *window = &bound->window;
    const struct dwal__segment_header *segment = &window->header;
    uint64_t begin = *offset;
    while (*offset < segment->segment_size) {
        struct dwal__batch_header header;
        int code = dwal__window_header(window, *offset, &header, fault, error);
        if (code != DWAL_OK || *fault != DWAL__FAULT_NONE)
            return code;
        look->started = true;
        look->raised |= mark_raise(bound, &header.watermark);
        *offset += dwal__align_up(header.size, segment->block_size);
        if (look->raised && !look->whole && *offset - begin > LOOK_BYTES)
            break;
    }
    *fault = DWAL__FAULT_SHORT;
    return DWAL_OK;
}

/* Looks at every block of a stretch of the open segment. */
static int range_search(struct dwal__bound *bound, struct look *look,
                        uint64_t offset, uint64_t until,
                        struct dwal_error *error) {
    struct dwal__window *window = &bound->window;
    while (offset < until && (look->whole || !look->raised)) {
        struct dwal__batch_header header;
        bool found;
        int code =
            dwal__window_search(window, offset, until, &found, &header, error);
        if (code != DWAL_OK || !found)
            return code;
        look->raised |= mark_raise(bound, &header.watermark);
        offset = header.offset + window->header.block_size;
    }
    return DWAL_OK;
}

/* Looks at every block from @offset on, since a batch that is damaged hides
 * those behind it: to the end of the segment, or only a little way. */
static int blocks_search(struct dwal__bound *bound, struct look *look,
                         uint64_t offset, struct dwal_error *error) {
    uint64_t until = bound->window.header.segment_size;
    if (!look->thorough && until - offset > NEAR_BYTES)
        until = offset + NEAR_BYTES;
    return range_search(bound, look, offset, until, error);
}

/* True for what stands in the first block behind the header of a segment that
 * nobody began to write. */
static bool untouched(enum dwal__fault fault) {
    return fault == DWAL__FAULT_ZERO || fault == DWAL__FAULT_STALE ||
           fault == DWAL__FAULT_FOREIGN;
}

/* Looks in segment @number, from @offset or, if that is 0, from its first batch
 * on, for a watermark beyond the mark. A segment that is gone holds none. */
static int segment_look(struct dwal__bound *bound, struct look *look,
                        uint64_t number, uint64_t offset,
                        struct dwal_error *error) {
    struct dwal__window *window = &bound->window;
    look->started = false;
    int code = dwal__window_open(window, number, &bound->uuid, error);
    if (code != DWAL_OK)
        return code == DWAL_ENOENT ? DWAL_OK : code;
    bool first = offset == 0;
    if (first)
        offset = window->header.block_size;
    dwal__window_forget(window, offset);
    enum dwal__fault fault;
    code = headers_walk(bound, look, &offset, &fault, error);
    if (code != DWAL_OK)
        return code;
    if (fault == DWAL__FAULT_VERSION)
        return dwal__error_set_at(error, DWAL_EVERSION, 0, number, offset,
                                  "%s: offset %llu: %s; use a newer dwal",
                                  window->name, (unsigned long long)offset,
                                  dwal__fault_text(fault));
    bool enough = look->raised && !look->whole;
    bool nothing = first && !look->started && untouched(fault);
    if (enough || nothing || fault == DWAL__FAULT_SHORT)
        return DWAL_OK;
    return blocks_search(bound, look, offset, error);
}

/* Looks from the mark on through the higher segments, until something new is
 * proven. What is wrong with one of them is told only if nothing is. */
static int live_look(struct dwal__bound *bound, struct look *look,
                     const struct number_list *list, struct dwal_error *error) {
    struct dwal__position from = bound->mark.position;
    int worst = DWAL_OK;
    if (from.segment != 0 && from.segment >= bound->floor)
        worst = segment_look(bound, look, from.segment, from.offset, error);
    for (size_t i = 0; i < list->count && !look->raised; i++) {
        struct dwal_error why;
        int code = segment_look(bound, look, list->numbers[i], 0, &why);
        if (code == DWAL_OK || worst != DWAL_OK)
            continue;
        worst = code;
        if (error != NULL)
            *error = why;
    }
    return look->raised ? DWAL_OK : worst;
}

/* The segment behind @number in which the sweep goes on; the first one of all
 * when there is no other. */
static void sweep_next(struct dwal__bound *bound,
                       const struct number_list *list, uint64_t number) {
    bound->swept = bound->mark.position;
    for (size_t i = list->count; i-- > 0 && list->numbers[i] > number;)
        bound->swept = (struct dwal__position){list->numbers[i], 0};
}

/* One step of the sweep: from the mark through all segments above, and over
 * again. So damage that hides what was written far behind it does not hide it
 * for long, and a look stays cheap. */
static int live_sweep(struct dwal__bound *bound, struct look *look,
                      const struct number_list *list,
                      struct dwal_error *error) {
    struct dwal__window *window = &bound->window;
    struct dwal__position *at = &bound->swept;
    if (dwal__position_compare(*at, bound->mark.position) < 0)
        *at = bound->mark.position;
    if (at->segment == 0 ||
        at->segment < bound->floor) /* nothing known there */
        sweep_next(bound, list, 0);
    uint64_t number = at->segment;
    if (number == 0 || number < bound->floor)
        return DWAL_OK;
    int code = dwal__window_open(window, number, &bound->uuid, error);
    if (code != DWAL_OK) { /* gone, or told of by those who look there */
        sweep_next(bound, list, number);
        return code == DWAL_ENOENT || code == DWAL_ECORRUPT ? DWAL_OK : code;
    }
    bool first = at->offset == 0;
    if (first)
        at->offset = window->header.block_size;
    dwal__window_forget(window, at->offset);
    struct dwal__batch_header header;
    enum dwal__fault fault = DWAL__FAULT_NONE;
    if (first)
        code = dwal__window_header(window, at->offset, &header, &fault, error);
    uint64_t from = at->offset, end = window->header.segment_size;
    at->offset = end - from > SWEEP_BYTES ? from + SWEEP_BYTES : end;
    if (untouched(fault))
        sweep_next(bound, list, number);
    else if (code == DWAL_OK)
        code = range_search(bound, look, from, at->offset, error);
    if (at->offset == end)
        sweep_next(bound, list, number);
    return code;
}

/*
 * Looks for news of the writer. The thorough look, which finds proof behind
 * damage, reads whole segments: it is taken when the log is opened, each time a
 * segment was added, and ever more rarely between, so that who follows a log
 * closely does not read it over and over. Between, each look sweeps a little:
 * damage shows at the latest when that has come round, with the next segment,
 * or when the writer leaves.
 */
static int live_advance(struct dwal__bound *bound, struct dwal_error *error) {
    struct number_list list = {.above = bound->mark.position.segment};
    struct look look = {0};
    if (list.above < bound->floor)
        list.above = bound->floor - 1;
    int code = numbers_list(bound, &list, error);
    if (code == DWAL_OK)
        code = live_look(bound, &look, &list, error);
    if (code == DWAL_OK && !look.raised) {
        bound->idle_looks++;
        look.thorough = list.max != bound->number_max ||
                        dwal__is_power_of_two(bound->idle_looks);
        code = look.thorough ? live_look(bound, &look, &list, error)
                             : live_sweep(bound, &look, &list, error);
        bound->number_max = list.max;
    }
    free(list.numbers);
    if (code == DWAL_OK && !look.raised)
        code = dwal__error_set(error, DWAL_END, 0,
                               "LSN %llu is the last that is known to be "
                               "durable",
                               (unsigned long long)bound->mark.lsn);
    return code;
}

/* ---- live: trim points ---- */

/* The largest trim point in the valid batches of segment @number that end at
 * @until at the latest: raises *@lsn. */
static int segment_trims(struct dwal__bound *bound, uint64_t number,
                         uint64_t until, uint64_t *lsn,
                         struct dwal_error *error) {
    struct dwal__window *window = &bound->window;
    int code = dwal__window_open(window, number, &bound->uuid, error);
    if (code != DWAL_OK)
        return code == DWAL_ENOENT ? DWAL_OK : code;
    const struct dwal__segment_header *segment = &window->header;
    if (until > segment->segment_size)
        until = segment->segment_size;
    struct dwal__expected expected = {.link_known = true, .link = segment->crc};
    uint64_t offset = segment->block_size;
    dwal__window_forget(window, offset);
    while (offset < until) {
        struct dwal__window_batch batch;
        struct dwal__batch_fault where;
        code = dwal__window_batch(window, offset, &expected, &batch, &where,
                                  NULL, error);
        if (code != DWAL_OK)
            return code;
        if (where.fault != DWAL__FAULT_NONE || batch.end > until)
            return DWAL_OK;
        const struct dwal__batch_summary *summary = &batch.summary;
        if (summary->started && summary->start.trim_lsn > *lsn)
            *lsn = summary->start.trim_lsn;
        if (summary->trim_lsn > *lsn)
            *lsn = summary->trim_lsn;
        expected.link = batch.header.crc;
        offset = batch.end;
    }
    return DWAL_OK;
}

int dwal__bound_trim_seen(struct dwal__bound *bound, uint64_t *lsn,
                          struct dwal_error *error) {
    uint64_t segment = bound->mark.position.segment;
    struct number_list list = {.above = segment};
    uint64_t seen = bound->first_lsn - 1;
    int code = numbers_list(bound, &list, error);
    if (code == DWAL_OK && segment != 0)
        code = segment_trims(bound, segment, UINT64_MAX, &seen, error);
    for (size_t i = 0; i < list.count && code == DWAL_OK; i++)
        code = segment_trims(bound, list.numbers[i], UINT64_MAX, &seen, error);
    free(list.numbers);
    if (code == DWAL_OK)
        *lsn = seen;
    return code;
}

/* ---- live: from nothing ---- */

/* Watermarks rise with the place that they stand at (SPEC 11, lemma), so the
 * highest segment with a batch in it knows the most. What is wrong with those
 * above it is told when the end is reached. */
static int live_mark_find(struct dwal__bound *bound, struct dwal_error *error) {
    struct number_list list = {0};
    struct look look = {.thorough = true, .whole = true};
    int code = numbers_list(bound, &list, error);
    bound->number_max = list.max;
    for (size_t i = list.count; i > 0 && code == DWAL_OK; i--) {
        code = segment_look(bound, &look, list.numbers[i - 1], 0, error);
        if (look.started || look.raised) {
            bound->floor = list.numbers[i - 1];
            break;
        }
        if (code == DWAL_ECORRUPT)
            code = DWAL_OK;
    }
    free(list.numbers);
    return code;
}

/* The mark of before stays: it was proven, and a cut of the log lies in a
 * higher segment, hence beyond it. */
static int live_survey(struct dwal__bound *bound, struct dwal_error *error) {
    int code = live_mark_find(bound, error);
    if (code != DWAL_OK)
        return code;
    uint64_t trim_lsn = bound->first_lsn - 1;
    struct dwal__position end = bound->mark.position;
    if (end.segment != 0)
        code = segment_trims(bound, end.segment, end.offset, &trim_lsn, error);
    if (code != DWAL_OK)
        return code;
    bound->first_lsn = trim_lsn + 1;
    bound->mode = DWAL__BOUND_LIVE;
    bound->idle_looks = 2; /* this was a thorough one */
    return DWAL_OK;
}

/* ---- all ways ---- */

static void inside_look(struct dwal__bound *bound) {
    bound->durable(bound->durable_argument, &bound->mark, &bound->first_lsn);
}

int dwal__bound_survey(struct dwal__bound *bound, struct dwal_error *error) {
    if (bound->mode == DWAL__BOUND_INSIDE) {
        inside_look(bound);
        return DWAL_OK;
    }
    for (int i = 0; i < RECOVERIES_MAX; i++) {
        int held = lock_held(bound, error);
        if (held < 0)
            return held;
        if (held == 1)
            return live_survey(bound, error);
        bool moved = false;
        int code = recovered_survey(bound, &moved, error);
        if (!moved)
            return code;
    }
    return dwal__error_set(error, DWAL_EIO, 0,
                           "writers keep opening and closing the log; try "
                           "again");
}

static int inside_advance(struct dwal__bound *bound, struct dwal_error *error) {
    struct dwal__position before = bound->mark.position;
    inside_look(bound);
    if (dwal__position_compare(bound->mark.position, before) != 0)
        return DWAL_OK;
    return dwal__error_set(error, DWAL_END, 0, "LSN %llu is the last durable",
                           (unsigned long long)bound->mark.lsn);
}

/* A new writer, or one that came and went since: then *@moved. */
static int recovered_look(struct dwal__bound *bound, bool *moved,
                          struct dwal_error *error) {
    int held = lock_held(bound, error);
    *moved = held != 0;
    if (held < 0)
        return held;
    if (held == 1) {
        bound->mode = DWAL__BOUND_LIVE;
        bound->idle_looks = 0;
        return DWAL_OK;
    }
    struct number_list list = {.above = UINT64_MAX};
    int code = numbers_list(bound, &list, error);
    if (code != DWAL_OK)
        return code;
    *moved = list.max != bound->number_max;
    return *moved ? dwal__bound_survey(bound, error) : DWAL_OK;
}

static int recovered_advance(struct dwal__bound *bound,
                             struct dwal_error *error) {
    bool moved;
    int code = recovered_look(bound, &moved, error);
    if (code != DWAL_OK || moved)
        return code;
    if (error != NULL)
        *error = bound->end_error;
    return bound->end_code;
}

int dwal__bound_advance(struct dwal__bound *bound, struct dwal_error *error) {
    if (bound->mode == DWAL__BOUND_INSIDE)
        return inside_advance(bound, error);
    if (bound->mode == DWAL__BOUND_RECOVERED)
        return recovered_advance(bound, error);
    /* Asked first: who leaves writes nothing more. */
    int held = lock_held(bound, error);
    if (held < 0)
        return held;
    return held == 1 ? live_advance(bound, error)
                     : dwal__bound_survey(bound, error);
}

/* The highest segment above the mark that has a batch; 0: none has. */
static int begun_find(struct dwal__bound *bound, uint64_t *begun,
                      struct dwal_error *error) {
    struct dwal__window *window = &bound->window;
    struct number_list list = {.above = bound->mark.position.segment};
    if (list.above < bound->floor)
        list.above = bound->floor - 1;
    int code = numbers_list(bound, &list, error);
    *begun = 0;
    for (size_t i = list.count; i-- > 0 && code == DWAL_OK && *begun == 0;) {
        struct dwal__batch_header header;
        enum dwal__fault fault;
        dwal__window_close(window); /* what is in memory is old */
        code = dwal__window_open(window, list.numbers[i], &bound->uuid, error);
        if (code == DWAL_ENOENT || code == DWAL_ECORRUPT) {
            code = DWAL_OK; /* gone, or told of by those who look there */
            continue;
        }
        if (code != DWAL_OK)
            break;
        code = dwal__window_header(window, window->header.block_size, &header,
                                   &fault, error);
        if (code == DWAL_OK && fault == DWAL__FAULT_NONE)
            *begun = list.numbers[i];
    }
    free(list.numbers);
    return code;
}

/* A cut is a segment that begins, above all that were begun before, and it is
 * acknowledged by a watermark in there (SPEC 11.6). So where none has begun
 * above the mark nothing was cut; otherwise the mark goes on up to there. */
static int live_verify(struct dwal__bound *bound, struct dwal_error *error) {
    uint64_t begun;
    int code = begun_find(bound, &begun, error);
    while (code == DWAL_OK && begun > bound->mark.position.segment &&
           bound->mode == DWAL__BOUND_LIVE)
        code = dwal__bound_advance(bound, error);
    return code == DWAL_END ? DWAL_OK : code;
}

int dwal__bound_verify(struct dwal__bound *bound, struct dwal_error *error) {
    if (bound->mode == DWAL__BOUND_INSIDE) {
        inside_look(bound);
        return DWAL_OK;
    }
    if (bound->mode == DWAL__BOUND_RECOVERED) {
        bool moved;
        int code = recovered_look(bound, &moved, error);
        if (code != DWAL_OK || bound->mode == DWAL__BOUND_RECOVERED)
            return code;
    }
    /* Asked first: who leaves writes nothing more. */
    int held = lock_held(bound, error);
    if (held < 0)
        return held;
    return held == 1 ? live_verify(bound, error)
                     : dwal__bound_survey(bound, error);
}

int dwal__bound_switch(struct dwal__bound *bound,
                       void (*durable)(void *, struct dwal__watermark *,
                                       uint64_t *),
                       void *argument, struct dwal_error *error) {
    enum dwal__bound_mode before = bound->mode;
    bound->mode = durable != NULL ? DWAL__BOUND_INSIDE : DWAL__BOUND_RECOVERED;
    void *argument_before = bound->durable_argument;
    void (*durable_before)(void *, struct dwal__watermark *, uint64_t *) =
        bound->durable;
    bound->durable = durable;
    bound->durable_argument = argument;
    int code = dwal__bound_survey(bound, error);
    if (code != DWAL_OK) {
        bound->mode = before;
        bound->durable = durable_before;
        bound->durable_argument = argument_before;
    }
    return code;
}

/* ---- open ---- */

/* LOCK names the log. Where it is missing or damaged recovery tells the rest;
 * only a live log has to go without. */
static int lock_open(struct dwal__bound *bound, struct dwal_error *error) {
    struct dwal__disk *disk = bound->disk;
    uint8_t bytes[DWAL__LOCK_SIZE + 1];
    int handle =
        disk->ops->open(disk, bound->dir, DWAL__LOCK_NAME, DWAL__OPEN_READ);
    if (handle == -ENOENT)
        return DWAL_OK;
    if (handle < 0)
        return dwal__error_set(error, DWAL_EIO, -handle,
                               DWAL__LOCK_NAME ": open");
    bound->lock = handle;
    ssize_t size = disk->ops->read(disk, handle, bytes, sizeof bytes, 0);
    if (size < 0)
        return dwal__error_set(error, DWAL_EIO, (int)-size,
                               DWAL__LOCK_NAME ": read");
    int held = lock_held(bound, error);
    if (held < 0)
        return held;
    enum dwal__fault fault =
        dwal__lock_decode(bytes, (size_t)size, &bound->uuid);
    if (fault != DWAL__FAULT_NONE && (held == 1 || bound->durable != NULL))
        return dwal__error_set(error, DWAL_ECORRUPT, 0,
                               DWAL__LOCK_NAME " is damaged: %s; run walfsck",
                               dwal__fault_text(fault));
    return DWAL_OK;
}

int dwal__bound_open(struct dwal__bound *bound,
                     const struct dwal__reader_options *options,
                     struct dwal_error *error) {
    memset(bound, 0, sizeof *bound);
    bound->disk = options->disk;
    bound->dir = options->dir;
    bound->lock = -1;
    bound->durable = options->durable;
    bound->durable_argument = options->durable_argument;
    bound->hooks = options->hooks;
    bound->mode =
        options->durable != NULL ? DWAL__BOUND_INSIDE : DWAL__BOUND_RECOVERED;
    bound->first_lsn = 1;
    dwal__window_init(&bound->window, bound->disk, bound->dir);
    int code = lock_open(bound, error);
    if (code == DWAL_OK)
        code = dwal__bound_survey(bound, error);
    return code;
}

void dwal__bound_release(struct dwal__bound *bound) {
    dwal__recovery_release(&bound->recovery);
    dwal__window_release(&bound->window);
    if (bound->lock >= 0)
        bound->disk->ops->close(bound->disk, bound->lock);
    bound->lock = -1;
}
