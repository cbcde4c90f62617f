/* SPDX-License-Identifier: MIT */
/*
 * waldump as it is run: output, messages and exit codes on built logs. The path
 * of the program is the first argument.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/disk.h"
#include "tests/support/check.h"
#include "tests/support/logbuild.h"
#include "tests/support/tempdir.h"

#define BLOCK 512u
#define SEGMENT (64 * BLOCK)

static const char *program;

struct fixture {
    char *path; /* of the test's directory */
    char dir[4096];
    struct logbuild log;
    struct logbuild_segment *one, *two, *three;
    int status;
    char *out;
    size_t out_size;
    char *err;
};

static void record_add(struct logbuild *log, const char *text, uint16_t type,
                       uint32_t tenant, uint32_t shard) {
    batch_add(&log->maker, (struct dwal__record){.data = (const void *)text,
                                                 .size = (uint32_t)strlen(text),
                                                 .type = type,
                                                 .flags = 3,
                                                 .tenant = tenant,
                                                 .shard = shard});
}

/*
 * Segment 1: start, 1 "one" and 2 "two\n" with type 1, tenants 7 and 8; 3 with
 * what would drive a terminal. Segment 2: start, 4 "four", shard 9; mark.
 */
static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct logbuild *log = &f->log;
    if (tempdir_setup((void **)&f->path) != 0)
        return -1;
    snprintf(f->dir, sizeof f->dir, "%s/log", f->path);
    logbuild_init(log, BLOCK, SEGMENT);
    f->one = logbuild_segment(log, 1, 0);
    f->two = logbuild_segment(log, 2, 1);
    f->three = logbuild_segment(log, 0x1f, 2);
    logbuild_start(log, f->one, NULL);
    logbuild_begin(log, f->one);
    record_add(log, "one", 1, 7, 0);
    record_add(log, "two\n", 1, 8, 0);
    logbuild_seal(log);
    logbuild_begin(log, f->one);
    record_add(log, "\033[31m\x9b\\\"\t\xE2\x82\xAC\xE2\x80\xAE", 2, 7, 0);
    logbuild_seal(log);
    struct dwal__start start = logbuild_after(f->one);
    logbuild_start(log, f->two, &start);
    logbuild_begin(log, f->two);
    record_add(log, "four", 2, 0, 9);
    logbuild_seal(log);
    logbuild_mark(log, f->two);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    void *path = f->path;
    free(f->out);
    free(f->err);
    logbuild_remove(f->dir);
    logbuild_free(&f->log);
    free(f);
    return tempdir_teardown(&path);
}

/* ---- running it ---- */

static char *file_take(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    bytes[*size] = '\0';
    fclose(file);
    unlink(path);
    return bytes;
}

