/* SPDX-License-Identifier: MIT */
/*
 * The kernel's table of disk operations on a real directory, with system calls
 * that are interrupted, come short, or fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include "recover/disk.h"

/* ---- system calls that do as they are told ---- */

enum call { PREAD, PWRITE, OPENAT, FDATASYNC, FSYNC, FALLOCATE, LSEEK, STATX };
#define CALLS 8
#define STEPS_MAX 4

/* What the next calls do: -1 fails with @error; SHORT_TO(n) moves at most n
 * bytes; 0 as a result moves nothing. Behind the last step: the real call. */
struct step {
    long result;
    int error;
};
#define SHORT_TO(n) (n)

static struct step plans[CALLS][STEPS_MAX];
static int planned[CALLS];
static int done[CALLS];  /* steps taken */
static int asked[CALLS]; /* calls in all */
static bool direct_refused;

static void plan(enum call call, long result, int error) {
    assert_true(planned[call] < STEPS_MAX);
    plans[call][planned[call]++] = (struct step){result, error};
}

static void plans_clear(void) {
    memset(planned, 0, sizeof planned);
    memset(done, 0, sizeof done);
    memset(asked, 0, sizeof asked);
    direct_refused = false;
}

static const struct step *next_step(enum call call) {
    asked[call]++;
    if (done[call] == planned[call])
        return NULL;
    return &plans[call][done[call]++];
}

ssize_t __real_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t offset) {
    const struct step *step = next_step(PREAD);
    if (step == NULL)
        return __real_pread64(fd, bytes, size, offset);
    errno = step->error;
    if (step->result <= 0)
        return step->result;
    return __real_pread64(fd, bytes, (size_t)step->result, offset);
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset) {
    const struct step *step = next_step(PWRITE);
    if (step == NULL)
        return __real_pwrite64(fd, bytes, size, offset);
    errno = step->error;
    if (step->result <= 0)
        return step->result;
    return __real_pwrite64(fd, bytes, (size_t)step->result, offset);
}

int __real_openat64(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dir, const char *name, int flags, mode_t mode) {
    const struct step *step = next_step(OPENAT);
    if (step != NULL) {
        errno = step->error;
        return -1;
    }
    if (direct_refused && (flags & O_DIRECT) != 0) {
        errno = EINVAL;
        return -1;
    }
    return __real_openat64(dir, name, flags, mode);
}

#define WRAP_SIMPLE(call, name, parameters, arguments)                         \
    int __real_##name parameters;                                              \
    int __wrap_##name parameters;                                              \
    int __wrap_##name parameters {                                             \
        const struct step *step = next_step(call);                             \
        if (step == NULL)                                                      \
            return __real_##name arguments;                                    \
        errno = step->error;                                                   \
        return -1;                                                             \
    }
WRAP_SIMPLE(FDATASYNC, fdatasync, (int fd), (fd))
WRAP_SIMPLE(FSYNC, fsync, (int fd), (fd))
WRAP_SIMPLE(FALLOCATE, fallocate64,
            (int fd, int mode, off_t offset, off_t size),
            (fd, mode, offset, size))
WRAP_SIMPLE(STATX, statx,
            (int dir, const char *name, int flags, unsigned mask,
             struct statx *status),
            (dir, name, flags, mask, status))

off_t __real_lseek64(int fd, off_t offset, int whence);
off_t __wrap_lseek64(int fd, off_t offset, int whence);
off_t __wrap_lseek64(int fd, off_t offset, int whence) {
    const struct step *step = next_step(LSEEK);
    if (step == NULL)
        return __real_lseek64(fd, offset, whence);
    errno = step->error;
    return -1;
}

/* ---- the directory of the test ---- */

static struct dwal__disk *disk;
static const struct dwal__disk_ops *ops;
static int dir;
static const char *home;

static int setup(void **state) {
    if (tempdir_setup(state) != 0)
        return -1;
    plans_clear();
    home = *state;
    disk = dwal__disk_kernel();
    ops = disk->ops;
    dir = ops->dir_open(disk, home);
    return dir >= 0 ? 0 : -1;
}

static int teardown(void **state) {
    plans_clear();
    ops->close(disk, dir);
    return tempdir_teardown(state);
}

