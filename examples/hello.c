/* SPDX-License-Identifier: MIT */
/* Appends a record to a log, and reads the whole log back. */
#include <dwal.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct dwal_error error;

static void check(int code) {
    if (code == DWAL_OK)
        return;
    fprintf(stderr, "hello: %s\n", error.text);
    exit(1);
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "hello.log";
    struct dwal_record record = {.data = "hello", .size = 5};
    struct dwal_options options;
    struct dwal_cursor *cursor;
    struct dwal *log;
    uint64_t lsn;

    dwal_options_init(&options);
    options.create = DWAL_CREATE_IF_ABSENT;
    check(dwal_open(path, &options, &log, &error));
    check(dwal_commit(log, &record, &lsn, &error));
    printf("record %" PRIu64 " is on the disk\n", lsn);
    check(dwal_close(log, &error));

    check(dwal_cursor_open(path, NULL, &cursor, &error));
    int code;
    while ((code = dwal_cursor_next(cursor, &record, &error)) == DWAL_OK)
        printf("%" PRIu64 " %.*s\n", record.lsn, (int)record.size,
               (const char *)record.data);
    check(code == DWAL_END ? DWAL_OK : code);
    dwal_cursor_close(cursor);
    return 0;
}