/* The child's part; standard error goes to @err. */
static void child_exec(char **arguments, int out, const char *err) {
    int fd = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(out, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execv(program, arguments);
    _exit(127);
}

#define ARGUMENTS_MAX 16

/* Starts it with the words of @line, where @ stands for the log's directory. */
static pid_t start(struct fixture *f, const char *line, int out,
                   const char *err) {
    static char name[] = "waldump", words[4096];
    char *arguments[ARGUMENTS_MAX] = {name};
    snprintf(words, sizeof words, "%s", line);
    int count = 1;
    for (char *word = strtok(words, " "); word != NULL;
         word = strtok(NULL, " ")) {
        assert_true(count < ARGUMENTS_MAX - 1);
        arguments[count++] = strcmp(word, "@") == 0 ? f->dir : word;
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child_exec(arguments, out, err);
    return pid;
}

static int status_of(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("waldump was ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* Runs it to its end; fails unless it exits with @status. */
static void run(struct fixture *f, const char *line, int status) {
    char out[4200], err[4200];
    size_t err_size;
    snprintf(out, sizeof out, "%s/out", f->path);
    snprintf(err, sizeof err, "%s/err", f->path);
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    f->status = status_of(start(f, line, fd, err));
    close(fd);
    free(f->out);
    free(f->err);
    f->out = file_take(out, &f->out_size);
    f->err = file_take(err, &err_size);
    if (f->status != status)
        fail_msg("waldump %s: exit %d instead of %d; %s", line, f->status,
                 status, f->err);
}

/* Writes the log, and runs. */
static void run_log(struct fixture *f, const char *line, int status) {
    logbuild_write(&f->log, f->dir);
    run(f, line, status);
}

static void expect_out(const struct fixture *f, const char *text) {
    assert_string_equal(f->out, text);
}

static void expect_err(const struct fixture *f, const char *part) {
    if (strstr(f->err, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, f->err);
}

static unsigned lines_of(const char *text) {
    unsigned count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

/* ---- records ---- */

static void table(void **state) {
    struct fixture *f = *state;
    run_log(f, "@", 0);
    expect_out(f, "LSN SEGMENT OFFSET TYPE TENANT SHARD   SIZE  PAYLOAD\n"
                  "  1       1   1152    1      7     0      3  one\n"
                  "  2       1   1192    1      8     0      4  two\\n\n"
                  "  3       1   1664    2      7     0     15  "
                  "\\x1b[31m\\x9b\\\\\"\\t\xE2\x82\xAC\\xe2\\x80\\xae\n"
                  "  4       2   1152    2      0     9      4  four\n");
    assert_string_equal(f->err, "");
    run(f, "--color=always @", 0);
    assert_non_null(strstr(f->out, "\033[1mLSN"));
    run(f, "@ --system", 0);
    assert_int_equal(lines_of(f->out), 8);
    assert_non_null(strstr(f->out, "start"));
    assert_non_null(strstr(f->out, "after segment 1 at 2048, LSN 3"));
    assert_non_null(strstr(f->out, "mark"));
}

static void json(void **state) {
    struct fixture *f = *state;
    run_log(f, "--json @", 0);
    expect_out(
        f, "{\"kind\":\"record\",\"lsn\":1,\"type\":1,\"flags\":3,\"tenant\":7,"
           "\"shard\":0,\"size\":3,\"segment\":1,\"offset\":1152,"
           "\"payload\":\"b25l\"}\n"
           "{\"kind\":\"record\",\"lsn\":2,\"type\":1,\"flags\":3,\"tenant\":8,"
           "\"shard\":0,\"size\":4,\"segment\":1,\"offset\":1192,"
           "\"payload\":\"dHdvCg==\"}\n"
           "{\"kind\":\"record\",\"lsn\":3,\"type\":2,\"flags\":3,\"tenant\":7,"
           "\"shard\":0,\"size\":15,\"segment\":1,\"offset\":1664,"
           "\"payload\":\"G1szMW2bXCIJ4oKs4oCu\"}\n"
           "{\"kind\":\"record\",\"lsn\":4,\"type\":2,\"flags\":3,\"tenant\":0,"
           "\"shard\":9,\"size\":4,\"segment\":2,\"offset\":1152,"
           "\"payload\":\"Zm91cg==\"}\n");
    run(f, "--json --system -n 1 @", 0);
    expect_out(f, "{\"kind\":\"system\",\"type\":\"start\","
                  "\"previous_segment\":0,\"previous_end\":0,"
                  "\"previous_lsn\":0,\"cut\":false,\"reset\":false,"
                  "\"lost\":false,"
                  "\"trim_lsn\":0,\"size\":48,\"segment\":1,\"offset\":640,"
                  "\"payload\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                  "AAAAAAAAAAAAAAAAAAAA\"}\n");
}

static void raw(void **state) {
    struct fixture *f = *state;
    run_log(f, "--raw @", 0);
    expect_out(f, "onetwo\n\033[31m\x9b\\\"\t\xE2\x82\xAC\xE2\x80\xAE"
                  "four");
    run(f, "--raw --lines @ --tenant 7 -e 2", 0);
    expect_out(f, "one\n");
    run(f, "--hex @ -s 2 -e 2", 0);
    expect_out(f, "LSN 2  type 1  flags 0x0003  tenant 8  shard 0  size 4  "
                  "segment 1  offset 1192\n"
                  "00000000  74 77 6f 0a                                      "
                  " |two.|\n");
}

static void ranges(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *line;
        const char *out;
    } rows[] = {
        {"--raw --lines @ -s 4", "four\n"},
        {"--raw --lines @ --start=1 --end=1", "one\n"},
        {"--raw --lines @ -s 5", ""},
        {"--raw --lines @ -n 1", "one\n"},
        {"--raw --lines @ -n 0", ""},
        {"--raw --lines @ -n1 -s4", "four\n"},
        {"--raw --lines @ --type 2 --shard 9", "four\n"},
        {"--raw --lines @ --type 2 --tenant 8", ""},
        {"--raw --lines @ --type 0x1 -n 1", "one\n"},
        {"--raw --lines @ 2", "four\n"},
        {"--raw --lines @ 0x2", "four\n"},
        {"--raw --lines @ 0000000000000002.wal", "four\n"},
        {"--raw --lines @ somewhere/0000000000000002.wal 2", "four\n"},
        {"--raw --lines @ 1 -n 1", "one\n"},
        {"--raw --lines @ 2 1 -e 1", "one\n"},
        {"--raw --lines @ 2 1 -s 4", "four\n"},
        {"--raw --lines @ 1 -s 4", ""},
    };
    logbuild_write(&f->log, f->dir);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        run(f, rows[i].line, 0);
        if (strcmp(f->out, rows[i].out) != 0)
            fail_msg("%s: %s", rows[i].line, f->out);
        assert_string_equal(f->err, "");
    }
    run(f, "--raw @ 0x1f", 0);
    expect_err(f, "000000000000001f.wal holds no records of the log: it is "
                  "unused");
    run(f, "--raw @ 5", 8);
    expect_err(f, "there is no segment 5 (0000000000000005.wal)");
}

/* ---- batches, segments, numbers ---- */

static void batches(void **state) {
    struct fixture *f = *state;
    run_log(f, "--batches @", 0);
    assert_int_equal(lines_of(f->out), 7);
    assert_non_null(strstr(f->out, "      1   1024      208     1     2       "
                                   "2  -                            "
                                   "0, 1, 1024\n"));
    run(f, "--batches --json @ 2", 0);
    assert_int_equal(lines_of(f->out), 3);
    assert_non_null(strstr(f->out, "{\"kind\":\"batch\",\"segment\":2,"
                                   "\"offset\":512,"));
    assert_non_null(strstr(f->out, "\"watermark\":{\"lsn\":3,\"segment\":1,"
                                   "\"offset\":2048}}\n"));
    run(f, "--batches --shard=9 @ --json", 0);
    assert_int_equal(lines_of(f->out), 1);
}

static void segments(void **state) {
    struct fixture *f = *state;
    f->log.segments[2]->header.created_ns = UINT64_C(1700000000123456789);
    logbuild_header(f->log.segments[2]);
    run_log(f, "--segments --json @", 0);
    expect_out(f, "{\"kind\":\"segment\",\"segment\":1,"
                  "\"file\":\"0000000000000001.wal\",\"state\":\"live\","
                  "\"epoch\":1,\"previous\":0,\"first_lsn\":1,\"last_lsn\":3,"
                  "\"end\":2048,\"size\":32768,\"block_size\":512,"
                  "\"created_ns\":0}\n"
                  "{\"kind\":\"segment\",\"segment\":2,"
                  "\"file\":\"0000000000000002.wal\",\"state\":\"live\","
                  "\"epoch\":1,\"previous\":1,\"first_lsn\":4,\"last_lsn\":4,"
                  "\"end\":2048,\"size\":32768,\"block_size\":512,"
                  "\"created_ns\":0}\n"
                  "{\"kind\":\"segment\",\"segment\":31,"
                  "\"file\":\"000000000000001f.wal\",\"state\":\"unused\","
                  "\"epoch\":1,\"previous\":2,\"size\":32768,"
                  "\"block_size\":512,\"created_ns\":1700000000123456789}\n");
    run(f, "--segments @ 31", 0);
    assert_int_equal(lines_of(f->out), 2);
    assert_non_null(strstr(f->out, "2023-11-14T22:13:20.123456Z"));
    /* What can be seen of a log that is beyond reading. */
    f->three->bytes[33] ^= 1;
    f->one->present = false;
    logbuild_remove(f->dir);
    run_log(f, "--segments @", 4);
    assert_int_equal(lines_of(f->out), 3);
    assert_non_null(strstr(f->out, "damaged  checksum mismatch"));
}

static void stats(void **state) {
    struct fixture *f = *state;
    run_log(f, "-z --json @", 0);
    expect_out(
        f, "{\"kind\":\"stats\",\"records\":4,\"payload_bytes\":26,"
           "\"size_min\":3,\"size_max\":15,\"system_records\":3,"
           "\"first_lsn\":1,\"last_lsn\":4,\"batches\":6,\"batch_bytes\":1128,"
           "\"segments\":2,\"sealed_first_ns\":0,\"sealed_last_ns\":0,"
           "\"types\":[{\"type\":1,\"records\":2,\"payload_bytes\":7},"
           "{\"type\":2,\"records\":2,\"payload_bytes\":19}],"
           "\"tenants\":[{\"tenant\":0,\"records\":1,\"payload_bytes\":4},"
           "{\"tenant\":7,\"records\":2,\"payload_bytes\":18},"
           "{\"tenant\":8,\"records\":1,\"payload_bytes\":4}],"
           "\"shards\":[{\"shard\":0,\"records\":3,\"payload_bytes\":22},"
           "{\"shard\":9,\"records\":1,\"payload_bytes\":4}],"
           "\"record_sizes\":[{\"from\":2,\"to\":3,\"count\":1},"
           "{\"from\":4,\"to\":7,\"count\":2},"
           "{\"from\":8,\"to\":15,\"count\":1}],"
           "\"batch_sizes\":[{\"from\":128,\"to\":255,\"count\":6}]}\n");
    run(f, "--stats @ -s 2 -e 3", 0);
    assert_non_null(strstr(f->out, "records         2\n"));
    assert_non_null(strstr(f->out, "LSNs            2 to 3\n"));
}

/* ---- ends ---- */

static void torn(void **state) {
    struct fixture *f = *state;
    memset(f->two->bytes + f->two->batches[2].offset + 130, 0, BLOCK - 130);
    struct logbuild_batch *last = &f->two->batches[1];
    memset(f->two->bytes + last->offset + 128, 0, BLOCK - 128);
    memset(f->two->bytes + f->two->batches[2].offset, 0, BLOCK);
    run_log(f, "--raw @ -s 3", 0);
    expect_err(f, "torn behind LSN 3 (0000000000000002.wal, offset 1024): "
                  "record 4 may or may not have been acknowledged; "
                  "walfsck -p removes the torn tail");
    run(f, "-q @", 0);
    expect_err(f, "record 4 may");
    expect_out(f, "");
    run(f, "@ -e 3", 0); /* what was asked for is not concerned */
    assert_string_equal(f->err, "");
}

static void damaged(void **state) {
    struct fixture *f = *state;
    f->one->bytes[1160] ^= 1;
    run_log(f, "--raw --lines @", 4);
    expect_out(f, "");
    expect_err(f, "0000000000000001.wal: the batch at offset 1024 is damaged: "
                  "record checksum mismatch, in record 0 at offset 1152; LSNs "
                  "1 to 2 cannot be read; run walfsck\n");
    expect_err(f, "--start=3\n");
    run(f, "--raw --lines @ --start=4", 0);
    expect_out(f, "four\n");
    run(f, "--raw --lines @ 2", 0);
    expect_out(f, "four\n");
    run(f, "-q @ -s 2", 4);
    run(f, "-z @", 4);
    assert_non_null(strstr(f->out, "records         0\n"));
}

static void lost(void **state) {
    struct fixture *f = *state;
    f->two->bytes[f->two->batches[1].offset + 130] ^= 1;
    run_log(f, "--raw --lines @ -s 2 -e 2", 0);
    run(f, "--raw @", 4);
    assert_memory_equal(f->out, "onetwo\n", 7);
    expect_err(f, "0000000000000002.wal");
    expect_err(f, "gone or cannot be reached");
    run(f, "--segments @", 4);
    assert_int_equal(lines_of(f->out), 4);
}

static void hidden(void **state) {
    struct fixture *f = *state;
    const struct logbuild_batch *batch = &f->one->batches[1];
    struct dwal__start start = {.previous_segment = 1,
                                .previous_end = batch->end,
                                .previous_lsn = 1,
                                .previous_link = batch->crc,
                                .flags = DWAL__START_CUT};
    logbuild_segment(&f->log, 0x20, 0x1f);
    logbuild_start(&f->log, f->three, &start);
    logbuild_records(&f->log, f->three, 1, 0);
    run_log(f, "--json @ -s 2", 0);
    assert_int_equal(lines_of(f->out), 1);
    assert_non_null(strstr(f->out, "\"lsn\":2,\"type\":1,\"flags\":0,"));
    run(f, "--raw --lines @ 2", 0);
    expect_out(f, "");
    expect_err(f, "it is dead");
    run(f, "--raw --lines @ 1", 0);
    expect_out(f, "one\n");
}

static void trimmed(void **state) {
    struct fixture *f = *state;
    logbuild_begin(&f->log, f->two);
    logbuild_trim(&f->log, 3);
    logbuild_seal(&f->log);
    run_log(f, "--raw @", 0);
    expect_out(f, "four");
    run(f, "--raw @ -s 3", 8);
    expect_err(f, "LSN 3 was trimmed; the log begins with LSN 4");
    run(f, "--raw @ 1", 0);
    expect_err(f, "it is trimmed");
}

static void no_log(void **state) {
    struct fixture *f = *state;
    run(f, "@", 8);
    expect_err(f, "No such file or directory");
    f->log.segment_count = 0;
    f->log.lock_present = false;
    run_log(f, "@", 8);
    expect_err(f, "there is no log here; look at the path");
    f->log.lock_present = true;
    run_log(f, "@", 4);
    f->log.segment_count = 3;
}

static void usage(void **state) {
    struct fixture *f = *state;
    static const char *const lines[] = {
        "",
        "@ -s 0",
        "@ -s x",
        "@ -s -1",
        "@ -s 9223372036854775808",
        "@ -s 3 -e 2",
        "@ -n 1x",
        "@ --type 65536",
        "@ --tenant 4294967296",
        "@ --shard",
        "@ --lines",
        "@ --json --raw",
        "@ --hex --batches",
        "@ -q --json",
        "@ -q -z",
        "@ --segments -n 1",
        "@ --segments --tenant 1",
        "@ --system --raw",
        "@ --system --tenant 1",
        "@ --system -z",
        "@ --color=sometimes",
        "@ --nonsense",
        "@ -f -z",
        "@ -f --segments",
        "@ -f 1",
        "@ --skip-damage 1",
        "@ --skip-damage --map",
        "@ --map -s 1",
        "@ --map --raw",
        "@ --cell 4096",
        "@ --map --cell 1",
        "@ --extract 1",
        "@ --extract 0 -o x",
        "@ --extract 1 -o x -s 1",
        "@ --extract 1 -o x --json",
        "@ --extract 1 -o x 1",
        "@ --extract 1 -o - --force",
        "@ -o x",
        "@ --force",
        "@ --decoder cat --raw",
        "@ --decoder cat -z",
        "@ --decoder cat --decoder-timeout 0",
        "@ --decoder-timeout 5",
        "@ 0",
        "@ nothing.wal",
    };
    logbuild_write(&f->log, f->dir);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        run(f, lines[i], 16);
        expect_out(f, "");
        expect_err(f, "waldump: ");
        expect_err(f, "Try 'waldump --help'.");
    }
    run(f, "--help", 0);
    assert_memory_equal(f->out, "Usage: waldump ", 15);
    run(f, "--version", 0);
    assert_memory_equal(f->out, "waldump (dwal) ", 15);
}

/* ---- surroundings ---- */

/* A writer has the log: here, the test itself. */
static void live(void **state) {
    struct fixture *f = *state;
    struct dwal__disk *disk = dwal__disk_kernel();
    logbuild_begin(&f->log, f->two);
    record_add(&f->log, "five", 1, 0, 0);
    logbuild_seal(&f->log);
    logbuild_write(&f->log, f->dir);
    int dir = disk->ops->dir_open(disk, f->dir);
    int lock = disk->ops->open(disk, dir, DWAL__LOCK_NAME, DWAL__OPEN_WRITE);
    assert_int_equal(disk->ops->lock(disk, lock, DWAL__LOCK_FILE), 0);
    run(f, "--raw --lines @ -s 4", 0);
    expect_out(f, "four\n");
    expect_err(f, "is writing it; LSN 4 is the last that is known to be "
                  "durable");
    char me[32];
    snprintf(me, sizeof me, "process %d (", (int)getpid());
    expect_err(f, me);
    run(f, "--segments @", 0);
    assert_non_null(strstr(f->out, "ahead"));
    disk->ops->close(disk, lock);
    disk->ops->close(disk, dir);
    run(f, "--raw --lines @ -s 4", 0);
    expect_out(f, "four\nfive\n");
}

/* ---- following ---- */

struct follower {
    pid_t pid;
    FILE *out;
    char err[4200];
};

static struct follower follow(struct fixture *f, const char *line) {
    struct follower follower;
    int pipes[2];
    snprintf(follower.err, sizeof follower.err, "%s/err", f->path);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    follower.pid = start(f, line, pipes[1], follower.err);
    close(pipes[1]);
    follower.out = fdopen(pipes[0], "r");
    assert_non_null(follower.out);
    return follower;
}

static void follower_expect(struct follower *follower, const char *line) {
    char got[512];
    assert_non_null(fgets(got, sizeof got, follower->out));
    if (strstr(got, line) == NULL)
        fail_msg("instead of %s: %s", line, got);
}

/* A signal ends it: cleanly, and with nothing more to show. */
static void follower_end(struct fixture *f, struct follower *follower,
                         int number) {
    size_t size;
    assert_int_equal(kill(follower->pid, number), 0);
    assert_int_equal(fgetc(follower->out), EOF);
    fclose(follower->out);
    assert_int_equal(status_of(follower->pid), 0);
    free(f->err);
    f->err = file_take(follower->err, &size);
}

/* Calls of read that it has made. */
static unsigned long reads_of(pid_t pid) {
    char path[64], line[128];
    unsigned long count = 0;
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        skip(); /* a kernel that does not count */
    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "syscr: %lu", &count);
    fclose(file);
    return count;
}

/* Waits until it has looked at the log a few times more. */
static void looks_await(pid_t pid) {
    unsigned long before = reads_of(pid);
    while (reads_of(pid) < before + 8)
        usleep(1000);
}

static void segment_put(struct fixture *f,
                        const struct logbuild_segment *segment, uint64_t from,
                        uint64_t until) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", f->dir, segment->name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(
        pwrite(fd, segment->bytes + from, until - from, (off_t)from),
        until - from);
    close(fd);
}

