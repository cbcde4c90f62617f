/* SPDX-License-Identifier: MIT */
/*
 * struct dwal, and how its parts work together.
 *
 *   callers            place.c                 committer.c           files.c
 *   -------            -------                 -----------           -------
 *   append  --reserve--> open batch                                  keeper:
 *           copy, CRC    (one CAS)                                   prepares
 *           --filled-->    | seal                                    segments,
 *   wait                 sealed batches --finish, submit--> I/O      retires
 *     ^                                                      |       old ones
 *     +----- wake ------ durable prefix <--publish-- reap ---+
 *
 * A batch has a sequence number; its descriptor is batches[sequence % COUNT].
 * Sequences grow through four borders, each only ever moved up:
 *
 *     completed <= submitted <= sealed <= opened
 *
 *   opened     batches that callers may reserve in: none or one, the newest
 *   sealed     complete but for copies still on their way (empty slots)
 *   submitted  under I/O; the buffer belongs to the kernel
 *   completed  durable, as part of the durable prefix; the descriptor is free
 *
 * Who may do what:
 *   place_lock  opening and sealing, the arena, the queue of prepared segments,
 *               the trim point; held for well under a microsecond, and across
 *               no system call but waking
 *   role        finishing, submitting, reaping, publishing. A token, not a
 *               lock: nobody sleeps for it. Whoever takes it (a waiter, or the
 *               committer thread) finds the fields under "role" consistent
 *   keeper      directory operations after the first append: its thread alone
 *
 * Lock order: activate_lock, lease_lock, events.lock, files.lock, place_lock,
 * fail_lock, log_lock, view.lock, metadata_lock, events.signal_lock; each may
 * be taken alone. The registry's lock (view.c) is taken with none of them held.
 *
 * Pairings of atomics that are not relaxed are explained where they stand; the
 * three that matter most:
 *   durable   batch_publish stores completed, bumps batch.wake, then looks for
 *             waiters; a waiter counts itself, loads wake, looks at completed,
 *             then sleeps on the value of wake that it loaded: no wake-up is
 *             lost.
 *   idle      a caller makes its record visible, then looks whether the thread
 *             is idle; the thread declares itself idle, then looks for records
 *             (Dekker; both sides sequentially consistent).
 *   armed     who moves completed, sets failed or makes room does that, then
 *             looks whether the event descriptor is armed, and writes to it;
 *             dwal_reap arms it, then looks at completed and failed (the same).
 *   loop      with DWAL_SUBMIT_CALLER an event loop does the log's work: the
 *             kernel writes to the event descriptor when an operation that the
 *             loop submitted is done, and dwal_reap goes on from there. Who
 *             finds such an operation in flight, or a loop that was woken and
 *             has not submitted yet, may leave the role to nobody.
 *             A dwal_reap that finds the role taken says so before it tries;
 *             who gives the role back does that, then looks, and writes to the
 *             descriptor (the same).
 */
#ifndef DWAL_SRC_LOG_H
#define DWAL_SRC_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "../format/batch.h"
#include "../format/error.h"
#include "../recover/disk.h"
#include "../recover/disk_sync.h"
#include "../recover/recover.h"
#include "../recover/thread.h"
#include "aio.h"
#include "dwal.h"
#include "meters.h"
#include "options.h"
#include "sys.h"

#define DWAL__CACHE_LINE 64

/* In a slot: the record is written. */
#define DWAL__FILLED (UINT64_C(1) << 32)

/* Batch descriptors: a power of two, more than can be in flight. */
#define DWAL__BATCH_COUNT 64u
/* Records in one batch: what dwal_append_batch takes, and a start. */
#define DWAL__BATCH_ROOM 65600u
#define DWAL__APPEND_BATCH_MAX 65536u
/* Prepared segments: one to go on in, one that follows that one. */
#define DWAL__PREPARED_MAX 2u

/* Where in a batch with a start the blob is that the start carries. */
#define DWAL__START_METADATA_OFFSET                                            \
    (DWAL__BATCH_HEADER_SIZE + DWAL__RECORD_HEADER_SIZE + DWAL__START_SIZE)

/* A segment file that this log made. */
struct dwal__segment {
    struct dwal__segment_header header;
    int handle;
    uint64_t filled;        /* written with zeros so far; the keeper's */
    bool filling;           /* zeros are on their way; place_lock */
    bool fill_done;         /* … or not to be expected; place_lock */
    uint64_t last_sequence; /* batches below this one are in it or before */
    uint64_t last_lsn;      /* once left: the last LSN in it or before … */
    uint64_t left_ns;       /* … and when that was, by the wall clock */
    struct dwal__segment *next; /* in the list of those left */
};

