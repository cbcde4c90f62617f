/* SPDX-License-Identifier: MIT */
/*
 * The keeper: one thread that makes segments ahead of need, fills them with
 * zeros, and retires those that are dead or trimmed.
 *
 * Invariants, each a rule of SPEC 11:
 *   - a .wal file has its full size and a valid, synced header before it gets
 *     that name, and the directory is synced before it is used [file-made];
 *   - files are renamed one at a time, dead ones from the highest number down,
 *     trimmed ones from the lowest up, the directory synced after each; only
 *     then is a file rewritten or removed [retire];
 *   - zeros are written only into segments that are not in use: a chunk is
 *     announced (segment.filling) under place_lock, and a segment with a chunk
 *     on its way is not entered.
 *
 * It sleeps without a timeout while there is nothing to do. An error that only
 * means "no room" is told to who waits for a segment, who asks again; any other
 * makes the log fail. Others keep the deadline of what it does (watch.c).
 *
 * Full disk: two spares of full size are in reserve. Segments for appends are
 * made only while the reserve is whole, and not from it; a trim that will free
 * a segment may take it. So there is always room to open the log and trim it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"
#include "log.h"

/* Spares kept back for a full disk: a trim may take two segments, the first
 * ones of an open. Nothing else gets them. */
#define SPARES_RESERVED 2u
/* With those that will be used again: as many as were made from one trim to
 * the next, so that a log that is trimmed as it goes makes no new files. */
#define SPARES_MAX 64u
#define SPARES_MIN 4u
#define FILL_CHUNK (128u << 10)
#define FILL_PAUSE_NS (DWAL__NS_PER_MS / 4)
/* Up to this size the first segment is filled before it is used. */
#define FILL_FIRST_MAX (UINT64_C(64) << 20)
/* Larger batches than this gain nothing from zeros (bench/). */
#define FILL_BATCH_MAX (UINT64_C(64) << 10)

struct dwal__files {
    struct dwal *log;
    pthread_t thread;
    bool started;
    _Atomic uint32_t exited; /* futex */
    _Atomic bool stop;
    _Atomic bool stopped;
    _Atomic uint32_t wake; /* futex: look again */

    pthread_mutex_t lock;
    /* lock: */
    uint64_t requests;       /* of retiring, ever */
    _Atomic uint32_t served; /* futex: bumped when requests were served */
    uint64_t requests_served;
    bool start_durable;     /* dead files may go */
    uint64_t retire_before; /* trimmed files below this segment may go … */
    uint64_t retire_lsn;    /* … if they end at or below this LSN */
    struct dwal__cut cut;   /* flags != 0: not looked at yet */
    uint64_t cut_segment;   /* that with its start */

    /* The keeper's own: */
    uint64_t next_number;
    uint64_t previous;        /* what the next segment follows */
    struct dwal__known *live; /* not in use any more, ascending */
    size_t live_count, live_size;
    bool look;      /* for what need not be kept any more */
    uint64_t cuts;  /* that it has heard of */
    uint64_t asks;  /* for a segment, that it has looked for */
    uint64_t *dead; /* ascending */
    size_t dead_count, dead_size;
    uint64_t spares[SPARES_MAX];
    size_t spare_count;
    size_t spares_wanted;
    size_t made;          /* segments since the last trim that freed any */
    uint64_t trimmed_for; /* retire_before of that trim */
    uint64_t *unwanted;   /* spares found at open that are too many */
    size_t unwanted_count;
    uint8_t *block; /* for headers */
    uint8_t *zeros; /* FILL_CHUNK */
};

/* Says what it is about to ask of the kernel. When that is the first after a
 * pause, somebody has to be awake who keeps the deadline. */
static void doing(struct dwal__files *files, const char *what) {
    struct dwal *log = files->log;
    bool first = atomic_load(&log->file_work.since_ns) == 0;
    dwal__watch_begin(&log->file_work, what, dwal__now_ns());
    if (first && files->started)
        dwal__committer_kick(log);
}

/* Nothing more for now: who watched may sleep without a deadline again. */
static void done(struct dwal__files *files) {
    if (atomic_load(&files->log->file_work.since_ns) == 0)
        return;
    dwal__watch_end(&files->log->file_work);
    if (files->started)
        dwal__committer_kick(files->log);
}

/* Tells the stats what only the keeper knows. */
static void files_meter(struct dwal__files *files) {
    struct dwal__meters *meters = files->log->meters;
    dwal__meter_set(&meters->live, files->live_count);
    dwal__meter_set(&meters->spares, files->spare_count);
}

