/* SPDX-License-Identifier: MIT */
/*
 * The oracle: acknowledged ⊆ recovered ⊆ submitted, in order, dense, unchanged.
 * It runs the code that is shipped: recover/ to find and read, the public
 * library to go on.
 */
#include "verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recover/reader.h"

#define GO_ON_RECORDS 5u
#define GO_ON_LIFE (IDENTITY_LIVES_MAX - 1)

/* What reading has shown so far. */
struct reading {
    const struct promises *promises;
    const struct verify_found *found;
    char *text;
    uint64_t lsn;         /* of the next record */
    struct identity last; /* the record before; count 0: none */
    uint64_t next[IDENTITY_LIVES_MAX][IDENTITY_THREADS_MAX]; /* number … */
    bool seen[IDENTITY_LIVES_MAX][IDENTITY_THREADS_MAX];     /* … if seen */
    uint8_t scratch[IDENTITY_PAYLOAD_MAX];
};

__attribute__((format(printf, 2, 3))) static bool
broken(char text[VERIFY_TEXT_SIZE], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, VERIFY_TEXT_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- one record ---- */

static bool acknowledged_check(const struct reading *reading,
                               const struct identity *identity) {
    const struct promises *promises = reading->promises;
    if (reading->lsn > promises->lsn_max)
        return true;
    const struct promise_record *record = &promises->records[reading->lsn];
    if (!record->known ||
        (record->life == identity->life && record->thread == identity->thread &&
         record->number == identity->number))
        return true;
    return broken(reading->text,
                  "LSN %" PRIu64 " was acknowledged to life %u thread %u as "
                  "its record %" PRIu64 ", and is life %u thread %u record "
                  "%" PRIu64,
                  reading->lsn, record->life, record->thread, record->number,
                  identity->life, identity->thread, identity->number);
}

/* A caller's records come in its order, and none is missing. */
static bool order_check(struct reading *reading,
                        const struct identity *identity) {
    uint64_t *next = &reading->next[identity->life][identity->thread];
    bool *seen = &reading->seen[identity->life][identity->thread];
    uint64_t expected = *seen ? *next : 0;
    if (identity->number != expected &&
        (*seen || reading->found->first_lsn <= 1))
        return broken(reading->text,
                      "LSN %" PRIu64 " is record %" PRIu64 " of life %u thread "
                      "%u, where its record %" PRIu64 " should come",
                      reading->lsn, identity->number, identity->life,
                      identity->thread, expected);
    *seen = true;
    *next = identity->number + 1;
    return true;
}

/* What was appended together is there together; a trim may take its first. */
static bool together_check(const struct reading *reading,
                           const struct identity *identity) {
    const struct identity *last = &reading->last;
    bool follows = last->count != 0 && last->index + 1 < last->count;
    bool is_next = identity->index > 0;
    if (last->count == 0 && (!is_next || reading->found->first_lsn > 1))
        return true;
    if (follows == is_next &&
        (!follows || (identity->index == last->index + 1 &&
                      identity->thread == last->thread &&
                      identity->number == last->number + 1)))
        return true;
    return broken(reading->text,
                  "at LSN %" PRIu64 " a batch of %u records is not whole",
                  reading->lsn, follows ? last->count : identity->count);
}

static bool record_check(struct reading *reading,
                         const struct dwal_record *record) {
    struct identity identity;
    if (record->lsn != reading->lsn)
        return broken(reading->text,
                      "LSN %" PRIu64 " comes where %" PRIu64 " should",
                      record->lsn, reading->lsn);
    if (!identity_read(record, &identity, reading->scratch) ||
        identity.life >= IDENTITY_LIVES_MAX ||
        identity.thread >= IDENTITY_THREADS_MAX)
        return broken(reading->text,
                      "LSN %" PRIu64 " was never submitted like this",
                      record->lsn);
    if (!acknowledged_check(reading, &identity) ||
        !order_check(reading, &identity) || !together_check(reading, &identity))
        return false;
    reading->last = identity;
    reading->lsn++;
    return true;
}

/* ---- all records ---- */

static bool records_check(struct dwal__reader *reader,
                          struct reading *reading) {
    struct dwal_error error;
    struct dwal__reader_item item;
    int code;
    reading->lsn = reading->found->first_lsn;
    while ((code = dwal__reader_next(reader, &item, &error)) == DWAL_OK) {
        const struct dwal__record *found = &item.record;
        struct dwal_record record = {found->lsn,  found->data,  found->size,
                                     found->type, found->flags, found->tenant,
                                     found->shard};
        if (!record_check(reading, &record))
            return false;
    }
    if (code != DWAL_END)
        return broken(reading->text, "reading LSN %" PRIu64 ": %s",
                      reading->lsn, error.text);
    if (reading->lsn != reading->found->durable_lsn + 1)
        return broken(reading->text,
                      "reading ended before LSN %" PRIu64
                      ", recovery found up to %" PRIu64,
                      reading->lsn, reading->found->durable_lsn);
    if (reading->last.count != 0 &&
        reading->last.index + 1 != reading->last.count)
        return broken(reading->text, "the last batch is not whole");
    return true;
}

static bool reading_run(struct dwal__reader *reader,
                        const struct promises *promises,
                        const struct verify_found *found,
                        char text[VERIFY_TEXT_SIZE]) {
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL)
        return broken(text, "no memory");
    reading->promises = promises;
    reading->found = found;
    reading->text = text;
    bool good = records_check(reader, reading);
    free(reading);
    return good;
}