/* A segment that does not go on where the log ended (SPEC 11.6). */
struct dwal__cut {
    uint32_t flags; /* of its start; 0: no cut */
    uint32_t link;  /* CRC of the last kept batch's header; 0: none is kept */
    uint64_t lsn;   /* the log goes on with this one */
    struct dwal__watermark kept; /* what stays; all 0: nothing */
};

enum dwal__batch_stage {
    DWAL__STAGE_FREE,    /* also: open, sealed */
    DWAL__STAGE_WRITING, /* submitted */
    DWAL__STAGE_WRITTEN, /* reaped, waits for a sync */
    DWAL__STAGE_SYNCING, /* covered by the sync in flight */
    DWAL__STAGE_DURABLE, /* done; maybe not yet part of the prefix */
    DWAL__STAGE_FAILED
};

struct dwal__batch {
    /* Callers: reserve. Bits 63: sealed; 62-34: room left, 8 bytes each;
     * 33-17: records left; 16-0: LSNs given. All of it in one word, so that
     * a successful CAS proves the room as well as the LSN. */
    _Alignas(DWAL__CACHE_LINE) _Atomic uint64_t state;
    /* Set before state is released, read after a CAS on it succeeded. */
    uint8_t *bytes;               /* in the arena; the header's place */
    _Atomic uint64_t room;        /* bytes behind the header, a multiple of 8 */
    _Atomic uint32_t record_room; /* records */
    /* By index of the record: 0, or DWAL__FILLED with its CRC, which says that
     * its bytes are there. */
    _Atomic uint64_t *slots;
    uint64_t first_lsn;
    uint64_t salt;
    uint64_t sequence;

    /* Waiters. */
    _Alignas(DWAL__CACHE_LINE) _Atomic uint32_t wake;
    _Atomic uint32_t waiters;    /* sleepers on wake */
    _Atomic uint32_t committers; /* callers that wait for it, for gather.c */
    _Atomic int64_t reaped_ns;   /* when it was completed, for meters.h */

    /* place_lock until sealed, then role. */
    _Alignas(DWAL__CACHE_LINE) struct dwal__segment *segment;
    uint64_t offset; /* in the segment */
    uint64_t size;   /* header and records; set when sealed */
    uint64_t padded; /* size with the padding */
    uint32_t records;
    uint32_t lsns;
    uint64_t arena_taken; /* bytes from @bytes on */
    bool starts;          /* its first record is the start of its segment */
    struct dwal__position previous; /* where the log ended when it was opened */
    struct dwal__cut cut; /* what its start says, if that cuts the log */
    uint64_t trim_lsn; /* trim point that is durable with it; 0: says nothing */
    uint64_t metadata_offset; /* of its last blob, from @bytes on; 0: none */
    uint32_t metadata_size;   /* of that blob */
    uint32_t start_metadata;  /* bytes of the blob that its start carries */
    uint32_t witnesses;       /* marks and closes in it */
    bool witness; /* nothing else in it; finished: covers all before it */

    /* role */
    enum dwal__batch_stage stage;
    struct dwal__watermark watermark; /* what its header says was durable */
    int64_t submitted_ns;
    int64_t result; /* of the write, or of the sync over it */
    bool slow_told;
    struct iocb iocb;
};

/* An operation that may not return from the kernel: watch.c. */
struct dwal__watched {
    _Atomic int64_t since_ns; /* 0: none */
    _Atomic(const char *) what;
    _Atomic bool told;
};

/* What readers in this process see. Outlives the log, because cursors may. */
struct dwal__view {
    _Atomic uint32_t references;
    _Atomic bool closed;
    _Atomic bool failed;      /* nothing more becomes durable */
    _Atomic uint32_t news;    /* futex: look again */
    _Atomic uint32_t waiters; /* cursors that sleep on it, or are about to */
    pthread_mutex_t lock;     /* of the two that follow; a leaf */
    struct dwal__watermark durable;
    uint64_t first_lsn;
    uint64_t lock_device; /* registry key: the LOCK file */
    uint64_t lock_inode;
    struct dwal__view *next;
};

/* Which files a durable start or trim lets go, once a watermark on disk says
 * that it is durable [retire]. */
struct dwal__retirable {
    struct dwal__position end; /* of its batch; {0, 0}: nothing is waiting */
    bool start;                /* dead files may go */
    uint64_t before;           /* trimmed files below this segment may go … */
    uint64_t trim_lsn;         /* … if they end at or below this LSN */
    /* flags != 0: what is above the kept position, and below this segment, is
     * dead. */
    struct dwal__cut cut;
    uint64_t cut_segment;
};

