/* SPDX-License-Identifier: MIT */
/*
 * dwal: a write-ahead log in aligned segment files.
 *
 * Many threads append; one write and one sync carry their records; each gets
 * its own LSN and its own truthful result. A log has one writer (a process that
 * opened it with dwal_open) and any number of readers (cursors), in the same
 * process, in another, or without any writer.
 *
 *     struct dwal_options options;
 *     dwal_options_init(&options);
 *     options.create = DWAL_CREATE_IF_ABSENT;
 *     struct dwal *log;
 *     struct dwal_error error;
 *     if (dwal_open("/var/lib/x/log", &options, &log, &error) != DWAL_OK)
 *         die(error.text);
 *     struct dwal_record record = {.data = "hello", .size = 5};
 *     uint64_t lsn;
 *     if (dwal_commit(log, &record, &lsn, &error) != DWAL_OK)
 *         die(error.text);
 *     dwal_close(log, &error);
 *
 * LSNs are 1, 2, 3 …, dense over all records of the log, but for the holes of a
 * log that walfsck --salvage made: cursors tell each (DWAL_ECORRUPT, with the
 * LSN to seek to). What is cut off (dwal_cut) gives its LSNs back.
 *
 * Durability. A record is durable when dwal_wait or dwal_commit returned 0 for
 * it, or when its LSN is at or below dwal_durable_lsn. It is then found again
 * after any crash until it is trimmed or cut off, or the next dwal_open says
 * DWAL_ECORRUPT. A record that was
 * appended and not waited for becomes durable soon by itself, in LSN order.
 *
 * Failure. A write or a sync that fails, comes short or takes longer than
 * io_timeout_ms is final: the log has failed. Records not known to be durable
 * then have an unknown outcome (DWAL_EFAILED), all later calls are refused,
 * and the only way on is to close the log and open it again, which finds out
 * what is on disk. SPEC 16 lists what each fault leads to.
 *
 * Deadlines. Whoever waits comes back: for an LSN or for dwal_close when
 * io_timeout_ms is over, for room when append_timeout_ms is. An operation that
 * is slow is told through options.log while it is under way. What no deadline
 * can be kept for are the calls that read and write in the caller's own thread:
 * dwal_open, cursors, dwal_cut, and with DWAL_SUBMIT_CALLER a submission that
 * the kernel does not return from.
 *
 * A full disk. A creation takes space for four segments, two of which are kept
 * back as a reserve: with them a log can be opened and trimmed also when
 * nothing else is left. Segments are allocated before they are used, so an
 * append is refused (DWAL_ENOSPC) before it has an LSN; no commit meets a full
 * disk halfway. Reading and closing go on, and so does appending, by itself,
 * once there is space or a trim has let a segment go.
 *
 * Every function returns 0 or a negative DWAL_E… code, and tells the detail in
 * @error, which may be NULL. On failure outputs are left alone, unless the
 * function says otherwise. The library never prints, never exits, and calls only options.log.
 *
 * Threads. All functions on a struct dwal may be called from any thread at any
 * time, except that nothing may be called once dwal_close has begun, but for
 * calls that were already waiting: they come back with 0 if their records
 * became durable, DWAL_ECLOSED if they had no LSN yet, DWAL_EFAILED after a
 * failure. A cursor belongs to one thread at a time. A signal interrupts no
 * call, with or without SA_RESTART.
 *
 * Processes. In a child of fork() the parent's handles and cursors are good for
 * nothing: each call returns DWAL_EINVAL; dwal_close gives back the child's
 * copies of the lock and of the event descriptor. The parent's dwal_close frees
 * the lock for others whatever its children do; if the parent dies, a child
 * that neither calls exec nor ends keeps the log locked (DWAL_EBUSY). walfsck
 * -p and -y refuse while a writer has the log.
 *
 * NULL. @error, and the outputs that say so, may be NULL. Without a log, a
 * cursor or a lease, functions return DWAL_EINVAL, or 0 if they return a
 * number; dwal_close, dwal_cursor_close and dwal_lease_close do nothing.
 */
#ifndef DWAL_H
#define DWAL_H

#include <stddef.h>
#include <stdint.h>

#include "dwal_error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is declared here is exported; all else is built hidden. */
#pragma GCC visibility push(default)

#define DWAL_VERSION_MAJOR 0
#define DWAL_VERSION_MINOR 1
#define DWAL_VERSION_PATCH 0

/* "0.1.0 (CRC-32 by zlib)". Static. */
const char *dwal_version(void);

/* ---- options ---- */

enum dwal_create {
    DWAL_CREATE_NEVER = 0,     /* DWAL_ENOENT where there is no log */
    DWAL_CREATE_IF_ABSENT = 1, /* makes the directory too, but not its parent */
    DWAL_CREATE_NEW = 2        /* DWAL_EEXIST where there is one */
};

enum dwal_direct {
    DWAL_DIRECT_REQUIRED = 0, /* DWAL_EUNSUPPORTED where O_DIRECT is refused */
    DWAL_DIRECT_PREFERRED = 1,
    DWAL_DIRECT_OFF = 2 /* through the page cache; durable all the same */
};

