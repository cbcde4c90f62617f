/* SPDX-License-Identifier: MIT */
/* Damage at rest, and what must be said of it; see the header. */
#include "damage.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"
#include "tests/support/check.h"

/* ---- doing it ---- */

static bool is_wal(const char *name) {
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".wal") == 0;
}

/* A file of the log, LOCK now and then. */
static struct sim_inode *file_choose(struct simdisk *sim, uint64_t *random,
                                     char name[SIM_NAME_SIZE]) {
    struct sim_inode *chosen = NULL;
    uint64_t count = 0;
    for (int i = 0; i < sim->now.count; i++) {
        const struct sim_entry *entry = &sim->now.entries[i];
        bool lock = strcmp(entry->name, DWAL__LOCK_NAME) == 0 &&
                    check_random(random) % 8 == 0;
        if ((!is_wal(entry->name) && !lock) ||
            check_random(random) % ++count != 0)
            continue;
        chosen = sim->inodes[entry->inode];
        memcpy(name, entry->name, SIM_NAME_SIZE);
    }
    return chosen;
}

/* A sector with something in it. */
static bool sector_choose(const struct sim_inode *inode, uint64_t *random,
                          size_t *index) {
    uint64_t count = 0;
    for (size_t i = 0; i < inode->cell_count; i++)
        if (simdisk_sector(inode, i) != NULL &&
            check_random(random) % ++count == 0)
            *index = i;
    return count > 0;
}

static void sector_bytes(const struct sim_sector *sector,
                         uint8_t bytes[SIM_SECTOR]) {
    memset(bytes, 0, SIM_SECTOR);
    if (sector != NULL)
        memcpy(bytes, sector->bytes, SIM_SECTOR);
}

static void sector_damage(struct simdisk *sim, struct sim_inode *inode,
                          size_t index, uint64_t *random,
                          struct damage *damage) {
    uint8_t bytes[SIM_SECTOR];
    char other_name[SIM_NAME_SIZE];
    size_t other_index = 0;
    sector_bytes(simdisk_sector(inode, index), bytes);
    if (damage->kind == DAMAGE_FLIP) {
        damage->bit = (unsigned)(check_random(random) % (SIM_SECTOR * 8));
        uint64_t left = inode->size - damage->offset;
        if (left < SIM_SECTOR)
            damage->bit %= (unsigned)left * 8;
        bytes[damage->bit / 8] ^= (uint8_t)(1u << damage->bit % 8);
    } else if (damage->kind == DAMAGE_LOST) {
        memset(bytes, 0, sizeof bytes);
    } else if (damage->kind == DAMAGE_STALE) {
        sector_bytes(inode->cells[index].before, bytes);
    } else {
        struct sim_inode *other = file_choose(sim, random, other_name);
        if (other != NULL && sector_choose(other, random, &other_index))
            sector_bytes(simdisk_sector(other, other_index), bytes);
    }
    simdisk_put_sector(inode, index, bytes);
}

static const uint8_t zeros[SIM_SECTOR];

static bool block_lose(struct sim_inode *inode, size_t index) {
    size_t first = index / 8 * 8;
    for (size_t i = first; i < first + 8 && i < inode->cell_count; i++)
        simdisk_put_sector(inode, i, zeros);
    return true;
}

/* Sectors of the batch that begins at @index; 0: none does. */
static size_t batch_sectors(const struct sim_inode *inode, size_t index) {
    uint8_t *bytes = malloc((size_t)inode->size + 1);
    struct dwal__segment_header segment;
    struct dwal__batch_header header;
    uint64_t offset = (uint64_t)index * SIM_SECTOR;
    size_t count = 0;
    simdisk_read_file(inode, bytes);
    if (dwal__segment_header_decode(bytes, (size_t)inode->size, &segment) ==
            DWAL__FAULT_NONE &&
        offset % segment.block_size == 0 &&
        dwal__batch_header_decode(bytes + offset,
                                  (size_t)(inode->size - offset), &segment,
                                  offset, &header) == DWAL__FAULT_NONE)
        count = (size_t)dwal__align_up(header.size, segment.block_size) /
                SIM_SECTOR;
    free(bytes);
    return count;
}

/* A whole write that the disk lost, though it said that it was done; or that
 * went to another place, where it is now. */
