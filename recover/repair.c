/* SPDX-License-Identifier: MIT */
/*
 * Planning a repair: which steps take the log to clean. repair.h has the rules
 * and why they are safe; here is what each means for a directory. Nothing in
 * this file writes. Its invariant: no step touches a live segment, but for what
 * lies behind the live end.
 */
#include "repair.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "chain.h"

#define CHUNK_SIZE ((size_t)1 << 20)
static_assert(CHUNK_SIZE % DWAL__BLOCK_SIZE_MAX == 0, "chunks of whole blocks");

/* What planning carries along. */
struct planner {
    const struct dwal__repair_options *options;
    const struct dwal__recovery *recovery;
    struct dwal__repair_plan *plan;
    struct dwal_error *error;
    size_t step_capacity;
    uint8_t *chunk; /* CHUNK_SIZE bytes */

    /* From the directory. */
    char **names; /* sorted; all but LOCK and the spares */
    size_t name_count;
    size_t name_capacity;
    uint64_t number_max; /* of any segment, spare or moved segment */
    uint64_t number_top; /* the same without spares */
    bool lock_exists;
    bool lock_valid;
};

static bool cancelled(const struct planner *planner) {
    const struct dwal__repair_options *options = planner->options;
    return options->cancelled != NULL && options->cancelled(options->argument);
}

static int out_of_memory(const struct planner *planner) {
    return dwal__error_set(planner->error, DWAL_ENOMEM, 0,
                           "plan the repair: out of memory");
}

/* ---- the plan as a list ---- */

/* A new last step, zeroed; NULL when there is no memory. */
static struct dwal__repair_step *plan_add(struct planner *planner,
                                          enum dwal__repair_action action,
                                          const char *name) {
    struct dwal__repair_plan *plan = planner->plan;
    if (plan->step_count == planner->step_capacity) {
        size_t capacity = planner->step_capacity * 2 + 16;
        void *steps = realloc(plan->steps, capacity * sizeof plan->steps[0]);
        if (steps == NULL) {
            out_of_memory(planner);
            return NULL;
        }
        plan->steps = steps;
        planner->step_capacity = capacity;
    }
    struct dwal__repair_step *step = &plan->steps[plan->step_count++];
    memset(step, 0, sizeof *step);
    step->action = action;
    snprintf(step->name, sizeof step->name, "%s", name);
    return step;
}

void dwal__repair_plan_release(struct dwal__repair_plan *plan) {
    free(plan->steps);
    memset(plan, 0, sizeof *plan);
}

/* ---- what the directory holds ---- */

/* The number in "<16 digits>.wal.lost…", 0 if @name is none. */
static uint64_t lost_number(const char *name) {
    static const char middle[] = ".wal" DWAL__REPAIR_LOST_SUFFIX;
    if (strlen(name) < 16 || strncmp(name + 16, middle, strlen(middle)) != 0)
        return 0;
    char original[DWAL__NAME_SIZE];
    snprintf(original, sizeof original, "%.20s", name);
    uint64_t number = 0;
    bool segment = dwal__name_parse(original, &number) == DWAL__NAME_SEGMENT;
    return segment ? number : 0;
}