static int create(const char *name) {
    int handle =
        ops->open(disk, dir, name, DWAL__OPEN_WRITE | DWAL__OPEN_CREATE);
    assert_true(handle >= 0);
    return handle;
}

/* A file of @size bytes, 0, 1, 2 …, open for reading and writing. */
static int create_counted(const char *name, size_t size) {
    int handle = create(name);
    uint8_t *bytes = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i % 251);
    assert_int_equal(ops->write(disk, handle, bytes, size, 0), size);
    free(bytes);
    return handle;
}

static bool counted(const uint8_t *bytes, size_t size, size_t from) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (uint8_t)((from + i) % 251))
            return false;
    return true;
}

/* ---- directories ---- */

static int names_count(void *argument, const char *name) {
    unsigned *count = argument;
    assert_string_not_equal(name, ".");
    assert_string_not_equal(name, "..");
    return ++*count == 2 ? 77 : 0;
}

static int names_all(void *argument, const char *name) {
    (void)name;
    ++*(unsigned *)argument;
    return 0;
}

static void test_directories(void **state) {
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s/inner", home);
    assert_int_equal(ops->dir_make(disk, path), 0);
    assert_int_equal(ops->dir_make(disk, path), -EEXIST);
    assert_int_equal(ops->dir_open(disk, "/nonexistent"), -ENOENT);
    int inner = ops->dir_open(disk, path);
    assert_true(inner >= 0);
    assert_int_equal(ops->dir_sync(disk, inner), 0);
    unsigned count = 0;
    assert_int_equal(ops->dir_list(disk, inner, names_all, &count), 0);
    assert_int_equal(count, 0);
    ops->close(disk, inner);
    ops->close(disk, create("b"));
    ops->close(disk, create("a"));
    snprintf(path, sizeof path, "%s/a", home);
    assert_int_equal(ops->dir_open(disk, path), -ENOTDIR);
    /* From the beginning each time, and as far as the caller wants. */
    for (int i = 0; i < 2; i++) {
        count = 0;
        assert_int_equal(ops->dir_list(disk, dir, names_count, &count), 77);
        count = 0;
        assert_int_equal(ops->dir_list(disk, dir, names_all, &count), 0);
        assert_int_equal(count, 3);
    }
}

static void test_rename_unlink(void **state) {
    (void)state;
    ops->close(disk, create("a"));
    ops->close(disk, create_counted("b", 5));
    assert_int_equal(ops->rename(disk, dir, "b", "a"), 0);
    assert_int_equal(ops->rename(disk, dir, "b", "a"), -ENOENT);
    int handle = ops->open(disk, dir, "a", DWAL__OPEN_READ);
    uint64_t size;
    assert_int_equal(ops->size(disk, handle, &size), 0);
    assert_int_equal(size, 5);
    ops->close(disk, handle);
    assert_int_equal(ops->unlink(disk, dir, "a"), 0);
    assert_int_equal(ops->unlink(disk, dir, "a"), -ENOENT);
}

static void test_sync_errors(void **state) {
    (void)state;
    int handle = create("a");
    plan(FDATASYNC, -1, EINTR);
    assert_int_equal(ops->sync(disk, handle), 0);
    assert_int_equal(asked[FDATASYNC], 2);
    plan(FDATASYNC, -1, EIO); /* told, and not tried again */
    assert_int_equal(ops->sync(disk, handle), -EIO);
    assert_int_equal(asked[FDATASYNC], 3);
    plan(FSYNC, -1, EINTR);
    plan(FSYNC, -1, EIO);
    assert_int_equal(ops->dir_sync(disk, dir), -EIO);
    assert_int_equal(asked[FSYNC], 2);
    ops->close(disk, handle);
}

/* ---- opening ---- */