/* ---- recovery ---- */

static bool promises_check(const struct promises *promises,
                           const struct verify_found *found,
                           char text[VERIFY_TEXT_SIZE]) {
    if (found->durable_lsn < promises->durable)
        return broken(text,
                      "LSN %" PRIu64 " was acknowledged, the log ends with "
                      "%" PRIu64 " (%s)",
                      promises->durable, found->durable_lsn, found->row);
    if (found->first_lsn < promises->trimmed)
        return broken(text,
                      "a trim below %" PRIu64 " was acknowledged, the log "
                      "begins with %" PRIu64,
                      promises->trimmed, found->first_lsn);
    if (found->first_lsn > 1 && found->first_lsn > promises->asked)
        return broken(text,
                      "nobody asked for a trim above %" PRIu64 ", the log "
                      "begins with %" PRIu64,
                      promises->asked, found->first_lsn);
    if (promises->closed && found->torn)
        return broken(text, "it was closed, and is torn (%s)", found->row);
    return true;
}

/* The kernel's disk through the page cache, which has just been emptied by a
 * mount, and without syncs, which have nothing to do for the same reason: both
 * for speed. Those that are gone on with are opened as always. */
static int open_cached(struct dwal__disk *disk, int dir, const char *name,
                       int flags) {
    return dwal__disk_kernel()->ops->open(disk, dir, name,
                                          flags & ~DWAL__OPEN_DIRECT);
}

static int sync_nothing(struct dwal__disk *disk, int handle) {
    (void)disk;
    (void)handle;
    return 0;
}

static struct dwal__disk *disk_cached(void) {
    static struct dwal__disk_ops ops;
    static struct dwal__disk disk = {.ops = &ops};
    ops = *dwal__disk_kernel()->ops;
    ops.open = open_cached;
    ops.sync = sync_nothing;
    ops.dir_sync = sync_nothing;
    return &disk;
}

static void found_fill(struct verify_found *found,
                       const struct dwal__recovery *recovery) {
    *found =
        (struct verify_found){.present = true,
                              .row = recovery->decision->name,
                              .torn = recovery->verdict == DWAL__VERDICT_TORN,
                              .first_lsn = recovery->first_lsn,
                              .durable_lsn = recovery->durable_lsn};
}

