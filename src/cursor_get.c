/* SPDX-License-Identifier: MIT */
/*
 * Single records by their LSN, through an index that begins with the first that
 * is wanted. A reader of its own gets them, so that the cursor's own reader
 * keeps its place, its batch, and what it has read ahead; both put into the
 * index what they pass by.
 */
#include "cursor.h"

static int getter_open(struct dwal_cursor *cursor, struct dwal_error *error) {
    if (cursor->places == NULL)
        cursor->places = dwal__places_new();
    if (cursor->places == NULL)
        return dwal__error_set(error, DWAL_ENOMEM, 0,
                               "%s: no memory for an index", cursor->path);
    dwal__reader_teach(cursor->reader, cursor->places);
    struct dwal__reader_options options = {.places = cursor->places};
    return dwal__cursor_reader(cursor, &options, &cursor->getter, error);
}

int dwal_cursor_get(struct dwal_cursor *cursor, uint64_t lsn,
                    struct dwal_record *record, struct dwal_error *error) {
    struct dwal__reader_item item;
    int code = dwal__cursor_check_record(cursor, record, error);
    if (code == DWAL_OK && lsn == 0)
        code = dwal__error_set(error, DWAL_EINVAL, 0, "%s: no record has LSN 0",
                               cursor->path);
    if (code == DWAL_OK)
        code = dwal__cursor_follow(cursor, error);
    if (code == DWAL_OK && cursor->getter == NULL)
        code = getter_open(cursor, error);
    if (code != DWAL_OK)
        return code;
    code = dwal__reader_get(cursor->getter, lsn, &item, error);
    if (code == DWAL_OK)
        *record = dwal__cursor_record(&item.record, item.record.data);
    return code == DWAL_END ? code : dwal__cursor_told(cursor, code, error);
}
