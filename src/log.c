/* SPDX-License-Identifier: MIT */
/*
 * A log's life: open, the first append, close.
 *
 * Invariants: nothing on disk changes between open and the first append
 * [new-epoch]; the lock on LOCK is held from before recovery until the last
 * I/O came back, also when dwal_close has long returned [late-io]. Memory,
 * handles and lock are freed by whoever lets go of the log last: the handle,
 * the committer thread, the keeper or the watcher.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../format/bytes.h"
#include "../format/crc.h"
#include "log.h"

/* How long dwal_close waits at most for I/O after a failure, and how much
 * longer than the I/O timeout without one. */
#define LATE_WAIT_MS 1000

const char *dwal_version(void) {
    static char text[64];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (text[0] == '\0')
        snprintf(text, sizeof text, "%d.%d.%d (CRC-32 by %s)",
                 DWAL_VERSION_MAJOR, DWAL_VERSION_MINOR, DWAL_VERSION_PATCH,
                 dwal__crc32_library());
    pthread_mutex_unlock(&lock);
    return text;
}

void dwal__tell(struct dwal *log, int level, const char *format, ...) {
    if (log->options.log == NULL)
        return;
    char text[DWAL_ERROR_TEXT_SIZE + 64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&log->log_lock);
    log->options.log(log->options.log_argument, level, text);
    pthread_mutex_unlock(&log->log_lock);
}

void dwal__thread_exit(struct dwal *log, _Atomic uint32_t *exited) {
    atomic_store(exited, 1);
    dwal__futex_wake(exited, INT_MAX);
    dwal__unreference(log);
}

bool dwal__thread_join(pthread_t thread, _Atomic uint32_t *exited,
                       int64_t deadline) {
    while (atomic_load(exited) == 0)
        if (!dwal__futex_wait(exited, 0, deadline)) {
            pthread_detach(thread);
            return false;
        }
    pthread_join(thread, NULL);
    return true;
}

int dwal__handle_check(const struct dwal *log, struct dwal_error *error) {
    if (log == NULL)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "no log: NULL; open one with dwal_open");
    if (log->forks != atomic_load_explicit(&dwal__forks, memory_order_relaxed))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: opened by a parent of this process; only "
                               "the process that opened a log can use it",
                               log->path);
    return DWAL_OK;
}

/* ---- memory ---- */

static void locks_init(struct dwal *log) {
    pthread_mutex_init(&log->place_lock, NULL);
    pthread_mutex_init(&log->activate_lock, NULL);
    pthread_mutex_init(&log->fail_lock, NULL);
    pthread_mutex_init(&log->log_lock, NULL);
    pthread_mutex_init(&log->metadata_lock, NULL);
    dwal__events_init(log);
    pthread_mutex_init(&log->lease_lock, NULL);
}

static void locks_destroy(struct dwal *log) {
    pthread_mutex_destroy(&log->place_lock);
    pthread_mutex_destroy(&log->activate_lock);
    pthread_mutex_destroy(&log->fail_lock);
    pthread_mutex_destroy(&log->log_lock);
    pthread_mutex_destroy(&log->metadata_lock);
    dwal__events_free(log);
    pthread_mutex_destroy(&log->lease_lock);
}

static size_t batches_size(void) {
    return DWAL__BATCH_COUNT * sizeof(struct dwal__batch);
}

static size_t slots_size(void) {
    return (size_t)DWAL__BATCH_COUNT * DWAL__BATCH_ROOM * sizeof(uint64_t);
}

static struct dwal *log_new(struct dwal__disk *disk,
                            const struct dwal__aio *aio, const char *path,
                            const struct dwal_options *options) {
    struct dwal *log = aligned_alloc(DWAL__CACHE_LINE, sizeof *log);
    if (log == NULL)
        return NULL;
    memset(log, 0, sizeof *log);
    log->options = *options;
    log->disk = disk;
    log->aio = *aio;
    log->dir = -1;
    log->lock_handle = -1;
    log->witnessed = true;
    dwal__forks_watch();
    log->forks = atomic_load(&dwal__forks);
    log->dsync = options->sync != DWAL_SYNC_FDSYNC;
    atomic_store(&log->segment_deadline, DWAL__NEVER);
    atomic_store(&log->references, 1);
    locks_init(log);
    log->path = strdup(path);
    log->meters = dwal__pages_map(sizeof *log->meters);
    if (log->path != NULL && log->meters != NULL)
        return log;
    dwal__pages_unmap(log->meters, sizeof *log->meters);
    free(log->path);
    locks_destroy(log);
    free(log);
    return NULL;
}

