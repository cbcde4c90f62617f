/* SPDX-License-Identifier: MIT */
/*
 * Readers on logs in memory.
 */
#include "reading.h"

#include <errno.h>

static struct reading *reading_of(struct dwal__disk *disk) {
    return (struct reading *)disk;
}

/* Counts an operation; true if it is the one that fails. */
static bool fails(struct dwal__disk *disk) {
    struct reading *reading = reading_of(disk);
    return reading->operations++ == reading->fail_at;
}

static int reading_lock_held(struct dwal__disk *disk, int handle) {
    (void)handle;
    return fails(disk) ? -EIO : reading_of(disk)->held;
}

static int reading_dir_list(struct dwal__disk *disk, int dir,
                            int (*each)(void *argument, const char *name),
                            void *argument) {
    return fails(disk) ? -EIO
                       : reading_of(disk)->image_ops->dir_list(disk, dir, each,
                                                               argument);
}

static int reading_file_open(struct dwal__disk *disk, int dir, const char *name,
                             int flags) {
    return fails(disk)
               ? -EIO
               : reading_of(disk)->image_ops->open(disk, dir, name, flags);
}

static ssize_t reading_read(struct dwal__disk *disk, int handle, void *to,
                            size_t size, uint64_t offset) {
    return fails(disk) ? -EIO
                       : reading_of(disk)->image_ops->read(disk, handle, to,
                                                           size, offset);
}

static void reading_durable(void *argument, struct dwal__watermark *watermark,
                            uint64_t *first_lsn) {
    struct reading *reading = argument;
    *watermark = reading->durable;
    *first_lsn = reading->first_lsn;
}

void reading_init(struct reading *reading, const struct logbuild *log) {
    memset(reading, 0, sizeof *reading);
    imagedisk_init(&reading->image, log);
    reading->fail_at = UINT64_MAX;
    reading->image_ops = reading->image.disk.ops;
    reading->ops = *reading->image_ops;
    reading->ops.lock_held = reading_lock_held;
    reading->ops.dir_list = reading_dir_list;
    reading->ops.open = reading_file_open;
    reading->ops.read = reading_read;
    reading->image.disk.ops = &reading->ops;
    reading->first_lsn = 1;
}

int reading_open(struct reading *reading, uint64_t lsn) {
    reading_close(reading);
    struct dwal__reader_options options = {.disk = &reading->image.disk,
                                           .start_lsn = lsn,
                                           .system = reading->system};
    if (reading->inside) {
        options.durable = reading_durable;
        options.durable_argument = reading;
    }
    int code = dwal__reader_open(&options, &reading->reader, &reading->error);
    if (code != DWAL_OK) {
        assert_int_equal(reading->error.code, code);
        assert_null(reading->reader);
        assert_int_equal(reading->image.open_handles, 0);
    }
    return code;
}

void reading_close(struct reading *reading) {
    dwal__reader_close(reading->reader);
    reading->reader = NULL;
    assert_int_equal(reading->image.open_handles, 0);
}

static const struct logbuild_segment *segment_of(const struct logbuild *log,
                                                 uint64_t number) {
    for (unsigned i = 0; i < log->segment_count; i++)
        if (log->segments[i]->header.number == number)
            return log->segments[i];
    fail_msg("there is no segment %llu", (unsigned long long)number);
    return NULL;
}

/* What was delivered is what stands at the place that is said. */
static void item_check(const struct reading *reading) {
    const struct dwal__reader_item *item = &reading->item;
    const struct logbuild_segment *segment =
        segment_of(reading->image.log, item->segment);
    struct dwal__record record;
    size_t room;
    assert_true(item->offset < segment->size);
    check_fault("delivered record",
                dwal__record_decode(segment->bytes + item->offset,
                                    segment->size - item->offset,
                                    segment->header.salt, &record, &room),
                DWAL__FAULT_NONE);
    assert_int_equal(record.lsn, item->record.lsn);
    assert_int_equal(record.size, item->record.size);
    assert_int_equal(record.type, item->record.type);
    assert_memory_equal(record.data, item->record.data, record.size);
    assert_int_equal(item->batch.offset, item->batch_offset);
    assert_true(item->batch_index < item->batch.record_count);
}

int reading_next(struct reading *reading) {
    struct dwal__reader_item untouched = reading->item;
    int code =
        dwal__reader_next(reading->reader, &reading->item, &reading->error);
    if (code == DWAL_OK) {
        item_check(reading);
    } else {
        assert_int_equal(reading->error.code, code);
        assert_memory_equal(&untouched, &reading->item, sizeof untouched);
    }
    return code;
}

void reading_expect(struct reading *reading, uint64_t from, uint64_t to) {
    for (uint64_t lsn = from; lsn <= to; lsn++) {
        int code;
        do
            code = reading_next(reading);
        while (code == DWAL_OK && reading->item.record.lsn == 0);
        if (code != DWAL_OK)
            fail_msg("LSN %llu: %s", (unsigned long long)lsn,
                     reading->error.text);
        assert_int_equal(reading->item.record.lsn, lsn);
    }
}

void reading_expect_system(struct reading *reading, uint16_t type) {
    if (reading_next(reading) != DWAL_OK)
        fail_msg("%s", reading->error.text);
    assert_int_equal(reading->item.record.lsn, 0);
    assert_int_equal(reading->item.record.type, type);
}

void reading_expect_code(struct reading *reading, int code) {
    for (int i = 0; i < 2; i++) {
        int got;
        do
            got = reading_next(reading);
        while (got == DWAL_OK && reading->item.record.lsn == 0);
        if (got != code)
            fail_msg("got %d (LSN %llu, \"%s\"), expected %d", got,
                     (unsigned long long)reading->item.record.lsn,
                     reading->error.text, code);
    }
}

void reading_all(struct reading *reading, uint64_t from, uint64_t to,
                 int code) {
    if (reading_open(reading, 0) != DWAL_OK)
        fail_msg("open: %s", reading->error.text);
    reading_expect(reading, from, to);
    reading_expect_code(reading, code);
}

void reading_expect_damage(const struct reading *reading, uint64_t segment,
                           uint64_t offset, uint64_t lost_from,
                           uint64_t lost_to) {
    const struct dwal__reader_damage *damage =
        dwal__reader_damage(reading->reader);
    assert_int_equal(damage->place.segment, segment);
    assert_int_equal(damage->place.offset, offset);
    assert_int_equal(damage->lost_from, lost_from);
    assert_int_equal(damage->lost_to, lost_to);
}