/* The application's metadata. */
struct dwal__blob {
    uint32_t size;
    uint8_t bytes[DWAL__METADATA_SIZE_MAX];
};

/* What gather.c remembers. */
struct dwal__gather_tried {
    uint64_t records;
    int64_t ns;
};

struct dwal__gather {
    uint32_t released;     /* callers let go since the last seal */
    uint32_t expected;     /* … and those who wait already */
    uint32_t cohort;       /* expected, when trials began anew */
    unsigned way;          /* in use */
    unsigned kept;         /* the best so far */
    unsigned rival;        /* last tried against it */
    unsigned batches;      /* left of this turn */
    unsigned uncounted;    /* of them, before it counts */
    unsigned turns;        /* left of this trial; 0: no trial */
    unsigned keep_batches; /* of the next time without a trial; 0: new */
    int64_t since_ns;      /* when this turn began to count; 0: not yet */
    uint64_t records_before;
    struct dwal__gather_tried tried[2]; /* the kept way; the rival */
    int64_t yield_after_ns;             /* no yielding before */
    int64_t yield_pause_ns;
};

/* Records of dwal_append_async whose outcome dwal_reap has not told yet. */
struct dwal__outstanding {
    uint64_t sequence; /* of their batch */
    uint64_t lsn;      /* of the first */
    void *context;
    uint32_t count;
};

/* What an event loop waits for: events.c. */
struct dwal__events {
    pthread_mutex_t lock;           /* of the four that follow */
    struct dwal__outstanding *ring; /* DWAL_COMPLETIONS_MAX; NULL: none yet */
    uint32_t first, count;          /* from first on, around the end */
    bool failure_told;              /* nothing behind it is told as durable */

    pthread_mutex_t signal_lock; /* of fd, and of changes of armed; a leaf */
    int fd;                      /* -1: not asked for, or closed */
    /* fd is there, nobody but the kernel has written to it, and the next event
     * does. */
    _Atomic bool armed;
    /* DWAL_SUBMIT_CALLER: fd, for the kernel; otherwise, and before, -1. Stays
     * what it is when fd is closed: nothing is submitted any more then. */
    _Atomic int kernel_fd;
    _Atomic bool turned_away; /* a dwal_reap found the role taken */
};

/* A thread that keeps the deadlines of a log whose loop sleeps elsewhere:
 * watch.c. Started once there is an event descriptor and the first append. */
struct dwal__watcher {
    bool started; /* activate_lock */
    pthread_t thread;
    _Atomic uint32_t exited; /* futex */
    _Atomic uint32_t work;   /* futex: look again */
    _Atomic bool stop;
};

/* In dwal.callers: dwal_close sleeps until there are none; it did not wait for
 * the last ones; how many there are. */
#define DWAL__CALLERS_AWAITED (UINT32_C(1) << 30)
#define DWAL__CALLERS_ORPHANED (UINT32_C(1) << 31)
#define DWAL__CALLERS_COUNT (DWAL__CALLERS_AWAITED - 1)

enum dwal__log_phase {
    DWAL__PHASE_IDLE, /* nothing was appended yet: no thread, no I/O */
    DWAL__PHASE_ACTIVE
};

struct dwal__files; /* the keeper's, files.c */

struct dwal {
    struct dwal_options options;
    struct dwal__disk *disk;
    struct dwal__view *view;
    struct dwal__meters *meters;
    char *path;
    int dir;
    int lock_handle;
    uint32_t block_size;
    uint32_t record_size_max;
    uint64_t batch_size_max; /* bytes of records in the largest batch */
    bool direct;             /* O_DIRECT in use */
    /* Sync method in use, and what DWAL_SYNC_AUTO measured (0 ns: nothing);
     * constant once there is a first segment. */
    _Atomic bool dsync;
    struct dwal__sync_cost sync_cost;
    struct dwal__uuid uuid;
    uint64_t epoch;
    uint32_t forks; /* dwal__forks at open */

    /* Read by every caller. */
    _Alignas(DWAL__CACHE_LINE) _Atomic(struct dwal__batch *) open;
    _Atomic uint32_t phase;
    _Atomic bool closing;
    _Atomic bool cut_busy; /* a cut or a reset is under way */
    _Atomic bool failed;
    _Atomic uint64_t completed; /* sequences below are durable */
    _Atomic uint64_t durable_lsn;
    _Atomic uint64_t first_lsn;
    /* When the segment in use gets too old; DWAL__NEVER. */
    _Atomic int64_t segment_deadline;
    _Atomic uint32_t gather_target; /* futex: callers waited for, 0: none */
    _Atomic bool yields;            /* who waits yields before sleeping */
    _Atomic bool yield_slow;        /* a yield took long */
    _Atomic int64_t flush_ns;       /* average from submission to completion */

