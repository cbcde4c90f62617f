/* SPDX-License-Identifier: MIT */
/* The promises of SPEC 1, checked one by one; see the header. */
#include "oracle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

/* ---- records ---- */

uint64_t oracle_id_pack(const struct oracle_id *id) {
    return (uint64_t)id->life << 58 | (uint64_t)id->caller << 54 |
           (uint64_t)id->call << 28 | (uint64_t)id->index << 16 |
           (uint64_t)id->count << 4 | id->size_class;
}

struct oracle_id oracle_id_unpack(uint64_t packed) {
    return (struct oracle_id){
        .life = (unsigned)(packed >> 58),
        .caller = (unsigned)(packed >> 54) & 0xF,
        .call = (unsigned)(packed >> 28) & 0x3FFFFFF,
        .index = (unsigned)(packed >> 16) & 0xFFF,
        .count = (unsigned)(packed >> 4) & 0xFFF,
        .size_class = (unsigned)packed & 0xF,
    };
}

/* Zeros are a payload like any other, and hide what did not arrive. */
void oracle_record(uint64_t id, struct dwal_record *record, uint8_t *bytes) {
    static const uint32_t sizes[ORACLE_SIZE_CLASSES] = {1, 100, 1500, 9000,
                                                        ORACLE_PAYLOAD_MAX};
    uint64_t state = id;
    uint64_t drawn = check_random(&state);
    uint32_t size =
        (uint32_t)((drawn >> 32) % sizes[id % 16 % ORACLE_SIZE_CLASSES]);
    *record = (struct dwal_record){.data = bytes,
                                   .size = size,
                                   .type = (uint16_t)drawn,
                                   .flags = (uint16_t)(drawn >> 16),
                                   .tenant = (uint32_t)(id >> 32),
                                   .shard = (uint32_t)id};
    memset(bytes, 0, size);
    if (drawn % 5 == 0)
        return;
    for (uint32_t at = 0; at + 8 <= size; at += 8) {
        uint64_t word = check_random(&state);
        memcpy(bytes + at, &word, sizeof word);
    }
    for (uint32_t at = size / 8 * 8; at < size; at++)
        bytes[at] = (uint8_t)check_random(&state);
}

uint32_t oracle_meta(uint64_t number, uint8_t *bytes) {
    uint64_t state = number;
    uint32_t size = number == 0 ? 0 : 8 + (uint32_t)(number * 389 % 1000);
    for (uint32_t at = 8; at < size; at++)
        bytes[at] = (uint8_t)check_random(&state);
    if (size > 0)
        memcpy(bytes, &number, 8);
    return size;
}

uint64_t oracle_meta_number(const uint8_t *bytes, size_t size) {
    uint8_t made[DWAL_META_SIZE_MAX];
    uint64_t number = 0;
    if (size == 0)
        return 0;
    if (size >= 8)
        memcpy(&number, bytes, 8);
    return oracle_meta(number, made) == size && memcmp(made, bytes, size) == 0
               ? number
               : UINT64_MAX;
}

/* ---- looking ---- */