/* Everything but what the kernel may still write to or read from. */
static void log_free(struct dwal *log) {
    const struct dwal__disk_ops *ops = log->disk->ops;
    if (log->aio_ready && !atomic_load(&log->abandoned))
        log->aio.ops->destroy(&log->aio);
    while (log->left != NULL) {
        struct dwal__segment *segment = log->left;
        log->left = segment->next;
        ops->close(log->disk, segment->handle);
        free(segment);
    }
    if (log->segment != NULL)
        ops->close(log->disk, log->segment->handle);
    free(log->segment);
    for (unsigned i = 0; i < log->prepared_count; i++) {
        ops->close(log->disk, log->prepared[i]->handle);
        free(log->prepared[i]);
    }
    dwal__files_free(log);
    if (log->dir >= 0)
        ops->close(log->disk, log->dir);
    /* Abandoned: the lock and the buffers stay as long as the process. */
    if (!atomic_load(&log->abandoned)) {
        if (log->lock_handle >= 0) {
            ops->lock(log->disk, log->lock_handle, DWAL__LOCK_NONE);
            ops->close(log->disk, log->lock_handle);
        }
        dwal__pages_unmap(log->arena, log->arena_size);
    }
    dwal__pages_unmap(log->batches, batches_size());
    dwal__pages_unmap(log->slots, slots_size());
    dwal__pages_unmap(log->meters, sizeof *log->meters);
    dwal__recovery_release(&log->recovery);
    if (log->view != NULL)
        dwal__view_release(log->view);
    locks_destroy(log);
    free(log->path);
    free(log);
}

void dwal__unreference(struct dwal *log) {
    if (atomic_fetch_sub(&log->references, 1) == 1)
        log_free(log);
}

/* Reserves addresses; memory comes when it is touched. */
static int memory_map(struct dwal *log, struct dwal_error *error) {
    log->arena_size =
        log->options.queue_bytes_max / log->block_size * log->block_size;
    log->arena = dwal__pages_map(log->arena_size);
    log->batches = dwal__pages_map(batches_size());
    log->slots = dwal__pages_map(slots_size());
    if (log->arena == NULL || log->batches == NULL || log->slots == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, errno,
                               "%s: map the staging buffers", log->path);
    if (log->options.huge_pages)
        dwal__pages_huge(log->arena, log->arena_size);
    for (unsigned i = 0; i < DWAL__BATCH_COUNT; i++) {
        log->batches[i].slots = log->slots + (size_t)i * DWAL__BATCH_ROOM;
        atomic_store(&log->batches[i].state, UINT64_C(1) << 63);
    }
    return DWAL_OK;
}

/* What fits into one batch, which may have to hold a start as well. */
static void sizes_set(struct dwal *log) {
    uint64_t segment = log->options.segment_size - log->block_size;
    uint64_t largest = segment < log->arena_size ? segment : log->arena_size;
    uint64_t start = dwal__record_room(DWAL__START_SIZE_MAX);
    log->batch_size_max = largest - DWAL__BATCH_HEADER_SIZE - start;
    uint64_t record = log->batch_size_max - DWAL__RECORD_HEADER_SIZE;
    log->record_size_max = (uint32_t)record;
}

/* ---- opening ---- */

/* Opens the directory, making it first where that is asked for. */
static int directory_open(struct dwal *log, struct dwal_error *error) {
    const struct dwal__disk_ops *ops = log->disk->ops;
    log->dir = ops->dir_open(log->disk, log->path);
    if (log->dir == -ENOENT && log->options.create != DWAL_CREATE_NEVER) {
        int made = ops->dir_make(log->disk, log->path);
        /* No parent: the open below says so, with DWAL_ENOENT. */
        if (made < 0 && made != -EEXIST && made != -ENOENT)
            return dwal__creation_refused(log, made, "", error);
        log->dir = ops->dir_open(log->disk, log->path);
    }
    if (log->dir >= 0)
        return DWAL_OK;
    return dwal__error_set(error, log->dir == -ENOENT ? DWAL_ENOENT : DWAL_EIO,
                           -log->dir, "%s: open the directory", log->path);
}