enum dwal_sync {
    /* What is faster for one small write: both are measured before the first
     * append of each open, for 20 ms at most. Without a volatile cache it is
     * DSYNC. Kept until dwal_close. */
    DWAL_SYNC_AUTO = 0,
    DWAL_SYNC_DSYNC = 1, /* each write with RWF_DSYNC */
    DWAL_SYNC_FDSYNC = 2 /* writes, then one IOCB_CMD_FDSYNC over them */
};

enum dwal_submit {
    /* A thread of the log submits and reaps. Callers always come back by their
     * deadline, also when io_submit blocks on a frozen filesystem. */
    DWAL_SUBMIT_THREAD = 0,
    /* Who waits submits for all. Saves two context switches a commit, but a
     * caller inside a blocked io_submit (a frozen filesystem) cannot come back
     * before it ends; all others do, also dwal_close. */
    DWAL_SUBMIT_CALLER = 1
};

enum dwal_gather {
    /* After a flush, wait for the callers that it released, for a quarter of
     * the measured flush at most, if that pays; never for a lone caller. */
    DWAL_GATHER_AUTO = 0,
    /* Natural batching alone. */
    DWAL_GATHER_OFF = 1
};

enum dwal_wait_how {
    /* Who waits beside others for a flush below half a millisecond lets them
     * run (sched_yield) before it sleeps, for two flushes at most, if that is
     * measured to carry clearly more; it then uses idle processors. Not while
     * something else wants them. */
    DWAL_WAIT_AUTO = 0,
    DWAL_WAIT_SLEEP = 1
};

enum dwal_log_level { DWAL_LOG_WARNING = 1, DWAL_LOG_NOTICE = 2 };

enum dwal_preset {
    /* The shortest commit of few threads: callers submit. */
    DWAL_PRESET_LATENCY = 0,
    /* The default. */
    DWAL_PRESET_BALANCED = 1,
    /* The most bytes a second: larger batches, more of them in flight, huge
     * pages. */
    DWAL_PRESET_THROUGHPUT = 2
};

/* Fill with dwal_options_init, then change what should differ. */
struct dwal_options {
    size_t size; /* of this struct; set by dwal_options_init */

    int create; /* enum dwal_create; DWAL_CREATE_NEVER */

    /* Bytes of each segment file that will be made, a multiple of the block
     * size, 64 KiB to 1 TiB; 64 MiB. A record must fit into a segment. Each
     * open that writes begins a new file, which stays until it is trimmed: who
     * opens, appends a little and closes over and over wants small ones. */
    uint64_t segment_size;
    /* A segment older than this is left at the next append; 0: never. */
    uint64_t segment_age_max_ms;
    /* Bytes, a power of two, 4096 to 65536; 0: what the device wants, 4096 at
     * least. */
    uint32_t block_size;
    int direct; /* enum dwal_direct; DWAL_DIRECT_PREFERRED */
    int sync;   /* enum dwal_sync; DWAL_SYNC_AUTO */
    int submit; /* enum dwal_submit */
    int gather; /* enum dwal_gather; DWAL_GATHER_AUTO */
    int wait;   /* enum dwal_wait_how; DWAL_WAIT_AUTO */

    /* Bounds on what is appended and not yet durable, for every caller alike.
     * Bytes of staging memory, 1 MiB to 1 GiB; records, 1 to 2^30. Memory is
     * touched only as it is used. */
    uint64_t queue_bytes_max;
    uint32_t queue_records_max;
    /* A batch is closed at this size; a larger record gets its own. */
    uint64_t batch_bytes_max;
    /* Batches under I/O at once, 1 to 32. */
    uint32_t in_flight_max;
    /* 1: staging memory in huge pages, where the system has them. A large
     * write is then one piece of memory for the device instead of hundreds,
     * which is worth half again the speed of a stream; a log that appended
     * anything takes 2 MiB at least. 0 or 1. */
    int huge_pages;

    /* How long dwal_append waits for room; 0: refuse at once. */
    int append_timeout_ms;
    /* How long an operation of the disk may take before the log has failed: a
     * write, a sync, the making of a segment. */
    int io_timeout_ms;
    /* One that takes longer is reported through the log callback, while it is
     * under way; 0: never. */
    int slow_io_ms;
    /* After so long without a commit, one small write makes even the last
     * record provable after a crash (SPEC 11.10); 0: never. */
    int mark_delay_ms;

    /* Retention: a trim at the end of a segment that nobody has to ask for,
     * within what leases allow (dwal_lease_open). Looked at when a segment was
     * left and all of it is durable, at the first append of an open, and when
     * there is no room for a segment; so an idle log keeps what it has, and the
     * segment in use is always kept.
     *
     * The oldest segments go until those that were left take no more than so
     * many bytes of files together, without the one in use, those prepared and
     * the spares; 0: never, otherwise segment_size at least. */
    uint64_t retain_bytes;
    /* A segment goes when it was left so long ago, which all records in it then
     * are; 0: never. By the wall clock, across opens: one that is set forward
     * makes everything older. */
    uint64_t retain_ms;

    /* At open, check at least the newest so many bytes of the log, even where
     * recovery does not need them; 256 MiB. UINT64_MAX: all of it. */
    uint64_t verify_bytes;

    /* Called with one line of text, from any thread, never from two at once
     * for one log, and never while a lock is held that a dwal function needs.
     * Must not call dwal functions on this log. May be NULL. */
    void (*log)(void *log_argument, int level, const char *text);
    void *log_argument;
};

