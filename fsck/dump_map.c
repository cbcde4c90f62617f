/* SPDX-License-Identifier: MIT */
/*
 * What stands where in the segment files, block by block: the map goes through
 * all of each file, also where recovery need not look. Damaged is what is not
 * valid although it lies before the end of the log, or before a place that was
 * known to be durable; behind both nothing is damaged, only torn or stale.
 */
#include <inttypes.h>
#include <string.h>

#include "../format/bytes.h"
#include "cli.h"
#include "dump.h"
#include "dump_cells.h"

struct map {
    const struct dwal__dump *dump;
    struct dwal__window window;
    struct dwal__cells cells;
    struct dwal__position end;  /* of the log */
    struct dwal__position mark; /* the largest evidence */
    uint64_t first_lsn;
    bool live;
    uint64_t done, total; /* bytes, for the bar */
};

/* The file that is being drawn. */
struct sheet {
    uint64_t number;
    const struct dwal__lineage_segment *part; /* NULL: no part of the log */
    const struct dwal__lineage_segment *next; /* the part behind it, or NULL */
    const struct dwal__found_segment *found;  /* by recovery, or NULL */
    bool trimmed;                             /* nothing in it counts */
    struct dwal__expected expected;           /* of the next batch */
    uint64_t torn_until; /* a header that is left over names this as its end */
};

/* ---- places ---- */

static bool sheet_holds(const struct sheet *sheet, uint64_t offset) {
    return sheet->part != NULL && offset < sheet->part->end;
}

/* Between the end of the log and what is known to have been durable. */
static bool lost(const struct map *map, const struct sheet *sheet,
                 uint64_t offset) {
    struct dwal__position place = {sheet->number, offset};
    return dwal__position_compare(place, map->end) >= 0 &&
           dwal__position_compare(place, map->mark) < 0;
}

/* The end that the next segment's start names is that of this one's last batch
 * (SPEC 7.5). */
static bool batch_fits(const struct sheet *sheet,
                       const struct dwal__window_batch *batch) {
    if (batch->end < sheet->part->end || sheet->next == NULL)
        return batch->end <= sheet->part->end;
    return batch->end == sheet->part->end &&
           batch->header.crc == sheet->next->start.previous_link;
}

/* Of a valid batch. */
static enum dwal__cell batch_kind(const struct map *map,
                                  const struct sheet *sheet,
                                  const struct dwal__window_batch *batch) {
    const struct dwal__batch_header *header = &batch->header;
    uint64_t behind = header->first_lsn + header->lsn_count;
    if (sheet_holds(sheet, header->offset) && !batch_fits(sheet, batch))
        return DWAL__CELL_DAMAGED;
    if (sheet_holds(sheet, header->offset))
        return behind <= map->first_lsn && header->lsn_count > 0
                   ? DWAL__CELL_TRIMMED
                   : DWAL__CELL_BATCH;
    if (sheet->trimmed)
        return DWAL__CELL_TRIMMED;
    struct dwal__position place = {sheet->number, header->offset};
    bool behind_end = dwal__position_compare(place, map->end) >= 0;
    return behind_end && !lost(map, sheet, header->offset) ? DWAL__CELL_TORN
                                                           : DWAL__CELL_HIDDEN;
}

/* Of a block where no valid batch begins. Behind the last batch of a segment
 * there may be zeros and old bytes, also where the next segment was durable. */
static enum dwal__cell block_kind(const struct map *map,
                                  const struct sheet *sheet, uint64_t offset,
                                  enum dwal__fault fault) {
    bool must_hold =
        sheet_holds(sheet, offset) ||
        (lost(map, sheet, offset) && map->mark.segment == sheet->number);
    /* A batch that was whole until one bit flipped (SPEC 7.8). */
    bool flipped = sheet->found != NULL && sheet->found->flipped &&
                   sheet->found->run_end == offset;
    if (must_hold || flipped)
        return DWAL__CELL_DAMAGED;
    if (fault == DWAL__FAULT_ZERO)
        return DWAL__CELL_FREE;
    if (fault == DWAL__FAULT_STALE)
        return DWAL__CELL_STALE;
    if (fault == DWAL__FAULT_FOREIGN && offset >= sheet->torn_until)
        return DWAL__CELL_STALE;
    if (lost(map, sheet, offset))
        return DWAL__CELL_DAMAGED;
    return sheet->trimmed ? DWAL__CELL_TRIMMED : DWAL__CELL_TORN;
}

