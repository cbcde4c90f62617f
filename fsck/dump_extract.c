/* SPDX-License-Identifier: MIT */
/*
 * One payload, as it is, into a file. The file appears whole or not at all: it
 * is written under another name beside its place, synced, and only then given
 * its own. What is there already is replaced only if that is asked for, and the
 * log's own directory is never written to.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "dump.h"

static struct {
    bool found;
    bool failed; /* told */
} extract;

/* The file while it is made: @name and @making are names in @dir. */
struct output {
    const char *path;
    char *folder; /* of @path */
    const char *name;
    char making[64];
    int dir;
    bool force;
};

static bool output_fail(const struct output *output, const char *step) {
    dwal__cli_error("%s: %s: %s", output->path, step, strerror(errno));
    return false;
}

/* The folder and the name that @path consists of. */
static bool output_open(struct output *output) {
    const char *slash = strrchr(output->path, '/');
    output->name = slash != NULL ? slash + 1 : output->path;
    if (slash == NULL)
        output->folder = strdup(".");
    else
        output->folder =
            strndup(output->path,
                    slash == output->path ? 1 : (size_t)(slash - output->path));
    if (output->folder == NULL)
        return output_fail(output, "name");
    if (output->name[0] == '\0') {
        errno = output->path[0] == '\0' ? ENOENT : EISDIR;
        return output_fail(output, "-o");
    }
    output->dir = open(output->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return output->dir >= 0 || output_fail(output, "open its directory");
}

/* False, and told, if the file must not be made here. */
static bool output_permit(const struct output *output, const char *log) {
    struct stat there, log_dir;
    if (fstat(output->dir, &there) != 0)
        return output_fail(output, "look at its directory");
    if (stat(log, &log_dir) == 0 && there.st_dev == log_dir.st_dev &&
        there.st_ino == log_dir.st_ino) {
        dwal__cli_error("%s lies in the directory of the log, which waldump "
                        "never writes to; name another place",
                        output->path);
        return false;
    }
    if (fstatat(output->dir, output->name, &there, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || output_fail(output, "look at it");
    if (output->force && S_ISREG(there.st_mode))
        return true;
    if (S_ISREG(there.st_mode))
        dwal__cli_error("%s: the file exists; --force replaces it",
                        output->path);
    else
        dwal__cli_error("%s exists and is no regular file: it is not replaced; "
                        "-o - writes to standard output",
                        output->path);
    return false;
}

static bool bytes_write(int fd, const uint8_t *bytes, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t count = write(fd, bytes + at, size - at);
        if (count < 0 && errno != EINTR)
            return false;
        at += count > 0 ? (size_t)count : 0;
    }
    return true;
}

/* The payload under the other name, on the disk. */
static bool output_fill(struct output *output,
                        const struct dwal__record *record) {
    snprintf(output->making, sizeof output->making, ".waldump-%ld.tmp",
             (long)getpid());
    int fd = openat(output->dir, output->making,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return output_fail(output, "make a file beside it");
    bool good = bytes_write(fd, record->data, record->size) && fsync(fd) == 0;
    int failed = errno;
    if (close(fd) != 0 && good) {
        failed = errno;
        good = false;
    }
    if (good)
        return true;
    unlinkat(output->dir, output->making, 0);
    errno = failed;
    return output_fail(output, "write");
}

/* Gives it its name; unless forced, never over what somebody has put there
 * meanwhile: a link does that, too, where rename does not know how. */
static bool output_name(const struct output *output) {
    unsigned flags = output->force ? 0 : RENAME_NOREPLACE;
    int failed = renameat2(output->dir, output->making, output->dir,
                           output->name, flags);
    bool linked = failed != 0 && errno == EINVAL && !output->force;
    if (linked)
        failed =
            linkat(output->dir, output->making, output->dir, output->name, 0);
    int why = errno;
    if (failed != 0 || linked)
        unlinkat(output->dir, output->making, 0);
    errno = why;
    if (failed != 0)
        return output_fail(output, "give it its name");
    return fsync(output->dir) == 0 || output_fail(output, "sync its directory");
}

static bool file_write(const struct dwal__dump_options *options,
                       const struct dwal__record *record) {
    struct output output = {
        .path = options->output, .dir = -1, .force = options->force};
    bool good = output_open(&output) && output_permit(&output, options->path) &&
                output_fill(&output, record) && output_name(&output);
    if (output.dir >= 0)
        close(output.dir);
    free(output.folder);
    return good;
}

static bool extract_item(const struct dwal__dump_options *options,
                         const struct dwal__reader_item *item) {
    extract.found = true;
    if (strcmp(options->output, "-") == 0)
        fwrite(item->record.data, 1, item->record.size, stdout);
    else
        extract.failed = !file_write(options, &item->record);
    return true;
}

static bool extract_failed(void) {
    return extract.failed;
}

static int extract_end(const struct dwal__dump_options *options) {
    if (!extract.found && !dwal__cli_cancelled())
        dwal__cli_error("%s: no record with LSN %" PRIu64 " can be read; "
                        "nothing was written",
                        options->path, options->extract_lsn);
    return extract.found && !extract.failed ? DWAL__EXIT_CLEAN
                                            : DWAL__EXIT_ERROR;
}

const struct dwal__dump_printer dwal__dump_extract = {
    .item = extract_item, .failed = extract_failed, .end = extract_end};