static void test_open(void **state) {
    (void)state;
    int handle = create("a");
    assert_true((fcntl(handle, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(handle, F_GETFL) & O_NONBLOCK) == 0);
    assert_int_equal(
        ops->open(disk, dir, "a", DWAL__OPEN_WRITE | DWAL__OPEN_CREATE),
        -EEXIST);
    ops->close(disk, handle);
    assert_int_equal(ops->open(disk, dir, "none", DWAL__OPEN_READ), -ENOENT);
    handle = ops->open(disk, dir, "a", DWAL__OPEN_READ);
    assert_int_equal(ops->write(disk, handle, "x", 1, 0), -EBADF);
    ops->close(disk, handle);
    plan(OPENAT, -1, EINTR);
    handle = ops->open(disk, dir, "a", DWAL__OPEN_READ);
    assert_true(handle >= 0);
    ops->close(disk, handle);
    plan(OPENAT, -1, EMFILE);
    assert_int_equal(ops->open(disk, dir, "a", DWAL__OPEN_READ), -EMFILE);
}

static void test_regular_files_only(void **state) {
    (void)state;
    assert_int_equal(symlinkat("/etc/passwd", dir, "link"), 0);
    assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
    assert_int_equal(mkdirat(dir, "folder", 0700), 0);
    static const int flags[] = {DWAL__OPEN_READ, DWAL__OPEN_WRITE,
                                DWAL__OPEN_READ | DWAL__OPEN_DIRECT};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ops->open(disk, dir, "link", flags[i]), -ELOOP);
        assert_int_equal(ops->open(disk, dir, "fifo", flags[i]), -EINVAL);
        assert_int_equal(ops->open(disk, dir, "folder", flags[i]), -EINVAL);
    }
    assert_int_equal(
        ops->open(disk, dir, "link", DWAL__OPEN_WRITE | DWAL__OPEN_CREATE),
        -EEXIST);
}

/* A filesystem without O_DIRECT: refused, and nothing is left behind. */
static void test_direct_refused(void **state) {
    (void)state;
    direct_refused = true;
    assert_int_equal(
        ops->open(disk, dir, "a",
                  DWAL__OPEN_WRITE | DWAL__OPEN_CREATE | DWAL__OPEN_DIRECT),
        -EINVAL);
    assert_int_equal(ops->open(disk, dir, "a", DWAL__OPEN_READ), -ENOENT);
    ops->close(disk, create("a"));
    assert_int_equal(
        ops->open(disk, dir, "a", DWAL__OPEN_READ | DWAL__OPEN_DIRECT),
        -EINVAL);
}

static void test_alignment(void **state) {
    (void)state;
    int handle = create("a");
    struct dwal__disk_alignment alignment;
    assert_int_equal(ops->alignment(disk, handle, &alignment), 0);
    if (!alignment.known)
        assert_int_equal(alignment.offset, 4096);
    plan(STATX, -1, EIO);
    assert_int_equal(ops->alignment(disk, handle, &alignment), -EIO);
    ops->close(disk, handle);
}

/* ---- reading and writing ---- */

static void test_read(void **state) {
    (void)state;
    uint8_t bytes[10000];
    int handle = create_counted("a", 5000);
    assert_int_equal(ops->read(disk, handle, bytes, 100, 70), 100);
    assert_true(counted(bytes, 100, 70));
    assert_int_equal(ops->read(disk, handle, bytes, sizeof bytes, 0), 5000);
    assert_true(counted(bytes, 5000, 0));
    assert_int_equal(ops->read(disk, handle, bytes, 10, 5000), 0);
    assert_int_equal(ops->read(disk, handle, bytes, 10, 50000), 0);
    assert_int_equal(ops->read(disk, handle, bytes, 0, 0), 0);
    plan(PREAD, -1, EINTR);
    plan(PREAD, SHORT_TO(1), 0);
    plan(PREAD, SHORT_TO(512), 0);
    plan(PREAD, -1, EINTR);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(ops->read(disk, handle, bytes, 4000, 9), 4000);
    assert_true(counted(bytes, 4000, 9));
    plans_clear();
    /* An error behind some bytes is an error, not the end. */
    plan(PREAD, SHORT_TO(512), 0);
    plan(PREAD, -1, EIO);
    assert_int_equal(ops->read(disk, handle, bytes, 4000, 0), -EIO);
    ops->close(disk, handle);
}