static bool batch_damage(struct simdisk *sim, struct sim_inode *inode,
                         size_t index, uint64_t *random,
                         const struct damage *damage) {
    char name[SIM_NAME_SIZE];
    uint8_t bytes[SIM_SECTOR];
    index = index / 8 * 8; /* where batches begin */
    size_t count = batch_sectors(inode, index);
    struct sim_inode *other = file_choose(sim, random, name);
    size_t at = 0;
    if (damage->kind == DAMAGE_ELSEWHERE &&
        (other == NULL || !sector_choose(other, random, &at)))
        return false;
    at = at / 8 * 8;
    for (size_t i = 0; i < count; i++) {
        sector_bytes(simdisk_sector(inode, index + i), bytes);
        if (damage->kind == DAMAGE_ELSEWHERE && at + i < other->cell_count)
            simdisk_put_sector(other, at + i, bytes);
        sector_bytes(inode->cells[index + i].before, bytes);
        if (other != inode || index + i < at || index + i >= at + count)
            simdisk_put_sector(inode, index + i, bytes);
    }
    return count > 0;
}

/* As after a copy that was not finished. */
static void newest_remove(struct simdisk *sim, const char *from) {
    for (int i = sim->now.count; i-- > 0;) {
        char name[SIM_NAME_SIZE];
        memcpy(name, sim->now.entries[i].name, sizeof name);
        if (is_wal(name) && strcmp(name, from) >= 0)
            simdisk_remove(sim, name);
    }
}

bool damage_do(struct simdisk *sim, uint64_t *random, struct damage *damage) {
    *damage = (struct damage){
        .kind = (enum damage_kind)(check_random(random) % DAMAGE_KINDS)};
    if (check_random(random) % 4 == 0)
        damage->kind = DAMAGE_FLIP;
    struct sim_inode *inode = file_choose(sim, random, damage->name);
    size_t index = 0;
    if (inode == NULL || !sector_choose(inode, random, &index))
        return false;
    damage->offset = (uint64_t)index * SIM_SECTOR;
    if (damage->kind == DAMAGE_FILE) {
        simdisk_remove(sim, damage->name);
        return true;
    }
    if (damage->kind == DAMAGE_TRUNCATED) {
        for (size_t i = index; i < inode->cell_count; i++)
            simdisk_put_sector(inode, i, zeros);
        inode->size = inode->stable_size = damage->offset;
        return true;
    }
    if (damage->kind == DAMAGE_NEWEST && is_wal(damage->name)) {
        newest_remove(sim, damage->name);
        return true;
    }
    if (damage->kind == DAMAGE_WRITE || damage->kind == DAMAGE_ELSEWHERE)
        return batch_damage(sim, inode, index, random, damage);
    if (damage->kind == DAMAGE_BLOCK)
        return block_lose(inode, index);
    if (damage->kind == DAMAGE_UNREADABLE) {
        inode->cells[index].unreadable = true;
        return true;
    }
    uint8_t before[SIM_SECTOR], after[SIM_SECTOR];
    sector_bytes(simdisk_sector(inode, index), before);
    sector_damage(sim, inode, index, random, damage);
    sector_bytes(simdisk_sector(inode, index), after);
    return memcmp(before, after, SIM_SECTOR) != 0;
}

void damage_describe(const struct damage *damage, char text[128]) {
    static const char *const names[DAMAGE_KINDS] = {
        [DAMAGE_FLIP] = "a bit is flipped",
        [DAMAGE_LOST] = "a sector is lost",
        [DAMAGE_STALE] = "a sector is stale",
        [DAMAGE_MISDIRECTED] = "a sector belongs elsewhere",
        [DAMAGE_UNREADABLE] = "a sector is unreadable",
        [DAMAGE_BLOCK] = "a block is lost",
        [DAMAGE_TRUNCATED] = "the file is shorter",
        [DAMAGE_FILE] = "a file is gone",
        [DAMAGE_NEWEST] = "this file and all newer ones are gone",
        [DAMAGE_WRITE] = "a batch was never written",
        [DAMAGE_ELSEWHERE] = "a batch was written elsewhere",
    };
    snprintf(text, 128, "%s: %s, offset %" PRIu64 ", bit %u", damage->name,
             names[damage->kind], damage->offset, damage->bit);
}

/* ---- evidence ---- */

static bool sectors_readable(const struct sim_inode *inode, uint64_t offset,
                             uint64_t size) {
    for (uint64_t at = offset; at < offset + size; at += SIM_SECTOR)
        if (inode->cells[at / SIM_SECTOR].unreadable)
            return false;
    return true;
}

static void file_evidence(const struct sim_inode *inode,
                          struct dwal__watermark *evidence) {
    uint8_t *bytes = malloc((size_t)inode->size + 1);
    struct dwal__segment_header segment;
    simdisk_read_file(inode, bytes);
    bool right = dwal__segment_header_decode(bytes, (size_t)inode->size,
                                             &segment) == DWAL__FAULT_NONE;
    uint64_t block = right ? segment.block_size : 0;
    for (uint64_t at = block; right && at + block <= inode->size; at += block) {
        struct dwal__batch_header header;
        if (dwal__batch_header_decode(bytes + at, (size_t)block, &segment, at,
                                      &header) == DWAL__FAULT_NONE &&
            sectors_readable(inode, at, SIM_SECTOR) &&
            dwal__position_compare(header.watermark.position,
                                   evidence->position) > 0)
            *evidence = header.watermark;
    }
    free(bytes);
}

