/* SPDX-License-Identifier: MIT */
/*
 * Recovery, SPEC 7, from the top: list the directory, make durable what is
 * going to be read, check the structure, find the live end, gather the facts,
 * let the table decide. Two invariants: nothing on disk is changed; and an
 * error of the disk ends in the verdict "unreadable", never in a shorter log.
 */
#include "recover.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "crew.h"
#include "feed.h"
#include "report.h"
#include "scan.h"

#define PROGRESS_BYTES ((uint64_t)4 << 20) /* between two calls of the hook */

struct context {
    const struct dwal__recover_options *options;
    struct dwal__recovery *recovery;
    struct dwal_error *error;
    struct dwal__feed feed;
    struct dwal__listing listing;
    struct dwal__report_first first;

    struct dwal__found_segment **starts; /* by predecessor, then its end */
    size_t start_count;
    struct dwal__found_segment *end; /* NULL: no live end */
    struct dwal__crew crew;          /* what was scanned ahead of its turn */

    uint64_t ahead;    /* bytes read by the crew and not taken yet */
    uint64_t reported; /* bytes, to the progress hook */
    uint64_t expected; /* bytes in all, an estimate */
    bool cancelled;
};

/* ---- failing ---- */

static void fact_set(struct context *context, enum dwal__fact fact) {
    context->recovery->facts.bits |= (uint32_t)fact;
}

static bool fact_get(const struct context *context, enum dwal__fact fact) {
    return (context->recovery->facts.bits & (uint32_t)fact) != 0;
}

static int out_of_memory(struct context *context) {
    return dwal__error_set(context->error, DWAL_ENOMEM, 0,
                           "recover the log: out of memory");
}

/*
 * The disk said @error (negative) about @name at @offset. DWAL_EIO: a fact was
 * noted, and recovery goes on to its verdict. Other codes end recovery.
 */
static int disk_failed(struct context *context, const char *name,
                       uint64_t segment, uint64_t offset, int error) {
    if (error == -ENOMEM)
        return out_of_memory(context);
    if (context->cancelled)
        return dwal__error_set(context->error, DWAL_EAGAIN, 0,
                               "recover the log: cancelled");
    struct dwal__finding finding = {.kind = DWAL__FINDING_FILE_UNREADABLE,
                                    .name = name,
                                    .segment = segment,
                                    .offset = offset,
                                    .os_errno = -error,
                                    .lsn_from = 1};
    dwal__report_finding(&context->options->hooks, &context->first, &finding);
    fact_set(context, DWAL__FACT_READ_ERROR);
    return DWAL_EIO;
}

static int segment_failed(struct context *context, uint64_t number,
                          uint64_t offset, int error) {
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(number, name);
    return disk_failed(context, name, number, offset, error);
}

/* Something about the files is not as SPEC 4 wants it. */
static void structure_bad(struct context *context, enum dwal__finding_kind kind,
                          const char *name,
                          const struct dwal__found_segment *segment) {
    struct dwal__finding finding = {.kind = kind, .name = name, .lsn_from = 1};
    if (segment != NULL) {
        finding.segment = segment->number;
        finding.fault = segment->fault;
    }
    if (kind == DWAL__FINDING_HEADER_NUMBER)
        finding.other = segment->header.number;
    dwal__report_finding(&context->options->hooks, &context->first, &finding);
    fact_set(context, DWAL__FACT_BAD_STRUCTURE);
}

/* ---- the directory ---- */

/* Hands the listing's numbers over to the recovery. */
static int numbers_take(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    struct dwal__listing *listing = &context->listing;
    size_t count = listing->segment_count;
    recovery->segments = calloc(count + 1, sizeof *recovery->segments);
    if (recovery->segments == NULL)
        return out_of_memory(context);
    for (size_t i = 0; i < count; i++)
        recovery->segments[i].number = listing->segments[i];
    recovery->segment_count = count;
    recovery->spares = listing->spares;
    recovery->spare_count = listing->spare_count;
    listing->spares = NULL;
    if (count > 0)
        recovery->number_max = listing->segments[count - 1];
    count = recovery->spare_count;
    if (count > 0 && recovery->spares[count - 1] > recovery->number_max)
        recovery->number_max = recovery->spares[count - 1];
    return DWAL_OK;
}