/* ---- making a segment ---- */

static bool is_no_room(int error) {
    return error == ENOSPC || error == EDQUOT || error == EMFILE ||
           error == ENFILE || error == ENOMEM || error == EFBIG;
}

static int file_flags(const struct dwal *log) {
    return DWAL__OPEN_WRITE | (log->direct ? DWAL__OPEN_DIRECT : 0);
}

/* The newest spare that fits; those that do not are removed. Returns the
 * handle and its name, -ENOENT if there are no more than @kept, or -errno. */
static int spare_take(struct dwal__files *files, size_t kept,
                      char name[DWAL__NAME_SIZE]) {
    struct dwal *log = files->log;
    const struct dwal__disk_ops *ops = log->disk->ops;
    while (files->spare_count > kept) {
        dwal__spare_name(files->spares[files->spare_count - 1], name);
        doing(files, "opening a spare file");
        int handle = ops->open(log->disk, log->dir, name, file_flags(log));
        uint64_t size;
        if (handle >= 0 && ops->size(log->disk, handle, &size) == 0 &&
            size == log->options.segment_size) {
            files->spare_count--;
            dwal__meter_add(&log->meters->segments_recycled, 1);
            return handle;
        }
        if (handle >= 0)
            ops->close(log->disk, handle);
        doing(files, "removing a spare file");
        int error = ops->unlink(log->disk, log->dir, name);
        if (error < 0 && error != -ENOENT)
            return error;
        files->spare_count--;
    }
    return -ENOENT;
}

/* A file that came to nothing. One that cannot be removed keeps its number, and
 * is a spare like any other for the next open. */
static void spare_drop(struct dwal__files *files, const char *name) {
    struct dwal *log = files->log;
    uint64_t number;
    int error = log->disk->ops->unlink(log->disk, log->dir, name);
    if (error < 0 && error != -ENOENT &&
        dwal__name_parse(name, &number) == DWAL__NAME_SPARE &&
        number >= files->next_number)
        files->next_number = number + 1;
}

/* A new file of full size under a spare name. The handle, or -errno. */
static int spare_make(struct dwal__files *files, uint64_t number,
                      char name[DWAL__NAME_SIZE]) {
    struct dwal *log = files->log;
    const struct dwal__disk_ops *ops = log->disk->ops;
    dwal__spare_name(number, name);
    doing(files, "creating a file");
    int handle = ops->open(log->disk, log->dir, name,
                           file_flags(log) | DWAL__OPEN_CREATE);
    if (handle < 0)
        return handle;
    doing(files, "allocating a file");
    int error = ops->allocate(log->disk, handle, log->options.segment_size);
    if (error == 0)
        return handle;
    ops->close(log->disk, handle);
    spare_drop(files, name);
    return error;
}

/* A file that will be <number>.wal: a spare, or a new one; where there is no
 * room for that, @urgent, one of the reserve. The handle and its present name,
 * or -errno. */
static int raw_file(struct dwal__files *files, uint64_t number, bool urgent,
                    char name[DWAL__NAME_SIZE]) {
    int handle = spare_take(files, SPARES_RESERVED, name);
    if (handle == -ENOENT)
        handle = spare_make(files, number, name);
    if (handle >= 0 || !urgent || !is_no_room(-handle))
        return handle;
    int reserved = spare_take(files, 0, name);
    return reserved == -ENOENT ? handle : reserved;
}

/* Completes the reserve. 0 or -errno. */
static int reserve_fill(struct dwal__files *files) {
    struct dwal *log = files->log;
    const struct dwal__disk_ops *ops = log->disk->ops;
    while (files->spare_count < SPARES_RESERVED) {
        char name[DWAL__NAME_SIZE];
        int handle = spare_make(files, files->next_number, name);
        if (handle < 0)
            return handle;
        doing(files, "syncing a spare file");
        int error = ops->sync(log->disk, handle);
        ops->close(log->disk, handle);
        if (error == 0) {
            doing(files, "syncing the directory");
            error = ops->dir_sync(log->disk, log->dir);
        }
        if (error < 0) {
            spare_drop(files, name);
            return error;
        }
        files->spares[files->spare_count++] = files->next_number++;
    }
    return 0;
}