/* The defaults, which are those of DWAL_PRESET_BALANCED. */
void dwal_options_init(struct dwal_options *options);

/*
 * Sets submit, queue_bytes_max, queue_records_max, batch_bytes_max,
 * in_flight_max and huge_pages together:
 *
 *   LATENCY      CALLER   32 MiB    262,144   256 KiB   4   0
 *   BALANCED     THREAD   32 MiB  1,048,576     1 MiB   4   0
 *   THROUGHPUT   THREAD   32 MiB  4,194,304     2 MiB   8   1
 *
 * DWAL_EINVAL: no such preset.
 */
int dwal_options_preset(struct dwal_options *options, int preset);

/* ---- the log ---- */

struct dwal;

struct dwal_record {
    uint64_t lsn;     /* set by cursors; ignored by appends */
    const void *data; /* may be NULL if size is 0 */
    uint32_t size;    /* bytes */
    uint16_t type;    /* the application's own, like all that follow */
    uint16_t flags;
    uint32_t tenant;
    uint32_t shard;
};

/*
 * Open the log in directory @path for writing, or create it.
 *
 * Locks it, recovers it, and changes nothing on disk until the first append,
 * trim, rotation, cut or metadata (creation excepted). A torn tail is accepted,
 * and told through options.log: the records in it were possibly, not provably,
 * acknowledged. Proven loss is refused. @options may be NULL: the defaults. Its
 * content is copied. *@log is freed by dwal_close.
 *
 * Returns 0, or:
 *   DWAL_EINVAL       an option is out of its limits (the text names it)
 *   DWAL_ENOENT       no log here, and not asked to create one; or its
 *                     directory has no parent
 *   DWAL_EEXIST       DWAL_CREATE_NEW, and there is one
 *   DWAL_EBUSY        another writer, perhaps in this process, has it; or one
 *                     that is gone has I/O on its way that never came back
 *   DWAL_ECORRUPT     acknowledged data is damaged or gone; walfsck tells more
 *   DWAL_EIO          something could not be read, made or locked
 *   DWAL_ENOSPC       no space to create it
 *   DWAL_EVERSION     a newer dwal is needed
 *   DWAL_EUNSUPPORTED DWAL_DIRECT_REQUIRED, and O_DIRECT is refused
 *   DWAL_ENOMEM
 */
int dwal_open(const char *path, const struct dwal_options *options,
              struct dwal **log, struct dwal_error *error);

/*
 * Stage one record for the next batch.
 *
 * Copies @record->size bytes, so the caller may reuse them at once. The record
 * is not yet durable: it is once dwal_wait(@log, *@lsn, ...) returns 0. It will
 * be written without being waited for. Any thread. Blocks only while the
 * staging buffers are full or no segment is ready, and then for
 * options.append_timeout_ms at most.
 *
 * Returns 0 and sets *@lsn (which may be NULL). Otherwise gives no LSN:
 *   DWAL_EINVAL   larger than dwal_record_size_max(@log)
 *   DWAL_EAGAIN   the buffers stayed full, or the log was being cut
 *   DWAL_ENOSPC   there is no space for a next segment; trim, or free some: the
 *                 log goes on by itself
 *   DWAL_EFAILED  an earlier write failed; reopen the log to recover
 *   DWAL_ECLOSED  dwal_close has begun
 *   DWAL_ENOMEM   the first append could not start the log's thread
 */
int dwal_append(struct dwal *log, const struct dwal_record *record,
                uint64_t *lsn, struct dwal_error *error);

/*
 * Stage @count records that belong together: after a crash all of them are
 * there or none. They get consecutive LSNs, *@first_lsn and on. Otherwise as
 * dwal_append; DWAL_EINVAL also if count is 0 or more than 65,536, or if they
 * do not fit together into dwal_record_size_max(@log) bytes, each counted with
 * 40 bytes more than its payload.
 */
int dwal_append_batch(struct dwal *log, const struct dwal_record *records,
                      size_t count, uint64_t *first_lsn,
                      struct dwal_error *error);

/*
 * Wait until the record with @lsn, and with it all before it, is durable; at
 * most @timeout_ms (0: only look; negative: without a limit of its own, which
 * the log's I/O timeout then bounds).
 *
 *   0              durable, whatever happened to the log afterwards
 *   DWAL_ETIMEDOUT not yet; it may still become so
 *   DWAL_EFAILED   the log failed before: the outcome is unknown
 *   DWAL_EINVAL    no record has this LSN
 *   DWAL_ECUT      the record that had it was cut off
 */
int dwal_wait(struct dwal *log, uint64_t lsn, int timeout_ms,
              struct dwal_error *error);

/*
 * dwal_append, then dwal_wait without a limit of its own. *@lsn is set as soon
 * as there is one, also if the outcome then is DWAL_EFAILED. The codes of both;
 * every code but DWAL_EFAILED means that the record is not in the log.
 */
int dwal_commit(struct dwal *log, const struct dwal_record *record,
                uint64_t *lsn, struct dwal_error *error);

/* The last LSN of the durable prefix, 0 if there is none. Any thread, no lock,
 * no system call. Moves back only when dwal_cut or dwal_reset does that. */
uint64_t dwal_durable_lsn(const struct dwal *log);

/* The first LSN that has not been trimmed; dwal_durable_lsn + 1 in a log
 * without records. */
uint64_t dwal_first_lsn(const struct dwal *log);