static int directory_read(struct context *context) {
    const struct dwal__recover_options *options = context->options;
    struct dwal__listing *listing = &context->listing;
    int error = 0;
    if (options->sync)
        error = options->disk->ops->dir_sync(options->disk, options->dir);
    if (error == 0)
        error = dwal__listing_read(listing, options->disk, options->dir);
    if (error != 0)
        return disk_failed(context, NULL, 0, 0, error);
    if (listing->lock)
        fact_set(context, DWAL__FACT_LOCK);
    if (listing->segment_count + listing->bad_count > 0)
        fact_set(context, DWAL__FACT_SEGMENTS);
    return numbers_take(context);
}

/* ---- making durable what is going to be read ---- */

static int file_sync(struct context *context, const char *name,
                     uint64_t segment) {
    struct dwal__disk *disk = context->options->disk;
    int handle =
        disk->ops->open(disk, context->options->dir, name, DWAL__OPEN_READ);
    int error = handle;
    if (handle >= 0) {
        error = disk->ops->sync(disk, handle);
        disk->ops->close(disk, handle);
    }
    return error < 0 ? disk_failed(context, name, segment, 0, error) : DWAL_OK;
}

/* The lowest segment that may hold something unsynced: whatever lies before the
 * watermark of a valid batch is durable. A peek; what it cannot read makes it
 * say more, and is reported when it is read for good. */
static uint64_t unsynced_from(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    for (size_t i = recovery->segment_count; i-- > 0;) {
        struct dwal__found_segment segment = {.number =
                                                  recovery->segments[i].number};
        enum dwal__finding_kind kind;
        uint64_t offset;
        if (dwal__segment_load(&context->feed, &segment, NULL, &kind,
                               &offset) == 0 &&
            segment.started)
            return segment.first_watermark.position.segment;
    }
    return 0;
}

/* Otherwise what is read now might be gone after the next crash, although it
 * was built upon. A sync that fails makes the log unreadable. */
static int files_sync(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    int code = DWAL_OK;
    if (context->listing.lock)
        code = file_sync(context, DWAL__LOCK_NAME, 0);
    uint64_t from = unsynced_from(context);
    for (size_t i = recovery->segment_count; i-- > 0 && code == DWAL_OK;) {
        uint64_t number = recovery->segments[i].number;
        char name[DWAL__NAME_SIZE];
        dwal__segment_name(number, name);
        if (number >= from)
            code = file_sync(context, name, number);
    }
    return code;
}

/* ---- structure, SPEC 7.1 ---- */

static int lock_read(struct context *context) {
    struct dwal__disk *disk = context->options->disk;
    uint8_t bytes[DWAL__LOCK_SIZE + 1]; /* one more shows that it is longer */
    if (!context->listing.lock)
        return DWAL_OK;
    int handle = disk->ops->open(disk, context->options->dir, DWAL__LOCK_NAME,
                                 DWAL__OPEN_READ);
    ssize_t got = handle;
    if (handle >= 0) {
        got = disk->ops->read(disk, handle, bytes, sizeof bytes, 0);
        disk->ops->close(disk, handle);
    }
    if (got < 0)
        return disk_failed(context, DWAL__LOCK_NAME, 0, 0, (int)got);
    context->listing.lock_valid =
        dwal__lock_decode(bytes, (size_t)got, &context->recovery->uuid) ==
        DWAL__FAULT_NONE;
    if (!context->listing.lock_valid) /* [lock-valid] */
        structure_bad(context, DWAL__FINDING_LOCK_BAD, DWAL__LOCK_NAME, NULL);
    return DWAL_OK;
}

static int segment_load(struct context *context,
                        struct dwal__found_segment *segment) {
    struct dwal__recovery *recovery = context->recovery;
    enum dwal__finding_kind kind;
    uint64_t offset;
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(segment->number, name);
    int error = dwal__segment_load(
        &context->feed, segment,
        context->listing.lock_valid ? &recovery->uuid : NULL, &kind, &offset);
    if (error != 0)
        return segment_failed(context, segment->number, offset, error);
    if (segment->well_formed && segment->header.epoch > recovery->epoch_max)
        recovery->epoch_max = segment->header.epoch;
    if (!segment->well_formed && segment->fault != DWAL__FAULT_VERSION)
        structure_bad(context, kind, name, segment);
    return DWAL_OK;
}