/* Header and sync: everything before the name. 0 or -errno. */
static int file_prepare(struct dwal__files *files,
                        struct dwal__segment *segment) {
    struct dwal *log = files->log;
    const struct dwal__disk_ops *ops = log->disk->ops;
    struct dwal__segment_header *header = &segment->header;
    int error = 0;
    /* Not 0 in the half that records carry: zeros never look like a record. */
    while (error == 0 && (uint32_t)header->salt == 0)
        error = dwal__random(&header->salt, sizeof header->salt);
    if (error < 0)
        return error;
    header->crc = dwal__segment_header_encode(header, files->block);
    doing(files, "writing a segment header");
    ssize_t written = ops->write(log->disk, segment->handle, files->block,
                                 header->block_size, 0);
    if (written != (ssize_t)header->block_size)
        return written < 0 ? (int)written : -EIO;
    if (ops->written_until(log->disk, segment->handle, &segment->filled) != 0)
        segment->filled = 0;
    segment->filled -= segment->filled % header->block_size;
    if (segment->filled < header->block_size)
        segment->filled = header->block_size;
    doing(files, "syncing a segment header");
    return ops->sync(log->disk, segment->handle);
}

/* SPEC 11.1. 0 or -errno; *@segment is set on 0. */
static int segment_make(struct dwal__files *files, bool urgent,
                        struct dwal__segment **segment) {
    struct dwal *log = files->log;
    const struct dwal__disk_ops *ops = log->disk->ops;
    char spare[DWAL__NAME_SIZE], name[DWAL__NAME_SIZE];
    struct dwal__segment *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    made->handle = raw_file(files, files->next_number, urgent, spare);
    int error = made->handle;
    if (error < 0)
        goto free_segment;
    uint64_t number = files->next_number;
    made->header =
        (struct dwal__segment_header){.block_size = log->block_size,
                                      .uuid = log->uuid,
                                      .number = number,
                                      .previous = files->previous,
                                      .epoch = log->epoch,
                                      .segment_size = log->options.segment_size,
                                      .created_ns = dwal__wall_ns()};
    error = file_prepare(files, made);
    if (error < 0)
        goto remove_file;
    dwal__segment_name(number, name);
    doing(files, "renaming a segment file");
    error = ops->rename(log->disk, log->dir, spare, name);
    if (error < 0)
        goto remove_file;
    /* From here on the number is used up, whatever happens. */
    files->next_number++;
    doing(files, "syncing the directory");
    error = ops->dir_sync(log->disk, log->dir);
    if (error < 0) {
        /* Whether the name is there is not known: final, also without room. */
        error = is_no_room(-error) ? -EIO : error;
        goto close_file;
    }
    files->previous = number;
    files->made++;
    dwal__meter_add(&log->meters->segments_made, 1);
    *segment = made;
    return 0;

remove_file:
    spare_drop(files, spare);
close_file:
    ops->close(log->disk, made->handle);
free_segment:
    free(made);
    return error;
}

/* ---- zeros ---- */

static bool fill_pays(struct dwal *log) {
    uint64_t batches =
        atomic_load_explicit(&log->batches_written, memory_order_relaxed);
    uint64_t bytes =
        atomic_load_explicit(&log->bytes_written, memory_order_relaxed);
    return batches == 0 || bytes / batches <= FILL_BATCH_MAX;
}

/* Writes the next chunk of zeros; 0, 1 when all is written, or -errno. */
static int fill_chunk(struct dwal__files *files,
                      struct dwal__segment *segment) {
    struct dwal *log = files->log;
    const struct dwal__disk_ops *ops = log->disk->ops;
    uint64_t left = segment->header.segment_size - segment->filled;
    doing(files, "writing zeros ahead");
    if (left == 0) {
        int error = ops->sync(log->disk, segment->handle);
        return error < 0 ? error : 1;
    }
    size_t size = left < FILL_CHUNK ? (size_t)left : FILL_CHUNK;
    ssize_t written = ops->write(log->disk, segment->handle, files->zeros, size,
                                 segment->filled);
    if (written != (ssize_t)size)
        return written < 0 ? (int)written : -EIO;
    segment->filled += size;
    dwal__meter_add(&log->meters->zero_bytes, size);
    return 0;
}

static void fill_failed(struct dwal *log, struct dwal__segment *segment,
                        int error) {
    /* Without zeros commits into it are slower, not wrong; space is there. */
    if (is_no_room(-error))
        return;
    dwal__fail(log, -error, segment->header.number, segment->filled,
               "segment %llu: writing zeros ahead",
               (unsigned long long)segment->header.number);
}