/* The largest payload that dwal_append accepts, in bytes: bounded by
 * segment_size and queue_bytes_max; more than 16 MiB with the defaults. */
uint32_t dwal_record_size_max(const struct dwal *log);

/*
 * Go on in a new segment: records appended after the return are there. Does
 * nothing if the current segment has no records yet. Durable on return.
 * Returns 0 or the codes of dwal_commit.
 */
int dwal_rotate(struct dwal *log, struct dwal_error *error);

/*
 * Declare that records below @lsn are no longer needed. Durable on return. They
 * cannot be read any more; whole segments of them are recycled, at once as far
 * as the trim record lies in a later segment, which dwal_rotate can see to.
 * A lower @lsn than before does nothing.
 *
 * Leases (dwal_lease_open) are respected: then it trims up to the lowest of
 * them, returns 0 all the same, and dwal_first_lsn says how far that was. The
 * rest is remembered until dwal_close, and done by the next trim, or when a
 * segment is left, or there is no room for one, and no lease is in the way any
 * more; there is no timer. A cut forgets what it drops.
 *
 * Returns 0, the codes of dwal_commit, DWAL_EINVAL if @lsn is larger than
 * dwal_durable_lsn + 1, also because of a cut that is made at the same time, or
 * DWAL_EIO if leases cannot be looked for.
 */
int dwal_trim(struct dwal *log, uint64_t lsn, struct dwal_error *error);

/*
 * Drop all records behind @lsn: the log goes on with @lsn + 1, an LSN that is
 * then given again. 0 drops all that was never trimmed, as does the LSN before
 * dwal_first_lsn. What was appended before is made durable first; after a crash
 * the log ends as before or as after, never in between, and once this has
 * returned 0, as after. The trim point and the metadata stay.
 *
 * Who waits for a record that is then cut off is told that it was durable,
 * which is true. An LSN that was cut off and not given again is DWAL_ECUT to
 * dwal_wait; a cursor that has shown what was cut off returns it too, once it
 * comes to where it knew the end to be. Appends made meanwhile wait for the end
 * of the cut, append_timeout_ms at most, and get LSNs behind @lsn. Does nothing
 * if no record is behind @lsn.
 *
 * Returns 0, or:
 *   DWAL_EINVAL   @lsn was never given, or what is kept would end before
 *                 dwal_first_lsn
 *   DWAL_ECUT     @lsn itself was cut off before
 *   DWAL_EAGAIN   another cut or reset is under way; or what was appended did
 *                 not become durable within io_timeout_ms. Nothing was dropped
 *   DWAL_ENOSPC   there is no space for a next segment. One that drops whole
 *                 segments may take what is kept in reserve
 *   DWAL_EFAILED  a write failed, now or before: as before or as after
 *   DWAL_ECORRUPT, DWAL_EVERSION, DWAL_EIO  the place cannot be read; nothing
 *                 was dropped
 *   DWAL_ECLOSED, DWAL_ENOMEM
 */
int dwal_cut(struct dwal *log, uint64_t lsn, struct dwal_error *error);

/*
 * Empty the log, which then goes on with @lsn: after a snapshot came from
 * elsewhere, say. @lsn is dwal_first_lsn at least and may be larger than all
 * LSNs that were given. dwal_first_lsn is @lsn then, and dwal_durable_lsn the
 * one before. Otherwise as dwal_cut, whose codes it returns; a cursor is told
 * DWAL_ECUT if it has shown records from @lsn on, DWAL_ETRIMMED if it has not
 * shown all that was before. DWAL_EINVAL: @lsn is below dwal_first_lsn, or
 * 2^63 or more. Leases do not hold it back: those below @lsn hold nothing then.
 */
int dwal_reset(struct dwal *log, uint64_t lsn, struct dwal_error *error);

#define DWAL_META_SIZE_MAX 1024u

/*
 * Replace the log's metadata, a blob of at most DWAL_META_SIZE_MAX bytes that
 * is the application's: a term and a vote, say. Durable on return; after a
 * crash the whole of it or the whole of the one before is there. It outlives
 * trims and cuts. Of several that are set at once, one is the last. @data may
 * be NULL if @size is 0, which is the same as none.
 *
 * Returns 0, or the codes of dwal_commit, DWAL_EINVAL also if it is too large;
 * every code but DWAL_EFAILED means that the log has the one before.
 */
int dwal_meta_set(struct dwal *log, const void *data, size_t size,
                  struct dwal_error *error);

/*
 * The metadata that was last known to be durable, into the @size bytes at
 * @data. Sets *@used (which may be NULL) to its size, 0 if there is none, also
 * if there is no room for it: then it returns DWAL_EINVAL and copies nothing.
 * So @data may be NULL, with @size 0, to ask. No system call; also on a log
 * that has failed.
 */
int dwal_meta_get(struct dwal *log, void *data, size_t size, size_t *used,
                  struct dwal_error *error);

/*
 * Write what was appended, note the clean end, release everything, also the
 * event descriptor. Waits for I/O for io_timeout_ms at most, and then a second
 * for what is late. Frees @log. Outcomes that were not reaped are not told: the
 * result stands for them.
 *
 *   0             all that was ever appended is durable
 *   DWAL_EFAILED  the log had failed, or failed now; the text says whether I/O
 *                 was left on its way. Then buffers and the lock stay until it
 *                 ends, so that nobody opens the log under a late write.
 *   DWAL_EINVAL   this process is a child of the one that opened it; not freed
 */
