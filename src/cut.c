/* SPDX-License-Identifier: MIT */
/*
 * Dropping the end of the log, and beginning it anew (SPEC 11.6).
 *
 * Both are a segment whose start does not go on where the log ended. The
 * invariants: that segment is begun only when all that was appended is durable,
 * so nothing that is dropped is on its way; its start is alone in its batch,
 * and nobody else gets a place before a mark, sealed after the start became
 * durable, is durable too: so no single bad block brings back what was dropped,
 * or takes what was appended afterwards. One cut at a time.
 */
#include <assert.h>

#include "../format/bytes.h"
#include "../recover/reader.h"
#include "log.h"

/* ---- where the log is cut ---- */

/* The batch that holds @lsn, which is durable, is the last that is kept. */
static int kept_find(struct dwal *log, struct dwal__reader *reader,
                     uint64_t lsn, struct dwal__cut *cut,
                     struct dwal_error *error) {
    struct dwal__reader_item item;
    int code = dwal__reader_next(reader, &item, error);
    if (code != DWAL_OK)
        return dwal__error_step(error, code, "%s: cut behind LSN %llu",
                                log->path, (unsigned long long)lsn);
    const struct dwal__lineage *lineage = dwal__reader_lineage(reader);
    size_t index = dwal__lineage_by_number(lineage, item.segment);
    assert(item.record.lsn == lsn && index < lineage->count);
    uint64_t block_size = lineage->segments[index].header.block_size;
    *cut = (struct dwal__cut){
        .flags = DWAL__START_CUT,
        .lsn = lsn + 1,
        .kept = {.lsn = lsn,
                 .position = {item.segment,
                              item.batch_offset +
                                  dwal__align_up(item.batch.size, block_size)}},
        .link = item.batch.crc};
    return DWAL_OK;
}

static int kept_look(struct dwal *log, uint64_t lsn, struct dwal__cut *cut,
                     struct dwal_error *error) {
    struct dwal__reader_options options = {.disk = log->disk,
                                           .dir = log->dir,
                                           .start_lsn = lsn,
                                           .durable = dwal__view_read,
                                           .durable_argument = log->view};
    struct dwal__reader *reader;
    int code = dwal__reader_open(&options, &reader, error);
    if (code != DWAL_OK)
        return dwal__error_step(error, code, "%s: cut behind LSN %llu",
                                log->path, (unsigned long long)lsn);
    code = kept_find(log, reader, lsn, cut, error);
    dwal__reader_close(reader);
    return code;
}

/* Behind the trim point nothing is kept, and nothing has to be found. */
static int cut_plan(struct dwal *log, uint64_t lsn, struct dwal__cut *cut,
                    struct dwal_error *error) {
    int code = DWAL_ETRIMMED;
    /* Once more if it was trimmed meanwhile: then it is behind the point. */
    while (code == DWAL_ETRIMMED) {
        uint64_t first_lsn = dwal_first_lsn(log);
        if (lsn + 1 < first_lsn)
            return dwal__error_set(error, DWAL_EINVAL, 0,
                                   "%s: cut behind LSN %llu, but the log "
                                   "begins with %llu; dwal_reset empties it",
                                   log->path, (unsigned long long)lsn,
                                   (unsigned long long)first_lsn);
        if (lsn + 1 == first_lsn) {
            *cut = (struct dwal__cut){.flags = DWAL__START_RESET,
                                      .lsn = first_lsn};
            return DWAL_OK;
        }
        code = kept_look(log, lsn, cut, error);
    }
    return code;
}

/* ---- cutting ---- */

/* The mark that acknowledges the cut. Everything is durable and nobody else is
 * admitted, so there is a place for it unless the log has failed. */
static int mark_commit(struct dwal *log, const struct dwal__cut *cut,
                       struct dwal_error *error) {
    struct dwal__need need = {.kind = DWAL__NEED_SYSTEM,
                              .room = dwal__record_room(0),
                              .records = 1,
                              .type = DWAL__SYSTEM_MARK,
                              .cut = cut};
    struct dwal__place place;
    if (!dwal__place_reserve_cut(log, &need, &place))
        return dwal__failure_report(log, error);
    dwal__place_write_system(&place, &need);
    dwal__committer_kick(log);
    return dwal__wait_sequence(log, place.batch, place.sequence, DWAL__NEVER,
                               error);
}

/* The start, the mark, and then what may go. */
static int cut_commit(struct dwal *log, const struct dwal__cut *cut,
                      struct dwal_error *error) {
    struct dwal__need need = {.kind = DWAL__NEED_CUT, .cut = cut};
    struct dwal__place place;
    int code = dwal__place_reserve(log, &need, &place, error);
    if (code != DWAL_OK)
        return code;
    dwal__committer_kick(log);
    code = dwal__wait_sequence(log, place.batch, place.sequence, DWAL__NEVER,
                               error);
    if (code == DWAL_OK)
        code = mark_commit(log, cut, error);
    dwal__place_cut_end(log);
    if (code == DWAL_OK)
        dwal__files_settle(
            log, dwal__deadline(dwal__now_ns(), log->options.io_timeout_ms));
    return code;
}

/* One at a time; and not before the keeper knows which files the one before has
 * dropped, which he does well before he is done with them. */
static int cut_begin(struct dwal *log, struct dwal_error *error) {
    int code = dwal__ready(log, error);
    if (code != DWAL_OK)
        return code;
    bool free = false;
    if (!atomic_compare_exchange_strong(&log->cut_busy, &free, true))
        return dwal__error_set(error, DWAL_EAGAIN, 0,
                               "%s: another cut or reset is under way",
                               log->path);
    int64_t deadline =
        dwal__deadline(dwal__now_ns(), log->options.io_timeout_ms);
    if (dwal__files_settle(log, deadline))
        return DWAL_OK;
    atomic_store(&log->cut_busy, false);
    if (atomic_load(&log->failed))
        return dwal__failure_report(log, error);
    return dwal__error_set(error, DWAL_EAGAIN, 0,
                           "%s: files are still being retired", log->path);
}

static int cut_run(struct dwal *log, uint64_t lsn, struct dwal_error *error) {
    /* Durable first, and it is known that it was given. */
    int code = lsn == 0 ? DWAL_OK : dwal_wait(log, lsn, -1, error);
    if (code != DWAL_OK)
        return code;
    struct dwal__batch *batch;
    uint64_t sequence;
    if (dwal__place_find(log, lsn + 1, &batch, &sequence) != DWAL_OK)
        return DWAL_OK; /* nothing is behind it */
    struct dwal__cut cut;
    code = cut_plan(log, lsn, &cut, error);
    return code == DWAL_OK ? cut_commit(log, &cut, error) : code;
}

int dwal_cut(struct dwal *log, uint64_t lsn, struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    dwal__caller_enter(log);
    code = cut_begin(log, error);
    if (code == DWAL_OK) {
        code = cut_run(log, lsn, error);
        atomic_store(&log->cut_busy, false);
    }
    dwal__caller_leave(log);
    return code;
}

int dwal_reset(struct dwal *log, uint64_t lsn, struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    if (lsn == 0 || lsn > DWAL__LSN_MAX)
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: reset to LSN %llu; 1 to 2^63 - 1 are LSNs",
                               log->path, (unsigned long long)lsn);
    dwal__caller_enter(log);
    code = cut_begin(log, error);
    if (code == DWAL_OK) {
        struct dwal__cut cut = {.flags = DWAL__START_RESET, .lsn = lsn};
        code = cut_commit(log, &cut, error);
        atomic_store(&log->cut_busy, false);
    }
    dwal__caller_leave(log);
    return code;
}