/* All files are looked at, whatever is wrong with one. */
static int structure_read(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    int code = lock_read(context);
    bool failed = code == DWAL_EIO;
    for (size_t i = 0; i < context->listing.bad_count; i++)
        structure_bad(context, DWAL__FINDING_NAME_BAD,
                      context->listing.bad_names[i], NULL);
    for (size_t i = 0; i < recovery->segment_count; i++) {
        if (code != DWAL_OK && code != DWAL_EIO)
            return code;
        code = segment_load(context, &recovery->segments[i]);
        failed = failed || code == DWAL_EIO;
    }
    return code == DWAL_OK && failed ? DWAL_EIO : code;
}

/* SPEC 8: a file of another format version says nothing to this dwal, and
 * neither does the rest of the log then. */
static int versions_check(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    for (size_t i = 0; i < recovery->segment_count; i++)
        if (recovery->segments[i].fault == DWAL__FAULT_VERSION)
            return dwal__report_newer(&recovery->segments[i], context->error);
    return DWAL_OK;
}

/* SPEC 7.1: segments without LOCK are an interrupted creation, unless anything
 * shows that there was more. */
static int creation_check(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    if (context->listing.lock || !fact_get(context, DWAL__FACT_SEGMENTS))
        return DWAL_OK;
    bool found = false;
    for (size_t i = 0; i < recovery->segment_count && !found; i++) {
        struct dwal__found_segment *segment = &recovery->segments[i];
        uint64_t offset;
        if (!segment->well_formed)
            continue;
        int error =
            dwal__segment_trace(&context->feed, segment, &found, &offset);
        if (error != 0)
            return segment_failed(context, segment->number, offset, error);
    }
    if (!found && !fact_get(context, DWAL__FACT_BAD_STRUCTURE))
        return DWAL_OK;
    if (found)
        fact_set(context, DWAL__FACT_HEADERS);
    struct dwal__finding finding = {.kind = DWAL__FINDING_LOCK_MISSING,
                                    .name = DWAL__LOCK_NAME,
                                    .lsn_from = 1};
    dwal__report_finding(&context->options->hooks, &context->first, &finding);
    return DWAL_OK;
}

/* ---- the live end, SPEC 7.2 to 7.5 ---- */

static int start_order(const void *a, const void *b) {
    const struct dwal__start *x =
        &(*(struct dwal__found_segment *const *)a)->start;
    const struct dwal__start *y =
        &(*(struct dwal__found_segment *const *)b)->start;
    if (x->previous_segment != y->previous_segment)
        return x->previous_segment < y->previous_segment ? -1 : 1;
    return x->previous_end < y->previous_end
               ? -1
               : x->previous_end > y->previous_end;
}

static int starts_sort(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    size_t count = recovery->segment_count;
    context->starts = malloc((count + 1) * sizeof(void *));
    if (context->starts == NULL)
        return out_of_memory(context);
    for (size_t i = 0; i < count; i++)
        if (recovery->segments[i].started)
            context->starts[context->start_count++] = &recovery->segments[i];
    if (context->start_count > 1)
        qsort(context->starts, context->start_count, sizeof(void *),
              start_order);
    return DWAL_OK;
}