int dwal_close(struct dwal *log, struct dwal_error *error);

/*
 * DWAL_OK while the log is in order; otherwise DWAL_EFAILED, and @error says
 * what made it fail. Any thread, does not block.
 */
int dwal_failure(struct dwal *log, struct dwal_error *error);

/* ---- event loops ---- */

/*
 * For one thread that sleeps in epoll, poll, libuv … and never in the log. No
 * function calls back: what became of records is fetched by dwal_reap.
 *
 *     dwal_event_fd(log, &fd, &error);           watch it for reading
 *     dwal_append_async(log, records, count, request, &lsn, &error);
 *     …                                          fd is readable:
 *     dwal_reap(log, done, 64, &count, &error);  answer done[0 … count - 1]
 *
 * All functions may be called from any thread, and mixed with all others.
 *
 * With DWAL_SUBMIT_CALLER the loop does the log's work, too, which saves two
 * changes of thread a commit: dwal_append_async submits, the kernel makes the
 * descriptor readable, dwal_reap makes durable_lsn advance, and submits what has
 * come meanwhile. Where several answers come at once, what is appended before the
 * loop sleeps again goes into one write. Neither waits for I/O; only a submission
 * that the kernel does not return from (a frozen filesystem) holds them up, and
 * the loop with them, until it ends. For a loop that does not come back the log's
 * thread takes over after slow_io_ms.
 */

/*
 * A descriptor to be watched for reading, level- or edge-triggered: readable
 * when, since the last dwal_reap, the durable prefix has advanced, the log has
 * failed, or a dwal_append_async that was told DWAL_EAGAIN may find room. It is
 * readable at first, and may be for nothing. dwal_reap makes it unreadable; the
 * caller neither reads, writes nor closes it. It is the log's own, the same at
 * each call, close-on-exec, and closed by dwal_close: take it out of the loop
 * before.
 *
 * From the first call on the log has one more thread, which keeps io_timeout_ms
 * for who sleeps elsewhere: the descriptor tells of a disk that hangs. While
 * nothing is under way, that thread sleeps. After a failure dwal_failure tells
 * the reason.
 *
 * Sets *@fd and returns 0, or:
 *   DWAL_EINVAL  @fd is NULL
 *   DWAL_ENOMEM  no descriptor, or no thread, is to be had
 */
int dwal_event_fd(struct dwal *log, int *fd, struct dwal_error *error);

/* What became of the records of one dwal_append_async. */
struct dwal_completion {
    uint64_t lsn;   /* of the first of them */
    uint32_t count; /* of records, from lsn on */
    int code;       /* DWAL_OK: all durable; DWAL_EFAILED: not known */
    void *context;  /* as given to dwal_append_async */
};

/* So many may be outstanding: appended and not reaped. */
#define DWAL_COMPLETIONS_MAX 65536u

/*
 * dwal_append_batch for event loops: never waits for room, and what becomes of
 * the records is told by dwal_reap, once, with @context, which the library does
 * not look at. Only the first append of an open may take some ms, in which the
 * log's threads are started. The records are copied, and committed without
 * being waited for.
 *
 * Returns 0 and sets *@first_lsn (which may be NULL). Otherwise gives no LSN,
 * and dwal_reap will not speak of it:
 *   DWAL_EINVAL   as dwal_append_batch
 *   DWAL_EAGAIN   no room, or no segment is ready, or a cut is under way: try
 *                 again when the descriptor is readable. Or
 *                 DWAL_COMPLETIONS_MAX are outstanding: reap first
 *   DWAL_ENOSPC   there is no space for a next segment: trim, or free some, and
 *                 try again; nobody tells when there is
 *   DWAL_EFAILED  an earlier write failed; reopen the log to recover
 *   DWAL_ECLOSED  dwal_close has begun
 *   DWAL_ENOMEM   no thread, or no memory, is to be had
 */
int dwal_append_async(struct dwal *log, const struct dwal_record *records,
                      size_t count, void *context, uint64_t *first_lsn,
                      struct dwal_error *error);

/*
 * Take up to @room completions into @completions, in the order of their
 * appends, which is that of their LSNs. Never waits. Sets *@count, also to 0.
 * If there are more, the descriptor is readable again.
 *
 * Each comes once, to one thread if several reap. After a failure those that
 * are known to be durable come with DWAL_OK, then all others with DWAL_EFAILED.
 * One whose records were cut off meanwhile comes with DWAL_OK: they were
 * durable. What was not reaped before dwal_close is not told any more; if that
 * returns 0, it is durable.
 *
 * Returns 0, also on a log that has failed, or DWAL_EINVAL: @count is NULL, or
 * @completions is and @room is not 0.
 */
int dwal_reap(struct dwal *log, struct dwal_completion *completions,
              size_t room, size_t *count, struct dwal_error *error);

/* ---- stats ---- */

/* Why commits are synced as they are. */
enum dwal_sync_why {
    DWAL_SYNC_WHY_UNDECIDED = 0, /* nothing was appended yet */
    DWAL_SYNC_WHY_ASKED = 1,     /* options.sync */
    DWAL_SYNC_WHY_MEASURED = 2,  /* it was the faster one */
    DWAL_SYNC_WHY_NO_CACHE = 3,  /* the device has no volatile cache */
    DWAL_SYNC_WHY_UNKNOWN = 4    /* it could not be measured */
};

