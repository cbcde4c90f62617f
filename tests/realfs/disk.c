/* SPDX-License-Identifier: MIT */
/*
 * A disk that is a program: a FUSE mount with one file, `disk`, to be put under
 * a loop device. It logs writes and flushes, and misbehaves when told to.
 *
 * What it promises is what a disk with a volatile cache promises and no more: a
 * flush covers the writes that were answered before it came. So a write is
 * logged when it is answered, a flush when it arrives, and with jitter on a
 * flush overtakes writes that are under way.
 *
 * It is told through a FIFO beside the mount, a line at a time, so that a disk
 * that hangs can still be spoken to. Every line ends up in the log as a mark,
 * after it took effect:
 *
 *     mark TEXT                    nothing but the mark
 *     fail read|write|flush N C    EIO for the C operations after the next N;
 *                                  of several flushes, the first loses what
 *                                  it was for
 *     tear N                       of the write after the next N, only the
 *                                  first half reaches the disk; EIO
 *     hang read|write|flush N MS   from the operation after the next N on,
 *                                  nothing is answered for MS (0: for good)
 *     jitter US                    answer writes and flushes up to so much
 *                                  later, and not in their order
 *     size BYTES                   the disk is so large from now on
 *
 * A watchdog (alarm) kills it after the seconds it was given, and it dies with
 * its parent: then the kernel answers all that waits for it with an error, so
 * nothing stays stuck.
 */
#define FUSE_USE_VERSION 312 /* Debian 12 */
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "writelog.h"

enum operation { OP_READ, OP_WRITE, OP_FLUSH, OPERATIONS };

/* What an operation meets. */
enum fate { FATE_GOOD, FATE_FAIL, FATE_FAIL_FIRST, FATE_TEAR };