/* Where the file ends inside a block, a direct read comes short by that. */
static void test_read_direct(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 511, 512, 4095, 4096, 5000, 5120};
    uint8_t *bytes = dwal__buffer_allocate(16384, 4096);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ops->close(disk, create_counted("a", sizes[i]));
        int handle =
            ops->open(disk, dir, "a", DWAL__OPEN_READ | DWAL__OPEN_DIRECT);
        if (handle == -EINVAL) {
            print_message("skipped: no O_DIRECT in %s\n", home);
            free(bytes);
            skip();
        }
        assert_true(handle >= 0);
        assert_true((fcntl(handle, F_GETFL) & O_DIRECT) != 0);
        assert_int_equal(ops->read(disk, handle, bytes, 16384, 0), sizes[i]);
        assert_true(counted(bytes, sizes[i], 0));
        size_t behind = sizes[i] > 4096 ? sizes[i] - 4096 : 0;
        assert_int_equal(ops->read(disk, handle, bytes, 8192, 4096), behind);
        assert_true(counted(bytes, behind, 4096));
        ops->close(disk, handle);
        assert_int_equal(ops->unlink(disk, dir, "a"), 0);
    }
    free(bytes);
}

static void test_write(void **state) {
    (void)state;
    uint8_t bytes[5000], back[5000];
    uint64_t seed = 3;
    check_fill(&seed, bytes, sizeof bytes);
    int handle = create("a");
    plan(PWRITE, -1, EINTR);
    plan(PWRITE, SHORT_TO(1), 0);
    plan(PWRITE, SHORT_TO(700), 0);
    plan(PWRITE, -1, EINTR);
    assert_int_equal(ops->write(disk, handle, bytes, sizeof bytes, 100), 5000);
    assert_int_equal(ops->read(disk, handle, back, sizeof back, 100), 5000);
    assert_memory_equal(bytes, back, sizeof bytes);
    plans_clear();
    plan(PWRITE, SHORT_TO(700), 0);
    plan(PWRITE, -1, ENOSPC);
    assert_int_equal(ops->write(disk, handle, bytes, 5000, 0), -ENOSPC);
    plans_clear();
    plan(PWRITE, SHORT_TO(700), 0);
    plan(PWRITE, 0, 0); /* nothing moves any more */
    assert_int_equal(ops->write(disk, handle, bytes, 5000, 0), -EIO);
    plans_clear();
    plan(PWRITE, SHORT_TO(700), 0);
    plan(PWRITE, -1, EINVAL); /* misaligned by the short count only */
    assert_int_equal(ops->write(disk, handle, bytes, 5000, 0), -EIO);
    plans_clear();
    plan(PWRITE, -1, EINVAL);
    assert_int_equal(ops->write(disk, handle, bytes, 5000, 0), -EINVAL);
    ops->close(disk, handle);
}

static void test_allocate(void **state) {
    (void)state;
    uint64_t size;
    int handle = create("a");
    plan(FALLOCATE, -1, EINTR);
    assert_int_equal(ops->allocate(disk, handle, 1 << 20), 0);
    assert_int_equal(ops->size(disk, handle, &size), 0);
    assert_int_equal(size, 1 << 20);
    struct stat status;
    assert_int_equal(fstat(handle, &status), 0);
    assert_true(status.st_blocks * 512 >= 1 << 20); /* space, not a hole */
    ops->close(disk, handle);
    handle = create("b");
    plan(FALLOCATE, -1, ENOSPC);
    assert_int_equal(ops->allocate(disk, handle, 1 << 20), -ENOSPC);
    plan(FALLOCATE, -1, EOPNOTSUPP);
    assert_int_equal(ops->allocate(disk, handle, 1 << 20), 0);
    assert_int_equal(ops->size(disk, handle, &size), 0);
    assert_int_equal(size, 1 << 20);
    ops->close(disk, handle);
}

static void test_written_until(void **state) {
    (void)state;
    uint64_t offset = 99;
    int handle = create("a");
    assert_int_equal(ops->written_until(disk, handle, &offset), 0);
    assert_int_equal(offset, 0); /* an empty file */
    ops->close(disk, handle);
    handle = create_counted("b", 65536);
    assert_int_equal(ops->written_until(disk, handle, &offset), 0);
    assert_int_equal(offset, 65536);
    assert_int_equal(ftruncate(handle, 1 << 20), 0);
    assert_int_equal(ops->written_until(disk, handle, &offset), 0);
    /* Filesystems that know no holes say the size. */
    assert_true(offset == 65536 || offset == 1 << 20);
    plan(LSEEK, -1, EINVAL);
    assert_int_equal(ops->written_until(disk, handle, &offset), 0);
    assert_int_equal(offset, 0);
    plan(LSEEK, -1, EIO);
    assert_int_equal(ops->written_until(disk, handle, &offset), -EIO);
    ops->close(disk, handle);
}