static void follower_expect_nothing(struct follower *follower) {
    int fd = fileno(follower->out);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fgetc(follower->out), EOF);
    assert_int_equal(errno, EAGAIN);
    clearerr(follower->out);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

/* What is written and proven by nothing is not shown, however often it looks;
 * once it is proven, it is. */
static void follow_undurable(void **state) {
    struct fixture *f = *state;
    struct dwal__disk *disk = dwal__disk_kernel();
    logbuild_begin(&f->log, f->two);
    record_add(&f->log, "five", 1, 0, 0);
    logbuild_seal(&f->log);
    logbuild_write(&f->log, f->dir);
    int dir = disk->ops->dir_open(disk, f->dir);
    int lock = disk->ops->open(disk, dir, DWAL__LOCK_NAME, DWAL__OPEN_WRITE);
    assert_int_equal(disk->ops->lock(disk, lock, DWAL__LOCK_FILE), 0);
    struct follower follower = follow(f, "-f --raw --lines @ -s 4");
    follower_expect(&follower, "four\n");
    looks_await(follower.pid);
    follower_expect_nothing(&follower);
    uint64_t end = f->two->tail;
    logbuild_mark(&f->log, f->two);
    segment_put(f, f->two, end, f->two->tail);
    follower_expect(&follower, "five\n");
    follower_end(f, &follower, SIGTERM);
    assert_string_equal(f->err, "");
    disk->ops->close(disk, lock);
    disk->ops->close(disk, dir);
}