static int lock_busy(struct dwal *log, const char *name,
                     struct dwal_error *error) {
    char holder[128];
    log->disk->ops->lock_holder(log->disk, log->dir, name, holder,
                                sizeof holder);
    return dwal__error_set(
        error, DWAL_EBUSY, 0,
        "%s/%s is locked by %s; only one writer can have a log", log->path,
        name, holder[0] == '\0' ? "another writer" : holder);
}

/* Opens and locks LOCK; DWAL_ENOENT if there is none. */
int dwal__lock_take(struct dwal *log, struct dwal_error *error) {
    const struct dwal__disk_ops *ops = log->disk->ops;
    int handle =
        ops->open(log->disk, log->dir, DWAL__LOCK_NAME, DWAL__OPEN_WRITE);
    if (handle == -ENOENT)
        return dwal__error_set(error, DWAL_ENOENT, 0,
                               "%s: no log here; create it, or look at the "
                               "path",
                               log->path);
    if (handle < 0)
        return dwal__error_set(error, DWAL_EIO, -handle, "%s/%s: open",
                               log->path, DWAL__LOCK_NAME);
    int locked = ops->lock(log->disk, handle, DWAL__LOCK_FILE);
    if (locked == 0) {
        log->lock_handle = handle;
        return DWAL_OK;
    }
    ops->close(log->disk, handle);
    if (locked == -EAGAIN)
        return lock_busy(log, DWAL__LOCK_NAME, error);
    return dwal__error_set(error, DWAL_EIO, -locked, "%s/%s: lock", log->path,
                           DWAL__LOCK_NAME);
}

/* What to align to, and whether O_DIRECT is to be had, by asking @handle. */
static int alignment_find(struct dwal *log, int handle,
                          struct dwal_error *error) {
    struct dwal__disk_alignment alignment;
    int failed = log->disk->ops->alignment(log->disk, handle, &alignment);
    if (failed < 0)
        return dwal__error_set(error, DWAL_EIO, -failed,
                               "%s: ask for the alignment", log->path);
    uint32_t block = log->options.block_size;
    if (block == 0)
        block = alignment.offset > 4096 ? alignment.offset : 4096;
    if (block < alignment.offset && log->options.direct != DWAL_DIRECT_OFF)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "option block_size is %u, but the device of %s "
                               "wants %u",
                               block, log->path, alignment.offset);
    if (!dwal__segment_sizes_valid(block, log->options.segment_size))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "option segment_size is %llu; with blocks of %u "
                               "it must be a multiple of that, and %u at least",
                               (unsigned long long)log->options.segment_size,
                               block, block * DWAL__SEGMENT_BLOCKS_MIN);
    log->block_size = block;
    return DWAL_OK;
}

/* Finds out about O_DIRECT and the block size with a file of our own making,
 * LOCK, or where there is none yet, a file that is removed again. */
int dwal__device_probe(struct dwal *log, const char *name, int flags,
                       struct dwal_error *error) {
    const struct dwal__disk_ops *ops = log->disk->ops;
    int handle = -EINVAL;
    log->direct = log->options.direct != DWAL_DIRECT_OFF;
    if (log->direct)
        handle =
            ops->open(log->disk, log->dir, name, flags | DWAL__OPEN_DIRECT);
    if (handle == -EINVAL) {
        if (log->options.direct == DWAL_DIRECT_REQUIRED)
            return dwal__error_set(error, DWAL_EUNSUPPORTED, 0,
                                   "%s: the filesystem refuses O_DIRECT; use "
                                   "DWAL_DIRECT_PREFERRED or another one",
                                   log->path);
        log->direct = false;
        handle = ops->open(log->disk, log->dir, name, flags);
    }
    if (handle < 0)
        return dwal__creation_refused(log, handle, name, error);
    int code = alignment_find(log, handle, error);
    ops->close(log->disk, handle);
    return code;
}

/* ---- recovering ---- */