/* Keeps a copy of @name. False: out of memory. */
static bool names_add(struct planner *planner, const char *name) {
    if (planner->name_count == planner->name_capacity) {
        size_t capacity = planner->name_capacity * 2 + 64;
        void *names = realloc(planner->names, capacity * sizeof(char *));
        if (names == NULL)
            return false;
        planner->names = names;
        planner->name_capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return false;
    planner->names[planner->name_count++] = copy;
    return true;
}

/* 1, which no errno is: out of memory. */
static int names_each(void *argument, const char *name) {
    struct planner *planner = argument;
    uint64_t number = 0;
    switch (dwal__name_parse(name, &number)) {
    case DWAL__NAME_LOCK:
        planner->lock_exists = true;
        return 0;
    case DWAL__NAME_SPARE:
        break;
    case DWAL__NAME_SEGMENT:
    case DWAL__NAME_BAD:
    case DWAL__NAME_OTHER:
        if (number == 0)
            number = lost_number(name);
        if (number > planner->number_top)
            planner->number_top = number;
        if (!names_add(planner, name))
            return 1;
        break;
    }
    if (number > planner->number_max)
        planner->number_max = number;
    return 0;
}

static int names_compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lists the directory, in the order of the names: not that of the filesystem,
 * which may differ the next time. */
static int names_read(struct planner *planner) {
    struct dwal__disk *disk = planner->options->disk;
    int result =
        disk->ops->dir_list(disk, planner->options->dir, names_each, planner);
    if (result > 0)
        return out_of_memory(planner);
    if (result < 0)
        return dwal__error_set(planner->error, DWAL_EIO, -result,
                               "plan the repair: list the directory");
    if (planner->name_count > 0)
        qsort(planner->names, planner->name_count, sizeof planner->names[0],
              names_compare);
    return 0;
}

static bool names_contain(const struct planner *planner, const char *name) {
    return planner->name_count > 0 &&
           bsearch(&name, planner->names, planner->name_count,
                   sizeof planner->names[0], names_compare) != NULL;
}

/* Whether LOCK is as SPEC 4.3 wants it. */
static int lock_read(struct planner *planner) {
    struct dwal__disk *disk = planner->options->disk;
    if (!planner->lock_exists)
        return 0;
    int lock = disk->ops->open(disk, planner->options->dir, DWAL__LOCK_NAME,
                               DWAL__OPEN_READ);
    uint8_t bytes[DWAL__LOCK_SIZE + 1]; /* one more shows a file too long */
    ssize_t size = lock;
    if (lock >= 0) {
        size = disk->ops->read(disk, lock, bytes, sizeof bytes, 0);
        disk->ops->close(disk, lock);
    }
    if (size < 0)
        return dwal__error_set(planner->error, DWAL_EIO, (int)-size,
                               "plan the repair: read LOCK");
    struct dwal__uuid uuid;
    planner->lock_valid =
        dwal__lock_decode(bytes, (size_t)size, &uuid) == DWAL__FAULT_NONE;
    if (planner->lock_valid)
        planner->plan->uuid = uuid;
    return 0;
}

/* ---- tails, SPEC 7.6 ---- */

/* The segment that holds the live end, NULL if none does. */
static const struct dwal__found_segment *
end_segment(const struct dwal__recovery *recovery) {
    return dwal__segment_find(recovery->segments, recovery->segment_count,
                              recovery->end.segment);
}

/* What is left over in one segment from @from on. */
struct tail {
    const struct dwal__segment_header *header;
    uint64_t from;
    bool witnessed; /* a foreign head is none of the log's: SPEC 7.6 */
    bool found;
    uint64_t to; /* the end of the last batch whose header is readable */
    uint64_t records;
};

/* True if what stands at the first block of a tail makes it torn. */
static bool head_bad(const struct tail *tail, enum dwal__fault fault) {
    switch (fault) {
    case DWAL__FAULT_ZERO:
    case DWAL__FAULT_STALE:
        return false;
    case DWAL__FAULT_FOREIGN:
        return !tail->witnessed;
    default:
        return true;
    }
}

/* The end of the range that was being wiped when a repair was interrupted: if
 * @block begins with the mark that says it, else 0. */
static uint64_t mark_end(const struct tail *tail, const uint8_t *block) {
    const struct dwal__segment_header *segment = tail->header;
    uint64_t size =
        dwal__get64(block + offsetof(struct dwal__batch_header_bytes, size));
    if (size > segment->segment_size - tail->from ||
        size % segment->block_size != 0)
        return 0;
    uint8_t mark[DWAL__SECTOR_SIZE];
    dwal__repair_mark(segment, tail->from, tail->from + size, mark);
    return memcmp(block, mark, sizeof mark) == 0 ? tail->from + size : 0;
}

/* One block at @offset into @tail. */
static void tail_block(struct tail *tail, const uint8_t *block,
                       uint64_t offset) {
    const struct dwal__segment_header *segment = tail->header;
    struct dwal__batch_header batch;
    enum dwal__fault fault = dwal__batch_header_decode(
        block, segment->block_size, segment, offset, &batch);
    uint64_t end = offset + segment->block_size;
    if (fault == DWAL__FAULT_NONE || fault == DWAL__FAULT_VERSION) {
        end = offset + dwal__align_up(batch.size, segment->block_size);
        tail->records += batch.lsn_count;
    } else if (offset != tail->from || !head_bad(tail, fault)) {
        return;
    } else if (mark_end(tail, block) > end) {
        end = mark_end(tail, block);
    }
    tail->found = true;
    if (end > tail->to)
        tail->to = end;
}

/* Looks at every block of @handle from tail->from on. */
static int tail_read(struct planner *planner, int handle, const char *name,
                     struct tail *tail) {
    struct dwal__disk *disk = planner->options->disk;
    uint64_t size = tail->header->segment_size;
    uint32_t block_size = tail->header->block_size;
    for (uint64_t at = tail->from; at < size;) {
        if (cancelled(planner))
            return dwal__error_set(planner->error, DWAL_EAGAIN, 0,
                                   "plan the repair: cancelled");
        size_t some = size - at < CHUNK_SIZE ? (size_t)(size - at) : CHUNK_SIZE;
        ssize_t moved = disk->ops->read(disk, handle, planner->chunk, some, at);
        if (moved != (ssize_t)some)
            return dwal__error_set_at(
                planner->error, DWAL_EIO, moved < 0 ? (int)-moved : 0,
                tail->header->number, at, "plan the repair: read %s%s", name,
                moved < 0 ? "" : ": it ends too early");
        for (size_t in = 0; in < some; in += block_size)
            tail_block(tail, planner->chunk + in, at + in);
        at += some;
    }
    return 0;
}

/* Fills @tail for @segment, which is well-formed. */
static int tail_scan(struct planner *planner,
                     const struct dwal__found_segment *segment,
                     struct tail *tail) {
    struct dwal__disk *disk = planner->options->disk;
    const struct dwal__recovery *recovery = planner->recovery;
    bool end = segment->number == recovery->end.segment;
    *tail = (struct tail){.header = &segment->header,
                          .from = end ? recovery->end.offset
                                      : segment->header.block_size};
    const struct dwal__found_segment *last = end_segment(recovery);
    tail->witnessed = last != NULL && last->run_witness && last->run_covered;
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(segment->number, name);
    int handle =
        disk->ops->open(disk, planner->options->dir, name, DWAL__OPEN_READ);
    if (handle < 0)
        return dwal__error_set_at(planner->error, DWAL_EIO, -handle,
                                  segment->number, 0,
                                  "plan the repair: open %s", name);
    int result = tail_read(planner, handle, name, tail);
    disk->ops->close(disk, handle);
    return result;
}

/* Plans to wipe what is left over in @segment, if anything is. */
static int tail_plan(struct planner *planner,
                     const struct dwal__found_segment *segment) {
    struct tail tail;
    int code = tail_scan(planner, segment, &tail);
    if (code != 0 || !tail.found)
        return code;
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(segment->number, name);
    struct dwal__repair_step *step = plan_add(planner, DWAL__REPAIR_WIPE, name);
    if (step == NULL)
        return DWAL_ENOMEM;
    step->segment = segment->number;
    step->header = segment->header;
    step->from = tail.from;
    step->to = tail.to;
    step->bytes = tail.to - tail.from;
    planner->plan->lost_records += tail.records;
    planner->plan->wiped_bytes += step->bytes;
    return 0;
}

/* ---- TAIL ---- */

static int plan_tails(struct planner *planner) {
    const struct dwal__recovery *recovery = planner->recovery;
    struct dwal__repair_plan *plan = planner->plan;
    plan->kind = DWAL__REPAIR_TAIL;
    plan->lost_from = recovery->undecidable ? recovery->undecidable_from : 1;
    plan->lost_to = recovery->undecidable ? recovery->undecidable_to : 0;
    for (size_t i = recovery->segment_count; i-- > 0;) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->number < recovery->end.segment)
            break;
        int code = tail_plan(planner, segment);
        if (code != 0)
            return code;
    }
    return 0;
}

