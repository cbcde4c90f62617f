/* SPDX-License-Identifier: MIT */
/*
 * The plan to end a corrupt log at its live end: what is moved aside, what is
 * made, and in which order. The invariant: from the flag to its removal the
 * steps depend on nothing that an earlier step takes away (repair.h).
 */
#include <stdio.h>
#include <string.h>

#include "planner.h"

bool dwal__plan_segment_ours(const struct dwal__planner *planner,
                             const struct dwal__found_segment *segment) {
    return segment->well_formed &&
           memcmp(&segment->header.uuid, &planner->plan->uuid,
                  sizeof segment->header.uuid) == 0;
}

/* How much speaks for the UUID of @one: well-formed segments that have it, and
 * before that those of them with records. */
static size_t uuid_weight(const struct dwal__recovery *recovery,
                          const struct dwal__found_segment *one) {
    size_t weight = 0;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *other = &recovery->segments[i];
        if (other->well_formed && memcmp(&other->header.uuid, &one->header.uuid,
                                         sizeof one->header.uuid) == 0)
            weight += other->started ? recovery->segment_count + 1 : 1;
    }
    return weight;
}

/* The UUID that the log has: LOCK's, else that of the segment with the live
 * end, else the one for which most speaks, else a new one. */
void dwal__plan_uuid(struct dwal__planner *planner) {
    const struct dwal__recovery *recovery = planner->recovery;
    if (planner->lock_valid)
        return;
    const struct dwal__found_segment *best = dwal__plan_end(recovery);
    size_t most = best != NULL ? SIZE_MAX : 0;
    for (size_t i = recovery->segment_count; most != SIZE_MAX && i-- > 0;) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        size_t weight =
            segment->well_formed ? uuid_weight(recovery, segment) : 0;
        if (weight <= most)
            continue;
        best = segment;
        most = weight;
    }
    planner->plan->uuid =
        best != NULL ? best->header.uuid : planner->options->uuid;
}

/* A name may be as long as names can be: so much of it leaves room for any
 * suffix. */
#define NAME_LENGTH_MAX (DWAL__REPAIR_NAME_SIZE - 32)

/* True if the target of @step, the last one of the plan, is a file that is
 * there, or will be. Only names that were cut short can be those of two. */
static bool target_taken(const struct dwal__planner *planner,
                         const struct dwal__repair_step *step) {
    if (dwal__plan_name_taken(planner, step->target))
        return true;
    if (strlen(step->name) <= NAME_LENGTH_MAX)
        return false;
    for (const struct dwal__repair_step *other = planner->plan->steps;
         other < step; other++)
        if (strcmp(other->target, step->target) == 0)
            return true;
    return false;
}

/* "….lost", or with a number behind it what is not taken. */
static void target_choose(const struct dwal__planner *planner,
                          struct dwal__repair_step *step) {
    snprintf(step->target, sizeof step->target, "%.*s%s", NAME_LENGTH_MAX,
             step->name, DWAL__REPAIR_LOST_SUFFIX);
    for (unsigned i = 2; target_taken(planner, step); i++)
        snprintf(step->target, sizeof step->target, "%.*s%s%u", NAME_LENGTH_MAX,
                 step->name, DWAL__REPAIR_LOST_SUFFIX, i);
}