/* The prepared segment that should be filled next, announced; or NULL. */
static struct dwal__segment *fill_claim(struct dwal *log, bool *urgent) {
    struct dwal__segment *claimed = NULL;
    pthread_mutex_lock(&log->place_lock);
    *urgent = atomic_load(&log->room_waiters) > 0;
    /* Who waits for a segment does not wait for zeros in it. */
    for (unsigned i = 0; i < log->prepared_count && claimed == NULL; i++)
        if (!log->prepared[i]->fill_done && !(i == 0 && *urgent))
            claimed = log->prepared[i];
    if (claimed != NULL)
        claimed->filling = true;
    pthread_mutex_unlock(&log->place_lock);
    return claimed;
}

/* One chunk into one prepared segment. True if there was something to do. */
static bool fill_step(struct dwal__files *files) {
    struct dwal *log = files->log;
    bool urgent;
    if (atomic_load(&log->failed) || !fill_pays(log))
        return false;
    struct dwal__segment *segment = fill_claim(log, &urgent);
    if (segment == NULL)
        return false;
    int result = fill_chunk(files, segment);
    pthread_mutex_lock(&log->place_lock);
    segment->filling = false;
    segment->fill_done = result != 0;
    dwal__place_wake_head(log);
    pthread_mutex_unlock(&log->place_lock);
    if (result < 0)
        fill_failed(log, segment, result);
    /* Paced, so that commits keep most of the disk. */
    if (!urgent && result == 0)
        dwal__sleep_ns(FILL_PAUSE_NS);
    return true;
}

/* ---- preparing ---- */

/* DWAL_SYNC_AUTO: decides for the log's lifetime, by measuring in the last
 * block of a segment that is not in use yet. Separate syncs have to be clearly
 * faster: they are one more operation for each batch. 0 or -errno. */
static int sync_choose(struct dwal__files *files,
                       struct dwal__segment *segment) {
    struct dwal *log = files->log;
    struct dwal__sync_cost cost;
    if (log->options.sync != DWAL_SYNC_AUTO)
        return 0;
    doing(files, "measuring the ways to sync");
    int failed = dwal__sync_measure(
        log->disk, segment->handle, files->zeros, log->block_size,
        segment->header.segment_size - log->block_size, &cost);
    if (failed < 0 || cost.fdsync_ns == 0)
        return failed;
    log->sync_cost = cost;
    if (cost.volatile_cache == 0 && cost.dsync_ns != INT64_MAX)
        return 0;
    log->dsync = cost.fdsync_ns >= cost.dsync_ns - cost.dsync_ns / 8;
    return 0;
}

/* Everything of a segment that is first in its log or epoch, at once. */
static int fill_first(struct dwal__files *files,
                      struct dwal__segment *segment) {
    int result = 0;
    if (segment->header.segment_size <= FILL_FIRST_MAX) {
        while (result == 0)
            result = fill_chunk(files, segment);
        segment->fill_done = true;
    }
    return result < 0 ? result : sync_choose(files, segment);
}

/* What a try to prepare a segment is about. */
struct wish {
    uint64_t wanted; /* the requests that it answers */
    uint64_t asks;   /* of them, but for those of trims, ever */
    bool opening;    /* no segment was used yet since the log was opened */
    bool first;      /* … nor prepared */
    bool trims;      /* a trim waits for it … */
    uint64_t trim_lsn;
};

static bool prepare_wanted(struct dwal *log, struct wish *wish) {
    pthread_mutex_lock(&log->place_lock);
    wish->wanted = log->prepare_wanted;
    wish->asks = log->space_asks;
    wish->opening = log->segment == NULL;
    wish->first = wish->opening && log->prepared_count == 0;
    wish->trims = dwal__place_trim_waits(log, &wish->trim_lsn);
    bool needed =
        log->prepared_count < DWAL__PREPARED_MAX && !log->shut &&
        (log->prepare_errno == 0 || log->prepare_wanted != log->prepare_tried);
    pthread_mutex_unlock(&log->place_lock);
    return needed && !atomic_load(&log->failed);
}

/* The segment that was left first, of those that were not taken over yet, in
 * its place in the list; place_lock held. */
static struct dwal__segment **left_oldest(struct dwal *log) {
    struct dwal__segment **at = &log->left;
    while (*at != NULL && (*at)->next != NULL)
        at = &(*at)->next;
    return at;
}

/* True if a trim up to @trim_lsn lets a segment go: the oldest one, which is
 * the one in use if there is no other. */