/* ---- CUT ---- */

static void lsn_raise(uint64_t *lsn, uint64_t other) {
    if (other > *lsn && other <= DWAL__LSN_MAX)
        *lsn = other;
}

/* True if @segment is well-formed, once LOCK names the log. */
static bool segment_ours(const struct planner *planner,
                         const struct dwal__found_segment *segment) {
    return segment->well_formed &&
           memcmp(&segment->header.uuid, &planner->plan->uuid,
                  sizeof segment->header.uuid) == 0;
}

/* The largest LSN that the log is known to have given. No watermark says more:
 * it lies below the LSNs of its own batch. */
static uint64_t lsn_known(const struct planner *planner) {
    const struct dwal__recovery *recovery = planner->recovery;
    uint64_t lsn = recovery->durable_lsn;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (!segment_ours(planner, segment))
            continue;
        if (segment->started) {
            lsn_raise(&lsn, segment->trim_lsn);
            lsn_raise(&lsn, segment->run_lsn);
        }
        if (segment->left_over)
            lsn_raise(&lsn, segment->left_over_lsn);
    }
    return lsn;
}

/* How many well-formed segments have the UUID of @one. */
static size_t uuid_count(const struct dwal__recovery *recovery,
                         const struct dwal__found_segment *one) {
    size_t count = 0;
    for (size_t i = 0; i < recovery->segment_count; i++)
        if (recovery->segments[i].well_formed &&
            memcmp(&recovery->segments[i].header.uuid, &one->header.uuid,
                   sizeof one->header.uuid) == 0)
            count++;
    return count;
}