/* The verdict first, then the records. Not even a directory is all right as
 * long as nobody was promised a log. */
static bool dir_verify(int dir, const struct promises *promises,
                       struct verify_found *found,
                       char text[VERIFY_TEXT_SIZE]) {
    struct dwal__reader_options options = {.disk = disk_cached(), .dir = dir};
    struct dwal__reader *reader;
    struct dwal_error error = {0};
    int code = dwal__reader_open(&options, &reader, &error);
    if (code == DWAL_ENOENT && !promises->opened)
        return true;
    if (code != DWAL_OK)
        return broken(text, "recovery: %s", error.text);
    const struct dwal__recovery *recovery = dwal__reader_recovery(reader);
    bool good = true;
    if (recovery == NULL)
        good = broken(text, "somebody has the log open");
    else if (dwal__recovery_code(recovery) != DWAL_OK)
        good = broken(text, "recovery: %s", recovery->decision->name);
    if (good) {
        found_fill(found, recovery);
        good = promises_check(promises, found, text) &&
               reading_run(reader, promises, found, text);
    }
    dwal__reader_close(reader);
    return good;
}

bool verify_log(const char *dir, const struct promises *promises,
                struct verify_found *found, char text[VERIFY_TEXT_SIZE]) {
    struct dwal__disk *disk = disk_cached();
    *found = (struct verify_found){.row = ""};
    int handle = disk->ops->dir_open(disk, dir);
    if (handle < 0)
        return promises->opened ? broken(text, "the directory is gone") : true;
    bool good = dir_verify(handle, promises, found, text);
    disk->ops->close(disk, handle);
    return good;
}

/* ---- going on ---- */

static bool records_add(struct dwal *log, uint64_t after,
                        char text[VERIFY_TEXT_SIZE]) {
    static uint8_t bytes[IDENTITY_PAYLOAD_MAX];
    struct dwal_error error = {0};
    int code = DWAL_OK;
    for (uint32_t i = 0; code == DWAL_OK && i < GO_ON_RECORDS; i++) {
        struct identity identity = {
            .life = GO_ON_LIFE, .number = i, .count = 1};
        struct dwal_record record;
        uint64_t lsn = 0;
        if (i == GO_ON_RECORDS / 2)
            code = dwal_rotate(log, &error);
        identity_record(&identity, &record, bytes);
        if (code == DWAL_OK)
            code = dwal_commit(log, &record, &lsn, &error);
        if (code == DWAL_OK && lsn != after + i + 1)
            return broken(text, "going on: LSN %" PRIu64 " after %" PRIu64, lsn,
                          after + i);
    }
    return code == DWAL_OK ? true : broken(text, "going on: %s", error.text);
}

bool verify_go_on(const char *dir, const struct promises *promises,
                  const struct verify_found *found,
                  char text[VERIFY_TEXT_SIZE]) {
    struct dwal_options options;
    struct dwal_error error = {0};
    struct dwal *log;
    struct verify_found again;
    dwal_options_init(&options);
    options.segment_size = 128 << 10;
    options.queue_bytes_max = 1 << 20;
    if (dwal_open(dir, &options, &log, &error) != DWAL_OK)
        return broken(text, "open: %s", error.text);
    bool good = records_add(log, found->durable_lsn, text);
    if (dwal_close(log, &error) != DWAL_OK && good)
        return broken(text, "close: %s", error.text);
    if (!good || !verify_log(dir, promises, &again, text))
        return false;
    if (again.first_lsn != found->first_lsn || again.torn ||
        again.durable_lsn != found->durable_lsn + GO_ON_RECORDS)
        return broken(text,
                      "having gone on, the log has LSN %" PRIu64 " to %" PRIu64
                      " (%s); it had %" PRIu64 " to %" PRIu64,
                      again.first_lsn, again.durable_lsn, again.row,
                      found->first_lsn, found->durable_lsn);
    return true;
}