    /* Inside a call that may wait, and DWAL__CALLERS_…: dwal_close lets them
     * out, or the last one to leave drops the handle's reference. On a line of
     * its own: whoever waits changes it. */
    _Alignas(DWAL__CACHE_LINE) _Atomic uint32_t callers;

    /* ---- place_lock ---- */
    _Alignas(DWAL__CACHE_LINE) pthread_mutex_t place_lock;
    struct dwal__queued *queue_head; /* callers that need a new batch */
    struct dwal__queued *queue_tail;
    _Atomic uint32_t room_waiters; /* in that queue */
    bool refused;            /* who did not join it is to be told of a change */
    uint64_t opened;         /* the next sequence to open */
    bool shut;               /* the close was sealed: nothing follows it */
    _Atomic uint64_t sealed; /* sequences below are sealed */
    uint64_t next_lsn;       /* of the next batch */
    struct dwal__segment *segment; /* in use; NULL before the first batch */
    uint64_t segment_offset;       /* where its next batch goes */
    bool segment_used;             /* holds more than its start */
    struct dwal__segment *prepared[DWAL__PREPARED_MAX];
    unsigned prepared_count;
    bool rotate;       /* the next batch goes to a new segment */
    bool cutting;      /* only the mark of a cut is admitted */
    uint64_t cut_lsn;  /* the largest that was given and then cut off */
    uint64_t trim_lsn; /* newest, appended */
    /* Records below it are not wanted any more, but perhaps held by a lease.
     * Lowered by cuts, of which there were so many. */
    uint64_t trim_wanted;
    uint64_t cuts;
    struct dwal__blob metadata; /* newest, appended */
    struct dwal__position end;  /* of the last batch that was sealed */
    struct dwal__segment *left; /* not in use any more; the keeper's */
    _Atomic uint64_t records_sealed, bytes_sealed; /* ever */
    _Atomic uint64_t records_completed;            /* ever; role */
    /* The keeper's answer: prepare_errno is why the try that saw
     * prepare_wanted == prepare_tried failed, 0 if it did not. */
    int prepare_errno;
    uint64_t prepare_wanted;
    uint64_t prepare_tried;
    uint64_t space_asks; /* waits for a segment, but for those of trims */

    /* ---- role ---- */
    _Alignas(DWAL__CACHE_LINE) _Atomic uint32_t role; /* 1: taken */
    _Atomic uint64_t submitted; /* sequences below are under I/O or done */
    _Atomic uint32_t in_flight; /* operations in the kernel */
    /* Of them, those that the kernel will tell the event loop of. */
    _Atomic uint32_t in_flight_told;
    /* Since when an event loop that was woken may submit what there is, and what
     * it will append; 0: it has. */
    _Atomic int64_t deferred_ns;
    bool
        tells_loop; /* who has the role has the kernel tell of his operations */
    bool is_loop;   /* … and is an event loop, which never waits */
    struct dwal__gather gather;
    struct dwal__retirable retirable; /* durable, not yet witnessed */
    bool syncing;
    bool sync_slow_told;
    int64_t sync_submitted_ns;
    int64_t reaped_ns; /* when events were reaped last */
    struct iocb sync_iocb;
    uint32_t link;                  /* CRC of the last finished header */
    struct dwal__watermark durable; /* the prefix */
    bool witnessed;                 /* the last completed batch is a witness */
    struct dwal__aio aio;
    bool aio_ready;
    struct dwal__batch *batches; /* DWAL__BATCH_COUNT */
    uint8_t *arena;              /* staging memory */
    uint64_t arena_size;
    _Atomic uint64_t *slots; /* of all batches */

    /* Oldest operation in flight, or of a submission that has not returned:
     * CLOCK_MONOTONIC, 0: none. Waiters keep the deadline with it even if the
     * role's holder is stuck in the kernel. */
    _Atomic int64_t io_since_ns;
    _Atomic bool io_is_sync;         /* it is a sync, else a write */
    struct dwal__watched submission; /* that has not returned */
    struct dwal__watched file_work;  /* the keeper's */
    _Atomic int64_t commit_ns;       /* when something was last completed */
    _Atomic uint64_t batches_written, bytes_written; /* ever */