/* Somebody cut off what was shown already: told, and it goes on behind. */
static void follow_cut(void **state) {
    struct fixture *f = *state;
    const struct logbuild_batch *batch = &f->one->batches[1];
    struct dwal__start cut = {.previous_segment = 1,
                              .previous_end = batch->end,
                              .previous_lsn = 1,
                              .previous_link = batch->crc,
                              .flags = DWAL__START_CUT};
    char from[4300], to[4300];
    logbuild_write(&f->log, f->dir);
    struct follower follower = follow(f, "--json --follow @");
    for (int lsn = 1; lsn <= 4; lsn++)
        follower_expect(&follower, "\"kind\":\"record\"");
    logbuild_start(&f->log, f->three, &cut);
    logbuild_records(&f->log, f->three, 1, 0);
    logbuild_mark(&f->log, f->three);
    segment_put(f, f->three, BLOCK, f->three->tail);
    /* A new number wakes it. */
    struct logbuild_segment *four = logbuild_segment(&f->log, 0x20, 0x1f);
    snprintf(from, sizeof from, "%s/new", f->dir);
    snprintf(to, sizeof to, "%s/%s", f->dir, four->name);
    FILE *file = fopen(from, "wb");
    assert_int_equal(fwrite(four->bytes, 1, SEGMENT, file), SEGMENT);
    fclose(file);
    assert_int_equal(rename(from, to), 0);
    follower_expect(&follower, "{\"kind\":\"gap\",\"why\":\"cut\","
                               "\"first_lsn\":2,\"last_lsn\":4}\n");
    follower_expect(&follower, "{\"kind\":\"record\",\"lsn\":2,");
    follower_end(f, &follower, SIGINT);
    expect_err(f, "the log was cut behind LSN 1; LSNs 2 to 4, shown before, "
                  "are no part of it any more");
}