enum dwal_io {
    DWAL_IO_NONE = 0,
    DWAL_IO_WRITE = 1,  /* of a batch */
    DWAL_IO_SYNC = 2,   /* over batches */
    DWAL_IO_SUBMIT = 3, /* io_submit, which has not returned */
    DWAL_IO_FILE = 4    /* a segment is made, filled, renamed, removed */
};

/*
 * What the log did since dwal_open, and how it is. All numbers are uint64_t,
 * flags 0 or 1. Counters never fall; each is exact, but they are read one after
 * the other, so that two of them may be apart by what happens meanwhile.
 */
struct dwal_stats {
    size_t size; /* of this struct; set by the caller */

    /* LSNs, now. */
    uint64_t first_lsn;
    uint64_t durable_lsn;
    uint64_t next_lsn; /* the next append gets this one */
    /* Up to this one the disk proves what is durable, also after a crash that
     * damages the end of the log. */
    uint64_t watermark_lsn;
    uint64_t epoch; /* counts the opens of this log that wrote */

    /* Counters. */
    uint64_t records_appended; /* that got an LSN */
    uint64_t records_durable;
    uint64_t records_system; /* the log's own: starts, trims, marks, a close */
    uint64_t batches;        /* durable; each was one write */
    uint64_t syncs;          /* beside the writes: DWAL_SYNC_FDSYNC */
    uint64_t record_bytes;  /* durable; with 32 bytes a record for its header */
    uint64_t written_bytes; /* durable; with batch headers and padding */
    uint64_t zero_bytes;    /* written ahead of need */
    uint64_t appends_waited;  /* for a place, and got one */
    uint64_t appends_refused; /* DWAL_EAGAIN, DWAL_ENOSPC */
    uint64_t slow_io;         /* told through options.log */

    /* Counters of batches, by what closed them. */
    uint64_t closed_natural;  /* nothing was in flight */
    uint64_t closed_gathered; /* all callers that were waited for had come */
    uint64_t closed_gather_timeout; /* … not all had */
    uint64_t closed_large;          /* large enough to be one more in flight */
    uint64_t closed_full;           /* the next record did not fit in */
    uint64_t closed_segment;        /* dwal_rotate, or the segment's age */
    uint64_t closed_system; /* only records of the log's own are in it */

    /* Counters of segments. */
    uint64_t segments_entered;
    uint64_t segments_made;
    uint64_t segments_recycled; /* of those made: out of a spare file */
    uint64_t segments_retired;  /* trimmed, or dead */

    /* The queue: what is appended and not durable, records of the log's own,
     * headers and padding included. */
    uint64_t queue_records;
    uint64_t queue_bytes;
    uint64_t queue_records_peak; /* looked at when a batch is completed */
    uint64_t queue_bytes_peak;
    uint64_t queue_records_max; /* options */
    uint64_t queue_bytes_max;
    uint64_t appends_waiting; /* for a place, now */
    uint64_t in_flight;       /* operations */

    /* Files, now; told by another thread, so a change may be late. */
    uint64_t segments_live; /* the one in use included */
    uint64_t segments_prepared;
    uint64_t spares;

    /* How it works now. */
    uint64_t sync_method; /* enum dwal_sync; AUTO: not decided yet */
    uint64_t sync_why;    /* enum dwal_sync_why */
    uint64_t dsync_ns;    /* what a small write took; 0: not measured */
    uint64_t fdsync_ns;
    uint64_t flush_ns;  /* moving average of the last batches */
    uint64_t gathering; /* batches wait for callers */
    uint64_t yielding;  /* callers yield before they sleep */

    /* The oldest operation in flight. */
    uint64_t oldest_io;      /* enum dwal_io */
    uint64_t oldest_io_ns;   /* its age */
    const char *oldest_what; /* static text; NULL: none */

    uint64_t failed; /* dwal_failure tells more */

    /* Leases, now. */
    uint64_t leases;    /* LSNs that readers hold, 64 at most are counted */
    uint64_t lease_lsn; /* the lowest of them; 0: none */
    /* Records below it are to be trimmed once leases allow; 0: none are held
     * back, as far as the log knows, which looks when it trims. */
    uint64_t trim_wanted_lsn;
};

/*
 * Fill @stats, as much of it as stats->size says, which the caller has set. Any
 * thread, also on a log that hangs or has failed; costs about a microsecond,
 * and as much for each lease; callers of dwal_append nothing.
 *
 * Returns 0, or DWAL_EINVAL: stats->size is not that of any version.
 */
int dwal_stats_get(struct dwal *log, struct dwal_stats *stats,
                   struct dwal_error *error);

/* What is timed, in ns. */
enum dwal_latency_stage {
    DWAL_LATENCY_PLACE = 0,  /* appends that waited for room: the wait */
    DWAL_LATENCY_GATHER = 1, /* batches that waited for callers: the wait */
    DWAL_LATENCY_WRITE = 2,  /* of a batch: submission to completion */
    DWAL_LATENCY_SYNC = 3,   /* the same, where syncs are separate */
    DWAL_LATENCY_WAKE = 4, /* completion until the last sleeper ran, a batch */
    DWAL_LATENCY_COMMIT = 5, /* dwal_commit, from call to return of 0 */
    DWAL_LATENCY_COUNT = 6
};

