/* SPDX-License-Identifier: MIT */
/*
 * A filesystem and the disk below it, in memory, as unhelpful as SPEC 1 allows:
 * behind struct dwal__disk_ops for everything, and behind struct dwal__aio_ops
 * for batches. One directory, /log, in one that always exists.
 *
 * What is volatile:
 *   - each 512-byte sector, from its write to the end of a sync of its file
 *     that began after the write had ended (or of its RWF_DSYNC write);
 *   - each create, rename and unlink, until a sync of the directory that began
 *     after it; the directory itself until a sync of the one above;
 *   - the size of a file, until a sync of it.
 * Writes in flight may have reached the disk in any sector, and complete in any
 * order; no sync waits for them.
 *
 * A crash takes a simdisk to another one: on which all that is left is durable
 * (simdisk_power_cut), or that the next process finds after a kill
 * (simdisk_kill). What a crash leaves open, a struct chooser decides.
 *
 * It watches the library as well, and notes in simdisk.complaint: a buffer that
 * changes under I/O, a sector that is written twice, a write into a segment of
 * an earlier life, a misaligned direct write, a handle that is not open.
 */
#ifndef DWAL_TESTS_CRASH_SIMDISK_H
#define DWAL_TESTS_CRASH_SIMDISK_H

#include "recover/disk.h"
#include "src/aio.h"

#define SIM_SECTOR 512u
#define SIM_NAME_SIZE 32
#define SIM_ENTRIES_MAX 96
#define SIM_INODES_MAX 192
#define SIM_PENDING_MAX 96
#define SIM_HANDLES_MAX 64
#define SIM_FLIGHTS_MAX 40
#define SIM_PATH "/log"

/* Bytes of a sector, shared by all that have them; NULL stands for zeros. */
struct sim_sector {
    uint32_t references;
    uint8_t bytes[SIM_SECTOR];
};

struct sim_version {
    struct sim_version *older;
    struct sim_sector *content;
    uint64_t stamp; /* of the write, counted by file */
};

struct sim_cell {
    struct sim_sector *stable;  /* on the platter */
    struct sim_sector *before;  /* what was there before that */
    struct sim_version *newest; /* not synced, down to the oldest */
    bool written;               /* ever: not a hole */
    bool batch; /* a batch went here since the file has its name */
    bool unreadable;
};

struct sim_inode {
    uint64_t id;
    uint64_t size, stable_size;
    size_t cell_count;
    struct sim_cell *cells;
    uint64_t stamp; /* of the last write */
    int locked_by;  /* handle; -1: nobody */
    bool foreign;   /* of an earlier life, and not renamed since */
    bool marked;    /* for the sweep */
};

struct sim_entry {
    char name[SIM_NAME_SIZE];
    int inode;
};

struct sim_directory {
    struct sim_entry entries[SIM_ENTRIES_MAX]; /* by name */
    int count;
};

/* A directory operation that is not synced. */
struct sim_pending {
    char from[SIM_NAME_SIZE];
    char to[SIM_NAME_SIZE]; /* empty: unlink, or create */
    int inode;              /* of a create, else -1 */
};

struct sim_handle {
    enum { SIM_FREE, SIM_FILE, SIM_DIRECTORY, SIM_PARENT } kind;
    int inode;
    int flags;
};

enum sim_operation {
    SIM_DIR_MAKE,
    SIM_DIR_OPEN,
    SIM_DIR_LIST,
    SIM_DIR_SYNC,
    SIM_RENAME,
    SIM_UNLINK,
    SIM_OPEN,
    SIM_SIZE,
    SIM_ALIGNMENT,
    SIM_READ,
    SIM_WRITE,
    SIM_ALLOCATE,
    SIM_WRITTEN_UNTIL,
    SIM_SYNC,
    SIM_LOCK,
    SIM_SETUP,
    SIM_SUBMIT_WRITE,
    SIM_SUBMIT_SYNC,
    SIM_REAP,
    SIM_OPERATION_COUNT
};

/* One operation of a run, for the trace. */
struct sim_trace {
    enum sim_operation operation;
    const char *who;
    char name[SIM_NAME_SIZE];
    uint64_t offset, size;
    int64_t time_ns;
    int64_t result;
};

/* What happens to one operation instead of what should. */
struct sim_fault {
    uint64_t at;     /* number of the operation */
    bool forever;    /* to all later ones of its kind as well */
    int64_t back_ns; /* after so long it is over: what never ends does, what is
                      * blocked goes on; 0: not before simdisk_release */
    int64_t result;  /* a negative errno; of a write's event also bytes */
    enum { SIM_NOTHING_DONE, SIM_SOME_DONE, SIM_ALL_DONE } effect;
    /* SIM_AT_EVENT and SIM_NEVER are for submissions: it comes in the event,
     * or there is no event. SIM_BLOCKED: the library's own threads do not come
     * back from the call. SIM_STILL: the disk does nothing at all: no event,
     * and no call comes back but those that submit and reap. */
    enum { SIM_AT_CALL, SIM_AT_EVENT, SIM_NEVER, SIM_BLOCKED, SIM_STILL } when;
    bool struck;                  /* it happened … */
    int64_t struck_ns;            /* … then … */
    enum sim_operation operation; /* … to one of these */
};