/* ---- one file ---- */

/* Draws what begins at *@offset, and moves it on. */
static int place_draw(struct map *map, struct sheet *sheet, uint64_t *offset,
                      bool *retired, struct dwal_error *error) {
    struct dwal__window *window = &map->window;
    struct dwal__window_batch batch;
    struct dwal__batch_fault where;
    bool readable;
    int code = dwal__window_batch(window, *offset, &sheet->expected, &batch,
                                  &where, &readable, error);
    if (code != DWAL_OK)
        return code;
    const struct dwal__batch_header *header = &batch.header;
    if (where.fault == DWAL__FAULT_NONE) {
        enum dwal__cell kind = batch_kind(map, sheet, &batch);
        uint64_t padding = batch.end - *offset - header->size;
        dwal__cells_add(&map->cells, kind, header->size);
        dwal__cells_add(&map->cells,
                        kind == DWAL__CELL_BATCH ? DWAL__CELL_PADDING : kind,
                        padding);
        sheet->expected.link_known = true;
        sheet->expected.link = header->crc;
        *offset = batch.end;
        return DWAL_OK;
    }
    enum dwal__cell kind = block_kind(map, sheet, *offset, where.fault);
    if (kind == DWAL__CELL_DAMAGED && map->live) {
        int gone = dwal__window_retired(window, error);
        if (gone != 0 && gone != 1)
            return gone;
        *retired = gone == 1;
    }
    if (readable && *offset + header->size > sheet->torn_until)
        sheet->torn_until = *offset + header->size;
    sheet->expected.link_known = false;
    if (!*retired)
        dwal__cells_add(&map->cells, kind, window->header.block_size);
    *offset += window->header.block_size;
    return DWAL_OK;
}

static int sheet_draw(struct map *map, struct sheet *sheet,
                      struct dwal_error *error) {
    const struct dwal__segment_header *header = &map->window.header;
    uint64_t offset = header->block_size;
    bool retired = false;
    int code = DWAL_OK;
    sheet->expected =
        (struct dwal__expected){.link_known = true, .link = header->crc};
    dwal__cells_begin(&map->cells, sheet->number,
                      dwal__dump_segment_state(map->dump, sheet->number),
                      header->segment_size, header->block_size);
    dwal__cells_add(&map->cells, DWAL__CELL_HEADER, header->block_size);
    while (code == DWAL_OK && offset < header->segment_size && !retired) {
        if (dwal__cli_cancelled())
            code = DWAL_EAGAIN;
        else
            code = place_draw(map, sheet, &offset, &retired, error);
        dwal__cli_progress_update(map->done + offset, map->total);
    }
    map->done += header->segment_size;
    dwal__cli_progress_erase();
    dwal__cells_end(&map->cells, retired            ? "retired meanwhile"
                                 : code == DWAL_EIO ? "cannot be read"
                                                    : NULL);
    return code;
}

/* The UUID that segment @number must have; NULL: it is not known. */
static const struct dwal__uuid *uuid_of(const struct map *map,
                                        uint64_t number) {
    const struct dwal__dump *dump = map->dump;
    const struct dwal__found_segment *found =
        dwal__dump_found_segment(dump, number);
    const struct dwal__lineage *lineage =
        dump->reader != NULL ? dwal__reader_lineage(dump->reader) : NULL;
    if (found != NULL && found->well_formed)
        return &found->header.uuid;
    if (found != NULL)
        return &dwal__reader_recovery(dump->reader)->uuid;
    return lineage != NULL && lineage->count > 0
               ? &lineage->segments[0].header.uuid
               : NULL;
}

