/* SPDX-License-Identifier: MIT */
/*
 * A range of records into memory that the caller gives. The reader checks and
 * holds a batch; its payloads are copied from there, which costs little beside
 * the checksum that has just passed over them. Invariant: a record is taken
 * from the reader only when it was copied, or does not match.
 */
#include <string.h>

#include "../format/bytes.h"
#include "cursor.h"

/* What was loaded so far, and the room. */
struct load {
    uint8_t *buffer;
    size_t size;
    size_t used; /* a multiple of 8, or @size */
    struct dwal_record *records;
    size_t room;
    size_t count;
};

static bool payload_fits(const struct load *load, uint32_t size) {
    return load->count < load->room && size <= load->size - load->used;
}

static void payload_copy(struct load *load, const struct dwal__record *record) {
    size_t left = load->size - load->used;
    size_t padded = dwal__align_up(record->size, 8);
    uint8_t *to = NULL; /* of an empty record */
    if (record->size > 0)
        to = memcpy(load->buffer + load->used, record->data, record->size);
    load->records[load->count++] = dwal__cursor_record(record, to);
    load->used += padded < left ? padded : left;
}

/* DWAL_OK: the range is done. DWAL_EINVAL: @item does not fit. */
static int range_load(struct dwal_cursor *cursor, uint64_t last_lsn,
                      struct load *load, struct dwal__reader_item *item,
                      struct dwal_error *error) {
    while (dwal__reader_wanted(cursor->reader) <= last_lsn) {
        int code = dwal__cursor_peek(cursor, item, error);
        if (code != DWAL_OK)
            return code;
        if (item->record.lsn > last_lsn)
            break;
        if (dwal__cursor_matches(cursor, &item->record)) {
            if (!payload_fits(load, item->record.size))
                return DWAL_EINVAL;
            payload_copy(load, &item->record);
        }
        dwal__reader_take(cursor->reader, item);
    }
    return DWAL_OK;
}

int dwal_cursor_load(struct dwal_cursor *cursor, uint64_t last_lsn,
                     void *buffer, size_t size, struct dwal_record *records,
                     size_t room, size_t *count, size_t *needed,
                     struct dwal_error *error) {
    struct load load = {
        .buffer = buffer, .size = size, .records = records, .room = room};
    struct dwal__reader_item item;
    int code = dwal__cursor_check(cursor, error);
    if (code != DWAL_OK)
        return code;
    if (records == NULL || room == 0 || count == NULL ||
        (buffer == NULL && size > 0))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: nowhere to put records", cursor->path);
    code = range_load(cursor, last_lsn, &load, &item, error);
    if (code == DWAL_OK || load.count > 0) {
        *count = load.count;
        return DWAL_OK;
    }
    if (code == DWAL_EINVAL) {
        if (needed != NULL)
            *needed = item.record.size;
        dwal__error_set(error, code, 0,
                        "%s: LSN %llu takes %u bytes, there is room for %zu",
                        cursor->path, (unsigned long long)item.record.lsn,
                        item.record.size, size);
    }
    return code;
}