/* The UUID that the log has: LOCK's, else that of the segment with the live
 * end, else the one that most well-formed segments have, else a new one. */
static void uuid_choose(struct planner *planner) {
    const struct dwal__recovery *recovery = planner->recovery;
    if (planner->lock_valid)
        return;
    const struct dwal__found_segment *best = end_segment(recovery);
    size_t most = best != NULL ? SIZE_MAX : 0;
    for (size_t i = recovery->segment_count; most != SIZE_MAX && i-- > 0;) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        size_t count = segment->well_formed ? uuid_count(recovery, segment) : 0;
        if (count <= most)
            continue;
        best = segment;
        most = count;
    }
    planner->plan->uuid =
        best != NULL ? best->header.uuid : planner->options->uuid;
}

/* ".lost", or with a number behind it what is not there yet. */
static void target_choose(const struct planner *planner,
                          struct dwal__repair_step *step) {
    /* Short enough for any suffix: a name may be as long as names can be. */
    int length = (int)strnlen(step->name, DWAL__REPAIR_NAME_SIZE - 32);
    snprintf(step->target, sizeof step->target, "%.*s%s", length, step->name,
             DWAL__REPAIR_LOST_SUFFIX);
    for (unsigned i = 2; names_contain(planner, step->target); i++)
        snprintf(step->target, sizeof step->target, "%.*s%s%u", length,
                 step->name, DWAL__REPAIR_LOST_SUFFIX, i);
}

static int move_plan(struct planner *planner, const char *name,
                     uint64_t segment, uint64_t bytes) {
    struct dwal__repair_step *step = plan_add(planner, DWAL__REPAIR_MOVE, name);
    if (step == NULL)
        return DWAL_ENOMEM;
    step->segment = segment;
    step->bytes = bytes;
    target_choose(planner, step);
    planner->plan->moved_files++;
    planner->plan->moved_bytes += bytes;
    return 0;
}

/* The size of a file that the plan only names; 0 if it cannot be told. */
static uint64_t file_size(const struct planner *planner, const char *name) {
    struct dwal__disk *disk = planner->options->disk;
    uint64_t size = 0;
    int handle =
        disk->ops->open(disk, planner->options->dir, name, DWAL__OPEN_READ);
    if (handle < 0)
        return 0;
    if (disk->ops->size(disk, handle, &size) != 0)
        size = 0;
    disk->ops->close(disk, handle);
    return size;
}

/* LOCK, if it is missing or bad. */
static int plan_lock(struct planner *planner) {
    if (planner->lock_valid)
        return 0;
    if (planner->lock_exists) {
        int code = move_plan(planner, DWAL__LOCK_NAME, 0,
                             file_size(planner, DWAL__LOCK_NAME));
        if (code != 0)
            return code;
    }
    struct dwal__repair_step *step =
        plan_add(planner, DWAL__REPAIR_MAKE, DWAL__LOCK_NAME);
    if (step == NULL)
        return DWAL_ENOMEM;
    step->header.uuid = planner->plan->uuid;
    step->bytes = DWAL__LOCK_SIZE;
    return 0;
}