static struct {
    pthread_mutex_t lock;   /* of all that follows, and of the log's order */
    pthread_cond_t changed; /* hang_until */
    struct {
        uint64_t seen;      /* operations so far */
        uint64_t fail_from; /* of them, by number: … */
        uint64_t fail_to;
        uint64_t tear_at;
        uint64_t hang_at;
        unsigned hang_ms;
    } plan[OPERATIONS];
    struct timespec hang_until; /* CLOCK_MONOTONIC; tv_sec -1: for good */
    unsigned jitter_us;
    uint64_t random;
    int image;
    uint64_t size;
    struct writelog log;
    const char *fifo;
    struct cached *cached; /* unflushed, the newest first */
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What an unflushed batch of the log has overwritten. */
struct cached {
    struct cached *before;
    uint64_t offset;
    uint64_t size;
    uint8_t old[];
};

static void die(const char *what, int error) {
    fprintf(stderr, "realfs_disk: %s: %s\n", what, strerror(error));
    _exit(1);
}

/* ---- faults; all under the lock ---- */

static uint64_t draw(void) {
    disk.random = disk.random * UINT64_C(6364136223846793005) + 1442695041;
    return disk.random >> 33;
}

static bool hanging(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return disk.hang_until.tv_sec < 0 || disk.hang_until.tv_sec > now.tv_sec ||
           (disk.hang_until.tv_sec == now.tv_sec &&
            disk.hang_until.tv_nsec > now.tv_nsec);
}

static void hang_wait(void) {
    while (hanging()) {
        if (disk.hang_until.tv_sec < 0)
            pthread_cond_wait(&disk.changed, &disk.lock);
        else
            pthread_cond_timedwait(&disk.changed, &disk.lock, &disk.hang_until);
    }
}

static void hang_begin(unsigned ms) {
    clock_gettime(CLOCK_MONOTONIC, &disk.hang_until);
    disk.hang_until.tv_sec += ms / 1000;
    disk.hang_until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (disk.hang_until.tv_nsec >= 1000000000) {
        disk.hang_until.tv_sec++;
        disk.hang_until.tv_nsec -= 1000000000;
    }
    if (ms == 0)
        disk.hang_until.tv_sec = -1;
}

/* Takes the lock, counts the operation, and waits for as long as the disk
 * does not answer. The lock stays taken. */
static enum fate operation_begin(enum operation operation) {
    pthread_mutex_lock(&disk.lock);
    uint64_t number = ++disk.plan[operation].seen;
    if (number == disk.plan[operation].hang_at)
        hang_begin(disk.plan[operation].hang_ms);
    hang_wait();
    if (number >= disk.plan[operation].fail_from &&
        number < disk.plan[operation].fail_to)
        return number == disk.plan[operation].fail_from &&
                       disk.plan[operation].fail_to - number > 1
                   ? FATE_FAIL_FIRST
                   : FATE_FAIL;
    return number == disk.plan[operation].tear_at ? FATE_TEAR : FATE_GOOD;
}

/* With some luck, lets others go first. The lock is free meanwhile. */
static void jitter(void) {
    unsigned us = disk.jitter_us == 0 || draw() % 4 != 0
                      ? 0
                      : (unsigned)draw() % disk.jitter_us;
    if (us == 0)
        return;
    pthread_mutex_unlock(&disk.lock);
    usleep(us);
    pthread_mutex_lock(&disk.lock);
    hang_wait();
}

/* ---- the file ---- */

static void log_entry(const struct writelog_entry *entry) {
    int result = writelog_append(&disk.log, entry);
    if (result != 0)
        die("write the log", -result);
}

/* Remembers what a write of @size @bytes is going to replace: if a flush fails,
 * part of it will be lost. Batches of the log only: filesystems do not survive
 * that (jbd2, for one, passes over a failed flush of its checkpoint). */
static void cached_add(const char *bytes, size_t size, off_t offset) {
    static const char magic[] = {'\xd7', 'B', 'A', 'T'};
    if (size < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
        return;
    struct cached *cached = malloc(sizeof *cached + size);
    if (cached == NULL ||
        pread(disk.image, cached->old, size, offset) != (ssize_t)size)
        die("remember a write", errno);
    cached->before = disk.cached;
    cached->offset = (uint64_t)offset;
    cached->size = size;
    disk.cached = cached;
}

static void sector_lose(const struct cached *cached, uint64_t at) {
    uint64_t sector = disk.log.sector_size;
    if (pwrite(disk.image, cached->old + at, sector,
               (off_t)(cached->offset + at)) != (ssize_t)sector)
        die("lose a write", errno);
    log_entry(&(struct writelog_entry){.offset = cached->offset + at,
                                       .size = sector,
                                       .data = cached->old + at});
}

/* A flush succeeded; or, if @lose, it failed: then any sectors of what it was
 * for are what they were before, and the next flush is none the wiser. */
static void cached_empty(bool lose) {
    while (disk.cached != NULL) {
        struct cached *cached = disk.cached;
        for (uint64_t at = 0; lose && at < cached->size;
             at += disk.log.sector_size)
            if ((draw() & 1) != 0)
                sector_lose(cached, at);
        disk.cached = cached->before;
        free(cached);
    }
}

static int disk_getattr(const char *path, struct stat *status,
                        struct fuse_file_info *file) {
    (void)file;
    memset(status, 0, sizeof *status);
    status->st_nlink = 1;
    status->st_mode = S_IFDIR | 0755;
    if (strcmp(path, "/") == 0)
        return 0;
    if (strcmp(path, "/disk") != 0)
        return -ENOENT;
    status->st_mode = S_IFREG | 0600;
    status->st_size = (off_t)disk.size;
    return 0;
}

static int disk_open(const char *path, struct fuse_file_info *file) {
    file->direct_io = 1; /* no cache between the loop device and the log */
    return strcmp(path, "/disk") == 0 ? 0 : -ENOENT;
}

static int disk_read(const char *path, char *bytes, size_t size, off_t offset,
                     struct fuse_file_info *file) {
    (void)path;
    (void)file;
    enum fate fate = operation_begin(OP_READ);
    pthread_mutex_unlock(&disk.lock);
    if (fate != FATE_GOOD)
        return -EIO;
    /* Not under the lock: nobody reads what is being written. */
    ssize_t got = pread(disk.image, bytes, size, offset);
    return got < 0 ? -errno : (int)got;
}

static int disk_write(const char *path, const char *bytes, size_t size,
                      off_t offset, struct fuse_file_info *file) {
    (void)path;
    (void)file;
    enum fate fate = operation_begin(OP_WRITE);
    jitter();
    size_t kept = size;
    if (fate == FATE_FAIL || fate == FATE_FAIL_FIRST)
        kept = 0;
    else if (fate == FATE_TEAR)
        kept = size / 2 / disk.log.sector_size * disk.log.sector_size;
    int result = 0;
    if (kept > 0)
        cached_add(bytes, kept, offset);
    if (kept > 0 && pwrite(disk.image, bytes, kept, offset) != (ssize_t)kept)
        result = -EIO;
    else if (kept > 0)
        log_entry(&(struct writelog_entry){.offset = (uint64_t)offset,
                                           .size = kept,
                                           .data = (const uint8_t *)bytes});
    pthread_mutex_unlock(&disk.lock);
    if (result != 0 || fate != FATE_GOOD)
        return -EIO;
    return (int)size;
}

static int disk_fsync(const char *path, int data_only,
                      struct fuse_file_info *file) {
    static const char failed[] = "disk: flush failed";
    (void)path;
    (void)data_only;
    (void)file;
    enum fate fate = operation_begin(OP_FLUSH);
    if (fate != FATE_GOOD)
        log_entry(&(struct writelog_entry){.flags = WRITELOG_MARK,
                                           .text = failed,
                                           .text_size = sizeof failed - 1});
    else
        log_entry(&(struct writelog_entry){.flags = WRITELOG_FLUSH});
    if (fate != FATE_FAIL)
        cached_empty(fate == FATE_FAIL_FIRST);
    jitter(); /* what is answered meanwhile is not covered */
    pthread_mutex_unlock(&disk.lock);
    return fate != FATE_GOOD ? -EIO : 0;
}

/* Discards and zeroed ranges. */
static int disk_fallocate(const char *path, int mode, off_t offset, off_t size,
                          struct fuse_file_info *file) {
    (void)path;
    (void)file;
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) == 0)
        return -EOPNOTSUPP;
    enum fate fate = operation_begin(OP_WRITE);
    int result = fate == FATE_GOOD ? 0 : -EIO;
    if (result == 0 &&
        fallocate(disk.image, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  offset, size) != 0)
        result = -errno;
    if (result == 0)
        log_entry(&(struct writelog_entry){.offset = (uint64_t)offset,
                                           .size = (uint64_t)size,
                                           .flags = WRITELOG_DISCARD});
    pthread_mutex_unlock(&disk.lock);
    return result;
}