static void bad(struct oracle_found *found, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void bad(struct oracle_found *found, const char *format, ...) {
    if (found->bad[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(found->bad, sizeof found->bad, format, arguments);
    va_end(arguments);
}

static void record_take(struct oracle_found *found,
                        const struct dwal__record *record) {
    static uint8_t bytes[ORACLE_PAYLOAD_MAX];
    uint64_t id = (uint64_t)record->tenant << 32 | record->shard;
    struct dwal_record made;
    oracle_record(id, &made, bytes);
    if (record->lsn != found->read_lsn + 1)
        bad(found, "LSN %" PRIu64 " behind %" PRIu64, record->lsn,
            found->read_lsn);
    found->read_lsn = record->lsn;
    if (record->lsn >= ORACLE_LSN_MAX) {
        bad(found, "LSN %" PRIu64 " was never given", record->lsn);
        return;
    }
    found->ids[record->lsn] = id;
    if (made.size != record->size || made.type != record->type ||
        made.flags != record->flags ||
        (made.size > 0 && memcmp(made.data, record->data, made.size) != 0))
        bad(found, "LSN %" PRIu64 " is not the record %" PRIx64, record->lsn,
            id);
}

static void records_read(struct dwal__reader *reader,
                         struct oracle_found *found) {
    struct dwal__reader_item item;
    struct dwal_error error = {.text = ""};
    found->read_first = dwal__reader_first_lsn(reader);
    found->read_lsn = found->read_first - 1;
    do {
        found->read_code = dwal__reader_next(reader, &item, &error);
        if (found->read_code == DWAL_OK)
            record_take(found, &item.record);
    } while (found->read_code == DWAL_OK && found->bad[0] == '\0');
    snprintf(found->text, sizeof found->text, "%s", error.text);
}

static void recovery_take(const struct dwal__recovery *recovery,
                          struct oracle_found *found) {
    found->verdict = recovery->verdict;
    found->row = recovery->decision->name;
    found->first_lsn = recovery->first_lsn;
    found->durable_lsn = recovery->durable_lsn;
    found->end = recovery->end;
    found->watermark = recovery->watermark;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->number == recovery->end.segment)
            found->covered = segment->run_witness && segment->run_covered;
    }
    found->meta =
        oracle_meta_number(recovery->metadata, recovery->metadata_size);
    found->undecidable = recovery->undecidable;
    found->undecidable_from = recovery->undecidable_from;
    found->undecidable_to = recovery->undecidable_to;
}

/* Recovery that verifies everything. False if it says no more than a code. */
static bool recovery_look(struct simdisk *sim, int dir,
                          struct oracle_found *found) {
    struct dwal_error error = {.text = ""};
    struct dwal__recover_options options = {.disk = &sim->disk,
                                            .dir = dir,
                                            .sync = true,
                                            .verify_bytes = UINT64_MAX};
    struct dwal__recovery recovery = {0};
    found->code = dwal__recover(&options, &recovery, &error);
    snprintf(found->text, sizeof found->text, "%s", error.text);
    if (found->code != DWAL_OK)
        return false;
    recovery_take(&recovery, found);
    dwal__recovery_release(&recovery);
    return true;
}

/* A reader recovers by itself, and verifies only what it reads. */
static void log_look(struct simdisk *sim, int dir, bool thorough,
                     struct oracle_found *found) {
    struct dwal_error error = {.text = ""};
    if (thorough && !recovery_look(sim, dir, found))
        return;
    struct dwal__reader_options options = {.disk = &sim->disk, .dir = dir};
    struct dwal__reader *reader;
    found->read_code = dwal__reader_open(&options, &reader, &error);
    if (found->read_code != DWAL_OK) {
        if (thorough || recovery_look(sim, dir, found))
            snprintf(found->text, sizeof found->text, "%s", error.text);
        return;
    }
    if (!thorough)
        recovery_take(dwal__reader_recovery(reader), found);
    records_read(reader, found);
    dwal__reader_close(reader);
}

void oracle_look(struct simdisk *sim, bool thorough,
                 struct oracle_found *found) {
    memset(found, 0, sizeof *found);
    const struct dwal__disk_ops *ops = sim->disk.ops;
    int dir = ops->dir_open(&sim->disk, SIM_PATH);
    if (dir < 0) {
        found->code = DWAL_ENOENT;
        return;
    }
    log_look(sim, dir, thorough, found);
    ops->close(&sim->disk, dir);
}

/* ---- judging ---- */

static bool broken(char text[ORACLE_TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool broken(char text[ORACLE_TEXT_SIZE], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, ORACLE_TEXT_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

static bool cut_at(const struct oracle *oracle, uint64_t lsn) {
    for (unsigned i = 0; i < oracle->cut_count; i++)
        if (oracle->cuts[i] == lsn)
            return true;
    return false;
}

/* The record was submitted, and each call of a caller follows the one before,
 * with all its records. @last: the latest call by life and caller. */
static bool order_check(const struct oracle *oracle,
                        const struct oracle_found *found, uint64_t lsn,
                        unsigned last[ORACLE_LIVES_MAX][ORACLE_CALLERS_MAX],
                        char text[ORACLE_TEXT_SIZE]) {
    struct oracle_id id = oracle_id_unpack(found->ids[lsn]);
    if (id.life >= ORACLE_LIVES_MAX || id.caller >= ORACLE_CALLERS_MAX ||
        id.call > oracle->calls[id.life][id.caller] || id.index >= id.count)
        return broken(text, "LSN %" PRIu64 " was never submitted", lsn);
    unsigned *call = &last[id.life][id.caller];
    bool first = lsn == found->read_first;
    if (id.index == 0 || first) {
        if (id.call <= *call)
            return broken(text, "LSN %" PRIu64 " is there twice", lsn);
        *call = id.call;
    } else if (found->ids[lsn] != found->ids[lsn - 1] + (UINT64_C(1) << 16)) {
        return broken(text, "LSN %" PRIu64 ": its batch has no beginning", lsn);
    }
    bool end = lsn == found->read_lsn && found->read_code == DWAL_END;
    if (id.index + 1 < id.count && !cut_at(oracle, lsn) &&
        (end || (lsn < found->read_lsn &&
                 found->ids[lsn + 1] != found->ids[lsn] + (UINT64_C(1) << 16))))
        return broken(text, "LSN %" PRIu64 ": its batch has no end", lsn);
    return true;
}

bool oracle_check_records(const struct oracle *oracle,
                          const struct oracle_found *found,
                          char text[ORACLE_TEXT_SIZE]) {
    unsigned last[ORACLE_LIVES_MAX][ORACLE_CALLERS_MAX] = {{0}};
    if (found->bad[0] != '\0')
        return broken(text, "%s", found->bad);
    /* No record was to be read. */
    if (found->read_first == 0)
        return true;
    for (uint64_t lsn = found->read_first; lsn <= found->read_lsn; lsn++) {
        if (!order_check(oracle, found, lsn, last, text))
            return false;
        if (oracle->ids[lsn] != 0 && oracle->ids[lsn] != found->ids[lsn])
            return broken(
                text, "LSN %" PRIu64 " is %" PRIx64 ", was given to %" PRIx64,
                lsn, found->ids[lsn], oracle->ids[lsn]);
    }
    return true;
}

static bool verdict_check(const struct oracle *oracle,
                          const struct oracle_found *found,
                          char text[ORACLE_TEXT_SIZE]) {
    bool right = found->verdict == DWAL__VERDICT_CLEAN ||
                 found->verdict == DWAL__VERDICT_TORN;
    if (!right)
        return broken(text, "a crash gives the verdict %s (%s): %s",
                      dwal__verdict_name(found->verdict), found->row,
                      found->text);
    if (oracle->closed && (found->verdict != DWAL__VERDICT_CLEAN ||
                           strcmp(found->row, "closed") != 0))
        return broken(text, "closed, but the row is %s", found->row);
    /* Then what stands behind it, in a recycled file, means nothing. */
    if ((oracle->closed || oracle->rested) &&
        (found->verdict != DWAL__VERDICT_CLEAN || !found->covered))
        return broken(text, "%s, but the last batch is no witness (%s)",
                      oracle->closed ? "closed" : "at rest", found->row);
    if (found->undecidable &&
        (found->verdict != DWAL__VERDICT_TORN ||
         found->undecidable_from != found->durable_lsn + 1 ||
         found->undecidable_to < found->undecidable_from))
        return broken(text, "undecidable from %" PRIu64 " to %" PRIu64,
                      found->undecidable_from, found->undecidable_to);
    return true;
}

void oracle_cut(struct oracle *oracle) {
    oracle->cutting = false;
    oracle->acked_lsn = oracle->cut_lsn;
    if (oracle->cut_first > oracle->acked_first)
        oracle->acked_first = oracle->cut_first;
}

static bool ends_check(const struct oracle *oracle,
                       const struct oracle_found *found,
                       char text[ORACLE_TEXT_SIZE]) {
    if (found->durable_lsn < oracle->acked_lsn)
        return broken(
            text, "LSN %" PRIu64 " was acknowledged, %" PRIu64 " is the last",
            oracle->acked_lsn, found->durable_lsn);
    if (dwal__position_compare(found->end, oracle->acked_end) < 0)
        return broken(text,
                      "durable up to %" PRIu64 ":%" PRIu64
                      ", but the end is %" PRIu64 ":%" PRIu64,
                      oracle->acked_end.segment, oracle->acked_end.offset,
                      found->end.segment, found->end.offset);
    if (found->meta < oracle->acked_meta || found->meta > oracle->asked_meta)
        return broken(text,
                      "metadata is number %" PRIu64 ", set was %" PRIu64
                      ", begun %" PRIu64,
                      found->meta, oracle->acked_meta, oracle->asked_meta);
    if (found->first_lsn < oracle->acked_first)
        return broken(text, "trimmed below %" PRIu64 ", first is %" PRIu64,
                      oracle->acked_first, found->first_lsn);
    if (found->first_lsn > oracle->asked_first)
        return broken(text, "first is %" PRIu64 ", asked for %" PRIu64,
                      found->first_lsn, oracle->asked_first);
    if (found->read_code != DWAL_END || found->read_lsn != found->durable_lsn ||
        found->read_first != found->first_lsn)
        return broken(
            text,
            "durable is %" PRIu64 ", reading ends at %" PRIu64 " with %d: %s",
            found->durable_lsn, found->read_lsn, found->read_code, found->text);
    return true;
}

/* While a cut is under way, the log is as before or as after, which is one log
 * alone: nobody appends. */
static bool either_check(const struct oracle *oracle,
                         const struct oracle_found *found,
                         char text[ORACLE_TEXT_SIZE]) {
    struct oracle after = *oracle;
    if (!oracle->cutting)
        return ends_check(oracle, found, text);
    oracle_cut(&after);
    return (found->durable_lsn == after.cut_lsn &&
            ends_check(&after, found, text)) ||
           ends_check(oracle, found, text);
}

bool oracle_check(const struct oracle *oracle, const struct oracle_found *found,
                  char text[ORACLE_TEXT_SIZE]) {
    if (found->code == DWAL_ENOENT && !oracle->created)
        return true;
    if (found->code != DWAL_OK)
        return broken(text, "recovery refuses with %d: %s", found->code,
                      found->text);
    return verdict_check(oracle, found, text) &&
           either_check(oracle, found, text) &&
           oracle_check_records(oracle, found, text);
}

void oracle_next(struct oracle *oracle, const struct oracle_found *found,
                 bool durable, uint64_t ids[ORACLE_LSN_MAX]) {
    memset(ids, 0, ORACLE_LSN_MAX * sizeof *ids);
    oracle->ids = ids;
    oracle->life++;
    oracle->closed = oracle->rested = false;
    if (found->code != DWAL_OK) /* there is no log yet */
        return;
    for (uint64_t lsn = found->first_lsn; lsn <= found->durable_lsn; lsn++)
        ids[lsn] = found->ids[lsn];
    if (!durable)
        return;
    oracle->acked_lsn = found->durable_lsn;
    oracle->acked_end = found->end;
    oracle->acked_first = found->first_lsn;
    oracle->acked_meta = found->meta;
    oracle->cutting = false;
}