    /* ---- the committer thread ---- */
    _Alignas(DWAL__CACHE_LINE) _Atomic uint32_t work; /* futex: look again */
    _Atomic bool thread_idle;
    _Atomic bool watcher_idle; /* here, since who makes work looks at both */
    _Atomic bool mark_armed;   /* the thread will see to the mark */
    _Atomic bool stop;
    _Atomic bool abandoned; /* waiting for I/O failed: never free its memory */
    pthread_t thread;
    _Atomic uint32_t thread_exited; /* futex */

    /* ---- the keeper ---- */
    struct dwal__files *files;

    struct dwal__events events;
    struct dwal__watcher watcher;

    /* ---- trims ---- */
    pthread_mutex_t lease_lock; /* the two that follow */
    uint32_t claims;            /* trims that have claimed, and are not made */
    bool claims_return;         /* one of them was refused */
    _Atomic bool held_told;     /* that a lease holds back a trim */
    pthread_t retention_thread;
    bool retention_started;            /* activate_lock */
    _Atomic uint32_t retention_wake;   /* futex: look again */
    _Atomic uint32_t retention_exited; /* futex */
    _Atomic bool retention_stop;

    pthread_mutex_t activate_lock; /* the first append; threads */
    pthread_mutex_t fail_lock;     /* failure */
    struct dwal_error failure;
    pthread_mutex_t log_lock;           /* calls of options.log */
    pthread_mutex_t metadata_lock;      /* metadata_durable; a leaf */
    struct dwal__blob metadata_durable; /* what dwal_meta_get says */
    _Atomic uint32_t references;        /* handle, threads */

    struct dwal__recovery recovery; /* what was there at open */
};

/* ---- place.c: reserving, opening, sealing ---- */

/* A place in a batch for consecutive records. */
struct dwal__place {
    struct dwal__batch *batch;
    uint64_t sequence;
    uint64_t offset; /* of the first record, from the batch's header */
    uint32_t index;  /* of the first record in the batch */
    uint64_t lsn;    /* of the first application record */
};

/* What a caller needs room for. */
enum dwal__need_kind {
    DWAL__NEED_RECORDS, /* application records */
    DWAL__NEED_SYSTEM,  /* one system record */
    DWAL__NEED_SEGMENT, /* a new segment, and nothing in it but its start */
    DWAL__NEED_CUT      /* the same, with a start that cuts the log */
};

struct dwal__need {
    enum dwal__need_kind kind;
    uint64_t room; /* bytes of the records, a multiple of 8 */
    uint32_t records;
    uint16_t type;        /* SYSTEM: of the record */
    uint64_t trim_lsn;    /* SYSTEM, a trim: the point … */
    bool remembered;      /* … which a cut may have taken back: trim_wanted */
    uint64_t settles_lsn; /* SYSTEM, a mark: the point that it is to prove */
    const struct dwal__blob *metadata; /* SYSTEM, metadata: the blob */
    const struct dwal__cut *cut;       /* CUT; SYSTEM, a mark: of this cut */
    int64_t deadline; /* 0: append_timeout_ms is the only limit */
};

/* Reserves a place for records in the open batch, if it has one. Never blocks
 * but for place_lock. */
bool dwal__place_reserve_open(struct dwal *log, const struct dwal__need *need,
                              struct dwal__place *place);

/* Reserves a place, waiting for append_timeout_ms at most. The codes of
 * dwal_append. With NEED_SEGMENT, place->batch is the batch whose durability
 * makes the segment durable: that of somebody else's if the segment in use has
 * no records yet, or NULL if that is durable already. */
int dwal__place_reserve(struct dwal *log, const struct dwal__need *need,
                        struct dwal__place *place, struct dwal_error *error);

/* Reserves only if that is possible at once and nobody waits. */
bool dwal__place_reserve_now(struct dwal *log, const struct dwal__need *need,
                             struct dwal__place *place);

/* The same, with the codes of dwal_append and what they need: a segment is asked
 * for. What was sealed on the way is the caller's to be written. A lock may be
 * held. */
int dwal__place_reserve_try(struct dwal *log, const struct dwal__need *need,
                            struct dwal__place *place,
                            struct dwal_error *error);

/* Between dwal__place_reserve with NEED_CUT, which keeps all others out, and
 * dwal__place_cut_end: a place for the mark, in a batch of its own. False: the
 * log has failed. */
bool dwal__place_reserve_cut(struct dwal *log, const struct dwal__need *need,
                             struct dwal__place *place);
void dwal__place_cut_end(struct dwal *log);

/* Says that the record with @index was written, and its CRC. */
void dwal__place_filled(struct dwal__batch *batch, uint32_t index,
                        uint32_t crc);

/* Waits until all records of a sealed batch are written; false: not by
 * @deadline. */
bool dwal__place_complete(struct dwal__batch *batch, int64_t deadline);