static void tail_tell(struct dwal *log) {
    const struct dwal__recovery *found = &log->recovery;
    if (found->verdict != DWAL__VERDICT_TORN)
        return;
    char to[24] = "?";
    if (found->undecidable_to != UINT64_MAX)
        snprintf(to, sizeof to, "%llu",
                 (unsigned long long)found->undecidable_to);
    dwal__tell(log, DWAL_LOG_NOTICE,
               "%s: torn tail behind LSN %llu (segment %llu, offset %llu); "
               "records %llu to %s were possibly acknowledged, not provably",
               log->path, (unsigned long long)found->durable_lsn,
               (unsigned long long)found->end.segment,
               (unsigned long long)found->end.offset,
               (unsigned long long)found->undecidable_from, to);
}

/* Where the log goes on. */
static void recovered_take(struct dwal *log) {
    const struct dwal__recovery *found = &log->recovery;
    log->uuid = found->uuid;
    log->epoch = found->epoch_max + 1;
    log->end = found->end;
    log->link = found->end_link;
    log->trim_lsn = found->trim_lsn;
    log->metadata.size = found->metadata_size;
    memcpy(log->metadata.bytes, found->metadata, found->metadata_size);
    log->metadata_durable = log->metadata;
    log->durable = (struct dwal__watermark){found->durable_lsn, found->end};
}

/* SPEC 8: read-only-compatible features that this dwal does not know. */
static int features_check(struct dwal *log, struct dwal_error *error) {
    for (size_t i = 0; i < log->recovery.segment_count; i++) {
        const struct dwal__found_segment *segment = &log->recovery.segments[i];
        if (segment->well_formed && segment->header.features_read_only != 0)
            return dwal__error_set_at(
                error, DWAL_EVERSION, 0, segment->number, 0,
                "%s: segment %llu has features %08x, which this dwal can read "
                "but not write; use a newer one",
                log->path, (unsigned long long)segment->number,
                segment->header.features_read_only);
    }
    return DWAL_OK;
}

static int log_recover(struct dwal *log, struct dwal_error *error) {
    struct dwal__recover_options options = {.disk = log->disk,
                                            .dir = log->dir,
                                            .sync = true,
                                            .verify_bytes =
                                                log->options.verify_bytes};
    int code = dwal__recover(&options, &log->recovery, error);
    if (code != DWAL_OK)
        return dwal__error_step(error, code, "open log %s", log->path);
    code = dwal__recovery_code(&log->recovery);
    if (code != DWAL_OK)
        return dwal__error_step(error, code, "open log %s", log->path);
    code = features_check(log, error);
    if (code != DWAL_OK)
        return code;
    if (log->recovery.number_max > DWAL__NUMBER_MAX - UINT32_MAX)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: segment numbers are used up by file "
                               "%016llx; move it away if it is not yours",
                               log->path,
                               (unsigned long long)log->recovery.number_max);
    recovered_take(log);
    tail_tell(log);
    return dwal__device_probe(log, DWAL__LOCK_NAME, DWAL__OPEN_READ, error);
}

static int view_make(struct dwal *log, struct dwal_error *error) {
    uint64_t device, inode;
    int failed =
        log->disk->ops->identity(log->disk, log->lock_handle, &device, &inode);
    if (failed == 0) {
        log->view = dwal__view_new(device, inode);
        failed = log->view == NULL ? -ENOMEM : 0;
    }
    if (failed < 0)
        return dwal__error_set(
            error, failed == -ENOMEM ? DWAL_ENOMEM : DWAL_EIO, -failed,
            "%s/%s: identify", log->path, DWAL__LOCK_NAME);
    atomic_store(&log->durable_lsn, log->durable.lsn);
    atomic_store(&log->first_lsn, log->trim_lsn + 1);
    log->next_lsn = log->durable.lsn + 1;
    dwal__view_write(log->view, &log->durable);
    dwal__view_trim(log->view, log->trim_lsn + 1);
    dwal__view_register(log->view);
    return DWAL_OK;
}