static bool trim_frees(struct dwal__files *files, uint64_t trim_lsn) {
    struct dwal *log = files->log;
    if (files->live_count > 0)
        return files->live[0].last_lsn <= trim_lsn;
    pthread_mutex_lock(&log->place_lock);
    const struct dwal__segment *oldest = *left_oldest(log);
    uint64_t last_lsn = oldest != NULL ? oldest->last_lsn : log->next_lsn - 1;
    pthread_mutex_unlock(&log->place_lock);
    return last_lsn <= trim_lsn;
}

/* A segment for @wish, within what the reserve allows. 0 or -errno. */
static int wish_grant(struct dwal__files *files, const struct wish *wish,
                      struct dwal__segment **segment) {
    bool urgent = wish->trims && trim_frees(files, wish->trim_lsn);
    int error = wish->opening ? 0 : reserve_fill(files);
    if (error < 0 && !(urgent && is_no_room(-error)))
        return error;
    return segment_make(files, urgent, segment);
}

/* True if a segment was wanted, whether or not one could be made. */
static bool prepare_step(struct dwal__files *files) {
    struct dwal *log = files->log;
    struct wish wish;
    if (!prepare_wanted(log, &wish))
        return false;
    struct dwal__segment *segment = NULL;
    int error = wish_grant(files, &wish, &segment);
    if (error == 0 && wish.first) {
        error = fill_first(files, segment);
        if (error < 0)
            fill_failed(log, segment, error);
        error = 0;
    }
    /* Before who waits for the answer takes it for a lack of room. */
    if (error < 0 && !is_no_room(-error))
        dwal__fail(log, -error, files->next_number, 0,
                   "segment %llu: making the file",
                   (unsigned long long)files->next_number);
    /* Not for a trim that got none: it would be what is tried next. */
    files->look |= error < 0 && wish.asks != files->asks;
    files->asks = wish.asks;
    pthread_mutex_lock(&log->place_lock);
    log->prepare_errno = -error;
    log->prepare_tried = wish.wanted;
    if (segment != NULL)
        log->prepared[log->prepared_count++] = segment;
    dwal__place_wake_head(log);
    pthread_mutex_unlock(&log->place_lock);
    return true;
}

/* There may be room now. */
static void prepare_again(struct dwal *log) {
    pthread_mutex_lock(&log->place_lock);
    log->prepare_errno = 0;
    pthread_mutex_unlock(&log->place_lock);
}

void dwal__files_want(struct dwal *log) {
    log->prepare_wanted++;
    atomic_fetch_add(&log->files->wake, 1);
    dwal__futex_wake(&log->files->wake, 1);
}

/* ---- retiring ---- */

static int live_add(struct dwal__files *files,
                    const struct dwal__known *known) {
    if (files->live_count == files->live_size) {
        size_t size = files->live_size == 0 ? 64 : 2 * files->live_size;
        struct dwal__known *grown =
            realloc(files->live, size * sizeof *files->live);
        if (grown == NULL)
            return -ENOMEM;
        files->live = grown;
        files->live_size = size;
    }
    files->live[files->live_count++] = *known;
    return 0;
}

/* Takes over the segments that are not in use any more, oldest first. */
static bool left_step(struct dwal__files *files) {
    struct dwal *log = files->log;
    struct dwal__segment *oldest = NULL;
    pthread_mutex_lock(&log->place_lock);
    struct dwal__segment **at = left_oldest(log);
    if (*at != NULL && (*at)->last_sequence <= atomic_load(&log->completed)) {
        oldest = *at;
        *at = NULL;
    }
    pthread_mutex_unlock(&log->place_lock);
    if (oldest == NULL)
        return false;
    log->disk->ops->close(log->disk, oldest->handle);
    struct dwal__known known = {.number = oldest->header.number,
                                .last_lsn = oldest->last_lsn,
                                .size = oldest->header.segment_size,
                                .left_ns = oldest->left_ns};
    files->look = true;
    if (live_add(files, &known) != 0)
        dwal__tell(log, DWAL_LOG_WARNING,
                   "%s: out of memory: segment %llu will not be recycled "
                   "before the next open",
                   log->path, (unsigned long long)oldest->header.number);
    free(oldest);
    return true;
}

/* Adds one to the dead, in its place. */
static int dead_add(struct dwal__files *files, uint64_t number) {
    if (files->dead_count == files->dead_size) {
        size_t size = 2 * files->dead_size;
        uint64_t *grown = realloc(files->dead, size * sizeof *files->dead);
        if (grown == NULL)
            return -ENOMEM;
        files->dead = grown;
        files->dead_size = size;
    }
    size_t at = files->dead_count++;
    for (; at > 0 && files->dead[at - 1] > number; at--)
        files->dead[at] = files->dead[at - 1];
    files->dead[at] = number;
    return 0;
}