/* The index of the first start that names @number or a higher one. */
static size_t starts_from(const struct context *context, uint64_t number) {
    size_t low = 0, high = context->start_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (context->starts[middle]->start.previous_segment < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool verify_all(const struct context *context) {
    return context->options->verify_bytes == UINT64_MAX;
}

/* SPEC 7.3 [close-last]. Once the live end is known, and until it changes. */
static bool unwritten(const struct context *context,
                      const struct dwal__found_segment *segment) {
    const struct dwal__found_segment *end = context->end;
    return end != NULL && end->run_closed && segment->number > end->number &&
           segment->header.epoch == end->header.epoch;
}

static struct dwal__scan scan_of(const struct context *context,
                                 const struct dwal__found_segment *segment) {
    size_t first = starts_from(context, segment->number);
    size_t last = first;
    while (last < context->start_count &&
           context->starts[last]->start.previous_segment == segment->number)
        last++;
    return (struct dwal__scan){.names = context->starts + first,
                               .name_count = last - first,
                               .whole = verify_all(context),
                               .unwritten = unwritten(context, segment)};
}

/* What a thread of the crew found in @segment; NULL if none looked, or if more
 * is known by now than it knew. */
static struct dwal__crew_job *
crew_find(struct context *context, const struct dwal__found_segment *segment,
          const struct dwal__scan *scan) {
    for (size_t i = 0; i < context->crew.count && !scan->unwritten; i++)
        if (context->crew.jobs[i].segment == segment)
            return &context->crew.jobs[i];
    return NULL;
}

static int crew_take(struct context *context,
                     struct dwal__found_segment *segment,
                     struct dwal__crew_job *job) {
    struct dwal__recovery *recovery = context->recovery;
    recovery->bytes_read += job->bytes_read;
    if (job->error != 0)
        return job->error;
    struct dwal__found_segment before = *segment;
    *segment = job->found;
    segment->fits = before.fits; /* what others found out about it meanwhile */
    segment->fits_known = before.fits_known;
    segment->live = before.live;
    segment->live_end = before.live_end;
    segment->live_lsn = before.live_lsn;
    job->taken = true;
    for (size_t i = 0; i < job->scan.name_count; i++) {
        job->scan.names[i]->fits = job->fits[i];
        job->scan.names[i]->fits_known = true;
    }
    dwal__watermark_raise(&recovery->watermark, &job->evidence);
    return 0;
}

static int segment_scan(void *argument, struct dwal__found_segment *segment) {
    struct context *context = argument;
    struct dwal__scan scan = scan_of(context, segment);
    struct dwal__crew_job *job = crew_find(context, segment, &scan);
    uint64_t offset;
    int error;
    if (job != NULL) {
        error = crew_take(context, segment, job);
        offset = job->offset;
    } else {
        error = dwal__segment_scan(&context->feed, segment, &scan,
                                   &context->recovery->watermark, &offset);
    }
    return error == 0 ? DWAL_OK
                      : segment_failed(context, segment->number, offset, error);
}

/* Scans what is not scanned yet, from @number up, highest first. */
static int segments_scan(struct context *context, uint64_t number) {
    struct dwal__recovery *recovery = context->recovery;
    int code = DWAL_OK;
    for (size_t i = recovery->segment_count; i-- > 0 && code == DWAL_OK;) {
        struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->number < number)
            break;
        if (segment->well_formed && !segment->scanned)
            code = segment_scan(context, segment);
    }
    return code;
}

/* Scans the newest verify_bytes of the live log. Sets *@broken if that shows a
 * step of the walk to be wrong that a watermark had vouched for. */
static int live_verify(struct context *context, bool *broken) {
    struct dwal__recovery *recovery = context->recovery;
    uint64_t left = context->options->verify_bytes;
    struct dwal__found_segment *above = NULL;
    for (size_t i = recovery->segment_count; i-- > 0 && left > 0;) {
        struct dwal__found_segment *segment = &recovery->segments[i];
        if (!segment->live)
            continue;
        int code = DWAL_OK;
        if (!segment->scanned)
            code = segment_scan(context, segment);
        if (code != DWAL_OK)
            return code;
        *broken = above != NULL && !above->fits;
        if (*broken)
            return DWAL_OK;
        left -= segment->live_end < left ? segment->live_end : left;
        above = segment;
    }
    return DWAL_OK;
}

/* Non-zero: cancelled. */
static int progress_tell(struct context *context) {
    const struct dwal__recover_hooks *hooks = &context->options->hooks;
    uint64_t done = context->recovery->bytes_read + context->ahead;
    if (hooks->progress == NULL || done < context->reported + PROGRESS_BYTES)
        return 0;
    context->reported = done;
    if (context->expected < done)
        context->expected = done;
    context->cancelled =
        hooks->progress(hooks->argument, done, context->expected) != 0;
    return context->cancelled;
}

/* Bytes that a thread of the crew has read. They count as read once they are
 * taken; until then they are only shown. */
static int crew_moved(void *argument, uint64_t bytes) {
    struct context *context = argument;
    context->ahead += bytes;
    return progress_tell(context);
}

/* Where all is verified anyway, several threads may look at all segments before
 * recovery asks for them, one by one and in its own order. */
static int crew_scan(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    struct dwal__crew *crew = &context->crew;
    if (!verify_all(context) || context->options->threads < 2)
        return DWAL_OK;
    *crew = (struct dwal__crew){
        .disk = context->options->disk,
        .dir = context->options->dir,
        .threads = context->options->threads,
        .moved = crew_moved,
        .argument = context,
        .jobs = calloc(recovery->segment_count + 1, sizeof *crew->jobs)};
    if (crew->jobs == NULL)
        return out_of_memory(context);
    for (size_t i = recovery->segment_count; i-- > 0;) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->well_formed)
            crew->jobs[crew->count++] = (struct dwal__crew_job){
                .segment = segment, .scan = scan_of(context, segment)};
    }
    int error = dwal__crew_run(crew);
    context->ahead = 0;
    if (context->cancelled)
        return disk_failed(context, NULL, 0, 0, -ECANCELED);
    return error == 0 ? DWAL_OK : out_of_memory(context);
}

