/* SPDX-License-Identifier: MIT */
/*
 * Follows a log that another process writes, and prints its records as they
 * become durable: tail LOG [LSN [IDLE_MS]]. Ends when nothing has come for
 * IDLE_MS; without it never.
 */
#include <dwal.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int follow(struct dwal_cursor *cursor, int idle_ms,
                  struct dwal_error *error) {
    struct dwal_record record;

    for (;;) {
        fflush(stdout);
        int code = dwal_cursor_next_wait(cursor, &record, idle_ms, error);
        if (code == DWAL_OK) {
            printf("%" PRIu64 " %.*s\n", record.lsn, (int)record.size,
                   (const char *)record.data);
        } else if (code == DWAL_ETRIMMED) {
            /* It was slower than the trims: goes on with what is there. */
            fprintf(stderr, "tail: %s\n", error->text);
            code = dwal_cursor_seek(cursor, 0, error);
            if (code != DWAL_OK)
                return code;
        } else {
            return code == DWAL_ETIMEDOUT ? DWAL_OK : code;
        }
    }
}

int main(int argc, char **argv) {
    struct dwal_cursor_options options;
    struct dwal_cursor *cursor;
    struct dwal_error error;

    dwal_cursor_options_init(&options);
    options.start_lsn = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    int code = dwal_cursor_open(argc > 1 ? argv[1] : "hello.log", &options,
                                &cursor, &error);
    if (code == DWAL_OK) {
        code = follow(cursor, argc > 3 ? atoi(argv[3]) : -1, &error);
        dwal_cursor_close(cursor);
    }
    if (code != DWAL_OK)
        fprintf(stderr, "tail: %s\n", error.text);
    return code != DWAL_OK;
}