/* A segment above all others that follows @previous. */
static int plan_segment(struct planner *planner, uint64_t previous,
                        uint64_t epoch, uint64_t salt) {
    if (planner->number_max == UINT64_MAX)
        return dwal__error_set(
            planner->error, DWAL_EUNSUPPORTED, 0,
            "plan the repair: no segment number is left; move the file with "
            "the highest number out of the directory");
    char name[DWAL__NAME_SIZE];
    uint64_t number = ++planner->number_max;
    dwal__segment_name(number, name);
    struct dwal__repair_step *step = plan_add(planner, DWAL__REPAIR_MAKE, name);
    if (step == NULL)
        return DWAL_ENOMEM;
    step->segment = number;
    step->bytes = DWAL__REPAIR_SEGMENT_SIZE;
    step->header =
        (struct dwal__segment_header){.block_size = DWAL__REPAIR_BLOCK_SIZE,
                                      .uuid = planner->plan->uuid,
                                      .number = number,
                                      .previous = previous,
                                      .epoch = epoch,
                                      .salt = salt,
                                      .segment_size = DWAL__REPAIR_SEGMENT_SIZE,
                                      .created_ns = planner->options->now_ns};
    return 0;
}

/* True if the CUT moves @segment aside when the log ends in @end. */
static bool moved_aside(const struct planner *planner,
                        const struct dwal__found_segment *segment,
                        const struct dwal__found_segment *end) {
    if (segment->live)
        return false;
    bool reset = end != NULL && (end->start.flags & DWAL__START_RESET) != 0;
    return !segment_ours(planner, segment) || end == NULL ||
           segment->number > end->number || reset;
}

/* Sets *@keep to an empty segment that follows @end already and is above all
 * others, or to NULL. */
static int successor_find(struct planner *planner,
                          const struct dwal__found_segment *end,
                          const struct dwal__found_segment **keep) {
    const struct dwal__recovery *recovery = planner->recovery;
    *keep = NULL;
    if (recovery->segment_count == 0)
        return 0;
    const struct dwal__found_segment *top =
        &recovery->segments[recovery->segment_count - 1];
    if (top == end || !segment_ours(planner, top) || top->started ||
        top->number != planner->number_top ||
        top->header.previous != (end != NULL ? end->number : 0))
        return 0;
    struct tail tail;
    int code = tail_scan(planner, top, &tail);
    if (code == 0 && !tail.found)
        *keep = top;
    return code;
}

/* Bad names first, then segments from the highest down. */
static int plan_moves(struct planner *planner,
                      const struct dwal__found_segment *end,
                      const struct dwal__found_segment *keep) {
    const struct dwal__recovery *recovery = planner->recovery;
    for (size_t i = 0; i < planner->name_count; i++) {
        const char *name = planner->names[i];
        uint64_t number;
        if (dwal__name_parse(name, &number) != DWAL__NAME_BAD ||
            strcmp(name, DWAL__REPAIR_FLAG_NAME) == 0)
            continue;
        int code = move_plan(planner, name, 0, file_size(planner, name));
        if (code != 0)
            return code;
    }
    for (size_t i = recovery->segment_count; i-- > 0;) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment == keep || !moved_aside(planner, segment, end))
            continue;
        char name[DWAL__NAME_SIZE];
        dwal__segment_name(segment->number, name);
        int code =
            move_plan(planner, name, segment->number, segment->file_size);
        if (code != 0)
            return code;
    }
    return 0;
}

/* The range of LSNs that a CUT gives up. */
static void cut_lost(struct planner *planner, uint64_t known) {
    const struct dwal__recovery *recovery = planner->recovery;
    struct dwal__repair_plan *plan = planner->plan;
    uint64_t kept = recovery->durable_lsn;
    for (size_t i = 0; kept == 0 && i < recovery->segment_count; i++)
        if (recovery->segments[i].started)
            lsn_raise(&kept, recovery->segments[i].start.trim_lsn);
    plan->lost_from = kept + 1;
    plan->lost_to = known > kept ? known : kept;
    plan->lost_records = plan->lost_to - kept;
}