/* Parts what a cut dropped from what it kept. All segments that were left before
 * it are known by then: left_step comes first. */
static bool cut_step(struct dwal__files *files) {
    pthread_mutex_lock(&files->lock);
    struct dwal__cut cut = files->cut;
    uint64_t below = files->cut_segment;
    files->cut.flags = 0;
    pthread_mutex_unlock(&files->lock);
    if (cut.flags == 0)
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < files->live_count; i++) {
        struct dwal__known known = files->live[i];
        if (known.number == cut.kept.position.segment)
            known.last_lsn = cut.kept.lsn;
        if (known.number <= cut.kept.position.segment || known.number >= below)
            files->live[kept++] = known;
        else if (dead_add(files, known.number) != 0)
            dwal__tell(files->log, DWAL_LOG_WARNING,
                       "%s: out of memory: segment %llu will not be recycled "
                       "before the next open",
                       files->log->path, (unsigned long long)known.number);
    }
    files->live_count = kept;
    files->cuts++;
    files->look = true;
    return true;
}

/* <n>.wal becomes a spare, or goes. 0 or -errno. */
static int file_retire(struct dwal__files *files, uint64_t number) {
    struct dwal *log = files->log;
    const struct dwal__disk_ops *ops = log->disk->ops;
    char name[DWAL__NAME_SIZE], spare[DWAL__NAME_SIZE];
    dwal__segment_name(number, name);
    dwal__spare_name(number, spare);
    doing(files, "renaming a segment file");
    int error = ops->rename(log->disk, log->dir, name, spare);
    if (error == -ENOENT)
        return 0;
    /* The directory has no room for another name. */
    bool remove = error < 0 && is_no_room(-error);
    if (remove)
        error = ops->unlink(log->disk, log->dir, name);
    doing(files, "syncing the directory");
    if (error == 0)
        error = ops->dir_sync(log->disk, log->dir);
    if (error < 0 || remove)
        return error;
    if (files->spare_count < files->spares_wanted) {
        files->spares[files->spare_count++] = number;
        return 0;
    }
    doing(files, "removing a spare file");
    return ops->unlink(log->disk, log->dir, spare);
}

static bool retire_done(struct dwal__files *files, uint64_t number, int error) {
    if (error == 0) {
        dwal__meter_add(&files->log->meters->segments_retired, 1);
        prepare_again(files->log);
    }
    if (error < 0)
        dwal__fail(files->log, -error, number, 0,
                   "segment %llu: retiring the file",
                   (unsigned long long)number);
    return error == 0;
}

/* A trim frees its first file: how many spares are worth keeping. Less than
 * before only by and by. */
static void spares_plan(struct dwal__files *files, uint64_t before) {
    if (before == files->trimmed_for)
        return;
    size_t wanted = SPARES_RESERVED + files->made;
    if (wanted < files->spares_wanted - files->spares_wanted / 4)
        wanted = files->spares_wanted - files->spares_wanted / 4;
    if (wanted < SPARES_MIN)
        wanted = SPARES_MIN;
    files->spares_wanted = wanted < SPARES_MAX ? wanted : SPARES_MAX;
    files->made = 0;
    files->trimmed_for = before;
}

/* One file. True if there was one to retire. */
static bool retire_step(struct dwal__files *files) {
    pthread_mutex_lock(&files->lock);
    bool start_durable = files->start_durable;
    uint64_t before = files->retire_before;
    uint64_t lsn = files->retire_lsn;
    pthread_mutex_unlock(&files->lock);
    if (atomic_load(&files->log->failed))
        return false;
    if (start_durable && files->dead_count > 0) {
        uint64_t number = files->dead[files->dead_count - 1];
        files->dead_count--;
        return retire_done(files, number, file_retire(files, number));
    }
    if (start_durable && files->unwanted_count > 0) {
        doing(files, "removing a spare file");
        char spare[DWAL__NAME_SIZE];
        dwal__spare_name(files->unwanted[--files->unwanted_count], spare);
        files->log->disk->ops->unlink(files->log->disk, files->log->dir, spare);
        return true;
    }
    if (files->live_count > 0 && files->live[0].number < before &&
        files->live[0].last_lsn <= lsn) {
        uint64_t number = files->live[0].number;
        spares_plan(files, before);
        files->live_count--;
        memmove(files->live, files->live + 1,
                files->live_count * sizeof *files->live);
        return retire_done(files, number, file_retire(files, number));
    }
    return false;
}