struct dwal_latency {
    uint64_t count;
    uint64_t sum_ns;
    /* Never lower than the truth, and at most 0.8 % higher; the maximum is
     * exact. 0 if there are none. */
    uint64_t p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
};

/*
 * One of the histograms since dwal_open. Count and percentiles agree; the sum
 * may be ahead by what comes in meanwhile. Any thread; allocates for the time
 * of the call. Returns 0, DWAL_EINVAL (no such stage) or DWAL_ENOMEM.
 */
int dwal_stats_latency(struct dwal *log, int stage,
                       struct dwal_latency *latency, struct dwal_error *error);

/*
 * All stats and histograms as Prometheus' text format 0.0.4, one label path="…"
 * at each. @size bytes at @buffer, with a final NUL; *@needed (may be NULL) is
 * how many it takes in any case. Numbers grow: have a few hundred more than was
 * needed before. With @size 0 only *@needed is set. Any thread.
 *
 * Returns 0, or DWAL_EINVAL (the buffer is too small, and holds nothing of use)
 * or DWAL_ENOMEM.
 */
int dwal_stats_prometheus(struct dwal *log, char *buffer, size_t size,
                          size_t *needed, struct dwal_error *error);
/* The same for @count logs in one text, as the format wants it. */
int dwal_stats_prometheus_all(struct dwal *const *logs, size_t count,
                              char *buffer, size_t size, size_t *needed,
                              struct dwal_error *error);

/* One histogram in microseconds, as HdrHistogram prints percentiles, which many
 * tools plot. Otherwise as dwal_stats_prometheus; DWAL_EINVAL also if there is
 * no such stage. */
int dwal_stats_percentiles(struct dwal *log, int stage, char *buffer,
                           size_t size, size_t *needed,
                           struct dwal_error *error);

/* ---- reading ---- */

struct dwal_cursor;

/* Initialise with dwal_cursor_options_init. A record must match all filters
 * that are set. */
struct dwal_cursor_options {
    size_t size;        /* of this struct */
    uint64_t start_lsn; /* 0: from the first that is there */
    int filter_type, filter_tenant, filter_shard; /* not 0: it applies */
    uint16_t type;
    uint32_t tenant;
    uint32_t shard;
};

void dwal_cursor_options_init(struct dwal_cursor_options *options);

/*
 * Open a cursor on the log in @path. Needs read permission only, takes no
 * lock, changes nothing. In the writer's process it sees what dwal_durable_lsn
 * says; in others, while a writer has the log, what the log's own watermarks
 * prove, which is everything once the writer pauses for mark_delay_ms; with no
 * writer, what dwal_open would find. @options may be NULL.
 *
 * Memory: the largest batch, and 12 MiB more, with up to four threads of its
 * own, while it reads on through a segment with more than 4 MiB to come.
 *
 * Returns 0, or DWAL_EINVAL, DWAL_ENOENT, DWAL_EIO, DWAL_EVERSION, DWAL_ENOMEM,
 * DWAL_ETRIMMED (start_lsn is below the first), DWAL_ECORRUPT (not even a
 * beginning can be read, or, while a writer has the log, the start of a segment
 * is damaged, a few bytes that name the segment before it; other damage is
 * reported when it is reached).
 */
int dwal_cursor_open(const char *path,
                     const struct dwal_cursor_options *options,
                     struct dwal_cursor **cursor, struct dwal_error *error);

/*
 * The next record that matches, in LSN order. record->data stays valid until
 * the next call on the cursor.
 *
 *   0              *@record is set
 *   DWAL_END       none behind the last durable one; call again for later ones
 *   DWAL_ECORRUPT  the next record is damaged or missing; the text says where
 *   DWAL_ETRIMMED  it was trimmed since; seek to go on
 *   DWAL_ECUT      records that it has shown were cut off; seek to go on
 *   DWAL_EIO       it could not be read
 *   DWAL_EVERSION, DWAL_ENOMEM
 */
int dwal_cursor_next(struct dwal_cursor *cursor, struct dwal_record *record,
                     struct dwal_error *error);

/*
 * As dwal_cursor_next, but where that returns DWAL_END waits for a record that
 * matches to become durable: at most @timeout_ms (0: only look; negative:
 * without a limit). In the writer's process the log wakes who waits. In another
 * one, and while nobody writes, the cursor looks again after 5 ms and then ever
 * more rarely, up to every 200 ms; so it does not wait for a commit but for its
 * proof, as dwal_cursor_open says. It costs who appends nothing.
 *
 * The deadline is also kept while records come that do not match; the cursor
 * then stands behind them. It is not kept where the disk takes longer to read.
 * A log that is closed or opened meanwhile, by anybody, ends no wait.
 *
 * Returns 0 and the codes of dwal_cursor_next, and instead of DWAL_END:
 *   DWAL_ETIMEDOUT none came in time; call again
 *   DWAL_EFAILED   the log in this process has failed, and all that it made
 *                  durable was shown: nothing comes before it is opened again
 *   DWAL_EINVAL    this process is a child of the one that opened the cursor
 */
int dwal_cursor_next_wait(struct dwal_cursor *cursor,
                          struct dwal_record *record, int timeout_ms,
                          struct dwal_error *error);