/* The largest epoch of the log, 1 at least. */
static uint64_t epoch_known(const struct planner *planner) {
    const struct dwal__recovery *recovery = planner->recovery;
    uint64_t epoch = 1;
    for (size_t i = 0; i < recovery->segment_count; i++)
        if (segment_ours(planner, &recovery->segments[i]) &&
            recovery->segments[i].header.epoch > epoch)
            epoch = recovery->segments[i].header.epoch;
    return epoch;
}

/* Where a log begins anew of which nothing is left but that it had given the
 * LSNs up to @known. */
static int plan_reset(struct planner *planner, uint64_t known) {
    int code = plan_segment(planner, 0, epoch_known(planner),
                            planner->options->salts[0]);
    if (code != 0)
        return code;
    struct dwal__repair_plan *plan = planner->plan;
    plan->steps[plan->step_count - 1].reset = true;
    plan->steps[plan->step_count - 1].reset_lsn = known;
    return 0;
}

/* The segments of a CUT: made, wiped, moved, in this order (repair.h). */
static int plan_cut_segments(struct planner *planner, uint64_t known) {
    const struct dwal__recovery *recovery = planner->recovery;
    const struct dwal__found_segment *end = end_segment(recovery);
    const struct dwal__found_segment *keep = NULL;
    uint64_t previous = end != NULL ? end->number : 0;
    uint64_t epoch = end != NULL ? end->header.epoch : 1;
    int code;
    if (end == NULL && known > 0 && known < DWAL__LSN_MAX) {
        code = plan_reset(planner, known);
        previous = planner->number_max;
        epoch = epoch_known(planner);
    } else {
        code = successor_find(planner, end, &keep);
    }
    if (code == 0 && end != NULL)
        code = tail_plan(planner, end);
    if (code == 0)
        code = plan_moves(planner, end, keep);
    if (code == 0 && keep == NULL)
        code =
            plan_segment(planner, previous, epoch, planner->options->salts[1]);
    return code;
}

static int plan_cut(struct planner *planner) {
    planner->plan->kind = DWAL__REPAIR_CUT;
    uuid_choose(planner);
    uint64_t known = lsn_known(planner);
    if (plan_add(planner, DWAL__REPAIR_FLAG, DWAL__REPAIR_FLAG_NAME) == NULL)
        return DWAL_ENOMEM;
    int code = plan_lock(planner);
    if (code == 0)
        code = plan_cut_segments(planner, known);
    if (code != 0)
        return code;
    cut_lost(planner, known);
    if (plan_add(planner, DWAL__REPAIR_UNFLAG, DWAL__REPAIR_FLAG_NAME) == NULL)
        return DWAL_ENOMEM;
    return 0;
}

/* ---- the plan ---- */

static int plan_any(struct planner *planner) {
    int code = names_read(planner);
    if (code == 0)
        code = lock_read(planner);
    if (code != 0)
        return code;
    switch (planner->recovery->verdict) {
    case DWAL__VERDICT_TORN:
        return plan_tails(planner);
    case DWAL__VERDICT_CORRUPT:
        return plan_cut(planner);
    case DWAL__VERDICT_NONE:
    case DWAL__VERDICT_CLEAN:
    case DWAL__VERDICT_UNREADABLE:
        break;
    }
    planner->plan->lost_from = 1;
    return 0;
}

int dwal__repair_plan_make(const struct dwal__repair_options *options,
                           const struct dwal__recovery *recovery,
                           struct dwal__repair_plan *plan,
                           struct dwal_error *error) {
    struct planner planner = {.options = options,
                              .recovery = recovery,
                              .plan = plan,
                              .error = error,
                              .chunk = malloc(CHUNK_SIZE)};
    memset(plan, 0, sizeof *plan);
    int code =
        planner.chunk != NULL ? plan_any(&planner) : out_of_memory(&planner);
    if (code != 0)
        dwal__repair_plan_release(plan);
    for (size_t i = 0; i < planner.name_count; i++)
        free(planner.names[i]);
    free(planner.names);
    free(planner.chunk);
    return code;
}