/* A torn tail is told once, and waited behind. */
static void follow_torn(void **state) {
    struct fixture *f = *state;
    logbuild_begin(&f->log, f->two);
    record_add(&f->log, "five", 1, 0, 0);
    logbuild_seal(&f->log);
    memset(f->two->bytes + logbuild_last(f->two)->offset + 130, 0, BLOCK - 130);
    logbuild_write(&f->log, f->dir);
    struct follower follower = follow(f, "--raw --lines -f @ -s 4");
    follower_expect(&follower, "four\n");
    char told[512], err[4200];
    do { /* told before it waits */
        snprintf(err, sizeof err, "%s", follower.err);
        FILE *file = fopen(err, "r");
        assert_non_null(file);
        if (fgets(told, sizeof told, file) == NULL)
            told[0] = '\0';
        fclose(file);
    } while (strchr(told, '\n') == NULL);
    follower_end(f, &follower, SIGINT);
    expect_err(f, "record 5 may or may not have been acknowledged");
    assert_int_equal(lines_of(f->err), 1);
}

static void follow_damaged(void **state) {
    struct fixture *f = *state;
    f->one->bytes[1160] ^= 1;
    run_log(f, "-f --raw --lines @", 4);
    expect_out(f, "");
    expect_err(f, "LSNs 1 to 2 cannot be read");
    struct follower follower = follow(f, "-f --raw --lines --skip-damage @");
    follower_expect(&follower, "\033[31m");
    follower_expect(&follower, "four\n");
    assert_int_equal(kill(follower.pid, SIGINT), 0);
    assert_int_equal(status_of(follower.pid), 4);
    fclose(follower.out);
    unlink(follower.err);
}