struct dwal__watermark damage_evidence(const struct simdisk *sim) {
    struct dwal__watermark evidence = {0};
    for (int i = 0; i < sim->now.count; i++)
        if (is_wal(sim->now.entries[i].name))
            file_evidence(sim->inodes[sim->now.entries[i].inode], &evidence);
    return evidence;
}

/* ---- judging ---- */

static bool silent(char text[ORACLE_TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool silent(char text[ORACLE_TEXT_SIZE], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, ORACLE_TEXT_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* The log says that it ends before what was acknowledged. */
static bool short_check(const struct damage *damage,
                        const struct oracle *oracle,
                        const struct oracle_found *found,
                        const struct dwal__watermark *evidence,
                        uint64_t *unproven, char text[ORACLE_TEXT_SIZE]) {
    uint64_t lost = found->durable_lsn + 1;
    if (lost <= evidence->lsn)
        return silent(text,
                      "LSN %" PRIu64 " is gone, a watermark proves %" PRIu64
                      ", and the verdict is %s (%s)",
                      lost, evidence->lsn, dwal__verdict_name(found->verdict),
                      found->row);
    bool told = found->undecidable && found->undecidable_from <= lost &&
                found->undecidable_to >= oracle->acked_lsn;
    if (told)
        return true;
    /* These two are more damages than one, of which one hides another. */
    bool many =
        damage->kind == DAMAGE_ELSEWHERE || damage->kind == DAMAGE_NEWEST;
    if (found->verdict == DWAL__VERDICT_TORN && !many)
        return silent(text,
                      "torn, LSN %" PRIu64 " to %" PRIu64
                      " are gone, but undecidable are %" PRIu64 " to %" PRIu64,
                      lost, oracle->acked_lsn, found->undecidable_from,
                      found->undecidable_to);
    /* Several files lost leave an older log, perhaps; one does not. */
    if (damage->kind == DAMAGE_FLIP || damage->kind == DAMAGE_FILE)
        return silent(text,
                      "one bit or a file, and LSN %" PRIu64 " to %" PRIu64
                      " are gone without a word: %s",
                      lost, oracle->acked_lsn, found->row);
    ++*unproven;
    return true;
}

/* What was acknowledged besides records: trims, the clean end. */
static bool end_check(const struct damage *damage, const struct oracle *oracle,
                      const struct oracle_found *found,
                      const struct dwal__watermark *evidence,
                      char text[ORACLE_TEXT_SIZE]) {
    struct dwal__position end = found->end;
    if (dwal__position_compare(end, evidence->position) < 0)
        return silent(text,
                      "the verdict is %s, a watermark lies behind %" PRIu64
                      ":%" PRIu64,
                      found->row, end.segment, end.offset);
    if (damage->kind == DAMAGE_FLIP &&
        dwal__position_compare(end, oracle->acked_end) < 0 &&
        found->verdict == DWAL__VERDICT_CLEAN)
        return silent(text,
                      "one bit, and the end is %" PRIu64 ":%" PRIu64
                      " instead of %" PRIu64 ":%" PRIu64 ": %s",
                      end.segment, end.offset, oracle->acked_end.segment,
                      oracle->acked_end.offset, found->row);
    return true;
}

bool damage_check(const struct damage *damage, const struct oracle *oracle,
                  const struct oracle_found *found,
                  const struct dwal__watermark *evidence, uint64_t *unproven,
                  char text[ORACLE_TEXT_SIZE]) {
    if (found->code == DWAL_ENOENT && oracle->acked_end.segment == 0)
        return true;
    if (found->code != DWAL_OK)
        return silent(text, "recovery ends with %d: %s", found->code,
                      found->text);
    if (!oracle_check_records(oracle, found, text))
        return false;
    if (found->verdict == DWAL__VERDICT_CORRUPT ||
        found->verdict == DWAL__VERDICT_UNREADABLE ||
        found->read_code == DWAL_ECORRUPT || found->read_code == DWAL_EIO)
        return true;
    if (!end_check(damage, oracle, found, evidence, text))
        return false;
    if (found->durable_lsn < oracle->acked_lsn)
        return short_check(damage, oracle, found, evidence, unproven, text);
    if (found->read_code != DWAL_END || found->read_lsn != found->durable_lsn)
        return silent(
            text,
            "durable is %" PRIu64 ", reading ends at %" PRIu64 " with %d: %s",
            found->durable_lsn, found->read_lsn, found->read_code, found->text);
    return true;
}