/* A write or a sync under way. */
struct sim_flight {
    struct iocb *iocb; /* the caller's: only for the event */
    void *data;        /* as it was at the submission, like the rest */
    int inode;
    bool sync;
    bool dsync;
    const uint8_t *bytes; /* the caller's: must not change */
    uint64_t offset;
    uint32_t sectors;
    struct sim_sector **content; /* as it was at the submission */
    bool *landed;
    uint64_t stamp; /* sync: what it covers */
    uint64_t size;  /* sync: of the file then */
    int64_t ready_ns;
    uint64_t operation; /* number of the submission */
    const struct sim_fault *fault;
};

/* Who decides what is left open. choose(n), n > 1, returns 0 to n - 1: 0 is the
 * oldest, n - 1 the newest. @tears: a sector may be left half of one version
 * and half of another, which is worse than SPEC 1 has it. */
struct chooser {
    unsigned (*choose)(struct chooser *chooser, unsigned count);
    bool tears;
};

struct simdisk {
    struct dwal__disk disk; /* first: operations get a pointer to it */
    bool made, made_stable; /* the directory */
    struct sim_directory now, stable;
    struct sim_pending pending[SIM_PENDING_MAX];
    int pending_count;
    struct sim_inode *inodes[SIM_INODES_MAX];
    struct sim_handle handles[SIM_HANDLES_MAX];
    int dir_locked_by;
    uint64_t lease_lsn;   /* somebody has a lease on it; 0: nobody */
    uint64_t claimed_lsn; /* the last that the writer has claimed */
    struct sim_flight *flights[SIM_FLIGHTS_MAX];
    int flight_count;
    uint64_t random;

    /* The device. */
    uint32_t alignment; /* of direct I/O; 0: it refuses O_DIRECT */
    uint64_t capacity;  /* bytes of all files; UINT64_MAX: no limit */
    int64_t latency_ns; /* of most I/O */

    /* The run. */
    uint64_t operations; /* so far */
    uint64_t changes;    /* of them, those that change something */
    uint64_t effects;    /* moves whenever a crash may leave another state */
    struct sim_fault *fault; /* NULL: none */
    struct sim_trace *trace; /* NULL: not kept */
    size_t trace_room;
    /* Before each operation, when all before it is done. */
    void (*before)(void *argument, struct simdisk *sim);
    void *argument;
    bool released;       /* simdisk_release was called */
    bool repairing;      /* may write into segments of an earlier life */
    char complaint[256]; /* empty: none */
};

struct simdisk *simdisk_new(uint64_t seed);
void simdisk_free(struct simdisk *sim);

/* Files, what is volatile and what is in flight; neither handles nor hooks. */
struct simdisk *simdisk_clone(const struct simdisk *sim);

/* The aio table on @sim. */
struct dwal__aio simdisk_aio(struct simdisk *sim);

/* Keeps a trace from now on, and counts operations from 0. */
void simdisk_trace_keep(struct simdisk *sim);

/* The machine loses its power: another disk, everything on it durable. */
struct simdisk *simdisk_power_cut(const struct simdisk *sim,
                                  struct chooser *chooser);
/* The process is killed: I/O in flight ends, nothing is lost. */
struct simdisk *simdisk_kill(const struct simdisk *sim);

/* True if something is volatile or in flight. */
bool simdisk_unsynced(const struct simdisk *sim);

/* What never came back, or is blocked, goes on now. */
void simdisk_release(struct simdisk *sim);

/* The file of this name now, or NULL. */
struct sim_inode *simdisk_file(const struct simdisk *sim, const char *name);
/* Its sector @index as it is read; NULL: zeros. */
struct sim_sector *simdisk_sector(const struct sim_inode *inode, size_t index);
/* Replaces it, durably. */
void simdisk_put_sector(struct sim_inode *inode, size_t index,
                        const uint8_t *bytes);
/* Takes a file away, durably. */
void simdisk_remove(struct simdisk *sim, const char *name);
/* The whole file as it is read, into inode->size @bytes. */
void simdisk_read_file(const struct sim_inode *inode, uint8_t *bytes);

/* NULL if both hold the same names and bytes, else a name that differs. */
const char *simdisk_difference(const struct simdisk *a,
                               const struct simdisk *b);

/* Writes what is there now as real files into the directory @path, which it
 * makes. False if that failed. */
bool simdisk_dump(const struct simdisk *sim, const char *path);

/* Prints the @count operations before number @until. */
void simdisk_trace_print(const struct simdisk *sim, uint64_t until,
                         unsigned count);

#endif