/* Each round scans at least one segment more than the one before. What stands
 * above the end has no say in where it is, and is looked at last. */
static int end_find(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    struct dwal__chain chain = {.segments = recovery->segments,
                                .segment_count = recovery->segment_count,
                                .evidence = &recovery->watermark,
                                .scan = segment_scan,
                                .argument = context};
    int code = crew_scan(context);
    bool broken = true;
    while (code == DWAL_OK && broken) {
        broken = false;
        context->end = NULL;
        code = dwal__chain_find(&chain, &context->end);
        if (code == DWAL_OK)
            code = live_verify(context, &broken);
    }
    bool all = context->end == NULL || verify_all(context);
    if (code == DWAL_OK)
        code = segments_scan(context, all ? 0 : context->end->number);
    return code;
}

/* ---- progress ---- */

static int bytes_moved(void *argument, uint64_t bytes) {
    struct context *context = argument;
    context->recovery->bytes_read += bytes;
    return progress_tell(context);
}

/* What will be read: the highest started segment and those above it, and of the
 * others as much as verify_bytes says. */
static void progress_expect(struct context *context) {
    const struct dwal__recovery *recovery = context->recovery;
    uint64_t top = 0, rest = 0;
    bool started = false;
    for (size_t i = recovery->segment_count; i-- > 0;) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        *(started ? &rest : &top) += segment->file_size;
        started = started || segment->started;
    }
    uint64_t verify = context->options->verify_bytes;
    context->expected =
        recovery->bytes_read + top + (rest < verify ? rest : verify);
}

/* ---- facts, SPEC 7.6 and 7.7 ---- */

/* What the rows of SPEC 7.7 from lost-records on have in common. */
static bool files_in_order(const struct dwal__recovery *recovery) {
    uint32_t asked = DWAL__FACT_READ_ERROR | DWAL__FACT_LOCK |
                     DWAL__FACT_SEGMENTS | DWAL__FACT_BAD_STRUCTURE;
    return (recovery->facts.bits & asked) ==
           (DWAL__FACT_LOCK | DWAL__FACT_SEGMENTS);
}

static void files_facts(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        uint64_t previous = segment->header.previous;
        if (!segment->well_formed || previous == 0)
            continue;
        if (previous == recovery->end.segment)
            fact_set(context, DWAL__FACT_SUCCESSOR);
        if (previous > recovery->end.segment &&
            dwal__segment_find(recovery->segments, recovery->segment_count,
                               previous) == NULL) {
            fact_set(context, DWAL__FACT_MISSING_SEGMENT);
            if (recovery->missing == 0 || previous < recovery->missing)
                recovery->missing = previous;
        }
    }
}

/* Returns the largest last LSN in what is left over, 0 if nothing is. */
static uint64_t tail_facts(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    uint64_t largest = 0;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (!segment->scanned || segment->number < recovery->end.segment)
            continue;
        if (dwal__head_bad(recovery, segment))
            fact_set(context, DWAL__FACT_BAD_HEAD);
        bool dead = segment->started && segment != context->end;
        if (dead || segment->left_over)
            fact_set(context, DWAL__FACT_LEFT_OVER);
        if (dead && segment->run_lsn > largest)
            largest = segment->run_lsn;
        if (segment->left_over && segment->left_over_lsn > largest)
            largest = segment->left_over_lsn;
    }
    return largest;
}

static void end_take(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    const struct dwal__found_segment *end = context->end;
    recovery->first_lsn = 1;
    if (end == NULL)
        return;
    fact_set(context, DWAL__FACT_LIVE_END);
    if (end->run_closed)
        fact_set(context, DWAL__FACT_CLOSED);
    recovery->end = (struct dwal__position){end->number, end->run_end};
    recovery->end_link = end->run_link;
    recovery->durable_lsn = end->run_lsn;
    recovery->trim_lsn = end->trim_lsn;
    recovery->first_lsn = end->trim_lsn + 1;
    recovery->metadata_present = end->metadata_size > 0;
    recovery->metadata_size = end->metadata_size;
    if (recovery->metadata_present)
        memcpy(recovery->metadata, end->metadata, end->metadata_size);
}