/* ---- locks ---- */

static void test_file_lock(void **state) {
    (void)state;
    int one = create("a");
    int two = ops->open(disk, dir, "a", DWAL__OPEN_WRITE);
    int looking = ops->open(disk, dir, "a", DWAL__OPEN_READ);
    assert_int_equal(ops->lock_held(disk, looking), 0);
    assert_int_equal(ops->lock(disk, one, DWAL__LOCK_FILE), 0);
    assert_int_equal(ops->lock(disk, one, DWAL__LOCK_FILE), 0); /* its own */
    assert_int_equal(ops->lock(disk, two, DWAL__LOCK_FILE), -EAGAIN);
    assert_int_equal(ops->lock_held(disk, looking), 1);
    assert_int_equal(ops->lock_held(disk, one), 0);
    /* Closing another handle of the file must not release it. */
    ops->close(disk, ops->open(disk, dir, "a", DWAL__OPEN_READ));
    assert_int_equal(ops->lock_held(disk, looking), 1);
    ops->close(disk, one);
    assert_int_equal(ops->lock_held(disk, looking), 0);
    assert_int_equal(ops->lock(disk, two, DWAL__LOCK_FILE), 0);
    ops->close(disk, two);
    ops->close(disk, looking);
}

static int range_lock(int handle, enum dwal__range_kind kind, uint64_t first,
                      uint64_t last) {
    struct dwal__disk_range range = {first, last};
    return ops->range_lock(disk, handle, kind, &range);
}

/* What is held of @first to @last, for who wants it so. */
static void range_expect(int handle, enum dwal__range_kind kind, uint64_t first,
                         uint64_t last, int result, uint64_t held_first,
                         uint64_t held_last) {
    struct dwal__disk_range range = {first, last}, held = {0, 0};
    assert_int_equal(ops->range_held(disk, handle, kind, &range, &held),
                     result);
    assert_int_equal(held.first, held_first);
    assert_int_equal(held.last, held_last);
}

static void test_range_locks(void **state) {
    (void)state;
    uint64_t end = INT64_MAX;
    int writer = create("a");
    int reader = ops->open(disk, dir, "a", DWAL__OPEN_READ);
    int other = ops->open(disk, dir, "a", DWAL__OPEN_READ);
    assert_int_equal(ops->lock(disk, writer, DWAL__LOCK_FILE), 0);
    /* Leases are beside the writer's lock, and beside each other. */
    assert_int_equal(range_lock(reader, DWAL__RANGE_SHARED, 500, 500), 0);
    assert_int_equal(range_lock(other, DWAL__RANGE_SHARED, 500, 500), 0);
    assert_int_equal(range_lock(other, DWAL__RANGE_SHARED, end, end), 0);
    assert_int_equal(ops->lock_held(disk, reader), 1);
    assert_int_equal(ops->lock_held(disk, writer), 0);
    assert_int_equal(range_lock(writer, DWAL__RANGE_EXCLUSIVE, 1, 500),
                     -EAGAIN);
    range_expect(writer, DWAL__RANGE_EXCLUSIVE, 1, 500, 1, 500, 500);
    range_expect(writer, DWAL__RANGE_EXCLUSIVE, 501, end, 1, end, end);
    range_expect(writer, DWAL__RANGE_EXCLUSIVE, 1, 499, 0, 0, 0);
    assert_int_equal(range_lock(writer, DWAL__RANGE_EXCLUSIVE, 1, 499), 0);
    /* A trim is in the way of a lease, and its lock one with the writer's. */
    assert_int_equal(range_lock(other, DWAL__RANGE_SHARED, 499, 499), -EAGAIN);
    range_expect(other, DWAL__RANGE_SHARED, 300, 600, 1, 0, 499);
    assert_int_equal(range_lock(writer, DWAL__RANGE_NONE, 100, end), 0);
    assert_int_equal(range_lock(other, DWAL__RANGE_SHARED, 499, 499), 0);
    range_expect(other, DWAL__RANGE_SHARED, 0, end, 1, 0, 99);
    ops->close(disk, other);
    ops->close(disk, reader);
    assert_int_equal(range_lock(writer, DWAL__RANGE_EXCLUSIVE, 1, end), 0);
    assert_int_equal(range_lock(writer, DWAL__RANGE_NONE, 0, end), 0);
    reader = ops->open(disk, dir, "a", DWAL__OPEN_READ);
    assert_int_equal(ops->lock_held(disk, reader), 0);
    ops->close(disk, reader);
    ops->close(disk, writer);
}