/* Others trim: that may take waiting, for a segment that the keeper makes. */
static bool look_step(struct dwal__files *files) {
    if (!files->look)
        return false;
    files->look = false;
    dwal__retention_look(files->log, files->live, files->live_count,
                         files->cuts);
    return true;
}

void dwal__files_retire(struct dwal *log,
                        const struct dwal__retirable *retirable) {
    struct dwal__files *files = log->files;
    pthread_mutex_lock(&files->lock);
    if (retirable->start)
        files->start_durable = true;
    if (retirable->trim_lsn != 0) {
        files->retire_before = retirable->before;
        files->retire_lsn = retirable->trim_lsn;
    }
    if (retirable->cut.flags != 0) {
        files->cut = retirable->cut;
        files->cut_segment = retirable->cut_segment;
    }
    files->requests++;
    pthread_mutex_unlock(&files->lock);
    atomic_fetch_add(&files->wake, 1);
    dwal__futex_wake(&files->wake, 1);
}

bool dwal__files_settle(struct dwal *log, int64_t deadline) {
    struct dwal__files *files = log->files;
    pthread_mutex_lock(&files->lock);
    uint64_t wanted = files->requests;
    pthread_mutex_unlock(&files->lock);
    for (;;) {
        uint32_t seen = atomic_load(&files->served);
        pthread_mutex_lock(&files->lock);
        bool done = files->requests_served >= wanted;
        pthread_mutex_unlock(&files->lock);
        if (done || atomic_load(&log->failed) || atomic_load(&files->stopped))
            return done;
        int64_t now = dwal__now_ns();
        int64_t look = dwal__watch(log, now);
        if (now >= deadline)
            return false;
        dwal__futex_wait(&files->served, seen,
                         look < deadline ? look : deadline);
    }
}

void dwal__files_failed(struct dwal *log) {
    if (log->files == NULL)
        return;
    atomic_fetch_add(&log->files->served, 1);
    dwal__futex_wake(&log->files->served, INT32_MAX);
}

/* ---- the thread ---- */

/* The requests that were there before the last look found nothing to do. */
static void requests_serve(struct dwal__files *files, uint64_t seen) {
    pthread_mutex_lock(&files->lock);
    bool news = files->requests_served < seen;
    if (news)
        files->requests_served = seen;
    pthread_mutex_unlock(&files->lock);
    if (!news)
        return;
    atomic_fetch_add(&files->served, 1);
    dwal__futex_wake(&files->served, INT32_MAX);
}

static void *keeper_main(void *argument) {
    struct dwal *log = argument;
    struct dwal__files *files = log->files;
    for (;;) {
        /* Before stop is looked at, which is set before the wake-up. */
        uint32_t seen = atomic_load(&files->wake);
        if (atomic_load(&files->stop))
            break;
        pthread_mutex_lock(&files->lock);
        uint64_t requests = files->requests;
        pthread_mutex_unlock(&files->lock);
        files_meter(files);
        /* In this order: who waits for a segment first, where a spare is at
         * hand; else a file that is retired may be the next segment. */
        bool busy =
            left_step(files) || cut_step(files) || look_step(files) ||
            (files->spare_count > SPARES_RESERVED && prepare_step(files)) ||
            retire_step(files) || prepare_step(files);
        if (busy)
            continue;
        requests_serve(files, requests);
        if (fill_step(files))
            continue;
        done(files);
        dwal__futex_wait(&files->wake, seen, DWAL__NEVER);
    }
    done(files);
    atomic_store(&files->stopped, true);
    atomic_fetch_add(&files->served, 1);
    dwal__futex_wake(&files->served, INT32_MAX);
    dwal__thread_exit(log, &files->exited);
    return NULL;
}

/* ---- beginning and end ---- */