/* The digest of a complete batch; empties its slots. */
uint32_t dwal__place_digest(struct dwal__batch *batch);

/* Seals the open batch if it holds records. True if it did. */
bool dwal__place_seal(struct dwal *log, enum dwal__seal_why why);

/* Bytes of records in the open batch, 0: none. Any thread; a hint, but never
 * 0 if a record was reserved before in sequentially consistent order. */
uint64_t dwal__place_pending(struct dwal *log);

/* What was appended and is not durable yet. The role's holder: a batch that is
 * closed at this moment may be missing; exact with place_lock. */
struct dwal__queue {
    uint64_t records; /* the log's own included */
    uint64_t bytes;   /* headers and padding included */
};
struct dwal__queue dwal__place_queue(struct dwal *log);

/* The LSN that the next record gets. place_lock held. */
uint64_t dwal__place_next_lsn(struct dwal *log);

/* The batch that holds @lsn, which is not durable yet, and its sequence.
 * DWAL_EINVAL: it was never given. DWAL_ECUT: it was cut off since. */
int dwal__place_find(struct dwal *log, uint64_t lsn, struct dwal__batch **batch,
                     uint64_t *sequence);

/* True if a trim, the mark behind one, or a cut that drops segments, is the
 * next to get a place; and up to which LSN segments go with it, UINT64_MAX for
 * a cut. place_lock held. */
bool dwal__place_trim_waits(struct dwal *log, uint64_t *trim_lsn);

/* Something got better: wakes who waits for a place, and can have it next. */
void dwal__place_room_changed(struct dwal *log);
/* The same, and for all who wait, with place_lock held. */
void dwal__place_wake_head(struct dwal *log);
void dwal__place_wake_all(struct dwal *log);

/* ---- committer.c ---- */

bool dwal__role_take(struct dwal *log);
/* Gives it back and sees to it that somebody goes on if there is work. */
void dwal__role_release(struct dwal *log);
/* For who was perhaps woken to take it, and leaves: somebody else goes on. */
void dwal__role_decline(struct dwal *log);

/* With the role: works until @lsn and @sequence are durable (UINT64_MAX: until
 * nothing is left to do), the log failed, or @deadline. */
void dwal__commit_run(struct dwal *log, uint64_t until_completed,
                      int64_t deadline);

/* For event loops; neither waits, but for a submission that the kernel does not
 * return from. Submits what there is, if the role is free; otherwise its holder
 * sees to it. */
void dwal__commit_submit(struct dwal *log);
/* Before that reaps what is done, and publishes it. If that releases several
 * appends of a loop, it does not submit, since more will come at once: the caller
 * sees to it that this is called again soon, and true is returned. */
bool dwal__commit_poll(struct dwal *log);

/* Something is on its way, or will be: wakes the committer thread, and the
 * watcher, if they sleep. */
void dwal__committer_kick(struct dwal *log);