static int log_open(struct dwal *log, struct dwal_error *error) {
    int code = directory_open(log, error);
    if (code != DWAL_OK)
        return code;
    code = dwal__lock_take(log, error);
    if (code == DWAL_OK && log->options.create == DWAL_CREATE_NEW)
        return dwal__error_set(error, DWAL_EEXIST, 0,
                               "%s: a log is already here", log->path);
    bool create = code == DWAL_ENOENT;
    if (create && log->options.create != DWAL_CREATE_NEVER)
        code = dwal__log_create(log, error);
    else if (create) /* tells an empty place from a log that lost LOCK */
        code = log_recover(log, error);
    if (code == DWAL_OK && log->block_size == 0)
        code = log_recover(log, error);
    if (code == DWAL_OK)
        code = memory_map(log, error);
    if (code == DWAL_OK)
        code = dwal__lease_begin(log, error);
    if (code != DWAL_OK)
        return code;
    sizes_set(log);
    return view_make(log, error);
}

int dwal__open_on(struct dwal__disk *disk, const struct dwal__aio *aio,
                  const char *path, const struct dwal_options *options,
                  struct dwal **log, struct dwal_error *error) {
    struct dwal_options defaults;
    if (options == NULL) {
        dwal_options_init(&defaults);
        options = &defaults;
    }
    if (path == NULL || log == NULL)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "dwal_open: path or log is NULL");
    int code = dwal__options_check(options, error);
    if (code != DWAL_OK)
        return code;
    if (!dwal__crc32_self_test())
        return dwal__error_set(error, DWAL_EUNSUPPORTED, 0,
                               "%s computes wrong CRCs; install it anew or "
                               "build with -DDWAL_CRC=zlib",
                               dwal__crc32_library());
    struct dwal *opened = log_new(disk, aio, path, options);
    if (opened == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, ENOMEM, "%s", path);
    /* Its own, since a step may fail without being a failure: that there is no
     * log, where one is to be created. */
    struct dwal_error failure;
    code = log_open(opened, &failure);
    if (code != DWAL_OK) {
        if (error != NULL)
            *error = failure;
        dwal__unreference(opened);
        return code;
    }
    *log = opened;
    return DWAL_OK;
}

int dwal_open(const char *path, const struct dwal_options *options,
              struct dwal **log, struct dwal_error *error) {
    struct dwal__aio aio = {.ops = &dwal__aio_kernel};
    return dwal__open_on(dwal__disk_kernel(), &aio, path, options, log, error);
}

/* ---- the first append ---- */

/* Ends the thread that was just started; nothing was appended yet. */
static void committer_stop(struct dwal *log) {
    atomic_store(&log->stop, true);
    atomic_fetch_add(&log->work, 1);
    dwal__futex_wake(&log->work, 1);
    pthread_join(log->thread, NULL);
    atomic_store(&log->thread_exited, 0);
    atomic_store(&log->stop, false);
}

/* The others; the keeper last, since whoever starts it can stop them. */
static int threads_start(struct dwal *log, struct dwal_error *error) {
    bool retains = log->options.retain_bytes > 0 || log->options.retain_ms > 0;
    int failed = retains ? dwal__retention_start(log) : 0;
    if (failed != 0)
        return dwal__error_set(error, DWAL_ENOMEM, failed,
                               "%s: start the thread for retention", log->path);
    int code =
        dwal__events_wanted(log) ? dwal__watcher_start(log, error) : DWAL_OK;
    if (code == DWAL_OK) {
        code = dwal__files_start(log, error);
        if (code != DWAL_OK)
            dwal__watcher_stop(log, DWAL__NEVER);
    }
    if (code != DWAL_OK)
        dwal__retention_stop(log, DWAL__NEVER);
    return code;
}

static int activate_locked(struct dwal *log, struct dwal_error *error) {
    if (!log->aio_ready) {
        int failed =
            log->aio.ops->setup(&log->aio, log->options.in_flight_max + 2);
        if (failed < 0)
            return dwal__error_set(error, DWAL_ENOMEM, -failed,
                                   "%s: io_setup; raise the sysctl "
                                   "fs.aio-max-nr if it is used up",
                                   log->path);
        log->aio_ready = true;
    }
    atomic_fetch_add(&log->references, 1);
    int failed = dwal__thread_start(&log->thread, dwal__committer_main, log);
    if (failed != 0) {
        atomic_fetch_sub(&log->references, 1);
        return dwal__error_set(error, DWAL_ENOMEM, failed,
                               "%s: start the committer's thread", log->path);
    }
    int code = threads_start(log, error);
    if (code != DWAL_OK) {
        committer_stop(log);
        return code;
    }
    pthread_mutex_lock(&log->place_lock);
    dwal__files_want(log);
    pthread_mutex_unlock(&log->place_lock);
    /* Release: all of the above, to callers that find it active. */
    atomic_store(&log->phase, DWAL__PHASE_ACTIVE);
    return DWAL_OK;
}

