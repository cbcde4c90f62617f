/* SPDX-License-Identifier: MIT */
/*
 * Recovery and the reader, on a whole directory in memory. Whatever is in it:
 * nothing is changed; the same bytes give the same answer twice; a log that is
 * clean or torn gives every record that the verdict names, and W is not beyond
 * its end.
 */
#include <stdlib.h>
#include <string.h>

#include "folder.h"
#include "format/crc.h"
#include "guard.h"
#include "recover/reader.h"
#include "target.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    return 0;
}

static int recover(struct dwal__recovery *recovery, int dir, uint64_t verify) {
    struct dwal_error error;
    struct dwal__recover_options options = {
        .disk = guard_disk(), .dir = dir, .sync = true, .verify_bytes = verify};
    memset(recovery, 0, sizeof *recovery);
    return dwal__recover(&options, recovery, &error);
}

static bool whole(const struct dwal__recovery *recovery) {
    return recovery->verdict == DWAL__VERDICT_CLEAN ||
           recovery->verdict == DWAL__VERDICT_TORN;
}

static void answer_check(const struct dwal__recovery *recovery) {
    fuzz_check(recovery->decision != NULL);
    fuzz_check(recovery->decision->verdict == recovery->verdict);
    if (!whole(recovery))
        return;
    fuzz_check(dwal__position_compare(recovery->watermark.position,
                                      recovery->end) <= 0);
    fuzz_check(recovery->first_lsn >= 1);
    fuzz_check(recovery->first_lsn <= recovery->durable_lsn + 1);
    if (recovery->undecidable)
        fuzz_check(recovery->undecidable_from == recovery->durable_lsn + 1);
}

/* What a reader has shown so far. */
struct shown {
    uint64_t count; /* records */
    uint64_t last;  /* the LSN of the latest one */
    uint64_t lost;  /* records that the log itself says are lost (SPEC 6.1) */
};

/* To the next thing that is not a record; returns the code. */
static int records_read(struct dwal__reader *reader, struct shown *shown) {
    struct dwal__reader_item item;
    struct dwal_error error;
    int code;
    while ((code = dwal__reader_next(reader, &item, &error)) == DWAL_OK) {
        if (item.record.lsn == 0)
            continue;
        fuzz_check(item.record.lsn > shown->last);
        /* All of it may be looked at. */
        dwal__crc32(0, item.record.data, item.record.size);
        shown->last = item.record.lsn;
        shown->count++;
    }
    return code;
}

/* From the first record to the last. What the log says is lost is passed, and
 * other damage with @skip. Returns the code behind that. */
static int log_read(struct dwal__reader *reader, bool skip,
                    struct shown *shown) {
    struct dwal_error error;
    int code;
    while ((code = records_read(reader, shown)) == DWAL_ECORRUPT) {
        const struct dwal__reader_damage *damage = dwal__reader_damage(reader);
        if (!damage->passable || (!skip && !damage->stated))
            break;
        if (damage->lost_from > damage->lost_to ||
            damage->lost_to <= shown->last)
            break;
        fuzz_check(damage->lost_from > shown->last || !damage->stated);
        shown->lost += damage->lost_to - damage->lost_from + 1;
        shown->last = damage->lost_to;
        if (damage->lost_to >= DWAL__LSN_MAX ||
            dwal__reader_seek(reader, damage->lost_to + 1, &error) != DWAL_OK)
            break;
    }
    return code;
}

/* @full is what every recovery says, or NULL if that depends on how much it
 * reads. */
static void reader_check(const struct dwal__recovery *full, int dir,
                         bool system) {
    struct dwal__reader_options options = {
        .disk = guard_disk(), .dir = dir, .system = system};
    struct dwal__reader *reader = NULL;
    struct dwal_error error;
    struct shown shown = {0};
    bool all = full != NULL && whole(full);
    if (dwal__reader_open(&options, &reader, &error) != DWAL_OK) {
        fuzz_check(!all);
        return;
    }
    int code = log_read(reader, !all, &shown);
    if (all) {
        fuzz_check(code == DWAL_END);
        fuzz_check(shown.count + shown.lost ==
                   full->durable_lsn + 1 - full->first_lsn);
        fuzz_check(shown.last == 0 || shown.last == full->durable_lsn);
    }
    dwal__reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct folder folder;
    folder_read(&folder, bytes, size);
    struct memdisk *disk = folder_disk(&folder), *before = memdisk_copy(disk);
    guard_begin(disk, folder.size);
    int dir = guard_disk()->ops->dir_open(guard_disk(), "/log");
    struct dwal__recovery full, again, quick;
    int code = recover(&full, dir, UINT64_MAX);
    fuzz_check(recover(&again, dir, UINT64_MAX) == code);
    int quick_code = recover(&quick, dir, 0);
    if (code == DWAL_OK) {
        answer_check(&full);
        fuzz_check(full.decision == again.decision &&
                   full.durable_lsn == again.durable_lsn &&
                   full.facts.bits == again.facts.bits);
    }
    /* What SPEC 11 lets an opener skip may hide damage: then it finds the end
     * further up, and the reader tells what it meets. */
    bool same = code == DWAL_OK && quick_code == DWAL_OK &&
                full.decision == quick.decision &&
                dwal__position_compare(full.end, quick.end) == 0;
    if (code == DWAL_OK && quick_code == DWAL_OK && whole(&full) && !same)
        fuzz_check(dwal__position_compare(quick.end, full.end) > 0);
    reader_check(same ? &full : NULL, dir, folder.choice & 1);
    dwal__recovery_release(&full);
    dwal__recovery_release(&again);
    dwal__recovery_release(&quick);
    guard_disk()->ops->close(guard_disk(), dir);
    guard_end();
    fuzz_check(memdisk_difference(disk, before, NULL) == NULL);
    memdisk_free(disk);
    memdisk_free(before);
    folder_release(&folder);
    return 0;
}