/* Latches the failure (the first one counts) and wakes everybody. */
void dwal__fail(struct dwal *log, int os_errno, uint64_t segment,
                uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Fills @error from the latched failure; returns DWAL_EFAILED. */
int dwal__failure_report(struct dwal *log, struct dwal_error *error);

/* The committer thread. */
void *dwal__committer_main(void *log);

/* ---- watch.c ---- */

void dwal__watch_begin(struct dwal__watched *watched, const char *what,
                       int64_t now);
void dwal__watch_end(struct dwal__watched *watched);
/* Reports what is slow, fails the log when it is late; returns when to look
 * again. No lock held. */
int64_t dwal__watch(struct dwal *log, int64_t now);
/* The same for one operation; DWAL__NEVER if there is none. */
int64_t dwal__watch_one(struct dwal *log, struct dwal__watched *watched,
                        int64_t now);
void dwal__slow_tell(struct dwal *log, const char *what, int64_t age);
/* Starts the watcher. activate_lock held. */
int dwal__watcher_start(struct dwal *log, struct dwal_error *error);
/* Something is under way: it looks now. Cheap if it does, or is not there. */
void dwal__watcher_kick(struct dwal *log);
/* Stops it, if it was started; false if it did not stop by @deadline. */
bool dwal__watcher_stop(struct dwal *log, int64_t deadline);

/* ---- gather.c ---- */

/* With the role: before sealing while nothing is in flight; how it went. */
enum dwal__seal_why dwal__gather_wait(struct dwal *log);
/* With the role: a batch is about to release its callers. */
void dwal__gather_published(struct dwal *log, struct dwal__batch *batch);
/* With the role: a write, and the sync over it, took so long. */
void dwal__gather_measured(struct dwal *log, int64_t flush_ns);
/* Before a caller sleeps: true if the batch with @sequence was completed, or
 * the log failed, while it let others run. */
bool dwal__gather_yield(struct dwal *log, struct dwal__batch *batch,
                        uint64_t sequence);
/* A caller that will wait has a place in @batch. */
void dwal__gather_arrived(struct dwal *log, struct dwal__batch *batch);

/* ---- events.c ---- */

void dwal__events_init(struct dwal *log);
void dwal__events_free(struct dwal *log);
/* The durable prefix moved, the log failed, or there is room: after that is
 * visible. Any lock but signal_lock may be held. */
void dwal__events_notify(struct dwal *log);
/* Closes the descriptor; nothing is written to it any more. */
void dwal__events_close(struct dwal *log);
/* In a child of fork(): closes its copy, without a lock, which a thread of the
 * parent may have held. */
void dwal__events_close_copy(struct dwal *log);
/* The descriptor was asked for. */
bool dwal__events_wanted(struct dwal *log);
/* dwal_reap has several completions to tell of. */
bool dwal__events_several(struct dwal *log);
/* The role was given back: "loop" above. */
void dwal__events_role_free(struct dwal *log);

/* ---- append.c ---- */

/* Counts a caller in, so that dwal_close does not free the log under it. */
void dwal__caller_enter(struct dwal *log);
void dwal__caller_leave(struct dwal *log);

/* The checks that every change of the log begins with. */
int dwal__ready(struct dwal *log, struct dwal_error *error);

/* What @count records need, or DWAL_EINVAL. */
int dwal__records_need(const struct dwal *log,
                       const struct dwal_record *records, size_t count,
                       struct dwal__need *need, struct dwal_error *error);
/* Copies them into @place, which was reserved for them. */
void dwal__records_write(const struct dwal__place *place,
                         const struct dwal_record *records, size_t count);

/* Writes the system record that @need reserved @place for. */
void dwal__place_write_system(const struct dwal__place *place,
                              const struct dwal__need *need);

/* Waits until the batch with @sequence is durable. DWAL_OK, DWAL_ETIMEDOUT,
 * DWAL_EFAILED. */
int dwal__wait_sequence(struct dwal *log, struct dwal__batch *batch,
                        uint64_t sequence, int64_t deadline,
                        struct dwal_error *error);

/* Reserves, writes and waits for one system record. */
int dwal__commit_system(struct dwal *log, const struct dwal__need *need,
                        struct dwal_error *error);

/* ---- metadata.c ---- */

/* With the role: a blob in @batch is durable. */
void dwal__metadata_publish(struct dwal *log, const struct dwal__batch *batch);

/* ---- files.c: the keeper ---- */

/* Creates segments 1 and 2 in a directory without a log; they stay open as the
 * prepared ones. */
int dwal__files_create(struct dwal *log, struct dwal_error *error);
int dwal__files_start(struct dwal *log, struct dwal_error *error);
/* Asks for a prepared segment. place_lock held. */
void dwal__files_want(struct dwal *log);
/* With the role: what @retirable lets go may be retired now. */
void dwal__files_retire(struct dwal *log,
                        const struct dwal__retirable *retirable);
/* Waits until all that may be retired by now is; false: not by @deadline. */
bool dwal__files_settle(struct dwal *log, int64_t deadline);
/* Wakes who waits in dwal__files_settle: the log has failed. */
void dwal__files_failed(struct dwal *log);
/* Stops the thread; false if it did not stop by @deadline. */
bool dwal__files_stop(struct dwal *log, int64_t deadline);
void dwal__files_free(struct dwal *log);

/* A segment that was left, all of it durable. */
struct dwal__known {
    uint64_t number;
    uint64_t last_lsn;
    uint64_t size;    /* of the file */
    uint64_t left_ns; /* all that is in it is older, by the wall clock */
};

/* ---- trim.c ---- */

/* What dwal_trim does; @remembered: as far as that is still wanted. */
int dwal__trim_run(struct dwal *log, uint64_t lsn, bool remembered,
                   struct dwal_error *error);

/* ---- retention.c ---- */

/* The first LSN to keep of @count segments, oldest first; 0: all of them. */
uint64_t dwal__retention_point(const struct dwal_options *options,
                               const struct dwal__known *left, size_t count,
                               uint64_t now_ns);
/* The keeper: these segments were left, and it has heard of @cuts cuts. Trims
 * what need not be kept, and what a lease held back before. */
void dwal__retention_look(struct dwal *log, const struct dwal__known *left,
                          size_t count, uint64_t cuts);
/* Records below it are to be trimmed, and held; 0: none are. */
uint64_t dwal__retention_wanted(struct dwal *log);
/* Starts the thread, if it is not there: 0 or errno. activate_lock held. */
int dwal__retention_start(struct dwal *log);
/* The same, if that is possible. */
void dwal__retention_need(struct dwal *log);
/* Stops it; false if it did not stop by @deadline. */
bool dwal__retention_stop(struct dwal *log, int64_t deadline);

/* ---- lease.c ---- */

/* Claims the records below @lsn for a trim, or as many of them as leases allow:
 * *@granted is what may be trimmed below, 0 if there is nothing, and if not,
 * dwal__lease_claimed follows. DWAL_OK or DWAL_EIO. */
int dwal__lease_claim(struct dwal *log, uint64_t lsn, uint64_t *granted,
                      struct dwal_error *error);
/* The trim was appended, or refused. */
void dwal__lease_claimed(struct dwal *log, bool refused);
/* An open: claims what is trimmed. DWAL_OK or DWAL_EIO. */
int dwal__lease_begin(struct dwal *log, struct dwal_error *error);
/* LSNs that have a lease, as many as are counted, and the lowest; 0: none. */
void dwal__lease_stats(struct dwal *log, uint64_t *count, uint64_t *lowest);

/* ---- create.c ---- */

/* Makes a log where there is none, and takes its lock; or takes the lock of
 * one that somebody else just made: then block_size is still 0. */
int dwal__log_create(struct dwal *log, struct dwal_error *error);
/* Why @name in the log's directory ("": that itself) could not be made: what
 * -errno @failed means. */
int dwal__creation_refused(struct dwal *log, int failed, const char *name,
                           struct dwal_error *error);

/* ---- stats.c ---- */

/* Adds up the histogram of @stage; one of enum dwal_latency_stage. */
void dwal__stats_collect(struct dwal *log, int stage,
                         struct dwal__histogram *into);

/* ---- log.c ---- */

/* Opens and locks LOCK; DWAL_ENOENT if there is none. */
int dwal__lock_take(struct dwal *log, struct dwal_error *error);
/* Finds out about O_DIRECT and the block size by opening @name. */
int dwal__device_probe(struct dwal *log, const char *name, int flags,
                       struct dwal_error *error);

/* Opens on another disk than the kernel's: for tests. */
int dwal__open_on(struct dwal__disk *disk, const struct dwal__aio *aio,
                  const char *path, const struct dwal_options *options,
                  struct dwal **log, struct dwal_error *error);
/* DWAL_OK if @log is a handle of this process, otherwise DWAL_EINVAL. */
int dwal__handle_check(const struct dwal *log, struct dwal_error *error);
/* Starts threads and I/O at the first append. */
int dwal__activate(struct dwal *log, struct dwal_error *error);
void dwal__unreference(struct dwal *log);
/* The thread's last act: says so, and lets go of the log. */
void dwal__thread_exit(struct dwal *log, _Atomic uint32_t *exited);
/* Joins it, or leaves it to itself after @deadline; false: left. */
bool dwal__thread_join(pthread_t thread, _Atomic uint32_t *exited,
                       int64_t deadline);
void dwal__tell(struct dwal *log, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- view.c ---- */

/* How many forks lie between this process and the first one that used the
 * library. A handle is good only while this is what it was at open. */
extern _Atomic uint32_t dwal__forks;
void dwal__forks_watch(void);

struct dwal__view *dwal__view_new(uint64_t device, uint64_t inode);
void dwal__view_register(struct dwal__view *view);
void dwal__view_close(struct dwal__view *view); /* the log stays no longer */
/* A referenced view of the log open in this process, or NULL. */
struct dwal__view *dwal__view_find(uint64_t device, uint64_t inode);
void dwal__view_release(struct dwal__view *view);
void dwal__view_write(struct dwal__view *view,
                      const struct dwal__watermark *durable);
void dwal__view_trim(struct dwal__view *view, uint64_t first_lsn);
void dwal__view_read(void *view, struct dwal__watermark *durable,
                     uint64_t *first_lsn);
void dwal__view_fail(struct dwal__view *view);
/* Wakes who waits: what the view says has changed. */
void dwal__view_tell(struct dwal__view *view);
/* Between begin and end the view is kept. dwal__view_wait comes back when it
 * was told something since dwal__view_news, at @deadline, or for no reason. */
void dwal__view_wait_begin(struct dwal__view *view);
void dwal__view_wait_end(struct dwal__view *view);
uint32_t dwal__view_news(struct dwal__view *view);
void dwal__view_wait(struct dwal__view *view, uint32_t news, int64_t deadline);

#endif