static void test_directory_lock(void **state) {
    (void)state;
    int other = ops->dir_open(disk, home);
    assert_int_equal(ops->lock(disk, dir, DWAL__LOCK_DIR), 0);
    assert_int_equal(ops->lock(disk, other, DWAL__LOCK_DIR), -EAGAIN);
    ops->close(disk, dir);
    assert_int_equal(ops->lock(disk, other, DWAL__LOCK_DIR), 0);
    dir = other;
}

static void test_lock_holder(void **state) {
    (void)state;
    char text[128] = "?", expected[128];
    ops->lock_holder(disk, dir, "none", text, sizeof text);
    assert_string_equal(text, "");
    int handle = create("LOCK");
    ops->lock_holder(disk, dir, "LOCK", text, sizeof text);
    assert_string_equal(text, "");
    assert_int_equal(ops->lock(disk, handle, DWAL__LOCK_FILE), 0);
    ops->lock_holder(disk, dir, "LOCK", text, sizeof text);
    snprintf(expected, sizeof expected, "process %d (disk_test)",
             (int)getpid());
    assert_string_equal(text, expected);
    ops->close(disk, handle);
}

/* In another process, which has a name of its own. */
static void test_lock_holder_elsewhere(void **state) {
    (void)state;
    int pipe_in[2], pipe_out[2];
    char byte = 0, text[128], expected[128];
    ops->close(disk, create("LOCK"));
    assert_int_equal(pipe(pipe_in), 0);
    assert_int_equal(pipe(pipe_out), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int name = open("/proc/self/comm", O_WRONLY);
        bool named = write(name, "hold\ner", 7) == 7;
        int handle = ops->open(disk, dir, "LOCK", DWAL__OPEN_WRITE);
        byte = named && ops->lock(disk, handle, DWAL__LOCK_FILE) == 0;
        bool told = write(pipe_out[1], &byte, 1) == 1;
        _exit(told && read(pipe_in[0], &byte, 1) == 1 ? 0 : 1);
    }
    assert_int_equal(read(pipe_out[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    ops->lock_holder(disk, dir, "LOCK", text, sizeof text);
    snprintf(expected, sizeof expected, "process %d (hold", (int)child);
    assert_int_equal(strncmp(text, expected, strlen(expected)), 0);
    assert_null(strchr(text, '\n'));
    assert_int_equal(write(pipe_in[1], "x", 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ops->lock_holder(disk, dir, "LOCK", text, sizeof text);
    assert_string_equal(text, "");
    for (int i = 0; i < 2; i++) {
        close(pipe_in[i]);
        close(pipe_out[i]);
    }
}

/* ---- memory ---- */

static void test_buffers(void **state) {
    (void)state;
    static const size_t alignments[] = {0, 1, 512, 4096, 65536};
    for (unsigned i = 0; i < 5; i++) {
        size_t unit = alignments[i] > 4096 ? alignments[i] : 4096;
        uint8_t *bytes = dwal__buffer_allocate(unit + 1, alignments[i]);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % unit, 0);
        memset(bytes, 1, 2 * unit); /* rounded up */
        free(bytes);
    }
    free(dwal__buffer_allocate(0, 0));
    assert_null(dwal__buffer_allocate(SIZE_MAX - 4095, 4096));
    assert_null(dwal__buffer_allocate(SIZE_MAX, 4096));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(directories),
        TEST(rename_unlink),
        TEST(sync_errors),
        TEST(open),
        TEST(regular_files_only),
        TEST(direct_refused),
        TEST(alignment),
        TEST(read),
        TEST(read_direct),
        TEST(write),
        TEST(allocate),
        TEST(written_until),
        TEST(file_lock),
        TEST(range_locks),
        TEST(directory_lock),
        TEST(lock_holder),
        TEST(lock_holder_elsewhere),
        TEST(buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