static void sheet_begin(const struct dwal__dump *dump, uint64_t number,
                        struct sheet *sheet) {
    *sheet = (struct sheet){.number = number,
                            .part = dwal__dump_lineage_segment(dump, number),
                            .found = dwal__dump_found_segment(dump, number)};
    sheet->trimmed =
        sheet->part == NULL &&
        strcmp(dwal__dump_segment_state(dump, number), "trimmed") == 0;
    if (sheet->part == NULL)
        return;
    const struct dwal__lineage *lineage = dwal__reader_lineage(dump->reader);
    size_t index = (size_t)(sheet->part - lineage->segments) + 1;
    if (index < lineage->count)
        sheet->next = &lineage->segments[index];
}

/* DWAL_OK also if the file is gone or damaged as a whole. */
static int segment_draw(struct map *map, uint64_t number, int *status,
                        struct dwal_error *error) {
    struct sheet sheet;
    sheet_begin(map->dump, number, &sheet);
    int code =
        dwal__window_open(&map->window, number, uuid_of(map, number), error);
    if (code == DWAL_ENOENT)
        return DWAL_OK; /* retired since it was listed */
    if (code != DWAL_ECORRUPT)
        return code == DWAL_OK ? sheet_draw(map, &sheet, error) : code;
    *status |= DWAL__EXIT_DAMAGED;
    dwal__cells_none(&map->cells, number, "damaged", error->text);
    return DWAL_OK;
}

/* ---- all of them ---- */

/* Where the log ends, and what is known to have been durable. */
static int ends_find(struct map *map, struct dwal__recovery *own,
                     struct dwal_error *error) {
    const struct dwal__dump *dump = map->dump;
    const struct dwal__recovery *recovery = own;
    if (dump->reader != NULL) {
        recovery = dwal__reader_recovery(dump->reader);
        map->end = dwal__reader_end(dump->reader)->position;
        map->first_lsn = dwal__reader_first_lsn(dump->reader);
        map->live = dwal__reader_live(dump->reader);
    } else {
        struct dwal__recover_options options = {.disk = dump->disk,
                                                .dir = dump->dir};
        int code = dwal__recover(&options, own, error);
        if (code != DWAL_OK)
            return code;
        map->end = own->end;
    }
    map->mark = map->end;
    if (recovery != NULL)
        map->mark = recovery->watermark.position;
    return DWAL_OK;
}

static void total_find(struct map *map) {
    const struct dwal__dump *dump = map->dump;
    for (size_t i = 0; i < dump->number_count; i++) {
        const struct dwal__found_segment *found =
            dwal__dump_found_segment(dump, dump->numbers[i]);
        if (found != NULL &&
            dwal__dump_segment_wanted(dump->options, dump->numbers[i]))
            map->total += found->file_size;
    }
}

int dwal__dump_map(struct dwal__dump *dump) {
    struct map map = {.dump = dump,
                      .cells = {.json = dump->options->form == DWAL__DUMP_JSON,
                                .cell_size = dump->options->cell_size}};
    struct dwal__recovery own = {0};
    struct dwal_error error;
    int status = DWAL__EXIT_CLEAN;
    int code = ends_find(&map, &own, &error);
    map.cells.live = map.live;
    total_find(&map);
    dwal__window_init(&map.window, dump->disk, dump->dir);
    dwal__cli_progress_begin("reading");
    for (size_t i = 0;
         i < dump->number_count && code == DWAL_OK && dwal__cli_output_good();
         i++)
        if (dwal__dump_segment_wanted(dump->options, dump->numbers[i]))
            code = segment_draw(&map, dump->numbers[i], &status, &error);
    dwal__cli_progress_end();
    dwal__cells_legend(&map.cells);
    dwal__window_release(&map.window);
    dwal__recovery_release(&own);
    if (map.cells.totals[DWAL__CELL_DAMAGED] > 0)
        status |= DWAL__EXIT_DAMAGED;
    if (code == DWAL_EAGAIN)
        return status | DWAL__EXIT_CANCELLED;
    if (code != DWAL_OK)
        dwal__cli_error("%s: %s", dump->options->path, error.text);
    return code == DWAL_OK ? status : status | DWAL__EXIT_ERROR;
}