int dwal__activate(struct dwal *log, struct dwal_error *error) {
    int code = DWAL_OK;
    pthread_mutex_lock(&log->activate_lock);
    if (atomic_load(&log->closing))
        code = dwal__error_set(error, DWAL_ECLOSED, 0,
                               "%s: the log is being closed", log->path);
    else if (atomic_load(&log->phase) != DWAL__PHASE_ACTIVE)
        code = activate_locked(log, error);
    pthread_mutex_unlock(&log->activate_lock);
    return code;
}

/* ---- closing ---- */

/* Everything sealed so far, durable by @deadline. */
static int log_flush(struct dwal *log, int64_t deadline,
                     struct dwal_error *error) {
    dwal__place_seal(log, DWAL__SEAL_NATURAL);
    dwal__committer_kick(log);
    uint64_t sealed = atomic_load(&log->sealed);
    if (sealed == 0)
        return DWAL_OK;
    struct dwal__batch *last = &log->batches[(sealed - 1) % DWAL__BATCH_COUNT];
    return dwal__wait_sequence(log, last, sealed - 1, deadline, error);
}

/* Room for one more batch where the log ends: in a new segment if the one in
 * use is full. DWAL_OK, the codes of a reservation, or of a wait. */
static int segment_begin(struct dwal *log, int64_t deadline,
                         struct dwal_error *error) {
    pthread_mutex_lock(&log->place_lock);
    bool full =
        log->rotate || log->segment_offset == log->segment->header.segment_size;
    pthread_mutex_unlock(&log->place_lock);
    if (!full)
        return DWAL_OK;
    struct dwal__need need = {.kind = DWAL__NEED_SEGMENT, .deadline = deadline};
    struct dwal__place place;
    int code = dwal__place_reserve(log, &need, &place, error);
    if (code != DWAL_OK || place.batch == NULL)
        return code;
    dwal__committer_kick(log);
    return dwal__wait_sequence(log, place.batch, place.sequence, deadline,
                               error);
}

/* The clean end: all that was appended, then a close in a batch of its own,
 * whose watermark covers all of it: a start beside it would be one more that
 * it does not cover, and what stands behind it would look torn (SPEC 7.6). */
static int clean_end(struct dwal *log, int64_t deadline,
                     struct dwal_error *error) {
    int code = log_flush(log, deadline, error);
    if (code != DWAL_OK || atomic_load(&log->sealed) == 0)
        return code;
    code = segment_begin(log, deadline, error);
    if (code == DWAL_EAGAIN || code == DWAL_ENOSPC)
        return DWAL_OK;
    if (code != DWAL_OK)
        return code;
    struct dwal__need need = {.kind = DWAL__NEED_SYSTEM,
                              .room = dwal__record_room(0),
                              .records = 1,
                              .type = DWAL__SYSTEM_CLOSE,
                              .deadline = deadline};
    struct dwal__place place;
    code = dwal__place_reserve(log, &need, &place, error);
    /* No room for a close is no loss: all records are durable. */
    if (code == DWAL_EAGAIN || code == DWAL_ENOSPC)
        return DWAL_OK;
    if (code != DWAL_OK)
        return code;
    dwal__place_write_system(&place, &need);
    dwal__committer_kick(log);
    return dwal__wait_sequence(log, place.batch, place.sequence, deadline,
                               error);
}

/* Callers that were already waiting leave: all is durable, or it failed. False:
 * one of them is stuck in the kernel (DWAL_SUBMIT_CALLER). */