/* Numbers of dead files and spares, out of what recovery found. */
static int found_take(struct dwal__files *files) {
    const struct dwal__recovery *found = &files->log->recovery;
    files->dead_size = found->segment_count + 1;
    files->dead = calloc(files->dead_size, sizeof *files->dead);
    files->unwanted = calloc(found->spare_count + 1, sizeof *files->unwanted);
    if (files->dead == NULL || files->unwanted == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < found->segment_count; i++) {
        const struct dwal__found_segment *segment = &found->segments[i];
        struct dwal__known known = {.number = segment->number,
                                    .last_lsn = segment->live_lsn,
                                    .size = segment->file_size,
                                    .left_ns = dwal__wall_ns()};
        if (!segment->live) {
            files->dead[files->dead_count++] = segment->number;
            continue;
        }
        /* One is left when the next is begun; the last of them, now. */
        if (files->live_count > 0)
            files->live[files->live_count - 1].left_ns =
                segment->first_sealed_ns;
        if (live_add(files, &known) != 0)
            return -ENOMEM;
    }
    files->look = true;
    for (size_t i = 0; i < found->spare_count; i++) {
        if (files->spare_count < SPARES_MIN)
            files->spares[files->spare_count++] = found->spares[i];
        else
            files->unwanted[files->unwanted_count++] = found->spares[i];
    }
    return 0;
}

/* The keeper's state, without its thread. 0 or -errno, and then there is none.
 */
static int files_new(struct dwal *log) {
    struct dwal__files *files = calloc(1, sizeof *files);
    if (files == NULL)
        return -ENOMEM;
    log->files = files;
    files->log = log;
    pthread_mutex_init(&files->lock, NULL);
    files->next_number = log->recovery.number_max + 1;
    files->previous = log->recovery.end.segment;
    files->spares_wanted = SPARES_MIN;
    files->block = dwal__buffer_allocate(log->block_size, log->block_size);
    files->zeros = dwal__buffer_allocate(FILL_CHUNK, log->block_size);
    int failed = -ENOMEM;
    if (files->block != NULL && files->zeros != NULL) {
        memset(files->zeros, 0, FILL_CHUNK);
        failed = found_take(files);
        files_meter(files);
    }
    if (failed < 0)
        dwal__files_free(log);
    return failed;
}

int dwal__files_start(struct dwal *log, struct dwal_error *error) {
    int failed = log->files == NULL ? files_new(log) : 0;
    if (failed == 0) {
        atomic_fetch_add(&log->references, 1);
        log->files->started = true; /* before the thread looks at it */
        failed = -dwal__thread_start(&log->files->thread, keeper_main, log);
        if (failed != 0) {
            log->files->started = false;
            atomic_fetch_sub(&log->references, 1);
        }
    }
    if (failed != 0)
        return dwal__error_set(error, DWAL_ENOMEM, -failed,
                               "%s: start the keeper's thread", log->path);
    return DWAL_OK;
}

bool dwal__files_stop(struct dwal *log, int64_t deadline) {
    struct dwal__files *files = log->files;
    if (files == NULL || !files->started)
        return true;
    atomic_store(&files->stop, true);
    atomic_fetch_add(&files->wake, 1);
    dwal__futex_wake(&files->wake, 1);
    return dwal__thread_join(files->thread, &files->exited, deadline);
}

void dwal__files_free(struct dwal *log) {
    struct dwal__files *files = log->files;
    if (files == NULL)
        return;
    pthread_mutex_destroy(&files->lock);
    free(files->live);
    free(files->dead);
    free(files->unwanted);
    free(files->block);
    free(files->zeros);
    free(files);
    log->files = NULL;
}

int dwal__files_create(struct dwal *log, struct dwal_error *error) {
    int failed = dwal__random(log->uuid.bytes, DWAL__UUID_SIZE);
    if (failed == 0)
        failed = files_new(log);
    for (unsigned i = 0; i < DWAL__PREPARED_MAX && failed == 0; i++) {
        struct dwal__segment *segment = NULL;
        failed = segment_make(log->files, false, &segment);
        if (failed == 0)
            log->prepared[log->prepared_count++] = segment;
        if (failed == 0 && i == 0)
            failed = fill_first(log->files, segment);
    }
    if (failed == 0)
        failed = reserve_fill(log->files);
    dwal__watch_end(&log->file_work);
    if (failed == 0) {
        files_meter(log->files);
        return DWAL_OK;
    }
    if (failed == -ENOMEM)
        return dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "create log %s",
                               log->path);
    if (is_no_room(-failed))
        return dwal__error_set(
            error, DWAL_ENOSPC, -failed,
            "create log %s: no room for %u files of %llu bytes, two of them a "
            "reserve; free some, raise the limit, or set a smaller "
            "segment_size",
            log->path, DWAL__PREPARED_MAX + SPARES_RESERVED,
            (unsigned long long)log->options.segment_size);
    return dwal__error_set(
        error, failed == -EINVAL && log->direct ? DWAL_EUNSUPPORTED : DWAL_EIO,
        -failed, "create log %s", log->path);
}