/* ---- the FIFO ---- */

static bool plan_set(const char *line) {
    static const char *const names[OPERATIONS] = {"read", "write", "flush"};
    char name[8];
    uint64_t after, count;
    unsigned ms;
    if (sscanf(line, "jitter %u", &disk.jitter_us) == 1 ||
        sscanf(line, "size %" SCNu64, &disk.size) == 1)
        return true;
    if (sscanf(line, "tear %" SCNu64, &after) == 1) {
        disk.plan[OP_WRITE].tear_at = disk.plan[OP_WRITE].seen + after + 1;
        return true;
    }
    for (int i = 0; i < OPERATIONS; i++) {
        uint64_t from = disk.plan[i].seen + 1;
        if (sscanf(line, "fail %7s %" SCNu64 " %" SCNu64, name, &after,
                   &count) == 3 &&
            strcmp(name, names[i]) == 0) {
            disk.plan[i].fail_from = from + after;
            disk.plan[i].fail_to = from + after + count;
            return true;
        }
        if (sscanf(line, "hang %7s %" SCNu64 " %u", name, &after, &ms) == 3 &&
            strcmp(name, names[i]) == 0) {
            disk.plan[i].hang_at = from + after;
            disk.plan[i].hang_ms = ms;
            return true;
        }
    }
    return false;
}