static void decide(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    end_take(context);
    files_facts(context);
    uint64_t left_over = tail_facts(context);
    if (dwal__position_compare(recovery->watermark.position, recovery->end) >
        0) {
        fact_set(context, DWAL__FACT_EVIDENCE_BEYOND);
        recovery->lost_from = recovery->durable_lsn + 1;
        recovery->lost_to = recovery->watermark.lsn;
    }
    recovery->decision = dwal__decide(recovery->facts);
    recovery->verdict = recovery->decision->verdict;
    if (recovery->verdict != DWAL__VERDICT_TORN)
        return;
    if (fact_get(context, DWAL__FACT_BAD_HEAD))
        left_over = UINT64_MAX;
    recovery->undecidable = left_over > recovery->durable_lsn;
    if (recovery->undecidable) {
        recovery->undecidable_from = recovery->durable_lsn + 1;
        recovery->undecidable_to = left_over;
    }
}

/* SPEC 8: does a run end only because this dwal is too old? */
static int batches_newer(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    if (!files_in_order(recovery))
        return DWAL_OK;
    for (size_t i = 0; i < recovery->segment_count; i++)
        if (recovery->segments[i].scanned && recovery->segments[i].end_newer)
            return dwal__report_newer(&recovery->segments[i], context->error);
    return DWAL_OK;
}

/* ---- all of it ---- */

/* DWAL_OK, and DWAL_EIO with its fact noted, lead to a verdict. */
static int recover_read(struct context *context) {
    int code = directory_read(context);
    if (code == DWAL_OK && context->options->sync)
        code = files_sync(context);
    if (code == DWAL_OK)
        code = structure_read(context);
    if (code == DWAL_OK)
        code = versions_check(context);
    if (code == DWAL_OK)
        code = creation_check(context);
    if (code == DWAL_OK)
        code = starts_sort(context);
    if (code != DWAL_OK)
        return code;
    progress_expect(context);
    code = end_find(context);
    return code == DWAL_OK ? batches_newer(context) : code;
}

static int recover_conclude(struct context *context) {
    struct dwal__recovery *recovery = context->recovery;
    decide(context);
    if (recovery->verdict == DWAL__VERDICT_NONE)
        return dwal__error_set(context->error, DWAL_ENOENT, 0, "%s; %s",
                               recovery->decision->text,
                               recovery->decision->remedy);
    if (fact_get(context, DWAL__FACT_LOCK) &&
        !fact_get(context, DWAL__FACT_SEGMENTS)) {
        struct dwal__finding lost = {.kind = DWAL__FINDING_SEGMENTS_LOST,
                                     .lsn_from = 1};
        dwal__report_finding(&context->options->hooks, NULL, &lost);
    }
    dwal__report_log(&context->options->hooks, recovery, &context->listing);
    if (dwal__recovery_code(recovery) != DWAL_OK)
        dwal__report_error(recovery, &context->first, context->error);
    return DWAL_OK;
}

int dwal__recover(const struct dwal__recover_options *options,
                  struct dwal__recovery *recovery, struct dwal_error *error) {
    struct context context = {
        .options = options, .recovery = recovery, .error = error};
    memset(recovery, 0, sizeof *recovery);
    recovery->lost_from = 1;
    dwal__feed_init(&context.feed, options->disk, options->dir);
    context.feed.moved = bytes_moved;
    context.feed.argument = &context;
    int code = recover_read(&context);
    if (code == DWAL_OK || code == DWAL_EIO)
        code = recover_conclude(&context);
    dwal__feed_release(&context.feed);
    dwal__listing_release(&context.listing);
    dwal__crew_release(&context.crew);
    free(context.starts);
    if (code != DWAL_OK)
        dwal__recovery_release(recovery);
    return code;
}

void dwal__recovery_release(struct dwal__recovery *recovery) {
    for (size_t i = 0; i < recovery->segment_count; i++)
        free(recovery->segments[i].metadata);
    free(recovery->segments);
    free(recovery->spares);
    memset(recovery, 0, sizeof *recovery);
}

bool dwal__recovery_settled(const struct dwal__recovery *recovery) {
    return files_in_order(recovery);
}

int dwal__recovery_code(const struct dwal__recovery *recovery) {
    switch (recovery->verdict) {
    case DWAL__VERDICT_CLEAN:
    case DWAL__VERDICT_TORN:
        return DWAL_OK;
    case DWAL__VERDICT_CORRUPT:
        return DWAL_ECORRUPT;
    case DWAL__VERDICT_UNREADABLE:
        return DWAL_EIO;
    case DWAL__VERDICT_NONE:
        break;
    }
    return DWAL_ENOENT;
}