static bool callers_wait(struct dwal *log, int64_t deadline) {
    for (;;) {
        uint32_t inside =
            atomic_fetch_or(&log->callers, DWAL__CALLERS_AWAITED) |
            DWAL__CALLERS_AWAITED;
        if ((inside & DWAL__CALLERS_COUNT) == 0)
            return true;
        pthread_mutex_lock(&log->place_lock);
        log->shut = true;
        dwal__place_wake_all(log);
        pthread_mutex_unlock(&log->place_lock);
        if (!dwal__futex_wait(&log->callers, inside, deadline))
            return (atomic_load(&log->callers) & DWAL__CALLERS_COUNT) == 0;
    }
}

/* Drops the handle's reference, or leaves that to the last caller inside. */
static void handle_drop(struct dwal *log) {
    uint32_t inside = atomic_load(&log->callers);
    while ((inside & DWAL__CALLERS_COUNT) != 0)
        if (atomic_compare_exchange_weak(&log->callers, &inside,
                                         inside | DWAL__CALLERS_ORPHANED))
            return;
    dwal__unreference(log);
}

/* After a failure: until when to wait for what is on its way. */
static int64_t late_deadline(struct dwal *log) {
    int wait = log->options.io_timeout_ms;
    return dwal__deadline(dwal__now_ns(),
                          wait < LATE_WAIT_MS ? wait : LATE_WAIT_MS);
}

/* Stops both threads; false if one of them stays behind with its I/O. The
 * keeper may be in the middle of a sync: while the log is in order, that has
 * until @close_deadline. */
static bool threads_stop(struct dwal *log, int64_t close_deadline) {
    int64_t deadline = late_deadline(log);
    if (!atomic_load(&log->failed) && deadline < close_deadline)
        deadline = close_deadline;
    bool stopped = dwal__files_stop(log, deadline);
    stopped &= dwal__watcher_stop(log, deadline);
    atomic_store(&log->stop, true);
    atomic_fetch_add(&log->work, 1);
    dwal__futex_wake(&log->work, INT_MAX);
    stopped &= dwal__thread_join(log->thread, &log->thread_exited, deadline);
    return stopped && !atomic_load(&log->abandoned);
}

/* Nothing is begun any more; true if there are threads to be stopped. A first
 * append that is starting them comes to its end. */
static bool closing_begin(struct dwal *log) {
    atomic_store(&log->closing, true);
    pthread_mutex_lock(&log->activate_lock);
    bool active = atomic_load(&log->phase) == DWAL__PHASE_ACTIVE;
    pthread_mutex_unlock(&log->activate_lock);
    return active;
}

int dwal_close(struct dwal *log, struct dwal_error *error) {
    if (log == NULL)
        return DWAL_OK;
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK) {
        /* A child of fork(): its copy of the lock, and nothing else. */
        if (log->lock_handle >= 0)
            log->disk->ops->close(log->disk, log->lock_handle);
        log->lock_handle = -1; /* its number may be another file's soon */
        dwal__events_close_copy(log);
        return code;
    }
    if (closing_begin(log)) {
        int64_t deadline = dwal__deadline(
            dwal__now_ns(), log->options.io_timeout_ms + (int64_t)LATE_WAIT_MS);
        /* First, so that nothing of it is under way beside the close. */
        bool alone = dwal__retention_stop(log, deadline);
        code = clean_end(log, deadline, error);
        if (code == DWAL_ETIMEDOUT) {
            dwal__fail(log, ETIMEDOUT, 0, 0, "closing took too long");
            code = dwal__failure_report(log, error);
        }
        alone &= callers_wait(
            log, atomic_load(&log->failed) ? late_deadline(log) : deadline);
        /* What an append that was already waiting put in behind clean_end. */
        if (code == DWAL_OK)
            code = log_flush(log, deadline, error);
        if (code == DWAL_OK && atomic_load(&log->failed))
            code = dwal__failure_report(log, error);
        /* Or the files that each open prepares would pile up. */
        if (code == DWAL_OK)
            dwal__files_settle(log, deadline);
        if (!threads_stop(log, deadline) || !alone) {
            if (code == DWAL_OK)
                dwal__error_set(error, DWAL_EFAILED, 0, "%s", log->path);
            code = dwal__error_step(error, DWAL_EFAILED,
                                    "close: I/O was left on its way, its "
                                    "buffers and the lock stay until it ends");
        }
    }
    dwal__events_close(log);
    dwal__view_close(log->view);
    handle_drop(log);
    return code;
}
