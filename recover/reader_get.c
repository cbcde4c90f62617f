/* SPDX-License-Identifier: MIT */
/*
 * One record by its LSN. The lineage says which segment has it, the index
 * (places.h) where about in there, and the batch is taken as any other. The
 * invariant: nothing is looked for before the end of the log, and with it the
 * lineage, is as new as the last cut that was acknowledged.
 */
#include <assert.h>

#include "reader_parts.h"

void dwal__reader_teach(struct dwal__reader *reader,
                        struct dwal__places *places) {
    reader->places = places;
}

/* @lsn lies behind the end that is known: looks for a newer one. */
static int end_reach(struct dwal__reader *reader, uint64_t lsn,
                     struct dwal_error *error) {
    struct dwal__bound *bound = &reader->bound;
    int code = DWAL_OK;
    while (code == DWAL_OK && bound->mark.lsn < lsn)
        code = dwal__bound_advance(bound, error);
    if (code == DWAL_OK)
        return code;
    if (code == DWAL_END && lsn <= reader->known_lsn)
        return dwal__error_set(error, DWAL_ECUT, 0,
                               "LSN %llu was cut off; the log ends with LSN "
                               "%llu",
                               (unsigned long long)lsn,
                               (unsigned long long)bound->mark.lsn);
    if (code == DWAL_END)
        return dwal__error_set(error, DWAL_END, 0,
                               "LSN %llu is not durable yet; LSN %llu is the "
                               "last that is",
                               (unsigned long long)lsn,
                               (unsigned long long)bound->mark.lsn);
    if (code == DWAL_ECORRUPT)
        dwal__reader_end_damaged(reader, error);
    return code;
}

int dwal__reader_get(struct dwal__reader *reader, uint64_t lsn,
                     struct dwal__reader_item *item, struct dwal_error *error) {
    struct dwal_error local;
    struct dwal__bound *bound = &reader->bound;
    assert(reader->sparse && lsn != 0);
    if (error == NULL)
        error = &local;
    int code = dwal__bound_verify(bound, error);
    if (code == DWAL_OK && lsn > bound->mark.lsn)
        code = end_reach(reader, lsn, error);
    if (code == DWAL_OK && !dwal__reader_current(reader))
        code = dwal__reader_refresh(reader, error);
    if (code == DWAL_OK)
        code = dwal__reader_place_set(reader, lsn, error);
    if (code == DWAL_OK)
        code = dwal__reader_next(reader, item, error);
    assert(code != DWAL_OK || item->record.lsn == lsn);
    return code;
}