static void line_obey(const char *line) {
    bool mark = strncmp(line, "mark ", 5) == 0;
    const char *text = mark ? line + 5 : line;
    pthread_mutex_lock(&disk.lock);
    if (!mark && !plan_set(line))
        die(line, EINVAL);
    log_entry(&(struct writelog_entry){
        .flags = WRITELOG_MARK, .text = text, .text_size = strlen(text)});
    pthread_mutex_unlock(&disk.lock);
}

static void *fifo_read(void *argument) {
    (void)argument;
    /* For writing too: so there is never an end of file. */
    int fd = open(disk.fifo, O_RDWR | O_CLOEXEC);
    FILE *stream = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (stream == NULL)
        die(disk.fifo, errno);
    char line[WRITELOG_TEXT_MAX + 8];
    while (fgets(line, sizeof line, stream) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        line_obey(line);
    }
    die(disk.fifo, errno);
    return NULL;
}

/* ---- start ---- */

/* Threads only now that libfuse has set itself up. */
static void *disk_init(struct fuse_conn_info *connection,
                       struct fuse_config *config) {
    pthread_t thread;
    connection->want |= connection->capable & FUSE_CAP_ASYNC_DIO;
    config->attr_timeout = 0;
    int error = pthread_create(&thread, NULL, fifo_read, NULL);
    if (error != 0)
        die("start a thread", error);
    return NULL;
}

static const struct fuse_operations operations = {
    .init = disk_init,
    .getattr = disk_getattr,
    .open = disk_open,
    .read = disk_read,
    .write = disk_write,
    .fsync = disk_fsync,
    .fallocate = disk_fallocate,
};

/* What the log holds already, for a disk that goes on where one ended. */
static void image_fill(const char *log) {
    struct writelog_view view;
    int result = writelog_view_open(&view, log);
    if (result != 0)
        die(log, -result);
    for (size_t i = 0; i < view.count; i++) {
        const struct writelog_entry *entry = &view.entries[i];
        bool done = entry->data == NULL ||
                    pwrite(disk.image, entry->data, entry->size,
                           (off_t)entry->offset) == (ssize_t)entry->size;
        if ((entry->flags & WRITELOG_DISCARD) != 0)
            done = fallocate(disk.image,
                             FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                             (off_t)entry->offset, (off_t)entry->size) == 0;
        if (!done)
            die("fill the disk", errno);
    }
    writelog_view_close(&view);
    result = writelog_open(&disk.log, log);
    if (result != 0)
        die(log, -result);
}

static void disk_make(const char *image, const char *log, const char *sector) {
    disk.image = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (disk.image < 0 || ftruncate(disk.image, (off_t)disk.size) != 0)
        die(image, errno);
    if (access(log, F_OK) == 0) {
        image_fill(log);
        return;
    }
    int result = writelog_create(&disk.log, log, (uint32_t)atoi(sector));
    if (result != 0)
        die(log, -result);
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fprintf(stderr, "usage: realfs_disk MOUNTPOINT IMAGE LOG FIFO BYTES "
                        "SECTOR-SIZE SEED WATCHDOG-SECONDS\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm((unsigned)atoi(argv[8]));
    disk.fifo = argv[4];
    disk.size = strtoull(argv[5], NULL, 10);
    disk.random = strtoull(argv[7], NULL, 10);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&disk.changed, &attributes);
    disk_make(argv[2], argv[3], argv[6]);
    static char foreground[] = "-f", option[] = "-o",
                threads[] = "max_threads=16,max_idle_threads=16";
    char *arguments[] = {argv[0], foreground, option, threads, argv[1], NULL};
    return fuse_main(5, arguments, &operations, NULL);
}