static int move_plan(struct dwal__planner *planner, const char *name,
                     uint64_t segment, uint64_t bytes) {
    struct dwal__repair_step *step =
        dwal__plan_add(planner, DWAL__REPAIR_MOVE, name);
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
static uint64_t file_size(const struct dwal__planner *planner,
                          const char *name) {
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
static int plan_lock(struct dwal__planner *planner) {
    if (planner->lock_valid)
        return 0;
    if (planner->lock_exists) {
        int code = move_plan(planner, DWAL__LOCK_NAME, 0,
                             file_size(planner, DWAL__LOCK_NAME));
        if (code != 0)
            return code;
    }
    struct dwal__repair_step *step =
        dwal__plan_add(planner, DWAL__REPAIR_MAKE, DWAL__LOCK_NAME);
    if (step == NULL)
        return DWAL_ENOMEM;
    step->header.uuid = planner->plan->uuid;
    step->bytes = DWAL__LOCK_SIZE;
    return 0;
}

/* A segment above all others that follows @previous. */
static int plan_segment(struct dwal__planner *planner, uint64_t previous,
                        uint64_t epoch, uint64_t salt) {
    if (planner->number_max >= DWAL__NUMBER_MAX)
        return dwal__error_set(
            planner->error, DWAL_EUNSUPPORTED, 0,
            "plan the repair: no segment number is left; move the file with "
            "the highest number out of the directory");
    char name[DWAL__NAME_SIZE];
    uint64_t number = ++planner->number_max;
    dwal__segment_name(number, name);
    struct dwal__repair_step *step =
        dwal__plan_add(planner, DWAL__REPAIR_MAKE, name);
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
static bool moved_aside(const struct dwal__planner *planner,
                        const struct dwal__found_segment *segment,
                        const struct dwal__found_segment *end) {
    if (segment->live)
        return false;
    bool reset = end != NULL && (end->start.flags & DWAL__START_RESET) != 0;
    return !dwal__plan_segment_ours(planner, segment) || end == NULL ||
           segment->number > end->number || reset;
}

/* Sets *@keep to an empty segment that follows @end already and is above all
 * others, or to NULL. */
static int successor_find(struct dwal__planner *planner,
                          const struct dwal__found_segment *end,
                          const struct dwal__found_segment **keep) {
    const struct dwal__recovery *recovery = planner->recovery;
    *keep = NULL;
    if (recovery->segment_count == 0)
        return 0;
    const struct dwal__found_segment *top =
        &recovery->segments[recovery->segment_count - 1];
    if (top == end || !dwal__plan_segment_ours(planner, top) || top->started ||
        top->number != planner->number_top ||
        top->header.previous != (end != NULL ? end->number : 0))
        return 0;
    bool empty;
    int code = dwal__plan_tail_empty(planner, top, &empty);
    if (empty)
        *keep = top;
    return code;
}

/* Bad names first, then segments from the highest down. */
static int plan_moves(struct dwal__planner *planner,
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
static void cut_lost(struct dwal__planner *planner, uint64_t known) {
    const struct dwal__recovery *recovery = planner->recovery;
    struct dwal__repair_plan *plan = planner->plan;
    uint64_t kept = recovery->durable_lsn;
    for (size_t i = 0; kept == 0 && i < recovery->segment_count; i++)
        if (recovery->segments[i].started &&
            recovery->segments[i].start.trim_lsn > kept)
            kept = recovery->segments[i].start.trim_lsn;
    plan->lost_from = kept + 1;
    plan->lost_to = known > kept ? known : kept;
    plan->lost_records = plan->lost_to - kept;
}

/* The epoch of a repair that writes a batch, which is an opening that wrote
 * (SPEC 2): above all of the log. */
static uint64_t epoch_new(const struct dwal__planner *planner) {
    const struct dwal__recovery *recovery = planner->recovery;
    uint64_t epoch = 0;
    for (size_t i = 0; i < recovery->segment_count; i++)
        if (dwal__plan_segment_ours(planner, &recovery->segments[i]) &&
            recovery->segments[i].header.epoch > epoch)
            epoch = recovery->segments[i].header.epoch;
    return epoch < UINT64_MAX ? epoch + 1 : epoch;
}

/* Where a log begins anew of which nothing is left but that it had given the
 * LSNs up to @known. */
static int plan_reset(struct dwal__planner *planner, uint64_t known) {
    int code = plan_segment(planner, 0, epoch_new(planner),
                            planner->options->salts[0]);
    if (code != 0)
        return code;
    struct dwal__repair_plan *plan = planner->plan;
    plan->steps[plan->step_count - 1].reset = true;
    plan->steps[plan->step_count - 1].reset_lsn = known;
    return 0;
}

/* The segments of a CUT: made, wiped, moved, in this order (repair.h). */
static int plan_cut_segments(struct dwal__planner *planner, uint64_t known) {
    const struct dwal__recovery *recovery = planner->recovery;
    const struct dwal__found_segment *end = dwal__plan_end(recovery);
    const struct dwal__found_segment *keep = NULL;
    uint64_t previous = end != NULL ? end->number : 0;
    uint64_t epoch = end != NULL ? end->header.epoch : 1;
    int code;
    if (planner->number_max < previous)
        planner->number_max = previous;
    if (end == NULL && known > 0 && known < DWAL__LSN_MAX) {
        code = plan_reset(planner, known);
        previous = planner->number_max;
        epoch = epoch_new(planner);
    } else {
        code = successor_find(planner, end, &keep);
    }
    if (code == 0 && end != NULL)
        code = dwal__plan_tail(planner, end);
    if (code == 0)
        code = plan_moves(planner, end, keep);
    if (code == 0 && keep == NULL)
        code =
            plan_segment(planner, previous, epoch, planner->options->salts[1]);
    return code;
}

int dwal__plan_cut(struct dwal__planner *planner) {
    planner->plan->kind = DWAL__REPAIR_CUT;
    uint64_t known;
    int code = dwal__plan_lsn_known(planner, &known);
    if (code != 0)
        return code;
    if (dwal__plan_add(planner, DWAL__REPAIR_FLAG, DWAL__REPAIR_FLAG_NAME) ==
        NULL)
        return DWAL_ENOMEM;
    code = plan_lock(planner);
    if (code == 0)
        code = plan_cut_segments(planner, known);
    if (code != 0)
        return code;
    cut_lost(planner, known);
    if (dwal__plan_add(planner, DWAL__REPAIR_UNFLAG, DWAL__REPAIR_FLAG_NAME) ==
        NULL)
        return DWAL_ENOMEM;
    return 0;
}