/*
 * Many records at once: as many of the next ones that match, with LSNs up to
 * @last_lsn (UINT64_MAX: all there are), as fit. Copies their payloads one
 * behind the other into the @size bytes at @buffer, each at a multiple of 8
 * from there on, and describes them in @records, which has room for @room; sets
 * *@count. The cursor stands behind the last of them. @buffer is the caller's,
 * and no further call of the cursor touches it.
 *
 * *@count 0 means that the range is done: nothing up to @last_lsn is left that
 * matches. What stands in the way of a later record is told by the call after
 * the one that returns those before it. A batch is checked wholly before
 * anything of it is copied.
 *
 * Returns 0, or the codes of dwal_cursor_next if there is not even one record;
 * then what is in @buffer and @records means nothing. Also:
 *   DWAL_END     the log ends before @last_lsn; call again for later ones
 *   DWAL_EINVAL  the next record does not fit into @size bytes: *@needed (which
 *                may be NULL) says how many it takes, and the cursor stays
 *                where it is. @room is 0, @buffer NULL with @size not 0, or the
 *                cursor is a parent's
 */
int dwal_cursor_load(struct dwal_cursor *cursor, uint64_t last_lsn,
                     void *buffer, size_t size, struct dwal_record *records,
                     size_t room, size_t *count, size_t *needed,
                     struct dwal_error *error);

/*
 * The record with @lsn, whether it matches the filters or not. The cursor stays
 * where it is; record->data stays valid until the next call on it.
 *
 * Finds places through a sparse index, which is built as records are got and
 * passed by: mostly one read of the disk, of the batch and 32 KiB at most, if
 * something near was got before, otherwise three or so. Where another process
 * has the log, each call also looks whether it was cut, which takes two or
 * three more. From the first call on the cursor takes 2 MiB more for the index
 * (6 MiB for a log of 65,536 segments), the largest batch twice, and 32 open
 * files.
 *
 *   0              *@record is set
 *   DWAL_END       it is not durable yet, as dwal_cursor_open says for this
 *                  process; or was never given
 *   DWAL_ECUT      it was cut off, and its LSN not given again, since the cursor
 *                  knew it; later it is the new record, never the old one
 *   DWAL_ETRIMMED  it is below the first
 *   DWAL_ECORRUPT  it is damaged or missing; the text says where. Others can
 *                  still be read
 *   DWAL_EIO       it could not be read
 *   DWAL_EINVAL    @lsn is 0, or the cursor a parent's
 *   DWAL_EVERSION, DWAL_ENOMEM
 */
int dwal_cursor_get(struct dwal_cursor *cursor, uint64_t lsn,
                    struct dwal_record *record, struct dwal_error *error);

/* Go to @lsn (0: the first that is there): the next record is that one or the
 * first behind it that matches. @lsn may lie behind the end. DWAL_ETRIMMED
 * leaves the cursor where it was; also DWAL_EIO, DWAL_ECORRUPT. */
int dwal_cursor_seek(struct dwal_cursor *cursor, uint64_t lsn,
                     struct dwal_error *error);

void dwal_cursor_close(struct dwal_cursor *cursor);

/* ---- leases ---- */

struct dwal_lease;

/*
 * Hold back every trim of the log in @path, dwal_trim and retention, at @lsn:
 * the record with it and all behind it stay readable until the lease moves on,
 * is closed, or the process ends, however it does. 0: the first that is there.
 * @lsn may lie behind the end. From this process or another, whether or not a
 * writer has the log; two leases at one place are two. Cuts and resets are not
 * held back. *@lease is freed by dwal_lease_close.
 *
 * A lease is a lock on LOCK (SPEC 4.4): read permission is enough, nothing is
 * written, nobody waits for anybody, and whoever stops while holding one stops
 * trims, not the writer. In a child of fork() it is the parent's, as a cursor
 * is; if the parent dies, a child that neither calls exec nor ends keeps it.
 * walfsck that has to replace LOCK ends all leases. Reads as much as
 * dwal_cursor_open. Any thread; a lease belongs to one thread at a time.
 *
 * Returns 0, or:
 *   DWAL_ETRIMMED  the record was trimmed, or a trim of it is under way
 *   DWAL_EINVAL    no path, no lease, or @lsn is 2^63 or more
 *   DWAL_ENOENT    no log here
 *   DWAL_EIO, DWAL_ECORRUPT, DWAL_EVERSION  as dwal_cursor_open
 *   DWAL_ENOMEM    also: the kernel has no more locks
 */
int dwal_lease_open(const char *path, uint64_t lsn, struct dwal_lease **lease,
                    struct dwal_error *error);

/*
 * Let go of what is before @lsn, and hold from there on. Only forward:
 * DWAL_EINVAL otherwise, and in a child of fork(). What it lets go is trimmed
 * later, see dwal_trim. Two system calls. DWAL_ETRIMMED: a reset has emptied
 * the log, and what came after it was trimmed up to there; DWAL_ENOMEM,
 * DWAL_EIO. Whatever it returns but 0 leaves the lease where it was.
 */
int dwal_lease_move(struct dwal_lease *lease, uint64_t lsn,
                    struct dwal_error *error);

/* Where the lease is. */
uint64_t dwal_lease_lsn(const struct dwal_lease *lease);

void dwal_lease_close(struct dwal_lease *lease);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