/* ---- surroundings, once more ---- */

static void output_fails(void **state) {
    struct fixture *f = *state;
    char err[4200];
    size_t size;
    int pipes[2];
    snprintf(err, sizeof err, "%s/err", f->path);
    logbuild_write(&f->log, f->dir);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_int_equal(status_of(start(f, "@", full, err)), 8);
    close(full);
    f->err = file_take(err, &size);
    expect_err(f, "cannot write standard output: No space left on device");
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    close(pipes[0]); /* as head(1) leaves it */
    assert_int_equal(status_of(start(f, "@", pipes[1], err)), 8);
    close(pipes[1]);
    free(f->err);
    f->err = file_take(err, &size);
    assert_string_equal(f->err, "");
}

/* A record that fills most of its segment comes out whole; and a signal in the
 * middle of it is told. */
static void huge(void **state) {
    struct fixture *f = *state;
    uint32_t size = 16 << 20;
    logbuild_free(&f->log);
    logbuild_init(&f->log, 4096, 17 << 20);
    struct logbuild_segment *one = logbuild_segment(&f->log, 1, 0);
    logbuild_segment(&f->log, 2, 1);
    logbuild_start(&f->log, one, NULL);
    logbuild_records(&f->log, one, 1, size);
    logbuild_mark(&f->log, one);
    run_log(f, "--raw @", 0);
    assert_int_equal(f->out_size, size);
    assert_memory_equal(f->out, one->bytes + one->batches[1].offset + 128 + 32,
                        size);
    run(f, "@", 0);
    assert_int_equal(lines_of(f->out), 2);
    char err[4200], byte[65536];
    int pipes[2];
    snprintf(err, sizeof err, "%s/err", f->path);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = start(f, "--raw @", pipes[1], err);
    close(pipes[1]);
    assert_int_equal(read(pipes[0], byte, 1), 1); /* it is at work */
    assert_int_equal(kill(pid, SIGINT), 0);
    while (read(pipes[0], byte, sizeof byte) > 0)
        continue;
    close(pipes[0]);
    assert_int_equal(status_of(pid), 32);
}

/* Whatever it is asked: not a byte of the log changes. */
static void never_writes(void **state) {
    struct fixture *f = *state;
    static const char *const lines[] = {"@",
                                        "@ -z",
                                        "@ --segments",
                                        "@ --batches",
                                        "@ -q 1",
                                        "@ --map",
                                        "@ --skip-damage",
                                        "@ --extract 1 -o -",
                                        "@ -f -n 4",
                                        "@ --json --decoder cat"};
    logbuild_write(&f->log, f->dir);
    unsigned long before = tempdir_digest(f->dir);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        run(f, lines[i], 0);
    assert_int_equal(tempdir_digest(f->dir), before);
    assert_int_equal(tempdir_count(f->dir, ""), 3 + 1 + 2); /* . and .. */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(table),
        TEST(json),
        TEST(raw),
        TEST(ranges),
        TEST(batches),
        TEST(segments),
        TEST(stats),
        TEST(torn),
        TEST(damaged),
        TEST(lost),
        TEST(hidden),
        TEST(trimmed),
        TEST(no_log),
        TEST(usage),
        TEST(live),
        TEST(follow_undurable),
        TEST(follow_cut),
        TEST(follow_torn),
        TEST(follow_damaged),
        TEST(output_fails),
        TEST(huge),
        TEST(never_writes),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s WALDUMP\n", argv[0]);
        return 2;
    }
    program = argv[1];
    return cmocka_run_group_tests_name("waldump", tests, NULL, NULL);
}
